//! The evidence: every entry, appended once, durable before anybody is told so.
//!
//! Files: `ledger/NNNNNNNN.seg` (format: `segment.rs`) and `ledger/acknowledged`, 64 bytes rewritten in place after every append:
//! number `u64`, digest 32 bytes, highest `result_id` `u64`, 12 zero bytes, CRC32C of the first 60 (little-endian).
//!
//! Invariants:
//! * `append` is one write and one `fdatasync`; it returns the number only when the entries are durable. A new segment's directory
//!   entry is synced before its first acknowledgement.
//! * Numbers are gap-free and every entry names the digest of the one before, or `append` refuses and writes nothing.
//! * A failed write is cut off again. A failed `fdatasync` says nothing about the pages it was asked for, now or ever, so it is
//!   never repeated: the segment is cut back to what was durable and sealed, and the same frames go to a new one.
//! * Only what was never acknowledged can be torn: an acknowledgement follows the `fdatasync` of its frames, so a frame cut
//!   short belongs to an append that had not returned. At open such an end is cut off. `acknowledged` is the witness that it was
//!   not: it is written after the `fdatasync` and before `append` returns, so after a kill it is exact, and after a power
//!   cut (it is not synced itself) it may be old, which can only make damage look torn within the last batch.
//! * A segment that is damaged is never written again; the chain goes on in a new one from the last acknowledged digest.

pub use super::read::{Kept, read_at, read_from};

use super::codec::{array_at, u32_at, u64_at};
use super::segment::{self, Frame, FrameFault, HEADER_LEN, Header, Kind, Location, PAYLOAD_MAX};
use super::walk::{self, Found, From, Head, SegmentFile, WalkError};
use serde::Serialize;
use station::record::{Body, Entry, EntryError, EntryNumber};
use station::station::Past;
use station::units::{Digest, Timestamp};
use std::borrow::Borrow;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Why entries were not kept, or not read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The entry does not continue the chain.
    #[error("entry {found} does not continue the ledger: entry {expected} after digest {digest} comes next")]
    Gap {
        /// The number that comes next.
        expected: u64,
        /// The number that came.
        found: u64,
        /// The digest that the next entry must name.
        digest: Digest,
    },
    /// A piece record's number does not follow the one before.
    #[error("entry {number}: result_id {found} does not follow; {expected} comes next")]
    ResultId {
        /// The entry.
        number: u64,
        /// The number that comes next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The entry's bytes could not be made.
    #[error(transparent)]
    Encode(#[from] EntryError),
    /// The entry's bytes would not be readable: a number in it is not finite, or it is far too long.
    #[error("entry {number} would not be readable again (is a number in it not finite, or is it over 16 MiB?)")]
    Unreadable {
        /// The entry.
        number: u64,
    },
    /// The disk is full.
    #[error("no room for {} on the disk: free some space, nothing is lost meanwhile", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk does not do its work.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The entry at this place is damaged.
    #[error("entry at byte {offset} of {} is damaged: run `jidoka verify`", .path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// The first byte of the frame.
        offset: u64,
        /// What does not fit.
        #[source]
        source: FrameFault,
    },
    /// A piece record is gone.
    #[error("piece record {result_id} is no longer in the ledger: run `jidoka verify`")]
    Lost {
        /// Its number.
        result_id: u64,
    },
    /// The ledger cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

impl LedgerError {
    /// True if the same entries may be kept later; false if no amount of waiting will help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Io { .. })
    }

    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Io { what, path, source },
        }
    }
}

/// What was found when the ledger was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LedgerReport {
    /// Segments on the disk.
    pub segments: usize,
    /// Those of them that were read through; the older ones are read by `verify`.
    pub segments_read: usize,
    /// The end of the chain.
    pub head: Head,
    /// The end of a write that was cut short, now cut off.
    pub torn: Option<walk::Torn>,
    /// What does not fit.
    pub faults: Vec<walk::Fault>,
}

/// The ledger, open for appending. One per directory.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    segment_bytes: u64,
    witness: Option<File>,
    active: Option<Active>,
    ordinal_last: u32,
    head: Head,
}

#[derive(Debug)]
struct Active {
    file: File,
    path: PathBuf,
    /// Bytes known to be durable; the next frame goes here.
    durable: u64,
}

