//! One function per command: from arguments to the parts of the appliance, and from errors to exit codes.

mod doctor;
mod gauge;
mod memory;
mod model;
mod person;
mod plc;
mod query;
mod regrade;
mod replay;
mod rubric;
mod station;
mod store;
mod teach;

use crate::cli::{BackendArgs, Cli, Command, Plc, UserAdd};
use crate::config::Problems;
use crate::pipeline::see::chain;
use crate::pipeline::{LineError, at};
use ::station::action::Role;
use std::fmt;
use std::io::Write as _;
use tracing_subscriber::EnvFilter;

/// A command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// What to tell the person.
    pub text: String,
    /// The exit code: 1 failed, 78 configuration (`EX_CONFIG` of sysexits.h).
    pub code: u8,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<LineError> for Failure {
    fn from(error: LineError) -> Self {
        Self { text: chain(&error), code: 1 }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { text: format!("the configuration cannot be used:\n{problems}"), code: 78 }
    }
}

/// Runs one command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match &cli.command {
        // How much the station logs stands in its settings, which it reads first.
        Command::Run(_) => {}
        Command::Demo(demo) if demo.headless => log_to_stderr("error"),
        Command::Backend(_) => log_to_stderr("info"),
        _ => log_to_stderr("warn"),
    }
    match cli.command {
        Command::Run(args) => station::run(&args),
        Command::Demo(args) => Ok(crate::demo::demo(&args)?),
        Command::Check(args) => station::check(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Query(args) => query::query(&args),
        Command::Recall(args) => query::recall(&args),
        Command::Intake(command) => person::intake(&command),
        Command::Quarantine(command) => person::quarantine(&command),
        Command::Verify(args) => store::verify(&args),
        Command::Sign(args) => store::sign(&args),
        Command::Store(command) => store::store(&command),
        Command::Backend(args) => backend(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Model(command) => model::model(&command),
        Command::Gauge(command) => gauge::gauge(&command),
        Command::Rubric(command) => rubric::rubric(&command),
        Command::Regrade(args) => regrade::regrade(&args),
        Command::Teach(args) => teach::run(&args),
        Command::Plc(Plc::Sim(args)) => plc::sim(&args),
        Command::Plc(Plc::Watch(args)) => plc::watch(&args),
        Command::Plc(Plc::Trace(args)) => plc::trace(&args),
        Command::Plc(Plc::TestWrite(args)) => plc::test_write(&args),
        Command::Plc(Plc::Symbols(args)) => plc::symbols(&args),
        Command::UserAdd(args) => user_add(&args),
    }
}

/// Logs go to standard error; `RUST_LOG` overrides the level.
fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).with_target(false).try_init());
}

/// Writes one line (or more) to standard output; a reader that has left is no failure of ours.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{text}").and_then(|()| out.flush()).map_err(at("standard output"))?)
}

fn backend(args: &BackendArgs) -> Result<(), Failure> {
    use crate::backend::{Backend, BackendSettings};
    if !args.listen.ip().is_loopback() {
        let text = format!("{}: the backend has no TLS; let it listen on a loopback address, behind a proxy that has", args.listen);
        return Err(Failure { text, code: 78 });
    }
    let token = args.token_file.as_ref().map(std::fs::read_to_string).transpose().map_err(at("the token file"))?;
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    let settings = BackendSettings { test_mode: args.test_mode, token, ..BackendSettings::new(crate::clock::Clock::new().as_fn()) };
    let server = std::sync::Arc::new(Backend::open(&args.data, settings).map_err(at("the backend"))?);
    let listener = std::net::TcpListener::bind(args.listen).map_err(at(&format!("cannot listen on {}", args.listen)))?;
    say(&format!("backend: http://{}", listener.local_addr().map_err(at("the address"))?))?;
    let (end, ended) = tokio::sync::watch::channel(false);
    let thread = crate::pipeline::spawn("backend", crate::demo::world::serve(crate::pipeline::runtime()?, listener, server, ended))?;
    crate::pipeline::until_told_to_end()?;
    end.send_replace(true);
    crate::pipeline::join(thread, &mut Vec::new());
    Ok(())
}

fn user_add(args: &UserAdd) -> Result<(), Failure> {
    let role: Role = serde_json::from_value(serde_json::Value::String(args.role.clone())).map_err(|_| Failure {
        text: format!("--role {}: use operator, supervisor, quality_officer, engineer or administrator", args.role),
        code: 64,
    })?;
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).map_err(at("the password on standard input"))?;
    let users = web_ui::Users::open(&args.users).map_err(at("the users file"))?;
    users.add(&args.name, role, password.trim_end_matches(['\r', '\n'])).map_err(at("the user was not added"))?;
    say(&format!("{} may sign in as {role}", args.name))
}
