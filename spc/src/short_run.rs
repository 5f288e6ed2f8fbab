//! Many parts on one machine, few pieces of each: the parts share one chart, because the machine is what is watched.
//!
//! Two scales bring them together. **DNOM** plots the deviation from the part's nominal value, where all parts vary alike.
//! **Z-MR** divides it by the part's own standard deviation, where they do not.
//!
//! Invariants: parts are frozen with the limits; a value of an unknown part is refused and changes nothing; `push` does not
//! allocate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::{self, BatchError};
use crate::chart::constants::d2;
use crate::chart::{Chart, ChartKind, MAGNITUDE_MAX, Observation, Sample, SampleError, check_value};
use crate::limits::{Limits, Settings};
use crate::sum::Sum;

/// How the values of one part come onto the common scale: `(value − nominal) / scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Nominal value or known mean, in the unit of the values.
    pub nominal: f64,
    /// 1 for DNOM; the part's standard deviation, in the same unit, for Z-MR.
    pub scale: f64,
}

/// Why there is no chart, or a value was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShortRunError {
    /// The value cannot be plotted; it is named.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The chart has no such part: give it a nominal value first.
    #[error("point {point}: the chart has no part {part:?}")]
    UnknownPart {
        /// Number that the point would have had.
        point: u64,
        /// The part that came.
        part: String,
    },
    /// Nominal not finite, or scale not above 0.
    #[error("part {part:?}: nominal {nominal} and scale {scale} give no scale for its values")]
    Part {
        /// Which part.
        part: String,
        /// Its nominal value.
        nominal: f64,
        /// Its scale.
        scale: f64,
    },
    /// A part never ran for two pieces in a row, so that there is no moving range to estimate from.
    #[error("part {part:?} never ran for two pieces in a row, or did not vary: give its standard deviation")]
    NoRange {
        /// Which part.
        part: String,
    },
    /// Phase I gives no limits.
    #[error(transparent)]
    Limits(#[from] BatchError),
}

/// What the parts' standard deviations have in common, when they are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Nothing: each part has its own, from its own moving ranges.
    ByPart,
    /// All parts have the same.
    Constant,
    /// It is proportional to the part's mean, which must be above 0.
    RelativeToSize,
}

/// A short run chart: individuals with their moving range, on the common scale.
///
/// Source: Montgomery, Introduction to Statistical Quality Control, section 10.1 (deviation from nominal, standardised charts);
/// N. R. Farnum, "Control charts for short runs: nonconstant process and measurement error", Journal of Quality Technology
/// 24(3), 1992, 138–144.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShortRun {
    parts: BTreeMap<String, Part>,
    chart: Chart,
    index: u64,
}

impl ShortRun {
    /// Deviation from nominal: limits from the moving ranges of all deviations of phase I, in the order of production and
    /// across changes of part. Points in `excluded` (numbered from 1) are left out.
    ///
    /// # Errors
    /// [`ShortRunError`].
    pub fn dnom<P: AsRef<str>>(
        nominals: &BTreeMap<String, f64>,
        phase_one: &[(P, f64)],
        excluded: &[u64],
        settings: &Settings,
    ) -> Result<Self, ShortRunError> {
        let parts = nominals.iter().map(|(part, nominal)| (part.clone(), Part { nominal: *nominal, scale: 1.0 })).collect();
        let samples: Result<Vec<_>, _> =
            (1u64..).zip(phase_one).map(|(point, (part, value))| scaled(&parts, part.as_ref(), *value, point)).collect();
        let limits = batch::estimate(ChartKind::Individuals, &samples?, excluded, settings)?;
        Self::new(parts, limits, settings)
    }

    /// Standardised: each part's mean and standard deviation are known or from [`ShortRun::estimate`]; the centre is 0 and
    /// the standard deviation 1.
    ///
    /// # Errors
    /// [`ShortRunError`].
    pub fn z_mr(parts: BTreeMap<String, Part>, settings: &Settings) -> Result<Self, ShortRunError> {
        let limits = Limits::given(0.0, 1.0, settings).map_err(BatchError::from)?;
        Self::new(parts, limits, settings)
    }

