//! What is kept of pictures and for how long: classes, their order of sacrifice, and the limits of each.
//!
//! Invariant: the order of the classes is the order of sacrifice. What stands first goes first, whatever its age.

use serde::Serialize;
use station::inspection::Inspection;
use station::recipe::Recipe;
use station::record::PieceRecord;
use station::verdict::Verdict;
use std::fmt;

/// Why a picture is kept, in the order of sacrifice: what stands first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Every so manieth record, and a pass.
    SampledPass,
    /// A pass.
    Pass,
    /// A pass that was nearly none: with a suspect, or with a finding close below its threshold.
    LowConfidence,
    /// A reject.
    Reject,
    /// A piece without a verdict.
    Hold,
    /// A challenge piece: what shows that the station finds the defect that it must find.
    Golden,
    /// A person has overruled the verdict.
    Overruled,
}

impl Class {
    /// Every class, in the order of sacrifice.
    pub const ALL: [Self; 7] =
        [Self::SampledPass, Self::Pass, Self::LowConfidence, Self::Reject, Self::Hold, Self::Golden, Self::Overruled];

    /// The name as written in settings, the register and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SampledPass => "sampled_pass",
            Self::Pass => "pass",
            Self::LowConfidence => "low_confidence",
            Self::Reject => "reject",
            Self::Hold => "hold",
            Self::Golden => "golden",
            Self::Overruled => "overruled",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a picture was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It had the age of its class.
    Age,
    /// Its class, or all pictures, had the bytes that they may have.
    Bytes,
    /// The disk was nearly full, or full.
    Headroom,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Age, Self::Bytes, Self::Headroom];

    /// The name as written in the register and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Bytes => "bytes",
            Self::Headroom => "headroom",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What one class may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClassLimits {
    /// True if pictures of this class are kept. Those that are there already only age out.
    pub kept: bool,
    /// Days after which a picture goes; `None`: age alone removes none.
    pub days: Option<u32>,
    /// Bytes of all pictures of the class; `None`: only [`Retention::bytes_max`] limits them.
    pub bytes_max: Option<u64>,
}

/// How pictures are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Retention {
    /// Bytes of all pictures.
    pub bytes_max: u64,
    /// Bytes of the file system that pictures leave free; `None`: a twentieth of it, and at most 1 GiB.
    pub free_bytes_min: Option<u64>,
    /// Days for which a complaint holds the pictures of its piece.
    pub complaint_days: u32,
    /// A pass with this many-th record number is a sampled pass; 0: none is.
    pub sampled_every: u64,
    /// A pass is of low confidence if a score is less than this below its threshold.
    pub margin: f32,
    /// By class, in the order of [`Class::ALL`].
    pub classes: [ClassLimits; 7],
}

/// Ten years: after them a producer is no longer liable (Directive 85/374/EEC, article 11; Directive (EU) 2024/2853, article 17).
pub const COMPLAINT_DAYS: u32 = 3653;
/// A score this close below its threshold is of low confidence, unless the settings say otherwise.
pub const MARGIN: f32 = 0.1;
/// The headroom that nobody has set is this part of the file system …
const HEADROOM_PART: u64 = 20;
/// … and at most this many bytes.
const HEADROOM_MAX: u64 = 1 << 30;

impl Retention {
    /// Every class is kept, whatever its age, within so many bytes together. No headroom.
    #[must_use]
    pub const fn within(bytes_max: u64) -> Self {
        let kept = ClassLimits { kept: true, days: None, bytes_max: None };
        Self { bytes_max, free_bytes_min: Some(0), complaint_days: COMPLAINT_DAYS, sampled_every: 0, margin: MARGIN, classes: [kept; 7] }
    }

    /// Nothing is ever removed: for whoever only looks.
    pub const EVERYTHING: Self = Self::within(u64::MAX);

    /// The limits of a class.
    #[must_use]
    pub const fn of(&self, class: Class) -> ClassLimits {
        self.classes[class.index()]
    }

    /// As [`Self::of`], to be written.
    pub const fn of_mut(&mut self, class: Class) -> &mut ClassLimits {
        &mut self.classes[class.index()]
    }

    /// Bytes to leave free on a file system of so many.
    #[must_use]
    pub fn headroom(&self, disk_bytes: u64) -> u64 {
        self.free_bytes_min.unwrap_or_else(|| (disk_bytes / HEADROOM_PART).min(HEADROOM_MAX))
    }

