//! Records and pictures together: which decisions hold pictures, and whose pictures those are that the register does not know.
//!
//! Invariant: a picture whose record is not known yet is not removed. The ledger says whose it is.

use super::images::policy::{Class, Retention};
use super::images::register::History;
use super::images::shelf::Tag;
use super::images::{Fate, ImageError, Images};
use super::{Store, StoreError, read};
use station::decision::{Decision, Open};
use station::inspection::Inspection;
use station::recipe::Recipe;
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use station::units::{Digest, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Entries at the end of the ledger that are looked through first: power that was cut leaves strangers whose records are there.
const RECENT: u64 = 20_000;

/// A picture of a piece, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// The camera; `None` where the record does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<Arc<str>>,
    /// Digest of its pixels.
    pub digest: Digest,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// The same in words.
    pub words: String,
}

/// The pictures that a record names, each with its camera.
#[must_use]
pub fn named(inspection: &Inspection) -> Vec<(Arc<str>, Digest)> {
    if inspection.views.is_empty() {
        return vec![(Arc::clone(&inspection.camera), inspection.image)];
    }
    inspection.views.iter().map(|view| (Arc::clone(&view.camera), view.image)).collect()
}

/// The pictures of a piece: those that its record names, and those that were kept of a piece that nobody judged. For many pieces
/// give the `history` of all of them.
#[must_use]
pub fn shown(images: &Images, record: &PieceRecord, history: Option<&History>) -> Vec<Shown> {
    let of_record = || match history {
        Some(history) => history.of_record(record.result_id).collect::<Vec<_>>(),
        None => images.of_record(record.result_id),
    };
    let mut all: Vec<(Option<Arc<str>>, Digest)> =
        record.inspection.iter().flat_map(|inspection| named(inspection)).map(|(camera, digest)| (Some(camera), digest)).collect();
    if all.is_empty() {
        all.extend(of_record().into_iter().map(|digest| (None, digest)));
    }
    let told = |(camera, digest)| {
        let fate = match history {
            Some(history) => images.fate_in(history, record.result_id, digest),
            None => images.fate(record.result_id, digest),
        };
        Shown { camera, digest, fate, words: fate.words() }
    };
    all.into_iter().map(told).collect()
}

impl Store {
    /// The holds and recalls in force at the start, and the decisions that the register was not told of.
    pub(super) fn hold_pictures(&self) {
        let mut open: Vec<Open> = Vec::new();
        for entry in self.past.checkpoint.iter().chain(&self.past.after) {
            match &entry.body {
                Body::Checkpoint(memory) => open = memory.decisions.holds.iter().chain(&memory.decisions.recalls).cloned().collect(),
                Body::Decided(record) => match &record.decision {
                    Decision::Hold { set } | Decision::Recall { set, .. } => {
                        open.push(Open { decision_id: record.decision_id, name: String::new(), set: set.clone() });
                    }
                    Decision::ReleaseHold { hold: ended, .. } | Decision::EndRecall { recall: ended, .. } => {
                        open.retain(|open| open.decision_id != *ended);
                    }
                    Decision::Overrule { .. } | Decision::Complaint { .. } => {}
                },
                _ => {}
            }
        }
        self.images.in_force(open.iter());
        self.catch_up_decisions();
    }

    /// A decision holds pictures from the moment it is kept.
    pub(super) fn heed(&self, entry: &Entry) {
        if let Body::Decided(record) = &entry.body {
            self.images.decide(record, entry.at);
        }
    }

    /// Through the index; without one, later.
    fn catch_up_decisions(&self) {
        for decision_id in self.images.decided() + 1..=self.shared.kept_decisions() {
            match self.shared.decision(decision_id) {
                Ok(Some(entry)) => self.heed(&entry),
                Ok(None) | Err(StoreError::Ledger(_)) => self.images.pass_over(decision_id),
                Err(_) => return,
            }
        }
    }

    /// Removes the pictures that are due, leaves the headroom of the disk free, and finds the records of pictures that the register
    /// does not know. To be called from time to time by a thread that may wait for the disk.
    ///
    /// # Errors
    /// A disk that does not do its work; the next call goes on.
    pub fn tend_pictures(&self, now: Timestamp) -> Result<(), ImageError> {
        self.catch_up_decisions();
        // A hold that is not known yet would be passed over.
        if self.shared.kept_decisions() == self.images.decided() {
            self.images.tend(now)?;
        }
        self.sort_pictures(now)
    }

    fn sort_pictures(&self, now: Timestamp) -> Result<(), ImageError> {
        let mut strangers: BTreeSet<Digest> = self.images.strangers().into_iter().collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let all = strangers.len();
        let head = self.condition().head.number.0;
        for from in [head.saturating_sub(RECENT).max(1), 1] {
            if !strangers.is_empty() && !self.sort_from(EntryNumber(from), &mut strangers)? {
                // What cannot be read now is read the next time.
                return Ok(());
            }
        }
        for digest in &strangers {
            self.images.sort(*digest, &[(Tag::nobodys(Class::Hold), now.wall_micros.div_euclid(1_000_000))])?;
        }
        tracing::info!(pictures = all, without_record = strangers.len(), "pictures that the register did not know were sorted");
        Ok(())
    }

    /// Looks through the ledger. False if it cannot be read to its end.
    fn sort_from(&self, from: EntryNumber, strangers: &mut BTreeSet<Digest>) -> Result<bool, ImageError> {
        let starts = self.starts().unwrap_or_default();
        let mut recipe: Option<Arc<Recipe>> = starts.iter().rev().find(|entry| entry.number < from).and_then(started);
        let mut overruled = BTreeSet::new();
        let mut sorted: BTreeMap<Digest, Vec<(Tag, i64)>> = BTreeMap::new();
        let read = read::read_from(&self.shared.ledger_dir(), from, &mut |kept| {
            match &kept.entry.body {
                Body::Started(_) => recipe = started(&kept.entry),
                Body::Decided(record) => {
                    if let Decision::Overrule { result_id, .. } = record.decision {
                        overruled.insert(result_id);
                    }
                }
                Body::Piece(piece) => {
                    let wanted = recipe.as_ref().and_then(|recipe| self.images.retention().class_of(recipe, piece));
                    // It is there, so somebody wanted it when the settings were others.
                    let class = wanted.unwrap_or(Retention::by_verdict(piece.judgement.verdict));
                    let tag = (Tag::of(class, piece), kept.entry.at.wall_micros.div_euclid(1_000_000));
                    let named = piece.inspection.iter().flat_map(|inspection| named(inspection));
                    let strange = named.filter(|(_, digest)| strangers.contains(digest));
                    strange.for_each(|(_, digest)| sorted.entry(digest).or_default().push(tag));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        for (digest, mut tags) in sorted {
            let theirs = tags.iter_mut().filter(|(tag, _)| overruled.contains(&tag.record));
            theirs.for_each(|(tag, _)| tag.class = Class::Overruled);
            self.images.sort(digest, &tags)?;
            strangers.remove(&digest);
        }
        Ok(read.is_ok())
    }
}

fn started(entry: &Entry) -> Option<Arc<Recipe>> {
    if let Body::Started(started) = &entry.body { Some(Arc::clone(&started.recipe)) } else { None }
}
