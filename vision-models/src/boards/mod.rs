//! Boards of our own: golden ones, and defective ones whose faults are known exactly.
//!
//! The real pictures the model was trained on may not be shipped, so the demonstration line, the golden folders and the
//! tests draw theirs: binary-like copper pictures of 640 x 640 pixels (copper dark, about 48 pixels per millimetre), each
//! misregistered by about a pixel, with ragged edges, over- or under-etched, unevenly lit and noisy.
//!
//! Invariants: a board depends on the seed and the piece alone, on every machine; its truth lists exactly the pixels that
//! differ from the same board without flaws; a good board has no flaw and a bad one at least one.

mod defect;
mod design;
mod field;
mod random;

pub use defect::Kind;
pub use design::DESIGNS;
pub use field::SIDE;

use crate::picture::Picture;
use crate::score::TruthBox;
use defect::{Flaw, Ground};
use design::Layout;
use field::{Point, coordinate};
use random::{Random, mix, smooth_noise};
use station::inspection::{ClassId, PixelBox};
use station::piece::PieceId;
use std::sync::Arc;

/// Boxes of known faults are drawn this many pixels around the changed pixels, as the annotators of DeepPCB drew theirs.
pub const TRUTH_MARGIN: f32 = 9.0;

/// Width and height of a board in pixels.
pub const BOARD_SIDE: u32 = 640;

/// What the drawn boards are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardSettings {
    /// Where the random numbers start.
    pub seed: u64,
    /// Share of boards with faults, 0…1.
    pub bad_share: f32,
    /// A bad board has one to this many faults.
    pub flaws_max: usize,
    /// Grey levels of noise on every pixel, at most ±3; 0 for pictures that compress well.
    pub noise: u8,
}

impl Default for BoardSettings {
    fn default() -> Self {
        Self { seed: 1, bad_share: 0.10, flaws_max: 3, noise: 3 }
    }
}

/// Draws boards. Cheap to share between threads behind an `Arc`.
#[derive(Debug)]
pub struct Boards {
    settings: BoardSettings,
    layouts: Vec<Layout>,
    goldens: Vec<Arc<Picture>>,
}

/// Everything that tells one board from the golden one.
#[derive(Debug)]
struct Plan {
    design: usize,
    shift: Point,
    etch: f32,
    ragged: Ragged,
    light: Light,
    flaws: Vec<Flaw>,
    truth: Vec<TruthBox>,
    noise: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ragged {
    salt: u64,
    fine: f32,
    coarse: f32,
}

impl Ragged {
    /// How far the edge is off at a point, in pixels.
    fn at(self, x: f32, y: f32) -> f32 {
        self.fine * smooth_noise(self.salt, 2.7, x, y) + self.coarse * smooth_noise(self.salt ^ 0x5A5A, 11.0, x, y)
    }
}

/// Grey level of the bare board and of copper at the middle of the picture, and how the light falls off, per picture side.
#[derive(Debug, Clone, Copy)]
struct Light {
    bare: f32,
    copper: f32,
    fall: Point,
}

const EVEN_LIGHT: Light = Light { bare: 255.0, copper: 0.0, fall: Point::new(0.0, 0.0) };

/// Edges are only followed this far; beyond it a pixel is all copper or all bare board.
const EDGE: f32 = 3.0;

impl Boards {
    /// Draws the golden boards and keeps them.
    ///
    /// # Errors
    /// Never in practice; a golden picture is built by the same checks as any other picture.
    pub fn new(settings: BoardSettings) -> Result<Self, crate::picture::PictureError> {
        let layouts: Vec<Layout> = (0..DESIGNS).map(design::draw).collect();
        let goldens = layouts.iter().map(|layout| golden_picture(layout).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { settings, layouts, goldens })
    }

    /// The settings the boards are drawn with.
    #[must_use]
    pub const fn settings(&self) -> &BoardSettings {
        &self.settings
    }

    /// The golden board a piece is compared with.
    #[must_use]
    pub fn golden(&self, piece: PieceId) -> &Arc<Picture> {
        &self.goldens[self.design_of(piece)]
    }

    /// The faults of a piece: exactly where it differs from a faultless board, and by what. Empty for a good one.
    #[must_use]
    pub fn truth(&self, piece: PieceId) -> Vec<TruthBox> {
        self.plan(piece).truth
    }

    /// Draws a piece into `out`, `SIDE * SIDE` bytes; shorter buffers get as many rows as fit.
    pub fn draw(&self, piece: PieceId, out: &mut [u8]) {
        self.render(&self.plan(piece), out);
    }

    /// Draws the same piece as if nothing had gone wrong with its copper.
    pub fn draw_faultless(&self, piece: PieceId, out: &mut [u8]) {
        let plan = self.plan(piece);
        self.render(&Plan { flaws: Vec::new(), ..plan }, out);
    }

    fn design_of(&self, piece: PieceId) -> usize {
        Random::new(self.settings.seed ^ 0xD5, u64::from(piece.0)).below(DESIGNS)
    }

    fn plan(&self, piece: PieceId) -> Plan {
        let mut random = Random::new(self.settings.seed, u64::from(piece.0));
        let design = self.design_of(piece);
        let off = |random: &mut Random| random.between(-1.0, 1.0);
        let mut plan = Plan {
            design,
            shift: Point::new(off(&mut random), off(&mut random)),
            etch: random.between(-0.3, 0.3),
            ragged: Ragged { salt: random.bits(), fine: random.between(0.25, 0.6), coarse: random.between(0.0, 0.3) },
            light: Light {
                bare: random.between(218.0, 252.0),
                copper: random.between(4.0, 30.0),
                fall: Point::new(random.between(-12.0, 12.0), random.between(-12.0, 12.0)),
            },
            flaws: Vec::new(),
            truth: Vec::new(),
            noise: random.bits(),
        };
        if random.chance(self.settings.bad_share) {
            let count = 1 + random.below(self.settings.flaws_max.max(1));
            self.spoil(&mut plan, count, &mut random);
        }
        plan
    }

