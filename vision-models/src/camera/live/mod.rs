//! A camera whose driver lives in a program of its own.
//!
//! ```text
//!  capture thread                    keeper thread                     jidoka-camera
//!  LiveCamera::grab ── trigger ───────────────────────────────────────▶ device
//!        ▲ wait, at most the deadline │ reads into pooled buffers ◀──── Ready, Frame, Alive, Trouble
//!        └──────── newest picture ────┘ silent, wrong or gone: end it, wait, start it again
//! ```
//! Invariants: `grab` returns within its deadline whatever the device or its program does; a picture answers the trigger that
//! asked for it, or was begun after the piece arrived, or is nobody's; no buffer is reserved after the start, and a piece
//! without a picture costs an error and never a wait; one thread (the appliance's) keeps one program.

mod keeper;
mod program;

pub use keeper::Keeper;

use super::wire::{Header, Order, TriggerMode};
use super::{Camera, CameraCounters, CameraError, Layout};
use crate::frame::{Blank, Frame, FramePool, MonoClock, Shot};
use crate::picture::Picture;
use program::Orders;
use station::piece::PieceId;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pieces in a row without a picture after which the program is started anew although its device answers.
const MISSES_MAX: u32 = 3;

/// What is agreed about one live camera.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Its name in records.
    pub name: String,
    /// The program that holds its driver.
    pub program: PathBuf,
    /// What the program is told.
    pub order: Order,
    /// The faultless picture, if the model compares.
    pub golden: Option<Arc<Picture>>,
    /// A piece without a picture this long after it was asked for is missed, in microseconds.
    pub frame_deadline_micros: u64,
    /// How much earlier than it was asked for a picture may come that a wire triggered, in microseconds.
    pub early_micros: u64,
    /// A picture of a free run counts if it arrives at least this long after it was asked for: what exposure and
    /// transport take, in microseconds. What arrives earlier may show the piece before.
    pub delay_micros: u64,
    /// A device that is not open this long after its program was started is tried again, in microseconds.
    pub open_deadline_micros: u64,
    /// Longest wait before the device is opened again, in microseconds.
    pub reconnect_max_micros: u64,
}

impl LiveSettings {
    fn layout(&self) -> Layout {
        Layout { width: self.order.width, height: self.order.height, format: self.order.format }
    }
}

/// A picture that came, or what is wrong with it.
#[derive(Debug)]
struct Arrived {
    header: Header,
    /// By the clock that never steps.
    received_micros: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Picture(Blank),
    Size(Layout),
    NoBuffer,
    /// The one before, sent again: what was the same.
    Stale(&'static str),
    /// Taken, but lost on the way.
    Broken,
}

#[derive(Debug)]
struct State {
    /// Why there is no device, or `None` if there is one.
    away: Option<String>,
    orders: Option<Orders>,
    /// The software trigger whose picture is waited for; 0 for none.
    wanted: u64,
    triggers: u64,
    arrived: Option<Arrived>,
    /// When the picture came that the newest one replaced, if nobody took it.
    replaced_micros: Option<u64>,
    misses_in_a_row: u32,
}

/// What camera and keeper share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
    stop: AtomicBool,
    /// The device answers but takes no pictures: start its program anew.
    restart: AtomicBool,
    counters: Arc<CameraCounters>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The capture thread's end of a live camera. When it is dropped, its keeper ends the program and returns.
#[derive(Debug)]
pub struct LiveCamera {
    settings: Arc<LiveSettings>,
    shared: Arc<Shared>,
    clock: Clock,
    /// When the picture was asked for that `collect` gives.
    asked_micros: u64,
    /// The trigger could not be given.
    refused: Option<CameraError>,
}

#[derive(Clone)]
struct Clock(MonoClock);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A live camera and its keeper, whose `run` is the body of a thread. Its pictures come from `pool`; `clock` stamps them.
#[must_use]
pub fn live(settings: LiveSettings, pool: FramePool, clock: MonoClock) -> (LiveCamera, Keeper) {
    let away = Some("it was not opened yet".to_owned());
    let state = State { away, orders: None, wanted: 0, triggers: 0, arrived: None, replaced_micros: None, misses_in_a_row: 0 };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        news: Condvar::new(),
        stop: AtomicBool::new(false),
        restart: AtomicBool::new(false),
        counters: Arc::default(),
    });
    let settings = Arc::new(settings);
    let clock = Clock(clock);
    let keeper = Keeper::new(Arc::clone(&settings), Arc::clone(&shared), pool, clock.clone());
    (LiveCamera { settings, shared, clock, asked_micros: 0, refused: None }, keeper)
}

