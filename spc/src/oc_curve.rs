//! Operating characteristics of Shewhart charts: how likely is a change to be missed by the next point?
//!
//! Invariants: every function gives a probability, or `None` where its arguments describe no chart (NaN, no pieces, a width or
//! sigma that is not above zero, a lower limit above the upper one, a size without constants); the run length of points
//! judged one by one is `1 / (1 − beta)`. Shifts are in process sigmas, limits in counts.

use crate::chart::constants::{OfSize, SUBGROUP_MAX, range_below};
use crate::distribution::{binomial_up_to, chi_square_below, normal_below, poisson_up_to};
use crate::limits::Constants;

/// Whether a count that lies between two whole numbers' limits is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CountLimits {
    /// A count below the lower limit is outside: `⌈lcl⌉` to `⌊ucl⌋` are inside.
    #[default]
    Exact,
    /// Both limits are rounded down, so that the count just below a broken lower limit is inside (R qcc).
    RoundedDown,
}

impl CountLimits {
    fn inside(self, lcl: f64, ucl: f64) -> (f64, f64) {
        let least = if self == Self::Exact { lcl.ceil() } else { lcl.floor() };
        (least.max(0.0), ucl.floor())
    }
}

/// A mean of `n` values that has moved by `shift` sigmas stays within limits `width` standard errors around the centre.
///
/// Source: Montgomery, section 6.2.6, equation 6.19.
pub fn xbar_beta(shift: f64, n: u32, width: f64) -> Option<f64> {
    let distance = shift * f64::from(n).sqrt();
    let possible = n > 0 && width > 0.0 && shift.is_finite();
    possible.then(|| normal_below(width - distance) - normal_below(-width - distance))
}

/// A range of `n` values whose sigma has become `multiplier` times as large stays within `d2 ± width·d3`.
///
/// The limits may have been drawn with a rounded d2. Source: Montgomery, section 6.2.6.
pub fn range_beta(multiplier: f64, n: u32, width: f64, constants: Constants) -> Option<f64> {
    let OfSize { d2, d3, .. } = constants.of_size(n).filter(|_| n <= SUBGROUP_MAX && multiplier > 0.0 && width > 0.0)?;
    let (d2, d3) = (d2?, d3?);
    let below = |w: f64| range_below(w.max(0.0) / multiplier, n);
    Some(below(d2 + width * d3)? - below(d2 - width * d3)?)
}

/// As [`range_beta`] for the standard deviation, within `c4 ± width·c5`.
///
/// Source: Montgomery, section 6.3.1 (limits), with `(n − 1) s²/σ²` chi-square distributed.
pub fn sd_beta(multiplier: f64, n: u32, width: f64) -> Option<f64> {
    let OfSize { c4, c5, .. } = OfSize::of(n).filter(|_| multiplier > 0.0 && width > 0.0)?;
    let freedom = f64::from(n) - 1.0;
    let below = |s: f64| {
        let ratio = s.max(0.0) / multiplier;
        chi_square_below(freedom * ratio * ratio, freedom)
    };
    Some(below(c4 + width * c5) - below(c4 - width * c5))
}

/// A count of mean `mean` stays within the limits of a c chart. For u: mean and limits times the units of opportunity.
///
/// Source: Montgomery, section 7.3.4.
pub fn count_beta(mean: f64, lcl: f64, ucl: f64, limits: CountLimits) -> Option<f64> {
    let (least, most) = limits.inside(lcl, ucl);
    let possible = mean >= 0.0 && mean.is_finite() && least <= most;
    possible.then(|| (poisson_up_to(most, mean) - poisson_up_to(least - 1.0, mean)).max(0.0))
}

/// A count of nonconforming among `size` pieces, each with probability `share`, stays within the limits of an np chart.
/// For p: limits times the pieces.
///
/// Source: Montgomery, section 7.2.4.
pub fn share_beta(share: f64, size: u32, lcl: f64, ucl: f64, limits: CountLimits) -> Option<f64> {
    let size = f64::from(size);
    let (least, most) = limits.inside(lcl, ucl);
    let possible = (0.0..=1.0).contains(&share) && size > 0.0 && least <= most;
    possible.then(|| (binomial_up_to(most, size, share) - binomial_up_to(least - 1.0, size, share)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: Option<f64>, expected: f64, tolerance: f64) {
        assert!(got.is_some_and(|got| (got - expected).abs() <= tolerance), "{got:?}, {expected}");
    }

    /// Montgomery, section 6.2.6: 3-sigma limits, n = 5, shift of 2 sigma: beta 0.0705. Counts: scipy.stats.
    #[test]
    fn agree_with_the_textbook() {
        near(xbar_beta(2.0, 5, 3.0), 0.0705, 0.000_3);
        near(xbar_beta(0.0, 1, 3.0), 0.997_300_203_936_739_8, 1e-13);
        near(count_beta(0.0, 0.0, 3.5, CountLimits::Exact), 1.0, 1e-15);
        near(count_beta(2.0, 0.5, 3.5, CountLimits::Exact), 0.721_788_177_261_934, 1e-12);
        near(count_beta(2.0, 0.5, 3.5, CountLimits::RoundedDown), 0.857_123_460_498_547, 1e-12);
        near(share_beta(0.5, 4, 0.5, 3.5, CountLimits::Exact), 0.875, 1e-13);
        assert!(
            range_beta(1.0, 5, 3.0, Constants::Exact) > range_beta(2.0, 5, 3.0, Constants::Exact)
                && sd_beta(1.0, 5, 3.0) > sd_beta(2.0, 5, 3.0)
        );
        // Of two values the range is √2 times the standard deviation: one chart in two units.
        near(range_beta(1.7, 2, 3.0, Constants::Exact), sd_beta(1.7, 2, 3.0).unwrap(), 1e-12);
    }

    #[test]
    fn no_chart_has_no_curve() {
        assert_eq!(xbar_beta(f64::NAN, 5, 3.0), None);
        assert_eq!(range_beta(1.0, 1, 3.0, Constants::Exact), None);
        assert_eq!(count_beta(-1.0, 0.0, 3.0, CountLimits::Exact), None);
        assert_eq!(share_beta(1.5, 4, 0.0, 3.0, CountLimits::Exact), None);
    }
}
