//! Statistical process control: numbers in, chart points and signals out.
//!
//! The crate exists so that one small, pure piece of arithmetic can be checked against published references and
//! then trusted to stop a line. Read it in this order: [`chart`] (what a point and its lines are), [`limits`]
//! (phase I makes them, phase II only reads them), [`rules`] (which patterns signal), [`monitor`] (one characteristic
//! of one station, point by point). Beside them stand [`weighted`] (EWMA, CUSUM, moving average: small shifts that stay),
//! [`multivariate`] (variables that move together), [`short_run`] (many parts, few pieces of each) and [`autocorrelation`]
//! (values that remember their predecessor).
//!
//! Studies answer the questions beside the charts: [`capability`] (does the process fit its specification; [`normality`],
//! [`tolerance`], [`univariate`] serve it), [`gauge`] (can the gauge, or the camera, be believed), [`sampling`] (what an
//! incoming plan lets through), [`pareto`] (what to mend first), [`dfq`] (the values, for other programs).
//!
//! Unless an item says otherwise, numbers are in the unit of the readings, NaN and infinite readings are refused with an error that
//! names the reading, too few readings are refused with the number needed, and ties are taken as they come.
//!
//! Invariants:
//! * **Pure.** No clock, thread, I/O, log or hash order. What is computed for a point uses `+ - * /` and `sqrt` alone, so the
//!   same points give the same bits on every target with IEEE 754 doubles; studies also use [`distribution`], and so do
//!   probability limits, once for every subgroup size.
//! * **Streaming is batch.** After every point the streaming result equals, to the bit, what [`batch`] gives for the
//!   same prefix.
//! * **Fixed memory.** `push` neither allocates nor loops over history; history belongs to the caller. (The constants of a
//!   subgroup size of up to 100 are integrated when the process first meets it, which takes milliseconds and memory.)
//! * **No NaN, no infinity**, neither accepted nor produced nor stored. A point that cannot be judged is refused with
//!   an error that names it, and leaves the state as it was.
//! * **State is a value.** Everything stored is `Clone + PartialEq + Serialize + Deserialize`; a monitor that was
//!   written as JSON and read back (with a reader that round-trips `f64`) goes on bit-exactly.

pub mod alarm;
pub mod autocorrelation;
pub mod batch;
pub mod camera_error;
pub mod capability;
pub mod chart;
pub mod dfq;
pub mod distribution;
pub mod gauge;
pub mod limits;
pub mod monitor;
pub mod multivariate;
pub mod normality;
pub mod oc_curve;
pub mod overdispersion;
pub mod pareto;
pub mod rules;
pub mod run_chart;
pub mod sampling;
pub mod short_run;
pub mod study;
mod sum;
pub mod tolerance;
pub mod univariate;
pub mod weighted;

pub use autocorrelation::{Autocorrelation, ResidualChart};
pub use capability::{Capability, Specification};
pub use chart::{Chart, ChartKind, Lines, Observation, PairChart, Point, Sample, SampleError, Signal, Subgroup};
pub use limits::{Constants, Limits, Settings, SettingsError};
pub use monitor::Monitor;
pub use multivariate::{HotellingT2, Mcusum, Mewma};
pub use rules::{Conventions, Hits, Rule, RuleSet};
pub use short_run::ShortRun;
pub use weighted::{Cusum, Ewma, MovingAverage, Process};

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
