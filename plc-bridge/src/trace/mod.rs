//! The handshake's timing for a controls engineer (`jidoka plc trace`).
//!
//! ```text
//!   Trigger ──► TriggerAck ──► ExposureComplete ──► ResultsValid ──► ResultsAck ──► ResultsValid 0
//!      0 └──────────┴─────────────────┴──────────────────┴───────────────┴───────────────┘ told in time since Trigger
//! ```
//! A look is both blocks, the control block read first. What happens between two looks is seen at the second, so that each
//! time is right to plus or minus one period; `PieceTrace::resolution` says how long the longest of them was.
//!
//! Invariants: pure, times come in with the looks; an exchange that was too fast to see is left out, never guessed, and is
//! no anomaly; what began before the first look, or before the link was lost, is not judged; memory is bounded.

mod follow;
mod poll;
mod summary;

pub use poll::trace;
pub use summary::{Spread, Summary};

use crate::jmap::{Control, Status};
use follow::{Heart, Pieces};
use serde::Serialize;
use station::policy::StopReasons;
use station::units::{Micros, Timestamp};
use summary::Tally;

/// Something the trace tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Traced {
    /// The look that showed it.
    pub at: Timestamp,
    /// What it showed.
    #[serde(flatten)]
    pub what: What,
}

/// What a look can show.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The exchange of one piece is over, or was given up.
    Piece(PieceTrace),
    /// The contract was not kept, or something was lost.
    Anomaly(Anomaly),
    /// RunPermit as it is at the first look, or it changed, or its reasons did.
    Permit {
        /// The line may run.
        run: bool,
        /// Why not: names of the `StopReason` bits.
        reasons: Vec<&'static str>,
        /// `StopSeq`.
        stop_seq: u16,
    },
    /// The trace's own connection was lost or came back.
    Link {
        /// Connected.
        up: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// The exchange of one piece. Times count from the look that showed `Trigger`; `None` was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PieceTrace {
    /// `PieceSeq`; 0 if the PLC does not number its pieces and no result has come.
    pub piece: u32,
    /// When `Trigger` was seen.
    pub triggered_at: Timestamp,
    /// `TriggerAck` 1.
    pub trigger_ack: Option<Micros>,
    /// `ExposureComplete` 1.
    pub exposure_complete: Option<Micros>,
    /// `ResultsValid` 1 with this piece's number.
    pub results_valid: Option<Micros>,
    /// `ResultsAck` 1.
    pub results_ack: Option<Micros>,
    /// `ResultsValid` 0 again.
    pub results_withdrawn: Option<Micros>,
    /// `ResultCode`; 0 if no result came.
    pub result_code: u16,
    /// Longest time between two looks while this piece was followed: each time above is right to ± so much.
    pub resolution: Micros,
}

/// One side of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// `PlcHeartbeat`.
    Plc,
    /// `VisionHeartbeat`.
    Vision,
}

/// What should not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "anomaly", rename_all = "snake_case")]
pub enum Anomaly {
    /// `Trigger` went to 0 and neither `TriggerAck` nor a new `AcquisitionID` was seen: the PLC must hold it.
    TriggerDropped {
        /// `PieceSeq` at the trigger.
        piece: u32,
    },
    /// `CountMissedTriggers` went up: triggers came while `TriggerReady` was 0.
    TriggersMissed {
        /// How many.
        count: u32,
    },
    /// A result is on offer for so long without `ResultsAck`.
    ResultsNotAcked {
        /// `PieceSeqEcho`.
        piece: u32,
        /// Since the look that showed it.
        waited: Micros,
    },
    /// `CountBufferOverruns` went up: results found no room on offer.
    ResultsOverrun {
        /// How many.
        count: u32,
    },
    /// A result for another piece than the oldest that waits for one.
    UnexpectedEcho {
        /// `PieceSeqEcho`.
        echo: u32,
        /// The oldest piece without a result; `None` if no piece waits.
        expected: Option<u32>,
    },
    /// A heartbeat stands still for longer than 250 ms. The PLC must move it at least that often, the appliance does
    /// every 100 ms.
    HeartbeatStill {
        /// Whose.
        side: Side,
    },
    /// A heartbeat that stood still moves again.
    HeartbeatGap {
        /// Whose.
        side: Side,
        /// From the look that showed the last value to that which showed the next: too long by up to two periods.
        gap: Micros,
    },
}

/// A heartbeat may stand still for so long (JMAP: `PlcHeartbeat` moves at least every 250 ms).
const HEARTBEAT_GAP: Micros = Micros::from_millis(250);
/// A PLC that reads its results does so within a few scans; a second is a program that forgot.
const ACK_LIMIT: Micros = Micros::from_millis(1000);

/// Follows the handshake of both sides from look to look.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    before: Option<(Control, Status, Timestamp)>,
    pieces: Pieces,
    plc: Heart,
    vision: Heart,
    tally: Tally,
}

impl Tracer {
    /// Before the first look.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one look at both blocks and tells what it showed.
    pub fn look(&mut self, control: &Control, status: &Status, at: Timestamp) -> Vec<Traced> {
        let mut out = Vec::new();
        let before = self.before.replace((control.clone(), *status, at));
        if let Some((was_control, was, was_at)) = &before {
            let period = at.since(*was_at);
            self.tally.period(period);
            self.pieces.look((was_control, control), (was, status), at, period, &mut out);
            let missed = status.counters[MISSED].wrapping_sub(was.counters[MISSED]);
            let overrun = status.counters[OVERRUN].wrapping_sub(was.counters[OVERRUN]);
            // A counter that was reset goes down; that is no loss.
            if missed != 0 && status.counters[MISSED] > was.counters[MISSED] {
                out.push(What::Anomaly(Anomaly::TriggersMissed { count: missed }));
            }
            if overrun != 0 && status.counters[OVERRUN] > was.counters[OVERRUN] {
                out.push(What::Anomaly(Anomaly::ResultsOverrun { count: overrun }));
            }
        }
        out.extend(self.plc.beat(control.heartbeat, at, Side::Plc));
        out.extend(self.vision.beat(status.heartbeat, at, Side::Vision));
        let permit = |status: &Status| (status.run_permit, status.stop_reason, status.stop_seq);
        if before.is_none_or(|(_, was, _)| permit(&was) != permit(status)) {
            let reasons = StopReasons(status.stop_reason).iter().map(|reason| reason.name()).collect();
            out.push(What::Permit { run: status.run_permit, reasons, stop_seq: status.stop_seq });
        }
        self.told(out, at)
    }

    /// Gives up what was being followed, because the next look will not follow the last: tells the open pieces as far as
    /// they were seen. Also the end of a trace.
    pub fn lose(&mut self, at: Timestamp) -> Vec<Traced> {
        self.before = None;
        (self.plc, self.vision) = (Heart::default(), Heart::default());
        let out = self.pieces.give_up().map(What::Piece).collect();
        self.told(out, at)
    }

    /// What was measured so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.tally.summary()
    }

    fn told(&mut self, out: Vec<What>, at: Timestamp) -> Vec<Traced> {
        out.iter().for_each(|what| self.tally.note(what));
        out.into_iter().map(|what| Traced { at, what }).collect()
    }
}

/// Places in `Status::counters`.
const MISSED: usize = 4;
const OVERRUN: usize = 5;

#[cfg(test)]
mod tests;
