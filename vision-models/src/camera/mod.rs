//! Cameras: one picture per trigger, or the reason why there is none.
//!
//! Every source is an adapter behind `Camera`. A source is always wrapped in `Watched`, because real drivers may report
//! success with an old picture: a frame that was seen before is `Stale` and never goes further.

mod folder;
mod generated;
mod replay;
mod watched;

pub use folder::{BoardFolder, FolderIndex};
pub use generated::GeneratedBoards;
pub use replay::Replay;
pub use watched::{STALE_MEMORY, Watched};

use crate::frame::{Frame, FramePool, MonoClock};
use crate::picture::PictureError;
use crate::score::TruthBox;
use station::inspection::MissReason;
use station::piece::PieceId;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Something that takes a picture of the piece before it.
pub trait Camera: Send {
    /// The camera's name, as written in records.
    fn name(&self) -> &str;

    /// Takes the picture of `piece` into a buffer of `pool`. Blocks until the picture is there.
    ///
    /// # Errors
    /// If there is no picture of this piece; `CameraError::miss` tells what that means for the piece.
    fn grab(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError>;
}

impl<C: Camera + ?Sized> Camera for Box<C> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn grab(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        (**self).grab(piece, pool)
    }
}

/// What is wrong with the pieces, known beforehand. Only sources whose pieces are known have it; it is for reports alone.
pub trait GroundTruth: Send + Sync {
    /// The faults of a piece; empty for a good one.
    fn truth(&self, piece: PieceId) -> Vec<TruthBox>;
}

/// Why there is no picture of a piece.
#[derive(Debug, Error)]
pub enum CameraError {
    /// The camera delivered a picture that was seen before.
    #[error("camera {camera} delivered frame {number} although it was seen before ({same})")]
    Stale {
        /// The camera.
        camera: String,
        /// Its frame number.
        number: u64,
        /// What was the same as before.
        same: &'static str,
    },
    /// The camera delivers nothing.
    #[error("camera {camera} delivers nothing: {reason}")]
    Lost {
        /// The camera.
        camera: String,
        /// What is known about it.
        reason: String,
    },
    /// All frame buffers are in use: the line runs faster than its pictures are judged.
    #[error("all frame buffers are in use")]
    Pool,
    /// The picture cannot be used.
    #[error("camera {camera} has no usable picture of piece {piece}")]
    Picture {
        /// The camera.
        camera: String,
        /// The piece.
        piece: PieceId,
        /// What is wrong with it.
        #[source]
        source: PictureError,
    },
}

impl CameraError {
    /// What the error means for the piece.
    #[must_use]
    pub const fn miss(&self) -> MissReason {
        match self {
            Self::Stale { .. } => MissReason::CameraStale,
            Self::Lost { .. } | Self::Picture { .. } => MissReason::CameraLost,
            Self::Pool => MissReason::QueueFull,
        }
    }
}

/// Faults that a simulated source can be told to have. The source itself misbehaves; nothing behind it knows.
#[derive(Debug, Default)]
pub struct CameraFaults {
    freeze: AtomicBool,
    lost: AtomicBool,
}

impl CameraFaults {
    /// From now on (or no longer) the source delivers its last picture again: same pixels, number and stamp.
    pub fn set_freeze(&self, on: bool) {
        self.freeze.store(on, Ordering::Relaxed);
    }

    /// From now on (or no longer) the source delivers nothing.
    pub fn set_lost(&self, on: bool) {
        self.lost.store(on, Ordering::Relaxed);
    }
}

/// One picture that is to be taken: of which piece, and under which number and stamp.
#[derive(Debug, Clone, Copy)]
struct Taking {
    piece: PieceId,
    number: u64,
    mono_micros: u64,
}

/// Counts a simulated source's frames, and does to them what its faults ask for.
struct Counter {
    faults: std::sync::Arc<CameraFaults>,
    clock: MonoClock,
    last: Option<Taking>,
}

impl Counter {
    fn new(faults: std::sync::Arc<CameraFaults>, clock: MonoClock) -> Self {
        Self { faults, clock, last: None }
    }

    fn next(&mut self, camera: &str, piece: PieceId) -> Result<Taking, CameraError> {
        if self.faults.lost.load(Ordering::Relaxed) {
            return Err(CameraError::Lost { camera: camera.to_owned(), reason: "the source was told to be lost".to_owned() });
        }
        if let Some(last) = self.last.filter(|_| self.faults.freeze.load(Ordering::Relaxed)) {
            return Ok(last);
        }
        let number = self.last.map_or(1, |last| last.number + 1);
        let taking = Taking { piece, number, mono_micros: (self.clock)() };
        self.last = Some(taking);
        Ok(taking)
    }
}
