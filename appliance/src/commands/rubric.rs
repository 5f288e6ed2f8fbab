//! `jidoka rubric`: whether a rubric can be used, why a piece has its grade, and which grade a lot has.

use super::{Failure, say};
use crate::cli::{Rubric as RubricCommand, RubricCheck, RubricExplain, RubricLots};
use crate::clock::Clock;
use crate::config::rubric::Document;
use crate::grading::ledger::Progress;
use crate::grading::lots::{self, Lots};
use crate::grading::{Period, cases, ledger};
use crate::pipeline::at;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use station::rubric::{Explanation, Rubric, Seen};
use std::io::Write as _;
use std::path::Path;

/// The configuration of a command is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// A line on standard error this often, in microseconds.
const TELL_EVERY: u64 = 1_000_000;

pub(super) fn rubric(command: &RubricCommand) -> Result<(), Failure> {
    match command {
        RubricCommand::Check(args) => check(args),
        RubricCommand::Explain(args) => explain(args),
        RubricCommand::Lots(args) => of_lots(args),
    }
}

/// A failure with its own words.
pub(super) fn failure(text: impl ToString, code: u8) -> Failure {
    Failure { text: text.to_string(), code }
}

/// The rubric in a file; its problems are told without more ado.
pub(super) fn load(path: &Path) -> Result<Document, Failure> {
    Document::load(path).map_err(|problems| failure(format!("the rubric cannot be used:\n{problems}"), 78))
}

/// The rubric in a file, at that stage.
pub(super) fn at_stage(path: &Path, stage: Option<&str>) -> Result<Document, Failure> {
    load(path)?.at_stage(stage).map_err(|what| failure(format!("--stage: {}: {what}", path.display()), USAGE))
}

fn check(args: &RubricCheck) -> Result<(), Failure> {
    let document = load(&args.file)?;
    let Some(scheme) = &document.rubric.scheme else { return Ok(()) };
    say(&format!("{}: no problems", args.file.display()))?;
    let until = scheme.effective_until.map(|day| format!(" until {day}")).unwrap_or_default();
    say(&format!(
        "{}, version {}: grades {} and {}; in force from {}{until}; signed off by {} on {}",
        scheme.name,
        document.rubric.version,
        scheme.grades.join(", "),
        scheme.below,
        scheme.effective_from,
        scheme.signed_off.by,
        scheme.signed_off.on
    ))?;
    if let Err(problems) = document.in_force(crate::clock::today()) {
        say(&format!("a station would refuse it today: {problems}"))?;
    }
    let Some(path) = &args.cases else { return Ok(()) };
    let tried = cases::run(&document, path).map_err(|error| failure(error, 78))?;
    let wrong: Vec<_> = tried.iter().filter(|case| case.is_wrong()).collect();
    for case in &wrong {
        let source = if case.source.is_empty() { String::new() } else { format!(" [{}]", case.source) };
        let expected = case.expected.as_deref().unwrap_or_default();
        say(&format!("{}: {} instead of {expected}{source}\n{}", case.name, case.got.name, indented(&case.got)))?;
    }
    if wrong.is_empty() {
        say(&format!("{}: {} pieces have the grades that are expected", path.display(), tried.len()))
    } else {
        Err(failure(format!("{}: {} of {} pieces have other grades than expected", path.display(), wrong.len(), tried.len()), 1))
    }
}

