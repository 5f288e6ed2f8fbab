//! `doctor`: looks at everything around the settings, each partner and each port by itself.
//!
//! Invariant: it only reads, from registers as from files; what the running station holds is told as held, not as broken.

use super::{Failure, memory, say};
use crate::cli::Doctor;
use crate::clock::Clock;
use crate::config::{CameraSource, LinkSettings, LiveSource, ServerPort, Settings};
use crate::doctor::{Finding, State, examine, table};
use crate::pipeline::rig::{self, Eye, Rig};
use crate::pipeline::see::chain;
use crate::pipeline::{LineError, at, modbus, runtime};
use plc_bridge::watch::{Board, Watcher};
use station::piece::PieceId;
use station::reading::Quality;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vision_models::camera::wire::Device;
use vision_models::camera::{Camera as _, Layout, Watched};
use vision_models::frame::MonoClock;

/// A PLC counts its heartbeat at least every 250 ms (JMAP v1); two looks this far apart must differ.
const HEARTBEAT_MILLIS: u64 = 400;

/// Bytes that a socket may keep which asks for more (Linux, `man 7 socket`).
const SOCKET_BYTES_MAX: &str = "/proc/sys/net/core/rmem_max";

/// Examines everything around the settings.
pub fn doctor(args: &Doctor) -> Result<(), Failure> {
    let settings = Settings::load(&args.config)?;
    let clock = Clock::new();
    let mut probes: Vec<Box<dyn Fn() -> Finding + '_>> = vec![Box::new(|| eyes(&settings))];
    for camera in settings.cameras() {
        if let CameraSource::Live(source) = &camera.source {
            probes.push(Box::new(move || camera_sees(&camera.name, camera.contrast_min, source, clock)));
        }
    }
    if let Some(plc) = &settings.plc {
        probes.extend(serial_device(&plc.link).map(|probe| Box::new(probe) as Box<dyn Fn() -> Finding>));
        probes.push(Box::new(|| partner(&settings, clock)));
        if plc.commissioning {
            probes.push(Box::new(commissioning));
        }
    }
    for (index, source) in settings.sources.iter().enumerate() {
        probes.extend(serial_device(&source.link).map(|probe| Box::new(probe) as Box<dyn Fn() -> Finding>));
        let settings = &settings;
        probes.push(Box::new(move || source_answers(settings, index, clock)));
    }
    match settings.modbus_server.as_ref().map(|server| &server.listen) {
        Some(ServerPort::Tcp(listen)) => probes.push(Box::new(|| server_port(*listen))),
        Some(ServerPort::Serial { device, .. }) => probes.push(Box::new(|| device_opens(device))),
        None => {}
    }
    let probes: Vec<&dyn Fn() -> Finding> = probes.iter().map(|probe| &**probe).collect();
    let mut findings = examine(&settings, &|| clock.now(), &probes);
    findings.extend(memory::findings(&args.config, &settings));
    if args.json {
        say(&serde_json::to_string(&findings).map_err(at("the findings"))?)?;
    } else {
        say(&table(&findings))?;
    }
    let failed = findings.iter().filter(|finding| finding.state == State::Fail).count();
    if failed == 0 { Ok(()) } else { Err(Failure { text: format!("{failed} things stand in the way"), code: 1 }) }
}

/// Camera, runtime and model: opens all three and lets the model prove itself on its golden pieces.
fn eyes(settings: &Settings) -> Finding {
    match Rig::open(settings) {
        Ok(rig) => {
            let signed = if settings.model.trusted_keys.is_empty() { "no signature asked for" } else { "signed by a trusted key" };
            let seen = rig.eyes().map(|Eye { camera, detector, choice, .. }| {
                let millis = choice.measured.iter().find(|one| one.variant == choice.variant).map_or(0.0, |one| one.millis);
                let (name, package) = (camera.name(), &detector.model().package);
                format!(
                    "{name} sees, {package} proves itself; variant {} ({}), {millis:.1} ms of CPU a picture",
                    choice.variant, choice.reason
                )
            });
            let mut detail = seen.collect::<Vec<_>>().join("; ");
            detail.push_str(", ");
            detail.push_str(signed);
            let warnings: Vec<&str> = rig.eyes().filter_map(|eye| eye.choice.warning.as_deref()).collect();
            if warnings.is_empty() {
                Finding::ok("camera and model", detail)
            } else {
                let detail = format!("{detail}; {}", warnings.join("; "));
                Finding::warn("camera and model", detail, "see the package's maker, or choose [model] variant")
            }
        }
        Err(error) => Finding::fail("camera and model", chain(&error), "mend what is named; scripts/onnxruntime.sh fetches the runtime"),
    }
}

