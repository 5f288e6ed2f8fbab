//! `plc sim` and `plc watch`: the other side of the contract, for trying and for looking.

use super::{Failure, say};
use crate::cli::{PlcSim, PlcWatch};
use crate::clock::Clock;
use crate::pipeline::{at, runtime};
use plc_bridge::client::ClientSettings;
use plc_bridge::sim::{Pace, Sim, SimSettings};
use std::time::Duration;

/// Runs the simulated conveyor PLC until it is told to end.
pub fn sim(args: &PlcSim) -> Result<(), Failure> {
    let pace = if args.pace == 0 { Pace::Lockstep } else { Pace::Paced { pieces_per_minute: f64::from(args.pace) } };
    let settings = SimSettings { seed: args.seed, pace, ..SimSettings::default() };
    runtime()?.block_on(async {
        let sim = Sim::bind(args.listen, settings).await.map_err(at(&format!("cannot listen on {}", args.listen)))?;
        say(&format!("simulated PLC: {}", sim.local_addr()))?;
        let ended = async { drop(crate::pipeline::told_to_end().await) };
        Ok(sim.run(ended).await.map_err(at("the simulated PLC has ended"))?)
    })
}

/// Shows the live registers of a PLC.
pub fn watch(args: &PlcWatch) -> Result<(), Failure> {
    let plc = ClientSettings { tags: SimSettings::default().tag_specs(), ..ClientSettings::new(args.plc) };
    let settings = plc_bridge::Settings { plc: Some(plc), ..plc_bridge::Settings::alone(Clock::new().as_fn()) };
    let clock = settings.clock.clone();
    let mut watcher = plc_bridge::watch::Watcher::new(settings);
    runtime()?.block_on(async {
        loop {
            let board = watcher.look().await;
            say(&plc_bridge::watch::table(board, clock()))?;
            if args.once {
                let trouble = board.troubles().next().map(|text| Failure { text: text.to_owned(), code: 1 });
                return trouble.map_or(Ok(()), Err);
            }
            tokio::time::sleep(Duration::from_secs(args.every_secs)).await;
        }
    })
}
