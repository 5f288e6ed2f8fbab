//! Run lengths of charts for the spread: EWMA and CUSUM of the subgroup variance, and the mean and variance charts together.
//!
//! The statistic is fed with `S² = σ² χ²/df` of each subgroup, in units of the in-control variance; `df` is the subgroup size
//! less one where the mean is estimated from the subgroup.

use super::collocation::{Carry, Collocation, Edge, Pushed};
use super::cusum::combined;
use super::ewma::EwmaDesign;
use super::process::{Survival, converged_but_for, parameter_for, quantile};
use super::{AlarmError, open_share, wanted_length, within};

/// Which way an EWMA of the variance looks. Limits and barriers are values of the statistic itself; in control it is about 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum VarianceSides {
    /// Signals above `limit`.
    Upper {
        /// Upper limit.
        limit: f64,
    },
    /// Signals above `limit`, and is held at or above `barrier`.
    UpperWithBarrier {
        /// The value below which the statistic does not fall.
        barrier: f64,
        /// Upper limit.
        limit: f64,
    },
    /// Signals below `limit`, and is held at or below `barrier`.
    LowerWithBarrier {
        /// Lower limit.
        limit: f64,
        /// The value above which the statistic does not rise.
        barrier: f64,
    },
    /// Signals outside `lower ..= upper`.
    Both {
        /// Lower limit.
        lower: f64,
        /// Upper limit.
        upper: f64,
    },
}

/// An EWMA of subgroup variances, `z = (1−λ) z + λ S²`. S. V. Crowder, M. D. Hamilton, Journal of Quality Technology 24 (1992)
/// 12–21; exact run lengths: S. Knoth, Statistics and Computing 15 (2005) 341–352.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VarianceEwmaDesign {
    weight: f64,
    freedom: f64,
    sides: VarianceSides,
    start: f64,
}

impl VarianceEwmaDesign {
    /// With the weight `λ` of the newest subgroup and `freedom` degrees of freedom per subgroup. It starts at 1.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`]: a weight outside 0.005 … 1, degrees of freedom outside 1 … 1000, limits outside 0 … 100 or in the
    /// wrong order.
    pub fn new(weight: f64, freedom: f64, sides: VarianceSides) -> Result<Self, AlarmError> {
        within("the weight λ", weight, (0.005, 0.9999), "between 0.005 and 0.9999")?;
        degrees(freedom)?;
        let (low, high) = ends(sides);
        within("the lower limit or barrier", low, (0.0, 100.0), "between 0 and 100 in-control variances")?;
        within("the upper limit or barrier", high, (low + 1e-6, 100.0), "above the lower one and at most 100 in-control variances")?;
        Ok(Self { weight, freedom, sides, start: 1.0_f64.clamp(low, high) })
    }

    /// Starting at another value than 1.
    ///
    /// # Errors
    /// A start that is not between the limits: [`AlarmError::Parameter`].
    pub fn with_start(mut self, start: f64) -> Result<Self, AlarmError> {
        self.start = within("the start", start, ends(self.sides), "between the limits")?;
        Ok(self)
    }

    /// The same chart with the limit at which the in-control ARL is `run_length` subgroups; a barrier stays, and of a two-sided
    /// chart the upper limit stays.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a run length outside 1 … 1e12, [`AlarmError::Unreachable`].
    pub fn for_run_length(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let start = self.start;
        let design = |sides| Self::new(self.weight, self.freedom, sides)?.with_start(start);
        // Lower limits are sought downwards, so that the run length rises with the parameter.
        let sides = |parameter: f64| match self.sides {
            VarianceSides::Upper { .. } => VarianceSides::Upper { limit: start + parameter },
            VarianceSides::UpperWithBarrier { barrier, .. } => VarianceSides::UpperWithBarrier { barrier, limit: start + parameter },
            VarianceSides::LowerWithBarrier { barrier, .. } => {
                VarianceSides::LowerWithBarrier { limit: start / (1.0 + parameter), barrier }
            }
            VarianceSides::Both { upper, .. } => VarianceSides::Both { lower: start / (1.0 + parameter), upper },
        };
        let parameter = parameter_for(run_length, (1e-3, 20.0), |parameter| design(sides(parameter))?.average(1.0))?;
        design(sides(parameter))
    }

    /// Where it signals and where it is held.
    #[must_use]
    pub const fn sides(&self) -> VarianceSides {
        self.sides
    }

