//! Whether a process fits its specification: Cp, Cpk, Cpm, Pp, Ppk, their confidence intervals, and parts per million.
//!
//! Two spreads, two families: the spread *within* subgroups (short term, the Cp family) says what the process could do, the
//! *overall* one (long term, the Pp family) what it did. On consecutive pieces of a machine acceptance the overall family is
//! called Cm and Cmk; formula and interval are the same. Readings that are not normal go through [`percentile`] or a
//! Box–Cox transform ([`Capability::transformed`]); [`summary`] puts all of it together for a page.
//!
//! Invariants: indices do not change when readings, specification and target are shifted or scaled together; Cpk is the
//! lesser of Cpl and Cpu; a one-sided specification has no Cp and no Cpm; nothing is computed from a spread of zero.

pub mod fit;
pub mod percentile;
pub mod summary;
mod threshold;
mod within;

use serde::{Deserialize, Serialize};

use crate::distribution::{chi_square_quantile, normal_above, normal_below, normal_quantile};
use crate::normality::BoxCox;
use crate::study::{self, StudyError, real};

pub use within::{Within, WithinMethod};

/// Specification limits and target, in the unit of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Specification {
    lower: Option<f64>,
    upper: Option<f64>,
    target: f64,
}

impl Specification {
    /// One or two limits. Without a target it is the middle of two limits, or the only limit.
    ///
    /// # Errors
    /// No limit; limits that are NaN, infinite, beyond ±1e100 or not rising; such a target.
    pub fn new(lower: Option<f64>, upper: Option<f64>, target: Option<f64>) -> Result<Self, StudyError> {
        for value in [lower, upper, target].into_iter().flatten() {
            if study::reading(1, value).is_err() {
                return Err(StudyError::Setting { what: "specification", value, wanted: "finite limits and target within ±1e100" });
            }
        }
        let middle = match (lower, upper) {
            (Some(low), Some(high)) if low >= high => {
                return Err(StudyError::Setting { what: "upper specification limit", value: high, wanted: "a limit above the lower one" });
            }
            (Some(low), Some(high)) => low.midpoint(high),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return Err(StudyError::TooFew { what: "specification limits", needed: 1, got: 0 }),
        };
        Ok(Self { lower, upper, target: target.unwrap_or(middle) })
    }

    /// Lower limit; `None` for a specification without one.
    #[must_use]
    pub const fn lower(&self) -> Option<f64> {
        self.lower
    }

    /// Upper limit; `None` for a specification without one.
    #[must_use]
    pub const fn upper(&self) -> Option<f64> {
        self.upper
    }

    /// Target.
    #[must_use]
    pub const fn target(&self) -> f64 {
        self.target
    }

    /// Parts per million outside each limit that has a value, by these distribution functions.
    fn ppm(&self, below: impl Fn(f64) -> f64, above: impl Fn(f64) -> f64) -> Outside {
        Outside { below: self.lower.map(|limit| 1e6 * below(limit)), above: self.upper.map(|limit| 1e6 * above(limit)) }
    }
}

/// Parts per million outside the specification; `None` where there is no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outside {
    /// Below the lower limit.
    pub below: Option<f64>,
    /// Above the upper limit.
    pub above: Option<f64>,
}

impl Outside {
    /// Both sides together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.below.unwrap_or(0.0) + self.above.unwrap_or(0.0)
    }
}

/// An index with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// The indices of one spread. `None` where the specification has no such side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Indices {
    /// Cp, Pp or Cm: (upper − lower)/6σ. Interval by chi-square.
    pub width: Option<Index>,
    /// Cpl or Ppl: (mean − lower)/3σ. Each end of the interval is a one-sided bound at the stated confidence.
    pub lower: Option<Index>,
    /// Cpu or Ppu: (upper − mean)/3σ, with such an interval.
    pub upper: Option<Index>,
    /// Cpk, Ppk or Cmk: the lesser of the two. Two-sided interval by Bissell's normal approximation.
    pub nearest: Index,
    /// Cpm or Ppm: width/√(1 + ((mean − target)/σ)²). Interval by Boyles' chi-square approximation.
    pub target: Option<Index>,
    /// Parts per million expected outside, were the readings normal with this spread.
    pub expected: Outside,
}

