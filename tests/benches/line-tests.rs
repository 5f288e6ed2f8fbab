//! Link faults in milliseconds: until the station knows, until the PLC is without RunPermit, until the session is back.
//!
//! One JSON line per fault over 200 rounds, half of them on a running line, with the limits of a line (`Limits::STRICT`:
//! answers within 200 ms, PlcHeartbeat may stand for 250 ms, VisionHeartbeat for 480 ms in a PLC that scans every 5 ms).
//! Bars: detected 300 ms, without permit 500 ms, back 1000 ms; spurious, stale, changed and misattributed are 0. Then how
//! evenly PLCs are read while one of three is dead or slow. The harness is that of `tests/link_faults.rs`.

use line_tests::link::{Break, Limits, Tally, rounds};
use line_tests::neighbours::{Illness, measure};
use serde_json::json;
use std::time::Duration;

const ROUNDS: usize = 200;
/// Well and ill times of neighbours.
const TURNS: usize = 21;
/// Rigs at a time; few, so that they measure the link and not each other.
const RIGS: usize = 10;

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Median, 99th percentile and largest.
fn spread(mut values: Vec<Duration>) -> serde_json::Value {
    values.sort_unstable();
    let at = |share: usize| values.get((values.len().saturating_sub(1)) * share / 100).copied().map(millis);
    json!({"p50": at(50), "p99": at(99), "max": values.last().copied().map(millis), "rounds": values.len()})
}

fn print(fault: Break, tally: &Tally) {
    let of = |pick: fn(&line_tests::link::Round) -> Option<Duration>| spread(tally.rounds.iter().filter_map(pick).collect());
    let line = json!({
        "bench": "link_fault",
        "fault": fault.name(),
        "rounds": tally.rounds.len(),
        "detected_millis": of(|round| Some(round.detected)),
        "without_permit_millis": of(|round| round.permit_lost),
        "back_millis": of(|round| Some(round.back)),
        "spurious": tally.wrongs.spurious,
        "stale_writes": tally.wrongs.stale,
        "stop_changed": tally.wrongs.stop_changed,
        "misattributed": tally.wrongs.misattributed,
    });
    println!("{line}");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Names behind `--` choose; without one everything is measured.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    for fault in Break::ALL.into_iter().filter(|fault| wanted(fault.name())) {
        print(fault, &rounds(fault, ROUNDS, RIGS, Limits::STRICT).await);
    }
    for illness in Illness::ALL.into_iter().filter(|illness| wanted(illness.name())) {
        let evenness = measure(illness, TURNS, 400).await;
        println!("{}", evenness.json());
    }
}
