//! One picture of one piece, in memory that was reserved before the line started.
//!
//! Invariants: a frame's pixels never leave this crate but as a JPEG; its buffer is free again when nobody holds it any more;
//! taking, sealing and sharing a frame reserve no memory; the pool never grows, so a line that falls behind runs out of frames (and says so) instead of out of memory.

use crate::picture::{Picture, PictureError, area, encode_jpeg, shrunk};
use serde::{Deserialize, Serialize};
use station::units::Digest;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Microseconds by a clock that never steps. The process owns one clock and lends it to cameras and detectors.
pub type MonoClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Buffers for frames, all of one size, reserved and touched at the start.
#[derive(Debug, Clone)]
pub struct FramePool(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    bytes: usize,
    slots: Mutex<Slots>,
}

/// Every slot is in one of the two lists, or in the hands of who fills it.
#[derive(Debug)]
struct Slots {
    /// Held by nobody else.
    free: Vec<Arc<Slot>>,
    /// Sealed as frames. Who lets go of a frame tells nobody: a slot that the shelf alone holds is free again.
    frames: Vec<Arc<Slot>>,
}

/// Pixels, and what is known about them.
#[derive(Debug)]
struct Slot {
    buffer: Box<[u8]>,
    bytes: usize,
    shot: Shot,
    fingerprint: OnceLock<u64>,
    digest: OnceLock<Digest>,
    examination: Examination,
}

/// Whether somebody still has to say that a picture is a new one and shows something, and what was said.
#[derive(Debug, Default)]
struct Examination {
    is_owed: AtomicBool,
    is_sound: OnceLock<bool>,
}

impl FramePool {
    /// `count` buffers of `bytes` bytes each. Every page is written once, so that no frame pays for a page fault later.
    #[must_use]
    pub fn new(count: usize, bytes: usize) -> Self {
        let slot = || Slot {
            buffer: vec![0xA5_u8; bytes].into_boxed_slice(),
            bytes: 0,
            shot: Shot::default(),
            fingerprint: OnceLock::new(),
            digest: OnceLock::new(),
            examination: Examination::default(),
        };
        let slots = Slots { free: (0..count).map(|_| Arc::new(slot())).collect(), frames: Vec::with_capacity(count) };
        Self(Arc::new(Shelf { bytes, slots: Mutex::new(slots) }))
    }

    /// A free buffer, or `None` if all are in use: the caller's queue is full.
    #[must_use]
    pub fn take(&self) -> Option<Blank> {
        let mut slots = self.0.lock();
        // One that was used is warm in the caches; the first of them, so that a quiet line uses few.
        let used = slots.frames.iter_mut().position(|slot| Arc::get_mut(slot).is_some());
        let slot = used.map(|index| slots.frames.remove(index)).or_else(|| slots.free.pop())?;
        Some(Blank { slot: Some(slot), home: Arc::clone(&self.0) })
    }

    /// Buffers that are free now.
    #[must_use]
    pub fn free(&self) -> usize {
        let mut slots = self.0.lock();
        slots.free.len() + slots.frames.iter_mut().filter_map(Arc::get_mut).count()
    }

    /// Size of one buffer in bytes: the largest frame in pixels.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.0.bytes
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer taken from the pool that holds no picture yet. Goes back when dropped.
#[derive(Debug)]
pub struct Blank {
    /// Held by nobody else; `None` once it is sealed.
    slot: Option<Arc<Slot>>,
    home: Arc<Shelf>,
}

impl Blank {
    fn slot_mut(&mut self) -> Option<&mut Slot> {
        self.slot.as_mut().and_then(Arc::get_mut)
    }

    /// The whole buffer; what it holds is whatever the last frame left.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.slot_mut().map_or(&mut [], |slot| &mut slot.buffer[..])
    }
}

impl Drop for Blank {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.home.lock().free.push(slot);
        }
    }
}

/// How the bytes of a picture are to be read, row by row without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelFormat {
    /// 8 bits grey.
    #[default]
    Mono8,
    /// 8 bits each of red, green and blue, in this order.
    Rgb8,
    /// 8 bits each of blue, green and red, in this order (OpenCV's).
    Bgr8,
}

impl PixelFormat {
    /// Bytes of one pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Mono8 => 1,
            Self::Rgb8 | Self::Bgr8 => 3,
        }
    }

    /// Bytes of a picture of this size, or `None` where a side is 0 or beyond the limit.
    #[must_use]
    pub fn bytes(self, width: u32, height: u32) -> Option<usize> {
        area(width, height).map(|pixels| pixels * self.channels())
    }
}

