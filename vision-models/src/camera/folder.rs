//! A camera that replays a folder of board pictures, each with its golden picture and its known faults.
//!
//! The folder has the layout of DeepPCB's training part: `index.csv` (a header, then `NAME,GROUP` per line) gives the
//! order, `images/NAME_test.jpg` is the piece, `images/NAME_temp.jpg` its golden board, `labels/NAME.txt` one fault per
//! line: `x1 y1 x2 y2 class`. Piece 1 is the first picture; after the last one it starts again.

use super::{Camera, CameraError, CameraFaults, Counter, GroundTruth, STALE_MEMORY};
use crate::frame::{Frame, FramePool, MonoClock, PixelFormat, Shot};
use crate::picture::{Picture, PictureError, decode_jpeg_into, read_bytes};
use crate::score::TruthBox;
use station::inspection::{ClassId, PixelBox};
use station::piece::PieceId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The pictures of a folder and what is known about them. Shareable; the truth of a piece comes from here.
#[derive(Debug)]
pub struct FolderIndex {
    folder: PathBuf,
    names: Vec<String>,
    truths: Vec<Vec<TruthBox>>,
}

impl FolderIndex {
    fn position(&self, piece: PieceId) -> usize {
        let count = u64::try_from(self.names.len()).unwrap_or(u64::MAX).max(1);
        usize::try_from((u64::from(piece.0) + count - 1) % count).unwrap_or(0)
    }

    fn image(&self, piece: PieceId, kind: &str) -> PathBuf {
        self.folder.join("images").join(format!("{}_{kind}.jpg", self.names[self.position(piece)]))
    }
}

impl GroundTruth for FolderIndex {
    fn truth(&self, piece: PieceId) -> Vec<TruthBox> {
        self.truths[self.position(piece)].clone()
    }
}

/// Replays the pictures of a folder, one per trigger.
pub struct BoardFolder {
    name: String,
    index: Arc<FolderIndex>,
    counter: Counter,
    clock: MonoClock,
}

impl BoardFolder {
    /// Reads the index and all labels of `folder`; pictures are read when they are triggered.
    ///
    /// # Errors
    /// If a file is missing or a line of it cannot be understood (the error names both), or if there are so few pictures
    /// that a repeated one would look like a stale frame.
    pub fn open(name: &str, folder: &Path, faults: Arc<CameraFaults>, clock: MonoClock) -> Result<Self, PictureError> {
        let list = folder.join("index.csv");
        let names = parse_index(&list, &read_text(&list)?)?;
        let mut truths = Vec::with_capacity(names.len());
        for name in &names {
            let path = folder.join("labels").join(format!("{name}.txt"));
            truths.push(parse_labels(&path, &read_text(&path)?)?);
        }
        let index = Arc::new(FolderIndex { folder: folder.to_owned(), names, truths });
        Ok(Self { name: name.to_owned(), index, counter: Counter::new(faults, Arc::clone(&clock)), clock })
    }

    /// How many different pictures there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.index.names.len()
    }

    /// What is known about the pieces.
    #[must_use]
    pub fn index(&self) -> Arc<FolderIndex> {
        Arc::clone(&self.index)
    }

    /// Bytes a frame buffer needs for the first picture of the folder.
    ///
    /// # Errors
    /// If that picture cannot be read.
    pub fn frame_bytes(&self) -> Result<usize, PictureError> {
        Picture::read(&self.index.image(PieceId(1), "test")).map(|picture| picture.pixels().len())
    }

    fn read(&self, piece: PieceId, out: &mut [u8]) -> Result<(u32, u32, Picture), PictureError> {
        let path = self.index.image(piece, "test");
        let (width, height) = decode_jpeg_into(&path.display().to_string(), &read_bytes(&path)?, out)?;
        let golden = Picture::read(&self.index.image(piece, "temp"))?;
        if (golden.width(), golden.height()) != (width, height) {
            let why = format!("it has {width}x{height} pixels and its golden board {}x{}", golden.width(), golden.height());
            return Err(PictureError::Content { what: path.display().to_string(), why });
        }
        Ok((width, height, golden))
    }
}

impl Camera for BoardFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        let start = (self.clock)();
        let taking = self.counter.next(&self.name, piece)?;
        let mut blank = pool.take().ok_or(CameraError::Pool)?;
        let picture = |source| CameraError::Picture { camera: self.name.clone(), piece, source };
        let (width, height, golden) = self.read(taking.piece, blank.bytes_mut()).map_err(picture)?;
        let shot = Shot {
            width,
            height,
            format: PixelFormat::Mono8,
            number: taking.number,
            mono_micros: taking.mono_micros,
            capture_micros: (self.clock)().saturating_sub(start),
            golden: Some(Arc::new(golden)),
        };
        Frame::seal(blank, shot).map_err(picture)
    }
}

