//! The whole API in one table, and how a request's body is read.

use crate::page::Shared;
use crate::problem::Problem;
use crate::{actions, assets, auth::door, decisions, guard, intake, live, metrics, query, view};
use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Largest body in bytes: every request is a few short texts.
const BODY_MAX: usize = 16 * 1024;

/// A browser has this long to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything this server answers. To look needs somebody who is signed in, to act their role; see the handlers.
pub(crate) fn table(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        // who
        .route("/setup", post(door::set_up))
        .route("/session", get(door::who).post(door::sign_in).delete(door::sign_out))
        // look
        .route("/snapshot", get(view::snapshot))
        .route("/health", get(view::health))
        .route("/stream", get(live::stream))
        .route("/frame.jpg", get(view::latest_frame))
        .route("/panel.png", get(view::panel))
        .route("/pieces", get(view::find_piece))
        .route("/pieces/{result_id}", get(view::piece))
        .route("/pieces/{result_id}/frame.jpg", get(view::piece_frame))
        // ask all records; the parameters stand in docs/api.md
        .route("/records", get(query::page))
        .route("/records/count", get(query::count))
        .route("/records.csv", get(query::csv))
        .route("/records.epcis.json", get(query::epcis))
        // what pieces are made of
        .route("/supplier-lots", get(intake::all).post(intake::in_use))
        .route("/supplier-lots/used-up", post(intake::used_up))
        // act
        .route("/stop", post(actions::stop))
        .route("/stop/acknowledge", post(actions::acknowledge))
        .route("/stop/release", post(actions::release))
        .route("/line-stop/arm", post(actions::arm))
        .route("/line-stop/disarm", post(actions::disarm))
        .route("/charts/{id}/limits", post(actions::revise_limits))
        // decide about pieces that have their verdict
        .route("/pieces/{result_id}/overrule", post(decisions::overrule))
        .route("/holds", post(decisions::hold))
        .route("/holds/{id}/release", post(decisions::release_hold))
        .route("/recalls", post(decisions::recall))
        .route("/recalls/{id}/end", post(decisions::end_recall))
        .route("/complaints", post(decisions::complain))
        .route("/quarantine", get(decisions::quarantine))
        .route("/backends/{name}/quarantine/release", post(decisions::give_another_try))
        .fallback(async || Problem::not_found("such address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address does not take this method", "see the API's description")
        });
    Router::new()
        .nest("/api/v1", api)
        // for machines, without sign-in; loopback only, as the whole page is
        .route("/livez", get(view::live))
        .route("/readyz", get(view::ready))
        .route("/metrics", get(metrics::metrics))
        // the page
        .fallback(get(assets::asset))
        .layer(axum::middleware::from_fn(guard::watch))
        .with_state(shared)
}

/// A JSON body. Only `application/json` is taken: a foreign page cannot send that without asking first.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let mend = "send JSON with `content-type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", "the body is not declared as JSON", mend));
        }
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(request.into_body(), BODY_MAX)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if crate::endpoint::is_too_large(&error) => {
                let error = format!("the body is larger than {BODY_MAX} bytes");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error, "write less"));
            }
            Ok(Err(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "body", "the body broke off", "send it again")),
            Err(_) => {
                let error = "the body did not arrive in time";
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", error, "send it again"));
            }
        };
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            // Otherwise a list would pass for an object whose fields come in order.
            return Err(Problem::new(StatusCode::BAD_REQUEST, "body", "the body is not a JSON object", "see the API's description"));
        }
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| {
            // What was sent may be a password: the position is enough to find the mistake.
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = if error.is_data() { "does not have the fields that are needed" } else { "is not JSON" };
            Problem::new(StatusCode::BAD_REQUEST, "body", format!("the body {what} ({place})"), "see the API's description")
        })
    }
}
