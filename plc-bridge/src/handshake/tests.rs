//! The handshake against examples of the contract; `invariants` holds it against random PLCs.

mod invariants;

use super::*;
use crate::jmap::error_code;
use station::line::{Answer, PlcOrder};
use station::policy::{StopReason, StopReasons};
use station::verdict::Verdict;

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
        payload: Vec::new(),
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
    line.command(LineCommand::Gate(GateQueue { waiting: 1, next: Some(EncoderCount(1200)) }));
    let status = line.status();
    assert!(status.results_valid && status.fail && !status.pass && status.exposure_complete && status.inspection_completed);
    assert_eq!((status.piece_seq_echo, status.encoder_echo, status.inspection_id), (7, 700, 1));
    assert_eq!((status.result_code, status.reject_queue_depth, status.next_reject_at), (2, 1, 1200));

    look(&mut line, Control { results_ack: true, ..enabled() });
    let status = line.status();
    assert!(!status.results_valid && !status.fail && status.piece_seq_echo == 0 && status.result_code == 0);
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

fn ask(command: u16) -> Control {
    Control { execute_command: true, command, ..enabled() }
}

/// Gives a command, clears it, and says whether it was completed.
fn commanded(line: &mut Handshake, command: u16, command_arg: u16) -> bool {
    look(line, Control { command_arg, ..ask(command) });
    let status = line.status();
    assert!(status.ack_command == command && !status.command_executing && status.command_completed != status.command_failed);
    look(line, enabled());
    assert_eq!(line.status().ack_command, 0);
    status.command_completed
}

fn requests(notices: &[Notice]) -> Vec<PlcRequest> {
    let request = |notice: &Notice| match notice {
        Notice::Station(Event::Link(PlcLink::Asked(request))) => Some(*request),
        _ => None,
    };
    notices.iter().filter_map(request).collect()
}

#[test]
fn commands_are_done_or_refused_never_ignored() {
    let mut line = running();
    look(&mut line, ask(42));
    let status = line.status();
    assert!(status.command_failed && !status.command_completed);
    assert_eq!((status.ack_command, status.error_cause, status.error_code), (42, 42, error_code::COMMAND_REFUSED));
    look(&mut line, enabled());
    assert_eq!((line.status().ack_command, line.status().command_failed), (0, false));
    look(&mut line, Control { trigger_enable: false, ..triggered(1) });
    assert!(line.status().acq_error);
    look(&mut line, ask(7));
    let status = line.status();
    assert!(status.command_completed && !status.acq_error && status.error_code == error_code::NONE);
}

#[test]
fn what_the_station_is_asked_is_executing_until_it_has_answered() {
    let mut line = running();
    let asked = requests(&look(&mut line, Control { lot_no: 77, ..ask(100) }));
    assert_eq!(asked, [PlcRequest { number: 1, order: PlcOrder::NewLot(77) }]);
    let executing = |line: &Handshake| (line.status().command_executing, line.status().command_completed, line.status().command_failed);
    assert_eq!(executing(&line), (true, false, false));
    // The link is lost and comes back while it executes: nothing is asked twice.
    line.link_down();
    assert_eq!(requests(&look(&mut line, ask(100))), []);
    line.link_up(&mut Vec::new());
    assert_eq!(requests(&look(&mut line, ask(100))), []);
    line.command(LineCommand::Answer(Answer { number: 9, done: true }));
    assert_eq!(executing(&line), (true, false, false), "the answer to something else");
    line.command(LineCommand::Answer(Answer { number: 1, done: false }));
    assert_eq!(executing(&line), (false, false, true));
    assert_eq!((line.status().error_code, line.status().error_cause), (error_code::COMMAND_REFUSED, 100));
    look(&mut line, enabled());
    assert_eq!(requests(&look(&mut line, ask(101)))[0].order, PlcOrder::ArmLineStop);
    assert_eq!(line.status().error_code, error_code::NONE, "a command that is taken ends the complaint about the last one");
    look(&mut line, ask(102));
    let status = line.status();
    assert!(status.command_executing && status.command_failed && status.ack_command == 102);
    assert_eq!((status.error_code, status.error_cause), (error_code::COMMAND_BUSY, 102));
}

#[test]
fn a_command_that_stood_there_before_the_first_look_is_refused() {
    let mut line = Handshake::new(Identity::default());
    let notices = look(&mut line, Control { line_stop_ack: true, ..ask(103) });
    assert!(notices.contains(&Notice::Refused(103)) && requests(&notices).is_empty(), "{notices:?}");
    assert!(line.status().command_failed);
}

#[test]
fn the_stop_is_acknowledged_by_an_edge_while_the_plc_can_see_it() {
    let mut line = running();
    let acknowledging = Control { line_stop_ack: true, ..enabled() };
    let asked = requests(&look(&mut line, acknowledging.clone()));
    assert_eq!(asked.iter().map(|request| request.order).collect::<Vec<_>>(), [PlcOrder::AcknowledgeStop]);
    assert_eq!(requests(&look(&mut line, acknowledging.clone())), []);
    line.command(LineCommand::Answer(Answer { number: asked[0].number, done: false }));
    assert_eq!(line.status().error_code, error_code::STOP_ACK_REFUSED);
    look(&mut line, enabled());
    line.link_down();
    assert_eq!(requests(&look(&mut line, acknowledging)), [], "nobody was told of the stop");
}

