//! Our events and our server's checks against the official EPCIS 2.0 JSON schema, with formats asserted.
//!
//! The schema and the examples are not ours and not part of this project; where they are absent the tests say so and end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../src/upload/fixture.rs"]
mod fixture;

use appliance::backend::{Backend, BackendSettings, GRADING_OPENAPI};
use appliance::outbox::Parcel;
use appliance::upload::context::{Context, Contexts};
use appliance::upload::decided::events_of;
use appliance::upload::epcis::{Document, Event, event_of};
use appliance::upload::grade::grade_of;
use fixture::{entry, piece, started};
use jiff::tz::{Offset, TimeZone};
use jsonschema::Validator;
use serde_json::{Value, json};
use station::inspection::{CameraView, ClassId, Finding, PixelBox};
use station::intake::SupplierLot;
use station::reading::{Quality, Reading};
use station::recipe::{Source, Spread};
use station::record::PieceRecord;
use station::units::{Digest, Timestamp};
use station::verdict::{Judgement, Reason, Verdict};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use web_ui::endpoint::{Ask, Endpoint};

fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/epcis");
    if folder.join("EPCIS-JSON-Schema.json").is_file() {
        return Some(folder);
    }
    println!("skipped: no EPCIS schema in {}", folder.display());
    None
}

fn schema(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("EPCIS-JSON-Schema.json")).unwrap()).unwrap()
}

fn official(folder: &Path) -> Validator {
    jsonschema::options().offline().should_validate_formats(true).should_ignore_unknown_formats(false).build(&schema(folder)).unwrap()
}

fn context() -> Context {
    Context::from_started(&started(), TimeZone::fixed(Offset::constant(8)))
}

/// Pieces of every verdict and every way to be named.
fn pieces() -> Vec<(&'static str, PieceRecord)> {
    let lot_only = {
        let mut record = piece(4, Verdict::Pass);
        record.arrival.serial = None;
        record
    };
    let nameless = {
        let mut record = lot_only.clone();
        (record.result_id, record.arrival.lot) = (5, 0);
        record
    };
    let odd_serial = {
        let mut record = piece(6, Verdict::Reject);
        record.arrival.serial = Some("a serial with #, \" and 线".to_owned());
        record
    };
    let bare = {
        let mut record = piece(7, Verdict::Hold);
        (record.readings, record.points) = (vec![], vec![]);
        record
    };
    let attached = with_texts(piece(8, Verdict::Pass));
    let made_of = made_of_two(piece(10, Verdict::Pass));
    let two_cameras = with_two_cameras(piece(9, Verdict::Reject));
    vec![
        ("texts and user data", attached),
        ("made of supplier lots", made_of),
        ("two cameras", two_cameras),
        ("pass", piece(1, Verdict::Pass)),
        ("reject", piece(2, Verdict::Reject)),
        ("hold", piece(3, Verdict::Hold)),
        ("lot only", lot_only),
        ("nameless", nameless),
        ("odd serial", odd_serial),
        ("bare", bare),
    ]
}

/// Seen by two cameras, of which the second saw one of two defects.
fn with_two_cameras(mut record: PieceRecord) -> PieceRecord {
    let inspection = Arc::make_mut(record.inspection.as_mut().unwrap());
    let bounds = PixelBox { x1: 1.0, y1: 1.0, x2: 9.0, y2: 9.0 };
    inspection.findings =
        vec![0, 1].into_iter().map(|camera| Finding { class: ClassId(2), score: 0.9, bounds, area_mm2: None, camera }).collect();
    let seen = inspection.clone();
    inspection.views = ["cam0", "cam1"]
        .map(|name| CameraView {
            camera: name.into(),
            frame: 1,
            image: Digest::of(name.as_bytes()),
            width: 640,
            height: 640,
            model: Arc::clone(&seen.model),
            micros: seen.micros,
        })
        .to_vec();
    record
}

/// Made of two supplier lots, of which one has a name of GS1.
fn made_of_two(mut record: PieceRecord) -> PieceRecord {
    let lot =
        |material: &str, lot: &str| SupplierLot {
            material: material.to_owned(), supplier: "Acme & Söhne".to_owned(), lot: lot.to_owned()
        };
    record.made_of = [lot("laminate", "L 4711/a"), lot("paste", "urn:epc:class:lgtin:4012345.011111.P9")].into();
    record
}

