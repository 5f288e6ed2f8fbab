//! One tag's cells to its value and back.
//!
//! Invariants: every rejection has a reason that a person can read; a number that an `f64` cannot hold exactly is not
//! passed on as if it were exact; the same cells always give the same reading.

use super::{Kind, TagSpec};
use crate::jmap::{self, Order};
use station::reading::{Quality, Reading};
use station::units::Timestamp;
use std::sync::Arc;
use thiserror::Error;

/// Up to here every whole number has an `f64` of its own (IEEE 754 double: 53 bits of significand).
const EXACT_MAX: u64 = 1 << 53;

/// What a tag's cells hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A plausible number, in the tag's unit.
    Number(f64),
    /// Printable text, not empty.
    Text(String),
}

/// Why a tag's cells hold nothing to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum Unusable {
    /// Fewer cells than the tag needs.
    #[error("the answer is too short")]
    Missing,
    /// Not a number, or infinite.
    #[error("not a number")]
    NotFinite,
    /// Outside the tag's plausible range.
    #[error("{0} lies outside the plausible range")]
    Implausible(f64),
    /// A whole number beyond 2⁵³; the value given is the nearest `f64`.
    #[error("beyond 2^53 not every digit survives: about {0}")]
    TooLarge(f64),
    /// Empty, or not printable ASCII.
    #[error("no printable text")]
    NotText,
}

impl Unusable {
    /// A finite number to show beside the reason.
    const fn shown(self) -> f64 {
        match self {
            Self::Implausible(value) | Self::TooLarge(value) => value,
            Self::Missing | Self::NotFinite | Self::NotText => 0.0,
        }
    }
}

/// A value that the tag's cells cannot hold.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("tag `{tag}`: {value} does not fit its registers; choose another kind, scale or offset")]
pub struct DoesNotFit {
    /// The tag.
    pub tag: Arc<str>,
    /// The value.
    pub value: f64,
}

impl TagSpec {
    /// The value in the tag's cells; `order` is that of its PLC, unless the tag has its own.
    ///
    /// # Errors
    /// If there is no value to rely on, and why.
    pub fn value(&self, cells: &[u16], order: Order) -> Result<Value, Unusable> {
        let cells = cells.get(..usize::from(self.kind.width())).filter(|cells| !cells.is_empty()).ok_or(Unusable::Missing)?;
        let order = self.order.unwrap_or(order);
        if let Kind::Ascii { chars } = self.kind {
            return jmap::text_of(cells, order, usize::from(chars)).map(Value::Text).ok_or(Unusable::NotText);
        }
        let (raw, exact) = self.raw(cells, order);
        let value = raw * self.scale + self.offset;
        if !value.is_finite() {
            return Err(Unusable::NotFinite);
        }
        if !exact {
            return Err(Unusable::TooLarge(value));
        }
        if !(self.valid_min..=self.valid_max).contains(&value) {
            return Err(Unusable::Implausible(value));
        }
        Ok(Value::Number(value))
    }

    /// The number in the cells before scaling, and whether an `f64` holds it exactly.
    pub(super) fn raw(&self, cells: &[u16], order: Order) -> (f64, bool) {
        let first = cells.first().copied().unwrap_or(0);
        match self.kind {
            Kind::U16 => (f64::from(first), true),
            Kind::I16 => (f64::from(first.cast_signed()), true),
            Kind::U32 => (f64::from(order.long(cells)), true),
            Kind::I32 => (f64::from(order.long(cells).cast_signed()), true),
            Kind::U64 => (order.quad(cells) as f64, order.quad(cells) <= EXACT_MAX),
            Kind::I64 => {
                let whole = order.quad(cells).cast_signed();
                (whole as f64, whole.unsigned_abs() <= EXACT_MAX)
            }
            Kind::F32 => (f64::from(f32::from_bits(order.long(cells))), true),
            Kind::F64 => (f64::from_bits(order.quad(cells)), true),
            Kind::Bool { bit } => (f64::from(u8::from(mask(bit, 1) & first != 0)), true),
            Kind::Bits { first: lowest, count } => (f64::from((mask(lowest, count) & first).checked_shr(lowest.into()).unwrap_or(0)), true),
            // Told apart by `value`; without text there is no number either.
            Kind::Ascii { .. } => (f64::NAN, false),
        }
    }

    /// A reading out of the tag's cells. What cannot be relied on gives a `Bad` reading.
    #[must_use]
    pub fn decode(&self, cells: &[u16], order: Order, sampled_at: Timestamp) -> Reading {
        match self.value(cells, order) {
            Ok(Value::Number(value)) => self.reading(value, Quality::Good, sampled_at),
            Ok(Value::Text(text)) => Reading { text: Some(text.into()), ..self.reading(0.0, Quality::Good, sampled_at) },
            Err(unusable) => self.reading(unusable.shown(), Quality::Bad, sampled_at),
        }
    }

