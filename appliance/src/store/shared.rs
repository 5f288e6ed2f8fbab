//! What the store and its outbox handles have in common: the view, what was seen last, and how a piece record is read.
//!
//! Invariant: what the view says is checked against the ledger before anybody is told; a view that is caught telling something
//! wrong is closed, marked, and built again at the next start.

use super::ledger::LedgerError;
use super::read;
use super::view::{self, View, ViewError};
use super::walk::Head;
use super::{LEDGER, StoreError, VIEW};
use crate::outbox::DECISIONS;
use station::record::{Body, Entry, EntryNumber};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Damaged places looked at before the whole ledger is read to find a piece record.
const LOOK_BACK: usize = 64;
/// What outbox handles share with the store.
#[derive(Debug)]
pub struct Shared {
    pub dir: PathBuf,
    pub view: RwLock<Result<View, String>>,
    /// Head and ballast as last seen, so that asking never waits for the disk.
    pub seen: Mutex<(Head, bool)>,
    /// Number of the last decision kept.
    pub decisions: AtomicU64,
}

impl Shared {
    pub fn ledger_dir(&self) -> PathBuf {
        self.dir.join(LEDGER)
    }

    pub fn view(&self) -> Result<View, StoreError> {
        let slot = self.view.read().unwrap_or_else(PoisonError::into_inner);
        slot.clone().map_err(StoreError::View)
    }

    /// sled refuses everything after its first I/O error, so a view that failed is closed and opened again later.
    pub fn view_failed(&self, error: &ViewError) {
        tracing::warn!(%error, "the index is closed; records are kept all the same");
        View::doubt(&self.dir.join(VIEW), error);
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Err(error.to_string());
    }

    /// Does something with the view, and closes the view if that fails.
    pub fn ask<T>(&self, question: impl FnOnce(&View) -> Result<T, ViewError>) -> Result<T, StoreError> {
        let view = self.view()?;
        let answer = question(&view);
        drop(view);
        answer.map_err(|error| {
            self.view_failed(&error);
            error.into()
        })
    }

    /// The entry of a piece record; `None` if there is none of that number. What the view says is checked against the ledger.
    pub fn piece(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        if result_id == 0 || result_id > self.kept_pieces() {
            return Ok(None);
        }
        if let Some((near, place)) = self.ask(|view| view.near(result_id))?
            && view::is_near(result_id, near)
            && let Some(entry) = read::piece_after(&self.ledger_dir(), place, near, result_id)?
        {
            return Ok(Some(entry));
        }
        self.piece_by_walking(result_id)
    }

    /// Either the record is damaged, or one before it, or the view is wrong. The ledger decides.
    fn piece_by_walking(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        let (mut found, mut indexed) = (None, None);
        let from = self.ask(|view| self.known_before(view, result_id))?;
        read::read_from(&self.ledger_dir(), from, &mut |kept| {
            let Some(number) = piece_number(&kept.entry).filter(|number| *number <= result_id) else {
                let is_past = piece_number(&kept.entry).is_some();
                return if is_past { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            };
            if view::is_indexed(number) {
                indexed = Some((number, kept.place));
            }
            if number < result_id {
                return ControlFlow::Continue(());
            }
            found = Some(kept.entry);
            ControlFlow::Break(())
        })?;
        let near = self.ask(|view| view.near(result_id))?;
        let is_right =
            indexed.is_none_or(|(number, place)| near.is_some_and(|(near, at)| near > number || (near == number && at == place)));
        if !is_right {
            return self.ask(|view| Err(view.wrong(&format_args!("piece record {result_id} lies elsewhere in the ledger"))));
        }
        found.map(Some).ok_or_else(|| LedgerError::Lost { result_id }.into())
    }

    /// Number of an entry from which on a piece record must be found, if it is there at all.
    fn known_before(&self, view: &View, result_id: u64) -> Result<EntryNumber, ViewError> {
        let mut before = result_id;
        for _ in 0..LOOK_BACK {
            let Some((near, place)) = view.near(before)? else { break };
            match read::read_at(&self.ledger_dir(), place) {
                Ok((entry, _)) if piece_number(&entry) == Some(near) => return Ok(entry.number),
                Ok(_) => return Err(view.wrong(&format_args!("piece record {near} lies elsewhere in the ledger"))),
                Err(_) => before = near.saturating_sub(1),
            }
        }
        Ok(EntryNumber(1))
    }

    /// The entry of a decision; `None` if there is none of that number.
    pub fn decision(&self, decision_id: u64) -> Result<Option<Entry>, StoreError> {
        if decision_id == 0 || decision_id > self.kept_decisions() {
            return Ok(None);
        }
        // What was damaged when the view was built has no place in it.
        let Some(place) = self.ask(|view| view.decision(decision_id))? else { return Err(lost(decision_id)) };
        match read::read_at(&self.ledger_dir(), place) {
            Ok((entry, _)) if decision_number(&entry) == Some(decision_id) => Ok(Some(entry)),
            Ok(_) => self.ask(|view| Err(view.wrong(&format_args!("decision {decision_id} lies elsewhere in the ledger")))),
            Err(LedgerError::Damaged { .. }) => Err(lost(decision_id)),
            Err(error) => Err(error.into()),
        }
    }

    /// The numbers of the decisions about one piece, oldest first.
    pub fn decisions_about(&self, result_id: u64) -> Result<Vec<u64>, StoreError> {
        self.ask(|view| view.decisions_about(result_id))
    }

    pub fn kept_decisions(&self) -> u64 {
        self.decisions.load(Ordering::Relaxed)
    }

    pub fn kept_pieces(&self) -> u64 {
        lock(&self.seen).0.pieces
    }
}

/// The number of the piece record that an entry is.
pub const fn piece_number(entry: &Entry) -> Option<u64> {
    match &entry.body {
        Body::Piece(piece) => Some(piece.result_id),
        _ => None,
    }
}

/// The number of the decision that an entry is.
pub fn decision_number(entry: &Entry) -> Option<u64> {
    if let Body::Decided(record) = &entry.body { Some(record.decision_id) } else { None }
}

fn lost(decision_id: u64) -> StoreError {
    LedgerError::Lost { result_id: DECISIONS + decision_id }.into()
}

/// A poisoned lock only says that another thread panicked; a half-done append is told apart at the next one by its number.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
