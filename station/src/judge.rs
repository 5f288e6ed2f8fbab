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
    if !is_by_the_recipe(recipe, inspection) || inspection.findings.iter().any(|finding| !is_sound(recipe, finding)) {
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

/// By the recipe's own model, and by every camera that belongs to it.
fn is_by_the_recipe(recipe: &Recipe, inspection: &Inspection) -> bool {
    match &recipe.frame_set {
        None => inspection.views.is_empty() && inspection.model == recipe.model,
        Some(set) => set.is_whole(inspection),
    }
}

/// What one camera's picture says by itself: the worst of what it can contribute. For people alone; a verdict is made of all.
#[must_use]
pub fn glance(recipe: &Recipe, inspection: &Inspection) -> Verdict {
    let Some(set) = &recipe.frame_set else { return judge(recipe, inspection).verdict };
    let member = set.members.iter().find(|member| member.camera == inspection.camera && member.model == inspection.model);
    let Some(member) = member else { return Verdict::Hold };
    if inspection.findings.iter().any(|finding| is_defect(recipe, &member.own(0, finding))) { Verdict::Reject } else { Verdict::Pass }
}

/// The judgement on a piece nobody inspected.
#[must_use]
pub fn hold(reason: MissReason) -> Judgement {
    hold_for(vec![Reason::Missed(reason)])
}

/// The judgement on a piece that not every camera of its frame set inspected.
pub(crate) const fn hold_for(reasons: Vec<Reason>) -> Judgement {
    Judgement { verdict: Verdict::Hold, reasons, grade: 0 }
}

/// The findings of an inspection that are defects by the recipe's thresholds, in the order of the inspection.
pub fn defects<'a>(recipe: &'a Recipe, inspection: &'a Inspection) -> impl Iterator<Item = &'a Finding> {
    inspection.findings.iter().filter(move |finding| is_defect(recipe, finding))
}

pub(crate) fn is_defect(recipe: &Recipe, finding: &Finding) -> bool {
    recipe.class(finding.class).is_none_or(|class| finding.score >= class.threshold)
}

fn is_sound(recipe: &Recipe, finding: &Finding) -> bool {
    let bounds = finding.bounds;
    recipe.class(finding.class).is_some()
        && [finding.score, bounds.x1, bounds.y1, bounds.x2, bounds.y2].iter().all(|number| number.is_finite())
        && finding.area_mm2.is_none_or(f32::is_finite)
}
