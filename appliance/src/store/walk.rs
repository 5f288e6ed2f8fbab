//! Walks the ledger front to back, tells what is whole, and names every place that is not.
//!
//! Invariants: only entries whose frame, digest and number fit are visited; nothing is written; nothing panics on any bytes.
//! **Torn or damaged?** Bytes at the end of the last segment that are no frame are *torn* (a write that power or a kill cut
//! short) only if no witness says that the entry which should be there was ever durable. There are two witnesses: the caller's
//! `acked` (the highest number that was ever acknowledged, see `ledger.rs`), and the `settled` number in every later frame.
//! Everything else that does not fit is a [`Fault`].

use super::ahead::Ahead;
use super::segment::{self, Frame, FrameFault, HEADER_LEN, Header, HeaderFault, Kind, Location, Part};
use serde::Serialize;
use station::record::{Body, Entry, EntryNumber};
use station::units::Digest;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Head {
    /// Number of the last entry; 0 if there is none.
    pub number: EntryNumber,
    /// Its digest; all zero if there is none.
    pub digest: Digest,
    /// The highest `result_id` of a piece record; 0 if there is none.
    pub pieces: u64,
}

/// A place in the ledger that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// First byte of the place.
    pub from: u64,
    /// First byte after it.
    pub to: u64,
    /// The first entry it concerns.
    pub first_entry: u64,
    /// The last entry it concerns; below `first_entry` if no entry is lost by it.
    pub last_entry: u64,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

/// The end of a write that was cut short. Nothing in it was ever acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// First byte of it; the file ends before it once the store was opened. 0: the file held nothing.
    pub from: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The last whole entry, and the highest piece record.
    pub head: Head,
    /// Whole entries.
    pub entries: u64,
    /// Whole piece records.
    pub pieces: u64,
    /// What does not fit, in order; at most [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// How many faults there are in all.
    pub fault_count: u64,
    /// A torn end.
    pub torn: Option<Torn>,
    /// Where the last segment's whole frames end.
    pub end: u64,
    /// True if appending to the last segment would follow whole frames only.
    pub appendable: bool,
}

/// More faults than this are counted, not listed.
pub const FAULTS_MAX: usize = 100;

/// The ledger cannot be walked at all.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The directory cannot be listed.
    #[error("cannot list {}", .path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A newer program wrote it.
    #[error("{} is in ledger format {version}; this program reads format {}: start the newer program again", .path.display(), segment::VERSION)]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        version: u16,
    },
}

/// One segment on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its ordinal.
    pub ordinal: u32,
    /// Number of its first entry: as the header says, else that of the first whole frame; `None` if neither is left or the
    /// file has another segment's name.
    pub first: Option<EntryNumber>,
}

/// The segments of a ledger in order. An empty list if there is no such directory.
pub fn segments(ledger: &Path) -> Result<Vec<SegmentFile>, WalkError> {
    let ordinals = match segment::ordinals(ledger) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|source| WalkError::List { path: ledger.to_owned(), source })?,
    };
    let mut out = Vec::with_capacity(ordinals.len());
    for ordinal in ordinals {
        let path = segment::path(ledger, ordinal);
        let first = match read_header(&path) {
            Ok(header) => (header.segment == ordinal).then_some(header.first),
            Err(HeaderFault::Newer(version)) => return Err(WalkError::Newer { path, version }),
            Err(HeaderFault::Damaged) => first_frame(&path),
        };
        out.push(SegmentFile { ordinal, first });
    }
    Ok(out)
}

fn read_header(path: &Path) -> Result<Header, HeaderFault> {
    let mut bytes = [0; HEADER_LEN];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|_| HeaderFault::Damaged).and_then(|()| Header::decode(&bytes))
}

fn first_frame(path: &Path) -> Option<EntryNumber> {
    let bytes = std::fs::read(path).ok()?;
    segment::parts(&bytes).into_iter().find_map(|part| if let Part::Frame(frame) = part { Some(frame.number) } else { None })
}

/// Called for every whole entry.
pub type Visit<'v> = dyn FnMut(Entry, &Frame<'_>, Location) -> ControlFlow<()> + 'v;

/// Reads the entry of a frame.
type Read<'r> = dyn FnMut() -> Result<Entry, FrameFault> + 'r;

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At entry 1: anything missing before the first segment is a fault.
    Start,
    /// At the first segment given; what lies before it is not looked at.
    Segment,
}