    /// The reading of a tag that the PLC refused to give.
    #[must_use]
    pub fn refused(&self, sampled_at: Timestamp) -> Reading {
        self.reading(0.0, Quality::Bad, sampled_at)
    }

    fn reading(&self, value: f64, quality: Quality, sampled_at: Timestamp) -> Reading {
        Reading { tag: Arc::clone(&self.name), value, unit: Arc::clone(&self.unit), text: None, quality, sampled_at }
    }

    /// The cells that hold `value`, rounded to the tag's resolution; the other bits of its register are 0.
    ///
    /// # Errors
    /// If `value` is not finite or lies outside what the cells can hold, and always for text (see `encode_text`).
    pub fn encode(&self, value: f64, order: Order) -> Result<Vec<u16>, DoesNotFit> {
        let unfit = || DoesNotFit { tag: Arc::clone(&self.name), value };
        let order = self.order.unwrap_or(order);
        let raw = (value - self.offset) / self.scale;
        match self.kind {
            Kind::F32 => return Ok(order.split(single(raw).ok_or_else(unfit)?.to_bits()).to_vec()),
            Kind::F64 if raw.is_finite() => return Ok(order.split_quad(raw.to_bits()).to_vec()),
            _ => {}
        }
        let whole = whole(raw).ok_or_else(unfit)?;
        let bits = |first: u8, count: u8| {
            let word = u16::try_from(whole).ok().and_then(|word| word.checked_shl(first.into())).ok_or_else(unfit)?;
            let fits = i64::from(word >> first) == whole && word & !mask(first, count) == 0;
            fits.then(|| vec![word]).ok_or_else(unfit)
        };
        Ok(match self.kind {
            Kind::U16 => vec![u16::try_from(whole).map_err(|_| unfit())?],
            Kind::I16 => vec![i16::try_from(whole).map_err(|_| unfit())?.cast_unsigned()],
            Kind::U32 => order.split(u32::try_from(whole).map_err(|_| unfit())?).to_vec(),
            Kind::I32 => order.split(i32::try_from(whole).map_err(|_| unfit())?.cast_unsigned()).to_vec(),
            Kind::U64 => order.split_quad(u64::try_from(whole).map_err(|_| unfit())?).to_vec(),
            Kind::I64 => order.split_quad(whole.cast_unsigned()).to_vec(),
            Kind::Bool { bit } => bits(bit, 1)?,
            Kind::Bits { first, count } => bits(first, count)?,
            Kind::F32 | Kind::F64 | Kind::Ascii { .. } => return Err(unfit()),
        })
    }

    /// The cells that hold the value nearest to `value`; zeros for what is not finite, and for text.
    #[must_use]
    pub fn encode_nearest(&self, value: f64, order: Order) -> Vec<u16> {
        let exact = EXACT_MAX as f64;
        let (least, most) = match self.kind {
            Kind::U16 => (0.0, f64::from(u16::MAX)),
            Kind::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            Kind::U32 => (0.0, f64::from(u32::MAX)),
            Kind::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Kind::U64 => (0.0, exact),
            Kind::I64 => (-exact, exact),
            Kind::F32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            Kind::F64 => (f64::MIN, f64::MAX),
            Kind::Bool { .. } => (0.0, 1.0),
            Kind::Bits { count, .. } => (0.0, f64::from(jmap::low_bits(count))),
            Kind::Ascii { .. } => (0.0, 0.0),
        };
        // Scaled here, so that the way there and back does not leave the range again.
        let raw = ((value - self.offset) / self.scale).clamp(least, most);
        let plain = Self { scale: 1.0, offset: 0.0, ..self.clone() };
        plain.encode(raw, order).unwrap_or_else(|_| vec![0; usize::from(self.kind.width())])
    }

    /// The registers that hold `text`; `None` if the tag holds none, or not so much.
    #[must_use]
    pub fn encode_text(&self, text: &str, order: Order) -> Option<Vec<u16>> {
        let Kind::Ascii { chars } = self.kind else { return None };
        let mut cells = vec![0; usize::from(self.kind.width())];
        jmap::put_text(text, self.order.unwrap_or(order), &mut cells);
        (text.len() <= usize::from(chars)).then_some(cells)
    }
}

/// Bits `first..first + count`, as far as a register has them.
fn mask(first: u8, count: u8) -> u16 {
    jmap::low_bits(count).checked_shl(first.into()).unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, reason = "the value was rounded and lies well within i64")]