    /// A chart at its first point, with limits on the common scale from elsewhere.
    ///
    /// # Errors
    /// [`ShortRunError`].
    pub fn new(parts: BTreeMap<String, Part>, limits: Limits, settings: &Settings) -> Result<Self, ShortRunError> {
        for (part, Part { nominal, scale }) in &parts {
            let meant = nominal.abs() <= MAGNITUDE_MAX && *scale > 0.0 && *scale <= MAGNITUDE_MAX;
            if !meant {
                return Err(ShortRunError::Part { part: part.clone(), nominal: *nominal, scale: *scale });
            }
        }
        let chart = Chart::new(limits, settings.rules, settings.range_rules).map_err(BatchError::from)?;
        Ok(Self { parts, chart, index: 0 })
    }

    /// Mean and standard deviation of every part from phase I, for [`ShortRun::z_mr`]. Only neighbours of one part that ran
    /// without another between them have a moving range; sigma is their mean divided by d2(2) = 2/√π. Points in `excluded`
    /// (numbered from 1) are left out, and no range reaches across them.
    ///
    /// # Errors
    /// [`ShortRunError::NoRange`] for a part without one (with [`Pooling::Constant`]: if no part has one), and where a mean
    /// is not above 0 with [`Pooling::RelativeToSize`].
    pub fn estimate<P: AsRef<str>>(
        phase_one: &[(P, f64)],
        excluded: &[u64],
        pooling: Pooling,
    ) -> Result<BTreeMap<String, Part>, ShortRunError> {
        let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
        let mut before: Option<(&str, f64)> = None;
        for ((part, value), point) in phase_one.iter().zip(1u64..) {
            check_value(*value, point)?;
            if excluded.contains(&point) {
                before = None;
                continue;
            }
            let part = part.as_ref();
            let seen = seen.entry(part).or_insert_with(|| Seen::new(*value));
            seen.values.add(*value - seen.origin);
            seen.count += 1.0;
            if let Some((_, last)) = before.filter(|(last, _)| *last == part) {
                seen.ranges.add((value - last).abs());
                seen.range_count += 1.0;
            }
            before = Some((part, *value));
        }
        let Some(d2) = d2(2) else { return Ok(BTreeMap::new()) };
        let pooled = |weight: &dyn Fn(&Seen) -> f64| {
            let (mut ranges, mut count) = (Sum::default(), 0.0);
            for seen in seen.values() {
                ranges.add(seen.ranges.value() / weight(seen));
                count += seen.range_count;
            }
            ranges.value() / count / d2
        };
        let (constant, relative) = (pooled(&|_| 1.0), pooled(&Seen::mean));
        let standard = |(part, seen): (&&str, &Seen)| {
            let nominal = seen.mean();
            let scale = match pooling {
                Pooling::ByPart => seen.ranges.value() / seen.range_count / d2,
                Pooling::Constant => constant,
                Pooling::RelativeToSize => relative * nominal,
            };
            let usable = scale.is_finite() && scale > 0.0 && (pooling != Pooling::RelativeToSize || nominal > 0.0);
            let part = (*part).to_owned();
            if usable { Ok((part, Part { nominal, scale })) } else { Err(ShortRunError::NoRange { part }) }
        };
        seen.iter().map(standard).collect()
    }

    /// Judges the next value. Statistic and limits are on the common scale.
    ///
    /// # Errors
    /// [`ShortRunError`]; the chart is then as if the value had not come.
    pub fn push(&mut self, part: &str, value: f64) -> Result<Observation, ShortRunError> {
        let index = self.index.saturating_add(1);
        let sample = scaled(&self.parts, part, value, index)?;
        let observation = self.chart.push(sample)?;
        self.index = index;
        Ok(observation)
    }

    /// Every piece in order, from where this chart stands: the same arithmetic as piece by piece, so the same bits.
    ///
    /// # Errors
    /// [`ShortRunError`], naming the point.
    pub fn batch<P: AsRef<str>>(mut self, pieces: &[(P, f64)]) -> Result<Vec<Observation>, ShortRunError> {
        pieces.iter().map(|(part, value)| self.push(part.as_ref(), *value)).collect()
    }

