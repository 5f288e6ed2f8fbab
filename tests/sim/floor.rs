//! A line that survives its appliance: the simulated PLC lives in the test's process, the backend is a process of its own, and
//! the appliance is the real program, which may be killed, or lose its disk, at any moment.
//!
//! Invariant: whatever is done to the appliance, PLC and backend remember what really happened.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use crate::binary::Running;
use crate::settings::{LENIENT, set};
use plc_bridge::sim::{Observed, Pace, Sim, SimHandle, SimSettings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longer than anything here takes on a crowded machine.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// While the line is waited for, the appliance is looked after this often: if it has left, nobody needs to wait on.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// The belt is fast enough that several pieces are always between camera and gate.
const PIECES_PER_MINUTE: f64 = 300.0;
/// A verdict is acted on at once, its record is durable some milliseconds later. A kill in between leaves a piece that the PLC
/// was told to pass and whose record is the hold of an interrupted piece: it can be found and looked at. At this pace a sync
/// would have to take longer than the belt needs for a pitch (200 ms) before a kill could leave more than one.
const IN_FLIGHT_MAX: usize = 1;
/// Where the status block says whether the line may run, as PLC programs read it: holding register 1001, bit 7.
const RUN_PERMIT: (u16, u16) = (1001, 1 << 7);

/// A sequence of numbers that can be had again by its seed (SplitMix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number, from 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A number in the environment, for campaigns (`ROUNDS=200`) and for having one again (`SEED=…`).
///
/// # Panics
/// If it is there and no number.
#[must_use]
pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// The seed of a campaign: `SEED`, or the time. Printed, so that it can be had again.
///
/// # Panics
/// If `SEED` is no number.
#[must_use]
pub fn seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
    let seed = from_environment("SEED").unwrap_or(now);
    println!("SEED={seed}");
    seed
}

/// What the ledger was when nobody could write it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What `jidoka verify --json` said.
    pub report: Value,
    /// Each segment's bytes by its file's name, without a torn end.
    pub segments: BTreeMap<PathBuf, Vec<u8>>,
}

impl Ledger {
    /// Verifies the ledger in `data` with the real program, and reads it.
    ///
    /// # Panics
    /// If it is not whole.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        let mut verify = Running::start(&["verify", "--json", "--data", data.to_str().unwrap()]);
        let status = verify.wait(DEADLINE);
        let report: Value = serde_json::from_str(verify.stdout().first().map_or("null", String::as_str)).unwrap();
        assert!(status.success() && report["whole"] == true, "{report}\n{}", verify.stderr());
        let mut segments = BTreeMap::new();
        for file in fs::read_dir(data.join("ledger")).into_iter().flatten().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "seg") {
                let mut bytes = fs::read(&file).unwrap();
                if report["torn"]["file"] == file.to_str().unwrap() {
                    bytes.truncate(usize::try_from(report["torn"]["from"].as_u64().unwrap()).unwrap());
                }
                segments.insert(PathBuf::from(file.file_name().unwrap()), bytes);
            }
        }
        Self { report, segments }
    }

    /// A number of the report, by its JSON pointer; 0 if it has none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        self.report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Everything that was in `before` is still there, byte for byte, and what is new comes after it.
    ///
    /// # Panics
    /// If not.
    pub fn assert_continues(&self, before: &Self) {
        for (file, old) in &before.segments {
            let new = self.segments.get(file).unwrap_or_else(|| panic!("{} is gone", file.display()));
            assert!(new.starts_with(old), "{}: what was written has changed", file.display());
        }
        for count in ["/head/number", "/head/pieces", "/entries", "/pieces"] {
            assert!(self.number(count) >= before.number(count), "{count}: {} → {}", before.report, self.report);
        }
    }
}

/// A line with a PLC, a backend, and an appliance that is not running.
#[derive(Debug)]
pub struct Floor {
    /// The PLC.
    pub plc: SimHandle,
    runtime: Runtime,
    backend: String,
    token: String,
    /// The settings file.
    pub config: PathBuf,
    /// The data folder of the appliance.
    pub data: PathBuf,
    _backend: Running,
    _folder: TempDir,
}

