//! What is judged and charted: `[rubric]`, `[[characteristic]]`, `[stop_policy]`.

mod alarm;

use super::refuse_repetition;
use super::tags::KnownTag;
use crate::config::raw::{Section, nearest};
use station::alarm::FalseStopBudget;
use station::policy::{PlcAcknowledge, StopPolicy};
use station::recipe::{Characteristic, GivenLimits, RuleNames, Source};
use station::rubric::{Band, Rubric};

/// A count of pieces in the policy. The largest one is a day of a fast line; more would be a slip.
const PIECES_MAX: u32 = 100_000;

/// Reads `[rubric]` with its `[[rubric.band]]`.
pub(super) fn rubric(section: &Section<'_>) -> Option<Rubric> {
    let version = section.whole("version", 1..=u16::MAX);
    let sections = section.sections("band");
    if !section.has("band") {
        section.wrong("band", "missing", "add at least one [[rubric.band]], best grade first");
    }
    let bands: Vec<Option<Band>> = sections.iter().map(band).collect();
    let grades: Vec<_> =
        sections.iter().zip(&bands).map(|(section, band)| (section, band.as_ref().map(|band| band.grade.clone()))).collect();
    refuse_repetition(&grades, "grade", |grade| format!("there are two bands named {grade}"), "give each grade one band");
    for (index, later) in sections.iter().enumerate() {
        let Some(Some(band)) = bands.get(index) else { continue };
        if let Some(earlier) = bands[..index].iter().flatten().find(|earlier| admits_all(earlier, band)) {
            let what =
                format!("every piece that fits band {} fits band {} before it, so this grade is never given", band.grade, earlier.grade);
            later.wrong_section(what, "order the bands from the strictest to the widest");
        }
    }
    Some(Rubric { version: version?, bands: bands.into_iter().collect::<Option<_>>()? })
}

/// True if every piece that fits `band` also fits `earlier`.
fn admits_all(earlier: &Band, band: &Band) -> bool {
    earlier.defects_max >= band.defects_max && earlier.suspects_max >= band.suspects_max && earlier.suspect_score >= band.suspect_score
}

fn band(section: &Section<'_>) -> Option<Band> {
    let grade = section.text("grade", "the name of the grade, for example \"A\"");
    let defects_max = section.whole("defects_max", 0..=u16::MAX);
    let suspects_max = section.whole("suspects_max", 0..=u16::MAX);
    let suspect_score = section.real("suspect_score", 0.0..=1.0).map(super::narrow);
    Some(Band { grade: grade?.to_owned(), defects_max: defects_max?, suspects_max: suspects_max?, suspect_score: suspect_score? })
}

/// Reads all `[[characteristic]]`. `tags` is `None` if the tags' own names could not be read.
pub(super) fn characteristics(root: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<Vec<Characteristic>> {
    let sections = root.sections("characteristic");
    let budget = alarm::budget(root, &sections);
    let read: Vec<Option<Characteristic>> = sections.iter().map(|section| characteristic(section, tags, budget.as_ref())).collect();
    let ids: Vec<_> = sections.iter().zip(&read).map(|(section, read)| (section, read.as_ref().map(|read| read.id))).collect();
    refuse_repetition(&ids, "id", |id| format!("there are two characteristics with id {id}"), "give each chart a number of its own");
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("name"))).collect();
    refuse_repetition(&names, "name", |name| format!("there are two characteristics named {name}"), "give each chart a name of its own");
    read.into_iter().collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Individuals,
    RejectShare,
    DefectsPerPiece,
}

fn characteristic(section: &Section<'_>, tags: Option<&[KnownTag]>, budget: Option<&FalseStopBudget>) -> Option<Characteristic> {
    let id = section.whole("id", 1..=u16::MAX);
    let name = section.text("name", "the name of the characteristic");
    let kinds = [("individuals", Kind::Individuals), ("reject_share", Kind::RejectShare), ("defects_per_piece", Kind::DefectsPerPiece)];
    let source = match section.choice("kind", &kinds) {
        Some(Kind::Individuals) => individuals(section, tags),
        Some(Kind::RejectShare) => subgroup(section).map(|subgroup| Source::RejectShare { subgroup }),
        Some(Kind::DefectsPerPiece) => subgroup(section).map(|subgroup| Source::DefectsPerPiece { subgroup }),
        None => {
            section.open_ended();
            None
        }
    };
    // From fewer than 5 subgroups limits are a guess; more than 10 000 would never be frozen.
    let phase_one_subgroups = section.whole("phase_one_subgroups", 5..=10_000_u32);
    let rules = rules(&section.section("rules"));
    let stop_section = section.section("stop_rules");
    let stop_rules = self::rules(&stop_section);
    if let (Some(shown), Some(stop)) = (&rules, &stop_rules) {
        must_be_shown(&stop_section, "nelson", &stop.nelson, &shown.nelson);
        must_be_shown(&stop_section, "western_electric", &stop.western_electric, &shown.western_electric);
    }
    // A run rule that shows for 20 points has long been seen by everybody.
    let stop_after_points = section.whole("stop_after_points", 1..=20_u32);
    let reaction = section.text("reaction", "what to check when it signals");
    let of_values = source.as_ref().map(|source| matches!(source, Source::Individuals { .. }));
    let limits = limits(section, of_values);
    let alarm = alarm::alarm(section, of_values, budget);
    Some(Characteristic {
        id: id?,
        name: name?.to_owned(),
        source: source?,
        phase_one_subgroups: phase_one_subgroups?,
        rules: rules?,
        stop_rules: stop_rules?,
        stop_after_points: stop_after_points?,
        reaction: reaction?.to_owned(),
        limits: limits?,
        alarm: alarm?,
    })
}

