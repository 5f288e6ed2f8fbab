//! The guard in front of every camera: what was seen before does not pass, and what shows nothing does not either.
//!
//! Invariants: no frame leaves whose number, stamp or pixels are those of one of the last `STALE_MEMORY` frames, or whose
//! contrast is below the least; every picture that is asked for is counted once, as a piece's or as missed.

use super::{Camera, CameraCounters, CameraError};
use crate::frame::{Frame, FramePool};
use station::piece::PieceId;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many frames are remembered. A driver that turns in a ring of buffers repeats itself within a few frames.
pub const STALE_MEMORY: usize = 16;

/// A camera whose old frames are told from new ones.
#[derive(Debug)]
pub struct Watched<C> {
    camera: C,
    seen: VecDeque<Seen>,
    contrast_min: u8,
    counters: Arc<CameraCounters>,
    /// The source does not count by itself.
    counts_frames: bool,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    number: u64,
    mono_micros: u64,
    /// `None` until it was examined.
    fingerprint: Option<u64>,
}

impl Seen {
    fn same(&self, other: &Self) -> Option<&'static str> {
        if self.number == other.number {
            Some("same number")
        } else if self.mono_micros == other.mono_micros {
            Some("same time stamp")
        } else if self.fingerprint.is_some() && self.fingerprint == other.fingerprint {
            Some("same pixels")
        } else {
            None
        }
    }
}

impl<C: Camera> Watched<C> {
    /// Watches over `camera`.
    pub fn new(camera: C) -> Self {
        let own = camera.counters();
        let (counts_frames, counters) = (own.is_none(), own.unwrap_or_default());
        Self { camera, seen: VecDeque::with_capacity(STALE_MEMORY), contrast_min: 0, counters, counts_frames }
    }

    /// The same, and a picture with less contrast than this many grey levels shows nothing. 0 lets everything pass.
    #[must_use]
    pub fn with_contrast_min(mut self, grey_levels: u8) -> Self {
        self.contrast_min = grey_levels;
        self
    }

    /// By what its camera says of it: takes no time.
    fn look(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        let frame = self.camera.take(piece, pool)?;
        if self.counts_frames {
            self.counters.frame();
        }
        self.is_new(&Seen { number: frame.number(), mono_micros: frame.shot().mono_micros, fingerprint: None })?;
        frame.owe_examination();
        Ok(frame)
    }

    /// By its pixels.
    fn look_into(&mut self, frame: &Frame) -> Result<(), CameraError> {
        let now = Seen { number: frame.number(), mono_micros: frame.shot().mono_micros, fingerprint: Some(frame.fingerprint()) };
        self.is_new(&now)?;
        if self.seen.len() == STALE_MEMORY {
            self.seen.pop_front();
        }
        self.seen.push_back(now);
        let contrast_min = self.contrast_min;
        if contrast_min > 0
            && let contrast = contrast(frame.pixels())
            && contrast < contrast_min
        {
            return Err(CameraError::Blank { camera: self.name().to_owned(), contrast, contrast_min });
        }
        Ok(())
    }

    fn is_new(&self, now: &Seen) -> Result<(), CameraError> {
        let same = self.seen.iter().find_map(|seen| seen.same(now));
        same.map_or(Ok(()), |same| Err(CameraError::Stale { camera: self.name().to_owned(), number: now.number, same }))
    }
}

/// Runs of neighbouring pixels that the contrast is taken from, and the bytes of each: enough that their hundredths are steady,
/// and few places, since a picture that has just arrived lies in slow memory.
const RUNS: usize = 1024;
const RUN: usize = 16;

/// Grey levels between the darkest and the brightest hundredth of a picture. Single hot or dead pixels do not count.
fn contrast(pixels: &[u8]) -> u8 {
    // Odd, so that the runs do not meet the same columns in every row.
    let step = (pixels.len() / RUNS).max(RUN) | 1;
    let mut levels = [0_u32; 256];
    let mut count = 0_u32;
    for pixel in pixels.chunks(step).flat_map(|part| part.iter().take(RUN)) {
        levels[usize::from(*pixel)] += 1;
        count += 1;
    }
    let hundredth = count / 100;
    let passed = |sum: &mut u32, level: &u32| {
        *sum += level;
        *sum > hundredth
    };
    let (mut below, mut above) = (0, 0);
    let dark = levels.iter().position(|level| passed(&mut below, level)).unwrap_or(0);
    let bright = levels.iter().rposition(|level| passed(&mut above, level)).unwrap_or(0);
    u8::try_from(bright.saturating_sub(dark)).unwrap_or(u8::MAX)
}

impl<C: Camera> Camera for Watched<C> {
    fn name(&self) -> &str {
        self.camera.name()
    }

    fn take(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        self.look(piece, pool).inspect_err(|error| self.counters.miss(error))
    }

