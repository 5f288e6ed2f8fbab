//! Rounds of link faults: the real station behind the real bridge, a proxy that misbehaves, and the simulated PLC.
//!
//! ```text
//!   station ◄──► bridge (run) ◄──TCP──► hostile proxy ◄──TCP──► simulated PLC
//!      ▲ one round:                                                 │ auditor
//!      │  run ─► [operator stops] ─► fault ─► told ─► RunPermit 0 ─► return ─► up ─► the same stop again ─► release ─► run
//! ```
//! Invariants, counted in every round and never averaged away: a fault ends the link exactly once; a link never ends
//! without a fault; the stop that was in force before is in force after; nothing that was written before is written again.

use crate::world::{inspection, setup};
use plc_bridge::sim::hostile::{Hostile, HostileHandle, HostileSettings, Mischief};
use plc_bridge::sim::{Outage, Pace, STATUS_BASE, Sim, SimHandle, SimSettings, SimTag};
use plc_bridge::{BridgeReport, Clock, Settings, jmap};
use station::action::{Action, Person, Request, Role};
use station::line::{LineCommand, LinkFault, PlcLink};
use station::reading::{Quality, Reading};
use station::snapshot::Phase;
use station::units::{Micros, Timestamp};
use station::{Effect, Event, Past, Setup, Station};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often the judging thread's heart beats.
const BEAT: Duration = Duration::from_millis(100);
/// `PlcLink` among the bits of `StopReason`.
const PLC_LINK: u32 = 1 << 10;
/// An outage that is ended by the test.
const UNTIL_ENDED: Duration = Duration::from_secs(3600);

/// One way in which a link breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Break {
    /// Connections are closed in good order, and new ones at once after they were made.
    Drop,
    /// The same with RST.
    Reset,
    /// The PLC's port is closed.
    Refused,
    /// Nothing is answered, connecting works.
    BlackHole,
    /// Nothing is answered, connecting hangs.
    Unreachable,
    /// The PLC has forgotten the connections; new ones work.
    HalfOpen,
    /// The PLC loses power and comes back with zeros in its memory.
    Restart,
    /// The PLC answers, but its program stands still.
    HeartbeatFrozen,
    /// A gateway answers with old values and swallows writes.
    ValuesFrozen,
}

impl Break {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Drop,
        Self::Reset,
        Self::Refused,
        Self::BlackHole,
        Self::Unreachable,
        Self::HalfOpen,
        Self::Restart,
        Self::HeartbeatFrozen,
        Self::ValuesFrozen,
    ];

    /// As it stands in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::BlackHole => "black_hole",
            Self::Unreachable => "unreachable",
            Self::HalfOpen => "half_open",
            Self::Restart => "restart",
            Self::HeartbeatFrozen => "heartbeat_frozen",
            Self::ValuesFrozen => "values_frozen",
        }
    }
}

/// How patient both sides are.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For connecting.
    pub connect: Duration,
    /// For one question and its answer.
    pub call: Duration,
    /// `PlcHeartbeat` may stand still for so long.
    pub plc_heartbeat: Duration,
    /// `VisionHeartbeat` may stand still for so long.
    pub vision_heartbeat: Duration,
}

impl Limits {
    /// Those of a line; for measuring. A PLC that must be without permit 500 ms after the last beat waits for less: its timer
    /// begins with the scan that saw the beat, and is looked at once per scan.
    pub const STRICT: Self = Self {
        connect: Duration::from_millis(300),
        call: Duration::from_millis(200),
        plc_heartbeat: Duration::from_millis(250),
        vision_heartbeat: Duration::from_millis(480),
    };
    /// For a crowded machine, on which a pause must not pass for a fault.
    pub const PATIENT: Self = Self {
        connect: Duration::from_millis(1000),
        call: Duration::from_millis(1000),
        plc_heartbeat: Duration::from_millis(1000),
        vision_heartbeat: Duration::from_millis(1500),
    };
}

/// How long one round took.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// From the fault to the station hearing of it.
    pub detected: Duration,
    /// From the fault to RunPermit 0 in the PLC; `None` if the line was stopped before.
    pub permit_lost: Option<Duration>,
    /// From the return of the PLC (or from being told, if it never went) to the link being up.
    pub back: Duration,
}

/// What went wrong, counted over all rounds of a rig; all zeros is what must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrongs {
    /// Links that ended, or connections that were made anew, without a fault.
    pub spurious: u64,
    /// Writes of an image from before.
    pub stale: u64,
    /// Stops that were not the same after the fault.
    pub stop_changed: u64,
    /// Values or serials that belong to another question.
    pub misattributed: u64,
}

impl std::ops::AddAssign for Wrongs {
    fn add_assign(&mut self, other: Self) {
        self.spurious += other.spurious;
        self.stale += other.stale;
        self.stop_changed += other.stop_changed;
        self.misattributed += other.misattributed;
    }
}