impl LiveCamera {
    /// Waits until the device is open, at most this long. For people who ask whether it works.
    ///
    /// # Errors
    /// With the reason why it is not.
    pub fn wait_open(&self, at_most: Duration) -> Result<(), CameraError> {
        let state = self.shared.lock();
        let waited = self.shared.news.wait_timeout_while(state, at_most, |state| state.away.is_some());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.away.as_ref().map_or(Ok(()), |reason| Err(self.lost(reason)))
    }

    fn lost(&self, reason: &str) -> CameraError {
        CameraError::Lost { camera: self.settings.name.clone(), reason: reason.to_owned() }
    }

    /// Asks for a picture and comes back at once.
    fn ask(&mut self) {
        let mut state = self.shared.lock();
        let refused = state.away.clone();
        if refused.is_none() && self.settings.order.trigger == TriggerMode::Software {
            state.triggers += 1;
            state.wanted = state.triggers;
            // A picture that nobody took answers a trigger before this one.
            state.arrived = None;
            let number = state.triggers;
            if let Some(error) = state.orders.as_mut().and_then(|orders| orders.trigger(number).err()) {
                takes_no_orders(&mut state, &error);
                self.shared.restart.store(true, Ordering::Release);
            }
        }
        drop(state);
        self.refused = refused.map(|reason| self.lost(&reason));
        self.asked_micros = (self.clock.0)();
    }

    /// The earliest moment at which the picture of this piece may have come.
    fn since_micros(&self) -> u64 {
        match self.settings.order.trigger {
            TriggerMode::Software => 0,
            TriggerMode::Hardware => self.asked_micros.saturating_sub(self.settings.early_micros),
            TriggerMode::FreeRun => self.asked_micros + self.settings.delay_micros,
        }
    }

    /// The picture that was asked for, or why there is none.
    fn collect(&mut self, piece: PieceId) -> Result<Frame, CameraError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let since = self.since_micros();
        let until = since.max(self.asked_micros) + self.settings.frame_deadline_micros;
        let mut state = self.shared.lock();
        let arrived = loop {
            if let Some(arrived) = state.arrived.take_if(|arrived| arrived.received_micros >= since) {
                break arrived;
            }
            if let Some(reason) = &state.away {
                return Err(self.lost(reason));
            }
            let left = until.saturating_sub((self.clock.0)());
            if left == 0 {
                state.wanted = 0;
                state.misses_in_a_row += 1;
                if state.misses_in_a_row >= MISSES_MAX {
                    state.misses_in_a_row = 0;
                    self.shared.restart.store(true, Ordering::Release);
                }
                let millis = self.settings.frame_deadline_micros / 1000;
                return Err(CameraError::Late { camera: self.settings.name.clone(), millis });
            }
            let waited = self.shared.news.wait_timeout(state, Duration::from_micros(left));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        };
        state.wanted = 0;
        state.misses_in_a_row = 0;
        let replaced = state.replaced_micros.take();
        drop(state);
        if self.settings.order.trigger == TriggerMode::Hardware && replaced.is_some_and(|micros| micros >= since) {
            return Err(self.lost("two pictures came for one piece"));
        }
        self.seal(arrived, piece)
    }

    fn seal(&self, arrived: Arrived, piece: PieceId) -> Result<Frame, CameraError> {
        let camera = || self.settings.name.clone();
        let Arrived { header, received_micros, content } = arrived;
        let blank = match content {
            Content::Picture(blank) => blank,
            Content::Size(found) => return Err(CameraError::Size { camera: camera(), found, expected: self.settings.layout() }),
            Content::NoBuffer => return Err(CameraError::Pool),
            Content::Stale(same) => return Err(CameraError::Stale { camera: camera(), number: header.number, same }),
            Content::Broken => return Err(self.lost("its picture did not arrive whole: the network or this machine lost packets")),
        };
        let shot = Shot {
            width: header.width,
            height: header.height,
            format: header.format,
            number: header.number,
            mono_micros: header.device_micros,
            capture_micros: received_micros.saturating_sub(self.asked_micros),
            golden: self.settings.golden.clone(),
        };
        Frame::seal(blank, shot).map_err(|source| CameraError::Picture { camera: camera(), piece, source })
    }
}

/// The program does not take orders any more; its keeper will start it anew, and until then nobody need wait.
fn takes_no_orders(state: &mut State, error: &std::io::Error) {
    state.away = Some(format!("its program takes no orders: {error}"));
}

impl Camera for LiveCamera {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn take(&mut self, piece: PieceId, _: &FramePool) -> Result<Frame, CameraError> {
        self.ask();
        self.collect(piece)
    }

    fn patience_micros(&self) -> Option<u64> {
        Some(self.settings.frame_deadline_micros)
    }

    fn counters(&self) -> Option<Arc<CameraCounters>> {
        Some(Arc::clone(&self.shared.counters))
    }
}

impl Drop for LiveCamera {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.news.notify_all();
    }
}
