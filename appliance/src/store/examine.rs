//! Looks at everything a station remembers and names what is damaged, where, what it costs and what mends it.
//!
//! Invariants: nothing of the station's own is written but the mark that an index is wrong; beside a running station everything but
//! the index is looked at. Of the index a copy is opened, since its engine writes when it opens, and every key of it is held against
//! the ledger.

use super::images::policy::Reason;
use super::verify::verify;
use super::view::{Standing, View};
use super::walk::Fault;
use super::{LEDGER, StoreError, VIEW, images, ledger, lock_dir, parcels, sign};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
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
    /// Why the index was not looked at, if it was not: the station runs, or there is none.
    pub index_left_out: Option<String>,
    /// Pictures that retention has removed, by reason.
    pub images_removed: BTreeMap<Reason, u64>,
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
    let index_left_out = match index(dir) {
        Ok(wrong) => {
            faults.extend(wrong);
            None
        }
        Err(why) => Some(why),
    };
    let signed_up_to = verified.signed.map_or(0, |signed| signed.up_to);
    Ok(Examined {
        entries: verified.entries,
        signed_up_to,
        images: pictures.whole,
        images_removed: pictures.removed,
        index_left_out,
        faults,
    })
}

/// Somebody has the store open for writing.
fn is_running(dir: &Path) -> bool {
    // Shared, so that two examinations do not take each other for a station.
    std::fs::File::open(dir.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// What is wrong with the index; an error says why nobody looked.
fn index(dir: &Path) -> Result<Vec<Fault>, String> {
    let original = dir.join(VIEW);
    if !original.is_dir() {
        return Err("there is none; it is built at the next start".to_owned());
    }
    if View::is_doubted(&original) {
        return Ok(Vec::new());
    }
    // A station that runs writes to it, and holds what it says against the ledger whenever it asks.
    let lock = lock_dir(dir).map_err(|error| super::told(&error))?;
    let copy = dir.join("view.examined");
    let clear = || std::fs::remove_dir_all(&copy).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) });
    let copied = clear().and_then(|()| copy_files(&original, &copy));
    let read = copied.map(|()| read_index(dir, &copy));
    clear().map_err(|error| format!("its copy in {} cannot be removed: {error}", copy.display()))?;
    drop(lock);
    match read.map_err(|error| format!("it cannot be copied to {}: {error}", copy.display()))? {
        Ok(standings) => {
            let mend = "none needed: the index knows where the backend stands, and the copy is written anew at the next start";
            let gone = parcels::missing_marks(dir, &standings);
            Ok(gone.into_iter().map(|path| whole_file(&path, 0, "the copy of where a backend stands is gone", mend)).collect())
        }
        Err(what) => {
            View::note_doubt(&original, &what);
            let mend = "none needed: it is built again from the ledger at the next start, or now by `jidoka store rebuild`";
            Ok(vec![whole_file(&original, 0, &format!("the index is wrong: {what}"), mend)])
        }
    }
}

/// Where backends stand by the index in `copy`; an error says what of it is wrong.
fn read_index(dir: &Path, copy: &Path) -> Result<BTreeMap<String, Standing>, String> {
    let view = View::open(copy).map_err(|error| super::told(&error))?;
    match view.differs(&dir.join(LEDGER)) {
        Ok(None) => view.standings().map_err(|error| super::told(&error)),
        Ok(Some(what)) => Err(what),
        Err(error) => Err(super::told(&error)),
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
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
