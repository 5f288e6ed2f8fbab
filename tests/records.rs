//! Questions to all records over the web API of the real binary, while the line runs: pages, downloads, twenty questions that cannot be
//! meant, and what people overrule in between.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use line_tests::binary::Running;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// A demonstrated line with its page, and somebody who is signed in.
struct Site {
    line: Running,
    page: String,
    agent: ureq::Agent,
    cookie: String,
    password: String,
}

impl Site {
    /// Runs on the records in `data`, signed in as the quality officer.
    fn open(data: &str) -> Self {
        let args =
            ["demo", "--listen", "127.0.0.1:0", "--seed", "7", "--pace", "600", "--bad-share", "0.2", "--auto-release", "--data", data];
        let line = Running::start(&args);
        let page = line.wait_line("page: ", DEADLINE).trim_end_matches('/').to_owned();
        let person = line.wait_line("or, to overrule, hold and recall: ", DEADLINE);
        let (name, password) = person.split_once(" / ").unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut site = Self { line, page, agent, cookie: String::new(), password: password.to_owned() };
        let request = site.agent.post(format!("{}/api/v1/session", site.page)).header("origin", &site.page);
        let entered = request.send_json(json!({"name": name, "password": password})).unwrap();
        assert_eq!(entered.status(), 201);
        site.cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        site
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        let mut answer = self.agent.get(format!("{}/api/v1/{path}", self.page)).header("cookie", &self.cookie).call().unwrap();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), kind, answer.body_mut().with_config().limit(100 << 20).read_to_string().unwrap())
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, text) = self.get(path);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.page)).header("origin", &self.page).header("cookie", &self.cookie);
        let mut answer = request.send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// What a person does at the command line: exit code, and everything it said.
    fn as_person(&self, args: &[&str]) -> (Option<i32>, String) {
        let args = [args, &["--station", &self.page, "--user", "officer"]].concat();
        let mut command = Command::new(line_tests::binary::jidoka());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", self.password).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat())
    }

    /// The number of the last piece record.
    fn last_record(&self) -> u64 {
        self.all("records=1..", 1).first().map_or(0, |record| record["result_id"].as_u64().unwrap())
    }

    /// Every record that a question finds, page by page.
    fn all(&self, question: &str, limit: u32) -> Vec<Value> {
        let (mut out, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.json(&format!("records?{question}&limit={limit}{cursor}"));
            out.append(page["records"].as_array_mut().unwrap());
            match page["next"].as_str() {
                None => return out,
                Some(next) => cursor = format!("&cursor={next}"),
            }
        }
    }

    fn until<T>(&self, what: &str, mut is_so: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(so) = is_so() {
                return so;
            }
            assert!(self.line.is_running() && Instant::now() < until, "{what}: it never came to that\n{}", self.line.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs `jidoka` to its end: exit code, and everything it said.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut running = Running::start(args);
    let status = running.wait(DEADLINE);
    (status.code(), format!("{}\n{}", running.stdout().join("\n"), running.stderr()))
}

fn ids(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["result_id"].as_u64().unwrap()).collect()
}

