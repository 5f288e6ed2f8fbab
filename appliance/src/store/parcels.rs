//! The outbox of one backend: two cursors over the ledger, one of piece records and one of decisions.
//!
//! Nothing is queued twice: an entry *is* the parcel, and the backend's standing (cursors, what is settled beyond them, what is
//! quarantined, what was released from there) says what became of it. Piece records and decisions are each numbered without gaps
//! from 1, so `kept = delivered + waiting + quarantined` holds by construction: waiting is the difference. A decision waits until
//! every piece record before it is settled: nobody is told of the overrule of a piece that they have not heard of.
//!
//! Invariants: the cursor never passes a record that is neither delivered nor quarantined; a change counts in memory only after
//! it is durable, so a crash between the backend's acknowledgement and the change leads to a repeat, never to a loss. A record that
//! is damaged in the ledger is quarantined with words that say so; it is never skipped in silence.
//!
//! `outbox/NAME.mark` is a copy of the standing, some hundred deliveries old at most: if the view is lost, delivery starts again
//! from there and not from the first record. First line: CRC32C of the rest, in hexadecimal; then one line of JSON.

use super::StoreError;
use super::ledger::LedgerError;
use super::shared::{Shared, lock};
use super::view::{Standing, View, ViewError};
use crate::outbox::{DECISIONS, NamedPiece, Outbox, OutboxCounts, OutboxError, Parcel, name_of};
use serde::{Deserialize, Serialize};
use station::decision::Decision;
use station::record::{Body, Entry};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A mark is written after this many deliveries.
const MARK_EVERY: u64 = 256;
/// A backend's words are cut here: they are for a person to read.
const WORDS_MAX: usize = 2000;
/// Quarantined for damage within one call of `next`, so that one call stays short.
const DAMAGED_MAX: usize = 64;

/// The outbox of one backend.
#[derive(Debug)]
pub struct Parcels {
    backend: String,
    shared: Arc<Shared>,
    /// The cursor of the mark, if there is one. Held while a change is on its way to the disk; `standing` is not, so that counting
    /// never waits for the disk.
    changing: Mutex<Option<u64>>,
    standing: Mutex<Arc<Standing>>,
    /// False as long as no view was there to ask: the standing is that of the mark, and more may have been delivered.
    is_sure: AtomicBool,
}

impl Parcels {
    pub(super) fn load(backend: &str, shared: Arc<Shared>) -> Result<Self, OutboxError> {
        let fail = |what: String| OutboxError { backend: backend.to_owned(), what };
        if !is_name(backend) {
            return Err(fail("a backend's name is 1 to 40 of a-z, 0-9, - and _".to_owned()));
        }
        let mark = read_mark(&mark_path(&shared.dir, backend));
        let changing = Mutex::new(mark.as_ref().map(|mark| mark.cursor));
        let standing = mark.unwrap_or_default();
        let view = shared.view();
        let parcels = Self {
            backend: backend.to_owned(),
            shared,
            changing,
            standing: Mutex::new(Arc::new(standing)),
            is_sure: AtomicBool::new(false),
        };
        match view {
            Ok(view) => parcels.carry_over(&view).map_err(|error| fail(error.to_string()))?,
            // On a full disk there may be no view. The line runs without, and nothing is sent until there is one again.
            Err(error) => tracing::warn!(backend, %error, "nothing is delivered until the index is there again"),
        }
        Ok(parcels)
    }

    /// What the backend refused for good, with its words.
    pub fn quarantined(&self) -> BTreeMap<u64, String> {
        self.standing().quarantined.clone()
    }

