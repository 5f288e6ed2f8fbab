//! The pictures thread: what people see of a frame, and the pictures that are evidence.
//!
//! Whether a picture is kept, and as what, is decided when its piece is closed: a frame waits for that, a few at most. What comes
//! first, frame or closing, is chance; both are remembered for a while.
//!
//! Invariant: pictures never hold up a piece or a record: they arrive through a queue that sheds, and a picture that cannot
//! be written is counted and forgotten.

use crate::clock::Clock;
use crate::pipeline::WAITING;
use crate::pipeline::see::chain;
use crate::store::images::policy::{Class, Retention};
use crate::store::images::shelf::Tag;
use crate::store::images::{ImageError, Images};
use crossbeam::channel::{Receiver, never, select};
use station::inspection::Inspection;
use station::judge::glance;
use station::piece::PieceId;
use station::recipe::Recipe;
use station::record::{Body, Entry};
use station::verdict::Verdict;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// The number of its picture, which tells pieces of one number apart.
    pub acquisition: u16,
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
    /// True once a picture was not kept because others are worth more.
    crowded: AtomicBool,
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
        Self {
            latest: Mutex::default(),
            making: Mutex::default(),
            for_page,
            clock,
            images,
            lost: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
        }
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

    /// Runs until nobody looks at frames any more. Keeps the frames of pieces as they were closed, and those the PLC asks for.
    pub fn run(&self, recipe: &Recipe, looked: &Receiver<Looked>, mut closed: Receiver<Arc<Entry>>) {
        let mut desk = Desk::default();
        let mut looked = looked.clone();
        let (mut are_looking, mut are_closing) = (true, true);
        // The last pieces are closed after the last frame was looked at.
        while are_looking || (are_closing && !desk.waiting.is_empty()) {
            select! {
                recv(looked) -> frame => match frame {
                    Ok(frame) => self.arrives(recipe, frame, &mut desk),
                    Err(_) => (looked, are_looking) = (never(), false),
                },
                recv(closed) -> entry => match entry {
                    Ok(entry) => self.closes(recipe, &entry, &mut desk),
                    Err(_) => (closed, are_closing) = (never(), false),
                },
            }
        }
        for frame in std::mem::take(&mut desk.waiting) {
            self.keep_by_itself(recipe, &frame);
        }
    }

    fn arrives(&self, recipe: &Recipe, frame: Looked, desk: &mut Desk) {
        self.show(recipe, &frame);
        if let Some(closed) = desk.closed.iter().rev().find(|closed| closed.is(&frame)) {
            self.keep(&frame, closed.tag);
            return;
        }
        let of_it = |waiting: &Looked| waiting.camera == frame.camera;
        if desk.waiting.iter().filter(|waiting| of_it(waiting)).count() >= WAITING
            && let Some(oldest) = desk.waiting.iter().position(of_it).and_then(|at| desk.waiting.remove(at))
        {
            self.keep_by_itself(recipe, &oldest);
        }
        desk.waiting.push_back(frame);
    }

    fn closes(&self, recipe: &Recipe, entry: &Entry, desk: &mut Desk) {
        let Body::Piece(record) = &entry.body else { return };
        let tag = self.images.retention().class_of(recipe, record).map(|class| Tag::of(class, record));
        let closed = Closed { piece: record.arrival.piece, acquisition: record.arrival.acquisition, tag };
        let (its, others) = std::mem::take(&mut desk.waiting).into_iter().partition(|frame| closed.is(frame));
        desk.waiting = others;
        for frame in &its as &VecDeque<Looked> {
            self.keep(frame, tag);
        }
        desk.closed.push_back(closed);
        if desk.closed.len() > CLOSED_MAX {
            desk.closed.pop_front();
        }
    }

    /// Nobody says what became of its piece: what was seen in it decides, and no record is named.
    fn keep_by_itself(&self, recipe: &Recipe, frame: &Looked) {
        let kept = self.images.retention();
        let class = match (frame.verdict(recipe), &frame.inspection) {
            (Verdict::Pass, Some(inspection)) if kept.of(Class::LowConfidence).kept && kept.is_unsure(recipe, inspection) => {
                Class::LowConfidence
            }
            (verdict, _) => Retention::by_verdict(verdict),
        };
        self.keep(frame, (kept.of(class).kept || frame.retain).then(|| Tag::nobodys(class)));
    }

    fn keep(&self, looked: &Looked, tag: Option<Tag>) {
        let Some(tag) = tag else { return };
        let piece = looked.piece;
        let jpeg = match looked.frame.to_jpeg(QUALITY) {
            Ok(jpeg) => jpeg,
            Err(error) => return tracing::warn!(%piece, error = %chain(&error), "no picture was made"),
        };
        match self.images.put(looked.frame.digest(), &jpeg, tag, self.clock.now()) {
            Ok(()) => {}
            // As the settings say: the room is full of what is worth more. Only what a hold crowds out is lost.
            Err(error @ ImageError::NoRoom { held: 0, .. }) => {
                if !self.crowded.swap(true, Ordering::Relaxed) {
                    let mend = "give the classes that go after it a bytes_max under [images], or raise keep_bytes_max";
                    tracing::warn!(%piece, error = %chain(&error), mend, "a picture was not kept; further ones are not told");
                }
            }
            Err(error) => {
                if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(%piece, error = %chain(&error), "a picture could not be kept; further ones are only counted");
                }
            }
        }
    }

    fn show(&self, recipe: &Recipe, looked: &Looked) {
        let is_bad = looked.verdict(recipe) != Verdict::Pass;
        let mut latest = self.latest_frame();
        if self.for_page && (is_bad || (looked.is_first && (!latest.is_bad || latest.frame.is_none()))) {
            (latest.frame, latest.is_bad) = (Some((looked.piece, looked.camera.clone(), looked.frame.clone())), is_bad);
        }
    }
}

