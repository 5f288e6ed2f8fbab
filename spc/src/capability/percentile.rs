//! Capability of readings that are not normal: the percentiles 0.135 %, 50 % and 99.865 % stand in for mean ∓ 3σ.
//!
//! Invariants: for a normal distribution these indices equal the usual ones; Ppk is the lesser of Ppl and Ppu.

use serde::{Deserialize, Serialize};

use super::fit::Fitted;
use super::{Outside, Specification};
use crate::distribution::normal_quantile;
use crate::study::StudyError;

/// The share below −3σ of a normal distribution, as ISO 22514-2 rounds it.
const TAIL: f64 = 0.001_35;

/// The percentiles that the indices rest on, in the unit of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// X 0.135 %.
    pub low: f64,
    /// X 50 %.
    pub median: f64,
    /// X 99.865 %.
    pub high: f64,
}

/// Percentile indices. `None` where the specification has no such side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PercentileIndices {
    /// Pp: (upper − lower)/(high − low).
    pub width: Option<f64>,
    /// Ppl: (median − lower)/(median − low).
    pub lower: Option<f64>,
    /// Ppu: (upper − median)/(high − median).
    pub upper: Option<f64>,
    /// Ppk: the lesser of the two.
    pub nearest: f64,
}

impl Percentiles {
    /// The percentiles of a distribution.
    #[must_use]
    pub fn of(distribution: &Fitted) -> Self {
        Self { low: distribution.quantile(TAIL), median: distribution.quantile(0.5), high: distribution.quantile(1.0 - TAIL) }
    }

    /// Indices against a specification. The percentiles may come from a fit or from a very large sample.
    ///
    /// Source: ISO 22514-2:2017, clause 7 (general geometric method, "M1,4"/percentile).
    ///
    /// # Errors
    /// Percentiles that are NaN, infinite or not rising (readings with too many ties).
    pub fn indices(&self, specification: &Specification) -> Result<PercentileIndices, StudyError> {
        let rising = self.low < self.median && self.median < self.high && self.low.is_finite() && self.high.is_finite();
        if !rising {
            return Err(StudyError::NoVariation { what: "percentiles of the readings" });
        }
        let lower = specification.lower().map(|limit| (self.median - limit) / (self.median - self.low));
        let upper = specification.upper().map(|limit| (limit - self.median) / (self.high - self.median));
        Ok(PercentileIndices {
            width: specification.lower().zip(specification.upper()).map(|(low, high)| (high - low) / (self.high - self.low)),
            lower,
            upper,
            nearest: lower.unwrap_or(f64::INFINITY).min(upper.unwrap_or(f64::INFINITY)),
        })
    }
}

/// Indices by share outside: each side's share is read as a distance on the normal scale, Ppu = z(share above)/3, and
/// Pp = (z below + z above)/6. Where a limit lies beyond the distribution's own end, no piece ever passes it: that side, and with
/// it Pp, has no index.
///
/// Source: ISO 22514-2:2017 (indices from proportions nonconforming); "Z-score method" of ISO/TR 22514-4, as Minitab and
/// JASP offer it beside the percentiles.
///
/// # Errors
/// Limits that all lie beyond the distribution's ends.
pub fn indices_by_share(distribution: &Fitted, specification: &Specification) -> Result<PercentileIndices, StudyError> {
    let score = |share: f64| (share > 0.0 && share < 1.0).then(|| -normal_quantile(share));
    let below = specification.lower().and_then(|limit| score(distribution.below(limit)));
    let above = specification.upper().and_then(|limit| score(distribution.above(limit)));
    let nearest = below.unwrap_or(f64::INFINITY).min(above.unwrap_or(f64::INFINITY)) / 3.0;
    if !nearest.is_finite() {
        let value = specification.upper().or(specification.lower()).unwrap_or(f64::MAX);
        return Err(StudyError::Setting { what: "specification limit", value, wanted: "a limit within the distribution's range" });
    }
    Ok(PercentileIndices {
        width: below.zip(above).map(|(below, above)| (below + above) / 6.0),
        lower: below.map(|score| score / 3.0),
        upper: above.map(|score| score / 3.0),
        nearest,
    })
}

/// Parts per million that a distribution puts outside a specification.
#[must_use]
pub fn expected(distribution: &Fitted, specification: &Specification) -> Outside {
    specification.ppm(|limit| distribution.below(limit), |limit| distribution.above(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_distribution_gives_the_usual_indices() {
        let normal = Fitted::Normal { mean: 5.0, std_dev: 0.5 };
        let specification = Specification::new(Some(3.0), Some(6.5), None).unwrap();
        let indices = Percentiles::of(&normal).indices(&specification).unwrap();
        // 0.135 % is rounded: 2.99998 standard deviations.
        let three = normal_quantile(1.0 - TAIL);
        assert!((indices.nearest - 1.5 / (three * 0.5)).abs() < 1e-12);
        assert!((indices.width.unwrap() - 3.5 / (2.0 * three * 0.5)).abs() < 1e-12);
        assert!((three - 3.0).abs() < 3e-5);
        let outside = expected(&normal, &specification);
        assert!((outside.above.unwrap() - 1e6 * 0.001_349_898_031_630_094_5).abs() < 1e-6);
    }

    #[test]
    fn shares_outside_give_the_usual_indices_of_a_normal_distribution() {
        let normal = Fitted::Normal { mean: 5.0, std_dev: 0.5 };
        let specification = Specification::new(Some(3.0), Some(6.5), None).unwrap();
        let indices = indices_by_share(&normal, &specification).unwrap();
        for (got, expected) in [(indices.lower.unwrap(), 4.0 / 3.0), (indices.nearest, 1.0), (indices.width.unwrap(), 7.0 / 6.0)] {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        let weibull = Fitted::Weibull { shape: 2.0, scale: 1.0, threshold: 0.0 };
        let beyond = Specification::new(Some(0.0), None, None).unwrap();
        assert!(indices_by_share(&weibull, &beyond).is_err());
        let both = Specification::new(Some(0.0), Some(2.0), None).unwrap();
        assert_eq!(indices_by_share(&weibull, &both).unwrap().lower, None);
    }

    #[test]
    fn percentiles_must_rise() {
        let specification = Specification::new(Some(3.0), None, None).unwrap();
        assert!(Percentiles { low: 1.0, median: 1.0, high: 2.0 }.indices(&specification).is_err());
        assert!(Percentiles { low: 0.0, median: 1.0, high: f64::NAN }.indices(&specification).is_err());
    }
}
