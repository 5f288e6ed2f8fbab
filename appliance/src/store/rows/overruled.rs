//! What people put in place of a record's verdict: the record stays as it is, and who asks for passes must not be given a piece
//! that a person has rejected since.
//!
//! Invariant: the last overrule of a record counts, whatever the order in which they were taken in.

use serde::{Deserialize, Serialize};
use station::decision::{Decision, DecisionRecord};
use station::recipe::Recipe;
use station::verdict::Verdict;
use std::collections::BTreeMap;

/// The verdict and grade in force of a piece that was overruled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overruled {
    /// Number of the decision.
    pub decision_id: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// The grade's name in the rubric that was in force at the decision: the one that the person chose from.
    pub grade: String,
}

impl Overruled {
    /// The record that a decision overrules, and by what; `None` of any other decision.
    #[must_use]
    pub fn of(record: &DecisionRecord, recipe: Option<&Recipe>) -> Option<(u64, Self)> {
        let Decision::Overrule { result_id, verdict, grade } = record.decision else { return None };
        let grade = recipe.map_or_else(|| grade.to_string(), |recipe| recipe.rubric.name(grade));
        Some((result_id, Self { decision_id: record.decision_id, verdict, grade }))
    }
}

/// What is overruled, by the number of its record. People do this by hand: there are hundreds, not millions.
pub type Overrules = BTreeMap<u64, Overruled>;

/// Takes an overrule in.
pub fn note(overrules: &mut Overrules, result_id: u64, overruled: Overruled) {
    let known = overrules.get(&result_id).map_or(0, |known| known.decision_id);
    if known < overruled.decision_id {
        overrules.insert(result_id, overruled);
    }
}