#[test]
fn supplier_lots_are_the_inputs_of_a_transformation_into_the_piece() {
    let contexts = Contexts::new(context());
    let told = |record: PieceRecord| {
        let parcel = Parcel::piece(record.result_id, Arc::new(entry(record)));
        events_of(&parcel, &contexts).unwrap()
    };
    let mut no_serial = made_of_two(piece(11, Verdict::Reject));
    no_serial.arrival.serial = None;
    let mut golden = made_of_two(piece(12, Verdict::Pass));
    golden.arrival.golden = true;
    assert_eq!((told(piece(1, Verdict::Pass)).len(), told(golden).len()), (1, 1), "nothing is known, or it is no product");
    let events: Vec<_> = [made_of_two(piece(10, Verdict::Pass)), no_serial].into_iter().flat_map(told).collect();
    let written = document(&events);
    if let Some(folder) = reference() {
        assert!(official(&folder).is_valid(&written), "{written:#}");
    }
    let events = written["epcisBody"]["eventList"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("TransformationEvent"), &json!("ObjectEvent")));
    let inputs = &events[0]["inputQuantityList"];
    assert_eq!(inputs[0]["epcClass"], "urn:jidoka:supplier-lot:Acme%20%26%20S%C3%B6hne:laminate:L%204711%2Fa");
    assert_eq!(inputs[1]["epcClass"], "urn:epc:class:lgtin:4012345.011111.P9");
    assert_eq!(events[0]["outputEPCList"], events[1]["epcList"]);
    assert_eq!(events[2]["outputQuantityList"], events[3]["quantityList"]);
    assert_eq!(
        events[0]["jidoka:madeOf"][0],
        json!({"jidoka:material": "laminate", "jidoka:supplier": "Acme & Söhne", "jidoka:lot": "L 4711/a"})
    );
    assert_ne!(events[0]["eventID"], events[1]["eventID"]);
}

#[test]
fn a_subgroup_tells_its_mean_and_its_standard_deviation() {
    let mut plan = started();
    let source = |spread| Source::Averages { tag: "paste_height".into(), unit: "um".into(), subgroup: 5, spread };
    let mut told = |spread| {
        Arc::make_mut(&mut plan.recipe).characteristics[0].source = source(spread);
        let context = Context::from_started(&plan, TimeZone::UTC);
        let told = document(&[event(piece(1, Verdict::Pass), &context)]);
        if let Some(folder) = reference() {
            assert!(official(&folder).is_valid(&told));
        }
        told["epcisBody"]["eventList"][0]["sensorElementList"][2]["sensorReport"][0].clone()
    };
    let with_deviation = told(Spread::StandardDeviation);
    assert_eq!((&with_deviation["meanValue"], &with_deviation["sDev"]), (&json!(148.2), &json!(0.4)));
    let with_range = told(Spread::Range);
    assert_eq!((&with_range["meanValue"], with_range.get("sDev")), (&json!(148.2), None), "a range is no standard deviation");
}

#[test]
fn every_camera_of_a_frame_set_is_named_with_its_picture() {
    let told = serde_json::to_value(event(with_two_cameras(piece(9, Verdict::Reject)), &context())).unwrap();
    let elements = told["sensorElementList"].as_array().unwrap();
    let device = |index: usize| &elements[index]["sensorMetadata"]["deviceID"];
    assert_eq!(device(0), "urn:jidoka:camera:Line%201:AOI:cam0");
    assert_eq!(device(1), "urn:jidoka:camera:Line%201:AOI:cam1");
    assert_eq!(elements[1]["sensorReport"][0]["value"], 1.0, "the second camera saw one of the two defects");
    assert_ne!(elements[0]["sensorMetadata"]["rawData"], elements[1]["sensorMetadata"]["rawData"]);
}

/// With what the PLC attached: words of its own, and two tags that hold text, of which one is not to be trusted.
fn with_texts(mut record: PieceRecord) -> PieceRecord {
    record.arrival.user_data = vec![513, 0, 65_535];
    let roll = |quality| Reading { text: Some("ROLL-77".into()), quality, ..record.readings[0].clone() };
    record.readings = vec![roll(Quality::Good), roll(Quality::Stale)];
    record
}