    /// Run rules start anew, as after a stop that was released; limits and numbering stay.
    pub fn restart_runs(&mut self) {
        self.chart.restart_runs();
    }

    /// The parts that it knows.
    #[must_use]
    pub fn parts(&self) -> &BTreeMap<String, Part> {
        &self.parts
    }

    /// The frozen limits, on the common scale.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.chart.limits()
    }
}

/// What phase I has seen of one part.
struct Seen {
    origin: f64,
    values: Sum,
    count: f64,
    ranges: Sum,
    range_count: f64,
}

impl Seen {
    fn new(origin: f64) -> Self {
        Self { origin, values: Sum::default(), count: 0.0, ranges: Sum::default(), range_count: 0.0 }
    }

    fn mean(&self) -> f64 {
        self.origin + self.values.value() / self.count
    }
}

fn scaled(parts: &BTreeMap<String, Part>, part: &str, value: f64, point: u64) -> Result<Sample, ShortRunError> {
    let Some(Part { nominal, scale }) = parts.get(part) else {
        return Err(ShortRunError::UnknownPart { point, part: part.to_owned() });
    };
    check_value(value, point)?;
    let statistic = (value - nominal) / scale;
    // A scale that is small beside the value can take it out of range.
    if statistic.is_finite() { Ok(Sample::Value(statistic)) } else { Err(SampleError::TooLarge { point }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: [(&str, f64); 7] = [("a", 10.0), ("a", 12.0), ("b", 100.0), ("b", 140.0), ("b", 120.0), ("a", 11.0), ("a", 11.0)];

    fn scale(pooling: Pooling, excluded: &[u64]) -> Vec<f64> {
        let parts = ShortRun::estimate(&RUN, excluded, pooling).unwrap();
        // In units of 1/d2, which leaves the mean ranges.
        parts.values().map(|part| part.scale * d2(2).unwrap()).collect()
    }

    fn near(got: &[f64], expected: &[f64]) {
        assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12 * expected), "{got:?} {expected:?}");
    }

    /// By hand: the ranges within runs are 2 and 0 for a (mean 11), 40 and 20 for b (mean 120).
    #[test]
    fn parts_are_estimated_within_their_runs() {
        near(&scale(Pooling::ByPart, &[]), &[1.0, 30.0]);
        near(&scale(Pooling::Constant, &[]), &[15.5, 15.5]);
        let relative = (2.0 / 11.0 + 60.0 / 120.0) / 4.0;
        near(&scale(Pooling::RelativeToSize, &[]), &[relative * 11.0, relative * 120.0]);
        near(&scale(Pooling::Constant, &[4]), &[1.0, 1.0]);
    }

    #[test]
    fn refuses_what_has_no_scale() {
        let error = ShortRun::estimate(&RUN[..3], &[], Pooling::ByPart).unwrap_err();
        assert_eq!(error, ShortRunError::NoRange { part: "b".to_owned() });
        let mut chart = ShortRun::z_mr(ShortRun::estimate(&RUN, &[], Pooling::ByPart).unwrap(), &Settings::values()).unwrap();
        let before = chart.clone();
        assert!(matches!(chart.push("c", 1.0), Err(ShortRunError::UnknownPart { point: 1, .. })));
        assert_eq!(chart.push("a", f64::NAN), Err(SampleError::NotFinite { point: 1 }.into()));
        assert_eq!(chart, before);
        assert!(chart.push("a", 14.0).unwrap().signals().next().is_some());
        assert!(chart.push("b", 130.0).unwrap().point.signals.is_empty());
    }

    #[test]
    fn deviations_share_a_chart() {
        let nominals = BTreeMap::from([("a".to_owned(), 11.0), ("b".to_owned(), 120.0)]);
        let chart = ShortRun::dnom(&nominals, &RUN, &[], &Settings::values()).unwrap();
        // −1, 1, −20, 20, 0, 0, 0: ranges 2, 21, 40, 20, 0, 0.
        near(&[chart.limits().centre + 1.0, chart.limits().sigma * d2(2).unwrap()], &[1.0, 83.0 / 6.0]);
    }
}
