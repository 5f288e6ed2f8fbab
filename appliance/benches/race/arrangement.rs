//! What is there before the race: the peers and their Python, models, pictures, packages, the PLC's server.

use crate::Done;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vision_models::cut::cut_package;
use vision_models::detector::Detector;
use vision_models::frame::MonoClock;
use vision_models::package::{Package, seal};
use vision_models::runtime::Runtime;

/// Everything that the contestants need, in a folder of its own that is kept for the next time.
pub struct Arrangement {
    pub peers: PathBuf,
    pub python: PathBuf,
    pub folder: PathBuf,
    pub jidoka: PathBuf,
}

impl Arrangement {
    pub fn make() -> Done<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let peers = root.join("../shared/peer/race");
        if !peers.is_dir() {
            return Err(format!("{} is not there", peers.display()).into());
        }
        let venv = root.join(".venv/bin/python3");
        let python = std::env::var_os("PYTHON").map_or(venv, PathBuf::from);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("race");
        fs::create_dir_all(&folder)?;
        let jidoka = std::env::var_os("JIDOKA").map_or_else(|| env!("CARGO_BIN_EXE_jidoka").into(), PathBuf::from);
        let arrangement = Self { peers, python, folder, jidoka };
        arrangement.quiet(&["-c", "import cv2, onnx, onnxruntime, openvino"]).map_err(|error| {
            format!("Python lacks the packages of appliance/benches/requirements.txt (`make bench` installs them): {error}")
        })?;
        arrangement.server()?;
        arrangement.model("s320", 320, "0.08")?;
        arrangement.model("n640", 640, "0.125")?;
        // More than the camera's memory for stale pictures, and no more: they all stay in memory, here and at the peers.
        arrangement.frames("f640", &["--count", "18"])?;
        arrangement.frames("f5mp", &["--count", "18", "--width", "2448", "--height", "2048", "--mono"])?;
        arrangement.package("s320", 320, "f640")?;
        arrangement.package("n640", 640, "f5mp")?;
        arrangement.cut("s320")?;
        Ok(arrangement)
    }

    fn quiet(&self, arguments: &[&str]) -> Done<()> {
        let output = Command::new(&self.python).args(arguments).output().map_err(|error| format!("{}: {error}", self.python.display()))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into()) }
    }

    fn server(&self) -> Done<()> {
        let program = self.folder.join("plc_server");
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "libmodbus"]).output()?;
        let flags = String::from_utf8(flags.stdout)?;
        let mut compiler = Command::new("cc");
        compiler.arg("-O2").arg(self.peers.join("plc_server.c")).args(flags.split_whitespace()).arg("-o").arg(program);
        let built = compiler.stderr(Stdio::null()).status()?;
        if built.success() { Ok(()) } else { Err("plc_server.c does not compile (libmodbus-dev is needed)".into()) }
    }

    fn model(&self, name: &str, size: u32, width: &str) -> Done<()> {
        let (script, to) = (self.peers.join("make_model.py"), self.folder.join(format!("{name}.onnx")));
        if to.is_file() {
            return Ok(());
        }
        self.quiet(&[text(&script)?, text(&to)?, "--size", &size.to_string(), "--width", width])
    }

    fn frames(&self, name: &str, arguments: &[&str]) -> Done<()> {
        let (script, to) = (self.peers.join("make_frames.py"), self.folder.join(name));
        if to.is_dir() {
            return Ok(());
        }
        self.quiet(&[&[text(&script)?, text(&to)?], arguments].concat())
    }

    /// A package around the model whose golden pieces are two of the pictures, so that the gate holds it to its own findings.
    fn package(&self, name: &str, side: u32, frames: &str) -> Done<()> {
        let to = self.folder.join("packages").join(name);
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        fs::create_dir_all(to.join("golden"))?;
        fs::copy(self.folder.join(format!("{name}.onnx")), to.join("model.onnx"))?;
        let pieces = ["good_0000", "bad_0001", "good_0002", "bad_0003"];
        for piece in pieces {
            fs::copy(self.folder.join(frames).join(format!("{piece}.png")), to.join(format!("golden/{piece}.png")))?;
            fs::write(to.join(format!("golden/{piece}.json")), "[]")?;
        }
        fs::write(to.join("model.toml"), manifest(name, side, &pieces))?;
        seal(&to)?;
        let package = Package::open(&to)?;
        let mut detector = Detector::load(&runtime()?, &package.clone().without_goldens(), clock())?;
        for (piece, golden) in pieces.iter().zip(package.goldens()) {
            let found = detector.findings(&golden.test, None)?;
            if found.is_empty() == piece.starts_with("bad") {
                return Err(format!("{name}: {} findings on {piece}", found.len()).into());
            }
            fs::write(to.join(format!("golden/{piece}.json")), serde_json::to_string(&found)?)?;
        }
        seal(&to)?;
        Ok(())
    }

    /// The verdict-first package, and its model beside the others for the bare inference of the same graph.
    fn cut(&self, name: &str) -> Done<()> {
        let (from, to) = (self.folder.join("packages").join(name), self.folder.join("packages").join(format!("{name}-cut")));
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        let ratio = cut_package(&runtime()?, &from, &to, &clock())?;
        eprintln!("{name}: cut verdict first, {:.0} % of its time, same findings on its golden pieces", 100.0 * ratio);
        fs::copy(to.join("model.onnx"), self.folder.join(format!("{name}-cut.onnx")))?;
        Ok(())
    }
}

fn text(path: &Path) -> Done<&str> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

fn runtime() -> Done<Runtime> {
    Ok(Runtime::find()?)
}

fn clock() -> MonoClock {
    let start = Instant::now();
    Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Waits until something listens at a port of this machine.
pub fn until_listening(port: u16) -> Done<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > end {
            return Err(format!("nothing listens at port {port}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn manifest(name: &str, side: u32, pieces: &[&str]) -> String {
    let classes: String = (1..=6).map(|number| format!("[[class]]\nname = \"class {number}\"\nthreshold = 0.5\n")).collect();
    let pieces: String = pieces
        .iter()
        .map(|piece| format!("[[parity.piece]]\ntest = \"golden/{piece}.png\"\nexpected = \"golden/{piece}.json\"\n"))
        .collect();
    format!(
        r#"format = 2
name = "{name}"
version = "1.0.0"
summary = "A stand-in with the cost of a real detector."
pixel_size_mm = 0.1
[input]
name = "images"
layout = "nchw"
planes = ["red", "green", "blue"]
black = 0
white = 255
scale = 0.00392156862745098
offset = 0.0
width_max = {side}
height_max = {side}
multiple = 32
fill = 114
fixed = true
[task.detect]
floor = 0.25
nms_iou = 0.45
nms_iou_across_classes = 0.45
findings_max = 100
[task.detect.head.yolo]
output = "output0"
{classes}[operating_point]
aim = "none"
chosen_on = "made pictures"
[operating_point.measured]
[provenance]
data = "none"
split = "none"
training = "Random weights and a mean."
licence = "Apache-2.0"
data_licence = "none"
[provenance.metrics]
[parity]
score_tolerance = 0.002
box_tolerance_pixels = 1.0
{pieces}[files]
"#
    )
}
