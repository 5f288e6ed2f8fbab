//! Skewed distributions of real characteristics (run-out, roughness, time), fitted by maximum likelihood.
//!
//! Invariants: a fit never has a lower likelihood than its neighbours ([`Family::LognormalSample`] apart, which is not one of
//! maximum likelihood); fits follow the unit of the readings (twice the readings, twice the scale, same shape).

use serde::{Deserialize, Serialize};

use super::threshold;
use crate::distribution::{
    digamma, gamma_above, gamma_below, gamma_quantile, ln_gamma, normal_above, normal_below, normal_quantile, quantile,
};
use crate::study::{self, StudyError, real};

/// A distribution with its parameters, in the unit of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Fitted {
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std_dev: f64,
    },
    /// The logarithm of what lies above the threshold is normal.
    Lognormal {
        /// Mean of the natural logarithms.
        log_mean: f64,
        /// Standard deviation of the natural logarithms.
        log_std_dev: f64,
        /// Nothing lies below; 0 in the distribution with two parameters.
        threshold: f64,
    },
    /// Weibull.
    Weibull {
        /// Shape.
        shape: f64,
        /// Scale: 63.2 % of all readings lie less than this above the threshold.
        scale: f64,
        /// Nothing lies below; 0 in the distribution with two parameters.
        threshold: f64,
    },
    /// Gamma.
    Gamma {
        /// Shape.
        shape: f64,
        /// Rate, per unit of the readings.
        rate: f64,
    },
    /// Exponential.
    Exponential {
        /// Rate, per unit of the readings.
        rate: f64,
    },
}

/// Which distribution to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Normal; the standard deviation with divisor n.
    Normal,
    /// Lognormal; the standard deviation of the logarithms with divisor n, as maximum likelihood has it.
    Lognormal,
    /// Lognormal; the standard deviation of the logarithms with divisor n − 1, as Minitab and JASP print it.
    LognormalSample,
    /// Lognormal with a threshold of its own.
    LognormalThreshold,
    /// Weibull, two parameters.
    Weibull,
    /// Weibull with a threshold of its own.
    WeibullThreshold,
    /// Gamma.
    Gamma,
    /// Exponential.
    Exponential,
}

impl Fitted {
    /// Maximum-likelihood fit.
    ///
    /// Source: N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1, chapters 13, 14, 17, 19, 21.
    /// The equations for the shapes of Weibull and gamma have one root, found by bisection to the last bit. A threshold is the
    /// local maximum of the likelihood (A. C. Cohen and B. J. Whitten, American Journal of Mathematical and Management
    /// Sciences 1 (1981) 139–153), because close to the smallest reading the likelihood grows without bound. Ties are taken as
    /// they come.
    ///
    /// # Errors
    /// Fewer than two readings (three where a threshold is sought); NaN or infinite ones; readings that do not vary; for all
    /// but the normal distribution and those with a threshold, readings that are not above zero; a threshold without a local
    /// maximum, where the readings ask for the distribution with two parameters or the normal one.
    pub fn to(data: &[f64], family: Family) -> Result<Self, StudyError> {
        match family {
            Family::Normal => study::finite(data, 2)?,
            Family::LognormalThreshold | Family::WeibullThreshold => study::finite(data, 3)?,
            _ => study::positive(data, 2)?,
        }
        if data.iter().all(|value| *value == data[0]) {
            return Err(StudyError::NoVariation { what: "readings" });
        }
        let moments = |values: &[f64]| {
            let mean = study::mean(values);
            (mean, (study::squares(values, mean) / real(values.len())).sqrt())
        };
        let logs = || data.iter().map(|value| value.ln()).collect::<Vec<f64>>();
        Ok(match family {
            Family::Normal => {
                let (mean, std_dev) = moments(data);
                Self::Normal { mean, std_dev }
            }
            Family::Lognormal => {
                let (log_mean, log_std_dev) = moments(&logs());
                Self::Lognormal { log_mean, log_std_dev, threshold: 0.0 }
            }
            Family::LognormalSample => {
                let (log_mean, log_std_dev) = moments(&logs());
                let count = real(data.len());
                Self::Lognormal { log_mean, log_std_dev: log_std_dev * (count / (count - 1.0)).sqrt(), threshold: 0.0 }
            }
            Family::LognormalThreshold | Family::WeibullThreshold => threshold::fit(data, family == Family::WeibullThreshold)?,
            Family::Exponential => Self::Exponential { rate: 1.0 / study::mean(data) },
            Family::Weibull => weibull(&logs(), 0.0)?,
            Family::Gamma => {
                let (mean, log_mean) = (study::mean(data), study::mean(&logs()));
                let shape = root("gamma shape", |log_shape| digamma(log_shape.exp()) - log_shape + mean.ln() - log_mean)?.exp();
                Self::Gamma { shape, rate: shape / mean }
            }
        })
    }

