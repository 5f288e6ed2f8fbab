//! The detector: one loaded model for one worker, from frame to `Inspection`.
//!
//! Invariants: a detector exists only if the model's inputs and outputs are what the manifest says and it finds on every
//! golden piece what the package expects; every frame ends in an inspection or in an error, never in a guess.

use crate::choice::median_millis;
use crate::decode::{ClassMap, DecodeError, Looker, Namer, Wanted, looker};
use crate::frame::{Frame, MonoClock};
use crate::package::{Golden, Input, Manifest, Package, Parity};
use crate::picture::Picture;
use crate::prepare::{Grey, PrepareError, Preparer, View};
use crate::runtime::{Engine, Port, Runtime, RuntimeError};
use crate::score::overlap;
use station::inspection::{Finding, Inspection, ModelRef, StageMicros};
use station::piece::PieceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;

/// Why a frame was not inspected.
#[derive(Debug, Error)]
pub enum DetectorError {
    /// The frame could not be made into input.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The model did not run.
    #[error(transparent)]
    Run(#[from] RuntimeError),
    /// The model's output is nonsense.
    #[error("the model's output is refused")]
    Decode(
        /// What is wrong with it.
        #[from]
        DecodeError,
    ),
    /// The picture is an old one, or shows nothing.
    #[error("the picture is an old one, or shows nothing")]
    Unsound,
    /// The detector was told to fail.
    #[error("the detector was told to fail")]
    Told,
}

/// Why a package is refused when it is loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// ONNX Runtime cannot load it.
    #[error("package {package} is refused")]
    Runtime {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: RuntimeError,
    },
    /// Its inputs or outputs are not what the manifest says.
    #[error("package {package} is refused: {reason}; have the manifest and the weights made for each other")]
    Ports {
        /// The package.
        package: String,
        /// What differs.
        reason: String,
    },
    /// It does not find on a golden piece what it should.
    #[error(
        "package {package} is refused: on its golden piece {piece} {reason}; use the weights and the ONNX Runtime it was made with, or have it made again"
    )]
    Parity {
        /// The package.
        package: String,
        /// The piece.
        piece: String,
        /// What differs.
        reason: String,
    },
    /// It cannot inspect a golden piece at all.
    #[error("package {package} is refused, get it anew: its golden piece {piece} cannot be inspected")]
    Golden {
        /// The package.
        package: String,
        /// The piece.
        piece: String,
        /// Why.
        #[source]
        source: DetectorError,
    },
    /// OpenCV cannot be set up.
    #[error("OpenCV cannot be set up")]
    Prepare(
        /// Why.
        #[source]
        Box<dyn std::error::Error + Send + Sync>,
    ),
}

/// Faults that a detector can be told to have, to show what the line does then.
#[derive(Debug, Default)]
pub struct DetectorFaults {
    slow_millis: AtomicU64,
    fail: AtomicBool,
}

impl DetectorFaults {
    /// Every inspection from now on takes this much longer; 0 ends it.
    pub fn set_slow_millis(&self, millis: u64) {
        self.slow_millis.store(millis, Ordering::Relaxed);
    }

    /// Every inspection from now on (or no longer) fails.
    pub fn set_fail(&self, on: bool) {
        self.fail.store(on, Ordering::Relaxed);
    }

    fn act(&self) -> Result<(), DetectorError> {
        let millis = self.slow_millis.load(Ordering::Relaxed);
        if millis > 0 {
            std::thread::sleep(Duration::from_millis(millis));
        }
        if self.fail.load(Ordering::Relaxed) { Err(DetectorError::Told) } else { Ok(()) }
    }
}

