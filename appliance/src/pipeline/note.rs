//! The journal thread: writes down what the judge was told, for `jidoka replay`.
//!
//! Invariant: a journal has no hole. When the judge had to drop a happening, the journal ends there and says so.

use crate::journal::{JournalError, JournalSettings, JournalWriter};
use crate::judge::Happening;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use station::units::Timestamp;
use station::{Past, Setup};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A killed process loses at most this much of its journal.
const FLUSH: Duration = Duration::from_millis(200);

/// Begins a journal from which a replay can start.
pub fn begin(dir: &Path, setup: &Setup, past: &Past, start: Timestamp) -> Result<JournalWriter, JournalError> {
    let line = |source| JournalError::Line { path: dir.to_owned(), line: 1, source };
    let (station, resume) = (serde_json::to_value(setup).map_err(line)?, serde_json::to_value((past, start)).map_err(line)?);
    JournalWriter::create(dir, JournalSettings::default(), &setup.program, station, resume)
}

/// Writes until the judge leaves.
pub fn note(mut writer: JournalWriter, happenings: &Receiver<Happening>, dropped: &AtomicU64) {
    loop {
        match happenings.recv_timeout(FLUSH) {
            Ok(happening) => writer.record(happening.now, &happening.event, &happening.effects),
            Err(RecvTimeoutError::Timeout) => writer.flush(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if dropped.load(Ordering::Relaxed) > 0 {
            tracing::error!("the journal could not follow and ends here; what it holds can be replayed");
            break;
        }
        if let Some(trouble) = writer.trouble() {
            tracing::warn!(error = %crate::pipeline::see::chain(&trouble), "the journal is not kept");
        }
    }
    writer.flush();
}
