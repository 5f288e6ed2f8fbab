//! A thousand pieces with everything that people decide about them, from the state machine through the store to EPCIS events:
//! all of them are valid by the official schema with formats asserted and captured by our server, and broken ones by neither.
//!
//! The schema is not ours and not part of this project; where it is absent the test says so and ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../src/upload/fixture.rs"]
mod fixture;

use appliance::backend::{Backend, BackendSettings};
use appliance::outbox::{DECISIONS, Outbox, OutboxCounts, Parcel};
use appliance::store::{Store, StoreSettings};
use appliance::upload::decided::events_of;
use appliance::upload::epcis::{Document, Event};
use appliance::upload::grade::grades_of;
use appliance::upload::{Context, Contexts};
use fixture::{NOON, model, started};
use jiff::tz::{Offset, TimeZone};
use jsonschema::Validator;
use serde_json::{Value, json};
use station::action::{Action, Person, Request, Role};
use station::decision::{Affected, Decision, ResultRange};
use station::inspection::{ClassId, Finding, Inspection, Miss, MissReason, PixelBox, StageMicros};
use station::intake::{Intake, SupplierLot};
use station::piece::{Arrival, PieceId};
use station::reading::{Quality, Reading};
use station::record::{Body, Entry};
use station::units::{Digest, EncoderCount, Timestamp};
use station::verdict::Verdict;
use station::{Effect, Event as Happened, Past, Setup, Station};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use web_ui::endpoint::{Ask, Endpoint};

const PIECES: u32 = 1000;

fn official() -> Option<Validator> {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/epcis/EPCIS-JSON-Schema.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no EPCIS schema at {}", file.display());
        return None;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    Some(jsonschema::options().offline().should_validate_formats(true).should_ignore_unknown_formats(false).build(&schema).unwrap())
}

/// The station with everything it asked to keep.
struct Line {
    station: Station,
    now: Timestamp,
    kept: Vec<Arc<Entry>>,
}

impl Line {
    fn start() -> Self {
        let started = started();
        let setup = Setup { identity: started.identity, recipe: started.recipe, program: started.program };
        let now = Timestamp { wall_micros: NOON, mono_micros: 1 };
        let mut effects = Vec::new();
        let station = Station::start(setup, &Past::default(), now, &mut effects).unwrap();
        let mut line = Self { station, now, kept: Vec::new() };
        line.keep(effects);
        line
    }

    fn keep(&mut self, effects: Vec<Effect>) {
        self.kept.extend(effects.into_iter().filter_map(|effect| if let Effect::Keep(entry) = effect { Some(entry) } else { None }));
    }

    fn give(&mut self, event: Happened) {
        self.now.wall_micros += 50_000;
        self.now.mono_micros += 50_000;
        let mut effects = Vec::new();
        self.station.handle(event, self.now, &mut effects);
        self.keep(effects);
    }

    /// Pieces with and without serial and lot, of which some are bad, and some are not seen.
    fn piece(&mut self, number: u32, serial: Option<String>) {
        let (piece, encoder) = (PieceId(number), EncoderCount(number * 1000));
        let lot = if number.is_multiple_of(7) { 0 } else { 1 + number / 100 };
        let arrival = Arrival { piece, serial, lot, encoder, acquisition: 0, golden: false, retain: false, user_data: Vec::new() };
        let text = Some(format!("PO-{}", number / 300).into());
        let order = Reading { text, ..fixture::reading("order", 0.0, "", Quality::Good, self.now) };
        self.give(Happened::Read(order));
        self.give(Happened::Read(fixture::reading("paste_height", 150.0 + f64::from(number % 9), "um", Quality::Good, self.now)));
        self.give(Happened::Arrived(arrival));
        if number.is_multiple_of(97) {
            return self.give(Happened::Missed(Miss { piece, acquisition: 0, reason: MissReason::CameraLost, camera: None }));
        }
        let bounds = PixelBox { x1: 1.0, y1: 1.0, x2: 9.0, y2: 9.0 };
        let finding = Finding { class: ClassId(1), score: 0.9, bounds, area_mm2: None, camera: 0 };
        let findings = if number.is_multiple_of(11) { vec![finding] } else { Vec::new() };
        self.give(Happened::Seen(Arc::new(Inspection {
            acquisition: 0,
            piece,
            camera: "cam0".into(),
            frame: u64::from(number),
            image: Digest::of(&number.to_be_bytes()),
            width: 640,
            height: 640,
            model: model(),
            findings,
            measurements: Vec::new(),
            micros: StageMicros::default(),
            views: Vec::new(),
        })));
    }

