//! `jidoka backend` as strangers meet it: the same sequence driven by curl, and by a Python program that was written from the
//! OpenAPI document alone. Both must be answered the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use appliance::backend::{Backend, BackendSettings};
use serde_json::{Value, json};
use station::units::Timestamp;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use web_ui::endpoint::Endpoint;

const TOKEN: &str = "a-token-for-tests";
/// Most events in one document; small, so that the sequence can exceed it.
const LIMIT: usize = 20;

/// The server behind a real socket; everything ends with it.
struct Served {
    address: String,
    runtime: Option<tokio::runtime::Runtime>,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = || Timestamp { wall_micros: 1_795_348_800_000_000, mono_micros: 0 };
        let settings =
            BackendSettings { token: Some(TOKEN.to_owned()), capture_events_max: LIMIT, ..BackendSettings::new(Arc::new(clock)) };
        let endpoint: Arc<dyn Endpoint> = Arc::new(Backend::open(dir.path(), settings).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(web_ui::endpoint::serve(listener, endpoint, 8 << 20, std::future::pending()));
        Self { address, runtime: Some(runtime), _dir: dir }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn events() -> Vec<Value> {
    let event = |number: u32, step: &str, disposition: &str| {
        json!({
            "type": "ObjectEvent", "eventID": format!("urn:uuid:{number}"), "action": "OBSERVE", "bizStep": step,
            "disposition": disposition, "epcList": [format!("urn:epc:id:sgtin:4012345.011111.{number}")],
            "eventTime": format!("2026-11-22T20:00:{number:02}+08:00"), "eventTimeZoneOffset": "+08:00",
        })
    };
    let mut hold = event(3, "holding", "non_sellable_other");
    hold["persistentDisposition"] = json!({ "set": ["non_sellable_other"] });
    hold["quantityList"] = json!([{ "epcClass": "urn:epc:class:lgtin:4012345.011111.7" }]);
    vec![
        event(1, "inspecting", "conformant"),
        event(2, "inspecting", "non_conformant"),
        hold,
        event(4, "other", "recalled"),
        event(5, "inspecting", "conformant"),
        event(6, "holding", "unavailable"),
    ]
}

fn document(events: &[Value]) -> Value {
    json!({
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", { "jidoka": "urn:jidoka:epcis:1:" }],
        "type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": "2026-11-22T12:00:00Z", "epcisBody": { "eventList": events },
    })
}

/// One exchange by curl.
struct Curl<'a> {
    address: &'a str,
    lines: Vec<String>,
}

struct Reply {
    status: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The address in the Link header.
    fn next(&self) -> Option<String> {
        self.header("link").map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned())
    }
}

