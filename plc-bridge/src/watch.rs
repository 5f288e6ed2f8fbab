//! Both blocks and all tags as a live table for a person with a laptop (`jidoka plc watch`).
//!
//! Invariants: it only reads; it has its own connections, so looking never disturbs the appliance beside it; a dead PLC
//! does not delay the look at another; what the PLC refuses is shown as refused with its reason, not left out; what could
//! not be read any more stays on the table with its age and is not `Good`.

use crate::bridge::Settings;
use crate::client::{ClientSettings, WireError};
use crate::jmap::{CONTROL, Field, Kind, Order, STATUS};
use crate::look::{Eye, Said, WHOLE_CONTROL, WHOLE_STATUS, all, chain};
use crate::map::{Aged, Batch, Limits, TagSpec, aged, batches, unreadable};
use station::reading::{Quality, Reading};
use station::units::{Micros, Timestamp};
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;

/// What one look found, registers as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// When it was taken.
    pub at: Timestamp,
    /// The control block; `None` if the PLC refused it.
    pub control: Option<Vec<u16>>,
    /// The status block; `None` if the PLC refused it.
    pub status: Option<Vec<u16>>,
    /// Every tag of the PLC.
    pub readings: Vec<Reading>,
}

/// Reads both blocks and all tags of one PLC once, over a connection of its own.
///
/// # Errors
/// If the PLC cannot be reached or does not answer; a refusal is part of the picture.
pub async fn read_once(settings: &Settings, plc: &ClientSettings) -> Result<Picture, WireError> {
    let mut eye = Eye::alone(&plc.peer);
    let control = eye.block(plc.control_base, WHOLE_CONTROL).await?.ok();
    let status = eye.block(plc.status_base, WHOLE_STATUS).await?.ok();
    let rows = tags(&mut eye, &plc.tags, &plc.limits, settings).await?;
    let readings = rows.into_iter().map(|(_, reading, _)| reading).collect();
    Ok(Picture { at: (settings.clock)(), control, status, readings })
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the field or tag.
    pub name: Arc<str>,
    /// Where it lies: register, register.bit, or first cell and table.
    pub place: String,
    /// The value as people read it.
    pub value: String,
    /// Its unit; empty if it has none.
    pub unit: Arc<str>,
    /// How far it could be trusted when it was read.
    pub quality: Quality,
    /// When it was read.
    pub sampled_at: Timestamp,
    /// It is `Stale` when older than this.
    pub stale_after: Micros,
    /// Value or quality is another than at the last look.
    pub changed: bool,
    /// What it means, or why it is bad.
    pub note: String,
}

impl Row {
    /// Its quality and age at `now`.
    #[must_use]
    pub fn aged(&self, now: Timestamp) -> Aged {
        aged(self.quality, self.sampled_at, self.stale_after, now)
    }
}

/// The lines of one block or of one PLC's tags.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// What it shows and of whom.
    pub title: String,
    /// Why it could not be read just now; its rows are then those of an earlier look.
    pub trouble: Option<String>,
    /// Its lines, in the order of the map or of the settings.
    pub rows: Vec<Row>,
}

/// Everything at one look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Board {
    /// When the look was over.
    pub at: Timestamp,
    /// The blocks, the tags of the PLC that shakes hands, then those of each source.
    pub sections: Vec<Section>,
}

impl Board {
    /// What could not be read, in order.
    pub fn troubles(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().filter_map(|section| section.trouble.as_deref())
    }
}

/// Looks again and again, over connections that are kept from look to look. A connection that failed is not used again;
/// the next look makes a new one.
pub struct Watcher {
    settings: Settings,
    plc: Option<Eye>,
    sources: Vec<Eye>,
    board: Board,
}

