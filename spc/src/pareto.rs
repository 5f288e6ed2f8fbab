//! Which defects are worth a kaizen first (Pareto table), and how readings spread (histogram).
//!
//! Invariants: every count ends in exactly one row or bin; percentages end at 100.

use serde::{Deserialize, Serialize};

use crate::distribution::normal_quantile;
use crate::study::{self, StudyError, real};
use crate::univariate::Summary;

/// One row of a Pareto table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParetoRow {
    /// Kind of defect.
    pub category: String,
    /// How many.
    pub count: u64,
    /// This row and all above it.
    pub cumulative: u64,
    /// Share of the total, percent.
    pub percent: f64,
    /// Share of this row and all above it, percent.
    pub cumulative_percent: f64,
}

/// Rows by falling count; equal counts stay in the order given, categories given twice are added up at their first place.
///
/// Source: J. M. Juran, Quality Control Handbook, chapter "Pareto analysis". An empty list or a total of zero gives an empty
/// table.
#[must_use]
pub fn pareto<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<ParetoRow> {
    let mut totals: Vec<(&str, u64)> = Vec::new();
    for (category, count) in counts {
        match totals.iter_mut().find(|(known, _)| *known == category) {
            Some((_, total)) => *total = total.saturating_add(count),
            None => totals.push((category, count)),
        }
    }
    totals.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: u64 = totals.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
    if total == 0 {
        return Vec::new();
    }
    let percent = |count: u64| 100.0 * (count as f64) / (total as f64);
    let mut cumulative = 0_u64;
    let row = |(category, count): (&str, u64)| {
        cumulative = cumulative.saturating_add(count);
        let cumulative_percent = percent(cumulative);
        ParetoRow { category: category.to_owned(), count, cumulative, percent: percent(count), cumulative_percent }
    };
    totals.into_iter().map(row).collect()
}

/// How many bins a histogram gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Bins {
    /// ⌈log2 n⌉ + 1. H. A. Sturges, JASA 21 (1926) 65–66.
    Sturges,
    /// Width 3.49 s n^(−1/3). D. W. Scott, Biometrika 66 (1979) 605–610.
    Scott,
    /// Width 2 IQR n^(−1/3). D. Freedman and P. Diaconis, Z. Wahrscheinlichkeitstheorie 57 (1981) 453–476. Where half of all
    /// readings are tied, so that there is no IQR, as [`Bins::Sturges`].
    FreedmanDiaconis,
    /// This many of equal width between the smallest and the largest reading.
    Count(usize),
    /// Edges at whole multiples of this width, in the unit of the readings: bins that stay put from lot to lot.
    Width(f64),
}

/// Readings counted into bins, of equal width unless the edges were given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Edges, rising, one more than counts, in the unit of the readings.
    pub edges: Vec<f64>,
    /// Readings in each bin; a reading on an inner edge belongs to the bin above it, one on the last edge to the last bin.
    pub counts: Vec<u64>,
}

/// Bins a page can still show; rules that ask for more are cut to this.
const BINS_MAX: usize = 10_000;

impl Histogram {
    /// Counts readings into bins. Readings that do not vary fill one bin of width 1 (or of the width asked for).
    ///
    /// # Errors
    /// No readings; NaN or infinite ones; a width or number of bins that is not above zero or gives more than 10 000 bins.
    pub fn of(data: &[f64], bins: Bins) -> Result<Self, StudyError> {
        study::finite(data, 1)?;
        let least = data.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = data.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let edges = match bins {
            Bins::Width(width) => multiples(study::above_zero("bin width", width)?, least, greatest)?,
            _ if least == greatest => vec![least - 0.5, least + 0.5],
            Bins::Count(count) => between(least, greatest, count)?,
            Bins::Sturges => between(least, greatest, 1 + bits(data.len()))?,
            Bins::Scott => between(least, greatest, fitting(3.49 * Summary::of(data)?.std_dev, data.len(), greatest - least))?,
            Bins::FreedmanDiaconis => {
                let sorted = study::sorted(data);
                let width = 2.0 * (quantile(&sorted, 0.75) - quantile(&sorted, 0.25));
                let count = if width > 0.0 { fitting(width, data.len(), greatest - least) } else { 1 + bits(data.len()) };
                between(least, greatest, count)?
            }
        };
        Ok(Self::counted(data, edges))
    }

