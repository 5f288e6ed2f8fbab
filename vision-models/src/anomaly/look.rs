//! One picture with its heat map laid over it, for people.

use super::TeachError;
use crate::decode::Wanted;
use crate::package::{Package, Task};
use crate::picture::Picture;
use crate::prepare::{Grey, PrepareError, Preparer};
use crate::runtime::{Runtime, RuntimeError};
use std::path::Path;

/// What a taught package sees on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Score of the whole piece, 0…1; half is the threshold.
    pub score: f32,
    /// Columns of the map.
    pub columns: usize,
    /// The map, row by row, 0…1; half is what 1 in 200 places of good pieces exceeds.
    pub heat: Vec<f32>,
}

/// Looks at one picture; `None` if the package's task is not anomaly.
///
/// # Errors
/// If the picture cannot be prepared or the model does not run.
pub fn look(runtime: &Runtime, package: &Package, picture: &Picture) -> Result<Option<Look>, TeachError> {
    let manifest = package.manifest();
    let Task::Anomaly(rules) = &manifest.task else { return Ok(None) };
    let mut engine = runtime.load(package.weights())?;
    let (width, height) = (picture.width(), picture.height());
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| PrepareError::Picture { width, height, source };
    let mut preparer = Preparer::new(manifest.input.clone()).map_err(|source| failed(source.into()))?;
    let (geometry, values) = preparer.prepare(Grey { width: picture.width(), height: picture.height(), pixels: picture.pixels() }, None)?;
    let side = |pixels: u32| usize::try_from(pixels).unwrap_or(0);
    let shape = [1, 1, side(geometry.input.1), side(geometry.input.0)];
    let wanted = [&rules.score, &rules.heat].map(|name| Wanted { name: name.clone(), shape: Vec::new() });
    let seen = engine.run((shape, values), &wanted, |outputs| {
        let [score, heat] = outputs else { return None };
        Some((*score.values.first()?, heat.values.to_vec()))
    })?;
    let (score, heat) = seen.ok_or_else(|| RuntimeError::Run { reason: "the model put nothing out".to_owned() })?;
    Ok(Some(Look { score, columns: side(geometry.input.0 / rules.stride), heat }))
}

impl Look {
    /// The picture in grey with the map over it: clear below a quarter, then yellow, red from three quarters on.
    #[must_use]
    pub fn over(&self, picture: &Picture) -> Vec<u8> {
        let (width, height) = (picture.width(), picture.height());
        let rows = self.heat.len() / self.columns.max(1);
        let mut out = Vec::with_capacity(3 * picture.pixels().len());
        for y in 0..height {
            for x in 0..width {
                let place = usize::try_from(u64::from(y) * u64::from(width) + u64::from(x)).unwrap_or(0);
                let heat = self.at(middle(x, width, self.columns), middle(y, height, rows), rows);
                out.extend(coloured(picture.pixels()[place], heat));
            }
        }
        out
    }

    /// Writes the picture with the map over it as a PNG file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_over(&self, picture: &Picture, path: &Path) -> Result<(), TeachError> {
        let failed = |source: std::io::Error| TeachError::Write { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.over(picture))?;
            writer.finish()
        });
        written.map_err(|error| failed(std::io::Error::other(error)))?;
        std::fs::write(path, bytes).map_err(failed)
    }

    /// Bilinear between the middles of the cells.
    fn at(&self, x: (usize, f32), y: (usize, f32), rows: usize) -> f32 {
        let cell = |column: usize, row: usize| {
            let place = row.min(rows.saturating_sub(1)) * self.columns + column.min(self.columns.saturating_sub(1));
            self.heat.get(place).copied().unwrap_or(0.0)
        };
        let along = |row: usize| cell(x.0, row) * (1.0 - x.1) + cell(x.0 + 1, row) * x.1;
        along(y.0) * (1.0 - y.1) + along(y.0 + 1) * y.1
    }
}

/// The cell whose middle lies before a pixel, and how far behind it the pixel is, in cells.
fn middle(pixel: u32, pixels: u32, cells: usize) -> (usize, f32) {
    // In halves of a pixel times cells, so that it stays exact.
    let cells = u64::try_from(cells).unwrap_or(1);
    let (position, unit) = ((2 * u64::from(pixel) + 1) * cells, 2 * u64::from(pixels.max(1)));
    let from_first = position.saturating_sub(unit / 2);
    let share = f32::from(u16::try_from(1000 * (from_first % unit) / unit).unwrap_or(0)) / 1000.0;
    (usize::try_from(from_first / unit).unwrap_or(0), share)
}

fn coloured(grey: u8, heat: f32) -> [u8; 3] {
    let share = ((heat - 0.25) / 0.5).clamp(0.0, 1.0);
    let cover = 0.6 * share;
    let mix = |colour: f32| byte(f32::from(grey) * (1.0 - cover) + colour * cover);
    [mix(255.0), mix(220.0 * (1.0 - share)), mix(0.0)]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to 0…255 before")]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hot_is_red_and_what_is_cold_stays_grey() {
        let look = Look { score: 0.9, columns: 2, heat: vec![0.0, 1.0, 0.0, 0.0] };
        let picture = Picture::new(8, 8, vec![100; 64]).unwrap();
        let over = look.over(&picture);
        assert_eq!(over.len(), 3 * 64);
        assert_eq!(over[..3], [100, 100, 100]);
        let hot = &over[3 * 7..3 * 8];
        assert!(hot[0] > 180 && hot[1] < 60, "{hot:?}");
        assert_eq!(over[3 * 63..], [100, 100, 100]);
    }
}
