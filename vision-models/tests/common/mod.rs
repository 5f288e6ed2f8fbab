//! What the tests of this crate share: the runtime, the package and a clock.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod tiny;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use vision_models::detector::Detector;
use vision_models::frame::MonoClock;
use vision_models::package::{Package, list_files};
use vision_models::runtime::Runtime;

pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The runtime, also when the target folder lies outside of the source tree.
pub fn runtime() -> Runtime {
    let fetched = home().join("../.onnxruntime/libonnxruntime.so");
    let runtime = if fetched.is_file() { Runtime::open(&fetched) } else { Runtime::find() };
    runtime.expect("scripts/onnxruntime.sh fetches it")
}

pub fn package_folder() -> PathBuf {
    home().join("packages/pcb")
}

pub fn clock() -> MonoClock {
    let start = Instant::now();
    Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

pub fn detector() -> (Package, Detector) {
    let package = Package::open(&package_folder()).expect("the package is whole");
    let detector = Detector::load(&runtime(), &package, clock()).expect("the package passes its gate");
    (package, detector)
}

/// The real boards, or `None` with a line that says so.
pub fn deeppcb() -> Option<PathBuf> {
    let folder = home().join("../../shared/data/deeppcb");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

/// A copy of the package to break.
pub fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("golden")).unwrap();
    for name in list_files(&package_folder()).unwrap() {
        fs::copy(package_folder().join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

/// Changes a text file; a change that changes nothing is a mistake of the test.
pub fn edit(folder: &Path, name: &str, change: impl Fn(&str) -> String) {
    let before = fs::read_to_string(folder.join(name)).unwrap();
    let after = change(&before);
    assert_ne!(before, after, "the change must change something");
    fs::write(folder.join(name), after).unwrap();
}

/// An error with everything behind it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
