//! Millimetres from a steel rule that lies in the picture.
//!
//! The rule's edge is a robust line through the steepest edge of many scan lines. Beside it, inside the rule, the graduation
//! is a periodic pattern: its period is the strongest line of the spectrum, and the phase of that line, followed along the
//! rule in a sliding window, says where every tick is to a few hundredths of a pitch, though single ticks are faint. A second
//! graduation (many rules have inches at the other edge) gives the change of scale across the rule.
//!
//! Invariants: pixels per millimetre are linear in picture coordinates, which for a pinhole camera is exact on a plane; a
//! pattern that does not keep step with itself is no rule, and the error says where it was looked for.

use super::GaugeError;
use super::edge::{Grey, edges, slopes};
use super::geometry::{Curve, Line, Point, quantile};
use super::plan::{Graduation, Side};
use super::scale::Scale;
use std::f64::consts::TAU;

/// Scan lines across the rule's edge: one each so many pixels.
const SCAN_EVERY: f64 = 4.0;

/// The strip in which ticks are read, in pixels from the rule's edge: beyond the bevel, before the shortest ticks end.
const STRIP: (u32, u32) = (8, 22);

/// Distance of samples along the strip, in pixels.
const ALONG: f64 = 0.5;

/// Half the width of the window in which the phase is taken, in standard deviations of a Gaussian of this many pixels.
const WINDOW: f64 = 30.0;

/// Ticks may scatter by this share of the pitch around their smooth course.
const SCATTER_MAX: f64 = 0.12;

/// One graduation as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The rule's edge.
    pub edge: Line,
    /// Across the edge into the rule, of length 1.
    pub inwards: Point,
    /// Where the scale was read: the middle of the strip.
    pub at: Point,
    /// Pixels per millimetre there, along the rule.
    pub scale: f64,
    /// Its standard error.
    pub error: f64,
    /// Change of the scale per pixel along the rule.
    pub change: f64,
    /// Scatter of the ticks around their course, as a share of the pitch.
    pub scatter: f64,
}

/// Reads all graduations and makes one scale of them.
pub(crate) fn read(grey: Grey<'_>, graduations: &[Graduation]) -> Result<(Scale, Vec<Read>), GaugeError> {
    let reads = graduations.iter().map(|graduation| read_one(grey, graduation)).collect::<Result<Vec<_>, _>>()?;
    let first = reads.first().ok_or_else(|| GaugeError::Rule { place: "nowhere".to_owned(), why: "no graduation is named".to_owned() })?;
    let along = first.edge.along;
    let across = along.turned();
    let mut slope = along * first.change;
    let mut relative = first.error / first.scale;
    if let Some(second) = reads.get(1) {
        // Along the rule the finer graduation speaks for both: it has more ticks.
        let apart = second.at - first.at;
        let rise = second.scale - first.scale - first.change * apart.dot(along);
        let distance = apart.dot(across);
        if distance.abs() < 20.0 {
            let why = "its two graduations lie in one place; name one of them, or correct `search`".to_owned();
            return Err(GaugeError::Rule { place: describe(&graduations[1]), why });
        }
        slope = slope + across * (rise / distance);
        relative = relative.max(second.error / second.scale);
    }
    Ok((Scale { at: first.at, value: first.scale, slope, relative }, reads))
}

fn describe(graduation: &Graduation) -> String {
    let [x1, y1, x2, y2] = graduation.search;
    format!("columns {x1} to {x2}, rows {y1} to {y2}")
}

fn read_one(grey: Grey<'_>, graduation: &Graduation) -> Result<Read, GaugeError> {
    let failed = |why: String| GaugeError::Rule { place: describe(graduation), why };
    let edge = find_edge(grey, graduation).ok_or_else(|| {
        failed("no straight edge runs through it; is the rule in the picture, is `search` around its edge and `rule` its side?".to_owned())
    })?;
    let (start, profile) =
        strip(grey, graduation, &edge).ok_or_else(|| failed("the strip of the ticks beside the edge leaves the picture".to_owned()))?;
    let pattern = flatten(&profile);
    let (low, high) = graduation.pitch_pixels;
    let (period, share) = strongest(&pattern, low, high).ok_or_else(|| failed("the strip is too short for a graduation".to_owned()))?;
    if share < 0.15 {
        let why = format!(
            "no graduation is seen beside the edge (strongest period {period:.2} pixels holds {:.0} % of the pattern); light the rule from the \
             side, or correct `pitch_pixels`",
            100.0 * share * share
        );
        return Err(failed(why));
    }
    let course = phases(&pattern, period).ok_or_else(|| failed("the graduation is too short".to_owned()))?;
    if course.scatter / TAU > SCATTER_MAX {
        let why = format!("its ticks scatter by {:.0} % of their pitch: something covers or repeats them", 100.0 * course.scatter / TAU);
        return Err(failed(why));
    }
    // Ticks per pixel in the middle of the strip, and how that changes along it.
    let frequency = 1.0 / period + course.factors[1] / TAU;
    let scale = 1.0 / (frequency * graduation.pitch_mm);
    let change = -2.0 * course.factors[2] / TAU / (frequency * frequency * graduation.pitch_mm);
    let middle = start + edge.along * ((pattern.len() - 1) as f64 * ALONG / 2.0);
    let across = edge.along.turned();
    let inwards = if across.dot(inwards(graduation.rule)) > 0.0 { across } else { across * -1.0 };
    Ok(Read { edge, inwards, at: middle, scale, error: course.errors[1] / TAU / frequency * scale, change, scatter: course.scatter / TAU })
}

