//! Protocol-buffer messages as they are on the wire: fields with a number and a value, in their order.
//!
//! Invariants: what was read is written again byte for byte in meaning (a field that nobody knows is kept where it was); a
//! length that leads beyond the end of the message is an error; nothing is reserved before its bytes are there.
//! Source: the Protocol Buffers encoding guide, wire types 0, 1, 2 and 5.

use super::OnnxError;

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its number in the message.
    pub number: u64,
    /// Its value.
    pub value: Value,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer, a flag or an enumeration.
    Whole(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// Text, bytes, a message or packed numbers.
    Bytes(Vec<u8>),
    /// Four bytes.
    Four([u8; 4]),
}

impl Field {
    /// A field that holds an integer; negative ones as protocol buffers write an `int64`.
    #[must_use]
    pub const fn whole(number: u64, value: i64) -> Self {
        Self { number, value: Value::Whole(value.cast_unsigned()) }
    }

    /// A field that holds bytes, text or an encoded message.
    #[must_use]
    pub fn bytes(number: u64, value: impl Into<Vec<u8>>) -> Self {
        Self { number, value: Value::Bytes(value.into()) }
    }

    /// The integer, if it holds one.
    #[must_use]
    pub const fn as_whole(&self) -> Option<i64> {
        if let Value::Whole(value) = self.value { Some(value.cast_signed()) } else { None }
    }

    /// The bytes, if it holds any.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Value::Bytes(bytes) = &self.value { Some(bytes) } else { None }
    }

    /// The text, if it holds any.
    ///
    /// # Errors
    /// If it is no UTF-8 text; `place` names it.
    pub fn text(self, place: &str) -> Result<String, OnnxError> {
        match self.value {
            Value::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| OnnxError::new(format!("{place} is not text"))),
            _ => Err(OnnxError::new(format!("{place} is not text"))),
        }
    }

    /// The message inside.
    ///
    /// # Errors
    /// If it holds none; `place` names it.
    pub fn message(&self, place: &str) -> Result<Vec<Self>, OnnxError> {
        read(self.as_bytes().ok_or_else(|| OnnxError::new(format!("{place} is not a message")))?, place)
    }
}

/// Reads a message.
///
/// # Errors
/// If it is cut short or has a field of a kind that protocol buffers do not have; `place` names it.
pub fn read(mut bytes: &[u8], place: &str) -> Result<Vec<Field>, OnnxError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        fields.push(field(&mut bytes).ok_or_else(|| OnnxError::new(format!("{place} is cut short or is no ONNX")))?);
    }
    Ok(fields)
}

/// Writes a message.
#[must_use]
pub fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { number, value } in fields {
        let kind = match value {
            Value::Whole(_) => 0,
            Value::Eight(_) => 1,
            Value::Bytes(_) => 2,
            Value::Four(_) => 5,
        };
        put_varint(&mut out, number << 3 | kind);
        match value {
            Value::Whole(value) => put_varint(&mut out, *value),
            Value::Eight(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => {
                put_varint(&mut out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                out.extend_from_slice(bytes);
            }
            Value::Four(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

/// Reads packed integers.
///
/// # Errors
/// If the last one is cut short; `place` names them.
pub fn packed_wholes(mut bytes: &[u8], place: &str) -> Result<Vec<i64>, OnnxError> {
    let mut wholes = Vec::new();
    while !bytes.is_empty() {
        wholes.push(varint(&mut bytes).ok_or_else(|| OnnxError::new(format!("{place} is cut short")))?.cast_signed());
    }
    Ok(wholes)
}

/// Writes packed integers.
#[must_use]
pub fn pack_wholes(wholes: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    wholes.iter().for_each(|whole| put_varint(&mut out, whole.cast_unsigned()));
    out
}

fn field(bytes: &mut &[u8]) -> Option<Field> {
    let key = varint(bytes)?;
    let number = key >> 3;
    let value = match key & 7 {
        0 => Value::Whole(varint(bytes)?),
        1 => Value::Eight(take(bytes, 8)?.try_into().ok()?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Value::Bytes(take(bytes, length)?.to_vec())
        }
        5 => Value::Four(take(bytes, 4)?.try_into().ok()?),
        _ => return None,
    };
    (number > 0).then_some(Field { number, value })
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10_u32 {
        let [byte] = *take(bytes, 1)? else { return None };
        value |= u64::from(byte & 0x7F).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(Value::Whole),
            any::<[u8; 8]>().prop_map(Value::Eight),
            any::<[u8; 4]>().prop_map(Value::Four),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(values in proptest::collection::vec((1..3000_u64, value()), 0..20)) {
            let fields: Vec<Field> = values.into_iter().map(|(number, value)| Field { number, value }).collect();
            prop_assert_eq!(read(&write(&fields), "it").unwrap(), fields);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(fields) = read(&bytes, "it") {
                prop_assert_eq!(read(&write(&fields), "it").unwrap(), fields);
            }
        }

        #[test]
        fn packed_integers_survive(wholes in proptest::collection::vec(any::<i64>(), 0..20)) {
            prop_assert_eq!(packed_wholes(&pack_wholes(&wholes), "it").unwrap(), wholes);
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_named() {
        let bytes = write(&[Field::bytes(7, *b"graph")]);
        let error = read(&bytes[..4], "the model").unwrap_err();
        assert!(error.to_string().contains("the model is cut short"), "{error}");
        assert!(read(&[0x02], "it").is_err(), "field 0 does not exist");
    }
}
