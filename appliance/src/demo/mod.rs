//! The simulated line: boards, PLC and backend are simulated and say so; everything between them is the real appliance.
//!
//! Invariant: the demonstration runs the same `Line` from the same kind of settings file as `jidoka run` does.

pub mod hands;
pub mod inject;
pub mod world;

use crate::cli;
use crate::config::{CameraSource, DemoPlaces, Settings, demo_settings, write_demo_config};
use crate::demo::hands::Hands;
use crate::demo::inject::Injection;
use crate::demo::world::World;
use crate::host::resident_mib;
use crate::packages;
use crate::pipeline::rig::Rig;
use crate::pipeline::{Line, LineError, Run, at};
use crate::report::{Fold, Latency, Report};
use crate::store::{read, verify};
use station::action::Role;
use station::record::EntryNumber;
use station::units::Micros;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vision_models::camera::GroundTruth;

/// Port on which the written configuration expects the simulated PLC.
const PLC_PORT: u16 = 5020;
/// Port on which the written configuration expects the backend.
const BACKEND_PORT: u16 = 8090;
/// What happens to a demonstration that nobody disturbs, and what is said about it. The chart has its limits after 25 pieces.
const STORY: [(&str, &str); 3] = [
    ("drift:paste_height=0.5@40", "from piece 40 on the paste height drifts, until a chart stops the line"),
    ("camera:freeze@150", "at piece 150 the camera freezes: what it shows was seen before, so nothing passes and the line stops"),
    ("model:slow@250", "at piece 250 the model becomes too slow: late verdicts are holds, and the line stops"),
];
/// How long a headless run waits for the last parcels and the last pieces on the belt.
const DRAIN: Duration = Duration::from_secs(60);

/// Runs the demonstration to its end.
pub fn demo(args: &cli::Demo) -> Result<(), LineError> {
    if let Some(dir) = &args.write_config {
        return write_config(args, dir);
    }
    // Somebody who only looks is shown what the appliance is for; whoever asks for a disturbance gets that one alone.
    let told = args.inject.is_empty() && !args.headless;
    let asked: Vec<String> = if told { STORY.iter().map(|(what, _)| (*what).to_owned()).collect() } else { args.inject.clone() };
    let injections: Vec<Injection> = asked.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(at("--inject"))?;
    let scratch = tempfile::tempdir().map_err(at("no temporary folder"))?;
    let data = args.data.clone().unwrap_or_else(|| scratch.path().to_owned());
    let before = verify::verify(&data).map_or(0, |report| report.pieces);

    let backend = world::Backend::start(&data.join("backend"))?;
    let places = places(args, &data, "127.0.0.1:1".to_owned(), &backend.url)?;
    let config = data.join("config");
    let mut planned = demo_settings(&config, &places).map_err(at("the demonstration's settings"))?;
    if args.headless {
        without_a_belt(&mut planned);
    }
    let world = World::start(args, &planned, &injections, before)?;
    let places = DemoPlaces { plc_address: world.address.to_string(), ..places };
    let mut settings = load(&config, &places, &backend.token)?;
    gentle_with_bad_folders(&mut settings);
    if args.headless {
        without_a_belt(&mut settings);
    }

    let mut rig = Rig::open(&settings)?;
    let truth = Arc::clone(&rig.truth);
    rig.before_grab = world.before_grab(&injections, &rig, settings.recipe.verdict_deadline);
    let sign_in = if args.headless { None } else { Some(first_people(&settings)?) };
    let run = Run { rig, simulated: true, journal: args.journal.clone(), alive: Box::new(|| ()), page: !args.headless };
    let line = Line::start(&settings, run)?;
    if let Some([supervisor, officer]) = sign_in {
        say(&format!("page: http://{}/\nsign in: supervisor / {supervisor}", line.page.unwrap_or(settings.page.listen)))?;
        say(&format!("or, to overrule, hold and recall: officer / {officer}"))?;
        if told {
            STORY.iter().try_for_each(|(_, words)| say(&format!("story: {words}")))?;
        }
        say(&format!("simulated PLC: {} (Modbus TCP) · backend: {} · records: {}", world.address, backend.url, data.display()))?;
    }
    let hands = Hands { auto_release: args.auto_release || args.headless, world: &world, pieces: args.pieces.map(u64::from) };
    hands.watch(&line, DRAIN)?;
    finish(args, line, world, backend, &data, &*truth)
}

/// Stops everything in order, and reports what the ledger says.
fn finish(
    args: &cli::Demo,
    line: Line,
    world: World,
    backend: world::Backend,
    data: &Path,
    truth: &dyn GroundTruth,
) -> Result<(), LineError> {
    let (setup, latency) = (line.setup.clone(), Latency::of(&line.meter));
    let outbox = line.deliveries.iter().map(|(name, delivery)| {
        let delivery = delivery.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        (name.clone(), delivery.counts)
    });
    let outbox = outbox.collect();
    let from = EntryNumber(line.entries_before + 1);
    let late = line.stop();
    world.stop();
    backend.stop();
    if args.report.is_some() {
        let of_piece = |piece| truth.truth(piece);
        let mut fold = Fold::new(&setup.recipe, args.seed, &of_piece);
        let read = read::read_from(&data.join("ledger"), from, &mut |kept| {
            fold.push(&kept.entry);
            ControlFlow::Continue(())
        });
        read.map_err(at("the ledger cannot be read"))?;
        let verified = verify::verify(data).map_err(at("the ledger cannot be verified"))?;
        let mut report = Report { outbox, latency_micros: latency, rss_mib_max: resident_mib().0, ..fold.finish() };
        report.ledger.verified = verified.whole;
        say(&serde_json::to_string(&report).map_err(at("the report"))?)?;
    }
    if late.is_empty() {
        Ok(())
    } else {
        Err(LineError { what: format!("threads that did not end in time: {}", late.join(", ")), source: None })
    }
}

