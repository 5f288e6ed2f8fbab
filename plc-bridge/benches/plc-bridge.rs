//! What the Modbus side costs, beside a C client on libmodbus against the same C server in the same run.
//!
//! One JSON line per measurement: medians over alternating rounds and of the per-round ratios. The server (`floor.c`) is a
//! process of its own and plays a PLC that asks for nothing, with its heartbeat moving. Without a C compiler or libmodbus
//! nothing is measured, and the reason is printed.
//!
//! The server has one core to itself and both clients the other, each in its turn: where the scheduler puts them would
//! otherwise decide the ratio, because waking a process on another core takes ten times as long as a call.

use plc_bridge::client::{Probe, SourceSettings, Way};
use plc_bridge::map::{Kind, Sample, TagSpec};
use plc_bridge::{BridgeReport, Clock, Settings, run};
use serde_json::{Value, json};
use station::line::{LineCommand, Permit, PlcLink};
use station::policy::StopReasons;
use station::station::Event;
use station::units::{Micros, Timestamp};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};

type Done<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 9;
const CALLS: usize = 4000;
const PERMITS: usize = 2000;
const TAGS: u16 = 1000;
const TAGS_BASE: u16 = 2000;
const COIL: u16 = 1;
/// The core of the server, and that of whoever asks it.
const SERVER: &str = "0";
const CLIENTS: &str = "1";
/// How long polling is watched for its cost.
const WATCHED: Duration = Duration::from_secs(10);

/// The C program, built into the folder of the build.
struct Floor {
    program: String,
    server: Child,
    address: SocketAddr,
}

impl Floor {
    fn start() -> Done<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor");
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "libmodbus"]).output()?;
        if !flags.status.success() {
            return Err("libmodbus is not installed (package libmodbus-dev)".into());
        }
        let flags = String::from_utf8(flags.stdout)?;
        let built = Command::new("cc").arg("-O2").arg(source).args(flags.split_whitespace()).arg("-o").arg(&program).status()?;
        if !built.success() {
            return Err("floor.c does not compile".into());
        }
        let program = program.display().to_string();
        let pinned = Command::new("taskset").args(["-p", "-c", CLIENTS, &std::process::id().to_string()]).stdout(Stdio::null()).status()?;
        if !pinned.success() {
            return Err("two cores are needed, one for the server and one for the clients".into());
        }
        // Its standard input ends with this process, and so does it.
        let mut server =
            Command::new("taskset").args(["-c", SERVER, &program, "serve"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut port = String::new();
        BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut port)?;
        Ok(Self { program, server, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim().parse()?)) })
    }

    /// Microseconds of each of the C client's calls.
    fn calls(&self, what: &str) -> Done<Spread> {
        let (port, calls) = (self.address.port().to_string(), CALLS.to_string());
        let output = Command::new("taskset").args(["-c", CLIENTS, &self.program, what, &port, &calls]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let nanos = String::from_utf8(output.stdout)?.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        Ok(Spread::of(nanos))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        if let Err(error) = self.server.wait() {
            eprintln!("the C server did not end: {error}");
        }
    }
}

/// Microseconds.
#[derive(Debug, Clone, Copy)]
struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
    calls_per_second: f64,
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds fit an f64 exactly")]
impl Spread {
    fn of(mut nanos: Vec<u64>) -> Self {
        let calls_per_second = nanos.len() as f64 * 1e9 / nanos.iter().sum::<u64>().max(1) as f64;
        nanos.sort_unstable();
        let micros = |rank: usize| nanos[rank.min(nanos.len() - 1)] as f64 / 1000.0;
        Self { p50: micros(nanos.len() / 2), p99: micros(nanos.len() * 99 / 100), max: micros(nanos.len() - 1), calls_per_second }
    }

