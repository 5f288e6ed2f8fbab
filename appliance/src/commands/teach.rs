//! `jidoka teach`: good pieces in, a model package out, and what a quality engineer wants to know of it.

use super::model::{runtime, shown_as_package};
use super::{Failure, say};
use crate::cli::Teach;
use crate::pipeline::at;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;
use vision_models::anomaly::{LEAST, Lesson, MOST, Taught, Written, labelled_pictures, pictures_of, teach, write};
use vision_models::evaluate::auroc;
use vision_models::picture::Picture;

pub(super) fn run(args: &Teach) -> Result<(), Failure> {
    let start = Instant::now();
    let plain = |text: &str| {
        let letter = |character: char| character.is_ascii_alphanumeric();
        text.starts_with(letter) && text.chars().all(|character| letter(character) || matches!(character, '-' | '_' | '.'))
    };
    if !plain(&args.name) || !plain(&args.version) {
        let text = "--name and --version are letters, digits, `-`, `_` and `.`, and begin with a letter or digit".to_owned();
        return Err(Failure { text, code: 64 });
    }
    let folder = args.out.join(format!("{}@{}", args.name, args.version));
    if folder.exists() {
        let text = format!("{} is there already: give another --name or --version, or take it away", folder.display());
        return Err(Failure { text, code: 1 });
    }
    let what = format!("--images {}", args.images.display());
    let good = read(&pictures_of(&args.images).map_err(at(&what))?)?;
    if good.is_empty() {
        let text = format!("{what}: there are no pictures (PNG or JPEG) in this folder; at least {LEAST} are needed");
        return Err(Failure { text, code: 1 });
    }
    let bad = match &args.bad {
        None => Vec::new(),
        Some(folder) => {
            let found = labelled_pictures(folder).map_err(at(&format!("--bad {}", folder.display())))?;
            read(&found.into_iter().map(|one| one.path).collect::<Vec<_>>())?
        }
    };
    let runtime = runtime()?;
    let taught = teach(&runtime, &good, args.overkill, progress).map_err(at(&what))?;
    let lesson = Lesson { name: &args.name, version: &args.version, pixel_size_mm: args.pixel_size_mm, bad: &bad };
    let written = write(&runtime, &taught, &good, &lesson, &args.out).map_err(at("the package"))?;
    say(&summary(&good, &taught, &written, start.elapsed().as_secs_f64()))
}

fn read(paths: &[impl AsRef<Path>]) -> Result<Vec<Picture>, Failure> {
    let read = |path: &Path| Picture::read(path).map_err(at("a picture cannot be read: mend it or take it away"));
    Ok(paths.iter().map(|path| read(path.as_ref())).collect::<Result<Vec<_>, _>>()?)
}

/// On a terminal only: a log needs no counting.
fn progress(done: usize, all: usize) {
    let mut err = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&err) {
        let end = if done == all { "\n" } else { "" };
        // A terminal that is gone is nobody who waits.
        drop(write!(err, "\rlooking at the good pieces: {done} of {all}{end}").and_then(|()| err.flush()));
    }
}

fn summary(good: &[Picture], taught: &Taught, written: &Written, seconds: f64) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| text.push_str(&format!("  {what:<34} {value}\n"));
    let pieces = taught.used.len();
    let left = good.len() - pieces - taught.copies;
    let mut given = format!("{pieces} of {} pictures", good.len());
    if taught.copies > 0 {
        given.push_str(&format!("; {} are copies of another one and count once", taught.copies));
    }
    if left > 0 {
        given.push_str(&format!("; {left} were left out evenly, {MOST} is the most"));
    }
    line("good pieces taught", given);
    let sides = |side: fn(&Picture) -> u32| (good.iter().map(side).min().unwrap_or(0), good.iter().map(side).max().unwrap_or(0));
    let (width, height) = (sides(Picture::width), sides(Picture::height));
    if width.0 != width.1 || height.0 != height.1 {
        let sizes = format!("{} to {} by {} to {} pixels; every picture is stretched to 256 by 256", width.0, width.1, height.0, height.1);
        line("the pictures differ in size", sizes);
    }
    line("held back", "each of them once, while it was judged by all others".to_owned());
    let threshold = format!("score 0.5, {:.2} times the distance of the usual good piece", taught.threshold());
    line("threshold", threshold);
    let bound = 100.0 * wilson_upper(taught.rejected, pieces);
    let aim = 100.0 * taught.overkill;
    line("overkill", format!("{aim} % aimed at; {} of {pieces} rejected, with 95 % certainty below {bound:.1} %", taught.rejected));
    if !written.bad_scores.is_empty() {
        let bad = written.bad_scores.len();
        let escaped = written.bad_scores.iter().filter(|score| **score < 0.5).count();
        line("bad pieces that escape", format!("{escaped} of {bad}"));
        let area = auroc(&taught.good_scores(), &written.bad_scores).unwrap_or(0.0);
        line("area under the ROC curve", format!("{area:.4}, good pieces held back against the bad ones"));
    }
    let size = u32::try_from(written.model_bytes / 1024).unwrap_or(u32::MAX);
    line("model", format!("{:.1} MiB", f64::from(size) / 1024.0));
    line("time", format!("{seconds:.1} s"));
    format!("{} is taught and proved\n{text}{}", written.folder.display(), shown_as_package(&written.folder))
}

/// Upper end of Wilson's interval for a share of 95 % certainty, one-sided (z = 1.645).
/// Source: E. B. Wilson, *Journal of the American Statistical Association* 22 (1927), 209–212.
fn wilson_upper(part: usize, whole: usize) -> f64 {
    let real = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let (n, z) = (real(whole.max(1)), 1.645);
    let p = real(part) / n;
    let middle = p + z * z / (2.0 * n);
    (middle + z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt()) / (1.0 + z * z / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rejected_piece_of_a_hundred_is_no_promise_of_none() {
        assert!((wilson_upper(0, 100) - 0.0263).abs() < 5e-4);
        assert!((wilson_upper(1, 100) - 0.0435).abs() < 5e-3);
    }
}
