//! The spark chart: the newest points of one control chart with centre line and limits.
//!
//! Invariants: limits and signals come from the snapshot and are never computed here; a number that is not finite leaves a
//! gap in the line and does not touch the scale.

use super::draw::{Area, DIM, INK, RED};
use super::shapes::{diamond, fill, stroke};
use super::text::BODY;
use super::{Language, Picture};
use embedded_graphics::prelude::Point;
use station::record::ChartPoint;
use station::snapshot::{ChartView, PointView, Snapshot};
use std::sync::Arc;

/// The chart that asked for the stop, else the first.
pub(super) fn chosen(snapshot: &Snapshot) -> Option<&Arc<ChartView>> {
    let stopping = snapshot.stop.as_ref().and_then(|stop| snapshot.charts.iter().find(|chart| stop.chart != 0 && chart.id == stop.chart));
    stopping.or_else(|| snapshot.charts.first())
}

/// Draws `chart`; `stops` if it is the one that stopped the line.
pub(super) fn draw(picture: &mut Picture, area: Area, language: Language, chart: &ChartView, stops: bool) {
    let newest = chart.points.last().map(|point| point.point.value);
    let right = match (chart.learning, newest) {
        (0, Some(value)) => format!("{} {}", number(value), chart.unit),
        (0, None) => String::new(),
        (left, _) => format!("{}{left}", language.say("limits in ", "限值待定 ")),
    };
    let labels = 46;
    let (head, gap) = (area.width - labels, 4);
    let right_width = BODY.width(&right).min(head * 2 / 3);
    BODY.draw(picture, Point::new(area.x, area.y), head - right_width - 8, &chart.name, INK);
    BODY.draw(picture, Point::new(area.x + head - right_width, area.y), right_width, &right, INK);

    let plot = Area { x: area.x, y: area.y + BODY.height + gap, width: head, height: area.height - BODY.height - 2 * gap };
    if plot.width < 24 || plot.height < 12 {
        return;
    }
    let step = 8;
    let room = usize::try_from((plot.width - 8) / step + 1).unwrap_or(1);
    let points = &chart.points[chart.points.len().saturating_sub(room)..];
    let Some(scale) = Scale::over(points, plot) else { return };
    let at = |index: usize| plot.x + 4 + i32::try_from(index).unwrap_or(0) * step;
    for (index, view) in points.iter().enumerate() {
        limits(picture, &scale, at(index), step, &view.point);
    }
    if let Some(last) = points.last() {
        line_labels(picture, language, &scale, plot, &last.point);
    }
    let mut before: Option<(i32, i32)> = None;
    for (index, view) in points.iter().enumerate() {
        let here = scale.y(view.point.value).map(|y| (at(index), y));
        if let (Some(from), Some(to)) = (before, here) {
            stroke(picture, from, to, 2, INK);
        }
        before = here;
    }
    for (index, view) in points.iter().enumerate() {
        let Some(y) = scale.y(view.point.value) else { continue };
        if signals(&view.point) {
            diamond(picture, (at(index), y), 6, if stops { RED } else { INK });
        } else {
            fill(picture, at(index) - 1, y - 1, 3, 3, INK);
        }
    }
}

/// True for a point outside its limits or one at which a rule signals.
fn signals(point: &ChartPoint) -> bool {
    let outside = point.ucl.is_some_and(|ucl| point.value > ucl) || point.lcl.is_some_and(|lcl| point.value < lcl);
    outside || !point.signals.is_empty()
}

/// Centre line solid, limits dashed, one step wide: they may differ from point to point.
fn limits(picture: &mut Picture, scale: &Scale, x: i32, step: i32, point: &ChartPoint) {
    if let Some(y) = point.centre.and_then(|value| scale.y(value)) {
        fill(picture, x - step / 2, y, step, 1, DIM);
    }
    for y in [point.lcl, point.ucl].into_iter().flatten().filter_map(|value| scale.y(value)) {
        fill(picture, x - step / 2, y, step * 5 / 8, 2, DIM);
    }
}

/// Names the lines at the right edge, as many as have room.
fn line_labels(picture: &mut Picture, language: Language, scale: &Scale, plot: Area, point: &ChartPoint) {
    let mut taken: Vec<i32> = Vec::new();
    let named =
        [(point.ucl, language.say("UCL", "上限")), (point.lcl, language.say("LCL", "下限")), (point.centre, language.say("CL", "中心"))];
    for (value, name) in named {
        let Some(y) = value.and_then(|value| scale.y(value)) else { continue };
        if taken.iter().all(|other| (other - y).abs() >= BODY.height) {
            taken.push(y);
            BODY.draw(picture, Point::new(plot.x + plot.width + 6, y - BODY.height / 2 - 1), 40, name, DIM);
        }
    }
}

/// From values to rows.
struct Scale {
    low: f64,
    high: f64,
    top: i32,
    height: i32,
}

impl Scale {
    /// Over all finite values and limits; `None` if there are none.
    fn over(points: &[PointView], plot: Area) -> Option<Self> {
        let all = points.iter().flat_map(|view| [Some(view.point.value), view.point.centre, view.point.lcl, view.point.ucl]).flatten();
        let (low, high) = all.filter(|value| value.is_finite()).fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })?;
        // A chart on which nothing varies is a line in the middle.
        let (low, high) = if high > low { (low, high) } else { (low - 1.0, low + 1.0) };
        Some(Self { low, high, top: plot.y, height: plot.height })
    }

    /// The row of `value`; `None` for one that is not finite or whose scale is not.
    fn y(&self, value: f64) -> Option<i32> {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        let below = ((1.0 - share) * f64::from(self.height - 1)).round();
        #[expect(clippy::cast_possible_truncation, reason = "finite, clamped to the plot's height of at most 4096 pixels just before")]
        below.is_finite().then(|| self.top + below.clamp(0.0, f64::from(self.height - 1)) as i32)
    }
}

/// Four figures that a person reads, not sixteen.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() || size >= 1e6 || (size != 0.0 && size < 1e-3) => format!("{value:.2e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
