//! The pictures thread: what people see of a frame, and the pictures that are evidence.
//!
//! Invariant: pictures never hold up a piece or a record: they arrive through a queue that sheds, and a picture that cannot
//! be written is counted and forgotten.

use crate::clock::Clock;
use crate::pipeline::see::chain;
use crate::store::images::Images;
use crossbeam::channel::Receiver;
use station::inspection::Inspection;
use station::judge::glance;
use station::piece::PieceId;
use station::recipe::Recipe;
use station::verdict::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vision_models::frame::Frame;
use web_ui::Picture;

/// Least time between two pictures that are made for the page: it asks no more often.
const PAGE_INTERVAL_MICROS: u64 = 250_000;
/// Pixels of the longer side of a picture for the page: as many as a screen has for it.
const PAGE_SIDE_MAX: u32 = 1280;
/// JPEG quality of evidence and page: boxes of two pixels stay visible.
const QUALITY: u8 = 85;

/// A frame that was looked at, and what was seen.
pub struct Looked {
    /// The piece.
    pub piece: PieceId,
    /// The frame.
    pub frame: Frame,
    /// What was seen; `None` if the model did not judge.
    pub inspection: Option<Arc<Inspection>>,
    /// The PLC asks that the picture be kept whatever the verdict (JMAP `ForceRetain`).
    pub retain: bool,
    /// The camera, where several form a frame set.
    pub camera: Option<Arc<str>>,
    /// True for the only camera and for the first of a frame set: the one that people see while nothing is wrong.
    pub is_first: bool,
}

/// The latest picture and the picture store.
pub struct Gallery {
    latest: Mutex<Latest>,
    making: Mutex<()>,
    for_page: bool,
    clock: Clock,
    /// Pictures kept as evidence, by the digest of their pixels.
    pub images: Arc<Images>,
    /// Pictures that could not be kept.
    pub lost: AtomicU64,
}

/// The latest frame that people may see, and the picture of it once somebody has asked.
#[derive(Default)]
struct Latest {
    frame: Option<(PieceId, Option<Arc<str>>, Frame)>,
    /// Not a pass: it waits for the page until it was seen.
    is_bad: bool,
    picture: Option<Picture>,
    /// When the picture was made.
    made_at: Option<u64>,
}

impl Gallery {
    /// A gallery over a picture store; makes frames for the page only if there is one.
    #[must_use]
    pub fn new(images: Arc<Images>, for_page: bool, clock: Clock) -> Self {
        Self { latest: Mutex::default(), making: Mutex::default(), for_page, clock, images, lost: AtomicU64::new(0) }
    }

    /// The latest frame for the page. Its JPEG is made when it is asked for, in the asking thread and not more often than people
    /// see: most frames of a fast line are seen by nobody. A bad piece is what they look for, so it is not overtaken by a good one.
    #[must_use]
    pub fn latest(&self) -> Option<Picture> {
        // Who asks meanwhile waits for this one; frames go on arriving.
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.mono_micros();
        let taken = {
            let mut latest = self.latest_frame();
            let due = latest.made_at.is_none_or(|made| now.saturating_sub(made) >= PAGE_INTERVAL_MICROS);
            due.then(|| latest.frame.take()).flatten()
        };
        if let Some((piece, camera, frame)) = taken {
            match frame.to_small_jpeg(QUALITY, PAGE_SIDE_MAX) {
                Ok((jpeg, shrink)) => {
                    let mut latest = self.latest_frame();
                    (latest.picture, latest.made_at) = (Some(Picture { piece, camera, jpeg: jpeg.into(), shrink }), Some(now));
                }
                Err(error) => tracing::warn!(%piece, error = %chain(&error), "no picture was made"),
            }
        }
        self.latest_frame().picture.clone()
    }

