//! The handshake against examples of the contract, and against random PLCs with all invariants after every event.

use super::*;
use proptest::prelude::*;
use station::policy::StopReasons;

fn arrived(notices: &[Notice]) -> Vec<u32> {
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Station(Event::Arrived(arrival)) => Some(arrival.piece.0),
            _ => None,
        })
        .collect()
}

fn missed(notices: &[Notice]) -> Vec<u32> {
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Station(Event::Missed(miss)) => Some(miss.piece.0),
            _ => None,
        })
        .collect()
}

fn result(piece: u32, verdict: Verdict) -> LineCommand {
    LineCommand::Result(PieceResult {
        piece: PieceId(piece),
        encoder: EncoderCount(piece * 100),
        verdict,
        golden: false,
        grade: 1,
        top_class: None,
        defects: 0,
        score: 0,
        latency_tenth_millis: 12,
        reject_at: (verdict != Verdict::Pass).then_some(EncoderCount(piece * 100 + 500)),
    })
}

const fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(0), stop_seq: 0, spc_rules: 0, spc_chart: 0 })
}

fn enabled() -> Control {
    Control { trigger_enable: true, buffer_results_enable: true, ..Control::default() }
}

/// A handshake with its link up and a fresh permit.
fn running() -> Handshake {
    let mut handshake = Handshake::new(Identity::default());
    handshake.observe(enabled(), &mut Vec::new());
    handshake.link_up(&mut Vec::new());
    handshake.command(permit(true));
    handshake
}

fn look(handshake: &mut Handshake, control: Control) -> Vec<Notice> {
    let mut notices = Vec::new();
    handshake.observe(control, &mut notices);
    notices
}

fn triggered(piece: u32) -> Control {
    Control { trigger: true, piece_seq: piece, encoder_at_trigger: piece * 100, ..enabled() }
}

#[test]
fn a_piece_from_trigger_to_acknowledged_result() {
    let mut line = running();
    assert!(line.status().trigger_ready && line.status().run_permit);
    let serial = Control { set_user_data: true, serial: Some("SN00000007".into()), lot_no: 3, ..triggered(7) };
    let notices = look(&mut line, serial);
    let Some(Notice::Station(Event::Arrived(arrival))) = notices.first() else { panic!("no arrival: {notices:?}") };
    assert_eq!((arrival.serial.as_deref(), arrival.lot, arrival.encoder.0), (Some("SN00000007"), 3, 700));
    let status = line.status();
    assert!(status.trigger_ack && !status.trigger_ready && status.busy && status.set_user_data_ack);
    look(&mut line, enabled());
    assert!(line.status().trigger_ready && !line.status().trigger_ack);

    line.command(result(7, Verdict::Reject));
    let status = line.status();
    assert!(status.results_valid && status.fail && !status.pass && status.exposure_complete && status.inspection_completed);
    assert_eq!((status.piece_seq_echo, status.encoder_echo, status.inspection_id), (7, 700, 1));
    assert_eq!((status.result_code, status.reject_queue_depth, status.next_reject_at), (2, 1, 1200));

    look(&mut line, Control { results_ack: true, ..enabled() });
    let status = line.status();
    assert!(!status.results_valid && !status.fail && status.piece_seq_echo == 0 && status.result_code == 0);
    look(&mut line, Control { reject_confirm: true, ..enabled() });
    assert_eq!(line.status().reject_queue_depth, 0);
}

#[test]
fn a_serial_belongs_to_one_piece_only() {
    let mut line = running();
    look(&mut line, Control { set_user_data: true, serial: Some("SN1".into()), ..triggered(1) });
    look(&mut line, enabled());
    let notices = look(&mut line, Control { serial: Some("SN1".into()), ..triggered(2) });
    assert!(matches!(&notices[..], [Notice::Station(Event::Arrived(Arrival { serial: None, .. }))]), "{notices:?}");
}

#[test]
fn a_trigger_while_not_ready_is_missed_and_owed() {
    let mut line = Handshake::new(Identity::default());
    let notices = look(&mut line, triggered(4));
    assert_eq!((arrived(&notices), missed(&notices)), (vec![4], vec![4]));
    let status = line.status();
    assert!(status.trigger_ack && status.acq_error && status.error);
    assert_eq!((status.error_code, status.counters[4]), (error_code::TRIGGER_MISSED, 1));
    // Its result is offered like any other once there is a link.
    line.link_up(&mut Vec::new());
    line.command(result(4, Verdict::Hold));
    assert!(line.status().no_verdict && line.status().results_valid);
}

#[test]
fn a_trigger_too_short_to_see_is_still_owed() {
    let mut line = running();
    assert_eq!(missed(&look(&mut line, triggered(1))), Vec::<u32>::new());
    let notices = look(&mut line, triggered(2));
    assert_eq!((arrived(&notices), missed(&notices)), (vec![2], vec![2]));
}

