//! `[lot]` and `[sampling]`: how lots are graded, and how incoming ones are sampled.

use super::Known;
use crate::config::raw::Section;
use station::rubric::lot::{CapabilityMin, LotGrade, LotRule, Tolerance};
use station::rubric::scheme::{AQLS, Level, Sampling};

/// Above this an acceptance quality limit counts nonconformities and not nonconforming pieces (ISO 2859-1:1999, clause 5.4).
const AQL_OF_PIECES_MAX: f64 = 10.0;

/// Reads `[lot]`.
pub(super) fn lot(section: &Section<'_>, known: &Known) -> Option<LotRule> {
    let pieces_min = section.whole("pieces_min", 1..=1_000_000_u32);
    let below = section.text("below", "the name of what is below the lowest lot grade");
    let sections = section.sections("grade");
    if !section.has("grade") {
        section.misses("grade", "add at least one [[lot.grade]], best first");
    }
    let grades: Vec<Option<LotGrade>> = sections.iter().map(|section| lot_grade(section, known)).collect();
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("grade"))).collect();
    crate::config::validate::refuse_repetition(
        &names,
        "grade",
        |name| format!("there are two lot grades named {name}"),
        "give each lot grade a name of its own",
    );
    Some(LotRule { pieces_min: pieces_min?, below: below?.to_owned(), grades: grades.into_iter().collect::<Option<_>>()? })
}

fn lot_grade(section: &Section<'_>, known: &Known) -> Option<LotGrade> {
    let grade = section.text("grade", "the name of the lot grade");
    let shares: Vec<Option<Tolerance>> = section.sections("share").iter().map(|section| tolerance(section, known)).collect();
    let capability: Vec<Option<CapabilityMin>> = section.sections("capability").iter().map(capability).collect();
    if shares.is_empty() && capability.is_empty() {
        section.wrong_section("every lot has this grade", "add a [[lot.grade.share]] or a [[lot.grade.capability]]");
    }
    let shares = shares.into_iter().collect::<Option<Vec<_>>>();
    Some(LotGrade { grade: grade?.to_owned(), shares: shares?, capability: capability.into_iter().collect::<Option<_>>()? })
}

/// A list of grades by name.
fn grades(section: &Section<'_>, key: &'static str, known: &Known) -> Option<Vec<u16>> {
    let form = "a list of grades";
    if !section.has(key) {
        section.misses(key, format!("add `{key} = […]`, {form}"));
        return None;
    }
    let list = section.texts(key, form, |name| {
        known.any_index(name).ok_or_else(|| format!("there is no grade {}; there are {}, cannot judge", name.escape_debug(), known.names()))
    })?;
    if list.is_empty() {
        section.wrong(key, "the list is empty", format!("write {form}"));
        return None;
    }
    Some(list)
}

fn tolerance(section: &Section<'_>, known: &Known) -> Option<Tolerance> {
    let of = grades(section, "of", known);
    let least = section.optional_real("at_least_percent", 0.0..=100.0);
    let most = section.optional_real("at_most_percent", 0.0..=100.0);
    match (least, most) {
        (Some(None), Some(None)) => section.wrong_section("this asks for nothing", "add `at_least_percent` or `at_most_percent`"),
        (Some(Some(least)), Some(Some(most))) if least > most => {
            section.wrong(
                "at_most_percent",
                "no lot can have more than the one and less than the other",
                "write an upper share above the lower",
            );
        }
        _ => {}
    }
    Some(Tolerance { of: of?, at_least_percent: least?, at_most_percent: most? })
}

fn capability(section: &Section<'_>) -> Option<CapabilityMin> {
    let reading = section.text("reading", "the name of a tag, or of what the gauge measures");
    let unit = section.text("unit", "the unit of the limits, for example \"mm\"");
    let lower = section.optional_real("lower", f64::NEG_INFINITY..=f64::INFINITY);
    let upper = section.optional_real("upper", f64::NEG_INFINITY..=f64::INFINITY);
    match (lower, upper) {
        (Some(None), Some(None)) => section.wrong_section("without a specification there is no Cpk", "add `lower`, `upper` or both"),
        (Some(Some(lower)), Some(Some(upper))) if lower >= upper => {
            section.wrong("upper", "the upper limit is not above the lower one", "write the specification of the drawing");
        }
        _ => {}
    }
    let cpk_at_least = section.real("cpk_at_least", 0.1..=10.0);
    Some(CapabilityMin { reading: reading?.into(), unit: unit?.to_owned(), lower: lower?, upper: upper?, cpk_at_least: cpk_at_least? })
}

/// Reads `[sampling]`.
pub(super) fn sampling(section: &Section<'_>, known: &Known) -> Option<Sampling> {
    let aql = section.real("aql", 0.01..=AQL_OF_PIECES_MAX);
    if let Some(aql) = aql
        && !AQLS.contains(&aql)
    {
        let known: Vec<String> = AQLS.iter().filter(|aql| **aql <= AQL_OF_PIECES_MAX).map(f64::to_string).collect();
        section.wrong("aql", format!("ISO 2859-1 has no plans for an AQL of {aql}"), format!("write one of {}", known.join(", ")));
    }
    let levels = [
        ("S-1", Level::S1),
        ("S-2", Level::S2),
        ("S-3", Level::S3),
        ("S-4", Level::S4),
        ("I", Level::I),
        ("II", Level::II),
        ("III", Level::III),
    ];
    let level = section.choice("level", &levels);
    let nonconforming = grades(section, "nonconforming", known);
    let reduced = section.flag_or("reduced", false);
    if reduced == Some(true) {
        section.wrong(
            "reduced",
            "there are no plans for reduced inspection: their numbers differ between editions of the standard and were not checked",
            "write reduced = false; normal inspection is stricter and always allowed (ISO 2859-1, clause 9.3.3)",
        );
    }
    Some(Sampling { aql: aql?, level: level?, nonconforming: nonconforming? })
}
