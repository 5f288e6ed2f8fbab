//! Copper as a signed distance field: how far each pixel is from the nearest edge of the copper.
//!
//! Invariants: negative inside copper, positive on the bare board, in pixels, clipped to ±`REACH`; exact near the edges of
//! single shapes, and never larger than the true distance where shapes overlap.

/// Width and height of a board in pixels, as in the pictures the model was trained on.
pub const SIDE: usize = 640;

/// Distances are not followed further than this.
pub(crate) const REACH: f32 = 28.0;

/// A point in pixels: x to the right, y down; pixel centres have whole coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Point {
    pub(crate) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// The point `distance` further in `direction`.
    pub(crate) fn towards(self, direction: Self, distance: f32) -> Self {
        Self { x: self.x + direction.x * distance, y: self.y + direction.y * distance }
    }

    /// Direction turned by a quarter.
    pub(crate) const fn turned(self) -> Self {
        Self { x: -self.y, y: self.x }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { x: self.x - other.x, y: self.y - other.y }
    }

    pub(crate) fn length(self) -> f32 {
        (self.x * self.x + self.y * self.y).sqrt()
    }

    /// Same direction, length 1; `None` if it has none.
    pub(crate) fn unit(self) -> Option<Self> {
        let length = self.length();
        (length > 1e-3).then(|| Self { x: self.x / length, y: self.y / length })
    }
}

/// A shape of copper, or of missing copper.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// A filled circle.
    Disc { centre: Point, radius: f32 },
    /// A line with round ends.
    Stroke { from: Point, to: Point, half: f32 },
    /// A rectangle with rounded corners.
    Plate { centre: Point, half: Point, corner: f32 },
}

impl Shape {
    /// Signed distance of a point to the edge of the shape.
    pub(crate) fn distance(&self, p: Point) -> f32 {
        match *self {
            Self::Disc { centre, radius } => p.minus(centre).length() - radius,
            Self::Stroke { from, to, half } => {
                let (way, q) = (to.minus(from), p.minus(from));
                let square = way.x * way.x + way.y * way.y;
                let t = if square > 0.0 { ((q.x * way.x + q.y * way.y) / square).clamp(0.0, 1.0) } else { 0.0 };
                p.minus(from.towards(way, t)).length() - half
            }
            Self::Plate { centre, half, corner } => {
                let d = p.minus(centre);
                let q = Point::new(d.x.abs() - half.x + corner, d.y.abs() - half.y + corner);
                let outside = Point::new(q.x.max(0.0), q.y.max(0.0)).length();
                outside + q.x.max(q.y).min(0.0) - corner
            }
        }
    }

    /// The pixels the shape and `margin` pixels around it may touch, as half-open ranges of columns and rows of a board.
    pub(crate) fn extent(&self, margin: f32) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (low, high) = match *self {
            Self::Disc { centre, radius } => {
                (Point::new(centre.x - radius, centre.y - radius), Point::new(centre.x + radius, centre.y + radius))
            }
            Self::Stroke { from, to, half } => {
                (Point::new(from.x.min(to.x) - half, from.y.min(to.y) - half), Point::new(from.x.max(to.x) + half, from.y.max(to.y) + half))
            }
            Self::Plate { centre, half, .. } => {
                (Point::new(centre.x - half.x, centre.y - half.y), Point::new(centre.x + half.x, centre.y + half.y))
            }
        };
        let range = |low: f32, high: f32| pixel(low - margin)..(pixel(high + margin) + 2).min(SIDE);
        (range(low.x, high.x), range(low.y, high.y))
    }
}

/// The pixel a coordinate lies in, kept on the board.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the board before the cast; NaN becomes 0")]
pub(crate) fn pixel(coordinate: f32) -> usize {
    coordinate.clamp(0.0, last_pixel()) as usize
}

/// The coordinate of a pixel's centre; exact, a board has 640 pixels a side.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^24")]
pub(crate) const fn coordinate(pixel: usize) -> f32 {
    pixel as f32
}

const fn last_pixel() -> f32 {
    coordinate(SIDE - 1)
}

/// The copper of one whole board.
#[derive(Debug, Clone)]
pub(crate) struct Field(Vec<f32>);

impl Field {
    /// A board without copper.
    pub(crate) fn bare() -> Self {
        Self(vec![REACH; SIDE * SIDE])
    }

    /// Adds copper.
    pub(crate) fn add(&mut self, shape: &Shape) {
        self.blend(shape, f32::min, 1.0);
    }

    /// Takes copper away.
    pub(crate) fn cut(&mut self, shape: &Shape) {
        self.blend(shape, f32::max, -1.0);
    }

