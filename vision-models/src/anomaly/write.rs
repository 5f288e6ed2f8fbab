//! The taught package on disk.
//!
//! Invariants: it is written beside its place under a hidden name and moved there whole, after it opened, ran and found on
//! its golden pieces what it says; nothing in it depends on the day or the machine.

use super::graph::{HEAT, SCORE, STRIDE};
use super::{Taught, TeachError, input};
use crate::detector::Detector;
use crate::frame::MonoClock;
use crate::package::{
    ClassEntry, FORMAT, GoldenPiece, Heat, MANIFEST, Manifest, OperatingPoint, Package, Parity, Provenance, Task, WEIGHTS, seal,
};
use crate::picture::Picture;
use crate::runtime::Runtime;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Scores below this have no finding: a third of the threshold's distance.
const FLOOR: f32 = 0.01;

/// Score from which a piece is rejected; the model is made so that its threshold lies here.
const THRESHOLD: f32 = 0.5;

/// What the package is called, and what is known beside the good pieces.
#[derive(Debug, Clone)]
pub struct Lesson<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Size of a pixel on the piece in millimetres.
    pub pixel_size_mm: f64,
    /// Pictures of bad pieces, to measure what escapes.
    pub bad: &'a [Picture],
}

/// A package that was written.
#[derive(Debug)]
pub struct Written {
    /// Where.
    pub folder: PathBuf,
    /// Size of its model in bytes.
    pub model_bytes: usize,
    /// Scores of the bad pieces, in their order.
    pub bad_scores: Vec<f32>,
}

/// Writes what was taught to `shelf/NAME@VERSION`; `pictures` are those that were taught.
///
/// # Errors
/// [`TeachError`]; nothing is left but a hidden folder that the next try replaces.
pub fn write(runtime: &Runtime, taught: &Taught, pictures: &[Picture], lesson: &Lesson<'_>, shelf: &Path) -> Result<Written, TeachError> {
    let name = format!("{}@{}", lesson.name, lesson.version);
    let (folder, part) = (shelf.join(&name), shelf.join(format!(".{name}.part")));
    if folder.exists() {
        return Err(TeachError::There(folder));
    }
    if part.exists() {
        fs::remove_dir_all(&part).map_err(failed(&part))?;
    }
    let goldens = part.join("golden");
    fs::create_dir_all(&goldens).map_err(failed(&goldens))?;
    let model = taught.model()?;
    put(&part.join(WEIGHTS), &model)?;
    let mut parity = Vec::new();
    for (name, picture) in golden_pictures(taught, pictures)? {
        let (test, expected) = (format!("golden/{name}.png"), format!("golden/{name}.json"));
        put(&part.join(&test), &picture.to_png()?)?;
        put(&part.join(&expected), b"[]\n")?;
        parity.push(GoldenPiece { test, golden: None, expected });
    }
    let mut manifest = manifest(taught, lesson, parity);
    put_manifest(&part, &manifest)?;
    let mut detector = detector(runtime, Package::open(&part)?.without_goldens())?;
    for piece in &manifest.parity.piece {
        let findings = detector.findings(&Picture::read(&part.join(&piece.test))?, None).map_err(refused)?;
        let text = serde_json::to_string_pretty(&findings).map_err(refused)?;
        put(&part.join(&piece.expected), format!("{text}\n").as_bytes())?;
    }
    let bad_scores = scores(&mut detector, lesson.bad)?;
    if !bad_scores.is_empty() {
        let escaped = bad_scores.iter().filter(|score| **score < THRESHOLD).count();
        manifest.operating_point.measured.insert("bad_pieces".to_owned(), count(bad_scores.len()));
        manifest.operating_point.measured.insert("bad_pieces_escaped".to_owned(), count(escaped));
    }
    put_manifest(&part, &manifest)?;
    drop(self::detector(runtime, Package::open(&part)?)?);
    fs::rename(&part, &folder).map_err(failed(&folder))?;
    Ok(Written { folder, model_bytes: model.len(), bad_scores })
}

fn put_manifest(part: &Path, manifest: &Manifest) -> Result<(), TeachError> {
    put(&part.join(MANIFEST), toml::to_string_pretty(manifest).map_err(refused)?.as_bytes())?;
    Ok(seal(part)?)
}