    /// From the next piece on this lot of copper foil is used.
    fn opens(&mut self, lot: &str) {
        let lot = SupplierLot { material: "copper foil".to_owned(), supplier: "北方铜箔".to_owned(), lot: lot.to_owned() };
        let by = Person { name: "Chen Wei".to_owned(), role: Role::Operator };
        self.give(Happened::Asked(Request { by, action: Action::TakeIn { intake: Intake::InUse { lot } } }));
    }

    fn decide(&mut self, decision: Decision) {
        let by = Person { name: "Chen Wei".to_owned(), role: Role::QualityOfficer };
        self.give(Happened::Asked(Request { by, action: Action::Decide { decision, reason: "seen by eye, 二次检查".to_owned() } }));
    }
}

/// A thousand pieces, of which the last 750 are made of a known supplier lot; every fortieth is followed by a decision, each kind in turn.
fn demo() -> Line {
    let mut line = Line::start();
    let mut number = 0;
    let overrule = |result_id, verdict, grade| Decision::Overrule { result_id, verdict, grade };
    let mut decisions = 0;
    while number < PIECES {
        number += 1;
        if number > 250 && number % 250 == 1 {
            line.opens(&format!("F-{number}"));
        }
        line.piece(number, (!number.is_multiple_of(5)).then(|| format!("SN-{number:05}")));
        if !number.is_multiple_of(40) {
            continue;
        }
        let now = u64::from(number);
        let range = ResultRange { first: now - 12, last: now };
        let set =
            Affected { results: vec![range], lots: [number / 100 + 1].into(), serials: ["ÄÖ/1".to_owned(), "SN-1".to_owned()].into() };
        decisions += 1;
        line.decide(match decisions % 8 {
            1 => overrule(now, Verdict::Pass, 1),
            2 => Decision::Hold { set },
            3 => Decision::Recall {
                name: "R-7".to_owned(),
                criteria: "glued before ten".to_owned(),
                set: Affected { lots: [900].into(), ..set },
            },
            4 => Decision::Complaint { result_id: Some(now), serial: None },
            5 => Decision::ReleaseHold { hold: decisions - 3, set: Affected::default() },
            6 => Decision::EndRecall { recall: decisions - 3, set: Affected::default() },
            // The same piece a second and a third time.
            7 => overrule(40, Verdict::Reject, 3),
            _ => Decision::Complaint { result_id: None, serial: Some("a serial of nobody".to_owned()) },
        });
    }
    line
}

fn contexts() -> Contexts {
    Contexts::new(Context::from_started(&started(), TimeZone::fixed(Offset::constant(8))))
}

fn document(events: &[Event]) -> Value {
    serde_json::to_value(Document::new(events, "2026-11-22T20:00:00+08:00".to_owned())).unwrap()
}

/// Everything the outbox gives, in batches as an uploader takes them; the counters reconcile at every step.
fn emptied(outbox: &dyn Outbox) -> Vec<Parcel> {
    let mut all: Vec<Parcel> = Vec::new();
    loop {
        let batch = outbox.next(64).unwrap();
        let OutboxCounts { kept, delivered, waiting, quarantined } = outbox.counts();
        assert_eq!((kept, delivered, quarantined), (delivered + waiting + quarantined, u64::try_from(all.len()).unwrap(), 0));
        if batch.is_empty() {
            return all;
        }
        outbox.delivered(&batch.iter().map(|parcel| parcel.result_id).collect::<Vec<_>>()).unwrap();
        all.extend(batch);
    }
}

