//! What a camera was shown and what it got wrong: the two error rates, their uncertainty, and whether they have moved.
//!
//! Invariants: counts fit each other (no more errors than pieces shown); rates are finite; the test for a moved camera uses
//! `+ − × ÷` alone.

use serde::{Deserialize, Serialize};

/// Which verdicts a chart counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdicts {
    /// Pieces, each good or bad: a p chart. A good piece is rejected or not.
    Pieces,
    /// Defects, any number on a unit: a u chart. On a flawless unit there can be several false calls.
    Defects,
}

/// Pieces of known state that the camera was shown, and its errors among them: master pieces at the start of a shift, or a study
/// with pieces that were judged by a better method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CameraStudy {
    /// Bad pieces (for [`Verdicts::Defects`]: defects) shown.
    pub bad_shown: u32,
    /// Those among them that were passed.
    pub missed: u32,
    /// Good pieces (for [`Verdicts::Defects`]: flawless units) shown.
    pub good_shown: u32,
    /// Good pieces rejected, or false calls on flawless units.
    pub false_calls: u32,
}

/// Why a study, limits or a chart were refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// More errors than pieces.
    #[error("{wrong} of {shown} {what}: a camera cannot be wrong more often than it was asked")]
    MoreThanShown {
        /// `missed` or `false calls`.
        what: &'static str,
        /// Errors stated.
        wrong: u32,
        /// Pieces stated.
        shown: u32,
    },
    /// A rate cannot be estimated from nothing.
    #[error("no {0} pieces were shown to the camera: a study needs bad and good ones")]
    NothingShown(&'static str),
    /// Misses and false rejects together reach one: the verdict says nothing about the piece.
    #[error("the camera misses {miss} and falsely rejects {false_reject} of what it is shown: no better than chance, repair it first")]
    NoBetterThanChance {
        /// Miss rate.
        miss: f64,
        /// False reject rate.
        false_reject: f64,
    },
    /// Nothing, or nothing but excluded samples, to estimate from.
    #[error("limits need at least one sample (two for Laney's factor) that is not excluded")]
    TooFew,
}

impl CameraStudy {
    /// Both together, as if shown in one go.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bad_shown: self.bad_shown.saturating_add(other.bad_shown),
            missed: self.missed.saturating_add(other.missed),
            good_shown: self.good_shown.saturating_add(other.good_shown),
            false_calls: self.false_calls.saturating_add(other.false_calls),
        }
    }

    /// # Errors
    /// [`CameraError`] for counts that do not fit each other, or a side of which nothing was shown.
    pub fn check(&self, verdicts: Verdicts) -> Result<(), CameraError> {
        let more = |what, wrong, shown| Err(CameraError::MoreThanShown { what, wrong, shown });
        match self {
            Self { bad_shown: 0, .. } => Err(CameraError::NothingShown("bad")),
            Self { good_shown: 0, .. } => Err(CameraError::NothingShown("good")),
            Self { bad_shown, missed, .. } if missed > bad_shown => more("missed", *missed, *bad_shown),
            Self { good_shown, false_calls, .. } if verdicts == Verdicts::Pieces && false_calls > good_shown => {
                more("false calls", *false_calls, *good_shown)
            }
            _ => Ok(()),
        }
    }

    /// Share of bad pieces, or of defects, that are passed.
    #[must_use]
    pub fn miss_rate(&self) -> f64 {
        f64::from(self.missed) / f64::from(self.bad_shown.max(1))
    }

    /// Share of good pieces that are rejected, or false calls per unit.
    #[must_use]
    pub fn false_rate(&self) -> f64 {
        f64::from(self.false_calls) / f64::from(self.good_shown.max(1))
    }

    /// Variances of the two rates. Half an error is added to either side, so that a study without an error is not
    /// taken for certainty (Jeffreys' prior: A. Agresti, Categorical Data Analysis, 3rd edition, section 1.6.2).
    pub(super) fn variances(&self, verdicts: Verdicts) -> (f64, f64) {
        let share = |wrong: u32, shown: u32| {
            let (wrong, shown) = (f64::from(wrong) + 0.5, f64::from(shown) + 1.0);
            wrong / shown * (1.0 - wrong / shown) / shown
        };
        let shown = f64::from(self.good_shown.max(1));
        let false_calls = match verdicts {
            Verdicts::Pieces => share(self.false_calls, self.good_shown),
            Verdicts::Defects => (f64::from(self.false_calls) + 0.5) / (shown * shown),
        };
        (share(self.missed, self.bad_shown), false_calls)
    }

    /// How surprising this study is if the camera still is as in `before`: the smaller of the two p-values, of the misses and of
    /// the false calls, each two-sided (twice the smaller tail).
    ///
    /// Conditional tests of equal rates: R. A. Fisher's exact test for shares of pieces, the binomial test of two Poisson
    /// rates for false calls on units (E. L. Lehmann, Testing Statistical Hypotheses, section 4.5).
    #[must_use]
    pub fn surprise(&self, before: &Self, verdicts: Verdicts) -> f64 {
        let misses = Comparison { now: (self.missed, self.bad_shown), before: (before.missed, before.bad_shown), shares: true };
        let calls = Comparison {
            now: (self.false_calls, self.good_shown),
            before: (before.false_calls, before.good_shown),
            shares: verdicts == Verdicts::Pieces,
        };
        misses.p_value().min(calls.p_value())
    }
}