#[test]
fn a_soft_event_is_told_once_and_acknowledged_when_it_is_done() {
    let mut line = running();
    let set = Control { soft_events: 0b10, ..enabled() };
    let asked = requests(&look(&mut line, set.clone()));
    assert_eq!(asked.iter().map(|request| request.order).collect::<Vec<_>>(), [PlcOrder::SoftEvent(1)]);
    assert_eq!(requests(&look(&mut line, set)), []);
    assert_eq!(line.status().soft_event_acks, 0);
    line.command(LineCommand::Answer(Answer { number: asked[0].number, done: true }));
    assert_eq!(line.status().soft_event_acks, 0b10);
    look(&mut line, enabled());
    assert_eq!(line.status().soft_event_acks, 0);
}

#[test]
fn only_the_recipe_in_force_can_be_prepared() {
    let mut line = Handshake::new(Identity { recipe: 12, ..Identity::default() });
    look(&mut line, enabled());
    line.link_up(&mut Vec::new());
    line.command(permit(true));
    assert!(commanded(&mut line, 3, 0));
    assert_eq!((line.status().state, line.status().trigger_ready), (State::Initialized as u16, false));
    assert!(!commanded(&mut line, 2, 13));
    assert_eq!((line.status().error_code, line.status().error_cause), (error_code::OTHER_RECIPE, 2));
    assert!(!commanded(&mut line, 5, 0), "nothing is prepared");
    assert!(commanded(&mut line, 2, 12) && commanded(&mut line, 5, 0));
    assert_eq!((line.status().state, line.status().trigger_ready), (State::ContinuousExecution as u16, true));
}

#[test]
fn a_single_job_is_one_piece() {
    let mut line = running();
    assert!(commanded(&mut line, 4, 0));
    assert_eq!(missed(&look(&mut line, triggered(1))), Vec::<u32>::new());
    look(&mut line, enabled());
    assert_eq!((line.status().state, line.status().trigger_ready), (State::SingleExecution as u16, false));
    assert_eq!(missed(&look(&mut line, triggered(2))), [2], "a second one is missed, and owed");
    line.command(result(1, Verdict::Pass));
    assert_eq!((line.status().state, line.status().piece_seq_echo), (State::Ready as u16, 1));
}

#[test]
fn halted_takes_nothing_until_it_is_reset() {
    let mut line = running();
    assert!(commanded(&mut line, 6, 0));
    let status = line.status();
    assert_eq!((status.state, status.offline_reason, status.online, status.trigger_ready), (State::Halted as u16, 3, false, false));
    assert!(status.run_permit, "the line stop is another matter");
    assert!(!commanded(&mut line, 5, 0) && commanded(&mut line, 7, 0) && commanded(&mut line, 5, 0));
    assert!(line.status().trigger_ready);
}

#[test]
fn stop_waits_for_the_piece_in_work_and_abort_does_not() {
    for (command, abort) in [(8, false), (9, true)] {
        let mut line = running();
        line.command(result(90, Verdict::Pass));
        look(&mut line, triggered(1));
        look(&mut line, enabled());
        let told = missed(&look(&mut line, ask(command)));
        assert_eq!(told, if abort { vec![1] } else { Vec::new() });
        let status = line.status();
        assert!(status.command_executing && !status.trigger_ready && status.state == State::Ready as u16);
        assert_eq!(status.piece_seq_echo, 90, "what is on offer stays");
        line.command(result(1, if abort { Verdict::Hold } else { Verdict::Pass }));
        assert!(line.status().command_completed && !line.status().command_executing);
    }
}

#[test]
fn a_result_can_be_dropped_by_a_command() {
    let mut line = running();
    assert!(!commanded(&mut line, 10, 0), "there is none");
    line.command(result(1, Verdict::Pass));
    line.command(result(2, Verdict::Pass));
    look(&mut line, ask(10));
    assert!(line.status().command_completed && !line.status().results_valid, "as if acknowledged");
    look(&mut line, enabled());
    assert_eq!(line.status().piece_seq_echo, 2);
}

#[test]
fn the_appliances_own_trouble_is_shown_as_an_error_until_it_is_over_or_reset() {
    let mut line = running();
    let stopped = |reason| {
        let mut reasons = StopReasons::default();
        reasons.insert(reason);
        LineCommand::Permit(Permit { run: false, reasons, stop_seq: 1, ..Permit::default() })
    };
    line.command(stopped(StopReason::CameraStale));
    assert_eq!((line.status().state, line.status().error_code), (State::Error as u16, error_code::CAMERA));
    line.command(permit(true));
    assert_eq!((line.status().state, line.status().error_code), (State::ContinuousExecution as u16, error_code::NONE));
    line.command(stopped(StopReason::ModelError));
    assert!(commanded(&mut line, 7, 0));
    assert_eq!(line.status().state, State::ContinuousExecution as u16);
}

