//! The rows of piece records in the view: taken in with the entries, and read through for every question.
//!
//! Rows wait in memory until a block of them is full. After a start those that no block holds are read from the ledger again:
//! some sixty records at most.
//!
//! Keys: `c` first record of a block → the block · `s` first record of a block → its serials (rows/serials.rs) · `v` result_id → verdict and grade by which it was overruled · `l` result_id → the supplier
//! lots in use from that record on · `w` number → a name · `k` entry number → place of an entry with a recipe that was in
//! force from there on.

use super::{CatchUpError, View, ViewError, be64, key, place_at, place_bytes};
use crate::store::read;
use crate::store::rows::origin::Origins;
use crate::store::rows::overruled::{self, Overruled, Overrules};
use crate::store::rows::question::{Question, Sought, Unknown};
use crate::store::rows::{self, Block, Names, Row, Rows, serials};
use crate::store::segment::Location;
use station::intake::MadeOf;
use station::recipe::Recipe;
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Damaged places looked at before the whole ledger is read.
const LOOK_BACK: usize = 64;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// A name in it is unknown.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The view cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Rows, and the keys that entries make of them.
#[derive(Debug)]
pub(super) struct RowKeys {
    rows: Rows,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RowKeys {
    pub(super) const fn new(rows: Rows) -> Self {
        Self { rows, pairs: Vec::new() }
    }

    pub(super) fn entry(&mut self, entry: &Entry, place: Location) {
        let names_before = self.rows.names.count();
        match &entry.body {
            Body::Started(started) => {
                let block = self.rows.change(Arc::clone(&started.recipe));
                self.block(block);
                self.pairs.push((key(b"k", &[&entry.number.0.to_be_bytes()]), place_bytes(place).to_vec()));
            }
            Body::Piece(piece) => {
                let made_of = self.rows.origin(piece);
                self.origin(piece.result_id, made_of);
                self.row(piece);
            }
            Body::Decided(record) => {
                let overruled = self.rows.overruled(record);
                self.overruled(overruled);
            }
            _ => {}
        }
        for number in names_before..self.rows.names.count() {
            let short = u16::try_from(number).unwrap_or(u16::MAX);
            self.pairs.push((key(b"w", &[&short.to_be_bytes()]), self.rows.names.to_bytes(number)));
        }
    }

    fn row(&mut self, piece: &PieceRecord) {
        let block = self.rows.take(piece);
        self.block(block);
    }

    fn block(&mut self, block: Option<Block>) {
        let Some(Block { first, rows, serials }) = block else { return };
        let first = first.to_be_bytes();
        self.pairs.extend([(key(b"c", &[&first]), rows), (key(b"s", &[&first]), serials)]);
    }

    fn overruled(&mut self, overruled: Option<(u64, Overruled)>) {
        // Numbers and names have no reason to refuse; an entry that cannot be written as JSON was never kept.
        let pair = overruled.and_then(|(id, by)| Some((key(b"v", &[&id.to_be_bytes()]), serde_json::to_vec(&by).ok()?)));
        self.pairs.extend(pair);
    }

    fn origin(&mut self, result_id: u64, made_of: Option<MadeOf>) {
        let pair = made_of.and_then(|made_of| Some((key(b"l", &[&result_id.to_be_bytes()]), serde_json::to_vec(&made_of).ok()?)));
        self.pairs.extend(pair);
    }

    /// The keys made so far, once.
    pub(super) fn take_pairs(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.pairs)
    }
}

