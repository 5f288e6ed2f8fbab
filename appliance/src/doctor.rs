//! What is wrong around the program — disk, permissions, clock, ports, camera, model, PLC — and what to do about it.
//!
//! Invariants: an examination changes nothing that lasts (a probe file is removed, a lock is given back at once); it goes on
//! after every failure, so that one run tells everything; it may run beside a running station.

use crate::config::{CameraSource, Settings};
use crate::upload::expiry;
use serde::Serialize;
use station::units::Timestamp;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The file in the data directory whose lock the station there holds (see `store`).
const LOCK_FILE: &str = "lock";

/// Below this the ledger is in danger: some hours of a fast line.
const FREE_BYTES_FAIL: u64 = 256 << 20;

/// 2024-01-01T00:00:00Z. A clock before it was never set since power-up (a battery that is empty).
const SANE_SINCE_MICROS: i64 = 1_704_067_200 * 1_000_000;

/// Wall clock and the clock that never steps may drift apart by this much during one examination.
const STEP_MICROS_MAX: u64 = 100_000;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warn,
    /// The station cannot do its work like this.
    Fail,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, for example `data directory`.
    pub what: String,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty if there is nothing to do.
    pub mend: String,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ok, detail: detail.into(), mend: String::new() }
    }

    /// It works, but somebody should look.
    pub fn warn(what: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Warn, detail: detail.into(), mend: mend.into() }
    }

    /// It does not work.
    pub fn fail(what: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Fail, detail: detail.into(), mend: mend.into() }
    }
}

/// A look at something that another room knows: camera, model, PLC, backend.
pub type Probe<'a> = &'a dyn Fn() -> Finding;

/// Looks at everything and tells all of it, in the order of the checks. `now` is the appliance's clock; `probes` are run
/// after the checks made here.
pub fn examine(settings: &Settings, now: &dyn Fn() -> Timestamp, probes: &[Probe<'_>]) -> Vec<Finding> {
    let begun = now();
    let mut findings = vec![
        data_directory(&settings.data_directory),
        free_space(&settings.data_directory, settings.images.bytes_max),
        second_instance(&settings.data_directory),
        users_file(&settings.page.users),
    ];
    findings.extend(settings.backends.iter().map(|backend| token_file(backend.name.as_str(), &backend.token_file)));
    let certificates = settings.backends.iter().filter_map(|backend| Some((backend.name.as_str(), &backend.client.as_ref()?.0)));
    findings.extend(certificates.map(|(backend, path)| certificate(backend, path, begun.wall_micros)));
    for camera in settings.cameras() {
        if let CameraSource::Folder { path } | CameraSource::Replay { path } = &camera.source {
            findings.push(folder("camera folder", path, "put pictures there, or correct camera.path"));
        }
    }
    findings.push(folder("model package", &settings.model.package, "install the package, or correct model.package"));
    for own in settings.cameras().filter_map(|camera| camera.own_model.as_ref()) {
        findings.push(folder("model package", &own.package, "install the package, or correct camera.package"));
    }
    if let Some(library) = &settings.model.onnxruntime {
        findings.push(onnxruntime(library));
    }
    findings.push(page_port(settings));
    findings.extend(probes.iter().map(|probe| probe()));
    findings.push(clock(begun, now()));
    findings
}

/// The worst state among the findings; `Ok` if there are none.
#[must_use]
pub fn worst(findings: &[Finding]) -> State {
    findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
}

/// The findings as a table for people; a mend stands below its finding.
#[must_use]
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
    findings.iter().fold(String::new(), |mut table, finding| {
        let Finding { what, state, detail, mend } = finding;
        let mended = if mend.is_empty() { String::new() } else { format!("      {:width$}  mend: {mend}\n", "") };
        // Writing to a String cannot fail.
        write!(table, "{state:<4}  {what:width$}  {detail}\n{mended}").unwrap_or_default();
        table
    })
}

fn data_directory(directory: &Path) -> Finding {
    const WHAT: &str = "data directory";
    let shown = directory.display();
    match write_and_remove(directory) {
        Ok(()) => Finding::ok(WHAT, format!("{shown} can be written")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mend = "make it and give it to the station's user, for example `install -d -m 0750 -o jidoka -g jidoka DIRECTORY`";
            Finding::fail(WHAT, format!("{shown} does not exist"), mend)
        }
        Err(error) => Finding::fail(
            WHAT,
            format!("{shown} cannot be written: {error}"),
            "give it to the user that runs the station, or free its disk",
        ),
    }
}

