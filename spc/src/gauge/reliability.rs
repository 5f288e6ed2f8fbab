//! Agreement on a scale: intraclass correlation of measured ratings, Kendall's W and tau of rankings.
//!
//! Invariants: all are at most 1; adding a constant to all ratings changes none; multiplying by a positive number changes
//! none.

use serde::{Deserialize, Serialize};

use crate::distribution::{chi_square_above, f_above, f_quantile, normal_above};
use crate::study::{self, StudyError, real};

/// What the raters stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IccModel {
    /// Each subject was rated by raters of its own.
    OneWay,
    /// The same raters rated all subjects; a rater who always reads higher does no harm.
    TwoWayConsistency,
    /// The same raters rated all subjects; the values themselves must agree.
    TwoWayAgreement,
}

/// What is used later: one rating, or the mean of as many as in the study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IccUnit {
    /// A single rating.
    Single,
    /// The mean over the raters.
    Average,
}

/// An intraclass correlation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Icc {
    /// Estimate; can be negative where subjects differ less than raters.
    pub value: f64,
    /// F of "no correlation".
    pub f: f64,
    /// Degrees of freedom of its numerator.
    pub freedom_above: f64,
    /// Degrees of freedom of its denominator.
    pub freedom_below: f64,
    /// Probability of at least such an F without correlation.
    pub p: f64,
    /// Lower end of the confidence interval. For agreement the interval is an approximation, which can miss a negative estimate.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

/// Intraclass correlation; `ratings` has a row per subject and a column per rater.
///
/// Source: K. O. McGraw and S. P. Wong, "Forming inferences about some intraclass correlation coefficients", Psychological
/// Methods 1 (1996) 30–46, tables 4, 7 and 8.
///
/// # Errors
/// Fewer than two subjects or raters; rows of different length; NaN or infinite ratings (place counted row by row); a
/// confidence not between 0 and 1; ratings that do not vary between subjects, or not at all within them.
pub fn icc(ratings: &[Vec<f64>], model: IccModel, unit: IccUnit, confidence: f64) -> Result<Icc, StudyError> {
    study::share("confidence", confidence)?;
    let squares = MeanSquares::of(ratings)?;
    let MeanSquares { n, k, rows, within, error, .. } = squares;
    let least = if model == IccModel::OneWay { within } else { error };
    if !study::varies(rows) || !study::varies(least) {
        return Err(StudyError::NoVariation { what: "ratings between or within subjects" });
    }
    let upper = 0.5 + 0.5 * confidence;
    if model == IccModel::TwoWayAgreement {
        return Ok(squares.agreement(unit, upper));
    }
    let (above, below) = (n - 1.0, if model == IccModel::OneWay { n * (k - 1.0) } else { (n - 1.0) * (k - 1.0) });
    let f = rows / least;
    let (low, high) = (f / f_quantile(upper, above, below), f * f_quantile(upper, below, above));
    let of = |f: f64| if unit == IccUnit::Single { (f - 1.0) / (f + k - 1.0) } else { 1.0 - 1.0 / f };
    Ok(Icc { value: of(f), f, freedom_above: above, freedom_below: below, p: f_above(f, above, below), low: of(low), high: of(high) })
}

/// Mean squares of a two-way table without repetition.
struct MeanSquares {
    n: f64,
    k: f64,
    rows: f64,
    columns: f64,
    within: f64,
    error: f64,
}

impl MeanSquares {
    fn of(ratings: &[Vec<f64>]) -> Result<Self, StudyError> {
        let raters = rectangle(ratings)?;
        let (n, k) = (real(ratings.len()), real(raters));
        let row_means: Vec<f64> = ratings.iter().map(|row| study::mean(row)).collect();
        let grand = study::mean(&row_means);
        let column_means: Vec<f64> = (0..raters).map(|rater| study::sum(ratings.iter().map(|row| row[rater])) / n).collect();
        let within = study::sum(ratings.iter().zip(&row_means).map(|(row, mean)| study::squares(row, *mean)));
        let columns = n * study::squares(&column_means, grand);
        let residual = ratings.iter().zip(&row_means).flat_map(|(row, mean)| {
            row.iter().zip(&column_means).map(move |(value, column)| {
                let away = value - mean - column + grand;
                away * away
            })
        });
        Ok(Self {
            n,
            k,
            rows: k * study::squares(&row_means, grand) / (n - 1.0),
            columns: columns / (k - 1.0),
            within: within / (n * (k - 1.0)),
            error: study::sum(residual) / ((n - 1.0) * (k - 1.0)),
        })
    }

