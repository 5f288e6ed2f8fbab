//! Sequential sampling: piece after piece until the lot is clearly good or clearly bad, on average with half the pieces of a
//! single plan.
//!
//! Invariants: every plan ends, at the latest with its last piece; acceptance and rejection exclude each other; what
//! [`SequentialPlan::characteristic`] says is exact for the rule that [`SequentialPlan::decide`] applies.

use serde::{Deserialize, Serialize};

use super::{Model, RiskPoint, find_plan};
use crate::study::{self, StudyError};

/// What to do after the pieces inspected so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Accept the lot.
    Accept,
    /// Do not accept the lot.
    Reject,
    /// Inspect one more piece.
    GoOn,
}

/// Two parallel lines over the number of pieces inspected, and a last piece.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SequentialPlan {
    /// Accept at or below `slope · n − accept_intercept` nonconforming pieces.
    pub accept_intercept: f64,
    /// Reject at or above `slope · n + reject_intercept`.
    pub reject_intercept: f64,
    /// Nonconforming pieces per piece inspected.
    pub slope: f64,
    /// The last piece: then the lot is accepted at or below `slope · n`.
    pub last: u32,
}

/// What a plan does at one quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Characteristic {
    /// Probability of acceptance.
    pub acceptance: f64,
    /// Mean number of pieces inspected.
    pub average_sample_number: f64,
}

impl SequentialPlan {
    /// Wald's plan through two points of the operating characteristic, cut off at one and a half times the single plan's sample.
    /// Both risks are kept approximately: decisions fall on whole pieces, and the cut takes the rest.
    ///
    /// Source: A. Wald, Sequential Analysis (1947), chapter 5; cut-off as in ISO 2859-5:2005; Montgomery, Introduction to Statistical
    /// Quality Control, section 15.3 (sequential sampling).
    ///
    /// # Errors
    /// As [`find_plan`].
    pub fn of(producer: RiskPoint, consumer: RiskPoint) -> Result<Self, StudyError> {
        let (single, _) = find_plan(producer, consumer, Model::Binomial)?;
        let (good, bad) = (producer.fraction, consumer.fraction);
        let (alpha, beta) = (1.0 - producer.acceptance, consumer.acceptance);
        let scale = (bad * (1.0 - good) / (good * (1.0 - bad))).ln();
        Ok(Self {
            accept_intercept: ((1.0 - alpha) / beta).ln() / scale,
            reject_intercept: ((1.0 - beta) / alpha).ln() / scale,
            slope: ((1.0 - good) / (1.0 - bad)).ln() / scale,
            last: single.saturating_mul(3).div_ceil(2),
        })
    }

    /// What to do when `found` of the first `inspected` pieces were nonconforming. Beyond the last piece as at it.
    #[must_use]
    pub fn decide(&self, inspected: u32, found: u32) -> Decision {
        let (line, found) = (self.slope * f64::from(inspected.min(self.last)), f64::from(found));
        if found <= line - self.accept_intercept {
            Decision::Accept
        } else if found >= line + self.reject_intercept {
            Decision::Reject
        } else if inspected < self.last {
            Decision::GoOn
        } else if found <= line {
            Decision::Accept
        } else {
            Decision::Reject
        }
    }

    /// Probability of acceptance and mean number of pieces at this fraction nonconforming of a running process, by following every
    /// path.
    ///
    /// # Errors
    /// A fraction that is NaN or not within 0 to 1.
    pub fn characteristic(&self, fraction: f64) -> Result<Characteristic, StudyError> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(StudyError::Setting { what: "fraction nonconforming", value: fraction, wanted: "0 to 1" });
        }
        let mut result = Characteristic { acceptance: 0.0, average_sample_number: 0.0 };
        // Probability of each number found, among lots that are still open.
        let mut open = vec![1.0];
        for inspected in 1..=self.last {
            result.average_sample_number += study::sum(open.iter().copied());
            let mut next = vec![0.0; open.len() + 1];
            for (found, weight) in open.iter().enumerate() {
                next[found] += weight * (1.0 - fraction);
                next[found + 1] += weight * fraction;
            }
            for (weight, found) in next.iter_mut().zip(0..) {
                match self.decide(inspected, found) {
                    Decision::GoOn => {}
                    Decision::Accept => result.acceptance += std::mem::take(weight),
                    Decision::Reject => *weight = 0.0,
                }
            }
            while next.last() == Some(&0.0) {
                next.pop();
            }
            open = next;
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SequentialPlan {
        let producer = RiskPoint { fraction: 0.01, acceptance: 0.95 };
        SequentialPlan::of(producer, RiskPoint { fraction: 0.06, acceptance: 0.1 }).unwrap()
    }

    /// Montgomery, Introduction to Statistical Quality Control, section 15.3: p1 = 0.01, α = 0.05, p2 = 0.06, β = 0.10 gives the
    /// lines 0.028 n − 1.22 and 0.028 n + 1.57; no lot is accepted before piece 44, none rejected before piece 2.
    #[test]
    fn agrees_with_the_textbook_example() {
        let plan = example();
        assert!((plan.accept_intercept - 1.22).abs() < 0.006 && (plan.reject_intercept - 1.57).abs() < 0.006);
        assert!((plan.slope - 0.028).abs() < 5e-4);
        assert_eq!((plan.decide(43, 0), plan.decide(44, 0)), (Decision::GoOn, Decision::Accept));
        assert_eq!((plan.decide(1, 1), plan.decide(2, 2)), (Decision::GoOn, Decision::Reject));
    }

    #[test]
    fn both_risks_are_about_kept_with_fewer_pieces() {
        let plan = example();
        let (good, bad) = (plan.characteristic(0.01).unwrap(), plan.characteristic(0.06).unwrap());
        assert!(good.acceptance > 0.94 && bad.acceptance < 0.12, "{good:?} {bad:?}");
        // The single plan inspects 110 pieces.
        assert!(good.average_sample_number < 80.0 && bad.average_sample_number < 80.0, "{good:?} {bad:?}");
        let curve: Vec<f64> = (0..=20).map(|i| plan.characteristic(0.01 * f64::from(i)).unwrap().acceptance).collect();
        assert!(curve[0] == 1.0 && curve.windows(2).all(|pair| pair[0] > pair[1]), "{curve:?}");
        assert_eq!(plan.characteristic(1.0).unwrap().average_sample_number, 2.0);
    }

    /// By hand: lines half a piece wide around 0.5 n and two pieces: accepted at 0 of 1, else rejected at 1 of 1.
    #[test]
    fn agrees_with_hand_calculation() {
        let plan = SequentialPlan { accept_intercept: 0.5, reject_intercept: 0.5, slope: 0.5, last: 2 };
        let found = plan.characteristic(0.3).unwrap();
        assert!((found.acceptance - 0.7).abs() < 1e-15 && found.average_sample_number == 1.0);
        // Too far apart to decide: the last piece does, by 1 of 2 or fewer.
        let wide = SequentialPlan { accept_intercept: 9.0, reject_intercept: 9.0, ..plan };
        assert!((wide.characteristic(0.3).unwrap().acceptance - 0.91).abs() < 1e-15);
        assert!(wide.characteristic(f64::NAN).is_err() && wide.characteristic(1.1).is_err());
    }
}
