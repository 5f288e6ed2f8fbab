//! Text on the panel: five sizes, Latin and Chinese mixed, any string at all.
//!
//! Invariants: a character without a glyph becomes a box of its own width, never an error and never nothing; text never
//! leaves the area it was given (it is broken into lines, then cut with `...`).
//!
//! Fonts and their licences (full texts in `FONT-LICENCES` beside this file; the crate that carries them is MIT/Apache-2.0, its fonts are not; looked up by name in U8g2's
//! licence text, its issue tracker and the fonts' own repositories):
//! * `boutique_bitmap_9x9` (Boutique Bitmap 9x9 by Luke Liu, from M+ Bitmap and Best Ten): SIL Open Font License 1.1 without
//!   a reserved font name. May be bundled with any program if copyright and licence text travel along. Chosen for Chinese:
//!   10 295 ideographs; of the 6763 of GB 2312 it lacks 988 rare ones, which become boxes.
//! * `helvB14/18/24` (Adobe Systems 1984-1994, Digital Equipment Corporation 1988-1994, from X11): permissive; the notice must
//!   appear in copies and documentation.
//! * Not used: `wqy*` (WenQuanYi Bitmap Song: GPL-2.0 with font exception) and `unifont*` (U8g2 carries release 12 of 2019:
//!   GPL-2.0-or-later with font exception; only releases from 13.0.04 on are also under the OFL). Their exception speaks of
//!   documents, not of programs that have the font linked in, and the program is Apache-2.0.

use super::Picture;
use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::{Dimensions, DrawTarget, Point, Size};
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;
use u8g2_fonts::FontRenderer;
use u8g2_fonts::fonts::{u8g2_font_boutique_bitmap_9x9_t_all, u8g2_font_helvB14_tf, u8g2_font_helvB18_tf, u8g2_font_helvB24_tf};
use u8g2_fonts::types::{FontColor, VerticalPosition};

static HAN: FontRenderer = FontRenderer::new::<u8g2_font_boutique_bitmap_9x9_t_all>();
static LATIN_14: FontRenderer = FontRenderer::new::<u8g2_font_helvB14_tf>();
static LATIN_18: FontRenderer = FontRenderer::new::<u8g2_font_helvB18_tf>();
static LATIN_24: FontRenderer = FontRenderer::new::<u8g2_font_helvB24_tf>();

/// One size of text: a Latin and a Chinese font, each enlarged by a whole factor to match the other.
#[derive(Clone, Copy)]
pub(super) struct Face {
    latin: &'static FontRenderer,
    latin_scale: i32,
    han_scale: i32,
    /// From the top of the line to the Latin baseline, in pixels.
    baseline: i32,
    /// The same for Chinese, whose characters stand lower: both are centred in the line.
    han_baseline: i32,
    /// Height of a line in pixels.
    pub(super) height: i32,
}

pub(super) const BODY: Face = Face { latin: &LATIN_14, latin_scale: 1, han_scale: 2, baseline: 17, han_baseline: 16, height: 22 };
pub(super) const LARGE: Face = Face { latin: &LATIN_18, latin_scale: 1, han_scale: 3, baseline: 24, han_baseline: 23, height: 31 };
pub(super) const TITLE: Face = Face { latin: &LATIN_24, latin_scale: 1, han_scale: 4, baseline: 32, han_baseline: 30, height: 40 };
pub(super) const BIG: Face = Face { latin: &LATIN_24, latin_scale: 2, han_scale: 6, baseline: 56, han_baseline: 46, height: 62 };
pub(super) const HUGE: Face = Face { latin: &LATIN_24, latin_scale: 3, han_scale: 9, baseline: 83, han_baseline: 67, height: 90 };

/// What is drawn for one character.
struct Glyph {
    /// `None`: a box.
    font: Option<&'static FontRenderer>,
    scale: i32,
    baseline: i32,
    /// How far the next character stands, in pixels.
    advance: i32,
}

