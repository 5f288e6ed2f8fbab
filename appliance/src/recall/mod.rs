//! Finding pieces again, for whoever asks: the words of a question, what a record says in a line, and everything about those found.
//!
//! The command line and the page ask with the same words and get the same answers: `words` reads them, `described` says what a record
//! and the decisions about it come to, `export` writes lists and EPCIS events, `page` answers the web API.
//!
//! Invariant: what is told as the verdict of a piece is the one in force; a piece that was overruled is never told without saying so.

pub mod described;
pub mod export;
pub mod genealogy;
pub mod page;
pub mod words;

use crate::store::archive::Archive;
use crate::store::{Store, StoreError};
use station::record::Entry;

/// Where records and the decisions about them are read from.
pub trait Shelf {
    /// A piece record.
    ///
    /// # Errors
    /// It is damaged.
    fn record(&self, result_id: u64) -> Result<Option<Entry>, StoreError>;

    /// The decisions about a piece record, oldest first.
    ///
    /// # Errors
    /// The index cannot be read.
    fn decisions_about(&self, result_id: u64) -> Result<Vec<Entry>, StoreError>;
}

impl Shelf for Store {
    fn record(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        self.piece(result_id)
    }

    fn decisions_about(&self, result_id: u64) -> Result<Vec<Entry>, StoreError> {
        Self::decisions_about(self, result_id)
    }
}

impl Shelf for Archive {
    fn record(&self, result_id: u64) -> Result<Option<Entry>, StoreError> {
        Self::record(self, result_id)
    }

    fn decisions_about(&self, result_id: u64) -> Result<Vec<Entry>, StoreError> {
        Self::decisions_about(self, result_id)
    }
}
