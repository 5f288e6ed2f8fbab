//! The simulated PLC's server: who may see the memory, and when.
//!
//! ```text
//!   scan  ▐████▌          ▐██████▌         ▐███▌            scan_time ± jitter: nobody is answered
//!         │    └ outputs   │      └ outputs │   └ outputs
//!         └ inputs         └ inputs         └ inputs
//!   requests    └──┬──┘          └──┬──┘        └── answered between two scans, in the order in which they came
//! ```
//! Invariants: the memory is locked for one request or one scan, never across an await; nothing is answered within a scan;
//! a closed outage ends every connection and accepts none; a silent outage answers late, with what was asked for; a
//! request of a connection from before a loss of power changes nothing.

use super::audit::Auditor;
use super::bank::Bank;
use super::dice::Dice;
use super::handle::{Outage, SimHandle};
use super::program::Program;
use super::{Observed, SimSettings};
use crate::jmap::Order;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};
use tracing::{debug, info};

#[derive(Debug)]
pub(super) struct Plc {
    pub(super) bank: Bank,
    pub(super) program: Program,
    pub(super) auditor: Auditor,
    /// Counts up with every loss of power.
    pub(super) power: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: SimSettings,
    plc: Mutex<Plc>,
    pub(super) outage: watch::Sender<Option<(Outage, Instant)>>,
    pub(super) seen: watch::Sender<Observed>,
    scanning: watch::Sender<bool>,
    connections: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: SimSettings) -> Arc<Self> {
        // The program has run before anyone connects: whoever is first sees what it set, and not a memory before its first scan.
        let program = Program::new(settings.clone());
        let bank = Bank { control: program.control.encode(Order::default()), ..Bank::default() };
        let plc = Plc { bank, program, auditor: Auditor::default(), power: 0 };
        Arc::new(Self {
            settings,
            plc: Mutex::new(plc),
            outage: watch::Sender::new(None),
            seen: watch::Sender::new(Observed::default()),
            scanning: watch::Sender::new(false),
            connections: AtomicU64::new(0),
        })
    }

    pub(super) fn plc(&self) -> MutexGuard<'_, Plc> {
        // A scan that panicked leaves memory that is still memory.
        self.plc.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_out(&self, outage: Outage) -> bool {
        matches!(*self.outage.borrow(), Some((now, until)) if now == outage && Instant::now() < until)
    }

    /// A new connection, numbered.
    pub(super) fn answers(self: &Arc<Self>) -> Answers {
        self.answers_of(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn answers_of(self: &Arc<Self>, connection: u64) -> Answers {
        Answers { shared: Arc::clone(self), connection, power: self.plc().power }
    }
}

/// The simulated PLC behind `D`: a listening socket, or a serial line.
#[derive(Debug)]
pub struct Sim<D = TcpListener> {
    pub(super) shared: Arc<Shared>,
    pub(super) door: D,
}

impl<D> Sim<D> {
    /// A hand on it.
    #[must_use]
    pub fn handle(&self) -> SimHandle {
        SimHandle { shared: Arc::clone(&self.shared) }
    }
}

impl Sim {
    /// Listens at `address` (port 0 = any free port).
    ///
    /// # Errors
    /// If the address cannot be bound, or its address cannot be read back.
    pub async fn bind(address: SocketAddr, settings: SimSettings) -> io::Result<Self> {
        let door = TcpListener::bind(address).await?;
        door.local_addr()?;
        Ok(Self { shared: Shared::new(settings), door })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        // It was read once in `bind`; a socket does not forget its address.
        self.door.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Runs the program and serves clients until `stop` resolves.
    ///
    /// # Errors
    /// If the listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
        info!(address = %self.local_addr(), "the simulated PLC listens");
        let server = Server::new(self.door);
        tokio::select! {
            () = stop => Ok(()),
            ended = serve(&server, &self.shared) => ended,
            () = scan(&self.shared) => Ok(()),
        }
    }
}

/// Scans for ever. Without power nothing is scanned, and the first scan after it is that of a fresh program.
pub(super) async fn scan(shared: &Shared) {
    let SimSettings { seed, scan_interval, scan_time, scan_jitter, .. } = shared.settings;
    let mut ticks = interval(scan_interval);
    // Scans that were missed on a busy machine are not made up for: the belt moves by time, not by scans.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut number = 0;
    loop {
        ticks.tick().await;
        if shared.is_out(Outage::PowerLost) {
            last = Instant::now();
            continue;
        }
        if !scan_time.is_zero() {
            number += 1;
            shared.scanning.send_replace(true);
            sleep(jittered(scan_time, scan_jitter, &mut Dice::of(seed, number))).await;
        }
        let now = Instant::now();
        let mut observed = {
            let mut plc = shared.plc();
            let Plc { bank, program, .. } = &mut *plc;
            program.scan(bank, now - last);
            program.seen.clone()
        };
        shared.scanning.send_if_modified(std::mem::take);
        last = now;
        let before = shared.seen.borrow();
        let fell = before.run_permit && !observed.run_permit;
        observed.permit_fell = if fell { Some(now.into_std()) } else { before.permit_fell };
        drop(before);
        shared.seen.send_replace(observed);
    }
}

/// `time`, up to `jitter` longer.
fn jittered(time: Duration, jitter: Duration, dice: &mut Dice) -> Duration {
    let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
    time + Duration::from_micros(dice.below(most.saturating_add(1)))
}

/// Serves until the socket fails. An outage that closes drops the server's future, and with it every connection.
async fn serve(server: &Server, shared: &Arc<Shared>) -> io::Result<()> {
    let mut outage = shared.outage.subscribe();
    loop {
        let accept = |stream: TcpStream, peer: SocketAddr| {
            let closed = shared.is_out(Outage::Closed) || shared.is_out(Outage::PowerLost);
            let answers = shared.answers();
            async move {
                debug!(%peer, closed, "a client connects");
                if closed {
                    return Ok(None);
                }
                stream.set_nodelay(true)?;
                Ok(Some((answers, stream)))
            }
        };
        tokio::select! {
            ended = server.serve(&accept, |error| debug!(%error, "a client was lost")) => return ended,
            closed = next_closed(&mut outage) => if !closed { return Ok(()) },
        }
    }
}

/// Waits until an outage begins that ends connections; false if nobody can begin one any more.
async fn next_closed(outage: &mut watch::Receiver<Option<(Outage, Instant)>>) -> bool {
    while outage.changed().await.is_ok() {
        if matches!(*outage.borrow_and_update(), Some((Outage::Closed | Outage::PowerLost, _))) {
            return true;
        }
    }
    false
}

/// What one connection is answered.
pub(super) struct Answers {
    shared: Arc<Shared>,
    connection: u64,
    power: u64,
}

impl Answers {
    pub(super) fn answer(&self, request: Request<'static>) -> impl Future<Output = Result<Response, ExceptionCode>> + Send + use<> {
        let (shared, connection, power) = (Arc::clone(&self.shared), self.connection, self.power);
        async move {
            // On a connection that an outage closes nothing is answered any more, however soon the request came.
            let outage = *shared.outage.borrow();
            if let Some((_, until)) = outage {
                sleep_until(until).await;
            }
            // The sender lives in `shared`; should waiting fail nevertheless, nobody scans.
            if shared.scanning.subscribe().wait_for(|scanning| !scanning).await.is_err() {
                debug!("the simulated PLC does not scan any more");
            }
            let mut plc = shared.plc();
            if plc.power != power {
                return Err(ExceptionCode::ServerDeviceFailure);
            }
            let response = plc.bank.answer(&request)?;
            if writes(&request) {
                let Plc { bank, auditor, .. } = &mut *plc;
                auditor.note(connection, &bank.status);
            }
            Ok(response)
        }
    }
}

const fn writes(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::WriteSingleRegister(..)
            | Request::WriteMultipleRegisters(..)
            | Request::MaskWriteRegister(..)
            | Request::ReadWriteMultipleRegisters(..)
    )
}

impl Service for Answers {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        Box::pin(self.answer(request))
    }
}