fn backend(dir: &Path) -> Backend {
    let clock = || Timestamp { wall_micros: NOON, mono_micros: 0 };
    Backend::open(dir, BackendSettings::new(Arc::new(clock))).unwrap()
}

/// Whether our server captures the document: the job, not the 202, tells.
fn capture(backend: &Backend, document: &Value) -> Result<(), String> {
    let ask = |method: &str, path: &str, body: Vec<u8>| {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        backend.answer(Ask { method: method.into(), path: path.into(), query: String::new(), headers, body })
    };
    let taken = ask("POST", "/capture", document.to_string().into_bytes());
    if taken.status != 202 {
        return Err(String::from_utf8(taken.body).unwrap());
    }
    let job = &taken.headers.iter().find(|(name, _)| name == "location").unwrap().1;
    let job: Value = serde_json::from_slice(&ask("GET", job, Vec::new()).body).unwrap();
    if job["success"] == true { Ok(()) } else { Err(job["errors"].to_string()) }
}

#[test]
fn all_events_of_a_thousand_pieces_with_decisions_are_valid_and_twenty_broken_ones_are_not() {
    let Some(official) = official() else { return };
    let line = demo();
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&dir.path().join("data"), StoreSettings::default()).unwrap();
    for batch in line.kept.chunks(100) {
        store.keep(&batch.iter().map(|entry| &**entry).collect::<Vec<_>>()).unwrap();
    }
    let outbox = store.outbox("traceability").unwrap();
    let parcels = emptied(&*outbox);
    let decided = parcels.iter().filter(|parcel| parcel.result_id > DECISIONS).count();
    assert_eq!((parcels.len() - decided, decided), (1000, 25), "every piece record and every decision is a parcel");

    let (contexts, backend) = (contexts(), backend(&dir.path().join("backend")));
    let events: Vec<Event> = parcels.iter().flat_map(|parcel| events_of(parcel, &contexts).unwrap()).collect();
    for batch in events.chunks(100) {
        let document = document(batch);
        let problems: Vec<String> = official.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}\n{document:#}");
        assert_eq!(capture(&backend, &document), Ok(()));
    }
    assert_eq!(backend.health().events, events.len(), "no name was used twice");
    let again: Vec<Event> = parcels.iter().flat_map(|parcel| events_of(parcel, &contexts).unwrap()).collect();
    assert_eq!(events, again, "the same records give the same events");
    let transformations = events.iter().filter(|event| event.kind == "TransformationEvent").count();
    assert_eq!((transformations, events.len() - 2 * overrules(&parcels)), (750, 1000 + 750 + decided - overrules(&parcels)));
    overrules_are_declared(&events);
    sets_name_their_pieces(&parcels, &events);
    broken_events_are_refused(&official, &events);

    let grades: Vec<_> = parcels.iter().flat_map(|parcel| grades_of(parcel, &contexts).unwrap()).collect();
    let superseded: BTreeSet<&str> = grades.iter().filter_map(|grade| grade.supersedes.as_deref()).collect();
    let ids: BTreeSet<&str> = grades.iter().map(|grade| grade.id.as_str()).collect();
    assert_eq!((grades.len() - 1000, superseded.len()), (overrules(&parcels), overrules(&parcels)), "each is in the place of another one");
    assert!(superseded.is_subset(&ids) && ids.len() == grades.len());
}

fn overrules(parcels: &[Parcel]) -> usize {
    let is_one = |parcel: &&Parcel| matches!(&parcel.entry.body, Body::Decided(record) if record.decision.name() == "overrule");
    parcels.iter().filter(is_one).count()
}

