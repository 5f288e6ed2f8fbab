//! The hostile proxy for Modbus TCP: one task per client, one connection to the real server behind it.
//!
//! ```text
//!            request                      forward, or answer oneself
//!   client ──────────► held? ──► count ──► exception / frozen ──────────────► server
//!          ◄────────── held? ◄── spoil ◄── reply ◄───────────────────────────
//!   at any moment: forgotten (bytes are swallowed for ever) · closed · reset
//! ```
//! Invariants: requests of one connection are forwarded in their order, one at a time; bytes that a client sent into a black
//! hole reach the server when it is over, unless the client has reset the connection: that is what TCP does, and why a
//! client has to reset what it gives up; the port stays reserved while nobody listens on it.

use super::frame::Frame;
use super::{Mischief, Trouble};
use crate::sim::dice::Dice;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Replies kept to be replayed; one costs up to 500 bytes. When it is full all are forgotten, and the next are kept.
const KEPT_MAX: usize = 256;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// A connection on the same machine is made at once, or not at all.
const CONNECT: Duration = Duration::from_millis(50);

/// The proxy's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostileSettings {
    /// Where it listens (port 0 = any free port).
    pub listen: SocketAddr,
    /// The server behind it.
    pub upstream: SocketAddr,
    /// Seed of what it does at random.
    pub seed: u64,
    /// The trouble it begins with.
    pub trouble: Option<Trouble>,
}

/// What it has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deeds {
    /// Connections taken.
    pub connections: u64,
    /// Requests seen.
    pub requests: u64,
    /// Of them, answered wrongly.
    pub spoiled: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mood {
    trouble: Option<Trouble>,
    /// Counts up with every trouble.
    number: u64,
}

impl Mood {
    fn is(self, mischief: Mischief) -> bool {
        self.trouble.is_some_and(|trouble| trouble.mischief == mischief)
    }

    fn holds(self) -> bool {
        self.is(Mischief::BlackHole) || self.is(Mischief::Unreachable)
    }
}

/// Replies to reads, by unit and request.
type Kept = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

#[derive(Debug)]
struct Shared {
    settings: HostileSettings,
    mood: watch::Sender<Mood>,
    deeds: watch::Sender<Deeds>,
    kept: Mutex<Kept>,
}

/// A proxy that misbehaves.
#[derive(Debug)]
pub struct Hostile {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Keeps the port while nobody listens on it.
    reserved: TcpSocket,
}

impl Hostile {
    /// Takes the address to listen on; it is served by `run`.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn bind(settings: HostileSettings) -> io::Result<Self> {
        let reserved = socket(settings.listen)?;
        let address = reserved.local_addr()?;
        let mood = Mood { trouble: settings.trouble, number: 0 };
        let (mood, deeds) = (watch::Sender::new(mood), watch::Sender::new(Deeds::default()));
        Ok(Self { shared: Arc::new(Shared { settings, mood, deeds, kept: Mutex::default() }), address, reserved })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A hand on it.
    #[must_use]
    pub fn handle(&self) -> HostileHandle {
        HostileHandle { shared: Arc::clone(&self.shared) }
    }

    /// Misbehaves until `stop` resolves.
    ///
    /// # Errors
    /// If the listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let ended = tokio::select! {
            () = stop => Ok(()),
            ended = accept(&self.shared, self.address, &mut connections) => ended,
        };
        drop(self.reserved);
        ended
    }
}

/// Causes trouble. Every change is seen at once by every connection.
#[derive(Debug, Clone)]
pub struct HostileHandle {
    shared: Arc<Shared>,
}

impl HostileHandle {
    /// From now on there is this trouble, in place of any other.
    pub fn begin(&self, trouble: impl Into<Trouble>) {
        let trouble = Some(trouble.into());
        self.shared.mood.send_modify(|mood| *mood = Mood { trouble, number: mood.number + 1 });
    }

    /// It behaves again; what was forgotten stays forgotten.
    pub fn end(&self) {
        self.shared.mood.send_modify(|mood| mood.trouble = None);
    }

    /// What it has done so far.
    #[must_use]
    pub fn deeds(&self) -> Deeds {
        *self.shared.deeds.borrow()
    }

