//! `jidoka query` and `jidoka recall`: which pieces have something in common.

use crate::recall::words::{reading, records, time, verdict};
use crate::store::rows::origin::Origin;
use crate::store::rows::question::{Question, Range};
use clap::Args;
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
    /// Made of the supplier lot with this number
    #[arg(long, value_name = "LOT")]
    pub supplier_lot: Option<String>,
    /// Made of a lot of this supplier
    #[arg(long, value_name = "NAME")]
    pub supplier: Option<String>,
    /// With --supplier-lot or --supplier: the material it is
    #[arg(long, value_name = "NAME")]
    pub material: Option<String>,
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
    /// With this verdict, as it is in force: pass, reject or hold
    #[arg(long, value_parser = verdict)]
    pub verdict: Option<Verdict>,
    /// With this grade, as it is in force
    #[arg(long)]
    pub grade: Option<String>,
    /// Verdict and grade as the station gave them, whatever people decided later
    #[arg(long)]
    pub as_judged: bool,
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
            origin: Origin { lot: self.supplier_lot.clone(), supplier: self.supplier.clone(), material: self.material.clone() },
            since_micros: self.since,
            until_micros: self.until,
            model: self.model.clone(),
            rubric: self.rubric,
            defect: self.defect.clone(),
            verdict: self.verdict,
            grade: self.grade.clone(),
            as_judged: self.as_judged,
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
