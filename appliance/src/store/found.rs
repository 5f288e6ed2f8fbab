//! Questions to all records: which pieces have something in common, as a whole or part by part.

use super::rows::Row;
use super::rows::origin::{self, Use};
use super::rows::overruled::Overrules;
use super::rows::question::Question;
use super::view::{SearchError, View};
use super::{Store, StoreError, read};
use station::record::Entry;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What a question found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Numbers of the records, oldest first.
    pub records: Vec<u64>,
    /// How many were looked at: all there are, but for damaged ones.
    pub searched: u64,
    /// What people put in place of the verdict and grade of some of them.
    pub overruled: Overrules,
    /// The lots that they belong to, where that is known.
    pub lots: BTreeSet<u32>,
}

/// A part of what a question found, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundPart {
    /// Numbers of the records, newest first.
    pub records: Vec<u64>,
    /// How many were looked at for this part.
    pub searched: u64,
    /// What people put in place of the verdict and grade of some of them.
    pub overruled: Overrules,
    /// The next part begins with this record; `None`: there is no more.
    pub next: Option<u64>,
}

impl Found {
    /// Takes a row in that is what was sought.
    pub(super) fn take(&mut self, row: &Row) {
        self.records.push(row.result_id);
        if row.lot > 0 {
            self.lots.insert(row.lot);
        }
    }
}

impl Store {
    /// The piece records that a question is after, oldest first.
    ///
    /// # Errors
    /// A name in the question that no record has; a view that is missing or cannot be read.
    pub fn search(&self, question: &Question) -> Result<Found, StoreError> {
        let view = self.shared.view()?;
        let sought = match view.sought(question) {
            Err(SearchError::View(error)) => return self.shared.ask(|_| Err(error)),
            other => other?,
        };
        let mut found = Found::default();
        self.shared.ask(|view| {
            view.each_row(&mut |row| {
                found.searched += 1;
                if sought.is(row) {
                    found.take(row);
                }
            })
        })?;
        found.overruled = sought.overruled(&found.records);
        Ok(found)
    }

    /// A part of what a question is after, newest first, from record `from` down: at most `limit` records, and no more looked at
    /// than `look_max`, so that one part costs the same however many records there are.
    ///
    /// # Errors
    /// As [`Store::search`].
    pub fn search_part(&self, question: &Question, from: Option<u64>, limit: usize, look_max: u64) -> Result<FoundPart, StoreError> {
        let view = self.shared.view()?;
        let sought = match view.sought(question) {
            Err(SearchError::View(error)) => return self.shared.ask(|_| Err(error)),
            other => other?,
        };
        let (first, last) = sought.bounds();
        let mut part = FoundPart::default();
        self.shared.ask(|view| {
            view.each_row_back(first, last.min(from.unwrap_or(u64::MAX)), &mut |row| {
                if part.records.len() >= limit || part.searched >= look_max {
                    part.next = Some(row.result_id);
                    return ControlFlow::Break(());
                }
                part.searched += 1;
                if sought.is(row) {
                    part.records.push(row.result_id);
                }
                ControlFlow::Continue(())
            })
        })?;
        part.overruled = sought.overruled(&part.records);
        Ok(part)
    }

    /// Numbers of the records with this serial, oldest first.
    ///
    /// # Errors
    /// A view that is missing or cannot be read.
    pub fn records_with_serial(&self, serial: &str) -> Result<Vec<u64>, StoreError> {
        self.shared.ask(|view| view.with_serial(serial))
    }

    /// Every supplier lot that was ever in use and the records that were made of it, the latest first.
    ///
    /// # Errors
    /// A view that is missing.
    pub fn supplier_lots(&self) -> Result<Vec<Use>, StoreError> {
        Ok(origin::uses(&self.shared.view()?.known_origins(), self.pieces()))
    }

    /// The entries with which the station started, oldest first: what was in force from each one on. Damaged ones are left out.
    ///
    /// # Errors
    /// A view that is missing or cannot be read.
    pub fn starts(&self) -> Result<Vec<Entry>, StoreError> {
        let places = self.shared.ask(View::starts)?;
        Ok(places.into_iter().filter_map(|place| read::read_at(&self.shared.ledger_dir(), place).ok()).map(|(entry, _)| entry).collect())
    }

    /// The same, without the oldest `known`; and how many there are in all, damaged ones among them.
    ///
    /// # Errors
    /// As [`Store::starts`].
    pub fn starts_from(&self, known: usize) -> Result<(usize, Vec<Entry>), StoreError> {
        let places = self.shared.ask(View::starts)?;
        let new = places.iter().skip(known).filter_map(|place| read::read_at(&self.shared.ledger_dir(), *place).ok());
        Ok((places.len(), new.map(|(entry, _)| entry).collect()))
    }
}