impl Floor {
    /// A line whose appliance keeps its data in `data`, or beside its settings. `changes` are keys of the settings and their values.
    ///
    /// # Panics
    /// If something of it cannot be started.
    #[must_use]
    pub fn new(seed: u64, data: Option<&Path>, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, data) = (folder.path().to_str().unwrap(), data.map_or_else(|| folder.path().join("data"), Path::to_owned));
        let runtime = Runtime::new().unwrap();
        // Tags, gate and time-outs are the sample settings', which the demonstration's settings keep.
        let settings = SimSettings { seed, pace: Pace::Paced { pieces_per_minute: PIECES_PER_MINUTE }, ..SimSettings::default() };
        let sim = runtime.block_on(Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), settings)).unwrap();
        let (plc, address) = (sim.handle(), sim.local_addr().to_string());
        runtime.spawn(sim.run(std::future::pending()));

        let write = [
            "demo",
            "--write-config",
            dir,
            "--plc-listen",
            &address,
            "--listen",
            "127.0.0.1:0",
            "--bad-share",
            "0.05",
            "--data",
            data.to_str().unwrap(),
        ];
        let mut writer = Running::start(&write);
        let written = writer.wait(DEADLINE);
        assert!(written.success(), "{written}: {}", writer.stderr());
        let token_file = folder.path().join("traceability.token");
        let kept = folder.path().join("backend");
        let serve = ["backend", "--listen", "127.0.0.1:0", "--data", kept.to_str().unwrap(), "--token-file", token_file.to_str().unwrap()];
        let process = Running::start(&serve);
        let backend = process.wait_line("backend: ", DEADLINE);

        let config = folder.path().join("jidoka.toml");
        let url = format!("{backend:?}");
        let text = LENIENT
            .iter()
            .chain(changes)
            .chain([&("url", url.as_str())])
            .fold(fs::read_to_string(&config).unwrap(), |text, (key, value)| set(&text, key, value));
        fs::write(&config, text).unwrap();
        let token = fs::read_to_string(token_file).unwrap().trim().to_owned();
        Self { plc, runtime, backend, token, config, data, _backend: process, _folder: folder }
    }

    /// Starts the appliance.
    #[must_use]
    pub fn start(&self) -> Running {
        Running::start(&["run", "--config", self.config.to_str().unwrap()])
    }

    /// Starts the appliance with something more in its environment.
    #[must_use]
    pub fn start_with(&self, environment: &[(&str, &Path)]) -> Running {
        Running::start_with(&["run", "--config", self.config.to_str().unwrap()], environment)
    }

    /// Waits until the line is as `wanted`; shows what `appliance` said if it does not become so.
    ///
    /// # Panics
    /// Then.
    pub fn wait(&self, what: &str, appliance: Option<&Running>, mut wanted: impl FnMut(&Observed) -> bool) -> Observed {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && appliance.is_none_or(Running::is_running) {
            let seen = self.runtime.block_on(async { timeout(LOOK_AFTER, self.plc.wait_until(&mut wanted)).await });
            if let Ok(seen) = seen {
                return seen;
            }
        }
        let said = appliance.map(Running::stderr).unwrap_or_default();
        let seen = Observed { passed_ids: Default::default(), rejected_ids: Default::default(), ..self.plc.observe() };
        panic!("{what}: it never came to that\n{seen:#?}\n{said}")
    }

    fn permit_in_register(&self) -> bool {
        self.plc.holding(RUN_PERMIT.0, 1).unwrap()[0] & RUN_PERMIT.1 != 0
    }

    /// The line runs, pieces arrive and their results are read.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn wait_until_it_inspects(&self, appliance: &Running, pieces: u32) {
        let before = self.plc.observe();
        self.wait("it inspects", Some(appliance), |seen| {
            seen.line_running && seen.triggered >= before.triggered + pieces && seen.results_read >= before.results_read + pieces
        });
    }

    /// The appliance is dead: the PLC notices by itself, and the belt stands.
    ///
    /// # Panics
    /// If not.
    #[must_use]
    pub fn wait_until_it_stands(&self) -> Observed {
        let seen =
            self.wait("the PLC notices that nobody judges", None, |seen| !seen.vision_alive && !seen.run_permit && !seen.line_running);
        assert!(!self.permit_in_register(), "RunPermit is 1 while the appliance is dead");
        seen
    }

    /// Nothing has moved and nothing was permitted since `stood`, which was seen while the appliance was dead.
    ///
    /// # Panics
    /// If something has.
    pub fn assert_stood_still(&self, stood: &Observed) {
        let seen = self.plc.observe();
        assert!(seen.scans > stood.scans, "the PLC itself has stopped");
        assert!(!seen.run_permit && !seen.line_running && !self.permit_in_register(), "RunPermit came back while the appliance was dead");
        assert_eq!((seen.encoder, seen.triggered, &seen.passed_ids), (stood.encoder, stood.triggered, &stood.passed_ids), "the belt moved");
    }

    fn ask(&self, path: &str) -> (Value, Option<String>) {
        let request = ureq::get(format!("{}{path}", self.backend)).header("authorization", format!("Bearer {}", self.token));
        let mut answer = request.call().unwrap_or_else(|error| panic!("{path}: {error}"));
        let next =
            answer.headers().get("link").map(|link| link.to_str().unwrap().trim_start_matches('<').split('>').next().unwrap().to_owned());
        (answer.body_mut().read_json().unwrap(), next)
    }

    /// Every item of a list of the backend, page by page.
    fn all(&self, path: &str, items: &str) -> Vec<Value> {
        let mut next = Some(format!("{path}?perPage=500"));
        let mut all = Vec::new();
        while let Some(page) = next {
            let (mut answer, following) = self.ask(&page);
            all.append(answer.pointer_mut(items).unwrap().as_array_mut().unwrap());
            next = following;
        }
        all
    }

    /// A count of the backend: `events`, `grades`, `duplicates_refused`.
    ///
    /// # Panics
    /// If the backend does not answer.
    #[must_use]
    pub fn health(&self, what: &str) -> u64 {
        self.ask("/health").0[what].as_u64().unwrap()
    }

    /// The belt stands for good: waits until both kinds of parcels of every piece are at the backend.
    ///
    /// # Panics
    /// If they do not come there.
    pub fn wait_until_delivered(&self, appliance: &Running, kills: &[u32]) {
        let (until, pieces) = (Instant::now() + DEADLINE, u64::from(self.plc.observe().triggered));
        loop {
            let kept = Ledger::of(&self.data).number("/pieces");
            let delivered = (self.health("events"), self.health("grades"));
            if (kept, delivered) == (pieces, (pieces, pieces)) {
                return;
            }
            if Instant::now() > until {
                assert_every_piece_is_accounted_for(self, kills);
                panic!("{pieces} pieces, {kept} records, delivered {delivered:?}:\n{}", appliance.stderr());
            }
        }
    }
}

