//! The rig: camera and model as the settings describe them.

use crate::clock::{Clock, thread_cpu_micros};
use crate::config::{CameraSource, Settings};
use crate::packages;
use crate::pipeline::see::Measuring;
use crate::pipeline::{LineError, at};
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::sync::Arc;
use vision_models::boards::{BOARD_SIDE, BoardSettings, Boards};
use vision_models::camera::{BoardFolder, Camera, CameraFaults, GeneratedBoards, GroundTruth, Replay, Watched};
use vision_models::choice::{Choice, FASTEST, choose};
use vision_models::detector::{Detector, DetectorFaults};
use vision_models::package::Package;
use vision_models::runtime::Runtime;
use vision_models::score::TruthBox;

/// Camera and model, ready to run.
pub struct Rig {
    /// The time of this run.
    pub clock: Clock,
    /// The camera.
    pub camera: Box<dyn Camera>,
    /// Bytes of one of its frames.
    pub frame_bytes: usize,
    /// Called before every picture; the demonstration disturbs the line here.
    pub before_grab: Box<dyn FnMut(PieceId) + Send>,
    /// The model.
    pub detector: Detector,
    /// What is measured in every picture.
    pub measuring: Option<Measuring>,
    /// Which variant of it this is, and why.
    pub choice: Choice,
    /// The classes of its package, with their default thresholds.
    pub classes: Vec<DefectClass>,
    /// How the camera can be disturbed.
    pub camera_faults: Arc<CameraFaults>,
    /// How the model can be disturbed.
    pub detector_faults: Arc<DetectorFaults>,
    /// What is known of the pieces beforehand.
    pub truth: Arc<dyn GroundTruth>,
}

impl Rig {
    /// Opens everything; a package that does not prove itself is refused here.
    pub fn open(settings: &Settings) -> Result<Self, LineError> {
        let clock = Clock::new();
        let mono: vision_models::frame::MonoClock = Arc::new(move || clock.mono_micros());
        let camera_faults = Arc::new(CameraFaults::default());
        let (camera, frame_bytes, truth) = camera(settings, &camera_faults, &mono)?;
        let model = &settings.model;
        let package = Package::open_trusted(&model.package, &model.trusted_keys).map_err(at("the model package is refused"))?;
        let runtime = match &settings.model.onnxruntime {
            Some(library) => Runtime::open(library),
            None => Runtime::find(),
        };
        let runtime = runtime.map_err(at("ONNX Runtime cannot be loaded"))?;
        let detector_faults = Arc::new(DetectorFaults::default());
        let (package, detector, choice) = choose_variant(settings, &runtime, &package)?;
        if let Some(warning) = &choice.warning {
            tracing::warn!(package = package.model().package, variant = choice.variant, "{warning}");
        }
        let detector = detector.with_clock(mono).with_faults(Arc::clone(&detector_faults));
        let classes = package.classes();
        let before_grab = Box::new(|_| {});
        let measuring = settings.gauge.as_ref().map(|gauge| crate::gauges::read(&gauge.plan)).transpose();
        let measuring = measuring.map_err(at("the gauge plan is refused"))?.map(|gauge| Measuring { gauge, clock });
        Ok(Self { clock, camera, frame_bytes, before_grab, detector, measuring, classes, camera_faults, detector_faults, truth, choice })
    }
}

/// The variant that the settings ask for. What was measured when the package was added is not measured at every start.
fn choose_variant(settings: &Settings, runtime: &Runtime, package: &Package) -> Result<(Package, Detector, Choice), LineError> {
    let remembered = packages::remembered(&settings.model.package).map(|choice| choice.variant);
    let first = || package.variant_name().to_owned();
    let wanted = match settings.model.variant.as_deref() {
        Some(FASTEST) if package.variants().count() > 1 => remembered,
        Some(FASTEST) | None => Some(first()),
        Some(name) => Some(name.to_owned()),
    };
    #[expect(clippy::cast_precision_loss, reason = "a deadline of at most a minute")]
    let limit_millis = settings.recipe.verdict_deadline.0 as f64 / 1000.0;
    let clock: vision_models::frame::MonoClock = Arc::new(thread_cpu_micros);
    choose(runtime, package, wanted.as_deref(), Some(limit_millis), &clock).map_err(at("the model is refused"))
}

type Opened = (Box<dyn Camera>, usize, Arc<dyn GroundTruth>);

fn camera(settings: &Settings, faults: &Arc<CameraFaults>, clock: &vision_models::frame::MonoClock) -> Result<Opened, LineError> {
    let name = &settings.camera.name;
    match &settings.camera.source {
        CameraSource::Generated { seed, bad_share } => {
            #[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1 keeps its meaning in an f32")]
            let settings = BoardSettings { seed: *seed, bad_share: *bad_share as f32, ..BoardSettings::default() };
            let boards = Arc::new(Boards::new(settings).map_err(at("the boards cannot be drawn"))?);
            let camera = Watched::new(GeneratedBoards::new(name, Arc::clone(&boards), Arc::clone(faults), Arc::clone(clock)));
            let side = usize::try_from(BOARD_SIDE).unwrap_or_default();
            Ok((Box::new(camera), side * side, boards))
        }
        CameraSource::Folder { path } => {
            let folder =
                BoardFolder::open(name, path, Arc::clone(faults), Arc::clone(clock)).map_err(at("the picture folder cannot be read"))?;
            let (bytes, truth) = (folder.frame_bytes().map_err(at("the first picture cannot be read"))?, folder.index());
            Ok((Box::new(Watched::new(folder)), bytes, truth))
        }
        CameraSource::Replay { path } => {
            let replay = Replay::open(name, path, Arc::clone(clock)).map_err(at("the pictures cannot be read"))?;
            // Its pictures lie in buffers of their own.
            Ok((Box::new(Watched::new(replay)), 1, Arc::new(Unknown)))
        }
    }
}

/// Nothing is known of these pieces.
struct Unknown;

impl GroundTruth for Unknown {
    fn truth(&self, _: PieceId) -> Vec<TruthBox> {
        Vec::new()
    }
}
