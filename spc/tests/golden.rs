//! Reference cases computed by public packages, run through the public API; see `golden_runner`.
//!
//! The cases live outside the project, because many carry data of third parties. Without them the test says so and
//! passes, so that the crate can be built anywhere; with them it must really have run.

#[path = "golden_runner/mod.rs"]
mod golden_runner;

use std::path::Path;

use golden_runner::{Outcome, report, run_folder};

#[test]
fn reference_cases_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/spc");
    if !folder.is_dir() {
        println!("skipped: no reference cases at {}", folder.display());
        return;
    }
    let outcomes = run_folder(&folder).unwrap();
    let text = report(&outcomes);
    println!("{text}");
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, Outcome::Failed(_))), 0, "{text}");
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        assert!(count(|outcome| matches!(outcome, Outcome::Passed { .. })) > 0, "no case ran\n{text}");
    }
}
