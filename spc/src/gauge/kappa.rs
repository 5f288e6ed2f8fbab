//! Agreement of verdicts beyond chance: Cohen's kappa for two raters, Fleiss', Conger's and Light's for more.
//!
//! Invariants: kappa is at most 1 and 1 only for full agreement; names of categories and order of subjects do not matter
//! (weighted kappa needs the order of the categories).

use serde::{Deserialize, Serialize};

use crate::distribution::normal_above;
use crate::study::{self, StudyError, real};

/// How far apart two categories count in a weighted kappa.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Weights {
    /// Any disagreement counts fully.
    #[default]
    Unweighted,
    /// By the number of steps between the categories (linear).
    Equal,
    /// By the square of it.
    Squared,
}

/// Kappa with the test that it is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kappa {
    /// 1 for full agreement, 0 for as much as chance gives.
    pub value: f64,
    /// Kappa divided by its standard error under independence; `None` where that is zero.
    pub z: Option<f64>,
    /// Two-sided probability of at least such a z by chance; `None` without z.
    pub p: Option<f64>,
}

impl Kappa {
    fn tested(value: f64, variance: f64) -> Self {
        let z = (variance > 0.0).then(|| value / variance.sqrt());
        Self { value, z, p: z.map(|z| (2.0 * normal_above(z.abs())).min(1.0)) }
    }
}

/// Cohen's kappa of two raters. `levels` are the categories, in their order for weighted kappa; every verdict must be one of
/// them, not every one must occur.
///
/// Source: J. Cohen, Educational and Psychological Measurement 20 (1960) 37–46 and Psychological Bulletin 70 (1968) 213–220;
/// z: J. L. Fleiss, J. Cohen, B. S. Everitt, Psychological Bulletin 72 (1969) 323–327 (variance under independence).
///
/// # Errors
/// Lists of different length or empty; a verdict that is no level (by place); all verdicts in one category, where chance alone
/// gives full agreement.
pub fn cohen(first: &[&str], second: &[&str], levels: &[&str], weights: Weights) -> Result<Kappa, StudyError> {
    study::enough("subjects", 1, first.len())?;
    if first.len() != second.len() {
        let place = first.len().min(second.len()) + 1;
        return Err(StudyError::Layout { what: "a missing verdict", place, mend: "give both raters' verdict on every subject" });
    }
    let (rows, columns) = (indices(first, levels)?, indices(second, levels)?);
    let size = levels.len();
    let count = real(first.len());
    let share = |of: &[usize], level: usize| real(of.iter().filter(|index| **index == level).count()) / count;
    let (p, q): (Vec<f64>, Vec<f64>) = (0..size).map(|level| (share(&rows, level), share(&columns, level))).unzip();
    let weight = |i: usize, j: usize| {
        let apart = real(i.abs_diff(j)) / real(size.max(2) - 1);
        match weights {
            Weights::Unweighted => f64::from(u8::from(i == j)),
            Weights::Equal => 1.0 - apart,
            Weights::Squared => 1.0 - apart * apart,
        }
    };
    let observed = study::sum(rows.iter().zip(&columns).map(|(i, j)| weight(*i, *j))) / count;
    let all = || (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
    let chance = study::sum(all().map(|(i, j)| p[i] * q[j] * weight(i, j)));
    if 1.0 - chance <= f64::EPSILON {
        return Err(StudyError::NoVariation { what: "verdicts" });
    }
    let row_mean: Vec<f64> = (0..size).map(|i| (0..size).map(|j| q[j] * weight(i, j)).sum()).collect();
    let column_mean: Vec<f64> = (0..size).map(|j| (0..size).map(|i| p[i] * weight(i, j)).sum()).collect();
    let spread = study::sum(all().map(|(i, j)| {
        let away = weight(i, j) - (row_mean[i] + column_mean[j]);
        p[i] * q[j] * away * away
    }));
    let variance = (spread - chance * chance) / (count * (1.0 - chance) * (1.0 - chance));
    Ok(Kappa::tested((observed - chance) / (1.0 - chance), variance))
}

/// Fleiss' kappa of one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoryKappa {
    /// The category.
    pub category: String,
    /// Kappa of "this category or another".
    pub kappa: Kappa,
}