impl Face {
    fn glyph(self, character: char) -> Glyph {
        let of = |font: &'static FontRenderer, scale: i32, baseline: i32| {
            let found = font.get_rendered_dimensions(character, Point::zero(), VerticalPosition::Baseline).ok()?;
            Some(Glyph { font: Some(font), scale, baseline, advance: found.advance.x * scale })
        };
        // The Latin fonts know no character above U+00FF.
        let latin = if u32::from(character) < 0x100 { of(self.latin, self.latin_scale, self.baseline) } else { None };
        let (scale, baseline) = (self.han_scale, self.han_baseline);
        latin.or_else(|| of(&HAN, scale, baseline)).unwrap_or(Glyph { font: None, scale, baseline, advance: 10 * scale })
    }

    /// Width of `text` in one line, in pixels.
    pub(super) fn width(self, text: &str) -> i32 {
        characters(text).map(|character| self.glyph(character).advance).fold(0, i32::saturating_add)
    }

    /// `text`, or as much of its beginning as fits into `width` pixels followed by `...`.
    pub(super) fn cut(self, text: &str, width: i32) -> String {
        let dots = "...";
        let room = width - self.width(dots);
        let (mut used, mut kept) = (0, 0);
        let mut out = String::new();
        for character in characters(text) {
            used += self.glyph(character).advance;
            if used > width {
                out.truncate(kept);
                if room >= 0 {
                    out.push_str(dots);
                }
                return out;
            }
            out.push(character);
            if used <= room {
                kept = out.len();
            }
        }
        out
    }

    /// `text` in at most `lines` lines of `width` pixels: broken at spaces and between ideographs, the last line cut.
    pub(super) fn lines(self, text: &str, width: i32, lines: usize) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() && out.len() < lines {
            if out.len() + 1 == lines {
                out.push(self.cut(rest, width));
                break;
            }
            let at = self.first_break(rest, width);
            let (line, next) = rest.split_at(at);
            out.push(characters(line).collect());
            rest = next.trim_start();
        }
        out
    }

    /// Byte index at which the first line of `text` ends; never 0 for a text that is not empty.
    fn first_break(self, text: &str, width: i32) -> usize {
        let (mut used, mut good, mut previous) = (0, 0, ' ');
        for (at, character) in text.char_indices() {
            if at > 0 && (character == ' ' || (breakable(character) && !closes(character)) || breakable(previous)) {
                good = at;
            }
            used += self.glyph(printable(character)).advance;
            if used > width && at > 0 {
                return if good > 0 { good } else { at };
            }
            previous = character;
        }
        text.len()
    }

    /// Draws one line with its top left corner at `at`; what does not fit into `width` is cut. Returns the width used.
    pub(super) fn draw(self, picture: &mut Picture, at: Point, width: i32, text: &str, colour: Rgb565) -> i32 {
        let mut x = at.x;
        for character in self.cut(text, width).chars() {
            let glyph = self.glyph(character);
            let origin = Point::new(x, at.y + glyph.baseline);
            let mut dots = Dots::default();
            let found = glyph.font.is_some_and(|font| {
                font.render(character, Point::zero(), VerticalPosition::Baseline, FontColor::Transparent(colour), &mut dots).is_ok()
            });
            if found {
                // Rounded, an ideograph of 9 by 9 pixels becomes a riddle.
                let smooth = !glyph.font.is_some_and(|font| std::ptr::eq(font, &raw const HAN));
                dots.enlarge(picture, origin, glyph.scale, smooth, colour);
            } else {
                tofu(picture, origin, glyph.scale, colour);
            }
            x += glyph.advance;
        }
        x - at.x
    }
}

/// The first of `faces` in which `text` fits into one line of `width` pixels, else the last.
pub(super) fn fitting(faces: &[Face], text: &str, width: i32) -> Face {
    faces.iter().copied().find(|face| face.width(text) <= width).or(faces.last().copied()).unwrap_or(BODY)
}

/// Line ends, tabs and other controls have no glyph and no place in a line.
fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

fn characters(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(printable)
}

/// Chinese is broken between any two characters.
fn breakable(character: char) -> bool {
    u32::from(character) >= 0x2E80
}

/// Punctuation that must not begin a line.
fn closes(character: char) -> bool {
    matches!(character, '，' | '。' | '、' | '；' | '：' | '！' | '？' | '）' | '》' | '”')
}

/// The box that stands for a character without a glyph, as large as an ideograph.
fn tofu(picture: &mut Picture, origin: Point, scale: i32, colour: Rgb565) {
    super::shapes::frame(picture, (origin.x, origin.y - 7 * scale, 9 * scale, 9 * scale), scale, colour);
}

/// The pixels of one glyph around its origin, as the font gives them.
#[derive(Default)]
struct Dots(Vec<(i32, i32)>);

impl Dimensions for Dots {
    fn bounding_box(&self) -> Rectangle {
        Rectangle::new(Point::zero(), Size::zero())
    }
}

impl DrawTarget for Dots {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        self.0.extend(pixels.into_iter().map(|Pixel(at, _)| (at.x, at.y)));
        Ok(())
    }
}