/// A capability study of normal readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capability {
    /// What was asked for.
    pub specification: Specification,
    /// Confidence of the intervals.
    pub confidence: Confidence,
    /// Readings.
    pub count: usize,
    /// Mean, in the unit of the readings.
    pub mean: f64,
    /// Sample standard deviation of all readings (divisor n − 1).
    pub overall_sigma: f64,
    /// The spread within subgroups, where it was given.
    pub within: Option<Within>,
    /// Cp family.
    pub potential: Option<Indices>,
    /// Pp family.
    pub performance: Indices,
    /// Parts per million of the readings themselves that lie outside; on a limit is inside.
    pub observed: Outside,
}

impl Capability {
    /// Study of single readings: the Pp family (Cm, Cmk of a machine), and the Cp family when the spread within subgroups is
    /// given.
    ///
    /// Source: ISO 22514-2:2017; Montgomery, Introduction to Statistical Quality Control, chapter 8; intervals: A. F. Bissell,
    /// Applied Statistics 39 (1990) 331–340 (Cpk), R. A. Boyles, Journal of Quality Technology 23 (1991) 17–26 (Cpm).
    ///
    /// ```
    /// use spc::capability::{Capability, Confidence, Specification, Within};
    /// use spc::Constants;
    ///
    /// let bores = [12.003, 12.001, 11.998, 12.004, 12.002, 11.999, 12.000, 12.001];
    /// let drawing = Specification::new(Some(11.98), Some(12.02), None)?;
    /// let short_term = Within::of_moving_ranges(&bores, 2, Constants::Exact)?;
    /// let study = Capability::of(&bores, Some(short_term), &drawing, Confidence::level(0.95))?;
    /// let cpk = study.potential.map(|indices| indices.nearest);
    /// assert!(cpk.is_some_and(|cpk| cpk.low < cpk.value && cpk.value > 1.33));
    /// # Ok::<(), spc::study::StudyError>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than two readings, NaN or infinite ones, readings that do not vary, a confidence not between 0 and 1.
    pub fn of(data: &[f64], within: Option<Within>, specification: &Specification, confidence: Confidence) -> Result<Self, StudyError> {
        study::finite(data, 2)?;
        study::share("confidence", confidence.level)?;
        let mean = study::mean(data);
        let freedom = real(data.len() - 1);
        let squares = study::squares(data, mean);
        let overall_sigma = (squares / freedom).sqrt();
        let varies = study::varies(squares) && data.iter().any(|value| *value != data[0]);
        if !varies {
            return Err(StudyError::NoVariation { what: "readings" });
        }
        let process = Process { specification, mean, count: real(data.len()), confidence };
        let outside = |is_out: &dyn Fn(&f64) -> bool| real(data.iter().filter(|value| is_out(value)).count()) / real(data.len());
        Ok(Self {
            specification: *specification,
            confidence,
            count: data.len(),
            mean,
            overall_sigma,
            within,
            potential: within.map(|within| process.indices(within.sigma, within.freedom)),
            performance: process.indices(overall_sigma, freedom),
            observed: specification.ppm(|limit| outside(&|value| *value < limit), |limit| outside(&|value| *value > limit)),
        })
    }

    /// Study on the Box–Cox scale: readings, limits and target are all transformed, indices are read as usual. Mean, spread and
    /// limits of the result are on that scale, not in the unit of the readings.
    ///
    /// Source: G. E. P. Box and D. R. Cox, JRSS B 26 (1964) 211–252; Montgomery, chapter 8 (capability of nonnormal data).
    ///
    /// # Errors
    /// As [`Capability::of`] (too few, NaN, no variation); readings, limits or a target that are not above zero.
    pub fn transformed(
        data: &[f64],
        transform: &BoxCox,
        specification: &Specification,
        confidence: Confidence,
    ) -> Result<Self, StudyError> {
        study::positive(data, 2)?;
        let limit = |value: f64| {
            let wanted = "limits and target above zero, as the transform needs";
            transform.transform(value).ok_or(StudyError::Setting { what: "specification", value, wanted })
        };
        let moved = Specification {
            lower: specification.lower.map(limit).transpose()?,
            upper: specification.upper.map(limit).transpose()?,
            target: limit(specification.target)?,
        };
        let place =
            |(index, value): (usize, &f64)| transform.transform(*value).ok_or(StudyError::NotPositive { place: index + 1, value: *value });
        let readings: Vec<f64> = data.iter().enumerate().map(place).collect::<Result<_, _>>()?;
        Self::of(&readings, None, &moved, confidence)
    }

