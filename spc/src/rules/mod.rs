//! Which patterns on a chart are signals, by the names that people use on the floor.
//!
//! Invariants: a rule marks every point at which its pattern is complete (the newest point of the window); "beyond"
//! is strict; "within 1 sigma" is inclusive; a point on the centre line breaks a run. Where real programs differ the
//! choice is a field of [`Conventions`], and the [`RuleSet`] carries it.

mod conventions;
mod runs;

use serde::{Deserialize, Serialize};
use std::fmt;

pub use conventions::{Conventions, Counting, KOfN, Lengths, Mixture, PartialWindow, Ties, WINDOW_MAX};
pub use runs::Runs;

/// One named run rule.
///
/// Sources: Western Electric, Statistical Quality Control Handbook, 1956, section I-B (four tests for instability);
/// L. S. Nelson, "The Shewhart control chart — tests for special causes", Journal of Quality Technology 16(4), 1984,
/// 237–239 (eight tests). Lengths are those of the sources unless [`Lengths`] says otherwise.
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
}

impl Rule {
    /// Every rule, in the order in which [`Hits::iter`] gives them.
    pub const ALL: [Self; 12] = [
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
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rules in two bytes: those hit at a point, or those that a chart watches. Serialised as a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Hits(u16);

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
        Self(self.0 | 1 << rule as u16)
    }

    /// This set, and one more rule if its pattern is complete; without a branch.
    pub(crate) fn with_if(self, rule: Rule, complete: bool) -> Self {
        Self(self.0 | u16::from(complete) << rule as u16)
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
        self.0 & (1 << rule as u16) != 0
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    rules: Hits,
    conventions: Conventions,
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
        Self { rules: Hits::of(rules), conventions: Conventions::REFERENCE }
    }

    /// The same rules, counted by other conventions.
    #[must_use]
    pub const fn with_conventions(self, conventions: Conventions) -> Self {
        Self { rules: self.rules, conventions }
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
