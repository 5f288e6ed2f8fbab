//! Grading: graded pieces to the grading backend, as `backend/grading-openapi.json` describes them.
//!
//! Invariant: the body depends on the records alone, so that the same `Idempotency-Key` always comes with the same body.

use crate::outbox::Parcel;
use crate::upload::context::{Context, Contexts, MappingError, Standing, decision_id, digest_of, event_id};
use crate::upload::http::Wire;
use crate::upload::outcome::{self, Limits, Outcome};
use crate::upload::pack::{Package, Protocol, Room, fit};
use crate::upload::uri;
use serde::Serialize;
use station::decision::Decision;
use station::inspection::Inspection;
use station::record::{Body, Entry};
use station::units::{Digest, Timestamp};
use station::verdict::{Reason, Verdict};
use std::sync::Arc;

/// Some graded pieces.
#[derive(Debug, Serialize)]
struct GradeBatch<'a> {
    grades: &'a [PieceGrade],
}

/// The grade of one piece, and what it was given by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PieceGrade {
    /// The same name that the EPCIS event of this record has.
    pub id: String,
    /// Name of the line.
    pub line: String,
    /// Name of the station.
    pub station: String,
    /// Number of the record at its station.
    pub result_id: u64,
    /// The PLC's number of the piece.
    pub piece: u32,
    /// Serial, if it has one.
    pub serial: Option<String>,
    /// Lot, if known.
    pub lot: Option<u32>,
    /// Product.
    pub product: String,
    /// Recipe.
    pub recipe: String,
    /// `pass`, `reject` or `hold`.
    pub verdict: &'static str,
    /// False: nobody looked, and there is no grade.
    pub judged: bool,
    /// Index of the grade, best is 1; absent if not graded.
    pub grade: Option<u16>,
    /// Name of the grade.
    pub grade_name: Option<String>,
    /// Version of the rubric.
    pub rubric_version: u16,
    /// Number of defects.
    pub defects: u32,
    /// Why it did not pass, in words.
    pub reasons: Vec<String>,
    /// `name@version` of the model that looked.
    pub model: Option<String>,
    /// When the verdict was given, RFC 3339 with offset.
    pub graded_at: String,
    /// Digest of the ledger entry.
    pub record_digest: Digest,
    /// A challenge piece, not product.
    pub golden: bool,
    /// The grade that this one takes the place of: a person overruled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// Who overruled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overruled_by: Option<String>,
}

/// The grade that a ledger entry tells of.
pub fn grade_of(entry: &Entry, context: &Context) -> Result<PieceGrade, MappingError> {
    let Body::Piece(piece) = &entry.body else { return Err(MappingError::NotAPiece(entry.number.0)) };
    let record_digest = digest_of(entry)?;
    let standing = Standing::of(piece);
    let grade = Some(piece.judgement.grade).filter(|grade| standing.judged && *grade != 0);
    let defects = |reason: &Reason| match reason {
        Reason::Defects { count, .. } => u32::from(*count),
        Reason::Grade { .. } | Reason::Missed(_) | Reason::MissedBy { .. } | Reason::Recalled { .. } => 0,
    };
    let of_reasons = || piece.judgement.reasons.iter().map(defects).sum();
    // Where grades decide, a piece with defects may pass, and then has no reasons.
    let seen =
        |inspection: &Arc<Inspection>| u32::try_from(station::judge::defects(&context.recipe, inspection).count()).unwrap_or(u32::MAX);
    Ok(PieceGrade {
        id: event_id(&context.identity, record_digest),
        line: context.identity.line.clone(),
        station: context.identity.station.clone(),
        result_id: piece.result_id,
        piece: piece.arrival.piece.0,
        serial: piece.arrival.serial.clone(),
        lot: (piece.arrival.lot != 0).then_some(piece.arrival.lot),
        product: context.recipe.product.clone(),
        recipe: context.recipe.name.clone(),
        verdict: standing.verdict.name(),
        judged: standing.judged,
        grade,
        grade_name: grade.map(|grade| context.recipe.rubric.name(grade)),
        rubric_version: piece.rubric_version,
        defects: if standing.verdict == Verdict::Pass { piece.inspection.as_ref().map_or_else(of_reasons, seen) } else { of_reasons() },
        reasons: piece.judgement.reasons.iter().map(|reason| context.reason(reason)).collect(),
        model: piece.inspection.as_ref().map(|inspection| inspection.model.package.clone()),
        graded_at: context.time(entry.number.0, entry.at)?.0,
        record_digest,
        golden: piece.arrival.golden,
        supersedes: None,
        overruled_by: None,
    })
}