    fn agreement(&self, unit: IccUnit, upper: f64) -> Icc {
        let Self { n, k, .. } = *self;
        // In units of the mean square of the rows, so that squares of squares stay in range.
        let (rows, columns, error) = (1.0, self.columns / self.rows, self.error / self.rows);
        // A mean over k raters has k times less of the raters' and the error's variance.
        let raters = if unit == IccUnit::Single { k } else { 1.0 };
        let value = (rows - error) / (rows + (raters - 1.0) * error + raters / n * (columns - error));
        let a = raters * value / (n * (1.0 - value));
        let b = 1.0 + raters * value * (n - 1.0) / (n * (1.0 - value));
        let mixed = (a * columns + b * error).powi(2);
        let freedom = mixed / ((a * columns).powi(2) / (k - 1.0) + (b * error).powi(2) / ((n - 1.0) * (k - 1.0)));
        let (above, below) = (n - 1.0, freedom);
        let (f_low, f_high) = (f_quantile(upper, above, below), f_quantile(upper, below, above));
        let rest = if unit == IccUnit::Single { k * columns + (k * n - k - n) * error } else { columns - error };
        let f = rows / error;
        let (low, high) =
            (n * (rows - f_low * error) / (f_low * rest + n * rows), n * (f_high * rows - error) / (rest + n * f_high * rows));
        // With next to no degrees of freedom left both ends are one limit, apart from rounding.
        let (low, high) = (low.min(high), high.max(low));
        Icc { value, f, freedom_above: above, freedom_below: below, p: f_above(f, above, below), low, high }
    }
}

/// Kendall's coefficient of concordance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Concordance {
    /// 0 no agreement, 1 the same order by all raters.
    pub w: f64,
    /// raters · (subjects − 1) · W, compared with chi-square.
    pub chi_square: f64,
    /// Its degrees of freedom, subjects − 1.
    pub freedom: f64,
    /// Probability of at least such a W by chance.
    pub p: f64,
}

/// What ties do to Kendall's W. Programs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ties {
    /// W is divided by the most that is possible with the ties there are.
    #[default]
    Corrected,
    /// W is divided by the most that is possible without ties, and comes out too small with them.
    Ignored,
}

/// Kendall's W; `ratings` has a row per subject and a column per rater, as scores or ranks. Ties share their mean rank.
///
/// Source: M. G. Kendall and B. Babington Smith, Annals of Mathematical Statistics 10 (1939) 275–287; S. Siegel and
/// N. J. Castellan, Nonparametric Statistics for the Behavioral Sciences, section 9.6 (ties).
///
/// # Errors
/// As [`icc`]; a table in which no rater tells any subjects apart.
pub fn kendall(ratings: &[Vec<f64>], correction: Ties) -> Result<Concordance, StudyError> {
    let raters = rectangle(ratings)?;
    let (n, m) = (real(ratings.len()), real(raters));
    let mut totals = vec![0.0; ratings.len()];
    let mut ties = 0.0;
    for rater in 0..raters {
        let column: Vec<f64> = ratings.iter().map(|row| row[rater]).collect();
        for (total, value) in totals.iter_mut().zip(&column) {
            let below = real(column.iter().filter(|other| *other < value).count());
            let same = real(column.iter().filter(|other| *other == value).count());
            *total += below + 0.5 * (same + 1.0);
            // Each of t equal values adds t² − 1, together t³ − t.
            ties += same * same - 1.0;
        }
    }
    let spread = study::squares(&totals, study::mean(&totals));
    let untied = m * m * (n * n * n - n);
    if untied - m * ties <= 0.0 {
        return Err(StudyError::NoVariation { what: "ratings" });
    }
    let w = 12.0 * spread / if correction == Ties::Corrected { untied - m * ties } else { untied };
    let chi_square = m * (n - 1.0) * w;
    Ok(Concordance { w, chi_square, freedom: n - 1.0, p: chi_square_above(chi_square, n - 1.0) })
}

