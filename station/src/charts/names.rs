//! From the names of rules in the control plan to the rule set of a chart.
//!
//! Invariant: a name that is no rule is refused; nothing is left out in silence.

use crate::recipe::{Characteristic, Counting, Pattern, RuleNames};
use spc::rules::{CUSTOM_MAX, Conventions, Sides, ZoneRule};
use spc::{Hits, Rule, RuleSet};

/// The rules of these names, counted as the characteristic says.
pub(super) fn rule_set(characteristic: &Characteristic, names: &RuleNames) -> Result<RuleSet, String> {
    let patterns = &characteristic.patterns;
    if patterns.len() > CUSTOM_MAX {
        return Err(format!("{} patterns; there is room for {CUSTOM_MAX}", patterns.len()));
    }
    if let Some(number) = names.patterns.iter().find(|number| **number == 0 || usize::from(**number) > patterns.len()) {
        return Err(format!("there is no pattern {number}"));
    }
    let conventions = match characteristic.counting {
        Counting::Nelson => Conventions::REFERENCE,
        Counting::Minitab => Conventions::MINITAB,
        Counting::Aiag => *RuleSet::aiag().conventions(),
    };
    let zones: Vec<ZoneRule> = patterns.iter().map(zone).collect();
    let rules = RuleSet::only(&[]).with_conventions(conventions).with_custom(&zones).watching(hits(names)?);
    rules.check().map_err(|error| error.to_string())?;
    Ok(rules)
}

/// Every rule that stops must be among those that are shown.
pub(super) fn within(characteristic: &Characteristic) -> Result<(), String> {
    let shown = hits(&characteristic.rules)?;
    match hits(&characteristic.stop_rules)?.iter().find(|rule| !shown.contains(*rule)) {
        Some(rule) => Err(format!("{rule} stops the line, but is not among the rules of the chart")),
        None => Ok(()),
    }
}

pub(super) fn hits(names: &RuleNames) -> Result<Hits, String> {
    let numbered = |family: &'static str, numbers: &[u8]| numbers.iter().map(|number| format!("{family} {number}")).collect::<Vec<_>>();
    let names = [
        numbered("Nelson", &names.nelson),
        numbered("WE", &names.western_electric),
        names.westgard.iter().map(|name| format!("Westgard {name}")).collect(),
        numbered("Custom", &names.patterns),
    ]
    .concat();
    let find = |name: String| Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| format!("there is no rule {name}"));
    names.into_iter().map(find).collect::<Result<Vec<_>, _>>().map(Hits::from)
}

fn zone(pattern: &Pattern) -> ZoneRule {
    let Pattern { points, of, beyond_sigma, any_side } = *pattern;
    ZoneRule { k: points, n: of, z: beyond_sigma, sides: if any_side { Sides::Any } else { Sides::One } }
}
