//! Grades: batches in, each piece's grade kept exactly once. The interface is `grading-openapi.json`.
//!
//! Invariants: a batch is kept wholly or not at all; a grade that is there already with the same content is recognised; a piece
//! that nobody judged has no grade.

use super::capture::digest;
use super::check::instant;
use super::query::Page;
use super::shelf::{Kept, Shelf, Span};
use crate::upload::uri::is_uri;
use serde::Deserialize;
use serde_json::{Value, json};
use station::units::Digest;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Answers that are remembered by their idempotency key. One costs about 200 bytes; the oldest is forgotten.
const KEYS_MAX: usize = 4096;

/// Why a batch was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Something about the batch: 400.
    Invalid(String),
    /// The key or an id stands for another content: 422.
    Conflict(String),
    /// The disk: 500.
    Disk(io::Error),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Kept now.
    pub stored: usize,
    /// There already.
    pub exists: usize,
}

/// The form of a grade.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the names and types of the fields are the check; what is kept is the JSON itself")]
struct Form {
    id: String,
    line: String,
    station: String,
    result_id: u64,
    piece: u32,
    serial: Option<String>,
    lot: Option<u32>,
    product: String,
    recipe: String,
    verdict: Verdict,
    judged: bool,
    grade: Option<u16>,
    grade_name: Option<String>,
    rubric_version: u16,
    defects: u32,
    reasons: Vec<String>,
    model: Option<String>,
    graded_at: String,
    record_digest: Digest,
    golden: bool,
    supersedes: Option<String>,
    overruled_by: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Pass,
    Reject,
    Hold,
}

/// All grades.
#[derive(Debug)]
pub(super) struct Grades {
    shelf: Shelf,
    rows: Vec<(Span, Digest)>,
    by_id: BTreeMap<String, usize>,
    keys: BTreeMap<String, (u64, Digest, Taken)>,
    keys_made: u64,
    /// Grades that came again.
    pub duplicates_refused: u64,
    /// Lines that could not be read at the start.
    pub lost_lines: u64,
}

impl Grades {
    /// Opens the file of grades.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (mut rows, mut by_id) = (Vec::new(), BTreeMap::new());
        let (shelf, lost_lines) = Shelf::open(path, &mut |kept| {
            if let Kept::Item(span, item) = kept {
                add(&mut rows, &mut by_id, span, &item);
            }
        })?;
        Ok(Self { shelf, rows, by_id, keys: BTreeMap::new(), keys_made: 0, duplicates_refused: 0, lost_lines })
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Keeps a batch. The same key with the same batch gets the same answer.
    pub(super) fn take(&mut self, key: &str, body: Value, now: &str, refuse: &dyn Fn(&Value) -> Option<String>) -> Result<Taken, Refusal> {
        let content = digest(&body);
        if let Some((_, before, taken)) = self.keys.get(key) {
            let same = *before == content;
            let other = || Refusal::Conflict("this Idempotency-Key came with another batch before".to_owned());
            return same.then_some(Taken { stored: 0, exists: taken.stored + taken.exists }).ok_or_else(other);
        }
        let (news, exists) = self.news_of(body, refuse)?;
        if !news.is_empty() {
            let spans = self.shelf.append(&news, json!({ "at": now })).map_err(Refusal::Disk)?;
            for (span, item) in spans.into_iter().zip(&news) {
                add(&mut self.rows, &mut self.by_id, span, item);
            }
        }
        self.duplicates_refused += u64::try_from(exists).unwrap_or(u64::MAX);
        let taken = Taken { stored: news.len(), exists };
        self.remember(key, content, taken);
        Ok(taken)
    }

    fn news_of(&self, mut body: Value, refuse: &dyn Fn(&Value) -> Option<String>) -> Result<(Vec<Value>, usize), Refusal> {
        let only_grades = body.as_object().is_some_and(|fields| fields.len() == 1);
        let list = body.get_mut("grades").map(Value::take).filter(|_| only_grades);
        let Some(Value::Array(list)) = list else { return Err(Refusal::Invalid("the body must be {\"grades\": […]}".to_owned())) };
        let mut news: Vec<Value> = Vec::with_capacity(list.len());
        let mut exists = 0;
        for (index, item) in list.into_iter().enumerate() {
            if let Some(problem) = problem_of(&item).or_else(|| refuse(&item)) {
                return Err(Refusal::Invalid(format!("grades[{index}]: {problem}")));
            }
            let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
            let here = self.by_id.get(id).and_then(|row| self.rows.get(*row)).map(|(_, digest)| *digest);
            let before = here.or_else(|| news.iter().find(|other| other.get("id") == item.get("id")).map(digest));
            match before {
                None => news.push(item),
                Some(before) if before == digest(&item) => exists += 1,
                Some(_) => return Err(Refusal::Conflict(format!("grades[{index}]: {id} was graded before, differently"))),
            }
        }
        Ok((news, exists))
    }

    fn remember(&mut self, key: &str, content: Digest, taken: Taken) {
        self.keys_made += 1;
        self.keys.insert(key.to_owned(), (self.keys_made, content, taken));
        if self.keys.len() > KEYS_MAX {
            let oldest = self.keys.iter().min_by_key(|(_, (made, _, _))| *made).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.keys.remove(&key));
        }
    }

    /// The grade of this id.
    pub(super) fn named(&self, id: &str) -> Option<io::Result<Value>> {
        let (span, _) = self.rows.get(*self.by_id.get(id)?)?;
        Some(self.shelf.read(*span))
    }

    /// One page of grades, and where the next one starts if there is one.
    pub(super) fn page(&self, page: Page) -> io::Result<(Vec<Value>, Option<usize>)> {
        let end = self.rows.len().min(page.start.saturating_add(page.size));
        let rows = self.rows.get(page.start..end).unwrap_or_default();
        let items: io::Result<Vec<Value>> = rows.iter().map(|(span, _)| self.shelf.read(*span)).collect();
        Ok((items?, (end < self.rows.len()).then_some(end)))
    }
}

fn add(rows: &mut Vec<(Span, Digest)>, by_id: &mut BTreeMap<String, usize>, span: Span, item: &Value) {
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    by_id.insert(id, rows.len());
    rows.push((span, digest(item)));
}

fn problem_of(item: &Value) -> Option<String> {
    let form: Form = match Form::deserialize(item) {
        Ok(form) => form,
        Err(error) => return Some(error.to_string()),
    };
    let graded = form.grade.is_some() || form.grade_name.is_some();
    if !is_uri(&form.id) || form.supersedes.as_deref().is_some_and(|id| !is_uri(id)) {
        Some("id, supersedes: must be absolute URIs".to_owned())
    } else if form.supersedes.is_some() != form.overruled_by.is_some() {
        Some("supersedes and overruled_by: go together".to_owned())
    } else if instant(&form.graded_at).is_none() {
        Some("graded_at: must be a date and time with a zone (RFC 3339)".to_owned())
    } else if form.judged == (form.verdict == Verdict::Hold) {
        Some("verdict: a piece is on hold if, and only if, nobody judged it".to_owned())
    } else if !form.judged && graded {
        Some("grade: a piece that nobody judged has no grade".to_owned())
    } else if form.grade == Some(0) || form.lot == Some(0) || form.result_id == 0 {
        Some("grade, lot, result_id: counted from 1".to_owned())
    } else {
        None
    }
}
