//! Board designs: which pads, vias, traces and copper areas a faultless board has.
//!
//! Invariants: designs are numbered and never depend on the run's seed (a product does not change with the shift); every
//! design keeps at least about 6 pixels between pieces of copper that are not connected.

use super::field::{Field, Point, SIDE, Shape, coordinate};
use super::random::Random;
use std::collections::BTreeSet;

/// A straight piece of trace, away from the pads at its ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) from: Point,
    pub(crate) to: Point,
    pub(crate) half: f32,
}

/// The copper of one product.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) field: Field,
    pub(crate) traces: Vec<Trace>,
    /// Where there is no copper within a pad, a via or an area.
    pub(crate) holes: Vec<Shape>,
}

/// What a family of boards looks like. Lengths in pixels.
#[derive(Debug, Clone, Copy)]
struct Style {
    pitch: f32,
    trace_half: (f32, f32),
    pad: Pad,
    pad_half: f32,
    nets: usize,
    areas: usize,
    single_pads: f32,
    number: u64,
}

#[derive(Debug, Clone, Copy)]
enum Pad {
    Ring,
    Plate,
    Via,
}

/// From dense signal boards to power boards with wide copper, as in the pictures the model was trained on (48 pixels per mm).
const STYLES: [Style; 6] = [
    Style { pitch: 60.0, trace_half: (3.5, 4.0), pad: Pad::Ring, pad_half: 25.0, nets: 20, areas: 0, single_pads: 0.25, number: 1 },
    Style { pitch: 46.0, trace_half: (6.5, 8.0), pad: Pad::Plate, pad_half: 16.0, nets: 16, areas: 1, single_pads: 0.12, number: 2 },
    Style { pitch: 38.0, trace_half: (3.5, 4.5), pad: Pad::Via, pad_half: 13.0, nets: 30, areas: 1, single_pads: 0.06, number: 3 },
    Style { pitch: 58.0, trace_half: (9.0, 12.0), pad: Pad::Plate, pad_half: 22.0, nets: 7, areas: 5, single_pads: 0.05, number: 4 },
    Style { pitch: 50.0, trace_half: (5.0, 7.0), pad: Pad::Via, pad_half: 17.0, nets: 14, areas: 3, single_pads: 0.08, number: 5 },
    Style { pitch: 64.0, trace_half: (7.0, 9.0), pad: Pad::Ring, pad_half: 24.0, nets: 8, areas: 2, single_pads: 0.05, number: 6 },
];

/// How many designs there are.
pub const DESIGNS: usize = STYLES.len();

/// Draws design `index` (taken modulo `DESIGNS`).
pub(crate) fn draw(index: usize) -> Layout {
    let mut router = Router::new(STYLES[index % DESIGNS]);
    for _ in 0..router.style.areas {
        router.area();
    }
    for _ in 0..router.style.nets {
        router.net();
    }
    router.single_pads();
    router.finish()
}

type Node = (i32, i32);

const STEPS: [Node; 8] = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)];

/// Lays copper on a lattice: a node belongs to one net, diagonals never cross. That keeps the distances without measuring.
struct Router {
    style: Style,
    random: Random,
    nodes: i32,
    taken: BTreeSet<Node>,
    diagonals: BTreeSet<Node>,
    copper: Vec<Shape>,
    holes: Vec<Shape>,
    traces: Vec<Trace>,
}

impl Router {
    fn new(style: Style) -> Self {
        let mut nodes = 1;
        let mut reach = style.pitch;
        while reach < coordinate(SIDE) {
            nodes += 1;
            reach += style.pitch;
        }
        let random = Random::new(0x0B0A_2D5D, style.number);
        let (taken, diagonals) = (BTreeSet::new(), BTreeSet::new());
        Self { style, random, nodes, taken, diagonals, copper: Vec::new(), holes: Vec::new(), traces: Vec::new() }
    }

    fn place(&self, node: Node) -> Point {
        let along = |n: i32| (f32::from(i16::try_from(n).unwrap_or(0)) + 0.5) * self.style.pitch;
        Point::new(along(node.0), along(node.1))
    }

    fn any_node(&mut self) -> Node {
        let count = usize::try_from(self.nodes).unwrap_or(1);
        let mut pick = || i32::try_from(self.random.below(count)).unwrap_or(0);
        (pick(), pick())
    }

    /// Nets may leave the picture by one step, as traces do in a picture of a part of a board.
    fn within(&self, node: Node) -> bool {
        let inside = |n: i32| (-1..=self.nodes).contains(&n);
        inside(node.0) && inside(node.1)
    }

