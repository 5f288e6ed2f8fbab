//! PLCs that are not ours, as processes: `plc.py` on pymodbus, `plc.c` on libmodbus; and a judge for the line between.
//!
//! Invariants: a process that was started ends with its handle; every wait is for a line or a state, with a deadline; a
//! peer that is not installed skips its test with a printed reason, except where CI=true.
#![allow(dead_code, reason = "each test program uses its own part")]

use plc_bridge::{BridgeReport, Clock, Settings, run};
use station::line::{Answer, Counters, LineCommand, LinkFault, Permit, PieceResult, PlcLink};
use station::piece::{Arrival, PieceId};
use station::policy::StopReasons;
use station::station::Event;
use station::units::{EncoderCount, Timestamp};
use station::verdict::Verdict;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time between two beats of the judge.
const BEAT: Duration = Duration::from_millis(50);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

pub fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_micros = u64::try_from(start.elapsed().as_micros()).expect("a short run");
        Timestamp { wall_micros: 0, mono_micros }
    })
}

/// Says why a test does nothing; where everything must be installed, that is a failure.
pub fn skipped<T>(why: &str) -> Option<T> {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
    println!("skipped: {why}");
    None
}

/// Where this test program may leave files.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A way between the appliance and the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cable {
    /// TCP; port 0 = any free port.
    Tcp(u16),
    /// RTU at this device.
    Rtu(PathBuf),
}

/// Speed of the serial lines here; a pty knows no baud, but the silences follow from it.
pub const BAUD: u32 = 115_200;

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    Pymodbus,
    Libmodbus,
}

impl Make {
    /// Its program with the arguments that do not depend on the cable; `None` if it cannot run here.
    async fn program(self) -> Option<Command> {
        spawn_blocking(move || match self {
            Self::Pymodbus => python(),
            Self::Libmodbus => compiled().map(Command::new),
        })
        .await
        .expect("no panic")
    }
}

fn python() -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../.venv/bin/python");
    let there = Command::new(&python).args(["-c", "import pymodbus, serial"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return skipped("pymodbus is not in .venv (scripts/setup.sh test)");
    }
    // The PLC's half imports the symbols as PLC tools do; rename, because tests run side by side.
    static SYMBOLS: OnceLock<PathBuf> = OnceLock::new();
    let symbols = SYMBOLS.get_or_init(|| {
        let path = scratch(&format!("symbols-{}.csv", std::process::id()));
        std::fs::write(&path, plc_bridge::jmap::symbols_csv(0, 1000)).expect("a file");
        path
    });
    let mut command = Command::new(python);
    command.arg(root.join("tests/peers/plc.py")).arg(symbols);
    Some(command)
}

