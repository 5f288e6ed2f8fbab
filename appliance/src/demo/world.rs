//! The world around the demonstrated line: the conveyor PLC, the backend, and what goes wrong with them.

use crate::backend::{Backend as Server, BackendSettings};
use crate::cli;
use crate::clock::Clock;
use crate::config::Settings;
use crate::demo::inject::{Disturbance, Injection};
use crate::demo::random_hex;
use crate::pipeline::modbus::tag;
use crate::pipeline::rig::Rig;
use crate::pipeline::{LineError, Thread, at, join, runtime, spawn, told};
use plc_bridge::sim::{self, Outage, Pace, Shift, Sim, SimHandle, SimSettings, SimTag};
use station::piece::PieceId;
use station::units::Micros;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long an injected outage of the PLC lasts: longer than every heartbeat time-out.
const OUTAGE: Duration = Duration::from_secs(3);
/// An injected slow model needs this much longer than a piece may take.
const SLOWER_MILLIS: u64 = 300;
/// Largest body of a request to the backend.
const BODY_MAX: usize = 8 << 20;

/// The embedded backend on a port of its own.
pub struct Backend {
    /// Where it is.
    pub url: String,
    /// What it wants to be shown.
    pub token: String,
    stop: watch::Sender<bool>,
    thread: Thread,
}

impl Backend {
    /// Starts it over the folder `data`.
    pub fn start(data: &Path) -> Result<Self, LineError> {
        let token = random_hex(16)?;
        let settings = BackendSettings { token: Some(token.clone()), ..BackendSettings::new(Clock::new().as_fn()) };
        let server = Arc::new(Server::open(data, settings).map_err(at("the backend"))?);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(at("the backend's port"))?;
        let address = listener.local_addr().map_err(at("the backend's port"))?;
        let (stop, stopped) = watch::channel(false);
        let thread = spawn("backend", serve(runtime()?, listener, server, stopped))?;
        Ok(Self { url: format!("http://{address}"), token, stop, thread })
    }

    /// Ends it.
    pub fn stop(self) {
        self.stop.send_replace(true);
        join(self.thread, &mut Vec::new());
    }
}

/// The body of a thread that serves a backend.
pub fn serve(
    runtime: tokio::runtime::Runtime,
    listener: std::net::TcpListener,
    server: Arc<Server>,
    stop: watch::Receiver<bool>,
) -> impl FnOnce() + Send {
    move || {
        let served = runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            web_ui::endpoint::serve(listener, server, BODY_MAX, told(stop)).await
        });
        if let Err(error) = served {
            tracing::error!(%error, "the backend has ended");
        }
    }
}

/// The simulated PLC with its conveyor.
pub struct World {
    /// Where it listens.
    pub address: SocketAddr,
    handle: SimHandle,
    repaired: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    thread: Thread,
}

impl World {
    /// Starts the PLC; its pieces are numbered on from the records that are there.
    pub fn start(args: &cli::Demo, settings: &Settings, injections: &[Injection], before: u64) -> Result<Self, LineError> {
        let first_piece = u32::try_from(before).unwrap_or(u32::MAX - 1) + 1;
        let tags: Vec<SimTag> =
            settings.plc.iter().flat_map(|plc| &plc.tags).filter_map(|spec| sensor(tag(spec, settings.handshake.order()))).collect();
        let settings = SimSettings {
            seed: args.seed,
            pace: if args.headless { Pace::Lockstep } else { Pace::Paced { pieces_per_minute: f64::from(args.pace) } },
            pieces: args.pieces,
            first_piece,
            gate_offset: settings.handshake.gate_offset_counts,
            vision_timeout: Duration::from_millis(settings.handshake.vision_heartbeat_timeout_millis),
            encoder_start: first_piece.wrapping_mul(SimSettings::default().pitch),
            disturbances: disturbances(injections, &tags)?,
            tags,
            ..SimSettings::default()
        };
        let runtime = runtime()?;
        let sim = runtime
            .block_on(Sim::bind(args.plc_listen, settings))
            .map_err(at(&format!("the simulated PLC cannot listen on {}", args.plc_listen)))?;
        let (address, handle) = (sim.local_addr(), sim.handle());
        let (stop, stopped) = watch::channel(false);
        let thread = spawn("plc-sim", move || {
            if let Err(error) = runtime.block_on(sim.run(told(stopped))) {
                tracing::error!(%error, "the simulated PLC has ended");
            }
        })?;
        Ok(Self { address, handle, repaired: Arc::default(), stop, thread })
    }

