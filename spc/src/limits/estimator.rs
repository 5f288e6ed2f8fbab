//! Phase I, point by point: sums, not samples, wherever the method allows it.
//!
//! Invariants: what cannot be plotted is refused and learnt nothing from; equal values have exactly their own value as
//! mean. Laney's charts, the median of a g chart and the screening of moving ranges need a second look at phase I: they
//! keep it, in memory taken at the start for the number of subgroups set (as far as 10 000).

use serde::{Deserialize, Serialize};

use super::{Gaps, Limits, RangeFactors, Settings, SettingsError, SigmaMethod, SpreadCentre, WithinLimits, attribute_sigma};
use crate::chart::constants::{SUBGROUP_MAX, c4};
use crate::chart::{ChartKind, MAGNITUDE_MAX, Measured, Sample, SampleError, Subgroup, Window, median};
use crate::sum::Sum;

/// Phase I asked for limits before it could know any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("phase I has used {used} subgroups, which is too few for limits")]
pub struct TooFew {
    /// Subgroups used so far.
    pub used: u32,
}

/// What is plotted of a sample that was learnt from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learnt {
    /// The point of the location chart.
    pub statistic: f64,
    /// The moving range, once the span is full; individuals and between/within.
    pub moving_range: Option<f64>,
    /// The range or standard deviation; subgroups of more than one value.
    pub within: Option<f64>,
}

/// A point that a second look will be needed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Kept {
    amount: f64,
    size: f64,
    /// The point before it belongs to phase I too, with no gap between.
    follows: bool,
}

/// Sums over the spread within subgroups.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct WithinSums {
    /// Σ weight · estimate, Σ weight, as the sigma method weighs.
    weighted: Sum,
    weights: Sum,
    /// Σ n · spread, Σ n: the average that is drawn.
    spread: Sum,
    sizes: Sum,
    freedom: u64,
}

/// Most points or ranges for which memory is taken at the start.
const KEPT_MAX: u32 = 10_000;

