//! Process tags: what the registers and bits of a PLC mean, and how to ask for them in few requests.
//!
//! ```text
//!  TagSpec ──batches──► Batch ──(client)──► cells ──Batch::readings──► Reading ──Kept::take──► Reading worth telling
//! ```
//! A cell is one register, or one coil or discrete input as 0 or 1: both kinds of table are decoded in the same way.
//!
//! Invariants: a value that is not a number, lies outside its tag's range or cannot be told exactly is never `Good`; a
//! reading's value is always finite, so that it survives being written as JSON; nothing here reads a clock.

mod batch;
mod codec;
mod kept;
mod payload;

pub use batch::{Batch, Limits, READ_MAX, Reach, batches, unreadable};
pub use codec::{DoesNotFit, Unusable, Value};
pub use kept::{Aged, Kept, aged};
pub use payload::{BadField, PAYLOAD, Payload};
pub(crate) use payload::{PAYLOAD_LEN, PayloadWords};

use crate::jmap::Order;
use serde::{Deserialize, Serialize};
use station::units::Micros;
use std::sync::Arc;
use thiserror::Error;

/// The four tables of the Modbus data model (Modbus Application Protocol V1.1b3, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Holding registers, read with function 03.
    #[default]
    Holding,
    /// Input registers, function 04.
    Input,
    /// Coils, function 01.
    Coil,
    /// Discrete inputs, function 02.
    Discrete,
}

impl Table {
    /// True for tables of single bits.
    #[must_use]
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// Its name, as in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Input => "input",
            Self::Coil => "coil",
            Self::Discrete => "discrete",
        }
    }

    /// What its cells are called, for messages.
    #[must_use]
    pub const fn cells(self) -> &'static str {
        match self {
            Self::Holding => "holding registers",
            Self::Input => "input registers",
            Self::Coil => "coils",
            Self::Discrete => "discrete inputs",
        }
    }
}

/// How a tag's value lies in its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One register, unsigned.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers, unsigned. Good up to 2⁵³, because a reading's value is an `f64`; beyond that digits would be lost,
    /// and the reading is `Bad`.
    U64,
    /// Four registers, two's complement; good from −2⁵³ to 2⁵³.
    I64,
    /// Two registers, IEEE 754 single.
    F32,
    /// Four registers, IEEE 754 double.
    F64,
    /// Bit `bit` of one register; of a coil or discrete input, the thing itself, with `bit` 0.
    Bool {
        /// 0 = least significant.
        bit: u8,
    },
    /// The number in bits `first..first + count` of one register.
    Bits {
        /// Lowest bit, 0 = least significant.
        first: u8,
        /// Number of bits, at least 1.
        count: u8,
    },
    /// Printable ASCII, two characters per register, ended by a zero or by the last register. The reading carries it in
    /// `text`; empty text is `Bad`, because an empty memory reads so.
    Ascii {
        /// Most characters, 1 to 250.
        chars: u16,
    },
}

impl Kind {
    /// Number of cells.
    #[must_use]
    pub const fn width(self) -> u16 {
        match self {
            Self::U16 | Self::I16 | Self::Bool { .. } | Self::Bits { .. } => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::Ascii { chars } => chars.div_ceil(2),
        }
    }
}

/// When a tag is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// In the poll cycle that sees the trigger: the value belongs to that piece.
    WithTrigger,
    /// Again and again, this far apart.
    Every(Micros),
}

/// One tag of a PLC. Start from `TagSpec::new` and change what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct TagSpec {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Modbus unit behind the same connection (a gateway's slave); `None` = the peer's own.
    pub unit_id: Option<u8>,
    /// Where it lies.
    pub table: Table,
    /// First cell, 0-based.
    pub address: u16,
    /// How the value lies there.
    pub kind: Kind,
    /// How wide values and text lie; `None` = as the PLC's others.
    pub order: Option<Order>,
    /// `value = raw · scale + offset`; finite and not 0. Text has neither.
    pub scale: f64,
    /// See `scale`; finite.
    pub offset: f64,
    /// Unit of the value, for example `um` or `Cel`.
    pub unit: Arc<str>,
    /// Smallest plausible value.
    pub valid_min: f64,
    /// Largest plausible value.
    pub valid_max: f64,
    /// An interval tag is told again once it has moved at least so far from what was last told, in `unit`; 0 = always.
    /// A change of quality and the passing of half of `stale_after` are always told (see `Kept`).
    pub dead_band: f64,
    /// When it is read.
    pub sample: Sample,
    /// An interval tag older than this is `Stale`.
    pub stale_after: Micros,
}

