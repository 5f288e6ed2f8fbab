//! What the server's tests share: an appliance that serves, a judge behind it, and a PLC that is the Modbus master.
#![allow(dead_code, reason = "each test program uses its own part")]

use plc_bridge::jmap::{CONTROL_HEAD, Control, Order, STATUS_HEAD, Status};
use plc_bridge::serial::{Parity, SerialLine};
use plc_bridge::server::{Listen, ServerSettings};
use plc_bridge::{BridgeReport, Clock, Settings, run};
use station::inspection::ClassId;
use station::line::{LineCommand, LinkFault, Permit, PieceResult, PlcLink};
use station::piece::Arrival;
use station::policy::StopReasons;
use station::station::Event;
use station::units::{Micros, Timestamp};
use station::verdict::Verdict;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};
use tokio_modbus::client::{Context, Reader as _, rtu, tcp};
use tokio_modbus::{ExceptionCode, Slave};
use tokio_serial::SerialStream;

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Says why a test does nothing; where everything must be installed, that is a failure.
pub fn skipped<T>(why: &str) -> Option<T> {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
    println!("skipped: {why}");
    None
}

pub fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_micros = u64::try_from(start.elapsed().as_micros()).expect("a short run");
        Timestamp { wall_micros: 0, mono_micros }
    })
}

pub const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An appliance that only serves, at a free port, with a heartbeat that no crowded machine misses.
pub fn serving(listen: Listen) -> Settings {
    let mut settings = Settings::alone(clock());
    settings.server = Some(ServerSettings::new(listen));
    settings.heartbeat_timeout = Micros::from_millis(20_000);
    settings.stop_deadline = Duration::from_secs(20);
    settings
}

/// What left the bridge.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub listening: Option<SocketAddr>,
    pub arrivals: Vec<Arrival>,
    pub missed: Vec<u32>,
    pub written: Vec<u32>,
    pub written_micros: Vec<u64>,
    /// Permits that the PLC read.
    pub permits: Vec<bool>,
    pub ups: usize,
    pub downs: Vec<LinkFault>,
    pub running: bool,
}

impl Seen {
    pub fn pieces(&self) -> Vec<u32> {
        self.arrivals.iter().map(|arrival| arrival.piece.0).collect()
    }
}

/// The bridge at work, with a judge who finds odd pieces good.
pub struct Station {
    commands: mpsc::Sender<LineCommand>,
    pub seen: watch::Receiver<Seen>,
    stop: oneshot::Sender<()>,
    bridge: JoinHandle<()>,
    judge: JoinHandle<()>,
}

impl Station {
    /// The judge lets the line run whenever the link comes up.
    pub fn start(settings: Settings) -> Self {
        Self::with_beats(settings, true)
    }

    /// Without beats the status block stands still once nothing happens.
    pub fn with_beats(settings: Settings, beating: bool) -> Self {
        let (commands, asked) = mpsc::channel(256);
        let (tell, mut reports) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let report = move |report| tell.send(report).unwrap_or_default();
        let bridge = tokio::spawn(run(settings, asked, report, async { stopped.await.unwrap_or_default() }));
        let (show, seen) = watch::channel(Seen::default());
        let say = commands.downgrade();
        let judge = tokio::spawn(async move {
            let (mut beats, mut beat) = (interval(Duration::from_millis(20)), 0_u16);
            loop {
                let answer = tokio::select! {
                    report = reports.recv() => {
                        let Some(report) = report else { return };
                        let mut answer = None;
                        show.send_modify(|seen| answer = heed(seen, report));
                        answer
                    }
                    _ = beats.tick(), if beating => {
                        beat = beat.wrapping_add(1);
                        Some(LineCommand::Beat(beat))
                    }
                };
                let Some(commands) = say.upgrade() else { return };
                if let Some(command) = answer
                    && commands.send(command).await.is_err()
                {
                    return;
                }
            }
        });
        Self { commands, seen, stop, bridge, judge }
    }

