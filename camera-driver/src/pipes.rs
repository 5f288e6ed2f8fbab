//! Both ends of the pipes to the appliance: orders in, pictures out.
//!
//! Invariant: a header and its payload leave whole or the program ends; an appliance that reads slowly is waited for.

use crate::{Picture, Trouble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;
use vision_models::camera::wire::{Header, Kind, ORDER_BYTES_MAX, Order, TEXT_BYTES_MAX, monotonic_micros};
use vision_models::frame::PixelFormat;

/// Bytes of a trigger.
const TRIGGER_BYTES: usize = 8;

/// What the appliance says.
pub enum Said {
    /// Nothing.
    Nothing,
    /// Take a picture, and give it this number.
    Trigger(u64),
    /// That is all.
    Closed,
}

/// Where the appliance is heard.
pub struct Inlet {
    pipe: File,
    heard: Vec<u8>,
    is_closed: bool,
}

impl Inlet {
    /// Standard input.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { pipe: File::from(rustix::io::dup(rustix::stdio::stdin())?), heard: Vec::new(), is_closed: false })
    }

    /// The order: the first line.
    pub fn order(&mut self) -> Result<Order, Trouble> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let order = serde_json::from_slice(&self.heard[..end]);
                self.heard.drain(..=end);
                return order
                    .map_err(|error| Trouble::of("the order cannot be understood; are jidoka and jidoka-camera of one version?", error));
            }
            if self.heard.len() >= ORDER_BYTES_MAX || self.is_closed {
                return Err(Trouble("there is no order".to_owned()));
            }
            self.hear()?;
        }
    }

    fn hear(&mut self) -> Result<(), Trouble> {
        let mut bytes = [0; 4096];
        let count = self.pipe.read(&mut bytes).map_err(|error| Trouble::of("the orders cannot be read", error))?;
        self.is_closed = count == 0;
        self.heard.extend_from_slice(&bytes[..count]);
        Ok(())
    }

    /// What is said next, at most `wait` from now.
    pub fn next(&mut self, wait: Duration) -> Result<Said, Trouble> {
        if self.heard.len() < TRIGGER_BYTES && !self.is_closed && self.is_readable(wait)? {
            self.hear()?;
        }
        if let Some(bytes) = self.heard.first_chunk::<TRIGGER_BYTES>() {
            let number = u64::from_le_bytes(*bytes);
            self.heard.drain(..TRIGGER_BYTES);
            return Ok(Said::Trigger(number));
        }
        Ok(if self.is_closed { Said::Closed } else { Said::Nothing })
    }

    fn is_readable(&self, wait: Duration) -> Result<bool, Trouble> {
        let wait = Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(wait.subsec_nanos()) };
        let fd = self.pipe.as_fd();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(Trouble::of("the orders cannot be waited for", error)),
        }
    }
}

/// Where the appliance listens.
pub struct Outlet {
    pipe: File,
    /// A picture whose rows have gaps is closed up here.
    packed: Vec<u8>,
}

impl Outlet {
    /// Standard output.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { pipe: File::from(rustix::io::dup(rustix::stdio::stdout())?), packed: Vec::new() })
    }

    fn say(&mut self, header: &Header) -> Result<(), Trouble> {
        self.pipe.write_all(&header.encode()).map_err(|error| Trouble::of("nobody listens", error))
    }

    /// The device is open.
    pub fn ready(&mut self, width: u32, height: u32, format: PixelFormat) -> Result<(), Trouble> {
        self.say(&Header { width, height, format, ..Header::bare(Kind::Ready, 0) })
    }

    /// The device answers.
    pub fn alive(&mut self) -> Result<(), Trouble> {
        self.say(&Header::bare(Kind::Alive, 0))
    }

    /// The picture that answers `trigger` (0: none) was lost on its way.
    pub fn broken(&mut self, trigger: u64) -> Result<(), Trouble> {
        self.say(&Header { trigger, given_micros: monotonic_micros(), ..Header::bare(Kind::Broken, 0) })
    }

    /// The program ends.
    pub fn trouble(&mut self, text: &str) -> Result<(), Trouble> {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.say(&Header::bare(Kind::Trouble, u32::try_from(end).unwrap_or_default()))?;
        self.pipe.write_all(&text.as_bytes()[..end]).map_err(|error| Trouble::of("nobody listens", error))
    }

    /// A picture, as the answer to `trigger` (0: to none).
    pub fn frame(&mut self, picture: &Picture<'_>, trigger: u64) -> Result<(), Trouble> {
        let Picture { width, height, format, number, device_micros, rows, stride } = *picture;
        let bytes = format.bytes(width, height).ok_or_else(|| Trouble(format!("pictures of {width}x{height} pixels are too large")))?;
        let row = format.channels() * usize::try_from(width).unwrap_or(usize::MAX);
        let short = || Trouble(format!("a picture of {width}x{height} pixels came with {} bytes", rows.len()));
        let packed = if stride == row {
            rows.get(..bytes).ok_or_else(short)?
        } else {
            self.packed.clear();
            for start in (0..usize::try_from(height).unwrap_or(usize::MAX)).map(|line| line * stride) {
                self.packed.extend_from_slice(rows.get(start..start + row).ok_or_else(short)?);
            }
            &self.packed
        };
        let announced = u32::try_from(bytes).map_err(|_| Trouble("pictures are too large".to_owned()))?;
        let header = Header {
            kind: Kind::Frame,
            format,
            width,
            height,
            number,
            trigger,
            device_micros,
            given_micros: monotonic_micros(),
            bytes: announced,
        };
        self.pipe
            .write_all(&header.encode())
            .and_then(|()| self.pipe.write_all(packed))
            .map_err(|error| Trouble::of("nobody listens", error))
    }
}
