//! The pictures thread: what people see of a frame, and the pictures that are evidence.
//!
//! Invariant: pictures never hold up a piece or a record: they arrive through a queue that sheds, and a picture that cannot
//! be written is counted and forgotten.

use crate::clock::Clock;
use crate::pipeline::see::chain;
use crate::store::images::Images;
use crossbeam::channel::Receiver;
use station::inspection::Inspection;
use station::judge::judge;
use station::piece::PieceId;
use station::recipe::Recipe;
use station::verdict::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vision_models::frame::Frame;
use web_ui::Picture;

/// Least time between two frames that are made for the page.
const PAGE_INTERVAL_MICROS: u64 = 150_000;
/// JPEG quality of evidence and page: boxes of two pixels stay visible.
const QUALITY: u8 = 85;

/// A frame that was looked at, and what was seen.
pub struct Looked {
    /// The piece.
    pub piece: PieceId,
    /// The frame.
    pub frame: Arc<Frame>,
    /// What was seen; `None` if the model did not judge.
    pub inspection: Option<Arc<Inspection>>,
    /// The PLC asks that the picture be kept whatever the verdict (JMAP `ForceRetain`).
    pub retain: bool,
}

/// The latest picture and the picture store.
pub struct Gallery {
    latest: Mutex<Latest>,
    making: Mutex<()>,
    for_page: bool,
    /// Pictures kept as evidence, by the digest of their pixels.
    pub images: Arc<Images>,
    /// Pictures that could not be kept.
    pub lost: AtomicU64,
}

/// The latest frame that people may see, and the picture of it once somebody has asked.
#[derive(Default)]
struct Latest {
    frame: Option<(PieceId, Arc<Frame>)>,
    picture: Option<Picture>,
}

impl Gallery {
    /// A gallery over a picture store; makes frames for the page only if there is one.
    #[must_use]
    pub fn new(images: Arc<Images>, for_page: bool) -> Self {
        Self { latest: Mutex::default(), making: Mutex::default(), for_page, images, lost: AtomicU64::new(0) }
    }

    /// The latest frame for the page. Its JPEG is made when it is first asked for, in the asking thread: most frames of a fast
    /// line are seen by nobody.
    #[must_use]
    pub fn latest(&self) -> Option<Picture> {
        // Who asks meanwhile waits for this one; frames go on arriving.
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = || self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = latest().frame.take();
        if let Some((piece, frame)) = taken {
            match frame.to_jpeg(QUALITY) {
                Ok(jpeg) => latest().picture = Some(Picture { piece, jpeg: jpeg.into() }),
                Err(error) => tracing::warn!(%piece, error = %chain(&error), "no picture was made"),
            }
        }
        latest().picture.clone()
    }

    /// Runs until nobody looks at frames any more. Keeps the frames of the verdicts in `keep`, and those the PLC asks for.
    pub fn run(&self, clock: Clock, recipe: &Recipe, keep: &[Verdict], looked: &Receiver<Looked>) {
        let mut last_page: Option<u64> = None;
        for Looked { piece, frame, inspection, retain } in looked {
            let verdict = inspection.as_ref().map_or(Verdict::Hold, |inspection| judge(recipe, inspection).verdict);
            let now = clock.mono_micros();
            // A bad piece is always shown: it is what the person at the page is looking for.
            let due = last_page.is_none_or(|last| now.saturating_sub(last) >= PAGE_INTERVAL_MICROS);
            let show = self.for_page && (verdict != Verdict::Pass || due);
            if retain || keep.contains(&verdict) {
                match frame.to_jpeg(QUALITY) {
                    Ok(jpeg) => self.keep(piece, &frame, &jpeg),
                    Err(error) => tracing::warn!(%piece, error = %chain(&error), "no picture was made"),
                }
            }
            if show {
                last_page = Some(now);
                self.latest.lock().unwrap_or_else(PoisonError::into_inner).frame = Some((piece, frame));
            }
        }
    }

    fn keep(&self, piece: PieceId, frame: &Frame, jpeg: &[u8]) {
        if let Err(error) = self.images.put(frame.digest(), jpeg)
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(%piece, error = %chain(&error), "a picture could not be kept; further ones are only counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::note::tests::setup;
    use crossbeam::channel::bounded;
    use vision_models::frame::{FramePool, PixelFormat, Shot};

    #[test]
    fn a_picture_is_kept_for_its_verdict_or_because_the_plc_asks() {
        let folder = tempfile::tempdir().unwrap();
        let images = Arc::new(Images::open(folder.path(), 1 << 20).unwrap());
        let gallery = Gallery::new(Arc::clone(&images), false);
        let recipe = setup().recipe;
        let pool = FramePool::new(4, 64);
        let (sender, looked) = bounded(4);
        let digests: Vec<_> = [(Verdict::Pass, false), (Verdict::Pass, true), (Verdict::Hold, false)]
            .into_iter()
            .zip(1_u8..)
            .map(|((verdict, retain), number)| {
                let mut blank = pool.take().unwrap();
                blank.bytes_mut().fill(number);
                let format = PixelFormat::Mono8;
                let shot = Shot { width: 8, height: 8, format, number: number.into(), mono_micros: 0, capture_micros: 0, golden: None };
                let frame = Frame::seal(blank, shot).unwrap();
                let (piece, image) = (PieceId(u32::from(number)), frame.digest());
                let clean = Inspection {
                    acquisition: 0,
                    piece,
                    camera: "cam0".into(),
                    frame: u64::from(number),
                    image,
                    width: 8,
                    height: 8,
                    model: Arc::clone(&recipe.model),
                    findings: Vec::new(),
                    measurements: Vec::new(),
                    micros: station::inspection::StageMicros::default(),
                };
                let inspection = (verdict == Verdict::Pass).then(|| Arc::new(clean));
                sender.send(Looked { piece, frame: Arc::new(frame), inspection, retain }).unwrap();
                image
            })
            .collect();
        drop(sender);
        gallery.run(Clock::new(), &recipe, &[Verdict::Hold], &looked);
        let kept: Vec<bool> = digests.iter().map(|digest| images.get(*digest).is_ok()).collect();
        assert_eq!(kept, [false, true, true], "a pass, a pass that the PLC asks for, a hold");
    }

    #[test]
    fn the_page_s_picture_is_made_when_somebody_asks_and_gives_its_frame_back() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::new(Arc::new(Images::open(folder.path(), 1 << 20).unwrap()), true);
        let recipe = setup().recipe;
        let pool = FramePool::new(2, 64);
        let (sender, looked) = bounded(4);
        let shot =
            |number| Shot { width: 8, height: 8, format: PixelFormat::Mono8, number, mono_micros: 0, capture_micros: 0, golden: None };
        for number in [1, 2] {
            let frame = Arc::new(Frame::seal(pool.take().unwrap(), shot(number)).unwrap());
            sender.send(Looked { piece: PieceId(u32::try_from(number).unwrap()), frame, inspection: None, retain: false }).unwrap();
        }
        drop(sender);
        assert!(gallery.latest().is_none());
        gallery.run(Clock::new(), &recipe, &[], &looked);
        assert_eq!(pool.free(), 1, "the second is kept for whoever asks");
        let picture = gallery.latest().unwrap();
        assert_eq!((picture.piece, pool.free()), (PieceId(2), 2));
        assert!(picture.jpeg.starts_with(&[0xFF, 0xD8]));
        assert_eq!(gallery.latest().unwrap().piece, PieceId(2), "it stays until the next one");
    }
}