#[test]
fn texts_and_user_data_reach_the_event_as_texts_and_words() {
    let told = |record| serde_json::to_value(event(record, &context())).unwrap();
    let attached = told(with_texts(piece(8, Verdict::Pass)));
    assert_eq!(attached["jidoka:userData"], json!([513, 0, 65_535]));
    let reports = &attached["sensorElementList"][1]["sensorReport"];
    assert_eq!((&reports[0]["type"], &reports[0]["stringValue"]), (&json!("jidoka:text"), &json!("ROLL-77")));
    assert_eq!((reports[0].get("value"), reports[0].get("uom"), reports[0].get("exception")), (None, None, None));
    assert_eq!((reports[1].get("stringValue"), &reports[1]["jidoka:quality"]), (None, &json!("stale")));
    assert_eq!(told(piece(1, Verdict::Pass)).get("jidoka:userData"), None, "left out where there is none");
}

fn event(record: PieceRecord, context: &Context) -> Event {
    event_of(&entry(record), context).unwrap()
}

fn document(events: &[Event]) -> Value {
    serde_json::to_value(Document::new(events, "2026-11-22T20:00:00+08:00".to_owned())).unwrap()
}

#[test]
fn every_kind_of_event_is_valid_epcis() {
    let Some(folder) = reference() else { return };
    let official = official(&folder);
    let mut plain = started();
    (plain.identity.sgln, plain.identity.sgtin_base) = (String::new(), "urn:epc:id:sgtin:nonsense".to_owned());
    let contexts = [context(), Context::from_started(&plain, TimeZone::fixed(Offset::constant(-3))), {
        let half = TimeZone::fixed(Offset::from_seconds(5 * 3600 + 1800).unwrap());
        Context::from_started(&started(), half)
    }];
    for context in &contexts {
        for (name, record) in pieces() {
            let document = document(&[event(record, context)]);
            let problems: Vec<String> = official.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{name}: {problems:?}\n{document:#}");
        }
    }
}

#[test]
fn the_schema_bites_only_because_formats_are_asserted() {
    let Some(folder) = reference() else { return };
    let official = official(&folder);
    let without = jsonschema::options().offline().should_validate_formats(false).build(&schema(&folder)).unwrap();
    let good = document(&[event(piece(2, Verdict::Reject), &context())]);
    let broken = |pointer: &str, value: Value| {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        broken
    };
    let event = "/epcisBody/eventList/0";
    for (pointer, nonsense) in [
        (format!("{event}/disposition"), "rather_good"),
        (format!("{event}/bizStep"), "looking at it"),
        (format!("{event}/eventTime"), "2026-11-22T11:59:59.812"),
        (format!("{event}/eventID"), "piece 7"),
        (format!("{event}/sensorElementList/0/sensorMetadata/time"), "noon"),
        ("/creationDate".to_owned(), "2026-11-22"),
    ] {
        let document = broken(&pointer, nonsense.into());
        assert!(!official.is_valid(&document), "{pointer} = {nonsense:?} went unnoticed");
        assert!(without.is_valid(&document), "{pointer}: noticed even without formats, so this test proves nothing");
        assert!(!accepts(&backend(), &document), "{pointer} = {nonsense:?} was captured");
    }
}

#[test]
fn a_hold_cannot_be_read_as_conformant_and_a_pass_needs_an_inspection() {
    let told = |record| serde_json::to_value(event(record, &context())).unwrap();
    let hold = told(piece(3, Verdict::Hold));
    assert_eq!((&hold["disposition"], &hold["persistentDisposition"]["set"][0]), (&json!("non_conformant"), &json!("unavailable")));
    assert_eq!((&hold["jidoka:judged"], &hold["jidoka:verdict"], hold.get("jidoka:grade")), (&json!(false), &json!("hold"), None));
    assert_eq!(hold["sensorElementList"][0]["sensorReport"][0]["exception"], "ERROR_CONDITION");
    assert!(!hold.to_string().contains("\"conformant\""));
    let mut ungraded = piece(2, Verdict::Reject);
    ungraded.judgement =
        Judgement { verdict: Verdict::Hold, reasons: vec![Reason::Grade { grade: 5, name: "cannot judge".into() }], grade: 5 };
    let ungraded = told(ungraded);
    let seen = &ungraded["sensorElementList"];
    assert_eq!((&seen[0]["sensorReport"][0]["value"], &seen[1]["sensorReport"][0]["stringValue"]), (&json!(2.0), &json!("cannot judge")));
    assert_eq!((&ungraded["jidoka:judged"], ungraded.get("jidoka:grade")), (&json!(false), None));
    let mut unseen = piece(1, Verdict::Pass);
    unseen.inspection = None;
    let unseen = told(unseen);
    assert_eq!((&unseen["disposition"], &unseen["jidoka:verdict"]), (&json!("non_conformant"), &json!("hold")));
    let pass = told(piece(1, Verdict::Pass));
    assert_eq!((&pass["disposition"], pass.get("persistentDisposition")), (&json!("conformant"), None));
}

#[test]
fn an_event_says_what_the_record_says() {
    let event = serde_json::to_value(event(piece(2, Verdict::Reject), &context())).unwrap();
    assert_eq!(event["eventTime"], "2026-11-22T20:00:01.833+08:00");
    assert_eq!(event["eventTimeZoneOffset"], "+08:00");
    assert_eq!(event["epcList"], json!(["urn:epc:id:sgtin:4012345.011111.SN-00002"]));
    assert_eq!(event["readPoint"]["id"], "urn:epc:id:sgln:4012345.00005.3");
    let elements = event["sensorElementList"].as_array().unwrap();
    let camera = &elements[0]["sensorMetadata"];
    assert_eq!(camera["deviceID"], "urn:jidoka:camera:Line%201:AOI:cam0");
    assert_eq!(camera["bizRules"], "urn:jidoka:rubric:Line%201:AOI:3");
    assert!(camera["rawData"].as_str().unwrap().starts_with("ni:///sha-256;"));
    assert!(camera["dataProcessingMethod"].as_str().unwrap().starts_with("urn:jidoka:model:pcb@1.2.0:sha-256:"));
    let defects = &elements[0]["sensorReport"];
    assert_eq!((&defects[0]["value"], &defects[1]["jidoka:characteristic"]), (&json!(2.0), &json!("short")));
    let readings = &elements[1]["sensorReport"];
    assert_eq!((&readings[0]["type"], &readings[0]["value"], &readings[0]["uom"]), (&json!("Length"), &json!(148.2), &json!("4H")));
    assert_eq!((&readings[1]["type"], &readings[1]["uom"]), (&json!("Temperature"), &json!("CEL")));
    let stale = &readings[2];
    assert_eq!((&stale["uom"], &stale["jidoka:quality"], stale.get("value")), (&json!("NEW"), &json!("stale"), None));
    assert_eq!((&readings[3]["jidoka:unit"], readings[3].get("uom")), (&json!("furlong"), None));
    let point = &elements[2]["sensorReport"][0];
    assert_eq!((&point["exception"], &point["jidoka:chart"]["jidoka:signals"]), (&json!("ALARM_CONDITION"), &json!(["Nelson 2"])));
    assert_eq!(point["jidoka:chart"]["jidoka:ucl"], 156.0);
}

#[test]
fn grades_are_as_the_openapi_document_describes_them() {
    let mut described: Value = serde_json::from_str(GRADING_OPENAPI).unwrap();
    described["$ref"] = "#/components/schemas/GradeBatch".into();
    let described = jsonschema::options().offline().should_validate_formats(true).build(&described).unwrap();
    let grades: Vec<Value> =
        pieces().into_iter().map(|(_, record)| serde_json::to_value(grade_of(&entry(record), &context()).unwrap()).unwrap()).collect();
    let batch = json!({ "grades": grades });
    let problems: Vec<String> = described.iter_errors(&batch).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let mut broken = batch.clone();
    broken["grades"][0]["graded_at"] = "yesterday".into();
    assert!(!described.is_valid(&broken));
    let headers = vec![("idempotency-key".to_owned(), "1".to_owned())];
    let post = |body: &Value| Ask {
        method: "POST".into(),
        path: "/grades".into(),
        query: String::new(),
        headers: headers.clone(),
        body: body.to_string().into_bytes(),
    };
    let backend = backend();
    assert_eq!(backend.answer(post(&broken)).status, 400);
    assert_eq!(backend.answer(post(&batch)).status, 200);
    assert_eq!(backend.health().grades, grades.len());
}

/// The official documents with events, wherever they are in the folder.
fn examples(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "jsonld" || kind == "json") {
                let value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap_or_default();
                if value["type"] == "EPCISDocument" {
                    found.push((path, value));
                }
            }
        }
    }
    found
}