impl Ledger {
    /// Opens or creates the ledger in `dir`. `witness`: the highest head that anybody else saw acknowledged.
    pub fn open(dir: &Path, segment_bytes: u64, witness: Head) -> Result<(Self, LedgerReport, Past), LedgerError> {
        std::fs::create_dir_all(dir).map_err(|source| LedgerError::io("create", dir, source))?;
        let acked = [witness, read_witness(dir)].into_iter().max_by_key(|head| head.number).unwrap_or_default();
        let segments = walk::segments(dir)?;
        let (mut found, mut past, segments_read) = read_tail(dir, &segments, acked);
        let pieces = found.head.pieces.max(acked.pieces).max(witness.pieces);
        found.faults.extend(delivered_but_gone(dir, found.head.pieces.max(acked.pieces), pieces));
        let head = if acked.number > found.head.number { Head { pieces, ..acked } } else { Head { pieces, ..found.head } };
        let mut ledger = Self {
            dir: dir.to_owned(),
            segment_bytes,
            witness: None,
            active: None,
            ordinal_last: segments.last().map_or(0, |file| file.ordinal),
            head,
        };
        ledger.settle(&found)?;
        ledger.acknowledge();
        past.last = (head.number.0 > 0).then_some((head.number, head.digest));
        skip_lost_pieces(&mut past, pieces);
        let report = LedgerReport { segments: segments.len(), segments_read, head, torn: found.torn, faults: found.faults };
        Ok((ledger, report, past))
    }

    /// Cuts a torn end off and makes sure that whatever is adopted from a killed process is on the disk.
    fn settle(&mut self, found: &Found) -> Result<(), LedgerError> {
        if self.ordinal_last == 0 {
            return Ok(());
        }
        if let Some(torn) = &found.torn {
            if torn.from == 0 {
                std::fs::remove_file(&torn.file).map_err(|source| LedgerError::io("remove the empty", &torn.file, source))?;
                return sync_dir(&self.dir);
            }
            let file = OpenOptions::new().write(true).open(&torn.file);
            file.and_then(|file| file.set_len(torn.from)).map_err(|source| LedgerError::io("shorten", &torn.file, source))?;
        }
        let path = segment::path(&self.dir, self.ordinal_last);
        let file = OpenOptions::new().write(true).open(&path).map_err(|source| LedgerError::io("open", &path, source))?;
        sync_data(&file).map_err(|source| LedgerError::io("sync", &path, source))?;
        sync_dir(&self.dir)?;
        if found.appendable && self.head.number == found.head.number {
            self.active = Some(Active { file, path, durable: found.end });
        }
        Ok(())
    }

    /// Where the chain ends.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Appends `entries`; they are durable when this returns. Gives back where each lies.
    ///
    /// An error leaves the ledger as it was: the same entries may be given again.
    pub fn append<E: Borrow<Entry>>(&mut self, entries: &[E]) -> Result<Vec<Location>, LedgerError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let batch = Batch::encode(entries, self.head)?;
        let full = |active: &Active| active.durable > len64(HEADER_LEN) && active.durable + len64(batch.bytes.len()) > self.segment_bytes;
        if self.active.as_ref().is_some_and(full) {
            self.active = None;
        }
        if let Some(active) = &mut self.active {
            match active.append(&batch.bytes) {
                Ok(offset) => return Ok(self.kept(&batch, offset)),
                Err(Refused::Write(error)) => return Err(error),
                Err(Refused::Sync(error)) => {
                    tracing::warn!(segment = %active.path.display(), %error, "a sync failed; the segment is sealed and its unacknowledged entries go to a new one");
                    self.active = None;
                }
            }
        }
        let header = Header { segment: self.ordinal_last + 1, first: first.borrow().number, previous: self.head.digest };
        self.ordinal_last += 1;
        let active = Active::create(&self.dir, header, &batch.bytes)?;
        self.active = Some(active);
        Ok(self.kept(&batch, len64(HEADER_LEN)))
    }

    fn kept(&mut self, batch: &Batch, offset: u64) -> Vec<Location> {
        if let Some(active) = &mut self.active {
            active.durable = offset + len64(batch.bytes.len());
        }
        self.head = batch.head;
        self.acknowledge();
        let place = |(at, len): &(u64, u32)| Location { segment: self.ordinal_last, offset: offset + at, len: *len };
        batch.places.iter().map(place).collect()
    }

    /// Writes the witness. Without it a later opening is only less exact, so a failure is no reason to refuse an entry.
    fn acknowledge(&mut self) {
        let mut out = [0; 64];
        out[..8].copy_from_slice(&self.head.number.0.to_le_bytes());
        out[8..40].copy_from_slice(&self.head.digest.0);
        out[40..48].copy_from_slice(&self.head.pieces.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        if self.witness.is_none() {
            let path = self.dir.join(WITNESS);
            self.witness = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok();
        }
        let written = self.witness.as_ref().map(|file| file.write_all_at(&out, 0));
        if !matches!(written, Some(Ok(()))) {
            self.witness = None;
        }
    }
}

