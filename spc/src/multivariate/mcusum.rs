//! Multivariate CUSUM: Crosier's vector of sums, shrunk towards the centre at every point.
//!
//! Invariant: the state is one vector of sums in the variables' units, finite; no reset after a signal.

use serde::{Deserialize, Serialize};

use super::{MultivariateError, Reference, VARIABLES_MAX, VectorError, VectorPoint, check_state, check_values, finite, within};

/// What a MCUSUM chart is told before its first point, both in standard errors of the point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McusumSettings {
    /// Reference value k: half the distance of the shift to be found. 0.5 finds a shift of 1. At least 0.
    pub k: f64,
    /// Decision interval h, above 0. Montgomery, section 11.4 and Crosier's table 1 give it for an average run length.
    pub h: f64,
}

/// A MCUSUM chart: `C = √((S + d)ᵀ Σ⁻¹ (S + d))`; S becomes 0 where C ≤ k, else `(S + d)(1 − k/C)`; plotted is
/// `√(Sᵀ Σ⁻¹ S)`.
///
/// Source: R. B. Crosier, "Multivariate generalizations of cumulative sum quality-control schemes", Technometrics 30(3),
/// 1988, 291–303, section 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mcusum {
    reference: Reference,
    settings: McusumSettings,
    sums: Box<[f64]>,
    index: u64,
}

impl Mcusum {
    /// A chart at its first point, with no sum yet.
    ///
    /// # Errors
    /// [`MultivariateError::Parameter`] for a reference value or decision interval that cannot be meant.
    pub fn new(reference: Reference, settings: McusumSettings) -> Result<Self, MultivariateError> {
        let McusumSettings { k, h } = settings;
        within("k", k, k >= 0.0 && k.is_finite(), "at or above 0")?;
        within("h", h, h > 0.0 && h.is_finite(), "above 0")?;
        let sums = vec![0.0; reference.variables()].into_boxed_slice();
        Ok(Self { reference, settings, sums, index: 0 })
    }

    /// Judges the next subgroup: its observations after each other, each with the value of every variable. The statistic
    /// is in standard errors of the subgroup's mean.
    ///
    /// # Errors
    /// [`VectorError`]; the chart is then as if the subgroup had not come.
    pub fn push(&mut self, values: &[f64]) -> Result<VectorPoint, VectorError> {
        let index = self.index.saturating_add(1);
        let McusumSettings { k, h } = self.settings;
        check_state(&self.sums, &self.reference, index)?;
        check_values(values, self.reference.variables(), self.reference.values(), index)?;
        let mut next = [0.0; VARIABLES_MAX];
        for (variable, (next, now)) in next.iter_mut().zip(&self.sums).enumerate() {
            *next = now + self.reference.distance(values, variable);
        }
        let squared = self.reference.covariance().squared_distance(|i| next[i]);
        let distance = finite((f64::from(self.reference.size()) * squared).sqrt(), index)?;
        // The length of the shrunk vector is what is left of the distance: no second solution is needed.
        let (statistic, shrunk) = if distance <= k { (0.0, 0.0) } else { (distance - k, 1.0 - k / distance) };
        for (sum, next) in self.sums.iter_mut().zip(&next) {
            *sum = next * shrunk;
        }
        self.index = index;
        Ok(VectorPoint::new(index, statistic, h))
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`VectorError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<VectorPoint>, VectorError> {
        subgroups.iter().map(|values| self.push(values.as_ref())).collect()
    }

    /// Forgets the sums, as after a stop that was released; numbering goes on.
    pub fn restart(&mut self) {
        self.sums.fill(0.0);
    }

    /// What it judges by.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}
