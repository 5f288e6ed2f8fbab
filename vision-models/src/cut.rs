//! Verdict first: a standard YOLO export is cut where its scores are ready and its boxes are still raw.
//!
//! ```text
//!           ┌─ sigmoid ─────────────────────────────────────────┐
//!  … head ──┤                                                   ├─ concat ─► [1, 4 + classes, cells]      as exported
//!           └─ reshape, transpose, softmax, conv (0…15), boxes ─┘
//!
//!  … head ──┬─ sigmoid ─► [1, classes, cells]                                                              cut
//!           └─────────────► [1, 64, cells]      boxes are made by `decode` where there is a finding
//! ```
//! The softmax over 16 logits for four sides of every cell costs a quarter of the whole model's time, for boxes that nobody
//! reads: a good piece has none.
//!
//! Invariants: a graph that is not recognised in every part stays as it is, with the reason; nothing is computed anew, so
//! scores are the same bits; whether findings are the same is not believed but proved on the golden pieces by the caller.

use crate::detector::{Detector, DetectorError, LoadError};
use crate::frame::MonoClock;
use crate::onnx::{Dim, Graph, Model, Node, OnnxError, Port};
use crate::package::{Boxes, Head, MANIFEST, Package, PackageError, Task, WEIGHTS, Yolo, YoloCut, list_files};
use crate::runtime::Runtime;
use station::units::Digest;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Logits per side.
const BINS: i64 = 16;

/// Times that each model looks at each golden picture to be compared with the other.
const ROUNDS: usize = 9;

