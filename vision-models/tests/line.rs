//! From camera to inspection on drawn and on real boards, and what happens when the camera or the model fails.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::{clock, deeppcb, detector};
use station::inspection::{Finding, Inspection, MissReason};
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::sync::Arc;
use vision_models::boards::{BoardSettings, Boards};
use vision_models::camera::{BoardFolder, Camera, CameraError, CameraFaults, GeneratedBoards, GroundTruth, Watched};
use vision_models::detector::{Detector, DetectorError, DetectorFaults};
use vision_models::frame::FramePool;
use vision_models::score::{Score, score};

fn generated(seed: u64, bad_share: f32, faults: &Arc<CameraFaults>) -> (Arc<Boards>, Watched<GeneratedBoards>) {
    let boards = Arc::new(Boards::new(BoardSettings { seed, bad_share, ..BoardSettings::default() }).unwrap());
    let camera = GeneratedBoards::new("cam0", Arc::clone(&boards), Arc::clone(faults), clock());
    (boards, Watched::new(camera))
}

fn defects(inspection: &Inspection, classes: &[DefectClass]) -> Vec<Finding> {
    let counts = |finding: &&Finding| finding.score >= classes[usize::from(finding.class.0) - 1].threshold;
    inspection.findings.iter().filter(counts).copied().collect()
}

fn run(camera: &mut dyn Camera, truth: &dyn GroundTruth, pieces: impl Iterator<Item = u32>, bytes: usize) -> Score {
    let (package, mut detector) = detector();
    let pool = FramePool::new(1, bytes);
    let name: Arc<str> = camera.name().into();
    let mut total = Score::default();
    for piece in pieces.map(PieceId) {
        let frame = camera.grab(piece, &pool).unwrap();
        let inspection = detector.inspect(&frame, piece, &name).unwrap();
        assert!(inspection.findings.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!((inspection.piece, inspection.image), (piece, frame.digest()));
        total += score(&defects(&inspection, &package.classes()), &truth.truth(piece));
    }
    total
}

#[test]
fn drawn_boards_are_told_apart() {
    let faults = Arc::default();
    let (boards, mut camera) = generated(77, 0.5, &faults);
    let total = run(&mut camera, boards.as_ref(), 1..=120, GeneratedBoards::frame_bytes());
    println!("{total:?}");
    assert!(total.bad_pieces > 40 && total.bad_pieces < 80);
    assert_eq!(total.escapes, 0, "{total:?}");
    assert!(total.missed * 50 <= total.defects && total.overkills <= 2, "{total:?}");
}

/// Every sixteenth picture of the data set: all seven board groups.
#[test]
fn real_boards_are_inspected_within_the_operating_point() {
    let Some(folder) = deeppcb() else { return };
    let camera = BoardFolder::open("cam0", &folder, Arc::default(), clock()).unwrap();
    assert_eq!(camera.count(), 1000);
    let (index, bytes) = (camera.index(), camera.frame_bytes().unwrap());
    let total = run(&mut Watched::new(camera), index.as_ref(), (1..=1000).step_by(16), bytes);
    println!("{total:?}");
    assert_eq!((total.pieces, total.bad_pieces), (63, 63));
    assert_eq!(total.escapes, 0);
    assert!(total.missed * 100 <= total.defects, "at most 1 % missed: {total:?}");
    assert!(total.false_calls * 10 <= total.pieces * 3, "at most 0.3 false calls a picture: {total:?}");
}

#[test]
fn a_frozen_camera_is_stale_a_lost_one_is_lost_and_both_recover() {
    let faults = Arc::new(CameraFaults::default());
    let (_, mut camera) = generated(3, 0.1, &faults);
    let pool = FramePool::new(2, GeneratedBoards::frame_bytes());
    camera.grab(PieceId(1), &pool).unwrap();
    faults.set_freeze(true);
    for piece in 2..5 {
        let error = camera.grab(PieceId(piece), &pool).unwrap_err();
        assert!(matches!(error, CameraError::Stale { number: 1, .. }), "{error}");
        assert_eq!(error.miss(), MissReason::CameraStale);
    }
    faults.set_freeze(false);
    faults.set_lost(true);
    assert_eq!(camera.grab(PieceId(5), &pool).unwrap_err().miss(), MissReason::CameraLost);
    faults.set_lost(false);
    let held = [camera.grab(PieceId(6), &pool).unwrap(), camera.grab(PieceId(7), &pool).unwrap()];
    assert_eq!(camera.grab(PieceId(8), &pool).unwrap_err().miss(), MissReason::QueueFull);
    drop(held);
    assert_eq!(camera.grab(PieceId(9), &pool).unwrap().pixels().len(), 640 * 640);
}

#[test]
fn the_same_frame_gives_the_same_inspection_and_a_told_fault_none() {
    let (_, one) = detector();
    let faults = Arc::new(DetectorFaults::default());
    let mut one: Detector = one.with_faults(Arc::clone(&faults));
    let (_, mut two) = detector();
    let (_, mut camera) = generated(3, 1.0, &Arc::default());
    let pool = FramePool::new(1, GeneratedBoards::frame_bytes());
    let name: Arc<str> = "cam0".into();
    let frame = camera.grab(PieceId(1), &pool).unwrap();
    let first = one.inspect(&frame, PieceId(1), &name).unwrap();
    assert!(!first.findings.is_empty());
    assert_eq!(first.findings, one.inspect(&frame, PieceId(1), &name).unwrap().findings);
    assert_eq!(first.findings, two.inspect(&frame, PieceId(1), &name).unwrap().findings);
    faults.set_slow_millis(40);
    let slow = one.inspect(&frame, PieceId(1), &name).unwrap();
    assert!(slow.micros.infer >= 40_000, "{:?}", slow.micros);
    faults.set_slow_millis(0);
    faults.set_fail(true);
    assert!(matches!(one.inspect(&frame, PieceId(1), &name), Err(DetectorError::Told)));
    faults.set_fail(false);
    assert_eq!(one.inspect(&frame, PieceId(1), &name).unwrap().findings, first.findings);
}
