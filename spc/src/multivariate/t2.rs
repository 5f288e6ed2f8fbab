//! Hotelling's T²: how far a piece, or the mean of a subgroup, lies from the centre, measured by how the variables move
//! together.
//!
//! Invariant: the limits of phase I and phase II differ, because the points of phase I took part in the estimate; a chart
//! says by which of the two it judges.

use serde::{Deserialize, Serialize};

use super::{MultivariateError, Reference, VectorError, VectorPoint, check_values, finite, real, within};
use crate::distribution::{beta_quantile, chi_square_quantile, f_quantile};

/// Whether the points judged took part in the estimate of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// They did: looking back.
    One,
    /// They did not: monitoring.
    Two,
}

/// Frozen limits of a T² chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct T2Limits {
    /// Centre and covariance.
    pub reference: Reference,
    /// Probability that a point of a process in control is within the limit.
    pub confidence: f64,
    /// Limit for the points of phase I.
    pub ucl_phase_one: f64,
    /// Limit for points after phase I.
    pub ucl_phase_two: f64,
}

impl T2Limits {
    /// Limits that a point in control keeps with probability `confidence`; `None` takes `(1 − 0.0027)^p`, as if each of the
    /// p variables had three-sigma limits of its own.
    ///
    /// With m subgroups of n observations of p variables:
    /// n = 1: phase I `(m−1)²/m · Beta(p/2, (m−p−1)/2)`, phase II `p(m+1)(m−1)/(m(m−p)) · F(p, m−p)`;
    /// n > 1: phase I `p(m−1)(n−1)/(mn−m−p+1) · F(p, mn−m−p+1)`, phase II the same with m + 1 in place of m − 1;
    /// reference known: χ² with p degrees of freedom in both.
    /// Source: Montgomery, Introduction to Statistical Quality Control, sections 11.3.1 and 11.3.2; N. D. Tracy,
    /// J. C. Young and R. L. Mason, Journal of Quality Technology 24(2), 1992, 88–95.
    ///
    /// # Errors
    /// A confidence outside 0 to 1, or [`MultivariateError::TooFew`] subgroups: n = 1 needs p + 2, n > 1 so many that
    /// m(n − 1) ≥ p.
    pub fn new(reference: Reference, confidence: Option<f64>) -> Result<Self, MultivariateError> {
        let p = real(reference.variables());
        let confidence = confidence.unwrap_or_else(|| (0..reference.variables()).fold(1.0, |all, _| all * (1.0 - 0.0027)));
        within("confidence", confidence, confidence > 0.0 && confidence < 1.0, "between 0 and 1")?;
        let (ucl_phase_one, ucl_phase_two) = match (reference.subgroups(), reference.size()) {
            (None, _) => {
                let ucl = chi_square_quantile(confidence, p);
                (ucl, ucl)
            }
            (Some(subgroups), 1) => {
                let m = f64::from(subgroups);
                check_enough(m - p - 1.0 > 0.0, subgroups, reference.variables() + 2)?;
                let one = (m - 1.0) * (m - 1.0) / m * beta_quantile(confidence, 0.5 * p, 0.5 * (m - p - 1.0));
                let two = p * (m + 1.0) * (m - 1.0) / (m * (m - p)) * f_quantile(confidence, p, m - p);
                (one, two)
            }
            (Some(subgroups), size) => {
                let (m, n) = (f64::from(subgroups), f64::from(size));
                let freedom = m * n - m - p + 1.0;
                let others = usize::try_from(size - 1).unwrap_or(usize::MAX);
                check_enough(m > 1.0 && freedom > 0.0, subgroups, reference.variables().div_ceil(others).max(2))?;
                let factor = p * (n - 1.0) / freedom * f_quantile(confidence, p, freedom);
                ((m - 1.0) * factor, (m + 1.0) * factor)
            }
        };
        Ok(Self { reference, confidence, ucl_phase_one, ucl_phase_two })
    }

    /// Estimates the reference from phase I, see [`Reference::phase_one`], and sets the limits.
    ///
    /// # Errors
    /// [`MultivariateError`], naming the subgroup or variable where one is at fault.
    pub fn phase_one<S: AsRef<[f64]>>(
        variables: usize,
        subgroups: &[S],
        excluded: &[u64],
        confidence: Option<f64>,
    ) -> Result<Self, MultivariateError> {
        Self::new(Reference::phase_one(variables, subgroups, excluded)?, confidence)
    }

    /// What each variable alone adds to T², given all the others: the larger, the more this variable is the reason of a
    /// signal. In the unit of T². Source: Montgomery, section 11.3.1 (dᵢ = T² − T²₍ᵢ₎, there computed by leaving variables out).
    ///
    /// # Errors
    /// [`VectorError`] with point 0 where the values cannot be measured.
    pub fn contributions(&self, values: &[f64]) -> Result<Vec<f64>, VectorError> {
        check_values(values, self.reference.variables(), self.reference.values(), 0)?;
        let n = f64::from(self.reference.size());
        let parts = self.reference.covariance().contributions(|i| self.reference.distance(values, i));
        parts.into_iter().map(|part| finite(n * part, 0)).collect()
    }
}

fn check_enough(enough: bool, subgroups: u32, least: usize) -> Result<(), MultivariateError> {
    let used = usize::try_from(subgroups).unwrap_or(usize::MAX);
    if enough { Ok(()) } else { Err(MultivariateError::TooFew { used, least }) }
}

/// A T² chart: one point after the other, nothing remembered but their number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HotellingT2 {
    limits: T2Limits,
    phase: Phase,
    index: u64,
}

impl HotellingT2 {
    /// A chart at its first point.
    #[must_use]
    pub fn new(limits: T2Limits, phase: Phase) -> Self {
        Self { limits, phase, index: 0 }
    }

    /// Judges the next subgroup: its observations after each other, each with the value of every variable. The statistic is
    /// `n (x̄ − centre)ᵀ Σ⁻¹ (x̄ − centre)`, without unit.
    ///
    /// # Errors
    /// [`VectorError`]; the chart is then as if the subgroup had not come.
    pub fn push(&mut self, values: &[f64]) -> Result<VectorPoint, VectorError> {
        let index = self.index.saturating_add(1);
        let reference = &self.limits.reference;
        check_values(values, reference.variables(), reference.values(), index)?;
        let squared = reference.covariance().squared_distance(|i| reference.distance(values, i));
        let statistic = finite(f64::from(reference.size()) * squared, index)?;
        self.index = index;
        let ucl = if self.phase == Phase::One { self.limits.ucl_phase_one } else { self.limits.ucl_phase_two };
        Ok(VectorPoint::new(index, statistic, ucl))
    }

    /// Every subgroup in order, from where this chart stands: the same arithmetic as point by point, so the same bits.
    ///
    /// # Errors
    /// [`VectorError`], naming the point.
    pub fn batch<S: AsRef<[f64]>>(mut self, subgroups: &[S]) -> Result<Vec<VectorPoint>, VectorError> {
        subgroups.iter().map(|values| self.push(values.as_ref())).collect()
    }

    /// The limits that this chart judges by.
    #[must_use]
    pub fn limits(&self) -> &T2Limits {
        &self.limits
    }
}
