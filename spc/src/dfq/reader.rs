//! Reading of DFQ text: K-field lines and compact value lines.
//!
//! Invariants: every line is understood or refused with its number; fields for all characteristics (`/0`) reach each of them;
//! circumstances of a compact line hold for the rest of its line (time also for the lines after it), as the format defines.

use std::collections::BTreeMap;

use super::{Characteristic, DfqError, File, MISSING, Measured, Stamp, VALID, Value};

/// Splits the fields of one value in a compact line (DC4).
const FIELD: char = '\u{14}';
/// Splits the characteristics of a compact line (SI).
const CHARACTERISTIC: char = '\u{f}';

/// Reads a file. Decimal commas are taken as points; line ends may be CR LF or LF; empty lines are passed over.
///
/// # Errors
/// [`DfqError::Line`] for a line that is neither a K-field nor a compact value line, numbers and times that are none, a second part,
/// values of characteristics that were not described; [`DfqError::Count`] if K0100 is contradicted.
pub fn read(text: &str) -> Result<File, DfqError> {
    let mut reader = Reader::default();
    // A byte order mark can stand before the first line.
    for (content, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        reader.line = number;
        if content.trim().is_empty() {
            continue;
        }
        let coded = content.strip_prefix('K').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        match coded {
            Some(rest) => reader.coded(rest)?,
            None => reader.compact(content)?,
        }
    }
    let found = reader.file.characteristics.len();
    match reader.announced {
        Some(announced) if announced != found => Err(DfqError::Count { announced, found }),
        _ => Ok(reader.file),
    }
}

#[derive(Default)]
struct Reader {
    file: File,
    line: usize,
    announced: Option<usize>,
    part: Option<usize>,
    /// The time that holds until another is given.
    time: Option<Stamp>,
}

impl Reader {
    fn wrong<T>(&self, what: &'static str, content: &str) -> Result<T, DfqError> {
        Err(DfqError::Line { line: self.line, what, content: content.to_owned() })
    }

    /// A line after its K: number, perhaps `/index`, a space, the content.
    fn coded(&mut self, rest: &str) -> Result<(), DfqError> {
        let (key, content) = rest.split_once(' ').unwrap_or((rest, ""));
        let content = content.trim();
        let (number, index) = key.split_once('/').map_or((key, None), |(number, index)| (number, Some(index)));
        let Ok(number) = number.parse::<u16>() else { return self.wrong("a key that is no K-field", rest) };
        let index = match index.map(str::parse::<usize>) {
            None => None,
            Some(Ok(index)) => Some(index),
            Some(Err(_)) => return self.wrong("an index that is no number", rest),
        };
        if content.is_empty() {
            return Ok(());
        }
        match number {
            100 => match content.parse() {
                Ok(count) => {
                    self.announced = Some(count);
                    self.at_least(count)
                }
                Err(_) => self.wrong("a number of characteristics that is none", content),
            },
            1..100 => self.value_field(number, index.unwrap_or(1), content),
            1000..2000 => self.part_field(number, index, content),
            2000..4000 | 8000..9000 => self.characteristic_field(number, index.unwrap_or(1), content),
            _ => {
                self.file.other.push((format!("K{key}"), content.to_owned()));
                Ok(())
            }
        }
    }

    /// Characteristics are there from their first mention, so that order in the file does not matter.
    fn at_least(&mut self, count: usize) -> Result<(), DfqError> {
        // A mistyped index must not eat the memory.
        if count > 100_000 {
            return self.wrong("more than 100000 characteristics", &count.to_string());
        }
        while self.file.characteristics.len() < count {
            self.file.characteristics.push(Characteristic::default());
        }
        Ok(())
    }

    fn part_field(&mut self, number: u16, index: Option<usize>, content: &str) -> Result<(), DfqError> {
        let index = index.unwrap_or(1);
        if *self.part.get_or_insert(index) != index {
            return self.wrong("a second part: give each part a file of its own", content);
        }
        match number {
            1001 => content.clone_into(&mut self.file.part_number),
            1002 => content.clone_into(&mut self.file.part_description),
            _ => {
                self.file.part_fields.insert(number, content.to_owned());
            }
        }
        Ok(())
    }

