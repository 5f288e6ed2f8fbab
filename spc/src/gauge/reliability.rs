//! Agreement on a scale: intraclass correlation of measured ratings, Kendall's W of rankings.
//!
//! Invariants: both are at most 1; adding a constant to all ratings changes neither; multiplying by a positive number
//! changes neither.

use serde::{Deserialize, Serialize};

use crate::distribution::{chi_square_below, f_above, f_quantile};
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
    /// Lower end of the confidence interval.
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
    if rows <= 0.0 || least <= 0.0 {
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
        let Self { n, k, rows, columns, error, .. } = *self;
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
        Icc {
            value,
            f,
            freedom_above: above,
            freedom_below: below,
            p: f_above(f, above, below),
            low: n * (rows - f_low * error) / (f_low * rest + n * rows),
            high: n * (f_high * rows - error) / (rest + n * f_high * rows),
        }
    }
}

/// Kendall's coefficient of concordance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Concordance {
    /// W, corrected for ties: 0 no agreement, 1 the same order by all raters.
    pub w: f64,
    /// raters · (subjects − 1) · W, compared with chi-square.
    pub chi_square: f64,
    /// Its degrees of freedom, subjects − 1.
    pub freedom: f64,
    /// Probability of at least such a W by chance.
    pub p: f64,
}

/// Kendall's W; `ratings` has a row per subject and a column per rater, as scores or ranks. Ties share their mean rank.
///
/// Source: M. G. Kendall and B. Babington Smith, Annals of Mathematical Statistics 10 (1939) 275–287; S. Siegel and
/// N. J. Castellan, Nonparametric Statistics for the Behavioral Sciences, section 9.6 (ties).
///
/// # Errors
/// As [`icc`]; a table in which no rater tells any subjects apart.
pub fn kendall(ratings: &[Vec<f64>]) -> Result<Concordance, StudyError> {
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
    let most = m * m * (n * n * n - n) - m * ties;
    if most <= 0.0 {
        return Err(StudyError::NoVariation { what: "ratings" });
    }
    let w = 12.0 * spread / most;
    let chi_square = m * (n - 1.0) * w;
    Ok(Concordance { w, chi_square, freedom: n - 1.0, p: 1.0 - chi_square_below(chi_square, n - 1.0) })
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
        let full = kendall(&rows).unwrap();
        assert!((full.w - 1.0).abs() < 1e-12 && (full.chi_square - 12.0).abs() < 1e-12);
        let turned: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), f64::from(-i)]).collect();
        assert!(kendall(&turned).unwrap().w.abs() < 1e-12);
    }

    #[test]
    fn refuses_holes_and_dead_scales() {
        assert!(kendall(&[vec![1.0, 1.0], vec![1.0, 1.0]]).is_err());
        assert!(matches!(kendall(&[vec![1.0, 1.0], vec![1.0]]), Err(StudyError::Layout { place: 2, .. })));
        assert!(matches!(
            icc(&[vec![1.0, f64::NAN], vec![1.0, 2.0]], IccModel::OneWay, IccUnit::Single, 0.95),
            Err(StudyError::NotFinite { place: 2, .. })
        ));
        let flat = vec![vec![1.0, 1.0], vec![2.0, 2.0]];
        assert!(icc(&flat, IccModel::OneWay, IccUnit::Single, 0.95).is_err());
    }
}
