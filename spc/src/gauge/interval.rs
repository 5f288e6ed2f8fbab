//! Confidence intervals of variance components, by the modified large-sample method.
//!
//! Source: N. Ting, R. K. Burdick, F. A. Graybill, S. Jeyaratnam, T.-F. C. Lu, Journal of Statistical Computation and
//! Simulation 35 (1990) 135–143; R. K. Burdick, C. M. Borror, D. C. Montgomery, Design and Analysis of Gauge R&R Studies (2005).
//!
//! Invariants: an interval holds its (non-negative) estimate; its ends are never negative; for one mean square it is the exact
//! chi-square interval.

use crate::distribution::{chi_square_quantile, f_quantile};

/// One mean square with its weight in a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeanSquare {
    pub(super) value: f64,
    pub(super) freedom: f64,
    pub(super) weight: f64,
}

impl MeanSquare {
    fn term(&self) -> f64 {
        (self.weight * self.value).abs()
    }
}

/// A weighted sum of independent mean squares: the estimate of a variance component.
#[derive(Debug, Clone)]
pub(super) struct Combination(pub(super) Vec<MeanSquare>);

impl Combination {
    pub(super) fn value(&self) -> f64 {
        self.0.iter().map(|term| term.weight * term.value).sum()
    }

    /// Sum of two combinations of the same mean squares or different ones; those with equal value and freedom are merged.
    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut terms = self.0.clone();
        for term in &other.0 {
            match terms.iter_mut().find(|known| known.value == term.value && known.freedom == term.freedom) {
                Some(known) => known.weight += term.weight,
                None => terms.push(*term),
            }
        }
        terms.retain(|term| term.weight.abs() > 1e-12);
        Self(terms)
    }

    pub(super) fn interval(&self, confidence: f64) -> (f64, f64) {
        let tail = 0.5 - 0.5 * confidence;
        // In units of the largest term, so that squares of mean squares stay in range.
        let unit = self.0.iter().map(MeanSquare::term).fold(0.0, f64::max);
        if unit <= 0.0 {
            return (0.0, 0.0);
        }
        let scaled = Self(self.0.iter().map(|term| MeanSquare { value: term.value / unit, ..*term }).collect());
        let value = scaled.value();
        let (plus, minus): (Vec<&MeanSquare>, Vec<&MeanSquare>) = scaled.0.iter().partition(|term| term.weight > 0.0);
        let below = spread(&plus, &minus, tail, true);
        let above = spread(&plus, &minus, tail, false);
        (unit * (value - below.max(0.0).sqrt()).max(0.0), unit * (value + above.max(0.0).sqrt()).max(0.0))
    }
}

/// The variance-like term under the root of the lower or the upper limit.
fn spread(plus: &[&MeanSquare], minus: &[&MeanSquare], tail: f64, lower: bool) -> f64 {
    // G for terms that pull the limit in when large, H for those that push it out.
    let short = |freedom: f64| 1.0 - freedom / chi_square_quantile(1.0 - tail, freedom);
    let long = |freedom: f64| freedom / chi_square_quantile(tail, freedom) - 1.0;
    let (first, second): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64) = if lower { (&short, &long) } else { (&long, &short) };
    let square = |x: f64| x * x;
    let mut total: f64 = plus.iter().map(|term| square(first(term.freedom) * term.term())).sum();
    total += minus.iter().map(|term| square(second(term.freedom) * term.term())).sum::<f64>();
    for up in plus {
        for down in minus {
            let f = f_quantile(if lower { 1.0 - tail } else { tail }, up.freedom, down.freedom);
            let cross = (square(f - 1.0) - square(first(up.freedom) * f) - square(second(down.freedom))) / f;
            total += cross * up.term() * down.term();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mean_square_gives_the_exact_interval() {
        let one = Combination(vec![MeanSquare { value: 2.0, freedom: 10.0, weight: 1.0 }]);
        let (low, high) = one.interval(0.95);
        assert!((low - 20.0 / chi_square_quantile(0.975, 10.0)).abs() < 1e-12);
        assert!((high - 20.0 / chi_square_quantile(0.025, 10.0)).abs() < 1e-12);
    }

    /// The method is built so that the limit of a difference is zero exactly where the F test is on its limit.
    #[test]
    fn a_difference_touches_zero_where_the_f_test_does() {
        let f = f_quantile(0.975, 6.0, 12.0);
        let terms = |ratio: f64| {
            Combination(vec![
                MeanSquare { value: ratio, freedom: 6.0, weight: 1.0 },
                MeanSquare { value: 1.0, freedom: 12.0, weight: -1.0 },
            ])
        };
        assert!(terms(f).interval(0.95).0.abs() < 1e-9);
        assert!(terms(1.01 * f).interval(0.95).0 > 0.0);
        assert_eq!(terms(0.99 * f).interval(0.95).0, 0.0);
    }
}
