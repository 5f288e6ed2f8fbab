//! Colours from a mosaic: each pixel of a colour sensor sees one colour, and its neighbours lend it the other two.
//!
//! Bilinear: a missing colour is the mean of the two or four nearest pixels that have it. Sharper ways guess edges, and what
//! they guess wrong looks like a defect. Beyond the border the picture is mirrored at its outermost pixels, which keeps the
//! pattern. Invariant: no memory is reserved while pictures have one size.

/// Where the red pixels are: row and column, each 0 or 1, of the first one. Green ones lie beside them, blue ones diagonally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mosaic {
    /// Row of the first red pixel.
    pub red_row: usize,
    /// Column of the first red pixel.
    pub red_column: usize,
}

/// The pixels around one.
struct Around {
    here: u8,
    beside: u8,
    above_below: u8,
    diagonal: u8,
}

fn mean2(a: u8, b: u8) -> u8 {
    a.midpoint(b)
}

fn mean4(a: u8, b: u8, c: u8, d: u8) -> u8 {
    let sum = u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d);
    u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX)
}

impl Around {
    fn of([above, row, below]: [&[u8]; 3], left: usize, x: usize, right: usize) -> (Self, u8) {
        let beside = mean2(row[left], row[right]);
        let above_below = mean2(above[x], below[x]);
        let cross = mean4(row[left], row[right], above[x], below[x]);
        let diagonal = mean4(above[left], above[right], below[left], below[right]);
        (Self { here: row[x], beside, above_below, diagonal }, cross)
    }
}

impl Mosaic {
    /// Colours of the picture `raw`, rows of `width` pixels without gaps, into `out`: three bytes per pixel, red first or, if
    /// `is_blue_first`, blue first. False if the rows do not make a picture of at least 2x2 pixels.
    #[must_use]
    pub fn colours(self, raw: &[u8], width: usize, height: usize, is_blue_first: bool, out: &mut Vec<u8>) -> bool {
        if width < 2 || height < 2 || width.checked_mul(height).is_none_or(|pixels| raw.len() < pixels) {
            return false;
        }
        out.resize(width * height * 3, 0);
        let mirrored = |at: usize, side: usize| if at == 0 { (1, 1) } else { (at - 1, if at + 1 == side { at - 1 } else { at + 1 }) };
        let line = |y: usize| &raw[y * width..(y + 1) * width];
        for (y, colours) in out.chunks_exact_mut(width * 3).enumerate() {
            let (above, below) = mirrored(y, height);
            let rows = [line(above), line(y), line(below)];
            for (x, pixel) in colours.chunks_exact_mut(3).enumerate() {
                let (left, right) = mirrored(x, width);
                let (around, cross) = Around::of(rows, left, x, right);
                let (red, green, blue) = match (y % 2 == self.red_row, x % 2 == self.red_column) {
                    (true, true) => (around.here, cross, around.diagonal),
                    (true, false) => (around.beside, around.here, around.above_below),
                    (false, true) => (around.above_below, around.here, around.beside),
                    (false, false) => (around.diagonal, cross, around.here),
                };
                pixel.copy_from_slice(&if is_blue_first { [blue, green, red] } else { [red, green, blue] });
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Mosaic; 4] = [
        Mosaic { red_row: 0, red_column: 0 },
        Mosaic { red_row: 0, red_column: 1 },
        Mosaic { red_row: 1, red_column: 0 },
        Mosaic { red_row: 1, red_column: 1 },
    ];

    /// What a sensor with this mosaic sees of a scene.
    fn seen(mosaic: Mosaic, width: usize, height: usize, scene: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        let colour = |x: usize, y: usize| match (y % 2 == mosaic.red_row, x % 2 == mosaic.red_column) {
            (true, true) => 0,
            (false, false) => 2,
            _ => 1,
        };
        (0..width * height).map(|at| scene(at % width, at / width)[colour(at % width, at / width)]).collect()
    }

    #[test]
    fn one_colour_comes_back_as_it_was_for_every_mosaic_and_size() {
        for mosaic in ALL {
            for (width, height) in [(2, 2), (2, 3), (5, 4), (7, 7)] {
                let raw = seen(mosaic, width, height, |_, _| [200, 100, 7]);
                let mut out = Vec::new();
                assert!(mosaic.colours(&raw, width, height, false, &mut out));
                assert!(out.chunks(3).all(|pixel| pixel == [200, 100, 7]), "{mosaic:?} {width}x{height}: {out:?}");
                assert!(mosaic.colours(&raw, width, height, true, &mut out));
                assert!(out.chunks(3).all(|pixel| pixel == [7, 100, 200]));
            }
        }
    }

    #[test]
    fn a_ramp_of_each_colour_stays_a_ramp_inside() {
        let level = |x: usize, y: usize| u8::try_from(10 + 4 * x + 6 * y).unwrap();
        let scene = |x, y| [level(x, y), level(x, y) / 2, 250 - level(x, y)];
        for mosaic in ALL {
            let (width, height) = (12, 10);
            let mut out = Vec::new();
            assert!(mosaic.colours(&seen(mosaic, width, height, scene), width, height, false, &mut out));
            for (x, y) in (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (x, y))) {
                let found = &out[(y * width + x) * 3..][..3];
                let expected = scene(x, y);
                // Means of whole numbers are rounded.
                assert!((0..3).all(|colour| found[colour].abs_diff(expected[colour]) <= 1), "{mosaic:?} {x},{y}: {found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn what_is_no_picture_has_no_colours() {
        let mut out = Vec::new();
        assert!(!ALL[0].colours(&[1, 2, 3], 2, 2, false, &mut out));
        assert!(!ALL[0].colours(&[1, 2, 3], 1, 3, false, &mut out));
        assert!(!ALL[0].colours(&[], usize::MAX, 2, false, &mut out));
    }
}
