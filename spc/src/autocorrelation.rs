//! Values that remember their predecessor, and the chart that judges what is new in each of them.
//!
//! Rules and limits assume that points in control are independent. Slow processes watched often are not: tanks, furnaces, a
//! belt that wanders. [`Autocorrelation`] says whether that is so; [`ResidualChart`] then predicts each value from the one
//! before it and charts the error of the prediction.
//!
//! Invariants: everything given is finite; a refused value changes nothing; the model is frozen with the limits.

use serde::{Deserialize, Serialize};

use crate::batch::{self, BatchError};
use crate::chart::{Chart, ChartKind, Observation, Sample, SampleError, check_value};
use crate::distribution::{chi_square_above, normal_quantile};
use crate::limits::{Limits, Settings, SettingsError};
use crate::sum::Sum;

/// Why a series says nothing about its memory.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AutocorrelationError {
    /// A value cannot be used; it is named.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A lag needs values so far apart.
    #[error("{used} values are too few; at least {least} are needed")]
    TooFew {
        /// Values, or pairs of neighbours, that can be used.
        used: usize,
        /// Fewest that suffice.
        least: usize,
    },
    /// Every value is the same: nothing varies, so nothing can vary together.
    #[error("the values do not vary")]
    NoVariation,
    /// The residuals give no limits.
    #[error(transparent)]
    Limits(#[from] BatchError),
}

/// The portmanteau test of "no autocorrelation up to this lag".
///
/// Source: G. M. Ljung and G. E. P. Box, "On a measure of lack of fit in time series models", Biometrika 65(2), 1978, 297–303.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LjungBox {
    /// `n(n+2) Σ rₖ²/(n−k)`.
    pub statistic: f64,
    /// How many lags it looks at: its degrees of freedom.
    pub lags: u32,
    /// Probability of such a statistic, or a larger one, from independent values.
    pub p: f64,
}

/// How much a series remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Autocorrelation {
    /// Values looked at.
    pub values: u32,
    /// r₁, r₂, …: `Σ (xₜ − x̄)(xₜ₊ₖ − x̄) / Σ (xₜ − x̄)²`, between −1 and 1.
    pub coefficients: Vec<f64>,
    /// The test of all of them together.
    pub ljung_box: LjungBox,
}

impl Autocorrelation {
    /// Of the series in the order of production, up to this lag; at least 1. Five to ten lags suit 25 to 100 values.
    ///
    /// The coefficients divide by n (biased), as usual. Ties are nothing special.
    /// Source: Montgomery, Introduction to Statistical Quality Control, section 10.4.1; Box, Jenkins and Reinsel, Time Series
    /// Analysis, section 2.1.
    ///
    /// # Errors
    /// [`AutocorrelationError`]: a value that is not finite, fewer than `lags` + 2 values, or values that do not vary.
    pub fn of(series: &[f64], lags: u32) -> Result<Self, AutocorrelationError> {
        check(series)?;
        let furthest = usize::try_from(lags).unwrap_or(usize::MAX).max(1);
        let least = furthest.saturating_add(2);
        if series.len() < least {
            return Err(AutocorrelationError::TooFew { used: series.len(), least });
        }
        let away = distances(series);
        let total = sum(away.iter().map(|x| x * x));
        if total < f64::MIN_POSITIVE {
            return Err(AutocorrelationError::NoVariation);
        }
        let products = |lag: usize| sum(away.iter().zip(&away[lag..]).map(|(a, b)| a * b));
        let coefficients: Vec<f64> = (1..=furthest).map(|lag| products(lag) / total).collect();
        let n = real(series.len());
        let weighed = coefficients.iter().enumerate().map(|(before, r)| r * r / (n - real(before + 1)));
        let statistic = n * (n + 2.0) * sum(weighed);
        let lags = count(furthest);
        let ljung_box = LjungBox { statistic, lags, p: chi_square_above(statistic, f64::from(lags)) };
        Ok(Self { values: count(series.len()), coefficients, ljung_box })
    }

    /// Whether ordinary limits would be wrong: independent values would look so correlated with a probability below `risk`
    /// (0.05 or 0.01). Then chart with [`ResidualChart`], or measure less often.
    #[must_use]
    pub fn needs_residual_chart(&self, risk: f64) -> bool {
        self.ljung_box.p < risk
    }

    /// Single coefficients of independent values stay within ± this with probability `1 − risk`: `z/√n`.
    /// Source: M. S. Bartlett, Journal of the Royal Statistical Society Supplement 8 (1946) 27–41. `None` unless `risk` lies between 0 and 1.
    #[must_use]
    pub fn band(&self, risk: f64) -> Option<f64> {
        (risk > 0.0 && risk < 1.0).then(|| -normal_quantile(0.5 * risk) / f64::from(self.values).sqrt())
    }
}

