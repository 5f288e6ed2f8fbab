//! Variants of a package's weights (FP32, int8 …) and how fast they are said to be.
//!
//! Invariant: every variant is held to the same golden pieces; only how exactly may differ.

use super::manifest::{Manifest, Problems, is_plain};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Weights of a package. Without any the package has one, `fp32`, in `model.onnx`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantEntry {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Scores may differ by this much; as `parity` says if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_tolerance: Option<f32>,
    /// Sides of boxes may differ by this many pixels; as `parity` says if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub box_tolerance_pixels: Option<f32>,
}

/// What the package takes, by whoever made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Where it was measured.
    pub machine: String,
    /// What [`crate::choice::yardstick_millis`] took there, so that machines can be compared.
    pub yardstick_ms: f64,
    /// Milliseconds of CPU for a golden picture, median over all of them, of each variant.
    pub cpu_ms: BTreeMap<String, f64>,
}

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    let names: BTreeSet<_> = manifest.variant.iter().map(|variant| variant.name.as_str()).collect();
    problems.need(names.len() == manifest.variant.len(), || "variant names must differ".to_owned());
    for variant in &manifest.variant {
        let name = &variant.name;
        let good = is_plain(name) && name != crate::choice::FASTEST;
        problems.need(good, || {
            format!("variant {name:?}: a name is letters, digits, `-`, `_` and `.`, and not \"{}\"", crate::choice::FASTEST)
        });
        let tolerance = |value: Option<f32>, most: f32| value.is_none_or(|value| value > 0.0 && value <= most);
        problems.need(tolerance(variant.score_tolerance, 0.1) && tolerance(variant.box_tolerance_pixels, 8.0), || {
            format!("variant {name}: score_tolerance must be above 0 and at most 0.1, box_tolerance_pixels at most 8")
        });
    }
    if let Some(speed) = &manifest.speed {
        let good = |millis: f64| millis.is_finite() && millis > 0.0;
        problems.need(good(speed.yardstick_ms) && speed.cpu_ms.values().all(|millis| good(*millis)), || {
            "speed: yardstick_ms and every cpu_ms must be positive numbers".to_owned()
        });
        let known = |name: &String| names.contains(name.as_str()) || (names.is_empty() && name == super::FIRST_VARIANT);
        problems.need(speed.cpu_ms.keys().all(known), || "speed.cpu_ms must name variants of the package".to_owned());
    }
}
