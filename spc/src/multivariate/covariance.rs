//! A covariance matrix that can be inverted, and the distance it measures; written out so that every target computes the
//! same bits, with `+ - * /` and `sqrt` alone.
//!
//! Invariants: symmetric to the bit, positive definite, finite; the factor always belongs to the entries, because reading a
//! checkpoint computes it anew; measuring a distance allocates nothing.

use serde::{Deserialize, Serialize};

use super::MultivariateError;

/// Most variables on one chart. More would not be a chart: with so many, use principal components first.
pub const VARIABLES_MAX: usize = 32;

/// A symmetric positive definite matrix with its Cholesky factor `Σ = L·Lᵀ`. Serialised as its rows.
///
/// Source: Golub and Van Loan, Matrix Computations, section 4.2 (Cholesky), 3.1 (forward substitution).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<f64>>", into = "Vec<Vec<f64>>")]
pub struct Covariance {
    variables: usize,
    /// Row by row.
    entries: Box<[f64]>,
    /// The lower triangle of L, row by row; zero above the diagonal.
    factor: Box<[f64]>,
}

impl Covariance {
    /// From the rows of the matrix, in the squared units of the variables.
    ///
    /// # Errors
    /// [`MultivariateError`]: not square, 0 or more than [`VARIABLES_MAX`] variables, not finite, not symmetric to 1e-9 of
    /// its variances, or a variable without variation of its own (constant, or a combination of those before it).
    pub fn new(rows: &[Vec<f64>]) -> Result<Self, MultivariateError> {
        let variables = rows.len();
        check_variables(variables)?;
        if rows.iter().any(|row| row.len() != variables) {
            return Err(MultivariateError::NotSquare);
        }
        if rows.iter().flatten().any(|entry| !entry.is_finite()) {
            return Err(MultivariateError::NotFinite);
        }
        let mut entries = Vec::with_capacity(variables * variables);
        for (i, row) in rows.iter().enumerate() {
            for (j, entry) in row.iter().enumerate() {
                let (mirrored, scale) = (rows[j][i], (row[i] * rows[j][j]).abs().sqrt());
                if (entry - mirrored).abs() > 1e-9 * scale {
                    return Err(MultivariateError::NotSymmetric { row: i + 1, column: j + 1 });
                }
                // The lower triangle counts; both halves are then the same to the bit.
                entries.push(if i >= j { *entry } else { mirrored });
            }
        }
        Self::factored(variables, entries.into_boxed_slice())
    }

    /// From entries that are symmetric already, row by row.
    pub(super) fn factored(variables: usize, entries: Box<[f64]>) -> Result<Self, MultivariateError> {
        let mut factor = vec![0.0; entries.len()].into_boxed_slice();
        for i in 0..variables {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| factor[i * variables + k] * factor[j * variables + k]).sum();
                let left = entries[i * variables + j] - known;
                if i > j {
                    factor[i * variables + j] = left / factor[j * variables + j];
                    continue;
                }
                // What is left of the variance after the variables before: at rounding level there is nothing.
                let least = entries[i * variables + i] * 1e-13;
                if left.is_nan() || left <= least || left < f64::MIN_POSITIVE || left.is_infinite() {
                    return Err(MultivariateError::NoVariation { variable: i + 1 });
                }
                factor[i * variables + i] = left.sqrt();
            }
        }
        Ok(Self { variables, entries, factor })
    }

    /// How many variables.
    #[must_use]
    pub fn variables(&self) -> usize {
        self.variables
    }

    /// The entry of two variables, both counted from 0; `None` where there is no such variable.
    #[must_use]
    pub fn entry(&self, row: usize, column: usize) -> Option<f64> {
        let inside = row < self.variables && column < self.variables;
        inside.then(|| self.entries[row * self.variables + column])
    }

    /// Determinant: the generalised variance (Montgomery, section 11.3), in the squared units of all variables multiplied.
    #[must_use]
    pub fn determinant(&self) -> f64 {
        (0..self.variables).map(|i| self.diagonal(i) * self.diagonal(i)).product()
    }

    /// Squared Mahalanobis distance `dᵀ Σ⁻¹ d`. Takes what `difference` gives for each variable, in their order; may be
    /// infinite or NaN where the differences are so far out that `f64` ends, which callers refuse.
    pub(super) fn squared_distance(&self, difference: impl Fn(usize) -> f64) -> f64 {
        let solved = self.forward(difference);
        solved[..self.variables].iter().map(|y| y * y).sum()
    }

    /// What each variable alone adds to the squared distance, given all the others: `(Σ⁻¹d)ᵢ² / (Σ⁻¹)ᵢᵢ`.
    pub(super) fn contributions(&self, difference: impl Fn(usize) -> f64) -> Vec<f64> {
        let weighed = self.backward(&self.forward(difference));
        let own = |variable: usize| {
            let solved = self.forward(|i| if i == variable { 1.0 } else { 0.0 });
            solved[..self.variables].iter().map(|y| y * y).sum::<f64>()
        };
        (0..self.variables).map(|i| weighed[i] * weighed[i] / own(i)).collect()
    }

    /// `y` of `L·y = d`.
    fn forward(&self, difference: impl Fn(usize) -> f64) -> [f64; VARIABLES_MAX] {
        let mut solved = [0.0; VARIABLES_MAX];
        for i in 0..self.variables {
            let row = &self.factor[i * self.variables..][..i];
            let known: f64 = row.iter().zip(&solved).map(|(l, y)| l * y).sum();
            solved[i] = (difference(i) - known) / self.diagonal(i);
        }
        solved
    }

    /// `x` of `Lᵀ·x = y`.
    fn backward(&self, y: &[f64; VARIABLES_MAX]) -> [f64; VARIABLES_MAX] {
        let mut solved = [0.0; VARIABLES_MAX];
        for i in (0..self.variables).rev() {
            let known: f64 = (i + 1..self.variables).map(|k| self.factor[k * self.variables + i] * solved[k]).sum();
            solved[i] = (y[i] - known) / self.diagonal(i);
        }
        solved
    }

    fn diagonal(&self, i: usize) -> f64 {
        self.factor[i * self.variables + i]
    }
}

