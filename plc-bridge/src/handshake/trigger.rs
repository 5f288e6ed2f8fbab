//! The trigger exchange, and the pieces that owe a result because of it.
//!
//! ```text
//!   ┌──────────┐ Trigger 0→1, ready ────────► Arrived; the piece is owed a result
//!   │ waiting  │ Trigger 0→1, not ready ────► Arrived + Missed(NotReady), AcqError
//!   │ Ack=0    │ number still in use ───────► refused (Repeated), AcqError; if it is another piece, both are spoiled
//!   │ Ready=   │
//!   │ may take │             a piece that is owed a result
//!   └────▲──┬──┘             owed ──result──► on offer
//!        │  │ Trigger=1       │ its number came again with another encoder count: spoiled ──result──► on offer as NoVerdict
//!   ┌────┴──▼──┐              │ Abort: Missed(Interrupted), still owed
//!   │ held     │              └ the PLC has forgotten it: Missed(Interrupted) ──result──► not offered
//!   │ Ack=1    │
//!   │ Ready=0  │ PieceSeq changes while held: a trigger that was too short to see ─► Arrived + Missed(NotReady)
//!   └──────────┘
//! ```
//! Invariants: every edge ends in exactly one of taken, missed, refused; each of the last two is counted; two pieces with one
//! number are never both without a spoiled result; numbers given here are never 0.

use super::Notice;
use crate::jmap::Control;
use station::inspection::{Miss, MissReason};
use station::piece::PieceId;
use station::station::Event;
use station::units::EncoderCount;
use std::collections::VecDeque;

/// Pieces that may await their verdict at once; one slot costs 16 bytes. When it is full, triggers are missed (and say so).
const OUTSTANDING_MAX: usize = 64;

/// True if `now` announces a piece that `before` did not: a rising edge, or a new number under a trigger that fell and
/// rose again between two polls.
#[must_use]
pub fn is_edge(before: &Control, now: &Control) -> bool {
    now.trigger && (!before.trigger || before.piece_seq != now.piece_seq)
}

/// What becomes of a result when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is offered.
    Owed,
    /// It is offered without a verdict.
    Spoiled,
    /// It is not offered.
    Forgotten,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    piece: PieceId,
    encoder: EncoderCount,
    acquisition: u16,
    fate: Fate,
}

#[derive(Debug, Clone)]
pub(super) struct Triggers {
    next_own_number: u32,
    acquisition: u16,
    outstanding: VecDeque<Outstanding>,
    missed: u32,
    pub(super) exposure_complete: bool,
}

impl Triggers {
    pub(super) fn new(own_numbers_from: u32) -> Self {
        Self { next_own_number: own_numbers_from.max(1), acquisition: 0, outstanding: VecDeque::new(), missed: 0, exposure_complete: false }
    }

    /// The number of a piece that the PLC announces with `PieceSeq`.
    pub(super) fn number(&mut self, piece_seq: u32) -> PieceId {
        if piece_seq != 0 {
            return PieceId(piece_seq);
        }
        let number = self.next_own_number;
        self.next_own_number = number.checked_add(1).unwrap_or(1);
        PieceId(number)
    }

    pub(super) fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    /// The trigger is taken; returns the number of the picture.
    pub(super) fn take(&mut self, piece: PieceId, encoder: EncoderCount) -> u16 {
        self.acquisition = self.acquisition.checked_add(1).unwrap_or(1);
        self.exposure_complete = false;
        self.outstanding.push_back(Outstanding { piece, encoder, acquisition: self.acquisition, fate: Fate::Owed });
        self.acquisition
    }

    pub(super) const fn miss(&mut self) {
        self.missed = self.missed.wrapping_add(1);
    }

    /// Where the piece that is owed a result under this number was triggered.
    pub(super) fn owed(&self, piece: PieceId) -> Option<EncoderCount> {
        self.outstanding.iter().find(|owed| owed.piece == piece && owed.fate != Fate::Forgotten).map(|owed| owed.encoder)
    }

    /// The number has come again with another piece: whichever the result is for, it is none.
    pub(super) fn spoil(&mut self, piece: PieceId, notices: &mut Vec<Notice>) {
        let owed = self.outstanding.iter_mut().find(|owed| owed.piece == piece && owed.fate == Fate::Owed);
        if let Some(owed) = owed {
            owed.fate = Fate::Spoiled;
            notices.push(interrupted(owed));
        }
    }

    /// Every piece in work is given up; its result is still owed.
    pub(super) fn abort(&self, notices: &mut Vec<Notice>) {
        notices.extend(self.outstanding.iter().map(interrupted));
    }

