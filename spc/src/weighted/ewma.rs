//! Exponentially weighted moving average: every point counts, the older the less.
//!
//! Invariant: the state is the weighted mean and two numbers about its variance; a process that sits on its centre gives
//! exactly the centre.

use serde::{Deserialize, Serialize};

use super::process::setting;
use super::{Process, ProcessError, summarise};
use crate::chart::{Lines, Point, SampleError};
use crate::limits::Settings;
use crate::rules::{Rule, RuleSet, Runs};

/// Which standard error the limits are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EwmaWidth {
    /// That of this point as if all subgroups had its size, `σ/√nₜ · √(λ(1 − (1−λ)^(2t))/(2−λ))`: narrow at first, exact
    /// where sizes are equal.
    #[default]
    Exact,
    /// That of a chart that has run for long, `σ/√nₜ · √(λ/(2−λ))`: the same from the first point on.
    Asymptotic,
    /// As `Exact`, but each subgroup with its own size: `vₜ = (1−λ)² vₜ₋₁ + λ² σ²/nₜ`.
    Recursive,
    /// The limits of `Exact` times `1 − 0.5·0.02^((t−1)/19)`: half as wide at the first point, 1 % narrower at the 20th, so
    /// that a process that starts, or starts again, off its centre is found sooner. The zones of run rules stay those of
    /// `Exact`. Source: S. H. Steiner, Journal of Quality Technology 31(1), 1999, 75–86, with f = 0.5.
    Steiner,
}

/// `0.02^(1/19)`, by which Steiner's narrowing shrinks from point to point.
const STEINER: f64 = 0.813_917_761_929_462_1;

/// What an EWMA chart is told before its first point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EwmaSettings {
    /// Weight λ of the newest point, 0.0001 to 1; the smaller, the smaller the shifts that are found.
    pub lambda: f64,
    /// Distance L of the limits from the centre, in standard errors.
    pub width: f64,
    /// Which standard error.
    pub limits: EwmaWidth,
    /// Rules judged; rule 1 only unless chosen otherwise.
    pub rules: RuleSet,
}

impl Default for EwmaSettings {
    /// λ = 0.1 and L = 2.7: one false alarm in about 500 points, and a shift of one standard error found after about 10
    /// (Montgomery, Introduction to Statistical Quality Control, section 9.2.2).
    fn default() -> Self {
        Self { lambda: 0.1, width: 2.7, limits: EwmaWidth::Exact, rules: RuleSet::only(&[Rule::Nelson1]) }
    }
}

/// An EWMA chart with frozen limits, for individuals and subgroups of any size.
///
/// Source: S. W. Roberts, Technometrics 1(3), 1959, 239–250; Montgomery, section 9.2.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    process: Process,
    settings: EwmaSettings,
    value: f64,
    /// `(1 − λ)^(2t)`.
    left: f64,
    /// Variance of the weighted mean in units of σ².
    variance: f64,
    /// By how much Steiner's limits are narrower at the next point.
    narrowing: f64,
    runs: Runs,
    index: u64,
}

impl Ewma {
    /// A chart at its first point, starting on the centre.
    ///
    /// # Errors
    /// [`ProcessError`] for a process or setting that cannot be meant.
    pub fn new(process: Process, settings: EwmaSettings) -> Result<Self, ProcessError> {
        process.check()?;
        let EwmaSettings { lambda, width, rules, .. } = settings;
        setting("lambda", lambda, (1e-4..=1.0).contains(&lambda), "between 0.0001 and 1")?;
        setting("width", width, width > 0.0 && width <= 1000.0, "above 0 and at most 1000")?;
        rules.check()?;
        Ok(Self::fresh(process, settings, 0))
    }

    fn fresh(process: Process, settings: EwmaSettings, index: u64) -> Self {
        let runs = Runs::default();
        Self { process, settings, value: process.centre, left: 1.0, variance: 0.0, narrowing: 0.5, runs, index }
    }

    /// A chart at its first point, starting on the centre, by a process estimated from phase I as [`Process::phase_one`] usually does;
    /// subgroups in `excluded` (numbered from 1) are left out.
    ///
    /// # Errors
    /// [`ProcessError`], naming the subgroup where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64], settings: EwmaSettings) -> Result<Self, ProcessError> {
        Self::new(Process::phase_one(subgroups, excluded, &Settings::values())?, settings)
    }

    /// Judges the next subgroup: `zₜ = λ x̄ₜ + (1 − λ) zₜ₋₁`, in the unit of the values.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the subgroup had not come.
    pub fn push(&mut self, subgroup: &[f64]) -> Result<Point, SampleError> {
        let index = self.index.saturating_add(1);
        let (mean, share) = summarise(subgroup, index)?;
        let EwmaSettings { lambda, width, limits, rules } = self.settings;
        let Process { centre, sigma, .. } = self.process;
        self.index = index;
        self.value += lambda * (mean - self.value);
        let kept = (1.0 - lambda) * (1.0 - lambda);
        self.left *= kept;
        self.variance = kept * self.variance + lambda * lambda * share;
        let settled = lambda / (2.0 - lambda) * share;
        let variance = match limits {
            EwmaWidth::Exact | EwmaWidth::Steiner => settled * (1.0 - self.left),
            EwmaWidth::Asymptotic => settled,
            EwmaWidth::Recursive => self.variance,
        };
        let se = sigma * variance.sqrt();
        let away = width * se * if limits == EwmaWidth::Steiner { 1.0 - self.narrowing } else { 1.0 };
        self.narrowing *= STEINER;
        let lines = Lines { centre, lcl: centre - away, ucl: centre + away, se };
        let signals = self.runs.judge(self.value, self.value, &lines, &rules);
        Ok(Point { index, statistic: self.value, lines: Some(lines), signals })
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`SampleError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<Point>, SampleError> {
        subgroups.iter().map(|subgroup| self.push(subgroup.as_ref())).collect()
    }

    /// Starts on the centre again, as after a stop that was released; numbering goes on.
    pub fn restart(&mut self) {
        let Self { process, settings, index, .. } = *self;
        *self = Self::fresh(process, settings, index);
    }

    /// What it judges by.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it was told at its start.
    #[must_use]
    pub fn settings(&self) -> &EwmaSettings {
        &self.settings
    }
}
