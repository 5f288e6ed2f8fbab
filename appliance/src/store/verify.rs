//! Reads the whole ledger and says whether it is what was written: the answer to "prove it".
//!
//! Invariants: read only, also while the appliance runs; every checksum, number and digest is recomputed; the first thing that
//! does not fit is named with file, bytes, entries and what to do; every piece record number occurs exactly once.

use super::ledger;
use super::walk::{self, FAULTS_MAX, Fault, From, Head, Torn, WalkError};
use serde::Serialize;
use station::record::Body;
use std::ops::ControlFlow;
use std::path::Path;

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
}

/// Verifies the ledger of the store in `dir`.
pub fn verify(dir: &Path) -> Result<VerifyReport, WalkError> {
    let ledger_dir = dir.join(super::LEDGER);
    // First the witness, then the ledger: what is acknowledged meanwhile is then more than asked for, never less.
    let acked = ledger::read_witness(&ledger_dir);
    let segments = walk::segments(&ledger_dir)?;
    let mut pieces = PieceNumbers::default();
    let found = walk::walk(&ledger_dir, &segments, From::Start, acked.number, &mut |entry, frame, place| {
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
    faults.sort_by(|a, b| (&a.file, a.from).cmp(&(&b.file, b.from)));
    faults.truncate(FAULTS_MAX);
    let fault_count = found.fault_count + pieces.count + u64::from(changed);
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
    })
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
