//! The laws of the house, each on the real state machine, with every invariant checked after every event.

use line_tests::world::{PITCH, World, acknowledge, arrival, ask, inspection, past, person, recipe, setup};
use proptest::prelude::*;
use station::action::{Action, By, Request, Role};
use station::decision::{Affected, Decision, ResultRange};
use station::inspection::{Miss, MissReason, ModelRef};
use station::intake::{Intake, SupplierLot};
use station::line::{Counters, Feedback, LineCommand, LinkFault, Permit, PlcLink, PlcOrder, PlcRequest};
use station::piece::PieceId;
use station::policy::{PlcAcknowledge, StopReason, Withheld};
use station::reading::{Quality, Reading};
use station::record::{Body, Entry, EntryNumber, KeySwitch, Mark};
use station::snapshot::Phase;
use station::units::{Digest, Timestamp};
use station::verdict::{Reason, Verdict};
use station::{Effect, Event, Station};
use std::sync::Arc;

fn stopped_by_operator() -> World {
    let mut world = World::running();
    ask(&mut world, Role::Operator, Action::Stop { note: "smoke".to_owned() });
    assert_eq!(world.station.phase(), Phase::Stopped);
    world
}

/// What withheld the stops that were not commanded, in order.
fn withheld(world: &World) -> Vec<Withheld> {
    let of = |entry: &Entry| if let Body::Stopped(stop) = &entry.body { stop.withheld } else { None };
    world.chain.iter().filter_map(of).collect()
}

fn key_switches(world: &World) -> Vec<KeySwitch> {
    let of = |entry: &Entry| if let Body::KeySwitch(record) = &entry.body { Some(record.position) } else { None };
    world.chain.iter().filter_map(of).collect()
}

/// So many rejects have been confirmed since the link came up.
fn confirmed(rejects_confirmed: u32) -> Event {
    Event::Link(PlcLink::Feedback(Feedback { rejects_confirmed, ..Feedback::default() }))
}

/// What the PLC asks for; true if it was done.
fn order(world: &mut World, order: PlcOrder) -> bool {
    world.give(Event::Link(PlcLink::Asked(PlcRequest { number: 7, order })));
    let answer = |effect: &Effect| if let Effect::Command(LineCommand::Answer(answer)) = effect { Some(answer.done) } else { None };
    world.last.iter().find_map(answer).expect("an answer")
}

fn is_keep(effect: &Effect) -> bool {
    matches!(effect, Effect::Keep(_))
}

fn stop_position(effects: &[Effect]) -> Option<usize> {
    effects.iter().position(|effect| matches!(effect, Effect::Command(LineCommand::Permit(Permit { run: false, .. }))))
}

#[test]
fn stop_before_writing() {
    let mut world = World::running();
    for number in 1..=5 {
        world.piece(number, &[0.9]);
    }
    let stop = stop_position(&world.last).expect("five rejects in a row stop the line");
    let keep = world.last.iter().position(is_keep).expect("the piece is kept");
    assert!(stop < keep, "the permit is withdrawn first");
    let result = world.last.iter().position(|effect| matches!(effect, Effect::Command(LineCommand::Result(_))));
    assert!(result.is_some_and(|result| stop < result && result < keep), "then the gate is told, then it is written");
}

#[test]
fn stop_before_writing_even_if_one_event_closes_several_pieces() {
    let mut world = World::running();
    for number in 1..=4 {
        world.give(Event::Arrived(arrival(number)));
    }
    world.now.mono_micros += 600_000;
    world.give(Event::Tick);
    let stop = stop_position(&world.last).expect("four late verdicts stop the line");
    let keep = world.last.iter().position(is_keep).expect("the pieces are kept");
    assert!(stop < keep, "the permit is withdrawn before the first of them is kept");
    assert_eq!(world.records().count(), 4);
}

#[test]
fn write_before_releasing() {
    let mut world = stopped_by_operator();
    ask(&mut world, Role::Operator, acknowledge(1, "smoke seen"));
    ask(&mut world, Role::Supervisor, Action::Release { stop_seq: 1 });
    assert_eq!(world.station.phase(), Phase::Releasing);
    assert!(!world.permit.run, "released, but not yet durable");
    let last = world.chain.len() as u64;
    world.give(Event::Kept(EntryNumber(last - 1)));
    assert!(!world.permit.run, "durable up to the entry before the release");
    world.give(Event::Kept(EntryNumber(last)));
    assert!(world.permit.run, "durable: the line may run");
}

#[test]
fn records_that_do_not_become_durable_stop_the_line() {
    let mut world = World::running();
    let mut pieces = 0;
    while world.permit.run {
        pieces += 1;
        world.piece(pieces, &[]);
        assert!(pieces < 100, "nothing is durable, and the line still runs");
    }
    let stop = world.station.snapshot(world.now).stop.expect("a stop is in force");
    assert_eq!(stop.first, StopReason::DiskExhausted);
    ask(&mut world, Role::Operator, acknowledge(stop.seq, "disk"));
    ask(&mut world, Role::Supervisor, Action::Release { stop_seq: stop.seq });
    assert_eq!(world.station.phase(), Phase::Acknowledged, "no release while the cause stands");
    world.keep_all();
    ask(&mut world, Role::Supervisor, Action::Release { stop_seq: stop.seq });
    world.keep_all();
    assert!(world.permit.run);
}

