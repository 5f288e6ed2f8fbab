//! A GigE camera that is not ours: Debian's fake one, triggered and running freely, killed and frozen.
//!
//! There can be only one on a machine: GVCP's port is fixed by the standard, and the fake camera listens at an address of a
//! network interface, of which the loopback one has a single one. So the tests take turns behind the lock of a file, which
//! also holds between two runs of them on one machine.

mod rig;

use rig::{PATIENCE, Peer, Rig, alone, is_there, settings};
use rustix::process::Signal;
use std::fs::File;
use std::process::Command;
use std::time::Instant;
use vision_models::camera::CameraError;
use vision_models::camera::live::LiveSettings;
use vision_models::camera::wire::{Device, TriggerMode};
use vision_models::frame::{Frame, PixelFormat};

const FAKE: &str = "arv-fake-gv-camera-0.8";
/// Each costs some seconds; `make bench ONLY=cameras` does two hundred.
const ROUNDS: usize = 3;

/// The right to have the fake camera, if it is installed.
fn turn() -> Option<File> {
    is_there(FAKE, "--help").then(|| alone("jidoka-fake-gige.lock"))
}

fn fake() -> Peer {
    Peer::start(Command::new(FAKE).args(["-i", "127.0.0.1", "-s", "JIDOKA1"]))
}

/// One that loses so many of a thousand packets, and sends none again.
fn fake_that_loses(per_thousand: &str) -> Peer {
    Peer::start(Command::new(FAKE).args(["-i", "127.0.0.1", "-s", "JIDOKA1", "-r", per_thousand]))
}

fn camera(trigger: TriggerMode) -> LiveSettings {
    let camera = "127.0.0.1".to_owned();
    // Its picture is black if it is exposed for less than a millisecond.
    let device = Device::Gige { camera, packet_bytes: Some(8000), exposure_micros: Some(10_000.0), gain: None };
    settings(device, trigger, 640, 480)
}

/// So many pictures, of which a starved machine may lose some.
fn pictures(rig: &mut Rig, count: usize) -> u64 {
    let (mut given, mut last) = (0, 0);
    let begun = Instant::now();
    while given < count {
        if let Ok(frame) = rig.grab() {
            assert_eq!((frame.width(), frame.height(), frame.format()), (640, 480, PixelFormat::Mono8));
            assert!(frame.number() > last, "{} after {last}: an old picture", frame.number());
            (last, given) = (frame.number(), given + 1);
        }
        assert!(begun.elapsed() < PATIENCE, "{given} of {count}; {}; {:?}", rig.counts(), rig.told.lock());
    }
    last
}

/// Pictures; then none while it is killed; then pictures again.
fn killed_and_started_again(trigger: TriggerMode) {
    let Some(_lock) = turn() else { return };
    let mut peer = fake();
    let mut rig = Rig::new(camera(trigger));
    // The fake camera numbers its pictures from 65400 and, like every one with 16-bit numbers, begins again after 65535.
    let mut last = pictures(&mut rig, if trigger == TriggerMode::FreeRun { 150 } else { 20 });
    for round in 0..ROUNDS {
        drop(peer);
        // What it had sent before may be the newest picture still, but of no piece that is triggered.
        let (error, took, passed) = rig.until_ill();
        assert!(passed <= u32::from(trigger == TriggerMode::FreeRun), "round {round}: {passed} pictures of a camera that is gone");
        assert!(matches!(error, CameraError::Late { .. } | CameraError::Lost { .. }), "round {round}: {error}");
        let begun = Instant::now();
        while !matches!(rig.grab(), Err(CameraError::Lost { .. })) {
            assert!(begun.elapsed() < PATIENCE, "round {round}: it is gone, and nobody says so: {:?}", rig.told.lock());
        }
        peer = fake();
        let back = rig.until_well();
        println!("{trigger:?}: noticed in {took:?} ({error}), back in {back:?}");
        let next = pictures(&mut rig, 5);
        assert!(next > last, "round {round}: {next} after {last}: numbers grow over every loss");
        last = next;
    }
    println!("{trigger:?}: {}", rig.counts());
}

#[test]
fn a_triggered_camera_that_is_killed_gives_nothing_until_it_is_back() {
    killed_and_started_again(TriggerMode::Software);
}

#[test]
fn a_free_running_camera_that_is_killed_gives_nothing_until_it_is_back() {
    killed_and_started_again(TriggerMode::FreeRun);
}

