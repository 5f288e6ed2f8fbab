//! From the model's grid of scores and distances to findings.
//!
//! Invariants: nonsense in the output (NaN, infinity, a score beyond 0…1, a negative distance, a wrong shape) is an error
//! and never an empty list; findings come best score first, and the same output always gives the same list.

use crate::package::{Decode, Output as Names};
use crate::prepare::Geometry;
use crate::runtime::Output;
use crate::score::overlap;
use station::inspection::{ClassId, Finding, PixelBox};
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

/// Turns the output for one frame into findings in the frame's pixels.
pub(crate) fn decode(
    scores: Output<'_>,
    boxes: Output<'_>,
    names: &Names,
    rules: &Decode,
    classes: usize,
    geometry: &Geometry,
) -> Result<Vec<Finding>, DecodeError> {
    let (columns, rows) = (geometry.input.0 / names.stride, geometry.input.1 / names.stride);
    let cells = usize::try_from(u64::from(columns) * u64::from(rows)).unwrap_or(usize::MAX);
    check_shape(&names.scores, scores, classes, rows, columns)?;
    check_shape(&names.boxes, boxes, 4, rows, columns)?;
    check_values(&names.scores, scores.values, |score| (-ROUNDING..=1.0 + ROUNDING).contains(&score))?;
    check_values(&names.boxes, boxes.values, |distance| distance.is_finite() && distance >= 0.0)?;
    let mut found = Vec::new();
    for cell in 0..cells {
        let best = (0..classes).map(|class| (class, scores.values[class * cells + cell])).max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((class, score)) = best.filter(|(_, score)| *score >= rules.floor) else { continue };
        let side = |plane: usize| boxes.values[plane * cells + cell];
        let (x, y) = middle(cell, columns, names.stride);
        let bounds = PixelBox { x1: x - side(0), y1: y - side(1), x2: x + side(2), y2: y + side(3) };
        let class = ClassId(u8::try_from(class + 1).unwrap_or(u8::MAX));
        found.push(Finding { class, score: score.clamp(0.0, 1.0), bounds });
    }
    let mut kept = suppress(found, rules);
    kept.retain_mut(|finding| match geometry.to_frame(&finding.bounds) {
        Some(bounds) => {
            finding.bounds = bounds;
            true
        }
        None => false,
    });
    Ok(kept)
}

/// The middle of a cell in pixels of the input.
fn middle(cell: usize, columns: u32, stride: u32) -> (f32, f32) {
    let columns = usize::try_from(columns).unwrap_or(1).max(1);
    let place = |index: usize| (f32::from(u16::try_from(index).unwrap_or(u16::MAX)) + 0.5) * f32::from(u8::try_from(stride).unwrap_or(u8::MAX));
    (place(cell % columns), place(cell / columns))
}

/// Of findings that lie on each other the best one stays.
fn suppress(mut found: Vec<Finding>, rules: &Decode) -> Vec<Finding> {
    found.sort_by(order);
    let mut kept: Vec<Finding> = Vec::new();
    let most = usize::try_from(rules.findings_max).unwrap_or(usize::MAX);
    for finding in found {
        if kept.len() == most {
            break;
        }
        let hidden = kept.iter().any(|better| {
            let limit = if better.class == finding.class { rules.nms_iou } else { rules.nms_iou_across_classes };
            overlap(&better.bounds, &finding.bounds) > limit
        });
        if !hidden {
            kept.push(finding);
        }
    }
    kept
}

/// Best score first; equal scores by place, so that the order never depends on anything else.
fn order(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    let place = |f: &Finding| [f.bounds.y1, f.bounds.x1, f.bounds.y2, f.bounds.x2];
    let by_place = || place(a).iter().zip(place(b)).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
    b.score.total_cmp(&a.score).then_with(|| by_place().unwrap_or(std::cmp::Ordering::Equal)).then_with(|| a.class.cmp(&b.class))
}

fn check_shape(name: &str, output: Output<'_>, planes: usize, rows: u32, columns: u32) -> Result<(), DecodeError> {
    let expected = vec![1, i64::try_from(planes).unwrap_or(i64::MAX), i64::from(rows), i64::from(columns)];
    if output.shape == expected { Ok(()) } else { Err(DecodeError::Shape { name: name.to_owned(), found: output.shape.to_vec(), expected }) }
}

fn check_values(name: &str, values: &[f32], good: impl Fn(f32) -> bool) -> Result<(), DecodeError> {
    match values.iter().position(|value| !good(*value)) {
        None => Ok(()),
        Some(index) => Err(DecodeError::Nonsense { name: name.to_owned(), value: values[index], index }),
    }
}
