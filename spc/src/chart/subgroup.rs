//! Several pieces measured at one time, reduced to the numbers that any variables chart asks for.
//!
//! Invariants: every number is finite; equal values give exactly their own value as mean and median, and no spread;
//! the order of the values changes nothing beyond the last bits of mean and standard deviation.

use serde::{Deserialize, Serialize};

use super::MAGNITUDE_MAX;
use crate::sum::Sum;

/// Summary of one subgroup, in the unit of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Subgroup {
    /// Number of values.
    pub size: u32,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median; of an even number the mean of the two in the middle.
    pub median: f64,
    /// Largest minus smallest; 0 for a single value.
    pub range: f64,
    /// Sample standard deviation (divisor n − 1); 0 for a single value.
    pub sd: f64,
}

/// Why values make no subgroup. Values are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubgroupError {
    /// A subgroup needs at least one value.
    #[error("a subgroup needs at least one value")]
    Empty,
    /// More values than can be counted.
    #[error("a subgroup has more values than can be counted")]
    TooMany,
    /// NaN or infinite.
    #[error("value {value} of the subgroup is not a finite number")]
    NotFinite {
        /// Number of the value.
        value: usize,
    },
    /// Larger than [`MAGNITUDE_MAX`].
    #[error("value {value} of the subgroup is larger than 1e100")]
    TooLarge {
        /// Number of the value.
        value: usize,
    },
}

/// Subgroups up to this size are sorted without allocating.
const ON_STACK: usize = 100;

impl Subgroup {
    /// Reduces the values. Missing values are left out by the caller; the size is what remains.
    ///
    /// # Errors
    /// [`SubgroupError`], naming the value.
    pub fn of(values: &[f64]) -> Result<Self, SubgroupError> {
        for (value, number) in values.iter().zip(1..) {
            if !value.is_finite() {
                return Err(SubgroupError::NotFinite { value: number });
            }
            if value.abs() > MAGNITUDE_MAX {
                return Err(SubgroupError::TooLarge { value: number });
            }
        }
        let size = u32::try_from(values.len()).map_err(|_| SubgroupError::TooMany)?;
        let first = *values.first().ok_or(SubgroupError::Empty)?;
        let (low, high) = values.iter().fold((first, first), |(low, high), &x| (low.min(x), high.max(x)));
        let mean = (first + mean(values.iter().map(|x| x - first), size)).clamp(low, high);
        let mut squares = Sum::default();
        for x in values {
            squares.add((x - mean) * (x - mean));
        }
        let sd = if size > 1 && high > low { (squares.value() / f64::from(size - 1)).sqrt() } else { 0.0 };
        Ok(Self { size, mean, median: median(values), range: high - low, sd })
    }
}

fn mean(values: impl Iterator<Item = f64>, size: u32) -> f64 {
    let mut sum = Sum::default();
    values.for_each(|x| sum.add(x));
    sum.value() / f64::from(size)
}

/// Median of finite values; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut on_stack = [0.0; ON_STACK];
    match on_stack.get_mut(..values.len()) {
        Some(places) => {
            places.copy_from_slice(values);
            middle(places)
        }
        None => middle(&mut values.to_vec()),
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { at(half) } else { at(half.saturating_sub(1)).midpoint(at(half)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_definitions_say() {
        let got = Subgroup::of(&[4.0, 1.0, 3.0, 8.0]).unwrap();
        assert_eq!(got, Subgroup { size: 4, mean: 4.0, median: 3.5, range: 7.0, sd: (26.0_f64 / 3.0).sqrt() });
        let one = Subgroup::of(&[0.1]).unwrap();
        assert_eq!(one, Subgroup { size: 1, mean: 0.1, median: 0.1, range: 0.0, sd: 0.0 });
        let equal = Subgroup::of(&[0.1; 7]).unwrap();
        assert_eq!((equal.mean, equal.range, equal.sd), (0.1, 0.0, 0.0));
        let many: Vec<f64> = (0..301).map(f64::from).collect();
        assert_eq!(Subgroup::of(&many).unwrap().median, 150.0);
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert_eq!(Subgroup::of(&[]), Err(SubgroupError::Empty));
        assert_eq!(Subgroup::of(&[1.0, f64::NAN]), Err(SubgroupError::NotFinite { value: 2 }));
        assert_eq!(Subgroup::of(&[-1e101]), Err(SubgroupError::TooLarge { value: 1 }));
    }
}
