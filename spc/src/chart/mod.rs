//! What is plotted: a sample comes in, a point with its lines and signals goes out.
//!
//! [`Chart`] judges by limits that are already frozen (phase II); [`crate::limits::Estimator`] makes them (phase I).
//!
//! Invariants: points are numbered from 1 and only accepted points are counted; a refused sample changes nothing;
//! every number in a [`Point`] is finite.

pub mod constants;
mod lines;
mod roots;
mod sample;
mod subgroup;
mod window;

use serde::{Deserialize, Serialize};

use crate::batch::{BatchError, estimate};
use crate::limits::{Limits, Settings, SettingsError};
use crate::rules::{Hits, Plan, Rule, RuleSet, Runs};
pub(crate) use lines::KnownLines;
pub(crate) use sample::{Measured, check_value};
pub use sample::{Sample, SampleError};
pub(crate) use subgroup::median;
pub use subgroup::{Subgroup, SubgroupError};
pub(crate) use window::Window;

/// Values and rates above this magnitude are refused: beyond it the arithmetic of limits could leave `f64`.
pub const MAGNITUDE_MAX: f64 = 1e100;
/// Smallest and largest subgroup size or area of opportunity that is accepted.
pub const SIZE_RANGE: (f64, f64) = (1e-9, 1e15);

/// Which chart: what a sample is, and which distribution sets the distance between centre and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChartKind {
    /// Individual values with their moving ranges (I-MR). Montgomery, chapter 6.4.
    Individuals,
    /// Proportion of nonconforming pieces, binomial. Montgomery, chapter 7.2.
    P,
    /// Number of nonconforming pieces, binomial. Montgomery, chapter 7.2.
    Np,
    /// Number of defects in subgroups of one size, Poisson. Montgomery, chapter 7.3.
    C,
    /// Defects per unit, Poisson. Montgomery, chapter 7.3.
    U,
    /// Subgroup means with their ranges (X̄-R). Montgomery, chapter 6.2.
    XbarR,
    /// Subgroup means with their standard deviations (X̄-s). Montgomery, chapter 6.3.
    XbarS,
    /// Subgroup medians with their ranges. AIAG, Statistical Process Control, 2nd edition, chapter II.
    MedianR,
    /// Subgroup means as individuals, with moving ranges between and ranges within subgroups (I-MR-R). D. J. Wheeler,
    /// Understanding Statistical Process Control, chapter 9.
    BetweenWithinR,
    /// As [`ChartKind::BetweenWithinR`], with standard deviations within subgroups (I-MR-S).
    BetweenWithinS,
    /// Proportion nonconforming whose variation between subgroups is not binomial (p'). D. B. Laney, "Improved control
    /// charts for attributes", Quality Engineering 14(4), 2002, 531–537.
    LaneyP,
    /// Defects per unit whose variation between subgroups is not Poisson (u'). Laney, as above.
    LaneyU,
    /// Rates over areas of opportunity of any size, without an assumed distribution (I'). W. A. Taylor, "Normalized
    /// individuals control chart", 2017.
    IPrime,
    /// Pieces between two events, geometric. J. C. Benneyan, "Number-between g-type statistical quality control charts",
    /// Health Care Management Science 4, 2001, 305–318.
    G,
    /// Time between two events, exponential, judged after the power 1/3.6. L. S. Nelson, Journal of Quality Technology
    /// 26(3), 1994, 239–240.
    T,
}

/// What the spread chart of subgroups plots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpreadStatistic {
    /// Largest minus smallest value.
    Range,
    /// Sample standard deviation.
    Sd,
}

impl SpreadStatistic {
    pub(crate) fn of(self, subgroup: &Subgroup) -> f64 {
        match self {
            Self::Range => subgroup.range,
            Self::Sd => subgroup.sd,
        }
    }
}

/// Centre line, control limits and standard error that one point is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// Centre line, in the unit of the statistic.
    pub centre: f64,
    /// Lower control limit; never below what the statistic can take (0 for rates and ranges).
    pub lcl: f64,
    /// Upper control limit; never above what the statistic can take (1 for p, n for np).
    pub ucl: f64,
    /// Standard error of the statistic: the zones of the run rules are multiples of it around the centre.
    pub se: f64,
}

impl Lines {
    /// Whether one standard error is visible next to the centre. If not (phase I had no variation), only the
    /// limits themselves have a meaning and every rule that needs zones stays silent.
    pub fn has_zones(&self) -> bool {
        self.centre - self.se < self.centre && self.centre < self.centre + self.se
    }

