//! Where the page gets what it shows, and where decisions go: the page's only ties to the rest of the appliance.

use crate::health::Health;
use station::action::Request;
use station::decision::ResultRange;
use station::piece::PieceId;
use station::snapshot::Snapshot;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::watch;

/// Everything the page stands on.
#[derive(Clone)]
pub struct Sources {
    /// The latest snapshot. Only the latest counts.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The latest health.
    pub health: watch::Receiver<Arc<Health>>,
    /// Frames and the panel's picture.
    pub pictures: Arc<dyn Pictures>,
    /// What was kept of a piece.
    pub records: Arc<dyn Records>,
    /// Hands a decision to the judging thread. Must not wait: it takes the decision or refuses it.
    pub decide: Arc<dyn Fn(Request) -> Result<(), Refused> + Send + Sync>,
}

/// A frame as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The piece on it.
    pub piece: PieceId,
    /// The camera that took it, where several form a frame set.
    pub camera: Option<Arc<str>>,
    /// The frame as JPEG.
    pub jpeg: Arc<[u8]>,
    /// Pixels of the frame, in each direction, that are one pixel of the JPEG; boxes are in those of the frame.
    pub shrink: u32,
}

/// Frames and the panel's picture. Every method may block; at most a few run at a time.
pub trait Pictures: Send + Sync {
    /// The latest frame.
    fn latest(&self) -> Option<Picture>;
    /// The frame of one piece, by its result number; `None` if it is not kept (any more).
    fn of(&self, result_id: u64) -> Option<Picture>;
    /// Why there is no frame of this piece, in words; `None` if there is nothing to say.
    fn gone(&self, _result_id: u64) -> Option<String> {
        None
    }
    /// What the panel shows, as PNG.
    fn panel(&self) -> Option<Arc<[u8]>>;
}

/// What was kept of a piece. Every method may block; at most a few run at a time.
pub trait Records: Send + Sync {
    /// The record of one piece, by its result number.
    fn piece(&self, result_id: u64) -> Option<serde_json::Value>;
    /// The latest record of one serial.
    fn find(&self, serial: &str) -> Option<serde_json::Value>;
    /// What every backend refused for good: its words by the parcel's number, by the backend's name.
    ///
    /// # Errors
    /// What cannot be read.
    fn quarantine(&self) -> Result<serde_json::Value, Objection> {
        Err(Objection::Unavailable("there are no backends here".to_owned()))
    }
    /// Gives what this backend refused for good another try: the piece records and decisions of these numbers, everything if none is
    /// named. Says how many that is, or why it could not be done. `None`: there is no such backend.
    fn give_another_try(&self, _backend: &str, _records: &[u64], _decisions: &[u64]) -> Option<Result<u64, String>> {
        None
    }
    /// One page of the records that a question finds, newest first: `{"records": […], "searched": n, "next": cursor or null}`.
    /// The question comes as names and values, as in an address.
    ///
    /// # Errors
    /// What cannot be meant, and what cannot be read.
    fn query(&self, _pairs: &[(String, String)]) -> Result<serde_json::Value, Objection> {
        Err(Objection::Unavailable("there are no records here".to_owned()))
    }
    /// How many records a question finds, and the ranges of their numbers.
    ///
    /// # Errors
    /// As [`Records::query`].
    fn count(&self, _pairs: &[(String, String)]) -> Result<serde_json::Value, Objection> {
        Err(Objection::Unavailable("there are no records here".to_owned()))
    }
    /// Every supplier lot that was ever in use, with the ranges of the records that were made of it.
    ///
    /// # Errors
    /// What cannot be read.
    fn supplier_lots(&self) -> Result<serde_json::Value, Objection> {
        Err(Objection::Unavailable("there are no records here".to_owned()))
    }
    /// Finds everything that a question is after; what it gives back writes that out.
    ///
    /// # Errors
    /// As [`Records::query`].
    fn export(&self, _form: Export, _pairs: &[(String, String)]) -> Result<Writing, Objection> {
        Err(Objection::Unavailable("there are no records here".to_owned()))
    }
    /// The serials of these piece records, where they have one.
    fn serials(&self, results: &[ResultRange]) -> Vec<String> {
        let serial = |id| self.piece(id)?.pointer("/body/piece/arrival/serial")?.as_str().map(str::to_owned);
        results.iter().flat_map(|range| range.first..=range.last).filter_map(serial).collect()
    }
}

/// How found records are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// One line per record.
    Csv,
    /// One EPCIS 2.0 document.
    Epcis,
}

/// Writes a download. It may block, and ends when the writer fails: whoever asked has gone.
pub type Writing = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + Send>;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It cannot be meant.
    Wrong {
        /// The parameter that is wrong.
        parameter: String,
        /// What is wrong with it.
        error: String,
        /// What to write instead.
        mend: String,
    },
    /// The records cannot be asked now.
    Unavailable(String),
}

/// Why a decision was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The judging thread's queue is full.
    #[error("the judging thread is busy")]
    Busy,
    /// The appliance is stopping.
    #[error("the appliance is stopping")]
    Stopping,
}
