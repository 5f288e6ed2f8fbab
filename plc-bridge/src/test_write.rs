//! Commissioning: one field of the status block is written by hand, so that the controls engineer sees the bit arrive in
//! the PLC program (`jidoka plc test-write`).
//!
//! ```text
//!  allowed? field? ─► VisionHeartbeat still for 1 s ─► zeros ─► the field ─► read back ─► hold ─► zeros ─► read back
//!       │                     │ it moves                                      │ heartbeat moves
//!       ▼                     ▼                                               ▼
//!    refused            refused: an appliance is alive         ended: one took over, the block is its own now
//! ```
//! Invariants: nothing is sent without the permission of the settings; every write passes the `Outlet` like those of the
//! appliance; never two writers: an appliance that is alive, or comes to life, ends the test, and nothing is written over
//! its block; whatever else ends it, the block is zero again, or the error says that it is not.
//!
//! A test of RunPermit shows the PLC's watchdog at work: the heartbeat stands still, so the PLC must not run for it.

use crate::bridge::Settings;
use crate::client::{ClientSettings, Outlet, WireError, Write};
use crate::jmap::{Field, STATUS, STATUS_HEAD, STATUS_LEN};
use crate::look::{Eye, WHOLE_STATUS};
use std::pin::{Pin, pin};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// VisionHeartbeat must stand still for so long before anything is written: ten of its beats, twice the PLC's watchdog.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two looks meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Attempts to restore the zeros, a look apart.
const RESTORES_MAX: u32 = 5;

/// The permission in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Commissioning {
    /// Production: no test writes.
    #[default]
    Forbidden,
    /// The line is being commissioned.
    Allowed,
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestWrite {
    /// A field of the status block by its name in the map, for example `RunPermit`.
    pub field: String,
    /// Its value; a flag is 0 or 1.
    pub value: u32,
    /// How long it stays.
    pub hold: Duration,
}

/// How far the test is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestStep {
    /// No appliance is alive there; the block is about to be zeroed.
    Quiet,
    /// The field was written, at this place (`1001.7`).
    Written {
        /// Absolute register, and bit.
        place: String,
    },
    /// It read back as written and is held.
    Holding,
    /// The PLC set it to zero by itself, this long after the write.
    TakenBack {
        /// Until the look that showed it.
        after: Duration,
    },
    /// The block is zero again.
    Restored,
}

/// How the test went. The block is zero again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestOutcome {
    /// The value stood there until the end.
    Held,
    /// The PLC took it back, as it must with RunPermit while the heartbeat stands still.
    TakenBack {
        /// Until the look that showed it.
        after: Duration,
    },
}

