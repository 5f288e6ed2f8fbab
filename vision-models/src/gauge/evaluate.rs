//! How well a plan measures a folder of pictures whose parts are known: `nominal.csv` names each picture, its type, and for
//! each size a column NAME_UNIT (`overall_length_mm`).
//!
//! Invariant: a picture that cannot be measured counts as a miss, never as absent.

use super::measured::Gauge;
use super::{GaugeError, Measurement};
use crate::picture::{Picture, PictureError, read_bytes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use thiserror::Error;

/// Why a folder cannot be evaluated.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The list of nominal sizes cannot be used.
    #[error("{file}, line {line}: {why}")]
    List {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and the mend.
        why: String,
    },
    /// A picture or the list cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// One size of one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// Its name in the plan.
    pub name: String,
    /// Measured, in its unit.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Standard uncertainty.
    pub uncertainty: Option<f64>,
    /// Expanded uncertainty, k = 2.
    pub expanded: Option<f64>,
    /// What it should be.
    pub nominal: Option<f64>,
    /// Measured minus nominal.
    pub error: Option<f64>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its file.
    pub file: String,
    /// The type of part.
    #[serde(rename = "type")]
    pub kind: String,
    /// Pixels per millimetre on the calibrated plane, where it was read.
    pub pixels_per_mm: Option<f64>,
    /// Its relative standard uncertainty.
    pub pixels_per_mm_relative_uncertainty: Option<f64>,
    /// The sizes in the plan's order.
    pub sizes: Vec<Size>,
    /// Milliseconds by the clock that was lent, from pixels to sizes.
    pub cpu_ms: f64,
}

/// What all pictures gave for one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Pictures with a nominal.
    pub pictures: usize,
    /// Of them measured.
    pub measured: usize,
    /// Share of all of them whose error is at most the limit.
    pub share_within: f64,
    /// The limit.
    pub limit: f64,
    /// Mean error of those measured.
    pub error_mean: f64,
    /// Root of the mean square of the errors.
    pub error_rms: f64,
    /// Greatest error.
    pub error_max: f64,
    /// Share of those measured whose nominal lies within value ± expanded uncertainty.
    pub share_covered: f64,
}

/// How the same size scatters over pictures of one type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repeat {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The size.
    pub name: String,
    /// Pictures measured.
    pub pictures: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n − 1.
    pub standard_deviation: f64,
}

/// The report on a folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The plan.
    pub plan: String,
    /// The folder.
    pub data: String,
    /// Each picture.
    pub pictures: Vec<Shown>,
    /// Each size that has nominals.
    pub summary: Vec<Summary>,
    /// Scatter within each type.
    pub repeat: Vec<Repeat>,
    /// Median milliseconds per picture.
    pub cpu_ms_median: f64,
}

/// A line of the list: file, type, nominal sizes by column.
type Row = (String, String, BTreeMap<String, f64>);

fn list(folder: &Path) -> Result<Vec<Row>, EvaluateError> {
    let path = folder.join("nominal.csv");
    let text = String::from_utf8_lossy(&read_bytes(&path)?).into_owned();
    let failed = |line: usize, why: &str| EvaluateError::List { file: path.display().to_string(), line, why: why.to_owned() };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    let (first, head) = lines.next().ok_or_else(|| failed(1, "it is empty; write `file,type,NAME_UNIT,…`"))?;
    let columns: Vec<&str> = head.split(',').map(str::trim).collect();
    if columns.len() < 2 || columns[..2] != ["file", "type"] {
        return Err(failed(first, "it must begin with the columns `file,type`"));
    }
    let mut rows = Vec::new();
    for (line, text) in lines {
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        if cells.len() != columns.len() {
            return Err(failed(line, &format!("it has {} columns, the first line names {}", cells.len(), columns.len())));
        }
        if cells[0].contains(['/', '\\']) || cells[0].is_empty() {
            return Err(failed(line, "a file name without folders must stand first"));
        }
        let mut sizes = BTreeMap::new();
        for (column, cell) in columns.iter().zip(&cells).skip(2).filter(|(_, cell)| !cell.is_empty()) {
            let value = cell.parse::<f64>().ok().filter(|value| value.is_finite());
            sizes.insert((*column).to_owned(), value.ok_or_else(|| failed(line, &format!("{column}: {cell:?} is no number")))?);
        }
        rows.push((cells[0].to_owned(), cells[1].to_owned(), sizes));
    }
    if rows.is_empty() { Err(failed(first, "it names no picture")) } else { Ok(rows) }
}

