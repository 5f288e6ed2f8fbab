//! The line: every thread, every queue, in the order of the flow. The only place that spawns.
//!
//! ```text
//!  plc ──arrivals──────────────────────────────▶ judge ──entries──▶ store ──▶ ledger
//!   ▲ └─triggers─▶ capture ─shots─▶ infer ─seen─▶  │ │ └─happenings─▶ journal     (a pair of them for each camera)
//!   └────────────────── commands ◀─────────────────┘ └─snapshots (latest)─▶ web, panel
//!                                    └─frames─▶ pictures            upload-* ◀── outbox
//! ```
//! Invariants: every queue is bounded and its depth is a constant below; the judge never waits; shutdown follows the flow
//! (plc, capture, infer, judge, store, then the rest), each with a deadline, and names who missed it.

pub mod deliver;
pub mod keep;
pub mod keeping;
pub mod link;
pub mod modbus;
pub mod note;
pub mod pace;
pub mod people;
pub mod pictures;
pub mod rig;
pub mod see;
pub mod show;
pub mod together;

use crate::clock::Clock;
use crate::config::{Realtime, Settings};
use crate::journal::JournalWriter;
use crate::judge::{Happening, Input, Judge, Outlets};
use crate::meter::Meter;
use crate::pipeline::deliver::{Delivery, deliver};
use crate::pipeline::keep::Told as Durable;
use crate::pipeline::keeping::Keeping;
use crate::pipeline::pace::Pace;
use crate::pipeline::people::{Board, People};
use crate::pipeline::pictures::{Gallery, Looked};
use crate::pipeline::rig::{Eye, Rig};
use crate::pipeline::see::{Lane, Shot, Trigger};
use crate::pipeline::together::Member;
use crate::realtime;
use crate::recall::page::Asking;
use crate::store::Store;
use crossbeam::channel::{Receiver, Sender, bounded};
use station::action::Request;
use station::line::LineCommand;
use station::record::Entry;
use station::snapshot::Snapshot;
use station::{Effect, Event, Setup, Station};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use web_ui::Refused;

/// Triggers that wait for the camera; one slot costs 16 bytes. Full: the piece is a hold (`queue_full`).
const TRIGGERS: usize = 8;
/// Pictures that wait for the model; one slot costs a frame (0.4 MB for 640×640). Full: the piece is a hold (`queue_full`).
const SHOTS: usize = 4;
/// Frames that wait to become pictures; one slot costs a frame. Full: the picture is shed.
const LOOKED: usize = 4;
/// Pieces that were closed and whose pictures are not classed yet; one slot costs a pointer and, while the store is behind, a record
/// of some 2 kB. Full: the piece's pictures are classed by what was seen in each.
const CLOSED: usize = 64;
/// Frames of one camera that wait for their piece to be closed; one slot costs a frame. Full: the oldest is classed by itself.
const WAITING: usize = 2;
/// Frame buffers: every slot above, one in each thread's hands, one that the page may ask for, a live camera's newest, and one spare.
const FRAMES: usize = SHOTS + LOOKED + WAITING + 7;
/// Events that wait for the judge; one slot costs some 200 bytes. Full: the event is lost and logged, the piece becomes a hold.
const INPUTS: usize = 1024;
/// Commands that wait for the PLC thread; one slot costs some 100 bytes. Full: the line is stopped (`plc_link`).
const COMMANDS: usize = 256;
/// Entries that wait for the store; one slot costs some 2 kB. Full: the judge keeps them, and its backlog limit stops the line.
const ENTRIES: usize = 512;
/// Happenings that wait for the journal; one slot costs some 4 kB. Full: the happening is counted as lost.
const HAPPENINGS: usize = 1024;
/// The threads of each camera: capture, keeper of a live one, inference.
const NAMES: [[&str; 3]; 8] = [
    ["capture", "camera", "infer-0"],
    ["capture-1", "camera-1", "infer-1"],
    ["capture-2", "camera-2", "infer-2"],
    ["capture-3", "camera-3", "infer-3"],
    ["capture-4", "camera-4", "infer-4"],
    ["capture-5", "camera-5", "infer-5"],
    ["capture-6", "camera-6", "infer-6"],
    ["capture-7", "camera-7", "infer-7"],
];
/// A thread that has not ended this long after it could is named and left behind. Longer than one exchange with a backend.
const END_DEADLINE: Duration = Duration::from_secs(15);

