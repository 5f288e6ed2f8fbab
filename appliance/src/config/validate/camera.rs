//! `[camera]`: which keys belong to which kind, and what cannot be meant.

use super::super::raw::Section;
use super::super::{CameraSettings, CameraSource, LiveSource, OwnModel};
use super::path;
use std::net::IpAddr;
use std::path::Path;
use vision_models::camera::wire::{Device, TriggerMode};
use vision_models::frame::PixelFormat;

/// Grey levels that a picture has at least between its darkest and its brightest hundredth if the file does not say. A dark
/// sensor's noise has three.
const CONTRAST_MIN: u8 = 8;
/// A picture larger than this has no buffer: 64 megapixels.
const SIDE_MAX: u32 = 8192;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Generated,
    Folder,
    Replay,
    Video,
    V4l2,
    Rtsp,
    Gige,
    Simulated,
}

const KINDS: [(&str, Kind); 8] = [
    ("generated", Kind::Generated),
    ("folder", Kind::Folder),
    ("replay", Kind::Replay),
    ("video", Kind::Video),
    ("v4l2", Kind::V4l2),
    ("rtsp", Kind::Rtsp),
    ("gige", Kind::Gige),
    ("simulated", Kind::Simulated),
];

/// Reads one camera; `in_set`, if it is one of several.
pub(super) fn camera(section: &Section<'_>, folder: &Path, in_set: bool) -> Option<CameraSettings> {
    let name = section.text("name", "1 to 7 lower-case letters and digits, for example \"cam0\"");
    let fits = |name: &&str| name.len() <= 7 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if name.is_some_and(|name| !fits(&name)) {
        section.wrong("name", "this does not fit into the name of a thread", "write 1 to 7 lower-case letters and digits");
    }
    let contrast_min = section.whole_or("contrast_min", 0..=200_u8, CONTRAST_MIN);
    let source = match section.choice("kind", &KINDS) {
        Some(Kind::Generated) => {
            let seed = section.whole("seed", 0..=i64::MAX).map(i64::unsigned_abs);
            let bad_share = section.real("bad_share", 0.0..=1.0);
            Some(CameraSource::Generated { seed: seed?, bad_share: bad_share? })
        }
        Some(Kind::Folder) => path(section, "path", "the folder of pictures", folder).map(|path| CameraSource::Folder { path }),
        Some(Kind::Replay) => path(section, "path", "the folder of pictures", folder).map(|path| CameraSource::Replay { path }),
        Some(kind) => live(section, kind, folder).map(CameraSource::Live),
        None => {
            section.open_ended();
            None
        }
    };
    let free_run_per_second =
        if section.has("free_run_per_second") { section.real("free_run_per_second", 0.01..=1000.0).map(Some) } else { Some(None) };
    if in_set && section.has("free_run_per_second") {
        let mend = "write free_run_per_second in [frame_set]";
        section.wrong("free_run_per_second", "the cameras of a frame set take their pictures together", mend);
    }
    let own_model = own_model(section, folder, in_set);
    Some(CameraSettings {
        name: name.filter(fits)?.to_owned(),
        contrast_min: contrast_min?,
        source: source?,
        free_run_per_second: free_run_per_second?,
        own_model: own_model?,
    })
}

/// The outer `None` means that it is there and wrong.
fn own_model(section: &Section<'_>, folder: &Path, in_set: bool) -> Option<Option<OwnModel>> {
    if !in_set && !section.has("package") && !section.has("variant") {
        return Some(None);
    }
    let package = section.optional_text("package", "the folder of the model package that looks at this camera's pictures");
    let variant = section.optional_text("variant", "the name of a variant of this camera's package, or \"fastest\"");
    match (package?, variant?) {
        (Some(_), _) if !in_set => {
            section.wrong("package", "there is one camera, and [model] says what looks at its pictures", "write package in [model]");
            None
        }
        (None, Some(_)) => {
            section.wrong("variant", "it belongs to a package of this camera's own", "add package, or write variant in [model]");
            None
        }
        (package, variant) => {
            let own = |package| OwnModel { package: folder.join(package), variant: variant.map(str::to_owned) };
            Some(package.map(own))
        }
    }
}

fn live(section: &Section<'_>, kind: Kind, folder: &Path) -> Option<LiveSource> {
    let device = device(section, kind, folder);
    let trigger = trigger(section, kind);
    let width = section.whole("width_pixels", 16..=SIDE_MAX);
    let height = section.whole("height_pixels", 16..=SIDE_MAX);
    let formats = [("mono8", PixelFormat::Mono8), ("rgb8", PixelFormat::Rgb8), ("bgr8", PixelFormat::Bgr8)];
    let pixel_format = section.choice_or("pixel_format", &formats, PixelFormat::Mono8);
    let golden = section.optional_text("golden", "the path of a picture of a faultless piece");
    let frame_deadline = section.whole("frame_deadline_millis", 5..=10_000_u64);
    // Two keys that belong to one kind of trigger each; with the other they would promise what is not done.
    let early = if trigger == Some(TriggerMode::Hardware) { section.whole("early_millis", 0..=10_000) } else { Some(0) };
    let delay = if trigger == Some(TriggerMode::FreeRun) { section.whole("delay_millis", 0..=10_000) } else { Some(0) };
    let open_deadline = section.whole_or("open_deadline_millis", 200..=60_000_u64, open_deadline(device.as_ref()));
    let reconnect_max = section.whole_or("reconnect_max_millis", 50..=60_000_u64, 500);
    let program = section.optional_text("program", "the path of jidoka-camera");
    if trigger.is_none() {
        section.open_ended();
    }
    Some(LiveSource {
        device: device?,
        trigger: trigger?,
        width_pixels: width?,
        height_pixels: height?,
        pixel_format: pixel_format?,
        golden: golden?.map(|path| folder.join(path)),
        frame_deadline_millis: frame_deadline?,
        early_millis: early?,
        delay_millis: delay?,
        open_deadline_millis: open_deadline?,
        reconnect_max_millis: reconnect_max?,
        program: program?.map(|path| folder.join(path)),
    })
}

