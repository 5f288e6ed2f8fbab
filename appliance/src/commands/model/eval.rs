//! `jidoka model eval`: a package measured on pictures whose faults are known, by the measures of its task.

use super::{folder_of, load, open};
use crate::cli::ModelEval;
use crate::clock::thread_cpu_micros;
use crate::commands::{Failure, say};
use crate::pipeline::at;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use vision_models::boards::{BoardSettings, Boards};
use vision_models::camera::{BoardFolder, GeneratedBoards, Watched};
use vision_models::detector::Detector;
use vision_models::evaluate::{
    AnomalyFigures, Figures, Judged, KindFigures, RegionFigures, anomaly_figures, classify_all, figures, inspect_all, score_all,
    segment_all,
};
use vision_models::frame::MonoClock;
use vision_models::package::{Package, Task};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<F> {
    package: String,
    weights_sha256: String,
    data: String,
    #[serde(flatten)]
    figures: F,
}

pub(super) fn eval(args: &ModelEval) -> Result<(), Failure> {
    let package = open(&folder_of(&args.package)?, &[])?;
    // The model runs in this thread, so that its time is this thread's and not that of whoever else is busy.
    let clock: MonoClock = Arc::new(thread_cpu_micros);
    let mut detector = load(&package, Arc::clone(&clock))?;
    let classes = package.classes();
    let at_data = |folder: &Path| format!("--data {}", folder.display());
    let folder = || {
        let task = package.manifest().task.name();
        let text =
            || format!("{} is for the task {task}, and boards are drawn for the task compare: name --data DIR", package.model().package);
        args.data.as_deref().ok_or_else(|| Failure { text: text(), code: super::USAGE })
    };
    match package.manifest().task {
        Task::Compare(_) | Task::Detect(_) => eval_boxes(args, &package, &mut detector, clock),
        Task::Classify(_) => {
            let folder = folder()?;
            let figures = classify_all(&mut detector, &classes, folder, &clock).map_err(at(&at_data(folder)))?;
            tell(args, &Report::of(&package, folder.display().to_string(), figures), kinds)
        }
        Task::Segment(_) => {
            let folder = folder()?;
            let figures = segment_all(&mut detector, &classes, folder, &clock).map_err(at(&at_data(folder)))?;
            tell(args, &Report::of(&package, folder.display().to_string(), figures), regions)
        }
        Task::Anomaly(_) => {
            let folder = folder()?;
            let scored = score_all(&mut detector, folder, &clock).map_err(at(&at_data(folder)))?;
            let threshold = classes.first().map_or(0.5, |class| class.threshold);
            tell(args, &Report::of(&package, folder.display().to_string(), anomaly_figures(&scored, threshold)), anomalies)
        }
    }
}

impl<F: Serialize> Report<F> {
    fn of(package: &Package, data: String, figures: F) -> Self {
        let model = package.model();
        Self { package: model.package.clone(), weights_sha256: model.weights.to_string(), data, figures }
    }
}

fn tell<F: Serialize>(args: &ModelEval, report: &Report<F>, lines: impl Fn(&F) -> Vec<(String, String)>) -> Result<(), Failure> {
    if args.json {
        return say(&serde_json::to_string_pretty(report).map_err(at("the report"))?);
    }
    let Report { package, weights_sha256, data, figures } = report;
    let mut text = format!("{package} (weights {weights_sha256})\non {data}\n\n");
    for (what, value) in lines(figures) {
        text.push_str(&format!("  {what:<46} {value}\n"));
    }
    say(text.trim_end())
}

fn eval_boxes(args: &ModelEval, package: &Package, detector: &mut Detector, clock: MonoClock) -> Result<(), Failure> {
    let (judged, data) = match (&args.data, args.drawn) {
        (Some(folder), _) => (of_folder(detector, folder, clock)?, folder.display().to_string()),
        (None, count) => {
            let settings = BoardSettings { seed: args.seed, bad_share: args.bad_share, ..BoardSettings::default() };
            let boards = Arc::new(Boards::new(settings).map_err(at("--bad-share"))?);
            let mut camera = Watched::new(GeneratedBoards::new("cam0", Arc::clone(&boards), Arc::default(), clock));
            let judged = inspect_all(detector, &mut camera, boards.as_ref(), count.unwrap_or(0), GeneratedBoards::frame_bytes());
            (judged.map_err(at("the drawn boards"))?, format!("boards drawn from seed {}, {} of them bad", args.seed, args.bad_share))
        }
    };
    if let Some(file) = &args.findings {
        std::fs::write(file, findings(&judged)?).map_err(at(&format!("--findings {}", file.display())))?;
    }
    tell(args, &Report::of(package, data, figures(&judged, &package.classes())), boxes)
}

