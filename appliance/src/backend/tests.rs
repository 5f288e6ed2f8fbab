//! The server as its clients meet it: requests in, answers out.

use super::*;
use serde_json::json;
use tempfile::TempDir;

const NOON: i64 = 1_795_348_800_000_000;

struct Plant {
    backend: Backend,
    dir: TempDir,
}

fn plant(change: impl FnOnce(&mut BackendSettings)) -> Plant {
    let dir = tempfile::tempdir().unwrap();
    Plant { backend: open(dir.path(), change), dir }
}

fn open(dir: &Path, change: impl FnOnce(&mut BackendSettings)) -> Backend {
    let mut settings = BackendSettings::new(Arc::new(|| Timestamp { wall_micros: NOON, mono_micros: 0 }));
    change(&mut settings);
    Backend::open(dir, settings).unwrap()
}

fn ask(backend: &Backend, method: &str, address: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    backend.answer(Ask { method: method.into(), path: path.into(), query: query.into(), headers: all, body })
}

fn get(backend: &Backend, address: &str) -> (u16, Value) {
    let answer = ask(backend, "GET", address, &[], &Value::Null);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn header_of<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn event(number: u32, disposition: &str) -> Value {
    json!({
        "type": "ObjectEvent", "eventID": format!("urn:uuid:{number}"), "action": "OBSERVE", "bizStep": "inspecting",
        "disposition": disposition, "epcList": [format!("urn:epc:id:sgtin:4012345.011111.{number}")],
        "eventTime": format!("2026-11-22T20:00:{number:02}+08:00"), "eventTimeZoneOffset": "+08:00",
    })
}

fn document(events: &[Value]) -> Value {
    json!({
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", { "jidoka": "urn:jidoka:epcis:1:" }],
        "type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": "2026-11-22T12:00:00Z", "epcisBody": { "eventList": events },
    })
}

/// Captures and returns the finished job.
fn capture(backend: &Backend, headers: &[(&str, &str)], events: &[Value]) -> Value {
    let taken = ask(backend, "POST", "/capture", headers, &document(events));
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    let (status, job) = get(backend, header_of(&taken, "location").unwrap());
    assert_eq!((status, &job["running"]), (200, &json!(false)));
    job
}

fn listed(answer: &Value) -> Vec<String> {
    let list = answer["epcisBody"]["queryResults"]["resultsBody"]["eventList"].as_array().unwrap();
    list.iter().map(|event| event["eventID"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_job_keeps_all_or_nothing_unless_asked_to_proceed() {
    let plant = plant(|_| {});
    let broken = event(2, "rather_good");
    let job = capture(&plant.backend, &[], &[event(1, "conformant"), broken.clone()]);
    assert_eq!(
        (&job["success"], &job["errors"][0]["instance"], &job["captureErrorBehaviour"]),
        (&json!(false), &json!("urn:uuid:2"), &json!("rollback"))
    );
    assert!(job["errors"][0]["detail"].as_str().unwrap().starts_with("disposition:"));
    assert_eq!(plant.backend.health().events, 0);
    let job = capture(&plant.backend, &[("gs1-capture-error-behaviour", "proceed")], &[event(1, "conformant"), broken]);
    assert_eq!((&job["success"], plant.backend.health().events), (&json!(false), 1));
}

#[test]
fn what_comes_again_is_recognised_and_a_taken_name_is_refused() {
    let plant = plant(|_| {});
    assert_eq!(capture(&plant.backend, &[], &[event(1, "conformant"), event(1, "conformant")])["success"], true);
    let job = capture(&plant.backend, &[], &[event(1, "conformant"), event(2, "conformant")]);
    assert_eq!((&job["success"], &job["jidoka:exists"], &job["jidoka:stored"]), (&json!(true), &json!(1), &json!(1)));
    assert_eq!(capture(&plant.backend, &[], &[event(1, "non_conformant")])["success"], false);
    let health = plant.backend.health();
    assert_eq!((health.events, health.duplicates_refused), (2, 2));
    let mut declared = event(1, "conformant");
    declared["errorDeclaration"] = json!({ "declarationTime": "2026-11-22T12:10:00Z", "reason": "incorrect_data" });
    assert_eq!(capture(&plant.backend, &[], &[declared])["success"], true, "the same name with an error declaration is meant");
    assert_eq!(listed(&get(&plant.backend, "/events/urn:uuid:1").1), ["urn:uuid:1", "urn:uuid:1"]);
    let mut nameless = event(9, "conformant");
    nameless.as_object_mut().unwrap().remove("eventID");
    for _ in 0..2 {
        assert_eq!(capture(&plant.backend, &[], &[nameless.clone()])["success"], true);
    }
    assert_eq!(plant.backend.health().events, 4);
}

#[test]
fn questions_filter_and_page() {
    let plant = plant(|_| {});
    let events: Vec<Value> = (0..25).map(|n| event(n, if n % 5 == 0 { "non_conformant" } else { "conformant" })).collect();
    capture(&plant.backend, &[], &events);
    let ids = |address: &str| listed(&get(&plant.backend, address).1);
    assert_eq!(ids("/events?EQ_disposition=non_conformant"), ["urn:uuid:0", "urn:uuid:5", "urn:uuid:10", "urn:uuid:15", "urn:uuid:20"]);
    assert_eq!(ids("/events?EQ_disposition=non_conformant%7Cconformant&EQ_bizStep=inspecting").len(), 25);
    assert_eq!(ids("/events?EQ_bizStep=shipping"), [""; 0]);
    assert_eq!(ids("/events?MATCH_anyEPC=urn:epc:id:sgtin:4012345.011111.7"), ["urn:uuid:7"]);
    assert_eq!(ids("/events?MATCH_anyEPC=urn:epc:id:sgtin:4012345.011111.*").len(), 25);
    let range = "/events?GE_eventTime=2026-11-22T12:00:03Z&LT_eventTime=2026-11-22T20:00:05%2B08:00";
    assert_eq!(ids(range), ["urn:uuid:3", "urn:uuid:4"]);
    let mut address = "/events?perPage=4&EQ_disposition=conformant".to_owned();
    let mut all = Vec::new();
    loop {
        let answer = ask(&plant.backend, "GET", &address, &[], &Value::Null);
        let page = listed(&serde_json::from_slice(&answer.body).unwrap());
        assert!(page.len() <= 4);
        all.extend(page);
        let Some(link) = header_of(&answer, "link") else { break };
        address = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!((all.len(), all[19].as_str()), (20, "urn:uuid:24"));
    assert_eq!(get(&plant.backend, "/events?EQ_bizstep=inspecting").0, 400);
    assert_eq!(get(&plant.backend, "/events/urn:uuid:99").0, 404);
    let (_, found) = get(&plant.backend, "/events/urn:uuid:3");
    assert_eq!(found["@context"][1]["jidoka"], "urn:jidoka:epcis:1:");
    assert_eq!(found["epcisBody"]["queryResults"]["resultsBody"]["eventList"][0]["recordTime"], "2026-11-22T12:00:00Z");
}

#[test]
fn limits_are_announced_and_kept() {
    let plant = plant(|settings| (settings.capture_events_max, settings.capture_bytes_max) = (2, 2000));
    let discovery = ask(&plant.backend, "OPTIONS", "/capture", &[], &Value::Null);
    assert_eq!((discovery.status, header_of(&discovery, "gs1-epcis-capture-limit")), (204, Some("2")));
    assert_eq!(header_of(&discovery, "gs1-epcis-capture-file-size-limit"), Some("2000"));
    let three = document(&[event(1, "conformant"), event(2, "conformant"), event(3, "conformant")]);
    let refused = ask(&plant.backend, "POST", "/capture", &[], &three);
    assert_eq!((refused.status, header_of(&refused, "gs1-epcis-capture-limit")), (413, Some("2")));
    let mut long = event(1, "conformant");
    long["jidoka:note"] = "x".repeat(2000).into();
    assert_eq!(ask(&plant.backend, "POST", "/capture", &[], &document(&[long])).status, 413);
}

#[test]
fn documents_that_are_not_sound_are_refused_with_the_place() {
    let plant = plant(|_| {});
    let good = document(&[event(1, "conformant")]);
    let changed = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document
    };
    for (document, place) in [
        (json!([]), "not a JSON object"),
        (changed("type", json!("EPCISQueryDocument")), "type"),
        (changed("schemaVersion", json!("1.2")), "schemaVersion"),
        (changed("creationDate", json!("2026-11-22T12:00:00")), "creationDate"),
        (changed("epcisHeader", json!({})), "epcisHeader"),
        (changed("epcisBody", json!({})), "epcisBody.eventList"),
        (changed("@context", Value::Null), "@context"),
        (changed("surprise", json!(1)), "surprise"),
    ] {
        let answer = ask(&plant.backend, "POST", "/capture", &[], &document);
        let words = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 400 && words.contains(place), "{place}: {} {words}", answer.status);
    }
    let not_json = Ask { method: "POST".into(), path: "/capture".into(), query: String::new(), headers: vec![], body: b"<xml/>".to_vec() };
    assert_eq!(plant.backend.answer(not_json).status, 415);
    assert_eq!(ask(&plant.backend, "POST", "/capture", &[("gs1-capture-error-behaviour", "perhaps")], &good).status, 400);
    capture(&plant.backend, &[], &[event(1, "conformant")]);
    let clash = changed("@context", json!({ "jidoka": "urn:another:" }));
    let answer = ask(&plant.backend, "POST", "/capture", &[], &clash);
    assert!(String::from_utf8(answer.body).unwrap().contains("prefix jidoka"));
}

#[test]
fn a_token_opens_everything_and_its_lack_nothing_but_health() {
    let plant = plant(|settings| settings.token = Some("open-sesame".to_owned()));
    let try_with = |headers: &[(&str, &str)], address: &str| ask(&plant.backend, "GET", address, headers, &Value::Null).status;
    assert_eq!(try_with(&[], "/events"), 401);
    assert_eq!(try_with(&[("authorization", "Bearer open-sesam")], "/events"), 401);
    assert_eq!(try_with(&[("authorization", "Bearer open-sesame")], "/events"), 200);
    assert_eq!(try_with(&[], "/health"), 200);
}

#[test]
fn misbehaviour_must_be_allowed() {
    let order = json!({ "do": "fail", "status": 503, "requests": 1 });
    let honest = plant(|_| {});
    assert_eq!(ask(&honest.backend, "POST", "/misbehave", &[], &order).status, 404);
    let testing = plant(|settings| settings.test_mode = true);
    assert_eq!(ask(&testing.backend, "POST", "/misbehave", &[], &json!({ "do": "sulk" })).status, 400);
    assert_eq!(ask(&testing.backend, "POST", "/misbehave", &[], &order).status, 204);
    let upload = || ask(&testing.backend, "POST", "/capture", &[], &document(&[event(1, "conformant")])).status;
    assert_eq!(get(&testing.backend, "/events").0, 200, "only uploads suffer");
    assert_eq!((upload(), upload()), (503, 202));
    for order in [
        json!({ "do": "hold", "millis": 1 }),
        json!({ "do": "exists" }),
        json!({ "do": "too_large" }),
        json!({ "do": "partial", "requests": 2 }),
    ] {
        assert_eq!(ask(&testing.backend, "POST", "/misbehave", &[], &order).status, 204, "{order}");
    }
    assert_eq!((upload(), upload(), upload(), upload()), (202, 409, 413, 202));
}

#[test]
fn grades_are_kept_once_and_a_batch_wholly() {
    let plant = plant(|_| {});
    let grade = |number: u32, verdict: &str| {
        json!({
            "id": format!("urn:uuid:{number}"), "line": "1", "station": "AOI", "result_id": number, "piece": number, "product": "A",
            "recipe": "a", "verdict": verdict, "judged": verdict != "hold", "grade": if verdict == "hold" { Value::Null } else { json!(1) },
            "rubric_version": 1, "defects": 0, "reasons": [], "graded_at": "2026-11-22T12:00:00Z", "record_digest": "00".repeat(32),
            "golden": false,
        })
    };
    let post = |key: &str, grades: &[Value]| {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("idempotency-key", key)] };
        let answer = ask(&plant.backend, "POST", "/grades", headers, &json!({ "grades": grades }));
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap())
    };
    assert_eq!(post("", &[grade(1, "pass")]).0, 400);
    assert_eq!(post("a", &[grade(1, "pass"), grade(2, "hold")]), (200, json!({ "stored": 2, "exists": 0 })));
    assert_eq!(post("a", &[grade(1, "pass"), grade(2, "hold")]), (200, json!({ "stored": 0, "exists": 2 })));
    assert_eq!(post("a", &[grade(3, "pass")]).0, 422, "one key, two batches");
    assert_eq!(post("b", &[grade(3, "pass"), grade(1, "reject")]).0, 422, "graded before, differently");
    assert_eq!(post("c", &[grade(2, "hold"), grade(3, "pass")]), (200, json!({ "stored": 1, "exists": 1 })));
    let graded_hold = {
        let mut wrong = grade(4, "hold");
        wrong["grade"] = json!(1);
        wrong
    };
    let (status, words) = post("d", &[grade(5, "pass"), graded_hold]);
    assert!(status == 400 && words.to_string().contains("grades[1]: grade: a piece that nobody judged has no grade"), "{words}");
    assert_eq!(plant.backend.health().grades, 3);
    let (_, listed) = get(&plant.backend, "/grades?perPage=2&nextPageToken=1");
    assert_eq!((listed["grades"].as_array().unwrap().len(), &listed["grades"][0]["id"]), (2, &json!("urn:uuid:2")));
    assert_eq!((get(&plant.backend, "/grades/urn:uuid:3").0, get(&plant.backend, "/grades/urn:uuid:5").0), (200, 404));
    assert_eq!(get(&plant.backend, "/grades?EQ_grade=1").0, 400);
}

