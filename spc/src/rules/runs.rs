//! The engine behind every run rule: what must be remembered of the past to judge the newest point.
//!
//! One word per question ("beyond 1 sigma above?", "higher than the point before?"), one bit per point, the newest in
//! bit 0. A pattern is then a mask, and a point costs the same few instructions whatever it is: data-dependent
//! branches would be mispredicted exactly on the random data that a process in control delivers.
//!
//! Invariants: constant size and constant time per point; a bit that was never written is 0 and answers "no", so that
//! no pattern is complete before it has been seen in full; every number kept is finite if every number offered was.

use serde::{Deserialize, Serialize};

use super::conventions::{Counting, KOfN, Mixture, PartialWindow, Ties, WINDOW_MAX};
use super::custom::RULES;
use super::{CUSTOM_MAX, Hits, Rule, RuleSet, Sides, ZoneRule};
use crate::chart::Lines;

/// The rules that look at the newest point alone.
const BEYOND: Hits = Hits::of(&[Rule::WesternElectric1, Rule::Nelson1]);
/// Those that ask for 1 or 2 sigma.
const ZONES: Hits = Hits::of(&[Rule::WesternElectric2, Rule::WesternElectric3, Rule::Nelson5, Rule::Nelson6, Rule::Nelson7, Rule::Nelson8]);
/// Two of three, four of five.
const BEYOND_TWO: Hits = Hits::of(&[Rule::WesternElectric2, Rule::Nelson5]);
const BEYOND_ONE: Hits = Hits::of(&[Rule::WesternElectric3, Rule::Nelson6]);
/// Those that ask for direction.
const STEPS: Hits = Hits::of(&[Rule::Nelson3, Rule::Nelson4]);
/// Longest window whose 2^n histories fit into one word.
const ANSWERED: u32 = 6;
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
    ///
    /// The rules must be the same at every point: nothing is remembered for rules that are not watched. Zones are standard
    /// errors here, as [`super::Zones::ThirdsOfLimits`] has it too for the usual limits at 3 of them.
    pub fn judge(&mut self, statistic: f64, order: f64, lines: &Lines, rules: &RuleSet) -> Hits {
        self.judge_as(&Plan::of(rules, 3.0), statistic, order, lines, rules)
    }

    /// [`Runs::judge`] with what follows from the rules made ready beforehand.
    #[inline]
    pub(crate) fn judge_as(&mut self, plan: &Plan, statistic: f64, order: f64, lines: &Lines, rules: &RuleSet) -> Hits {
        let beyond = (statistic > lines.ucl) | (statistic < lines.lcl);
        if !plan.remembers {
            return BEYOND.and(plan.watched).if_so(beyond);
        }
        self.note_sides(statistic, lines);
        let mut hits = self.sides(beyond, plan);
        if plan.zones {
            self.note_zones(statistic, lines, plan.zone);
            hits = self.zones(plan, hits);
        }
        if plan.steps {
            self.note_step(order, plan.ties);
            hits = self.steps(plan, hits);
        }
        if plan.westgard {
            hits = self.westgard(statistic, lines, hits);
        }
        if plan.custom {
            hits = self.custom(statistic, lines, rules.custom(), hits);
        }
        hits.and(plan.watched)
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
            let complete = full(seen, n) & newest_set(beyond) & at_least(beyond & newest(n), k);
            hits = hits.with_if(rule, complete);
        }
        hits
    }

    fn note_sides(&mut self, statistic: f64, lines: &Lines) {
        shift(&mut self.seen, true);
        shift(&mut self.above_centre, statistic > lines.centre);
        shift(&mut self.below_centre, statistic < lines.centre);
    }

    #[inline]
    fn note_zones(&mut self, statistic: f64, lines: &Lines, zone: f64) {
        let centre = lines.centre;
        let se = zone * lines.se;
        let zones = lines.has_zones();
        let above_one = zones & (statistic > centre + se);
        let below_one = zones & (statistic < centre - se);
        shift(&mut self.above_one, above_one);
        shift(&mut self.below_one, below_one);
        shift(&mut self.above_two, zones & (statistic > centre + 2.0 * se));
        shift(&mut self.below_two, zones & (statistic < centre - 2.0 * se));
        shift(&mut self.inside_one, zones & !above_one & !below_one);
    }

    #[inline]
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

    fn sides(&self, beyond: bool, plan: &Plan) -> Hits {
        let side = |window| all(self.above_centre, window) | all(self.below_centre, window);
        BEYOND.if_so(beyond).with_if(Rule::WesternElectric4, side(plan.side_western_electric)).with_if(Rule::Nelson2, side(plan.side))
    }

    #[inline]
    fn zones(&self, plan: &Plan, hits: Hits) -> Hits {
        let k_of_n = |above, below, zone: &Zone| (all(self.seen, zone.window) | plan.early) & (zone.holds(above) | zone.holds(below));
        let two = k_of_n(self.above_two, self.below_two, &plan.beyond_two);
        let one = k_of_n(self.above_one, self.below_one, &plan.beyond_one);
        let both = (self.above_one & plan.mixture != 0) & (self.below_one & plan.mixture != 0);
        let outside = all(self.above_one | self.below_one, plan.mixture);
        hits.or(BEYOND_TWO.if_so(two))
            .or(BEYOND_ONE.if_so(one))
            .with_if(Rule::Nelson7, all(self.inside_one, plan.stratification))
            .with_if(Rule::Nelson8, outside & (both | plan.any_side))
    }

    fn steps(&self, plan: &Plan, hits: Hits) -> Hits {
        hits.with_if(Rule::Nelson3, all(self.rising, plan.trend) | all(self.falling, plan.trend))
            .with_if(Rule::Nelson4, all(self.turned, plan.turns))
    }
}

