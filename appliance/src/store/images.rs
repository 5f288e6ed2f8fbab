//! The pictures: one file per frame, named by the digest that the record names, and the register of what was kept and let go.
//!
//! `images/ab/abcdef….jpg` holds the JPEG and 12 bytes after its end, which every viewer ignores: `JDKI`, the JPEG's length and its
//! CRC32C (little-endian), because the name is the digest of the pixels and proves nothing about the JPEG's own bytes.
//!
//! Invariants: a file appears whole or not at all (written aside, synced, renamed), and is removed only after the register says so
//! durably; the files together never exceed the quota, what is held excepted; what is held is never removed; a file that the
//! register does not know (power was cut in between) stays until its record is found; nothing that happens here keeps a record
//! from being kept, and asking how it stands never waits for the disk.

pub mod examine;
pub mod policy;
pub mod register;
pub mod shelf;
mod stock;
#[cfg(test)]
mod tests;

pub use stock::{Disk, Fate, Stock};

use super::codec::u32_at;
use policy::{Class, Reason, Retention};
use register::{History, Line, REGISTER, Register, Word};
use shelf::{Going, Shelf, Tag};
use station::decision::{DecisionRecord, Open};
use station::units::{Digest, Timestamp};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A picture could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It alone is larger than the quota.
    #[error("a picture of {bytes} bytes does not fit into the quota of {quota} bytes")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The quota.
        quota: u64,
    },
    /// What is there is worth more, or is held.
    #[error("there is no room for a picture of class {class}: what is there goes after it, or is held ({held} bytes)")]
    NoRoom {
        /// Its class.
        class: Class,
        /// Bytes that a hold, a recall or a complaint keeps.
        held: u64,
    },
    /// The disk is nearly full, and its room is for records.
    #[error("the disk has {free} bytes left, of which {kept_free} are for records: no picture of class {class} is written")]
    NearlyFull {
        /// Its class.
        class: Class,
        /// Bytes that are free.
        free: u64,
        /// The headroom.
        kept_free: u64,
    },
    /// Nothing can be kept here.
    #[error("pictures cannot be kept in {}", .0.display())]
    Closed(PathBuf),
    /// There is none: never written, or removed.
    #[error("there is no picture {0}")]
    Absent(Digest),
    /// The file is not what was written.
    #[error("the picture in {} is damaged", .0.display())]
    Damaged(PathBuf),
    /// The disk does not do its work.
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
}

/// All pictures of a store. Shared between threads.
#[derive(Debug)]
pub struct Images {
    dir: PathBuf,
    kept: Retention,
    disk: fn(&Path) -> Option<Disk>,
    shelf: Mutex<Shelf>,
    seen_disk: Mutex<Disk>,
    /// Files that the register does not know, with their bytes. Nothing takes them before they are sorted.
    strangers: Mutex<BTreeMap<Digest, u64>>,
    /// What the register must be told before anything else.
    unsaid: Mutex<Vec<Line>>,
    /// How many troubles people were told of.
    troubles: AtomicUsize,
    /// Age clock of the last line.
    noted_age: AtomicU64,
    /// Held by whoever changes files; `None` for whoever only looks.
    work: Mutex<Option<Register>>,
}

const TAG: [u8; 4] = *b"JDKI";
const TAG_LEN: usize = 12;
/// The age clock is written down this often, in seconds: what a restart may lose of it.
const TIME_EVERY_SECS: u64 = 3600;
const DAY_SECS: u64 = 86_400;

impl Images {
    /// Opens or creates the pictures in `dir`, for the one process that may change them.
    ///
    /// # Errors
    /// If the folder or the register cannot be used.
    pub fn open(dir: &Path, kept: Retention) -> Result<Self, ImageError> {
        fs::create_dir_all(dir).map_err(|source| failed("create", dir, source))?;
        let (mut shelf, mut strangers) = (Shelf::default(), BTreeMap::new());
        let path = dir.join(REGISTER);
        let complaint_secs = u64::from(kept.complaint_days) * DAY_SECS;
        let register = Register::open(&path, &mut |line| shelf.recall(&line, complaint_secs));
        let register = register.map_err(|source| failed("open the register of pictures", &path, source))?;
        for sub in list(dir)?.iter().filter(|path| path.is_dir()) {
            for path in list(sub)? {
                find(&path, &mut |digest, bytes| {
                    if !shelf.found(digest, bytes) {
                        strangers.insert(digest, bytes);
                    }
                })?;
            }
        }
        Ok(Self { shelf: Mutex::new(shelf), strangers: Mutex::new(strangers), work: Mutex::new(Some(register)), ..Self::closed(dir, kept) })
    }