#[test]
fn a_piece_nobody_judged_is_a_hold() {
    let mut world = World::running();
    let mut wrong_model = inspection(2, &[]);
    wrong_model.model = Arc::new(ModelRef { package: "other@1".to_owned(), weights: Digest::of(b"other") });
    let not_a_number = inspection(3, &[f32::NAN]);
    let mut unknown_class = inspection(4, &[0.01]);
    unknown_class.findings[0].class = station::inspection::ClassId(77);
    world.give(Event::Arrived(arrival(1)));
    world.give(Event::Missed(Miss { piece: PieceId(1), acquisition: 0, reason: MissReason::CameraStale, camera: None }));
    for (number, seen) in [(2, wrong_model), (3, not_a_number), (4, unknown_class)] {
        world.give(Event::Arrived(arrival(number)));
        world.give(Event::Seen(Arc::new(seen)));
    }
    world.give(Event::Arrived(arrival(5)));
    world.now.mono_micros += 600_000;
    world.give(Event::Seen(Arc::new(inspection(5, &[]))));
    // 6 and 7 were never announced.
    world.piece(8, &[]);
    let verdicts: Vec<_> = world.records().map(|record| (record.arrival.piece.0, record.judgement.verdict)).collect();
    let holds = (1..=7).map(|number| (number, Verdict::Hold));
    assert_eq!(verdicts, holds.chain([(8, Verdict::Pass)]).collect::<Vec<_>>());
    let missed = |record: &station::record::PieceRecord| match record.judgement.reasons[..] {
        [Reason::Missed(reason)] => reason,
        _ => panic!("piece {} has no reason", record.arrival.piece),
    };
    use MissReason::{CameraStale, Deadline, Interrupted, ModelError};
    let reasons: Vec<_> = world.records().take(7).map(missed).collect();
    assert_eq!(reasons, [CameraStale, ModelError, ModelError, ModelError, Deadline, Interrupted, Interrupted]);
}

#[test]
fn zero_is_the_safe_value() {
    assert!(!Permit::default().run);

    let start = World::on(Vec::new(), Timestamp::default());
    assert!(!start.permit.run, "a station that has just started gives no permit");
}

#[test]
fn a_piece_announced_twice_gets_one_record_and_the_same_answer() {
    let mut world = World::running();
    world.piece(1, &[0.9]);
    world.keep_all();
    // The process dies after the record is durable and before the PLC read the result; the PLC announces the piece again.
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    world.give(Event::Arrived(arrival(1)));
    let answer = world.last.iter().find_map(|effect| match effect {
        Effect::Command(LineCommand::Result(result)) => Some(result.verdict),
        _ => None,
    });
    assert_eq!(answer, Some(Verdict::Reject));
    assert_eq!(world.records().count(), 1);
}

fn told(world: &World) -> Option<(u32, Verdict)> {
    world.last.iter().find_map(|effect| match effect {
        Effect::Command(LineCommand::Result(result)) => Some((result.encoder.0, result.verdict)),
        _ => None,
    })
}

/// What the recipe chose to tell is of the piece's own record, and the same when it is asked for again.
#[test]
fn a_result_carries_the_values_of_its_own_piece() {
    let mut world = World::running();
    world.read(120.5);
    world.give(Event::Arrived(arrival(1)));
    // What is read from now on belongs to the pieces that come after it.
    world.read(f64::NAN);
    world.give(Event::Seen(Arc::new(inspection(1, &[0.75, 0.5, 0.25]))));
    let first = [1.0, 120.5, 1.0, 2.0, 0.0, 0.75];
    assert_eq!(told_payload(&world), first);
    world.piece(2, &[]);
    assert_eq!(told_payload(&world), [2.0, 0.0, 0.0, 0.0, 0.0, 0.0], "a bad reading is no number");
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    world.give(Event::Arrived(arrival(1)));
    assert_eq!(told_payload(&world), first, "after a restart as before it");
}

fn told_payload(world: &World) -> Vec<f64> {
    let result = world.last.iter().rev().find_map(|effect| match effect {
        Effect::Command(LineCommand::Result(result)) => Some(result.payload.clone()),
        _ => None,
    });
    result.expect("a result")
}

/// A challenge piece tests the station and is no product: what is found on it says nothing of the process.
#[test]
fn a_challenge_piece_that_passes_stops_the_line_and_none_counts_as_product() {
    let golden = |world: &mut World, number: u32, scores: &[f32]| {
        world.give(Event::Arrived(station::piece::Arrival { golden: true, ..arrival(number) }));
        world.give(Event::Seen(Arc::new(inspection(number, scores))));
    };
    let mut world = World::running();
    for number in 1..=5 {
        golden(&mut world, number, &[0.9]);
    }
    assert_eq!(world.station.phase(), Phase::Running, "five found defects are five proofs");
    assert!(world.records().all(|record| record.points.is_empty()), "no chart has seen them");
    golden(&mut world, 6, &[]);
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::GoldenFailed));
    let position = stop_position(&world.last).expect("the stop");
    assert!(world.last.iter().position(is_keep).expect("the record") > position, "stop before writing");
    // One that nobody could judge proves nothing, but the station misses pieces as ever.
    let mut world = World::running();
    for number in 1..=3 {
        world.give(Event::Arrived(station::piece::Arrival { golden: true, ..arrival(number) }));
        world.give(Event::Missed(Miss { piece: PieceId(number), acquisition: 0, reason: MissReason::CameraLost, camera: None }));
    }
    assert!(world.permit.reasons.contains(StopReason::CameraStale) && !world.permit.reasons.contains(StopReason::GoldenFailed));
}

#[test]
fn pieces_announced_out_of_order_have_one_record_each() {
    let mut world = World::running();
    world.piece(1, &[]);
    // 2 was skipped: a hold. It is announced after all, even twice: the hold is its result, at its own count.
    world.piece(3, &[]);
    for _ in 0..2 {
        world.give(Event::Arrived(arrival(2)));
        assert_eq!(told(&world), Some((2 * PITCH, Verdict::Hold)));
    }
    // 5 before 4, where neither is missing.
    world.give(Event::Link(PlcLink::Forgot));
    world.give(Event::Arrived(arrival(5)));
    world.piece(4, &[]);
    world.piece(6, &[]);
    world.give(Event::Seen(Arc::new(inspection(5, &[0.9]))));
    let records: Vec<_> = world.records().map(|record| (record.arrival.piece.0, record.judgement.verdict)).collect();
    use Verdict::{Hold, Pass, Reject};
    assert_eq!(records, [(1, Pass), (2, Hold), (3, Pass), (4, Pass), (6, Pass), (5, Reject)]);
}

