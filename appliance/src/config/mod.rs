//! The settings: one TOML file that says everything the appliance is told before it starts.
//!
//! [`raw`] mirrors the file, [`validate`] makes types that cannot be wrong. All problems are told at once, each with its
//! line, its key and its mend.
//!
//! Invariants: a [`Settings`] can only be had from a file without a problem; nothing that can stop a line or pass a piece
//! has a default that is not written in the file (policy, thresholds' source, deadlines, gate, limits are required keys);
//! units stand in the keys; paths are absolute or relative to the folder of the file.

mod problem;
mod raw;
mod template;
#[cfg(test)]
mod tests;
mod validate;

pub use problem::{Problem, Problems};
pub use template::{DemoPlaces, TemplateError, demo_settings, sample, write_demo_config};

use serde::Serialize;
use station::inspection::ModelRef;
use station::policy::StopPolicy;
use station::recipe::{Characteristic, DefectClass, Recipe};
use station::record::Identity;
use station::rubric::Rubric;
use station::units::Micros;
use station::verdict::Verdict;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A settings file larger than this is none: the annotated sample has 12 kB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything the appliance was told, already checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Who we are in the plant. `[station]`
    pub identity: Identity,
    /// Where ledger, pictures and journal are kept. `[data] directory`
    pub data_directory: PathBuf,
    /// Where frames come from. `[camera]`
    pub camera: CameraSettings,
    /// What looks at them. `[model]`
    pub model: ModelSettings,
    /// What is good. `[recipe]`
    pub recipe: RecipeSettings,
    /// How to reach the PLC, and what to read there. `[plc]`
    pub plc: PlcSettings,
    /// What is charted. `[[characteristic]]`
    pub characteristics: Vec<Characteristic>,
    /// When the line stops. `[stop_policy]`
    pub stop_policy: StopPolicy,
    /// The web page. `[page]`
    pub page: PageSettings,
    /// Where records are delivered; each name at most once. `[[backend]]`
    pub backends: Vec<BackendSettings>,
    /// Which pictures are kept, and how many. `[images]`
    pub images: ImageSettings,
    /// How much is logged; `info` if the file does not say. `[log] level`
    pub log_level: LogLevel,
    /// The small display; none if the file has no section for it. `[panel]`
    pub panel: Option<PanelSettings>,
    /// The file, for problems that are found later.
    #[serde(skip)]
    origin: Origin,
}

/// The file that settings came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Origin {
    file: String,
    /// Line of each key by its path.
    places: BTreeMap<String, usize>,
}

/// `[camera]`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraSettings {
    /// Its name in records; 1 to 7 lower-case letters and digits, so that it fits into a thread's name.
    pub name: String,
    /// What delivers the frames.
    pub source: CameraSource,
}

/// What delivers frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CameraSource {
    /// Boards drawn by the generator of the demonstration line.
    Generated {
        /// The same seed draws the same boards.
        seed: u64,
        /// Share of boards with a defect, 0…1.
        bad_share: f64,
    },
    /// Pictures from a folder, one per trigger.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSettings {
    /// Folder of the model package.
    pub package: PathBuf,
    /// The ONNX Runtime library; `None` lets the program look where it was installed.
    pub onnxruntime: Option<PathBuf>,
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
}