/// Walks `segments` (all of a ledger, or its last ones). `acked` is the highest number known to have been acknowledged.
pub fn walk(ledger: &Path, segments: &[SegmentFile], from: From, acked: EntryNumber, visit: &mut Visit<'_>) -> Found {
    let last = (from == From::Start).then_some((0, Some(Digest::default())));
    let mut walker = Walker { ledger, acked: acked.0, last, found: Found::default() };
    for (index, file) in segments.iter().enumerate() {
        let after = &segments[index + 1..];
        let bounds = Bounds {
            limit: after.iter().find_map(|next| next.first),
            is_before_unknown: after.first().is_some_and(|next| next.first.is_none()),
            is_last: after.is_empty(),
        };
        if walker.segment(*file, bounds, visit).is_break() {
            return walker.found;
        }
    }
    walker.finish(segments);
    walker.found
}

#[derive(Clone, Copy)]
struct Bounds {
    /// Where the next segment that can tell begins: frames from there on do not count.
    limit: Option<EntryNumber>,
    /// The very next segment cannot tell: what is missing at this one's end may have been there.
    is_before_unknown: bool,
    is_last: bool,
}

struct Walker<'l> {
    ledger: &'l Path,
    acked: u64,
    /// The last number accounted for, and the digest it must have had, if that is known.
    last: Option<(u64, Option<Digest>)>,
    found: Found,
}

