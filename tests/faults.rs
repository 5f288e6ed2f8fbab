//! Faults that are really injected into the running line, and the safe state that each of them must end in.

use line_tests::binary::{Running, demo_report};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// Pieces of a run: enough to learn limits, to fail, and to run on.
const PIECES: &str = "110";
const SOON: Duration = Duration::from_secs(60);

/// Runs the line with one disturbance at piece 60 and gives its report, after what holds for every disturbance.
fn disturbed(what: &str) -> Value {
    let report = demo_report(&["--pieces", PIECES, "--seed", "7", "--inject", &format!("{what}@60")]);
    assert_eq!(report["pieces"], 110, "{report}");
    assert_eq!(report["ledger"]["verified"], true);
    assert_eq!(report["truth"]["escapes"], 0, "a bad piece passed: {report}");
    for backend in ["traceability", "grading"] {
        assert_eq!(report["outbox"][backend]["delivered"], 110, "{report}");
    }
    let stops = report["stops"].as_array().expect("stops");
    assert!(stops.iter().all(|stop| stop["released_by"] == "auto-release"), "an automatic release is signed as one: {report}");
    report
}

/// The first stop is for `reason`, at piece `from` or later and before `to`.
fn check_stop(report: &Value, reason: &str, from: u64, to: u64) {
    let stop = &report["stops"][0];
    assert_eq!(stop["reason"], reason, "{report}");
    if let Some(piece) = stop["piece"].as_u64() {
        assert!((from..to).contains(&piece), "stopped at piece {piece}: {report}");
    }
}

#[test]
fn a_drift_stops_the_line_by_a_rule_of_its_chart() {
    let report = disturbed("drift:paste_height=0.4");
    check_stop(&report, "spc_rule", 61, 85);
    // The alarm chart is the first to see it.
    assert_eq!(report["stops"][0]["detail"], "paste_height: CUSUM", "{report}");
    assert_eq!(report["hold"], 0);
}

#[test]
fn a_step_stops_the_line_by_a_rule_of_its_chart() {
    let report = disturbed("step:paste_height=-9");
    check_stop(&report, "spc_rule", 60, 66);
    assert_eq!(report["stops"][0]["detail"], "paste_height: Nelson 1", "{report}");
    assert_eq!(report["hold"], 0);
}

#[test]
fn a_frozen_camera_passes_nothing_and_stops_the_line() {
    let report = disturbed("camera:freeze");
    check_stop(&report, "camera_stale", 61, 63);
    assert_eq!((&report["hold"], &report["missed"]), (&json!(2), &json!(2)), "two stale frames, two holds: {report}");
}

#[test]
fn a_lost_camera_passes_nothing_and_stops_the_line() {
    let report = disturbed("camera:lost");
    check_stop(&report, "camera_stale", 61, 63);
    assert_eq!(report["hold"], 2, "{report}");
}

#[test]
fn a_slow_model_passes_nothing_and_stops_the_line() {
    let report = disturbed("model:slow");
    check_stop(&report, "deadline_misses", 62, 64);
    assert_eq!(report["hold"], 3, "three late pieces, three holds: {report}");
}

#[test]
fn a_failing_model_passes_nothing_and_stops_the_line() {
    let report = disturbed("model:error");
    check_stop(&report, "model_error", 61, 63);
    assert_eq!(report["hold"], 2, "{report}");
}

#[test]
fn a_plc_that_drops_the_line_is_a_stop_and_comes_back() {
    let report = disturbed("plc:drop");
    check_stop(&report, "plc_link", 59, 62);
    assert!(report["hold"].as_u64().is_some_and(|holds| holds <= 1), "{report}");
}

/// The run permit as a foreign client reads it: `mbpoll` of Debian, register 1002 (counted from 1), bit 7 of STATUS2.
fn run_permit(port: &str) -> Option<bool> {
    let output =
        Command::new("mbpoll").args(["-m", "tcp", "-p", port, "-t", "4", "-r", "1002", "-c", "1", "-1", "127.0.0.1"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix("[1002]:"))?;
    let value: u16 = value.trim().split(' ').next()?.parse().ok()?;
    Some(value & (1 << 7) != 0)
}

fn wait_for_permit(port: &str, wanted: bool) {
    let begun = Instant::now();
    while run_permit(port) != Some(wanted) {
        assert!(begun.elapsed() < SOON, "mbpoll never read RunPermit = {}", u8::from(wanted));
    }
}

#[test]
fn a_foreign_client_reads_the_permit_and_only_people_give_it_back() {
    if Command::new("mbpoll").arg("-V").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "mbpoll must be there in CI");
        println!("skipped: mbpoll is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("a temporary path is text");
    let line = Running::start(&[
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--seed",
        "7",
        "--pace",
        "600",
        "--inject",
        "step:paste_height=9@30",
        "--data",
        data,
    ]);
    let page = line.wait_line("page: ", SOON);
    let page = page.trim_start_matches("page: ").trim_end_matches('/').to_owned();
    let person = line.wait_line("sign in: ", SOON);
    let (name, password) = person.trim_start_matches("sign in: ").split_once(" / ").expect("name and password");
    let plc = line.wait_line("simulated PLC: 127.0.0.1:", SOON);
    let port = plc.trim_start_matches("simulated PLC: 127.0.0.1:").split(' ').next().expect("a port").to_owned();

    wait_for_permit(&port, true);
    wait_for_permit(&port, false);
    let people = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let ask = |path: &str, cookie: &str, body: Value| {
        let request = people.post(format!("{page}/api/v1/{path}")).header("origin", &page).header("cookie", cookie);
        request.send_json(body).expect("the page answers")
    };
    let refused = ask("stop/release", "", json!({"stop_seq": 1}));
    assert_eq!(refused.status(), 401, "nobody is signed in");
    let entered = ask("session", "", json!({"name": name, "password": password}));
    assert!(entered.status().is_success(), "{:?}", entered.status());
    let cookie = entered.headers().get("set-cookie").expect("a session").to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    assert_eq!(ask("stop/release", &cookie, json!({"stop_seq": 1})).status(), 409, "not acknowledged yet");
    assert_eq!(ask("stop/acknowledge", &cookie, json!({"stop_seq": 1, "cause": " "})).status(), 422, "a stop needs a cause");
    assert_eq!(run_permit(&port), Some(false));
    let acknowledged = ask("stop/acknowledge", &cookie, json!({"stop_seq": 1, "cause": "stencil", "corrective_action": "wiped"}));
    assert!(acknowledged.status().is_success(), "{:?}", acknowledged.status());
    assert_eq!(run_permit(&port), Some(false), "acknowledged is not released");
    let begun = Instant::now();
    while !ask("stop/release", &cookie, json!({"stop_seq": 1})).status().is_success() {
        assert!(begun.elapsed() < SOON, "the release is not taken");
    }
    wait_for_permit(&port, true);
}
