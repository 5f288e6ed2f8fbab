//! The program is killed, fifty times, at moments nobody chose: the PLC lets nothing pass, no record is lost or doubled, and the
//! line inspects again without anybody's help.
//!
//! The simulated PLC lives in this process and is never hurt; the backend is a process of its own; the appliance is the real
//! program, killed with SIGKILL. `ROUNDS=200` and `SEED=…` are for campaigns.

use line_tests::floor::{DEADLINE, Dice, Floor, Ledger, assert_every_piece_is_accounted_for, from_environment, seed};
use std::time::{Duration, Instant};

/// Kills, as promised in SPECIFICATION.md.
const ROUNDS: u64 = 50;
/// A kill comes at most this long after the line was seen to inspect.
const KILL_WITHIN_MILLIS: u64 = 400;
/// A kill that interrupts a start comes at most this long after it: somewhere between reading settings and the first piece.
const START_MILLIS: u64 = 2000;

#[test]
fn fifty_kills_lose_nothing_double_nothing_and_let_nothing_pass() {
    let rounds = from_environment("ROUNDS").unwrap_or(ROUNDS);
    let seed = seed();
    let (mut dice, floor) = (Dice(seed), Floor::new(seed, None, &[]));
    let mut kills = Vec::new();
    let (mut before, mut slowest) = (Ledger::default(), Duration::ZERO);
    for round in 1..=rounds {
        let started = Instant::now();
        let mut appliance = floor.start();
        // In every fourth round the start itself is cut short first.
        if dice.below(4) == 0 {
            std::thread::sleep(Duration::from_millis(dice.below(START_MILLIS)));
            appliance.kill();
            kills.push(floor.wait_until_it_stands().triggered);
            appliance = floor.start();
        }
        floor.wait_until_it_inspects(&appliance, 2);
        slowest = slowest.max(started.elapsed());
        // The one thing here that is not a condition: a moment that has nothing to do with what the appliance is doing.
        std::thread::sleep(Duration::from_millis(dice.below(KILL_WITHIN_MILLIS)));
        appliance.kill();

        let stood = floor.wait_until_it_stands();
        let ledger = Ledger::of(&floor.data);
        ledger.assert_continues(&before);
        // Acknowledged there means durable here.
        let (events, grades) = (floor.health("events"), floor.health("grades"));
        assert!(
            events.max(grades) <= ledger.number("/pieces"),
            "round {round}: the backend knows {events} and {grades}: {}",
            ledger.report
        );
        floor.assert_stood_still(&stood);
        kills.push(stood.triggered);
        before = ledger;
    }

    let mut appliance = floor.start();
    floor.wait_until_it_inspects(&appliance, 2);
    // The belt stands, so that there is a last piece.
    floor.plc.press_estop(true);
    floor.wait("the belt stands", Some(&appliance), |seen| !seen.line_running);
    floor.wait_until_delivered(&appliance, &kills);
    let refused = floor.health("duplicates_refused");
    let left = appliance.terminate(DEADLINE);
    assert!(left.success(), "{left}\n{}", appliance.stderr());
    let ledger = Ledger::of(&floor.data);
    ledger.assert_continues(&before);
    let in_flight = assert_every_piece_is_accounted_for(&floor, &kills);
    let (seen, pieces) = (floor.plc.observe(), ledger.number("/pieces"));
    assert_eq!((floor.health("events"), floor.health("grades")), (pieces, pieces));
    println!(
        "{rounds} kills: {pieces} pieces ({} passed, {} rejected, {} without a result in time), {} entries, {refused} duplicates refused, {in_flight} between result and record; at most {slowest:.1?} from start to inspecting",
        seen.passed,
        seen.rejected,
        seen.unanswered_at_gate,
        ledger.number("/entries"),
    );
}