    /// The value that nothing lies below: the threshold where there is one, −∞ for the normal distribution, else 0.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        match *self {
            Self::Normal { .. } => f64::NEG_INFINITY,
            Self::Lognormal { threshold, .. } | Self::Weibull { threshold, .. } => threshold,
            Self::Gamma { .. } | Self::Exponential { .. } => 0.0,
        }
    }

    /// Share of all readings below `x`; NaN where `x` is.
    #[must_use]
    pub fn below(&self, x: f64) -> f64 {
        match *self {
            Self::Normal { mean, std_dev } => normal_below((x - mean) / std_dev),
            Self::Gamma { shape, rate } => gamma_below(rate * x, shape),
            _ if x <= self.threshold() => 0.0,
            Self::Lognormal { log_mean, log_std_dev, threshold } => normal_below(((x - threshold).ln() - log_mean) / log_std_dev),
            Self::Weibull { shape, scale, threshold } => -(-((x - threshold) / scale).powf(shape)).exp_m1(),
            Self::Exponential { rate } => -(-rate * x).exp_m1(),
        }
    }

    /// Share of all readings above `x`, accurate where it is small; NaN where `x` is.
    #[must_use]
    pub fn above(&self, x: f64) -> f64 {
        match *self {
            Self::Normal { mean, std_dev } => normal_above((x - mean) / std_dev),
            Self::Gamma { shape, rate } => gamma_above(rate * x, shape),
            _ if x <= self.threshold() => 1.0,
            Self::Lognormal { log_mean, log_std_dev, threshold } => normal_above(((x - threshold).ln() - log_mean) / log_std_dev),
            Self::Weibull { shape, scale, threshold } => (-((x - threshold) / scale).powf(shape)).exp(),
            Self::Exponential { rate } => (-rate * x).exp(),
        }
    }

    /// The value below which the share `p` of all readings lies; NaN for a share outside 0..=1.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        if p.is_nan() || !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        match *self {
            Self::Normal { mean, std_dev } => mean + std_dev * normal_quantile(p),
            Self::Lognormal { log_mean, log_std_dev, threshold } => threshold + (log_mean + log_std_dev * normal_quantile(p)).exp(),
            Self::Weibull { shape, scale, threshold } => threshold + scale * (-(-p).ln_1p()).powf(1.0 / shape),
            Self::Gamma { shape, rate } => gamma_quantile(p, shape) / rate,
            Self::Exponential { rate } => -(-p).ln_1p() / rate,
        }
    }

    /// Natural logarithm of the likelihood of readings; −∞ where one is impossible, NaN where one is NaN, 0 without readings.
    #[must_use]
    pub fn log_likelihood(&self, data: &[f64]) -> f64 {
        let density = |x: f64| match *self {
            Self::Normal { mean, std_dev } => log_normal_density((x - mean) / std_dev) - std_dev.ln(),
            _ if x <= self.threshold() => f64::NEG_INFINITY,
            Self::Lognormal { log_mean, log_std_dev, threshold } => {
                let log = (x - threshold).ln();
                log_normal_density((log - log_mean) / log_std_dev) - log_std_dev.ln() - log
            }
            Self::Weibull { shape, scale, threshold } => {
                let of_scale = (x - threshold) / scale;
                (shape / scale).ln() + (shape - 1.0) * of_scale.ln() - of_scale.powf(shape)
            }
            Self::Gamma { shape, rate } => shape * rate.ln() - ln_gamma(shape) + (shape - 1.0) * x.ln() - rate * x,
            Self::Exponential { rate } => rate.ln() - rate * x,
        };
        data.iter().map(|x| density(*x)).sum()
    }
}

fn log_normal_density(z: f64) -> f64 {
    -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::PI).ln()
}

