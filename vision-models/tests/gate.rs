//! The import gate: a package is whole and does what it did, or it is refused with the reason.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::{chain, clock, copy, detector, edit, runtime};
use std::fs;
use std::path::Path;
use vision_models::decode::DecodeError;
use vision_models::detector::{Detector, DetectorError, LoadError};
use vision_models::package::{MANIFEST, Package, PackageError, WEIGHTS, seal};

fn load(folder: &Path) -> Result<Detector, LoadError> {
    Detector::load(&runtime(), &Package::open(folder).expect("manifest and hashes are right"), clock())
}

#[test]
fn the_shipped_package_passes_and_names_itself() {
    let (package, detector) = detector();
    assert_eq!(detector.model(), package.model());
    assert_eq!(package.model().package, "pcb@2.1.0");
    let names: Vec<_> = package.classes().into_iter().map(|class| class.name).collect();
    assert_eq!(names, ["open", "short", "mousebite", "spur", "copper", "pin-hole"]);
    assert!(package.goldens().iter().any(|board| board.expected.len() > 3));
}

#[test]
fn one_flipped_bit_is_noticed() {
    for name in [WEIGHTS, "golden/board-1_test.png", "golden/board-1.json"] {
        let folder = copy();
        let mut bytes = fs::read(folder.path().join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.path().join(name), bytes).unwrap();
        let error = Package::open(folder.path()).unwrap_err();
        assert!(matches!(&error, PackageError::Hash { path, .. } if path.ends_with(name)), "{error}");
    }
}

#[test]
fn a_file_that_is_missing_or_not_listed_is_named() {
    let folder = copy();
    fs::write(folder.path().join("golden/extra.txt"), "x").unwrap();
    let error = Package::open(folder.path()).unwrap_err();
    assert!(matches!(&error, PackageError::Unlisted { path } if path.ends_with("golden/extra.txt")), "{error}");
    fs::remove_file(folder.path().join("golden/extra.txt")).unwrap();
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    assert!(Package::open(folder.path()).unwrap_err().to_string().contains(WEIGHTS));
    seal(folder.path()).unwrap();
    let error = Package::open(folder.path()).unwrap_err();
    assert!(matches!(&error, PackageError::NotListed { name, .. } if name == WEIGHTS), "{error}");
}

#[test]
fn a_manifest_with_a_strange_key_or_value_is_refused_with_the_key() {
    let cases: [(&str, &str, &[&str]); 16] = [
        ("format = 2", "format = 1", &["format is 1", "this program reads 2"]),
        ("[task.compare", "[task.compere", &["compere", "`compare`", "`detect`"]),
        ("[task.compare", "[task.detect", &["input.planes must be [\"test\"] for the task detect", "every piece has no golden picture"]),
        ("golden = \"golden/good_golden.png\"\n", "", &["every piece needs its golden picture"]),
        ("name = \"pcb\"", "name = \"../../../tmp/pcb\"", &["name must be"]),
        ("name = \"pcb\"", "name = \".pcb\"", &["name must be"]),
        ("version = \"2.1.0\"", "version = \"1/../..\"", &["version must be"]),
        ("version = \"2.1.0\"", "version = \"\"", &["version must be"]),
        ("stride = 8", "stride = 8\nstrode = 8", &["strode"]),
        ("floor = 0.1", "floor = nan", &["task.compare.floor"]),
        ("black = 48", "black = 201", &["input.black"]),
        ("crumb_pixels = 32", "crumb_pixels = 0", &["task.compare.copper.crumb_pixels must be 1 to 10000"]),
        ("bridge = \"short\"", "bridge = \"shrot\"", &["task.compare.copper: there is no class shrot"]),
        ("island = \"copper\"", "island = \"open\"", &["task.compare.copper must name six classes, each once"]),
        ("[task.compare", "[task.detect", &["task.detect.copper needs a golden picture"]),
        ("name = \"copper\"\nthreshold = 0.35\n", "name = \"copper\"\nthreshold = 0.05\n", &["threshold of class copper"]),
    ];
    for (from, to, parts) in cases {
        let folder = copy();
        edit(folder.path(), MANIFEST, |text| text.replace(from, to));
        let text = Package::open(folder.path()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let folder = copy();
    edit(folder.path(), MANIFEST, |text| {
        text.replace("\n[files]\n", "\n[files]\n\"../outside\" = \"\"\n").replace("= \"\"\n", &format!("= \"{}\"\n", "0".repeat(64)))
    });
    assert!(Package::open(folder.path()).unwrap_err().to_string().contains("../outside"));
}

#[test]
fn inputs_and_outputs_must_be_what_the_manifest_says() {
    let cases = [
        ("name = \"image\"", "name = \"picture\"", "no input picture"),
        ("scores = \"prob\"", "scores = \"scores\"", "no output scores"),
        ("boxes = \"ltrb\"", "boxes = \"prob\"", "[-1 or 1, 4, -1, -1]"),
        ("[operating_point]\n", "[[class]]\nname = \"stain\"\nthreshold = 0.35\n\n[operating_point]\n", "[-1 or 1, 7, -1, -1]"),
    ];
    for (from, to, part) in cases {
        let folder = copy();
        edit(folder.path(), MANIFEST, |text| text.replace(from, to));
        let error = load(folder.path()).unwrap_err();
        assert!(matches!(&error, LoadError::Ports { .. }) && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_model_that_finds_something_else_on_its_golden_pieces_is_refused() {
    // What is expected is not found.
    let folder = copy();
    edit(folder.path(), "golden/board-2.json", |text| {
        text.replacen("\"class\": 6", "\"class\": 2", 1).replacen("\"class\": 5", "\"class\": 2", 1)
    });
    seal(folder.path()).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(&error, LoadError::Parity { piece, .. } if piece == "golden/board-2_test.png"), "{error}");
    // What is found is not expected.
    let folder = copy();
    fs::write(folder.path().join("golden/board-3.json"), "[]").unwrap();
    seal(folder.path()).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("which is not expected"), "{error}");
}

#[test]
fn what_a_fault_is_called_follows_from_the_copper() {
    // The names of two deeds are exchanged: the net says what it said, and the golden boards have other faults now.
    let folder = copy();
    edit(folder.path(), MANIFEST, |text| {
        text.replace("bridge = \"short\"", "bridge = \"?\"").replace("bump = \"spur\"", "bump = \"short\"").replace("\"?\"", "\"spur\"")
    });
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(&error, LoadError::Parity { .. }) && error.to_string().contains("but class"), "{error}");
}

#[test]
fn weights_that_are_no_model_or_answer_nonsense_are_refused() {
    let folder = copy();
    fs::write(folder.path().join(WEIGHTS), b"no model").unwrap();
    seal(folder.path()).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, LoadError::Runtime { .. }), "{}", chain(&error));
    // Eight bytes of ones hold at least one whole float, and it is not a number.
    let folder = copy();
    let mut bytes = fs::read(folder.path().join(WEIGHTS)).unwrap();
    let end = bytes.len() - bytes.len() / 20;
    bytes[end..end + 8].fill(0xFF);
    fs::write(folder.path().join(WEIGHTS), bytes).unwrap();
    seal(folder.path()).unwrap();
    let error = load(folder.path()).unwrap_err();
    let nonsense = matches!(&error, LoadError::Golden { source: DetectorError::Decode(DecodeError::Nonsense { .. }), .. });
    assert!(nonsense, "{}", chain(&error));
}
