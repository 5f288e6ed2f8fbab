//! How the view follows the ledger: which keys an entry makes, taking entries in, catching up, and holding every key against the ledger.
//!
//! Invariant: the keys that are written and the keys that are checked are made in one place ([`Keys`]).

use super::searched::RowKeys;
use super::{View, ViewError, be64, is_indexed, key, len64, place_at, place_bytes, verdict_byte};
use crate::store::codec::array_at;
use crate::store::ledger::LedgerError;
use crate::store::read::{self, Kept};
use crate::store::rows::Rows;
use crate::store::segment::Location;
use crate::store::walk::Head;
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use station::verdict::Verdict;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Entries per write while catching up: a few hundred kilobytes.
const CATCH_UP_BATCH: usize = 512;
/// Batches that are read ahead of the one that is written.
const READ_AHEAD: usize = 2;
/// First letters of the keys that follow from the ledger; the others are standings of backends, the head and the format.
const OF_THE_LEDGER: &[u8] = b"rpsndxcvlwk";
/// First letter of the keys that a later entry may write again.
const REWRITTEN: u8 = b'v';

/// The view could not be brought up to the ledger.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// Because of the view.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Because of the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Takes a key and its value.
type Put<'p> = dyn FnMut(Vec<u8>, Vec<u8>) + 'p;

/// Makes the keys of entries that come in ledger order, but for those of rows.
#[derive(Debug, Default)]
struct Keys {
    /// Of the last record that has its place in the index: the first one of every segment has.
    segment: Option<u32>,
    /// First record and piece number of the last run, and its last record.
    run: Option<((u64, u32), u64)>,
}

impl Keys {
    fn of(&mut self, entry: &Entry, place: Location, put: &mut Put<'_>) {
        match &entry.body {
            Body::Piece(piece) => {
                let starts_segment = self.segment.replace(place.segment) != Some(place.segment);
                self.piece(piece, (starts_segment || is_indexed(piece.result_id)).then_some(place), put);
            }
            Body::Decided(record) => {
                let id = record.decision_id.to_be_bytes();
                put(key(b"d", &[&id]), place_bytes(place).to_vec());
                if let Some(result_id) = record.decision.result_id() {
                    put(key(b"x", &[&result_id.to_be_bytes(), &id]), Vec::new());
                }
            }
            _ => {}
        }
    }

    fn piece(&mut self, piece: &PieceRecord, place: Option<Location>, put: &mut Put<'_>) {
        let id = piece.result_id.to_be_bytes();
        if let Some(place) = place {
            put(key(b"r", &[&id]), place_bytes(place).to_vec());
        }
        if piece.judgement.verdict != Verdict::Pass {
            put(key(b"n", &[&id]), vec![verdict_byte(piece.judgement.verdict)]);
        }
        self.run = Some(run_of(piece, self.run, put));
    }
}

/// The run that holds this piece. A new one begins where piece and record number do not both count on.
fn run_of(piece: &PieceRecord, run: Option<((u64, u32), u64)>, put: &mut Put<'_>) -> ((u64, u32), u64) {
    let (id, number) = (piece.result_id, piece.arrival.piece.0);
    if let Some((first, last)) = run
        && id == last + 1
        && number.checked_sub(first.1).map(u64::from) == id.checked_sub(first.0)
    {
        return (first, id);
    }
    if run.is_some_and(|(first, last)| id <= last && id >= first.0) {
        // Taken in before: a view that catches up may see the last entries again.
        return run.unwrap_or(((id, number), id));
    }
    put(key(b"p", &[&id.to_be_bytes()]), number.to_be_bytes().to_vec());
    ((id, number), id)
}

