//! The shapes that say what a colour says, for eyes and displays that do not tell colours apart.

use super::Picture;
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::{DrawTarget as _, Point, Primitive as _, Size};
use embedded_graphics::primitives::{Circle, Line, PrimitiveStyle, Rectangle, Triangle};

/// A square area of the picture: left, top, side in pixels.
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) i32, pub(super) i32, pub(super) i32);

/// Fills a rectangle; one that is empty or outside is nothing.
pub(super) fn fill(picture: &mut Picture, x: i32, y: i32, width: i32, height: i32, colour: Rgb565) {
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else { return };
    let Ok(()) = picture.fill_solid(&Rectangle::new(Point::new(x, y), Size::new(width, height)), colour);
}

/// Draws the border of a rectangle, `thick` pixels inwards.
pub(super) fn frame(picture: &mut Picture, (x, y, width, height): (i32, i32, i32, i32), thick: i32, colour: Rgb565) {
    fill(picture, x, y, width, thick, colour);
    fill(picture, x, y + height - thick, width, thick, colour);
    fill(picture, x, y, thick, height, colour);
    fill(picture, x + width - thick, y, thick, height, colour);
}

fn draw(picture: &mut Picture, shape: impl embedded_graphics::Drawable<Color = Rgb565, Output = ()>) {
    let Ok(()) = shape.draw(picture);
}

/// A straight stroke.
pub(super) fn stroke(picture: &mut Picture, from: (i32, i32), to: (i32, i32), thick: i32, colour: Rgb565) {
    let style = PrimitiveStyle::with_stroke(colour, u32::try_from(thick).unwrap_or(1).max(1));
    draw(picture, Line::new(Point::from(from), Point::from(to)).into_styled(style));
}

fn triangle(picture: &mut Picture, a: (i32, i32), b: (i32, i32), c: (i32, i32), colour: Rgb565) {
    draw(picture, Triangle::new(Point::from(a), Point::from(b), Point::from(c)).into_styled(PrimitiveStyle::with_fill(colour)));
}

/// A filled circle.
pub(super) fn disc(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    let Ok(diameter) = u32::try_from(side) else { return };
    draw(picture, Circle::new(Point::new(x, y), diameter).into_styled(PrimitiveStyle::with_fill(colour)));
}

/// A hollow circle.
pub(super) fn ring(picture: &mut Picture, place: Place, thick: i32, colour: Rgb565, inside: Rgb565) {
    disc(picture, place, colour);
    disc(picture, Place(place.0 + thick, place.1 + thick, place.2 - 2 * thick), inside);
}

/// The stop sign's eight corners.
pub(super) fn octagon(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    // 1 - 1/√2 of the radius is cut from each corner: 0.29 of the side.
    let corner = side * 29 / 100;
    for row in 0..side {
        let inset = (corner - row.min(side - 1 - row)).max(0);
        fill(picture, x + inset, y + row, side - 2 * inset, 1, colour);
    }
}

/// A triangle that points to the right: runs.
pub(super) fn play(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    triangle(picture, (x, y), (x, y + side), (x + side * 9 / 10, y + side / 2), colour);
}

/// A triangle that points down, to the key below the display.
pub(super) fn down(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    triangle(picture, (x, y), (x + side, y), (x + side / 2, y + side * 3 / 4), colour);
}

/// A standing triangle with a bar in it: look here.
pub(super) fn warning(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565, inside: Rgb565) {
    triangle(picture, (x, y + side - 1), (x + side - 1, y + side - 1), (x + side / 2, y), colour);
    let thick = (side / 9).max(2);
    let left = x + side / 2 - thick / 2;
    fill(picture, left, y + side * 2 / 5, thick, side * 3 / 10, inside);
    fill(picture, left, y + side * 4 / 5, thick, thick, inside);
}

/// A tick.
pub(super) fn tick(picture: &mut Picture, Place(x, y, side): Place, thick: i32, colour: Rgb565) {
    let foot = (x + side * 2 / 5, y + side * 9 / 10);
    stroke(picture, (x, y + side / 2), foot, thick, colour);
    stroke(picture, foot, (x + side, y + side / 10), thick, colour);
}

/// Two crossing strokes.
pub(super) fn cross(picture: &mut Picture, Place(x, y, side): Place, thick: i32, colour: Rgb565) {
    stroke(picture, (x, y), (x + side, y + side), thick, colour);
    stroke(picture, (x + side, y), (x, y + side), thick, colour);
}

/// Two standing bars: waits.
pub(super) fn bars(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    let thick = side / 3;
    fill(picture, x, y, thick, side, colour);
    fill(picture, x + side - thick, y, thick, side, colour);
}

/// Three dots in a row: not yet.
pub(super) fn dots(picture: &mut Picture, Place(x, y, side): Place, colour: Rgb565) {
    let dot = side / 4;
    for step in 0..3 {
        disc(picture, Place(x + step * (side - dot) / 2, y + (side - dot) / 2, dot), colour);
    }
}

/// A square on its corner: a point that signals.
pub(super) fn diamond(picture: &mut Picture, (x, y): (i32, i32), reach: i32, colour: Rgb565) {
    for row in -reach..=reach {
        let half = reach - row.abs();
        fill(picture, x - half, y + row, 2 * half + 1, 1, colour);
    }
}
