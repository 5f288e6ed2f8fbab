//! Alarm design: how long a chart runs before it signals, exactly, so that its limits can be chosen for the false stops that a
//! line can bear instead of by habit.
//!
//! A **run length** is the number of samples up to and including the first signal; its mean is the ARL. Every chart here is
//! a Markov chain (run rules, counted data) or a Markov process solved as an integral equation ([`CusumDesign`],
//! [`EwmaDesign`], …); nothing is simulated. Observations are independent and standardised: mean 0 and standard deviation 1
//! while the process is in control, unless a function says otherwise.
//!
//! Invariants: parameters are checked before anything is computed, and an error names the parameter; a result is given only
//! once two discretisations agree (to 1e-11; for charts of the variance to 1e-11 + 1e-14 L), never a NaN or an infinity; results agree between platforms to the accuracy stated, not
//! to the bit, because densities rest on `exp` — no frozen limit goes through here without having been stored.

mod collocation;
mod counts;
mod cusum;
mod design;
mod dispersion;
mod ewma;
mod linear;
mod mewma;
mod poisson_ewma;
mod process;
mod quadrature;
mod shewhart;
mod shiryaev;

use crate::distribution::{normal_above, normal_below, normal_density, student_below, student_density};

pub use counts::{BinomialEwmaDesign, PoissonCusumDesign};
pub use cusum::{CusumDesign, CusumSides};
pub use design::{AlarmChart, AlarmPlan, FalseStopBudget};
pub use dispersion::{VarianceCusumDesign, VarianceEwmaDesign, VarianceSides, mean_and_variance_average};
pub use ewma::{EwmaDesign, EwmaLimits, EwmaSides};
pub use mewma::MewmaDesign;
pub use poisson_ewma::{CountSides, PoissonEwmaDesign};
pub use shewhart::RuleDesign;
pub use shiryaev::{ShiryaevRobertsDesign, autocorrelated_average};

/// How single observations are distributed; always with mean 0 and standard deviation 1 in control.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Observations {
    /// Normally.
    Normal,
    /// As Student's t scaled to a standard deviation of 1: symmetric, with tails the heavier the fewer degrees of freedom.
    StudentT {
        /// Degrees of freedom; above 2, or there is no standard deviation.
        freedom: f64,
    },
}

impl Observations {
    /// Standard deviation of the distribution before it is scaled.
    fn unscaled(self) -> f64 {
        match self {
            Self::Normal => 1.0,
            Self::StudentT { freedom } => (freedom / (freedom - 2.0)).sqrt(),
        }
    }

    fn density(self, z: f64) -> f64 {
        match self {
            Self::Normal => normal_density(z),
            Self::StudentT { freedom } => self.unscaled() * student_density(z * self.unscaled(), freedom),
        }
    }

    fn below(self, z: f64) -> f64 {
        match self {
            Self::Normal => normal_below(z),
            Self::StudentT { freedom } => student_below(z * self.unscaled(), freedom),
        }
    }

    fn above(self, z: f64) -> f64 {
        match self {
            Self::Normal => normal_above(z),
            Self::StudentT { .. } => self.below(-z),
        }
    }
}

/// Why a run length or a design was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlarmError {
    /// A parameter outside its range, NaN or infinite.
    #[error("{name} is {value}, it must be {wanted}")]
    Parameter {
        /// Which one, in the field's words.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is accepted.
        wanted: &'static str,
    },
    /// These options do not exist together.
    #[error("{0}")]
    Combination(&'static str),
    /// The run length is infinite, or as good as.
    #[error("the run length is beyond 1e10 samples or infinite: this chart practically never signals; take narrower limits")]
    NeverEnds,
    /// Refining the discretisation went on changing the result.
    #[error("the run length did not settle to eleven digits; the chart's parameters are too extreme")]
    NotConverged,
    /// No value of the free parameter gives this run length.
    #[error("no limit gives an average run length of {run_length} samples; ask for one between the shortest and the longest possible")]
    Unreachable {
        /// The run length asked for, in samples.
        run_length: f64,
    },
}

/// `value` if it lies in `low..=high`.
fn within(name: &'static str, value: f64, (low, high): (f64, f64), wanted: &'static str) -> Result<f64, AlarmError> {
    if value.is_finite() && (low..=high).contains(&value) { Ok(value) } else { Err(AlarmError::Parameter { name, value, wanted }) }
}

/// A shift of the mean that is looked at, in standard deviations.
fn shift(value: f64) -> Result<f64, AlarmError> {
    within("the shift of the mean", value, (-100.0, 100.0), "between -100 and 100 standard deviations")
}

/// A run length that a design is made for.
fn wanted_length(value: f64) -> Result<f64, AlarmError> {
    within("the wanted average run length", value, (1.000_001, 1e12), "more than 1 and at most 1e12 samples")
}

/// A share of runs.
fn open_share(value: f64) -> Result<f64, AlarmError> {
    within("the share of runs", value, (1e-12, 1.0 - 1e-12), "strictly between 0 and 1")
}
