//! Reference cases computed by public packages, run through the public API; see `golden_runner`.
//!
//! The cases live outside the project, because many carry data of third parties. Without them the test says so and
//! passes, so that the crate can be built anywhere; with them it must really have run.

#[path = "golden_runner/mod.rs"]
mod golden_runner;

use std::path::Path;

use golden_runner::{Outcome, report, run_folder};

/// Cases that contradict themselves: with its own shape and scale the Weibull case's ppm_above is 3559.96, not the 3563.27 it
/// states; the maximum likelihood estimates give 3562.31. They stay in the report as failed.
const CONTRADICTORY: [&str; 1] = ["jasp_capability_weibull_stage1"];

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
    let failed = outcomes.iter().filter(|(id, outcome)| matches!(outcome, Outcome::Failed(_)) && !CONTRADICTORY.contains(&id.as_str()));
    assert_eq!(failed.count(), 0, "{text}");
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        assert!(count(|outcome| matches!(outcome, Outcome::Passed { .. })) > 0, "no case ran\n{text}");
    }
}
