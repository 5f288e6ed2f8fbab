//! The thread that keeps a camera's program: starts it, takes its pictures, ends it when it is silent or wrong, starts it again.
//!
//! ```text
//!   ┌─▶ start ── Ready before the open deadline ──▶ frames ──┐
//!   │      └───── too late, wrong size, gone ───────┐        │ silent, out of step, gone, three misses in a row
//!   └── wait 50 ms, then twice as long each time ◀──┴── end ◀┘     (a picture that came makes it 50 ms again)
//! ```
//! Invariants: while there is no Ready device, whoever asks for a picture is told so at once; the wait is bounded, so that a
//! device that is back is found; of a picture that does not fit every byte is read, so that the next header is found.

use super::super::wire::{HEADER_BYTES, Header, Kind, TEXT_BYTES_MAX, TriggerMode, WireError, monotonic_micros};
use super::super::{CameraError, Layout};
use super::program::{Program, Unread};
use super::{Arrived, Clock, Content, LiveSettings, Shared};
use crate::frame::FramePool;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A program that says nothing for this long has a device that hangs: four times as long as it may be silent.
const SILENCE_MICROS: u64 = 400_000;
/// First wait before a device is opened again.
const RECONNECT_MIN_MICROS: u64 = 50_000;
/// Pictures that do not fit are read through a buffer of this size.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Keeps one camera's program. `run` is the body of a thread.
#[derive(Debug)]
pub struct Keeper {
    settings: Arc<LiveSettings>,
    shared: Arc<Shared>,
    pool: FramePool,
    clock: Clock,
    scratch: Box<[u8]>,
    /// Numbers of a device that was opened anew begin after those that it gave before.
    number_base: u64,
    number_last: u64,
    /// Our clock and the device's at the first picture since it was opened.
    epoch: Option<(u64, u64)>,
    /// Number and stamp of the picture that came before.
    before: Option<(u64, u64)>,
    wait_micros: u64,
    /// A program that not even the kernel could end. While there is one, its device is busy.
    undead: Option<Child>,
}

impl Keeper {
    pub(super) fn new(settings: Arc<LiveSettings>, shared: Arc<Shared>, pool: FramePool, clock: Clock) -> Self {
        let scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        let wait_micros = RECONNECT_MIN_MICROS;
        Self {
            settings,
            shared,
            pool,
            clock,
            scratch,
            number_base: 0,
            number_last: 0,
            epoch: None,
            before: None,
            wait_micros,
            undead: None,
        }
    }

