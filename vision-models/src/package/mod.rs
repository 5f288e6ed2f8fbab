//! A model package: the weights, what must be known to use them, and the proof that they still do what they did.
//!
//! Invariants: a `Package` exists only if its manifest makes sense and every file in its folder is listed with the SHA-256
//! it has; what was hashed is kept in memory and is what runs, so a file swapped later changes nothing.

mod copper;
mod manifest;
mod signature;
mod task;
mod variant;

pub use copper::Copper;
pub use manifest::{ClassEntry, FORMAT, GoldenPiece, Input, Layout, Manifest, OperatingPoint, Parity, Plane, Provenance};
pub use signature::{KeyError, PublicKey, SIGNATURE, SecretKey, sign};
pub use task::{Activation, Boxes, Classify, Grid, Head, Heat, Segment, Task, Yolo, YoloCut};
pub use variant::{Speed, VariantEntry};

use crate::picture::{Picture, PictureError};
use station::inspection::{Finding, ModelRef};
use station::recipe::DefectClass;
use station::units::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Name of the manifest in a package's folder.
pub const MANIFEST: &str = "model.toml";

/// Name of the weights in a package's folder.
pub const WEIGHTS: &str = "model.onnx";

/// Name of the variant in [`WEIGHTS`] of a package that names none.
pub const FIRST_VARIANT: &str = "fp32";

/// Why a package is refused.
#[derive(Debug, Error)]
pub enum PackageError {
    /// A file cannot be read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is not one.
    #[error("{} is not a model manifest: {reason}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with line and key.
        reason: String,
    },
    /// A file is not the one the manifest lists.
    #[error("{} has SHA-256 {found}, the manifest lists {listed}: it was changed or cut off on its way, copy the package again", .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: Digest,
        /// What it should have.
        listed: Digest,
    },
    /// A file lies in the package that the manifest does not list.
    #[error("{} is not listed in the manifest: remove it, or have the package made again with it", .path.display())]
    Unlisted {
        /// The file.
        path: PathBuf,
    },
    /// The manifest needs a file that it does not list.
    #[error("{} needs {name}, and its [files] does not list it: have the package made again", .path.display())]
    NotListed {
        /// The manifest.
        path: PathBuf,
        /// The file.
        name: String,
    },
    /// Nobody who is trusted vouches for it.
    #[error("{}: {reason}; [model] trusted_keys says whose packages are used, `jidoka model sign` signs one", .path.display())]
    Signature {
        /// Where the signature is or should be.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A golden piece cannot be used.
    #[error("a golden piece cannot be used: have the package made again")]
    Golden(
        /// What is wrong with it.
        #[from]
        PictureError,
    ),
    /// The expected findings of a golden piece cannot be read.
    #[error("{} is not a list of findings: have the package made again", .path.display())]
    Expected {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// A golden piece with what the model must find on it.
#[derive(Debug, Clone)]
pub struct Golden {
    /// Name of its test picture in the package.
    pub name: String,
    /// The piece.
    pub test: Picture,
    /// What it is compared with, where the task compares.
    pub golden: Option<Arc<Picture>>,
    /// What must be found, best score first.
    pub expected: Vec<Finding>,
}

/// A package that passed the first half of the gate: manifest and hashes. The second half is `Detector::load`.
#[derive(Debug, Clone)]
pub struct Package {
    manifest: Manifest,
    variants: Vec<Variant>,
    chosen: Variant,
    /// Of scores and of sides of boxes, for variants that have none of their own.
    tolerances: (f32, f32),
    signer: Option<PublicKey>,
    goldens: Arc<Vec<Golden>>,
}

#[derive(Debug, Clone)]
struct Variant {
    entry: VariantEntry,
    weights: Arc<[u8]>,
    model: Arc<ModelRef>,
}

impl Package {
    /// Reads a package's folder and checks everything that can be checked without running the model.
    ///
    /// # Errors
    /// With the first thing that is wrong: the manifest, a file that is missing, changed or not listed.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        Self::open_trusted(folder, &[])
    }

    /// The same, if one of these keys has signed it; without keys nobody needs to.
    ///
    /// # Errors
    /// As [`Package::open`], and if nobody who is trusted vouches for it.
    pub fn open_trusted(folder: &Path, trusted: &[PublicKey]) -> Result<Self, PackageError> {
        let (manifest, signer) = read_manifest(folder, trusted)?;
        let mut files = BTreeMap::new();
        for (name, listed) in &manifest.files {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(|source| PackageError::File { path: path.clone(), source })?;
            let found = Digest::of(&bytes);
            if found != *listed {
                return Err(PackageError::Hash { path, found, listed: *listed });
            }
            files.insert(name.as_str(), bytes);
        }
        for name in list_files(folder)? {
            if name != MANIFEST && name != SIGNATURE && !files.contains_key(name.as_str()) {
                return Err(PackageError::Unlisted { path: folder.join(name) });
            }
        }
        let listed = |name: &str| {
            let missing = || PackageError::NotListed { path: folder.join(MANIFEST), name: name.to_owned() };
            files.get(name).map(Vec::as_slice).ok_or_else(missing)
        };
        let mut goldens = Vec::new();
        for piece in &manifest.parity.piece {
            let picture = |name: &str| Ok::<_, PackageError>(Picture::decode(&folder.join(name).display().to_string(), listed(name)?)?);
            let expected = serde_json::from_slice(listed(&piece.expected)?)
                .map_err(|source| PackageError::Expected { path: folder.join(&piece.expected), source })?;
            let (test, golden) = (picture(&piece.test)?, piece.golden.as_deref().map(picture).transpose()?.map(Arc::new));
            goldens.push(Golden { name: piece.test.clone(), test, golden, expected });
        }
        let only =
            || VariantEntry { name: FIRST_VARIANT.to_owned(), file: WEIGHTS.to_owned(), score_tolerance: None, box_tolerance_pixels: None };
        let (first, rest) = manifest.variant.split_first().map_or_else(|| (only(), &[][..]), |(first, rest)| (first.clone(), rest));
        let variant = |entry: VariantEntry| {
            let weights: Arc<[u8]> = listed(&entry.file)?.into();
            let package = format!("{}@{}", manifest.name, manifest.version);
            let model = Arc::new(ModelRef { package, weights: Digest::of(&weights) });
            Ok::<_, PackageError>(Variant { entry, weights, model })
        };
        let chosen = variant(first)?;
        let mut variants = vec![chosen.clone()];
        for entry in rest {
            variants.push(variant(entry.clone())?);
        }
        let tolerances = (manifest.parity.score_tolerance, manifest.parity.box_tolerance_pixels);
        let package = Self { manifest, variants, chosen: chosen.clone(), tolerances, signer, goldens: Arc::new(goldens) };
        Ok(package.with(chosen))
    }

    /// What the manifest says.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model's name in records.
    #[must_use]
    pub const fn model(&self) -> &Arc<ModelRef> {
        &self.chosen.model
    }

    /// Names of its variants, the reference first.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().map(|variant| variant.entry.name.as_str())
    }

    /// The variant whose weights are loaded; the reference unless another one was taken.
    #[must_use]
    pub fn variant_name(&self) -> &str {
        &self.chosen.entry.name
    }

    /// The same package with another variant, held to that variant's tolerances.
    #[must_use]
    pub fn variant(&self, name: &str) -> Option<Self> {
        let variant = self.variants.iter().find(|variant| variant.entry.name == name)?;
        Some(self.clone().with(variant.clone()))
    }

    fn with(mut self, variant: Variant) -> Self {
        let (score, sides) = self.tolerances;
        self.manifest.parity.score_tolerance = variant.entry.score_tolerance.unwrap_or(score);
        self.manifest.parity.box_tolerance_pixels = variant.entry.box_tolerance_pixels.unwrap_or(sides);
        self.chosen = variant;
        self
    }

    /// The trusted key that vouches for it, if any was asked for.
    #[must_use]
    pub const fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// The classes with the thresholds the package proposes, in order: what a recipe starts from.
    #[must_use]
    pub fn classes(&self) -> Vec<DefectClass> {
        self.manifest.class.iter().map(|class| DefectClass { name: class.name.clone(), threshold: class.threshold }).collect()
    }

    /// The golden pieces.
    #[must_use]
    pub fn goldens(&self) -> &[Golden] {
        &self.goldens
    }

    pub(crate) fn weights(&self) -> &[u8] {
        &self.chosen.weights
    }

    /// The same package with other expectations; for the tool that makes packages.
    #[must_use]
    pub fn without_goldens(mut self) -> Self {
        self.goldens = Arc::default();
        self
    }
}

