//! `[[factor]]`: what of a piece gives which grade.

use super::{Known, NO_PIXEL};
use crate::config::raw::Section;
use station::rubric::scheme::{Care, Factor, Halves, LengthUnit, Limit, Limits, Picked, Rule, Scattered, Size};
use std::collections::BTreeMap;

/// Lengths, areas, counts and values of a limit.
const NUMBER_MAX: f64 = 1e12;

#[derive(Clone, Copy)]
enum Kind {
    Limit,
    Word,
    Count,
    Sum,
    Share,
    Dense,
}

const KINDS: [(&str, Kind); 6] = [
    ("limit", Kind::Limit),
    ("word", Kind::Word),
    ("count", Kind::Count),
    ("sum", Kind::Sum),
    ("share", Kind::Share),
    ("dense", Kind::Dense),
];

/// Reads all `[[factor]]`.
pub(super) fn factors(root: &Section<'_>, known: &Known) -> Option<Vec<Factor>> {
    let sections = root.sections("factor");
    if !root.has("factor") {
        root.misses("factor", "add at least one [[factor]]");
    }
    let read: Vec<Option<Factor>> = sections.iter().map(|section| factor(section, known)).collect();
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("name"))).collect();
    crate::config::validate::refuse_repetition(
        &names,
        "name",
        |name| format!("there are two factors named {name}"),
        "give each factor a name of its own",
    );
    let read: Vec<Factor> = read.into_iter().collect::<Option<_>>()?;
    for stage in known.stages.iter().filter(|stage| read.iter().all(|factor| !factor.stages.is_empty() && !factor.stages.contains(stage))) {
        root.wrong("stages", format!("no factor counts at stage {stage}"), "remove the stage, or name it in a factor");
    }
    let last = known.grades.len();
    for (place, pair) in known.grades.windows(2).enumerate() {
        if !read.is_empty() && read.iter().all(|factor| same(&factor.rule, place, last)) {
            let what = format!("no factor tells {} from {}, so {} is never given", pair[1], pair[0], pair[1]);
            root.wrong("grades", what, "give a factor other limits for it, or remove the grade");
        }
    }
    Some(read)
}

/// True if the rule admits the same to the grade at `place` and to the next one.
fn same(rule: &Rule, place: usize, last: usize) -> bool {
    let alike = |limits: &Limits| place + 1 < last && limits.get(place) == limits.get(place + 1);
    match rule {
        Rule::Limit(limit) => limit.at_most.as_ref().is_none_or(alike) && limit.at_least.as_ref().is_none_or(alike),
        Rule::Word { words, .. } => words.values().all(|grade| usize::from(*grade) != place + 2),
        Rule::Count { at_most, .. } | Rule::Sum { at_most, .. } => alike(at_most),
        Rule::Share { at_most, scattered, .. } => alike(at_most) && scattered.as_ref().is_none_or(|scattered| alike(&scattered.at_most)),
        Rule::Dense { allowed, .. } => allowed.get(place) == allowed.get(place + 1),
    }
}

fn factor(section: &Section<'_>, known: &Known) -> Option<Factor> {
    let name = section.text("name", "the name of the factor");
    let source = section.optional_text("source", "the standard and clause that its limits are from");
    let stages = section.texts("stages", "a list of stages", super::named);
    for stage in stages.iter().flatten().filter(|stage| !known.stages.contains(stage)) {
        section.wrong("stages", format!("there is no stage {}", stage.escape_debug()), "name it in `stages` of the document");
    }
    let rule = match section.choice("kind", &KINDS) {
        Some(Kind::Limit) => limit(section, known).map(Rule::Limit),
        Some(Kind::Word) => word(section, known),
        Some(Kind::Count) => {
            let of = picked(section, known, false);
            let at_most = at_most(section, known, "at_most");
            of.zip(at_most).map(|(of, at_most)| Rule::Count { of, at_most })
        }
        Some(Kind::Sum) => {
            let of = picked(section, known, true);
            let at_most = at_most(section, known, "at_most");
            let care = care(section);
            of.zip(at_most).zip(care).map(|((of, at_most), care)| Rule::Sum { of, at_most, care })
        }
        Some(Kind::Share) => share(section, known),
        Some(Kind::Dense) => dense(section, known),
        None => {
            section.open_ended();
            None
        }
    };
    Some(Factor { name: name?.to_owned(), source: source?.unwrap_or_default().to_owned(), stages: stages?, rule: rule? })
}

