//! What an answer means. Pure: a reply (or none) goes in, one of a few meanings comes out.
//!
//! ```text
//! 202 + Location      accepted, not stored: ask the job          200/201/204  stored
//! 400, 422            the content is refused: find which         409          there already
//! 413                 too large: send less                       401, 403     not let in: a person must act
//! 429, 5xx, no answer later                                      other        not understood: a person must act
//! ```
//! Invariant: only an answer about the content itself (400, 422, 413, a failed job that names no fault of the backend's own)
//! can ever lead to a quarantine.

use crate::upload::http::{NoAnswer, Reply, one_line, problem_words};
use serde_json::Value;
use std::time::Duration;

/// What a backend announced of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most events in one request.
    pub events: Option<usize>,
    /// Most bytes in one request.
    pub bytes: Option<usize>,
}

impl Limits {
    /// From the headers `GS1-EPCIS-Capture-Limit` and `GS1-EPCIS-Capture-File-Size-Limit`. A limit of 0 is none.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        let number = |name| reply.number(name).filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
        Self { events: number("gs1-epcis-capture-limit"), bytes: number("gs1-epcis-capture-file-size-limit") }
    }
}

/// The meaning of one exchange about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The whole batch is stored.
    Stored,
    /// Taken, not stored: ask at this target.
    Accepted(String),
    /// The job has not finished.
    Running,
    /// The backend does not know the job (any more).
    JobUnknown,
    /// The backend says something of this batch is there already.
    Exists(String),
    /// Something of this batch is refused for good.
    Refused(String),
    /// More than the backend takes at once.
    TooLarge(Limits, String),
    /// Not let in.
    Denied(String),
    /// The backend does not speak as it should: a wrong address or version.
    NotUnderstood(String),
    /// Not now; the backend may have said how long.
    Later(String, Option<Duration>),
}

/// What holds for every request; `None` if the status needs a closer look.
fn in_general(answer: &Result<Reply, NoAnswer>) -> Result<&Reply, Outcome> {
    let reply = answer.as_ref().map_err(|error| Outcome::Later(format!("no answer: {error}"), None))?;
    let after = reply.number("retry-after").map(Duration::from_secs);
    match reply.status {
        401 | 403 => Err(Outcome::Denied(reply.words())),
        408 | 425 | 429 | 500..=599 if reply.status != 501 => Err(Outcome::Later(reply.words(), after)),
        _ => Ok(reply),
    }
}

/// The answer to a request that carries a batch.
#[must_use]
pub fn of_batch(answer: &Result<Reply, NoAnswer>) -> Outcome {
    let reply = match in_general(answer) {
        Ok(reply) => reply,
        Err(outcome) => return outcome,
    };
    match (reply.status, reply.header("location")) {
        (202, Some(location)) => Outcome::Accepted(location.to_owned()),
        (202, None) => Outcome::NotUnderstood("202 without the address of a capture job".to_owned()),
        (200 | 201 | 204, _) => Outcome::Stored,
        (400 | 422, _) => Outcome::Refused(reply.words()),
        (409, _) => Outcome::Exists(reply.words()),
        (413, _) => Outcome::TooLarge(Limits::of(reply), reply.words()),
        _ => Outcome::NotUnderstood(reply.words()),
    }
}

/// The answer to a question about a capture job that was to be stored wholly or not at all.
#[must_use]
pub fn of_job(answer: &Result<Reply, NoAnswer>) -> Outcome {
    let reply = match in_general(answer) {
        Ok(reply) => reply,
        Err(outcome) => return outcome,
    };
    if matches!(reply.status, 404 | 410) {
        return Outcome::JobUnknown;
    }
    let job: Option<Value> = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200);
    let flag = |name: &str| job.as_ref().and_then(|job| job.get(name)).and_then(Value::as_bool);
    match (flag("running"), flag("success")) {
        (Some(true), _) => Outcome::Running,
        (Some(false), Some(true)) => Outcome::Stored,
        (Some(false), Some(false)) => job.as_ref().map_or(Outcome::Running, failed),
        _ => Outcome::NotUnderstood(format!("not a capture job: {}", reply.words())),
    }
}

/// A failed job: the backend's own fault passes, the content's does not.
fn failed(job: &Value) -> Outcome {
    let none = Vec::new();
    let errors = job.get("errors").and_then(Value::as_array).unwrap_or(&none);
    let kind = |error: &Value, name: &str| error.get("type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with(name));
    let own_fault = |error: &Value| {
        kind(error, "ImplementationException") || error.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 500)
    };
    let words = match errors.first() {
        Some(first) => one_line(&problem_words(first)),
        None => one_line(&job.get("errorFile").map_or_else(|| "the capture job failed without a reason".to_owned(), problem_words)),
    };
    if !errors.is_empty() && errors.iter().all(own_fault) {
        Outcome::Later(words, None)
    } else if !errors.is_empty() && errors.iter().all(|error| kind(error, "ResourceAlreadyExistsException")) {
        Outcome::Exists(words)
    } else {
        Outcome::Refused(words)
    }
}

/// The answer to the question whether something that "exists" is there: `Stored`, or why that is not known.
///
/// The backend's first word counts unless it plainly contradicts itself: whoever may write but not read, and whoever has no
/// such question at all, gets no better answer.
#[must_use]
pub fn of_lookup(answer: &Result<Reply, NoAnswer>) -> Outcome {
    match in_general(answer) {
        Err(Outcome::Denied(_)) => Outcome::Stored,
        Err(outcome) => outcome,
        Ok(_) if is_missing(answer) => Outcome::Later("the backend says the record exists, and does not have it".to_owned(), None),
        Ok(_) => Outcome::Stored,
    }
}

