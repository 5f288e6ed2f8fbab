//! Both blocks and all tags as a table for a person with a laptop (`jidoka plc watch`).
//!
//! Invariants: it only reads; it has its own connection, so looking never disturbs the appliance beside it; what the PLC
//! refuses is shown as refused, not left out.

use crate::bridge::Settings;
use crate::client::{ClientSettings, Wire, WireError};
use crate::jmap::{CONTROL, CONTROL_LEN, Field, Kind, Order, STATUS, STATUS_HEAD, STATUS_LEN};
use crate::map::{Limits, batches};
use station::reading::{Quality, Reading};
use station::units::Timestamp;
use std::fmt::Write as _;

/// What one look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// When it was taken.
    pub at: Timestamp,
    /// First registers of the two blocks.
    pub bases: (u16, u16),
    /// How wide values lie.
    pub order: Order,
    /// The control block; `None` if the PLC refused it.
    pub control: Option<Vec<u16>>,
    /// The status block; `None` if the PLC refused it.
    pub status: Option<Vec<u16>>,
    /// Every tag of the settings.
    pub readings: Vec<Reading>,
}

/// Reads both blocks and all tags once, over a connection of its own.
///
/// # Errors
/// If the PLC cannot be reached or does not answer; a refusal is part of the picture.
pub async fn read_once(settings: &Settings, plc: &ClientSettings) -> Result<Picture, WireError> {
    let wire = Wire::connect(&plc.peer).await?;
    let (wire, control) = read_block(wire, plc.control_base, &[CONTROL_LEN]).await?;
    let (mut wire, status) = read_block(wire, plc.status_base, &[STATUS_HEAD, STATUS_LEN - STATUS_HEAD]).await?;
    let mut readings = Vec::new();
    for batch in batches(&plc.tags, &(0..plc.tags.len()).collect::<Vec<_>>(), &Limits::default()) {
        let cells;
        (wire, cells) = wire.read_batch(&batch).await?;
        let at = settings.clock.as_ref()();
        match &cells {
            Ok(cells) => readings.extend(batch.readings(&plc.tags, cells, settings.order, at)),
            Err(_refused) => readings.extend(batch.refused(&plc.tags, at)),
        }
    }
    let (at, bases) = (settings.clock.as_ref()(), (plc.control_base, plc.status_base));
    Ok(Picture { at, bases, order: settings.order, control, status, readings })
}

/// A block in as few requests as its length needs.
async fn read_block(mut wire: Wire, base: u16, parts: &[u16]) -> Result<(Wire, Option<Vec<u16>>), WireError> {
    let mut block = Vec::new();
    for count in parts {
        let offset = u16::try_from(block.len()).unwrap_or(u16::MAX);
        let words;
        (wire, words) = wire.read(base.saturating_add(offset), *count).await?;
        match words {
            Ok(words) => block.extend(words),
            Err(_refused) => return Ok((wire, None)),
        }
    }
    Ok((wire, Some(block)))
}

/// The picture as text, a line per field; ages are counted up to `now`.
#[must_use]
pub fn table(picture: &Picture, now: Timestamp) -> String {
    let mut out = String::new();
    let (control_base, status_base) = picture.bases;
    block(&mut out, "CONTROL (PLC → appliance)", control_base, CONTROL, picture.control.as_deref(), picture.order);
    block(&mut out, "STATUS (appliance → PLC)", status_base, STATUS, picture.status.as_deref(), picture.order);
    if !picture.readings.is_empty() {
        out.push_str("TAGS\n");
    }
    for reading in &picture.readings {
        let quality = match reading.quality {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Bad => "bad",
        };
        let age_millis = now.since(reading.sampled_at).0 / 1000;
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "  {:<24} {:>12.3} {:<6} {quality:<5} {age_millis} ms", reading.tag, reading.value, reading.unit);
    }
    out
}

fn block(out: &mut String, title: &str, base: u16, fields: &[Field], words: Option<&[u16]>, order: Order) {
    out.push_str(title);
    out.push('\n');
    let Some(words) = words else {
        out.push_str("  refused by the PLC: check the base address\n");
        return;
    };
    for field in fields {
        // Sixty-four raw registers help nobody who looks at a table.
        if field.kind == Kind::Words {
            continue;
        }
        let register = u32::from(base) + u32::from(field.register);
        let place = match field.kind {
            Kind::Bits { first, count: 1 } => format!("{register}.{first}"),
            Kind::Bits { first, count } => format!("{register}.{first}-{}", first + count - 1),
            _ => register.to_string(),
        };
        let value = field.show(words, order).unwrap_or_default();
        let _infallible = writeln!(out, "  {:<24} {place:>10} {value:>12}  {}", field.name, field.doc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jmap::Status;

    #[test]
    fn a_person_sees_names_values_and_ages() {
        let status = Status { run_permit: true, piece_seq_echo: 70_000, ..Status::default() };
        let reading = Reading {
            tag: "paste_height".into(),
            value: 120.5,
            unit: "um".into(),
            text: None,
            quality: Quality::Good,
            sampled_at: Timestamp { wall_micros: 0, mono_micros: 1_000_000 },
        };
        let picture = Picture {
            at: Timestamp::default(),
            bases: (0, 1000),
            order: Order::default(),
            control: None,
            status: Some(status.encode(Order::default()).to_vec()),
            readings: vec![reading],
        };
        let text = table(&picture, Timestamp { wall_micros: 0, mono_micros: 1_250_000 });
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        assert_eq!(line("RunPermit")[1..3], ["1001.7", "1"]);
        assert_eq!(line("PieceSeqEcho")[1..3], ["1010", "70000"]);
        assert_eq!(line("paste_height"), ["paste_height", "120.500", "um", "good", "250", "ms"]);
        assert!(text.contains("refused by the PLC"));
    }
}
