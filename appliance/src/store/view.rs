//! What is asked and what changes: indexes of the ledger and the standing of every backend, in sled. The only door to sled.
//!
//! Nothing here is evidence: the view holds places in the ledger, never entries, and is built again from the ledger when it will
//! not open, disagrees, or is told to. sled's `flush` alone does not survive a power cut (it never calls fsync), so [`View::sync`]
//! is `flush`, then `fdatasync` of `view/db`, in that order.
//!
//! sled can panic while it opens a damaged directory, and a program built with `panic = "abort"` dies of that. So an
//! `opening` file next to the directory counts attempts that did not come back; after two the directory is set aside. A view that
//! was caught telling something wrong gets a `doubt` file and will not open again.
//!
//! Every key costs some ten microseconds to write and again when the view is built anew, so what can be found in a few steps has none:
//! only every 32nd piece record has its place here, piece numbers are kept as runs, and a pass is a record not told to be otherwise.
//!
//! Keys (numbers big-endian, so that order is order): `h` head · `f` format · `r` result_id → place, for every 32nd and the
//! first in a segment · `p` result_id → PLC piece number, where that does not simply count on ·
//! `n` result_id → verdict, unless it is a pass · `oc` backend → standing · `oa` backend, 0, result_id: settled out of
//! order · `oq` backend, 0, result_id → the backend's words · `og` backend, 0, result_id: released from quarantine ·
//! `d` decision_id → place · `x` result_id, decision_id: a decision about that one piece. In `oa`, `oq` and `og` a decision has
//! its number as a parcel. Keys of the rows stand in `view/searched.rs`.

mod follow;
mod searched;

pub use follow::CatchUpError;
pub use searched::SearchError;

use super::codec::array_at;
use super::read;
use super::segment::Location;
use super::walk::Head;
use crate::outbox::DECISIONS;
use station::piece::PieceId;
use station::record::EntryNumber;
use station::units::Digest;
use station::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The view could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the index in {} cannot be {what}: {cause}", .path.display())]
pub struct ViewError {
    path: PathBuf,
    what: &'static str,
    cause: String,
    /// True if it was readable and wrong.
    is_damage: bool,
}

impl ViewError {
    fn new(path: &Path, what: &'static str, cause: &dyn std::fmt::Display) -> Self {
        Self { path: path.to_owned(), what, cause: cause.to_string(), is_damage: false }
    }

    fn engine(path: &Path, what: &'static str, error: &sled::Error) -> Self {
        let is_damage = matches!(error, sled::Error::Corruption { .. } | sled::Error::ReportableBug(_));
        Self { is_damage, ..Self::new(path, what, error) }
    }
}

/// Where one backend stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every piece record up to this one was delivered or quarantined.
    pub cursor: u64,
    /// Every decision up to this one was delivered or quarantined.
    pub decided: u64,
    /// Delivered in all.
    pub delivered: u64,
    /// Settled beyond the cursor.
    pub ahead: BTreeSet<u64>,
    /// Refused for good, with the backend's words.
    pub quarantined: BTreeMap<u64, String>,
    /// Released from quarantine for another try.
    pub again: BTreeSet<u64>,
}

impl Standing {
    /// True if a parcel lies behind its cursor.
    pub fn is_settled(&self, number: u64) -> bool {
        number.checked_sub(DECISIONS).map_or(number <= self.cursor, |decision| decision <= self.decided)
    }
}

