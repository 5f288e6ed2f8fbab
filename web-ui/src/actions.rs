//! What people may decide, and when: stop, acknowledge, release, arm and disarm, revise limits.
//!
//! Invariants: a decision is taken by somebody signed in whose role suffices; it is checked against the latest snapshot
//! for the person's sake and once more by the station; `202` means handed over, the snapshot tells what became of it.

use crate::auth::Acting;
use crate::page::Shared;
use crate::problem::Problem;
use crate::routes::Body;
use crate::sources::Refused;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use station::action::{Action, Person, Request, Revision, Role};
use station::recipe::GivenLimits;
use station::snapshot::{Phase, Snapshot};
use std::sync::Arc;

const CAUSE_CHARS_MAX: usize = 500;
const CORRECTIVE_CHARS_MAX: usize = 1000;
const NOTE_CHARS_MAX: usize = 500;

/// Body of `POST /stop`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    #[serde(default)]
    note: String,
}

/// Body of `POST /stop/acknowledge`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledge {
    stop_seq: u16,
    cause: String,
    #[serde(default)]
    corrective_action: String,
}

/// Body of `POST /charts/{id}/limits`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviseLimits {
    /// The revision that is replaced, as the snapshot shows it.
    replaces: u32,
    #[serde(default)]
    relearn: bool,
    centre: Option<f64>,
    sigma: Option<f64>,
    reason: String,
}

/// Body of `POST /stop/release`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    stop_seq: u16,
}

/// `POST /stop`: operators and above, at any time.
pub(crate) async fn stop(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<Stop>) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::Operator)?;
    let note = short("note", ask.note, NOTE_CHARS_MAX)?;
    decide(&shared, by, Action::Stop { note })
}

/// `POST /stop/acknowledge`: operators and above, once per stop, never without a cause.
pub(crate) async fn acknowledge(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    Body(ask): Body<Acknowledge>,
) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::Operator)?;
    let cause = short("cause", ask.cause, CAUSE_CHARS_MAX)?;
    if cause.is_empty() {
        return Err(Problem::invalid("cause_empty", "a stop cannot be acknowledged without a cause", "say what caused it"));
    }
    let corrective_action = short("corrective_action", ask.corrective_action, CORRECTIVE_CHARS_MAX)?;
    in_phase(&shared, Phase::Stopped, ask.stop_seq)?;
    decide(&shared, by, Action::Acknowledge { stop_seq: ask.stop_seq, cause, corrective_action })
}

/// `POST /stop/release`: supervisors and above, after the acknowledgement.
pub(crate) async fn release(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<Release>) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::Supervisor)?;
    in_phase(&shared, Phase::Acknowledged, ask.stop_seq)?;
    decide(&shared, by, Action::Release { stop_seq: ask.stop_seq })
}

/// `POST /line-stop/arm`: engineers and above. From then on a cause to stop withdraws the run permit.
pub(crate) async fn arm(acting: Acting, State(shared): State<Arc<Shared>>) -> Result<StatusCode, Problem> {
    decide(&shared, acting.at_least(Role::Engineer)?, Action::Arm)
}

/// `POST /line-stop/disarm`: engineers and above. A stop in force stays in force.
pub(crate) async fn disarm(acting: Acting, State(shared): State<Arc<Shared>>) -> Result<StatusCode, Problem> {
    decide(&shared, acting.at_least(Role::Engineer)?, Action::Disarm)
}

/// `POST /charts/{id}/limits`: engineers and above. The chart judges by other limits from its next point on, or learns anew.
pub(crate) async fn revise_limits(
    acting: Acting,
    State(shared): State<Arc<Shared>>,
    Path(chart): Path<u16>,
    Body(ask): Body<ReviseLimits>,
) -> Result<StatusCode, Problem> {
    let by = acting.at_least(Role::Engineer)?;
    let reason = short("reason", ask.reason, CAUSE_CHARS_MAX)?;
    if reason.is_empty() {
        return Err(Problem::invalid("reason_empty", "limits cannot be revised without a reason", "say why"));
    }
    let revision = match (ask.relearn, ask.centre, ask.sigma) {
        (true, None, None) => Revision::Relearn,
        (false, Some(centre), sigma) => Revision::Given(GivenLimits { centre, sigma }),
        _ => {
            let mend = "send either `relearn: true`, or `centre` (with `sigma` for readings)";
            return Err(Problem::invalid("limits", "it is not said what the new limits are", mend));
        }
    };
    let snapshot: Arc<Snapshot> = Arc::clone(&shared.sources.snapshots.borrow());
    let found = snapshot.charts.iter().find(|view| view.id == chart).ok_or_else(|| Problem::not_found("such chart"))?;
    if found.revision != ask.replaces {
        let error = format!("revision {} is not the one in force, which is {}", ask.replaces, found.revision);
        return Err(Problem::conflict("other_revision", error, "look at the page again"));
    }
    fits(&found.kind, revision)?;
    decide(&shared, by, Action::ReviseLimits { chart, replaces: ask.replaces, revision, reason })
}