    /// The PLC has forgotten every piece in work.
    pub(super) fn forget(&mut self, notices: &mut Vec<Notice>) {
        for owed in self.outstanding.iter_mut().filter(|owed| owed.fate != Fate::Forgotten) {
            owed.fate = Fate::Forgotten;
            notices.push(interrupted(owed));
        }
    }

    /// The result of a piece came: its acquisition (0 = the trigger was not taken) and what becomes of it.
    pub(super) fn settle(&mut self, piece: PieceId, encoder: EncoderCount) -> (u16, Fate) {
        let at = self.outstanding.iter().position(|owed| owed.piece == piece && owed.encoder == encoder);
        let Some(owed) = at.and_then(|at| self.outstanding.remove(at)) else { return (0, Fate::Owed) };
        // A camera that does not say when it has exposed is known to have done so when there is a verdict.
        self.exposure_complete |= owed.acquisition == self.acquisition;
        (owed.acquisition, owed.fate)
    }

    /// The picture of this piece is taken.
    pub(super) fn exposed(&mut self, piece: PieceId) {
        self.exposure_complete |= self.outstanding.back().is_some_and(|last| last.piece == piece && last.acquisition == self.acquisition);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outstanding.is_empty()
    }

    pub(super) const fn acquisition(&self) -> u16 {
        self.acquisition
    }

    pub(super) const fn missed(&self) -> u32 {
        self.missed
    }
}

const fn interrupted(owed: &Outstanding) -> Notice {
    let (piece, acquisition) = (owed.piece, owed.acquisition);
    Notice::Station(Event::Missed(Miss { piece, acquisition, reason: MissReason::Interrupted, camera: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(notices: &[Notice]) -> Vec<u32> {
        let missed = |notice: &Notice| match notice {
            Notice::Station(Event::Missed(miss)) => Some(miss.piece.0),
            _ => None,
        };
        notices.iter().filter_map(missed).collect()
    }

    proptest! {
        /// Whatever happens to a piece, it settles once, with its own acquisition and with the last thing that was said of it.
        #[test]
        fn every_piece_settles_once(steps in proptest::collection::vec((0..6_u8, 1..6_u32), 0..80)) {
            let mut triggers = Triggers::new(1);
            let mut model: Vec<(u32, u32, u16, Fate)> = Vec::new();
            let (mut encoder, mut acquisition) = (0, 0);
            for (what, piece) in steps {
                let id = PieceId(piece);
                let mut notices = Vec::new();
                match what {
                    0 | 1 if triggers.has_room() && triggers.owed(id).is_none() => {
                        encoder += 100;
                        acquisition += 1;
                        triggers.take(id, EncoderCount(encoder));
                        model.push((piece, encoder, acquisition, Fate::Owed));
                    }
                    2 => {
                        triggers.spoil(id, &mut notices);
                        let found = model.iter_mut().find(|known| known.0 == piece && known.3 == Fate::Owed);
                        prop_assert_eq!(told(&notices).len(), usize::from(found.is_some()));
                        if let Some(found) = found { found.3 = Fate::Spoiled; }
                    }
                    3 => {
                        triggers.forget(&mut notices);
                        let open = model.iter_mut().filter(|known| known.3 != Fate::Forgotten);
                        let pieces: Vec<u32> = open.map(|known| { known.3 = Fate::Forgotten; known.0 }).collect();
                        prop_assert_eq!(told(&notices), pieces);
                    }
                    4 => {
                        triggers.abort(&mut notices);
                        prop_assert_eq!(told(&notices), model.iter().map(|known| known.0).collect::<Vec<_>>());
                    }
                    _ => {
                        if let Some(at) = model.iter().position(|known| known.0 == piece) {
                            let (_, encoder, acquisition, fate) = model.remove(at);
                            prop_assert_eq!(triggers.settle(id, EncoderCount(encoder)), (acquisition, fate));
                        } else {
                            prop_assert_eq!(triggers.settle(id, EncoderCount(1)), (0, Fate::Owed));
                        }
                    }
                }
                prop_assert_eq!(triggers.is_idle(), model.is_empty());
                let owed = model.iter().find(|known| known.0 == piece && known.3 != Fate::Forgotten);
                prop_assert_eq!(triggers.owed(id).map(|encoder| encoder.0), owed.map(|known| known.1));
            }
        }

        #[test]
        fn own_numbers_are_never_zero_and_given_ones_are_kept(from in prop_oneof![Just(0), Just(u32::MAX - 1), any::<u32>()], seq: u32) {
            let mut triggers = Triggers::new(from);
            for _ in 0..4 {
                prop_assert!(triggers.number(0).0 != 0);
            }
            prop_assert!(seq == 0 || triggers.number(seq).0 == seq);
        }
    }
}
