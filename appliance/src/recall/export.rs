//! Everything about the pieces that were found, as a list (CSV) and as EPCIS 2.0 events.
//!
//! Invariants: each found record is in the list, or is told as damaged; an overruled piece has the events of its overrules after
//! that of its record, so that whoever reads them in order ends with the verdict in force.

use super::Shelf;
use super::described::{Described, Line, utc, whole};
use crate::outbox::{DECISIONS, Parcel};
use crate::store::Found;
use crate::upload::context::MappingError;
use crate::upload::decided::events_of;
use crate::upload::epcis::{Document, Event};
use station::decision::Decision;
use station::reading::{Quality, Reading};
use station::record::{Body, Entry};
use std::io::{self, Write};
use std::sync::Arc;

/// The columns of the list.
pub const COLUMNS: [&str; 17] = [
    "record",
    "time",
    "serial",
    "piece",
    "lot",
    "verdict",
    "grade",
    "first_verdict",
    "first_grade",
    "overruled_by",
    "rubric",
    "model",
    "reasons",
    "readings",
    "made_of",
    "images",
    "entry_digest",
];

/// One record as a row of the list; `images` are the names of its pictures, or their digests.
#[must_use]
pub fn row(line: &Line<'_>, entry: &Entry, images: &[String]) -> Vec<String> {
    let (piece, arrival) = (line.piece, &line.piece.arrival);
    let reading = |reading: &Reading| {
        let mark = if reading.quality == Quality::Good { "" } else { " (not good)" };
        match &reading.text {
            Some(text) => format!("{}={text}{mark}", reading.tag),
            None => format!("{}={} {}{mark}", reading.tag, reading.value, reading.unit),
        }
    };
    let readings: Vec<String> = piece.readings.iter().map(reading).collect();
    let made_of: Vec<String> = piece.made_of.iter().map(|lot| format!("{} {} {}", lot.material, lot.supplier, lot.lot)).collect();
    let bytes = entry.to_bytes().unwrap_or_default();
    vec![
        piece.result_id.to_string(),
        utc(piece.arrived_at.wall_micros),
        arrival.serial.clone().unwrap_or_default(),
        arrival.piece.to_string(),
        if arrival.lot == 0 { String::new() } else { arrival.lot.to_string() },
        line.now.0.to_string(),
        line.now.1.clone(),
        line.first.0.to_string(),
        line.first.1.clone(),
        line.overruled_by.map(|decision| format!("decision {decision}")).unwrap_or_default(),
        piece.rubric_version.to_string(),
        piece.inspection.as_ref().map(|inspection| inspection.model.package.clone()).unwrap_or_default(),
        line.reasons.join("; "),
        readings.join("; "),
        made_of.join("; "),
        images.join("; "),
        Entry::digest(entry.previous, &bytes).to_string(),
    ]
}

/// The events of a record and of the overrules of it.
///
/// # Errors
/// The record cannot be described to a backend.
pub fn events(shelf: &dyn Shelf, described: &Described, entry: &Entry, is_overruled: bool) -> Result<Vec<Event>, MappingError> {
    let Some(contexts) = described.contexts() else { return Ok(Vec::new()) };
    let Body::Piece(piece) = &entry.body else { return Ok(Vec::new()) };
    let mut events = events_of(&Parcel::piece(piece.result_id, Arc::new(entry.clone())), contexts)?;
    let decisions = if is_overruled { shelf.decisions_about(piece.result_id).unwrap_or_default() } else { Vec::new() };
    let mut about = vec![Arc::new(entry.clone())];
    for decision in decisions {
        let Body::Decided(record) = &decision.body else { continue };
        if !matches!(record.decision, Decision::Overrule { .. }) {
            continue;
        }
        let decision_id = record.decision_id;
        let decision = Arc::new(decision);
        let parcel = Parcel { result_id: DECISIONS + decision_id, entry: Arc::clone(&decision), about: about.clone(), named: Vec::new() };
        events.extend(events_of(&parcel, contexts)?);
        about.push(decision);
    }
    Ok(events)
}

/// Writes the list of what was found.
///
/// # Errors
/// What `out` says.
pub fn write_csv(shelf: &dyn Shelf, described: &Described, found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for result_id in &found.records {
        let Some(entry) = whole(shelf, *result_id) else {
            let mut cells = vec![String::new(); COLUMNS.len()];
            cells[0] = result_id.to_string();
            cells[COLUMNS.len() - 1] = "damaged in the ledger".to_owned();
            csv.write_record(&cells)?;
            continue;
        };
        let Some(line) = described.line(&entry, found.overruled.get(result_id)) else { continue };
        let images = line.piece.inspection.iter().flat_map(|inspection| pictures(inspection));
        let images: Vec<String> = images.map(|(_, digest)| digest.to_string()).collect();
        csv.write_record(row(&line, &entry, &images))?;
    }
    csv.flush()
}

/// Writes what was found as one EPCIS document, event by event, so that no more than one of them is in memory.
///
/// # Errors
/// What `out` says, or a record that has no event.
pub fn write_epcis(shelf: &dyn Shelf, described: &Described, found: &Found, now: String, out: &mut dyn Write) -> io::Result<()> {
    /// What stands after the events of a document.
    const END: &str = "]}}";
    let empty = serde_json::to_string(&Document::new(&[], now))?;
    let head = empty.strip_suffix(END).ok_or_else(|| io::Error::other("an EPCIS document does not end with its events"))?;
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    out.write_all(head.as_bytes())?;
    let mut is_first = true;
    for entry in found.records.iter().filter_map(|result_id| whole(shelf, *result_id)) {
        let Body::Piece(piece) = &entry.body else { continue };
        let is_overruled = found.overruled.contains_key(&piece.result_id);
        for event in events(shelf, described, &entry, is_overruled).map_err(io::Error::other)? {
            if !std::mem::take(&mut is_first) {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut out, &event)?;
        }
    }
    out.write_all(END.as_bytes())?;
    out.flush()
}

/// The pictures of an inspection: the camera and the picture's digest.
#[must_use]
pub fn pictures(inspection: &station::inspection::Inspection) -> Vec<(String, station::units::Digest)> {
    if inspection.views.is_empty() {
        return vec![(inspection.camera.to_string(), inspection.image)];
    }
    inspection.views.iter().map(|view| (view.camera.to_string(), view.image)).collect()
}
