//! `run` and `check`: what a settings file leads to.

use super::{Failure, say};
use crate::cli::{self, Config};
use crate::config::Settings;
use crate::config::seal::{self, Seal};
use crate::pipeline::rig::Rig;
use crate::pipeline::{Line, LineError, Run, at, until_told_to_end};
use std::path::Path;
use std::sync::Arc;
use vision_models::package::Package;

/// Runs the station until it is told to end.
pub fn run(args: &cli::Run) -> Result<(), Failure> {
    let cli::Run { config: Config { config }, figures } = args;
    let settings = Settings::load(config)?;
    if is_commissioning(&settings) {
        let text = format!(
            "{}: plc.commissioning = true: the line cannot run while test writes are allowed (mend: write commissioning = false)",
            config.display()
        );
        return Err(Failure { text, code: 78 });
    }
    super::log_to_stderr(settings.log_level.as_str());
    settings_are_whole(config, &settings)?;
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
    let (meter, clock) = (Arc::clone(&line.meter), line.clock);
    let late = line.stop();
    if let Some(file) = figures {
        // The times of pieces count from the line's clock; this is how old the process was when that began.
        let exec_micros = crate::host::age_micros().saturating_sub(clock.mono_micros());
        let told = serde_json::json!({ "exec_micros": exec_micros, "pieces": meter.pieces() });
        let text = serde_json::to_string(&told).map_err(at("the figures"))?;
        std::fs::write(file, text).map_err(at(&format!("--figures {}", file.display())))?;
    }
    if late.is_empty() {
        Ok(())
    } else {
        Err(LineError { what: format!("threads that did not end in time: {}", late.join(", ")), source: None }.into())
    }
}

/// Refuses settings that differ from the last start's although nobody has written them; tells of those that somebody has.
fn settings_are_whole(config: &Path, settings: &Settings) -> Result<(), Failure> {
    let data = &settings.data_directory;
    match seal::look(config, data) {
        Ok(Seal::Damaged { line, copy }) => {
            let text = format!(
                "{}:{line}: this is not what the station last started with, and nobody has written the file since: it is damaged (mend: compare it with {}, which is whole but for its first line, and put it in order; `touch` it if it is right as it is)",
                config.display(),
                copy.display()
            );
            return Err(Failure { text, code: 78 });
        }
        Ok(Seal::Same) => return Ok(()),
        Ok(Seal::First) => {}
        Ok(Seal::Changed(first, last)) => {
            tracing::warn!(file = %config.display(), "the settings were changed since the last start, in lines {first} to {last}");
        }
        Err(error) => tracing::warn!(file = %config.display(), %error, "the settings cannot be compared with those of the last start"),
    }
    if let Err(error) = std::fs::create_dir_all(data).and_then(|()| seal::accept(config, data)) {
        tracing::warn!(%error, "no copy of the settings is kept: damage to them would not be noticed");
    }
    Ok(())
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
    let mut looks = Vec::new();
    for camera in settings.cameras() {
        let folder = camera.own_model.as_ref().map_or(&settings.model.package, |own| &own.package);
        let package = Package::open_trusted(folder, &settings.model.trusted_keys).map_err(at("the model package is refused"))?;
        looks.push((Arc::clone(package.model()), package.classes()));
    }
    if let Some(((model, classes), others)) = looks.split_first() {
        settings.recipe(Arc::clone(model), classes, others)?;
    }
    say(&format!("{}: no problems", args.config.display()))?;
    if is_commissioning(&settings) {
        say("plc.commissioning = true: `jidoka plc test-write` may be used, `jidoka run` refuses to start")?;
    }
    Ok(())
}

fn is_commissioning(settings: &Settings) -> bool {
    settings.plc.as_ref().is_some_and(|plc| plc.commissioning)
}
