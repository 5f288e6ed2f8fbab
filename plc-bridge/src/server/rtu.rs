//! Modbus RTU: one of the slaves on a serial line, which has exactly one master.
//!
//! Invariants: what is not for our unit gets no answer, and a broadcast (unit 0) is not for us: what moves a line must be
//! addressed; an answer begins no sooner than 3.5 characters after its request; a request behind which another frame has
//! already come is done but not answered, because its master has stopped waiting and would take the answer for the next.

use super::ear::{self, Ear};
use super::pdu;
use super::{Counter, FRAME_TIMEOUT, RETRY_FIRST};
use crate::serial::SerialLine;
use station::units::Timestamp;
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_serial::SerialStream;
use tracing::{info, warn};

/// The line has one master, so there is one session.
const SESSION: u64 = 1;
/// Silence after which nothing more can belong to a frame, beyond the standard's: USB adapters hold bytes back for up to
/// 16 ms by default.
const ADAPTER_DELAY: Duration = Duration::from_millis(20);
/// Read at once; a frame has at most 256 bytes.
const CHUNK: usize = 256;

/// Serves the line until dropped; a device that fails is opened again.
pub(super) async fn serve(counter: &Counter, line: &SerialLine) {
    let mut wait = RETRY_FIRST;
    let what = line.device.to_string_lossy();
    loop {
        match line.open() {
            Ok(port) => {
                info!(device = %what, unit = counter.server.unit, "the Modbus server listens on the serial line");
                wait = RETRY_FIRST;
                let Err(error) = listen(counter, line, port).await;
                warn!(device = %what, error = &error as &dyn Error, "the serial line failed");
                counter.leave(SESSION).await;
                sleep(wait).await;
            }
            Err(error) => counter.again(&mut wait, &what, &error).await,
        }
    }
}

/// Whether the line was silent for 3.5 characters before this chunk: the time since the last one, less the time that its
/// own bytes took.
fn silent_before(line: &SerialLine, last: Timestamp, now: Timestamp, bytes: usize) -> bool {
    let on_the_line = line.on_the_line(u32::try_from(bytes).unwrap_or(u32::MAX));
    let gap = Duration::from_micros(now.since(last).0);
    gap.saturating_sub(on_the_line) >= line.silence()
}

async fn listen(counter: &Counter, line: &SerialLine, mut port: SerialStream) -> io::Result<std::convert::Infallible> {
    let mut ear = Ear::new(counter.server.unit);
    let mut chunk = [0; CHUNK];
    let mut last = counter.now();
    loop {
        let patience = if ear.waits() { line.silence() + ADAPTER_DELAY } else { counter.server.idle_timeout };
        let heard = timeout(patience, port.read(&mut chunk)).await;
        let now = counter.now();
        let ended = match heard {
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(bytes)) => {
                ear.hear(&chunk[..bytes], silent_before(line, last, now, bytes));
                last = now;
                false
            }
            Ok(Err(error)) => return Err(error),
            Err(_) if ear.waits() => true,
            Err(_) => {
                counter.leave(SESSION).await;
                continue;
            }
        };
        answer(counter, line, &mut port, &mut ear, ended).await?;
    }
}

/// Does every request that was heard, and answers the last if nothing came behind it.
async fn answer(counter: &Counter, line: &SerialLine, port: &mut SerialStream, ear: &mut Ear, ended: bool) -> io::Result<()> {
    let mut due = None;
    while let Some(heard) = ear.next(ended) {
        due = None;
        if heard.unit != counter.server.unit {
            continue;
        }
        let (answer, last_word) = match pdu::request(&heard.pdu) {
            Ok(request) => {
                let answered = counter.answer(SESSION, &request).await;
                (answered.answer, answered.last_word)
            }
            Err(exception) => (Err(exception), false),
        };
        due = Some((ear::frame(heard.unit, &pdu::answer(&heard.pdu, &answer)), last_word));
    }
    let Some((frame, last_word)) = due else { return Ok(()) };
    sleep(line.silence()).await;
    let sending = async {
        port.write_all(&frame).await?;
        port.flush().await
    };
    timeout(FRAME_TIMEOUT + line.on_the_line(u32::try_from(frame.len()).unwrap_or(u32::MAX)), sending)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if last_word {
        counter.released.notify_one();
    }
    Ok(())
}
