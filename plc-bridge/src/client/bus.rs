//! A serial device and the one conversation at a time that it can carry (Modbus RTU).
//!
//! Whoever asks owns the device for one question and its answer; the higher rank goes first, so that outputs wait for at
//! most the one request in flight.
//!
//! ```text
//!            open        silent for as long as a slave may think      request sent       answer, whole and fitting
//!   closed ───────► deaf ───────────────────────────────────► ready ─────────────► asked ───────────────► ready
//!     ▲               ▲  what arrives meanwhile is thrown away                        │
//!     │ device gone   └───────────────────────────────────────────────────────────────┤ late, garbled, not the answer,
//!     └───────────────────────────────────────────────────────────────────────────────┘ or nobody waits any more
//! ```
//! RTU frames carry no number: a late answer to the last question looks exactly like the answer to the next one. Hence:
//!
//! Invariants: a codec that has met anything but the answer is thrown away, with all bytes it holds, and so is one behind
//! whose answer more bytes came; a unit that owes an
//! answer is first asked something with another function code. Slaves answer in order and the function code comes back in
//! the answer, in a refusal too, so once that question is answered nothing older is on its way. A write is never repeated
//! here, a read at most once, and only after bytes that made no sense.

use crate::serial::SerialLine;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Wakeful, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::{self, MutexGuard as Turn};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_modbus::client::{Client, Context, rtu};
use tokio_modbus::prelude::SlaveContext;
use tokio_modbus::{Error, ExceptionCode, Request, Response, Slave};
use tokio_serial::{ClearBuffer, SerialPort, SerialStream};
use tracing::debug;

/// Who goes first on a shared device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Permit, results, heartbeat.
    Outputs,
    /// The control block.
    Control,
    /// Everything else.
    Tags,
}

/// Why the line gave no answer.
#[derive(Debug)]
pub(super) enum BusError {
    /// The device does not open, or never falls silent.
    Closed(io::Error),
    /// No answer; it had this long.
    TimedOut(Duration),
    /// An answer that is none, or the device is gone.
    Broken(Error),
}

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) unit: u8,
    pub(super) request: Request<'a>,
    /// How long the slave may think.
    pub(super) thinks: Duration,
    /// Characters of the question and of its answer on the line.
    pub(super) characters: u32,
}

/// The devices in use, by name.
#[derive(Debug, Default)]
pub(crate) struct Buses(Mutex<BTreeMap<PathBuf, Arc<Bus>>>);

impl Buses {
    /// The device, shared with everybody who names it.
    pub(super) fn bus(&self, line: &SerialLine) -> io::Result<Arc<Bus>> {
        let mut buses = held(&self.0);
        let bus = buses.entry(line.device.clone()).or_insert_with(|| Arc::new(Bus::new(line.clone())));
        if bus.line != *line {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "two partners on one device differ in baud or parity; write them alike",
            ));
        }
        Ok(Arc::clone(bus))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics between lock and unlock; a device that was open still is.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The open device. It outlives the codecs that read from it, so that no other process can take it in between.
#[derive(Debug)]
struct Device {
    port: SerialStream,
    /// Bytes since the last question.
    heard: usize,
}

/// What a codec gets of the device.
#[derive(Debug, Clone)]
struct Ear(Arc<Mutex<Device>>);

impl Ear {
    /// Bytes lie there that nobody has read.
    fn hears(&self) -> bool {
        // A device that cannot say so fails with the next question.
        held(&self.0).port.bytes_to_read().is_ok_and(|bytes| bytes > 0)
    }
}

impl AsyncRead for Ear {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Wakeful<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut device = held(&self.0);
        let before = buf.filled().len();
        let read = Pin::new(&mut device.port).poll_read(cx, buf);
        device.heard += buf.filled().len() - before;
        read
    }
}

impl AsyncWrite for Ear {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Wakeful<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut held(&self.0).port).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Wakeful<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut held(&self.0).port).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Wakeful<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut held(&self.0).port).poll_shutdown(cx)
    }
}

/// Function codes of reads, all with a request of the same length, which every slave can frame even if it has no such table.
const READS: [u8; 4] = [3, 4, 1, 2];

/// What a unit still owes: answers by function code.
#[derive(Debug, Default)]
struct Debt(Vec<u8>);

impl Debt {
    fn fence(&self) -> Option<u8> {
        READS.into_iter().find(|code| !self.0.contains(code))
    }
}

/// What one conversation leaves for the next.
#[derive(Debug)]
struct State {
    device: Option<Ear>,
    /// Empty while a question is under way: whoever is interrupted leaves it so.
    codec: Option<Codec>,
    /// When the line was last used.
    used: Instant,
    /// The longest that any slave here may think.
    thinks: Duration,
    debts: BTreeMap<u8, Debt>,
}

struct Codec(Context);

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codec")
    }
}

/// One serial device.
#[derive(Debug)]
pub(crate) struct Bus {
    line: SerialLine,
    state: sync::Mutex<State>,
    waiting: [AtomicUsize; 3],
}

/// Counted among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn at(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A line that babbles for so many times the longest thought will not fall silent.
const PATIENCE: u32 = 10;

impl Bus {
    fn new(line: SerialLine) -> Self {
        let state = State { device: None, codec: None, used: Instant::now(), thinks: Duration::ZERO, debts: BTreeMap::new() };
        Self { line, state: sync::Mutex::new(state), waiting: Default::default() }
    }

    /// Opens the device if it is not open, and waits until the line is silent.
    pub(super) async fn open(&self, rank: Rank, thinks: Duration) -> Result<(), BusError> {
        let mut state = self.turn(rank).await;
        state.thinks = state.thinks.max(thinks);
        let codec = self.ready(&mut state).await?;
        state.codec = Some(codec);
        Ok(())
    }

