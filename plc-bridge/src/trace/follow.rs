//! Pieces from their trigger to the withdrawal of their result, and heartbeats.

use super::{ACK_LIMIT, Anomaly, HEARTBEAT_GAP, PieceTrace, Side, What};
use crate::jmap::{Control, Status};
use station::units::{Micros, Timestamp};
use std::collections::VecDeque;

/// Pieces followed at once; one slot costs some 100 bytes. When it is full the oldest is told as far as it was seen.
const OPEN_MAX: usize = 64;

/// A result that lies in the result registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    /// `InspectionID` and `PieceSeqEcho`: another result has another pair.
    identity: (u16, u32),
    since: Timestamp,
    /// `ResultCode`.
    code: u16,
    /// Its piece is known.
    matched: bool,
    acked: bool,
    told: bool,
}

/// The pieces between trigger and withdrawal, oldest first.
///
/// The two blocks are not read at the same moment, and an exchange may be over before the next look. What betrays it: a
/// new `AcquisitionID` (a trigger was taken) and a toggle of `InspectionCompleted` (a result was offered). As many of them
/// as were not seen themselves are remembered here, and for each one oddity is not called an anomaly.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    open: VecDeque<PieceTrace>,
    offer: Option<Offer>,
    /// A result of a piece whose trigger was seen has come: from now on an unknown number is an anomaly.
    synced: bool,
    /// The last look showed an acknowledgement before its trigger, because the status block is read second.
    early_ack: bool,
    /// Triggers taken, and results offered, that no look showed.
    unseen_triggers: u16,
    unseen_results: u16,
}

impl Pieces {
    /// `controls` and `statuses` are those of the last look and of this one.
    pub(super) fn look(
        &mut self,
        controls: (&Control, &Control),
        statuses: (&Status, &Status),
        at: Timestamp,
        period: Micros,
        out: &mut Vec<What>,
    ) {
        for piece in &mut self.open {
            piece.resolution = piece.resolution.max(period);
        }
        let (was, status) = statuses;
        // A step over the wrap from 65535 to 1 counts one too many, which only makes the trace more careful.
        let mut taken = status.acquisition_id.wrapping_sub(was.acquisition_id);
        let acked = status.trigger_ack && !was.trigger_ack;
        if self.triggered(controls, taken != 0) {
            self.open_piece(controls.1.piece_seq, at, period, out);
        }
        self.early_ack = false;
        if acked || taken != 0 {
            match self.open.back_mut().filter(|latest| latest.trigger_ack.is_none()) {
                Some(latest) => latest.trigger_ack = Some(at.since(latest.triggered_at)),
                None => self.early_ack = true,
            }
            taken = taken.saturating_sub(1);
        }
        self.unseen_triggers = self.unseen_triggers.saturating_add(taken);
        if let Some(latest) = self.open.back_mut() {
            if controls.0.trigger && !controls.1.trigger && latest.trigger_ack.is_none() {
                out.push(What::Anomaly(Anomaly::TriggerDropped { piece: latest.piece }));
            }
            if status.exposure_complete && !was.exposure_complete && latest.exposure_complete.is_none() {
                latest.exposure_complete = Some(at.since(latest.triggered_at));
            }
        }
        self.results(controls, statuses, at, out);
    }

