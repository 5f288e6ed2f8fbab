//! `jidoka plc`: the PLC's side of the contract, for trying, looking and commissioning.

use clap::{Args, Subcommand, ValueEnum};
use plc_bridge::sim::hostile::Trouble;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The PLC's side.
#[derive(Debug, Subcommand)]
pub enum Plc {
    /// Run the simulated conveyor PLC: a real Modbus server
    Sim(PlcSim),
    /// Show the live registers of a PLC with names, values, age and quality; changes nothing
    Watch(PlcWatch),
    /// Show how long each step of the handshake took, piece by piece; changes nothing
    Trace(PlcTrace),
    /// Write one field of the status block for a while, to prove the wiring (needs `commissioning = true` in [plc])
    TestWrite(PlcTestWrite),
    /// Print the map for the PLC's programming tool
    Symbols(PlcSymbols),
}

/// The simulated PLC.
#[derive(Debug, Args)]
pub struct PlcSim {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:1502")]
    pub listen: SocketAddr,
    /// Be slave 1 of this serial line instead (Modbus RTU, 8 data bits, no parity, two stop bits), for example one end of `socat pty,raw,echo=0 pty,raw,echo=0`
    #[arg(long, value_name = "DEVICE", conflicts_with_all = ["listen", "hostile"])]
    pub serial: Option<PathBuf>,
    /// Speed of --serial
    #[arg(long, value_name = "BAUD", default_value_t = 38400, requires = "serial")]
    pub baud: u32,
    /// Pieces per minute; 0 = the next piece as soon as the last one was judged
    #[arg(long, default_value_t = 60)]
    pub pace: u32,
    /// Seed of the process noise
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Misbehave: slow=400ms · exception=4 · wrong-transaction · wrong-unit · wrong-function · truncated · short · oversized · duplicate · garbage · frozen · half-open · black-hole · unreachable · refused · close · reset; those of single replies may say how often: `short/10`
    #[arg(long, value_name = "WHAT")]
    pub hostile: Option<Trouble>,
    /// Seconds until --hostile begins
    #[arg(long, value_name = "SECS", default_value_t = 0, requires = "hostile")]
    pub hostile_after: u64,
    /// Seconds after which --hostile ends; for ever if not given
    #[arg(long, value_name = "SECS", requires = "hostile")]
    pub hostile_for: Option<u64>,
}

/// Which PLC; without either, the simulated one at 127.0.0.1:1502.
#[derive(Debug, Args)]
pub struct PlcTarget {
    /// The configuration file: its PLC, sources, tags and word order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plc", "unit"])]
    pub config: Option<PathBuf>,
    /// A PLC with the map as it is: control block at holding register 0, status block at 1000
    #[arg(long, value_name = "HOST:PORT")]
    pub plc: Option<String>,
    /// Modbus unit identifier of --plc
    #[arg(long, value_name = "ID")]
    pub unit: Option<u8>,
}

/// What to look at.
#[derive(Debug, Args)]
pub struct PlcWatch {
    /// Which PLC.
    #[command(flatten)]
    pub target: PlcTarget,
    /// Show only these fields and tags, for example `RunPermit TriggerReady paste_height`
    pub names: Vec<String>,
    /// Also read this: NAME=ADDRESS:KIND, for example `speed=2000:f32`; a kind of several registers is shown in all word orders
    #[arg(long = "tag", value_name = "NAME=ADDRESS:KIND")]
    pub tags: Vec<String>,
    /// Read once, print, and leave
    #[arg(long)]
    pub once: bool,
    /// Print JSON, one line per look
    #[arg(long)]
    pub json: bool,
    /// Milliseconds between two looks
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(20..=60_000))]
    pub every_millis: u64,
}

/// Pieces to time.
#[derive(Debug, Args)]
pub struct PlcTrace {
    /// Which PLC.
    #[command(flatten)]
    pub target: PlcTarget,
    /// Leave after this many pieces
    #[arg(long)]
    pub pieces: Option<NonZeroU32>,
    /// Print JSON, one line per piece
    #[arg(long)]
    pub json: bool,
}

/// A field to write.
#[derive(Debug, Args)]
pub struct PlcTestWrite {
    /// The configuration file, with `commissioning = true` in [plc]
    #[arg(long, value_name = "FILE", default_value = "/etc/jidoka/jidoka.toml")]
    pub config: PathBuf,
    /// A field of the status block, for example `RunPermit`
    pub field: String,
    /// Its value: 0 or 1 for a bit, else a whole number
    pub value: u32,
    /// How long the value stands before zeros are written again
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub hold_secs: u64,
}

/// The map as text.
#[derive(Debug, Args)]
pub struct PlcSymbols {
    /// The configuration file, for where its blocks begin; without it control at 0, status at 1000
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value = "csv")]
    pub format: SymbolFormat,
}

/// Forms of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SymbolFormat {
    /// A list: name, block, register, bit, width, type, comment
    Csv,
    /// IEC 61131-3 structured text: types, global variables, the blocks that move fields
    St,
    /// The PLC's half of the contract: function block FB_JIDOKA, and the same as ladder rungs
    Fb,
}
