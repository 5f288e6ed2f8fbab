//! Room kept back for the hour in which the disk is full: a file that is deleted so that the stop can still be written.
//!
//! Invariant: the bytes are really allocated (a file of zeros would not be, on a file system that compresses or leaves holes).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The ballast of a store.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_there: bool,
}

/// Less than this free at the start counts as a full disk: the index would not open.
const PROBE_BYTES: u64 = 1 << 20;
const CHUNK: usize = 64 << 10;

impl Ballast {
    /// The ballast in `dir`; written if it is not there and there is room for it and then some.
    pub fn open(dir: &Path, bytes: u64) -> Self {
        let path = dir.join("ballast");
        let is_there = bytes > 0 && fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes);
        let mut ballast = Self { path, bytes, is_there };
        ballast.restore();
        ballast
    }

    /// True if it is in place.
    pub const fn is_there(&self) -> bool {
        self.is_there
    }

    /// Gives the room back. False if there was none to give.
    pub fn release(&mut self) -> bool {
        if !self.is_there {
            return false;
        }
        self.is_there = false;
        fs::remove_file(&self.path).is_ok()
    }

    /// Puts it in place again if there is room for it and as much again. True if it is in place.
    pub fn restore(&mut self) -> bool {
        // Asking first spares a full disk the attempt.
        if !self.is_there && self.bytes > 0 && self.path.parent().is_some_and(|dir| free(dir) >= self.bytes * 2) {
            let beside = self.path.with_extension("new");
            // Twice the size, then cut to size: whoever takes the last free block for ballast makes the disk full himself.
            let made = allocate(&beside, self.bytes * 2).and_then(|()| {
                let file = File::options().write(true).open(&beside)?;
                file.set_len(self.bytes)?;
                file.sync_all()?;
                fs::rename(&beside, &self.path)
            });
            self.is_there = made.is_ok();
            if made.is_err() {
                discard(&beside);
            }
        }
        self.is_there
    }

    /// True if there is room in `dir` to work in.
    pub fn has_room_in(dir: &Path) -> bool {
        let probe = dir.join("ballast.probe");
        let made = allocate(&probe, PROBE_BYTES);
        discard(&probe);
        made.is_ok()
    }
}

/// Free bytes of the file system of `dir`; plenty if it does not tell.
fn free(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let (mut chunk, mut state) = (vec![0_u8; CHUNK], 0x9e37_79b9_u32);
    let mut left = bytes;
    while left > 0 {
        for byte in &mut chunk {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
        let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.write_all(&chunk[..take])?;
        left -= u64::try_from(take).unwrap_or(left);
    }
    // A file system that allocates late says only now that it cannot.
    file.sync_all()
}

fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an unused file stays behind");
    }
}
