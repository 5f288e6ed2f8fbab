//! The factors that tables print for limits at a given width, from the constants rather than from a table.

use super::{OfSize, SUBGROUP_MAX};

/// Factors for control limits of subgroups of one size, by their names in Montgomery, appendix VI, and ISO 7870-2.
///
/// Letters in upper case in print (D1 … D4) are `big_d1` … `big_d4` here, because d2 to d4 in lower case are others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlFactors {
    /// Means from sigma: `A = k/√n`.
    pub a: f64,
    /// Means from the mean range: `A2 = k/(d2 √n)`.
    pub a2: f64,
    /// Means from the mean standard deviation: `A3 = k/(c4 √n)`.
    pub a3: f64,
    /// Standard deviations from their mean, lower: `B3 = max(0, 1 − k c5/c4)`.
    pub b3: f64,
    /// Standard deviations from their mean, upper: `B4 = 1 + k c5/c4`.
    pub b4: f64,
    /// Standard deviations from sigma, lower: `B5 = max(0, c4 − k c5)`.
    pub b5: f64,
    /// Standard deviations from sigma, upper: `B6 = c4 + k c5`.
    pub b6: f64,
    /// Ranges from sigma, lower: `D1 = max(0, d2 − k d3)`.
    pub big_d1: f64,
    /// Ranges from sigma, upper: `D2 = d2 + k d3`.
    pub big_d2: f64,
    /// Ranges from their mean, lower: `D3 = max(0, 1 − k d3/d2)`.
    pub big_d3: f64,
    /// Ranges from their mean, upper: `D4 = 1 + k d3/d2`.
    pub big_d4: f64,
    /// Individuals from the mean (moving) range: `E2 = k/d2`.
    pub e2: f64,
    /// Individuals from the mean standard deviation: `E3 = k/c4`.
    pub e3: f64,
}

impl ControlFactors {
    /// For subgroups of `n` and limits `width` standard errors from the centre (3 in every printed table).
    ///
    /// `None` unless `2 <= n <= 100` and the width is a positive number.
    pub fn of(n: u32, width: f64) -> Option<Self> {
        if n > SUBGROUP_MAX || !(width > 0.0 && width.is_finite()) {
            return None;
        }
        let OfSize { d2, d3, c4, c5 } = OfSize::of(n)?;
        let (d2, d3) = (d2?, d3?);
        let root = f64::from(n).sqrt();
        Some(Self {
            a: width / root,
            a2: width / (d2 * root),
            a3: width / (c4 * root),
            b3: (1.0 - width * c5 / c4).max(0.0),
            b4: 1.0 + width * c5 / c4,
            b5: (c4 - width * c5).max(0.0),
            b6: c4 + width * c5,
            big_d1: (d2 - width * d3).max(0.0),
            big_d2: d2 + width * d3,
            big_d3: (1.0 - width * d3 / d2).max(0.0),
            big_d4: 1.0 + width * d3 / d2,
            e2: width / d2,
            e3: width / c4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Montgomery, Introduction to Statistical Quality Control, 6th edition, appendix VI, row n = 5.
    #[test]
    fn agree_with_the_printed_row() {
        let factors = ControlFactors::of(5, 3.0).unwrap();
        let printed = [
            (factors.a, 1.342),
            (factors.a2, 0.577),
            (factors.a3, 1.427),
            (factors.b3, 0.0),
            (factors.b4, 2.089),
            (factors.b6, 1.964),
            (factors.big_d1, 0.0),
            (factors.big_d2, 4.918),
            (factors.big_d3, 0.0),
            (factors.big_d4, 2.114),
        ];
        for (got, printed) in printed {
            assert!((got - printed).abs() < 0.001_01, "{got}, {printed}");
        }
        assert_eq!(ControlFactors::of(1, 3.0), None);
        assert_eq!(ControlFactors::of(5, f64::NAN), None);
    }
}
