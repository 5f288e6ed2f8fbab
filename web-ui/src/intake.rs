//! What pieces are made of: whoever opens a supplier lot says so, by name.
//!
//! Invariants: as with every decision, it is checked here with the rules by which the station takes it, and `202` means handed over.
//! What is so already is answered with `200` and changes nothing.

use crate::actions::decide;
use crate::auth::{Acting, Looking};
use crate::page::Shared;
use crate::problem::Problem;
use crate::query;
use crate::routes::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use station::action::{Action, Person, Role};
use station::intake::{Intake, IntakeRefusal, MATERIALS_MAX, SupplierLot};
use std::sync::Arc;

/// Body of `POST /supplier-lots/used-up`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsedUp {
    material: String,
}

/// `GET /supplier-lots`: every lot that was ever in use, with the records that were made of it; the latest first.
pub(crate) async fn all(_: Looking, State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let records = Arc::clone(&shared.sources.records);
    let answer = shared.lookups.run(move || records.supplier_lots()).await?;
    query::told(answer)
}

/// `POST /supplier-lots`: operators and above. From the next piece on this lot is used.
pub(crate) async fn in_use(acting: Acting, State(shared): State<Arc<Shared>>, Body(lot): Body<SupplierLot>) -> Result<StatusCode, Problem> {
    take_in(&shared, acting.at_least(Role::Operator)?, Intake::InUse { lot })
}

/// `POST /supplier-lots/used-up`: operators and above. From the next piece on none of this material is used.
pub(crate) async fn used_up(acting: Acting, State(shared): State<Arc<Shared>>, Body(ask): Body<UsedUp>) -> Result<StatusCode, Problem> {
    take_in(&shared, acting.at_least(Role::Operator)?, Intake::UsedUp { material: ask.material })
}

fn take_in(shared: &Shared, by: Person, intake: Intake) -> Result<StatusCode, Problem> {
    let in_use = Arc::clone(&shared.sources.snapshots.borrow().made_of);
    match intake.applied(&in_use) {
        Ok(Some(_)) => decide(shared, by, Action::TakeIn { intake }),
        Ok(None) => Ok(StatusCode::OK),
        Err(refusal) => {
            let error = refusal.to_string();
            Err(match refusal {
                IntakeRefusal::Name(_) => Problem::invalid("name", error, "write it as it stands on the label, without spaces around it"),
                IntakeRefusal::TooMany => Problem::conflict("too_many", error, format!("say what is used up: at most {MATERIALS_MAX}")),
                IntakeRefusal::NotInUse(_) => {
                    let known: Vec<&str> = in_use.iter().map(|lot| lot.material.as_str()).collect();
                    let mend = if known.is_empty() { "nothing is".to_owned() } else { format!("in use are: {}", known.join(", ")) };
                    Problem::conflict("not_in_use", error, mend)
                }
            })
        }
    }
}
