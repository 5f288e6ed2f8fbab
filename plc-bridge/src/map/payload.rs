//! The payload: values of the result on offer that the recipe chose, in registers 64–127 of the status block.
//!
//! A field is a tag that is written instead of read: its address counts within the status block, its kind, scale and offset say
//! how a value lies there. What does not fit is written as the nearest value that does, because a PLC that compares with a
//! limit must see "more" where there is more.
//!
//! Invariants: fields lie within the payload, do not overlap, and hold numbers; registers that no field has are 0, and so is
//! everything while no field is defined.

use super::{Kind, Limits, TagSpec, Wrong};
use crate::jmap::{Order, STATUS_HEAD, STATUS_LEN};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;
use thiserror::Error;

/// The registers of the status block that belong to the recipe.
pub const PAYLOAD: RangeInclusive<u16> = STATUS_HEAD..=STATUS_LEN - 1;

/// How many there are.
pub(crate) const PAYLOAD_LEN: usize = (STATUS_LEN - STATUS_HEAD) as usize;

/// The registers as they are shown.
pub(crate) type PayloadWords = [u16; PAYLOAD_LEN];

/// Which value lies where.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload {
    fields: Vec<TagSpec>,
}

/// A field that cannot lie where it is said to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadField {
    /// Outside the payload.
    #[error("`{field}` takes the registers {first} to {last} of the status block, and the payload has 64 to 127")]
    Outside {
        /// The field.
        field: Arc<str>,
        /// Its first register.
        first: u16,
        /// Its last register.
        last: u32,
    },
    /// On another field.
    #[error("`{field}` overlaps `{other}`")]
    Overlap {
        /// The field.
        field: Arc<str>,
        /// The one before it in the list.
        other: Arc<str>,
    },
    /// Not a number in whole registers.
    #[error("`{field}` must be a number in whole registers: u16 i16 u32 i32 u64 i64 f32 f64")]
    Kind {
        /// The field.
        field: Arc<str>,
    },
    /// Scale or offset.
    #[error("`{field}`: {wrong}")]
    Wrong {
        /// The field.
        field: Arc<str>,
        /// What is wrong with it.
        #[source]
        wrong: Wrong,
    },
}

fn last(field: &TagSpec) -> u32 {
    u32::from(field.address) + u32::from(field.kind.width()) - 1
}

impl Payload {
    /// The payload of these fields, in the order of the values that a result will carry. The address of a field counts within
    /// the status block (64 to 127).
    ///
    /// # Errors
    /// The first field that cannot lie there.
    pub fn new(fields: Vec<TagSpec>) -> Result<Self, BadField> {
        for (index, field) in fields.iter().enumerate() {
            let name = || Arc::clone(&field.name);
            if matches!(field.kind, Kind::Bool { .. } | Kind::Bits { .. } | Kind::Ascii { .. }) {
                return Err(BadField::Kind { field: name() });
            }
            if field.address < *PAYLOAD.start() || last(field) > u32::from(*PAYLOAD.end()) {
                return Err(BadField::Outside { field: name(), first: field.address, last: last(field) });
            }
            field.check(&Limits::default()).map_err(|bad| BadField::Wrong { field: name(), wrong: bad.wrong })?;
            if let Some(other) = fields.iter().take(index).find(|other| overlap(field, other)) {
                return Err(BadField::Overlap { field: name(), other: Arc::clone(&other.name) });
            }
        }
        Ok(Self { fields })
    }

    /// How many registers from 64 on are written; 0 if there is no field.
    #[must_use]
    pub fn registers(&self) -> u16 {
        let end = self.fields.iter().map(|field| field.address + field.kind.width()).max();
        end.map_or(0, |end| end - PAYLOAD.start())
    }

    /// The registers that carry `values`, one per field; fields without a value are 0.
    #[must_use]
    pub(crate) fn encode(&self, values: &[f64], order: Order) -> PayloadWords {
        let mut words = [0; PAYLOAD_LEN];
        for (field, value) in self.fields.iter().zip(values) {
            let at = usize::from(field.address - PAYLOAD.start());
            for (word, cell) in words.iter_mut().skip(at).zip(field.encode_nearest(*value, order)) {
                *word = cell;
            }
        }
        words
    }

    /// The fields as tags of the PLC's holding registers, for looking at them.
    pub fn tags(&self, status_base: u16) -> impl Iterator<Item = TagSpec> + '_ {
        self.fields.iter().map(move |field| TagSpec { address: field.address.saturating_add(status_base), ..field.clone() })
    }

    /// Lines for `symbols_csv`.
    #[must_use]
    pub fn symbols_csv(&self, status_base: u16) -> String {
        let mut out = String::new();
        for field in &self.fields {
            let register = u32::from(status_base) + u32::from(field.address);
            let (width, kind) = (field.kind.width(), iec(field.kind));
            // Writing to a String cannot fail.
            let _infallible = writeln!(out, "{},payload,{register},,{width},{kind},\"{}\"", field.name, meaning(field));
        }
        out
    }

    /// Global variables for `symbols_st`: one register as its type, wide values as their words (high word first).
    #[must_use]
    pub fn symbols_st(&self, status_base: u16) -> String {
        if self.fields.is_empty() {
            return String::new();
        }
        let mut out = String::from("\n(* The payload that the recipe defines: values of the result on offer. *)\nVAR_GLOBAL\n");
        for field in &self.fields {
            let register = u32::from(status_base) + u32::from(field.address);
            let (name, meaning) = (symbol(&field.name), meaning(field));
            let kind = match field.kind.width() {
                1 => iec(field.kind).to_owned(),
                width => format!("ARRAY[0..{}] OF WORD", width - 1),
            };
            let _infallible = writeln!(out, "    jp_{name} AT %MW{register} : {kind}; (* {}: {meaning} *)", iec(field.kind));
        }
        out.push_str("END_VAR\n");
        out
    }
}

