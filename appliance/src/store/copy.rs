//! A station's memory elsewhere: a copy made while it runs, and the way of a whole station to another machine.
//!
//! A copy is a folder as a station has it, without what is built again (`view/`) or made anew (`ballast`, `lock`), and with
//! `contents`: one line for each file, SHA-256, bytes and path. Putting it in the place of a data folder is all that restoring needs.
//!
//! Invariants: the copy is consistent, whatever the station does meanwhile: its ledger ends with the last entry that was durable when
//! the copy began, and what else is copied knows of no later one (it is copied first); nothing is written over; `contents` is
//! written last, so that a copy without it is one that was not finished.

use super::images::register::{REGISTER, Word, read_lines};
use super::ledger::{self, read_witness};
use super::segment::{self, HEADER_LEN, Part};
use super::{LEDGER, StoreError, sign, walk};
use station::units::Digest;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the list of a copy's files.
pub const CONTENTS: &str = "contents";
const IMAGES: &str = "images";
/// Small files that belong to a station, copied before the ledger.
const SMALL: [&str; 4] = [sign::SIGNATURES, sign::PUBLIC, sign::SECRET, "settings.accepted"];

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target holds something already.
    #[error("{} is not empty: name a folder that does not exist yet, or an empty one", .0.display())]
    NotEmpty(PathBuf),
    /// The source is no station's memory.
    #[error("{} is no station's data folder: it has no `ledger`", .0.display())]
    NoStation(PathBuf),
    /// The copy was not finished, or is none.
    #[error("{} is no finished copy: it has no list of its `contents`", .0.display())]
    Unfinished(PathBuf),
    /// A file of the copy is not what was copied.
    #[error("{} is not what was copied: {what} (mend: copy it again; with a damaged original, put `contents` aside and use the folder as it is)", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The ledger cannot be walked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last entry of the ledger.
    pub entries: u64,
}

/// Told how many bytes of how many are done.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Copies the station's memory in `from` to the new folder `to`, also while the station runs.
///
/// # Errors
/// If `from` is no station's, if `to` holds something, or if a file cannot be read or written.
pub fn backup(from: &Path, to: &Path, progress: Progress<'_>) -> Result<Copied, CopyError> {
    if !from.join(LEDGER).is_dir() {
        return Err(CopyError::NoStation(from.to_owned()));
    }
    must_be_empty(to)?;
    let mut copy = Copy::new(from, to, progress)?;
    for name in SMALL {
        copy.file(Path::new(name))?;
    }
    copy.folder(Path::new("outbox"), "mark")?;
    copy.ledger()?;
    copy.pictures()?;
    copy.finish()
}

/// Copies a finished copy to the new data folder `to`, after it has looked whether every file is what was copied.
///
/// # Errors
/// If `from` is no finished copy or is damaged, if `to` holds something, or if a file cannot be read or written.
pub fn import(from: &Path, to: &Path, progress: Progress<'_>) -> Result<Copied, CopyError> {
    let text = fs::read_to_string(from.join(CONTENTS)).map_err(|_| CopyError::Unfinished(from.to_owned()))?;
    must_be_empty(to)?;
    let mut copy = Copy::new(from, to, progress)?;
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(digest), Some(_), Some(path)) = (words.next().and_then(Digest::from_hex), words.next(), words.next()) else {
            return Err(CopyError::Damaged { path: from.join(CONTENTS), what: "a line of it is none" });
        };
        let path = Path::new(path);
        if path.is_absolute() || path.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
            return Err(CopyError::Damaged { path: from.join(CONTENTS), what: "it names a file outside of the copy" });
        }
        let bytes = fs::read(from.join(path)).map_err(|_| CopyError::Damaged { path: from.join(path), what: "it is gone" })?;
        if Digest::of(&bytes) != digest {
            return Err(CopyError::Damaged { path: from.join(path), what: "its digest does not fit" });
        }
        copy.write(path, &bytes)?;
    }
    copy.copied.entries = read_witness(&from.join(LEDGER)).number.0;
    let copied = copy.copied;
    copy.done()?;
    Ok(copied)
}

struct Copy<'c, 'p> {
    from: &'c Path,
    to: &'c Path,
    progress: Progress<'p>,
    total: u64,
    copied: Copied,
    contents: String,
}

impl<'c, 'p> Copy<'c, 'p> {
    fn new(from: &'c Path, to: &'c Path, progress: Progress<'p>) -> Result<Self, CopyError> {
        fs::create_dir_all(to).map_err(failed("create", to))?;
        let total = ["", "outbox", LEDGER, IMAGES].iter().map(|sub| bytes_in(&from.join(sub))).sum::<u64>();
        let images: u64 = list(&from.join(IMAGES))?.iter().map(|sub| bytes_in(sub)).sum();
        Ok(Self { from, to, progress, total: total + images, copied: Copied::default(), contents: String::new() })
    }

