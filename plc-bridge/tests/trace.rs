//! The trace beside a real client and a real server: what it tells is what happened, and it disturbs nobody.

mod rig;

use plc_bridge::client::{ClientSettings, WireError};
use plc_bridge::sim::SimSettings;
use plc_bridge::trace::{What, trace};
use plc_bridge::{Clock, Settings};
use rig::{Judge, Rig, clock, lockstep, within};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

fn settings() -> (Settings, Clock) {
    let clock = clock();
    (Settings::alone(clock.clone()), clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_piece_of_a_line_is_followed_without_an_anomaly() {
    const PIECES: u32 = 40;
    // A PLC that scans no faster than it is looked at: every level is seen.
    let sim = SimSettings { scan_interval: Duration::from_millis(10), ..lockstep(PIECES) };
    let rig = Rig::start(sim, |_| {}).await;
    let plc = ClientSettings { poll_interval: Duration::from_millis(1), ..ClientSettings::new(rig.address()) };
    let (tell, mut told) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let tracing = tokio::spawn(async move {
        let (settings, _) = settings();
        trace(&settings, &plc, |traced| tell.send(traced).unwrap_or_default(), async { stopped.await.unwrap_or_default() }).await
    });
    let first = within("the trace to begin", told.recv()).await.expect("the trace runs");
    assert!(matches!(first.what, What::Link { up: true, .. }), "{first:?}");
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to finish", |_| rig.plc.observe().finished).await;
    stop.send(()).expect("the trace runs");
    let summary = within("the trace to end", tracing).await.expect("no panic").expect("the PLC answers");
    let mut pieces = Vec::new();
    let mut permits = Vec::new();
    while let Some(traced) = told.recv().await {
        println!("{}", traced.line());
        match traced.what {
            What::Piece(piece) => pieces.push(piece),
            What::Permit { run, .. } => permits.push(run),
            // A crowded machine may hold up a heartbeat; nothing else may happen.
            What::Anomaly(anomaly) => assert!(anomaly.name().starts_with("heartbeat"), "{anomaly:?}"),
            What::Link { .. } => panic!("the link was lost"),
        }
    }
    println!("{summary}");
    assert!(permits.contains(&true), "{permits:?}");
    let numbers: Vec<u32> = pieces.iter().filter(|piece| piece.results_withdrawn.is_some()).map(|piece| piece.piece).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "a piece was told twice, or out of order: {numbers:?}");
    assert_eq!(summary.complete, u64::try_from(numbers.len()).expect("few pieces"));
    let complete = pieces.iter().filter(|piece| piece.trigger_ack.is_some() && piece.results_ack.is_some()).count();
    assert!(complete > 0, "not one exchange was seen as a whole: {pieces:?}");
}

#[tokio::test]
async fn an_absent_plc_ends_the_trace_with_a_reason() {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let plc = ClientSettings::new(listener.local_addr().expect("an address"));
    drop(listener);
    let (settings, _) = settings();
    let ended = within("the trace to end", trace(&settings, &plc, |_| {}, std::future::pending())).await;
    assert!(matches!(ended, Err(WireError::Connect { .. })), "{ended:?}");
}