/// The view. Clones share it.
#[derive(Clone)]
pub struct View {
    db: sled::Db,
    dir: PathBuf,
    /// Rows that are not in the view yet; `None` until it has caught up once.
    rows: Arc<Mutex<Option<searched::RowKeys>>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Looks at a key and its value; what it says is wrong with them.
type Look<'v> = dyn FnMut(&[u8], &[u8]) -> Result<(), String> + 'v;

const FORMAT: [u8; 2] = [0, 6];
const CACHE_BYTES: u64 = 16 << 20;
const ATTEMPTS_MAX: u32 = 2;
/// Every piece record whose number leaves the rest 1 has its place in the view.
const STRIDE: u64 = 32;

impl View {
    /// Opens or creates the view in `dir`.
    pub fn open(dir: &Path) -> Result<Self, ViewError> {
        let marker = dir.with_extension("opening");
        let attempts = std::fs::read_to_string(&marker).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_u32);
        let fail = |cause: String| ViewError::new(dir, "opened", &cause);
        if let Ok(why) = std::fs::read_to_string(dir.with_extension("doubt")) {
            return Err(fail(format!("it was wrong: {why}")));
        }
        if attempts >= ATTEMPTS_MAX {
            // Whoever opens next starts with a new directory, so it starts counting anew.
            remove_quietly(&marker);
            return Err(fail(format!("{attempts} attempts to open it did not come back")));
        }
        if let Err(error) = std::fs::write(&marker, (attempts + 1).to_string()) {
            // On a full disk the attempt goes uncounted; opening matters more.
            tracing::debug!(%error, "the attempt to open the index is not counted");
        }
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        remove_quietly(&marker);
        let db = opened.map_err(|_| fail("its engine panicked on what it read".to_owned()))?.map_err(|error| fail(error.to_string()))?;
        let view = Self { db, dir: dir.to_owned(), rows: Arc::default() };
        match view.get(b"f")? {
            Some(format) if format == FORMAT => Ok(view),
            None if view.db.is_empty() => {
                view.write("given its format", |batch| batch.insert(b"f", &FORMAT))?;
                Ok(view)
            }
            _ => Err(fail("it has another program's format".to_owned())),
        }
    }

