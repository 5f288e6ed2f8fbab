//! Grading as data: simple bands of counts, or a whole rubric document in which the worst factor decides.
//!
//! Invariants: the same piece, recipe and rubric give the same grade, on any machine (no clock, no NaN, and of the floating
//! operations only those that IEEE 754 rounds exactly); what a rubric needs and a piece has not makes the grade `cannot judge`
//! and never a better one; a rubric that an older program wrote into the ledger still reads.

mod dense;
pub mod evaluate;
mod explain;
pub mod incoming;
pub mod lot;
pub mod scheme;
mod size;

use crate::inspection::Inspection;
use crate::judge::is_defect;
use crate::reading::Reading;
use crate::recipe::Recipe;
use scheme::Scheme;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of the grade of a piece that lacks something its rubric needs.
pub const CANNOT_JUDGE: &str = "cannot judge";

/// A versioned list of grades, best first, and how a piece comes to one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rubric {
    /// Version, counted up with every change; 0 is never a version.
    pub version: u16,
    /// Simple bands, best grade first: the first that a piece fits into is its grade, and one that fits none gets the grade after
    /// the last. Empty if there is a scheme.
    pub bands: Vec<Band>,
    /// A rubric document; `None` if the bands decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Arc<Scheme>>,
}

/// One grade of the simple kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Name of the grade, for example `A`.
    pub grade: String,
    /// At most this many defects.
    pub defects_max: u16,
    /// At most this many suspects: findings below their class's threshold, but at or above `suspect_score`.
    pub suspects_max: u16,
    /// From this score on a finding below its threshold is a suspect, 0…1.
    pub suspect_score: f32,
}

/// Everything a grade depends on besides the rubric.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The recipe that the piece was judged by: names and thresholds of the classes.
    pub recipe: &'a Recipe,
    /// What was seen.
    pub inspection: &'a Inspection,
    /// Readings of the piece, and what was measured of it.
    pub readings: &'a [Reading],
}

/// A grade and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Index of the grade, best is 1.
    pub grade: u16,
    /// Its name.
    pub name: String,
    /// What decided, for example `specks: 2 × speck (0.7 mm, 0.7 mm) in zone face; A admits at most 1`. Empty for the best grade.
    pub because: Vec<String>,
    /// What every factor said, in the order of the document.
    pub factors: Vec<String>,
}

impl Rubric {
    /// A rubric of simple bands.
    #[must_use]
    pub const fn of_bands(version: u16, bands: Vec<Band>) -> Self {
        Self { version, bands, scheme: None }
    }

    /// The index of the worst grade that a piece can be given: below all grades.
    #[must_use]
    pub fn worst(&self) -> u16 {
        let grades = self.scheme.as_ref().map_or(self.bands.len(), |scheme| scheme.grades.len());
        index(grades)
    }

    /// The 1-based index of a piece's grade. One past the last grade is below all of them, two past it is `cannot judge`.
    #[must_use]
    pub fn grade(&self, seen: &Seen<'_>) -> u16 {
        if let Some(scheme) = &self.scheme {
            return scheme.grade(seen);
        }
        let (defects, findings) = (count_defects(seen), &seen.inspection.findings);
        let suspects_from = |score: f32| {
            let suspects = findings.iter().filter(|finding| finding.score >= score && !is_defect(seen.recipe, finding));
            u16::try_from(suspects.count()).unwrap_or(u16::MAX)
        };
        let fits = |band: &Band| defects <= band.defects_max && suspects_from(band.suspect_score) <= band.suspects_max;
        index(self.bands.iter().position(fits).unwrap_or(self.bands.len()))
    }

    /// As [`Self::grade`], with the reasons in words.
    #[must_use]
    pub fn explain(&self, seen: &Seen<'_>) -> Explanation {
        if let Some(scheme) = &self.scheme {
            return scheme.explain(seen);
        }
        let grade = self.grade(seen);
        let say = |band: &Band| {
            let suspects = seen.inspection.findings.iter().filter(|f| f.score >= band.suspect_score && !is_defect(seen.recipe, f)).count();
            format!(
                "{} defects and {suspects} suspects (score {} or more); {} admits {} and {}",
                count_defects(seen),
                band.suspect_score,
                band.grade,
                band.defects_max,
                band.suspects_max
            )
        };
        let better = usize::from(grade).saturating_sub(2);
        let because = if grade > 1 { self.bands.get(better).map(say).into_iter().collect() } else { Vec::new() };
        Explanation { grade, name: self.name(grade), because, factors: self.bands.iter().map(say).collect() }
    }

    /// The name of a grade index; `-` for 0 and for an index that no piece can have.
    #[must_use]
    pub fn name(&self, grade: u16) -> String {
        let Some(index) = usize::from(grade).checked_sub(1) else { return "-".to_owned() };
        if let Some(scheme) = &self.scheme {
            return scheme.grade_name(index).to_owned();
        }
        match (self.bands.get(index), self.bands.last()) {
            (Some(band), _) => band.grade.clone(),
            (None, Some(last)) => format!("below {}", last.grade),
            (None, None) => "-".to_owned(),
        }
    }

    /// The names of all grades a piece can have, best first, with those below and beside the grades.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let last = if self.scheme.is_some() { 2 } else { 1 };
        let grades = self.scheme.as_ref().map_or(self.bands.len(), |scheme| scheme.grades.len());
        (1..=grades + last).map(|number| self.name(u16::try_from(number).unwrap_or(u16::MAX))).collect()
    }
}

fn count_defects(seen: &Seen<'_>) -> u16 {
    let defects = seen.inspection.findings.iter().filter(|finding| is_defect(seen.recipe, finding));
    u16::try_from(defects.count()).unwrap_or(u16::MAX)
}

/// The 1-based index of a grade at this place in a list.
fn index(place: usize) -> u16 {
    u16::try_from(place.saturating_add(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
