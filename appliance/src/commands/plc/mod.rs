//! `jidoka plc`: the other side of the contract, for trying, looking and commissioning.

mod target;
mod watch;

pub use watch::watch;

use super::{Failure, say};
use crate::cli::{PlcSim, PlcSymbols, SymbolFormat};
use crate::config::Settings;
use crate::pipeline::{at, runtime};
use plc_bridge::jmap::{Order, function_block_st, symbols_csv, symbols_st};
use plc_bridge::sim::{Pace, Sim, SimSettings};

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

/// Prints the map for the PLC's programming tool.
pub fn symbols(args: &PlcSymbols) -> Result<(), Failure> {
    let (mut bases, mut order) = ((0, 1000), Order::default());
    if let Some(file) = &args.config {
        let settings = Settings::load(file)?;
        order = settings.handshake.order();
        let plc = settings.plc.as_ref().map(|plc| (plc.control_base, plc.status_base));
        let server = settings.modbus_server.as_ref().map(|server| (server.control_base, server.status_base));
        bases = plc.or(server).unwrap_or(bases);
    }
    if order != Order::default() && args.format != SymbolFormat::Csv {
        let text = "the structured text lays wide values high word first and high byte first, whatever the PLC's own order is; \
                    write word_swap = false and byte_swap = false where the file agrees with the PLC";
        return Err(Failure { text: text.to_owned(), code: 78 });
    }
    let text = match args.format {
        SymbolFormat::Csv => symbols_csv(bases.0, bases.1),
        SymbolFormat::St => symbols_st(bases.0, bases.1),
        SymbolFormat::Fb => function_block_st(bases.0, bases.1),
    };
    say(text.trim_end())
}
