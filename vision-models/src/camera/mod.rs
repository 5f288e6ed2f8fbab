//! Cameras: one picture per trigger, or the reason why there is none.
//!
//! Every source is an adapter behind `Camera`. A source is always wrapped in `Watched`, because real drivers may report
//! success with an old or an empty picture: such a frame never goes further.
//!
//! Devices (`live`) are held by a program of their own, `jidoka-camera`, which speaks `wire`. A driver may hang, crash or draw
//! two hundred libraries in: then its program is ended and started again, and the line goes on.

mod counters;
mod folder;
mod generated;
pub mod live;
mod replay;
mod watched;
pub mod wire;

pub use counters::{CameraCounters, CameraCounts};
pub use folder::{BoardFolder, FolderIndex};
pub use generated::GeneratedBoards;
pub use replay::Replay;
pub use watched::{STALE_MEMORY, Watched};

use crate::frame::{Frame, FramePool, MonoClock, PixelFormat};
use crate::picture::PictureError;
use crate::score::TruthBox;
use station::inspection::MissReason;
use station::piece::PieceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Something that takes a picture of the piece before it.
pub trait Camera: Send {
    /// The camera's name, as written in records.
    fn name(&self) -> &str;

    /// Takes the picture of `piece` into a buffer of `pool`. Blocks until the picture is there. A model may begin to look at
    /// it, but what it sees counts only once the picture was examined: [`Frame::is_sound`] waits for that.
    ///
    /// # Errors
    /// If there is no picture of this piece; `CameraError::miss` tells what that means for the piece.
    fn take(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError>;

    /// Looks whether the picture that was taken last is a new one and shows something, and tells the frame. It reads much of
    /// the picture, which is why it may be done while the model looks.
    ///
    /// # Errors
    /// If it is not: then there is no picture of this piece after all.
    fn examine(&mut self, _frame: &Frame) -> Result<(), CameraError> {
        Ok(())
    }

    /// Takes a picture and examines it.
    ///
    /// # Errors
    /// As both of them.
    fn grab(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        let frame = self.take(piece, pool)?;
        self.examine(&frame)?;
        Ok(frame)
    }

    /// A trigger that waited longer than this, in microseconds, is too old: the piece has moved on. `None` for sources that
    /// have a picture of every piece at any time.
    fn patience_micros(&self) -> Option<u64> {
        None
    }

    /// What became of its pictures, if it counts.
    fn counters(&self) -> Option<Arc<CameraCounters>> {
        None
    }
}

impl<C: Camera + ?Sized> Camera for Box<C> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn take(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        (**self).take(piece, pool)
    }

    fn examine(&mut self, frame: &Frame) -> Result<(), CameraError> {
        (**self).examine(frame)
    }

    fn patience_micros(&self) -> Option<u64> {
        (**self).patience_micros()
    }

    fn counters(&self) -> Option<Arc<CameraCounters>> {
        (**self).counters()
    }
}

/// What is wrong with the pieces, known beforehand. Only sources whose pieces are known have it; it is for reports alone.
pub trait GroundTruth: Send + Sync {
    /// The faults of a piece; empty for a good one.
    fn truth(&self, piece: PieceId) -> Vec<TruthBox>;
}

/// Size and format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How its bytes are to be read.
    pub format: PixelFormat,
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            PixelFormat::Mono8 => "mono8",
            PixelFormat::Rgb8 => "rgb8",
            PixelFormat::Bgr8 => "bgr8",
        };
        write!(f, "{}x{} {format}", self.width, self.height)
    }
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
    /// The camera answers, but not in time.
    #[error("camera {camera} delivered no picture within {millis} ms")]
    Late {
        /// The camera.
        camera: String,
        /// How long it had.
        millis: u64,
    },
    /// The picture shows nothing: dark, overexposed or covered.
    #[error(
        "camera {camera} delivered a picture with a contrast of {contrast}, less than {contrast_min}: no light, too much light, or a covered lens"
    )]
    Blank {
        /// The camera.
        camera: String,
        /// Grey levels between the darkest and the brightest hundredth.
        contrast: u8,
        /// What it should be at least.
        contrast_min: u8,
    },
    /// The picture has another size or format than was agreed.
    #[error("camera {camera} delivered {found}, and {expected} was expected")]
    Size {
        /// The camera.
        camera: String,
        /// What came.
        found: Layout,
        /// What should have come.
        expected: Layout,
    },
    /// The pictures of a frame set were not taken together.
    #[error("cameras {camera} took their pictures {micros} us apart, and {window_micros} us are allowed")]
    Apart {
        /// The cameras.
        camera: String,
        /// Time between the first and the last picture.
        micros: u64,
        /// How much it may be.
        window_micros: u64,
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
            Self::Lost { .. } | Self::Late { .. } | Self::Blank { .. } | Self::Size { .. } | Self::Apart { .. } | Self::Picture { .. } => {
                MissReason::CameraLost
            }
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
    faults: Arc<CameraFaults>,
    clock: MonoClock,
    last: Option<Taking>,
}

impl Counter {
    fn new(faults: Arc<CameraFaults>, clock: MonoClock) -> Self {
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
