//! Which patterns on a chart are signals, by the names that people use on the floor.
//!
//! Invariants: a rule marks every point at which its pattern is complete (the newest point of the window); "beyond"
//! is strict; "within 1 sigma" is inclusive; a point on the centre line breaks a run. Where real programs differ the
//! choice is a field of [`Conventions`], and the [`RuleSet`] carries it.

mod conventions;
mod crossings;
mod custom;
pub(crate) mod planes;
mod runs;

use serde::{Deserialize, Serialize};
use std::fmt;

pub use conventions::{Conventions, Counting, KOfN, Lengths, Mixture, PartialWindow, Ties, WINDOW_MAX, Zones};
pub use crossings::{Crossings, CrossingsVerdict};
pub use custom::{CUSTOM_MAX, Sides, ZoneRule};
pub(crate) use runs::Plan;
pub use runs::Runs;

use crate::limits::SettingsError;

/// One named run rule.
///
/// Sources: Western Electric, Statistical Quality Control Handbook, 1956, section I-B (four tests for instability);
/// L. S. Nelson, "The Shewhart control chart — tests for special causes", Journal of Quality Technology 16(4), 1984,
/// 237–239 (eight tests); J. O. Westgard and others, "A multi-rule Shewhart chart for quality control in clinical
/// chemistry", Clinical Chemistry 27(3), 1981, 493–501 (six tests). Lengths are those of the sources unless [`Lengths`] says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(u8)]
pub enum Rule {
    /// A point beyond a control limit.
    #[serde(rename = "we_1")]
    WesternElectric1,
    /// Two of three points beyond 2 sigma on one side.
    #[serde(rename = "we_2")]
    WesternElectric2,
    /// Four of five points beyond 1 sigma on one side.
    #[serde(rename = "we_3")]
    WesternElectric3,
    /// Eight points in a row on one side of the centre line.
    #[serde(rename = "we_4")]
    WesternElectric4,
    /// A point beyond a control limit.
    #[serde(rename = "nelson_1")]
    Nelson1,
    /// Nine points in a row on one side of the centre line.
    #[serde(rename = "nelson_2")]
    Nelson2,
    /// Six points in a row steadily rising or falling.
    #[serde(rename = "nelson_3")]
    Nelson3,
    /// Fourteen points in a row alternating up and down.
    #[serde(rename = "nelson_4")]
    Nelson4,
    /// Two of three points beyond 2 sigma on one side.
    #[serde(rename = "nelson_5")]
    Nelson5,
    /// Four of five points beyond 1 sigma on one side.
    #[serde(rename = "nelson_6")]
    Nelson6,
    /// Fifteen points in a row within 1 sigma of the centre line: stratification.
    #[serde(rename = "nelson_7")]
    Nelson7,
    /// Eight points in a row beyond 1 sigma, some on either side: mixture.
    #[serde(rename = "nelson_8")]
    Nelson8,
    /// One point beyond 2 sigma: a warning.
    #[serde(rename = "westgard_1_2s")]
    Westgard12s,
    /// One point beyond 3 sigma.
    #[serde(rename = "westgard_1_3s")]
    Westgard13s,
    /// Two points in a row beyond 2 sigma on one side.
    #[serde(rename = "westgard_2_2s")]
    Westgard22s,
    /// Of two points in a row, one beyond 2 sigma above and one beyond 2 sigma below.
    #[serde(rename = "westgard_r_4s")]
    WestgardR4s,
    /// Four points in a row beyond 1 sigma on one side.
    #[serde(rename = "westgard_4_1s")]
    Westgard41s,
    /// Ten points in a row on one side of the centre line.
    #[serde(rename = "westgard_10x")]
    Westgard10x,
    /// The first pattern of the user's own, see [`ZoneRule`].
    #[serde(rename = "custom_1")]
    Custom1,
    /// The second pattern of the user's own.
    #[serde(rename = "custom_2")]
    Custom2,
    /// The third pattern of the user's own.
    #[serde(rename = "custom_3")]
    Custom3,
    /// The fourth pattern of the user's own.
    #[serde(rename = "custom_4")]
    Custom4,
}

impl Rule {
    /// Every rule, in the order in which [`Hits::iter`] gives them.
    pub const ALL: [Self; 22] = [
        Self::WesternElectric1,
        Self::WesternElectric2,
        Self::WesternElectric3,
        Self::WesternElectric4,
        Self::Nelson1,
        Self::Nelson2,
        Self::Nelson3,
        Self::Nelson4,
        Self::Nelson5,
        Self::Nelson6,
        Self::Nelson7,
        Self::Nelson8,
        Self::Westgard12s,
        Self::Westgard13s,
        Self::Westgard22s,
        Self::WestgardR4s,
        Self::Westgard41s,
        Self::Westgard10x,
        Self::Custom1,
        Self::Custom2,
        Self::Custom3,
        Self::Custom4,
    ];

