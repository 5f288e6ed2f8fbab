//! What may be put on a chart, and what is refused and why.
//!
//! Invariant: a sample that passes [`ChartKind::measure`] keeps all later arithmetic finite.

use serde::{Deserialize, Serialize};

use super::constants::SUBGROUP_MAX;
use super::roots::to_symmetric;
use super::{ChartKind, MAGNITUDE_MAX, SIZE_RANGE, SpreadStatistic, Subgroup};

/// What one point is made of. Each chart takes exactly one of these shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// One measured value: individuals, and the time between two events for t.
    Value(f64),
    /// `count` among `size`: p, np and p' (whole pieces), u and u' (units or area of opportunity, may be fractional).
    Counted {
        /// Nonconforming pieces (p, np, p') or defects (u, u').
        count: u32,
        /// Pieces inspected (p, np, p') or units of opportunity (u, u').
        size: f64,
    },
    /// Defects found in a subgroup that is always of the same size (c), or pieces between two events (g).
    Tally(u32),
    /// Several pieces measured at one time: X̄-R, X̄-s, median, between/within.
    Subgroup(Subgroup),
    /// `amount` on `size` units: I', the chart of rates that are not counts.
    Ratio {
        /// What was measured over all units together.
        amount: f64,
        /// Units of opportunity.
        size: f64,
    },
}

impl From<f64> for Sample {
    /// One measured value.
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

/// A single value that later arithmetic can bear: finite, and no larger than [`MAGNITUDE_MAX`].
pub(crate) fn check_value(value: f64, point: u64) -> Result<(), SampleError> {
    if !value.is_finite() {
        Err(SampleError::NotFinite { point })
    } else if value.abs() > MAGNITUDE_MAX {
        Err(SampleError::TooLarge { point })
    } else {
        Ok(())
    }
}

/// Why a sample was refused. `point` is the number that it would have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// NaN or infinite value.
    #[error("point {point} is not a finite number")]
    NotFinite {
        /// Number that the point would have had.
        point: u64,
    },
    /// The value or rate is larger than [`MAGNITUDE_MAX`].
    #[error("point {point} is larger than 1e100")]
    TooLarge {
        /// Number that the point would have had.
        point: u64,
    },
    /// Size zero, negative, NaN or outside [`SIZE_RANGE`].
    #[error("point {point}: a subgroup size must lie between 1e-9 and 1e15")]
    Size {
        /// Number that the point would have had.
        point: u64,
    },
    /// p and np count whole pieces.
    #[error("point {point}: the number of pieces inspected is not whole")]
    SizeNotWhole {
        /// Number that the point would have had.
        point: u64,
    },
    /// More nonconforming pieces than pieces.
    #[error("point {point}: {count} nonconforming pieces among fewer inspected")]
    CountAboveSize {
        /// Number that the point would have had.
        point: u64,
        /// The count that was offered.
        count: u32,
    },
    /// A time between events runs forward.
    #[error("point {point}: a time between events cannot be negative")]
    Negative {
        /// Number that the point would have had.
        point: u64,
    },
    /// Ranges and medians are offered for up to 100 values; larger subgroups belong on an X̄-s chart.
    #[error("point {point}: a subgroup of more than 100 values has no range chart, use standard deviations")]
    SubgroupTooLarge {
        /// Number that the point would have had.
        point: u64,
    },
    /// The sample's shape is not the one that this chart takes.
    #[error("point {point}: this sample does not belong on a {chart:?} chart")]
    WrongSample {
        /// Number that the point would have had.
        point: u64,
        /// The chart that refused it.
        chart: ChartKind,
    },
}

/// A checked sample: the statistic to plot and what phase I has to add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// What is plotted.
    pub(crate) statistic: f64,
    /// What is judged: the statistic itself, for t on the scale on which it is nearly normal.
    pub(crate) judged: f64,
    /// Numerator of the centre line.
    pub(crate) amount: f64,
    /// Denominator of the centre line, and what the standard error depends on.
    pub(crate) size: f64,
    /// The subgroup, where there is one.
    pub(crate) subgroup: Option<Subgroup>,
}

impl ChartKind {
    /// Refuses what cannot be plotted; what passes keeps all later arithmetic finite.
    #[inline]
    pub(crate) fn measure(self, sample: Sample, point: u64) -> Result<Measured, SampleError> {
        match (self, sample) {
            // The commonest by far, and too short for a call. NaN is no smaller than anything.
            (Self::Individuals, Sample::Value(value)) if value.abs() <= MAGNITUDE_MAX => Ok(Measured::whole(value)),
            _ => self.measure_any(sample, point),
        }
    }