    /// A wide piece of copper with holes in it.
    fn area(&mut self) {
        for _ in 0..30 {
            let (left, top) = self.any_node();
            let mut size = || i32::try_from(self.random.below(3)).unwrap_or(0) + 1;
            let (right, bottom) = (left + size(), top + size());
            let cells: Vec<Node> = (left..=right).flat_map(|x| (top..=bottom).map(move |y| (x, y))).collect();
            if cells.iter().any(|cell| self.taken.contains(cell)) {
                continue;
            }
            let (low, high) = (self.place((left, top)), self.place((right, bottom)));
            let centre = Point::new((low.x + high.x) / 2.0, (low.y + high.y) / 2.0);
            let rim = self.style.pitch * 0.3;
            let half = Point::new((high.x - low.x) / 2.0 + rim, (high.y - low.y) / 2.0 + rim);
            if self.random.chance(0.2) {
                let radius = half.x.min(half.y);
                self.copper.push(Shape::Disc { centre, radius });
            } else {
                let corner = self.random.between(2.0, rim);
                self.copper.push(Shape::Plate { centre, half, corner });
            }
            for cell in cells {
                if self.random.chance(0.2) {
                    let radius = self.random.between(8.0, 12.0);
                    self.holes.push(Shape::Disc { centre: self.place(cell), radius });
                }
                self.taken.insert(cell);
            }
            return;
        }
    }

    /// Two pads and a trace of straight and diagonal steps between them.
    fn net(&mut self) {
        for _ in 0..30 {
            let start = self.any_node();
            if self.taken.contains(&start) {
                continue;
            }
            let length = 3 + self.random.below(7);
            let mut heading = self.random.below(8);
            let mut path = vec![start];
            while path.len() < length {
                let Some((next, turned)) = self.step(&path, heading) else { break };
                heading = turned;
                path.push(next);
            }
            if path.len() >= 3 {
                self.lay(&path);
                return;
            }
        }
    }

    fn step(&mut self, path: &[Node], heading: usize) -> Option<(Node, usize)> {
        let here = *path.last()?;
        let first = match self.random.below(10) {
            0 | 1 => 1,
            2 | 3 => 7,
            _ => 0,
        };
        [first, 0, 1, 7].into_iter().find_map(|turn| {
            let heading = (heading + turn) % 8;
            let (dx, dy) = STEPS[heading];
            let next = (here.0 + dx, here.1 + dy);
            let crossing = dx != 0 && dy != 0 && self.diagonals.contains(&cell_of(here, next));
            let free = self.within(next) && !self.taken.contains(&next) && !path.contains(&next) && !crossing;
            free.then_some((next, heading))
        })
    }

    fn lay(&mut self, path: &[Node]) {
        let half = self.random.between(self.style.trace_half.0, self.style.trace_half.1);
        for pair in path.windows(2) {
            let (from, to) = (self.place(pair[0]), self.place(pair[1]));
            self.copper.push(Shape::Stroke { from, to, half });
            self.traces.push(Trace { from, to, half });
            if pair[0].0 != pair[1].0 && pair[0].1 != pair[1].1 {
                self.diagonals.insert(cell_of(pair[0], pair[1]));
            }
        }
        self.taken.extend(path);
        for end in [path[0], path[path.len() - 1]] {
            self.pad(end);
        }
    }

    fn pad(&mut self, node: Node) {
        let centre = self.place(node);
        let half = self.style.pad_half;
        match self.style.pad {
            Pad::Ring => {
                self.copper.push(Shape::Disc { centre, radius: half });
                self.holes.push(Shape::Disc { centre: centre.towards(Point::new(0.0, -1.0), 2.0), radius: half * 0.66 });
            }
            Pad::Plate => {
                let narrow = half * self.random.between(0.65, 1.0);
                let half = if self.random.chance(0.5) { Point::new(half, narrow) } else { Point::new(narrow, half) };
                let corner = self.random.between(1.0, 6.0);
                self.copper.push(Shape::Plate { centre, half, corner });
            }
            Pad::Via => {
                self.copper.push(Shape::Disc { centre, radius: half });
                if self.random.chance(0.5) {
                    self.holes.push(Shape::Disc { centre, radius: half * 0.55 });
                }
            }
        }
    }

    fn single_pads(&mut self) {
        for x in 0..self.nodes {
            for y in 0..self.nodes {
                let share = self.style.single_pads;
                if !self.taken.contains(&(x, y)) && self.random.chance(share) {
                    self.taken.insert((x, y));
                    self.pad((x, y));
                }
            }
        }
    }

    fn finish(self) -> Layout {
        let mut field = Field::bare();
        for shape in &self.copper {
            field.add(shape);
        }
        for shape in &self.holes {
            field.cut(shape);
        }
        Layout { field, traces: self.traces, holes: self.holes }
    }
}

/// The lattice cell a diagonal step runs through, by its lower corner.
fn cell_of(a: Node, b: Node) -> Node {
    (a.0.min(b.0), a.1.min(b.1))
}
