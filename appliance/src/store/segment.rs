//! One file of the ledger, byte for byte: how an entry lies on the disk and how it is found again after damage.
//!
//! A segment is `ledger/NNNNNNNN.seg`, `NNNNNNNN` its decimal ordinal from 1. It is one header and then frames, back to
//! back, written front to back and never changed afterwards. All numbers are little-endian.
//!
//! ```text
//! header, 64 bytes                                    frame, 64 bytes and the payload
//!  0   8  magic  "JIDOKA" 0D 0A                        0   4  mark  F1 'J' 'D' 1E
//!  8   2  format version, 1                            4   4  length of the payload in bytes
//! 10   2  zero                                         8   4  CRC32C of bytes 4..8, 12..64 and the payload
//! 12   4  ordinal, as in the name                     12   1  kind: 1 piece, 2 checkpoint, 0 anything else
//! 16   8  number of the first entry                   13   3  zero
//! 24  32  digest of the entry before it               16   8  number of the entry
//! 56   4  zero                                        24   8  every entry up to this one was durable when the
//! 60   4  CRC32C of bytes 0..60                               frame was written ("settled")
//!                                                     32  32  digest of this entry: SHA-256(previous ‖ payload)
//!                                                     64   n  payload: the entry's canonical bytes
//! ```
//!
//! Invariants: a frame proves itself (its checksum covers everything but the mark; its digest follows from its payload), so one
//! damaged frame costs one entry. The mark is not UTF-8 and therefore never occurs in a payload: after a hole the next frame
//! is found by its mark. **A segment ends where the next one begins**: frames with numbers at or above the next segment's first
//! were written, never acknowledged, and written again there; they do not count.

use super::codec::{u16_at, u32_at, u64_at};
use serde::{Deserialize, Serialize};
use station::record::{Body, Entry, EntryNumber};
use station::units::Digest;
use std::path::{Path, PathBuf};

/// Bytes of a segment's header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a frame before its payload.
pub const FRAME_LEN: usize = 64;
/// The format this program writes.
pub const VERSION: u16 = 1;
/// No entry is longer. A damaged length field therefore never asks for gigabytes.
pub const PAYLOAD_MAX: usize = 16 << 20;

const MAGIC: [u8; 8] = *b"JIDOKA\r\n";
const MARK: [u8; 4] = [0xf1, b'J', b'D', 0x1e];

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Ordinal of the segment.
    pub segment: u32,
    /// Number of its first entry.
    pub first: EntryNumber,
    /// Digest of the entry before.
    pub previous: Digest,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// Damaged, torn, or no segment at all.
    Damaged,
    /// Whole, but in a format this program does not know.
    Newer(u16),
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.segment.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        out[24..56].copy_from_slice(&self.previous.0);
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header from the front of a segment's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let head = bytes.get(..HEADER_LEN).ok_or(HeaderFault::Damaged)?;
        if head[..8] != MAGIC || u32_at(head, 60) != crc32c::crc32c(&head[..60]) {
            return Err(HeaderFault::Damaged);
        }
        match u16_at(head, 8) {
            VERSION => Ok(Self { segment: u32_at(head, 12), first: EntryNumber(u64_at(head, 16)), previous: digest_at(head, 24) }),
            newer => Err(HeaderFault::Newer(newer)),
        }
    }
}

/// What kind of entry a frame holds, so that a checkpoint is found without reading every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that has no kind of its own.
    Other,
    /// A piece record.
    Piece,
    /// A checkpoint.
    Checkpoint,
}

impl Kind {
    /// The kind of an entry.
    #[must_use]
    pub const fn of(body: &Body) -> Self {
        match body {
            Body::Piece(_) => Self::Piece,
            Body::Checkpoint(_) => Self::Checkpoint,
            _ => Self::Other,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Piece => 1,
            Self::Checkpoint => 2,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Piece,
            2 => Self::Checkpoint,
            _ => Self::Other,
        }
    }
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Ordinal of the segment.
    pub segment: u32,
    /// First byte of the frame.
    pub offset: u64,
    /// Bytes of the payload.
    pub len: u32,
}

