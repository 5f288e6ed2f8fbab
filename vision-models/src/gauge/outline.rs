//! The outline of a turned part with a head (a screw, a rivet, a stepped pin), in pixels: its axis, the edges of both ends, the
//! widths of head and shank, and where the head ends.
//!
//! Invariant: the axis runs from the head to the end of the shank; places along it and across it are in pixels from `origin`.

use super::GaugeError;
use super::blob::Blob;
use super::edge::{Grey, STEP, edges, slopes};
use super::geometry::{Curve, Point, median, quantile};

/// How far from the mask's border the true edge is looked for, in pixels.
const REACH: f64 = 4.0;

/// Least slope of an edge in grey levels per pixel.
const SLOPE_MIN: f64 = 4.0;

/// A value in pixels with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pixels {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

/// Edge places of one end: across the axis, along the axis.
pub(crate) type EndEdge = Vec<(f64, f64)>;

/// What the outline says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outline {
    pub(crate) origin: Point,
    /// From head to end, of length 1.
    pub(crate) along: Point,
    /// The head's free end, over the middle of its width.
    pub(crate) head: EndEdge,
    /// The shank's free end.
    pub(crate) tail: EndEdge,
    /// Width of the head.
    pub(crate) head_width: Pixels,
    /// Width of the shank over its crests.
    pub(crate) shank_width: Pixels,
    /// Where the head ends and the shank begins.
    pub(crate) shoulder: f64,
}

impl Outline {
    /// Middle of an end along the axis.
    pub(crate) fn middle(end: &EndEdge) -> f64 {
        median(&end.iter().map(|edge| edge.1).collect::<Vec<_>>()).unwrap_or(0.0)
    }

    pub(crate) fn trace(grey: Grey<'_>, blob: &Blob) -> Result<Self, GaugeError> {
        let place = format!("the part at column {:.0}, row {:.0}", blob.middle.x, blob.middle.y);
        let failed = |why: &str| GaugeError::Part { place: place.clone(), why: why.to_owned() };
        let scanner = Scanner { grey, blob };
        let [(low, high), (near, far)] = blob.extent;
        let reach = near.abs().max(far.abs()) + 12.0;
        let (mut origin, mut along) = (blob.middle, blob.along);
        let mut slices = Vec::new();
        for _ in 0..3 {
            slices = scanner.slices(origin, along, (low + 4.0, high - 4.0), reach);
            let middles: Vec<_> = slices.iter().map(|slice| (slice.at, (slice.left + slice.right) / 2.0, 1.0)).collect();
            let axis = Curve::fit(&middles, 1, 0.2).ok_or_else(|| failed("its sides are not sharp enough to find its axis"))?;
            let across = along.turned();
            origin = origin + across * axis.factors[0];
            along = (along + across * axis.factors[1]).direction().ok_or_else(|| failed("it has no axis"))?;
        }
        if ((slices.len() as f64) < 0.8 * (high - low - 8.0)) || slices.len() < 40 {
            return Err(failed("fewer than 8 in 10 scan lines across it find both of its sides; is it in focus, and free of its shadow?"));
        }
        // The head is the wider end.
        let quarter = slices.len() / 4;
        let width_of = |part: &[Slice]| median(&part.iter().map(Slice::width).collect::<Vec<_>>()).unwrap_or(0.0);
        if width_of(&slices[..quarter]) < width_of(&slices[slices.len() - quarter..]) {
            along = along * -1.0;
            slices = slices.iter().rev().map(|slice| Slice { at: -slice.at, left: -slice.right, right: -slice.left }).collect();
        }
        let (first, last) = (slices[0].at - 4.0, slices[slices.len() - 1].at + 4.0);
        let widths: Vec<f64> = slices.iter().map(Slice::width).collect();
        let widest = quantile(&widths, 0.97).unwrap_or(0.0);
        let narrow = quantile(&widths[widths.len() * 2 / 3..], 0.85).unwrap_or(0.0);
        if narrow > 0.93 * widest {
            return Err(failed("it has no head: it is as wide at one end as at the other"));
        }
        let shoulder = shoulder(&slices, 0.5 * (widest + narrow)).ok_or_else(|| failed("its head is not at an end"))?;
        let head_width = head_width(&slices, widest, shoulder).ok_or_else(|| failed("its head has no even width"))?;
        let shank_width = shank_width(&slices, shoulder, last).ok_or_else(|| failed("its shank has no even width"))?;
        let head = scanner.end(origin, along, first, 0.275 * head_width.value);
        let tail = scanner.end(origin, along * -1.0, -last, 0.25 * shank_width.value);
        let tail: EndEdge = tail.into_iter().map(|(across, at)| (-across, -at)).collect();
        if (head.len() as f64) < 0.4 * head_width.value
            || (tail.len() as f64) < 0.35 * shank_width.value
            || head.len() < 6
            || tail.len() < 6
        {
            return Err(failed("one of its ends is not sharp; is it in focus, and free of its shadow?"));
        }
        Ok(Self { origin, along, head, tail, head_width, shank_width, shoulder })
    }
}

