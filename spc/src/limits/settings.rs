//! What a chart is told before its first point, and the conventions on which real programs differ, each by name.
//!
//! Invariant: settings that pass [`Settings::check`] make a chart whose every number is finite.

use serde::{Deserialize, Serialize};

use crate::chart::constants::{OfSize, SUBGROUP_MAX};
use crate::chart::{ChartKind, MAGNITUDE_MAX};
use crate::distribution::normal_quantile;
use crate::rules::RuleSet;

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

impl Constants {
    /// The constants of one size, rounded as chosen.
    pub(crate) fn of_size(self, n: u32) -> Option<OfSize> {
        let exact = OfSize::of(n)?;
        Some(match self {
            Self::Exact => exact,
            Self::Printed => OfSize { d2: exact.d2.map(three_decimals), ..exact },
        })
    }
}

pub(super) fn three_decimals(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// How sigma was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SigmaMethod {
    /// Mean moving range divided by d2 of the span.
    MovingRange,
    /// Standard deviation of all individuals divided by c4 of their number.
    SampleSd,
    /// Mean of the subgroups' R/d2, unweighted (UWAVE-R).
    MeanRange,
    /// Mean of the subgroups' s/c4, unweighted (UWAVE-SD).
    MeanSd,
    /// Mean of the subgroups' R/d2, weighted by (d2/d3)² for the smallest variance (MVLUE-R).
    MinimumVarianceRange,
    /// Mean of the subgroups' s/c4, weighted by c4²/(1 − c4²) for the smallest variance (MVLUE-SD).
    MinimumVarianceSd,
    /// Root of the pooled variance divided by c4 of all degrees of freedom (RMSDF).
    PooledSd,
    /// Root of the pooled variance, divided by c4 of each subgroup's own size where lines are drawn (Montgomery,
    /// equation 6.31).
    PooledSdOwnSize,
    /// From the centre, by the binomial distribution.
    Binomial,
    /// From the centre, by the Poisson distribution.
    Poisson,
    /// The distribution's, times the mean moving range of the standardised rates divided by d2 (Laney).
    Overdispersion,
    /// Mean of the moving ranges of rates, each divided by √(1/n + 1/n'), times √(π/2) (Taylor).
    ScaledMovingRange,
    /// From the mean, by the geometric distribution.
    Geometric,
    /// Standards given: the caller knew it.
    Given,
}

impl SigmaMethod {
    /// The usual method of a chart.
    pub fn usual(chart: ChartKind) -> Self {
        match chart {
            ChartKind::Individuals | ChartKind::T => Self::MovingRange,
            ChartKind::P | ChartKind::Np => Self::Binomial,
            ChartKind::C | ChartKind::U => Self::Poisson,
            ChartKind::XbarR | ChartKind::MedianR | ChartKind::BetweenWithinR => Self::MeanRange,
            ChartKind::XbarS | ChartKind::BetweenWithinS => Self::MeanSd,
            ChartKind::LaneyP | ChartKind::LaneyU => Self::Overdispersion,
            ChartKind::IPrime => Self::ScaledMovingRange,
            ChartKind::G => Self::Geometric,
        }
    }

    pub(super) fn uses_ranges(self) -> bool {
        matches!(self, Self::MeanRange | Self::MinimumVarianceRange)
    }

    fn suits(self, chart: ChartKind) -> bool {
        let of_subgroups =
            matches!(self, Self::MeanSd | Self::MinimumVarianceSd | Self::PooledSd | Self::PooledSdOwnSize) || self.uses_ranges();
        match chart {
            ChartKind::Individuals | ChartKind::T => matches!(self, Self::MovingRange | Self::SampleSd),
            _ if chart.takes_subgroups() => of_subgroups,
            _ => self == Self::usual(chart),
        }
    }
}

/// What a moving range does where a point is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// It starts afresh: a step across a disturbance says nothing about the process.
    #[default]
    Break,
    /// It reaches across, as if the points beside the gap were neighbours (R qicharts2).
    Bridge,
}

/// The centre line of ranges and standard deviations whose subgroups differ in size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpreadCentre {
    /// What sigma leads to expect at each subgroup's size, d2·sigma or c4·sigma.
    #[default]
    Expected,
    /// The mean of phase I, weighted by size, for every point (R qcc).
    Average,
}