impl View {
    pub(super) fn rows(&self) -> MutexGuard<'_, Option<RowKeys>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of entries, in ledger order; what it gives back belongs into the same write as the entries.
    pub(super) fn take_rows(slot: &mut Option<RowKeys>, entries: &[(&Entry, Location)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(keys) = slot.as_mut() else { return Vec::new() };
        entries.iter().for_each(|(entry, place)| keys.entry(entry, *place));
        keys.take_pairs()
    }

    /// Reads what rows need to go on: names, the recipe in force, and the rows that no block holds.
    pub(super) fn prime(&self, ledger_dir: &Path) -> Result<(), CatchUpError> {
        if self.rows().is_some() {
            return Ok(());
        }
        let (head, mut names) = (self.head()?, Names::default());
        self.each(b"w", &mut |_, name| if names.take_in(name) { Ok(()) } else { Err("a name in it is not readable".to_owned()) })?;
        let place = self.last_of(b"k")?.and_then(|(_, bytes)| place_at(&bytes, 0));
        let recipe = place.and_then(|place| read::read_at(ledger_dir, place).ok()).and_then(|(entry, _)| recipe_of(entry));
        let last = self.last_in_blocks()?;
        let mut keys = RowKeys::new(Rows::after(last, names, recipe));
        keys.rows.origins = self.origins()?;
        if last < head.pieces {
            let from = self.entry_before(ledger_dir, last + 1)?;
            read::read_from(ledger_dir, from, &mut |kept| {
                if kept.entry.number > head.number {
                    return ControlFlow::Break(());
                }
                if let Body::Piece(piece) = &kept.entry.body {
                    keys.row(piece);
                }
                ControlFlow::Continue(())
            })?;
        }
        let pairs = keys.take_pairs();
        self.write("written", |batch| pairs.into_iter().for_each(|(key, value)| batch.insert(key, value)))?;
        *self.rows() = Some(keys);
        Ok(())
    }

    /// The last record of which a block has a row.
    fn last_in_blocks(&self) -> Result<u64, ViewError> {
        let Some((key, block)) = self.last_of(b"c")? else { return Ok(0) };
        let (first, mut last) = (be64(&key, 1), 0);
        rows::read_block(first, &block, &mut |row| last = row.result_id).ok_or_else(|| self.unreadable(first))?;
        Ok(last)
    }

    /// Number of an entry at or before a piece record.
    fn entry_before(&self, ledger_dir: &Path, result_id: u64) -> Result<EntryNumber, ViewError> {
        let mut before = result_id;
        for _ in 0..LOOK_BACK {
            let Some((near, place)) = self.near(before)? else { break };
            match read::read_at(ledger_dir, place) {
                Ok((entry, _)) => return Ok(entry.number),
                Err(_) => before = near.saturating_sub(1),
            }
        }
        Ok(EntryNumber(1))
    }

    /// The piece records with this serial, oldest first.
    pub fn with_serial(&self, serial: &str) -> Result<Vec<u64>, ViewError> {
        let wanted = serials::fingerprint(Some(serial));
        // Those that wait first: what a block takes in meanwhile is found twice, not missed.
        let mut found: BTreeSet<u64> = self.rows().iter().flat_map(|keys| keys.rows.waiting_with(wanted)).collect();
        self.each(b"s", &mut |key, block| {
            let first = be64(key, 1);
            let whole = serials::find(first, block, wanted, |id| {
                found.insert(id);
            });
            whole.ok_or_else(|| format!("its serials from record {first} on are not readable"))
        })?;
        Ok(found.into_iter().collect())
    }

    /// Where the entries lie with which the station started, oldest first.
    pub fn starts(&self) -> Result<Vec<Location>, ViewError> {
        let mut places = Vec::new();
        self.each(b"k", &mut |_, bytes| {
            places.extend(place_at(bytes, 0));
            Ok(())
        })?;
        Ok(places)
    }

    /// The question in the numbers of this view's names.
    pub fn sought(&self, question: &Question) -> Result<Sought, SearchError> {
        let names = self.rows().as_ref().map(|keys| keys.rows.names.clone()).unwrap_or_default();
        let sought = question.in_numbers(&names, &self.known_origins(), |serial| self.with_serial(serial).map_err(SearchError::from))?;
        Ok(sought.knowing(self.overrules()?))
    }

    /// What records were made of.
    pub fn known_origins(&self) -> Origins {
        self.rows().as_ref().map(|keys| keys.rows.origins.clone()).unwrap_or_default()
    }

    fn origins(&self) -> Result<Origins, ViewError> {
        let mut origins = Origins::new();
        self.each(b"l", &mut |key, made_of| {
            let made_of =
                serde_json::from_slice(made_of).map_err(|_| format!("what record {} was made of is not readable", be64(key, 1)))?;
            origins.insert(be64(key, 1), made_of);
            Ok(())
        })?;
        Ok(origins)
    }

    /// What people overruled.
    pub fn overrules(&self) -> Result<Overrules, ViewError> {
        let mut overrules = Overrules::new();
        self.each(b"v", &mut |key, by| {
            let by = serde_json::from_slice(by).map_err(|_| format!("what overrules record {} is not readable", be64(key, 1)))?;
            overruled::note(&mut overrules, be64(key, 1), by);
            Ok(())
        })?;
        Ok(overrules)
    }

    /// Shows the rows from record `last` down to `first`, newest first, until the visitor breaks off.
    pub fn each_row_back(&self, first: u64, last: u64, visit: &mut dyn FnMut(&Row) -> ControlFlow<()>) -> Result<(), ViewError> {
        let within = first..=last;
        let waiting = self.rows().as_ref().map(|keys| keys.rows.waiting().to_vec()).unwrap_or_default();
        let beyond = waiting.first().map_or(u64::MAX, |row| row.result_id);
        for row in waiting.iter().rev().filter(|row| within.contains(&row.result_id)) {
            if visit(row).is_break() {
                return Ok(());
            }
        }
        let start = first.saturating_sub(rows::BLOCK).to_be_bytes();
        let end = last.saturating_add(1).min(beyond).to_be_bytes();
        if start >= end {
            return Ok(());
        }
        for pair in self.db.range(key(b"c", &[&start])..key(b"c", &[&end])).rev() {
            let (key, block) = pair.map_err(|error| self.error("read", &error))?;
            let mut rows = Vec::new();
            rows::read_block(be64(&key, 1), &block, &mut |row| rows.push(row.clone())).ok_or_else(|| self.unreadable(be64(&key, 1)))?;
            for row in rows.iter().rev().filter(|row| within.contains(&row.result_id)) {
                if visit(row).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Shows every row, oldest first.
    pub fn each_row(&self, visit: &mut dyn FnMut(&Row)) -> Result<(), ViewError> {
        // The rows that wait are copied before the blocks are read: what a block took in meanwhile is not shown twice.
        let waiting = self.rows().as_ref().map(|keys| keys.rows.waiting().to_vec()).unwrap_or_default();
        let beyond = waiting.first().map_or(u64::MAX, |row| row.result_id);
        self.each(b"c", &mut |key, block| {
            let first = be64(key, 1);
            if first >= beyond {
                return Ok(());
            }
            rows::read_block(first, block, visit).ok_or_else(|| format!("its rows from record {first} on are not readable"))
        })?;
        waiting.iter().for_each(visit);
        Ok(())
    }

    fn unreadable(&self, first: u64) -> ViewError {
        self.wrong(&format_args!("its rows from record {first} on are not readable"))
    }
}

fn recipe_of(entry: Entry) -> Option<Arc<Recipe>> {
    match entry.body {
        Body::Started(started) => Some(started.recipe),
        _ => None,
    }
}
