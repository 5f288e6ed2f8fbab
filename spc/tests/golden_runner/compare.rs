//! Comparison of one case: tolerance, first difference, and which expected fields nobody looked at.

use std::collections::BTreeSet;

use serde_json::Value;
use spc::{Hits, Rule};

use super::Outcome;

/// Compares against one case's `expected` and remembers what was looked at.
pub struct Checker {
    expected: Value,
    label: &'static str,
    relative: f64,
    absolute: f64,
    compared: usize,
    first_difference: Option<String>,
    seen: BTreeSet<String>,
}

/// Fields of `expected` that describe the case rather than state a result.
const DESCRIPTIVE: [&str; 5] =
    ["violation_basis", "decision_margin_se", "decision_margin_sigma", "peers_agree_nelson", "peer_rel_error_estimate"];

impl Checker {
    /// The exact-constants target is taken where a case has one.
    pub fn new(case: &Value) -> Self {
        let expected = case.get("expected_exact_constants").unwrap_or(&case["expected"]);
        let tolerance = |key: &str| case["tolerance"][key].as_f64().unwrap_or(0.0);
        Self {
            expected: expected.clone(),
            label: "",
            relative: tolerance("rel"),
            absolute: tolerance("abs"),
            compared: 0,
            first_difference: None,
            seen: BTreeSet::new(),
        }
    }

    /// Compares with another set of results of the same case from here on; differences are named after it.
    pub fn against(&mut self, label: &'static str, expected: &Value) {
        self.expected = expected.clone();
        self.label = label;
    }

    /// What the case expects under this path (`a/b`), if anything.
    pub fn expected(&self, path: &str) -> Option<&Value> {
        self.expected.pointer(&format!("/{path}"))
    }

    /// All that the case expects.
    pub fn all(&self) -> &Value {
        &self.expected
    }

    /// A series against an array, or against a single number or an array of one where all points share it.
    pub fn series(&mut self, path: &str, got: &[f64]) {
        let optional: Vec<_> = got.iter().map(|value| Some(*value)).collect();
        self.gappy_series(path, &optional);
    }

    /// As [`Checker::series`]; `None` stands for a point that does not exist, `null` in the case.
    pub fn gappy_series(&mut self, path: &str, got: &[Option<f64>]) {
        let Some(expected) = self.expected(path).cloned() else { return };
        self.seen.insert(path.to_owned());
        let expected: Vec<Option<f64>> = match &expected {
            Value::Array(items) if items.len() == 1 => vec![items[0].as_f64(); got.len()],
            Value::Array(items) => items.iter().map(Value::as_f64).collect(),
            single => vec![single.as_f64(); got.len()],
        };
        if expected.len() != got.len() {
            return self.differ(format!("{path}: {} numbers, expected {}", got.len(), expected.len()));
        }
        for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
            self.compared += 1;
            let agree = match (got, expected) {
                (Some(got), Some(expected)) => (got - expected).abs() <= self.absolute + self.relative * expected.abs(),
                (got, expected) => got.is_none() && expected.is_none(),
            };
            if !agree {
                return self.differ(format!("{path}[{}]: got {got:?}, expected {expected:?}", index + 1));
            }
        }
    }

    /// One number.
    pub fn number(&mut self, path: &str, got: f64) {
        self.series(path, &[got]);
    }

    /// Names, counts and tables, exactly and in order.
    pub fn exact(&mut self, path: &str, got: &Value) {
        let Some(expected) = self.expected(path).cloned() else { return };
        self.seen.insert(path.to_owned());
        self.compared += 1;
        if expected != *got {
            self.differ(format!("{path}: got {got}, expected {expected}"));
        }
    }

    /// Compares some fields with the tolerance that the case's notes give for them.
    pub fn loosened(&mut self, absolute: f64, compare: impl FnOnce(&mut Self)) {
        let strict = std::mem::replace(&mut self.absolute, absolute);
        compare(self);
        self.absolute = strict;
    }

    /// Compares with a relative tolerance of its own where the peer's numbers are known to be less exact.
    pub fn loosened_to<T>(&mut self, relative: f64, compare: impl FnOnce(&mut Self) -> T) -> T {
        let strict = std::mem::replace(&mut self.relative, relative);
        let result = compare(self);
        self.relative = strict;
        result
    }

    /// The points (from 1) at which the rule was hit, exactly.
    pub fn rule_points(&mut self, path: &str, rule: Rule, hits: &[Hits]) {
        let Some(expected) = self.expected(path).cloned() else { return };
        self.seen.insert(path.to_owned());
        let got: Vec<u64> = hits.iter().zip(1..).filter(|(hits, _)| hits.contains(rule)).map(|(_, index)| index).collect();
        let expected: Vec<u64> = match &expected {
            Value::Array(items) => items.iter().filter_map(Value::as_u64).collect(),
            single => single.as_u64().into_iter().collect(),
        };
        self.compared += 1;
        if got != expected {
            self.differ(format!("{path}: got {got:?}, expected {expected:?}"));
        }
    }

    /// A single number, by a relative tolerance of its own where the case's notes loosen that field.
    pub fn loosely(&mut self, path: &str, got: f64, relative: f64) {
        let usual = std::mem::replace(&mut self.relative, relative);
        self.series(path, &[got]);
        self.relative = usual;
    }

    /// A matrix, row by row.
    pub fn matrix(&mut self, path: &str, got: &[Vec<f64>]) {
        if self.expected(path).is_none() {
            return;
        }
        for (row, got) in got.iter().enumerate() {
            self.series(&format!("{path}/{row}"), got);
        }
        self.seen.insert(path.to_owned());
        let rows = self.expected(path).and_then(Value::as_array).map_or(0, Vec::len);
        if rows != got.len() {
            self.differ(format!("{path}: {} rows, expected {rows}", got.len()));
        }
    }

    /// The points (from 1) of which something holds, exactly.
    pub fn points(&mut self, path: &str, holds: impl IntoIterator<Item = bool>) {
        let Some(expected) = self.expected(path).cloned() else { return };
        self.seen.insert(path.to_owned());
        let got: Vec<u64> = holds.into_iter().zip(1..).filter(|(holds, _)| *holds).map(|(_, index)| index).collect();
        let expected: Vec<u64> = match &expected {
            Value::Array(items) => items.iter().filter_map(Value::as_u64).collect(),
            single => single.as_u64().into_iter().collect(),
        };
        self.compared += 1;
        if got != expected {
            self.differ(format!("{path}: got {got:?}, expected {expected:?}"));
        }
    }

    /// Streaming must equal batch to the bit.
    pub fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, streaming: &T, batch: &T) {
        if streaming != batch {
            self.differ(format!("{what}: streaming {streaming:?}, batch {batch:?}"));
        }
    }

    fn differ(&mut self, difference: String) {
        let label = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        self.first_difference.get_or_insert_with(|| label + &difference);
    }

    /// The verdict. A case of which nothing could be compared has not passed.
    pub fn finish(self) -> Outcome {
        if let Some(difference) = self.first_difference {
            return Outcome::Failed(difference);
        }
        if self.compared == 0 {
            return Outcome::Unsupported("none of its fields is covered".to_owned());
        }
        let mut uncovered = Vec::new();
        leaves(&self.expected, "", &self.seen, &mut uncovered);
        Outcome::Passed { uncovered }
    }
}

fn leaves(value: &Value, path: &str, seen: &BTreeSet<String>, uncovered: &mut Vec<String>) {
    if seen.contains(path) || DESCRIPTIVE.contains(&path) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                leaves(field, &path, seen, uncovered);
            }
        }
        _ => uncovered.push(path.to_owned()),
    }
}