/// What the station would refuse without a word.
fn fits(kind: &str, revision: Revision) -> Result<(), Problem> {
    let Revision::Given(GivenLimits { centre, sigma }) = revision else { return Ok(()) };
    let refuse = |error: &str, mend: &str| Err(Problem::invalid("limits", error, mend));
    match (kind, sigma) {
        ("individuals" | "averages", None) => refuse("a chart of readings needs their standard deviation", "add `sigma`"),
        ("individuals" | "averages", Some(sigma)) if sigma <= 0.0 => refuse("the standard deviation must lie above 0", "correct `sigma`"),
        ("individuals" | "averages", Some(_)) => Ok(()),
        ("reject_share_laney" | "defects_per_piece_laney", _) => {
            refuse("how much an overdispersed rate varies cannot be known from its mean", "send `relearn: true`")
        }
        (_, Some(_)) => refuse("what a share or a rate varies by follows from it", "leave out `sigma`"),
        ("reject_share", None) if !(0.0..=1.0).contains(&centre) => refuse("a share lies from 0 to 1", "correct `centre`"),
        (_, None) if centre < 0.0 => refuse("a rate is not negative", "correct `centre`"),
        (_, None) => Ok(()),
    }
}

pub(crate) fn short(field: &'static str, text: String, chars_max: usize) -> Result<String, Problem> {
    if text.chars().count() > chars_max {
        return Err(Problem::invalid("too_long", format!("`{field}` is longer than {chars_max} characters"), "write less"));
    }
    Ok(text.trim().to_owned())
}

fn in_phase(shared: &Shared, needed: Phase, stop_seq: u16) -> Result<(), Problem> {
    let snapshot: Arc<Snapshot> = Arc::clone(&shared.sources.snapshots.borrow());
    let Some(stop) = &snapshot.stop else {
        return Err(Problem::conflict("not_stopped", "the line is not stopped", "look at the page again"));
    };
    if stop.seq != stop_seq {
        let error = format!("stop {stop_seq} is not the stop in force, which is {}", stop.seq);
        return Err(Problem::conflict("other_stop", error, "look at the page again"));
    }
    match (needed, snapshot.phase) {
        (needed, phase) if needed == phase => Ok(()),
        (Phase::Acknowledged, Phase::Stopped) => {
            let error = format!("stop {stop_seq} has not been acknowledged");
            Err(Problem::conflict("not_acknowledged", error, "acknowledge it with its cause first"))
        }
        _ => {
            let error = format!("stop {stop_seq} has been dealt with already");
            Err(Problem::conflict("already_done", error, "look at the page again"))
        }
    }
}

pub(crate) fn decide(shared: &Shared, by: Person, action: Action) -> Result<StatusCode, Problem> {
    let (name, role) = (by.name.clone(), by.role);
    let (what, stop_seq) = match &action {
        Action::Stop { .. } => ("stop", None),
        Action::Acknowledge { stop_seq, .. } => ("acknowledge", Some(*stop_seq)),
        Action::Release { stop_seq } => ("release", Some(*stop_seq)),
        Action::Arm => ("arm", None),
        Action::Disarm => ("disarm", None),
        Action::ReviseLimits { .. } => ("revise_limits", None),
        Action::Decide { decision, .. } => (decision.name(), None),
        Action::TakeIn { .. } => ("take_in", None),
    };
    match (shared.sources.decide)(Request { by, action }) {
        Ok(()) => {
            tracing::info!(name, %role, what, stop_seq, "a decision was handed to the station");
            Ok(StatusCode::ACCEPTED)
        }
        Err(refused) => {
            tracing::error!(name, %role, what, stop_seq, %refused, "a decision was not taken");
            Err(match refused {
                Refused::Busy => Problem::busy("busy", "the station is busy and did not take the decision"),
                Refused::Stopping => Problem::busy("stopping", "the appliance is stopping and did not take the decision"),
            })
        }
    }
}
