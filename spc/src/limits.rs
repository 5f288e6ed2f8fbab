//! Phase I: from a stretch of production to the limits that every later point is judged by.
//!
//! Invariants: limits are values, never recomputed behind the caller's back; each carries its revision and the one
//! before it, the number of subgroups used and left out, and the method; every number in them is finite; a phase I
//! without variation gives limits that collapse on the centre line (`sigma` 0), not NaN.

use serde::{Deserialize, Serialize};

use crate::chart::constants::{SUBGROUP_MAX, d2, d3};
use crate::chart::{ChartKind, Lines, MAGNITUDE_MAX, Sample, SampleError, Window};
use crate::rules::{Rule, RuleSet};
use crate::sum::Sum;

/// Where d2 and d3 come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constants {
    /// Computed, unrounded.
    #[default]
    Exact,
    /// d2 and D4 as in a printed table, three decimals (1.128 and 3.267 for span 2), to reproduce charts made so.
    Printed,
}

/// How sigma was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SigmaMethod {
    /// Mean moving range divided by d2 of the span.
    MovingRange,
    /// From the centre, by the binomial distribution.
    Binomial,
    /// From the centre, by the Poisson distribution.
    Poisson,
    /// Standards given: the caller knew it.
    Given,
}

/// What a characteristic's chart is told before its first point.
///
/// Start from [`Settings::values`] or [`Settings::counts`] and change fields.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Subgroups that phase I learns from before limits are frozen. 25 (Montgomery, section 6.2: 20 to 25 subgroups).
    pub phase_one_subgroups: u32,
    /// Rules on the location chart.
    pub rules: RuleSet,
    /// Rules on the moving range chart. By default only "beyond the limits": successive moving ranges share a value,
    /// so that runs and cycles among them are no evidence (Montgomery, section 6.4).
    pub range_rules: RuleSet,
    /// Distance of the control limits from the centre, in standard errors. 3.
    pub width: f64,
    /// Values per moving range. 2.
    pub span: u32,
    /// Source of d2 and d3.
    pub constants: Constants,
}

impl Settings {
    /// Individuals: Nelson's eight rules.
    pub const fn values() -> Self {
        Self {
            phase_one_subgroups: 25,
            rules: RuleSet::nelson(),
            range_rules: RuleSet::only(&[Rule::Nelson1]),
            width: 3.0,
            span: 2,
            constants: Constants::Exact,
        }
    }

    /// Attribute charts (p, np, c, u): Nelson's rules 1 to 4.
    pub const fn counts() -> Self {
        Self { rules: RuleSet::nelson_1_to_4(), ..Self::values() }
    }

    /// # Errors
    /// The first field that cannot be meant.
    pub fn check(&self, chart: ChartKind) -> Result<(), SettingsError> {
        let least = if chart == ChartKind::Individuals { self.span.max(2) } else { 1 };
        if !(2..=SUBGROUP_MAX).contains(&self.span) {
            return Err(SettingsError::Span { span: self.span });
        }
        if self.phase_one_subgroups < least {
            return Err(SettingsError::PhaseOneTooShort { got: self.phase_one_subgroups, least });
        }
        check_width(self.width)?;
        self.rules.conventions().check()?;
        self.range_rules.conventions().check()
    }
}

/// Settings, or limits from outside, that no chart can be made of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Phase I cannot estimate anything from so few subgroups.
    #[error("phase I has {got} subgroups and needs at least {least}")]
    PhaseOneTooShort {
        /// Subgroups asked for.
        got: u32,
        /// Fewest that the chart can be estimated from.
        least: u32,
    },
    /// Limits must be a positive distance from the centre.
    #[error("the width of the limits must lie above 0 and at most 1000 standard errors")]
    Width,
    /// A moving range needs 2 to 100 values.
    #[error("a moving range cannot span {span} values")]
    Span {
        /// The span asked for.
        span: u32,
    },
    /// A run rule's length that no pattern can have, or that is longer than a window.
    #[error("the run length {name} is not possible")]
    Length {
        /// Field of [`crate::rules::Lengths`].
        name: &'static str,
    },
    /// Centre or sigma given from outside is not finite, negative, or out of the chart's domain.
    #[error("the limits given for a {chart:?} chart are not in its domain")]
    Domain {
        /// The chart they were given for.
        chart: ChartKind,
    },
}

