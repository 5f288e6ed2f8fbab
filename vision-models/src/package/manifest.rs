//! `model.toml`: what must be known about a model to use it, to trust it and to say where it comes from.
//!
//! Invariant: a `Manifest` that came out of `parse` has only keys it should have, finite numbers in their ranges, and
//! file names that stay inside the package.

use serde::{Deserialize, Serialize};
use station::units::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this layout of the manifest; 1.
    pub format: u32,
    /// Name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the model does.
    pub task: Task,
    /// One sentence for people.
    pub summary: String,
    /// Size of a pixel of the training pictures on the piece, in millimetres.
    pub pixel_size_mm: f64,
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: Output,
    /// How findings are made of it.
    pub decode: Decode,
    /// The classes, in the order of the model's planes; the first is class 1.
    pub class: Vec<ClassEntry>,
    /// What the thresholds were chosen for.
    pub operating_point: OperatingPoint,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// How the package proves that it still works.
    pub parity: Parity,
    /// Every other file of the package with its SHA-256.
    pub files: BTreeMap<String, Digest>,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Compares a piece with a golden picture and boxes what differs.
    Compare,
}

/// What goes into the model: planes of grey levels that are stretched (`black` and darker becomes 0, `white` and brighter
/// becomes 255) and then taken as `level * scale + offset`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the input.
    pub name: String,
    /// Order of its dimensions.
    pub layout: Layout,
    /// What its planes are, in order.
    pub planes: Vec<Plane>,
    /// Grey levels up to this are black. With `white` it takes out light that changes and the noise of flat areas.
    pub black: u8,
    /// Grey levels from this on are white.
    pub white: u8,
    /// Factor from stretched grey level (0…255) to input.
    pub scale: f64,
    /// Added after the factor.
    pub offset: f64,
    /// Frames wider than this are made smaller.
    pub width_max: u32,
    /// Frames higher than this are made smaller.
    pub height_max: u32,
    /// Width and height are filled up to a multiple of this.
    pub multiple: u32,
    /// Grey level to fill up with, in both planes.
    pub fill: u8,
}

/// Order of dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Batch, plane, row, column.
    Nchw,
}

/// A plane of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// The piece.
    Test,
    /// What it is compared with.
    Golden,
}

/// What comes out of the model: one cell per `stride` pixels in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the scores: one plane per class, 0…1.
    pub scores: String,
    /// Name of the boxes: four planes, distance in pixels from the cell's middle to left, top, right and bottom.
    pub boxes: String,
    /// Pixels per cell.
    pub stride: u32,
}

/// How findings are made of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    /// Scores below this are not even findings.
    pub floor: f32,
    /// Of two findings of one class that overlap by more than this (intersection over union), the better one stays.
    pub nms_iou: f32,
    /// The same for findings of different classes: one place, one fault.
    pub nms_iou_across_classes: f32,
    /// At most this many findings of one piece are kept, the best ones.
    pub findings_max: u32,
}

/// A class of defects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassEntry {
    /// Name.
    pub name: String,
    /// Proposed threshold, 0…1: from this score on a finding is a defect.
    pub threshold: f32,
}

/// What the thresholds were chosen for, and what they gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// What was aimed at, in words.
    pub aim: String,
    /// On what it was chosen, and how far that can be trusted.
    pub chosen_on: String,
    /// What it gave there.
    pub measured: BTreeMap<String, f64>,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The pictures it was trained on.
    pub data: String,
    /// Which part of them.
    pub split: String,
    /// How it was trained.
    pub training: String,
    /// Licence of the weights.
    pub licence: String,
    /// What the licence of the pictures says.
    pub data_licence: String,
    /// What was measured after training.
    pub metrics: BTreeMap<String, f64>,
}

/// How the package proves that it still works on this machine with this runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// Scores may differ by this much.
    pub score_tolerance: f32,
    /// Sides of boxes may differ by this many pixels.
    pub box_tolerance_pixels: f32,
    /// The boards it is shown.
    pub board: Vec<GoldenBoard>,
}

/// Files of a golden board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenBoard {
    /// The piece.
    pub test: String,
    /// What it is compared with.
    pub golden: String,
    /// What must be found.
    pub expected: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// What is wrong, in one text: where it cannot be read, or all values that are out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let problems = manifest.problems();
        if problems.is_empty() { Ok(manifest) } else { Err(problems.join("; ")) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut need = |good: bool, what: &str| {
            if !good {
                problems.push(what.to_owned());
            }
        };
        need(self.format == 1, "format must be 1");
        // They become the name of a folder.
        need(is_plain(&self.name), "name must be letters, digits, `-`, `_` and `.`, and begin with a letter or digit");
        need(is_plain(&self.version), "version must be letters, digits, `-`, `_` and `.`, and begin with a letter or digit");
        need(self.pixel_size_mm.is_finite() && self.pixel_size_mm > 0.0, "pixel_size_mm must be a positive number");
        need(self.input.planes == [Plane::Test, Plane::Golden], "input.planes must be [\"test\", \"golden\"] for the task compare");
        need(self.input.black < self.input.white, "input.black must be below input.white");
        need(self.input.scale.is_finite() && self.input.scale != 0.0, "input.scale must be a number other than 0");
        need(self.input.offset.is_finite(), "input.offset must be a number");
        let stride = self.output.stride;
        need((1..=64).contains(&stride), "output.stride must be 1 to 64");
        let multiple = self.input.multiple;
        need(
            (1..=256).contains(&multiple) && multiple.is_multiple_of(stride.max(1)),
            "input.multiple must be a multiple of output.stride up to 256",
        );
        let side = |side: u32| side >= multiple && side <= 8192 && side.is_multiple_of(multiple.max(1));
        need(
            side(self.input.width_max) && side(self.input.height_max),
            "input.width_max and height_max must be multiples of input.multiple up to 8192",
        );
        let share = |value: f32| (0.0..=1.0).contains(&value) && value > 0.0;
        need(share(self.decode.floor), "decode.floor must be above 0 and at most 1");
        need(share(self.decode.nms_iou) && share(self.decode.nms_iou_across_classes), "decode.nms_iou… must be above 0 and at most 1");
        need((1..=10_000).contains(&self.decode.findings_max), "decode.findings_max must be 1 to 10000");
        need((1..=255).contains(&self.class.len()), "there must be 1 to 255 classes");
        let names: BTreeSet<_> = self.class.iter().map(|class| class.name.as_str()).collect();
        need(names.len() == self.class.len() && !names.contains(""), "class names must differ and not be empty");
        for class in &self.class {
            let good = share(class.threshold) && class.threshold >= self.decode.floor;
            need(good, &format!("the threshold of class {} must be between decode.floor and 1", class.name));
        }
        let tolerance = |value: f32, most: f32| value.is_finite() && value > 0.0 && value <= most;
        need(tolerance(self.parity.score_tolerance, 0.1), "parity.score_tolerance must be above 0 and at most 0.1");
        need(tolerance(self.parity.box_tolerance_pixels, 8.0), "parity.box_tolerance_pixels must be above 0 and at most 8");
        need(!self.parity.board.is_empty(), "parity needs at least one board");
        for name in self.files.keys() {
            let inside = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\\');
            need(inside, &format!("files: {name:?} is not a path below the package"));
        }
        problems
    }
}

fn is_plain(name: &str) -> bool {
    let letter = |character: char| character.is_ascii_alphanumeric();
    name.starts_with(letter) && name.chars().all(|character| letter(character) || matches!(character, '-' | '_' | '.'))
}