/// Every piece has one record, the backend has each record once, and what passed the gate has a record that says so: all but
/// those that were between result and record in one of `kills`, given as how many pieces had been announced. Returns how many.
///
/// # Panics
/// If one is not.
pub fn assert_every_piece_is_accounted_for(floor: &Floor, kills: &[u32]) -> usize {
    let seen = floor.plc.observe();
    let events = floor.all("/events", "/epcisBody/queryResults/resultsBody/eventList");
    let grades = floor.all("/grades", "/grades");
    let names: BTreeSet<&str> = events.iter().map(|event| event["eventID"].as_str().unwrap()).collect();
    assert_eq!(names.len(), events.len(), "an event was kept twice");
    let graded: BTreeSet<&str> = grades.iter().map(|grade| grade["id"].as_str().unwrap()).collect();
    assert_eq!((&graded, grades.len()), (&names, names.len()), "grades and events are not of the same records");

    // After a restart live records overtake those that wait, so only which ones there are is promised, not their order.
    let mut results: Vec<u64> = events.iter().map(|event| event["jidoka:resultId"].as_u64().unwrap()).collect();
    results.sort_unstable();
    let expected: Vec<u64> = (1..).take(results.len()).collect();
    assert_eq!(results, expected, "a record is missing at the backend, or there twice");
    let records: BTreeMap<u64, &Value> = events.iter().map(|event| (event["jidoka:piece"].as_u64().unwrap(), event)).collect();
    assert_eq!(records.len(), events.len(), "a piece has two records");
    let announced: BTreeSet<u64> = (1..=u64::from(seen.triggered)).collect();
    let recorded: BTreeSet<u64> = records.keys().copied().collect();
    let differing: Vec<_> = announced.symmetric_difference(&recorded).collect();
    assert!(differing.is_empty(), "of {} pieces these have no record, or were never announced: {differing:?}", seen.triggered);

    assert_eq!(seen.passed_ids.len(), usize::try_from(seen.passed).unwrap(), "more pieces than the simulated PLC remembers");
    let mut in_flight = BTreeMap::<usize, Vec<u32>>::new();
    for piece in seen.passed_ids.iter().copied() {
        let event = records[&u64::from(piece)];
        if event["jidoka:verdict"] != "pass" {
            assert_eq!(
                event["jidoka:reasons"],
                serde_json::json!(["not inspected: interrupted"]),
                "piece {piece} has passed the gate: {event}"
            );
            // While it was judged the next one could be announced, and one more before the belt stood.
            let kill = kills.iter().position(|announced| (piece..=piece + 2).contains(announced));
            in_flight.entry(kill.unwrap_or_else(|| panic!("piece {piece} was in no kill: {event}"))).or_default().push(piece);
        }
    }
    assert!(
        in_flight.values().all(|pieces| pieces.len() <= IN_FLIGHT_MAX),
        "passed the gate without a record that says pass: {in_flight:?}"
    );
    in_flight.len()
}
