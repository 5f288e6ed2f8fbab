//! Attribute agreement: do people and cameras give the same verdict twice, the same as each other, and the right one?
//!
//! Invariants: a match needs all verdicts of a cell to agree; percentages carry the number inspected and an exact interval; the
//! order of readings does not matter.

use serde::{Deserialize, Serialize};

use super::kappa::{self, Weights};
use super::names;
use crate::distribution::beta_quantile;
use crate::study::{self, StudyError, real};

/// Exact interval of a share (Clopper–Pearson).
///
/// Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404–413, by quantiles of the beta distribution.
///
/// # Errors
/// Nothing inspected, more matches than that, a confidence not between 0 and 1.
pub fn clopper_pearson(matched: u64, inspected: u64, confidence: f64) -> Result<(f64, f64), StudyError> {
    let tail = 0.5 - 0.5 * study::share("confidence", confidence)?;
    if inspected == 0 || matched > inspected {
        return Err(StudyError::Setting {
            what: "number matched",
            value: matched as f64,
            wanted: "0 to the number inspected, which is at least 1",
        });
    }
    let (x, n) = (matched as f64, inspected as f64);
    let low = if matched == 0 { 0.0 } else { beta_quantile(tail, x, n - x + 1.0) };
    let high = if matched == inspected { 1.0 } else { beta_quantile(1.0 - tail, x + 1.0, n - x) };
    Ok((low, high))
}

/// All verdicts of one appraiser on one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartVerdicts<'a> {
    /// Who judged.
    pub appraiser: &'a str,
    /// What was judged.
    pub part: &'a str,
    /// The right verdict, where it is known.
    pub standard: Option<&'a str>,
    /// The verdicts, trial by trial.
    pub trials: Vec<&'a str>,
}

/// Parts on which verdicts agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// Parts with full agreement.
    pub matched: u64,
    /// Parts inspected.
    pub inspected: u64,
    /// Share, percent.
    pub percent: f64,
    /// Exact interval of it, percent.
    pub interval: (f64, f64),
}

/// Results of one appraiser. What rests on a standard or on several trials is `None` without them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppraiserAgreement {
    /// Who.
    pub appraiser: String,
    /// All trials alike.
    pub within: Option<Matched>,
    /// Fleiss' kappa of the trials; `None` also where only one category was used.
    pub within_kappa: Option<f64>,
    /// All trials alike and right: the appraiser's effectiveness.
    pub against_standard: Option<Matched>,
    /// Cohen's kappa of all single verdicts with the standard.
    pub cohen: Option<f64>,
    /// Fleiss' kappa with the standard, mean over the trials.
    pub fleiss: Option<f64>,
    /// Single verdicts "not positive" on parts whose standard is positive, percent of the verdicts on such parts.
    pub false_alarm_percent: Option<f64>,
    /// Single verdicts "positive" on parts whose standard is not, percent of the verdicts on such parts.
    pub miss_percent: Option<f64>,
}

/// An attribute agreement study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeStudy {
    /// Each appraiser, in alphabetical order.
    pub appraisers: Vec<AppraiserAgreement>,
    /// All verdicts of all appraisers alike.
    pub between: Matched,
    /// Fleiss' kappa over all verdicts of all appraisers.
    pub between_kappa: Option<f64>,
    /// All verdicts of all appraisers alike and right.
    pub all_against_standard: Option<Matched>,
    /// Cohen's kappa of all single verdicts of all appraisers with the standard.
    pub cohen: Option<f64>,
    /// Mean of the appraisers' Fleiss kappas with the standard.
    pub fleiss: Option<f64>,
}

