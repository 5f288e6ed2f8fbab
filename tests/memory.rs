//! A station's memory as a whole: copied while the line runs, moved to another folder, its index built anew — by the real program.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use line_tests::binary::Running;
use line_tests::floor::{DEADLINE, Floor, Ledger};
use std::fs;
use std::path::Path;

/// Runs `jidoka` to its end: exit code, and everything it said.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut running = Running::start(args);
    let status = running.wait(DEADLINE);
    (status.code(), format!("{}\n{}", running.stdout().join("\n"), running.stderr()))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_station_is_copied_while_it_runs_and_moves_whole() {
    let folder = tempfile::tempdir().unwrap();
    let floor = Floor::new(7, None, &[]);
    let mut appliance = floor.start();
    floor.wait_until_it_inspects(&appliance, 3);
    let (data, mut before) = (text(&floor.data), Ledger::default());
    for number in 1..=4 {
        let copy = folder.path().join(format!("backup-{number}"));
        let (code, said) = run(&["store", "backup", "--data", data, text(&copy)]);
        assert_eq!(code, Some(0), "{said}");
        let ledger = Ledger::of(&copy);
        assert!(ledger.number("/pieces") >= 3 && ledger.report["torn"].is_null(), "{}", ledger.report);
        ledger.assert_continues(&before);
        before = ledger;
        floor.wait_until_it_inspects(&appliance, 1);
    }
    let (code, said) = run(&["store", "backup", "--data", data, text(&folder.path().join("backup-1"))]);
    assert!(code == Some(64) && said.contains("is not empty"), "{code:?} {said}");
    for refused in [&["store", "rebuild", "--data", data][..], &["store", "export", "--data", data, text(&folder.path().join("export"))]] {
        let (code, said) = run(refused);
        assert!(code == Some(1) && said.contains("is in use by process"), "{code:?} {said}");
    }
    assert!(appliance.terminate(DEADLINE).success());

    let (code, said) = run(&["store", "rebuild", "--data", data]);
    assert!(code == Some(0) && said.contains("is built anew"), "{said}");
    let (export, moved) = (folder.path().join("export"), folder.path().join("moved"));
    let (code, said) = run(&["store", "export", "--data", data, text(&export)]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["store", "import", text(&export), "--data", text(&moved)]);
    assert_eq!(code, Some(0), "{said}");
    let (here, there) = (Ledger::of(&floor.data), Ledger::of(&moved));
    assert_eq!(here.segments.len(), there.segments.len());
    for (a, b) in here.segments.values().zip(there.segments.values()) {
        assert!(a == b, "every byte of the ledger is there");
    }
    assert_eq!(here.report["signed"], there.report["signed"], "what was signed is signed there");
    let count = |folder: &Path| fs::read_dir(folder.join("images")).into_iter().flatten().count();
    assert_eq!(count(&floor.data), count(&moved));

    // A copy that lost a bit on its way is not taken for the station's.
    let segment =
        fs::read_dir(export.join("ledger")).unwrap().map(|file| file.unwrap().path()).find(|path| path.extension().is_some()).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, said) = run(&["store", "import", text(&export), "--data", text(&folder.path().join("other"))]);
    assert!(code == Some(1) && said.contains(text(&segment)) && said.contains("is not what was copied"), "{code:?} {said}");
    let (code, said) = run(&["store", "import", text(folder.path()), "--data", text(&folder.path().join("third"))]);
    assert!(code == Some(64) && said.contains("no finished copy"), "{code:?} {said}");
}
