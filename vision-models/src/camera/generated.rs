//! A camera above a line of drawn boards.

use super::{Camera, CameraError, CameraFaults, Counter, GroundTruth};
use crate::boards::{BOARD_SIDE, Boards, SIDE};
use crate::frame::{Frame, FramePool, MonoClock, PixelFormat, Shot};
use crate::picture::PictureError;
use crate::score::TruthBox;
use station::piece::PieceId;
use std::sync::Arc;

/// Draws the board of each piece when it is triggered.
pub struct GeneratedBoards {
    name: String,
    boards: Arc<Boards>,
    counter: Counter,
    clock: MonoClock,
}

impl GeneratedBoards {
    /// A camera called `name` that sees `boards`; `clock` stamps its frames.
    #[must_use]
    pub fn new(name: &str, boards: Arc<Boards>, faults: Arc<CameraFaults>, clock: MonoClock) -> Self {
        Self { name: name.to_owned(), boards, counter: Counter::new(faults, Arc::clone(&clock)), clock }
    }

    /// Bytes a frame buffer needs.
    #[must_use]
    pub const fn frame_bytes() -> usize {
        SIDE * SIDE
    }

    fn error(&self, piece: PieceId, source: PictureError) -> CameraError {
        CameraError::Picture { camera: self.name.clone(), piece, source }
    }
}

impl Camera for GeneratedBoards {
    fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        let start = (self.clock)();
        let taking = self.counter.next(&self.name, piece)?;
        let mut blank = pool.take().ok_or(CameraError::Pool)?;
        self.boards.draw(taking.piece, blank.bytes_mut());
        let shot = Shot {
            width: BOARD_SIDE,
            height: BOARD_SIDE,
            format: PixelFormat::Mono8,
            number: taking.number,
            mono_micros: taking.mono_micros,
            capture_micros: (self.clock)().saturating_sub(start),
            golden: Some(Arc::clone(self.boards.golden(taking.piece))),
        };
        Frame::seal(blank, shot).map_err(|source| self.error(piece, source))
    }
}

impl GroundTruth for Boards {
    fn truth(&self, piece: PieceId) -> Vec<TruthBox> {
        Self::truth(self, piece)
    }
}
