//! The threshold of a skewed distribution: run-out cannot be negative, a hole cannot be smaller than its drill.
//!
//! Invariant: the threshold found lies below the smallest reading, and is a local maximum of the profile likelihood between
//! neighbours on both sides.

use super::fit::{Family, Fitted, weibull};
use crate::study::StudyError;

/// Steps of the search, evenly in the logarithm of the distance below the smallest reading.
const STEPS: u32 = 160;
/// The distances searched, in ranges of the readings: from a millionth to a thousand.
const NEAREST: f64 = -13.815_510_557_964_274;
const FARTHEST: f64 = 6.907_755_278_982_137;

/// Fit with a threshold: the other parameters are those of maximum likelihood for what lies above it. Of several local maxima
/// the most likely.
pub(super) fn fit(data: &[f64], is_weibull: bool) -> Result<Fitted, StudyError> {
    let least = data.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = data.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at = |log_distance: f64| {
        let threshold = least - (greatest - least) * log_distance.exp();
        let above: Vec<f64> = data.iter().map(|value| value - threshold).collect();
        let fitted = if is_weibull {
            weibull(&above.iter().map(|value| value.ln()).collect::<Vec<_>>(), threshold)
        } else {
            Fitted::to(&above, Family::Lognormal).map(|fitted| moved(fitted, threshold))
        };
        fitted.map(|fitted| (fitted.log_likelihood(data), fitted)).ok().filter(|(likelihood, _)| likelihood.is_finite())
    };
    let likelihood = |log_distance: f64| at(log_distance).map_or(f64::NEG_INFINITY, |(likelihood, _)| likelihood);
    let step = (FARTHEST - NEAREST) / f64::from(STEPS);
    let profile: Vec<f64> = (0..=STEPS).map(|i| likelihood(NEAREST + step * f64::from(i))).collect();
    let peaks = profile.windows(3).zip(1_u32..).filter(|(near, _)| near[1].is_finite() && near[0] < near[1] && near[1] >= near[2]);
    let highest = peaks.max_by(|(a, _), (b, _)| a[1].total_cmp(&b[1])).map(|(_, place)| NEAREST + step * f64::from(place));
    let missing = StudyError::NotConverged { what: "a threshold below the readings" };
    let Some(highest) = highest else { return Err(missing) };
    let (mut low, mut high) = (highest - step, highest + step);
    // Golden section: between the neighbours of a grid point that is higher than both.
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..40 {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if likelihood(left) >= likelihood(right) { high = right } else { low = left }
    }
    at(low.midpoint(high)).map(|(_, fitted)| fitted).ok_or(missing)
}

fn moved(fitted: Fitted, threshold: f64) -> Fitted {
    match fitted {
        Fitted::Lognormal { log_mean, log_std_dev, .. } => Fitted::Lognormal { log_mean, log_std_dev, threshold },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a known distribution at (i − 1/2)/n stand in for readings.
    fn ideal(fitted: &Fitted, count: u32) -> Vec<f64> {
        (1..=count).map(|i| fitted.quantile((f64::from(i) - 0.5) / f64::from(count))).collect()
    }

    #[test]
    fn thresholds_are_found_again() {
        let weibull = Fitted::Weibull { shape: 2.5, scale: 3.0, threshold: 11.0 };
        let lognormal = Fitted::Lognormal { log_mean: 0.5, log_std_dev: 0.4, threshold: -2.0 };
        for (truth, family) in [(weibull, Family::WeibullThreshold), (lognormal, Family::LognormalThreshold)] {
            let data = ideal(&truth, 400);
            let found = Fitted::to(&data, family).unwrap();
            assert!((found.threshold() - truth.threshold()).abs() < 0.1, "{found:?}");
            assert!((found.quantile(0.998_65) - truth.quantile(0.998_65)).abs() < 0.05, "{found:?}");
            assert!(found.log_likelihood(&data) >= truth.log_likelihood(&data));
        }
    }

    #[test]
    fn the_threshold_moves_with_the_readings() {
        let data = ideal(&Fitted::Weibull { shape: 2.0, scale: 1.0, threshold: 5.0 }, 60);
        let moved: Vec<f64> = data.iter().map(|value| 3.0 * value - 40.0).collect();
        let (here, there) = (Fitted::to(&data, Family::WeibullThreshold).unwrap(), Fitted::to(&moved, Family::WeibullThreshold).unwrap());
        assert!((3.0 * here.threshold() - 40.0 - there.threshold()).abs() < 1e-5, "{here:?} {there:?}");
    }

    #[test]
    fn readings_without_a_threshold_are_refused() {
        // Skewed to the left: the likelihood of a lognormal threshold rises all the way down.
        let data: Vec<f64> = ideal(&Fitted::Weibull { shape: 12.0, scale: 1.0, threshold: 0.0 }, 50);
        assert!(matches!(Fitted::to(&data, Family::LognormalThreshold), Err(StudyError::NotConverged { .. })));
        assert!(matches!(Fitted::to(&data[..2], Family::WeibullThreshold), Err(StudyError::TooFew { .. })));
    }
}