/// `limits = { centre = …, sigma = … }`: limits of an earlier study. `of_values` is `None` if it is not known what is charted.
fn limits(section: &Section<'_>, of_values: Option<bool>) -> Option<Option<GivenLimits>> {
    let Some(given) = section.optional_section("limits") else { return Some(None) };
    let any = f64::NEG_INFINITY..=f64::INFINITY;
    match of_values {
        Some(true) => {
            let centre = given.real("centre", any);
            // Without variation every other value would be beyond the limits.
            let sigma = given.real("sigma", f64::MIN_POSITIVE..=f64::MAX);
            Some(Some(GivenLimits { centre: centre?, sigma: Some(sigma?) }))
        }
        Some(false) => Some(Some(GivenLimits { centre: given.real("centre", 0.0..=1e6)?, sigma: None })),
        None => {
            given.open_ended();
            None
        }
    }
}

fn individuals(section: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<Source> {
    let tag = section.text("tag", "the name of the tag that is charted")?;
    let found = tags?.iter().find(|known| &*known.name == tag);
    if found.is_none() {
        let names: Vec<&str> = tags?.iter().map(|known| &*known.name).collect();
        let mend = match nearest(tag, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "define it in a [[plc.tag]]".to_owned(),
        };
        section.wrong("tag", format!("there is no tag named {}", tag.escape_debug()), mend);
    }
    let found = found?;
    if !found.is_number {
        section.wrong("tag", format!("{tag} is text, which cannot be charted"), "name a tag that is a number");
    }
    Some(Source::Individuals { tag: found.name.clone(), unit: found.unit.clone()? })
}

fn subgroup(section: &Section<'_>) -> Option<u32> {
    section.whole("subgroup", 1..=PIECES_MAX)
}

fn rules(section: &Section<'_>) -> Option<RuleNames> {
    let nelson = section.numbers("nelson", 1..=8);
    let western_electric = section.numbers("western_electric", 1..=4);
    Some(RuleNames { nelson: nelson?, western_electric: western_electric? })
}

fn must_be_shown(section: &Section<'_>, family: &'static str, stop: &[u8], shown: &[u8]) {
    for rule in stop.iter().filter(|rule| !shown.contains(rule)) {
        let what = format!("rule {rule} stops the line but is not among the rules that are shown");
        section.wrong(family, what, format!("add {rule} to rules.{family}, or take it out here"));
    }
}

/// Reads `[stop_policy]`.
pub(super) fn stop_policy(section: &Section<'_>) -> Option<StopPolicy> {
    let consecutive_rejects = section.whole("consecutive_rejects", 1..=PIECES_MAX);
    let reject_rate_window = section.whole("reject_rate_window", 1..=PIECES_MAX);
    let reject_rate_max = section.whole("reject_rate_max", 0..=PIECES_MAX);
    let camera_misses = section.whole("camera_misses", 1..=PIECES_MAX);
    let model_errors = section.whole("model_errors", 1..=PIECES_MAX);
    let deadline_window = section.whole("deadline_window", 1..=PIECES_MAX);
    let deadline_misses_max = section.whole("deadline_misses_max", 0..=PIECES_MAX);
    let unconfirmed_rejects = section.whole("unconfirmed_rejects", 1..=PIECES_MAX);
    // A million entries are about a gigabyte that a power cut would take.
    let backlog_entries_max = section.whole("backlog_entries_max", 1..=1_000_000_u64);
    let plc_acknowledge = section.choice(
        "plc_acknowledge",
        &[("ignored", PlcAcknowledge::Ignored), ("acknowledges", PlcAcknowledge::Acknowledges), ("releases", PlcAcknowledge::Releases)],
    );
    can_be_exceeded(section, "reject_rate_max", reject_rate_max, reject_rate_window);
    can_be_exceeded(section, "deadline_misses_max", deadline_misses_max, deadline_window);
    Some(StopPolicy {
        consecutive_rejects: consecutive_rejects?,
        reject_rate_window: reject_rate_window?,
        reject_rate_max: reject_rate_max?,
        camera_misses: camera_misses?,
        model_errors: model_errors?,
        deadline_window: deadline_window?,
        deadline_misses_max: deadline_misses_max?,
        unconfirmed_rejects: unconfirmed_rejects?,
        backlog_entries_max: backlog_entries_max?,
        plc_acknowledge: plc_acknowledge?,
    })
}

fn can_be_exceeded(section: &Section<'_>, key: &'static str, most: Option<u32>, window: Option<u32>) {
    if let (Some(most), Some(window)) = (most, window)
        && most >= window
    {
        let what = format!("{most} cannot be exceeded in a window of {window}, so this would never stop the line");
        section.wrong(key, what, "make it less than its window");
    }
}
