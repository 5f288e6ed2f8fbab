//! What another rubric would have done to the pieces of a ledger.
//!
//! Invariants: pieces are graded as the station would have graded them (same function, same recipe but for the rubric); a piece
//! that nobody looked at has no grade and is not counted in the matrix; sums are of whole counts times worth.

use super::Period;
use super::ledger::{self, Progress, ReadError};
use crate::config::Problems;
use crate::config::rubric::{Document, Worth};
use serde::Serialize;
use station::judge::judge;
use station::recipe::Recipe;
use station::rubric::Seen;
use station::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Regraded {
    /// Pieces that were graded anew.
    pub pieces: u64,
    /// Those among them whose grade has another name now.
    pub changed: u64,
    /// Pieces that nobody looked at: they have no grade, by whatever rubric.
    pub not_inspected: u64,
    /// Places of the ledger that are damaged and were left out.
    pub damaged: u64,
    /// Pieces that passed and would be rejected.
    pub pass_to_reject: u64,
    /// Pieces that passed and could not be judged.
    pub pass_to_hold: u64,
    /// Pieces that were rejected and would pass.
    pub reject_to_pass: u64,
    /// Pieces that could not be judged and would pass.
    pub hold_to_pass: u64,
    /// Names of the old grades, best first.
    pub old_grades: Vec<String>,
    /// Names of the new grades, best first.
    pub new_grades: Vec<String>,
    /// How many pieces of each old grade would have each new one.
    pub matrix: Vec<Vec<u64>>,
    /// Versions of the rubrics that graded the pieces.
    pub old_versions: BTreeSet<u16>,
    /// The first pieces whose grade changes.
    pub list: Vec<Changed>,
    /// What it would have cost; absent without a table of worth.
    pub cost: Option<Cost>,
    /// What the rubric names and the recipes of those pieces do not have.
    pub warnings: Vec<String>,
}

/// A piece whose grade changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Number of its record.
    pub result_id: u64,
    /// Its serial.
    pub serial: Option<String>,
    /// The grade it has.
    pub old: String,
    /// The grade it would have.
    pub new: String,
    /// Why.
    pub because: Vec<String>,
}

/// What pieces are worth by the old and by the new grades.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// The currency.
    pub currency: String,
    /// Worth by the old grades.
    pub before: f64,
    /// Worth by the new grades.
    pub after: f64,
    /// What the new rubric gains; a loss if negative.
    pub difference: f64,
}

/// Why pieces cannot be graded anew.
#[derive(Debug, thiserror::Error)]
pub enum RegradeError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ReadError),
    /// A grade that occurs has no worth.
    #[error("{file}: nothing says what a piece of grade {grade} is worth (mend: add {key} to `per_piece`)")]
    NoWorth {
        /// Where the table stands.
        file: String,
        /// The grade.
        grade: String,
        /// The key and its form.
        key: String,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The data folder of the station.
    pub data: &'a Path,
    /// The new rubric.
    pub document: &'a Document,
    /// Which pieces.
    pub period: Period,
    /// What pieces are worth, and the file that says so.
    pub worth: Option<(&'a Worth, &'a Path)>,
    /// List at most so many changed pieces.
    pub list: usize,
}

/// A recipe of the ledger beside the same with the new rubric.
struct Pair {
    old: Arc<Recipe>,
    new: Recipe,
    rows: Vec<usize>,
}