/// From outside the rule to its inside.
const fn inwards(side: Side) -> Point {
    match side {
        Side::Below => Point::new(0.0, 1.0),
        Side::Above => Point::new(0.0, -1.0),
        Side::Right => Point::new(1.0, 0.0),
        Side::Left => Point::new(-1.0, 0.0),
    }
}

fn find_edge(grey: Grey<'_>, graduation: &Graduation) -> Option<Line> {
    let inside = inwards(graduation.rule);
    let [x1, y1, x2, y2] = graduation.search;
    let (low, high) = (Point::new(x1, y1), Point::new(x2, y2));
    // The corner where scanning begins and the way it goes on.
    let level = inside.x == 0.0;
    let along = if level { Point::new(1.0, 0.0) } else { Point::new(0.0, 1.0) };
    let depth = (high - low).dot(Point::new(inside.x.abs(), inside.y.abs()));
    let first = Point::new(if inside.x < 0.0 { x2 } else { x1 }, if inside.y < 0.0 { y2 } else { y1 });
    let length = (high - low).dot(along);
    let mut points = Vec::new();
    let mut at = 0.0;
    while at <= length {
        let from = first + along * at;
        at += SCAN_EVERY;
        let Some(profile) = grey.profile(from, inside, depth, 3) else { continue };
        let wanted = if graduation.rule_is_dark { -1.0 } else { 1.0 };
        let best = edges(&slopes(&profile), 2.0).into_iter().filter(|edge| edge.slope * wanted > 0.0);
        if let Some(edge) = best.max_by(|a, b| a.slope.abs().total_cmp(&b.slope.abs())) {
            points.push(from + inside * edge.place);
        }
    }
    let lines = length / SCAN_EVERY;
    let line = Line::fit(&points, *points.first()?, along)?;
    // Half of the scan lines must see one straight edge, or there is none.
    let near = points.iter().filter(|point| line.distance(**point).abs() < 3.0).count();
    (near as f64 > 0.5 * lines && line.scatter < 2.0).then_some(line)
}

/// Grey levels along the ticks, the mean of the strip's lanes, from the first to the last place of the search.
fn strip(grey: Grey<'_>, graduation: &Graduation, edge: &Line) -> Option<(Point, Vec<f64>)> {
    let across = edge.along.turned();
    let inside = if across.dot(inwards(graduation.rule)) > 0.0 { across } else { across * -1.0 };
    let [x1, y1, x2, y2] = graduation.search;
    let reach = |corner: Point| (corner - edge.middle).dot(edge.along);
    let level = inwards(graduation.rule).x == 0.0;
    let (near, far) = if level {
        (reach(Point::new(x1, edge.middle.y)), reach(Point::new(x2, edge.middle.y)))
    } else {
        (reach(Point::new(edge.middle.x, y1)), reach(Point::new(edge.middle.x, y2)))
    };
    // Lanes shift their ends against each other where the rule is turned; a margin keeps all of them inside.
    let margin = 2.0 + f64::from(STRIP.1) * edge.along.x.abs().min(edge.along.y.abs());
    let (near, far) = (near + margin, far - margin);
    let middle = f64::from(STRIP.0 + STRIP.1) / 2.0;
    let start = edge.middle + edge.along * near + inside * middle;
    let count = super::geometry::index((far - near) / ALONG)?;
    let mut profile = Vec::with_capacity(count);
    for at in 0..count {
        let place = start + edge.along * (at as f64 * ALONG);
        let lanes: Option<Vec<f64>> =
            (STRIP.0..=STRIP.1).step_by(2).map(|lane| grey.sample(place + inside * (f64::from(lane) - middle))).collect();
        let lanes = lanes?;
        profile.push(lanes.iter().sum::<f64>() / lanes.len() as f64);
    }
    Some((start, profile))
}

