//! Teaching: from pictures of good pieces to a model package that says how far a piece is from them, and where.
//!
//! No training runs here. The backbone, trained once, turns every picture into numbers per place; the numbers of the good
//! pieces are kept in the package's own model, a gallery to which every later piece is compared (`gallery` says how).
//!
//! Invariants: the same pictures give the same package to the last byte; a package is written whole or not at all, and
//! only after it was put to the same proof as any other.

mod gallery;
mod graph;
mod look;
mod pictures;
mod statistics;
mod write;

pub use look::{Look, look};
pub use pictures::{Labelled, labelled_pictures, pictures_of};
pub use write::{Lesson, Written, write};

use crate::decode::Wanted;
use crate::onnx::OnnxError;
use crate::package::{Input, Layout, PackageError, Plane};
use crate::picture::{Picture, PictureError};
use crate::prepare::{Grey, PrepareError, Preparer};
use crate::runtime::{Runtime, RuntimeError};
use gallery::{Gallery, Usual};
use graph::{CHANNELS, FEATURES, IMAGE, KEPT, SIDE};
use statistics::{Features, Projection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use thiserror::Error;

/// At least so many different good pieces: each is compared with the ten most like it, and the usual is a median.
pub const LEAST: usize = 16;

/// At most so many: the gallery takes 32 KiB a piece, in the file and in memory.
pub const MOST: usize = 1024;

/// Why nothing was taught.
#[derive(Debug, Error)]
pub enum TeachError {
    /// The folder cannot be listed.
    #[error("{} cannot be listed", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A picture cannot be read.
    #[error("a picture cannot be read; mend it or take it out of the folder")]
    Picture(
        /// Which, and why.
        #[from]
        PictureError,
    ),
    /// There are too few pictures.
    #[error("{different} different pictures of good pieces{copies}: at least {LEAST} are needed, and 30 to 100 are better")]
    TooFew {
        /// As many differ.
        different: usize,
        /// How many more there are, in words, or nothing.
        copies: String,
    },
    /// All pictures are the same.
    #[error("all {count} pictures are the same picture: take one of each of at least {LEAST} good pieces")]
    AllAlike {
        /// How many there are.
        count: usize,
    },
    /// The share of overkill is no share.
    #[error("an overkill of {share} cannot be aimed at: give more than 0 % and at most 50 %")]
    Overkill {
        /// What was given.
        share: f64,
    },
    /// A picture cannot be prepared.
    #[error("a picture cannot be prepared")]
    Prepare(#[from] PrepareError),
    /// The backbone does not run.
    #[error("the backbone does not run")]
    Run(#[from] RuntimeError),
    /// The backbone cannot be read.
    #[error("the backbone cannot be read")]
    Onnx(#[from] OnnxError),
    /// What was taught is refused as a package.
    #[error("the taught package does not pass its own proof")]
    Refused(
        /// Why.
        #[source]
        Box<dyn std::error::Error + Send + Sync>,
    ),
    /// The package cannot be sealed.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// There is a package of that name.
    #[error("{} is there already: give another --name, or take it away", .0.display())]
    There(
        /// Where.
        PathBuf,
    ),
    /// A file cannot be written.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What was learnt from good pieces.
pub struct Taught {
    projection: Projection,
    gallery: Gallery,
    usual: Usual,
    threshold: f32,
    /// Pictures that are copies of another one to the last pixel; each counts once.
    pub copies: usize,
    /// The overkill that was aimed at, 0…1.
    pub overkill: f64,
    /// Good pieces that would be rejected, each compared with all others but not with itself.
    pub rejected: usize,
    /// Which of the pictures were taught, by their place in the list.
    pub used: Vec<usize>,
}

impl std::fmt::Debug for Taught {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taught").field("pieces", &self.used.len()).field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl Taught {
    /// Scores of the good pieces, 0…1, each held back while it was judged.
    #[must_use]
    pub fn good_scores(&self) -> Vec<f32> {
        self.usual.distances.iter().map(|distance| graph::score_at(*distance, self.threshold)).collect()
    }

    /// The threshold, as a multiple of the distance of the usual good piece.
    #[must_use]
    pub const fn threshold(&self) -> f32 {
        self.threshold
    }

    pub(crate) fn model(&self) -> Result<Vec<u8>, OnnxError> {
        graph::taught(&self.projection, &self.gallery, &self.usual, self.threshold)
    }
}

/// Learns from pictures of good pieces; `overkill` is the share of good pieces that may be rejected, above 0 and up to 0.5;
/// `progress` is told how many of how many pictures were looked at.
///
/// # Errors
/// [`TeachError`], before anything is written.
pub fn teach(runtime: &Runtime, pictures: &[Picture], overkill: f64, mut progress: impl FnMut(usize, usize)) -> Result<Taught, TeachError> {
    if !(overkill > 0.0 && overkill <= 0.5) {
        return Err(TeachError::Overkill { share: overkill });
    }
    let used = different(pictures)?;
    let copies = pictures.len() - used.len();
    let used = thinned(used);
    let chosen: Vec<&Picture> = used.iter().map(|place| &pictures[*place]).collect();
    let features = features(runtime, &chosen, &mut progress)?;
    let projection = Projection::of(&features, CHANNELS, KEPT);
    let projected: Vec<Features> = features.into_iter().map(|features| projection.apply(&features)).collect();
    let gallery = Gallery::of(&projected, KEPT);
    let usual = gallery.usual();
    let threshold = gallery::threshold(&usual.distances, overkill);
    let rejected = usual.distances.iter().filter(|distance| **distance >= threshold).count();
    Ok(Taught { projection, gallery, usual, threshold, copies, overkill, rejected, used })
}

/// The first of each set of equal pictures: a copy would be compared with itself, and would make the threshold too low.
fn different(pictures: &[Picture]) -> Result<Vec<usize>, TeachError> {
    let mut seen = BTreeSet::new();
    let key = |place: &usize| (pictures[*place].width(), pictures[*place].height(), pictures[*place].pixels());
    let used: Vec<usize> = (0..pictures.len()).filter(|place| seen.insert(key(place))).collect();
    if used.len() == 1 && pictures.len() >= LEAST {
        return Err(TeachError::AllAlike { count: pictures.len() });
    }
    if used.len() < LEAST {
        let copies = pictures.len() - used.len();
        let copies = if copies == 0 { String::new() } else { format!(" ({copies} more are copies of them)") };
        return Err(TeachError::TooFew { different: used.len(), copies });
    }
    Ok(used)
}

/// Evenly spread over the list where there are too many.
fn thinned(used: Vec<usize>) -> Vec<usize> {
    if used.len() <= MOST {
        return used;
    }
    (0..MOST).map(|step| used[step * used.len() / MOST]).collect()
}

fn features(runtime: &Runtime, pictures: &[&Picture], progress: &mut impl FnMut(usize, usize)) -> Result<Vec<Features>, TeachError> {
    let mut engine = runtime.load(&graph::features()?)?;
    let mut preparer =
        Preparer::new(input()).map_err(|source| PrepareError::Picture { width: SIDE, height: SIDE, source: source.into() })?;
    let wanted = [Wanted { name: FEATURES.to_owned(), shape: Vec::new() }];
    let side = usize::try_from(SIDE).unwrap_or(0);
    let mut all = Vec::with_capacity(pictures.len());
    for (done, picture) in (1..).zip(pictures) {
        let grey = Grey { width: picture.width(), height: picture.height(), pixels: picture.pixels() };
        let (_, values) = preparer.prepare(grey, None)?;
        let one = engine.run(([1, 1, side, side], values), &wanted, |outputs| outputs.first().map(|output| output.values.to_vec()))?;
        let missing = || RuntimeError::Run { reason: format!("there is no output {FEATURES}") };
        all.push(one.ok_or_else(missing)?);
        progress(done, pictures.len());
    }
    Ok(all)
}

/// How frames become the model's input: stretched to one size, grey levels 0…1.
fn input() -> Input {
    Input {
        name: IMAGE.to_owned(),
        layout: Layout::Nchw,
        planes: vec![Plane::Test],
        black: 0,
        white: 255,
        scale: 1.0 / 255.0,
        offset: 0.0,
        width_max: SIDE,
        height_max: SIDE,
        multiple: graph::STRIDE,
        fill: 0,
        fixed: true,
        stretched: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(level: u8) -> Picture {
        Picture::new(2, 2, vec![level; 4]).unwrap()
    }

    #[test]
    fn copies_count_once_and_too_few_pictures_are_refused_with_the_number_that_is_needed() {
        let alike: Vec<Picture> = (0..20).map(|_| picture(7)).collect();
        assert!(matches!(different(&alike), Err(TeachError::AllAlike { count: 20 })));
        let mut few: Vec<Picture> = (0..9).map(picture).collect();
        few.push(picture(3));
        let text = different(&few).unwrap_err().to_string();
        assert!(text.contains("9 different") && text.contains("1 more") && text.contains("16"), "{text}");
        let enough: Vec<Picture> = (0..16).chain([2]).map(picture).collect();
        assert_eq!(different(&enough).unwrap().len(), 16);
    }

    #[test]
    fn too_many_pieces_are_thinned_evenly() {
        let thin = thinned((0..3 * MOST).collect());
        assert_eq!((thin.len(), thin[1], thin[MOST - 1]), (MOST, 3, 3 * MOST - 3));
    }
}
