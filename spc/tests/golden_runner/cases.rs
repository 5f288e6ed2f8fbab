//! From a case's settings to calls of the public API, and from their results to the fields of `expected`.

use serde_json::Value;

use super::{Checker, arl_cases, time_cases};

/// Why a case could not be compared to its end.
pub enum Stop {
    Unsupported(String),
    Failed(String),
}

pub type Step<T> = Result<T, Stop>;

pub fn unsupported<T>(what: impl Into<String>) -> Step<T> {
    Err(Stop::Unsupported(what.into()))
}

pub fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("refused: {error}"))
}

pub fn run(case: &Value, checker: &mut Checker) -> Step<()> {
    if let Some(step) = super::studies_cases::run(case, checker) {
        return step;
    }
    for family in [super::charts_cases::run, super::rules_cases::run, super::basics_cases::run] {
        if let Some(step) = family(case, checker) {
            return step;
        }
    }
    match case["family"].as_str().unwrap_or_default() {
        family if family.starts_with("arl_") => arl_cases::run(case, checker),
        family => time_cases::run(family, case, checker).unwrap_or_else(|| unsupported(format!("family {family}"))),
    }
}
