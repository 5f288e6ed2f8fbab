//! The uploader against the real backend over real HTTP. Pauses are played on a clock of the test's own: nothing sleeps.

use super::fixture::{entry, mixed, started};
use super::*;
use crate::backend::{Backend, BackendSettings, Misbehaviour};
use crate::outbox::{DECISIONS, OutboxCounts, Parcel};
use jiff::tz::{Offset, TimeZone};
use station::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use web_ui::endpoint::{Ask, Endpoint};

mod mutual;
mod outage;

/// More steps than any delivery here needs: reaching it means that it does not end.
const STEPS_MAX: usize = 5000;

#[derive(Default)]
struct Shelves {
    waiting: BTreeMap<u64, Parcel>,
    delivered: BTreeSet<u64>,
    quarantined: BTreeMap<u64, String>,
    refused: BTreeMap<u64, Parcel>,
}

/// An outbox in memory that insists on its own law at every change.
struct MemoryOutbox {
    kept: AtomicU64,
    shelves: Mutex<Shelves>,
}

impl MemoryOutbox {
    fn of(parcels: Vec<Parcel>) -> Self {
        let waiting: BTreeMap<u64, Parcel> = parcels.into_iter().map(|parcel| (parcel.result_id, parcel)).collect();
        let kept = AtomicU64::new(u64::try_from(waiting.len()).unwrap());
        Self { kept, shelves: Mutex::new(Shelves { waiting, ..Shelves::default() }) }
    }

    fn with(count: u64) -> Self {
        Self::of((1..=count).map(|id| parcel(id, mixed(id))).collect())
    }

    /// The line made another one.
    fn add(&self, parcel: Parcel) {
        self.kept.fetch_add(1, Ordering::Relaxed);
        assert!(self.shelves.lock().unwrap().waiting.insert(parcel.result_id, parcel).is_none());
    }

    fn quarantined(&self) -> BTreeMap<u64, String> {
        self.shelves.lock().unwrap().quarantined.clone()
    }
}

impl Outbox for MemoryOutbox {
    fn backend(&self) -> &str {
        "test"
    }

    fn next(&self, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        Ok(self.shelves.lock().unwrap().waiting.values().take(limit).cloned().collect())
    }

    fn next_from(&self, from: u64, limit: usize) -> Result<Vec<Parcel>, OutboxError> {
        Ok(self.shelves.lock().unwrap().waiting.range(from..DECISIONS).take(limit).map(|(_, parcel)| parcel.clone()).collect())
    }

    fn newest(&self) -> u64 {
        let shelves = self.shelves.lock().unwrap();
        let settled = shelves.delivered.iter().chain(shelves.quarantined.keys());
        shelves.waiting.keys().chain(settled).copied().filter(|number| *number < DECISIONS).max().unwrap_or(0)
    }

    fn release(&self, result_ids: &[u64]) -> Result<u64, OutboxError> {
        let mut shelves = self.shelves.lock().unwrap();
        for id in result_ids {
            shelves.quarantined.remove(id).unwrap();
            let parcel = shelves.refused.remove(id).unwrap();
            shelves.waiting.insert(*id, parcel);
        }
        Ok(u64::try_from(result_ids.len()).unwrap())
    }

    fn delivered(&self, result_ids: &[u64]) -> Result<(), OutboxError> {
        let mut shelves = self.shelves.lock().unwrap();
        for id in result_ids {
            assert!(shelves.waiting.remove(id).is_some(), "{id} delivered, but not waiting");
            shelves.delivered.insert(*id);
        }
        Ok(())
    }

    fn quarantine(&self, result_id: u64, words: &str) -> Result<(), OutboxError> {
        let mut shelves = self.shelves.lock().unwrap();
        let parcel = shelves.waiting.remove(&result_id).unwrap_or_else(|| panic!("{result_id} quarantined, but not waiting"));
        shelves.refused.insert(result_id, parcel);
        shelves.quarantined.insert(result_id, words.to_owned());
        Ok(())
    }