    /// Counts readings between these edges, which need not be evenly spaced: the specification's own classes, or those of the
    /// last lot.
    ///
    /// # Errors
    /// NaN or infinite readings; fewer than two edges; edges that are not finite or do not rise; readings outside the outer
    /// edges, by place.
    pub fn with_edges(data: &[f64], edges: &[f64]) -> Result<Self, StudyError> {
        study::finite(data, 0)?;
        study::enough("edges", 2, edges.len())?;
        study::finite(edges, 2)?;
        let layout = |what, index: usize, mend| Err(StudyError::Layout { what, place: index + 1, mend });
        if let Some(index) = edges.windows(2).position(|pair| pair[0] >= pair[1]) {
            return layout("an edge at or below the one before", index + 1, "give rising edges");
        }
        let outer = edges[0]..=edges[edges.len() - 1];
        match data.iter().position(|value| !outer.contains(value)) {
            Some(index) => layout("a reading outside the edges", index, "widen the outer edges"),
            None => Ok(Self::counted(data, edges.to_vec())),
        }
    }

    fn counted(data: &[f64], edges: Vec<f64>) -> Self {
        let mut counts = vec![0_u64; edges.len() - 1];
        for value in data {
            let above = edges.partition_point(|edge| edge <= value);
            counts[above.saturating_sub(1).min(edges.len() - 2)] += 1;
        }
        Self { edges, counts }
    }

    /// How many readings of a normal distribution each bin would hold, to draw over the bars; `None` for a mean or standard
    /// deviation that makes no distribution (NaN, infinite, zero spread).
    #[must_use]
    pub fn expected_normal(&self, mean: f64, std_dev: f64) -> Option<Vec<f64>> {
        let possible = mean.is_finite() && std_dev.is_finite() && std_dev > 0.0;
        let total = self.counts.iter().sum::<u64>() as f64;
        let below = |edge: f64| crate::distribution::normal_below((edge - mean) / std_dev);
        possible.then(|| self.edges.windows(2).map(|pair| total * (below(pair[1]) - below(pair[0]))).collect())
    }
}

/// Straight-line interpolation between order statistics (type 7 of Hyndman and Fan, The American Statistician 50 (1996) 361).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * real(sorted.len() - 1);
    let index = (0..sorted.len()).take_while(|index| real(*index) <= place).last().unwrap_or(0);
    let next = sorted.get(index + 1).copied().unwrap_or(sorted[index]);
    sorted[index] + (place - real(index)) * (next - sorted[index])
}

/// ⌈log2 n⌉.
fn bits(count: usize) -> usize {
    (0..usize::BITS as usize)
        .find(|bits| 1_usize.checked_shl(u32::try_from(*bits).unwrap_or(0)).is_some_and(|power| power >= count))
        .unwrap_or(0)
}

/// Number of bins of about `spread · n^(−1/3)` that cover the span; one where the spread is zero.
fn fitting(spread: f64, count: usize, span: f64) -> usize {
    let wanted = span / (spread / real(count).cbrt());
    (1..=BINS_MAX).find(|bins| real(*bins) >= wanted).unwrap_or(if wanted.is_finite() { BINS_MAX } else { 1 })
}

fn between(least: f64, greatest: f64, count: usize) -> Result<Vec<f64>, StudyError> {
    if !(1..=BINS_MAX).contains(&count) {
        return Err(StudyError::Setting { what: "number of bins", value: real(count), wanted: "1 to 10000" });
    }
    // The last edge is the largest reading itself, so that rounding cannot push it out.
    Ok((0..=count).map(|i| if i == count { greatest } else { least + (greatest - least) * real(i) / real(count) }).collect())
}

fn multiples(width: f64, least: f64, greatest: f64) -> Result<Vec<f64>, StudyError> {
    let (first, last) = ((least / width).floor(), (greatest / width).floor() + 1.0);
    if last - first > real(BINS_MAX) {
        return Err(StudyError::Setting { what: "bin width", value: width, wanted: "a width that gives at most 10000 bins" });
    }
    Ok(std::iter::successors(Some(first), |edge| (*edge < last).then_some(edge + 1.0)).map(|edge| edge * width).collect())
}

