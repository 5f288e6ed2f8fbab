//! All that a page shows of one characteristic's capability, computed together so that its parts cannot contradict.
//!
//! Invariants: the indices shown rest on the distribution named beside them; readings that may be called normal are judged as
//! normal; histogram and indices are of the same readings.

use serde::{Deserialize, Serialize};

use super::fit::{Family, Fitted};
use super::percentile::{PercentileIndices, Percentiles, expected};
use super::{Capability, Confidence, Outside, Specification, Within};
use crate::normality::{Test, anderson_darling};
use crate::pareto::{Bins, Histogram};
use crate::study::{self, StudyError};
use crate::univariate::Summary;

/// How a study is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StudySettings {
    /// Confidence of the intervals.
    pub confidence: Confidence,
    /// Readings are judged as normal while the p-value of Anderson and Darling's test is at least this: usually 0.05.
    pub normal_from: f64,
    /// Bins of the histogram.
    pub bins: Bins,
}

impl Default for StudySettings {
    fn default() -> Self {
        Self { confidence: Confidence::level(0.95), normal_from: 0.05, bins: Bins::FreedmanDiaconis }
    }
}

/// What the readings look like, where they lie, and whether that fits the specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityStudy {
    /// Mean, spread and shape, in the unit of the readings.
    pub summary: Summary,
    /// Anderson and Darling's test; `None` for fewer than eight readings, which are taken as normal.
    pub normality: Option<Test>,
    /// The study as if the readings were normal: Cp, Cpk, Pp, Ppk with intervals, parts per million.
    pub normal: Capability,
    /// The distribution that the indices to go by rest on: normal where the readings may be called so, else the one of normal,
    /// lognormal, Weibull, gamma and exponential that fits best by Akaike's criterion.
    pub distribution: Fitted,
    /// Percentiles of that distribution.
    pub percentiles: Percentiles,
    /// Indices from these percentiles: the ones to go by where the readings are not normal.
    pub indices: PercentileIndices,
    /// Parts per million that this distribution puts outside.
    pub expected: Outside,
    /// The readings in bins.
    pub histogram: Histogram,
}

impl CapabilityStudy {
    /// A study of single readings; `within` is the spread within subgroups where it is known. Ties are taken as they come and
    /// make normality harder to keep.
    ///
    /// Source: ISO 22514-2:2017 (choice of the distribution before the indices); H. Akaike, IEEE Transactions on Automatic
    /// Control 19 (1974) 716–723.
    ///
    /// # Errors
    /// As [`Capability::of`]; a `normal_from` not between 0 and 1; bins as [`Histogram::of`].
    pub fn of(data: &[f64], within: Option<Within>, specification: &Specification, settings: &StudySettings) -> Result<Self, StudyError> {
        let normal = Capability::of(data, within, specification, settings.confidence)?;
        study::share("p-value from which readings are normal", settings.normal_from)?;
        let normality = if data.len() < 8 { None } else { Some(anderson_darling(data)?) };
        let distribution = if normality.is_none_or(|test| test.p >= settings.normal_from) {
            Fitted::Normal { mean: normal.mean, std_dev: normal.overall_sigma }
        } else {
            best_fit(data)?
        };
        let percentiles = Percentiles::of(&distribution);
        Ok(Self {
            summary: Summary::of(data)?,
            normality,
            indices: percentiles.indices(specification)?,
            expected: expected(&distribution, specification),
            percentiles,
            distribution,
            normal,
            histogram: Histogram::of(data, settings.bins)?,
        })
    }

    /// May the readings be called normal?
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self.distribution, Fitted::Normal { .. })
    }
}

/// The family of least `2 · parameters − 2 · ln likelihood`; the normal one where no other can be fitted.
fn best_fit(data: &[f64]) -> Result<Fitted, StudyError> {
    let normal = Fitted::to(data, Family::Normal)?;
    let others = [(Family::Lognormal, 2.0), (Family::Weibull, 2.0), (Family::Gamma, 2.0), (Family::Exponential, 1.0)];
    let criterion = |fitted: &Fitted, parameters: f64| 2.0 * parameters - 2.0 * fitted.log_likelihood(data);
    let mut best = (criterion(&normal, 2.0), normal);
    for (family, parameters) in others {
        // A family for positive readings does not fit others; that is no error of the study.
        let Ok(fitted) = Fitted::to(data, family) else { continue };
        let score = criterion(&fitted, parameters);
        if score < best.0 {
            best = (score, fitted);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a distribution at (i − 1/2)/n stand in for readings.
    fn ideal(fitted: &Fitted, count: u32) -> Vec<f64> {
        (1..=count).map(|i| fitted.quantile((f64::from(i) - 0.5) / f64::from(count))).collect()
    }

    #[test]
    fn normal_readings_are_judged_as_normal() {
        let specification = Specification::new(Some(0.0), Some(10.0), None).unwrap();
        let data = ideal(&Fitted::Normal { mean: 5.0, std_dev: 1.0 }, 60);
        let study = CapabilityStudy::of(&data, None, &specification, &StudySettings::default()).unwrap();
        assert!(study.is_normal() && study.normality.unwrap().p > 0.9);
        // 0.135 % is a rounded 3 standard deviations.
        assert!((study.indices.nearest - study.normal.performance.nearest.value).abs() < 1e-4);
        assert_eq!(study.histogram.counts.iter().sum::<u64>(), 60);
    }

    #[test]
    fn skewed_readings_get_a_distribution_of_their_own() {
        let specification = Specification::new(None, Some(6.0), None).unwrap();
        let truth = Fitted::Lognormal { log_mean: 0.0, log_std_dev: 0.5, threshold: 0.0 };
        let study = CapabilityStudy::of(&ideal(&truth, 100), None, &specification, &StudySettings::default()).unwrap();
        assert!(matches!(study.distribution, Fitted::Lognormal { .. }), "{:?}", study.distribution);
        // A normal distribution would promise far fewer pieces outside.
        assert!(study.expected.total() > 100.0 * study.normal.performance.expected.total());
        assert!(study.indices.nearest < study.normal.performance.nearest.value);
    }

    #[test]
    fn readings_below_zero_or_few_still_get_a_study() {
        let specification = Specification::new(Some(-5.0), Some(5.0), None).unwrap();
        let mut data = ideal(&Fitted::Lognormal { log_mean: 0.0, log_std_dev: 1.0, threshold: -1.0 }, 50);
        let study = CapabilityStudy::of(&data, None, &specification, &StudySettings::default()).unwrap();
        assert!(study.is_normal() && study.normality.unwrap().p < 0.05);
        data.truncate(7);
        assert_eq!(CapabilityStudy::of(&data, None, &specification, &StudySettings::default()).unwrap().normality, None);
        data[3] = f64::NAN;
        assert!(CapabilityStudy::of(&data, None, &specification, &StudySettings::default()).is_err());
    }
}
