//! Grading: graded pieces to the grading backend, as `backend/grading-openapi.json` describes them.
//!
//! Invariant: the body depends on the records alone, so that the same `Idempotency-Key` always comes with the same body.

use crate::outbox::Parcel;
use crate::upload::context::{Context, Contexts, MappingError, Standing, digest_of, event_id};
use crate::upload::http::Wire;
use crate::upload::outcome::{self, Limits, Outcome};
use crate::upload::pack::{Package, Protocol, fit};
use crate::upload::uri;
use serde::Serialize;
use station::record::{Body, Entry};
use station::units::{Digest, Timestamp};
use station::verdict::Reason;

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
}

/// The grade that a ledger entry tells of.
pub fn grade_of(entry: &Entry, context: &Context) -> Result<PieceGrade, MappingError> {
    let Body::Piece(piece) = &entry.body else { return Err(MappingError::NotAPiece(entry.number.0)) };
    let record_digest = digest_of(entry)?;
    let standing = Standing::of(piece);
    let grade = Some(piece.judgement.grade).filter(|grade| standing.judged && *grade != 0);
    let defects = |reason: &Reason| match reason {
        Reason::Defects { count, .. } => u32::from(*count),
        Reason::Missed(_) | Reason::MissedBy { .. } | Reason::Recalled { .. } => 0,
    };
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
        defects: piece.judgement.reasons.iter().map(defects).sum(),
        reasons: piece.judgement.reasons.iter().map(|reason| context.reason(reason)).collect(),
        model: piece.inspection.as_ref().map(|inspection| inspection.model.package.clone()),
        graded_at: context.time(entry.number.0, entry.at)?.0,
        record_digest,
        golden: piece.arrival.golden,
    })
}

/// The grading interface.
#[derive(Debug)]
pub(crate) struct Grading;

impl Protocol for Grading {
    fn discover(&self, _wire: &Wire) -> Result<Limits, Outcome> {
        Ok(Limits::default())
    }

    fn pack(&self, parcels: &[Parcel], contexts: &Contexts, _now: Timestamp, bytes_max: usize) -> Package {
        let name = |grade: &PieceGrade| grade.id.clone();
        fit(
            parcels,
            bytes_max,
            |entry| grade_of(entry, contexts.at(entry.number)),
            name,
            |_, grades| serde_json::to_vec(&GradeBatch { grades }),
        )
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
        let name = package.names.first().map_or("", String::as_str);
        outcome::of_lookup(&wire.send("GET", &format!("/grades/{name}"), &[("accept", "application/json")], None))
    }
}
