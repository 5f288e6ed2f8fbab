//! Where model packages lie.

use std::path::{Path, PathBuf};

/// Name of the package that comes with the program.
pub const OWN: &str = "pcb";

/// The folders in which packages are looked for: of an installation, taught or added here, and of the source tree around the
/// program.
#[must_use]
pub fn shelves() -> Vec<PathBuf> {
    let installed = ["/usr/share/jidoka/packages", "/var/lib/jidoka/packages"].map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let around = program.ancestors().map(|folder| folder.join("vision-models/packages"));
    installed.into_iter().chain(around).filter(|shelf| shelf.is_dir()).collect()
}

/// The package of this name, or in this folder.
#[must_use]
pub fn find(name_or_folder: &str) -> Option<PathBuf> {
    let holds = |folder: &PathBuf| folder.join(vision_models::package::MANIFEST).is_file();
    let named = Path::new(name_or_folder);
    // A name with a slash is a path; what is refused there is told by who opens it.
    if name_or_folder.contains(std::path::MAIN_SEPARATOR) {
        return Some(named.to_owned());
    }
    let here = holds(&named.to_owned()).then(|| named.to_owned());
    here.or_else(|| shelves().into_iter().map(|shelf| shelf.join(name_or_folder)).find(holds))
}

/// Every package of this machine.
#[must_use]
pub fn all() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = shelves()
        .iter()
        .filter_map(|shelf| std::fs::read_dir(shelf).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()))
        .filter(|folder| folder.is_dir())
        .collect();
    found.sort();
    found
}
