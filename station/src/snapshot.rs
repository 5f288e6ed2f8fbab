//! What people see: the whole state of the station in one value, latest wins.

use crate::action::By;
use crate::decision::Decisions;
use crate::inspection::PixelBox;
use crate::intake::MadeOf;
use crate::line::{Counters, PlcLink};
use crate::piece::PieceId;
use crate::policy::{StopReason, StopReasons, Withheld};
use crate::reading::Reading;
use crate::record::ChartPoint;
use crate::units::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The station at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// Name of the line and the station.
    pub line: Arc<str>,
    /// Recipe in force.
    pub recipe: Arc<str>,
    /// Model in force, `name@version`.
    pub model: Arc<str>,
    /// Where the station stands.
    pub phase: Phase,
    /// May the line run?
    pub run_permit: bool,
    /// The stop in force, if there is one.
    pub stop: Option<StopView>,
    /// The last stop that was released or withheld.
    pub last_stop: Option<StopView>,
    /// Whether stops are commanded at all.
    pub line_stop: LineStopView,
    /// Counters.
    pub counters: Counters,
    /// The last pieces, oldest first.
    pub pieces: Vec<Arc<PieceView>>,
    /// The charts of the control plan, in its order.
    pub charts: Vec<Arc<ChartView>>,
    /// The latest reading of every tag, in order of name.
    pub readings: Vec<Reading>,
    /// The link to the PLC.
    pub plc: PlcView,
    /// Ledger entries written but not yet durable.
    pub backlog_entries: u64,
    /// Last entry that is durable.
    pub kept: u64,
    /// What people decided about pieces that had their verdict.
    #[serde(default)]
    pub decisions: DecisionsView,
    /// The supplier lots in use; left out if there are none.
    #[serde(default, skip_serializing_if = "crate::intake::is_nothing")]
    pub made_of: MadeOf,
}

/// What is open of the decisions about pieces that had their verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecisionsView {
    /// Number of the last decision.
    pub last: u64,
    /// Number of the last piece record.
    pub results: u64,
    /// Complaints, each an escape.
    pub escapes: u64,
    /// Names of the grades, the best first.
    pub grades: Arc<[String]>,
    /// Open holds, oldest first.
    pub holds: Vec<OpenView>,
    /// Recalls in force, oldest first.
    pub recalls: Vec<OpenView>,
    /// The same with all serials, for whoever has to check a decision before it is handed over.
    #[serde(skip)]
    pub all: Arc<Decisions>,
}

/// A hold or a recall, without its serials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenView {
    /// The decision that began it.
    pub decision_id: u64,
    /// Name of the recall, or reason of the hold.
    pub name: String,
    /// Piece records in its ranges.
    pub results: u64,
    /// Its lots.
    pub lots: Vec<u32>,
    /// How many serials it names.
    pub serials: usize,
}

/// Where the station stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not yet: the start is not durable or the PLC has not been heard.
    Starting,
    /// The line may run.
    Running,
    /// The line is stopped; nobody has acknowledged.
    Stopped,
    /// The line is stopped; somebody has acknowledged it, nobody has released it.
    Acknowledged,
    /// Released; waiting until the release is durable.
    Releasing,
}

/// A stop as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopView {
    /// Its number.
    pub seq: u16,
    /// The first reason.
    pub first: StopReason,
    /// In words.
    pub detail: String,
    /// All reasons.
    pub reasons: StopReasons,
    /// What to check (the reaction plan), if the plan says so.
    pub reaction: String,
    /// The piece at which it stopped.
    pub piece: Option<PieceId>,
    /// The chart that signalled; 0 if none did.
    pub chart: u16,
    /// Since when.
    pub since: Timestamp,
    /// Who acknowledged it.
    pub acknowledged_by: Option<By>,
    /// The cause they gave.
    pub cause: String,
    /// What kept the stop from being commanded; `None` if it was.
    pub withheld: Option<Withheld>,
}

/// Whether stops are commanded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineStopView {
    /// False: stops are shown, counted and recorded, not commanded.
    pub armed: bool,
    /// Who armed or disarmed it last; `None` if nobody ever has.
    pub by: Option<By>,
    /// When.
    pub since: Option<Timestamp>,
    /// Stops that were due and not commanded, by whatever kept them, since the counters were reset.
    pub withheld: u32,
}

/// A piece as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PieceView {
    /// The piece.
    pub piece: PieceId,
    /// Its serial.
    pub serial: Option<String>,
    /// Its record.
    pub result_id: u64,
    /// When its verdict was given.
    pub at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// Name of the grade.
    pub grade: String,
    /// Why it did not pass, in words; empty for a pass.
    pub reason: String,
    /// Trigger to verdict.
    pub latency_micros: u64,
    /// Width and height of the frame in pixels; 0 if there was none.
    pub frame: [u32; 2],
    /// The camera of the frame set whose frame that is; `None` where there is one camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Arc<str>>,
    /// Defects with their boxes in frame pixels.
    pub defects: Vec<DefectView>,
    /// What a person decided it to be instead; the last such decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overruled: Option<OverruleView>,
}

/// An overrule as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverruleView {
    /// The decision.
    pub decision_id: u64,
    /// The verdict from then on.
    pub verdict: Verdict,
    /// Name of the grade from then on.
    pub grade: String,
    /// Who.
    pub by: By,
    /// Why.
    pub reason: String,
}

/// A defect as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefectView {
    /// Name of the class.
    pub class: String,
    /// Score, 0…1.
    pub score: f32,
    /// Where.
    pub bounds: PixelBox,
    /// The camera of the frame set that saw it; `None` where there is one camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Arc<str>>,
}

/// A chart as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChartView {
    /// Number of the chart.
    pub id: u16,
    /// Name of the characteristic.
    pub name: String,
    /// `individuals`, `reject_share` or `defects_per_piece`.
    pub kind: Cow<'static, str>,
    /// Unit of the plotted value.
    pub unit: String,
    /// Subgroups still to come before the limits are frozen; 0 = frozen.
    pub learning: u32,
    /// Revision of the limits in force, or of the last ones while new ones are learnt; 0 before the first.
    pub revision: u32,
    /// The latest points, oldest first.
    pub points: Vec<PointView>,
}

/// A point and the piece that completed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointView {
    /// The piece.
    pub piece: PieceId,
    /// The point.
    #[serde(flatten)]
    pub point: ChartPoint,
}

/// The link to the PLC as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlcView {
    /// The last thing heard: up, or down and why.
    pub link: Option<PlcLink>,
    /// The conveyor really moves.
    pub line_running: bool,
    /// Emergency stop pressed.
    pub estop: bool,
    /// Key switch: stops are not commanded.
    pub stop_inhibit: bool,
    /// The key switch is still on, but for too long: stops are commanded.
    pub inhibit_expired: bool,
    /// Rejects on their way to the gate.
    pub reject_queue: u32,
}
