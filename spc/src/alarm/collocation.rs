//! Run lengths of statistics that are pushed one way only, as a sum of squares is: the density from a state begins at a
//! point that moves with the state, so that nodes fixed between the limits (Nyström's method) would converge slowly.
//!
//! The run length is written piece by piece as a polynomial and the integral equation is met at Chebyshev points: piecewise
//! collocation. Sources: S. Knoth, Statistics and Computing 15 (2005) 341–352 (EWMA of S²) and Computational Statistics & Data
//! Analysis 51 (2006) 499–512 (CUSUM of S²).
//!
//! Invariants: pieces end where the density's beginning crosses the end of another piece, so that the run length is smooth
//! inside each as a function of the square root of the distance to its upper end, for odd degrees of freedom too.

use std::f64::consts::PI;

use super::AlarmError;
use super::linear::dot;
use super::quadrature::{Quadrature, number};
use crate::distribution::{chi_square_above, chi_square_below, ln_gamma};

/// Where the statistic goes before the new sample is added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Carry {
    /// `(1 − λ) y`.
    Smooth(f64),
    /// `y − k`.
    Minus(f64),
}

/// What happens at an end of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// Beyond it is a signal.
    Signal,
    /// Beyond it the statistic is put back onto it.
    Reflect,
}

/// `y' = carry(y) + step · χ²` within `low..=high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pushed {
    pub(super) carry: Carry,
    pub(super) step: f64,
    pub(super) freedom: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) below: Edge,
    pub(super) above: Edge,
}

/// More pieces than this are refused: a barrier that many steps below the limit.
const PIECES_MAX: usize = 150;

impl Pushed {
    fn carried(&self, y: f64) -> f64 {
        match self.carry {
            Carry::Smooth(weight) => (1.0 - weight) * y,
            Carry::Minus(reference) => y - reference,
        }
    }

    /// The ends of the pieces, from `low` to `high`.
    fn ends(&self) -> Result<Vec<f64>, AlarmError> {
        // Where the density's beginning is at `end`; an EWMA cannot fall from 0, so that there it is one piece.
        let above = |end: f64| match self.carry {
            Carry::Smooth(weight) => end / (1.0 - weight),
            Carry::Minus(reference) => end + reference,
        };
        let mut ends = vec![self.low];
        let mut end = above(self.low);
        while end > self.low && end < self.high * (1.0 - 1e-9) {
            ends.push(end);
            end = above(end);
            if ends.len() > PIECES_MAX {
                return Err(AlarmError::Combination("the barrier or reference value is too small beside the limits for this computation"));
            }
        }
        ends.push(self.high);
        Ok(ends)
    }
}

/// The discretised process: values at points stand for a function of the state.
pub(super) struct Collocation {
    process: Pushed,
    pieces: Vec<(f64, f64)>,
    /// Chebyshev points in 0..1 and their barycentric weights, the same for every piece.
    points: Vec<f64>,
    barycentric: Vec<f64>,
    gauss: Quadrature,
    /// Row by row the step from each point: to the points, then to the lower and the upper edge where those reflect.
    rows: Vec<Vec<f64>>,
}

