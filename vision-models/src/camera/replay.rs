//! Pictures that were read into memory before the line started, one after the other, again and again: the pace and the cost of
//! a camera without the camera. For measuring, and for showing a line on pictures of one's own.
//!
//! Invariants: no picture is copied (each has a buffer of its own that comes back to it); numbers and stamps are those of a
//! camera, so that nothing behind can tell.

use super::{Camera, CameraError};
use crate::frame::{Frame, FramePool, MonoClock, PixelFormat, Shot};
use crate::picture::{self, PictureError};
use station::piece::PieceId;
use std::path::{Path, PathBuf};

/// A picture in the buffer that is its own.
struct Kept {
    pool: FramePool,
    width: u32,
    height: u32,
    format: PixelFormat,
}

/// Replays the pictures of a folder.
pub struct Replay {
    name: String,
    pictures: Vec<Kept>,
    names: Vec<PathBuf>,
    clock: MonoClock,
    taken: u64,
    by_piece: bool,
}

impl Replay {
    /// Reads all PNG and JPEG files of `folder` in the order of the last part of their names after `_` (so that `good_0001` comes
    /// before `bad_0002`). At most 4 gigabytes of pixels.
    ///
    /// # Errors
    /// If there is none, or one that cannot be read.
    pub fn open(name: &str, folder: &Path, clock: MonoClock) -> Result<Self, PictureError> {
        let file = |source| PictureError::File { path: folder.to_owned(), source };
        let entries = std::fs::read_dir(folder).map_err(file)?.collect::<Result<Vec<_>, _>>().map_err(file)?;
        let is_picture = |path: &PathBuf| path.extension().and_then(|kind| kind.to_str()).is_some_and(|kind| matches!(kind, "png" | "jpg"));
        let mut names: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_picture).collect();
        names.sort_by_key(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            (stem.rsplit('_').next().unwrap_or_default().to_owned(), stem)
        });
        if names.is_empty() {
            return Err(PictureError::Content { what: folder.display().to_string(), why: "it holds no .png and no .jpg".to_owned() });
        }
        let mut pictures = Vec::with_capacity(names.len());
        for path in &names {
            let (format, width, height, pixels) = picture::read_pixels(path)?;
            let pool = FramePool::new(1, pixels.len());
            if let Some(mut blank) = pool.take() {
                blank.bytes_mut().copy_from_slice(&pixels);
            }
            pictures.push(Kept { pool, width, height, format });
        }
        Ok(Self { name: name.to_owned(), pictures, names, clock, taken: 0, by_piece: false })
    }

    /// The same, and each piece has the picture of its own number, piece 1 the first: cameras of a frame set that look at the
    /// same pieces keep step, even if one of them leaves a piece out.
    #[must_use]
    pub const fn by_piece(mut self) -> Self {
        self.by_piece = true;
        self
    }

    /// The files, in the order in which they are shown.
    #[must_use]
    pub fn names(&self) -> &[PathBuf] {
        &self.names
    }
}

impl Camera for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, piece: PieceId, _: &FramePool) -> Result<Frame, CameraError> {
        let count = u64::try_from(self.pictures.len()).unwrap_or(1);
        let turn = if self.by_piece { u64::from(piece.0) + count - 1 } else { self.taken };
        let index = usize::try_from(turn % count).unwrap_or(0);
        self.taken += 1;
        let Kept { pool, width, height, format } = &self.pictures[index];
        let blank = pool.take().ok_or(CameraError::Pool)?;
        let (width, height, format, number) = (*width, *height, *format, self.taken);
        let shot = Shot { width, height, format, number, mono_micros: (self.clock)(), capture_micros: 0, golden: None };
        let lost = |source: PictureError| CameraError::Lost { camera: self.name.clone(), reason: source.to_string() };
        Frame::seal(blank, shot).map_err(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Picture;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn pictures_come_in_order_without_a_copy_and_not_while_somebody_still_looks() {
        let folder = tempfile::tempdir().unwrap();
        for (name, level) in [("bad_0002.png", 2), ("good_0001.png", 1)] {
            Picture::new(4, 2, vec![level; 8]).unwrap().write_png(&folder.path().join(name)).unwrap();
        }
        let time = Arc::new(AtomicU64::new(0));
        let clock: MonoClock = Arc::new(move || time.fetch_add(1, Ordering::Relaxed));
        let mut camera = Replay::open("cam0", folder.path(), clock).unwrap();
        let pool = FramePool::new(0, 0);
        let first = camera.grab(PieceId(1), &pool).unwrap();
        let second = camera.grab(PieceId(2), &pool).unwrap();
        assert_eq!((first.pixels()[0], second.pixels()[0], second.number()), (1, 2, 2));
        assert_eq!(first.format(), PixelFormat::Mono8);
        let place = first.pixels().as_ptr();
        assert!(matches!(camera.grab(PieceId(3), &pool), Err(CameraError::Pool)), "the first is still looked at");
        drop((first, second));
        camera.grab(PieceId(4), &pool).unwrap();
        assert_eq!(camera.grab(PieceId(5), &pool).unwrap().pixels().as_ptr(), place);
        let mut camera = camera.by_piece();
        let levels = [8, 11, 13].map(|piece| camera.grab(PieceId(piece), &pool).unwrap().pixels()[0]);
        assert_eq!(levels, [2, 1, 1], "of an even piece the second, whatever was left out");
        let empty = tempfile::tempdir().unwrap();
        assert!(Replay::open("cam0", empty.path(), Arc::new(|| 0)).err().unwrap().to_string().contains("no .png"));
    }
}
