//! Questions over the web API: a page of records at a time, newest first, and the whole answer as a download.
//!
//! Invariants: one page costs the same however many records there are, since no more than `LOOK_MAX` rows are looked at for it; a page
//! without records but with `next` is no end. A cursor belongs to its question: with another one it is refused, because the
//! records between would be missing without a word.

use super::described::{Known, whole};
use super::words::{self, Misread, Wrong};
use super::{Shelf, export, genealogy};
use crate::store::rows::question::Question;
use crate::store::{Store, StoreError};
use serde_json::{Value, json};
use station::decision::ResultRange;
use std::io::Write;
use std::sync::Arc;
use web_ui::{Export, Objection, Writing};

/// Rows looked at for one page: some tenth of a second.
pub const LOOK_MAX: u64 = 200_000;
/// Records on one page, unless `limit` says otherwise.
const LIMIT: usize = 50;
/// Most records on one page: each is read from the ledger.
const LIMIT_MAX: usize = 200;
/// Ranges of records that an answer for a recall names.
const RANGES_MAX: usize = 10_000;

/// Asks a store for the page.
#[derive(Debug, Clone)]
pub struct Asking {
    store: Arc<Store>,
    known: Arc<Known>,
    look_max: u64,
}

impl Asking {
    /// Questions to this store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, known: Arc::default(), look_max: LOOK_MAX }
    }

    /// The same, looking at no more than so many rows for one page.
    #[must_use]
    pub fn looking_at(self, look_max: u64) -> Self {
        Self { look_max, ..self }
    }

    /// One page of records. Besides what a question says, `pairs` may hold `limit` and `cursor`.
    ///
    /// # Errors
    /// What cannot be meant, or an index that cannot be read.
    pub fn page(&self, pairs: &[(String, String)]) -> Result<Value, Objection> {
        let asked = Asked::read(pairs)?;
        let part = self.store.search_part(&asked.question, asked.from, asked.limit, self.look_max).map_err(objection)?;
        let described = self.known.of(&self.store).map_err(objection)?;
        let line = |result_id: &u64| {
            let Some(entry) = whole(&*self.store as &dyn Shelf, *result_id) else {
                return json!({"result_id": result_id, "damaged": "this record is damaged in the ledger: run `jidoka verify`"});
            };
            described.line(&entry, part.overruled.get(result_id)).map_or(Value::Null, |line| line.to_json())
        };
        let records: Vec<Value> = part.records.iter().map(line).collect();
        let next = part.next.map(|from| cursor(&asked.question, from));
        Ok(json!({"records": records, "searched": part.searched, "next": next, "criteria": words::criteria(&asked.question)}))
    }

    /// How many records a question finds, and which: what a recall needs to be told.
    ///
    /// # Errors
    /// What cannot be meant, or an index that cannot be read.
    pub fn count(&self, pairs: &[(String, String)]) -> Result<Value, Objection> {
        let question = whole_question(pairs)?;
        let found = self.store.search(&question).map_err(objection)?;
        let mut ranges: Vec<ResultRange> = Vec::new();
        for result_id in &found.records {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == *result_id => range.last = *result_id,
                _ => ranges.push(ResultRange { first: *result_id, last: *result_id }),
            }
        }
        let are_all = ranges.len() <= RANGES_MAX;
        ranges.truncate(RANGES_MAX);
        let criteria = words::criteria(&question);
        let counts = json!({"found": found.records.len(), "searched": found.searched, "overruled": found.overruled.len()});
        Ok(json!({"counts": counts, "lots": found.lots, "results": ranges, "results_complete": are_all, "criteria": criteria}))
    }

    /// Every supplier lot that was ever in use, with its records.
    ///
    /// # Errors
    /// An index that is missing.
    pub fn supplier_lots(&self) -> Result<Value, Objection> {
        genealogy::supplier_lots(&self.store).map_err(objection)
    }

    /// What writes everything that a question finds.
    ///
    /// # Errors
    /// What cannot be meant, or an index that cannot be read; afterwards only what the writer says.
    pub fn export(&self, form: Export, pairs: &[(String, String)]) -> Result<Writing, Objection> {
        let question = whole_question(pairs)?;
        let found = self.store.search(&question).map_err(objection)?;
        let described = self.known.of(&self.store).map_err(objection)?;
        let store = Arc::clone(&self.store);
        Ok(Box::new(move |out: &mut dyn Write| match form {
            Export::Csv => export::write_csv(&*store, &described, &found, out),
            Export::Epcis => export::write_epcis(&*store, &described, &found, jiff::Timestamp::now().to_string(), out),
        }))
    }
}

