//! Which tags share a request.
//!
//! Invariants: every tag that can be read is in exactly one request, and lies in it whole, because in two it could change
//! in between; no request asks for more than its PLC gives, nor past the last address.

use super::{BadTag, Table, TagSpec};
use crate::jmap::Order;
use serde::{Deserialize, Serialize};
use station::reading::Reading;
use station::units::Timestamp;

/// What one request for registers may ask for (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
pub const READ_MAX: u16 = 125;
/// What one request for coils or discrete inputs may ask for (same source, 6.1 and 6.2).
const READ_BITS_MAX: u16 = 2000;

/// How far one request reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Cells between two tags that are read along rather than asked for separately.
    pub gap_max: u16,
    /// Most cells in one request. More than the protocol allows counts as what it allows, 0 as 1.
    pub read_max: u16,
}

impl Reach {
    /// Most cells in one request, within what the protocol allows.
    pub(super) fn most(self, table: Table) -> u16 {
        self.read_max.clamp(1, if table.is_bits() { READ_BITS_MAX } else { READ_MAX })
    }
}

/// How far the requests to one PLC reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// For holding and input registers.
    pub registers: Reach,
    /// For coils and discrete inputs.
    pub bits: Reach,
}

impl Default for Limits {
    /// All that the protocol allows. Eight registers more cost 16 bytes; a request of its own costs a round trip, or a scan
    /// of the PLC. As many bytes hold 128 bits.
    fn default() -> Self {
        Self { registers: Reach { gap_max: 8, read_max: READ_MAX }, bits: Reach { gap_max: 128, read_max: READ_BITS_MAX } }
    }
}

impl Limits {
    /// The limits for one table.
    #[must_use]
    pub const fn of(&self, table: Table) -> Reach {
        if table.is_bits() { self.bits } else { self.registers }
    }
}

/// Tags that lie close together and are read in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Modbus unit; `None` = the peer's own.
    pub unit_id: Option<u8>,
    /// The table: it says which function reads it.
    pub table: Table,
    /// First cell.
    pub address: u16,
    /// Number of cells, at least 1.
    pub count: u16,
    /// Indices into the list of tags, each within the range.
    pub tags: Vec<usize>,
}

impl Batch {
    fn of(index: usize, tag: &TagSpec) -> Self {
        Self { unit_id: tag.unit_id, table: tag.table, address: tag.address, count: tag.kind.width(), tags: vec![index] }
    }

    /// One past the last cell.
    const fn end(&self) -> u32 {
        self.address as u32 + self.count as u32
    }

    /// The readings of its tags out of the answer: one cell per address, coils and discrete inputs as 0 or 1. What is
    /// missing in `cells` gives `Bad` readings. `tags` is the list that the batch was made from.
    pub fn readings<'a>(&self, tags: &'a [TagSpec], cells: &'a [u16], order: Order, at: Timestamp) -> impl Iterator<Item = Reading> {
        self.members(tags).map(move |(from, tag)| tag.decode(cells.get(from..).unwrap_or_default(), order, at))
    }

    /// Its tags, each with the number of its first cell within the answer.
    pub fn members<'a>(&self, tags: &'a [TagSpec]) -> impl Iterator<Item = (usize, &'a TagSpec)> {
        let members = self.tags.iter().filter_map(|index| tags.get(*index));
        members.map(|tag| (usize::from(tag.address.saturating_sub(self.address)), tag)).collect::<Vec<_>>().into_iter()
    }

    /// The readings of its tags when the PLC refused it.
    pub fn refused(&self, tags: &[TagSpec], at: Timestamp) -> impl Iterator<Item = Reading> {
        self.members(tags).map(move |(_, tag)| tag.refused(at))
    }

    /// One request per tag: what to ask for after a PLC refused the batch, because some refuse to read gaps. Empty if the
    /// batch has only one tag and asking again cannot help.
    #[must_use]
    pub fn apart(&self, tags: &[TagSpec]) -> Vec<Self> {
        if self.tags.len() < 2 {
            return Vec::new();
        }
        self.tags.iter().filter_map(|index| Some(Self::of(*index, tags.get(*index)?))).collect()
    }
}