/// True if the answer says plainly that what was asked for is not there. Everything else says nothing: whoever may write but not read
/// gets no better answer, and a repository without this question answers 404 as well, but with no such problem.
#[must_use]
pub fn is_missing(answer: &Result<Reply, NoAnswer>) -> bool {
    answer.as_ref().is_ok_and(|reply| reply.status == 404 && reply.problem().ends_with("NoSuchResourceException"))
}

/// The answer to `OPTIONS /capture`: limits, or what is in the way. A backend without discovery has no announced limits.
pub fn of_discovery(answer: &Result<Reply, NoAnswer>) -> Result<Limits, Outcome> {
    let reply = in_general(answer)?;
    let speaks = |name: &str, fits: fn((u32, u32)) -> bool| reply.header(name).and_then(version).is_none_or(fits);
    match reply.status {
        200..=299 if !speaks("gs1-epcis-min", |min| min <= (2, 0)) || !speaks("gs1-epcis-max", |max| max >= (2, 0)) => {
            Err(Outcome::NotUnderstood("the backend does not speak EPCIS 2.0".to_owned()))
        }
        200..=299 => Ok(Limits::of(reply)),
        404 | 405 | 501 => Ok(Limits::default()),
        _ => Err(Outcome::NotUnderstood(reply.words())),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next().unwrap_or(Ok(0)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Reply, NoAnswer> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Reply { status, headers, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn every_answer_to_a_batch_has_one_meaning() {
        let no_answer = of_batch(&Err(NoAnswer("timeout".to_owned())));
        assert_eq!(no_answer, Outcome::Later("no answer: timeout".to_owned(), None));
        assert_eq!(of_batch(&reply(202, &[("location", "/capture/1")], "")), Outcome::Accepted("/capture/1".to_owned()));
        assert!(matches!(of_batch(&reply(202, &[], "")), Outcome::NotUnderstood(_)));
        assert_eq!(of_batch(&reply(429, &[("retry-after", "7")], "")), Outcome::Later("429".to_owned(), Some(Duration::from_secs(7))));
        for (status, want) in [
            (200, "Stored"),
            (400, "Refused"),
            (422, "Refused"),
            (401, "Denied"),
            (403, "Denied"),
            (404, "NotUnderstood"),
            (405, "NotUnderstood"),
            (301, "NotUnderstood"),
            (406, "NotUnderstood"),
            (415, "NotUnderstood"),
            (409, "Exists"),
            (413, "TooLarge"),
            (500, "Later"),
            (501, "NotUnderstood"),
            (503, "Later"),
            (408, "Later"),
        ] {
            let got = format!("{:?}", of_batch(&reply(status, &[], "")));
            assert!(got.starts_with(want), "{status}: {got}");
        }
        let limits = Limits { events: Some(50), bytes: Some(1000) };
        let headers = [("gs1-epcis-capture-limit", "50"), ("gs1-epcis-capture-file-size-limit", "1000")];
        assert_eq!(of_batch(&reply(413, &headers, "")), Outcome::TooLarge(limits, "413".to_owned()));
    }

    #[test]
    fn a_job_is_stored_only_when_it_says_so() {
        let job = |body: &str| of_job(&reply(200, &[], body));
        assert_eq!(job(r#"{"running":true,"success":true}"#), Outcome::Running);
        assert_eq!(job(r#"{"running":false,"success":true}"#), Outcome::Stored);
        assert!(matches!(job(r#"{"running":false}"#), Outcome::NotUnderstood(_)));
        assert!(matches!(job("[]"), Outcome::NotUnderstood(_)));
        assert_eq!(of_job(&reply(404, &[], "")), Outcome::JobUnknown);
        let failed = |kind: &str| {
            job(&format!(
                r#"{{"running":false,"success":false,"errors":[{{"type":"epcisException:{kind}","title":"no","detail":"why"}}]}}"#
            ))
        };
        assert_eq!(failed("ValidationException"), Outcome::Refused("no: why".to_owned()));
        assert_eq!(failed("ImplementationException"), Outcome::Later("no: why".to_owned(), None));
        assert_eq!(failed("ResourceAlreadyExistsException"), Outcome::Exists("no: why".to_owned()));
        assert!(matches!(job(r#"{"running":false,"success":false}"#), Outcome::Refused(_)));
    }

    #[test]
    fn what_exists_is_believed_unless_the_backend_contradicts_itself() {
        assert_eq!(of_lookup(&reply(200, &[], "{}")), Outcome::Stored);
        assert_eq!(of_lookup(&reply(404, &[], "no such page")), Outcome::Stored);
        assert_eq!(of_lookup(&reply(403, &[], "")), Outcome::Stored);
        assert!(matches!(of_lookup(&reply(404, &[], r#"{"type":"epcisException:NoSuchResourceException"}"#)), Outcome::Later(..)));
        assert!(matches!(of_lookup(&reply(503, &[], "")), Outcome::Later(..)));
    }

    #[test]
    fn discovery_reads_limits_and_refuses_another_version() {
        let limits =
            of_discovery(&reply(204, &[("gs1-epcis-capture-limit", "9"), ("gs1-epcis-min", "1.2"), ("gs1-epcis-max", "2.0.0")], ""));
        assert_eq!(limits, Ok(Limits { events: Some(9), bytes: None }));
        assert!(matches!(of_discovery(&reply(204, &[("gs1-epcis-max", "1.2.0")], "")), Err(Outcome::NotUnderstood(_))));
        assert_eq!(of_discovery(&reply(405, &[], "")), Ok(Limits::default()));
        assert!(matches!(of_discovery(&reply(401, &[], "")), Err(Outcome::Denied(_))));
    }
}
