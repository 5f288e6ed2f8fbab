//! `jidoka backend`: a small EPCIS 2.0 capture and query server and grading backend, for the demo, the tests and a single small
//! plant. A function of requests: it knows no HTTP server.
//!
//! ```text
//! OPTIONS /capture            limits and versions     POST /grades             graded pieces, with Idempotency-Key
//! POST    /capture            a document → 202        GET  /grades             pages; /grades/{id} one
//! GET     /capture            the jobs, pages         GET  /health             counts
//! GET     /capture/{id}       the capture job         GET  /openapi.json       the grading interface
//! GET     /events             questions, pages        GET  /openapi-epcis.json the capture and query interface
//! GET     /events/{eventID}   one event               POST /misbehave          in test mode only
//! ```
//! Invariants: what was acknowledged is on disk; every event and grade is kept once; one request that is held back holds back no
//! other.

mod capture;
mod check;
mod grades;
mod misbehave;
mod query;
mod shape;
mod shelf;

#[cfg(test)]
mod tests;

pub use misbehave::Misbehaviour;

use capture::{Behaviour, Events};
use grades::{Grades, Refusal, Taken};
use misbehave::{Mischief, Order, Request};
use query::{Page, Query};
use serde_json::{Value, json};
use station::units::{Digest, Timestamp};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use web_ui::endpoint::{Answer, Ask, Endpoint};

/// The grading interface, described.
pub const GRADING_OPENAPI: &str = include_str!("grading-openapi.json");

/// The capture and query interface, described.
pub const EPCIS_OPENAPI: &str = include_str!("epcis-openapi.json");

/// The capture job of a server that was told to feign.
const FEIGNED: &str = "feigned";

/// How the server behaves.
#[derive(Clone)]
pub struct BackendSettings {
    /// Most events in one document.
    pub capture_events_max: usize,
    /// Most bytes in one document.
    pub capture_bytes_max: usize,
    /// Bearer token that every request but `/health` must carry.
    pub token: Option<String>,
    /// `POST /misbehave` is served.
    pub test_mode: bool,
    /// Where the time comes from.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl BackendSettings {
    /// Moderate limits, no token, no misbehaviour.
    #[must_use]
    pub fn new(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { capture_events_max: 500, capture_bytes_max: 4 << 20, token: None, test_mode: false, clock }
    }
}

impl fmt::Debug for BackendSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, bytes) = (self.capture_events_max, self.capture_bytes_max);
        write!(f, "BackendSettings({events} events, {bytes} bytes, token {})", if self.token.is_some() { "set" } else { "none" })
    }
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("backend folder {path}: cannot open {what}")]
pub struct BackendError {
    /// The folder.
    pub path: PathBuf,
    /// What in it.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What is kept and what came again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// Events kept.
    pub events: usize,
    /// Grades kept.
    pub grades: usize,
    /// Events and grades that came again since the start and were not kept again.
    pub duplicates_refused: u64,
    /// Lines that could not be read at the start.
    pub lost_lines: u64,
}

/// The server.
#[derive(Debug)]
pub struct Backend {
    settings: BackendSettings,
    events: Mutex<Events>,
    grades: Mutex<Grades>,
    mischief: Mischief,
}

impl Backend {
    /// Opens (or creates) the folder and reads what was kept. One folder belongs to one server at a time.
    pub fn open(dir: &Path, settings: BackendSettings) -> Result<Self, BackendError> {
        let failed = |what| move |source| BackendError { path: dir.to_owned(), what, source };
        std::fs::create_dir_all(dir).map_err(failed("the folder itself"))?;
        let prefix = format!("{:x}", (settings.clock)().wall_micros);
        let events = Events::open(&dir.join("events.jsonl"), prefix).map_err(failed("events.jsonl"))?;
        let grades = Grades::open(&dir.join("grades.jsonl")).map_err(failed("grades.jsonl"))?;
        let lost_lines = events.lost_lines + grades.lost_lines;
        if lost_lines > 0 {
            tracing::error!(lost_lines, dir = %dir.display(), "some lines of the backend's files could not be read");
        }
        let (events, grades) = (Mutex::new(events), Mutex::new(grades));
        Ok(Self { settings, events, grades, mischief: Mischief::default() })
    }

    /// What is kept.
    #[must_use]
    pub fn health(&self) -> Health {
        let (events, grades) = (self.events(), self.grades());
        Health {
            events: events.rows().len(),
            grades: grades.count(),
            duplicates_refused: events.duplicates_refused + grades.duplicates_refused,
            lost_lines: events.lost_lines + grades.lost_lines,
        }
    }