/// Errors among cases, now and before, as `(wrong, shown)`.
struct Comparison {
    now: (u32, u32),
    before: (u32, u32),
    /// Shares of pieces, else rates per unit.
    shares: bool,
}

impl Comparison {
    /// Given all errors together, the distribution of those that fall into the present study does not depend on the rate. It is
    /// summed by the ratios of neighbouring probabilities, outwards from the observed count.
    fn p_value(&self) -> f64 {
        let (wrong, shown) = (f64::from(self.now.0), f64::from(self.now.1));
        let (wrong_before, shown_before) = (f64::from(self.before.0), f64::from(self.before.1));
        let total = wrong + wrong_before;
        if shown == 0.0 || shown_before == 0.0 || total == 0.0 {
            return 1.0;
        }
        // The probability of k + 1 over that of k.
        let ratio = |k: f64| {
            let one_more = (total - k) / (k + 1.0);
            if self.shares { one_more * ((shown - k) / (shown_before - total + k + 1.0)) } else { one_more * (shown / shown_before) }
        };
        let (least, most) = if self.shares { ((total - shown_before).max(0.0), total.min(shown)) } else { (0.0, total) };
        let (mut above, mut term, mut k) = (0.0, 1.0, wrong);
        while k < most && term > 0.0 {
            term *= ratio(k);
            above += term;
            k += 1.0;
        }
        let mut below = 0.0;
        (term, k) = (1.0, wrong);
        while k > least && term > 0.0 && below < 1e290 {
            k -= 1.0;
            term /= ratio(k);
            below += term;
        }
        let all = (1.0 + above + below).min(f64::MAX);
        (2.0 * (1.0 + above.min(below)) / all).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats: twice the smaller tail of hypergeom(1200, 33, 200) at 18 or more, and of binom(30, 1/6) at 12 or more.
    #[test]
    fn surprise_is_that_of_the_exact_tests() {
        let before = CameraStudy { bad_shown: 1000, missed: 15, good_shown: 1000, false_calls: 18 };
        let now = CameraStudy { bad_shown: 200, missed: 18, good_shown: 200, false_calls: 3 };
        let expected = 9.864_185_968_524_48e-7;
        assert!(
            (now.surprise(&before, Verdicts::Pieces) / expected - 1.0_f64).abs() < 1e-10,
            "{}",
            now.surprise(&before, Verdicts::Pieces)
        );
        let now = CameraStudy { bad_shown: 200, missed: 3, good_shown: 200, false_calls: 12 };
        let expected = 0.004_064_671_424_434_884_5;
        assert!(
            (now.surprise(&before, Verdicts::Defects) / expected - 1.0_f64).abs() < 1e-10,
            "{}",
            now.surprise(&before, Verdicts::Defects)
        );
    }

    #[test]
    fn nothing_new_is_no_surprise() {
        let study = CameraStudy { bad_shown: 500, missed: 0, good_shown: 500, false_calls: 0 };
        assert_eq!(study.surprise(&study, Verdicts::Pieces), 1.0);
        let large = CameraStudy { bad_shown: 4_000_000, missed: 2_000_000, good_shown: 10, false_calls: 5 };
        let other = CameraStudy { missed: 100, ..large };
        for surprise in [large.surprise(&large, Verdicts::Pieces), other.surprise(&large, Verdicts::Pieces)] {
            assert!((0.0..=1.0).contains(&surprise), "{surprise}");
        }
    }

    #[test]
    fn impossible_studies_are_named() {
        let study = CameraStudy { bad_shown: 10, missed: 11, good_shown: 10, false_calls: 20 };
        assert_eq!(study.check(Verdicts::Pieces), Err(CameraError::MoreThanShown { what: "missed", wrong: 11, shown: 10 }));
        let study = CameraStudy { missed: 1, ..study };
        assert!(study.check(Verdicts::Pieces).is_err());
        assert_eq!(study.check(Verdicts::Defects), Ok(()));
        assert_eq!(CameraStudy { good_shown: 0, ..study }.check(Verdicts::Defects), Err(CameraError::NothingShown("good")));
    }
}
