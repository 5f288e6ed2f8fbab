//! What a package reaches on pieces whose faults are known, by the product's own path from picture to finding.
//!
//! For reports only; no verdict depends on it.
//!
//! Invariant: the figures depend on findings and truth alone, never on how fast the machine was; what it cost is beside them.

mod anomaly;
mod kinds;
mod measures;

use crate::camera::{Camera, CameraError, GroundTruth};
use crate::detector::{Detector, DetectorError};
use crate::frame::FramePool;
use crate::score::{Score, TruthBox, score};
pub use anomaly::{AnomalyFigures, Confusion, Kind, ScoreError, Scored, anomaly_figures, auroc, score_all};
pub use kinds::{ClassIou, FolderError, KindFigures, RegionFigures, classify_all, segment_all};
pub use measures::{ByClass, Matched, TILE, Tiles, average_precision_by_class, matched, tiles};
use serde::Serialize;
use station::inspection::Finding;
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::sync::Arc;
use thiserror::Error;

/// Why an evaluation ended before its last piece.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// A picture cannot be taken.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// A picture was not inspected.
    #[error("piece {piece} was not inspected")]
    Detector {
        /// The piece.
        piece: PieceId,
        /// Why.
        #[source]
        source: DetectorError,
    },
}

/// One piece: what was found at all, and what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Everything above the package's floor, best score first.
    pub findings: Vec<Finding>,
    /// The faults that are known.
    pub truth: Vec<TruthBox>,
    /// Width and height of the picture in pixels.
    pub size: (u32, u32),
    /// Microseconds by the detector's clock from picture to findings.
    pub micros: u64,
}

/// Inspects `pieces` pieces from the first one on.
///
/// # Errors
/// [`EvaluateError`] at the first piece that cannot be taken or inspected.
pub fn inspect_all(
    detector: &mut Detector,
    camera: &mut dyn Camera,
    truth: &dyn GroundTruth,
    pieces: u32,
    frame_bytes: usize,
) -> Result<Vec<Judged>, EvaluateError> {
    let pool = FramePool::new(1, frame_bytes);
    let name: Arc<str> = camera.name().into();
    let one = |piece: PieceId| {
        let frame = camera.grab(piece, &pool)?;
        let size = (frame.width(), frame.height());
        let inspection = detector.inspect(&frame, piece, &name).map_err(|source| EvaluateError::Detector { piece, source })?;
        let spent = inspection.micros;
        let micros = spent.prepare + spent.infer + spent.decode;
        Ok(Judged { findings: inspection.findings, truth: truth.truth(piece), size, micros })
    };
    (1..=pieces).map(PieceId).map(one).collect()
}

/// The figures of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Pictures looked at.
    pub pictures: usize,
    /// Faults in them.
    pub defects: u64,
    /// Micro-averaged average precision over all classes at an overlap above 0.33, as DeepPCB's protocol has it.
    pub ap_iou_033: f64,
    /// Mean over the classes of the average precision at an overlap of 0.5 or more.
    pub map_iou_050: f64,
    /// The same for each class; `null` for a class that has no fault here.
    pub ap_iou_050: Vec<ByClass>,
    /// At the package's thresholds, by DeepPCB's protocol: share of findings that are right.
    pub precision: f64,
    /// Share of faults that are found with the right class.
    pub recall: f64,
    /// `2·precision·recall / (precision + recall)`.
    pub f: f64,
    /// The best F that one threshold for all classes gives, and that threshold.
    pub f_best: AtThreshold,
    /// At the package's thresholds: faults that no finding of any class belongs to.
    pub missed: u64,
    /// Their share.
    pub missed_share: f64,
    /// Findings that belong to no fault, per picture.
    pub false_calls_per_picture: f64,
    /// Pictures with a fault on which nothing was found.
    pub pictures_escaped: u64,
    /// Pictures without a fault on which something was found.
    pub pictures_overkilled: u64,
    /// Share of faults missed by the lowest threshold for all classes that gives at most one false call per picture.
    pub missed_share_at_one_false_call: AtThreshold,
    /// The same picture cut into tiles, each passed or rejected.
    pub tiles: Tiles,
    /// Milliseconds of CPU from picture to findings.
    pub cpu_ms: Spent,
}