/// `[plc]`: role C of the Modbus contract, the appliance being the client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlcSettings {
    /// Host of the PLC, a name or an address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Modbus unit identifier.
    pub unit_id: u8,
    /// First holding register of the control block (PLC → appliance), 96 registers.
    pub control_base: u16,
    /// First holding register of the status block (appliance → PLC), 128 registers.
    pub status_base: u16,
    /// Registers that may be written, as pairs of first and last; they lie in the status block and cover its named part.
    /// Said apart from `status_base` so that one wrong digit in either is found before anything is written.
    pub write_allowed: Vec<(u16, u16)>,
    /// 32-bit values have their low word first.
    pub word_swap: bool,
    /// The bytes of each word are swapped.
    pub byte_swap: bool,
    /// How often the control block is read, and with a trigger the tags that belong to the piece.
    pub poll_interval_millis: u64,
    /// A connection that does not come up in this time has failed.
    pub connect_timeout_millis: u64,
    /// A request that is not answered in this time has failed, and with it the connection.
    pub request_timeout_millis: u64,
    /// `PlcHeartbeat` unchanged for this long means that the link is down.
    pub plc_heartbeat_timeout_millis: u64,
    /// `VisionHeartbeat` unchanged for this long makes the PLC stop the line. It is set in the PLC's program; here it is
    /// only compared with the time-outs, and the simulated PLC takes it.
    pub vision_heartbeat_timeout_millis: u64,
    /// Belt travel from the camera to the reject gate.
    pub gate_offset_counts: u32,
    /// Belt travel past the gate after which a reject without confirmation counts as unconfirmed.
    pub gate_slack_counts: u32,
    /// What is read from the process.
    pub tags: Vec<TagSettings>,
}

/// `[[plc.tag]]`: a process value in holding registers. Its value is `raw × scale + offset` in `unit`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagSettings {
    /// Name, unique.
    pub name: Arc<str>,
    /// First holding register, 0-based.
    pub address: u16,
    /// How it is written there.
    pub kind: TagKind,
    /// Factor, not 0.
    pub scale: f64,
    /// Summand, in `unit`.
    pub offset: f64,
    /// Unit, for example `um` or `Cel` (UCUM).
    pub unit: Arc<str>,
    /// A value below this is bad, in `unit`.
    pub min: f64,
    /// A value above this is bad, in `unit`.
    pub max: f64,
    /// When it is read.
    pub sample: TagSample,
    /// A value older than this is stale.
    pub stale_after_millis: u64,
}

/// How a number is written in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagKind {
    /// One register, unsigned.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Two registers, IEEE 754.
    F32,
}

impl TagKind {
    /// How many registers it takes.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
        }
    }
}

/// When a tag is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TagSample {
    /// Once per piece, at its trigger.
    Trigger,
    /// Again and again, this far apart.
    Interval(Micros),
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
    /// File with the token that is sent along.
    pub token_file: PathBuf,
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

/// `[images]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSettings {
    /// The oldest pictures go when all of them together are larger than this.
    pub keep_bytes_max: u64,
    /// Pictures of pieces with these verdicts are kept; may be empty.
    pub keep: Vec<Verdict>,
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
        let file = path.display().to_string();
        let refuse = |what: String, mend: &str| {
            Problems::one(Problem { file: file.clone(), line: None, key: String::new(), what, mend: mend.to_owned() })
        };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| refuse(format!("cannot be read: {error}"), "name an existing file that this user may read"))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
            return Err(refuse(format!("is larger than {FILE_BYTES_MAX} bytes"), "name a settings file"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.split(|byte| *byte == b'\n').count();
            refuse(format!("line {line} is not UTF-8"), "save the file as UTF-8")
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self::parse(&file, &text, &folder)
    }

    /// Checks the text of a settings file. `file` names it in problems; relative paths are taken from `folder`.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, Problems> {
        validate::settings(file, text, folder)
    }

    /// The recipe, once it is known which model looks and which classes it has (with the thresholds of its operating point).
    pub fn recipe(&self, model: Arc<ModelRef>, classes: &[DefectClass]) -> Result<Recipe, Problems> {
        let classes = validate::classes(&self.model, &self.origin, &model.package, classes)?;
        Ok(Recipe {
            name: self.recipe.name.clone(),
            product: self.recipe.product.clone(),
            model,
            classes,
            rubric: self.recipe.rubric.clone(),
            verdict_deadline: self.recipe.verdict_deadline,
            gate_offset: self.plc.gate_offset_counts,
            gate_slack: self.plc.gate_slack_counts,
            characteristics: self.characteristics.clone(),
            stop: self.stop_policy.clone(),
        })
    }
}
