//! The recipe: what is good, what is charted, and when to stop — everything the station was told before the first piece.
//!
//! It is data, written into the ledger when the station starts, so that every verdict can be traced to it.

use crate::frame_set::FrameSet;
use crate::inspection::{ClassId, ModelRef};
use crate::policy::StopPolicy;
use crate::rubric::Rubric;
use crate::units::Micros;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything the judgement depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Name of the recipe (OPC 40100-1 `InternalRecipeId`).
    pub name: String,
    /// The product it is for.
    pub product: String,
    /// The model that must have looked at a piece; the first camera's where several form a frame set. An inspection by any
    /// other model judges nothing.
    pub model: Arc<ModelRef>,
    /// The cameras that look at a piece together; `None` where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_set: Option<FrameSet>,
    /// The defect classes in the order of the model package; `ClassId(1)` is the first. Classes that only the packages of
    /// further cameras have come after them.
    pub classes: Vec<DefectClass>,
    /// How grades are given.
    pub rubric: Rubric,
    /// A piece without an inspection this long after its trigger is a hold.
    pub verdict_deadline: Micros,
    /// Belt travel from the camera to the reject gate, in encoder counts.
    pub gate_offset: u32,
    /// Belt travel past the gate after which a reject without confirmation counts as unconfirmed.
    pub gate_slack: u32,
    /// What is charted.
    pub characteristics: Vec<Characteristic>,
    /// When the line stops.
    pub stop: StopPolicy,
    /// What a result tells the PLC besides what every result does (JMAP `Payload`), in the order of its registers' list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload: Vec<PayloadValue>,
}

impl Recipe {
    /// The class with this number.
    #[must_use]
    pub fn class(&self, id: ClassId) -> Option<&DefectClass> {
        self.classes.get(usize::from(id.0).checked_sub(1)?)
    }
}

/// A value of a piece that the PLC is told with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "value")]
pub enum PayloadValue {
    /// The reading in force when the piece arrived, in its unit; 0 if there was none, or none to rely on.
    Reading {
        /// The tag.
        tag: Arc<str>,
    },
    /// 1 if that reading was good, else 0.
    ReadingGood {
        /// The tag.
        tag: Arc<str>,
    },
    /// Number of defects: findings at or above their threshold.
    Defects {
        /// Of this class; `None` = of all.
        class: Option<ClassId>,
    },
    /// Best score of this class, 0…1, whether it makes a defect or not; 0 if nothing of it was seen.
    Score {
        /// The class.
        class: ClassId,
    },
    /// Number of the piece's record at this station (`result_id`), under which everything about it is found.
    Record,
}

/// One kind of defect and the score from which it rejects a piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefectClass {
    /// Name, for people and records.
    pub name: String,
    /// A finding with at least this score is a defect, 0…1.
    pub threshold: f32,
}

/// One charted characteristic of the control plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Characteristic {
    /// Number of the chart (JMAP `SpcChartId`), unique, not 0.
    pub id: u16,
    /// Name, unique.
    pub name: String,
    /// What is charted.
    pub source: Source,
    /// Subgroups from which the limits are estimated before they are frozen.
    pub phase_one_subgroups: u32,
    /// Rules that are shown as signals.
    pub rules: RuleNames,
    /// Rules on its second chart, of moving ranges or of the spread within subgroups; `None` = Nelson 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_rules: Option<RuleNames>,
    /// How the rules count.
    #[serde(default, skip_serializing_if = "Counting::is_usual")]
    pub counting: Counting,
    /// Patterns of the plant's own, up to four, numbered from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<Pattern>,
    /// Those of them that also stop the line.
    pub stop_rules: RuleNames,
    /// The line stops when this many points in a row show a stop rule; 1 = at the first. A run rule that keeps signalling is a
    /// process that moved, a single one may be chance.
    pub stop_after_points: u32,
    /// What to check when it signals.
    pub reaction: String,
    /// Limits that are known from an earlier study. The chart then judges by them from its first point, without a phase I.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<GivenLimits>,
    /// A chart of the same values that finds small shifts and stops the line with its first signal. Individuals only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
}

/// What control limits follow from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GivenLimits {
    /// Mean of the characteristic in its unit; share of rejected pieces; defects per piece.
    pub centre: f64,
    /// Standard deviation of single values in the unit of the characteristic; `None` for shares and rates, whose spread
    /// follows from the centre.
    pub sigma: Option<f64>,
}