    fn examine(&mut self, frame: &Frame) -> Result<(), CameraError> {
        let examined = self.look_into(frame);
        frame.examined(examined.is_ok());
        match &examined {
            Ok(()) => self.counters.piece(),
            Err(error) => self.counters.miss(error),
        }
        examined
    }

    fn patience_micros(&self) -> Option<u64> {
        self.camera.patience_micros()
    }

    fn counters(&self) -> Option<Arc<CameraCounters>> {
        Some(Arc::clone(&self.counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PixelFormat, Shot};

    /// A source that delivers exactly what it is given: number, stamp, grey level.
    struct Script(std::vec::IntoIter<(u64, u64, u8)>);

    impl Camera for Script {
        fn name(&self) -> &str {
            "script"
        }

        fn take(&mut self, _: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
            let (number, mono_micros, grey) = self.0.next().expect("the script is long enough");
            let mut blank = pool.take().ok_or(CameraError::Pool)?;
            blank.bytes_mut().fill(grey);
            let format = PixelFormat::Mono8;
            Ok(Frame::seal(blank, Shot { width: 2, height: 2, format, number, mono_micros, capture_micros: 0, golden: None }).unwrap())
        }
    }

    fn outcomes(script: Vec<(u64, u64, u8)>) -> Vec<Option<&'static str>> {
        let pool = FramePool::new(1, 4);
        let count = script.len();
        let mut camera = Watched::new(Script(script.into_iter()));
        let mut grab = || match camera.grab(PieceId(1), &pool) {
            Ok(_) => None,
            Err(CameraError::Stale { same, .. }) => Some(same),
            Err(error) => panic!("{error}"),
        };
        (0..count).map(|_| grab()).collect()
    }

    #[test]
    fn whatever_repeats_is_stale() {
        let got = outcomes(vec![(1, 10, 0), (1, 20, 1), (2, 10, 2), (3, 30, 0), (4, 40, 3)]);
        assert_eq!(got, [None, Some("same number"), Some("same time stamp"), Some("same pixels"), None]);
    }

    #[test]
    fn what_is_seen_in_a_picture_counts_only_once_it_was_examined() {
        let pool = FramePool::new(3, 4);
        let mut camera = Watched::new(Script(vec![(1, 10, 7), (2, 20, 7)].into_iter()));
        let mut take = |piece| {
            let frame = camera.take(PieceId(piece), &pool).unwrap();
            let looking = std::thread::spawn({
                let frame = frame.clone();
                move || frame.is_sound()
            });
            let examined = camera.examine(&frame);
            (looking.join().unwrap(), examined.is_ok())
        };
        assert_eq!(take(1), (true, true));
        assert_eq!(take(2), (false, false), "new number, new stamp, old pixels");
        assert_eq!((camera.counters.look().pieces, camera.counters.look().missed), (1, 1));
    }

    #[test]
    fn contrast_is_what_lies_between_the_hundredths() {
        assert_eq!(contrast(&[]), 0);
        assert_eq!(contrast(&[7; 50_000]), 0);
        let mut noisy: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 4).unwrap()).collect();
        noisy[..300].fill(255);
        assert_eq!(contrast(&noisy), 3, "hot pixels are no contrast");
        let board: Vec<u8> = (0..409_600_u32).map(|n| if n % 50 == 0 { 10 } else { 240 }).collect();
        assert_eq!(contrast(&board), 230, "lines of two hundredths are");
    }

    #[test]
    fn a_blank_picture_is_a_miss_and_everything_is_counted() {
        let pool = FramePool::new(1, 4);
        let mut camera = Watched::new(Script(vec![(1, 10, 0), (1, 20, 1)].into_iter()));
        camera.grab(PieceId(1), &pool).unwrap();
        assert!(matches!(camera.grab(PieceId(2), &pool), Err(CameraError::Stale { .. })));
        let counts = camera.counters().unwrap().look();
        assert_eq!((counts.pieces, counts.missed, counts.stale, counts.unusable), (1, 1, 1, 0));
        let mut camera = Watched::new(Script(vec![(1, 10, 0)].into_iter())).with_contrast_min(6);
        let error = camera.grab(PieceId(1), &pool).unwrap_err();
        assert!(matches!(error, CameraError::Blank { contrast: 0, contrast_min: 6, .. }), "{error}");
        assert_eq!(camera.counters().unwrap().look().unusable, 1);
    }

    #[test]
    fn a_frame_from_the_driver_s_ring_is_stale_even_if_it_is_not_the_last_one() {
        let mut script: Vec<_> = (1..=16).map(|n| (n, n * 10, u8::try_from(n).unwrap())).collect();
        script.push((17, 170, 1));
        let got = outcomes(script);
        assert!(got[..16].iter().all(Option::is_none));
        assert_eq!(got[16], Some("same pixels"));
    }
}