fn check_width(width: f64) -> Result<(), SettingsError> {
    if width > 0.0 && width <= 1000.0 { Ok(()) } else { Err(SettingsError::Width) }
}

/// Limits of the moving range chart that belongs to limits of individuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangeLimits {
    /// Values per moving range.
    pub span: u32,
    /// Centre d2·sigma and limits D3, D4 times it. Montgomery, section 6.4.
    pub lines: Lines,
}

/// One revision of a chart's limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Number of this revision, from 1.
    pub revision: u32,
    /// The revision that it replaced, if any.
    pub predecessor: Option<u32>,
    /// The chart they belong to.
    pub chart: ChartKind,
    /// How sigma was found.
    pub method: SigmaMethod,
    /// Subgroups they were computed from; 0 when given.
    pub subgroups: u32,
    /// Subgroups of phase I that were left out.
    pub excluded: u32,
    /// Process mean; p, c or u. For np this is the proportion: the centre line of a point is n·p.
    pub centre: f64,
    /// Process standard deviation; for attribute charts that of one piece or unit: √(p(1−p)), √c, √u.
    pub sigma: f64,
    /// Distance of the limits from the centre, in standard errors.
    pub width: f64,
    /// The moving range chart; individuals only.
    pub range: Option<RangeLimits>,
}

impl Limits {
    /// Standards given for individuals: centre and sigma are known, the moving range chart follows from sigma.
    ///
    /// # Errors
    /// Settings or numbers that no chart can be made of.
    pub fn given(centre: f64, sigma: f64, settings: &Settings) -> Result<Self, SettingsError> {
        settings.check(ChartKind::Individuals)?;
        let factors = RangeFactors::of(settings)?;
        let range = factors.limits(factors.d2 * sigma, sigma, settings.width);
        let limits = Self { centre, sigma, range: Some(range), ..Self::blank(ChartKind::Individuals, SigmaMethod::Given, settings.width) };
        limits.check().map(|()| limits)
    }

    /// Standards given for an attribute chart: the rate (p, mean count or defects per unit) is known.
    ///
    /// # Errors
    /// Settings or a rate that no chart can be made of.
    pub fn given_rate(chart: ChartKind, rate: f64, settings: &Settings) -> Result<Self, SettingsError> {
        settings.check(chart)?;
        let sigma = attribute_sigma(chart, rate);
        let limits = Self { centre: rate, sigma, ..Self::blank(chart, SigmaMethod::Given, settings.width) };
        limits.check().map(|()| limits)
    }

    fn blank(chart: ChartKind, method: SigmaMethod, width: f64) -> Self {
        Self { revision: 1, predecessor: None, chart, method, subgroups: 0, excluded: 0, centre: 0.0, sigma: 0.0, width, range: None }
    }

    /// The lines for a subgroup of this size; size has no meaning for individuals and c.
    ///
    /// Source: Montgomery, sections 6.4 (individuals), 7.2 (p, np) and 7.3 (c, u).
    pub fn lines(&self, size: f64) -> Lines {
        self.lines_at(size, self.width)
    }

    /// The lines at another distance than that of the control limits, for example warning lines at 2.
    pub fn lines_at(&self, size: f64, width: f64) -> Lines {
        let (centre, se) = match self.chart {
            ChartKind::Individuals | ChartKind::C => (self.centre, self.sigma),
            ChartKind::P | ChartKind::U => (self.centre, self.sigma / size.sqrt()),
            ChartKind::Np => (self.centre * size, self.sigma * size.sqrt()),
        };
        let (least, most) = match self.chart {
            ChartKind::Individuals => (f64::MIN, f64::MAX),
            ChartKind::P => (0.0, 1.0),
            ChartKind::Np => (0.0, size),
            ChartKind::C | ChartKind::U => (0.0, f64::MAX),
        };
        Lines { centre, lcl: (centre - width * se).max(least), ucl: (centre + width * se).min(most), se }
    }