fn write_and_remove(directory: &Path) -> io::Result<()> {
    // The process number keeps two examinations out of each other's way.
    let probe = directory.join(format!(".doctor-{}", std::process::id()));
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&probe)
        .and_then(|mut file| file.write_all(b"probe").and_then(|()| file.sync_all()));
    let removed = std::fs::remove_file(&probe);
    written.and(removed)
}

fn free_space(directory: &Path, keep_bytes_max: u64) -> Finding {
    const WHAT: &str = "free space";
    const MEND: &str = "free the disk, lower images.keep_bytes_max, or move data.directory to a larger disk";
    let mib = |bytes: u64| bytes >> 20;
    match rustix::fs::statvfs(directory) {
        Err(error) => Finding::fail(WHAT, format!("unknown: {error}"), "mend the data directory first"),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} MiB free, pictures may take {} MiB", mib(free), mib(keep_bytes_max));
            match free {
                _ if free < FREE_BYTES_FAIL => Finding::fail(WHAT, detail, MEND),
                // Pictures that are there already count twice here; that only makes the warning early.
                _ if free < keep_bytes_max.saturating_add(FREE_BYTES_FAIL) => Finding::warn(WHAT, detail, MEND),
                _ => Finding::ok(WHAT, detail),
            }
        }
    }
}

fn second_instance(directory: &Path) -> Finding {
    const WHAT: &str = "other instance";
    let path = directory.join(LOCK_FILE);
    // Shared, so that two examinations do not take each other for a station.
    match File::open(&path).map(|file| file.try_lock_shared()) {
        Ok(Ok(())) => Finding::ok(WHAT, "none is running here"),
        Ok(Err(TryLockError::WouldBlock)) => {
            let number = std::fs::read_to_string(&path).unwrap_or_default();
            let detail = format!("process {} is the station of this data directory", number.trim());
            Finding::warn(WHAT, detail, "nothing, if it is the one that is meant; a second one would refuse to start")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::ok(WHAT, "none has run here yet"),
        Ok(Err(TryLockError::Error(error))) | Err(error) => {
            Finding::fail(WHAT, format!("{}: {error}", path.display()), "give the lock file to the user that runs the station")
        }
    }
}

fn users_file(path: &Path) -> Finding {
    const WHAT: &str = "users file";
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::warn(
            WHAT,
            format!("{shown} does not exist, so nobody can release a stop yet"),
            "open the page and set up the first person",
        ),
        Err(error) => Finding::fail(WHAT, format!("{shown}: {error}"), "give it to the user that runs the station"),
        Ok(file) => match file.permissions().mode() & 0o7777 {
            mode if mode & 0o077 != 0 => Finding::fail(WHAT, format!("{shown} has mode {mode:o}: others may read it"), "chmod 600 it"),
            mode => readable(path).map_or_else(
                |error| Finding::fail(WHAT, format!("{shown}: {error}"), "give it to the user that runs the station"),
                |()| Finding::ok(WHAT, format!("{shown} has mode {mode:o}")),
            ),
        },
    }
}

fn token_file(backend: &str, path: &Path) -> Finding {
    let what = format!("{backend} token");
    let shown = path.display();
    let mut token = String::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(4096).read_to_string(&mut token)) {
        return Finding::fail(what, format!("{shown}: {error}"), "put the backend's token there, readable for the station's user only");
    }
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o7777);
    if token.trim().is_empty() {
        Finding::fail(what, format!("{shown} is empty"), "put the backend's token there")
    } else if mode & 0o007 != 0 {
        Finding::warn(what, format!("{shown} has mode {mode:o}: everybody on this machine may read it"), "chmod 640 it, group jidoka")
    } else {
        Finding::ok(what, format!("{shown} has mode {mode:o}"))
    }
}