    /// A shelf that takes nothing: for a directory that cannot be used, and for whoever only looks while a station runs.
    #[must_use]
    pub fn look(dir: &Path) -> Self {
        Self::closed(dir, Retention::EVERYTHING)
    }

    fn closed(dir: &Path, kept: Retention) -> Self {
        Self {
            dir: dir.to_owned(),
            kept,
            disk: look_at_disk,
            shelf: Mutex::default(),
            seen_disk: Mutex::default(),
            strangers: Mutex::default(),
            unsaid: Mutex::default(),
            troubles: AtomicUsize::new(0),
            noted_age: AtomicU64::new(0),
            work: Mutex::default(),
        }
    }

    /// Keeps a picture under the digest of its pixels. It is durable when this returns. A picture that is there already is left,
    /// and this record wants it too.
    ///
    /// # Errors
    /// No room, or a disk that does not do its work. The record is not affected.
    pub fn put(&self, digest: Digest, jpeg: &[u8], tag: Tag, now: Timestamp) -> Result<(), ImageError> {
        let bytes = len64(jpeg.len() + TAG_LEN);
        let quota = self.kept.of(tag.class).bytes_max.unwrap_or(u64::MAX).min(self.kept.bytes_max);
        if bytes > quota {
            return Err(ImageError::TooLarge { bytes, quota });
        }
        let mut work = lock(&self.work);
        let register = work.as_mut().ok_or_else(|| ImageError::Closed(self.dir.clone()))?;
        lock(&self.shelf).tell_time(now);
        let stranger = lock(&self.strangers).remove(&digest);
        if stranger.is_none() && !lock(&self.shelf).has(digest) {
            self.make_room(register, tag.class, bytes)?;
            self.write(digest, jpeg)?;
        } else if lock(&self.shelf).wants(digest, &tag) {
            return Ok(());
        }
        let line = lock(&self.shelf).line(Word::Kept, Some(tag), digest, bytes);
        if let Err(error) = self.say(register, &[line]) {
            if let Some(bytes) = stranger {
                lock(&self.strangers).insert(digest, bytes);
            } else if !lock(&self.shelf).has(digest) {
                // A file that nobody knows of would be taken for one that was just written.
                fs::remove_file(self.path(digest)).unwrap_or_default();
            }
            return Err(error);
        }
        let mut shelf = lock(&self.shelf);
        let since = shelf.age();
        shelf.want(digest, stranger.unwrap_or(bytes), tag, since);
        Ok(())
    }

    fn make_room(&self, register: &mut Register, class: Class, bytes: u64) -> Result<(), ImageError> {
        loop {
            let going = lock(&self.shelf).overdue(&self.kept, Some((class, bytes)));
            if going.is_empty() {
                break;
            }
            self.remove(register, &going)?;
        }
        let (all, held) = {
            let shelf = lock(&self.shelf);
            (shelf.all().bytes + self.strange_bytes(), shelf.held().bytes)
        };
        if all.saturating_add(bytes) > self.kept.bytes_max {
            return Err(ImageError::NoRoom { class, held });
        }
        let Some(Disk { free, size }) = self.look_at_disk() else { return Ok(()) };
        let headroom = self.kept.headroom(size);
        let going = lock(&self.shelf).first(headroom.saturating_add(bytes).saturating_sub(free), Some(class), Reason::Headroom);
        let free = free.saturating_add(self.remove(register, &going)?);
        // Passes stop first; what was rejected or not judged is worth half of the headroom.
        let kept_free = if class < Class::Reject { headroom } else { headroom / 2 };
        if free < kept_free.saturating_add(bytes) && headroom > 0 {
            return Err(ImageError::NearlyFull { class, free, kept_free });
        }
        Ok(())
    }

