//! `run`, `check` and `doctor`: everything that begins with a settings file.

use super::{Failure, say};
use crate::cli::{Config, Doctor};
use crate::clock::Clock;
use crate::config::Settings;
use crate::doctor::{Finding, State, examine, table};
use crate::pipeline::rig::{self, Rig};
use crate::pipeline::see::chain;
use crate::pipeline::{Line, LineError, Run, at, until_told_to_end};

/// Runs the station until it is told to end.
pub fn run(args: &Config) -> Result<(), Failure> {
    let settings = Settings::load(&args.config)?;
    super::log_to_stderr(settings.log_level.as_str());
    let rig = Rig::open(&settings)?;
    let journal = Some(settings.data_directory.join("journal"));
    let alive = Box::new(|| notify(&[sd_notify::NotifyState::Watchdog]));
    let line = Line::start(&settings, Run { rig, simulated: false, journal, alive, page: true })?;
    if let Some(page) = line.page {
        say(&format!("page: http://{page}/"))?;
    }
    if let Some(code) = &line.setup_code {
        say(&format!("first sign-in: set-up code {code}"))?;
    }
    // Camera, model, store and page are up: that is what readiness means here. The PLC may come later.
    notify(&[sd_notify::NotifyState::Ready]);
    until_told_to_end()?;
    notify(&[sd_notify::NotifyState::Stopping]);
    let late = line.stop();
    if late.is_empty() {
        Ok(())
    } else {
        Err(LineError { what: format!("threads that did not end in time: {}", late.join(", ")), source: None }.into())
    }
}

/// Without a service manager there is nobody to notify, and that is no failure.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// Reports every problem of the settings, and of the recipe against the model package.
pub fn check(args: &Config) -> Result<(), Failure> {
    let settings = Settings::load(&args.config)?;
    let package = vision_models::package::Package::open(&settings.model.package).map_err(at("the model package is refused"))?;
    settings.recipe(std::sync::Arc::clone(package.model()), &package.classes())?;
    say(&format!("{}: no problems", args.config.display()))
}

/// Examines everything around the settings.
pub fn doctor(args: &Doctor) -> Result<(), Failure> {
    let settings = Settings::load(&args.config)?;
    let clock = Clock::new();
    let findings = examine(&settings, &|| clock.now(), &[&|| eyes(&settings), &|| plc(&settings, clock)]);
    if args.json {
        say(&serde_json::to_string(&findings).map_err(at("the findings"))?)?;
    } else {
        say(&table(&findings))?;
    }
    let failed = findings.iter().filter(|finding| finding.state == State::Fail).count();
    if failed == 0 { Ok(()) } else { Err(Failure { text: format!("{failed} things stand in the way"), code: 1 }) }
}

/// Camera, runtime and model: opens all three and lets the model prove itself on its golden boards.
fn eyes(settings: &Settings) -> Finding {
    match Rig::open(settings) {
        Ok(rig) => {
            Finding::ok("camera and model", format!("{} sees, {} proves itself", settings.camera.name, rig.detector.model().package))
        }
        Err(error) => Finding::fail("camera and model", chain(&error), "mend what is named; scripts/onnxruntime.sh fetches the runtime"),
    }
}

/// The PLC: reads its control block once.
fn plc(settings: &Settings, clock: Clock) -> Finding {
    let what = "PLC";
    let read = rig::bridge_address(settings, clock).and_then(|bridge| {
        let client =
            bridge.plc.as_ref().ok_or_else(|| crate::pipeline::LineError { what: "no PLC is configured".to_owned(), source: None })?;
        let picture = crate::pipeline::runtime()?.block_on(plc_bridge::watch::read_once(&bridge, client));
        picture.map_err(at(&format!("{}:{} does not answer", settings.plc.host, settings.plc.port)))
    });
    match read {
        Ok(_) => Finding::ok(what, format!("{}:{} answers", settings.plc.host, settings.plc.port)),
        Err(error) => Finding::fail(what, chain(&error), "check plc.address, the cable, and that the PLC's Modbus server is on"),
    }
}