impl Walker<'_> {
    fn segment(&mut self, file: SegmentFile, bounds: Bounds, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let path = segment::path(self.ledger, file.ordinal);
        let bytes = std::fs::read(&path);
        let faults_before = self.found.fault_count;
        self.found.end = len64(HEADER_LEN);
        if let Err(error) = &bytes {
            let mend = "check the disk (smartctl -a), then copy the file back from a backup";
            self.fault(&path, (0, 0), (1, 0), format!("the file cannot be read: {error}"), mend);
        }
        let readable = bytes.is_ok();
        let bytes = bytes.unwrap_or_default();
        let header = Header::decode(&bytes).ok();
        let parts = segment::parts(&bytes);
        if bounds.is_last && readable && header.is_none() && !parts.iter().any(|part| matches!(part, Part::Frame(_))) {
            let expected = self.expected(None);
            if self.acked < expected {
                self.found.torn = Some(Torn { file: path, from: 0, bytes: len64(bytes.len()) });
                return ControlFlow::Continue(());
            }
        }
        self.header(&path, file, header, readable);
        self.parts(&path, file, &parts, bounds, visit)?;
        if bounds.is_last {
            self.found.appendable = header.is_some() && self.found.fault_count == faults_before;
        }
        ControlFlow::Continue(())
    }

    /// The number that comes next; `otherwise` if this is the start of the walk.
    fn expected(&self, otherwise: Option<EntryNumber>) -> u64 {
        self.last.map_or_else(|| otherwise.map_or(1, |first| first.0), |(number, _)| number + 1)
    }

    fn header(&mut self, path: &Path, file: SegmentFile, header: Option<Header>, readable: bool) {
        let Some(header) = header else {
            if readable {
                let mend = "none needed: the entries in it carry their own numbers, digests and checksums";
                self.fault(path, (0, len64(HEADER_LEN)), (1, 0), "the header is damaged".to_owned(), mend);
            }
            return;
        };
        if header.segment != file.ordinal {
            let what =
                format!("the header says segment {}, the name says {}: the file was renamed or copied", header.segment, file.ordinal);
            self.fault(path, (0, len64(HEADER_LEN)), (header.first.0, 0), what, "give the file its own name again");
        }
        let before = header.first.0.saturating_sub(1);
        match self.last {
            Some((number, _)) if number < before => self.lost(path, (0, 0), (number + 1, before)),
            Some((number, Some(digest))) if number == before && digest != header.previous => {
                let what = format!("the header names another digest for entry {before} than that entry has");
                self.fault(path, (24, 56), (before, before), what, CHANGED);
            }
            // Below: entries that were never acknowledged there lie here again (see segment.rs); they do not count there.
            _ => {}
        }
        if self.last.is_none_or(|(number, _)| number <= before) {
            self.last = Some((before, Some(header.previous)));
        }
    }

    fn parts(&mut self, path: &Path, file: SegmentFile, parts: &[Part<'_>], bounds: Bounds, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let mut hole: Option<(u64, u64)> = None;
        let mut entries = Ahead::new(parts);
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Hole { from, to } => {
                    if bounds.is_last && self.is_torn(&parts[index + 1..]) {
                        let end = parts.last().map_or(*to, |part| part_end(part));
                        self.found.torn = Some(Torn { file: path.to_owned(), from: len64(*from), bytes: len64(end - from) });
                        return ControlFlow::Continue(());
                    }
                    hole = Some((len64(*from), len64(*to)));
                }
                Part::Frame(frame) => {
                    if bounds.limit.is_some_and(|limit| frame.number >= limit) {
                        break;
                    }
                    self.frame(path, file, (frame, &mut || entries.entry(index, frame)), hole.take(), visit)?;
                }
            }
        }
        let (Some(limit), Some((last, _))) = (bounds.limit, self.last) else {
            if let Some(range) = hole {
                let lost = (self.expected(None), self.acked);
                self.lost(path, range, lost);
                self.last = Some((lost.1.max(lost.0 - 1), None));
            }
            return ControlFlow::Continue(());
        };
        if last + 1 < limit.0 && (hole.is_some() || !bounds.is_before_unknown) {
            let end = parts.last().map_or(HEADER_LEN, part_end);
            self.lost(path, hole.unwrap_or((len64(end), len64(end))), (last + 1, limit.0 - 1));
            self.last = Some((limit.0 - 1, None));
        }
        ControlFlow::Continue(())
    }

    /// True if nothing says that the entry which should be here was ever durable.
    fn is_torn(&self, later: &[Part<'_>]) -> bool {
        let expected = self.expected(None);
        let settled = later.iter().filter_map(|part| if let Part::Frame(frame) = part { Some(frame.settled.0) } else { None });
        self.acked < expected && settled.max().unwrap_or(0) < expected
    }

    fn frame(
        &mut self,
        path: &Path,
        file: SegmentFile,
        (frame, entry): (&Frame<'_>, &mut Read<'_>),
        hole: Option<(u64, u64)>,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let number = frame.number.0;
        let range = (len64(frame.offset), len64(frame.end()));
        let expected = self.expected(Some(frame.number));
        if number < expected {
            let what = format!("entry {number} lies where entry {expected} belongs: it was copied or moved");
            self.fault(path, range, (number, number), what, CHANGED);
            return ControlFlow::Continue(());
        }
        if number > expected {
            self.lost(path, hole.unwrap_or((range.0, range.0)), (expected, number - 1));
        } else if let Some(hole) = hole {
            let mend = "none needed: no entry is missing here; keep the file as it is";
            self.fault(path, hole, (1, 0), format!("bytes before entry {number} are no entry"), mend);
        }
        let digest_expected = if number > expected { None } else { self.last.and_then(|(_, digest)| digest) };
        self.last = Some((number, Some(frame.digest)));
        self.found.end = range.1;
        (self.found.head.number, self.found.head.digest) = (frame.number, frame.digest);
        let entry = match entry() {
            Ok(entry) => entry,
            Err(fault) => {
                let mend = if matches!(fault, FrameFault::Unreadable(_)) { "read it with the program that wrote it" } else { CHANGED };
                self.fault(path, range, (number, number), fault.to_string(), mend);
                return ControlFlow::Continue(());
            }
        };
        if digest_expected.is_some_and(|digest| digest != entry.previous) {
            let what = format!("entry {number} names another digest for entry {} than that entry has", number - 1);
            self.fault(path, range, (number - 1, number), what, CHANGED);
        }
        self.count(&entry, frame);
        let len = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        visit(entry, frame, Location { segment: file.ordinal, offset: range.0, len })
    }

    fn count(&mut self, entry: &Entry, frame: &Frame<'_>) {
        self.found.entries += 1;
        if let Body::Piece(piece) = &entry.body {
            self.found.pieces += 1;
            self.found.head.pieces = self.found.head.pieces.max(piece.result_id);
        }
        debug_assert_eq!(Kind::of(&entry.body), frame.kind);
    }

    /// Entries that were acknowledged and that no segment holds any more.
    fn finish(&mut self, segments: &[SegmentFile]) {
        let expected = self.expected(None);
        if self.acked >= expected {
            let path = segments.last().map_or_else(|| self.ledger.to_owned(), |last| segment::path(self.ledger, last.ordinal));
            let end = self.found.end;
            self.lost(&path, (end, end), (expected, self.acked));
        }
    }

    fn lost(&mut self, path: &Path, range: (u64, u64), entries: (u64, u64)) {
        let what = match entries {
            (first, last) if first > last => "bytes that are no entry".to_owned(),
            (first, last) if first == last => format!("entry {first} is damaged or missing"),
            (first, last) => format!("entries {first} to {last} are damaged or missing"),
        };
        let mend = "copy the segment back from a backup; the rest of the ledger goes on without them";
        self.fault(path, range, entries, what, mend);
    }

    fn fault(&mut self, path: &Path, (from, to): (u64, u64), (first_entry, last_entry): (u64, u64), what: String, mend: &str) {
        self.found.fault_count += 1;
        if self.found.faults.len() < FAULTS_MAX {
            self.found.faults.push(Fault { file: path.to_owned(), from, to, first_entry, last_entry, what, mend: mend.to_owned() });
        }
    }
}

const CHANGED: &str = "compare the segment with a backup: somebody or something changed it after it was written";

fn part_end(part: &Part<'_>) -> usize {
    match part {
        Part::Frame(frame) => frame.end(),
        Part::Hole { to, .. } => *to,
    }
}

/// Lengths on this kind of machine always fit.
fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