    fn blend(&mut self, shape: &Shape, keep: impl Fn(f32, f32) -> f32, sign: f32) {
        let (columns, rows) = shape.extent(REACH);
        for row in rows {
            for column in columns.clone() {
                let there = &mut self.0[row * SIDE + column];
                let distance = sign * shape.distance(Point::new(coordinate(column), coordinate(row)));
                *there = keep(*there, distance).clamp(-REACH, REACH);
            }
        }
    }

    /// The field between pixels; beyond the board it goes on as at its edge.
    pub(crate) fn at(&self, p: Point) -> f32 {
        let (x, y) = (p.x.clamp(0.0, last_pixel()), p.y.clamp(0.0, last_pixel()));
        let (column, row) = (pixel(x).min(SIDE - 2), pixel(y).min(SIDE - 2));
        let (s, t) = (x - coordinate(column), y - coordinate(row));
        let base = row * SIDE + column;
        let top = self.0[base] * (1.0 - s) + self.0[base + 1] * s;
        let bottom = self.0[base + SIDE] * (1.0 - s) + self.0[base + SIDE + 1] * s;
        top * (1.0 - t) + bottom * t
    }

    /// One row of the board as a camera sees it that is `shift` off, into `out` (`SIDE` values).
    pub(crate) fn row_into(&self, row: usize, shift: Point, out: &mut [f32]) {
        let y = (coordinate(row) + shift.y).clamp(0.0, last_pixel());
        let upper = pixel(y).min(SIDE - 2);
        let t = y - coordinate(upper);
        let (rows, s) = (&self.0[upper * SIDE..(upper + 2) * SIDE], shift.x - shift.x.floor());
        let (first, second) = rows.split_at(SIDE);
        let mut blended = [0.0_f32; SIDE];
        for ((out, a), b) in blended.iter_mut().zip(first).zip(second) {
            *out = a * (1.0 - t) + b * t;
        }
        let whole = shift.x.floor();
        let source = |column: usize, ahead: f32| blended[pixel(coordinate(column) + whole + ahead)];
        // Misregistration is a pixel or two, so all but the outermost columns take the straight way.
        let straight = 4..SIDE - 4;
        let start = pixel(4.0 + whole);
        for (out, pair) in out[straight.clone()].iter_mut().zip(blended[start..].windows(2)) {
            *out = pair[0] * (1.0 - s) + pair[1] * s;
        }
        for column in (0..straight.start).chain(straight.end..SIDE) {
            out[column] = source(column, 0.0) * (1.0 - s) + source(column, 1.0) * s;
        }
    }

    /// The direction away from the nearest copper (or out of it), length 1; `None` where there is none.
    pub(crate) fn outward(&self, p: Point) -> Option<Point> {
        let slope = |dx: f32, dy: f32| self.at(Point::new(p.x + dx, p.y + dy)) - self.at(Point::new(p.x - dx, p.y - dy));
        Point::new(slope(1.5, 0.0), slope(0.0, 1.5)).unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_signed_and_exact_for_single_shapes() {
        let mut field = Field::bare();
        field.add(&Shape::Disc { centre: Point::new(100.0, 100.0), radius: 20.0 });
        assert!((field.at(Point::new(125.0, 100.0)) - 5.0).abs() < 1e-3);
        assert!((field.at(Point::new(100.0, 90.0)) + 10.0).abs() < 1e-3);
        field.cut(&Shape::Disc { centre: Point::new(100.0, 100.0), radius: 8.0 });
        assert!((field.at(Point::new(100.0, 95.0)) - 3.0).abs() < 1e-3);
        let out = field.outward(Point::new(121.0, 100.0)).unwrap();
        assert!((out.x - 1.0).abs() < 1e-2 && out.y.abs() < 1e-2);
    }

    #[test]
    fn a_shifted_row_is_the_field_between_pixels() {
        let mut field = Field::bare();
        field.add(&Shape::Stroke { from: Point::new(-5.0, 20.0), to: Point::new(700.0, 600.0), half: 9.0 });
        field.add(&Shape::Plate { centre: Point::new(300.0, 300.0), half: Point::new(40.0, 20.0), corner: 6.0 });
        let mut row = vec![0.0; SIDE];
        for shift in [Point::new(0.7, -1.3), Point::new(-1.2, 0.4), Point::new(0.0, 0.0), Point::new(-0.5, 1.0)] {
            for y in [0, 17, 300, 639] {
                field.row_into(y, shift, &mut row);
                for (x, got) in row.iter().enumerate() {
                    let want = field.at(Point::new(coordinate(x) + shift.x, coordinate(y) + shift.y));
                    assert!((got - want).abs() < 1e-3, "{x},{y}: {got} {want}");
                }
            }
        }
    }
}
