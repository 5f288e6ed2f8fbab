//! Limits as a record that can be signed: who made them, of which data, why, when, and in place of which others.
//!
//! Invariants: a revision never changes; each but the first names its predecessor; nobody signs anonymously or without a
//! reason; time is given by the caller, the crate has no clock.

use serde::{Deserialize, Serialize};

use super::{Limits, Settings};
use crate::batch::{BatchError, estimate, judge};
use crate::chart::{ChartKind, Observation, Sample};
use crate::rules::RuleSet;

/// A subgroup that was left out of limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// Its number in the caller's numbering of points.
    pub point: u64,
    /// The assignable cause that was found.
    pub reason: String,
}

/// Who answers for limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOff {
    /// A person's name or badge.
    pub author: String,
    /// Why limits were made or revised.
    pub reason: String,
    /// Microseconds since 1970, given by the caller.
    pub at_micros: i64,
}

/// One revision of a chart's limits with everything that an auditor asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    limits: Limits,
    settings: Settings,
    first_point: u64,
    last_point: u64,
    exclusions: Vec<Exclusion>,
    signed: SignOff,
}

/// Why no revision was made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RevisionError {
    /// No limits can be made of the data.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// No name, or no reason.
    #[error("limits are signed with a name and a reason")]
    Unsigned,
    /// An exclusion without an assignable cause.
    #[error("point {point} is left out without a reason: write down the cause that was found")]
    NoCause {
        /// Number of the point.
        point: u64,
    },
    /// An exclusion that is no point of the data.
    #[error("point {point} is left out, but is not among the points {first} to {last}")]
    NotInData {
        /// Number of the point.
        point: u64,
        /// First point of the data.
        first: u64,
        /// Last point of the data.
        last: u64,
    },
    /// The predecessor belongs to another chart.
    #[error("limits of a {chart:?} chart cannot follow those of a {predecessor:?} chart")]
    OtherChart {
        /// The chart asked for.
        chart: ChartKind,
        /// The chart of the predecessor.
        predecessor: ChartKind,
    },
}

/// Consecutive subgroups that limits are made of.
#[derive(Debug, Clone, Copy)]
pub struct DataUsed<'a> {
    /// Number of the first one in the caller's numbering.
    pub first_point: u64,
    /// The subgroups.
    pub samples: &'a [Sample],
}

impl Revision {
    /// Limits from data, signed. The number follows that of the predecessor.
    ///
    /// # Errors
    /// [`RevisionError`], naming what is missing.
    pub fn make(
        chart: ChartKind,
        data: DataUsed<'_>,
        exclusions: Vec<Exclusion>,
        settings: &Settings,
        predecessor: Option<&Self>,
        signed: SignOff,
    ) -> Result<Self, RevisionError> {
        let DataUsed { first_point: first, samples } = data;
        let last = first.saturating_add(u64::try_from(samples.len()).unwrap_or(u64::MAX)).saturating_sub(1);
        if signed.author.trim().is_empty() || signed.reason.trim().is_empty() {
            return Err(RevisionError::Unsigned);
        }
        for Exclusion { point, reason } in &exclusions {
            let point = *point;
            if reason.trim().is_empty() {
                return Err(RevisionError::NoCause { point });
            }
            if !(first..=last).contains(&point) {
                return Err(RevisionError::NotInData { point, first, last });
            }
        }
        if let Some(other) = predecessor.map(|before| before.limits.chart).filter(|other| *other != chart) {
            return Err(RevisionError::OtherChart { chart, predecessor: other });
        }
        let left_out: Vec<u64> = exclusions.iter().map(|exclusion| exclusion.point - first + 1).collect();
        let limits = estimate(chart, samples, &left_out, settings)?;
        let before = predecessor.map(|before| before.limits.revision);
        let limits = Limits { revision: before.unwrap_or(0).saturating_add(1), predecessor: before, ..limits };
        Ok(Self { limits, settings: *settings, first_point: first, last_point: last, exclusions, signed })
    }

    /// What this revision would have signalled: every sample judged by its limits, as if they had held all along.
    /// Observations are numbered from 1; those that signal are the ones with [`Observation::signals`].
    ///
    /// # Errors
    /// [`BatchError`], naming the point where one is at fault.
    pub fn would_have_signalled(&self, samples: &[Sample]) -> Result<Vec<Observation>, BatchError> {
        let Settings { rules, range_rules, .. } = self.settings;
        self.signals_under(rules, range_rules, samples)
    }

    /// As [`Revision::would_have_signalled`], under other rules than those that it was made with.
    ///
    /// # Errors
    /// [`BatchError`], naming the point where one is at fault.
    pub fn signals_under(&self, rules: RuleSet, range_rules: RuleSet, samples: &[Sample]) -> Result<Vec<Observation>, BatchError> {
        let all = judge(self.limits, rules, range_rules, samples)?;
        Ok(all.into_iter().filter(|observation| observation.signals().next().is_some()).collect())
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The settings that they were made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// First and last point of the data used.
    pub fn points(&self) -> (u64, u64) {
        (self.first_point, self.last_point)
    }

    /// What was left out, and why.
    pub fn exclusions(&self) -> &[Exclusion] {
        &self.exclusions
    }

    /// Who answers for it.
    pub fn signed(&self) -> &SignOff {
        &self.signed
    }
}
