//! `jidoka store`: what is done with a station's memory as a whole.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The station's memory as a whole.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Build the index again from the ledger (the station must be stopped)
    Rebuild(StoreFolder),
    /// Copy ledger, signatures, pictures and where the backends stand to a new folder, also while the station runs
    Backup(StoreTo),
    /// The same of a stopped station that moves: where the backends stand is written down exactly
    Export(StoreTo),
    /// Put a copy into a new data folder, after every file was compared with what was copied, and build its index
    Import(StoreFrom),
}

/// A data folder.
#[derive(Debug, Args)]
pub struct StoreFolder {
    /// The data folder of a station
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
}

/// A data folder and where its copy goes.
#[derive(Debug, Args)]
pub struct StoreTo {
    /// The data folder of a station
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "TO")]
    pub to: PathBuf,
}

/// A copy and the data folder that it becomes.
#[derive(Debug, Args)]
pub struct StoreFrom {
    /// What `jidoka store backup` or `export` made
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// The new data folder: it must not exist yet, or be empty
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
}
