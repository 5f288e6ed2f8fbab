//! `[camera]`, or several `[[camera]]` and `[frame_set]`: what delivers the frames.

use serde::Serialize;
use station::units::Micros;
use std::path::PathBuf;
use vision_models::camera::wire::{Device, TriggerMode};
use vision_models::frame::PixelFormat;

/// `[camera]`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraSettings {
    /// Its name in records; 1 to 7 lower-case letters and digits, so that it fits into a thread's name.
    pub name: String,
    /// A picture with less contrast than this many grey levels shows nothing and is a miss; 0 lets everything pass.
    pub contrast_min: u8,
    /// What delivers the frames.
    pub source: CameraSource,
    /// Pictures per second of a line without triggers; `None`: one picture per trigger of the PLC. Of a frame set all are
    /// taken together, and it says so.
    pub free_run_per_second: Option<f64>,
    /// What looks at its pictures; `None`: the package of `[model]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_model: Option<OwnModel>,
}

/// The model package of one camera of a frame set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnModel {
    /// Folder of the package.
    pub package: PathBuf,
    /// The variant of its weights, as in `[model]`.
    pub variant: Option<String>,
}

/// `[frame_set]`: several cameras look at one piece. A piece that one of them did not see is a hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrameSetSettings {
    /// From the first picture of a piece in memory to the last one at most this long.
    pub window: Micros,
    /// Pieces per second of a line without triggers; `None`: one picture of each camera per trigger of the PLC.
    pub free_run_per_second: Option<f64>,
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
    /// Pictures of a folder that are all read into memory before the line starts, again and again: for measuring.
    Replay {
        /// The folder.
        path: PathBuf,
    },
    /// A device, held by the program `jidoka-camera`.
    Live(LiveSource),
}

/// A device and how it is watched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveSource {
    /// The device.
    pub device: Device,
    /// What makes it take a picture.
    pub trigger: TriggerMode,
    /// Width of its pictures.
    pub width_pixels: u32,
    /// Height of its pictures.
    pub height_pixels: u32,
    /// How their bytes are to be read.
    pub pixel_format: PixelFormat,
    /// The faultless picture, for models that compare.
    pub golden: Option<PathBuf>,
    /// A piece without a picture after this time is missed.
    pub frame_deadline_millis: u64,
    /// How much earlier than our trigger a picture may come that a wire triggered.
    pub early_millis: u64,
    /// A picture of a free run counts if it comes at least this long after the trigger.
    pub delay_millis: u64,
    /// A device that is not open after this time is tried again.
    pub open_deadline_millis: u64,
    /// Longest wait before a device is opened again.
    pub reconnect_max_millis: u64,
    /// The program; `None` is the one beside `jidoka`.
    pub program: Option<PathBuf>,
}
