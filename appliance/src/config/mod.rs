//! The settings: one TOML file that says everything the appliance is told before it starts.
//!
//! [`raw`] mirrors the file, [`validate`] makes types that cannot be wrong. All problems are told at once, each with its
//! line, its key and its mend.
//!
//! Invariants: a [`Settings`] can only be had from a file without a problem; nothing that can stop a line or pass a piece
//! has a default that is not written in the file (policy, thresholds' source, deadlines, gate, limits are required keys);
//! units stand in the keys; paths are absolute or relative to the folder of the file.

mod camera;
mod plc;
mod problem;
mod raw;
pub mod rubric;
pub mod seal;
mod template;
#[cfg(test)]
mod tests;
mod validate;

pub use camera::{CameraSettings, CameraSource, FrameSetSettings, LiveSource, OwnModel};
pub use plc::{
    HandshakeSettings, LinkSettings, PayloadSettings, PayloadSource, PlcSettings, ServerPort, ServerSettings, SourceSettings, TagSettings,
    WriteAllowed,
};
pub use problem::{Problem, Problems};
pub use template::{DemoPlaces, TemplateError, demo_settings, sample, write_demo_config};

use crate::store::images::policy::Retention;
use rubric::Document;
use serde::Serialize;
use station::frame_set::{FrameSet, Member};
use station::inspection::{ClassId, ModelRef};
use station::policy::StopPolicy;
use station::recipe::{Characteristic, DefectClass, Recipe};
use station::record::Identity;
use station::rubric::Rubric;
use station::units::Micros;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vision_models::package::PublicKey;

/// A settings file larger than this is none: the annotated sample has 12 kB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything the appliance was told, already checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Who we are in the plant. `[station]`
    pub identity: Identity,
    /// Where ledger, pictures and journal are kept. `[data] directory`
    pub data_directory: PathBuf,
    /// The ledger is signed this often while the station runs, in hours.
    pub sign_interval_hours: u64,
    /// Where frames come from: the only camera, or the first of a frame set. `[camera]`
    pub camera: CameraSettings,
    /// The other cameras of the frame set, in the order of the file. `[[camera]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_cameras: Vec<CameraSettings>,
    /// What is agreed about them; there exactly if there are others. `[frame_set]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_set: Option<FrameSetSettings>,
    /// What looks at them. `[model]`
    pub model: ModelSettings,
    /// What is measured in every picture; nothing if the file has no section for it. `[gauge]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gauge: Option<GaugeSettings>,
    /// What is good. `[recipe]`
    pub recipe: RecipeSettings,
    /// The PLC that this station is a client of, and what to read there; none if the PLC is the client. `[plc]`
    pub plc: Option<PlcSettings>,
    /// This station's own Modbus server. `[modbus_server]`
    pub modbus_server: Option<ServerSettings>,
    /// What is agreed with the one that shakes hands: the PLC of `[plc]`, or else the client of `[modbus_server]`.
    pub handshake: HandshakeSettings,
    /// PLCs that only give readings. `[[source]]`
    pub sources: Vec<SourceSettings>,
    /// What is charted. `[[characteristic]]`
    pub characteristics: Vec<Characteristic>,
    /// When the line stops. `[stop_policy]`
    pub stop_policy: StopPolicy,
    /// The web page. `[page]`
    pub page: PageSettings,
    /// Where records are delivered; each name at most once. `[[backend]]`
    pub backends: Vec<BackendSettings>,
    /// Which pictures are kept, and how many. `[images]`
    pub images: Retention,
    /// How much is logged; `info` if the file does not say. `[log] level`
    pub log_level: LogLevel,
    /// The small display; none if the file has no section for it. `[panel]`
    pub panel: Option<PanelSettings>,
    /// Real-time priority and locked memory; none if the file has no section for it. `[realtime]`
    pub realtime: Option<Realtime>,
    /// The document that the rubric was read from; `None` if its bands stand in the settings. `[rubric] file`
    #[serde(skip)]
    rubric_document: Option<Document>,
    /// The file, for problems that are found later.
    #[serde(skip)]
    origin: Origin,
}

/// A model and the classes of its package, with the thresholds of its operating point.
pub type Looks = (Arc<ModelRef>, Vec<DefectClass>);

/// The file that settings came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Origin {
    file: String,
    /// Line of each key by its path.
    places: BTreeMap<String, usize>,
}

/// `[gauge]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GaugeSettings {
    /// The plan's file. `plan`
    pub plan: PathBuf,
    /// The camera whose pictures are measured: the only one, or the one of the frame set that is named. `camera`
    pub camera: String,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSettings {
    /// Folder of the model package.
    pub package: PathBuf,
    /// The ONNX Runtime library; `None` lets the program look where it was installed.
    pub onnxruntime: Option<PathBuf>,
    /// The variant of its weights: a name, `fastest`, or `None` for the first that the package lists.
    pub variant: Option<String>,
    /// Whose packages are used; empty = nobody needs to sign.
    pub trusted_keys: Vec<PublicKey>,
    /// Who decides the thresholds.
    pub threshold_source: ThresholdSource,
    /// Thresholds by name of the class, 0…1. Whether the package has these classes is checked in [`Settings::recipe`].
    pub thresholds: BTreeMap<String, f64>,
}

