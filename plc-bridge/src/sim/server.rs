//! The simulated PLC's server and the hand that disturbs it.
//!
//! Invariants: the memory is locked for one request or one scan, never across an await; a closed outage ends every
//! connection and accepts none; a silent outage answers late, with what was asked for.

use super::bank::Bank;
use super::process::Disturbance;
use super::program::Program;
use super::{Observed, SimSettings};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};
use tracing::{debug, info};

/// How the PLC is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Connections are closed, new ones end at once.
    Closed,
    /// Connections stay, answers come only when it is over.
    Silent,
}

#[derive(Debug)]
struct Plc {
    bank: Bank,
    program: Program,
}

#[derive(Debug)]
struct Shared {
    plc: Mutex<Plc>,
    outage: watch::Sender<Option<(Outage, Instant)>>,
    seen: watch::Sender<Observed>,
}

impl Shared {
    fn plc(&self) -> MutexGuard<'_, Plc> {
        // A scan that panicked leaves memory that is still memory.
        self.plc.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulated PLC.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    scan_interval: Duration,
}

impl Sim {
    /// Listens at `address` (port 0 = any free port).
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, settings: SimSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let scan_interval = settings.scan_interval;
        let plc = Plc { bank: Bank::default(), program: Program::new(settings) };
        let shared = Shared { plc: Mutex::new(plc), outage: watch::Sender::new(None), seen: watch::Sender::new(Observed::default()) };
        Ok(Self { shared: Arc::new(shared), listener, address, scan_interval })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A hand on it.
    #[must_use]
    pub fn handle(&self) -> SimHandle {
        SimHandle { shared: Arc::clone(&self.shared) }
    }

    /// Runs the program and serves clients until `stop` resolves.
    ///
    /// # Errors
    /// If the listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
        info!(address = %self.address, "the simulated PLC listens");
        let server = Server::new(self.listener);
        tokio::select! {
            () = stop => Ok(()),
            ended = serve(&server, &self.shared) => ended,
            () = scan(&self.shared, self.scan_interval) => Ok(()),
        }
    }
}

async fn scan(shared: &Shared, every: Duration) {
    let mut ticks = interval(every);
    // Scans that were missed on a busy machine are not made up for: the belt moves by time, not by scans.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let observed = {
            let mut plc = shared.plc();
            let Plc { bank, program } = &mut *plc;
            program.scan(bank, now - last);
            program.seen.clone()
        };
        last = now;
        shared.seen.send_replace(observed);
    }
}

/// Serves until the socket fails. A closed outage drops the server's future, and with it every connection.
async fn serve(server: &Server, shared: &Arc<Shared>) -> io::Result<()> {
    let mut outage = shared.outage.subscribe();
    loop {
        let accept = |stream: TcpStream, peer: SocketAddr| {
            let closed = matches!(*shared.outage.borrow(), Some((Outage::Closed, until)) if Instant::now() < until);
            let shared = Arc::clone(shared);
            async move {
                debug!(%peer, closed, "a client connects");
                if closed {
                    return Ok(None);
                }
                stream.set_nodelay(true)?;
                Ok(Some((Answers { shared }, stream)))
            }
        };
        tokio::select! {
            ended = server.serve(&accept, |error| debug!(%error, "a client was lost")) => return ended,
            closed = next_closed(&mut outage) => if !closed { return Ok(()) },
        }
    }
}

/// Waits until a closed outage begins; false if nobody can begin one any more.
async fn next_closed(outage: &mut watch::Receiver<Option<(Outage, Instant)>>) -> bool {
    while outage.changed().await.is_ok() {
        if matches!(*outage.borrow_and_update(), Some((Outage::Closed, _))) {
            return true;
        }
    }
    false
}

struct Answers {
    shared: Arc<Shared>,
}

impl Service for Answers {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let silence = *shared.outage.borrow();
            if let Some((Outage::Silent, until)) = silence {
                sleep_until(until).await;
            }
            shared.plc().bank.answer(&request)
        })
    }
}

/// Watches a simulated PLC and causes trouble. Every change is seen by the next scan.
#[derive(Debug, Clone)]
pub struct SimHandle {
    shared: Arc<Shared>,
}

impl SimHandle {
    /// The line after its last scan.
    #[must_use]
    pub fn observe(&self) -> Observed {
        self.shared.seen.borrow().clone()
    }

    /// Waits until the line is as `wanted` and gives what was seen then; put a deadline around it.
    pub async fn wait_until(&self, mut wanted: impl FnMut(&Observed) -> bool) -> Observed {
        let mut seen = self.shared.seen.subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail; should it, the last state is the answer.
        match seen.wait_for(|observed| wanted(observed)).await {
            Ok(observed) => observed.clone(),
            Err(_) => self.observe(),
        }
    }

    /// Holding registers as a client would read them; `None` if not all of them exist.
    #[must_use]
    pub fn holding(&self, address: u16, count: u16) -> Option<Vec<u16>> {
        self.shared.plc().bank.holding(address, count).map(<[u16]>::to_vec)
    }

    /// Something goes wrong with the process.
    pub fn disturb(&self, disturbance: Disturbance) {
        self.shared.plc().program.faults.process.push(disturbance);
    }

    /// The PLC is absent for `duration`.
    pub fn outage(&self, outage: Outage, duration: Duration) {
        self.shared.outage.send_replace(Some((outage, Instant::now() + duration)));
    }

    /// PlcHeartbeat stands still, or moves again.
    pub fn freeze_heartbeat(&self, frozen: bool) {
        self.shared.plc().program.faults.heartbeat_frozen = frozen;
    }

    /// RejectBinFull.
    pub fn fill_bin(&self, full: bool) {
        self.shared.plc().program.faults.bin_full = full;
    }

    /// EStop: the belt stands whatever the appliance permits.
    pub fn press_estop(&self, pressed: bool) {
        self.shared.plc().program.faults.estop = pressed;
    }

    /// The key switch StopInhibit.
    pub fn turn_inhibit(&self, inhibit: bool) {
        self.shared.plc().program.faults.stop_inhibit = inhibit;
    }

    /// The next piece is a challenge piece.
    pub fn next_is_golden(&self) {
        self.shared.plc().program.faults.golden_next = true;
    }

    /// The next `count` rejects are not confirmed.
    pub fn lose_confirmations(&self, count: u32) {
        self.shared.plc().program.faults.confirmations_lost = count;
    }
}
