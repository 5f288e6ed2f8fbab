//! `jidoka model`: packages are listed, proved, refused with a reason, and measured as the data sets' own protocols do.

use line_tests::binary::{jidoka, shared};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(jidoka()).args(args).output().expect("the program runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn eval(args: &[&str]) -> Value {
    let output = run(&[&["model", "eval", "--package", "pcb", "--json"], args].concat());
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn real(report: &Value, at: &str) -> f64 {
    report.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("{at} in {report}"))
}

/// A copy of the package that comes with the program.
fn copy_of_the_package(folder: &Path) -> PathBuf {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../vision-models/packages/pcb"), folder.join("pcb"));
    std::fs::create_dir_all(to.join("golden")).expect("a folder");
    for part in ["", "golden"] {
        for entry in std::fs::read_dir(from.join(part)).expect("the package") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.join(part).join(entry.file_name())).expect("a copy");
            }
        }
    }
    to
}

#[test]
fn packages_are_listed_proved_and_refused_with_the_reason() {
    let list = run(&["model", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("pcb@2.1.0"), "{}", told(&list));
    let proof = run(&["model", "verify", "pcb"]);
    assert!(String::from_utf8_lossy(&proof.stdout).contains("4 golden pieces as expected"), "{}", told(&proof));

    let unknown = run(&["model", "verify", "pbc"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(told(&unknown).contains("there is no package pbc in "), "{}", told(&unknown));

    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy_of_the_package(folder.path());
    let weights = copy.join("model.onnx");
    let mut bytes = std::fs::read(&weights).expect("the weights");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).expect("written");
    let broken = run(&["model", "verify", copy.to_str().expect("UTF-8")]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(told(&broken).contains("model.onnx has SHA-256 ") && told(&broken).contains("the manifest lists"), "{}", told(&broken));
}

#[test]
fn a_package_is_added_once_and_only_if_it_proves_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (copy, shelf) = (copy_of_the_package(folder.path()), folder.path().join("shelf"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let add = || run(&["model", "add", &text(&copy), "--shelf", &text(&shelf)]);
    let first = add();
    let lies = shelf.join("pcb@2.1.0");
    assert!(String::from_utf8_lossy(&first.stdout).contains(&text(&lies)), "{}", told(&first));
    assert!(run(&["model", "verify", &text(&lies)]).status.success());
    let second = add();
    assert!(!second.status.success() && told(&second).contains("is there already: remove it"), "{}", told(&second));

    // What does not prove itself never reaches the shelf, and what was interrupted is no package.
    std::fs::remove_dir_all(&lies).expect("removed");
    let half = shelf.join(".pcb@2.1.0.part");
    std::fs::create_dir_all(half.join("golden")).expect("a folder");
    std::fs::write(half.join("model.onnx"), b"half of it").expect("written");
    std::fs::write(copy.join("note.txt"), b"not in the manifest").expect("written");
    let refused = add();
    assert!(!refused.status.success() && told(&refused).contains("note.txt is not listed"), "{}", told(&refused));
    assert!(!lies.exists());
    std::fs::remove_file(copy.join("note.txt")).expect("removed");
    assert!(add().status.success() && !half.exists());
    assert!(run(&["model", "verify", &text(&lies)]).status.success());
}

#[test]
fn a_package_is_signed_and_only_a_trusted_signature_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (copy, key, shelf) = (copy_of_the_package(folder.path()), folder.path().join("key"), folder.path().join("shelf"));
    let made = run(&["model", "key", &text(&key)]);
    assert!(made.status.success(), "{}", told(&made));
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    let public = said.split('"').nth(1).expect("the public key").to_owned();
    let secret = std::fs::read_to_string(&key).expect("the key");
    assert!(!said.contains(secret.trim_end().rsplit(' ').next().expect("a secret")), "the secret is not printed");

    let add = || run(&["model", "add", &text(&copy), "--shelf", &text(&shelf), "--trust", &public]);
    let unsigned = add();
    assert!(!unsigned.status.success() && told(&unsigned).contains("the package is not signed"), "{}", told(&unsigned));
    let signed = run(&["model", "sign", &text(&copy), "--key", &text(&key)]);
    assert!(signed.status.success(), "{}", told(&signed));
    let added = add();
    assert!(added.status.success(), "{}", told(&added));
    let proof = run(&["model", "verify", &text(&shelf.join("pcb@2.1.0")), "--trust", &public, "--json"]);
    let proof: Value = serde_json::from_slice(&proof.stdout).expect("JSON");
    assert_eq!((proof["signer"].as_str(), proof["golden_pieces"].as_u64()), (Some(public.as_str()), Some(4)));
    assert!(real(&proof, "/variants/0/cpu_ms") > 0.0 && proof["operating_point"]["aim"].is_string(), "{proof}");
    // Another's key is not trusted, and a key is 64 digits.
    let other = run(&["model", "verify", &text(&copy), "--trust", &"0".repeat(64)]);
    assert!(!other.status.success() && told(&other).contains("which is not trusted"), "{}", told(&other));
    let wrong = run(&["model", "verify", &text(&copy), "--trust", "abc"]);
    assert!(told(&wrong).contains("64 hexadecimal digits"), "{}", told(&wrong));
}

#[test]
fn the_list_is_a_table_for_people_and_json_for_programs() {
    let table = run(&["model", "list"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.starts_with("PACKAGE") && table.contains("compare") && table.contains("fp32"), "{table}");
    let list = run(&["model", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let own = list.as_array().and_then(|all| all.iter().find(|one| one["package"] == "pcb@2.1.0")).expect("the package that ships");
    assert_eq!((own["task"].as_str(), own["refused"].is_null()), (Some("compare"), true), "{own}");
}

#[test]
fn a_package_is_measured_on_drawn_boards_twice_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("findings.jsonl");
    let drawn = ["--drawn", "60", "--seed", "11"];
    let report = eval(&[&drawn[..], &["--findings", file.to_str().expect("UTF-8")]].concat());
    assert_eq!((report["package"].as_str(), real(&report, "/pictures")), (Some("pcb@2.1.0"), 60.0));
    let (precision, recall, f) = (real(&report, "/precision"), real(&report, "/recall"), real(&report, "/f"));
    assert!((f - 2.0 * precision * recall / (precision + recall)).abs() < 1e-9);
    assert!(real(&report, "/ap_iou_033") > 0.98 && real(&report, "/missed_share") < 0.01, "{report}");
    assert!(real(&report, "/f_best/value") >= f - 0.02 && real(&report, "/cpu_ms/p99") >= real(&report, "/cpu_ms/p50"), "{report}");
    let again = eval(&drawn);
    for figure in ["ap_iou_033", "map_iou_050", "ap_iou_050", "f", "f_best", "missed", "tiles"] {
        assert_eq!(report[figure], again[figure], "{figure}");
    }
    // What was written down leads to the same count of missed faults as the table says, at threshold 0.
    let findings = std::fs::read_to_string(&file).expect("the findings");
    let lines: Vec<Value> = findings.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| line["fault"].is_u64()) && lines.iter().all(|line| line["finding"]["score"].as_f64() >= Some(0.0999)));
}

/// 900 of the 1000 pictures are those that it was trained on; of the others the manifest speaks.
#[test]
fn the_shipped_package_reaches_on_real_boards_what_it_states() {
    let Some(data) = shared("data/deeppcb") else { return };
    let report = eval(&["--data", data.to_str().expect("UTF-8")]);
    assert_eq!((real(&report, "/pictures"), real(&report, "/defects")), (1000.0, 6873.0));
    assert!(real(&report, "/ap_iou_033") >= 0.985 && real(&report, "/map_iou_050") >= 0.985, "{report}");
    assert!(real(&report, "/f") >= 0.975 && real(&report, "/missed_share_at_one_false_call/value") <= 0.003, "{report}");
    assert_eq!(real(&report, "/pictures_escaped"), 0.0);
}

/// Official builds of ONNX Runtime number the machine and keep a data base of what they would tell their maker.
#[test]
fn nobody_is_told_of_models_and_runs() {
    let home = tempfile::tempdir().expect("a folder");
    // Under CI they would keep quiet by themselves.
    let quiet = ["ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "GITHUB_ACTIONS", "XDG_CACHE_HOME"];
    let mut command = Command::new(jidoka());
    for name in quiet {
        command.env_remove(name);
    }
    let output = command.args(["model", "verify", "pcb"]).env("HOME", home.path()).output().expect("the program runs");
    assert!(output.status.success(), "{}", told(&output));
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("the home").filter_map(Result::ok).map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
