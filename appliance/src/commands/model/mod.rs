//! `jidoka model`: packages listed, proved and measured.

pub(super) mod eval;

use super::{Failure, say};
use crate::cli::{Model, ModelAdd, ModelCut, ModelKey, ModelLook, ModelSign, ModelVerify};
use crate::clock::thread_cpu_micros;
use crate::packages;
use crate::pipeline::at;
use crate::pipeline::see::chain;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vision_models::choice::{Choice, choose};
use vision_models::detector::Detector;
use vision_models::frame::MonoClock;
use vision_models::package::{OperatingPoint, Package, PublicKey, SIGNATURE, SecretKey};
use vision_models::picture::Picture;
use vision_models::runtime::Runtime;

/// The configuration of a command is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

pub(super) fn model(command: &Model) -> Result<(), Failure> {
    match command {
        Model::List(args) => list(args.json),
        Model::Add(args) => add(args),
        Model::Cut(args) => cut(args),
        Model::Verify(args) => verify(args),
        Model::Key(args) => key(args),
        Model::Sign(args) => sign(args),
        Model::Eval(args) => eval::eval(args),
        Model::Look(args) => look(args),
    }
}

/// A package as `list` shows it.
#[derive(Serialize)]
struct Listed {
    folder: PathBuf,
    package: Option<String>,
    task: Option<&'static str>,
    variants: Vec<String>,
    /// What `model add` measured and chose.
    chosen: Option<Choice>,
    signed: bool,
    summary: Option<String>,
    refused: Option<String>,
}

impl Listed {
    fn of(folder: PathBuf) -> Self {
        let signed = folder.join(SIGNATURE).is_file();
        match Package::open(&folder) {
            Ok(package) => Self {
                package: Some(package.model().package.clone()),
                task: Some(package.manifest().task.name()),
                variants: package.variants().map(str::to_owned).collect(),
                chosen: packages::remembered(&folder),
                signed,
                summary: Some(package.manifest().summary.clone()),
                refused: None,
                folder,
            },
            Err(error) => Self {
                package: None,
                task: None,
                variants: Vec::new(),
                chosen: None,
                signed,
                summary: None,
                refused: Some(chain(&error)),
                folder,
            },
        }
    }

