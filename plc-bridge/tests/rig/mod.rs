//! A simulated PLC, the real client, and a tiny judge between them.
#![allow(dead_code, reason = "each test program uses its own part of the rig")]

use plc_bridge::client::ClientSettings;
use plc_bridge::sim::{Pace, Sim, SimHandle, SimSettings};
use plc_bridge::{BridgeReport, Clock, Settings, run};
use station::inspection::Miss;
use station::line::{Answer, LineCommand, LinkFault, Permit, PieceResult, PlcLink};
use station::piece::Arrival;
use station::policy::StopReasons;
use station::reading::Quality;
use station::station::Event;
use station::units::Timestamp;
use station::verdict::Verdict;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A line that goes from piece to piece. Its watchdog is patient, because no test of the order of pieces is one of time.
pub fn lockstep(pieces: u32) -> SimSettings {
    SimSettings {
        pace: Pace::Lockstep,
        pieces: Some(pieces),
        vision_timeout: Duration::from_secs(10),
        scan_interval: Duration::from_millis(1),
        ..SimSettings::default()
    }
}

pub fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_micros = u64::try_from(start.elapsed().as_micros()).expect("a short run");
        Timestamp { wall_micros: 0, mono_micros }
    })
}

/// The PLC that shakes hands.
pub fn plc(settings: &mut Settings) -> &mut ClientSettings {
    settings.plc.as_mut().expect("a PLC that shakes hands")
}

pub struct Rig {
    pub plc: SimHandle,
    commands: mpsc::Sender<LineCommand>,
    reports: Mutex<Option<Reports>>,
    stop: oneshot::Sender<()>,
    client: JoinHandle<()>,
    bench: Bench,
}

/// A PLC with nobody at it.
pub struct Bench {
    pub plc: SimHandle,
    sim: SimSettings,
    address: SocketAddr,
}

impl Bench {
    pub async fn start(sim: SimSettings) -> Self {
        let plc = Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), sim.clone()).await.expect("a free port");
        let bench = Self { plc: plc.handle(), sim, address: plc.local_addr() };
        tokio::spawn(plc.run(std::future::pending()));
        bench
    }

    /// A PLC that was started elsewhere; the client finds it at `address`.
    pub const fn of(plc: SimHandle, sim: SimSettings, address: SocketAddr) -> Self {
        Self { plc, sim, address }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn start_client(self, adjust: impl FnOnce(&mut Settings)) -> Rig {
        let mut settings = Settings::new(self.address, clock());
        plc(&mut settings).tags = self.sim.tag_specs();
        // Generous, so that a crowded machine is not a broken link.
        plc(&mut settings).peer.call_timeout = Duration::from_millis(800);
        adjust(&mut settings);
        let (commands, asked) = mpsc::channel(256);
        let (tell, reports) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let report = move |report| tell.send(report).unwrap_or_default();
        let client = tokio::spawn(run(settings, asked, report, async { stopped.await.unwrap_or_default() }));
        Rig { plc: self.plc.clone(), commands, reports: Mutex::new(Some(reports)), stop, client, bench: self }
    }
}

impl Rig {
    pub async fn start(sim: SimSettings, adjust: impl FnOnce(&mut Settings)) -> Self {
        Bench::start(sim).await.start_client(adjust)
    }

    pub fn address(&self) -> SocketAddr {
        self.bench.address
    }

    pub fn port(&self) -> u16 {
        self.bench.address.port()
    }

    pub fn reports(&self) -> Reports {
        self.reports.lock().expect("nobody panicked with it").take().expect("reports are taken once")
    }

    pub async fn send(&self, command: LineCommand) {
        self.commands.send(command).await.unwrap_or_else(|_| panic!("the client is gone"));
    }

    /// The client is gone from one moment to the next; its connections close, nothing is written.
    pub fn kill_client(self) -> Bench {
        self.client.abort();
        self.bench
    }

    /// Nobody commands any more; the client must end by itself.
    pub async fn drop_commands(self) -> SimHandle {
        drop(self.commands);
        within("the client to end", self.client).await.expect("the client did not panic");
        self.plc
    }
}

/// Judges by the piece's number, and remembers what it saw.
pub struct Judge {
    good: fn(u32) -> bool,
    beat: u16,
    pub beating: bool,
    pub answer_up: bool,
    pub answering: bool,
    /// The piece that is a cause to stop.
    pub stops_with: Option<u32>,
    pub arrived: Vec<u32>,
    pub serials: Vec<String>,
    pub missed: Vec<Miss>,
    pub written: Vec<u32>,
    pub written_micros: Vec<u64>,
    pub order: Vec<String>,
    pub qualities: Vec<Quality>,
    pub downs: Vec<LinkFault>,
    pub ups: usize,
    pub beats_since_up: u32,
    pub running: bool,
    pub confirmed: u32,
}

type Reports = mpsc::UnboundedReceiver<BridgeReport>;

pub struct Spawned {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Judge, Reports)>,
}

impl Spawned {
    pub async fn stop(self) -> (Judge, Reports) {
        self.stop.send(()).expect("the judge still runs");
        within("the judge to end", self.task).await.expect("the judge did not panic")
    }
}

