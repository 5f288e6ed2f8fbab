//! Points, directions and the robust fits that turn many edge points into one line or circle.
//!
//! Invariants: a fit that succeeds is finite; its standard error is that of the points' scatter, so it shrinks with the root
//! of their number; points far off weigh little (Cauchy weights), so that a burr or a grain of dust does not move a line.

use std::ops::{Add, Mul, Sub};

/// A point or a direction in picture coordinates: pixels, x to the right, y down, origin in the middle of the first pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

impl Point {
    /// From its two coordinates.
    #[must_use]
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(crate) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    pub(crate) fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// The direction of this vector, or `None` if it has no length.
    pub(crate) fn direction(self) -> Option<Self> {
        let length = self.length();
        (length.is_finite() && length > 1e-12).then(|| self * (1.0 / length))
    }

    /// A quarter turn, from x towards y.
    pub(crate) const fn turned(self) -> Self {
        Self { x: -self.y, y: self.x }
    }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { x: self.x - other.x, y: self.y - other.y }
    }
}

impl Mul<f64> for Point {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self { x: self.x * factor, y: self.y * factor }
    }
}

/// The middle value; `None` of nothing. NaN must not be among them.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which the share `share` lies, between values linearly.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = index(place)?.min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// The whole number below a coordinate, if there is such an index.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held against its range first")]
pub(crate) fn index(value: f64) -> Option<usize> {
    (value.is_finite() && (0.0..1e9).contains(&value)).then_some(value as usize)
}

/// A polynomial through points with values, lowest power first: robust, with the standard error of its value at 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pub(crate) factors: Vec<f64>,
    /// Standard errors of the factors.
    pub(crate) errors: Vec<f64>,
    /// Robust standard deviation of the residuals.
    pub(crate) scatter: f64,
}

impl Curve {
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.factors.iter().rev().fold(0.0, |sum, factor| sum * x + factor)
    }

    /// Weighted least squares with Cauchy weights on the residuals; `(x, y, weight)`.
    pub(crate) fn fit(points: &[(f64, f64, f64)], degree: usize, floor: f64) -> Option<Self> {
        let order = degree + 1;
        if points.len() < order + 1 {
            return None;
        }
        let mut weights: Vec<f64> = points.iter().map(|point| point.2).collect();
        let mut curve = Self { factors: vec![0.0; order], errors: vec![0.0; order], scatter: 0.0 };
        for _ in 0..20 {
            let mut normal = vec![vec![0.0; order]; order];
            let mut right = vec![0.0; order];
            for ((x, y, _), weight) in points.iter().zip(&weights) {
                let powers: Vec<f64> = (0..order).scan(1.0, |power, _| Some(std::mem::replace(power, *power * x))).collect();
                for (row, a) in powers.iter().enumerate() {
                    right[row] += weight * a * y;
                    powers.iter().enumerate().for_each(|(column, b)| normal[row][column] += weight * a * b);
                }
            }
            let inverse = inverse(normal)?;
            curve.factors = inverse.iter().map(|row| row.iter().zip(&right).map(|(a, b)| a * b).sum()).collect();
            let residuals: Vec<f64> = points.iter().map(|(x, y, _)| (y - curve.at(*x)).abs()).collect();
            let scatter = (1.4826 * median(&residuals)?).max(floor);
            let sum: f64 = weights.iter().sum();
            let mean = sum / points.len() as f64;
            curve.scatter = scatter;
            curve.errors = (0..order).map(|at| scatter * (inverse[at][at] * mean).max(0.0).sqrt()).collect();
            for ((weight, point), residual) in weights.iter_mut().zip(points).zip(&residuals) {
                *weight = point.2 / (1.0 + (residual / (2.0 * scatter)).powi(2));
            }
        }
        curve.factors.iter().chain(&curve.errors).all(|value| value.is_finite()).then_some(curve)
    }
}

/// Gauss–Jordan with pivots; `None` of a singular matrix.
pub(crate) fn inverse(mut a: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = a.len();
    let mut b: Vec<Vec<f64>> = (0..n).map(|row| (0..n).map(|column| if row == column { 1.0 } else { 0.0 }).collect()).collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|i, j| a[*i][column].abs().total_cmp(&a[*j][column].abs()))?;
        a.swap(column, pivot);
        b.swap(column, pivot);
        let lead = a[column][column];
        if !lead.is_finite() || lead.abs() < 1e-12 {
            return None;
        }
        a[column].iter_mut().chain(&mut b[column]).for_each(|value| *value /= lead);
        for row in (0..n).filter(|row| *row != column) {
            let factor = a[row][column];
            for k in 0..n {
                a[row][k] -= factor * a[column][k];
                b[row][k] -= factor * b[column][k];
            }
        }
    }
    Some(b)
}