    fn counts(&self) -> OutboxCounts {
        let shelves = self.shelves.lock().unwrap();
        let count = |len: usize| u64::try_from(len).unwrap();
        let (waiting, quarantined) = (count(shelves.waiting.len()), count(shelves.quarantined.len()));
        let counts =
            OutboxCounts { kept: self.kept.load(Ordering::Relaxed), delivered: count(shelves.delivered.len()), waiting, quarantined };
        assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined);
        counts
    }
}

fn parcel(result_id: u64, piece: station::record::PieceRecord) -> Parcel {
    Parcel::piece(result_id, Arc::new(entry(piece)))
}

/// The backend behind a real socket, in a runtime of its own.
struct Server {
    backend: Arc<Backend>,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    fn start(dir: &Path, change: impl FnOnce(&mut BackendSettings)) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_on(listener, dir, change)
    }

    fn start_on(listener: std::net::TcpListener, dir: &Path, change: impl FnOnce(&mut BackendSettings)) -> Self {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let clock = || Timestamp { wall_micros: super::fixture::NOON, mono_micros: 0 };
        let mut settings = BackendSettings::new(Arc::new(clock));
        change(&mut settings);
        let backend = Arc::new(Backend::open(dir, settings).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let endpoint: Arc<dyn Endpoint> = Arc::<Backend>::clone(&backend);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            web_ui::endpoint::serve(listener, endpoint, 8 << 20, async move { drop(stopped.await) }).await
        });
        Self { backend, address, stop: Some(stop), runtime: Some(runtime) }
    }

    fn settings(&self) -> UploadSettings {
        UploadSettings { batch_max: 64, ..UploadSettings::new(&format!("http://{}", self.address), 7) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.backend.close();
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

fn contexts() -> Contexts {
    Contexts::new(Context::from_started(&started(), TimeZone::fixed(Offset::constant(8))))
}

/// Steps until nothing waits; pauses pass at once. Returns every trouble on the way.
fn drive(uploader: &mut Uploader, outbox: &MemoryOutbox) -> Vec<TroubleView> {
    let mut now = Timestamp { wall_micros: super::fixture::NOON, mono_micros: 1 };
    let mut troubles = Vec::new();
    for _ in 0..STEPS_MAX {
        let step = uploader.step(outbox, now);
        outbox.counts();
        match step {
            Step::Idle => return troubles,
            Step::Wait(pause) => {
                if let Some(trouble) = &uploader.status().trouble {
                    troubles.push(trouble.clone());
                }
                now.mono_micros += micros(pause);
            }
            Step::Delivered(_) | Step::Quarantined(_) | Step::Again => {}
        }
    }
    panic!("delivery does not end: {:?}, {:?}", outbox.counts(), uploader.status());
}

#[test]
fn everything_arrives_once_at_both_backends_within_the_announced_limits() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |settings| settings.capture_events_max = 40);
    for (kind, make) in [("events", Uploader::traceability as fn(&UploadSettings, Contexts) -> _), ("grades", Uploader::grading)] {
        let outbox = MemoryOutbox::with(150);
        let mut uploader = make(&server.settings(), contexts()).unwrap();
        assert_eq!(drive(&mut uploader, &outbox), [], "{kind}");
        assert_eq!(outbox.counts(), OutboxCounts { kept: 150, delivered: 150, waiting: 0, quarantined: 0 });
        assert!(uploader.status().delivered_at.is_some());
        if kind == "events" {
            assert_eq!(uploader.status().batch, 40);
        }
    }
    let health = server.backend.health();
    assert_eq!((health.events, health.grades, health.duplicates_refused), (150, 150, 0));
}

