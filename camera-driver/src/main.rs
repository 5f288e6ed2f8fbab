//! The program `jidoka-camera`: one process per camera, between a driver that may hang or crash and an appliance that must not.
//!
//! It is started by the appliance, gets its order and then triggers on standard input, and answers with pictures on standard
//! output in the language of `vision_models::camera::wire`. Without an order it says what it is.
//!
//! Invariants: it ends when its input closes or its parent dies; it says at least every `ALIVE_MILLIS` that the device still
//! answers, and only after the device did; a picture carries the number of the oldest trigger that has none, so that a
//! picture may come to be late but never to be another piece's; a password is read here, and never said.

#[cfg(feature = "gige")]
mod bayer;
#[cfg(feature = "gige")]
mod gige;
mod pipes;
mod simulated;
#[cfg(feature = "stream")]
mod stream;

use pipes::{Inlet, Outlet, Said};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use vision_models::camera::wire::{ALIVE_MILLIS, Device, Order, TriggerMode};
use vision_models::frame::PixelFormat;

/// Longest look for a picture before the orders are looked at again.
const LOOK: Duration = Duration::from_millis(5);
const ALIVE: Duration = Duration::from_millis(ALIVE_MILLIS);
/// How often a device that delivers pictures is asked all the same: some forget a controller that says nothing.
const POKE: Duration = Duration::from_millis(150);
/// Triggers that wait for their pictures. More means that the device takes none.
const WAITING_MAX: usize = 64;

/// Why the program ends before it is told to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl Trouble {
    /// `what` could not be done, because of `error`.
    pub fn of(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// A picture in the driver's memory.
pub struct Picture<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How its bytes are to be read.
    pub format: PixelFormat,
    /// The device's own number.
    pub number: u64,
    /// When it was taken, by the device's clock; 0 if it has none.
    pub device_micros: u64,
    /// Its rows, each `stride` bytes after the one before.
    pub rows: &'a [u8],
    /// Bytes from the beginning of a row to that of the next.
    pub stride: usize,
}

/// What came of a look for a picture.
pub enum Taken<'a> {
    /// Nothing yet.
    Nothing,
    /// One was taken but did not arrive whole.
    Broken,
    /// One.
    Picture(Picture<'a>),
}

/// An open device.
pub trait Source {
    /// Size and format of its pictures.
    fn layout(&self) -> (u32, u32, PixelFormat);
    /// Takes a picture.
    fn trigger(&mut self) -> Result<(), Trouble>;
    /// The next picture, at most `wait` from now.
    fn next(&mut self, wait: Duration) -> Result<Taken<'_>, Trouble>;
    /// Asks the device whether it is there.
    fn alive(&mut self) -> Result<(), Trouble>;
}

fn main() {
    let stdin = std::io::stdin();
    if std::io::IsTerminal::is_terminal(&stdin) {
        println!("jidoka-camera {}: holds the driver of one camera; `jidoka run` starts it.", env!("CARGO_PKG_VERSION"));
        println!("drivers: {}", drivers().join(", "));
        return;
    }
    // A parent that dies closes our input too; this also ends a driver that hangs.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap_or_default();
    let (Ok(inlet), Ok(mut outlet)) = (Inlet::new(), Outlet::new()) else { return };
    if let Err(trouble) = serve(inlet, &mut outlet) {
        // Whom else to tell?
        drop(outlet.trouble(&trouble.0));
    }
}

fn drivers() -> Vec<&'static str> {
    let mut drivers = vec!["simulated"];
    if cfg!(feature = "gige") {
        drivers.push("gige");
    }
    if cfg!(feature = "stream") {
        drivers.extend(["video", "rtsp", "v4l2"]);
    }
    drivers
}

fn open(order: &Order) -> Result<Box<dyn Source>, Trouble> {
    match &order.device {
        Device::Simulated { interval_millis, script } => {
            Ok(Box::new(simulated::Simulated::open(order, Duration::from_millis(*interval_millis), script.clone())?))
        }
        #[cfg(feature = "gige")]
        Device::Gige { .. } => Ok(Box::new(gige::Gige::open(order)?)),
        #[cfg(feature = "stream")]
        Device::Rtsp { .. } | Device::Video { .. } | Device::V4l2 { .. } => Ok(Box::new(stream::Stream::open(order)?)),
        #[cfg(not(all(feature = "gige", feature = "stream")))]
        _ => Err(Trouble(format!("this jidoka-camera was built without that driver; it has {}", drivers().join(", ")))),
    }
}

fn serve(mut inlet: Inlet, outlet: &mut Outlet) -> Result<(), Trouble> {
    let order = inlet.order()?;
    let mut source = open(&order)?;
    let (width, height, format) = source.layout();
    outlet.ready(width, height, format)?;
    let is_software = order.trigger == TriggerMode::Software;
    let mut waiting: VecDeque<u64> = VecDeque::with_capacity(WAITING_MAX);
    let (mut said, mut poked) = (Instant::now(), Instant::now());
    loop {
        // While a picture is due, orders are only glanced at.
        let idle = is_software && waiting.is_empty();
        match inlet.next(if idle { ALIVE.saturating_sub(said.elapsed()) } else { Duration::ZERO })? {
            Said::Closed => return Ok(()),
            Said::Nothing => {}
            Said::Trigger(number) => {
                if waiting.len() == WAITING_MAX {
                    return Err(Trouble("it takes no pictures".to_owned()));
                }
                source.trigger()?;
                waiting.push_back(number);
            }
        }
        if !is_software || !waiting.is_empty() {
            match source.next(LOOK)? {
                Taken::Nothing => {}
                Taken::Broken => {
                    outlet.broken(waiting.pop_front().unwrap_or(0))?;
                    said = Instant::now();
                }
                Taken::Picture(picture) => {
                    outlet.frame(&picture, waiting.pop_front().unwrap_or(0))?;
                    said = Instant::now();
                }
            }
        }
        let silent = said.elapsed() >= ALIVE;
        if silent || (poked.elapsed() >= POKE && waiting.is_empty()) {
            source.alive()?;
            poked = Instant::now();
        }
        if silent {
            outlet.alive()?;
            said = Instant::now();
        }
    }
}
