//! Coming in and leaving: first set-up, sign-in, sign-out, and who is here.

use super::signed::cookie;
use super::throttle::Key;
use super::{Acting, UsersError, token};
use crate::page::Shared;
use crate::problem::Problem;
use crate::routes::Body;
use crate::server::Peer;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use station::action::{Person, Role};
use std::sync::Arc;
use tokio::time::Instant;

/// Somebody wants to come in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    name: String,
    password: String,
}

/// Somebody sets the appliance up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstPerson {
    code: String,
    name: String,
    password: String,
    role: Option<Role>,
}

/// Who is signed in.
#[derive(Serialize)]
struct Who {
    name: String,
    role: Role,
}

/// `POST /session`
pub(crate) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Body(ask): Body<SignIn>,
) -> Result<Response, Problem> {
    let keys = [Key::name(&ask.name), Key::Address(peer.ip())];
    admit(&shared, &keys, peer)?;
    let users = Arc::clone(&shared.users);
    let (name, password) = (ask.name, ask.password);
    let (name, person) = shared
        .hashing
        .run(move || {
            let person = users.verify(&name, &password);
            (if users.knows(&name) { name } else { String::from("(nobody of that name)") }, person)
        })
        .await?;
    let Some(person) = person else {
        tracing::warn!(name, %peer, "a sign-in was refused");
        let error = "name or password is wrong";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_password", error, "check both and try again"));
    };
    shared.throttle.forgive(&keys[0]);
    if let Some(old) = token(&headers) {
        shared.sessions.close(old);
    }
    tracing::info!(name = person.name, role = %person.role, %peer, "signed in");
    welcome(&shared, person)
}

/// `DELETE /session`
pub(crate) async fn sign_out(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(person) = token(&headers).and_then(|token| shared.sessions.close(token)) {
        tracing::info!(name = person.name, "signed out");
    }
    with_cookie(StatusCode::NO_CONTENT.into_response(), &cookie("", 0))
}

/// `GET /session`: who is signed in. The page asks when a person touched it, so this keeps the session alive.
pub(crate) async fn who(State(shared): State<Arc<Shared>>, acting: Result<Acting, Problem>) -> Result<Response, Problem> {
    match acting {
        Ok(Acting(person)) => Ok(axum::Json(Who { name: person.name, role: person.role }).into_response()),
        Err(_) if shared.setup_code().is_some() => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "set_up_first",
            "nobody can sign in yet",
            "set up the first person with the code that the appliance printed when it started",
        )),
        Err(problem) => Err(problem),
    }
}

/// `POST /setup`
pub(crate) async fn set_up(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(ask): Body<FirstPerson>,
) -> Result<Response, Problem> {
    let done = || Problem::conflict("already_set_up", "the appliance has been set up already", "sign in");
    if shared.setup_code().is_none() {
        return Err(done());
    }
    admit(&shared, &[Key::SetUp, Key::Address(peer.ip())], peer)?;
    if !shared.setup.fits(&ask.code) {
        tracing::warn!(%peer, "a set-up was refused: wrong code");
        let mend = "use the code that the appliance printed when it started";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_code", "the set-up code is wrong", mend));
    }
    if ask.role.is_some_and(|role| role != Role::Administrator) {
        let error = "the first person must be an administrator";
        return Err(Problem::invalid("role", error, "leave the role out, or give `administrator`"));
    }
    let users = Arc::clone(&shared.users);
    let (name, password) = (ask.name, ask.password);
    let added = shared.hashing.run(move || users.add_first(&name, Role::Administrator, &password)).await?;
    match added {
        Ok(person) => {
            shared.setup.spend();
            tracing::info!(name = person.name, %peer, "set up the first person");
            welcome(&shared, person)
        }
        Err(UsersError::NotFirst) => {
            shared.setup.spend();
            Err(done())
        }
        Err(error @ UsersError::Name) => Err(Problem::invalid("name", error.to_string(), "choose another name")),
        Err(UsersError::Password(why)) => Err(Problem::invalid("weak_password", why, "choose a longer, less even password")),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the first person could not be kept");
            Err(Problem::internal())
        }
    }
}

fn admit(shared: &Shared, keys: &[Key], peer: std::net::SocketAddr) -> Result<(), Problem> {
    shared.throttle.admit(keys, Instant::now()).map_err(|wait| {
        tracing::warn!(%peer, wait_secs = wait.as_secs(), "too many attempts to sign in");
        Problem::too_many(wait)
    })
}

fn welcome(shared: &Shared, person: Person) -> Result<Response, Problem> {
    let who = Who { name: person.name.clone(), role: person.role };
    let token = shared.sessions.open(person, Instant::now()).map_err(|error| {
        tracing::error!(%error, "no session could be opened: the system gave no random numbers");
        Problem::internal()
    })?;
    let cookie = cookie(&token, shared.sessions.whole().as_secs());
    Ok(with_cookie((StatusCode::CREATED, axum::Json(who)).into_response(), &cookie))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    match HeaderValue::from_str(cookie) {
        Ok(value) => {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        Err(error) => tracing::error!(%error, "a cookie could not be written"),
    }
    response
}
