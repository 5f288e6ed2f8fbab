//! The frame set: several cameras look at one piece, and what they saw becomes one inspection or none.
//!
//! ```text
//!   Arrived ─▶ every camera takes its picture ─▶ Seen of each, in any order ─▶ all there, taken together ─▶ one inspection
//!                        └─ Missed of any, another model, a stranger, taken apart, the piece's deadline ─▶ a hold
//! ```
//! Invariants: no inspection comes of a set that lacks a member, whatever the others saw; a member counts once, with what
//! it said first; the order in which members are heard changes nothing; a hold names the camera it is because of.

use crate::inspection::{CameraView, ClassId, Finding, Inspection, MissReason, ModelRef, StageMicros};
use crate::judge::is_defect;
use crate::recipe::Recipe;
use crate::units::Micros;
use crate::verdict::Reason;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The cameras that look at one piece together. A missing member makes the piece a hold: there is no other rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSet {
    /// From the first picture of a piece in memory to the last one at most this long: else they may show it at different places.
    pub window: Micros,
    /// The cameras, in the order of the settings; two at least.
    pub members: Vec<Member>,
}

/// One camera of a frame set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, unique in the set.
    pub camera: Arc<str>,
    /// The model that must have looked at its pictures.
    pub model: Arc<ModelRef>,
    /// Which class of the recipe each class of that model's package is, in the package's order.
    pub classes: Vec<ClassId>,
}

impl Member {
    /// A finding of this member in the classes of the recipe. Class 0 is never a class: one that its package does not have is
    /// nonsense, and a hold.
    pub(crate) fn own(&self, camera: u8, finding: &Finding) -> Finding {
        let class = usize::from(finding.class.0).checked_sub(1).and_then(|index| self.classes.get(index));
        Finding { class: class.copied().unwrap_or(ClassId(0)), camera, ..*finding }
    }
}

/// What the members have said of one piece so far, each in its place.
pub(crate) type Heard = Vec<Option<Arc<Inspection>>>;

/// Where a frame set stands once a member was heard.
pub(crate) enum Standing {
    /// Others are still to come.
    Waiting,
    /// All are there.
    Whole(Arc<Inspection>),
    /// It will never be whole.
    Broken(Vec<Reason>),
}

impl FrameSet {
    /// Takes what one camera saw of a piece.
    pub(crate) fn hear(&self, recipe: &Recipe, heard: &mut Heard, inspection: &Arc<Inspection>) -> Standing {
        heard.resize(self.members.len(), None);
        let broken = |camera: &Arc<str>, reason| Standing::Broken(vec![Reason::MissedBy { camera: Arc::clone(camera), reason }]);
        let index = self.members.iter().position(|member| member.camera == inspection.camera);
        let Some((member, place)) = index.and_then(|index| self.members.get(index).zip(heard.get_mut(index))) else {
            return broken(&inspection.camera, MissReason::FrameSet);
        };
        if place.is_some() {
            return Standing::Waiting;
        }
        if member.model != inspection.model || !inspection.views.is_empty() {
            return broken(&member.camera, MissReason::ModelError);
        }
        *place = Some(Arc::clone(inspection));
        let Some(all) = heard.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else { return Standing::Waiting };
        let first = all.iter().map(|seen| seen.micros.capture).min().unwrap_or_default();
        let last = all.iter().map(|seen| seen.micros.capture).max().unwrap_or_default();
        if last - first > self.window.0 {
            let late = all.iter().filter(|seen| seen.micros.capture - first > self.window.0);
            let named = |seen: &&Arc<Inspection>| Reason::MissedBy { camera: Arc::clone(&seen.camera), reason: MissReason::FrameSet };
            return Standing::Broken(late.map(named).collect());
        }
        Standing::Whole(Arc::new(self.join(recipe, inspection, &all)))
    }

    /// Why a piece is a hold whose deadline has passed: every camera that was not heard.
    pub(crate) fn not_heard(&self, heard: &Heard) -> Vec<Reason> {
        let missing = |(index, _): &(usize, &Member)| !matches!(heard.get(*index), Some(Some(_)));
        let named = |(_, member): (usize, &Member)| Reason::MissedBy { camera: Arc::clone(&member.camera), reason: MissReason::Deadline };
        self.members.iter().enumerate().filter(missing).map(named).collect()
    }

    /// True if every member is in `inspection`, in its place and looked at by its own model.
    pub(crate) fn is_whole(&self, inspection: &Inspection) -> bool {
        let is_member = |(view, member): (&CameraView, &Member)| view.camera == member.camera && view.model == member.model;
        inspection.views.len() == self.members.len() && inspection.views.iter().zip(&self.members).all(is_member)
    }

    /// One inspection of what all have seen. It shows the picture with the worst defect, the first camera's if there is none.
    fn join(&self, recipe: &Recipe, first: &Inspection, all: &[&Arc<Inspection>]) -> Inspection {
        let mut findings: Vec<Finding> = Vec::with_capacity(all.iter().map(|seen| seen.findings.len()).sum());
        for ((camera, member), seen) in (0..=u8::MAX).zip(&self.members).zip(all) {
            findings.extend(seen.findings.iter().map(|finding| member.own(camera, finding)));
        }
        // Stable: of equal scores the first camera's comes first, whoever was heard first.
        findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        let worst = findings.iter().find(|finding| is_defect(recipe, finding)).map_or(0, |finding| usize::from(finding.camera));
        let shown = all.get(worst).map_or(first, |seen| seen).clone();
        let slowest = all.iter().rev().map(|seen| seen.micros).max_by_key(StageMicros::total).unwrap_or_default();
        Inspection {
            findings,
            measurements: all.iter().flat_map(|seen| seen.measurements.iter().cloned()).collect(),
            micros: slowest,
            views: all.iter().map(|seen| view(seen)).collect(),
            ..shown
        }
    }
}

fn view(seen: &Inspection) -> CameraView {
    CameraView {
        camera: Arc::clone(&seen.camera),
        frame: seen.frame,
        image: seen.image,
        width: seen.width,
        height: seen.height,
        model: Arc::clone(&seen.model),
        micros: seen.micros,
    }
}