impl Judge {
    pub fn by(good: fn(u32) -> bool) -> Self {
        Self {
            good,
            beat: 0,
            beating: true,
            answer_up: true,
            answering: true,
            stops_with: None,
            arrived: Vec::new(),
            serials: Vec::new(),
            missed: Vec::new(),
            written: Vec::new(),
            written_micros: Vec::new(),
            order: Vec::new(),
            qualities: Vec::new(),
            downs: Vec::new(),
            ups: 0,
            beats_since_up: 0,
            running: false,
            confirmed: 0,
        }
    }

    /// Judges in the background.
    pub fn keep_beating(mut self, rig: &Rig, mut reports: Reports) -> Spawned {
        let commands = rig.commands.clone();
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut beats = interval(Duration::from_millis(20));
            loop {
                tokio::select! {
                    _ = &mut stopped => return (self, reports),
                    Some(report) = reports.recv() => self.take(&commands, report).await,
                    _ = beats.tick() => self.beat(&commands).await,
                }
            }
        });
        Spawned { stop, task }
    }

    pub async fn until(&mut self, rig: &Rig, reports: &mut Reports, what: &str, wanted: impl Fn(&Self) -> bool) {
        let waiting = async {
            let mut beats = interval(Duration::from_millis(20));
            while !wanted(self) {
                tokio::select! {
                    Some(report) = reports.recv() => self.take(&rig.commands, report).await,
                    _ = beats.tick() => self.beat(&rig.commands).await,
                }
            }
        };
        within(what, waiting).await;
    }

    pub async fn permit(&mut self, rig: &Rig, run: bool) {
        rig.send(permit(run)).await;
    }

    /// Stops the client; the PLC runs on.
    pub async fn finish(self, rig: Rig) -> SimHandle {
        rig.stop.send(()).expect("the client still runs");
        within("the client to end", rig.client).await.expect("the client did not panic");
        rig.plc
    }

    async fn beat(&mut self, commands: &mpsc::Sender<LineCommand>) {
        if self.beating {
            self.beat = self.beat.wrapping_add(1);
            self.beats_since_up += 1;
            commands.send(LineCommand::Beat(self.beat)).await.expect("the client runs");
        }
    }

    async fn take(&mut self, commands: &mpsc::Sender<LineCommand>, report: BridgeReport) {
        match report {
            BridgeReport::Event(Event::Arrived(arrival)) => {
                self.order.push(format!("arrived {}", arrival.piece));
                self.arrived.push(arrival.piece.0);
                self.serials.push(arrival.serial.clone().unwrap_or_default());
                if self.stops_with == Some(arrival.piece.0) {
                    commands.send(permit(false)).await.expect("the client runs");
                }
                if self.answering {
                    commands.send(LineCommand::Result(self.judge(&arrival))).await.expect("the client runs");
                }
            }
            BridgeReport::Event(Event::Missed(miss)) => self.missed.push(miss),
            BridgeReport::Event(Event::Read(reading)) => {
                self.order.push(format!("read {} {:?} {}", reading.tag, reading.quality, reading.value));
                self.qualities.push(reading.quality);
            }
            BridgeReport::Event(Event::Link(PlcLink::Up)) => {
                self.ups += 1;
                self.beats_since_up = 0;
                if self.answer_up {
                    commands.send(permit(true)).await.expect("the client runs");
                }
            }
            BridgeReport::Event(Event::Link(PlcLink::Down(fault))) => {
                self.running = false;
                self.downs.push(fault);
            }
            BridgeReport::Event(Event::Link(PlcLink::Feedback(feedback))) => {
                self.order.push(format!("feedback {} {}", feedback.line_running, feedback.rejects_confirmed));
                self.running = feedback.line_running;
                self.confirmed = feedback.rejects_confirmed;
            }
            // A PLC whose block is empty at the first look has no pieces yet.
            BridgeReport::Event(Event::Link(PlcLink::Forgot)) => {}
            // This judge is no station: it refuses whatever the PLC asks for, so that the PLC goes on without.
            BridgeReport::Event(Event::Link(PlcLink::Asked(request))) => {
                commands.send(LineCommand::Answer(Answer { number: request.number, done: false })).await.expect("the client runs");
            }
            BridgeReport::Event(other) => panic!("the bridge never says {other:?}"),
            BridgeReport::Written { piece, micros } => {
                self.written.push(piece.0);
                self.written_micros.push(micros);
            }
            BridgeReport::RoundTrip { .. } | BridgeReport::Permitted { .. } | BridgeReport::Listening(_) => {}
        }
    }

    fn judge(&self, arrival: &Arrival) -> PieceResult {
        let verdict = if (self.good)(arrival.piece.0) { Verdict::Pass } else { Verdict::Reject };
        PieceResult {
            piece: arrival.piece,
            encoder: arrival.encoder,
            verdict,
            golden: arrival.golden,
            grade: 1,
            top_class: None,
            defects: u16::from(verdict == Verdict::Reject),
            score: 9000,
            latency_tenth_millis: 10,
            reject_at: (verdict == Verdict::Reject).then(|| arrival.encoder.ahead(3000)),
            payload: vec![f64::from(arrival.piece.0)],
        }
    }
}

fn permit(run: bool) -> LineCommand {
    LineCommand::Permit(Permit { run, reasons: StopReasons(0), stop_seq: 0, spc_rules: 0, spc_chart: 0 })
}