pub(super) fn check_variables(variables: usize) -> Result<(), MultivariateError> {
    if (1..=VARIABLES_MAX).contains(&variables) { Ok(()) } else { Err(MultivariateError::Variables { got: variables }) }
}

impl TryFrom<Vec<Vec<f64>>> for Covariance {
    type Error = MultivariateError;

    fn try_from(rows: Vec<Vec<f64>>) -> Result<Self, Self::Error> {
        Self::new(&rows)
    }
}

impl From<Covariance> for Vec<Vec<f64>> {
    fn from(covariance: Covariance) -> Self {
        covariance.entries.chunks(covariance.variables).map(<[f64]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12 * expected.abs(), "{got} is not {expected}");
    }

    /// By hand: Σ = [[4, 2], [2, 5]], determinant 16, inverse [[5, −2], [−2, 4]] / 16.
    #[test]
    fn measures_what_the_inverse_would() {
        let covariance = Covariance::new(&[vec![4.0, 2.0], vec![2.0, 5.0]]).unwrap();
        let difference = [1.0, 3.0];
        near(covariance.determinant(), 16.0);
        near(covariance.squared_distance(|i| difference[i]), (5.0 - 12.0 + 36.0) / 16.0);
        // T² less T² without the variable: 3²/5 is what the second alone says, 1²/4 what the first does.
        let contributions = covariance.contributions(|i| difference[i]);
        near(contributions[0], 29.0 / 16.0 - 9.0 / 5.0);
        near(contributions[1], 29.0 / 16.0 - 1.0 / 4.0);
        assert_eq!((covariance.entry(1, 0), covariance.entry(2, 0)), (Some(2.0), None));
    }

    #[test]
    fn names_what_cannot_be_inverted() {
        let refused = |rows: &[Vec<f64>]| Covariance::new(rows).unwrap_err();
        assert_eq!(refused(&[]), MultivariateError::Variables { got: 0 });
        assert_eq!(refused(&[vec![1.0, 0.0]]), MultivariateError::NotSquare);
        assert_eq!(refused(&[vec![f64::NAN]]), MultivariateError::NotFinite);
        assert_eq!(refused(&[vec![1.0, 0.5], vec![0.4, 1.0]]), MultivariateError::NotSymmetric { row: 1, column: 2 });
        assert_eq!(refused(&[vec![1.0, 2.0], vec![2.0, 4.0]]), MultivariateError::NoVariation { variable: 2 });
        assert_eq!(refused(&[vec![0.0]]), MultivariateError::NoVariation { variable: 1 });
    }

    #[test]
    fn comes_back_from_its_rows_to_the_bit() {
        let covariance = Covariance::new(&[vec![0.3, 0.1], vec![0.1, 0.7]]).unwrap();
        let json = serde_json::to_string(&covariance).unwrap();
        assert_eq!(json, "[[0.3,0.1],[0.1,0.7]]");
        assert_eq!(serde_json::from_str::<Covariance>(&json).unwrap(), covariance);
        assert!(serde_json::from_str::<Covariance>("[[1.0,1.0],[1.0,1.0]]").is_err());
    }
}
