//! Runs reference cases of the format `spc-golden/1`: `cargo run -p spc --example golden -- DIR`.
//!
//! Prints a line per case and the totals; fails if a case differs or the folder cannot be read.

#[path = "../tests/golden_runner/mod.rs"]
mod golden_runner;

use std::path::PathBuf;
use std::process::ExitCode;

use golden_runner::{Outcome, report, run_folder};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: golden DIR");
        return ExitCode::from(64);
    };
    match run_folder(&folder) {
        Ok(outcomes) => {
            print!("{}", report(&outcomes));
            let differs = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
            if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