/// Why a line cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct LineError {
    /// What could not be done.
    pub what: String,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Turns any error into a `LineError` with a place.
pub fn at<E: std::error::Error + Send + Sync + 'static>(what: &str) -> impl FnOnce(E) -> LineError {
    move |error| LineError { what: what.to_owned(), source: Some(Box::new(error)) }
}

/// What is special about this run.
pub struct Run {
    /// Camera, model and how they are disturbed.
    pub rig: Rig,
    /// True if the line is simulated: the page says so.
    pub simulated: bool,
    /// Where to keep a journal.
    pub journal: Option<PathBuf>,
    /// Called with every heartbeat.
    pub alive: Box<dyn FnMut() + Send>,
    /// True: serve the page.
    pub page: bool,
}

/// A running line.
pub struct Line {
    /// The time of this line.
    pub clock: Clock,
    /// What was told at the start.
    pub setup: Setup,
    /// The latest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The latest measurements.
    pub meter: Arc<Meter>,
    /// Where each upload stands, by backend.
    pub deliveries: Vec<(String, Arc<Mutex<Delivery>>)>,
    /// Where the page listens, if there is one.
    pub page: Option<SocketAddr>,
    /// The one-time code for the first person, if nobody can sign in yet.
    pub setup_code: Option<String>,
    /// Number of the last piece record before this start.
    pub results_before: u64,
    /// Number of the last entry before this start.
    pub entries_before: u64,
    judge: Sender<Input>,
    stop_plc: watch::Sender<bool>,
    stop_rest: watch::Sender<bool>,
    stop_uploads: Option<Sender<()>>,
    flow: Vec<Thread>,
    rest: Vec<Thread>,
}

/// A thread that tells when it ends.
pub struct Thread {
    name: &'static str,
    handle: JoinHandle<()>,
    ended: Receiver<()>,
}

/// Starts a named thread (at most 15 bytes, as seen in `top -H`).
pub fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<Thread, LineError> {
    let (end, ended) = bounded(1);
    let run = move || {
        body();
        drop(end);
    };
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(at("a thread could not be started"))?;
    Ok(Thread { name, handle, ended })
}

/// A thread of the way from the picture to the PLC, with real-time priority where the settings ask for it.
fn spawn_hot(name: &'static str, realtime: Option<Realtime>, body: impl FnOnce() + Send + 'static) -> Result<Thread, LineError> {
    spawn(name, move || {
        if let Some(realtime) = realtime {
            realtime::raise(name, realtime);
        }
        body();
    })
}

/// Pieces of a free-running line are numbered on from the records that are there.
fn first_piece(results_before: u64) -> u32 {
    u32::try_from(results_before % u64::from(u32::MAX)).unwrap_or(0) + 1
}

/// A runtime for one thread's futures.
pub fn runtime() -> Result<tokio::runtime::Runtime, LineError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(at("no runtime for network threads"))
}

