//! Phase I of a time-weighted chart: the mean of the process and the standard deviation of a single value.
//!
//! Invariants: frozen; finite; `sigma` is never negative and is 0 only where phase I did not vary at all.

use serde::{Deserialize, Serialize};

use super::{real, summarise};
use crate::chart::constants::d2;
use crate::chart::{MAGNITUDE_MAX, SampleError};
use crate::limits::{Constants, SettingsError};
use crate::sum::Sum;

/// How phase I finds sigma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PhaseOne {
    /// Values per moving range, where subgroups have one value each. 2.
    pub span: u32,
    /// Source of d2.
    pub constants: Constants,
}

impl Default for PhaseOne {
    fn default() -> Self {
        Self { span: 2, constants: Constants::Exact }
    }
}

/// A process in control, as phase I saw it or as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Mean, in the unit of the values.
    pub centre: f64,
    /// Standard deviation of a single value, in the same unit.
    pub sigma: f64,
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
    /// Nothing left to estimate a variation from: no subgroup of two or more values, and no moving range.
    #[error("phase I has used {used} subgroups, which show no range to estimate sigma from")]
    TooFew {
        /// Subgroups used.
        used: usize,
    },
    /// The range of so many values has no tabled expectation.
    #[error("a range of {size} values; 2 to 100 can be used")]
    Range {
        /// Values of the range.
        size: usize,
    },
    /// Centre or sigma is not finite, out of range, or sigma is 0 where a chart in units of sigma needs one.
    #[error("centre {centre} and sigma {sigma} give no chart")]
    Domain {
        /// Centre as given.
        centre: f64,
        /// Sigma as given.
        sigma: f64,
    },
    /// A run rule's length that no pattern can have.
    #[error(transparent)]
    Rules(#[from] SettingsError),
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

impl Process {
    /// Estimates from phase I; subgroups in `excluded` (numbered from 1) are left out, and no moving range reaches across
    /// them. Subgroups may differ in size.
    ///
    /// Centre: the mean of all values. Sigma: the mean of `Rᵢ / d2(nᵢ)` over subgroups of two or more values; where every
    /// subgroup is a single value, the mean moving range over d2 of the span.
    /// Source: Montgomery, Introduction to Statistical Quality Control, sections 6.2 and 6.4; variable sizes as in I. W. Burr,
    /// Journal of Quality Technology 1(3), 1969, 163–167.
    ///
    /// # Errors
    /// [`ProcessError`], naming the subgroup where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64], settings: &PhaseOne) -> Result<Self, ProcessError> {
        let (mut total, mut values, mut used) = (Sum::default(), 0.0, 0);
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for (subgroup, number) in subgroups.iter().zip(1u64..) {
            let (mean, _) = summarise(subgroup.as_ref(), number)?;
            if !excluded.contains(&number) {
                let size = real(subgroup.as_ref().len());
                total.add(size * mean);
                values += size;
                used += 1;
                (least, most) = (least.min(mean), most.max(mean));
            }
        }
        if used == 0 {
            return Err(ProcessError::TooFew { used });
        }
        let individuals = subgroups.iter().all(|subgroup| subgroup.as_ref().len() == 1);
        let ranges = if individuals { moving_ranges(subgroups, excluded, settings.span) } else { subgroup_ranges(subgroups, excluded) };
        let (mut sigmas, mut found) = (Sum::default(), 0);
        for (range, size) in ranges {
            sigmas.add(range / expected_range(size, settings.constants)?);
            found += 1;
        }
        if found == 0 {
            return Err(ProcessError::TooFew { used });
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let process = Self {
            // No rounding puts it outside the means: equal means have exactly their own value as centre.
            centre: (total.value() / values).clamp(least, most),
            sigma: sigmas.value() / real(found),
            subgroups: count(used),
            excluded: count(subgroups.len() - used),
        };
        process.check().map(|()| process)
    }

    /// Standards given: mean and standard deviation are known.
    ///
    /// # Errors
    /// [`ProcessError::Domain`].
    pub fn given(centre: f64, sigma: f64) -> Result<Self, ProcessError> {
        let process = Self { centre, sigma, subgroups: 0, excluded: 0 };
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

fn expected_range(size: usize, constants: Constants) -> Result<f64, ProcessError> {
    let exact = u32::try_from(size).ok().and_then(d2).ok_or(ProcessError::Range { size })?;
    Ok(if constants == Constants::Printed { (exact * 1000.0).round() / 1000.0 } else { exact })
}

fn range(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
}

fn subgroup_ranges<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64]) -> Vec<(f64, usize)> {
    let kept = subgroups.iter().zip(1u64..).filter(|(_, number)| !excluded.contains(number));
    let long = kept.map(|(subgroup, _)| subgroup.as_ref()).filter(|subgroup| subgroup.len() >= 2);
    long.map(|subgroup| (range(subgroup.iter().copied()), subgroup.len())).collect()
}

fn moving_ranges<S: AsRef<[f64]>>(values: &[S], excluded: &[u64], span: u32) -> Vec<(f64, usize)> {
    let span = usize::try_from(span).unwrap_or(usize::MAX).max(1);
    let numbers = (1u64..).zip(values.windows(span));
    let reach = u64::try_from(span).unwrap_or(u64::MAX);
    let whole = numbers.filter(|(first, _)| !excluded.iter().any(|number| (*first..first.saturating_add(reach)).contains(number)));
    whole.map(|(_, window)| (range(window.iter().map(|value| value.as_ref()[0])), span)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: d2(2) = 2/√π and d2(3) = 3/√π.
    #[test]
    fn estimates_by_ranges() {
        let root_pi = std::f64::consts::PI.sqrt();
        let process = Process::phase_one(&[vec![1.0, 3.0], vec![2.0, 5.0, 4.0]], &[], &PhaseOne::default()).unwrap();
        assert_eq!(process.centre, 3.0);
        let expected = f64::midpoint(2.0 / (2.0 / root_pi), 3.0 / (3.0 / root_pi));
        assert!((process.sigma - expected).abs() < 1e-12, "{process:?}");
        let single = Process::phase_one(&[[1.0], [3.0], [9.0], [4.0]], &[3], &PhaseOne::default()).unwrap();
        assert!((single.sigma - 2.0 / (2.0 / root_pi)).abs() < 1e-12, "{single:?}");
        assert_eq!((single.subgroups, single.excluded), (3, 1));
    }

    #[test]
    fn says_why_there_is_nothing_to_judge_by() {
        let of = |subgroups: &[Vec<f64>]| Process::phase_one(subgroups, &[], &PhaseOne::default()).unwrap_err();
        assert_eq!(of(&[]), ProcessError::TooFew { used: 0 });
        assert_eq!(of(&[vec![1.0]]), ProcessError::TooFew { used: 1 });
        assert_eq!(of(&[vec![1.0, 2.0], vec![]]), SampleError::Size { point: 2 }.into());
        assert_eq!(of(&[vec![1.0, f64::NAN]]), SampleError::NotFinite { point: 1 }.into());
        assert_eq!(of(&[vec![0.0; 101]]), ProcessError::Range { size: 101 });
        assert!(Process::given(f64::NAN, 1.0).is_err() && Process::given(0.0, -1.0).is_err());
    }
}
