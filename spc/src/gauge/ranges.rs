//! Gauge repeatability and reproducibility from ranges: the form with K1, K2, K3, and the quick study with one trial.
//!
//! The divisors are computed rather than read from a table: d2*, with `d2*² = d2² + d3²/g` for the mean of g ranges, or d2
//! where a manual neglects how few ranges there are.
//!
//! Invariants: components are never negative; total variation² = gauge² + part².

use serde::{Deserialize, Serialize};

use super::{Reading, Table};
use crate::chart::constants::{d2, d2_star};
use crate::study::{self, StudyError, real};

/// Standard deviations of a study by ranges, in the unit of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangeStudy {
    /// Equipment variation: mean range of the trials/d2*.
    pub repeatability: f64,
    /// Appraiser variation: √((range of appraiser means/d2*)² − EV²/(parts · trials)), 0 where that is negative.
    pub reproducibility: f64,
    /// √(EV² + AV²).
    pub gauge: f64,
    /// Range of part means/d2*.
    pub part: f64,
    /// √(gauge² + part²).
    pub total: f64,
    /// ⌊1.41 part/gauge⌋, at least 1; `None` if the gauge does not vary.
    pub distinct_categories: Option<f64>,
}

/// By what the mean range of the trials is divided. Manuals differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TrialDivisor {
    /// d2, which makes AIAG's K1 = 0.8862 for two trials and 0.5908 for three: right for many parts times appraisers (more than
    /// 15), a little large for few.
    #[default]
    Printed,
    /// d2* for just this number of ranges.
    Exact,
}

/// Average and range method. Ties are taken as they come.
///
/// Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B; d2*: A. J. Duncan, Quality Control and Industrial
/// Statistics, appendix D3.
///
/// # Errors
/// Fewer than two parts or trials; unequal numbers of trials; NaN or infinite readings; more than 100 trials, appraisers or
/// parts; readings that do not vary. One appraiser has no reproducibility.
pub fn average_and_range(readings: &[Reading], divisor: TrialDivisor) -> Result<RangeStudy, StudyError> {
    let table = Table::crossed(readings)?;
    study::enough("parts", 2, table.parts())?;
    study::enough("trials", 2, table.trials)?;
    let ranges: Vec<f64> = table.cells.iter().flatten().map(|cell| range(cell)).collect();
    let per_trial = match divisor {
        TrialDivisor::Printed => u32::try_from(table.trials).ok().and_then(d2).ok_or(too_many(table.trials))?,
        TrialDivisor::Exact => mean_range(table.trials, ranges.len())?,
    };
    let repeatability = study::mean(&ranges) / per_trial;
    let appraisers: Vec<f64> = table.cells.iter().map(|row| study::mean(&row.concat())).collect();
    let reproducibility = if appraisers.len() > 1 {
        let between = range(&appraisers) / mean_range(appraisers.len(), 1)?;
        (between * between - repeatability * repeatability / real(table.parts() * table.trials)).max(0.0).sqrt()
    } else {
        0.0
    };
    let part_mean = |part: usize| study::mean(&table.cells.iter().flat_map(|row| row[part].iter().copied()).collect::<Vec<_>>());
    let parts: Vec<f64> = (0..table.parts()).map(part_mean).collect();
    let part = range(&parts) / mean_range(parts.len(), 1)?;
    let gauge = repeatability.hypot(reproducibility);
    let total = gauge.hypot(part);
    if total <= 0.0 {
        return Err(StudyError::NoVariation { what: "readings" });
    }
    let distinct_categories = (gauge > 0.0).then(|| (1.41 * part / gauge).floor().max(1.0));
    Ok(RangeStudy { repeatability, reproducibility, gauge, part, total, distinct_categories })
}

/// Quick range method: each appraiser measures each part once; the standard deviation of the whole gauge is the mean range
/// between appraisers/d2*.
///
/// Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B, "range method".
///
/// # Errors
/// Fewer than two appraisers; other than one trial; else as [`average_and_range`].
pub fn quick(readings: &[Reading]) -> Result<f64, StudyError> {
    let table = Table::crossed(readings)?;
    study::enough("appraisers", 2, table.appraisers())?;
    if table.trials != 1 {
        return Err(StudyError::TooMany { what: "trials", most: 1, got: table.trials });
    }
    let over_appraisers = |part: usize| range(&table.cells.iter().map(|row| row[part][0]).collect::<Vec<_>>());
    let ranges: Vec<f64> = (0..table.parts()).map(over_appraisers).collect();
    Ok(study::mean(&ranges) / mean_range(table.appraisers(), ranges.len())?)
}

/// Expected mean of `groups` ranges of `size` standard normal values, as a divisor for a standard deviation (not variance).
fn mean_range(size: usize, groups: usize) -> Result<f64, StudyError> {
    let counts = u32::try_from(size).ok().zip(u32::try_from(groups).ok());
    counts.and_then(|(size, groups)| d2_star(size, groups)).ok_or(too_many(size))
}

fn too_many(size: usize) -> StudyError {
    StudyError::TooMany { what: "values in a range", most: 100, got: size }
}

fn range(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The printed K are 1/d2*: AIAG gives K2 = 0.5231 for 3 appraisers, K3 = 0.4467 and 0.3146 for 4 and 10 parts.
    #[test]
    fn divisors_agree_with_the_printed_constants() {
        for (size, printed) in [(3, 0.5231), (4, 0.4467), (10, 0.3146)] {
            assert!((1.0 / mean_range(size, 1).unwrap() - printed).abs() < 6e-5);
        }
    }

    #[test]
    fn agrees_with_hand_calculation() {
        let reading = |part, appraiser, value| Reading { part, appraiser, value };
        let readings = [
            reading("1", "a", 1.0),
            reading("1", "a", 1.2),
            reading("2", "a", 3.0),
            reading("2", "a", 3.2),
            reading("1", "b", 2.0),
            reading("1", "b", 2.2),
            reading("2", "b", 4.0),
            reading("2", "b", 4.2),
        ];
        let study = average_and_range(&readings, TrialDivisor::Exact).unwrap();
        let ev = 0.2 / mean_range(2, 4).unwrap();
        let printed = average_and_range(&readings, TrialDivisor::Printed).unwrap();
        assert!((printed.repeatability - 0.2 * 0.8862).abs() < 1e-5);
        // d2*(2, 1) = √2.
        assert!((study.repeatability - ev).abs() < 1e-12);
        assert!((study.reproducibility - (0.5 - ev * ev / 4.0).sqrt()).abs() < 1e-12);
        assert!((study.part - 2.0 / 2.0_f64.sqrt()).abs() < 1e-12);
        let single = [reading("1", "a", 1.0), reading("1", "b", 1.5), reading("2", "a", 2.0), reading("2", "b", 2.1)];
        assert!((quick(&single).unwrap() - 0.3 / mean_range(2, 2).unwrap()).abs() < 1e-12);
        assert!(quick(&readings).is_err());
    }
}