fn certificate(backend: &str, path: &Path, now_micros: i64) -> Finding {
    let (what, shown) = (format!("{backend} client certificate"), path.display());
    let pem = match std::fs::read(path) {
        Ok(pem) => pem,
        Err(error) => return Finding::fail(what, format!("{shown}: {error}"), "put the certificate there, or correct client_certificate"),
    };
    let Some(ends) = expiry::not_after(&pem) else {
        return Finding::fail(what, format!("{shown}: no certificate in PEM form can be read"), "put the certificate there in PEM form");
    };
    match expiry::notice(ends, now_micros) {
        None => Finding::ok(what, format!("{shown} is valid until {ends}")),
        Some(words) if ends.as_microsecond() <= now_micros => Finding::fail(what, format!("{shown}: {words}"), "have a new one made"),
        Some(words) => Finding::warn(what, format!("{shown}: {words}"), "have a new one made before that day"),
    }
}

fn folder(what: &str, path: &Path, mend: &str) -> Finding {
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Finding::ok(what, path.display().to_string()),
        Ok(false) => Finding::fail(what, format!("{} is empty", path.display()), mend),
        Err(error) => Finding::fail(what, format!("{}: {error}", path.display()), mend),
    }
}

fn onnxruntime(library: &Path) -> Finding {
    const WHAT: &str = "ONNX Runtime";
    const MEND: &str = "run scripts/onnxruntime.sh or install the package, or correct model.onnxruntime";
    let shown = library.display();
    let mut magic = [0_u8; 4];
    match File::open(library).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) if magic == *b"\x7fELF" => Finding::ok(WHAT, shown.to_string()),
        Ok(()) => Finding::fail(WHAT, format!("{shown} is not a shared library"), MEND),
        Err(error) => Finding::fail(WHAT, format!("{shown}: {error}"), MEND),
    }
}

fn page_port(settings: &Settings) -> Finding {
    const WHAT: &str = "page";
    let listen = settings.page.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(WHAT, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warn(
            WHAT,
            format!("{listen} is in use"),
            "nothing, if the station is running; else stop the program that has it, or correct page.listen",
        ),
        Err(error) => Finding::fail(WHAT, format!("{listen}: {error}"), "correct page.listen"),
    }
}

fn readable(path: &Path) -> io::Result<()> {
    File::open(path).map(drop)
}

