//! Probabilities and quantiles: the one door to the statistics crate.
//!
//! `statrs` gives the special functions (log-gamma, incomplete gamma and beta, error function). Quantiles are found here, by
//! bracketing and bisecting the distribution function to the last bit, because the accuracy of a quantile must not depend on
//! the distribution: each is the smallest `x` found whose probability reaches `p`.
//!
//! Source of all definitions: N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1 and 2, and Johnson,
//! Kotz, Kemp, Univariate Discrete Distributions, unless an item names another. Probabilities are shares from 0 to 1;
//! quantiles have the unit of their distribution.
//!
//! Invariants: arguments that are NaN or outside their domain give NaN, never a panic, so that callers check their own input once
//! and the arithmetic here stays total; results agree between platforms to about 1e-13, not to the bit (they rest on `exp` and `ln`).
//! Nothing that a frozen chart computes for a point goes through here.

use statrs::function::{beta, gamma};
use std::f64::consts::PI;

/// Density of the standard normal distribution at `z`.
#[must_use]
pub fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// Share of a standard normal distribution below `z`. Accurate relative to itself in the lower tail.
#[must_use]
pub fn normal_below(z: f64) -> f64 {
    // The incomplete gamma function keeps more digits than the crate's error function.
    let tail = 0.5 * gamma_above(0.5 * z * z, 0.5);
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Share of a standard normal distribution above `z`. Accurate relative to itself in the upper tail.
#[must_use]
pub fn normal_above(z: f64) -> f64 {
    normal_below(-z)
}

/// The value below which the share `p` of a standard normal distribution lies; ∓∞ at 0 and 1, NaN outside.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        // The lower tail keeps its digits; the upper one has lost them in 1 − p already.
        return -normal_quantile(1.0 - p);
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    quantile(p, -40.0, 1.0, normal_below)
}

/// Density of Student's t distribution; NaN for degrees of freedom that are not above 0. Source: M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, 26.7.1.
#[must_use]
pub fn student_density(t: f64, freedom: f64) -> f64 {
    let scale = ln_gamma(0.5 * (freedom + 1.0)) - ln_gamma(0.5 * freedom) - 0.5 * (freedom * std::f64::consts::PI).ln();
    (scale - 0.5 * (freedom + 1.0) * (t * t / freedom).ln_1p()).exp()
}

/// Share of Student's t distribution with `freedom` degrees of freedom below `t`.
#[must_use]
pub fn student_below(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    let tail = 0.5 * incomplete_beta(0.5 * freedom, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// Quantile of Student's t distribution.
#[must_use]
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if student_below(1.0, freedom).is_nan() {
        return f64::NAN;
    }
    if p > 0.5 {
        return -student_quantile(1.0 - p, freedom);
    }
    if p == 0.5 {
        return 0.0;
    }
    -first(0.0, f64::INFINITY, |t| student_below(-t, freedom) <= p)
}

/// Share of the noncentral t distribution below `t`: `(Z + noncentrality)/√(χ²/freedom)`.
///
/// Source: R. V. Lenth, "Algorithm AS 243", Applied Statistics 38 (1989) 185–189, with the Poisson weights summed around
/// their peak so that a large noncentrality does not underflow.
#[must_use]
pub fn noncentral_t_below(t: f64, freedom: f64, noncentrality: f64) -> f64 {
    if t.is_nan() || !noncentrality.is_finite() || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    if t < 0.0 {
        return 1.0 - noncentral_t_below(-t, freedom, -noncentrality);
    }
    let x = if t.is_infinite() { 1.0 } else { t * t / (t * t + freedom) };
    let half = 0.5 * noncentrality * noncentrality;
    let share = |j: f64, offset: f64| {
        let weight = if half == 0.0 {
            f64::from(u8::from(j + offset == 0.0))
        } else {
            ((j + offset) * half.ln() - half - ln_gamma(j + offset + 1.0)).exp()
        };
        weight * incomplete_beta(j + offset + 0.5, 0.5 * freedom, x)
    };
    let (peak, reach) = (half.floor(), (12.0 * half.sqrt()).ceil() + 40.0);
    let mut total = crate::sum::Sum::default();
    let mut j = (peak - reach).max(0.0);
    while j <= peak + reach {
        total.add(share(j, 0.0) + noncentrality.signum() * share(j, 0.5));
        j += 1.0;
    }
    (normal_below(-noncentrality) + 0.5 * total.value()).clamp(0.0, 1.0)
}

/// Quantile of the noncentral t distribution.
#[must_use]
pub fn noncentral_t_quantile(p: f64, freedom: f64, noncentrality: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) || noncentral_t_below(0.0, freedom, noncentrality).is_nan() {
        return f64::NAN;
    }
    if noncentral_t_below(0.0, freedom, noncentrality) >= p {
        return -first(0.0, f64::INFINITY, |t| noncentral_t_below(-t, freedom, noncentrality) <= p);
    }
    first(0.0, f64::INFINITY, |t| noncentral_t_below(t, freedom, noncentrality) >= p)
}