/// One model for one worker.
pub struct Detector {
    engine: Engine,
    preparer: Preparer,
    looker: Box<dyn Looker>,
    namer: Option<Namer>,
    outputs: Vec<Wanted>,
    manifest: Manifest,
    model: Arc<ModelRef>,
    clock: MonoClock,
    proof_millis: f64,
    faults: Arc<DetectorFaults>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Detector {
    /// Loads a package's model and puts it to the proof; `clock` measures its stages.
    ///
    /// # Errors
    /// With the reason for which the package is refused.
    pub fn load(runtime: &Runtime, package: &Package, clock: MonoClock) -> Result<Self, LoadError> {
        let name = || package.model().package.clone();
        let engine = runtime.load(package.weights()).map_err(|source| LoadError::Runtime { package: name(), source })?;
        let (manifest, model) = (package.manifest().clone(), Arc::clone(package.model()));
        let looker = looker(&manifest);
        let outputs = looker.outputs();
        check_ports(&engine, &manifest.input, &outputs).map_err(|reason| LoadError::Ports { package: name(), reason })?;
        let preparer = Preparer::new(manifest.input.clone()).map_err(|source| LoadError::Prepare(source.into()))?;
        let namer = Namer::of(&manifest);
        let (proof_millis, faults) = (0.0, Arc::default());
        let mut detector = Self { engine, preparer, looker, namer, outputs, manifest, model, clock, proof_millis, faults };
        let mut micros = Vec::new();
        for piece in package.goldens() {
            micros.push(detector.prove(piece)?);
        }
        detector.proof_millis = median_millis(&mut micros);
        Ok(detector)
    }

    /// The same detector with faults that can be switched on from outside.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<DetectorFaults>) -> Self {
        self.faults = faults;
        self
    }

    /// The same detector with another clock for its stages.
    #[must_use]
    pub fn with_clock(mut self, clock: MonoClock) -> Self {
        self.clock = clock;
        self
    }

    /// Milliseconds for a golden picture, median over the proof, by the clock with which the detector was loaded.
    #[must_use]
    pub const fn proof_millis(&self) -> f64 {
        self.proof_millis
    }

    /// Who looks.
    #[must_use]
    pub const fn model(&self) -> &Arc<ModelRef> {
        &self.model
    }

    /// Inspects one frame: everything the model sees above the package's floor, best score first.
    ///
    /// # Errors
    /// If the frame cannot be prepared or is found to be an old or an empty one, or if the model fails or answers nonsense.
    pub fn inspect(&mut self, frame: &Frame, piece: PieceId, camera: &Arc<str>) -> Result<Inspection, DetectorError> {
        let test = View { width: frame.width(), height: frame.height(), format: frame.format(), pixels: frame.pixels() };
        let (findings, mut micros) = self.look(test, frame.golden().map(|golden| &**golden))?;
        micros.capture = frame.shot().capture_micros;
        if !frame.is_sound() {
            return Err(DetectorError::Unsound);
        }
        Ok(Inspection {
            // Known to whoever triggered the camera.
            acquisition: 0,
            piece,
            camera: Arc::clone(camera),
            frame: frame.number(),
            image: frame.digest(),
            width: frame.width(),
            height: frame.height(),
            model: Arc::clone(&self.model),
            findings,
            measurements: Vec::new(),
            micros,
            views: Vec::new(),
        })
    }

    /// What the model finds on a picture, compared with its golden one where its task is that; for making packages.
    ///
    /// # Errors
    /// As `inspect`.
    pub fn findings(&mut self, test: &Picture, golden: Option<&Picture>) -> Result<Vec<Finding>, DetectorError> {
        self.look(grey(test).into(), golden).map(|(findings, _)| findings)
    }

    /// The class of every place of the frame that was looked at last, where the task is to draw regions.
    #[must_use]
    pub fn class_map(&self) -> Option<&ClassMap> {
        self.looker.class_map()
    }

    fn look(&mut self, test: View<'_>, golden: Option<&Picture>) -> Result<(Vec<Finding>, StageMicros), DetectorError> {
        let start = (self.clock)();
        let (geometry, values) = self.preparer.prepare(test, golden.map(grey))?;
        let prepared = (self.clock)();
        self.faults.act()?;
        let input = &self.manifest.input;
        let size = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
        let shape = [1, input.planes.len(), size(geometry.input.1), size(geometry.input.0)];
        let (mut ran, clock, looker, namer) = (prepared, &self.clock, &mut self.looker, &mut self.namer);
        let decoded = self.engine.run((shape, values), &self.outputs, |outputs| {
            ran = clock();
            let found = looker.findings(outputs, geometry)?;
            Ok::<_, DecodeError>(match namer {
                Some(namer) => namer.name(found, geometry, values),
                None => found,
            })
        })?;
        let findings = decoded?;
        let done = (self.clock)();
        let span = |from: u64, to: u64| to.saturating_sub(from);
        let micros = StageMicros { capture: 0, prepare: span(start, prepared), infer: span(prepared, ran), decode: span(ran, done) };
        Ok((findings, micros))
    }

