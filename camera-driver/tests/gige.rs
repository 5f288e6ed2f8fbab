//! A GigE camera that is not ours: Debian's fake one, killed, frozen and asked for the wrong size.

mod rig;

use rig::{Peer, Rig, alone, is_there, settings};
use rustix::process::Signal;
use std::process::Command;
use vision_models::camera::wire::{Device, TriggerMode};
use vision_models::frame::PixelFormat;

const FAKE: &str = "arv-fake-gv-camera-0.8";
/// Each costs some seconds; `make bench ONLY=camera-driver` does two hundred.
const ROUNDS: usize = 3;

fn fake() -> Peer {
    Peer::start(Command::new(FAKE).args(["-i", "127.0.0.1", "-s", "JIDOKA1"]))
}

fn device() -> Device {
    Device::Gige { camera: "127.0.0.1".to_owned(), packet_bytes: Some(8000), exposure_micros: Some(10_000.0), gain: None }
}

#[test]
fn a_gige_camera_is_triggered_pulled_frozen_and_of_the_agreed_size() {
    if !is_there(FAKE, "--help") {
        return;
    }
    let _lock = alone("jidoka-fake-gige.lock");
    let mut peer = fake();
    let mut rig = Rig::new(settings(device(), TriggerMode::Software, 640, 480));
    rig.until_well();
    let (mut given, mut last) = (0, 0);
    for _ in 0..40 {
        if let Ok(frame) = rig.grab() {
            assert_eq!((frame.width(), frame.height(), frame.format()), (640, 480, PixelFormat::Mono8));
            assert!(frame.number() > last, "one picture for each trigger");
            (last, given) = (frame.number(), given + 1);
        }
    }
    // A starved machine may lose pictures, and then says so; most come.
    assert!(given >= 20, "{given} of 40; {}", rig.counts());
    for _ in 0..ROUNDS {
        peer.signal(Signal::STOP);
        let (error, noticed, passed) = rig.until_ill();
        assert_eq!(passed, 0, "a frozen camera gives no picture");
        assert!(rig.grab().is_err());
        peer.signal(Signal::CONT);
        println!("frozen: noticed in {noticed:?} ({error}), back in {:?}", rig.until_well());
        drop(peer);
        assert!(rig.grab().is_err(), "a camera that is gone gives no picture");
        peer = fake();
        println!("pulled: back in {:?}", rig.until_well());
    }
    println!("{}", rig.counts());
    drop(rig);

    let mut colour = settings(device(), TriggerMode::FreeRun, 320, 240);
    colour.order.format = PixelFormat::Rgb8;
    let mut rig = Rig::new(colour);
    rig.until_well();
    drop(rig);

    // The fake sensor has 2048 x 2048 pixels.
    let mut rig = Rig::new(settings(device(), TriggerMode::Software, 4096, 480));
    let begun = std::time::Instant::now();
    let refused =
        |rig: &Rig| rig.told.lock().expect("told").iter().flatten().any(|told| told.contains("4096x480") || told.contains("set up"));
    while !refused(&rig) {
        assert!(rig.grab().is_err(), "a picture of another size");
        assert!(begun.elapsed() < rig::PATIENCE, "{:?}", rig.told.lock());
    }
}
