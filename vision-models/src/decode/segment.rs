//! Segment: a share per cell and label. Neighbouring cells of one class are a region, and a region is a finding.
//!
//! Invariants: a cell belongs to the label with the largest share, to the first of equals; cells touch also over their
//! corners; a region's score is that of its surest cell and its area is what of it lies on the frame.

use super::labels::{activate, classes_of};
use super::{DecodeError, Looker, Wanted, check_shape, order, signed};
use crate::package::{ClassEntry, Segment};
use crate::prepare::Geometry;
use crate::runtime::Output;
use station::inspection::{ClassId, Finding, PixelBox};

/// The class of every cell of a frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClassMap {
    columns: usize,
    cells: Vec<Option<ClassId>>,
    /// Cells per pixel of the frame, to the right and down.
    scale: (f32, f32),
}

impl ClassMap {
    /// The class at a pixel of the frame; `None` where nothing is wrong, or beside the frame.
    #[must_use]
    pub fn at(&self, x: u32, y: u32) -> Option<ClassId> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 16 384")]
        let cell = |pixel: u32, scale: f32| ((pixel as f32 + 0.5) * scale) as usize;
        let (column, row) = (cell(x, self.scale.0), cell(y, self.scale.1));
        (column < self.columns).then(|| self.cells.get(row * self.columns + column).copied().flatten())?
    }
}

/// Looks at a map of shares.
pub(super) struct SegmentLooker {
    rules: Segment,
    classes: Vec<Option<ClassId>>,
    pixel_size_mm: f32,
    shares: Vec<f32>,
    map: ClassMap,
    /// Cells that belong to a region already, and those of the region that is followed whose neighbours were not looked at.
    taken: Vec<bool>,
    open: Vec<usize>,
}

impl SegmentLooker {
    pub(super) fn new(rules: Segment, classes: &[ClassEntry], pixel_size_mm: f64) -> Self {
        let classes = classes_of(&rules.labels, classes);
        #[expect(clippy::cast_possible_truncation, reason = "a length in millimetres keeps its meaning in an f32")]
        let pixel_size_mm = pixel_size_mm as f32;
        Self { rules, classes, pixel_size_mm, shares: Vec::new(), map: ClassMap::default(), taken: Vec::new(), open: Vec::new() }
    }

    /// The class of each cell; in `shares` its first plane becomes the share of that class.
    fn classify(&mut self, cells: usize) {
        let Self { rules, classes, shares, map, .. } = self;
        map.cells.clear();
        for cell in 0..cells {
            let (mut best, mut class) = (f32::NEG_INFINITY, None);
            for (share, label) in shares.iter().skip(cell).step_by(cells.max(1)).zip(&*classes) {
                if *share > best {
                    (best, class) = (*share, *label);
                }
            }
            map.cells.push(class.filter(|_| best >= rules.floor));
            shares[cell] = best;
        }
    }

    /// Follows the region of one class from its first cell on.
    fn region(&mut self, first: usize, class: ClassId, geometry: &Geometry) -> Option<Finding> {
        let columns = self.map.columns;
        let (mut score, mut area) = (0.0_f32, 0.0_f32);
        let mut bounds: Option<PixelBox> = None;
        self.taken[first] = true;
        self.open.push(first);
        while let Some(cell) = self.open.pop() {
            if let Some(b) = geometry.to_frame(&cell_box(cell, columns, self.rules.stride)) {
                score = score.max(self.shares[cell]);
                area += (b.x2 - b.x1) * (b.y2 - b.y1);
                bounds = Some(bounds.map_or(b, |all| PixelBox {
                    x1: all.x1.min(b.x1),
                    y1: all.y1.min(b.y1),
                    x2: all.x2.max(b.x2),
                    y2: all.y2.max(b.y2),
                }));
            }
            for next in neighbours(cell, columns, self.map.cells.len()) {
                if !self.taken[next] && self.map.cells[next] == Some(class) {
                    self.taken[next] = true;
                    self.open.push(next);
                }
            }
        }
        let area_mm2 = area * self.pixel_size_mm * self.pixel_size_mm;
        bounds.filter(|_| area_mm2 >= self.rules.area_min_mm2).map(|bounds| Finding {
            class,
            score,
            bounds,
            area_mm2: Some(area_mm2),
            camera: 0,
        })
    }
}

