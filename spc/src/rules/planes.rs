//! The run rules over a whole series at once: 64 points in one word per question, and a pattern in a few operations on words.
//!
//! Judging point after point costs some instructions per rule and point; here most of them are shared by 64 points.
//!
//! Invariants: gives what [`super::Runs`] gives point after point, by every convention.

use super::conventions::{Conventions, KOfN, Mixture, PartialWindow, Ties, WINDOW_MAX};
use super::custom::RULES;
use super::runs::steps;
use super::{CUSTOM_MAX, Hits, Rule, RuleSet, Sides};
use crate::chart::Lines;

/// Points in a block: with as many before them, no pattern is longer than what is in view.
const WORD: usize = 64;
/// One answer for each point of a block.
type Word = u64;
/// The answers of a block above those of the block before.
type Plane = u128;

/// The watched rules hit at each point of a series that is judged by the same lines throughout, `width` standard errors from
/// the centre. Every value is finite.
pub(crate) fn judge(values: &[f64], lines: &Lines, width: f64, rules: &RuleSet) -> Vec<Hits> {
    let mut signals = vec![Hits::EMPTY; values.len()];
    let mut planes = Planes::default();
    let zone = lines.se * rules.conventions().zone_width(width);
    let mut last = values.first().copied().unwrap_or(0.0);
    for (values, signals) in values.chunks(WORD).zip(signals.chunks_mut(WORD)) {
        planes.judge(&Block::of(values, last, lines, zone), rules, &mut Found { signals, watched: rules.rules() });
        last = values.last().copied().unwrap_or(last);
    }
    signals
}

/// Neighbouring points, and the one before the first of them; that is the first itself at the start of a series.
struct Block<'a> {
    /// Where there are fewer points, NaN fills the rest: every question about it is answered no.
    values: [f64; WORD + 1],
    /// A bit for each point, the first in the lowest, as in every word made of them.
    seen: Word,
    lines: &'a Lines,
    /// Width of a zone.
    zone: f64,
}

impl<'a> Block<'a> {
    fn of(points: &[f64], last: f64, lines: &'a Lines, zone: f64) -> Self {
        let mut values = [f64::NAN; WORD + 1];
        values[0] = last;
        values[1..=points.len()].copy_from_slice(points);
        let absent = u32::try_from(WORD - points.len()).unwrap_or(0);
        Self { values, seen: Word::MAX >> absent, lines, zone }
    }

    fn ask(&self, question: impl Fn(f64) -> bool) -> Word {
        self.compare(|_, value| question(value))
    }

    /// No, where there are no zones to be in.
    fn ask_if(&self, zones: bool, question: impl Fn(f64) -> bool) -> Word {
        if zones { self.ask(question) } else { 0 }
    }

    /// Of each value and the one before it. Four neighbours are asked together, each into a word of its own, so that a compiler
    /// can do it in one instruction; the words interlock.
    fn compare(&self, question: impl Fn(f64, f64) -> bool) -> Word {
        const LANES: usize = 4;
        let mut words = [0_u64; LANES];
        let before = self.values[..WORD].chunks_exact(LANES);
        let values = self.values[1..].chunks_exact(LANES);
        for (before, values) in before.zip(values).rev() {
            for ((word, before), value) in words.iter_mut().zip(before).zip(values) {
                *word = (*word << LANES) + u64::from(question(*before, *value));
            }
        }
        let [first, second, third, fourth] = words;
        first | second << 1 | third << 2 | fourth << 3
    }
}

/// Where the rules found in one block are noted.
struct Found<'a> {
    signals: &'a mut [Hits],
    watched: Hits,
}

impl Found<'_> {
    fn add(&mut self, rule: Rule, points: Plane) {
        let mut points = newest(points);
        if points == 0 || !self.watched.contains(rule) {
            return;
        }
        while points != 0 {
            let place = usize::try_from(points.trailing_zeros()).unwrap_or(WORD);
            if let Some(hits) = self.signals.get_mut(place) {
                *hits = hits.with(rule);
            }
            points &= points - 1;
        }
    }
}