    fn characteristic_field(&mut self, number: u16, index: usize, content: &str) -> Result<(), DfqError> {
        self.at_least(index)?;
        let parsed = if matches!(number, 2101 | 2110 | 2111) { Some(self.decimal(content)?) } else { None };
        let decimals = if number == 2022 { content.parse().ok() } else { None };
        if number == 2022 && decimals.is_none() {
            return self.wrong("decimal places that are no small number", content);
        }
        for characteristic in self.meant(index) {
            match number {
                2001 => content.clone_into(&mut characteristic.number),
                2002 => content.clone_into(&mut characteristic.description),
                2142 => content.clone_into(&mut characteristic.unit),
                2022 => characteristic.decimals = decimals,
                2101 => characteristic.nominal = parsed,
                2110 => characteristic.lower = parsed,
                2111 => characteristic.upper = parsed,
                _ => {
                    characteristic.fields.insert(number, content.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Index 0 means all characteristics.
    fn meant(&mut self, index: usize) -> &mut [Characteristic] {
        match index.checked_sub(1) {
            None => &mut self.file.characteristics,
            Some(index) => self.file.characteristics.get_mut(index..=index).unwrap_or_default(),
        }
    }

    /// K0001 and K0020 start a value, all other fields belong to the last one.
    fn value_field(&mut self, number: u16, index: usize, content: &str) -> Result<(), DfqError> {
        if index > self.file.characteristics.len() {
            return self.wrong("a value of a characteristic that was not described", content);
        }
        let starts = match number {
            1 => Some(Measured::Number(self.decimal(content)?)),
            20 => Some(Measured::Count { inspected: self.whole(content)?, errors: 0 }),
            _ => None,
        };
        if let Some(measured) = starts {
            let value = Value { measured, ..Value::number(0.0) };
            self.meant(index).iter_mut().for_each(|characteristic| characteristic.values.push(value.clone()));
            return Ok(());
        }
        let (attribute, errors) =
            (if number == 2 { Some(self.whole(content)?) } else { None }, if number == 21 { Some(self.whole(content)?) } else { None });
        let time = if number == 4 { Some(self.stamp(content)?) } else { None };
        let mut before = false;
        for characteristic in self.meant(index) {
            let Some(value) = characteristic.values.last_mut() else {
                before = true;
                continue;
            };
            match (&mut value.measured, number) {
                (_, 2) => value.attribute = attribute.unwrap_or(VALID),
                (_, 4) => value.time = time,
                (Measured::Count { errors: of, .. }, 21) => *of = errors.unwrap_or(0),
                _ => {
                    value.fields.insert(number, content.to_owned());
                }
            }
        }
        if before { self.wrong("a field before its value: K0001 or K0020 comes first", content) } else { Ok(()) }
    }

    fn compact(&mut self, content: &str) -> Result<(), DfqError> {
        // What is given for one characteristic of the line holds for those after it.
        let mut held: BTreeMap<u16, String> = BTreeMap::new();
        for (index, data) in content.split(CHARACTERISTIC).enumerate() {
            if index >= self.file.characteristics.len() {
                return self.wrong("neither a K-field nor a value of a described characteristic", content);
            }
            let mut fields = data.split(FIELD).map(str::trim);
            let mut next = || fields.next().unwrap_or_default();
            let (first, second) = if self.file.characteristics[index].is_attribute() { (next(), next()) } else { (next(), "") };
            let attribute = next();
            let mut value = Value::number(0.0);
            value.attribute = if attribute.is_empty() { VALID } else { self.whole(attribute)? };
            let empty = first.is_empty();
            if empty {
                value.attribute = MISSING;
            }
            value.measured = if self.file.characteristics[index].is_attribute() {
                let count = |text: &str| if text.is_empty() { Ok(0) } else { self.whole(text) };
                Measured::Count { inspected: count(first)?, errors: count(second)? }
            } else {
                Measured::Number(if empty { 0.0 } else { self.decimal(first)? })
            };
            let time = next();
            if !time.is_empty() {
                self.time = Some(self.stamp(time)?);
            }
            value.time = self.time;
            // Events and process parameters belong to their value alone, the others go on.
            for (number, stays) in [(5, false), (6, true), (7, true), (8, true), (10, true), (11, false), (12, true)] {
                let given = next();
                if !given.is_empty() {
                    let target = if stays { &mut held } else { &mut value.fields };
                    target.insert(number, given.to_owned());
                }
            }
            if fields.next().is_some() {
                return self.wrong("more fields than a value has", data);
            }
            value.fields.extend(held.clone());
            self.file.characteristics[index].values.push(value);
        }
        Ok(())
    }

    fn decimal(&self, content: &str) -> Result<f64, DfqError> {
        match content.replace(',', ".").parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => self.wrong("a number that is none", content),
        }
    }

    fn whole<T: std::str::FromStr>(&self, content: &str) -> Result<T, DfqError> {
        content.parse().or_else(|_| self.wrong("a whole number that is none", content))
    }

    fn stamp(&self, content: &str) -> Result<Stamp, DfqError> {
        let parts: Vec<&str> = content.split(['.', '/', ':']).collect();
        let shape: String = content.chars().filter(|c| !c.is_ascii_digit()).collect();
        let small = |index: usize| parts.get(index).map_or(Some(0), |part| part.parse::<u8>().ok());
        let read = || {
            let year = parts.get(2).filter(|year| year.len() == 4)?.parse().ok()?;
            Some(Stamp { year, month: small(1)?, day: small(0)?, hour: small(3)?, minute: small(4)?, second: small(5)? })
        };
        let known = ["..", "../:", "../::"].contains(&shape.as_str());
        match read().filter(|stamp| known && stamp.is_real()) {
            Some(stamp) => Ok(stamp),
            None => self.wrong("a time that is not day.month.year/hour:minute:second", content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "K0100 2\nK1001 08/15\nK2002/1 Länge\nK2110/1 9,8\nK2002/2 Gewinde\nK2004/2 1\nK2142/0 mm\n";

    #[test]
    fn compact_lines_are_read() {
        let text =
            format!("{HEADER}9.940\u{14}0\u{14}12.08.1999/15:23:45\u{14}\u{14}#123\u{f}200\u{14}3\u{14}0\n9,95\u{14}255\u{f}\u{14}\n");
        let file = read(&text).unwrap();
        let [length, thread] = file.characteristics.as_slice() else { panic!("two characteristics") };
        assert_eq!((length.lower, length.unit.as_str(), thread.unit.as_str()), (Some(9.8), "mm", "mm"));
        assert_eq!((length.values[0].measured, length.values[1].measured), (Measured::Number(9.94), Measured::Number(9.95)));
        assert_eq!((length.values[1].attribute, thread.values[1].attribute), (255, MISSING));
        assert_eq!(thread.values[0].measured, Measured::Count { inspected: 200, errors: 3 });
        assert_eq!(thread.values[0].fields.get(&6).map(String::as_str), Some("#123"));
        let time = Stamp { year: 1999, month: 8, day: 12, hour: 15, minute: 23, second: 45 };
        assert!(length.values.iter().chain(&thread.values).all(|value| value.time == Some(time)));
    }

    #[test]
    fn a_field_for_all_reaches_every_value_of_its_row() {
        let text = format!("{HEADER}K0001/1 10\nK0020/2 5\nK0021/2 1\nK0004/0 01.02.2003/04:05:06\n");
        let file = read(&text).unwrap();
        assert!(file.characteristics.iter().all(|characteristic| characteristic.values[0].time.is_some_and(|time| time.year == 2003)));
        assert_eq!(file.characteristics[1].values[0].measured, Measured::Count { inspected: 5, errors: 1 });
    }

    #[test]
    fn errors_name_the_line() {
        for bad in ["K0001/1 twelve", "K0001/3 1", "K0002/1 0", "hello", "K1001/2 other", "1\u{f}2\u{f}3", "K2001/999999999 x", "K0001/x 1"]
        {
            let found = read(&format!("{HEADER}{bad}\n"));
            assert!(matches!(&found, Err(DfqError::Line { line: 8, .. })), "{bad}: {found:?}");
        }
        for bad in ["K0004/1 32.01.2024/00:00:00", "K0004/1 2024-01-01", "K0004/1 1.2.24"] {
            assert!(matches!(read(&format!("{HEADER}K0001/1 1\n{bad}")), Err(DfqError::Line { line: 9, .. })), "{bad}");
        }
        assert_eq!(read("K0100 1\nK2002/2 x\n"), Err(DfqError::Count { announced: 1, found: 2 }));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_what_it_reads_it_writes_and_reads_again(text in "(K(0001|0002|0020|0021|0004|2004|2101|1001|5000|2022)(/[0-3])? ?[0-9,.: /A]{0,8}\r?\n|[0-9.\u{f}\u{14}]{0,9}\n){0,12}") {
            if let Ok(file) = read(&text)
                && let Ok(written) = super::super::write(&file)
            {
                proptest::prop_assert_eq!(read(&written).unwrap(), file);
            }
        }
    }
}
