//! A run chart: values in their order around a median, judged by runs and crossings alone.
//!
//! The chart to start with, while there are too few points for limits or nobody knows their distribution.
//!
//! Invariants: constant memory and time per point; a refused value (NaN, infinite) changes nothing; every number is finite, in the
//! unit of the values. A value on the median is on neither side and is passed over by the runs.

use serde::{Deserialize, Serialize};

use crate::chart::{ChartKind, Sample, SampleError, median};
use crate::rules::{Crossings, CrossingsVerdict};

/// A run chart with a frozen median.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunChart {
    median: f64,
    index: u64,
    crossings: Crossings,
}

/// One point of a run chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RunPoint {
    /// Number of the point, from 1.
    pub index: u64,
    /// The value.
    pub statistic: f64,
    /// The median of phase I.
    pub centre: f64,
}

/// Why there is no median.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunChartError {
    /// The error names the point.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Nothing but excluded points.
    #[error("a run chart needs at least one value for its median")]
    Empty,
}

impl RunChart {
    /// The median of phase I; points in `excluded` (numbered from 1) are left out. The chart then starts at point 1.
    ///
    /// Source: J. Anhøj and A. V. Olesen, "Run charts revisited", PLoS ONE 9(11), 2014.
    ///
    /// # Errors
    /// A value that is not finite, by its number, or no value at all.
    pub fn phase_one(values: &[f64], excluded: &[u64]) -> Result<Self, RunChartError> {
        let mut used = Vec::with_capacity(values.len());
        for (value, point) in values.iter().zip(1..) {
            let value = checked(*value, point)?;
            if !excluded.contains(&point) {
                used.push(value);
            }
        }
        if used.is_empty() {
            return Err(RunChartError::Empty);
        }
        Ok(Self { median: median(&used), index: 0, crossings: Crossings::default() })
    }

    /// A median that is known or aimed at.
    ///
    /// # Errors
    /// A median that is not finite, as if it were point 1.
    pub fn given(median: f64) -> Result<Self, SampleError> {
        Ok(Self { median: checked(median, 1)?, index: 0, crossings: Crossings::default() })
    }

    /// Plots the next value.
    ///
    /// # Errors
    /// [`SampleError`] for a value that is not finite; the chart is then as if it had not come.
    pub fn push(&mut self, value: f64) -> Result<RunPoint, SampleError> {
        let point = self.plot(value)?;
        self.crossings.push(point.statistic, self.median);
        Ok(point)
    }

    /// Plots a value that the runs take no notice of.
    ///
    /// # Errors
    /// As [`RunChart::push`].
    pub fn push_excluded(&mut self, value: f64) -> Result<RunPoint, SampleError> {
        self.plot(value)
    }

    fn plot(&mut self, value: f64) -> Result<RunPoint, SampleError> {
        let index = self.index.saturating_add(1);
        let statistic = checked(value, index)?;
        self.index = index;
        Ok(RunPoint { index, statistic, centre: self.median })
    }

    /// What the runs say so far; `None` while every point lies on the median.
    pub fn verdict(&self) -> Option<CrossingsVerdict> {
        self.crossings.verdict()
    }

    /// Runs and crossings so far.
    pub fn crossings(&self) -> &Crossings {
        &self.crossings
    }

    /// The centre line.
    pub fn median(&self) -> f64 {
        self.median
    }
}

fn checked(value: f64, point: u64) -> Result<f64, SampleError> {
    ChartKind::Individuals.measure(Sample::Value(value), point).map(|measured| measured.statistic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_frozen_and_exclusions_are_plotted() {
        let mut chart = RunChart::phase_one(&[1.0, 9.0, 3.0, 2.0], &[2]).unwrap();
        assert_eq!(chart.median(), 2.0);
        assert_eq!(chart.push(5.0).unwrap(), RunPoint { index: 1, statistic: 5.0, centre: 2.0 });
        chart.push_excluded(-7.0).unwrap();
        let before = chart.clone();
        assert_eq!(chart.push(f64::NAN), Err(SampleError::NotFinite { point: 3 }));
        assert_eq!(chart, before);
        assert_eq!(chart.verdict().map(|verdict| verdict.useful), Some(1));
        assert_eq!(RunChart::phase_one(&[1.0], &[1]), Err(RunChartError::Empty));
        assert_eq!(RunChart::given(2.0).unwrap().push(5.0).unwrap().centre, 2.0);
        assert_eq!(RunChart::given(f64::INFINITY), Err(SampleError::NotFinite { point: 1 }));
    }
}
