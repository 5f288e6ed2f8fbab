//! The six kinds of defects, put where such a defect can be: an open across a trace, a short between two pieces of copper,
//! a mousebite and a spur at an edge, spurious copper on the bare board, a pin-hole inside copper.
//!
//! Everything here is in the coordinates of the board under test, not of the golden board.

use super::field::{Field, Point, SIDE, Shape, coordinate, pixel};
use super::random::Random;
use std::ops::Range;

/// Kinds of defects, in the order of the model's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A trace is cut.
    Open,
    /// Copper connects what must not be connected.
    Short,
    /// A bite out of an edge.
    Mousebite,
    /// Copper sticks out of an edge.
    Spur,
    /// Copper where none belongs.
    SpuriousCopper,
    /// A hole in copper.
    PinHole,
}

impl Kind {
    /// All kinds; the class number of a kind is its position here plus 1.
    pub const ALL: [Self; 6] = [Self::Open, Self::Short, Self::Mousebite, Self::Spur, Self::SpuriousCopper, Self::PinHole];

    /// The class number: 1 for `Open` … 6 for `PinHole`.
    #[must_use]
    pub const fn class(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Short => 2,
            Self::Mousebite => 3,
            Self::Spur => 4,
            Self::SpuriousCopper => 5,
            Self::PinHole => 6,
        }
    }

    const fn adds_copper(self) -> bool {
        matches!(self, Self::Short | Self::Spur | Self::SpuriousCopper)
    }
}

/// Copper added to or taken from a board: a chain of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Flaw {
    pub(crate) kind: Kind,
    blobs: Vec<Shape>,
}

impl Flaw {
    /// Signed distance to the edge of the flaw.
    fn distance(&self, p: Point) -> f32 {
        self.blobs.iter().map(|blob| blob.distance(p)).fold(f32::INFINITY, f32::min)
    }

    /// The copper after the flaw, from the copper before it.
    pub(crate) fn apply(&self, copper: f32, p: Point) -> f32 {
        if self.kind.adds_copper() { copper.min(self.distance(p)) } else { copper.max(-self.distance(p)) }
    }

    /// Columns and rows that the flaw may change.
    pub(crate) fn extent(&self) -> (Range<usize>, Range<usize>) {
        let join = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        let extents = self.blobs.iter().map(|blob| blob.extent(4.0));
        extents.reduce(|a, b| (join(a.0, b.0), join(a.1, b.1))).unwrap_or((0..0, 0..0))
    }
}

/// The board a flaw is put on: the golden copper as it lies under the camera.
pub(crate) struct Ground<'a> {
    pub(crate) copper: &'a Field,
    pub(crate) traces: &'a [super::design::Trace],
    pub(crate) holes: &'a [Shape],
    pub(crate) shift: Point,
}

/// Flaws keep this far from the edge of the picture, so that each can be seen whole.
const RIM: f32 = 36.0;

/// Tries before a kind is given up on a board that has no place for it.
const TRIES: usize = 400;

