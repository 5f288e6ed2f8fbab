//! What waits for a backend: the meeting place of the store (which keeps parcels) and the uploader (which delivers them).
//!
//! Invariant: `kept = delivered + waiting + quarantined` at every instant, per backend.

use serde::Serialize;
use station::record::Entry;
use std::sync::Arc;

/// Parcels are numbered as what they carry: a piece record by its result number, a decision by its own number beyond this.
pub const DECISIONS: u64 = 1 << 62;

/// What a parcel carries, in words.
#[must_use]
pub fn name_of(number: u64) -> String {
    number.checked_sub(DECISIONS).map_or_else(|| format!("piece record {number}"), |decision| format!("decision {decision}"))
}

/// A piece that a decision names by its record: what a backend must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPiece {
    /// Number of its record.
    pub result_id: u64,
    /// Its serial, if it has one.
    pub serial: Option<String>,
    /// Its lot; 0 = unknown.
    pub lot: u32,
}

/// One ledger entry on its way to a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Its number; see [`DECISIONS`].
    pub result_id: u64,
    /// The ledger entry; its body is a `Body::Piece` or a `Body::Decided`.
    pub entry: Arc<Entry>,
    /// Of a decision about one piece: that piece's record and the earlier overrules of it, in order.
    pub about: Vec<Arc<Entry>>,
    /// Of a decision about a set: the pieces that it names by their records.
    pub named: Vec<NamedPiece>,
}

impl Parcel {
    /// A piece record as a parcel.
    #[must_use]
    pub const fn piece(result_id: u64, entry: Arc<Entry>) -> Self {
        Self { result_id, entry, about: Vec::new(), named: Vec::new() }
    }
}

/// Where the parcels of one backend stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OutboxCounts {
    /// Piece records and decisions in the ledger.
    pub kept: u64,
    /// Acknowledged by the backend, or nothing that it has a word for.
    pub delivered: u64,
    /// Not yet acknowledged.
    pub waiting: u64,
    /// Refused by the backend for good; kept here with its words.
    pub quarantined: u64,
}

/// The queue of one backend could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("outbox {backend}: {what}")]
pub struct OutboxError {
    /// The backend's name.
    pub backend: String,
    /// What could not be done.
    pub what: String,
}

/// The parcels of one backend. Every method that changes something returns after the change is durable.
pub trait Outbox: Send + Sync {
    /// Name of the backend, for example `traceability`.
    fn backend(&self) -> &str;
    /// The oldest `limit` parcels that are neither delivered nor quarantined. A decision comes after every piece record that
    /// was kept before it; what was released from quarantine comes first, and alone.
    fn next(&self, limit: usize) -> Result<Vec<Parcel>, OutboxError>;
    /// The same, of the piece records from number `from` on.
    fn next_from(&self, from: u64, limit: usize) -> Result<Vec<Parcel>, OutboxError>;
    /// Number of the newest piece record; 0 if there is none.
    fn newest(&self) -> u64;
    /// The backend acknowledged these.
    fn delivered(&self, result_ids: &[u64]) -> Result<(), OutboxError>;
    /// The backend refuses this one for good, in its own words.
    fn quarantine(&self, result_id: u64, words: &str) -> Result<(), OutboxError>;
    /// Gives these another try; returns how many of them were in quarantine.
    fn release(&self, result_ids: &[u64]) -> Result<u64, OutboxError>;
    /// Where it stands.
    fn counts(&self) -> OutboxCounts;
}
