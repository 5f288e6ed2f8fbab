//! From frozen limits and the size of a subgroup to the lines that its point is judged by.
//!
//! Invariants: every line is finite and within what the statistic can take; the same limits and size give the same
//! lines. Distances in standard errors are arithmetic and `sqrt` alone, so bit-identical on every target. Probability
//! limits are quantiles from [`crate::distribution`], found when a size first appears.

use serde::{Deserialize, Serialize};

use super::constants::{OfSize, range_quantile};
use super::roots::from_symmetric;
use super::{ChartKind, Lines, SpreadStatistic};
use crate::distribution::{binomial_quantile, chi_square_quantile, poisson_quantile};
use crate::limits::{Geometric, Limits, WithinLimits};

/// The lines of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownLines {
    pub(crate) size: f64,
    /// On the scale of what is judged.
    pub(crate) judging: Lines,
    /// On the scale of what is plotted; differs for t.
    pub(crate) shown: Lines,
    /// The range or standard deviation within; none for a single value.
    pub(crate) within: Option<Lines>,
}

impl KnownLines {
    pub(crate) fn of(limits: &Limits, size: f64) -> Self {
        let judging = limits.judging_lines(size, limits.width, limits.probability);
        let shown = if limits.chart == ChartKind::T { from_symmetric_lines(&judging) } else { judging };
        let within = limits.within.and_then(|within| within.lines(size, limits.width, limits.probability));
        Self { size, judging, shown, within }
    }
}

/// The zones of the t chart are not evenly spaced on the scale of times: no standard error is shown.
fn from_symmetric_lines(lines: &Lines) -> Lines {
    let Lines { centre, lcl, ucl, .. } = *lines;
    Lines { centre: from_symmetric(centre), lcl: from_symmetric(lcl), ucl: from_symmetric(ucl), se: 0.0 }
}

impl Limits {
    /// The lines for a subgroup of this size: values in the subgroup, pieces, or units of opportunity. It has no meaning
    /// for individuals, c, g and t. Those of t are shown as times, and without a standard error, because its zones are
    /// not evenly spaced there.
    /// A size that is NaN or not above zero makes no lines that mean anything; no sample with one gets so far.
    ///
    /// Source: Montgomery, sections 6.2 to 6.4 (variables), 7.2 (p, np) and 7.3 (c, u); the others as said at
    /// [`ChartKind`].
    pub fn lines(&self, size: f64) -> Lines {
        KnownLines::of(self, size).shown
    }

    /// The lines at another distance than that of the control limits, in standard errors, for example warning lines at 2. Size as for
    /// [`Limits::lines`]; a width that is NaN gives NaN.
    pub fn lines_at(&self, size: f64, width: f64) -> Lines {
        let lines = self.judging_lines(size, width, None);
        if self.chart == ChartKind::T { from_symmetric_lines(&lines) } else { lines }
    }

    /// The lines of the chart of ranges or standard deviations for a subgroup of this size; `None` where there is no
    /// such chart, and for a single value.
    pub fn within_lines(&self, size: f64) -> Option<Lines> {
        self.within?.lines(size, self.width, self.probability)
    }

    /// [`Limits::within_lines`] at another distance, in standard errors; `None` where that has none.
    pub fn within_lines_at(&self, size: f64, width: f64) -> Option<Lines> {
        self.within?.lines(size, width, None)
    }

    fn judging_lines(&self, size: f64, width: f64, probability: Option<f64>) -> Lines {
        let (centre, se) = self.centre_and_error(size);
        let (least, most) = match self.chart {
            ChartKind::P | ChartKind::LaneyP => (0.0, 1.0),
            ChartKind::Np => (0.0, size),
            ChartKind::C | ChartKind::U | ChartKind::LaneyU | ChartKind::G | ChartKind::T => (0.0, f64::MAX),
            _ => (f64::MIN, f64::MAX),
        };
        let (lcl, ucl) = match probability.and_then(|share| self.quantiles(size, share)) {
            Some(quantiles) => quantiles,
            None => (centre - width * se, centre + width * se),
        };
        Lines { centre: self.drawn_centre.unwrap_or(centre), lcl: lcl.max(least), ucl: ucl.min(most), se }
    }

    fn centre_and_error(&self, size: f64) -> (f64, f64) {
        match self.chart {
            ChartKind::Individuals | ChartKind::C | ChartKind::G | ChartKind::T | ChartKind::BetweenWithinR | ChartKind::BetweenWithinS => {
                (self.centre, self.sigma)
            }
            ChartKind::P | ChartKind::U | ChartKind::LaneyP | ChartKind::LaneyU | ChartKind::IPrime => {
                (self.centre, self.sigma / size.sqrt())
            }
            ChartKind::Np => (self.centre * size, self.sigma * size.sqrt()),
            ChartKind::XbarR | ChartKind::XbarS => (self.centre, self.sigma_of(size) / size.sqrt()),
            // Refused before: a median chart has 1 to 100 values.
            ChartKind::MedianR => (self.centre, self.sigma * whole(size).and_then(OfSize::median_error).unwrap_or(1.0)),
        }
    }

