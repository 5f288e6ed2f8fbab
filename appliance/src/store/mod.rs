//! What the appliance remembers: the ledger is the truth, the view is what is asked, the pictures are beside them.
//!
//! ```text
//! DIR/lock            held by the one process that may write here; its process number
//! DIR/ledger/         the evidence (segment.rs: the bytes; ledger.rs keeps, read.rs reads, walk.rs and verify.rs check)
//! DIR/view/           indexes, rows and outbox standings (view.rs, rows/, parcels.rs), built again from the ledger when in doubt
//! DIR/outbox/         a copy of every standing, for the day on which the view is lost
//! DIR/images/         pictures and their register (images.rs, images/; pictures.rs brings records and pictures together)
//! DIR/signatures      what the station has vouched for, with station.key and station.pub (sign.rs)
//! DIR/ballast         room for the stop on a full disk (ballast.rs)
//! ```
//!
//! Invariants: an entry is *kept* when the ledger's `fdatasync` returned; the view follows and never holds a record up.
//! On a full disk pictures go first, then entries are refused (and stay with the caller, who may give them again), and only
//! a batch that says why the line stands (start, stop, acknowledgement, checkpoint) may use the ballast. No record is ever deleted.

mod ahead;
pub mod archive;
mod ballast;
mod codec;
pub mod copy;
pub mod examine;
mod found;
pub mod images;
pub mod ledger;
mod parcels;
pub mod pictures;
pub mod read;
pub mod rows;
pub mod segment;
mod shared;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod verify;
mod view;
pub mod walk;

use crate::outbox::{Outbox, OutboxError};
use ballast::Ballast;
pub use found::{Found, FoundPart};
use images::Images;
use images::policy::Retention;
use ledger::{Ledger, LedgerError, LedgerReport};
use parcels::Parcels;
use read::Kept;
use rows::question::Unknown;
use serde::Serialize;
use shared::{Shared, lock};
use station::piece::PieceId;
use station::record::{Body, Entry, EntryNumber};
use station::station::Past;
use station::verdict::Verdict;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use view::{SearchError, View, ViewError};
use walk::{Fault, Head};

pub(crate) const LEDGER: &str = "ledger";
/// The view is made durable after this many entries. What a power cut takes from it is read from the ledger again.
const VIEW_SYNC_EVERY: usize = 512;
/// Pictures deleted at once when the disk is full.
const SHED_BYTES: u64 = 1 << 20;

/// How much room the store may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreSettings {
    /// A segment that has reached this many bytes is sealed. One segment at a time is read into memory.
    pub segment_bytes: u64,
    /// Which pictures stay, and for how long.
    pub images: Retention,
    /// Room kept back for a full disk; 0 for none.
    pub ballast_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, images: Retention::within(1 << 30), ballast_bytes: 4 << 20 }
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{} is in use by process {pid}: stop that one first, or give this one another directory", .dir.display())]
    InUse {
        /// The store.
        dir: PathBuf,
        /// The other process; `unknown` if it could not write its number.
        pid: String,
    },
    /// The directory cannot be used.
    #[error("cannot {what} {}", .path.display())]
    Directory {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger cannot be walked.
    #[error(transparent)]
    Walk(#[from] walk::WalkError),
    /// The view refused.
    #[error("{0}; the ledger is not affected")]
    View(String),
    /// A question cannot be answered as it is asked.
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

impl StoreError {
    /// True if the same call may succeed later without anybody's help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Ledger(error) => error.is_retryable(),
            Self::View(_) => true,
            _ => false,
        }
    }

    /// True if the disk is full.
    #[must_use]
    pub const fn is_disk_full(&self) -> bool {
        matches!(self, Self::Ledger(LedgerError::Full { .. }))
    }
}

impl From<SearchError> for StoreError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Unknown(unknown) => unknown.into(),
            SearchError::View(error) => error.into(),
        }
    }
}

impl From<ViewError> for StoreError {
    fn from(error: ViewError) -> Self {
        Self::View(error.to_string())
    }
}

/// What was found when the store was opened. Everything in it is worth an alarm, except a torn end and `caught_up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OpenReport {
    /// The ledger.
    pub ledger: LedgerReport,
    /// The view.
    pub view: ViewReport,
    /// True if the ballast is in place; false means that the disk is full or nearly so.
    pub ballast: bool,
    /// Why no pictures can be kept, if they cannot.
    pub images_missing: Option<String>,
}