/// How a g chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Geometric {
    /// Counts are the pieces between two events: centre m, variance m(m + 1), probability 1/(m + 1) (Benneyan 2001).
    #[default]
    Mean,
    /// As [`Geometric::Mean`], but the centre line drawn is the median of phase I (R qicharts2), so that half of the
    /// points lie on either side of it; 0.693 of a given mean.
    Median,
    /// Counts include the piece with the event: variance m(m − 1), probability 1/m, while probability limits are
    /// quantiles of the pieces before it (R qcc).
    CountsTheEvent,
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
    /// Rules on the charts of moving ranges, ranges and standard deviations: Nelson 1 to 4. Successive moving ranges
    /// share a value, so that runs among them are weaker evidence than elsewhere (Montgomery, section 6.4).
    pub range_rules: RuleSet,
    /// Distance of the control limits from the centre, in standard errors. 3.
    pub width: f64,
    /// Values per moving range. 2.
    pub span: u32,
    /// Source of d2 and d3.
    pub constants: Constants,
    /// Probability limits: this share of points lies between the limits of a process that does not change, half of the
    /// rest beyond either (0.9973 is about 3 standard errors). Takes the place of `width`. Exact binomial, Poisson,
    /// geometric, chi-square and range quantiles where the statistic has such a distribution, else the normal one.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How sigma is found; `None` is [`SigmaMethod::usual`]. Between/within: sigma within.
    #[serde(default)]
    pub sigma: Option<SigmaMethod>,
    /// A centre that is known, or aimed at, in place of the mean of phase I: mean, p, mean count, defects per unit.
    #[serde(default)]
    pub target: Option<f64>,
    /// A process standard deviation that is known; charts of measured values only.
    #[serde(default)]
    pub known_sigma: Option<f64>,
    /// Moving ranges at or above D4 times their mean are left out of a second and final mean (L. S. Nelson, "Control charts for
    /// individual measurements", Journal of Quality Technology 14(3), 1982, 172–173).
    #[serde(default)]
    pub screened: bool,
    /// Moving ranges beside a point that is left out.
    #[serde(default)]
    pub gaps: Gaps,
    /// Centre of ranges and standard deviations within subgroups.
    #[serde(default)]
    pub spread_centre: SpreadCentre,
    /// How a g chart is drawn.
    #[serde(default)]
    pub geometric: Geometric,
}

impl Settings {
    /// Measured values, alone or in subgroups: Nelson's eight rules.
    pub const fn values() -> Self {
        Self {
            phase_one_subgroups: 25,
            rules: RuleSet::nelson(),
            range_rules: RuleSet::nelson_1_to_4(),
            width: 3.0,
            span: 2,
            constants: Constants::Exact,
            probability: None,
            sigma: None,
            target: None,
            known_sigma: None,
            screened: false,
            gaps: Gaps::Break,
            spread_centre: SpreadCentre::Expected,
            geometric: Geometric::Mean,
        }
    }

    /// Attribute charts (p, np, c, u, p', u', g): Nelson's rules 1 to 4.
    pub const fn counts() -> Self {
        Self { rules: RuleSet::nelson_1_to_4(), ..Self::values() }
    }

    /// The distance of the limits in standard errors: `width`, or what the normal distribution makes of `probability`.
    pub(super) fn distance(&self) -> f64 {
        self.probability.map_or(self.width, |share| normal_quantile(0.5 + 0.5 * share))
    }

    /// # Errors
    /// The first field that cannot be meant.
    pub fn check(&self, chart: ChartKind) -> Result<(), SettingsError> {
        let least = match chart {
            _ if self.known_sigma.is_some() => 1,
            _ if chart.uses_span() => self.span.max(2),
            ChartKind::IPrime => 2,
            _ => 1,
        };
        if !(2..=SUBGROUP_MAX).contains(&self.span) {
            return Err(SettingsError::Span { span: self.span });
        }
        if self.phase_one_subgroups < least {
            return Err(SettingsError::PhaseOneTooShort { got: self.phase_one_subgroups, least });
        }
        check_width(self.width)?;
        if self.probability.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
            return Err(SettingsError::Probability);
        }
        if let Some(method) = self.sigma.filter(|method| !method.suits(chart)) {
            return Err(SettingsError::SigmaMethod { chart, method });
        }
        let measured = chart.takes_subgroups() || matches!(chart, ChartKind::Individuals | ChartKind::IPrime);
        let scale = 0.0..=2.0 * MAGNITUDE_MAX;
        if self.known_sigma.is_some_and(|sigma| !measured || !scale.contains(&sigma)) {
            return Err(SettingsError::Domain { chart });
        }
        self.rules.check()?;
        self.range_rules.check()
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
    /// The share of points between probability limits.
    #[error("the share of points between probability limits must lie between 0 and 1")]
    Probability,
    /// A sigma method for another kind of chart.
    #[error("sigma of a {chart:?} chart cannot be found by {method:?}")]
    SigmaMethod {
        /// The chart.
        chart: ChartKind,
        /// The method asked for.
        method: SigmaMethod,
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

pub(super) fn check_width(width: f64) -> Result<(), SettingsError> {
    if width > 0.0 && width <= 1000.0 { Ok(()) } else { Err(SettingsError::Width) }
}
