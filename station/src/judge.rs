//! One inspection against the recipe: what is a defect, and what verdict follows.
//!
//! Invariant: without an inspection by the recipe's own model, with finite scores of known classes, there is no `Pass`.

use crate::inspection::{ClassId, Finding, Inspection, MissReason};
use crate::reading::Reading;
use crate::recipe::Recipe;
use crate::rubric::Seen;
use crate::rubric::scheme::{Scheme, VerdictBy};
use crate::verdict::{Judgement, Reason, Verdict};
use std::collections::BTreeMap;

/// The verdict on an inspected piece. `readings` are those in force when it arrived, and what was measured of it.
#[must_use]
pub fn judge(recipe: &Recipe, inspection: &Inspection, readings: &[Reading]) -> Judgement {
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
    let grade = recipe.rubric.grade(&Seen { recipe, inspection, readings });
    let verdict = verdict(recipe, count, grade);
    if verdict == Verdict::Pass {
        return Judgement { verdict, reasons: Vec::new(), grade };
    }
    let by_grade = decides(recipe).is_some_and(|scheme| !scheme.is_graded(grade));
    let by_grade = by_grade.then(|| Reason::Grade { grade, name: recipe.rubric.name(grade).into() });
    let defects = by_class.into_iter().map(|(class, (count, score))| Reason::Defects { class, count, score });
    Judgement { verdict, reasons: defects.chain(by_grade).collect(), grade }
}

/// The verdict on a piece with so many defects and this grade: by the defects, unless the rubric says otherwise. Where the grade
/// decides, a piece that the rubric cannot judge is one that nobody judged.
fn verdict(recipe: &Recipe, defects: u16, grade: u16) -> Verdict {
    let Some(scheme) = decides(recipe) else { return if defects == 0 { Verdict::Pass } else { Verdict::Reject } };
    if (scheme.verdict == VerdictBy::Both && defects > 0) || grade == scheme.below_index() {
        Verdict::Reject
    } else if scheme.is_graded(grade) {
        Verdict::Pass
    } else {
        Verdict::Hold
    }
}

/// The rubric document, if its grade has a say in the verdict.
fn decides(recipe: &Recipe) -> Option<&Scheme> {
    recipe.rubric.scheme.as_deref().filter(|scheme| scheme.verdict != VerdictBy::Defects)
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
    let Some(set) = &recipe.frame_set else {
        let sound = is_by_the_recipe(recipe, inspection) && inspection.findings.iter().all(|finding| is_sound(recipe, finding));
        let clean = defects(recipe, inspection).next().is_none();
        return if !sound {
            Verdict::Hold
        } else if clean {
            Verdict::Pass
        } else {
            Verdict::Reject
        };
    };
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