    /// The name on the panel and in records: `WE 4`, `Nelson 2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::WesternElectric1 => "WE 1",
            Self::WesternElectric2 => "WE 2",
            Self::WesternElectric3 => "WE 3",
            Self::WesternElectric4 => "WE 4",
            Self::Nelson1 => "Nelson 1",
            Self::Nelson2 => "Nelson 2",
            Self::Nelson3 => "Nelson 3",
            Self::Nelson4 => "Nelson 4",
            Self::Nelson5 => "Nelson 5",
            Self::Nelson6 => "Nelson 6",
            Self::Nelson7 => "Nelson 7",
            Self::Nelson8 => "Nelson 8",
            Self::Westgard12s => "Westgard 1-2s",
            Self::Westgard13s => "Westgard 1-3s",
            Self::Westgard22s => "Westgard 2-2s",
            Self::WestgardR4s => "Westgard R-4s",
            Self::Westgard41s => "Westgard 4-1s",
            Self::Westgard10x => "Westgard 10x",
            Self::Custom1 => "Custom 1",
            Self::Custom2 => "Custom 2",
            Self::Custom3 => "Custom 3",
            Self::Custom4 => "Custom 4",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rules in four bytes: those hit at a point, or those that a chart watches. Serialised as a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Hits(u32);

impl Hits {
    /// No rule.
    pub const EMPTY: Self = Self(0);

    /// The set of the rules given; an order or repetition has no meaning.
    pub const fn of(rules: &[Rule]) -> Self {
        let mut hits = Self::EMPTY;
        let mut i = 0;
        while i < rules.len() {
            hits = hits.with(rules[i]);
            i += 1;
        }
        hits
    }

    /// This set and one more rule.
    #[must_use]
    pub const fn with(self, rule: Rule) -> Self {
        Self(self.0 | 1 << rule as u32)
    }

    /// This set, and one more rule if its pattern is complete; without a branch.
    pub(crate) fn with_if(self, rule: Rule, complete: bool) -> Self {
        Self(self.0 | u32::from(complete) << rule as u32)
    }

    /// The rules in either set.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set if the condition holds, else none.
    pub(crate) fn if_so(self, condition: bool) -> Self {
        if condition { self } else { Self::EMPTY }
    }

    /// The rules in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the rule is in the set.
    pub const fn contains(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }

    /// Whether no rule is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many rules are in the set.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The rules in the order of [`Rule::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Rule> + use<> {
        Rule::ALL.into_iter().filter(move |rule| self.contains(*rule))
    }
}

impl fmt::Debug for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Rule::name)).finish()
    }
}

impl From<Vec<Rule>> for Hits {
    fn from(rules: Vec<Rule>) -> Self {
        Self::of(&rules)
    }
}

impl From<Hits> for Vec<Rule> {
    fn from(hits: Hits) -> Self {
        hits.iter().collect()
    }
}

/// The rules that a chart watches, and the conventions by which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    rules: Hits,
    conventions: Conventions,
    #[serde(default)]
    custom: [Option<ZoneRule>; CUSTOM_MAX],
}

impl RuleSet {
    /// Nelson's eight tests.
    pub const fn nelson() -> Self {
        use Rule::*;
        Self::only(&[Nelson1, Nelson2, Nelson3, Nelson4, Nelson5, Nelson6, Nelson7, Nelson8])
    }

    /// Nelson's tests 1 to 4, the ones that do not lean on a normal distribution: the default for attribute charts,
    /// where the zones of tests 5 to 8 have other probabilities than Nelson computed.
    pub const fn nelson_1_to_4() -> Self {
        Self::only(&[Rule::Nelson1, Rule::Nelson2, Rule::Nelson3, Rule::Nelson4])
    }

    /// The four tests of the Western Electric handbook.
    pub const fn western_electric() -> Self {
        use Rule::*;
        Self::only(&[WesternElectric1, WesternElectric2, WesternElectric3, WesternElectric4])
    }

    /// Just these rules, with the reference conventions. None at all is allowed: a chart that only draws.
    pub const fn only(rules: &[Rule]) -> Self {
        Self { rules: Hits::of(rules), conventions: Conventions::REFERENCE, custom: [None; CUSTOM_MAX] }
    }