    /// Asks, and gives the answer or the slave's refusal.
    pub(super) async fn ask(&self, rank: Rank, question: Question<'_>) -> Result<Result<Response, ExceptionCode>, BusError> {
        let mut state = self.turn(rank).await;
        state.thinks = state.thinks.max(question.thinks);
        self.fence(&mut state, &question).await?;
        let again = is_read(&question.request).then(|| question.clone());
        let answer = self.exchange(&mut state, question).await;
        let noise = answer.is_err() && state.device.as_ref().is_some_and(|ear| held(&ear.0).heard > 0);
        match again.filter(|_| noise) {
            Some(question) => {
                debug!(device = %self.line.device.display(), unit = question.unit, "bytes that made no sense; asking once more");
                self.fence(&mut state, &question).await?;
                self.exchange(&mut state, question).await
            }
            None => answer,
        }
    }

    /// Waits until nobody of a higher rank waits and the line is free.
    async fn turn(&self, rank: Rank) -> Turn<'_, State> {
        let (higher, own) = match rank {
            Rank::Outputs => (&self.waiting[..0], &self.waiting[0]),
            Rank::Control => (&self.waiting[..1], &self.waiting[1]),
            Rank::Tags => (&self.waiting[..2], &self.waiting[2]),
        };
        let _counted = Waiting::at(own);
        loop {
            let state = self.state.lock().await;
            if higher.iter().all(|waiting| waiting.load(Ordering::Acquire) == 0) {
                return state;
            }
            // The lock is handed on in the order in which it was asked for, so the higher rank gets it.
            drop(state);
            yield_now().await;
        }
    }

    /// A codec on a silent line. It is taken out of the state; only an answer puts it back.
    async fn ready(&self, state: &mut State) -> Result<Codec, BusError> {
        if let Some(codec) = state.codec.take() {
            sleep_until(state.used + self.line.silence()).await;
            if !state.device.as_ref().is_some_and(Ear::hears) {
                return Ok(codec);
            }
            // Nobody asked for these bytes. An answer that comes twice would be taken for the answer to the next question,
            // and so would every answer after it.
            debug!(device = %self.line.device.display(), "bytes that nobody asked for; waiting for silence");
        }
        let mut ear = match &state.device {
            Some(ear) => ear.clone(),
            None => {
                let port = self.line.open().map_err(|error| BusError::Closed(error.into()))?;
                state.device.insert(Ear(Arc::new(Mutex::new(Device { port, heard: 0 })))).clone()
            }
        };
        if let Err(error) = listen(&mut ear, state.thinks + self.line.silence()).await {
            state.device = None;
            return Err(BusError::Closed(error));
        }
        Ok(Codec(rtu::attach(ear)))
    }

    /// If the unit owes an answer, asks it something that cannot be mistaken for it.
    async fn fence(&self, state: &mut State, question: &Question<'_>) -> Result<(), BusError> {
        let Some(debt) = state.debts.get_mut(&question.unit) else { return Ok(()) };
        let Some(code) = debt.fence() else {
            // It answers none of the four. What it owes, if it still lives, is older than several long silences.
            state.debts.remove(&question.unit);
            state.codec = None;
            return Ok(());
        };
        let request = match code {
            3 => Request::ReadHoldingRegisters(0, 1),
            4 => Request::ReadInputRegisters(0, 1),
            1 => Request::ReadCoils(0, 1),
            _ => Request::ReadDiscreteInputs(0, 1),
        };
        let fence = Question { request, characters: 16, ..question.clone() };
        // Refused or not: it was answered, and so was everything before it.
        let _answered = self.exchange(state, fence).await?;
        state.debts.remove(&question.unit);
        Ok(())
    }

    async fn exchange(&self, state: &mut State, question: Question<'_>) -> Result<Result<Response, ExceptionCode>, BusError> {
        let Question { unit, request, thinks, characters } = question;
        let mut codec = self.ready(state).await?;
        if let Some(ear) = &state.device {
            held(&ear.0).heard = 0;
        }
        let code = request.function_code().value();
        state.debts.entry(unit).or_default().0.push(code);
        codec.0.set_slave(Slave(unit));
        let limit = thinks + self.line.on_the_line(characters) + self.line.silence();
        let answer = timeout(limit, codec.0.call(request)).await;
        state.used = Instant::now();
        match answer {
            Err(_) => Err(BusError::TimedOut(limit)),
            Ok(Err(Error::Transport(error))) if !is_noise(&error) => {
                state.device = None;
                Err(BusError::Broken(Error::Transport(error)))
            }
            Ok(Err(error)) => Err(BusError::Broken(error)),
            Ok(Ok(answer)) => {
                if let Some(debt) = state.debts.get_mut(&unit) {
                    debt.0.pop();
                    if debt.0.is_empty() {
                        state.debts.remove(&unit);
                    }
                }
                state.codec = Some(codec);
                Ok(answer)
            }
        }
    }
}

/// Bytes that make no sense, as against a device that is gone.
fn is_noise(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

const fn is_read(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::ReadHoldingRegisters(..) | Request::ReadInputRegisters(..) | Request::ReadCoils(..) | Request::ReadDiscreteInputs(..)
    )
}

/// Throws away what arrives until nothing did for `quiet`.
async fn listen(ear: &mut Ear, quiet: Duration) -> io::Result<()> {
    held(&ear.0).port.clear(ClearBuffer::Input).map_err(io::Error::from)?;
    let giving_up = Instant::now() + quiet * PATIENCE;
    let mut scratch = [0; 256];
    while Instant::now() < giving_up {
        match timeout(quiet, ear.read(&mut scratch)).await {
            Err(_) => return Ok(()),
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the line never falls silent; check baud, parity, termination and who else is a master"))
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
