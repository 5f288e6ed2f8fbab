//! Names for faults of a board: what a fault is called follows from what it does to the copper.
//!
//! A net finds a fault on a board design that it never saw, and then often calls it what such scribbles were on the designs
//! it knows. What DeepPCB's annotators called a short joins two pieces of copper, and that can be looked up: within the box
//! of a finding the copper of the piece, around it the copper of the golden picture. Of 3086 faults of the boards that the
//! net was trained with, their boxes laid off by up to four pixels, a name that one pixel more or less would not change is
//! wrong for 0.4 %, and 0.5 % have no such name.
//!
//! ```text
//! copper is missing    a piece of copper is two now: cut · no bare board touches the place: hole · else: bite
//! copper is too much   two pieces are one now: bridge · it touches no copper: island · else: bump
//! ```
//!
//! Invariants: where a finding is, its score, and whether copper is missing or too much stay as the model said; its name is
//! changed only to the one that the copper has, and only if the model's would stay wrong with the fault a pixel wider; a
//! frame costs no more than looking at each of its pixels once, the best findings first.

use super::boxes::suppress;
use crate::package::{Boxes, ClassEntry, Copper, Input, Manifest, Task};
use crate::prepare::Geometry;
use pieces::{Pieces, Shared, label};
use station::inspection::{ClassId, Finding, PixelBox};

mod pieces;

/// A place is a fault if copper is there more than a pixel away from where it may be: the edges of a board that is laid off by
/// a pixel, or etched by a pixel more, are none. As many such pixels in one piece make it a part of the fault.
const FAULT_PIXELS: usize = 12;

/// What a fault does to the copper, in the order of [`Copper::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Cut,
    Bite,
    Hole,
    Bridge,
    Bump,
    Island,
}

const DEEDS: [Deed; 6] = [Deed::Cut, Deed::Bite, Deed::Hole, Deed::Bridge, Deed::Bump, Deed::Island];

/// Names the findings of one package.
pub(crate) struct Namer {
    rules: Boxes,
    /// The class of each deed.
    classes: [ClassId; 6],
    /// Values of the input below this are copper.
    level: f32,
    margin: u32,
    site: Site,
}

impl Namer {
    /// For a package whose manifest says what its classes do to the copper.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let Task::Compare(rules) = &manifest.task else { return None };
        Self::new(rules, rules.copper.as_ref()?, &manifest.class, &manifest.input)
    }

    fn new(rules: &Boxes, copper: &Copper, classes: &[ClassEntry], input: &Input) -> Option<Self> {
        let class = |name: &str| {
            let index = classes.iter().position(|class| class.name == name)?;
            u8::try_from(index + 1).ok().map(ClassId)
        };
        let [cut, bite, hole, bridge, bump, island] = copper.names().map(class);
        let classes = [cut?, bite?, hole?, bridge?, bump?, island?];
        let site = Site { crumb: copper.crumb_pixels, ..Site::default() };
        Some(Self { rules: rules.clone(), classes, level: level(copper, input), margin: copper.margin, site })
    }

    /// The findings of a frame under the names that the copper gives them. `planes` is the model's input: the piece, then its
    /// golden picture. Two findings that have one name now may be one too many.
    pub(crate) fn name(&mut self, mut found: Vec<Finding>, geometry: &Geometry, planes: &[f32]) -> Vec<Finding> {
        let (piece, golden) = planes.split_at(planes.len() / 2);
        let mut left = piece.len();
        for finding in &mut found {
            let Some(said) = self.classes.iter().position(|class| *class == finding.class) else { continue };
            let inside = Field::of(&geometry.to_input(&finding.bounds), geometry.input);
            let around = inside.wider(self.margin, geometry.input);
            let Some(rest) = left.checked_sub(around.area()) else { break };
            left = rest;
            let board = Board { piece, golden, columns: size(geometry.input.0), level: self.level };
            if let Some(deed) = self.site.deed(&board, inside, around, DEEDS[said]) {
                finding.class = self.classes[DEEDS.iter().position(|one| *one == deed).unwrap_or(said)];
            }
        }
        suppress(found, &self.rules)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "factor and offset of the input are meant as 32-bit floats")]
fn level(copper: &Copper, input: &Input) -> f32 {
    f32::from(copper.level) * input.scale as f32 + input.offset as f32
}

/// Sides of pictures fit into every platform's size.
fn size(pixels: u32) -> usize {
    usize::try_from(pixels).unwrap_or(usize::MAX)
}

/// Both pictures as the model sees them.
struct Board<'a> {
    piece: &'a [f32],
    golden: &'a [f32],
    columns: usize,
    level: f32,
}

impl Board<'_> {
    fn is_copper(&self, picture: &[f32], x: usize, y: usize) -> bool {
        picture.get(y * self.columns + x).is_some_and(|value| *value < self.level)
    }
}

