//! `jidoka gauge`: sizes from pictures, and how well a plan measures.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Sizes from pictures.
#[derive(Debug, Subcommand)]
pub enum Gauge {
    /// Measure one picture, and draw what was found into it
    Measure(GaugeMeasure),
    /// Measure a folder of pictures whose parts are known (nominal.csv: file,type,NAME_mm,…)
    Eval(GaugeEval),
}

/// What to measure.
#[derive(Debug, Args)]
pub struct GaugeMeasure {
    /// The gauge plan: a file, or the name of one that comes with the program
    #[arg(long, value_name = "NAME")]
    pub plan: String,
    /// The picture, JPEG or PNG
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Write the picture with what was found drawn into it
    #[arg(long, value_name = "PNG")]
    pub overlay: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to evaluate.
#[derive(Debug, Args)]
pub struct GaugeEval {
    /// The folder: pictures and nominal.csv
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The gauge plan: a file, or the name of one that comes with the program
    #[arg(long, value_name = "NAME", default_value = "screws")]
    pub plan: String,
    /// An error up to this (in the size's unit) counts as right
    #[arg(long, default_value_t = 0.3)]
    pub limit: f64,
    /// Print how the same size scatters over the pictures of one type
    #[arg(long)]
    pub repeat: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
