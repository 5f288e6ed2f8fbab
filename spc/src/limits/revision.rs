//! Limits as a record that can be signed: who made them, of which data, why, when, and in place of which others.
//!
//! Invariants: a revision never changes; each but the first names its predecessor; nobody signs anonymously or without a
//! reason; time is given by the caller, the crate has no clock.

use serde::{Deserialize, Serialize};

use super::{Limits, Settings};
use crate::batch::{BatchError, estimate, judge};
use crate::chart::{ChartKind, Observation, Sample, Signal};
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

    /// What this revision would have signalled, had its limits held all along: the observations that signal, numbered
    /// from 1 within the samples.
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

    /// [`would_differ`] between the revision in force and this one, each under the rules that it was made with.
    ///
    /// # Errors
    /// [`BatchError`], naming the point where one is at fault.
    pub fn would_differ_from(&self, in_force: &Self, samples: &[Sample]) -> Result<Vec<Difference>, BatchError> {
        let rules_of = |revision: &Self| (revision.limits, revision.settings.rules, revision.settings.range_rules);
        would_differ(rules_of(in_force), rules_of(self), samples)
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

/// A point at which limits in force or revised ones signal, and which rules on which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Number of the point, from 1 within the samples.
    pub point: u64,
    /// What the limits in force signalled there.
    pub in_force: Vec<Signal>,
    /// What the revised limits would have signalled there.
    pub revised: Vec<Signal>,
}

impl Difference {
    /// Only the revised limits would have stopped here.
    pub fn is_new(&self) -> bool {
        self.in_force.is_empty()
    }

    /// Only the limits in force did stop here.
    pub fn is_gone(&self) -> bool {
        self.revised.is_empty()
    }
}

/// What a revision would change: every point of a series at which the limits in force signal, the revised ones would, or
/// both, for any chart. Each side is limits, rules, and rules of the charts of spread; both start the series afresh, and
/// neither is changed. Points that signal under neither are left out.
///
/// # Errors
/// [`BatchError`], naming the point where one is at fault.
pub fn would_differ(
    in_force: (Limits, RuleSet, RuleSet),
    revised: (Limits, RuleSet, RuleSet),
    samples: &[Sample],
) -> Result<Vec<Difference>, BatchError> {
    let judged = |(limits, rules, range_rules): (Limits, RuleSet, RuleSet)| judge(limits, rules, range_rules, samples);
    let pairs = judged(in_force)?.into_iter().zip(judged(revised)?);
    let of = |(now, then): (Observation, Observation)| Difference {
        point: now.point.index,
        in_force: now.signals().collect(),
        revised: then.signals().collect(),
    };
    Ok(pairs.map(of).filter(|difference| !(difference.is_new() && difference.is_gone())).collect())
}
