//! The tools: edge pair, circle, straight edges. Each scans many lines, so each knows how well it knows.
//!
//! Invariant: a tool answers with a fit through most of its scan lines, or not at all; it never measures on a few.

use super::edge::{Edge, Grey, edges, slopes};
use super::geometry::{Circle, Line, Point};
use super::plan::{Caliper, Straight};
use std::f64::consts::TAU;

/// Least slope of an edge in grey levels per pixel.
const SLOPE_MIN: f64 = 4.0;

/// Share of the scan lines that must see an edge.
const SEEN_MIN: f64 = 0.6;

/// Where a tool stands: places of the plan as places of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stand {
    pub(crate) origin: Point,
    pub(crate) along: Point,
}

impl Stand {
    pub(crate) const PICTURE: Self = Self { origin: Point::new(0.0, 0.0), along: Point::new(1.0, 0.0) };

    pub(crate) fn place(&self, [x, y]: [f64; 2]) -> Point {
        self.origin + self.along * x + self.along.turned() * y
    }
}

/// Two opposite edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pair {
    pub(crate) first: Line,
    pub(crate) second: Line,
}

impl Pair {
    /// Distance of the edges at the caliper's middle, measured across the first.
    pub(crate) fn width(&self) -> f64 {
        self.first.distance(self.second.middle).abs()
    }

    pub(crate) fn middle(&self) -> Point {
        (self.first.middle + self.second.middle) * 0.5
    }

    pub(crate) fn error(&self) -> f64 {
        self.first.error.hypot(self.second.error)
    }
}

pub(crate) fn pair(grey: Grey<'_>, stand: &Stand, caliper: &Caliper) -> Result<Pair, String> {
    let (from, to) = (stand.place(caliper.from), stand.place(caliper.to));
    let along = (to - from).direction().ok_or("the caliper has no length")?;
    let (across, length) = (along.turned(), (to - from).length());
    let (mut firsts, mut seconds, mut lines) = (Vec::new(), Vec::new(), 0_u32);
    let mut aside = -caliper.breadth / 2.0;
    while aside <= caliper.breadth / 2.0 {
        let start = from + across * aside;
        aside += 1.0;
        lines += 1;
        let Some(profile) = grey.profile(start, along, length, 1) else { continue };
        let found = edges(&slopes(&profile), SLOPE_MIN);
        let into = if caliper.dark { -1.0 } else { 1.0 };
        let strongest = |sign: f64| steepest(found.iter().filter(move |edge| edge.slope * sign > 0.0));
        if let (Some(enter), Some(leave)) = (strongest(into), strongest(-into))
            && enter.place < leave.place
        {
            firsts.push(start + along * enter.place);
            seconds.push(start + along * leave.place);
        }
    }
    if (firsts.len() as f64) < SEEN_MIN * f64::from(lines) {
        return Err(format!("only {} of {lines} scan lines see two edges", firsts.len()));
    }
    let fit = |points: &[Point]| Line::fit(points, *points.first()?, across);
    fit(&firsts)
        .zip(fit(&seconds))
        .map(|(first, second)| Pair { first, second })
        .ok_or_else(|| "its edges are no straight lines".to_owned())
}

fn steepest<'a>(edges: impl Iterator<Item = &'a Edge>) -> Option<&'a Edge> {
    edges.max_by(|a, b| a.slope.abs().total_cmp(&b.slope.abs()))
}

pub(crate) fn straight(grey: Grey<'_>, stand: &Stand, straight: &Straight) -> Result<Line, String> {
    let (from, to) = (stand.place(straight.from), stand.place(straight.to));
    let along = (to - from).direction().ok_or("the edge has no length")?;
    let (across, length) = (along.turned(), (to - from).length());
    let (mut points, mut lines, mut at) = (Vec::new(), 0_u32, 0.0);
    while at <= length {
        let start = from + along * at - across * straight.reach;
        at += 1.0;
        lines += 1;
        let Some(profile) = grey.profile(start, across, 2.0 * straight.reach, 1) else { continue };
        if let Some(edge) = steepest(edges(&slopes(&profile), SLOPE_MIN).iter()) {
            points.push(start + across * edge.place);
        }
    }
    if (points.len() as f64) < SEEN_MIN * f64::from(lines) {
        return Err(format!("only {} of {lines} scan lines see an edge", points.len()));
    }
    Line::fit(&points, from, along).ok_or_else(|| "its points are no straight line".to_owned())
}

pub(crate) fn circle(grey: Grey<'_>, stand: &Stand, centre: [f64; 2], (least, most): (f64, f64), dark: bool) -> Result<Circle, String> {
    let middle = stand.place(centre);
    let rays = 180_u32;
    let mut points = Vec::new();
    for ray in 0..rays {
        let (sin, cos) = (TAU * f64::from(ray) / f64::from(rays)).sin_cos();
        let along = Point::new(cos, sin);
        let Some(profile) = grey.profile(middle + along * least, along, most - least, 1) else { continue };
        let out = if dark { 1.0 } else { -1.0 };
        if let Some(edge) = steepest(edges(&slopes(&profile), SLOPE_MIN).iter().filter(|edge| edge.slope * out > 0.0)) {
            points.push(middle + along * (least + edge.place));
        }
    }
    if (points.len() as f64) < SEEN_MIN * f64::from(rays) {
        return Err(format!("only {} of {rays} rays see its edge", points.len()));
    }
    let circle = Circle::fit(&points, middle, (least + most) / 2.0).ok_or("its points are no circle")?;
    let inside = (least - 1.0..=most + 1.0).contains(&circle.radius);
    if inside { Ok(circle) } else { Err(format!("its radius would be {:.1} pixels", circle.radius)) }
}