    fn line(&self) -> String {
        let Some(package) = &self.package else {
            return format!("{:<20} refused: {}\n", self.folder.display(), self.refused.as_deref().unwrap_or_default());
        };
        let variants = self.variants.join(", ");
        let signed = if self.signed { "signed" } else { "-" };
        let summary = self.summary.as_deref().unwrap_or_default();
        let mut text = format!("{package:<20} {:<8} {variants:<12} {signed:<6} {summary}\n", self.task.unwrap_or_default());
        if let Some(choice) = &self.chosen {
            text.push_str(&format!("{:<20} \"fastest\" is {}: {}\n", "", choice.variant, choice.reason));
        }
        text
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let packages: Vec<Listed> = packages::all().into_iter().map(Listed::of).collect();
    if json {
        return say(&serde_json::to_string_pretty(&packages).map_err(at("the list"))?);
    }
    if packages.is_empty() {
        let shelves = packages::shelves();
        let looked = shelves.iter().map(|shelf| shelf.display().to_string()).collect::<Vec<_>>().join(", ");
        return say(&format!(
            "no packages; looked in: {}",
            if looked.is_empty() { "nowhere, there is no folder for them" } else { &looked }
        ));
    }
    let head = format!("{:<20} {:<8} {:<12} {:<6} {}\n", "PACKAGE", "TASK", "VARIANTS", "SIGNED", "WHAT IT DOES");
    let text = packages.iter().map(Listed::line).fold(head, |all, line| all + &line);
    say(text.trim_end())
}

/// What `verify --json` prints: what was proved.
#[derive(Serialize)]
struct Proved {
    package: String,
    task: &'static str,
    files: usize,
    golden_pieces: usize,
    signer: Option<PublicKey>,
    variants: Vec<ProvedVariant>,
    thresholds: BTreeMap<String, f32>,
    operating_point: OperatingPoint,
}

#[derive(Serialize)]
struct ProvedVariant {
    name: String,
    weights_sha256: String,
    cpu_ms: f64,
}

fn verify(args: &ModelVerify) -> Result<(), Failure> {
    let folder = folder_of(&args.package)?;
    let package = open(&folder, &args.trusted)?;
    let mut variants = Vec::new();
    for name in package.variants() {
        let variant = package.variant(name).unwrap_or_else(|| package.clone());
        // Loading it is the proof.
        let detector = load(&variant, Arc::new(thread_cpu_micros))?;
        let weights_sha256 = variant.model().weights.to_string();
        variants.push(ProvedVariant { name: name.to_owned(), weights_sha256, cpu_ms: detector.proof_millis() });
    }
    let proved = Proved {
        package: package.model().package.clone(),
        task: package.manifest().task.name(),
        files: vision_models::package::list_files(&folder).map_err(at(&format!("{}", folder.display())))?.len(),
        golden_pieces: package.goldens().len(),
        signer: package.signer(),
        variants,
        thresholds: package.classes().into_iter().map(|class| (class.name, class.threshold)).collect(),
        operating_point: package.manifest().operating_point.clone(),
    };
    if args.json { say(&serde_json::to_string_pretty(&proved).map_err(at("the proof"))?) } else { say(proof(&proved).trim_end()) }
}

fn proof(proved: &Proved) -> String {
    let Proved { package, files, golden_pieces, .. } = proved;
    let mut text = format!("{package}: {files} files as listed, inputs and outputs as said, {golden_pieces} golden pieces as expected\n");
    if let Some(signer) = proved.signer {
        text.push_str(&format!("  signed by {signer}\n"));
    }
    for ProvedVariant { name, weights_sha256, cpu_ms } in &proved.variants {
        text.push_str(&format!("  variant {name}: {cpu_ms:.1} ms of CPU a golden picture, weights {weights_sha256}\n"));
    }
    let thresholds: Vec<_> = proved.thresholds.iter().map(|(class, threshold)| format!("{class} {threshold}")).collect();
    text.push_str(&format!("  thresholds: {}\n  chosen for: {}\n", thresholds.join(", "), proved.operating_point.aim));
    for (what, figure) in &proved.operating_point.measured {
        text.push_str(&format!("    {what} = {figure}\n"));
    }
    text
}

fn add(args: &ModelAdd) -> Result<(), Failure> {
    let package = open(&args.folder, &args.trusted)?;
    let runtime = runtime()?;
    let clock: MonoClock = Arc::new(thread_cpu_micros);
    let (_, _, choice) = choose(&runtime, &package, None, None, &clock).map_err(at("the package is refused"))?;
    let name = &package.model().package;
    let to = packages::shelve(&args.folder, name, &args.shelf).map_err(at(&format!("{name} was not added")))?;
    packages::remember(&to, &choice).map_err(at("what was measured is not kept"))?;
    let mut text =
        format!("{name} is proved and lies in {}; [model] package = \"{}\" uses it from the next start on", to.display(), to.display());
    if choice.measured.len() > 1 {
        let times: Vec<_> = choice.measured.iter().map(|one| format!("{} {:.1} ms", one.variant, one.millis)).collect();
        text.push_str(&format!("\n[model] variant = \"fastest\" is {} here: {}", choice.variant, times.join(", ")));
    }
    if let Some(warning) = &choice.warning {
        text.push_str(&format!("\nbut: {warning}"));
    }
    if !args.whole && vision_models::cut::is_whole_export(&package) {
        text.push_str(&match cut_beside(&runtime, &to, &clock) {
            Ok((cut, ratio)) => format!(
                "\nfaster: {} is the same cut verdict first, {:.0} % of its time here with the same golden findings; [model] package = \"{0}\"",
                cut.display(),
                100.0 * ratio
            ),
            // What was added is whole and proved all the same.
            Err(reason) => format!("\nnot cut verdict first: {reason}"),
        });
    }
    say(&text)
}

/// Cuts a package of the shelf and puts the cut one beside it; where it lies, and its time over that of the whole one.
fn cut_beside(runtime: &Runtime, whole: &Path, clock: &MonoClock) -> Result<(PathBuf, f64), String> {
    let Some(shelf) = whole.parent() else { return Err(format!("{} lies on no shelf", whole.display())) };
    let work = tempfile::tempdir_in(shelf).map_err(|error| format!("{}: {error}", shelf.display()))?;
    let cut = work.path().join("cut");
    let ratio = vision_models::cut::cut_package(runtime, whole, &cut, clock).map_err(|error| chain(&error))?;
    let name = Package::open(&cut).map_err(|error| chain(&error))?.model().package.clone();
    packages::shelve(&cut, &name, shelf).map(|to| (to, ratio)).map_err(|error| chain(&error))
}

fn key(args: &ModelKey) -> Result<(), Failure> {
    let key = SecretKey::create(&args.file).map_err(at("there is no new key"))?;
    say(&format!("the secret key lies in {}; stations trust it with [model] trusted_keys = [\"{}\"]", args.file.display(), key.public()))
}

fn sign(args: &ModelSign) -> Result<(), Failure> {
    let folder = folder_of(&args.package)?;
    // Nobody vouches for what is not whole.
    let package = open(&folder, &[])?;
    let key = SecretKey::read(&args.key).map_err(at("the key cannot be used"))?;
    vision_models::package::sign(&folder, &key).map_err(at("the package is not signed"))?;
    say(&format!("{} is signed with the key {}", package.model().package, key.public()))
}

fn cut(args: &ModelCut) -> Result<(), Failure> {
    let clock: MonoClock = Arc::new(thread_cpu_micros);
    let folder = folder_of(&args.package)?;
    let runtime = runtime()?;
    let ratio = vision_models::cut::cut_package(&runtime, &folder, &args.to, &clock).map_err(at("nothing was cut"))?;
    let package = open(&args.to, &[])?;
    say(&format!(
        "{} lies in {} and is proved on the same golden pieces: {:.0} % of the time of the whole one, here; `jidoka model add {}` keeps it",
        package.model().package,
        args.to.display(),
        100.0 * ratio,
        args.to.display()
    ))
}

fn look(args: &ModelLook) -> Result<(), Failure> {
    let package = open(&folder_of(&args.package)?, &[])?;
    let picture = Picture::read(&args.image).map_err(at("--image"))?;
    let seen = vision_models::anomaly::look(&runtime()?, &package, &picture).map_err(at("the picture cannot be looked at"))?;
    let seen = seen.ok_or_else(|| Failure {
        text: format!(
            "{} is for the task {}; only taught packages (task anomaly) have a heat map",
            args.package,
            package.manifest().task.name()
        ),
        code: USAGE,
    })?;
    seen.write_over(&picture, &args.out).map_err(at("--out"))?;
    let verdict = if seen.score >= 0.5 { "at or above" } else { "below" };
    say(&format!("score {:.3}, {verdict} the package's threshold of 0.5; map in {}", seen.score, args.out.display()))
}

/// What to write into the settings to use a package, or how to bring it to where packages lie.
pub(super) fn shown_as_package(folder: &Path) -> String {
    format!("[model] package = \"{}\" uses it; `jidoka model eval --package {} --data DIR` measures it", folder.display(), folder.display())
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

fn open(folder: &Path, trusted: &[PublicKey]) -> Result<Package, Failure> {
    Ok(Package::open_trusted(folder, trusted).map_err(at("the package is refused"))?)
}

fn load(package: &Package, clock: MonoClock) -> Result<Detector, Failure> {
    Ok(Detector::load(&runtime()?, package, clock).map_err(at("the package is refused"))?)
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    Ok(Runtime::find().map_err(at("ONNX Runtime"))?)
}
