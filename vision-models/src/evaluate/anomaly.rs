//! What a taught package reaches on pieces that are known to be good or bad: how well the scores part them, and what its
//! threshold lets through and rejects.
//!
//! For reports only; no verdict depends on it.

use super::{Spent, share, spent};
use crate::anomaly::{TeachError, labelled_pictures};
use crate::detector::{Detector, DetectorError};
use crate::frame::MonoClock;
use crate::picture::{Picture, PictureError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why pieces were not scored.
#[derive(Debug, Error)]
pub enum ScoreError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] TeachError),
    /// There is nothing in it.
    #[error("there are no pictures (PNG or JPEG) below this folder")]
    Empty,
    /// A picture cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A picture was not inspected.
    #[error("{} was not inspected", .path.display())]
    Detector {
        /// The picture.
        path: PathBuf,
        /// Why.
        #[source]
        source: DetectorError,
    },
}

/// Scores every picture below a folder; those in folders named `good`, `free`, `ok` or `normal` are of good pieces.
///
/// # Errors
/// [`ScoreError`] at the first picture that cannot be read or inspected.
pub fn score_all(detector: &mut Detector, folder: &Path, clock: &MonoClock) -> Result<Vec<Scored>, ScoreError> {
    let pictures = labelled_pictures(folder)?;
    if pictures.is_empty() {
        return Err(ScoreError::Empty);
    }
    let mut scored = Vec::with_capacity(pictures.len());
    for labelled in pictures {
        let picture = Picture::read(&labelled.path)?;
        let start = clock();
        let findings = detector.findings(&picture, None);
        let micros = clock().saturating_sub(start);
        let findings = findings.map_err(|source| ScoreError::Detector { path: labelled.path.clone(), source })?;
        // No finding is a score below the floor.
        let score = findings.first().map_or(0.0, |finding| finding.score);
        scored.push(Scored { score, kind: labelled.kind, bad: labelled.bad, micros });
    }
    Ok(scored)
}

/// One piece: its score, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Score of the whole piece, 0…1.
    pub score: f32,
    /// The folder its picture lies in: the kind of fault.
    pub kind: String,
    /// True if the piece is bad.
    pub bad: bool,
    /// Microseconds by the detector's clock from picture to finding.
    pub micros: u64,
}

/// The figures of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnomalyFigures {
    /// Pictures looked at.
    pub images: usize,
    /// Area under the ROC curve of whole pictures; `null` unless there are good and bad ones.
    pub auroc: Option<f64>,
    /// What the package's threshold makes of them.
    pub confusion: Confusion,
    /// Share of bad pieces that pass.
    pub escape: f64,
    /// Share of good pieces that are rejected.
    pub overkill: f64,
    /// The same for each folder of bad pieces.
    pub by_kind: BTreeMap<String, Kind>,
    /// Mean CPU from picture to finding, in milliseconds.
    pub cpu_millis_per_image: f64,
    /// The same as half and one in a hundred.
    pub cpu_ms: Spent,
}

/// Pieces by what they are and what was said of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// Good and passed.
    pub good_passed: u64,
    /// Good and rejected: overkill.
    pub good_rejected: u64,
    /// Bad and rejected.
    pub bad_rejected: u64,
    /// Bad and passed: escape.
    pub bad_passed: u64,
}

/// Bad pieces of one folder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kind {
    /// How many.
    pub images: usize,
    /// Area under the ROC curve against all good pieces.
    pub auroc: Option<f64>,
    /// How many pass.
    pub passed: usize,
}

/// Computes the figures; `threshold` is the score from which a piece is rejected.
#[must_use]
pub fn anomaly_figures(scored: &[Scored], threshold: f32) -> AnomalyFigures {
    let mut confusion = Confusion::default();
    for piece in scored {
        let count = match (piece.bad, piece.score >= threshold) {
            (false, false) => &mut confusion.good_passed,
            (false, true) => &mut confusion.good_rejected,
            (true, true) => &mut confusion.bad_rejected,
            (true, false) => &mut confusion.bad_passed,
        };
        *count += 1;
    }
    let good: Vec<f32> = scored.iter().filter(|piece| !piece.bad).map(|piece| piece.score).collect();
    let mut kinds: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for piece in scored.iter().filter(|piece| piece.bad) {
        kinds.entry(piece.kind.clone()).or_default().push(piece.score);
    }
    let all: Vec<f32> = kinds.values().flatten().copied().collect();
    let kind = |scores: Vec<f32>| Kind {
        images: scores.len(),
        auroc: auroc(&good, &scores),
        passed: scores.iter().filter(|score| **score < threshold).count(),
    };
    let micros: Vec<u64> = scored.iter().map(|piece| piece.micros).collect();
    let pieces = u64::try_from(scored.len()).unwrap_or(u64::MAX);
    AnomalyFigures {
        images: scored.len(),
        auroc: auroc(&good, &all),
        escape: share(confusion.bad_passed, confusion.bad_passed + confusion.bad_rejected),
        overkill: share(confusion.good_rejected, confusion.good_passed + confusion.good_rejected),
        confusion,
        by_kind: kinds.into_iter().map(|(name, scores)| (name, kind(scores))).collect(),
        cpu_millis_per_image: share(micros.iter().sum(), 1000 * pieces),
        cpu_ms: spent(micros),
    }
}

/// The probability that a bad piece scores higher than a good one, equal scores counting half (Mann and Whitney's U);
/// `None` where one of the two is missing.
#[must_use]
pub fn auroc(good: &[f32], bad: &[f32]) -> Option<f64> {
    if good.is_empty() || bad.is_empty() {
        return None;
    }
    let mut sorted = good.to_vec();
    sorted.sort_by(f32::total_cmp);
    let halves = bad.iter().map(|score| {
        let below = sorted.partition_point(|good| good < score);
        let up_to = sorted.partition_point(|good| good <= score);
        u64::try_from(below + up_to).unwrap_or(u64::MAX)
    });
    let pairs = u64::try_from(2 * good.len() * bad.len()).unwrap_or(u64::MAX);
    Some(share(halves.sum(), pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_the_right_order() {
        assert_eq!(auroc(&[0.1, 0.2], &[0.3, 0.4]), Some(1.0));
        assert_eq!(auroc(&[0.1, 0.3], &[0.2, 0.4]), Some(0.75));
        assert_eq!(auroc(&[0.5], &[0.5]), Some(0.5));
        assert_eq!(auroc(&[], &[0.5]), None);
    }

    #[test]
    fn escape_and_overkill_are_those_at_the_threshold() {
        let piece = |score, kind: &str, bad| Scored { score, kind: kind.to_owned(), bad, micros: 2000 };
        let scored = [
            piece(0.2, "good", false),
            piece(0.5, "good", false),
            piece(0.9, "crack", true),
            piece(0.4, "crack", true),
            piece(0.7, "spot", true),
        ];
        let figures = anomaly_figures(&scored, 0.5);
        assert_eq!(figures.confusion, Confusion { good_passed: 1, good_rejected: 1, bad_rejected: 2, bad_passed: 1 });
        assert!((figures.escape - 1.0 / 3.0).abs() < 1e-9 && (figures.overkill - 0.5).abs() < 1e-9);
        assert_eq!((figures.by_kind["crack"].images, figures.by_kind["crack"].passed, figures.by_kind["spot"].passed), (2, 1, 0));
        assert!((figures.cpu_millis_per_image - 2.0).abs() < 1e-9);
    }
}