fn read_manifest(folder: &Path, trusted: &[PublicKey]) -> Result<(Manifest, Option<PublicKey>), PackageError> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|source| PackageError::File { path: path.clone(), source })?;
    let signer = signature::verify(folder, text.as_bytes(), trusted)?;
    let manifest = Manifest::parse(&text).map_err(|reason| PackageError::Manifest { path, reason })?;
    Ok((manifest, signer))
}

/// Writes the SHA-256 of every file of a package's folder into its manifest, behind the heading `[files]`, which must be
/// the last one. For whoever makes packages; the appliance only ever checks.
///
/// # Errors
/// If a file cannot be read or written, or the manifest has no such heading.
pub fn seal(folder: &Path) -> Result<(), PackageError> {
    let path = folder.join(MANIFEST);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackageError::File { path, source }
    };
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    let missing = || PackageError::Manifest { path: path.clone(), reason: "it must end with a table [files]".to_owned() };
    let (head, _) = text.split_once("\n[files]\n").ok_or_else(missing)?;
    let mut text = format!("{head}\n[files]\n");
    for name in list_files(folder)?.iter().filter(|name| *name != MANIFEST && *name != SIGNATURE) {
        let file = folder.join(name);
        let digest = Digest::of(&fs::read(&file).map_err(failed(&file))?);
        text.push_str(&format!("{name:?} = \"{digest}\"\n"));
    }
    fs::write(&path, text).map_err(failed(&path))
}

/// All files of a package's folder, as paths below it with `/`, in order.
///
/// # Errors
/// If a folder cannot be listed.
pub fn list_files(folder: &Path) -> Result<Vec<String>, PackageError> {
    let mut names = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        let path = folder.join(&below);
        let failed = |source| PackageError::File { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed)?.is_dir() {
                open.push(format!("{name}/"));
            } else {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}