struct Open {
    backend: Backend,
    _dir: tempfile::TempDir,
}

impl std::ops::Deref for Open {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

fn backend() -> Open {
    let dir = tempfile::tempdir().unwrap();
    let clock = || Timestamp { wall_micros: fixture::NOON, mono_micros: 0 };
    let backend = Backend::open(dir.path(), BackendSettings::new(Arc::new(clock))).unwrap();
    Open { backend, _dir: dir }
}

fn accepts(backend: &Backend, document: &Value) -> bool {
    capture(backend, document).is_ok()
}

/// Whether our server captures the document, or its words: the job, not the 202, tells.
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
    assert_eq!(job["running"], false);
    if job["success"] == true { Ok(()) } else { Err(job["errors"].to_string()) }
}

#[test]
fn our_server_captures_the_official_examples() {
    let Some(folder) = reference() else { return };
    let official = official(&folder);
    let mut captured = 0;
    for (path, document) in examples(&folder) {
        if !official.is_valid(&document) {
            continue;
        }
        let ours = capture(&backend(), &document);
        // Master data are refused on purpose, and an eventID that a document uses twice without declaring an error.
        let on_purpose = document.get("epcisHeader").is_some();
        assert!(ours.is_ok() || on_purpose, "{} was refused: {ours:?}", path.display());
        captured += usize::from(ours.is_ok());
    }
    assert!(captured >= 20, "only {captured} examples were captured");
    println!("captured {captured} official examples");
}

