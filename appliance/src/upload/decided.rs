//! What people decided about pieces, as EPCIS events.
//!
//! ```text
//! overrule          the event that is wrong once more, same eventID, with errorDeclaration (incorrect_data, correctiveEventIDs),
//!                   and the corrective event: the same inspection with the verdict and grade of the person
//! hold / release    persistentDisposition set / unset non_sellable_other     bizStep holding / other
//! recall / its end  persistentDisposition set / unset recalled               bizStep other
//! complaint         disposition unknown                                      bizStep other
//! ```
//! A quarantine is `non_sellable_other` and not `unavailable`, which is what a piece is that nobody judged: releasing the one must
//! not release the other.
//!
//! Invariants: the same decision gives the same events with the same names; a second overrule declares the first one's
//! corrective event wrong, never the record's event again; every piece of a set is named as its own event names it.

use crate::outbox::{NamedPiece, Parcel};
use crate::upload::context::{Context, Contexts, MappingError, decision_id, digest_of};
use crate::upload::epcis::{
    Decided, Disposition, ErrorDeclaration, Event, PersistentDisposition, Place, Quantity, disposition, event_of, lasting,
    transformation_of,
};
use crate::upload::uri;
use station::decision::{Affected, Decision, DecisionRecord};
use station::record::{Body, Entry};
use station::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// The events that a parcel tells of, in the order in which they must be captured.
pub fn events_of(parcel: &Parcel, contexts: &Contexts) -> Result<Vec<Event>, MappingError> {
    let entry = &*parcel.entry;
    let context = contexts.at(entry.number);
    let Body::Decided(record) = &entry.body else {
        let made_of = transformation_of(entry, context)?;
        return Ok(made_of.into_iter().chain([event_of(entry, context)?]).collect());
    };
    match &record.decision {
        Decision::Overrule { .. } => overrule(parcel, contexts),
        Decision::Hold { set } => about_set(entry, record, parcel, set, (Disposition::NonSellableOther, true), context),
        Decision::ReleaseHold { set, .. } => about_set(entry, record, parcel, set, (Disposition::NonSellableOther, false), context),
        Decision::Recall { set, .. } => about_set(entry, record, parcel, set, (Disposition::Recalled, true), context),
        Decision::EndRecall { set, .. } => about_set(entry, record, parcel, set, (Disposition::Recalled, false), context),
        Decision::Complaint { serial, .. } => complaint(entry, record, parcel, serial.as_deref(), contexts),
    }
}

/// The wrong event as it was, declared wrong, and the right one.
fn overrule(parcel: &Parcel, contexts: &Contexts) -> Result<Vec<Event>, MappingError> {
    let entry = &*parcel.entry;
    let [piece, earlier @ ..] = parcel.about.as_slice() else { return Err(MappingError::NoPiece(entry.number.0)) };
    let right = corrective(piece, entry, contexts)?;
    let mut wrong = match earlier.last() {
        Some(overrule) => corrective(piece, overrule, contexts)?,
        None => event_of(piece, contexts.at(piece.number))?,
    };
    wrong.error_declaration = Some(ErrorDeclaration {
        declaration_time: contexts.at(entry.number).time(entry.number.0, entry.at)?.0,
        reason: "incorrect_data",
        corrective_event_ids: vec![right.event_id.clone()],
    });
    Ok(vec![wrong, right])
}

/// The inspection of a piece with the verdict and grade that a person gave it.
fn corrective(piece: &Entry, overrule: &Entry, contexts: &Contexts) -> Result<Event, MappingError> {
    let (Body::Piece(_), Body::Decided(record)) = (&piece.body, &overrule.body) else {
        return Err(MappingError::NoPiece(overrule.number.0));
    };
    let Decision::Overrule { verdict, grade, .. } = record.decision else { return Err(MappingError::NotAPiece(overrule.number.0)) };
    let context = contexts.at(piece.number);
    let before = event_of(piece, context)?;
    let was = before.persistent_disposition.as_ref().and_then(|persistent| persistent.set.first().copied());
    let becomes = lasting(verdict);
    let set: Vec<_> = becomes.into_iter().collect();
    let unset: Vec<_> = was.into_iter().filter(|was| becomes != Some(*was)).collect();
    let decided = decided(overrule, record)?;
    let terms = before.terms.map(|mut terms| {
        terms.verdict = verdict.name();
        terms.judged = verdict != Verdict::Hold;
        terms.grade = (terms.judged && grade != 0).then(|| context.recipe.rubric.name(grade));
        terms.reasons = vec![record.reason.clone()];
        terms
    });
    let persists = !set.is_empty() || !unset.is_empty();
    Ok(Event {
        event_id: decision_id(&contexts.at(overrule.number).identity, decided.record_digest),
        disposition: Some(disposition(verdict)),
        persistent_disposition: persists.then_some(PersistentDisposition { set, unset }),
        terms,
        decision: Some(decided),
        ..before
    })
}

