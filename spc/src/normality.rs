//! Whether readings may be called normal, before a capability index says so, and the transform that helps when not.
//!
//! Invariants: every test takes mean and standard deviation from the readings themselves; statistics do not change when
//! readings are shifted, scaled by a positive number or reordered; a p-value is within 0..=1. Ties (a coarse gauge) are
//! taken as they come and make every test reject sooner.

use serde::{Deserialize, Serialize};

use crate::distribution::{normal_above, normal_below, normal_quantile};
use crate::study::{self, StudyError, real};

/// A test statistic and its p-value: the probability of a statistic at least this extreme if the readings were normal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The statistic, without unit.
    pub statistic: f64,
    /// Probability under normality; small speaks against it.
    pub p: f64,
}

/// Anderson–Darling A², unadjusted, with the p-value of the statistic adjusted for the sample size.
///
/// Source: M. A. Stephens in D'Agostino and Stephens, Goodness-of-Fit Techniques (1986), table 4.9 (case 3).
///
/// # Errors
/// Fewer than 8 readings, NaN or infinite ones, or readings that do not vary.
pub fn anderson_darling(data: &[f64]) -> Result<Test, StudyError> {
    let scores = Scores::of(data, 8)?;
    let n = real(data.len());
    let pairs = scores.z.iter().zip(scores.z.iter().rev()).zip(1..);
    let total = study::sum(pairs.map(|((low, high), rank)| f64::from(2 * rank - 1) * (normal_below(*low).ln() + normal_above(*high).ln())));
    let statistic = -n - total / n;
    let adjusted = (1.0 + 0.75 / n + 2.25 / (n * n)) * statistic;
    let p = if adjusted < 0.2 {
        1.0 - parabola(adjusted, [-13.436, 101.14, -223.73]).exp()
    } else if adjusted < 0.34 {
        1.0 - parabola(adjusted, [-8.318, 42.796, -59.938]).exp()
    } else if adjusted < 0.6 {
        parabola(adjusted, [0.9177, -4.279, -1.38]).exp()
    } else if adjusted < 10.0 {
        parabola(adjusted, [1.2937, -5.709, 0.0186]).exp()
    } else {
        // The formula's value at 10; beyond it the parabola would turn up again.
        parabola(10.0, [1.2937, -5.709, 0.0186]).exp()
    };
    tested(statistic, p)
}

/// Cramér–von Mises W², unadjusted, with the p-value of the adjusted statistic.
///
/// Source: M. A. Stephens in D'Agostino and Stephens, Goodness-of-Fit Techniques (1986), table 4.9 (case 3).
///
/// # Errors
/// As [`anderson_darling`].
pub fn cramer_von_mises(data: &[f64]) -> Result<Test, StudyError> {
    let scores = Scores::of(data, 8)?;
    let n = real(data.len());
    let step = |(z, rank): (&f64, i32)| {
        let gap = normal_below(*z) - f64::from(2 * rank - 1) / (2.0 * n);
        gap * gap
    };
    let statistic = 1.0 / (12.0 * n) + study::sum(scores.z.iter().zip(1..).map(step));
    let adjusted = (1.0 + 0.5 / n) * statistic;
    let p = if adjusted < 0.0275 {
        1.0 - parabola(adjusted, [-13.953, 775.5, -12_542.61]).exp()
    } else if adjusted < 0.051 {
        1.0 - parabola(adjusted, [-5.903, 179.546, -1515.29]).exp()
    } else if adjusted < 0.092 {
        parabola(adjusted, [0.886, -31.62, 10.897]).exp()
    } else {
        // As above: the parabola's lowest point on its published range is at 1.1.
        parabola(adjusted.min(1.1), [1.111, -34.242, 12.832]).exp()
    };
    tested(statistic, p)
}