/// Attribute agreement study; `positive` is the verdict that lets a part pass.
///
/// Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III C (effectiveness, miss rate, false alarm rate, kappa).
///
/// # Errors
/// No verdicts; parts or trials that differ between appraisers, or a part judged twice in different rows (by row, from 1); a
/// standard on some rows only, or different ones for one part; a confidence not between 0 and 1.
pub fn study(rows: &[PartVerdicts], positive: &str, confidence: f64) -> Result<AttributeStudy, StudyError> {
    let layout = Layout::of(rows)?;
    let matched = |right: usize, of: usize| Matched::of(right, of, confidence);
    let mut appraisers = Vec::new();
    for appraiser in &layout.appraisers {
        let own: Vec<&PartVerdicts> = rows.iter().filter(|row| row.appraiser == *appraiser).collect();
        appraisers.push(layout.appraiser(appraiser, &own, positive, confidence)?);
    }
    let by_part: Vec<(Option<&str>, Vec<&str>)> = layout.parts.iter().map(|part| all_verdicts(rows, part)).collect();
    let alike = by_part.iter().filter(|(_, verdicts)| verdicts.iter().all(|verdict| verdict == &verdicts[0]));
    let right = by_part.iter().filter(|(standard, verdicts)| verdicts.iter().all(|verdict| Some(*verdict) == *standard)).count();
    let all: Vec<Vec<&str>> = by_part.iter().map(|(_, verdicts)| verdicts.clone()).collect();
    let kappas: Option<Vec<f64>> = appraisers.iter().map(|appraiser| appraiser.fleiss).collect();
    Ok(AttributeStudy {
        between: matched(alike.count(), by_part.len())?,
        between_kappa: kappa::agreement(&all).ok().map(|agreement| agreement.fleiss.value),
        all_against_standard: if layout.standard { Some(matched(right, by_part.len())?) } else { None },
        cohen: with_standard(&rows.iter().collect::<Vec<_>>()),
        fleiss: kappas.map(|kappas| study::mean(&kappas)),
        appraisers,
    })
}

impl Matched {
    fn of(matched: usize, inspected: usize, confidence: f64) -> Result<Self, StudyError> {
        let (matched, inspected) = (matched as u64, inspected as u64);
        let (low, high) = clopper_pearson(matched, inspected, confidence)?;
        let percent = 100.0 * matched as f64 / inspected as f64;
        Ok(Self { matched, inspected, percent, interval: (100.0 * low, 100.0 * high) })
    }
}

/// What all rows have in common.
struct Layout<'a> {
    appraisers: Vec<&'a str>,
    parts: Vec<&'a str>,
    trials: usize,
    standard: bool,
}

impl<'a> Layout<'a> {
    fn of(rows: &'a [PartVerdicts<'a>]) -> Result<Self, StudyError> {
        study::enough("judged parts", 1, rows.len())?;
        let mut appraisers = names(rows.iter().map(|row| row.appraiser));
        appraisers.sort_unstable();
        let parts = names(rows.iter().map(|row| row.part));
        let (trials, standard) = (rows[0].trials.len(), rows[0].standard.is_some());
        study::enough("trials", 1, trials)?;
        let wrong = |what, index: usize, mend| Err(StudyError::Layout { what, place: index + 1, mend });
        for (index, row) in rows.iter().enumerate() {
            if row.trials.len() != trials {
                return wrong("another number of trials", index, "let everybody judge every part equally often");
            }
            let same = rows.iter().find(|other| other.part == row.part);
            if same.is_some_and(|same| same.standard != row.standard) || row.standard.is_some() != standard {
                return wrong("a missing or contradicting standard", index, "give each part one standard, or none at all");
            }
            if rows[..index].iter().any(|other| other.part == row.part && other.appraiser == row.appraiser) {
                return wrong("a part judged in two rows", index, "put all trials into one row");
            }
        }
        if rows.len() != appraisers.len() * parts.len() {
            return wrong("a part that somebody has not judged", rows.len(), "let everybody judge every part");
        }
        Ok(Self { appraisers, parts, trials, standard })
    }

    fn appraiser(&self, name: &str, own: &[&PartVerdicts], positive: &str, confidence: f64) -> Result<AppraiserAgreement, StudyError> {
        let alike = own.iter().filter(|row| row.trials.iter().all(|verdict| verdict == &row.trials[0])).count();
        let right = own.iter().filter(|row| row.trials.iter().all(|verdict| Some(*verdict) == row.standard)).count();
        let trials: Vec<Vec<&str>> = own.iter().map(|row| row.trials.clone()).collect();
        let with_trial = |trial: usize| -> Option<f64> {
            let pairs: Option<Vec<Vec<&str>>> = own.iter().map(|row| Some(vec![row.trials[trial], row.standard?])).collect();
            kappa::agreement(&pairs?).ok().map(|agreement| agreement.fleiss.value)
        };
        let per_trial: Option<Vec<f64>> = (0..self.trials).map(with_trial).collect();
        // Share of verdicts of one kind among those on parts of one kind.
        let rate = |standard_positive: bool| {
            let judged = own.iter().filter(|row| row.standard.is_some_and(|standard| (standard == positive) == standard_positive));
            let verdicts: Vec<bool> =
                judged.flat_map(|row| row.trials.iter().map(|verdict| (*verdict == positive) != standard_positive)).collect();
            (!verdicts.is_empty()).then(|| 100.0 * real(verdicts.iter().filter(|wrong| **wrong).count()) / real(verdicts.len()))
        };
        Ok(AppraiserAgreement {
            appraiser: name.to_owned(),
            within: if self.trials > 1 { Some(Matched::of(alike, own.len(), confidence)?) } else { None },
            within_kappa: kappa::agreement(&trials).ok().map(|agreement| agreement.fleiss.value),
            against_standard: if self.standard { Some(Matched::of(right, own.len(), confidence)?) } else { None },
            cohen: with_standard(own),
            fleiss: per_trial.map(|kappas| study::mean(&kappas)),
            false_alarm_percent: rate(true),
            miss_percent: rate(false),
        })
    }
}

