//! The control chart constants, computed rather than typed, so that no table's rounding or misprint gets in.
//!
//! All are for subgroups of `n` independent normal values. Those of the range and the median are defined for
//! `2 <= n <= 100`, those of the standard deviation for every `n >= 2`; elsewhere they are `None`. Accuracy is about
//! 1e-13, tested against closed forms, against integrals taken with 20 digits, and against printed tables. They have no unit:
//! a standard deviation of 1 is the unit.
//!
//! Invariant: only `+ - * /` and `sqrt` are used (no libm), so every target computes the same bits.

mod control_factors;
mod median;
mod of_size;
mod range;

pub use control_factors::ControlFactors;
pub use median::median_error;
pub use of_size::OfSize;
pub use range::{range_below, range_median, range_quantile};

use std::f64::consts::{FRAC_1_PI, PI};

/// Largest subgroup size for which the constants are offered.
pub const SUBGROUP_MAX: u32 = 100;

/// Expected range of `n` standard normal values: `d2 = ∫ 1 − Φⁿ − (1 − Φ)ⁿ dx`.
///
/// Source: L. H. C. Tippett, Biometrika 17 (1925) 364–387; tabled in Montgomery, Introduction to Statistical Quality
/// Control, appendix VI, and ISO 7870-2 annex.
pub fn d2(n: u32) -> Option<f64> {
    offered(n)?;
    let normal = NormalGrid::new();
    let mean = (0..=WHOLE).step_by(STRIDE).map(|i| 1.0 - power(normal.below[i], n) - power(normal.below[WHOLE - i], n)).sum::<f64>();
    Some(mean * COARSE)
}

/// Standard deviation of the range of `n` standard normal values: `d3 = √(E[W²] − d2²)` with
/// `E[W²] = ∫ 2w (1 − F(w)) dw` and `F(w) = n ∫ φ(x) (Φ(x+w) − Φ(x))ⁿ⁻¹ dx`.
///
/// Source: E. S. Pearson, Biometrika 18 (1926) 173–194; H. O. Hartley, Biometrika 32 (1942) 301–310.
pub fn d3(n: u32) -> Option<f64> {
    let mean = d2(n)?;
    let normal = NormalGrid::new();
    let weighted: Vec<f64> = (0..=WHOLE).map(|w| FINE * f64_of(w) * (1.0 - f64::from(n) * normal.all_within(w, n - 1))).collect();
    let second_moment = 2.0 * romberg(&weighted);
    Some((second_moment - mean * mean).sqrt())
}

/// Expected standard deviation of `n` standard normal values: `c4 = √(2/(n−1)) · Γ(n/2) / Γ((n−1)/2)`.
///
/// The ratio of gammas follows from `Γ(x+1) = x Γ(x)`, starting at `Γ(1)/Γ(1/2) = 1/√π`.
/// Source: Montgomery, Introduction to Statistical Quality Control, section 6.3 and appendix VI.
///
/// Above 100 by the asymptotic series of that ratio in 1/(n − 1) (Abramowitz and Stegun, 6.1.47), of which the first
/// neglected term is below 1e-16. There is no `c4` for `n < 2`.
pub fn c4(n: u32) -> Option<f64> {
    if n > SUBGROUP_MAX {
        return Some(c4_series(f64::from(n - 1)));
    }
    offered(n)?;
    let ratio = (2..n).fold(FRAC_1_PI.sqrt(), |ratio, k| 0.5 * f64::from(k - 1) / ratio);
    // `fold` starts at n = 2 and each step goes from k to k + 1.
    let freedom = f64::from(n - 1);
    Some((2.0 / freedom).sqrt() * ratio)
}

/// Standard deviation of the standard deviation of `n` standard normal values: `c5 = √(1 − c4²)`.
///
/// Source: Montgomery, Introduction to Statistical Quality Control, section 6.3.
pub fn c5(n: u32) -> Option<f64> {
    c4(n).map(|c4| ((1.0 - c4) * (1.0 + c4)).sqrt())
}

/// Expected root of the mean squared range of `g` subgroups of `m` values: `d2* = √(d2² + d3²/g)`, for the average and
/// range method of measurement systems analysis. `None` without a subgroup.
///
/// Source: A. J. Duncan, Quality Control and Industrial Statistics, 5th edition, appendix D3; AIAG, Measurement Systems
/// Analysis, 4th edition, appendix C.
pub fn d2_star(m: u32, g: u32) -> Option<f64> {
    let (mean, spread) = (d2(m)?, d3(m)?);
    (g > 0).then(|| (mean * mean + spread * spread / f64::from(g)).sqrt())
}

