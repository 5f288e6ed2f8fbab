//! What waits for a backend: the meeting place of the store (which keeps parcels) and the uploader (which delivers them).
//!
//! Invariant: `kept = delivered + waiting + quarantined` at every instant, per backend.

use serde::Serialize;
use station::record::Entry;
use std::sync::Arc;

/// One piece record on its way to a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Gap-free number of the piece record.
    pub result_id: u64,
    /// The ledger entry; its body is a `Body::Piece`.
    pub entry: Arc<Entry>,
}

/// Where the parcels of one backend stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OutboxCounts {
    /// Piece records in the ledger.
    pub kept: u64,
    /// Acknowledged by the backend.
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
    /// The oldest `limit` parcels that are neither delivered nor quarantined.
    fn next(&self, limit: usize) -> Result<Vec<Parcel>, OutboxError>;
    /// The backend acknowledged these.
    fn delivered(&self, result_ids: &[u64]) -> Result<(), OutboxError>;
    /// The backend refuses this one for good, in its own words.
    fn quarantine(&self, result_id: u64, words: &str) -> Result<(), OutboxError>;
    /// Where it stands.
    fn counts(&self) -> OutboxCounts;
}