impl Looked {
    /// What this picture says by itself.
    fn verdict(&self, recipe: &Recipe) -> Verdict {
        self.inspection.as_ref().map_or(Verdict::Hold, |inspection| glance(recipe, inspection))
    }
}

/// Closed pieces that are remembered: as many as may be open at one time, and more.
const CLOSED_MAX: usize = 64;

/// What the thread has before it.
#[derive(Default)]
struct Desk {
    /// Frames whose pieces are not closed.
    waiting: VecDeque<Looked>,
    /// Pieces that were closed lately.
    closed: VecDeque<Closed>,
}

/// A piece that was closed, and as what its pictures are kept.
struct Closed {
    piece: PieceId,
    acquisition: u16,
    tag: Option<Tag>,
}

impl Closed {
    fn is(&self, frame: &Looked) -> bool {
        (self.piece, self.acquisition) == (frame.piece, frame.acquisition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::note::tests::setup;
    use crate::store::images::Fate;
    use crossbeam::channel::bounded;
    use station::piece::Arrival;
    use station::record::{EntryNumber, PieceRecord};
    use station::units::{Digest, Timestamp};
    use station::verdict::Judgement;
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

    /// A frame that shows nothing but its number.
    fn frame(pool: &FramePool, number: u8) -> Frame {
        let mut blank = pool.take().unwrap();
        blank.bytes_mut().fill(number);
        let shot = Shot {
            width: 8,
            height: 8,
            format: PixelFormat::Mono8,
            number: number.into(),
            mono_micros: 0,
            capture_micros: 0,
            golden: None,
        };
        Frame::seal(blank, shot).unwrap()
    }

    /// The closing of a piece of which nothing bad was seen.
    fn closing(recipe: &Recipe, number: u8, verdict: Verdict, retain: bool, image: Digest) -> Arc<Entry> {
        let piece = PieceId(number.into());
        let arrival = Arrival {
            piece,
            serial: Some(format!("SN{number}")),
            lot: 4,
            encoder: station::units::EncoderCount(0),
            acquisition: 0,
            golden: false,
            retain,
            user_data: Vec::new(),
        };
        let body = Body::Piece(Box::new(PieceRecord {
            result_id: 100 + u64::from(number),
            arrival,
            arrived_at: Timestamp::default(),
            inspection: (verdict != Verdict::Hold).then(|| clean(recipe, piece, image)),
            judgement: Judgement { verdict, reasons: Vec::new(), grade: 1 },
            rubric_version: 1,
            readings: Vec::new(),
            points: Vec::new(),
            made_of: Default::default(),
            reject_at: None,
            latency_micros: 0,
        }));
        Arc::new(Entry { number: EntryNumber(number.into()), at: Timestamp::default(), previous: Digest::default(), body })
    }

    /// Of these pieces some are rejected though nothing is seen in their pictures (a rubric, a reading, another camera), one by its
    /// deadline; frames come before and after.
    #[test]
    fn a_picture_is_kept_as_what_its_piece_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Retention { sampled_every: 0, ..Retention::within(1 << 20) };
        kept.of_mut(Class::Pass).kept = false;
        let images = Arc::new(Images::open(folder.path(), kept).unwrap());
        let gallery = Gallery::new(Arc::clone(&images), false, Clock::new());
        let recipe = setup().recipe;
        let pool = FramePool::new(8, 64);
        let (sender, looked) = bounded(8);
        let (closer, closed) = bounded(8);
        let cases = [
            (Verdict::Pass, false, None),
            (Verdict::Pass, true, Some(Class::Pass)),
            (Verdict::Hold, false, Some(Class::Hold)),
            (Verdict::Reject, false, Some(Class::Reject)),
        ];
        let mut digests = Vec::new();
        for ((verdict, retain, _), number) in cases.into_iter().zip(1_u8..) {
            let frame = frame(&pool, number);
            let image = frame.digest();
            digests.push(image);
            let piece = PieceId(number.into());
            let inspection = Some(clean(&recipe, piece, image));
            let entry = closing(&recipe, number, verdict, retain, image);
            let looked = Looked { piece, acquisition: 0, frame, inspection, retain, camera: None, is_first: true };
            closer.send(entry).unwrap();
            sender.send(looked).unwrap();
        }
        drop((sender, closer));
        gallery.run(&recipe, &looked, closed);
        for ((digest, (_, _, class)), number) in digests.iter().zip(cases).zip(101..) {
            let fate = images.fate(number, *digest);
            assert_eq!(fate, class.map_or(Fate::Never, |class| Fate::Kept { class: Some(class), held: false }), "record {number}");
            assert_eq!(images.of_record(number), class.map(|_| *digest).into_iter().collect::<Vec<_>>());
        }
        assert_eq!(pool.free(), 8);
    }

    #[test]
    fn a_frame_whose_piece_is_never_closed_is_kept_for_what_it_shows() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Retention::within(1 << 20);
        kept.of_mut(Class::Pass).kept = false;
        let images = Arc::new(Images::open(folder.path(), kept).unwrap());
        let gallery = Gallery::new(Arc::clone(&images), false, Clock::new());
        let recipe = setup().recipe;
        let pool = FramePool::new(8, 64);
        let (sender, looked) = bounded(8);
        let cases = [(true, false, false), (true, true, true), (false, false, true)];
        let mut digests = Vec::new();
        for ((is_good, retain, _), number) in cases.into_iter().zip(1_u8..) {
            let frame = frame(&pool, number);
            let piece = PieceId(number.into());
            digests.push(frame.digest());
            let inspection = is_good.then(|| clean(&recipe, piece, frame.digest()));
            sender.send(Looked { piece, acquisition: 0, frame, inspection, retain, camera: None, is_first: true }).unwrap();
        }
        drop(sender);
        let (_, closed) = bounded(1);
        gallery.run(&recipe, &looked, closed);
        let there: Vec<bool> = digests.iter().map(|digest| images.get(*digest).is_ok()).collect();
        assert_eq!(there, cases.map(|(.., kept)| kept), "a pass, a pass that the PLC asks for, a hold");
    }

