//! How far the median of a subgroup strays: the standard error behind the limits of a median chart.
//!
//! Invariant: as for the other constants, arithmetic and `sqrt` alone.

use super::{COARSE, FINE, HALF, NormalGrid, STRIDE, WHOLE, f64_of, offered, power, romberg};

/// Standard deviation of the median of `n` standard normal values. Limits of a median chart lie 3 of them times sigma
/// around the centre; the tabled factor (called Ã2, or A2 with a tilde) is `3 · median_error / d2`.
///
/// Source: density of central order statistics, H. A. David, Order Statistics, section 2.1; AIAG, Statistical Process
/// Control, 2nd edition, appendix E for the factors.
pub fn median_error(n: u32) -> Option<f64> {
    offered(n)?;
    let normal = NormalGrid::new();
    Some(if n % 2 == 1 { odd(&normal, n / 2) } else { even(&normal, n / 2) })
}

/// One value in the middle, `beside` on either side of it.
fn odd(normal: &NormalGrid, beside: u32) -> f64 {
    let (mut weight, mut square) = (0.0, 0.0);
    for i in (0..=WHOLE).step_by(STRIDE) {
        let density = normal.density[i] * power(normal.below[i] * normal.below[WHOLE - i], beside);
        let x = at(i);
        weight += density;
        square += x * x * density;
    }
    (square / weight).sqrt()
}

/// The mean of the two in the middle, `half − 1` beyond either: integrated over their mean along the diagonal of the
/// grid (spectrally accurate), then over half their distance (which starts at 0, hence Romberg).
fn even(normal: &NormalGrid, half: u32) -> f64 {
    let steps = WHOLE + 1;
    let (mut weights, mut squares) = (vec![0.0; steps], vec![0.0; steps]);
    for apart in 0..steps {
        for i in (0..steps - apart).step_by(STRIDE) {
            let (x, y) = (at(i), at(i + apart));
            let beyond = power(normal.below[i] * normal.below[WHOLE - i - apart], half - 1);
            let density = normal.density[i] * normal.density[i + apart] * beyond;
            let middle = 0.5 * (x + y);
            weights[apart] += density;
            squares[apart] += middle * middle * density;
        }
    }
    (romberg(&squares) / romberg(&weights)).sqrt()
}

fn at(i: usize) -> f64 {
    FINE * (f64_of(i) - f64_of(HALF))
}

const _: () = assert!(COARSE > FINE, "the grid that is stepped over is the coarse one");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::constants::d2;

    /// n = 2: the median is the mean. Odd n: mpmath at 20 digits. Factors: AIAG SPC, 2nd edition, appendix E (three decimals, the last of them not always rounded).
    #[test]
    fn agrees_with_closed_form_integration_and_print() {
        let close = |n: u32, expected: f64| {
            let got = median_error(n).unwrap();
            assert!((got - expected).abs() < 1e-12, "n = {n}: {got}, {expected}");
        };
        close(2, 0.5_f64.sqrt());
        close(3, 0.669_829_160_740_414);
        close(5, 0.535_568_540_530_413);
        close(7, 0.458_744_876_304_147);
        for (n, printed) in [(2, 1.880), (3, 1.187), (4, 0.796), (5, 0.691), (6, 0.548), (7, 0.508), (8, 0.433), (9, 0.412), (10, 0.362)] {
            let factor = 3.0 * median_error(n).unwrap() / d2(n).unwrap();
            assert!((factor - printed).abs() < 0.001_1, "n = {n}: {factor}, {printed}");
        }
    }
}
