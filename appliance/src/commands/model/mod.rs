//! `jidoka model`: packages listed, proved and measured.

pub(super) mod eval;

use super::{Failure, say};
use crate::cli::{Model, ModelAdd, ModelCut};
use crate::clock::Clock;
use crate::packages;
use crate::pipeline::at;
use crate::pipeline::see::chain;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vision_models::detector::Detector;
use vision_models::frame::MonoClock;
use vision_models::package::Package;
use vision_models::runtime::Runtime;

/// The configuration of a command is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

pub(super) fn model(command: &Model) -> Result<(), Failure> {
    match command {
        Model::List => list(),
        Model::Add(args) => add(args),
        Model::Verify(args) => verify(&args.package),
        Model::Cut(args) => cut(args),
        Model::Eval(args) => eval::eval(args),
    }
}

fn list() -> Result<(), Failure> {
    let packages = packages::all();
    if packages.is_empty() {
        let shelves = packages::shelves();
        let looked = shelves.iter().map(|shelf| shelf.display().to_string()).collect::<Vec<_>>().join(", ");
        return say(&format!(
            "no packages; looked in: {}",
            if looked.is_empty() { "nowhere, there is no folder for them" } else { &looked }
        ));
    }
    let mut text = String::new();
    for folder in packages {
        let told = match Package::open(&folder) {
            Ok(package) => {
                let manifest = package.manifest();
                format!("{:<20} {:<8} {}\n", package.model().package, manifest.task.name(), manifest.summary)
            }
            Err(error) => format!("{:<20} refused: {}\n", folder.display(), chain(&error)),
        };
        text.push_str(&told);
    }
    say(text.trim_end())
}

fn verify(package: &str) -> Result<(), Failure> {
    let folder = folder_of(package)?;
    let package = open(&folder)?;
    let files = vision_models::package::list_files(&folder).map_err(at(&format!("{}", folder.display())))?.len();
    // Loading it is the proof.
    drop(load(&package, wall_clock())?);
    let model = package.model();
    say(&format!(
        "{}: {files} files as listed, inputs and outputs as said, {} golden pieces as expected; weights {}",
        model.package,
        package.goldens().len(),
        model.weights
    ))
}

fn add(args: &ModelAdd) -> Result<(), Failure> {
    let package = open(&args.folder)?;
    drop(load(&package, wall_clock())?);
    let name = &package.model().package;
    let to = packages::shelve(&args.folder, name, &args.shelf).map_err(at(&format!("{name} was not added")))?;
    say(&format!("{name} is proved and lies in {}; [model] package = \"{}\" uses it from the next start on", to.display(), to.display()))
}

fn cut(args: &ModelCut) -> Result<(), Failure> {
    let folder = folder_of(&args.package)?;
    let runtime = Runtime::find().map_err(at("ONNX Runtime"))?;
    let ratio = vision_models::cut::cut_package(&runtime, &folder, &args.to, &wall_clock()).map_err(at("nothing was cut"))?;
    let package = open(&args.to)?;
    say(&format!(
        "{} lies in {} and is proved on the same golden pieces: {:.0} % of the time of the whole one, here; `jidoka model add {}` keeps it",
        package.model().package,
        args.to.display(),
        100.0 * ratio,
        args.to.display()
    ))
}

fn folder_of(package: &str) -> Result<PathBuf, Failure> {
    let refuse = |text: String| Err(Failure { text, code: USAGE });
    let shown = |folders: &[PathBuf]| folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
    match packages::find(package).as_slice() {
        [] => {
            let shelves = shown(&packages::shelves());
            refuse(format!("there is no package {package} in {shelves}; `jidoka model list` shows those that are"))
        }
        [one] => Ok(one.clone()),
        several => refuse(format!("{package} is not one package: {}; name its folder or its version", shown(several))),
    }
}

fn open(folder: &Path) -> Result<Package, Failure> {
    Ok(Package::open(folder).map_err(at("the package is refused"))?)
}

fn load(package: &Package, clock: MonoClock) -> Result<Detector, Failure> {
    let runtime = Runtime::find().map_err(at("ONNX Runtime"))?;
    Ok(Detector::load(&runtime, package, clock).map_err(at("the package is refused"))?)
}

fn wall_clock() -> MonoClock {
    let clock = Clock::new();
    Arc::new(move || clock.mono_micros())
}