    /// Expected number of subgroups until a signal when the standard deviation has been `sigma` times the in-control one from
    /// the start.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a sigma outside 0.05 … 20, [`AlarmError::NeverEnds`] (from 1e10 on),
    /// [`AlarmError::NotConverged`].
    pub fn average(&self, sigma: f64) -> Result<f64, AlarmError> {
        average(self.process(sigma)?, self.start)
    }

    /// The run length that the share `share` of runs does not exceed, in subgroups.
    ///
    /// # Errors
    /// As [`VarianceEwmaDesign::average`], and [`AlarmError::Parameter`] for a share outside 0 … 1.
    pub fn quantile(&self, sigma: f64, share: f64) -> Result<u64, AlarmError> {
        open_share(share)?;
        let collocation = Collocation::of(self.process(sigma)?, 40)?;
        quantile(collocation.survival(self.start).skip(1), share)
    }

    /// Chance of no signal within the first `samples` subgroups.
    ///
    /// # Errors
    /// As [`VarianceEwmaDesign::average`].
    pub fn survival(&self, sigma: f64, samples: u32) -> Result<f64, AlarmError> {
        let process = self.process(sigma)?;
        let samples = usize::try_from(samples).unwrap_or(usize::MAX);
        converged_but_for(ROUNDING, |fineness| {
            // An iterator without an end has an element of every number.
            Collocation::of(process, 2 * fineness)?.survival(self.start).nth(samples).ok_or(AlarmError::NotConverged)
        })
    }

    fn process(&self, sigma: f64) -> Result<Pushed, AlarmError> {
        let variance = spread(sigma)?;
        let (low, high) = ends(self.sides);
        let (below, above) = match self.sides {
            VarianceSides::Upper { .. } | VarianceSides::Both { .. } => (Edge::Signal, Edge::Signal),
            VarianceSides::UpperWithBarrier { .. } => (Edge::Reflect, Edge::Signal),
            VarianceSides::LowerWithBarrier { .. } => (Edge::Signal, Edge::Reflect),
        };
        let step = self.weight * variance / self.freedom;
        Ok(Pushed { carry: Carry::Smooth(self.weight), step, freedom: self.freedom, low, high, below, above })
    }
}

fn ends(sides: VarianceSides) -> (f64, f64) {
    match sides {
        VarianceSides::Upper { limit } => (0.0, limit),
        VarianceSides::UpperWithBarrier { barrier, limit } => (barrier, limit),
        VarianceSides::LowerWithBarrier { limit, barrier } => (limit, barrier),
        VarianceSides::Both { lower, upper } => (lower, upper),
    }
}

/// A one-sided CUSUM of subgroup variances: upward `max(0, s + S² − k)`, downward `max(0, s − S² + k)`; it signals above `h`.
///
/// Source: F. A. Acosta-Mejía, J. J. Pignatiello, B. V. Rao, IIE Transactions 31 (1999) 569–579; exact run lengths: S. Knoth,
/// Computational Statistics & Data Analysis 51 (2006) 499–512.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VarianceCusumDesign {
    reference: f64,
    interval: f64,
    freedom: f64,
    upward: bool,
    head_start: f64,
}

impl VarianceCusumDesign {
    /// With reference value `k` and decision interval `h`, both in in-control variances.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`]: `k` outside 0.01 … 100, `h` outside 0.01 … 1000, degrees of freedom outside 1 … 1000.
    pub fn new(reference: f64, interval: f64, freedom: f64, upward: bool) -> Result<Self, AlarmError> {
        within("the reference value k", reference, (0.01, 100.0), "between 0.01 and 100 in-control variances")?;
        within("the decision interval h", interval, (0.01, 1000.0), "between 0.01 and 1000 in-control variances")?;
        degrees(freedom)?;
        Ok(Self { reference, interval, freedom, upward, head_start: 0.0 })
    }

