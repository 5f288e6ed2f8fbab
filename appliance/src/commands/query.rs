//! `jidoka query` and `jidoka recall`: a question to all records of a station, and everything about the pieces that were found.

use super::{Failure, say};
use crate::cli::{Query, Recall};
use crate::pipeline::at;
use crate::pipeline::see::chain;
use crate::recall::described::{Described, Line};
use crate::recall::export::{COLUMNS, events, row};
use crate::recall::words::criteria;
use crate::store::archive::Archive;
use crate::store::images::Fate;
use crate::store::images::register::History;
use crate::store::pictures::shown as shown_of;
use crate::store::rows::overruled::Overruled;
use crate::store::rows::question::Question;
use crate::store::{Found, StoreError};
use crate::upload::epcis::{Document, Event};
use jiff::tz::TimeZone;
use serde_json::json;
use station::decision::{Affected, RANGES_MAX, ResultRange, SERIALS_MAX};
use station::record::{Body, Entry, PieceRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Answers a question.
pub(super) fn query(args: &Query) -> Result<(), Failure> {
    let (archive, found) = search(&args.data, &args.criteria.question())?;
    let described = described(&archive)?;
    let shown: Vec<Entry> = newest(&found, args.limit).iter().filter_map(|id| record(&archive, *id)).collect();
    if args.json {
        let history = history(&archive, &newest(&found, args.limit).iter().copied().collect());
        let records: Vec<_> = shown.iter().map(|entry| with_pictures(with_overrule(entry, &found), entry, &archive, &history)).collect();
        let answer = json!({"found": found.records.len(), "searched": found.searched, "records": records});
        return say(&answer.to_string());
    }
    let mut lines = vec![format!("{} of {} piece records", found.records.len(), found.searched)];
    if !shown.is_empty() {
        if shown.len() < found.records.len() {
            lines[0].push_str(&format!("; the newest {} (--limit shows more):", shown.len()));
        }
        let head = ["record", "time", "serial or piece", "lot", "verdict", "grade", "defects"].map(str::to_owned);
        let rows = shown.iter().filter_map(|entry| described.line(entry, overrule_of(entry, &found))).map(|line| cells(&line));
        let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
        lines.extend(table(&rows));
        lines.extend(pictures_in_words(&archive, &shown));
    }
    say(&lines.join("\n"))
}

/// What the register of pictures says of some records.
fn history(archive: &Archive, records: &BTreeSet<u64>) -> History {
    archive.images().history(&|record| records.contains(&record))
}

fn with_pictures(mut told: serde_json::Value, entry: &Entry, archive: &Archive, history: &History) -> serde_json::Value {
    if let (Some(fields), Body::Piece(piece)) = (told.as_object_mut(), &entry.body) {
        fields.insert("pictures".to_owned(), json!(shown_of(archive.images(), piece, Some(history))));
    }
    told
}

/// What became of the pictures of records that are shown: of one its own words, of several how many of each kind.
fn pictures_in_words(archive: &Archive, shown: &[Entry]) -> Option<String> {
    let pieces: Vec<&PieceRecord> =
        shown.iter().filter_map(|entry| if let Body::Piece(piece) = &entry.body { Some(&**piece) } else { None }).collect();
    let history = history(archive, &pieces.iter().map(|piece| piece.result_id).collect());
    let all: Vec<_> = pieces.iter().flat_map(|piece| shown_of(archive.images(), piece, Some(&history))).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for picture in &all {
        let kind = match picture.fate {
            Fate::Kept { .. } => "kept",
            Fate::Removed { .. } => "removed by retention",
            Fate::Missing => "missing (see jidoka doctor)",
            Fate::Never => "not kept",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    match &all[..] {
        [] => None,
        [one] => Some(format!("its picture: {}", one.words)),
        _ => Some(format!("pictures: {}", kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", "))),
    }
}

/// Writes everything about a recall into a new folder.
pub(super) fn recall(args: &Recall) -> Result<(), Failure> {
    let question = args.criteria.question();
    if question.is_empty() {
        let text = "a recall of everything? Say what the pieces have in common: --lot, --since, --model, --reading …".to_owned();
        return Err(Failure { text, code: 64 });
    }
    if args.to.exists() {
        return Err(Failure { text: format!("{} is there already: give a new folder with --to", args.to.display()), code: 1 });
    }
    let (archive, found) = search(&args.data, &question)?;
    if found.records.is_empty() {
        return say(&format!("no piece: 0 of {} piece records; nothing was written", found.searched));
    }
    let described = described(&archive)?;
    fs::create_dir_all(args.to.join("images")).map_err(at(&format!("cannot write to {}", args.to.display())))?;
    let done = Exported::write(&archive, &described, &found, &args.to)?;
    let criteria = criteria(&question);
    let head = json!({
        "name": args.name, "criteria": criteria, "made_at": jiff::Timestamp::now().to_string(),
        "searched": found.searched, "affected": found.records.len(), "overruled": found.overruled.len(), "lots": found.lots, "damaged": done.damaged,
        "pictures": done.pictures, "pictures_gone": done.pictures_gone, "pictures_removed": done.pictures_removed,
        "request": done.request(&args.name, &criteria),
    });
    let path = args.to.join("recall.json");
    let text = serde_json::to_string_pretty(&head).map_err(at("recall.json"))?;
    fs::write(&path, text).map_err(at(&format!("cannot write {}", path.display())))?;
    say(&format!(
        "{} of {} piece records are affected ({}): {}\naffected.csv, events-0001.json… with {} EPCIS events, {} pictures ({} more are not there, of which retention removed {}: affected.csv says why)\nto put the recall in force, so that these pieces are rejected when they are seen again: the station's page, or POST the \"request\" of recall.json to /api/v1/recalls",
        found.records.len(),
        found.searched,
        criteria,
        args.to.display(),
        done.events,
        done.pictures,
        done.pictures_gone,
        done.pictures_removed
    ))
}

fn search(data: &Path, question: &Question) -> Result<(Archive, Found), Failure> {
    let what = format!("{} cannot be searched", data.display());
    let mut archive = Archive::open(data).map_err(|error| {
        let mend = if matches!(error, StoreError::Directory { .. }) { "; give the data folder of a station with --data" } else { "" };
        Failure { text: format!("{what}: {}{mend}", chain(&error)), code: 1 }
    })?;
    if let Some(pid) = archive.in_use_by() {
        eprintln!(
            "the station runs (process {pid}) and has its index open: the ledger itself is read, which takes some seconds per million records"
        );
    }
    let found = archive.search(question).map_err(|error| match error {
        StoreError::Unknown(unknown) => Failure { text: unknown.to_string(), code: 64 },
        error => at(&what)(error).into(),
    })?;
    Ok((archive, found))
}

fn newest(found: &Found, limit: usize) -> &[u64] {
    &found.records[found.records.len().saturating_sub(limit)..]
}

/// A record that was found; a damaged one is told and left out.
fn record(archive: &Archive, result_id: u64) -> Option<Entry> {
    match archive.record(result_id) {
        Ok(entry) => entry,
        Err(error) => {
            eprintln!("piece record {result_id} is left out: {}", chain(&error));
            None
        }
    }
}

fn described(archive: &Archive) -> Result<Described, Failure> {
    Ok(Described::of(&archive.starts().map_err(at("the station's starts cannot be read"))?))
}

fn overrule_of<'f>(entry: &Entry, found: &'f Found) -> Option<&'f Overruled> {
    if let Body::Piece(piece) = &entry.body { found.overruled.get(&piece.result_id) } else { None }
}

