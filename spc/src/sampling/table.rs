//! ISO 2859-1: code letters and single sampling plans for normal and tightened inspection, arrows followed.
//!
//! The master tables are not typed cell by cell, because public copies differ in just those cells. Sample sizes and AQLs both
//! follow the same preferred series (five steps to a decade), so that the product n · AQL, and with it the acceptance
//! number, is constant along diagonals: one row of numbers describes a whole table. The tests check the properties that the
//! standard states (risk at the AQL, monotony, arrows that end).
//!
//! Source: structure of MIL-STD-105E (1989) tables I, II-A, II-B, which ISO 2859-1 (tables 1, 2-A, 2-B) shares. The tables were
//! rebuilt from that structure, not copied from the printed pages: compare a plan with your copy of the standard before it
//! enters a contract. Reduced inspection is not here: its numbers differ between MIL-STD-105E and ISO 2859-1:1999, and no copy
//! of the standard was at hand to check them against.
//!
//! Invariants: every cell resolves to a plan; the resolved plan's sample size goes with its letter, not with the letter asked for.

use serde::{Deserialize, Serialize};

use crate::study::StudyError;

/// Acceptable quality limits, in percent nonconforming or nonconformities per 100 pieces; above 10 only the latter.
pub const AQLS: [f64; 26] = [
    0.01, 0.015, 0.025, 0.04, 0.065, 0.1, 0.15, 0.25, 0.4, 0.65, 1.0, 1.5, 2.5, 4.0, 6.5, 10.0, 15.0, 25.0, 40.0, 65.0, 100.0, 150.0,
    250.0, 400.0, 650.0, 1000.0,
];

/// Code letters with their sample sizes. S exists for one plan of tightened inspection only.
const LETTERS: [(char, u32); 17] = [
    ('A', 2),
    ('B', 3),
    ('C', 5),
    ('D', 8),
    ('E', 13),
    ('F', 20),
    ('G', 32),
    ('H', 50),
    ('J', 80),
    ('K', 125),
    ('L', 200),
    ('M', 315),
    ('N', 500),
    ('P', 800),
    ('Q', 1250),
    ('R', 2000),
    ('S', 3150),
];

/// Inspection level: how much a lot's size moves the sample. II unless something else is agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Special, smallest samples.
    S1,
    /// Special.
    S2,
    /// Special.
    S3,
    /// Special.
    S4,
    /// General, less discrimination.
    I,
    /// General, usual.
    II,
    /// General, more discrimination.
    III,
}

/// Severity for which this module has master tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// Table 2-A.
    Normal,
    /// Table 2-B.
    Tightened,
}

/// What the master table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// An acceptance number; the rejection number is one more.
    Accept(u32),
    /// Use the first plan above the arrow.
    Up,
    /// Use the first plan below the arrow.
    Down,
}

/// A single plan with the letter it belongs to. If `size` reaches the lot size, the whole lot is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Code letter after following arrows.
    pub letter: char,
    /// Pieces in the sample.
    pub size: u32,
    /// Acceptance number; reject at one more.
    pub accept: u32,
}

/// Upper ends of the lot size ranges of table 1 and their letters for levels S-1 to S-4, I, II, III.
const LOTS: [(u32, &str); 15] = [
    (8, "AAAAAAB"),
    (15, "AAAAABC"),
    (25, "AABBBCD"),
    (50, "ABBCCDE"),
    (90, "BBCCCEF"),
    (150, "BBCDDFG"),
    (280, "BCDEEGH"),
    (500, "BCDEFHJ"),
    (1200, "CCEFGJK"),
    (3200, "CDEGHKL"),
    (10_000, "CDFGJLM"),
    (35_000, "CDFHKMN"),
    (150_000, "DEGJLNP"),
    (500_000, "DEGJMPQ"),
    (u32::MAX, "DEHKNQR"),
];

/// Code letter of a lot (table 1).
///
/// # Errors
/// A lot of fewer than two pieces.
pub fn code_letter(lot: u32, level: Level) -> Result<char, StudyError> {
    let row = LOTS.iter().find(|(last, _)| lot <= *last).filter(|_| lot >= 2);
    let place = [Level::S1, Level::S2, Level::S3, Level::S4, Level::I, Level::II, Level::III].iter().position(|known| *known == level);
    let letter = row.zip(place).and_then(|((_, letters), place)| letters.chars().nth(place));
    letter.ok_or(StudyError::Setting { what: "lot size", value: f64::from(lot), wanted: "at least 2 pieces" })
}

/// The cell of the master table, arrows as arrows.
///
/// # Errors
/// A letter that is not one of A to R without I and O (S only for tightened inspection); an AQL that is not one of [`AQLS`].
pub fn cell(letter: char, aql: f64, severity: Severity) -> Result<Cell, StudyError> {
    let (row, column) = place(letter, aql, severity)?;
    Ok(cell_at(row, column, severity))
}

/// The plan for a letter and an AQL, after following arrows.
///
/// # Errors
/// As [`cell`].
pub fn plan(letter: char, aql: f64, severity: Severity) -> Result<TablePlan, StudyError> {
    let (mut row, column) = place(letter, aql, severity)?;
    // Arrows never meet, so no walk is longer than the table.
    for _ in 0..LETTERS.len() {
        match cell_at(row, column, severity) {
            Cell::Accept(accept) => {
                let (letter, size) = LETTERS[row];
                return Ok(TablePlan { letter, size, accept });
            }
            Cell::Up => row -= 1,
            Cell::Down => row += 1,
        }
    }
    Err(StudyError::NotConverged { what: "an arrow of the table" })
}

