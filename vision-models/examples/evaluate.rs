//! What a package reaches at its own thresholds: on drawn boards, and on DeepPCB's training part if it is there.
//!
//! `cargo run -p vision-models --example evaluate -- [--package DIR] [--boards N] [--seeds A,B,…] [--folder DIR] [--scores FILE]`
//!
//! `--scores` writes every finding above the floor with what it belongs to, one line each, to choose thresholds from.

use station::inspection::Finding;
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use vision_models::boards::{BoardSettings, Boards};
use vision_models::camera::{BoardFolder, Camera, CameraFaults, GeneratedBoards, GroundTruth, Watched};
use vision_models::detector::Detector;
use vision_models::frame::{FramePool, MonoClock};
use vision_models::package::Package;
use vision_models::runtime::Runtime;
use vision_models::score::{Score, belongs, score};

struct Bench {
    detector: Detector,
    classes: Vec<DefectClass>,
    lines: String,
}

impl Bench {
    fn run(
        &mut self,
        title: &str,
        camera: &mut dyn Camera,
        truth: &dyn GroundTruth,
        pieces: u32,
        bytes: usize,
    ) -> Result<Score, Box<dyn Error>> {
        let pool = FramePool::new(1, bytes);
        let name: Arc<str> = camera.name().into();
        let mut total = Score::default();
        let mut times: Vec<[u64; 4]> = Vec::new();
        for piece in (1..=pieces).map(PieceId) {
            let frame = camera.grab(piece, &pool)?;
            let inspection = self.detector.inspect(&frame, piece, &name)?;
            let faults = truth.truth(piece);
            for finding in &inspection.findings {
                let hit = faults.iter().position(|fault| belongs(finding, fault)).map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
                let (class, score, at) = (finding.class.0, finding.score, finding.bounds);
                writeln!(self.lines, "{title} {} {} {class} {score:.4} {hit} {:.0} {:.0}", piece.0, faults.len(), at.x1, at.y1)?;
            }
            if inspection.findings.is_empty() {
                writeln!(self.lines, "{title} {} {} 0 0 -1 0 0", piece.0, faults.len())?;
            }
            total += score(&self.defects(&inspection.findings), &faults);
            let micros = inspection.micros;
            times.push([micros.capture, micros.prepare, micros.infer, micros.decode]);
        }
        print(title, &total, &mut times);
        Ok(total)
    }

    fn defects(&self, findings: &[Finding]) -> Vec<Finding> {
        let counts = |finding: &&Finding| {
            let class = usize::from(finding.class.0).checked_sub(1).and_then(|index| self.classes.get(index));
            class.is_some_and(|class| finding.score >= class.threshold)
        };
        findings.iter().filter(counts).copied().collect()
    }
}

fn print(title: &str, total: &Score, times: &mut [[u64; 4]]) {
    let percent = |part: u64, whole: u64| 100.0 * share(part, whole);
    println!(
        "{title}: {} pieces, {} bad, escapes {} ({:.2} %), overkill {} ({:.2} % of good), defects {}, missed {} ({:.2} %), false calls {} ({:.3} a piece)",
        total.pieces,
        total.bad_pieces,
        total.escapes,
        percent(total.escapes, total.bad_pieces),
        total.overkills,
        percent(total.overkills, total.pieces - total.bad_pieces),
        total.defects,
        total.missed,
        percent(total.missed, total.defects),
        total.false_calls,
        share(total.false_calls, total.pieces),
    );
    for (index, stage) in ["capture", "prepare", "infer", "decode"].iter().enumerate() {
        times.sort_by_key(|time| time[index]);
        let at = |share: usize| times.get(times.len() * share / 100).map_or(0, |time| time[index]);
        print!("  {stage} p50 {} p99 {} us", at(50), at(99));
    }
    println!();
}

#[expect(clippy::cast_precision_loss, reason = "counts of pieces, for people")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / (whole.max(1)) as f64
}

fn main() -> Result<(), Box<dyn Error>> {
    let home = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "vision-models".into()));
    let (mut package, mut folder) = (home.join("packages/pcb"), home.join("../../shared/data/deeppcb"));
    let (mut count, mut scores, mut seeds) = (500, None, vec![7, 11, 1234]);
    let mut arguments = std::env::args().skip(1);
    while let Some(key) = arguments.next() {
        let value = arguments.next().ok_or(format!("{key} needs a value"))?;
        match key.as_str() {
            "--package" => package = value.into(),
            "--boards" => count = value.parse()?,
            "--folder" => folder = value.into(),
            "--seeds" => seeds = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--scores" => scores = Some(value),
            _ => return Err(format!("unknown option {key}").into()),
        }
    }
    let start = Instant::now();
    let clock: MonoClock = Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    let package = Package::open(&package)?;
    let detector = Detector::load(&Runtime::find()?, &package, Arc::clone(&clock))?;
    let mut bench = Bench { detector, classes: package.classes(), lines: String::new() };
    for seed in seeds {
        for bad_share in [0.1, 1.0] {
            let boards = Arc::new(Boards::new(BoardSettings { seed, bad_share, ..BoardSettings::default() })?);
            let camera = GeneratedBoards::new("cam0", Arc::clone(&boards), Arc::default(), Arc::clone(&clock));
            let title = format!("boards-seed-{seed}-bad-{bad_share}");
            bench.run(&title, &mut Watched::new(camera), boards.as_ref(), count, GeneratedBoards::frame_bytes())?;
        }
    }
    real_boards(&mut bench, &folder, clock)?;
    if let Some(path) = scores {
        std::fs::write(path, &bench.lines)?;
    }
    Ok(())
}

fn real_boards(bench: &mut Bench, folder: &Path, clock: MonoClock) -> Result<(), Box<dyn Error>> {
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return Ok(());
    }
    let camera = BoardFolder::open("cam0", folder, Arc::new(CameraFaults::default()), clock)?;
    let (index, bytes) = (camera.index(), camera.frame_bytes()?);
    let count = u32::try_from(camera.count())?;
    bench.run("deeppcb", &mut Watched::new(camera), index.as_ref(), count, bytes)?;
    Ok(())
}
