//! A piece against a rubric document: every factor gives a grade, the worst one decides.
//!
//! Invariants: a factor that lacks what it needs gives `cannot judge`; a piece is below the grades if any factor says so, cannot be
//! judged if any factor cannot, and only then has the worst of the grades that the factors give.

use super::dense::crowd;
use super::scheme::{Care, Factor, LengthUnit, Limit, Limits, Picked, Rule, Scattered, Scheme, first_grade};
use super::size::{self, View, at_most, converted, rounded};
use super::{Explanation, Seen};
use crate::inspection::Finding;
use crate::judge::is_defect;
use crate::reading::{Quality, Reading};

/// What a factor found, and the grade it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Index of the grade; that of `cannot judge` if something is missing.
    pub grade: u16,
    /// What was found.
    pub found: Found,
}

/// What a factor found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A value in the unit of the limits, rounded as it was compared.
    Value(f64),
    /// A word.
    Word(String),
    /// Findings with their sizes: as many as there are.
    Sizes(Vec<f64>),
    /// The sizes of so many findings together.
    Sum(f64, usize),
    /// A share in percent, and whether the findings are scattered.
    Share(f64, bool),
    /// The most findings under one circle.
    Crowd(usize),
    /// Something that is needed is not there.
    Missing(String),
}

/// What a factor needs and has not.
type Missing = String;

/// A finding that a factor counts.
struct Counted<'a> {
    finding: &'a Finding,
    view: View<'a>,
    size: f64,
}

impl Scheme {
    /// The index of a piece's grade, best is 1.
    #[must_use]
    pub fn grade(&self, seen: &Seen<'_>) -> u16 {
        self.worst(self.outcomes(seen).map(|(_, outcome)| outcome.grade))
    }

    /// As [`Self::grade`], with what every factor said.
    #[must_use]
    pub fn explain(&self, seen: &Seen<'_>) -> Explanation {
        let outcomes: Vec<_> = self.outcomes(seen).collect();
        let grade = self.worst(outcomes.iter().map(|(_, outcome)| outcome.grade));
        let say = |(factor, outcome): &(&Factor, Outcome)| self.say(factor, outcome);
        let decided = |(_, outcome): &&(&Factor, Outcome)| outcome.grade == grade && grade > 1;
        Explanation {
            grade,
            name: self.grade_name(usize::from(grade).saturating_sub(1)).to_owned(),
            because: outcomes.iter().filter(decided).map(say).collect(),
            factors: outcomes.iter().map(say).collect(),
        }
    }

    fn worst(&self, grades: impl Iterator<Item = u16>) -> u16 {
        let (below, cannot) = (self.below_index(), self.cannot_judge_index());
        let severity = |grade: &u16| match *grade {
            grade if grade == below => (2, grade),
            grade if grade >= cannot => (1, grade),
            grade => (0, grade),
        };
        grades.max_by_key(severity).unwrap_or(cannot)
    }

