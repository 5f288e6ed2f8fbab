//! What was seen of one piece, by which model, and how long it took — or why nothing was seen.

use crate::piece::{PieceId, is_zero};
use crate::reading::Reading;
use crate::units::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A defect class: 1-based index into the model package's class list (JMAP `TopDefectClass`); 0 is never a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub u8);

/// A box in image pixels, origin at the top left corner, `x1 < x2`, `y1 < y2`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelBox {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

/// Something the model saw. Whether it is a defect is the recipe's decision, by the class's threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it looks like.
    pub class: ClassId,
    /// The model's confidence, 0…1, finite.
    pub score: f32,
    /// Where it is.
    pub bounds: PixelBox,
    /// Area of the region inside the box in square millimetres, where the model draws regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_mm2: Option<f32>,
    /// Which camera of the frame set saw it, as an index into [`Inspection::views`]; 0 where there is one camera.
    #[serde(default, skip_serializing_if = "is_first")]
    pub camera: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_first(camera: &u8) -> bool {
    *camera == 0
}

/// The model that looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// `name@version` of the package.
    pub package: String,
    /// Digest of the weights file that ran.
    pub weights: Digest,
}

/// Time spent on one piece before it was judged, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageMicros {
    /// Trigger to frame in memory.
    pub capture: u64,
    /// Frame to model input.
    pub prepare: u64,
    /// The model itself.
    pub infer: u64,
    /// Model output to findings.
    pub decode: u64,
}

impl StageMicros {
    /// Trigger to findings.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.capture.saturating_add(self.prepare).saturating_add(self.infer).saturating_add(self.decode)
    }
}

/// What one camera of a frame set contributed to an inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraView {
    /// The camera's name.
    pub camera: Arc<str>,
    /// The camera's own frame number.
    pub frame: u64,
    /// Digest of the frame's pixels.
    pub image: Digest,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// Who looked.
    pub model: Arc<ModelRef>,
    /// Where the time went.
    pub micros: StageMicros,
}

/// One piece as the model saw it. Where several cameras form a frame set, camera, frame, image, size and model are those of
/// the picture with the worst defect, or of the first camera if there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The piece.
    pub piece: PieceId,
    /// The picture it is of, as in the piece's arrival.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acquisition: u16,
    /// The camera's name.
    pub camera: Arc<str>,
    /// The camera's own frame number.
    pub frame: u64,
    /// Digest of the frame's pixels (row by row, as the model was given them).
    pub image: Digest,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// Who looked.
    pub model: Arc<ModelRef>,
    /// What it saw above the package's floor, best score first.
    pub findings: Vec<Finding>,
    /// Sizes measured in the picture. They become readings of this piece and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Reading>,
    /// Where the time went; in a frame set that of the slowest member.
    pub micros: StageMicros,
    /// Every camera of the frame set, in the recipe's order; empty where there is one camera.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<CameraView>,
}

/// Why a piece was not inspected. Each one ends in a `Hold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissReason {
    /// The camera delivered a frame that was seen before.
    CameraStale,
    /// The camera delivered nothing before its own deadline, or is gone.
    CameraLost,
    /// A bounded queue before the model was full.
    QueueFull,
    /// The model failed or answered nonsense (NaN, wrong shape).
    ModelError,
    /// No inspection came before the piece's deadline.
    Deadline,
    /// The trigger came while the station was not ready.
    NotReady,
    /// The appliance stopped or restarted while the piece was on its way.
    Interrupted,
    /// The pictures of its frame set do not belong together: not taken within the window, or by a camera that is no member.
    FrameSet,
}

impl MissReason {
    /// The name as written in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CameraStale => "camera_stale",
            Self::CameraLost => "camera_lost",
            Self::QueueFull => "queue_full",
            Self::ModelError => "model_error",
            Self::Deadline => "deadline",
            Self::NotReady => "not_ready",
            Self::Interrupted => "interrupted",
            Self::FrameSet => "frame_set",
        }
    }
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A piece that was announced and not inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// The piece.
    pub piece: PieceId,
    /// The picture that was not taken or not looked at, as in the piece's arrival.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acquisition: u16,
    /// Why.
    pub reason: MissReason,
    /// The camera of the frame set that did not see it; `None` where there is one camera, or no camera is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Arc<str>>,
}
