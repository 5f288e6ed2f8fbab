//! The measures of detection: DeepPCB's own protocol, average precision by class, and the picture as tiles on a belt.
//!
//! Invariants: a fault is matched once and a finding is matched once; equal scores keep the order of their pictures, so that
//! the same findings always give the same figures.

use super::{Judged, real, share};
use crate::score::{TruthBox, belongs, overlap};
use serde::Serialize;
use station::inspection::{Finding, PixelBox};
use station::recipe::DefectClass;

/// Overlap above which DeepPCB's protocol takes a finding for a fault (S. Tang and others, arXiv:1902.06197, section 4.2).
pub(super) const PROTOCOL_IOU: f32 = 0.33;

/// Side of a tile in pixels: 16 tiles of a 640 × 640 picture.
pub const TILE: u32 = 160;

/// Findings matched with faults over many pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// Score of each finding and whether it is right, in the order of pictures.
    findings: Vec<(f32, bool)>,
    faults: usize,
}

/// Matches by DeepPCB's protocol: faults in the order of their file take the first finding (best score first) that is still
/// free and overlaps by more than `iou`; it is right if the class agrees. Corners of faults are whole pixels, those of
/// findings are rounded, halves to the even side.
#[must_use]
pub fn matched<'f>(findings: impl Iterator<Item = &'f [Finding]>, truths: &[&[TruthBox]], iou: f32) -> Matched {
    let mut result = Matched { findings: Vec::new(), faults: 0 };
    for (found, truth) in findings.zip(truths) {
        let mut taken = vec![false; found.len()];
        let mut right = vec![false; found.len()];
        let rounded: Vec<PixelBox> = found.iter().map(|finding| each(&finding.bounds, f32::round_ties_even)).collect();
        for fault in *truth {
            let bounds = each(&fault.bounds, f32::trunc);
            let free = (0..found.len()).find(|index| !taken[*index] && overlap(&bounds, &rounded[*index]) > iou);
            if let Some(index) = free {
                taken[index] = true;
                right[index] = found[index].class == fault.class;
            }
        }
        result.faults += truth.len();
        result.findings.extend(found.iter().zip(right).map(|(finding, right)| (finding.score, right)));
    }
    result
}

impl Matched {
    /// Precision summed over the right findings from the best score down, over the number of faults.
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        let mut ordered = self.findings.clone();
        ordered.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut sum, mut right) = (0.0, 0_usize);
        for (index, _) in ordered.iter().enumerate().filter(|(_, finding)| finding.1) {
            right += 1;
            sum += real(right) / real(index + 1);
        }
        sum / real(self.faults).max(1.0)
    }

    fn right(&self) -> f64 {
        real(self.findings.iter().filter(|finding| finding.1).count())
    }

    /// Share of findings that are right; 0 without findings.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.right() / real(self.findings.len()).max(1.0)
    }

    /// Share of faults that are found; 0 without faults.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.right() / real(self.faults).max(1.0)
    }

    /// Harmonic mean of precision and recall; 0 if nothing is right.
    #[must_use]
    pub fn f(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        2.0 * precision * recall / (precision + recall).max(1e-9)
    }
}

fn each(bounds: &PixelBox, of: impl Fn(f32) -> f32) -> PixelBox {
    PixelBox { x1: of(bounds.x1), y1: of(bounds.y1), x2: of(bounds.x2), y2: of(bounds.y2) }
}

/// Average precision of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ByClass {
    /// The class.
    pub class: String,
    /// Area under its precision–recall curve; `None` where it has no fault.
    pub ap: Option<f64>,
}