    /// True when every piece was made and has left the belt.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.observe().finished
    }

    /// After a stop the crew repairs what is broken; disturbances that have begun are over.
    pub fn repair(&self) {
        self.repaired.store(true, Ordering::SeqCst);
    }

    /// What disturbs camera, model and PLC, piece by piece; goes before every picture.
    pub fn before_grab(&self, injections: &[Injection], rig: &Rig, deadline: Micros) -> Box<dyn FnMut(PieceId) + Send> {
        let mut pending: Vec<Injection> = injections.to_vec();
        let (camera, detector) = (Arc::clone(&rig.camera_faults), Arc::clone(&rig.detector_faults));
        let (repaired, plc) = (Arc::clone(&self.repaired), self.handle.clone());
        Box::new(move |piece| {
            if repaired.swap(false, Ordering::SeqCst) {
                camera.set_freeze(false);
                camera.set_lost(false);
                detector.set_slow_millis(0);
                detector.set_fail(false);
            }
            let due: Vec<Injection> = pending.extract_if(.., |injection| piece.0 >= injection.from_piece).collect();
            for injection in due {
                match injection.what {
                    Disturbance::CameraFreeze => camera.set_freeze(true),
                    Disturbance::CameraLost => camera.set_lost(true),
                    Disturbance::ModelSlow => detector.set_slow_millis(deadline.0 / 1000 + SLOWER_MILLIS),
                    Disturbance::ModelError => detector.set_fail(true),
                    Disturbance::PlcDrop => plc.outage(Outage::Closed, OUTAGE),
                    // The process is disturbed inside the simulated PLC.
                    Disturbance::Drift { .. } | Disturbance::Step { .. } => {}
                }
            }
        })
    }

    /// Ends it.
    pub fn stop(self) {
        self.stop.send_replace(true);
        join(self.thread, &mut Vec::new());
    }
}

/// A sensor for a tag of the settings; `None` for a tag that the simulated process does not have.
fn sensor(spec: plc_bridge::map::TagSpec) -> Option<SimTag> {
    let known = sim::default_tags(spec.address).into_iter().find(|tag| tag.spec.name == spec.name)?;
    Some(SimTag { spec, ..known })
}

fn disturbances(injections: &[Injection], tags: &[SimTag]) -> Result<Vec<sim::Disturbance>, LineError> {
    let mut disturbances = Vec::new();
    for injection in injections {
        let (name, amount) = match &injection.what {
            Disturbance::Drift { tag, per_piece } => (tag, *per_piece),
            Disturbance::Step { tag, by } => (tag, *by),
            _ => continue,
        };
        let Some(tag) = tags.iter().find(|tag| *tag.spec.name == **name) else {
            let names: Vec<_> = tags.iter().map(|tag| tag.spec.name.to_string()).collect();
            return Err(LineError { what: format!("--inject: the line has no tag `{name}`; it has {}", names.join(", ")), source: None });
        };
        let sigmas = amount / tag.sigma;
        let shift = if matches!(injection.what, Disturbance::Drift { .. }) { Shift::Drift(sigmas) } else { Shift::Step(sigmas) };
        disturbances.push(sim::Disturbance { tag: name.clone(), from_piece: injection.from_piece, shift });
    }
    Ok(disturbances)
}