    /// Sigma for subgroups of this size: one for all, unless the method corrects its bias size by size.
    fn sigma_of(&self, size: f64) -> f64 {
        match self.within {
            Some(WithinLimits { own_size: true, .. }) => {
                let c4 = whole(size).and_then(OfSize::of).map_or(1.0, |of| of.c4);
                self.sigma / c4
            }
            _ => self.sigma,
        }
    }

    /// Lines that leave `(1 − share)/2` beyond either of them, for statistics that are not taken for normal.
    fn quantiles(&self, size: f64, share: f64) -> Option<(f64, f64)> {
        let tail = 0.5 * (1.0 - share);
        let both = |quantile: &dyn Fn(f64) -> f64| Some((quantile(tail), quantile(1.0 - tail)));
        let rate = self.centre;
        // Beyond this many expected, exact quantiles cost much and differ from the normal ones by nothing that shows.
        const EXACT_MAX: f64 = 1e6;
        let expected = match self.chart {
            ChartKind::P | ChartKind::Np => size,
            ChartKind::U => rate * size,
            _ => rate,
        };
        if expected > EXACT_MAX {
            return None;
        }
        match self.chart {
            ChartKind::P => both(&|p| binomial_quantile(p, size, rate) / size),
            ChartKind::Np => both(&|p| binomial_quantile(p, size, rate)),
            ChartKind::C => both(&|p| poisson_quantile(p, rate)),
            ChartKind::U => both(&|p| poisson_quantile(p, rate * size) / size),
            ChartKind::G => both(&|p| self.geometric_quantile(p)),
            _ => None,
        }
    }

    /// Pieces before an event that comes at every piece with one probability; `ln` only to be near, then counted out.
    fn geometric_quantile(&self, p: f64) -> f64 {
        let mean = match self.geometric {
            Geometric::CountsTheEvent => self.centre - 1.0,
            Geometric::Mean | Geometric::Median => self.centre,
        };
        if mean <= 0.0 {
            return 0.0;
        }
        // 1 − q^(k+1) >= p with q = mean/(1 + mean).
        let decay = -(1.0 / mean).ln_1p();
        ((1.0 - p).ln() / decay - 1.0 - 1e-12).ceil().max(0.0)
    }
}

impl WithinLimits {
    pub(crate) fn lines(&self, size: f64, width: f64, probability: Option<f64>) -> Option<Lines> {
        let n = whole(size)?;
        let constants = self.constants.of_size(n)?;
        let sigma = if self.own_size { self.sigma / constants.c4 } else { self.sigma };
        let (mean, spread) = match self.statistic {
            SpreadStatistic::Range => (constants.d2?, constants.d3?),
            SpreadStatistic::Sd => (constants.c4, constants.c5),
        };
        let (centre, se) = (self.centre.unwrap_or(mean * sigma), spread * sigma);
        let (lcl, ucl) = match probability.map(|share| 0.5 * (1.0 - share)) {
            None => (centre - width * se, centre + width * se),
            Some(tail) => (sigma * self.quantile(tail, n)?, sigma * self.quantile(1.0 - tail, n)?),
        };
        Some(Lines { centre, lcl: lcl.max(0.0), ucl, se })
    }

    /// Of standard normal subgroups of `n`.
    fn quantile(&self, p: f64, n: u32) -> Option<f64> {
        match self.statistic {
            SpreadStatistic::Range => range_quantile(p, n),
            SpreadStatistic::Sd => {
                let freedom = f64::from(n.checked_sub(1).filter(|freedom| *freedom > 0)?);
                Some((chi_square_quantile(p, freedom) / freedom).sqrt())
            }
        }
    }
}

/// A size as a count, if it is one.
fn whole(size: f64) -> Option<u32> {
    if !(size >= 0.0 && size <= f64::from(u32::MAX)) {
        return None;
    }
    let count = (0..u32::BITS).rev().fold(0_u32, |count, bit| {
        let more = count | 1 << bit;
        if f64::from(more) <= size { more } else { count }
    });
    (f64::from(count) == size).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn sizes_are_counts_or_not() {
        for (size, count) in [(0.0, Some(0)), (1.0, Some(1)), (5.0, Some(5)), (4_294_967_295.0, Some(u32::MAX)), (2.5, None)] {
            assert_eq!(whole(size), count);
        }
        assert_eq!((whole(-1.0), whole(f64::NAN), whole(1e15)), (None, None, None));
    }
}
