//! The laws of the house, each on the real state machine, with every invariant checked after every event.

use line_tests::world::{PITCH, World, arrival, inspection, past, recipe, setup};
use proptest::prelude::*;
use station::action::{Action, Person, Request, Role};
use station::inspection::{Miss, MissReason, ModelRef};
use station::line::{Feedback, LineCommand, LinkFault, Permit, PlcLink};
use station::piece::PieceId;
use station::policy::StopReason;
use station::reading::{Quality, Reading};
use station::record::{Body, Entry, EntryNumber};
use station::snapshot::Phase;
use station::units::{Digest, Timestamp};
use station::verdict::{Reason, Verdict};
use station::{Effect, Event, Station};
use std::sync::Arc;

fn person(role: Role) -> Person {
    Person { name: format!("{role}"), role }
}

fn ask(world: &mut World, role: Role, action: Action) {
    world.give(Event::Asked(Request { by: person(role), action }));
}

fn stopped_by_operator() -> World {
    let mut world = World::running();
    ask(&mut world, Role::Operator, Action::Stop { note: "smoke".to_owned() });
    assert_eq!(world.station.phase(), Phase::Stopped);
    world
}

fn acknowledge(stop_seq: u16, cause: &str) -> Action {
    Action::Acknowledge { stop_seq, cause: cause.to_owned(), corrective_action: String::new() }
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
    world.give(Event::Missed(Miss { piece: PieceId(1), reason: MissReason::CameraStale }));
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
fn a_drift_stops_the_line_by_a_rule_and_the_first_reason_stays() {
    let mut world = World::running();
    let noise = [0.3, -0.5, 0.9, -1.1, 0.2, 0.7, -0.4, -0.9, 1.2, -0.1];
    for (number, value) in (1..).zip(noise) {
        world.read(120.0 + value);
        world.piece(number, &[]);
    }
    world.keep_all();
    for number in 11..40 {
        world.read(120.0 + 0.3 * f64::from(number - 10));
        world.piece(number, &[]);
        world.keep_all();
        if !world.permit.run {
            break;
        }
    }
    let stop = world.station.snapshot(world.now).stop.expect("the drift stops the line");
    assert_eq!(stop.first, StopReason::SpcRule);
    assert!(stop.detail.starts_with("paste_height: Nelson "), "{}", stop.detail);
    assert_eq!(stop.reaction, "check the squeegee");
    assert_eq!(world.permit.spc_chart, 1);
    world.give(Event::Link(PlcLink::Down(LinkFault::TimedOut)));
    let stop = world.station.snapshot(world.now).stop.expect("still stopped");
    assert_eq!(stop.first, StopReason::SpcRule, "first-out");
    assert!(stop.reasons.contains(StopReason::PlcLink));
}

#[test]
fn a_stale_reading_is_evidence_of_nothing() {
    let mut world = World::running();
    for number in 1..=30 {
        let quality = if number % 2 == 0 { Quality::Stale } else { Quality::Bad };
        let reading = Reading { tag: "paste_height".into(), value: 1e9, unit: "um".into(), quality, sampled_at: world.now, text: None };
        world.give(Event::Read(reading));
        world.piece(number, &[]);
        world.keep_all();
    }
    assert!(world.permit.run);
    assert!(world.records().all(|record| record.points.iter().all(|point| point.chart != 1)));
}

#[test]
fn a_key_switch_keeps_stops_from_being_commanded_but_hides_nothing_and_expires() {
    let mut world = World::running();
    world.give(Event::Link(PlcLink::Feedback(Feedback { stop_inhibit: true, ..Feedback::default() })));
    ask(&mut world, Role::Operator, Action::Stop { note: "trial".to_owned() });
    assert!(world.permit.run, "inhibited");
    let inhibited = world.chain.iter().any(|entry| matches!(&entry.body, Body::Stopped(stop) if stop.inhibited));
    assert!(inhibited, "the stop that would have come is kept");
    assert!(world.station.snapshot(world.now).last_stop.is_some_and(|stop| stop.inhibited), "and shown");
    world.now.mono_micros += 10 * 60 * 1_000_000;
    ask(&mut world, Role::Operator, Action::Stop { note: "again".to_owned() });
    assert!(!world.permit.run, "ten minutes later the switch counts no longer");
}

#[test]
fn a_cause_that_outlasts_the_key_switch_stops_the_line() {
    let mut world = World::running();
    let feedback = |stop_inhibit| Event::Link(PlcLink::Feedback(Feedback { stop_inhibit, bin_full: true, ..Feedback::default() }));
    world.give(feedback(true));
    for _ in 0..5 {
        world.give(Event::Tick);
    }
    let told = world.chain.iter().filter(|entry| matches!(&entry.body, Body::Stopped(stop) if stop.inhibited)).count();
    assert_eq!((told, world.permit.run), (1, true), "recorded once, not commanded");
    world.give(feedback(false));
    assert!(!world.permit.run && world.permit.reasons.contains(StopReason::RejectBinFull));
}

#[test]
fn unconfirmed_rejects_stop_the_line_and_confirmed_ones_do_not() {
    for confirmed in [true, false] {
        let mut world = World::running();
        let mut confirmations = 0;
        for number in 1..=30 {
            if confirmed && number > 3 && number % 2 == 0 {
                confirmations += 1;
                world.give(Event::Link(PlcLink::Feedback(Feedback { rejects_confirmed: confirmations, ..Feedback::default() })));
            }
            world.piece(number, if number % 2 == 0 { &[] } else { &[0.9] });
            world.keep_all();
        }
        assert_eq!(world.permit.run, confirmed);
        let reasons = world.station.snapshot(world.now).stop.map(|stop| stop.first);
        assert_eq!(reasons, (!confirmed).then_some(StopReason::RejectUnconfirmed));
    }
}

fn an_event(last_piece: u32) -> impl Strategy<Value = Event> {
    let piece = (last_piece.saturating_sub(2)..last_piece + 4).prop_map(|number| number.max(1));
    let role = prop_oneof![Just(Role::Operator), Just(Role::Supervisor)];
    prop_oneof![
        6 => piece.clone().prop_map(|number| Event::Arrived(arrival(number))),
        6 => (piece.clone(), prop::collection::vec(0.0_f32..1.0, 0..2)).prop_map(|(number, scores)| Event::Seen(Arc::new(inspection(number, &scores)))),
        1 => piece.prop_map(|number| Event::Missed(Miss { piece: PieceId(number), reason: MissReason::CameraStale })),
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
        1 => role.prop_map(|role| Event::Asked(Request { by: person(role), action: Action::Stop { note: String::new() } })),
        3 => (0_u64..200).prop_map(|number| Event::Kept(EntryNumber(number))),
        2 => Just(Event::Tick),
    ]
}

/// Random events around pieces that are numbered on from `first`.
fn events_from(first: u32) -> impl Strategy<Value = Vec<Event>> {
    (1_u32..200).prop_flat_map(move |steps| (0..steps).map(|step| an_event(first + step / 3)).collect::<Vec<_>>())
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
        world.give(Event::Link(PlcLink::Feedback(Feedback { rejects_confirmed: number / 9, ..Feedback::default() })));
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
        let mut memory = checkpoint.expect("a start keeps a checkpoint");
        memory.counters.reject_confirmed = 0;
        memory.counters.reject_unconfirmed = 0;
        memory
    };
    let without_checkpoints: Vec<Entry> = whole.after.iter().filter(|entry| !matches!(entry.body, Body::Checkpoint(_))).cloned().collect();
    let folded = memory(&station::Past { after: without_checkpoints, ..whole });
    assert_eq!(memory(&past(&world.chain)), folded);
    assert!(recipe().gate_offset > PITCH);
}
