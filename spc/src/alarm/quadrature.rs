//! Gauss–Legendre quadrature, because the run-length integral equations have smooth kernels and converge on it faster than
//! any power of the number of nodes.
//!
//! Invariants: nodes ascend inside the open interval; the weights are positive and sum to the interval's length.

use std::f64::consts::PI;

/// Where to evaluate an integrand, and how much each value counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Quadrature {
    pub(super) nodes: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Quadrature {
    /// `count` nodes on `low..high`, exact for polynomials of degree `2 count − 1`.
    ///
    /// Roots of the Legendre polynomial by Newton's method from Tricomi's estimate; weights `2 / ((1 − x²) P'(x)²)`.
    /// Source: M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, 25.4.29 and 22.16.6.
    pub(super) fn legendre(count: usize, low: f64, high: f64) -> Self {
        let (half, middle) = (0.5 * (high - low), low.midpoint(high));
        let mut rule = Self { nodes: vec![middle; count], weights: vec![0.0; count] };
        for i in 0..count.div_ceil(2) {
            let mut x = (PI * (number(i) + 0.75) / (number(count) + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (value, derivative) = legendre(count, x);
                slope = derivative;
                let step = value / derivative;
                x -= step;
                if step.abs() <= 4.0 * f64::EPSILON {
                    break;
                }
            }
            let weight = half * 2.0 / ((1.0 - x * x) * slope * slope);
            let mirror = count - 1 - i;
            (rule.nodes[i], rule.nodes[mirror]) = (middle - half * x, middle + half * x);
            (rule.weights[i], rule.weights[mirror]) = (weight, weight);
        }
        rule
    }
}

/// The Legendre polynomial of this degree and its derivative, for `|x| < 1`.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (0.0, 1.0);
    for k in 1..=degree {
        let k = number(k);
        (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
    }
    (value, number(degree) * (x * value - before) / (x * x - 1.0))
}

/// A small count as a number; exact, because no discretisation has more than a few thousand states.
pub(super) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::Quadrature;

    fn integral(rule: &Quadrature, integrand: impl Fn(f64) -> f64) -> f64 {
        rule.nodes.iter().zip(&rule.weights).map(|(x, weight)| weight * integrand(*x)).sum()
    }

    #[test]
    fn integrates_polynomials_exactly_and_smooth_functions_almost() {
        for count in [1, 2, 5, 40, 101] {
            let rule = Quadrature::legendre(count, -1.0, 3.0);
            let length: f64 = rule.weights.iter().sum();
            assert!((length - 4.0).abs() < 1e-13, "{count}: {length}");
            assert!(rule.nodes.windows(2).all(|pair| pair[0] < pair[1]));
        }
        // ∫ x⁵ over 0..2 = 64/6, degree 5 = 2·3 − 1.
        assert!((integral(&Quadrature::legendre(3, 0.0, 2.0), |x| x.powi(5)) - 64.0 / 6.0).abs() < 1e-13);
        assert!((integral(&Quadrature::legendre(20, 0.0, 1.0), f64::exp) - (1f64.exp() - 1.0)).abs() < 1e-14);
    }
}
