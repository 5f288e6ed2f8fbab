//! The engine behind every run rule: what must be remembered of the past to judge the newest point.
//!
//! One word per question ("beyond 1 sigma above?", "higher than the point before?"), one bit per point, the newest in
//! bit 0. A pattern is then a mask, and a point costs the same few instructions whatever it is: data-dependent
//! branches would be mispredicted exactly on the random data that a process in control delivers.
//!
//! Invariants: constant size and constant time per point; a bit that was never written is 0 and answers "no", so that
//! no pattern is complete before it has been seen in full; every number kept is finite if every number offered was.

use serde::{Deserialize, Serialize};

use super::conventions::{Conventions, Counting, KOfN, Mixture, PartialWindow, Ties, WINDOW_MAX};
use super::custom::RULES;
use super::{CUSTOM_MAX, Hits, Rule, RuleSet, Sides, ZoneRule};
use crate::chart::Lines;

/// The rules that look at the newest point alone.
const BEYOND: Hits = Hits::of(&[Rule::WesternElectric1, Rule::Nelson1]);
const WESTGARD: Hits = RuleSet::westgard().rules();
const CUSTOM: Hits = Hits::of(&RULES);

/// What the unfinished patterns of one chart remember; nothing where no rule asks for more than the newest point.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Runs {
    /// A point was here.
    seen: u32,
    above_centre: u32,
    below_centre: u32,
    above_one: u32,
    below_one: u32,
    above_two: u32,
    below_two: u32,
    /// Neither above nor below one sigma, where there are zones at all.
    inside_one: u32,
    /// Strictly higher, or lower, than the point before.
    up: u32,
    down: u32,
    /// A step of a rising, or falling, trend: as `up` and `down`, and with [`Ties::Continue`] also a tie within one.
    rising: u32,
    falling: u32,
    /// A step against the one before it.
    turned: u32,
    /// The newest point on the scale on which points are compared with each other.
    last: Option<f64>,
    #[serde(default)]
    westgard: Westgard,
    /// Beyond the lines of the user's own patterns.
    #[serde(default)]
    custom: [Custom; CUSTOM_MAX],
}

/// Beyond 1 and 2 on the standard deviation index.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Westgard {
    above_one: u32,
    below_one: u32,
    above_two: u32,
    below_two: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Custom {
    above: u32,
    below: u32,
}

impl Runs {
    /// Takes the newest point and gives the watched rules whose pattern it completes.
    ///
    /// `order` is the scale on which points are compared with each other (trend, alternation): the statistic itself
    /// where all points share their lines, else the standardised statistic. Where the lines have no zones (phase I
    /// without variation) Nelson 5 to 8 and Western Electric 2 and 3 are silent, because "within 1 sigma" would be
    /// true of every point forever; the rules on limits, sides and directions go on.
    pub fn judge(&mut self, statistic: f64, order: f64, lines: &Lines, rules: &RuleSet) -> Hits {
        let beyond = (statistic > lines.ucl) | (statistic < lines.lcl);
        if !rules.remembers() {
            return BEYOND.and(rules.rules()).if_so(beyond);
        }
        self.note_zones(statistic, lines);
        self.note_step(order, rules.conventions().ties);
        let mut hits = self.complete(beyond, rules.conventions());
        if !rules.rules().and(WESTGARD).is_empty() {
            hits = self.westgard(statistic, lines, hits);
        }
        if !rules.rules().and(CUSTOM).is_empty() {
            hits = self.custom(statistic, lines, rules.custom(), hits);
        }
        hits.and(rules.rules())
    }

    /// Westgard's rules are stated on the standard deviation index `(x − mean)/s`, wherever the limits of the chart are.
    fn westgard(&mut self, statistic: f64, lines: &Lines, hits: Hits) -> Hits {
        let index = if lines.has_zones() { (statistic - lines.centre) / lines.se } else { 0.0 };
        let Westgard { above_one, below_one, above_two, below_two } = &mut self.westgard;
        shift(above_one, index > 1.0);
        shift(below_one, index < -1.0);
        shift(above_two, index > 2.0);
        shift(below_two, index < -2.0);
        let Westgard { above_one, below_one, above_two, below_two } = self.westgard;
        let either_side = |above, below, n| full(above, n) | full(below, n);
        let range = (newest_set(above_two) & newest_set(below_two >> 1)) | (newest_set(below_two) & newest_set(above_two >> 1));
        hits.with_if(Rule::Westgard12s, newest_set(above_two | below_two))
            .with_if(Rule::Westgard13s, index.abs() > 3.0)
            .with_if(Rule::Westgard22s, either_side(above_two, below_two, 2))
            .with_if(Rule::WestgardR4s, range)
            .with_if(Rule::Westgard41s, either_side(above_one, below_one, 4))
            .with_if(Rule::Westgard10x, either_side(self.above_centre, self.below_centre, 10))
    }

