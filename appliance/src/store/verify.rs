//! Reads the whole ledger and says whether it is what was written: the answer to "prove it".
//!
//! Invariants: read only, also while the appliance runs; every checksum, number and digest is recomputed; the first thing that
//! does not fit is named with file, bytes, entries and what to do; every piece record number occurs exactly once; what was signed
//! (`sign.rs`) is what is there.

use super::StoreError;
use super::ledger;
use super::sign::{self, Checkpoint};
use super::walk::{self, FAULTS_MAX, Fault, From, Head, Torn};
use serde::Serialize;
use station::record::Body;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use vision_models::package::PublicKey;

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// True if nothing that was ever acknowledged is missing or changed.
    pub whole: bool,
    /// Segments read.
    pub segments: usize,
    /// Whole entries.
    pub entries: u64,
    /// Whole piece records.
    pub pieces: u64,
    /// The end of the chain: give its digest to whoever wants to check later that nothing before it changed.
    pub head: Head,
    /// The first thing that does not fit.
    pub first_fault: Option<Fault>,
    /// Everything that does not fit, in order, at most 100 of them.
    pub faults: Vec<Fault>,
    /// How many there are in all.
    pub fault_count: u64,
    /// The end of a write that was cut short (or is being written now): never acknowledged, nothing is lost.
    pub torn: Option<Torn>,
    /// What signatures vouch for, if there are any or if they were asked for.
    pub signed: Option<Signed>,
}

/// What signatures vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Signed {
    /// The public key that was used.
    pub key: String,
    /// True if a person named the key; false if it lay beside the ledger, where whoever changes the ledger can change it too.
    pub key_was_given: bool,
    /// Signatures that fit.
    pub signatures: usize,
    /// Every entry up to this one is what was signed; 0 if none is.
    pub up_to: u64,
    /// When the last of them was made, microseconds since 1970.
    pub wall_micros: i64,
}

/// With what signatures are checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust<'t> {
    /// The station's public key, given by somebody who knows it; without one the key beside the ledger is used.
    pub key: Option<PublicKey>,
    /// A copy of the signatures that was kept elsewhere; without one those beside the ledger are used.
    pub signatures: Option<&'t Path>,
}

/// Verifies the ledger of the store in `dir`, and the signatures beside it.
pub fn verify(dir: &Path) -> Result<VerifyReport, StoreError> {
    verify_with(dir, Trust::default())
}

/// Verifies the ledger of the store in `dir` and what a key has signed of it.
pub fn verify_with(dir: &Path, trust: Trust<'_>) -> Result<VerifyReport, StoreError> {
    // The signatures go first too.
    let seals = Seals::read(dir, trust)?;
    let mut digests = sign::Found::new();
    let ledger_dir = dir.join(super::LEDGER);
    // First the witness, then the ledger: what is acknowledged meanwhile is then more than asked for, never less.
    let acked = ledger::read_witness(&ledger_dir);
    let segments = walk::segments(&ledger_dir)?;
    let mut pieces = PieceNumbers::default();
    let found = walk::walk(&ledger_dir, &segments, From::Start, acked.number, &mut |entry, frame, place| {
        if seals.points.iter().any(|point| point.number == entry.number.0) {
            digests.insert(entry.number.0, frame.digest);
        }
        if let Body::Piece(piece) = &entry.body {
            let file = super::segment::path(&ledger_dir, place.segment);
            pieces.next(piece.result_id, entry.number.0, || (file, place.offset, len64(frame.end())));
        }
        ControlFlow::Continue(())
    });
    let mut faults = found.faults;
    let changed = acked.number == found.head.number && acked.digest != found.head.digest && faults.is_empty();
    if changed {
        faults.push(Fault {
            file: ledger_dir.join("acknowledged"),
            from: 8,
            to: 40,
            first_entry: acked.number.0,
            last_entry: acked.number.0,
            what: format!("entry {} is not the one that was acknowledged", acked.number.0),
            mend: "compare the ledger with a backup: it was changed after it was written".to_owned(),
        });
    }
    faults.extend(pieces.faults);
    let (signed, unsigned) = seals.compare(&digests, found.head.number.0, &ledger_dir);
    let unsigned_count = len64(unsigned.len());
    faults.sort_by(|a, b| (&a.file, a.from).cmp(&(&b.file, b.from)));
    // Where it is damaged comes before what that did to the signatures.
    faults.extend(unsigned);
    faults.truncate(FAULTS_MAX);
    let fault_count = found.fault_count + pieces.count + u64::from(changed) + unsigned_count;
    Ok(VerifyReport {
        whole: fault_count == 0,
        segments: segments.len(),
        entries: found.entries,
        pieces: found.pieces,
        head: found.head,
        first_fault: faults.first().cloned(),
        faults,
        fault_count,
        torn: found.torn,
        signed,
    })
}

