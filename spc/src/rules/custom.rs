//! Patterns of the user's own: k of n points beyond z sigma.
//!
//! Invariant: a pattern that passes its check fits the engine's windows, and its line lies at a positive distance.

use serde::{Deserialize, Serialize};

use super::Rule;
use super::conventions::WINDOW_MAX;
use crate::limits::SettingsError;

/// Patterns that one rule set has room for.
pub const CUSTOM_MAX: usize = 4;

pub(super) const RULES: [Rule; CUSTOM_MAX] = [Rule::Custom1, Rule::Custom2, Rule::Custom3, Rule::Custom4];

/// Where the k points must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// All on the side of the newest point.
    One,
    /// On either side, no matter how many on which.
    Any,
}

/// "k of n beyond z sigma", the newest point among them. The window must be full.
///
/// Where the lines have no zones (phase I without variation) it is silent, as Nelson 5 and 6 are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ZoneRule {
    /// Points needed, 1 to `n`.
    pub k: u32,
    /// Points looked at, up to 32.
    pub n: u32,
    /// Distance of the line from the centre in standard errors; "beyond" is strict.
    pub z: f64,
    /// Whether the sides count together.
    pub sides: Sides,
}

impl ZoneRule {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let Self { k, n, z, .. } = *self;
        if (1..=WINDOW_MAX).contains(&n) && (1..=n).contains(&k) && z > 0.0 && z <= 1000.0 {
            Ok(())
        } else {
            Err(SettingsError::Length { name: "custom" })
        }
    }
}