type Reports = mpsc::UnboundedReceiver<(Instant, BridgeReport)>;

/// A PLC, a proxy, a bridge and a station.
pub struct Rig {
    plc: SimHandle,
    hostile: HostileHandle,
    commands: mpsc::Sender<LineCommand>,
    reports: Reports,
    station: Station,
    clock: Clock,
    beats: Interval,
    beat: u16,
    tags: Vec<SimTag>,
    up: bool,
    ups: u64,
    /// When a link that was up ended, and how often that was told.
    ended: Option<Instant>,
    ends: u64,
    up_at: Option<Instant>,
    last_fault: Option<LinkFault>,
    wrongs: Wrongs,
    stop: oneshot::Sender<()>,
    bridge: JoinHandle<()>,
    background: JoinSet<()>,
}

/// The setup of a station that stops for its PLC and for people, and for nothing that noise could do.
fn calm() -> Setup {
    let mut setup = setup();
    let recipe = Arc::make_mut(&mut setup.recipe);
    recipe.characteristics.clear();
    recipe.verdict_deadline = Micros::from_millis(60_000);
    recipe.stop.unconfirmed_rejects = 10_000;
    recipe.stop.consecutive_rejects = 10_000;
    recipe.stop.deadline_misses_max = 10_000;
    recipe.stop.deadline_window = 10_000;
    setup
}

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros }
    })
}

fn settings(address: SocketAddr, limits: Limits, tags: &SimSettings, clock: &Clock) -> Settings {
    let mut settings = Settings::new(address, Arc::clone(clock));
    settings.heartbeat_timeout = Micros(u64::try_from(limits.plc_heartbeat.as_micros()).unwrap_or(u64::MAX));
    if let Some(plc) = &mut settings.plc {
        plc.tags = tags.tag_specs();
        plc.poll_interval = Duration::from_millis(10);
        plc.peer.connect_timeout = limits.connect;
        plc.peer.call_timeout = limits.call;
        plc.backoff_first = Duration::from_millis(50);
        plc.backoff_max = Duration::from_millis(400);
    }
    settings
}

impl Rig {
    /// Starts everything; `seed` gives each rig noise of its own.
    ///
    /// # Panics
    /// If there is no free port, or the recipe is unsound.
    pub async fn start(limits: Limits, seed: u64) -> Self {
        let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let pace = Pace::Paced { pieces_per_minute: 600.0 };
        let scan_interval = Duration::from_millis(5);
        let sim = SimSettings { seed, pace, scan_interval, vision_timeout: limits.vision_heartbeat, ..SimSettings::default() };
        let plc = Sim::bind(localhost, sim.clone()).await.expect("a free port");
        let proxy = HostileSettings { listen: localhost, upstream: plc.local_addr(), seed, trouble: None };
        let proxy = Hostile::bind(proxy).expect("a free port");
        let (address, handle, hostile) = (proxy.local_addr(), plc.handle(), proxy.handle());
        let mut background = JoinSet::new();
        background.spawn(async { plc.run(std::future::pending()).await.expect("the simulated PLC listens") });
        background.spawn(async { proxy.run(std::future::pending()).await.expect("the proxy listens") });

        let clock = clock();
        let (commands, asked) = mpsc::channel(256);
        let (tell, reports) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let report = move |report| tell.send((Instant::now(), report)).unwrap_or_default();
        let settings = settings(address, limits, &sim, &clock);
        let bridge = tokio::spawn(plc_bridge::run(settings, asked, report, async { stopped.await.unwrap_or_default() }));

        let mut effects = Vec::new();
        let station = Station::start(calm(), &Past::default(), clock.as_ref()(), &mut effects).expect("a sound recipe");
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rig = Self {
            plc: handle,
            hostile,
            commands,
            reports,
            station,
            clock,
            beats,
            beat: 0,
            tags: sim.tags,
            up: false,
            ups: 0,
            ended: None,
            ends: 0,
            up_at: None,
            last_fault: None,
            wrongs: Wrongs::default(),
            stop,
            bridge,
            background,
        };
        rig.obey(effects).await;
        rig
    }

    /// Stops the bridge and gives what went wrong.
    ///
    /// # Panics
    /// If the bridge does not end.
    pub async fn finish(mut self) -> Wrongs {
        self.stop.send(()).expect("the bridge still runs");
        timeout(DEADLINE, self.bridge).await.expect("the bridge ends").expect("the bridge did not panic");
        self.background.shutdown().await;
        let audit = self.plc.audit();
        self.wrongs.stale += audit.first_not_zero + audit.backwards + audit.outdated + audit.overtaken;
        self.wrongs
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !wanted(self) {
            let plc = self.plc.clone();
            tokio::select! {
                report = self.reports.recv() => {
                    let (at, report) = report.expect("the bridge runs");
                    self.take(at, report).await;
                }
                _ = self.beats.tick() => {
                    self.beat = self.beat.wrapping_add(1);
                    self.send(LineCommand::Beat(self.beat)).await;
                    self.give(Event::Tick).await;
                }
                () = plc.next_scan() => {}
            }
            assert!(started.elapsed() < DEADLINE, "waited too long for {what}: {:?} {:?}", self.station.phase(), self.plc.observe());
        }
    }

