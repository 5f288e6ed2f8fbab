//! `model.toml`: what must be known about a model to use it, to trust it and to say where it comes from.
//!
//! Invariant: a `Manifest` that came out of `parse` has only keys it should have, finite numbers in their ranges, and
//! file names that stay inside the package.

use super::task::Task;
use super::variant::{self, Speed, VariantEntry};
use serde::{Deserialize, Serialize};
use station::units::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The layout of manifests that this program reads.
pub const FORMAT: u32 = 2;

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this layout of the manifest: [`FORMAT`].
    pub format: u32,
    /// Name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence for people.
    pub summary: String,
    /// Size of a pixel of the training pictures on the piece, in millimetres.
    pub pixel_size_mm: f64,
    /// What goes in.
    pub input: Input,
    /// What the model does: what comes out, and how findings are made of it.
    pub task: Task,
    /// The classes of defects; the first is class 1. Where the task has no labels this is the order of the model's planes.
    pub class: Vec<ClassEntry>,
    /// Its weights, the reference first; without any there is one, `fp32` in `model.onnx`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variant: Vec<VariantEntry>,
    /// How fast it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// What the thresholds were chosen for.
    pub operating_point: OperatingPoint,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// How the package proves that it still works.
    pub parity: Parity,
    /// Every other file of the package with its SHA-256.
    pub files: BTreeMap<String, Digest>,
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
    /// Grey level to fill up with, in every plane.
    pub fill: u8,
    /// The model takes one size alone: width and height are filled up to `width_max` and `height_max`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// Every frame is stretched to exactly `width_max` by `height_max`, whatever its shape, instead of being filled up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stretched: bool,
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
    /// The red light of the piece. Red, green and blue come together, in any order; a grey picture has all of them alike.
    Red,
    /// Its green light.
    Green,
    /// Its blue light.
    Blue,
}

impl Plane {
    /// Its name in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Golden => "golden",
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
        }
    }
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
    /// The pieces it is shown.
    pub piece: Vec<GoldenPiece>,
}

/// Files of a golden piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenPiece {
    /// The piece.
    pub test: String,
    /// What it is compared with, where the task compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<String>,
    /// What must be found.
    pub expected: String,
}

/// The one key that every layout has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Manifest {
    /// The text of the manifest.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // It came out of such a text, or was made of one: every value of it has a form there.
        toml::to_string(self).unwrap_or_default()
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// What is wrong, in one text: where it cannot be read, or all values that are out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let AnyFormat { format } = toml::from_str(text).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("format is {format}, this program reads {FORMAT}: get the package that was made for this version"));
        }
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let Problems(problems) = manifest.problems();
        if problems.is_empty() { Ok(manifest) } else { Err(problems.join("; ")) }
    }

    fn problems(&self) -> Problems {
        let mut problems = Problems(Vec::new());
        let mut need = |good: bool, what: &str| problems.need(good, || what.to_owned());
        // They become the name of a folder.
        need(is_plain(&self.name), "name must be letters, digits, `-`, `_` and `.`, and begin with a letter or digit");
        need(is_plain(&self.version), "version must be letters, digits, `-`, `_` and `.`, and begin with a letter or digit");
        need(self.pixel_size_mm.is_finite() && self.pixel_size_mm > 0.0, "pixel_size_mm must be a positive number");
        need((1..=255).contains(&self.class.len()), "there must be 1 to 255 classes");
        let names: BTreeSet<_> = self.class.iter().map(|class| class.name.as_str()).collect();
        need(names.len() == self.class.len() && !names.contains(""), "class names must differ and not be empty");
        self.input.check(&mut problems);
        self.task.check(&self.input, &self.class, &mut problems);
        for class in &self.class {
            let good = (self.task.floor()..=1.0).contains(&class.threshold);
            problems.need(good, || format!("the threshold of class {} must be between task.{}.floor and 1", class.name, self.task.name()));
        }
        self.parity.check(&self.task, &mut problems);
        variant::check(self, &mut problems);
        for name in self.files.keys() {
            let inside = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\\');
            problems.need(inside, || format!("files: {name:?} is not a path below the package"));
        }
        problems
    }
}

impl Input {
    fn check(&self, problems: &mut Problems) {
        let mut need = |good: bool, what: &str| problems.need(good, || what.to_owned());
        need(self.black < self.white, "input.black must be below input.white");
        need(self.scale.is_finite() && self.scale != 0.0, "input.scale must be a number other than 0");
        need(self.offset.is_finite(), "input.offset must be a number");
        need((1..=256).contains(&self.multiple), "input.multiple must be 1 to 256");
        let side = |side: u32| side >= self.multiple && side <= 8192 && side.is_multiple_of(self.multiple.max(1));
        need(
            side(self.width_max) && side(self.height_max),
            "input.width_max and height_max must be multiples of input.multiple up to 8192",
        );
    }
}

impl Parity {
    fn check(&self, task: &Task, problems: &mut Problems) {
        let tolerance = |value: f32, most: f32| value.is_finite() && value > 0.0 && value <= most;
        let mut need = |good: bool, what: &str| problems.need(good, || what.to_owned());
        need(tolerance(self.score_tolerance, 0.1), "parity.score_tolerance must be above 0 and at most 0.1");
        need(tolerance(self.box_tolerance_pixels, 8.0), "parity.box_tolerance_pixels must be above 0 and at most 8");
        need(!self.piece.is_empty(), "parity needs at least one piece");
        let named = |piece: &GoldenPiece| piece.golden.is_some() == task.needs_golden();
        let what = if task.needs_golden() { "needs its golden picture" } else { "has no golden picture" };
        need(self.piece.iter().all(named), &format!("parity: for the task {} every piece {what}", task.name()));
    }
}

/// What is wrong with a manifest, all of it.
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn need(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.0.push(what());
        }
    }

    /// A score or a share of an area: 0 would let everything through.
    pub(super) fn share(&mut self, value: f32, at: &str, key: &str) {
        self.need(value > 0.0 && value <= 1.0, || format!("{at}.{key} must be above 0 and at most 1"));
    }

    /// Cells of this many pixels must fill the input.
    pub(super) fn stride(&mut self, stride: u32, input: &Input, at: &str) {
        self.need((1..=64).contains(&stride) && input.multiple.is_multiple_of(stride), || {
            format!("{at}.stride must be 1 to 64, and input.multiple a multiple of it")
        });
    }
}

pub(super) fn is_plain(name: &str) -> bool {
    let letter = |character: char| character.is_ascii_alphanumeric();
    name.starts_with(letter) && name.chars().all(|character| letter(character) || matches!(character, '-' | '_' | '.'))
}