/// Takes out slow changes of light and makes faint and strong ticks alike.
fn flatten(profile: &[f64]) -> Vec<f64> {
    let slow = smooth(profile, 40);
    let pattern: Vec<f64> = profile.iter().zip(&slow).map(|(level, slow)| level - slow).collect();
    let power = smooth(&pattern.iter().map(|level| level * level).collect::<Vec<_>>(), 80);
    pattern.iter().zip(&power).map(|(level, power)| level / (power.sqrt() + 0.5)).collect()
}

/// Twice the mean of `2 half + 1` values, which is nearly a Gaussian.
fn smooth(values: &[f64], half: usize) -> Vec<f64> {
    let once = |values: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0];
        values.iter().for_each(|value| sums.push(sums.last().copied().unwrap_or(0.0) + value));
        (0..values.len())
            .map(|at| {
                let (low, high) = (at.saturating_sub(half), (at + half + 1).min(values.len()));
                (sums[high] - sums[low]) / (high - low) as f64
            })
            .collect()
    };
    once(&once(values))
}

/// The period (in pixels) of the strongest spectral line, and its amplitude against that of the whole pattern.
fn strongest(pattern: &[f64], low: f64, high: f64) -> Option<(f64, f64)> {
    let length = pattern.len() as f64 * ALONG;
    let total = pattern.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length < 10.0 * low || total <= 0.0 {
        return None;
    }
    let strength = |frequency: f64| {
        let (re, im) = rotate(pattern, frequency, |_| 1.0);
        re.hypot(im) / (total * (pattern.len() as f64 / 2.0).sqrt())
    };
    // A line is 1 / length wide; four steps across it.
    let step = 0.25 / length;
    let (mut frequency, mut best) = (1.0 / high, (0.0, 0.0));
    while frequency <= 1.0 / low {
        let amplitude = strength(frequency);
        if amplitude > best.1 {
            best = (frequency, amplitude);
        }
        frequency += step;
    }
    (best.0 > 0.0).then(|| (1.0 / best.0, best.1))
}

/// Sum of the pattern turned back by `frequency` (per pixel), weighted by place.
fn rotate(pattern: &[f64], frequency: f64, weight: impl Fn(usize) -> f64) -> (f64, f64) {
    let turn = TAU * frequency * ALONG;
    let (step_re, step_im) = (turn.cos(), -turn.sin());
    let (mut re, mut im, mut sum) = (1.0, 0.0, (0.0, 0.0));
    for (at, value) in pattern.iter().enumerate() {
        let value = value * weight(at);
        sum = (sum.0 + value * re, sum.1 + value * im);
        (re, im) = (re * step_re - im * step_im, re * step_im + im * step_re);
    }
    sum
}

/// The phase of the graduation against an even one of `period`, as a parabola over pixels from the strip's middle.
fn phases(pattern: &[f64], period: f64) -> Option<Curve> {
    let sigma = WINDOW / ALONG;
    let middle = (pattern.len() - 1) as f64 / 2.0;
    let (mut places, mut last): (Vec<(f64, f64, f64)>, Option<f64>) = (Vec::new(), None);
    let margin = super::geometry::index(2.0 * sigma)?;
    for centre in (margin..pattern.len().saturating_sub(margin)).step_by(20) {
        let (low, high) = (centre.saturating_sub(3 * margin / 2), (centre + 3 * margin / 2).min(pattern.len()));
        let weight = |at: usize| {
            let far = ((low + at) as f64 - centre as f64) / sigma;
            (-far * far / 2.0).exp()
        };
        let (re, im) = rotate(&pattern[low..high], 1.0 / period, weight);
        // `rotate` began at `low`, not at the strip's start.
        let raw = im.atan2(re) - TAU * low as f64 * ALONG / period;
        let phase = last.map_or(raw, |last| raw - TAU * ((raw - last) / TAU).round());
        last = Some(phase);
        places.push(((centre as f64 - middle) * ALONG, phase, re.hypot(im)));
    }
    // The weakest windows lie where glare hides the ticks.
    let strong = quantile(&places.iter().map(|place| place.2).collect::<Vec<_>>(), 0.9)?;
    places.iter_mut().for_each(|place| place.2 = (place.2 / strong).min(1.0));
    let mut curve = Curve::fit(&places, 2, 0.01)?;
    // Windows overlap: of those that touch, about one in five is independent.
    curve.errors.iter_mut().for_each(|error| *error *= 5.0_f64.sqrt());
    Some(curve)
}