    async fn take(&mut self, at: Instant, report: BridgeReport) {
        let BridgeReport::Event(event) = report else { return };
        let mut arrived = None;
        match &event {
            Event::Link(PlcLink::Up) => (self.up, self.ups, self.up_at) = (true, self.ups + 1, Some(at)),
            Event::Link(PlcLink::Down(fault)) => {
                self.last_fault = Some(*fault);
                if std::mem::take(&mut self.up) {
                    (self.ended, self.ends) = (Some(at), self.ends + 1);
                }
            }
            Event::Arrived(arrival) => {
                // A piece whose serial could not be read for certain has none.
                let expected = format!("SN{:08}", arrival.piece.0);
                self.wrongs.misattributed += u64::from(arrival.serial.as_ref().is_some_and(|serial| *serial != expected));
                arrived = Some(arrival.piece.0);
            }
            Event::Read(reading) => self.wrongs.misattributed += u64::from(!self.fits(reading)),
            _ => {}
        }
        self.give(event).await;
        if let Some(piece) = arrived {
            self.give(Event::Seen(Arc::new(inspection(piece, &[])))).await;
        }
    }

    /// No two sensors have overlapping values, so a value of another question is outside of what its own can say.
    fn fits(&self, reading: &Reading) -> bool {
        let known = self.tags.iter().find(|tag| tag.spec.name == reading.tag);
        known.is_some_and(|tag| reading.quality != Quality::Good || (reading.value - tag.mean).abs() < 8.0 * tag.sigma)
    }

    async fn give(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.station.handle(event, self.clock.as_ref()(), &mut effects);
        self.obey(effects).await;
    }

    /// Does what the station asks. Everything is durable at once.
    async fn obey(&mut self, effects: Vec<Effect>) {
        let mut pending = effects;
        while !pending.is_empty() {
            let mut kept = None;
            for effect in std::mem::take(&mut pending) {
                match effect {
                    Effect::Command(command) => self.send(command).await,
                    Effect::Keep(entry) => kept = Some(entry.number),
                    Effect::Show(_) => {}
                }
            }
            if let Some(number) = kept {
                self.station.handle(Event::Kept(number), self.clock.as_ref()(), &mut pending);
            }
        }
    }

    async fn send(&self, command: LineCommand) {
        self.commands.send(command).await.expect("the bridge runs");
    }

    fn status(&self) -> jmap::Status {
        let words = self.plc.holding(STATUS_BASE, jmap::STATUS_HEAD).expect("the status block");
        jmap::Status::decode(&words, jmap::Order::default())
    }

    async fn ask(&mut self, role: Role, action: Action) {
        let by = Person { name: "a person".to_owned(), role };
        self.give(Event::Asked(Request { by, action })).await;
    }

    /// Releases whatever stop is in force, and waits until the belt runs.
    async fn run_line(&mut self) {
        // An engineer armed the line stop through the PLC: what is not armed does not stop, and is not stopped.
        self.until("the line stop to be armed", |rig| rig.plc.observe().commands.last == Some((101, true))).await;
        let runs = |rig: &Self| rig.up && rig.station.phase() == Phase::Running && rig.plc.observe().line_running;
        while !runs(self) {
            self.until("the link", |rig| rig.up).await;
            if let Some(stop) = self.station.snapshot(self.clock.as_ref()()).stop {
                let cause = Action::Acknowledge { stop_seq: stop.seq, cause: "cable".to_owned(), corrective_action: String::new() };
                self.ask(Role::Operator, cause).await;
                self.ask(Role::Supervisor, Action::Release { stop_seq: stop.seq }).await;
            }
            // A machine that stood still for a moment stops its line again, by right.
            self.until("the belt to run", |rig| runs(rig) || !rig.up || rig.station.phase() == Phase::Stopped).await;
        }
    }

    /// Scans go by, so that faults come at every moment of the exchange.
    async fn let_scans_pass(&mut self, count: u64) {
        let until = self.plc.observe().scans + count;
        self.until("scans", |rig| rig.plc.observe().scans >= until).await;
    }

