//! The disk is full, refuses, or hangs: the line is judged on, the alarm is up, the line stops when too much waits, and goes on when
//! the disk is well again. Nothing that was kept is lost.
//!
//! The appliance is the real program. A full disk is a small file system; a disk that refuses or hangs is a library between the
//! program and the kernel (`sim/disk/ill_disk.c`), compiled here. `HANG_SECS=30` lets the disk hang longer.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use line_tests::binary::Running;
use line_tests::floor::{DEADLINE, Floor, Ledger, assert_every_piece_is_accounted_for, from_environment};
use line_tests::loop_disk::SmallDisk;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The line stops when more entries than this wait for the disk.
const BACKLOG: &str = "20";
/// Bit of the stop reason (docs/plc.md): records cannot be kept.
const DISK_EXHAUSTED: u32 = 1 << 9;
const PASSWORD: &str = "a disk that is ill";

/// Four lines at once would disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A line of which somebody can release stops.
struct Line {
    _alone: MutexGuard<'static, ()>,
    floor: Floor,
    appliance: Running,
    page: String,
}

impl Line {
    fn new(floor: Floor, environment: &[(&str, &Path)]) -> Self {
        let settings = fs::read_to_string(&floor.config).unwrap();
        let users = settings.lines().find_map(|line| line.strip_prefix("users = ")).unwrap().trim_matches('"').to_owned();
        // As the settings file means it: beside itself.
        let users = floor.config.with_file_name(users);
        let mut add = Command::new(line_tests::binary::jidoka())
            .args(["user-add", "--users", users.to_str().unwrap(), "--role", "supervisor", "anna"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(add.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(add.wait().unwrap().success());
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (appliance, page) = Self::start(&floor, environment);
        let line = Self { _alone: alone, floor, appliance, page };
        line.floor.wait_until_it_inspects(&line.appliance, 3);
        line
    }

    fn start(floor: &Floor, environment: &[(&str, &Path)]) -> (Running, String) {
        let appliance = floor.start_with(environment);
        let page = appliance.wait_line("page: ", DEADLINE).trim_end_matches('/').to_owned();
        (appliance, page)
    }

    /// The disk is ill since `since`: waits for the alarm, for verdicts that go on, and for the stop. Says how long the alarm took.
    fn bears_it(&self, since: Instant) -> Duration {
        let before = self.floor.plc.observe();
        self.until("the alarm is in the log", || self.appliance.stderr().contains("records are not becoming durable"));
        let alarm = since.elapsed();
        self.until("the page shows it", || self.metrics().contains(r#"jidoka_part_state{part="disk",state="bad"} 1"#));
        let seen = self.floor.wait("the line stops because records cannot be kept", Some(&self.appliance), |seen| {
            seen.stop_reason & DISK_EXHAUSTED != 0 && !seen.run_permit && !seen.line_running
        });
        let judged = seen.results_read - before.results_read;
        assert!(judged >= 5, "{judged} pieces were judged while the disk was ill");
        assert!(self.metrics().contains("jidoka_pieces"), "the page answers");
        alarm
    }

    /// The disk is well again: a person releases, and the line runs.
    fn goes_on(&self) {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let post = |path: &str, cookie: &str, body: &Value| {
            let request = agent.post(format!("{}/api/v1/{path}", self.page)).header("origin", &self.page).header("cookie", cookie);
            request.send_json(body).unwrap()
        };
        let entered = post("session", "", &json!({"name": "anna", "password": PASSWORD}));
        let cookie = entered.headers().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        let seq = || {
            let stop = agent.get(format!("{}/api/v1/snapshot", self.page)).header("cookie", &cookie).call().unwrap();
            stop.into_body().read_json::<Value>().unwrap()["stop"]["seq"].as_u64()
        };
        let before = self.floor.plc.observe();
        self.until("it runs again", || {
            if let Some(seq) = seq() {
                post("stop/acknowledge", &cookie, &json!({"stop_seq": seq, "cause": "disk", "corrective_action": "mended"}));
                post("stop/release", &cookie, &json!({"stop_seq": seq}));
            }
            self.floor.plc.observe().results_read >= before.results_read + 3
        });
        self.until("the alarm is over", || self.appliance.stderr().contains("records become durable again"));
    }

    /// The belt stands, everything is delivered, the ledger is whole. Gives back the piece records.
    fn ends(mut self, is_accounted: bool) -> u64 {
        self.floor.plc.press_estop(true);
        self.floor.wait("the belt stands", Some(&self.appliance), |seen| !seen.line_running);
        if is_accounted {
            self.floor.wait_until_delivered(&self.appliance, &[]);
            assert_every_piece_is_accounted_for(&self.floor, &[]);
        }
        let left = self.appliance.terminate(DEADLINE);
        assert!(left.success(), "{left}\n{}", self.appliance.stderr());
        let ledger = Ledger::of(&self.floor.data);
        let at_backend = (self.floor.health("events"), self.floor.health("grades"));
        assert!(at_backend.0.max(at_backend.1) <= ledger.number("/pieces"), "{at_backend:?}: {}", ledger.report);
        ledger.number("/pieces")
    }

    fn metrics(&self) -> String {
        ureq::get(format!("{}/metrics", self.page)).call().unwrap().body_mut().read_to_string().unwrap()
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(self.appliance.is_running() && Instant::now() < until, "{what}: it never came to that\n{}", self.appliance.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A disk that is made ill by a word in a file.
struct IllDisk {
    folder: tempfile::TempDir,
}

impl IllDisk {
    /// `None`, and a line that says so, where nothing can be compiled.
    fn new() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/disk/ill_disk.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(disk.library()).arg(source).args(["-ldl"]).output();
        match compiled {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "a C compiler must be there in CI: {error}");
                println!("skipped: no C compiler: {error}");
                return None;
            }
        }
        disk.says("well");
        Some(disk)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("ill_disk.so")
    }

    fn how(&self) -> PathBuf {
        self.folder.path().join("how")
    }

    fn says(&self, word: &str) {
        // Whole or not at all: it is read at every call.
        let fresh = self.folder.path().join("how.new");
        fs::write(&fresh, word).unwrap();
        fs::rename(fresh, self.how()).unwrap();
    }

    fn under_a_line(&self) -> Line {
        let data = self.folder.path().join("data");
        let floor = Floor::new(7, Some(&data), &[("backlog_entries_max", BACKLOG)]);
        let (library, how) = (self.library(), self.how());
        Line::new(floor, &[("LD_PRELOAD", &library), ("ILL_DISK_HOW", &how), ("ILL_DISK_BELOW", &data)])
    }
}

fn bears(word: &str, at_least: Duration) {
    let Some(disk) = IllDisk::new() else { return };
    let line = disk.under_a_line();
    disk.says(word);
    let since = Instant::now();
    let alarm = line.bears_it(since);
    // Nothing is waited for here but the end of a long illness that was asked for.
    std::thread::sleep(at_least.saturating_sub(since.elapsed()));
    disk.says("well");
    line.goes_on();
    println!("{word}: alarm after {alarm:.2?}, ill for {:.1?}, {} piece records", since.elapsed(), line.ends(true));
}

#[test]
fn a_disk_that_hangs_holds_up_nothing_but_the_records() {
    bears("hang", Duration::from_secs(from_environment("HANG_SECS").unwrap_or(0)));
}

#[test]
fn a_sync_that_fails_is_not_repeated_on_the_same_pages_and_loses_nothing() {
    bears("sync", Duration::ZERO);
}

#[test]
fn a_disk_that_refuses_every_write_loses_nothing() {
    bears("write", Duration::ZERO);
}

#[test]
fn a_full_disk_stops_the_line_starts_again_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new(8 << 20) else { return };
    let floor = Floor::new(7, Some(&disk.path().join("data")), &[("backlog_entries_max", BACKLOG), ("keep_bytes_max", "1_000_000")]);
    let mut line = Line::new(floor, &[]);
    let filler = disk.path().join("filler");
    // Pictures and ballast make room a few times, until there is nothing left to give.
    let (since, mut alarm) = (Instant::now(), None);
    let fill = || {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&filler).unwrap();
        [1 << 16, 1 << 12, 1 << 8, 1].into_iter().for_each(|size| while file.write_all(&vec![1; size]).is_ok() {});
    };
    line.until("the line stops", || {
        fill();
        if alarm.is_none() && line.appliance.stderr().contains("records are not becoming durable") {
            alarm = Some(since.elapsed());
        }
        let seen = line.floor.plc.observe();
        !seen.run_permit && seen.stop_reason & DISK_EXHAUSTED != 0
    });
    let before = Ledger::of(&line.floor.data);

    line.appliance.kill();
    drop(line.floor.wait_until_it_stands());
    let (appliance, page) = Line::start(&line.floor, &[]);
    (line.appliance, line.page) = (appliance, page);
    line.until("it starts on the full disk, and says so", || line.appliance.stderr().contains("records are not becoming durable"));
    assert!(!line.floor.plc.observe().run_permit, "nothing runs that cannot be recorded");
    fs::remove_file(&filler).unwrap();
    let room = Instant::now();
    line.goes_on();
    println!("full: alarm after {:.2?}, goes on {:.1?} after there was room", alarm.unwrap(), room.elapsed());
    let after = Ledger::of(&line.floor.data);
    after.assert_continues(&before);
    line.ends(false);
}
