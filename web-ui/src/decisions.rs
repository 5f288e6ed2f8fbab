//! What people decide about pieces that have their verdict: overrule, hold, recall, complaint.
//!
//! Invariants: a decision is checked here with the very rules by which the station takes it, against the latest snapshot, so
//! that a refusal has words; `202` means handed over, the snapshot tells what became of it. A recall that names piece records
//! is handed over with their serials, because a serial is what the camera will see again.

use crate::actions::{decide, short};
use crate::auth::{Acting, Looking};
use crate::page::Shared;
use crate::problem::Problem;
use crate::routes::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use station::action::{Action, Person, Role};
use station::decision::{Affected, Decision, NAME_CHARS_MAX, Refusal, ResultRange, SERIALS_MAX, TEXT_CHARS_MAX};
use station::snapshot::Snapshot;
use station::verdict::Verdict;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Body of `POST /pieces/{result_id}/overrule`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overrule {
    verdict: Verdict,
    /// 1-based, as the snapshot's `decisions.grades` lists them; 0 = not graded.
    grade: u16,
    reason: String,
}

/// Body of `POST /holds`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    #[serde(default)]
    results: Vec<ResultRange>,
    #[serde(default)]
    lots: BTreeSet<u32>,
    #[serde(default)]
    serials: BTreeSet<String>,
    reason: String,
}

/// Body of `POST /recalls`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recall {
    name: String,
    criteria: String,
    #[serde(default)]
    results: Vec<ResultRange>,
    #[serde(default)]
    lots: BTreeSet<u32>,
    #[serde(default)]
    serials: BTreeSet<String>,
    reason: String,
}

/// Body of `POST /holds/{id}/release` and of `POST /recalls/{id}/end`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    reason: String,
}

/// Body of `POST /complaints`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complaint {
    result_id: Option<u64>,
    serial: Option<String>,
    words: String,
}

type Number = Result<Path<u64>, axum::extract::rejection::PathRejection>;

/// `POST /pieces/{result_id}/overrule`: quality officers and above. The record stays as it is; this is another one.
pub(crate) async fn overrule(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    result_id: Number,
    Body(ask): Body<Overrule>,
) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::QualityOfficer)?;
    let Path(result_id) = result_id.map_err(|_| Problem::not_found("such piece"))?;
    if result_id == 0 || result_id > latest(&shared).decisions.results {
        return Err(Problem::not_found("record of this piece"));
    }
    hand_over(&shared, by, Decision::Overrule { result_id, verdict: ask.verdict, grade: ask.grade }, ask.reason)
}

/// `POST /holds`: quality officers and above. The pieces are in quarantine until the hold is released.
pub(crate) async fn hold(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<Hold>) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::QualityOfficer)?;
    let Hold { results, lots, serials, reason } = ask;
    hand_over(&shared, by, Decision::Hold { set: Affected { results, lots, serials } }, reason)
}

/// `POST /holds/{id}/release`: quality officers and above.
pub(crate) async fn release_hold(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    hold: Number,
    Body(ask): Body<End>,
) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::QualityOfficer)?;
    let Path(hold) = hold.map_err(|_| Problem::not_found("such hold"))?;
    hand_over(&shared, by, Decision::ReleaseHold { hold, set: Affected::default() }, ask.reason)
}

/// `POST /recalls`: quality officers and above. From then on a piece of the set that is seen again is rejected.
pub(crate) async fn recall(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<Recall>) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::QualityOfficer)?;
    let name = short("name", ask.name, NAME_CHARS_MAX)?;
    let criteria = short("criteria", ask.criteria, TEXT_CHARS_MAX)?;
    let mut set = Affected { results: ask.results, lots: ask.lots, serials: ask.serials };
    // Before anything is looked up: the ranges must be there, and few enough.
    let decision = Decision::Recall { name: name.clone(), criteria: criteria.clone(), set: set.clone() };
    check(&latest(&shared), &decision, &ask.reason)?;
    if set.results_count() > u64::try_from(SERIALS_MAX).unwrap_or(u64::MAX) {
        let error = format!("a recall names at most {SERIALS_MAX} pieces by their records");
        return Err(Problem::invalid("set_too_large", error, "name their lots, or make several recalls"));
    }
    let (records, ranges) = (Arc::clone(&shared.sources.records), set.results.clone());
    set.serials.extend(shared.lookups.run(move || records.serials(&ranges)).await?);
    hand_over(&shared, by, Decision::Recall { name, criteria, set }, ask.reason)
}

/// `POST /recalls/{id}/end`: quality officers and above.
pub(crate) async fn end_recall(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    recall: Number,
    Body(ask): Body<End>,
) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::QualityOfficer)?;
    let Path(recall) = recall.map_err(|_| Problem::not_found("such recall"))?;
    hand_over(&shared, by, Decision::EndRecall { recall, set: Affected::default() }, ask.reason)
}