impl TagSpec {
    /// A holding register read every second: no scale, no unit, any value plausible, no dead band, stale after five
    /// seconds, unit and order as its PLC.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, address: u16, kind: Kind) -> Self {
        Self {
            name: name.into(),
            unit_id: None,
            table: Table::Holding,
            address,
            kind,
            order: None,
            scale: 1.0,
            offset: 0.0,
            unit: "".into(),
            valid_min: f64::MIN,
            valid_max: f64::MAX,
            dead_band: 0.0,
            sample: Sample::Every(Micros::from_millis(1000)),
            stale_after: Micros::from_millis(5000),
        }
    }

    /// Finds what cannot work, before a line depends on it.
    ///
    /// # Errors
    /// The first contradiction in the tag, or between it and what its PLC answers in one request.
    pub fn check(&self, limits: &Limits) -> Result<(), BadTag> {
        let bad = |wrong| Err(BadTag { tag: Arc::clone(&self.name), wrong });
        let kind_fits = match self.kind {
            Kind::Bool { bit } => bit < if self.table.is_bits() { 1 } else { 16 },
            _ if self.table.is_bits() => false,
            Kind::Bits { first, count } => count >= 1 && u16::from(first) + u16::from(count) <= 16,
            Kind::Ascii { chars } => (1..=2 * READ_MAX).contains(&chars),
            _ => true,
        };
        if !kind_fits {
            return bad(Wrong::Kind { kind: self.kind, table: self.table });
        }
        if u32::from(self.address) + u32::from(self.kind.width()) > 0x1_0000 {
            return bad(Wrong::Address { address: self.address, width: self.kind.width() });
        }
        let most = limits.of(self.table).most(self.table);
        if self.kind.width() > most {
            return bad(Wrong::TooWide { width: self.kind.width(), most });
        }
        if !(self.scale.is_finite() && self.scale != 0.0 && self.offset.is_finite()) {
            return bad(Wrong::Scale);
        }
        // Written so that a NaN fails as well.
        let range = self.valid_min <= self.valid_max && self.dead_band >= 0.0 && self.dead_band.is_finite();
        if range { Ok(()) } else { bad(Wrong::Range) }
    }
}

/// A tag that cannot be read as it is described.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("tag `{tag}`: {wrong}")]
pub struct BadTag {
    /// The tag.
    pub tag: Arc<str>,
    /// What is wrong with it.
    #[source]
    pub wrong: Wrong,
}

/// What is wrong with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Wrong {
    /// The kind does not exist, or not in that table.
    #[error(
        "{kind:?} cannot lie in {}; coils and discrete inputs hold only Bool with bit 0, a register has bits 0 to 15, \
         text 1 to 250 characters", table.cells()
    )]
    Kind {
        /// The kind.
        kind: Kind,
        /// The table.
        table: Table,
    },
    /// It ends past the last cell.
    #[error("{width} cells from {address} on end past 65535; check the address (it is 0-based)")]
    Address {
        /// First cell.
        address: u16,
        /// Number of cells.
        width: u16,
    },
    /// Its PLC does not give so much in one request, and in two it could change in between.
    #[error("it is {width} registers wide, but its PLC gives only {most} per request; choose a shorter text")]
    TooWide {
        /// Number of registers.
        width: u16,
        /// What one request may ask for.
        most: u16,
    },
    /// Scale or offset.
    #[error("scale must be finite and not 0, offset finite")]
    Scale,
    /// Range or dead band.
    #[error("the smallest plausible value must not exceed the largest, and the dead band must be a finite number from 0 up")]
    Range,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_cannot_work_is_found_before_it_is_used() {
        let check = |tag: TagSpec| tag.check(&Limits::default()).map_err(|bad| bad.wrong);
        let tag = |kind| TagSpec::new("t", 10, kind);
        let coil = |kind| TagSpec { table: Table::Coil, ..tag(kind) };
        for good in [
            tag(Kind::U64),
            tag(Kind::Bool { bit: 15 }),
            tag(Kind::Bits { first: 0, count: 16 }),
            tag(Kind::Ascii { chars: 250 }),
            coil(Kind::Bool { bit: 0 }),
            TagSpec { address: u16::MAX, ..tag(Kind::U16) },
            TagSpec { address: 65_532, ..tag(Kind::F64) },
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good:?}");
        }
        for bad in [
            tag(Kind::Bool { bit: 16 }),
            tag(Kind::Bits { first: 15, count: 2 }),
            tag(Kind::Bits { first: 3, count: 0 }),
            tag(Kind::Bits { first: 255, count: 255 }),
            tag(Kind::Ascii { chars: 0 }),
            tag(Kind::Ascii { chars: 251 }),
            coil(Kind::Bool { bit: 1 }),
            coil(Kind::U16),
            TagSpec { address: u16::MAX, ..tag(Kind::U32) },
            TagSpec { address: 65_533, ..tag(Kind::F64) },
            TagSpec { scale: 0.0, ..tag(Kind::U16) },
            TagSpec { offset: f64::NAN, ..tag(Kind::U16) },
            TagSpec { valid_min: 1.0, valid_max: 0.0, ..tag(Kind::U16) },
            TagSpec { valid_max: f64::NAN, ..tag(Kind::U16) },
            TagSpec { dead_band: -0.1, ..tag(Kind::U16) },
        ] {
            assert!(check(bad.clone()).is_err(), "{bad:?}");
        }
        let small = Limits { registers: Reach { gap_max: 0, read_max: 3 }, ..Limits::default() };
        let wrong = tag(Kind::F64).check(&small).unwrap_err();
        assert_eq!(wrong.wrong, Wrong::TooWide { width: 4, most: 3 });
        assert_eq!(wrong.to_string(), "tag `t`: it is 4 registers wide, but its PLC gives only 3 per request; choose a shorter text");
    }
}
