//! Which pictures are whole, which are damaged, and which are gone although no retention removed them.
//!
//! Invariant: read only, and right also beside a station that keeps and removes pictures meanwhile: a picture counts as missing
//! only if the register still wants it after its file was looked for, and as unknown only where no station runs.

use super::policy::Reason;
use super::register::{REGISTER, WIDTH, Word, read_lines};
use super::{digest_of, len64, list, whole};
use crate::store::walk::Fault;
use station::units::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// More damaged pictures than this are not listed.
const DAMAGED_MAX: usize = 100;

/// What was found among the pictures.
#[derive(Debug, Default)]
pub struct Pictures {
    /// Whole ones.
    pub whole: u64,
    /// Removed by retention, by reason, since the register began.
    pub removed: BTreeMap<Reason, u64>,
    /// What does not fit; of very many the first hundred of each kind.
    pub faults: Vec<Fault>,
}

/// Reads every picture and the register in `dir`. `is_running`: a station has them open.
#[must_use]
pub fn examine(dir: &Path, is_running: bool) -> Pictures {
    let mut out = Pictures::default();
    let files = files(dir);
    let mut damaged = 0;
    for path in files.values() {
        match fs::read(path) {
            Ok(bytes) if whole(&bytes).is_some() => out.whole += 1,
            // It may just have been removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ if damaged >= DAMAGED_MAX => {}
            read => {
                damaged += 1;
                let mend = "copy it back from a backup; it is not shown, and its record is not affected";
                out.faults.push(fault(path, 0, read.map_or(0, |bytes| len64(bytes.len())), "the picture is damaged", mend));
            }
        }
    }
    let path = dir.join(REGISTER);
    if !path.exists() {
        if !files.is_empty() {
            let mend = "none needed: it is made anew at the next start, from the ledger; what was removed before is no longer known";
            out.faults.push(fault(&path, 0, 0, "the register of pictures is gone, or was never made (before version 1 of it)", mend));
        }
        return out;
    }
    let wanted = wanted(&path, &mut out.faults, &mut out.removed);
    let gone: Vec<Digest> = wanted.keys().filter(|digest| !files.contains_key(*digest)).copied().collect();
    // What was removed meanwhile is let go in the register by now.
    let still = if gone.is_empty() { BTreeMap::new() } else { self::wanted(&path, &mut Vec::new(), &mut BTreeMap::new()) };
    for digest in gone.into_iter().filter(|digest| still.contains_key(digest)).take(DAMAGED_MAX) {
        let name = digest.to_string();
        let picture = dir.join(&name[..2]).join(format!("{name}.jpg"));
        // It may just have been written.
        if !picture.exists() {
            let record = still.get(&digest).copied().unwrap_or(0);
            let what = format!("the picture of piece record {record} is missing, and no retention removed it");
            let mend = "copy it back from a backup; its record is not affected (where the end of the register was lost, that may have said that retention removed it)";
            out.faults.push(fault(&picture, 0, 0, &what, mend));
        }
    }
    let strangers: Vec<&PathBuf> = files.iter().filter(|(digest, _)| !wanted.contains_key(*digest)).map(|(_, path)| path).collect();
    if let (Some(first), false) = (strangers.first(), is_running) {
        let what = format!("{} pictures, of which this is the first, are not in the register: its end was lost", strangers.len());
        let mend = "none needed: the next start finds their records, and keeps them";
        out.faults.push(fault(first, 0, 0, &what, mend));
        out.faults.push(fault(&path, 0, 0, "pictures that are there are not in it", mend));
    }
    out
}

/// The pictures that a record wants by the register, each with the last one.
fn wanted(path: &Path, faults: &mut Vec<Fault>, removed: &mut BTreeMap<Reason, u64>) -> BTreeMap<Digest, u64> {
    let mut wants: BTreeMap<Digest, BTreeSet<u64>> = BTreeMap::new();
    let mut damaged = 0;
    let read = read_lines(path, &mut |at, line| match line {
        Some(line) if line.word == Word::Kept => {
            let records = wants.entry(line.digest).or_default();
            records.remove(&0);
            records.insert(line.record);
        }
        Some(line) if line.word == Word::LetGo => {
            if let Some(records) = wants.get_mut(&line.digest) {
                records.remove(&line.record);
                if records.is_empty() {
                    wants.remove(&line.digest);
                    line.reason.into_iter().for_each(|reason| *removed.entry(reason).or_default() += 1);
                }
            }
        }
        Some(_) => {}
        None if damaged < DAMAGED_MAX => {
            damaged += 1;
            let mend = "copy the register back from a backup, or leave it: what this line said of one picture is no longer known";
            faults.push(fault(path, at, at + len64(WIDTH), "a line of the register of pictures is damaged", mend));
        }
        None => {}
    });
    if let Err(error) = read {
        let what = format!("the register of pictures cannot be read: {error}");
        faults.push(fault(path, 0, 0, &what, "give it to the user that runs the station"));
    }
    wants.into_iter().map(|(digest, records)| (digest, records.last().copied().unwrap_or(0))).collect()
}

fn files(dir: &Path) -> BTreeMap<Digest, PathBuf> {
    let subs = list(dir).unwrap_or_default();
    let paths = subs.iter().filter(|path| path.is_dir()).flat_map(|sub| list(sub).unwrap_or_default());
    paths.filter_map(|path| digest_of(&path).map(|digest| (digest, path))).collect()
}

/// Without an entry of the ledger.
fn fault(file: &Path, from: u64, to: u64, what: &str, mend: &str) -> Fault {
    Fault { file: file.to_owned(), from, to, first_entry: 1, last_entry: 0, what: what.to_owned(), mend: mend.to_owned() }
}
