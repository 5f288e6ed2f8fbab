//! Every task from package to finding on ONNX Runtime, with networks whose answers are computed by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::tiny::{Tiny, picture};
use common::{clock, runtime};
use station::inspection::{ClassId, PixelBox};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use vision_models::detector::{Detector, LoadError};
use vision_models::evaluate::{FolderError, classify_all, segment_all};
use vision_models::package::{MANIFEST, Package, seal};

fn made(task: Tiny) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    task.write(folder.path());
    folder
}

fn load(folder: &Path) -> Result<(Package, Detector), LoadError> {
    let package = Package::open(folder).expect("manifest and hashes are right");
    let detector = Detector::load(&runtime(), &package, clock())?;
    Ok((package, detector))
}

#[test]
fn every_task_finds_on_its_golden_picture_what_was_computed_by_hand() {
    for task in Tiny::ALL {
        let folder = made(task);
        load(folder.path()).unwrap();
        // The proof can fail: another expectation is refused, for each task.
        let expected = folder.path().join("golden/piece.json");
        let text = fs::read_to_string(&expected).unwrap();
        for (from, to) in [("\"class\":1", "\"class\":2"), ("\"score\":0.", "\"score\":0.5"), ("\"x1\":", "\"x1\":1")] {
            fs::write(&expected, text.replace(from, to)).unwrap();
            assert_ne!(text.replace(from, to), text);
            seal(folder.path()).unwrap();
            let error = load(folder.path()).unwrap_err();
            assert!(matches!(error, LoadError::Parity { .. }), "{task:?}: {error}");
        }
    }
}

#[test]
fn a_picture_is_classified_by_its_largest_shares() {
    let (_, mut detector) = load(made(Tiny::Classify).path()).unwrap();
    let bright = detector.findings(&picture(|_, _| 230), None).unwrap();
    assert_eq!((bright.len(), bright[0].class), (1, ClassId(2)));
    assert_eq!(bright[0].bounds, PixelBox { x1: 0.0, y1: 0.0, x2: 64.0, y2: 64.0 });
    assert_eq!(detector.findings(&picture(|_, _| 128), None).unwrap(), []);
}

#[test]
fn regions_are_drawn_measured_in_square_millimetres_and_dropped_if_small() {
    let folder = made(Tiny::Segment);
    let (_, mut detector) = load(folder.path()).unwrap();
    // A dark corner of 3 x 1 cells, a bright block of 2 x 2.
    let drawn = picture(|x, y| match (x / 8, y / 8) {
        (5..=7, 7) => 0,
        (2..=3, 3..=4) => 255,
        _ => 128,
    });
    let found = detector.findings(&drawn, None).unwrap();
    let areas: Vec<_> = found.iter().map(|finding| (finding.class.0, finding.area_mm2)).collect();
    assert_eq!(areas, [(2, Some(64.0)), (1, Some(48.0))], "equal scores come by place");
    let map = detector.class_map().unwrap();
    assert_eq!([map.at(63, 63), map.at(16, 24), map.at(39, 63)], [Some(ClassId(1)), Some(ClassId(2)), None]);
    let manifest = fs::read_to_string(folder.path().join(MANIFEST)).unwrap();
    fs::write(folder.path().join(MANIFEST), manifest.replace("area_min_mm2 = 1.0", "area_min_mm2 = 50.0")).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("it does not find class 1 at 16,8"), "{error}");
}

