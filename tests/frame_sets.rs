//! Frame sets on the real state machine: what several cameras saw of one piece is one inspection, or the piece is a hold.
//!
//! The world checks every invariant of the house after every event; here is what is special to several cameras.

use line_tests::world::{World, arrival, inspection, model, recipe, setup};
use proptest::prelude::*;
use station::frame_set::{FrameSet, Member};
use station::inspection::{ClassId, Inspection, Miss, MissReason, ModelRef, StageMicros};
use station::piece::{Arrival, PieceId};
use station::recipe::{DefectClass, Recipe};
use station::record::PieceRecord;
use station::units::{Digest, Micros};
use station::verdict::{Reason, Verdict};
use station::{Event, Setup, Station};
use std::collections::BTreeMap;
use std::sync::Arc;

const CAMERAS: [&str; 3] = ["top", "left", "right"];
const WINDOW_MICROS: u64 = 20_000;
/// Of the recipe, and a little more.
const TOO_LATE_MICROS: u64 = 501_000;

fn side_model() -> Arc<ModelRef> {
    Arc::new(ModelRef { package: "side@1".to_owned(), weights: Digest::of(b"side") })
}

/// Two cameras with the common model, and one whose own package calls class 1 `scratch`, and class 2 `open`.
fn set_recipe() -> Recipe {
    let member = |camera: &str, model, classes: &[u8]| Member {
        camera: camera.into(),
        model,
        classes: classes.iter().map(|class| ClassId(*class)).collect(),
    };
    let members = vec![member("top", model(), &[1, 2]), member("left", model(), &[1, 2]), member("right", side_model(), &[3, 1])];
    let mut recipe = Recipe { frame_set: Some(FrameSet { window: Micros(WINDOW_MICROS), members }), ..recipe() };
    recipe.classes.push(DefectClass { name: "scratch".to_owned(), threshold: 0.5 });
    recipe
}

fn world() -> World {
    World::with(Setup { recipe: Arc::new(set_recipe()), ..setup() })
}

/// What one camera saw of a piece.
fn saw(camera: usize, piece: u32, capture: u64, scores: &[f32]) -> Inspection {
    let model = if camera == 2 { side_model() } else { model() };
    let image = Digest::of(&[u8::try_from(camera).expect("few"), u8::try_from(piece % 250).expect("small")]);
    let number = u32::try_from(camera).expect("few");
    let micros = StageMicros { capture, prepare: 1, infer: 10 * (u64::from(number) + 1), decode: 1 };
    Inspection { camera: CAMERAS[camera].into(), model, image, micros, width: 100 + number, ..inspection(piece, scores) }
}

fn seen(inspection: Inspection) -> Event {
    Event::Seen(Arc::new(inspection))
}

fn arrived(piece: u32) -> Event {
    Event::Arrived(arrival(piece))
}

fn missed(camera: usize, piece: u32) -> Event {
    let camera = Some(CAMERAS[camera].into());
    Event::Missed(Miss { piece: PieceId(piece), acquisition: 0, reason: MissReason::CameraLost, camera })
}

fn last(world: &World) -> &PieceRecord {
    world.records().last().expect("a record")
}

fn held_by(world: &World) -> Vec<(String, MissReason)> {
    let record = last(world);
    assert_eq!((record.judgement.verdict, record.inspection.is_some()), (Verdict::Hold, false));
    let named = |reason: &Reason| match reason {
        Reason::MissedBy { camera, reason } => (camera.to_string(), *reason),
        other => panic!("{other:?} names no camera"),
    };
    record.judgement.reasons.iter().map(named).collect()
}