/// Phase I of one chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    chart: ChartKind,
    settings: Settings,
    factors: Option<RangeFactors>,
    window: Window,
    /// The first amount. Amounts are added up as distances from it, so that equal values have exactly their own value
    /// as mean: were it one rounding off, limits of zero width would call every further equal value a signal.
    origin: Option<f64>,
    amount: Sum,
    size: Sum,
    squares: Sum,
    ranges: Sum,
    range_count: u32,
    within: WithinSums,
    /// Rate and size of the point before, for the scaled moving ranges of I'.
    before: Option<(f64, f64)>,
    /// The next point has no neighbour.
    after_gap: bool,
    kept: Vec<Kept>,
    kept_ranges: Vec<f64>,
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
        let places = usize::try_from(settings.phase_one_subgroups.min(KEPT_MAX)).unwrap_or(0);
        let space = |needed: bool| if needed { places } else { 0 };
        let looks_twice = matches!(chart, ChartKind::LaneyP | ChartKind::LaneyU | ChartKind::G);
        Ok(Self {
            chart,
            settings: *settings,
            factors: if chart.uses_span() { Some(RangeFactors::of(settings)?) } else { None },
            window: Window::new(if chart.uses_span() { settings.span } else { 1 }),
            origin: None,
            amount: Sum::default(),
            size: Sum::default(),
            squares: Sum::default(),
            ranges: Sum::default(),
            range_count: 0,
            within: WithinSums::default(),
            before: None,
            after_gap: true,
            kept: Vec::with_capacity(space(looks_twice)),
            kept_ranges: Vec::with_capacity(space(settings.screened)),
            used: 0,
            excluded: 0,
        })
    }

    /// Learns from the next sample, and gives what is plotted.
    ///
    /// # Errors
    /// [`SampleError`]; nothing is learnt then.
    pub fn push(&mut self, sample: Sample) -> Result<Learnt, SampleError> {
        let point = self.next_index();
        let measured = self.chart.measure(sample, point)?;
        if let Some(subgroup) = measured.subgroup {
            let method = self.method();
            if subgroup.size > SUBGROUP_MAX && method.uses_ranges() {
                return Err(SampleError::SubgroupTooLarge { point });
            }
            self.within.learn(&subgroup, method, &self.settings, measured.within(self.chart.within()).unwrap_or(0.0));
        }
        self.learn_centre(&measured);
        let moving_range = self.learn_range(&measured);
        self.used = self.used.saturating_add(1);
        self.after_gap = false;
        let plotted = moving_range.filter(|_| self.chart.has_moving_ranges());
        Ok(Learnt { statistic: measured.statistic, moving_range: plotted, within: measured.within(self.chart.within()) })
    }

    /// Learns from many samples, as [`Estimator::push`] does from each, in the same order.
    ///
    /// # Errors
    /// [`SampleError`] for the first that cannot be plotted; those before it have been learnt from.
    pub(crate) fn push_all<T: Copy + Into<Sample>>(&mut self, samples: &[T]) -> Result<(), SampleError> {
        let plain = self.chart == ChartKind::Individuals && self.method() == SigmaMethod::MovingRange && !self.settings.screened;
        let mut rest = samples;
        while let Some((first, others)) = rest.split_first() {
            self.push((*first).into())?;
            rest = others;
            if plain && self.settings.span == 2 {
                rest = &rest[self.push_values(rest)..];
            }
        }
        Ok(())
    }

    /// Individuals after the first, as far as they are plain numbers; gives how many. Re-estimating from a million points is
    /// what a person waits for: the sums stay in registers, and nothing is looked up for a point.
    fn push_values<T: Copy + Into<Sample>>(&mut self, samples: &[T]) -> usize {
        let (Some(origin), Some(mut last)) = (self.origin, self.window.newest()) else { return 0 };
        let (mut amount, mut ranges) = (self.amount, self.ranges);
        let mut learnt = 0_u32;
        for sample in samples {
            let Sample::Value(value) = (*sample).into() else { break };
            if value.is_nan() || value.abs() > MAGNITUDE_MAX || learnt == u32::MAX {
                break;
            }
            amount.add(value - origin);
            ranges.add((value - last).abs());
            last = value;
            learnt += 1;
        }
        self.amount = amount;
        self.ranges = ranges;
        self.size.add(f64::from(learnt));
        self.range_count = self.range_count.saturating_add(learnt);
        self.used = self.used.saturating_add(learnt);
        self.window.replace_newest(last);
        usize::try_from(learnt).unwrap_or(0)
    }

    fn learn_centre(&mut self, measured: &Measured) {
        let from_first = self.chart.takes_subgroups() || matches!(self.chart, ChartKind::Individuals | ChartKind::T);
        let origin = if from_first { *self.origin.get_or_insert(measured.amount) } else { 0.0 };
        let distance = measured.amount - origin;
        self.amount.add(if from_first { distance * measured.size } else { distance });
        self.size.add(measured.size);
        if self.method() == SigmaMethod::SampleSd {
            self.squares.add(distance * distance);
        }
        if matches!(self.chart, ChartKind::LaneyP | ChartKind::LaneyU | ChartKind::G) {
            let Measured { amount, size, .. } = *measured;
            self.kept.push(Kept { amount, size, follows: !self.after_gap });
        }
    }

    /// The moving range that this point closes, if it closes one.
    fn learn_range(&mut self, measured: &Measured) -> Option<f64> {
        let range = match self.chart {
            ChartKind::IPrime => {
                let Measured { statistic, size, .. } = *measured;
                let (rate, other) = self.before.replace((statistic, size))?;
                Some((statistic - rate).abs() / (1.0 / size + 1.0 / other).sqrt())
            }
            _ if self.factors.is_some() => self.window.push(measured.judged),
            _ => None,
        }?;
        if range.is_finite() && !self.is_laney() {
            self.ranges.add(range);
            self.range_count = self.range_count.saturating_add(1);
            if self.settings.screened {
                self.kept_ranges.push(range);
            }
        }
        Some(range)
    }

    /// Leaves a subgroup out of the estimate. Moving ranges do there as [`Settings::gaps`] says.
    pub fn exclude(&mut self) {
        self.excluded = self.excluded.saturating_add(1);
        if self.settings.gaps == Gaps::Break {
            self.break_ranges();
        }
    }

    /// The next moving range starts afresh, without anything being left out.
    pub(crate) fn break_ranges(&mut self) {
        self.window.clear();
        self.before = None;
        self.after_gap = true;
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

    fn is_laney(&self) -> bool {
        matches!(self.chart, ChartKind::LaneyP | ChartKind::LaneyU)
    }

    fn method(&self) -> SigmaMethod {
        self.settings.sigma.unwrap_or_else(|| SigmaMethod::usual(self.chart))
    }

    /// Limits from everything learnt so far, as revision 1.
    ///
    /// Centre: mean of the values (individuals, medians, between/within), mean weighted by size (subgroup means),
    /// Σ counts / Σ sizes (p, np, u, p', u', I'), mean count (c, g), unless [`Settings::target`] gives it. Sigma: as
    /// [`SigmaMethod`] says, unless [`Settings::known_sigma`] gives it.
    ///
    /// # Errors
    /// [`TooFew`] without a subgroup, or without the moving range or the spread that sigma needs.
    pub fn limits(&self) -> Result<Limits, TooFew> {
        let used = self.used;
        if used == 0 {
            return Err(TooFew { used });
        }
        let mean = self.origin.unwrap_or(0.0) + self.amount.value() / self.size.value();
        let share = matches!(self.chart, ChartKind::P | ChartKind::Np | ChartKind::LaneyP);
        let centre = self.settings.target.unwrap_or(if share { mean.min(1.0) } else { mean });
        let method = if self.settings.known_sigma.is_some() { SigmaMethod::Given } else { self.method() };
        let blank = Limits { subgroups: used, excluded: self.excluded, centre, ..Limits::blank(self.chart, method, &self.settings) };
        let limits = if self.chart.takes_subgroups() {
            self.of_subgroups(blank)
        } else if self.is_laney() {
            self.of_laney(blank)
        } else if self.factors.is_some() || self.chart == ChartKind::IPrime {
            self.of_ranges(blank)
        } else {
            let sigma = attribute_sigma(self.chart, centre, self.settings.geometric);
            let drawn_centre = blank.drawn_centre_of(self.median_count(), centre);
            Some(Limits { sigma, drawn_centre, ..blank })
        };
        limits.ok_or(TooFew { used })
    }

    /// Individuals, t, I'.
    fn of_ranges(&self, blank: Limits) -> Option<Limits> {
        let mean_range = self.mean_range(&self.ranges, self.range_count, &self.kept_ranges);
        let Some(factors) = self.factors else {
            let sigma = self.settings.known_sigma.or(mean_range.map(|mean| mean * std::f64::consts::FRAC_PI_2.sqrt()))?;
            return Some(Limits { sigma, ..blank });
        };
        let sigma = match (self.settings.known_sigma, self.method()) {
            (Some(known), _) => known,
            (None, SigmaMethod::SampleSd) => self.sample_sd()?,
            (None, _) => mean_range? / factors.d2,
        };
        let range_centre = if blank.method == SigmaMethod::MovingRange { mean_range? } else { factors.d2 * sigma };
        let range = self.chart.has_moving_ranges().then(|| factors.limits(range_centre, sigma, blank.width));
        Some(Limits { sigma, range, ..blank })
    }

    fn of_subgroups(&self, blank: Limits) -> Option<Limits> {
        let Settings { known_sigma, constants, spread_centre, .. } = self.settings;
        let method = self.method();
        let sigma = match known_sigma {
            Some(known) => known,
            None => self.within.sigma(method)?,
        };
        let own_size = known_sigma.is_none() && method == SigmaMethod::PooledSdOwnSize;
        let centre = if own_size {
            Some(sigma)
        } else if spread_centre == SpreadCentre::Average && self.within.sizes.value() > 0.0 {
            Some(self.within.spread.value() / self.within.sizes.value())
        } else {
            None
        };
        let within = self.chart.within().map(|statistic| WithinLimits { statistic, sigma, centre, own_size, constants });
        let Some(factors) = self.factors else { return Some(Limits { sigma, within, ..blank }) };
        let mean_range = self.mean_range(&self.ranges, self.range_count, &self.kept_ranges)?;
        let between = mean_range / factors.d2;
        let range = Some(factors.limits(mean_range, between, blank.width));
        Some(Limits { sigma: between, range, within, ..blank })
    }

    /// The distribution's sigma, times what the moving ranges of the standardised rates say.
    fn of_laney(&self, blank: Limits) -> Option<Limits> {
        let factors = self.factors?;
        let centre = blank.centre;
        let base = attribute_sigma(self.chart, centre, self.settings.geometric);
        let mut window = Window::new(self.settings.span);
        let mut ranges = Sum::default();
        let mut kept = Vec::new();
        for Kept { amount, size, follows } in &self.kept {
            if !follows {
                window.clear();
            }
            let z = if base > 0.0 { (amount / size - centre) / (base / size.sqrt()) } else { 0.0 };
            if let Some(range) = window.push(z) {
                ranges.add(range);
                kept.push(range);
            }
        }
        let count = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let dispersion = self.mean_range(&ranges, count, &kept)? / factors.d2;
        Some(Limits { sigma: base * dispersion, dispersion: Some(dispersion), ..blank })
    }

    /// Mean moving range, screened once if so set; `None` without a range.
    fn mean_range(&self, ranges: &Sum, count: u32, kept: &[f64]) -> Option<f64> {
        let mean = (count > 0).then(|| ranges.value() / f64::from(count))?;
        if !self.settings.screened {
            return Some(mean);
        }
        // I' scales its ranges to the spread of two values.
        let ceiling = match &self.factors {
            Some(factors) => factors.ceiling(mean),
            None => RangeFactors::of(&Settings { span: 2, ..self.settings }).ok()?.ceiling(mean),
        };
        let (mut screened, mut left) = (Sum::default(), 0_u32);
        for range in kept.iter().filter(|range| **range < ceiling || mean == 0.0) {
            screened.add(*range);
            left = left.saturating_add(1);
        }
        (left > 0).then(|| screened.value() / f64::from(left))
    }

    fn sample_sd(&self) -> Option<f64> {
        let (count, sum) = (f64::from(self.used), self.amount.value());
        let variance = (self.squares.value() - sum * sum / count) / (count - 1.0);
        c4(self.used).map(|c4| variance.max(0.0).sqrt() / c4)
    }

    fn median_count(&self) -> Option<f64> {
        if self.chart != ChartKind::G || self.settings.target.is_some() {
            return None;
        }
        Some(median(&self.kept.iter().map(|kept| kept.amount).collect::<Vec<_>>()))
    }
}

