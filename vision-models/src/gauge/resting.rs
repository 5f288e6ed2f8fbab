//! From the outline of a headed part that lies on a table to its true sizes.
//!
//! The camera is a pinhole above the table; the rule's scale and its slope give its tilt, `standoff_mm` its distance. The part
//! is nearer to the camera than the table and looks larger; it rests on the rim of its head and the end of its shank, so its
//! axis is tilted and its ends are seen as ellipses. A part of given sizes is projected (every ring of its profile as points),
//! compared with the outline that was seen, and its sizes are corrected until both agree: fixed-point iteration, which
//! converges because each size moves mostly the one width or end that corrects it.
//!
//! Invariant: what comes out is finite and reproduces the outline, or there is no result.

use super::geometry::Point;
use super::outline::{EndEdge, Outline};
use super::plan::HeadedPin;
use super::scale::Scale;
use std::f64::consts::TAU;

/// Points of a projected ring.
const RING: u32 = 120;

/// Iterations; the outline agrees to a thousandth of a pixel after about eight.
const ROUNDS: u32 = 25;

type Space = [f64; 3];

fn dot(a: Space, b: Space) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn sum(a: Space, b: Space, factor: f64) -> Space {
    [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]]
}

fn cross(a: Space, b: Space) -> Space {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: Space) -> Space {
    let length = dot(a, a).sqrt();
    a.map(|value| value / length)
}

/// A pinhole above the table. World coordinates lie on the table, z towards the camera, in millimetres.
#[derive(Debug, Clone, Copy)]
struct Pinhole {
    /// Where the optical axis meets the picture.
    centre: Point,
    /// Focal length in pixels.
    focal: f64,
    /// From the pinhole to the table, of length 1, in camera coordinates.
    down: Space,
    /// Distance from the pinhole to the table.
    height: f64,
    x: Space,
    y: Space,
}

impl Pinhole {
    fn new(scale: &Scale, centre: Point, pin: &HeadedPin) -> Self {
        let here = scale.at(centre);
        let focal = pin.standoff_mm * here;
        // A plane at depth Z has focal / Z pixels per millimetre, and 1 / Z is linear in the picture.
        let plane = [scale.slope.x, scale.slope.y, here / focal];
        let length = dot(plane, plane).sqrt();
        let down = plane.map(|value| value / length);
        let x = unit(sum([1.0, 0.0, 0.0], down, -down[0]));
        Self { centre, focal, down, height: 1.0 / length + pin.datum_height_mm, x, y: cross(down, x) }
    }

    fn project(&self, point: Space) -> Point {
        let flat = sum([0.0; 3], self.x, point[0]);
        let flat = sum(flat, self.y, point[1]);
        let seen = sum(flat, self.down, self.height - point[2]);
        self.centre + Point::new(seen[0], seen[1]) * (self.focal / seen[2])
    }

    /// The table coordinates of what is seen at a place and lies `z` above the table.
    fn back(&self, place: Point, z: f64) -> (f64, f64) {
        let arm = (place - self.centre) * (1.0 / self.focal);
        let ray = [arm.x, arm.y, 1.0];
        let ray = ray.map(|value| value * (self.height - z) / dot(ray, self.down));
        (dot(ray, self.x), dot(ray, self.y))
    }
}

/// Sizes of a headed part in millimetres, and how it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    /// From the head's free end to the shank's.
    pub(crate) length: f64,
    pub(crate) head_diameter: f64,
    /// Over the crests.
    pub(crate) shank_diameter: f64,
    pub(crate) head_height: f64,
    /// Of the axis against the table, in radians.
    pub(crate) tilt: f64,
}

/// What is seen of a part of some sizes, in the outline's coordinates.
struct Seen {
    head: f64,
    tail: f64,
    shoulder: f64,
    head_sides: (f64, f64),
    shank_sides: (f64, f64),
}

/// How the part lies: where its axis begins on the table, and which way it points.
#[derive(Clone, Copy)]
struct Pose {
    x: f64,
    y: f64,
    turn: f64,
}

