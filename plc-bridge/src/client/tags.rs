//! One supervised link whose only task is tags at intervals: of the PLC that shakes hands, or of one that is only listened
//! to.
//!
//! ```text
//!        something is due                    connected                asked             answered, or refused
//!   idle ────────────────► connected? ──no──► connect ──► ask ───────────────► tell ──► idle
//!    ▲                         └────────yes──────────────►                        ▲
//!    └──── wait (bounded, jittered) ◄── all tags Stale, once ◄── link lost        │ no answer: the unit's tags Stale,
//!                                                                                 └ the connection dropped, the others go on
//! ```
//! Invariants: after a question without an answer the connection is never used again; a unit that is silent costs the
//! others one call time-out per attempt, ever more seldom.

use super::backoff::Backoff;
use super::bus::{Buses, Rank};
use super::loss::Loss;
use super::peer::{Peer, WireError};
use super::rota::Rota;
use super::units::micros;
use super::wire::Wire;
use crate::bridge::{Clock, Note};
use station::reading::Reading;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

pub(super) struct TagLink<'a> {
    pub(super) clock: &'a Clock,
    pub(super) peer: &'a Peer,
    pub(super) buses: &'a Buses,
    pub(super) notes: mpsc::Sender<Note>,
    pub(super) rota: Rota<'a>,
    pub(super) backoff: Backoff,
    pub(super) loss: Loss,
}

impl TagLink<'_> {
    /// Runs until dropped, or until the bridge is gone.
    pub(super) async fn run(mut self) {
        let (mut wire, mut out) = (None, Vec::new());
        // Nothing is asked before this moment: the link was lost.
        let mut retry_micros = 0;
        while let Some(next) = self.rota.next_micros() {
            let now = self.now();
            let wanted = if wire.is_none() { next.max(retry_micros) } else { next };
            if wanted > now {
                sleep(Duration::from_micros(wanted - now)).await;
            }
            let now = self.clock.as_ref()();
            self.rota.expire(now, &mut out);
            if let Some(key) = self.rota.take(now) {
                wire = match self.ask(wire.take(), key, &mut out).await {
                    Ok(wire) => wire,
                    Err(error) => {
                        self.loss.tell(&error);
                        self.rota.lost(&mut out);
                        self.rota.group();
                        retry_micros = self.now().saturating_add(micros(self.backoff.next()));
                        None
                    }
                };
            }
            if !out.is_empty() && self.notes.send(Note::Readings(std::mem::take(&mut out))).await.is_err() {
                return;
            }
        }
        // No tags: nothing to do, but nothing to end for either.
        std::future::pending().await
    }

    /// Asks for one group. No wire comes back if its unit did not answer.
    async fn ask(&mut self, wire: Option<Wire>, key: usize, out: &mut Vec<Reading>) -> Result<Option<Wire>, WireError> {
        let wire = match wire {
            Some(wire) => wire,
            None => Wire::connect_over(self.peer, self.buses, Rank::Tags).await?,
        };
        let Some(batch) = self.rota.batch(key) else { return Ok(Some(wire)) };
        let asked = wire.read_batch(batch).await;
        let at = self.clock.as_ref()();
        match asked {
            Ok((wire, answer)) => {
                self.backoff.reset();
                self.loss.over();
                self.rota.answered(key, answer, at, out);
                Ok(Some(wire))
            }
            Err(WireError::TimedOut { .. }) => {
                self.rota.silent(key, at, out);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn now(&self) -> u64 {
        self.clock.as_ref()().mono_micros
    }
}