#[test]
fn labels_must_name_every_class_once_and_pictures_have_no_golden_one() {
    let cases = [
        (
            Tiny::Classify,
            "\"good\", \"dark\"",
            "\"good\", \"dork\"",
            "task.classify.labels must have the class dark once, it is there 0 times",
        ),
        (
            Tiny::Segment,
            "\"good\", \"dark\"",
            "\"dark\", \"dark\"",
            "task.segment.labels must have the class dark once, it is there 2 times",
        ),
        (Tiny::Segment, "stride = 8", "stride = 16", "task.segment.stride must be 1 to 64, and input.multiple a multiple of it"),
        (Tiny::Segment, "area_min_mm2 = 1.0", "area_min_mm2 = nan", "task.segment.area_min_mm2"),
        (Tiny::Segment, "activation = \"softmax\"", "activation = \"softmix\"", "softmix"),
        (
            Tiny::Classify,
            "test = \"golden/piece.png\"",
            "test = \"golden/piece.png\"\ngolden = \"golden/piece.png\"",
            "has no golden picture",
        ),
    ];
    for (task, from, to, part) in cases {
        let folder = made(task);
        let path = folder.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = Package::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // A model with other labels than the manifest says.
    let folder = made(Tiny::Segment);
    let path = folder.path().join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[\"good\", \"dark\"", "[\"good\", \"fine\", \"dark\"")).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("output scores has shape [-1, 3, -1, -1] of 32-bit floats, it should be [-1 or 1, 4, -1, -1]"),
        "{error}"
    );
}

#[test]
fn a_package_that_classifies_is_measured_on_a_folder_per_kind() {
    let (package, mut detector) = load(made(Tiny::Classify).path()).unwrap();
    let data = tempfile::tempdir().unwrap();
    // Two good ones, one of which is called dark; three dark ones, one called good and one called bright; one bright one.
    for (kind, levels) in [("good", &[128, 20][..]), ("dark", &[10, 128, 240]), ("bright", &[235])] {
        fs::create_dir(data.path().join(kind)).unwrap();
        for level in levels {
            picture(|_, _| *level).write_png(&data.path().join(kind).join(format!("{level}.png"))).unwrap();
        }
    }
    let figures = classify_all(&mut detector, &package.classes(), data.path(), &clock()).unwrap();
    assert_eq!(figures.kinds, ["good", "dark", "bright"]);
    assert_eq!(figures.confusion, [[1, 1, 0], [1, 1, 1], [0, 0, 1]]);
    assert_eq!((figures.pictures, figures.accuracy, figures.escape, figures.overkill), (6, 0.5, 0.25, 0.5));
    fs::create_dir(data.path().join("dork")).unwrap();
    let error = classify_all(&mut detector, &package.classes(), data.path(), &clock()).unwrap_err();
    assert!(matches!(&error, FolderError::Layout { .. }) && error.to_string().contains("good, dark, bright"), "{error}");
}

#[test]
fn a_package_that_segments_is_measured_on_pictures_with_masks() {
    let (package, mut detector) = load(made(Tiny::Segment).path()).unwrap();
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name);
    fs::create_dir(path("images")).unwrap();
    fs::create_dir(path("masks")).unwrap();
    // A dark block of 2 x 2 cells, of which the mask has the left half and as much beside it; a good one; one overlooked.
    picture(|x, y| if (16..32).contains(&x) && y < 16 { 0 } else { 128 }).write_png(&path("images/a.png")).unwrap();
    picture(|x, y| u8::from((8..24).contains(&x) && y < 16)).write_png(&path("masks/a.png")).unwrap();
    picture(|_, _| 128).write_png(&path("images/b.png")).unwrap();
    picture(|_, _| 128).write_png(&path("images/c.png")).unwrap();
    picture(|x, y| if x < 8 && y < 8 { 2 } else { 0 }).write_png(&path("masks/c.png")).unwrap();
    let figures = segment_all(&mut detector, &package.classes(), data.path(), &clock()).unwrap();
    let iou: Vec<_> = figures.iou.iter().map(|class| class.iou.unwrap()).collect();
    assert!((iou[0] - 1.0 / 3.0).abs() < 1e-12 && iou[1].abs() < 1e-12, "{iou:?}");
    assert_eq!((figures.pictures, figures.escape, figures.overkill), (3, 0.5, 0.0));
    picture(|_, _| 3).write_png(&path("masks/b.png")).unwrap();
    let error = segment_all(&mut detector, &package.classes(), data.path(), &clock()).unwrap_err();
    assert!(error.to_string().contains("b.png: it has the grey level 3, and the package has 2 classes"), "{error}");
}