/// Frames on their way into a segment.
struct Batch {
    bytes: Vec<u8>,
    /// Offset within `bytes` and payload length of every frame.
    places: Vec<(u64, u32)>,
    head: Head,
}

impl Batch {
    fn encode<E: Borrow<Entry>>(entries: &[E], before: Head) -> Result<Self, LedgerError> {
        let mut batch = Self { bytes: Vec::new(), places: Vec::with_capacity(entries.len()), head: before };
        for entry in entries {
            let entry = entry.borrow();
            let expected = batch.head.number.0 + 1;
            if entry.number.0 != expected || entry.previous != batch.head.digest {
                return Err(LedgerError::Gap { expected, found: entry.number.0, digest: batch.head.digest });
            }
            if let Body::Piece(piece) = &entry.body {
                let expected = batch.head.pieces + 1;
                if piece.result_id != expected {
                    return Err(LedgerError::ResultId { number: entry.number.0, expected, found: piece.result_id });
                }
                batch.head.pieces = expected;
            }
            let payload = entry.to_bytes()?;
            let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_MAX);
            // JSON writes a number that is not finite as null: better refused now than unreadable for ever.
            let (Some(len), Ok(_)) = (len, Entry::from_bytes(&payload)) else {
                return Err(LedgerError::Unreadable { number: entry.number.0 });
            };
            batch.head.number = entry.number;
            batch.head.digest = Entry::digest(entry.previous, &payload);
            batch.places.push((len64(batch.bytes.len()), len));
            Frame::encode(&mut batch.bytes, entry.number, before.number, Kind::of(&entry.body), batch.head.digest, &payload);
        }
        Ok(batch)
    }
}

enum Refused {
    /// Not written; the segment is as it was.
    Write(LedgerError),
    /// The segment must not be used again.
    Sync(io::Error),
}

impl Active {
    fn create(dir: &Path, header: Header, frames: &[u8]) -> Result<Self, LedgerError> {
        let path = segment::path(dir, header.segment);
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(frames);
        let made = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|file| {
            file.write_all_at(&bytes, 0)?;
            sync_data(&file)?;
            Ok(file)
        });
        let made = made.map_err(|source| LedgerError::io("write", &path, source)).and_then(|file| sync_dir(dir).map(|()| file));
        match made {
            Ok(file) => Ok(Self { file, durable: len64(bytes.len()), path }),
            Err(error) => {
                // Nothing in it was acknowledged; if it cannot even be removed, the next segment's first number voids it.
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(segment = %path.display(), %error, "an unused segment stays behind");
                }
                Err(error)
            }
        }
    }

    fn append(&mut self, frames: &[u8]) -> Result<u64, Refused> {
        let written = self.file.write_all_at(frames, self.durable);
        if let Err(source) = written {
            let error = LedgerError::io("write", &self.path, source);
            return Err(self.file.set_len(self.durable).map_or_else(Refused::Sync, |()| Refused::Write(error)));
        }
        if let Err(error) = sync_data(&self.file) {
            // Nobody may read these pages later as if they were on the disk.
            if let Err(error) = self.file.set_len(self.durable) {
                tracing::warn!(segment = %self.path.display(), %error, "the end of the sealed segment cannot be cut off");
            }
            return Err(Refused::Sync(error));
        }
        Ok(self.durable)
    }
}