/// Why a package was not cut. The package itself is as it was.
#[derive(Debug, Error)]
pub enum CutError {
    /// It cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its task has no such head.
    #[error("{package} cannot be cut: only a package of the task detect with a head `yolo` can be")]
    Task {
        /// The package.
        package: String,
    },
    /// Its graph is not the one that is known.
    #[error("{package} stays as it is")]
    Graph {
        /// The package.
        package: String,
        /// What is different.
        #[source]
        source: OnnxError,
    },
    /// The cut one does not prove itself.
    #[error("{package} stays as it is: cut, it does not pass its own gate")]
    Gate {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Box<LoadError>,
    },
    /// The cut one is no faster.
    #[error("{package} stays as it is: cut, it takes {ratio:.2} times as long on this machine")]
    Slower {
        /// The package.
        package: String,
        /// Time of the cut one over time of the whole one.
        ratio: f64,
    },
    /// A golden picture could not be looked at.
    #[error(transparent)]
    Look(#[from] DetectorError),
    /// The new package cannot be written.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// True for what [`cut_package`] is for: a package of the task detect with the head of a standard YOLO export, which nobody has
/// signed (who signed it vouches for it as it is) and which has no variants beside it.
#[must_use]
pub fn is_whole_export(package: &Package) -> bool {
    package.signer().is_none()
        && package.variants().count() == 1
        && matches!(&package.manifest().task, Task::Detect(Boxes { head: Head::Yolo(_), .. }))
}

/// Cuts the package in `folder` and writes the new one to the folder `to`, which must not be there: named
/// `VERSION-verdict-first`, proved on the same golden pieces within the same tolerances, and faster. Returns the time of the
/// cut one over that of the whole one, the median of alternating rounds over the golden pictures.
///
/// # Errors
/// [`CutError`]; nothing is left at `to` then.
pub fn cut_package(runtime: &Runtime, folder: &Path, to: &Path, clock: &MonoClock) -> Result<f64, CutError> {
    let package = Package::open(folder)?;
    let name = || package.model().package.clone();
    let mut manifest = package.manifest().clone();
    let Task::Detect(Boxes { head, .. }) = &mut manifest.task else { return Err(CutError::Task { package: name() }) };
    let Head::Yolo(whole) = &*head else { return Err(CutError::Task { package: name() }) };
    let (weights, names) = cut(package.weights(), whole).map_err(|source| CutError::Graph { package: name(), source })?;
    *head = Head::YoloCut(names);
    manifest.version.push_str("-verdict-first");
    manifest.provenance.training.push_str(" Cut verdict first when it was imported.");
    manifest.files.insert(WEIGHTS.to_owned(), Digest::of(&weights));
    let written = write_package(folder, to, &manifest.to_toml(), &weights).and_then(|()| prove(runtime, &package, to, clock));
    if written.is_err() {
        drop(fs::remove_dir_all(to));
    }
    written
}

fn write_package(folder: &Path, to: &Path, manifest: &str, weights: &[u8]) -> Result<(), CutError> {
    let write = |path: PathBuf| move |source| CutError::Write { path, source };
    fs::create_dir(to).map_err(write(to.to_owned()))?;
    for file in list_files(folder)?.into_iter().filter(|file| file != MANIFEST && file != WEIGHTS) {
        let copy = to.join(&file);
        fs::create_dir_all(copy.parent().unwrap_or(to)).map_err(write(copy.clone()))?;
        fs::copy(folder.join(&file), &copy).map_err(write(copy))?;
    }
    fs::write(to.join(WEIGHTS), weights).map_err(write(to.join(WEIGHTS)))?;
    fs::write(to.join(MANIFEST), manifest).map_err(write(to.join(MANIFEST)))
}

/// The gate, then the stop watch.
fn prove(runtime: &Runtime, package: &Package, to: &Path, clock: &MonoClock) -> Result<f64, CutError> {
    let name = || package.model().package.clone();
    let gate = |source| CutError::Gate { package: name(), source: Box::new(source) };
    let mut cut = Detector::load(runtime, &Package::open(to)?, MonoClock::clone(clock)).map_err(gate)?;
    let mut whole = Detector::load(runtime, package, MonoClock::clone(clock)).map_err(gate)?;
    let mut ratios = Vec::new();
    for golden in (0..ROUNDS).flat_map(|_| package.goldens()) {
        let mut times = [0_u64; 2];
        for (detector, time) in [&mut whole, &mut cut].into_iter().zip(&mut times) {
            let start = clock();
            detector.findings(&golden.test, golden.golden.as_deref())?;
            *time = clock().saturating_sub(start);
        }
        ratios.push(share(times[1], times[0]));
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0);
    if ratio < 1.0 { Ok(ratio) } else { Err(CutError::Slower { package: name(), ratio }) }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one picture")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Cuts an exported model; the bytes of the new one and the names of its outputs.
///
/// # Errors
/// Why it is not the export that is known; the model then stays as it is.
pub fn cut(weights: &[u8], head: &Yolo) -> Result<(Vec<u8>, YoloCut), OnnxError> {
    let mut model = Model::read(weights)?;
    let graph = &mut model.graph;
    let refuse = |what: &str| OnnxError::new(format!("this is no YOLO export that can be cut: {what}"));
    let [output] = graph.outputs.as_slice() else { return Err(refuse("it has more than one output")) };
    if output.name != head.output {
        return Err(refuse(&format!("its output is {}, not {}", output.name, head.output)));
    }
    let Some([batch, planes, cells]) = output.fixed().and_then(|dims| <[i64; 3]>::try_from(dims).ok()) else {
        return Err(refuse("its output's dimensions are not fixed; export it for one size of picture"));
    };
    let joined = graph.producer(&output.name).filter(|node| node.op == "Concat" && matches!(node.whole("axis"), Some(1 | -2)));
    let Some([boxes, scores]) = joined.map(|node| node.inputs.as_slice()) else {
        return Err(refuse("its output is not boxes and scores joined"));
    };
    if graph.producer(scores).is_none_or(|node| node.op != "Sigmoid") {
        return Err(refuse("its scores are not a sigmoid"));
    }
    let sides = logits(graph, boxes).ok_or_else(|| refuse("its boxes do not come of a softmax over 16 bins of each side"))?;
    let names = YoloCut { scores: scores.clone(), sides };
    let port = |name: &str, planes: i64| Port::floats(name, [batch, planes, cells].map(Dim::Fixed).to_vec());
    graph.outputs = vec![port(&names.scores, planes - 4), port(&names.sides, 4 * BINS)];
    graph.prune();
    Ok((model.write(), names))
}

/// The value that holds the raw logits of all sides of the boxes.
fn logits(graph: &Graph, boxes: &str) -> Option<String> {
    let means: Vec<&Node> = behind(graph, boxes).into_iter().filter(|node| is_mean(graph, node)).collect();
    // One softmax for all levels; more of them would be another kind of head.
    let [mean] = means.as_slice() else { return None };
    let softmax = through(graph, mean.inputs.first()?, "Transpose")?;
    let mut value = softmax.inputs.first()?;
    let mut reshaped = false;
    while let Some(node) = graph.producer(value).filter(|node| matches!(node.op.as_str(), "Reshape" | "Transpose")) {
        // The reshape into four sides is the first on the way out; what was reshaped before it belongs to the head.
        if reshaped {
            break;
        }
        reshaped = node.op == "Reshape";
        value = node.inputs.first()?;
    }
    reshaped.then(|| value.clone())
}

/// A convolution of a softmax with the weights 0, 1, … 15.
fn is_mean(graph: &Graph, node: &Node) -> bool {
    let [softmax, weights, ..] = node.inputs.as_slice() else { return false };
    let counts =
        |values: Vec<f32>| values.len() == 16 && values.iter().zip(0_u8..).all(|(value, bin)| (value - f32::from(bin)).abs() < 1e-6);
    node.op == "Conv"
        && through(graph, softmax, "Transpose").is_some_and(|node| node.op == "Softmax")
        && graph.constant(weights).and_then(|tensor| tensor.to_floats().ok()).is_some_and(counts)
}

/// The node that makes a value, passing over those of one operator.
fn through<'g>(graph: &'g Graph, value: &str, op: &str) -> Option<&'g Node> {
    let mut node = graph.producer(value)?;
    while node.op == op {
        node = graph.producer(node.inputs.first()?)?;
    }
    Some(node)
}

/// Every node that a value is computed of, each once.
fn behind<'g>(graph: &'g Graph, value: &str) -> Vec<&'g Node> {
    let mut needed = std::collections::BTreeSet::from([value.to_owned()]);
    let mut found = Vec::new();
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().cloned());
            found.push(node);
        }
    }
    found
}