#[test]
fn errors_are_shown_one_at_a_time() {
    let mut line = running();
    look(&mut line, Control { trigger_enable: false, ..triggered(1) });
    look(&mut line, enabled());
    assert!(!commanded(&mut line, 99, 0));
    assert_eq!(line.status().error_code, error_code::TRIGGER_MISSED);
    look(&mut line, Control { clear_error: true, ..enabled() });
    assert!(!line.status().acq_error);
    assert_eq!((line.status().error_code, line.status().error_cause), (error_code::COMMAND_REFUSED, 99));
    look(&mut line, Control { clear_error: true, ..enabled() });
    assert_eq!(line.status().error_code, error_code::COMMAND_REFUSED, "an edge is needed");
    assert!(commanded(&mut line, 11, 0));
    assert_eq!((line.status().error_code, line.status().error), (error_code::NONE, false));
}

#[test]
fn user_data_goes_with_one_piece() {
    let mut line = running();
    let mut user_data = [0; 64];
    user_data[..3].copy_from_slice(&[7, 0, 9]);
    look(&mut line, Control { set_user_data: true, user_data, ..enabled() });
    assert!(line.status().set_user_data_ack);
    for expected in [vec![7, 0, 9], Vec::new()] {
        let notices = look(&mut line, Control { force_retain: true, user_data: [5; 64], ..triggered(1 + u32::from(expected.is_empty())) });
        let Some(Notice::Station(Event::Arrived(arrival))) = notices.first() else { panic!("no arrival: {notices:?}") };
        assert_eq!((&arrival.user_data, arrival.retain), (&expected, true));
        look(&mut line, enabled());
    }
}

#[test]
fn a_number_that_two_pieces_carry_gets_no_verdict() {
    let mut line = running();
    look(&mut line, triggered(1));
    look(&mut line, enabled());
    // Another piece with the same number, while the first is in work: the station gives up the first.
    let again = Control { encoder_at_trigger: 4711, ..triggered(1) };
    assert_eq!(look(&mut line, again.clone()).first(), Some(&Notice::Repeated(PieceId(1))));
    assert_eq!(line.status().error_code, error_code::PIECE_REPEATED);
    look(&mut line, enabled());
    line.command(result(1, Verdict::Pass));
    assert!(line.status().no_verdict && !line.status().pass, "a verdict that was under way already is not offered either");
    look(&mut line, Control { results_ack: true, ..enabled() });
    look(&mut line, enabled());
    // The same while the first is on offer.
    look(&mut line, triggered(2));
    look(&mut line, enabled());
    line.command(result(2, Verdict::Pass));
    assert!(line.status().pass);
    look(&mut line, Control { encoder_at_trigger: 4711, ..triggered(2) });
    assert!(line.status().no_verdict && !line.status().pass);
}

#[test]
fn a_plc_without_memory_is_not_offered_what_was_before() {
    let mut line = running();
    for piece in 1..=2 {
        look(&mut line, triggered(piece));
        look(&mut line, Control { piece_seq: piece, ..enabled() });
    }
    line.command(result(1, Verdict::Pass));
    line.link_down();
    let notices = look(&mut line, enabled());
    assert_eq!(missed(&notices), [2]);
    assert!(notices.contains(&Notice::Forgotten(1)));
    line.link_up(&mut Vec::new());
    line.command(permit(true));
    // Its numbers begin anew, while the old second piece is still to be closed.
    look(&mut line, Control { encoder_at_trigger: 1, ..triggered(2) });
    look(&mut line, enabled());
    line.command(result(2, Verdict::Hold));
    assert!(!line.status().results_valid && line.status().busy, "the old one");
    let LineCommand::Result(new) = result(2, Verdict::Pass) else { unreachable!() };
    line.command(LineCommand::Result(PieceResult { encoder: EncoderCount(1), ..new }));
    assert!(line.status().pass && !line.status().busy);
}

#[test]
fn the_camera_may_say_that_the_piece_can_move_on() {
    let mut line = running();
    look(&mut line, triggered(1));
    line.command(LineCommand::Exposed(PieceId(9)));
    assert!(!line.status().exposure_complete);
    line.command(LineCommand::Exposed(PieceId(1)));
    assert!(line.status().exposure_complete);
    look(&mut line, Control { clear_exposure_complete: true, ..enabled() });
    assert!(!line.status().exposure_complete);
}

#[test]
fn a_challenge_piece_never_passes() {
    for (verdict, code) in [(Verdict::Reject, 6), (Verdict::Pass, 7), (Verdict::Hold, 4)] {
        let mut line = running();
        let LineCommand::Result(plain) = result(1, verdict) else { unreachable!() };
        line.command(LineCommand::Result(PieceResult { golden: true, ..plain }));
        let status = line.status();
        assert_eq!((status.result_code, status.pass, status.fail), (code, false, verdict != Verdict::Hold));
    }
}

#[test]
fn offline_takes_no_trigger() {
    let mut line = running();
    look(&mut line, Control { set_offline: true, ..enabled() });
    let status = line.status();
    assert!(!status.trigger_ready && !status.online);
    assert_eq!((status.offline_reason, status.state), (3, State::Halted as u16));
}