    /// Waits until it has done what is `wanted`; put a deadline around it.
    pub async fn wait_until(&self, mut wanted: impl FnMut(&Deeds) -> bool) -> Deeds {
        let mut deeds = self.shared.deeds.subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail; should it, the last state is the answer.
        deeds.wait_for(|deeds| wanted(deeds)).await.map_or_else(|_| self.deeds(), |deeds| *deeds)
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Two sockets share the port: one that listens, and one that never does and only keeps the port from others.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(shared: &Arc<Shared>, address: SocketAddr, connections: &mut JoinSet<()>) -> io::Result<()> {
    let mut mood = shared.mood.subscribe();
    let mut door = None;
    loop {
        let now = *mood.borrow_and_update();
        if now.is(Mischief::Refused) {
            door = None;
            changed(&mut mood).await;
        } else if now.is(Mischief::Unreachable) {
            drop(door.take());
            let full = full_door(address).await?;
            changed(&mut mood).await;
            drop(full);
        } else if now.holds() {
            changed(&mut mood).await;
        } else {
            let open = match door.take() {
                Some(open) => open,
                None => socket(address)?.listen(BACKLOG)?,
            };
            tokio::select! {
                () = changed(&mut mood) => {}
                client = open.accept() => take(shared, client?.0, connections).await,
            }
            door = Some(open);
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A door with so many waiting in front of it that nobody else can knock: connecting hangs, as it does when the cable is cut.
async fn full_door(address: SocketAddr) -> io::Result<(TcpListener, Vec<TcpStream>)> {
    let door = socket(address)?.listen(1)?;
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    Ok((door, waiting))
}

async fn changed(mood: &mut watch::Receiver<Mood>) {
    if mood.changed().await.is_err() {
        // Nobody can change it any more.
        std::future::pending().await
    }
}

/// Connections reach the server in the order in which they reach the proxy.
async fn take(shared: &Arc<Shared>, client: TcpStream, connections: &mut JoinSet<()>) {
    let since = shared.mood.borrow().number;
    shared.deeds.send_modify(|deeds| deeds.connections += 1);
    match TcpStream::connect(shared.settings.upstream).await {
        Ok(server) => {
            let shared = Arc::clone(shared);
            connections.spawn(async move { serve(&shared, client, server, since).await });
        }
        Err(error) => debug!(%error, "the server behind the hostile proxy is not there"),
    }
}

/// How a connection ends before its time.
enum Doom {
    Forgotten,
    Closed,
    Reset,
}

async fn serve(shared: &Shared, mut client: TcpStream, mut server: TcpStream, since: u64) {
    let doom = tokio::select! {
        biased;
        doom = doom(shared.mood.subscribe(), since) => doom,
        ended = converse(shared, &mut client, &mut server) => {
            debug!(?ended, "a conversation has ended");
            Doom::Closed
        }
    };
    match doom {
        Doom::Closed => {}
        Doom::Reset => {
            if let Err(error) = client.set_zero_linger() {
                debug!(%error, "the connection closes instead of being reset");
            }
        }
        Doom::Forgotten => {
            drop(server);
            let mut swallowed = [0; 512];
            while client.read(&mut swallowed).await.is_ok_and(|count| count > 0) {}
        }
    }
}

async fn doom(mut mood: watch::Receiver<Mood>, since: u64) -> Doom {
    let mut frozen = false;
    loop {
        let now = *mood.borrow_and_update();
        // A gateway that hung and is restarted drops what it had: nobody may go on as if the writes were known.
        if frozen && !now.is(Mischief::Frozen) {
            return Doom::Closed;
        }
        frozen = now.is(Mischief::Frozen);
        match now.trouble.map(|trouble| trouble.mischief) {
            Some(Mischief::HalfOpen) if now.number > since => return Doom::Forgotten,
            Some(Mischief::Close | Mischief::Refused) => return Doom::Closed,
            Some(Mischief::Reset) => return Doom::Reset,
            _ => changed(&mut mood).await,
        }
    }
}

async fn converse(shared: &Shared, client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    loop {
        hold(shared, client).await?;
        let Some(request) = Frame::take(&mut asked).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))? else {
            let count = tokio::select! {
                count = client.read_buf(&mut asked) => count?,
                count = server.read_buf(&mut answered) => {
                    answered.clear();
                    count?
                }
            };
            if count == 0 {
                return Ok(());
            }
            continue;
        };
        let reply = answer(shared, &request, server, &mut answered).await?;
        hold(shared, client).await?;
        client.write_all(&reply).await?;
    }
}

/// Waits while nothing gets through. An error if the client has reset the connection meanwhile: then what it sent is gone.
async fn hold(shared: &Shared, client: &TcpStream) -> io::Result<()> {
    let mut mood = shared.mood.subscribe();
    let mut held = false;
    while mood.borrow_and_update().holds() {
        held = true;
        changed(&mut mood).await;
    }
    match client.take_error()? {
        Some(error) if held => Err(error),
        _ => Ok(()),
    }
}

/// The bytes to answer `request` with.
async fn answer(shared: &Shared, request: &Frame, server: &mut TcpStream, answered: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let trouble = shared.mood.borrow().trouble;
    let mut number = 0;
    shared.deeds.send_modify(|deeds| {
        deeds.requests += 1;
        number = deeds.requests;
    });
    let spoil = trouble.filter(|trouble| number % u64::from(trouble.every.get()) == 0).map(|trouble| trouble.mischief);
    if spoil.is_some() {
        shared.deeds.send_modify(|deeds| deeds.spoiled += 1);
    }
    let replayed = if spoil == Some(Mischief::Frozen) { shared.replayed(request) } else { None };
    let reply = match (spoil, replayed) {
        (Some(Mischief::Exception(code)), _) => request.refused(code),
        (_, Some(replayed)) => replayed,
        _ => {
            let reply = forward(request, server, answered).await?;
            shared.keep(request, &reply);
            reply
        }
    };
    if let Some(Mischief::Slow(by)) = spoil {
        sleep(by).await;
    }
    Ok(match spoil {
        Some(mischief) => reply.spoiled(mischief, &mut Dice::of(shared.settings.seed, number)),
        None => reply.bytes(),
    })
}

async fn forward(request: &Frame, server: &mut TcpStream, answered: &mut Vec<u8>) -> io::Result<Frame> {
    server.write_all(&request.bytes()).await?;
    loop {
        if let Some(reply) = Frame::take(answered).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))? {
            return Ok(reply);
        }
        if server.read_buf(answered).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Shared {
    fn keep(&self, request: &Frame, reply: &Frame) {
        if request.is_read() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert((request.unit, request.pdu.clone()), reply.pdu.clone());
        }
    }

    /// What was true once; `None` if nobody has asked that before.
    fn replayed(&self, request: &Frame) -> Option<Frame> {
        if !request.is_read() {
            return request.acknowledged();
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let pdu = kept.get(&(request.unit, request.pdu.clone()))?.clone();
        Some(Frame { pdu, ..request.clone() })
    }
}