/// The grades that a parcel tells of: one for a piece record, one for an overrule. A hold, a recall and a complaint are no
/// grades: this backend has no word for them, and they are settled without being sent.
pub fn grades_of(parcel: &Parcel, contexts: &Contexts) -> Result<Vec<PieceGrade>, MappingError> {
    let entry = &parcel.entry;
    match &entry.body {
        Body::Decided(record) if matches!(record.decision, Decision::Overrule { .. }) => {
            overruled(parcel, contexts).map(|grade| vec![grade])
        }
        Body::Decided(_) => Ok(Vec::new()),
        _ => Ok(vec![grade_of(entry, contexts.at(entry.number))?]),
    }
}

/// The piece's grade once more, as a person decided it.
fn overruled(parcel: &Parcel, contexts: &Contexts) -> Result<PieceGrade, MappingError> {
    let entry = &parcel.entry;
    let (Body::Decided(record), [piece, earlier @ ..]) = (&entry.body, parcel.about.as_slice()) else {
        return Err(MappingError::NotAPiece(entry.number.0));
    };
    let Decision::Overrule { verdict, grade, .. } = record.decision else { return Err(MappingError::NotAPiece(entry.number.0)) };
    let context = contexts.at(piece.number);
    let before = grade_of(piece, context)?;
    let supersedes = match earlier.last() {
        Some(overrule) => decision_id(&contexts.at(overrule.number).identity, digest_of(overrule)?),
        None => before.id.clone(),
    };
    let record_digest = digest_of(entry)?;
    let judged = verdict != Verdict::Hold;
    let grade = Some(grade).filter(|grade| judged && *grade != 0);
    Ok(PieceGrade {
        id: decision_id(&contexts.at(entry.number).identity, record_digest),
        verdict: verdict.name(),
        judged,
        grade,
        grade_name: grade.map(|grade| context.recipe.rubric.name(grade)),
        reasons: vec![record.reason.clone()],
        graded_at: context.time(entry.number.0, entry.at)?.0,
        record_digest,
        supersedes: Some(supersedes),
        overruled_by: Some(record.by.name().to_owned()),
        ..before
    })
}

/// The grading interface.
#[derive(Debug)]
pub(crate) struct Grading;

impl Protocol for Grading {
    fn discover(&self, _wire: &Wire) -> Result<Limits, Outcome> {
        Ok(Limits::default())
    }

    fn pack(&self, parcels: &[Parcel], contexts: &Contexts, _now: Timestamp, room: Room) -> Package {
        let name = |grade: &PieceGrade| grade.id.clone();
        fit(parcels, room, |parcel| grades_of(parcel, contexts), name, |_, grades| serde_json::to_vec(&GradeBatch { grades }))
    }

    fn offer(&self, wire: &Wire, package: &Package) -> Outcome {
        let parts: Vec<&[u8]> = package.names.iter().map(String::as_bytes).collect();
        let key = uri::uuid(&parts);
        let headers = [("accept", "application/json"), ("idempotency-key", key.as_str())];
        outcome::of_batch(&wire.send("POST", "/grades", &headers, Some(&package.body)))
    }

    fn ask(&self, _wire: &Wire, _job: &str) -> Outcome {
        Outcome::NotUnderstood("the grading interface has no jobs".to_owned())
    }

    fn look_up(&self, wire: &Wire, package: &Package) -> Outcome {
        let name = package.names.last().map_or("", String::as_str);
        outcome::of_lookup(&wire.send("GET", &format!("/grades/{name}"), &[("accept", "application/json")], None))
    }
}