/// What became of the view at opening.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ViewReport {
    /// Why it was built again, if it was.
    pub rebuilt: Option<String>,
    /// Where the unusable directory is now.
    pub set_aside: Option<PathBuf>,
    /// Entries it had to read from the ledger.
    pub caught_up: u64,
    /// Why there is none, if there is none. Records are kept all the same; nothing is uploaded or found meanwhile.
    pub missing: Option<String>,
}

impl OpenReport {
    /// What a person must be told, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let faults = self.ledger.faults.iter();
        let mut out: Vec<_> = faults
            .map(|fault| format!("{}, bytes {} to {}: {}; {}", fault.file.display(), fault.from, fault.to, fault.what, fault.mend))
            .collect();
        out.extend(self.view.rebuilt.iter().map(|why| format!("the index was built again from the ledger: {why}")));
        out.extend(self.view.missing.iter().map(|why| format!("there is no index, nothing can be uploaded or found: {why}")));
        out.extend(self.images_missing.iter().map(|why| format!("pictures are not kept: {why}")));
        if !self.ballast {
            out.push("the disk is too full for the ballast: free some space".to_owned());
        }
        out
    }
}

/// How the store is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The last entry kept.
    pub head: Head,
    /// False: the disk is or was full.
    pub ballast: bool,
    /// Why there is no view, if there is none.
    pub view_missing: Option<String>,
    /// Bytes of all pictures.
    pub image_bytes: u64,
}

/// The store. Shared between the thread that keeps, the uploaders and whoever asks.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    images: Arc<Images>,
    outboxes: Mutex<BTreeMap<String, Arc<Parcels>>>,
    past: Past,
    /// Locked as long as the store is open.
    lock: File,
}

#[derive(Debug)]
struct Writer {
    ledger: Ledger,
    ballast: Ballast,
    /// Entries since the view was synced.
    unsynced: usize,
}