#[test]
fn records_are_asked_while_the_line_runs_and_answers_follow_what_people_overrule() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let mut site = Site::open(&data);
    let rejected = site.until("some pieces are rejected", || {
        let found = site.all("verdict=reject", 200);
        (found.len() >= 6).then_some(found)
    });
    let last = rejected[0]["result_id"].as_u64().unwrap();

    // Pages are the whole, newest first, although the line goes on meanwhile.
    let question = format!("verdict=reject&records=..{last}");
    let whole = ids(&site.all(&question, 200));
    assert!(whole.windows(2).all(|pair| pair[0] > pair[1]), "{whole:?}");
    assert_eq!(ids(&site.all(&question, 2)), whole);
    let count = site.json(&format!("records/count?{question}"));
    assert_eq!(count["counts"]["found"].as_u64().unwrap(), u64::try_from(whole.len()).unwrap(), "{count}");

    // One of them passes after all.
    let freed = whole[2];
    let reason = json!({"verdict": "pass", "grade": 1, "reason": "dust, seen under the lens"});
    let (status, text) = site.post(&format!("pieces/{freed}/overrule"), &reason);
    assert_eq!(status, 202, "{text}");
    site.until("the answer follows the overrule", || (!ids(&site.all(&question, 50)).contains(&freed)).then_some(()));
    let record = &site.all(&format!("verdict=pass&records={freed}..{freed}"), 1)[0];
    assert_eq!((&record["verdict"], &record["first_verdict"], &record["overruled_by"]), (&json!("pass"), &json!("reject"), &json!(1)));
    assert_eq!(ids(&site.all(&format!("{question}&as_judged=true"), 50)), whole);

    // The same as a list and as EPCIS events, of which the overruled piece has three.
    let (status, kind, csv) = site.get(&format!("records.csv?{question}&as_judged=true"));
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"), "{csv}");
    assert_eq!(csv.lines().count(), whole.len() + 1);
    let of_freed = csv.lines().find(|line| line.starts_with(&format!("{freed},"))).unwrap();
    assert!(of_freed.contains(",pass,") && of_freed.contains(",reject,") && of_freed.contains(",decision 1,"), "{of_freed}");
    let (status, kind, events) = site.get(&format!("records.epcis.json?{question}&as_judged=true"));
    assert_eq!((status, kind.as_str()), (200, "application/ld+json"));
    let events: Value = serde_json::from_str(&events).unwrap();
    let events = events["epcisBody"]["eventList"].as_array().unwrap();
    assert_eq!(events.len(), whole.len() + 2, "the wrong event declared so, and the right one");
    assert_eq!(events.iter().filter(|event| event["errorDeclaration"].is_object()).count(), 1);

    let before = site.json("snapshot")["counters"]["inspected"].as_u64().unwrap();
    site.until("the line goes on", || (site.json("snapshot")["counters"]["inspected"].as_u64()? > before).then_some(()));
    assert!(site.line.terminate(DEADLINE).success());

    // The command line says the same, before and after the index was built anew.
    for round in ["as it was left", "built anew"] {
        let limits = ["--records", &format!("..{last}"), "--limit", "500", "--json"];
        let asked = |more: &[&str]| {
            let args = [&["query", "--data", &data, "--verdict", "reject"], &limits[..], more].concat();
            let output = Command::new(line_tests::binary::jidoka()).args(args).output().unwrap();
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            let found = answer["records"].as_array().unwrap().iter().map(|entry| entry["body"]["piece"]["result_id"].as_u64().unwrap());
            found.collect::<BTreeSet<u64>>()
        };
        let first: BTreeSet<u64> = whole.iter().copied().collect();
        assert_eq!(asked(&["--as-judged"]), first, "{round}");
        assert_eq!(asked(&[]), first.into_iter().filter(|id| *id != freed).collect(), "{round}");
        let mut rebuild = Running::start(&["store", "rebuild", "--data", &data]);
        assert!(rebuild.wait(DEADLINE).success(), "{}", rebuild.stderr());
    }
}