    /// The eight criteria of the automotive manual: Nelson's tests, with seven points on one side and a mixture on any
    /// side. Source: AIAG, Statistical Process Control, 2nd edition, 2005, figure II.1.
    pub const fn aiag() -> Self {
        let mut conventions = Conventions { mixture: Mixture::AnySide, ..Conventions::REFERENCE };
        conventions.lengths.side = 7;
        Self::nelson().with_conventions(conventions)
    }

    /// Beyond the limits, nine on a side, a trend of six, 2 of 3, 4 of 5, and eight beyond 1 sigma on any side. Source:
    /// Juran's Quality Handbook, 6th edition, chapter 18.
    pub const fn juran() -> Self {
        use Rule::*;
        let conventions = Conventions { mixture: Mixture::AnySide, ..Conventions::REFERENCE };
        Self::only(&[Nelson1, Nelson2, Nelson3, Nelson5, Nelson6, Nelson8]).with_conventions(conventions)
    }

    /// The six rules of Westgard's multirule chart, the warning among them.
    pub const fn westgard() -> Self {
        use Rule::*;
        Self::only(&[Westgard12s, Westgard13s, Westgard22s, WestgardR4s, Westgard41s, Westgard10x])
    }

    /// The same rules and up to four more of one's own, "k of n beyond z sigma on one or both sides", which are hit as
    /// [`Rule::Custom1`] to [`Rule::Custom4`] in this order. Further ones have no place and are ignored.
    #[must_use]
    pub fn with_custom(mut self, patterns: &[ZoneRule]) -> Self {
        self.custom = [None; CUSTOM_MAX];
        for ((place, pattern), rule) in self.custom.iter_mut().zip(patterns).zip(custom::RULES) {
            *place = Some(*pattern);
            self.rules = self.rules.with(rule);
        }
        self
    }

    /// The same conventions and patterns, watching these rules and no others. A custom rule without a pattern is never hit.
    #[must_use]
    pub const fn watching(self, rules: Hits) -> Self {
        Self { rules, ..self }
    }

    /// The patterns of one's own.
    pub(crate) const fn custom(&self) -> &[Option<ZoneRule>; CUSTOM_MAX] {
        &self.custom
    }

    /// The pattern that is hit as this rule; `None` unless it is one of one's own.
    pub fn custom_pattern(&self, rule: Rule) -> Option<ZoneRule> {
        self.custom.iter().zip(custom::RULES).find(|(_, name)| *name == rule).and_then(|(pattern, _)| *pattern)
    }

    /// # Errors
    /// A run length that no pattern can have or that is longer than a window, or a zone that is none.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.conventions.check()?;
        self.custom.iter().flatten().try_for_each(ZoneRule::check)
    }

    /// The same rules, counted by other conventions.
    #[must_use]
    pub const fn with_conventions(self, conventions: Conventions) -> Self {
        Self { rules: self.rules, conventions, custom: self.custom }
    }

    /// The rules watched.
    pub const fn rules(&self) -> Hits {
        self.rules
    }

    /// The conventions used.
    pub const fn conventions(&self) -> &Conventions {
        &self.conventions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_floor() {
        assert_eq!(Rule::Nelson2.to_string(), "Nelson 2");
        assert_eq!(Rule::WesternElectric4.to_string(), "WE 4");
        assert_eq!(format!("{:?}", Hits::of(&[Rule::Nelson3, Rule::WesternElectric1])), r#"{"WE 1", "Nelson 3"}"#);
    }

    #[test]
    fn a_set_round_trips_as_names() {
        let hits = Hits::of(&[Rule::WesternElectric1, Rule::Nelson8]);
        let json = serde_json::to_string(&hits).unwrap();
        assert_eq!(json, r#"["we_1","nelson_8"]"#);
        assert_eq!(serde_json::from_str::<Hits>(&json).unwrap(), hits);
        assert!(serde_json::from_str::<Hits>(r#"["nelson_9"]"#).is_err());
    }

    #[test]
    fn sets_contain_what_they_say() {
        assert_eq!(RuleSet::nelson().rules().len(), 8);
        assert_eq!(RuleSet::western_electric().rules().len(), 4);
        assert!(RuleSet::only(&[]).rules().is_empty());
        assert!(!RuleSet::nelson_1_to_4().rules().contains(Rule::Nelson5));
        assert_eq!(Hits::of(&Rule::ALL).iter().collect::<Vec<_>>(), Rule::ALL);
    }
}
