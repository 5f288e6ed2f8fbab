//! What the station asks of the line, and what the line tells back: the meaning of JMAP's two blocks, without registers.

use crate::inspection::ClassId;
use crate::piece::PieceId;
use crate::policy::StopReasons;
use crate::units::EncoderCount;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// One request to the line. Commands are written in the order in which they are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineCommand {
    /// May the line run? Written before anything else, read back after the write.
    Permit(Permit),
    /// The result of one piece, offered to the PLC until it acknowledges.
    Result(PieceResult),
    /// The picture of this piece is taken: it may move on (JMAP `ExposureComplete`). Said by whoever takes pictures, not by the
    /// station; where nobody says it, the piece's result does.
    Exposed(PieceId),
    /// The judging thread is alive (JMAP `VisionHeartbeat`).
    Beat(u16),
    /// Counters for the status block.
    Counters(Counters),
    /// The pieces on their way to the reject gate changed.
    Gate(GateQueue),
    /// What became of something the PLC asked for.
    Answer(Answer),
}

/// The pieces on their way to the reject gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GateQueue {
    /// How many (JMAP `RejectQueueDepth`).
    pub waiting: u16,
    /// Where the gate must act next (JMAP `NextRejectAt`).
    pub next: Option<EncoderCount>,
}

/// Something the PLC asks of the station; answered with `LineCommand::Answer` of the same number, exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlcRequest {
    /// Counts up with every request.
    pub number: u32,
    /// What is asked.
    pub order: PlcOrder,
}

/// What a PLC may ask of the station. What only concerns the handshake (a recipe that is already in force, taking the
/// appliance offline, clearing an error) is answered there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlcOrder {
    /// The stop in force was understood at the PLC (JMAP `LineStopAck` 0→1).
    AcknowledgeStop,
    /// Command 100: a new lot begins, with the number in `LotNo`; the windows of the stop policy begin anew.
    NewLot(u32),
    /// Command 101: from now on a stop is commanded.
    ArmLineStop,
    /// Command 102: from now on a stop is shown, counted and logged, but not commanded.
    DisarmLineStop,
    /// Command 103: the counters begin anew.
    ResetCounters,
    /// Command 104: the next piece is a challenge piece.
    GoldenCheck,
    /// `SoftEvent` n 0→1, n = 0…7: a mark in the record.
    SoftEvent(u8),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's number.
    pub number: u32,
    /// False: refused, nothing was changed.
    pub done: bool,
}

/// The run permit with its reasons. `run == false` is the safe state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permit {
    /// True: the line may run.
    pub run: bool,
    /// Why not, as JMAP `StopReason` bits; empty while it may run.
    pub reasons: StopReasons,
    /// Number of the current or last stop (JMAP `StopSeq`).
    pub stop_seq: u16,
    /// Nelson rules of the chart that asked for the stop, bit n−1 = rule n; 0 if none did.
    pub spc_rules: u16,
    /// Number of that chart; 0 if none.
    pub spc_chart: u16,
}

/// What the PLC is told about one piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PieceResult {
    /// The piece (JMAP `PieceSeqEcho`).
    pub piece: PieceId,
    /// Encoder count at its trigger (JMAP `EncoderEcho`).
    pub encoder: EncoderCount,
    /// The verdict: Pass, Fail and NoVerdict are one-hot in the block.
    pub verdict: Verdict,
    /// A challenge piece: it carries a known defect, so a Pass means that the challenge failed. It never passes the gate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub golden: bool,
    /// Rubric grade index; 0 = none.
    pub grade: u16,
    /// Class of the best-scored defect.
    pub top_class: Option<ClassId>,
    /// Number of defects.
    pub defects: u16,
    /// Best score, 0…10 000.
    pub score: u16,
    /// Trigger to verdict in units of 0.1 ms, saturating.
    pub latency_tenth_millis: u16,
    /// Where the gate must act if the piece is not to pass; `None` for the Pass of a piece that is no challenge.
    pub reject_at: Option<EncoderCount>,
    /// The values of the recipe's payload, in its order, finite; empty means zeros.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload: Vec<f64>,
}

/// Counters as the line sees them, since the counters were last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Pieces that got a verdict of any kind.
    pub inspected: u32,
    /// Pass.
    pub pass: u32,
    /// Reject.
    pub reject: u32,
    /// Hold (JMAP "no verdict").
    pub hold: u32,
    /// Pieces nobody inspected; each is also a hold.
    pub missed: u32,
    /// Pieces sent to the reject gate.
    pub reject_commanded: u32,
    /// Rejects the PLC confirmed.
    pub reject_confirmed: u32,
    /// Rejects that passed the gate unconfirmed.
    pub reject_unconfirmed: u32,
}

/// The state of the connection to the PLC, and what the PLC says of its own side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlcLink {
    /// Connected, heartbeat moving, blocks readable. Said again after every reconnect: the station then asserts its permit anew.
    Up,
    /// Not usable, and why.
    Down(LinkFault),
    /// The PLC came back without its memory: the numbers it gives from now on are those of other pieces.
    Forgot,
    /// The PLC's side changed.
    Feedback(Feedback),
    /// The PLC asks for something.
    Asked(PlcRequest),
}

/// Why the link to the PLC cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkFault {
    /// Not connected, refused or reset.
    Disconnected,
    /// No answer in time.
    TimedOut,
    /// Connected, but `PlcHeartbeat` stands still.
    HeartbeatFrozen,
    /// A written run permit did not read back.
    ReadBackMismatch,
    /// The PLC answered with an exception or nonsense.
    Refused,
    /// Commands came faster than the line took them.
    Overrun,
}

/// The PLC's own side, as it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Feedback {
    /// The conveyor really moves.
    pub line_running: bool,
    /// Rejects confirmed since the link came up (toggles of JMAP `RejectConfirm`).
    pub rejects_confirmed: u32,
    /// No room for another rejected piece.
    pub bin_full: bool,
    /// Emergency stop pressed (information only).
    pub estop: bool,
    /// Key switch: stops are shown, counted and logged, but not commanded.
    pub stop_inhibit: bool,
}
