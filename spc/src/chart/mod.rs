//! What is plotted: a sample comes in, a point with its lines and signals goes out.
//!
//! [`Chart`] judges by limits that are already frozen (phase II); [`crate::limits::Estimator`] makes them (phase I).
//!
//! Invariants: points are numbered from 1 and only accepted points are counted; a refused sample changes nothing;
//! every number in a [`Point`] is finite.

pub mod constants;
mod window;

use serde::{Deserialize, Serialize};

use crate::limits::{Limits, SettingsError};
use crate::rules::{Hits, Rule, RuleSet, Runs};
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
}

/// What one subgroup delivered. Each chart takes exactly one of these shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// One measured value: individuals.
    Value(f64),
    /// `count` among `size`: p and np (whole pieces), u (units or area of opportunity, may be fractional).
    Counted {
        /// Nonconforming pieces (p, np) or defects (u).
        count: u32,
        /// Pieces inspected (p, np) or units of opportunity (u).
        size: f64,
    },
    /// Defects found in a subgroup that is always of the same size: c.
    Tally(u32),
}

/// Why a sample was refused. `point` is the number that it would have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// NaN or infinite value.
    #[error("point {point} is not a finite number")]
    NotFinite {
        /// Number that the point would have had.
        point: u64,
    },
    /// The value or rate is larger than [`MAGNITUDE_MAX`].
    #[error("point {point} is larger than 1e100")]
    TooLarge {
        /// Number that the point would have had.
        point: u64,
    },
    /// Size zero, negative, NaN or outside [`SIZE_RANGE`].
    #[error("point {point}: a subgroup size must lie between 1e-9 and 1e15")]
    Size {
        /// Number that the point would have had.
        point: u64,
    },
    /// p and np count whole pieces.
    #[error("point {point}: the number of pieces inspected is not whole")]
    SizeNotWhole {
        /// Number that the point would have had.
        point: u64,
    },
    /// More nonconforming pieces than pieces.
    #[error("point {point}: {count} nonconforming pieces among fewer inspected")]
    CountAboveSize {
        /// Number that the point would have had.
        point: u64,
        /// The count that was offered.
        count: u32,
    },
    /// The sample's shape is not the one that this chart takes.
    #[error("point {point}: this sample does not belong on a {chart:?} chart")]
    WrongSample {
        /// Number that the point would have had.
        point: u64,
        /// The chart that refused it.
        chart: ChartKind,
    },
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
        if self.has_zones() { distance / self.se } else { distance }
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
    /// How much it varies: the moving range.
    Spread,
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
        }
    }
}

/// What one sample put on the chart or charts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The point on the location chart.
    pub point: Point,
    /// The point on the moving range chart: individuals only, and only once the span is full.
    pub moving_range: Option<Point>,
    /// This sample was the last of phase I: limits exist from now on, and the next sample is judged by them.
    pub froze_limits: bool,
}

impl Observation {
    /// Every rule hit at this sample, location first. Empty when the process gave no signal.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + use<> {
        let spread = self.moving_range.map_or(Hits::EMPTY, |point| point.signals);
        let on = |hits: Hits, chart| hits.iter().map(move |rule| Signal { rule, chart });
        on(self.point.signals, PairChart::Location).chain(on(spread, PairChart::Spread))
    }
}

/// A checked sample: the statistic to plot and what phase I has to add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) statistic: f64,
    pub(crate) amount: f64,
    pub(crate) size: f64,
}

impl ChartKind {
    /// Refuses what cannot be plotted; what passes keeps all later arithmetic finite.
    pub(crate) fn measure(self, sample: Sample, point: u64) -> Result<Measured, SampleError> {
        let whole = |statistic| Measured { statistic, amount: statistic, size: 1.0 };
        let measured = match (self, sample) {
            (Self::Individuals, Sample::Value(value)) => whole(value),
            (Self::C, Sample::Tally(count)) => whole(f64::from(count)),
            (Self::P | Self::Np | Self::U, Sample::Counted { count, size }) => {
                if !(SIZE_RANGE.0..=SIZE_RANGE.1).contains(&size) {
                    return Err(SampleError::Size { point });
                }
                let amount = f64::from(count);
                if self != Self::U && size.fract() != 0.0 {
                    return Err(SampleError::SizeNotWhole { point });
                }
                if self != Self::U && amount > size {
                    return Err(SampleError::CountAboveSize { point, count });
                }
                let statistic = if self == Self::Np { amount } else { amount / size };
                Measured { statistic, amount, size }
            }
            _ => return Err(SampleError::WrongSample { point, chart: self }),
        };
        if !measured.statistic.is_finite() {
            Err(SampleError::NotFinite { point })
        } else if measured.statistic.abs() > MAGNITUDE_MAX {
            Err(SampleError::TooLarge { point })
        } else {
            Ok(measured)
        }
    }

    /// Whether every point has the same lines. If not, order between points (trend, alternation) is read on the
    /// standardised scale, as the zones are.
    fn has_common_lines(self) -> bool {
        matches!(self, Self::Individuals | Self::C)
    }
}

/// A chart with frozen limits: judges point after point in constant time and memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    limits: Limits,
    rules: RuleSet,
    range_rules: RuleSet,
    window: Window,
    index: u64,
    runs: Runs,
    range_runs: Runs,
}

impl Chart {
    /// A chart at its first point. `range_rules` judge the moving range chart of individuals and are otherwise unused.
    ///
    /// # Errors
    /// Limits that are not finite or that do not fit their chart, or run lengths that no pattern can have.
    pub fn new(limits: Limits, rules: RuleSet, range_rules: RuleSet) -> Result<Self, SettingsError> {
        limits.check()?;
        rules.conventions().check()?;
        range_rules.conventions().check()?;
        let window = Window::new(limits.range.map_or(1, |range| range.span));
        Ok(Self::following(limits, rules, range_rules, 0, window))
    }

    /// Goes on where phase I ended: next number, and the last values as predecessors of the next moving range. The
    /// caller has checked what [`Chart::new`] checks.
    pub(crate) fn following(limits: Limits, rules: RuleSet, range_rules: RuleSet, index: u64, window: Window) -> Self {
        Self { limits, rules, range_rules, window, index, runs: Runs::default(), range_runs: Runs::default() }
    }

    /// Judges the next sample.
    ///
    /// # Errors
    /// [`SampleError`]; the chart is then as if the sample had not come.
    pub fn push(&mut self, sample: Sample) -> Result<Observation, SampleError> {
        let index = self.index.saturating_add(1);
        let kind = self.limits.chart;
        let measured = kind.measure(sample, index)?;
        self.index = index;

        let statistic = measured.statistic;
        let lines = self.limits.lines(measured.size);
        let order = if kind.has_common_lines() { statistic } else { lines.standardise(statistic) };
        let signals = self.runs.judge(statistic, order, &lines, &self.rules);
        let point = Point { index, statistic, lines: Some(lines), signals };

        let moving_range = self.limits.range.and_then(|limits| {
            let range = self.window.push(statistic)?;
            let signals = self.range_runs.judge(range, range, &limits.lines, &self.range_rules);
            Some(Point { index, statistic: range, lines: Some(limits.lines), signals })
        });
        Ok(Observation { point, moving_range, froze_limits: false })
    }

    /// Forgets every unfinished pattern, and the predecessors of the next moving range: what came before an
    /// intervention is no evidence about what comes after it. Limits and numbering stay.
    pub fn restart_runs(&mut self) {
        self.runs = Runs::default();
        self.range_runs = Runs::default();
        self.window.clear();
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
