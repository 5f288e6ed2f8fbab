//! A question as people write it, on the command line and in an address: `lot=7`, `since=2026-11-23`, `reading=oven_zone_1=240..250`.
//!
//! Invariant: what cannot be meant is refused with the name of the parameter and what to write instead; nothing is guessed, and no
//! condition is left out of an answer because it was misspelt.

use crate::store::rows::question::{Question, Range};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use station::verdict::Verdict;

/// A value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}; {mend}")]
pub struct Misread {
    /// What is wrong.
    pub error: String,
    /// What to write instead.
    pub mend: String,
}

impl Misread {
    fn new(error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { error: error.into(), mend: mend.into() }
    }
}

/// A question that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {misread}")]
pub struct Wrong {
    /// The parameter.
    pub parameter: String,
    /// What is wrong with it.
    pub misread: Misread,
}

/// What a question can say, in the order in which it is told.
pub const PARAMETERS: [&str; 15] = [
    "serial",
    "lot",
    "supplier_lot",
    "supplier",
    "material",
    "since",
    "until",
    "model",
    "rubric",
    "defect",
    "verdict",
    "grade",
    "as_judged",
    "records",
    "reading",
];
/// Serials, lots or readings that one question may name.
const MANY_MAX: usize = 100;
/// Longest value in characters.
const CHARS_MAX: usize = 200;

/// A point in time in microseconds since 1970, from `2026-11-23`, `2026-11-23T14:30` (this machine's zone) or with a zone.
///
/// # Errors
/// It is none.
pub fn time(text: &str) -> Result<i64, Misread> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let local = text.parse::<DateTime>().and_then(|local| local.to_zoned(TimeZone::system()));
    let mend = "write it like 2026-11-23, 2026-11-23T14:30 or 2026-11-23T14:30:00+08:00";
    local.map(|zoned| zoned.timestamp().as_microsecond()).map_err(|_| Misread::new(format!("`{text}` is no time"), mend))
}

/// A verdict by its name.
///
/// # Errors
/// It is none.
pub fn verdict(text: &str) -> Result<Verdict, Misread> {
    let named = [Verdict::Pass, Verdict::Reject, Verdict::Hold].into_iter().find(|verdict| verdict.name() == text);
    named.ok_or_else(|| Misread::new(format!("`{text}` is no verdict"), "use pass, reject or hold"))
}

/// Both ends of `FIRST..LAST`, of which one may be left out.
fn ends<T: std::str::FromStr>(text: &str) -> Option<(Option<T>, Option<T>)> {
    let (first, last) = text.split_once("..")?;
    let end = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let both = (end(first.trim())?, end(last.trim())?);
    (both.0.is_some() || both.1.is_some()).then_some(both)
}

/// Piece records by number: `1000..2000`, `1000..` or `..2000`.
///
/// # Errors
/// It is no range.
pub fn records(text: &str) -> Result<(Option<u64>, Option<u64>), Misread> {
    ends(text).ok_or_else(|| Misread::new(format!("`{text}` is no range of records"), "write it like 1000..2000, 1000.. or ..2000"))
}

/// A set point: `TAG=MIN..MAX`, of which one end may be left out.
///
/// # Errors
/// It is no range of a reading.
pub fn reading(text: &str) -> Result<Range, Misread> {
    let mend = "write it like oven_zone_1=240..250 or oven_zone_1=250..";
    let refuse = || Misread::new(format!("`{text}` is no range of a reading"), mend);
    let (tag, range) = text.split_once('=').ok_or_else(refuse)?;
    let (min, max) = ends::<f64>(range).ok_or_else(refuse)?;
    let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
    if tag.is_empty() || min.is_nan() || max.is_nan() || min > max {
        return Err(refuse());
    }
    Ok(Range { tag: tag.to_owned(), min, max })
}

fn number<T: std::str::FromStr>(text: &str, what: &str, example: &str) -> Result<T, Misread> {
    text.parse().map_err(|_| Misread::new(format!("`{text}` is no {what}"), format!("write a number like {example}")))
}

/// The question that name and value pairs ask. Serials, lots and readings may be named several times.
///
/// # Errors
/// The first of them that cannot be meant.
pub fn question<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Question, Wrong> {
    let mut question = Question::default();
    let mut said: Vec<&str> = Vec::new();
    for (name, value) in pairs {
        let refused = |misread| Wrong { parameter: name.to_owned(), misread };
        let is_many = matches!(name, "serial" | "lot" | "reading");
        let times = said.iter().filter(|known| **known == name).count();
        if times >= if is_many { MANY_MAX } else { 1 } {
            let (error, mend) = if is_many {
                (format!("more than {MANY_MAX} of them"), "ask several times")
            } else {
                ("it is given twice".to_owned(), "give it once")
            };
            return Err(refused(Misread::new(error, mend)));
        }
        said.push(name);
        set(&mut question, name, value).map_err(refused)?;
    }
    let times = question.since_micros.zip(question.until_micros);
    if let Some((since, until)) = times
        && since >= until
    {
        let misread = Misread::new("it is not after `since`", "let the time begin before it ends: since ≤ time < until");
        return Err(Wrong { parameter: "until".to_owned(), misread });
    }
    Ok(question)
}

