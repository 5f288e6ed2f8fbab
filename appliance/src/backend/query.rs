//! Questions about captured events: the parameters of the EPCIS query interface that this server knows.
//!
//! Invariant: a parameter that is not known is refused, never ignored: an answer to another question is worse than none.

use super::capture::{Events, Row};
use super::check::instant;
use crate::upload::epcis::EPCIS_CONTEXT;
use serde_json::{Value, json};
use std::io;

/// Events on a page unless asked otherwise (the standard's default).
const PER_PAGE: usize = 30;
/// Most events on a page.
const PER_PAGE_MAX: usize = 1000;

/// A question, understood.
#[derive(Debug)]
pub(super) struct Query {
    types: Option<Vec<String>>,
    biz_steps: Option<Vec<String>>,
    dispositions: Option<Vec<String>>,
    event_ids: Option<Vec<String>>,
    epcs: Option<Vec<String>>,
    from: i64,
    before: i64,
    page: Page,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Index of the first candidate.
    pub start: usize,
    /// Most items.
    pub size: usize,
}

impl Page {
    /// `perPage` and `nextPageToken`; the other parameters come back.
    pub(super) fn of(query: &str) -> Result<(Self, Vec<(String, String)>), String> {
        let mut page = Self { start: 0, size: PER_PAGE };
        let mut others = Vec::new();
        for (name, value) in parameters(query)? {
            let number = || value.parse::<usize>().map_err(|_| format!("{name}: {value:?} is not a number that this server gave"));
            match name.as_str() {
                "perPage" => page.size = number()?.clamp(1, PER_PAGE_MAX),
                "nextPageToken" => page.start = number()?,
                _ => others.push((name, value)),
            }
        }
        Ok((page, others))
    }
}

impl Query {
    /// Reads the part of the address after the `?`.
    pub(super) fn of(query: &str) -> Result<Self, String> {
        let (page, others) = Page::of(query)?;
        let (from, before) = (i64::MIN, i64::MAX);
        let mut asked = Self { types: None, biz_steps: None, dispositions: None, event_ids: None, epcs: None, from, before, page };
        for (name, value) in others {
            let time = || instant(&value).ok_or_else(|| format!("{name}: {value:?} is not a date and time with a zone"));
            let list = || Some(value.split('|').map(str::to_owned).collect());
            match name.as_str() {
                "eventType" => asked.types = list(),
                "EQ_bizStep" => asked.biz_steps = list(),
                "EQ_disposition" => asked.dispositions = list(),
                "EQ_eventID" => asked.event_ids = list(),
                "MATCH_anyEPC" => asked.epcs = list(),
                "GE_eventTime" => asked.from = time()?,
                "LT_eventTime" => asked.before = time()?,
                _ => return Err(format!("{name}: this server does not know this parameter")),
            }
        }
        Ok(asked)
    }

    /// One page of events, and where the next one starts if there is one.
    pub(super) fn page(&self, events: &Events) -> io::Result<(Vec<Value>, Option<usize>)> {
        let by_name: Option<Vec<usize>> = self.event_ids.as_ref().map(|ids| {
            let mut rows: Vec<usize> = ids.iter().flat_map(|id| events.named(id)).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        });
        let candidates: Box<dyn Iterator<Item = usize>> = match by_name {
            Some(rows) => Box::new(rows.into_iter().filter(|row| *row >= self.page.start)),
            None => Box::new(self.page.start..events.rows().len()),
        };
        let mut found = Vec::new();
        for row in candidates.filter(|row| events.rows().get(*row).is_some_and(|row| self.fits(row))) {
            if found.len() == self.page.size {
                return Ok((found, Some(row)));
            }
            found.push(events.read(row)?);
        }
        Ok((found, None))
    }

    fn fits(&self, row: &Row) -> bool {
        let word = |wanted: &Option<Vec<String>>, index: usize| {
            let has = |wanted: &Vec<String>| row.words[index].as_deref().is_some_and(|word| wanted.iter().any(|one| one == word));
            wanted.as_ref().is_none_or(has)
        };
        let epc = |wanted: &Vec<String>| wanted.iter().any(|pattern| row.epcs.iter().any(|epc| matches(pattern, epc)));
        (self.from..self.before).contains(&row.micros)
            && word(&self.types, 0)
            && word(&self.biz_steps, 1)
            && word(&self.dispositions, 2)
            && self.epcs.as_ref().is_none_or(epc)
    }
}

/// EPC patterns (EPCIS 2.0 §8.2.7.1.1): the same URI, or `*` in place of the last part.
fn matches(pattern: &str, epc: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => epc.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.contains('.')),
        None => pattern == epc,
    }
}

/// An `EPCISQueryDocument` of `found`.
pub(super) fn document(found: &[Value], events: &Events, now: &str) -> Value {
    json!({
        "@context": [EPCIS_CONTEXT, events.prefixes], "type": "EPCISQueryDocument", "schemaVersion": "2.0", "creationDate": now,
        "epcisBody": { "queryResults": { "queryName": "SimpleEventQuery", "resultsBody": { "eventList": found } } },
    })
}

/// Name and value of each parameter, percent-decoded. A `+` stays a plus: times with zones carry one.
fn parameters(query: &str) -> Result<Vec<(String, String)>, String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Undoes percent-encoding.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok()).filter(|two| !two.starts_with('+'));
        bytes.push(digits.and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or_else(wrong)?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_and_nonsense_are_refused() {
        assert!(Query::of("EQ_bizStep=inspecting&perPage=5").is_ok());
        assert!(Query::of("GE_eventTime=2026-11-22T00:00:00%2B08:00").is_ok());
        for bad in
            ["EQ_bizstep=inspecting", "GE_eventTime=yesterday", "perPage=many", "EQ_bizStep=%zz", "EQ_bizStep=%f", "nextPageToken=-1"]
        {
            assert!(Query::of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_one_last_part() {
        assert!(matches("urn:epc:id:sgtin:1.2.*", "urn:epc:id:sgtin:1.2.77"));
        assert!(!matches("urn:epc:id:sgtin:1.*", "urn:epc:id:sgtin:1.2.77"));
        assert!(!matches("urn:epc:id:sgtin:1.2.7", "urn:epc:id:sgtin:1.2.77"));
    }
}
