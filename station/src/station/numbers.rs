//! Pieces by their numbers: announced again, skipped, announced after all, or given anew to other pieces.
//!
//! ```text
//!   number n after last l    l < n ≤ l + 64: what lies between and never came is a hold now, and n is the last
//!                            skipped before:  the hold it got is its result; no second record
//!                            got a result:    same piece again (same count, no other serial): the same result
//!                            anything else:   the PLC's counter went elsewhere, n is the last, and another piece than the
//!                                             one that was skipped under this number
//!   the PLC forgot           nothing of before is known any more: its numbers and counts are those of other pieces
//! ```
//! Invariant: a piece has one record, in whatever order and however often it is announced.

use super::{Effect, Open, Station};
use crate::inspection::MissReason;
use crate::judge::hold;
use crate::line::PieceResult;
use crate::piece::{Arrival, PieceId};
use crate::units::{EncoderCount, Timestamp};
use crate::verdict::Verdict;

/// Numbers the PLC may skip before the gap counts as a restart of its counter instead of as missed pieces.
const GAP_MAX: u32 = 64;
/// Skipped numbers kept in mind in case they are announced after all; one slot costs 12 bytes.
const SKIPPED_MAX: usize = 64;

impl Station {
    /// The PLC came back without its memory.
    pub(super) fn forget_numbers(&mut self) {
        self.skipped.clear();
        self.last_arrived = None;
        self.forgotten = self.memory.results;
    }

    /// The result of a piece that is announced again, or that was skipped, recorded as a hold, and is announced after all.
    pub(super) fn known_result(&mut self, arrival: &Arrival) -> Option<PieceResult> {
        let encoder = arrival.encoder;
        let behind = self.last_arrived.is_some_and(|last| (1..=GAP_MAX).contains(&last.0.wrapping_sub(arrival.piece.0)));
        let is_it = |(piece, at): &&mut (PieceId, Option<EncoderCount>)| *piece == arrival.piece && at.is_none_or(|at| at == encoder);
        if behind && let Some((_, announced)) = self.skipped.iter_mut().rev().find(is_it) {
            *announced = Some(encoder);
            return Some(PieceResult {
                piece: arrival.piece,
                encoder,
                verdict: Verdict::Hold,
                golden: arrival.golden,
                grade: 0,
                top_class: None,
                defects: 0,
                score: 0,
                latency_tenth_millis: 0,
                reject_at: Some(encoder.ahead(self.setup.recipe.gate_offset)),
                payload: Vec::new(),
            });
        }
        self.memory.result_of(arrival, self.forgotten)
    }

    /// A piece of this number is open: it is another one than a piece that was skipped under it and never announced, whose
    /// hold must not become its result.
    pub(super) fn given_anew(&mut self, number: PieceId) {
        self.skipped.retain(|(piece, announced)| *piece != number || announced.is_some());
    }

    /// Numbers between the last piece and this one were never announced: nobody judged them, so each is a hold.
    pub(super) fn record_gap(&mut self, arrival: &Arrival, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(last) = self.last_arrived else { return };
        let gap = arrival.piece.0.wrapping_sub(last.0);
        if gap == 0 || gap > GAP_MAX {
            return;
        }
        for number in 1..gap {
            let piece = PieceId(last.0.wrapping_add(number));
            // It came before its neighbours, so it is not missing.
            if self.open.iter().any(|open| open.arrival.piece == piece) || self.memory.has_result(piece, self.forgotten) {
                continue;
            }
            // Of such a piece nothing is known but that it lay between the two.
            let unknown = Arrival { acquisition: 0, serial: None, golden: false, retain: false, user_data: Vec::new(), ..arrival.clone() };
            let arrival = Arrival { piece, ..unknown };
            let made_of = std::sync::Arc::clone(&self.memory.made_of);
            let open = Open { arrival, arrived_at: now, readings: Vec::new(), heard: Vec::new(), made_of };
            if self.skipped.len() >= SKIPPED_MAX {
                self.skipped.pop_front();
            }
            self.skipped.push_back((piece, None));
            self.close(open, None, hold(MissReason::Interrupted), now, effects);
        }
    }
}