    /// Brings standing and view together: the one that knows of more deliveries is right. Done whenever the view is another one.
    pub(super) fn carry_over(&self, view: &View) -> Result<(), ViewError> {
        let mut marked = lock(&self.changing);
        let (known, mine) = (view.standing(&self.backend)?, self.standing());
        match known {
            Some(known) if !self.is_sure.load(Ordering::Relaxed) && settled(&known) >= settled(&mine) => {
                let lacks = marked.is_none() && settled(&known) > 0;
                if lacks && write_mark(&mark_path(&self.shared.dir, &self.backend), &known).is_ok() {
                    *marked = Some(known.cursor);
                }
                *lock(&self.standing) = Arc::new(known);
            }
            known => view.settle(&self.backend, &known.unwrap_or_default(), &mine)?,
        }
        self.is_sure.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn standing(&self) -> Arc<Standing> {
        Arc::clone(&lock(&self.standing))
    }

    fn fail(&self, what: impl ToString) -> OutboxError {
        OutboxError { backend: self.backend.clone(), what: what.to_string() }
    }

    fn change(&self, edit: impl FnOnce(&mut Standing)) -> Result<(), OutboxError> {
        let mut marked = lock(&self.changing);
        let old = self.standing();
        let mut new = Standing::clone(&old);
        edit(&mut new);
        while new.ahead.remove(&(new.cursor + 1)) {
            new.cursor += 1;
        }
        while new.ahead.remove(&(DECISIONS + new.decided + 1)) {
            new.decided += 1;
        }
        if new == *old {
            return Ok(());
        }
        self.shared.ask(|view| view.settle(&self.backend, &old, &new)).map_err(|error| self.fail(error))?;
        let mark_due = marked.is_none_or(|marked| new.cursor >= marked + MARK_EVERY) || new.quarantined.len() != old.quarantined.len();
        if mark_due && write_mark(&mark_path(&self.shared.dir, &self.backend), &new).is_ok() {
            *marked = Some(new.cursor);
        }
        *lock(&self.standing) = Arc::new(new);
        Ok(())
    }

    fn check(&self, result_ids: &[u64]) -> Result<(), OutboxError> {
        let (pieces, decisions) = (self.shared.kept_pieces(), self.shared.kept_decisions());
        let known = |id: u64| (1..=pieces).contains(&id) || id.checked_sub(DECISIONS).is_some_and(|id| (1..=decisions).contains(&id));
        match result_ids.iter().find(|id| !known(**id)) {
            Some(id) => Err(self.fail(format!("there is no {}; the last ones are {pieces} and {decisions}", name_of(*id)))),
            None => Ok(()),
        }
    }

    /// `None` if the record is damaged.
    fn parcel(&self, number: u64) -> Result<Option<Parcel>, OutboxError> {
        let Some(decision) = number.checked_sub(DECISIONS) else {
            return Ok(self.whole(self.shared.piece(number))?.map(|entry| Parcel::piece(number, Arc::new(entry))));
        };
        let Some(entry) = self.whole(self.shared.decision(decision))? else { return Ok(None) };
        let Body::Decided(record) = &entry.body else { return Ok(None) };
        let (mut about, mut named) = (Vec::new(), Vec::new());
        if let Some(result_id) = record.decision.result_id() {
            about.extend(self.whole(self.shared.piece(result_id))?.map(Arc::new));
            for earlier in self.shared.decisions_about(result_id).map_err(|error| self.fail(error))? {
                let overrule = self.whole(self.shared.decision(earlier).map(|entry| entry.filter(|_| earlier < decision)))?;
                about.extend(overrule.filter(is_overrule).map(Arc::new));
            }
        }
        for result_id in record.decision.set().into_iter().flat_map(|set| &set.results).flat_map(|range| range.first..=range.last) {
            let piece = self.whole(self.shared.piece(result_id))?;
            let arrival = piece.as_ref().and_then(|entry| if let Body::Piece(piece) = &entry.body { Some(&piece.arrival) } else { None });
            let (serial, lot) = arrival.map_or((None, 0), |arrival| (arrival.serial.clone(), arrival.lot));
            named.push(NamedPiece { result_id, serial, lot });
        }
        Ok(Some(Parcel { result_id: number, entry: Arc::new(entry), about, named }))
    }

    fn whole(&self, read: Result<Option<Entry>, StoreError>) -> Result<Option<Entry>, OutboxError> {
        match read {
            Err(StoreError::Ledger(LedgerError::Lost { .. })) => Ok(None),
            read => read.map_err(|error| self.fail(error)),
        }
    }

    /// Number of the last piece record before a decision; 0 if the decision is damaged, and then it holds up nobody.
    fn results_before(&self, decision: u64) -> Result<u64, OutboxError> {
        let entry = self.whole(self.shared.decision(decision))?;
        Ok(entry.map_or(0, |entry| if let Body::Decided(record) = &entry.body { record.results } else { 0 }))
    }

    /// The parcels of these numbers, until there are `limit`; what is damaged is quarantined.
    fn gather(&self, numbers: impl Iterator<Item = u64>, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        let (mut parcels, mut damaged) = (Vec::new(), Vec::new());
        for number in numbers {
            if parcels.len() >= limit || damaged.len() >= DAMAGED_MAX {
                break;
            }
            match self.parcel(number)? {
                Some(parcel) => parcels.push(parcel),
                None => damaged.push(number),
            }
        }
        for number in damaged {
            let words = format!("not sent: the {} is damaged in the ledger; `jidoka verify` names the place", name_of(number));
            self.quarantine(number, &words)?;
        }
        Ok(parcels)
    }

    fn standing_for_sure(&self) -> Result<Arc<Standing>, OutboxError> {
        if self.is_sure.load(Ordering::Relaxed) {
            return Ok(self.standing());
        }
        Err(self.fail("there is no index to tell what was delivered; it comes back when the disk has room"))
    }
}

fn is_overrule(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Decided(record) if matches!(record.decision, Decision::Overrule { .. }))
}

impl Outbox for Parcels {
    fn backend(&self) -> &str {
        &self.backend
    }

    fn next(&self, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        let standing = self.standing_for_sure()?;
        if !standing.again.is_empty() {
            return self.gather(standing.again.iter().copied(), limit);
        }
        // Decisions are rare: the first one that waits decides, and once it may go it goes first.
        let first = standing.decided + 1;
        let mut due = Vec::new();
        for decision in (first..=self.shared.kept_decisions()).filter(|id| !standing.ahead.contains(&(DECISIONS + id))).take(limit) {
            if self.results_before(decision)? > standing.cursor {
                break;
            }
            due.push(DECISIONS + decision);
        }
        let pieces = (standing.cursor + 1..=self.shared.kept_pieces()).filter(|id| !standing.ahead.contains(id));
        self.gather(due.into_iter().chain(pieces), limit)
    }

