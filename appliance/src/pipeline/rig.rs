//! The rig: camera and model as the settings describe them.
//!
//! A live camera need not be there: the line starts without it, its pieces are holds, and the keeper goes on looking for it.

use crate::clock::{Clock, thread_cpu_micros};
use crate::config::{CameraSettings, CameraSource, LiveSource, Settings};
use crate::packages;
use crate::pipeline::see::Measuring;
use crate::pipeline::{FRAMES, LineError, at};
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::path::PathBuf;
use std::sync::Arc;
use vision_models::boards::{BoardSettings, Boards};
use vision_models::camera::live::{Keeper, LiveCamera, LiveSettings, live};
use vision_models::camera::wire::Order;
use vision_models::camera::{BoardFolder, Camera, CameraFaults, GeneratedBoards, GroundTruth, Replay, Watched};
use vision_models::choice::{Choice, FASTEST, choose};
use vision_models::detector::{Detector, DetectorFaults};
use vision_models::frame::{FramePool, MonoClock};
use vision_models::package::Package;
use vision_models::picture::Picture;
use vision_models::runtime::Runtime;
use vision_models::score::TruthBox;

/// Camera and model, ready to run.
pub struct Rig {
    /// The time of this run.
    pub clock: Clock,
    /// The camera.
    pub camera: Box<dyn Camera>,
    /// Its frames' buffers.
    pub pool: FramePool,
    /// What a thread does for a live camera.
    pub keeper: Option<Keeper>,
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
        let mono: MonoClock = Arc::new(move || clock.mono_micros());
        let camera_faults = Arc::new(CameraFaults::default());
        // Pictures are read while the model proves itself: both take a while, and a line waits for them.
        let (opened, proved) = std::thread::scope(|both| {
            let camera = both.spawn(|| open_camera(settings, &camera_faults, &mono));
            let proved = Proved::open(settings);
            (camera.join(), proved)
        });
        let opened = opened.map_err(|_| LineError { what: "the camera's opening has panicked".to_owned(), source: None })?;
        let Opened { camera, pool, keeper, truth } = opened?;
        let Proved { package, detector, choice } = proved?;
        if let Some(warning) = &choice.warning {
            tracing::warn!(package = package.model().package, variant = choice.variant, "{warning}");
        }
        let detector_faults = Arc::new(DetectorFaults::default());
        let detector = detector.with_clock(mono).with_faults(Arc::clone(&detector_faults));
        let classes = package.classes();
        let before_grab = Box::new(|_| {});
        let measuring = settings.gauge.as_ref().map(|gauge| crate::gauges::read(&gauge.plan)).transpose();
        let measuring = measuring.map_err(at("the gauge plan is refused"))?.map(|gauge| Measuring { gauge, clock });
        Ok(Self { clock, camera, pool, keeper, before_grab, detector, measuring, classes, camera_faults, detector_faults, truth, choice })
    }
}

/// A model that has proved itself on its golden pieces.
struct Proved {
    package: Package,
    detector: Detector,
    choice: Choice,
}