#[test]
fn a_late_picture_judges_no_other_piece_of_the_same_number() {
    let mut world = World::running();
    world.give(Event::Arrived(station::piece::Arrival { acquisition: 1, ..arrival(1) }));
    world.now.mono_micros += 600_000;
    world.give(Event::Tick);
    world.give(Event::Link(PlcLink::Forgot));
    world.give(Event::Arrived(station::piece::Arrival { acquisition: 2, serial: None, ..arrival(1) }));
    world.give(Event::Seen(Arc::new(station::inspection::Inspection { acquisition: 1, ..inspection(1, &[]) })));
    world.give(Event::Missed(Miss { piece: PieceId(1), acquisition: 1, reason: MissReason::CameraStale, camera: None }));
    world.give(Event::Seen(Arc::new(station::inspection::Inspection { acquisition: 2, ..inspection(1, &[0.9]) })));
    let verdicts: Vec<_> = world.records().map(|record| record.judgement.verdict).collect();
    assert_eq!(verdicts, [Verdict::Hold, Verdict::Reject]);
}

#[test]
fn a_plc_that_forgot_its_pieces_gets_no_answer_of_before() {
    let mut world = World::running();
    world.piece(1, &[]);
    world.give(Event::Arrived(arrival(1)));
    assert_eq!(told(&world), Some((PITCH, Verdict::Pass)), "announced again");
    world.give(Event::Link(PlcLink::Forgot));
    world.give(Event::Arrived(arrival(1)));
    assert_eq!(told(&world), None, "another piece at the same place");
    world.give(Event::Seen(Arc::new(inspection(1, &[]))));
    assert_eq!(world.records().count(), 2);
}

#[test]
fn a_stop_survives_a_restart() {
    let mut world = stopped_by_operator();
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    assert_eq!(world.station.phase(), Phase::Stopped);
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::Operator));
    let reasserted = stop_position(&world.last);
    assert!(reasserted.is_some(), "the PLC is told the latched stop again after it was heard");
}

#[test]
fn a_stop_needs_a_cause_and_a_release_needs_a_supervisor() {
    let mut world = stopped_by_operator();
    ask(&mut world, Role::Supervisor, Action::Release { stop_seq: 1 });
    assert_eq!(world.station.phase(), Phase::Stopped, "released without acknowledgement");
    ask(&mut world, Role::Supervisor, acknowledge(1, "   "));
    assert_eq!(world.station.phase(), Phase::Stopped, "acknowledged without a cause");
    ask(&mut world, Role::Supervisor, acknowledge(7, "another stop"));
    assert_eq!(world.station.phase(), Phase::Stopped, "acknowledged the wrong stop");
    ask(&mut world, Role::Operator, acknowledge(1, "smoke"));
    assert_eq!(world.station.phase(), Phase::Acknowledged);
    ask(&mut world, Role::Operator, Action::Release { stop_seq: 1 });
    assert_eq!(world.station.phase(), Phase::Acknowledged, "released by an operator");
}

#[test]
fn a_key_switch_keeps_stops_from_being_commanded_but_hides_nothing_and_expires() {
    let mut world = World::running();
    world.give(Event::Link(PlcLink::Feedback(Feedback { stop_inhibit: true, ..Feedback::default() })));
    ask(&mut world, Role::Operator, Action::Stop { note: "trial".to_owned() });
    assert!(world.permit.run, "inhibited");
    assert_eq!(withheld(&world), [Withheld::KeySwitch], "the stop that would have come is kept");
    let shown = world.station.snapshot(world.now);
    assert!(shown.last_stop.is_some_and(|stop| stop.withheld == Some(Withheld::KeySwitch)), "and shown");
    assert_eq!((shown.line_stop.withheld, shown.plc.stop_inhibit, shown.plc.inhibit_expired), (1, true, false), "and counted");
    world.now.mono_micros += 10 * 60 * 1_000_000;
    ask(&mut world, Role::Operator, Action::Stop { note: "again".to_owned() });
    assert!(!world.permit.run, "ten minutes later the switch counts no longer");
    assert!(world.station.snapshot(world.now).plc.inhibit_expired, "and it is shown that it does not");
    assert_eq!(key_switches(&world), [KeySwitch::On, KeySwitch::Expired], "its way is recorded");
    world.give(Event::Link(PlcLink::Feedback(Feedback::default())));
    assert_eq!(key_switches(&world).last(), Some(&KeySwitch::Off));
}

#[test]
fn a_key_switch_that_was_on_in_a_restart_has_to_be_turned_anew() {
    let mut world = World::running();
    let feedback = |stop_inhibit| Event::Link(PlcLink::Feedback(Feedback { stop_inhibit, ..Feedback::default() }));
    world.give(feedback(true));
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    world.give(feedback(true));
    assert!(world.station.snapshot(world.now).plc.inhibit_expired);
    ask(&mut world, Role::Operator, Action::Stop { note: String::new() });
    assert!(!world.permit.run);
    assert_eq!(key_switches(&world), [KeySwitch::On, KeySwitch::Expired]);
}

