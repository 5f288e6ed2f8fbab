//! Phase I of a time-weighted chart: the mean of the process and the standard deviation of a single value.
//!
//! Invariants: frozen; finite; `sigma` is never negative and is 0 only where phase I did not vary at all.

use serde::{Deserialize, Serialize};

use super::{real, summarise};
use crate::batch::{self, BatchError};
use crate::chart::{ChartKind, MAGNITUDE_MAX, Sample, SampleError, Subgroup};
use crate::limits::{Settings, SettingsError, SigmaMethod, TooFew};
use crate::sum::Sum;

/// A process in control, as phase I saw it or as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Mean, in the unit of the values.
    pub centre: f64,
    /// Standard deviation of a single value, in the same unit.
    pub sigma: f64,
    /// How sigma was found.
    pub method: SigmaMethod,
    /// Subgroups that they were estimated from; 0 where they are given.
    pub subgroups: u32,
    /// Subgroups of phase I that were left out.
    pub excluded: u32,
}

/// Why there is no process to judge by.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProcessError {
    /// A subgroup cannot be used; it is named.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Nothing left to estimate from: no subgroup, or none that shows a variation.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// Centre or sigma is not finite, out of range, or sigma is 0 where a chart in units of sigma needs one.
    #[error("centre {centre} and sigma {sigma} give no chart")]
    Domain {
        /// Centre as given.
        centre: f64,
        /// Sigma as given.
        sigma: f64,
    },
    /// A setting of phase I that cannot be meant, or a run rule's length that no pattern can have.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A setting outside what it can mean.
    #[error("{name} is {got}; it must lie {domain}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// What it was.
        got: f64,
        /// Where it must lie.
        domain: &'static str,
    },
}

impl From<BatchError> for ProcessError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Sample(error) => error.into(),
            BatchError::Settings(error) => error.into(),
            BatchError::TooFew(error) => error.into(),
        }
    }
}

impl Process {
    /// Estimates from phase I; subgroups in `excluded` (numbered from 1) are left out, and no moving range reaches across
    /// them unless [`Settings::gaps`] says so. Subgroups may differ in size.
    ///
    /// Centre: the mean of the subgroups' means, weighted by size, unless [`Settings::target`] gives it. Sigma: as
    /// [`Settings::sigma`] says; else the mean of `Rᵢ / d2(nᵢ)`, or where every subgroup is a single value the mean moving
    /// range over d2 of [`Settings::span`]. Rules, width and probability in the settings have no meaning here.
    /// Source: Montgomery, Introduction to Statistical Quality Control, sections 6.2, 6.3 and 6.4.
    ///
    /// # Errors
    /// [`ProcessError`], naming the subgroup where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64], settings: &Settings) -> Result<Self, ProcessError> {
        let individuals = subgroups.iter().all(|subgroup| subgroup.as_ref().len() == 1);
        let mut samples = Vec::with_capacity(subgroups.len());
        let (mut total, mut values) = (Sum::default(), 0.0);
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for (subgroup, number) in subgroups.iter().zip(1u64..) {
            let subgroup = subgroup.as_ref();
            if excluded.contains(&number) {
                // Whatever it is, it keeps its place and is not looked at.
                samples.push(Sample::Value(0.0));
                continue;
            }
            let (mean, _) = summarise(subgroup, number)?;
            let size = real(subgroup.len());
            total.add(size * mean);
            values += size;
            (least, most) = (least.min(mean), most.max(mean));
            let summary = || Subgroup::of(subgroup).map_err(|_| SampleError::Size { point: number });
            samples.push(if individuals { Sample::Value(mean) } else { Sample::Subgroup(summary()?) });
        }
        let by_ranges = settings.sigma.is_none_or(|method| matches!(method, SigmaMethod::MeanRange | SigmaMethod::MinimumVarianceRange));
        let chart = match individuals {
            true => ChartKind::Individuals,
            false if by_ranges => ChartKind::XbarR,
            // Takes subgroups of any size.
            false => ChartKind::XbarS,
        };
        let limits = batch::estimate(chart, &samples, excluded, settings)?;
        // No rounding puts the centre outside the means: equal means have exactly their own value as centre.
        let centre = settings.target.unwrap_or_else(|| (total.value() / values).clamp(least, most));
        let process = Self { centre, sigma: limits.sigma, method: limits.method, subgroups: limits.subgroups, excluded: limits.excluded };
        process.check().map(|()| process)
    }

    /// Standards given: mean and standard deviation are known.
    ///
    /// # Errors
    /// [`ProcessError::Domain`].
    pub fn given(centre: f64, sigma: f64) -> Result<Self, ProcessError> {
        let process = Self { centre, sigma, method: SigmaMethod::Given, subgroups: 0, excluded: 0 };
        process.check().map(|()| process)
    }

    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let Self { centre, sigma, .. } = *self;
        // A rounding of the mean may pass the largest value.
        let inside = centre.abs() <= 2.0 * MAGNITUDE_MAX && (0.0..=2.0 * MAGNITUDE_MAX).contains(&sigma);
        if inside { Ok(()) } else { Err(ProcessError::Domain { centre, sigma }) }
    }
}

pub(super) fn setting(name: &'static str, got: f64, inside: bool, domain: &'static str) -> Result<(), ProcessError> {
    if inside { Ok(()) } else { Err(ProcessError::Setting { name, got, domain }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: d2(2) = 2/√π and d2(3) = 3/√π.
    #[test]
    fn estimates_by_ranges() {
        let root_pi = std::f64::consts::PI.sqrt();
        let process = Process::phase_one(&[vec![1.0, 3.0], vec![2.0, 5.0, 4.0]], &[], &Settings::values()).unwrap();
        assert_eq!(process.centre, 3.0);
        let expected = f64::midpoint(2.0 / (2.0 / root_pi), 3.0 / (3.0 / root_pi));
        assert!((process.sigma - expected).abs() < 1e-12, "{process:?}");
        let single = Process::phase_one(&[[1.0], [3.0], [9.0], [4.0]], &[3], &Settings::values()).unwrap();
        assert!((single.sigma - 2.0 / (2.0 / root_pi)).abs() < 1e-12, "{single:?}");
        assert_eq!((single.subgroups, single.excluded), (3, 1));
    }

    #[test]
    fn says_why_there_is_nothing_to_judge_by() {
        let of = |subgroups: &[Vec<f64>]| Process::phase_one(subgroups, &[], &Settings::values()).unwrap_err();
        assert_eq!(of(&[]), TooFew { used: 0 }.into());
        assert_eq!(of(&[vec![1.0]]), TooFew { used: 1 }.into());
        assert_eq!(of(&[vec![1.0, 2.0], vec![]]), SampleError::Size { point: 2 }.into());
        assert_eq!(of(&[vec![1.0, f64::NAN]]), SampleError::NotFinite { point: 1 }.into());
        assert_eq!(of(&[vec![0.0; 101]]), SampleError::SubgroupTooLarge { point: 1 }.into());
        let by_sd = Settings { sigma: Some(SigmaMethod::PooledSd), ..Settings::values() };
        assert!(Process::phase_one(&[vec![0.0; 101]], &[], &by_sd).is_ok());
        assert!(Process::phase_one(&[[1.0], [f64::NAN], [2.0], [4.0]], &[2], &Settings::values()).is_ok());
        assert!(Process::given(f64::NAN, 1.0).is_err() && Process::given(0.0, -1.0).is_err());
    }
}