#[test]
fn what_all_saw_is_one_inspection_whoever_is_heard_first() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut joined = Vec::new();
    for order in orders {
        let mut world = world();
        world.give(arrived(1));
        for (heard, camera) in order.into_iter().enumerate() {
            assert_eq!(world.records().count(), 0, "{heard} of three are not enough");
            world.give(seen(saw(camera, 1, 1000 + 100 * camera as u64, &[0.2])));
        }
        assert_eq!((world.records().count(), last(&world).judgement.verdict), (1, Verdict::Pass));
        joined.push(last(&world).inspection.clone().expect("an inspection"));
    }
    assert!(joined.iter().all(|one| *one == joined[0]), "the order of arrival changes nothing");
    let one = &joined[0];
    assert_eq!((&*one.camera, one.width), ("top", 100), "nothing was found: the first camera's picture is shown");
    assert_eq!(one.micros.total(), 1200 + 1 + 30 + 1, "the slowest camera's times");
    let views: Vec<_> = one.views.iter().map(|view| (&*view.camera, view.width, view.micros.infer)).collect();
    assert_eq!(views, [("top", 100, 10), ("left", 101, 20), ("right", 102, 30)]);
    let findings: Vec<_> = one.findings.iter().map(|finding| (finding.camera, finding.class.0)).collect();
    assert_eq!(findings, [(0, 1), (1, 1), (2, 3)], "each says who saw it, in the recipe's classes");
}

#[test]
fn one_camera_that_sees_a_defect_is_enough_and_its_picture_is_shown() {
    let mut world = world();
    world.give(arrived(1));
    world.give(seen(saw(0, 1, 0, &[0.4])));
    world.give(seen(saw(1, 1, 0, &[])));
    world.give(seen(saw(2, 1, 0, &[0.9])));
    let record = last(&world);
    assert_eq!(record.judgement.reasons, [Reason::Defects { class: ClassId(3), count: 1, score: 0.9 }]);
    let inspection = record.inspection.as_ref().expect("an inspection");
    assert_eq!((record.judgement.verdict, &*inspection.camera, inspection.width), (Verdict::Reject, "right", 102));
    let view = world.station.snapshot(world.now).pieces.last().cloned().expect("a piece");
    let defects: Vec<_> = view.defects.iter().map(|defect| (defect.class.as_str(), defect.camera.as_deref())).collect();
    assert_eq!((view.camera.as_deref(), defects), (Some("right"), vec![("scratch", Some("right"))]));
}

#[test]
fn a_member_that_is_missing_late_or_not_its_own_makes_a_hold_that_names_it() {
    let well = |world: &mut World, piece: u32, cameras: &[usize]| {
        cameras.iter().for_each(|camera| world.give(seen(saw(*camera, piece, 0, &[]))));
    };
    use MissReason::{CameraLost, Deadline, FrameSet, ModelError};
    let mut world = world();
    // Told at once, and what the others see afterwards changes nothing.
    world.give(arrived(1));
    well(&mut world, 1, &[0]);
    world.give(missed(2, 1));
    assert_eq!(held_by(&world), [("right".to_owned(), CameraLost)]);
    well(&mut world, 1, &[1, 2]);
    assert_eq!(world.records().count(), 1);
    // Never heard.
    world.give(arrived(2));
    well(&mut world, 2, &[1]);
    world.now.mono_micros += TOO_LATE_MICROS;
    world.give(Event::Tick);
    assert_eq!(held_by(&world), [("top".to_owned(), Deadline), ("right".to_owned(), Deadline)]);
    // Heard after the deadline.
    world.give(arrived(3));
    well(&mut world, 3, &[0, 1]);
    world.now.mono_micros += TOO_LATE_MICROS;
    well(&mut world, 3, &[2]);
    assert_eq!(held_by(&world), [("right".to_owned(), Deadline)]);
    world.give(Event::Link(station::line::PlcLink::Up));
    // Taken too long after the first; at the edge it counts.
    world.give(arrived(4));
    world.give(seen(saw(0, 4, 5000 + WINDOW_MICROS + 1, &[])));
    world.give(seen(saw(1, 4, 5000, &[])));
    world.give(seen(saw(2, 4, 6000, &[])));
    assert_eq!(held_by(&world), [("top".to_owned(), FrameSet)]);
    world.give(arrived(5));
    world.give(seen(saw(0, 5, 5000 + WINDOW_MICROS, &[])));
    world.give(seen(saw(1, 5, 5000, &[])));
    well(&mut world, 5, &[]);
    world.give(seen(saw(2, 5, 6000, &[])));
    assert_eq!(last(&world).judgement.verdict, Verdict::Pass);
    // Looked at by a model that is not its own, or by a camera that does not belong here.
    world.give(arrived(6));
    world.give(seen(Inspection { model: model(), ..saw(2, 6, 0, &[]) }));
    assert_eq!(held_by(&world), [("right".to_owned(), ModelError)]);
    world.give(arrived(7));
    world.give(seen(Inspection { camera: "cellar".into(), ..saw(0, 7, 0, &[]) }));
    assert_eq!(held_by(&world), [("cellar".to_owned(), FrameSet)]);
    // One camera cannot say that all have seen it.
    world.give(arrived(8));
    let whole = world.records().find_map(|record| record.inspection.clone()).expect("piece 5");
    world.give(seen(Inspection { piece: PieceId(8), ..(*whole).clone() }));
    assert_eq!(held_by(&world), [("top".to_owned(), ModelError)]);
}