/// Rules and conventions as the engine asks for them: which questions need an answer, and a window's length as a mask of its
/// newest points. Made once for a chart, because a point is judged in less time than it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    watched: Hits,
    /// Whether any rule looks back.
    remembers: bool,
    /// Whether any rule asks for 1 or 2 sigma, for direction, for Westgard's index, for lines of the user's own.
    zones: bool,
    steps: bool,
    westgard: bool,
    custom: bool,
    side_western_electric: u32,
    side: u32,
    trend: u32,
    turns: u32,
    stratification: u32,
    mixture: u32,
    beyond_two: Zone,
    beyond_one: Zone,
    /// Width of a zone in standard errors.
    zone: f64,
    /// Windows that are not yet full can signal.
    early: bool,
    /// Nelson 8 asks for no more than one side.
    any_side: bool,
    ties: Ties,
}

/// "k of n on one side, the newest among them".
#[derive(Debug, Clone, Copy, PartialEq)]
struct Zone {
    k: u32,
    window: u32,
    /// For windows of up to six points the answer to each of their histories, one bit each.
    answers: Option<u64>,
}

impl Zone {
    fn of(KOfN { k, n }: KOfN) -> Self {
        let window = newest(n);
        let complete = |history: u32| newest_set(history) & at_least(history, k);
        let answers = (n <= ANSWERED).then(|| (0..=window).fold(0, |all, history| all | u64::from(complete(history)) << history));
        Self { k, window, answers }
    }

    /// Whether this side's history is complete; only that of the newest point's side can be.
    #[inline]
    fn holds(&self, side: u32) -> bool {
        let history = side & self.window;
        match self.answers {
            Some(answers) => answers >> history & 1 == 1,
            None => newest_set(history) & at_least(history, self.k),
        }
    }
}

impl Plan {
    /// For a chart whose limits are `width` standard errors from the centre.
    pub(crate) fn of(rules: &RuleSet, width: f64) -> Self {
        let conventions = rules.conventions();
        let lengths = &conventions.lengths;
        let watched = rules.rules();
        let any = |of: Hits| !watched.and(of).is_empty();
        Self {
            watched,
            remembers: watched.and(BEYOND) != watched,
            zones: any(ZONES),
            steps: any(STEPS),
            westgard: any(WESTGARD),
            custom: any(CUSTOM),
            side_western_electric: newest(lengths.side_western_electric),
            side: newest(lengths.side),
            trend: newest(steps(lengths.trend, conventions.trend)),
            // The first of n alternating steps turns against nothing.
            turns: newest(steps(lengths.alternation, conventions.alternation).saturating_sub(1)),
            stratification: newest(lengths.stratification),
            mixture: newest(lengths.mixture),
            beyond_two: Zone::of(lengths.beyond_two),
            beyond_one: Zone::of(lengths.beyond_one),
            zone: conventions.zone_width(width),
            early: conventions.partial_window == PartialWindow::Signals,
            any_side: conventions.mixture == Mixture::AnySide,
            ties: conventions.ties,
        }
    }
}

fn shift(window: &mut u32, newest: bool) {
    *window = *window << 1 | u32::from(newest);
}

fn newest_set(window: u32) -> bool {
    window & 1 == 1
}

/// Every answer in the window is yes.
fn all(window: u32, newest: u32) -> bool {
    window & newest == newest
}

/// The newest n answers are all yes.
fn full(window: u32, n: u32) -> bool {
    all(window, newest(n))
}

/// At least k answers are yes: one is left when k − 1 have been taken away. Not every processor counts bits in one instruction.
fn at_least(window: u32, k: u32) -> bool {
    (1..k).fold(window, |left, _| left & left.wrapping_sub(1)) != 0
}

/// A mask of the newest n points; lengths from 1 to 32 are checked before a chart is made.
fn newest(n: u32) -> u32 {
    u32::MAX >> WINDOW_MAX.saturating_sub(n).min(u32::BITS - 1)
}

pub(super) fn steps(length: u32, counting: Counting) -> u32 {
    match counting {
        Counting::Points => length.saturating_sub(1),
        Counting::Steps => length,
    }
}