fn clock(begun: Timestamp, ended: Timestamp) -> Finding {
    const WHAT: &str = "clock";
    let by_mono = ended.since(begun).0;
    let by_wall = ended.wall_micros.saturating_sub(begun.wall_micros);
    let apart = by_wall.saturating_sub_unsigned(by_mono).unsigned_abs();
    if ended.wall_micros < SANE_SINCE_MICROS {
        let year = 1970 + ended.wall_micros / 31_556_952_000_000;
        Finding::fail(
            WHAT,
            format!("it says {year}"),
            "set the clock, switch time synchronisation on, and look at the battery of the board",
        )
    } else if apart > STEP_MICROS_MAX {
        let detail = format!("it stepped by {} ms during the examination", apart / 1000);
        Finding::warn(WHAT, detail, "find out who sets it; nothing is decided by it, but records carry its time")
    } else {
        Finding::ok(WHAT, "set, and not stepping")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::cell::Cell;

    const WALL: i64 = SANE_SINCE_MICROS + 1;

    fn steady() -> Timestamp {
        Timestamp { wall_micros: WALL, mono_micros: 5 }
    }

    /// The sample with everything that it names inside `home`, and the page on a port that the system chooses.
    fn settings(home: &Path) -> Settings {
        let text = config::sample()
            .replace("/var/lib/jidoka", &home.display().to_string())
            .replace("/etc/jidoka", &home.display().to_string())
            .replace("/usr/share/jidoka/packages/pcb", &home.join("package").display().to_string())
            .replace("# onnxruntime = \"/usr/lib/jidoka", &format!("onnxruntime = \"{}", home.display()))
            .replace("2_000_000_000", "1_000_000")
            .replace("127.0.0.1:8080", "127.0.0.1:0");
        Settings::parse("t.toml", &text, home).expect("the sample is valid")
    }

    fn write(path: &Path, content: &[u8], mode: u32) {
        std::fs::write(path, content).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
    }

    /// A home in which everything is as it should be.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path();
        write(&path.join("users.json"), b"{}", 0o600);
        write(&path.join("traceability.token"), b"t\n", 0o640);
        write(&path.join("grading.token"), b"g\n", 0o640);
        write(&path.join("libonnxruntime.so"), b"\x7fELF....", 0o644);
        std::fs::create_dir(path.join("package")).expect("made");
        write(&path.join("package/model.toml"), b"", 0o644);
        home
    }

    /// State of each thing that is not `Ok`.
    fn wrong(findings: &[Finding]) -> Vec<(&str, State)> {
        findings.iter().filter(|finding| finding.state != State::Ok).map(|finding| (finding.what.as_str(), finding.state)).collect()
    }

    #[test]
    fn a_healthy_home_has_nothing_wrong_and_is_left_as_it_was() {
        let home = home();
        let names = || {
            let mut names: Vec<_> =
                std::fs::read_dir(home.path()).expect("listed").map(|entry| entry.expect("entry").file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        let findings = examine(&settings(home.path()), &steady, &[&|| Finding::ok("camera", "one frame")]);
        assert_eq!(wrong(&findings), [], "{}", table(&findings));
        assert!(findings.iter().any(|finding| finding.what == "camera"));
        assert_eq!(names(), before);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let home = home();
        let path = home.path();
        let settings = settings(path);
        write(&path.join("users.json"), b"{}", 0o644);
        write(&path.join("traceability.token"), b" \n", 0o640);
        write(&path.join("grading.token"), b"g\n", 0o644);
        write(&path.join("libonnxruntime.so"), b"text", 0o644);
        std::fs::remove_dir_all(path.join("package")).expect("removed");
        let held = File::create(path.join(LOCK_FILE)).expect("made");
        held.lock().expect("free");
        let calls = Cell::new(0);
        let stepping = || {
            calls.set(calls.get() + 1);
            Timestamp { wall_micros: WALL + calls.get() * 3_600_000_000, mono_micros: 5 }
        };
        let findings = examine(&settings, &stepping, &[&|| Finding::fail("plc", "refused", "switch it on")]);
        let expected = [
            ("other instance", State::Warn),
            ("users file", State::Fail),
            ("traceability token", State::Fail),
            ("grading token", State::Warn),
            ("model package", State::Fail),
            ("ONNX Runtime", State::Fail),
            ("plc", State::Fail),
            ("clock", State::Warn),
        ];
        assert_eq!(wrong(&findings), expected, "{}", table(&findings));
        assert!(findings.iter().all(|finding| finding.state == State::Ok || !finding.mend.is_empty()));
        assert_eq!(worst(&findings), State::Fail);
        drop(held);
    }

    #[test]
    fn a_missing_directory_and_a_taken_port_are_told() {
        let home = home();
        let mut settings = settings(home.path());
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        settings.page.listen = taken.local_addr().expect("bound");
        settings.data_directory = home.path().join("none");
        let findings = examine(&settings, &steady, &[]);
        assert_eq!(wrong(&findings), [("data directory", State::Fail), ("free space", State::Fail), ("page", State::Warn)]);
    }

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        let unset = Timestamp { wall_micros: 86_400_000_000, mono_micros: 1 };
        let finding = clock(unset, unset);
        assert_eq!((finding.state, finding.detail.as_str()), (State::Fail, "it says 1970"));
    }

    #[test]
    fn a_client_certificate_is_told_before_it_ends() {
        // It ends on 2126-10-31.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/upload/tests/tls/client.pem");
        let at = |text: &str| certificate("traceability", &path, text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        assert_eq!(at("2126-09-01T00:00:00Z").state, State::Ok);
        let finding = at("2126-10-20T00:00:00Z");
        assert!(finding.state == State::Warn && finding.detail.contains("ends in 11 days, on 2126-10-31"), "{finding:?}");
        assert_eq!(at("2126-11-01T00:00:00Z").state, State::Fail);
        assert_eq!(certificate("traceability", Path::new("nowhere.pem"), 0).state, State::Fail);
    }

    #[test]
    fn the_table_is_for_people() {
        let findings = [Finding::ok("page", "free"), Finding::fail("PLC", "refused", "switch it on")];
        assert_eq!(table(&findings), "ok    page  free\nFAIL  PLC   refused\n            mend: switch it on\n");
    }
}