/// Kolmogorov–Smirnov D with estimated mean and standard deviation (Lilliefors).
///
/// p after G. E. Dallal and L. Wilkinson, The American Statistician 40 (1986) 294–296, which they give up to 0.1; above, the
/// quartics in Stephens' modified statistic `D (√n − 0.01 + 0.85/√n)` by which statistical programs print it (an
/// approximation to about 0.01; M. A. Stephens, JASA 69 (1974) 730–737, gives the statistic and its table).
///
/// # Errors
/// As [`anderson_darling`], from 5 readings.
pub fn lilliefors(data: &[f64]) -> Result<Test, StudyError> {
    let scores = Scores::of(data, 5)?;
    let n = real(data.len());
    let gap = |(z, index): (&f64, i32)| {
        let share = normal_below(*z);
        (f64::from(index + 1) / n - share).max(share - f64::from(index) / n)
    };
    let statistic = scores.z.iter().zip(0..).map(gap).fold(0.0, f64::max);
    let (scaled, size) = if n > 100.0 { (statistic * (n / 100.0).powf(0.49), 100.0) } else { (statistic, n) };
    let root = (size + 2.780_19).sqrt();
    let small =
        -7.012_56 * scaled * scaled * root * root + 2.995_87 * scaled * root - 0.122_119 + 0.974_598 / size.sqrt() + 1.679_97 / size;
    let mut p = small.exp();
    if p > 0.1 {
        let modified = (n.sqrt() - 0.01 + 0.85 / n.sqrt()) * statistic;
        p = if modified <= 0.302 {
            1.0
        } else if modified <= 0.5 {
            polynomial(modified, &[2.767_73, -19.828_315, 80.709_644, -138.551_52, 81.218_052])
        } else if modified <= 0.9 {
            polynomial(modified, &[-4.901_232, 40.662_806, -97.490_286, 94.029_866, -32.355_711])
        } else if modified <= 1.31 {
            polynomial(modified, &[6.198_765, -19.558_097, 23.186_922, -12.234_627, 2.423_045])
        } else {
            0.0
        };
    }
    tested(statistic, p)
}

/// Shapiro–Wilk W.
///
/// Source: P. Royston, "Remark AS R94", Applied Statistics 44 (1995) 547–551 (weights and p-value).
///
/// # Errors
/// Fewer than 3 or more than 5000 readings, NaN or infinite ones, or readings that do not vary.
pub fn shapiro_wilk(data: &[f64]) -> Result<Test, StudyError> {
    let scores = Scores::of(data, 3)?;
    at_most_5000(data)?;
    let n = real(data.len());
    let weights = royston_weights(data.len());
    let contrast = study::sum(weights.iter().zip(&scores.z).map(|(weight, z)| weight * z));
    let statistic = (contrast * contrast / study::sum(scores.z.iter().map(|z| z * z))).min(1.0);
    if data.len() == 3 {
        let p = 6.0 / std::f64::consts::PI * (statistic.sqrt().asin() - 0.75_f64.sqrt().asin());
        return tested(statistic, p);
    }
    let (short, log) = ((1.0 - statistic).ln(), n.ln());
    let z = if data.len() <= 11 {
        let gamma = polynomial(n, &[-2.273, 0.459]);
        if short >= gamma {
            return tested(statistic, 0.0);
        }
        let mean = polynomial(n, &[0.544, -0.399_78, 0.025_054, -6.714e-4]);
        let spread = polynomial(n, &[1.3822, -0.778_57, 0.062_767, -0.002_032_2]).exp();
        (-(gamma - short).ln() - mean) / spread
    } else {
        let mean = polynomial(log, &[-1.5861, -0.310_82, -0.083_751, 0.003_891_5]);
        let spread = polynomial(log, &[-0.4803, -0.082_676, 0.003_030_2]).exp();
        (short - mean) / spread
    };
    tested(statistic, normal_above(z))
}

/// Shapiro–Francia W′: squared correlation with Blom's normal scores.
///
/// Source: P. Royston, "A pocket-calculator algorithm for the Shapiro–Francia test", Statistics in Medicine 12 (1993) 181–184.
///
/// # Errors
/// As [`shapiro_wilk`], from 5 readings.
pub fn shapiro_francia(data: &[f64]) -> Result<Test, StudyError> {
    let scores = Scores::of(data, 5)?;
    at_most_5000(data)?;
    let blom = blom_scores(data.len());
    let cross = study::sum(scores.z.iter().zip(&blom).map(|(z, score)| z * score));
    let sizes = study::sum(scores.z.iter().map(|z| z * z)) * study::sum(blom.iter().map(|score| score * score));
    let statistic = (cross * cross / sizes).min(1.0);
    let log = real(data.len()).ln();
    let (mean, spread) = (-1.2725 + 1.0521 * (log.ln() - log), 1.0308 - 0.267_58 * (log.ln() + 2.0 / log));
    tested(statistic, normal_above(((1.0 - statistic).ln() - mean) / spread))
}

/// A power transform `(x^λ − 1)/λ`, `ln x` at λ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoxCox {
    /// The power.
    pub lambda: f64,
    /// Profile log-likelihood at it, up to a constant that depends on the readings only.
    pub log_likelihood: f64,
    /// The best power is an end of the range searched: a better one may lie beyond.
    pub at_edge: bool,
}