    #[test]
    fn the_page_s_picture_is_made_when_somebody_asks_and_gives_its_frame_back() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery::new(Arc::new(Images::open(folder.path(), Retention::within(1 << 20)).unwrap()), true, Clock::new());
        let recipe = setup().recipe;
        let pool = FramePool::new(3, 64);
        let (sender, looked) = bounded(4);
        let shot =
            |number| Shot { width: 8, height: 8, format: PixelFormat::Mono8, number, mono_micros: 0, capture_micros: 0, golden: None };
        for (number, is_good) in [(1, true), (2, false), (3, true)] {
            let frame = Frame::seal(pool.take().unwrap(), shot(number)).unwrap();
            let piece = PieceId(u32::try_from(number).unwrap());
            let inspection = is_good.then(|| clean(&recipe, piece, frame.digest()));
            sender.send(Looked { piece, acquisition: 0, frame, inspection, retain: false, camera: None, is_first: true }).unwrap();
        }
        drop(sender);
        assert!(gallery.latest().is_none());
        let (_, closed) = bounded(1);
        gallery.run(&recipe, &looked, closed);
        assert_eq!(pool.free(), 2, "one is kept for whoever asks");
        let picture = gallery.latest().unwrap();
        assert_eq!((picture.piece, pool.free()), (PieceId(2), 3), "the bad piece, which the good one did not overtake");
        assert!(picture.jpeg.starts_with(&[0xFF, 0xD8]));
        assert_eq!(gallery.latest().unwrap().piece, PieceId(2), "it stays until the next one");
    }
}
