//! The journal thread: writes down what the judge was told, for `jidoka replay`.
//!
//! Invariants: a journal has no hole — when the judge had to drop a happening, the journal ends there and says so; what was
//! written down outlives a killed process, because it is handed to the system whenever nothing more is waiting.

use crate::journal::{JournalError, JournalSettings, JournalWriter};
use crate::judge::Happening;
use crossbeam::channel::Receiver;
use station::units::Timestamp;
use station::{Past, Setup};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Begins a journal from which a replay can start.
pub fn begin(dir: &Path, setup: &Setup, past: &Past, start: Timestamp) -> Result<JournalWriter, JournalError> {
    let line = |source| JournalError::Line { path: dir.to_owned(), line: 1, source };
    let (station, resume) = (serde_json::to_value(setup).map_err(line)?, serde_json::to_value((past, start)).map_err(line)?);
    JournalWriter::create(dir, JournalSettings::default(), &setup.program, station, resume)
}

/// Writes until the judge leaves.
pub fn note(mut writer: JournalWriter, happenings: &Receiver<Happening>, dropped: &AtomicU64) {
    writer.flush();
    for happening in happenings {
        writer.record(happening.now, &happening.event, &happening.effects);
        if happenings.is_empty() {
            writer.flush();
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