    /// What the factors of this station's stage say, in the order of the document.
    fn outcomes<'a>(&'a self, seen: &'a Seen<'_>) -> impl Iterator<Item = (&'a Factor, Outcome)> {
        self.factors.iter().filter(|factor| self.counts(factor)).map(|factor| (factor, self.outcome(&factor.rule, seen)))
    }

    fn outcome(&self, rule: &Rule, seen: &Seen<'_>) -> Outcome {
        let outcome = match rule {
            Rule::Limit(limit) => limit_on(limit, seen),
            Rule::Word { reading, words } => word(reading, words, seen),
            Rule::Count { of, at_most: limits } => self.picked(of, seen).map(|counted| {
                let sizes: Vec<f64> = counted.iter().map(|counted| counted.size).collect();
                let count = real(sizes.len());
                Outcome { grade: admitted(limits, count, 0.0), found: Found::Sizes(sizes) }
            }),
            Rule::Sum { of, at_most: limits, care } => self.picked(of, seen).map(|counted| {
                let sum = rounded(counted.iter().map(|counted| counted.size).sum(), *care);
                Outcome { grade: admitted(limits, sum, care.guard_band), found: Found::Sum(sum, counted.len()) }
            }),
            Rule::Share { of, at_most, scattered } => self.share(of, at_most, scattered.as_ref(), seen),
            Rule::Dense { of, count, within_cm2, allowed } => self.dense(of, usize::from(*count), *within_cm2, seen).map(|most| {
                let is_dense = most >= usize::from(*count);
                Outcome { grade: first_grade(allowed, |allowed| *allowed || !is_dense), found: Found::Crowd(most) }
            }),
        };
        outcome.unwrap_or_else(|missing| Outcome { grade: self.cannot_judge_index(), found: Found::Missing(missing) })
    }

    /// The findings that a factor counts, in the order of the inspection.
    fn picked<'a>(&self, of: &Picked, seen: &Seen<'a>) -> Result<Vec<Counted<'a>>, Missing> {
        if let Some(unknown) = of.classes.iter().find(|name| seen.recipe.classes.iter().all(|class| class.name != **name)) {
            return Err(format!("the model that looked knows no class {unknown}"));
        }
        let zone = match &of.zone {
            Some(name) => Some(self.zone(name).ok_or_else(|| format!("there is no zone {name}"))?),
            None => None,
        };
        if let Some(camera) = zone.and_then(|zone| zone.camera.as_deref())
            && size::views(seen.inspection).all(|view| view.camera != camera)
        {
            return Err(format!("camera {camera} did not look at it"));
        }
        let mut counted = Vec::new();
        for finding in &seen.inspection.findings {
            let Some(class) = seen.recipe.class(finding.class) else { return Err(format!("finding of unknown class {}", finding.class.0)) };
            let counts = of.from_score.map_or_else(|| is_defect(seen.recipe, finding), |score| finding.score >= score);
            if !counts || !(of.classes.is_empty() || of.classes.contains(&class.name)) {
                continue;
            }
            let view = size::view(seen.inspection, finding.camera).ok_or("the picture of a finding is not in the record")?;
            let no_pixel = || format!("the size of a pixel of camera {} is not known", view.camera);
            if let Some(zone) = zone
                && !self.lies_in(zone, view, finding.bounds).ok_or_else(no_pixel)?
            {
                continue;
            }
            let size = self.size(finding, view.camera, of.size, of.unit).ok_or_else(no_pixel)?;
            if of.larger_than.is_none_or(|least| !at_most(size, least)) && of.up_to.is_none_or(|most| at_most(size, most)) {
                counted.push(Counted { finding, view, size });
            }
        }
        Ok(counted)
    }

    fn share(&self, of: &Picked, limits: &Limits, scattered: Option<&Scattered>, seen: &Seen<'_>) -> Result<Outcome, Missing> {
        let counted = self.picked(of, seen)?;
        let zone = of.zone.as_ref().and_then(|name| self.zone(name));
        let (mut whole, mut covered, mut around) = (0.0, 0.0, 0.0);
        for view in
            size::views(seen.inspection).filter(|view| zone.and_then(|zone| zone.camera.as_deref()).is_none_or(|c| c == view.camera))
        {
            let no_pixel = || format!("the size of a pixel of camera {} is not known", view.camera);
            whole += match zone {
                Some(zone) => self.zone_area(zone, view).ok_or_else(no_pixel)?,
                None => view.width * view.height,
            };
            let own = counted.iter().filter(|counted| counted.view.camera == view.camera);
            let mut hull: Option<(f64, f64, f64, f64)> = None;
            for Counted { finding, .. } in own {
                covered += self.area(finding, view.camera, LengthUnit::Px).ok_or_else(no_pixel)?;
                let b = finding.bounds;
                let (x1, y1, x2, y2) = (f64::from(b.x1), f64::from(b.y1), f64::from(b.x2), f64::from(b.y2));
                hull = Some(hull.map_or((x1, y1, x2, y2), |h| (h.0.min(x1), h.1.min(y1), h.2.max(x2), h.3.max(y2))));
            }
            around += hull.map_or(0.0, |h| (h.2 - h.0) * (h.3 - h.1));
        }
        if whole <= 0.0 {
            return Err("the zone has no area".to_owned());
        }
        let share = 100.0 * covered / whole;
        let lie_apart = scattered.is_some_and(|scattered| !at_most(100.0 * around / whole, scattered.localised_within_percent));
        let limits = scattered.filter(|_| lie_apart).map_or(limits, |scattered| &scattered.at_most);
        Ok(Outcome { grade: admitted(limits, share, 0.0), found: Found::Share(share, lie_apart) })
    }

    /// The most findings of one camera under one circle of this area, counted no further than `enough`.
    fn dense(&self, of: &Picked, enough: usize, within_cm2: f64, seen: &Seen<'_>) -> Result<usize, Missing> {
        let counted = self.picked(of, seen)?;
        // The diameter of a circle of this area, in millimetres.
        let diameter = 2.0 * (within_cm2 * 100.0 / std::f64::consts::PI).sqrt();
        let mut most = 0;
        for view in size::views(seen.inspection) {
            let own: Vec<_> = counted.iter().filter(|counted| counted.view.camera == view.camera).collect();
            if own.is_empty() {
                continue;
            }
            let pixel = self.pixel(view.camera).ok_or_else(|| format!("the size of a pixel of camera {} is not known", view.camera))?;
            let middle = |counted: &&Counted<'_>| {
                let b = counted.finding.bounds;
                (f64::midpoint(f64::from(b.x1), f64::from(b.x2)) * pixel, f64::midpoint(f64::from(b.y1), f64::from(b.y2)) * pixel)
            };
            let points: Vec<_> = own.iter().map(middle).collect();
            most = most.max(crowd(&points, diameter, enough));
        }
        Ok(most)
    }
}

