//! Two hundred rounds of each fault that a link to a PLC can have, with the real station, bridge and sockets.
//!
//! The times are measured in `benches/link.rs`; here only what must hold however long it takes.

use line_tests::link::{Break, Limits, Wrongs, rounds};
use line_tests::neighbours::{Illness, measure};

const ROUNDS: usize = 200;
/// Rigs at a time: as many as two cores serve without making them late.
const RIGS: usize = 25;

async fn two_hundred(fault: Break) {
    let tally = rounds(fault, ROUNDS, RIGS, Limits::PATIENT).await;
    let running = tally.rounds.iter().filter(|round| round.permit_lost.is_some()).count();
    println!("{}: {} rounds, {running} of them on a running line, {:?}", fault.name(), tally.rounds.len(), tally.wrongs);
    assert_eq!(tally.rounds.len(), ROUNDS);
    assert!(running >= ROUNDS / 2, "the PLC took back its permit in only {running} rounds");
    assert_eq!(tally.wrongs, Wrongs::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop() {
    two_hundred(Break::Drop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset() {
    two_hundred(Break::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused() {
    two_hundred(Break::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn black_hole() {
    two_hundred(Break::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable() {
    two_hundred(Break::Unreachable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open() {
    two_hundred(Break::HalfOpen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart() {
    two_hundred(Break::Restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeat_frozen() {
    two_hundred(Break::HeartbeatFrozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_frozen() {
    two_hundred(Break::ValuesFrozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_of_healthy_plcs_keep_coming_in_order_beside_an_ill_one() {
    for illness in Illness::ALL {
        let evenness = measure(illness, 2, 60).await;
        println!("{}", evenness.json());
        let counted = |turns: &[Vec<u64>]| turns.iter().map(Vec::len).sum::<usize>();
        assert_eq!((counted(&evenness.well), counted(&evenness.ill), evenness.disorder), (120, 120, 0), "{illness:?}");
    }
}
