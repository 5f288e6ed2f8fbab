//! The distribution of the range itself, for its median and for probability limits of range charts.
//!
//! Invariant: as for the other constants, arithmetic and `sqrt` alone.

use super::{COARSE, NormalGrid, STRIDE, WHOLE, normal_density, odd_series, offered, power};

/// Share of ranges of `n` standard normal values below `w`: `n ∫ φ(x) (Φ(x+w) − Φ(x))ⁿ⁻¹ dx`; 0 for `w <= 0` and NaN.
///
/// Source: E. S. Pearson and H. O. Hartley, Biometrika 32 (1942) 301–310. Absolute error about 1e-15.
pub fn range_below(w: f64, n: u32) -> Option<f64> {
    offered(n)?;
    Some(below(&NormalGrid::new(), w, n))
}

/// The range that the share `p` of subgroups of `n` standard normal values stays below; `None` unless `0 < p < 1`.
pub fn range_quantile(p: f64, n: u32) -> Option<f64> {
    offered(n)?;
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let normal = NormalGrid::new();
    let (mut low, mut high) = (0.0_f64, 18.0_f64);
    loop {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            return Some(high);
        }
        if below(&normal, middle, n) >= p { high = middle } else { low = middle }
    }
}

/// Median range of `n` standard normal values, `d4` of ASTM: for sigma from the median (moving) range.
///
/// Source: ASTM STP 15D, table of factors for the median range; here by inverting the distribution.
pub fn range_median(n: u32) -> Option<f64> {
    range_quantile(0.5, n)
}

fn below(normal: &NormalGrid, w: f64, n: u32) -> f64 {
    if w.is_nan() || w <= 0.0 {
        return 0.0;
    }
    let term = |i: usize| {
        let x = -9.0 + 0.125 * super::f64_of(i / STRIDE);
        normal.density[i] * power(normal_below(x + w) - normal.below[i], n - 1)
    };
    let sum = (0..=WHOLE).step_by(STRIDE).map(term).sum::<f64>();
    (f64::from(n) * sum * COARSE).min(1.0)
}

/// Φ anywhere, to 1e-16 absolutely.
pub(super) fn normal_below(x: f64) -> f64 {
    let far = x.abs().min(9.0);
    let beyond = normal_density(far) * odd_series(far);
    if x >= 0.0 { (0.5 + beyond).min(1.0) } else { (0.5 - beyond).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Median ranges: mpmath at 20 digits. Of two values |X − Y| = √2 |Z|, so that its quantiles are those of |Z|.
    #[test]
    fn agree_with_independent_integration() {
        let close = |got: Option<f64>, expected: f64| assert!((got.unwrap() - expected).abs() < 1e-12, "{got:?}, {expected}");
        close(range_median(3), 1.587_787_750_446_347);
        close(range_median(5), 2.256_882_493_026_194);
        close(range_quantile(0.5, 2), 2.0_f64.sqrt() * 0.674_489_750_196_081_7);
        close(range_below(2.0_f64.sqrt() * 1.959_963_984_540_054, 2), 0.95);
        assert_eq!(range_below(-1.0, 5), Some(0.0));
        assert_eq!(range_below(f64::NAN, 5), Some(0.0));
        assert_eq!(range_quantile(1.0, 5), None);
    }
}
