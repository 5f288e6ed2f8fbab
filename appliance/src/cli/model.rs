//! `jidoka model`: what the model packages are, whether they still do what they promise, and how well they see.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use vision_models::package::PublicKey;

/// The model packages.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// List the packages of this machine, with what is wrong with those that are refused
    List(ModelList),
    /// Put a package to the proof, and copy it to this machine's own packages
    Add(ModelAdd),
    /// Put a package to the proof: every file's digest, the model's inputs and outputs, and its golden pieces
    Verify(ModelVerify),
    /// Make a verdict-first package of one with a standard YOLO export: scores first, boxes only where there is a finding
    Cut(ModelCut),
    /// Make a new key to sign packages with, and print its public half
    Key(ModelKey),
    /// Sign a package: the digests of all its files
    Sign(ModelSign),
    /// Measure a package on pictures whose faults are known
    Eval(ModelEval),
    /// Look at one picture with a taught package, and draw its heat map over it
    Look(ModelLook),
}

/// What to look at.
#[derive(Debug, Args)]
pub struct ModelLook {
    /// The taught package: its name, or its folder
    #[arg(long, value_name = "NAME")]
    pub package: String,
    /// The picture (PNG or JPEG)
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Where the picture with the map over it is written, as PNG
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// How to list.
#[derive(Debug, Args)]
pub struct ModelList {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the key goes.
#[derive(Debug, Args)]
pub struct ModelKey {
    /// A new file that its owner alone may read; keep it away from the line
    pub file: PathBuf,
}

/// What to sign, and with what.
#[derive(Debug, Args)]
pub struct ModelSign {
    /// The package: its name, or its folder
    pub package: String,
    /// The file that `jidoka model key` wrote
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// What to add.
#[derive(Debug, Args)]
pub struct ModelAdd {
    /// The package's folder
    pub folder: PathBuf,
    /// Where this machine keeps its packages
    #[arg(long, value_name = "DIR", default_value = crate::packages::SHELF)]
    pub shelf: PathBuf,
    /// A public key that may have signed it; once or more often, else nobody needs to sign
    #[arg(long = "trust", value_name = "KEY")]
    pub trusted: Vec<PublicKey>,
    /// Keep a standard YOLO export as it is: do not put one beside it that is cut verdict first
    #[arg(long)]
    pub whole: bool,
}

/// What to cut, and where the new package goes.
#[derive(Debug, Args)]
pub struct ModelCut {
    /// The package: its name, or its folder
    pub package: String,
    /// Folder of the new package; it must not be there
    pub to: PathBuf,
}

/// Which package.
#[derive(Debug, Args)]
pub struct ModelVerify {
    /// Its name, or its folder
    pub package: String,
    /// A public key that may have signed it; once or more often, else nobody needs to sign
    #[arg(long = "trust", value_name = "KEY")]
    pub trusted: Vec<PublicKey>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to measure, and on which pictures.
#[derive(Debug, Args)]
pub struct ModelEval {
    /// The package: its name, or its folder
    #[arg(long, value_name = "NAME")]
    pub package: String,
    /// A folder of pictures with their faults. compare: index.csv, images/NAME_test.jpg, images/NAME_temp.jpg, labels/NAME.txt;
    /// classify: one folder for each class, and one called good; segment: images/NAME.png, and for those with faults
    /// masks/NAME.png, whose grey level is the number of the class
    #[arg(long, value_name = "DIR", required_unless_present = "drawn")]
    pub data: Option<PathBuf>,
    /// Draw so many boards with known faults instead
    #[arg(long, value_name = "COUNT", conflicts_with = "data")]
    pub drawn: Option<u32>,
    /// Seed of the drawn boards
    #[arg(long, default_value_t = 7, requires = "drawn")]
    pub seed: u64,
    /// Share of the drawn boards that are bad, 0…1
    #[arg(long, default_value_t = 0.5, requires = "drawn")]
    pub bad_share: f32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write every finding above the package's floor, one JSON line each, to choose thresholds from
    #[arg(long, value_name = "FILE")]
    pub findings: Option<PathBuf>,
}
