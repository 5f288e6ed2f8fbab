//! Measured values as Q-DAS AQDEF files (DFQ): what customers' statistics programs read, written from a string to a string.
//!
//! A file describes one part (K1xxx), its characteristics (K2xxx/number) and their values (K0xxx/number). Values are written
//! as K-fields, one line per field; [`read`] also takes the compact lines (fields split by DC4, characteristics by SI).
//! Bytes and encoding are the caller's.
//!
//! Source: Q-DAS ASCII transfer format, and AQDEF 3.0, Advanced Quality Data Exchange Format: key fields and their order in
//! compact lines. K-fields that this module does not interpret are kept and written back.
//!
//! Invariants: `read(&write(file)?)? == file` for every file that `write` accepts; numbers survive to the bit; no value is dropped:
//! an invalid or missing one keeps its place with its attribute; an error names the line.

mod reader;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use reader::read;

/// K0002 of a value that counts.
pub const VALID: u16 = 0;
/// K0002 of a value that was measured but is not to be used.
pub const INVALID: u16 = 255;
/// K0002 of a place without value.
pub const MISSING: u16 = 256;

/// One file: a part with its characteristics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct File {
    /// K1001, the part number.
    pub part_number: String,
    /// K1002, the part's name.
    pub part_description: String,
    /// Other K1xxx fields by number.
    pub part_fields: BTreeMap<u16, String>,
    /// Characteristics; the first is number 1.
    pub characteristics: Vec<Characteristic>,
    /// Lines of other groups (catalogues K4xxx, structure K5xxx, …), key as written and content.
    pub other: Vec<(String, String)>,
}

/// One characteristic with its values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Characteristic {
    /// K2001, the characteristic's number.
    pub number: String,
    /// K2002, its name.
    pub description: String,
    /// K2142, the unit of nominal, limits and values.
    pub unit: String,
    /// K2022, decimal places for display.
    pub decimals: Option<u8>,
    /// K2101, nominal.
    pub nominal: Option<f64>,
    /// K2110, lower specification limit.
    pub lower: Option<f64>,
    /// K2111, upper specification limit.
    pub upper: Option<f64>,
    /// Other K2xxx, K3xxx and K8xxx fields by number.
    pub fields: BTreeMap<u16, String>,
    /// Values in their order.
    pub values: Vec<Value>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Measured {
    /// K0001 of a variable characteristic, in its unit.
    Number(f64),
    /// K0020 and K0021 of an attribute characteristic (K2004 = 1).
    Count {
        /// Pieces inspected.
        inspected: u32,
        /// Nonconforming pieces or errors among them.
        errors: u32,
    },
}

/// One value with its circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// What was found. For [`MISSING`] a number of 0.
    pub measured: Measured,
    /// K0002: [`VALID`], [`INVALID`], [`MISSING`], or a program's own.
    pub attribute: u16,
    /// K0004.
    pub time: Option<Stamp>,
    /// Other K0xxx fields by number: 5 events, 6 batch, 7 nest, 8 operator, 9 text, 10 machine, 11 process parameter,
    /// 12 gauge, 14 part identity, …
    pub fields: BTreeMap<u16, String>,
}

impl Value {
    /// A valid number without circumstances.
    #[must_use]
    pub const fn number(value: f64) -> Self {
        Self { measured: Measured::Number(value), attribute: VALID, time: None, fields: BTreeMap::new() }
    }
}

/// Local time to the second, as K0004 writes it: day.month.year/hour:minute:second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Year, four digits.
    pub year: u16,
    /// Month from 1.
    pub month: u8,
    /// Day from 1.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl Stamp {
    fn is_real(self) -> bool {
        let Self { year, month, day, hour, minute, second } = self;
        (1000..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(formatter, "{day:02}.{month:02}.{year:04}/{hour:02}:{minute:02}:{second:02}")
    }
}

/// Why a file cannot be read or written.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DfqError {
    /// A line is not what its place asks for.
    #[error("line {line}: {what}: {content:?}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong, and the mend.
        what: &'static str,
        /// What was found there.
        content: String,
    },
    /// The header announces another number of characteristics.
    #[error("K0100 announces {announced} characteristics, but {found} are described")]
    Count {
        /// K0100.
        announced: usize,
        /// Described.
        found: usize,
    },
    /// A field would not survive being written.
    #[error("{what} of characteristic {characteristic}: {mend}")]
    Content {
        /// Which field.
        what: &'static str,
        /// The characteristic, from 1; 0 for the part.
        characteristic: usize,
        /// How to mend it.
        mend: &'static str,
    },
}