/// Groups `members` (indices into `tags`) into as few requests as is reasonable, ordered by unit, table and address.
/// Tags that cannot be read at all are left out; `unreadable` names them.
#[must_use]
pub fn batches(tags: &[TagSpec], members: &[usize], limits: &Limits) -> Vec<Batch> {
    let readable = |index: &usize| Some((*index, tags.get(*index).filter(|tag| tag.check(limits).is_ok())?));
    let mut sorted: Vec<(usize, &TagSpec)> = members.iter().filter_map(readable).collect();
    sorted.sort_by_key(|(index, tag)| (tag.unit_id, tag.table, tag.address, *index));
    let mut out: Vec<Batch> = Vec::new();
    for (index, tag) in sorted {
        let reach = limits.of(tag.table);
        let alone = Batch::of(index, tag);
        if let Some(last) = out.last_mut() {
            let same = (last.unit_id, last.table) == (alone.unit_id, alone.table);
            let near = u32::from(alone.address) <= last.end() + u32::from(reach.gap_max);
            let span = u16::try_from(alone.end().max(last.end()) - u32::from(last.address)).unwrap_or(u16::MAX);
            if same && near && span <= reach.most(tag.table) {
                last.count = span;
                last.tags.push(index);
                continue;
            }
        }
        out.push(alone);
    }
    out
}