    /// Distance from the mean to the nearest limit in overall standard deviations, 3 Ppk: the "sigma score" of the process
    /// as observed, without the 1.5 that six-sigma tables add for its short-term value.
    #[must_use]
    pub fn sigma_score(&self) -> f64 {
        3.0 * self.performance.nearest.value
    }
}

/// Degrees of freedom of the interval of Cpm and Ppm, with `a = (mean − target)/σ`. Programs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TargetFreedom {
    /// n (1 + a²)²/(1 + 2a²): Boyles' approximation.
    #[default]
    Boyles,
    /// n (1 + a²)/(1 + 2a²), as the R package qcc takes it: wider off target, to compare with its reports.
    FirstPower,
}

/// How sure the intervals are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Confidence of the intervals, between 0 and 1.
    pub level: f64,
    /// Convention of the interval of Cpm and Ppm.
    pub target_freedom: TargetFreedom,
}

impl Confidence {
    /// This level, with Boyles' interval for Cpm. A level that is NaN or not between 0 and 1 is refused where it is used.
    #[must_use]
    pub const fn level(level: f64) -> Self {
        Self { level, target_freedom: TargetFreedom::Boyles }
    }
}

/// What both families share.
struct Process<'a> {
    specification: &'a Specification,
    mean: f64,
    count: f64,
    confidence: Confidence,
}

