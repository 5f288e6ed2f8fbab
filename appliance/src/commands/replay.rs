//! `replay`: tells a station everything a journal holds, and compares what it answers, byte for byte.

use super::{Failure, say};
use crate::cli::Replay;
use crate::journal::{JournalReader, digest_of};
use crate::pipeline::at;
use crate::pipeline::note::Beginning;
use station::{Setup, Station};

/// Reruns a journal. The first effect that differs ends it.
pub fn replay(args: &Replay) -> Result<(), Failure> {
    let mut reader = JournalReader::open(&args.journal).map_err(at("the journal cannot be read"))?;
    let header = reader.header().clone();
    let mut effects = Vec::new();
    let mut station = match serde_json::from_value(header.resume).map_err(at("the journal's beginning"))? {
        Beginning::Running(station) => *station,
        Beginning::Start(past, start) => {
            let setup: Setup = serde_json::from_value(header.station).map_err(at("the journal's recipe"))?;
            Station::start(setup, &past, start, &mut effects).map_err(at("the journal's control plan"))?
        }
    };
    let (mut events, mut compared) = (0_u64, effects.len());
    while let Some(line) = reader.next() {
        let line = line.map_err(at("the journal cannot be read on"))?;
        effects.clear();
        station.handle(line.event, line.now, &mut effects);
        if args.effects {
            for effect in &effects {
                say(&serde_json::to_string(effect).map_err(at("an effect"))?)?;
            }
        }
        let digest = digest_of(&effects).map_err(at("an effect"))?;
        if (effects.len(), digest) != (line.effects, line.digest) {
            let (file, number) = reader.place();
            let text = format!(
                "{}, line {number}: event {} led to other effects than on the floor ({} then, {} now)",
                file.display(),
                line.n,
                line.effects,
                effects.len()
            );
            return Err(Failure { text, code: 1 });
        }
        events += 1;
        compared += effects.len();
    }
    let torn = if reader.is_torn() { " (the last line was cut short by a kill)" } else { "" };
    say(&format!("{events} events, {compared} effects: all the same, byte for byte{torn}"))
}