    /// Starting at this value instead of 0.
    ///
    /// # Errors
    /// A head start outside `0 ..= h`: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, head_start: f64) -> Result<Self, AlarmError> {
        self.head_start = within("the head start", head_start, (0.0, self.interval), "between 0 and the decision interval")?;
        Ok(self)
    }

    /// The same chart with the interval at which the in-control ARL is `run_length` subgroups.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a run length outside 1 … 1e12, [`AlarmError::Unreachable`].
    pub fn for_run_length(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let narrowest = self.head_start.max(0.01);
        let design = |interval| Self { interval, ..self };
        let interval = parameter_for(run_length, (narrowest, narrowest + 60.0), |interval| design(interval).average(1.0))?;
        Ok(design(interval))
    }

    /// `h`, in in-control variances.
    #[must_use]
    pub const fn interval(&self) -> f64 {
        self.interval
    }

    /// Expected number of subgroups until a signal when the standard deviation has been `sigma` times the in-control one from
    /// the start.
    ///
    /// # Errors
    /// As [`VarianceEwmaDesign::average`].
    pub fn average(&self, sigma: f64) -> Result<f64, AlarmError> {
        self.average_from(self.head_start, sigma)
    }

    /// Expected number of subgroups until this scheme or `other`, which looks the other way, signals first.
    ///
    /// Combined from each one's own run length: J. M. Lucas, R. B. Crosier, Technometrics 24 (1982) 199–205, equation (A.5). Exact
    /// where the intervals differ by no more than the reference values do, so that one sum is at 0 whenever the other signals; else
    /// a close approximation.
    ///
    /// # Errors
    /// As [`VarianceCusumDesign::average`]; [`AlarmError::Combination`] where both look the same way or take other degrees of freedom.
    pub fn average_with(&self, other: &Self, sigma: f64) -> Result<f64, AlarmError> {
        if self.upward == other.upward || self.freedom != other.freedom {
            return Err(AlarmError::Combination("a two-sided scheme is an upward and a downward CUSUM of the same subgroups"));
        }
        let of = |design: &Self| Ok((design.average_from(0.0, sigma)?, design.average(sigma)?));
        combined(of(self), of(other))
    }

    fn average_from(&self, head_start: f64, sigma: f64) -> Result<f64, AlarmError> {
        let Self { reference, interval, freedom, .. } = *self;
        let step = spread(sigma)? / freedom;
        // Downward, the distance to the limit is what squares push up.
        let (below, above) = if self.upward { (Edge::Reflect, Edge::Signal) } else { (Edge::Signal, Edge::Reflect) };
        let start = if self.upward { head_start } else { interval - head_start };
        average(Pushed { carry: Carry::Minus(reference), step, freedom, low: 0.0, high: interval, below, above }, start)
    }
}

/// Expected number of subgroups until a mean chart or a variance chart signals first, both fed by the same normal subgroups
/// (whose mean and variance are independent), with mean off by `mean` standard errors and standard deviation `sigma`.
///
/// Source: S. Knoth, Sequential Analysis 26 (2007) 251–264; here as the sum over the product of the two survivals.
///
/// # Errors
/// As [`VarianceEwmaDesign::average`] and [`EwmaDesign::average`]; the mean chart must have fixed limits.
pub fn mean_and_variance_average(
    mean_chart: &EwmaDesign,
    variance_chart: &VarianceEwmaDesign,
    mean: f64,
    sigma: f64,
) -> Result<f64, AlarmError> {
    let variances = variance_chart.process(sigma)?;
    converged_but_for(ROUNDING, |fineness| {
        let collocation = Collocation::of(variances, 2 * fineness)?;
        let (moves, start) = mean_chart.discretised(mean, sigma, fineness)?;
        let of_mean = std::iter::once(1.0).chain(Survival::new(&moves, start));
        sum_of_survival(of_mean.zip(collocation.survival(variance_chart.start)).map(|(mean, variance)| mean * variance))
    })
}

/// `Σ P(N > n)`; once the terms fall by a constant factor, the rest is a geometric series.
fn sum_of_survival(survival: impl Iterator<Item = f64>) -> Result<f64, AlarmError> {
    let (mut sum, mut before, mut ratio, mut steady) = (0.0, 1.0, 0.0_f64, 0);
    for survives in survival.take(3_000_000) {
        sum += survives;
        let now = survives / before;
        steady = if (now - ratio).abs() <= 1e-15 { steady + 1 } else { 0 };
        (before, ratio) = (survives, now);
        if survives <= 1e-14 * sum {
            return Ok(sum);
        }
        if steady >= 30 && ratio < 1.0 {
            return Ok(sum + survives * ratio / (1.0 - ratio));
        }
    }
    Err(AlarmError::NotConverged)
}

/// Relative error of a collocation's solution per sample of run length: its elimination subtracts.
const ROUNDING: f64 = 1e-14;

fn average(process: Pushed, start: f64) -> Result<f64, AlarmError> {
    let pieces = Collocation::of(process, 2)?.pieces();
    converged_but_for(ROUNDING, |fineness| Collocation::of(process, if pieces > 4 { fineness } else { 2 * fineness })?.mean_from(start))
}