/// Kendall's rank correlation of an appraiser with another, or with the standard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankCorrelation {
    /// τ-b: −1 for the opposite order to 1 for the same, ties on either side left out of the possible pairs.
    pub tau: f64,
    /// Standard normal under independence.
    pub z: f64,
    /// Two-sided probability of at least such a z by chance.
    pub p: f64,
}

/// Kendall's τ-b of two lists of scores on the same subjects, for verdicts that have an order (good, fair, poor).
///
/// Source: M. G. Kendall, Rank Correlation Methods, 4th edition (1970), chapters 3 and 4 (ties, variance).
///
/// # Errors
/// Fewer than three subjects; lists of different length; NaN or infinite scores (by place in the list that has one); a list
/// whose scores are all equal.
pub fn kendall_tau(first: &[f64], second: &[f64]) -> Result<RankCorrelation, StudyError> {
    study::finite(first, 3)?;
    study::finite(second, 3)?;
    if first.len() != second.len() {
        let place = first.len().min(second.len()) + 1;
        return Err(StudyError::Layout { what: "a missing score", place, mend: "give both scores of every subject" });
    }
    let order = |list: &[f64], i: usize, j: usize| list[i].total_cmp(&list[j]) as i8;
    let mut score = 0_i64;
    for i in 0..first.len() {
        score += (0..i).map(|j| i64::from(order(first, i, j) * order(second, i, j))).sum::<i64>();
    }
    let (n, score) = (real(first.len()), score as f64);
    let (x, y) = (TieSums::of(first), TieSums::of(second));
    let pairs = n * (n - 1.0);
    if x.pairs >= pairs || y.pairs >= pairs {
        return Err(StudyError::NoVariation { what: "scores" });
    }
    let variance = (pairs * (2.0 * n + 5.0) - x.spread - y.spread) / 18.0
        + x.triples * y.triples / (9.0 * pairs * (n - 2.0))
        + x.pairs * y.pairs / (2.0 * pairs);
    let z = score / variance.sqrt();
    let tau = 2.0 * score / ((pairs - x.pairs) * (pairs - y.pairs)).sqrt();
    Ok(RankCorrelation { tau, z, p: (2.0 * normal_above(z.abs())).min(1.0) })
}

/// Sums over groups of t equal scores.
struct TieSums {
    /// Σ t(t − 1).
    pairs: f64,
    /// Σ t(t − 1)(t − 2).
    triples: f64,
    /// Σ t(t − 1)(2t + 5).
    spread: f64,
}

impl TieSums {
    fn of(list: &[f64]) -> Self {
        let sorted = study::sorted(list);
        let sizes = || sorted.chunk_by(|a, b| a == b).map(|group| real(group.len()));
        Self {
            pairs: sizes().map(|t| t * (t - 1.0)).sum(),
            triples: sizes().map(|t| t * (t - 1.0) * (t - 2.0)).sum(),
            spread: sizes().map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum(),
        }
    }
}

