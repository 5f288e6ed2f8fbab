//! YOLO-like exports: cells of three levels in one row, each with a score per class and one box.
//!
//! ```text
//! as exported   [1, 4 + classes, cells]   middle, width and height in pixels of the input, then scores 0…1
//! cut           [1, classes, cells]       scores
//!               [1, 4 * 16, cells]        of each side 16 logits: the side's length is their softmax's mean, in strides
//! ```
//! Cells come level by level (strides 8, 16, 32), each level row by row. A box is made only of a cell that is above the
//! floor: on a good piece that is none, and the exported graph makes all of them.
//!
//! Invariant: every score is looked at; a box that cannot be one is an error only where a finding would be made of it.
//! Source: Li et al., Generalized Focal Loss (2020), equation 5; the head of YOLOv8.

use super::boxes::{on_the_frame, suppress};
use super::{DecodeError, Looker, Wanted, check_shape, is_score, signed};
use crate::package::{Boxes, Yolo, YoloCut};
use crate::prepare::Geometry;
use crate::runtime::Output;
use station::inspection::{ClassId, Finding, PixelBox};

/// Pixels per cell of each level.
const STRIDES: [u32; 3] = [8, 16, 32];
/// Logits per side.
const BINS: usize = 16;
/// Scores that are looked at together.
const CHUNK: usize = 64;

/// Where the boxes are.
enum Source {
    Whole(Yolo),
    Cut(YoloCut),
}

/// Looks at the output of a YOLO-like model.
pub(super) struct YoloLooker {
    source: Source,
    rules: Boxes,
    classes: usize,
    above: Vec<usize>,
}

impl YoloLooker {
    pub(super) const fn whole(yolo: Yolo, rules: Boxes, classes: usize) -> Self {
        Self { source: Source::Whole(yolo), rules, classes, above: Vec::new() }
    }

    pub(super) const fn cut(cut: YoloCut, rules: Boxes, classes: usize) -> Self {
        Self { source: Source::Cut(cut), rules, classes, above: Vec::new() }
    }

    /// Cells with a score at or above the floor, each once.
    fn scan(&mut self, name: &str, scores: &[f32], offset: usize, cells: usize) -> Result<(), DecodeError> {
        self.above.clear();
        let floor = self.rules.floor;
        for class in 0..self.classes {
            let plane = &scores[class * cells..(class + 1) * cells];
            for (number, chunk) in plane.chunks(CHUNK).enumerate() {
                // A comparison with NaN is false, so that nonsense is never quiet.
                if chunk.iter().fold(true, |quiet, score| quiet & (*score >= 0.0) & (*score < floor)) {
                    continue;
                }
                for (index, score) in chunk.iter().enumerate() {
                    let cell = number * CHUNK + index;
                    if !is_score(*score) {
                        let index = offset + class * cells + cell;
                        return Err(DecodeError::Nonsense { name: name.to_owned(), value: *score, index });
                    }
                    if *score >= floor {
                        self.above.push(cell);
                    }
                }
            }
        }
        self.above.sort_unstable();
        self.above.dedup();
        Ok(())
    }

    /// A finding for each cell above the floor; `bounds` makes its box.
    fn make(
        &self,
        scores: &[f32],
        cells: usize,
        bounds: impl Fn(usize) -> Result<PixelBox, DecodeError>,
    ) -> Result<Vec<Finding>, DecodeError> {
        let mut found = Vec::with_capacity(self.above.len());
        for &cell in &self.above {
            let best = (0..self.classes).map(|class| (class, scores[class * cells + cell])).max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((class, score)) = best else { continue };
            let class = ClassId(u8::try_from(class + 1).unwrap_or(u8::MAX));
            found.push(Finding { class, score: score.clamp(0.0, 1.0), bounds: bounds(cell)?, area_mm2: None, camera: 0 });
        }
        Ok(found)
    }
}

