//! Grading as data: the first band a piece fits into is its grade.

use serde::{Deserialize, Serialize};

/// A versioned list of grade bands, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rubric {
    /// Version, counted up with every change; 0 is never a version.
    pub version: u16,
    /// The bands, best grade first. A piece that fits none gets the grade after the last.
    pub bands: Vec<Band>,
}

/// One grade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Name of the grade, for example `A`.
    pub grade: String,
    /// At most this many defects.
    pub defects_max: u16,
    /// At most this many suspects: findings below their class's threshold, but at or above `suspect_score`.
    pub suspects_max: u16,
    /// From this score on a finding below its threshold is a suspect, 0…1.
    pub suspect_score: f32,
}

impl Rubric {
    /// The 1-based index of the first band that admits `defects`, and suspects as counted by `suspects_from(score)`.
    /// One past the last band if none does.
    pub fn grade(&self, defects: u16, suspects_from: impl Fn(f32) -> u16) -> u16 {
        let fits = |band: &Band| defects <= band.defects_max && suspects_from(band.suspect_score) <= band.suspects_max;
        let index = self.bands.iter().position(fits).unwrap_or(self.bands.len());
        u16::try_from(index + 1).unwrap_or(u16::MAX)
    }

    /// The index of the worst grade, the one after the last band.
    #[must_use]
    pub fn worst(&self) -> u16 {
        u16::try_from(self.bands.len() + 1).unwrap_or(u16::MAX)
    }

    /// The name of a grade index; `-` for 0, `below LAST` for the grade after the last band.
    #[must_use]
    pub fn name(&self, grade: u16) -> String {
        match usize::from(grade).checked_sub(1) {
            None => "-".to_owned(),
            Some(index) => match (self.bands.get(index), self.bands.last()) {
                (Some(band), _) => band.grade.clone(),
                (None, Some(last)) => format!("below {}", last.grade),
                (None, None) => "-".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_band_that_fits_decides() {
        let band = |grade: &str, defects_max, suspects_max| Band { grade: grade.to_owned(), defects_max, suspects_max, suspect_score: 0.2 };
        let rubric = Rubric { version: 1, bands: vec![band("A", 0, 0), band("B", 0, 3)] };
        assert_eq!(rubric.grade(0, |_| 0), 1);
        assert_eq!(rubric.grade(0, |_| 2), 2);
        assert_eq!(rubric.grade(0, |_| 4), 3);
        assert_eq!(rubric.grade(1, |_| 0), 3);
        assert_eq!((rubric.name(1), rubric.name(3), rubric.name(0)), ("A".to_owned(), "below B".to_owned(), "-".to_owned()));
    }
}