impl Watcher {
    /// For the PLC and the sources of `settings`. Nothing is connected before the first look.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let buses = Arc::default();
        let plc = settings.plc.as_ref().map(|plc| Eye::new(&plc.peer, &buses));
        let sources = settings.sources.iter().map(|source| Eye::new(&source.peer, &buses)).collect();
        Self { settings, plc, sources, board: Board::default() }
    }

    /// Looks at everything once and marks what changed since the last look. A PLC that cannot be read is told in its
    /// section. It takes no longer than the slowest of them; dropping it gives up the connections whose answers are open.
    pub async fn look(&mut self) -> &Board {
        let settings = &self.settings;
        let mut looks: Vec<Pin<Box<dyn Future<Output = Vec<Section>> + Send + '_>>> = Vec::new();
        if let (Some(eye), Some(plc)) = (&mut self.plc, &settings.plc) {
            looks.push(Box::pin(look_at_plc(eye, plc, settings)));
        }
        for (eye, source) in self.sources.iter_mut().zip(&settings.sources) {
            looks.push(Box::pin(async move {
                let title = format!("TAGS of {}", source.name);
                vec![tag_section(title, eye, &source.tags, &source.limits, settings).await]
            }));
        }
        let mut sections: Vec<Section> = all(looks).await.into_iter().flatten().collect();
        for section in &mut sections {
            if let Some(before) = self.board.sections.iter().find(|before| before.title == section.title) {
                compare(section, before);
            }
        }
        self.board = Board { at: (settings.clock)(), sections };
        &self.board
    }
}

async fn look_at_plc(eye: &mut Eye, plc: &ClientSettings, settings: &Settings) -> Vec<Section> {
    let control = eye.block(plc.control_base, WHOLE_CONTROL).await;
    let mut out = vec![block_section("CONTROL (PLC to appliance)", plc.control_base, CONTROL, control, settings)];
    let status = eye.block(plc.status_base, WHOLE_STATUS).await;
    out.push(block_section("STATUS (appliance to PLC)", plc.status_base, STATUS, status, settings));
    let payload: Vec<TagSpec> = settings.payload.tags(plc.status_base).collect();
    if !payload.is_empty() {
        out.push(tag_section("PAYLOAD (of the last result)".to_owned(), eye, &payload, &plc.limits, settings).await);
    }
    if !plc.tags.is_empty() {
        out.push(tag_section("TAGS".to_owned(), eye, &plc.tags, &plc.limits, settings).await);
    }
    out
}

fn block_section(title: &str, base: u16, fields: &[Field], said: Result<Said, WireError>, settings: &Settings) -> Section {
    let at = (settings.clock)();
    let mut section = Section { title: title.to_owned(), ..Section::default() };
    match said {
        Ok(Ok(words)) => {
            // Sixty-four raw registers help nobody who looks at a table.
            let shown = fields.iter().filter(|field| field.kind != Kind::Words);
            section.rows = shown.map(|field| block_row(field, base, &words, settings.order, at, settings.heartbeat_timeout)).collect();
        }
        Ok(Err(refusal)) => section.trouble = Some(format!("{}; check the base address", chain(&refusal))),
        Err(error) => section.trouble = Some(chain(&error)),
    }
    section
}

fn block_row(field: &Field, base: u16, words: &[u16], order: Order, at: Timestamp, stale_after: Micros) -> Row {
    Row {
        name: field.name.into(),
        place: field.place(base),
        value: field.show(words, order).unwrap_or_default(),
        unit: "".into(),
        quality: Quality::Good,
        sampled_at: at,
        stale_after,
        changed: false,
        note: field.doc.to_owned(),
    }
}

async fn tag_section(title: String, eye: &mut Eye, specs: &[TagSpec], limits: &Limits, settings: &Settings) -> Section {
    match tags(eye, specs, limits, settings).await {
        Ok(rows) => {
            Section { title, trouble: None, rows: rows.into_iter().map(|(tag, reading, why)| tag_row(tag, reading, why)).collect() }
        }
        Err(error) => Section { title, trouble: Some(chain(&error)), rows: Vec::new() },
    }
}

