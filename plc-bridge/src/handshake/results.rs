//! Results on their way to the PLC: the oldest on offer, up to eight deep, one deep without `BufferResultsEnable`.
//!
//! ```text
//!   ┌──────┐ a result waits, link up, not acknowledged   ┌───────────────┐
//!   │ idle ├────────────────────────────────────────────►│ on offer      │
//!   │ V=0  │   InspectionCompleted toggles (once each)   │ ResultsValid=1│
//!   └──▲─▲─┘                                             └──┬─────────┬──┘
//!      │ │              link down: the same one again later │         │ ResultsAck=1, or DequeueResult
//!      │ └──────────────────────────────────────────────────┘         ▼
//!      │ not acknowledged any more                              ┌───────────┐
//!      └────────────────────────────────────────────────────────┤ withdrawn │
//!                                                               │ V=0       │
//!                                                               └───────────┘
//! ```
//! A result that finds no room is dropped here and counted; its record is durable all the same, and a PLC without a result
//! rejects the piece. A result whose number turns out to belong to two pieces is *spoiled*: it is offered as NoVerdict, because
//! the PLC could take it for the other piece's.
//!
//! Invariants: results leave in the order in which they came; none is valid without a link; none is announced twice; a
//! spoiled result is never a pass.

use crate::jmap::{RESULTS_MAX, ResultCode, Status};
use station::line::PieceResult;
use station::piece::PieceId;
use station::verdict::Verdict;
use std::collections::VecDeque;