impl WithinSums {
    fn learn(&mut self, subgroup: &Subgroup, method: SigmaMethod, settings: &Settings, plotted: f64) {
        let Subgroup { size, range, sd, .. } = *subgroup;
        let Some(of) = settings.constants.of_size(size) else { return };
        let (d2, d3) = (of.d2.unwrap_or(1.0), of.d3.unwrap_or(1.0));
        let freedom = size.saturating_sub(1);
        let (estimate, weight) = match method {
            SigmaMethod::MeanRange => (range / d2, 1.0),
            SigmaMethod::MinimumVarianceRange => (range / d2, (d2 / d3) * (d2 / d3)),
            SigmaMethod::MinimumVarianceSd => (sd / of.c4, (of.c4 / of.c5) * (of.c4 / of.c5)),
            SigmaMethod::PooledSd | SigmaMethod::PooledSdOwnSize => (sd * sd, f64::from(freedom)),
            _ => (sd / of.c4, 1.0),
        };
        self.weighted.add(weight * estimate);
        self.weights.add(weight);
        self.spread.add(f64::from(size) * plotted);
        self.sizes.add(f64::from(size));
        self.freedom = self.freedom.saturating_add(u64::from(freedom));
    }

    fn sigma(&self, method: SigmaMethod) -> Option<f64> {
        let weights = self.weights.value();
        let mean = (weights > 0.0).then(|| self.weighted.value() / weights)?;
        match method {
            SigmaMethod::PooledSd => {
                let values = u32::try_from(self.freedom.saturating_add(1)).unwrap_or(u32::MAX);
                c4(values).map(|c4| mean.sqrt() / c4)
            }
            SigmaMethod::PooledSdOwnSize => Some(mean.sqrt()),
            _ => Some(mean),
        }
    }
}
