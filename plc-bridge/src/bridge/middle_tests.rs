//! The bridge without a wire: notes and commands in, reports and images out.

use super::*;
use crate::jmap::Order;
use station::line::{Permit, PieceResult};
use station::policy::StopReasons;
use station::reading::Quality;
use station::units::EncoderCount;
use station::verdict::Verdict;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What left the bridge, in words.
fn words(report: &BridgeReport) -> String {
    match report {
        BridgeReport::Event(Event::Link(PlcLink::Feedback(feedback))) => format!("feedback {}", feedback.rejects_confirmed),
        BridgeReport::Event(Event::Link(link)) => format!("{link:?}"),
        BridgeReport::Event(Event::Read(reading)) => format!("read {}", reading.tag),
        BridgeReport::Event(Event::Arrived(arrival)) => format!("arrived {}", arrival.piece),
        BridgeReport::Event(Event::Missed(miss)) => format!("missed {}", miss.piece),
        BridgeReport::Written { piece, micros } => format!("written {piece} after {micros}"),
        other => format!("{other:?}"),
    }
}

/// Every look at this clock is 10 µs after the last one.
fn settings() -> Settings {
    let micros = AtomicU64::new(0);
    let clock = move || Timestamp { wall_micros: 0, mono_micros: micros.fetch_add(10, Ordering::Relaxed) };
    Settings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), Arc::new(clock))
}

/// Runs `steps` on a bridge and gives what it reported.
fn reported(steps: impl FnOnce(&mut Middle<'_, &mut dyn FnMut(BridgeReport)>, &mut watch::Receiver<Image>)) -> Vec<String> {
    let (settings, told) = (settings(), RefCell::new(Vec::new()));
    let mut report = |report: BridgeReport| told.borrow_mut().push(words(&report));
    let (images, mut newest) = watch::channel(Image::safe());
    let report: &mut dyn FnMut(BridgeReport) = &mut report;
    let mut bridge = Middle::new(&settings, report, images);
    steps(&mut bridge, &mut newest);
    drop(bridge);
    told.into_inner()
}

fn look(control: Control, millis: u64) -> Note {
    let at = Timestamp { wall_micros: 0, mono_micros: millis * 1000 };
    Note::Poll(PollNote::Look { control: Box::new(control), at, with_trigger: Vec::new(), at_interval: Vec::new() })
}

fn beating(heartbeat: u16) -> Control {
    Control { heartbeat, trigger_enable: true, buffer_results_enable: true, ..Control::default() }
}

fn come_up<R: FnMut(BridgeReport)>(bridge: &mut Middle<'_, R>) {
    bridge.note(Note::Poll(PollNote::Up));
    bridge.note(look(beating(1), 1));
    bridge.note(Note::Outputs(OutputNote::Up { connection: 1 }));
    bridge.note(look(beating(2), 3));
}

fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(u32::from(!run) << 2), stop_seq: 1, spc_rules: 1, spc_chart: 1 })
}

fn result(piece: u32) -> LineCommand {
    LineCommand::Result(PieceResult {
        piece: PieceId(piece),
        encoder: EncoderCount(0),
        verdict: Verdict::Pass,
        golden: false,
        grade: 1,
        top_class: None,
        defects: 0,
        score: 0,
        latency_tenth_millis: 0,
        reject_at: None,
        payload: Vec::new(),
    })
}

fn status(image: &Image) -> Status {
    Status::decode(&image.words, Order::default())
}

#[test]
fn the_link_is_up_when_both_connections_are_and_the_heartbeat_moved() {
    let told = reported(|bridge, newest| {
        bridge.note(Note::Outputs(OutputNote::Up { connection: 1 }));
        bridge.note(Note::Poll(PollNote::Up));
        bridge.note(look(beating(1), 1));
        bridge.note(look(beating(1), 3));
        assert_eq!(bridge.told, None);
        assert!(!bridge.up);
        bridge.note(look(beating(2), 5));
        assert!(bridge.up && !status(&newest.borrow()).run_permit);
        bridge.note(look(beating(2), 1006));
        assert!(!bridge.up, "one second and a bit without a beat");
        bridge.note(look(beating(2), 1008));
        bridge.note(look(beating(3), 1010));
    });
    assert_eq!(told, ["Forgot", "Up", "feedback 0", "Down(HeartbeatFrozen)", "Up", "feedback 0"]);
}

