//! Registers to readings and commands: the JMAP v1 contract with a PLC over Modbus TCP, with the appliance as the client.
//!
//! The only crate that knows `tokio-modbus`. What the blocks mean is pure and testable on its own: `jmap` (the two blocks),
//! `map` (process tags), `handshake` (trigger and results). `client` moves them over two connections. `sim` is a conveyor
//! PLC behind a real Modbus server. For people: `watch` shows both sides, `trace` times the handshake, `test_write` sets one
//! field while commissioning, and `jmap` writes the symbols and the PLC's half of the program.
//!
//! Invariants: zero is the safe value; only the status block is ever written; a connection that once failed to answer is
//! never used again; no clock of the wall is read here, time comes in through the settings.

mod bridge;
pub mod client;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod handshake;
pub mod jmap;
mod look;
pub mod map;
pub mod serial;
pub mod server;
pub mod sim;
pub mod test_write;
pub mod trace;
pub mod watch;

pub use bridge::{BridgeReport, Clock, Facts, Settings, run};
