//! What the appliance and the program that holds a camera's driver say to each other over two pipes.
//!
//! ```text
//!  appliance ──▶ program   one line of JSON (`Order`), then 8 bytes per software trigger: its number, never 0
//!  program ──▶ appliance   `Header` of 56 bytes, then `bytes` of payload: Ready, Frame, Broken, Alive, Trouble
//! ```
//! Invariants: numbers are little-endian; a header begins with `MAGIC`, so that a stream out of step is found at once; a
//! header that does not decode ends the connection, and nothing that came with it is a picture.

use crate::frame::PixelFormat;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thiserror::Error;

/// First bytes of every header: name and version of this language.
pub const MAGIC: [u8; 4] = *b"JCM1";
/// Bytes of a header.
pub const HEADER_BYTES: usize = 56;
/// Longest text of a `Trouble`; a longer one is cut.
pub const TEXT_BYTES_MAX: usize = 512;
/// Longest order, with its end of line.
pub const ORDER_BYTES_MAX: usize = 16 * 1024;
/// The program says at least this often that its device still answers.
pub const ALIVE_MILLIS: u64 = 100;

/// What the program is told first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The device.
    pub device: Device,
    /// What makes it take a picture.
    pub trigger: TriggerMode,
    /// Width that the device is asked for, in pixels.
    pub width: u32,
    /// Height that the device is asked for, in pixels.
    pub height: u32,
    /// The pixels that are wanted.
    pub format: PixelFormat,
}

/// What makes a camera take a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// A command for each piece.
    Software,
    /// A wire from the PLC or a light barrier to the camera.
    Hardware,
    /// Nothing: it takes pictures by itself, one after the other.
    FreeRun,
}

/// A device that a driver can open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Device {
    /// GigE Vision (or USB3 Vision), through Aravis.
    Gige {
        /// Address, or name as `arv-tool-0.8` prints it.
        camera: String,
        /// Bytes of a packet; `None` lets the driver ask the network.
        packet_bytes: Option<u32>,
        /// Exposure in microseconds; `None` leaves what the camera has.
        exposure_micros: Option<f64>,
        /// Gain in the camera's own unit; `None` leaves what the camera has.
        gain: Option<f64>,
    },
    /// A stream over the network, through GStreamer.
    Rtsp {
        /// `rtsp://HOST:PORT/PATH`, without a password.
        url: String,
        /// Who asks; `None` asks without a name.
        user: Option<String>,
        /// File whose first line is the password. Only the program reads it.
        password_file: Option<PathBuf>,
        /// How long packets are waited for, in milliseconds.
        latency_millis: u32,
        /// True: packets go over TCP.
        tcp: bool,
    },
    /// A video file, through GStreamer; after its end it begins again.
    Video {
        /// The file.
        path: PathBuf,
    },
    /// A camera of the kernel, through GStreamer.
    V4l2 {
        /// `/dev/video0`, or better a name below `/dev/v4l/by-id`.
        path: PathBuf,
        /// Pictures per second that are asked for.
        frames_per_sec: u32,
    },
    /// No device: moving stripes. It proves the way from the program to the line, and misbehaves as its script says.
    Simulated {
        /// Time between two pictures of a free run, in milliseconds.
        interval_millis: u64,
        /// File whose first word is how it misbehaves; without one it is well.
        script: Option<PathBuf>,
    },
}

/// What follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The device is open and delivers pictures of this size and format.
    Ready,
    /// A picture.
    Frame,
    /// The picture that the trigger asked for was taken, but did not arrive whole.
    Broken,
    /// The device still answers.
    Alive,
    /// Why the program is about to end: UTF-8.
    Trouble,
}

/// The beginning of everything that the program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// How the picture's bytes are to be read.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The device's own number of the picture; it grows while the device is open.
    pub number: u64,
    /// The software trigger that the picture answers; 0 for none.
    pub trigger: u64,
    /// When the picture was taken, by the device's own clock; 0 if it has none.
    pub device_micros: u64,
    /// When the driver gave the picture out, by the clock of this machine that never steps (`monotonic_micros`): a pipe that is
    /// read late makes no picture younger.
    pub given_micros: u64,
    /// Bytes that follow.
    pub bytes: u32,
}

/// Microseconds by the machine's clock that never steps, the same in every process.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000 + part(now.tv_nsec) / 1000
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// It does not begin like one.
    #[error("it does not speak the language of this version")]
    Magic,
    /// The kind is not known.
    #[error("it says {0}, which means nothing here")]
    Kind(u8),
    /// The pixel format is not known.
    #[error("it announces pixel format {0}, which is not known")]
    Format(u8),
    /// Size, format and bytes do not go together.
    #[error("it announces {bytes} bytes for {width}x{height} pixels")]
    Bytes {
        /// Bytes that it announces.
        bytes: u32,
        /// Width that it announces.
        width: u32,
        /// Height that it announces.
        height: u32,
    },
}

