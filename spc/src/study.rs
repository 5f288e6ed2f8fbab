//! What every study asks of its data before it computes, so that no table is ever printed over a missing reading.
//!
//! Invariant: a study either gives finite numbers or one of these errors, which names the place and the mend.

use thiserror::Error;

use crate::chart::MAGNITUDE_MAX;
use crate::sum::Sum;

/// Why a study cannot be made of what was given.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StudyError {
    /// A reading is NaN or infinite.
    #[error("reading {place} is {value}: leave the reading out, or measure again")]
    NotFinite {
        /// The reading, from 1.
        place: usize,
        /// What was given.
        value: f64,
    },
    /// A reading is so large that its square could leave the range of numbers.
    #[error("reading {place} is {value}: give readings in a larger unit, so that they stay within ±1e100")]
    TooLarge {
        /// The reading, from 1.
        place: usize,
        /// What was given.
        value: f64,
    },
    /// The method needs positive readings.
    #[error("reading {place} is {value}: this method needs readings above zero; shift the data or choose another")]
    NotPositive {
        /// The reading, from 1.
        place: usize,
        /// What was given.
        value: f64,
    },
    /// There is not enough data.
    #[error("{got} {what}, but at least {needed} are needed")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// How much is needed.
        needed: usize,
        /// How much was given.
        got: usize,
    },
    /// There is more data than the method's published range covers.
    #[error("{got} {what}, but the method is published for at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        most: usize,
        /// How much was given.
        got: usize,
    },
    /// All values are equal where the study divides by their spread.
    #[error("{what} do not vary: check the gauge's resolution")]
    NoVariation {
        /// Which values.
        what: &'static str,
    },
    /// A setting lies outside its range.
    #[error("{what} is {value}: give {wanted}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        wanted: &'static str,
    },
    /// The table of readings has a hole, or lists of different lengths.
    #[error("{what} at place {place}: {mend}")]
    Layout {
        /// What is wrong.
        what: &'static str,
        /// Where, from 1.
        place: usize,
        /// How to mend it.
        mend: &'static str,
    },
    /// An iteration did not settle.
    #[error("{what} did not converge: check the data for outliers and mixed lots")]
    NotConverged {
        /// The estimate sought.
        what: &'static str,
    },
}

/// A reading that a study can compute with: finite, and within the magnitude that charts take.
pub(crate) fn reading(place: usize, value: f64) -> Result<f64, StudyError> {
    if !value.is_finite() {
        Err(StudyError::NotFinite { place, value })
    } else if value.abs() > MAGNITUDE_MAX {
        Err(StudyError::TooLarge { place, value })
    } else {
        Ok(value)
    }
}

/// At least `needed` readings, each as [`reading`] takes it.
pub(crate) fn finite(data: &[f64], needed: usize) -> Result<(), StudyError> {
    for (value, place) in data.iter().zip(1..) {
        reading(place, *value)?;
    }
    enough("readings", needed, data.len())
}

/// As [`finite`], and all above zero.
pub(crate) fn positive(data: &[f64], needed: usize) -> Result<(), StudyError> {
    finite(data, needed)?;
    match data.iter().enumerate().find(|(_, value)| **value <= 0.0) {
        Some((index, value)) => Err(StudyError::NotPositive { place: index + 1, value: *value }),
        None => Ok(()),
    }
}

pub(crate) fn enough(what: &'static str, needed: usize, got: usize) -> Result<(), StudyError> {
    if got < needed { Err(StudyError::TooFew { what, needed, got }) } else { Ok(()) }
}

/// A share strictly between 0 and 1, such as a confidence level.
pub(crate) fn share(what: &'static str, value: f64) -> Result<f64, StudyError> {
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(StudyError::Setting { what, value, wanted: "a share between 0 and 1" }) }
}

/// A finite number above zero.
pub(crate) fn above_zero(what: &'static str, value: f64) -> Result<f64, StudyError> {
    let positive = value.is_finite() && value > 0.0;
    if positive { Ok(value) } else { Err(StudyError::Setting { what, value, wanted: "a finite number above zero" }) }
}

/// A count as a number; exact below 2⁵³.
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.into_iter().for_each(|value| sum.add(value));
    sum.value()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / real(values.len())
}

/// Whether a sum of squares is one of numbers that differ. Below 1e-290 it has lost its digits, and nothing is divided by it.
pub(crate) fn varies(squares: f64) -> bool {
    squares > 1e-290 && squares.is_finite()
}

/// Sum of squared deviations from `centre`.
pub(crate) fn squares(values: &[f64], centre: f64) -> f64 {
    sum(values.iter().map(|value| (value - centre) * (value - centre)))
}

/// Sorted copy; the values are finite.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