/// Number of raters of a full table of at least two by two finite ratings.
fn rectangle(ratings: &[Vec<f64>]) -> Result<usize, StudyError> {
    study::enough("subjects", 2, ratings.len())?;
    let raters = ratings[0].len();
    study::enough("raters", 2, raters)?;
    if let Some(index) = ratings.iter().position(|row| row.len() != raters) {
        return Err(StudyError::Layout {
            what: "a subject with missing ratings",
            place: index + 1,
            mend: "give every rater's rating or leave the subject out",
        });
    }
    study::finite(&ratings.concat(), 0)?;
    Ok(raters)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shrout and Fleiss, Psychological Bulletin 86 (1979) 420–428, table 4: six subjects, four judges.
    fn judges() -> Vec<Vec<f64>> {
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
            .map(|row| row.map(f64::from).to_vec())
            .to_vec()
    }

    /// Estimates as published there; 95 % intervals as the documentation of the R package psych prints them for these data.
    #[test]
    fn agrees_with_the_published_example() {
        let published = [
            (IccModel::OneWay, IccUnit::Single, 0.17, -0.133, 0.72),
            (IccModel::TwoWayAgreement, IccUnit::Single, 0.29, 0.019, 0.76),
            (IccModel::TwoWayConsistency, IccUnit::Single, 0.71, 0.342, 0.95),
            (IccModel::OneWay, IccUnit::Average, 0.44, -0.884, 0.91),
            (IccModel::TwoWayAgreement, IccUnit::Average, 0.62, 0.071, 0.93),
            (IccModel::TwoWayConsistency, IccUnit::Average, 0.91, 0.676, 0.99),
        ];
        for (model, unit, expected, low, high) in published {
            let found = icc(&judges(), model, unit, 0.95).unwrap();
            assert!((found.value - expected).abs() < 0.005, "{model:?} {unit:?} {found:?}");
            assert!((found.low - low).abs() < 0.001 && (found.high - high).abs() < 0.006, "{model:?} {unit:?} {found:?}");
        }
    }

    #[test]
    fn the_same_order_by_all_is_one() {
        let rows: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), f64::from(10 * i), f64::from(i * i)]).collect();
        let full = kendall(&rows, Ties::Corrected).unwrap();
        assert!((full.w - 1.0).abs() < 1e-12 && (full.chi_square - 12.0).abs() < 1e-12);
        let turned: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), f64::from(-i)]).collect();
        assert!(kendall(&turned, Ties::Corrected).unwrap().w.abs() < 1e-12);
    }

    /// Two raters, three subjects, scores 1 1 2 and 1 2 2. By hand: rank sums 2.5, 4, 5.5, squares 4.5; 12 · 4.5 over
    /// 4 · 24 without correction and over 4 · 24 − 2 · 12 with.
    #[test]
    fn ties_can_be_corrected_for() {
        let rows = vec![vec![1.0, 1.0], vec![1.0, 2.0], vec![2.0, 2.0]];
        assert!((kendall(&rows, Ties::Ignored).unwrap().w - 54.0 / 96.0).abs() < 1e-12);
        assert!((kendall(&rows, Ties::Corrected).unwrap().w - 54.0 / 72.0).abs() < 1e-12);
    }

    /// Reference: scipy.stats.kendalltau(method="asymptotic"), whose z is a standard normal quantile of its p.
    #[test]
    fn tau_agrees_with_an_independent_program() {
        let first = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0, 5.0];
        let second = [2.0, 1.0, 2.0, 4.0, 3.0, 4.0, 5.0, 5.0];
        let found = kendall_tau(&first, &second).unwrap();
        assert!((found.tau - 0.694_022_093_788_567_3).abs() < 1e-12 && (found.p - 0.025_722_297_269_684_2).abs() < 1e-12, "{found:?}");
        let turned: Vec<f64> = second.iter().map(|score| 7.0 - score).collect();
        let turned = kendall_tau(&first, &turned).unwrap();
        assert!((turned.tau + found.tau).abs() < 1e-15 && turned.p == found.p);
        assert!(kendall_tau(&first, &[1.0; 8]).is_err() && kendall_tau(&first, &second[1..]).is_err());
    }

    #[test]
    fn refuses_holes_and_dead_scales() {
        assert!(kendall(&[vec![1.0, 1.0], vec![1.0, 1.0]], Ties::Ignored).is_err());
        assert!(matches!(kendall(&[vec![1.0, 1.0], vec![1.0]], Ties::Corrected), Err(StudyError::Layout { place: 2, .. })));
        assert!(matches!(
            icc(&[vec![1.0, f64::NAN], vec![1.0, 2.0]], IccModel::OneWay, IccUnit::Single, 0.95),
            Err(StudyError::NotFinite { place: 2, .. })
        ));
        let flat = vec![vec![1.0, 1.0], vec![2.0, 2.0]];
        assert!(icc(&flat, IccModel::OneWay, IccUnit::Single, 0.95).is_err());
    }
}