impl Collocation {
    pub(super) fn of(process: Pushed, per_piece: usize) -> Result<Self, AlarmError> {
        let ends = process.ends()?;
        let pieces: Vec<_> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let angle = |j: usize| PI * (2.0 * number(j) + 1.0) / (2.0 * number(per_piece));
        let points = (0..per_piece).map(|j| 0.5 * (1.0 - angle(j).cos())).collect();
        let barycentric = (0..per_piece).map(|j| if j % 2 == 0 { angle(j).sin() } else { -angle(j).sin() }).collect();
        let gauss = Quadrature::legendre(14 + per_piece / 2, 0.0, 1.0);
        let mut made = Self { process, pieces, points, barycentric, gauss, rows: Vec::new() };
        made.rows = made.states().into_iter().map(|state| made.row(state)).collect();
        Ok(made)
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// All points, then the edges that reflect.
    fn states(&self) -> Vec<f64> {
        let mut states = Vec::new();
        for (left, right) in &self.pieces {
            states.extend(self.points.iter().map(|t| right - (right - left) * t * t));
        }
        states.extend((self.process.below == Edge::Reflect).then_some(self.process.low));
        states.extend((self.process.above == Edge::Reflect).then_some(self.process.high));
        states
    }

    /// The expectation of a function after one step from `state`, as coefficients of its values at the states.
    pub(super) fn row(&self, state: f64) -> Vec<f64> {
        let process = &self.process;
        let start = process.carried(state);
        let mut row = Vec::new();
        for (left, right) in &self.pieces {
            let mut part = vec![0.0; self.points.len()];
            if *right > start {
                self.integrate(start, (*left, *right), &mut part);
            }
            row.extend(part);
        }
        let chi = |end: f64| (end - start) / process.step;
        if process.below == Edge::Reflect {
            row.push(chi_square_below(chi(process.low), process.freedom));
        }
        if process.above == Edge::Reflect {
            row.push(chi_square_above(chi(process.high), process.freedom));
        }
        row
    }

    /// Adds the integral over one piece. With `y = start + step · u²` the density is smooth in `u`; near the piece's upper end
    /// `u = end − width · v²` makes the function smooth too.
    fn integrate(&self, start: f64, (left, right): (f64, f64), part: &mut [f64]) {
        let Pushed { step, freedom, .. } = self.process;
        let root = |y: f64| ((y - start).max(0.0) / step).sqrt();
        let (low, high) = (root(left), root(right));
        let mut segments = 1;
        while (high - low) > 2.0 * number(segments) && segments < 200 {
            segments += 1;
        }
        let width = (high - low) / number(segments);
        let scale = std::f64::consts::LN_2 * (1.0 - 0.5 * freedom) - ln_gamma(0.5 * freedom);
        for segment in 0..segments {
            let last = segment + 1 == segments;
            let from = low + width * number(segment);
            for (v, weight) in self.gauss.nodes.iter().zip(&self.gauss.weights) {
                let (u, weight) = if last { (high - width * v * v, 2.0 * v * width * weight) } else { (from + width * v, width * weight) };
                if u <= 0.0 {
                    continue;
                }
                let density = (scale + (freedom - 1.0) * u.ln() - 0.5 * u * u).exp();
                // right − y without cancellation.
                let remaining = step * (high - u) * (high + u) / (right - left);
                self.interpolate(remaining.clamp(0.0, 1.0).sqrt(), weight * density, part);
            }
        }
    }

    /// Adds `factor` times the Lagrange basis at `t`. Source: J.-P. Berrut, L. N. Trefethen, SIAM Review 46 (2004) 501–517.
    fn interpolate(&self, t: f64, factor: f64, part: &mut [f64]) {
        if let Some(hit) = self.points.iter().position(|point| *point == t) {
            part[hit] += factor;
            return;
        }
        let terms = || self.points.iter().zip(&self.barycentric).map(|(point, weight)| weight / (t - point));
        let total: f64 = terms().sum();
        for (sum, term) in part.iter_mut().zip(terms()) {
            *sum += factor * term / total;
        }
    }

    /// The expected run length from `state`, not counting the sample that led there.
    pub(super) fn mean_from(&self, state: f64) -> Result<f64, AlarmError> {
        let size = self.rows.len();
        let mut cells: Vec<f64> = self.rows.concat().iter().map(|cell| -cell).collect();
        for i in 0..size {
            cells[i * size + i] += 1.0;
        }
        let means = solve(cells, vec![1.0; size])?;
        let mean = 1.0 + dot(&self.row(state), &means);
        // Beyond this too few digits are left.
        if mean.is_finite() && (1.0..1e10).contains(&mean) { Ok(mean) } else { Err(AlarmError::NeverEnds) }
    }

    /// The chance of no signal within 0, 1, 2, … samples from `state`.
    pub(super) fn survival(&self, state: f64) -> impl Iterator<Item = f64> + '_ {
        let start = self.row(state);
        let mut left = vec![1.0; self.rows.len()];
        let later = std::iter::repeat_with(move || {
            let survives = dot(&start, &left);
            left = self.rows.iter().map(|row| dot(row, &left)).collect();
            survives
        });
        std::iter::once(1.0).chain(later)
    }
}

/// Gaussian elimination with partial pivoting. Source: G. H. Golub, C. F. Van Loan, Matrix Computations, 4th edition,
/// algorithm 3.4.1. The coefficients of an interpolation have both signs, so that the elimination without subtraction of
/// the Markov chains does not apply.
fn solve(mut cells: Vec<f64>, mut right: Vec<f64>) -> Result<Vec<f64>, AlarmError> {
    let size = right.len();
    for column in 0..size {
        let by_size = |a: &usize, b: &usize| cells[a * size + column].abs().total_cmp(&cells[b * size + column].abs());
        let pivot = (column..size).max_by(by_size).unwrap_or(column);
        let largest = cells[pivot * size + column];
        if !largest.is_finite() || largest == 0.0 {
            return Err(AlarmError::NeverEnds);
        }
        if pivot != column {
            right.swap(pivot, column);
            let (above, below) = cells.split_at_mut(pivot * size);
            above[column * size..(column + 1) * size].swap_with_slice(&mut below[..size]);
        }
        let (done, rest) = cells.split_at_mut((column + 1) * size);
        let pivot_row = &done[column * size..];
        for (row, index) in rest.chunks_exact_mut(size).zip(column + 1..) {
            let factor = row[column] / largest;
            right[index] -= factor * right[column];
            for (cell, above) in row[column + 1..].iter_mut().zip(&pivot_row[column + 1..]) {
                *cell -= factor * above;
            }
        }
    }
    for i in (0..size).rev() {
        let known = dot(&cells[i * size + i + 1..(i + 1) * size], &right[i + 1..]);
        right[i] = (right[i] - known) / cells[i * size + i];
    }
    Ok(right)
}