/// Grades the pieces of a period anew.
///
/// # Errors
/// There is no ledger, or a grade has no worth.
pub fn regrade(question: &Question<'_>, progress: Progress<'_>) -> Result<Regraded, RegradeError> {
    let rubric = &question.document.rubric;
    let mut told = Regraded { new_grades: rubric.names(), ..Regraded::default() };
    let mut pair: Option<Pair> = None;
    let mut warnings = BTreeSet::new();
    let damaged = ledger::pieces(question.data, question.period, progress, &mut |recipe, piece| {
        if pair.as_ref().is_none_or(|pair| !Arc::ptr_eq(&pair.old, recipe)) {
            pair = Some(told.take_recipe(recipe, question.document, &mut warnings));
        }
        let Some(Pair { old, new, rows }) = &pair else { return };
        let Some(inspection) = &piece.inspection else {
            told.not_inspected += 1;
            return;
        };
        let judged = judge(new, inspection, &piece.readings);
        let (before, after) = (piece.judgement.grade, judged.grade);
        let place = |grade: u16| usize::from(grade).checked_sub(1);
        let row = place(before).and_then(|place| rows.get(place));
        let Some((row, column)) = row.zip(place(after)) else {
            told.not_inspected += 1;
            return;
        };
        if let Some(count) = told.matrix.get_mut(*row).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
        told.pieces += 1;
        told.old_versions.insert(piece.rubric_version);
        // A recalled piece is rejected whatever its grade.
        let recalled = piece.judgement.reasons.iter().any(|reason| matches!(reason, Reason::Recalled { .. }));
        match (piece.judgement.verdict, judged.verdict) {
            (Verdict::Pass, Verdict::Reject) => told.pass_to_reject += 1,
            (Verdict::Pass, Verdict::Hold) => told.pass_to_hold += 1,
            (Verdict::Reject, Verdict::Pass) if !recalled => told.reject_to_pass += 1,
            (Verdict::Hold, Verdict::Pass) if !recalled => told.hold_to_pass += 1,
            _ => {}
        }
        let (old_name, new_name) = (old.rubric.name(before), rubric.name(after));
        if old_name == new_name {
            return;
        }
        told.changed += 1;
        if told.list.len() < question.list {
            let because = rubric.explain(&Seen { recipe: new, inspection, readings: &piece.readings }).because;
            let (result_id, serial) = (piece.result_id, piece.arrival.serial.clone());
            told.list.push(Changed { result_id, serial, old: old_name, new: new_name, because });
        }
    })?;
    told.damaged = damaged;
    told.warnings = warnings.into_iter().collect();
    told.cost = question.worth.map(|(worth, file)| told.cost_by(worth, file)).transpose()?;
    Ok(told)
}

impl Regraded {
    /// Prepares for the pieces of a recipe.
    fn take_recipe(&mut self, recipe: &Arc<Recipe>, document: &Document, warnings: &mut BTreeSet<String>) -> Pair {
        let rows = recipe.rubric.names().into_iter().map(|name| self.row(name)).collect();
        let cameras: Vec<&str> = recipe.frame_set.iter().flat_map(|set| &set.members).map(|member| &*member.camera).collect();
        // A single camera's name is not part of the recipe; it is taken as the one that is meant.
        let fits = if cameras.is_empty() { document.fits_classes(&recipe.classes) } else { document.fits(&recipe.classes, &cameras) };
        warnings.extend(fits.err().iter().flat_map(Problems::iter).map(ToString::to_string));
        let new = Recipe { rubric: document.rubric.clone(), ..Recipe::clone(recipe) };
        Pair { old: Arc::clone(recipe), new, rows }
    }

    /// The row of an old grade.
    fn row(&mut self, name: String) -> usize {
        self.old_grades.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.old_grades.push(name);
            self.matrix.push(vec![0; self.new_grades.len()]);
            self.old_grades.len() - 1
        })
    }

    fn cost_by(&self, worth: &Worth, file: &Path) -> Result<Cost, RegradeError> {
        let of = |grade: &str, pieces: u64| match worth.per_piece.get(grade) {
            Some(each) => Ok(each * real(pieces)),
            // What cannot be judged cannot be sold.
            None if pieces == 0 || grade == station::rubric::CANNOT_JUDGE => Ok(0.0),
            None => Err(RegradeError::NoWorth {
                file: file.display().to_string(),
                grade: grade.to_owned(),
                key: format!("{} = …", crate::config::rubric::bare(grade)),
            }),
        };
        let mut sums = BTreeMap::from([(false, 0.0), (true, 0.0)]);
        for (grade, row) in self.old_grades.iter().zip(&self.matrix) {
            *sums.entry(false).or_default() += of(grade, row.iter().sum())?;
        }
        for (column, grade) in self.new_grades.iter().enumerate() {
            *sums.entry(true).or_default() += of(grade, self.matrix.iter().filter_map(|row| row.get(column)).sum())?;
        }
        let (before, after) = (sums[&false], sums[&true]);
        Ok(Cost { currency: worth.currency.clone(), before, after, difference: after - before })
    }
}

/// Counts of pieces are far below 2⁵³.
fn real(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32).unwrap_or(u32::MAX), u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