impl Process<'_> {
    fn indices(&self, sigma: f64, freedom: f64) -> Indices {
        let Specification { lower, upper, target } = *self.specification;
        let width = lower.zip(upper).map(|(low, high)| (high - low) / (6.0 * sigma));
        let (below, above) =
            (lower.map(|limit| (self.mean - limit) / (3.0 * sigma)), upper.map(|limit| (limit - self.mean) / (3.0 * sigma)));
        // A specification has at least one limit.
        let nearest = below.unwrap_or(f64::INFINITY).min(above.unwrap_or(f64::INFINITY));
        let off = ((self.mean - target) / sigma) * ((self.mean - target) / sigma);
        let power = if self.confidence.target_freedom == TargetFreedom::Boyles { (1.0 + off) * (1.0 + off) } else { 1.0 + off };
        let target_freedom = self.count * power / (1.0 + 2.0 * off);
        let two_sided = normal_quantile(0.5 + 0.5 * self.confidence.level);
        let one_sided = normal_quantile(self.confidence.level);
        Indices {
            width: width.map(|value| self.by_chi_square(value, freedom)),
            lower: below.map(|value| self.by_normal(value, freedom, one_sided)),
            upper: above.map(|value| self.by_normal(value, freedom, one_sided)),
            nearest: self.by_normal(nearest, freedom, two_sided),
            target: width.map(|value| self.by_chi_square(value / (1.0 + off).sqrt(), target_freedom)),
            expected: self
                .specification
                .ppm(|limit| normal_below((limit - self.mean) / sigma), |limit| normal_above((limit - self.mean) / sigma)),
        }
    }

    fn by_chi_square(&self, value: f64, freedom: f64) -> Index {
        let bound = |p: f64| value * (chi_square_quantile(p, freedom) / freedom).sqrt();
        Index { value, low: bound(0.5 - 0.5 * self.confidence.level), high: bound(0.5 + 0.5 * self.confidence.level) }
    }

    fn by_normal(&self, value: f64, freedom: f64, z: f64) -> Index {
        let half = z * (1.0 / (9.0 * self.count) + value * value / (2.0 * freedom)).sqrt();
        Index { value, low: value - half, high: value + half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Vec<f64> {
        (0..40).map(|i| 10.0 + 0.1 * f64::from((i * 7) % 11) - 0.01 * f64::from(i % 3)).collect()
    }

    /// By hand: mean 0, s = √(10/4), limits ±3: Pp = Ppk = Ppm = 1/s; 0 of 5 outside.
    #[test]
    fn agrees_with_hand_calculation() {
        let specification = Specification::new(Some(-3.0), Some(3.0), None).unwrap();
        let study = Capability::of(&[-2.0, -1.0, 0.0, 1.0, 2.0], None, &specification, Confidence::level(0.95)).unwrap();
        let expected = 1.0 / 2.5_f64.sqrt();
        for index in [study.performance.width.unwrap(), study.performance.nearest, study.performance.target.unwrap()] {
            assert!((index.value - expected).abs() < 1e-15 && index.low < expected && expected < index.high);
        }
        assert_eq!(study.observed.total(), 0.0);
        assert!((study.sigma_score() - 3.0 * expected).abs() < 1e-15);
    }

    #[test]
    fn moving_everything_together_changes_nothing() {
        let specification = Specification::new(Some(9.5), Some(12.0), Some(10.6)).unwrap();
        let moved = Specification::new(Some(19.0 - 7.0), Some(24.0 - 7.0), Some(21.2 - 7.0)).unwrap();
        let scaled: Vec<f64> = readings().iter().rev().map(|value| 2.0 * value - 7.0).collect();
        let before = Capability::of(&readings(), None, &specification, Confidence::level(0.9)).unwrap();
        let after = Capability::of(&scaled, None, &moved, Confidence::level(0.9)).unwrap();
        assert!((before.performance.nearest.low - after.performance.nearest.low).abs() < 1e-12);
        assert!((before.performance.target.unwrap().value - after.performance.target.unwrap().value).abs() < 1e-12);
        assert!((before.performance.expected.total() - after.performance.expected.total()).abs() < 1e-6);
    }

    #[test]
    fn one_limit_gives_one_side() {
        let specification = Specification::new(None, Some(11.5), None).unwrap();
        let study = Capability::of(&readings(), None, &specification, Confidence::level(0.95)).unwrap();
        let Indices { width, lower, upper, target, nearest, .. } = study.performance;
        assert_eq!((width, lower, target), (None, None, None));
        assert_eq!(upper.map(|index| index.value), Some(nearest.value));
    }

    #[test]
    fn refuses_what_has_no_answer() {
        assert!(Specification::new(None, None, Some(1.0)).is_err());
        assert!(Specification::new(Some(2.0), Some(2.0), None).is_err());
        let specification = Specification::new(Some(0.0), None, None).unwrap();
        assert_eq!(
            Capability::of(&[0.1; 9], None, &specification, Confidence::level(0.95)),
            Err(StudyError::NoVariation { what: "readings" })
        );
        assert!(Capability::of(&[1.0, f64::NAN], None, &specification, Confidence::level(0.95)).is_err());
        assert!(Capability::of(&[1.0, 2.0], None, &specification, Confidence::level(95.0)).is_err());
    }

    #[test]
    fn logarithms_turn_a_lognormal_study_into_a_normal_one() {
        let logarithm = BoxCox { lambda: 0.0, log_likelihood: 0.0, at_edge: false };
        let positive = Specification::new(Some(1.0), Some(4.0_f64.exp()), Some(2.0_f64.exp())).unwrap();
        let plain = Specification::new(Some(0.0), Some(4.0), Some(2.0)).unwrap();
        let logs = [1.5, 2.0, 2.25, 1.0, 3.0];
        let study = Capability::transformed(&logs.map(f64::exp), &logarithm, &positive, Confidence::level(0.95)).unwrap();
        let expected = Capability::of(&logs, None, &plain, Confidence::level(0.95)).unwrap();
        assert!((study.performance.nearest.value - expected.performance.nearest.value).abs() < 1e-13);
        let negative = Specification::new(Some(-1.0), Some(4.0), None).unwrap();
        assert!(Capability::transformed(&logs.map(f64::exp), &logarithm, &negative, Confidence::level(0.95)).is_err());
    }
}
