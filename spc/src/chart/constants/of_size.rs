//! The constants of one subgroup size, integrated once per process and then looked up.
//!
//! Invariant: a size that was seen before costs no integration and no allocation; the values are those of the plain
//! functions to the bit.

use std::sync::OnceLock;

use super::{SUBGROUP_MAX, c4, c5, d2, d3, median_error};

/// Expected value and standard deviation of the range and of the standard deviation of `n` standard normal values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfSize {
    /// Expected range; `None` above 100 values.
    pub d2: Option<f64>,
    /// Standard deviation of the range; `None` above 100 values.
    pub d3: Option<f64>,
    /// Expected standard deviation.
    pub c4: f64,
    /// Standard deviation of the standard deviation.
    pub c5: f64,
}

const PLACES: usize = 101;
static KNOWN: [OnceLock<OfSize>; PLACES] = [const { OnceLock::new() }; PLACES];
static MEDIANS: [OnceLock<f64>; PLACES] = [const { OnceLock::new() }; PLACES];

impl OfSize {
    /// The constants for `n` values; `None` below 2. The first call for an `n` up to 100 integrates (milliseconds).
    pub fn of(n: u32) -> Option<Self> {
        let (c4, c5) = (c4(n)?, c5(n)?);
        match place(n).and_then(|place| KNOWN.get(place)) {
            Some(known) => Some(*known.get_or_init(|| Self { d2: d2(n), d3: d3(n), c4, c5 })),
            None => Some(Self { d2: None, d3: None, c4, c5 }),
        }
    }

    /// [`median_error`], remembered.
    pub fn median_error(n: u32) -> Option<f64> {
        let known = MEDIANS.get(place(n)?)?;
        match known.get() {
            Some(error) => Some(*error),
            None => median_error(n).map(|error| *known.get_or_init(|| error)),
        }
    }
}

fn place(n: u32) -> Option<usize> {
    if n > SUBGROUP_MAX { None } else { usize::try_from(n).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_the_plain_functions() {
        for _ in 0..2 {
            assert_eq!(OfSize::of(4).unwrap().d3, d3(4));
            assert_eq!(OfSize::median_error(3), median_error(3));
        }
        assert_eq!(OfSize::of(1), None);
        let large = OfSize::of(500).unwrap();
        assert_eq!((large.d2, Some(large.c4)), (None, c4(500)));
        assert_eq!(OfSize::median_error(101), None);
    }
}
