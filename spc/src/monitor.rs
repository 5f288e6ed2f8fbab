//! One characteristic of one station, from its first piece on: learn, freeze, judge.
//!
//! ```text
//!            samples 1 … N           N-th sample             samples N+1 …
//!   new ──▶ Learning ── learn ──▶ freeze the limits ──▶ Judging ── judge ──▶ signals
//!               ▲                                          │
//!               └──────────────── relearn ─────────────────┘
//! ```
//!
//! Invariants: no sample is both learnt from and judged; limits change only through the N-th sample of a phase I
//! ([`Observation::froze_limits`]), [`Monitor::revise`], [`Monitor::relearn`] or [`Monitor::with_limits`]; memory is fixed at creation.

use serde::{Deserialize, Serialize};

use crate::chart::{Chart, ChartKind, Observation, Point, Sample, SampleError};
use crate::limits::{Estimator, Learnt, Limits, Settings, SettingsError};
use crate::rules::Hits;

/// A streaming characteristic; see the module.
///
/// # Phase I without variation
/// Equal values, no defect at all, or nothing but defects give `sigma` 0. Limits then collapse on the centre line:
/// any value different from the centre is beyond them, so with p = 0 or u = 0 the first defect signals (Nelson 1,
/// WE 1). Rules that need zones are silent, see [`crate::rules::Runs::judge`]; a process that stays constant signals
/// nothing. Whoever finds that too strict gives limits with [`Monitor::with_limits`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    chart: ChartKind,
    settings: Settings,
    index: u64,
    /// Revision of the newest limits ever made here; 0 before the first.
    revision: u32,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a box would be allocated in the push that freezes the limits")]
enum Phase {
    Learning(Estimator),
    Judging(Chart),
}

impl Monitor {
    /// Individuals with their moving range (I-MR); start from [`Settings::values`].
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn individuals(settings: Settings) -> Result<Self, SettingsError> {
        Self::new(ChartKind::Individuals, settings)
    }

    /// Proportion nonconforming; start from [`Settings::counts`].
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn p(settings: Settings) -> Result<Self, SettingsError> {
        Self::new(ChartKind::P, settings)
    }

    /// Defects per unit; start from [`Settings::counts`].
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn u(settings: Settings) -> Result<Self, SettingsError> {
        Self::new(ChartKind::U, settings)
    }