impl Dots {
    /// Draws every pixel as `scale` by `scale` pixels; `smooth` makes the corners of steps slanting.
    fn enlarge(self, picture: &mut Picture, origin: Point, scale: i32, smooth: bool, colour: Rgb565) {
        let (dots, per) = match scale {
            2 if smooth => (self.doubled(), 2),
            3.. if smooth => (self.doubled().doubled(), 4),
            _ => (self, 1),
        };
        // Dot n of `per` covers the pixels from n * scale / per on: whole pixels, without gaps or overlap.
        let edge = |dot: i32| (dot * scale).div_euclid(per);
        for (x, y) in dots.0 {
            let (left, top) = (edge(x), edge(y));
            super::shapes::fill(picture, origin.x + left, origin.y + top, edge(x + 1) - left, edge(y + 1) - top, colour);
        }
    }

    /// Four pixels for one, by the rule "EPX" of Eric Johnston (also "Scale2x"): a quarter of a pixel takes the colour that
    /// its two outer neighbours agree on.
    fn doubled(&self) -> Self {
        let range = |of: fn(&(i32, i32)) -> i32| {
            let all = || self.0.iter().map(of);
            // One more on each side: an empty pixel beside a full one may get a full corner.
            all().min().zip(all().max()).map_or(0..0, |(low, high)| low - 1..high + 2)
        };
        let (columns, rows) = (range(|dot| dot.0), range(|dot| dot.1));
        let (width, height) = (columns.len(), rows.len());
        let place = |x: i32, y: i32| {
            let (x, y) = (usize::try_from(x - columns.start).ok()?, usize::try_from(y - rows.start).ok()?);
            (x < width && y < height).then_some(y * width + x)
        };
        let mut grid = vec![false; width * height];
        for index in self.0.iter().filter_map(|&(x, y)| place(x, y)) {
            grid[index] = true;
        }
        let has = |x: i32, y: i32| place(x, y).is_some_and(|index| grid[index]);
        let mut out = Vec::with_capacity(self.0.len() * 4);
        for (x, y) in rows.clone().flat_map(|y| columns.clone().map(move |x| (x, y))) {
            let here = has(x, y);
            let [up, right, down, left] = [has(x, y - 1), has(x + 1, y), has(x, y + 1), has(x - 1, y)];
            let mut quarter = |dx: i32, dy: i32, beside: bool, above: bool, far: (bool, bool)| {
                let agreed = beside == above && beside != far.0 && above != far.1;
                if if agreed { beside } else { here } {
                    out.push((2 * x + dx, 2 * y + dy));
                }
            };
            quarter(0, 0, left, up, (right, down));
            quarter(1, 0, right, up, (left, down));
            quarter(0, 1, left, down, (right, up));
            quarter(1, 1, right, down, (left, up));
        }
        Self(out)
    }
}

/// True if no character of `text` would be a box.
#[cfg(test)]
pub(super) fn has_all(text: &str) -> bool {
    characters(text).all(|character| BODY.glyph(character).font.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_its_width_ends_and_says_so() {
        let text = "paste_height: Nelson 2";
        let whole = BODY.width(text);
        assert_eq!(BODY.cut(text, whole), text);
        let cut = BODY.cut(text, whole - 1);
        assert!(cut.ends_with("...") && BODY.width(&cut) < whole, "{cut}");
        assert_eq!(BODY.cut(text, 0), "");
    }

    #[test]
    fn lines_break_at_spaces_and_between_ideographs_and_lose_nothing() {
        let latin = BODY.lines("clean the nozzle and check the paste", 120, 9);
        assert!(latin.len() > 1 && latin.iter().all(|line| BODY.width(line) <= 120), "{latin:?}");
        assert_eq!(latin.join(" "), "clean the nozzle and check the paste");
        let han = BODY.lines("清洁喷嘴，检查锡膏高度。", 100, 9);
        assert!(han.len() > 1 && han.iter().all(|line| !line.starts_with(['，', '。'])), "{han:?}");
        assert_eq!(han.concat(), "清洁喷嘴，检查锡膏高度。");
        assert_eq!(BODY.lines("abcdefgh", 1, 3).len(), 3, "a word wider than the line still ends");
    }

    #[test]
    fn every_character_has_a_width_and_an_unknown_one_is_a_box() {
        assert!(BODY.glyph('😀').font.is_none());
        assert!(BODY.glyph('停').font.is_some() && BODY.glyph('働').font.is_some() && BODY.glyph('X').font.is_some());
        for code in (0..0x3000).chain((0x3000..=u32::from(char::MAX)).step_by(61)) {
            if let Some(character) = char::from_u32(code).map(printable) {
                assert!(BODY.glyph(character).advance >= 0, "{character:?}");
            }
        }
    }
}
