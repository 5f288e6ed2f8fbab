//! A rubric document as data: what the reader of the document makes, what the ledger keeps, what the evaluation takes.
//!
//! Invariants (the reader of documents sees to them): numbers are finite; every list of limits has one entry per grade and never
//! tightens from a grade to the next lower one; names of zones, grades and stages that occur are defined.

use super::lot::LotRule;
use serde::{Deserialize, Serialize};
pub use spc::sampling::table::{AQLS, Level};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A rubric in which the worst factor decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Name of the rubric.
    pub name: String,
    /// The first day on which it may grade.
    pub effective_from: Day,
    /// The last day on which it may grade; `None` = until another one takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_until: Option<Day>,
    /// Who answers for it.
    pub signed_off: SignOff,
    /// What a verdict is made of.
    pub verdict: VerdictBy,
    /// Names of the grades, best first.
    pub grades: Vec<String>,
    /// Name of what is below the lowest grade.
    pub below: String,
    /// The stage of inspection that this station stands for; factors of other stages say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// All stages that the document knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// Size of a pixel on the piece in millimetres, by name of the camera; the empty name is every camera that is not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub millimetres_per_pixel: BTreeMap<String, f64>,
    /// Parts of the piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// What is looked at.
    pub factors: Vec<Factor>,
    /// How lots are graded; `None` = they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotRule>,
    /// How incoming lots are sampled; `None` = they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
}

/// A day of the calendar, written `2026-11-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// The first day there is.
    pub const FIRST: Self = Self { year: 1583, month: 1, day: 1 };

    /// The day of a year (1583…9999), month and day of the Gregorian calendar; `None` if there is none.
    #[must_use]
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        if year >= 1583 && year <= 9999 && day >= 1 && day <= last { Some(Self { year, month, day }) } else { None }
    }

    /// Reads `2026-11-01`; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let digits = |text: &str, len: usize| (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
        let [year, month, day] = parts[..] else { return None };
        digits(year, 4)?;
        digits(month, 2)?;
        digits(day, 2)?;
        Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::from_text(&text).ok_or_else(|| format!("{text} is no day written YYYY-MM-DD"))
    }
}

/// Who signed a rubric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOff {
    /// The person's name.
    pub by: String,
    /// The day.
    pub on: Day,
}

/// What a verdict is made of where a scheme grades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictBy {
    /// A piece with a defect is rejected whatever its grade, any other passes.
    Defects,
    /// A piece of one of the grades passes, defects or not; one below them is rejected, one that cannot be judged is a hold.
    Grade,
    /// A piece with a defect is rejected, and so is one below the grades; one without that cannot be judged is a hold.
    Both,
}

/// Part of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// The camera in whose pictures it lies; `None` = in those of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Its form within `x` and `y`.
    pub shape: Shape,
    /// What `x` and `y` count.
    pub unit: ZoneUnit,
    /// Left and right edge.
    pub x: [f64; 2],
    /// Upper and lower edge.
    pub y: [f64; 2],
    /// Zones that are cut out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// The form of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The whole rectangle.
    Rectangle,
    /// The ellipse that touches its four edges.
    Ellipse,
}

/// What the edges of a zone count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneUnit {
    /// Percent of the picture's width and height.
    Percent,
    /// Pixels.
    Px,
    /// Millimetres from the picture's upper left corner.
    Mm,
}

/// One thing that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// Where its limits come from: a standard and its clause; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The stages at which it counts; empty = at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// What of the piece gives which grade.
    pub rule: Rule,
}

/// What of a piece gives which grade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Rule {
    /// A number that was read or measured.
    Limit(Limit),
    /// A word that was read, or a whole number that stands for one.
    Word {
        /// The reading's tag.
        reading: Arc<str>,
        /// The grade's index for each word; a word that is not here cannot be judged.
        words: BTreeMap<String, u16>,
    },
    /// How many findings there are.
    Count {
        /// Which.
        of: Picked,
        /// At most so many, per grade.
        at_most: Limits,
    },
    /// The sizes of many findings together.
    Sum {
        /// Which. What is added is their size, in the unit of it.
        of: Picked,
        /// At most so much, per grade.
        at_most: Limits,
        /// How the sum is rounded, and how far it may be wrong.
        care: Care,
    },
    /// The share of the zone, or of the pictures, that findings cover, in percent.
    Share {
        /// Which.
        of: Picked,
        /// At most so much, per grade.
        at_most: Limits,
        /// Other limits where they are scattered; `None` = the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scattered: Option<Scattered>,
    },
    /// Whether findings lie close together.
    Dense {
        /// Which.
        of: Picked,
        /// So many …
        count: u16,
        /// … within a circle of this area, in square centimetres.
        within_cm2: f64,
        /// Whether that is allowed, per grade.
        allowed: Vec<bool>,
    },
}

impl Rule {
    /// Which findings it counts; `None` if it counts none.
    #[must_use]
    pub const fn picked(&self) -> Option<&Picked> {
        match self {
            Self::Count { of, .. } | Self::Sum { of, .. } | Self::Share { of, .. } | Self::Dense { of, .. } => Some(of),
            Self::Limit(_) | Self::Word { .. } => None,
        }
    }