fn set(question: &mut Question, name: &str, value: &str) -> Result<(), Misread> {
    if value.is_empty() {
        return Err(Misread::new("it has no value", "give it one, or leave it out"));
    }
    if value.chars().count() > CHARS_MAX {
        return Err(Misread::new(format!("it is longer than {CHARS_MAX} characters"), "write less"));
    }
    match name {
        "serial" => question.serials.push(value.to_owned()),
        "lot" => question.lots.push(number(value, "lot", "4711")?),
        "supplier_lot" => question.origin.lot = Some(value.to_owned()),
        "supplier" => question.origin.supplier = Some(value.to_owned()),
        "material" => question.origin.material = Some(value.to_owned()),
        "since" => question.since_micros = Some(time(value)?),
        "until" => question.until_micros = Some(time(value)?),
        "model" => question.model = Some(value.to_owned()),
        "rubric" => question.rubric = Some(number(value, "version of a rubric", "3")?),
        "defect" => question.defect = Some(value.to_owned()),
        "verdict" => question.verdict = Some(verdict(value)?),
        "grade" => question.grade = Some(value.to_owned()),
        "as_judged" => {
            question.as_judged = match value {
                "true" => true,
                "false" => false,
                _ => return Err(Misread::new(format!("`{value}` is neither true nor false"), "write true or false")),
            }
        }
        "records" => {
            (question.first, question.last) = records(value)?;
            if question.first.zip(question.last).is_some_and(|(first, last)| first > last) {
                return Err(Misread::new(format!("`{value}` is a range that ends before it begins"), "write the smaller number first"));
            }
        }
        "reading" => question.readings.push(reading(value)?),
        _ => return Err(Misread::new("there is no such parameter", format!("use one of {}", PARAMETERS.join(", ")))),
    }
    Ok(())
}

/// A question in words, for the record of a recall.
#[must_use]
pub fn criteria(question: &Question) -> String {
    let mut said = Vec::new();
    let mut say = |name: &str, value: Option<String>| said.extend(value.map(|value| format!("{name} {value}")));
    let time = |micros: i64| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string());
    say("serial", (!question.serials.is_empty()).then(|| question.serials.join(" or ")));
    let lots: Vec<String> = question.lots.iter().map(u32::to_string).collect();
    say("lot", (!lots.is_empty()).then(|| lots.join(" or ")));
    say("supplier lot", question.origin.lot.clone());
    say("supplier", question.origin.supplier.clone());
    say("material", question.origin.material.clone());
    say("since", question.since_micros.map(time));
    say("until", question.until_micros.map(time));
    say("model", question.model.clone());
    say("rubric version", question.rubric.map(|version| version.to_string()));
    say("defect", question.defect.clone());
    say("verdict", question.verdict.map(|verdict| verdict.to_string()));
    say("grade", question.grade.clone());
    say("as", question.as_judged.then(|| "judged first".to_owned()));
    say("records from", question.first.map(|first| first.to_string()));
    say("records to", question.last.map(|last| last.to_string()));
    for range in &question.readings {
        say(&range.tag, Some(format!("{} to {}", range.min, range.max)));
    }
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ranges_and_set_points_are_read_as_people_write_them() {
        assert_eq!(time("2026-11-23T14:30:00+08:00"), Ok(1_795_415_400_000_000));
        assert_eq!(time("2026-11-23T06:30:00Z"), time("2026-11-23T14:30:00+08:00"));
        assert!(time("2026-11-23").is_ok() && time("2026-11-23T14:30").is_ok());
        assert!(time("yesterday").is_err_and(|wrong| wrong.to_string().contains("2026-11-23T14:30")));
        assert_eq!(records("10..20"), Ok((Some(10), Some(20))));
        assert_eq!((records("10.."), records("..20")), (Ok((Some(10), None)), Ok((None, Some(20)))));
        assert!(["..", "10", "a..b"].iter().all(|wrong| records(wrong).is_err()));
        let range = |min, max| Ok(Range { tag: "oven".to_owned(), min, max });
        assert_eq!(reading("oven=-1.5..2"), range(-1.5, 2.0));
        assert_eq!(reading("oven=..2"), range(f64::NEG_INFINITY, 2.0));
        assert!(["oven", "oven=", "oven=2..1", "=1..2", "oven=NaN..2"].iter().all(|wrong| reading(wrong).is_err()));
        assert!(verdict("good").is_err_and(|wrong| wrong.to_string().contains("pass, reject or hold")));
    }

    #[test]
    fn a_question_is_read_whole_or_refused_by_its_parameter() {
        let all = [("serial", "A"), ("serial", "B"), ("lot", "7"), ("verdict", "pass"), ("reading", "oven=1..2"), ("records", "5..")];
        let question = question(all).unwrap();
        assert_eq!((question.serials.len(), &question.lots, question.first), (2, &vec![7], Some(5)));
        assert_eq!(criteria(&question), "serial A or B, lot 7, verdict pass, records from 5, oven 1 to 2");
        let wrong = |pairs: &[(&str, &str)]| super::question(pairs.iter().copied()).unwrap_err().parameter;
        assert_eq!(wrong(&[("verdict", "pass"), ("verdict", "reject")]), "verdict");
        assert_eq!(wrong(&[("since", "2026-11-24"), ("until", "2026-11-23")]), "until");
        assert_eq!(wrong(&[("records", "9..5")]), "records");
        assert_eq!(wrong(&[("colour", "red")]), "colour");
        assert_eq!(wrong(&[("lot", "")]), "lot");
    }
}