    /// Keeps the program until the camera is dropped. `told` hears what people should know: a device that is away, with the
    /// reason, and `None` when it is back.
    pub fn run(mut self, mut told: impl FnMut(Option<&str>)) {
        let mut last: Option<String> = None;
        while !self.is_stopped() {
            let reason = self.once(&mut || {
                if last.take().is_some() {
                    told(None);
                }
            });
            if self.is_stopped() {
                break;
            }
            if last.as_deref() != Some(&reason) {
                told(Some(&reason));
            }
            last = Some(reason);
            self.pause();
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        (self.clock.0)()
    }

    /// One life of the program; gives the reason of its end.
    fn once(&mut self, opened: &mut dyn FnMut()) -> String {
        if let Some(child) = &mut self.undead {
            if matches!(child.try_wait(), Ok(None)) {
                return self.away("its driver hangs in the kernel and cannot be ended; restart the machine".to_owned());
            }
            self.undead = None;
        }
        let (mut program, orders) = match Program::start(&self.settings.program, &self.settings.order) {
            Ok(started) => started,
            Err(error) => return self.away(format!("{} cannot be started: {error}", self.settings.program.display())),
        };
        self.shared.restart.store(false, Ordering::Release);
        let mut orders = Some(orders);
        (self.epoch, self.before) = (None, None);
        self.number_base = self.number_last;
        let reason = loop {
            if let Err(reason) = self.hear(&mut program, &mut orders, opened) {
                break reason;
            }
        };
        let reason = self.away(reason);
        let politely = self.is_stopped();
        drop(orders);
        self.undead = program.end(politely);
        reason
    }

    /// Tells everybody that there is no device, and closes its orders.
    fn away(&self, reason: String) -> String {
        let mut state = self.shared.lock();
        state.away = Some(reason.clone());
        state.orders = None;
        state.arrived = None;
        drop(state);
        self.shared.counters.set_trouble(Some(&reason));
        self.shared.news.notify_all();
        reason
    }

    /// One message of the program.
    fn hear(&mut self, program: &mut Program, orders: &mut Option<super::Orders>, opened: &mut dyn FnMut()) -> Result<(), String> {
        let is_open = orders.is_none();
        let patience = if is_open { SILENCE_MICROS } else { self.settings.open_deadline_micros };
        let mut bytes = [0; HEADER_BYTES];
        // Of a device that is not open yet every sign of life would prolong the wait: the deadline is that of the opening.
        let until = self.now() + patience;
        let mut header = loop {
            self.read(program, &mut bytes, until)?;
            let header = Header::decode(&bytes).map_err(|error| self.nonsense(error))?;
            if is_open || header.kind != Kind::Alive {
                break header;
            }
        };
        // When the driver gave it out, on our clock.
        let received = self.now().saturating_sub(monotonic_micros().saturating_sub(header.given_micros));
        match header.kind {
            Kind::Alive => Ok(()),
            Kind::Ready if is_open => Err("it says twice that it is ready".to_owned()),
            Kind::Ready => {
                self.check_ready(&header)?;
                self.ready(orders.take());
                opened();
                Ok(())
            }
            Kind::Frame if is_open => {
                header.number = header.number.saturating_add(self.number_base);
                self.number_last = self.number_last.max(header.number);
                let same = self.same(&header);
                header.device_micros = self.stamp(header.device_micros, received);
                self.shared.counters.frame();
                self.wait_micros = RECONNECT_MIN_MICROS;
                let content = self.take(program, &header, same)?;
                self.offer(Arrived { header, received_micros: received, content });
                Ok(())
            }
            Kind::Broken if is_open => {
                // Of a free run the next one comes soon, and is waited for.
                if self.settings.order.trigger != TriggerMode::FreeRun {
                    self.offer(Arrived { header, received_micros: received, content: Content::Broken });
                }
                Ok(())
            }
            Kind::Frame | Kind::Broken => Err("it sends pictures before it is ready".to_owned()),
            Kind::Trouble => Err(self.trouble(program, header.bytes)?),
        }
    }

    fn nonsense(&self, error: WireError) -> String {
        format!("{} is not of this version, or broken: {error}", self.settings.program.display())
    }

    fn read(&self, program: &mut Program, out: &mut [u8], until: u64) -> Result<(), String> {
        let called_off = || self.is_stopped() || self.shared.restart.load(Ordering::Acquire);
        program.read(out, until, &|| self.now(), &called_off).map_err(|unread| match unread {
            Unread::Silent if self.shared.lock().away.is_some() => {
                format!("it was not open after {} ms (open_deadline_millis)", self.settings.open_deadline_micros / 1000)
            }
            Unread::Silent => "it does not answer".to_owned(),
            Unread::CalledOff if self.is_stopped() => "the station ends".to_owned(),
            Unread::CalledOff => format!("it answers, but gave {} pieces in a row no picture", super::MISSES_MAX),
            Unread::Gone(None) => "its program has ended".to_owned(),
            Unread::Gone(Some(error)) => format!("its program cannot be heard: {error}"),
        })
    }

    fn check_ready(&self, header: &Header) -> Result<(), String> {
        let (found, expected) = (Layout { width: header.width, height: header.height, format: header.format }, self.settings.layout());
        if found == expected { Ok(()) } else { Err(CameraError::Size { camera: self.settings.name.clone(), found, expected }.to_string()) }
    }

    fn ready(&self, orders: Option<super::Orders>) {
        let mut state = self.shared.lock();
        state.away = None;
        state.orders = orders;
        state.misses_in_a_row = 0;
        state.replaced_micros = None;
        drop(state);
        self.shared.counters.set_trouble(None);
        self.shared.news.notify_all();
    }

    /// The device's own time on our clock, so that a picture that is sent again has the same stamp again.
    fn stamp(&mut self, device: u64, received: u64) -> u64 {
        if device == 0 {
            return received;
        }
        let (ours, theirs) = *self.epoch.get_or_insert((received, device));
        if device >= theirs { ours.saturating_add(device - theirs) } else { ours.saturating_sub(theirs - device) }
    }

    /// What this picture has in common with the one before. The guard behind knows only those that a piece got: of a free run
    /// that froze, it would take the first repetition of one that nobody looked at for new.
    fn same(&mut self, header: &Header) -> Option<&'static str> {
        let before = self.before.replace((header.number, header.device_micros));
        let (number, stamp) = before?;
        if number == header.number {
            Some("same number")
        } else if stamp == header.device_micros && stamp != 0 {
            Some("same time stamp")
        } else {
            None
        }
    }

