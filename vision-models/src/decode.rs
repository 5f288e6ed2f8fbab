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
    let place =
        |index: usize| (f32::from(u16::try_from(index).unwrap_or(u16::MAX)) + 0.5) * f32::from(u8::try_from(stride).unwrap_or(u8::MAX));
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
    if output.shape == expected {
        Ok(())
    } else {
        Err(DecodeError::Shape { name: name.to_owned(), found: output.shape.to_vec(), expected })
    }
}

fn check_values(name: &str, values: &[f32], good: impl Fn(f32) -> bool) -> Result<(), DecodeError> {
    match values.iter().position(|value| !good(*value)) {
        None => Ok(()),
        Some(index) => Err(DecodeError::Nonsense { name: name.to_owned(), value: values[index], index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::tests::{geometry, layout};

    const COLUMNS: usize = 8;
    const CELLS: usize = 32;
    const SHAPE: [i64; 4] = [1, 2, 4, 8];
    const BOX_SHAPE: [i64; 4] = [1, 4, 4, 8];

    fn names() -> Names {
        Names { scores: "prob".to_owned(), boxes: "ltrb".to_owned(), stride: 8 }
    }

    fn rules() -> Decode {
        Decode { floor: 0.1, nms_iou: 0.5, nms_iou_across_classes: 0.7, findings_max: 10 }
    }

    /// Two classes on a grid of 8 x 4 cells (64 x 32 pixels) in which `cells` have a score and distances.
    fn grid(cells: &[(usize, usize, usize, f32, [f32; 4])]) -> (Vec<f32>, Vec<f32>) {
        let (mut scores, mut boxes) = (vec![0.01; 2 * CELLS], vec![1.0; 4 * CELLS]);
        for &(class, row, column, score, sides) in cells {
            let cell = row * COLUMNS + column;
            scores[(class - 1) * CELLS + cell] = score;
            for (plane, side) in sides.iter().enumerate() {
                boxes[plane * CELLS + cell] = *side;
            }
        }
        (scores, boxes)
    }

    fn run(scores: &[f32], boxes: &[f32]) -> Result<Vec<Finding>, DecodeError> {
        let (scores, boxes) = (Output { shape: &SHAPE, values: scores }, Output { shape: &BOX_SHAPE, values: boxes });
        decode(scores, boxes, &names(), &rules(), 2, &geometry((64, 32), &layout()))
    }

    fn finding(class: u8, score: f32, [x1, y1, x2, y2]: [f32; 4]) -> Finding {
        Finding { class: ClassId(class), score, bounds: PixelBox { x1, y1, x2, y2 } }
    }

    #[test]
    fn a_grid_becomes_the_boxes_computed_by_hand() {
        // Middle of cell (row 1, column 2): (20, 12). Middle of (3, 7): (60, 28), its box is cut at the frame's corner.
        let (scores, boxes) = grid(&[(2, 1, 2, 0.6, [10.0, 4.0, 6.0, 8.0]), (1, 3, 7, 0.9, [4.0, 8.0, 9.0, 9.0])]);
        let want = [finding(1, 0.9, [56.0, 20.0, 64.0, 32.0]), finding(2, 0.6, [10.0, 8.0, 26.0, 20.0])];
        assert_eq!(run(&scores, &boxes).unwrap(), want);
    }

    #[test]
    fn of_overlapping_findings_the_best_stays_and_the_floor_holds() {
        let cells = [
            (1, 1, 2, 0.8, [8.0, 8.0, 8.0, 8.0]),   // 12,4,28,20
            (1, 1, 3, 0.7, [14.0, 8.0, 2.0, 8.0]),  // 14,4,30,20: hidden, same class
            (2, 2, 2, 0.6, [5.0, 13.0, 11.0, 3.0]), // 15,7,31,23: overlaps less than 0.7, another class: stays
            (2, 1, 1, 0.5, [0.0, 8.0, 16.0, 8.0]),  // 12,4,28,20: the same place as the first: hidden
            (2, 3, 6, 0.09, [4.0, 4.0, 4.0, 4.0]),  // below the floor
        ];
        let (scores, boxes) = grid(&cells);
        let want = [finding(1, 0.8, [12.0, 4.0, 28.0, 20.0]), finding(2, 0.6, [15.0, 7.0, 31.0, 23.0])];
        assert_eq!(run(&scores, &boxes).unwrap(), want);
    }

    #[test]
    fn nonsense_is_an_error_and_never_an_empty_list() {
        for value in [f32::NAN, f32::INFINITY, -0.5, 1.5] {
            let (mut scores, boxes) = grid(&[]);
            scores[17] = value;
            let error = run(&scores, &boxes).unwrap_err();
            assert!(matches!(&error, DecodeError::Nonsense { name, index: 17, .. } if name == "prob"), "{error}");
        }
        for value in [f32::NAN, f32::NEG_INFINITY, -1.0] {
            let (scores, mut boxes) = grid(&[]);
            boxes[40] = value;
            let error = run(&scores, &boxes).unwrap_err();
            assert!(matches!(&error, DecodeError::Nonsense { name, index: 40, .. } if name == "ltrb"), "{error}");
        }
        let (scores, boxes) = grid(&[]);
        assert_eq!(run(&scores, &boxes).unwrap(), []);
    }

    #[test]
    fn another_shape_is_refused() {
        let (scores, boxes) = grid(&[]);
        let turned = [1, 2, 8, 4];
        let (scores, boxes) = (Output { shape: &turned, values: &scores }, Output { shape: &BOX_SHAPE, values: &boxes });
        let result = decode(scores, boxes, &names(), &rules(), 2, &geometry((64, 32), &layout()));
        assert!(matches!(result, Err(DecodeError::Shape { .. })));
    }

    proptest::proptest! {
        /// Whatever a model puts out: an error for nonsense, or findings inside the frame, best first, no two in one place.
        #[test]
        fn any_output_is_refused_or_understood(
            scores in proptest::collection::vec(proptest::prop_oneof![12 => 0.0..0.2_f32, 3 => 0.2..1.0_f32], 2 * CELLS),
            boxes in proptest::collection::vec(0.0..40.0_f32, 4 * CELLS),
            poison in proptest::option::weighted(0.3, (0..6 * CELLS, proptest::sample::select(vec![f32::NAN, f32::INFINITY, -1.0]))),
        ) {
            let (mut scores, mut boxes) = (scores, boxes);
            if let Some((place, value)) = poison {
                match place.checked_sub(2 * CELLS) {
                    None => scores[place] = value,
                    Some(place) => boxes[place] = value,
                }
            }
            let result = run(&scores, &boxes);
            proptest::prop_assert_eq!(result.is_err(), poison.is_some());
            let found = result.unwrap_or_default();
            proptest::prop_assert!(found.len() <= 10 && found.is_sorted_by(|a, b| a.score >= b.score));
            for finding in &found {
                let b = finding.bounds;
                proptest::prop_assert!(0.0 <= b.x1 && b.x1 < b.x2 && b.x2 <= 64.0 && 0.0 <= b.y1 && b.y1 < b.y2 && b.y2 <= 32.0);
                proptest::prop_assert!((0.1..=1.0).contains(&finding.score) && (1..=2).contains(&finding.class.0));
            }
        }
    }
}
