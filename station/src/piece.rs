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
    /// Number of its picture (JMAP `AcquisitionID`, 1…65 535, then 1 again); 0 = its trigger was not taken. What is seen of a
    /// piece is bound to it by this number and its own: a PLC that starts anew gives the numbers of earlier pieces again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acquisition: u16,
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
    /// True if this announces the very piece of `other` again: same number, same encoder count, and
    /// no other serial: an announcement that is repeated may have lost its serial on the way.
    #[must_use]
    pub fn is_again(&self, other: &Self) -> bool {
        self.piece == other.piece && self.encoder == other.encoder && self.may_be(other.serial.as_deref())
    }

    /// False if `serial` is another piece's: an announcement that is repeated may have lost its serial on the way.
    #[must_use]
    pub fn may_be(&self, serial: Option<&str>) -> bool {
        self.serial.as_deref().zip(serial).is_none_or(|(own, other)| own == other)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) const fn is_zero(number: &u16) -> bool {
    *number == 0
}