/// `1 − 1/(4f) + 1/(32f²) + 5/(128f³) − …` for `f` degrees of freedom.
fn c4_series(freedom: f64) -> f64 {
    const TERMS: [f64; 8] =
        [1.0, -1.0 / 4.0, 1.0 / 32.0, 5.0 / 128.0, -21.0 / 2048.0, -399.0 / 8192.0, 869.0 / 65_536.0, 39_325.0 / 262_144.0];
    TERMS.iter().rev().fold(0.0, |sum, term| sum / freedom + term)
}

fn offered(n: u32) -> Option<u32> {
    (2..=SUBGROUP_MAX).contains(&n).then_some(n)
}

/// Spacing of the tabled normal distribution, and of the outer integral's finest level.
const FINE: f64 = 1.0 / 32.0;
/// Spacing of integrals over x. The integrands are entire and fall like a Gaussian, so that the trapezoid rule's
/// error, about exp(−2π²s²/h²) for a peak of width s, is below rounding at 1/8.
const COARSE: f64 = 1.0 / 8.0;
const STRIDE: usize = 4;
/// The table covers −9 ..= 9; beyond it Φ differs from 0 or 1 by less than 1e-18.
const HALF: usize = 288;
const WHOLE: usize = 2 * HALF;

/// Φ and φ on the grid −9, −9 + 1/32, …, 9.
struct NormalGrid {
    below: Vec<f64>,
    density: Vec<f64>,
}

impl NormalGrid {
    fn new() -> Self {
        let mut below = vec![0.5; WHOLE + 1];
        let mut density = vec![normal_density(0.0); WHOLE + 1];
        for step in 1..=HALF {
            let x = FINE * f64_of(step);
            let phi = normal_density(x);
            density[HALF + step] = phi;
            density[HALF - step] = phi;
            let upper = 0.5 + phi * odd_series(x);
            below[HALF + step] = upper.min(1.0);
            below[HALF - step] = (1.0 - upper).max(0.0);
        }
        Self { below, density }
    }

    /// `∫ φ(x) (Φ(x+w) − Φ(x))^others dx` for `w = steps/32`.
    fn all_within(&self, steps: usize, others: u32) -> f64 {
        let sum = (0..=WHOLE)
            .step_by(STRIDE)
            .map(|i| {
                let above = self.below.get(i + steps).copied().unwrap_or(1.0);
                self.density[i] * power(above - self.below[i], others)
            })
            .sum::<f64>();
        sum * COARSE
    }
}

/// `Φ(x) = 1/2 + φ(x) · (x + x³/3 + x⁵/(3·5) + …)`. Source: G. Marsaglia, J. Stat. Software 11(4), 2004.
fn odd_series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    let mut odd = 1.0;
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    sum
}

fn normal_density(x: f64) -> f64 {
    exp_minus(0.5 * x * x) / (2.0 * PI).sqrt()
}

/// By squaring. `f64::powi` may differ between platforms and compiler versions.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

/// e⁻ᵗ for t ≥ 0 by halving the argument, Taylor's series, and squaring back.
fn exp_minus(t: f64) -> f64 {
    let mut small = t;
    let mut halvings = 0;
    while small > 0.125 {
        small *= 0.5;
        halvings += 1;
    }
    // Horner; at 1/8 the 14th term is below 1e-24.
    let series = (1..=14u32).rev().fold(1.0, |sum, k| 1.0 - small / f64::from(k) * sum);
    (0..halvings).fold(series, |value, _| value * value)
}

/// Trapezoid sums of a function that is zero at both ends, at spacings 4, 2 and 1 of `FINE`, extrapolated twice
/// (Romberg). The function has odd derivatives at 0, which plain trapezoids would feel; at the far end it is zero.
fn romberg(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(0.0);
    let trapezoid = |stride: usize| {
        let sum = values.iter().step_by(stride).sum::<f64>() - 0.5 * first;
        sum * FINE * f64_of(stride)
    };
    let (t8, t4, t2, t1) = (trapezoid(8), trapezoid(4), trapezoid(2), trapezoid(1));
    let better = |coarse: f64, fine: f64, gain: f64| fine + (fine - coarse) / (gain - 1.0);
    let (a, b, c) = (better(t8, t4, 4.0), better(t4, t2, 4.0), better(t2, t1, 4.0));
    let (d, e) = (better(a, b, 16.0), better(b, c, 16.0));
    better(d, e, 64.0)
}