    fn write(&self, digest: Digest, jpeg: &[u8]) -> Result<(), ImageError> {
        let path = self.path(digest);
        let aside = path.with_extension("new");
        let sub = path.parent().unwrap_or(&self.dir);
        let written = fs::create_dir_all(sub).and_then(|()| File::create(&aside)).and_then(|mut file| {
            file.write_all(jpeg)?;
            file.write_all(&TAG)?;
            file.write_all(&u32::try_from(jpeg.len()).unwrap_or(u32::MAX).to_le_bytes())?;
            file.write_all(&crc32c::crc32c(jpeg).to_le_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(sub)?.sync_all()
        });
        written.map_err(|source| {
            // On a full disk the half-written file would keep its room.
            let cleared = fs::remove_file(&aside);
            let what = if cleared.is_ok() { "write" } else { "write (an unfinished file may stay behind until the next start)" };
            failed(what, &path, source)
        })
    }

    /// Tells the register, and first what it was not told yet.
    fn say(&self, register: &mut Register, lines: &[Line]) -> Result<(), ImageError> {
        let mut unsaid = lock(&self.unsaid);
        let before = unsaid.len();
        unsaid.extend_from_slice(lines);
        let said = register.append(&unsaid);
        if said.is_ok() {
            if let Some(line) = unsaid.last() {
                self.noted_age.fetch_max(line.age_secs, Ordering::Relaxed);
            }
            unsaid.clear();
        } else {
            unsaid.truncate(before);
        }
        said.map_err(|source| failed("write the register of pictures", &self.dir.join(REGISTER), source))
    }

    /// Removes pictures, the register first. Gives back how many bytes that were.
    fn remove(&self, register: &mut Register, going: &[Going]) -> Result<u64, ImageError> {
        if going.is_empty() {
            return Ok(0);
        }
        let (lines, files) = {
            let shelf = lock(&self.shelf);
            let lines: Vec<Line> = going.iter().flat_map(|one| shelf.lines(one)).collect();
            (lines, going.iter().filter(|one| shelf.is_last(one)).map(|one| one.digest).collect::<Vec<_>>())
        };
        let before = lock(&self.shelf).all().bytes;
        let sync = |register: &mut Register| register.sync().map_err(|source| failed("sync", &self.dir.join(REGISTER), source));
        let said = self.say(register, &lines).and_then(|()| sync(register));
        match &said {
            Err(ImageError::Io { source, .. }) if is_full(source) => {}
            Err(_) => return said.map(|()| 0),
            Ok(()) => {}
        }
        for digest in &files {
            let path = self.path(*digest);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed("delete", &path, source)),
                _ => {}
            }
        }
        let mut shelf = lock(&self.shelf);
        going.iter().for_each(|one| shelf.went(one));
        let gone = before.saturating_sub(shelf.all().bytes);
        drop(shelf);
        if said.is_err() {
            // There was no room for the words either; now there is.
            lock(&self.unsaid).extend(lines);
            self.say(register, &[]).and_then(|()| sync(register))?;
        }
        Ok(gone)
    }

    /// Removes what is due, leaves the headroom free, and makes the register durable. To be called from time to time by a thread
    /// that may wait for the disk.
    ///
    /// # Errors
    /// A disk that does not do its work; the next call goes on.
    pub fn tend(&self, now: Timestamp) -> Result<(), ImageError> {
        let mut work = lock(&self.work);
        let Some(register) = work.as_mut() else { return Ok(()) };
        lock(&self.shelf).tell_time(now);
        loop {
            let going = lock(&self.shelf).overdue(&self.kept, None);
            if going.is_empty() {
                break;
            }
            self.remove(register, &going)?;
        }
        if let Some(Disk { free, size }) = self.look_at_disk() {
            let going = lock(&self.shelf).first(self.kept.headroom(size).saturating_sub(free), None, Reason::Headroom);
            let gone = self.remove(register, &going)?;
            if gone > 0 {
                tracing::warn!(free_bytes = free, sacrificed_bytes = gone, "the disk is nearly full: pictures make room for records");
            }
        }
        self.alarm();
        let (age, time) = {
            let shelf = lock(&self.shelf);
            (shelf.age(), shelf.line(Word::Time, None, Digest::default(), 0))
        };
        let is_due = age >= self.noted_age.load(Ordering::Relaxed) + TIME_EVERY_SECS;
        self.say(register, if is_due { std::slice::from_ref(&time) } else { &[] })?;
        register.sync().map_err(|source| failed("sync", &self.dir.join(REGISTER), source))
    }

    /// Tells of troubles in the log, once each.
    fn alarm(&self) {
        let troubles = self.stock().troubles();
        let before = self.troubles.swap(troubles.len(), Ordering::Relaxed);
        if troubles.len() > before {
            troubles.iter().for_each(|trouble| tracing::error!("{trouble}"));
        } else if troubles.is_empty() && before > 0 {
            tracing::warn!("there is room for pictures again");
        }
    }

    /// Removes the first pictures to go until at least `bytes` are free again or none is left that may go. Gives back how many
    /// bytes that were.
    ///
    /// # Errors
    /// A disk that does not do its work.
    pub fn shed(&self, bytes: u64) -> Result<u64, ImageError> {
        let mut work = lock(&self.work);
        let Some(register) = work.as_mut() else { return Ok(0) };
        let going = lock(&self.shelf).first(bytes, None, Reason::Headroom);
        self.remove(register, &going)
    }

    /// The holds and recalls in force, as the station bears them in mind.
    pub fn in_force<'a>(&self, open: impl Iterator<Item = &'a Open>) {
        lock(&self.shelf).in_force(open);
    }

    /// Heeds a decision: from now on it holds pictures, or does not any more. One that is not the next is left for
    /// [`Self::decided`] to be caught up with. Never waits for the disk.
    pub fn decide(&self, record: &DecisionRecord, at: Timestamp) {
        let mut shelf = lock(&self.shelf);
        let line = shelf.decide(record, at.wall_micros.div_euclid(1_000_000), u64::from(self.kept.complaint_days) * DAY_SECS);
        lock(&self.unsaid).extend(line);
    }

    /// Passes over a decision that is damaged in the ledger.
    pub fn pass_over(&self, decision_id: u64) {
        lock(&self.shelf).pass_over(decision_id);
    }

    /// The last decision that was heeded.
    #[must_use]
    pub fn decided(&self) -> u64 {
        lock(&self.shelf).decided()
    }

    /// Pictures that the register does not know.
    #[must_use]
    pub fn strangers(&self) -> Vec<Digest> {
        lock(&self.strangers).keys().copied().collect()
    }

    /// A stranger is known: these records, each closed at so many seconds since 1970, want it.
    ///
    /// # Errors
    /// If the register cannot be written.
    pub fn sort(&self, digest: Digest, tags: &[(Tag, i64)]) -> Result<(), ImageError> {
        let mut work = lock(&self.work);
        let (Some(register), Some(bytes)) = (work.as_mut(), lock(&self.strangers).get(&digest).copied()) else { return Ok(()) };
        let line = |(tag, wall_secs): &(Tag, i64)| {
            let line = lock(&self.shelf).line(Word::Kept, Some(*tag), digest, bytes);
            let old = u64::try_from(line.wall_secs.saturating_sub(*wall_secs)).unwrap_or(0);
            Line { age_secs: line.age_secs.saturating_sub(old), ..line }
        };
        let lines: Vec<Line> = tags.iter().map(line).collect();
        self.say(register, &lines)?;
        let mut shelf = lock(&self.shelf);
        tags.iter().zip(&lines).for_each(|((tag, _), line)| shelf.want(digest, bytes, *tag, line.age_secs));
        drop(shelf);
        lock(&self.strangers).remove(&digest);
        Ok(())
    }

    /// How pictures are kept.
    #[must_use]
    pub const fn retention(&self) -> &Retention {
        &self.kept
    }

    fn strange_bytes(&self) -> u64 {
        lock(&self.strangers).values().sum()
    }

    fn look_at_disk(&self) -> Option<Disk> {
        let disk = (self.disk)(&self.dir)?;
        *lock(&self.seen_disk) = disk;
        Some(disk)
    }

    /// The JPEG under this digest.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, ImageError> {
        let path = self.path(digest);
        let mut bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ImageError::Absent(digest),
            _ => failed("read", &path, source),
        })?;
        match whole(&bytes) {
            Some(len) => {
                bytes.truncate(len);
                Ok(bytes)
            }
            None => Err(ImageError::Damaged(path)),
        }
    }

    /// What the register says of the pictures of some records, read in one go; empty if it cannot be read.
    #[must_use]
    pub fn history(&self, is_wanted: &dyn Fn(u64) -> bool) -> History {
        History::read(&self.dir.join(REGISTER), is_wanted).unwrap_or_default()
    }

    /// What became of a picture that a record names.
    #[must_use]
    pub fn fate(&self, record: u64, digest: Digest) -> Fate {
        self.fate_by(digest, || self.history(&|other| other == record).last(record, digest).copied())
    }

    /// As [`Self::fate`], of many.
    #[must_use]
    pub fn fate_in(&self, history: &History, record: u64, digest: Digest) -> Fate {
        self.fate_by(digest, || history.last(record, digest).copied())
    }

    fn fate_by(&self, digest: Digest, last: impl FnOnce() -> Option<Line>) -> Fate {
        if self.path(digest).exists() {
            let known = lock(&self.shelf).class(digest);
            return Fate::Kept { class: known.map(|(class, _)| class), held: known.is_some_and(|(_, held)| held) };
        }
        match last() {
            None => Fate::Never,
            Some(line) if line.word == Word::LetGo => Fate::Removed { reason: line.reason, class: line.class, at_secs: line.wall_secs },
            Some(_) => Fate::Missing,
        }
    }

    /// The pictures that a record wants, or wanted: also those that it does not name, because nobody judged them.
    #[must_use]
    pub fn of_record(&self, record: u64) -> Vec<Digest> {
        let there: Vec<Digest> = lock(&self.shelf).of_record(record).collect();
        if there.is_empty() { self.history(&|other| other == record).of_record(record).collect() } else { there }
    }

    /// How the pictures stand. Never waits for the disk.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let (shelf, disk) = (lock(&self.shelf), *lock(&self.seen_disk));
        Stock {
            classes: Class::ALL.iter().map(|class| (*class, shelf.sum(*class))).collect(),
            held: shelf.held(),
            removed: Reason::ALL.iter().map(|reason| (*reason, shelf.removed(*reason))).collect(),
            bytes_max: self.kept.bytes_max,
            disk,
            headroom: self.kept.headroom(disk.size),
        }
    }

    /// Bytes of all pictures.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.shelf).all().bytes + self.strange_bytes()
    }

    /// The file of a picture, whether it is there or not.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(format!("{name}.jpg"))
    }
}