/// Resolves when `stop` says true or nobody can say it any more.
pub async fn told(mut stop: watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

/// What a line is made of, before any thread runs: everything that can fail has been tried.
struct Parts {
    setup: Setup,
    station: Station,
    start: Vec<Effect>,
    store: Arc<Store>,
    uploads: Vec<show::Upload>,
    deliveries: Vec<(String, Arc<Mutex<Delivery>>)>,
    journal: Option<JournalWriter>,
    results_before: u64,
    entries_before: u64,
}

impl Parts {
    fn open(settings: &Settings, rig: &Rig, journal: Option<PathBuf>) -> Result<Self, LineError> {
        let looks = |eye: &Eye| (Arc::clone(eye.detector.model()), eye.classes.clone());
        let others: Vec<_> = rig.others.iter().map(looks).collect();
        let (model, classes) = looks(&rig.eye);
        let recipe = settings.recipe(model, &classes, &others).map_err(at("the recipe does not fit the model"))?;
        let program = format!("jidoka {}", env!("CARGO_PKG_VERSION"));
        let setup = Setup { identity: settings.identity.clone(), recipe: Arc::new(recipe), program };
        let (store, past) = show::open_store(settings)?;
        let now = rig.clock.now();
        let mut start = Vec::new();
        let station = Station::start(setup.clone(), &past, now, &mut start).map_err(at("the control plan cannot be charted"))?;
        let uploads = show::uploads(settings, &setup, &store)?;
        let delivery = |upload: &show::Upload| (upload.1.backend().to_owned(), Arc::new(Mutex::new(Delivery::default())));
        let begun = journal.map(|folder| note::begin(&folder, &setup, &past, now)).transpose();
        Ok(Self {
            deliveries: uploads.iter().map(delivery).collect(),
            journal: begun.map_err(at("the journal cannot be kept"))?,
            results_before: store.pieces(),
            entries_before: past.last.map_or(0, |(number, _)| number.0),
            store: Arc::new(store),
            setup,
            station,
            start,
            uploads,
        })
    }
}

/// The way of a piece: threads that must end in this order.
struct Flow {
    clock: Clock,
    meter: Arc<Meter>,
    keeping: Arc<Keeping>,
    bridge: plc_bridge::Settings,
    rig: Rig,
    judge: Judge,
    store: Arc<Store>,
    inputs: (Sender<Input>, Receiver<Input>),
    commands: (tokio::sync::mpsc::WeakSender<LineCommand>, tokio::sync::mpsc::Receiver<LineCommand>),
    entries: Receiver<(Arc<Entry>, u64)>,
    looked: Sender<Looked>,
    stop: watch::Receiver<bool>,
    free_run: Option<(Duration, u32)>,
    realtime: Option<Realtime>,
}

impl Flow {
    fn spawn(self) -> Result<Vec<Thread>, LineError> {
        let Self {
            clock,
            meter,
            keeping,
            bridge,
            rig,
            judge,
            store,
            inputs: (to_judge, inputs),
            commands: (to_plc, commands),
            entries,
            looked,
            stop,
            free_run,
            realtime,
        } = self;
        let Rig { eye, others, before_grab, .. } = rig;
        let mut before_grab = Some(before_grab);
        let eyes: Vec<Eye> = std::iter::once(eye).chain(others).collect();
        let names: Vec<Arc<str>> = eyes.iter().map(|eye| eye.camera.name().into()).collect();
        let mut members: Vec<Option<Member>> = vec![None];
        if names.len() > 1 {
            members = together::members(names).into_iter().map(Some).collect();
        }
        let queues: Vec<_> = members.iter().map(|_| bounded::<Trigger>(TRIGGERS)).collect();
        let lane =
            |((triggers, _), member): (&(Sender<Trigger>, _), &Option<Member>)| Lane { triggers: triggers.clone(), member: member.clone() };
        let lanes = || queues.iter().zip(&members).map(lane);
        let reports = link::Reports::new(to_judge.clone(), lanes().collect(), Arc::clone(&meter), clock);
        let mut led: Vec<Lane> = lanes().skip(1).collect();
        let plc = runtime()?;
        let mut flow = vec![spawn_hot("plc", realtime, move || {
            plc.block_on(plc_bridge::run(bridge, commands, move |report| reports.take(report), self::told(stop)));
        })?];
        let mut looking = Vec::new();
        for (index, ((eye, (_, triggers)), member)) in eyes.into_iter().zip(queues).zip(members).enumerate() {
            let Eye { camera, pool, keeper, detector, measuring, .. } = eye;
            let [capturing, keeping, inferring] = NAMES.get(index).copied().unwrap_or(["capture", "camera", "infer"]);
            let (shots_tx, shots) = bounded::<Shot>(SHOTS);
            let name: Arc<str> = camera.name().into();
            let kept = Arc::clone(&name);
            let pace = match free_run.filter(|_| index == 0) {
                Some((period, first)) => {
                    Pace::free(triggers, period, first, clock, Arc::clone(&meter)).with_others(std::mem::take(&mut led))
                }
                None => Pace::triggered(triggers),
            };
            let infer = see::Infer {
                detector,
                measuring,
                camera: name,
                member: member.clone(),
                is_first: index == 0,
                meter: Arc::clone(&meter),
                judge: to_judge.clone(),
                pictures: looked.clone(),
            };
            let told = see::Told { judge: to_judge.clone(), plc: to_plc.clone() };
            let before_grab = before_grab.take().unwrap_or_else(|| Box::new(|_| {}));
            let capture = see::Capture { camera, before_grab, pool, clock, pace, shots: shots_tx, told, member };
            flow.push(spawn_hot(capturing, realtime, move || capture.run())?);
            // It ends when the capture thread has dropped its camera.
            flow.extend(keeper.map(|keeper| spawn(keeping, move || rig::keep(keeper, &kept))).transpose()?);
            looking.push(spawn(inferring, move || infer.run(&shots))?);
        }
        drop((led, looked));
        flow.extend(looking);
        flow.push(spawn_hot("judge", realtime, move || judge.run(inputs))?);
        flow.push(spawn("store", move || keep::keep(&store, clock, &entries, &Durable { meter, keeping, judge: to_judge }))?);
        Ok(flow)
    }
}

impl Line {
    /// Builds everything that can fail, then starts the threads.
    pub fn start(settings: &Settings, run: Run) -> Result<Self, LineError> {
        let Run { rig, simulated, journal, alive, page: has_page } = run;
        let (clock, meter) = (rig.clock, Arc::new(Meter::default()));
        let Parts { setup, station, start, store, uploads, deliveries, journal, results_before, entries_before } =
            Parts::open(settings, &rig, journal)?;

        let (judge_tx, judge_rx) = bounded::<Input>(INPUTS);
        let (looked_tx, looked) = bounded::<Looked>(LOOKED);
        let (entries_tx, entries) = bounded(ENTRIES);
        let (closed_tx, closed) = bounded(CLOSED);
        let (commands_tx, commands) = tokio::sync::mpsc::channel(COMMANDS);
        let commands = (commands_tx.downgrade(), commands);
        let (happenings_tx, happenings) = bounded::<Happening>(HAPPENINGS);
        let (show_tx, snapshots) = watch::channel(Arc::new(station.snapshot(clock.now())));
        let (facts_tx, facts) = watch::channel(plc_bridge::Facts::default());
        let (stop_plc, plc_stop) = watch::channel(false);
        let (stop_rest, rest_stop) = watch::channel(false);
        let (stop_uploads, uploads_stop) = bounded::<()>(0);

        let gallery = Arc::new(Gallery::new(store.images(), has_page, clock));
        let eyes = rig.eyes().map(|eye| (eye.camera.name().to_owned(), eye.camera.counters())).collect();
        let keeping = Arc::new(Keeping::default());
        let looks = people::Looks { deliveries: deliveries.clone(), gallery: Arc::clone(&gallery), eyes, keeping: Arc::clone(&keeping) };
        let board = Board::new(settings, clock, Arc::clone(&meter), simulated, looks);
        let people = People {
            store: Arc::clone(&store),
            gallery: Arc::clone(&gallery),
            artist: show::Artist::new(settings, snapshots.clone()),
            backends: deliveries.iter().map(|(name, _)| name.clone()).collect(),
            asking: Asking::new(Arc::clone(&store)),
        };
        let page = has_page.then(|| show::page(settings, &board, &people, &snapshots, decide(judge_tx.clone()))).transpose()?;
        let setup_code = page.as_ref().and_then(|served| served.page.setup_code());
        let address = page.as_ref().map(|served| served.address);
        let panel = show::Panel::new(settings, people.artist, page.as_ref().map(|served| served.health.clone()), facts_tx);

        let journal_lost = Arc::new(AtomicU64::new(0));
        let tell = journal.is_some().then_some(happenings_tx);
        let outlets = Outlets {
            plc: commands_tx,
            store: entries_tx,
            closed: closed_tx,
            journal: tell,
            show: show_tx,
            alive,
            journal_lost: Arc::clone(&journal_lost),
        };
        let judge = Judge::new(station, start, clock, Arc::clone(&meter), outlets);
        let bridge = plc_bridge::Settings { facts: Some(facts), ..modbus::bridge_settings(settings, &setup, clock)? };
        let inputs = (judge_tx.clone(), judge_rx);
        let flow = Flow {
            clock,
            meter: Arc::clone(&meter),
            keeping,
            bridge,
            rig,
            judge,
            store: Arc::clone(&store),
            inputs,
            commands,
            entries,
            looked: looked_tx,
            stop: plc_stop,
            free_run: settings.free_run_per_second().map(|rate| (Duration::from_secs_f64(1.0 / rate), first_piece(results_before))),
            realtime: settings.realtime,
        };
        if let Some(realtime) = settings.realtime {
            realtime::lock_memory(realtime);
        }

        let mut line = Self {
            clock,
            setup,
            snapshots,
            meter,
            deliveries,
            page: address,
            setup_code,
            results_before,
            entries_before,
            judge: judge_tx,
            stop_plc,
            stop_rest,
            stop_uploads: Some(stop_uploads),
            flow: flow.spawn()?,
            rest: Vec::new(),
        };
        let recipe = Arc::clone(&line.setup.recipe);
        line.rest.push(spawn("pictures", move || gallery.run(&recipe, &looked, closed))?);
        if let Some(journal) = journal {
            line.rest.push(spawn("journal", move || note::note(journal, &happenings, &journal_lost))?);
        }
        line.spawn_uploads(uploads, &uploads_stop)?;
        let interval = Duration::from_secs(settings.sign_interval_hours * 3600);
        line.rest.push(spawn("mend", move || keep::mend(&store, clock, interval, &uploads_stop))?);
        line.spawn_views(panel, board, page, &rest_stop)?;
        Ok(line)
    }

    fn spawn_uploads(&mut self, uploads: Vec<show::Upload>, stop: &Receiver<()>) -> Result<(), LineError> {
        for ((uploader, outbox), (_, board)) in uploads.into_iter().zip(&self.deliveries) {
            let (stop, board, clock) = (stop.clone(), Arc::clone(board), self.clock);
            let name = if outbox.backend() == "grading" { "upload-grade" } else { "upload-trace" };
            self.rest.push(spawn(name, move || deliver(uploader, &*outbox, clock, &stop, &board))?);
        }
        Ok(())
    }

    fn spawn_views(
        &mut self,
        mut panel: show::Panel,
        board: Board,
        page: Option<show::Served>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), LineError> {
        let (looks, at_panel, until) = (self.snapshots.clone(), runtime()?, stop.clone());
        self.rest.push(spawn("panel", move || at_panel.block_on(async { panel.run(looks, &board, until).await }))?);
        if let Some(served) = page {
            let (web, stop) = (runtime()?, stop.clone());
            self.rest.push(spawn("web", move || show::serve(&web, served, stop))?);
        }
        Ok(())
    }

    /// Hands a person's decision to the judge.
    pub fn ask(&self, request: Request) -> Result<(), Refused> {
        decide(self.judge.clone())(request)
    }

    /// Stops in the order of the flow. Uploads that did not get through wait in the outbox. Returns who missed a deadline.
    pub fn stop(mut self) -> Vec<&'static str> {
        let mut late = Vec::new();
        self.stop_plc.send_replace(true);
        for thread in self.flow.drain(..) {
            // Before the judge nothing is left to judge: tell it so, once the threads that feed it have ended.
            if thread.name == "judge" && self.judge.send_timeout(Input::Finish, END_DEADLINE).is_err() {
                late.push("judge");
            }
            join(thread, &mut late);
        }
        drop(self.stop_uploads.take());
        self.stop_rest.send_replace(true);
        for thread in self.rest.drain(..) {
            join(thread, &mut late);
        }
        late
    }
}

