//! What clients wrote, as an auditor sees it who trusts none of them.
//!
//! A client that lost its connection must not bring back anything from before: neither by writing an old image on a new
//! connection, nor by bytes of an old connection that arrive late.
//!
//! Invariant: the audit only counts; it changes nothing and survives the PLC's loss of power.

use crate::jmap::{Order, STATUS_HEAD, Status, status2};
use std::collections::BTreeMap;

/// Connections whose last write is remembered; one costs 24 bytes. When it is full the oldest is forgotten.
const WRITERS_MAX: usize = 64;

/// What was written to the status block since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Writes that reached the memory.
    pub writes: u64,
    /// Of them, with RunPermit 1.
    pub permits: u64,
    /// Connections that have written.
    pub writers: u64,
    /// Connections whose first write was not 64 zeros.
    pub first_not_zero: u64,
    /// Writes in which VisionHeartbeat, StopSeq or PieceSeqEcho is older than in one before on the same connection.
    pub backwards: u64,
    /// Writes with a VisionHeartbeat older than one that any connection has written.
    pub outdated: u64,
    /// Writes on a connection that is older than one that has written already.
    pub overtaken: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Written {
    beat: u16,
    stop_seq: u16,
    piece: u32,
}

/// The auditor's notebook.
#[derive(Debug, Default)]
pub(super) struct Auditor {
    pub(super) audit: Audit,
    /// `None` after nothing but zeros.
    last: BTreeMap<u64, Option<Written>>,
    newest: u64,
    newest_beat: Option<u16>,
}

/// `before` is later than `now`, on a number that wraps.
const fn is_older(now: u16, before: u16) -> bool {
    now.wrapping_sub(before) > 0x8000
}

impl Auditor {
    /// The memory of the status block after `connection` has written to it.
    pub(super) fn note(&mut self, connection: u64, block: &[u16]) {
        let status = Status::decode(block, Order::default());
        let head = block.get(..usize::from(STATUS_HEAD)).unwrap_or(block);
        let zeros = head.iter().all(|word| *word == 0);
        self.audit.writes += 1;
        self.audit.permits += u64::from(block.get(usize::from(status2::REGISTER)).is_some_and(|word| word & status2::RUN_PERMIT != 0));
        self.audit.overtaken += u64::from(connection < self.newest);
        self.newest = self.newest.max(connection);
        let before = self.last.get(&connection).copied();
        if before.is_none() {
            self.audit.writers += 1;
            self.audit.first_not_zero += u64::from(!zeros);
        }
        let mut now = before.flatten();
        // Zeros are also the last word of a client that ends in good order, and always safe.
        if !zeros {
            let written = Written { beat: status.heartbeat, stop_seq: status.stop_seq, piece: status.piece_seq_echo };
            let before = now.unwrap_or(written);
            let piece_older = written.piece != 0 && written.piece < before.piece;
            let older = is_older(written.beat, before.beat) || is_older(written.stop_seq, before.stop_seq) || piece_older;
            self.audit.backwards += u64::from(older);
            self.audit.outdated += u64::from(self.newest_beat.is_some_and(|newest| is_older(written.beat, newest)));
            self.newest_beat = Some(written.beat);
            now = Some(Written { piece: written.piece.max(before.piece), ..written });
        }
        if self.last.len() >= WRITERS_MAX {
            self.last.pop_first();
        }
        self.last.insert(connection, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(writes: &[(u64, u16, bool)]) -> Audit {
        let mut auditor = Auditor::default();
        for (connection, beat, run_permit) in writes {
            let status = Status { heartbeat: *beat, run_permit: *run_permit, ..Status::default() };
            auditor.note(*connection, &status.encode(Order::default()));
        }
        auditor.audit
    }

    #[test]
    fn a_client_in_good_order_leaves_no_mark() {
        let good = audit(&[(1, 0, false), (1, 7, true), (1, 8, true), (2, 0, false), (2, 9, false), (2, 0, false)]);
        assert_eq!(good, Audit { writes: 6, permits: 2, writers: 2, ..Audit::default() });
        assert_eq!(audit(&[(1, 0, false), (1, u16::MAX, false), (1, 0, true)]).backwards, 0, "the heartbeat wraps");
    }

    #[test]
    fn each_kind_of_stale_write_is_counted() {
        assert_eq!(audit(&[(1, 7, false)]).first_not_zero, 1);
        assert_eq!(audit(&[(1, 0, false), (1, 7, false), (1, 6, false)]).backwards, 1);
        assert_eq!(audit(&[(1, 0, false), (1, 7, false), (2, 0, false), (2, 6, true)]).outdated, 1);
        assert_eq!(audit(&[(1, 0, false), (2, 0, false), (1, 7, true)]).overtaken, 1);
    }
}
