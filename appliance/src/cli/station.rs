//! What is asked of a station that runs, by a person who signs in: what pieces are made of, and what backends refused.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Who asks which station.
#[derive(Debug, Args)]
pub struct SignIn {
    /// Where the station's page is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub station: String,
    /// Your name at the page; the password is read from standard input
    #[arg(long, value_name = "NAME")]
    pub user: String,
}

/// What pieces are made of.
#[derive(Debug, Subcommand)]
pub enum Intake {
    /// From the next piece on this supplier lot is used, in place of the one of the same material
    InUse(IntakeInUse),
    /// From the next piece on no lot of this material is used
    UsedUp(IntakeUsedUp),
    /// Every supplier lot that was ever in use, with the records that were made of it
    List(IntakeList),
}

/// A lot that is opened.
#[derive(Debug, Args)]
pub struct IntakeInUse {
    /// Who.
    #[command(flatten)]
    pub sign_in: SignIn,
    /// What it is, for example laminate
    #[arg(long)]
    pub material: String,
    /// Who made it
    #[arg(long)]
    pub supplier: String,
    /// Their number of the lot, or its LGTIN (urn:epc:class:lgtin:…)
    #[arg(long)]
    pub lot: String,
}

/// A material that is used up.
#[derive(Debug, Args)]
pub struct IntakeUsedUp {
    /// Who.
    #[command(flatten)]
    pub sign_in: SignIn,
    /// Which
    #[arg(long)]
    pub material: String,
}

/// A list of supplier lots.
#[derive(Debug, Args)]
pub struct IntakeList {
    /// Who.
    #[command(flatten)]
    pub sign_in: SignIn,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What backends refused for good.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// Every parcel in quarantine, with the backend's words
    List(QuarantineList),
    /// Give parcels another try
    Release(QuarantineRelease),
}

/// Which station: one that runs is asked over its page, one that stands still in its data folder.
#[derive(Debug, Args)]
pub struct QuarantineOf {
    /// The data folder of a station that does not run
    #[arg(long, value_name = "DIR", default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// Where the page of a running station is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", requires = "user")]
    pub station: String,
    /// Ask the running station: your name at its page; the password is read from standard input
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// A list of what is in quarantine.
#[derive(Debug, Args)]
pub struct QuarantineList {
    /// Where.
    #[command(flatten)]
    pub of: QuarantineOf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is released.
#[derive(Debug, Args)]
pub struct QuarantineRelease {
    /// Where.
    #[command(flatten)]
    pub of: QuarantineOf,
    /// The backend
    pub backend: String,
    /// Only this piece record; can be given several times. Everything if no record and no decision is named
    #[arg(long, value_name = "NUMBER")]
    pub record: Vec<u64>,
    /// Only this decision; can be given several times
    #[arg(long, value_name = "NUMBER")]
    pub decision: Vec<u64>,
}