fn about_set(
    entry: &Entry,
    record: &DecisionRecord,
    parcel: &Parcel,
    set: &Affected,
    (kind, begins): (Disposition, bool),
    context: &Context,
) -> Result<Vec<Event>, MappingError> {
    let (begin, end) = if begins { (vec![kind], Vec::new()) } else { (Vec::new(), vec![kind]) };
    let (epc_list, quantity_list) = members(set, &parcel.named, context);
    let is_hold = matches!(record.decision, Decision::Hold { .. });
    let event = Event {
        biz_step: if is_hold { "holding" } else { "other" },
        disposition: begins.then_some(kind),
        persistent_disposition: Some(PersistentDisposition { set: begin, unset: end }),
        epc_list,
        quantity_list,
        ..bare(entry, record, context)?
    };
    Ok(vec![event])
}

fn complaint(
    entry: &Entry,
    record: &DecisionRecord,
    parcel: &Parcel,
    serial: Option<&str>,
    contexts: &Contexts,
) -> Result<Vec<Event>, MappingError> {
    let context = contexts.at(entry.number);
    let (epc_list, quantity_list) = match (parcel.about.first(), serial) {
        (Some(piece), _) => {
            let told = event_of(piece, contexts.at(piece.number))?;
            (told.epc_list, told.quantity_list)
        }
        (None, Some(serial)) => (vec![uri::serial(&context.identity, &context.recipe.product, serial)], Vec::new()),
        (None, None) => return Err(MappingError::NoPiece(entry.number.0)),
    };
    let event =
        Event { biz_step: "other", disposition: Some(Disposition::Unknown), epc_list, quantity_list, ..bare(entry, record, context)? };
    Ok(vec![event])
}

/// An event of a decision without what it is about.
fn bare(entry: &Entry, record: &DecisionRecord, context: &Context) -> Result<Event, MappingError> {
    let decided = decided(entry, record)?;
    let (event_time, event_time_zone_offset) = context.time(entry.number.0, entry.at)?;
    Ok(Event {
        kind: "ObjectEvent",
        event_id: decision_id(&context.identity, decided.record_digest),
        event_time,
        event_time_zone_offset,
        error_declaration: None,
        epc_list: Vec::new(),
        quantity_list: Vec::new(),
        input_quantity_list: Vec::new(),
        output_epc_list: Vec::new(),
        output_quantity_list: Vec::new(),
        made_of: Vec::new(),
        action: "OBSERVE",
        biz_step: "other",
        disposition: None,
        persistent_disposition: None,
        read_point: Place { id: uri::read_point(&context.identity) },
        biz_transaction_list: Vec::new(),
        sensor_element_list: Vec::new(),
        terms: None,
        decision: Some(decided),
    })
}

/// Every piece of a set, each once: by its serial; else as so many of its lot; else by a name of ours.
fn members(set: &Affected, named: &[NamedPiece], context: &Context) -> (Vec<String>, Vec<Quantity>) {
    let (identity, product) = (&context.identity, context.recipe.product.as_str());
    let mut names: BTreeSet<String> = set.serials.iter().map(|serial| uri::serial(identity, product, serial)).collect();
    let mut lots: BTreeMap<u32, Option<u32>> = set.lots.iter().map(|lot| (*lot, None)).collect();
    for piece in named {
        match (&piece.serial, uri::lgtin(&identity.sgtin_base, piece.lot)) {
            (Some(serial), _) => drop(names.insert(uri::serial(identity, product, serial))),
            // A lot that is named as a whole stays so.
            (None, Some(_)) => {
                let count = lots.entry(piece.lot).or_insert(Some(0));
                *count = count.map(|count| count + 1);
            }
            (None, None) => drop(names.insert(uri::of_station(identity, "piece", &[&piece.result_id.to_string()]))),
        }
    }
    let quantity = |(lot, quantity): (u32, Option<u32>)| Quantity { epc_class: uri::lot(identity, lot), quantity };
    (names.into_iter().collect(), lots.into_iter().map(quantity).collect())
}

fn decided(entry: &Entry, record: &DecisionRecord) -> Result<Decided, MappingError> {
    let (name, criteria) = match &record.decision {
        Decision::Recall { name, criteria, .. } => (Some(name.clone()), Some(criteria.clone())),
        _ => (None, None),
    };
    let ends = match record.decision {
        Decision::ReleaseHold { hold: ended, .. } | Decision::EndRecall { recall: ended, .. } => Some(ended),
        _ => None,
    };
    Ok(Decided {
        decision_id: record.decision_id,
        what: record.decision.name(),
        by: record.by.name().to_owned(),
        reason: record.reason.clone(),
        name,
        criteria,
        ends,
        record_digest: digest_of(entry)?,
    })
}
