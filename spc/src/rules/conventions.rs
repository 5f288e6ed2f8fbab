//! The choices on which real programs differ, each by name, so that a chart can say how it counted.
//!
//! Invariant: lengths are checked before a chart is made, so that the engine's bit windows can hold every pattern.

use serde::{Deserialize, Serialize};

use crate::limits::SettingsError;

/// Longest pattern of any rule; the engine keeps one bit per point.
pub const WINDOW_MAX: u32 = 32;

/// Whether a length counts points or the steps between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// A trend of 6 is 6 points, 5 steps (Nelson 1984; JMP, R qcc).
    Points,
    /// A trend of 6 is 6 steps, 7 points (Minitab).
    Steps,
}

/// What two equal neighbours do to a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// They end it: "steadily" is strict.
    Break,
    /// They are one more step of it. Equal points alone are no trend: one real step must have come before.
    Continue,
}

/// What Nelson 8 asks of eight points beyond 1 sigma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixture {
    /// Some above and some below (Nelson 1984: "in both directions"; R qcc).
    BothSides,
    /// No matter where (Minitab, JASP, R Rspc).
    AnySide,
}

/// Whether k points can signal before n have been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialWindow {
    /// No: the window must be full (R qcc).
    Silent,
    /// Yes: 2 of 3 can signal at the second point (R Rspc).
    Signals,
}

/// How wide a zone is: what "1 sigma" and "2 sigma" mean in Nelson 5 to 8 and Western Electric 2 and 3. The same for limits
/// 3 standard errors from the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zones {
    /// One standard error of the statistic, wherever the limits are (Nelson 1984; Minitab).
    #[default]
    StandardErrors,
    /// A third of the distance from the centre to the limits: closer limits have closer zones (AIAG's zones A, B and C; R qcc).
    ThirdsOfLimits,
}

/// "k of n" of a zone rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KOfN {
    /// Points needed beyond the zone line, on one side, the newest among them.
    pub k: u32,
    /// Points looked at.
    pub n: u32,
}

/// How long each pattern must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lengths {
    /// Western Electric 4: points on one side.
    pub side_western_electric: u32,
    /// Nelson 2: points on one side. 9 (Nelson), 8 (Western Electric), 7 (AIAG, JASP).
    pub side: u32,
    /// Nelson 3: points or steps, see [`Counting`].
    pub trend: u32,
    /// Nelson 4: points or steps, see [`Counting`].
    pub alternation: u32,
    /// Nelson 5 and Western Electric 2: beyond 2 sigma.
    pub beyond_two: KOfN,
    /// Nelson 6 and Western Electric 3: beyond 1 sigma.
    pub beyond_one: KOfN,
    /// Nelson 7: points within 1 sigma.
    pub stratification: u32,
    /// Nelson 8: points beyond 1 sigma.
    pub mixture: u32,
}

/// Every choice together. The default is [`Conventions::REFERENCE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conventions {
    /// Nelson 3 counts points or steps.
    pub trend: Counting,
    /// Nelson 4 counts points or steps. Fourteen points are thirteen steps and twelve changes of direction.
    pub alternation: Counting,
    /// Nelson 3 and equal neighbours. An alternation is always ended by them.
    pub ties: Ties,
    /// Nelson 8 and sides.
    pub mixture: Mixture,
    /// Nelson 5, 6 and Western Electric 2, 3 at the start.
    pub partial_window: PartialWindow,
    /// Nelson 5 to 8 and Western Electric 2, 3 where limits are not 3 standard errors from the centre.
    #[serde(default)]
    pub zones: Zones,
    /// Pattern lengths.
    pub lengths: Lengths,
}

impl Conventions {
    /// As the sources say it: points are counted, ties break, Nelson 8 needs both sides, windows must be full, zones are
    /// standard errors.
    pub const REFERENCE: Self = Self {
        trend: Counting::Points,
        alternation: Counting::Points,
        ties: Ties::Break,
        mixture: Mixture::BothSides,
        partial_window: PartialWindow::Silent,
        zones: Zones::StandardErrors,
        lengths: Lengths {
            side_western_electric: 8,
            side: 9,
            trend: 6,
            alternation: 14,
            beyond_two: KOfN { k: 2, n: 3 },
            beyond_one: KOfN { k: 4, n: 5 },
            stratification: 15,
            mixture: 8,
        },
    };

    /// As Minitab counts: steps rather than points in Nelson 3 and 4, Nelson 8 on any side.
    pub const MINITAB: Self = Self { trend: Counting::Steps, alternation: Counting::Steps, mixture: Mixture::AnySide, ..Self::REFERENCE };

    /// As the R package Rspc does by default: Nelson 8 on any side, windows signal before they are full.
    pub const RSPC: Self = Self { mixture: Mixture::AnySide, partial_window: PartialWindow::Signals, ..Self::REFERENCE };

    /// The width of a zone in standard errors, for limits at `width` of them.
    pub(super) fn zone_width(&self, width: f64) -> f64 {
        if self.zones == Zones::ThirdsOfLimits { width / 3.0 } else { 1.0 }
    }

    /// # Errors
    /// A length of zero or above [`WINDOW_MAX`], a trend or alternation too short to have a direction, `k` above `n`.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let Lengths { side_western_electric, side, trend, alternation, beyond_two, beyond_one, stratification, mixture } = self.lengths;
        let window = 1..=WINDOW_MAX;
        let k_of_n = |zone: KOfN| (1..=zone.n).contains(&zone.k) && window.contains(&zone.n);
        let lengths = [
            ("side_western_electric", window.contains(&side_western_electric)),
            ("side", window.contains(&side)),
            ("trend", (2..=WINDOW_MAX).contains(&trend)),
            ("alternation", (3..=WINDOW_MAX).contains(&alternation)),
            ("beyond_two", k_of_n(beyond_two)),
            ("beyond_one", k_of_n(beyond_one)),
            ("stratification", window.contains(&stratification)),
            ("mixture", window.contains(&mixture)),
        ];
        match lengths.into_iter().find(|(_, possible)| !possible) {
            Some((name, _)) => Err(SettingsError::Length { name }),
            None => Ok(()),
        }
    }
}

impl Default for Conventions {
    fn default() -> Self {
        Self::REFERENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_lengths_are_named() {
        let mut conventions = Conventions::REFERENCE;
        assert_eq!(conventions.check(), Ok(()));
        conventions.lengths.beyond_one = KOfN { k: 6, n: 5 };
        assert_eq!(conventions.check(), Err(SettingsError::Length { name: "beyond_one" }));
        conventions.lengths.side = 0;
        assert_eq!(conventions.check(), Err(SettingsError::Length { name: "side" }));
        conventions = Conventions::MINITAB;
        conventions.lengths.mixture = WINDOW_MAX + 1;
        assert_eq!(conventions.check(), Err(SettingsError::Length { name: "mixture" }));
    }
}
