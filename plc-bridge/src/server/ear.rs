//! Frames out of what is heard on a serial line. Pure: bytes and silences in, frames out.
//!
//! On the line every frame begins after 3.5 characters of silence, and ends with a check sum. A program behind a driver
//! hears neither reliably: adapters hand over bytes in packets, so that silences appear within frames and vanish between
//! them. So a frame is looked for wherever silence was heard, and taken once its length and check sum agree; behind a whole
//! frame the next one may begin at once. The line also carries the requests to other slaves, and their answers, whose
//! lengths mean something else: both readings are tried.
//!
//! tokio-modbus has an RTU server, but it drops bytes one by one until something fits, so that it finds requests in the
//! middle of other slaves' answers, and it ends after twenty drops: one long answer of a neighbour is enough.
//!
//! Invariants: only bytes with a right check sum are a frame; our own unit is never read as an answer, because nobody
//! answers for us; what is kept is bounded; after a long silence nothing is kept.
//! Source: Modbus over Serial Line V1.02, 2.5.1.

use crc::{CRC_16_MODBUS, Crc};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);
/// The longest frame (2.5.1.1): unit, 253 bytes of PDU, check sum.
const FRAME_MAX: usize = 256;
/// Unit, function code, check sum.
const FRAME_MIN: usize = 4;
/// Bytes kept. More than two frames without one that fits is noise.
const KEPT_MAX: usize = 3 * FRAME_MAX;

/// A frame with a right check sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Ear {
    unit: u8,
    bytes: Vec<u8>,
    /// Where silence was heard, in ascending order.
    starts: Vec<usize>,
}

/// The frame of a PDU, check sum at its end.
pub(crate) fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = [&[unit], pdu].concat();
    let sum = CRC.checksum(&frame);
    frame.extend(sum.to_le_bytes());
    frame
}

/// Length of the request that begins here, if it is known yet.
fn request_len(bytes: &[u8]) -> Option<usize> {
    let counted = |at: usize| bytes.get(at).map(|count| at + 1 + usize::from(*count) + 2);
    match bytes.get(1)? {
        1..=6 => Some(8),
        7 | 11 | 12 | 17 => Some(4),
        15 | 16 => counted(6),
        22 => Some(10),
        23 => counted(10),
        24 => Some(6),
        _ => None,
    }
}

/// Length of the answer that begins here, if it is known yet.
fn answer_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        1..=4 | 12 | 17 | 23 => bytes.get(2).map(|count| 3 + usize::from(*count) + 2),
        5 | 6 | 11 | 15 | 16 => Some(8),
        7 => Some(5),
        22 => Some(10),
        0x80..=0xFF => Some(5),
        _ => None,
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((sum, frame)) = bytes.split_last_chunk::<2>().map(|(frame, sum)| (sum, frame)) else { return false };
    (FRAME_MIN..=FRAME_MAX).contains(&bytes.len()) && CRC.checksum(frame) == u16::from_le_bytes(*sum)
}

impl Ear {
    pub(crate) const fn new(unit: u8) -> Self {
        Self { unit, bytes: Vec::new(), starts: Vec::new() }
    }

    /// Whether bytes wait for more.
    pub(crate) const fn waits(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    /// More bytes; `after_silence` if the line was silent for 3.5 characters before the first of them.
    pub(crate) fn hear(&mut self, bytes: &[u8], after_silence: bool) {
        if self.bytes.len() + bytes.len() > KEPT_MAX {
            self.forget();
        }
        if after_silence || self.bytes.is_empty() {
            self.starts.push(self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, whoever it is for. With `ended` the line has been silent for so long that nothing more can
    /// belong to what was heard: frames of unknown length end here, and the rest is forgotten.
    pub(crate) fn next(&mut self, ended: bool) -> Option<Frame> {
        let found = self.starts.iter().find_map(|start| Some((*start, self.whole(*start)?)));
        let found = found.or_else(|| {
            let whole = |start: &&usize| ended && is_whole(&self.bytes[**start..]);
            self.starts.iter().find(whole).map(|start| (*start, self.bytes.len() - start))
        });
        let Some((start, len)) = found else {
            if ended {
                self.forget();
            }
            return None;
        };
        let end = start + len;
        let frame = Frame { unit: self.bytes[start], pdu: self.bytes[start + 1..end - 2].to_vec() };
        self.bytes.drain(..end);
        self.starts.retain_mut(|start| {
            let behind = *start > end;
            *start = start.saturating_sub(end);
            behind
        });
        if !self.bytes.is_empty() {
            self.starts.insert(0, 0);
        }
        Some(frame)
    }

    /// Length of the whole frame that begins at `start`.
    fn whole(&self, start: usize) -> Option<usize> {
        let bytes = &self.bytes[start..];
        let fits = |len: &usize| bytes.get(..*len).is_some_and(is_whole);
        let answer = || if bytes.first() == Some(&self.unit) { None } else { answer_len(bytes).filter(fits) };
        request_len(bytes).filter(fits).or_else(answer)
    }
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
