//! The rig: cameras and models as the settings describe them.
//!
//! A live camera need not be there: the line starts without it, its pieces are holds, and the keeper goes on looking for it.

use crate::clock::{Clock, thread_cpu_micros};
use crate::config::{CameraSettings, CameraSource, LiveSource, Settings};
use crate::packages;
use crate::pipeline::see::Measuring;
use crate::pipeline::{FRAMES, LineError, at};
use station::piece::PieceId;
use station::recipe::DefectClass;
use std::path::{Path, PathBuf};
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

/// Cameras and models, ready to run.
pub struct Rig {
    /// The time of this run.
    pub clock: Clock,
    /// The camera and its model; the first one of a frame set.
    pub eye: Eye,
    /// The others of a frame set.
    pub others: Vec<Eye>,
    /// Called before every picture of the first camera; the demonstration disturbs the line here.
    pub before_grab: Box<dyn FnMut(PieceId) + Send>,
    /// How the first camera can be disturbed.
    pub camera_faults: Arc<CameraFaults>,
    /// How its model can be disturbed.
    pub detector_faults: Arc<DetectorFaults>,
    /// What is known of the pieces beforehand.
    pub truth: Arc<dyn GroundTruth>,
}

/// One camera with what looks at its pictures.
pub struct Eye {
    /// The camera.
    pub camera: Box<dyn Camera>,
    /// Its frames' buffers.
    pub pool: FramePool,
    /// What a thread does for a live camera.
    pub keeper: Option<Keeper>,
    /// The model: an instance of its own, so that no camera waits for another.
    pub detector: Detector,
    /// What is measured in every picture.
    pub measuring: Option<Measuring>,
    /// Which variant of the model this is, and why.
    pub choice: Choice,
    /// The classes of its package, with their default thresholds.
    pub classes: Vec<DefectClass>,
}

impl Rig {
    /// Opens everything; a package that does not prove itself is refused here.
    pub fn open(settings: &Settings) -> Result<Self, LineError> {
        let clock = Clock::new();
        let mono: MonoClock = Arc::new(move || clock.mono_micros());
        let (camera_faults, detector_faults) = (Arc::new(CameraFaults::default()), Arc::new(DetectorFaults::default()));
        // Pictures are read while the models prove themselves: both take a while, and a line waits for them.
        let (opened, proved) = std::thread::scope(|both| {
            let cameras = both.spawn(|| open_cameras(settings, &camera_faults, &mono));
            let proved = open_models(settings);
            (cameras.join(), proved)
        });
        let opened = opened.map_err(|_| LineError { what: "the opening of the cameras has panicked".to_owned(), source: None })??;
        in_step(settings, &opened)?;
        let truth = opened.first().map_or_else(|| Arc::new(Unknown) as Arc<dyn GroundTruth>, |first| Arc::clone(&first.truth));
        let mut eyes = Vec::new();
        for ((camera, opened), (detector, choice, classes)) in settings.cameras().zip(opened).zip(proved?) {
            let detector = detector.with_clock(Arc::clone(&mono));
            let detector = if eyes.is_empty() { detector.with_faults(Arc::clone(&detector_faults)) } else { detector };
            let measuring = measuring(settings, camera, clock)?;
            let Opened { camera, pool, keeper, .. } = opened;
            eyes.push(Eye { camera, pool, keeper, detector, measuring, choice, classes });
        }
        let mut eyes = eyes.into_iter();
        let eye = eyes.next().ok_or_else(|| LineError { what: "there is no camera".to_owned(), source: None })?;
        let before_grab = Box::new(|_| {});
        Ok(Self { clock, eye, others: eyes.collect(), before_grab, camera_faults, detector_faults, truth })
    }

    /// The cameras in the order of the settings, with what looks at their pictures.
    pub fn eyes(&self) -> impl Iterator<Item = &Eye> {
        std::iter::once(&self.eye).chain(&self.others)
    }
}

/// A model that has proved itself on its golden pieces, why it is this variant, and the classes of its package.
type Proved = (Detector, Choice, Vec<DefectClass>);

fn open_cameras(settings: &Settings, faults: &Arc<CameraFaults>, clock: &MonoClock) -> Result<Vec<Opened>, LineError> {
    let mut opened = Vec::new();
    for camera in settings.cameras() {
        // Only the first camera is disturbed: what a frame set does then is what one ill camera does.
        let faults = if opened.is_empty() { Arc::clone(faults) } else { Arc::default() };
        opened.push(open_camera(camera, settings.frame_set.is_some(), &faults, clock)?);
    }
    Ok(opened)
}

fn open_models(settings: &Settings) -> Result<Vec<Proved>, LineError> {
    let runtime = match &settings.model.onnxruntime {
        Some(library) => Runtime::open(library),
        None => Runtime::find(),
    };
    let runtime = runtime.map_err(at("ONNX Runtime cannot be loaded"))?;
    settings.cameras().map(|camera| open_model(settings, camera, &runtime)).collect()
}