/// A figure and the threshold at which it holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    /// The figure.
    pub value: f64,
    /// Score from which a finding counts.
    pub threshold: f32,
}

/// Milliseconds per picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spent {
    /// Half of the pictures took less.
    pub p50: f64,
    /// One in a hundred took more.
    pub p99: f64,
}

/// Computes the figures. `classes` carry the thresholds of the operating point.
#[must_use]
pub fn figures(judged: &[Judged], classes: &[DefectClass]) -> Figures {
    let truths: Vec<&[TruthBox]> = judged.iter().map(|piece| &*piece.truth).collect();
    let all: Vec<&[Finding]> = judged.iter().map(|piece| &*piece.findings).collect();
    let chosen: Vec<Vec<Finding>> = judged.iter().map(|piece| defects(&piece.findings, classes)).collect();
    let at_point = matched(chosen.iter().map(Vec::as_slice), &truths, measures::PROTOCOL_IOU);
    let total = judged.iter().zip(&chosen).fold(Score::default(), |mut total, (piece, chosen)| {
        total += score(chosen, &piece.truth);
        total
    });
    let by_class = average_precision_by_class(&all, &truths, classes, 0.5);
    let known: Vec<f64> = by_class.iter().filter_map(|class| class.ap).collect();
    Figures {
        pictures: judged.len(),
        defects: total.defects,
        ap_iou_033: matched(all.iter().copied(), &truths, measures::PROTOCOL_IOU).average_precision(),
        map_iou_050: known.iter().sum::<f64>() / real(known.len()).max(1.0),
        ap_iou_050: by_class,
        precision: at_point.precision(),
        recall: at_point.recall(),
        f: at_point.f(),
        f_best: best_f(judged, &truths),
        missed: total.missed,
        missed_share: share(total.missed, total.defects),
        false_calls_per_picture: share(total.false_calls, total.pieces),
        pictures_escaped: total.escapes,
        pictures_overkilled: total.overkills,
        missed_share_at_one_false_call: at_one_false_call(judged),
        tiles: tiles(judged, &chosen),
        cpu_ms: spent(judged.iter().map(|piece| piece.micros).collect()),
    }
}

/// The findings that count: at or above the threshold of their class.
fn defects(findings: &[Finding], classes: &[DefectClass]) -> Vec<Finding> {
    let counts = |finding: &&Finding| {
        let class = usize::from(finding.class.0).checked_sub(1).and_then(|index| classes.get(index));
        class.is_some_and(|class| finding.score >= class.threshold)
    };
    findings.iter().filter(counts).copied().collect()
}

/// Thresholds that are tried, in hundredths of a score.
fn thresholds() -> impl Iterator<Item = f32> {
    (1..100_u8).map(|hundredth| f32::from(hundredth) / 100.0)
}

/// Findings are sorted, best first: those that count are a head of the list.
fn head(findings: &[Finding], threshold: f32) -> &[Finding] {
    &findings[..findings.partition_point(|finding| finding.score >= threshold)]
}

fn best_f(judged: &[Judged], truths: &[&[TruthBox]]) -> AtThreshold {
    let at = |threshold| {
        let chosen = judged.iter().map(|piece| head(&piece.findings, threshold));
        AtThreshold { value: matched(chosen, truths, measures::PROTOCOL_IOU).f(), threshold }
    };
    thresholds().map(at).max_by(|a, b| a.value.total_cmp(&b.value)).unwrap_or(AtThreshold { value: 0.0, threshold: 1.0 })
}

fn at_one_false_call(judged: &[Judged]) -> AtThreshold {
    let at = |threshold| {
        let mut total = Score::default();
        for piece in judged {
            total += score(head(&piece.findings, threshold), &piece.truth);
        }
        (total, threshold)
    };
    let found = thresholds().map(at).find(|(total, _)| total.false_calls <= total.pieces);
    found.map_or(AtThreshold { value: 1.0, threshold: 1.0 }, |(total, threshold)| AtThreshold {
        value: share(total.missed, total.defects),
        threshold,
    })
}

fn spent(mut micros: Vec<u64>) -> Spent {
    micros.sort_unstable();
    let at = |hundredth: usize| micros.get(micros.len() * hundredth / 100).map_or(0.0, |micros| share(*micros, 1000));
    Spent { p50: at(50), p99: at(99) }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn real(count: usize) -> f64 {
    count as f64
}