fn whole(value: f64) -> Option<i64> {
    let rounded = value.round();
    (rounded.abs() <= EXACT_MAX as f64).then_some(rounded as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point; overflow is caught after it")]
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    single.is_finite().then_some(single)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Table;
    use super::*;
    use proptest::prelude::*;

    fn tag(kind: Kind) -> TagSpec {
        TagSpec { scale: 0.01, valid_min: 0.0, valid_max: 500.0, ..TagSpec::new("t", 0, kind) }
    }

    fn plain(kind: Kind) -> TagSpec {
        TagSpec::new("t", 0, kind)
    }

    fn read(tag: &TagSpec, cells: &[u16]) -> (f64, Quality) {
        let reading = tag.decode(cells, Order::default(), Timestamp::default());
        (reading.value, reading.quality)
    }

    #[test]
    fn registers_become_values_in_their_unit() {
        assert_eq!(read(&tag(Kind::U16), &[12_034]), (120.34, Quality::Good));
        assert_eq!(read(&tag(Kind::I16), &[0xFFFF]), (-0.01, Quality::Bad));
        assert_eq!(read(&tag(Kind::U32), &[0, 12_034]), (120.34, Quality::Good));
        assert_eq!(read(&tag(Kind::I32), &[0xFFFF, 0xFFFF]), (-0.01, Quality::Bad));
        assert_eq!(read(&tag(Kind::U64), &[0, 0, 0, 12_034]), (120.34, Quality::Good));
        assert_eq!(read(&plain(Kind::I64), &[0xFFFF; 4]), (-1.0, Quality::Good));
        assert_eq!(read(&plain(Kind::F64), &[0x405E, 0x15C2, 0x8F5C, 0x28F6]), (120.34, Quality::Good));
        assert_eq!(read(&plain(Kind::Bool { bit: 3 }), &[0b1000]), (1.0, Quality::Good));
        assert_eq!(read(&plain(Kind::Bool { bit: 3 }), &[0xFFF7]), (0.0, Quality::Good));
        assert_eq!(read(&plain(Kind::Bits { first: 4, count: 3 }), &[0xFF5F]), (5.0, Quality::Good));
        assert_eq!(read(&TagSpec { table: Table::Coil, ..plain(Kind::Bool { bit: 0 }) }, &[1]), (1.0, Quality::Good));
    }

    #[test]
    fn a_tag_may_lie_otherwise_than_its_plc() {
        let swapped = Order { word_swap: true, byte_swap: false };
        let own = TagSpec { order: Some(swapped), ..plain(Kind::U32) };
        assert_eq!(read(&own, &[1, 0]), (1.0, Quality::Good));
        assert_eq!(read(&plain(Kind::U32), &[1, 0]), (65_536.0, Quality::Good));
        assert_eq!(own.encode(1.0, Order::default()).unwrap(), [1, 0]);
    }

    #[test]
    fn what_is_not_a_number_or_out_of_range_is_bad_and_finite() {
        let tag = TagSpec { scale: 1.0, ..tag(Kind::F32) };
        for nonsense in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 500.1, -0.1] {
            let (value, quality) = read(&tag, &Order::default().split(nonsense.to_bits()));
            assert_eq!(quality, Quality::Bad, "{nonsense}");
            assert!(value.is_finite());
        }
        assert_eq!(read(&tag, &[0x42F0]).1, Quality::Bad, "half a float");
        assert_eq!(tag.value(&[0x42F0], Order::default()), Err(Unusable::Missing));
        assert_eq!(read(&tag, &[0x42F0, 0]), (120.0, Quality::Good));
    }

    /// 2⁵³ is the last whole number whose neighbours an `f64` can tell apart from it.
    #[test]
    fn a_number_that_would_lose_digits_is_bad() {
        let order = Order::default();
        let value = |tag: &TagSpec, whole: u64| tag.value(&order.split_quad(whole), order);
        assert_eq!(value(&plain(Kind::U64), EXACT_MAX), Ok(Value::Number(9_007_199_254_740_992.0)));
        assert!(matches!(value(&plain(Kind::U64), EXACT_MAX + 1), Err(Unusable::TooLarge(_))));
        assert!(matches!(value(&plain(Kind::U64), u64::MAX), Err(Unusable::TooLarge(_))));
        assert_eq!(value(&plain(Kind::I64), EXACT_MAX.wrapping_neg()), Ok(Value::Number(-9_007_199_254_740_992.0)));
        assert!(matches!(value(&plain(Kind::I64), (EXACT_MAX + 1).wrapping_neg()), Err(Unusable::TooLarge(_))));
        assert!(matches!(value(&plain(Kind::I64), 1 << 63), Err(Unusable::TooLarge(_))));
    }

    #[test]
    fn text_is_text_or_nothing() {
        let roll = plain(Kind::Ascii { chars: 5 });
        let reading = roll.decode(&[0x4142, 0x4344, 0x4546], Order::default(), Timestamp::default());
        assert_eq!((reading.text.as_deref(), reading.value, reading.quality), (Some("ABCDE"), 0.0, Quality::Good));
        let swapped = Order { word_swap: true, byte_swap: true };
        assert_eq!(roll.value(&[0x4241, 0x0043, 0], swapped), Ok(Value::Text("ABC".into())));
        for unreadable in [[0, 0, 0], [0x2020, 0x2020, 0x2020], [0x4142, 0x4380, 0], [0x4107, 0, 0]] {
            let reading = roll.decode(&unreadable, Order::default(), Timestamp::default());
            assert_eq!((reading.text, reading.quality), (None, Quality::Bad), "{unreadable:?}");
        }
        assert_eq!(roll.encode_text("ABCDE", Order::default()), Some(vec![0x4142, 0x4344, 0x4500]));
        assert_eq!(roll.encode_text("ABCDEF", Order::default()), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |tag: TagSpec, value| tag.encode(value, Order::default()).is_err();
        assert!(refused(tag(Kind::U16), -0.01));
        assert!(refused(tag(Kind::U16), 655.36));
        assert!(refused(tag(Kind::F32), f64::MAX));
        assert!(refused(plain(Kind::F64), f64::INFINITY));
        assert!(refused(tag(Kind::I32), f64::NAN));
        assert!(refused(plain(Kind::U64), -1.0));
        assert!(refused(plain(Kind::U64), 1e16));
        assert!(refused(plain(Kind::Bool { bit: 2 }), 2.0));
        assert!(refused(plain(Kind::Bits { first: 12, count: 4 }), 16.0));
        assert!(refused(plain(Kind::Bits { first: 200, count: 4 }), 1.0));
        assert!(refused(plain(Kind::Ascii { chars: 4 }), 1.0));
    }

    /// Kinds that hold numbers, all of them possible in registers.
    pub fn numbers() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::U16),
            Just(Kind::I16),
            Just(Kind::U32),
            Just(Kind::I32),
            Just(Kind::U64),
            Just(Kind::I64),
            Just(Kind::F32),
            Just(Kind::F64)
        ]
    }

    /// Every kind, impossible ones as well.
    pub fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            numbers(),
            any::<u8>().prop_map(|bit| Kind::Bool { bit }),
            any::<(u8, u8)>().prop_map(|(first, count)| Kind::Bits { first, count }),
            (0..300_u16).prop_map(|chars| Kind::Ascii { chars }),
        ]
    }

    pub fn orders() -> impl Strategy<Value = Order> {
        any::<(bool, bool)>().prop_map(|(word_swap, byte_swap)| Order { word_swap, byte_swap })
    }

    proptest! {
        #[test]
        fn values_survive_within_their_resolution(kind in numbers(), value in 0.0..300.0_f64, order in orders()) {
            let tag = tag(kind);
            let cells = tag.encode(value, order).unwrap();
            prop_assert_eq!(cells.len(), usize::from(kind.width()));
            let reading = tag.decode(&cells, order, Timestamp::default());
            prop_assert!((reading.value - value).abs() <= 0.005 + 1e-4, "{} {}", reading.value, value);
            prop_assert_eq!(reading.quality, Quality::Good);
        }

        #[test]
        fn bit_fields_survive_and_touch_no_other_bit(first in 0..16_u8, count in 1..=16_u8, value: u16) {
            prop_assume!(first + count <= 16);
            let tag = plain(Kind::Bits { first, count });
            let value = value & jmap::low_bits(count);
            let cells = tag.encode(f64::from(value), Order::default()).unwrap();
            prop_assert_eq!(cells[0] & !(jmap::low_bits(count) << first), 0);
            prop_assert_eq!(read(&tag, &cells), (f64::from(value), Quality::Good));
        }

        #[test]
        fn any_cells_give_a_finite_value(kind in kinds(), cells in proptest::collection::vec(any::<u16>(), 0..130), order in orders()) {
            let reading = tag(kind).decode(&cells, order, Timestamp::default());
            prop_assert!(reading.value.is_finite());
            prop_assert!(reading.quality == Quality::Bad || (0.0..=500.0).contains(&reading.value));
            prop_assert_eq!(reading.text.is_some(), reading.quality == Quality::Good && matches!(kind, Kind::Ascii { .. }));
        }

        #[test]
        fn anything_that_is_encoded_reads_back(kind in kinds(), value: f64, order in orders()) {
            let tag = TagSpec { scale: 1.0, ..plain(kind) };
            if let Ok(cells) = tag.encode(value, order) {
                let reading = tag.decode(&cells, order, Timestamp::default());
                prop_assert!((reading.value - value).abs() <= 0.5_f64.max(value.abs() * 1e-7), "{} {}", reading.value, value);
            }
        }
    }
}