/// What a camera tells about a picture besides its pixels.
#[derive(Debug, Clone, Default)]
pub struct Shot {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How its bytes are to be read.
    pub format: PixelFormat,
    /// The camera's own frame number.
    pub number: u64,
    /// When it was taken, by the clock that never steps.
    pub mono_micros: u64,
    /// Trigger to frame in memory, in microseconds.
    pub capture_micros: u64,
    /// The faultless picture it is compared with, if the camera has one: always grey.
    pub golden: Option<Arc<Picture>>,
}

/// One picture of one piece, row by row. A clone is the same picture, and costs nothing.
#[derive(Debug, Clone)]
pub struct Frame(Arc<Slot>);

impl Frame {
    /// Seals the first `width * height * channels` bytes of a buffer as a frame.
    ///
    /// # Errors
    /// If the buffer is smaller than the picture, or a side is 0.
    pub fn seal(mut blank: Blank, shot: Shot) -> Result<Self, PictureError> {
        let room = blank.bytes_mut().len();
        let fits = shot.format.bytes(shot.width, shot.height).filter(|bytes| *bytes <= room);
        let what = || format!("frame {} of {}x{}", shot.number, shot.width, shot.height);
        let bytes = fits.ok_or_else(|| PictureError::Content { what: what(), why: format!("a frame buffer has {room} bytes") })?;
        if let Some(slot) = blank.slot_mut() {
            (slot.bytes, slot.shot) = (bytes, shot);
            (slot.fingerprint, slot.digest, slot.examination) = (OnceLock::new(), OnceLock::new(), Examination::default());
        }
        let slot =
            blank.slot.take().ok_or_else(|| PictureError::Content { what: "a frame".to_owned(), why: "it has no buffer".to_owned() })?;
        blank.home.lock().frames.push(Arc::clone(&slot));
        Ok(Self(slot))
    }

    /// The pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.0.buffer[..self.0.bytes]
    }

    /// What the camera told about it.
    #[must_use]
    pub fn shot(&self) -> &Shot {
        &self.0.shot
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.0.shot.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.0.shot.height
    }

    /// How the pixels are to be read.
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.0.shot.format
    }

    /// The camera's own frame number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.shot.number
    }

    /// Tells this picture from another of the same camera: equal pixels have equal ones. Not a proof of anything. Made once,
    /// when it is first asked for.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        *self.0.fingerprint.get_or_init(|| fingerprint(self.pixels()))
    }

    /// From now on nothing that was seen in this picture counts before [`Self::examined`] has said that it is sound.
    pub fn owe_examination(&self) {
        self.0.examination.is_owed.store(true, Ordering::Release);
    }

    /// It is (or is not) a new picture that shows something. What was said first counts.
    pub fn examined(&self, is_sound: bool) {
        let _first = self.0.examination.is_sound.get_or_init(|| is_sound);
    }

    /// True if what is seen in it counts. Waits for the examination if one is owed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.0.examination.is_owed.load(Ordering::Acquire) || *self.0.examination.is_sound.wait()
    }

    /// SHA-256 of the pixels. It takes a millisecond per two megabytes and is made once, when it is first asked for; who asks
    /// meanwhile waits. Capture asks as soon as the frame is on its way, so that it is there when the model has looked.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| Digest::of(self.pixels()))
    }

    /// The faultless picture it is compared with, if the camera has one.
    #[must_use]
    pub fn golden(&self) -> Option<&Arc<Picture>> {
        self.0.shot.golden.as_ref()
    }

    /// The frame as the bytes of a JPEG file; `quality` 1…100.
    ///
    /// # Errors
    /// If the encoder refuses it.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, PictureError> {
        encode_jpeg(self.pixels(), self.format(), self.width(), self.height(), quality)
    }

    /// The frame for a screen: a JPEG whose longer side has at most `side_max` pixels, and how many pixels of the frame, in each
    /// direction, became one of its.
    ///
    /// # Errors
    /// If the encoder refuses it.
    pub fn to_small_jpeg(&self, quality: u8, side_max: u32) -> Result<(Vec<u8>, u32), PictureError> {
        let factor = self.width().max(self.height()).div_ceil(side_max.max(1));
        // A strip that is thinner than the factor would have no pixel left.
        if factor <= 1 || self.width().min(self.height()) < factor {
            return Ok((self.to_jpeg(quality)?, 1));
        }
        let (pixels, width, height) = shrunk(self.pixels(), self.format(), (self.width(), self.height()), factor);
        Ok((encode_jpeg(&pixels, self.format(), width, height, quality)?, factor))
    }
}

