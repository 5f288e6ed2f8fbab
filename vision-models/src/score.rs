//! Findings against the truth: what was missed, and what was called falsely. For reports only; no verdict depends on it.
//!
//! A finding belongs to a fault of any class if their boxes overlap by more than a tenth (intersection over union) or if
//! the middle of the finding lies in the fault's box: for the gate it matters that a bad place was seen, not its name.

use station::inspection::{ClassId, Finding, PixelBox};
use std::ops::AddAssign;

/// A fault that is known to be there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthBox {
    /// What it is.
    pub class: ClassId,
    /// Where it is, in pixels of the frame.
    pub bounds: PixelBox,
}

/// Counts over one or many pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Pieces counted.
    pub pieces: u64,
    /// Pieces with at least one fault.
    pub bad_pieces: u64,
    /// Pieces with a fault on which no finding was made at all.
    pub escapes: u64,
    /// Pieces without a fault on which a finding was made.
    pub overkills: u64,
    /// Faults.
    pub defects: u64,
    /// Faults that no finding belongs to.
    pub missed: u64,
    /// Findings that belong to no fault.
    pub false_calls: u64,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.pieces += other.pieces;
        self.bad_pieces += other.bad_pieces;
        self.escapes += other.escapes;
        self.overkills += other.overkills;
        self.defects += other.defects;
        self.missed += other.missed;
        self.false_calls += other.false_calls;
    }
}

/// Scores one piece. `findings` are those that count as defects: at or above their class's threshold.
#[must_use]
pub fn score(findings: &[Finding], truth: &[TruthBox]) -> Score {
    let missed = truth.iter().filter(|fault| !findings.iter().any(|finding| belongs(finding, fault))).count();
    let false_calls = findings.iter().filter(|finding| !truth.iter().any(|fault| belongs(finding, fault))).count();
    let bad = !truth.is_empty();
    Score {
        pieces: 1,
        bad_pieces: u64::from(bad),
        escapes: u64::from(bad && findings.is_empty()),
        overkills: u64::from(!bad && !findings.is_empty()),
        defects: count(truth.len()),
        missed: count(missed),
        false_calls: count(false_calls),
    }
}

/// True if the finding points at the fault.
#[must_use]
pub fn belongs(finding: &Finding, fault: &TruthBox) -> bool {
    let (a, b) = (&finding.bounds, &fault.bounds);
    let (x, y) = (f32::midpoint(a.x1, a.x2), f32::midpoint(a.y1, a.y2));
    let middle_inside = (b.x1..=b.x2).contains(&x) && (b.y1..=b.y2).contains(&y);
    middle_inside || overlap(a, b) > 0.1
}

/// Intersection over union of two boxes, 0…1.
#[must_use]
pub fn overlap(a: &PixelBox, b: &PixelBox) -> f32 {
    let area = |b: &PixelBox| (b.x2 - b.x1) * (b.y2 - b.y1);
    let wide = (a.x2.min(b.x2) - a.x1.max(b.x1)).max(0.0);
    let high = (a.y2.min(b.y2) - a.y1.max(b.y1)).max(0.0);
    let both = wide * high;
    both / (area(a) + area(b) - both).max(1e-9)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x1: f32, y1: f32, x2: f32, y2: f32) -> PixelBox {
        PixelBox { x1, y1, x2, y2 }
    }

    #[test]
    fn a_finding_counts_for_any_class_by_overlap_or_by_its_middle() {
        let finding = |bounds| Finding { class: ClassId(2), score: 0.9, bounds, area_mm2: None, camera: 0 };
        let truth = [
            TruthBox { class: ClassId(1), bounds: at(0.0, 0.0, 10.0, 10.0) },
            TruthBox { class: ClassId(3), bounds: at(100.0, 100.0, 104.0, 104.0) },
        ];
        let big_around_the_middle = finding(at(90.0, 90.0, 114.0, 114.0));
        let overlapping = finding(at(6.0, 0.0, 16.0, 10.0));
        let elsewhere = finding(at(50.0, 50.0, 60.0, 60.0));
        let all = score(&[big_around_the_middle, overlapping, elsewhere], &truth);
        assert_eq!((all.defects, all.missed, all.false_calls, all.escapes), (2, 0, 1, 0));
        let none = score(&[], &truth);
        assert_eq!((none.missed, none.escapes, none.overkills), (2, 1, 0));
        let clean = score(&[elsewhere], &[]);
        assert_eq!((clean.bad_pieces, clean.overkills, clean.false_calls), (0, 1, 1));
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        assert!((overlap(&at(0.0, 0.0, 2.0, 2.0), &at(1.0, 0.0, 3.0, 2.0)) - 1.0 / 3.0).abs() < 1e-6);
        assert!(overlap(&at(0.0, 0.0, 1.0, 1.0), &at(5.0, 5.0, 6.0, 6.0)).abs() < 1e-9);
    }
}