/// The tags that `batches` leaves out, and why. Empty after a clean check of the settings.
#[must_use]
pub fn unreadable(tags: &[TagSpec], limits: &Limits) -> Vec<(usize, BadTag)> {
    tags.iter().enumerate().filter_map(|(index, tag)| Some((index, tag.check(limits).err()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::codec::tests::kinds;
    use super::*;
    use proptest::prelude::*;
    use station::reading::Quality;

    fn all(tags: &[TagSpec], limits: &Limits) -> Vec<Batch> {
        batches(tags, &(0..tags.len()).collect::<Vec<_>>(), limits)
    }

    #[test]
    fn neighbours_share_a_request() {
        let tag = |address, kind| TagSpec::new("t", address, kind);
        let tags =
            [tag(2000, Kind::U16), tag(2100, Kind::F32), tag(2003, Kind::F64), tag(2200, Kind::U16), tag(2001, Kind::Bool { bit: 9 })];
        let got: Vec<_> = all(&tags, &Limits::default()).into_iter().map(|batch| (batch.address, batch.count, batch.tags)).collect();
        assert_eq!(got, [(2000, 7, vec![0, 4, 2]), (2100, 2, vec![1]), (2200, 1, vec![3])]);
        let far = Limits { registers: Reach { gap_max: 100, read_max: 125 }, ..Limits::default() };
        let got: Vec<_> = all(&tags, &far).into_iter().map(|batch| (batch.address, batch.count)).collect();
        assert_eq!(got, [(2000, 102), (2200, 1)], "the limit of one request counts from its first register");
    }

    #[test]
    fn units_and_tables_are_asked_apart() {
        let at = |unit_id, table, address| TagSpec { unit_id, table, ..TagSpec::new("t", address, Kind::Bool { bit: 0 }) };
        let tags = [
            at(None, Table::Holding, 0),
            at(None, Table::Input, 0),
            at(None, Table::Coil, 0),
            at(None, Table::Discrete, 0),
            at(Some(2), Table::Coil, 1),
            at(None, Table::Coil, 100),
            at(None, Table::Coil, 1999),
        ];
        let got: Vec<_> = all(&tags, &Limits::default()).into_iter().map(|batch| (batch.unit_id, batch.table, batch.count)).collect();
        let expected = [
            (None, Table::Holding, 1),
            (None, Table::Input, 1),
            (None, Table::Coil, 101),
            (None, Table::Coil, 1),
            (None, Table::Discrete, 1),
            (Some(2), Table::Coil, 1),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn each_tag_gets_its_own_cells_of_the_answer() {
        let tags = [TagSpec::new("a", 10, Kind::U16), TagSpec::new("b", 12, Kind::U32), TagSpec::new("c", 13, Kind::U16)];
        let [batch] = all(&tags, &Limits::default()).try_into().unwrap();
        let values = |cells: &[u16]| -> Vec<_> {
            batch.readings(&tags, cells, Order::default(), Timestamp::default()).map(|reading| (reading.value, reading.quality)).collect()
        };
        assert_eq!(values(&[7, 8, 1, 2]), [(7.0, Quality::Good), (65_538.0, Quality::Good), (2.0, Quality::Good)]);
        assert_eq!(values(&[7, 8, 1]).last().unwrap().1, Quality::Bad);
        assert!(batch.refused(&tags, Timestamp::default()).all(|reading| reading.quality == Quality::Bad));
        let apart: Vec<_> = batch.apart(&tags).into_iter().map(|batch| (batch.address, batch.count, batch.tags)).collect();
        assert_eq!(apart, [(10, 1, vec![0]), (12, 2, vec![1]), (13, 1, vec![2])]);
        assert!(Batch::of(0, &tags[0]).apart(&tags).is_empty());
    }

    fn tables() -> impl Strategy<Value = Table> {
        prop_oneof![Just(Table::Holding), Just(Table::Input), Just(Table::Coil), Just(Table::Discrete)]
    }

    fn tags() -> impl Strategy<Value = Vec<TagSpec>> {
        let address = prop_oneof![any::<u16>(), 0..400_u16, 65_300..=u16::MAX];
        let possible = prop_oneof![kinds(), (0..16_u8).prop_map(|bit| Kind::Bool { bit }), Just(Kind::Bool { bit: 0 })];
        let unit = proptest::option::of(1..3_u8);
        let one = (unit, tables(), address, possible);
        let tag = one.prop_map(|(unit_id, table, address, kind)| TagSpec { unit_id, table, ..TagSpec::new("t", address, kind) });
        proptest::collection::vec(tag, 0..60)
    }

    fn reaches() -> impl Strategy<Value = Reach> {
        (0..300_u16, any::<u16>()).prop_map(|(gap_max, read_max)| Reach { gap_max, read_max: read_max % 3000 })
    }

    proptest! {
        #[test]
        fn every_readable_tag_is_in_exactly_one_request(tags in tags(), registers in reaches(), bits in reaches()) {
            let limits = Limits { registers, bits };
            let left_out = unreadable(&tags, &limits);
            let mut seen: Vec<usize> = left_out.into_iter().map(|(index, _)| index).collect();
            for batch in all(&tags, &limits) {
                let protocol = if batch.table.is_bits() { 2000 } else { 125 };
                prop_assert!(batch.count >= 1 && batch.count <= protocol);
                prop_assert!(batch.count <= limits.of(batch.table).read_max.max(1));
                prop_assert!(batch.end() <= 0x1_0000, "past the last address");
                for index in batch.tags {
                    let tag = &tags[index];
                    prop_assert_eq!((tag.unit_id, tag.table), (batch.unit_id, batch.table));
                    let at = u32::from(tag.address);
                    prop_assert!(tag.address >= batch.address && at + u32::from(tag.kind.width()) <= u32::from(batch.address) + u32::from(batch.count));
                    seen.push(index);
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..tags.len()).collect::<Vec<_>>());
        }

        /// No request reads more foreign cells in a row than its PLC allows.
        #[test]
        fn gaps_are_no_wider_than_allowed(tags in tags(), registers in reaches()) {
            let limits = Limits { registers, bits: Reach { gap_max: 0, read_max: 2000 } };
            for batch in all(&tags, &limits) {
                let mut covered = u32::from(batch.address);
                for (from, tag) in batch.members(&tags) {
                    let from = u32::from(batch.address) + u32::try_from(from).unwrap();
                    prop_assert!(from <= covered + u32::from(limits.of(batch.table).gap_max));
                    covered = covered.max(from + u32::from(tag.kind.width()));
                }
                prop_assert_eq!(covered, u32::from(batch.address) + u32::from(batch.count), "cells nobody asked for at the end");
            }
        }
    }
}
