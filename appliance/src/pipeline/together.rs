//! What the cameras of a frame set know of each other's pictures: when a piece may move on, and when nobody need look at it.
//!
//! Invariant: nothing is decided here about a piece. The station joins what the cameras saw (`station::frame_set`); this
//! saves work on pieces that are lost already, and says `ExposureComplete` once for all pictures.

use station::piece::PieceId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces that are kept in mind: more than all queues of one camera hold together.
const PIECES: usize = 64;

/// One camera's place in its frame set.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, for the pieces that it misses.
    pub camera: Arc<str>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cameras: usize,
    pieces: Mutex<VecDeque<Taken>>,
}

/// A piece is its number and that of its picture: numbers may come again.
type Key = (PieceId, u16);

#[derive(Debug)]
struct Taken {
    key: Key,
    pictures: usize,
    is_lost: bool,
}

/// The members of a frame set of these cameras.
#[must_use]
pub fn members(cameras: Vec<Arc<str>>) -> Vec<Member> {
    let shared = Arc::new(Shared { cameras: cameras.len(), pieces: Mutex::new(VecDeque::with_capacity(PIECES)) });
    cameras.into_iter().map(|camera| Member { camera, shared: Arc::clone(&shared) }).collect()
}

impl Member {
    fn with<T>(&self, key: Key, look: impl FnOnce(&mut Taken) -> T) -> Option<T> {
        let mut pieces = self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if !pieces.iter().any(|piece| piece.key == key) {
            if pieces.len() == PIECES {
                pieces.pop_front();
            }
            pieces.push_back(Taken { key, pictures: 0, is_lost: false });
        }
        pieces.iter_mut().rev().find(|piece| piece.key == key).map(look)
    }

    /// This camera has its picture; true if it was the last one.
    pub fn took(&self, piece: PieceId, acquisition: u16) -> bool {
        let count = |taken: &mut Taken| {
            taken.pictures += 1;
            taken.pictures
        };
        self.with((piece, acquisition), count) == Some(self.shared.cameras)
    }

    /// This camera has no picture of it, or its model failed: the piece is a hold.
    pub fn lose(&self, piece: PieceId, acquisition: u16) {
        self.with((piece, acquisition), |taken| taken.is_lost = true);
    }

    /// A camera has lost it: what the others see changes nothing.
    #[must_use]
    pub fn is_lost(&self, piece: PieceId, acquisition: u16) -> bool {
        self.with((piece, acquisition), |taken| taken.is_lost) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_picture_is_told_and_what_one_lost_is_lost_for_all() {
        let set = members(vec!["top".into(), "side".into()]);
        let (piece, other) = (PieceId(7), PieceId(8));
        assert!(!set[0].took(piece, 1));
        assert!(!set[1].took(piece, 2), "another picture of that number");
        assert!(!set[0].took(other, 2));
        assert!(set[1].took(piece, 1));
        assert!(!set[1].is_lost(other, 2));
        set[0].lose(other, 2);
        assert!(set[1].is_lost(other, 2) && !set[1].is_lost(piece, 1));
        for number in 100..200 {
            set[0].lose(PieceId(number), 0);
        }
        assert_eq!(set[0].shared.pieces.lock().unwrap().len(), PIECES, "bounded");
        assert!(!set[1].is_lost(other, 2), "forgotten: then the station decides alone");
    }
}
