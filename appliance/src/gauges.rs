//! Where gauge plans lie, and how one is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use vision_models::gauge::{Gauge, Plan};

/// Why a plan cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// There is none of that name.
    #[error("there is no gauge plan {name} in {looked}; name a file, or one of these")]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        looked: String,
    },
    /// It cannot be read.
    #[error("the gauge plan {} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no plan.
    #[error("{} is no gauge plan: {why}", .path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The folders in which plans are looked for: of an installation, and of the source tree around the program.
fn shelves() -> Vec<PathBuf> {
    let installed = ["/usr/share/jidoka/gauges", "/var/lib/jidoka/gauges"].map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let around = program.ancestors().map(|folder| folder.join("vision-models/gauges"));
    installed.into_iter().chain(around).filter(|shelf| shelf.is_dir()).collect()
}

/// Opens the plan in a file, or the one of that name on a shelf.
///
/// # Errors
/// [`PlanError`], with what is wrong in it.
pub fn open(name_or_file: &str) -> Result<Gauge, PlanError> {
    let named = Path::new(name_or_file);
    if named.is_file() || name_or_file.contains(std::path::MAIN_SEPARATOR) {
        return read(named);
    }
    let shelves = shelves();
    let found = shelves.iter().map(|shelf| shelf.join(format!("{name_or_file}.toml"))).find(|path| path.is_file());
    let unknown = || PlanError::Unknown {
        name: name_or_file.to_owned(),
        looked: shelves.iter().map(|shelf| shelf.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    read(&found.ok_or_else(unknown)?)
}

/// Opens the plan in a file.
///
/// # Errors
/// As `open`.
pub fn read(path: &Path) -> Result<Gauge, PlanError> {
    let text = fs::read_to_string(path).map_err(|source| PlanError::File { path: path.to_owned(), source })?;
    Plan::parse(&text).map(Gauge::new).map_err(|why| PlanError::Plan { path: path.to_owned(), why })
}