#[test]
fn every_misbehaviour_is_survived_without_loss_doubling_or_quarantine() {
    let cases = [
        (Misbehaviour::Hold { millis: 600_000 }, 1, false),
        (Misbehaviour::Exists, 1, false),
        (Misbehaviour::Exists, 9, false),
        (Misbehaviour::TooLarge, 2, false),
        (Misbehaviour::Fail { status: 500 }, 3, false),
        (Misbehaviour::Fail { status: 503 }, 3, false),
        (Misbehaviour::Fail { status: 429 }, 3, false),
        (Misbehaviour::Fail { status: 401 }, 2, true),
        (Misbehaviour::Fail { status: 403 }, 2, true),
        (Misbehaviour::Fail { status: 404 }, 2, true),
        (Misbehaviour::Fail { status: 415 }, 2, true),
        (Misbehaviour::Forget, 3, false),
        (Misbehaviour::Partial, 2, false),
        (Misbehaviour::Lie, 3, false),
        (Misbehaviour::Running, 5, false),
    ];
    for (how, requests, alarm) in cases {
        for make in [Uploader::traceability as fn(&UploadSettings, Contexts) -> _, Uploader::grading] {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::start(dir.path(), |_| {});
            let mut settings = server.settings();
            if matches!(how, Misbehaviour::Hold { .. }) {
                settings.time_limit = Duration::from_millis(300);
            }
            let outbox = MemoryOutbox::with(20);
            let mut uploader = make(&settings, contexts()).unwrap();
            server.backend.misbehave(how.clone(), requests);
            let troubles = drive(&mut uploader, &outbox);
            let counts = outbox.counts();
            assert_eq!(counts, OutboxCounts { kept: 20, delivered: 20, waiting: 0, quarantined: 0 }, "{how:?}");
            let health = server.backend.health();
            assert_eq!(health.events + health.grades, 20, "{how:?}");
            assert_eq!(troubles.iter().any(|trouble| trouble.alarm), alarm, "{how:?}: {troubles:?}");
            assert_eq!(uploader.status().trouble, None, "{how:?}");
        }
    }
}

/// Jobs that succeed and store nothing: the first batch and then every so-manieth is looked for, and goes again until it is there.
#[test]
fn a_backend_that_calls_stored_what_it_does_not_have_is_found_out() {
    for (lies, alarm) in [(1, false), (3, true)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), |settings| settings.test_mode = true);
        let outbox = MemoryOutbox::with(20);
        let mut uploader = Uploader::traceability(&server.settings(), contexts()).unwrap();
        server.backend.misbehave(Misbehaviour::Feign, lies);
        let troubles = drive(&mut uploader, &outbox);
        assert_eq!(outbox.counts(), OutboxCounts { kept: 20, delivered: 20, waiting: 0, quarantined: 0 });
        assert_eq!(server.backend.health().events, 20, "what was feigned went again");
        let told = "a capture job says that it has stored everything, and urn:uuid:";
        assert!(troubles.len() >= 2 && troubles.iter().all(|trouble| trouble.words.starts_with(told)), "{troubles:?}");
        assert_eq!(troubles.iter().any(|trouble| trouble.alarm), alarm, "{troubles:?}");
        assert_eq!(uploader.status().trouble, None);
    }
    // Between two samples nobody asks, and with 0 never.
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |settings| settings.test_mode = true);
    let outbox = MemoryOutbox::with(20);
    let settings = UploadSettings { sample_every: 0, ..server.settings() };
    server.backend.misbehave(Misbehaviour::Feign, 1);
    assert_eq!(drive(&mut Uploader::traceability(&settings, contexts()).unwrap(), &outbox), []);
    assert_eq!((outbox.counts().delivered, server.backend.health().events), (20, 0));
}

#[test]
fn a_backend_that_forgets_to_answer_gets_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |_| {});
    let outbox = MemoryOutbox::with(30);
    server.backend.misbehave(Misbehaviour::Forget, 1);
    drive(&mut Uploader::traceability(&server.settings(), contexts()).unwrap(), &outbox);
    let health = server.backend.health();
    assert_eq!((health.events, health.duplicates_refused), (30, 30));
}

#[test]
fn poison_is_found_alone_and_keeps_the_backends_words() {
    for make in [Uploader::traceability as fn(&UploadSettings, Contexts) -> _, Uploader::grading] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), |_| {});
        server.backend.misbehave(Misbehaviour::Poison { text: "SN-00041".to_owned() }, 1);
        let outbox = MemoryOutbox::with(100);
        drive(&mut make(&server.settings(), contexts()).unwrap(), &outbox);
        assert_eq!(outbox.counts(), OutboxCounts { kept: 100, delivered: 99, waiting: 0, quarantined: 1 });
        let quarantined = outbox.quarantined();
        assert!(quarantined[&41].contains("contains SN-00041, which is refused"), "{quarantined:?}");
        let health = server.backend.health();
        assert_eq!(health.events + health.grades, 99);
    }
}

