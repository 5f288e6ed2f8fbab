//! What is kept: one chain of entries, each naming the digest of the one before.
//!
//! Invariants: entry numbers are gap-free from 1; an entry is never changed; the canonical bytes of an entry are its JSON
//! with fields in declaration order (no floats other than finite ones), and its digest is SHA-256 over the previous
//! entry's digest and those bytes. A correction is a new entry.

use crate::action::{By, Revision};
use crate::decision::DecisionRecord;
use crate::gate::GateEnd;
use crate::inspection::Inspection;
use crate::intake::{IntakeRecord, MadeOf};
use crate::line::Counters;
use crate::memory::Memory;
use crate::piece::Arrival;
use crate::policy::{StopReason, StopReasons, Withheld};
use crate::reading::Reading;
use crate::recipe::Recipe;
use crate::units::{Digest, EncoderCount, Timestamp};
use crate::verdict::Judgement;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Number of an entry in the ledger, gap-free from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryNumber(pub u64);

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub number: EntryNumber,
    /// When it was made.
    pub at: Timestamp,
    /// Digest of the entry before it; all zero for entry 1.
    pub previous: Digest,
    /// What happened.
    pub body: Body,
}

/// Why an entry's bytes could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("entry {number}: not representable as canonical JSON")]
pub struct EntryError {
    /// The entry.
    pub number: u64,
    /// What the encoder said.
    #[source]
    pub source: serde_json::Error,
}

impl Entry {
    /// The canonical bytes, as kept and as digested.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        serde_json::to_vec(self).map_err(|source| EntryError { number: self.number.0, source })
    }

    /// Reads canonical bytes back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The digest that the next entry must name: SHA-256(previous digest ‖ canonical bytes).
    #[must_use]
    pub fn digest(previous: Digest, bytes: &[u8]) -> Digest {
        Digest::of_parts(&[&previous.0, bytes])
    }
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The station started (or started again) with this recipe.
    Started(Box<Started>),
    /// One piece and its verdict. Exactly one per piece.
    Piece(Box<PieceRecord>),
    /// The line was stopped.
    Stopped(StopRecord),
    /// A person understood a stop.
    Acknowledged(Acknowledgement),
    /// A person let the line run again.
    Released(ReleaseRecord),
    /// Control limits were estimated and frozen.
    Limits(LimitsRecord),
    /// A person gave a chart other limits, or let it learn anew.
    Revised(RevisionRecord),
    /// The line stop was armed or disarmed.
    Armed(ArmRecord),
    /// Rejected pieces came to their end at the gate, one way or another.
    Gate(GateRecord),
    /// The key switch that withholds stops was turned, or was on for too long.
    KeySwitch(KeySwitchRecord),
    /// A lot began.
    Lot(LotRecord),
    /// The counters began anew.
    CountersReset(CountersReset),
    /// Something happened at the line that somebody wanted to find again.
    Mark(MarkRecord),
    /// A person decided something about pieces that have their verdict.
    Decided(Box<DecisionRecord>),
    /// A person said what pieces are made of from here on.
    TakenIn(Box<IntakeRecord>),
    /// Everything the station remembers, so that a restart need not read the whole chain.
    Checkpoint(Box<Memory>),
}

/// The station came up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Line and station identity.
    pub identity: Identity,
    /// The recipe in force from here on.
    pub recipe: Arc<Recipe>,
    /// Version of the program.
    pub program: String,
}

/// Who we are in the plant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the line.
    pub line: String,
    /// Name of the station.
    pub station: String,
    /// GS1 SGLN of the read point as an EPC URI or Digital Link; empty if the plant has none.
    pub sgln: String,
    /// GS1 company prefix + item reference of the product as `urn:epc:id:sgtin:PREFIX.ITEM`; empty if there is none.
    pub sgtin_base: String,
}

