//! What the API answers when it cannot do what was asked: what is wrong, and what to do about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use station::action::Role;
use std::time::Duration;

/// A refusal. `code` is for programs and translations, `error` and `mend` are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    retry_secs: Option<u64>,
    code: &'static str,
    error: String,
    mend: String,
    /// The parameter of the address that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status, retry_secs: None, code, error: error.into(), mend: mend.into(), parameter: None }
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "you are not signed in", "sign in")
    }

    pub(crate) fn role_too_small(needed: Role) -> Self {
        let error = format!("this needs the role `{needed}` or above");
        Self::new(StatusCode::FORBIDDEN, "role_too_small", error, "ask somebody who has that role")
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"), "check the address or the number")
    }

    pub(crate) fn picture_gone(why: &str) -> Self {
        let error = format!("the picture of this piece: {why}");
        Self::new(StatusCode::NOT_FOUND, "picture_gone", error, "the settings under [images] say which pictures stay for how long")
    }

    pub(crate) fn invalid(code: &'static str, error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error, mend)
    }

    /// A parameter of the address that cannot be meant.
    pub(crate) fn parameter(name: String, error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { parameter: Some(name), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "parameter", error, mend) }
    }

    pub(crate) fn conflict(code: &'static str, error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, error, mend)
    }

    pub(crate) fn too_many(wait: Duration) -> Self {
        let secs = wait.as_secs().max(1);
        let error = "too many attempts to sign in";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", error, format!("wait {secs} seconds, then try again"));
        problem.retry_secs = Some(secs);
        problem
    }

    pub(crate) fn busy(code: &'static str, error: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error, "try again in a moment");
        problem.retry_secs = Some(1);
        problem
    }

    /// Something broke in here. The caller has logged what.
    pub(crate) fn internal() -> Self {
        let mend = "try again; if it stays, look into the appliance's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the appliance could not do this", mend)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry) = (self.status, self.retry_secs);
        let mut response = (status, Json(self)).into_response();
        if let Some(secs) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
