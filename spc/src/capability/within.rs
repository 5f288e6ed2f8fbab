//! The short-term spread: what is left when differences between subgroups are taken out.
//!
//! Invariants: every estimator is unbiased for normal readings; the degrees of freedom are at most readings − subgroups.

use serde::{Deserialize, Serialize};

use crate::chart::constants::{c4, d2, d3};
use crate::distribution::ln_gamma;
use crate::limits::Constants;
use crate::study::{self, StudyError, real};

/// How the spread within subgroups is estimated. Names in brackets after I. W. Burr, Journal of Quality Technology 1 (1969)
/// 163–167, and the R package qcc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithinMethod {
    /// Mean of range/d2 (UWAVE-R); subgroups of at most 100.
    MeanRange,
    /// Mean of range/d2, weighted by (d2/d3)² for the smallest variance (MVLUE-R); subgroups of at most 100.
    WeightedRange,
    /// Mean of standard deviation/c4 (UWAVE-SD); subgroups of at most 100.
    MeanStdDev,
    /// Mean of standard deviation/c4, weighted by c4²/(1 − c4²) for the smallest variance (MVLUE-SD); subgroups of at most 100.
    WeightedStdDev,
    /// Pooled standard deviation/c4 (RMSDF).
    Pooled,
}

/// Short-term standard deviation and the degrees of freedom by which the intervals of the Cp family widen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Within {
    /// Standard deviation, in the unit of the readings.
    pub sigma: f64,
    /// Degrees of freedom. The constructors give Σ(nᵢ − 1); programs that take n − 1 of all readings instead (qcc) get their
    /// intervals by changing it.
    pub freedom: f64,
}

impl Within {
    /// From subgroups of possibly different size; subgroups of one reading are passed over. With printed constants d2 has three
    /// decimals, to reproduce reports made so.
    ///
    /// # Errors
    /// No subgroup of two or more; NaN or infinite readings (place in the subgroup); subgroups larger than the method's
    /// constants; no variation within any subgroup.
    pub fn of_subgroups(subgroups: &[Vec<f64>], method: WithinMethod, constants: Constants) -> Result<Self, StudyError> {
        let (mut estimates, mut weights) = (0.0, 0.0);
        let (mut squares, mut freedom) = (0.0, 0.0);
        for subgroup in subgroups {
            study::finite(subgroup, 0)?;
            if subgroup.len() < 2 {
                continue;
            }
            let squared = study::squares(subgroup, study::mean(subgroup));
            squares += squared;
            freedom += real(subgroup.len() - 1);
            let std_dev = (squared / real(subgroup.len() - 1)).sqrt();
            let too_many = StudyError::TooMany { what: "readings in a subgroup", most: 100, got: subgroup.len() };
            let (estimate, weight) = method.estimate(subgroup, std_dev, constants).ok_or(too_many)?;
            estimates += weight * estimate;
            weights += weight;
        }
        if freedom == 0.0 {
            return Err(StudyError::TooFew { what: "subgroups of two or more readings", needed: 1, got: 0 });
        }
        let sigma = if method == WithinMethod::Pooled { (squares / freedom).sqrt() / c4_of(freedom) } else { estimates / weights };
        Self::checked(sigma, freedom)
    }

    /// From single readings in their order: mean range of `span` neighbours/d2, with n − 1 degrees of freedom.
    ///
    /// # Errors
    /// Fewer readings than `span`, a span outside 2..=100, NaN or infinite readings, readings that do not vary.
    pub fn of_moving_ranges(data: &[f64], span: u32, constants: Constants) -> Result<Self, StudyError> {
        let divisor =
            printed(d2(span), constants).ok_or(StudyError::Setting { what: "span", value: f64::from(span), wanted: "2 to 100" })?;
        let span = usize::try_from(span).unwrap_or(usize::MAX);
        study::finite(data, span)?;
        let ranges: Vec<f64> = data.windows(span).map(range).collect();
        Self::checked(study::mean(&ranges) / divisor, real(data.len() - 1))
    }

    /// From single readings: sample standard deviation/c4, without regard to their order.
    ///
    /// # Errors
    /// Fewer than two readings, NaN or infinite ones, readings that do not vary.
    pub fn of_all(data: &[f64]) -> Result<Self, StudyError> {
        study::finite(data, 2)?;
        let freedom = real(data.len() - 1);
        Self::checked((study::squares(data, study::mean(data)) / freedom).sqrt() / c4_of(freedom), freedom)
    }

