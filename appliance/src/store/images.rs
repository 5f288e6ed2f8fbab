//! The pictures: one file per frame, named by the digest that the record names.
//!
//! `images/ab/abcdef….jpg` holds the JPEG and 12 bytes after its end, which every viewer ignores: `JDKI`, the JPEG's length and its
//! CRC32C (little-endian), because the name is the digest of the pixels and proves nothing about the JPEG's own bytes.
//!
//! Invariants: a file appears whole or not at all (written aside, synced, renamed); the files together never exceed the quota,
//! the oldest go first; nothing that happens here keeps a record from being kept.

use super::codec::u32_at;
use station::units::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

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
    /// There is none: never written, or deleted to make room.
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
    quota: u64,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    bytes: u64,
    /// By age, oldest first; the number keeps pictures of the same instant apart.
    by_age: BTreeMap<(SystemTime, u64), (Digest, u64)>,
    known: BTreeSet<Digest>,
    counter: u64,
}

const TAG: [u8; 4] = *b"JDKI";
const TAG_LEN: usize = 12;
/// More damaged pictures than this are not listed.
const DAMAGED_MAX: usize = 100;

impl Images {
    /// Opens or creates the pictures in `dir`, of which at most `quota_bytes` stay.
    pub fn open(dir: &Path, quota_bytes: u64) -> Result<Self, ImageError> {
        fs::create_dir_all(dir).map_err(|source| failed("create", dir, source))?;
        let images = Self { dir: dir.to_owned(), quota: quota_bytes, shelf: Mutex::default() };
        let mut shelf = images.shelf();
        for sub in list(dir)?.iter().filter(|path| path.is_dir()) {
            for path in list(sub)? {
                images.find(&path, &mut shelf)?;
            }
        }
        drop(shelf);
        Ok(images)
    }

    /// A shelf that takes nothing, for a directory that cannot be used.
    #[must_use]
    pub fn none(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), quota: 0, shelf: Mutex::default() }
    }

    fn find(&self, path: &Path, shelf: &mut Shelf) -> Result<(), ImageError> {
        let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match stem.strip_suffix(".jpg").and_then(Digest::from_hex) {
            Some(digest) => {
                let meta = fs::metadata(path).map_err(|source| failed("look at", path, source))?;
                shelf.put(digest, meta.len(), meta.modified().ok());
                Ok(())
            }
            None if stem.ends_with(".new") => fs::remove_file(path).map_err(|source| failed("remove the unfinished", path, source)),
            None => Ok(()),
        }
    }

    /// Keeps a picture under the digest of its pixels. It is durable when this returns. A picture that is there already is left.
    pub fn put(&self, digest: Digest, jpeg: &[u8]) -> Result<(), ImageError> {
        let bytes = len64(jpeg.len() + TAG_LEN);
        if bytes > self.quota {
            return Err(ImageError::TooLarge { bytes, quota: self.quota });
        }
        if self.shelf().known.contains(&digest) {
            return Ok(());
        }
        self.make_room(self.quota - bytes)?;
        self.write(digest, jpeg)?;
        self.shelf().put(digest, bytes, None);
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

    /// The JPEG under this digest.
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

    /// Reads every picture in `dir`: how many are whole, and the damaged ones (at most a hundred) with their sizes.
    #[must_use]
    pub fn examine(dir: &Path) -> (u64, Vec<(PathBuf, u64)>) {
        let (mut count, mut damaged) = (0, Vec::new());
        for sub in list(dir).unwrap_or_default().iter().filter(|path| path.is_dir()) {
            for path in list(sub).unwrap_or_default().into_iter().filter(|path| path.extension().is_some_and(|end| end == "jpg")) {
                match fs::read(&path) {
                    Ok(bytes) if whole(&bytes).is_some() => count += 1,
                    // It may just have been deleted for its age.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    _ if damaged.len() >= DAMAGED_MAX => {}
                    read => damaged.push((path, read.map_or(0, |bytes| len64(bytes.len())))),
                }
            }
        }
        (count, damaged)
    }

    /// Deletes the oldest pictures until at least `bytes` are free again or none is left. Gives back how many bytes that were.
    pub fn shed(&self, bytes: u64) -> Result<u64, ImageError> {
        let before = self.bytes();
        self.make_room(before.saturating_sub(bytes))?;
        Ok(before.saturating_sub(self.bytes()))
    }

    /// Bytes of all pictures.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shelf().bytes
    }

    /// Number of pictures.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shelf().known.len()
    }

    /// The file of a picture, whether it is there or not.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(format!("{name}.jpg"))
    }

    fn make_room(&self, bytes_max: u64) -> Result<(), ImageError> {
        loop {
            let mut shelf = self.shelf();
            if shelf.bytes <= bytes_max {
                return Ok(());
            }
            let Some((_, (digest, bytes))) = shelf.by_age.pop_first() else { return Ok(()) };
            shelf.bytes = shelf.bytes.saturating_sub(bytes);
            shelf.known.remove(&digest);
            drop(shelf);
            let path = self.path(digest);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed("delete", &path, source)),
                _ => {}
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Without a time it counts as the newest: the order in which pictures come needs no clock.
    fn put(&mut self, digest: Digest, bytes: u64, at: Option<SystemTime>) {
        if self.known.insert(digest) {
            self.counter += 1;
            let newest = self.by_age.last_key_value().map_or(SystemTime::UNIX_EPOCH, |((time, _), _)| *time);
            let at = at.unwrap_or(newest);
            self.by_age.insert((at, self.counter), (digest, bytes));
            self.bytes += bytes;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(byte: u8) -> (Digest, Vec<u8>) {
        (Digest::of(&[byte]), vec![byte; 1000])
    }

    #[test]
    fn the_oldest_go_when_the_quota_is_reached_and_a_restart_knows_them_again() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path(), 3100).unwrap();
        for byte in 1..=4 {
            let (digest, jpeg) = picture(byte);
            images.put(digest, &jpeg).unwrap();
            images.put(digest, &jpeg).unwrap();
        }
        assert!(matches!(images.get(picture(1).0), Err(ImageError::Absent(_))));
        assert_eq!(images.get(picture(4).0).unwrap(), picture(4).1);
        assert!(matches!(images.put(picture(9).0, &[0; 4000]), Err(ImageError::TooLarge { .. })));
        let stale = images.path(picture(2).0).with_extension("new");
        fs::write(&stale, b"half a pic").unwrap();
        let again = Images::open(dir.path(), 3100).unwrap();
        assert_eq!((again.count(), again.bytes()), (3, images.bytes()));
        assert!(!stale.exists());
        assert_eq!(again.shed(1).unwrap(), 1012);
        assert_eq!(again.count(), 2);
    }

    #[test]
    fn a_damaged_picture_is_never_served() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path(), 1 << 20).unwrap();
        let (digest, jpeg) = picture(7);
        images.put(digest, &jpeg).unwrap();
        let path = images.path(digest);
        let whole = fs::read(&path).unwrap();
        for at in [0, 500, 999, 1000, 1005, 1011] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(images.get(digest), Err(ImageError::Damaged(_))), "byte {at}");
        }
        fs::write(&path, &whole[..700]).unwrap();
        assert!(matches!(images.get(digest), Err(ImageError::Damaged(_))));
    }
}