/// For each question the answers of this block in the upper half, and those of the block before in the lower half.
#[derive(Default)]
struct Planes {
    seen: Plane,
    above_centre: Plane,
    below_centre: Plane,
    above_one: Plane,
    below_one: Plane,
    above_two: Plane,
    below_two: Plane,
    inside_one: Plane,
    up: Plane,
    down: Plane,
    rising: Plane,
    falling: Plane,
    turned: Plane,
    westgard: [Plane; 4],
    custom: [(Plane, Plane); CUSTOM_MAX],
}

impl Planes {
    fn judge(&mut self, block: &Block, rules: &RuleSet, found: &mut Found) {
        let Lines { centre, lcl, ucl, .. } = *block.lines;
        let conventions = rules.conventions();
        let lengths = &conventions.lengths;
        let any = |of: &[Rule]| !rules.rules().and(Hits::of(of)).is_empty();
        take(&mut self.seen, block.seen);
        take(&mut self.above_centre, block.ask(|x| x > centre));
        take(&mut self.below_centre, block.ask(|x| x < centre));

        let beyond = Plane::from(block.ask(|x| x > ucl) | block.ask(|x| x < lcl)) << WORD;
        found.add(Rule::WesternElectric1, beyond);
        found.add(Rule::Nelson1, beyond);
        for (rule, n) in [(Rule::WesternElectric4, lengths.side_western_electric), (Rule::Nelson2, lengths.side)] {
            if any(&[rule]) {
                found.add(rule, all(self.above_centre, n) | all(self.below_centre, n));
            }
        }
        if any(&[Rule::Nelson3, Rule::Nelson4]) {
            self.directions(block, conventions, found);
        }
        if any(&[Rule::WesternElectric2, Rule::WesternElectric3, Rule::Nelson5, Rule::Nelson6, Rule::Nelson7, Rule::Nelson8]) {
            self.zones(block, conventions, found);
        }
        if any(&[Rule::Westgard12s, Rule::Westgard13s, Rule::Westgard22s, Rule::WestgardR4s, Rule::Westgard41s, Rule::Westgard10x]) {
            self.westgard(block, found);
        }
        if any(&RULES) {
            self.custom(block, rules, found);
        }
    }

    fn directions(&mut self, block: &Block, conventions: &Conventions, found: &mut Found) {
        let (up, down) = (block.compare(|before, x| x > before), block.compare(|before, x| x < before));
        take(&mut self.up, up);
        take(&mut self.down, down);
        take(&mut self.turned, newest((self.up & self.down << 1) | (self.down & self.up << 1)));
        let tied = if conventions.ties == Ties::Continue { block.seen & !up & !down } else { 0 };
        continue_over(tied, up, &mut self.rising);
        continue_over(tied, down, &mut self.falling);
        let trend = steps(conventions.lengths.trend, conventions.trend);
        found.add(Rule::Nelson3, all(self.rising, trend) | all(self.falling, trend));
        // The first of n alternating steps turns against nothing.
        let turns = steps(conventions.lengths.alternation, conventions.alternation).saturating_sub(1);
        found.add(Rule::Nelson4, all(self.turned, turns));
    }

    fn zones(&mut self, block: &Block, conventions: &Conventions, found: &mut Found) {
        let (centre, se) = (block.lines.centre, block.zone);
        let zones = block.lines.has_zones();
        take(&mut self.above_one, block.ask_if(zones, |x| x > centre + se));
        take(&mut self.below_one, block.ask_if(zones, |x| x < centre - se));
        take(&mut self.above_two, block.ask_if(zones, |x| x > centre + 2.0 * se));
        take(&mut self.below_two, block.ask_if(zones, |x| x < centre - 2.0 * se));
        let outside = self.above_one | self.below_one;
        take(&mut self.inside_one, if zones { block.seen & !newest(outside) } else { 0 });

        let lengths = &conventions.lengths;
        let judged = |zone: KOfN| if conventions.partial_window == PartialWindow::Signals { Plane::MAX } else { all(self.seen, zone.n) };
        let k_of_n = |above, below, zone: KOfN| judged(zone) & one_sided(above, below, zone);
        let two = k_of_n(self.above_two, self.below_two, lengths.beyond_two);
        let one = k_of_n(self.above_one, self.below_one, lengths.beyond_one);
        found.add(Rule::WesternElectric2, two);
        found.add(Rule::WesternElectric3, one);
        found.add(Rule::Nelson5, two);
        found.add(Rule::Nelson6, one);
        found.add(Rule::Nelson7, all(self.inside_one, lengths.stratification));
        let n = lengths.mixture;
        let both = if conventions.mixture == Mixture::AnySide { Plane::MAX } else { some(self.above_one, n) & some(self.below_one, n) };
        found.add(Rule::Nelson8, all(outside, n) & both);
    }

