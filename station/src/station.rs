//! The state machine (placeholder of its vocabulary).
use crate::{
    action::Request,
    inspection::{Inspection, Miss},
    line::{LineCommand, PlcLink},
    piece::Arrival,
    reading::Reading,
    record::{Entry, EntryNumber},
    snapshot::Snapshot,
};
use serde::{Deserialize, Serialize};
/// Everything the station ever learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A piece is in front of the camera and now owes a verdict.
    Arrived(Arrival),
    /// It was inspected.
    Seen(Inspection),
    /// It was not, and will not be.
    Missed(Miss),
    /// A process value.
    Read(Reading),
    /// The link to the PLC.
    Link(PlcLink),
    /// A person decided something.
    Asked(Request),
    /// Every entry up to this one is durable.
    Kept(EntryNumber),
    /// 100 ms passed.
    Tick,
}
/// Everything the world may be asked to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Ask the line.
    Command(LineCommand),
    /// Keep an entry.
    Keep(Box<Entry>),
    /// Show people.
    Show(Box<Snapshot>),
}
/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {}
/// The judgement.
#[derive(Debug)]
pub struct Station {}
