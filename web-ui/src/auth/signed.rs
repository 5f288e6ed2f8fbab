//! The person behind a request, as handlers ask for them.

use super::Use;
use crate::page::Shared;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use station::action::{Person, Role};
use std::sync::Arc;
use tokio::time::Instant;

/// Name of the session's cookie. Without TLS it cannot carry the `__Host-` prefix, which demands `Secure`.
const COOKIE: &str = "jidoka_session";

/// The page refreshes itself for somebody who is signed in. Does not keep the session alive.
#[derive(Debug)]
pub(crate) struct Looking;

/// Somebody who is signed in did something. Keeps the session alive.
#[derive(Debug)]
pub(crate) struct Acting(pub(crate) Person);

impl Acting {
    /// The person, if their role is at least `needed`.
    pub(crate) fn at_least(self, needed: Role) -> Result<Person, Problem> {
        if self.0.role >= needed {
            return Ok(self.0);
        }
        tracing::warn!(name = self.0.name, role = %self.0.role, %needed, "a decision was refused: the role is too small");
        Err(Problem::role_too_small(needed))
    }
}

impl FromRequestParts<Arc<Shared>> for Looking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        find(parts, shared, Use::Look).map(|_| Self)
    }
}

impl FromRequestParts<Arc<Shared>> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        find(parts, shared, Use::Touch).map(Self)
    }
}

fn find(parts: &Parts, shared: &Shared, how: Use) -> Result<Person, Problem> {
    let token = token(&parts.headers).ok_or_else(Problem::not_signed_in)?;
    shared.sessions.person(token, how, Instant::now()).ok_or_else(Problem::not_signed_in)
}

/// The session's token in the request's cookies.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The cookie that carries `token` for at most `secs` seconds; none to take it away.
pub(super) fn cookie(token: &str, secs: u64) -> String {
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={secs}")
}
