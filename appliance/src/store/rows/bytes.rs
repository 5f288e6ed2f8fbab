//! A block of rows as bytes: per row the step from the block's first record, then its fields, little-endian, one after the other.

use super::Row;
use crate::store::codec::{u16_at, u32_at, u64_at};
use station::verdict::Verdict;

/// Bytes of a row before its lists.
const FIXED: usize = 20;
/// Bytes of a reading.
const READING: usize = 10;

/// The bytes of rows, under the number of the first one; nothing of none.
pub fn encode(rows: &[Row]) -> Option<(u64, Vec<u8>)> {
    let first = rows.first()?.result_id;
    let mut out = Vec::with_capacity(rows.len() * 80);
    for row in rows {
        let step = u8::try_from(row.result_id - first).unwrap_or(u8::MAX);
        // A piece has a handful of models and classes, and at most 255 readings: what is beyond is found in the record.
        let (names, readings) = (short(row.names.len()), short(row.readings.len()));
        out.extend_from_slice(&[step, verdict_byte(row.verdict)]);
        out.extend_from_slice(&row.at_micros.to_le_bytes());
        out.extend_from_slice(&row.lot.to_le_bytes());
        out.extend_from_slice(&row.rubric.to_le_bytes());
        out.extend_from_slice(&row.grade.to_le_bytes());
        out.extend_from_slice(&[names, readings]);
        row.names.iter().take(usize::from(names)).for_each(|name| out.extend_from_slice(&name.to_le_bytes()));
        for (tag, value) in row.readings.iter().take(usize::from(readings)) {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Some((first, out))
}

/// Shows every row of a block; `None` if it ends in the middle of one, or says what no row says.
pub fn decode(first: u64, bytes: &[u8], visit: &mut dyn FnMut(&Row)) -> Option<()> {
    let mut row =
        Row { result_id: 0, at_micros: 0, verdict: Verdict::Hold, rubric: 0, lot: 0, grade: 0, names: Vec::new(), readings: Vec::new() };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (fixed, lists) = rest.split_at_checked(FIXED)?;
        row.result_id = first + u64::from(fixed[0]);
        row.verdict = verdict_of(fixed[1])?;
        row.at_micros = i64::from_le_bytes(u64_at(fixed, 2).to_le_bytes());
        (row.lot, row.rubric, row.grade) = (u32_at(fixed, 10), u16_at(fixed, 14), u16_at(fixed, 16));
        let (names, after) = lists.split_at_checked(usize::from(fixed[18]) * 2)?;
        let (readings, after) = after.split_at_checked(usize::from(fixed[19]) * READING)?;
        row.names.clear();
        row.names.extend(names.chunks_exact(2).map(|name| u16_at(name, 0)));
        row.readings.clear();
        row.readings.extend(readings.chunks_exact(READING).map(|reading| (u16_at(reading, 0), f64::from_bits(u64_at(reading, 2)))));
        visit(&row);
        rest = after;
    }
    Some(())
}

fn short(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

const fn verdict_byte(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Reject => 1,
        Verdict::Hold => 2,
    }
}

const fn verdict_of(byte: u8) -> Option<Verdict> {
    match byte {
        0 => Some(Verdict::Pass),
        1 => Some(Verdict::Reject),
        2 => Some(Verdict::Hold),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_a_cut_block_does_not() {
        let row = |result_id: u64, verdict| Row {
            result_id,
            at_micros: -5,
            verdict,
            rubric: 3,
            lot: 70_000,
            grade: 2,
            names: vec![1, 400],
            readings: vec![(9, -1.5), (10, 1e300)],
        };
        let rows = [row(65, Verdict::Pass), row(66, Verdict::Reject), row(70, Verdict::Hold)];
        let (first, bytes) = encode(&rows).unwrap();
        let mut back = Vec::new();
        decode(first, &bytes, &mut |row| back.push(row.clone())).unwrap();
        assert_eq!(back, rows);
        assert_eq!(encode(&[]), None);
        for end in 1..bytes.len() {
            let whole = decode(first, &bytes[..end], &mut |_| ()).is_some();
            assert_eq!(whole, end % (bytes.len() / 3) == 0, "cut after {end} bytes");
        }
        let mut wrong = bytes;
        wrong[1] = 9;
        assert!(decode(first, &wrong, &mut |_| ()).is_none());
    }
}