/// One whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// First byte of the frame in the segment.
    pub offset: usize,
    /// Number of the entry.
    pub number: EntryNumber,
    /// Every entry up to this one was durable when the frame was written.
    pub settled: EntryNumber,
    /// What kind of entry it holds.
    pub kind: Kind,
    /// Digest of the entry.
    pub digest: Digest,
    /// The entry's canonical bytes.
    pub payload: &'a [u8],
}

/// Why the bytes at a place are no frame, or a frame holds no entry.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// No frame, or its checksum does not fit.
    #[error("these bytes are no whole frame")]
    Damaged,
    /// The payload is no entry this program can read.
    #[error("the checksum fits, but this program cannot read the entry (line {}, column {})", .0.line(), .0.column())]
    Unreadable(#[source] serde_json::Error),
    /// The payload is not the entry that the frame announces.
    #[error("the checksum fits, but the digest, number or kind is not that of the entry: it was changed on purpose")]
    Forged,
}

impl<'a> Frame<'a> {
    /// Appends a frame's bytes to `out`. `payload` is at most [`PAYLOAD_MAX`] long (the caller has checked).
    pub fn encode(out: &mut Vec<u8>, number: EntryNumber, settled: EntryNumber, kind: Kind, digest: Digest, payload: &[u8]) {
        let mut head = [0; FRAME_LEN];
        head[..4].copy_from_slice(&MARK);
        head[4..8].copy_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        head[12] = kind.byte();
        head[16..24].copy_from_slice(&number.0.to_le_bytes());
        head[24..32].copy_from_slice(&settled.0.to_le_bytes());
        head[32..].copy_from_slice(&digest.0);
        let crc = checksum(&head, payload);
        head[8..12].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(payload);
    }

    /// The frame at `offset`, if there is a whole one.
    pub fn decode(bytes: &'a [u8], offset: usize) -> Result<Self, FrameFault> {
        let head = bytes.get(offset..).and_then(|rest| rest.get(..FRAME_LEN)).ok_or(FrameFault::Damaged)?;
        let len = usize::try_from(u32_at(head, 4)).unwrap_or(usize::MAX);
        if head[..4] != MARK || len > PAYLOAD_MAX {
            return Err(FrameFault::Damaged);
        }
        let payload = bytes.get(offset + FRAME_LEN..).and_then(|rest| rest.get(..len)).ok_or(FrameFault::Damaged)?;
        if u32_at(head, 8) != checksum(head, payload) {
            return Err(FrameFault::Damaged);
        }
        Ok(Self {
            offset,
            number: EntryNumber(u64_at(head, 16)),
            settled: EntryNumber(u64_at(head, 24)),
            kind: Kind::from_byte(head[12]),
            digest: digest_at(head, 32),
            payload,
        })
    }

    /// The first byte after the frame.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.offset + FRAME_LEN + self.payload.len()
    }

    /// The entry, checked against everything the frame says of it.
    pub fn entry(&self) -> Result<Entry, FrameFault> {
        let entry = Entry::from_bytes(self.payload).map_err(FrameFault::Unreadable)?;
        let fits =
            entry.number == self.number && Entry::digest(entry.previous, self.payload) == self.digest && Kind::of(&entry.body) == self.kind;
        if fits { Ok(entry) } else { Err(FrameFault::Forged) }
    }
}

/// What lies in a segment after its header, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Bytes that are no frame.
    Hole {
        /// First byte.
        from: usize,
        /// First byte after.
        to: usize,
    },
}

