//! Mean, standard deviation, shape and lag-1 autocorrelation, exact enough for NIST's hardest data set.
//!
//! Invariants: one pass and two passes are the same computation ([`Summary::of`] folds [`Running::push`]), so that a
//! streamed summary equals the batch one to the bit; large offsets do not eat the digits of the spread, because deviations
//! are taken from the first reading and all sums are compensated.

use serde::{Deserialize, Serialize};

use crate::study::{self, StudyError, real};
use crate::sum::Sum;

/// Mean and standard deviation of a stream, in fixed memory.
///
/// Source: B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4 (1962)
/// 419–420, with compensated sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Running {
    count: u64,
    first: f64,
    shifted: Sum,
    squares: Sum,
}

impl Running {
    /// Takes a reading in.
    ///
    /// # Errors
    /// [`StudyError::NotFinite`] for NaN and infinity, [`StudyError::TooLarge`] beyond ±1e100, naming the reading from 1; nothing
    /// changes then.
    pub fn push(&mut self, value: f64) -> Result<(), StudyError> {
        study::reading(usize::try_from(self.count + 1).unwrap_or(usize::MAX), value)?;
        if self.count == 0 {
            self.first = value;
        }
        let shifted = value - self.first;
        let before = self.shifted.value() / (self.count.max(1) as f64);
        self.count += 1;
        self.shifted.add(shifted);
        let after = self.shifted.value() / (self.count as f64);
        self.squares.add((shifted - before) * (shifted - after));
        Ok(())
    }

    /// Readings so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean, in the unit of the readings; `None` before the first reading.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.first + self.shifted.value() / (self.count as f64))
    }

    /// Sample standard deviation (divisor n − 1), in the unit of the readings; `None` for fewer than two.
    #[must_use]
    pub fn std_dev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares.value().max(0.0) / ((self.count - 1) as f64)).sqrt())
    }
}

/// What a column of readings looks like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Readings.
    pub count: usize,
    /// Arithmetic mean, in the unit of the readings.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1), in the unit of the readings.
    pub std_dev: f64,
    /// Smallest reading.
    pub least: f64,
    /// Largest reading.
    pub greatest: f64,
    /// Skewness g1 = m3 / m2^1.5 of the moments with divisor n; `None` where the readings do not vary.
    pub skewness: Option<f64>,
    /// Excess kurtosis g2 = m4 / m2² − 3, likewise.
    pub kurtosis_excess: Option<f64>,
    /// r1 = Σ (xₜ − x̄)(xₜ₊₁ − x̄) / Σ (xₜ − x̄)²; `None` where the readings do not vary.
    pub lag1_autocorrelation: Option<f64>,
}

impl Summary {
    /// Summary of readings in the order in which they were taken. Ties are as good as any readings.
    ///
    /// Source: NIST Statistical Reference Datasets, univariate summary statistics; moments g1 and g2 after R. A. Fisher,
    /// Statistical Methods for Research Workers, section 14.
    ///
    /// # Errors
    /// Fewer than two readings; NaN or infinite ones, by place from 1.
    pub fn of(data: &[f64]) -> Result<Self, StudyError> {
        study::finite(data, 2)?;
        let mut running = Running::default();
        let mut span = (f64::INFINITY, f64::NEG_INFINITY);
        for value in data {
            running.push(*value)?;
            span = (span.0.min(*value), span.1.max(*value));
        }
        let (Some(mean), Some(std_dev)) = (running.mean(), running.std_dev()) else {
            return Err(StudyError::TooFew { what: "readings", needed: 2, got: data.len() });
        };
        let shift = running.shifted.value() / real(data.len());
        let deviations: Vec<f64> = data.iter().map(|value| (value - running.first) - shift).collect();
        let total = study::sum(deviations.iter().map(|d| d * d));
        let varies = study::varies(total) && span.0 < span.1;
        // Moments of readings in standard deviations: their powers stay in range whatever the unit.
        let root = (total / real(data.len())).sqrt();
        let moment = |power: i32| study::sum(deviations.iter().map(|d| (d / root).powi(power))) / real(data.len());
        Ok(Self {
            count: data.len(),
            mean,
            std_dev,
            least: span.0,
            greatest: span.1,
            skewness: varies.then(|| moment(3)),
            kurtosis_excess: varies.then(|| moment(4) - 3.0),
            lag1_autocorrelation: varies.then(|| study::sum(deviations.windows(2).map(|pair| pair[0] * pair[1])) / total),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closed form: 1, 2, 3, 4 has mean 2.5, variance 5/3, no skew, and g2 = (41/16)/(25/16) − 3.
    #[test]
    fn agrees_with_hand_calculation() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((summary.mean, summary.skewness), (2.5, Some(0.0)));
        assert!((summary.std_dev - (5.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((summary.kurtosis_excess.unwrap() - (41.0 / 25.0 - 3.0)).abs() < 1e-15);
        assert!((summary.lag1_autocorrelation.unwrap() - 0.25).abs() < 1e-15);
    }

    #[test]
    fn a_large_offset_does_not_eat_the_spread() {
        let far: Vec<f64> = (0..1000).map(|i| 1e12 + f64::from(i % 2)).collect();
        assert!((Summary::of(&far).unwrap().std_dev - (250.0_f64 / 999.0).sqrt()).abs() < 1e-15);
    }

    /// NIST Statistical Reference Datasets, NumAcc4: 10000000.2, then 500 times 10000000.1 and 10000000.3; certified mean
    /// 10000000.2, standard deviation 0.1, lag-1 autocorrelation −0.999. The readings themselves are only exact to 1e-9.
    #[test]
    fn agrees_with_the_hardest_certified_data() {
        let mut data = vec![10_000_000.2];
        (0..500).for_each(|_| data.extend([10_000_000.1, 10_000_000.3]));
        let summary = Summary::of(&data).unwrap();
        assert!((summary.mean - 10_000_000.2).abs() < 2e-9);
        assert!((summary.std_dev - 0.1).abs() < 1e-9);
        assert!((summary.lag1_autocorrelation.unwrap() + 0.999).abs() < 1e-8);
    }

    #[test]
    fn refuses_by_place_and_leaves_the_state() {
        assert_eq!(Summary::of(&[1.0, f64::INFINITY]), Err(StudyError::NotFinite { place: 2, value: f64::INFINITY }));
        assert!(matches!(Summary::of(&[1.0]), Err(StudyError::TooFew { needed: 2, got: 1, .. })));
        let mut running = Running::default();
        running.push(1.0).unwrap();
        let before = running;
        assert!(running.push(f64::NAN).is_err());
        assert_eq!(running, before);
    }

    #[test]
    fn constant_readings_have_no_shape() {
        let summary = Summary::of(&[0.1; 7]).unwrap();
        assert_eq!((summary.std_dev, summary.skewness, summary.lag1_autocorrelation), (0.0, None, None));
    }
}