    /// Any chart.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn new(chart: ChartKind, settings: Settings) -> Result<Self, SettingsError> {
        let phase = Phase::Learning(Estimator::new(chart, &settings)?);
        Ok(Self { chart, settings, index: 0, revision: 0, phase })
    }

    /// Judges from the first sample on, by limits from elsewhere: an earlier study, or a revision that was approved.
    ///
    /// # Errors
    /// Settings or limits that no chart can be made of.
    pub fn with_limits(limits: Limits, settings: Settings) -> Result<Self, SettingsError> {
        settings.check(limits.chart)?;
        let chart = Chart::new(limits, settings.rules, settings.range_rules)?;
        Ok(Self { chart: limits.chart, settings, index: 0, revision: limits.revision, phase: Phase::Judging(chart) })
    }

    /// The next measured value (individuals).
    ///
    /// # Errors
    /// [`SampleError`]; the monitor is then as if the value had not come.
    #[inline]
    pub fn push_value(&mut self, value: f64) -> Result<Observation, SampleError> {
        self.push(Sample::Value(value))
    }

    /// The next `count` nonconforming among `n` pieces (p, np) or defects on `n` units (u).
    ///
    /// # Errors
    /// [`SampleError`]; the monitor is then as if the subgroup had not come.
    pub fn push_count(&mut self, count: u32, n: u32) -> Result<Observation, SampleError> {
        self.push(Sample::Counted { count, size: f64::from(n) })
    }

    /// The next sample, in the shape that the chart takes.
    ///
    /// # Errors
    /// [`SampleError`]; the monitor is then as if the sample had not come.
    #[inline]
    pub fn push(&mut self, sample: Sample) -> Result<Observation, SampleError> {
        let index = self.index.saturating_add(1);
        let observation = match &mut self.phase {
            Phase::Judging(chart) => chart.push(sample)?,
            Phase::Learning(estimator) => {
                // Measured first, because the estimator numbers only what this phase I has seen.
                self.chart.measure(sample, index)?;
                let Learnt { statistic, moving_range, within } = estimator.push(sample)?;
                let unjudged = |statistic| Point { index, statistic, lines: None, signals: Hits::EMPTY };
                let froze_limits = self.freeze_when_due(index);
                let (moving_range, within) = (moving_range.map(unjudged), within.map(unjudged));
                Observation { point: unjudged(statistic), moving_range, within, froze_limits }
            }
        };
        self.index = index;
        Ok(observation)
    }

    /// Ends phase I if it has seen enough. Individuals of which no two were consecutive have no moving range yet, and
    /// subgroups of one value no spread: they go on learning.
    fn freeze_when_due(&mut self, index: u64) -> bool {
        let Phase::Learning(estimator) = &mut self.phase else { return false };
        if estimator.used() < self.settings.phase_one_subgroups {
            return false;
        }
        let Ok(limits) = estimator.limits() else { return false };
        let revision = self.revision.saturating_add(1);
        let limits = Limits { revision, predecessor: (self.revision > 0).then_some(self.revision), ..limits };
        if limits.check().is_err() {
            return false;
        }
        let Settings { rules, range_rules, .. } = self.settings;
        let window = estimator.take_window();
        self.phase = Phase::Judging(Chart::following(limits, rules, range_rules, index, window));
        self.revision = revision;
        true
    }

    /// The frozen limits; `None` while phase I is learning.
    pub fn limits(&self) -> Option<&Limits> {
        match &self.phase {
            Phase::Learning(_) => None,
            Phase::Judging(chart) => Some(chart.limits()),
        }
    }

    /// Run rules start anew, as after a stop that was released: unfinished patterns are forgotten, and no moving range
    /// reaches back across the stop. Limits, numbering and what phase I has learnt stay.
    pub fn restart_runs(&mut self) {
        match &mut self.phase {
            Phase::Learning(estimator) => estimator.break_ranges(),
            Phase::Judging(chart) => chart.restart_runs(),
        }
    }

    /// Starts a new phase I, as after a process change. The next limits will name the present ones as predecessor.
    ///
    /// # Errors
    /// Only for a monitor that was read from a damaged checkpoint: its settings are checked again.
    pub fn relearn(&mut self) -> Result<(), SettingsError> {
        self.phase = Phase::Learning(Estimator::new(self.chart, &self.settings)?);
        Ok(())
    }

    /// Judges by other limits from the next sample on, as after a revision that was approved. They get the next revision number
    /// and name the present ones as predecessor; numbering goes on, unfinished patterns are forgotten.
    ///
    /// # Errors
    /// Limits that no chart can be made of, or of another chart; the monitor is then as it was.
    pub fn revise(&mut self, limits: Limits) -> Result<(), SettingsError> {
        if limits.chart != self.chart {
            return Err(SettingsError::Domain { chart: self.chart });
        }
        let revision = self.revision.saturating_add(1);
        let limits = Limits { revision, predecessor: (self.revision > 0).then_some(self.revision), ..limits };
        let mut chart = Chart::new(limits, self.settings.rules, self.settings.range_rules)?;
        chart.go_on_after(self.index);
        self.revision = revision;
        self.phase = Phase::Judging(chart);
        Ok(())
    }

    /// Revision of the limits in force, or of the last ones while phase I learns anew; 0 before the first.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Which chart this is.
    pub fn chart(&self) -> ChartKind {
        self.chart
    }

    /// What it was told at its start.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Number of the last accepted sample; 0 before the first.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Subgroups that phase I still needs; 0 once limits are frozen.
    pub fn subgroups_to_learn(&self) -> u32 {
        match &self.phase {
            Phase::Learning(estimator) => self.settings.phase_one_subgroups.saturating_sub(estimator.used()),
            Phase::Judging(_) => 0,
        }
    }
}