    fn next_from(&self, from: u64, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        let standing = self.standing_for_sure()?;
        let pieces = from.max(standing.cursor + 1)..=self.shared.kept_pieces();
        self.gather(pieces.filter(|id| !standing.ahead.contains(id)), limit)
    }

    fn newest(&self) -> u64 {
        self.shared.kept_pieces()
    }

    fn delivered(&self, result_ids: &[u64]) -> Result<(), OutboxError> {
        self.check(result_ids)?;
        self.change(|standing| {
            for id in result_ids {
                let was_refused = standing.quarantined.remove(id).is_some() || standing.again.remove(id);
                let is_new = !standing.is_settled(*id) && standing.ahead.insert(*id);
                standing.delivered += u64::from(was_refused || is_new);
            }
        })
    }

    fn quarantine(&self, result_id: u64, words: &str) -> Result<(), OutboxError> {
        self.check(&[result_id])?;
        self.change(|standing| {
            let is_back = standing.again.remove(&result_id);
            if is_back || (!standing.is_settled(result_id) && standing.ahead.insert(result_id)) {
                standing.quarantined.insert(result_id, words.chars().take(WORDS_MAX).collect());
            }
        })
    }

    fn release(&self, result_ids: &[u64]) -> Result<u64, OutboxError> {
        let mut released = 0;
        self.change(|standing| {
            for id in result_ids {
                if standing.quarantined.remove(id).is_some() {
                    standing.again.insert(*id);
                    released += 1;
                }
            }
        })?;
        Ok(released)
    }

    fn counts(&self) -> OutboxCounts {
        let standing = self.standing();
        let quarantined = standing.quarantined.len().try_into().unwrap_or(u64::MAX);
        let kept = self.shared.kept_pieces() + self.shared.kept_decisions();
        let waiting = kept.saturating_sub(standing.delivered + quarantined);
        OutboxCounts { kept, delivered: standing.delivered, waiting, quarantined }
    }
}

#[derive(Serialize, Deserialize)]
struct Mark {
    cursor: u64,
    delivered: u64,
    ahead: BTreeSet<u64>,
    quarantined: BTreeMap<u64, String>,
    #[serde(default)]
    decided: u64,
    #[serde(default)]
    again: BTreeSet<u64>,
}

/// The highest piece record that any backend has settled, as the marks in `dir` tell: it was kept once.
pub(super) fn settled_at_least(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join(DIR)).into_iter().flatten().flatten();
    let marks = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "mark"));
    marks
        .filter_map(|path| read_mark(&path))
        .map(|mark| mark.ahead.range(..DECISIONS).next_back().copied().unwrap_or(mark.cursor))
        .max()
        .unwrap_or(0)
}

/// Writes the mark of every backend.
pub(super) fn write_marks(dir: &Path, standings: &BTreeMap<String, Standing>) -> io::Result<()> {
    standings.iter().try_for_each(|(backend, standing)| write_mark(&mark_path(dir, backend), standing))
}

/// Marks that cannot be read, with their sizes.
pub(super) fn damaged_marks(dir: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(dir.join(DIR)).into_iter().flatten().flatten();
    let marks = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "mark"));
    marks
        .filter(|path| read_mark(path).is_none())
        .map(|path| (path.clone(), std::fs::metadata(&path).map_or(0, |meta| meta.len())))
        .collect()
}

/// Where marks are missing of backends that have taken something.
pub(super) fn missing_marks(dir: &Path, standings: &BTreeMap<String, Standing>) -> Vec<PathBuf> {
    let heard = standings.iter().filter(|(_, standing)| settled(standing) > 0);
    heard.map(|(backend, _)| mark_path(dir, backend)).filter(|path| !path.exists()).collect()
}

const DIR: &str = "outbox";

fn mark_path(dir: &Path, backend: &str) -> PathBuf {
    dir.join(DIR).join(format!("{backend}.mark"))
}

fn read_mark(path: &Path) -> Option<Standing> {
    let text = std::fs::read_to_string(path).ok()?;
    let (crc, json) = text.split_once('\n')?;
    // As it was written: a digit in upper case is a flipped bit too.
    if crc != format!("{:08x}", crc32c::crc32c(json.as_bytes())) {
        return None;
    }
    let Mark { cursor, delivered, ahead, quarantined, decided, again } = serde_json::from_str(json).ok()?;
    Some(Standing { cursor, delivered, ahead, quarantined, decided, again })
}

fn write_mark(path: &Path, standing: &Standing) -> io::Result<()> {
    let Standing { cursor, delivered, ahead, quarantined, decided, again } = standing.clone();
    let json = serde_json::to_string(&Mark { cursor, delivered, ahead, quarantined, decided, again })?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    write!(file, "{:08x}\n{json}", crc32c::crc32c(json.as_bytes()))?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

fn settled(standing: &Standing) -> u64 {
    standing.cursor + standing.decided + u64::try_from(standing.ahead.len()).unwrap_or(0)
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(plain)
}