/// Who decides from which score on a finding is a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// The package's operating point; `[model.threshold]` overrides single classes.
    Package,
    /// The settings: `[model.threshold]` names every class of the package.
    Settings,
}

/// `[recipe]` and `[rubric]`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecipeSettings {
    /// Name of the recipe.
    pub name: String,
    /// The product it is for.
    pub product: String,
    /// A piece without an inspection this long after its trigger is a hold.
    pub verdict_deadline: Micros,
    /// How grades are given.
    pub rubric: Rubric,
    /// What a result tells the PLC besides what every result does.
    pub payload: Vec<PayloadSettings>,
}

/// `[page]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageSettings {
    /// Where it listens: a loopback address, because there is no TLS yet. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The file of users and their password hashes.
    pub users: PathBuf,
}

/// `[[backend]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendSettings {
    /// What it takes.
    pub name: BackendName,
    /// Where it is: `https://…`, or `http://…` on loopback.
    pub url: String,
    /// At most this many records per request.
    pub batch: usize,
    /// After so many batches one event is asked for, whether it is really there; 0: never.
    pub sample_every: u32,
    /// File with the token that is sent along.
    pub token_file: PathBuf,
    /// File with the plant's own certificate authorities in PEM; `None` for the public ones.
    pub authorities: Option<PathBuf>,
    /// Files with certificate and key, in PEM, for a backend that asks for them.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What a backend takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// EPCIS 2.0 events.
    Traceability,
    /// Grades.
    Grading,
}

impl BackendName {
    /// The name as written in the file and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traceability => "traceability",
            Self::Grading => "grading",
        }
    }
}

/// `[log] level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Somebody must walk to the machine.
    Error,
    /// It coped.
    Warn,
    /// What it does.
    Info,
    /// How it does it.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name as written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[realtime]`: what the machine shall do for the threads between picture and PLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Realtime {
    /// Their priority under `SCHED_FIFO`, 1 to 90; the model never has one.
    pub priority: u8,
    /// All memory of the process stays where it is once it was used.
    pub lock_memory: bool,
}

/// `[panel]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanelSettings {
    /// A PNG file that is replaced with every picture; `None` draws only for the page.
    pub png: Option<PathBuf>,
    /// Width of the display.
    pub width_pixels: u32,
    /// Height of the display.
    pub height_pixels: u32,
    /// Language of its words.
    pub language: Language,
}

/// Language of what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Settings {
    /// Reads and checks a settings file.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let (file, text) = rubric::read_text(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let settings = Self::parse(&file, &text, &folder)?;
        if let Some(document) = &settings.rubric_document {
            document.in_force(crate::clock::today())?;
        }
        Ok(settings)
    }

    /// Checks the text of a settings file. `file` names it in problems; relative paths are taken from `folder`.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, Problems> {
        validate::settings(file, text, folder)
    }

    /// All cameras, in the order of the file.
    pub fn cameras(&self) -> impl Iterator<Item = &CameraSettings> {
        std::iter::once(&self.camera).chain(&self.more_cameras)
    }

    /// Pieces per second of a line without triggers.
    #[must_use]
    pub fn free_run_per_second(&self) -> Option<f64> {
        self.frame_set.map_or(self.camera.free_run_per_second, |set| set.free_run_per_second)
    }

    /// The recipe, once it is known which model looks and which classes it has (with the thresholds of its operating point).
    /// `others` are the models of the other cameras of a frame set, in their order.
    pub fn recipe(&self, model: Arc<ModelRef>, classes: &[DefectClass], others: &[Looks]) -> Result<Recipe, Problems> {
        let first = (Arc::clone(&model), classes.to_vec());
        let joined = validate::looks::join(&self.model, &self.origin, &first, others)?;
        let payload = validate::payload::values(&self.recipe, &self.origin, &joined.packages, &joined.classes)?;
        let classes = validate::classes(&self.model, &self.origin, &joined.packages, &joined.classes)?;
        if let Some(document) = &self.rubric_document {
            document.fits(&classes, &self.cameras().map(|camera| camera.name.as_str()).collect::<Vec<_>>())?;
        }
        let member = |(camera, (model, classes)): (&CameraSettings, (Arc<ModelRef>, Vec<ClassId>))| Member {
            camera: camera.name.as_str().into(),
            model,
            classes,
        };
        let frame_set =
            self.frame_set.map(|set| FrameSet { window: set.window, members: self.cameras().zip(joined.members).map(member).collect() });
        Ok(Recipe {
            frame_set,
            name: self.recipe.name.clone(),
            product: self.recipe.product.clone(),
            model,
            classes,
            rubric: self.recipe.rubric.clone(),
            verdict_deadline: self.recipe.verdict_deadline,
            gate_offset: self.handshake.gate_offset_counts,
            gate_slack: self.handshake.gate_slack_counts,
            characteristics: self.characteristics.clone(),
            stop: self.stop_policy.clone(),
            payload,
        })
    }
}
