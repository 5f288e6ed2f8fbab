//! Run lengths of the Shewhart chart with run rules: the combined rule set as one exact Markov chain.
//!
//! Each watched rule is a small automaton on zones; the chart is their product, reduced to the fewest states that behave
//! alike. Source: C. W. Champ, W. H. Woodall, Technometrics 29 (1987) 393–399.
//!
//! Invariants: the chain signals exactly where [`crate::rules`] does for independent points; what cannot be said in zones
//! (trends, alternation: they compare neighbours) is refused, not approximated.

use std::collections::BTreeMap;

use super::linear::{Moves, dot};
use super::process::{Survival, means, parameter_for, quantile, settled};
use super::quadrature::number;
use super::{AlarmError, open_share, shift, wanted_length, within};
use crate::distribution::{normal_above, normal_below};
use crate::rules::{Mixture, PartialWindow, Rule, RuleSet, Sides, ZoneRule};

/// More product states than any rule set of the trade has; a guard against custom lengths that would fill the memory.
const STATES_MAX: usize = 60_000;

/// Zone lines, in standard errors from the centre: every rule is about a stretch between two of them.
const LINES: [f64; 7] = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
/// The stretches between the lines and the lines themselves, from below: stretch, line, stretch, …
const PLACES: usize = 2 * LINES.len() + 1;

/// A Shewhart chart of independent points with a rule set, as a Markov chain.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleDesign {
    rules: RuleSet,
    /// For each state the next one by place; `None` signals. State 0 is the start.
    moves: Vec<[Option<usize>; PLACES]>,
    /// All zone lines are multiplied by this.
    stretch: f64,
}

impl RuleDesign {
    /// The chart that watches these rules, with their conventions and the usual zones at 1, 2 and 3 standard errors.
    ///
    /// # Errors
    /// [`AlarmError::Combination`] for rules that compare neighbouring points (Nelson 3 and 4), a rule set that watches
    /// nothing, and lengths whose chain would have more than 60 000 states.
    pub fn new(rules: &RuleSet) -> Result<Self, AlarmError> {
        let patterns = patterns(rules)?;
        if patterns.is_empty() {
            return Err(AlarmError::Combination("a chart without rules never signals"));
        }
        Ok(Self { rules: *rules, moves: smallest(&product(&patterns)?), stretch: 1.0 })
    }

    /// The same chart with every zone line (1, 2 and 3 standard errors) multiplied by `stretch`.
    ///
    /// # Errors
    /// A stretch outside 0.01 … 5: [`AlarmError::Parameter`].
    pub fn stretched(self, stretch: f64) -> Result<Self, AlarmError> {
        within("the stretch of the zones", stretch, (0.01, 5.0), "between 0.01 and 5")?;
        Ok(Self { stretch, ..self })
    }

    /// The same chart with its zones stretched so that the in-control ARL is `run_length` samples.
    ///
    /// # Errors
    /// [`AlarmError::Unreachable`]: run-length rules on the side of the centre do not depend on zones, so that with Western
    /// Electric 4 no more than 255 samples can be had.
    pub fn for_run_length(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let stretch = parameter_for(run_length, (0.01, 3.0), |stretch| self.clone().stretched(stretch)?.average(0.0))?;
        self.stretched(stretch)
    }

    /// The rules watched, and how they count.
    #[must_use]
    pub const fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The factor on the zone lines; 1 unless asked otherwise.
    #[must_use]
    pub const fn stretch(&self) -> f64 {
        self.stretch
    }

    /// How many states the chain has.
    #[must_use]
    pub fn states(&self) -> usize {
        self.moves.len()
    }