    fn checked(sigma: f64, freedom: f64) -> Result<Self, StudyError> {
        let spread = sigma > 0.0 && sigma.is_finite();
        if spread { Ok(Self { sigma, freedom }) } else { Err(StudyError::NoVariation { what: "readings within subgroups" }) }
    }
}

impl WithinMethod {
    /// Estimate and weight of one subgroup; `None` where its size has no constants.
    fn estimate(self, subgroup: &[f64], std_dev: f64, constants: Constants) -> Option<(f64, f64)> {
        let size = u32::try_from(subgroup.len()).ok()?;
        Some(match self {
            Self::MeanRange => (range(subgroup) / printed(d2(size), constants)?, 1.0),
            Self::WeightedRange => {
                let (divisor, spread) = (printed(d2(size), constants)?, d3(size)?);
                (range(subgroup) / divisor, (divisor / spread) * (divisor / spread))
            }
            Self::MeanStdDev => (std_dev / c4(size)?, 1.0),
            Self::WeightedStdDev => {
                let divisor = c4(size)?;
                (std_dev / divisor, divisor * divisor / (1.0 - divisor * divisor))
            }
            Self::Pooled => (0.0, 0.0),
        })
    }
}

/// As the constant stands in a printed table, where that is asked for.
fn printed(constant: Option<f64>, constants: Constants) -> Option<f64> {
    constant.map(|exact| if constants == Constants::Printed { (exact * 1000.0).round() / 1000.0 } else { exact })
}

fn range(readings: &[f64]) -> f64 {
    readings.iter().copied().fold(f64::NEG_INFINITY, f64::max) - readings.iter().copied().fold(f64::INFINITY, f64::min)
}

/// c4 of `freedom + 1` readings, for any number of them.
fn c4_of(freedom: f64) -> f64 {
    (2.0 / freedom).sqrt() * (ln_gamma(0.5 * freedom + 0.5) - ln_gamma(0.5 * freedom)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimators_agree_for_pairs() {
        // For two readings range and standard deviation are the same thing: s = R/√2 and d2(2) = √2 c4(2).
        let pairs: Vec<Vec<f64>> = (1..30).map(|i| vec![f64::from(i), f64::from(i) + f64::from(i % 5) * 0.1]).collect();
        let by_range = Within::of_subgroups(&pairs, WithinMethod::MeanRange, Constants::Exact).unwrap();
        let by_deviation = Within::of_subgroups(&pairs, WithinMethod::MeanStdDev, Constants::Exact).unwrap();
        assert!((by_range.sigma - by_deviation.sigma).abs() < 1e-13);
        assert_eq!(by_range.freedom, 29.0);
        // Equal subgroups have equal weights.
        for (weighted, plain) in [(WithinMethod::WeightedRange, by_range), (WithinMethod::WeightedStdDev, by_deviation)] {
            let weighted = Within::of_subgroups(&pairs, weighted, Constants::Exact).unwrap();
            assert!((weighted.sigma - plain.sigma).abs() < 1e-13);
        }
        let table = Within::of_subgroups(&pairs, WithinMethod::MeanRange, Constants::Printed).unwrap();
        assert!((table.sigma * 1.128 - by_range.sigma * d2(2).unwrap()).abs() < 1e-13);
        assert!((Within::of_all(&[0.0, 2.0]).unwrap().sigma - 2.0_f64.sqrt() / c4(2).unwrap()).abs() < 1e-13);
        assert!((c4_of(4.0) - c4(5).unwrap()).abs() < 1e-13);
    }

    #[test]
    fn moving_ranges_by_hand() {
        let within = Within::of_moving_ranges(&[1.0, 2.0, 4.0], 2, Constants::Exact).unwrap();
        assert!((within.sigma - 1.5 / (2.0 / std::f64::consts::PI.sqrt())).abs() < 1e-12);
        assert!(
            Within::of_moving_ranges(&[1.0, 1.0], 2, Constants::Exact).is_err()
                && Within::of_moving_ranges(&[1.0], 2, Constants::Exact).is_err()
        );
        assert!(Within::of_subgroups(&[vec![1.0]], WithinMethod::Pooled, Constants::Exact).is_err());
    }
}