/// The C peer, compiled once for all tests of this program.
fn compiled() -> Option<PathBuf> {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let flags = match Command::new("pkg-config").args(["--cflags", "--libs", "libmodbus"]).output() {
            Ok(output) if output.status.success() => String::from_utf8(output.stdout).expect("flags are text"),
            _ => return skipped("libmodbus is not installed (package libmodbus-dev)"),
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/plc.c");
        let binary = scratch(&format!("plc-{}", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&binary).arg(source);
        let built = cc.args(flags.split_whitespace()).status().expect("a C compiler");
        assert!(built.success(), "plc.c does not compile");
        Some(binary)
    };
    BINARY.get_or_init(compile).clone()
}

/// A running PLC.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
    pub port: u16,
    /// Pieces whose results it read: number, verdict, encoder.
    pub pieces: Vec<(u32, String, u32)>,
    /// What the contract forbids.
    pub strange: Vec<String>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Lines of a stream, until it ends.
fn lines(stream: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (tell, said) = mpsc::unbounded_channel();
    spawn_blocking(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    said
}

impl Peer {
    /// Starts it and waits until it listens; `None` if it is not installed.
    pub async fn start(make: Make, cable: &Cable) -> Option<Self> {
        let mut command = make.program().await?;
        match cable {
            Cable::Tcp(port) => command.arg("tcp").arg(port.to_string()),
            Cable::Rtu(device) => command.arg("rtu").arg(device).arg(BAUD.to_string()),
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut peer = Self { child, stdin, said: lines(stdout), port: 0, pieces: Vec::new(), strange: Vec::new() };
        peer.port = peer.hear("ready").await.parse().expect("a port");
        Some(peer)
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the peer lives");
    }

    /// Waits for a line that begins with `verb` and gives the rest of it; pieces that come before are kept.
    pub async fn hear(&mut self, verb: &str) -> String {
        let waiting = async {
            loop {
                let line = self.said.recv().await.unwrap_or_else(|| panic!("the peer ended while {verb} was awaited"));
                let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
                match first {
                    "piece" => {
                        let words: Vec<&str> = rest.split(' ').collect();
                        let [piece, verdict, encoder] = words[..] else { panic!("{line}") };
                        self.pieces.push((piece.parse().expect("a number"), verdict.to_owned(), encoder.parse().expect("a count")));
                    }
                    "strange" => self.strange.push(rest.to_owned()),
                    _ => {}
                }
                if line.starts_with(verb) {
                    return line.strip_prefix(verb).unwrap_or_default().trim().to_owned();
                }
            }
        };
        within(verb, waiting).await
    }

    /// Waits until a named field reads so (pymodbus only).
    pub async fn sees(&mut self, name: &str, value: &str) {
        self.tell(&format!("await {name} {value}"));
        self.hear(&format!("value {name} {value}")).await;
    }

    pub fn assert_fair(&self) {
        assert!(self.strange.is_empty(), "the peer saw what the contract forbids: {:?}", self.strange);
    }
}

/// Two serial devices with a cable between them, made of ptys.
pub struct Socat {
    child: Child,
    pub ends: [PathBuf; 2],
}

impl Drop for Socat {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Socat {
    pub async fn start() -> Option<Self> {
        let mut command = Command::new("socat");
        command.args(["-d", "-d", "pty,raw,echo=0", "pty,raw,echo=0"]).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return skipped("socat is not installed (package socat)") };
        let mut said = lines(child.stderr.take().expect("piped"));
        let mut devices = Vec::new();
        let both = async {
            while devices.len() < 2 {
                let line = said.recv().await.expect("socat lives");
                devices.extend(line.split_once("PTY is ").map(|(_, device)| PathBuf::from(device)));
            }
        };
        within("socat", both).await;
        let ends = devices.try_into().expect("two");
        // Whatever else it says goes nowhere, but it must not be stopped by a full pipe.
        tokio::spawn(async move { while said.recv().await.is_some() {} });
        Some(Self { child, ends })
    }
}

/// What the judge of a `Line` saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub arrivals: Vec<Arrival>,
    pub missed: Vec<PieceId>,
    pub ups: usize,
    pub downs: Vec<LinkFault>,
    pub running: bool,
    pub links: Vec<PlcLink>,
}

/// The appliance's Modbus side at work, with a judge who answers by the piece's number.
pub struct Line {
    pub commands: mpsc::Sender<LineCommand>,
    pub seen: watch::Receiver<Seen>,
    stop: oneshot::Sender<()>,
    bridge: JoinHandle<()>,
    judge: JoinHandle<()>,
}

/// How the judge of a `Line` answers.
#[derive(Clone, Copy)]
pub struct Ways {
    /// What it makes of a piece; `None`: it says nothing.
    pub verdict: fn(u32) -> Option<Verdict>,
    /// The permit is given as soon as the link is up.
    pub permit: bool,
    /// The beat goes on.
    pub beats: bool,
    /// Every request of the PLC is done.
    pub obeys: bool,
}

impl Line {
    pub fn start(settings: Settings, ways: Ways) -> Self {
        let (commands, asked) = mpsc::channel(256);
        let (tell, mut reports) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let report = move |report| tell.send(report).unwrap_or_default();
        let bridge = tokio::spawn(run(settings, asked, report, async { stopped.await.unwrap_or_default() }));
        let (show, seen) = watch::channel(Seen::default());
        let say = commands.downgrade();
        let judge = tokio::spawn(async move {
            let (mut beats, mut beat) = (interval(BEAT), 0_u16);
            loop {
                let mut answers = Vec::new();
                tokio::select! {
                    report = reports.recv() => {
                        let Some(report) = report else { return };
                        show.send_modify(|seen| answers = answer(seen, report, ways));
                    }
                    _ = beats.tick(), if ways.beats => {
                        beat = beat.wrapping_add(1);
                        answers.push(LineCommand::Beat(beat));
                    }
                }
                let Some(commands) = say.upgrade() else { return };
                for command in answers {
                    if commands.send(command).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { commands, seen, stop, bridge, judge }
    }

    pub async fn send(&self, command: LineCommand) {
        self.commands.send(command).await.unwrap_or_else(|_| panic!("the bridge is gone"));
    }

    pub async fn until(&mut self, what: &str, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        within(what, self.seen.wait_for(wanted)).await.expect("the judge lives").clone()
    }

    pub async fn stop(self) {
        self.stop.send(()).expect("the bridge still runs");
        within("the bridge to end", self.bridge).await.expect("the bridge did not panic");
        within("the judge to end", self.judge).await.expect("the judge did not panic");
    }
}

fn answer(seen: &mut Seen, report: BridgeReport, ways: Ways) -> Vec<LineCommand> {
    let BridgeReport::Event(event) = report else { return Vec::new() };
    let mut answers = Vec::new();
    match event {
        Event::Arrived(arrival) => {
            answers.extend((ways.verdict)(arrival.piece.0).map(|verdict| LineCommand::Result(result(&arrival, verdict))));
            seen.arrivals.push(arrival);
        }
        Event::Missed(miss) => seen.missed.push(miss.piece),
        Event::Link(link) => {
            match link {
                PlcLink::Up => {
                    seen.ups += 1;
                    answers.extend(ways.permit.then(|| permit(true)));
                }
                PlcLink::Down(fault) => {
                    seen.downs.push(fault);
                    seen.running = false;
                }
                PlcLink::Forgot => {}
                PlcLink::Feedback(feedback) => seen.running = feedback.line_running,
                PlcLink::Asked(request) => {
                    answers.extend(ways.obeys.then_some(LineCommand::Answer(Answer { number: request.number, done: true })));
                }
            }
            seen.links.push(link);
        }
        _ => {}
    }
    answers
}

pub fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(0), stop_seq: 0, spc_rules: 0, spc_chart: 0 })
}

pub fn result(arrival: &Arrival, verdict: Verdict) -> PieceResult {
    PieceResult {
        piece: arrival.piece,
        encoder: arrival.encoder,
        verdict,
        grade: 1,
        top_class: None,
        defects: 0,
        score: 9000,
        latency_tenth_millis: 10,
        reject_at: None,
        golden: arrival.golden,
        payload: Vec::new(),
    }
}

/// Counters with a value of their own in every place.
pub const COUNTERS: Counters = Counters {
    inspected: 0x0001_0021,
    pass: 0x0002_0022,
    reject: 0x0003_0023,
    hold: 0x0004_0024,
    missed: 0x0005_0025,
    reject_commanded: 0x0006_0026,
    reject_confirmed: 0x0007_0027,
    reject_unconfirmed: 0x0008_0028,
};

/// Where the encoder of both peers stands at piece `seq`.
pub fn encoder(seq: u32) -> EncoderCount {
    EncoderCount(0xFFFF_F000_u32.wrapping_add(seq.wrapping_mul(1000)))
}
