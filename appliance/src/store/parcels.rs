//! The outbox of one backend: a cursor over the piece records of the ledger.
//!
//! Nothing is queued twice: a piece record *is* the parcel, and the backend's standing (cursor, what is settled beyond it, what is
//! quarantined) says what became of it. Piece records are numbered without gaps from 1, so
//! `kept = delivered + waiting + quarantined` holds by construction: waiting is the difference.
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
use crate::outbox::{Outbox, OutboxCounts, OutboxError, Parcel};
use serde::{Deserialize, Serialize};
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
    /// Held while a change is on its way to the disk; `standing` is not, so that counting never waits for the disk.
    changing: Mutex<u64>,
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
        let standing = read_mark(&mark_path(&shared.dir, backend)).unwrap_or_default();
        let changing = Mutex::new(standing.cursor);
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
                *marked = known.cursor;
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
        if new == *old {
            return Ok(());
        }
        self.shared.ask(|view| view.settle(&self.backend, &old, &new)).map_err(|error| self.fail(error))?;
        let mark_due = new.cursor >= *marked + MARK_EVERY || new.quarantined.len() != old.quarantined.len();
        if mark_due && write_mark(&mark_path(&self.shared.dir, &self.backend), &new).is_ok() {
            *marked = new.cursor;
        }
        *lock(&self.standing) = Arc::new(new);
        Ok(())
    }

    fn check(&self, result_ids: &[u64]) -> Result<(), OutboxError> {
        let kept = self.shared.kept_pieces();
        match result_ids.iter().find(|id| **id == 0 || **id > kept) {
            Some(id) => Err(self.fail(format!("there is no piece record {id}; the last one is {kept}"))),
            None => Ok(()),
        }
    }

    /// `None` if the record is damaged.
    fn parcel(&self, result_id: u64) -> Result<Option<Parcel>, OutboxError> {
        match self.shared.piece(result_id) {
            Ok(entry) => Ok(entry.map(|entry| Parcel { result_id, entry: Arc::new(entry) })),
            Err(StoreError::Ledger(LedgerError::Lost { .. })) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }
}

impl Outbox for Parcels {
    fn backend(&self) -> &str {
        &self.backend
    }

    fn next(&self, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        if !self.is_sure.load(Ordering::Relaxed) {
            return Err(self.fail("there is no index to tell what was delivered; it comes back when the disk has room"));
        }
        let (standing, kept) = (self.standing(), self.shared.kept_pieces());
        if limit == 0 || standing.cursor >= kept {
            return Ok(Vec::new());
        }
        let (mut parcels, mut damaged) = (Vec::new(), Vec::new());
        for result_id in (standing.cursor + 1..=kept).filter(|id| !standing.ahead.contains(id)) {
            match self.parcel(result_id)? {
                Some(parcel) => parcels.push(parcel),
                None => damaged.push(result_id),
            }
            if parcels.len() == limit || damaged.len() == DAMAGED_MAX {
                break;
            }
        }
        for result_id in damaged {
            self.quarantine(result_id, "not sent: the piece record is damaged in the ledger; `jidoka verify` names the place")?;
        }
        Ok(parcels)
    }

    fn delivered(&self, result_ids: &[u64]) -> Result<(), OutboxError> {
        self.check(result_ids)?;
        self.change(|standing| {
            for id in result_ids {
                let was_refused = standing.quarantined.remove(id).is_some();
                let is_new = *id > standing.cursor && standing.ahead.insert(*id);
                standing.delivered += u64::from(was_refused || is_new);
            }
        })
    }

    fn quarantine(&self, result_id: u64, words: &str) -> Result<(), OutboxError> {
        self.check(&[result_id])?;
        self.change(|standing| {
            if result_id > standing.cursor && standing.ahead.insert(result_id) {
                standing.quarantined.insert(result_id, words.chars().take(WORDS_MAX).collect());
            }
        })
    }

    fn counts(&self) -> OutboxCounts {
        let standing = self.standing();
        let quarantined = standing.quarantined.len().try_into().unwrap_or(u64::MAX);
        let kept = self.shared.kept_pieces();
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
}

/// The highest piece record that any backend has settled, as the marks in `dir` tell: it was kept once.
pub(super) fn settled_at_least(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join(DIR)).into_iter().flatten().flatten();
    let marks = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "mark"));
    marks.filter_map(|path| read_mark(&path)).map(|mark| mark.ahead.last().copied().unwrap_or(mark.cursor)).max().unwrap_or(0)
}

const DIR: &str = "outbox";

fn mark_path(dir: &Path, backend: &str) -> PathBuf {
    dir.join(DIR).join(format!("{backend}.mark"))
}

fn read_mark(path: &Path) -> Option<Standing> {
    let text = std::fs::read_to_string(path).ok()?;
    let (crc, json) = text.split_once('\n')?;
    if u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
        return None;
    }
    let Mark { cursor, delivered, ahead, quarantined } = serde_json::from_str(json).ok()?;
    Some(Standing { cursor, delivered, ahead, quarantined })
}

fn write_mark(path: &Path, standing: &Standing) -> io::Result<()> {
    let Standing { cursor, delivered, ahead, quarantined } = standing.clone();
    let json = serde_json::to_string(&Mark { cursor, delivered, ahead, quarantined })?;
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
    standing.cursor + u64::try_from(standing.ahead.len()).unwrap_or(0)
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(plain)
}