    /// Misbehaves for the next `requests` uploads that this way of misbehaving can concern, test mode or not.
    pub fn misbehave(&self, how: Misbehaviour, requests: u32) {
        self.mischief.order(how, requests);
    }

    /// Lets every held answer go, so that a server can stop.
    pub fn close(&self) {
        self.mischief.close();
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grades(&self) -> MutexGuard<'_, Grades> {
        self.grades.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> String {
        jiff::Timestamp::from_microsecond((self.settings.clock)().wall_micros).unwrap_or_default().to_string()
    }

    fn admits(&self, ask: &Ask) -> bool {
        let Some(token) = &self.settings.token else { return true };
        // Digests are compared so that the time it takes tells nothing of the token.
        header(ask, "authorization").is_some_and(|sent| Digest::of(sent.as_bytes()) == Digest::of(format!("Bearer {token}").as_bytes()))
    }

    fn route(&self, ask: &Ask) -> Answer {
        let path = ask.path.trim_end_matches('/');
        let parts: Vec<&str> = path.trim_start_matches('/').splitn(2, '/').collect();
        match (ask.method.as_str(), parts.as_slice()) {
            ("OPTIONS", ["capture"]) => self.discovery(),
            ("POST", ["capture"]) => self.upload(Request::Capture, ask),
            ("GET", ["capture"]) => self.list_jobs(&ask.query),
            ("GET", ["capture", _]) => self.upload(Request::AskJob, ask),
            ("POST", ["grades"]) => self.upload(Request::Grade, ask),
            ("GET", ["events"]) => self.list_events(&ask.query),
            ("GET", ["events", id]) => self.one_event(id),
            ("GET", ["grades"]) => self.list_grades(&ask.query),
            ("GET", ["grades", id]) => self.one_grade(id),
            ("GET", ["openapi.json"]) => json_answer(200, GRADING_OPENAPI.as_bytes().to_vec()),
            ("GET", ["openapi-epcis.json"]) => json_answer(200, EPCIS_OPENAPI.as_bytes().to_vec()),
            ("POST", ["misbehave"]) if self.settings.test_mode => self.take_order(&ask.body),
            (_, ["capture" | "events" | "grades", ..]) => problem(405, "ImplementationException", "Method not allowed", &ask.method),
            _ => problem(404, "NoSuchResourceException", "Not found", &ask.path),
        }
    }

    /// A request of an uploader: the only ones that misbehaviour can concern.
    fn upload(&self, request: Request, ask: &Ask) -> Answer {
        let suffers = self.mischief.for_request(request);
        let partial = suffers == Some(Misbehaviour::Partial);
        match suffers {
            Some(Misbehaviour::Hold { millis }) => self.mischief.hold(millis),
            Some(Misbehaviour::Exists) => return problem(409, "ResourceAlreadyExistsException", "Exists", "told to misbehave"),
            Some(Misbehaviour::TooLarge) => return self.too_large("told to misbehave"),
            Some(Misbehaviour::Fail { status }) => return problem(status, "ImplementationException", "Failed", "told to misbehave"),
            Some(Misbehaviour::Running) => return json_value(200, &json!({ "running": true, "success": true })),
            Some(Misbehaviour::Lie) => {
                let location = ("location".to_owned(), "/capture/never-was".to_owned());
                return Answer { status: 202, headers: vec![location], body: Vec::new() };
            }
            Some(Misbehaviour::Feign) => {
                let location = ("location".to_owned(), format!("/capture/{FEIGNED}"));
                return Answer { status: 202, headers: vec![location], body: Vec::new() };
            }
            Some(Misbehaviour::Forget) => {
                drop(self.serve_upload(request, ask, false));
                return problem(500, "ImplementationException", "Failed", "told to misbehave");
            }
            Some(Misbehaviour::Partial | Misbehaviour::Poison { .. }) | None => {}
        }
        self.serve_upload(request, ask, partial)
    }

    fn serve_upload(&self, request: Request, ask: &Ask, partial: bool) -> Answer {
        match request {
            Request::Capture => self.capture(ask, partial),
            Request::AskJob if self.settings.test_mode && ask.path.ends_with(FEIGNED) => {
                json_value(200, &json!({ "captureID": FEIGNED, "running": false, "success": true, "errors": [] }))
            }
            Request::AskJob => self.job(ask.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()),
            Request::Grade => self.grade(ask),
        }
    }

    fn discovery(&self) -> Answer {
        let mut answer = Answer { status: 204, headers: vec![("allow".to_owned(), "OPTIONS, POST, GET".to_owned())], body: Vec::new() };
        let fixed = [
            ("gs1-epcis-version", "2.0.0"),
            ("gs1-epcis-min", "2.0.0"),
            ("gs1-epcis-max", "2.0.0"),
            ("gs1-cbv-version", "2.0.0"),
            ("gs1-cbv-min", "2.0.0"),
            ("gs1-cbv-max", "2.0.0"),
            ("gs1-epc-format", "Never_Translates"),
            ("gs1-capture-error-behaviour", "rollback"),
        ];
        answer.headers.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        answer.headers.extend(self.limits());
        answer
    }

    fn limits(&self) -> [(String, String); 2] {
        let (events, bytes) = (self.settings.capture_events_max, self.settings.capture_bytes_max);
        [("gs1-epcis-capture-limit".to_owned(), events.to_string()), ("gs1-epcis-capture-file-size-limit".to_owned(), bytes.to_string())]
    }

    fn too_large(&self, detail: &str) -> Answer {
        let mut answer = problem(413, "CaptureLimitExceededException", "Capture payload too large", detail);
        answer.headers.extend(self.limits());
        answer
    }

    fn refuse(&self) -> impl Fn(&Value) -> Option<String> + use<> {
        let poison = self.mischief.poison();
        move |item| (!poison.is_empty() && item.to_string().contains(&poison)).then(|| format!("contains {poison}, which is refused"))
    }

    fn capture(&self, ask: &Ask, partial: bool) -> Answer {
        let invalid = |detail: &str| problem(400, "ValidationException", "The document is not valid", detail);
        if !header(ask, "content-type").is_some_and(|kind| kind.starts_with("application/json") || kind.starts_with("application/ld+json"))
        {
            return problem(415, "UnsupportedMediaTypeException", "Unsupported media type", "send application/json");
        }
        if ask.body.len() > self.settings.capture_bytes_max {
            return self.too_large("more bytes than the limit");
        }
        let behaviour = match header(ask, "gs1-capture-error-behaviour") {
            None | Some("rollback") => Behaviour::Rollback,
            Some("proceed") => Behaviour::Proceed,
            Some(other) => return invalid(&format!("GS1-Capture-Error-Behaviour: {other:?} is neither rollback nor proceed")),
        };
        let parsed = serde_json::from_slice(&ask.body).map_err(|error| error.to_string());
        let document = match parsed.and_then(check::document) {
            Ok(document) => document,
            Err(what) => return invalid(&what),
        };
        if document.events.len() > self.settings.capture_events_max {
            return self.too_large("more events than the limit");
        }
        let now = self.now();
        let refuse = self.refuse();
        let mut events = self.events();
        if let Some(clash) = events.clash(&document.prefixes) {
            return invalid(&clash);
        }
        let id = events.capture(document, behaviour, &now, &refuse, partial);
        let location = ("location".to_owned(), format!("/capture/{id}"));
        Answer { status: 202, headers: vec![location, ("gs1-epcis-version".to_owned(), "2.0.0".to_owned())], body: Vec::new() }
    }

    fn job(&self, id: &str) -> Answer {
        match self.events().job(id) {
            Some(job) => json_value(200, job),
            None => problem(404, "NoSuchResourceException", "No such capture job", id),
        }
    }

    fn list_jobs(&self, query: &str) -> Answer {
        let page = match Page::of(query) {
            Ok((page, others)) if others.is_empty() => page,
            Ok(_) => return problem(400, "QueryParameterException", "The question is not understood", "only perPage and nextPageToken"),
            Err(what) => return problem(400, "QueryParameterException", "The question is not understood", &what),
        };
        let events = self.events();
        let (jobs, next) = events.jobs(page.start, page.size);
        linked(json_value(200, &json!(jobs)), "/capture", query, next)
    }

    fn list_events(&self, query: &str) -> Answer {
        let asked = match Query::of(query) {
            Ok(asked) => asked,
            Err(what) => return problem(400, "QueryParameterException", "The question is not understood", &what),
        };
        let events = self.events();
        match asked.page(&events) {
            Ok((found, next)) => {
                let document = query::document(&found, &events, &self.now());
                linked(json_value(200, &document), "/events", query, next)
            }
            Err(error) => unreadable(&error),
        }
    }

    fn one_event(&self, id: &str) -> Answer {
        let events = self.events();
        let rows = query::decoded(id).map(|id| events.named(&id)).unwrap_or_default();
        if rows.is_empty() {
            return problem(404, "NoSuchResourceException", "No such event", id);
        }
        let found: io::Result<Vec<Value>> = rows.into_iter().map(|row| events.read(row)).collect();
        found.map_or_else(|error| unreadable(&error), |found| json_value(200, &query::document(&found, &events, &self.now())))
    }

    fn grade(&self, ask: &Ask) -> Answer {
        let invalid = |detail: &str| problem(400, "ValidationException", "The grades are not valid", detail);
        let Some(key) = header(ask, "idempotency-key").filter(|key| !key.is_empty() && key.len() <= 200) else {
            return invalid("Idempotency-Key: is missing");
        };
        let body: Value = match serde_json::from_slice(&ask.body) {
            Ok(body) => body,
            Err(error) => return invalid(&error.to_string()),
        };
        let (now, refuse) = (self.now(), self.refuse());
        let taken = self.grades().take(key, body, &now, &refuse);
        match taken {
            Ok(Taken { stored, exists }) => json_value(200, &json!({ "stored": stored, "exists": exists })),
            Err(Refusal::Invalid(what)) => invalid(&what),
            Err(Refusal::Conflict(what)) => problem(422, "ValidationException", "The grades contradict what is kept", &what),
            Err(Refusal::Disk(error)) => {
                tracing::error!(%error, "grades could not be kept");
                problem(500, "ImplementationException", "The grades could not be kept", &error.to_string())
            }
        }
    }

    fn list_grades(&self, query: &str) -> Answer {
        let page = match Page::of(query) {
            Ok((page, others)) if others.is_empty() => page,
            Ok(_) => return problem(400, "QueryParameterException", "The question is not understood", "only perPage and nextPageToken"),
            Err(what) => return problem(400, "QueryParameterException", "The question is not understood", &what),
        };
        match self.grades().page(page) {
            Ok((grades, next)) => linked(json_value(200, &json!({ "grades": grades })), "/grades", query, next),
            Err(error) => unreadable(&error),
        }
    }

    fn one_grade(&self, id: &str) -> Answer {
        match query::decoded(id).ok().and_then(|id| self.grades().named(&id)) {
            Some(Ok(grade)) => json_value(200, &grade),
            Some(Err(error)) => unreadable(&error),
            None => problem(404, "NoSuchResourceException", "No such grade", id),
        }
    }

    fn take_order(&self, body: &[u8]) -> Answer {
        match serde_json::from_slice::<Order>(body) {
            Ok(order) => {
                self.misbehave(order.how, order.requests);
                Answer { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            Err(error) => problem(400, "ValidationException", "No such misbehaviour", &error.to_string()),
        }
    }
}

impl Endpoint for Backend {
    fn answer(&self, ask: Ask) -> Answer {
        if ask.method == "GET" && ask.path == "/health" {
            return json_value(200, &json!(self.health()));
        }
        if !self.admits(&ask) {
            return problem(401, "SecurityException", "Unauthorised request", "a bearer token is needed");
        }
        self.route(&ask)
    }
}

fn header<'a>(ask: &'a Ask, name: &str) -> Option<&'a str> {
    ask.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
}

fn json_answer(status: u16, body: Vec<u8>) -> Answer {
    Answer { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body }
}

fn json_value(status: u16, value: &Value) -> Answer {
    json_answer(status, value.to_string().into_bytes())
}

/// An RFC 7807 problem with the exception names of EPCIS.
fn problem(status: u16, kind: &str, title: &str, detail: &str) -> Answer {
    let body = json!({ "type": format!("epcisException:{kind}"), "title": title, "status": status, "detail": detail });
    let kind = ("content-type".to_owned(), "application/problem+json".to_owned());
    Answer { status, headers: vec![kind], body: body.to_string().into_bytes() }
}

fn unreadable(error: &io::Error) -> Answer {
    tracing::error!(%error, "a kept line could not be read");
    problem(500, "ImplementationException", "A kept line could not be read", &error.to_string())
}

/// Adds where the next page is.
fn linked(mut answer: Answer, path: &str, query: &str, next: Option<usize>) -> Answer {
    if let Some(next) = next {
        let mut parts: Vec<String> =
            query.split('&').filter(|part| !part.is_empty() && !part.starts_with("nextPageToken=")).map(str::to_owned).collect();
        parts.push(format!("nextPageToken={next}"));
        answer.headers.push(("link".to_owned(), format!("<{path}?{}>; rel=\"next\"", parts.join("&"))));
    }
    answer
}