/// What is declared wrong is otherwise as it was captured, and what stands in its place is there.
fn overrules_are_declared(events: &[Event]) {
    let json = |event: &Event| serde_json::to_value(event).unwrap();
    let mut first: BTreeMap<&str, Value> = BTreeMap::new();
    let mut declared = Vec::new();
    for event in events {
        let mut told = json(event);
        if let Some(declaration) = &event.error_declaration {
            told.as_object_mut().unwrap().remove("errorDeclaration");
            assert_eq!(first.get(event.event_id.as_str()), Some(&told), "the wrong event, as it was");
            declared.push((event.event_id.as_str(), declaration.corrective_event_ids[0].as_str()));
        } else {
            assert_eq!(first.insert(&event.event_id, told), None);
        }
    }
    assert!(declared.len() >= 6, "{declared:?}");
    assert!(declared.iter().all(|(_, right)| first.contains_key(right)), "every corrective event was captured");
    let wrong: BTreeSet<_> = declared.iter().map(|(wrong, _)| wrong).collect();
    assert_eq!(wrong.len(), declared.len(), "no event is declared wrong twice");
    // Piece 40 was overruled to a pass, and later to a reject: the last word counts.
    let of_40 = |told: &&Value| told["jidoka:resultId"] == 40 && !declared.iter().any(|(wrong, _)| told["eventID"] == **wrong);
    let standing: Vec<&Value> = first.values().filter(of_40).collect();
    assert_eq!(standing.len(), 1);
    assert_eq!((&standing[0]["disposition"], &standing[0]["jidoka:decision"]["jidoka:by"]), (&json!("non_conformant"), &json!("Chen Wei")));
    assert_eq!(standing[0]["bizTransactionList"][1], json!({ "type": "prodorder", "bizTransaction": "urn:jidoka:order:PO-0" }));
}

fn sets_name_their_pieces(parcels: &[Parcel], events: &[Event]) {
    let hold = parcels.iter().find(|parcel| !parcel.named.is_empty()).unwrap();
    let told = events_of(hold, &contexts()).unwrap().remove(0);
    assert!(events.contains(&told));
    let told = serde_json::to_value(told).unwrap();
    assert_eq!(told["persistentDisposition"], json!({ "set": ["non_sellable_other"] }));
    let names: Vec<&str> = told["epcList"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    // 68 to 80: thirteen records, of which 70, 75 and 80 have no serial; 70 has no lot either.
    assert!(
        names.contains(&"urn:epc:id:sgtin:4012345.011111.SN-00079") && names.contains(&"urn:jidoka:piece:Line%201:AOI:70"),
        "{names:?}"
    );
    assert!(names.contains(&"urn:jidoka:serial:board%20A:%C3%84%C3%96%2F1"), "a serial that GS1 cannot write: {names:?}");
    assert_eq!(told["quantityList"], json!([{ "epcClass": "urn:epc:class:lgtin:4012345.011111.1" }]));
    let release = events.iter().find(|event| event.decision.as_ref().is_some_and(|decided| decided.what == "release_hold")).unwrap();
    let release = serde_json::to_value(release).unwrap();
    assert_eq!(release["persistentDisposition"], json!({ "unset": ["non_sellable_other"] }));
    assert_eq!((&release["epcList"], release.get("disposition")), (&told["epcList"], None), "a release names what was held");
}

/// Twenty ways to be wrong, each refused by the official schema and by our server.
fn broken_events_are_refused(official: &Validator, events: &[Event]) {
    let find = |what: &str| events.iter().find(|event| event.decision.as_ref().is_some_and(|decided| decided.what == what)).unwrap();
    let piece = serde_json::to_value(&events[1]).unwrap();
    let declared = serde_json::to_value(events.iter().find(|event| event.error_declaration.is_some()).unwrap()).unwrap();
    let (hold, recall) = (serde_json::to_value(find("hold")).unwrap(), serde_json::to_value(find("recall")).unwrap());
    let wrong: [(&Value, &str, Option<Value>); 20] = [
        (&piece, "/disposition", Some(json!("rather_good"))),
        (&piece, "/bizStep", Some(json!("looking at it"))),
        (&piece, "/eventTime", Some(json!("2026-11-22T11:59:59.812"))),
        (&piece, "/eventTime", None),
        (&piece, "/eventTimeZoneOffset", Some(json!("+25:00"))),
        (&piece, "/eventID", Some(json!("piece 7"))),
        (&piece, "/action", Some(json!("LOOK"))),
        (&piece, "/epcList/0", Some(json!("SN-00002"))),
        (&piece, "/readPoint/id", Some(json!("station 5"))),
        (&piece, "/bizTransactionList/1/type", Some(json!("order"))),
        (&piece, "/sensorElementList/0/sensorMetadata/rawData", Some(json!("picture 7"))),
        (&piece, "/sensorElementList/0/sensorMetadata/time", Some(json!("noon"))),
        (&piece, "/sensorElementList/0/sensorReport", Some(json!([]))),
        (&piece, "/sensorElementList/1/sensorReport/1/value", Some(json!("148,2"))),
        (&declared, "/errorDeclaration/reason", Some(json!("oops"))),
        (&declared, "/errorDeclaration/declarationTime", None),
        (&declared, "/errorDeclaration/correctiveEventIDs/0", Some(json!("the other one"))),
        (&hold, "/persistentDisposition/set/0", Some(json!("locked_away"))),
        (&recall, "/quantityList/0/epcClass", Some(json!("lot 900"))),
        (&recall, "/persistentDisposition", Some(json!({}))),
    ];
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path());
    for (event, place, value) in wrong {
        let mut broken = event.clone();
        let (parent, name) = place.rsplit_once('/').unwrap();
        match value {
            Some(value) => *broken.pointer_mut(place).unwrap_or_else(|| panic!("no {place} in {event:#}")) = value,
            None => assert!(broken.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).is_some(), "{place}"),
        }
        let mut document = document(&[]);
        document["epcisBody"]["eventList"] = json!([broken]);
        assert!(!official.is_valid(&document), "the schema takes {place}: {broken:#}");
        assert!(capture(&backend, &document).is_err(), "our server takes {place}: {broken:#}");
        document["epcisBody"]["eventList"] = json!([event]);
        assert!(official.is_valid(&document), "it is {place} that is wrong");
    }
    assert_eq!(backend.health().events, 0);
}

