//! Probability of detection: the smallest defect that the camera finds nine times of ten, and how sure that is.
//!
//! Invariants: the fitted probability moves one way with the size; a90/95 is never smaller than a90; data that separate cleanly
//! (all found above a size, none below) have no maximum-likelihood fit and are refused, because their interval is unknown.

use serde::{Deserialize, Serialize};

use crate::distribution::normal_quantile;
use crate::study::{self, StudyError};

/// One look at one defect of known size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Size of the defect, above zero.
    pub size: f64,
    /// The camera found it.
    pub found: bool,
}

/// `logit POD(a) = b0 + b1 ln a`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// b0.
    pub intercept: f64,
    /// b1: above zero where larger defects are found more often.
    pub slope: f64,
    /// Variances of b0 and b1 and their covariance.
    pub covariance: (f64, f64, f64),
}

impl Detection {
    /// Logistic regression on the logarithm of the size, by Newton's method.
    ///
    /// Source: MIL-HDBK-1823A (2009), section 4.5.2.2 and appendix G (hit/miss data).
    ///
    /// # Errors
    /// Fewer than four looks; sizes that are not above zero (by place) or do not vary; only hits, only misses, or hits and misses
    /// that a size separates.
    pub fn of(looks: &[Look]) -> Result<Self, StudyError> {
        let sizes: Vec<f64> = looks.iter().map(|look| look.size).collect();
        study::positive(&sizes, 4)?;
        let logs: Vec<f64> = sizes.iter().map(|size| size.ln()).collect();
        // Sizes are centred for the iteration, so that it does not depend on their unit.
        let centre = study::mean(&logs);
        if study::squares(&logs, centre) <= 0.0 {
            return Err(StudyError::NoVariation { what: "defect sizes" });
        }
        let extreme = |found: bool, pick: fn(f64, f64) -> f64, start: f64| {
            logs.iter().zip(looks).filter(|(_, look)| look.found == found).map(|(log, _)| *log).fold(start, pick)
        };
        let (low_hit, high_hit) = (extreme(true, f64::min, f64::INFINITY), extreme(true, f64::max, f64::NEG_INFINITY));
        let (low_miss, high_miss) = (extreme(false, f64::min, f64::INFINITY), extreme(false, f64::max, f64::NEG_INFINITY));
        if low_hit >= high_miss || low_miss >= high_hit {
            return Err(StudyError::NotConverged { what: "a curve through hits and misses that a size separates" });
        }
        let points: Vec<(f64, f64)> = logs.iter().zip(looks).map(|(log, look)| (log - centre, f64::from(u8::from(look.found)))).collect();
        let Fit { b0, b1, v00, v01, v11 } = newton(&points)?;
        // Back from centred logarithms: b0' = b0 − b1 c.
        let covariance = (v00 - 2.0 * centre * v01 + centre * centre * v11, v11, v01 - centre * v11);
        Ok(Self { intercept: b0 - b1 * centre, slope: b1, covariance })
    }

    /// Probability that a defect of this size is found; 0 at or below size 0, and for a size of NaN (for a rising curve).
    #[must_use]
    pub fn probability(&self, size: f64) -> f64 {
        // A curve that does not rise at all has the same height at size 0, whose logarithm is infinite.
        if self.slope == 0.0 { logistic(self.intercept) } else { logistic(self.intercept + self.slope * size.max(0.0).ln()) }
    }

    /// The size found with this probability: a90 at 0.9.
    ///
    /// # Errors
    /// A probability not between 0 and 1; a curve that does not rise.
    pub fn size(&self, probability: f64) -> Result<f64, StudyError> {
        let logit = logit(study::share("probability of detection", probability)?);
        if self.slope <= 0.0 {
            return Err(StudyError::NoVariation { what: "chances of detection (they do not rise with size)" });
        }
        Ok(((logit - self.intercept) / self.slope).exp())
    }

    /// The size that is found with this probability with this confidence: a90/95 at 0.9 and 0.95. It is where the one-sided
    /// lower confidence bound of the curve (Wald, on the logit scale) reaches the probability; `None` where it never does.
    ///
    /// # Errors
    /// As [`Detection::size`], for the confidence too.
    pub fn size_with_confidence(&self, probability: f64, confidence: f64) -> Result<Option<f64>, StudyError> {
        let best = self.size(probability)?;
        let z = normal_quantile(study::share("confidence", confidence)?);
        if z <= 0.0 {
            return Ok(Some(best));
        }
        let wanted = logit(probability);
        let (v00, v11, v01) = self.covariance;
        // (b0 + b1 x − L)² = z² (v00 + 2 x v01 + x² v11), the larger root.
        let a = self.slope * self.slope - z * z * v11;
        let b = 2.0 * (self.slope * (self.intercept - wanted) - z * z * v01);
        let c = (self.intercept - wanted) * (self.intercept - wanted) - z * z * v00;
        let under_root = b * b - 4.0 * a * c;
        Ok((a > 0.0 && under_root >= 0.0).then(|| ((-b + under_root.sqrt()) / (2.0 * a)).exp()))
    }
}

