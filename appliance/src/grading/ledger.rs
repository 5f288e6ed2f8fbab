//! The graded pieces of a ledger, in order, each with the recipe that was in force.
//!
//! Invariants: the store's lock is not needed and nothing is written; an entry that does not fit its frame is never given; what
//! could not be read is counted, not left out silently.

use super::Period;
use crate::store::ledger::{LedgerError, read_witness};
use crate::store::read;
use station::recipe::Recipe;
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Progress is told after so many entries.
const TELL_EVERY: u64 = 512;

/// Is told how many entries were read, and how many there are.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Why the pieces of a ledger cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("{}: there is no ledger here (mend: --data names the data folder of a station, `directory` of [data])", .0.display())]
    None(PathBuf),
    /// It cannot be read.
    #[error("{}: the ledger cannot be read: {source}", .path.display())]
    Ledger {
        /// The data folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: LedgerError,
    },
}

/// Visits every piece of a period. Gives the number of places that are damaged and were left out.
///
/// # Errors
/// There is no ledger, or it cannot be read at all.
pub fn pieces(
    data: &Path,
    period: Period,
    progress: Progress<'_>,
    visit: &mut dyn FnMut(&Arc<Recipe>, &PieceRecord),
) -> Result<u64, ReadError> {
    let all = read_witness(&data.join(crate::store::LEDGER)).number.0;
    entries(data, &mut |recipe, entry| {
        if let Body::Piece(piece) = &entry.body
            && period.has(entry.at)
        {
            visit(recipe, piece);
        }
        if entry.number.0.is_multiple_of(TELL_EVERY) {
            progress(entry.number.0, all);
        }
        ControlFlow::Continue(())
    })
}

/// The record of this number, and the recipe that was in force; `None` if there is none.
///
/// # Errors
/// As [`pieces`].
pub fn find(data: &Path, result: u64) -> Result<Option<(Arc<Recipe>, PieceRecord)>, ReadError> {
    let mut found = None;
    entries(data, &mut |recipe, entry| match &entry.body {
        Body::Piece(piece) if piece.result_id == result => {
            found = Some((Arc::clone(recipe), (**piece).clone()));
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok(found)
}

/// Visits every entry after the first start of the station. Gives the number of places that do not fit.
fn entries(data: &Path, visit: &mut dyn FnMut(&Arc<Recipe>, &Entry) -> ControlFlow<()>) -> Result<u64, ReadError> {
    let ledger = data.join(crate::store::LEDGER);
    if !ledger.is_dir() {
        return Err(ReadError::None(data.to_owned()));
    }
    let mut recipe: Option<Arc<Recipe>> = None;
    let found = read::read_from(&ledger, EntryNumber(1), &mut |kept| {
        if let Body::Started(started) = &kept.entry.body {
            recipe = Some(Arc::clone(&started.recipe));
        }
        recipe.as_ref().map_or(ControlFlow::Continue(()), |recipe| visit(recipe, &kept.entry))
    });
    let found = found.map_err(|source| ReadError::Ledger { path: data.to_owned(), source })?;
    Ok(found.fault_count)
}