/// Average precision of each class by itself: the area under the precision envelope at every recall (Pascal VOC from 2010 on).
/// A finding takes the free fault of its class that it overlaps most, from `iou` on.
#[must_use]
pub fn average_precision_by_class(findings: &[&[Finding]], truths: &[&[TruthBox]], classes: &[DefectClass], iou: f32) -> Vec<ByClass> {
    let one = |(number, class): (u8, &DefectClass)| {
        let mut ordered: Vec<(usize, &Finding)> = Vec::new();
        for (picture, found) in findings.iter().enumerate() {
            ordered.extend(found.iter().filter(|finding| finding.class.0 == number).map(|finding| (picture, finding)));
        }
        ordered.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
        let faults: usize = truths.iter().map(|truth| truth.iter().filter(|fault| fault.class.0 == number).count()).sum();
        let mut taken: Vec<Vec<bool>> = truths.iter().map(|truth| vec![false; truth.len()]).collect();
        let right: Vec<bool> = ordered
            .into_iter()
            .map(|(picture, finding)| {
                let free = |index: &usize| truths[picture][*index].class.0 == number && !taken[picture][*index];
                let candidates = (0..truths[picture].len()).filter(free);
                let measured = candidates.map(|index| (index, overlap(&finding.bounds, &truths[picture][index].bounds)));
                // Of equal overlaps the first in the file.
                let best = measured.rev().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|best| best.1 >= iou);
                best.inspect(|best| taken[picture][best.0] = true).is_some()
            })
            .collect();
        ByClass { class: class.name.clone(), ap: (faults > 0).then(|| under_envelope(&right, faults)) }
    };
    (1..).zip(classes).map(one).collect()
}

fn under_envelope(right: &[bool], faults: usize) -> f64 {
    let mut hits = 0_usize;
    let mut curve: Vec<f64> = Vec::with_capacity(right.len());
    for (index, right) in right.iter().enumerate() {
        hits += usize::from(*right);
        curve.push(real(hits) / real(index + 1));
    }
    let mut best = 0.0_f64;
    for precision in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    curve.iter().zip(right).filter(|(_, right)| **right).map(|(precision, _)| precision).sum::<f64>() / real(faults)
}

/// The picture cut into square tiles, as if each were a piece of its own: which bad ones pass, which good ones are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tiles {
    /// Side in pixels; what is left at the right and the lower edge is no tile.
    pub side: u32,
    /// Tiles that hold the middle of a fault.
    pub defective: u64,
    /// Share of them in which no fault was found.
    pub escape: f64,
    /// Tiles that no fault touches.
    pub clean: u64,
    /// Share of them in which the middle of a finding lies.
    pub overkill: f64,
}