#[test]
fn a_question_that_cannot_be_meant_names_its_parameter_and_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::open(folder.path().join("data").to_str().unwrap());
    site.until("there is a defect", || (!site.all("verdict=reject", 1).is_empty()).then_some(()));
    let cursor = site.until("there is a second page", || Some(site.json("records?limit=1")["next"].as_str()?.to_owned()));
    let of_another = format!("verdict=pass&cursor={cursor}");
    let long = format!("serial={}", "A".repeat(300));
    let wrong: [(&str, &str, &str, &str); 21] = [
        ("lot=seven", "lot", "`seven` is no lot", "write a number like 4711"),
        ("lot=", "lot", "it has no value", "give it one, or leave it out"),
        ("lot=-1", "lot", "`-1` is no lot", "write a number like 4711"),
        ("since=yesterday", "since", "`yesterday` is no time", "write it like 2026-11-23"),
        ("since=2026-11-24&until=2026-11-23", "until", "it is not after `since`", "let the time begin before it ends"),
        ("until=2026-13-01", "until", "`2026-13-01` is no time", "write it like"),
        ("model=pbc", "model", "no record has the model `pbc`; there are: pcb@", "use one of those"),
        ("defect=scratch", "defect", "no record has the defect class `scratch`", "use one of those"),
        ("grade=Z", "grade", "no record has the grade `Z`; there are: ", "use one of those"),
        ("rubric=new", "rubric", "`new` is no version of a rubric", "write a number like 3"),
        ("verdict=good", "verdict", "`good` is no verdict", "use pass, reject or hold"),
        ("verdict=pass&verdict=hold", "verdict", "it is given twice", "give it once"),
        ("as_judged=yes", "as_judged", "`yes` is neither true nor false", "write true or false"),
        ("records=17", "records", "`17` is no range of records", "write it like 1000..2000"),
        ("records=9..3", "records", "ends before it begins", "write the smaller number first"),
        ("reading=oven_zone_1", "reading", "`oven_zone_1` is no range of a reading", "write it like oven_zone_1=240..250"),
        ("reading=oven=1..2", "reading", "no record has the reading `oven`; there are: ", "use one of those"),
        ("colour=red", "colour", "there is no such parameter", "use one of serial, "),
        ("limit=1000", "limit", "`1000` is no number of records", "use 1 to 200"),
        (&of_another, "cursor", "it belongs to another question", "begin anew without a cursor"),
        (&long, "serial", "it is longer than 200 characters", "write less"),
    ];
    for (question, parameter, error, mend) in wrong {
        let (status, _, text) = site.get(&format!("records?{question}"));
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &problem["code"], &problem["parameter"]), (422, &json!("parameter"), &json!(parameter)), "{question}: {text}");
        assert!(problem["error"].as_str().unwrap().contains(error), "{question}: {text}");
        assert!(problem["mend"].as_str().unwrap().starts_with(mend), "{question}: {text}");
    }
    for path in ["records.csv", "records.epcis.json", "records/count"] {
        let (status, _, text) = site.get(path);
        assert!(status == 422 && text.contains("nothing is asked"), "{path}: {text}");
        assert_eq!(site.get(&format!("{path}?lot=x")).0, 422, "{path}");
        let answer = site.agent.get(format!("{}/api/v1/{path}?lot=1", site.page)).call().unwrap();
        assert_eq!(answer.status(), 401, "{path}: nobody is signed in");
    }
}

