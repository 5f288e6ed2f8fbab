//! Cumulative sums of what lies beyond the slack, one for each side: the chart that finds a given small shift soonest.
//!
//! Invariants: the state is two sums at or above 0 and how long each has been above 0; no reset after a signal, because
//! whether a stop was released is the caller's knowledge ([`Cusum::restart`]).

use serde::{Deserialize, Serialize};

use super::process::setting;
use super::{Process, ProcessError, summarise};
use crate::chart::SampleError;
use crate::limits::Settings;

/// What a CUSUM chart is told before its first point, all in standard errors of the point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CusumSettings {
    /// Shift to be found, above 0; the slack k is half of it.
    pub shift: f64,
    /// Decision interval h, above 0.
    pub interval: f64,
    /// Where both sums start, at or above 0 and at most h: fast initial response. Half of h finds a process that starts, or
    /// starts again, off its centre in about half the time.
    pub head_start: f64,
}

impl Default for CusumSettings {
    /// A shift of 1 and h = 5: one false alarm in 465 points, and the shift found after about 10 (Montgomery,
    /// Introduction to Statistical Quality Control, table 9.3). No head start.
    fn default() -> Self {
        Self { shift: 1.0, interval: 5.0, head_start: 0.0 }
    }
}

/// One point of a CUSUM chart. All but the numbers of points are in standard errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CusumPoint {
    /// Number of the point, from 1; points refused are not counted.
    pub index: u64,
    /// The subgroup's mean, as its distance from the centre in standard errors.
    pub z: f64,
    /// C⁺: what has come together above the centre.
    pub upper: f64,
    /// C⁻: what has come together below it, as a number at or above 0. Usually drawn downwards.
    pub lower: f64,
    /// Decision interval h of both.
    pub interval: f64,
    /// The upper sum is beyond (strictly above) it.
    pub upper_signal: bool,
    /// The lower sum is beyond it.
    pub lower_signal: bool,
    /// N⁺: points since the upper sum was last 0. With a signal, the shift most likely began so many points ago.
    pub upper_since: u64,
    /// N⁻: the same of the lower sum.
    pub lower_since: u64,
}

/// A tabular CUSUM chart with frozen limits, for individuals and subgroups of any size:
/// `C⁺ = max(0, C⁺ + z − k)`, `C⁻ = max(0, C⁻ − z − k)`.
///
/// Source: E. S. Page, Biometrika 41 (1954) 100–115; J. M. Lucas and R. B. Crosier, "Fast initial response for CUSUM
/// quality-control schemes", Technometrics 24(3), 1982, 199–205; Montgomery, section 9.1.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    process: Process,
    settings: CusumSettings,
    upper: f64,
    lower: f64,
    upper_since: u64,
    lower_since: u64,
    /// The point after which the sums started at the head start.
    started: u64,
    index: u64,
}

impl Cusum {
    /// A chart at its first point.
    ///
    /// # Errors
    /// [`ProcessError`] for a process without variation, which has no standard error to sum in, or a setting that cannot be
    /// meant.
    pub fn new(process: Process, settings: CusumSettings) -> Result<Self, ProcessError> {
        process.check()?;
        let Process { centre, sigma, .. } = process;
        if sigma <= 0.0 {
            return Err(ProcessError::Domain { centre, sigma });
        }
        let CusumSettings { shift, interval, head_start } = settings;
        setting("shift", shift, shift > 0.0 && shift <= 1e6, "above 0 and at most 1e6")?;
        setting("interval", interval, interval > 0.0 && interval <= 1e6, "above 0 and at most 1e6")?;
        setting("head_start", head_start, (0.0..=interval).contains(&head_start), "between 0 and the decision interval")?;
        Ok(Self { process, settings, upper: head_start, lower: head_start, upper_since: 0, lower_since: 0, started: 0, index: 0 })
    }

    /// A chart at its first point, both sums at the head start, by a process estimated from phase I as [`Process::phase_one`] usually does;
    /// subgroups in `excluded` (numbered from 1) are left out.
    ///
    /// # Errors
    /// [`ProcessError`], naming the subgroup where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(subgroups: &[S], excluded: &[u64], settings: CusumSettings) -> Result<Self, ProcessError> {
        Self::new(Process::phase_one(subgroups, excluded, &Settings::values())?, settings)
    }

    /// Judges the next subgroup.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the subgroup had not come. A sum that would leave `f64` is
    /// [`SampleError::TooLarge`].
    pub fn push(&mut self, subgroup: &[f64]) -> Result<CusumPoint, SampleError> {
        let index = self.index.saturating_add(1);
        let (mean, share) = summarise(subgroup, index)?;
        let z = (mean - self.process.centre) / (self.process.sigma * share.sqrt());
        let CusumSettings { shift, interval, .. } = self.settings;
        let slack = 0.5 * shift;
        let (upper, lower) = (self.upper + z - slack, self.lower - z - slack);
        if !(upper.is_finite() && lower.is_finite()) {
            return Err(SampleError::TooLarge { point: index });
        }
        self.index = index;
        (self.upper, self.upper_since) = kept(upper, self.upper_since);
        (self.lower, self.lower_since) = kept(lower, self.lower_since);
        Ok(CusumPoint {
            index,
            z,
            upper: self.upper,
            lower: self.lower,
            interval,
            upper_signal: self.upper > interval,
            lower_signal: self.lower > interval,
            upper_since: self.upper_since,
            lower_since: self.lower_since,
        })
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`SampleError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<CusumPoint>, SampleError> {
        subgroups.iter().map(|subgroup| self.push(subgroup.as_ref())).collect()
    }

    /// The mean of the process as the sums tell it, in the unit of the values: meant to be asked at a signal. `None` while
    /// both sums are 0, and after the larger one began at a head start that it has not lost yet. `size` is that of the
    /// subgroups. Source: Montgomery, section 9.1.2.
    #[must_use]
    pub fn shifted_mean(&self, size: u32) -> Option<f64> {
        let up = self.upper >= self.lower;
        let (sum, since) = if up { (self.upper, self.upper_since) } else { (self.lower, self.lower_since) };
        let from_nothing = self.settings.head_start == 0.0 || since < self.index.saturating_sub(self.started);
        if since == 0 || size == 0 || !from_nothing {
            return None;
        }
        let points = u32::try_from(since).map_or(f64::from(u32::MAX), f64::from);
        let away = (0.5 * self.settings.shift + sum / points) * self.process.sigma / f64::from(size).sqrt();
        Some(if up { self.process.centre + away } else { self.process.centre - away })
    }

    /// Both sums start anew, at the head start, as after a stop that was released; numbering goes on.
    pub fn restart(&mut self) {
        let Self { process, settings, index, .. } = *self;
        let sum = settings.head_start;
        *self = Self { process, settings, upper: sum, lower: sum, upper_since: 0, lower_since: 0, started: index, index };
    }

    /// What it judges by.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// A sum is never below 0; it counts how long it has been above.
fn kept(sum: f64, since: u64) -> (f64, u64) {
    if sum > 0.0 { (sum, since.saturating_add(1)) } else { (0.0, 0) }
}