fn tilt(sizes: &Sizes, pin: &HeadedPin) -> f64 {
    let (head, shank) = (sizes.head_diameter / 2.0, sizes.shank_diameter / 2.0);
    let rim = sizes.head_height - pin.collar * sizes.shank_diameter;
    let lever = sizes.length - pin.end_break * sizes.shank_diameter - rim;
    pin.rest_share * (head - shank).atan2(lever.max(0.5 * sizes.shank_diameter))
}

struct Body {
    axis: Space,
    side: Space,
    up: Space,
    begin: Space,
}

impl Body {
    fn new(sizes: &Sizes, pose: Pose, pin: &HeadedPin) -> Self {
        let (sin, cos) = sizes.tilt.sin_cos();
        let axis = [pose.turn.cos() * cos, pose.turn.sin() * cos, -sin];
        let side = [-pose.turn.sin(), pose.turn.cos(), 0.0];
        let up = cross(axis, side);
        let rim = sizes.head_height - pin.collar * sizes.shank_diameter;
        // The head's rim touches the table.
        let z = sizes.head_diameter / 2.0 * up[2] - rim * axis[2];
        Self { axis, side, up, begin: [pose.x, pose.y, z] }
    }

    /// The ring of the profile at `at` from the head's end, in the outline's coordinates (along, across).
    fn ring(&self, camera: &Pinhole, outline: &Outline, at: f64, radius: f64) -> Vec<(f64, f64)> {
        let across = outline.along.turned();
        let point = |n: u32| {
            let (sin, cos) = (TAU * f64::from(n) / f64::from(RING)).sin_cos();
            let place = sum(sum(sum(self.begin, self.axis, at), self.up, radius * cos), self.side, radius * sin);
            let seen = camera.project(place) - outline.origin;
            (seen.dot(outline.along), seen.dot(across))
        };
        (0..RING).map(point).collect()
    }
}

/// How far a ring reaches along the axis at `across`, in the direction of `sign`; `None` beside it.
fn reach(ring: &[(f64, f64)], across: f64, sign: f64) -> Option<f64> {
    let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
    let cuts = pairs.filter_map(|(a, b)| {
        let (before, after) = (across - a.1, across - b.1);
        (before * after <= 0.0 && a.1 != b.1).then(|| a.0 + (b.0 - a.0) * before / (b.1 - a.1))
    });
    cuts.max_by(|a, b| (sign * a).total_cmp(&(sign * b)))
}

fn sides(ring: &[(f64, f64)]) -> (f64, f64) {
    ring.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| (low.min(place.1), high.max(place.1)))
}

/// The median difference between the seen edge of an end and the projected rings.
fn gap(end: &EndEdge, rings: &[Vec<(f64, f64)>], sign: f64) -> Option<f64> {
    let gaps: Vec<f64> = end
        .iter()
        .filter_map(|(across, seen)| {
            let far = rings.iter().filter_map(|ring| reach(ring, *across, sign)).max_by(|a, b| (sign * a).total_cmp(&(sign * b)))?;
            Some(seen - far)
        })
        .collect();
    super::geometry::median(&gaps)
}

fn project(camera: &Pinhole, outline: &Outline, sizes: &Sizes, pose: Pose, pin: &HeadedPin) -> Option<Seen> {
    let body = Body::new(sizes, pose, pin);
    let (head, shank) = (sizes.head_diameter / 2.0, sizes.shank_diameter / 2.0);
    let (face, end) = (pin.head_break * sizes.shank_diameter, pin.end_break * sizes.shank_diameter);
    let ring = |at: f64, radius: f64| body.ring(camera, outline, at, radius);
    let rim = ring(sizes.head_height, head);
    let head_rings = [ring(0.0, head - face), ring(face, head), rim.clone()];
    let tail_rings = [ring(sizes.length - end, shank), ring(sizes.length, shank - end)];
    let head_sides = sides(&ring((face + sizes.head_height) / 2.0, head));
    let shank_sides = sides(&ring((sizes.head_height + sizes.length) / 2.0, shank));
    let quarter = (head_sides.1 - head_sides.0 + shank_sides.1 - shank_sides.0) / 4.0;
    let middle = (head_sides.0 + head_sides.1) / 2.0;
    let shoulder = (reach(&rim, middle - quarter, 1.0)? + reach(&rim, middle + quarter, 1.0)?) / 2.0;
    let (head, tail) = (gap(&outline.head, &head_rings, -1.0)?, gap(&outline.tail, &tail_rings, 1.0)?);
    Some(Seen { head, tail, shoulder, head_sides, shank_sides })
}

