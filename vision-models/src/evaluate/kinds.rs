//! Measures of packages that say of a whole picture what it shows, and of those that draw regions.
//!
//! Invariant: what is said of a picture is what the station would do: the best finding at or above its class's threshold, or
//! nothing, which is good.

use super::{Spent, defects, share, spent};
use crate::detector::{Detector, DetectorError};
use crate::frame::MonoClock;
use crate::picture::{Picture, PictureError};
use serde::Serialize;
use station::inspection::ClassId;
use station::recipe::DefectClass;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a folder of pictures cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A folder cannot be listed.
    #[error("{} cannot be listed", .path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not laid out as it must be.
    #[error("{}: {reason}", .path.display())]
    Layout {
        /// Where.
        path: PathBuf,
        /// What is missing or too much.
        reason: String,
    },
    /// A picture cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A picture was not inspected.
    #[error("{} was not inspected", .path.display())]
    Detector {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: DetectorError,
    },
}

/// What a package that classifies says of pictures whose kind is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindFigures {
    /// Pictures looked at.
    pub pictures: u64,
    /// Share of them of which the right thing was said.
    pub accuracy: f64,
    /// What rows and columns of `confusion` stand for: `good`, then the classes.
    pub kinds: Vec<String>,
    /// For each kind that is there (row) how many pictures were said to be of each kind (column).
    pub confusion: Vec<Vec<u64>>,
    /// Share of the bad pictures that were said to be good.
    pub escape: f64,
    /// Share of the good pictures that were said to be bad.
    pub overkill: f64,
    /// What it cost.
    pub cpu_ms: Spent,
}

/// Classifies every picture of a folder that holds one folder per kind: `good`, or the name of a class.
///
/// # Errors
/// [`FolderError`].
pub fn classify_all(
    detector: &mut Detector,
    classes: &[DefectClass],
    folder: &Path,
    clock: &MonoClock,
) -> Result<KindFigures, FolderError> {
    let kinds: Vec<String> = std::iter::once("good".to_owned()).chain(classes.iter().map(|class| class.name.clone())).collect();
    let mut confusion = vec![vec![0_u64; kinds.len()]; kinds.len()];
    let mut micros = Vec::new();
    for below in list(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(kind) = kinds.iter().position(|kind| *kind == name) else {
            let reason = format!("a folder's name must be one of {}", kinds.join(", "));
            return Err(FolderError::Layout { path: below, reason });
        };
        for path in pictures(&below)? {
            let (picture, start) = (Picture::read(&path)?, clock());
            let found = detector.findings(&picture, None).map_err(|source| FolderError::Detector { path, source })?;
            micros.push(clock().saturating_sub(start));
            let said = defects(&found, classes).first().map_or(0, |finding| usize::from(finding.class.0));
            confusion[kind][said] += 1;
        }
    }
    let pictures: u64 = confusion.iter().flatten().sum();
    if pictures == 0 {
        let reason = format!("there are no pictures in folders called {}", kinds.join(", "));
        return Err(FolderError::Layout { path: folder.to_owned(), reason });
    }
    let right = (0..kinds.len()).map(|kind| confusion[kind][kind]).sum();
    let good: u64 = confusion[0].iter().sum();
    let escaped = confusion[1..].iter().map(|row| row[0]).sum();
    let (escape, overkill) = (share(escaped, pictures - good), share(good - confusion[0][0], good));
    Ok(KindFigures { pictures, accuracy: share(right, pictures), kinds, confusion, escape, overkill, cpu_ms: spent(micros) })
}

/// How well regions are drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionFigures {
    /// Pictures looked at.
    pub pictures: u64,
    /// Of each class, pixels that are drawn and there, of those that are drawn or there; `null` for a class that is neither.
    pub iou: Vec<ClassIou>,
    /// Mean over the classes that have one.
    pub iou_mean: f64,
    /// Share of the bad pictures on which no defect was found.
    pub escape: f64,
    /// Share of the good pictures on which a defect was found.
    pub overkill: f64,
    /// What it cost.
    pub cpu_ms: Spent,
}