#[test]
fn a_cause_that_outlasts_the_key_switch_stops_the_line() {
    let mut world = World::running();
    let feedback = |stop_inhibit| Event::Link(PlcLink::Feedback(Feedback { stop_inhibit, bin_full: true, ..Feedback::default() }));
    world.give(feedback(true));
    for _ in 0..5 {
        world.give(Event::Tick);
    }
    assert_eq!((withheld(&world).len(), world.permit.run), (1, true), "recorded once, not commanded");
    world.give(feedback(false));
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::RejectBinFull));
}

#[test]
fn unconfirmed_rejects_stop_the_line_and_confirmed_ones_do_not() {
    for confirms in [true, false] {
        let mut world = World::running();
        let mut confirmations = 0;
        for number in 1..=30 {
            if confirms && number > 3 && number % 2 == 0 {
                confirmations += 1;
                world.give(confirmed(confirmations));
            }
            world.piece(number, if number % 2 == 0 { &[] } else { &[0.9] });
            world.keep_all();
        }
        assert_eq!(world.permit.run, confirms);
        let reasons = world.station.snapshot(world.now).stop.map(|stop| stop.first);
        assert_eq!(reasons, (!confirms).then_some(StopReason::RejectUnconfirmed));
    }
}

#[test]
fn an_unarmed_line_is_never_stopped_by_a_machine_and_everything_is_told() {
    let mut world = World::unarmed();
    assert!(!world.station.snapshot(world.now).line_stop.armed, "a fresh station is not armed");
    for number in 1..=10 {
        world.piece(number, &[0.9]);
        world.give(confirmed(number));
        world.keep_all();
        assert!(world.permit.run);
    }
    let shown = world.station.snapshot(world.now);
    assert!(shown.stop.is_none() && shown.phase == Phase::Running);
    assert_eq!(shown.last_stop.map(|stop| (stop.first, stop.withheld)), Some((StopReason::ConsecutiveRejects, Some(Withheld::Unarmed))));
    assert_eq!((shown.line_stop.withheld, withheld(&world).len()), (2, 2), "every five rejects in a row");

    world.give(Event::Link(PlcLink::Down(LinkFault::TimedOut)));
    assert!(!world.permit.run, "without the PLC nothing may run, armed or not");
    world.give(Event::Link(PlcLink::Up));
    assert!(world.permit.run, "but nobody has to release what was not stopped");
}

#[test]
fn what_a_person_decides_and_a_full_disk_stop_an_unarmed_line() {
    let mut world = World::unarmed();
    ask(&mut world, Role::Operator, Action::Stop { note: "hand in the machine".to_owned() });
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::Operator));

    let mut world = World::unarmed();
    (1..100).for_each(|number| world.piece(number, &[]));
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::DiskExhausted));
    assert_eq!(withheld(&world), []);
}

#[test]
fn a_cause_that_stands_when_the_line_is_armed_stops_it_at_once() {
    let bin_full = Event::Link(PlcLink::Feedback(Feedback { bin_full: true, ..Feedback::default() }));
    for (cause, reason) in [(bin_full, StopReason::RejectBinFull), (Event::Link(PlcLink::Down(LinkFault::TimedOut)), StopReason::PlcLink)] {
        let mut world = World::unarmed();
        world.give(cause);
        (0..5).for_each(|_| world.give(Event::Tick));
        assert_eq!((withheld(&world).len(), world.station.snapshot(world.now).stop), (1, None), "{reason}: told once");
        ask(&mut world, Role::Engineer, Action::Arm);
        assert!(!world.permit.run && world.permit.reasons.contains(reason), "{reason}");
        assert_eq!(world.station.phase(), Phase::Stopped);
        ask(&mut world, Role::Engineer, Action::Disarm);
        assert_eq!(world.station.phase(), Phase::Stopped, "disarming releases nothing");
    }
    let mut world = World::on(Vec::new(), Timestamp::default());
    ask(&mut world, Role::Engineer, Action::Arm);
    assert_eq!((world.station.phase(), world.permit.run), (Phase::Starting, false), "a PLC that was never heard is no cause");
}

#[test]
fn arming_needs_an_engineer_survives_a_restart_and_says_who() {
    let mut world = World::unarmed();
    for role in [Role::Operator, Role::Supervisor, Role::QualityOfficer] {
        ask(&mut world, role, Action::Arm);
        assert!(!world.station.snapshot(world.now).line_stop.armed, "{role}");
    }
    ask(&mut world, Role::Administrator, Action::Arm);
    ask(&mut world, Role::Engineer, Action::Arm);
    assert!(order(&mut world, PlcOrder::ArmLineStop), "already so is done");
    let records = |world: &World| world.chain.iter().filter(|entry| matches!(entry.body, Body::Armed(_))).count();
    assert_eq!(records(&world), 1);
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    let shown = world.station.snapshot(world.now).line_stop;
    assert_eq!((shown.armed, shown.by), (true, Some(By::Person(person(Role::Administrator)))));
    assert!(order(&mut world, PlcOrder::DisarmLineStop));
    let shown = world.station.snapshot(world.now).line_stop;
    assert_eq!((shown.armed, shown.by), (false, Some(By::Plc)));
    ask(&mut world, Role::Supervisor, Action::Arm);
    assert!(!world.station.snapshot(world.now).line_stop.armed);
}

/// A running world whose policy for the PLC's acknowledgement is another.
fn with_policy(policy: PlcAcknowledge) -> World {
    let mut world = World::running();
    let mut written = serde_json::to_value(&world.station).expect("plain data");
    written["setup"]["recipe"]["stop"]["plc_acknowledge"] = serde_json::to_value(policy).expect("plain data");
    world.station = serde_json::from_value(written).expect("what was written");
    ask(&mut world, Role::Operator, Action::Stop { note: String::new() });
    world
}