/// Why the test did not go through.
#[derive(Debug, Error)]
pub enum TestWriteError {
    /// The settings do not allow it. Nothing was sent.
    #[error("test writes are for commissioning only; allow them in the settings while the line is being commissioned")]
    NotCommissioning,
    /// No such field. Nothing was sent.
    #[error("the status block has no field `{0}`; the symbol list of the map has all of them, upper and lower case as there")]
    NoSuchField(String),
    /// The field holds no single number. Nothing was sent.
    #[error("`{0}` holds more than one number; choose a field that is a flag, a number or a counter")]
    NotOneNumber(&'static str),
    /// The value does not fit the field. Nothing was sent.
    #[error("{value} does not fit `{field}`")]
    DoesNotFit {
        /// The field.
        field: &'static str,
        /// The value.
        value: u32,
    },
    /// It was ended before anything was written.
    #[error("ended before anything was written")]
    Ended,
    /// An appliance is alive there. Nothing was written.
    #[error("an appliance is alive at this PLC (VisionHeartbeat moved from {from} to {to}); stop it first")]
    Alive {
        /// Its heartbeat.
        from: u16,
        /// And then.
        to: u16,
    },
    /// An appliance came to life while the value was held; the block is its own now.
    #[error("an appliance came to life at this PLC and has taken over the status block")]
    TakenOver,
    /// It read back as something that nobody wrote here. The block is zero again.
    #[error("`{field}` was written as {value} and reads {reads}; is there a second writer, or another word order?")]
    NotAsWritten {
        /// The field.
        field: &'static str,
        /// What was written.
        value: u32,
        /// What was read.
        reads: String,
    },
    /// The PLC cannot be reached, or refused.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The block could not be set back to zero.
    #[error("`{field}` may still stand in the PLC, the block could not be set back to zero; start the appliance, or clear {place} by hand")]
    NotRestored {
        /// The field.
        field: &'static str,
        /// Absolute register, and bit.
        place: String,
        /// Why not.
        #[source]
        source: WireError,
    },
}

/// Writes one field of the status block of `plc`, holds it, and sets the whole block back to zero, also when `stop`
/// resolves or something fails. `tell` hears how far it is. Dropping the future leaves the value where it is.
///
/// # Errors
/// See `TestWriteError`; it says each time whether something was written.
pub async fn test_write(
    settings: &Settings,
    plc: &ClientSettings,
    commissioning: Commissioning,
    write: &TestWrite,
    mut tell: impl FnMut(TestStep) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<TestOutcome, TestWriteError> {
    if commissioning == Commissioning::Forbidden {
        return Err(TestWriteError::NotCommissioning);
    }
    let field = STATUS.iter().find(|field| field.name == write.field).ok_or_else(|| TestWriteError::NoSuchField(write.field.clone()))?;
    if field.most().is_none() {
        return Err(TestWriteError::NotOneNumber(field.name));
    }
    let words = field.registers(write.value, settings.order);
    let words = words.ok_or(TestWriteError::DoesNotFit { field: field.name, value: write.value })?;
    let mut hand = Hand { settings, plc, eye: Eye::alone(&plc.peer), outlet: Outlet::new(plc.rules()) };
    let mut stop = pin!(stop);
    tokio::select! {
        biased;
        () = &mut stop => return Err(TestWriteError::Ended),
        quiet = hand.quiet() => quiet?,
    }
    tell(TestStep::Quiet);
    let outcome = hand.write_and_hold(field, &words, write, &mut tell, stop.as_mut()).await;
    let taken_back = !matches!(outcome, Ok(TestOutcome::Held));
    match outcome {
        Err(TestWriteError::TakenOver) => return Err(TestWriteError::TakenOver),
        // The zero may be that of an appliance which has just begun.
        _ if taken_back && matches!(hand.quiet().await, Err(TestWriteError::Alive { .. })) => return Err(TestWriteError::TakenOver),
        _ => {}
    }
    let not_restored = |source| TestWriteError::NotRestored { field: field.name, place: field.place(plc.status_base), source };
    hand.restore().await.map_err(not_restored)?;
    tell(TestStep::Restored);
    outcome
}

struct Hand<'a> {
    settings: &'a Settings,
    plc: &'a ClientSettings,
    eye: Eye,
    outlet: Outlet,
}

impl Hand<'_> {
    /// The whole status block; a refusal is as bad as no answer.
    async fn read(&mut self) -> Result<Vec<u16>, WireError> {
        self.eye.block(self.plc.status_base, WHOLE_STATUS).await?
    }

    async fn write(&mut self, offset: u16, words: &[u16]) -> Result<(), WireError> {
        let withdraws = words.iter().all(|word| *word == 0);
        let write = Write::Registers(self.plc.status_base.saturating_add(offset), words);
        let cleared = self.outlet.clear(write, withdraws, (self.settings.clock)().mono_micros)?;
        let wire = self.eye.take().await?.write(cleared).await?;
        self.eye.put_back(wire);
        Ok(())
    }

