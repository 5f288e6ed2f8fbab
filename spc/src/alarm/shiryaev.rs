//! Run lengths of the Shiryaev–Roberts scheme and of a Shewhart chart whose data are autocorrelated.

use super::cusum::steady;
use super::process::{Chain, Process, converged, parameter_for};
use super::{AlarmError, shift, wanted_length, within};
use crate::distribution::{normal_above, normal_below, normal_density};

/// The one-sided Shiryaev–Roberts scheme (Girshick, Rubin, Shiryaev, Roberts) on a logarithmic scale:
/// `z = max(barrier, ln(1 + eᶻ) + x − k)` signals when it exceeds `g`. It starts at minus infinity (`eᶻ = 0`) unless given a head start.
///
/// Sources: S. W. Roberts, Technometrics 8 (1966) 411–430; S. Knoth, Frontiers in Statistical Quality Control 8 (2006) 74–99, who
/// gives this form and the barrier that makes it solvable as an integral equation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiryaevRobertsDesign {
    reference: f64,
    limit: f64,
    barrier: f64,
    start: f64,
}

impl ShiryaevRobertsDesign {
    /// With reference value `k` (half the shift that matters) and limit `g`; the barrier is at 0.
    ///
    /// # Errors
    /// `reference` outside 0 … 10 or `limit` outside 0.01 … 100: [`AlarmError::Parameter`].
    pub fn new(reference: f64, limit: f64) -> Result<Self, AlarmError> {
        within("the reference value k", reference, (0.0, 10.0), "between 0 and 10 standard deviations")?;
        within("the limit g", limit, (0.01, 100.0), "between 0.01 and 100")?;
        Ok(Self { reference, limit, barrier: 0.0, start: f64::NEG_INFINITY })
    }

    /// With another barrier.
    ///
    /// # Errors
    /// A barrier outside −20 … the limit: [`AlarmError::Parameter`].
    pub fn with_barrier(mut self, barrier: f64) -> Result<Self, AlarmError> {
        self.barrier = within("the barrier", barrier, (-20.0, self.limit - 1e-6), "between -20 and the limit")?;
        Ok(self)
    }

    /// Starting at this value of `z` instead of minus infinity (fast initial response).
    ///
    /// # Errors
    /// A start above the limit or below −20: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, start: f64) -> Result<Self, AlarmError> {
        self.start = within("the head start", start, (-20.0, self.limit), "between -20 and the limit")?;
        Ok(self)
    }

    /// The limit at which the in-control ARL is `run_length` samples, with the barrier at 0.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a run length outside 1 … 1e12, [`AlarmError::Unreachable`].
    pub fn for_run_length(reference: f64, run_length: f64) -> Result<Self, AlarmError> {
        Self::new(reference, 1.0)?.with_limit_for(run_length)
    }

    /// The same scheme with the limit at which the in-control ARL is `run_length` samples; reference value, barrier and head start
    /// are kept.
    ///
    /// # Errors
    /// As [`ShiryaevRobertsDesign::for_run_length`].
    pub fn with_limit_for(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let narrowest = [0.01, self.barrier + 0.01, self.start + 1e-9].into_iter().fold(0.0, f64::max);
        let at = |limit| Self { limit, ..self };
        let limit = parameter_for(run_length, (narrowest, narrowest + 30.0), |limit| at(limit).average(0.0))?;
        Ok(at(limit))
    }

    /// `g`, the limit of `z`.
    #[must_use]
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Expected number of samples until a signal when the mean has been off by `mean` standard deviations from the start.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a shift beyond ±100, [`AlarmError::NeverEnds`], [`AlarmError::NotConverged`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        let process = self.process(mean);
        converged(|fineness| Chain::of(&process, fineness).mean_from(&process, self.start))
    }

    /// Expected number of samples from a shift to its signal after a long time in control (conditional steady state).
    ///
    /// # Errors
    /// As [`ShiryaevRobertsDesign::average`].
    pub fn average_after_long(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        steady(|mean| self.process(mean), mean)
    }

    fn process(&self, mean: f64) -> LogSum {
        LogSum { drift: mean - self.reference, barrier: self.barrier, limit: self.limit }
    }
}