impl Store {
    /// Opens or creates the store in `dir`. Damage is reported, not refused; what is whole goes on.
    pub fn open(dir: &Path, settings: StoreSettings) -> Result<(Self, OpenReport), StoreError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Directory { what, path, source }
        };
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let lock = lock_dir(dir)?;
        let images_dir = dir.join("images");
        let (images, images_missing) = match Images::open(&images_dir, settings.images) {
            Ok(images) => (images, None),
            Err(error) => (Images::look(&images_dir), Some(told(&error))),
        };
        let mut ballast = Ballast::open(dir, settings.ballast_bytes);
        let has_room = Ballast::has_room_in(dir);
        if !has_room && ballast.release() {
            tracing::warn!("the disk is full; the ballast is given up so that the store can open");
        }
        let opened = View::open(&dir.join(VIEW));
        let witness = opened.as_ref().ok().and_then(|view| view.head().ok()).unwrap_or_default();
        let witness = Head { pieces: witness.pieces.max(parcels::settled_at_least(dir)), ..witness };
        let (ledger, ledger_report, past) = Ledger::open(&dir.join(LEDGER), settings.segment_bytes, witness)?;
        let (view, view_report) = bring_up(dir, opened, ledger.head(), has_room);
        let report = OpenReport {
            ledger: ledger_report,
            view: view_report,
            ballast: ballast.is_there() || settings.ballast_bytes == 0,
            images_missing,
        };
        let seen = Mutex::new((ledger.head(), report.ballast));
        let decisions = AtomicU64::new(decisions_of(&past));
        let shared = Arc::new(Shared { dir: dir.to_owned(), view: RwLock::new(view), seen, decisions });
        let writer = Mutex::new(Writer { ledger, ballast, unsynced: 0 });
        let store = Self { shared, writer, images: Arc::new(images), outboxes: Mutex::default(), past, lock };
        store.hold_pictures();
        Ok((store, report))
    }

    /// What the station must know of the time before this opening: where the chain ends, the last checkpoint, and what followed.
    ///
    /// If the last entry is damaged the chain goes on from its digest all the same, and the numbers of lost piece records are
    /// not given again: the count in the checkpoint already skips them.
    #[must_use]
    pub fn resume(&self) -> Past {
        self.past.clone()
    }

    /// The highest `result_id` ever kept: the number of piece records.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.shared.kept_pieces()
    }

    /// Keeps entries: they are durable when this returns. Gives back the number of the last one (or of the last ever kept).
    ///
    /// After an error that is retryable nothing of the batch was kept: give the same entries again later.
    pub fn keep<E: Borrow<Entry>>(&self, entries: &[E]) -> Result<EntryNumber, StoreError> {
        let mut writer = lock(&self.writer);
        let places = loop {
            match writer.ledger.append(entries) {
                Err(error @ LedgerError::Full { .. }) => {
                    let shed = self.images.shed(SHED_BYTES).unwrap_or(0);
                    if shed == 0 && !(entries.iter().any(|entry| may_use_ballast(entry.borrow())) && writer.ballast.release()) {
                        return Err(error.into());
                    }
                    tracing::warn!(
                        pictures_shed_bytes = shed,
                        ballast = writer.ballast.is_there(),
                        "the disk is full; room was made for records"
                    );
                }
                done => break done?,
            }
        };
        let head = writer.ledger.head();
        self.follow(&mut writer, entries, &places, head);
        if let Some(last) = entries.iter().rev().find_map(|entry| shared::decision_number(entry.borrow())) {
            self.shared.decisions.store(last, Ordering::Relaxed);
            entries.iter().for_each(|entry| self.heed(entry.borrow()));
        }
        *lock(&self.shared.seen) = (head, writer.ballast.is_there());
        Ok(head.number)
    }

    /// Brings the view after the ledger. Whatever fails here, the entries are kept.
    fn follow<E: Borrow<Entry>>(&self, writer: &mut Writer, entries: &[E], places: &[segment::Location], head: Head) {
        let Ok(view) = self.shared.view() else { return };
        let entries: Vec<_> = entries.iter().map(Borrow::borrow).zip(places.iter().copied()).collect();
        let taken = if entries.is_empty() { Ok(()) } else { view.take(&entries, head) };
        writer.unsynced += entries.len();
        let due = writer.unsynced >= VIEW_SYNC_EVERY;
        let done = taken.and_then(|()| if due { view.sync() } else { Ok(()) });
        if due {
            writer.unsynced = 0;
        }
        drop(view);
        if let Err(error) = done {
            self.shared.view_failed(&error);
        }
    }

    /// Brings back what is missing, if it can: ballast that was given up, a view that was closed or is wrong. To be called from
    /// time to time by a thread that may wait for the disk; entries are kept meanwhile.
    pub fn mend(&self) {
        let mut writer = lock(&self.writer);
        if !writer.ballast.is_there() && writer.ballast.restore() {
            lock(&self.shared.seen).1 = true;
        }
        drop(writer);
        if self.shared.view().is_err() {
            self.mend_view();
        }
    }

    fn mend_view(&self) {
        let (dir, head) = (self.shared.dir.join(VIEW), lock(&self.writer).ledger.head());
        let opened = View::open(&dir);
        if let Err(error) = &opened
            && !View::is_doubted(&dir)
        {
            // A disk that is ill is no reason to begin anew.
            tracing::debug!(%error, "the index stays closed");
            return;
        }
        // Everything that takes long goes before the lock without which no entry is kept.
        let (view, report) = bring_up(&self.shared.dir, opened, head, Ballast::has_room_in(&self.shared.dir));
        if let Some(why) = &report.rebuilt {
            tracing::error!(entries = report.caught_up, "the index was built again from the ledger: {why}");
        }
        let writer = lock(&self.writer);
        let outboxes = lock(&self.outboxes);
        let brought = view.and_then(|view| {
            view.catch_up(&self.shared.ledger_dir(), writer.ledger.head()).map_err(|error| error.to_string())?;
            outboxes.values().try_for_each(|parcels| parcels.carry_over(&view)).map_err(|error| error.to_string())?;
            Ok(view)
        });
        *self.shared.view.write().unwrap_or_else(PoisonError::into_inner) = brought;
    }

    /// Throws the view away and builds it again from the ledger. Gives back how many entries were read.
    pub fn rebuild_view(&self) -> Result<u64, StoreError> {
        let writer = lock(&self.writer);
        // Whoever settles a delivery meanwhile holds that outbox and asks for the view: it is not held while outboxes are.
        let put = |view| std::mem::replace(&mut *self.shared.view.write().unwrap_or_else(PoisonError::into_inner), view);
        // Where the backends stand is no function of the ledger: it goes over to the new view.
        let old = put(Err("it is being built again".to_owned()));
        let standings = old.ok().and_then(|view| view.standings().ok()).unwrap_or_default();
        let outboxes = lock(&self.outboxes);
        let (view, report) = rebuild(&self.shared.dir, writer.ledger.head(), "it was asked for".to_owned());
        let view = view.map_err(|why| {
            drop(put(Err(why.clone())));
            StoreError::View(why)
        })?;
        for (backend, standing) in &standings {
            view.settle(backend, &view::Standing::default(), standing)?;
        }
        outboxes.values().try_for_each(|parcels| parcels.carry_over(&view))?;
        drop(put(Ok(view)));
        Ok(report.caught_up)
    }

    /// Writes down where every backend stands, exactly: for a station that moves and leaves its index behind.
    ///
    /// # Errors
    /// If the index cannot be read or a mark not written.
    pub fn write_marks(&self) -> Result<(), StoreError> {
        let standings = self.shared.ask(View::standings)?;
        parcels::write_marks(&self.shared.dir, &standings).map_err(|source| StoreError::Directory {
            what: "write marks in",
            path: self.shared.dir.clone(),
            source,
        })
    }

    /// Signs everything that is durable (see `sign.rs`). Does not hold up who keeps.
    ///
    /// # Errors
    /// If the key or the signatures cannot be made, read or written.
    pub fn sign(&self, wall_micros: i64) -> Result<Option<sign::Checkpoint>, sign::SignError> {
        sign::sign(&self.shared.dir, wall_micros)
    }

    /// The outbox of a backend. Asking twice gives the same one.
    pub fn outbox(&self, backend: &str) -> Result<Arc<dyn Outbox>, OutboxError> {
        Ok(self.parcels(backend)?)
    }

    /// What a backend refused for good, with its words, by piece record.
    pub fn quarantined(&self, backend: &str) -> Result<BTreeMap<u64, String>, OutboxError> {
        Ok(self.parcels(backend)?.quarantined())
    }

    /// What every backend refused for good, with its words; a backend that refused nothing has nothing.
    ///
    /// # Errors
    /// A view that is missing or cannot be read.
    pub fn quarantines(&self) -> Result<BTreeMap<String, BTreeMap<u64, String>>, StoreError> {
        let standings = self.shared.ask(View::standings)?;
        Ok(standings.into_iter().map(|(backend, standing)| (backend, standing.quarantined)).collect())
    }

    fn parcels(&self, backend: &str) -> Result<Arc<Parcels>, OutboxError> {
        let mut outboxes = lock(&self.outboxes);
        if let Some(parcels) = outboxes.get(backend) {
            return Ok(Arc::clone(parcels));
        }
        let parcels = Arc::new(Parcels::load(backend, Arc::clone(&self.shared))?);
        outboxes.insert(backend.to_owned(), Arc::clone(&parcels));
        Ok(parcels)
    }

    /// The entry of a piece record; `None` if there never was one. A damaged one is an error, never a wrong answer.
    pub fn piece(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        self.shared.piece(result_id)
    }

    /// The decisions about one piece, oldest first; those that are damaged in the ledger are left out.
    pub fn decisions_about(&self, result_id: u64) -> Result<Vec<Entry>, StoreError> {
        let ids = self.shared.decisions_about(result_id)?;
        let whole = ids.into_iter().map(|id| self.shared.decision(id));
        whole.filter(|read| !matches!(read, Err(StoreError::Ledger(LedgerError::Lost { .. })))).filter_map(Result::transpose).collect()
    }

    /// Every piece record with this serial, oldest first.
    pub fn find(&self, serial: &str) -> Result<Vec<Entry>, StoreError> {
        let mut found = self.entries(&self.shared.ask(|view| view.with_serial(serial))?)?;
        found.retain(|entry| matches!(&entry.body, Body::Piece(piece) if piece.arrival.serial.as_deref() == Some(serial)));
        Ok(found)
    }

    /// Every piece record of this PLC piece number, oldest first (a PLC may count from the start again).
    pub fn find_piece(&self, piece: PieceId) -> Result<Vec<Entry>, StoreError> {
        self.entries(&self.shared.ask(|view| view.with_piece(piece))?)
    }

    /// The last `limit` piece records with this verdict, newest first; fewer if some are damaged in the ledger.
    pub fn last_with(&self, verdict: Verdict, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let ids = self.shared.ask(|view| view.with_verdict(verdict, limit))?;
        let whole =
            ids.into_iter().map(|id| self.piece(id)).filter(|read| !matches!(read, Err(StoreError::Ledger(LedgerError::Lost { .. }))));
        whole.filter_map(Result::transpose).collect()
    }

    fn entries(&self, result_ids: &[u64]) -> Result<Vec<Entry>, StoreError> {
        result_ids.iter().filter_map(|id| self.piece(*id).transpose()).collect()
    }

    /// Visits every whole entry from `from` on, in order, until the visitor breaks off. Gives back what was passed over because
    /// it is damaged.
    pub fn read_from(&self, from: EntryNumber, visit: &mut dyn FnMut(Kept) -> ControlFlow<()>) -> Result<Vec<Fault>, StoreError> {
        Ok(read::read_from(&self.shared.ledger_dir(), from, visit)?.faults)
    }

    /// The pictures.
    #[must_use]
    pub fn images(&self) -> Arc<Images> {
        Arc::clone(&self.images)
    }

    /// How the store is now. Never waits for the disk.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let (head, ballast) = *lock(&self.shared.seen);
        Condition { head, ballast, view_missing: self.shared.view().err().map(|error| error.to_string()), image_bytes: self.images.bytes() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Ok(view) = self.shared.view()
            && let Err(error) = view.sync()
        {
            tracing::warn!(%error, "the index was not written; the next start reads it from the ledger");
        }
        // Closing is not enough: a process that is just being started by this one holds a copy of every open file until it runs.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the store's lock was not given back");
        }
    }
}

