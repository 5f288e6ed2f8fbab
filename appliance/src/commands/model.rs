//! `jidoka model`: packages listed, proved and measured.

use super::{Failure, say};
use crate::cli::{Model, ModelAdd, ModelEval};
use crate::clock::Clock;
use crate::packages;
use crate::pipeline::at;
use crate::pipeline::see::chain;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vision_models::boards::{BoardSettings, Boards};
use vision_models::camera::{BoardFolder, GeneratedBoards, Watched};
use vision_models::detector::Detector;
use vision_models::evaluate::{Figures, Judged, figures, inspect_all};
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
        Model::Eval(args) => eval(args),
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

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    package: String,
    weights_sha256: String,
    data: String,
    #[serde(flatten)]
    figures: Figures,
}

fn eval(args: &ModelEval) -> Result<(), Failure> {
    let folder = folder_of(&args.package)?;
    let package = open(&folder)?;
    // The model runs in this thread, so that its time is this thread's and not that of whoever else is busy.
    let clock: MonoClock = Arc::new(cpu_micros);
    let mut detector = load(&package, Arc::clone(&clock))?;
    let (judged, data) = match (&args.data, args.drawn) {
        (Some(folder), _) => (of_folder(&mut detector, folder, clock)?, folder.display().to_string()),
        (None, count) => {
            let settings = BoardSettings { seed: args.seed, bad_share: args.bad_share, ..BoardSettings::default() };
            let boards = Arc::new(Boards::new(settings).map_err(at("--bad-share"))?);
            let mut camera = Watched::new(GeneratedBoards::new("cam0", Arc::clone(&boards), Arc::default(), clock));
            let judged = inspect_all(&mut detector, &mut camera, boards.as_ref(), count.unwrap_or(0), GeneratedBoards::frame_bytes());
            (judged.map_err(at("the drawn boards"))?, format!("boards drawn from seed {}, {} of them bad", args.seed, args.bad_share))
        }
    };
    if let Some(file) = &args.findings {
        std::fs::write(file, findings(&judged)?).map_err(at(&format!("--findings {}", file.display())))?;
    }
    let (package_name, weights_sha256) = (package.model().package.clone(), package.model().weights.to_string());
    let report = Report { package: package_name, weights_sha256, data, figures: figures(&judged, &package.classes()) };
    if args.json { say(&serde_json::to_string_pretty(&report).map_err(at("the report"))?) } else { say(&table(&report)) }
}

fn of_folder(detector: &mut Detector, folder: &Path, clock: MonoClock) -> Result<Vec<Judged>, Failure> {
    let what = || format!("{} cannot be used", folder.display());
    let mut camera = BoardFolder::open("cam0", folder, Arc::default(), clock).map_err(at(&what()))?;
    let (index, bytes) = (camera.index(), camera.frame_bytes().map_err(at(&what()))?);
    let count = u32::try_from(camera.count()).unwrap_or(u32::MAX);
    // Not watched for stale frames: two equal pictures in a data set are two pictures.
    Ok(inspect_all(detector, &mut camera, index.as_ref(), count, bytes).map_err(at(&what()))?)
}

fn table(report: &Report) -> String {
    let Report { package, weights_sha256, data, figures } = report;
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut text =
        format!("{package} (weights {weights_sha256})\non {data}: {} pictures, {} faults\n\n", figures.pictures, figures.defects);
    let mut line = |what: &str, value: String| text.push_str(&format!("  {what:<46} {value}\n"));
    line("average precision, overlap above 0.33", format!("{:.4}", figures.ap_iou_033));
    line("mean average precision of classes, overlap 0.5", format!("{:.4}", figures.map_iou_050));
    for class in &figures.ap_iou_050 {
        line(&format!("  {}", class.class), class.ap.map_or("no fault of it here".to_owned(), |ap| format!("{ap:.4}")));
    }
    let best = figures.f_best;
    line("best F, at", format!("{:.4}, {:.2}", best.value, best.threshold));
    let one = figures.missed_share_at_one_false_call;
    line("missed at one false call a picture, at", format!("{}, {:.2}", percent(one.value), one.threshold));
    line("at the package's thresholds:", String::new());
    line("  precision, recall, F", format!("{:.4}, {:.4}, {:.4}", figures.precision, figures.recall, figures.f));
    line("  faults missed", format!("{} ({})", figures.missed, percent(figures.missed_share)));
    line("  false calls a picture", format!("{:.3}", figures.false_calls_per_picture));
    line("  bad pictures passed, good ones rejected", format!("{}, {}", figures.pictures_escaped, figures.pictures_overkilled));
    let tiles = figures.tiles;
    line(&format!("  tiles of {}: escape, overkill", tiles.side), format!("{}, {}", percent(tiles.escape), percent(tiles.overkill)));
    line("CPU from picture to findings, p50 and p99", format!("{:.2} ms, {:.2} ms", figures.cpu_ms.p50, figures.cpu_ms.p99));
    text.trim_end().to_owned()
}

fn findings(judged: &[Judged]) -> Result<String, Failure> {
    let mut text = String::new();
    for (piece, judged) in (1_u32..).zip(judged) {
        for finding in &judged.findings {
            let fault = judged.truth.iter().position(|fault| vision_models::score::belongs(finding, fault));
            let line = serde_json::json!({ "piece": piece, "finding": finding, "fault": fault, "faults": judged.truth.len() });
            text.push_str(&serde_json::to_string(&line).map_err(at("the findings"))?);
            text.push('\n');
        }
    }
    Ok(text)
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

/// Microseconds of CPU that this thread has had.
fn cpu_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1000
}
