//! `jidoka plc`: the other side of the contract, for trying, looking and commissioning.

mod sim;
mod target;
mod trace;
mod watch;
mod write;

pub use sim::sim;
pub use trace::trace;
pub use watch::watch;
pub use write::test_write;

use super::{Failure, say};
use crate::cli::{PlcSymbols, SymbolFormat};
use crate::config::Settings;
use crate::pipeline::modbus;
use plc_bridge::jmap::{Order, function_block_st, symbols_csv, symbols_st};
use plc_bridge::map::Payload;

/// Prints the map for the PLC's programming tool.
pub fn symbols(args: &PlcSymbols) -> Result<(), Failure> {
    let (mut bases, mut order, mut payload) = ((0, 1000), Order::default(), Payload::default());
    if let Some(file) = &args.config {
        let settings = Settings::load(file)?;
        order = settings.handshake.order();
        payload = modbus::payload(&settings)?;
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
        SymbolFormat::Csv => symbols_csv(bases.0, bases.1) + &payload.symbols_csv(bases.1),
        SymbolFormat::St => symbols_st(bases.0, bases.1) + &payload.symbols_st(bases.1),
        SymbolFormat::Fb => function_block_st(bases.0, bases.1),
    };
    say(text.trim_end())
}
