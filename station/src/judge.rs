//! One inspection against the recipe: what is a defect, and what verdict follows.
//!
//! Invariant: without an inspection by the recipe's own model, with finite scores of known classes, there is no `Pass`.

use crate::inspection::{ClassId, Finding, Inspection, MissReason};
use crate::recipe::Recipe;
use crate::verdict::{Judgement, Reason, Verdict};
use std::collections::BTreeMap;

/// The verdict on an inspected piece.
#[must_use]
pub fn judge(recipe: &Recipe, inspection: &Inspection) -> Judgement {
    if inspection.model != recipe.model || inspection.findings.iter().any(|finding| !is_sound(recipe, finding)) {
        return hold(MissReason::ModelError);
    }
    let mut by_class: BTreeMap<ClassId, (u16, f32)> = BTreeMap::new();
    let mut count: u16 = 0;
    for finding in defects(recipe, inspection) {
        count = count.saturating_add(1);
        let (many, best) = by_class.entry(finding.class).or_insert((0, 0.0));
        *many = many.saturating_add(1);
        *best = best.max(finding.score);
    }
    let suspects_from = |score: f32| {
        let suspects = inspection.findings.iter().filter(|finding| finding.score >= score && !is_defect(recipe, finding));
        u16::try_from(suspects.count()).unwrap_or(u16::MAX)
    };
    let grade = recipe.rubric.grade(count, suspects_from);
    let verdict = if count == 0 { Verdict::Pass } else { Verdict::Reject };
    let reasons = by_class.into_iter().map(|(class, (count, score))| Reason::Defects { class, count, score }).collect();
    Judgement { verdict, reasons, grade }
}

/// The judgement on a piece nobody inspected.
#[must_use]
pub fn hold(reason: MissReason) -> Judgement {
    Judgement { verdict: Verdict::Hold, reasons: vec![Reason::Missed(reason)], grade: 0 }
}

/// The findings of an inspection that are defects by the recipe's thresholds, in the order of the inspection.
pub fn defects<'a>(recipe: &'a Recipe, inspection: &'a Inspection) -> impl Iterator<Item = &'a Finding> {
    inspection.findings.iter().filter(move |finding| is_defect(recipe, finding))
}

fn is_defect(recipe: &Recipe, finding: &Finding) -> bool {
    recipe.class(finding.class).is_none_or(|class| finding.score >= class.threshold)
}

fn is_sound(recipe: &Recipe, finding: &Finding) -> bool {
    let bounds = finding.bounds;
    recipe.class(finding.class).is_some()
        && [finding.score, bounds.x1, bounds.y1, bounds.x2, bounds.y2].iter().all(|number| number.is_finite())
        && finding.area_mm2.is_none_or(f32::is_finite)
}
