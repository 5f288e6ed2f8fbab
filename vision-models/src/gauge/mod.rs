//! Gauging: sizes in millimetres and degrees, each with its uncertainty, from edges found to a fraction of a pixel.
//!
//! A `Plan` says where millimetres come from (`rule`, `scale`), how the part is found (`blob`), and what is measured with which
//! tool (`tools`, `outline` and `resting`). All of it is arithmetic on single scan lines, so OpenCV is not needed here.
//!
//! Invariants: every measurement is finite and has a positive standard uncertainty; whatever cannot be found is an error that
//! says where it was looked for, never a guessed value; the same pixels give the same values to the bit.

mod blob;
mod edge;
mod evaluate;
mod geometry;
mod measured;
mod outline;
mod overlay;
mod plan;
mod resting;
mod rule;
mod scale;
mod tools;

pub use edge::Grey;
pub use evaluate::{EvaluateError, Repeat, Report, Shown, Size, Summary, evaluate};
pub use geometry::{Circle, Line, Point};
pub use measured::{Drawn, Gauge, Measured, Measurement};
pub use overlay::draw;
pub use plan::{Calibrate, Caliper, FrameOf, Graduation, HeadedPin, Locate, Measure, PinSize, Plan, Side, Straight, Tool};
pub use rule::Read;
pub use scale::Scale;
use thiserror::Error;

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GaugeError {
    /// The rule cannot be read.
    #[error("no steel rule can be read in {place}: {why}")]
    Rule {
        /// Where it was looked for.
        place: String,
        /// What is wrong, and the mend.
        why: String,
    },
    /// The target cannot be measured.
    #[error("the calibration target cannot be measured: {0}; is it in its place, lit and in focus?")]
    Target(
        /// What is wrong.
        String,
    ),
    /// The part cannot be found or traced.
    #[error("in {place}: {why}")]
    Part {
        /// Where it was looked for.
        place: String,
        /// What is wrong, and the mend.
        why: String,
    },
    /// One size cannot be measured.
    #[error("{name} cannot be measured: {why}; look at the overlay and correct its place in the plan")]
    Size {
        /// The size.
        name: String,
        /// What is wrong.
        why: String,
    },
}