impl BoxCox {
    /// The most likely power on the grid `low, low + step, …, high`; the first of equals.
    ///
    /// Source: G. E. P. Box and D. R. Cox, "An analysis of transformations", JRSS B 26 (1964) 211–252, equation 8.
    ///
    /// # Errors
    /// Fewer than 3 readings; readings that are not above zero or do not vary; a range or step that gives no grid of 2 to
    /// 100 000 powers.
    pub fn on_grid(data: &[f64], low: f64, high: f64, step: f64) -> Result<Self, StudyError> {
        let logs = centred_logs(data)?;
        let steps = ((high - low) / step).round();
        let fits = low.is_finite() && step > 0.0 && (1.0..100_000.0).contains(&steps);
        if !fits {
            return Err(StudyError::Setting { what: "step of the power", value: step, wanted: "2 to 100000 powers between low and high" });
        }
        let powers = (0..100_000).map(f64::from).take_while(|i| *i <= steps).map(|i| low + i * step);
        let mut best = Self { lambda: low, log_likelihood: f64::NEG_INFINITY, at_edge: true };
        for lambda in powers {
            let log_likelihood = profile(&logs, lambda);
            if log_likelihood > best.log_likelihood {
                best = Self { lambda, log_likelihood, at_edge: false };
            }
        }
        best.at_edge = (best.lambda - low).min(low + steps * step - best.lambda) < 0.5 * step;
        Ok(best)
    }

    /// The most likely power within −5..=5, to about 1e-8.
    ///
    /// # Errors
    /// As [`BoxCox::on_grid`].
    pub fn best(data: &[f64]) -> Result<Self, StudyError> {
        let coarse = Self::on_grid(data, -5.0, 5.0, 0.05)?;
        let logs = centred_logs(data)?;
        let (mut low, mut high) = ((coarse.lambda - 0.05).max(-5.0), (coarse.lambda + 0.05).min(5.0));
        // Golden section: between the neighbours of the best grid point the likelihood has one peak.
        let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
        for _ in 0..40 {
            let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
            if profile(&logs, left) >= profile(&logs, right) { high = right } else { low = left }
        }
        let lambda = low.midpoint(high);
        Ok(Self { lambda, log_likelihood: profile(&logs, lambda), at_edge: coarse.at_edge })
    }

    /// A reading on the transformed scale; `None` for one that is not above zero or leaves the range of numbers.
    #[must_use]
    pub fn transform(&self, value: f64) -> Option<f64> {
        let log = (value > 0.0).then(|| value.ln())?;
        Some(power_of(log, self.lambda)).filter(|transformed| transformed.is_finite())
    }
}

/// `(e^(λ·log) − 1)/λ`, without loss near λ = 0.
fn power_of(log: f64, lambda: f64) -> f64 {
    let exponent = lambda * log;
    // Below this the next term of the series is under rounding.
    if exponent.abs() < 1e-15 { log } else { exponent.exp_m1() / lambda }
}

/// Logarithms less their mean: dividing by the geometric mean turns the likelihood into a plain sum of squares.
fn centred_logs(data: &[f64]) -> Result<Vec<f64>, StudyError> {
    study::positive(data, 3)?;
    let logs: Vec<f64> = data.iter().map(|value| value.ln()).collect();
    let centre = study::mean(&logs);
    let centred: Vec<f64> = logs.iter().map(|log| log - centre).collect();
    if centred.iter().all(|log| *log == centred[0]) {
        return Err(StudyError::NoVariation { what: "readings" });
    }
    Ok(centred)
}

fn profile(logs: &[f64], lambda: f64) -> f64 {
    let transformed: Vec<f64> = logs.iter().map(|log| power_of(*log, lambda)).collect();
    -0.5 * real(logs.len()) * study::squares(&transformed, study::mean(&transformed)).ln()
}

/// Sorted readings less their mean, in standard deviations.
struct Scores {
    z: Vec<f64>,
}

impl Scores {
    fn of(data: &[f64], needed: usize) -> Result<Self, StudyError> {
        study::finite(data, needed)?;
        let centre = study::mean(data);
        let squares = study::squares(data, centre);
        let std_dev = (squares / (real(data.len()) - 1.0)).sqrt();
        let sorted = study::sorted(data);
        if sorted.first() == sorted.last() || !study::varies(squares) {
            return Err(StudyError::NoVariation { what: "readings" });
        }
        Ok(Self { z: sorted.iter().map(|value| (value - centre) / std_dev).collect() })
    }
}

fn at_most_5000(data: &[f64]) -> Result<(), StudyError> {
    if data.len() > 5000 { Err(StudyError::TooMany { what: "readings", most: 5000, got: data.len() }) } else { Ok(()) }
}

fn blom_scores(count: usize) -> Vec<f64> {
    (0..count).map(|index| normal_quantile((real(index) + 0.625) / (real(count) + 0.25))).collect()
}

