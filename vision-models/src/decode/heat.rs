//! A heat map: one finding for a piece, around its hottest part, with the score of the whole piece.
//!
//! Invariant: a piece at or above the floor has exactly one finding, so that whoever judges it has one score to compare.

use super::{DecodeError, Looker, Wanted, check_shape, check_values, is_score};
use crate::package::Heat;
use crate::prepare::Geometry;
use crate::runtime::Output;
use station::inspection::{ClassId, Finding, PixelBox};

/// Looks at a heat map and the score of the whole piece.
pub(super) struct HeatLooker {
    rules: Heat,
}

impl HeatLooker {
    pub(super) const fn new(rules: Heat) -> Self {
        Self { rules }
    }
}

impl Looker for HeatLooker {
    fn outputs(&self) -> Vec<Wanted> {
        let wanted = |name: &String, shape: &[i64]| Wanted { name: name.clone(), shape: shape.to_vec() };
        vec![wanted(&self.rules.score, &[1]), wanted(&self.rules.heat, &[1, -1, -1])]
    }

    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError> {
        let &[score, heat] = outputs else { return Err(DecodeError::Missing { wanted: 2, given: outputs.len() }) };
        let stride = self.rules.stride;
        let (columns, rows) = (geometry.input.0 / stride, geometry.input.1 / stride);
        check_shape(&self.rules.score, score, &[1, 1])?;
        check_shape(&self.rules.heat, heat, &[1, 1, rows.into(), columns.into()])?;
        check_values(&self.rules.score, score.values, is_score)?;
        check_values(&self.rules.heat, heat.values, is_score)?;
        let score = score.values.first().map_or(0.0, |score| score.clamp(0.0, 1.0));
        if score < self.rules.floor {
            return Ok(Vec::new());
        }
        let bounds = hot_part(heat.values, columns, stride).and_then(|bounds| geometry.to_frame(&bounds));
        Ok(bounds.map(|bounds| Finding { class: ClassId(1), score, bounds, area_mm2: None, camera: 0 }).into_iter().collect())
    }
}

/// Box of the input around the hottest cell and all that hang together with it and are hotter than half way between it and
/// the median: the fault, if there is one, whatever the level of the map.
fn hot_part(heat: &[f32], columns: u32, stride: u32) -> Option<PixelBox> {
    let columns = usize::try_from(columns).ok().filter(|columns| *columns > 0)?;
    let mut sorted = heat.to_vec();
    sorted.sort_by(f32::total_cmp);
    let (median, most) = (*sorted.get(sorted.len() / 2)?, *sorted.last()?);
    let limit = f32::midpoint(median, most);
    let start = heat.iter().position(|cell| cell.total_cmp(&most).is_eq())?;
    let mut seen = vec![false; heat.len()];
    let mut open = vec![start];
    let (mut left, mut top, mut right, mut bottom) = (columns, heat.len(), 0, 0);
    while let Some(cell) = open.pop() {
        if std::mem::replace(&mut seen[cell], true) {
            continue;
        }
        let (x, y) = (cell % columns, cell / columns);
        (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
        let beside = [(x > 0).then(|| cell - 1), (x + 1 < columns).then_some(cell + 1), cell.checked_sub(columns), Some(cell + columns)];
        open.extend(beside.into_iter().flatten().filter(|next| heat.get(*next).is_some_and(|value| *value >= limit) && !seen[*next]));
    }
    // A side has at most 8192 pixels, so cells times pixels fit.
    let pixels = |cells: usize| f32::from(u16::try_from(cells).unwrap_or(u16::MAX)) * f32::from(u8::try_from(stride).unwrap_or(u8::MAX));
    Some(PixelBox { x1: pixels(left), y1: pixels(top), x2: pixels(right), y2: pixels(bottom) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::tests::{geometry, layout};

    fn looker() -> HeatLooker {
        HeatLooker::new(Heat { floor: 0.01, score: "score".to_owned(), heat: "heat".to_owned(), stride: 16 })
    }

    fn look(score: f32, heat: &[f32]) -> Result<Vec<Finding>, DecodeError> {
        let geometry = geometry((64, 64), &layout());
        let score = [score];
        looker().findings(&[Output { shape: &[1, 1], values: &score }, Output { shape: &[1, 1, 4, 4], values: heat }], &geometry)
    }

    #[test]
    fn the_box_lies_around_the_hot_part_alone() {
        let mut heat = [0.1; 16];
        // Two cells side by side, and a third one far away.
        (heat[5], heat[6], heat[15]) = (0.9, 0.7, 0.8);
        let found = look(0.75, &heat).unwrap();
        let b = found[0].bounds;
        assert_eq!(found.len(), 1);
        assert_eq!((b.x1, b.y1, b.x2, b.y2), (16.0, 16.0, 48.0, 32.0));
        assert!((found[0].score - 0.75).abs() < f32::EPSILON);
        assert_eq!(look(0.005, &heat).unwrap(), []);
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut heat = [0.1; 16];
        assert!(look(f32::NAN, &heat).is_err());
        assert!(look(1.5, &heat).is_err());
        heat[3] = f32::INFINITY;
        assert!(look(0.5, &heat).is_err());
        assert!(matches!(look(0.5, &[0.1; 12]), Err(DecodeError::Shape { .. })));
    }

    #[test]
    fn an_even_map_is_hot_as_a_whole() {
        let b = look(0.4, &[0.3; 16]).unwrap()[0].bounds;
        assert_eq!((b.x1, b.y1, b.x2, b.y2), (0.0, 0.0, 64.0, 64.0));
    }
}
