//! What the classes of a board's faults do to its copper, so that the copper itself can name them.

use super::manifest::{ClassEntry, Input, Problems};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which class stands for what a fault does to the copper of a board, dark on both pictures.
///
/// The model says where a fault is and whether copper is missing or too much. Its name then follows from the copper,
/// wherever a pixel more or less would not change that name; `decode/copper.rs` says how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copper {
    /// Grey levels below this, after black and white are stretched, are copper.
    pub level: u8,
    /// As many pixels of the input around a finding are looked at too, on the golden picture.
    pub margin: u32,
    /// Copper or bare board that covers fewer pixels of the input is a crumb and counts as nothing.
    pub crumb_pixels: u32,
    /// Copper is missing, and what was one piece are two.
    pub cut: String,
    /// Copper is missing at an edge.
    pub bite: String,
    /// Copper is missing, with copper all around.
    pub hole: String,
    /// Copper is too much, and what were two pieces are one.
    pub bridge: String,
    /// Copper is too much and touches one piece.
    pub bump: String,
    /// Copper is too much and touches none.
    pub island: String,
}

impl Copper {
    /// The six names: cut, bite and hole (copper is missing), then bridge, bump and island.
    #[must_use]
    pub fn names(&self) -> [&str; 6] {
        [&self.cut, &self.bite, &self.hole, &self.bridge, &self.bump, &self.island]
    }

    pub(super) fn check(&self, input: &Input, classes: &[ClassEntry], at: &str, problems: &mut Problems) {
        problems.need(self.level > 0, || format!("{at}.copper.level must be 1 to 255"));
        problems.need(self.margin <= 64, || format!("{at}.copper.margin must be 0 to 64"));
        problems.need((1..=10_000).contains(&self.crumb_pixels), || format!("{at}.copper.crumb_pixels must be 1 to 10000"));
        problems.need(input.scale > 0.0, || format!("{at}.copper needs an input.scale above 0, so that copper stays dark"));
        for name in self.names() {
            let known = classes.iter().any(|class| class.name == name);
            problems.need(known, || format!("{at}.copper: there is no class {name}"));
        }
        let different = self.names().iter().collect::<BTreeSet<_>>().len();
        problems.need(different == 6, || format!("{at}.copper must name six classes, each once"));
    }
}
