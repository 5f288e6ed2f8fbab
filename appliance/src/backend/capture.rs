//! Capture: documents in, jobs out, each event kept exactly once.
//!
//! Invariants: a job with `rollback` keeps all its events or none; an event that is there already with the same content is
//! recognised and not kept again; one `eventID` never names two contents.

use super::check;
use super::shelf::{Kept, Shelf, Span};
use crate::upload::uri;
use serde_json::{Value, json};
use station::units::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Finished jobs that can still be asked about. One costs about 500 bytes; the oldest is forgotten.
const JOBS_MAX: usize = 10_000;

/// What is known of a kept event without reading it.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it lies.
    pub span: Span,
    /// Digest of its content.
    digest: Digest,
    /// When it happened, microseconds since 1970.
    pub micros: i64,
    /// `type`, `bizStep`, `disposition`, `action`.
    pub words: [Option<Box<str>>; 4],
    /// What `persistentDisposition` sets, and what it unsets.
    pub persistent: [Vec<Box<str>>; 2],
    /// When it was captured, microseconds since 1970.
    pub recorded: i64,
    /// It declares the event of its name wrong.
    pub declares: bool,
    /// Classes of things it names, as lots.
    pub classes: Vec<Box<str>>,
    /// Everything it names: pieces, parents, inputs, outputs.
    pub epcs: Vec<Box<str>>,
}

/// All captured events.
#[derive(Debug)]
pub(super) struct Events {
    shelf: Shelf,
    index: Index,
    /// Extension prefixes in use.
    pub prefixes: BTreeMap<String, String>,
    jobs: BTreeMap<u64, Value>,
    job_prefix: String,
    jobs_made: u64,
    /// Events that came again.
    pub duplicates_refused: u64,
    /// Lines that could not be read at the start.
    pub lost_lines: u64,
}

/// Where events are found.
#[derive(Debug, Default)]
struct Index {
    /// In order of capture.
    rows: Vec<Row>,
    /// By `eventID`, and whether it declares an error about the event of that name.
    by_id: BTreeMap<(String, bool), usize>,
}

/// How a job treats errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// All or nothing.
    Rollback,
    /// As much as possible.
    Proceed,
}

/// One event on its way onto the shelf.
struct Incoming {
    key: (String, bool),
    digest: Digest,
    event: Value,
}

impl Events {
    /// Opens the file of events. `job_prefix` keeps the job numbers of different starts apart.
    pub(super) fn open(path: &Path, job_prefix: String) -> io::Result<Self> {
        let mut index = Index::default();
        let mut prefixes = BTreeMap::new();
        let mut jobs: BTreeMap<u64, Value> = BTreeMap::new();
        let (shelf, lost_lines) = Shelf::open(path, &mut |kept| match kept {
            Kept::Item(span, event) => {
                let recorded = recorded_at(&event);
                index.add(span, &Incoming::of(event), recorded);
            }
            Kept::Commit(commit) => {
                let declared = commit.get("prefixes").and_then(Value::as_object).into_iter().flatten();
                prefixes.extend(declared.filter_map(|(prefix, meaning)| Some((prefix.clone(), meaning.as_str()?.to_owned()))));
                if let Some(job) = commit.get("job") {
                    jobs.insert(jobs.last_key_value().map_or(0, |(last, _)| *last) + 1, job.clone());
                    forget_oldest(&mut jobs);
                }
            }
        })?;
        let jobs_made = jobs.last_key_value().map_or(0, |(last, _)| *last);
        Ok(Self { shelf, index, prefixes, jobs, job_prefix, jobs_made, duplicates_refused: 0, lost_lines })
    }

