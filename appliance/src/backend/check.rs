//! Whether a document may be captured: structure, vocabulary, formats. Every problem is named with its place.
//!
//! Invariants: a time without a zone, a word that is in no vocabulary and a name that is no URI are refused; so is whatever
//! this server would not keep (master data, event types it does not know).

use super::shape::{EVENT, Form, Others, Shape, TYPES};
use crate::upload::uri::is_uri;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Prefixes that the EPCIS context itself declares.
const GS1_PREFIXES: [&str; 8] = ["cbv", "cbvmda", "dcterms", "epcis", "gs1", "owl", "rdfs", "xsd"];

/// A JSON object.
type Object = Map<String, Value>;

/// A document that may be captured.
#[derive(Debug)]
pub(super) struct Sound {
    /// Its events.
    pub events: Vec<Value>,
    /// The prefixes its `@context` declares.
    pub prefixes: BTreeMap<String, String>,
}

/// Checks the envelope: what must hold before anything is taken. The events are checked one by one by [`event`].
pub(super) fn document(value: Value) -> Result<Sound, String> {
    let Value::Object(mut root) = value else { return Err("the document is not a JSON object".to_owned()) };
    if root.get("type").and_then(Value::as_str) != Some("EPCISDocument") {
        return Err("type: only EPCISDocument is captured here".to_owned());
    }
    let mut checker = Checker::default();
    const KNOWN: [&str; 9] =
        ["@context", "id", "type", "schemaVersion", "creationDate", "instanceIdentifier", "sender", "receiver", "epcisBody"];
    checker.form("@context", root.get("@context").unwrap_or(&Value::Null), Form::Context);
    checker.form("creationDate", root.get("creationDate").unwrap_or(&Value::Null), Form::Time);
    if root.get("schemaVersion").and_then(Value::as_str).is_none_or(|version| version != "2.0" && !version.starts_with("2.0.")) {
        checker.problem("schemaVersion", "must be 2.0");
    }
    for (name, value) in &root {
        match name.as_str() {
            "id" => checker.form("id", value, Form::Uri),
            "instanceIdentifier" | "sender" | "receiver" => checker.form(name, value, Form::Text),
            "epcisHeader" => checker.problem(name, "master data are not kept here; send events only"),
            known if KNOWN.contains(&known) => {}
            other if is_uri(other) => {}
            other => checker.problem(other, "unknown field"),
        }
    }
    let prefixes = root.get("@context").map(prefixes).unwrap_or_default();
    let body = root.get_mut("epcisBody").and_then(|body| body.get_mut("eventList")).map(Value::take);
    match (body, checker.problems.first()) {
        (_, Some(first)) => Err(first.clone()),
        (Some(Value::Array(events)), None) => Ok(Sound { events, prefixes }),
        _ => Err("epcisBody.eventList: must be a list of events".to_owned()),
    }
}

/// Everything that is wrong with one event; empty if it may be kept.
pub(super) fn event(value: &Value, prefixes: &BTreeMap<String, String>) -> Vec<String> {
    let mut checker = Checker { prefixes: prefixes.clone(), problems: Vec::new() };
    let Value::Object(event) = value else { return vec!["the event is not a JSON object".to_owned()] };
    if let Some(context) = event.get("@context") {
        checker.prefixes.extend(self::prefixes(context));
    }
    checker.object("", event, &EVENT);
    checker.event_type(event);
    checker.problems
}

/// The prefixes that a JSON-LD context declares.
fn prefixes(context: &Value) -> BTreeMap<String, String> {
    let parts: Vec<&Value> = context.as_array().map_or_else(|| vec![context], |list| list.iter().collect());
    let declared = parts.into_iter().filter_map(Value::as_object).flatten();
    declared.filter_map(|(prefix, meaning)| Some((prefix.clone(), meaning.as_str()?.to_owned()))).collect()
}