    /// Puts up to `count` flaws on a board, at least one, well apart from each other.
    fn spoil(&self, plan: &mut Plan, count: usize, random: &mut Random) {
        let layout = &self.layouts[plan.design];
        let ground = Ground { copper: &layout.field, traces: &layout.traces, holes: &layout.holes, shift: plan.shift };
        for _ in 0..count * 8 {
            if plan.flaws.len() == count {
                return;
            }
            let kind = Kind::ALL[random.below(Kind::ALL.len())];
            let Some(flaw) = ground.flaw(kind, random) else { continue };
            let Some(bounds) = self.changed(plan, &flaw) else { continue };
            if plan.truth.iter().all(|other| !touches(&other.bounds, &bounds)) {
                plan.truth.push(TruthBox { class: ClassId(kind.class()), bounds });
                plan.flaws.push(flaw);
            }
        }
    }

    /// The box around all pixels a flaw changes from copper to bare or back, with margin; `None` if they are too few to see.
    fn changed(&self, plan: &Plan, flaw: &Flaw) -> Option<PixelBox> {
        let (columns, rows) = flaw.extent();
        let mut count = 0;
        let (mut left, mut top, mut right, mut bottom) = (f32::MAX, f32::MAX, f32::MIN, f32::MIN);
        for row in rows {
            for column in columns.clone() {
                let (x, y) = (coordinate(column), coordinate(row));
                let edge = plan.etch + plan.ragged.at(x, y);
                let before = self.layouts[plan.design].field.at(Point::new(x + plan.shift.x, y + plan.shift.y));
                let after = flaw.apply(before, Point::new(x, y));
                if shade(before + edge).to_bits() != shade(after + edge).to_bits() {
                    count += usize::from((before + edge < 0.0) != (after + edge < 0.0));
                    (left, right) = (left.min(x), right.max(x + 1.0));
                    (top, bottom) = (top.min(y), bottom.max(y + 1.0));
                }
            }
        }
        let side = coordinate(SIDE);
        (count >= 20).then(|| PixelBox {
            x1: (left - TRUTH_MARGIN).max(0.0),
            y1: (top - TRUTH_MARGIN).max(0.0),
            x2: (right + TRUTH_MARGIN).min(side),
            y2: (bottom + TRUTH_MARGIN).min(side),
        })
    }

    fn render(&self, plan: &Plan, out: &mut [u8]) {
        let field = &self.layouts[plan.design].field;
        let mut copper = [0.0_f32; SIDE];
        let mut grain = Grain { state: plan.noise, amplitude: self.settings.noise.min(3) };
        for (row, line) in out.chunks_exact_mut(SIDE).take(SIDE).enumerate() {
            let y = coordinate(row);
            field.row_into(row, plan.shift, &mut copper);
            for flaw in &plan.flaws {
                let (columns, rows) = flaw.extent();
                if rows.contains(&row) {
                    for column in columns {
                        copper[column] = flaw.apply(copper[column], Point::new(coordinate(column), y));
                    }
                }
            }
            let share = coordinate(row) / coordinate(SIDE) - 0.5;
            for (column, (value, out)) in copper.iter().zip(line.iter_mut()).enumerate() {
                let x = coordinate(column);
                let edge = if value.abs() < EDGE { plan.etch + plan.ragged.at(x, y) } else { 0.0 };
                let fall = plan.light.fall.x * (x / coordinate(SIDE) - 0.5) + plan.light.fall.y * share;
                let bare = plan.light.bare + fall;
                *out = grey(plan.light.copper + (bare - plan.light.copper) * shade(value + edge));
            }
            grain.add_to(line);
        }
    }
}

fn golden_picture(layout: &Layout) -> Result<Picture, crate::picture::PictureError> {
    let mut pixels = vec![0; SIDE * SIDE];
    let mut copper = [0.0_f32; SIDE];
    for (row, line) in pixels.chunks_exact_mut(SIDE).enumerate() {
        layout.field.row_into(row, Point::new(0.0, 0.0), &mut copper);
        for (value, out) in copper.iter().zip(line) {
            *out = grey(EVEN_LIGHT.copper + EVEN_LIGHT.bare * shade(*value));
        }
    }
    Picture::new(BOARD_SIDE, BOARD_SIDE, pixels)
}

/// 0 on copper, 1 on the bare board, and a steep step between: the scanner's contrast is high.
fn shade(distance: f32) -> f32 {
    (0.5 + distance * 1.6).clamp(0.0, 1.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte before the cast")]
fn grey(level: f32) -> u8 {
    (level + 0.5).clamp(0.0, 255.0) as u8
}

/// Noise of the sensor: eight pixels from every 64 random bits.
struct Grain {
    state: u64,
    amplitude: u8,
}

impl Grain {
    fn add_to(&mut self, line: &mut [u8]) {
        let span = self.amplitude * 2 + 1;
        for pixels in line.chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            for (pixel, byte) in pixels.iter_mut().zip(mix(self.state).to_le_bytes()) {
                *pixel = pixel.saturating_add(byte % span).saturating_sub(self.amplitude);
            }
        }
    }
}

fn touches(a: &PixelBox, b: &PixelBox) -> bool {
    a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2
}