/// Share of the chi-square distribution below `x`.
#[must_use]
pub fn chi_square_below(x: f64, freedom: f64) -> f64 {
    gamma_below(0.5 * x, 0.5 * freedom)
}

/// Share of the chi-square distribution above `x`, accurate where it is small.
#[must_use]
pub fn chi_square_above(x: f64, freedom: f64) -> f64 {
    gamma_above(0.5 * x, 0.5 * freedom)
}

/// Quantile of the chi-square distribution.
#[must_use]
pub fn chi_square_quantile(p: f64, freedom: f64) -> f64 {
    quantile(p, 0.0, f64::INFINITY, |x| chi_square_below(x, freedom))
}

/// Share of Fisher's F distribution below `x`, with the degrees of freedom of numerator and denominator.
#[must_use]
pub fn f_below(x: f64, above: f64, below: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { incomplete_beta(0.5 * above, 0.5 * below, above * x / (above * x + below)) }
}

/// Share of Fisher's F distribution above `x`: the p-value of an analysis of variance, accurate where it is small.
#[must_use]
pub fn f_above(x: f64, above: f64, below: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { incomplete_beta(0.5 * below, 0.5 * above, below / (above * x + below)) }
}

/// Quantile of Fisher's F distribution.
#[must_use]
pub fn f_quantile(p: f64, above: f64, below: f64) -> f64 {
    quantile(p, 0.0, f64::INFINITY, |x| f_below(x, above, below))
}

/// Share of the beta distribution below `x`.
#[must_use]
pub fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    incomplete_beta(a, b, x)
}

/// Quantile of the beta distribution.
#[must_use]
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    quantile(p, 0.0, 1.0, |x| incomplete_beta(a, b, x))
}

/// Share of the gamma distribution of this shape and scale 1 below `x`.
#[must_use]
pub fn gamma_below(x: f64, shape: f64) -> f64 {
    if x.is_nan() || !shape.is_finite() || shape <= 0.0 {
        f64::NAN
    } else if x <= 0.0 {
        0.0
    } else if x.is_infinite() {
        1.0
    } else {
        gamma::gamma_lr(shape, x)
    }
}

/// Share of the gamma distribution of this shape and scale 1 above `x`, accurate where it is small.
#[must_use]
pub fn gamma_above(x: f64, shape: f64) -> f64 {
    if x.is_nan() || !shape.is_finite() || shape <= 0.0 {
        f64::NAN
    } else if x <= 0.0 {
        1.0
    } else if x.is_infinite() {
        0.0
    } else {
        gamma::gamma_ur(shape, x)
    }
}

/// Quantile of the gamma distribution of this shape and scale 1.
#[must_use]
pub fn gamma_quantile(p: f64, shape: f64) -> f64 {
    quantile(p, 0.0, f64::INFINITY, |x| gamma_below(x, shape))
}