#[test]
fn a_number_that_is_still_in_use_is_refused() {
    let mut line = running();
    look(&mut line, triggered(1));
    look(&mut line, enabled());
    assert_eq!(look(&mut line, triggered(1)), [Notice::Repeated(PieceId(1))]);
    assert!(line.status().acq_error);
}

#[test]
fn pieces_without_numbers_get_our_own() {
    let mut line = Handshake::new(Identity { own_numbers_from: 41, ..Identity::default() });
    let first = look(&mut line, triggered(0));
    look(&mut line, enabled());
    let second = look(&mut line, triggered(0));
    assert_eq!((arrived(&first), arrived(&second)), (vec![41], vec![42]));
}

#[test]
fn eight_results_wait_and_the_ninth_overruns() {
    let mut line = running();
    for piece in 1..=8 {
        line.command(result(piece, Verdict::Pass));
    }
    assert!(!line.status().results_buffer_overrun);
    line.command(result(9, Verdict::Pass));
    let status = line.status();
    assert!(status.results_buffer_overrun);
    assert_eq!((status.piece_seq_echo, status.counters[5]), (1, 1), "the oldest stays on offer");
    look(&mut line, Control { clear_error: true, ..enabled() });
    assert!(!line.status().results_buffer_overrun);
}

#[test]
fn without_buffering_one_result_waits() {
    let mut line = running();
    look(&mut line, Control { trigger_enable: true, ..Control::default() });
    line.command(result(1, Verdict::Pass));
    line.command(result(2, Verdict::Pass));
    let status = line.status();
    assert!(status.results_buffer_overrun && status.piece_seq_echo == 1);
}

#[test]
fn results_given_before_the_plc_was_seen_are_not_lost() {
    let mut line = Handshake::new(Identity::default());
    line.command(result(1, Verdict::Hold));
    line.command(result(2, Verdict::Hold));
    assert!(!line.status().results_buffer_overrun && line.offers(PieceId(1)) && line.offers(PieceId(2)));
}

#[test]
fn a_new_link_needs_a_new_permit() {
    let mut line = running();
    line.link_down();
    assert!(!line.status().run_permit && !line.status().trigger_ready);
    line.command(permit(true));
    assert!(!line.status().run_permit, "a permit given while the link is down is not remembered as fresh");
    line.link_up(&mut Vec::new());
    assert!(!line.status().run_permit && !line.status().trigger_ready && !line.status().online);
    line.command(permit(true));
    assert!(line.status().run_permit && line.status().trigger_ready && line.status().online);
}

#[test]
fn an_unacknowledged_result_is_offered_again_after_a_link_loss() {
    let mut line = running();
    line.command(result(1, Verdict::Pass));
    let toggle = line.status().inspection_completed;
    line.link_down();
    assert!(!line.status().results_valid && !line.status().pass);
    line.link_up(&mut Vec::new());
    line.command(permit(true));
    let status = line.status();
    assert!(status.results_valid && status.piece_seq_echo == 1 && status.inspection_completed == toggle);
}

#[test]
fn feedback_is_told_when_it_changes_and_after_every_link_up() {
    let mut line = running();
    assert_eq!(look(&mut line, enabled()), []);
    let moving = Control { line_running: true, reject_confirm: true, ..enabled() };
    let told = look(&mut line, moving.clone());
    let expected = Feedback { line_running: true, rejects_confirmed: 1, ..Feedback::default() };
    assert_eq!(told, [Notice::Station(Event::Link(PlcLink::Feedback(expected)))]);
    line.link_down();
    assert_eq!(look(&mut line, moving), []);
    let mut told = Vec::new();
    line.link_up(&mut told);
    let expected = Feedback { line_running: true, ..Feedback::default() };
    assert_eq!(told, [Notice::Station(Event::Link(PlcLink::Feedback(expected)))]);
}

#[test]
fn commands_are_done_or_refused_never_ignored() {
    let mut line = running();
    let ask = |command| Control { execute_command: true, command, ..enabled() };
    look(&mut line, ask(101));
    let status = line.status();
    assert!(status.command_failed && !status.command_completed);
    assert_eq!((status.ack_command, status.error_cause, status.error_code), (101, 101, error_code::COMMAND_REFUSED));
    look(&mut line, enabled());
    assert_eq!((line.status().ack_command, line.status().command_failed), (0, false));
    look(&mut line, Control { trigger_enable: false, ..triggered(1) });
    assert!(line.status().acq_error);
    look(&mut line, ask(RESET));
    let status = line.status();
    assert!(status.command_completed && !status.acq_error && status.error_code == error_code::NONE);
}

