//! The real client against the real simulated PLC, over a real socket on a free port.
//!
//! Every wait is for a condition, with a deadline; a deadline that passes is a failure.

mod rig;

use plc_bridge::BridgeReport;
use plc_bridge::map::Sample;
use plc_bridge::sim::{Disturbance, Outage, Pace, Shift, SimSettings};
use rig::{Judge, Rig, lockstep, plc, within};
use station::inspection::{Miss, MissReason};
use station::line::{LinkFault, PlcLink};
use station::piece::PieceId;
use station::reading::Quality;
use station::station::Event;
use station::units::Micros;
use std::time::Duration;

/// Odd pieces are good.
const fn by_parity(piece: u32) -> bool {
    piece % 2 == 1
}

#[tokio::test]
async fn two_hundred_pieces_get_one_result_each_and_only_good_ones_pass() {
    let rig = Rig::start(lockstep(200), |_| {}).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the last confirmation", |judge| judge.confirmed == 100 && rig.plc.observe().finished).await;
    let seen = rig.plc.observe();
    assert_eq!(*seen.passed_ids, (1..=200).filter(|piece| by_parity(*piece)).collect::<Vec<_>>());
    assert_eq!(*seen.rejected_ids, (1..=200).filter(|piece| !by_parity(*piece)).collect::<Vec<_>>());
    assert_eq!((seen.triggered, seen.results_read, seen.results_repeated, seen.results_unknown), (200, 200, 0, 0));
    assert_eq!((seen.triggered_unready, seen.unanswered_at_gate), (0, 0));
    assert_eq!(judge.arrived, (1..=200).collect::<Vec<_>>());
    assert_eq!(judge.written, (1..=200).collect::<Vec<_>>());
    assert_eq!(judge.serials[6], "SN00000007");
    let mut micros = judge.written_micros.clone();
    micros.sort_unstable();
    println!("result to acknowledged write: p50 {} µs, p99 {} µs, max {} µs", micros[100], micros[198], micros[199]);
    assert!(judge.missed.is_empty() && judge.downs.is_empty(), "{:?} {:?}", judge.missed, judge.downs);
    judge.finish(rig).await;
}

#[tokio::test]
async fn readings_come_before_the_piece_they_belong_to_and_are_reproducible() {
    let mut settings = lockstep(12);
    settings.disturbances = vec![Disturbance { tag: "placement_force".into(), from_piece: 7, shift: Shift::Step(10.0) }];
    let mut runs = Vec::new();
    for _ in 0..2 {
        let rig = Rig::start(settings.clone(), |settings| settings.heartbeat_timeout = Micros::from_millis(10_000)).await;
        let mut judge = Judge::by(by_parity);
        let mut reports = rig.reports();
        judge.until(&rig, &mut reports, "the last confirmation", |judge| judge.confirmed == 6).await;
        // What the PLC says of its side before the first piece depends on the moment at which the link came up.
        runs.push(judge.order.iter().skip_while(|event| event.starts_with("feedback")).cloned().collect::<Vec<_>>());
        judge.finish(rig).await;
    }
    let [first, second] = &runs[..] else { panic!("two runs") };
    assert_eq!(first, second, "two runs with one seed saw different events");
    let force = |piece: usize| {
        let at = first.iter().position(|event| *event == format!("arrived {piece}")).expect("the piece arrived");
        let tags: Vec<&String> = first[at - 5..at].iter().collect();
        let names = ["paste_height", "oven_zone_1", "oven_zone_2", "oven_zone_3", "placement_force"];
        assert!(tags.iter().zip(names).all(|(tag, name)| tag.starts_with(&format!("read {name} "))), "{tags:?}");
        tags[4].rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
    };
    assert!((force(6) - 3.0).abs() < 0.25, "{}", force(6));
    assert!((force(7) - 3.5).abs() < 0.25, "{}", force(7));
}

#[tokio::test]
async fn the_link_drops_and_comes_back_and_the_permit_waits_for_the_station() {
    let rig = Rig::start(SimSettings::default(), |settings| plc(settings).backoff_max = Duration::from_millis(200)).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the first pieces", |judge| judge.arrived.len() >= 2).await;
    rig.plc.outage(Outage::Closed, Duration::from_millis(1500));
    judge.until(&rig, &mut reports, "the link to go down", |judge| !judge.downs.is_empty()).await;
    assert_eq!(judge.downs[0], LinkFault::Disconnected);
    // While nobody may write, the PLC's own watchdog takes the permit back.
    let seen = within("the watchdog", rig.plc.wait_until(|line| !line.run_permit)).await;
    assert!(!seen.line_running && seen.stack_light.red && !seen.vision_alive);

    judge.answer_up = false;
    judge.until(&rig, &mut reports, "the link to come up", |judge| judge.ups == 2).await;
    judge.until(&rig, &mut reports, "beats", |judge| judge.beats_since_up >= 5).await;
    let seen = within("the heartbeat", rig.plc.wait_until(|line| line.vision_alive)).await;
    assert!(!seen.run_permit && !seen.line_running, "the old permit came back by itself");
    judge.permit(&rig, true).await;
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    assert!(rig.plc.observe().run_permit);
    judge.finish(rig).await;
}

