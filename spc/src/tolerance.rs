//! Tolerance intervals: limits that hold a stated share of all pieces with a stated confidence, from a sample.
//!
//! Invariants: factors grow with the share and with the confidence and fall with the sample size; they do not depend on
//! the unit of the readings.

use serde::{Deserialize, Serialize};

use crate::distribution::{self, chi_square_below, noncentral_t_quantile, normal_below, normal_density, normal_quantile};
use crate::study::{self, StudyError, real};

/// Limits in the unit of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToleranceInterval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// The confidence reached, at least the one asked for.
    pub confidence: f64,
}

/// Exact factor k of the two-sided normal interval `mean ± k s`: with probability `confidence` it holds at least the share
/// `cover` of all pieces.
///
/// `confidence = ∫ P(χ²(n−1) ≥ (n−1) r(x)²/k²) √n φ(x√n) dx` with `Φ(x+r) − Φ(x−r) = cover`. Source: A. Wald and
/// J. Wolfowitz, Annals of Mathematical Statistics 17 (1946) 208–215; ISO 16269-6:2014, annex. Relative accuracy about 1e-11.
///
/// # Errors
/// Fewer than two readings; a share or confidence not between 0 and 1.
pub fn two_sided_factor(size: usize, cover: f64, confidence: f64) -> Result<f64, StudyError> {
    let freedom = checked(size, cover, confidence)?;
    let root = real(size).sqrt();
    // The trapezoid rule: the integrand is smooth and falls like a Gaussian, so that the error is below rounding. The mean
    // lies symmetrically, therefore one side with doubled weight.
    let node = |step: i32| {
        let z = f64::from(step) / 8.0;
        (half_width(z / root, cover), normal_density(z) / if step == 0 { 8.0 } else { 4.0 })
    };
    let nodes: Vec<(f64, f64)> = (0..=72).map(node).collect();
    let reached = |k: f64| {
        let held = |&(half, weight): &(f64, f64)| weight * (1.0 - chi_square_below(freedom * (half / k) * (half / k), freedom));
        study::sum(nodes.iter().map(held))
    };
    Ok(distribution::quantile(confidence, 1e-9, f64::INFINITY, reached))
}

/// The factor k of the two-sided normal interval as older tables print it: `r √(f/χ²(1 − confidence; f))` with f = n − 1 and
/// `Φ(1/√n + r) − Φ(1/√n − r) = cover`. Below the exact one by about 0.4 % at ten readings, to compare with reports made so.
///
/// Source: A. Wald and J. Wolfowitz, Annals of Mathematical Statistics 17 (1946) 208–215.
///
/// # Errors
/// As [`two_sided_factor`].
pub fn two_sided_factor_wald_wolfowitz(size: usize, cover: f64, confidence: f64) -> Result<f64, StudyError> {
    let freedom = checked(size, cover, confidence)?;
    let half = half_width(1.0 / real(size).sqrt(), cover);
    Ok(half * (freedom / distribution::chi_square_quantile(1.0 - confidence, freedom)).sqrt())
}

/// Exact factor k of the one-sided normal limit `mean + k s`: `t'(confidence; n − 1, z(cover) √n) / √n` with the noncentral
/// t distribution.
///
/// Source: ISO 16269-6:2014, 5.2 and annex; D. B. Owen, SIAM Review 10 (1968) 445–478.
///
/// # Errors
/// As [`two_sided_factor`].
pub fn one_sided_factor(size: usize, cover: f64, confidence: f64) -> Result<f64, StudyError> {
    let freedom = checked(size, cover, confidence)?;
    let root = real(size).sqrt();
    Ok(noncentral_t_quantile(confidence, freedom, normal_quantile(cover) * root) / root)
}

/// Two-sided normal tolerance interval of the readings.
///
/// # Errors
/// As [`two_sided_factor`]; NaN or infinite readings. Readings that do not vary give an interval of width 0.
pub fn normal(data: &[f64], cover: f64, confidence: f64) -> Result<ToleranceInterval, StudyError> {
    study::finite(data, 2)?;
    let k = two_sided_factor(data.len(), cover, confidence)?;
    let mean = study::mean(data);
    let std_dev = (study::squares(data, mean) / real(data.len() - 1)).sqrt();
    Ok(ToleranceInterval { low: mean - k * std_dev, high: mean + k * std_dev, confidence })
}