fn say(text: &str) -> Result<(), LineError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(at("standard output"))
}

fn places(args: &cli::Demo, data: &Path, plc_address: String, backend: &str) -> Result<DemoPlaces, LineError> {
    let camera = match &args.boards {
        Some(path) => CameraSource::Folder { path: std::path::absolute(path).map_err(at("--boards"))? },
        None => CameraSource::Generated { seed: args.seed, bad_share: args.bad_share },
    };
    Ok(DemoPlaces {
        plc_address,
        page_listen: args.listen,
        traceability_url: backend.to_owned(),
        grading_url: backend.to_owned(),
        package: package(args.package.as_deref())?,
        onnxruntime: None,
        data_directory: std::path::absolute(data).map_err(at("--data"))?,
        camera,
    })
}

fn load(config: &Path, places: &DemoPlaces, token: &str) -> Result<Settings, LineError> {
    let file = write_demo_config(config, places).map_err(at("the demonstration's settings cannot be written"))?;
    for name in ["traceability.token", "grading.token"] {
        write_secret(&config.join(name), token).map_err(at("a token file cannot be written"))?;
    }
    Settings::load(&file).map_err(at("the demonstration's settings"))
}

fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")
}

/// A folder of real pictures holds bad boards only, so stops that count rejects would stop at every fourth piece and show nothing.
fn gentle_with_bad_folders(settings: &mut Settings) {
    if matches!(settings.camera.source, CameraSource::Folder { .. }) {
        settings.stop_policy.consecutive_rejects = u32::MAX;
        settings.stop_policy.reject_rate_max = settings.stop_policy.reject_rate_window;
    }
}

/// A headless run waits for every verdict, so there is no belt to be late for: a machine that is busy with something else must
/// not look like a PLC or a model that is broken.
fn without_a_belt(settings: &mut Settings) {
    settings.recipe.verdict_deadline = Micros::from_millis(3000);
    if let Some(plc) = &mut settings.plc {
        plc.request_timeout_millis = 3000;
    }
    settings.handshake.plc_heartbeat_timeout_millis = 5000;
    settings.handshake.vision_heartbeat_timeout_millis = 5000;
}

/// Makes the two who can sign in to the page of this run, supervisor and quality officer, with passwords made for it.
fn first_people(settings: &Settings) -> Result<[String; 2], LineError> {
    if settings.page.users.exists() {
        std::fs::remove_file(&settings.page.users).map_err(at("the users of the last demonstration"))?;
    }
    let users = web_ui::Users::open(&settings.page.users).map_err(at("the users of the page"))?;
    let passwords = [random_hex(8)?, random_hex(8)?];
    let people = [("supervisor", Role::Supervisor), ("officer", Role::QualityOfficer)];
    for ((name, role), password) in people.into_iter().zip(&passwords) {
        users.add(name, role, password).map_err(at("the users of the page"))?;
    }
    Ok(passwords)
}

/// Random bytes as hexadecimal digits.
pub fn random_hex(bytes: usize) -> Result<String, LineError> {
    let mut random = vec![0_u8; bytes];
    getrandom::fill(&mut random).map_err(at("the system gives no random numbers"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The model package: named, or the one that comes with the program.
fn package(named: Option<&Path>) -> Result<PathBuf, LineError> {
    if let Some(named) = named {
        return std::path::absolute(named).map_err(at("--package"));
    }
    packages::find(packages::OWN)
        .into_iter()
        .next()
        .ok_or_else(|| LineError { what: "no model package beside the program; name one with --package DIR".to_owned(), source: None })
}

fn write_config(args: &cli::Demo, dir: &Path) -> Result<(), LineError> {
    let data = args.data.clone().unwrap_or_else(|| dir.join("data"));
    let plc = if args.plc_listen.port() == 0 { format!("127.0.0.1:{PLC_PORT}") } else { args.plc_listen.to_string() };
    let places = places(args, &data, plc.clone(), &format!("http://127.0.0.1:{BACKEND_PORT}"))?;
    load(dir, &places, &random_hex(16)?)?;
    let dir = dir.display();
    say(&format!(
        "wrote {dir}/jidoka.toml; the same line, in three windows:\n  jidoka plc sim --listen {plc} --seed {} --pace {}\n  jidoka backend --listen 127.0.0.1:{BACKEND_PORT} --data {}/backend --token-file {dir}/traceability.token\n  jidoka run --config {dir}/jidoka.toml",
        args.seed,
        args.pace,
        data.display()
    ))
}