/// Why a grade was given, each reason on a line of its own.
fn indented(why: &Explanation) -> String {
    let lines = if why.because.is_empty() { &why.factors } else { &why.because };
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn told(name: &str, why: &Explanation) -> String {
    let because = if why.because.is_empty() { "; no factor says otherwise" } else { " because:" };
    format!("{name}: grade {}{because}\n{}", why.name, indented(why))
}

fn explain(args: &RubricExplain) -> Result<(), Failure> {
    let document = args.rubric.as_ref().map(|path| match args.result {
        Some(_) => at_stage(path, args.stage.as_deref()),
        None => load(path),
    });
    let document = document.transpose()?;
    let mut all = Vec::new();
    if let (Some(path), Some(document)) = (&args.record, &document) {
        for case in cases::run(document, path).map_err(|error| failure(error, 78))? {
            all.push((case.name, case.got));
        }
    } else if let Some(result) = args.result {
        all.push(of_ledger(&args.data, result, document.map(|document| document.rubric))?);
    }
    if args.json {
        let one = |(name, why): &(String, Explanation)| json!({ "piece": name, "grade": why.grade, "name": why.name, "because": why.because, "factors": why.factors });
        let list: Vec<_> = all.iter().map(one).collect();
        return say(&serde_json::to_string_pretty(&list).map_err(at("the explanation"))?);
    }
    all.iter().try_for_each(|(name, why)| say(&told(name, why)))
}

/// Why the piece with this record has its grade, by the rubric it was graded with or by another one.
fn of_ledger(data: &Path, result: u64, rubric: Option<Rubric>) -> Result<(String, Explanation), Failure> {
    let found = ledger::find(data, result).map_err(|error| failure(error, 1))?;
    let Some((recipe, record)) = found else {
        return Err(failure(format!("{}: there is no piece record {result}", data.display()), 1));
    };
    let serial = record.arrival.serial.as_deref().map(|serial| format!(", serial {serial}")).unwrap_or_default();
    let name = format!("result {result}{serial}");
    let Some(inspection) = &record.inspection else {
        return Err(failure(format!("{name}: nobody looked at it, so it has no grade"), 1));
    };
    let rubric = rubric.unwrap_or_else(|| recipe.rubric.clone());
    Ok((name, rubric.explain(&Seen { recipe: &recipe, inspection, readings: &record.readings })))
}

/// How far a walk over the ledger is: a bar on a terminal, elsewhere a line on standard error every second.
pub(super) fn with_bar<T>(work: impl FnOnce(Progress<'_>) -> T) -> T {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {eta} left") {
        bar.set_style(style);
    }
    let (clock, mut told_at) = (Clock::new(), 0);
    let done = work(&mut |entry, all| {
        bar.set_length(all.max(entry));
        bar.set_position(entry);
        let now = clock.mono_micros();
        if bar.is_hidden() && now >= told_at + TELL_EVERY {
            told_at = now;
            tell(&format!("{entry} of {} entries", all.max(entry)));
        }
    });
    bar.finish_and_clear();
    done
}

/// What was left out of an answer is told beside it.
pub(super) fn tell_damage(places: u64, data: &Path) {
    if places > 0 {
        tell(&format!("{places} places of the ledger are damaged and were left out: `jidoka verify --data {}` names them", data.display()));
    }
}

/// Standard error may be closed, which is no failure of a question.
fn tell(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn of_lots(args: &RubricLots) -> Result<(), Failure> {
    let document = at_stage(&args.rubric, args.stage.as_deref())?;
    let period = Period::read(&args.period).map_err(|error| failure(error, USAGE))?;
    let Some(scheme) = document.rubric.scheme.clone().filter(|scheme| scheme.lot.is_some() || scheme.sampling.is_some()) else {
        let text = format!("{}: the rubric grades and samples no lots (mend: add [lot] or [sampling])", args.rubric.display());
        return Err(failure(text, 78));
    };
    let lots =
        with_bar(|progress| lots::grade(&args.period.data, &document, &scheme, period, progress)).map_err(|error| failure(error, 1))?;
    tell_damage(lots.damaged, &args.period.data);
    if args.json { say(&serde_json::to_string_pretty(&lots).map_err(at("the lots"))?) } else { say(&of_text(&lots)) }
}

fn of_text(lots: &Lots) -> String {
    let mut text = String::new();
    for lot in &lots.lots {
        let grades: Vec<String> = lot.grades.iter().map(|(grade, count)| format!("{count} {grade}")).collect();
        text.push_str(&format!("lot {}: {} pieces ({})", lot.lot, lot.pieces, grades.join(", ")));
        if let Some(verdict) = &lot.grade {
            text.push_str(&format!(": {}", verdict.grade));
            for why in &verdict.because {
                text.push_str(&format!("\n  {why}"));
            }
        }
        text.push('\n');
        if let Some(sampled) = &lot.sampling {
            text.push_str(&format!("  {sampled}\n"));
        }
    }
    if lots.lots.is_empty() {
        text.push_str("no piece of that time belongs to a lot\n");
    }
    if let Some(next) = &lots.next {
        text.push_str(&format!("the next incoming lot: {next} inspection\n"));
    }
    text.trim_end().to_owned()
}