fn of_folder(detector: &mut Detector, folder: &Path, clock: MonoClock) -> Result<Vec<Judged>, Failure> {
    let what = || format!("{} cannot be used", folder.display());
    let mut camera = BoardFolder::open("cam0", folder, Arc::default(), clock).map_err(at(&what()))?;
    let (index, bytes) = (camera.index(), camera.frame_bytes().map_err(at(&what()))?);
    let count = u32::try_from(camera.count()).unwrap_or(u32::MAX);
    // Not watched for stale frames: two equal pictures in a data set are two pictures.
    Ok(inspect_all(detector, &mut camera, index.as_ref(), count, bytes).map_err(at(&what()))?)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn boxes(figures: &Figures) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |what: &str, value: String| lines.push((what.to_owned(), value));
    line("pictures, faults", format!("{}, {}", figures.pictures, figures.defects));
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
    lines
}

fn anomalies(figures: &AnomalyFigures) -> Vec<(String, String)> {
    let mut lines = vec![("pictures".to_owned(), figures.images.to_string())];
    let mut line = |what: &str, value: String| lines.push((what.to_owned(), value));
    let area = |auroc: Option<f64>| auroc.map_or("needs good and bad pieces".to_owned(), |auroc| format!("{auroc:.4}"));
    let confusion = figures.confusion;
    line("area under the ROC curve", area(figures.auroc));
    line("at the package's threshold:", String::new());
    let of = |part: u64, rest: u64, share: f64| format!("{part} of {} ({})", part + rest, percent(share));
    line("  bad pieces passed", of(confusion.bad_passed, confusion.bad_rejected, figures.escape));
    line("  good pieces rejected", of(confusion.good_rejected, confusion.good_passed, figures.overkill));
    line("by folder: area, passed", String::new());
    for (name, kind) in &figures.by_kind {
        line(&format!("  {name}"), format!("{}, {} of {}", area(kind.auroc), kind.passed, kind.images));
    }
    line("CPU from picture to finding, mean", format!("{:.2} ms", figures.cpu_millis_per_image));
    lines
}

fn kinds(figures: &KindFigures) -> Vec<(String, String)> {
    let mut lines = vec![("pictures".to_owned(), figures.pictures.to_string())];
    let mut line = |what: &str, value: String| lines.push((what.to_owned(), value));
    line("accuracy", percent(figures.accuracy));
    line("bad pictures passed, good ones rejected", format!("{}, {}", percent(figures.escape), percent(figures.overkill)));
    line("what is there, and what it is said to be:", figures.kinds.join(", "));
    for (kind, row) in figures.kinds.iter().zip(&figures.confusion) {
        line(&format!("  {kind}"), row.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    }
    line("CPU from picture to findings, p50 and p99", format!("{:.2} ms, {:.2} ms", figures.cpu_ms.p50, figures.cpu_ms.p99));
    lines
}

fn regions(figures: &RegionFigures) -> Vec<(String, String)> {
    let mut lines = vec![("pictures".to_owned(), figures.pictures.to_string())];
    let mut line = |what: &str, value: String| lines.push((what.to_owned(), value));
    line("mean intersection over union of classes", format!("{:.4}", figures.iou_mean));
    for class in &figures.iou {
        line(&format!("  {}", class.class), class.iou.map_or("nothing of it here".to_owned(), |iou| format!("{iou:.4}")));
    }
    line("bad pictures passed, good ones rejected", format!("{}, {}", percent(figures.escape), percent(figures.overkill)));
    line("CPU from picture to findings, p50 and p99", format!("{:.2} ms, {:.2} ms", figures.cpu_ms.p50, figures.cpu_ms.p99));
    lines
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