#[test]
fn pictures_of_another_piece_count_for_that_piece_and_one_camera_counts_once() {
    let mut world = world();
    for (piece, acquisition) in [(1, 1), (2, 2)] {
        world.give(Event::Arrived(Arrival { acquisition, ..arrival(piece) }));
    }
    let of = |camera, piece, acquisition, scores: &[f32]| seen(Inspection { acquisition, ..saw(camera, piece, 0, scores) });
    world.give(of(0, 1, 1, &[]));
    world.give(of(1, 1, 1, &[]));
    world.give(of(2, 2, 2, &[]));
    // Its number, and the picture of an earlier piece of that number.
    world.give(of(2, 1, 9, &[]));
    world.give(of(1, 1, 1, &[]));
    world.give(of(0, 1, 1, &[0.9]));
    assert_eq!(world.records().count(), 0, "two cameras three times are not three cameras");
    world.give(of(2, 1, 1, &[]));
    assert_eq!((last(&world).arrival.piece, last(&world).judgement.verdict), (PieceId(1), Verdict::Pass), "what it said first counts");
    world.give(of(0, 2, 2, &[0.9]));
    world.give(of(1, 2, 2, &[]));
    assert_eq!((last(&world).arrival.piece, last(&world).judgement.verdict), (PieceId(2), Verdict::Reject));
}

#[test]
fn nonsense_of_one_camera_is_a_hold() {
    let mut world = world();
    for (piece, class, score) in [(1, 9, 0.1), (2, 0, 0.1), (3, 1, f32::NAN)] {
        let mut nonsense = saw(2, piece, 0, &[score]);
        nonsense.findings[0].class = ClassId(class);
        world.give(arrived(piece));
        world.give(seen(saw(0, piece, 0, &[])));
        world.give(seen(saw(1, piece, 0, &[])));
        world.give(seen(nonsense));
        assert_eq!((last(&world).judgement.verdict, last(&world).inspection.is_some()), (Verdict::Hold, false), "piece {piece}");
    }
}

#[test]
fn a_set_does_not_do_for_one_camera_nor_one_camera_for_a_set() {
    let mut world = world();
    world.give(arrived(1));
    for camera in 0..3 {
        world.give(seen(saw(camera, 1, 0, &[])));
    }
    let whole = last(&world).inspection.clone().expect("an inspection");
    let mut one = World::running();
    one.give(arrived(1));
    one.give(Event::Seen(whole));
    assert_eq!(last(&one).judgement.verdict, Verdict::Hold);
}

