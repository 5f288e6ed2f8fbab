//! The binary: reads the command line, runs one command, and gives the exit code. The only place that knows exit codes.

use appliance::cli::Cli;
use appliance::commands;
use clap::Parser as _;
use std::process::ExitCode;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// Official builds of ONNX Runtime since 1.30 give the machine a number, keep a data base in the home folder and tell their maker
/// of models and runs. A station tells nobody; the library asks this variable before it makes the number.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    #[expect(unsafe_code, reason = "the library reads its environment alone; there is no other thread yet that could read it meanwhile")]
    // SAFETY: the first statement of the process, which has one thread.
    unsafe {
        std::env::set_var(NO_TELEMETRY, "1");
    }
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