impl View {
    /// Takes entries in, in ledger order. `head` is the chain's end after them.
    pub fn take(&self, entries: &[(&Entry, Location)], head: Head) -> Result<(), ViewError> {
        let place = self.last_of(b"r")?.and_then(|(_, bytes)| place_at(&bytes, 0));
        let run = self.last_run()?.zip(Some(self.head()?.pieces));
        let mut keys = Keys { segment: place.map(|place| place.segment), run };
        // Held until the block is written: between leaving the rows that wait and being in the view a row would be in no answer.
        let mut rows = self.rows();
        let written = Self::take_rows(&mut rows, entries);
        self.write("written", |batch| {
            written.into_iter().for_each(|(key, value)| batch.insert(key, value));
            entries.iter().for_each(|(entry, place)| keys.of(entry, *place, &mut |key, value| batch.insert(key, value)));
            let place = entries.last().map(|(_, place)| *place);
            let parts: [&[u8]; 4] =
                [&head.number.0.to_be_bytes(), &head.digest.0, &head.pieces.to_be_bytes(), &place.map(place_bytes).unwrap_or_default()];
            batch.insert(b"h", parts.concat());
        })
    }

    /// First record and piece number of the last run.
    fn last_run(&self) -> Result<Option<(u64, u32)>, ViewError> {
        let last = self.last_of(b"p")?;
        Ok(last.map(|(key, piece)| (be64(&key, 1), u32::from_be_bytes(array_at(&piece, 0)))))
    }

    /// Reads what the ledger holds beyond the view's head. Gives back how many entries that were. Durable when it returns.
    pub fn catch_up(&self, ledger_dir: &Path, ledger_head: Head) -> Result<u64, CatchUpError> {
        self.prime(ledger_dir)?;
        let head = self.head()?;
        let mut taken = 0;
        if head.number < ledger_head.number {
            let from = EntryNumber(head.number.0 + 1);
            // Reading and checking entries takes about as long as writing their keys: each has a thread of its own.
            taken = std::thread::scope(|scope| {
                let (sender, batches) = sync_channel(READ_AHEAD);
                let reader = scope.spawn(move || read_ahead(ledger_dir, from, ledger_head.number, &sender));
                let taken = self.take_batches(head, batches);
                let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                let taken = taken?;
                read.map(|()| taken).map_err(CatchUpError::from)
            })?;
        }
        if self.head()? != ledger_head {
            // The last entries are damaged in the ledger: they count, and nothing can be said of them.
            self.take(&[], ledger_head)?;
        }
        if taken > 0 {
            self.sync()?;
        }
        Ok(taken)
    }

    fn take_batches(&self, mut head: Head, batches: Receiver<Vec<Kept>>) -> Result<u64, ViewError> {
        let mut taken = 0;
        // A failure ends the loop, drops the receiver and so ends the reader.
        for batch in batches {
            for kept in &batch {
                let pieces = if let Body::Piece(piece) = &kept.entry.body { piece.result_id } else { 0 };
                head = Head { number: kept.entry.number, digest: kept.digest, pieces: head.pieces.max(pieces) };
            }
            let entries: Vec<_> = batch.iter().map(|kept| (&kept.entry, kept.place)).collect();
            self.take(&entries, head)?;
            taken += len64(entries.len());
        }
        Ok(taken)
    }