    /// The bytes of a picture, or what is wrong with it.
    fn take(&mut self, program: &mut Program, header: &Header, same: Option<&'static str>) -> Result<Content, String> {
        let layout = Layout { width: header.width, height: header.height, format: header.format };
        let bytes = usize::try_from(header.bytes).unwrap_or(usize::MAX);
        let until = self.now() + SILENCE_MICROS.max(self.settings.frame_deadline_micros);
        if layout != self.settings.layout() {
            self.skip(program, bytes, until)?;
            return Ok(Content::Size(layout));
        }
        if let Some(same) = same {
            self.skip(program, bytes, until)?;
            return Ok(Content::Stale(same));
        }
        // Nobody waits for it: it need not take a buffer from those that are looked at.
        if !self.is_wanted(header) {
            self.skip(program, bytes, until)?;
            return Ok(Content::NoBuffer);
        }
        let newest = || self.shared.lock().arrived.take();
        let Some(mut blank) = self.pool.take().or_else(|| drop_and_take(newest(), &self.pool)) else {
            self.skip(program, bytes, until)?;
            return Ok(Content::NoBuffer);
        };
        match blank.bytes_mut().get_mut(..bytes) {
            Some(out) => self.read(program, out, until).map(|()| Content::Picture(blank)),
            None => self.skip(program, bytes, until).map(|()| Content::Size(layout)),
        }
    }

    fn is_wanted(&self, header: &Header) -> bool {
        self.settings.order.trigger != TriggerMode::Software || (header.trigger != 0 && header.trigger == self.shared.lock().wanted)
    }

    fn skip(&mut self, program: &mut Program, mut bytes: usize, until: u64) -> Result<(), String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut read = Ok(());
        while bytes > 0 && read.is_ok() {
            let step = bytes.min(scratch.len());
            read = self.read(program, &mut scratch[..step], until);
            bytes -= step;
        }
        self.scratch = scratch;
        read
    }

    /// Puts a picture where the capture thread looks. The newest wins.
    fn offer(&self, arrived: Arrived) {
        let mut state = self.shared.lock();
        if self.settings.order.trigger == TriggerMode::Software && (arrived.header.trigger == 0 || arrived.header.trigger != state.wanted) {
            // Too late for its piece, and of no other.
            return;
        }
        let before = state.arrived.replace(arrived);
        state.replaced_micros = before.as_ref().map(|before| before.received_micros);
        drop(state);
        self.shared.news.notify_all();
        drop(before);
    }

    fn trouble(&self, program: &mut Program, bytes: u32) -> Result<String, String> {
        let mut text = [0; TEXT_BYTES_MAX];
        let said = text.get_mut(..usize::try_from(bytes).unwrap_or(usize::MAX)).ok_or("it says too much")?;
        self.read(program, said, self.now() + SILENCE_MICROS)?;
        let plain: String = String::from_utf8_lossy(said).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(plain)
    }

    /// Waits before the device is opened again.
    fn pause(&mut self) {
        let wait = self.wait_micros.min(self.settings.reconnect_max_micros);
        self.wait_micros = (self.wait_micros * 2).min(self.settings.reconnect_max_micros.max(RECONNECT_MIN_MICROS));
        let state = self.shared.lock();
        let waited = self.shared.news.wait_timeout_while(state, Duration::from_micros(wait), |_| !self.is_stopped());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.shared.counters.reconnect();
    }
}

/// Gives up a picture that nobody took for one that is newer.
fn drop_and_take(old: Option<Arrived>, pool: &FramePool) -> Option<crate::frame::Blank> {
    drop(old);
    pool.take()
}
