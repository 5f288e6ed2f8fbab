//! An ill camera in milliseconds: from the illness to the first missed piece, from the return to the first good picture.
//!
//! One JSON line per adapter and illness over 200 rounds. Pieces come every 40 ms all the while. A round begins and ends at
//! an arbitrary moment between two pieces, and the illness lasts up to 1.2 s, so that the wait before the next opening is met
//! at every length. Bars: noticed within 500 ms, back within 2000 ms, pictures of an ill camera (`passed`) 0. `under_way` counts
//! pieces that still got theirs after the illness began, before the first that got none: a picture was on its way.
//!
//! Names behind `--` choose adapters; `ROUNDS=20` makes it short. What is not installed is said and left out.

#[path = "../tests/rig/mod.rs"]
mod rig;

use rig::{PATIENCE, Peer, Rig, Scripted, fixture, settings};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vision_models::camera::live::LiveSettings;
use vision_models::camera::wire::{Device, TriggerMode};

/// Rounds of each illness, over all cameras that have it beside each other.
const ROUNDS: usize = 200;
/// Simulated cameras beside each other, each with its own program.
const RIGS: usize = 8;
/// Streams beside each other.
const STREAMS: usize = 4;
/// A line of 25 pieces a second.
const PIECE: Duration = Duration::from_millis(40);
/// Longest illness.
const ILL_MILLIS: u64 = 1200;
/// The fake GigE camera's program; its address and port are fixed.
const FAKE: &str = "arv-fake-gv-camera-0.8";
/// Debian's own Python: it has GStreamer's bindings.
const PYTHON: &str = "/usr/bin/python3";

/// What was measured of one illness.
#[derive(Debug, Default)]
struct Tally {
    noticed: Vec<Duration>,
    back: Vec<Duration>,
    /// Pictures of pieces that came after the illness began, before the first miss.
    under_way: usize,
    /// Pictures that came after the first miss while the camera was ill.
    passed: usize,
    /// Pieces that were asked for.
    pieces: usize,
    /// Why the camera was away in the round with the latest return.
    slowest_told: Vec<String>,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        if self.back.iter().max() < other.back.iter().max() {
            self.slowest_told = other.slowest_told;
        }
        self.noticed.extend(other.noticed);
        self.back.extend(other.back);
        self.under_way += other.under_way;
        self.passed += other.passed;
        self.pieces += other.pieces;
        self
    }

    fn print(self, adapter: &str, illness: &str, trigger: TriggerMode) {
        let trigger = if trigger == TriggerMode::Software { "software" } else { "free_run" };
        let line = json!({
            "bench": "camera_illness", "adapter": adapter, "trigger": trigger, "illness": illness, "rounds": self.back.len(),
            "noticed_millis": spread(self.noticed), "back_millis": spread(self.back), "under_way": self.under_way,
            "passed": self.passed, "pieces": self.pieces, "slowest_told": self.slowest_told,
        });
        println!("{line}");
    }
}

/// Median, 99th percentile and largest.
fn spread(mut values: Vec<Duration>) -> Value {
    values.sort_unstable();
    let millis = |value: &Duration| (value.as_secs_f64() * 10_000.0).round() / 10.0;
    let at = |share: usize| values.get((values.len().saturating_sub(1)) * share / 100).map(millis);
    json!({"p50": at(50), "p99": at(99), "max": values.last().map(millis)})
}

/// Arbitrary numbers, the same in every run.
struct Dice(u64);

impl Dice {
    /// A time below this many milliseconds, in steps of a microsecond (Knuth's MMIX generator).
    fn below(&mut self, millis: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.0 >> 33) % (millis * 1000))
    }
}

/// A camera on a line: a piece comes every 40 ms, and at once if the last one took longer.
struct Line {
    rig: Rig,
    dice: Dice,
    next: Instant,
    /// Pictures in a row before a round.
    steady: usize,
    tally: Tally,
}

impl Line {
    fn new(settings: LiveSettings, seed: u64) -> Self {
        Self { rig: Rig::new(settings), dice: Dice(seed), next: Instant::now(), steady: 10, tally: Tally::default() }
    }

    /// True if the next piece got a picture.
    fn piece(&mut self) -> bool {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = Instant::now().max(self.next + PIECE);
        self.tally.pieces += 1;
        self.rig.grab().is_ok()
    }

    fn until(&mut self, well: bool, since: Instant) -> Duration {
        while self.piece() != well {
            assert!(since.elapsed() < PATIENCE, "for {PATIENCE:?} it is not {}", if well { "back" } else { "noticed" });
            self.tally.under_way += usize::from(!well);
        }
        since.elapsed()
    }

    /// So many pictures in a row: whatever the last return left behind is over.
    fn steady(&mut self) {
        let (begun, mut row) = (Instant::now(), 0);
        while row < self.steady {
            row = if self.piece() { row + 1 } else { 0 };
            assert!(begun.elapsed() < PATIENCE, "no steady pictures");
        }
    }

    /// One illness: `begin` begins it, `end` ends it and says when.
    fn round(&mut self, begin: impl FnOnce(), end: impl FnOnce() -> Instant) {
        self.steady();
        std::thread::sleep(self.dice.below(40));
        let begun = Instant::now();
        begin();
        let noticed = self.until(false, begun);
        self.tally.noticed.push(noticed);
        let lasts = self.dice.below(ILL_MILLIS);
        while begun.elapsed() < lasts {
            self.tally.passed += usize::from(self.piece());
        }
        std::thread::sleep(self.dice.below(40));
        let ended = end();
        let back = self.until(true, ended);
        let told = std::mem::take(&mut *self.rig.told.lock().expect("told"));
        if self.tally.back.iter().all(|before| *before < back) {
            self.tally.slowest_told = told.into_iter().flatten().collect();
        }
        self.tally.back.push(back);
    }
}