impl Curl<'_> {
    fn send(&self, args: &[&str], path: &str) -> Reply {
        let url = format!("{}{path}", self.address);
        let bearer = format!("Authorization: Bearer {TOKEN}");
        let done = Command::new("curl").args(["-sS", "-i", "--max-time", "20", "-H", &bearer]).args(args).arg(url).output();
        let done = done.expect("curl is there; scripts/setup.sh installs it");
        assert!(done.status.success(), "{args:?} {path}: {}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Reply { status, headers, body: serde_json::from_str(body).unwrap_or_default() }
    }

    fn post(&self, kind: &str, headers: &[&str], body: &str) -> Reply {
        let kind = format!("Content-Type: {kind}");
        let mut args = vec!["-H", &kind, "--data-binary", body];
        headers.iter().for_each(|header| args.extend(["-H", header]));
        self.send(&args, "/capture")
    }

    fn capture(&mut self, name: &str, events: &[Value], headers: &[&str]) {
        let taken = self.post("application/json", headers, &document(events).to_string());
        let job = taken.header("location").unwrap().to_owned();
        let mut told = self.send(&[], &job).body;
        while told["running"] == true {
            told = self.send(&[], &job).body;
        }
        let success = if told["success"] == true { "True" } else { "False" };
        let (stored, exists, errors) = (&told["jidoka:stored"], &told["jidoka:exists"], told["errors"].as_array().unwrap().len());
        self.lines.push(format!("{name} {} {success} {stored} {exists} {errors}", taken.status));
    }

    fn ask(&mut self, name: &str, query: &str) {
        let (mut path, mut names, mut status) = (Some(format!("/events?{query}")), Vec::new(), String::new());
        while let Some(asked) = path {
            let reply = self.send(&[], &asked);
            let list = reply.body["epcisBody"]["queryResults"]["resultsBody"]["eventList"].as_array().unwrap();
            names.extend(list.iter().map(|event| event["eventID"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()));
            path = reply.next();
            status = reply.status;
        }
        self.lines.push(format!("{name} {status} {}", names.join(",")));
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// The sequence that `clients/epcis_client.py` plays.
fn by_curl(address: &str) -> Vec<String> {
    let events = events();
    let mut curl = Curl { address, lines: Vec::new() };
    let limits = curl.send(&["-X", "OPTIONS"], "/capture");
    let behaviour = limits.header("gs1-capture-error-behaviour").unwrap();
    curl.say(format!("limits {} {} {behaviour}", limits.status, limits.header("gs1-epcis-capture-limit").unwrap()));
    let stranger = Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]).arg(format!("{address}/events")).output();
    curl.say(format!("no token {}", String::from_utf8(stranger.unwrap().stdout).unwrap()));
    curl.capture("first", &events[..3], &[]);
    curl.capture("again", &events[..4], &[]);
    let with = |event: &Value, key: &str, value: Value| {
        let mut event = event.clone();
        event[key] = value;
        event
    };
    let broken = with(&events[4], "disposition", json!("rather_good"));
    curl.capture("rollback", &[events[5].clone(), broken.clone()], &[]);
    curl.capture("proceed", &[events[5].clone(), broken], &["GS1-Capture-Error-Behaviour: proceed"]);
    curl.capture("name taken", &[with(&events[0], "disposition", json!("recalled"))], &[]);
    let error = json!({ "declarationTime": "2026-11-22T13:00:00Z", "reason": "incorrect_data" });
    curl.capture("declared", &[with(&events[0], "errorDeclaration", error)], &[]);
    let many = document(&vec![events[0].clone(); LIMIT + 1]).to_string();
    curl.say(format!("too many {}", curl.post("application/json", &[], &many).status));
    curl.say(format!("no json {}", curl.post("application/xml", &[], "<epcis/>").status));
    curl.say(format!("no document {}", curl.post("application/json", &[], r#"{"type": "EPCISDocument"}"#).status));
    curl.ask("all", "perPage=2");
    curl.ask("step", "EQ_bizStep=holding&perPage=1");
    curl.ask("disposition", "EQ_disposition=non_conformant%7Crecalled");
    curl.ask("held", "EQ_persistentDisposition_set=non_sellable_other");
    curl.ask("piece", "MATCH_anyEPC=urn:epc:id:sgtin:4012345.011111.2");
    curl.ask("pieces", "MATCH_anyEPC=urn:epc:id:sgtin:4012345.011111.*");
    curl.ask("lot", "MATCH_anyEPCClass=urn:epc:class:lgtin:4012345.011111.7");
    curl.ask("time", "GE_eventTime=2026-11-22T20:00:02%2B08:00&LT_eventTime=2026-11-22T20:00:04%2B08:00");
    curl.ask("errors", "EXISTS_errorDeclaration=");
    let one = curl.send(&[], "/events/urn%3Auuid%3A2");
    let found = one.body["epcisBody"]["queryResults"]["resultsBody"]["eventList"].as_array().unwrap().len();
    curl.say(format!("one {} {found}", one.status));
    let (event, job) = (curl.send(&[], "/events/urn%3Auuid%3A99"), curl.send(&[], "/capture/none"));
    curl.say(format!("nobody {} {}", event.status, job.status));
    curl.say(format!("unknown question {}", curl.send(&[], "/events?EQ_colour=red").status));
    let (mut path, mut jobs) = (Some("/capture?perPage=4".to_owned()), Vec::new());
    while let Some(asked) = path {
        let reply = curl.send(&[], &asked);
        path = reply.next();
        jobs.extend(reply.body.as_array().unwrap().clone());
    }
    curl.say(format!("jobs {} {}", jobs.len(), jobs.iter().filter(|job| job["success"] == true).count()));
    let health = curl.send(&[], "/health").body;
    curl.say(format!("health {} {}", health["events"], health["duplicates_refused"]));
    curl.lines
}

fn by_python(address: &str) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_vec(&events()).unwrap()).unwrap();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/epcis_client.py");
    let done = Command::new("python3").arg("-I").arg(client).args([address, TOKEN]).arg(file.path()).output();
    let done = done.expect("python3 is there; scripts/setup.sh installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn curl_and_a_client_written_from_the_openapi_document_are_answered_the_same() {
    let (one, two) = (Served::start(), Served::start());
    let curl = by_curl(&one.address);
    let expected = [
        "limits 204 20 rollback",
        "no token 401",
        "first 202 True 3 0 0",
        "again 202 True 1 3 0",
        "rollback 202 False 0 0 1",
        "proceed 202 False 1 0 1",
        "name taken 202 False 0 0 1",
        "declared 202 True 1 0 0",
        "too many 413",
        "no json 415",
        "no document 400",
        "all 200 1,2,3,4,6,1",
        "step 200 3,6",
        "disposition 200 2,4",
        "held 200 3",
        "piece 200 2",
        "pieces 200 1,2,3,4,6,1",
        "lot 200 3",
        "time 200 2,3",
        "errors 200 1",
        "one 200 1",
        "nobody 404 404",
        "unknown question 400",
        "jobs 6 3",
        "health 6 3",
    ];
    assert_eq!(curl, expected);
    assert_eq!(by_python(&two.address), expected);
}