#[test]
fn a_camera_that_is_frozen_gives_nothing_until_it_moves() {
    let Some(_lock) = turn() else { return };
    let peer = fake();
    let mut rig = Rig::new(camera(TriggerMode::Software));
    rig.until_well();
    for _ in 0..ROUNDS {
        peer.signal(Signal::STOP);
        let (error, took, passed) = rig.until_ill();
        assert_eq!(passed, 0, "a frozen camera gives no picture");
        assert!(rig.grab().is_err(), "a frozen camera gives no picture");
        peer.signal(Signal::CONT);
        println!("frozen: noticed in {took:?} ({error}), back in {:?}", rig.until_well());
    }
}

/// Grabs until `words` are told; no picture may come.
fn refused(settings: LiveSettings, words: &str) {
    let mut rig = Rig::new(settings);
    let begun = Instant::now();
    while !rig.told.lock().expect("told").iter().flatten().any(|told| told.contains(words)) {
        assert!(rig.grab().is_err(), "a picture, although `{words}`");
        assert!(begun.elapsed() < PATIENCE, "{words}: {:?}", rig.told.lock());
        std::thread::yield_now();
    }
}

#[test]
fn a_camera_that_is_not_there_is_told_with_what_to_look_at() {
    let Some(_lock) = turn() else { return };
    let agreed = camera(TriggerMode::Software);
    // Nobody listens yet.
    refused(agreed.clone(), "there is no camera at 127.0.0.1: that machine is there, but it is no GigE Vision camera");
    let _peer = fake();
    let mut rig = Rig::new(agreed);
    rig.until_well();
}

/// The fake camera's picture: each row and each column begins one grey level higher than the one before, modulo 255.
fn is_whole(frame: &Frame) -> bool {
    let (pixels, width) = (frame.pixels(), frame.width() as usize);
    let first = usize::from(pixels[0]);
    pixels.iter().enumerate().all(|(at, pixel)| usize::from(*pixel) == (first + at / width + at % width) % 255)
}

#[test]
fn a_picture_that_lost_packets_is_missed_at_once_and_never_given_in_part() {
    let Some(_lock) = turn() else { return };
    let mut peer = fake_that_loses("500");
    refused(camera(TriggerMode::Software), "arrive in part: write a smaller packet_bytes");
    drop(peer);
    // Of 41 packets to a picture all arrive four times in nine.
    peer = fake_that_loses("20");
    let mut agreed = camera(TriggerMode::Software);
    agreed.frame_deadline_micros = 2_000_000;
    let mut rig = Rig::new(agreed);
    let (mut whole, mut broken) = (0, 0);
    let begun = Instant::now();
    while whole < 10 || broken < 3 {
        match rig.grab() {
            Ok(frame) => {
                assert!(is_whole(&frame), "a part of a picture");
                whole += 1;
            }
            Err(CameraError::Lost { reason, .. }) => broken += usize::from(reason.contains("did not arrive whole")),
            // The same pixels under another number, after the camera was opened again; or not even the first packet came.
            Err(CameraError::Stale { .. } | CameraError::Late { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "{whole} whole, {broken} broken: {}; {:?}", rig.counts(), rig.told.lock());
    }
    drop(peer);
}

/// How much redder than blue the pixels of the middle row are.
fn redness(frame: &Frame) -> Vec<i16> {
    let row = frame.pixels().chunks_exact(frame.width() as usize * 3).nth(240).expect("a row");
    let (red, blue) = if frame.format() == PixelFormat::Rgb8 { (0, 2) } else { (2, 0) };
    row.chunks_exact(3).map(|pixel| i16::from(pixel[red]) - i16::from(pixel[blue])).collect()
}

/// The fake camera's colours go from dark blue over green to dark red and begin again with blue. It gives RGB8 and Bayer
/// pictures, but no BGR8. (Its BayerRG8 and BayerBG8 have red and blue exchanged; the two that are tried first are right.)
#[test]
fn colours_come_as_they_are_or_are_made_from_bayer_pictures() {
    let Some(_lock) = turn() else { return };
    let _peer = fake();
    for format in [PixelFormat::Rgb8, PixelFormat::Bgr8] {
        let mut agreed = camera(TriggerMode::Software);
        agreed.order.format = format;
        let mut rig = Rig::new(agreed);
        let begun = Instant::now();
        let frame = loop {
            if let Ok(frame) = rig.grab() {
                break frame;
            }
            assert!(begun.elapsed() < PATIENCE, "{format:?}: {:?}", rig.told.lock());
        };
        assert_eq!(frame.format(), format);
        let redness = redness(&frame);
        let steps = |from: i16, to: i16| redness.windows(7).filter(|row| row[0] * from > 60 && row[6] * to > 60).count();
        assert!(steps(1, -1) >= 2, "{format:?}: no step from red to blue: {redness:?}");
        assert_eq!(steps(-1, 1), 0, "{format:?}: a step from blue to red: {redness:?}");
    }
}
