//! A live camera on a running line: while it is ill no piece passes, and when it is well again pieces pass again.
//!
//! The real programs `jidoka` and `jidoka-camera`, the simulated PLC in this process. The camera program has no
//! device and misbehaves when told. The thresholds let every picture pass that is looked at, so that a pass is proof of a look and no more.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use line_tests::binary::Running;
use line_tests::settings::{LENIENT, set};
use plc_bridge::sim::{Observed, Pace, Sim, SimHandle, SimSettings};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(120);
const LOOK_AFTER: Duration = Duration::from_secs(1);
const PIECES_PER_MINUTE: f64 = 300.0;
/// Pieces that come while the camera is ill.
const ILL_PIECES: u32 = 5;
const CLASSES: [&str; 6] = ["open", "short", "mousebite", "spur", "copper", "pin-hole"];

/// A PLC, and settings with a camera instead of drawn boards.
struct Floor {
    plc: SimHandle,
    runtime: Runtime,
    folder: TempDir,
}

impl Floor {
    /// With these sections instead of `[camera]` and its keys.
    fn new(cameras: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let settings = SimSettings { pace: Pace::Paced { pieces_per_minute: PIECES_PER_MINUTE }, ..SimSettings::default() };
        let sim = runtime.block_on(Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), settings)).unwrap();
        let (plc, address) = (sim.handle(), sim.local_addr().to_string());
        runtime.spawn(sim.run(std::future::pending()));
        let dir = folder.path().to_str().unwrap();
        let mut writer = Running::start(&["demo", "--write-config", dir, "--plc-listen", &address, "--listen", "127.0.0.1:0"]);
        assert!(writer.wait(DEADLINE).success(), "{}", writer.stderr());
        let text = fs::read_to_string(folder.path().join("jidoka.toml")).unwrap();
        let text = LENIENT.iter().fold(text, |text, (key, value)| set(&text, key, value));
        let thresholds: String = CLASSES.iter().map(|class| format!("{class} = 1.0\n")).collect();
        let mut is_camera = false;
        let text: String = text.lines().fold(String::new(), |text, line| {
            is_camera = if line.starts_with('[') { line == "[camera]" } else { is_camera };
            match line {
                "[camera]" => format!("{text}{cameras}\n"),
                "[model.threshold]" => format!("{text}{line}\n{thresholds}"),
                _ if is_camera => text,
                line => format!("{text}{line}\n"),
            }
        });
        fs::write(folder.path().join("jidoka.toml"), text).unwrap();
        Self { plc, runtime, folder }
    }

    fn config(&self) -> String {
        self.folder.path().join("jidoka.toml").display().to_string()
    }

    fn wait(&self, what: &str, line: &Running, mut wanted: impl FnMut(&Observed) -> bool) -> Observed {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && line.is_running() {
            let seen = self.runtime.block_on(async { timeout(LOOK_AFTER, self.plc.wait_until(&mut wanted)).await });
            if let Ok(seen) = seen {
                return seen;
            }
        }
        panic!("{what}: it never came to that\n{:#?}\n{}", self.plc.observe(), line.stderr())
    }

    /// The camera is becoming ill: from the first piece that it fails on nothing passes. Then `heal` heals it, and pieces pass.
    /// What came before that piece was still seen: the camera takes a moment to read how it is to misbehave.
    fn endure(&self, what: &str, line: &Running, heal: impl FnOnce()) {
        let held = self.plc.observe().rejected_ids.len();
        let first = self.wait(what, line, |seen| seen.rejected_ids.len() > held).triggered;
        // Its picture may be taken after the healing.
        let last = self.wait(what, line, |seen| seen.triggered >= first + ILL_PIECES).triggered;
        heal();
        let seen = self.wait(what, line, |seen| seen.passed_ids.iter().any(|piece| *piece > last));
        let passed: Vec<_> = seen.passed_ids.iter().filter(|piece| (first + 1..last).contains(piece)).collect();
        assert!(passed.is_empty(), "{what}: pieces {passed:?} passed although nobody saw them\n{}", line.stderr());
    }
}

/// A camera without a device that misbehaves when told.
struct Eye {
    name: &'static str,
    folder: TempDir,
}

impl Eye {
    fn well(name: &'static str) -> Self {
        let eye = Self { name, folder: tempfile::tempdir().unwrap() };
        eye.say("well");
        eye
    }

    fn say(&self, mode: &str) {
        let next = self.folder.path().join("next");
        fs::write(&next, mode).and_then(|()| fs::rename(&next, self.folder.path().join("script"))).unwrap();
    }

    fn settings(&self) -> String {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vision-models/packages/pcb/golden/good_golden.png");
        let (name, script) = (self.name, self.folder.path().join("script"));
        let kind = format!("name = \"{name}\"\nkind = \"simulated\"\nscript = {script:?}\ngolden = {golden:?}");
        format!("{kind}\nwidth_pixels = 640\nheight_pixels = 640\nframe_deadline_millis = 150\ntrigger = \"software\"")
    }
}

/// A running line on which pieces pass.
fn started(floor: &Floor) -> Running {
    let config = floor.config();
    let mut check = Running::start(&["check", "--config", &config]);
    assert!(check.wait(DEADLINE).success(), "{}", check.stderr());
    let line = Running::start(&["run", "--config", &config]);
    floor.wait("a well camera", &line, |seen| seen.passed_ids.len() >= 3);
    line
}

#[test]
fn no_piece_passes_while_the_camera_is_ill() {
    let eye = Eye::well("cam0");
    let floor = Floor::new(&format!("[camera]\n{}", eye.settings()));
    let mut line = started(&floor);
    for ill in ["pulled", "hang", "crash", "stale", "black", "size", "slow 900"] {
        eye.say(ill);
        floor.endure(ill, &line, || eye.say("well"));
    }
    assert!(line.terminate(DEADLINE).success(), "{}", line.stderr());
    assert!(line.stderr().contains("the camera is away"), "{}", line.stderr());
    // It begins its numbers anew with each start, and that is no repetition: only the frozen one was stale.
    let stale: Vec<_> = line.stderr().lines().filter(|line| line.contains("although it was seen before")).map(ToOwned::to_owned).collect();
    assert!(stale.iter().all(|line| line.contains("same number")), "{stale:#?}");
}

#[test]
fn no_piece_passes_while_one_of_two_cameras_is_ill() {
    let (top, side) = (Eye::well("top"), Eye::well("side"));
    let set = "[frame_set]\nwindow_millis = 400\nmissing_member = \"hold\"";
    let floor = Floor::new(&format!("[[camera]]\n{}\n[[camera]]\n{}\n{set}", top.settings(), side.settings()));
    let mut line = started(&floor);
    for (ill, mode) in [(&side, "pulled"), (&top, "stale"), (&side, "black"), (&top, "crash"), (&side, "slow 900")] {
        ill.say(mode);
        floor.endure(&format!("{} {mode}", ill.name), &line, || ill.say("well"));
    }
    assert!(line.terminate(DEADLINE).success(), "{}", line.stderr());
    for eye in [&top, &side] {
        let named = format!("camera={}", eye.name);
        let held = line.stderr().lines().any(|line| line.contains("piece not inspected") && line.contains(&named));
        assert!(held, "no hold names {}\n{}", eye.name, line.stderr());
    }
}