/// A required table of upper limits, none of which is stricter than that of a better grade.
fn at_most(section: &Section<'_>, known: &Known, key: &'static str) -> Option<Limits> {
    let limits = section.limits(key, &known.grades, 0.0..=NUMBER_MAX)?;
    if limits.is_none() {
        section.misses(key, format!("add `{key} = {{ {} }}`: a number or \"any\" for every grade", example(known)));
    }
    limits.inspect(|limits| rises(section, known, key, limits, |better, worse| better <= worse))
}

fn example(known: &Known) -> String {
    known.grades.iter().map(|grade| format!("{} = …", crate::config::rubric::worth::bare(grade))).collect::<Vec<_>>().join(", ")
}

/// Tells of a lower grade that is stricter than a higher one.
fn rises(section: &Section<'_>, known: &Known, key: &'static str, limits: &Limits, admits: impl Fn(f64, f64) -> bool) {
    for (place, pair) in limits.windows(2).enumerate() {
        let fits = match (pair[0], pair[1]) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(better), Some(worse)) => admits(better, worse),
        };
        if let (false, Some(better), Some(worse)) = (fits, known.grades.get(place), known.grades.get(place + 1)) {
            let what = format!("{worse} is stricter than {better}, which is better");
            section.wrong(key, what, "let the limits widen from the best grade to the lowest");
        }
    }
}

fn limit(section: &Section<'_>, known: &Known) -> Option<Limit> {
    let reading = section.text("reading", "the name of a tag, or of what the gauge measures");
    let unit = section.text("unit", "the unit of the limits, for example \"mm\"");
    let range = -NUMBER_MAX..=NUMBER_MAX;
    let most = section.limits("at_most", &known.grades, range.clone());
    let least = section.limits("at_least", &known.grades, range);
    if let (Some(None), Some(None)) = (&most, &least) {
        section.wrong_section("neither an upper nor a lower limit", format!("add `at_most = {{ {} }}`, or `at_least`", example(known)));
    }
    if let Some(Some(limits)) = &most {
        rises(section, known, "at_most", limits, |better, worse| better <= worse);
    }
    if let Some(Some(limits)) = &least {
        rises(section, known, "at_least", limits, |better, worse| better >= worse);
    }
    let care = care(section);
    if let (Some(Some(most)), Some(Some(least)), Some(care)) = (&most, &least, care) {
        let between = |(most, least): (&Option<f64>, &Option<f64>)| {
            most.zip(*least).is_some_and(|(most, least)| most - least < 2.0 * care.guard_band)
        };
        if most.iter().zip(least).any(between) {
            section.wrong(
                "at_least",
                "nothing lies between the lower and the upper limit",
                "write limits with room between them, guard band included",
            );
        }
    }
    Some(Limit { reading: reading?.into(), unit: unit?.to_owned(), at_most: most?, at_least: least?, care: care? })
}

fn care(section: &Section<'_>) -> Option<Care> {
    let round_to = section.optional_real("round_to", 1e-9..=1e9);
    let halves = section.choice_or("halves", &[("even", Halves::Even), ("up", Halves::Up)], Halves::Even);
    let guard_band = section.real_or("guard_band", 0.0..=NUMBER_MAX, 0.0);
    if section.has("halves") && round_to == Some(None) {
        section.wrong("halves", "nothing is rounded", "add `round_to = …`, or remove `halves`");
    }
    Some(Care { round_to: round_to?, halves: halves?, guard_band: guard_band? })
}

fn word(section: &Section<'_>, known: &Known) -> Option<Rule> {
    let reading = section.text("reading", "the name of a tag that holds text, or a whole number that stands for one");
    let entries = section.free_texts("words", "a table with the grade of every word, for example { firm = \"A\" }")?;
    let mut words = BTreeMap::new();
    let mut whole = true;
    for entry in &entries {
        match known.index(entry.text) {
            Some(grade) => drop(words.insert(entry.key.trim().to_owned(), grade)),
            None => {
                whole = false;
                section.wrong_text(
                    entry,
                    format!("there is no grade {}", entry.text.escape_debug()),
                    format!("name one of {}", known.names()),
                );
            }
        }
    }
    whole.then_some(Rule::Word { reading: reading?.into(), words })
}