/// A ledger entry as it is, and beside it what people put in place of its verdict.
fn with_overrule(entry: &Entry, found: &Found) -> serde_json::Value {
    let mut record = json!(entry);
    if let (Some(fields), Some(by)) = (record.as_object_mut(), overrule_of(entry, found)) {
        fields.insert("overruled".to_owned(), json!(by));
    }
    record
}

fn cells(line: &Line<'_>) -> [String; 7] {
    let arrival = &line.piece.arrival;
    let who = arrival.serial.clone().unwrap_or_else(|| format!("#{}", arrival.piece));
    let lot = if arrival.lot == 0 { "-".to_owned() } else { arrival.lot.to_string() };
    let (id, time) = (line.piece.result_id.to_string(), local(line.piece.arrived_at.wall_micros));
    [id, time, who, lot, line.verdict(), line.now.1.clone(), line.reasons.join("; ")]
}

/// In this machine's time zone, to the second.
fn local(micros: i64) -> String {
    let zoned = jiff::Timestamp::from_microsecond(micros).map(|instant| instant.to_zoned(TimeZone::system()));
    zoned.map_or_else(|_| format!("{micros} µs"), |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 7]]) -> Vec<String> {
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(wide).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// EPCIS events in one document: what a repository takes at once, and what fits into memory.
const EVENTS: usize = 10_000;

/// What was written of a recall.
#[derive(Default)]
struct Exported {
    documents: usize,
    events: usize,
    pictures: usize,
    pictures_gone: usize,
    /// Of those.
    pictures_removed: usize,
    damaged: Vec<u64>,
    results: Vec<ResultRange>,
    lots: BTreeSet<u32>,
    serials: BTreeSet<String>,
}

impl Exported {
    fn write(archive: &Archive, described: &Described, found: &Found, to: &Path) -> Result<Self, Failure> {
        let mut done = Self::default();
        let history = history(archive, &found.records.iter().copied().collect());
        let path = to.join("affected.csv");
        let what = format!("cannot write {}", path.display());
        let failed = || at(&what);
        let mut csv = csv::Writer::from_path(&path).map_err(failed())?;
        csv.write_record(COLUMNS).map_err(failed())?;
        let mut waiting = Vec::with_capacity(EVENTS);
        for result_id in &found.records {
            let Some(entry) = record(archive, *result_id) else {
                done.damaged.push(*result_id);
                continue;
            };
            let Body::Piece(piece) = &entry.body else { continue };
            done.note(piece);
            let images = done.pictures_of(archive, piece, &history, to)?;
            let overruled = found.overruled.get(result_id);
            if let Some(line) = described.line(&entry, overruled) {
                csv.write_record(row(&line, &entry, &images)).map_err(failed())?;
            }
            waiting.extend(events(archive, described, &entry, overruled.is_some()).map_err(at("a record has no EPCIS event"))?);
            if waiting.len() >= EVENTS {
                done.write_events(&mut waiting, to)?;
            }
        }
        csv.flush().map_err(at(&what))?;
        done.write_events(&mut waiting, to)?;
        Ok(done)
    }

    fn write_events(&mut self, events: &mut Vec<Event>, to: &Path) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        self.documents += 1;
        self.events += events.len();
        let path = to.join(format!("events-{:04}.json", self.documents));
        let text = serde_json::to_vec(&Document::new(events, jiff::Timestamp::now().to_string())).map_err(at("EPCIS events"))?;
        fs::write(&path, text).map_err(at(&format!("cannot write {}", path.display())))?;
        events.clear();
        Ok(())
    }

    fn note(&mut self, piece: &PieceRecord) {
        match self.results.last_mut() {
            Some(range) if range.last + 1 == piece.result_id => range.last = piece.result_id,
            _ => self.results.push(ResultRange { first: piece.result_id, last: piece.result_id }),
        }
        self.serials.extend(piece.arrival.serial.clone());
        if piece.arrival.lot > 0 {
            self.lots.insert(piece.arrival.lot);
        }
    }

    /// Copies a piece's pictures. Gives back their names, or in words what became of them.
    fn pictures_of(&mut self, archive: &Archive, piece: &PieceRecord, history: &History, to: &Path) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for picture in shown_of(archive.images(), piece, Some(history)) {
            let camera = picture.camera.as_deref().unwrap_or("camera");
            let Ok(jpeg) = archive.images().get(picture.digest) else {
                self.pictures_gone += 1;
                self.pictures_removed += usize::from(matches!(picture.fate, Fate::Removed { .. }));
                let words = if matches!(picture.fate, Fate::Kept { .. }) { "damaged" } else { &picture.words };
                names.push(format!("({camera}: {words})"));
                continue;
            };
            let name = format!("images/{}_{camera}.jpg", piece.result_id);
            fs::write(to.join(&name), jpeg).map_err(at(&format!("cannot write {name}")))?;
            self.pictures += 1;
            names.push(name);
        }
        Ok(names)
    }

    /// The body of the page's request: by record numbers and serials, as far as one request holds them.
    fn request(&self, name: &str, criteria: &str) -> serde_json::Value {
        let results = if self.results.len() <= RANGES_MAX { self.results.clone() } else { Vec::new() };
        let serials = if self.serials.len() <= SERIALS_MAX { self.serials.clone() } else { BTreeSet::new() };
        let set = Affected { results, serials, lots: BTreeSet::new() };
        if set.is_empty() {
            return json!({"too_many": format!("more than {RANGES_MAX} ranges of records and {SERIALS_MAX} serials: recall the lots {:?}", self.lots)});
        }
        let criteria: String = criteria.chars().take(station::decision::TEXT_CHARS_MAX).collect();
        json!({"name": name, "criteria": criteria, "results": set.results, "serials": set.serials, "reason": ""})
    }
}
