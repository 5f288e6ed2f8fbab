//! Powers with the exponents of the t chart, by arithmetic alone: a point must have the same bits on every target.
//!
//! Invariant: rising, and within a few units of the last place of the true power.

/// `y^(1/3.6)` for `y >= 0`: makes exponential waiting times nearly normal.
///
/// Source: L. S. Nelson, "A control chart for parts-per-million nonconforming items", Journal of Quality Technology
/// 26(3), 1994, 239–240 (the Weibull shape 3.6).
pub(super) fn to_symmetric(y: f64) -> f64 {
    // 1/3.6 = 5/18, and the 18th root is a square root and two cube roots.
    let root = root(root(y.sqrt(), 3), 3);
    let square = root * root;
    square * square * root
}

/// `x^3.6` for `x >= 0`, the way back; 0 below 0.
pub(super) fn from_symmetric(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let fifth = root(x, 5);
    x * x * x * fifth * fifth * fifth
}

/// The n-th root for n of 3 or 5, of a number that is not negative. Newton's method from above falls steadily; it is
/// at its end when it no longer falls.
fn root(y: f64, n: u32) -> f64 {
    if y <= 0.0 {
        return 0.0;
    }
    let block = f64::from(1_u32 << n);
    let (mut mantissa, mut scale) = (y, 1.0);
    while mantissa >= block {
        mantissa /= block;
        scale *= 2.0;
    }
    while mantissa < 1.0 {
        mantissa *= block;
        scale *= 0.5;
    }
    let n = f64::from(n);
    // Bernoulli: (1 + t)^(1/n) <= 1 + t/n.
    let mut x = 1.0 + (mantissa - 1.0) / n;
    loop {
        let power = if n < 4.0 { x * x } else { x * x * x * x };
        let next = ((n - 1.0) * x + mantissa / power) / n;
        if next >= x {
            return x * scale;
        }
        x = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_the_powers() {
        for exponent in -40..=40 {
            let y = 1.7 * 10.0_f64.powi(exponent);
            let there = to_symmetric(y);
            assert!((there / y.powf(1.0 / 3.6) - 1.0).abs() < 2e-15, "{y}");
            assert!((from_symmetric(there) / y - 1.0).abs() < 1e-14, "{y}");
        }
        assert_eq!((to_symmetric(0.0), from_symmetric(0.0), from_symmetric(-1.0)), (0.0, 0.0, 0.0));
        assert!((to_symmetric(1.0) - 1.0).abs() < 1e-15);
        assert!(to_symmetric(1e100).is_finite() && to_symmetric(f64::MIN_POSITIVE / 1e10).is_finite());
    }
}