    fn custom(&mut self, statistic: f64, lines: &Lines, patterns: &[Option<ZoneRule>; CUSTOM_MAX], hits: Hits) -> Hits {
        let Lines { centre, se, .. } = *lines;
        let zones = lines.has_zones();
        let seen = self.seen;
        let mut hits = hits;
        for ((windows, pattern), rule) in self.custom.iter_mut().zip(patterns).zip(RULES) {
            let Some(ZoneRule { k, n, z, sides }) = *pattern else { continue };
            shift(&mut windows.above, zones & (statistic > centre + z * se));
            shift(&mut windows.below, zones & (statistic < centre - z * se));
            let beyond = match sides {
                Sides::Any => windows.above | windows.below,
                Sides::One if newest_set(windows.above) => windows.above,
                Sides::One => windows.below,
            };
            let complete = full(seen, n) & newest_set(beyond) & ((beyond & newest(n)).count_ones() >= k);
            hits = hits.with_if(rule, complete);
        }
        hits
    }

    fn note_zones(&mut self, statistic: f64, lines: &Lines) {
        let Lines { centre, se, .. } = *lines;
        let zones = lines.has_zones();
        let above_one = zones & (statistic > centre + se);
        let below_one = zones & (statistic < centre - se);
        shift(&mut self.seen, true);
        shift(&mut self.above_centre, statistic > centre);
        shift(&mut self.below_centre, statistic < centre);
        shift(&mut self.above_one, above_one);
        shift(&mut self.below_one, below_one);
        shift(&mut self.above_two, zones & (statistic > centre + 2.0 * se));
        shift(&mut self.below_two, zones & (statistic < centre - 2.0 * se));
        shift(&mut self.inside_one, zones & !above_one & !below_one);
    }

    fn note_step(&mut self, order: f64, ties: Ties) {
        let before = self.last.replace(order);
        let last = before.unwrap_or(order);
        let (up, down) = (order > last, order < last);
        let turned = (up & newest_set(self.down)) | (down & newest_set(self.up));
        let tied = (ties == Ties::Continue) & !up & !down;
        let rising = up | (tied & newest_set(self.rising));
        let falling = down | (tied & newest_set(self.falling));
        shift(&mut self.up, up);
        shift(&mut self.down, down);
        shift(&mut self.turned, turned);
        shift(&mut self.rising, rising);
        shift(&mut self.falling, falling);
    }

    fn complete(&self, beyond: bool, conventions: &Conventions) -> Hits {
        let lengths = &conventions.lengths;
        let side = |n| full(self.above_centre, n) | full(self.below_centre, n);
        let k_of_n = |above, below, zone: KOfN| {
            let judged = full(self.seen, zone.n) | (conventions.partial_window == PartialWindow::Signals);
            // The newest point must be among the k, so that only its own side can be complete.
            let side: u32 = if newest_set(above) { above } else { below };
            judged & newest_set(side) & ((side & newest(zone.n)).count_ones() >= zone.k)
        };
        let two = k_of_n(self.above_two, self.below_two, lengths.beyond_two);
        let one = k_of_n(self.above_one, self.below_one, lengths.beyond_one);
        let trend = steps(lengths.trend, conventions.trend);
        // The first of n alternating steps turns against nothing.
        let turns = steps(lengths.alternation, conventions.alternation).saturating_sub(1);
        let window = newest(lengths.mixture);
        let both = (self.above_one & window != 0) & (self.below_one & window != 0);
        let outside = full(self.above_one | self.below_one, lengths.mixture);

        Hits::EMPTY
            .with_if(Rule::WesternElectric1, beyond)
            .with_if(Rule::WesternElectric2, two)
            .with_if(Rule::WesternElectric3, one)
            .with_if(Rule::WesternElectric4, side(lengths.side_western_electric))
            .with_if(Rule::Nelson1, beyond)
            .with_if(Rule::Nelson2, side(lengths.side))
            .with_if(Rule::Nelson3, full(self.rising, trend) | full(self.falling, trend))
            .with_if(Rule::Nelson4, full(self.turned, turns))
            .with_if(Rule::Nelson5, two)
            .with_if(Rule::Nelson6, one)
            .with_if(Rule::Nelson7, full(self.inside_one, lengths.stratification))
            .with_if(Rule::Nelson8, outside & (both | (conventions.mixture == Mixture::AnySide)))
    }
}

impl RuleSet {
    /// Whether any rule looks back.
    fn remembers(&self) -> bool {
        self.rules().and(BEYOND) != self.rules()
    }
}

fn shift(window: &mut u32, newest: bool) {
    *window = *window << 1 | u32::from(newest);
}

fn newest_set(window: u32) -> bool {
    window & 1 == 1
}

/// The newest n answers are all yes.
fn full(window: u32, n: u32) -> bool {
    window & newest(n) == newest(n)
}

/// A mask of the newest n points; lengths from 1 to 32 are checked before a chart is made.
fn newest(n: u32) -> u32 {
    u32::MAX >> WINDOW_MAX.saturating_sub(n).min(u32::BITS - 1)
}

fn steps(length: u32, counting: Counting) -> u32 {
    match counting {
        Counting::Points => length.saturating_sub(1),
        Counting::Steps => length,
    }
}
