//! Whole series at once, for revisions of limits, reports, and for checking the streaming path.
//!
//! Invariant: the same arithmetic in the same order as streaming, so that results agree to the bit.

use crate::chart::{Chart, ChartKind, Observation, Sample, SampleError};
use crate::limits::{Estimator, Limits, Settings, SettingsError, TooFew};
use crate::rules::RuleSet;

/// Why a series gave no limits or no points.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// A sample cannot be plotted; the error names the point.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Settings or limits that no chart can be made of.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nothing, or nothing but excluded subgroups, to estimate from.
    #[error(transparent)]
    TooFew(#[from] TooFew),
}

/// Limits from a whole phase I. Points in `excluded` (numbered from 1) are left out; numbers without a point are
/// ignored. `phase_one_subgroups` has no meaning here: every sample given is phase I.
///
/// # Errors
/// [`BatchError`], naming the point where one is at fault.
pub fn estimate(chart: ChartKind, samples: &[Sample], excluded: &[u64], settings: &Settings) -> Result<Limits, BatchError> {
    let estimator = Estimator::new(chart, settings)?;
    Ok(feed(estimator, samples, excluded)?.limits()?)
}

fn feed(mut estimator: Estimator, samples: &[Sample], excluded: &[u64]) -> Result<Estimator, SampleError> {
    for (sample, number) in samples.iter().zip(1u64..) {
        if excluded.contains(&number) {
            estimator.exclude();
        } else {
            estimator.push(*sample)?;
        }
    }
    Ok(estimator)
}

/// Every sample judged by limits that exist: phase II, phase I looked at again, or "what would this revision have
/// signalled over the last thirty days".
///
/// # Errors
/// [`BatchError`], naming the point where one is at fault.
pub fn judge(limits: Limits, rules: RuleSet, range_rules: RuleSet, samples: &[Sample]) -> Result<Vec<Observation>, BatchError> {
    let mut chart = Chart::new(limits, rules, range_rules)?;
    let points = samples.iter().map(|sample| chart.push(*sample)).collect::<Result<_, _>>()?;
    Ok(points)
}
