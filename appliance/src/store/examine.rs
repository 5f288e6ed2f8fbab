//! Looks at everything a station remembers and names what is damaged, where, what it costs and what mends it.
//!
//! Invariants: read only, also beside a running station; nothing panics on any bytes. The index is not opened: it is no evidence,
//! it is held against the ledger whenever it is asked, and it is built again when it is wrong.

use super::verify::verify;
use super::walk::Fault;
use super::{LEDGER, StoreError, VIEW, images, ledger, parcels, sign};
use serde::Serialize;
use std::path::Path;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Examined {
    /// Whole entries of the ledger.
    pub entries: u64,
    /// Entries up to this one are vouched for by a signature.
    pub signed_up_to: u64,
    /// Whole pictures.
    pub images: u64,
    /// What does not fit; of very many the first hundred of each kind.
    pub faults: Vec<Fault>,
}

/// Examines the store in `dir`.
///
/// # Errors
/// If the ledger cannot be listed or is of a newer format.
pub fn examine(dir: &Path) -> Result<Examined, StoreError> {
    let verified = verify(dir)?;
    let mut faults = verified.faults;
    faults.extend(witness(dir, verified.entries));
    faults.extend(key(dir));
    let pictures = images::examine::examine(&dir.join("images"), is_running(dir));
    faults.extend(pictures.faults);
    faults.extend(parcels::damaged_marks(dir).into_iter().map(|(path, bytes)| {
        let mend = "none needed: the index knows where the backend stands, and the mark is written anew; without both, a backend is told again what it knows";
        whole_file(&path, bytes, "the copy of where a backend stands is damaged", mend)
    }));
    let doubt = dir.join(VIEW).with_extension("doubt");
    if doubt.exists() {
        let why = std::fs::read_to_string(&doubt).unwrap_or_default();
        let mend = "none needed: it is built again from the ledger within seconds, or at the next start";
        faults.push(whole_file(&dir.join(VIEW), 0, &format!("the index was wrong: {}", why.trim()), mend));
    }
    Ok(Examined {
        entries: verified.entries,
        signed_up_to: verified.signed.map_or(0, |signed| signed.up_to),
        images: pictures.whole,
        faults,
    })
}

/// Somebody has the store open for writing.
fn is_running(dir: &Path) -> bool {
    // Shared, so that two examinations do not take each other for a station.
    std::fs::File::open(dir.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Without the witness the last entries could be cut off unnoticed, unless they are signed.
fn witness(dir: &Path, entries: u64) -> Option<Fault> {
    let path = dir.join(LEDGER).join(ledger::WITNESS);
    let mend = "none needed: it is written anew with the next entry; look whether the last entries are those that backends have";
    match std::fs::read(&path) {
        Ok(bytes) if ledger::is_witness(&bytes) => None,
        Ok(bytes) => Some(whole_file(&path, len64(bytes.len()), "the witness of the last entry is damaged", mend)),
        Err(_) if entries == 0 => None,
        Err(error) => Some(whole_file(&path, 0, &format!("the witness of the last entry cannot be read: {error}"), mend)),
    }
}

fn key(dir: &Path) -> Option<Fault> {
    let error = sign::examine_key(dir).err()?;
    let mend = "copy station.key and station.pub back from a backup; without one, move both and `signatures` away: a new key is made, and has to be made known";
    Some(whole_file(&dir.join(sign::PUBLIC), 0, &super::told(&error), mend))
}

fn whole_file(path: &Path, bytes: u64, what: &str, mend: &str) -> Fault {
    Fault { file: path.to_owned(), from: 0, to: bytes, first_entry: 1, last_entry: 0, what: what.to_owned(), mend: mend.to_owned() }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