#[test]
fn one_connection_that_fails_puts_the_other_in_doubt() {
    let told = reported(|bridge, _| {
        come_up(bridge);
        // The PLC has forgotten both connections. Polling finds out first and is back at once; the outputs still wait.
        bridge.note(Note::Poll(PollNote::Down(LinkFault::TimedOut)));
        bridge.note(Note::Poll(PollNote::Up));
        bridge.note(look(beating(3), 5));
        bridge.note(look(beating(4), 7));
        assert!(!bridge.up, "up on a connection that nobody answers");
        bridge.note(Note::Outputs(OutputNote::Down(LinkFault::TimedOut)));
        bridge.note(Note::Outputs(OutputNote::Up { connection: 2 }));
        bridge.note(look(beating(5), 9));
        assert!(bridge.up);
        // The other way round.
        bridge.note(Note::Outputs(OutputNote::Down(LinkFault::Disconnected)));
        bridge.note(Note::Outputs(OutputNote::Up { connection: 3 }));
        assert!(!bridge.up, "up without a look");
        bridge.note(look(beating(6), 11));
        // An answered write is proof enough: nothing was wrong with that connection.
        bridge.note(Note::Poll(PollNote::Down(LinkFault::Disconnected)));
        bridge.note(Note::Poll(PollNote::Up));
        bridge.note(look(beating(7), 13));
        bridge.note(look(beating(8), 15));
        assert!(!bridge.up);
        bridge.note(Note::Outputs(OutputNote::RoundTrip { micros: 100 }));
    });
    let told: Vec<&String> = told.iter().filter(|words| words.contains("Up") || words.contains("Down")).collect();
    assert_eq!(told, ["Up", "Down(TimedOut)", "Up", "Down(Disconnected)", "Up", "Down(Disconnected)", "Up"]);
}

#[test]
fn a_stop_is_in_the_next_write_whatever_waits_before_it() {
    reported(|bridge, newest| {
        come_up(bridge);
        let (send, mut waiting) = mpsc::channel(16);
        bridge.commands(permit(true), &mut waiting);
        assert!(status(&newest.borrow_and_update()).run_permit);
        for command in [result(1), result(2), LineCommand::Beat(9), result(3), permit(false)] {
            send.try_send(command).expect("room");
        }
        let first = waiting.try_recv().expect("the first");
        bridge.commands(first, &mut waiting);
        assert!(newest.has_changed().expect("the bridge lives"));
        let status = status(&newest.borrow_and_update());
        assert_eq!((status.run_permit, status.stop_reason, status.piece_seq_echo, status.heartbeat), (false, 4, 1, 9));
    });
}

#[test]
fn every_image_after_a_fault_is_without_permit_until_the_station_says_so_again() {
    let told = reported(|bridge, newest| {
        let (_send, mut waiting) = mpsc::channel(16);
        come_up(bridge);
        bridge.commands(permit(true), &mut waiting);
        for fault in [LinkFault::TimedOut, LinkFault::TimedOut, LinkFault::Disconnected] {
            bridge.note(Note::Outputs(OutputNote::Down(fault)));
            assert_eq!((status(&newest.borrow()).run_permit, newest.borrow().connection), (false, 0));
        }
        bridge.note(look(beating(4), 8));
        bridge.note(Note::Outputs(OutputNote::Up { connection: 2 }));
        assert_eq!((status(&newest.borrow()).run_permit, newest.borrow().connection), (false, 2));
        bridge.commands(permit(true), &mut waiting);
        assert!(status(&newest.borrow()).run_permit);
        bridge.note(Note::Poll(PollNote::Down(LinkFault::Refused)));
        assert_eq!((status(&newest.borrow()).run_permit, newest.borrow().connection), (false, 2));
    });
    let expected = ["Forgot", "Up", "feedback 0", "Down(TimedOut)", "Down(Disconnected)", "Up", "feedback 0", "Down(Refused)"];
    assert_eq!(told, expected, "a fault is told when it changes");
}

#[test]
fn a_piece_is_told_after_the_gate_and_its_readings() {
    let told = reported(|bridge, _| {
        let (_send, mut waiting) = mpsc::channel(16);
        come_up(bridge);
        bridge.commands(permit(true), &mut waiting);
        let reading = |tag: &str| Reading {
            tag: tag.into(),
            value: 1.0,
            unit: "um".into(),
            text: None,
            quality: Quality::Good,
            sampled_at: Timestamp::default(),
        };
        let control = Control { trigger: true, piece_seq: 5, reject_confirm: true, ..beating(3) };
        let (with_trigger, at_interval) = (vec![reading("a"), reading("b")], vec![reading("slow")]);
        let seen = PollNote::Look { control: Box::new(control), at: Timestamp::default(), with_trigger, at_interval };
        bridge.note(Note::Poll(seen));
    });
    assert_eq!(told[3..], ["read slow", "feedback 1", "read a", "read b", "arrived 5"]);
}

#[test]
fn a_written_result_is_timed_from_the_hand_over() {
    let told = reported(|bridge, newest| {
        let (_send, mut waiting) = mpsc::channel(16);
        come_up(bridge);
        bridge.commands(result(7), &mut waiting);
        let (number, piece, handed_micros) = newest.borrow().offer.expect("on offer");
        assert_eq!((number, piece, handed_micros), (1, PieceId(7), 0));
        // What is published meanwhile does not start the clock anew.
        bridge.commands(LineCommand::Beat(1), &mut waiting);
        assert_eq!(newest.borrow().offer, Some((number, piece, handed_micros)));
        bridge.note(Note::Outputs(OutputNote::Offered { piece, handed_micros }));
    });
    assert_eq!(told.last().map(String::as_str), Some("written 7 after 10"));
}

#[test]
fn the_last_image_is_all_zeros() {
    reported(|bridge, newest| {
        let (_send, mut waiting) = mpsc::channel(16);
        come_up(bridge);
        bridge.commands(permit(true), &mut waiting);
        bridge.finish();
        let image = newest.borrow();
        assert!(image.last && image.words == [0; 128]);
    });
}