/// A live camera: opens it and takes one picture.
fn camera_sees(name: &str, contrast_min: u8, source: &LiveSource, clock: Clock) -> Finding {
    let what = format!("camera {name}");
    let program = rig::program(source);
    if !program.is_file() {
        let mend = "install jidoka-camera beside jidoka (cargo build -p camera-driver), or name it in camera.program";
        return Finding::fail(what, format!("there is no program {}", program.display()), mend);
    }
    let mono: MonoClock = Arc::new(move || clock.mono_micros());
    let looked = rig::open_live(name, source, &mono).and_then(|(camera, keeper, pool)| {
        let named = name.to_owned();
        let kept = crate::pipeline::spawn("camera", move || rig::keep(keeper, &named))?;
        let at_most = Duration::from_millis(source.open_deadline_millis * 2);
        let open = camera.wait_open(at_most);
        let mut camera = Watched::new(camera).with_contrast_min(contrast_min);
        let picture = open.and_then(|()| camera.grab(PieceId(0), &pool)).map_err(at("no picture"));
        let seen = picture
            .map(|frame| (Layout { width: frame.width(), height: frame.height(), format: frame.format() }, frame.shot().capture_micros));
        drop(camera);
        crate::pipeline::join(kept, &mut Vec::new());
        seen
    });
    match looked {
        Ok((layout, micros)) => {
            let seen = format!("a picture of {layout} in {micros} us");
            let kept = std::fs::read_to_string(SOCKET_BYTES_MAX).ok().and_then(|text| text.trim().parse().ok());
            match kept.filter(|kept| matches!(source.device, Device::Gige { .. }) && is_more_than(layout, *kept)) {
                Some(kept) => Finding::warn(
                    what,
                    format!(
                        "{seen}; it comes in one burst, of which the kernel keeps {kept} bytes: on a busy machine pictures lose packets"
                    ),
                    "write net.core.rmem_max = 8388608 into a file below /etc/sysctl.d, and run `sysctl --system`",
                ),
                None => Finding::ok(what, seen),
            }
        }
        Err(error) => Finding::fail(
            what,
            chain(&error),
            "nothing, if the station is running: a camera has one master; else look at cable, power and light, and at [camera]",
        ),
    }
}

/// True if a picture has more bytes than this.
fn is_more_than(layout: Layout, bytes: usize) -> bool {
    layout.format.bytes(layout.width, layout.height).is_none_or(|picture| picture > bytes)
}

fn commissioning() -> Finding {
    let mend = "write commissioning = false in [plc] when the wiring is proved";
    Finding::warn("commissioning", "test writes are allowed, so `jidoka run` refuses to start", mend)
}

/// The PLC that shakes hands: both blocks, every tag, and a heartbeat that moves.
fn partner(settings: &Settings, clock: Clock) -> Finding {
    const WHAT: &str = "PLC";
    let link = settings.plc.as_ref().map_or_else(String::new, |plc| plc.link.to_string());
    let look = || -> Result<(Board, Board), LineError> {
        let bridge = plc_bridge::Settings { sources: Vec::new(), server: None, ..modbus::bridge(settings, clock)? };
        let mut watcher = Watcher::new(bridge);
        runtime()?.block_on(async {
            let first = watcher.look().await.clone();
            tokio::time::sleep(Duration::from_millis(HEARTBEAT_MILLIS)).await;
            Ok((first, watcher.look().await.clone()))
        })
    };
    let (first, second) = match look() {
        Ok(boards) => boards,
        Err(error) => return Finding::fail(WHAT, chain(&error), "check plc.address and the name server"),
    };
    if let Some(trouble) = second.troubles().next() {
        let mend = "check plc.address, plc.unit_id and the bases, the cable, and that the PLC's Modbus server is on";
        return Finding::fail(WHAT, trouble, mend);
    }
    let beat = |board: &Board| row(board, "PlcHeartbeat").map(|row| row.value.clone());
    let bad = bad_tags(&second);
    if beat(&first) == beat(&second) {
        let detail = format!("{link} answers, but PlcHeartbeat stands still, so it will not be trusted");
        Finding::warn(WHAT, detail, "let the PLC's program count PlcHeartbeat; `jidoka plc symbols --format fb` has the code")
    } else if !bad.is_empty() {
        Finding::warn(
            WHAT,
            format!("{link} answers; bad: {}", bad.join(", ")),
            "`jidoka plc watch --config FILE` shows each with its reason",
        )
    } else {
        Finding::ok(WHAT, format!("{link} answers, its heartbeat moves"))
    }
}