    fn json(self) -> Value {
        let round = |value: f64| (value * 10.0).round() / 10.0;
        json!({ "p50": round(self.p50), "p99": round(self.p99), "max": round(self.max), "calls_per_s": self.calls_per_second.round() })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn our_reads(address: SocketAddr) -> Done<Spread> {
    let mut probe = Probe::connect(Way::Tcp(address), COIL).await?;
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let words;
        (probe, words) = probe.read(TAGS_BASE, 100).await?;
        took.push(nanos(begun));
        if words[99] != TAGS_BASE + 99 {
            return Err("a register did not hold its own address".into());
        }
    }
    Ok(Spread::of(took))
}

async fn our_writes(address: SocketAddr) -> Done<Spread> {
    let mut probe = Probe::connect(Way::Tcp(address), COIL).await?;
    let mut took = Vec::with_capacity(CALLS);
    for call in 0..CALLS {
        let begun = Instant::now();
        probe = probe.write(call % 2 == 1).await?;
        took.push(nanos(begun));
    }
    Ok(Spread::of(took))
}

/// One call beside libmodbus.
fn beside_libmodbus(floor: &Floor, runtime: &tokio::runtime::Runtime, what: &str) -> Done<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(floor.calls(what)?);
        ours.push(match what {
            "read" => runtime.block_on(our_reads(floor.address))?,
            _ => runtime.block_on(our_writes(floor.address))?,
        });
    }
    let pick = |all: &[Spread], part: fn(&Spread) -> f64| median(all.iter().map(part).collect());
    let whole = |all: &[Spread]| Spread {
        p50: pick(all, |one| one.p50),
        p99: pick(all, |one| one.p99),
        max: pick(all, |one| one.max),
        calls_per_second: pick(all, |one| one.calls_per_second),
    };
    let ratio = |part: fn(&Spread) -> f64| median(ours.iter().zip(&theirs).map(|(ours, theirs)| part(ours) / part(theirs)).collect());
    let (p50, p99) = (ratio(|one| one.p50), ratio(|one| one.p99));
    let line = json!({
        "bench": if what == "read" { "read_100_registers" } else { "write_one_coil" }, "unit": "us",
        "ours": whole(&ours).json(), "peer": "libmodbus (C)", "theirs": whole(&theirs).json(),
        "ratio": { "p50": round(p50), "p99": round(p99) }, "bar": "p50<=1.3 p99<=1.5", "met": p50 <= 1.3 && p99 <= 1.5,
    });
    println!("{line}");
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || Timestamp { wall_micros: 0, mono_micros: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX) })
}

/// A thousand registers at 10 Hz.
fn tags() -> Vec<TagSpec> {
    let tag = |number: u16| TagSpec {
        sample: Sample::Every(Micros::from_millis(100)),
        stale_after: Micros::from_millis(1000),
        valid_max: 65_535.0,
        ..TagSpec::new(format!("tag_{number}"), TAGS_BASE + number, Kind::U16)
    };
    (0..TAGS).map(tag).collect()
}

/// Gives and withdraws the permit while the tags are polled; how long until it reads back from the PLC.
async fn permits(address: SocketAddr) -> Done<Value> {
    let mut settings = Settings::new(address, clock());
    settings.plc.as_mut().ok_or("a PLC")?.tags = tags();
    let (commands, asked) = mpsc::channel(64);
    let (tell, mut reports) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let bridge = tokio::spawn(run(settings, asked, move |report| tell.send(report).unwrap_or_default(), async {
        stopped.await.unwrap_or_default();
    }));
    let (mut took, mut readings, mut run_it, mut beat) = (Vec::new(), 0_u64, false, 0_u16);
    let begun = Instant::now();
    // As a station does: a heartbeat every 100 ms. Decisions come at their own times in between.
    let mut beats = interval(Duration::from_millis(100));
    while took.len() < PERMITS {
        tokio::select! {
            _ = beats.tick() => {
                beat = beat.wrapping_add(1);
                commands.send(LineCommand::Beat(beat)).await?;
            }
            report = timeout(Duration::from_secs(30), reports.recv()) => match report?.ok_or("the bridge is gone")? {
                BridgeReport::Event(Event::Link(PlcLink::Up)) => {
                    run_it = true;
                    commands.send(permit(run_it)).await?;
                }
                BridgeReport::Event(Event::Link(PlcLink::Down(fault))) => return Err(format!("the link went down: {fault:?}").into()),
                BridgeReport::Event(Event::Read(_)) => readings += 1,
                BridgeReport::Permitted { run, micros } => {
                    if !run {
                        took.push(micros * 1000);
                    }
                    // Off the beat of the poll, deterministically.
                    sleep(Duration::from_micros(500 + (u64::from(beat) * 7919 + u64::try_from(took.len())? * 104_729) % 3000)).await;
                    run_it = !run_it;
                    commands.send(permit(run_it)).await?;
                }
                _ => {}
            },
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.send(()).map_err(|()| "the bridge is gone")?;
    bridge.await?;
    let spread = Spread::of(took);
    #[expect(clippy::cast_precision_loss, reason = "a count of some thousands")]
    let rate = readings as f64 / seconds;
    Ok(json!({
        "bench": "permit_withdrawn_to_read_back", "unit": "us", "ours": { "p50": spread.p50, "p99": spread.p99, "max": spread.max },
        "while": { "tags": TAGS, "readings_per_s": rate.round() }, "bar": "p99<=1000", "met": spread.p99 <= 1000.0,
    }))
}

const fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(0), stop_seq: 0, spc_rules: 0, spc_chart: 0 })
}

