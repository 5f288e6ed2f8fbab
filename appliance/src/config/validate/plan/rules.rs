//! `rules`, `stop_rules`, `spread_rules` and `[[characteristic.pattern]]`: which patterns signal, by the names of the trade.

use crate::config::raw::Section;
use station::recipe::{Pattern, RuleNames};

const WESTGARD: [&str; 6] = ["1-2s", "1-3s", "2-2s", "R-4s", "4-1s", "10x"];
/// As many as a rule set of the charts has room for.
const PATTERNS_MAX: usize = 4;

/// Reads the patterns of the plant's own.
pub(super) fn patterns(section: &Section<'_>) -> Option<Vec<Pattern>> {
    let sections = section.sections("pattern");
    if let Some(fifth) = sections.get(PATTERNS_MAX) {
        fifth.wrong_section(format!("a chart has room for {PATTERNS_MAX} patterns"), "remove this one");
    }
    sections.iter().map(pattern).collect()
}

fn pattern(section: &Section<'_>) -> Option<Pattern> {
    let points = section.whole("points", 1..=32_u32);
    let of = section.whole("of", 1..=32_u32);
    let beyond_sigma = section.real("beyond_sigma", 0.1..=10.0);
    let any_side = section.choice_or("sides", &[("one", false), ("any", true)], false);
    let (points, of) = points.zip(of)?;
    if points > of {
        section.wrong("points", format!("{points} of {of} points can never lie anywhere"), "make `of` at least as large");
        return None;
    }
    Some(Pattern { points, of, beyond_sigma: beyond_sigma?, any_side: any_side? })
}

/// Reads a set of rules. `patterns` is `None` if they could not be read.
pub(super) fn rules(section: &Section<'_>, patterns: Option<&[Pattern]>) -> Option<RuleNames> {
    let nelson = section.numbers("nelson", 1..=8);
    let western_electric = section.numbers("western_electric", 1..=4);
    let form = format!("a list of {}", WESTGARD.map(|name| format!("\"{name}\"")).join(", "));
    let known = |name: &str| {
        WESTGARD.contains(&name).then(|| name.to_owned()).ok_or_else(|| format!("`{}` is no rule of Westgard's", name.escape_debug()))
    };
    let westgard = section.texts("westgard", &form, known);
    let numbers = section.numbers("pattern", 1..=u8::try_from(PATTERNS_MAX).unwrap_or(u8::MAX));
    if let (Some(numbers), Some(patterns)) = (&numbers, patterns)
        && let Some(missing) = numbers.iter().find(|number| usize::from(**number) > patterns.len())
    {
        section.wrong("pattern", format!("there is no pattern {missing}"), "add a [[characteristic.pattern]], they are numbered from 1");
    }
    Some(RuleNames { nelson: nelson?, western_electric: western_electric?, westgard: westgard?, patterns: numbers? })
}

/// A rule that stops the line must be seen when it does.
pub(super) fn must_be_shown(section: &Section<'_>, stop: &RuleNames, shown: &RuleNames) {
    each(section, "nelson", &stop.nelson, &shown.nelson);
    each(section, "western_electric", &stop.western_electric, &shown.western_electric);
    each(section, "westgard", &stop.westgard, &shown.westgard);
    each(section, "pattern", &stop.patterns, &shown.patterns);
}

fn each<T: PartialEq + std::fmt::Display>(section: &Section<'_>, family: &'static str, stop: &[T], shown: &[T]) {
    for rule in stop.iter().filter(|rule| !shown.contains(rule)) {
        let what = format!("rule {rule} stops the line but is not among the rules that are shown");
        section.wrong(family, what, format!("add {rule} to rules.{family}, or take it out here"));
    }
}