/// What a camera may do with a piece.
#[derive(Debug, Clone, Copy)]
enum Act {
    Clean,
    Defect,
    Miss,
    OtherPicture,
    Stranger,
    LateCapture,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    act: Act,
    camera: usize,
    piece: u32,
    wait_micros: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        12 => Just(Act::Clean),
        3 => Just(Act::Defect),
        1 => Just(Act::Miss),
        1 => Just(Act::OtherPicture),
        1 => Just(Act::Stranger),
        1 => Just(Act::LateCapture),
    ];
    let wait = prop_oneof![30 => Just(0_u64), 1 => Just(300_000_u64)];
    let step = (act, 0_usize..3, 1_u32..6, wait).prop_map(|(act, camera, piece, wait_micros)| Step { act, camera, piece, wait_micros });
    prop::collection::vec(step, 0..40)
}

fn event(step: Step) -> Event {
    let Step { act, camera, piece, .. } = step;
    match act {
        Act::Clean => seen(saw(camera, piece, 1000, &[])),
        Act::Defect => seen(saw(camera, piece, 1000, &[0.8])),
        Act::Miss => missed(camera, piece),
        Act::OtherPicture => seen(Inspection { acquisition: 3, ..saw(camera, piece, 1000, &[]) }),
        Act::Stranger => seen(Inspection { camera: "cellar".into(), ..saw(camera, piece, 1000, &[]) }),
        Act::LateCapture => seen(saw(camera, piece, 1001 + WINDOW_MICROS, &[])),
    }
}

/// The rule told a second time, as plainly as can be: the verdict that a piece has after these steps, if it has one.
fn expected(steps: &[Step], piece: u32) -> Option<Verdict> {
    let mut first: BTreeMap<usize, Act> = BTreeMap::new();
    let mut waited = 0;
    for step in steps {
        waited += step.wait_micros;
        // One event takes a millisecond of the world.
        if waited > 490_000 {
            return Some(Verdict::Hold);
        }
        if step.piece != piece {
            continue;
        }
        match step.act {
            Act::OtherPicture => continue,
            Act::Miss | Act::Stranger => return Some(Verdict::Hold),
            act => drop(first.entry(step.camera).or_insert(act)),
        }
        if first.len() == 3 {
            let late = first.values().filter(|act| matches!(act, Act::LateCapture)).count();
            let bad = first.values().any(|act| matches!(act, Act::Defect));
            return Some(match (late, bad) {
                (1 | 2, _) => Verdict::Hold,
                (_, true) => Verdict::Reject,
                _ => Verdict::Pass,
            });
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Any cameras' events in any order: each piece has the verdict of the rule, a pass only if all three saw it in time. Then a
    /// station that was written down on the way goes on with the same effects.
    #[test]
    fn a_piece_passes_only_if_every_camera_saw_it(steps in steps(), cut in 0_usize..40) {
        // Forty steps take 40 ms: waits are the only thing that comes near a deadline.
        let mut world = world();
        (1..6).for_each(|piece| world.give(arrived(piece)));
        let mut written: Option<Station> = None;
        for (index, step) in steps.iter().enumerate() {
            if index == cut {
                let bytes = serde_json::to_vec(&world.station).expect("plain data");
                written = Some(serde_json::from_slice(&bytes).expect("what was written"));
            }
            world.now.mono_micros += step.wait_micros;
            world.give(event(*step));
            if let Some(again) = &mut written {
                let mut effects = Vec::new();
                again.handle(event(*step), world.now, &mut effects);
                prop_assert_eq!(serde_json::to_vec(&effects).expect("plain data"), serde_json::to_vec(&world.last).expect("plain data"));
            }
        }
        for piece in 1..6 {
            let verdicts: Vec<_> = world.records().filter(|record| record.arrival.piece == PieceId(piece)).map(|record| record.judgement.verdict).collect();
            let rule: Vec<_> = expected(&steps, piece).into_iter().collect();
            prop_assert_eq!(verdicts, rule, "piece {}", piece);
        }
        let passes = world.records().filter(|record| record.judgement.verdict == Verdict::Pass);
        for record in passes {
            let views = record.inspection.as_ref().map_or(0, |inspection| inspection.views.len());
            prop_assert_eq!(views, 3);
        }
    }
}
