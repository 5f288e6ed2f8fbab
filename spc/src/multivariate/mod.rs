//! Several variables of one piece judged together: each may lie within its own limits and the piece still be wrong, because
//! the variables move together and this one broke the rule.
//!
//! [`HotellingT2`] sees large shifts at once, [`Mewma`] and [`Mcusum`] small ones that stay. All three judge by a frozen
//! [`Reference`]: centre and covariance of the process in control.
//!
//! Invariants: points are numbered from 1 and only accepted ones are counted; a refused sample changes nothing; every
//! number in a [`VectorPoint`] is finite; `push` does not allocate and takes a time that depends on the number of
//! variables alone; only rule 1 (beyond the limit) is judged, because these statistics are neither symmetric nor, for the
//! last two, independent from point to point.

mod covariance;
mod mcusum;
mod mewma;
mod reference;
mod t2;

use serde::{Deserialize, Serialize};

pub use covariance::{Covariance, VARIABLES_MAX};
pub use mcusum::{Mcusum, McusumSettings};
pub use mewma::{Mewma, MewmaSettings, Spread};
pub use reference::Reference;
pub use t2::{HotellingT2, Phase, T2Limits};

/// One point of a multivariate chart. Its lower limit is always 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VectorPoint {
    /// Number of the point, from 1; points refused are not counted.
    pub index: u64,
    /// What is plotted; a number without unit.
    pub statistic: f64,
    /// Upper control limit.
    pub ucl: f64,
    /// The statistic is beyond (strictly above) the limit.
    pub beyond: bool,
}

impl VectorPoint {
    fn new(index: u64, statistic: f64, ucl: f64) -> Self {
        Self { index, statistic, ucl, beyond: statistic > ucl }
    }
}

/// Why a sample was refused. `point` is the number that it would have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// A value is NaN or infinite.
    #[error("point {point}: variable {variable} is not a finite number")]
    NotFinite {
        /// Number that the point would have had.
        point: u64,
        /// The variable, from 1.
        variable: usize,
    },
    /// The point is so far out that its statistic would leave `f64`.
    #[error("point {point} is too far from the centre for its statistic to be a number")]
    TooFar {
        /// Number that the point would have had.
        point: u64,
    },
    /// Not the number of values that the chart takes.
    #[error("point {point} has {got} values, the chart takes {expected}")]
    Count {
        /// Number that the point would have had.
        point: u64,
        /// Values that came.
        got: usize,
        /// Values of one point: variables × observations per subgroup.
        expected: usize,
    },
}

/// Why there is no reference, or no chart, to judge by.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MultivariateError {
    /// Phase I contains a sample that cannot be used.
    #[error(transparent)]
    Sample(#[from] VectorError),
    /// No variable at all, or more than [`VARIABLES_MAX`].
    #[error("{got} variables; a chart takes 1 to 32")]
    Variables {
        /// How many there are.
        got: usize,
    },
    /// The covariance has rows of different lengths, or not as many as the centre has variables.
    #[error("the covariance needs one row and one column for each variable of the centre")]
    NotSquare,
    /// Centre or covariance holds NaN or an infinity.
    #[error("centre and covariance must be finite numbers")]
    NotFinite,
    /// Two variables have two different covariances.
    #[error("the covariance is not symmetric at row {row}, column {column}")]
    NotSymmetric {
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A variable is constant, or a combination of those before it: leave it out.
    #[error("variable {variable} has no variation of its own beside the variables before it; leave it out")]
    NoVariation {
        /// The variable, from 1.
        variable: usize,
    },
    /// Fewer subgroups than limits need.
    #[error("phase I has used {used} subgroups and needs at least {least}")]
    TooFew {
        /// Subgroups used.
        used: usize,
        /// Fewest that give limits.
        least: usize,
    },
    /// A subgroup needs the same number of observations, at least one, throughout.
    #[error("subgroups must have the same number of observations, at least 1")]
    SubgroupSize,
    /// A probability, weight or limit outside what it can mean.
    #[error("{name} is {got}; it must lie {domain}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// What it was.
        got: f64,
        /// Where it must lie.
        domain: &'static str,
    },
}

/// Refuses what cannot be measured.
fn check_values(values: &[f64], variables: usize, expected: usize, point: u64) -> Result<(), VectorError> {
    if values.len() != expected {
        return Err(VectorError::Count { point, got: values.len(), expected });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(VectorError::NotFinite { point, variable: place % variables + 1 }),
        None => Ok(()),
    }
}

/// Refuses to go on from a damaged checkpoint.
fn check_state(state: &[f64], reference: &Reference, point: u64) -> Result<(), VectorError> {
    let (got, expected) = (state.len(), reference.variables());
    if got == expected { Ok(()) } else { Err(VectorError::Count { point, got, expected }) }
}

fn finite(statistic: f64, point: u64) -> Result<f64, VectorError> {
    if statistic.is_finite() { Ok(statistic) } else { Err(VectorError::TooFar { point }) }
}

fn within(name: &'static str, got: f64, inside: bool, domain: &'static str) -> Result<(), MultivariateError> {
    if inside { Ok(()) } else { Err(MultivariateError::Parameter { name, got, domain }) }
}

/// A count as a number; exact up to 2³².
fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
