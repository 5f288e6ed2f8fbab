//! Linear equations of transient Markov chains: the last step of every run-length computation.
//!
//! Elimination here never subtracts (W. K. Grassmann, M. I. Taksar, D. P. Heyman, Operations Research 33 (1985) 1107–1116;
//! accuracy in every entry: C. A. O'Cinneide, Numerische Mathematik 65 (1993) 109–120). The chance to leave the chain is carried
//! beside the matrix instead of being recovered as one minus a row's sum, so that a run length of 10³⁰ is as accurate
//! as one of 10.
//!
//! Invariant: every number is finite and not negative.

use super::AlarmError;

/// The moves of a chain among its states, row after row, and from each state the chance to leave it: to signal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moves {
    size: usize,
    cells: Vec<f64>,
    leaves: Vec<f64>,
}

impl Moves {
    /// Each state's row with its chance to leave. Rows need not sum to one: what is missing is taken as staying, because a
    /// quadrature of the moves is less accurate than the chance to leave.
    pub(super) fn from_rows(rows: impl IntoIterator<Item = (Vec<f64>, f64)>) -> Self {
        let (mut cells, mut leaves) = (Vec::new(), Vec::new());
        for (row, leave) in rows {
            cells.extend(row);
            leaves.push(leave);
        }
        Self { size: leaves.len(), cells, leaves }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.size..(index + 1) * self.size]
    }

    /// The expectation of `column` after one step, over the steps that stay in the chain.
    pub(super) fn times(&self, column: &[f64]) -> Vec<f64> {
        (0..self.size).map(|row| dot(self.row(row), column)).collect()
    }

    /// The chances of the states after one step more, from their chances now.
    pub(super) fn times_left(&self, row: &[f64]) -> Vec<f64> {
        let mut next = vec![0.0; self.size];
        for (from, chance) in row.iter().enumerate() {
            next.iter_mut().zip(self.row(from)).for_each(|(next, cell)| *next += chance * cell);
        }
        next
    }

    /// The factors of `I − moves`.
    ///
    /// # Errors
    /// [`AlarmError::NeverEnds`] if some states cannot be left.
    pub(super) fn factors(&self) -> Result<Factors, AlarmError> {
        let size = self.size;
        let (mut cells, mut leaves) = (self.cells.clone(), self.leaves.clone());
        for pivot in 0..size {
            let (before, after) = cells.split_at_mut((pivot + 1) * size);
            let row = &mut before[pivot * size..];
            let gone = leaves[pivot] + row[pivot + 1..].iter().sum::<f64>();
            if !gone.is_finite() || gone <= 0.0 {
                return Err(AlarmError::NeverEnds);
            }
            row[pivot] = gone;
            for (below, leave) in after.chunks_exact_mut(size).zip(pivot + 1..) {
                let share = below[pivot] / gone;
                below[pivot] = share;
                if share != 0.0 {
                    leaves[leave] += share * leaves[pivot];
                    for (cell, above) in below[pivot + 1..].iter_mut().zip(&row[pivot + 1..]) {
                        *cell += share * above;
                    }
                }
            }
        }
        Ok(Factors { size, cells })
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `I − moves` as a product of triangles: the chance to move on at the diagonal, shares below, moves above.
#[derive(Debug, Clone)]
pub(super) struct Factors {
    size: usize,
    cells: Vec<f64>,
}

impl Factors {
    /// `x` with `(I − moves) x = right`.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = right.to_vec();
        for i in 1..self.size {
            x[i] += dot(&self.row(i)[..i], &x[..i]);
        }
        for i in (0..self.size).rev() {
            x[i] = (x[i] + dot(&self.row(i)[i + 1..], &x[i + 1..])) / self.row(i)[i];
        }
        x
    }

    /// `x` with `x (I − moves) = left`.
    pub(super) fn solve_left(&self, left: &[f64]) -> Vec<f64> {
        let mut x = left.to_vec();
        for i in 0..self.size {
            x[i] /= self.row(i)[i];
            let (known, open) = x.split_at_mut(i + 1);
            for (open, cell) in open.iter_mut().zip(&self.row(i)[i + 1..]) {
                *open += known[i] * cell;
            }
        }
        for i in (0..self.size).rev() {
            let (open, known) = x.split_at_mut(i);
            for (open, cell) in open.iter_mut().zip(self.row(i)) {
                *open += known[0] * cell;
            }
        }
        x
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.size..(index + 1) * self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_from_both_sides() {
        let rows = [vec![0.2, 0.3, 0.4], vec![0.0, 0.5, 0.25], vec![0.6, 0.1, 0.1]];
        let moves = Moves::from_rows(rows.iter().cloned().zip([0.1, 0.25, 0.2]));
        let factors = moves.factors().unwrap();
        let wanted = [1.0, 2.0, 4.0];
        let right: Vec<f64> = wanted.iter().zip(moves.times(&wanted)).map(|(x, moved)| x - moved).collect();
        let left: Vec<f64> = (0..3).map(|j| wanted[j] - (0..3).map(|i| wanted[i] * rows[i][j]).sum::<f64>()).collect();
        for got in [factors.solve(&right), factors.solve_left(&left)] {
            assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-14), "{got:?}");
        }
    }

    #[test]
    fn very_long_runs_keep_their_digits_and_endless_ones_are_refused() {
        // Two states that swap, one leaving with a chance of 1e-30: on average 2e30 steps.
        let moves = |leave| Moves::from_rows([(vec![0.5, 0.5], leave), (vec![0.5, 0.5], 0.0)]);
        let steps = moves(1e-30).factors().unwrap().solve(&[1.0, 1.0]);
        assert!((steps[0] / 2e30 - 1.0).abs() < 1e-15, "{steps:?}");
        assert_eq!(moves(0.0).factors().unwrap_err(), AlarmError::NeverEnds);
    }
}