    /// Runs a capture job and returns the path at which it can be asked about. `unwilling` events fail as the server's fault.
    pub(super) fn capture(
        &mut self,
        document: check::Sound,
        behaviour: Behaviour,
        now: &str,
        refuse: &dyn Fn(&Value) -> Option<String>,
        unwilling: bool,
    ) -> String {
        let mut errors = Vec::new();
        let mut news: Vec<Incoming> = Vec::new();
        let mut exists = 0_u64;
        let willing = if unwilling { document.events.len() / 2 } else { usize::MAX };
        for (index, event) in document.events.into_iter().enumerate() {
            let mut problems = check::event(&event, &document.prefixes);
            problems.extend(refuse(&event));
            let incoming = Incoming::of(event);
            if let Some(first) = problems.first() {
                errors.push(error("ValidationException", 400, "The event is not valid", &incoming.key.0, first));
            } else if index >= willing {
                errors.push(error("ImplementationException", 500, "The event could not be kept", &incoming.key.0, "told to misbehave"));
            } else {
                match self.known(&incoming, &news) {
                    None => news.push(incoming),
                    Some(true) => exists += 1,
                    Some(false) => {
                        let detail = "its eventID belongs to an event with other content";
                        errors.push(error("ValidationException", 400, "The eventID is taken", &incoming.key.0, detail));
                    }
                }
            }
        }
        // Told to misbehave, the server also breaks its promise of all or nothing: what it took stays.
        if behaviour == Behaviour::Rollback && !errors.is_empty() && !unwilling {
            news.clear();
        }
        self.duplicates_refused += exists;
        let job = |stored: usize, errors: &[Value], id: &str| {
            json!({
                "captureID": id, "createdAt": now, "finishedAt": now, "running": false, "success": errors.is_empty(),
                "captureErrorBehaviour": if behaviour == Behaviour::Rollback { "rollback" } else { "proceed" },
                "errors": errors, "jidoka:stored": stored, "jidoka:exists": exists,
            })
        };
        self.jobs_made += 1;
        let id = format!("{}-{}", self.job_prefix, self.jobs_made);
        let mut finished = job(news.len(), &errors, &id);
        if let Err(failure) = self.keep(&news, document.prefixes, now, &finished) {
            tracing::error!(error = %failure, "captured events could not be kept");
            errors.push(error("ImplementationException", 500, "The events could not be kept", "", &failure.to_string()));
            finished = job(0, &errors, &id);
        }
        self.jobs.insert(self.jobs_made, finished);
        forget_oldest(&mut self.jobs);
        id
    }

    /// `None`: not here. `Some(true)`: here with the same content. `Some(false)`: the name is taken by another content.
    fn known(&self, incoming: &Incoming, news: &[Incoming]) -> Option<bool> {
        let kept = self.index.by_id.get(&incoming.key).and_then(|row| self.index.rows.get(*row)).map(|row| row.digest);
        let same = || news.iter().find(|other| other.key == incoming.key).map(|other| other.digest);
        kept.or_else(same).map(|digest| digest == incoming.digest)
    }

    /// Keeps the events and, in the line that commits them, the job: it can be asked about after a restart too.
    fn keep(&mut self, news: &[Incoming], prefixes: BTreeMap<String, String>, now: &str, job: &Value) -> io::Result<()> {
        let mut lines = Vec::with_capacity(news.len());
        for incoming in news.iter() {
            let mut event = incoming.event.clone();
            if let Some(fields) = event.as_object_mut() {
                fields.insert("eventID".to_owned(), incoming.key.0.clone().into());
                fields.insert("recordTime".to_owned(), now.into());
            }
            lines.push(event);
        }
        let prefixes = if news.is_empty() { BTreeMap::new() } else { prefixes };
        let spans = self.shelf.append(&lines, json!({ "at": now, "prefixes": prefixes, "job": job }))?;
        for ((span, incoming), line) in spans.into_iter().zip(news).zip(&lines) {
            self.index.add(span, incoming, recorded_at(line));
        }
        self.prefixes.extend(prefixes);
        Ok(())
    }

    /// One page of jobs, the oldest that is remembered first, and where the next one starts if there is one.
    pub(super) fn jobs(&self, start: usize, size: usize) -> (Vec<&Value>, Option<usize>) {
        let from = u64::try_from(start).unwrap_or(u64::MAX);
        let mut jobs = self.jobs.range(from..);
        let page: Vec<&Value> = jobs.by_ref().take(size).map(|(_, job)| job).collect();
        (page, jobs.next().and_then(|(number, _)| usize::try_from(*number).ok()))
    }

    /// What is known of every kept event, in order of capture.
    pub(super) fn rows(&self) -> &[Row] {
        &self.index.rows
    }

    /// The job of this id.
    pub(super) fn job(&self, id: &str) -> Option<&Value> {
        self.jobs.values().rev().find(|job| job.get("captureID").and_then(Value::as_str) == Some(id))
    }