    /// Holds every key against what the ledger's entries make of it. Gives back what does not fit, if anything; a ledger that is
    /// damaged itself says nothing about its index.
    ///
    /// # Errors
    /// A view or a ledger that cannot be read.
    pub fn differs(&self, ledger_dir: &Path) -> Result<Option<String>, CatchUpError> {
        let head = self.head()?;
        let mut check = Check::new(self);
        let mut failed = None;
        let found = read::read_from(ledger_dir, EntryNumber(1), &mut |kept| {
            if kept.entry.number > head.number {
                return ControlFlow::Break(());
            }
            failed = check.entry(&kept).err();
            if failed.is_some() || check.wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        check.compare_rewritten()?;
        if found.fault_count > 0 || check.wrong.is_some() {
            return Ok(check.wrong.filter(|_| found.fault_count == 0));
        }
        if head.number.0 > 0 && check.last != Some((head.number, head.digest)) {
            return Ok(Some(format!("it ends with an entry {} that is not in the ledger", head.number.0)));
        }
        let mut all = 0_u64;
        for letter in OF_THE_LEDGER {
            self.each(&[*letter], &mut |_, _| {
                all += 1;
                Ok(())
            })?;
        }
        Ok((all != check.fits).then(|| format!("it has {all} keys where the ledger makes {}", check.fits)))
    }
}

#[cfg(test)]
impl View {
    /// Writes a key that no entry made, after the last one that begins like this.
    pub fn invent(&self, prefix: &[u8]) -> Result<(), ViewError> {
        let after = [self.last_of(prefix)?.map(|(key, _)| key.to_vec()).unwrap_or_default(), vec![1]].concat();
        self.write("written", |batch| batch.insert(after, &[]))
    }

    /// Writes something else over the last key that begins like this, as a disk may, or takes it away. Gives back the key.
    pub fn spoil(&self, prefix: &[u8], spoil: impl FnOnce(&mut Vec<u8>) -> bool) -> Result<Vec<u8>, ViewError> {
        let (key, mut value) = self.last_of(prefix)?.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap_or_default();
        let stays = spoil(&mut value);
        self.write("written", |batch| if stays { batch.insert(key.clone(), value) } else { batch.remove(key.clone()) })?;
        Ok(key)
    }
}

/// Whole entries up to `last`, in batches. Ends when nobody takes them any more.
fn read_ahead(ledger_dir: &Path, from: EntryNumber, last: EntryNumber, batches: &SyncSender<Vec<Kept>>) -> Result<(), LedgerError> {
    let mut batch = Vec::with_capacity(CATCH_UP_BATCH);
    read::read_from(ledger_dir, from, &mut |kept| {
        if kept.entry.number > last {
            return ControlFlow::Break(());
        }
        batch.push(kept);
        if batch.len() < CATCH_UP_BATCH {
            return ControlFlow::Continue(());
        }
        let full = std::mem::replace(&mut batch, Vec::with_capacity(CATCH_UP_BATCH));
        if batches.send(full).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if !batch.is_empty() {
        // Whoever does not take it has failed and says why.
        drop(batches.send(batch));
    }
    Ok(())
}

/// A view on its way past the ledger.
struct Check<'v> {
    view: &'v View,
    keys: Keys,
    rows: RowKeys,
    /// Keys that a later entry may write again, as the last one wrote them.
    rewritten: BTreeMap<Vec<u8>, (EntryNumber, Vec<u8>)>,
    /// Keys that are what they must be.
    fits: u64,
    last: Option<(EntryNumber, station::units::Digest)>,
    wrong: Option<String>,
}

impl<'v> Check<'v> {
    fn new(view: &'v View) -> Self {
        let (keys, rows) = (Keys::default(), RowKeys::new(Rows::default()));
        Self { view, keys, rows, rewritten: BTreeMap::new(), fits: 0, last: None, wrong: None }
    }

    fn entry(&mut self, kept: &Kept) -> Result<(), ViewError> {
        let mut made = Vec::new();
        self.keys.of(&kept.entry, kept.place, &mut |key, value| made.push((key, value)));
        if let Body::Piece(piece) = &kept.entry.body {
            let at = key(b"r", &[&piece.result_id.to_be_bytes()]);
            // After some starts a record has its place in the index that would have none if it were built again.
            if made.iter().all(|(made, _)| *made != at) && self.view.get(&at)?.is_some() {
                made.push((at, place_bytes(kept.place).to_vec()));
            }
        }
        self.rows.entry(&kept.entry, kept.place);
        made.extend(self.rows.take_pairs());
        for (key, value) in made {
            if key.first() == Some(&REWRITTEN) {
                self.rewritten.insert(key, (kept.entry.number, value));
            } else {
                self.compare(&key, &value, kept.entry.number)?;
            }
        }
        self.last = Some((kept.entry.number, kept.digest));
        Ok(())
    }

    /// After the last entry.
    fn compare_rewritten(&mut self) -> Result<(), ViewError> {
        let rewritten = std::mem::take(&mut self.rewritten);
        rewritten.into_iter().try_for_each(|(key, (entry, value))| self.compare(&key, &value, entry))
    }

    fn compare(&mut self, key: &[u8], value: &[u8], entry: EntryNumber) -> Result<(), ViewError> {
        if self.view.get(key)?.is_some_and(|is| is == value) {
            self.fits += 1;
        } else {
            let letter = key.first().copied().map_or('?', char::from);
            self.wrong.get_or_insert(format!("what it says of entry {} (key {letter}) is not what the ledger says", entry.0));
        }
        Ok(())
    }
}