/// One scan line across the part: its place along the axis and both sides' places across it.
#[derive(Debug, Clone, Copy)]
struct Slice {
    at: f64,
    left: f64,
    right: f64,
}

impl Slice {
    fn width(&self) -> f64 {
        self.right - self.left
    }
}

struct Scanner<'a> {
    grey: Grey<'a>,
    blob: &'a Blob,
}

impl Scanner<'_> {
    /// The outermost edge of the part on the way from `from` along `along`, in pixels from `from`.
    fn first(&self, from: Point, along: Point, length: f64) -> Option<f64> {
        let mut coarse = 0.0;
        while !self.blob.holds(from + along * coarse) {
            coarse += 2.0 * STEP;
            if coarse > length {
                return None;
            }
        }
        // A margin for the differentiating kernel on both sides.
        let start = coarse - REACH - 3.0;
        let profile = self.grey.profile(from + along * start, along, 2.0 * (REACH + 3.0), 3)?;
        let middle = REACH + 3.0;
        let near = edges(&slopes(&profile), SLOPE_MIN).into_iter().filter(|edge| (edge.place - middle).abs() <= REACH);
        near.max_by(|a, b| a.slope.abs().total_cmp(&b.slope.abs())).map(|edge| start + edge.place)
    }

    /// Scan lines across the axis, one each pixel.
    fn slices(&self, origin: Point, along: Point, (low, high): (f64, f64), reach: f64) -> Vec<Slice> {
        let across = along.turned();
        let mut slices = Vec::new();
        let mut at = low;
        while at <= high {
            let middle = origin + along * at;
            let left = self.first(middle - across * reach, across, 2.0 * reach).map(|place| place - reach);
            let right = self.first(middle + across * reach, across * -1.0, 2.0 * reach).map(|place| reach - place);
            if let Some((left, right)) = left.zip(right) {
                slices.push(Slice { at, left, right });
            }
            at += 1.0;
        }
        slices
    }

    /// The edge of the end at about `at`, seen from outside, over `half` pixels on both sides of the axis.
    fn end(&self, origin: Point, along: Point, at: f64, half: f64) -> EndEdge {
        let across = along.turned();
        let outside = 40.0_f64.min(REACH + 24.0);
        let mut places = Vec::new();
        let mut aside = -half;
        while aside <= half {
            let from = origin + across * aside + along * (at - outside);
            if let Some(place) = self.first(from, along, outside + 60.0) {
                places.push((aside, at - outside + place));
            }
            aside += 1.0;
        }
        places
    }
}

/// The last place at which the part is wider than `limit`, counted from the head on.
fn shoulder(slices: &[Slice], limit: f64) -> Option<f64> {
    let begin = slices.iter().position(|slice| slice.width() > limit)?;
    let end = slices[begin..].windows(3).position(|window| window.iter().all(|slice| slice.width() < limit))? + begin;
    let (before, after) = (slices.get(end.checked_sub(1)?)?, slices.get(end)?);
    let fall = before.width() - after.width();
    let share = if fall > 0.0 { ((before.width() - limit) / fall).clamp(0.0, 1.0) } else { 0.5 };
    (begin < slices.len() / 4).then_some(before.at + share * (after.at - before.at))
}

fn head_width(slices: &[Slice], widest: f64, shoulder: f64) -> Option<Pixels> {
    let even: Vec<f64> =
        slices.iter().filter(|slice| slice.at < shoulder).map(Slice::width).filter(|width| *width > 0.97 * widest).collect();
    spread(&even)
}

/// Over the crests: both sides' outermost tenth along the even part of the shank.
fn shank_width(slices: &[Slice], shoulder: f64, last: f64) -> Option<Pixels> {
    let even: Vec<&Slice> = slices.iter().filter(|slice| slice.at > shoulder + 10.0 && slice.at < last - 10.0).collect();
    let left = quantile(&even.iter().map(|slice| slice.left).collect::<Vec<_>>(), 0.1)?;
    let right = quantile(&even.iter().map(|slice| slice.right).collect::<Vec<_>>(), 0.9)?;
    let error = 0.3 / (even.len() as f64 / 10.0).max(1.0).sqrt();
    (right > left).then_some(Pixels { value: right - left, error })
}

/// The middle of many values and the standard error of it; neighbouring scan lines share pixels, so one in three counts.
fn spread(values: &[f64]) -> Option<Pixels> {
    let middle = median(values)?;
    let scatter = 1.4826 * median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())?;
    let count = (values.len() as f64 / 3.0).max(1.0);
    (values.len() >= 8).then_some(Pixels { value: middle, error: 1.2533 * scatter.max(0.05) / count.sqrt() })
}
