//! Pieces found again through the real binary, as a quality engineer would ask for them, and everything about them written out.

use line_tests::binary::{demo_report, jidoka};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(jidoka()).args(args).output().expect("the binary starts")
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_asked_is_found_and_a_recall_holds_everything_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().expect("a temporary path is text").to_owned();
    let (data, to) = (path("data"), path("recall"));
    let report = demo_report(&["--pieces", "80", "--seed", "3", "--data", &data]);
    let rejected = report["fail"].as_u64().unwrap();
    assert!(rejected > 2, "hardly any piece was rejected: {report}");

    let output = run(&["query", "--data", &data, "--verdict", "reject", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!((&answer["found"], &answer["searched"]), (&rejected.into(), &80.into()));
    let records = answer["records"].as_array().unwrap();
    assert!(records.iter().all(|record| record["body"]["piece"]["judgement"]["verdict"] == "reject"), "{answer}");
    let kept = |record: &Value| record["pictures"].as_array().is_some_and(|all| all.iter().any(|one| one["state"] == "kept"));
    assert!(records.iter().any(kept), "a rejected piece has its picture: {answer}");
    let output = run(&["query", "--data", &data, "--verdict", "reject", "--reading", "oven_zone_1=..-300"]);
    assert!(said(&output).starts_with("0 of 80 piece records"), "{}", said(&output));

    let output = run(&["recall", "--data", &data, "--name", "reflow 12", "--verdict", "reject", "--to", &to]);
    assert!(output.status.success(), "{}", said(&output));
    let recall = json(&dir.path().join("recall/recall.json"));
    assert_eq!((&recall["affected"], &recall["criteria"]), (&rejected.into(), &"verdict reject".into()));
    let lines = std::fs::read_to_string(dir.path().join("recall/affected.csv")).unwrap();
    assert_eq!(u64::try_from(lines.lines().count()).unwrap(), rejected + 1);
    let events = json(&dir.path().join("recall/events-0001.json"));
    let events = events["epcisBody"]["eventList"].as_array().unwrap();
    assert_eq!(u64::try_from(events.len()).unwrap(), rejected);
    assert!(events.iter().all(|event| event["disposition"] == "non_conformant"), "{events:?}");
    let pictures = std::fs::read_dir(dir.path().join("recall/images")).unwrap().count();
    assert_eq!(recall["pictures"].as_u64(), u64::try_from(pictures).ok());
    assert_eq!(recall["request"]["serials"].as_array().unwrap().len(), records.len());
}

#[test]
fn a_question_that_cannot_be_meant_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let report = demo_report(&["--pieces", "5", "--data", &data]);
    assert_eq!(report["pieces"], 5);
    let cases: [(&[&str], &str, i32); 6] = [
        (&["query", "--data", &data, "--model", "pbc"], "no record has the model `pbc`; there are: pcb@", 64),
        (&["query", "--data", &data, "--reading", "oven=1..2"], "there are: oven_zone_1, oven_zone_2", 64),
        (&["query", "--data", &data, "--reading", "oven_zone_1"], "write it like oven_zone_1=240..250", 64),
        (&["query", "--data", &data, "--since", "yesterday"], "write it like 2026-11-23", 64),
        (&["query", "--data", "nowhere"], "give the data folder of a station", 1),
        (&["recall", "--data", &data, "--name", "all", "--to", "nowhere"], "Say what the pieces have in common", 64),
    ];
    for (args, words, code) in cases {
        let output = run(args);
        assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}