    /// Moves a directory that is of no use out of the way, in place of any moved earlier. Gives back where it is now.
    pub fn set_aside(dir: &Path) -> Result<Option<PathBuf>, ViewError> {
        let aside = dir.with_extension("aside");
        let fail = |error: std::io::Error| ViewError::new(dir, "set aside", &error);
        if !dir.exists() {
            return Ok(None);
        }
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => std::fs::rename(dir, &aside).map_err(fail)?,
        }
        remove_quietly(&dir.with_extension("doubt"));
        Ok(Some(aside))
    }

    /// Makes sure that a view that was wrong is not opened again; does nothing for any other error.
    pub fn doubt(dir: &Path, error: &ViewError) {
        if error.is_damage {
            Self::note_doubt(dir, error);
        }
    }

    /// Makes sure that the view in `dir` is not opened again: it is wrong.
    pub fn note_doubt(dir: &Path, why: &dyn std::fmt::Display) {
        if let Err(cause) = std::fs::write(dir.with_extension("doubt"), why.to_string()) {
            tracing::warn!(%cause, "the index is wrong and cannot be marked as such: build it again with `jidoka store rebuild`");
        }
    }

    /// True if the view in `dir` was wrong: it will not open, and has to be built again.
    pub fn is_doubted(dir: &Path) -> bool {
        dir.with_extension("doubt").exists()
    }

    /// It told something that the ledger denies.
    pub fn wrong(&self, cause: &dyn std::fmt::Display) -> ViewError {
        ViewError { is_damage: true, ..ViewError::new(&self.dir, "trusted", cause) }
    }

    /// The last entry the view knows of.
    pub fn head(&self) -> Result<Head, ViewError> {
        let bytes = self.get(b"h")?.unwrap_or_default();
        Ok(Head { number: EntryNumber(be64(&bytes, 0)), digest: Digest(array_at(&bytes, 8)), pieces: be64(&bytes, 40) })
    }

    /// True if the ledger holds, at the place the view remembers, the entry the view remembers.
    pub fn agrees(&self, ledger_dir: &Path, ledger_head: Head) -> Result<bool, ViewError> {
        let head = self.head()?;
        if head.number.0 == 0 || (head.number, head.digest) == (ledger_head.number, ledger_head.digest) {
            return Ok(head.pieces <= ledger_head.pieces);
        }
        let bytes = self.get(b"h")?.unwrap_or_default();
        let entry = place_at(&bytes, 48).and_then(|place| read::read_at(ledger_dir, place).ok());
        Ok(head.number < ledger_head.number && entry.is_some_and(|(entry, digest)| entry.number == head.number && digest == head.digest))
    }

    /// Everything written so far survives a power cut when this returns.
    pub fn sync(&self) -> Result<(), ViewError> {
        self.db.flush().map_err(|error| self.error("synced", &error))?;
        File::open(self.dir.join("db")).and_then(|file| file.sync_data()).map_err(|error| ViewError::new(&self.dir, "synced", &error))
    }

    /// A piece record at or shortly before this one, and where it lies.
    pub fn near(&self, result_id: u64) -> Result<Option<(u64, Location)>, ViewError> {
        let range = key(b"r", &[&0_u64.to_be_bytes()])..=key(b"r", &[&result_id.to_be_bytes()]);
        let last = self.db.range(range).next_back().transpose().map_err(|error| self.error("read", &error))?;
        Ok(last.and_then(|(key, place)| Some((be64(&key, 1), place_at(&place, 0)?))))
    }

    /// Where a decision lies.
    pub fn decision(&self, decision_id: u64) -> Result<Option<Location>, ViewError> {
        Ok(self.get(&key(b"d", &[&decision_id.to_be_bytes()]))?.and_then(|place| place_at(&place, 0)))
    }

    /// The decisions about one piece, oldest first.
    pub fn decisions_about(&self, result_id: u64) -> Result<Vec<u64>, ViewError> {
        self.result_ids(&key(b"x", &[&result_id.to_be_bytes()]), usize::MAX)
    }

    /// The piece records of this PLC piece number, oldest first (a PLC may count from the start again).
    pub fn with_piece(&self, piece: PieceId) -> Result<Vec<u64>, ViewError> {
        let (mut out, pieces) = (Vec::new(), self.head()?.pieces);
        let mut end = pieces + 1;
        for pair in self.db.scan_prefix(b"p").rev() {
            let (key, start) = pair.map_err(|error| self.error("read", &error))?;
            let (first, start) = (be64(&key, 1), u32::from_be_bytes(array_at(&start, 0)));
            let found = piece.0.checked_sub(start).map(|steps| first + u64::from(steps));
            out.extend(found.filter(|id| *id < end));
            end = first;
        }
        out.reverse();
        Ok(out)
    }

    /// The last `limit` piece records with this verdict, newest first. A pass may since have been damaged in the ledger.
    pub fn with_verdict(&self, verdict: Verdict, limit: usize) -> Result<Vec<u64>, ViewError> {
        let not_passed = self.db.scan_prefix(b"n").rev().map(|pair| {
            let (key, byte) = pair.map_err(|error| self.error("read", &error))?;
            Ok((be64(&key, 1), byte.first().copied()))
        });
        if verdict != Verdict::Pass {
            let same = not_passed.filter(|pair| pair.as_ref().map_or(true, |(_, byte)| *byte == Some(verdict_byte(verdict))));
            return same.take(limit).map(|pair| pair.map(|(id, _)| id)).collect();
        }
        let (mut out, mut not_passed) = (Vec::new(), not_passed);
        let mut next = not_passed.next().transpose()?;
        for id in (1..=self.head()?.pieces).rev() {
            if out.len() >= limit {
                break;
            }
            if next.is_some_and(|(other, _)| other == id) {
                next = not_passed.next().transpose()?;
            } else {
                out.push(id);
            }
        }
        Ok(out)
    }

    /// Where a backend stands; `None` if the view never heard of it.
    pub fn standing(&self, backend: &str) -> Result<Option<Standing>, ViewError> {
        let Some(bytes) = self.get(&key(b"oc", &[backend.as_bytes()]))? else { return Ok(None) };
        let ahead = self.result_ids(&key(b"oa", &[backend.as_bytes(), &[0]]), usize::MAX)?;
        let mut quarantined = BTreeMap::new();
        for pair in self.db.scan_prefix(key(b"oq", &[backend.as_bytes(), &[0]])) {
            let (key, words) = pair.map_err(|error| self.error("read", &error))?;
            quarantined.insert(be64(&key, key.len().saturating_sub(8)), String::from_utf8_lossy(&words).into_owned());
        }
        let again = self.result_ids(&key(b"og", &[backend.as_bytes(), &[0]]), usize::MAX)?.into_iter().collect();
        let ahead = ahead.into_iter().collect();
        // A standing of before there were decisions ends after two numbers, and reads as none of them.
        let [cursor, delivered, decided] = [0, 8, 16].map(|at| be64(&bytes, at));
        Ok(Some(Standing { cursor, delivered, decided, ahead, quarantined, again }))
    }

    /// Where every backend stands.
    pub fn standings(&self) -> Result<BTreeMap<String, Standing>, ViewError> {
        let mut out = BTreeMap::new();
        for pair in self.db.scan_prefix(b"oc") {
            let (key, _) = pair.map_err(|error| self.error("read", &error))?;
            let backend = String::from_utf8_lossy(&key[2..]).into_owned();
            if let Some(standing) = self.standing(&backend)? {
                out.insert(backend, standing);
            }
        }
        Ok(out)
    }

    /// Replaces `old`, where a backend stood, by `new`. Durable when it returns.
    pub fn settle(&self, backend: &str, old: &Standing, new: &Standing) -> Result<(), ViewError> {
        let ahead = |id: &u64| key(b"oa", &[backend.as_bytes(), &[0], &id.to_be_bytes()]);
        let again = |id: &u64| key(b"og", &[backend.as_bytes(), &[0], &id.to_be_bytes()]);
        let words = |id: &u64| key(b"oq", &[backend.as_bytes(), &[0], &id.to_be_bytes()]);
        self.write("written", |batch| {
            old.ahead.difference(&new.ahead).for_each(|id| batch.remove(ahead(id)));
            new.ahead.difference(&old.ahead).for_each(|id| batch.insert(ahead(id), &[]));
            old.quarantined.keys().filter(|id| !new.quarantined.contains_key(id)).for_each(|id| batch.remove(words(id)));
            for (id, said) in new.quarantined.iter().filter(|(id, _)| !old.quarantined.contains_key(id)) {
                batch.insert(words(id), said.as_bytes());
            }
            old.again.difference(&new.again).for_each(|id| batch.remove(again(id)));
            new.again.difference(&old.again).for_each(|id| batch.insert(again(id), &[]));
            let numbers = [new.cursor, new.delivered, new.decided].map(u64::to_be_bytes);
            batch.insert(key(b"oc", &[backend.as_bytes()]), numbers.concat());
        })?;
        self.sync()
    }

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, ViewError> {
        self.db.get(key).map_err(|error| self.error("read", &error))
    }

    /// Shows every key that begins like this, in order, with its value. What `visit` says is wrong with one is damage.
    fn each(&self, prefix: &[u8], visit: &mut Look<'_>) -> Result<(), ViewError> {
        for pair in self.db.scan_prefix(prefix) {
            let (key, value) = pair.map_err(|error| self.error("read", &error))?;
            visit(&key, &value).map_err(|why| self.wrong(&why))?;
        }
        Ok(())
    }

    fn last_of(&self, prefix: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, ViewError> {
        self.db.scan_prefix(prefix).next_back().transpose().map_err(|error| self.error("read", &error))
    }

    fn write(&self, what: &'static str, fill: impl FnOnce(&mut sled::Batch)) -> Result<(), ViewError> {
        let mut batch = sled::Batch::default();
        fill(&mut batch);
        self.db.apply_batch(batch).map_err(|error| self.error(what, &error))
    }

    fn result_ids(&self, prefix: &[u8], limit: usize) -> Result<Vec<u64>, ViewError> {
        let exact = |pair: &sled::Result<(sled::IVec, sled::IVec)>| pair.as_ref().map_or(true, |(key, _)| key.len() == prefix.len() + 8);
        self.db.scan_prefix(prefix).filter(exact).take(limit).map(|pair| self.tail_of(pair)).collect()
    }

    fn tail_of(&self, pair: sled::Result<(sled::IVec, sled::IVec)>) -> Result<u64, ViewError> {
        let (key, _) = pair.map_err(|error| self.error("read", &error))?;
        Ok(be64(&key, key.len().saturating_sub(8)))
    }

    fn error(&self, what: &'static str, error: &sled::Error) -> ViewError {
        ViewError::engine(&self.dir, what, error)
    }
}