    fn measure_any(self, sample: Sample, point: u64) -> Result<Measured, SampleError> {
        let whole = Measured::whole;
        let measured = match (self, sample) {
            (Self::Individuals, Sample::Value(value)) => whole(value),
            (Self::T, Sample::Value(value)) if value < 0.0 => return Err(SampleError::Negative { point }),
            (Self::T, Sample::Value(value)) if value.is_finite() => {
                let judged = to_symmetric(value);
                Measured { judged, amount: judged, ..whole(value) }
            }
            (Self::T, Sample::Value(_)) => return Err(SampleError::NotFinite { point }),
            (Self::C | Self::G, Sample::Tally(count)) => whole(f64::from(count)),
            (Self::P | Self::Np | Self::U | Self::LaneyP | Self::LaneyU, Sample::Counted { count, size }) => {
                self.counted(count, size, point)?
            }
            (Self::IPrime, Sample::Ratio { amount, size }) => {
                check_size(size, point)?;
                Measured { amount, size, ..whole(amount / size) }
            }
            (_, Sample::Subgroup(subgroup)) if self.takes_subgroups() => self.summary(subgroup, point)?,
            _ => return Err(SampleError::WrongSample { point, chart: self }),
        };
        if !measured.statistic.is_finite() {
            Err(SampleError::NotFinite { point })
        } else if measured.statistic.abs() > MAGNITUDE_MAX {
            Err(SampleError::TooLarge { point })
        } else {
            Ok(measured)
        }
    }

    fn counted(self, count: u32, size: f64, point: u64) -> Result<Measured, SampleError> {
        check_size(size, point)?;
        let amount = f64::from(count);
        let pieces = matches!(self, Self::P | Self::Np | Self::LaneyP);
        if pieces && size.fract() != 0.0 {
            return Err(SampleError::SizeNotWhole { point });
        }
        if pieces && amount > size {
            return Err(SampleError::CountAboveSize { point, count });
        }
        let statistic = if self == Self::Np { amount } else { amount / size };
        Ok(Measured { statistic, judged: statistic, amount, size, subgroup: None })
    }

    fn summary(self, subgroup: Subgroup, point: u64) -> Result<Measured, SampleError> {
        let Subgroup { size, mean, median, range, sd } = subgroup;
        if size == 0 {
            return Err(SampleError::Size { point });
        }
        if ![mean, median, range, sd].into_iter().all(f64::is_finite) {
            return Err(SampleError::NotFinite { point });
        }
        if range.max(sd) > 2.0 * MAGNITUDE_MAX || range.min(sd) < 0.0 {
            return Err(SampleError::TooLarge { point });
        }
        if size > SUBGROUP_MAX && self.within() == Some(SpreadStatistic::Range) {
            return Err(SampleError::SubgroupTooLarge { point });
        }
        let statistic = if self == Self::MedianR { median } else { mean };
        // Means weigh as much as the values behind them; medians, and means taken as individuals, all the same.
        let weight = if matches!(self, Self::XbarR | Self::XbarS) { f64::from(size) } else { 1.0 };
        Ok(Measured { statistic, judged: statistic, amount: statistic, size: weight, subgroup: Some(subgroup) })
    }
}

impl Measured {
    /// A value that is its own statistic.
    fn whole(statistic: f64) -> Self {
        Self { statistic, judged: statistic, amount: statistic, size: 1.0, subgroup: None }
    }

    /// What the lines of this point depend on: the values in the subgroup, or the units of opportunity.
    pub(crate) fn line_size(&self) -> f64 {
        self.subgroup.map_or(self.size, |subgroup| f64::from(subgroup.size))
    }

    /// The range or standard deviation to plot; none of a single value.
    pub(crate) fn within(&self, statistic: Option<SpreadStatistic>) -> Option<f64> {
        let subgroup = self.subgroup.filter(|subgroup| subgroup.size > 1)?;
        statistic.map(|statistic| statistic.of(&subgroup))
    }
}

fn check_size(size: f64, point: u64) -> Result<(), SampleError> {
    if (SIZE_RANGE.0..=SIZE_RANGE.1).contains(&size) { Ok(()) } else { Err(SampleError::Size { point }) }
}