/// `POST /complaints`: everybody. Counted as an escape.
pub(crate) async fn complain(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<Complaint>) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::Operator)?;
    let Complaint { mut result_id, serial, words } = ask;
    if let (None, Some(serial)) = (result_id, serial.clone()) {
        let records = Arc::clone(&shared.sources.records);
        result_id = shared.lookups.run(move || records.find(&serial)).await?.as_ref().and_then(result_id_of);
    }
    hand_over(&shared, by, Decision::Complaint { result_id, serial }, words)
}

/// `GET /quarantine`: everybody. What backends refused for good, with their words.
pub(crate) async fn quarantine(_: Looking, State(shared): State<Arc<Shared>>) -> Result<axum::response::Response, Problem> {
    let records = Arc::clone(&shared.sources.records);
    crate::query::told(shared.lookups.run(move || records.quarantine()).await?)
}

/// `POST /backends/{name}/quarantine/release`: supervisors and above. What the backend refused for good gets another try; of it
/// `?record=` and `?decision=` name those that are meant.
pub(crate) async fn give_another_try(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    Path(backend): Path<String>,
    pairs: crate::query::Pairs,
) -> Result<axum::Json<serde_json::Value>, Problem> {
    let by = acting.at_least(Role::Supervisor)?;
    let (records, name) = (Arc::clone(&shared.sources.records), backend.clone());
    let (mut results, mut decisions) = (Vec::new(), Vec::new());
    for (what, number) in crate::query::read(pairs)? {
        let list = match what.as_str() {
            "record" => &mut results,
            "decision" => &mut decisions,
            _ => return Err(Problem::parameter(what, "there is no such parameter", "use record or decision")),
        };
        list.push(number.parse().map_err(|_| Problem::parameter(what, format!("`{number}` is no number"), "write a number like 17"))?);
    }
    let done = shared.lookups.run(move || records.give_another_try(&name, &results, &decisions)).await?;
    let released = done.ok_or_else(|| Problem::not_found("such backend"))?;
    let released = released.map_err(|error| Problem::conflict("not_released", error, "see what the appliance's health says"))?;
    tracing::info!(name = by.name, role = %by.role, backend, released, "a backend's quarantine was released");
    Ok(axum::Json(serde_json::json!({ "released": released })))
}

/// The number of the piece record that a ledger entry is, as JSON.
fn result_id_of(entry: &serde_json::Value) -> Option<u64> {
    entry.pointer("/body/piece/result_id").and_then(serde_json::Value::as_u64)
}

fn latest(shared: &Shared) -> Arc<Snapshot> {
    Arc::clone(&shared.sources.snapshots.borrow())
}

fn hand_over(shared: &Shared, by: Person, decision: Decision, reason: String) -> Result<StatusCode, Problem> {
    let what = if matches!(decision, Decision::Complaint { .. }) { "words" } else { "reason" };
    let reason = short(what, reason, TEXT_CHARS_MAX)?;
    check(&latest(shared), &decision, &reason)?;
    decide(shared, by, Action::Decide { decision, reason })
}

/// What the station would refuse without a word.
fn check(snapshot: &Snapshot, decision: &Decision, reason: &str) -> Result<(), Problem> {
    let known = &snapshot.decisions;
    let grade_max = u16::try_from(known.grades.len()).unwrap_or(u16::MAX);
    let Err(refusal) = known.all.check(decision.clone(), reason, known.results, grade_max) else { return Ok(()) };
    let error = refusal.to_string();
    Err(match refusal {
        Refusal::NotOpen(_) => Problem::conflict("not_open", error, "look at the page again: it may have been ended already"),
        Refusal::NoPieces => Problem::invalid("no_pieces", error, "name results, lots or serials"),
        Refusal::NoSuchResults { .. } => Problem::invalid("results", error, "name records that are there, the first one first"),
        Refusal::UnknownLot => Problem::invalid("lots", error, "name the lot, or the pieces"),
        Refusal::Serial(_) => Problem::invalid("serials", error, "correct the serial"),
        Refusal::TooManyRanges => Problem::invalid("set_too_large", error, "make several of it"),
        Refusal::TooManySerials => Problem::invalid("set_too_large", error, "name lots, or end what is no longer needed"),
        Refusal::TooManyOpen => Problem::conflict("too_many_open", error, "end what is no longer needed"),
        Refusal::Grade(_) => Problem::invalid("grade", error, format!("use 0 (not graded) to {grade_max}")),
        Refusal::Text(_) => Problem::invalid("text", error, format!("write 1 to {TEXT_CHARS_MAX} characters")),
    })
}