#[test]
fn what_was_released_from_quarantine_gets_another_try_and_survives_a_restart() {
    let line = demo();
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), StoreSettings::default()).unwrap().0;
    let store = open();
    store.keep(&line.kept.iter().map(|entry| &**entry).collect::<Vec<_>>()).unwrap();
    let outbox = store.outbox("traceability").unwrap();
    outbox.quarantine(3, "no such product").unwrap();
    outbox.quarantine(5, "no such product").unwrap();
    let first = emptied_but(&*outbox, 2);
    assert!(!first.contains(&3) && first.contains(&(DECISIONS + 1)));
    let quarantined = OutboxCounts { kept: 1025, delivered: 1023, waiting: 0, quarantined: 2 };
    assert_eq!(outbox.counts(), quarantined);
    assert_eq!(outbox.release(&[3, 4]).unwrap(), 1, "4 was delivered");
    drop((outbox, store));
    let store = open();
    let outbox = store.outbox("traceability").unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { waiting: 1, quarantined: 1, ..quarantined });
    let again: Vec<u64> = outbox.next(10).unwrap().iter().map(|parcel| parcel.result_id).collect();
    assert_eq!(again, [3]);
    outbox.quarantine(3, "still no such product").unwrap();
    assert_eq!(outbox.counts(), quarantined);
    assert_eq!(store.quarantined("traceability").unwrap()[&3], "still no such product");
    outbox.release(&[3, 5]).unwrap();
    outbox.delivered(&[3, 5]).unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { delivered: 1025, quarantined: 0, ..quarantined });
}

fn emptied_but(outbox: &dyn Outbox, refused: u64) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let batch: Vec<u64> = outbox.next(64).unwrap().iter().map(|parcel| parcel.result_id).collect();
        assert_eq!(outbox.counts().quarantined, refused);
        if batch.is_empty() {
            return all;
        }
        outbox.delivered(&batch).unwrap();
        all.extend(batch);
    }
}

