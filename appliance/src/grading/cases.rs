//! Pieces whose grade is known, as data: how a rubric is tried before it grades, and how the published ones are tested.
//!
//! A file of cases is TOML: the size of the picture, and `[[piece]]` with findings, readings and the grade that is expected.

use crate::config::rubric::Document;
use serde::Deserialize;
use station::inspection::{ClassId, Finding, Inspection, ModelRef, PixelBox, StageMicros};
use station::piece::PieceId;
use station::policy::{PlcAcknowledge, RecalledSeen, StopPolicy};
use station::reading::{Quality, Reading};
use station::recipe::{DefectClass, Recipe};
use station::rubric::{Explanation, Seen};
use station::units::{Digest, Micros, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// A file of cases.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// Size of the picture.
    #[serde(default)]
    pub picture: Picture,
    /// The pieces.
    pub piece: Vec<Case>,
}

/// The picture that the findings lie in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Its camera.
    pub camera: String,
    /// Width in pixels.
    pub width_pixels: u16,
    /// Height in pixels.
    pub height_pixels: u16,
}

impl Default for Picture {
    fn default() -> Self {
        Self { camera: "camera".to_owned(), width_pixels: 1000, height_pixels: 1000 }
    }
}

/// One piece.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is.
    pub name: String,
    /// Where its grade is published; may be left out.
    #[serde(default)]
    pub source: String,
    /// The stage it is graded at, where the rubric has stages.
    pub stage: Option<String>,
    /// The grade that is expected; left out where one only asks.
    pub grade: Option<String>,
    /// What was seen.
    #[serde(default)]
    pub findings: Vec<CaseFinding>,
    /// What was read or measured.
    #[serde(default)]
    pub readings: Vec<CaseReading>,
}

/// One finding, or several alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFinding {
    /// Name of its class.
    pub class: String,
    /// Its width and height in millimetres.
    pub mm: [f32; 2],
    /// The place of its middle in millimetres, from the upper left corner of the picture.
    pub at_mm: [f32; 2],
    /// The area of its region in square millimetres, where the model draws regions.
    pub area_mm2: Option<f32>,
    /// The model's score; a defect if left out.
    #[serde(default = "one")]
    pub score: f32,
}

const fn one() -> f32 {
    1.0
}

/// One reading.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseReading {
    /// Its tag.
    pub tag: String,
    /// Its value.
    #[serde(default)]
    pub value: f64,
    /// Its unit.
    #[serde(default)]
    pub unit: String,
    /// Its text, if the tag holds text.
    pub text: Option<String>,
}

/// Why cases cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {source} (mend: name an existing file that this user may read)")]
    File {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not in the form of cases.
    #[error("{file}:{line}: {what} (mend: docs/rubric.md shows a file of cases)")]
    Form {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the reader said.
        what: String,
    },
    /// A case names what the rubric does not have.
    #[error("{file}: piece `{name}`: {what}")]
    Case {
        /// The file.
        file: String,
        /// The case.
        name: String,
        /// What is wrong, with its mend.
        what: String,
    },
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Where its grade is published.
    pub source: String,
    /// The grade that was expected.
    pub expected: Option<String>,
    /// The grade it got, and why.
    pub got: Explanation,
}

impl Tried {
    /// True if it got another grade than was expected.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.expected.as_ref().is_some_and(|expected| *expected != self.got.name)
    }
}

/// Reads a file of cases and grades all of them.
///
/// # Errors
/// As [`CaseError`].
pub fn run(document: &Document, path: &Path) -> Result<Vec<Tried>, CaseError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| CaseError::File { file: file.clone(), source })?;
    let cases: Cases = toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or_default());
        CaseError::Form { file: file.clone(), line: before.matches('\n').count() + 1, what: error.message().to_owned() }
    })?;
    let one = |case: &Case| {
        let got =
            grade(document, &cases.picture, case).map_err(|what| CaseError::Case { file: file.clone(), name: case.name.clone(), what })?;
        Ok(Tried { name: case.name.clone(), source: case.source.clone(), expected: case.grade.clone(), got })
    };
    cases.piece.iter().map(one).collect()
}