/// Reads the last segments, back to the one with the last checkpoint.
fn read_tail(dir: &Path, segments: &[SegmentFile], acked: Head) -> (Found, Past, usize) {
    let mut start = tail_start(dir, segments, acked);
    loop {
        let from = if start == 0 { From::Start } else { From::Segment };
        let mut past = Past::default();
        let found = walk::walk(dir, &segments[start..], from, acked.number, &mut |entry, _, _| {
            if matches!(entry.body, Body::Checkpoint(_)) {
                past.after.clear();
                past.checkpoint = Some(entry);
            } else {
                past.after.push(entry);
            }
            ControlFlow::Continue(())
        });
        if past.checkpoint.is_some() || start == 0 {
            return (found, past, segments.len() - start);
        }
        // The checkpoint could not be read: the one before it is as good, only longer ago.
        start = tail_start(dir, &segments[..start], acked);
    }
}

/// A piece record that is lost was kept once, and perhaps delivered: its number is not given again. The station counts its
/// piece records from the checkpoint on, so the lost ones are added to the count there.
fn skip_lost_pieces(past: &mut Past, pieces: u64) {
    let after = past.after.iter().filter(|entry| matches!(entry.body, Body::Piece(_))).count();
    let mut memory = match past.checkpoint.take() {
        Some(Entry { number, at, previous, body: Body::Checkpoint(memory) }) => (number, at, previous, memory),
        _ => (EntryNumber(0), Timestamp::default(), Digest::default(), Box::default()),
    };
    let lost = pieces.saturating_sub(memory.3.results + len64(after));
    memory.3.results += lost;
    if lost > 0 || memory.0.0 > 0 {
        let (number, at, previous, memory) = memory;
        past.checkpoint = Some(Entry { number, at, previous, body: Body::Checkpoint(memory) });
    }
}

/// Piece records that a backend has acknowledged and that this ledger never heard of.
fn delivered_but_gone(dir: &Path, known: u64, settled: u64) -> Option<walk::Fault> {
    (settled > known).then(|| walk::Fault {
        file: dir.to_owned(),
        from: 0,
        to: 0,
        first_entry: 1,
        last_entry: 0,
        what: format!("piece records {} to {settled} were delivered and are not in this ledger", known + 1),
        mend: "copy the ledger back from a backup; their numbers are not given again".to_owned(),
    })
}

/// Index of the last segment from which on there are a checkpoint and the number of the last piece record.
fn tail_start(dir: &Path, segments: &[SegmentFile], acked: Head) -> usize {
    let (mut checkpoint, mut piece) = (false, acked.pieces > 0);
    let holds_both = |file: &SegmentFile| {
        let bytes = std::fs::read(segment::path(dir, file.ordinal)).unwrap_or_default();
        for part in segment::parts(&bytes) {
            let kind = if let segment::Part::Frame(frame) = part { frame.kind } else { Kind::Other };
            checkpoint |= kind == Kind::Checkpoint;
            piece |= kind == Kind::Piece;
        }
        checkpoint && piece
    };
    segments.iter().rposition(holds_both).unwrap_or(0)
}

/// Name of the witness file.
pub const WITNESS: &str = "acknowledged";

/// The highest head that was ever acknowledged, as far as the witness file tells; nothing if it is damaged.
pub fn read_witness(dir: &Path) -> Head {
    let bytes = std::fs::read(dir.join(WITNESS)).unwrap_or_default();
    if is_witness(&bytes) { witness_of(&bytes) } else { Head::default() }
}

/// What the bytes of a witness say.
pub fn witness_of(bytes: &[u8]) -> Head {
    Head { number: EntryNumber(u64_at(bytes, 0)), digest: Digest(array_at(bytes, 8)), pieces: u64_at(bytes, 40) }
}

/// True if these are the bytes of a witness.
pub fn is_witness(bytes: &[u8]) -> bool {
    bytes.len() == 64 && u32_at(bytes, 60) == crc32c::crc32c(&bytes[..60])
}

fn sync_dir(dir: &Path) -> Result<(), LedgerError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| LedgerError::io("sync", dir, source))
}

/// `fdatasync`, and the one place where a test can make it fail.
fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    if failing::take() {
        return Err(rustix::io::Errno::IO.into());
    }
    file.sync_data()
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub mod failing {
    //! A disk whose next syncs fail, for the thread that asks.
    use std::cell::Cell;
    thread_local! { static SYNCS: Cell<u32> = const { Cell::new(0) }; }

    /// The next `count` syncs of this thread fail.
    pub fn next_syncs(count: u32) {
        SYNCS.set(count);
    }

    pub(super) fn take() -> bool {
        let left = SYNCS.get();
        SYNCS.set(left.saturating_sub(1));
        left > 0
    }
}