/// Cohen's kappa of all single verdicts with the standard.
fn with_standard(rows: &[&PartVerdicts]) -> Option<f64> {
    let pairs: Option<Vec<(&str, &str)>> =
        rows.iter().flat_map(|row| row.trials.iter().map(|verdict| Some((*verdict, row.standard?)))).collect();
    let (verdicts, standards): (Vec<&str>, Vec<&str>) = pairs?.into_iter().unzip();
    let levels = names(verdicts.iter().chain(&standards).copied());
    kappa::cohen(&verdicts, &standards, &levels, Weights::Unweighted).ok().map(|kappa| kappa.value)
}

fn all_verdicts<'a>(rows: &[PartVerdicts<'a>], part: &str) -> (Option<&'a str>, Vec<&'a str>) {
    let own = || rows.iter().filter(|row| row.part == part);
    (own().find_map(|row| row.standard), own().flat_map(|row| row.trials.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(appraiser: &'a str, part: &'a str, standard: &'a str, trials: [&'a str; 2]) -> PartVerdicts<'a> {
        PartVerdicts { appraiser, part, standard: Some(standard), trials: trials.to_vec() }
    }

    fn rows() -> Vec<PartVerdicts<'static>> {
        vec![
            row("eye", "1", "ok", ["ok", "ok"]),
            row("eye", "2", "bad", ["bad", "ok"]),
            row("eye", "3", "ok", ["bad", "bad"]),
            row("camera", "1", "ok", ["ok", "ok"]),
            row("camera", "2", "bad", ["bad", "bad"]),
            row("camera", "3", "ok", ["bad", "bad"]),
        ]
    }

    #[test]
    fn agrees_with_counting() {
        let study = study(&rows(), "ok", 0.95).unwrap();
        let [camera, eye] = study.appraisers.as_slice() else { panic!("two appraisers") };
        assert_eq!((camera.appraiser.as_str(), camera.within.unwrap().matched, camera.against_standard.unwrap().matched), ("camera", 3, 2));
        assert_eq!((eye.within.unwrap().matched, eye.against_standard.unwrap().matched), (2, 1));
        assert_eq!((eye.false_alarm_percent, eye.miss_percent), (Some(50.0), Some(50.0)));
        assert_eq!((study.between.matched, study.all_against_standard.unwrap().matched), (2, 1));
        assert_eq!(camera.within_kappa, Some(1.0));
    }

    /// Closed forms: 0 of n has upper limit 1 − (α/2)^(1/n).
    #[test]
    fn intervals_agree_with_closed_forms() {
        let (low, high) = clopper_pearson(0, 15, 0.95).unwrap();
        assert_eq!(low, 0.0);
        assert!((high - (1.0 - 0.025_f64.powf(1.0 / 15.0))).abs() < 1e-12);
        assert_eq!(clopper_pearson(7, 7, 0.9).unwrap().1, 1.0);
        assert!(clopper_pearson(2, 1, 0.95).is_err() && clopper_pearson(0, 0, 0.95).is_err());
    }

    #[test]
    fn refuses_holes() {
        assert!(matches!(study(&rows()[..5], "ok", 0.95), Err(StudyError::Layout { place: 6, .. })));
        let mut twice = rows();
        twice[1].part = "1";
        twice[1].standard = Some("ok");
        assert!(matches!(study(&twice, "ok", 0.95), Err(StudyError::Layout { place: 2, .. })));
        let mut contradicting = rows();
        contradicting[3].standard = Some("bad");
        assert!(matches!(study(&contradicting, "ok", 0.95), Err(StudyError::Layout { place: 4, .. })));
    }

    #[test]
    fn without_a_standard_there_is_still_agreement() {
        let mut blind = rows();
        blind.iter_mut().for_each(|row| row.standard = None);
        let study = study(&blind, "ok", 0.95).unwrap();
        assert_eq!((study.all_against_standard, study.cohen, study.fleiss), (None, None, None));
        assert_eq!(study.between.matched, 2);
    }
}