/// Which findings are counted. `sized`: their size itself is what counts.
fn picked(section: &Section<'_>, known: &Known, sized: bool) -> Option<Picked> {
    let classes = section.texts("classes", "a list of classes of the model package", super::named);
    let zone = section.optional_text("zone", "the name of a zone");
    if let Some(Some(zone)) = zone
        && !known.zones.iter().any(|name| name == zone)
    {
        let mend = if known.zones.is_empty() { "add a [[zone]]".to_owned() } else { format!("name one of {}", known.zones.join(", ")) };
        section.wrong("zone", format!("there is no zone {}", zone.escape_debug()), mend);
    }
    let from_score = section.optional_real("from_score", 0.0..=1.0);
    let larger_than = section.optional_real("larger_than", 0.0..=NUMBER_MAX);
    let up_to = section.optional_real("up_to", 0.0..=NUMBER_MAX);
    let sizes = [("length", Size::Length), ("width", Size::Width), ("diameter", Size::Diameter), ("area", Size::Area)];
    let units = [LengthUnit::Px, LengthUnit::Um, LengthUnit::Mm, LengthUnit::Cm, LengthUnit::In].map(|unit| (unit.name(), unit));
    let by_size = sized || section.has("larger_than") || section.has("up_to");
    // Where the size decides nothing it is only shown.
    let shown = if known.has_every_pixel { LengthUnit::Mm } else { LengthUnit::Px };
    let size = if by_size { section.choice("size", &sizes) } else { section.choice_or("size", &sizes, Size::Length) };
    let unit = if by_size { section.choice("unit", &units) } else { section.choice_or("unit", &units, shown) };
    if unit.is_some_and(|unit| unit != LengthUnit::Px) && !known.has_pixel {
        section.wrong("unit", NO_PIXEL.0, NO_PIXEL.1);
    }
    if let (Some(Some(least)), Some(Some(most))) = (larger_than, up_to)
        && most <= least
    {
        section.wrong("up_to", format!("nothing is larger than {least} and at most {most}"), "write an upper end above `larger_than`");
    }
    Some(Picked {
        classes: classes?,
        zone: zone?.map(str::to_owned),
        from_score: from_score?.map(crate::config::validate::narrow),
        size: size?,
        unit: unit?,
        larger_than: larger_than?,
        up_to: up_to?,
    })
}

fn share(section: &Section<'_>, known: &Known) -> Option<Rule> {
    let of = picked(section, known, false);
    let percent = |key: &'static str| {
        let limits = section.limits(key, &known.grades, 0.0..=100.0)?;
        Some(limits.inspect(|limits| rises(section, known, key, limits, |better, worse| better <= worse)))
    };
    let at_most = percent("at_most_percent");
    if at_most == Some(None) {
        section.misses("at_most_percent", format!("add `at_most_percent = {{ {} }}`: percent of the zone or picture", example(known)));
    }
    let scattered = percent("scattered_at_most_percent");
    let localised = section.optional_real("localised_within_percent", 0.0..=100.0);
    let scattered = match (scattered?, localised?) {
        (None, None) => None,
        (Some(at_most), Some(localised_within_percent)) => Some(Scattered { at_most, localised_within_percent }),
        (Some(_), None) => {
            section.misses("localised_within_percent", "add it: findings in a box of at most this percent are localised, others scattered");
            return None;
        }
        (None, Some(_)) => {
            section.wrong(
                "localised_within_percent",
                "scattered findings have the same limits",
                "add `scattered_at_most_percent`, or remove this",
            );
            return None;
        }
    };
    Some(Rule::Share { of: of?, at_most: at_most??, scattered })
}

fn dense(section: &Section<'_>, known: &Known) -> Option<Rule> {
    let of = picked(section, known, false);
    let count = section.whole("count", 2..=1000_u16);
    let within_cm2 = section.real("within_cm2", 1e-6..=1e6);
    let allowed = section.flags("allowed", &known.grades)?;
    if allowed.is_none() {
        section.misses("allowed", format!("add `allowed = {{ {} }}`: true or false for every grade", example(known)));
    }
    if !known.has_pixel {
        section.wrong("within_cm2", NO_PIXEL.0, "add [millimetres_per_pixel] with every_camera = …");
    }
    if let Some(place) = allowed.iter().flat_map(|allowed| allowed.windows(2)).position(|pair| pair[0] && !pair[1]) {
        let what = format!("{} is stricter than {}, which is better", known.grades[place + 1], known.grades[place]);
        section.wrong("allowed", what, "what a better grade may have, a lower one may have too");
    }
    Some(Rule::Dense { of: of?, count: count?, within_cm2: within_cm2?, allowed: allowed? })
}