/// Intersection over union of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassIou {
    /// The class.
    pub class: String,
    /// Its figure.
    pub iou: Option<f64>,
}

/// Draws the regions of every picture in `images/`, and compares with the picture of the same name in `masks/` (PNG), whose
/// grey level is the number of the class; a picture without one is good.
///
/// # Errors
/// [`FolderError`].
pub fn segment_all(
    detector: &mut Detector,
    classes: &[DefectClass],
    folder: &Path,
    clock: &MonoClock,
) -> Result<RegionFigures, FolderError> {
    let mut pixels = vec![(0_u64, 0_u64); classes.len()];
    let (mut good, mut bad, mut overkilled, mut escaped) = (0, 0, 0, 0);
    let mut micros = Vec::new();
    for path in pictures(&folder.join("images"))? {
        let (picture, start) = (Picture::read(&path)?, clock());
        let found = detector.findings(&picture, None).map_err(|source| FolderError::Detector { path: path.clone(), source })?;
        micros.push(clock().saturating_sub(start));
        let mask = mask_of(&path, folder, &picture, classes.len())?;
        let is_bad = mask.as_ref().is_some_and(|mask| mask.pixels().iter().any(|level| *level > 0));
        let called = !defects(&found, classes).is_empty();
        (good, bad) = (good + u64::from(!is_bad), bad + u64::from(is_bad));
        (overkilled, escaped) = (overkilled + u64::from(!is_bad && called), escaped + u64::from(is_bad && !called));
        count(detector, &picture, mask.as_ref(), &mut pixels);
    }
    if good + bad == 0 {
        return Err(FolderError::Layout { path: folder.join("images"), reason: "there are no pictures in it".to_owned() });
    }
    let iou = |(both, either): &(u64, u64)| (*either > 0).then(|| share(*both, *either));
    let iou: Vec<ClassIou> = classes.iter().zip(&pixels).map(|(class, n)| ClassIou { class: class.name.clone(), iou: iou(n) }).collect();
    let known: Vec<f64> = iou.iter().filter_map(|class| class.iou).collect();
    let iou_mean = known.iter().sum::<f64>() / super::real(known.len()).max(1.0);
    let (escape, overkill) = (share(escaped, bad), share(overkilled, good));
    Ok(RegionFigures { pictures: good + bad, iou, iou_mean, escape, overkill, cpu_ms: spent(micros) })
}

/// Adds the pixels of one picture: for each class those that are drawn and there, and those that are drawn or there.
fn count(detector: &Detector, picture: &Picture, mask: Option<&Picture>, pixels: &mut [(u64, u64)]) {
    let Some(map) = detector.class_map() else { return };
    let places = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    for ((x, y), index) in places.zip(0_usize..) {
        let drawn = map.at(x, y).map_or(0, |ClassId(class)| usize::from(class));
        let there = mask.map_or(0, |mask| usize::from(mask.pixels()[index]));
        for (class, (both, either)) in (1..).zip(&mut *pixels) {
            *both += u64::from(drawn == class && there == class);
            *either += u64::from(drawn == class || there == class);
        }
    }
}

fn mask_of(image: &Path, folder: &Path, picture: &Picture, classes: usize) -> Result<Option<Picture>, FolderError> {
    let path = folder.join("masks").join(image.file_stem().unwrap_or_default()).with_extension("png");
    if !path.exists() {
        return Ok(None);
    }
    let mask = Picture::read(&path)?;
    let sized = |picture: &Picture| (picture.width(), picture.height());
    let reason = if sized(&mask) != sized(picture) {
        format!("it has {:?} pixels and its picture {:?}", sized(&mask), sized(picture))
    } else if let Some(level) = mask.pixels().iter().find(|level| usize::from(**level) > classes) {
        format!("it has the grey level {level}, and the package has {classes} classes")
    } else {
        return Ok(Some(mask));
    };
    Err(FolderError::Layout { path, reason })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let failed = |source| FolderError::List { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The pictures of a folder by their names, in order.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let is_picture = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        ["png", "jpg", "jpeg"].iter().any(|known| extension == *known)
    };
    Ok(list(folder)?.into_iter().filter(is_picture).collect())
}
