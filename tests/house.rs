//! The house: which crate may know what. Reads the manifests and the sources, so that a second door cannot be cut unnoticed.

use std::fs;
use std::path::{Path, PathBuf};

const MEMBERS: [&str; 8] = ["appliance", "vision-models", "camera-driver", "plc-bridge", "web-ui", "station", "spc", "tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names under `[dependencies]` of a member.
fn dependencies(member: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest");
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split_once(" =").map(|(name, _)| name.trim().to_owned())).collect()
}

#[test]
fn every_heavy_dependency_has_one_door() {
    let doors = [
        ("opencv", "vision-models"),
        ("ort", "vision-models"),
        ("ring", "vision-models"),
        ("aravis", "camera-driver"),
        ("gstreamer", "camera-driver"),
        ("gstreamer-app", "camera-driver"),
        ("gstreamer-video", "camera-driver"),
        ("tokio-modbus", "plc-bridge"),
        ("axum", "web-ui"),
        ("sled", "appliance"),
        ("embedded-graphics", "appliance"),
        ("crossbeam", "appliance"),
    ];
    for (dependency, door) in doors {
        let users: Vec<_> = MEMBERS.into_iter().filter(|member| dependencies(member).iter().any(|name| name == dependency)).collect();
        assert_eq!(users, [door], "{dependency}");
    }
}

#[test]
fn arrows_point_down() {
    let below = |member: &str| -> &[&str] {
        match member {
            "appliance" => &["vision-models", "plc-bridge", "web-ui", "station"],
            "vision-models" | "plc-bridge" | "web-ui" => &["station"],
            "camera-driver" => &["vision-models"],
            "station" => &["spc"],
            "tests" => &["station", "plc-bridge"],
            _ => &[],
        }
    };
    for member in MEMBERS {
        for dependency in dependencies(member).iter().filter(|name| MEMBERS.contains(&name.as_str())) {
            assert!(below(member).contains(&dependency.as_str()), "{member} knows {dependency}");
        }
    }
    assert!(dependencies("appliance").iter().any(|name| name == "station"), "the manifests are read");
}

/// Every source file below `folder`, with its text.
fn sources(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            out.push((path, text));
        }
    }
}

/// The files (below the root) of crates' sources in which `word` stands, outside comments.
fn files_with(word: &str) -> Vec<String> {
    let mut all = Vec::new();
    for member in MEMBERS.into_iter().filter(|member| *member != "tests") {
        sources(&root().join(member).join("src"), &mut all);
    }
    let stands = |text: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && has_word(line, word));
    let name = |path: &Path| path.strip_prefix(root()).expect("below the root").display().to_string();
    let mut files: Vec<_> = all.iter().filter(|(_, text)| stands(text)).map(|(path, _)| name(path)).collect();
    files.sort();
    files
}

/// True if `word` stands in `line` and is not the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |before: char| before.is_alphanumeric() || before == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_name))
}

#[test]
fn side_effects_have_one_place() {
    assert_eq!(files_with("thread::Builder::new()"), ["appliance/src/pipeline/mod.rs"]);
    assert_eq!(files_with("SystemTime::now()"), ["appliance/src/clock.rs"]);
    assert!(files_with("sled::").iter().all(|file| file.starts_with("appliance/src/store/")), "{:?}", files_with("sled::"));
    assert!(files_with("embedded_graphics::").iter().all(|file| file.starts_with("appliance/src/panel/")));
    assert!(files_with("opencv::").iter().all(|file| file == "vision-models/src/prepare.rs"), "{:?}", files_with("opencv::"));
    assert!(files_with("ort::").iter().all(|file| file == "vision-models/src/runtime.rs"), "{:?}", files_with("ort::"));
    assert!(files_with("aravis::").iter().all(|file| file == "camera-driver/src/gige.rs"), "{:?}", files_with("aravis::"));
    assert!(files_with("gstreamer::").iter().all(|file| file == "camera-driver/src/stream.rs"), "{:?}", files_with("gstreamer::"));
    assert_eq!(files_with("ExitCode::"), ["appliance/src/main.rs"]);
}