    /// The same point on a scale where lines do not depend on the subgroup size: `(statistic − centre) / se`, or the
    /// plain distance where there are no zones.
    pub(crate) fn standardise(&self, statistic: f64) -> f64 {
        let distance = statistic - self.centre;
        // A standard error below 1e-300 would make it infinite, which no checkpoint can hold.
        if self.has_zones() { (distance / self.se).clamp(f64::MIN, f64::MAX) } else { distance }
    }
}

/// One plotted point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Number of the subgroup, from 1; points refused are not counted.
    pub index: u64,
    /// What is plotted: value, moving range, proportion, count or rate.
    pub statistic: f64,
    /// The lines it was judged by; `None` while phase I is still learning.
    pub lines: Option<Lines>,
    /// The rules whose pattern this point completes; empty while learning.
    pub signals: Hits,
}

impl Point {
    /// Centre line, once there is one.
    pub fn centre(&self) -> Option<f64> {
        self.lines.map(|lines| lines.centre)
    }

    /// Lower control limit, once there is one.
    pub fn lcl(&self) -> Option<f64> {
        self.lines.map(|lines| lines.lcl)
    }

    /// Upper control limit, once there is one.
    pub fn ucl(&self) -> Option<f64> {
        self.lines.map(|lines| lines.ucl)
    }
}

/// Which chart of a pair. Attribute charts have only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairChart {
    /// Where the process is: the individuals, the proportion, the count, the rate.
    Location,
    /// How much it varies from point to point: the moving range.
    Spread,
    /// How much it varies within a subgroup: the range or standard deviation.
    Within,
}

/// One rule that was hit, on one chart of the pair. Shown as `Nelson 2` or `Nelson 1 (spread)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal {
    /// The rule whose pattern is complete.
    pub rule: Rule,
    /// The chart on which it is.
    pub chart: PairChart,
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.chart {
            PairChart::Location => write!(f, "{}", self.rule),
            PairChart::Spread => write!(f, "{} (spread)", self.rule),
            PairChart::Within => write!(f, "{} (within)", self.rule),
        }
    }
}

/// What one sample put on the chart or charts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The point on the location chart.
    pub point: Point,
    /// The point on the moving range chart: individuals and between/within, and only once the span is full.
    pub moving_range: Option<Point>,
    /// The point on the chart of ranges or standard deviations within the subgroup; none of a single value.
    pub within: Option<Point>,
    /// This sample was the last of phase I: limits exist from now on, and the next sample is judged by them.
    pub froze_limits: bool,
}

impl Observation {
    /// Every rule hit at this sample, location first. Empty when the process gave no signal.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + use<> {
        let of = |point: Option<Point>| point.map_or(Hits::EMPTY, |point| point.signals);
        let on = |hits: Hits, chart| hits.iter().map(move |rule| Signal { rule, chart });
        let spread = on(of(self.moving_range), PairChart::Spread).chain(on(of(self.within), PairChart::Within));
        on(self.point.signals, PairChart::Location).chain(spread)
    }
}

impl ChartKind {
    /// Whether every point has the same lines. If not, order between points (trend, alternation) is read on the
    /// standardised scale, as the zones are.
    fn has_common_lines(self) -> bool {
        matches!(self, Self::Individuals | Self::C | Self::G | Self::T | Self::BetweenWithinR | Self::BetweenWithinS)
    }

    pub(crate) fn takes_subgroups(self) -> bool {
        self.within().is_some()
    }

    /// Whether a chart of moving ranges belongs to it.
    pub(crate) fn has_moving_ranges(self) -> bool {
        matches!(self, Self::Individuals | Self::BetweenWithinR | Self::BetweenWithinS)
    }

    /// Whether sigma comes from moving ranges of the points or of something made of them.
    pub(crate) fn uses_span(self) -> bool {
        self.has_moving_ranges() || matches!(self, Self::T | Self::LaneyP | Self::LaneyU)
    }

    /// What is plotted of the spread within subgroups.
    pub fn within(self) -> Option<SpreadStatistic> {
        match self {
            Self::XbarR | Self::MedianR | Self::BetweenWithinR => Some(SpreadStatistic::Range),
            Self::XbarS | Self::BetweenWithinS => Some(SpreadStatistic::Sd),
            _ => None,
        }
    }
}

/// A chart with frozen limits: judges point after point in constant time and memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Chart {
    limits: Limits,
    rules: RuleSet,
    range_rules: RuleSet,
    window: Window,
    index: u64,
    runs: Runs,
    range_runs: Runs,
    within_runs: Runs,
    /// The lines of the last size seen: a size that stays costs no square root and no quantile.
    known: Option<KnownLines>,
    /// What follows from the rules.
    #[serde(skip_serializing)]
    plan: Plan,
    #[serde(skip_serializing)]
    range_plan: Plan,
}