/// A picture's digest and bytes to `visit`; an unfinished file is removed.
fn find(path: &Path, visit: &mut dyn FnMut(Digest, u64)) -> Result<(), ImageError> {
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match digest_of(path) {
        Some(digest) => visit(digest, fs::metadata(path).map_err(|source| failed("look at", path, source))?.len().max(1)),
        None if stem.ends_with(".new") => fs::remove_file(path).map_err(|source| failed("remove the unfinished", path, source))?,
        None => {}
    }
    Ok(())
}

/// The digest that a picture's file is named by.
fn digest_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.strip_suffix(".jpg").and_then(Digest::from_hex)
}

fn look_at_disk(dir: &Path) -> Option<Disk> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(Disk { free: disk.f_bavail.saturating_mul(disk.f_frsize), size: disk.f_blocks.saturating_mul(disk.f_frsize) })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Length of the JPEG in a picture's file, if the file is what was written.
fn whole(bytes: &[u8]) -> Option<usize> {
    let len = bytes.len().checked_sub(TAG_LEN)?;
    let (jpeg, tag) = bytes.split_at(len);
    let fits = tag[..4] == TAG && usize::try_from(u32_at(tag, 4)) == Ok(len) && u32_at(tag, 8) == crc32c::crc32c(jpeg);
    fits.then_some(len)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let entries = fs::read_dir(dir).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    entries.map_err(|source| failed("list", dir, source))
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Io { what, path: path.to_owned(), source }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
