//! Streams: an RTSP server that is not ours, a video file, and a device of the kernel that is not there.

mod rig;

use rig::{Peer, Rig, fixture, is_there, settings};
use rustix::process::Signal;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vision_models::camera::CameraError;
use vision_models::camera::live::LiveSettings;
use vision_models::camera::wire::{Device, TriggerMode};

/// Debian's own Python: it has GStreamer's bindings.
const PYTHON: &str = "/usr/bin/python3";
const ROUNDS: usize = 3;

fn has_rtsp() -> bool {
    let ask = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let there = Command::new(PYTHON).args(["-c", ask]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "gir1.2-gst-rtsp-server-1.0 must be there in CI");
    if !there {
        println!("skipped: gir1.2-gst-rtsp-server-1.0 is not installed");
    }
    there
}

/// A server, and the port that it listens on.
fn server(port: u16, pattern: &str, person: &[&str]) -> (Peer, u16) {
    let mut command = Command::new(PYTHON);
    command.arg(fixture("rtsp_server.py")).arg(port.to_string()).arg(pattern).args(person).stdout(Stdio::piped());
    let mut peer = Peer::start(&mut command);
    let mut line = String::new();
    let said = peer.0.stdout.take().expect("a pipe");
    std::io::BufReader::new(said).read_line(&mut line).expect("it speaks");
    (peer, line.trim().parse().expect("a port"))
}

fn stream(port: u16, person: Option<(&str, PathBuf)>) -> LiveSettings {
    let (user, password_file) = person.map(|(user, file)| (user.to_owned(), file)).unzip();
    let url = format!("rtsp://127.0.0.1:{port}/line");
    let mut settings = settings(Device::Rtsp { url, user, password_file, latency_millis: 0, tcp: true }, TriggerMode::FreeRun, 160, 120);
    settings.open_deadline_micros = 5_000_000;
    settings
}

fn wait_told(rig: &mut Rig, words: &str) {
    let begun = std::time::Instant::now();
    while !rig.told.lock().expect("told").iter().flatten().any(|told| told.contains(words)) {
        assert!(rig.grab().is_err(), "a picture, although `{words}`");
        assert!(begun.elapsed() < rig::PATIENCE, "{:?}", rig.told.lock());
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_that_is_frozen_or_gone_is_noticed_and_comes_back() {
    if !has_rtsp() {
        return;
    }
    let (mut peer, port) = server(0, "snow", &[]);
    let mut rig = Rig::new(stream(port, None));
    rig.until_well();
    for _ in 0..ROUNDS {
        peer.signal(Signal::STOP);
        rig.until_ill();
        assert!(rig.grab().is_err(), "a frozen stream gives no picture");
        peer.signal(Signal::CONT);
        rig.until_well();
        drop(peer);
        rig.until_ill();
        assert!(rig.grab().is_err(), "a stream that is gone gives no picture");
        peer = server(port, "snow", &[]).0;
        rig.until_well();
    }
    println!("{}", rig.counts());
}

#[test]
fn a_dark_stream_is_blank_and_one_of_another_size_refused() {
    if !has_rtsp() {
        return;
    }
    let (_peer, port) = server(0, "black", &[]);
    let mut rig = Rig::new(stream(port, None));
    let begun = std::time::Instant::now();
    while !matches!(rig.grab(), Err(CameraError::Blank { contrast: 0, .. } | CameraError::Stale { .. })) {
        assert!(begun.elapsed() < rig::PATIENCE, "{:?}", rig.told.lock());
    }
    assert_eq!(rig.counts().pieces, 0);
    let mut wide = stream(port, None);
    wide.order.width = 320;
    wait_told(&mut Rig::new(wide), "160x120 mono8, and 320x120 mono8 was expected");
}

#[test]
fn a_password_opens_the_stream_and_is_never_said() {
    if !has_rtsp() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, "open-sesame\n").expect("written");
    std::fs::write(&wrong, "close-barley\n").expect("written");
    let (_peer, port) = server(0, "snow", &["line", "open-sesame"]);
    let mut rig = Rig::new(stream(port, Some(("line", wrong))));
    let begun = std::time::Instant::now();
    while rig.told.lock().expect("told").is_empty() {
        assert!(rig.grab().is_err(), "a picture with a wrong password");
        assert!(begun.elapsed() < rig::PATIENCE);
        std::thread::yield_now();
    }
    let told = format!("{:?} {:?}", rig.told.lock().expect("told"), rig.counts());
    assert!(!told.contains("barley"), "{told}");
    Rig::new(stream(port, Some(("line", right)))).until_well();
    wait_told(&mut Rig::new(stream(port, Some(("line", folder.path().join("none"))))), "cannot be read");
}

/// Makes a file with 30 different pictures, if GStreamer's tools are here.
fn film(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("film.avi");
    if !is_there("gst-launch-1.0", "--version") {
        return None;
    }
    let made = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "num-buffers=30", "pattern=snow", "!", "video/x-raw,format=I420,width=160,height=120,framerate=25/1"])
        .args(["!", "jpegenc", "!", "avimux", "!", "filesink"])
        .arg(format!("location={}", path.display()))
        .status();
    assert!(made.is_ok_and(|status| status.success()), "gst-launch-1.0 makes a film");
    Some(path)
}

#[test]
fn a_video_file_gives_each_picture_once_and_begins_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(path) = film(folder.path()) else { return };
    let mut triggered = settings(Device::Video { path: path.clone() }, TriggerMode::Software, 160, 120);
    triggered.frame_deadline_micros = 10_000_000;
    let mut rig = Rig::new(triggered.clone());
    rig.until_well();
    for number in 2..=75 {
        let frame = rig.grab().expect("a picture");
        assert_eq!(frame.number(), number, "each picture once, two and a half rounds");
    }
    let mut rig = Rig::new(settings(Device::Video { path }, TriggerMode::FreeRun, 160, 120));
    rig.until_well();
    triggered.order.device = Device::Video { path: folder.path().join("none.avi") };
    wait_told(&mut Rig::new(triggered), "not found");
}

#[test]
fn a_device_of_the_kernel_that_is_not_there_is_told() {
    let device = Device::V4l2 { path: PathBuf::from("/dev/none-video"), frames_per_sec: 30 };
    wait_told(&mut Rig::new(settings(device, TriggerMode::FreeRun, 640, 480)), "there is no /dev/none-video");
    // Something else than a camera is none.
    let device = Device::V4l2 { path: PathBuf::from("/dev/null"), frames_per_sec: 30 };
    let mut rig = Rig::new(settings(device, TriggerMode::FreeRun, 640, 480));
    let begun = std::time::Instant::now();
    while rig.told.lock().expect("told").is_empty() {
        assert!(rig.grab().is_err());
        assert!(begun.elapsed() < rig::PATIENCE);
        std::thread::yield_now();
    }
    println!("{:?}", rig.told.lock());
}
