//! Doors for fuzzing: the real client, server and codec, fed with any bytes, each with an oracle that does not trust them.
//!
//! Compiled for the tests of this crate and with the feature `fuzzing`, never into the appliance. `fuzz/` runs the targets
//! under libFuzzer, guided by coverage; `tests.rs` here runs them on stable: the corpus of `fuzz/`, then mutations of it.
//!
//! Invariants: a case depends on its bytes alone; no case waits for time; what is compared against is spelled out in
//! `frames`, which knows nothing of the code under test.

mod blocks;
pub(crate) mod client;
pub(crate) mod frames;
#[cfg(test)]
mod mutate;
pub(crate) mod server;
pub(crate) mod tape;

use frames::Framing;
use std::cell::LazyCell;
use tokio::runtime::{Builder, Runtime};

/// What came of one question or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value,
    Refusal,
    Nothing,
}

/// What a case reached; a campaign that never reaches a value proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Questions or requests answered with what was asked for.
    pub values: u64,
    /// Answered with an exception.
    pub refusals: u64,
    /// Not answered.
    pub nothing: u64,
}

impl Reached {
    pub(crate) const fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Value => self.values += 1,
            Outcome::Refusal => self.refusals += 1,
            Outcome::Nothing => self.nothing += 1,
        }
    }

    /// Both together.
    pub const fn add(&mut self, other: Self) {
        self.values += other.values;
        self.refusals += other.refusals;
        self.nothing += other.nothing;
    }
}

/// One way in.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs one case; panics if something is wrong.
    pub run: fn(&[u8]) -> Reached,
    /// Cases made of real frames, with their names.
    pub seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
    /// Mutations of its corpus that `make test` runs; a million for client and server together.
    pub mutations: u64,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "client_tcp", run: |case| client::run(Framing::Tcp, case), seeds: || client::seeds(Framing::Tcp), mutations: 300_000 },
    Target { name: "client_rtu", run: |case| client::run(Framing::Rtu, case), seeds: || client::seeds(Framing::Rtu), mutations: 300_000 },
    Target { name: "server_tcp", run: server::run_tcp, seeds: server::seeds_tcp, mutations: 200_000 },
    Target { name: "server_rtu", run: server::run_rtu, seeds: server::seeds_rtu, mutations: 200_000 },
    Target { name: "blocks", run: blocks::run, seeds: blocks::seeds, mutations: 50_000 },
];

/// Runs one case of the target of this name.
///
/// # Panics
/// If there is no such target, or if the case shows something wrong.
pub fn case(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let _reached = (target.run)(bytes);
}

thread_local! {
    // Nothing ever waits on it; the time-outs of the code under test want to be on one all the same.
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

#[cfg(test)]
mod tests;