/// A question and which part of its answer.
#[derive(Debug)]
struct Asked {
    question: Question,
    from: Option<u64>,
    limit: usize,
}

impl Asked {
    fn read(pairs: &[(String, String)]) -> Result<Self, Objection> {
        let is_ours = |name: &str| matches!(name, "limit" | "cursor");
        let pairs = || pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let question = words::question(pairs().filter(|(name, _)| !is_ours(name))).map_err(wrong)?;
        let mut asked = Self { question, from: None, limit: LIMIT };
        for (index, (name, value)) in pairs().enumerate().filter(|(_, (name, _))| is_ours(name)) {
            if pairs().take(index).any(|(earlier, _)| earlier == name) {
                return Err(refused(name, "it is given twice", "give it once"));
            }
            if name == "limit" {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                let error = format!("`{value}` is no number of records");
                asked.limit = limit.ok_or_else(|| refused("limit", &error, &format!("use 1 to {LIMIT_MAX}")))?;
            } else {
                asked.from = Some(from_of(&asked.question, value)?);
            }
        }
        Ok(asked)
    }
}

/// A whole answer has no pages, and is not everything there is.
fn whole_question(pairs: &[(String, String)]) -> Result<Question, Objection> {
    let question = words::question(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).map_err(wrong)?;
    if question.is_empty() {
        return Err(refused(
            "serial",
            "nothing is asked, which would be all records",
            "say what the pieces have in common: lot, since, model …",
        ));
    }
    Ok(question)
}

/// Where the next page begins, marked with the question that it belongs to.
fn cursor(question: &Question, from: u64) -> String {
    format!("{:08x}{from:x}", mark(question))
}

fn from_of(question: &Question, cursor: &str) -> Result<u64, Objection> {
    let both = cursor.split_at_checked(8).filter(|_| cursor.len() <= 24);
    let both = both.and_then(|(mark, from)| Some((u32::from_str_radix(mark, 16).ok()?, u64::from_str_radix(from, 16).ok()?)));
    let refuse = |error: &str| refused("cursor", error, "begin anew without a cursor");
    let (its, from) = both.ok_or_else(|| refuse("it is none of ours"))?;
    if its != mark(question) {
        return Err(refuse("it belongs to another question"));
    }
    Ok(from)
}

fn mark(question: &Question) -> u32 {
    crc32c::crc32c(words::criteria(question).as_bytes())
}

fn refused(parameter: &str, error: &str, mend: &str) -> Objection {
    Objection::Wrong { parameter: parameter.to_owned(), error: error.to_owned(), mend: mend.to_owned() }
}

fn wrong(wrong: Wrong) -> Objection {
    let Wrong { parameter, misread: Misread { error, mend } } = wrong;
    Objection::Wrong { parameter, error, mend }
}

fn objection(error: StoreError) -> Objection {
    match error {
        StoreError::Unknown(unknown) => {
            let mend = if unknown.there_are.is_empty() { "ask without it".to_owned() } else { "use one of those".to_owned() };
            Objection::Wrong { parameter: unknown.parameter().to_owned(), error: unknown.to_string(), mend }
        }
        error => Objection::Unavailable(error.to_string()),
    }
}
