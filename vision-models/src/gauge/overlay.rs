//! The picture with what was measured drawn into it, for people.

use super::geometry::{Point, index};
use super::measured::{Drawn, Measured};
use crate::picture::{Picture, PictureError};
use std::f64::consts::TAU;

/// Draws what was found as white lines with a black seam, so that they are seen on dark and bright.
///
/// # Errors
/// Never for a picture that exists.
pub fn draw(picture: &Picture, measured: &Measured) -> Result<Picture, PictureError> {
    let mut pixels = picture.pixels().to_vec();
    let mut places = Vec::new();
    for drawn in &measured.drawn {
        match drawn {
            Drawn::Segment(from, to) => walk(*from, *to, &mut places),
            Drawn::Dots(dots) => places.extend(dots),
            Drawn::Circle(circle) => {
                let steps = 720_u32;
                let turns = (0..steps).map(|step| TAU * f64::from(step) / f64::from(steps));
                places.extend(turns.map(|turn| circle.middle + Point::new(turn.cos(), turn.sin()) * circle.radius));
            }
        }
    }
    let width = index(f64::from(picture.width())).unwrap_or(0);
    let mut put = |place: Point, level: u8| {
        let at = index((place.x + 0.5).floor()).zip(index((place.y + 0.5).floor())).filter(|(x, _)| *x < width);
        if let Some(pixel) = at.and_then(|(x, y)| pixels.get_mut(y * width + x)) {
            *pixel = level;
        }
    };
    for place in &places {
        [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)].into_iter().for_each(|(x, y)| put(*place + Point::new(x, y), 0));
    }
    places.iter().for_each(|place| put(*place, 255));
    Picture::new(picture.width(), picture.height(), pixels)
}

fn walk(from: Point, to: Point, places: &mut Vec<Point>) {
    let length = (to - from).length();
    let Some(along) = (to - from).direction() else { return };
    let mut at = 0.0;
    while at <= length {
        places.push(from + along * at);
        at += 0.5;
    }
}
