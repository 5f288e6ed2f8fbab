//! The guard in front of every camera: what was seen before does not pass.
//!
//! Invariant: no frame leaves whose number, stamp or pixels are those of one of the last `STALE_MEMORY` frames.

use super::{Camera, CameraError};
use crate::frame::{Frame, FramePool};
use station::piece::PieceId;
use std::collections::VecDeque;

/// How many frames are remembered. A driver that turns in a ring of buffers repeats itself within a few frames.
pub const STALE_MEMORY: usize = 16;

/// A camera whose old frames are told from new ones.
#[derive(Debug)]
pub struct Watched<C> {
    camera: C,
    seen: VecDeque<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    number: u64,
    mono_micros: u64,
    fingerprint: u64,
}

impl Seen {
    fn same(&self, other: &Self) -> Option<&'static str> {
        if self.number == other.number {
            Some("same number")
        } else if self.mono_micros == other.mono_micros {
            Some("same time stamp")
        } else if self.fingerprint == other.fingerprint {
            Some("same pixels")
        } else {
            None
        }
    }
}

impl<C: Camera> Watched<C> {
    /// Watches over `camera`.
    pub fn new(camera: C) -> Self {
        Self { camera, seen: VecDeque::with_capacity(STALE_MEMORY) }
    }
}

impl<C: Camera> Camera for Watched<C> {
    fn name(&self) -> &str {
        self.camera.name()
    }

    fn grab(&mut self, piece: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        let frame = self.camera.grab(piece, pool)?;
        let now = Seen { number: frame.number(), mono_micros: frame.shot().mono_micros, fingerprint: frame.fingerprint() };
        if let Some(same) = self.seen.iter().find_map(|seen| seen.same(&now)) {
            return Err(CameraError::Stale { camera: self.name().to_owned(), number: now.number, same });
        }
        if self.seen.len() == STALE_MEMORY {
            self.seen.pop_front();
        }
        self.seen.push_back(now);
        Ok(frame)
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

        fn grab(&mut self, _: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
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
    fn a_frame_from_the_driver_s_ring_is_stale_even_if_it_is_not_the_last_one() {
        let mut script: Vec<_> = (1..=16).map(|n| (n, n * 10, u8::try_from(n).unwrap())).collect();
        script.push((17, 170, 1));
        let got = outcomes(script);
        assert!(got[..16].iter().all(Option::is_none));
        assert_eq!(got[16], Some("same pixels"));
    }
}