/// Coefficients with their variances and covariance.
struct Fit {
    b0: f64,
    b1: f64,
    v00: f64,
    v01: f64,
    v11: f64,
}

/// Maximum likelihood of `logit p = b0 + b1 x` with its inverse information.
fn newton(points: &[(f64, f64)]) -> Result<Fit, StudyError> {
    let (mut b0, mut b1) = (0.0, 0.0);
    for _ in 0..100 {
        let (mut g0, mut g1, mut i00, mut i01, mut i11) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, found) in points {
            let p = logistic(b0 + b1 * x);
            let weight = p * (1.0 - p);
            g0 += found - p;
            g1 += (found - p) * x;
            i00 += weight;
            i01 += weight * x;
            i11 += weight * x * x;
        }
        let determinant = i00 * i11 - i01 * i01;
        if determinant.is_nan() || determinant <= 0.0 {
            break;
        }
        let (d0, d1) = ((i11 * g0 - i01 * g1) / determinant, (i00 * g1 - i01 * g0) / determinant);
        // The likelihood is concave; a bounded step cannot run away from its peak.
        let scale = (5.0 / d0.abs().max(d1.abs())).min(1.0);
        b0 += scale * d0;
        b1 += scale * d1;
        if d0.abs().max(d1.abs()) <= 1e-12 * (1.0 + b0.abs().max(b1.abs())) {
            return Ok(Fit { b0, b1, v00: i11 / determinant, v01: -i01 / determinant, v11: i00 / determinant });
        }
    }
    Err(StudyError::NotConverged { what: "the detection curve" })
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sizes only: the fit passes through the observed shares, 1/4 at size 1 and 3/4 at size e; variances by hand.
    #[test]
    fn agrees_with_hand_calculation() {
        let look = |size: f64, found| Look { size, found };
        let big = std::f64::consts::E;
        let mut looks = vec![look(1.0, true), look(1.0, false), look(1.0, false), look(1.0, false)];
        looks.extend([look(big, true), look(big, true), look(big, true), look(big, false)]);
        let curve = Detection::of(&looks).unwrap();
        let third = 3.0_f64.ln();
        assert!((curve.intercept + third).abs() < 1e-9 && (curve.slope - 2.0 * third).abs() < 1e-9);
        // Binomial information of 4 looks: 4 · 3/16 = 3/4 at each size.
        let (v00, v11, v01) = curve.covariance;
        assert!((v00 - 4.0 / 3.0).abs() < 1e-9 && (v11 - 8.0 / 3.0).abs() < 1e-9 && (v01 + 4.0 / 3.0).abs() < 1e-9);
        assert!((curve.probability(1.0) - 0.25).abs() < 1e-9);
        assert!((curve.size(0.75).unwrap() - big).abs() < 1e-8);
    }

    #[test]
    fn the_bound_is_on_the_safe_side_and_follows_the_unit() {
        let looks = |unit: f64| -> Vec<Look> {
            (0..200)
                .map(|i| Look { size: unit * (0.2 + 0.01 * f64::from(i)), found: f64::from((i * 73) % 100) < f64::from(i) * 0.8 })
                .collect()
        };
        let (plain, scaled) = (Detection::of(&looks(1.0)).unwrap(), Detection::of(&looks(1000.0)).unwrap());
        let (a90, a9095) = (plain.size(0.9).unwrap(), plain.size_with_confidence(0.9, 0.95).unwrap().unwrap());
        assert!(a90 < a9095 && a9095 < 2.0 * a90, "{a90} {a9095}");
        assert!((scaled.size(0.9).unwrap() / a90 - 1000.0).abs() < 1e-6);
        assert!((scaled.size_with_confidence(0.9, 0.95).unwrap().unwrap() / a9095 - 1000.0).abs() < 1e-5);
        assert!((plain.size_with_confidence(0.9, 0.5).unwrap().unwrap() - a90).abs() < 1e-9);
    }

    #[test]
    fn refuses_clean_separation() {
        let looks: Vec<Look> = (1..=10).map(|i| Look { size: f64::from(i), found: i > 5 }).collect();
        assert!(matches!(Detection::of(&looks), Err(StudyError::NotConverged { .. })));
        let only: Vec<Look> = looks.iter().map(|look| Look { found: true, ..*look }).collect();
        assert!(matches!(Detection::of(&only), Err(StudyError::NotConverged { .. })));
        let flat: Vec<Look> = looks.iter().map(|look| Look { size: 1.0, ..*look }).collect();
        assert!(matches!(Detection::of(&flat), Err(StudyError::NoVariation { .. })));
        assert!(matches!(Detection::of(&[Look { size: 0.0, found: true }; 4]), Err(StudyError::NotPositive { place: 1, .. })));
    }
}
