//! The simulated PLC as a slave on a serial line (Modbus RTU).
//!
//! Invariants: what is for another unit, and what has no right check sum, gets no answer; without power nothing is answered;
//! a request behind which another has already come is done but not answered.

use super::SimSettings;
use super::handle::Outage;
use super::server::{Shared, Sim, scan};
use crate::server::ear::{self, Ear};
use crate::server::pdu;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_serial::SerialStream;
use tracing::info;

/// A pause between two bytes that ends a frame: more than the 1.75 ms of a fast line, because a pseudo terminal has no
/// timing and a busy machine has pauses of its own.
const SILENCE: Duration = Duration::from_millis(3);
/// After this long nothing more can belong to what was heard.
const ENDED: Duration = Duration::from_millis(25);

/// A serial line on which the PLC is one of the slaves.
#[derive(Debug)]
pub struct SerialDoor {
    port: SerialStream,
    unit: u8,
}

impl Sim<SerialDoor> {
    /// The same PLC as slave `unit` on a serial line that is open already.
    #[must_use]
    pub fn bind_serial(port: SerialStream, unit: u8, settings: SimSettings) -> Self {
        Self { shared: Shared::new(settings), door: SerialDoor { port, unit } }
    }

    /// Runs the program and answers the line's master until `stop` resolves.
    ///
    /// # Errors
    /// If the line fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
        info!(unit = self.door.unit, "the simulated PLC listens on its serial line");
        tokio::select! {
            () = stop => Ok(()),
            ended = listen(&self.shared, self.door) => ended,
            () = scan(&self.shared) => Ok(()),
        }
    }
}

async fn listen(shared: &Arc<Shared>, door: SerialDoor) -> io::Result<()> {
    let SerialDoor { mut port, unit } = door;
    let mut ear = Ear::new(unit);
    let mut chunk = [0; 256];
    let mut last = Instant::now();
    loop {
        let heard = if ear.waits() { timeout(ENDED, port.read(&mut chunk)).await.ok() } else { Some(port.read(&mut chunk).await) };
        match heard {
            Some(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Ok(bytes)) => ear.hear(&chunk[..bytes], last.elapsed() >= SILENCE),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        last = Instant::now();
        let mut due = None;
        while let Some(request) = ear.next(heard.is_none()) {
            due = None;
            if request.unit != unit || shared.is_out(Outage::Closed) || shared.is_out(Outage::PowerLost) {
                continue;
            }
            let answer = match pdu::request(&request.pdu) {
                Ok(asked) => shared.answers_of(1).answer(asked).await,
                Err(exception) => Err(exception),
            };
            due = Some(ear::frame(unit, &pdu::answer(&request.pdu, &answer)));
        }
        if let Some(frame) = due {
            port.write_all(&frame).await?;
            port.flush().await?;
        }
    }
}