/// A small count as a number; exact, because no grid has more than a few hundred steps.
fn f64_of(steps: usize) -> f64 {
    u32::try_from(steps).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, expected: f64, tolerance: f64) {
        let got = got.unwrap();
        assert!((got - expected).abs() <= tolerance, "got {got}, expected {expected}");
    }

    #[test]
    fn agree_with_the_closed_forms() {
        // n = 2: the range is |X − Y|. n = 3: Montgomery's d2 is 3/√π. c4(2) = √(2/π), c4(3) = √π/2.
        close(d2(2), 2.0 / PI.sqrt(), 1e-13);
        close(d2(3), 3.0 / PI.sqrt(), 1e-13);
        close(d3(2), (2.0 - 4.0 / PI).sqrt(), 1e-13);
        close(c4(2), (2.0 / PI).sqrt(), 1e-15);
        close(c4(3), PI.sqrt() / 2.0, 1e-15);
    }

    /// Montgomery, Introduction to Statistical Quality Control, 6th edition, appendix VI: n, d2, d3, c4 as printed.
    const PRINTED: [(u32, f64, f64, f64); 12] = [
        (2, 1.128, 0.853, 0.7979),
        (3, 1.693, 0.888, 0.8862),
        (4, 2.059, 0.880, 0.9213),
        (5, 2.326, 0.864, 0.9400),
        (6, 2.534, 0.848, 0.9515),
        (7, 2.704, 0.833, 0.9594),
        (8, 2.847, 0.820, 0.9650),
        (9, 2.970, 0.808, 0.9693),
        (10, 3.078, 0.797, 0.9727),
        (15, 3.472, 0.756, 0.9823),
        (20, 3.735, 0.729, 0.9869),
        (25, 3.931, 0.708, 0.9896),
    ];

    #[test]
    fn agree_with_the_printed_table() {
        for (n, range_mean, range_sd, sd_mean) in PRINTED {
            close(d2(n), range_mean, 0.000_501);
            close(d3(n), range_sd, 0.000_501);
            close(c4(n), sd_mean, 0.000_050_1);
        }
    }

    /// n, d2, d3, c4: quadrature with mpmath at 20 digits of the same integrals, nested Gauss-Legendre and tanh-sinh.
    const INTEGRATED: [(u32, f64, f64, f64); 4] = [
        (5, 2.325_928_947_281_039, 0.864_081_941_099_504, 0.939_985_602_986_625),
        (10, 3.077_505_461_670_346, 0.797_050_673_519_411, 0.972_659_274_121_588),
        (25, 3.930_629_219_507_113, 0.708_440_765_888_655, 0.989_640_375_585_703),
        (50, 4.498_147_258_779_701, 0.652_142_588_429_958, 0.994_911_304_669_733),
    ];

    #[test]
    fn agree_with_independent_integration() {
        for (n, range_mean, range_sd, sd_mean) in INTEGRATED {
            close(d2(n), range_mean, 1e-12);
            close(d3(n), range_sd, 1e-12);
            close(c4(n), sd_mean, 1e-14);
        }
    }

    #[test]
    fn the_series_continues_the_recursion() {
        for n in 90..=SUBGROUP_MAX {
            close(c4(n), c4_series(f64::from(n - 1)), 1e-14);
        }
        close(c4(1_000_001), 1.0 - 0.25e-6, 1e-13);
        close(d2_star(2, 1), 2.0_f64.sqrt(), 1e-12);
        assert_eq!(d2_star(5, 0), None);
    }

    #[test]
    fn exist_only_where_a_spread_exists() {
        for constant in [d2, d3, c4, c5, median_error, range_median] {
            assert_eq!(constant(0), None);
            assert_eq!(constant(1), None);
            assert!(constant(2).is_some_and(f64::is_finite));
            assert!(constant(SUBGROUP_MAX).is_some_and(|value| value.is_finite() && value > 0.0));
        }
        for constant in [d2, d3, median_error, range_median] {
            assert_eq!(constant(SUBGROUP_MAX + 1), None);
        }
    }
}