impl Looker for SegmentLooker {
    fn outputs(&self) -> Vec<Wanted> {
        vec![Wanted { name: self.rules.map.clone(), shape: vec![signed(self.classes.len()), -1, -1] }]
    }

    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError> {
        let &[map] = outputs else { return Err(DecodeError::Missing { wanted: 1, given: outputs.len() }) };
        let stride = self.rules.stride;
        let (columns, rows) = (geometry.input.0 / stride, geometry.input.1 / stride);
        check_shape(&self.rules.map, map, &[1, signed(self.classes.len()), rows.into(), columns.into()])?;
        self.shares.clear();
        self.shares.extend_from_slice(map.values);
        let cells = map.values.len() / self.classes.len().max(1);
        activate(&self.rules.map, self.rules.activation, &mut self.shares, cells)?;
        self.map.columns = usize::try_from(columns).unwrap_or(0);
        self.map.scale = geometry.cells_per_pixel(stride);
        self.classify(cells);
        self.taken.clear();
        self.taken.resize(cells, false);
        let mut found = Vec::new();
        for cell in 0..cells {
            if let Some(class) = self.map.cells[cell].filter(|_| !self.taken[cell]) {
                found.extend(self.region(cell, class, geometry));
            }
        }
        found.sort_by(order);
        found.truncate(usize::try_from(self.rules.findings_max).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn class_map(&self) -> Option<&ClassMap> {
        Some(&self.map)
    }
}

/// A cell in pixels of the input.
#[expect(clippy::cast_precision_loss, reason = "the input has at most 8192 pixels a side")]
fn cell_box(cell: usize, columns: usize, stride: u32) -> PixelBox {
    let side = stride as f32;
    let (x, y) = ((cell % columns) as f32 * side, (cell / columns) as f32 * side);
    PixelBox { x1: x, y1: y, x2: x + side, y2: y + side }
}

/// The up to eight cells around one.
fn neighbours(cell: usize, columns: usize, cells: usize) -> impl Iterator<Item = usize> {
    let (column, row) = (cell % columns, cell / columns);
    let rows = row.saturating_sub(1)..(row + 2).min(cells / columns);
    let range = column.saturating_sub(1)..(column + 2).min(columns);
    rows.flat_map(move |row| range.clone().map(move |column| row * columns + column)).filter(move |next| *next != cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Activation;
    use crate::prepare::tests::{geometry, layout};

    /// 8 x 4 cells of 8 pixels, drawn with one letter per cell and its share in tenths.
    fn look(rows: [&str; 4], area_min_mm2: f32, frame: (u32, u32)) -> (SegmentLooker, Vec<Finding>) {
        let mut values = vec![0.0; 3 * 32];
        for (cell, letter) in rows.concat().chars().enumerate() {
            let (label, share) = match letter {
                'S' => (1, 0.9),
                's' => (1, 0.6),
                'd' => (2, 0.7),
                '?' => (2, 0.4),
                _ => (0, 0.8),
            };
            values[label * 32 + cell] = share;
        }
        let labels = ["good", "scratch", "dent"].map(str::to_owned).to_vec();
        let (map, activation) = ("map".to_owned(), Activation::None);
        let rules = Segment { map, labels, activation, stride: 8, floor: 0.5, area_min_mm2, findings_max: 10 };
        let class = |name: &str| ClassEntry { name: name.to_owned(), threshold: 0.5 };
        let mut looker = SegmentLooker::new(rules, &[class("scratch"), class("dent")], 0.5);
        let found = looker.findings(&[Output { shape: &[1, 3, 4, 8], values: &values }], &geometry(frame, &layout())).unwrap();
        (looker, found)
    }

    fn finding(class: u8, score: f32, [x1, y1, x2, y2]: [f32; 4], area_mm2: f32) -> Finding {
        Finding { class: ClassId(class), score, bounds: PixelBox { x1, y1, x2, y2 }, area_mm2: Some(area_mm2), camera: 0 }
    }

    #[test]
    fn regions_have_the_box_the_area_and_the_score_computed_by_hand() {
        // The first scratch touches its last cell over a corner; `?` is below the floor; a dent beside a scratch is its own.
        let rows = ["ss......", ".Sd.....", "..s...?.", "......dd"];
        let (looker, found) = look(rows, 0.0, (64, 32));
        // A cell has 64 pixels of 0.25 mm².
        let want = [finding(1, 0.9, [0.0, 0.0, 24.0, 24.0], 64.0), finding(2, 0.7, [16.0, 8.0, 24.0, 16.0], 16.0)];
        assert_eq!(found[..2], want);
        assert_eq!(found[2], finding(2, 0.7, [48.0, 24.0, 64.0, 32.0], 32.0));
        assert_eq!(found.len(), 3);
        let map = looker.class_map().unwrap();
        assert_eq!([map.at(15, 7), map.at(16, 7), map.at(23, 15), map.at(52, 20)], [Some(ClassId(1)), None, Some(ClassId(2)), None]);
        assert_eq!([map.at(64, 0), map.at(0, 32)], [None, None], "beside the frame");
    }

    #[test]
    fn what_is_small_or_beside_the_frame_is_no_finding() {
        let rows = ["s.......", "......SS", "......SS", "SSSSSSSS"];
        // A frame of 50 x 20 ends within the seventh column and the third row.
        let (_, found) = look(rows, 5.0, (50, 20));
        let want = [finding(1, 0.9, [48.0, 8.0, 50.0, 20.0], 6.0), finding(1, 0.6, [0.0, 0.0, 8.0, 8.0], 16.0)];
        assert_eq!(found, want);
        assert_eq!(look(rows, 6.5, (50, 20)).1, want[1..]);
    }
}