#[test]
fn live_records_overtake_the_backlog_and_a_decision_waits_for_the_pieces_before_it() {
    let line = demo();
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), StoreSettings::default()).unwrap().0;
    let store = open();
    store.keep(&line.kept.iter().map(|entry| &**entry).collect::<Vec<_>>()).unwrap();
    let outbox = store.outbox("traceability").unwrap();
    let numbers = |parcels: Vec<Parcel>| parcels.iter().map(|parcel| parcel.result_id).collect::<Vec<_>>();
    assert_eq!(outbox.newest(), 1000);
    let live = numbers(outbox.next_from(981, 64).unwrap());
    assert_eq!(live, (981..=1000).collect::<Vec<_>>());
    outbox.delivered(&live).unwrap();
    assert_eq!(numbers(outbox.next_from(981, 64).unwrap()), [0_u64; 0], "nothing live waits");
    // The first decision was made after piece record 40.
    outbox.delivered(&(1..=39).collect::<Vec<_>>()).unwrap();
    assert_eq!(numbers(outbox.next(2).unwrap()), [40, 41]);
    drop((outbox, store));
    let store = open();
    let outbox = store.outbox("traceability").unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { kept: 1025, delivered: 59, waiting: 966, quarantined: 0 });
    outbox.delivered(&[40]).unwrap();
    assert_eq!(numbers(outbox.next(2).unwrap()), [DECISIONS + 1, 41]);
    outbox.delivered(&[DECISIONS + 1, DECISIONS + 3]).unwrap();
    assert_eq!(numbers(outbox.next(1).unwrap()), [41], "the second one waits for piece record 80");
    assert!(outbox.delivered(&[DECISIONS + 26]).is_err(), "there is no such decision");
    // The index is lost and built again: what was delivered is known from the mark, and nothing is skipped.
    drop((outbox, store));
    std::fs::remove_dir_all(dir.path().join("view")).unwrap();
    let store = open();
    let outbox = store.outbox("traceability").unwrap();
    let OutboxCounts { kept, delivered, waiting, quarantined } = outbox.counts();
    assert_eq!((kept, quarantined), (delivered + waiting, 0));
    let left = emptied_but(&*outbox, 0);
    assert_eq!(u64::try_from(left.len()).unwrap(), waiting);
    assert_eq!(outbox.counts(), OutboxCounts { kept: 1025, delivered: 1025, waiting: 0, quarantined: 0 });
    assert_eq!(store.decisions_about(40).unwrap().len(), overrules_of_40(&line), "the index knows the decisions again");
}

fn overrules_of_40(line: &Line) -> usize {
    let about_40 = |entry: &&Arc<Entry>| matches!(&entry.body, Body::Decided(record) if record.decision.result_id() == Some(40));
    line.kept.iter().filter(about_40).count()
}

#[test]
fn a_standing_of_before_there_were_decisions_is_read() {
    let line = demo();
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), StoreSettings::default()).unwrap().0;
    open().keep(&line.kept.iter().map(|entry| &**entry).collect::<Vec<_>>()).unwrap();
    let json = r#"{"cursor":900,"delivered":899,"ahead":[],"quarantined":{"7":"no such product"}}"#;
    std::fs::create_dir_all(dir.path().join("outbox")).unwrap();
    let mark = format!("{:08x}\n{json}", crc32c::crc32c(json.as_bytes()));
    std::fs::write(dir.path().join("outbox/traceability.mark"), mark).unwrap();
    let store = open();
    let outbox = store.outbox("traceability").unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { kept: 1025, delivered: 899, waiting: 125, quarantined: 1 });
    let first = outbox.next(100).unwrap();
    let decided = first.iter().filter(|parcel| parcel.result_id > DECISIONS).count();
    assert_eq!((decided, first[decided].result_id), (22, 901), "every decision up to piece record 900, then what is newer");
}
