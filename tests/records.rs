//! Questions to all records over the web API of the real binary, while the line runs: pages, downloads, twenty questions that cannot be
//! meant, and what people overrule in between.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use line_tests::binary::Running;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// A demonstrated line with its page, and somebody who is signed in.
struct Site {
    line: Running,
    page: String,
    agent: ureq::Agent,
    cookie: String,
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
        let mut site = Self { line, page, agent, cookie: String::new() };
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