/// Waits for a thread's end; notes its name if it misses the deadline.
pub fn join(thread: Thread, late: &mut Vec<&'static str>) {
    let Thread { name, handle, ended } = thread;
    // The channel is closed when the thread ends, so a time-out is the only other outcome.
    if matches!(ended.recv_timeout(END_DEADLINE), Err(crossbeam::channel::RecvTimeoutError::Timeout)) {
        tracing::error!(thread = name, "did not end in time and is left behind");
        late.push(name);
    } else if handle.join().is_err() {
        tracing::error!(thread = name, "ended by a panic");
        late.push(name);
    } else {
        tracing::debug!(thread = name, "ended");
    }
}

/// The way a decision takes to the judge.
fn decide(judge: Sender<Input>) -> impl Fn(Request) -> Result<(), Refused> + Send + Sync {
    move |request| {
        use crossbeam::channel::TrySendError;
        judge.try_send(Input::Event(Event::Asked(request))).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Stopping,
        })
    }
}

/// Resolves when the program is asked to end (SIGTERM, SIGINT).
pub async fn told_to_end() -> Result<(), LineError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut end = signal(SignalKind::terminate()).map_err(at("no signal handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(at("no signal handler"))?;
    tokio::select! {
        _ = end.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits until the program is asked to end.
pub fn until_told_to_end() -> Result<(), LineError> {
    runtime()?.block_on(told_to_end())
}