#[test]
fn a_record_that_no_event_can_tell_is_quarantined_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |_| {});
    let mut parcels: Vec<Parcel> = (1..=5).map(|id| parcel(id, mixed(id))).collect();
    let mut timeless = entry(mixed(3));
    timeless.at.wall_micros = i64::MAX;
    parcels[2].entry = Arc::new(timeless);
    let outbox = MemoryOutbox::of(parcels);
    drive(&mut Uploader::traceability(&server.settings(), contexts()).unwrap(), &outbox);
    assert_eq!(outbox.counts().delivered, 4);
    assert!(outbox.quarantined()[&3].contains("is not a date"), "{:?}", outbox.quarantined());
}

#[test]
fn what_was_captured_survives_a_restart_and_is_recognised_when_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), |_| {});
    drive(&mut Uploader::traceability(&first.settings(), contexts()).unwrap(), &MemoryOutbox::with(30));
    drive(&mut Uploader::grading(&first.settings(), contexts()).unwrap(), &MemoryOutbox::with(30));
    drop(first);
    let second = Server::start(dir.path(), |_| {});
    let health = second.backend.health();
    assert_eq!((health.events, health.grades, health.lost_lines), (30, 30, 0));
    let again = MemoryOutbox::with(40);
    drive(&mut Uploader::traceability(&second.settings(), contexts()).unwrap(), &again);
    drive(&mut Uploader::grading(&second.settings(), contexts()).unwrap(), &MemoryOutbox::with(40));
    assert_eq!(again.counts().delivered, 40);
    let health = second.backend.health();
    assert_eq!((health.events, health.grades, health.duplicates_refused), (40, 40, 60));
}

#[test]
fn a_backend_that_restarts_under_way_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = MemoryOutbox::with(20);
    let mut now = Timestamp { wall_micros: super::fixture::NOON, mono_micros: 1 };
    let first = Server::start(dir.path(), |_| {});
    let mut uploader = Uploader::traceability(&first.settings(), contexts()).unwrap();
    // Discovery, then the offer: the job is taken, and the server that knows it goes away.
    assert_eq!(uploader.step(&outbox, now), Step::Again);
    assert!(matches!(uploader.step(&outbox, now), Step::Wait(_)));
    assert_eq!(outbox.counts().delivered, 0, "202 is not stored");
    let address = first.address;
    drop(first);
    now.mono_micros += 1_000_000;
    assert!(matches!(uploader.step(&outbox, now), Step::Wait(_)));
    assert!(uploader.status().trouble.as_ref().is_some_and(|trouble| trouble.words.contains("no answer") && !trouble.alarm));
    let Ok(listener) = std::net::TcpListener::bind(address) else {
        println!("skipped the second half: another program took port {}", address.port());
        return;
    };
    let second = Server::start_on(listener, dir.path(), |_| {});
    drive(&mut uploader, &outbox);
    let health = second.backend.health();
    // The job that was taken is known after the restart: nothing is even sent again.
    assert_eq!((outbox.counts().delivered, health.events, health.duplicates_refused), (20, 20, 0));
}

#[test]
fn a_wrong_token_waits_with_an_alarm_and_is_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |settings| settings.token = Some("right-one".to_owned()));
    let outbox = MemoryOutbox::with(3);
    let mut settings = UploadSettings { token: Some(Token("s3cret-wrong".to_owned())), ..server.settings() };
    let mut uploader = Uploader::traceability(&settings, contexts()).unwrap();
    let now = Timestamp { wall_micros: super::fixture::NOON, mono_micros: 1 };
    let Step::Wait(pause) = uploader.step(&outbox, now) else { panic!("must wait") };
    assert_eq!(uploader.step(&outbox, now), Step::Wait(pause), "before its time it does nothing");
    let trouble = uploader.status().trouble.clone().unwrap();
    assert!(trouble.alarm && trouble.words.starts_with("401"), "{trouble:?}");
    assert_eq!((trouble.tries, trouble.since), (1, now));
    assert!(!format!("{uploader:?} {settings:?} {trouble:?}").contains("s3cret"));
    assert_eq!(outbox.counts().waiting, 3);
    settings.token = Some(Token("right-one".to_owned()));
    drive(&mut Uploader::traceability(&settings, contexts()).unwrap(), &outbox);
    assert_eq!(outbox.counts().delivered, 3);
}