/// Everything in a segment's bytes after the header: whole frames, and the holes between them.
#[must_use]
pub fn parts(bytes: &[u8]) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut at = HEADER_LEN.min(bytes.len());
    while at < bytes.len() {
        if let Ok(frame) = Frame::decode(bytes, at) {
            at = frame.end();
            out.push(Part::Frame(frame));
        } else {
            let to = next_frame(bytes, at + 1);
            out.push(Part::Hole { from: at, to });
            at = to;
        }
    }
    out
}

fn next_frame(bytes: &[u8], from: usize) -> usize {
    let marks = bytes.get(from..).unwrap_or_default().windows(MARK.len()).enumerate();
    let mut candidates = marks.filter(|(_, window)| *window == MARK).map(|(at, _)| from + at);
    candidates.find(|at| Frame::decode(bytes, *at).is_ok()).unwrap_or(bytes.len())
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[4..8]), &head[12..FRAME_LEN]);
    crc32c::crc32c_append(crc, payload)
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    let mut out = Digest::default();
    out.0.copy_from_slice(&bytes[at..at + 32]);
    out
}

/// The file of a segment.
#[must_use]
pub fn path(ledger: &Path, ordinal: u32) -> PathBuf {
    ledger.join(format!("{ordinal:08}.seg"))
}

/// Ordinals of the segments in `ledger`, ascending. Files with other names are none of ours.
pub fn ordinals(ledger: &Path) -> std::io::Result<Vec<u32>> {
    let mut out = Vec::new();
    for file in std::fs::read_dir(ledger)? {
        let name = file?.file_name();
        let ordinal = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|stem| stem.len() == 8);
        out.extend(ordinal.and_then(|stem| stem.parse::<u32>().ok()));
    }
    out.sort_unstable();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed once by an independent script from the table at the top of this file (Python struct + a bitwise CRC32C).
    const GOLDEN_HEADER: &str =
        "4a49444f4b410d0a01000000030000000201000000000000abababababababababababababababababababababababababababababababab0000000089d7aa82";
    const GOLDEN_FRAME: &str = "f14a441e070000005c89427b0100000002010000000000000001000000000000cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd7b2261223a317d";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_at_rest_are_those_of_format_1() {
        let header = Header { segment: 3, first: EntryNumber(258), previous: Digest([0xab; 32]) };
        assert_eq!(hex(&header.encode()), GOLDEN_HEADER);
        assert_eq!(Header::decode(&header.encode()), Ok(header));

        let mut out = Vec::new();
        Frame::encode(&mut out, EntryNumber(258), EntryNumber(256), Kind::Piece, Digest([0xcd; 32]), b"{\"a\":1}");
        assert_eq!(hex(&out), GOLDEN_FRAME);
        let frame = Frame::decode(&out, 0).unwrap();
        assert_eq!(
            (frame.number, frame.settled, frame.kind, frame.payload),
            (EntryNumber(258), EntryNumber(256), Kind::Piece, &b"{\"a\":1}"[..])
        );
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        Frame::encode(&mut bytes, EntryNumber(7), EntryNumber(6), Kind::Other, Digest([9; 32]), b"{\"what\":\"ever\"}");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bytes, 0).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let mut header = Header { segment: 1, first: EntryNumber(1), previous: Digest::default() }.encode();
        for bit in 0..header.len() * 8 {
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&header), Err(HeaderFault::Damaged), "bit {bit}");
            header[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_hole_costs_its_own_frame_only() {
        let mut bytes = vec![0; HEADER_LEN];
        for number in 1..=3 {
            Frame::encode(&mut bytes, EntryNumber(number), EntryNumber(0), Kind::Other, Digest::default(), b"{}");
        }
        bytes[HEADER_LEN + FRAME_LEN + 2 + 5] ^= 0x40;
        let numbers: Vec<_> =
            parts(&bytes).into_iter().map(|part| if let Part::Frame(frame) = part { frame.number.0 } else { 0 }).collect();
        assert_eq!(numbers, [1, 0, 3]);
    }
}
