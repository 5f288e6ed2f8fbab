//! Every way in which a camera fails, 200 times each, through the real program: noticed, nothing passed, back again.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod rig;

use rig::{Rig, Scripted, settings};
use std::time::Duration;
use vision_models::camera::CameraError;
use vision_models::camera::wire::TriggerMode;

const ROUNDS: usize = 200;
/// Cameras that fail beside each other.
const RIGS: usize = 10;

/// Does `ill` to a camera and `well` again, 200 times in all, and asks for pictures all the while.
fn rounds(ill: &'static str, trigger: TriggerMode, is_it: fn(&CameraError) -> bool) {
    let one = move || {
        let scripted = Scripted::new();
        let mut rig = Rig::new(settings(scripted.device(10), trigger, 64, 48));
        rig.until_well();
        let (mut known, mut worst) = (0, (0, 0));
        for round in 0..ROUNDS / RIGS {
            scripted.set(ill);
            let (error, took, passed) = rig.until_ill();
            worst.0 = worst.0.max(took.as_millis());
            // A machine that is too busy to take the picture at all has noticed as well.
            known += usize::from(is_it(&error));
            assert!(is_it(&error) || is_away(&error), "round {round}: {error}");
            // A free run may have a picture under way that was taken before.
            let allowed = u32::from(trigger == TriggerMode::FreeRun);
            assert!(passed <= allowed, "round {round}: {passed} pictures of a camera that is {ill}");
            for _ in 0..2 {
                assert!(rig.grab().is_err(), "round {round}: a picture of a camera that is {ill}");
            }
            scripted.set("well");
            worst.1 = worst.1.max(rig.until_well().as_millis());
        }
        println!("{{\"fault\":\"{ill}\",\"trigger\":\"{trigger:?}\",\"detected_millis_max\":{},\"back_millis_max\":{}}}", worst.0, worst.1);
        assert!(known * 2 > ROUNDS / RIGS, "the fault was known for what it is only {known} times");
        let counts = rig.counts();
        assert!(counts.missed >= u64::try_from(3 * ROUNDS / RIGS).unwrap(), "{counts}");
        assert_eq!(counts.trouble, None);
        assert!(rig.free() == 4 || trigger == TriggerMode::FreeRun && rig.free() >= 2, "every buffer is back, but for the newest picture");
    };
    let rigs: Vec<_> = (0..RIGS).map(|_| std::thread::spawn(one)).collect();
    rigs.into_iter().for_each(|rig| rig.join().unwrap());
}

fn is_away(error: &CameraError) -> bool {
    matches!(error, CameraError::Lost { .. } | CameraError::Late { .. })
}

#[test]
fn a_pulled_camera_is_lost_and_comes_back() {
    rounds("pulled", TriggerMode::Software, is_away);
}

#[test]
fn a_driver_that_hangs_is_ended_and_started_again() {
    rounds("hang", TriggerMode::Software, is_away);
}

#[test]
fn a_driver_that_crashes_is_started_again() {
    rounds("crash", TriggerMode::Software, is_away);
}

#[test]
fn a_frozen_picture_is_stale() {
    rounds("stale", TriggerMode::Software, |error| matches!(error, CameraError::Stale { .. }));
    rounds("stale", TriggerMode::FreeRun, |error| matches!(error, CameraError::Stale { .. }));
}

/// The picture that it repeats is one that no piece got: only who hears every picture knows it.
#[test]
fn a_free_run_that_froze_gives_not_even_a_picture_that_nobody_looked_at() {
    let scripted = Scripted::new();
    let mut rig = Rig::new(settings(scripted.device(10), TriggerMode::FreeRun, 64, 48));
    let wait_pictures = |rig: &Rig, more: u64| {
        let (begun, until) = (std::time::Instant::now(), rig.counts().frames + more);
        while rig.counts().frames < until {
            assert!(begun.elapsed() < rig::PATIENCE, "{}", rig.counts());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for round in 0..20 {
        rig.until_well();
        wait_pictures(&rig, 2);
        scripted.set("stale");
        // One may have been under way.
        wait_pictures(&rig, 3);
        let error = rig.grab().unwrap_err();
        assert!(matches!(error, CameraError::Stale { same: "same number", .. }), "round {round}: {error}");
        scripted.set("well");
    }
}

#[test]
fn a_black_picture_is_blank() {
    rounds("black", TriggerMode::Software, |error| matches!(error, CameraError::Blank { contrast: 0..=2, .. }));
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let is_it =
        |error: &CameraError| matches!(error, CameraError::Size { found, expected, .. } if found.height == 47 && expected.height == 48);
    rounds("size", TriggerMode::Software, is_it);
}

#[test]
fn a_slow_camera_is_late() {
    rounds("slow 900", TriggerMode::Software, is_away);
}

#[test]
fn a_camera_that_answers_but_takes_no_pictures_is_opened_again() {
    let scripted = Scripted::new();
    let mut rig = Rig::new(settings(scripted.device(10), TriggerMode::Software, 64, 48));
    rig.until_well();
    scripted.set("mute");
    for _ in 0..3 {
        assert!(matches!(rig.grab().unwrap_err(), CameraError::Late { millis: 300, .. }));
    }
    rig.until_ill();
    scripted.set("well");
    rig.until_well();
    let told = rig.told.lock().unwrap().clone();
    assert!(told.iter().flatten().any(|reason| reason.contains("gave 3 pieces in a row no picture")), "{told:?}");
}

/// A loose plug: the camera comes and goes while pieces come. Whatever is given is a picture of its own piece.
#[test]
fn a_flapping_camera_passes_nothing_old() {
    let scripted = Scripted::new();
    let mut rig = Rig::new(settings(scripted.device(10), TriggerMode::Software, 64, 48));
    rig.until_well();
    let (mut given, mut last) = (0, 0);
    for round in 0..ROUNDS {
        scripted.set(if round % 2 == 0 { "pulled" } else { "well" });
        for _ in 0..2 {
            if let Ok(frame) = rig.grab() {
                assert_eq!(round % 2, 1, "a picture of a camera that is pulled");
                assert!(frame.number() > last, "numbers grow over every loss");
                last = frame.number();
                given += 1;
            }
            // Until it is away, or back, or neither within a moment.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    println!("{given} pictures: {}", rig.counts());
    scripted.set("well");
    rig.until_well();
}

/// What is printed instead of pictures ends the program that prints it.
#[test]
fn a_program_that_babbles_is_no_camera() {
    let folder = tempfile::tempdir().unwrap();
    let babbler = folder.path().join("babbler");
    std::fs::write(&babbler, "#!/bin/sh\nyes picture\n").unwrap();
    std::fs::set_permissions(&babbler, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let scripted = Scripted::new();
    let mut settings = settings(scripted.device(10), TriggerMode::Software, 64, 48);
    settings.program = babbler;
    let mut rig = Rig::new(settings.clone());
    let heard = |rig: &Rig, words: &str| rig.told.lock().unwrap().iter().flatten().any(|told| told.contains(words));
    let begun = std::time::Instant::now();
    while !heard(&rig, "does not speak the language") {
        assert!(rig.grab().is_err());
        assert!(begun.elapsed() < rig::PATIENCE, "{:?}", rig.told.lock().unwrap());
    }
    settings.program = folder.path().join("none");
    let mut rig = Rig::new(settings);
    while !heard(&rig, "cannot be started") {
        assert!(rig.grab().is_err());
        assert!(begun.elapsed() < rig::PATIENCE);
    }
}