/// Points of a normal probability plot: (standard normal quantile at (i − 3/8)/(n + 1/4), i-th smallest reading).
///
/// Source: G. Blom, Statistical Estimates and Transformed Beta-Variables (1958).
///
/// # Errors
/// No readings; NaN or infinite ones.
pub fn normal_plot(data: &[f64]) -> Result<Vec<(f64, f64)>, StudyError> {
    study::finite(data, 1)?;
    let size = real(data.len());
    Ok(study::sorted(data)
        .into_iter()
        .zip(1..)
        .map(|(value, rank)| (normal_quantile((f64::from(rank) - 0.375) / (size + 0.25)), value))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fall_and_ties_keep_their_order() {
        let rows = pareto([("dent", 2), ("scratch", 5), ("void", 2), ("dent", 0), ("scratch", 1)]);
        let names: Vec<_> = rows.iter().map(|row| (row.category.as_str(), row.count, row.cumulative)).collect();
        assert_eq!(names, [("scratch", 6, 6), ("dent", 2, 8), ("void", 2, 10)]);
        assert_eq!(rows[2].cumulative_percent, 100.0);
        assert!(pareto([]).is_empty() && pareto([("dent", 0)]).is_empty());
    }

    #[test]
    fn every_reading_is_in_one_bin() {
        let data: Vec<f64> = (0..97).map(|i| f64::from((i * i) % 31) * 0.1 - 1.3).collect();
        for bins in [Bins::Sturges, Bins::Scott, Bins::FreedmanDiaconis, Bins::Count(7), Bins::Width(0.25)] {
            let histogram = Histogram::of(&data, bins).unwrap();
            assert_eq!(histogram.counts.iter().sum::<u64>(), 97, "{bins:?}");
            assert_eq!(histogram.edges.len(), histogram.counts.len() + 1);
            assert!(histogram.edges.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(Histogram::of(&data, Bins::Sturges).unwrap().counts.len(), 8);
    }

    #[test]
    fn an_edge_belongs_to_the_bin_above() {
        let histogram = Histogram::of(&[0.0, 1.0, 2.0, 2.0], Bins::Count(2)).unwrap();
        assert_eq!(histogram.counts, [1, 3]);
        let drawn = histogram.expected_normal(1.0, 0.5).unwrap();
        assert!((drawn[0] - drawn[1]).abs() < 1e-12 && (drawn[0] + drawn[1] - 4.0 * 0.954_499_736_103_641_6).abs() < 1e-9);
        assert_eq!(histogram.expected_normal(1.0, 0.0), None);
        assert_eq!(Histogram::of(&[3.0, 3.0], Bins::Scott).unwrap().counts, [2]);
        assert!(Histogram::of(&[1.0, f64::NAN], Bins::Scott).is_err());
        assert!(Histogram::of(&[0.0, 1.0], Bins::Width(1e-9)).is_err());
    }

    #[test]
    fn given_edges_are_kept_and_must_hold_all_readings() {
        let edges = [0.0, 1.0, 5.0];
        assert_eq!(Histogram::with_edges(&[0.0, 0.9, 1.0, 5.0], &edges).unwrap().counts, [2, 2]);
        assert!(matches!(Histogram::with_edges(&[1.0, 5.1], &edges), Err(StudyError::Layout { place: 2, .. })));
        assert!(matches!(Histogram::with_edges(&[1.0], &[0.0, 2.0, 2.0]), Err(StudyError::Layout { place: 3, .. })));
        assert!(Histogram::with_edges(&[1.0], &[0.0]).is_err() && Histogram::with_edges(&[f64::NAN], &edges).is_err());
    }

    #[test]
    fn ties_do_not_hide_the_spread() {
        let mut coarse = vec![2.0; 60];
        coarse.extend([1.0, 3.0, 4.0]);
        assert_eq!(Histogram::of(&coarse, Bins::FreedmanDiaconis).unwrap().counts.len(), 7);
        assert_eq!(Histogram::of(&[3.0; 9], Bins::FreedmanDiaconis).unwrap().counts, [9]);
    }
}