    async fn zero(&mut self) -> Result<(), WireError> {
        const ZEROS: [u16; STATUS_HEAD as usize] = [0; STATUS_HEAD as usize];
        self.write(0, &ZEROS).await?;
        match self.write(STATUS_HEAD, &ZEROS[..usize::from(STATUS_LEN - STATUS_HEAD)]).await {
            // The list of the settings may leave the payload out; then nobody has written it from here either.
            Err(WireError::Forbidden(_)) => Ok(()),
            done => done,
        }
    }

    /// Waits until the heartbeat has stood still for long enough to say that nobody is alive there.
    async fn quiet(&mut self) -> Result<(), TestWriteError> {
        let began = Instant::now();
        let from = heartbeat(&self.read().await?);
        while began.elapsed() < QUIET {
            sleep(LOOK).await;
            let to = heartbeat(&self.read().await?);
            if to != from {
                return Err(TestWriteError::Alive { from, to });
            }
        }
        Ok(())
    }

    async fn write_and_hold(
        &mut self,
        field: &'static Field,
        words: &[u16],
        write: &TestWrite,
        tell: &mut (impl FnMut(TestStep) + Send),
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<TestOutcome, TestWriteError> {
        self.zero().await?;
        self.write(field.register, words).await?;
        let began = Instant::now();
        tell(TestStep::Written { place: field.place(self.plc.status_base) });
        let mut outcome = None;
        loop {
            let block = self.read().await?;
            let own = usize::from(field.register)..usize::from(field.register) + words.len();
            let expected = |register: usize| if own.contains(&register) { words.get(register - own.start).copied() } else { Some(0) };
            // When the heartbeat itself is the test, it may also have been taken back.
            if Some(heartbeat(&block)) != expected(HEARTBEAT) && !(own.contains(&HEARTBEAT) && heartbeat(&block) == 0) {
                return Err(TestWriteError::TakenOver);
            }
            let reads = block.get(own).unwrap_or_default();
            let after = began.elapsed();
            match outcome {
                None if reads == words => {
                    outcome = Some(TestOutcome::Held);
                    tell(TestStep::Holding);
                }
                None | Some(TestOutcome::Held) if reads.iter().all(|word| *word == 0) => {
                    outcome = Some(TestOutcome::TakenBack { after });
                    tell(TestStep::TakenBack { after });
                }
                None | Some(TestOutcome::Held) if reads != words => {
                    let reads = field.show(&block, self.settings.order).unwrap_or_default();
                    return Err(TestWriteError::NotAsWritten { field: field.name, value: write.value, reads });
                }
                _ => {}
            }
            let left = write.hold.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                () = &mut stop => break,
            }
        }
        Ok(outcome.unwrap_or(TestOutcome::Held))
    }

    /// Zeros everywhere, read back; tried again over a new connection.
    async fn restore(&mut self) -> Result<(), WireError> {
        let mut attempt = 1;
        loop {
            let failure = match self.zero_and_check().await {
                Ok(true) => return Ok(()),
                Ok(false) if attempt < RESTORES_MAX => None,
                // Somebody writes there all the time: it is not ours any more, and zeros were written.
                Ok(false) => return Ok(()),
                Err(error) => Some(error),
            };
            if let Some(error) = failure
                && attempt >= RESTORES_MAX
            {
                return Err(error);
            }
            attempt += 1;
            sleep(LOOK).await;
        }
    }

    async fn zero_and_check(&mut self) -> Result<bool, WireError> {
        self.zero().await?;
        Ok(self.read().await?.iter().all(|word| *word == 0))
    }
}

/// Place of VisionHeartbeat; a test compares it with the map.
const HEARTBEAT: usize = 2;

fn heartbeat(block: &[u16]) -> u16 {
    block.get(HEARTBEAT).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heartbeat_lies_where_the_map_says() {
        let field = STATUS.iter().find(|field| field.name == "VisionHeartbeat").unwrap();
        assert_eq!(usize::from(field.register), HEARTBEAT);
    }
}