const VIEW: &str = "view";

/// The view as opened if it agrees with the ledger, else a new one.
fn bring_up(dir: &Path, opened: Result<View, ViewError>, head: Head, has_room: bool) -> (Result<View, String>, ViewReport) {
    let ledger_dir = dir.join(LEDGER);
    let is_first = opened.as_ref().is_ok_and(|view| view.head().is_ok_and(|known| known.number.0 == 0));
    let reason = match opened {
        Ok(view) => match view.agrees(&ledger_dir, head) {
            Ok(true) => match view.catch_up(&ledger_dir, head) {
                Ok(caught_up) => {
                    let rebuilt = (is_first && caught_up > 0).then(|| "it was empty".to_owned());
                    return (Ok(view), ViewReport { caught_up, rebuilt, ..ViewReport::default() });
                }
                Err(error) => error.to_string(),
            },
            Ok(false) => "it disagreed with the ledger".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    if !has_room {
        // Nothing is wrong with it as far as anybody can tell, and there is no room for another one.
        return (Err(reason.clone()), ViewReport { missing: Some(reason), ..ViewReport::default() });
    }
    rebuild(dir, head, reason)
}

fn rebuild(dir: &Path, head: Head, reason: String) -> (Result<View, String>, ViewReport) {
    let built = || -> Result<_, String> {
        let set_aside = View::set_aside(&dir.join(VIEW)).map_err(|error| error.to_string())?;
        let view = View::open(&dir.join(VIEW)).map_err(|error| error.to_string())?;
        let caught_up = view.catch_up(&dir.join(LEDGER), head).map_err(|error| error.to_string())?;
        Ok((view, set_aside, caught_up))
    };
    match built() {
        Ok((view, set_aside, caught_up)) => (Ok(view), ViewReport { rebuilt: Some(reason), set_aside, caught_up, missing: None }),
        Err(error) => {
            let missing = format!("{reason}; building it again failed: {error}");
            (Err(missing.clone()), ViewReport { missing: Some(missing), ..ViewReport::default() })
        }
    }
}

/// Number of the last decision before this opening.
fn decisions_of(past: &Past) -> u64 {
    let of = |entry: &Entry| match &entry.body {
        Body::Checkpoint(memory) => Some(memory.decisions.last),
        _ => shared::decision_number(entry),
    };
    past.checkpoint.iter().chain(&past.after).filter_map(of).max().unwrap_or(0)
}

/// An error and its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// True for entries without which nobody knows why the line stands, or why it does not.
const fn may_use_ballast(entry: &Entry) -> bool {
    matches!(
        entry.body,
        Body::Started(_) | Body::Stopped(_) | Body::Acknowledged(_) | Body::Armed(_) | Body::KeySwitch(_) | Body::Checkpoint(_)
    )
}

fn lock_dir(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let failed = |source| StoreError::Directory { what: "lock", path: path.clone(), source };
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
            return Err(StoreError::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    if let Err(error) = named {
        tracing::debug!(%error, "the lock is held without a process number");
    }
    Ok(file)
}