/// Field numbers with a place of their own, which must not appear among the others.
const OWN_PART: [u16; 2] = [1001, 1002];
const OWN_CHARACTERISTIC: [u16; 7] = [2001, 2002, 2022, 2101, 2110, 2111, 2142];
const OWN_VALUE: [u16; 5] = [1, 2, 4, 20, 21];

/// The file as text with CR LF line ends. Empty texts are not written. Values go row by row: the first of all
/// characteristics, then the second, …
///
/// # Errors
/// [`DfqError::Content`] for texts with control characters or outer spaces, numbers that are not finite, times that do not exist,
/// fields whose number belongs to a typed one or to another group, and attribute values where K2004 is not 1 (or the reverse).
pub fn write(file: &File) -> Result<String, DfqError> {
    let mut text = String::new();
    let mut line = |key: &str, content: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        write!(text, "{key} {content}\r\n").ok();
    };
    line("K0100", &file.characteristics.len());
    let texts = [("K1001", &file.part_number), ("K1002", &file.part_description)];
    for (key, content) in texts.iter().filter(|(_, content)| !content.is_empty()) {
        line(key, &plain(content, 0)?);
    }
    for (number, content) in &file.part_fields {
        let fits = (1000..2000).contains(number) && !OWN_PART.contains(number);
        line(&format!("K{number}"), &field(content, fits, 0)?);
    }
    for (characteristic, number) in file.characteristics.iter().zip(1..) {
        describe(characteristic, number, &mut line)?;
    }
    for (key, content) in &file.other {
        let group = key.strip_prefix('K').and_then(|rest| rest.chars().next());
        let fits = group.is_some_and(|group| matches!(group, '4'..='7' | '9')) && !key.contains(|c: char| c == ' ' || c.is_control());
        line(key, &field(content, fits, 0)?);
    }
    let rows = file.characteristics.iter().map(|characteristic| characteristic.values.len()).max().unwrap_or(0);
    for row in 0..rows {
        for (characteristic, number) in file.characteristics.iter().zip(1..) {
            if let Some(value) = characteristic.values.get(row) {
                measured(characteristic, value, number, &mut line)?;
            }
        }
    }
    Ok(text)
}

type Line<'a> = &'a mut dyn FnMut(&str, &dyn std::fmt::Display);

fn describe(characteristic: &Characteristic, number: usize, line: Line) -> Result<(), DfqError> {
    let Characteristic { decimals, nominal, lower, upper, .. } = characteristic;
    let texts = [(2001, &characteristic.number), (2002, &characteristic.description), (2142, &characteristic.unit)];
    let named = texts.iter().any(|(_, content)| !content.is_empty());
    let numbers = [(2101, nominal), (2110, lower), (2111, upper)];
    for (field, content) in texts.iter().filter(|(_, content)| !content.is_empty()) {
        line(&format!("K{field}/{number}"), &plain(content, number)?);
    }
    if let Some(decimals) = decimals {
        line(&format!("K2022/{number}"), decimals);
    }
    for (field, value) in numbers.iter().filter_map(|(field, value)| value.map(|value| (field, value))) {
        line(&format!("K{field}/{number}"), &finite(value, number)?);
    }
    for (field_number, content) in &characteristic.fields {
        let group = matches!(field_number / 1000, 2 | 3 | 8);
        line(&format!("K{field_number}/{number}"), &field(content, group && !OWN_CHARACTERISTIC.contains(field_number), number)?);
    }
    if !named && decimals.is_none() && numbers.iter().all(|(_, value)| value.is_none()) && characteristic.fields.is_empty() {
        return Err(DfqError::Content { what: "description", characteristic: number, mend: "give it a number or a name" });
    }
    Ok(())
}

fn measured(characteristic: &Characteristic, value: &Value, number: usize, line: Line) -> Result<(), DfqError> {
    let attribute = characteristic.is_attribute();
    match value.measured {
        Measured::Number(value) if !attribute => line(&format!("K0001/{number}"), &finite(value, number)?),
        Measured::Count { inspected, errors } if attribute => {
            line(&format!("K0020/{number}"), &inspected);
            line(&format!("K0021/{number}"), &errors);
        }
        _ => {
            return Err(DfqError::Content {
                what: "kind of value",
                characteristic: number,
                mend: "give counts where K2004 is 1, numbers elsewhere",
            });
        }
    }
    if value.attribute != VALID {
        line(&format!("K0002/{number}"), &value.attribute);
    }
    if let Some(time) = value.time {
        if !time.is_real() {
            return Err(DfqError::Content { what: "time", characteristic: number, mend: "give a date and time that exist" });
        }
        line(&format!("K0004/{number}"), &time);
    }
    for (field_number, content) in &value.fields {
        let fits = *field_number < 100 && !OWN_VALUE.contains(field_number);
        line(&format!("K{field_number:04}/{number}"), &field(content, fits, number)?);
    }
    Ok(())
}