/// Probability of `count` or fewer among `size`, each with probability `share`.
#[must_use]
pub fn binomial_up_to(count: f64, size: f64, share: f64) -> f64 {
    if count < 0.0 {
        0.0
    } else if count.floor() >= size {
        1.0
    } else {
        incomplete_beta(size - count.floor(), count.floor() + 1.0, 1.0 - share)
    }
}

/// Probability of `count` or fewer events where `mean` are expected.
#[must_use]
pub fn poisson_up_to(count: f64, mean: f64) -> f64 {
    if count < 0.0 {
        0.0
    } else if mean <= 0.0 {
        1.0
    } else {
        gamma_above(mean, count.floor() + 1.0)
    }
}

/// The smallest count of which this many or fewer among `size` have at least probability `p`.
#[must_use]
pub fn binomial_quantile(p: f64, size: f64, share: f64) -> f64 {
    count_quantile(p, size, |count| binomial_up_to(count, size, share))
}

/// The smallest count of which this many or fewer events have at least probability `p` where `mean` are expected.
#[must_use]
pub fn poisson_quantile(p: f64, mean: f64) -> f64 {
    count_quantile(p, f64::INFINITY, |count| poisson_up_to(count, mean))
}

/// The smallest whole number from 0 to `most` whose probability reaches `p`, give or take a rounding of it.
fn count_quantile(p: f64, most: f64, up_to: impl Fn(f64) -> f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) || up_to(0.0).is_nan() {
        return f64::NAN;
    }
    let p = p * (1.0 - 64.0 * f64::EPSILON);
    let (mut below, mut reached) = (-1.0, 1.0_f64);
    while reached < most && up_to(reached) < p {
        below = reached;
        reached *= 2.0;
    }
    reached = reached.min(most);
    while reached - below > 1.0 {
        let middle = f64::midpoint(below, reached).floor();
        if up_to(middle) >= p { reached = middle } else { below = middle }
    }
    reached
}

/// Natural logarithm of the gamma function, for positive `x`.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    if x > 0.0 { gamma::ln_gamma(x) } else { f64::NAN }
}

/// Derivative of [`ln_gamma`], for positive `x`.
#[must_use]
pub fn digamma(x: f64) -> f64 {
    if x > 0.0 { gamma::digamma(x) } else { f64::NAN }
}

/// `I_x(a, b)`, the regularised incomplete beta function.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    let domain = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && !x.is_nan();
    if domain { beta::beta_reg(a, b, x.clamp(0.0, 1.0)) } else { f64::NAN }
}

/// The smallest `x` in `low..=high` found with `below(x) >= p`; `below` must not fall. `low` is finite.
pub(crate) fn quantile(p: f64, low: f64, high: f64, below: impl Fn(f64) -> f64) -> f64 {
    let somewhere = low.midpoint(if high.is_finite() { high } else { low + 1.0 });
    if p.is_nan() || !(0.0..=1.0).contains(&p) || below(somewhere).is_nan() {
        return f64::NAN;
    }
    first(low, high, |x| below(x) >= p)
}