    /// Expected number of points until a signal, for normal points whose mean is off by `mean` standard errors.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a shift beyond ±100, [`AlarmError::NeverEnds`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        Ok(means(&self.chain(&self.normal(mean)?))?[0])
    }

    /// Expected number of points from a shift to its signal, when the shift comes after a long time in control without a
    /// false signal (conditional steady state).
    ///
    /// # Errors
    /// As [`RuleDesign::average`].
    pub fn average_after_long(&self, mean: f64) -> Result<f64, AlarmError> {
        let settled = settled(&self.chain(&self.normal(0.0)?))?;
        Ok(dot(&settled, &means(&self.chain(&self.normal(mean)?))?))
    }

    /// The run length that the share `share` of runs does not exceed, in points.
    ///
    /// # Errors
    /// As [`RuleDesign::average`], and [`AlarmError::Parameter`] for a share outside 0 … 1.
    pub fn quantile(&self, mean: f64, share: f64) -> Result<u64, AlarmError> {
        open_share(share)?;
        let chain = self.chain(&self.normal(mean)?);
        let mut start = vec![0.0; chain.size()];
        start[0] = 1.0;
        // The first value of the iterator is the survival of no step at all.
        quantile(Survival::new(&chain, start).skip(1), share)
    }

    /// Expected number of points until a signal for points of any distribution: `points` gives each possible standardised
    /// statistic `(statistic − centre) / se` with its probability; what is missing to a total of one counts as never signalling
    /// through zones. With it the exact ARL of p, np, c and u charts follows from the binomial and Poisson distributions.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] if a statistic is not finite or the probabilities are negative or sum to more than one;
    /// [`AlarmError::NeverEnds`].
    pub fn average_of(&self, points: impl IntoIterator<Item = (f64, f64)>) -> Result<f64, AlarmError> {
        let mut chances = [0.0; PLACES];
        for (statistic, chance) in points {
            within("a standardised statistic", statistic, (f64::MIN, f64::MAX), "finite")?;
            within("a probability", chance, (0.0, 1.0), "between 0 and 1")?;
            chances[place(statistic / self.stretch)] += chance;
        }
        within("the total probability", chances.iter().sum(), (0.0, 1.0 + 1e-9), "at most 1")?;
        Ok(means(&self.chain(&chances))?[0])
    }

    fn normal(&self, mean: f64) -> Result<[f64; PLACES], AlarmError> {
        shift(mean)?;
        let line = |index: usize| LINES[index] * self.stretch - mean;
        let mut chances = [0.0; PLACES];
        for (index, chance) in chances.iter_mut().step_by(2).enumerate() {
            *chance = match index {
                0 => normal_below(line(0)),
                index if index == LINES.len() => normal_above(line(index - 1)),
                // On the side where the tail keeps its digits.
                index if line(index - 1) > 0.0 => normal_above(line(index - 1)) - normal_above(line(index)),
                index => normal_below(line(index)) - normal_below(line(index - 1)),
            };
        }
        Ok(chances)
    }

    fn chain(&self, chances: &[f64; PLACES]) -> Moves {
        let row = |moves: &[Option<usize>; PLACES]| {
            let (mut row, mut signal) = (vec![0.0; self.moves.len()], 0.0);
            for (next, chance) in moves.iter().zip(chances) {
                match next {
                    Some(next) => row[*next] += chance,
                    None => signal += chance,
                }
            }
            (row, signal)
        };
        Moves::from_rows(self.moves.iter().map(row))
    }
}

/// Where a standardised statistic lies among the lines.
fn place(statistic: f64) -> usize {
    let passed = LINES.iter().filter(|line| statistic > **line).count();
    2 * passed + usize::from(LINES.contains(&statistic))
}

/// The places strictly above a line.
fn above(line: f64) -> u32 {
    (0..PLACES).filter(|place| centre_of(*place) > line).fold(0, |mask, place| mask | 1 << place)
}

/// The places strictly below a line.
fn below(line: f64) -> u32 {
    (0..PLACES).filter(|place| centre_of(*place) < line).fold(0, |mask, place| mask | 1 << place)
}

/// A statistic inside each place: the lines are three apart in the numbering −3.5, −3, −2.5, ….
fn centre_of(place: usize) -> f64 {
    0.5 * number(place) - 3.5
}

/// One rule on one side.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pattern {
    /// `n` points in a row in these places.
    Row { places: u32, n: u32 },
    /// `k` of `n` in these places, the newest among them; before `n` points have been seen only if `early`.
    Window { places: u32, k: u32, n: u32, early: bool },
    /// `n` points in a row in either set of places, some in each.
    Mixed { high: u32, low: u32, n: u32 },
}