    /// The rows of an `eventID`: the event, and the error declared about it.
    pub(super) fn named(&self, id: &str) -> Vec<usize> {
        [false, true].into_iter().filter_map(|declares| self.index.by_id.get(&(id.to_owned(), declares)).copied()).collect()
    }

    /// The event of a row.
    pub(super) fn read(&self, row: usize) -> io::Result<Value> {
        let row = self.index.rows.get(row).ok_or_else(|| io::Error::other("no such row"))?;
        self.shelf.read(row.span)
    }

    /// A prefix of the document that means something else here already.
    pub(super) fn clash(&self, prefixes: &BTreeMap<String, String>) -> Option<String> {
        let differs = |(prefix, meaning): (&String, &String)| {
            let here = self.prefixes.get(prefix).filter(|here| *here != meaning)?;
            Some(format!("@context: the prefix {prefix} stands for {here} here, not for {meaning}"))
        };
        prefixes.iter().find_map(differs)
    }
}

impl Index {
    fn add(&mut self, span: Span, incoming: &Incoming, recorded: i64) {
        let event = &incoming.event;
        let text = |name: &str| event.get(name).and_then(Value::as_str).map(Box::from);
        let lists = ["epcList", "childEPCs", "inputEPCList", "outputEPCList"];
        let listed = lists.iter().filter_map(|name| event.get(*name)?.as_array()).flatten().filter_map(Value::as_str);
        let epcs = listed.chain(event.get("parentID").and_then(Value::as_str)).map(Box::from).collect();
        let micros = event.get("eventTime").and_then(Value::as_str).and_then(check::instant).unwrap_or_default();
        let words = [text("type"), text("bizStep"), text("disposition"), text("action")];
        let part = |name: &str| event.get("persistentDisposition").and_then(|persistent| persistent.get(name)?.as_array());
        let persistent = ["set", "unset"].map(|name| part(name).into_iter().flatten().filter_map(Value::as_str).map(Box::from).collect());
        let lists = ["quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"];
        let listed = lists.iter().filter_map(|name| event.get(*name)?.as_array()).flatten();
        let classes = listed.filter_map(|quantity| quantity.get("epcClass")?.as_str()).map(Box::from).collect();
        self.by_id.insert(incoming.key.clone(), self.rows.len());
        let declares = incoming.key.1;
        self.rows.push(Row { span, digest: incoming.digest, micros, words, persistent, recorded, declares, classes, epcs });
    }
}

fn forget_oldest(jobs: &mut BTreeMap<u64, Value>) {
    while jobs.len() > JOBS_MAX {
        jobs.pop_first();
    }
}

fn recorded_at(event: &Value) -> i64 {
    event.get("recordTime").and_then(Value::as_str).and_then(check::instant).unwrap_or_default()
}

impl Incoming {
    /// An event without a name gets one from its content, so that it is recognised when it comes again.
    fn of(mut event: Value) -> Self {
        if let Some(fields) = event.as_object_mut() {
            fields.remove("recordTime");
        }
        let given = event.get("eventID").and_then(Value::as_str).map(str::to_owned);
        let declares = event.get("errorDeclaration").is_some();
        let id = given.unwrap_or_else(|| uri::uuid(&[b"event", &digest(&event).0]));
        if let Some(fields) = event.as_object_mut() {
            fields.insert("eventID".to_owned(), id.clone().into());
        }
        Self { key: (id, declares), digest: digest(&event), event }
    }
}

/// A digest that does not depend on the order in which fields were written.
pub(super) fn digest(value: &Value) -> Digest {
    let mut text = Vec::new();
    canonical(value, &mut text);
    Digest::of(&text)
}

fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            out.push(b'{');
            for name in fields.keys().collect::<BTreeSet<_>>() {
                out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
                out.push(b':');
                canonical(&fields[name], out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(list) => {
            out.push(b'[');
            for item in list {
                canonical(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn error(kind: &str, status: u16, title: &str, event_id: &str, detail: &str) -> Value {
    let mut problem = json!({ "type": format!("epcisException:{kind}"), "title": title, "status": status, "detail": detail });
    if !event_id.is_empty() {
        problem["instance"] = event_id.into();
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_does_not_change_an_event() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#).unwrap();
        let three: Value = serde_json::from_str(r#"{"b":{"d":"x","c":[2,1]},"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
        assert_ne!(digest(&one), digest(&three));
    }
}