#[test]
fn the_policy_says_what_the_acknowledgement_at_the_plc_does() {
    let mut world = with_policy(PlcAcknowledge::Ignored);
    assert!(!order(&mut world, PlcOrder::AcknowledgeStop));
    assert_eq!(world.station.phase(), Phase::Stopped);

    let mut world = with_policy(PlcAcknowledge::Acknowledges);
    assert!(order(&mut world, PlcOrder::AcknowledgeStop));
    let stop = world.station.snapshot(world.now).stop.expect("still stopped");
    assert_eq!((stop.acknowledged_by, stop.cause.as_str()), (Some(By::Plc), "acknowledged at the PLC"));
    assert!(!order(&mut world, PlcOrder::AcknowledgeStop), "there is nothing more to do");
    assert_eq!(world.station.phase(), Phase::Acknowledged);

    let mut world = with_policy(PlcAcknowledge::Releases);
    let full = |bin_full| Event::Link(PlcLink::Feedback(Feedback { bin_full, ..Feedback::default() }));
    world.give(full(true));
    assert!(order(&mut world, PlcOrder::AcknowledgeStop));
    assert_eq!(world.station.phase(), Phase::Acknowledged, "no release while a cause stands");
    world.give(full(false));
    assert!(order(&mut world, PlcOrder::AcknowledgeStop));
    assert_eq!((world.station.phase(), world.permit.run), (Phase::Releasing, false), "write before releasing");
    world.keep_all();
    assert!(world.permit.run);
    assert!(!order(&mut world, PlcOrder::AcknowledgeStop), "nothing is stopped");
}