/// CPU time of this process so far, user and system (proc(5): fields 14 and 15 of `stat`, in ticks of 10 ms).
fn cpu_seconds() -> Done<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect::<Vec<_>>();
    let ticks = fields.get(11).ok_or("no utime")?.parse::<f64>()? + fields.get(12).ok_or("no stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// What it costs to poll the tags of a PLC that is only listened to, and of one that also shakes hands.
async fn polling(settings: Settings, bench: &str, bar: Option<f64>) -> Done<()> {
    let (commands, asked) = mpsc::channel::<LineCommand>(4);
    let (tell, mut reports) = mpsc::unbounded_channel();
    let bridge = tokio::spawn(run(settings, asked, move |report| tell.send(report).unwrap_or_default(), std::future::pending()));
    let counting = async {
        let mut readings = 0_u64;
        while let Some(report) = reports.recv().await {
            readings += u64::from(matches!(report, BridgeReport::Event(Event::Read(_))));
            if readings >= u64::from(TAGS) {
                break;
            }
        }
        let (begun, cpu) = (Instant::now(), cpu_seconds()?);
        let ended = sleep(WATCHED);
        tokio::pin!(ended);
        let mut told = 0_u64;
        loop {
            tokio::select! {
                () = &mut ended => break,
                Some(report) = reports.recv() => told += u64::from(matches!(report, BridgeReport::Event(Event::Read(_)))),
            }
        }
        let share = 100.0 * (cpu_seconds()? - cpu) / begun.elapsed().as_secs_f64();
        Done::Ok((share, told))
    };
    let (share, told) = timeout(Duration::from_secs(60), counting).await??;
    bridge.abort();
    drop(commands);
    let line = json!({
        "bench": bench, "unit": "percent_of_a_core", "ours": round(share), "tags": TAGS, "hz": 10,
        "readings_told": told, "bar": bar.map(|bar| format!("<={bar}")), "met": bar.map(|bar| share <= bar),
    });
    println!("{line}");
    Ok(())
}

fn measure(floor: &Floor) -> Done<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    beside_libmodbus(floor, &runtime, "read")?;
    beside_libmodbus(floor, &runtime, "write")?;
    println!("{}", runtime.block_on(permits(floor.address))?);
    let source = SourceSettings::new("floor", Way::Tcp(floor.address), tags());
    let listened = Settings { sources: vec![source], ..Settings::alone(clock()) };
    runtime.block_on(polling(listened, "poll_1000_tags", Some(3.0)))?;
    let mut shaking = Settings::new(floor.address, clock());
    shaking.plc.as_mut().ok_or("a PLC")?.tags = tags();
    runtime.block_on(polling(shaking, "poll_1000_tags_and_the_control_block_every_2_ms", None))
}

fn main() -> Done<()> {
    match Floor::start() {
        Ok(floor) => measure(&floor),
        Err(reason) => {
            println!("{}", json!({ "bench": "plc-bridge", "skipped": reason.to_string() }));
            Ok(())
        }
    }
}
