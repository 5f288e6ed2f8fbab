//! The journal thread: writes down what the judge was told, for `jidoka replay`.
//!
//! Invariants: a journal has no hole — when the judge had to drop a happening, the journal ends there and says so; what was
//! written down outlives a killed process, because it is handed to the system whenever nothing more is waiting.

use crate::journal::{JournalError, JournalSettings, JournalWriter};
use crate::judge::Happening;
use crossbeam::channel::Receiver;
use serde::{Deserialize, Serialize};
use station::units::Timestamp;
use station::{Past, Setup, Station};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a replay begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// At a start of the station, on what the chain held then.
    Start(Box<Past>, Timestamp),
    /// In the middle of its life.
    Running(Box<Station>),
}

/// Begins a journal from which a replay can start.
pub fn begin(dir: &Path, setup: &Setup, past: &Past, start: Timestamp) -> Result<JournalWriter, JournalError> {
    let line = |source| JournalError::Line { path: dir.to_owned(), line: 1, source };
    let beginning = Beginning::Start(Box::new(past.clone()), start);
    let (station, resume) = (serde_json::to_value(setup).map_err(line)?, serde_json::to_value(beginning).map_err(line)?);
    JournalWriter::create(dir, JournalSettings::default(), &setup.program, station, resume)
}

/// Writes until the judge leaves.
pub fn note(mut writer: JournalWriter, happenings: &Receiver<Happening>, dropped: &AtomicU64) {
    writer.flush();
    for happening in happenings {
        if let Some(station) = happening.before {
            // A station that could not be written down would only leave the journal as it was: it goes on.
            if let Ok(resume) = serde_json::to_value(Beginning::Running(station)) {
                writer.begin(serde_json::Value::Null, resume);
            }
        }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{Settings, sample};
    use crate::journal::{JournalReader, digest_of};
    use crossbeam::channel::bounded;
    use station::Event;
    use station::inspection::ModelRef;
    use station::line::PlcLink;
    use station::recipe::DefectClass;
    use station::units::Digest;
    use std::sync::Arc;

    pub(crate) fn setup() -> Setup {
        let settings = Settings::parse("sample", sample(), Path::new("/")).unwrap();
        let model = Arc::new(ModelRef { package: "m@1".to_owned(), weights: Digest::of(b"m") });
        let recipe = settings.recipe(model, &[DefectClass { name: "open".to_owned(), threshold: 0.5 }], &[]).unwrap();
        Setup { identity: settings.identity, recipe: Arc::new(recipe), program: "test".to_owned() }
    }

    fn at(mono_micros: u64) -> Timestamp {
        Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros }
    }

    #[test]
    fn a_journal_can_begin_in_the_middle_of_a_life() {
        let folder = tempfile::tempdir().unwrap();
        let (setup, past) = (setup(), Past::default());
        let mut effects = Vec::new();
        let mut station = Station::start(setup.clone(), &past, at(0), &mut effects).unwrap();
        let writer = begin(folder.path(), &setup, &past, at(0)).unwrap();
        let (sender, receiver) = bounded(64);
        let mut heard = 0;
        for number in 1..=20 {
            let before = (number == 11).then(|| Box::new(station.clone()));
            let event = if number == 3 { Event::Link(PlcLink::Up) } else { Event::Tick };
            let mut effects = Vec::new();
            station.handle(event.clone(), at(number * 100_000), &mut effects);
            heard += usize::from(number > 10);
            sender.send(Happening { before, now: at(number * 100_000), event, effects: Arc::new(effects) }).unwrap();
        }
        drop(sender);
        note(writer, &receiver, &AtomicU64::new(0));

        let mut reader = JournalReader::open(folder.path()).unwrap();
        let Beginning::Running(mut again) = serde_json::from_value(reader.header().resume.clone()).unwrap() else {
            panic!("the journal begins at a start");
        };
        let mut replayed = 0;
        for line in reader.by_ref() {
            let line = line.unwrap();
            let mut effects = Vec::new();
            again.handle(line.event, line.now, &mut effects);
            assert_eq!(digest_of(&effects).unwrap(), line.digest, "event {}", line.n);
            replayed += 1;
        }
        assert_eq!(replayed, heard);
    }
}
