//! Where along a line the grey level changes most, to a fraction of a pixel.
//!
//! A profile is sampled along the line (bilinear, averaged across a narrow strip), differentiated with a Gaussian of one
//! pixel (Canny's optimal step detector), and the extremum's place is that of the parabola through its three values.
//! Blur is symmetric and does not move it; noise moves it by `noise / contrast`, which many scan lines average out.

use super::geometry::{Point, index};
use crate::frame::{Frame, PixelFormat};
use crate::picture::{Picture, luma};

/// Distance of samples along a profile, in pixels.
pub(crate) const STEP: f64 = 0.25;

/// Width of the differentiating Gaussian, in pixels.
const SIGMA: f64 = 1.0;

/// A picture to measure in, of which only the brightness counts. Borrowed; no pixel is copied.
#[derive(Debug, Clone, Copy)]
pub struct Grey<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    format: PixelFormat,
    pixels: &'a [u8],
}

impl<'a> From<&'a Picture> for Grey<'a> {
    fn from(picture: &'a Picture) -> Self {
        Self::of(picture.width(), picture.height(), PixelFormat::Mono8, picture.pixels())
    }
}

impl<'a> From<&'a Frame> for Grey<'a> {
    fn from(frame: &'a Frame) -> Self {
        Self::of(frame.width(), frame.height(), frame.format(), frame.pixels())
    }
}

impl<'a> Grey<'a> {
    fn of(width: u32, height: u32, format: PixelFormat, pixels: &'a [u8]) -> Self {
        let side = |side: u32| usize::try_from(side).unwrap_or(0);
        Self { width: side(width), height: side(height), format, pixels }
    }

    /// The grey level of the pixel `at`, counted row by row; of colours their Rec. 601 luma, as pictures are read.
    pub(crate) fn level(&self, at: usize) -> Option<u8> {
        let three = |red: usize, blue: usize| {
            let pixel = self.pixels.get(3 * at..3 * at + 3)?;
            Some(luma(pixel[red], pixel[1], pixel[blue]))
        };
        match self.format {
            PixelFormat::Mono8 => self.pixels.get(at).copied(),
            PixelFormat::Rgb8 => three(0, 2),
            PixelFormat::Bgr8 => three(2, 0),
        }
    }

    /// The grey level at a place between pixels, bilinear; `None` outside the picture.
    pub(crate) fn sample(&self, place: Point) -> Option<f64> {
        let (column, row) = (index(place.x)?, index(place.y)?);
        if column + 1 >= self.width || row + 1 >= self.height {
            return None;
        }
        let (u, v) = (place.x - column as f64, place.y - row as f64);
        let at = row * self.width + column;
        let [a, b, c, d] = [at, at + 1, at + self.width, at + self.width + 1].map(|at| self.level(at).map(f64::from));
        Some((a? * (1.0 - u) + b? * u) * (1.0 - v) + (c? * (1.0 - u) + d? * u) * v)
    }

    /// Grey levels from `from` along `along` for `length` pixels, one each `STEP`, each the mean of `lanes` samples one pixel
    /// apart across the line. `None` if it leaves the picture.
    pub(crate) fn profile(&self, from: Point, along: Point, length: f64, lanes: u32) -> Option<Vec<f64>> {
        let across = along.turned();
        let count = index(length / STEP)? + 1;
        let half = f64::from(lanes.max(1) - 1) / 2.0;
        let mut profile = Vec::with_capacity(count);
        for at in 0..count {
            let place = from + along * (at as f64 * STEP);
            let mut sum = 0.0;
            for lane in 0..lanes.max(1) {
                sum += self.sample(place + across * (f64::from(lane) - half))?;
            }
            profile.push(sum / f64::from(lanes.max(1)));
        }
        Some(profile)
    }
}

/// An edge on a profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edge {
    /// Pixels from the profile's start.
    pub(crate) place: f64,
    /// Grey levels per pixel; positive where it becomes brighter.
    pub(crate) slope: f64,
}

/// Derivative of a profile in grey levels per pixel, smoothed by the Gaussian; as long as the profile.
pub(crate) fn slopes(profile: &[f64]) -> Vec<f64> {
    let reach: usize = 12;
    let kernel: Vec<f64> = (1..=reach).map(|n| n as f64 * STEP).map(|x| x * (-x * x / (2.0 * SIGMA * SIGMA)).exp()).collect();
    // So that a slope of 1 grey level per pixel gives 1.
    let gain = 1.0 / kernel.iter().zip(1..=reach).map(|(weight, n)| 2.0 * weight * n as f64 * STEP).sum::<f64>();
    let last = profile.len().saturating_sub(1);
    let at = |place: usize| {
        let sum: f64 = kernel
            .iter()
            .zip(1..=reach)
            .map(|(weight, n)| weight * (profile[(place + n).min(last)] - profile[place.saturating_sub(n)]))
            .sum();
        sum * gain
    };
    (0..profile.len()).map(at).collect()
}

/// The edges of a profile that are steeper than `least` grey levels per pixel, in order.
pub(crate) fn edges(slopes: &[f64], least: f64) -> Vec<Edge> {
    let mut found = Vec::new();
    for (at, window) in slopes.windows(3).enumerate() {
        let [before, here, after] = [window[0], window[1], window[2]];
        let sign = here.signum();
        if here.abs() >= least && sign * here > sign * before && sign * here >= sign * after {
            let bend = before - 2.0 * here + after;
            let shift = if bend == 0.0 { 0.0 } else { ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5) };
            found.push(Edge { place: ((at + 1) as f64 + shift) * STEP, slope: here });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_found_to_a_twentieth_of_a_pixel_wherever_it_lies() {
        for tenths in 0..20 {
            let place = 20.0 + f64::from(tenths) / 20.0;
            // A pixel collects the light of its area: 1 pixel wide box.
            let pixels: Vec<u8> = (0..40 * 3)
                .map(|n: u32| f64::from(n % 40))
                .map(|x| 200.0 - 150.0 * (x + 0.5 - place).clamp(0.0, 1.0))
                .map(|level| u8::try_from(index(level.round()).unwrap()).unwrap())
                .collect();
            let grey = Grey::of(40, 3, PixelFormat::Mono8, &pixels);
            let profile = grey.profile(Point::new(4.0, 1.0), Point::new(1.0, 0.0), 30.0, 1).unwrap();
            let found = edges(&slopes(&profile), 10.0);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!((found[0].place + 4.0 - (place - 0.0)).abs() < 0.06 && found[0].slope < 0.0, "{place}: {found:?}");
        }
    }

    #[test]
    fn a_slope_of_one_is_one_and_a_flat_profile_has_no_edge() {
        let ramp: Vec<f64> = (0..100).map(|n| f64::from(n) * STEP).collect();
        assert!((slopes(&ramp)[50] - 1.0).abs() < 1e-9);
        assert!(edges(&slopes(&[7.0; 50]), 0.5).is_empty());
        assert!(edges(&[], 0.5).is_empty());
    }
}