/// Every place in a document.
fn places(value: &Value, here: String, out: &mut Vec<String>) {
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let below = format!("{here}/{}", escape(name));
            out.push(below.clone());
            places(value, below, out);
        }),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| {
            out.push(format!("{here}/{index}"));
            places(value, format!("{here}/{index}"), out);
        }),
        _ => {}
    }
}

fn without(document: &Value, place: &str) -> Value {
    let mut broken = document.clone();
    let (parent, name) = place.rsplit_once('/').unwrap();
    match broken.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(list)) => drop(list.remove(name.parse().unwrap())),
        _ => {}
    }
    broken
}

#[test]
fn whatever_the_schema_refuses_our_server_refuses() {
    let Some(folder) = reference() else { return };
    let official = official(&folder);
    let ours: Vec<Event> = pieces().into_iter().map(|(_, record)| event(record, &context())).collect();
    // The other folder holds the same documents with another context.
    let examples = examples(&folder.join("JSON")).into_iter();
    let mut documents: Vec<(PathBuf, Value)> = examples.filter(|(_, document)| official.is_valid(document)).collect();
    documents.push(("our own".into(), document(&ours)));
    let (mut tried, mut refused) = (0, 0);
    for (path, document) in documents {
        let backend = backend();
        let mut all = Vec::new();
        places(&document, String::new(), &mut all);
        for place in &all {
            let mut broken = vec![without(&document, place)];
            for nonsense in [json!("no such thing"), json!(7), json!([])] {
                let mut copy = document.clone();
                *copy.pointer_mut(place).unwrap() = nonsense;
                broken.push(copy);
            }
            for broken in broken {
                tried += 1;
                if !official.is_valid(&broken) {
                    refused += 1;
                    assert!(!accepts(&backend, &broken), "{}: captured in spite of {place}\n{broken:#}", path.display());
                }
            }
        }
    }
    assert!(refused > 4000, "only {refused} of {tried} broken documents were refused by the schema");
    println!("{refused} of {tried} broken documents are refused by both");
}
