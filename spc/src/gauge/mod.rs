//! Is it the process that moves, or the gauge? Studies of the measurement system; here the gauge is often the camera itself.
//!
//! [`grr`] takes repeated measurements apart into parts, appraisers and repeatability; [`ranges`] does so by hand-calculator
//! means; [`bias`] compares with reference parts (type 1, linearity); [`kappa`], [`reliability`] and [`agreement`] judge
//! verdicts instead of measurements; [`detection`] says which defect size is found how surely.
//!
//! Invariants: no study is made of a table with holes; variance components are never negative; the order of readings does not
//! matter.

pub mod agreement;
pub mod bias;
pub mod detection;
pub mod grr;
mod interval;
pub mod kappa;
pub mod ranges;
pub mod reliability;

use crate::study::{self, StudyError, real};

/// One measurement of one part by one appraiser (person, camera, station). Trials are readings with the same names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// Name of the part.
    pub part: &'a str,
    /// Name of the appraiser.
    pub appraiser: &'a str,
    /// What was measured.
    pub value: f64,
}

/// Readings by appraiser, part and trial, each in the order of its first reading; every cell holds the same number of trials.
struct Table {
    /// `cells[appraiser][part]`.
    cells: Vec<Vec<Vec<f64>>>,
    trials: usize,
}

impl Table {
    /// Every appraiser measured every part.
    fn crossed(readings: &[Reading]) -> Result<Self, StudyError> {
        let parts = names(readings.iter().map(|reading| reading.part));
        Self::filled(readings, |_| parts.clone())
    }

    /// Every appraiser measured parts of their own; the same name with another appraiser is another part.
    fn nested(readings: &[Reading]) -> Result<Self, StudyError> {
        Self::filled(readings, |appraiser| {
            names(readings.iter().filter(|reading| reading.appraiser == appraiser).map(|reading| reading.part))
        })
    }

    fn filled<'a>(readings: &'a [Reading<'a>], parts_of: impl Fn(&str) -> Vec<&'a str>) -> Result<Self, StudyError> {
        for (reading, place) in readings.iter().zip(1..) {
            study::reading(place, reading.value)?;
        }
        let appraisers = names(readings.iter().map(|reading| reading.appraiser));
        let cell = |appraiser: &str, part: &str| -> Vec<f64> {
            let own = readings.iter().filter(|reading| reading.appraiser == appraiser && reading.part == part);
            own.map(|reading| reading.value).collect()
        };
        let row = |appraiser: &&str| parts_of(appraiser).iter().map(|part| cell(appraiser, part)).collect::<Vec<_>>();
        let cells: Vec<Vec<Vec<f64>>> = appraisers.iter().map(row).collect();
        study::enough("appraisers", 1, cells.len())?;
        let (parts, trials) = (cells[0].len(), cells[0].first().map_or(0, Vec::len));
        let unequal = |(index, row): (usize, &Vec<Vec<f64>>)| {
            let holds = row.len() == parts && row.iter().all(|cell| cell.len() == trials);
            (!holds).then_some(index + 1)
        };
        match cells.iter().enumerate().find_map(unequal) {
            Some(place) => Err(StudyError::Layout {
                what: "unequal numbers of parts or trials",
                place,
                mend: "let every appraiser (counted in the order of their first reading) measure equally many parts equally often",
            }),
            None => Ok(Self { cells, trials }),
        }
    }

    fn appraisers(&self) -> usize {
        self.cells.len()
    }

    fn parts(&self) -> usize {
        self.cells[0].len()
    }

    fn all(&self) -> impl Iterator<Item = f64> + '_ {
        self.cells.iter().flatten().flatten().copied()
    }

    fn grand_mean(&self) -> f64 {
        study::sum(self.all()) / real(self.appraisers() * self.parts() * self.trials)
    }
}

/// Different names in the order of their first appearance.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