    /// Everything that is still open, as far as it was seen.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = PieceTrace> {
        std::mem::take(self).open.into_iter()
    }

    /// Whether a piece was triggered since the last look. Trigger still 1 with another number: the 0 in between was not
    /// seen. Trigger still 0 with another number, and one was taken: the 1 in between was not.
    fn triggered(&self, (was, control): (&Control, &Control), taken: bool) -> bool {
        let renumbered = control.piece_seq != was.piece_seq;
        if control.trigger { !was.trigger || renumbered } else { renumbered && (taken || self.early_ack) }
    }

    fn open_piece(&mut self, piece: u32, at: Timestamp, period: Micros, out: &mut Vec<What>) {
        if self.open.len() >= OPEN_MAX {
            out.extend(self.open.pop_front().map(What::Piece));
        }
        let trigger_ack = self.early_ack.then_some(Micros(0));
        self.open.push_back(PieceTrace { piece, triggered_at: at, trigger_ack, resolution: period, ..PieceTrace::default() });
    }

    fn results(
        &mut self,
        (was_control, control): (&Control, &Control),
        (was, status): (&Status, &Status),
        at: Timestamp,
        out: &mut Vec<What>,
    ) {
        let now = status.results_valid.then_some((status.inspection_id, status.piece_seq_echo));
        let changed = self.offer.map(|offer| offer.identity) != now;
        let ack = control.results_ack && !was_control.results_ack;
        if (status.inspection_completed != was.inspection_completed) != (changed && now.is_some()) {
            self.unseen_results = self.unseen_results.saturating_add(1);
        }
        // The control block was read before the status block: the trigger of an unknown result may only show now.
        let again = self.offer.filter(|offer| !changed && !offer.matched).is_some();
        if again {
            self.bind(true, status, at, out);
        }
        // A new result only comes after ResultsAck went back to 0, so an ack seen beside a new result belongs to that.
        if ack && (!changed || now.is_none()) {
            self.acknowledge(at);
        }
        if changed {
            if let Some(offer) = self.offer.take() {
                self.withdraw(offer, at, out);
            }
            if let Some(identity) = now {
                self.offer = Some(Offer { identity, since: at, code: status.result_code, matched: false, acked: false, told: false });
                self.bind(false, status, at, out);
                if ack {
                    self.acknowledge(at);
                }
            }
        }
        if let Some(offer) = &mut self.offer
            && !(offer.acked || offer.told)
            && at.since(offer.since) > ACK_LIMIT
        {
            offer.told = true;
            out.push(What::Anomaly(Anomaly::ResultsNotAcked { piece: offer.identity.1, waited: at.since(offer.since) }));
        }
    }

    /// Finds the piece of the result on offer; at the second attempt (`last`) an unknown one is told.
    fn bind(&mut self, last: bool, status: &Status, at: Timestamp, out: &mut Vec<What>) {
        let Some(offer) = &mut self.offer else { return };
        let echo = offer.identity.1;
        let waits = |piece: &PieceTrace| piece.results_valid.is_none();
        // The appliance numbers the pieces of a PLC that does not.
        let found = self.open.iter().position(|piece| waits(piece) && (piece.piece == echo || piece.piece == 0));
        let expected = self.open.iter().position(waits);
        offer.matched = found.is_some() || last;
        let Some(found) = found else {
            if !last {
                return;
            }
            if self.synced && self.unseen_triggers == 0 {
                let expected = expected.and_then(|index| self.open.get(index)).map(|piece| piece.piece);
                out.push(What::Anomaly(Anomaly::UnexpectedEcho { echo, expected }));
            }
            self.unseen_triggers = self.unseen_triggers.saturating_sub(1);
            return;
        };
        self.synced = true;
        let newest = found + 1 == self.open.len();
        if let Some(piece) = self.open.get_mut(found) {
            let passed = at.since(piece.triggered_at);
            piece.piece = echo;
            piece.results_valid = Some(passed);
            piece.result_code = offer.code;
            // It was 1 for the piece before as well, and the 0 in between fell between two looks.
            if newest && status.exposure_complete && piece.exposure_complete.is_none() {
                piece.exposure_complete = Some(passed);
            }
        }
        self.skip(found, echo, out);
    }

    /// Pieces before the one at `found` still wait for a result: theirs was not seen, or the order is wrong.
    fn skip(&mut self, found: usize, echo: u32, out: &mut Vec<What>) {
        let mut waiting = (0..found).filter(|index| self.open.get(*index).is_some_and(|piece| piece.results_valid.is_none()));
        let skipped: Vec<usize> = waiting.by_ref().take(usize::from(self.unseen_results)).collect();
        let expected = waiting.next().and_then(|index| self.open.get(index)).map(|piece| piece.piece);
        if expected.is_some() {
            out.push(What::Anomaly(Anomaly::UnexpectedEcho { echo, expected }));
        }
        for index in skipped.into_iter().rev() {
            self.unseen_results = self.unseen_results.saturating_sub(1);
            out.extend(self.open.remove(index).map(What::Piece));
        }
    }

    fn acknowledge(&mut self, at: Timestamp) {
        let Some(offer) = &mut self.offer else { return };
        offer.acked = true;
        let echo = offer.identity.1;
        if let Some(piece) = self.open.iter_mut().find(|piece| piece.piece == echo && piece.results_valid.is_some()) {
            piece.results_ack = Some(at.since(piece.triggered_at));
        }
    }

    fn withdraw(&mut self, offer: Offer, at: Timestamp, out: &mut Vec<What>) {
        let index = self.open.iter().position(|piece| piece.piece == offer.identity.1 && piece.results_valid.is_some());
        if let Some(mut piece) = index.and_then(|index| self.open.remove(index)) {
            piece.results_withdrawn = Some(at.since(piece.triggered_at));
            out.push(What::Piece(piece));
        }
    }
}

/// A counter that must move.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heart {
    last: Option<(u16, Timestamp)>,
    still: bool,
}

impl Heart {
    pub(super) fn beat(&mut self, value: u16, at: Timestamp, side: Side) -> Option<What> {
        let (last, moved_at) = *self.last.get_or_insert((value, at));
        let gap = at.since(moved_at);
        if value != last {
            self.last = Some((value, at));
            return std::mem::take(&mut self.still).then_some(What::Anomaly(Anomaly::HeartbeatGap { side, gap }));
        }
        // Unchanged from look to look: it really stood still for so long.
        let newly = gap > HEARTBEAT_GAP && !self.still;
        self.still |= newly;
        newly.then_some(What::Anomaly(Anomaly::HeartbeatStill { side }))
    }
}