/// A chart as it is written down: without what follows from the rest.
#[derive(Deserialize)]
#[serde(rename = "Chart")]
struct Stored {
    limits: Limits,
    rules: RuleSet,
    range_rules: RuleSet,
    window: Window,
    index: u64,
    runs: Runs,
    range_runs: Runs,
    #[serde(default)]
    within_runs: Runs,
    known: Option<KnownLines>,
}

impl From<Stored> for Chart {
    fn from(stored: Stored) -> Self {
        let Stored { limits, rules, range_rules, window, index, runs, range_runs, within_runs, known } = stored;
        let fresh = Self::following(limits, rules, range_rules, index, window);
        Self { runs, range_runs, within_runs, known, ..fresh }
    }
}

impl Chart {
    /// A chart at its first point. `range_rules` judge the moving range chart of individuals and are otherwise unused.
    ///
    /// # Errors
    /// Limits that are not finite or that do not fit their chart, or run lengths that no pattern can have.
    pub fn new(limits: Limits, rules: RuleSet, range_rules: RuleSet) -> Result<Self, SettingsError> {
        limits.check()?;
        rules.check()?;
        range_rules.check()?;
        let window = Window::new(limits.range.map_or(1, |range| range.span));
        Ok(Self::following(limits, rules, range_rules, 0, window))
    }

    /// Goes on where phase I ended: next number, and the last values as predecessors of the next moving range. The
    /// caller has checked what [`Chart::new`] checks.
    pub(crate) fn following(limits: Limits, rules: RuleSet, range_rules: RuleSet, index: u64, window: Window) -> Self {
        let runs = Runs::default();
        let (plan, range_plan) = (Plan::of(&rules, limits.width), Plan::of(&range_rules, limits.width));
        let (range_runs, within_runs, known) = (runs, runs, None);
        Self { limits, rules, range_rules, window, index, runs, range_runs, within_runs, known, plan, range_plan }
    }

    /// Limits from a whole phase I: [`crate::batch::estimate`] by the name of the trade. Points in `excluded` (numbered
    /// from 1) are plotted and judged later, but not learnt from.
    ///
    /// # Errors
    /// [`crate::batch::BatchError`], naming the point where one is at fault.
    pub fn phase_one<T: Copy + Into<Sample>>(
        chart: ChartKind,
        samples: &[T],
        excluded: &[u64],
        settings: &Settings,
    ) -> Result<Limits, BatchError> {
        estimate(chart, samples, excluded, settings)
    }

    /// Judges the next sample.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the sample had not come.
    #[inline]
    pub fn push(&mut self, sample: Sample) -> Result<Observation, SampleError> {
        let index = self.index.saturating_add(1);
        let kind = self.limits.chart;
        let measured = kind.measure(sample, index)?;
        self.index = index;

        let size = measured.line_size();
        // Borrowed where they lie: a copy of the lines costs as much as judging by them.
        let KnownLines { judging, shown, within, .. } = match &mut self.known {
            Some(known) if known.size == size => &*known,
            known => &*known.insert(KnownLines::of(&self.limits, size)),
        };
        let Measured { statistic, judged, .. } = measured;
        let order = if kind.has_common_lines() { judged } else { judging.standardise(judged) };
        let signals = self.runs.judge_as(&self.plan, judged, order, judging, &self.rules);
        let point = Point { index, statistic, lines: Some(*shown), signals };

        let moving_range = match &self.limits.range {
            Some(limits) => self.window.push(statistic).map(|range| {
                let signals = self.range_runs.judge_as(&self.range_plan, range, range, &limits.lines, &self.range_rules);
                Point { index, statistic: range, lines: Some(limits.lines), signals }
            }),
            None => None,
        };
        let within = match within {
            Some(lines) => measured.within(kind.within()).map(|spread| {
                let order = lines.standardise(spread);
                let signals = self.within_runs.judge_as(&self.range_plan, spread, order, lines, &self.range_rules);
                Point { index, statistic: spread, lines: Some(*lines), signals }
            }),
            None => None,
        };
        Ok(Observation { point, moving_range, within, froze_limits: false })
    }

    /// Forgets every unfinished pattern, and the predecessors of the next moving range: what came before an
    /// intervention is no evidence about what comes after it. Limits and numbering stay.
    pub fn restart_runs(&mut self) {
        self.runs = Runs::default();
        self.range_runs = Runs::default();
        self.within_runs = Runs::default();
        self.window.clear();
    }

    /// The next point gets the number after `index`.
    pub(crate) fn go_on_after(&mut self, index: u64) {
        self.index = index;
    }

    /// The limits that this chart judges by.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of the last accepted point; 0 before the first.
    pub fn index(&self) -> u64 {
        self.index
    }
}