#[tokio::test]
async fn late_answers_never_become_wrong_values() {
    let rig = Rig::start(SimSettings::default(), |settings| {
        plc(settings).peer.call_timeout = Duration::from_millis(60);
        plc(settings).backoff_max = Duration::from_millis(100);
    })
    .await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    for round in 1..=3 {
        let before = judge.arrived.len();
        judge.until(&rig, &mut reports, "pieces", |judge| judge.arrived.len() > before).await;
        rig.plc.outage(Outage::Silent, Duration::from_millis(250));
        judge.until(&rig, &mut reports, "the silence to be noticed", |judge| judge.downs.len() >= round).await;
        judge.until(&rig, &mut reports, "the link to come up", |judge| judge.ups == round + 1).await;
    }
    assert!(judge.downs.contains(&LinkFault::TimedOut), "{:?}", judge.downs);
    // A value that was answered to another question would be out of its range or out of its order.
    assert!(judge.qualities.iter().all(|quality| *quality == Quality::Good), "{:?}", judge.qualities);
    assert!(judge.arrived.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", judge.arrived);
    judge.finish(rig).await;
}

#[tokio::test]
async fn a_frozen_plc_heartbeat_takes_readiness_and_permit_back() {
    let rig = Rig::start(SimSettings::default(), |settings| settings.heartbeat_timeout = Micros::from_millis(200)).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    rig.plc.freeze_heartbeat(true);
    judge.until(&rig, &mut reports, "the freeze to be noticed", |judge| judge.downs == [LinkFault::HeartbeatFrozen]).await;
    judge.until(&rig, &mut reports, "the belt to stop", |_| !rig.plc.observe().line_running).await;
    let status = rig.plc.holding(1000, 2).expect("the status block");
    assert_eq!((status[0] & 1, status[1] >> 7 & 1), (0, 0), "TriggerReady and RunPermit");
    rig.plc.freeze_heartbeat(false);
    judge.until(&rig, &mut reports, "the line to run again", |judge| judge.ups == 2 && judge.running).await;
    judge.finish(rig).await;
}

#[tokio::test]
async fn a_frozen_vision_heartbeat_stops_the_belt_and_is_told() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    // The judging thread hangs; the communication still works.
    judge.beating = false;
    judge.until(&rig, &mut reports, "the watchdog", |_| !rig.plc.observe().run_permit).await;
    judge.until(&rig, &mut reports, "the feedback", |judge| !judge.running).await;
    // It comes back. The PLC has taken the permit; what the appliance believes no longer reads back.
    judge.beating = true;
    judge.until(&rig, &mut reports, "the mismatch", |judge| judge.downs.contains(&LinkFault::ReadBackMismatch)).await;
    judge.until(&rig, &mut reports, "the line to run again", |judge| judge.ups == 2 && judge.running).await;
    judge.finish(rig).await;
}

#[tokio::test]
async fn a_killed_client_lets_nothing_pass() {
    let settings = SimSettings { pace: Pace::Paced { pieces_per_minute: 1200.0 }, ..SimSettings::default() };
    let rig = Rig::start(settings, |_| {}).await;
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "pieces behind the gate", |_| rig.plc.observe().passed >= 3).await;
    judge.answering = false;
    let first_silent = judge.arrived.len();
    judge.until(&rig, &mut reports, "a piece without an answer", |judge| judge.arrived.len() > first_silent).await;
    let unanswered = judge.arrived[first_silent];
    let rig = rig.kill_client();
    let seen = within("the watchdog", rig.plc.wait_until(|line| !line.vision_alive)).await;
    assert!(!seen.run_permit && !seen.line_running && seen.stack_light.red);
    assert_eq!(rig.plc.holding(1001, 1).expect("the status block")[0] & 0x80, 0);
    let later = within("more scans", rig.plc.wait_until(|line| line.scans > seen.scans + 50)).await;
    assert_eq!((later.passed, later.encoder), (seen.passed, seen.encoder), "the belt moved without a permit");

    // A new appliance lets the line run again; what nobody answered for is still taken out.
    let rig = rig.start_client(|_| {});
    let (mut judge, mut reports) = (Judge::by(|_| true), rig.reports());
    judge.until(&rig, &mut reports, "the gate", |_| rig.plc.observe().rejected_ids.contains(&unanswered)).await;
    judge
        .until(&rig, &mut reports, "pieces to pass again", |judge| {
            judge.arrived.iter().any(|piece| rig.plc.observe().passed_ids.contains(piece))
        })
        .await;
    judge.finish(rig).await;
}

