//! The binary: reads the command line, runs one command, and gives the exit code. The only place that knows exit codes.

use appliance::cli::Cli;
use appliance::commands;
use clap::Parser as _;
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for_help = !error.use_stderr();
            drop(error.print());
            return if asked_for_help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("jidoka: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