/// Every tag in the order of the settings, with the reason why it is bad.
async fn tags<'a>(
    eye: &mut Eye,
    specs: &'a [TagSpec],
    limits: &Limits,
    settings: &Settings,
) -> Result<Vec<(&'a TagSpec, Reading, Option<String>)>, WireError> {
    let mut out = Vec::new();
    for (index, bad) in unreadable(specs, limits) {
        if let Some(tag) = specs.get(index) {
            out.push((index, tag, tag.refused((settings.clock)()), Some(bad.wrong.to_string())));
        }
    }
    for batch in batches(specs, &(0..specs.len()).collect::<Vec<_>>(), limits) {
        let said = eye.batch(&batch).await?;
        // Some PLCs refuse to read the gaps between two tags.
        let parts = if said.is_err() { batch.apart(specs) } else { Vec::new() };
        if parts.is_empty() {
            take_batch(&batch, &said, specs, settings, &mut out);
        }
        for part in parts {
            let said = eye.batch(&part).await?;
            take_batch(&part, &said, specs, settings, &mut out);
        }
    }
    out.sort_by_key(|(index, ..)| *index);
    Ok(out.into_iter().map(|(_, tag, reading, why)| (tag, reading, why)).collect())
}

fn take_batch<'a>(
    batch: &Batch,
    said: &Said,
    specs: &'a [TagSpec],
    settings: &Settings,
    out: &mut Vec<(usize, &'a TagSpec, Reading, Option<String>)>,
) {
    let at = (settings.clock)();
    for (index, (from, tag)) in batch.tags.iter().zip(batch.members(specs)) {
        let (reading, why) = match said {
            Ok(cells) => {
                let cells = cells.get(from..).unwrap_or_default();
                (tag.decode(cells, settings.order, at), tag.value(cells, settings.order).err().map(|why| why.to_string()))
            }
            Err(refusal) => (tag.refused(at), Some(chain(refusal))),
        };
        out.push((*index, tag, reading, why));
    }
}

fn tag_row(tag: &TagSpec, reading: Reading, why: Option<String>) -> Row {
    let unit_id = tag.unit_id.map(|unit| format!("{unit}/")).unwrap_or_default();
    Row {
        place: format!("{unit_id}{} {}", tag.table.name(), tag.address),
        value: reading.text.as_deref().map_or_else(|| number(reading.value), str::to_owned),
        name: reading.tag,
        unit: reading.unit,
        quality: reading.quality,
        sampled_at: reading.sampled_at,
        stale_after: tag.stale_after,
        changed: false,
        note: why.unwrap_or_default(),
    }
}

/// Whole numbers without a fraction, others with three digits of it.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Marks what changed; what could not be read is shown as it last was.
fn compare(section: &mut Section, before: &Section) {
    if section.trouble.is_some() && section.rows.is_empty() {
        section.rows.clone_from(&before.rows);
        for row in &mut section.rows {
            row.changed = false;
            // It is not known to be so any more.
            row.quality = if row.quality == Quality::Good { Quality::Stale } else { row.quality };
        }
        return;
    }
    for row in &mut section.rows {
        let seen = before.rows.iter().find(|seen| seen.name == row.name && seen.place == row.place);
        row.changed = seen.is_some_and(|seen| seen.value != row.value || (seen.quality == Quality::Bad) != (row.quality == Quality::Bad));
    }
}

/// The board as text, a line per field and tag, `*` before what changed; ages are counted up to `now`.
#[must_use]
pub fn table(board: &Board, now: Timestamp) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for Section { title, trouble, rows } in &board.sections {
        let _infallible = writeln!(out, "{title}");
        if let Some(trouble) = trouble {
            let _infallible = writeln!(out, "  ! {trouble}");
        }
        for row in rows {
            let Aged { quality, age } = row.aged(now);
            let quality = match quality {
                Quality::Good => "good",
                Quality::Stale => "STALE",
                Quality::Bad => "BAD",
            };
            let mark = if row.changed { '*' } else { ' ' };
            let Row { name, place, value, unit, note, .. } = row;
            let age_millis = age.0 / 1000;
            let _infallible = writeln!(out, "{mark} {name:<24} {place:>14} {value:>14} {unit:<6} {age_millis:>6} ms {quality:<5} {note}");
        }
    }
    out
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