    /// Starts it on TCP and gives where it listens.
    pub async fn on_tcp(adjust: impl FnOnce(&mut Settings)) -> (Self, SocketAddr) {
        let mut settings = serving(Listen::Tcp(LOCAL));
        adjust(&mut settings);
        let mut station = Self::start(settings);
        let address = station.listening().await;
        (station, address)
    }

    pub async fn listening(&mut self) -> SocketAddr {
        self.until("the server to listen", |seen| seen.listening.is_some()).await.listening.expect("it listens")
    }

    pub async fn until(&mut self, what: &str, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        within(what, self.seen.wait_for(wanted)).await.expect("the judge lives").clone()
    }

    pub async fn send(&self, command: LineCommand) {
        self.commands.send(command).await.unwrap_or_else(|_| panic!("the bridge is gone"));
    }

    /// Asks the bridge to end and does not wait for it.
    pub fn ask_to_stop(self) -> JoinHandle<()> {
        self.stop.send(()).expect("the bridge still runs");
        self.bridge
    }

    /// Stops it while `plc` goes on scanning, so that it reads the last word.
    pub async fn stop_while(self, mut plc: Master) {
        let scanning = async { while plc.scan().await.is_ok() {} };
        tokio::join!(self.stop(), within("the server to close", scanning));
    }

    /// Stops it; if a client holds control it must go on reading, or this takes as long as the bridge may.
    pub async fn stop(self) {
        let judge = self.judge;
        self.stop.send(()).expect("the bridge still runs");
        within("the bridge to end", self.bridge).await.expect("the bridge did not panic");
        drop(self.commands);
        within("the judge to end", judge).await.expect("the judge did not panic");
    }
}

fn heed(seen: &mut Seen, report: BridgeReport) -> Option<LineCommand> {
    match report {
        BridgeReport::Listening(address) => seen.listening = Some(address),
        BridgeReport::Written { piece, micros } => {
            seen.written.push(piece.0);
            seen.written_micros.push(micros);
        }
        BridgeReport::Permitted { run, .. } => seen.permits.push(run),
        BridgeReport::Event(Event::Arrived(arrival)) => {
            let answer = LineCommand::Result(result(&arrival));
            seen.arrivals.push(arrival);
            return Some(answer);
        }
        BridgeReport::Event(Event::Missed(miss)) => seen.missed.push(miss.piece.0),
        BridgeReport::Event(Event::Link(PlcLink::Up)) => {
            seen.ups += 1;
            return Some(permit(true));
        }
        BridgeReport::Event(Event::Link(PlcLink::Down(fault))) => seen.downs.push(fault),
        BridgeReport::Event(Event::Link(PlcLink::Feedback(feedback))) => seen.running = feedback.line_running,
        BridgeReport::Event(_) | BridgeReport::RoundTrip { .. } => {}
    }
    None
}

pub const fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(0), stop_seq: 0, spc_rules: 0, spc_chart: 0 })
}

fn result(arrival: &Arrival) -> PieceResult {
    let pass = arrival.piece.0 % 2 == 1;
    PieceResult {
        piece: arrival.piece,
        encoder: arrival.encoder,
        verdict: if pass { Verdict::Pass } else { Verdict::Reject },
        golden: arrival.golden,
        grade: 3,
        top_class: Some(ClassId(5)),
        defects: 7,
        score: 8765,
        latency_tenth_millis: 321,
        reject_at: (!pass).then(|| arrival.encoder.ahead(3000)),
        payload: vec![120.5, f64::from(arrival.piece.0) * 1000.0],
    }
}

/// A PLC that is the master: one FC23 per scan, which writes its control block and reads the status block.
pub struct Master {
    pub context: Context,
    pub control: Control,
}

/// Why a scan gave nothing.
#[derive(Debug)]
pub enum Lost {
    Connection,
    Refused(ExceptionCode),
}

impl Master {
    pub async fn connect(address: SocketAddr) -> Self {
        let context = tcp::connect_slave(address, Slave(1)).await.expect("the server listens");
        Self::over(context)
    }

    pub fn on_line(port: SerialStream) -> Self {
        Self::over(rtu::attach_slave(port, Slave(1)))
    }