/// Weights of the sorted readings, antisymmetric and of length 1: Blom's scores, the outer one or two corrected.
fn royston_weights(count: usize) -> Vec<f64> {
    if count == 3 {
        return vec![-0.5_f64.sqrt(), 0.0, 0.5_f64.sqrt()];
    }
    let scores = blom_scores(count);
    let length = study::sum(scores.iter().map(|score| score * score));
    let u = 1.0 / real(count).sqrt();
    let outer = polynomial(u, &[0.0, 0.221_157, -0.147_981, -2.071_19, 4.434_685, -2.706_056]) - scores[0] / length.sqrt();
    let next = polynomial(u, &[0.0, 0.042_981, -0.293_762, -1.752_461, 5.682_633, -3.582_633]) - scores[1] / length.sqrt();
    let corrected: &[f64] = if count > 5 { &[outer, next] } else { &[outer] };
    let rest = length - 2.0 * study::sum(scores.iter().zip(corrected).map(|(score, _)| score * score));
    let scale = (rest / (1.0 - 2.0 * study::sum(corrected.iter().map(|weight| weight * weight)))).sqrt();
    let mut weights: Vec<f64> = scores.iter().map(|score| score / scale).collect();
    for (index, weight) in corrected.iter().enumerate() {
        weights[index] = -weight;
        weights[count - 1 - index] = *weight;
    }
    weights
}

fn parabola(x: f64, [constant, linear, square]: [f64; 3]) -> f64 {
    constant + x * (linear + x * square)
}

/// Coefficients from the constant up.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |value, coefficient| value * x + coefficient)
}

fn tested(statistic: f64, p: f64) -> Result<Test, StudyError> {
    // One reading so far out that its probability is zero has no finite logarithm.
    if !statistic.is_finite() {
        return Ok(Test { statistic: f64::MAX, p: 0.0 });
    }
    Ok(Test { statistic, p: p.clamp(0.0, 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of men in Snedecor and Cochran, as in the Shapiro–Wilk paper's example; reference scipy.stats.shapiro.
    const WEIGHTS: [f64; 11] = [148.0, 154.0, 158.0, 160.0, 161.0, 162.0, 166.0, 170.0, 182.0, 195.0, 236.0];

    #[test]
    fn agrees_with_published_example() {
        let test = shapiro_wilk(&WEIGHTS).unwrap();
        assert!((test.statistic - 0.788_8).abs() < 5e-4, "{test:?}");
        assert!((test.p - 0.006_7).abs() < 2e-4, "{test:?}");
    }

    #[test]
    fn statistics_do_not_depend_on_unit_or_order() {
        let moved: Vec<f64> = WEIGHTS.iter().rev().map(|weight| 3.0 + weight * 0.453_592_37).collect();
        for test in [anderson_darling, cramer_von_mises, lilliefors, shapiro_wilk, shapiro_francia] {
            let (before, after) = (test(&WEIGHTS).unwrap(), test(&moved).unwrap());
            assert!((before.statistic - after.statistic).abs() < 1e-12);
            assert!((0.0..0.1).contains(&before.p), "a heavy man is an outlier: {before:?}");
        }
    }

    #[test]
    fn normal_scores_look_normal_and_extremes_stay_numbers() {
        let normal: Vec<f64> = blom_scores(50);
        let far: Vec<f64> = (0..2000).map(|i| if i == 0 { 1e9 } else { f64::from(i % 7) }).collect();
        for test in [anderson_darling, cramer_von_mises, lilliefors, shapiro_wilk, shapiro_francia] {
            assert!(test(&normal).unwrap().p > 0.9);
            let outlier = test(&far).unwrap();
            assert!(outlier.p < 1e-6 && outlier.statistic.is_finite(), "{outlier:?}");
            assert_eq!(test(&[2.0; 20]), Err(StudyError::NoVariation { what: "readings" }));
            assert!(matches!(test(&[2.0, 1.0]), Err(StudyError::TooFew { .. })));
        }
    }

    #[test]
    fn logarithms_of_lognormal_readings_are_found() {
        let lognormal: Vec<f64> = blom_scores(200).iter().map(|score| (1.0 + 0.5 * score).exp()).collect();
        let found = BoxCox::best(&lognormal).unwrap();
        assert!(found.lambda.abs() < 1e-6 && !found.at_edge, "{found:?}");
        assert!((found.transform(std::f64::consts::E).unwrap() - 1.0).abs() < 1e-6);
        assert_eq!(found.transform(-1.0), None);
        assert!(matches!(BoxCox::best(&[1.0, 0.0, 2.0]), Err(StudyError::NotPositive { place: 2, .. })));
    }
}
