//! The store thread: makes entries durable in groups and tells the judge.
//!
//! Invariants: an entry is reported as kept only after its group is durable; a group that could not be written is tried
//! again, entry for entry the same, until it is or until the appliance leaves — the judge stops the line meanwhile.

use crate::clock::Clock;
use crate::judge::Input;
use crate::meter::{Meter, Stage};
use crate::pipeline::keeping::Keeping;
use crate::pipeline::see::chain;
use crate::store::Store;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use station::Event;
use station::record::Entry;
use std::sync::Arc;
use std::time::Duration;

/// Entries that are made durable together at most: bounds the memory of a group, about 2 kB an entry.
const GROUP_MAX: usize = 256;
/// Wait between two tries to write a group that could not be written.
const RETRY: Duration = Duration::from_millis(500);
/// Time between two looks at what the store is missing: a view that was closed, ballast that was given up.
const MEND: Duration = Duration::from_secs(5);

/// What the store thread tells the others.
pub struct Told {
    /// How long records take, once they are durable.
    pub meter: Arc<Meter>,
    /// How it fares meanwhile.
    pub keeping: Arc<Keeping>,
    /// What is durable.
    pub judge: Sender<Input>,
}

/// Runs until the judge leaves.
pub fn keep(store: &Store, clock: Clock, entries: &Receiver<(Arc<Entry>, u64)>, told: &Told) {
    let Told { meter, keeping, judge } = told;
    let mut group: Vec<(Arc<Entry>, u64)> = Vec::new();
    loop {
        if group.is_empty() {
            match entries.recv() {
                Ok(entry) => group.push(entry),
                Err(_) => return,
            }
        }
        while group.len() < GROUP_MAX {
            match entries.try_recv() {
                Ok(entry) => group.push(entry),
                Err(_) => break,
            }
        }
        let batch: Vec<Arc<Entry>> = group.iter().map(|(entry, _)| Arc::clone(entry)).collect();
        keeping.begins(group.first().map_or(0, |(_, handed)| *handed));
        match store.keep(&batch) {
            Ok(number) => {
                keeping.succeeds();
                let now = clock.mono_micros();
                group.drain(..).for_each(|(_, handed)| meter.note(Stage::Keep, now.saturating_sub(handed)));
                // The judge never waits for the store, so this wait is short; if the judge has left, nobody needs to know.
                drop(judge.send(Input::Event(Event::Kept(number))));
            }
            Err(error) => {
                keeping.fails(chain(&error));
                keeping.watch(clock.mono_micros());
                if let Err(RecvTimeoutError::Disconnected) = wait(entries, &mut group) {
                    tracing::error!(entries = group.len(), "the appliance leaves with records that could not be made durable");
                    return;
                }
            }
        }
    }
}

/// Waits before the next try, and takes what comes meanwhile; the judge's backlog limit bounds how much that is.
fn wait(entries: &Receiver<(Arc<Entry>, u64)>, group: &mut Vec<(Arc<Entry>, u64)>) -> Result<(), RecvTimeoutError> {
    match entries.recv_timeout(RETRY) {
        Ok(entry) => {
            group.push(entry);
            Ok(())
        }
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(disconnected) => Err(disconnected),
    }
}

/// Runs until `stop` is closed: brings back what the store is missing, removes the pictures that are due, and signs the ledger every `interval` and at the end,
/// beside the thread that keeps.
pub fn mend(store: &Store, clock: Clock, interval: Duration, stop: &Receiver<()>) {
    let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let (mut due, mut is_ill) = (0, false);
    loop {
        let is_over = stop.recv_timeout(MEND) != Err(RecvTimeoutError::Timeout);
        let now = clock.now();
        if is_over || now.mono_micros >= due {
            match store.sign(now.wall_micros) {
                Ok(_) => due = now.mono_micros.saturating_add(interval),
                Err(error) => tracing::warn!(error = %chain(&error), "the ledger is not signed; it is tried again"),
            }
        }
        if is_over {
            return;
        }
        store.mend();
        let tended = store.tend_pictures(clock.now());
        if let (Err(error), false) = (&tended, is_ill) {
            tracing::error!(error = %chain(error), "pictures that are due cannot be removed");
        }
        is_ill = tended.is_err();
    }
}
