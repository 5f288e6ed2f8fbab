//! Phase I: from a stretch of production to the limits that every later point is judged by.
//!
//! Invariants: limits are values, never recomputed behind the caller's back; each carries its revision and the one
//! before it, the number of subgroups used and left out, and the method; every number in them is finite; a phase I
//! without variation gives limits that collapse on the centre line (`sigma` 0), not NaN.

mod estimator;
mod revision;
mod settings;

use serde::{Deserialize, Serialize};

use crate::chart::constants::{OfSize, SUBGROUP_MAX};
use crate::chart::{ChartKind, Lines, MAGNITUDE_MAX, SpreadStatistic};
pub use estimator::{Estimator, Learnt, TooFew};
pub use revision::{DataUsed, Difference, Exclusion, Revision, RevisionError, SignOff, would_differ};
pub use settings::{Constants, Gaps, Geometric, Settings, SettingsError, SigmaMethod, SpreadCentre};
use settings::{check_width, three_decimals};

/// Limits of the moving range chart that belongs to limits of individuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangeLimits {
    /// Values per moving range.
    pub span: u32,
    /// Centre d2·sigma and limits D3, D4 times it. Montgomery, section 6.4.
    pub lines: Lines,
}

/// Limits of the chart of ranges or standard deviations within subgroups.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WithinLimits {
    /// What is plotted.
    pub statistic: SpreadStatistic,
    /// Process standard deviation within subgroups; where `own_size`, before the correction of its bias.
    pub sigma: f64,
    /// The centre line of every size; `None` where each size has its own, d2·sigma or c4·sigma.
    pub centre: Option<f64>,
    /// Sigma is divided by c4 of each subgroup's own size (Montgomery, equation 6.31).
    pub own_size: bool,
    /// Source of d2 and d3.
    pub constants: Constants,
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
    /// Process mean; p, c or u. For np this is the proportion: the centre line of a point is n·p. For t on the scale of
    /// judging, time to the power 1/3.6.
    pub centre: f64,
    /// Process standard deviation; for attribute charts that of one piece or unit: √(p(1−p)), √c, √u. Between/within:
    /// that of the subgroup means.
    pub sigma: f64,
    /// Distance of the limits from the centre, in standard errors.
    pub width: f64,
    /// Probability limits: the share between them. `width` is then what a normal distribution makes of it.
    #[serde(default)]
    pub probability: Option<f64>,
    /// The moving range chart; individuals and between/within.
    pub range: Option<RangeLimits>,
    /// The chart of ranges or standard deviations; subgroups only.
    #[serde(default)]
    pub within: Option<WithinLimits>,
    /// A centre line that is not what the limits are measured from: the median of a g chart.
    #[serde(default)]
    pub drawn_centre: Option<f64>,
    /// Laney's sigma of the standardised rates: 1 where the variation is what the distribution says.
    #[serde(default)]
    pub dispersion: Option<f64>,
    /// How a g chart counts.
    #[serde(default)]
    pub geometric: Geometric,
}

impl Limits {
    /// Standards given for individuals: centre and sigma are known, the moving range chart follows from sigma.
    ///
    /// # Errors
    /// Settings or numbers that no chart can be made of.
    pub fn given(centre: f64, sigma: f64, settings: &Settings) -> Result<Self, SettingsError> {
        Self::given_process(ChartKind::Individuals, centre, sigma, settings)
    }

    /// Standards given for measured values: individuals, subgroups, I'. Between/within have two sigmas, so theirs are
    /// estimated. The charts of spread follow from sigma.
    ///
    /// # Errors
    /// Settings or numbers that no chart can be made of.
    pub fn given_process(chart: ChartKind, centre: f64, sigma: f64, settings: &Settings) -> Result<Self, SettingsError> {
        let settings = Settings { known_sigma: Some(sigma), sigma: None, ..*settings };
        settings.check(chart)?;
        let two_sigmas = matches!(chart, ChartKind::BetweenWithinR | ChartKind::BetweenWithinS);
        if two_sigmas {
            return Err(SettingsError::Domain { chart });
        }
        let blank = Self::blank(chart, SigmaMethod::Given, &settings);
        let range = if chart.has_moving_ranges() {
            let factors = RangeFactors::of(&settings)?;
            Some(factors.limits(factors.d2 * sigma, sigma, blank.width))
        } else {
            None
        };
        let constants = settings.constants;
        let within = chart.within().map(|statistic| WithinLimits { statistic, sigma, centre: None, own_size: false, constants });
        let limits = Self { centre, sigma, range, within, ..blank };
        limits.check().map(|()| limits)
    }

    /// Standards given for an attribute chart: the rate (p, mean count or defects per unit) is known.
    ///
    /// # Errors
    /// Settings or a rate that no chart can be made of.
    pub fn given_rate(chart: ChartKind, rate: f64, settings: &Settings) -> Result<Self, SettingsError> {
        settings.check(chart)?;
        let attribute = matches!(chart, ChartKind::P | ChartKind::Np | ChartKind::C | ChartKind::U | ChartKind::G);
        if !attribute {
            return Err(SettingsError::Domain { chart });
        }
        let blank = Self::blank(chart, SigmaMethod::Given, settings);
        let drawn_centre = blank.drawn_centre_of(None, rate);
        let limits = Self { centre: rate, sigma: attribute_sigma(chart, rate, settings.geometric), drawn_centre, ..blank };
        limits.check().map(|()| limits)
    }