/// `Σ xᵏ ln x / Σ xᵏ − 1/k = mean ln x`, rising in k. Readings are divided by the largest, so that powers stay in range.
pub(super) fn weibull(logs: &[f64], threshold: f64) -> Result<Fitted, StudyError> {
    let greatest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let logs: Vec<f64> = logs.iter().map(|log| log - greatest).collect();
    let mean = study::mean(&logs);
    let powers = |shape: f64| study::sum(logs.iter().map(|log| (shape * log).exp()));
    let excess = |log_shape: f64| {
        let shape: f64 = log_shape.exp();
        study::sum(logs.iter().map(|log| (shape * log).exp() * log)) / powers(shape) - 1.0 / shape - mean
    };
    let shape = root("Weibull shape", excess)?.exp();
    Ok(Fitted::Weibull { shape, scale: (greatest + (powers(shape) / real(logs.len())).ln() / shape).exp(), threshold })
}

/// Where a rising function of the logarithm of a shape crosses zero, for shapes from e⁻²⁰ to e²⁰.
fn root(what: &'static str, excess: impl Fn(f64) -> f64) -> Result<f64, StudyError> {
    let found = quantile(1.0, -20.0, 20.0, |log| f64::from(u8::from(excess(log) >= 0.0)));
    if found > -20.0 && found < 20.0 { Ok(found) } else { Err(StudyError::NotConverged { what }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 7] = [
        Family::Normal,
        Family::Lognormal,
        Family::LognormalThreshold,
        Family::Weibull,
        Family::WeibullThreshold,
        Family::Gamma,
        Family::Exponential,
    ];

    fn readings() -> Vec<f64> {
        // Skewed to the right, as run-out is: some distance above zero, few large values.
        let evenly = |i: i32| (f64::from((i * 37) % 59) + 0.5) / 59.0;
        (1..60).map(|i| 0.3 + 2.0 * (-(-evenly(i)).ln_1p()).powf(0.6)).collect()
    }

    #[test]
    fn no_neighbour_is_likelier() {
        let data = readings();
        for family in FAMILIES {
            let best = Fitted::to(&data, family).unwrap();
            let top = best.log_likelihood(&data);
            for (first, second) in [(1.001, 1.0), (0.999, 1.0), (1.0, 1.001), (1.0, 0.999)] {
                let near = match best {
                    Fitted::Normal { mean, std_dev } => Fitted::Normal { mean: mean * first, std_dev: std_dev * second },
                    Fitted::Lognormal { log_mean, log_std_dev, threshold } => {
                        Fitted::Lognormal { log_mean: log_mean * first, log_std_dev: log_std_dev * second, threshold }
                    }
                    Fitted::Weibull { shape, scale, threshold } => {
                        Fitted::Weibull { shape: shape * first, scale: scale * second, threshold }
                    }
                    Fitted::Gamma { shape, rate } => Fitted::Gamma { shape: shape * first, rate: rate * second },
                    Fitted::Exponential { rate } => Fitted::Exponential { rate: rate * first * second },
                };
                assert!(near.log_likelihood(&data) < top, "{best:?} {near:?}");
            }
        }
    }

    #[test]
    fn quantiles_invert_and_shares_add_up() {
        for family in FAMILIES {
            let fitted = Fitted::to(&readings(), family).unwrap();
            for p in [0.001_35, 0.1, 0.5, 0.998_65] {
                let x = fitted.quantile(p);
                assert!((fitted.below(x) - p).abs() < 1e-12, "{fitted:?} {p}");
                assert!((fitted.below(x) + fitted.above(x) - 1.0).abs() < 1e-12);
            }
            assert!(fitted.quantile(1.5).is_nan());
        }
    }

    #[test]
    fn fits_follow_the_unit() {
        let doubled: Vec<f64> = readings().iter().map(|value| 2.0 * value).collect();
        let (Ok(Fitted::Weibull { shape, scale, .. }), Ok(Fitted::Weibull { shape: same, scale: twice, .. })) =
            (Fitted::to(&readings(), Family::Weibull), Fitted::to(&doubled, Family::Weibull))
        else {
            panic!("a Weibull fit is a Weibull distribution");
        };
        assert!((shape - same).abs() < 1e-12 && (2.0 * scale - twice).abs() < 1e-12);
    }

    #[test]
    fn refuses_what_cannot_be_fitted() {
        assert!(matches!(Fitted::to(&[1.0, 0.0], Family::Gamma), Err(StudyError::NotPositive { place: 2, .. })));
        assert!(matches!(Fitted::to(&[1.0, 1.0], Family::Weibull), Err(StudyError::NoVariation { .. })));
        assert!(matches!(Fitted::to(&[1.0], Family::Normal), Err(StudyError::TooFew { .. })));
    }
}