/// Agreement of several raters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Fleiss' kappa: chance from all raters together. Raters may differ from subject to subject.
    pub fleiss: Kappa,
    /// Fleiss' kappa of each category, in alphabetical order.
    pub categories: Vec<CategoryKappa>,
    /// Conger's kappa: chance from each rater's own habit ("exact" Fleiss).
    pub conger: f64,
    /// Light's kappa: mean of Cohen's over all pairs; `None` where a pair has no kappa.
    pub light: Option<f64>,
    /// Share of subjects on which all agree, percent.
    pub percent_all_agree: f64,
}

/// Agreement of several raters; `ratings` has a row per subject and a column per rater.
///
/// Source: J. L. Fleiss, Psychological Bulletin 76 (1971) 378–382; J. L. Fleiss, B. Levin, M. C. Paik, Statistical Methods for
/// Rates and Proportions, section 18.3 (variances); A. J. Conger, Psychological Bulletin 88 (1980) 322–328; R. J. Light,
/// Psychological Bulletin 76 (1971) 365–377.
///
/// # Errors
/// No subject, fewer than two raters, rows of different length (by subject), all ratings in one category.
pub fn agreement<T: AsRef<str>>(ratings: &[Vec<T>]) -> Result<Agreement, StudyError> {
    let raters = ratings.first().map_or(0, Vec::len);
    study::enough("raters", 2, raters)?;
    if let Some(index) = ratings.iter().position(|row| row.len() != raters) {
        return Err(StudyError::Layout {
            what: "a subject with missing verdicts",
            place: index + 1,
            mend: "give every rater's verdict or leave the subject out",
        });
    }
    let mut levels: Vec<&str> = ratings.iter().flatten().map(AsRef::as_ref).collect();
    levels.sort_unstable();
    levels.dedup();
    if levels.len() < 2 {
        return Err(StudyError::NoVariation { what: "verdicts" });
    }
    let (subjects, m) = (real(ratings.len()), real(raters));
    let votes = |row: &[T], level: &str| real(row.iter().filter(|verdict| verdict.as_ref() == level).count());
    let shares: Vec<f64> = levels.iter().map(|level| study::sum(ratings.iter().map(|row| votes(row, level))) / (subjects * m)).collect();
    let squares: Vec<f64> =
        levels.iter().map(|level| study::sum(ratings.iter().map(|row| votes(row, level) * votes(row, level)))).collect();
    let pairs = subjects * m * (m - 1.0);
    let observed = (study::sum(squares.iter().copied()) - subjects * m) / pairs;
    let chance = study::sum(shares.iter().map(|p| p * p));
    let mixed = study::sum(shares.iter().map(|p| p * (1.0 - p)));
    let skew = study::sum(shares.iter().map(|p| p * (1.0 - p) * (1.0 - 2.0 * p)));
    let variance = 2.0 * (mixed * mixed - skew) / (mixed * mixed * pairs);
    let category = |((level, share), squares): ((&&str, &f64), &f64)| {
        let agree = (squares - subjects * m * share) / (pairs * share);
        CategoryKappa { category: (*level).to_owned(), kappa: Kappa::tested((agree - share) / (1.0 - share), 2.0 / pairs) }
    };
    let columns: Vec<Vec<&str>> = (0..raters).map(|rater| ratings.iter().map(|row| row[rater].as_ref()).collect()).collect();
    let couples = || (0..raters).flat_map(|first| (first + 1..raters).map(move |second| (first, second)));
    let habit = |rater: usize, level: &str| real(columns[rater].iter().filter(|verdict| **verdict == level).count()) / subjects;
    let by_habit = study::sum(couples().map(|(first, second)| levels.iter().map(|level| habit(first, level) * habit(second, level)).sum()));
    let own_chance = by_habit / (m * (m - 1.0) / 2.0);
    let cohens = couples().map(|(first, second)| cohen(&columns[first], &columns[second], &levels, Weights::Unweighted));
    let light: Result<Vec<Kappa>, StudyError> = cohens.collect();
    let agreed = ratings.iter().filter(|row| row.iter().all(|verdict| verdict.as_ref() == row[0].as_ref())).count();
    Ok(Agreement {
        fleiss: Kappa::tested((observed - chance) / (1.0 - chance), variance),
        categories: levels.iter().zip(&shares).zip(&squares).map(category).collect(),
        conger: if own_chance < 1.0 { (observed - own_chance) / (1.0 - own_chance) } else { 1.0 },
        light: light.ok().map(|kappas| study::sum(kappas.iter().map(|kappa| kappa.value)) / real(kappas.len())),
        percent_all_agree: 100.0 * real(agreed) / subjects,
    })
}

