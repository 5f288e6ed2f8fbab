//! Reads entries back out of the ledger: in order, at a place, or a few steps from a place.
//!
//! Invariant: nothing is given that does not fit its frame, number and digest.

use super::codec::u32_at;
use super::ledger::{LedgerError, read_witness};
use super::segment::{self, FRAME_LEN, Frame, FrameFault, Kind, Location, PAYLOAD_MAX};
use super::walk::{self, Found, From};
use station::record::{Body, Entry, EntryNumber};
use station::units::Digest;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// An entry as it lies in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The entry.
    pub entry: Entry,
    /// Its digest, which the next entry names.
    pub digest: Digest,
    /// Where it lies.
    pub place: Location,
}

/// Visits every whole entry from `from` on, in order. Gives back what does not fit from the segment of `from` on.
pub fn read_from(dir: &Path, from: EntryNumber, visit: &mut dyn FnMut(Kept) -> ControlFlow<()>) -> Result<Found, LedgerError> {
    // Without the witness an acknowledged entry that is damaged would look torn, and end the ledger for the reader.
    let acked = read_witness(dir).number;
    let segments = walk::segments(dir)?;
    let start = segments.iter().rposition(|file| file.first.is_some_and(|first| first <= from)).unwrap_or(0);
    let origin = if start == 0 { From::Start } else { From::Segment };
    Ok(walk::walk(dir, &segments[start..], origin, acked, &mut |entry, frame, place| {
        if entry.number < from { ControlFlow::Continue(()) } else { visit(Kept { entry, digest: frame.digest, place }) }
    }))
}

/// Reads the one entry at a place, and its digest.
pub fn read_at(dir: &Path, location: Location) -> Result<(Entry, Digest), LedgerError> {
    let path = segment::path(dir, location.segment);
    let mut bytes = vec![0; FRAME_LEN + usize::try_from(location.len).unwrap_or(PAYLOAD_MAX).min(PAYLOAD_MAX)];
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, location.offset));
    let damaged = |source| LedgerError::Damaged { path: path.clone(), offset: location.offset, source };
    match read {
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => Err(damaged(FrameFault::Damaged)),
        Err(source) => Err(LedgerError::io("read", &path, source)),
        Ok(()) => Frame::decode(&bytes, 0).and_then(|frame| Ok((frame.entry()?, frame.digest))).map_err(damaged),
    }
}

/// The piece record `wanted`, some frames after the record `first` at `place` in the same segment; `None` if anything is in the way.
pub fn piece_after(dir: &Path, place: Location, first: u64, wanted: u64) -> Result<Option<Entry>, LedgerError> {
    let path = segment::path(dir, place.segment);
    let Ok(file) = File::open(&path) else { return Ok(None) };
    let (mut offset, mut result_id, mut bytes) = (place.offset, first, vec![0; FRAME_LEN]);
    loop {
        bytes.resize(FRAME_LEN, 0);
        let len = match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => usize::try_from(u32_at(&bytes, 4)).unwrap_or(usize::MAX),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(source) => return Err(LedgerError::io("read", &path, source)),
        };
        bytes.resize(FRAME_LEN + len.min(PAYLOAD_MAX), 0);
        let whole = file.read_exact_at(&mut bytes, offset).is_ok();
        let Some(frame) = Frame::decode(&bytes, 0).ok().filter(|_| whole) else { return Ok(None) };
        if frame.kind == Kind::Piece {
            if result_id == wanted {
                let is_it = |entry: &Entry| matches!(&entry.body, Body::Piece(piece) if piece.result_id == wanted);
                return Ok(frame.entry().ok().filter(is_it));
            }
            result_id += 1;
        }
        offset += len64(frame.end());
    }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