    fn inject(&self, fault: Break) {
        match fault {
            Break::Drop => self.hostile.begin(Mischief::Close),
            Break::Reset => self.hostile.begin(Mischief::Reset),
            Break::Refused => self.hostile.begin(Mischief::Refused),
            Break::BlackHole => self.hostile.begin(Mischief::BlackHole),
            Break::Unreachable => self.hostile.begin(Mischief::Unreachable),
            Break::HalfOpen => self.hostile.begin(Mischief::HalfOpen),
            Break::Restart => self.plc.outage(Outage::PowerLost, UNTIL_ENDED),
            Break::HeartbeatFrozen => self.plc.freeze_heartbeat(true),
            Break::ValuesFrozen => self.hostile.begin(Mischief::Frozen),
        }
    }

    fn heal(&self) {
        self.hostile.end();
        self.plc.end_outage();
        self.plc.freeze_heartbeat(false);
    }

    /// One round. With `stopped`, a person has stopped the line before the fault comes.
    ///
    /// # Panics
    /// If something does not come within a minute.
    pub async fn round(&mut self, fault: Break, stopped: bool, scans: u64) -> Round {
        self.run_line().await;
        if stopped {
            self.ask(Role::Operator, Action::Stop { note: "smoke".to_owned() }).await;
            self.until("the stop", |rig| !rig.plc.observe().run_permit && rig.status().stop_reason != 0).await;
        }
        self.let_scans_pass(scans).await;
        let (before, ends, ups, taken) = (self.status(), self.ends, self.ups, self.hostile.deeds().connections);
        // What is told from now on belongs to the fault.
        self.drain().await;
        self.wrongs.spurious += self.ends - ends;

        let (ends, injected) = (self.ends, Instant::now());
        self.inject(fault);
        self.until("the fault to be told", |rig| rig.ends > ends).await;
        let told = self.ended.unwrap_or(injected);
        self.until("the PLC to be without permit", |rig| !rig.plc.observe().run_permit).await;
        let fell = self.plc.observe().permit_fell.filter(|fell| *fell >= injected);
        let permits = self.plc.audit().permits;
        let (healed, stop_seq) = (Instant::now(), self.station.snapshot(self.clock.as_ref()()).stop.map(|stop| stop.seq));
        self.heal();

        self.until("the link to come up", |rig| rig.up && rig.ups > ups).await;
        let up_at = self.up_at.unwrap_or(healed);
        self.until("the stop to be told again", |rig| rig.status().stop_reason & PLC_LINK != 0 || !rig.up).await;
        self.let_scans_pass(60).await;
        self.until("the PLC to trust the heartbeat", |rig| rig.plc.observe().vision_alive).await;
        let after = self.status();
        let same = Some(after.stop_seq) == stop_seq
            && after.stop_reason & PLC_LINK != 0
            && after.stop_reason & before.stop_reason == before.stop_reason
            && (!stopped || after.stop_seq == before.stop_seq);
        self.wrongs.stop_changed += u64::from(!same || after.run_permit);
        self.wrongs.stale += self.plc.audit().permits - permits;
        self.wrongs.spurious += (self.ends - ends - 1) + (self.ups - ups - 1);
        if fault == Break::HeartbeatFrozen {
            self.wrongs.spurious += self.hostile.deeds().connections - taken;
        }
        let from = if fault == Break::HalfOpen { told } else { healed };
        Round {
            detected: told.saturating_duration_since(injected),
            permit_lost: fell.map(|fell| fell - injected),
            back: up_at.saturating_duration_since(from),
        }
    }

    /// Takes what waits.
    async fn drain(&mut self) {
        while let Ok((at, report)) = self.reports.try_recv() {
            self.take(at, report).await;
        }
    }
}

/// All rounds of one fault.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Each round.
    pub rounds: Vec<Round>,
    /// What went wrong.
    pub wrongs: Wrongs,
}

/// `rounds` rounds of `fault` on `rigs` rigs at a time; every second round with a line that a person has stopped before.
///
/// # Panics
/// If a rig does.
pub async fn rounds(fault: Break, rounds: usize, rigs: usize, limits: Limits) -> Tally {
    let mut tasks = JoinSet::new();
    for rig in 0..rigs {
        let mine = rounds / rigs + usize::from(rig < rounds % rigs);
        tasks.spawn(async move {
            let seed = u64::try_from(rig).unwrap_or(0);
            let mut line = Rig::start(limits, seed + 1).await;
            let mut tally = Tally::default();
            for round in 0..mine {
                let number = u64::try_from(round).unwrap_or(0);
                // Any number of scans within two beats, so that the fault meets every phase of the exchange.
                let scans = (seed * 7 + number * 11) % 40;
                tally.rounds.push(line.round(fault, (rig + round) % 2 == 1, scans).await);
            }
            tally.wrongs = line.finish().await;
            tally
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        let tally = tally.expect("the rig did not panic");
        all.rounds.extend(tally.rounds);
        all.wrongs += tally.wrongs;
    }
    all
}
