//! The demonstrated line, run to its end through the real binary, and its report compared with what is promised.

use line_tests::binary::{demo_report, jidoka, shared};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer} in {report}"))
}

/// What holds for every run: one record per piece, all of it verified and delivered.
fn check_whole(report: &Value, pieces: u64) {
    assert_eq!(number(report, "/pieces"), pieces);
    assert_eq!(number(report, "/pass") + number(report, "/fail") + number(report, "/hold"), pieces);
    assert_eq!(number(report, "/ledger/records"), pieces);
    assert_eq!(number(report, "/ledger/doubled"), 0, "a piece has two records");
    assert_eq!(report["ledger"]["verified"], true);
    for backend in ["traceability", "grading"] {
        let counts = &report["outbox"][backend];
        assert_eq!(number(counts, "/kept"), pieces, "{backend}: {counts}");
        assert_eq!(number(counts, "/delivered"), pieces, "{backend}: {counts}");
        assert_eq!(number(counts, "/waiting") + number(counts, "/quarantined"), 0, "{backend}: {counts}");
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(jidoka()).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

#[test]
fn generated_boards_are_judged_within_the_promise_and_twice_the_same() {
    let first = demo_report(&["--pieces", "500", "--seed", "7"]);
    check_whole(&first, 500);
    let (bad, good) = (number(&first, "/truth/pieces_bad"), 500 - number(&first, "/truth/pieces_bad"));
    assert!(bad >= 20, "hardly any bad board: {first}");
    assert!(number(&first, "/truth/escapes") * 100 <= bad, "escapes: {}", first["truth"]);
    assert!(number(&first, "/truth/overkill") * 50 <= good, "overkill: {}", first["truth"]);
    for stage in ["capture", "prepare", "infer", "decode", "judge", "plc_write", "keep"] {
        let spread = &first["latency_micros"]["stages"][stage];
        assert!(number(spread, "/p50") <= number(spread, "/p99") && number(spread, "/p99") <= number(spread, "/max"), "{stage}: {spread}");
    }
    assert!(number(&first, "/latency_micros/end_to_end/p50") > number(&first, "/latency_micros/stages/infer/p50"));
    assert!(number(&first, "/rss_mib_max") > 0);
    let second = demo_report(&["--pieces", "500", "--seed", "7"]);
    assert_eq!(first["verdicts_sha256"], second["verdicts_sha256"], "{first}\n{second}");
    assert_eq!(first["stops"], second["stops"]);
    let other = demo_report(&["--pieces", "60", "--seed", "8"]);
    assert_ne!(first["verdicts_sha256"], other["verdicts_sha256"]);
}

#[test]
fn real_boards_do_not_escape() {
    let Some(boards) = shared("data/deeppcb") else { return };
    let report = demo_report(&["--boards", text(&boards), "--pieces", "1000"]);
    check_whole(&report, 1000);
    assert_eq!(number(&report, "/truth/pieces_bad"), 1000, "every picture has a defect");
    assert_eq!(number(&report, "/truth/escapes"), 0, "{}", report["truth"]);
    let (missed, defects) = (number(&report, "/truth/defects_missed"), number(&report, "/truth/defects"));
    assert!(missed * 200 <= defects, "missed defects: {}", report["truth"]);
    assert!(number(&report, "/truth/false_calls") <= 200, "false calls: {}", report["truth"]);
}

#[test]
fn a_journal_replays_byte_for_byte_and_a_changed_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal");
    check_whole(&demo_report(&["--pieces", "80", "--inject", "step:paste_height=8@40", "--journal", text(&journal)]), 80);
    let replayed = run(&["replay", text(&journal)]);
    let said = String::from_utf8_lossy(&replayed.stdout);
    assert!(
        replayed.status.success() && said.contains("all the same, byte for byte"),
        "{said}{}",
        String::from_utf8_lossy(&replayed.stderr)
    );

    // The same incident with one score changed is another incident.
    let file = std::fs::read_dir(&journal).expect("the journal").next().expect("a file").expect("a file").path();
    let told = std::fs::read_to_string(&file).expect("the journal");
    let changed = told.replacen("\"value\":1", "\"value\":2", 1);
    assert_ne!(told, changed, "nothing to change");
    std::fs::write(&file, changed).expect("written");
    let replayed = run(&["replay", text(&journal)]);
    assert_eq!(replayed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&replayed.stderr).contains("other effects than on the floor"));
}

#[test]
fn a_changed_ledger_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    check_whole(&demo_report(&["--pieces", "30", "--data", text(&data)]), 30);
    let whole = run(&["verify", "--data", text(&data), "--json"]);
    assert!(whole.status.success());
    let report: Value = serde_json::from_slice(&whole.stdout).expect("one JSON line");
    assert_eq!((number(&report, "/pieces"), &report["whole"]), (30, &Value::Bool(true)));
    let segment = std::fs::read_dir(data.join("ledger")).expect("the ledger").map(|file| file.expect("a file").path());
    let segment = segment.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).min().expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("the segment");
    let verdict = bytes.windows(6).rposition(|window| window == b"\"pass\"").expect("a pass");
    bytes[verdict + 1] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    let broken = run(&["verify", "--data", text(&data), "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&broken.stdout).expect("one JSON line");
    assert_eq!(report["whole"], false);
    let (from, to) = (number(&report, "/first_fault/from"), number(&report, "/first_fault/to"));
    let place = u64::try_from(verdict).expect("a place");
    assert!((from..to).contains(&place), "the fault is at {place}, told was {from} to {to}");
}

#[test]
fn a_second_run_on_the_same_folder_goes_on_where_the_first_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    check_whole(&demo_report(&["--pieces", "20", "--data", text(&data)]), 20);
    let second = demo_report(&["--pieces", "20", "--data", text(&data)]);
    assert_eq!(number(&second, "/pieces"), 20);
    let verified = run(&["verify", "--data", text(&data), "--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).expect("one JSON line");
    assert_eq!((number(&report, "/pieces"), &report["whole"]), (40, &Value::Bool(true)));
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(64));
    assert_eq!(run(&["demo", "--headless", "--inject", "camera:sneeze"]).status.code(), Some(1));
    let config = folder.path().join("jidoka.toml");
    std::fs::write(&config, "[station]\nline = 3\n").expect("written");
    let checked = run(&["check", "--config", text(&config)]);
    assert_eq!(checked.status.code(), Some(78));
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(told.contains("jidoka.toml:2: station.line"), "{told}");
    let written = folder.path().join("line");
    assert_eq!(run(&["demo", "--write-config", text(&written)]).status.code(), Some(0));
    let checked = run(&["check", "--config", text(&written.join("jidoka.toml"))]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
}