    pub fn over(context: Context) -> Self {
        let control = Control { trigger_enable: true, buffer_results_enable: true, line_running: true, ..Control::default() };
        Self { context, control }
    }

    /// One scan: the heartbeat moves, control goes out, status comes in.
    pub async fn scan(&mut self) -> Result<Status, Lost> {
        self.control.heartbeat = self.control.heartbeat.wrapping_add(1);
        let words = self.control.encode(Order::default());
        let answer = self.context.read_write_multiple_registers(1000, STATUS_HEAD, 0, &words[..usize::from(CONTROL_HEAD)]).await;
        match answer {
            Ok(Ok(words)) => Ok(Status::decode(&words, Order::default())),
            Ok(Err(exception)) => Err(Lost::Refused(exception)),
            Err(_) => Err(Lost::Connection),
        }
    }

    /// The whole status block, payload included.
    pub async fn status_block(&mut self) -> Vec<u16> {
        let mut block = Vec::new();
        for from in [0, STATUS_HEAD] {
            block.extend(self.context.read_input_registers(from, STATUS_HEAD).await.expect("served").expect("it may read"));
        }
        block
    }

    /// Scans until the status block is as `wanted`.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let scanning = async {
            loop {
                let status = self.scan().await.unwrap_or_else(|lost| panic!("{lost:?} while waiting for {what}"));
                if wanted(&status) {
                    return status;
                }
            }
        };
        within(what, scanning).await
    }

    /// The whole exchange of one piece; the status block that carried its result.
    pub async fn piece(&mut self, number: u32) -> Status {
        self.until("TriggerReady", |status| status.trigger_ready && status.run_permit && !status.results_valid).await;
        self.control.piece_seq = number;
        self.control.encoder_at_trigger = number.wrapping_mul(1000);
        self.control.serial = Some(format!("M{number:06}"));
        self.control.set_user_data = true;
        self.until("SetUserDataAck", |status| status.set_user_data_ack).await;
        self.control.trigger = true;
        self.until("TriggerAck", |status| status.trigger_ack).await;
        (self.control.trigger, self.control.set_user_data) = (false, false);
        let offered = self.until("the result", |status| status.results_valid && !status.trigger_ack).await;
        self.control.results_ack = true;
        self.until("the result to be withdrawn", |status| !status.results_valid).await;
        self.control.results_ack = false;
        offered
    }
}

/// Speed of the serial lines here; a pty knows no baud, but the silences follow from it.
pub const BAUD: u32 = 115_200;

pub fn line(device: &Path) -> SerialLine {
    SerialLine { device: device.to_owned(), baud: BAUD, parity: Parity::Even }
}

/// Two serial devices with a cable between them, made of ptys.
pub struct Cable {
    child: Child,
    pub ends: [PathBuf; 2],
}

impl Drop for Cable {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Cable {
    pub async fn plug() -> Option<Self> {
        Self::with_ends(["pty,raw,echo=0".into(), "pty,raw,echo=0".into()]).await
    }

    /// The first end has the name `name`.
    pub async fn plug_as(name: &Path) -> Option<Self> {
        Self::with_ends([format!("pty,raw,echo=0,link={}", name.display()), "pty,raw,echo=0".into()]).await
    }

    async fn with_ends(ends: [String; 2]) -> Option<Self> {
        let mut command = Command::new("socat");
        command.args(["-d", "-d"]).args(ends).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return skipped("socat is not installed (package socat)") };
        let said = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, mut devices) = mpsc::unbounded_channel();
        spawn_blocking(move || {
            // To its end, so that socat is never stopped by a full pipe.
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, device)) = line.split_once("PTY is ") {
                    tell.send(PathBuf::from(device)).unwrap_or_default();
                }
            }
        });
        let both = async { [devices.recv().await.expect("socat lives"), devices.recv().await.expect("socat lives")] };
        let ends = within("socat", both).await;
        Some(Self { child, ends })
    }

    /// The master's end.
    pub fn master(&self) -> SerialStream {
        line(&self.ends[1]).open().expect("nobody else has it")
    }
}