    /// The classes of findings that it names.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        self.picked().map_or(&[], |of| &of.classes)
    }

    /// The reading that it needs, and its unit if it has one.
    #[must_use]
    pub fn reading(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Limit(limit) => Some((&limit.reading, Some(&limit.unit))),
            Self::Word { reading, .. } => Some((reading, None)),
            _ => None,
        }
    }
}

/// A numeric limit on a reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The reading's tag, or the name of what a gauge measures.
    pub reading: Arc<str>,
    /// Unit of the limits.
    pub unit: String,
    /// At most, per grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Limits>,
    /// At least, per grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Limits>,
    /// How the value is rounded, and how far it may be wrong.
    pub care: Care,
}

/// Rounding and guard band of a value.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Care {
    /// The value is rounded to a multiple of this before it is compared; `None` = not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_to: Option<f64>,
    /// What becomes of halves.
    #[serde(default)]
    pub halves: Halves,
    /// Every limit is made stricter by this much, so that a value that is wrong by as much is still accepted rightly only
    /// (ISO 14253-1:2017, clause 5.2: acceptance zone = specification less the uncertainty).
    #[serde(default)]
    pub guard_band: f64,
}

/// What becomes of a value half-way between two multiples (ISO 80000-1:2009, annex B.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halves {
    /// To the even multiple (rule A, preferred).
    #[default]
    Even,
    /// Away from zero (rule B).
    Up,
}

/// One limit per grade, in the order of the grades; `None` = anything is admitted.
pub type Limits = Vec<Option<f64>>;

/// Limits of findings that do not lie together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scattered {
    /// At most so much, per grade.
    pub at_most: Limits,
    /// Findings are localised if the smallest box around all of them covers at most this percent of the zone or picture.
    pub localised_within_percent: f64,
}

/// Which findings a factor counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picked {
    /// Names of their classes; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The zone in which their middle lies; `None` = anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Findings with this score or more; `None` = defects by the thresholds of their classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_score: Option<f32>,
    /// What their size is.
    pub size: Size,
    /// Unit of their size: of the length, or of the side of the square.
    pub unit: LengthUnit,
    /// Those of this size or smaller are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<f64>,
    /// Those larger than this are not counted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<f64>,
}

/// What the size of a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// The longer side of its box.
    Length,
    /// The shorter side of its box.
    Width,
    /// The diameter of a circle of its region's area, or the longer side of its box where the model draws no regions.
    Diameter,
    /// The area of its region, or of its box where the model draws no regions.
    Area,
}

/// Unit of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Pixels.
    Px,
    /// Micrometres.
    Um,
    /// Millimetres.
    Mm,
    /// Centimetres.
    Cm,
    /// Inches of 25.4 mm.
    In,
}

impl LengthUnit {
    /// The name as written in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Px => "px",
            Self::Um => "um",
            Self::Mm => "mm",
            Self::Cm => "cm",
            Self::In => "in",
        }
    }

    /// Millimetres in one of it; `None` for pixels.
    #[must_use]
    pub const fn millimetres(self) -> Option<f64> {
        match self {
            Self::Px => None,
            Self::Um => Some(0.001),
            Self::Mm => Some(1.0),
            Self::Cm => Some(10.0),
            Self::In => Some(25.4),
        }
    }
}

/// How incoming lots are sampled by attributes (ISO 2859-1, single plans).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Acceptance quality limit, percent nonconforming.
    pub aql: f64,
    /// Inspection level.
    pub level: Level,
    /// Indices of the grades that are nonconforming.
    pub nonconforming: Vec<u16>,
}

impl Scheme {
    /// The name of the grade at this place, from 0.
    #[must_use]
    pub fn grade_name(&self, place: usize) -> &str {
        match place.checked_sub(self.grades.len()) {
            None => self.grades.get(place).map_or("-", String::as_str),
            Some(0) => &self.below,
            Some(1) => super::CANNOT_JUDGE,
            Some(_) => "-",
        }
    }

    /// The index of what is below the lowest grade.
    #[must_use]
    pub fn below_index(&self) -> u16 {
        super::index(self.grades.len())
    }

    /// The index of `cannot judge`.
    #[must_use]
    pub fn cannot_judge_index(&self) -> u16 {
        super::index(self.grades.len() + 1)
    }

    /// True if a piece of this grade may pass where grades decide.
    #[must_use]
    pub fn is_graded(&self, grade: u16) -> bool {
        (1..self.below_index()).contains(&grade)
    }

    /// Whether a factor counts at the stage of this station.
    #[must_use]
    pub fn counts(&self, factor: &Factor) -> bool {
        factor.stages.is_empty() || self.stage.as_ref().is_some_and(|stage| factor.stages.contains(stage))
    }
}

/// The index of the first grade whose limit admits what `admits` is asked, or one past the last.
pub(super) fn first_grade<T>(limits: &[T], admits: impl Fn(&T) -> bool) -> u16 {
    super::index(limits.iter().position(admits).unwrap_or(limits.len()))
}
