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
#[derive(Debug, Default)]
pub(super) struct Query {
    /// `eventType`, `EQ_bizStep`, `EQ_disposition`, `EQ_action`.
    words: [Option<Vec<String>>; 4],
    /// `EQ_persistentDisposition_set`, `EQ_persistentDisposition_unset`.
    persistent: [Option<Vec<String>>; 2],
    event_ids: Option<Vec<String>>,
    epcs: Option<Vec<String>>,
    classes: Option<Vec<String>>,
    /// Only events that declare an error.
    declares: bool,
    /// `GE_` and `LT_` of `eventTime`, then of `recordTime`.
    times: [(Option<i64>, Option<i64>); 2],
    page: Page,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
        let mut asked = Self { page, ..Self::default() };
        for (name, value) in others {
            let time = || instant(&value).ok_or_else(|| format!("{name}: {value:?} is not a date and time with a zone"));
            let list = || Some(value.split('|').map(str::to_owned).collect());
            match name.as_str() {
                "eventType" => asked.words[0] = list(),
                "EQ_bizStep" => asked.words[1] = list(),
                "EQ_disposition" => asked.words[2] = list(),
                "EQ_action" => asked.words[3] = list(),
                "EQ_persistentDisposition_set" => asked.persistent[0] = list(),
                "EQ_persistentDisposition_unset" => asked.persistent[1] = list(),
                "EQ_eventID" => asked.event_ids = list(),
                "MATCH_anyEPC" => asked.epcs = list(),
                "MATCH_anyEPCClass" => asked.classes = list(),
                // A flag: it has no value, and `true` is what some clients write.
                "EXISTS_errorDeclaration" if value.is_empty() || value == "true" => asked.declares = true,
                "GE_eventTime" => asked.times[0].0 = Some(time()?),
                "LT_eventTime" => asked.times[0].1 = Some(time()?),
                "GE_recordTime" => asked.times[1].0 = Some(time()?),
                "LT_recordTime" => asked.times[1].1 = Some(time()?),
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
        let is_one_of = |wanted: &[String], word: &str| wanted.iter().any(|one| one == word);
        let words = self.words.iter().zip(&row.words).all(|(wanted, word)| {
            let Some(wanted) = wanted else { return true };
            word.as_deref().is_some_and(|word| is_one_of(wanted, word))
        });
        let persistent = self.persistent.iter().zip(&row.persistent).all(|(wanted, words)| {
            let Some(wanted) = wanted else { return true };
            words.iter().any(|word| is_one_of(wanted, word))
        });
        let matches = |wanted: &Option<Vec<String>>, names: &[Box<str>]| {
            let Some(wanted) = wanted else { return true };
            wanted.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
        };
        let within = |(from, before): (Option<i64>, Option<i64>), at: i64| {
            from.is_none_or(|from| from <= at) && before.is_none_or(|before| at < before)
        };
        words
            && persistent
            && within(self.times[0], row.micros)
            && within(self.times[1], row.recorded)
            && (row.declares || !self.declares)
            && matches(&self.epcs, &row.epcs)
            && matches(&self.classes, &row.classes)
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
