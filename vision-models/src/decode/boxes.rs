//! Boxes: from a grid of scores and distances to findings, of which the best of each place stays.

use super::{DecodeError, Looker, Wanted, check_shape, check_values, is_score, order, signed};
use crate::package::{Boxes, Grid};
use crate::prepare::Geometry;
use crate::runtime::Output;
use crate::score::overlap;
use station::inspection::{ClassId, Finding, PixelBox};

/// Looks at a grid of cells.
pub(super) struct GridLooker {
    grid: Grid,
    rules: Boxes,
    classes: usize,
}

impl GridLooker {
    pub(super) const fn new(grid: Grid, rules: Boxes, classes: usize) -> Self {
        Self { grid, rules, classes }
    }

    /// Findings in pixels of the input, one for each cell that is above the floor.
    fn cells(&self, [scores, boxes]: [Output<'_>; 2], (columns, rows): (u32, u32)) -> Result<Vec<Finding>, DecodeError> {
        let Grid { scores: scores_name, boxes: boxes_name, stride } = &self.grid;
        let classes = self.classes;
        let cells = usize::try_from(u64::from(columns) * u64::from(rows)).unwrap_or(usize::MAX);
        check_shape(scores_name, scores, &[1, signed(classes), rows.into(), columns.into()])?;
        check_shape(boxes_name, boxes, &[1, 4, rows.into(), columns.into()])?;
        check_values(scores_name, scores.values, is_score)?;
        check_values(boxes_name, boxes.values, |distance| distance.is_finite() && distance >= 0.0)?;
        let mut found = Vec::new();
        for cell in 0..cells {
            let best = (0..classes).map(|class| (class, scores.values[class * cells + cell])).max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((class, score)) = best.filter(|(_, score)| *score >= self.rules.floor) else { continue };
            let side = |plane: usize| boxes.values[plane * cells + cell];
            let (x, y) = middle(cell, columns, *stride);
            let bounds = PixelBox { x1: x - side(0), y1: y - side(1), x2: x + side(2), y2: y + side(3) };
            let class = ClassId(u8::try_from(class + 1).unwrap_or(u8::MAX));
            found.push(Finding { class, score: score.clamp(0.0, 1.0), bounds, area_mm2: None, camera: 0 });
        }
        Ok(found)
    }
}

impl Looker for GridLooker {
    fn outputs(&self) -> Vec<Wanted> {
        let wanted = |name: &String, planes| Wanted { name: name.clone(), shape: vec![planes, -1, -1] };
        vec![wanted(&self.grid.scores, signed(self.classes)), wanted(&self.grid.boxes, 4)]
    }

    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError> {
        let &[scores, boxes] = outputs else { return Err(DecodeError::Missing { wanted: 2, given: outputs.len() }) };
        let size = (geometry.input.0 / self.grid.stride, geometry.input.1 / self.grid.stride);
        let found = self.cells([scores, boxes], size)?;
        Ok(on_the_frame(suppress(found, &self.rules), geometry))
    }
}

/// Findings of the input as findings of the frame; what lies beside it is none.
pub(super) fn on_the_frame(mut found: Vec<Finding>, geometry: &Geometry) -> Vec<Finding> {
    found.retain_mut(|finding| match geometry.to_frame(&finding.bounds) {
        Some(bounds) => {
            finding.bounds = bounds;
            true
        }
        None => false,
    });
    found
}

/// The middle of a cell in pixels of the input.
fn middle(cell: usize, columns: u32, stride: u32) -> (f32, f32) {
    let columns = usize::try_from(columns).unwrap_or(1).max(1);
    let place =
        |index: usize| (f32::from(u16::try_from(index).unwrap_or(u16::MAX)) + 0.5) * f32::from(u8::try_from(stride).unwrap_or(u8::MAX));
    (place(cell % columns), place(cell / columns))
}

/// Of findings that lie on each other the best one stays.
pub(super) fn suppress(mut found: Vec<Finding>, rules: &Boxes) -> Vec<Finding> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Head;
    use crate::prepare::tests::{geometry, layout};

    const COLUMNS: usize = 8;
    const CELLS: usize = 32;
    const SHAPE: [i64; 4] = [1, 2, 4, 8];
    const BOX_SHAPE: [i64; 4] = [1, 4, 4, 8];

    fn grid_looker() -> GridLooker {
        let grid = Grid { scores: "prob".to_owned(), boxes: "ltrb".to_owned(), stride: 8 };
        let head = Head::Grid(grid.clone());
        GridLooker::new(grid, Boxes { floor: 0.1, nms_iou: 0.5, nms_iou_across_classes: 0.7, findings_max: 10, copper: None, head }, 2)
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
        grid_looker().findings(&[scores, boxes], &geometry((64, 32), &layout()))
    }

    fn finding(class: u8, score: f32, [x1, y1, x2, y2]: [f32; 4]) -> Finding {
        Finding { class: ClassId(class), score, bounds: PixelBox { x1, y1, x2, y2 }, area_mm2: None, camera: 0 }
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
        let result = grid_looker().findings(&[scores, boxes], &geometry((64, 32), &layout()));
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
