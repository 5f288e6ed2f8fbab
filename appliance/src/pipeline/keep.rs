//! The store thread: makes entries durable in groups and tells the judge.
//!
//! Invariants: an entry is reported as kept only after its group is durable; a group that could not be written is tried
//! again, entry for entry the same, until it is or until the appliance leaves — the judge stops the line meanwhile.

use crate::clock::Clock;
use crate::judge::Input;
use crate::meter::{Meter, Stage};
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

/// Runs until the judge leaves.
pub fn keep(store: &Store, clock: Clock, meter: &Meter, entries: &Receiver<(Arc<Entry>, u64)>, judge: &Sender<Input>) {
    let mut group: Vec<(Arc<Entry>, u64)> = Vec::new();
    let mut reported = false;
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
        match store.keep(&batch) {
            Ok(number) => {
                let now = clock.mono_micros();
                group.drain(..).for_each(|(_, handed)| meter.note(Stage::Keep, now.saturating_sub(handed)));
                reported = false;
                // The judge never waits for the store, so this wait is short; if the judge has left, nobody needs to know.
                drop(judge.send(Input::Event(Event::Kept(number))));
            }
            Err(error) => {
                if !std::mem::replace(&mut reported, true) {
                    tracing::error!(error = %chain(&error), entries = group.len(), "records are not becoming durable");
                }
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
