//! `jidoka plc …` as a controls engineer uses it: the real program against the real simulated PLC, each a process of its own.

use line_tests::binary::Running;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);

/// A simulated PLC on a port of its own, and its address.
fn plc(args: &[&str]) -> (Running, String) {
    let sim = Running::start(&[&["plc", "sim", "--listen", "127.0.0.1:0"], args].concat());
    let address = sim.wait_line("simulated PLC: ", DEADLINE);
    (sim, address)
}

/// Runs a command to its end: exit code, standard output, standard error.
fn done(args: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let mut command = Running::start(args);
    let status = command.wait(DEADLINE);
    (status.code(), command.stdout(), command.stderr())
}

/// The annotated sample for a PLC at `address`, with `changes`.
fn settings(folder: &Path, address: &str, changes: &[(&str, &str)]) -> PathBuf {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/jidoka.toml");
    let mut text = std::fs::read_to_string(sample).expect("the sample is there").replace("127.0.0.1:5020", address);
    for (from, to) in changes {
        assert!(text.contains(from), "the sample has no {from:?}");
        text = text.replacen(from, to, 1);
    }
    let path = folder.join("jidoka.toml");
    std::fs::write(&path, text).expect("written");
    path
}

fn rows(board: &Value) -> Vec<&Value> {
    let sections = board["sections"].as_array().expect("sections");
    sections.iter().flat_map(|section| section["rows"].as_array().expect("rows")).collect()
}