/// The sizes whose projection is the outline; `None` where the iteration finds none.
fn solve(outline: &Outline, scale: &Scale, centre: Point, pin: &HeadedPin) -> Option<Sizes> {
    let camera = Pinhole::new(scale, centre, pin);
    let per_mm = scale.at(outline.origin);
    let (head, tail) = (Outline::middle(&outline.head), Outline::middle(&outline.tail));
    let mut sizes = Sizes {
        length: (tail - head) / per_mm,
        head_diameter: outline.head_width.value / per_mm,
        shank_diameter: outline.shank_width.value / per_mm,
        head_height: (outline.shoulder - head) / per_mm,
        tilt: 0.0,
    };
    let (x, y) = camera.back(outline.origin + outline.along * head, sizes.head_diameter / 2.0);
    let end = camera.back(outline.origin + outline.along * tail, sizes.shank_diameter / 2.0);
    let mut pose = Pose { x, y, turn: (end.1 - y).atan2(end.0 - x) };
    let mut rest = f64::INFINITY;
    for _ in 0..ROUNDS {
        sizes.tilt = tilt(&sizes, pin);
        let seen = project(&camera, outline, &sizes, pose, pin)?;
        let wide = |sides: (f64, f64)| sides.1 - sides.0;
        let off = |sides: (f64, f64)| (sides.0 + sides.1) / 2.0;
        let head_off = outline.head_width.value - wide(seen.head_sides);
        let shank_off = outline.shank_width.value - wide(seen.shank_sides);
        let shoulder_off = outline.shoulder - seen.shoulder;
        sizes.length += (seen.tail - seen.head) / per_mm;
        sizes.head_diameter += head_off / per_mm;
        sizes.shank_diameter += shank_off / per_mm;
        sizes.head_height += 0.7 * (shoulder_off - seen.head) / per_mm;
        let shift = outline.along * seen.head - outline.along.turned() * off(seen.head_sides);
        (pose.x, pose.y) = (pose.x + shift.x / per_mm, pose.y + shift.y / per_mm);
        pose.turn += (off(seen.head_sides) - off(seen.shank_sides)) / (0.6 * (tail - head));
        rest = [seen.head, seen.tail, head_off, shank_off].into_iter().fold(0.0, |most: f64, off| most.max(off.abs()));
    }
    let whole = [sizes.length, sizes.head_diameter, sizes.shank_diameter, sizes.head_height, sizes.tilt];
    (rest < 0.05 && whole.iter().all(|value| value.is_finite())).then_some(sizes)
}

/// The sizes, and what they would be with each constant of the pose moved by its own standard uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Solved {
    pub(crate) sizes: Sizes,
    moved: [Sizes; 3],
}

impl Solved {
    pub(crate) fn new(outline: &Outline, scale: &Scale, centre: Point, pin: &HeadedPin) -> Option<Self> {
        let solve = |pin: HeadedPin| solve(outline, scale, centre, &pin);
        let moved = [
            solve(HeadedPin { standoff_mm: pin.standoff_mm * (1.0 + pin.standoff_relative_uncertainty), ..*pin })?,
            solve(HeadedPin { datum_height_mm: pin.datum_height_mm + pin.datum_height_uncertainty_mm, ..*pin })?,
            solve(HeadedPin { rest_share: pin.rest_share + pin.rest_share_uncertainty, ..*pin })?,
        ];
        Some(Self { sizes: solve(*pin)?, moved })
    }

    /// Standard uncertainty of a size from the pose: root of the sum of squares of what each constant does (JCGM 100, 5.1.3).
    pub(crate) fn uncertainty(&self, size: fn(&Sizes) -> f64) -> f64 {
        self.moved.iter().map(|moved| (size(moved) - size(&self.sizes)).powi(2)).sum::<f64>().sqrt()
    }
}
