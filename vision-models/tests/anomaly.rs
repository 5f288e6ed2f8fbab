//! Teaching from good pieces: a drawn blemish is found, the same pictures give the same package, and it is a package like any other.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::{clock, home, runtime};
use std::fs;
use std::path::Path;
use vision_models::anomaly::{LEAST, Lesson, TeachError, labelled_pictures, look, pictures_of, teach, write};
use vision_models::detector::Detector;
use vision_models::evaluate::{anomaly_figures, score_all};
use vision_models::package::{Package, list_files};
use vision_models::picture::Picture;

const SIDE: u32 = 96;

/// Brushed metal: the same stripes on every piece, its own noise.
fn piece(number: u32, blemish: bool) -> Picture {
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) % 24
    };
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let level = 90 + (x * x / 7) % 40 + noise();
            let spot = blemish && (40..52).contains(&x) && (60..70).contains(&y);
            pixels.push(u8::try_from(if spot { level / 3 } else { level }).unwrap());
        }
    }
    Picture::new(SIDE, SIDE, pixels).unwrap()
}

fn lesson<'a>(name: &'a str, bad: &'a [Picture]) -> Lesson<'a> {
    Lesson { name, version: "1", pixel_size_mm: 0.1, bad }
}

fn taught_to(shelf: &Path, bad: &[Picture]) -> vision_models::anomaly::Written {
    let good: Vec<Picture> = (0..24).map(|number| piece(number, false)).collect();
    let taught = teach(&runtime(), &good, 0.01, |_, _| {}).unwrap();
    assert_eq!((taught.used.len(), taught.copies, taught.rejected), (24, 0, 0));
    write(&runtime(), &taught, &good, &lesson("metal", bad), shelf).unwrap()
}

#[test]
fn a_blemish_is_found_where_it_is_and_good_pieces_pass() {
    let shelf = tempfile::tempdir().unwrap();
    let bad: Vec<Picture> = (100..104).map(|number| piece(number, true)).collect();
    let written = taught_to(shelf.path(), &bad);
    assert!(written.bad_scores.iter().all(|score| *score > 0.5), "{:?}", written.bad_scores);
    let package = Package::open(&written.folder).unwrap();
    assert!((package.manifest().operating_point.measured["bad_pieces_escaped"]).abs() < 1e-9);
    let mut detector = Detector::load(&runtime(), &package, clock()).unwrap();
    for number in 200..206 {
        let good = detector.findings(&piece(number, false), None).unwrap();
        assert!(good[0].score < 0.5, "piece {number}: {}", good[0].score);
    }
    let found = detector.findings(&piece(300, true), None).unwrap();
    let b = found[0].bounds;
    assert!(found.len() == 1 && found[0].score > 0.5, "{found:?}");
    // The middle of the blemish lies in the box, and the box is not the whole picture.
    assert!(b.x1 < 46.0 && 46.0 < b.x2 && b.y1 < 65.0 && 65.0 < b.y2 && b.x2 - b.x1 < 60.0, "{b:?}");
    let seen = look(&runtime(), &package, &piece(300, true)).unwrap().unwrap();
    let hottest = seen.heat.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert!((6..10).contains(&(hottest % seen.columns)) && (9..13).contains(&(hottest / seen.columns)), "{hottest}");
    assert_eq!(seen.over(&piece(300, true)).len(), 3 * 96 * 96);
}

#[test]
fn the_same_pictures_give_the_same_package_and_a_name_is_taken_once() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (taught_to(one.path(), &[]).folder, taught_to(two.path(), &[]).folder);
    let files = list_files(&first).unwrap();
    assert_eq!(files, list_files(&second).unwrap());
    for file in files {
        assert_eq!(fs::read(first.join(&file)).unwrap(), fs::read(second.join(&file)).unwrap(), "{file}");
    }
    let good: Vec<Picture> = (0..24).map(|number| piece(number, false)).collect();
    let taught = teach(&runtime(), &good, 0.01, |_, _| {}).unwrap();
    let text = write(&runtime(), &taught, &good, &lesson("metal", &[]), one.path()).unwrap_err().to_string();
    assert!(text.contains("metal@1") && text.contains("--name"), "{text}");
}

#[test]
fn what_cannot_be_taught_is_refused_with_the_reason() {
    let few: Vec<Picture> = (0..5).map(|number| piece(number, false)).collect();
    let text = teach(&runtime(), &few, 0.01, |_, _| {}).unwrap_err().to_string();
    assert!(text.contains('5') && text.contains(&LEAST.to_string()), "{text}");
    let alike: Vec<Picture> = (0..20).map(|_| piece(1, false)).collect();
    assert!(matches!(teach(&runtime(), &alike, 0.01, |_, _| {}), Err(TeachError::AllAlike { count: 20 })));
    assert!(matches!(teach(&runtime(), &few, 0.9, |_, _| {}), Err(TeachError::Overkill { .. })));
}

/// A kind of paper that the backbone has never seen: good sheets against sheets with impurities.
#[test]
fn impurities_of_real_paper_are_told_from_good_sheets() {
    let shared = home().join("../../shared");
    let data = shared.join("data/piped/PA_BRG02_RL");
    if !data.is_dir() {
        let must_run = std::env::var("CI").is_ok_and(|value| value == "true") && shared.is_dir();
        assert!(!must_run, "{} is missing, and with CI=true no test may be skipped for it", data.display());
        println!("skipped: {} is not there", data.display());
        return;
    }
    let shelf = tempfile::tempdir().unwrap();
    // The last sheet of eight good patches is kept for the judging.
    let all = pictures_of(&data.join("good")).unwrap();
    let (taught_from, kept) = all.split_at(all.len() - 8);
    let good: Vec<Picture> = taught_from.iter().map(|path| Picture::read(path).unwrap()).collect();
    let taught = teach(&runtime(), &good, 0.01, |_, _| {}).unwrap();
    let written = write(&runtime(), &taught, &good, &lesson("paper", &[]), shelf.path()).unwrap();
    let mut detector = Detector::load(&runtime(), &Package::open(&written.folder).unwrap(), clock()).unwrap();
    let mut scored = score_all(&mut detector, &data, &clock()).unwrap();
    let known: Vec<_> = labelled_pictures(&data).unwrap();
    let mut unseen = known.iter().map(|one| one.bad || kept.contains(&one.path));
    scored.retain(|_| unseen.next().unwrap());
    let figures = anomaly_figures(&scored, 0.5);
    assert_eq!((figures.images, figures.by_kind["defect"].images), (24, 16));
    assert!(figures.auroc.unwrap() >= 0.98, "{figures:?}");
}
