//! The lots of a ledger: the grade of each, and how it would have been sampled when it came in.

use super::Period;
use super::ledger::{self, Progress, ReadError};
use crate::config::rubric::Document;
use serde::Serialize;
use station::rubric::Seen;
use station::rubric::incoming::{Decision, Incoming};
use station::rubric::lot::{LotTally, LotVerdict};
use station::rubric::scheme::Scheme;
use std::collections::BTreeMap;
use std::path::Path;

/// The lots of a period, in the order of their first pieces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lots {
    /// The lots.
    pub lots: Vec<Lot>,
    /// Places of the ledger that are damaged and were left out.
    pub damaged: u64,
    /// How the next incoming lot is inspected; absent where the rubric does not sample.
    pub next: Option<&'static str>,
}

/// One lot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lot {
    /// Its number.
    pub lot: u32,
    /// Its pieces.
    pub pieces: u32,
    /// Pieces by name of their grade.
    pub grades: Vec<(String, u32)>,
    /// Its grade; absent where the rubric grades no lots.
    pub grade: Option<LotVerdict>,
    /// What ISO 2859-1 says of it, in words; absent where the rubric does not sample.
    pub sampling: Option<String>,
}

#[derive(Default)]
struct Gathered {
    tally: LotTally,
    grades: Vec<u16>,
}

/// Grades every lot of a period. Challenge pieces are no product and belong to none.
///
/// # Errors
/// As [`ledger::pieces`].
pub fn grade(data: &Path, document: &Document, scheme: &Scheme, period: Period, progress: Progress<'_>) -> Result<Lots, ReadError> {
    let mut order = Vec::new();
    let mut gathered: BTreeMap<u32, Gathered> = BTreeMap::new();
    let damaged = ledger::pieces(data, period, progress, &mut |recipe, piece| {
        let lot = piece.arrival.lot;
        if lot == 0 || piece.arrival.golden {
            return;
        }
        let seen = |inspection| document.rubric.grade(&Seen { recipe, inspection, readings: &piece.readings });
        let grade = piece.inspection.as_deref().map_or(0, seen);
        let of_lot = gathered.entry(lot).or_insert_with(|| {
            order.push(lot);
            Gathered::default()
        });
        of_lot.tally.note(scheme, grade, &piece.readings);
        of_lot.grades.push(grade);
    })?;
    let mut series = scheme.sampling.as_ref().map(Incoming::new);
    let known = |grade: u16| grade != 0 && grade != scheme.cannot_judge_index();
    let mut lots = Vec::new();
    for number in order {
        let Some(Gathered { tally, grades }) = gathered.remove(&number) else { continue };
        let sampling = series.as_mut().map(|series| match series.judge(tally.pieces, &grades, known) {
            Ok(decision) => told(&decision),
            Err(error) => format!("cannot be sampled: {error}"),
        });
        let named = tally.by_grade.iter().map(|(grade, count)| (document.rubric.name(*grade), *count)).collect();
        lots.push(Lot { lot: number, pieces: tally.pieces, grades: named, grade: scheme.lot_grade(&tally), sampling });
    }
    Ok(Lots { lots, damaged, next: series.map(|series| severity(&series)) })
}

fn severity(series: &Incoming) -> &'static str {
    name(&serde_json::json!(series.inspection()))
}

/// The name of a severity. `station` does not hand the type on, but its JSON.
fn name(severity: &serde_json::Value) -> &'static str {
    match severity.as_str() {
        Some("Normal") => "normal",
        Some("Tightened") => "tightened",
        Some("Reduced") => "reduced",
        _ => "discontinued",
    }
}

fn told(decision: &Decision) -> String {
    let before = name(&serde_json::json!(decision.inspection));
    let next = name(&serde_json::json!(decision.next));
    let after = if before == next { String::new() } else { format!("; from now on {next}") };
    let Some(plan) = decision.plan else { return "not accepted: acceptance is discontinued until the supplier has acted".to_owned() };
    let verdict = if decision.accepted { "accepted" } else { "not accepted" };
    let short = if decision.sampled < plan.size { format!(", of which there are {}", decision.sampled) } else { String::new() };
    format!(
        "{before} inspection, letter {}: {} of {} pieces{short} nonconforming, accepted up to {}: {verdict}{after}",
        plan.letter, decision.nonconforming, plan.size, plan.accept
    )
}
