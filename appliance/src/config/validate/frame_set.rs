//! `[camera]` or several `[[camera]]`, and `[frame_set]`: which cameras look at one piece, and what two of them say about each other.

use super::super::raw::Section;
use super::super::{CameraSettings, CameraSource, FrameSetSettings};
use super::{camera, refuse_repetition};
use station::units::Micros;
use std::path::Path;
use vision_models::camera::wire::Device;

/// More cameras than this are more than one machine looks through.
pub const CAMERAS_MAX: usize = 8;
/// In which form the section is asked for.
const FORM: &str = "window_millis: how long after the first picture of a piece the last one may come";

/// The cameras in the order of the file, and what is agreed about them if there are several.
pub(super) struct Cameras {
    pub first: CameraSettings,
    pub others: Vec<CameraSettings>,
    pub frame_set: Option<FrameSetSettings>,
}

/// Reads all cameras. `deadline` is the recipe's, if it could be read.
pub(super) fn cameras(root: &Section<'_>, folder: &Path, deadline: Option<Micros>) -> Option<Cameras> {
    let sections = root.one_or_more("camera");
    let several = sections.len() > 1;
    let read: Vec<(&Section<'_>, Option<CameraSettings>)> =
        sections.iter().map(|section| (section, camera::camera(section, folder, several))).collect();
    if sections.is_empty() {
        root.wrong("camera", "there is none", "write a section [camera]");
    }
    if let Some((section, _)) = read.get(CAMERAS_MAX) {
        section.wrong_section(format!("there are more than {CAMERAS_MAX} cameras"), "give the others a station of their own");
    }
    let named: Vec<_> = read.iter().map(|(section, camera)| (*section, camera.as_ref().map(|camera| camera.name.clone()))).collect();
    refuse_repetition(&named, "name", |name| format!("there are two cameras named {name}"), "give each camera a name of its own");
    one_device_each(&read);
    all_see_the_piece(&read);
    let frame_set = frame_set(root, several, deadline);
    let mut cameras = read.into_iter().map(|(_, camera)| camera).collect::<Option<Vec<_>>>()?.into_iter();
    Some(Cameras { first: cameras.next()?, others: cameras.collect(), frame_set: frame_set? })
}

/// The outer `None` means that something is wrong with it.
fn frame_set(root: &Section<'_>, several: bool, deadline: Option<Micros>) -> Option<Option<FrameSetSettings>> {
    if !several && !root.has("frame_set") {
        return Some(None);
    }
    if several && !root.has("frame_set") {
        root.misses("frame_set", format!("several cameras look at one piece: add a section [frame_set] with {FORM}"));
        return None;
    }
    let section = root.optional_section("frame_set")?;
    let window = section.whole("window_millis", 1..=10_000_u64);
    // One rule, so that whoever reads the file knows what happens; there is none by which a piece passes that not all have seen.
    section.choice_or("missing_member", &[("hold", ())], ())?;
    let free_run = section.has("free_run_per_second").then(|| section.real("free_run_per_second", 0.01..=1000.0));
    if !several {
        section.wrong_section("one camera is no frame set", "write each camera as a section [[camera]], or remove [frame_set]");
        return None;
    }
    let window = Micros::from_millis(window?);
    if deadline.is_some_and(|deadline| window >= deadline) {
        let what = "a piece is a hold before its last picture may come";
        section.wrong("window_millis", what, "write less than recipe.verdict_deadline_millis");
    }
    Some(Some(FrameSetSettings { window, free_run_per_second: free_run.map_or(Some(None), |rate| rate.map(Some))? }))
}

/// A device has one master, and two pictures of one view are one view.
fn one_device_each(cameras: &[(&Section<'_>, Option<CameraSettings>)]) {
    let device = |camera: &CameraSettings| match &camera.source {
        CameraSource::Live(source) => address(&source.device),
        _ => None,
    };
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (section, camera) in cameras {
        let Some(camera) = camera else { continue };
        let Some((key, own)) = device(camera) else { continue };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == own) {
            section.wrong(key, format!("{own} is the device of {first} already"), "name another device, or remove this camera");
        }
        seen.push((own, &camera.name));
    }
}

/// The key that names a device, and what it says. A film or stripes may be shown twice.
fn address(device: &Device) -> Option<(&'static str, String)> {
    match device {
        Device::Gige { camera, .. } => Some(("camera", camera.clone())),
        Device::Rtsp { url, .. } => Some(("url", url.clone())),
        Device::V4l2 { path, .. } => Some(("path", path.display().to_string())),
        Device::Video { .. } | Device::Simulated { .. } => None,
    }
}

/// Beside a device, a camera that shows recorded or drawn pictures would never show the same piece.
fn all_see_the_piece(cameras: &[(&Section<'_>, Option<CameraSettings>)]) {
    let is_live = |camera: &CameraSettings| matches!(camera.source, CameraSource::Live(_));
    let Some(first) = cameras.iter().find_map(|(_, camera)| camera.as_ref()) else { return };
    for (section, camera) in cameras {
        let Some(camera) = camera.as_ref().filter(|camera| is_live(camera) != is_live(first)) else { continue };
        let what = format!("{} and {} never see the same piece: one is a device, one shows pictures of its own", first.name, camera.name);
        section.wrong("kind", what, "make a frame set of devices, or one of recorded or drawn pictures");
    }
}