/// How long a device may take to open if the file does not say. A driver that hangs meanwhile is ended after it; with the wait
/// before the next try that is less than two seconds, except where the device itself takes longer: a GigE camera is looked for by
/// its name for a second, and a stream may begin with the next whole picture.
fn open_deadline(device: Option<&Device>) -> u64 {
    match device {
        Some(Device::Gige { camera, .. }) if camera.parse::<IpAddr>().is_err() => 3000,
        Some(Device::Rtsp { .. }) => 5000,
        _ => 1400,
    }
}

fn trigger(section: &Section<'_>, kind: Kind) -> Option<TriggerMode> {
    let words = [("software", TriggerMode::Software), ("hardware", TriggerMode::Hardware), ("free_run", TriggerMode::FreeRun)];
    let trigger = section.choice("trigger", &words)?;
    let can = match kind {
        Kind::Gige => true,
        Kind::Video | Kind::Simulated => trigger != TriggerMode::Hardware,
        _ => trigger == TriggerMode::FreeRun,
    };
    if !can {
        let mend = match kind {
            Kind::Video | Kind::Simulated => "write \"software\" or \"free_run\"",
            _ => "write \"free_run\" and delay_millis; a camera that is to be triggered is one for GigE Vision",
        };
        section.wrong("trigger", "this kind of camera cannot be triggered so", mend);
        return None;
    }
    Some(trigger)
}

fn device(section: &Section<'_>, kind: Kind, folder: &Path) -> Option<Device> {
    match kind {
        Kind::Gige => {
            let camera = section.text("camera", "its address, or its name as `arv-tool-0.8` prints it");
            let packet_bytes = section.optional_whole("packet_bytes", 576..=65_535_u32);
            let exposure = section.has("exposure_micros").then(|| section.real("exposure_micros", 1.0..=10_000_000.0));
            let gain = section.has("gain").then(|| section.real("gain", 0.0..=1000.0));
            let (exposure_micros, gain) =
                (exposure.map_or(Some(None), |read| read.map(Some)), gain.map_or(Some(None), |read| read.map(Some)));
            Some(Device::Gige { camera: camera?.to_owned(), packet_bytes: packet_bytes?, exposure_micros: exposure_micros?, gain: gain? })
        }
        Kind::Rtsp => rtsp(section, folder),
        Kind::Video => path(section, "path", "the video file", folder).map(|path| Device::Video { path }),
        Kind::V4l2 => {
            let path = path(section, "path", "the device, for example \"/dev/v4l/by-id/…\"", folder);
            let frames_per_sec = section.whole("frames_per_sec", 1..=1000_u32);
            Some(Device::V4l2 { path: path?, frames_per_sec: frames_per_sec? })
        }
        Kind::Simulated => {
            let interval_millis = section.whole_or("interval_millis", 1..=10_000_u64, 40);
            let script = section.optional_text("script", "a file whose first word is how it misbehaves");
            Some(Device::Simulated { interval_millis: interval_millis?, script: script?.map(|path| folder.join(path)) })
        }
        Kind::Generated | Kind::Folder | Kind::Replay => None,
    }
}

fn rtsp(section: &Section<'_>, folder: &Path) -> Option<Device> {
    let form = "the stream's address, for example \"rtsp://192.168.7.20:554/stream1\"";
    let url = section.text("url", form).filter(|url| {
        let rest = url.strip_prefix("rtsp://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        // The address itself may hold the password that must not be shown: it is not repeated here.
        let wrong = if authority.is_empty() || url.contains(char::is_whitespace) {
            Some(("this is not the address of a stream", format!("write {form}")))
        } else if authority.contains('@') {
            Some(("a name or password in an address ends up in logs", "write user, and password_file with the password in it".to_owned()))
        } else {
            None
        };
        let fits = wrong.is_none();
        if let Some((what, mend)) = wrong {
            section.wrong("url", what, mend);
        }
        fits
    });
    let user = section.optional_text("user", "the name that the stream asks for");
    let password_file = section.optional_text("password_file", "a file whose first line is the password");
    if user.is_some_and(|user| user.is_some()) != password_file.is_some_and(|file| file.is_some()) {
        section.wrong("user", "user and password_file belong together", "write both or none");
    }
    let latency_millis = section.whole_or("latency_millis", 0..=5000_u32, 50);
    let tcp = section.choice_or("transport", &[("tcp", true), ("udp", false)], true);
    Some(Device::Rtsp {
        url: url?.to_owned(),
        user: user?.map(ToOwned::to_owned),
        password_file: password_file?.map(|path| folder.join(path)),
        latency_millis: latency_millis?,
        tcp: tcp?,
    })
}