impl Ground<'_> {
    /// Puts one flaw of this kind somewhere; `None` if the board has no place for it.
    pub(crate) fn flaw(&self, kind: Kind, random: &mut Random) -> Option<Flaw> {
        (0..TRIES).find_map(|_| {
            let blobs = match kind {
                Kind::Open => self.open(random),
                Kind::Short => self.short(random),
                Kind::Mousebite => self.mousebite(random),
                Kind::Spur => self.spur(random),
                Kind::SpuriousCopper => self.spurious_copper(random),
                Kind::PinHole => self.pin_hole(random),
            }?;
            Some(Flaw { kind, blobs })
        })
    }

    fn at(&self, p: Point) -> f32 {
        self.copper.at(Point::new(p.x + self.shift.x, p.y + self.shift.y))
    }

    fn somewhere(random: &mut Random) -> Point {
        let last = coordinate(SIDE) - RIM;
        Point::new(random.between(RIM, last), random.between(RIM, last))
    }

    /// A point on an edge of copper and the direction out of it.
    fn edge(&self, random: &mut Random) -> Option<(Point, Point)> {
        let start = Self::somewhere(random);
        let away = self.at(start);
        if !(2.0..26.0).contains(&away) {
            return None;
        }
        let out = self.copper.outward(Point::new(start.x + self.shift.x, start.y + self.shift.y))?;
        let edge = start.towards(out, -away);
        let along = out.turned();
        let straight = [-6.0, 6.0].iter().all(|d| self.at(edge.towards(along, *d)).abs() < 1.5);
        (straight && self.at(edge).abs() < 0.8 && on_board(edge)).then_some((edge, out))
    }

    /// Pixels one can go from `from` in `direction` until copper ends (`copper`) or begins, at most `limit`.
    fn run(&self, from: Point, direction: Point, copper: bool, limit: f32) -> f32 {
        let mut gone = 1.5;
        while gone < limit && (self.at(from.towards(direction, gone)) < 0.0) == copper {
            gone += 0.5;
        }
        gone
    }

    fn open(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let trace = self.traces.get(random.below(self.traces.len().max(1)))?;
        let way = trace.to.minus(trace.from);
        let along = way.unit()?;
        let p = trace.from.towards(along, way.length() * random.unit());
        let middle = Point::new(p.x - self.shift.x, p.y - self.shift.y);
        let across = along.turned();
        let beyond = trace.half + 4.0;
        let plain = self.at(middle) > -trace.half * 1.2 && [-beyond, beyond].iter().all(|d| self.at(middle.towards(across, *d)) > 2.5);
        if !plain || !on_board(middle) {
            return None;
        }
        let half = random.between(2.4, 5.0);
        let slant = random.between(-0.4, 0.4) * trace.half;
        let end = |side: f32| middle.towards(across, side * (trace.half + 2.0)).towards(along, side * slant);
        Some(chain(end(-1.0), end(1.0), half, random))
    }

    fn short(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let (edge, out) = self.edge(random)?;
        let gap = self.run(edge, out, false, 60.0);
        if !(7.0..60.0).contains(&gap) {
            return None;
        }
        // Across a hole copper would be joined to itself.
        let middle = edge.towards(out, gap * 0.5);
        let middle = Point::new(middle.x + self.shift.x, middle.y + self.shift.y);
        if self.holes.iter().any(|hole| hole.distance(middle) < 0.0) {
            return None;
        }
        let far = edge.towards(out, gap + 2.0);
        on_board(far).then(|| {
            let half = random.between(1.8, 3.6);
            chain(edge.towards(out, -2.0), far, half, random)
        })
    }

    fn mousebite(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let (edge, out) = self.edge(random)?;
        let thick = self.run(edge, out, true, 0.0).max(self.run(edge, Point::new(-out.x, -out.y), true, 40.0));
        let depth = random.between(5.0, 9.5).min(thick * 0.6);
        if depth < 4.6 {
            return None;
        }
        let radius = random.between(4.0, 6.5);
        let centre = edge.towards(out, radius - depth);
        let reach = random.between(1.0, 4.0);
        let along = out.turned();
        Some(chain(centre.towards(along, -reach), centre.towards(along, reach), radius, random))
    }

    fn spur(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let (edge, out) = self.edge(random)?;
        let room = self.run(edge, out, false, 40.0);
        let half = random.between(2.0, 3.5);
        let length = random.between(7.0, 15.0).min(room * 0.55);
        if length - half < 3.0 {
            return None;
        }
        let lean = random.between(-0.4, 0.4) * length;
        let tip = edge.towards(out, length - half).towards(out.turned(), lean);
        (self.at(tip) > half + 0.5).then(|| chain(edge.towards(out, -2.0), tip, half, random))
    }

    fn spurious_copper(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let (ends, half) = worm(random, (2.0, 14.0), (2.4, 4.5))?;
        let clear = ends.iter().all(|p| self.at(*p) > half + 5.0);
        clear.then(|| chain(ends[0], ends[1], half, random))
    }

    fn pin_hole(&self, random: &mut Random) -> Option<Vec<Shape>> {
        let (ends, half) = worm(random, (0.0, 9.0), (2.2, 4.2))?;
        let inside = ends.iter().all(|p| self.at(*p) < -(half + 3.0));
        inside.then(|| chain(ends[0], ends[1], half, random))
    }
}

/// Two ends of a short line somewhere on the board, and its half width.
fn worm(random: &mut Random, length: (f32, f32), half: (f32, f32)) -> Option<([Point; 2], f32)> {
    let start = Ground::somewhere(random);
    let direction = Point::new(random.between(-1.0, 1.0), random.between(-1.0, 1.0)).unit()?;
    let end = start.towards(direction, random.between(length.0, length.1));
    on_board(end).then(|| ([start, end], random.between(half.0, half.1)))
}

fn on_board(p: Point) -> bool {
    let inside = |c: f32| (RIM..coordinate(SIDE) - RIM).contains(&c);
    inside(p.x) && inside(p.y)
}

/// A crooked line of uneven width between two points.
fn chain(from: Point, to: Point, half: f32, random: &mut Random) -> Vec<Shape> {
    let way = to.minus(from);
    let side = way.turned();
    let links = 1 + pixel(way.length() / 6.0);
    let mut previous = from;
    (1..=links)
        .map(|link| {
            let share = coordinate(link) / coordinate(links);
            let straight = from.towards(way, share);
            let bend = if link == links { 0.0 } else { random.between(-0.12, 0.12) };
            let next = straight.towards(side, bend);
            let shape = Shape::Stroke { from: previous, to: next, half: half * random.between(0.85, 1.2) };
            previous = next;
            shape
        })
        .collect()
}