    fn westgard(&mut self, block: &Block, found: &mut Found) {
        let Lines { centre, se, .. } = *block.lines;
        let zones = block.lines.has_zones();
        let index = |x: f64| if zones { (x - centre) / se } else { 0.0 };
        let [above_one, below_one, above_two, below_two] = &mut self.westgard;
        take(above_one, block.ask(|x| index(x) > 1.0));
        take(below_one, block.ask(|x| index(x) < -1.0));
        take(above_two, block.ask(|x| index(x) > 2.0));
        take(below_two, block.ask(|x| index(x) < -2.0));
        let [above_one, below_one, above_two, below_two] = self.westgard;
        found.add(Rule::Westgard12s, above_two | below_two);
        found.add(Rule::Westgard13s, Plane::from(block.ask(|x| index(x).abs() > 3.0)) << WORD);
        found.add(Rule::Westgard22s, all(above_two, 2) | all(below_two, 2));
        found.add(Rule::WestgardR4s, (above_two & below_two << 1) | (below_two & above_two << 1));
        found.add(Rule::Westgard41s, all(above_one, 4) | all(below_one, 4));
        found.add(Rule::Westgard10x, all(self.above_centre, 10) | all(self.below_centre, 10));
    }

    fn custom(&mut self, block: &Block, rules: &RuleSet, found: &mut Found) {
        let Lines { centre, se, .. } = *block.lines;
        let zones = block.lines.has_zones();
        for (((above, below), pattern), rule) in self.custom.iter_mut().zip(rules.custom()).zip(RULES) {
            let Some(pattern) = pattern else { continue };
            take(above, block.ask_if(zones, |x| x > centre + pattern.z * se));
            take(below, block.ask_if(zones, |x| x < centre - pattern.z * se));
            let zone = KOfN { k: pattern.k, n: pattern.n };
            let complete = match pattern.sides {
                Sides::Any => one_sided(*above | *below, 0, zone),
                Sides::One => one_sided(*above, *below, zone),
            };
            found.add(rule, complete & all(self.seen, pattern.n));
        }
    }
}

fn take(plane: &mut Plane, word: Word) {
    *plane = *plane >> WORD | Plane::from(word) << WORD;
}

fn newest(plane: Plane) -> Word {
    Word::try_from(plane >> WORD).unwrap_or(0)
}

/// Where the newest n answers are all yes.
fn all(plane: Plane, n: u32) -> Plane {
    let (mut full, mut length) = (plane, 1);
    while length < n {
        let further = length.min(n - length);
        full &= full << further;
        length += further;
    }
    full
}

/// Where any of the newest n answers is yes.
fn some(plane: Plane, n: u32) -> Plane {
    !all(!plane, n)
}

/// Where the newest answer is yes and k of the newest n on its side are; above goes before below.
fn one_sided(above: Plane, below: Plane, zone: KOfN) -> Plane {
    (above & at_least(above, zone)) | (below & !above & at_least(below, zone))
}

/// Where k of the newest n answers are yes.
fn at_least(plane: Plane, KOfN { k, n }: KOfN) -> Plane {
    /// One place more than the longest window has points, for "none".
    const PLACES: usize = WINDOW_MAX as usize + 1;
    let mut reached = [0; PLACES];
    reached[0] = Plane::MAX;
    let highest = usize::try_from(k).map_or(PLACES, |k| k + 1).min(PLACES);
    for back in 0..n {
        for place in (1..highest).rev() {
            reached[place] |= reached[place - 1] & plane << back;
        }
    }
    reached[highest - 1]
}

/// A step of a trend: one in its direction, or a tie after one. A sum carries through neighbouring ones, here ties.
fn continue_over(tied: Word, steps: Word, trend: &mut Plane) {
    let before = Word::from(*trend >> (2 * WORD - 1) == 1);
    let starts = (steps << 1 | before) & tied;
    take(trend, steps | (tied & !tied.wrapping_add(starts)));
}