/// The smallest `x` in `low..=high` found at which `reached` holds, if it holds from some `x` on. An infinite `high` is
/// bracketed first.
fn first(low: f64, high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    if reached(low) {
        return low;
    }
    let (mut low, mut high) = (low, high);
    if high.is_infinite() {
        let mut step = 1.0;
        while !reached(low + step) {
            low += step;
            step *= 2.0;
            if !step.is_finite() {
                return f64::INFINITY;
            }
        }
        high = low + step;
    }
    loop {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            return high;
        }
        if reached(middle) { high = middle } else { low = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12 * expected.abs(), "{got} is not {expected}");
    }

    /// Reference values: mpmath (30 digits) for the normal distribution, scipy.stats for the others, closed forms at the end.
    #[test]
    fn agrees_with_other_programs() {
        near(normal_below(-3.0), 0.001_349_898_031_630_094_5);
        near(normal_below(-8.0), 6.220_960_574_271_784e-16);
        near(normal_above(6.0), 9.865_876_450_376_98e-10);
        near(normal_quantile(0.975), 1.959_963_984_540_05);
        near(normal_quantile(0.001_349_898_031_630_094_5), -3.0);
        near(student_below(2.0, 5.0), 0.949_030_260_585_070_8);
        near(student_quantile(0.975, 10.0), 2.228_138_851_986_274);
        near(chi_square_quantile(0.95, 7.0), 14.067_140_449_340_169);
        near(f_quantile(0.95, 3.0, 12.0), 3.490_294_819_497_605);
        near(poisson_up_to(2.0, 3.0), 0.423_190_081_126_844);
        near(binomial_up_to(2.0, 10.0, 0.3), 0.382_782_786_4);
        // mpmath: the integral of Φ(t s − δ) over the density of s.
        near(noncentral_t_below(2.0, 5.0, 1.0), 0.778_074_662_616_214_9);
        near(noncentral_t_below(12.0, 9.0, 9.5), 0.762_083_069_164_262_8);
        near(noncentral_t_below(-0.5, 4.0, 1.5), 0.026_018_680_492_214_714);
        near(gamma_quantile(0.5, 1.0), std::f64::consts::LN_2);
        near(beta_quantile(0.5, 1.0, 3.0), 1.0 - 0.5_f64.cbrt());
    }

    #[test]
    fn nan_in_any_place_gives_nan() {
        const ONE: [fn(f64) -> f64; 6] = [normal_density, normal_below, normal_above, normal_quantile, ln_gamma, digamma];
        const TWO: [fn(f64, f64) -> f64; 10] = [
            student_below,
            student_quantile,
            chi_square_below,
            chi_square_above,
            chi_square_quantile,
            gamma_below,
            gamma_above,
            gamma_quantile,
            poisson_up_to,
            poisson_quantile,
        ];
        const THREE: [fn(f64, f64, f64) -> f64; 9] = [
            noncentral_t_below,
            noncentral_t_quantile,
            f_below,
            f_above,
            f_quantile,
            beta_below,
            beta_quantile,
            binomial_up_to,
            binomial_quantile,
        ];
        const NAN: f64 = f64::NAN;
        assert!(ONE.iter().all(|of| of(NAN).is_nan()));
        for (place, of) in TWO.iter().enumerate() {
            assert!(of(NAN, 2.0).is_nan() && of(0.5, NAN).is_nan(), "{place}");
        }
        for (place, of) in THREE.iter().enumerate() {
            assert!(of(NAN, 2.0, 0.5).is_nan() && of(0.5, NAN, 0.5).is_nan() && of(0.5, 2.0, NAN).is_nan(), "{place}");
        }
    }

    #[test]
    fn quantiles_invert_and_nonsense_is_nan() {
        for p in [1e-9, 0.001, 0.2, 0.5, 0.77, 0.999] {
            near(normal_below(normal_quantile(p)), p);
            near(student_below(student_quantile(p, 3.5), 3.5), p);
            near(chi_square_below(chi_square_quantile(p, 2.5), 2.5), p);
            near(f_below(f_quantile(p, 4.0, 9.0), 4.0, 9.0), p);
            near(beta_below(beta_quantile(p, 2.0, 5.0), 2.0, 5.0), p);
        }
        for nonsense in [normal_quantile(1.5), student_quantile(f64::NAN, 3.0), chi_square_quantile(0.5, -1.0), gamma_below(1.0, 0.0)] {
            assert!(nonsense.is_nan(), "{nonsense}");
        }
        assert_eq!((normal_below(f64::NEG_INFINITY), normal_above(f64::NEG_INFINITY)), (0.0, 1.0));
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
