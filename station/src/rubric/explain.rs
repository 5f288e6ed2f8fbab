//! What a factor found, in words: "grade B because: specks: 2 × speck (0.7 mm, 0.7 mm) in zone face; A admits at most 1".

use super::evaluate::{Found, Outcome};
use super::scheme::{Factor, Limits, Picked, Rule, Scheme, Size};

/// More sizes than this are not listed one by one.
const SIZES_MAX: usize = 5;

impl Scheme {
    /// What a factor found, what the next better grade admits, and where that limit comes from.
    pub(super) fn say(&self, factor: &Factor, outcome: &Outcome) -> String {
        let source = if factor.source.is_empty() { String::new() } else { format!(" [{}]", factor.source) };
        format!("{}: {}{}{source}", factor.name, said(&factor.rule, &outcome.found), self.limit(&factor.rule, outcome))
    }

    /// What the grade just above the one that was given admits; for the best grade, what it admits itself.
    fn limit(&self, rule: &Rule, outcome: &Outcome) -> String {
        if matches!(outcome.found, Found::Missing(_)) {
            return String::new();
        }
        let place = usize::from(outcome.grade).saturating_sub(2).min(self.grades.len().saturating_sub(1));
        let Some(grade) = self.grades.get(place) else { return String::new() };
        let most = |limits: &Limits, unit: &str| at(limits, place).map(|limit| format!("at most {}{unit}", number(limit)));
        let admits = match rule {
            Rule::Limit(limit) => {
                let unit = format!(" {}", limit.unit);
                let upper = limit.at_most.as_ref().and_then(|limits| most(limits, &unit));
                let lower = limit.at_least.as_ref().and_then(|limits| at(limits, place));
                let lower = lower.map(|limit| format!("at least {}{unit}", number(limit)));
                let guard = (limit.care.guard_band > 0.0).then(|| format!("with a guard band of {}", number(limit.care.guard_band)));
                let said: Vec<String> = [lower, upper].into_iter().flatten().collect();
                (!said.is_empty()).then(|| [Some(said.join(" and ")), guard].into_iter().flatten().collect::<Vec<_>>().join(" "))
            }
            Rule::Word { words, .. } => {
                let index = super::index(place);
                let good: Vec<&str> = words.iter().filter(|(_, grade)| **grade <= index).map(|(word, _)| word.as_str()).collect();
                (!good.is_empty()).then(|| good.join(", "))
            }
            Rule::Count { at_most, .. } => most(at_most, ""),
            Rule::Sum { of, at_most, .. } => most(at_most, &format!(" {}", unit(of))),
            Rule::Share { at_most, scattered, .. } => match (&outcome.found, scattered) {
                (Found::Share(_, true), Some(scattered)) => most(&scattered.at_most, " % if scattered"),
                (_, Some(_)) => most(at_most, " % if localised"),
                (_, None) => most(at_most, " %"),
            },
            Rule::Dense { count, within_cm2, allowed, .. } => {
                allowed.get(place).filter(|allowed| !**allowed).map(|_| format!("fewer than {count} within {} cm²", number(*within_cm2)))
            }
        };
        admits.map_or_else(|| format!("; {grade} admits any"), |admits| format!("; {grade} admits {admits}"))
    }
}

fn at(limits: &Limits, place: usize) -> Option<f64> {
    limits.get(place).copied().flatten()
}

fn said(rule: &Rule, found: &Found) -> String {
    match (rule, found) {
        (_, Found::Missing(what)) => what.clone(),
        (Rule::Limit(limit), Found::Value(value)) => format!("{} is {} {}", limit.reading, number(*value), limit.unit),
        (_, Found::Value(value)) => number(*value),
        (Rule::Word { reading, .. }, Found::Word(word)) => format!("{reading} is {}", word.escape_debug()),
        (_, Found::Word(word)) => word.clone(),
        (Rule::Count { of, .. }, Found::Sizes(sizes)) if !sizes.is_empty() => {
            let mut shown: Vec<String> = sizes.iter().take(SIZES_MAX).map(|size| format!("{} {}", number(*size), unit(of))).collect();
            if sizes.len() > SIZES_MAX {
                shown.push(format!("{} more", sizes.len() - SIZES_MAX));
            }
            format!("{} × {} ({}){}", sizes.len(), classes(of), shown.join(", "), place(of))
        }
        (Rule::Count { of, .. }, _) => format!("no {}{}", classes(of), place(of)),
        (Rule::Sum { of, .. }, Found::Sum(sum, count)) => {
            format!("{} {} of {count} × {}{}", number(*sum), unit(of), classes(of), place(of))
        }
        (Rule::Share { of, scattered, .. }, Found::Share(share, apart)) => {
            let how = match (scattered, apart) {
                (None, _) => "",
                (Some(_), true) => " scattered",
                (Some(_), false) => " localised",
            };
            format!("{} % covered by{how} {}{}", number(*share), classes(of), place(of))
        }
        (Rule::Dense { of, within_cm2, .. }, Found::Crowd(most)) => {
            format!("{most} × {} within {} cm²{}", classes(of), number(*within_cm2), place(of))
        }
        // No rule finds what another one looks for.
        (_, found) => format!("{found:?}"),
    }
}

fn classes(of: &Picked) -> String {
    let what = if of.from_score.is_some() { "finding" } else { "defect" };
    if of.classes.is_empty() { what.to_owned() } else { of.classes.join(" or ") }
}

fn place(of: &Picked) -> String {
    of.zone.as_ref().map_or_else(String::new, |zone| format!(" in zone {zone}"))
}

fn unit(of: &Picked) -> String {
    if of.size == Size::Area { format!("{}²", of.unit.name()) } else { of.unit.name().to_owned() }
}

/// Up to four figures behind the point, without zeros at the end.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() || short == "-0" { "0".to_owned() } else { short.to_owned() }
}