#[test]
fn a_supplier_lot_is_taken_in_while_the_line_runs_and_everything_made_of_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, to) = (path("data"), path("recall"));
    let mut site = Site::open(&data);
    let grows = |by: u64| {
        let before = site.last_record();
        site.until("pieces go on", || (site.last_record() >= before + by).then_some(()));
    };
    grows(2);
    let lot = |lot: &str| json!({"material": "laminate", "supplier": "Acme & Co", "lot": lot});
    let wrong = site.post("supplier-lots", &lot(" L1"));
    assert!(wrong.0 == 422 && wrong.1.contains("the lot is not a name"), "{wrong:?}");
    let wrong = site.post("supplier-lots/used-up", &json!({"material": "glue"}));
    assert!(wrong.0 == 409 && wrong.1.contains("no lot of `glue` is in use"), "{wrong:?}");
    assert_eq!(site.post("supplier-lots", &lot("L 1")).0, 202);
    site.until("the lot is in use", || (site.json("snapshot")["made_of"][0]["lot"] == "L 1").then_some(()));
    assert_eq!(site.post("supplier-lots", &lot("L 1")).0, 200, "it is so already");
    grows(6);
    let of_first = "supplier_lot=L%201&supplier=Acme%20%26%20Co";
    let found = site.until("pieces are made of it", || Some(site.all(of_first, 50)).filter(|found| found.len() >= 3));
    let lots = json!([lot("L 1")]);
    assert!(found.iter().all(|record| record["made_of"] == lots), "{found:?}");

    // The next lot is opened at the command line.
    let in_use = ["intake", "in-use", "--material", "laminate", "--supplier", "Acme & Co", "--lot", "L2"];
    let (code, said) = site.as_person(&in_use);
    assert!(code == Some(0) && said.contains("laminate L2 of Acme & Co is in use from the next piece on"), "{said}");
    site.until("the next lot is in use", || (site.json("snapshot")["made_of"][0]["lot"] == "L2").then_some(()));
    assert!(site.as_person(&in_use).1.contains("is in use already"));
    grows(6);
    let first: Vec<u64> = ids(&site.all(of_first, 50)).into_iter().rev().collect();
    let second = ids(&site.all("supplier_lot=L2", 50));
    assert!(first.windows(2).all(|pair| pair[1] == pair[0] + 1) && second.last().is_some_and(|id| id > first.last().unwrap()));

    // Up from a piece, and down again.
    let card = site.json(&format!("pieces/{}", first[0]));
    assert_eq!(card["genealogy"]["up"]["supplier_lots"], lots, "{card}");
    let question = card["genealogy"]["down"]["questions"][0].as_str().unwrap();
    assert_eq!(ids(&site.all(question, 50)), first.iter().rev().copied().collect::<Vec<_>>());
    let count = site.json(&format!("records/count?{question}"));
    assert_eq!(count["results"], json!([{"first": first[0], "last": first.last().unwrap()}]));
    let (code, said) = site.as_person(&["intake", "list"]);
    let of_lot = format!("laminate L 1 of Acme & Co: {} records ({}..{})", first.len(), first[0], first.last().unwrap());
    assert!(code == Some(0) && said.contains(&of_lot), "{said}");
    let (code, said) = site.as_person(&["quarantine", "list"]);
    assert!(code == Some(0) && said.contains("nothing is in quarantine"), "{said}");
    let (code, said) = site.as_person(&["quarantine", "release", "nowhere"]);
    assert!(code == Some(1) && said.contains("there is no such backend"), "{said}");
    let (code, said) = run(&["quarantine", "list", "--data", &data]);
    assert!(code == Some(1) && said.contains("ask it itself, with --user NAME"), "{said}");

    // As EPCIS: from the lot to each piece.
    let (_, _, events) = site.get(&format!("records.epcis.json?{question}"));
    let events: Value = serde_json::from_str(&events).unwrap();
    let of = |kind: &str| events["epcisBody"]["eventList"].as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    assert_eq!((of("TransformationEvent"), of("ObjectEvent")), (first.len(), first.len()));

    let (status, _, text) = site.get("records?supplier_lot=L3");
    assert!(status == 422 && text.contains("no record has the supplier lot `L3`; there are: L 1, L2"), "{text}");
    assert!(site.line.terminate(DEADLINE).success());
    let (code, said) = run(&["recall", "--data", &data, "--name", "bad laminate", "--supplier-lot", "L 1", "--to", &to]);
    assert!(code == Some(0) && said.contains(&format!("{} of ", first.len())), "{said}");
    let recall: Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("recall/recall.json")).unwrap()).unwrap();
    assert_eq!(recall["criteria"], "supplier lot L 1");
    let list = std::fs::read_to_string(folder.path().join("recall/affected.csv")).unwrap();
    assert!(list.lines().skip(1).all(|line| line.contains("laminate Acme & Co L 1")), "{list}");
    let (code, said) = run(&["quarantine", "release", "traceability", "--data", &data]);
    assert!(code == Some(0) && said.contains("0 of traceability get another try"), "{said}");
    let (code, said) = run(&["quarantine", "release", "nowhere", "--data", &data]);
    assert!(code == Some(64) && said.contains("knows no backend `nowhere`; there are: "), "{said}");
}