    /// # Errors
    /// [`SettingsError::Domain`] or [`SettingsError::Width`], for limits that came from outside.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        check_width(self.width)?;
        let domain = match self.chart {
            // A rounding of the mean may pass the largest value.
            ChartKind::Individuals => -2.0 * MAGNITUDE_MAX..=2.0 * MAGNITUDE_MAX,
            ChartKind::P | ChartKind::Np => 0.0..=1.0,
            ChartKind::C | ChartKind::U => 0.0..=2.0 * MAGNITUDE_MAX,
        };
        let scale = 0.0..=2.0 * MAGNITUDE_MAX;
        let range_fits = self.range.is_none_or(|RangeLimits { span, lines: Lines { centre, lcl, ucl, se } }| {
            let finite = [centre, lcl, ucl, se].into_iter().all(f64::is_finite);
            finite && (2..=SUBGROUP_MAX).contains(&span) && self.chart == ChartKind::Individuals
        });
        if domain.contains(&self.centre) && scale.contains(&self.sigma) && range_fits {
            Ok(())
        } else {
            Err(SettingsError::Domain { chart: self.chart })
        }
    }
}

fn attribute_sigma(chart: ChartKind, rate: f64) -> f64 {
    match chart {
        ChartKind::P | ChartKind::Np => (rate * (1.0 - rate)).sqrt(),
        _ => rate.sqrt(),
    }
}

/// d2 and d3 of the span, computed once so that freezing limits costs no integration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct RangeFactors {
    span: u32,
    d2: f64,
    d3: f64,
    constants: Constants,
}

impl RangeFactors {
    fn of(settings: &Settings) -> Result<Self, SettingsError> {
        let Settings { span, constants, .. } = *settings;
        let (Some(exact), Some(d3)) = (d2(span), d3(span)) else {
            return Err(SettingsError::Span { span });
        };
        let d2 = if constants == Constants::Printed { three_decimals(exact) } else { exact };
        Ok(Self { span, d2, d3, constants })
    }

    fn limits(&self, centre: f64, sigma: f64, width: f64) -> RangeLimits {
        let lines = match self.constants {
            Constants::Exact => {
                let se = self.d3 * sigma;
                Lines { centre, lcl: (centre - width * se).max(0.0), ucl: centre + width * se, se }
            }
            Constants::Printed => {
                let spread = width * self.d3 / self.d2;
                let (lower, upper) = (three_decimals(1.0 - spread).max(0.0), three_decimals(1.0 + spread));
                let ucl = centre * upper;
                Lines { centre, lcl: centre * lower, ucl, se: (ucl - centre) / width }
            }
        };
        RangeLimits { span: self.span, lines }
    }
}

fn three_decimals(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Phase I asked for limits before it could know any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("phase I has used {used} subgroups, which is too few for limits")]
pub struct TooFew {
    /// Subgroups used so far.
    pub used: u32,
}

/// Phase I, point by point, in constant memory: sums, not samples.
///
/// Sums are compensated, so that the order of magnitude of a measurement does not eat its variation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    chart: ChartKind,
    width: f64,
    factors: Option<RangeFactors>,
    window: Window,
    /// Moving ranges above this are taken for disturbances and not averaged.
    range_ceiling: Option<f64>,
    /// The first amount. Amounts are added up as distances from it, so that equal values have exactly their own value
    /// as mean: were it one rounding off, limits of zero width would call every further equal value a signal.
    origin: Option<f64>,
    amount: Sum,
    size: Sum,
    ranges: Sum,
    range_count: u32,
    used: u32,
    excluded: u32,
}

