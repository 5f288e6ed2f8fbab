//! The runs analysis of run charts: is the longest run too long, does the line cross the centre too rarely?
//!
//! Unlike the windows of the other rules it looks at a whole stretch, and unlike them it needs no sigma and no
//! distribution but an even chance to lie above or below the centre.
//!
//! Invariants: constant memory and time per point; points on the centre line count for nothing.

use serde::{Deserialize, Serialize};

use crate::distribution::binomial_quantile;

/// Runs and crossings of a stretch so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Crossings {
    useful: u32,
    crossings: u32,
    longest: u32,
    run: u32,
    above: bool,
}

/// What the runs of a stretch say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingsVerdict {
    /// Points that do not lie on the centre line.
    pub useful: u32,
    /// Points of the longest run on one side.
    pub longest_run: u32,
    /// Longest run that chance explains: log2 of the useful points, rounded, plus 3.
    pub longest_run_max: u32,
    /// How often the line crossed the centre.
    pub crossings: u32,
    /// Fewest crossings that chance explains: 5 % quantile of the binomial distribution of `useful − 1` even chances.
    pub crossings_min: u32,
    /// Too long a run, or too few crossings.
    pub signal: bool,
}

impl Crossings {
    /// Takes the next point of the stretch.
    pub fn push(&mut self, statistic: f64, centre: f64) {
        let above = statistic > centre;
        if !above && statistic >= centre {
            return;
        }
        let goes_on = self.useful > 0 && above == self.above;
        if self.useful > 0 && !goes_on {
            self.crossings = self.crossings.saturating_add(1);
        }
        self.run = if goes_on { self.run.saturating_add(1) } else { 1 };
        self.longest = self.longest.max(self.run);
        self.useful = self.useful.saturating_add(1);
        self.above = above;
    }

    /// The verdict on the stretch so far; `None` while every point lies on the centre line.
    ///
    /// Source: J. Anhøj and A. V. Olesen, "Run charts revisited", PLoS ONE 9(11), 2014, e113825; M. F. Schilling, "The
    /// surprising predictability of long runs", Mathematics Magazine 85, 2012; Z. Chen, "A note on the runs test", Model
    /// Assisted Statistics and Applications 5, 2010.
    pub fn verdict(&self) -> Option<CrossingsVerdict> {
        let Self { useful, crossings, longest, .. } = *self;
        let whole = useful.checked_ilog2()?;
        // log2 n rounds up from 2^(k + 1/2) on: n² >= 2^(2k + 1), exactly.
        let square = u64::from(useful) * u64::from(useful);
        let rounded = whole + u32::from(square >= 1_u64.checked_shl(2 * whole + 1).unwrap_or(u64::MAX));
        let (longest_run_max, crossings_min) = (rounded + 3, fewest_crossings(useful));
        let signal = longest > longest_run_max || crossings < crossings_min;
        Some(CrossingsVerdict { useful, longest_run: longest, longest_run_max, crossings, crossings_min, signal })
    }
}

fn fewest_crossings(useful: u32) -> u32 {
    let chances = useful.saturating_sub(1);
    let quantile = binomial_quantile(0.05, f64::from(chances), 0.5);
    // A whole number from 0 to `chances`: found by halving, because a cast could lose something.
    let (mut low, mut high) = (0, chances);
    while low < high {
        let middle = low.midpoint(high);
        if f64::from(middle) >= quantile { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(points: &[f64]) -> Crossings {
        let mut crossings = Crossings::default();
        points.iter().for_each(|x| crossings.push(*x, 0.0));
        crossings
    }

    #[test]
    fn counts_runs_and_crossings() {
        let verdict = of(&[1.0, 2.0, 0.0, 3.0, -1.0, -1.0, 4.0]).verdict().unwrap();
        assert_eq!((verdict.useful, verdict.longest_run, verdict.crossings), (6, 3, 2));
        assert_eq!(of(&[0.0, 0.0]).verdict(), None);
        assert_eq!(of(&[1.0]).verdict().unwrap().crossings_min, 0);
    }

    /// round(log2 n) + 3 and scipy.stats.binom.ppf(0.05, n - 1, 0.5): useful points, longest run, fewest crossings.
    #[test]
    fn limits_are_the_quantiles() {
        for (useful, longest, fewest) in [(10_u8, 6, 2), (15, 7, 4), (20, 7, 6), (24, 8, 8), (30, 8, 10), (50, 9, 19), (100, 10, 41)] {
            let alternating: Vec<f64> = (0..useful).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
            let verdict = of(&alternating).verdict().unwrap();
            assert_eq!((verdict.longest_run_max, verdict.crossings_min, verdict.signal), (longest, fewest, false), "{useful}");
        }
        assert!(of(&[1.0; 10]).verdict().unwrap().signal);
    }
}