    fn latest_frame(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until nobody looks at frames any more. Keeps the frames of the verdicts in `keep`, and those the PLC asks for. Of a
    /// frame set each picture is taken by what its own camera saw.
    pub fn run(&self, recipe: &Recipe, keep: &[Verdict], looked: &Receiver<Looked>) {
        for Looked { piece, frame, inspection, retain, camera, is_first } in looked {
            let verdict = inspection.as_ref().map_or(Verdict::Hold, |inspection| glance(recipe, inspection));
            if retain || keep.contains(&verdict) {
                match frame.to_jpeg(QUALITY) {
                    Ok(jpeg) => self.keep(piece, &frame, &jpeg),
                    Err(error) => tracing::warn!(%piece, error = %chain(&error), "no picture was made"),
                }
            }
            let mut latest = self.latest_frame();
            let is_bad = verdict != Verdict::Pass;
            if self.for_page && (is_bad || (is_first && (!latest.is_bad || latest.frame.is_none()))) {
                (latest.frame, latest.is_bad) = (Some((piece, camera, frame)), is_bad);
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
    use station::units::Digest;
    use vision_models::frame::{FramePool, PixelFormat, Shot};

    /// What is seen of a piece without a fault.
    fn clean(recipe: &Recipe, piece: PieceId, image: Digest) -> Arc<Inspection> {
        Arc::new(Inspection {
            acquisition: 0,
            piece,
            camera: "cam0".into(),
            frame: u64::from(piece.0),
            image,
            width: 8,
            height: 8,
            model: Arc::clone(&recipe.model),
            findings: Vec::new(),
            measurements: Vec::new(),
            micros: station::inspection::StageMicros::default(),
            views: Vec::new(),
        })
    }

    #[test]
    fn a_picture_is_kept_for_its_verdict_or_because_the_plc_asks() {
        let folder = tempfile::tempdir().unwrap();
        let images = Arc::new(Images::open(folder.path(), 1 << 20).unwrap());
        let gallery = Gallery::new(Arc::clone(&images), false, Clock::new());
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
                let inspection = (verdict == Verdict::Pass).then(|| clean(&recipe, piece, image));
                sender.send(Looked { piece, frame, inspection, retain, camera: None, is_first: true }).unwrap();
                image
            })
            .collect();
        drop(sender);
        gallery.run(&recipe, &[Verdict::Hold], &looked);
        let kept: Vec<bool> = digests.iter().map(|digest| images.get(*digest).is_ok()).collect();
        assert_eq!(kept, [false, true, true], "a pass, a pass that the PLC asks for, a hold");
    }

    #[test]
    fn the_page_s_picture_is_made_when_somebody_asks_and_gives_its_frame_back() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::new(Arc::new(Images::open(folder.path(), 1 << 20).unwrap()), true, Clock::new());
        let recipe = setup().recipe;
        let pool = FramePool::new(3, 64);
        let (sender, looked) = bounded(4);
        let shot =
            |number| Shot { width: 8, height: 8, format: PixelFormat::Mono8, number, mono_micros: 0, capture_micros: 0, golden: None };
        for (number, is_good) in [(1, true), (2, false), (3, true)] {
            let frame = Frame::seal(pool.take().unwrap(), shot(number)).unwrap();
            let piece = PieceId(u32::try_from(number).unwrap());
            let inspection = is_good.then(|| clean(&recipe, piece, frame.digest()));
            sender.send(Looked { piece, frame, inspection, retain: false, camera: None, is_first: true }).unwrap();
        }
        drop(sender);
        assert!(gallery.latest().is_none());
        gallery.run(&recipe, &[], &looked);
        assert_eq!(pool.free(), 2, "one is kept for whoever asks");
        let picture = gallery.latest().unwrap();
        assert_eq!((picture.piece, pool.free()), (PieceId(2), 3), "the bad piece, which the good one did not overtake");
        assert!(picture.jpeg.starts_with(&[0xFF, 0xD8]));
        assert_eq!(gallery.latest().unwrap().piece, PieceId(2), "it stays until the next one");
    }
}