    pub(super) fn blank(chart: ChartKind, method: SigmaMethod, settings: &Settings) -> Self {
        Self {
            revision: 1,
            predecessor: None,
            chart,
            method,
            subgroups: 0,
            excluded: 0,
            centre: 0.0,
            sigma: 0.0,
            width: settings.distance(),
            probability: settings.probability,
            range: None,
            within: None,
            drawn_centre: None,
            dispersion: None,
            geometric: settings.geometric,
        }
    }

    /// How much the subgroups' true means vary by themselves, where subgroups have this size: `√(σ² − σ_within²/n)`, 0
    /// where the means vary no more than the spread within explains. `None` for charts other than between/within.
    ///
    /// Source: D. J. Wheeler, Understanding Statistical Process Control, chapter 9 (three-way charts).
    pub fn between_sigma(&self, size: f64) -> Option<f64> {
        let within = self.within.filter(|_| self.range.is_some() && size > 0.0)?;
        Some((self.sigma * self.sigma - within.sigma * within.sigma / size).max(0.0).sqrt())
    }

    /// The median of a g chart that draws it; of a mean that is given, ln 2 of it.
    pub(super) fn drawn_centre_of(&self, median: Option<f64>, mean: f64) -> Option<f64> {
        let drawn = self.chart == ChartKind::G && self.geometric == Geometric::Median;
        drawn.then(|| median.unwrap_or(std::f64::consts::LN_2 * mean))
    }

    /// # Errors
    /// [`SettingsError::Domain`] or [`SettingsError::Width`], for limits that came from outside.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        check_width(self.width)?;
        let domain = match self.chart {
            ChartKind::P | ChartKind::Np | ChartKind::LaneyP => 0.0..=1.0,
            ChartKind::C | ChartKind::U | ChartKind::LaneyU | ChartKind::G | ChartKind::T => 0.0..=2.0 * MAGNITUDE_MAX,
            // A rounding of the mean may pass the largest value.
            _ => -2.0 * MAGNITUDE_MAX..=2.0 * MAGNITUDE_MAX,
        };
        let scale = 0.0..=2.0 * MAGNITUDE_MAX;
        let range_fits = self.range.is_none_or(|RangeLimits { span, lines: Lines { centre, lcl, ucl, se } }| {
            let finite = [centre, lcl, ucl, se].into_iter().all(f64::is_finite);
            finite && (2..=SUBGROUP_MAX).contains(&span) && self.chart.has_moving_ranges()
        });
        let within_fits = self.within.map(|within| within.statistic) == self.chart.within()
            && self.within.is_none_or(|within| scale.contains(&within.sigma) && within.centre.is_none_or(|x| scale.contains(&x)));
        let drawn_fits = self.drawn_centre.is_none_or(|x| scale.contains(&x));
        let share_fits = self.probability.is_none_or(|share| share > 0.0 && share < 1.0);
        let fits = range_fits && within_fits && drawn_fits && share_fits;
        if domain.contains(&self.centre) && scale.contains(&self.sigma) && fits {
            Ok(())
        } else {
            Err(SettingsError::Domain { chart: self.chart })
        }
    }
}

/// Standard deviation of one piece or unit, by the distribution of the chart.
fn attribute_sigma(chart: ChartKind, rate: f64, geometric: Geometric) -> f64 {
    match (chart, geometric) {
        (ChartKind::P | ChartKind::Np | ChartKind::LaneyP, _) => (rate * (1.0 - rate)).max(0.0).sqrt(),
        (ChartKind::G, Geometric::CountsTheEvent) => (rate * (rate - 1.0)).max(0.0).sqrt(),
        (ChartKind::G, _) => (rate * (rate + 1.0)).max(0.0).sqrt(),
        _ => rate.max(0.0).sqrt(),
    }
}

/// d2 and d3 of the span, computed once so that freezing limits costs no integration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct RangeFactors {
    span: u32,
    pub(super) d2: f64,
    d3: f64,
    constants: Constants,
}

impl RangeFactors {
    pub(super) fn of(settings: &Settings) -> Result<Self, SettingsError> {
        let Settings { span, constants, .. } = *settings;
        match constants.of_size(span) {
            Some(OfSize { d2: Some(d2), d3: Some(d3), .. }) => Ok(Self { span, d2, d3, constants }),
            _ => Err(SettingsError::Span { span }),
        }
    }

    pub(super) fn limits(&self, centre: f64, sigma: f64, width: f64) -> RangeLimits {
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

    /// Largest moving range that counts when disturbances are screened: D4 at 3 standard errors times the mean.
    pub(super) fn ceiling(&self, mean: f64) -> f64 {
        self.limits(mean, mean / self.d2, 3.0).lines.ucl
    }
}