/// A straight edge: a point on it, its direction, and how well both are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The middle of the points it was fitted through.
    pub middle: Point,
    /// Along the line, of length 1.
    pub along: Point,
    /// Standard error of the middle across the line, in pixels.
    pub error: f64,
    /// Standard error of the direction, in radians.
    pub turn_error: f64,
    /// Scatter of single points across the line, in pixels.
    pub scatter: f64,
    /// Points it was fitted through.
    pub points: usize,
}

impl Line {
    /// Fits a line to points near the line through `from` along `along` (of length 1).
    pub(crate) fn fit(points: &[Point], from: Point, along: Point) -> Option<Self> {
        let across = along.turned();
        let count = points.len() as f64;
        let centre = points.iter().map(|point| (*point - from).dot(along)).sum::<f64>() / count;
        let places: Vec<_> = points.iter().map(|point| ((*point - from).dot(along) - centre, (*point - from).dot(across), 1.0)).collect();
        let curve = Curve::fit(&places, 1, 0.01)?;
        let direction = (along + across * curve.factors[1]).direction()?;
        Some(Self {
            middle: from + along * centre + across * curve.factors[0],
            along: direction,
            error: curve.errors[0],
            turn_error: curve.errors[1],
            scatter: curve.scatter,
            points: points.len(),
        })
    }

    /// Signed distance of a point from the line, to the left of `along` turned by a quarter.
    #[must_use]
    pub fn distance(&self, point: Point) -> f64 {
        (point - self.middle).dot(self.along.turned())
    }
}

/// A circle with the standard error of its radius.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circle {
    /// Its middle.
    pub middle: Point,
    /// Its radius in pixels.
    pub radius: f64,
    /// Standard error of the radius in pixels.
    pub error: f64,
    /// Scatter of single points in pixels.
    pub scatter: f64,
}

impl Circle {
    /// Geometric fit: Gauss–Newton on the radial residuals, from a first guess, with Cauchy weights.
    pub(crate) fn fit(points: &[Point], mut middle: Point, mut radius: f64) -> Option<Self> {
        if points.len() < 6 {
            return None;
        }
        let mut circle = None;
        for _ in 0..20 {
            let places: Vec<(Point, f64)> = points
                .iter()
                .filter_map(|point| {
                    let arm = *point - middle;
                    Some((arm.direction()?, arm.length() - radius))
                })
                .collect();
            let scatter = (1.4826 * median(&places.iter().map(|place| place.1.abs()).collect::<Vec<_>>())?).max(0.01);
            let mut normal = vec![vec![0.0; 3]; 3];
            let mut right = [0.0; 3];
            for (arm, residual) in &places {
                let weight = 1.0 / (1.0 + (residual / (2.0 * scatter)).powi(2));
                let row = [arm.x, arm.y, 1.0];
                for i in 0..3 {
                    right[i] += weight * row[i] * residual;
                    (0..3).for_each(|j| normal[i][j] += weight * row[i] * row[j]);
                }
            }
            let inverse = inverse(normal)?;
            let step: Vec<f64> = inverse.iter().map(|row| row.iter().zip(right).map(|(a, b)| a * b).sum()).collect();
            middle = middle + Point::new(step[0], step[1]);
            radius += step[2];
            circle = Some(Self { middle, radius, error: scatter * inverse[2][2].max(0.0).sqrt(), scatter });
        }
        circle.filter(|circle| circle.radius.is_finite() && circle.radius > 0.0 && circle.error.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ignores_a_burr_and_a_circle_a_grain_of_dust() {
        let mut points: Vec<Point> = (0..60).map(|n| Point::new(f64::from(n), 5.0 + 0.25 * f64::from(n))).collect();
        points[20].y += 40.0;
        let line = Line::fit(&points, Point::new(0.0, 5.0), Point::new(1.0, 0.0)).unwrap();
        assert!((line.along.y / line.along.x - 0.25).abs() < 1e-3 && line.distance(Point::new(8.0, 7.0)).abs() < 0.02, "{line:?}");
        let mut points: Vec<Point> =
            (0..90).map(|n| f64::from(n).to_radians() * 4.0).map(|a| Point::new(31.5 + 12.25 * a.cos(), 20.0 + 12.25 * a.sin())).collect();
        points[3] = Point::new(60.0, 60.0);
        let circle = Circle::fit(&points, Point::new(30.0, 21.0), 10.0).unwrap();
        assert!((circle.radius - 12.25).abs() < 0.01 && (circle.middle - Point::new(31.5, 20.0)).length() < 0.01, "{circle:?}");
    }

    #[test]
    fn too_few_points_and_points_in_one_place_fit_nothing() {
        assert!(Curve::fit(&[(0.0, 1.0, 1.0), (1.0, 2.0, 1.0)], 1, 0.01).is_none());
        assert!(Curve::fit(&[(3.0, 1.0, 1.0); 9], 1, 0.01).is_none());
        assert!(Circle::fit(&[Point::new(1.0, 1.0); 9], Point::new(1.0, 1.0), 3.0).is_none());
        assert_eq!(quantile(&[], 0.5), None);
    }
}