fn degrees(freedom: f64) -> Result<f64, AlarmError> {
    within("the degrees of freedom", freedom, (1.0, 1000.0), "between 1 and 1000")
}

/// The variance of a standard deviation given in in-control ones.
fn spread(sigma: f64) -> Result<f64, AlarmError> {
    within("the standard deviation", sigma, (0.05, 20.0), "between 0.05 and 20 in-control ones").map(|sigma| sigma * sigma)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S. Knoth 2006, table 1 (column of the collocation, four decimals): k = 1.46, h = 10, one degree of freedom.
    #[test]
    fn the_published_cusum_run_lengths() {
        let design = VarianceCusumDesign::new(1.46, 10.0, 1.0, true).unwrap();
        for (sigma, printed) in [(1.0, 260.7369), (1.1, 90.1319), (1.5, 13.6268), (2.0, 5.9904)] {
            let got = design.average(sigma).unwrap();
            assert!((got - printed).abs() <= 0.000_06, "{sigma}: {got} is not {printed}");
        }
    }

    /// S. Knoth 2006, tables 4 and 5: barriers at 1; the limit as 1 ± c √(λ/(2−λ)) √(2/df) with c = 2.4831 and 2.0613.
    #[test]
    fn the_published_limits_with_barriers() {
        let scaled = |limit: f64, weight: f64, df: f64| (limit - 1.0) / ((weight / (2.0 - weight)).sqrt() * (2.0 / df).sqrt());
        let upper = VarianceEwmaDesign::new(0.15, 4.0, VarianceSides::UpperWithBarrier { barrier: 1.0, limit: 2.0 }).unwrap();
        let VarianceSides::UpperWithBarrier { limit, .. } = upper.for_run_length(100.0).unwrap().sides() else { panic!() };
        assert!((scaled(limit, 0.15, 4.0) - 2.4831).abs() < 6e-5, "{limit}");
        let lower = VarianceEwmaDesign::new(0.115, 5.0, VarianceSides::LowerWithBarrier { limit: 0.5, barrier: 1.0 }).unwrap();
        let VarianceSides::LowerWithBarrier { limit, .. } = lower.for_run_length(200.0).unwrap().sides() else { panic!() };
        assert!((scaled(limit, 0.115, 5.0) + 2.0613).abs() < 6e-5, "{limit}");
    }

    #[test]
    fn a_weight_near_one_is_a_shewhart_chart() {
        let design = VarianceEwmaDesign::new(0.9999, 4.0, VarianceSides::Upper { limit: 3.0 }).unwrap();
        let signal = crate::distribution::chi_square_above(12.0, 4.0);
        assert!((design.average(1.0).unwrap() * signal - 1.0).abs() < 2e-3);
    }

    /// R package spc 0.6.7: `scusum.arl(1.46, 3, 1, 4, sided = "two", k2 = 0.6, h2 = 3, r = 60, qm = 60)`, which combines 218.8867
    /// and 54434.9.
    #[test]
    fn two_sides_are_combined() {
        let design = |k, upward| VarianceCusumDesign::new(k, 3.0, 4.0, upward).unwrap();
        let both = design(1.46, true).average_with(&design(0.6, false), 1.0).unwrap();
        assert!((both - 218.0101).abs() < 1e-3, "{both}");
        assert!(design(1.46, true).average_with(&design(0.6, true), 1.0).is_err());
    }

    #[test]
    fn survival_sums_to_the_average() {
        let design = VarianceEwmaDesign::new(0.2, 4.0, VarianceSides::Both { lower: 0.6, upper: 1.6 }).unwrap();
        let sum: f64 = (0..200).map(|samples| design.survival(1.3, samples).unwrap()).sum();
        assert!((sum / design.average(1.3).unwrap() - 1.0).abs() < 1e-8);
    }

    #[test]
    fn nonsense_is_named() {
        assert!(VarianceEwmaDesign::new(0.1, 0.0, VarianceSides::Upper { limit: 2.0 }).is_err());
        assert!(VarianceEwmaDesign::new(0.1, 4.0, VarianceSides::Both { lower: 2.0, upper: 1.0 }).is_err());
        let design = VarianceEwmaDesign::new(0.1, 4.0, VarianceSides::Upper { limit: 1.5 }).unwrap();
        assert!(matches!(design.average(f64::NAN), Err(AlarmError::Parameter { name: "the standard deviation", .. })));
    }
}