/// The interval from the smallest to the largest reading, drawn in from both sides as far as the confidence allows; no
/// assumption on the distribution. `None` where even the full range does not reach the confidence.
///
/// The share between the r-th smallest and the s-th largest of n is Beta(n − r − s + 1, r + s) distributed. Source: S. S. Wilks,
/// Annals of Mathematical Statistics 12 (1941) 91–96; ISO 16269-6:2014, clause 6.
///
/// # Errors
/// As [`normal`].
pub fn distribution_free(data: &[f64], cover: f64, confidence: f64) -> Result<Option<ToleranceInterval>, StudyError> {
    study::finite(data, 2)?;
    checked(data.len(), cover, confidence)?;
    let sorted = study::sorted(data);
    let reached = |left_out: usize| 1.0 - distribution::beta_below(cover, real(sorted.len() + 1 - left_out), real(left_out));
    // One reading is left out at each end at least: the limits themselves.
    let most = (2..sorted.len()).take_while(|left_out| reached(*left_out) >= confidence).last();
    Ok(most.map(|left_out| {
        let (below, above) = (left_out / 2, left_out - left_out / 2);
        ToleranceInterval { low: sorted[below - 1], high: sorted[sorted.len() - above], confidence: reached(left_out) }
    }))
}

fn checked(size: usize, cover: f64, confidence: f64) -> Result<f64, StudyError> {
    study::enough("readings", 2, size)?;
    study::share("share of pieces", cover)?;
    study::share("confidence", confidence)?;
    Ok(real(size - 1))
}

/// Half width that holds the share `cover` of a standard normal distribution, measured from `away` from its centre.
fn half_width(away: f64, cover: f64) -> f64 {
    distribution::quantile(cover, 0.0, f64::INFINITY, |half| normal_below(away + half) - normal_below(away - half))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO 16269-6:2014 and Odeh and Owen (1980) print 3 to 4 decimals: n = 10, 95 %/95 %: 3.379 two-sided (Wald–Wolfowitz
    /// approximation in older tables; exact 3.393), 2.911 one-sided; Wilks' n = 93 for 95 %/95 %.
    #[test]
    fn agrees_with_printed_tables() {
        assert!((one_sided_factor(10, 0.95, 0.95).unwrap() - 2.911).abs() < 6e-4);
        assert!((two_sided_factor(10, 0.95, 0.95).unwrap() - 3.393).abs() < 6e-4);
        assert!((two_sided_factor_wald_wolfowitz(10, 0.95, 0.95).unwrap() - 3.379).abs() < 6e-4);
        assert!((two_sided_factor(2, 0.9, 0.95).unwrap() - 31.092).abs() < 6e-3, "{:?}", two_sided_factor(2, 0.9, 0.95));
        let ramp = |n: i32| (1..=n).map(f64::from).collect::<Vec<_>>();
        assert_eq!(distribution_free(&ramp(92), 0.95, 0.95).unwrap(), None);
        let whole = distribution_free(&ramp(93), 0.95, 0.95).unwrap().unwrap();
        assert_eq!((whole.low, whole.high), (1.0, 93.0));
        assert!(whole.confidence >= 0.95 && whole.confidence < 0.955);
    }

    #[test]
    fn factors_are_monotone_and_reach_the_normal_quantile() {
        let factors: Vec<f64> = [5, 20, 100, 2000].iter().map(|n| two_sided_factor(*n, 0.99, 0.9).unwrap()).collect();
        assert!(factors.windows(2).all(|pair| pair[0] > pair[1]), "{factors:?}");
        assert!((factors[3] - 2.576).abs() < 0.1);
        assert!(two_sided_factor(1, 0.9, 0.9).is_err() && one_sided_factor(5, 1.0, 0.9).is_err());
    }
}