#[test]
fn watch_shows_names_values_ages_and_qualities() {
    let (_sim, address) = plc(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = settings(folder.path(), &address, &[]);
    let config = config.to_str().expect("a path in UTF-8");
    let (code, lines, said) = done(&["plc", "watch", "--config", config, "--once", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let [line] = lines.as_slice() else { panic!("one line was due, not {lines:?}") };
    let board: Value = serde_json::from_str(line).expect("JSON");
    let row =
        |name: &str| rows(&board).into_iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {line}")).clone();
    assert_eq!((row("RunPermit")["place"].as_str(), row("RunPermit")["value"].as_str()), (Some("1001.7"), Some("0")));
    assert_eq!(row("VisionHeartbeat")["quality"], "good");
    for tag in ["paste_height", "oven_zone_1", "placement_force"] {
        assert!(row(tag)["age_millis"].is_u64() && row(tag)["unit"].is_string(), "{tag}: {}", row(tag));
    }

    // Only what was asked for, as a table, and an ad-hoc tag in all four orders.
    let (code, lines, said) = done(&["plc", "watch", "--plc", &address, "--once", "--tag", "force=2008:f32", "force", "RunPermit"]);
    assert_eq!(code, Some(0), "{said}");
    let names: Vec<_> = lines.iter().filter(|line| line.contains("2008")).collect();
    assert_eq!(names.len(), 4, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("RunPermit")) && !lines.iter().any(|line| line.contains("PlcHeartbeat")), "{lines:?}");
}

#[test]
fn what_cannot_be_looked_at_is_told_with_a_reason() {
    // Nobody listens on a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").to_string();
    let (code, _, said) = done(&["plc", "watch", "--plc", &free, "--once"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot connect to the PLC") && said.contains(&free), "{said}");
    for (args, told) in [
        (vec!["plc", "watch", "--plc", "nowhere", "--once"], "write HOST:PORT"),
        (vec!["plc", "watch", "--plc", &free, "--once", "RunPermitt"], "no such field or tag"),
        (vec!["plc", "watch", "--plc", &free, "--once", "--tag", "x=1"], "write NAME=ADDRESS:KIND"),
    ] {
        let (code, _, said) = done(&args);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(told), "{said}");
    }
    let (code, _, said) = done(&["plc", "trace", "--plc", &free, "--pieces", "1"]);
    assert!(code == Some(1) && said.contains("cannot be traced"), "{code:?} {said}");
}

#[test]
fn symbols_follow_the_settings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let moved = [("status_base = 1000", "status_base = 5000"), ("[[1000, 1127]]", "[[5000, 5127]]")];
    let config = settings(folder.path(), "127.0.0.1:1", &moved);
    let config = config.to_str().expect("a path in UTF-8");
    let symbols = |args: &[&str]| {
        let (code, lines, said) = done(&[&["plc", "symbols"], args].concat());
        assert_eq!(code, Some(0), "{said}");
        lines.join("\n")
    };
    assert!(symbols(&[]).contains("RunPermit,status,1001,7,1,BOOL,"));
    assert!(symbols(&["--config", config]).contains("RunPermit,status,5001,7,1,BOOL,"));
    assert!(symbols(&["--config", config, "--format", "st"]).contains("%MW5000"));
    let block = symbols(&["--config", config, "--format", "fb"]);
    assert!(block.contains("FUNCTION_BLOCK FB_JIDOKA") && block.contains("5001.7"), "{block}");

    let swapped = settings(folder.path(), "127.0.0.1:1", &[("word_swap = false", "word_swap = true")]);
    let (code, _, said) = done(&["plc", "symbols", "--format", "st", "--config", swapped.to_str().expect("a path in UTF-8")]);
    assert!(code == Some(78) && said.contains("word_swap = false"), "{code:?} {said}");
}

#[test]
fn test_writes_need_commissioning_and_leave_zeros() {
    let (_sim, address) = plc(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = settings(folder.path(), &address, &[]);
    let path = config.to_str().expect("a path in UTF-8");
    let (code, _, said) = done(&["plc", "test-write", "--config", path, "Pass", "1"]);
    assert!(code == Some(78) && said.contains("commissioning = true"), "{code:?} {said}");

    settings(folder.path(), &address, &[("# commissioning = true", "commissioning = true")]);
    let (code, lines, said) = done(&["plc", "test-write", "--config", path, "Grade", "3", "--hold-secs", "1"]);
    assert_eq!(code, Some(0), "{lines:?} {said}");
    assert!(lines.iter().any(|line| line.contains("Grade = 3 stands in 1015")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("zeros are written again")), "{lines:?}");
    let (_, lines, _) = done(&["plc", "watch", "--plc", &address, "--once", "--json", "Grade"]);
    let board: Value = serde_json::from_str(&lines.concat()).expect("JSON");
    assert_eq!(rows(&board)[0]["value"], "0", "{board}");

    for (field, value, told) in
        [("Gerade", "3", "has no field"), ("RunPermit", "2", "does not fit"), ("Payload", "1", "more than one number")]
    {
        let (code, _, said) = done(&["plc", "test-write", "--config", path, field, value]);
        assert!(code == Some(64) && said.contains(told), "{field}: {code:?} {said}");
    }
    // The same file is refused where a line would run with it.
    let (code, _, said) = done(&["run", "--config", path]);
    assert!(code == Some(78) && said.contains("the line cannot run while test writes are allowed"), "{code:?} {said}");
}

#[test]
fn a_hostile_plc_is_one() {
    let (_sim, address) = plc(&["--hostile", "exception=4"]);
    let (code, _, said) = done(&["plc", "watch", "--plc", &address, "--once"]);
    assert!(code == Some(1) && said.contains("refused"), "{code:?} {said}");
    let (code, _, said) = done(&["plc", "sim", "--listen", "127.0.0.1:0", "--hostile", "rude"]);
    assert!(code == Some(64) && said.contains("no such trouble"), "{code:?} {said}");
}

/// A whole line: the demonstration is the station, and somebody traces its handshake from outside.
#[test]
fn trace_follows_the_pieces_of_a_running_line() {
    let demo = Running::start(&["demo", "--listen", "127.0.0.1:0", "--pace", "120", "--auto-release"]);
    let port = demo.wait_line("simulated PLC: ", DEADLINE).split(' ').next().expect("an address").to_owned();
    let (code, lines, said) = done(&["plc", "trace", "--plc", &port, "--pieces", "3", "--json"]);
    assert_eq!(code, Some(0), "{said}\n{lines:?}");
    let told: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let pieces: Vec<&Value> = told.iter().filter(|line| line["what"] == "piece").collect();
    assert_eq!(pieces.len(), 3, "{lines:?}");
    assert!(told.last().is_some_and(|last| last["summary"]["pieces"].as_u64() >= Some(3)), "{lines:?}");
}