#[test]
fn offline_takes_no_trigger() {
    let mut line = running();
    look(&mut line, Control { set_offline: true, ..enabled() });
    let status = line.status();
    assert!(!status.trigger_ready && !status.online);
    assert_eq!((status.offline_reason, status.state), (3, State::Halted as u16));
}

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    Look { raw: [u16; 2], piece: u32 },
    Up,
    Down,
    Permit(bool),
    Result(u32, u8),
    Beat(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<[u16; 2]>(), 0..12_u32).prop_map(|(raw, piece)| Step::Look { raw, piece }),
        // A well-behaved PLC: enabled, buffered, trigger and ack at random.
        8 => (0..4_u16, 0..12_u32).prop_map(|(bits, piece)| Step::Look { raw: [0b101 | (bits & 1) << 1 | (bits & 2) << 2, 0], piece }),
        1 => Just(Step::Up),
        1 => Just(Step::Down),
        2 => any::<bool>().prop_map(Step::Permit),
        4 => (0..12_u32, 0..3_u8).prop_map(|(piece, verdict)| Step::Result(piece, verdict)),
        1 => any::<u16>().prop_map(Step::Beat),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The world as the test knows it, to hold the handshake against.
#[derive(Default)]
struct World {
    up: bool,
    permitted: bool,
    trigger: bool,
    owed: Vec<u32>,
    results_in: Vec<u64>,
    offered: Vec<u64>,
}

fn check(line: &Handshake, world: &mut World) -> Result<(), TestCaseError> {
    let status = line.status();
    let one_hot = [status.pass, status.fail, status.no_verdict].iter().filter(|on| **on).count();
    prop_assert_eq!(one_hot, usize::from(status.results_valid));
    prop_assert_eq!(status.result_code != 0, status.results_valid);
    prop_assert_eq!(status.run_permit, world.up && world.permitted);
    prop_assert_eq!(status.trigger_ack, world.trigger);
    prop_assert!(!status.trigger_ready || (world.up && !world.trigger && line.seen.trigger_enable));
    prop_assert!(!status.results_valid || world.up);
    prop_assert!(line.offers.len() <= RESULTS_MAX);
    prop_assert!(!(status.command_completed && status.command_failed));
    if let Some(offer) = line.on_offer() {
        prop_assert_eq!(status.piece_seq_echo, offer.result.piece.0);
        if world.offered.last() != Some(&offer.number) {
            prop_assert!(world.offered.last().is_none_or(|last| *last < offer.number), "an older result came back");
            world.offered.push(offer.number);
        }
    }
    Ok(())
}

fn take(line: &mut Handshake, world: &mut World, step: Step) -> Result<(), TestCaseError> {
    let mut notices = Vec::new();
    match step {
        Step::Look { raw, piece } => {
            let control = Control { piece_seq: piece, ..Control::decode(&raw, crate::jmap::Order::default()) };
            world.trigger = control.trigger;
            line.observe(control, &mut notices);
        }
        Step::Up => {
            line.link_up(&mut notices);
            (world.up, world.permitted) = (true, false);
        }
        Step::Down => {
            line.link_down();
            (world.up, world.permitted) = (false, false);
        }
        Step::Permit(run) => {
            line.command(permit(run));
            world.permitted = run && world.up;
        }
        Step::Result(piece, verdict) => {
            line.command(result(piece, [Verdict::Pass, Verdict::Reject, Verdict::Hold][usize::from(verdict)]));
            world.results_in.push(line.offers_made);
            world.owed.retain(|owed| *owed != piece);
        }
        Step::Beat(beat) => {
            line.command(LineCommand::Beat(beat));
            prop_assert_eq!(line.status().heartbeat, beat);
        }
    }
    for piece in arrived(&notices) {
        let taken = !missed(&notices).contains(&piece);
        prop_assert!(!world.owed.contains(&piece), "piece {} announced while it is still owed", piece);
        prop_assert!(!taken || world.up, "taken without a link");
        if taken {
            world.owed.push(piece);
        }
    }
    prop_assert!(missed(&notices).iter().all(|piece| arrived(&notices).contains(piece)));
    check(line, world)
}

proptest! {
    #[test]
    fn invariants_hold_after_every_event(steps in steps()) {
        let mut line = Handshake::new(Identity::default());
        let mut world = World::default();
        check(&line, &mut world)?;
        for step in steps {
            take(&mut line, &mut world, step)?;
        }
    }

    /// A PLC that keeps to the contract and looks whenever it likes gets every result once, in order.
    #[test]
    fn every_result_is_read_exactly_once_and_in_order(pauses in proptest::collection::vec(0..4_usize, 1..30)) {
        let mut line = running();
        let (mut waiting, mut read, mut ack) = (0_u32, Vec::new(), false);
        let mut next = 1_u32;
        for pause in pauses {
            if waiting < 8 {
                line.command(result(next, Verdict::Pass));
                next += 1;
                waiting += 1;
            }
            for _ in 0..pause {
                let status = line.status();
                if status.results_valid && !ack {
                    read.push(status.piece_seq_echo);
                    waiting -= 1;
                }
                ack = status.results_valid;
                look(&mut line, Control { results_ack: ack, ..enabled() });
            }
        }
        let expected: Vec<u32> = (1..).take(read.len()).collect();
        prop_assert_eq!(&read, &expected);
        prop_assert!(next - 1 - waiting == u32::try_from(read.len()).unwrap());
    }
}