impl Header {
    /// A header without a picture.
    #[must_use]
    pub const fn bare(kind: Kind, bytes: u32) -> Self {
        Self { kind, format: PixelFormat::Mono8, width: 0, height: 0, number: 0, trigger: 0, device_micros: 0, given_micros: 0, bytes }
    }

    /// As it goes over the pipe.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(4, &[kind_code(self.kind), format_code(self.format)]);
        put(8, &self.number.to_le_bytes());
        put(16, &self.trigger.to_le_bytes());
        put(24, &self.device_micros.to_le_bytes());
        put(32, &self.width.to_le_bytes());
        put(36, &self.height.to_le_bytes());
        put(40, &self.bytes.to_le_bytes());
        put(48, &self.given_micros.to_le_bytes());
        out
    }

    /// From the pipe.
    ///
    /// # Errors
    /// If the bytes are no header, or one whose parts contradict each other.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, WireError> {
        if bytes[..4] != MAGIC {
            return Err(WireError::Magic);
        }
        let kind = match bytes[4] {
            1 => Kind::Ready,
            2 => Kind::Frame,
            3 => Kind::Alive,
            4 => Kind::Trouble,
            5 => Kind::Broken,
            code => return Err(WireError::Kind(code)),
        };
        let format = match bytes[5] {
            1 => PixelFormat::Mono8,
            2 => PixelFormat::Rgb8,
            3 => PixelFormat::Bgr8,
            code => return Err(WireError::Format(code)),
        };
        let (number, trigger, device_micros, given_micros) = (long(bytes, 8), long(bytes, 16), long(bytes, 24), long(bytes, 48));
        let (width, height, length) = (word(bytes, 32), word(bytes, 36), word(bytes, 40));
        let header = Self { kind, format, number, trigger, device_micros, given_micros, width, height, bytes: length };
        if header.is_consistent() {
            Ok(header)
        } else {
            Err(WireError::Bytes { bytes: header.bytes, width: header.width, height: header.height })
        }
    }

    fn is_consistent(&self) -> bool {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        match self.kind {
            Kind::Frame => self.format.bytes(self.width, self.height) == Some(bytes),
            Kind::Ready => bytes == 0 && self.format.bytes(self.width, self.height).is_some(),
            Kind::Alive | Kind::Broken => bytes == 0,
            Kind::Trouble => bytes <= TEXT_BYTES_MAX,
        }
    }
}

const fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Ready => 1,
        Kind::Frame => 2,
        Kind::Alive => 3,
        Kind::Trouble => 4,
        Kind::Broken => 5,
    }
}

const fn format_code(format: PixelFormat) -> u8 {
    match format {
        PixelFormat::Mono8 => 1,
        PixelFormat::Rgb8 => 2,
        PixelFormat::Bgr8 => 3,
    }
}

fn long(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn word(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame() -> Header {
        let (number, trigger, device_micros, given_micros) = (u64::MAX - 1, 7, 1 << 40, 3);
        Header {
            kind: Kind::Frame,
            format: PixelFormat::Bgr8,
            width: 640,
            height: 2,
            number,
            trigger,
            device_micros,
            given_micros,
            bytes: 3840,
        }
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        assert_eq!(Header::decode(&frame().encode()), Ok(frame()));
        for kind in [Kind::Alive, Kind::Broken, Kind::Trouble] {
            assert_eq!(Header::decode(&Header::bare(kind, 0).encode()), Ok(Header::bare(kind, 0)));
        }
        let ready = Header { kind: Kind::Ready, bytes: 0, ..frame() };
        assert_eq!(Header::decode(&ready.encode()), Ok(ready));
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused() {
        let wrong = |header: Header| Header::decode(&header.encode()).unwrap_err();
        assert_eq!(wrong(Header { bytes: 3839, ..frame() }), WireError::Bytes { bytes: 3839, width: 640, height: 2 });
        assert!(matches!(wrong(Header { width: 0, bytes: 0, ..frame() }), WireError::Bytes { .. }));
        assert!(matches!(wrong(Header { width: u32::MAX, height: u32::MAX, ..frame() }), WireError::Bytes { .. }));
        assert!(matches!(wrong(Header::bare(Kind::Trouble, 513)), WireError::Bytes { bytes: 513, .. }));
        let mut bytes = frame().encode();
        bytes[4] = 9;
        assert_eq!(Header::decode(&bytes), Err(WireError::Kind(9)));
        bytes[0] = b'X';
        assert_eq!(Header::decode(&bytes), Err(WireError::Magic));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_an_error(tail in proptest::collection::vec(any::<u8>(), HEADER_BYTES - 4)) {
            let mut bytes = [0; HEADER_BYTES];
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4..].copy_from_slice(&tail);
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
            }
        }
    }
}
