//! Folders of pictures: what is in them, and which pieces are known to be good or bad by where they lie.
//!
//! Invariants: the order is that of the names, whatever the disk says; masks are never taken for pieces.

use super::TeachError;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose pictures are of good pieces.
const GOOD: [&str; 4] = ["good", "free", "ok", "normal"];

/// Folders that hold no pieces.
const MASKS: [&str; 5] = ["mask", "masks", "ground_truth", "labels", "golden"];

/// A picture whose piece is known to be good or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The picture.
    pub path: PathBuf,
    /// The folder it lies in, below the one that was given: the kind of fault, or `good`.
    pub kind: String,
    /// True if the piece is bad.
    pub bad: bool,
}

/// The pictures (PNG or JPEG by their names) that lie in a folder itself, by name.
///
/// # Errors
/// If it cannot be listed.
pub fn pictures_of(folder: &Path) -> Result<Vec<PathBuf>, TeachError> {
    let mut pictures: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_file() && is_picture(path)).collect();
    // A mask has the name of its picture, and lies beside it as PNG.
    let masks: Vec<PathBuf> = pictures.iter().filter(|path| is_mask(path, &pictures)).cloned().collect();
    pictures.retain(|path| !masks.contains(path));
    Ok(pictures)
}

/// All pictures below a folder with what is known of them: those in a folder named `good`, `free`, `ok` or `normal` (or
/// below one) are of good pieces, all others of bad ones; folders of masks and masks beside their pictures are left out.
///
/// # Errors
/// If a folder cannot be listed.
pub fn labelled_pictures(folder: &Path) -> Result<Vec<Labelled>, TeachError> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), name(folder), GOOD.contains(&name(folder).to_lowercase().as_str()))];
    while let Some((folder, kind, good)) = open.pop() {
        found.extend(pictures_of(&folder)?.into_iter().map(|path| Labelled { path, kind: kind.clone(), bad: !good }));
        for below in entries(&folder)?.into_iter().filter(|path| path.is_dir()) {
            let kind = name(&below);
            let lower = kind.to_lowercase();
            if !MASKS.contains(&lower.as_str()) {
                open.push((below, kind, good || GOOD.contains(&lower.as_str())));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TeachError> {
    let failed = |source| TeachError::Folder { folder: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| matches!(extension.as_str(), "png" | "jpg" | "jpeg"))
}

fn is_mask(path: &Path, among: &[PathBuf]) -> bool {
    let png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    png && ["jpg", "jpeg", "JPG"].iter().any(|extension| among.binary_search(&path.with_extension(extension)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_of_the_data_sets_are_understood() {
        let root = tempfile::tempdir().unwrap();
        let files = ["train/free/a.jpg", "train_defects/crack/b.jpg", "train_defects/crack/b.png", "train_defects/README.md"];
        let more = ["paper/good/c.png", "paper/defect/d.png", "paper/mask/d.png", "test/good/e.PNG"];
        for file in files.iter().chain(&more) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let found = labelled_pictures(root.path()).unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.path.file_name().unwrap().to_str().unwrap(), one.kind.as_str(), one.bad)).collect();
        let want = [("d.png", "defect", true), ("c.png", "good", false), ("e.PNG", "good", false), ("a.jpg", "free", false)];
        assert_eq!(told, [want.as_slice(), &[("b.jpg", "crack", true)]].concat());
        assert!(!labelled_pictures(&root.path().join("paper/good")).unwrap()[0].bad);
    }
}