/// Tiles at the operating point. `chosen` are the findings that count, for each piece of `judged`.
#[must_use]
pub fn tiles(judged: &[Judged], chosen: &[Vec<Finding>]) -> Tiles {
    let (mut defective, mut escaped, mut clean, mut overkilled) = (0, 0, 0, 0);
    for (piece, found) in judged.iter().zip(chosen) {
        let hit: Vec<bool> = piece.truth.iter().map(|fault| found.iter().any(|finding| belongs(finding, fault))).collect();
        for (x, y) in (0..piece.size.0 / TILE).flat_map(|x| (0..piece.size.1 / TILE).map(move |y| (x, y))) {
            let holds = |bounds: &PixelBox| tile_of(bounds) == (x, y);
            let inside: Vec<usize> = (0..piece.truth.len()).filter(|index| holds(&piece.truth[*index].bounds)).collect();
            if !inside.is_empty() {
                defective += 1;
                escaped += u64::from(!inside.iter().any(|index| hit[*index]));
            } else if !piece.truth.iter().any(|fault| touches(&fault.bounds, x, y)) {
                clean += 1;
                overkilled += u64::from(found.iter().any(|finding| holds(&finding.bounds)));
            }
        }
    }
    Tiles { side: TILE, defective, escape: share(escaped, defective), clean, overkill: share(overkilled, clean) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the middle of a box lies within the picture")]
fn tile_of(bounds: &PixelBox) -> (u32, u32) {
    let tile = |a: f32, b: f32| (f32::midpoint(a, b).max(0.0) as u32) / TILE;
    (tile(bounds.x1, bounds.x2), tile(bounds.y1, bounds.y2))
}

#[expect(clippy::cast_precision_loss, reason = "pixels are far below 2^24")]
fn touches(bounds: &PixelBox, x: u32, y: u32) -> bool {
    let (left, top) = ((x * TILE) as f32, (y * TILE) as f32);
    bounds.x1 < left + TILE as f32 && bounds.x2 > left && bounds.y1 < top + TILE as f32 && bounds.y2 > top
}

#[cfg(test)]
mod tests {
    use super::*;
    use station::inspection::ClassId;

    fn at(x1: f32, y1: f32, x2: f32, y2: f32) -> PixelBox {
        PixelBox { x1, y1, x2, y2 }
    }

    fn finding(class: u8, score: f32, bounds: PixelBox) -> Finding {
        Finding { class: ClassId(class), score, bounds, area_mm2: None, camera: 0 }
    }

    fn fault(class: u8, bounds: PixelBox) -> TruthBox {
        TruthBox { class: ClassId(class), bounds }
    }

    fn classes() -> Vec<DefectClass> {
        ["open", "short"].map(|name| DefectClass { name: name.to_owned(), threshold: 0.5 }).to_vec()
    }

    /// Worked by hand: scores 0.9 right, 0.8 wrong class, 0.7 right, 0.6 on nothing; four faults.
    #[test]
    fn the_protocol_is_computed_as_by_hand() {
        let place = |n: f32| at(100.0 * n, 0.0, 100.0 * n + 10.0, 10.0);
        let first = [finding(1, 0.9, place(0.0)), finding(2, 0.8, place(1.0))];
        let second = [finding(2, 0.7, at(0.4, 0.4, 10.4, 10.4)), finding(1, 0.6, place(5.0))];
        let truth_first = [fault(1, place(0.0)), fault(1, place(1.0)), fault(2, place(2.0))];
        let truth_second = [fault(2, at(0.9, 0.9, 10.9, 10.9))];
        let truths: [&[TruthBox]; 2] = [&truth_first, &truth_second];
        let found: [&[Finding]; 2] = [&first, &second];
        let result = matched(found.into_iter(), &truths, PROTOCOL_IOU);
        assert!((result.average_precision() - (1.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12);
        assert!((result.precision() - 0.5).abs() < 1e-12 && (result.recall() - 0.5).abs() < 1e-12 && (result.f() - 0.5).abs() < 1e-12);
        let by_class = average_precision_by_class(&found, &truths, &classes(), 0.5);
        // open: right at 0.9, nothing at 0.6, two faults. short: wrong at 0.8 (class), right at 0.7, two faults: (0 + 1/2)/2.
        assert_eq!(by_class[0].ap, Some(0.5));
        assert_eq!(by_class[1].ap, Some(0.25));
        let none: [&[Finding]; 2] = [&[], &[]];
        assert!(matched(none.into_iter(), &truths, PROTOCOL_IOU).f().abs() < 1e-9);
    }

    #[test]
    fn a_finding_takes_one_fault_and_a_fault_one_finding() {
        let twice = [finding(1, 0.9, at(0.0, 0.0, 10.0, 10.0)), finding(1, 0.8, at(1.0, 0.0, 11.0, 10.0))];
        let truth = [fault(1, at(0.0, 0.0, 10.0, 10.0))];
        let (found, truths): ([&[Finding]; 1], [&[TruthBox]; 1]) = ([&twice], [&truth]);
        let result = matched(found.into_iter(), &truths, PROTOCOL_IOU);
        assert!((result.precision() - 0.5).abs() < 1e-12 && (result.recall() - 1.0).abs() < 1e-12);
        assert_eq!(average_precision_by_class(&found, &truths, &classes(), 0.5)[0].ap, Some(1.0));
        assert_eq!(average_precision_by_class(&found, &truths, &classes(), 0.5)[1].ap, None);
    }

    #[test]
    fn tiles_are_passed_and_rejected_as_pieces_would_be() {
        let piece = Judged {
            findings: Vec::new(),
            // One in the middle of the first tile, one over the border of the second and the third, its middle in the second.
            truth: vec![fault(1, at(70.0, 70.0, 80.0, 80.0)), fault(2, at(290.0, 10.0, 330.0, 20.0))],
            size: (640, 330),
            micros: 0,
        };
        let found = vec![finding(1, 0.9, at(72.0, 72.0, 82.0, 82.0)), finding(1, 0.9, at(400.0, 200.0, 410.0, 210.0))];
        let result = tiles(&[piece], &[found]);
        // Eight tiles: two defective (one escapes), one touched, five clean (one overkilled).
        assert_eq!((result.defective, result.clean), (2, 5));
        assert!((result.escape - 0.5).abs() < 1e-12 && (result.overkill - 0.2).abs() < 1e-12);
    }
}