/// Parameters of an alarm chart, in standard deviations of single values. Where they come from is `spc::alarm`: a budget for
/// false stops, and the shift that matters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "chart")]
pub enum Alarm {
    /// Limits alone, at this distance from the centre.
    Shewhart {
        /// Distance.
        width: f64,
    },
    /// An exponentially weighted moving average.
    Ewma {
        /// Weight of the newest value.
        lambda: f64,
        /// Distance of its limits in its own standard errors.
        width: f64,
    },
    /// A tabular CUSUM, both sides.
    Cusum {
        /// The shift that it is made for.
        shift: f64,
        /// Its decision interval.
        interval: f64,
    },
}

/// Where a charted value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// I-MR chart of a process reading, one value per piece, in `unit`.
    Individuals {
        /// The tag.
        tag: Arc<str>,
        /// Its unit.
        unit: Arc<str>,
    },
    /// X̄-R or X̄-s chart of a process reading: the mean of the readings of `subgroup` pieces, in `unit`, and their spread.
    Averages {
        /// The tag.
        tag: Arc<str>,
        /// Its unit.
        unit: Arc<str>,
        /// Readings per subgroup, 2 to 100.
        subgroup: u32,
        /// What is plotted beside the means.
        spread: Spread,
    },
    /// p chart: share of rejected pieces among `subgroup` inspected pieces.
    RejectShare {
        /// Pieces per subgroup.
        subgroup: u32,
        /// The share varies by more than chance alone: p′ chart (Laney).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        overdispersed: bool,
    },
    /// u chart: defects per inspected piece over `subgroup` pieces.
    DefectsPerPiece {
        /// Pieces per subgroup.
        subgroup: u32,
        /// The rate varies by more than chance alone: u′ chart (Laney).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        overdispersed: bool,
    },
}

impl Source {
    /// Pieces of which one point is made.
    #[must_use]
    pub fn pieces_per_point(&self) -> u32 {
        match *self {
            Self::Individuals { .. } => 1,
            Self::Averages { subgroup, .. } | Self::RejectShare { subgroup, .. } | Self::DefectsPerPiece { subgroup, .. } => subgroup,
        }
    }

    /// Unit of the plotted value.
    #[must_use]
    pub fn unit(&self) -> &str {
        match self {
            Self::Individuals { unit, .. } | Self::Averages { unit, .. } => unit,
            Self::RejectShare { .. } => "1",
            Self::DefectsPerPiece { .. } => "1/piece",
        }
    }

    /// The tag whose readings are charted.
    #[must_use]
    pub fn tag(&self) -> Option<&Arc<str>> {
        match self {
            Self::Individuals { tag, .. } | Self::Averages { tag, .. } => Some(tag),
            Self::RejectShare { .. } | Self::DefectsPerPiece { .. } => None,
        }
    }
}

/// How the spread within a subgroup is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Largest minus smallest: by hand, and for up to ten values.
    Range,
    /// Standard deviation.
    StandardDeviation,
}

/// The programs and manuals whose way of counting run rules is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// As Nelson wrote: a trend is six points, a mixture lies on both sides.
    #[default]
    Nelson,
    /// As Minitab: a trend is six steps, a mixture may lie on any side.
    Minitab,
    /// As the automotive manual (AIAG SPC, 2nd edition): seven points on a side, a mixture on any side.
    Aiag,
}

impl Counting {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// "k of n points beyond z sigma", the newest among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// Points that must lie beyond the line.
    pub points: u32,
    /// Points looked at, up to 32.
    pub of: u32,
    /// Distance of the line from the centre in standard errors of the point.
    pub beyond_sigma: f64,
    /// Points on either side count together; else all must be on the side of the newest.
    pub any_side: bool,
}

/// A set of run rules, by family and number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleNames {
    /// Numbers of Nelson's rules, 1…8.
    #[serde(default)]
    pub nelson: Vec<u8>,
    /// Numbers of the Western Electric rules, 1…4.
    #[serde(default)]
    pub western_electric: Vec<u8>,
    /// Westgard's rules by name: `1-2s`, `1-3s`, `2-2s`, `R-4s`, `4-1s`, `10x`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub westgard: Vec<String>,
    /// Numbers of [`Characteristic::patterns`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<u8>,
}
