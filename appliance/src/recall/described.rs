//! What a record says to a person: verdict and grade in force and those of the station, defects by name, who overruled it.
//!
//! Invariant: names are those of the recipe that was in force when the record was made.

use super::Shelf;
use crate::store::rows::overruled::Overruled;
use crate::store::{Store, StoreError};
use crate::upload::context::{Context, Contexts};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use station::verdict::{Reason, Verdict};
use std::sync::{Arc, Mutex, PoisonError};

/// What records mean: the recipe that was in force for each.
#[derive(Debug, Clone, Default)]
pub struct Described(Option<Contexts>);

impl Described {
    /// From the entries with which the station started, oldest first.
    #[must_use]
    pub fn of(starts: &[Entry]) -> Self {
        let mut described = Self::default();
        starts.iter().for_each(|start| described.started(start));
        described
    }

    /// Another start, after those that are known.
    pub fn started(&mut self, start: &Entry) {
        let Body::Started(started) = &start.body else { return };
        let context = Context::from_started(started, TimeZone::system());
        match &mut self.0 {
            None => self.0 = Some(Contexts::new(context)),
            Some(contexts) => contexts.changed(start.number, context),
        }
    }

    /// What was in force at an entry; `None` if no start is known.
    #[must_use]
    pub fn at(&self, number: EntryNumber) -> Option<&Context> {
        self.0.as_ref().map(|contexts| contexts.at(number))
    }

    /// All that is known.
    #[must_use]
    pub const fn contexts(&self) -> Option<&Contexts> {
        self.0.as_ref()
    }

    /// Why the piece has the station's verdict.
    #[must_use]
    pub fn reasons(&self, entry: &Entry, piece: &PieceRecord) -> Vec<String> {
        let name = |reason: &Reason| match (reason, self.at(entry.number)) {
            (reason, Some(context)) => context.reason(reason),
            (Reason::Defects { class, count, .. }, None) => format!("class {} ×{count}", class.0),
            (reason, None) => format!("{reason:?}"),
        };
        piece.judgement.reasons.iter().map(name).collect()
    }

    /// The grade that the station gave.
    #[must_use]
    pub fn grade(&self, entry: &Entry, piece: &PieceRecord) -> String {
        let grade = piece.judgement.grade;
        self.at(entry.number).map_or_else(|| grade.to_string(), |context| context.recipe.rubric.name(grade))
    }

    /// Everything about one record that a list shows; `None` of an entry that is no piece record.
    #[must_use]
    pub fn line<'e>(&self, entry: &'e Entry, overruled: Option<&Overruled>) -> Option<Line<'e>> {
        let Body::Piece(piece) = &entry.body else { return None };
        let first = (piece.judgement.verdict, self.grade(entry, piece));
        let now = overruled.map_or_else(|| first.clone(), |by| (by.verdict, by.grade.clone()));
        let reasons = self.reasons(entry, piece);
        Some(Line { piece, now, first, overruled_by: overruled.map(|by| by.decision_id), reasons })
    }
}

/// One record in a list.
#[derive(Debug, Clone)]
pub struct Line<'e> {
    /// The record.
    pub piece: &'e PieceRecord,
    /// Verdict and grade in force.
    pub now: (Verdict, String),
    /// Verdict and grade of the station.
    pub first: (Verdict, String),
    /// The decision that put the one in place of the other.
    pub overruled_by: Option<u64>,
    /// Why the station gave its verdict.
    pub reasons: Vec<String>,
}

impl Line<'_> {
    /// The verdict as a person reads it: an overruled one says so.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.overruled_by {
            Some(_) => format!("{} (was {})", self.now.0, self.first.0),
            None => self.now.0.to_string(),
        }
    }

    /// As the web API tells it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (piece, arrival) = (self.piece, &self.piece.arrival);
        let package = piece.inspection.as_ref().map(|inspection| inspection.model.package.clone());
        let mut line = json!({
            "result_id": piece.result_id,
            "at": utc(piece.arrived_at.wall_micros),
            "piece": arrival.piece,
            "serial": arrival.serial,
            "lot": (arrival.lot > 0).then_some(arrival.lot),
            "verdict": self.now.0,
            "grade": self.now.1,
            "first_verdict": self.first.0,
            "first_grade": self.first.1,
            "reasons": self.reasons,
            "model": package,
            "rubric_version": piece.rubric_version,
            "made_of": piece.made_of,
        });
        if let (Some(fields), Some(decision_id)) = (line.as_object_mut(), self.overruled_by) {
            fields.insert("overruled_by".to_owned(), decision_id.into());
        }
        line
    }
}

/// RFC 3339 in UTC.
#[must_use]
pub fn utc(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros} µs"), |time| time.to_string())
}

/// What records mean, kept between questions: a recipe is read from the ledger once.
#[derive(Debug, Default)]
pub struct Known(Mutex<(usize, Arc<Described>)>);

impl Known {
    /// What the records of a store mean now.
    ///
    /// # Errors
    /// A view that is missing or cannot be read.
    pub fn of(&self, store: &Store) -> Result<Arc<Described>, StoreError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, new) = store.starts_from(known.0)?;
        if !new.is_empty() {
            let described = Arc::make_mut(&mut known.1);
            new.iter().for_each(|start| described.started(start));
        }
        known.0 = count;
        Ok(Arc::clone(&known.1))
    }
}

/// A record that was found; a damaged one is told and left out.
pub fn whole(shelf: &dyn Shelf, result_id: u64) -> Option<Entry> {
    match shelf.record(result_id) {
        Ok(entry) => entry,
        Err(error) => {
            tracing::warn!(result_id, error = %crate::pipeline::see::chain(&error), "a piece record is left out");
            None
        }
    }
}
