//! What an entry means depends on what was in force when it was made: class names, grade names, charts, identity.
//!
//! Invariant: an entry is described with the context that was in force at its number, not with today's; a record that waited
//! over a change of recipe still says what it said.

use crate::upload::uri;
use jiff::tz::TimeZone;
use station::inspection::ClassId;
use station::recipe::{Characteristic, Recipe};
use station::record::{Entry, EntryError, EntryNumber, Identity, PieceRecord, Started};
use station::units::{Digest, Timestamp};
use station::verdict::{Reason, Verdict};
use std::sync::Arc;

/// What was in force from one start of the station to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// Line and station.
    pub identity: Identity,
    /// The recipe, with model, classes, rubric and characteristics.
    pub recipe: Arc<Recipe>,
    /// Version of the program.
    pub program: String,
    /// The plant's time zone; times are written with its offset at that time.
    pub zone: TimeZone,
}

/// A record cannot be described to a backend. No retry will help.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The entry tells of something else than a piece.
    #[error("entry {0} is not a piece record")]
    NotAPiece(u64),
    /// A decision about a piece whose record is damaged in the ledger.
    #[error("entry {0} is about a piece whose record cannot be read")]
    NoPiece(u64),
    /// The clock was so wrong that the time has no name.
    #[error("entry {entry}: wall time of {micros} µs is not a date")]
    NoDate {
        /// The entry.
        entry: u64,
        /// Microseconds since 1970.
        micros: i64,
    },
    /// The entry has no canonical bytes, hence no digest and no identity.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl Context {
    /// From the entry that the station wrote when it started.
    #[must_use]
    pub fn from_started(started: &Started, zone: TimeZone) -> Self {
        Self { identity: started.identity.clone(), recipe: Arc::clone(&started.recipe), program: started.program.clone(), zone }
    }

    /// The name of a defect class.
    #[must_use]
    pub fn class_name(&self, class: ClassId) -> String {
        self.recipe.class(class).map_or_else(|| format!("class {}", class.0), |known| known.name.clone())
    }

    /// The characteristic that a chart shows.
    #[must_use]
    pub fn characteristic(&self, chart: u16) -> Option<&Characteristic> {
        self.recipe.characteristics.iter().find(|known| known.id == chart)
    }

    /// One reason in words.
    #[must_use]
    pub fn reason(&self, reason: &Reason) -> String {
        match reason {
            Reason::Defects { class, count, score } => format!("{} ×{count} ({score:.2})", self.class_name(*class)),
            Reason::Grade { name, .. } => format!("graded {name}"),
            Reason::Missed(why) => format!("not inspected: {why}"),
            Reason::MissedBy { camera, reason } => format!("not inspected by {camera}: {reason}"),
            Reason::Recalled { name, .. } => format!("recalled: {name}"),
        }
    }

    /// RFC 3339 with the plant's offset, and that offset as EPCIS writes it (`+08:00`).
    pub(crate) fn time(&self, entry: u64, at: Timestamp) -> Result<(String, String), MappingError> {
        let micros = at.wall_micros;
        let instant = jiff::Timestamp::from_microsecond(micros).map_err(|_| MappingError::NoDate { entry, micros })?;
        let minutes = self.zone.to_offset(instant).seconds() / 60;
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap_or(jiff::tz::Offset::UTC);
        let text = instant.display_with_offset(offset).to_string();
        let sign = if minutes < 0 { '-' } else { '+' };
        Ok((text, format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)))
    }
}

/// The contexts of a ledger, oldest first.
#[derive(Debug, Clone)]
pub struct Contexts {
    first: Arc<Context>,
    later: Vec<(EntryNumber, Arc<Context>)>,
}

impl Contexts {
    /// One context for everything.
    #[must_use]
    pub fn new(first: Context) -> Self {
        Self { first: Arc::new(first), later: Vec::new() }
    }

    /// From entry `from` on this one is in force. Calls come in order of entry numbers.
    pub fn changed(&mut self, from: EntryNumber, context: Context) {
        self.later.push((from, Arc::new(context)));
    }

    /// What was in force at `number`. Entries before the first known start are described by the first context.
    #[must_use]
    pub fn at(&self, number: EntryNumber) -> &Context {
        let after = self.later.partition_point(|(from, _)| *from <= number);
        after.checked_sub(1).and_then(|index| self.later.get(index)).map_or(&self.first, |(_, context)| context)
    }
}

/// What was judged of a piece, as a backend must read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The verdict.
    pub verdict: Verdict,
    /// Somebody looked.
    pub judged: bool,
}

impl Standing {
    /// A pass that no inspection stands behind is not believed: it is told as a hold.
    pub(crate) fn of(piece: &PieceRecord) -> Self {
        let judged = piece.inspection.is_some() && piece.judgement.verdict != Verdict::Hold;
        match piece.judgement.verdict {
            Verdict::Pass if !judged => Self { verdict: Verdict::Hold, judged },
            verdict => Self { verdict, judged },
        }
    }
}

/// The digest of an entry, by which everything about it is named.
pub(crate) fn digest_of(entry: &Entry) -> Result<Digest, EntryError> {
    Ok(Entry::digest(entry.previous, &entry.to_bytes()?))
}

/// The name under which a backend knows what this decision put in a record's place.
pub(crate) fn decision_id(identity: &Identity, digest: Digest) -> String {
    uri::uuid(&[b"jidoka decision", identity.line.as_bytes(), identity.station.as_bytes(), identity.sgln.as_bytes(), &digest.0])
}

/// The name under which a backend knows what a piece was made of.
pub(crate) fn transformation_id(identity: &Identity, digest: Digest) -> String {
    uri::uuid(&[b"jidoka made of", identity.line.as_bytes(), identity.station.as_bytes(), identity.sgln.as_bytes(), &digest.0])
}

/// The name under which a backend knows this record: the same record always gets the same one.
pub(crate) fn event_id(identity: &Identity, digest: Digest) -> String {
    uri::uuid(&[b"jidoka piece record", identity.line.as_bytes(), identity.station.as_bytes(), identity.sgln.as_bytes(), &digest.0])
}
