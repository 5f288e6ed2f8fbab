//! Process tags: registers to readings and back.
//!
//! Invariant: a value that is not a number or lies outside its tag's range is never `Good`; a reading's value is always
//! finite, so that it survives being written as JSON.

use crate::jmap::Order;
use serde::{Deserialize, Serialize};
use station::reading::{Quality, Reading};
use station::units::{Micros, Timestamp};
use std::sync::Arc;
use thiserror::Error;

/// How a tag's number lies in registers.
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
    /// Two registers, IEEE 754 single.
    F32,
}

impl Kind {
    /// Number of registers.
    #[must_use]
    pub const fn width(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
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

/// One tag of the PLC.
#[derive(Debug, Clone, PartialEq)]
pub struct TagSpec {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// First holding register, 0-based.
    pub address: u16,
    /// How the number lies there.
    pub kind: Kind,
    /// `value = raw · scale + offset`; finite and not 0.
    pub scale: f64,
    /// See `scale`; finite.
    pub offset: f64,
    /// Unit of the value, for example `um` or `Cel`.
    pub unit: Arc<str>,
    /// Smallest plausible value.
    pub valid_min: f64,
    /// Largest plausible value.
    pub valid_max: f64,
    /// When it is read.
    pub sample: Sample,
    /// An interval tag older than this is `Stale`.
    pub stale_after: Micros,
}

/// A value that the tag's registers cannot hold.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("tag `{tag}`: {value} does not fit its registers; choose another kind, scale or offset")]
pub struct DoesNotFit {
    /// The tag.
    pub tag: Arc<str>,
    /// The value.
    pub value: f64,
}

impl TagSpec {
    /// A reading out of the tag's registers. Missing registers give a `Bad` reading.
    #[must_use]
    pub fn decode(&self, words: &[u16], order: Order, sampled_at: Timestamp) -> Reading {
        let complete = words.len() >= usize::from(self.kind.width());
        let first = words.first().copied().unwrap_or(0);
        let long = order.long(words);
        let raw = match self.kind {
            Kind::U16 => f64::from(first),
            Kind::I16 => f64::from(first.cast_signed()),
            Kind::U32 => f64::from(long),
            Kind::I32 => f64::from(long.cast_signed()),
            Kind::F32 => f64::from(f32::from_bits(long)),
        };
        let value = raw * self.scale + self.offset;
        let good = complete && value.is_finite() && value >= self.valid_min && value <= self.valid_max;
        let quality = if good { Quality::Good } else { Quality::Bad };
        self.reading(if value.is_finite() { value } else { 0.0 }, quality, sampled_at)
    }

    /// The reading of a tag that the PLC refused to give.
    #[must_use]
    pub fn refused(&self, sampled_at: Timestamp) -> Reading {
        self.reading(0.0, Quality::Bad, sampled_at)
    }

    fn reading(&self, value: f64, quality: Quality, sampled_at: Timestamp) -> Reading {
        Reading { tag: Arc::clone(&self.name), value, unit: Arc::clone(&self.unit), text: None, quality, sampled_at }
    }

    /// The registers that hold `value`, rounded to the tag's resolution.
    ///
    /// # Errors
    /// If `value` is not finite or lies outside what the registers can hold.
    pub fn encode(&self, value: f64, order: Order) -> Result<Vec<u16>, DoesNotFit> {
        let unfit = || DoesNotFit { tag: Arc::clone(&self.name), value };
        let raw = (value - self.offset) / self.scale;
        if self.kind == Kind::F32 {
            let single = single(raw).ok_or_else(unfit)?;
            return Ok(order.split(single.to_bits()).to_vec());
        }
        let whole = whole(raw).ok_or_else(unfit)?;
        Ok(match self.kind {
            Kind::U16 => vec![u16::try_from(whole).map_err(|_| unfit())?],
            Kind::I16 => vec![i16::try_from(whole).map_err(|_| unfit())?.cast_unsigned()],
            Kind::U32 => order.split(u32::try_from(whole).map_err(|_| unfit())?).to_vec(),
            Kind::I32 | Kind::F32 => order.split(i32::try_from(whole).map_err(|_| unfit())?.cast_unsigned()).to_vec(),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value was rounded and lies well within i64")]
fn whole(value: f64) -> Option<i64> {
    let rounded = value.round();
    (rounded.abs() < 1e15).then_some(rounded as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point; overflow is caught after it")]
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    single.is_finite().then_some(single)
}

/// Tags that lie close together and are read in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// First register.
    pub address: u16,
    /// Number of registers, at most 125.
    pub count: u16,
    /// Indices into the list of tags, each within the range.
    pub tags: Vec<usize>,
}

/// Registers between two tags that are read along rather than asked for separately.
const GAP_MAX: u16 = 8;
/// What one FC03 request may ask for (Modbus Application Protocol V1.1b3, 6.3).
pub const READ_MAX: u16 = 125;

/// Groups `members` (indices into `tags`) into as few requests as is reasonable.
#[must_use]
pub fn batches(tags: &[TagSpec], members: &[usize]) -> Vec<Batch> {
    let mut sorted: Vec<(usize, &TagSpec)> = members.iter().filter_map(|index| Some((*index, tags.get(*index)?))).collect();
    sorted.sort_by_key(|(index, tag)| (tag.address, *index));
    let mut out: Vec<Batch> = Vec::new();
    for (index, tag) in sorted {
        // An end past the last register is left to the PLC to refuse.
        let end = u32::from(tag.address) + u32::from(tag.kind.width());
        if let Some(last) = out.last_mut() {
            let near = tag.address <= last.address.saturating_add(last.count).saturating_add(GAP_MAX);
            let span = u16::try_from(end - u32::from(last.address)).unwrap_or(u16::MAX);
            if near && span <= READ_MAX {
                last.count = last.count.max(span);
                last.tags.push(index);
                continue;
            }
        }
        out.push(Batch { address: tag.address, count: tag.kind.width(), tags: vec![index] });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(address: u16, kind: Kind) -> TagSpec {
        TagSpec {
            name: "t".into(),
            address,
            kind,
            scale: 0.01,
            offset: 0.0,
            unit: "um".into(),
            valid_min: 0.0,
            valid_max: 500.0,
            sample: Sample::WithTrigger,
            stale_after: Micros::from_millis(1000),
        }
    }

    fn read(tag: &TagSpec, words: &[u16]) -> (f64, Quality) {
        let reading = tag.decode(words, Order::default(), Timestamp::default());
        (reading.value, reading.quality)
    }

    #[test]
    fn registers_become_values_in_their_unit() {
        assert_eq!(read(&tag(0, Kind::U16), &[12_034]), (120.34, Quality::Good));
        assert_eq!(read(&tag(0, Kind::I16), &[0xFFFF]), (-0.01, Quality::Bad));
        assert_eq!(read(&tag(0, Kind::U32), &[0, 12_034]), (120.34, Quality::Good));
        assert_eq!(read(&tag(0, Kind::I32), &[0xFFFF, 0xFFFF]), (-0.01, Quality::Bad));
    }

    #[test]
    fn what_is_not_a_number_or_out_of_range_is_bad_and_finite() {
        let tag = TagSpec { scale: 1.0, ..tag(0, Kind::F32) };
        for nonsense in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 500.1, -0.1] {
            let (value, quality) = read(&tag, &Order::default().split(nonsense.to_bits()));
            assert_eq!(quality, Quality::Bad, "{nonsense}");
            assert!(value.is_finite());
        }
        assert_eq!(read(&tag, &[0x42F0]).1, Quality::Bad, "half a float");
        assert_eq!(read(&tag, &[0x42F0, 0]), (120.0, Quality::Good));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(tag(0, Kind::U16).encode(-0.01, Order::default()).is_err());
        assert!(tag(0, Kind::U16).encode(655.36, Order::default()).is_err());
        assert!(tag(0, Kind::F32).encode(f64::MAX, Order::default()).is_err());
        assert!(tag(0, Kind::I32).encode(f64::NAN, Order::default()).is_err());
    }

    #[test]
    fn neighbours_share_a_request() {
        let tags = [tag(2000, Kind::U16), tag(2100, Kind::F32), tag(2003, Kind::F32), tag(2200, Kind::U16)];
        let got = batches(&tags, &[0, 1, 2, 3]);
        let expected = [(2000, 5, vec![0, 2]), (2100, 2, vec![1]), (2200, 1, vec![3])];
        assert_eq!(got, expected.map(|(address, count, tags)| Batch { address, count, tags }));
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::U16), Just(Kind::I16), Just(Kind::U32), Just(Kind::I32), Just(Kind::F32)]
    }

    proptest! {
        #[test]
        fn values_survive_within_their_resolution(kind in kinds(), value in 0.0..300.0_f64, word_swap: bool, byte_swap: bool) {
            let (tag, order) = (tag(0, kind), Order { word_swap, byte_swap });
            let words = tag.encode(value, order).unwrap();
            let reading = tag.decode(&words, order, Timestamp::default());
            prop_assert!((reading.value - value).abs() <= 0.005 + 1e-4, "{} {}", reading.value, value);
            prop_assert_eq!(reading.quality, Quality::Good);
        }

        #[test]
        fn any_registers_give_a_finite_value(kind in kinds(), words in proptest::collection::vec(any::<u16>(), 0..3), word_swap: bool) {
            let tag = tag(0, kind);
            let reading = tag.decode(&words, Order { word_swap, byte_swap: false }, Timestamp::default());
            prop_assert!(reading.value.is_finite());
            prop_assert!(reading.quality == Quality::Bad || (0.0..=500.0).contains(&reading.value));
        }

        #[test]
        fn every_tag_is_in_exactly_one_request(addresses in proptest::collection::vec((any::<u16>(), kinds()), 0..40)) {
            let tags: Vec<TagSpec> = addresses.into_iter().map(|(address, kind)| tag(address, kind)).collect();
            let members: Vec<usize> = (0..tags.len()).collect();
            let mut seen = Vec::new();
            for batch in batches(&tags, &members) {
                prop_assert!(batch.count <= READ_MAX);
                for index in batch.tags {
                    let (from, to) = (u32::from(batch.address), u32::from(batch.address) + u32::from(batch.count));
                    let at = u32::from(tags[index].address);
                    prop_assert!(at >= from && at + u32::from(tags[index].kind.width()) <= to);
                    seen.push(index);
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, members);
        }
    }
}
