//! The part: the largest connected area that is darker (or brighter) than what it lies on.
//!
//! This finds the part and its axis only; every size is taken from sub-pixel edges afterwards.
//!
//! Invariants: a part that touches the border of the region in which it is looked for is refused, since nobody knows what of
//! it is outside; a region without contrast holds no part.

use super::GaugeError;
use super::edge::Grey;
use super::geometry::{Line, Point, index};
use super::plan::Locate;

/// Least difference between part and background, in grey levels.
const CONTRAST_MIN: f64 = 25.0;

/// A part this near to a rule's edge (in pixels) cannot be told from it.
const BARRIER: f64 = 2.0;

/// Where the part lies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blob {
    /// Middle of its area.
    pub(crate) middle: Point,
    /// Along its longest extent, of length 1. Which of the two ends is first is not said here.
    pub(crate) along: Point,
    /// Extent along and across from the middle: lowest and highest.
    pub(crate) extent: [(f64, f64); 2],
    /// Grey level between part and background.
    pub(crate) threshold: f64,
    /// Pixels that belong to it, row by row.
    mask: Vec<bool>,
    width: usize,
}

impl Blob {
    /// True if the pixel nearest to the place belongs to the part.
    pub(crate) fn holds(&self, place: Point) -> bool {
        let at = index((place.x + 0.5).floor()).zip(index((place.y + 0.5).floor()));
        at.filter(|(x, _)| *x < self.width).and_then(|(x, y)| self.mask.get(y * self.width + x)).copied().unwrap_or(false)
    }

    /// Looks for the part in its region, but not on the far side of `barriers`: the edges of a rule, each with the direction
    /// into the rule.
    pub(crate) fn find(grey: Grey<'_>, locate: &Locate, barriers: &[(Line, Point)]) -> Result<Self, GaugeError> {
        let [x1, y1, x2, y2] = locate.region;
        let failed = |why: String| GaugeError::Part { place: format!("columns {x1} to {x2}, rows {y1} to {y2}"), why };
        let cut = |value: f64, side: usize| index(value.max(0.0)).map_or(side, |value| value.min(side));
        let (left, top, right, bottom) = (cut(x1, grey.width), cut(y1, grey.height), cut(x2, grey.width), cut(y2, grey.height));
        if right < left + 16 || bottom < top + 16 {
            return Err(failed(format!("the picture has {}x{} pixels; correct locate.region", grey.width, grey.height)));
        }
        let (dark, middle, bright) = levels(grey, (left, top, right, bottom));
        let (part, ground) = if locate.part_is_dark { (dark, middle) } else { (bright, middle) };
        if (part - ground).abs() < CONTRAST_MIN {
            return Err(failed(format!(
                "there is no part: the {} pixels have grey level {part:.0}, the background has {ground:.0}; light it from behind or from the side",
                if locate.part_is_dark { "darkest" } else { "brightest" }
            )));
        }
        let threshold = part + locate.threshold_share * (ground - part);
        let of_part = |level: u8| if locate.part_is_dark { f64::from(level) < threshold } else { f64::from(level) > threshold };
        let mut mask = vec![false; grey.width * grey.height];
        // The rule lies on the inner side of all its edges.
        let on_rule = |place: Point, margin: f64| {
            !barriers.is_empty() && barriers.iter().all(|(edge, inwards)| (place - edge.middle).dot(*inwards) > -margin)
        };
        for row in top..bottom {
            for column in left..right {
                let at = row * grey.width + column;
                let part = grey.level(at).is_some_and(of_part);
                mask[at] = part && !on_rule(Point::new(column as f64, row as f64), BARRIER);
            }
        }
        let largest = largest(&mut mask, grey.width, (left, top, right, bottom));
        if (largest.len() as f64) < locate.area_pixels_min {
            return Err(failed(format!(
                "there is no part: the largest area has {} pixels, locate.area_pixels_min asks for {}",
                largest.len(),
                locate.area_pixels_min
            )));
        }
        let mut mask = vec![false; grey.width * grey.height];
        largest.iter().for_each(|at| mask[*at] = true);
        let border = |at: &usize| {
            let (column, row) = (at % grey.width, at / grey.width);
            let at_rule = on_rule(Point::new(column as f64, row as f64), BARRIER + 1.5);
            column == left || row == top || column + 1 == right || row + 1 == bottom || at_rule
        };
        if largest.iter().any(border) {
            let why = "the part touches the border of locate.region or the rule; move the part or widen the region";
            return Err(failed(why.to_owned()));
        }
        Self::of(&largest, mask, grey.width, threshold).ok_or_else(|| failed("the part has no extent".to_owned()))
    }

    fn of(pixels: &[usize], mask: Vec<bool>, width: usize, threshold: f64) -> Option<Self> {
        let count = pixels.len() as f64;
        let places: Vec<Point> = pixels.iter().map(|at| Point::new((at % width) as f64, (at / width) as f64)).collect();
        let middle = places.iter().fold(Point::new(0.0, 0.0), |sum, place| sum + *place) * (1.0 / count);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for place in &places {
            let arm = *place - middle;
            (xx, xy, yy) = (xx + arm.x * arm.x, xy + arm.x * arm.y, yy + arm.y * arm.y);
        }
        let turn = 0.5 * (2.0 * xy).atan2(xx - yy);
        let along = Point::new(turn.cos(), turn.sin());
        let extent = [along, along.turned()].map(|axis| {
            let reach = places.iter().map(|place| (*place - middle).dot(axis));
            reach.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)))
        });
        (extent[0].1 > extent[0].0).then_some(Self { middle, along, extent, threshold, mask, width })
    }
}

/// Grey levels of the darkest and brightest part in a hundred and the middle one, of a region.
fn levels(grey: Grey<'_>, (left, top, right, bottom): (usize, usize, usize, usize)) -> (f64, f64, f64) {
    let mut counts = [0_u64; 256];
    for row in top..bottom {
        for level in (left..right).filter_map(|column| grey.level(row * grey.width + column)) {
            counts[usize::from(level)] += 1;
        }
    }
    let total: u64 = counts.iter().sum();
    let at = |share: f64| {
        let mut seen = 0;
        let place = counts.iter().position(|count| {
            seen += count;
            seen as f64 >= share * total as f64
        });
        place.unwrap_or(0) as f64
    };
    (at(0.005), at(0.5), at(0.995))
}

/// The largest 4-connected area; takes all areas out of the mask.
fn largest(mask: &mut [bool], width: usize, (left, top, right, bottom): (usize, usize, usize, usize)) -> Vec<usize> {
    let mut best = Vec::new();
    for row in top..bottom {
        for column in left..right {
            let seed = row * width + column;
            if !mask[seed] {
                continue;
            }
            mask[seed] = false;
            let (mut area, mut next) = (vec![seed], 0);
            while let Some(at) = area.get(next).copied() {
                next += 1;
                let (x, y) = (at % width, at / width);
                let near = [
                    (x > left, at.wrapping_sub(1)),
                    (x + 1 < right, at + 1),
                    (y > top, at.wrapping_sub(width)),
                    (y + 1 < bottom, at + width),
                ];
                for at in near.into_iter().filter_map(|(inside, at)| inside.then_some(at)) {
                    if mask[at] {
                        mask[at] = false;
                        area.push(at);
                    }
                }
            }
            if area.len() > best.len() {
                best = area;
            }
        }
    }
    best
}