fn read_text(path: &Path) -> Result<String, PictureError> {
    std::fs::read_to_string(path).map_err(|source| PictureError::File { path: path.to_owned(), source })
}

fn parse_index(path: &Path, text: &str) -> Result<Vec<String>, PictureError> {
    let content = |why: String| PictureError::Content { what: path.display().to_string(), why };
    let mut names = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let name = line.split(',').next().unwrap_or("").trim();
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(content(format!("line {} names no picture: {line:?}", number + 1)));
        }
        names.push(name.to_owned());
    }
    if names.len() <= STALE_MEMORY {
        let least = STALE_MEMORY + 1;
        return Err(content(format!("it lists {} pictures; with fewer than {least} a repeated one would count as stale", names.len())));
    }
    Ok(names)
}

fn parse_labels(path: &Path, text: &str) -> Result<Vec<TruthBox>, PictureError> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let mut side = || fields.next()?.parse::<f32>().ok().filter(|value| value.is_finite());
        let bounds = PixelBox { x1: side()?, y1: side()?, x2: side()?, y2: side()? };
        let class = fields.next()?.parse().ok().filter(|class| *class > 0)?;
        let whole = fields.next().is_none() && bounds.x1 < bounds.x2 && bounds.y1 < bounds.y2;
        whole.then_some(TruthBox { class: ClassId(class), bounds })
    };
    let mut truth = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let why = || format!("line {} is not `x1 y1 x2 y2 class`: {line:?}", number + 1);
        truth.push(parse(line).ok_or_else(|| PictureError::Content { what: path.display().to_string(), why: why() })?);
    }
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn clock() -> MonoClock {
        let now = AtomicU64::new(0);
        Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
    }

    /// Seventeen small boards with one fault each.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        fs::create_dir(folder.path().join("labels")).unwrap();
        let mut index = "name,group\n".to_owned();
        for n in 0..17_u8 {
            let golden = Picture::new(16, 8, vec![255; 128]).unwrap();
            let test = Picture::new(16, 8, vec![n * 10; 128]).unwrap();
            fs::write(folder.path().join(format!("images/b{n}_temp.jpg")), golden.to_jpeg(95).unwrap()).unwrap();
            fs::write(folder.path().join(format!("images/b{n}_test.jpg")), test.to_jpeg(95).unwrap()).unwrap();
            fs::write(folder.path().join(format!("labels/b{n}.txt")), format!("1 2 {} 8 5\n", n + 3)).unwrap();
            index.push_str(&format!("b{n},g\n"));
        }
        fs::write(folder.path().join("index.csv"), index).unwrap();
        folder
    }

    fn open(folder: &Path) -> Result<BoardFolder, PictureError> {
        BoardFolder::open("cam0", folder, Arc::new(CameraFaults::default()), clock())
    }

    #[test]
    fn pieces_come_in_the_order_of_the_index_and_start_again() {
        let folder = folder();
        let mut camera = open(folder.path()).unwrap();
        let pool = FramePool::new(1, camera.frame_bytes().unwrap());
        for (piece, grey) in [(1_u32, 0_u8), (3, 20), (17, 160), (18, 0)] {
            let frame = camera.grab(PieceId(piece), &pool).unwrap();
            assert_eq!((frame.width(), frame.height(), frame.golden().unwrap().pixels()[0]), (16, 8, 255));
            assert!(frame.pixels()[64].abs_diff(grey) < 4, "piece {piece}: {}", frame.pixels()[64]);
        }
        let truth = camera.index().truth(PieceId(18));
        assert_eq!(truth, [TruthBox { class: ClassId(5), bounds: PixelBox { x1: 1.0, y1: 2.0, x2: 3.0, y2: 8.0 } }]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let folder = folder();
        let label = folder.path().join("labels/b7.txt");
        fs::write(&label, "1 2 9 8 5\n1 2 0 8 5\n").unwrap();
        let text = open(folder.path()).err().unwrap().to_string();
        assert!(text.contains("b7.txt") && text.contains("line 2"), "{text}");
        fs::remove_file(&label).unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("b7.txt"));
        fs::write(folder.path().join("index.csv"), "name,group\nb0,g\n").unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("17"));
    }

    #[test]
    fn a_picture_that_is_gone_is_a_lost_piece() {
        let folder = folder();
        let mut camera = open(folder.path()).unwrap();
        let pool = FramePool::new(1, 128);
        fs::remove_file(folder.path().join("images/b1_test.jpg")).unwrap();
        let error = camera.grab(PieceId(2), &pool).unwrap_err();
        assert_eq!(error.miss(), station::inspection::MissReason::CameraLost);
        assert_eq!(pool.free(), 1);
    }
}