impl Estimator {
    /// Nothing learnt yet.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn new(chart: ChartKind, settings: &Settings) -> Result<Self, SettingsError> {
        settings.check(chart)?;
        let individuals = chart == ChartKind::Individuals;
        Ok(Self {
            chart,
            width: settings.width,
            factors: if individuals { Some(RangeFactors::of(settings)?) } else { None },
            window: Window::new(if individuals { settings.span } else { 1 }),
            range_ceiling: None,
            origin: None,
            amount: Sum::default(),
            size: Sum::default(),
            ranges: Sum::default(),
            range_count: 0,
            used: 0,
            excluded: 0,
        })
    }

    /// Screens moving ranges: those above the ceiling are left out of the mean, once (Nelson 1982, "Control charts
    /// for individual measurements", JQT 14(3), with D4 times the first mean as the ceiling).
    pub(crate) fn with_range_ceiling(mut self, ceiling: f64) -> Self {
        self.range_ceiling = Some(ceiling);
        self
    }

    /// Learns from the next sample, and gives what is plotted: the statistic, and the moving range if there is one.
    ///
    /// # Errors
    /// [`SampleError`]; nothing is learnt then.
    pub fn push(&mut self, sample: Sample) -> Result<(f64, Option<f64>), SampleError> {
        let measured = self.chart.measure(sample, self.next_index())?;
        let origin = if self.factors.is_some() { *self.origin.get_or_insert(measured.amount) } else { 0.0 };
        self.amount.add(measured.amount - origin);
        self.size.add(measured.size);
        self.used = self.used.saturating_add(1);
        let range = if self.factors.is_some() { self.window.push(measured.statistic) } else { None };
        if let Some(range) = range.filter(|range| self.range_ceiling.is_none_or(|ceiling| *range <= ceiling)) {
            self.ranges.add(range);
            self.range_count = self.range_count.saturating_add(1);
        }
        Ok((measured.statistic, range))
    }

    /// Leaves a subgroup out of the estimate. No moving range reaches across it.
    pub fn exclude(&mut self) {
        self.excluded = self.excluded.saturating_add(1);
        self.window.clear();
    }

    /// The next moving range starts afresh, without anything being left out.
    pub(crate) fn break_ranges(&mut self) {
        self.window.clear();
    }

    /// Hands over the values that the next moving range will look back at; this estimator is at its end.
    pub(crate) fn take_window(&mut self) -> Window {
        std::mem::take(&mut self.window)
    }

    /// Subgroups used so far.
    pub fn used(&self) -> u32 {
        self.used
    }

    fn next_index(&self) -> u64 {
        u64::from(self.used) + u64::from(self.excluded) + 1
    }

    /// Limits from everything learnt so far, as revision 1.
    ///
    /// Centre: mean of the values (individuals), Σ counts / Σ sizes (p, np, u), mean count (c). Sigma: mean moving
    /// range / d2 (individuals; Montgomery, section 6.4), else the distribution's.
    ///
    /// # Errors
    /// [`TooFew`] without a subgroup, or for individuals without a moving range.
    pub fn limits(&self) -> Result<Limits, TooFew> {
        let used = self.used;
        if used == 0 {
            return Err(TooFew { used });
        }
        let mean = self.origin.unwrap_or(0.0) + self.amount.value() / self.size.value();
        let centre = if matches!(self.chart, ChartKind::P | ChartKind::Np) { mean.min(1.0) } else { mean };
        let method = match self.chart {
            ChartKind::Individuals => SigmaMethod::MovingRange,
            ChartKind::P | ChartKind::Np => SigmaMethod::Binomial,
            ChartKind::C | ChartKind::U => SigmaMethod::Poisson,
        };
        let blank = Limits { subgroups: used, excluded: self.excluded, ..Limits::blank(self.chart, method, self.width) };
        let Some(factors) = self.factors else {
            return Ok(Limits { centre, sigma: attribute_sigma(self.chart, centre), ..blank });
        };
        if self.range_count == 0 {
            return Err(TooFew { used });
        }
        let mean_range = self.ranges.value() / f64::from(self.range_count);
        let sigma = mean_range / factors.d2;
        Ok(Limits { centre, sigma, range: Some(factors.limits(mean_range, sigma, self.width)), ..blank })
    }
}
