//! `[worth]`: what a piece of each grade is worth, so that a rubric's change can be told in money.

use super::{Known, Problem, Problems, Sheet, read_text};
use crate::config::raw::Section;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What pieces are worth, by name of their grade.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worth {
    /// The currency, as it is shown.
    pub currency: String,
    /// What one piece is worth, by name of its grade. Grades of the old rubric may be named too.
    pub per_piece: BTreeMap<String, f64>,
}

impl Worth {
    /// Reads a table of its own: `currency` and `[per_piece]`.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let (file, text) = read_text(path)?;
        let (sheet, table) = Sheet::read(&file, &text);
        let read = worth(&sheet.root(&table));
        sheet.finish()?;
        let what = "was refused without a reason".to_owned();
        read.ok_or_else(|| Problems::one(Problem { file, line: None, key: String::new(), what, mend: "report this as a bug".to_owned() }))
    }
}

pub(super) fn worth(section: &Section<'_>) -> Option<Worth> {
    let currency = section.text("currency", "the currency, for example \"EUR\"");
    if !section.has("per_piece") {
        section.misses("per_piece", "add a table `per_piece` with what a piece of each grade is worth");
    }
    let per_piece = section.free_numbers("per_piece", -1e9..=1e9);
    Some(Worth { currency: currency?.to_owned(), per_piece: per_piece? })
}

/// Tells which grades of the rubric have no worth.
pub(super) fn must_name(root: &Section<'_>, worth: &Worth, known: &Known) {
    let all = known.grades.iter().chain(std::iter::once(&known.below));
    let missing: Vec<&str> = all.filter(|grade| !worth.per_piece.contains_key(*grade)).map(String::as_str).collect();
    if !missing.is_empty() {
        let mend =
            format!("add {} to `per_piece`", missing.iter().map(|grade| format!("{} = …", bare(grade))).collect::<Vec<_>>().join(", "));
        root.wrong("worth", format!("nothing says what {} is worth", missing.join(", ")), mend);
    }
}

/// A name as a key of TOML.
pub(crate) fn bare(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_bare { name.to_owned() } else { format!("\"{}\"", name.escape_debug()) }
}