    /// Microseconds that it took, if it is as expected.
    fn prove(&mut self, piece: &Golden) -> Result<u64, LoadError> {
        let start = (self.clock)();
        let (package, name) = (self.model.package.clone(), piece.name.clone());
        match self.findings(&piece.test, piece.golden.as_deref()) {
            Err(source) => Err(LoadError::Golden { package, piece: name, source }),
            Ok(found) => {
                let micros = (self.clock)().saturating_sub(start);
                let same = compare(&found, &piece.expected, &self.manifest.parity, self.manifest.task.floor());
                same.map(|()| micros).map_err(|reason| LoadError::Parity { package, piece: name, reason })
            }
        }
    }
}

fn grey(picture: &Picture) -> Grey<'_> {
    Grey { width: picture.width(), height: picture.height(), pixels: picture.pixels() }
}

/// Findings so close to the floor that a rounding error decides about them may be there or not.
fn compare(found: &[Finding], expected: &[Finding], parity: &Parity, floor: f32) -> Result<(), String> {
    let sure = |finding: &&Finding| finding.score >= floor + 2.0 * parity.score_tolerance;
    let describe = |f: &Finding| format!("class {} at {:.0},{:.0} with score {:.3}", f.class.0, f.bounds.x1, f.bounds.y1, f.score);
    let same = |a: &Finding, b: &Finding| {
        let sides = |f: &Finding| [f.bounds.x1, f.bounds.y1, f.bounds.x2, f.bounds.y2];
        let near = sides(a).iter().zip(sides(b)).all(|(a, b)| (a - b).abs() <= parity.box_tolerance_pixels);
        a.class == b.class && (a.score - b.score).abs() <= parity.score_tolerance && near
    };
    if let Some(lost) = expected.iter().filter(sure).find(|want| !found.iter().any(|got| same(got, want))) {
        let near = found.iter().find(|got| overlap(&got.bounds, &lost.bounds) > 0.1);
        let instead = near.map_or(String::new(), |got| format!(", but {}", describe(got)));
        return Err(format!("it does not find {}{instead}", describe(lost)));
    }
    if let Some(new) = found.iter().filter(sure).find(|got| !expected.iter().any(|want| same(got, want))) {
        return Err(format!("it finds {}, which is not expected", describe(new)));
    }
    Ok(())
}

fn check_ports(engine: &Engine, input: &Input, wanted: &[Wanted]) -> Result<(), String> {
    let inputs = engine.inputs();
    if inputs.len() != 1 {
        return Err(format!("the model has {} inputs, it should have one", inputs.len()));
    }
    let side = |most: u32| if input.fixed { i64::from(most) } else { -1 };
    let planes = i64::try_from(input.planes.len()).unwrap_or(i64::MAX);
    let image = Wanted { name: input.name.clone(), shape: vec![planes, side(input.height_max), side(input.width_max)] };
    // What the model leaves open takes what comes; a size that the frame decides must be left open.
    check_port("input", &inputs, &image, |found, want| found == want || found == -1)?;
    let outputs = engine.outputs();
    wanted.iter().try_for_each(|output| check_port("output", &outputs, output, |found, want| found == want || want == -1))
}

/// A port must take one frame (or any number of them) of the shape that is wanted.
fn check_port(kind: &str, ports: &[Port], wanted: &Wanted, fits: impl Fn(i64, i64) -> bool) -> Result<(), String> {
    let Wanted { name, shape: wanted } = wanted;
    let Some(port) = ports.iter().find(|port| port.name == *name) else {
        let there: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
        return Err(format!("the model has no {kind} {name}, it has {}", there.join(", ")));
    };
    match port.shape.as_slice() {
        [-1 | 1, found @ ..] if found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, want)| fits(*found, *want)) => Ok(()),
        shape => {
            let wanted: Vec<_> = wanted.iter().map(i64::to_string).collect();
            Err(format!("{kind} {name} has shape {shape:?} of 32-bit floats, it should be [-1 or 1, {}]", wanted.join(", ")))
        }
    }
}
