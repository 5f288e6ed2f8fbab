//! Whole series at once, for revisions of limits, reports, and for checking the streaming path.
//!
//! Invariant: the same arithmetic in the same order as streaming, so that results agree to the bit.

use serde::{Deserialize, Serialize};

use crate::chart::{Chart, ChartKind, Lines, MAGNITUDE_MAX, Observation, Sample, SampleError, Window};
use crate::limits::{Estimator, Limits, Settings, SettingsError, TooFew};
use crate::rules::{Hits, RuleSet, planes};

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

/// Limits from a whole phase I: samples, or plain numbers for charts of single values. Points in `excluded` (numbered from 1) are left out; numbers without a point are
/// ignored. `phase_one_subgroups` has no meaning here: every sample given is phase I.
///
/// # Errors
/// [`BatchError`], naming the point where one is at fault.
pub fn estimate<T: Copy + Into<Sample>>(
    chart: ChartKind,
    samples: &[T],
    excluded: &[u64],
    settings: &Settings,
) -> Result<Limits, BatchError> {
    let estimator = Estimator::new(chart, settings)?;
    Ok(feed(estimator, samples, excluded)?.limits()?)
}

fn feed<T: Copy + Into<Sample>>(mut estimator: Estimator, samples: &[T], excluded: &[u64]) -> Result<Estimator, SampleError> {
    let mut left_out: Vec<usize> = excluded.iter().filter_map(|number| usize::try_from(*number).ok()?.checked_sub(1)).collect();
    left_out.sort_unstable();
    left_out.dedup();
    let mut rest = 0;
    for index in left_out.into_iter().take_while(|index| *index < samples.len()) {
        estimator.push_all(&samples[rest..index])?;
        estimator.exclude();
        rest = index + 1;
    }
    estimator.push_all(&samples[rest..])?;
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

/// A stretch of a series with limits of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its limits, from all of its points that are not excluded.
    pub limits: Limits,
    /// Its points, numbered from 1 within the stage. No run and no moving range reaches across a stage.
    pub observations: Vec<Observation>,
}

/// Staged limits: a known change of the process (another supplier, a rebuilt fixture) starts a new phase I. `starts` are the numbers
/// (from 1, rising) of the points that open a new stage; `excluded` counts through the whole series. Each stage's
/// limits name those of the stage before as predecessor.
///
/// # Errors
/// [`BatchError`], naming the point (within its stage) where one is at fault; a stage without points is too short.
pub fn staged(
    chart: ChartKind,
    samples: &[Sample],
    starts: &[u64],
    excluded: &[u64],
    settings: &Settings,
) -> Result<Vec<Stage>, BatchError> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut from = 0_usize;
    let ends = starts.iter().map(|start| usize::try_from(start.saturating_sub(1)).unwrap_or(usize::MAX));
    for end in ends.chain([samples.len()]) {
        let stage = samples.get(from..end.min(samples.len())).unwrap_or_default();
        let before = u64::try_from(from).unwrap_or(u64::MAX);
        let left_out: Vec<u64> = excluded.iter().filter_map(|point| point.checked_sub(before)).collect();
        let predecessor = stages.last().map(|stage| stage.limits.revision);
        let revision = predecessor.unwrap_or(0).saturating_add(1);
        let limits = Limits { revision, predecessor, ..estimate(chart, stage, &left_out, settings)? };
        let observations = judge(limits, settings.rules, settings.range_rules, stage)?;
        stages.push(Stage { limits, observations });
        from = end;
    }
    Ok(stages)
}

/// A series of individuals as columns: what a page draws of ten thousand points. The statistic of the first chart is the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The lines of the individuals, in their unit.
    pub lines: Lines,
    /// The rules whose pattern each value completes.
    pub signals: Vec<Hits>,
    /// The lines of the moving ranges, in the unit of the values; `None` where the limits have no such chart.
    pub range_lines: Option<Lines>,
    /// The moving ranges. The first belongs to the value that fills the span, so there are `span − 1` fewer than values.
    pub moving_ranges: Vec<f64>,
    /// The rules whose pattern each moving range completes.
    pub range_signals: Vec<Hits>,
}

/// Individuals and their moving ranges judged as [`judge`] judges them, to the bit, at a tenth of its cost: the rules work on 64
/// points at a time, and lines that all points share are given once.
///
/// An empty series gives empty columns. Ties are judged by the conventions of the rules.
///
/// # Errors
/// [`BatchError`]: limits of another chart than individuals, or a value that is not finite or too large, named by its number.
pub fn judge_values(limits: &Limits, rules: &RuleSet, range_rules: &RuleSet, values: &[f64]) -> Result<Columns, BatchError> {
    if limits.chart != ChartKind::Individuals {
        return Err(SettingsError::Domain { chart: limits.chart }.into());
    }
    limits.check()?;
    rules.check()?;
    range_rules.check()?;
    // NaN is no smaller than anything.
    if !values.iter().fold(true, |sound, value| sound & (value.abs() <= MAGNITUDE_MAX)) {
        for (value, number) in values.iter().zip(1..) {
            ChartKind::Individuals.measure(Sample::Value(*value), number)?;
        }
    }
    let lines = limits.lines(1.0);
    let signals = planes::judge(values, &lines, limits.width, rules);
    let (range_lines, moving_ranges) = match &limits.range {
        Some(range) => (Some(range.lines), Window::ranges(range.span, values)),
        None => (None, Vec::new()),
    };
    let range_signals = range_lines.map_or_else(Vec::new, |lines| planes::judge(&moving_ranges, &lines, limits.width, range_rules));
    Ok(Columns { lines, signals, range_lines, moving_ranges, range_signals })
}
