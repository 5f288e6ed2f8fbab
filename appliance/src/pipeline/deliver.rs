//! An upload thread: one backend, one outbox, one step after the other.
//!
//! Invariant: it leaves within one exchange's time limit after it was told to stop; what was not acknowledged waits in the
//! outbox.

use crate::clock::Clock;
use crate::outbox::{Outbox, OutboxCounts};
use crate::upload::{Step, UploadStatus, Uploader};
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often an idle uploader looks whether something waits.
const IDLE: Duration = Duration::from_millis(100);
/// After a delivery that left less behind than it took along: the next one gathers for so long. A request and its receipt, which is made
/// durable, cost as much for one record as for many, and on a small machine the model pays for it.
const GATHER: Duration = Duration::from_millis(500);

/// What people are told of one backend.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Its parcels.
    pub counts: OutboxCounts,
    /// What is in the way.
    pub status: UploadStatus,
    /// What will be in the way, if nobody does something.
    pub notice: Option<String>,
}

/// Delivers until `stop` is closed. `board` is kept up to date for people.
pub fn deliver(mut uploader: Uploader, outbox: &dyn Outbox, clock: Clock, stop: &Receiver<()>, board: &Arc<Mutex<Delivery>>) {
    let mut told = None;
    loop {
        let notice = uploader.notice(clock.now());
        if notice != told {
            if let Some(words) = &notice {
                tracing::error!(backend = outbox.backend(), words, "a backend will not take records any more");
            }
            told.clone_from(&notice);
        }
        let step = uploader.step(outbox, clock.now());
        let counts = outbox.counts();
        *board.lock().unwrap_or_else(PoisonError::into_inner) = Delivery { counts, status: uploader.status().clone(), notice };
        let pause = match step {
            Step::Delivered(parcels) if counts.waiting < u64::try_from(parcels).unwrap_or(u64::MAX) => GATHER,
            Step::Delivered(_) | Step::Again | Step::Quarantined(_) => Duration::ZERO,
            Step::Idle => IDLE,
            Step::Wait(pause) => pause,
        };
        match stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