impl Looker for YoloLooker {
    fn outputs(&self) -> Vec<Wanted> {
        let wanted = |name: &String, planes: usize| Wanted { name: name.clone(), shape: vec![signed(planes), -1] };
        match &self.source {
            Source::Whole(yolo) => vec![wanted(&yolo.output, 4 + self.classes)],
            Source::Cut(cut) => vec![wanted(&cut.scores, self.classes), wanted(&cut.sides, 4 * BINS)],
        }
    }

    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError> {
        let cells = levels(geometry.input).map(|(columns, rows, _)| columns * rows).sum::<usize>();
        let wanted = self.outputs();
        if outputs.len() != wanted.len() {
            return Err(DecodeError::Missing { wanted: wanted.len(), given: outputs.len() });
        }
        for (wanted, output) in wanted.iter().zip(outputs) {
            check_shape(&wanted.name, *output, &[1, wanted.shape[0], signed(cells)])?;
        }
        let found = match outputs {
            [whole] => {
                let (boxes, scores) = whole.values.split_at(4 * cells);
                self.scan(&wanted[0].name, scores, 4 * cells, cells)?;
                self.make(scores, cells, |cell| middle_and_size(&wanted[0].name, boxes, cell, cells))?
            }
            [scores, sides, ..] => {
                self.scan(&wanted[0].name, scores.values, 0, cells)?;
                self.make(scores.values, cells, |cell| from_sides(&wanted[1].name, sides.values, cell, cells, geometry.input))?
            }
            [] => Vec::new(),
        };
        Ok(on_the_frame(suppress(found, &self.rules), geometry))
    }
}

/// Columns, rows and stride of each level.
fn levels((width, height): (u32, u32)) -> impl Iterator<Item = (usize, usize, f32)> {
    let count = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
    STRIDES.into_iter().map(move |stride| (count(width / stride), count(height / stride), small(count(stride))))
}

/// Rows, columns and strides are far below 2^16.
fn small(value: usize) -> f32 {
    f32::from(u16::try_from(value).unwrap_or(u16::MAX))
}

fn middle_and_size(name: &str, boxes: &[f32], cell: usize, cells: usize) -> Result<PixelBox, DecodeError> {
    let value = |plane: usize| finite(name, boxes, plane * cells + cell);
    let (x, y, width, height) = (value(0)?, value(1)?, value(2)?, value(3)?);
    Ok(PixelBox { x1: x - width / 2.0, y1: y - height / 2.0, x2: x + width / 2.0, y2: y + height / 2.0 })
}

fn from_sides(name: &str, sides: &[f32], cell: usize, cells: usize, input: (u32, u32)) -> Result<PixelBox, DecodeError> {
    let mut first = 0;
    let mut place = (0.0, 0.0, 0.0);
    for (columns, rows, stride) in levels(input) {
        if cell < first + columns * rows {
            let index = cell - first;
            place = (small(index % columns) + 0.5, small(index / columns) + 0.5, stride);
            break;
        }
        first += columns * rows;
    }
    let (x, y, stride) = place;
    let side = |side: usize| mean(name, sides, side, cell, cells);
    let (left, top, right, bottom) = (side(0)?, side(1)?, side(2)?, side(3)?);
    Ok(PixelBox { x1: (x - left) * stride, y1: (y - top) * stride, x2: (x + right) * stride, y2: (y + bottom) * stride })
}

/// The mean of the softmax of a side's logits.
fn mean(name: &str, sides: &[f32], side: usize, cell: usize, cells: usize) -> Result<f32, DecodeError> {
    let mut logits = [0.0_f32; BINS];
    for (bin, logit) in logits.iter_mut().enumerate() {
        *logit = finite(name, sides, (side * BINS + bin) * cells + cell)?;
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let weight = (logit - most).exp();
        sum += weight;
        weighted += weight * small(bin);
    }
    Ok(weighted / sum)
}

