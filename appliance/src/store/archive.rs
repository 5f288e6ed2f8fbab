//! Records for somebody at the command line: through the store where nobody has it open, else from the ledger alone, so that a
//! recall need not wait for a station that runs.
//!
//! Invariant: nothing is written into a ledger that a station has open, and both ways give the same answer.

use super::images::Images;
use super::images::policy::Retention;
use super::read;
use super::rows::overruled::{self, Overrules};
use super::rows::question::{Question, Unknown};
use super::rows::{self, Block, Rows};
use super::segment::Location;
use super::{Found, LEDGER, Store, StoreError, StoreSettings};
use station::record::{Body, Entry, EntryNumber};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The records of a station.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
    source: Source,
    images: Arc<Images>,
}

#[derive(Debug)]
enum Source {
    Store(Box<Store>),
    /// Read for every question: the process that has the index open.
    Ledger {
        pid: String,
        scan: Scan,
    },
}

/// What one reading of the ledger gave.
#[derive(Debug, Default)]
struct Scan {
    places: BTreeMap<u64, Location>,
    starts: Vec<Entry>,
    decisions: BTreeMap<u64, Vec<Entry>>,
}

impl Archive {
    /// Opens the data folder of a station.
    ///
    /// # Errors
    /// It is no data folder, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let ledger = dir.join(LEDGER);
        std::fs::read_dir(&ledger).map_err(|source| StoreError::Directory { what: "read the ledger", path: ledger, source })?;
        let settings = StoreSettings { images: Retention::EVERYTHING, ..StoreSettings::default() };
        let images_dir = dir.join("images");
        match Store::open(dir, settings) {
            Ok((store, _)) => Ok(Self { dir: dir.to_owned(), images: store.images(), source: Source::Store(Box::new(store)) }),
            Err(StoreError::InUse { pid, .. }) => {
                let images = Images::look(&images_dir);
                let source = Source::Ledger { pid, scan: Scan::default() };
                Ok(Self { dir: dir.to_owned(), images: Arc::new(images), source })
            }
            Err(error) => Err(error),
        }
    }

    /// The process that has the index open, for which questions take as long as reading the whole ledger.
    #[must_use]
    pub fn in_use_by(&self) -> Option<&str> {
        match &self.source {
            Source::Store(_) => None,
            Source::Ledger { pid, .. } => Some(pid),
        }
    }

    /// The piece records that a question is after, oldest first.
    ///
    /// # Errors
    /// A name in the question that no record has; a ledger or an index that cannot be read.
    pub fn search(&mut self, question: &Question) -> Result<Found, StoreError> {
        match &mut self.source {
            Source::Store(store) => store.search(question),
            Source::Ledger { scan, .. } => scan.search(&self.dir.join(LEDGER), question),
        }
    }

    /// A piece record that was found.
    ///
    /// # Errors
    /// It is damaged.
    pub fn record(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        match &self.source {
            Source::Store(store) => store.piece(result_id),
            Source::Ledger { scan, .. } => {
                let place = scan.places.get(&result_id);
                Ok(place.map(|place| read::read_at(&self.dir.join(LEDGER), *place)).transpose()?.map(|(entry, _)| entry))
            }
        }
    }

    /// The decisions about a piece record that was found, oldest first.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn decisions_about(&self, result_id: u64) -> Result<Vec<Entry>, StoreError> {
        match &self.source {
            Source::Store(store) => store.decisions_about(result_id),
            Source::Ledger { scan, .. } => Ok(scan.decisions.get(&result_id).cloned().unwrap_or_default()),
        }
    }

    /// The entries with which the station started, oldest first; from the ledger alone, those of the last question.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn starts(&self) -> Result<Vec<Entry>, StoreError> {
        match &self.source {
            Source::Store(store) => store.starts(),
            Source::Ledger { scan, .. } => Ok(scan.starts.clone()),
        }
    }

    /// The pictures.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }
}

impl Scan {
    fn search(&mut self, ledger: &Path, question: &Question) -> Result<Found, StoreError> {
        let (mut rows, mut blocks) = (Rows::default(), Vec::<Block>::new());
        let mut serials: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut overrules = Overrules::new();
        *self = Self::default();
        read::read_from(ledger, EntryNumber(1), &mut |kept| {
            match &kept.entry.body {
                Body::Started(started) => {
                    blocks.extend(rows.change(Arc::clone(&started.recipe)));
                    self.starts.push(kept.entry);
                }
                Body::Piece(piece) => {
                    rows.origin(piece);
                    blocks.extend(rows.take(piece));
                    self.places.insert(piece.result_id, kept.place);
                    let serial = question.serials.iter().find(|serial| Some(*serial) == piece.arrival.serial.as_ref());
                    serial.into_iter().for_each(|serial| serials.entry(serial).or_default().push(piece.result_id));
                }
                Body::Decided(record) => {
                    if let Some((result_id, by)) = rows.overruled(record) {
                        overruled::note(&mut overrules, result_id, by);
                    }
                    if let Some(result_id) = record.decision.result_id() {
                        self.decisions.entry(result_id).or_default().push(kept.entry);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        let sought =
            question.in_numbers(&rows.names, &rows.origins, |serial| Ok::<_, Unknown>(serials.get(serial).cloned().unwrap_or_default()))?;
        let sought = sought.knowing(overrules);
        let mut found = Found::default();
        let mut look = |row: &rows::Row| {
            found.searched += 1;
            if sought.is(row) {
                found.take(row);
            }
        };
        for Block { first, rows: bytes, .. } in &blocks {
            rows::read_block(*first, bytes, &mut look).unwrap_or_default();
        }
        rows.waiting().iter().for_each(&mut look);
        found.overruled = sought.overruled(&found.records);
        Ok(found)
    }
}