/// The first grade that admits `value`, with every limit made stricter by `guard`.
fn admitted(limits: &Limits, value: f64, guard: f64) -> u16 {
    first_grade(limits, |limit| limit.is_none_or(|limit| at_most(value, limit - guard)))
}

fn limit_on(limit: &Limit, seen: &Seen<'_>) -> Result<Outcome, Missing> {
    let value = rounded(value_of(&limit.reading, &limit.unit, seen.readings)?, limit.care);
    let Care { guard_band: guard, .. } = limit.care;
    let upper = limit.at_most.as_ref().map_or(1, |limits| admitted(limits, value, guard));
    let least = |least: &Option<f64>| least.is_none_or(|least| at_most(least + guard, value));
    let lower = limit.at_least.as_ref().map_or(1, |limits| first_grade(limits, least));
    Ok(Outcome { grade: upper.max(lower), found: Found::Value(value) })
}

fn word(tag: &str, words: &std::collections::BTreeMap<String, u16>, seen: &Seen<'_>) -> Result<Outcome, Missing> {
    let reading = good(tag, seen.readings)?;
    let word = reading.text.as_deref().map_or_else(|| reading.value.to_string(), |text| text.trim().to_owned());
    match words.get(&word) {
        Some(grade) => Ok(Outcome { grade: *grade, found: Found::Word(word) }),
        None => Err(format!("the rubric does not say what `{}` of {tag} is", word.escape_debug())),
    }
}

/// A reading that may be relied on.
fn good<'a>(tag: &str, readings: &'a [Reading]) -> Result<&'a Reading, Missing> {
    let reading = readings.iter().find(|reading| &*reading.tag == tag).ok_or_else(|| format!("{tag} was not measured"))?;
    match reading.quality {
        Quality::Good if reading.value.is_finite() => Ok(reading),
        Quality::Stale => Err(format!("{tag} is stale")),
        _ => Err(format!("{tag} is bad")),
    }
}

/// The value of a reading that may be relied on, in `unit`.
pub(super) fn value_of(tag: &str, unit: &str, readings: &[Reading]) -> Result<f64, String> {
    let reading = good(tag, readings)?;
    if reading.text.is_some() {
        return Err(format!("{tag} is text"));
    }
    converted(reading.value, &reading.unit, unit).ok_or_else(|| format!("{tag} is in {}, which is no {unit}", reading.unit))
}

/// Counts of findings are far below 2³².
fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
