//! What became of a camera's pictures, for people: the page, `jidoka doctor` and the log.

use super::CameraError;
use serde::Serialize;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts since the start. Shared by who counts and who shows.
#[derive(Debug, Default)]
pub struct CameraCounters {
    frames: AtomicU64,
    pieces: AtomicU64,
    missed: AtomicU64,
    stale: AtomicU64,
    late: AtomicU64,
    unusable: AtomicU64,
    reconnects: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// One look at the counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CameraCounts {
    /// Pictures that the device delivered.
    pub frames: u64,
    /// Pieces that got a picture.
    pub pieces: u64,
    /// Pieces that got none, for whatever reason; each of them is a hold.
    pub missed: u64,
    /// Of those, the picture was seen before.
    pub stale: u64,
    /// Of those, none came before the deadline.
    pub late: u64,
    /// Of those, the picture was blank, or of another size or format.
    pub unusable: u64,
    /// How often the device was opened again.
    pub reconnects: u64,
    /// Why the device is away, if it is.
    pub trouble: Option<String>,
}

impl CameraCounters {
    pub(super) fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn miss(&self, error: &CameraError) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        let of = match error {
            CameraError::Stale { .. } => &self.stale,
            CameraError::Late { .. } => &self.late,
            CameraError::Blank { .. } | CameraError::Size { .. } | CameraError::Picture { .. } => &self.unusable,
            CameraError::Lost { .. } | CameraError::Apart { .. } | CameraError::Pool => return,
        };
        of.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_trouble(&self, trouble: Option<&str>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.map(ToOwned::to_owned);
    }

    /// The counts now.
    #[must_use]
    pub fn look(&self) -> CameraCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CameraCounts {
            frames: of(&self.frames),
            pieces: of(&self.pieces),
            missed: of(&self.missed),
            stale: of(&self.stale),
            late: of(&self.late),
            unusable: of(&self.unusable),
            reconnects: of(&self.reconnects),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl fmt::Display for CameraCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pictures for {} pieces", self.frames, self.pieces)?;
        let causes = [(self.missed, "missed"), (self.stale, "stale"), (self.late, "late"), (self.unusable, "unusable")];
        for (count, what) in causes.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if self.reconnects > 0 {
            write!(f, ", opened again {} times", self.reconnects)?;
        }
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, "; away: {trouble}"))
    }
}
