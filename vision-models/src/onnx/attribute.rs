//! `AttributeProto`: a setting of an operator.
//!
//! Invariant: a kind that is not named here is kept as it is on the wire.

use super::OnnxError;
use super::tensor::{self, Tensor};
use super::wire::{self, Field};

/// `AttributeProto`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Setting,
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// An integer.
    Whole(i64),
    /// A number.
    Real(f32),
    /// Text.
    Text(String),
    /// Integers.
    Wholes(Vec<i64>),
    /// Numbers.
    Reals(Vec<f32>),
    /// A tensor.
    Tensor(Tensor),
    /// Another kind, as it is on the wire.
    Other(Vec<Field>),
}

/// `AttributeProto.AttributeType`
mod kind {
    pub const FLOAT: i64 = 1;
    pub const INT: i64 = 2;
    pub const STRING: i64 = 3;
    pub const TENSOR: i64 = 4;
    pub const FLOATS: i64 = 6;
    pub const INTS: i64 = 7;
}

impl Attribute {
    pub(super) fn read(mut fields: Vec<Field>) -> Result<Self, OnnxError> {
        let place = fields.iter().position(|field| field.number == 1).ok_or_else(|| OnnxError::new("an attribute has no name"))?;
        let name = fields.remove(place).text("the name of an attribute")?;
        let kind = fields.iter().find(|field| field.number == 20).and_then(Field::as_whole);
        let what = format!("the attribute {name}");
        let first = |number: u64| fields.iter().find(|field| field.number == number);
        let value = match kind {
            Some(kind::INT) => Setting::Whole(first(3).and_then(Field::as_whole).unwrap_or(0)),
            Some(kind::FLOAT) => Setting::Real(first(2).map_or(Ok(0.0), |field| tensor::real(field, &what))?),
            Some(kind::STRING) => match first(4).cloned().map_or_else(|| Ok(String::new()), |field| field.text(&what)) {
                Ok(text) => Setting::Text(text),
                Err(_) => Setting::Other(fields),
            },
            Some(kind::TENSOR) => match first(5) {
                Some(field) => Setting::Tensor(Tensor::read(field.message(&what)?)?),
                None => return Err(OnnxError::new(format!("{what} has no value"))),
            },
            Some(kind::FLOATS) => Setting::Reals(tensor::reals(&fields, 7, &what)?),
            Some(kind::INTS) => Setting::Wholes(tensor::wholes(&fields, 8, &what)?),
            _ => Setting::Other(fields),
        };
        Ok(Self { name, value })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut fields = vec![Field::bytes(1, self.name.as_str())];
        let packed = |reals: &[f32]| reals.iter().flat_map(|real| real.to_le_bytes()).collect::<Vec<u8>>();
        let kind = match &self.value {
            Setting::Whole(value) => {
                fields.push(Field::whole(3, *value));
                kind::INT
            }
            Setting::Real(value) => {
                fields.push(Field { number: 2, value: wire::Value::Four(value.to_le_bytes()) });
                kind::FLOAT
            }
            Setting::Text(text) => {
                fields.push(Field::bytes(4, text.as_str()));
                kind::STRING
            }
            Setting::Tensor(tensor) => {
                fields.push(Field::bytes(5, tensor.write()));
                kind::TENSOR
            }
            Setting::Reals(reals) => {
                fields.push(Field::bytes(7, packed(reals)));
                kind::FLOATS
            }
            Setting::Wholes(wholes) => {
                fields.push(Field::bytes(8, wire::pack_wholes(wholes)));
                kind::INTS
            }
            Setting::Other(other) => {
                fields.extend(other.iter().cloned());
                return wire::write(&fields);
            }
        };
        fields.push(Field::whole(20, kind));
        wire::write(&fields)
    }
}
