//! A live camera as the appliance runs it: the real program, a keeper on a thread, and the guard in front.
//!
//! Invariants: what a test starts ends with it, by its own number; every wait has a deadline and no wait is a measure.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(unused_macros, reason = "every test file uses a part of it")]

use station::piece::PieceId;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vision_models::camera::live::{LiveSettings, live};
use vision_models::camera::wire::{Device, Order, TriggerMode};
use vision_models::camera::{Camera, CameraCounts, CameraError, Watched};
use vision_models::frame::{Frame, FramePool, MonoClock, PixelFormat};

/// A crowded machine gets this long for what takes a moment on a quiet one.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Settings around a device, with the limits of a line.
pub fn settings(device: Device, trigger: TriggerMode, width: u32, height: u32) -> LiveSettings {
    LiveSettings {
        name: "cam0".to_owned(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_jidoka-camera")),
        order: Order { device, trigger, width, height, format: PixelFormat::Mono8 },
        golden: None,
        frame_deadline_micros: 300_000,
        early_micros: 50_000,
        delay_micros: 0,
        open_deadline_micros: 1_400_000,
        reconnect_max_micros: 500_000,
    }
}

/// A running camera.
pub struct Rig {
    camera: Option<Watched<vision_models::camera::live::LiveCamera>>,
    keeper: Option<JoinHandle<()>>,
    pool: FramePool,
    piece: u32,
    /// Everything that the keeper told.
    pub told: Arc<Mutex<Vec<Option<String>>>>,
}

impl Rig {
    /// Starts it.
    pub fn new(settings: LiveSettings) -> Self {
        let begun = Instant::now();
        let clock: MonoClock = Arc::new(move || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        let bytes = settings.order.format.bytes(settings.order.width, settings.order.height).expect("a size");
        let pool = FramePool::new(4, bytes);
        let told = Arc::new(Mutex::new(Vec::new()));
        let (camera, keeper) = live(settings, pool.clone(), clock);
        let say = Arc::clone(&told);
        let keeper = std::thread::spawn(move || keeper.run(|told| say.lock().expect("told").push(told.map(ToOwned::to_owned))));
        Self { camera: Some(Watched::new(camera).with_contrast_min(8)), keeper: Some(keeper), pool, piece: 0, told }
    }

    /// A picture of the next piece.
    pub fn grab(&mut self) -> Result<Frame, CameraError> {
        self.piece += 1;
        let taken = self.camera.as_mut().expect("a camera").grab(PieceId(self.piece), &self.pool);
        if matches!(taken, Err(CameraError::Lost { .. })) {
            // Told at once: pieces that came as fast as that would take the core from what they wait for.
            std::thread::sleep(Duration::from_millis(1));
        }
        taken
    }

    /// Grabs until a picture comes; how long that took.
    pub fn until_well(&mut self) -> Duration {
        let begun = Instant::now();
        loop {
            match self.grab() {
                Ok(_) => return begun.elapsed(),
                Err(error) => assert!(begun.elapsed() < PATIENCE, "not back: {error}; {:?}", self.told.lock().expect("told")),
            }
        }
    }

    /// Grabs until none comes: the reason, how long that took, and how many pictures came before.
    pub fn until_ill(&mut self) -> (CameraError, Duration, u32) {
        let (begun, mut passed) = (Instant::now(), 0);
        loop {
            match self.grab() {
                Err(error) => return (error, begun.elapsed(), passed),
                Ok(_) => passed += 1,
            }
            assert!(begun.elapsed() < PATIENCE, "nobody notices");
        }
    }

    /// What it counted.
    pub fn counts(&self) -> CameraCounts {
        self.camera.as_ref().and_then(Camera::counters).expect("it counts").look()
    }

    /// Free buffers.
    pub fn free(&self) -> usize {
        self.pool.free()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.camera.take());
        if let Some(keeper) = self.keeper.take() {
            assert!(keeper.join().is_ok() || std::thread::panicking(), "the keeper panicked");
        }
    }
}

/// A camera that misbehaves as its script says.
pub struct Scripted {
    folder: tempfile::TempDir,
}

impl Scripted {
    /// A well one.
    pub fn new() -> Self {
        let scripted = Self { folder: tempfile::tempdir().expect("a folder") };
        scripted.set("well");
        scripted
    }

    /// From now on it is like this. Replaced as a whole, so that it is never read in half.
    pub fn set(&self, mode: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, mode).and_then(|()| std::fs::rename(&next, self.path())).expect("a script");
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("script")
    }

    /// As a device that takes a picture each `interval_millis`, or for each trigger.
    pub fn device(&self, interval_millis: u64) -> Device {
        Device::Simulated { interval_millis, script: Some(self.path()) }
    }
}

/// A program that stands for a device; killed when dropped.
pub struct Peer(pub Child);

impl Peer {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it was found before"))
    }

    /// Stops it in the middle of whatever it does (SIGSTOP), or lets it go on (SIGCONT).
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).expect("it runs");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// True if `program` can be started with `argument`. In CI it must.
pub fn is_there(program: &str, argument: &str) -> bool {
    let there =
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "{program} must be there in CI");
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

/// Only one fake GigE camera can listen on this machine's loopback address: its port is fixed by the standard.
pub fn alone(name: &str) -> std::fs::File {
    let lock = std::fs::File::create(std::env::temp_dir().join(name)).expect("a lock");
    lock.lock().expect("it was locked");
    lock
}

/// Where test fixtures lie.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