/// Everything known of one piece (field names follow OPC 40100-1 `ResultDataType` where it has one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PieceRecord {
    /// Gap-free number of the piece record at this station, from 1 (OPC 40100-1 `ResultId`).
    pub result_id: u64,
    /// The piece as the PLC announced it (`PartId` is its serial).
    pub arrival: Arrival,
    /// When it was announced.
    pub arrived_at: Timestamp,
    /// What was seen; `None` if nobody looked.
    pub inspection: Option<Arc<Inspection>>,
    /// The verdict.
    pub judgement: Judgement,
    /// Version of the rubric that graded it.
    pub rubric_version: u16,
    /// Process readings in force when it arrived.
    pub readings: Vec<Reading>,
    /// Chart points this piece completed.
    pub points: Vec<ChartPoint>,
    /// Where the gate must act; `None` for a pass.
    pub reject_at: Option<EncoderCount>,
    /// Trigger to verdict.
    pub latency_micros: u64,
    /// The supplier lots that were in use when it was announced.
    #[serde(default, skip_serializing_if = "crate::intake::is_nothing")]
    pub made_of: MadeOf,
}

/// One point of a control chart (or of its companion moving-range chart).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChartPoint {
    /// Number of the chart.
    pub chart: u16,
    /// Number of the point on this chart, from 1.
    pub index: u64,
    /// The plotted statistic, in the characteristic's unit (share for p, defects per piece for u).
    pub value: f64,
    /// Moving range, for I-MR charts from the second point on.
    pub range: Option<f64>,
    /// Centre line; `None` while the limits are being estimated.
    pub centre: Option<f64>,
    /// Lower control limit.
    pub lcl: Option<f64>,
    /// Upper control limit.
    pub ucl: Option<f64>,
    /// Rules that signal at this point, by name, for example `Nelson 2`.
    pub signals: Vec<String>,
}

/// A stop: the first reason, and what it was seen in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopRecord {
    /// Number of the stop.
    pub seq: u16,
    /// The first reason (first-out).
    pub first: StopReason,
    /// In words, for example `paste_height: Nelson 2`.
    pub detail: String,
    /// All reasons so far, as bits.
    pub reasons: StopReasons,
    /// The piece at which it stopped, if one did it.
    pub piece: Option<crate::piece::PieceId>,
    /// The chart that asked for it; 0 if none did.
    pub chart: u16,
    /// Nelson rules it showed, bit n−1 = rule n.
    pub nelson_rules: u16,
    /// What kept the stop from being commanded; `None` if it was.
    pub withheld: Option<Withheld>,
}

/// A stop was understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The stop.
    pub stop_seq: u16,
    /// Who.
    pub by: By,
    /// What caused it.
    pub cause: String,
    /// What was done about it.
    pub corrective_action: String,
}

/// The line was let run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// The stop.
    pub stop_seq: u16,
    /// Who.
    pub by: By,
}

/// Limits were frozen (OPC-neutral; the versioned value itself belongs to `spc`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitsRecord {
    /// Number of the chart.
    pub chart: u16,
    /// Its name.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// Centre line.
    pub centre: f64,
    /// Limits of the last point's subgroup size.
    pub lcl: f64,
    /// Limits of the last point's subgroup size.
    pub ucl: f64,
    /// Subgroups they were estimated from.
    pub subgroups: u32,
}

/// Limits were revised and signed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// Number of the chart.
    pub chart: u16,
    /// Its name.
    pub name: String,
    /// The revision that was replaced; 0 if there was none yet.
    pub replaces: u32,
    /// What the chart judges by from its next point on.
    pub revision: Revision,
    /// Who.
    pub by: By,
    /// Why.
    pub reason: String,
}

/// The line stop was armed or disarmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmRecord {
    /// True: from here on stops are commanded.
    pub armed: bool,
    /// Who.
    pub by: By,
}

/// The end of some rejected pieces on their way to the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The pieces, each with its end.
    pub pieces: Vec<GateEnd>,
}

/// The key switch against stops (JMAP `StopInhibit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySwitchRecord {
    /// How it stands from here on.
    pub position: KeySwitch,
}

/// How the key switch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySwitch {
    /// Stops are commanded.
    #[default]
    Off,
    /// Stops are withheld.
    On,
    /// Still on, but for too long: stops are commanded.
    Expired,
}

/// A lot began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotRecord {
    /// Its number.
    pub lot: u32,
    /// Who said so.
    pub by: By,
}

/// The counters began anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountersReset {
    /// What they were.
    pub before: Counters,
    /// Who asked for it.
    pub by: By,
}

/// A mark in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// What.
    pub mark: Mark,
    /// Who set it.
    pub by: By,
}

/// What can be marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// JMAP `SoftEvent` of this number, 0…7.
    SoftEvent(u8),
    /// The next piece is a challenge piece.
    GoldenCheck,
}
