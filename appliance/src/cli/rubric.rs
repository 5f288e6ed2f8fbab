//! `jidoka rubric` and `jidoka regrade`: how pieces are graded, and how they would be.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// How pieces and lots are graded.
#[derive(Debug, Subcommand)]
pub enum Rubric {
    /// Check a rubric and report every problem at once; with --cases, also grade pieces whose grade is known
    Check(RubricCheck),
    /// Say what grade a piece of the ledger, or a made-up one, has and why
    Explain(RubricExplain),
    /// Grade the lots of a ledger, and say how incoming ones are sampled (ISO 2859-1)
    Lots(RubricLots),
}

/// What to check.
#[derive(Debug, Args)]
pub struct RubricCheck {
    /// The rubric
    pub file: PathBuf,
    /// A file of pieces whose grade is known
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
}

/// What to explain.
#[derive(Debug, Args)]
pub struct RubricExplain {
    /// The rubric; the one that graded the piece if not given
    #[arg(long, value_name = "FILE", required_unless_present = "result")]
    pub rubric: Option<PathBuf>,
    /// The stage of inspection, where the rubric has stages
    #[arg(long)]
    pub stage: Option<String>,
    /// Number of the piece's record
    #[arg(long, value_name = "RESULT_ID", required_unless_present = "record", conflicts_with = "record")]
    pub result: Option<u64>,
    /// The data folder of the station that holds it
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
    /// A file of made-up pieces instead
    #[arg(long, value_name = "FILE", requires = "rubric")]
    pub record: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A ledger, and a part of it.
#[derive(Debug, Args)]
pub struct Period {
    /// The first day (2026-11-01) or instant (2026-11-01T06:00:00+09:00)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The last day, or the first instant that is no longer meant
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The data folder of a station; the station may run
    #[arg(long, default_value = "/var/lib/jidoka")]
    pub data: PathBuf,
}

/// Which lots.
#[derive(Debug, Args)]
pub struct RubricLots {
    /// The rubric, with [lot], [sampling] or both
    #[arg(long, value_name = "FILE")]
    pub rubric: PathBuf,
    /// The stage of inspection, where the rubric has stages
    #[arg(long)]
    pub stage: Option<String>,
    /// Which pieces.
    #[command(flatten)]
    pub period: Period,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to grade anew.
#[derive(Debug, Args)]
pub struct Regrade {
    /// The new rubric
    #[arg(long, value_name = "FILE")]
    pub rubric: PathBuf,
    /// The stage of inspection, where the rubric has stages
    #[arg(long)]
    pub stage: Option<String>,
    /// Which pieces.
    #[command(flatten)]
    pub period: Period,
    /// What pieces are worth, instead of [worth] of the rubric: currency = "EUR" and [per_piece] by grade
    #[arg(long, value_name = "FILE")]
    pub cost: Option<PathBuf>,
    /// List at most so many changed pieces
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub list: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