fn finite(name: &str, values: &[f32], index: usize) -> Result<f32, DecodeError> {
    let value = values[index];
    if value.is_finite() { Ok(value) } else { Err(DecodeError::Nonsense { name: name.to_owned(), value, index }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Head;
    use crate::prepare::tests::{geometry, layout};
    use proptest::prelude::*;

    /// A frame of 64 x 64: 64 + 16 + 4 cells.
    const CELLS: usize = 84;
    const CLASSES: usize = 2;

    fn rules(head: Head) -> Boxes {
        Boxes { floor: 0.25, nms_iou: 0.5, nms_iou_across_classes: 0.7, findings_max: 10, copper: None, head }
    }

    fn whole() -> YoloLooker {
        let yolo = Yolo { output: "output0".to_owned() };
        YoloLooker::whole(yolo.clone(), rules(Head::Yolo(yolo)), CLASSES)
    }

    fn cut() -> YoloLooker {
        let cut = YoloCut { scores: "scores".to_owned(), sides: "sides".to_owned() };
        YoloLooker::cut(cut.clone(), rules(Head::YoloCut(cut)), CLASSES)
    }

    fn run_whole(values: &[f32]) -> Result<Vec<Finding>, DecodeError> {
        let shape = [1, signed(4 + CLASSES), signed(CELLS)];
        whole().findings(&[Output { shape: &shape, values }], &geometry((64, 64), &layout()))
    }

    fn run_cut(scores: &[f32], sides: &[f32]) -> Result<Vec<Finding>, DecodeError> {
        let (first, second) = ([1, signed(CLASSES), signed(CELLS)], [1, 64, signed(CELLS)]);
        let outputs = [Output { shape: &first, values: scores }, Output { shape: &second, values: sides }];
        cut().findings(&outputs, &geometry((64, 64), &layout()))
    }

    /// What the exported graph does with the sides, for every cell.
    fn exported(scores: &[f32], sides: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; 4 * CELLS];
        for cell in 0..CELLS {
            let b = from_sides("sides", sides, cell, CELLS, (64, 64)).unwrap();
            let of_cell = [(b.x1 + b.x2) / 2.0, (b.y1 + b.y2) / 2.0, b.x2 - b.x1, b.y2 - b.y1];
            of_cell.into_iter().enumerate().for_each(|(plane, value)| values[plane * CELLS + cell] = value);
        }
        values.extend_from_slice(scores);
        values
    }

    #[test]
    fn the_box_of_a_cell_is_the_one_computed_by_hand() {
        let mut scores = vec![0.01; CLASSES * CELLS];
        let mut sides = vec![0.0; 64 * CELLS];
        // Level of stride 16, row 1, column 2: its middle is at (2.5, 1.5) strides. Each side is one bin alone: 1, 0, 1, 2.
        let cell = 64 + 4 + 2;
        scores[CELLS + cell] = 0.75;
        for (side, bin) in [1, 0, 1, 2].into_iter().enumerate() {
            sides[(side * BINS + bin) * CELLS + cell] = 60.0;
        }
        let found = run_cut(&scores, &sides).unwrap();
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((only.class, only.score), (ClassId(2), 0.75));
        let b = only.bounds;
        let want = [24.0, 24.0, 56.0, 56.0];
        assert!([b.x1, b.y1, b.x2, b.y2].iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-4), "{b:?}");
    }

    #[test]
    fn nonsense_is_an_error_and_never_an_empty_list() {
        for value in [f32::NAN, f32::INFINITY, -0.5, 1.5] {
            let mut values = vec![0.01; (4 + CLASSES) * CELLS];
            assert_eq!(run_whole(&values).unwrap(), []);
            values[4 * CELLS + 17] = value;
            assert!(matches!(run_whole(&values), Err(DecodeError::Nonsense { .. })), "{value}");
        }
        let mut values = vec![0.01; (4 + CLASSES) * CELLS];
        values[4 * CELLS + 17] = 0.9;
        values[17] = f32::NAN;
        assert!(matches!(run_whole(&values), Err(DecodeError::Nonsense { index: 17, .. })));
        let (mut scores, mut sides) = (vec![0.01; CLASSES * CELLS], vec![0.0; 64 * CELLS]);
        scores[3] = 0.9;
        sides[5 * CELLS + 3] = f32::INFINITY;
        assert!(matches!(run_cut(&scores, &sides), Err(DecodeError::Nonsense { .. })));
        assert!(matches!(run_cut(&scores[1..], &sides), Err(DecodeError::Shape { .. })));
    }

    proptest! {
        /// Making boxes only where there is a finding gives what making all of them gives.
        #[test]
        fn cut_and_whole_find_the_same(
            scores in proptest::collection::vec(prop_oneof![20 => 0.0..0.2_f32, 1 => 0.2..1.0_f32], CLASSES * CELLS),
            sides in proptest::collection::vec(-4.0..4.0_f32, 64 * CELLS),
        ) {
            let (cut, whole) = (run_cut(&scores, &sides).unwrap(), run_whole(&exported(&scores, &sides)).unwrap());
            prop_assert_eq!(cut.len(), whole.len());
            for (a, b) in cut.iter().zip(&whole) {
                prop_assert_eq!((a.class, a.score), (b.class, b.score));
                let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
                let (a, b) = (a.bounds, b.bounds);
                prop_assert!(near(a.x1, b.x1) && near(a.y1, b.y1) && near(a.x2, b.x2) && near(a.y2, b.y2));
            }
        }
    }
}