#[derive(Debug, Default)]
struct Checker {
    prefixes: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Checker {
    fn problem(&mut self, place: &str, what: &str) {
        self.problems.push(format!("{place}: {what}"));
    }

    fn object(&mut self, place: &str, object: &Object, shape: &Shape) {
        for required in shape.required {
            if !object.contains_key(*required) {
                self.problem(&below(place, required), "is missing");
            }
        }
        for (name, value) in object {
            let here = below(place, name);
            match (shape.fields.iter().find(|(known, _)| known == name), shape.others) {
                (Some((_, form)), _) => self.form(&here, value, *form),
                (None, Others::Any) => {}
                (None, Others::Extensions) => self.extension(&here, name),
                (None, Others::Refused) => self.problem(&here, "unknown field"),
            }
        }
    }

    /// The name of an extension is a URI, or a term whose prefix the context declares.
    fn extension(&mut self, place: &str, name: &str) {
        let declared = name.split_once(':').is_some_and(|(prefix, rest)| {
            rest.starts_with("//") || prefix == "urn" || GS1_PREFIXES.contains(&prefix) || self.prefixes.contains_key(prefix)
        });
        if !is_uri(name) {
            self.problem(place, "unknown field");
        } else if !declared {
            self.problem(place, "its prefix is not declared in @context");
        }
    }

    fn form(&mut self, place: &str, value: &Value, form: Form) {
        let text = value.as_str();
        let fits = |holds: bool, want: &'static str| (!holds).then_some(want);
        let wrong = match form {
            Form::Text => fits(text.is_some(), "must be text"),
            Form::Uri => fits(text.is_some_and(is_uri), "must be an absolute URI"),
            Form::Time => fits(text.is_some_and(|text| instant(text).is_some()), "must be a date and time with a zone (RFC 3339)"),
            Form::Offset => fits(text.is_some_and(is_offset), "must be an offset such as +08:00"),
            Form::Number => fits(value.is_number(), "must be a number"),
            Form::Flag => fits(value.is_boolean(), "must be true or false"),
            Form::Hex => fits(
                text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
                "must be hexadecimal digits",
            ),
            Form::Uom => fits(text.is_some_and(is_uom), "must be a UN/CEFACT code of two or three characters"),
            Form::Choice(words) => fits(text.is_some_and(|text| words.contains(&text)), "is not one of the words allowed here"),
            Form::Vocabulary(words) => fits(
                text.is_some_and(|text| words.contains(&text) || is_foreign_uri(text)),
                "is in no vocabulary: neither a CBV word nor a URI",
            ),
            Form::Context => fits(is_context(value), "must be a JSON-LD context"),
            Form::Uris | Form::List(..) | Form::Set(..) | Form::Of(_) | Form::Extensions => return self.nested(place, value, form),
        };
        if let Some(want) = wrong {
            self.problem(place, want);
        }
    }

    fn nested(&mut self, place: &str, value: &Value, form: Form) {
        match (form, value) {
            (Form::Uris, Value::Array(_)) => self.nested(place, value, Form::List(&Form::Uri, 0)),
            (Form::Uris, _) => self.form(place, value, Form::Uri),
            (Form::List(item, least) | Form::Set(item, least), Value::Array(list)) => {
                if list.len() < least {
                    self.problem(place, "must not be empty");
                }
                if matches!(form, Form::Set(..)) && (1..list.len()).any(|index| list[..index].contains(&list[index])) {
                    self.problem(place, "names something twice");
                }
                for (index, value) in list.iter().enumerate() {
                    self.form(&format!("{place}[{index}]"), value, *item);
                }
            }
            (Form::Of(shape), Value::Object(object)) => self.object(place, object, shape),
            (Form::Extensions, Value::Object(object)) => object.keys().for_each(|name| self.extension(&below(place, name), name)),
            (Form::List(..) | Form::Set(..), _) => self.problem(place, "must be a list"),
            _ => self.problem(place, "must be an object"),
        }
    }

    /// What an event of its type must say, beyond the form of its fields.
    fn event_type(&mut self, event: &Object) {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some((_, required, foreign)) = TYPES.iter().find(|(known, _, _)| *known == kind) else {
            return self.problem("type", "is no event type that is captured here");
        };
        for name in required.iter().filter(|name| !event.contains_key(**name)) {
            self.problem(name, "is missing");
        }
        for name in foreign.iter().filter(|name| event.contains_key(**name)) {
            self.problem(name, "does not belong to this event type");
        }
        let length = |name: &str| event.get(name).and_then(Value::as_array).map(Vec::len);
        let some = |name: &str| length(name).is_some_and(|length| length > 0);
        let action = event.get("action").and_then(Value::as_str).unwrap_or_default();
        let says_what = match kind {
            "ObjectEvent" => {
                let sensed = some("sensorElementList") && event.contains_key("readPoint");
                length("epcList").is_some() || some("quantityList") || sensed
            }
            "TransactionEvent" if !some("bizTransactionList") => false,
            "TransactionEvent" => length("epcList").is_some() || some("quantityList") || action == "DELETE",
            "TransformationEvent" => {
                let (input, output) =
                    (some("inputEPCList") || some("inputQuantityList"), some("outputEPCList") || some("outputQuantityList"));
                (input && output) || (event.contains_key("transformationID") && (input || output))
            }
            _ => some("childEPCs") || some("childQuantityList") || action == "DELETE",
        };
        if !says_what {
            self.problem("type", "the event does not say what it happened to");
        }
        if kind == "ObjectEvent" && event.contains_key("ilmd") && action != "ADD" {
            self.problem("ilmd", "only an ObjectEvent with action ADD may carry it");
        }
        if event.get("persistentDisposition").and_then(Value::as_object).is_some_and(Map::is_empty) {
            self.problem("persistentDisposition", "must set or unset something");
        }
    }
}

fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// A URI that does not pose as a word of GS1's vocabularies.
fn is_foreign_uri(text: &str) -> bool {
    const GS1: [&str; 7] = [
        "urn:epcglobal:cbv",
        "http://ns.gs1.org/cbv/",
        "https://ns.gs1.org/cbv/",
        "http://gs1.org/voc/",
        "https://gs1.org/voc/",
        "http://www.gs1.org/voc/",
        "https://www.gs1.org/voc/",
    ];
    is_uri(text) && !GS1.iter().any(|own| text.starts_with(own))
}

fn is_uom(text: &str) -> bool {
    (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_offset(text: &str) -> bool {
    let Some((b'+' | b'-', [h1, h2, b':', m1, m2])) = text.as_bytes().split_first() else { return false };
    [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()) && *m1 <= b'5' && (text[1..3] < *"14" || text[1..] == *"14:00")
}

fn is_context(value: &Value) -> bool {
    let part = |value: &Value| value.is_object() || value.as_str().is_some_and(is_uri);
    match value {
        Value::Array(list) => list.iter().all(part) && (1..list.len()).all(|index| !list[..index].contains(&list[index])),
        other => part(other),
    }
}

/// The instant that an RFC 3339 text names, in microseconds since 1970; `None` if it is not one or has no zone.
///
/// The strict form is asked for here because date libraries also read looser ones (a space for the `T`, hours alone).
pub(super) fn instant(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let pattern = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, want)| if want == b'0' { byte.is_ascii_digit() } else { byte == want })
    };
    let (clock, rest) = (rest.get(1..9)?, rest.get(9..)?);
    let fraction = rest.strip_prefix('.').map(|digits| digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let zone = match fraction {
        Some(0) => return None,
        Some(digits) => rest.get(digits + 1..)?,
        None => rest,
    };
    let zoned = zone == "Z" || (zone.starts_with(['+', '-']) && pattern(&zone[1..], "00:00"));
    if !(pattern(date, "0000-00-00") && text.as_bytes().get(10) == Some(&b'T') && pattern(clock, "00:00:00") && zoned) {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zoned_times_are_times() {
        assert_eq!(instant("1970-01-01T01:00:00.5+01:00"), Some(500_000));
        for bad in [
            "2026-11-22T11:59:59",
            "2026-11-22 11:59:59Z",
            "2026-11-22T11:59Z",
            "2026-13-22T11:59:59Z",
            "2026-11-22T11:59:59.Z",
            "2026-11-22T11:59:59+08",
            "2026-11-22T11:59:59+08:00[Asia/Shanghai]",
            "",
            "2026-11-22",
            "２026-11-22T11:59:59Z",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn offsets_end_at_fourteen_hours() {
        for good in ["+00:00", "-13:59", "+14:00"] {
            assert!(is_offset(good), "{good}");
        }
        for bad in ["+14:01", "00:00", "+1:00", "+24:00", "+00:60", "Z", ""] {
            assert!(!is_offset(bad), "{bad}");
        }
    }
}
