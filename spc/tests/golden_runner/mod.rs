//! Runs reference cases of the format `spc-golden/1` through the public API, for the test and for the example.
//!
//! A case is dispatched by its family and settings, never by its id. Every numeric field of `expected` that the crate
//! covers is compared within the case's tolerance, rule points exactly, and after every point the streaming result
//! must equal the batch result of the same prefix. What a case holds beyond that is named, not passed over in silence.

mod agreement_cases;
mod arl_cases;
mod basics_cases;
mod capability_cases;
mod cases;
mod charts_cases;
mod charts_fields;
mod compare;
mod gauge_cases;
mod rules_cases;
mod sampling_cases;
mod studies_cases;
mod time_cases;
mod vector_cases;

use std::path::Path;

use serde_json::Value;

pub use compare::Checker;

/// What became of one case.
pub enum Outcome {
    /// Everything covered agrees; the fields listed are not covered.
    Passed { uncovered: Vec<String> },
    /// The first field that differs, with both numbers.
    Failed(String),
    /// The crate has no such chart or option.
    Unsupported(String),
}

/// Every case in the folder, by id.
///
/// # Errors
/// A line for people when the folder or a file cannot be read.
pub fn run_folder(folder: &Path) -> Result<Vec<(String, Outcome)>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|path| run_file(path)).collect()
}

fn run_file(path: &Path) -> Result<(String, Outcome), String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let mut case: Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    vector_cases::note_order(&mut case, &text);
    let id = case["id"].as_str().ok_or_else(|| format!("{name}: no id"))?;
    Ok((id.to_owned(), run_case(&case)))
}

fn run_case(case: &Value) -> Outcome {
    if case["schema"] != "spc-golden/1" {
        return Outcome::Unsupported(format!("schema {}", case["schema"]));
    }
    let mut checker = Checker::new(case);
    match cases::run(case, &mut checker) {
        Err(cases::Stop::Unsupported(reason)) => Outcome::Unsupported(reason),
        Err(cases::Stop::Failed(reason)) => Outcome::Failed(reason),
        Ok(()) => checker.finish(),
    }
}

/// One line per case and the totals, as the example prints them.
pub fn report(outcomes: &[(String, Outcome)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let (mut passed, mut failed, mut unsupported) = (0, 0, 0);
    for (id, outcome) in outcomes {
        let line = match outcome {
            Outcome::Passed { uncovered } => {
                passed += 1;
                if uncovered.is_empty() { "ok".to_owned() } else { format!("ok (not covered: {})", uncovered.join(", ")) }
            }
            Outcome::Failed(reason) => {
                failed += 1;
                reason.clone()
            }
            Outcome::Unsupported(reason) => {
                unsupported += 1;
                format!("unsupported: {reason}")
            }
        };
        // Writing to a String cannot fail.
        writeln!(text, "{id}: {line}").ok();
    }
    writeln!(text, "{passed} passed, {failed} failed, {unsupported} unsupported").ok();
    text
}