const fn overlap(one: &TagSpec, other: &TagSpec) -> bool {
    let (one_end, other_end) = (one.address + one.kind.width(), other.address + other.kind.width());
    one.address < other_end && other.address < one_end
}

/// What a value means, for a comment: its unit and how it follows from the registers.
fn meaning(field: &TagSpec) -> String {
    let unit = if field.unit.is_empty() { "1" } else { &field.unit };
    if field.scale == 1.0 && field.offset == 0.0 {
        unit.to_owned()
    } else {
        format!("{unit} = register * {} + {}", field.scale, field.offset)
    }
}

/// A name that structured text takes.
fn symbol(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// The elementary type of IEC 61131-3, table 10.
const fn iec(kind: Kind) -> &'static str {
    match kind {
        Kind::U16 => "UINT",
        Kind::I16 => "INT",
        Kind::U32 => "UDINT",
        Kind::I32 => "DINT",
        Kind::U64 => "ULINT",
        Kind::I64 => "LINT",
        Kind::F32 => "REAL",
        Kind::F64 => "LREAL",
        Kind::Bool { .. } | Kind::Bits { .. } | Kind::Ascii { .. } => "WORD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, address: u16, kind: Kind) -> TagSpec {
        TagSpec::new(name, address, kind)
    }

    fn refused(fields: Vec<TagSpec>) -> String {
        Payload::new(fields).unwrap_err().to_string()
    }

    #[test]
    fn values_lie_where_their_fields_say() {
        let height = TagSpec { scale: 0.1, unit: "um".into(), ..field("height", 64, Kind::U16) };
        let payload = Payload::new(vec![height, field("force", 66, Kind::F32), field("drift", 70, Kind::I16)]).unwrap();
        assert_eq!(payload.registers(), 7);
        let words = payload.encode(&[120.34, 1.5, -2.0], Order::default());
        assert_eq!(words[..8], [1203, 0, 0x3FC0, 0, 0, 0, 0xFFFE, 0]);
        assert_eq!(payload.encode(&[120.34], Order::default())[..8], [1203, 0, 0, 0, 0, 0, 0, 0], "no value, no number");
        assert_eq!(Payload::default().encode(&[1.0], Order::default()), [0; 64]);
        let csv = payload.symbols_csv(1000);
        assert!(csv.starts_with("height,payload,1064,,1,UINT,\"um = register * 0.1 + 0\"\nforce,payload,1066,,2,REAL,"), "{csv}");
        assert!(payload.symbols_st(1000).contains("jp_force AT %MW1066 : ARRAY[0..1] OF WORD; (* REAL: 1 *)"));
        assert_eq!(payload.tags(1000).map(|tag| tag.address).collect::<Vec<_>>(), [1064, 1066, 1070]);
    }

    #[test]
    fn what_cannot_lie_there_is_refused() {
        assert!(refused(vec![field("a", 63, Kind::U16)]).contains("63 to 63"));
        assert!(refused(vec![field("a", 127, Kind::U32)]).contains("127 to 128"));
        assert!(refused(vec![field("a", u16::MAX, Kind::U32)]).contains("65535 to 65536"));
        assert_eq!(refused(vec![field("a", 64, Kind::U32), field("b", 65, Kind::U16)]), "`b` overlaps `a`");
        assert_eq!(refused(vec![field("a", 65, Kind::U16), field("b", 64, Kind::F64)]), "`b` overlaps `a`");
        assert!(refused(vec![field("a", 64, Kind::Ascii { chars: 2 })]).contains("whole registers"));
        assert!(refused(vec![TagSpec { scale: 0.0, ..field("a", 64, Kind::U16) }]).contains("scale"));
    }

    proptest! {
        /// Whatever is measured: the nearest value that the registers hold, and never a panic.
        #[test]
        fn any_value_is_written_as_the_nearest(value in any::<f64>().prop_filter("finite", |value| value.is_finite()), small in -70_000.0..70_000.0) {
            let order = Order::default();
            for value in [value, small] {
                let read = |kind| {
                    let field = field("a", 64, kind);
                    field.raw(&field.encode_nearest(value, order), order).0
                };
                prop_assert_eq!(read(Kind::U16), value.round().clamp(0.0, 65_535.0));
                prop_assert_eq!(read(Kind::I16), value.round().clamp(-32_768.0, 32_767.0));
                prop_assert_eq!(read(Kind::U32), value.round().clamp(0.0, f64::from(u32::MAX)));
                prop_assert_eq!(read(Kind::I32), value.round().clamp(f64::from(i32::MIN), f64::from(i32::MAX)));
                prop_assert_eq!(read(Kind::F64), value);
                let single = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
                prop_assert!((read(Kind::F32) - single).abs() <= single.abs() * f64::from(f32::EPSILON) + 1e-38);
            }
        }
    }
}
