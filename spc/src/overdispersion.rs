//! Do counts vary more than their distribution lets them? If so, p and u charts signal all day and Laney's belong there.
//!
//! Invariant: a result is finite; counts that cannot vary (no event at all, or nothing but events), fewer than two samples and
//! sizes that are NaN, infinite or not above zero are refused. Equal counts are as good as any: they make the ratio small.

use crate::distribution::chi_square_above;
use crate::sum::Sum;

/// The test of index of dispersion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overdispersion {
    /// Observed variance as a multiple of the one that the distribution gives; 1 where the distribution holds.
    pub variance_ratio: f64,
    /// The ratio times the degrees of freedom, chi-square distributed where the distribution holds.
    pub statistic: f64,
    /// Samples less one.
    pub freedom: u32,
    /// Probability of so large a statistic, or a larger one, where the distribution holds.
    pub p_value: f64,
}

/// Why nothing can be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverdispersionError {
    /// A variance needs two samples.
    #[error("a test of overdispersion needs at least two samples")]
    TooFew,
    /// Samples of no size, or more events than pieces. Points are numbered from 1.
    #[error("sample {point}: the size must be positive and finite, and hold the count")]
    Size {
        /// Number of the sample.
        point: usize,
    },
    /// No event at all, or nothing but events: there is no variance to compare with.
    #[error("counts without any variation to expect cannot be tested")]
    Degenerate,
}

impl Overdispersion {
    /// Counts among `size` pieces each, against the binomial distribution.
    ///
    /// Pearson's `Σ (x − n p)² / (n p (1 − p))`; with equal sizes this is `(m − 1) s² / (n p (1 − p))`. Source: G. B.
    /// Wetherill and D. W. Brown, Statistical Process Control, 1991, section 8.5 (index of dispersion).
    ///
    /// # Errors
    /// [`OverdispersionError`], naming the sample where one is at fault.
    pub fn binomial(counts: &[(u32, f64)]) -> Result<Self, OverdispersionError> {
        let share = rate(counts, true)?;
        test(counts, |size| (size * share, size * share * (1.0 - share)))
    }

    /// Counts on `size` units each (1 for a c chart), against the Poisson distribution.
    ///
    /// Source and errors: as [`Overdispersion::binomial`].
    ///
    /// # Errors
    /// [`OverdispersionError`], naming the sample where one is at fault.
    pub fn poisson(counts: &[(u32, f64)]) -> Result<Self, OverdispersionError> {
        let rate = rate(counts, false)?;
        test(counts, |size| (size * rate, size * rate))
    }
}

fn rate(counts: &[(u32, f64)], pieces: bool) -> Result<f64, OverdispersionError> {
    let (mut events, mut sizes) = (Sum::default(), Sum::default());
    for ((count, size), point) in counts.iter().zip(1..) {
        let count = f64::from(*count);
        if !(*size > 0.0 && *size <= 1e15) || (pieces && count > *size) {
            return Err(OverdispersionError::Size { point });
        }
        events.add(count);
        sizes.add(*size);
    }
    Ok(events.value() / sizes.value())
}

fn test(counts: &[(u32, f64)], expected: impl Fn(f64) -> (f64, f64)) -> Result<Overdispersion, OverdispersionError> {
    let freedom = u32::try_from(counts.len()).unwrap_or(u32::MAX).saturating_sub(1);
    if freedom == 0 {
        return Err(OverdispersionError::TooFew);
    }
    let mut statistic = Sum::default();
    for (count, size) in counts {
        let (mean, variance) = expected(*size);
        let distance = f64::from(*count) - mean;
        statistic.add(distance * distance / variance);
    }
    let statistic = statistic.value();
    if !statistic.is_finite() {
        return Err(OverdispersionError::Degenerate);
    }
    let (variance_ratio, p_value) = (statistic / f64::from(freedom), chi_square_above(statistic, f64::from(freedom)));
    Ok(Overdispersion { variance_ratio, statistic, freedom, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_index_of_dispersion() {
        // Mean 4, variance 8/3: by hand.
        let got = Overdispersion::poisson(&[(2, 1.0), (4, 1.0), (4, 1.0), (6, 1.0)]).unwrap();
        assert!((got.variance_ratio - 2.0 / 3.0).abs() < 1e-14 && (got.statistic - 2.0).abs() < 1e-14);
        // Chi-square with 3 degrees of freedom above 2: scipy.stats.chi2.sf(2, 3).
        assert!((got.p_value - 0.572_406_704_470_878_8).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_vary_is_refused() {
        assert_eq!(Overdispersion::poisson(&[(1, 1.0)]), Err(OverdispersionError::TooFew));
        assert_eq!(Overdispersion::poisson(&[(0, 1.0), (0, 1.0)]), Err(OverdispersionError::Degenerate));
        assert_eq!(Overdispersion::binomial(&[(3, 3.0), (5, 5.0)]), Err(OverdispersionError::Degenerate));
        assert_eq!(Overdispersion::binomial(&[(3, 3.0), (5, 4.0)]), Err(OverdispersionError::Size { point: 2 }));
        assert_eq!(Overdispersion::poisson(&[(3, f64::NAN), (5, 4.0)]), Err(OverdispersionError::Size { point: 1 }));
    }
}