/// The signatures, before the ledger was looked at.
struct Seals {
    path: PathBuf,
    key: Option<PublicKey>,
    key_was_given: bool,
    points: Vec<Checkpoint>,
    faults: Vec<Fault>,
}

impl Seals {
    fn read(dir: &Path, trust: Trust<'_>) -> Result<Self, StoreError> {
        let path = trust.signatures.map_or_else(|| dir.join(sign::SIGNATURES), Path::to_owned);
        let key = trust.key.or_else(|| sign::own_key(dir));
        let mut seals = Self { path, key, key_was_given: trust.key.is_some(), points: Vec::new(), faults: Vec::new() };
        match key {
            Some(key) => {
                let (points, bad) = sign::read(&seals.path, key)?;
                seals.points = points;
                seals.faults =
                    bad.into_iter().map(|bad| seals.fault(bad.bytes, (1, 0), format!("line {}: {}", bad.line, bad.what))).collect();
            }
            None if seals.path.exists() => {
                let what = format!("there are signatures and no key: {} is gone", dir.join(sign::PUBLIC).display());
                seals.faults.push(seals.fault((0, 0), (1, 0), what));
            }
            None => {}
        }
        Ok(seals)
    }

    fn fault(&self, (from, to): (u64, u64), (first_entry, last_entry): (u64, u64), what: String) -> Fault {
        let mend = "compare with a backup, or with the copy of the signatures that was kept elsewhere".to_owned();
        Fault { file: self.path.clone(), from, to, first_entry, last_entry, what, mend }
    }

    /// Holds what was signed against what the ledger has.
    fn compare(mut self, digests: &sign::Found, head: u64, ledger_dir: &Path) -> (Option<Signed>, Vec<Fault>) {
        let Some(key) = self.key else { return (None, self.faults) };
        let mut signed = Signed { key: key.to_string(), key_was_given: self.key_was_given, ..Signed::default() };
        let (mut faults, mut last) = (std::mem::take(&mut self.faults), 0);
        for point in &self.points {
            let what = match digests.get(&point.number) {
                Some(digest) if *digest == point.digest => {
                    (signed.signatures, signed.up_to, signed.wall_micros) = (signed.signatures + 1, point.number, point.wall_micros);
                    None
                }
                Some(_) => Some(format!(
                    "entry {} is not the one that was signed: an entry from {} to it was changed, and the chain made anew",
                    point.number,
                    last + 1
                )),
                None if point.number > head => {
                    Some(format!("entries up to {} were signed at {}, and the ledger ends at {head}", point.number, point.at()))
                }
                // The walk has told that the entry is damaged; a later signature may still vouch for what is around it.
                None => None,
            };
            if let Some(what) = what {
                let mut fault = self.fault((0, 0), (last + 1, point.number), what);
                fault.file = ledger_dir.to_owned();
                faults.push(fault);
            }
            last = point.number;
        }
        // A station that has a key has signed something.
        if self.points.is_empty() {
            faults.push(self.fault((0, 0), (1, head), "nothing is signed by this key".to_owned()));
        }
        (Some(signed), faults)
    }
}

#[derive(Default)]
struct PieceNumbers {
    last: u64,
    faults: Vec<Fault>,
    count: u64,
}

impl PieceNumbers {
    fn next(&mut self, result_id: u64, entry: u64, place: impl FnOnce() -> (std::path::PathBuf, u64, u64)) {
        let what = match self.last + 1 {
            expected if result_id == expected => None,
            expected if result_id > expected => Some(format!("piece records {expected} to {} are missing", result_id - 1)),
            _ => Some(format!("piece record {result_id} occurs again")),
        };
        self.last = self.last.max(result_id);
        let Some(what) = what else { return };
        self.count += 1;
        if self.faults.len() < FAULTS_MAX {
            let (file, from, to) = place();
            let mend =
                "if entries before it are damaged, mend those; if not, the station gave the number wrongly: keep the ledger and report it";
            self.faults.push(Fault { file, from, to, first_entry: entry, last_entry: entry - 1, what, mend: mend.to_owned() });
        }
    }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