/// True for a piece record that has its place in the view wherever it lies.
pub const fn is_indexed(result_id: u64) -> bool {
    result_id % STRIDE == 1
}

/// No record is further than this from the one `near` it.
pub const fn is_near(result_id: u64, near: u64) -> bool {
    result_id - near < STRIDE
}

fn verdict_byte(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Reject => 1,
        Verdict::Hold => 2,
    }
}

fn key(kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut out = kind.to_vec();
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

fn place_bytes(place: Location) -> [u8; 16] {
    let mut out = [0; 16];
    out[..4].copy_from_slice(&place.segment.to_be_bytes());
    out[4..12].copy_from_slice(&place.offset.to_be_bytes());
    out[12..].copy_from_slice(&place.len.to_be_bytes());
    out
}

fn place_at(bytes: &[u8], at: usize) -> Option<Location> {
    let place = Location {
        segment: u32::from_be_bytes(array_at(bytes, at)),
        offset: u64::from_be_bytes(array_at(bytes, at + 4)),
        len: u32::from_be_bytes(array_at(bytes, at + 12)),
    };
    (place.segment > 0).then_some(place)
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn remove_quietly(marker: &Path) {
    if let Err(error) = std::fs::remove_file(marker)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %marker.display(), %error, "a stale marker stays behind; it may cost one rebuild of the index");
    }
}
