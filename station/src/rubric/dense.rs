//! Whether so many points fit under one circle.

/// The largest number of points under one circle of this diameter, counted no further than `enough`.
///
/// If a circle covers two points or more, one of the same size with two of them on its edge covers as many: all of those are
/// tried. Square roots are the only function used, so that every machine counts the same.
pub(super) fn crowd(points: &[(f64, f64)], diameter: f64, enough: usize) -> usize {
    let mut most = points.len().min(1);
    let reach = diameter * (1.0 + 1e-9);
    for (index, &first) in points.iter().enumerate() {
        let near: Vec<(f64, f64)> = points.iter().copied().filter(|other| distance(first, *other) <= reach).collect();
        // Those that lie on the first one.
        most = most.max(near.iter().filter(|other| distance(first, **other) <= reach * 1e-9).count());
        for &second in points.iter().skip(index + 1).filter(|second| distance(first, **second) <= reach) {
            for centre in centres(first, second, diameter / 2.0) {
                most = most.max(near.iter().filter(|other| distance(centre, **other) <= reach / 2.0).count());
                if most >= enough {
                    return most;
                }
            }
        }
    }
    most
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (x, y) = (a.0 - b.0, a.1 - b.1);
    (x * x + y * y).sqrt()
}

/// The middles of the circles of this radius through both points; the middle between them where they are a diameter apart.
fn centres(a: (f64, f64), b: (f64, f64), radius: f64) -> [(f64, f64); 2] {
    let apart = distance(a, b);
    let middle = (f64::midpoint(a.0, b.0), f64::midpoint(a.1, b.1));
    if apart == 0.0 {
        return [(a.0 + radius, a.1), (a.0 - radius, a.1)];
    }
    let height = (radius * radius - apart * apart / 4.0).max(0.0).sqrt();
    let (x, y) = (-(b.1 - a.1) / apart * height, (b.0 - a.0) / apart * height);
    [(middle.0 + x, middle.1 + y), (middle.0 - x, middle.1 - y)]
}

#[cfg(test)]
mod tests {
    use super::crowd;

    #[test]
    fn a_circle_covers_what_it_can() {
        assert_eq!(crowd(&[], 1.0, 9), 0);
        assert_eq!(crowd(&[(0.0, 0.0)], 1.0, 9), 1);
        assert_eq!(crowd(&[(0.0, 0.0), (1.0, 0.0)], 1.0, 9), 2);
        assert_eq!(crowd(&[(0.0, 0.0), (1.001, 0.0)], 1.0, 9), 1);
        // The corners of a square lie on one circle whose diameter is the diagonal.
        let square = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)];
        assert_eq!(crowd(&square, 2.0_f64.sqrt(), 9), 4);
        assert_eq!(crowd(&square, 1.4, 9), 2);
        assert_eq!(crowd(&square, 1.4, 2), 2);
        assert_eq!(crowd(&[(3.0, 3.0); 4], 1.0, 9), 4);
    }
}
