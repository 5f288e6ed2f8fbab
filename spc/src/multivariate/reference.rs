//! Phase I of several variables: where the process stood and how its variables moved together.
//!
//! Invariants: frozen; sums are compensated and taken from the first observation, so that the size of a measurement does
//! not eat its variation; excluded subgroups leave no trace but their number.

use serde::{Deserialize, Serialize};

use super::covariance::check_variables;
use super::{Covariance, MultivariateError, check_values, real};
use crate::sum::Sum;

/// Centre and covariance of a process in control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Reference {
    centre: Box<[f64]>,
    covariance: Covariance,
    /// Subgroups that they were estimated from; `None` where they are known.
    subgroups: Option<u32>,
    excluded: u32,
    /// Observations per subgroup.
    size: u32,
}

/// What a checkpoint holds, before it is known that its parts fit each other.
#[derive(Deserialize)]
struct Stored {
    centre: Vec<f64>,
    covariance: Covariance,
    subgroups: Option<u32>,
    excluded: u32,
    size: u32,
}

impl TryFrom<Stored> for Reference {
    type Error = MultivariateError;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let Stored { centre, covariance, subgroups, excluded, size } = stored;
        Ok(Self { subgroups, excluded, ..Self::given(&centre, covariance, size)? })
    }
}

impl Reference {
    /// Estimates both from phase I. Each item of `subgroups` holds its observations after each other, each observation
    /// the `variables` values of one piece: one observation makes an individuals chart. Subgroups in `excluded` (numbered
    /// from 1) are left out.
    ///
    /// Centre: the mean of all observations. Covariance, of one observation, in the variables' units multiplied: for
    /// individuals with divisor m − 1, else the mean of the covariances within subgroups.
    /// Source: Montgomery, Introduction to Statistical Quality Control, section 11.3 (subgroups and individuals).
    ///
    /// # Errors
    /// [`MultivariateError`]; a sample that cannot be used is named by its number.
    pub fn phase_one<S: AsRef<[f64]>>(variables: usize, subgroups: &[S], excluded: &[u64]) -> Result<Self, MultivariateError> {
        check_variables(variables)?;
        let length = subgroups.first().map_or(0, |subgroup| subgroup.as_ref().len());
        let size = length / variables;
        if !subgroups.is_empty() && (size == 0 || size * variables != length) {
            return Err(MultivariateError::SubgroupSize);
        }
        let mut used = Vec::new();
        for (subgroup, number) in subgroups.iter().zip(1u64..) {
            check_values(subgroup.as_ref(), variables, length, number)?;
            if !excluded.contains(&number) {
                used.push(subgroup.as_ref());
            }
        }
        let least = if size == 1 { variables + 1 } else { 2 };
        if used.len() < least {
            return Err(MultivariateError::TooFew { used: used.len(), least });
        }
        let centre = mean(variables, used.iter().copied());
        let whole = used.concat();
        let groups = if size == 1 { vec![whole.as_slice()] } else { used.clone() };
        let entries = pooled(variables, &groups);
        if centre.iter().chain(&entries).any(|number| !number.is_finite()) {
            return Err(MultivariateError::NotFinite);
        }
        Ok(Self {
            centre: centre.into_boxed_slice(),
            covariance: Covariance::factored(variables, entries.into_boxed_slice())?,
            subgroups: Some(count(used.len())),
            excluded: count(subgroups.len() - used.len()),
            size: count(size),
        })
    }

    /// Centre and covariance are known, for charts on subgroups of `size` observations.
    ///
    /// # Errors
    /// [`MultivariateError`] where they do not fit each other.
    pub fn given(centre: &[f64], covariance: Covariance, size: u32) -> Result<Self, MultivariateError> {
        if centre.len() != covariance.variables() {
            return Err(MultivariateError::NotSquare);
        }
        if centre.iter().any(|value| !value.is_finite()) {
            return Err(MultivariateError::NotFinite);
        }
        if size == 0 {
            return Err(MultivariateError::SubgroupSize);
        }
        Ok(Self { centre: centre.into(), covariance, subgroups: None, excluded: 0, size })
    }

    /// The same centre and covariance, estimated elsewhere from so many subgroups: limits then allow for the estimate.
    #[must_use]
    pub fn estimated_from(self, subgroups: u32) -> Self {
        Self { subgroups: Some(subgroups), ..self }
    }

    /// The mean of each variable, in its unit.
    #[must_use]
    pub fn centre(&self) -> &[f64] {
        &self.centre
    }

    /// Covariance of one observation.
    #[must_use]
    pub fn covariance(&self) -> &Covariance {
        &self.covariance
    }

    /// Subgroups that this was estimated from; `None` where it is known.
    #[must_use]
    pub fn subgroups(&self) -> Option<u32> {
        self.subgroups
    }

    /// Subgroups of phase I that were left out.
    #[must_use]
    pub fn excluded(&self) -> u32 {
        self.excluded
    }

    /// Observations per subgroup; 1 for individuals.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many variables.
    #[must_use]
    pub fn variables(&self) -> usize {
        self.centre.len()
    }

    /// Values of one point.
    pub(super) fn values(&self) -> usize {
        usize::try_from(self.size).map_or(usize::MAX, |size| size.saturating_mul(self.centre.len()))
    }

    /// How far the mean of the subgroup lies from the centre, for one variable. The mean is taken of the distances, so that
    /// a subgroup that sits on the centre is at distance 0 exactly.
    pub(super) fn distance(&self, values: &[f64], variable: usize) -> f64 {
        let own = values.iter().skip(variable).step_by(self.centre.len());
        own.map(|value| value - self.centre[variable]).sum::<f64>() / f64::from(self.size)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The mean of each variable over all observations of these subgroups, of which there is at least one.
fn mean<'a>(variables: usize, subgroups: impl Iterator<Item = &'a [f64]> + Clone) -> Vec<f64> {
    let of = |variable: usize| {
        let values = subgroups.clone().flat_map(|subgroup| subgroup.iter().skip(variable).step_by(variables));
        let origin = values.clone().next().copied().unwrap_or(0.0);
        let (mut sum, mut n) = (Sum::default(), 0);
        for value in values {
            sum.add(value - origin);
            n += 1;
        }
        origin + sum.value() / real(n)
    };
    (0..variables).map(of).collect()
}

/// The mean of the covariance matrices within these groups, row by row; both halves alike.
fn pooled(variables: usize, groups: &[&[f64]]) -> Vec<f64> {
    let means: Vec<_> = groups.iter().map(|group| mean(variables, std::iter::once(*group))).collect();
    let mut entries = vec![0.0; variables * variables];
    for i in 0..variables {
        for j in 0..=i {
            let mut all = Sum::default();
            for (group, mean) in groups.iter().zip(&means) {
                let mut products = Sum::default();
                for row in group.chunks(variables) {
                    products.add((row[i] - mean[i]) * (row[j] - mean[j]));
                }
                all.add(products.value() / (real(group.len() / variables) - 1.0));
            }
            let entry = all.value() / real(groups.len());
            entries[i * variables + j] = entry;
            entries[j * variables + i] = entry;
        }
    }
    entries
}