fn place(letter: char, aql: f64, severity: Severity) -> Result<(usize, usize), StudyError> {
    let rows = if severity == Severity::Tightened { 17 } else { 16 };
    let row = LETTERS[..rows].iter().position(|(known, _)| *known == letter);
    let row = row.ok_or(StudyError::Setting {
        what: "code letter (as a number)",
        value: f64::from(u32::from(letter)),
        wanted: "A to R without I and O",
    })?;
    let column = AQLS.iter().position(|known| (known - aql).abs() < 1e-9 * known);
    let column = column.ok_or(StudyError::Setting { what: "AQL", value: aql, wanted: "a preferred value such as 0.65, 1.0 or 1.5" })?;
    Ok((row, column))
}

/// Acceptance numbers along the diagonals, from the one for c = 0; the two after it have arrows, to either neighbour.
const NORMAL: [u32; 11] = [0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 44];
const TIGHTENED: [u32; 11] = [0, 1, 2, 3, 5, 8, 12, 18, 27, 41, 41];

fn cell_at(row: usize, column: usize, severity: Severity) -> Cell {
    // Tightened inspection moves every number one AQL to the right.
    let (first, numbers, last_row) = match severity {
        Severity::Normal => (14, &NORMAL, 15),
        Severity::Tightened => (15, &TIGHTENED, 16),
    };
    let steps = match severity {
        Severity::Normal => 11,
        Severity::Tightened => 10,
    };
    // From letter F on, the three largest samples per AQL are not needed: the tables end at 21 (tightened 18).
    let count = if row <= 4 {
        steps
    } else if severity == Severity::Normal {
        9
    } else {
        8
    };
    let Some(diagonal) = (row + column).checked_sub(first) else { return Cell::Down };
    match diagonal {
        0 => Cell::Accept(numbers[0]),
        // No row above the first and none below the last.
        1 if row == 0 => Cell::Down,
        1 => Cell::Up,
        2 if row == last_row => Cell::Up,
        2 => Cell::Down,
        _ => numbers[..count].get(diagonal - 2).map_or(Cell::Up, |accept| Cell::Accept(*accept)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Model, Plan};

    fn letters(severity: Severity) -> Vec<char> {
        LETTERS.iter().map(|(letter, _)| *letter).filter(|letter| *letter != 'S' || severity == Severity::Tightened).collect()
    }

    /// Examples that textbooks print: Montgomery, Introduction to Statistical Quality Control, section 15.4 (lot 2000, level II,
    /// AQL 0.65: letter K, normal n = 125, Ac = 2; tightened n = 125, Ac = 1).
    #[test]
    fn agrees_with_textbook_example() {
        assert_eq!(code_letter(2000, Level::II), Ok('K'));
        assert_eq!(plan('K', 0.65, Severity::Normal), Ok(TablePlan { letter: 'K', size: 125, accept: 2 }));
        assert_eq!(plan('K', 0.65, Severity::Tightened), Ok(TablePlan { letter: 'K', size: 125, accept: 1 }));
    }

    #[test]
    fn every_cell_ends_in_a_plan_that_suits_its_aql() {
        for severity in [Severity::Normal, Severity::Tightened] {
            for letter in letters(severity) {
                for aql in AQLS {
                    let found = plan(letter, aql, severity).unwrap();
                    let single = Plan::single(found.size, found.accept).unwrap();
                    let accepted = single.acceptance(aql / 100.0, Model::Poisson).unwrap();
                    // The standard's plans accept lots at the AQL in 88 to 99 of 100 cases; tightened ones in fewer.
                    let least = if severity == Severity::Normal { 0.86 } else { 0.75 };
                    assert!(accepted > least, "{letter} {aql} {severity:?}: {found:?} {accepted}");
                }
            }
        }
    }

    #[test]
    fn numbers_rise_with_aql_and_tightened_is_never_milder() {
        for letter in letters(Severity::Normal) {
            let numbers = |severity| {
                let cells = AQLS.iter().map(|aql| cell(letter, *aql, severity).unwrap());
                cells.filter_map(|cell| if let Cell::Accept(accept) = cell { Some(accept) } else { None }).collect::<Vec<_>>()
            };
            assert!(numbers(Severity::Normal).windows(2).all(|pair| pair[0] < pair[1]), "{letter}");
            for aql in AQLS {
                let curve = |severity| {
                    let found = plan(letter, aql, severity).unwrap();
                    Plan::single(found.size, found.accept).unwrap().acceptance(2.0 * aql / 100.0, Model::Poisson).unwrap()
                };
                assert!(curve(Severity::Tightened) <= curve(Severity::Normal) + 1e-12, "{letter} {aql}");
            }
        }
    }

    #[test]
    fn code_letters_never_fall_with_the_lot() {
        for level in [Level::S1, Level::S2, Level::S3, Level::S4, Level::I, Level::II, Level::III] {
            let found: Vec<char> = LOTS.iter().map(|(last, _)| code_letter(*last, level).unwrap()).collect();
            assert!(found.is_sorted(), "{level:?} {found:?}");
        }
        assert_eq!((code_letter(2, Level::III), code_letter(9, Level::III)), (Ok('B'), Ok('C')));
        assert!(code_letter(1, Level::II).is_err());
    }

    #[test]
    fn refuses_what_the_table_does_not_have() {
        for (letter, aql) in [('I', 1.0), ('S', 1.0), ('K', 0.7), ('K', f64::NAN)] {
            assert!(plan(letter, aql, Severity::Normal).is_err());
        }
        assert_eq!(plan('S', 0.025, Severity::Tightened).map(|plan| (plan.size, plan.accept)), Ok((3150, 1)));
    }
}