    /// The files of a folder with this ending. One that has gone meanwhile is left out: pictures age out.
    fn folder(&mut self, folder: &Path, ending: &str) -> Result<(), CopyError> {
        for path in list(&self.from.join(folder))? {
            if path.extension().is_some_and(|end| end == ending) {
                self.file(&folder.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), CopyError> {
        let source = self.from.join(path);
        match fs::read(&source) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            read => self.write(path, &read.map_err(failed("read", &source))?),
        }
    }

    /// The pictures that the register knew at the beginning, and the register of them: what came later belongs to the next copy, and
    /// what was removed meanwhile is let go in it only if it was not copied.
    fn pictures(&mut self) -> Result<(), CopyError> {
        let register = self.from.join(IMAGES).join(REGISTER);
        let known = register.exists().then(|| fs::metadata(&register).map_err(failed("look at", &register))).transpose()?;
        let known = known.map_or(0, |meta| meta.len());
        for sub in list(&self.from.join(IMAGES))?.iter().filter(|path| path.is_dir()) {
            self.folder(&Path::new(IMAGES).join(sub.file_name().unwrap_or_default()), "jpg")?;
        }
        if known == 0 {
            return Ok(());
        }
        let mut text = String::new();
        let read = read_lines(&register, &mut |at, line| {
            let Some(line) = line else { return };
            let name = line.digest.to_string();
            let is_here = || self.to.join(IMAGES).join(&name[..2]).join(format!("{name}.jpg")).exists();
            let counts = match line.word {
                _ if at < known => true,
                Word::Kept => is_here(),
                Word::LetGo => !is_here(),
                _ => false,
            };
            if counts {
                text.push_str(&line.to_text());
            }
        });
        read.map_err(failed("read", &register))?;
        self.write(&Path::new(IMAGES).join(REGISTER), text.as_bytes())
    }

    /// The ledger as it was acknowledged: entries that came later belong to the next copy.
    fn ledger(&mut self) -> Result<(), CopyError> {
        let folder = self.from.join(LEDGER);
        let acked = read_witness(&folder).number;
        let witness = fs::read(folder.join(ledger::WITNESS)).unwrap_or_default();
        // It may just have been written: what was read is what counts, and it is never behind the number above.
        let acked = if ledger::is_witness(&witness) { acked.max(ledger::witness_of(&witness).number) } else { acked };
        for file in walk::segments(&folder).map_err(StoreError::from)? {
            if acked.0 > 0 && file.first.is_some_and(|first| first > acked) {
                break;
            }
            let path = segment::path(&folder, file.ordinal);
            let mut bytes = fs::read(&path).map_err(failed("read", &path))?;
            // Whole frames that nobody was told of may yet be taken back by a cut of the power.
            let later = segment::parts(&bytes).into_iter().find_map(|part| match part {
                Part::Frame(frame) if acked.0 > 0 && frame.number > acked => Some(frame.offset),
                _ => None,
            });
            bytes.truncate(later.unwrap_or(bytes.len()).max(HEADER_LEN.min(bytes.len())));
            self.write(&Path::new(LEDGER).join(path.file_name().unwrap_or_default()), &bytes)?;
        }
        self.copied.entries = acked.0;
        if witness.is_empty() { Ok(()) } else { self.write(&Path::new(LEDGER).join(ledger::WITNESS), &witness) }
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
        let target = self.to.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed("create", folder))?;
        }
        let written = File::create_new(&target).and_then(|mut file| {
            if path == Path::new(sign::SECRET) {
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
            }
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(failed("write", &target))?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.copied.files += 1;
        self.copied.bytes += len;
        self.contents.push_str(&format!("{} {len} {}\n", Digest::of(bytes), path.display()));
        (self.progress)(self.copied.bytes, self.total.max(self.copied.bytes));
        Ok(())
    }

    fn finish(self) -> Result<Copied, CopyError> {
        let target = self.to.join(CONTENTS);
        let written =
            File::create_new(&target).and_then(|mut file| file.write_all(self.contents.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(failed("write", &target))?;
        let copied = self.copied;
        self.done()?;
        Ok(copied)
    }

    fn done(self) -> Result<(), CopyError> {
        for folder in [self.to.join(LEDGER), self.to.to_owned()] {
            File::open(&folder).and_then(|file| file.sync_all()).map_err(failed("sync", &folder))?;
        }
        Ok(())
    }
}

fn must_be_empty(to: &Path) -> Result<(), CopyError> {
    if list(to)?.is_empty() { Ok(()) } else { Err(CopyError::NotEmpty(to.to_owned())) }
}

/// What lies in a folder, in order; nothing if there is no such folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(failed("list", folder))?,
    };
    let mut out = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>().map_err(failed("list", folder))?;
    out.sort();
    Ok(out)
}

fn bytes_in(folder: &Path) -> u64 {
    let files = list(folder).unwrap_or_default().into_iter().filter(|path| path.file_name().is_none_or(|name| name != "ballast"));
    files.filter_map(|path| fs::metadata(path).ok()).filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io { what, path, source }
}
