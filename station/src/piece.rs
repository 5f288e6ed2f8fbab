//! The piece: what the line moves, and what it owes — exactly one verdict.

use crate::units::EncoderCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The PLC's number of a piece (JMAP `PieceSeq`); 0 is never a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PieceId(pub u32);

impl fmt::Display for PieceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A piece reached the camera: the trigger edge, with everything the PLC knew of it at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The PLC's number of the piece.
    pub piece: PieceId,
    /// Its serial, if the PLC knows one (at most 32 ASCII characters).
    pub serial: Option<String>,
    /// The lot it belongs to; 0 = unknown.
    pub lot: u32,
    /// Encoder count latched at the trigger.
    pub encoder: EncoderCount,
    /// A challenge piece whose verdict is known beforehand.
    pub golden: bool,
    /// The PLC asks that its picture be retained whatever the verdict (JMAP `ForceRetain`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retain: bool,
    /// What the PLC attached to it (JMAP `UserData`), without the zeros at its end; at most 64 words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_data: Vec<u16>,
}

impl Arrival {
    /// True if this announces the very piece of `other` again: same number, same encoder count, same serial.
    #[must_use]
    pub fn is_again(&self, other: &Self) -> bool {
        self.piece == other.piece && self.encoder == other.encoder && self.serial == other.serial
    }
}