/// Whole pixels from left and top up to, but without, right and bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Field {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off at 0 and at the input's size")]
    fn of(bounds: &PixelBox, (columns, rows): (u32, u32)) -> Self {
        let pixel = |value: f32, most: u32| size((value.round_ties_even().max(0.0) as u32).min(most));
        Self {
            left: pixel(bounds.x1, columns),
            top: pixel(bounds.y1, rows),
            right: pixel(bounds.x2, columns),
            bottom: pixel(bounds.y2, rows),
        }
    }

    fn wider(self, margin: u32, (columns, rows): (u32, u32)) -> Self {
        let more = |at: usize, most: u32| (at + size(margin)).min(size(most));
        let less = |at: usize| at.saturating_sub(size(margin));
        Self { left: less(self.left), top: less(self.top), right: more(self.right, columns), bottom: more(self.bottom, rows) }
    }

    const fn wide(self) -> usize {
        self.right.saturating_sub(self.left)
    }

    const fn area(self) -> usize {
        self.wide() * self.bottom.saturating_sub(self.top)
    }

    const fn holds(self, x: usize, y: usize) -> bool {
        self.left <= x && x < self.right && self.top <= y && y < self.bottom
    }
}

/// The copper around one finding, in memory that is used again.
#[derive(Default)]
struct Site {
    crumb: u32,
    columns: usize,
    /// Where the golden picture has copper.
    golden: Vec<bool>,
    /// Where copper is now: the piece's within the finding, the golden picture's around it.
    now: Vec<bool>,
    /// Where copper is missing, or too much, by more than a pixel.
    fault: Vec<bool>,
    before: Pieces,
    after: Pieces,
    shared: Shared,
    open: Vec<usize>,
}

impl Site {
    /// What the fault does, if that is clear and not what was said.
    fn deed(&mut self, board: &Board<'_>, inside: Field, around: Field, said: Deed) -> Option<Deed> {
        let missing = matches!(said, Deed::Cut | Deed::Bite | Deed::Hole);
        self.see(board, inside, around, missing);
        let exactly = self.read(missing)?;
        if exactly == said {
            return None;
        }
        self.widen(missing);
        (self.read(missing)? != said).then_some(exactly)
    }

    fn see(&mut self, board: &Board<'_>, inside: Field, around: Field, missing: bool) {
        self.columns = around.wide();
        self.golden.clear();
        self.now.clear();
        self.fault.clear();
        let rows = board.golden.len() / board.columns.max(1);
        for y in around.top..around.bottom {
            for x in around.left..around.right {
                let golden = board.is_copper(board.golden, x, y);
                let now = if inside.holds(x, y) { board.is_copper(board.piece, x, y) } else { golden };
                // Only where something differs at all it matters what is beside.
                let fault = now != golden && now != missing && {
                    let (columns, rows) = (x.saturating_sub(1)..(x + 2).min(board.columns), y.saturating_sub(1)..(y + 2).min(rows));
                    rows.into_iter().all(|y| columns.clone().all(|x| board.is_copper(board.golden, x, y) == missing))
                };
                self.golden.push(golden);
                self.now.push(now);
                self.fault.push(fault);
            }
        }
    }

    /// The fault becomes a pixel wider to all sides.
    fn widen(&mut self, missing: bool) {
        let Self { columns, now, fault, .. } = self;
        let rows = now.len() / (*columns).max(1);
        for place in fault.iter().enumerate().filter_map(|(place, fault)| fault.then_some(place)) {
            let (x, y) = (place % *columns, place / *columns);
            for y in y.saturating_sub(1)..(y + 2).min(rows) {
                for x in x.saturating_sub(1)..(x + 2).min(*columns) {
                    now[y * *columns + x] = !missing;
                }
            }
        }
    }

    fn read(&mut self, missing: bool) -> Option<Deed> {
        if missing { self.missing() } else { self.too_much() }
    }

    fn too_much(&mut self) -> Option<Deed> {
        let (main, faults) = self.follow(true)?;
        let joins =
            |piece: usize| faults.get(piece).is_some_and(|count| *count >= FAULT_PIXELS) && self.shared.partners(piece, self.crumb) > 1;
        if (1..faults.len()).any(joins) {
            return Some(Deed::Bridge);
        }
        Some(if self.shared.partners(main, self.crumb) > 0 { Deed::Bump } else { Deed::Island })
    }

    fn missing(&mut self) -> Option<Deed> {
        let Self { columns, golden, now, fault, before, after, shared, open, crumb } = self;
        label(golden, true, *columns, before, open);
        label(now, true, *columns, after, open);
        shared.count(before, after)?;
        let hit = before.counts(fault);
        if (1..hit.len()).any(|piece| hit[piece] > 0 && shared.partners(piece, *crumb) > 1) {
            return Some(Deed::Cut);
        }
        let (main, _) = self.follow(false)?;
        Some(if self.shared.partners(main, self.crumb) > 0 { Deed::Bite } else { Deed::Hole })
    }

    /// The piece of copper (or of bare board) that most of the fault belongs to now, how much of it belongs to each, and in
    /// `shared` which pieces of the golden picture each of them covers.
    fn follow(&mut self, copper: bool) -> Option<(usize, Vec<usize>)> {
        let Self { columns, golden, now, fault, before, after, shared, open, .. } = self;
        label(golden, copper, *columns, before, open);
        label(now, copper, *columns, after, open);
        shared.count(after, before)?;
        let faults = after.counts(fault);
        let main = (1..faults.len()).rev().max_by_key(|piece| faults[*piece]).filter(|piece| faults[*piece] > 0)?;
        Some((main, faults))
    }
}

#[cfg(test)]
mod tests;