fn scores(detector: &mut Detector, pictures: &[Picture]) -> Result<Vec<f32>, TeachError> {
    let score = |picture| {
        let findings = detector.findings(picture, None).map_err(refused)?;
        Ok(findings.first().map_or(0.0, |finding| finding.score))
    };
    pictures.iter().map(score).collect()
}

/// A good piece in the mirror, and one with a dark blemish. No piece of the gallery itself: its distance to itself is
/// nothing but rounding, and would prove nothing.
fn golden_pictures(taught: &Taught, pictures: &[Picture]) -> Result<[(&'static str, Picture); 2], TeachError> {
    let good = |share: usize| &pictures[taught.used[share * (taught.used.len() - 1) / 3]];
    let (first, second) = (good(1), good(2));
    let columns = usize::try_from(first.width()).unwrap_or(1).max(1);
    let mirrored = first.pixels().chunks_exact(columns).flat_map(|row| row.iter().rev().copied()).collect();
    let mut pixels = second.pixels().to_vec();
    let (width, height) = (usize::try_from(second.width()).unwrap_or(1), usize::try_from(second.height()).unwrap_or(1));
    for row in pixels.chunks_exact_mut(width.max(1)).skip(height * 2 / 5).take(height / 6) {
        row.iter_mut().skip(width * 2 / 5).take(width / 6).for_each(|pixel| *pixel /= 3);
    }
    let mirrored = Picture::new(first.width(), first.height(), mirrored)?;
    Ok([("mirrored", mirrored), ("blemished", Picture::new(second.width(), second.height(), pixels)?)])
}

fn manifest(taught: &Taught, lesson: &Lesson<'_>, piece: Vec<GoldenPiece>) -> Manifest {
    let pieces = taught.used.len();
    let measured = [
        ("good_pieces", count(pieces)),
        ("good_pieces_rejected", count(taught.rejected)),
        ("overkill_aimed_at", taught.overkill),
        ("threshold_in_usual_distances", f64::from(taught.threshold)),
    ];
    let chosen_on = "every good piece, compared with all others and not with itself; pieces of another batch or light may be farther";
    Manifest {
        format: FORMAT,
        name: lesson.name.to_owned(),
        version: lesson.version.to_owned(),
        summary: format!("Says how far a piece is from the {pieces} good pieces it was taught from."),
        pixel_size_mm: lesson.pixel_size_mm,
        input: input(),
        variant: Vec::new(),
        speed: None,
        task: Task::Anomaly(Heat { floor: FLOOR, score: SCORE.to_owned(), heat: HEAT.to_owned(), stride: STRIDE }),
        class: vec![ClassEntry { name: "anomaly".to_owned(), threshold: THRESHOLD }],
        operating_point: OperatingPoint {
            aim: format!("reject {} % of good pieces", 100.0 * taught.overkill),
            chosen_on: chosen_on.to_owned(),
            measured: measured.map(|(name, value)| (name.to_owned(), value)).into(),
        },
        provenance: Provenance {
            data: format!("{pieces} pictures of good pieces, given to `jidoka teach`"),
            split: "all of them; each held back while it was judged".to_owned(),
            training: "none: the features of the good pieces on the backbone of vision-models/backbone, kept in the model".to_owned(),
            licence: "of whoever taught it; the backbone is part of Jidoka, under its licence".to_owned(),
            data_licence: "of whoever took the pictures".to_owned(),
            metrics: BTreeMap::new(),
        },
        parity: Parity { score_tolerance: 0.02, box_tolerance_pixels: 1.0, piece },
        files: BTreeMap::new(),
    }
}

fn detector(runtime: &Runtime, package: Package) -> Result<Detector, TeachError> {
    // Nothing is measured here.
    let clock: MonoClock = std::sync::Arc::new(|| 0);
    Detector::load(runtime, &package, clock).map_err(refused)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), TeachError> {
    fs::write(path, bytes).and_then(|()| fs::File::open(path)?.sync_all()).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> TeachError {
    let path = path.to_owned();
    move |source| TeachError::Write { path, source }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> TeachError {
    TeachError::Refused(Box::new(error))
}

fn count(count: usize) -> f64 {
    super::statistics::real(count)
}
