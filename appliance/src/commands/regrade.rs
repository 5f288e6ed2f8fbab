//! `jidoka regrade`: what another rubric would have done to the pieces of the ledger.

use super::rubric::{at_stage, failure, tell_damage, with_bar};
use super::{Failure, say};
use crate::cli::Regrade;
use crate::config::rubric::Worth;
use crate::grading::Period;
use crate::grading::regrade::{self, Question, RegradeError, Regraded};
use crate::pipeline::at;

/// The configuration of a command is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

pub(super) fn regrade(args: &Regrade) -> Result<(), Failure> {
    let document = at_stage(&args.rubric, args.stage.as_deref())?;
    let own = args.cost.as_ref().map(|path| Worth::load(path)).transpose();
    let own = own.map_err(|problems| failure(format!("the table of worth cannot be used:\n{problems}"), 78))?;
    let worth = match (&own, &args.cost) {
        (Some(worth), Some(path)) => Some((worth, path.as_path())),
        _ => document.worth.as_ref().map(|worth| (worth, args.rubric.as_path())),
    };
    let period = Period::read(&args.period).map_err(|error| failure(error, USAGE))?;
    let question = Question { data: &args.period.data, document: &document, period, worth, list: args.list };
    let told = with_bar(|progress| regrade::regrade(&question, progress)).map_err(|error| {
        let code = if matches!(error, RegradeError::NoWorth { .. }) { 78 } else { 1 };
        failure(error, code)
    })?;
    tell_damage(told.damaged, &args.period.data);
    if args.json {
        return say(&serde_json::to_string_pretty(&told).map_err(at("the report"))?);
    }
    let scheme = document.rubric.scheme.as_deref();
    let title = scheme.map(|scheme| format!("{}, version {}", scheme.name, document.rubric.version)).unwrap_or_default();
    say(&of_text(&told, &title))
}

fn of_text(told: &Regraded, title: &str) -> String {
    let mut text = String::new();
    for warning in &told.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let versions: Vec<String> = told.old_versions.iter().map(u16::to_string).collect();
    text.push_str(&format!("{} pieces (graded by version {}) by {title}\n", told.pieces, versions.join(", ")));
    if told.not_inspected > 0 {
        text.push_str(&format!("{} pieces that nobody looked at have no grade, by whatever rubric\n", told.not_inspected));
    }
    if told.pieces == 0 {
        text.push_str("no piece of that time was graded: --since and --until say which are meant");
        return text;
    }
    text.push('\n');
    text.push_str(&matrix(told));
    let percent = 100.0 * share(told.changed, told.pieces);
    text.push_str(&format!("\n{} pieces change their grade ({percent:.2} %)\n", told.changed));
    text.push_str(&format!(
        "{} that passed would be rejected, {} that were rejected would pass\n",
        told.pass_to_reject, told.reject_to_pass
    ));
    if told.pass_to_hold + told.hold_to_pass > 0 {
        text.push_str(&format!("{} that passed would be on hold, {} that were on hold would pass\n", told.pass_to_hold, told.hold_to_pass));
    }
    if let Some(cost) = &told.cost {
        text.push_str(&format!("worth {:.2} instead of {:.2} {}: {:+.2}\n", cost.after, cost.before, cost.currency, cost.difference));
    }
    if !told.list.is_empty() {
        text.push('\n');
    }
    for piece in &told.list {
        let serial = piece.serial.as_deref().map(|serial| format!(" ({serial})")).unwrap_or_default();
        let because = if piece.because.is_empty() { String::new() } else { format!(" because {}", piece.because.join("; ")) };
        text.push_str(&format!("result {}{serial}: {} becomes {}{because}\n", piece.result_id, piece.old, piece.new));
    }
    let more = told.changed.saturating_sub(u64::try_from(told.list.len()).unwrap_or(u64::MAX));
    if more > 0 {
        text.push_str(&format!("and {more} more; --list says how many are listed\n"));
    }
    text.trim_end().to_owned()
}

/// Old grades down, new grades across; grades that do not occur are left out.
fn matrix(told: &Regraded) -> String {
    let columns: Vec<usize> =
        (0..told.new_grades.len()).filter(|column| told.matrix.iter().any(|row| row.get(*column) != Some(&0))).collect();
    let rows = told.old_grades.iter().zip(&told.matrix).filter(|(_, row)| row.iter().any(|count| *count > 0));
    let wide = |name: &str| name.chars().count();
    let first = told.old_grades.iter().map(|name| wide(name)).max().unwrap_or(0).max("was \\ would be".len());
    let names: Vec<&str> = columns.iter().filter_map(|column| told.new_grades.get(*column)).map(String::as_str).collect();
    let mut text = format!("{:<first$}", "was \\ would be");
    for name in &names {
        text.push_str(&format!("  {name:>width$}", width = wide(name).max(8)));
    }
    text.push('\n');
    for (name, row) in rows {
        text.push_str(&format!("{name:<first$}"));
        for (column, new) in columns.iter().zip(&names) {
            text.push_str(&format!("  {:>width$}", row.get(*column).copied().unwrap_or(0), width = wide(new).max(8)));
        }
        text.push('\n');
    }
    text
}

/// A share of counts, to be shown.
fn share(part: u64, whole: u64) -> f64 {
    let real = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { real(part) / real(whole) }
}
