//! Multivariate EWMA: small shifts of several variables that stay.
//!
//! Invariant: the state is the weighted mean of the distances from the centre, and what is left of the starting value's
//! weight; both finite.

use serde::{Deserialize, Serialize};

use super::{MultivariateError, Reference, VARIABLES_MAX, VectorError, VectorPoint, check_state, check_values, finite, within};

/// Which covariance of the weighted mean a point is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// That of this point, `λ(1 − (1−λ)^(2t))/(2−λ) · Σ/n`: the first points are judged as strictly as later ones.
    #[default]
    Exact,
    /// That of a chart that has run for long, `λ/(2−λ) · Σ/n`, which tables of the limit take.
    Asymptotic,
}

/// What a MEWMA chart is told before its first point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MewmaSettings {
    /// Weight λ of the newest point, 0.0001 to 1; the smaller, the smaller the shifts that are found.
    pub lambda: f64,
    /// Limit h₄ on the statistic, above 0.
    pub limit: f64,
    /// Which covariance a point is measured by.
    pub spread: Spread,
}

/// A MEWMA chart.
///
/// Source: C. A. Lowry, W. H. Woodall, C. W. Champ and S. E. Rigdon, "A multivariate exponentially weighted moving average
/// control chart", Technometrics 34(1), 1992, 46–53; Montgomery, section 11.4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mewma {
    reference: Reference,
    settings: MewmaSettings,
    /// Weighted mean of the distances from the centre.
    weighted: Box<[f64]>,
    /// `(1 − λ)^(2t)`.
    left: f64,
    index: u64,
}

impl Mewma {
    /// A chart at its first point, starting on the centre.
    ///
    /// # Errors
    /// [`MultivariateError::Parameter`] for a weight or limit that cannot be meant.
    pub fn new(reference: Reference, settings: MewmaSettings) -> Result<Self, MultivariateError> {
        let MewmaSettings { lambda, limit, .. } = settings;
        within("lambda", lambda, (1e-4..=1.0).contains(&lambda), "between 0.0001 and 1")?;
        within("limit", limit, limit > 0.0 && limit.is_finite(), "above 0")?;
        let weighted = vec![0.0; reference.variables()].into_boxed_slice();
        Ok(Self { reference, settings, weighted, left: 1.0, index: 0 })
    }

    /// Judges the next subgroup: its observations after each other, each with the value of every variable. The statistic is
    /// `zᵀ Σz⁻¹ z`, without unit.
    ///
    /// # Errors
    /// [`VectorError`]; the chart is then as if the subgroup had not come.
    pub fn push(&mut self, values: &[f64]) -> Result<VectorPoint, VectorError> {
        let index = self.index.saturating_add(1);
        let MewmaSettings { lambda, limit, spread } = self.settings;
        check_state(&self.weighted, &self.reference, index)?;
        check_values(values, self.reference.variables(), self.reference.values(), index)?;
        let mut next = [0.0; VARIABLES_MAX];
        for (variable, (next, now)) in next.iter_mut().zip(&self.weighted).enumerate() {
            *next = now + lambda * (self.reference.distance(values, variable) - now);
        }
        let left = self.left * (1.0 - lambda) * (1.0 - lambda);
        let share = lambda / (2.0 - lambda) * if spread == Spread::Exact { 1.0 - left } else { 1.0 };
        let squared = self.reference.covariance().squared_distance(|i| next[i]);
        let statistic = finite(f64::from(self.reference.size()) * squared / share, index)?;
        self.weighted.copy_from_slice(&next[..self.weighted.len()]);
        self.left = left;
        self.index = index;
        Ok(VectorPoint::new(index, statistic, limit))
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`VectorError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<VectorPoint>, VectorError> {
        subgroups.iter().map(|values| self.push(values.as_ref())).collect()
    }

    /// Starts on the centre again, as after a stop that was released; numbering goes on.
    pub fn restart(&mut self) {
        self.weighted.fill(0.0);
        self.left = 1.0;
    }

    /// What it judges by.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}