/// Measures every picture of a folder. `limit` is the error that still counts as right, `clock` gives microseconds of CPU.
///
/// # Errors
/// If the list or a picture cannot be read.
pub fn evaluate(gauge: &Gauge, folder: &Path, limit: f64, clock: &dyn Fn() -> u64) -> Result<Report, EvaluateError> {
    let mut pictures = Vec::new();
    for (file, kind, nominals) in list(folder)? {
        let picture = Picture::read(&folder.join(&file))?;
        let begun = clock();
        let measured = gauge.measure(&picture);
        let cpu_ms = clock().saturating_sub(begun) as f64 / 1000.0;
        let size = |at: usize, measure: &super::Measure| {
            let result = match &measured {
                Ok(measured) => measured.sizes[at].clone(),
                Err(error) => Err(error.clone()),
            };
            let column = format!("{}_{}", measure.name, measure.unit());
            one(&measure.name, measure.unit(), &result, nominals.get(&column).copied().or(measure.nominal))
        };
        let sizes = gauge.plan().measure.iter().enumerate().map(|(at, measure)| size(at, measure)).collect();
        let scale = measured.as_ref().ok().map(|measured| measured.scale);
        pictures.push(Shown {
            file,
            kind,
            pixels_per_mm: scale.map(|scale| scale.value),
            pixels_per_mm_relative_uncertainty: scale.map(|scale| scale.relative),
            sizes,
            cpu_ms,
        });
    }
    let summary = gauge.plan().measure.iter().enumerate().filter_map(|(at, _)| summary(&pictures, at, limit)).collect();
    let times: Vec<f64> = pictures.iter().map(|shown| shown.cpu_ms).collect();
    Ok(Report {
        plan: gauge.plan().name.clone(),
        data: folder.display().to_string(),
        summary,
        repeat: repeats(&pictures),
        cpu_ms_median: super::geometry::median(&times).unwrap_or(0.0),
        pictures,
    })
}

fn one(name: &str, unit: &'static str, result: &Result<Measurement, GaugeError>, nominal: Option<f64>) -> Size {
    let value = result.as_ref().ok();
    Size {
        name: name.to_owned(),
        value: value.map(|value| value.value),
        unit,
        uncertainty: value.map(|value| value.uncertainty),
        expanded: value.map(Measurement::expanded),
        nominal,
        error: value.zip(nominal).map(|(value, nominal)| value.value - nominal),
        why: result.as_ref().err().map(ToString::to_string),
    }
}

fn summary(pictures: &[Shown], at: usize, limit: f64) -> Option<Summary> {
    let sizes: Vec<&Size> = pictures.iter().map(|shown| &shown.sizes[at]).filter(|size| size.nominal.is_some()).collect();
    let errors: Vec<f64> = sizes.iter().filter_map(|size| size.error).collect();
    let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let mean = |values: &mut dyn Iterator<Item = f64>| if errors.is_empty() { 0.0 } else { values.sum::<f64>() / errors.len() as f64 };
    let covered = sizes.iter().filter(|size| size.error.zip(size.expanded).is_some_and(|(error, expanded)| error.abs() <= expanded));
    let first = sizes.first()?;
    Some(Summary {
        name: first.name.clone(),
        unit: first.unit,
        pictures: sizes.len(),
        measured: errors.len(),
        share_within: share(errors.iter().filter(|error| error.abs() <= limit).count(), sizes.len()),
        limit,
        error_mean: mean(&mut errors.iter().copied()),
        error_rms: mean(&mut errors.iter().map(|error| error * error)).sqrt(),
        error_max: errors.iter().fold(0.0, |most: f64, error| most.max(error.abs())),
        share_covered: share(covered.count(), errors.len()),
    })
}

fn repeats(pictures: &[Shown]) -> Vec<Repeat> {
    let mut values: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    for shown in pictures {
        for (at, size) in shown.sizes.iter().enumerate() {
            values.entry((&shown.kind, at)).or_default().extend(size.value);
        }
    }
    let one = |((kind, at), values): ((&str, usize), Vec<f64>)| {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let name = pictures.first().map(|shown| shown.sizes[at].name.clone()).unwrap_or_default();
        (values.len() > 1).then(|| Repeat { kind: kind.to_owned(), name, pictures: values.len(), mean, standard_deviation: square.sqrt() })
    };
    values.into_iter().filter_map(one).collect()
}