fn indices(verdicts: &[&str], levels: &[&str]) -> Result<Vec<usize>, StudyError> {
    let index = |(place, verdict): (usize, &&str)| {
        let known = levels.iter().position(|level| level == verdict);
        known.ok_or(StudyError::Layout { what: "a verdict that is no level", place: place + 1, mend: "add it to the levels or correct it" })
    };
    verdicts.iter().enumerate().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 20 yes/yes, 15 no/no, 5 yes/no, 10 no/yes: agreement 0.7, chance 0.5 · 0.6 + 0.5 · 0.4 = 0.5, kappa 0.4.
    #[test]
    fn agrees_with_hand_calculation() {
        let mut first = vec!["yes"; 25];
        first.extend(vec!["no"; 25]);
        let mut second = vec!["yes"; 20];
        second.extend(vec!["no"; 5]);
        second.extend(vec!["yes"; 10]);
        second.extend(vec!["no"; 15]);
        let kappa = cohen(&first, &second, &["no", "yes"], Weights::Unweighted).unwrap();
        assert!((kappa.value - 0.4).abs() < 1e-12);
        // With two categories all weights are the same.
        let weighted = cohen(&first, &second, &["no", "yes"], Weights::Squared).unwrap();
        assert!((weighted.value - 0.4).abs() < 1e-12);
        let rows: Vec<Vec<&str>> = first.iter().zip(&second).map(|(a, b)| vec![*a, *b]).collect();
        let both = agreement(&rows).unwrap();
        assert!((both.conger - 0.4).abs() < 1e-12 && (both.light.unwrap() - 0.4).abs() < 1e-12);
        // 55 yes and 45 no: chance 0.505.
        assert!((both.fleiss.value - (0.7 - 0.505) / 0.495).abs() < 1e-12);
        assert!((both.categories[0].kappa.value - both.fleiss.value).abs() < 1e-12);
        assert_eq!(both.percent_all_agree, 70.0);
    }

    #[test]
    fn near_misses_count_less_when_weighted() {
        let levels = ["1", "2", "3", "4"];
        let first = ["1", "2", "3", "4", "1", "4"];
        let near = ["2", "2", "3", "3", "1", "4"];
        let plain = cohen(&first, &near, &levels, Weights::Unweighted).unwrap().value;
        let linear = cohen(&first, &near, &levels, Weights::Equal).unwrap().value;
        let squared = cohen(&first, &near, &levels, Weights::Squared).unwrap().value;
        assert!(plain < linear && linear < squared && squared < 1.0);
        let full = cohen(&first, &first, &levels, Weights::Squared).unwrap();
        assert!((full.value - 1.0).abs() < 1e-12);
    }

    #[test]
    fn refuses_holes_and_a_single_category() {
        assert!(matches!(cohen(&["a"], &["b"], &["a"], Weights::Equal), Err(StudyError::Layout { place: 1, .. })));
        assert!(matches!(cohen(&["a", "b"], &["b"], &["a", "b"], Weights::Equal), Err(StudyError::Layout { place: 2, .. })));
        assert!(matches!(cohen(&["a"; 3], &["a"; 3], &["a", "b"], Weights::Equal), Err(StudyError::NoVariation { .. })));
        assert!(matches!(agreement(&[vec!["a", "b"], vec!["a"]]), Err(StudyError::Layout { place: 2, .. })));
        assert!(matches!(agreement(&[vec!["a", "a"]]), Err(StudyError::NoVariation { .. })));
    }
}
