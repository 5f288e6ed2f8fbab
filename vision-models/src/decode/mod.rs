//! From what a model puts out to findings: one looker per task.
//!
//! Invariants: nonsense in the output (NaN, infinity, a score beyond 0…1, a wrong shape) is an error and never an empty
//! list; findings lie inside the frame and come best score first; the same output always gives the same list.

mod boxes;
mod classify;
mod copper;
mod heat;
mod labels;
mod segment;
mod yolo;

pub(crate) use copper::Namer;
pub use segment::ClassMap;

use crate::package::{Head, Manifest, Task};
use crate::prepare::Geometry;
use crate::runtime::Output;
use station::inspection::Finding;
use thiserror::Error;

/// Scores of a sigmoid may leave 0…1 by rounding, not by more.
const ROUNDING: f32 = 1e-3;

/// Why a model's output is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DecodeError {
    /// An output has another shape than it must have.
    #[error("output {name} has shape {found:?}, it should be {expected:?}")]
    Shape {
        /// The output.
        name: String,
        /// What it has.
        found: Vec<i64>,
        /// What it should have.
        expected: Vec<i64>,
    },
    /// Outputs are missing.
    #[error("{given} outputs were given where {wanted} are read")]
    Missing {
        /// As many are read.
        wanted: usize,
        /// As many were given.
        given: usize,
    },
    /// An output holds a number that cannot be one.
    #[error("output {name} holds {value} at {index}")]
    Nonsense {
        /// The output.
        name: String,
        /// The number.
        value: f32,
        /// Its place in the output.
        index: usize,
    },
}

/// Makes findings of what the models of one task put out.
pub(crate) trait Looker: Send {
    /// The outputs it reads, in the order in which it is given them.
    fn outputs(&self) -> Vec<Wanted>;

    /// The findings of one frame in the frame's pixels, best score first.
    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError>;

    /// The class of every place of the last frame, where the task is to draw regions.
    fn class_map(&self) -> Option<&ClassMap> {
        None
    }
}

/// An output that a model must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// Its dimensions behind the batch, which is one frame or any number of them; −1 is a size that follows from the frame.
    pub(crate) shape: Vec<i64>,
}

/// Whoever looks at the output of this package's model.
pub(crate) fn looker(manifest: &Manifest) -> Box<dyn Looker> {
    let classes = manifest.class.len();
    match &manifest.task {
        Task::Classify(rules) => Box::new(classify::ClassifyLooker::new(rules.clone(), &manifest.class)),
        Task::Segment(rules) => Box::new(segment::SegmentLooker::new(rules.clone(), &manifest.class, manifest.pixel_size_mm)),
        Task::Compare(rules) | Task::Detect(rules) => match &rules.head {
            Head::Grid(grid) => Box::new(boxes::GridLooker::new(grid.clone(), rules.clone(), classes)),
            Head::Yolo(yolo) => Box::new(yolo::YoloLooker::whole(yolo.clone(), rules.clone(), classes)),
            Head::YoloCut(cut) => Box::new(yolo::YoloLooker::cut(cut.clone(), rules.clone(), classes)),
        },
        Task::Anomaly(rules) => Box::new(heat::HeatLooker::new(rules.clone())),
    }
}

/// Best score first; equal scores by place, so that the order never depends on anything else.
fn order(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    let place = |f: &Finding| [f.bounds.y1, f.bounds.x1, f.bounds.y2, f.bounds.x2];
    let by_place = || place(a).iter().zip(place(b)).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
    b.score.total_cmp(&a.score).then_with(|| by_place().unwrap_or(std::cmp::Ordering::Equal)).then_with(|| a.class.cmp(&b.class))
}

fn check_shape(name: &str, output: Output<'_>, expected: &[i64]) -> Result<(), DecodeError> {
    let volume = |shape: &[i64]| shape.iter().product::<i64>();
    if output.shape == expected && i64::try_from(output.values.len()) == Ok(volume(expected)) {
        Ok(())
    } else {
        Err(DecodeError::Shape { name: name.to_owned(), found: output.shape.to_vec(), expected: expected.to_vec() })
    }
}

fn check_values(name: &str, values: &[f32], good: impl Fn(f32) -> bool) -> Result<(), DecodeError> {
    match values.iter().position(|value| !good(*value)) {
        None => Ok(()),
        Some(index) => Err(DecodeError::Nonsense { name: name.to_owned(), value: values[index], index }),
    }
}

fn is_score(score: f32) -> bool {
    (-ROUNDING..=1.0 + ROUNDING).contains(&score)
}

/// Counts of planes and classes are far below 2^63.
fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
