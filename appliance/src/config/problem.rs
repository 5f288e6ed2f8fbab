//! What is wrong with a settings file, told so that a person at the machine can mend it without asking anybody.
//!
//! Invariants: a [`Problems`] is never empty, is in the order of the file, and tells everything that could be found in
//! one reading; no problem hides another.

use std::error::Error;
use std::fmt;

/// One thing that is wrong, where it stands, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the settings file as it was given.
    pub file: String,
    /// Line in the file, from 1; `None` if the file has no line for it (a section that is missing, a file that cannot be read).
    pub line: Option<usize>,
    /// Path of the key, for example `plc.tag[2].scale` (the second tag); empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {} (mend: {})", self.what, self.mend)
    }
}

/// Everything that is wrong with a settings file and the files it names, in their order. Displayed as one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts what was found. `None` if nothing was.
    pub(super) fn found(mut list: Vec<Problem>) -> Option<Self> {
        list.sort_by(|a, b| {
            let place = |problem: &Problem| (problem.file.clone(), problem.line.unwrap_or(usize::MAX), problem.key.clone());
            place(a).cmp(&place(b))
        });
        list.dedup();
        (!list.is_empty()).then_some(Self(list))
    }

    /// Only one thing is wrong.
    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}
