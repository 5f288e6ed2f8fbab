//! Three days without a backend, and then one that misbehaves in every way it knows, on a clock of the test's own.
//!
//! The line makes a piece a minute; a line of sixty a minute, for which the drain is measured, makes the same records more often.
//! An exchange costs 50 ms of that clock.

use super::*;
use crate::outbox::name_of;
use station::action::{By, Person, Role};
use station::decision::{Decision, DecisionRecord};
use station::record::{Body, Entry, EntryNumber};
use station::units::Digest;
use station::verdict::Verdict;
use std::net::TcpListener;
use std::thread::JoinHandle;

const HOUR: u64 = 3_600_000_000;
const MINUTE: u64 = 60_000_000;
const EXCHANGE: u64 = 50_000;
/// Pieces per second of the fastest line that the drain is measured for.
const LIVE_PER_SECOND: f64 = 1.0;

/// Somebody listens at the address and hangs up on everybody: a backend that is away, whose address stays its own.
struct Away {
    address: SocketAddr,
    closing: Arc<std::sync::atomic::AtomicBool>,
    hanging_up: JoinHandle<TcpListener>,
}

impl Away {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, closing) = (listener.local_addr().unwrap(), Arc::<std::sync::atomic::AtomicBool>::default());
        let told = Arc::clone(&closing);
        let hanging_up = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                drop(listener.accept());
            }
            listener
        });
        Self { address, closing, hanging_up }
    }

    /// The backend is back.
    fn end(self) -> TcpListener {
        self.closing.store(true, Ordering::Relaxed);
        drop(std::net::TcpStream::connect(self.address));
        self.hanging_up.join().unwrap()
    }
}

/// The line, its outbox, and the clock.
struct Days {
    outbox: MemoryOutbox,
    now: Timestamp,
    made: u64,
    /// When each piece was recorded and, once it was, delivered.
    recorded: BTreeMap<u64, u64>,
    delivered: BTreeMap<u64, u64>,
    exchanges: u64,
}

impl Days {
    fn start() -> Self {
        let now = Timestamp { wall_micros: crate::upload::fixture::NOON, mono_micros: 1 };
        let outbox = MemoryOutbox::with(0);
        Self { outbox, now, made: 0, recorded: BTreeMap::new(), delivered: BTreeMap::new(), exchanges: 0 }
    }

    /// The clock goes on, and the line with it.
    fn pass(&mut self, micros: u64) {
        self.now.mono_micros += micros;
        while (self.made + 1) * MINUTE <= self.now.mono_micros {
            self.made += 1;
            self.outbox.add(parcel(self.made, mixed(self.made)));
            self.recorded.insert(self.made, self.now.mono_micros);
            if self.made.is_multiple_of(500) {
                self.outbox.add(overrule(self.made / 500, self.made));
            }
        }
    }

    fn step(&mut self, uploader: &mut Uploader) -> Step {
        let before: BTreeSet<u64> = self.outbox.shelves.lock().unwrap().delivered.clone();
        let step = uploader.step(&self.outbox, self.now);
        // The outbox insists on its law whenever it is counted.
        self.outbox.counts();
        let shelves = self.outbox.shelves.lock().unwrap();
        let new: Vec<u64> = shelves.delivered.difference(&before).copied().collect();
        drop(shelves);
        self.delivered.extend(new.into_iter().map(|id| (id, self.now.mono_micros)));
        match step {
            Step::Wait(pause) => self.pass(micros(pause).max(EXCHANGE)),
            Step::Idle => self.pass(MINUTE),
            Step::Delivered(_) | Step::Quarantined(_) | Step::Again => {
                self.exchanges += 1;
                self.pass(EXCHANGE);
            }
        }
        step
    }

    /// Steps until nothing waits.
    fn drain(&mut self, uploader: &mut Uploader) {
        for _ in 0..STEPS_MAX {
            self.step(uploader);
            if self.outbox.counts().waiting == 0 {
                return;
            }
        }
        panic!("it does not drain: {:?}, {:?}", self.outbox.counts(), uploader.status());
    }
}

/// Decision number `id`, about piece `result_id`, as the outbox of the store gives it.
fn overrule(id: u64, result_id: u64) -> Parcel {
    let piece = Arc::new(entry(mixed(result_id)));
    let by = By::Person(Person { name: "Chen Wei".to_owned(), role: Role::QualityOfficer });
    let decision = Decision::Overrule { result_id, verdict: Verdict::Pass, grade: 2 };
    let record = DecisionRecord { decision_id: id, results: result_id, decision, by, reason: "seen by eye".to_owned() };
    let number = EntryNumber(1_000_000 + id);
    let entry = Entry { number, at: piece.at, previous: Digest::of(&id.to_be_bytes()), body: Body::Decided(Box::new(record)) };
    Parcel { result_id: DECISIONS + id, entry: Arc::new(entry), about: vec![piece], named: Vec::new() }
}

/// A backend that answers, but in every wrong way; each of them for some requests.
fn misbehave(backend: &Backend) {
    use Misbehaviour::{Exists, Fail, Forget, Hold, Lie, Partial, Running, TooLarge};
    for (how, requests) in [
        (Fail { status: 429 }, 4),
        (Fail { status: 500 }, 4),
        (Hold { millis: 600_000 }, 2),
        (Forget, 3),
        (Partial, 3),
        (Exists, 5),
        (TooLarge, 2),
        (Lie, 3),
        (Running, 4),
        (Fail { status: 503 }, 3),
    ] {
        backend.misbehave(how, requests);
    }
    backend.misbehave(Misbehaviour::Poison { text: "SN-00777".to_owned() }, 1);
}

