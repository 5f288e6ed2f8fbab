//! `jidoka query` and `jidoka recall`: which pieces have something in common.

use crate::store::rows::question::{Question, Range};
use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use station::verdict::Verdict;
use std::path::PathBuf;

/// What the pieces have in common. All that is given must hold.
#[derive(Debug, Args)]
pub struct Criteria {
    /// One of these serials
    #[arg(long, value_name = "SERIAL")]
    pub serial: Vec<String>,
    /// One of these lots
    #[arg(long, value_name = "LOT")]
    pub lot: Vec<u32>,
    /// Announced at this time or later: 2026-11-23, 2026-11-23T14:30 (this machine's time zone) or with a zone 2026-11-23T14:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<i64>,
    /// Announced before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<i64>,
    /// Looked at by this model package: NAME, or NAME@VERSION
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Graded by this version of the rubric
    #[arg(long, value_name = "VERSION")]
    pub rubric: Option<u16>,
    /// With a defect of this class
    #[arg(long, value_name = "CLASS")]
    pub defect: Option<String>,
    /// With this verdict: pass, reject or hold
    #[arg(long, value_parser = verdict)]
    pub verdict: Option<Verdict>,
    /// With this grade
    #[arg(long)]
    pub grade: Option<String>,
    /// Piece records by number: 1000..2000, 1000.. or ..2000, both ends among them
    #[arg(long, value_name = "FIRST..LAST", value_parser = records)]
    pub records: Option<(Option<u64>, Option<u64>)>,
    /// Made at a set point: a good reading within a range, such as oven_zone_1=240..250 or oven_zone_1=250..
    #[arg(long, value_name = "TAG=MIN..MAX", value_parser = reading)]
    pub reading: Vec<Range>,
}

impl Criteria {
    /// As the store is asked.
    #[must_use]
    pub fn question(&self) -> Question {
        let (first, last) = self.records.unwrap_or_default();
        Question {
            serials: self.serial.clone(),
            lots: self.lot.clone(),
            since_micros: self.since,
            until_micros: self.until,
            model: self.model.clone(),
            rubric: self.rubric,
            defect: self.defect.clone(),
            verdict: self.verdict,
            grade: self.grade.clone(),
            first,
            last,
            readings: self.reading.clone(),
        }
    }
}

/// The question and how its answer is shown.
#[derive(Debug, Args)]
pub struct Query {
    /// The data folder of a station
    #[arg(long, value_name = "DIR", default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// What is sought.
    #[command(flatten)]
    pub criteria: Criteria,
    /// Show at most so many, the newest
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Print one JSON object: how many, and the records themselves
    #[arg(long)]
    pub json: bool,
}

/// A recall.
#[derive(Debug, Args)]
pub struct Recall {
    /// The data folder of a station
    #[arg(long, value_name = "DIR", default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// What people call this recall
    #[arg(long)]
    pub name: String,
    /// What is sought.
    #[command(flatten)]
    pub criteria: Criteria,
    /// A new folder for what is found: affected.csv, EPCIS 2.0 events, images, recall.json
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

fn time(text: &str) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let local = text.parse::<DateTime>().and_then(|local| local.to_zoned(TimeZone::system()));
    local
        .map(|zoned| zoned.timestamp().as_microsecond())
        .map_err(|_| format!("`{text}` is no time; write it like 2026-11-23, 2026-11-23T14:30 or 2026-11-23T14:30:00+08:00"))
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let named = [Verdict::Pass, Verdict::Reject, Verdict::Hold].into_iter().find(|verdict| verdict.name() == text);
    named.ok_or_else(|| format!("`{text}` is no verdict; use pass, reject or hold"))
}

/// Both ends of `FIRST..LAST`, of which one may be left out.
fn ends<T: std::str::FromStr>(text: &str) -> Option<(Option<T>, Option<T>)> {
    let (first, last) = text.split_once("..")?;
    let end = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let both = (end(first.trim())?, end(last.trim())?);
    (both.0.is_some() || both.1.is_some()).then_some(both)
}

fn records(text: &str) -> Result<(Option<u64>, Option<u64>), String> {
    ends(text).ok_or_else(|| format!("`{text}` is no range of records; write it like 1000..2000, 1000.. or ..2000"))
}

fn reading(text: &str) -> Result<Range, String> {
    let refuse = || format!("`{text}` is no range of a reading; write it like oven_zone_1=240..250 or oven_zone_1=250..");
    let (tag, range) = text.split_once('=').ok_or_else(refuse)?;
    let (min, max) = ends::<f64>(range).ok_or_else(refuse)?;
    let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
    if tag.is_empty() || min.is_nan() || max.is_nan() || min > max {
        return Err(refuse());
    }
    Ok(Range { tag: tag.to_owned(), min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ranges_and_set_points_are_read_as_people_write_them() {
        assert_eq!(time("2026-11-23T14:30:00+08:00"), Ok(1_795_415_400_000_000));
        assert_eq!(time("2026-11-23T06:30:00Z"), time("2026-11-23T14:30:00+08:00"));
        assert!(time("2026-11-23").is_ok() && time("2026-11-23T14:30").is_ok());
        assert!(time("yesterday").is_err_and(|text| text.contains("2026-11-23T14:30")));
        assert_eq!(records("10..20"), Ok((Some(10), Some(20))));
        assert_eq!((records("10.."), records("..20")), (Ok((Some(10), None)), Ok((None, Some(20)))));
        assert!(["..", "10", "a..b"].iter().all(|wrong| records(wrong).is_err()));
        let range = |min, max| Ok(Range { tag: "oven".to_owned(), min, max });
        assert_eq!(reading("oven=-1.5..2"), range(-1.5, 2.0));
        assert_eq!(reading("oven=..2"), range(f64::NEG_INFINITY, 2.0));
        assert!(["oven", "oven=", "oven=2..1", "=1..2", "oven=NaN..2"].iter().all(|wrong| reading(wrong).is_err()));
        assert!(verdict("good").is_err_and(|text| text.contains("pass, reject or hold")));
    }
}
