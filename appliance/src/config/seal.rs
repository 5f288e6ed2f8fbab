//! Whether the settings are those that were written: a disk that loses a bit must not change a limit in silence.
//!
//! `settings.accepted` in the data folder is a copy of the file with which the station last started. Its first line is the SHA-256 of
//! the rest of that line and the copy, and when the original was last written. A file that differs from the copy **and was written since** was changed by somebody: that is told, and accepted. One that differs although
//! nobody has written it is damaged: that is refused, and the copy is what to go back to.
//!
//! Invariant: a copy that does not fit its own first line is not believed, and replaced.

use station::units::Digest;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Name of the copy.
const COPY: &str = "settings.accepted";

/// How the settings stand to those of the last start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// There is nothing (or nothing whole) to compare with.
    First,
    /// The same.
    Same,
    /// Written since; the first and last line that differ, counted from 1.
    Changed(usize, usize),
    /// Different, and nobody has written them.
    Damaged {
        /// The first line that differs.
        line: usize,
        /// The copy to go back to.
        copy: PathBuf,
    },
}

/// Compares the settings in `file` with those of the last start.
///
/// # Errors
/// If the file cannot be read.
pub fn look(file: &Path, data: &Path) -> io::Result<Seal> {
    let (text, written) = read(file)?;
    let copy = data.join(COPY);
    let Some((known, known_written)) = fs::read(&copy).ok().and_then(|bytes| open(&bytes)) else { return Ok(Seal::First) };
    if known == text {
        return Ok(Seal::Same);
    }
    let (first, last) = differing(&known, &text);
    Ok(if known_written == written { Seal::Damaged { line: first, copy } } else { Seal::Changed(first, last) })
}

/// Takes the settings in `file` as they are: the next [`look`] compares with them.
///
/// # Errors
/// If the copy cannot be written.
pub fn accept(file: &Path, data: &Path) -> io::Result<()> {
    let (text, written) = read(file)?;
    let (copy, fresh) = (data.join(COPY), data.join(format!("{COPY}.new")));
    let mut out = File::create(&fresh)?;
    writeln!(out, "{}", first_line(&text, &written))?;
    out.write_all(&text)?;
    out.sync_all()?;
    fs::rename(fresh, copy)
}

fn read(file: &Path) -> io::Result<(Vec<u8>, String)> {
    let meta = fs::metadata(file)?;
    Ok((fs::read(file)?, format!("{}.{:09}", meta.mtime(), meta.mtime_nsec())))
}

fn first_line(text: &[u8], written: &str) -> String {
    format!("{} {written}", Digest::of_parts(&[written.as_bytes(), b" ", text]))
}

/// The settings in a copy and when they were written, if the copy is whole.
fn open(bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let (text, written) = (bytes.get(end + 1..)?, line.split(' ').nth(1)?);
    (line == first_line(text, written)).then(|| (text.to_owned(), written.to_owned()))
}

/// First and last line of `new` that are not those of `old`, counted from 1.
fn differing(old: &[u8], new: &[u8]) -> (usize, usize) {
    let (old, new): (Vec<_>, Vec<_>) = (old.split(|byte| *byte == b'\n').collect(), new.split(|byte| *byte == b'\n').collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    (before + 1, (new.len() - after).max(before + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_a_change_and_never_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("jidoka.toml"), folder.path());
        let whole = crate::config::sample().as_bytes();
        fs::write(&file, whole).unwrap();
        assert_eq!(look(&file, data).unwrap(), Seal::First);
        accept(&file, data).unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(look(&file, data).unwrap(), Seal::Same);
        let mut state = 1_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % end
        };
        for round in 0..150 {
            let mut bytes = whole.to_vec();
            let at = below(bytes.len());
            match round % 3 {
                0 => bytes[at] ^= 1 << below(8),
                1 => {
                    let end = (at + 512).min(bytes.len());
                    bytes[at..end].fill(0);
                }
                _ => bytes.truncate(at),
            }
            fs::write(&file, &bytes).unwrap();
            // The disk does not say when it loses a bit.
            File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
            let seal = look(&file, data).unwrap();
            assert!(matches!(seal, Seal::Damaged { .. }), "round {round}, byte {at}: {seal:?}");
        }
        let changed = crate::config::sample().replacen("keep_bytes_max = 2_000_000_000", "keep_bytes_max = 3_000_000_000", 1);
        fs::write(&file, &changed).unwrap();
        let line = changed.lines().position(|line| line.starts_with("keep_bytes_max")).unwrap() + 1;
        assert_eq!(look(&file, data).unwrap(), Seal::Changed(line, line));
        // A damaged copy is no witness.
        let copy = data.join(COPY);
        let mut bytes = fs::read(&copy).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&copy, bytes).unwrap();
        assert_eq!(look(&file, data).unwrap(), Seal::First);
    }
}