fn source_answers(settings: &Settings, index: usize, clock: Clock) -> Finding {
    let Some(listed) = settings.sources.get(index) else { return Finding::ok("source", "none") };
    let what = format!("source {}", listed.name);
    let look = || -> Result<Board, LineError> {
        let source = modbus::source(listed, settings.handshake.order())?;
        let bridge =
            plc_bridge::Settings { sources: vec![source], order: settings.handshake.order(), ..plc_bridge::Settings::alone(clock.as_fn()) };
        Ok(runtime()?.block_on(async { Watcher::new(bridge).look().await.clone() }))
    };
    let board = match look() {
        Ok(board) => board,
        Err(error) => return Finding::fail(what, chain(&error), "check its address and the name server"),
    };
    if let Some(trouble) = board.troubles().next() {
        return Finding::fail(what, trouble, "check its address and unit_id, the cable, and that its Modbus server is on");
    }
    let bad = bad_tags(&board);
    if bad.is_empty() {
        Finding::ok(what, format!("{} answers with {} tags", listed.link, listed.tags.len()))
    } else {
        let mend = "`jidoka plc watch --config FILE` shows each with its reason";
        Finding::warn(what, format!("{} answers; bad: {}", listed.link, bad.join(", ")), mend)
    }
}

fn row<'a>(board: &'a Board, name: &str) -> Option<&'a plc_bridge::watch::Row> {
    board.sections.iter().flat_map(|section| &section.rows).find(|row| &*row.name == name)
}

fn bad_tags(board: &Board) -> Vec<&str> {
    let rows = board.sections.iter().flat_map(|section| &section.rows);
    rows.filter(|row| row.quality == Quality::Bad).map(|row| &*row.name).collect()
}

fn serial_device(link: &LinkSettings) -> Option<impl Fn() -> Finding + use<'_>> {
    let LinkSettings::Serial { device, .. } = link else { return None };
    Some(|| device_opens(device))
}

/// A serial device can be opened without a word to anybody on its wires.
fn device_opens(device: &Path) -> Finding {
    let what = format!("serial {}", device.display());
    let opened = std::fs::metadata(device)
        .and_then(|found| OpenOptions::new().read(true).write(true).open(device).map(|_| found.file_type().is_char_device()));
    match opened {
        Ok(true) => Finding::ok(what, "can be opened"),
        Ok(false) => {
            Finding::fail(what, "is not a serial device", "correct `serial`; `ls -l /dev/serial/by-id` names those that are there")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mend = "plug the adapter in, or correct `serial`; a name from /dev/serial/by-id stays the same over restarts";
            Finding::fail(what, "does not exist", mend)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::fail(
            what,
            "may not be opened by this user",
            "add the station's user to the group of the device: usermod -aG dialout jidoka",
        ),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            Finding::warn(what, "is in use", "nothing, if the station is running; else stop the program that has it")
        }
        Err(error) => Finding::fail(what, error.to_string(), "correct `serial`, or look at the adapter"),
    }
}

fn server_port(listen: SocketAddr) -> Finding {
    const WHAT: &str = "Modbus server";
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(WHAT, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warn(
            WHAT,
            format!("{listen} is in use"),
            "nothing, if the station is running; else stop the program that has it, or correct modbus_server.listen",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let mend = "give the service AmbientCapabilities=CAP_NET_BIND_SERVICE, or listen on a port from 1024 on";
            Finding::fail(WHAT, format!("{listen}: ports below 1024 belong to the system"), mend)
        }
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Finding::fail(
            WHAT,
            format!("no interface of this machine has the address {}", listen.ip()),
            "correct modbus_server.listen, or plug the cable in",
        ),
        Err(error) => Finding::fail(WHAT, format!("{listen}: {error}"), "correct modbus_server.listen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vision_models::frame::PixelFormat;

    #[test]
    fn a_device_that_is_not_there_or_none_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let none = folder.path().join("ttyS9");
        assert_eq!(device_opens(&none).state, State::Fail);
        std::fs::write(&none, b"").expect("written");
        let file = device_opens(&none);
        assert_eq!((file.state, file.detail.as_str()), (State::Fail, "is not a serial device"));
        // A character device that everybody may open.
        assert_eq!(device_opens(Path::new("/dev/null")).state, State::Ok);
    }

    #[test]
    fn a_burst_is_held_against_what_the_kernel_keeps() {
        let layout = Layout { width: 640, height: 480, format: PixelFormat::Bgr8 };
        assert!(is_more_than(layout, 640 * 480 * 3 - 1) && !is_more_than(layout, 640 * 480 * 3));
    }

    #[test]
    fn a_port_that_is_taken_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        assert_eq!(server_port(address).state, State::Warn);
        drop(taken);
        assert_eq!(server_port("127.0.0.1:0".parse().expect("an address")).state, State::Ok);
        // 192.0.2.0/24 belongs to nobody (RFC 5737).
        assert_eq!(server_port("192.0.2.1:1502".parse().expect("an address")).state, State::Fail);
    }
}
