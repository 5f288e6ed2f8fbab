//! Sizes and places of findings, and values compared with limits.

use super::scheme::{Care, Halves, LengthUnit, Scheme, Shape, Size, Zone, ZoneUnit};
use crate::inspection::{Finding, Inspection, PixelBox};

/// Values that differ by less than this part of themselves are equal: a limit of 0.3 admits 0.1 + 0.2.
const SAME: f64 = 1e-9;

/// True if `value` is `limit` or less.
pub(super) fn at_most(value: f64, limit: f64) -> bool {
    value <= limit + SAME * value.abs().max(limit.abs())
}

/// `value` as it is compared and shown.
pub(super) fn rounded(value: f64, care: Care) -> f64 {
    let Some(step) = care.round_to else { return value };
    let steps = value / step;
    // 0.15 / 0.1 is a little less than the half that is meant.
    let half = (steps * 2.0).round() / 2.0;
    let steps = if (steps - half).abs() <= SAME * steps.abs().max(1.0) { half } else { steps };
    step * match care.halves {
        Halves::Even => steps.round_ties_even(),
        Halves::Up => steps.round(),
    }
}

/// `value` in the unit `to`; `None` if the one cannot be made of the other.
pub(super) fn converted(value: f64, from: &str, to: &str) -> Option<f64> {
    if from == to {
        return Some(value);
    }
    let millimetres = |unit: &str| match unit {
        "nm" => Some(1e-6),
        "um" | "µm" | "μm" => Some(1e-3),
        "mm" => Some(1.0),
        "cm" => Some(10.0),
        "m" => Some(1000.0),
        "in" | "[in_i]" => Some(25.4),
        _ => None,
    };
    Some(value * millimetres(from)? / millimetres(to)?)
}

/// The picture in which a finding lies.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) camera: &'a str,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The view with this index; `None` if the record has none.
pub(super) fn view(inspection: &Inspection, camera: u8) -> Option<View<'_>> {
    if inspection.views.is_empty() {
        let (width, height) = (f64::from(inspection.width), f64::from(inspection.height));
        return Some(View { camera: &inspection.camera, width, height });
    }
    let view = inspection.views.get(usize::from(camera))?;
    Some(View { camera: &view.camera, width: f64::from(view.width), height: f64::from(view.height) })
}

/// All pictures of a piece.
pub(super) fn views(inspection: &Inspection) -> impl Iterator<Item = View<'_>> {
    let count = u8::try_from(inspection.views.len()).unwrap_or(u8::MAX).max(1);
    (0..count).filter_map(|camera| view(inspection, camera))
}

impl Scheme {
    /// Size of a camera's pixel in millimetres.
    pub(super) fn pixel(&self, camera: &str) -> Option<f64> {
        self.millimetres_per_pixel.get(camera).or_else(|| self.millimetres_per_pixel.get("")).copied()
    }

    /// Size of a finding in `unit`; `None` if the size of a pixel is needed and not known.
    pub(super) fn size(&self, finding: &Finding, camera: &str, size: Size, unit: LengthUnit) -> Option<f64> {
        let (width, height) = sides(finding.bounds);
        let length = |pixels: f64| Some(pixels * self.of_pixel(camera, unit)?);
        match size {
            Size::Length => length(width.max(height)),
            Size::Width => length(width.min(height)),
            Size::Area => self.area(finding, camera, unit),
            Size::Diameter => match finding.area_mm2 {
                Some(_) => self.area(finding, camera, unit).map(|area| 2.0 * (area / std::f64::consts::PI).sqrt()),
                None => length(width.max(height)),
            },
        }
    }

    /// How many of `unit` a pixel is.
    fn of_pixel(&self, camera: &str, unit: LengthUnit) -> Option<f64> {
        unit.millimetres().map_or(Some(1.0), |millimetres| Some(self.pixel(camera)? / millimetres))
    }

    /// Area of a finding in `unit`².
    pub(super) fn area(&self, finding: &Finding, camera: &str, unit: LengthUnit) -> Option<f64> {
        match (finding.area_mm2, unit.millimetres()) {
            (Some(area), Some(millimetres)) => Some(f64::from(area) / (millimetres * millimetres)),
            (Some(area), None) => self.pixel(camera).map(|pixel| f64::from(area) / (pixel * pixel)),
            (None, _) => {
                let (width, height) = sides(finding.bounds);
                let of_pixel = self.of_pixel(camera, unit)?;
                Some(width * of_pixel * height * of_pixel)
            }
        }
    }

    /// True if the middle of `bounds` lies in the zone; `None` if its edges cannot be placed in this picture.
    pub(super) fn lies_in(&self, zone: &Zone, view: View<'_>, bounds: PixelBox) -> Option<bool> {
        if zone.camera.as_deref().is_some_and(|camera| camera != view.camera) {
            return Some(false);
        }
        let ((left, right), (top, bottom)) = self.edges(zone, view)?;
        let x = f64::midpoint(f64::from(bounds.x1), f64::from(bounds.x2));
        let y = f64::midpoint(f64::from(bounds.y1), f64::from(bounds.y2));
        let inside = match zone.shape {
            Shape::Rectangle => (left..=right).contains(&x) && (top..=bottom).contains(&y),
            Shape::Ellipse => {
                let across = (2.0 * x - left - right) / (right - left);
                let down = (2.0 * y - top - bottom) / (bottom - top);
                across * across + down * down <= 1.0
            }
        };
        if !inside {
            return Some(false);
        }
        for name in &zone.except {
            let cut = self.zone(name)?;
            if self.lies_in(cut, view, bounds)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Area of a zone in pixels, without what is cut out of it being taken away.
    pub(super) fn zone_area(&self, zone: &Zone, view: View<'_>) -> Option<f64> {
        let ((left, right), (top, bottom)) = self.edges(zone, view)?;
        let rectangle = (right - left) * (bottom - top);
        Some(if zone.shape == Shape::Ellipse { rectangle * std::f64::consts::FRAC_PI_4 } else { rectangle })
    }

    /// Left and right, upper and lower edge in pixels.
    fn edges(&self, zone: &Zone, view: View<'_>) -> Option<((f64, f64), (f64, f64))> {
        let (x, y) = match zone.unit {
            ZoneUnit::Px => (1.0, 1.0),
            ZoneUnit::Percent => (view.width / 100.0, view.height / 100.0),
            ZoneUnit::Mm => {
                let pixel = self.pixel(view.camera)?;
                (1.0 / pixel, 1.0 / pixel)
            }
        };
        Some(((zone.x[0] * x, zone.x[1] * x), (zone.y[0] * y, zone.y[1] * y)))
    }

    /// The zone of this name.
    pub(super) fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }
}

fn sides(bounds: PixelBox) -> (f64, f64) {
    (f64::from(bounds.x2) - f64::from(bounds.x1), f64::from(bounds.y2) - f64::from(bounds.y1))
}