fn open_model(settings: &Settings, camera: &CameraSettings, runtime: &Runtime) -> Result<Proved, LineError> {
    let model = &settings.model;
    let (folder, variant) = match &camera.own_model {
        Some(own) => (&own.package, own.variant.as_deref()),
        None => (&model.package, model.variant.as_deref()),
    };
    let what = format!("the model package of camera {} is refused", camera.name);
    let what = if camera.own_model.is_some() { &what } else { "the model package is refused" };
    let package = Package::open_trusted(folder, &model.trusted_keys).map_err(at(what))?;
    let (package, detector, choice) = choose_variant(settings, runtime, &package, folder, variant)?;
    if let Some(warning) = &choice.warning {
        tracing::warn!(package = package.model().package, variant = choice.variant, "{warning}");
    }
    Ok((detector, choice, package.classes()))
}

fn measuring(settings: &Settings, camera: &CameraSettings, clock: Clock) -> Result<Option<Measuring>, LineError> {
    let Some(gauge) = settings.gauge.as_ref().filter(|gauge| gauge.camera == camera.name) else { return Ok(None) };
    let gauge = crate::gauges::read(&gauge.plan).map_err(at("the gauge plan is refused"))?;
    Ok(Some(Measuring { gauge, clock }))
}

/// Recorded pictures of one piece have one number: with more of one camera than of another they would soon show two pieces.
fn in_step(settings: &Settings, opened: &[Opened]) -> Result<(), LineError> {
    let counts: Vec<(&str, usize)> =
        settings.cameras().zip(opened).filter_map(|(camera, opened)| Some((camera.name.as_str(), opened.pictures?))).collect();
    let Some(((first, many), rest)) = counts.split_first() else { return Ok(()) };
    let Some((other, others)) = rest.iter().find(|(_, count)| count != many) else { return Ok(()) };
    let what = format!(
        "the cameras of the frame set do not keep step: {first} shows {many} pictures and {other} {others}; \
         give each folder one picture of every piece, in the same order"
    );
    Err(LineError { what, source: None })
}

/// The variant that the settings ask for. What was measured when the package was added is not measured at every start.
fn choose_variant(
    settings: &Settings,
    runtime: &Runtime,
    package: &Package,
    folder: &Path,
    variant: Option<&str>,
) -> Result<(Package, Detector, Choice), LineError> {
    let remembered = packages::remembered(folder).map(|choice| choice.variant);
    let first = || package.variant_name().to_owned();
    let wanted = match variant {
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
    /// How many pictures it has, if they are recorded.
    pictures: Option<usize>,
}

fn open_camera(settings: &CameraSettings, in_set: bool, faults: &Arc<CameraFaults>, clock: &MonoClock) -> Result<Opened, LineError> {
    let CameraSettings { name, contrast_min, source, .. } = settings;
    match source {
        CameraSource::Generated { seed, bad_share } => {
            #[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1 keeps its meaning in an f32")]
            let settings = BoardSettings { seed: *seed, bad_share: *bad_share as f32, ..BoardSettings::default() };
            let boards = Arc::new(Boards::new(settings).map_err(at("the boards cannot be drawn"))?);
            let camera = GeneratedBoards::new(name, Arc::clone(&boards), Arc::clone(faults), Arc::clone(clock));
            let camera = Box::new(Watched::new(camera).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(FRAMES, GeneratedBoards::frame_bytes()), keeper: None, truth: boards, pictures: None })
        }
        CameraSource::Folder { path } => {
            let folder =
                BoardFolder::open(name, path, Arc::clone(faults), Arc::clone(clock)).map_err(at("the picture folder cannot be read"))?;
            let pictures = Some(folder.count());
            let (bytes, truth) = (folder.frame_bytes().map_err(at("the first picture cannot be read"))?, folder.index());
            let camera = Box::new(Watched::new(folder).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(FRAMES, bytes), keeper: None, truth, pictures })
        }
        CameraSource::Live(source) => {
            let (camera, keeper, pool) = open_live(name, source, clock)?;
            let camera = Box::new(Watched::new(camera).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool, keeper: Some(keeper), truth: Arc::new(Unknown), pictures: None })
        }
        CameraSource::Replay { path } => {
            let replay = Replay::open(name, path, Arc::clone(clock)).map_err(at("the pictures cannot be read"))?;
            let (pictures, replay) = (Some(replay.names().len()), if in_set { replay.by_piece() } else { replay });
            // Its pictures lie in buffers of their own.
            let camera = Box::new(Watched::new(replay).with_contrast_min(*contrast_min));
            Ok(Opened { camera, pool: FramePool::new(1, 1), keeper: None, truth: Arc::new(Unknown), pictures })
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