impl Proved {
    fn open(settings: &Settings) -> Result<Self, LineError> {
        let model = &settings.model;
        let package = Package::open_trusted(&model.package, &model.trusted_keys).map_err(at("the model package is refused"))?;
        let runtime = match &model.onnxruntime {
            Some(library) => Runtime::open(library),
            None => Runtime::find(),
        };
        let runtime = runtime.map_err(at("ONNX Runtime cannot be loaded"))?;
        let (package, detector, choice) = choose_variant(settings, &runtime, &package)?;
        Ok(Self { package, detector, choice })
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

/// A camera with what belongs to it.
struct Opened {
    camera: Box<dyn Camera>,
    pool: FramePool,
    keeper: Option<Keeper>,
    truth: Arc<dyn GroundTruth>,
}

fn open_camera(settings: &Settings, faults: &Arc<CameraFaults>, clock: &MonoClock) -> Result<Opened, LineError> {
    let CameraSettings { name, contrast_min, source, .. } = &settings.camera;
    match source {
        CameraSource::Generated { seed, bad_share } => {
            #[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1 keeps its meaning in an f32")]
            let settings = BoardSettings { seed: *seed, bad_share: *bad_share as f32, ..BoardSettings::default() };
            let boards = Arc::new(Boards::new(settings).map_err(at("the boards cannot be drawn"))?);
            let camera = GeneratedBoards::new(name, Arc::clone(&boards), Arc::clone(faults), Arc::clone(clock));
            let camera = Box::new(Watched::new(camera).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(FRAMES, GeneratedBoards::frame_bytes()), keeper: None, truth: boards })
        }
        CameraSource::Folder { path } => {
            let folder =
                BoardFolder::open(name, path, Arc::clone(faults), Arc::clone(clock)).map_err(at("the picture folder cannot be read"))?;
            let (bytes, truth) = (folder.frame_bytes().map_err(at("the first picture cannot be read"))?, folder.index());
            let camera = Box::new(Watched::new(folder).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(FRAMES, bytes), keeper: None, truth })
        }
        CameraSource::Live(source) => {
            let (camera, keeper, pool) = open_live(name, source, clock)?;
            let camera = Box::new(Watched::new(camera).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool, keeper: Some(keeper), truth: Arc::new(Unknown) })
        }
        CameraSource::Replay { path } => {
            let replay = Replay::open(name, path, Arc::clone(clock)).map_err(at("the pictures cannot be read"))?;
            // Its pictures lie in buffers of their own.
            let camera = Box::new(Watched::new(replay).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(1, 1), keeper: None, truth: Arc::new(Unknown) })
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

/// A live camera that nobody keeps yet.
pub fn open_live(name: &str, source: &LiveSource, clock: &MonoClock) -> Result<(LiveCamera, Keeper, FramePool), LineError> {
    let golden = source.golden.as_deref().map(Picture::read).transpose().map_err(at("camera.golden cannot be read"))?;
    let (width, height, format) = (source.width_pixels, source.height_pixels, source.pixel_format);
    if let Some(golden) = golden.as_ref().filter(|golden| (golden.width(), golden.height()) != (width, height)) {
        let what = format!(
            "camera.golden has {}x{} pixels and the camera {width}x{height}; take it with this camera",
            golden.width(),
            golden.height()
        );
        return Err(LineError { what, source: None });
    }
    let bytes =
        format.bytes(width, height).ok_or_else(|| LineError { what: "the camera's pictures are too large".to_owned(), source: None })?;
    let pool = FramePool::new(FRAMES, bytes);
    let settings = LiveSettings {
        name: name.to_owned(),
        program: program(source),
        order: Order { device: source.device.clone(), trigger: source.trigger, width, height, format },
        golden: golden.map(Arc::new),
        frame_deadline_micros: source.frame_deadline_millis * 1000,
        early_micros: source.early_millis * 1000,
        delay_micros: source.delay_millis * 1000,
        open_deadline_micros: source.open_deadline_millis * 1000,
        reconnect_max_micros: source.reconnect_max_millis * 1000,
    };
    let (camera, keeper) = live(settings, pool.clone(), Arc::clone(clock));
    Ok((camera, keeper, pool))
}

/// The program that holds the driver: the one that is named, or the one beside this program.
#[must_use]
pub fn program(source: &LiveSource) -> PathBuf {
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("jidoka-camera"));
    source.program.clone().or_else(beside).unwrap_or_else(|| PathBuf::from("jidoka-camera"))
}

/// What a keeper tells, for the log: a camera that is away takes somebody to the machine.
pub fn keep(keeper: Keeper, camera: &str) {
    keeper.run(|told| match told {
        Some(reason) => tracing::error!(camera, reason, "the camera is away; pieces are holds until it is back"),
        None => tracing::info!(camera, "the camera is back"),
    });
}
