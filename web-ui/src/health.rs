//! How the appliance itself is, besides what it judges: camera, model, disk, uploads, latency.

use serde::Serialize;

/// The appliance at one instant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// True if the line is simulated. The page then says so on every view.
    pub simulated: bool,
    /// Version of the program.
    pub version: String,
    /// Since the program started, in seconds.
    pub uptime_secs: u64,
    /// Memory in use (resident set), in MiB.
    pub rss_mib: u64,
    /// The camera.
    pub camera: Part,
    /// The model.
    pub model: Part,
    /// The disk under the ledger.
    pub disk: Part,
    /// Where records go, in the order of the configuration.
    pub uploads: Vec<UploadView>,
    /// Trigger to verdict.
    pub latency: LatencyView,
    /// The pictures that are kept.
    pub pictures: PicturesView,
}

/// Pictures that are kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PicturesView {
    /// By class, in the order in which they make room.
    pub classes: Vec<ClassView>,
    /// Those that a hold, a recall or a complaint keeps, whatever their class.
    pub held_count: u64,
    /// Bytes of those.
    pub held_bytes: u64,
    /// What all of them may have, in bytes.
    pub bytes_max: u64,
    /// Removed since the register of pictures began, by reason.
    pub removed: Vec<(&'static str, u64)>,
    /// Not kept since the start, for want of room or because the disk did not do its work.
    pub lost: u64,
}

/// Pictures of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassView {
    /// The name of the class, as in the settings.
    pub class: &'static str,
    /// How many.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// One part of the appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// How it is.
    pub state: PartState,
    /// In words, for example `38.0 frames/s` or `412 GiB free`.
    pub detail: String,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// It works.
    Good,
    /// It copes; somebody should look before it stops.
    Warning,
    /// It does not work.
    Bad,
    /// Nothing has been heard of it yet.
    Unknown,
}

impl PartState {
    /// Every state, in the order of the metric.
    pub const ALL: [Self; 4] = [Self::Good, Self::Warning, Self::Bad, Self::Unknown];

    /// The name as written in the API and the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// One place to which records go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UploadView {
    /// Its name in the configuration.
    pub backend: String,
    /// Parcels kept for it since the ledger began.
    pub kept: u64,
    /// Parcels it has taken.
    pub delivered: u64,
    /// Parcels waiting for it.
    pub waiting: u64,
    /// Parcels it refused for good, set aside for a person.
    pub quarantined: u64,
    /// What went wrong last; empty if nothing has.
    pub last_error: String,
}

/// Trigger to verdict over the last pieces, in microseconds, against what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LatencyView {
    /// Half of the pieces took at most this long.
    pub p50_micros: u64,
    /// 99 of 100 pieces took at most this long.
    pub p99_micros: u64,
    /// The slowest.
    pub max_micros: u64,
    /// What the recipe allows.
    pub budget_micros: u64,
}
