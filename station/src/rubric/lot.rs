//! The grade of a lot: from the grades of its pieces, with tolerances, and from the capability of what was measured.
//!
//! Invariants: a piece that was not graded counts as one that cannot be judged; a lot with too few pieces, or without a
//! measurement that its rubric asks for, cannot be judged.

use super::evaluate::value_of;
use super::scheme::Scheme;
use super::size::at_most;
use crate::reading::Reading;
use serde::{Deserialize, Serialize};
use spc::Constants;
use spc::capability::{Capability, Confidence, Specification, Within};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How lots are graded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LotRule {
    /// A lot of fewer pieces cannot be judged.
    pub pieces_min: u32,
    /// Name of what is below the lowest lot grade.
    pub below: String,
    /// The grades, best first; the first whose conditions all hold is the lot's.
    pub grades: Vec<LotGrade>,
}

/// One grade of lots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LotGrade {
    /// Its name.
    pub grade: String,
    /// Tolerances on the grades of its pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Tolerance>,
    /// Capability that the measurements must show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capability: Vec<CapabilityMin>,
}

/// How many of a lot's pieces must or may have certain grades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Indices of the piece grades that are counted together.
    pub of: Vec<u16>,
    /// At least this percent of the pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_percent: Option<f64>,
    /// At most this percent of the pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_percent: Option<f64>,
}

/// The smallest Cpk of a characteristic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityMin {
    /// The reading's tag, or the name of what a gauge measures.
    pub reading: Arc<str>,
    /// Unit of the limits.
    pub unit: String,
    /// Lower specification limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper specification limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Cpk at least.
    pub cpk_at_least: f64,
}

/// What is known of a lot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LotTally {
    /// Pieces.
    pub pieces: u32,
    /// Pieces by index of their grade.
    pub by_grade: BTreeMap<u16, u32>,
    /// What the lot rule asks for, in the order of the pieces, in the rule's unit, by tag and unit.
    values: BTreeMap<(Arc<str>, String), Vec<f64>>,
}

/// The grade of a lot, and why it has no better one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LotVerdict {
    /// Name of the grade.
    pub grade: String,
    /// What every better grade asked for and did not get.
    pub because: Vec<String>,
}

impl LotTally {
    /// Adds a piece. A grade of 0, which was never given, counts as `cannot judge`.
    pub fn note(&mut self, scheme: &Scheme, grade: u16, readings: &[Reading]) {
        self.pieces = self.pieces.saturating_add(1);
        let grade = if grade == 0 { scheme.cannot_judge_index() } else { grade };
        let count = self.by_grade.entry(grade).or_insert(0);
        *count = count.saturating_add(1);
        let mut seen = Vec::new();
        for wanted in scheme.lot.iter().flat_map(|lot| &lot.grades).flat_map(|grade| &grade.capability) {
            let key = (Arc::clone(&wanted.reading), wanted.unit.clone());
            if seen.contains(&key) {
                continue;
            }
            if let Ok(value) = value_of(&wanted.reading, &wanted.unit, readings) {
                self.values.entry(key.clone()).or_default().push(value);
            }
            seen.push(key);
        }
    }

    fn count(&self, of: &[u16]) -> u32 {
        of.iter().filter_map(|grade| self.by_grade.get(grade)).sum()
    }
}

impl Scheme {
    /// The grade of a lot; `None` if the document grades no lots.
    #[must_use]
    pub fn lot_grade(&self, tally: &LotTally) -> Option<LotVerdict> {
        let rule = self.lot.as_ref()?;
        if tally.pieces < rule.pieces_min.max(1) {
            let because = vec![format!("{} pieces; a lot needs {}", tally.pieces, rule.pieces_min.max(1))];
            return Some(LotVerdict { grade: super::CANNOT_JUDGE.to_owned(), because });
        }
        let mut because = Vec::new();
        let mut missing = false;
        for grade in &rule.grades {
            let mut fits = true;
            for told in grade.shares.iter().filter_map(|tolerance| self.not_kept(tolerance, tally)) {
                fits = false;
                because.push(format!("{}: {told}", grade.grade));
            }
            for wanted in &grade.capability {
                match capable(wanted, tally) {
                    Ok(()) => {}
                    Err((told, unknown)) => {
                        fits = false;
                        missing |= unknown;
                        because.push(format!("{}: {told}", grade.grade));
                    }
                }
            }
            if fits {
                // A better grade that only lacked its measurements was not lost by the lot, nor won.
                let grade = if missing { super::CANNOT_JUDGE.to_owned() } else { grade.grade.clone() };
                return Some(LotVerdict { grade, because });
            }
        }
        let grade = if missing { super::CANNOT_JUDGE.to_owned() } else { rule.below.clone() };
        Some(LotVerdict { grade, because })
    }

    /// What of a tolerance is not kept.
    fn not_kept(&self, tolerance: &Tolerance, tally: &LotTally) -> Option<String> {
        let count = tally.count(&tolerance.of);
        let percent = 100.0 * f64::from(count) / f64::from(tally.pieces);
        let names: Vec<&str> = tolerance.of.iter().map(|grade| self.grade_name(usize::from(*grade).saturating_sub(1))).collect();
        let told = format!("{percent:.2} % of {} pieces are {}", tally.pieces, names.join(" or "));
        match (tolerance.at_least_percent, tolerance.at_most_percent) {
            (Some(least), _) if !at_most(least, percent) => Some(format!("{told}; at least {least} % must be")),
            (_, Some(most)) if !at_most(percent, most) => Some(format!("{told}; at most {most} % may be")),
            _ => None,
        }
    }
}

/// Why a characteristic is not shown to be capable, and whether that is because it is not known.
fn capable(wanted: &CapabilityMin, tally: &LotTally) -> Result<(), (String, bool)> {
    let tag = &wanted.reading;
    let key = (Arc::clone(tag), wanted.unit.clone());
    let values = tally.values.get(&key).map_or(&[][..], Vec::as_slice);
    let pieces = usize::try_from(tally.pieces).unwrap_or(usize::MAX);
    if values.len() < pieces {
        return Err((format!("{tag} is known of {} of {pieces} pieces only", values.len()), true));
    }
    let study = || {
        let specification = Specification::new(wanted.lower, wanted.upper, None)?;
        let within = Within::of_moving_ranges(values, 2, Constants::Exact)?;
        Capability::of(values, Some(within), &specification, Confidence::level(0.95))
    };
    let cpk = study().map_err(|error| (format!("no Cpk of {tag}: {error}"), true))?.potential.map(|indices| indices.nearest.value);
    match cpk {
        Some(cpk) if at_most(wanted.cpk_at_least, cpk) => Ok(()),
        Some(cpk) => Err((format!("Cpk of {tag} is {cpk:.3}; at least {} is needed", wanted.cpk_at_least), false)),
        None => Err((format!("no Cpk of {tag}"), true)),
    }
}