struct LogSum {
    drift: f64,
    barrier: f64,
    limit: f64,
}

impl LogSum {
    fn centre(&self, from: f64) -> f64 {
        // ln(1 + eᶻ) without overflow.
        from.max(0.0) + (-from.abs()).exp().ln_1p() + self.drift
    }
}

impl Process for LogSum {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(self.barrier, self.limit)]
    }
    fn atom(&self) -> Option<f64> {
        Some(self.barrier)
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        normal_density(to - self.centre(from))
    }
    fn to_atom(&self, from: f64) -> f64 {
        normal_below(self.barrier - self.centre(from))
    }
    fn signal(&self, from: f64) -> f64 {
        normal_above(self.limit - self.centre(from))
    }
    fn scale(&self) -> f64 {
        1.0
    }
}

/// Expected number of samples until a point of a stationary AR(1) series, with standard deviation 1 and lag-one correlation
/// `correlation`, lies more than `width` from the target, when the mean is off by `mean`.
///
/// What a Shewhart chart does on autocorrelated data whose true (not moving-range) standard deviation is known. Source:
/// W. Schmid, Statistical Papers 36 (1995) 111–130.
///
/// # Errors
/// [`AlarmError::Parameter`] for a correlation outside −0.99 … 0.99, a width outside 0.01 … 20 or a shift beyond ±100;
/// [`AlarmError::NeverEnds`], [`AlarmError::NotConverged`].
pub fn autocorrelated_average(correlation: f64, width: f64, mean: f64) -> Result<f64, AlarmError> {
    within("the lag-one correlation", correlation, (-0.99, 0.99), "between -0.99 and 0.99")?;
    within("the width", width, (0.01, 20.0), "between 0.01 and 20 standard deviations")?;
    shift(mean)?;
    let series = Autoregression { correlation, spread: (1.0 - correlation * correlation).sqrt(), width, mean };
    converged(|fineness| {
        let chain = Chain::of(&series, fineness);
        let first = chain.spread(0.0, |state| normal_density(state - mean));
        Ok(1.0 + super::linear::dot(&first, &chain.means()?))
    })
}

struct Autoregression {
    correlation: f64,
    spread: f64,
    width: f64,
    mean: f64,
}

impl Autoregression {
    fn centre(&self, from: f64) -> f64 {
        self.mean + self.correlation * (from - self.mean)
    }
}

impl Process for Autoregression {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(-self.width, self.width)]
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        normal_density((to - self.centre(from)) / self.spread) / self.spread
    }
    fn signal(&self, from: f64) -> f64 {
        let edge = |edge: f64| (edge - self.centre(from)) / self.spread;
        normal_above(edge(self.width)) + normal_below(edge(-self.width))
    }
    fn scale(&self) -> f64 {
        self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H. Kramer, W. Schmid, Statistical Papers 41 (2000) 173–196, table 1, as printed: limits at 3.09023.
    #[test]
    fn autocorrelation_as_published() {
        for (correlation, mean, printed) in [(0.4, 0.0, 515.44), (0.4, 1.0, 61.85), (0.2, 0.5, 204.97), (-0.2, 2.0, 6.89)] {
            let got = autocorrelated_average(correlation, 3.090_23, mean).unwrap();
            assert!((got / printed - 1.0).abs() < 1e-3, "{got} is not {printed}");
        }
    }

    #[test]
    fn a_design_meets_its_run_length() {
        let design = ShiryaevRobertsDesign::for_run_length(0.5, 500.0).unwrap();
        assert!((design.average(0.0).unwrap() / 500.0 - 1.0).abs() < 1e-9);
        // Starting in the middle of things is no slower than starting at minus infinity.
        assert!(design.average_after_long(1.0).unwrap() < design.average(1.0).unwrap());
        assert!(autocorrelated_average(1.0, 3.0, 0.0).is_err());
    }
}
