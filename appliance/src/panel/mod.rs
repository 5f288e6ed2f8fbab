//! The panel: a small display at the station, drawn from the same `Snapshot` as the page, so that the line tells where it
//! stands even when no web server runs.
//!
//! Invariants: drawing is a pure function of snapshot, language and size; it has no error and no panic for any text, number
//! or size, because a dark display looks like a stopped station. Only this folder knows embedded-graphics; outside it a
//! picture is rows of pixels. Nothing is told by colour alone.

mod chart;
mod device;
mod draw;
mod shapes;
mod standing;
mod text;
mod words;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use device::{Device, DeviceError, Framebuffer, PngFile};
pub use draw::draw;

use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::{Rgb565, raw::RawU16};
use embedded_graphics::prelude::{DrawTarget, IntoStorage as _, OriginDimensions, RgbColor as _, Size};
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;

/// Language of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Chinese, simplified.
    Zh,
}

/// Size of a display in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelSize {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl PanelSize {
    /// Largest side that is drawn, in pixels: a wrong geometry file must not ask for all memory (4096² pixels = 32 MiB).
    pub const SIDE_MAX: u32 = 4096;

    /// The nearest size that can be drawn: both sides 1…[`Self::SIDE_MAX`].
    #[must_use]
    pub fn clamped(self) -> Self {
        Self { width: self.width.clamp(1, Self::SIDE_MAX), height: self.height.clamp(1, Self::SIDE_MAX) }
    }
}

/// Why a picture could not be turned into a PNG.
#[derive(Debug, thiserror::Error)]
#[error("the panel's picture of {width}x{height} pixels could not be encoded as PNG")]
pub struct PngError {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What the encoder said.
    #[source]
    pub source: png::EncodingError,
}

/// A drawn panel, row by row from the top left corner.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    size: PanelSize,
    pixels: Vec<Rgb565>,
}

impl Picture {
    pub(in crate::panel) fn filled(size: PanelSize, colour: Rgb565) -> Self {
        let size = size.clamped();
        Self { size, pixels: vec![colour; size.width as usize * size.height as usize] }
    }

    /// Its size in pixels; neither side is 0.
    #[must_use]
    pub fn size(&self) -> PanelSize {
        self.size
    }

    /// The rows from top to bottom, each pixel as RGB565: red in bits 15…11, green in 10…5, blue in 4…0.
    pub fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = u16>> {
        self.pixels.chunks_exact(self.size.width as usize).map(|row| row.iter().map(|pixel| pixel.into_storage()))
    }

    /// The picture as an 8-bit RGB PNG.
    ///
    /// # Errors
    /// [`PngError`] if the encoder refuses; for a picture of legal size it only can for want of memory.
    pub fn to_png(&self) -> Result<Vec<u8>, PngError> {
        let PanelSize { width, height } = self.size;
        let wrap = |source| PngError { width, height, source };
        let rgb: Vec<u8> = self.pixels.iter().flat_map(|pixel| rgb888(pixel.into_storage())).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // It is drawn several times a second; a larger file costs less than the time to make it small.
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header().map_err(wrap)?;
        writer.write_image_data(&rgb).map_err(wrap)?;
        writer.finish().map_err(wrap)?;
        Ok(file)
    }

    /// The same picture with every pixel `factor` times as wide and high, on a canvas of `size` whose rest is `rest`.
    pub(in crate::panel) fn enlarged(&self, factor: u32, size: PanelSize, rest: Rgb565) -> Self {
        let mut large = Self::filled(size, rest);
        let (width, factor) = (large.size.width as usize, factor.max(1) as usize);
        for (y, row) in large.pixels.chunks_exact_mut(width).enumerate() {
            let from = (y / factor) * self.size.width as usize;
            let Some(source) = self.pixels.get(from..from + self.size.width as usize) else { break };
            for (pixels, colour) in row.chunks_mut(factor).zip(source) {
                pixels.fill(*colour);
            }
        }
        large
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.size.width, self.size.height)
    }
}

/// The 8-bit red, green and blue of an RGB565 pixel: the high bits fill the low ones, so that white stays white.
pub(in crate::panel) fn rgb888(pixel: u16) -> [u8; 3] {
    let pixel = Rgb565::from(RawU16::new(pixel));
    let (red, green, blue) = (pixel.r(), pixel.g(), pixel.b());
    [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.size.width, self.size.height)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let width = self.size.width as usize;
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else { continue };
            if x < width
                && let Some(pixel) = self.pixels.get_mut(y.saturating_mul(width) + x)
            {
                *pixel = colour;
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb565) -> Result<(), Infallible> {
        let area = area.intersection(&Rectangle::new(embedded_graphics::prelude::Point::zero(), OriginDimensions::size(self)));
        let (Ok(x), Ok(y)) = (usize::try_from(area.top_left.x), usize::try_from(area.top_left.y)) else { return Ok(()) };
        let (width, height) = (area.size.width as usize, area.size.height as usize);
        for row in self.pixels.chunks_exact_mut(self.size.width as usize).skip(y).take(height) {
            row[x..x + width].fill(colour);
        }
        Ok(())
    }
}