fn patterns(rules: &RuleSet) -> Result<Vec<Pattern>, AlarmError> {
    let conventions = rules.conventions();
    let lengths = &conventions.lengths;
    let early = conventions.partial_window == PartialWindow::Signals;
    let row = |line: f64, n| vec![Pattern::Row { places: above(line), n }, Pattern::Row { places: below(-line), n }];
    let window = |line: f64, k, n| [above(line), below(-line)].map(|places| Pattern::Window { places, k, n, early }).to_vec();
    let mut patterns = Vec::new();
    for rule in rules.rules().iter() {
        patterns.extend(match rule {
            Rule::WesternElectric1 | Rule::Nelson1 => row(3.0, 1),
            Rule::WesternElectric2 | Rule::Nelson5 => window(2.0, lengths.beyond_two.k, lengths.beyond_two.n),
            Rule::WesternElectric3 | Rule::Nelson6 => window(1.0, lengths.beyond_one.k, lengths.beyond_one.n),
            Rule::WesternElectric4 => row(0.0, lengths.side_western_electric),
            Rule::Nelson2 => row(0.0, lengths.side),
            Rule::Nelson7 => vec![Pattern::Row { places: !(above(1.0) | below(-1.0)), n: lengths.stratification }],
            Rule::Nelson8 => vec![match conventions.mixture {
                Mixture::BothSides => Pattern::Mixed { high: above(1.0), low: below(-1.0), n: lengths.mixture },
                Mixture::AnySide => Pattern::Row { places: above(1.0) | below(-1.0), n: lengths.mixture },
            }],
            Rule::Westgard12s => row(2.0, 1),
            Rule::Westgard13s => row(3.0, 1),
            Rule::Westgard22s => row(2.0, 2),
            Rule::WestgardR4s => vec![Pattern::Mixed { high: above(2.0), low: below(-2.0), n: 2 }],
            Rule::Westgard41s => row(1.0, 4),
            Rule::Westgard10x => row(0.0, 10),
            Rule::Custom1 | Rule::Custom2 | Rule::Custom3 | Rule::Custom4 => custom(rules, rule)?,
            Rule::Nelson3 | Rule::Nelson4 => {
                return Err(AlarmError::Combination(
                    "trends and alternations compare neighbouring points and have no zone chain: leave Nelson 3 and 4 out",
                ));
            }
        });
    }
    Ok(patterns)
}

/// A pattern of the user's own; its line must be one of those that the chain knows.
fn custom(rules: &RuleSet, rule: Rule) -> Result<Vec<Pattern>, AlarmError> {
    let Some(ZoneRule { k, n, z, sides }) = rules.custom_pattern(rule) else { return Ok(Vec::new()) };
    if !LINES.contains(&z) {
        return Err(AlarmError::Combination("the chain has lines at 1, 2 and 3 sigma: give patterns of your own one of these"));
    }
    let window = |places| Pattern::Window { places, k, n, early: false };
    Ok(match sides {
        Sides::One => vec![window(above(z)), window(below(-z))],
        Sides::Any => vec![window(above(z) | below(-z))],
    })
}

/// What a pattern remembers: the points that may still count, newest in bit 0, and how many were seen.
type Memory = (u64, u32);

impl Pattern {
    /// The memory after a point, or `None` where the pattern is complete.
    fn after(&self, (memory, seen): Memory, place: usize) -> Option<Memory> {
        let on = |places: u32| places >> place & 1 == 1;
        match *self {
            Self::Row { places, n } => {
                let run = if on(places) { seen + 1 } else { 0 };
                (run < n).then_some((0, run))
            }
            Self::Window { places, k, n, early } => {
                let window = memory << 1 | u64::from(on(places));
                let seen = (seen + 1).min(n);
                let complete = on(places) && window.count_ones() >= k && (early || seen == n);
                // Of the next window only n − 1 points are old.
                let kept = window & ((1 << (n - 1)) - 1);
                (!complete).then_some((kept, if early { 0 } else { seen.min(n - 1) }))
            }
            Self::Mixed { high, low, n } => {
                if !on(high | low) {
                    return Some((0, 0));
                }
                let sides = memory << 1 | u64::from(on(high));
                let run = (seen + 1).min(n);
                let newest = sides & ((1 << n) - 1);
                let mixed = newest != 0 && newest != (1 << n) - 1;
                let kept = newest & ((1 << (n - 1)) - 1);
                (run < n || !mixed).then_some((kept, run.min(n - 1)))
            }
        }
    }
}

/// The product of all patterns, as far as it can be reached from a fresh start.
fn product(patterns: &[Pattern]) -> Result<Vec<[Option<usize>; PLACES]>, AlarmError> {
    let fresh: Vec<Memory> = vec![(0, 0); patterns.len()];
    let mut numbers = BTreeMap::from([(fresh.clone(), 0)]);
    let mut open = vec![fresh];
    let mut moves = Vec::new();
    while moves.len() < open.len() {
        let state = open[moves.len()].clone();
        let mut row = [None; PLACES];
        for (place, next) in row.iter_mut().enumerate() {
            let after: Option<Vec<Memory>> = patterns.iter().zip(&state).map(|(pattern, memory)| pattern.after(*memory, place)).collect();
            if let Some(after) = after {
                let fresh_number = open.len();
                let number = *numbers.entry(after.clone()).or_insert(fresh_number);
                if number == fresh_number {
                    open.push(after);
                }
                *next = Some(number);
            }
        }
        moves.push(row);
        if open.len() > STATES_MAX {
            return Err(AlarmError::Combination("these rule lengths need more than 60000 states: shorten the longest rules"));
        }
    }
    Ok(moves)
}

