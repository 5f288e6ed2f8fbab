//! `TensorProto`: numbers with dimensions.
//!
//! Invariant: numbers come out only if there are as many as the dimensions say; data in another file is refused, because a
//! package is whole in itself.

use super::OnnxError;
use super::wire::{self, Field, Value};

/// Kind of an element, `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    Float,
    /// 8-bit unsigned integer.
    Byte,
    /// 64-bit signed integer.
    Whole,
    /// Another kind, by its code.
    Other(i64),
}

impl Element {
    pub(super) const fn of(code: i64) -> Self {
        match code {
            1 => Self::Float,
            2 => Self::Byte,
            7 => Self::Whole,
            code => Self::Other(code),
        }
    }

    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Float => 1,
            Self::Byte => 2,
            Self::Whole => 7,
            Self::Other(code) => code,
        }
    }
}

/// Numbers with dimensions and a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name; empty inside an attribute.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<i64>,
    /// What it holds.
    pub element: Element,
    /// The numbers in whichever of its fields they are, and what else there is.
    rest: Vec<Field>,
}

/// `raw_data`
const RAW: u64 = 9;

impl Tensor {
    /// 32-bit floats, the last dimension fastest.
    #[must_use]
    pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.to_owned(), dims: dims.to_vec(), element: Element::Float, rest: vec![Field::bytes(RAW, raw)] }
    }

    /// 64-bit integers, the last dimension fastest.
    #[must_use]
    pub fn wholes(name: &str, dims: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.to_owned(), dims: dims.to_vec(), element: Element::Whole, rest: vec![Field::bytes(RAW, raw)] }
    }

    /// Its numbers as 32-bit floats.
    ///
    /// # Errors
    /// If they are of another kind, in another file, or not as many as the dimensions say.
    pub fn to_floats(&self) -> Result<Vec<f32>, OnnxError> {
        self.expect(Element::Float, "32-bit floats")?;
        let values = match self.raw() {
            Some(raw) => raw.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            None => reals(&self.rest, 4, &self.place())?,
        };
        self.whole_of(values)
    }

    /// Its numbers as 64-bit integers.
    ///
    /// # Errors
    /// As [`Tensor::to_floats`].
    pub fn to_wholes(&self) -> Result<Vec<i64>, OnnxError> {
        self.expect(Element::Whole, "64-bit integers")?;
        let values = match self.raw() {
            Some(raw) => raw.as_chunks::<8>().0.iter().map(|eight| i64::from_le_bytes(*eight)).collect(),
            None => wholes(&self.rest, 7, &self.place())?,
        };
        self.whole_of(values)
    }

    fn expect(&self, element: Element, what: &str) -> Result<(), OnnxError> {
        if self.rest.iter().any(|field| field.number == 13) {
            return Err(OnnxError::new(format!("{} lies in another file; export the model into one file", self.place())));
        }
        if self.element == element { Ok(()) } else { Err(OnnxError::new(format!("{} does not hold {what}", self.place()))) }
    }

    fn raw(&self) -> Option<&[u8]> {
        self.rest.iter().find(|field| field.number == RAW).and_then(Field::as_bytes)
    }

    fn whole_of<T>(&self, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
        let needed = self.dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(*dim).ok()?));
        if needed == Some(values.len()) {
            return Ok(values);
        }
        Err(OnnxError::new(format!("{} has dimensions {:?} and {} numbers", self.place(), self.dims, values.len())))
    }

    fn place(&self) -> String {
        if self.name.is_empty() { "a tensor".to_owned() } else { format!("the tensor {}", self.name) }
    }

    pub(super) fn read(fields: Vec<Field>) -> Result<Self, OnnxError> {
        let dims = wholes(&fields, 1, "the dimensions of a tensor")?;
        let mut tensor = Self { name: String::new(), dims, element: Element::Other(0), rest: Vec::new() };
        for field in fields {
            match field.number {
                1 => {}
                2 => tensor.element = Element::of(field.as_whole().unwrap_or(0)),
                8 => tensor.name = field.text("the name of a tensor")?,
                _ => tensor.rest.push(field),
            }
        }
        Ok(tensor)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        if !self.dims.is_empty() {
            fields.push(Field::bytes(1, wire::pack_wholes(&self.dims)));
        }
        fields.push(Field::whole(2, self.element.code()));
        if !self.name.is_empty() {
            fields.push(Field::bytes(8, self.name.as_str()));
        }
        fields.extend(self.rest.iter().cloned());
        wire::write(&fields)
    }
}

/// The integers of a repeated field, packed or one by one.
pub(super) fn wholes(fields: &[Field], number: u64, place: &str) -> Result<Vec<i64>, OnnxError> {
    let mut all = Vec::new();
    for field in fields.iter().filter(|field| field.number == number) {
        match &field.value {
            Value::Whole(value) => all.push(value.cast_signed()),
            Value::Bytes(bytes) => all.extend(wire::packed_wholes(bytes, place)?),
            _ => return Err(OnnxError::new(format!("{place} are not integers"))),
        }
    }
    Ok(all)
}

/// The floats of a repeated field, packed or one by one.
pub(super) fn reals(fields: &[Field], number: u64, place: &str) -> Result<Vec<f32>, OnnxError> {
    let mut all = Vec::new();
    for field in fields.iter().filter(|field| field.number == number) {
        match &field.value {
            Value::Bytes(bytes) if bytes.len() % 4 == 0 => {
                all.extend(bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)));
            }
            _ => all.push(real(field, place)?),
        }
    }
    Ok(all)
}

pub(super) fn real(field: &Field, place: &str) -> Result<f32, OnnxError> {
    match &field.value {
        Value::Four(bytes) => Ok(f32::from_le_bytes(*bytes)),
        _ => Err(OnnxError::new(format!("{place} is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_either_field_and_counted() {
        let raw = Tensor::floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(raw.to_floats().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let four = |value: f32| Field { number: 4, value: Value::Four(value.to_le_bytes()) };
        let listed = Tensor { rest: vec![four(1.0), four(2.0)], dims: vec![2], ..raw.clone() };
        assert_eq!(listed.to_floats().unwrap(), [1.0, 2.0]);
        let short = Tensor { dims: vec![5], ..raw.clone() };
        assert!(short.to_floats().unwrap_err().to_string().contains("4 numbers"));
        assert!(raw.to_wholes().unwrap_err().to_string().contains("the tensor w"));
        let elsewhere = Tensor { rest: vec![Field::bytes(13, "")], ..raw };
        assert!(elsewhere.to_floats().unwrap_err().to_string().contains("another file"));
    }
}
