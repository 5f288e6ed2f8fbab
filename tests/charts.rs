//! The laws of the charts: whose limits they judge by, what stops the line, and what is no evidence.

use line_tests::world::{World, acknowledge, arrival, ask, inspection, setup};
use station::Event;
use station::action::{Action, Revision, Role};
use station::inspection::Inspection;
use station::line::{LinkFault, PlcLink};
use station::piece::PieceId;
use station::policy::StopReason;
use station::reading::{Quality, Reading};
use station::recipe::{Alarm, GivenLimits, Pattern, RuleNames, Source, Spread};
use station::record::Body;
use station::snapshot::Phase;
use std::sync::Arc;

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

fn revise(world: &mut World, role: Role, replaces: u32, revision: Revision, reason: &str) {
    ask(world, role, Action::ReviseLimits { chart: 1, replaces, revision, reason: reason.to_owned() });
}

fn chart(world: &World) -> (u32, u32) {
    let snapshot = world.station.snapshot(world.now);
    let chart = snapshot.charts.iter().find(|chart| chart.id == 1).expect("the recipe has it");
    (chart.revision, chart.learning)
}

/// Limits are values with an author: who may, against which revision, with a reason; and a restart judges by the same.
#[test]
fn limits_are_revised_with_a_signature_and_survive_a_restart() {
    let mut world = World::running();
    let mut number = 0;
    let mut piece = |world: &mut World, value: f64| {
        number += 1;
        world.read(value);
        world.piece(number, &[]);
        world.records().last().expect("a record").points[0].clone()
    };
    let noise = [0.3, -0.5, 0.9, -1.1, 0.2, 0.7, -0.4, -0.9, 1.2, -0.1];
    for value in noise {
        piece(&mut world, 120.0 + value);
    }
    assert_eq!(chart(&world), (1, 0), "ten subgroups froze the first limits");
    let given = Revision::Given(GivenLimits { centre: 200.0, sigma: Some(2.0) });
    let before = world.chain.len();
    revise(&mut world, Role::Supervisor, 1, given, "a supervisor may not");
    revise(&mut world, Role::Engineer, 0, given, "an older page");
    revise(&mut world, Role::Engineer, 1, given, "  ");
    revise(&mut world, Role::Engineer, 1, Revision::Given(GivenLimits { centre: 200.0, sigma: None }), "no spread");
    revise(&mut world, Role::Engineer, 1, Revision::Given(GivenLimits { centre: f64::NAN, sigma: Some(1.0) }), "nonsense");
    assert_eq!(world.chain.len(), before, "what is refused leaves no record");
    revise(&mut world, Role::Engineer, 1, given, "another product");
    let Some(Body::Revised(record)) = world.chain.last().map(|entry| &entry.body) else { panic!("no record") };
    assert_eq!((record.replaces, record.by.name(), record.reason.as_str()), (1, "engineer", "another product"));
    let point = piece(&mut world, 201.0);
    assert_eq!((point.index, point.centre, point.ucl), (11, Some(200.0), Some(206.0)));
    assert!(point.signals.is_empty() && chart(&world) == (2, 0));
    world.keep_all();

    let mut world = World::on(world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    assert_eq!(chart(&world), (2, 0), "the same limits after a restart");
    let point = piece(&mut world, 199.0);
    assert_eq!((point.index, point.centre), (12, Some(200.0)));
    revise(&mut world, Role::Engineer, 2, Revision::Relearn, "new paste");
    assert_eq!(chart(&world), (2, 10));
    for value in noise {
        assert_eq!(piece(&mut world, 50.0 + value).centre, None, "learnt from, not judged");
    }
    assert_eq!(chart(&world), (3, 0));
    let Some(Body::Limits(record)) = world.chain.iter().rev().map(|entry| &entry.body).find(|body| matches!(body, Body::Limits(_))) else {
        panic!("no limits")
    };
    assert_eq!(record.version, 3);
}

/// A chart of averages has a point for so many readings, with their spread, and by the plant's own patterns it stops the line;
/// readings from before a release are in no average after it.
#[test]
fn averages_are_charted_with_their_spread_and_begin_anew_after_a_release() {
    let mut setup = setup();
    let characteristic = &mut Arc::make_mut(&mut setup.recipe).characteristics[0];
    let unit = "um".into();
    characteristic.source = Source::Averages { tag: "paste_height".into(), unit, subgroup: 4, spread: Spread::Range };
    characteristic.limits = Some(GivenLimits { centre: 120.0, sigma: Some(2.0) });
    characteristic.patterns = vec![Pattern { points: 2, of: 2, beyond_sigma: 1.0, any_side: true }];
    characteristic.rules = RuleNames { nelson: vec![1], patterns: vec![1], ..RuleNames::default() };
    characteristic.stop_rules = RuleNames { patterns: vec![1], ..RuleNames::default() };
    (characteristic.spread_rules, characteristic.stop_after_points) = (Some(RuleNames::default()), 1);
    let mut world = World::with(setup.clone());
    let mut number = 0;
    let mut pieces = |world: &mut World, values: &[f64]| {
        let before = world.records().count();
        for value in values {
            number += 1;
            world.read(*value);
            world.piece(number, &[]);
            world.keep_all();
        }
        let points = world.records().skip(before).flat_map(|record| record.points.iter().filter(|point| point.chart == 1));
        points.map(|point| (point.value, point.range, point.signals.join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(pieces(&mut world, &[119.0, 121.0, 120.0]), [], "three of four");
    // Killed in the middle of a subgroup: its readings are in the records.
    let mut world = World::of(setup, world.chain, world.now);
    world.keep_all();
    world.give(Event::Link(PlcLink::Up));
    assert_eq!(pieces(&mut world, &[120.0]), [(120.0, Some(2.0), String::new())]);
    let snapshot = world.station.snapshot(world.now);
    let point = &snapshot.charts[0].points[0].point;
    // 120 ± 3·2/√4.
    assert_eq!((point.centre, point.lcl, point.ucl), (Some(120.0), Some(117.0), Some(123.0)));
    let moved = pieces(&mut world, &[122.0, 122.0, 122.0, 120.0, 118.0, 118.0, 118.0, 119.0]);
    assert_eq!(moved, [(121.5, Some(2.0), String::new()), (118.25, Some(1.0), "Custom 1".to_owned())]);
    let stop = world.station.snapshot(world.now).stop.expect("the pattern stops the line");
    assert_eq!((stop.first, stop.detail.as_str()), (StopReason::SpcRule, "paste_height: Custom 1"));
    assert_eq!(pieces(&mut world, &[200.0, 200.0]), [], "what was on its way");
    ask(&mut world, Role::Supervisor, acknowledge(1, "nozzle"));
    ask(&mut world, Role::Supervisor, Action::Release { stop_seq: 1 });
    world.keep_all();
    assert_eq!(pieces(&mut world, &[120.0, 120.0]), []);
    assert_eq!(pieces(&mut world, &[121.0, 119.0]), [(120.0, Some(2.0), String::new())]);
}

/// Known limits judge from the first piece, and an alarm chart stops at a shift that no rule of the chart beside it sees yet.
#[test]
fn an_alarm_chart_finds_a_small_shift_and_begins_anew_after_the_release() {
    for (alarm, name) in [
        (Alarm::Ewma { lambda: 0.1, width: 4.0 }, "paste_height: EWMA"),
        (Alarm::Cusum { shift: 1.0, interval: 8.0 }, "paste_height: CUSUM"),
        (Alarm::Shewhart { width: 1.2 }, "paste_height: alarm limits"),
    ] {
        let mut setup = setup();
        let recipe = Arc::make_mut(&mut setup.recipe);
        recipe.characteristics.truncate(1);
        let characteristic = &mut recipe.characteristics[0];
        characteristic.limits = Some(GivenLimits { centre: 120.0, sigma: Some(2.0) });
        characteristic.alarm = Some(alarm);
        (characteristic.rules, characteristic.stop_rules) = Default::default();
        characteristic.spread_rules = Some(RuleNames::default());
        let mut world = World::with(setup);
        for number in 1..=60 {
            // A shift of 1.3 sigma upwards, after a process that sits on its centre.
            world.read(if number > 20 { 122.6 } else { 120.0 + f64::from(number % 3) - 1.0 });
            world.piece(number, &[]);
            if world.station.phase() == Phase::Stopped {
                break;
            }
        }
        let stop = world.station.snapshot(world.now).stop.unwrap_or_else(|| panic!("{name}: no stop"));
        assert_eq!((stop.first, stop.detail.as_str()), (StopReason::SpcRule, name));
        let last = world.records().last().expect("a record");
        assert!(last.arrival.piece.0 > 20, "{name}: the process in control was stopped at {}", last.arrival.piece);
        assert_eq!(last.points[0].signals, [name.trim_start_matches("paste_height: ")]);
        let last = last.arrival.piece.0;
        ask(&mut world, Role::Supervisor, acknowledge(1, "stencil"));
        ask(&mut world, Role::Supervisor, Action::Release { stop_seq: 1 });
        world.keep_all();
        world.read(120.0);
        world.piece(last + 1, &[]);
        assert_eq!(world.station.phase(), Phase::Running, "{name}: what came before the release is forgotten");
    }
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

/// A size measured in a piece's own picture is a reading of this piece, in its record and on its chart; a bad one is neither charted
/// nor mistaken for the last good one.
#[test]
fn a_measured_size_belongs_to_its_piece() {
    let mut world = World::running();
    let measured = |world: &mut World, number: u32, value: f64, quality: Quality| {
        world.give(Event::Arrived(arrival(number)));
        let size = Reading { tag: "paste_height".into(), value, unit: "um".into(), quality, sampled_at: world.now, text: None };
        world.give(Event::Seen(Arc::new(Inspection { measurements: vec![size], ..inspection(number, &[]) })));
        world.keep_all();
        let record = world.records().last().expect("a record").clone();
        assert_eq!(record.arrival.piece, PieceId(number));
        let readings: Vec<_> =
            record.readings.iter().filter(|reading| &*reading.tag == "paste_height").map(|reading| reading.value).collect();
        (readings, record.points.iter().any(|point| point.chart == 1))
    };
    // What the PLC said under the same name does not hide the size of this piece.
    world.read(80.0);
    assert_eq!(measured(&mut world, 1, 120.5, Quality::Good), (vec![120.5], true));
    assert_eq!(measured(&mut world, 2, 121.0, Quality::Good), (vec![121.0], true));
    assert_eq!(measured(&mut world, 3, 7.0, Quality::Bad), (vec![7.0], false));
}
