//! The last step of every picture: from bytes, pixel by pixel, to planes of numbers.
//!
//! Loops over slices without branches: the compiler makes vector instructions of them.
//!
//! Invariants: every pixel of the picture is read once and every value of its place in the plane is written; what lies
//! right of and below it is left alone.

use crate::frame::PixelFormat;
use crate::package::{Input, Plane};
use crate::picture::luma;

/// What a grey level becomes in the input.
pub(super) struct Levels {
    factor: f32,
    offset: f32,
    /// All 256 of them, where black and white are not 0 and 255.
    table: Option<Box<[f32; 256]>>,
}

impl Levels {
    /// The level is stretched and rounded (bytes saturate, which cuts off what lies beyond black and white), then scaled.
    #[expect(clippy::cast_possible_truncation, reason = "factor and offset of the input are meant as 32-bit floats")]
    pub(super) fn of(layout: &Input) -> Self {
        let (factor, offset) = (layout.scale as f32, layout.offset as f32);
        let plain = layout.black == 0 && layout.white == 255;
        let gain = 255.0 / f32::from(layout.white.saturating_sub(layout.black).max(1));
        let stretched = |level: u8| ((f32::from(level) - f32::from(layout.black)) * gain).round_ties_even().clamp(0.0, 255.0);
        let table = (!plain).then(|| {
            let mut table = Box::new([0.0; 256]);
            table.iter_mut().zip(0..=u8::MAX).for_each(|(value, level)| *value = stretched(level) * factor + offset);
            table
        });
        Self { factor, offset, table }
    }

    /// The value of one level.
    pub(super) fn value(&self, level: u8) -> f32 {
        match &self.table {
            Some(table) => table[usize::from(level)],
            None => f32::from(level) * self.factor + self.offset,
        }
    }
}

/// Size of a picture within a plane whose rows are `stride` wide; all in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) stride: usize,
}

/// True if three planes want the three colours of a coloured picture.
pub(super) fn is_coloured(format: PixelFormat, planes: &[(Plane, &mut [f32])]) -> bool {
    format != PixelFormat::Mono8 && planes.len() == 3 && planes.iter().all(|(plane, _)| channel(format, *plane).is_some())
}

/// Where a pixel has this colour.
pub(super) const fn channel(format: PixelFormat, plane: Plane) -> Option<usize> {
    match (plane, format) {
        (Plane::Red, PixelFormat::Rgb8) | (Plane::Blue, PixelFormat::Bgr8) => Some(0),
        (Plane::Green, PixelFormat::Rgb8 | PixelFormat::Bgr8) => Some(1),
        (Plane::Blue, PixelFormat::Rgb8) | (Plane::Red, PixelFormat::Bgr8) => Some(2),
        _ => None,
    }
}

/// A grey picture into one plane.
pub(super) fn plain(pixels: &[u8], size: Size, levels: &Levels, to: &mut [f32]) {
    for (row, to) in pixels.chunks_exact(size.width).zip(to.chunks_exact_mut(size.stride)) {
        match &levels.table {
            None => row.iter().zip(to).for_each(|(level, to)| *to = f32::from(*level) * levels.factor + levels.offset),
            Some(table) => row.iter().zip(to).for_each(|(level, to)| *to = table[usize::from(*level)]),
        }
    }
}

/// A coloured picture into one plane, as a grey one.
pub(super) fn lighten(pixels: &[u8], format: PixelFormat, size: Size, levels: &Levels, to: &mut [f32]) {
    for (row, to) in pixels.chunks_exact(3 * size.width).zip(to.chunks_exact_mut(size.stride)) {
        for (pixel, to) in row.as_chunks::<3>().0.iter().zip(to) {
            let [first, green, last] = *pixel;
            let (red, blue) = if format == PixelFormat::Rgb8 { (first, last) } else { (last, first) };
            *to = levels.value(luma(red, green, blue));
        }
    }
}

/// A coloured picture into three planes, in the order of its own channels.
pub(super) fn split(pixels: &[u8], size: Size, levels: &Levels, [first, second, third]: [&mut [f32]; 3]) {
    let rows = pixels.chunks_exact(3 * size.width);
    let planes = first.chunks_exact_mut(size.stride).zip(second.chunks_exact_mut(size.stride)).zip(third.chunks_exact_mut(size.stride));
    for (row, ((first, second), third)) in rows.zip(planes) {
        for (((pixel, first), second), third) in row.as_chunks::<3>().0.iter().zip(first).zip(second).zip(third) {
            *first = levels.value(pixel[0]);
            *second = levels.value(pixel[1]);
            *third = levels.value(pixel[2]);
        }
    }
}

/// Sums of two rows, and means of two pixels of them.
#[derive(Default)]
pub(super) struct Rows {
    sums: Vec<u16>,
    means: Vec<u16>,
}

impl Rows {
    /// A coloured picture, halved exactly, into three planes in the order of its own channels. `size` is that of the picture.
    ///
    /// Three passes over a row that stays in the first-level cache, each of them plain enough for vector instructions: the sum
    /// with the row below, the mean with the pixel to the right, and every other pixel taken apart.
    pub(super) fn halve(&mut self, pixels: &[u8], size: Size, levels: &Levels, [first, second, third]: [&mut [f32]; 3]) {
        let length = 3 * size.width;
        self.sums.resize(length, 0);
        self.means.resize(length, 0);
        let planes = first.chunks_exact_mut(size.stride).zip(second.chunks_exact_mut(size.stride)).zip(third.chunks_exact_mut(size.stride));
        for (pair, ((first, second), third)) in pixels.chunks_exact(2 * length).take(size.height / 2).zip(planes) {
            let (upper, lower) = pair.split_at(length);
            for ((sum, upper), lower) in self.sums.iter_mut().zip(upper).zip(lower) {
                *sum = u16::from(*upper) + u16::from(*lower);
            }
            for ((mean, left), right) in self.means.iter_mut().zip(&self.sums).zip(&self.sums[3..]) {
                *mean = (*left + *right + 2) >> 2;
            }
            let pixels = self.means.as_chunks::<6>().0.iter().zip(first).zip(second).zip(third);
            match &levels.table {
                None => {
                    for (((pixel, first), second), third) in pixels {
                        *first = f32::from(pixel[0]) * levels.factor + levels.offset;
                        *second = f32::from(pixel[1]) * levels.factor + levels.offset;
                        *third = f32::from(pixel[2]) * levels.factor + levels.offset;
                    }
                }
                Some(table) => {
                    let value = |level: u16| table.get(usize::from(level)).copied().unwrap_or_default();
                    for (((pixel, first), second), third) in pixels {
                        (*first, *second, *third) = (value(pixel[0]), value(pixel[1]), value(pixel[2]));
                    }
                }
            }
        }
    }
}