impl Characteristic {
    /// Values are counts of nonconforming pieces: K2004 is 1.
    #[must_use]
    pub fn is_attribute(&self) -> bool {
        self.fields.get(&2004).is_some_and(|kind| kind == "1")
    }
}

fn plain(content: &str, characteristic: usize) -> Result<&str, DfqError> {
    let survives = content.trim() == content && !content.contains(char::is_control);
    let mend = "leave out control characters and outer spaces";
    if survives { Ok(content) } else { Err(DfqError::Content { what: "text", characteristic, mend }) }
}

fn field(content: &str, fits: bool, characteristic: usize) -> Result<&str, DfqError> {
    let mend = "use the field of its own, or a number of this group";
    if !fits {
        return Err(DfqError::Content { what: "number of a field", characteristic, mend });
    }
    if content.is_empty() {
        return Err(DfqError::Content { what: "empty field", characteristic, mend: "leave the field out" });
    }
    plain(content, characteristic)
}

fn finite(value: f64, characteristic: usize) -> Result<f64, DfqError> {
    let mend = "give a finite number, or attribute 256 with 0 for a missing value";
    if value.is_finite() { Ok(value) } else { Err(DfqError::Content { what: "number", characteristic, mend }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file() -> File {
        let time = Stamp { year: 2024, month: 2, day: 29, hour: 6, minute: 5, second: 4 };
        let fields = |pairs: &[(u16, &str)]| pairs.iter().map(|(number, content)| (*number, (*content).to_owned())).collect();
        File {
            part_number: "4711-A".to_owned(),
            part_description: "Deckel, weiß".to_owned(),
            part_fields: fields(&[(1086, "Op 20")]),
            characteristics: vec![
                Characteristic {
                    number: "1".to_owned(),
                    description: "Bohrung".to_owned(),
                    unit: "mm".to_owned(),
                    decimals: Some(3),
                    nominal: Some(12.0),
                    lower: Some(11.98),
                    upper: Some(12.02),
                    fields: fields(&[(2004, "0")]),
                    values: vec![
                        Value { time: Some(time), fields: fields(&[(6, "#123"), (10, "7")]), ..Value::number(12.003_000_000_000_002) },
                        Value { attribute: INVALID, ..Value::number(-1e-300) },
                        Value { attribute: MISSING, ..Value::number(0.0) },
                    ],
                },
                Characteristic {
                    description: "Kratzer".to_owned(),
                    fields: fields(&[(2004, "1")]),
                    values: vec![Value { measured: Measured::Count { inspected: 200, errors: 3 }, ..Value::number(0.0) }],
                    ..Characteristic::default()
                },
            ],
            other: vec![("K5111/1".to_owned(), "1".to_owned())],
        }
    }

    #[test]
    fn writing_and_reading_gives_the_file_back() {
        let text = write(&file()).unwrap();
        assert_eq!(read(&text).unwrap(), file());
        assert!(text.starts_with("K0100 2\r\nK1001 4711-A\r\n"), "{text}");
        assert!(text.contains("K2111/1 12.02\r\n") && text.contains("K0004/1 29.02.2024/06:05:04\r\n"), "{text}");
    }

    #[test]
    fn refuses_what_would_not_come_back() {
        let broken: [fn(&mut File); 6] = [
            |file| file.part_number = "two\nlines".to_owned(),
            |file| file.characteristics[0].lower = Some(f64::NAN),
            |file| file.characteristics[0].values[0].measured = Measured::Count { inspected: 1, errors: 0 },
            |file| file.characteristics[0].fields = [(2110, "1".to_owned())].into(),
            |file| file.other[0].0 = "K2001/1".to_owned(),
            |file| file.characteristics[1] = Characteristic::default(),
        ];
        for breaks in broken {
            let mut file = file();
            breaks(&mut file);
            assert!(matches!(write(&file), Err(DfqError::Content { .. })), "{file:?}");
        }
    }
}