/// Merges states that signal on the same futures. Source: E. F. Moore, "Gedanken-experiments on sequential machines",
/// Automata Studies (1956) 129–153: refine a partition until no class splits.
fn smallest(moves: &[[Option<usize>; PLACES]]) -> Vec<[Option<usize>; PLACES]> {
    let mut class = vec![0_usize; moves.len()];
    let mut classes = 1;
    loop {
        let mut numbers = BTreeMap::new();
        let mut refined = Vec::with_capacity(moves.len());
        for (row, own) in moves.iter().zip(&class) {
            let signature = (*own, row.map(|next| next.map(|state| class[state])));
            let fresh = numbers.len();
            refined.push(*numbers.entry(signature).or_insert(fresh));
        }
        let count = numbers.len();
        class = refined;
        if count == classes {
            break;
        }
        classes = count;
    }
    let mut merged = vec![[None; PLACES]; classes];
    for (row, own) in moves.iter().zip(&class) {
        merged[*own] = row.map(|next| next.map(|state| class[state]));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Conventions;

    const EARLY: Conventions = Conventions { partial_window: PartialWindow::Signals, ..Conventions::REFERENCE };

    fn western_electric(numbers: &[usize]) -> RuleDesign {
        use Rule::*;
        let rules: Vec<Rule> =
            numbers.iter().map(|n| [WesternElectric1, WesternElectric2, WesternElectric3, WesternElectric4][n - 1]).collect();
        RuleDesign::new(&RuleSet::only(&rules).with_conventions(EARLY)).unwrap()
    }

    /// Champ and Woodall 1987, table 1, as printed, in control and at one standard error.
    #[test]
    fn the_published_run_lengths() {
        for (rules, in_control, shifted) in [
            (&[1][..], 370.40, 43.89),
            (&[1, 2], 225.44, 20.01),
            (&[1, 3], 166.05, 12.66),
            (&[1, 4], 152.73, 14.58),
            (&[1, 2, 3, 4], 91.75, 9.22),
        ] {
            let design = western_electric(rules);
            assert!((design.average(0.0).unwrap() - in_control).abs() < 0.005_01, "{rules:?}");
            assert!((design.average(1.0).unwrap() - shifted).abs() < 0.005_01, "{rules:?}");
        }
    }

    #[test]
    fn a_chain_of_one_rule_is_geometric() {
        let design = western_electric(&[1]);
        assert_eq!(design.states(), 1);
        let signal = 2.0 * normal_below(-3.0);
        assert!((design.average(0.0).unwrap() * signal - 1.0).abs() < 1e-12);
        assert!((design.average_after_long(0.0).unwrap() * signal - 1.0).abs() < 1e-12);
        // Median of a geometric distribution.
        let median = (0.5_f64.ln() / (-signal).ln_1p()).ceil();
        assert_eq!(design.quantile(0.0, 0.5).unwrap().to_string(), median.to_string());
    }

    /// A c chart with mean 4, limits 0 and 10: P(X > 10) of the Poisson distribution.
    #[test]
    fn counts_are_taken_as_they_are() {
        let mut chance = (-4.0_f64).exp();
        let points = (0..60_u32).map(|count| {
            if count > 0 {
                chance *= 4.0 / f64::from(count);
            }
            ((f64::from(count) - 4.0) / 2.0, chance)
        });
        let arl = western_electric(&[1]).average_of(points.collect::<Vec<_>>()).unwrap();
        assert!((arl * (1.0 - crate::distribution::poisson_up_to(10.0, 4.0)) - 1.0).abs() < 1e-10);
    }

    #[test]
    fn a_stretch_meets_its_run_length_where_there_is_one() {
        let design = western_electric(&[1, 2]).for_run_length(370.0).unwrap();
        assert!((design.average(0.0).unwrap() / 370.0 - 1.0).abs() < 1e-9);
        assert!(matches!(western_electric(&[1, 4]).for_run_length(256.0), Err(AlarmError::Unreachable { .. })));
    }

    #[test]
    fn what_zones_cannot_say_is_refused() {
        assert!(matches!(RuleDesign::new(&RuleSet::nelson()), Err(AlarmError::Combination(_))));
        assert!(matches!(RuleDesign::new(&RuleSet::only(&[])), Err(AlarmError::Combination(_))));
    }
}
