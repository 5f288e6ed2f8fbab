//! The verdict on one piece, and why.
//!
//! Invariant: `Pass` exists only for a piece with a completed inspection. Everything else is `Reject` or `Hold`.

use crate::inspection::{ClassId, MissReason};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What happens to a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good: inspected, nothing found above a threshold, and not recalled.
    Pass,
    /// Bad: inspected, at least one defect; or recalled and seen again.
    Reject,
    /// Nobody judged it. The gate treats it like a reject.
    Hold,
}

impl Verdict {
    /// The name as written in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Reject => "reject",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One reason of a verdict that is not `Pass`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Defects of one class, and the best score among them.
    Defects {
        /// The class.
        class: ClassId,
        /// How many.
        count: u16,
        /// Best score, 0…1.
        score: f32,
    },
    /// Its grade keeps it from passing: it is below the grades of the rubric (reject), or cannot be judged by it (hold).
    Grade {
        /// Index of the grade.
        grade: u16,
        /// Its name.
        name: Arc<str>,
    },
    /// It was not inspected.
    Missed(MissReason),
    /// One camera of its frame set did not see it.
    MissedBy {
        /// The camera.
        camera: Arc<str>,
        /// Why.
        reason: MissReason,
    },
    /// It was recalled, and was seen again.
    Recalled {
        /// The decision that recalled it.
        recall: u64,
        /// What people call that recall.
        name: Arc<str>,
    },
}

impl Reason {
    /// Why the piece was not inspected, if that is what it says.
    #[must_use]
    pub const fn missed(&self) -> Option<MissReason> {
        match self {
            Self::Missed(reason) | Self::MissedBy { reason, .. } => Some(*reason),
            Self::Defects { .. } | Self::Grade { .. } | Self::Recalled { .. } => None,
        }
    }
}

/// Verdict, reasons and grade of one piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What happens to the piece.
    pub verdict: Verdict,
    /// Why; empty for a pass.
    pub reasons: Vec<Reason>,
    /// Index into the rubric's grades, 1-based; 0 = not graded (hold).
    pub grade: u16,
}