/// As many bytes of a picture make its fingerprint; of a larger one, one block of 64 in every two, three, …
const FINGERPRINT_BYTES: usize = 1 << 20;

/// A source that delivers an old buffer repeats every byte of it, and two pictures of a sensor differ by its noise everywhere:
/// a part of a large picture tells them apart as well as all of it, at a fraction of the time. A picture that has just arrived
/// lies in slow memory, so that the time is that of the blocks that are touched. Which block of its neighbours is taken changes
/// from place to place, so that no column of the picture is always left out.
fn fingerprint(pixels: &[u8]) -> u64 {
    // Odd constants without a pattern: the fractional parts of the golden ratio and of the square root of 2.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    const SEED: u64 = 0x6A09_E667_F3BC_C909;
    let mix = |lane: u64, word: u64| (lane ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (blocks, rest) = pixels.as_chunks::<64>();
    let step = pixels.len() / FINGERPRINT_BYTES + 1;
    let (mut lanes, mut place) = ([SEED; 8], SEED);
    for neighbours in blocks.chunks(step) {
        place = mix(place, SEED);
        let which = usize::try_from(place >> 32).unwrap_or(0) % neighbours.len();
        for (lane, word) in lanes.iter_mut().zip(neighbours[which].as_chunks::<8>().0) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    let whole = lanes.into_iter().fold(SEED, mix);
    rest.iter().fold(whole, |whole, byte| mix(whole, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_never_grows_and_gets_its_buffers_back() {
        let golden = Arc::new(Picture::new(4, 2, vec![255; 8]).unwrap());
        let pool = FramePool::new(2, 8);
        let format = PixelFormat::Mono8;
        let shot = Shot { width: 4, height: 2, format, number: 1, mono_micros: 5, capture_micros: 0, golden: Some(golden) };
        let mut blank = pool.take().unwrap();
        blank.bytes_mut().fill(7);
        let frame = Frame::seal(blank, shot.clone()).unwrap();
        assert_eq!(frame.digest(), Digest::of(&[7; 8]));
        let other = pool.take().unwrap();
        assert!(pool.take().is_none());
        assert!(Frame::seal(other, Shot { height: 3, ..shot.clone() }).unwrap_err().to_string().contains("8 bytes"));
        let coloured = Shot { format: PixelFormat::Rgb8, ..shot };
        assert!(Frame::seal(pool.take().unwrap(), coloured).unwrap_err().to_string().contains("8 bytes"), "24 bytes are needed");
        let shared = frame.clone();
        drop(frame);
        assert_eq!(pool.free(), 1, "somebody still looks at it");
        assert_eq!((shared.pixels(), shared.number()), (&[7; 8][..], 1));
        drop(shared);
        assert_eq!(pool.free(), 2);
    }

    #[test]
    fn what_is_seen_counts_when_the_picture_was_examined_and_not_before() {
        let pool = FramePool::new(1, 4);
        let frame = || {
            let shot = Shot { width: 2, height: 2, format: PixelFormat::Mono8, ..Shot::default() };
            Frame::seal(pool.take().unwrap(), shot).unwrap()
        };
        assert!(frame().is_sound(), "nobody owes an examination");
        for sound in [true, false] {
            let owed = frame();
            owed.owe_examination();
            let other = owed.clone();
            let waiting = std::thread::spawn(move || other.is_sound());
            owed.examined(sound);
            owed.examined(!sound);
            assert_eq!(waiting.join().unwrap(), sound, "what was said first");
        }
        assert!(frame().is_sound(), "the next picture in the same buffer begins anew");
    }

    #[test]
    fn one_other_pixel_is_another_fingerprint() {
        for length in [1, 63, 64, 1000, 409_600] {
            let mut pixels = vec![9_u8; length];
            let before = fingerprint(&pixels);
            assert_eq!(before, fingerprint(&pixels.clone()));
            for place in [0, length / 2, length - 1] {
                pixels[place] ^= 1;
                assert_ne!(fingerprint(&pixels), before, "byte {place} of {length}");
                pixels[place] ^= 1;
            }
        }
    }
}