#[test]
fn three_days_away_and_then_every_misbehaviour_lose_nothing_and_live_records_go_first() {
    for make in [Uploader::traceability as fn(&UploadSettings, Contexts) -> _, Uploader::grading] {
        let (away, mut days) = (Away::start(), Days::start());
        let address = format!("http://{}", away.address);
        // A held answer costs this much real time, and nothing else here does.
        let settings = UploadSettings { time_limit: Duration::from_millis(1500), ..UploadSettings::new(&address, 7) };
        let mut uploader = make(&settings, contexts()).unwrap();
        let mut tries = 0;
        while days.now.mono_micros < 72 * HOUR {
            days.step(&mut uploader);
            tries += 1;
        }
        let backlog = days.outbox.counts();
        assert!(backlog.kept > 4300 && backlog.waiting == backlog.kept, "{backlog:?}");
        assert!(tries < 72 * 60, "{tries} tries: pauses grow");

        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_on(away.end(), dir.path(), |settings| settings.capture_events_max = 80);
        misbehave(&server.backend);
        let back_at = days.now.mono_micros;
        days.exchanges = 0;
        days.drain(&mut uploader);
        let counts = days.outbox.counts();
        assert_eq!((counts.waiting, counts.quarantined), (0, 1), "{counts:?}");
        let refused: Vec<String> = days.outbox.quarantined().keys().map(|number| name_of(*number)).collect();
        assert_eq!(refused, ["piece record 777"]);
        let first = days.delivered.values().min().unwrap();
        let live_until =
            days.delivered.iter().filter(|(id, _)| **id < DECISIONS).filter(|(id, at)| days.recorded[id] > *first && **at > *first);
        // Live records wait for no backlog: for one batch under way at most, or for a pause of a backend that misbehaves.
        let waited: Vec<u64> = live_until.map(|(id, at)| at - days.recorded[id]).collect();
        assert!(waited.iter().all(|waited| *waited <= 12 * MINUTE), "{waited:?}");
        kept_once(&server, &days, counts);

        // Once the backend has no more poison, what it refused gets another try.
        server.backend.misbehave(Misbehaviour::Poison { text: String::new() }, 1);
        days.outbox.release(&[777]).unwrap();
        days.drain(&mut uploader);
        kept_once(&server, &days, OutboxCounts { delivered: days.outbox.counts().kept, quarantined: 0, ..days.outbox.counts() });
        println!(
            "three days: {} records in {} exchanges, {} s of the line's time",
            counts.kept,
            days.exchanges,
            (days.now.mono_micros - back_at) / 1_000_000
        );
    }
}

/// Everything that was delivered is at the backend, once.
fn kept_once(server: &Server, days: &Days, counts: OutboxCounts) {
    let health = server.backend.health();
    let decisions = u64::try_from(days.outbox.shelves.lock().unwrap().delivered.range(DECISIONS..).count()).unwrap();
    // An overrule is two events, and one grade.
    let events = if health.events > 0 { counts.delivered + decisions } else { 0 };
    let grades = if health.events > 0 { 0 } else { counts.delivered };
    assert_eq!((health.events, health.grades), (usize::try_from(events).unwrap(), usize::try_from(grades).unwrap()));
}

#[test]
fn a_backlog_drains_ten_times_as_fast_as_the_line_makes_records_and_live_ones_overtake_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |_| {});
    let mut days = Days::start();
    days.pass(24 * HOUR);
    let backlog = days.outbox.counts().waiting;
    let mut uploader = Uploader::traceability(&server.settings(), contexts()).unwrap();
    assert_eq!(days.step(&mut uploader), Step::Again, "discovery");
    let live = days.made + 1;
    let began = days.now.mono_micros;
    days.step(&mut uploader);
    // The next piece is made while the backlog is on its way, and goes with the next batch.
    days.pass(MINUTE);
    while !days.delivered.contains_key(&live) {
        days.step(&mut uploader);
    }
    let counts = days.outbox.counts();
    assert!(counts.waiting > backlog / 2, "{counts:?}: the backlog was not waited for");
    days.drain(&mut uploader);
    let seconds = u32::try_from((days.now.mono_micros - began - MINUTE) / 1000).map(f64::from).unwrap() / 1000.0;
    let per_second = u32::try_from(backlog).map(f64::from).unwrap() / seconds;
    assert!(per_second >= 10.0 * LIVE_PER_SECOND, "{per_second} records a second");
    println!("drain: {per_second:.0} records a second where an exchange takes 50 ms");
}

#[test]
fn what_needs_more_events_than_a_backend_takes_at_once_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |settings| settings.capture_events_max = 1);
    let mut parcels: Vec<Parcel> = (1..=5).map(|id| parcel(id, mixed(id))).collect();
    parcels.push(overrule(1, 3));
    let outbox = MemoryOutbox::of(parcels);
    drive(&mut Uploader::traceability(&server.settings(), contexts()).unwrap(), &outbox);
    assert_eq!(outbox.counts(), OutboxCounts { kept: 6, delivered: 5, waiting: 0, quarantined: 1 });
    let quarantined = outbox.quarantined();
    assert!(quarantined[&(DECISIONS + 1)].contains("2 events that belong together"), "{quarantined:?}");
}
