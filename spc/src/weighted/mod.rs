//! Charts that remember: EWMA, CUSUM and moving average see a small shift that stays long before a Shewhart chart does.
//!
//! All three judge by a frozen [`Process`]: where it stood and how much single values varied in phase I.
//!
//! Invariants: a point is the mean of one subgroup, of one value or more; points are numbered from 1 and only accepted ones
//! are counted; a refused subgroup changes nothing; every number kept or given is finite; `push` does not allocate. Only rule
//! 1 is judged unless asked otherwise: neighbouring points share most of their memory, so that runs among them are no evidence.

mod cusum;
mod ewma;
mod moving_average;
mod process;

pub use cusum::{Cusum, CusumPoint, CusumSettings};
pub use ewma::{Ewma, EwmaSettings, EwmaWidth};
pub use moving_average::{MovingAverage, MovingAverageSettings};
pub use process::{Process, ProcessError};

use crate::chart::{MAGNITUDE_MAX, SampleError};

/// The mean of a subgroup and one over its size; refuses what cannot be plotted.
fn summarise(subgroup: &[f64], point: u64) -> Result<(f64, f64), SampleError> {
    let Some(origin) = subgroup.first() else { return Err(SampleError::Size { point }) };
    if subgroup.iter().any(|value| !value.is_finite()) {
        return Err(SampleError::NotFinite { point });
    }
    if subgroup.iter().any(|value| value.abs() > MAGNITUDE_MAX) {
        return Err(SampleError::TooLarge { point });
    }
    let n = real(subgroup.len());
    // As distances from the first value, so that equal values have exactly their own value as mean.
    let mean = origin + subgroup.iter().map(|value| value - origin).sum::<f64>() / n;
    Ok((mean, 1.0 / n))
}

/// A count as a number; exact up to 2³².
fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