#[tokio::test]
async fn when_the_judge_is_gone_the_line_is_told_to_stop() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    let plc = rig.drop_commands().await;
    assert_eq!(plc.holding(1000, 64).expect("the status block"), vec![0; 64]);
}

#[tokio::test]
async fn stopping_takes_permit_and_readiness_back() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    assert!(rig.plc.observe().run_permit);
    let plc = judge.finish(rig).await;
    // No watchdog needed: the last write said so.
    assert_eq!(plc.holding(1000, 64).expect("the status block"), vec![0; 64]);
}

#[tokio::test]
async fn a_piece_announced_while_the_link_was_down_is_owed_once() {
    let settings = SimSettings { pace: Pace::Paced { pieces_per_minute: 1200.0 }, ..SimSettings::default() };
    let rig = Rig::start(settings, |settings| {
        plc(settings).peer.call_timeout = Duration::from_millis(60);
        plc(settings).backoff_max = Duration::from_millis(100);
    })
    .await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "a piece", |judge| judge.arrived.len() == 1).await;
    // The belt runs on until the watchdog bites, so the next piece comes while nobody answers.
    let register = |address| rig.plc.holding(address, 1).map_or(0, |words| words[0]);
    let ready = |_: &Judge| register(0) & 0b10 == 0 && register(1000) & 0b11 == 0b01;
    judge.until(&rig, &mut reports, "the last exchange to be over", ready).await;
    rig.plc.outage(Outage::Silent, Duration::from_millis(300));
    judge.until(&rig, &mut reports, "the link to come up again", |judge| judge.ups == 2).await;
    judge.until(&rig, &mut reports, "the missed piece", |judge| !judge.missed.is_empty()).await;
    let last = judge.arrived.len() + 3;
    judge.until(&rig, &mut reports, "more pieces", |judge| judge.arrived.len() >= last).await;
    assert_eq!(judge.missed, [Miss { piece: PieceId(2), acquisition: 0, reason: MissReason::NotReady, camera: None }]);
    let numbers: Vec<u32> = (1..).take(judge.arrived.len()).collect();
    assert_eq!(judge.arrived, numbers, "a piece is owed twice or not at all");
    judge.finish(rig).await;
}

#[tokio::test]
async fn a_refused_tag_address_makes_the_tag_bad_and_nothing_else() {
    let rig = Rig::start(lockstep(3), |settings| plc(settings).tags[0].address = 3000).await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the last piece to leave", |_| rig.plc.observe().finished).await;
    let bad = judge.order.iter().filter(|event| event.starts_with("read paste_height Bad")).count();
    let good = judge.order.iter().filter(|event| event.starts_with("read oven_zone_1 Good")).count();
    assert_eq!((bad, good, judge.downs.len()), (3, 3, 0));
    judge.finish(rig).await;
}

#[tokio::test]
async fn interval_tags_come_by_themselves_and_go_stale() {
    let rig = Rig::start(lockstep(0), |settings| {
        let oven = &mut plc(settings).tags[1];
        oven.sample = Sample::Every(Micros::from_millis(300));
        oven.stale_after = Micros::from_millis(50);
        (oven.valid_min, oven.valid_max) = (0.0, 300.0);
    })
    .await;
    let mut judge = Judge::by(by_parity);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "four readings", |judge| judge.qualities.len() >= 4).await;
    assert_eq!(judge.qualities[..4], [Quality::Good, Quality::Stale, Quality::Good, Quality::Stale]);
    assert!(judge.order.iter().all(|event| event.starts_with("read oven_zone_1 ") || event.starts_with("feedback")));
    judge.finish(rig).await;
}

#[tokio::test]
async fn the_report_tells_up_before_feedback() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let mut reports = rig.reports();
    let mut links = Vec::new();
    while links.len() < 3 {
        if let Some(BridgeReport::Event(Event::Link(link))) = within("the link", reports.recv()).await {
            links.push(link);
        }
    }
    assert!(matches!(links[..], [PlcLink::Forgot, PlcLink::Up, PlcLink::Feedback(_)]), "{links:?}");
}