    /// The class in which the pictures of a closed piece are kept; `None` if they are not.
    #[must_use]
    pub fn class_of(&self, recipe: &Recipe, record: &PieceRecord) -> Option<Class> {
        let kept = |class: Class| self.of(class).kept.then_some(class);
        let wanted = kept(Class::Golden).filter(|_| record.arrival.golden).or_else(|| match record.judgement.verdict {
            Verdict::Reject => kept(Class::Reject),
            Verdict::Hold => kept(Class::Hold),
            Verdict::Pass => {
                let unsure = || record.inspection.as_ref().is_some_and(|inspection| self.is_unsure(recipe, inspection));
                let sampled = self.sampled_every > 0 && record.result_id.is_multiple_of(self.sampled_every);
                let low = kept(Class::LowConfidence).filter(|_| unsure());
                low.or_else(|| kept(Class::Pass)).or_else(|| kept(Class::SampledPass).filter(|_| sampled))
            }
        });
        wanted.or_else(|| record.arrival.retain.then(|| Self::by_verdict(record.judgement.verdict)))
    }

    /// The class of a verdict alone.
    #[must_use]
    pub const fn by_verdict(verdict: Verdict) -> Class {
        match verdict {
            Verdict::Pass => Class::Pass,
            Verdict::Reject => Class::Reject,
            Verdict::Hold => Class::Hold,
        }
    }

    /// True if a pass has a suspect of its rubric's bands, or a score close below its threshold.
    #[must_use]
    pub fn is_unsure(&self, recipe: &Recipe, inspection: &Inspection) -> bool {
        let suspect = recipe.rubric.bands.iter().map(|band| band.suspect_score).fold(f32::INFINITY, f32::min);
        inspection.findings.iter().any(|finding| {
            let threshold = recipe.class(finding.class).map_or(0.0, |class| class.threshold);
            finding.score >= suspect || finding.score >= threshold - self.margin
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::note::tests::setup;
    use crate::store::tests::Chain;
    use station::record::Body;

    /// A pass of which the model saw one thing with this score.
    fn pass(result_id: u64, score: f32) -> PieceRecord {
        let entry = Chain::new().piece();
        let Body::Piece(mut record) = entry.body else { panic!("a piece") };
        record.result_id = result_id;
        record.judgement.verdict = Verdict::Pass;
        let mut inspection = record.inspection.as_deref().unwrap().clone();
        inspection.findings[0].score = score;
        record.inspection = Some(inspection.into());
        *record
    }

    #[test]
    fn a_class_is_decided_when_the_piece_is_closed() {
        let mut recipe = (*setup().recipe).clone();
        recipe.rubric.bands.clear();
        recipe.classes[0].threshold = 0.5;
        let mut kept = Retention { sampled_every: 10, ..Retention::within(1000) };
        kept.of_mut(Class::Pass).kept = false;
        assert_eq!(kept.class_of(&recipe, &pass(7, 0.2)), None);
        assert_eq!(kept.class_of(&recipe, &pass(20, 0.2)), Some(Class::SampledPass));
        assert_eq!(kept.class_of(&recipe, &pass(20, 0.41)), Some(Class::LowConfidence), "within the margin of 0.1");
        let mut asked = pass(7, 0.2);
        asked.arrival.retain = true;
        assert_eq!(kept.class_of(&recipe, &asked), Some(Class::Pass), "the PLC asks for it");
        let mut held = pass(7, 0.2);
        held.judgement.verdict = Verdict::Hold;
        assert_eq!(kept.class_of(&recipe, &held), Some(Class::Hold));
        kept.of_mut(Class::Hold).kept = false;
        assert_eq!(kept.class_of(&recipe, &held), None);
        held.arrival.golden = true;
        assert_eq!(kept.class_of(&recipe, &held), Some(Class::Golden), "a challenge piece, whatever became of it");
        kept.of_mut(Class::Golden).kept = false;
        assert_eq!(kept.class_of(&recipe, &held), None);
        recipe.rubric = setup().recipe.rubric.clone();
        let suspect = recipe.rubric.bands.first().map_or(0.3, |band| band.suspect_score);
        assert_eq!(kept.class_of(&recipe, &pass(7, suspect)), Some(Class::LowConfidence), "a suspect of the rubric");
    }

    #[test]
    fn the_headroom_that_nobody_set_fits_the_disk() {
        let kept = Retention { free_bytes_min: None, ..Retention::within(1) };
        assert_eq!((kept.headroom(8 << 20), kept.headroom(1 << 40)), ((8 << 20) / 20, 1 << 30));
        assert!(Class::ALL.windows(2).all(|pair| pair[0] < pair[1]), "the order of sacrifice");
        assert!(Class::ALL.into_iter().all(|class| Class::from_name(class.name()) == Some(class)));
    }
}
