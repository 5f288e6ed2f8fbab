//! Where model packages lie, and how one gets there.
//!
//! Invariant: what lies on a shelf under its name is whole; a copy that was interrupted has another name.

use serde::{Deserialize, Serialize};
use station::units::Digest;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use vision_models::choice::Choice;
use vision_models::package::{MANIFEST, PackageError, list_files};

/// Name of the package that comes with the program.
pub const OWN: &str = "pcb";

/// The shelf of this machine's own packages.
pub const SHELF: &str = "/var/lib/jidoka/packages";

/// Why a package was not put on a shelf.
#[derive(Debug, Error)]
pub enum ShelveError {
    /// One of that name and version is there.
    #[error("{} is there already: remove it, or give this one another version", .0.display())]
    There(
        /// Where.
        PathBuf,
    ),
    /// The package cannot be listed.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A file cannot be copied.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folders in which packages are looked for: of an installation, added here, and of the source tree around the program.
#[must_use]
pub fn shelves() -> Vec<PathBuf> {
    let installed = ["/usr/share/jidoka/packages", SHELF].map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let around = program.ancestors().map(|folder| folder.join("vision-models/packages"));
    installed.into_iter().chain(around).filter(|shelf| shelf.is_dir()).collect()
}

/// The packages of this name: a folder, or on a shelf as `NAME` or `NAME@VERSION`. More than one if versions lie side by side.
#[must_use]
pub fn find(name_or_folder: &str) -> Vec<PathBuf> {
    let named = Path::new(name_or_folder);
    // A name with a slash is a path; what is wrong there is told by who opens it.
    if name_or_folder.contains(std::path::MAIN_SEPARATOR) || named.join(MANIFEST).is_file() {
        return vec![named.to_owned()];
    }
    let version = format!("{name_or_folder}@");
    let is_named = |folder: &PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == name_or_folder || name.starts_with(&version)
    };
    all().into_iter().filter(is_named).collect()
}

/// Every package of this machine, and what else lies where one should.
#[must_use]
pub fn all() -> Vec<PathBuf> {
    let entries = shelves().into_iter().filter_map(|shelf| fs::read_dir(shelf).ok()).flatten();
    let visible = |folder: &PathBuf| folder.is_dir() && !folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut found: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(visible).collect();
    found.sort();
    found
}

/// Copies the package in `folder`, whose name is `NAME@VERSION`, to `shelf`, whole or not at all; where it lies then.
///
/// # Errors
/// [`ShelveError`]; the shelf is then as it was, but for a hidden folder that the next try replaces.
pub fn shelve(folder: &Path, name: &str, shelf: &Path) -> Result<PathBuf, ShelveError> {
    let (to, part) = (shelf.join(name), shelf.join(format!(".{name}.part")));
    if to.exists() {
        return Err(ShelveError::There(to));
    }
    if part.exists() {
        fs::remove_dir_all(&part).map_err(write(&part))?;
    }
    for file in list_files(folder)? {
        let copy = part.join(&file);
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent).map_err(write(parent))?;
        }
        fs::copy(folder.join(&file), &copy).and_then(|_| File::open(&copy)?.sync_all()).map_err(write(&copy))?;
    }
    fs::rename(&part, &to).and_then(|()| File::open(shelf)?.sync_all()).map_err(write(&to))?;
    Ok(to)
}

/// What `model add` chose, in a file beside the package's folder: within it every file is one of the package's own.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    /// Of the manifest; with another one the choice is another package's.
    manifest_sha256: Digest,
    #[serde(flatten)]
    choice: Choice,
}

fn chosen_file(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}.choice.json"))
}

/// Remembers which variant of the package in `folder` is used where the settings say `fastest`.
///
/// # Errors
/// [`ShelveError::Write`].
pub fn remember(folder: &Path, choice: &Choice) -> Result<(), ShelveError> {
    let file = chosen_file(folder);
    let manifest = fs::read(folder.join(MANIFEST)).map_err(write(folder))?;
    let text = serde_json::to_vec_pretty(&Chosen { manifest_sha256: Digest::of(&manifest), choice: choice.clone() });
    fs::write(&file, text.map_err(io::Error::other).map_err(write(&file))?).map_err(write(&file))
}

/// What was chosen for this package when it was added, if it is still the same.
#[must_use]
pub fn remembered(folder: &Path) -> Option<Choice> {
    let chosen: Chosen = serde_json::from_slice(&fs::read(chosen_file(folder)).ok()?).ok()?;
    (chosen.manifest_sha256 == Digest::of(&fs::read(folder.join(MANIFEST)).ok()?)).then_some(chosen.choice)
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> ShelveError {
    let path = path.to_owned();
    move |source| ShelveError::Write { path, source }
}
