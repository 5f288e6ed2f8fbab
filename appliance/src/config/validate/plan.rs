//! What is judged and charted: `[rubric]`, `[[characteristic]]`, `[stop_policy]`.

mod alarm;
mod rules;

use super::refuse_repetition;
use super::tags::KnownTag;
use crate::config::raw::{Section, nearest};
use crate::config::rubric::Document;
use station::alarm::FalseStopBudget;
use station::policy::{PlcAcknowledge, RecalledSeen, StopPolicy};
use station::recipe::{Characteristic, Counting, GivenLimits, Source, Spread};
use station::rubric::{Band, Rubric};
use std::path::Path;
use std::sync::Arc;

/// A count of pieces in the policy. The largest one is a day of a fast line; more would be a slip.
const PIECES_MAX: u32 = 100_000;

/// Reads `[rubric]`: the document that it names, or its own `[[rubric.band]]`.
pub(super) fn rubric(section: &Section<'_>, folder: &Path) -> Option<(Rubric, Option<Document>)> {
    if !section.has("file") {
        return Some((bands(section)?, None));
    }
    let file = section.text("file", "the file of a rubric, for example \"rubrics/eggs.toml\"");
    let stage = section.optional_text("stage", "the stage of inspection that this station stands for");
    let document = match Document::load(&folder.join(file?)) {
        Ok(document) => document,
        Err(problems) => {
            section.adopt(&problems);
            return None;
        }
    };
    match document.at_stage(stage?) {
        Ok(document) => Some((document.rubric.clone(), Some(document))),
        Err(what) => {
            section.wrong("stage", what, "write `stage = …`, one of the rubric's, or none if it has none");
            None
        }
    }
}

fn bands(section: &Section<'_>) -> Option<Rubric> {
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
    Some(Rubric::of_bands(version?, bands.into_iter().collect::<Option<_>>()?))
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
    Averages,
    RejectShare,
    DefectsPerPiece,
}

const KINDS: [(&str, Kind); 4] = [
    ("individuals", Kind::Individuals),
    ("averages", Kind::Averages),
    ("reject_share", Kind::RejectShare),
    ("defects_per_piece", Kind::DefectsPerPiece),
];

fn source(section: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<Source> {
    let charted = || {
        let subgroup = subgroup(section);
        let overdispersed = section.flag_or("overdispersed", false);
        subgroup.zip(overdispersed)
    };
    match section.choice("kind", &KINDS) {
        Some(Kind::Individuals) => tag(section, tags).map(|(tag, unit)| Source::Individuals { tag, unit }),
        Some(Kind::Averages) => {
            let of = tag(section, tags);
            // Beyond 100 values the range says nothing that the standard deviation does not say better.
            let subgroup = section.whole("subgroup", 2..=100_u32);
            let spreads = [("range", Spread::Range), ("standard_deviation", Spread::StandardDeviation)];
            let spread = section.choice_or("spread", &spreads, Spread::StandardDeviation);
            let (tag, unit) = of?;
            Some(Source::Averages { tag, unit, subgroup: subgroup?, spread: spread? })
        }
        Some(Kind::RejectShare) => charted().map(|(subgroup, overdispersed)| Source::RejectShare { subgroup, overdispersed }),
        Some(Kind::DefectsPerPiece) => charted().map(|(subgroup, overdispersed)| Source::DefectsPerPiece { subgroup, overdispersed }),
        None => {
            section.open_ended();
            None
        }
    }
}

fn characteristic(section: &Section<'_>, tags: Option<&[KnownTag]>, budget: Option<&FalseStopBudget>) -> Option<Characteristic> {
    let id = section.whole("id", 1..=u16::MAX);
    let name = section.text("name", "the name of the characteristic");
    let source = source(section, tags);
    // From fewer than 5 subgroups limits are a guess; more than 10 000 would never be frozen.
    let phase_one_subgroups = section.whole("phase_one_subgroups", 5..=10_000_u32);
    let patterns = rules::patterns(section);
    let shown = rules::rules(&section.section("rules"), patterns.as_deref());
    let stop_section = section.section("stop_rules");
    let stop_rules = rules::rules(&stop_section, patterns.as_deref());
    if let (Some(shown), Some(stop)) = (&shown, &stop_rules) {
        rules::must_be_shown(&stop_section, stop, shown);
    }
    let spread_rules = match section.optional_section("spread_rules") {
        Some(spread) => rules::rules(&spread, patterns.as_deref()).map(Some),
        None => Some(None),
    };
    let countings = [("nelson", Counting::Nelson), ("minitab", Counting::Minitab), ("aiag", Counting::Aiag)];
    let counting = section.choice_or("counting", &countings, Counting::Nelson);
    // A run rule that shows for 20 points has long been seen by everybody.
    let stop_after_points = section.whole("stop_after_points", 1..=20_u32);
    let reaction = section.text("reaction", "what to check when it signals");
    let limits = limits(section, source.as_ref());
    let alarm = alarm::alarm(section, source.as_ref(), budget);
    Some(Characteristic {
        id: id?,
        name: name?.to_owned(),
        source: source?,
        phase_one_subgroups: phase_one_subgroups?,
        rules: shown?,
        spread_rules: spread_rules?,
        counting: counting?,
        patterns: patterns?,
        stop_rules: stop_rules?,
        stop_after_points: stop_after_points?,
        reaction: reaction?.to_owned(),
        limits: limits?,
        alarm: alarm?,
    })
}

/// `limits = { centre = …, sigma = … }`: limits of an earlier study. `source` is `None` if it is not known what is charted.
fn limits(section: &Section<'_>, source: Option<&Source>) -> Option<Option<GivenLimits>> {
    let Some(given) = section.optional_section("limits") else { return Some(None) };
    match source {
        Some(Source::Individuals { .. } | Source::Averages { .. }) => {
            let centre = given.real("centre", f64::NEG_INFINITY..=f64::INFINITY);
            // Without variation every other value would be beyond the limits.
            let sigma = given.real("sigma", f64::MIN_POSITIVE..=f64::MAX);
            Some(Some(GivenLimits { centre: centre?, sigma: Some(sigma?) }))
        }
        Some(Source::RejectShare { overdispersed: true, .. } | Source::DefectsPerPiece { overdispersed: true, .. }) => {
            let what = "how much an overdispersed rate varies cannot be known from its mean";
            section.wrong("limits", what, "remove `limits`, so that they are learnt, or `overdispersed`");
            None
        }
        Some(Source::RejectShare { .. } | Source::DefectsPerPiece { .. }) => {
            Some(Some(GivenLimits { centre: given.real("centre", 0.0..=1e6)?, sigma: None }))
        }
        None => {
            given.open_ended();
            None
        }
    }
}

/// The tag that is charted, and its unit.
fn tag(section: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<(Arc<str>, Arc<str>)> {
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
    Some((found.name.clone(), found.unit.clone()?))
}

fn subgroup(section: &Section<'_>) -> Option<u32> {
    section.whole("subgroup", 1..=PIECES_MAX)
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
    let recalled_serial = section.choice("recalled_serial", &[("stop", RecalledSeen::Stop), ("alarm", RecalledSeen::Alarm)]);
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
        recalled_serial: recalled_serial?,
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
