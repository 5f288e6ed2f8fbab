//! The command line: what `jidoka` can be asked to do, and nothing of how.

mod gauge;
mod model;
mod plc;
mod query;
mod rubric;
mod station;
mod store;
mod teach;

pub use gauge::{Gauge, GaugeEval, GaugeMeasure};
pub use model::{Model, ModelAdd, ModelCut, ModelEval, ModelKey, ModelList, ModelLook, ModelSign, ModelVerify};
pub use plc::{Plc, PlcSim, PlcSymbols, PlcTarget, PlcTestWrite, PlcTrace, PlcWatch, SymbolFormat};
pub use query::{Criteria, Query, Recall};
pub use rubric::{Period, Regrade, Rubric, RubricCheck, RubricExplain, RubricLots};
pub use station::{Intake, IntakeInUse, IntakeList, IntakeUsedUp, Quarantine, QuarantineList, QuarantineOf, QuarantineRelease, SignIn};
pub use store::{Store, StoreFolder, StoreFrom, StoreTo};
pub use teach::Teach;

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Edge inspection and SPC appliance: sees every piece, judges it, remembers it, and stops a line that drifts.
#[derive(Debug, Parser)]
#[command(name = "jidoka", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the station described by a configuration file
    Run(Run),
    /// Run a simulated line: boards, PLC and backend are simulated, everything else is real
    Demo(Box<Demo>),
    /// Check a configuration file and report every problem at once
    Check(Config),
    /// Examine camera, model, PLC, disk, clock and permissions, and say what is wrong and how to mend it
    Doctor(Doctor),
    /// Find pieces: by serial, lot, time, model, rubric, defect, verdict, grade or set point
    Query(Box<Query>),
    /// Everything about the pieces that must come back: a list, EPCIS events, pictures, and what the page needs to recall them
    Recall(Box<Recall>),
    /// What pieces are made of: say that a supplier lot is in use or used up, list them all
    #[command(subcommand)]
    Intake(Intake),
    /// What backends refused for good: list it, give it another try
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Recompute the ledger's digest chain, check what was signed, and name the first entry that does not fit
    Verify(Verify),
    /// Sign everything that the ledger holds now, also beside a running station
    Sign(Data),
    /// The station's memory as a whole: rebuild the index, backup, export, import
    #[command(subcommand)]
    Store(Store),
    /// Run the embedded traceability and grading backend
    Backend(BackendArgs),
    /// Rerun a journal and compare every effect, byte for byte
    Replay(Replay),
    /// The model packages: list, add, verify, measure
    #[command(subcommand)]
    Model(Model),
    /// Sizes from pictures, in millimetres with their uncertainty
    #[command(subcommand)]
    Gauge(Gauge),
    /// How pieces and lots are graded: check a rubric, ask why a piece has its grade, grade lots
    #[command(subcommand)]
    Rubric(Rubric),
    /// What another rubric would have done to the pieces of the ledger, and what it would have cost
    Regrade(Regrade),
    /// Make a model package from pictures of good pieces alone, in under a minute, without a network
    Teach(Teach),
    /// The PLC's side of the contract
    #[command(subcommand)]
    Plc(Plc),
    /// Add a user of the page, with the password on standard input
    UserAdd(UserAdd),
}

/// Where the configuration lies.
#[derive(Debug, Args)]
pub struct Config {
    /// The configuration file
    #[arg(long, default_value = "/etc/jidoka/jidoka.toml")]
    pub config: PathBuf,
}

/// The station.
#[derive(Debug, Args)]
pub struct Run {
    /// Where its configuration lies.
    #[command(flatten)]
    pub config: Config,
    /// When it ends, write the times of its last pieces to this file: one JSON object, microseconds
    #[arg(long, value_name = "FILE")]
    pub figures: Option<PathBuf>,
}

/// The simulated line.
#[derive(Debug, Args)]
pub struct Demo {
    /// No page and no pace: inspect `--pieces` pieces as fast as they can be judged, report, and leave
    #[arg(long)]
    pub headless: bool,
    /// Leave after this many pieces
    #[arg(long)]
    pub pieces: Option<u32>,
    /// Seed of the boards and of the process noise
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Replay real pictures (layout: images/NAME_test.jpg, images/NAME_temp.jpg, labels/NAME.txt, index.csv)
    #[arg(long, value_name = "DIR")]
    pub boards: Option<PathBuf>,
    /// Share of generated boards that are bad, 0…1
    #[arg(long, default_value_t = 0.08)]
    pub bad_share: f64,
    /// Disturb the line: drift:TAG=PER_PIECE[@PIECE] · step:TAG=BY[@PIECE] · camera:freeze[@PIECE] · camera:lost[@PIECE] · model:slow[@PIECE] · model:error[@PIECE] · plc:drop[@PIECE]
    #[arg(long, value_name = "WHAT")]
    pub inject: Vec<String>,
    /// Print a report at the end; `json` is the only form
    #[arg(long, value_name = "json", value_parser = ["json"])]
    pub report: Option<String>,
    /// Acknowledge and release stops without a person (always on with --headless)
    #[arg(long)]
    pub auto_release: bool,
    /// Pieces per minute of the simulated conveyor (ignored with --headless)
    #[arg(long, default_value_t = 60)]
    pub pace: u32,
    /// Where the page listens
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where the simulated PLC listens
    #[arg(long, default_value = "127.0.0.1:0")]
    pub plc_listen: SocketAddr,
    /// Where records are kept; a fresh folder that is removed afterwards if not given
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep a journal of events for `jidoka replay`
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// The model package; found beside the program if not given
    #[arg(long, value_name = "DIR")]
    pub package: Option<PathBuf>,
    /// Write the configuration files with which `jidoka run` does the same, and leave
    #[arg(long, value_name = "DIR")]
    pub write_config: Option<PathBuf>,
}

/// What to examine.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration file
    #[arg(long, default_value = "/etc/jidoka/jidoka.toml")]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A data folder.
#[derive(Debug, Args)]
pub struct Data {
    /// The data folder of a station
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to verify, and whom to trust.
#[derive(Debug, Args)]
pub struct Verify {
    /// Where.
    #[command(flatten)]
    pub data: Data,
    /// The station's public key, 64 hexadecimal digits or a file with them; the one beside the ledger if not given
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A copy of the station's file `signatures` that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    pub signatures: Option<PathBuf>,
}

/// The embedded backend.
#[derive(Debug, Args)]
pub struct BackendArgs {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Where it keeps what it received
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// File with the bearer token that clients must show; none if not given
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Accept POST /misbehave (tests only)
    #[arg(long)]
    pub test_mode: bool,
}

/// A journal.
#[derive(Debug, Args)]
pub struct Replay {
    /// The journal file or the folder of journals
    pub journal: PathBuf,
    /// Print every effect
    #[arg(long)]
    pub effects: bool,
}

/// A new user.
#[derive(Debug, Args)]
pub struct UserAdd {
    /// The users file
    #[arg(long, value_name = "FILE")]
    pub users: PathBuf,
    /// The name
    pub name: String,
    /// operator, supervisor, quality_officer, engineer or administrator
    #[arg(long)]
    pub role: String,
}
