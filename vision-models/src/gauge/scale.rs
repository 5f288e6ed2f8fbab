//! Pixels per millimetre, everywhere in the picture.

use super::geometry::Point;

/// Pixels per millimetre on the plane that was calibrated; linear in picture coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Where `value` holds.
    pub at: Point,
    /// Pixels per millimetre there.
    pub value: f64,
    /// Its change per pixel to the right and down.
    pub slope: Point,
    /// Relative standard uncertainty.
    pub relative: f64,
}

impl Scale {
    /// The same everywhere.
    #[must_use]
    pub const fn even(value: f64, relative: f64) -> Self {
        Self { at: Point::new(0.0, 0.0), value, slope: Point::new(0.0, 0.0), relative }
    }

    /// Pixels per millimetre at a place.
    #[must_use]
    pub fn at(&self, place: Point) -> f64 {
        self.value + (place - self.at).dot(self.slope)
    }
}