/// Runs `one` beside itself with different seeds.
fn beside(count: usize, one: impl Fn(u64) -> Tally + Sync) -> Tally {
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (1_u64..).take(count).map(|seed| scope.spawn(move || one(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a camera that can be measured")).fold(Tally::default(), Tally::add)
    })
}

fn simulated(rounds: usize) {
    let (software, free) = (TriggerMode::Software, TriggerMode::FreeRun);
    let illnesses = [
        ("pulled", software),
        ("pulled", free),
        ("hang", software),
        ("crash", software),
        ("mute", software),
        ("stale", software),
        ("stale", free),
        ("black", software),
        ("size", software),
        ("slow 900", software),
    ];
    for (illness, trigger) in illnesses {
        let one = |seed| {
            let scripted = Scripted::new();
            let mut line = Line::new(settings(scripted.device(10), trigger, 64, 48), seed);
            for _ in 0..rounds.div_ceil(RIGS) {
                line.round(|| scripted.set(illness), || well(&scripted));
            }
            line.tally
        };
        beside(RIGS, one).print("simulated", illness, trigger);
    }
    let flapping = |seed| {
        let scripted = Scripted::new();
        let mut line = Line::new(settings(scripted.device(10), software, 64, 48), seed);
        let mut dice = Dice(seed + 1000);
        for _ in 0..rounds.div_ceil(RIGS) {
            let flap = || {
                for mode in ["well", "pulled", "well", "pulled"] {
                    std::thread::sleep(dice.below(150));
                    scripted.set(mode);
                }
                std::thread::sleep(dice.below(150));
                well(&scripted)
            };
            line.round(|| scripted.set("pulled"), flap);
        }
        line.tally
    };
    beside(RIGS, flapping).print("simulated", "flapping", software);
}

fn well(scripted: &Scripted) -> Instant {
    scripted.set("well");
    Instant::now()
}

/// Stops a process, all of it: its threads go on until the kernel has told one of them.
fn freeze(peer: &Peer) {
    peer.signal(Signal::STOP);
    let begun = Instant::now();
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", peer.0.id())).expect("it runs");
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    while !is_stopped() {
        assert!(begun.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
}

/// Rounds with a device that is a process: killed and started again, or stopped in the middle of what it does.
fn peer_rounds(line: &mut Line, illness: &str, rounds: usize, start: impl Fn() -> Peer) {
    let mut peer = Some(start());
    for _ in 0..rounds {
        if illness == "pulled" {
            let slot = std::cell::Cell::new(peer.take());
            line.round(
                || drop(slot.take()),
                || {
                    slot.set(Some(start()));
                    Instant::now()
                },
            );
            peer = slot.into_inner();
        } else {
            let frozen = peer.as_ref().expect("it was started");
            line.round(
                || freeze(frozen),
                || {
                    frozen.signal(Signal::CONT);
                    Instant::now()
                },
            );
        }
    }
}

fn gige(rounds: usize) {
    if !rig::is_there(FAKE, "--help") {
        return;
    }
    let _lock = rig::alone("jidoka-fake-gige.lock");
    let camera = "127.0.0.1".to_owned();
    let device = Device::Gige { camera, packet_bytes: Some(8000), exposure_micros: Some(10_000.0), gain: None };
    let start = || Peer::start(Command::new(FAKE).args(["-i", "127.0.0.1", "-s", "JIDOKA1"]));
    for (illness, trigger) in [("frozen", TriggerMode::Software), ("pulled", TriggerMode::FreeRun), ("pulled", TriggerMode::Software)] {
        let mut line = Line::new(settings(device.clone(), trigger, 640, 480), 1);
        // Started again, it begins with the same pictures, which must not be among those that are still remembered.
        line.steady = 30;
        peer_rounds(&mut line, illness, rounds, start);
        line.tally.print("gige", illness, trigger);
    }
}

fn rtsp(rounds: usize) {
    let ask = "import gi; gi.require_version('GstRtspServer', '1.0')";
    if !Command::new(PYTHON).args(["-c", ask]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: gir1.2-gst-rtsp-server-1.0 is not installed");
        return;
    }
    let server = |port: u16| {
        let mut command = Command::new(PYTHON);
        command.arg(fixture("rtsp_server.py")).arg(port.to_string()).arg("snow").stdout(Stdio::piped());
        let mut peer = Peer::start(&mut command);
        let mut line = String::new();
        std::io::BufReader::new(peer.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("it speaks");
        (peer, line.trim().parse::<u16>().expect("a port"))
    };
    for illness in ["pulled", "frozen"] {
        let one = |seed| {
            // The port of a server that ended is its successor's.
            let port = server(0).1;
            let url = format!("rtsp://127.0.0.1:{port}/line");
            let device = Device::Rtsp { url, user: None, password_file: None, latency_millis: 0, tcp: true };
            let mut line = Line::new(settings(device, TriggerMode::FreeRun, 160, 120), seed);
            peer_rounds(&mut line, illness, rounds.div_ceil(STREAMS), || server(port).0);
            line.tally
        };
        beside(STREAMS, one).print("rtsp", illness, TriggerMode::FreeRun);
    }
}

/// Prints what it measured in so many rounds of each illness.
type Measure = fn(usize);

fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let adapters: [(&str, Measure); 3] = [("gige", gige), ("rtsp", rtsp), ("simulated", simulated)];
    let chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    // Beside each other: most of the time each of them waits.
    std::thread::scope(|scope| {
        for (_, measure) in adapters.into_iter().filter(|(name, _)| chosen(name)) {
            scope.spawn(move || measure(rounds));
        }
    });
}
