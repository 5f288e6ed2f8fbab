//! Incoming lots by ISO 2859-1: a sample of each is judged, and the series of lots decides how hard the next one is inspected.
//!
//! Invariants: a lot that was not sampled as its plan asks is not accepted; nothing leads out of discontinued inspection but
//! [`Incoming::resume`]. Reduced inspection is never entered, because there are no checked tables of it
//! (`spc::sampling::table` says why); normal inspection is stricter and always allowed (ISO 2859-1:1999, clause 9.3.3).

use super::scheme::Sampling;
use serde::Serialize;
use spc::sampling::switching::{Inspection, LotResult, Switching};
use spc::sampling::table::{Severity, TablePlan, code_letter, plan};
use spc::study::StudyError;

/// A series of lots of one product from one supplier.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    sampling: Sampling,
    switching: Switching,
}

/// What was decided of one lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// How it was inspected.
    pub inspection: Inspection,
    /// The plan; `None` while acceptance is discontinued.
    pub plan: Option<TablePlan>,
    /// Pieces of the sample that there were.
    pub sampled: u32,
    /// Nonconforming ones among them.
    pub nonconforming: u32,
    /// The lot is accepted.
    pub accepted: bool,
    /// How the next lot is inspected.
    pub next: Inspection,
}

impl Incoming {
    /// A series begins with normal inspection (ISO 2859-1:1999, clause 9.1).
    #[must_use]
    pub fn new(sampling: &Sampling) -> Self {
        Self { sampling: sampling.clone(), switching: Switching::default() }
    }

    /// How the next lot is inspected.
    #[must_use]
    pub const fn inspection(&self) -> Inspection {
        self.switching.inspection()
    }

    /// The plan of the next lot, of `lot` pieces; `None` while acceptance is discontinued. Where the sample of the table is not
    /// smaller than the lot, the whole lot is inspected.
    ///
    /// # Errors
    /// A lot of fewer than two pieces; an AQL that the tables do not have.
    pub fn plan(&self, lot: u32) -> Result<Option<TablePlan>, StudyError> {
        let severity = match self.inspection() {
            Inspection::Normal | Inspection::Reduced => Severity::Normal,
            Inspection::Tightened => Severity::Tightened,
            Inspection::Discontinued => return Ok(None),
        };
        let found = plan(code_letter(lot, self.sampling.level)?, self.sampling.aql, severity)?;
        Ok(Some(TablePlan { size: found.size.min(lot), ..found }))
    }

    /// Judges the next lot of `lot` pieces by the grades of its pieces, of which the first are the sample. A grade of 0 (a piece
    /// that nobody judged) and whatever is not one of the `graded` ones is nonconforming.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn judge(&mut self, lot: u32, grades: &[u16], graded: impl Fn(u16) -> bool) -> Result<Decision, StudyError> {
        let inspection = self.inspection();
        let Some(plan) = self.plan(lot)? else {
            return Ok(Decision { inspection, plan: None, sampled: 0, nonconforming: 0, accepted: false, next: inspection });
        };
        let size = usize::try_from(plan.size).unwrap_or(usize::MAX);
        let sample = &grades[..grades.len().min(size)];
        let fails = |grade: &&u16| !graded(**grade) || self.sampling.nonconforming.contains(grade);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let nonconforming = count(sample.iter().filter(fails).count());
        let accepted = sample.len() == size && nonconforming <= plan.accept;
        let next = self.switching.push(LotResult { accepted, accept: plan.accept, one_step_tighter: false, steady: false });
        Ok(Decision { inspection, plan: Some(plan), sampled: count(sample.len()), nonconforming, accepted, next })
    }

    /// The supplier has acted and the responsible authority agrees: inspection goes on, tightened.
    pub fn resume(&mut self) {
        self.switching.resume();
    }
}