/// A result on its way to the PLC.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Counts up with every result; tells one offer from the next.
    pub number: u64,
    /// What is offered.
    pub result: PieceResult,
    acquisition: u16,
    announced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Offering {
    #[default]
    Idle,
    Valid,
    Withdrawn,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Results {
    offers: VecDeque<Offer>,
    offering: Offering,
    made: u64,
    completed_toggle: bool,
    overruns: u32,
}

impl Results {
    /// A result came. False: there was no room for it.
    pub(super) fn push(&mut self, result: PieceResult, acquisition: u16, buffered: bool) -> bool {
        let room = if buffered { RESULTS_MAX } else { 1 };
        if self.offers.len() >= room {
            self.overruns = self.overruns.wrapping_add(1);
            return false;
        }
        self.made += 1;
        self.offers.push_back(Offer { number: self.made, result, acquisition, announced: false });
        true
    }

    /// Moves on as far as the levels allow.
    pub(super) fn advance(&mut self, link_up: bool, acknowledged: bool) {
        if self.offering == Offering::Valid && acknowledged {
            self.offers.pop_front();
            self.offering = Offering::Withdrawn;
        }
        if self.offering == Offering::Withdrawn && !acknowledged {
            self.offering = Offering::Idle;
        }
        if self.offering == Offering::Idle
            && link_up
            && !acknowledged
            && let Some(offer) = self.offers.front_mut()
        {
            self.completed_toggle ^= !offer.announced;
            offer.announced = true;
            self.offering = Offering::Valid;
        }
    }

    /// The link went down: what is on offer is taken back and offered again later.
    pub(super) fn link_down(&mut self) {
        if self.offering == Offering::Valid {
            self.offering = Offering::Idle;
        }
    }

    /// The PLC has forgotten its pieces: nothing of before is offered. Returns how many results that were.
    pub(super) fn forget(&mut self) -> usize {
        self.link_down();
        std::mem::take(&mut self.offers).len()
    }

    /// The result of `piece`, if it waits or is on offer.
    pub(super) fn find(&self, piece: PieceId) -> Option<&PieceResult> {
        self.offers.iter().map(|offer| &offer.result).find(|result| result.piece == piece)
    }

    /// Two pieces have this number.
    pub(super) fn spoil(&mut self, piece: PieceId) {
        for offer in self.offers.iter_mut().filter(|offer| offer.result.piece == piece) {
            offer.result = spoiled(&offer.result);
        }
    }

    /// The result on offer right now, if `ResultsValid` is 1.
    pub(super) fn on_offer(&self) -> Option<&Offer> {
        if self.offering == Offering::Valid { self.offers.front() } else { None }
    }

    pub(super) const fn overruns(&self) -> u32 {
        self.overruns
    }

    /// Fills in what the status block says of results.
    pub(super) fn show(&self, status: &mut Status) {
        status.inspection_completed = self.completed_toggle;
        if let Some(offer) = self.on_offer() {
            put_result(status, offer);
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.offers.len()
    }

    #[cfg(test)]
    pub(super) const fn made(&self) -> u64 {
        self.made
    }
}

/// The same piece without a verdict.
pub(super) fn spoiled(result: &PieceResult) -> PieceResult {
    PieceResult { verdict: Verdict::Hold, grade: 0, top_class: None, defects: 0, score: 0, payload: Vec::new(), ..result.clone() }
}

fn put_result(status: &mut Status, offer: &Offer) {
    let result = &offer.result;
    status.results_valid = true;
    status.inspection_id = offer.acquisition;
    status.piece_seq_echo = result.piece.0;
    status.encoder_echo = result.encoder.0;
    let code = match result.verdict {
        // A challenge piece carries a known defect: found or not, it must not pass the gate.
        Verdict::Pass if result.golden => {
            status.fail = true;
            ResultCode::GoldenFailed
        }
        Verdict::Pass => {
            status.pass = true;
            ResultCode::Pass
        }
        Verdict::Reject => {
            status.fail = true;
            if result.golden { ResultCode::GoldenOk } else { ResultCode::Fail }
        }
        Verdict::Hold => {
            status.no_verdict = true;
            ResultCode::NoVerdict
        }
    };
    status.result_code = code as u16;
    status.grade = result.grade;
    status.top_defect_class = result.top_class.map_or(0, |class| u16::from(class.0));
    status.defect_count = result.defects;
    status.score = result.score.min(10_000);
    status.latency = result.latency_tenth_millis;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use station::units::EncoderCount;

    fn result(piece: u32) -> PieceResult {
        PieceResult {
            piece: PieceId(piece),
            encoder: EncoderCount(piece),
            verdict: Verdict::Pass,
            golden: false,
            grade: 1,
            top_class: None,
            defects: 0,
            score: 0,
            latency_tenth_millis: 0,
            reject_at: None,
            payload: Vec::new(),
        }
    }

    proptest! {
        /// Any link, any acknowledging: in order, one toggle each, none beyond the room, none valid without a link.
        #[test]
        fn in_order_and_announced_once(steps in proptest::collection::vec((0..6_u8, any::<bool>(), any::<bool>()), 0..120)) {
            let mut results = Results::default();
            let (mut taken, mut dropped, mut announced) = (Vec::new(), 0, Vec::new());
            let (mut link, mut ack, mut next, mut toggle) = (false, false, 1, false);
            for (what, buffered, level) in steps {
                match what {
                    0 | 1 => {
                        if results.push(result(next), 1, buffered) { taken.push(next) } else { dropped += 1 }
                        next += 1;
                    }
                    2 => link = true,
                    3 => {
                        link = false;
                        results.link_down();
                    }
                    _ => ack = level,
                }
                results.advance(link, ack);
                let mut status = Status::default();
                results.show(&mut status);
                prop_assert!(!status.results_valid || (link && !ack));
                prop_assert!(results.waiting() <= RESULTS_MAX);
                prop_assert_eq!(results.overruns(), dropped);
                let new = status.results_valid && announced.last() != Some(&status.piece_seq_echo);
                if new {
                    announced.push(status.piece_seq_echo);
                }
                prop_assert_eq!(status.inspection_completed != toggle, new, "one toggle for each result");
                toggle = status.inspection_completed;
                prop_assert_eq!(&announced[..], &taken[..announced.len()]);
            }
        }
    }
}