/// The first-order autoregressive model `xₜ = intercept + phi · xₜ₋₁ + error`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ar1 {
    /// In the unit of the values.
    pub intercept: f64,
    /// How much of a deviation is still there at the next value. Below −1 or above 1 the process has no level to return to.
    pub phi: f64,
}

impl Ar1 {
    /// Least squares over neighbouring values. Pairs of which one is in `excluded` (numbered from 1) are left out.
    ///
    /// Source: Montgomery, Introduction to Statistical Quality Control, section 10.4.1; Box, Jenkins and Reinsel, Time Series
    /// Analysis, section 7.3 (conditional least squares).
    ///
    /// # Errors
    /// [`AutocorrelationError`]: a value that is not finite, fewer than 3 pairs, or predecessors that do not vary.
    pub fn fit(series: &[f64], excluded: &[u64]) -> Result<Self, AutocorrelationError> {
        check(series)?;
        let kept: Vec<bool> = (1u64..).take(series.len()).map(|number| !excluded.contains(&number)).collect();
        let usable = |t: &usize| kept[*t - 1] && kept[*t];
        let (before, now): (Vec<f64>, Vec<f64>) = (1..series.len()).filter(usable).map(|t| (series[t - 1], series[t])).unzip();
        if before.len() < 3 {
            return Err(AutocorrelationError::TooFew { used: before.len(), least: 3 });
        }
        let (x, y) = (distances(&before), distances(&now));
        let spread = sum(x.iter().map(|x| x * x));
        if spread < f64::MIN_POSITIVE {
            return Err(AutocorrelationError::NoVariation);
        }
        let phi = sum(x.iter().zip(&y).map(|(x, y)| x * y)) / spread;
        Ok(Self { intercept: mean(&now) - phi * mean(&before), phi })
    }

    /// What this value brings that its predecessor did not announce; in the unit of the values.
    #[must_use]
    pub fn residual(&self, before: f64, now: f64) -> f64 {
        now - (self.intercept + self.phi * before)
    }
}

/// An individuals chart of what each value brings that its predecessor did not announce, with frozen model and limits.
///
/// Source: L. C. Alwan and H. V. Roberts, "Time-series modeling for statistical process control", Journal of Business &
/// Economic Statistics 6(1), 1988, 87–95; Montgomery, section 10.4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResidualChart {
    model: Ar1,
    chart: Chart,
    last: Option<f64>,
    index: u64,
}

impl ResidualChart {
    /// Fits the model to phase I, and sets limits from the moving ranges of its residuals. Values in `excluded` (numbered
    /// from 1) take part in neither, nor does a residual that would need one of them.
    ///
    /// # Errors
    /// [`AutocorrelationError`].
    pub fn phase_one(series: &[f64], excluded: &[u64], settings: &Settings) -> Result<Self, AutocorrelationError> {
        let model = Ar1::fit(series, excluded)?;
        let residuals: Vec<Sample> = series.windows(2).map(|pair| Sample::Value(model.residual(pair[0], pair[1]))).collect();
        // Residual t belongs to values t and t + 1.
        let without: Vec<u64> = excluded.iter().flat_map(|number| [number.saturating_sub(1), *number]).collect();
        let limits = batch::estimate(ChartKind::Individuals, &residuals, &without, settings)?;
        Ok(Self::new(model, limits, settings).map_err(BatchError::from)?)
    }

    /// A chart at its first value, with model and limits of the residuals from elsewhere.
    ///
    /// # Errors
    /// Limits or run lengths that no chart can be made of.
    pub fn new(model: Ar1, limits: Limits, settings: &Settings) -> Result<Self, SettingsError> {
        let chart = Chart::new(limits, settings.rules, settings.range_rules)?;
        Ok(Self { model, chart, last: None, index: 0 })
    }

    /// Judges the next value by its residual. `None` for the first one, which has no predecessor. Points carry the number
    /// of the value.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the value had not come.
    pub fn push(&mut self, value: f64) -> Result<Option<Observation>, SampleError> {
        let index = self.index.saturating_add(1);
        check_value(value, index)?;
        let observation = match self.last {
            None => None,
            Some(before) => {
                let residual = self.model.residual(before, value);
                check_value(residual, index)?;
                let mut observation = self.chart.push(Sample::Value(residual))?;
                observation.point.index = index;
                if let Some(range) = &mut observation.moving_range {
                    range.index = index;
                }
                Some(observation)
            }
        };
        self.last = Some(value);
        self.index = index;
        Ok(observation)
    }