#[test]
fn a_torn_line_at_the_end_costs_only_itself() {
    let Plant { backend, dir } = plant(|_| {});
    capture(&backend, &[], &[event(1, "conformant"), event(2, "conformant")]);
    capture(&backend, &[], &[event(3, "conformant")]);
    drop(backend);
    let path = dir.path().join("events.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let backend = open(dir.path(), |_| {});
    let health = backend.health();
    assert_eq!((health.events, health.lost_lines), (2, 2), "the event and its commit line");
    assert_eq!(capture(&backend, &[], &[event(1, "conformant"), event(3, "conformant")])["jidoka:stored"], 1);
    drop(backend);
    let health = open(dir.path(), |_| {}).health();
    assert_eq!((health.events, health.lost_lines), (3, 0));
}

#[test]
fn methods_and_places_that_do_not_exist_say_so() {
    let plant = plant(|_| {});
    assert_eq!(ask(&plant.backend, "DELETE", "/events", &[], &Value::Null).status, 405);
    assert_eq!(ask(&plant.backend, "GET", "/", &[], &Value::Null).status, 404);
    assert_eq!(get(&plant.backend, "/capture/none").0, 404);
    assert_eq!(get(&plant.backend, "/openapi.json").1["info"]["title"], "Grading backend");
    assert_eq!(get(&plant.backend, "/health").1, json!({ "events": 0, "grades": 0, "duplicates_refused": 0, "lost_lines": 0 }));
}

#[test]
fn jobs_are_listed_in_pages_and_survive_a_restart() {
    let plant = plant(|_| {});
    for number in 1..=5 {
        capture(&plant.backend, &[], &[event(number, if number == 3 { "rather_good" } else { "conformant" })]);
    }
    let ids = |jobs: &Value| jobs.as_array().unwrap().iter().map(|job| job["captureID"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let all = ids(&get(&plant.backend, "/capture").1);
    assert_eq!(all.len(), 5);
    let first = ask(&plant.backend, "GET", "/capture?perPage=2", &[], &Value::Null);
    let next = header_of(&first, "link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(ids(&get(&plant.backend, &next).1), all[2..4]);
    assert_eq!(get(&plant.backend, "/capture?all=1").0, 400);
    let Plant { backend, dir } = plant;
    drop(backend);
    let again = open(dir.path(), |_| {});
    assert_eq!(ids(&get(&again, "/capture").1), all);
    let (status, failed) = get(&again, &format!("/capture/{}", all[2]));
    assert_eq!((status, &failed["success"], &failed["errors"][0]["instance"]), (200, &json!(false), &json!("urn:uuid:3")));
    capture(&again, &[], &[event(6, "conformant")]);
    let six = ids(&get(&again, "/capture").1);
    assert_eq!((six.len(), six.iter().collect::<std::collections::BTreeSet<_>>().len()), (6, 6), "no number is given twice");
}

#[test]
fn holds_recalls_lots_and_declared_errors_are_found() {
    let plant = plant(|_| {});
    let mut hold = event(1, "non_sellable_other");
    hold["bizStep"] = "holding".into();
    hold["persistentDisposition"] = json!({ "set": ["non_sellable_other"] });
    let mut release = event(2, "conformant");
    release["persistentDisposition"] = json!({ "unset": ["non_sellable_other"] });
    let mut recall = event(3, "recalled");
    recall["persistentDisposition"] = json!({ "set": ["recalled"] });
    recall["quantityList"] = json!([{ "epcClass": "urn:epc:class:lgtin:4012345.011111.7" }]);
    let wrong = event(4, "conformant");
    let mut declared = wrong.clone();
    declared["errorDeclaration"] = json!({ "declarationTime": "2026-11-22T12:10:00Z", "reason": "incorrect_data" });
    capture(&plant.backend, &[], &[hold, release, recall, wrong, declared]);
    let found = |question: &str| listed(&get(&plant.backend, &format!("/events?{question}")).1);
    let named = |numbers: &[u32]| numbers.iter().map(|number| format!("urn:uuid:{number}")).collect::<Vec<_>>();
    assert_eq!(found("EQ_persistentDisposition_set=non_sellable_other"), named(&[1]));
    assert_eq!(found("EQ_persistentDisposition_set=non_sellable_other|recalled"), named(&[1, 3]));
    assert_eq!(found("EQ_persistentDisposition_unset=non_sellable_other"), named(&[2]));
    assert_eq!(found("MATCH_anyEPCClass=urn:epc:class:lgtin:4012345.011111.*"), named(&[3]));
    assert_eq!(found("EXISTS_errorDeclaration"), named(&[4]));
    assert_eq!(found("EQ_action=OBSERVE&EQ_bizStep=holding"), named(&[1]));
    assert_eq!(found("EQ_action=ADD"), named(&[]));
    let plain = "2026-11-22T12:00:00Z";
    assert_eq!((found(&format!("GE_recordTime={plain}")).len(), found(&format!("LT_recordTime={plain}")).len()), (5, 0));
    assert_eq!(get(&plant.backend, "/events?EQ_persistentDisposition=recalled").0, 400, "there is no such parameter in EPCIS 2.0");
}

/// Every parameter and address that is served is described, and nothing else is.
#[test]
fn the_openapi_document_describes_what_is_served() {
    let plant = plant(|_| {});
    let (status, described) = get(&plant.backend, "/openapi-epcis.json");
    assert_eq!((status, &described["openapi"]), (200, &json!("3.1.0")));
    let paths: Vec<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, ["/capture", "/capture/{captureID}", "/events", "/events/{eventID}", "/health"]);
    let values =
        [("GE_", "2026-11-22T12:00:00Z"), ("LT_", "2026-11-22T12:00:00Z"), ("perPage", "3"), ("nextPageToken", "0"), ("EXISTS_", "")];
    for parameter in described["paths"]["/events"]["get"]["parameters"].as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        let value = values.iter().find(|(start, _)| name.starts_with(start)).map_or("x", |(_, value)| value);
        assert_eq!(get(&plant.backend, &format!("/events?{name}={value}")).0, 200, "{name}");
    }
    let source = include_str!("query.rs");
    let known = source.matches("\" => asked.").count() + 2;
    assert_eq!(described["paths"]["/events"]["get"]["parameters"].as_array().unwrap().len(), known, "a parameter is not described");
}