fn grade(document: &Document, picture: &Picture, case: &Case) -> Result<Explanation, String> {
    let document = document.clone().at_stage(case.stage.as_deref()).map_err(|what| format!("{what} (mend: write `stage` of the piece)"))?;
    let rubric = document.rubric;
    let scheme = rubric.scheme.as_deref().ok_or("the rubric has no scheme")?;
    if let Some(grade) = case.grade.as_ref().filter(|grade| !rubric.names().contains(grade)) {
        return Err(format!("there is no grade {grade} (mend: name one of {})", rubric.names().join(", ")));
    }
    let pixel = scheme.millimetres_per_pixel.get(&picture.camera).or_else(|| scheme.millimetres_per_pixel.get(""));
    let mut classes: Vec<String> = scheme.factors.iter().flat_map(|factor| factor.rule.classes()).cloned().collect();
    classes.extend(case.findings.iter().map(|finding| finding.class.clone()));
    classes.sort();
    classes.dedup();
    let mut findings = Vec::new();
    for told in &case.findings {
        let pixel = *pixel.ok_or("its findings are in mm, and the rubric has no millimetres_per_pixel")?;
        let place = classes.iter().position(|class| *class == told.class).unwrap_or_default();
        findings.push(finding(told, u8::try_from(place + 1).map_err(|_| "more than 255 classes")?, pixel));
    }
    let model = Arc::new(ModelRef { package: "cases@0".to_owned(), weights: Digest::default() });
    let inspection = Inspection {
        piece: PieceId(1),
        acquisition: 0,
        camera: picture.camera.as_str().into(),
        frame: 1,
        image: Digest::default(),
        width: u32::from(picture.width_pixels),
        height: u32::from(picture.height_pixels),
        model: Arc::clone(&model),
        findings,
        measurements: Vec::new(),
        micros: StageMicros::default(),
        views: Vec::new(),
    };
    let readings: Vec<Reading> = case.readings.iter().map(reading).collect();
    let classes = classes.into_iter().map(|name| DefectClass { name, threshold: 0.5 }).collect();
    let recipe = Recipe {
        name: "cases".to_owned(),
        product: String::new(),
        model,
        frame_set: None,
        classes,
        rubric: rubric.clone(),
        verdict_deadline: Micros(0),
        gate_offset: 0,
        gate_slack: 0,
        characteristics: Vec::new(),
        stop: never(),
        payload: Vec::new(),
    };
    Ok(rubric.explain(&Seen { recipe: &recipe, inspection: &inspection, readings: &readings }))
}

/// A finding in the pixels of its picture.
#[expect(clippy::cast_possible_truncation, reason = "a place in a picture keeps its meaning in an f32")]
fn finding(told: &CaseFinding, class: u8, pixel: f64) -> Finding {
    let edge = |middle: f32, size: f32, side: f64| ((f64::from(middle) + side * f64::from(size) / 2.0) / pixel) as f32;
    let bounds = PixelBox {
        x1: edge(told.at_mm[0], told.mm[0], -1.0),
        y1: edge(told.at_mm[1], told.mm[1], -1.0),
        x2: edge(told.at_mm[0], told.mm[0], 1.0),
        y2: edge(told.at_mm[1], told.mm[1], 1.0),
    };
    Finding { class: ClassId(class), score: told.score, bounds, area_mm2: told.area_mm2, camera: 0 }
}

fn reading(told: &CaseReading) -> Reading {
    Reading {
        tag: told.tag.as_str().into(),
        value: told.value,
        unit: told.unit.as_str().into(),
        text: told.text.as_deref().map(Arc::from),
        quality: Quality::Good,
        sampled_at: Timestamp::default(),
    }
}

/// A policy of a recipe that never runs a line.
const fn never() -> StopPolicy {
    StopPolicy {
        consecutive_rejects: 1,
        reject_rate_window: 1,
        reject_rate_max: 0,
        camera_misses: 1,
        model_errors: 1,
        deadline_window: 1,
        deadline_misses_max: 0,
        unconfirmed_rejects: 1,
        backlog_entries_max: 1,
        plc_acknowledge: PlcAcknowledge::Ignored,
        recalled_serial: RecalledSeen::Stop,
    }
}
