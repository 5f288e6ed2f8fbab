//! When to stop the line. The policy is data; the decision is made in `station`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why the line is stopped. The discriminant is the bit in JMAP `StopReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StopReason {
    /// Too many rejects (or holds) in a row.
    ConsecutiveRejects = 0,
    /// Too many rejects in the window.
    RejectRate = 1,
    /// A control chart signalled a rule that stops.
    SpcRule = 2,
    /// The camera is gone or repeats itself.
    CameraStale = 3,
    /// The model fails.
    ModelError = 4,
    /// Too many verdicts came too late.
    DeadlineMisses = 5,
    /// A rejected piece was not seen at the gate.
    RejectUnconfirmed = 6,
    /// No room for another rejected piece.
    RejectBinFull = 7,
    /// A challenge piece was judged wrongly or is overdue.
    GoldenFailed = 8,
    /// Records are not becoming durable.
    DiskExhausted = 9,
    /// The link to the PLC is down.
    PlcLink = 10,
    /// A person pressed stop.
    Operator = 11,
    /// The quality officer holds the line.
    QualityHold = 12,
    /// A recalled serial was seen.
    RecalledSerial = 13,
}

impl StopReason {
    /// Every reason, in bit order.
    pub const ALL: [Self; 14] = [
        Self::ConsecutiveRejects,
        Self::RejectRate,
        Self::SpcRule,
        Self::CameraStale,
        Self::ModelError,
        Self::DeadlineMisses,
        Self::RejectUnconfirmed,
        Self::RejectBinFull,
        Self::GoldenFailed,
        Self::DiskExhausted,
        Self::PlcLink,
        Self::Operator,
        Self::QualityHold,
        Self::RecalledSerial,
    ];

    /// The name as written in records, reports and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveRejects => "consecutive_rejects",
            Self::RejectRate => "reject_rate",
            Self::SpcRule => "spc_rule",
            Self::CameraStale => "camera_stale",
            Self::ModelError => "model_error",
            Self::DeadlineMisses => "deadline_misses",
            Self::RejectUnconfirmed => "reject_unconfirmed",
            Self::RejectBinFull => "reject_bin_full",
            Self::GoldenFailed => "golden_failed",
            Self::DiskExhausted => "disk_exhausted",
            Self::PlcLink => "plc_link",
            Self::Operator => "operator",
            Self::QualityHold => "quality_hold",
            Self::RecalledSerial => "recalled_serial",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl StopReason {
    /// True if a line whose stop is not armed runs on for this reason: what the machine concluded by itself is only counted
    /// until an engineer trusts it. Never withheld: what a person decided, and that the station cannot keep its records —
    /// it would judge pieces without leaving evidence, in queues that grow.
    ///
    /// A lost link is withheld as a stop that stays; while the link is down the permit is 0 all the same.
    #[must_use]
    pub const fn needs_arming(self) -> bool {
        !matches!(self, Self::Operator | Self::QualityHold | Self::DiskExhausted)
    }
}

/// Why a stop that was due was not commanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// The key switch at the PLC was on (JMAP `StopInhibit`).
    KeySwitch,
    /// Nobody has armed the line stop.
    Unarmed,
    /// The stop policy asks for an alarm alone.
    Policy,
}

/// What the PLC's acknowledgement of a stop (JMAP `LineStopAck` 0→1) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlcAcknowledge {
    /// Nothing: a person acknowledges at the appliance, with a cause.
    Ignored,
    /// It acknowledges the stop; a person releases it.
    Acknowledges,
    /// It acknowledges the stop and releases it, unless a cause still stands.
    Releases,
}

/// What a recalled piece that is seen again does beyond being rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecalledSeen {
    /// It stops the line.
    #[default]
    Stop,
    /// It is shown, counted and recorded as a stop that was withheld.
    Alarm,
}

/// A set of stop reasons, as JMAP writes it: bit n = the reason with discriminant n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StopReasons(pub u32);

impl StopReasons {
    /// Adds one reason.
    pub const fn insert(&mut self, reason: StopReason) {
        self.0 |= 1 << reason as u8;
    }

    /// Takes one reason out.
    pub const fn remove(&mut self, reason: StopReason) {
        self.0 &= !(1 << reason as u8);
    }

    /// The reasons that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True if `reason` is in the set.
    #[must_use]
    pub const fn contains(self, reason: StopReason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// The reasons in bit order.
    pub fn iter(self) -> impl Iterator<Item = StopReason> {
        StopReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

/// When the line stops. No field has a silent default: a policy is decided, not inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// This many pieces in a row that did not pass stop the line.
    pub consecutive_rejects: u32,
    /// Length of the reject-rate window in pieces.
    pub reject_rate_window: u32,
    /// More than this many rejects within a full window stop the line.
    pub reject_rate_max: u32,
    /// This many stale or lost frames in a row stop the line.
    pub camera_misses: u32,
    /// This many model errors in a row stop the line.
    pub model_errors: u32,
    /// Length of the deadline window in pieces.
    pub deadline_window: u32,
    /// More than this many late or crowded-out pieces within the window stop the line.
    pub deadline_misses_max: u32,
    /// This many unconfirmed rejects stop the line.
    pub unconfirmed_rejects: u32,
    /// More ledger entries than this that are not yet durable stop the line.
    pub backlog_entries_max: u64,
    /// What the PLC's acknowledgement of a stop does.
    pub plc_acknowledge: PlcAcknowledge,
    /// What a recalled piece that is seen again does. Records of before this was asked read as a stop.
    #[serde(default)]
    pub recalled_serial: RecalledSeen,
}
