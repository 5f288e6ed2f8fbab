//! Moving average: the mean of the last few points, all alike.
//!
//! Invariant: exactly the last `span` means are remembered, in a place that is allocated once; each average is summed anew,
//! so that no rounding is carried from point to point.

use serde::{Deserialize, Serialize};

use super::process::setting;
use super::{Process, ProcessError, real, summarise};
use crate::chart::{Lines, Point, SampleError};
use crate::limits::Settings;
use crate::rules::{Rule, RuleSet, Runs};

/// What a moving average chart is told before its first point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MovingAverageSettings {
    /// Points per average, 1 to 100.
    pub span: u32,
    /// Distance of the limits from the centre, in standard errors.
    pub width: f64,
    /// Rules judged; rule 1 only unless chosen otherwise.
    pub rules: RuleSet,
}

impl Default for MovingAverageSettings {
    /// Five points and three standard errors, as in Montgomery, section 9.3.
    fn default() -> Self {
        Self { span: 5, width: 3.0, rules: RuleSet::only(&[Rule::Nelson1]) }
    }
}

/// A moving average chart with frozen limits, for individuals and subgroups of any size. The first `span − 1` points are
/// averages of as many as there are, with limits as much wider.
///
/// Source: Montgomery, Introduction to Statistical Quality Control, section 9.3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MovingAverage {
    process: Process,
    settings: MovingAverageSettings,
    /// Mean and one over the size of each point remembered, the newest last; only the last `filled` count.
    places: Box<[(f64, f64)]>,
    filled: usize,
    runs: Runs,
    index: u64,
}

impl MovingAverage {
    /// A chart at its first point.
    ///
    /// # Errors
    /// [`ProcessError`] for a process or setting that cannot be meant.
    pub fn new(process: Process, settings: MovingAverageSettings) -> Result<Self, ProcessError> {
        process.check()?;
        let MovingAverageSettings { span, width, rules } = settings;
        setting("span", f64::from(span), (1..=100).contains(&span), "between 1 and 100")?;
        setting("width", width, width > 0.0 && width <= 1000.0, "above 0 and at most 1000")?;
        rules.check()?;
        let places = vec![(0.0, 0.0); usize::try_from(span).unwrap_or(1)].into_boxed_slice();
        Ok(Self { process, settings, places, filled: 0, runs: Runs::default(), index: 0 })
    }

    /// A chart at its first point, nothing averaged yet, by a process estimated from phase I as [`Process::phase_one`] usually does;
    /// subgroups in `excluded` (numbered from 1) are left out.
    ///
    /// # Errors
    /// [`ProcessError`], naming the subgroup where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64], settings: MovingAverageSettings) -> Result<Self, ProcessError> {
        Self::new(Process::phase_one(subgroups, excluded, &Settings::values())?, settings)
    }

    /// Judges the next subgroup: the mean of the last `span` subgroup means, in the unit of the values, within
    /// `± width · σ · √(Σ 1/nᵢ) / w` of the centre, where w points are averaged.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the subgroup had not come.
    pub fn push(&mut self, subgroup: &[f64]) -> Result<Point, SampleError> {
        let index = self.index.saturating_add(1);
        let (mean, share) = summarise(subgroup, index)?;
        let MovingAverageSettings { width, rules, .. } = self.settings;
        let Process { centre, sigma, .. } = self.process;
        self.index = index;
        self.places.rotate_left(1);
        if let Some(last) = self.places.last_mut() {
            *last = (mean, share);
        }
        self.filled = (self.filled + 1).min(self.places.len());
        let remembered = &self.places[self.places.len() - self.filled..];
        let w = real(self.filled.max(1));
        // As distances from the centre, so that a process that sits on it gives exactly the centre.
        let statistic = centre + remembered.iter().map(|(mean, _)| mean - centre).sum::<f64>() / w;
        let se = sigma * remembered.iter().map(|(_, share)| share).sum::<f64>().sqrt() / w;
        let lines = Lines { centre, lcl: centre - width * se, ucl: centre + width * se, se };
        let signals = self.runs.judge(statistic, statistic, &lines, &rules);
        Ok(Point { index, statistic, lines: Some(lines), signals })
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`SampleError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<Point>, SampleError> {
        subgroups.iter().map(|subgroup| self.push(subgroup.as_ref())).collect()
    }

    /// Forgets the points remembered, as after a stop that was released; numbering goes on.
    pub fn restart(&mut self) {
        self.places.fill((0.0, 0.0));
        self.filled = 0;
        self.runs = Runs::default();
    }

    /// What it judges by.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
