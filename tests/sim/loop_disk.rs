//! Disks for which root is needed: one whose power can be cut, an ext4 file system in a file; and one that is soon full.
//!
//! What a program has written but not synced is in the memory of this machine and not in that file. A copy of the file is therefore
//! what a real disk would hold if the power went at that moment, with one thing left out: a disk that lies about its own cache.
//!
//! Invariant: whatever becomes of the test, the file system is unmounted and its loop device is free again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Size of the file system.
const BYTES: u64 = 64 << 20;

/// An ext4 file system in a file, mounted.
#[derive(Debug)]
pub struct LoopDisk {
    folder: TempDir,
    images: u32,
}

impl LoopDisk {
    /// Makes and mounts one; `None`, and a line that says so, where that is not permitted.
    ///
    /// # Panics
    /// With `CI=true`, if it fails although mounting is permitted: then a test would be skipped that must run.
    #[must_use]
    pub fn new() -> Option<Self> {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no folder for a disk: {error}"));
        let disk = Self { folder, images: 1 };
        let made = fs::create_dir(disk.path())
            .and_then(|()| fs::File::create(disk.image()))
            .and_then(|image| image.set_len(BYTES))
            .map_err(|error| error.to_string())
            .and_then(|()| tell("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(&disk.image())]))
            .and_then(|()| disk.mount());
        match made {
            Ok(()) => Some(disk),
            Err(error) => {
                let must_run = std::env::var("CI").is_ok_and(|value| value == "true") && may_mount(&disk.path());
                assert!(!must_run, "mounting is permitted here, and with CI=true no test may be skipped for this: {error}");
                println!("skipped: no file system can be mounted here: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Copies what a power cut at this moment would leave. Whoever writes to the disk must stand still.
    ///
    /// # Panics
    /// If that cannot be done.
    #[must_use]
    pub fn photograph(&mut self) -> PathBuf {
        // The file system may go on writing by itself for a moment: a state that was read twice is one that really was.
        let read = || fs::read(self.image()).unwrap_or_else(|error| panic!("the disk cannot be read: {error}"));
        let mut bytes = read();
        loop {
            let again = read();
            if again == bytes {
                break;
            }
            bytes = again;
        }
        let photograph = self.folder.path().join(format!("disk-{}.img", self.images + 1));
        fs::write(&photograph, &bytes).unwrap_or_else(|error| panic!("the disk cannot be copied: {error}"));
        photograph
    }

    /// The power comes back, and the disk is as in the photograph. Whoever had files of it open must be gone.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn develop(&mut self, photograph: &Path) {
        self.unmount();
        fs::remove_file(self.image()).unwrap_or_else(|error| panic!("the old disk stays behind: {error}"));
        self.images += 1;
        assert_eq!(photograph, self.image());
        self.mount().unwrap_or_else(|error| panic!("the disk cannot be mounted again: {error}"));
    }

    /// A new name every time: a loop device may remember the pages of a file by its name.
    fn image(&self) -> PathBuf {
        self.folder.path().join(format!("disk-{}.img", self.images))
    }

    fn mount(&self) -> Result<(), String> {
        tell("mount", &["-t", "ext4", "-o", "loop", text(&self.image()), text(&self.path())])
    }

    /// The loop device frees itself with the mount.
    fn unmount(&self) {
        let gone = tell("umount", &[text(&self.path())]).or_else(|_| tell("umount", &["-l", text(&self.path())]));
        if let Err(error) = gone {
            println!("{} may still be mounted: {error}", self.path().display());
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if is_mounted(&self.path()) {
            self.unmount();
        }
    }
}

/// A small file system in memory, which is soon full.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one; `None`, and a line that says so, where that is not permitted.
    ///
    /// # Panics
    /// If there is no temporary folder.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no folder for a disk: {error}"));
        match tell("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", text(folder.path())]) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                println!("skipped: no file system can be mounted here: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = tell("umount", &["-l", text(self.path())]) {
            println!("{} may still be mounted: {error}", self.path().display());
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

fn may_mount(at: &Path) -> bool {
    let mounted = tell("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", text(at)]).is_ok();
    mounted && tell("umount", &[text(at)]).is_ok()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn tell(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}