    /// Every value in order, from where this chart stands: the same arithmetic as value by value, so the same bits.
    ///
    /// # Errors
    /// [`SampleError`], naming the value.
    pub fn batch(mut self, series: &[f64]) -> Result<Vec<Option<Observation>>, SampleError> {
        series.iter().map(|value| self.push(*value)).collect()
    }

    /// After a stop that was released: the next value has no predecessor, and unfinished patterns are forgotten.
    pub fn restart_runs(&mut self) {
        self.last = None;
        self.chart.restart_runs();
    }

    /// The frozen model.
    #[must_use]
    pub fn model(&self) -> Ar1 {
        self.model
    }

    /// The frozen limits of the residuals.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.chart.limits()
    }
}

fn check(series: &[f64]) -> Result<(), SampleError> {
    series.iter().zip(1u64..).try_for_each(|(value, point)| check_value(*value, point))
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    terms.for_each(|term| sum.add(term));
    sum.value()
}

fn mean(values: &[f64]) -> f64 {
    let origin = values.first().copied().unwrap_or(0.0);
    origin + sum(values.iter().map(|value| value - origin)) / real(values.len())
}

fn distances(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|value| value - mean).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn real(number: usize) -> f64 {
    f64::from(count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 1, 3, 2, 4 has mean 2.5, distances −1.5, 0.5, −0.5, 1.5 and squares 5 in all.
    #[test]
    fn coefficients_are_those_worked_by_hand() {
        let found = Autocorrelation::of(&[1.0, 3.0, 2.0, 4.0], 2).unwrap();
        assert_eq!(found.coefficients, [-1.75 / 5.0, 1.5 / 5.0]);
        let statistic = 24.0 * (0.35 * 0.35 / 3.0 + 0.3 * 0.3 / 2.0);
        assert!((found.ljung_box.statistic - statistic).abs() < 1e-12);
        // Two degrees of freedom: the tail of chi-square is exp(−x/2).
        assert!((found.ljung_box.p - (-0.5 * statistic).exp()).abs() < 1e-12);
        assert!((found.band(0.05).unwrap() - 1.959_963_984_540_05 / 2.0).abs() < 1e-12);
        assert_eq!((found.band(0.0), found.band(f64::NAN)), (None, None));
    }

    /// A line that halves its distance from 10 at every step, disturbed once, is known exactly.
    #[test]
    fn the_model_finds_what_made_the_series() {
        let series = [2.0, 6.0, 8.0, 9.0, 19.5, 14.75, 12.375];
        let model = Ar1::fit(&series, &[5]).unwrap();
        assert!((model.phi - 0.5).abs() < 1e-12 && (model.intercept - 5.0).abs() < 1e-11, "{model:?}");
        let limits = Limits::given(0.0, 1.0, &Settings::values()).unwrap();
        let mut chart = ResidualChart::new(Ar1 { intercept: 5.0, phi: 0.5 }, limits, &Settings::values()).unwrap();
        let signals: Vec<_> = series.iter().map(|x| chart.push(*x).unwrap().is_some_and(|seen| seen.signals().next().is_some())).collect();
        // The disturbance signals once, though the series stays away from 10 for long; the moving range sees both its steps.
        assert_eq!(signals, [false, false, false, false, true, true, false]);
    }

    #[test]
    fn refuses_what_says_nothing() {
        assert_eq!(Autocorrelation::of(&[1.0; 9], 2).unwrap_err(), AutocorrelationError::NoVariation);
        assert_eq!(Autocorrelation::of(&[1.0, 2.0], 1).unwrap_err(), AutocorrelationError::TooFew { used: 2, least: 3 });
        assert_eq!(Autocorrelation::of(&[1.0, f64::NAN, 2.0], 1).unwrap_err(), SampleError::NotFinite { point: 2 }.into());
        assert_eq!(Ar1::fit(&[1.0, 1.0, 1.0, 1.0, 2.0], &[]).unwrap_err(), AutocorrelationError::NoVariation);
        let mut chart = ResidualChart::phase_one(&[1.0, 3.0, 2.0, 4.0, 2.0, 5.0], &[], &Settings::values()).unwrap();
        chart.push(2.0).unwrap();
        let before = chart.clone();
        assert_eq!(chart.push(f64::INFINITY), Err(SampleError::NotFinite { point: 2 }));
        assert_eq!(chart, before);
    }
}