#[test]
fn a_storm_of_misbehaviour_loses_and_doubles_nothing() {
    for seed in 0..6_u64 {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), |settings| settings.capture_events_max = 16);
        let mut dice = seed.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        for _ in 0..20 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let how = match (dice >> 33) % 7 {
                0 => Misbehaviour::Exists,
                1 => Misbehaviour::TooLarge,
                2 => Misbehaviour::Fail { status: 503 },
                3 => Misbehaviour::Forget,
                4 => Misbehaviour::Partial,
                5 => Misbehaviour::Running,
                _ => Misbehaviour::Fail { status: 401 },
            };
            server.backend.misbehave(how, 1 + u32::try_from((dice >> 40) % 3).unwrap());
        }
        server.backend.misbehave(Misbehaviour::Poison { text: "SN-00007".to_owned() }, 1);
        let outbox = MemoryOutbox::with(60);
        drive(&mut Uploader::traceability(&server.settings(), contexts()).unwrap(), &outbox);
        let quarantined = outbox.quarantined();
        assert_eq!(quarantined.keys().copied().collect::<Vec<_>>(), [7], "seed {seed}: {quarantined:?}");
        assert_eq!((outbox.counts().delivered, server.backend.health().events), (59, 59), "seed {seed}");
    }
}

#[test]
fn a_record_that_waited_over_a_change_of_recipe_still_says_what_it_said() {
    let mut contexts = contexts();
    let mut renamed = started();
    let mut recipe = (*renamed.recipe).clone();
    recipe.classes[1].name = "scratch".to_owned();
    renamed.recipe = Arc::new(recipe);
    contexts.changed(station::record::EntryNumber(50), Context::from_started(&renamed, TimeZone::UTC));
    let before = super::fixture::piece(1, station::verdict::Verdict::Reject);
    let after = super::fixture::piece(60, station::verdict::Verdict::Reject);
    let reasons = |piece| {
        let entry = entry(piece);
        epcis::event_of(&entry, contexts.at(entry.number)).unwrap().terms.unwrap().reasons
    };
    assert_eq!((reasons(before), reasons(after)), (vec!["short ×2 (0.93)".to_owned()], vec!["scratch ×2 (0.93)".to_owned()]));
}

#[test]
fn the_two_backends_know_a_record_by_the_same_name() {
    let entry = entry(mixed(1));
    let contexts = contexts();
    let event = epcis::event_of(&entry, contexts.at(entry.number)).unwrap();
    assert_eq!(event.event_id, grade::grade_of(&entry, contexts.at(entry.number)).unwrap().id);
    assert_eq!(event, epcis::event_of(&entry, contexts.at(entry.number)).unwrap());
}

#[test]
fn one_answer_that_is_held_back_holds_back_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |_| {});
    server.backend.misbehave(Misbehaviour::Hold { millis: 600_000 }, 1);
    let (tell, told) = std::sync::mpsc::channel();
    let asking: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|key| {
            let (backend, tell) = (Arc::clone(&server.backend), tell.clone());
            let headers = vec![("idempotency-key".to_owned(), key.to_owned())];
            let body = b"{\"grades\":[]}".to_vec();
            let ask = Ask { method: "POST".to_owned(), path: "/grades".to_owned(), query: String::new(), headers, body };
            std::thread::spawn(move || tell.send(backend.answer(ask).status).unwrap())
        })
        .collect();
    let deadline = Duration::from_secs(60);
    assert_eq!(told.recv_timeout(deadline), Ok(200), "one of the two is not held");
    assert!(told.try_recv().is_err(), "the other one is");
    assert_eq!(server.backend.health().grades, 0);
    server.backend.close();
    assert_eq!(told.recv_timeout(deadline), Ok(200));
    asking.into_iter().for_each(|thread| thread.join().unwrap());
}