#[test]
fn a_new_lot_begins_the_windows_anew_and_marks_are_kept() {
    let mut world = World::running();
    for number in 1..=8 {
        world.piece(number, &[0.9]);
        world.give(confirmed(number));
        world.keep_all();
        if number == 4 {
            assert!(order(&mut world, PlcOrder::NewLot(12)));
        }
    }
    assert!(world.permit.run, "four rejects in a row before the lot, four in it");
    assert!(order(&mut world, PlcOrder::SoftEvent(7)) && !order(&mut world, PlcOrder::SoftEvent(8)));
    let told: Vec<_> = world
        .chain
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Lot(lot) => Some((format!("lot {}", lot.lot), lot.by.clone())),
            Body::Mark(record) => Some((format!("{:?}", record.mark), record.by.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [("lot 12".to_owned(), By::Plc), (format!("{:?}", Mark::SoftEvent(7)), By::Plc)]);
}

#[test]
fn reset_counters_begin_at_zero_but_for_what_is_on_its_way_to_the_gate() {
    let mut world = World::running();
    (1..=5).for_each(|number| world.piece(number, if number > 3 { &[0.9] } else { &[] }));
    assert!(order(&mut world, PlcOrder::ResetCounters));
    let expected = Counters { reject_commanded: 2, ..Counters::default() };
    assert_eq!(world.station.snapshot(world.now).counters, expected);
    world.give(confirmed(2));
    let after = Counters { reject_confirmed: 2, ..expected };
    assert_eq!(world.station.snapshot(world.now).counters, after);
    world.keep_all();
    let again = World::on(world.chain, world.now);
    assert_eq!(again.station.snapshot(again.now).counters, after, "a restart counts the same");
}

#[test]
fn a_golden_check_makes_the_next_piece_a_challenge_even_after_a_restart() {
    let mut world = World::running();
    world.give(Event::Arrived(arrival(1)));
    assert!(order(&mut world, PlcOrder::GoldenCheck));
    world.give(Event::Seen(Arc::new(inspection(1, &[]))));
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    for number in 2..=3 {
        world.give(Event::Arrived(arrival(number)));
        world.give(Event::Arrived(arrival(number)));
    }
    world.give(Event::Seen(Arc::new(inspection(3, &[]))));
    world.give(Event::Seen(Arc::new(inspection(2, &[]))));
    let golden: Vec<_> = world.records().map(|record| (record.arrival.piece.0, record.arrival.golden)).collect();
    assert_eq!(golden, [(1, false), (3, false), (2, true)]);
}

/// The world itself refuses two verdicts for one piece.
#[test]
fn a_skipped_number_that_is_another_piece_by_now_has_that_piece_s_result_alone() {
    let mut world = World::running();
    // 8 is skipped, the PLC's counter goes elsewhere, and then there is a piece 8.
    for number in [7, 9, 4, 8, 10, 8] {
        world.give(Event::Arrived(arrival(number)));
    }
    world.give(Event::Seen(Arc::new(inspection(8, &[]))));
    world.give(Event::Arrived(arrival(8)));
    let of_eight = world.records().filter(|record| record.arrival.piece == PieceId(8));
    let results: Vec<_> = of_eight.map(|record| (record.arrival.encoder.0, record.judgement.verdict)).collect();
    assert_eq!(results, [(9000, Verdict::Hold), (8000, Verdict::Pass)]);
}

/// A decision by the quality officer.
fn decide(world: &mut World, decision: Decision) {
    ask(world, Role::QualityOfficer, Action::Decide { decision, reason: "crack found at the customer".to_owned() });
}

fn serial(number: u32) -> Affected {
    Affected { serials: [format!("SN{number}")].into(), ..Affected::default() }
}

fn recall_of(number: u32) -> Decision {
    Decision::Recall { name: "cracked lot".to_owned(), criteria: "glued before ten".to_owned(), set: serial(number) }
}

#[test]
fn a_recalled_piece_that_is_seen_again_is_rejected_and_stops_the_line_even_after_a_restart() {
    let mut world = World::running();
    world.piece(1, &[]);
    decide(&mut world, recall_of(1));
    world.keep_all();
    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    assert!(world.permit.run);
    world.give(Event::Arrived(station::piece::Arrival { serial: Some("SN1".to_owned()), ..arrival(2) }));
    world.give(Event::Seen(Arc::new(inspection(2, &[]))));
    let stop = stop_position(&world.last).expect("the policy stops the line");
    assert!(stop < world.last.iter().position(is_keep).expect("the piece is kept"), "stop before writing");
    assert!(world.permit.reasons.contains(StopReason::RecalledSerial));
    let record = world.records().last().expect("a record");
    let reasons = [Reason::Recalled { recall: 1, name: "cracked lot".into() }];
    assert_eq!((record.judgement.verdict, record.judgement.grade, &record.judgement.reasons[..]), (Verdict::Reject, 0, &reasons[..]));
    assert!(record.points.is_empty(), "it says nothing of the process");
    assert_eq!(
        world.station.snapshot(world.now).stop.map(|stop| stop.detail),
        Some("serial SN1 is recalled: cracked lot (decision 1)".into())
    );
    // Nobody looked: it is recalled all the same, and a hold as ever.
    world.give(Event::Arrived(station::piece::Arrival { serial: Some("SN1".to_owned()), ..arrival(3) }));
    world.give(Event::Missed(Miss { piece: PieceId(3), acquisition: 0, reason: MissReason::CameraLost, camera: None }));
    assert_eq!(world.records().last().map(|record| record.judgement.verdict), Some(Verdict::Hold));
    decide(&mut world, Decision::EndRecall { recall: 1, set: Affected::default() });
    world.give(Event::Arrived(station::piece::Arrival { serial: Some("SN1".to_owned()), ..arrival(4) }));
    world.give(Event::Seen(Arc::new(inspection(4, &[]))));
    assert_eq!(world.records().last().map(|record| record.judgement.verdict), Some(Verdict::Pass), "the recall is over");
}

#[test]
fn a_policy_may_ask_for_an_alarm_where_a_recalled_piece_is_seen_again() {
    let mut setup = setup();
    let recipe = Arc::make_mut(&mut setup.recipe);
    recipe.stop.recalled_serial = station::policy::RecalledSeen::Alarm;
    let mut world = World::with(setup);
    decide(&mut world, recall_of(1));
    for number in 1..=4 {
        world.piece(number, if number == 1 { &[] } else { &[0.9] });
    }
    assert!(world.permit.run, "an alarm stops nothing");
    assert_eq!(withheld(&world), [Withheld::Policy], "and is recorded");
    assert_eq!(world.records().next().map(|record| record.judgement.verdict), Some(Verdict::Reject));
    world.piece(5, &[0.9]);
    world.piece(6, &[0.9]);
    assert!(world.permit.reasons.contains(StopReason::ConsecutiveRejects), "rejects go on to be counted as if it had not been there");
}

#[test]
fn decisions_need_a_quality_officer_a_reason_and_pieces_that_are_there() {
    let mut world = World::running();
    world.piece(1, &[0.9]);
    let overrule = |result_id| Decision::Overrule { result_id, verdict: Verdict::Pass, grade: 1 };
    let said = |world: &mut World, role, decision, reason: &str| {
        ask(world, role, Action::Decide { decision, reason: reason.to_owned() });
        world.station.snapshot(world.now).decisions.last
    };
    assert_eq!(said(&mut world, Role::Supervisor, overrule(1), "seen by eye"), 0);
    assert_eq!(said(&mut world, Role::QualityOfficer, overrule(1), "  "), 0);
    assert_eq!(said(&mut world, Role::QualityOfficer, overrule(2), "there is no record 2"), 0);
    let unknown = Decision::Overrule { result_id: 1, verdict: Verdict::Pass, grade: 9 };
    assert_eq!(said(&mut world, Role::QualityOfficer, unknown, "there is no grade 9"), 0);
    assert_eq!(said(&mut world, Role::QualityOfficer, Decision::Hold { set: Affected::default() }, "nothing is named"), 0);
    assert_eq!(said(&mut world, Role::QualityOfficer, Decision::ReleaseHold { hold: 1, set: serial(1) }, "not open"), 0);
    assert_eq!(said(&mut world, Role::QualityOfficer, overrule(1), "seen by eye"), 1);
    let complaint = Decision::Complaint { result_id: Some(1), serial: None };
    assert_eq!(said(&mut world, Role::Operator, complaint, "the lid is loose"), 2);
    assert_eq!(said(&mut world, Role::QualityOfficer, Decision::Hold { set: serial(1) }, "loose lids"), 3);
    assert_eq!(said(&mut world, Role::QualityOfficer, Decision::ReleaseHold { hold: 3, set: Affected::default() }, "lid glued"), 4);
    let shown = world.station.snapshot(world.now);
    assert_eq!((shown.decisions.escapes, shown.decisions.holds.len(), shown.counters.reject), (1, 0, 1), "the record stays as it is");
    let piece = shown.pieces.last().expect("the piece");
    assert_eq!(piece.overruled.as_ref().map(|overruled| (overruled.verdict, overruled.decision_id)), Some((Verdict::Pass, 1)));
    assert_eq!(piece.verdict, Verdict::Reject);
    let released = world.chain.iter().rev().find_map(|entry| if let Body::Decided(record) = &entry.body { Some(record) } else { None });
    assert_eq!(released.and_then(|record| record.decision.set()), Some(&serial(1)), "a release says what it released");
}

#[test]
fn what_is_borne_in_mind_of_decisions_is_bounded() {
    use station::decision::{OPEN_MAX, SERIALS_MAX};
    let mut world = World::running();
    let many = |from: usize| Affected {
        serials: (from..from + SERIALS_MAX / 2).map(|number| format!("S{number:060}")).collect(),
        ..Affected::default()
    };
    let recall = |set| Decision::Recall { name: "r".to_owned(), criteria: "c".to_owned(), set };
    for part in 0..3 {
        decide(&mut world, recall(many(part * 10_000)));
    }
    let known = world.station.snapshot(world.now).decisions;
    assert_eq!((known.recalls.len(), known.all.recalls.len()), (2, 2), "a third would go beyond the bound and is refused");
    for _ in 0..OPEN_MAX {
        decide(&mut world, Decision::Hold { set: serial(1) });
        decide(&mut world, Decision::Hold { set: serial(1) });
    }
    assert_eq!(world.station.snapshot(world.now).decisions.holds.len(), OPEN_MAX);
}

/// Decisions about pieces near `last_piece`, sound and unsound ones.
fn a_decision(last_piece: u32) -> impl Strategy<Value = Decision> {
    let near = last_piece.saturating_sub(6)..last_piece + 6;
    let set = (
        prop::option::of((near.clone(), 0_u64..4)),
        prop::collection::btree_set(near.clone(), 0..3),
        prop::option::weighted(0.05, 0_u32..9),
    )
        .prop_map(|(results, serials, lot)| Affected {
            results: results
                .into_iter()
                .map(|(first, more)| ResultRange { first: u64::from(first), last: u64::from(first) + more })
                .collect(),
            lots: lot.into_iter().collect(),
            serials: serials.into_iter().map(|number| format!("SN{number}")).collect(),
        })
        .boxed();
    let verdict = prop_oneof![Just(Verdict::Pass), Just(Verdict::Reject), Just(Verdict::Hold)];
    prop_oneof![
        (near.clone(), verdict, 0_u16..5).prop_map(|(id, verdict, grade)| Decision::Overrule { result_id: u64::from(id), verdict, grade }),
        set.clone().prop_map(|set| Decision::Hold { set }),
        (0_u64..6).prop_map(|hold| Decision::ReleaseHold { hold, set: Affected::default() }),
        set.prop_map(|set| Decision::Recall { name: "r".to_owned(), criteria: "c".to_owned(), set }),
        (0_u64..6).prop_map(|recall| Decision::EndRecall { recall, set: Affected::default() }),
        (prop::option::of(near.clone()), prop::option::of(near)).prop_map(|(id, serial)| Decision::Complaint {
            result_id: id.map(u64::from),
            serial: serial.map(|number| format!("SN{number}")),
        }),
    ]
}

fn an_event(last_piece: u32) -> impl Strategy<Value = Event> {
    let piece = (last_piece.saturating_sub(2)..last_piece + 4).prop_map(|number| number.max(1));
    let role = prop_oneof![Just(Role::Operator), Just(Role::Supervisor), Just(Role::Engineer)];
    let decision = (a_decision(last_piece), prop_oneof![Just("seen by eye"), Just(" ")], role.clone());
    let order = prop_oneof![
        3 => Just(PlcOrder::AcknowledgeStop),
        1 => Just(PlcOrder::ArmLineStop),
        1 => Just(PlcOrder::DisarmLineStop),
        1 => Just(PlcOrder::ResetCounters),
        1 => Just(PlcOrder::GoldenCheck),
        1 => (0_u32..9).prop_map(PlcOrder::NewLot),
        1 => (0_u8..10).prop_map(PlcOrder::SoftEvent),
    ];
    prop_oneof![
        6 => piece.clone().prop_map(|number| Event::Arrived(arrival(number))),
        6 => (piece.clone(), prop::collection::vec(0.0_f32..1.0, 0..2)).prop_map(|(number, scores)| Event::Seen(Arc::new(inspection(number, &scores)))),
        1 => piece.prop_map(|number| Event::Missed(Miss { piece: PieceId(number), acquisition: 0, reason: MissReason::CameraStale, camera: None })),
        3 => (100.0_f64..140.0, 0_u64..1_000_000).prop_map(|(value, mono_micros)| {
            let sampled_at = Timestamp { wall_micros: 0, mono_micros };
            Event::Read(Reading { tag: "paste_height".into(), value, unit: "um".into(), quality: Quality::Good, sampled_at, text: None })
        }),
        1 => Just(Event::Link(PlcLink::Up)),
        1 => Just(Event::Link(PlcLink::Down(LinkFault::TimedOut))),
        1 => (0_u32..40, any::<bool>(), any::<bool>()).prop_map(|(rejects_confirmed, bin_full, stop_inhibit)| {
            Event::Link(PlcLink::Feedback(Feedback { rejects_confirmed, bin_full, stop_inhibit, ..Feedback::default() }))
        }),
        2 => (role.clone(), 0_u16..6).prop_map(|(role, seq)| Event::Asked(Request { by: person(role), action: acknowledge(seq, "cause") })),
        2 => (role.clone(), 0_u16..6).prop_map(|(role, stop_seq)| Event::Asked(Request { by: person(role), action: Action::Release { stop_seq } })),
        1 => role.clone().prop_map(|role| Event::Asked(Request { by: person(role), action: Action::Stop { note: String::new() } })),
        2 => (role.clone(), any::<bool>()).prop_map(|(role, arm)| {
            Event::Asked(Request { by: person(role), action: if arm { Action::Arm } else { Action::Disarm } })
        }),
        3 => (any::<u32>(), order).prop_map(|(number, order)| Event::Link(PlcLink::Asked(PlcRequest { number, order }))),
        3 => (0_u64..200).prop_map(|number| Event::Kept(EntryNumber(number))),
        4 => decision.prop_map(|(decision, reason, role)| {
            Event::Asked(Request { by: person(role), action: Action::Decide { decision, reason: reason.to_owned() } })
        }),
        2 => (role, 0_usize..6).prop_map(|(role, lot)| Event::Asked(Request { by: person(role), action: taken_in(lot) })),
        2 => Just(Event::Tick),
    ]
}

/// One of a few things that may be said at intake; some hold no water, some are so already.
fn taken_in(number: usize) -> Action {
    let lot = |material: &str, lot: &str| SupplierLot { material: material.to_owned(), supplier: "Acme".to_owned(), lot: lot.to_owned() };
    let intake = match number {
        0 => Intake::InUse { lot: lot("laminate", "L1") },
        1 => Intake::InUse { lot: lot("laminate", "L2") },
        2 => Intake::InUse { lot: lot("paste", "P1") },
        3 => Intake::InUse { lot: lot("", "P1") },
        4 => Intake::UsedUp { material: "paste".to_owned() },
        _ => Intake::UsedUp { material: "glue".to_owned() },
    };
    Action::TakeIn { intake }
}

/// Random events around pieces that are numbered on from `first`.
fn events_from(first: u32) -> impl Strategy<Value = Vec<Event>> {
    (1_u32..200).prop_flat_map(move |steps| (0..steps).map(|step| an_event(first + step / 3)).collect::<Vec<_>>())
}

#[test]
fn pieces_are_made_of_what_was_in_use_when_they_were_announced_also_after_a_restart() {
    let mut world = World::running();
    world.piece(1, &[]);
    ask(&mut world, Role::Operator, taken_in(0));
    ask(&mut world, Role::Operator, taken_in(2));
    world.piece(2, &[]);
    world.give(Event::Arrived(arrival(3)));
    ask(&mut world, Role::Operator, taken_in(1));
    ask(&mut world, Role::Operator, taken_in(3));
    ask(&mut world, Role::Operator, taken_in(4));
    world.give(Event::Seen(Arc::new(inspection(3, &[]))));
    world.keep_all();
    let mut again = World::on(world.chain, world.now);
    again.keep_all();
    again.give(Event::Link(PlcLink::Up));
    again.piece(4, &[]);
    let lots = |record: &station::record::PieceRecord| record.made_of.iter().map(|lot| lot.lot.clone()).collect::<Vec<_>>().join(" ");
    let told: Vec<_> = again.records().map(lots).collect();
    assert_eq!(told, ["", "L1 P1", "L1 P1", "L2"]);
    assert_eq!(again.chain.iter().filter(|entry| matches!(entry.body, Body::TakenIn(_))).count(), 4, "what holds no water is not recorded");
    assert_eq!(again.station.snapshot(again.now).made_of.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Random events: the world checks every invariant after each; then the same events give the same bytes, and a
    /// restart on the chain remembers what the running station remembers.
    #[test]
    fn same_events_same_effects(events in events_from(1)) {
        let mut first = World::running();
        let mut second = World::running();
        for event in &events {
            first.give(event.clone());
            second.give(event.clone());
        }
        prop_assert_eq!(&first.effects, &second.effects);
        let again = World::on(first.chain.clone(), first.now);
        let (mut running, mut restarted) = (first.station.snapshot(first.now), again.station.snapshot(first.now));
        // What only the PLC tells is not in the chain.
        for counters in [&mut running.counters, &mut restarted.counters] {
            counters.reject_confirmed = 0;
            counters.reject_unconfirmed = 0;
        }
        prop_assert_eq!(running.stop, restarted.stop);
        prop_assert_eq!(running.counters, restarted.counters);
        prop_assert_eq!(running.decisions, restarted.decisions);
        prop_assert_eq!(running.charts.iter().map(|chart| chart.learning).collect::<Vec<_>>(), restarted.charts.iter().map(|chart| chart.learning).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A station written down in the middle of its life and read back goes on with the same effects, byte for byte.
    #[test]
    fn a_station_written_down_goes_on_the_same(before in events_from(1), after in events_from(70)) {
        let mut world = World::running();
        for event in &before {
            world.give(event.clone());
        }
        let written = serde_json::to_vec(&world.station).expect("plain data");
        let mut again: Station = serde_json::from_slice(&written).expect("what was written");
        for event in &after {
            world.give(event.clone());
            let mut effects = Vec::new();
            again.handle(event.clone(), world.now, &mut effects);
            prop_assert_eq!(serde_json::to_vec(&effects).expect("plain data"), serde_json::to_vec(&world.last).expect("plain data"));
        }
    }
}

#[test]
fn a_checkpoint_and_the_whole_chain_remember_the_same() {
    let mut world = World::running();
    for number in 1..=700 {
        world.read(120.0 + f64::from(number % 7) * 0.1);
        world.piece(number, if number % 9 == 0 { &[0.8] } else { &[] });
        world.give(confirmed(number / 9));
        world.keep_all();
        if let Some(stop) = world.station.snapshot(world.now).stop {
            ask(&mut world, Role::Supervisor, acknowledge(stop.seq, "test"));
            ask(&mut world, Role::Supervisor, Action::Release { stop_seq: stop.seq });
            world.keep_all();
        }
    }
    assert!(past(&world.chain).after.len() < 400, "there is a checkpoint on the way");
    let whole = station::Past { checkpoint: None, after: world.chain.clone(), ..past(&world.chain) };
    let memory = |past: &station::Past| {
        let mut effects = Vec::new();
        Station::start(setup(), past, world.now, &mut effects).expect("sound");
        let checkpoint = effects.into_iter().find_map(|effect| match effect {
            Effect::Keep(entry) => match &entry.body {
                Body::Checkpoint(memory) => Some(memory.clone()),
                _ => None,
            },
            _ => None,
        });
        checkpoint.expect("a start keeps a checkpoint")
    };
    let without_checkpoints: Vec<Entry> = whole.after.iter().filter(|entry| !matches!(entry.body, Body::Checkpoint(_))).cloned().collect();
    let folded = memory(&station::Past { after: without_checkpoints, ..whole });
    assert_eq!(memory(&past(&world.chain)), folded);
    assert!(recipe().gate_offset > PITCH);
}
