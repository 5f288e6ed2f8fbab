//! The hands at the demonstrated line: they wait for its end, and, if told to, acknowledge and release stops.
//!
//! Invariant: an automatic release is signed as one, and so is the arming; nobody reads them as a person's decision.

use crate::demo::world::World;
use crate::pipeline::{Line, LineError, at, runtime};
use station::action::{Action, Person, Request, Role};
use station::snapshot::{Phase, Snapshot};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

/// How often the end is looked for when nothing else happens.
const LOOK: Duration = Duration::from_millis(50);

/// Whoever stands at the line.
pub struct Hands<'a> {
    /// Acknowledge and release stops without a person.
    pub auto_release: bool,
    /// The world, to be repaired before a release.
    pub world: &'a World,
    /// Pieces after which the run ends; `None` = never.
    pub pieces: Option<u64>,
}

impl Hands<'_> {
    /// Returns when all pieces are recorded and delivered, or when the program is told to end.
    pub fn watch(&self, line: &Line, drain: Duration) -> Result<(), LineError> {
        runtime()?.block_on(async {
            let mut end = signal(SignalKind::terminate()).map_err(at("no signal handler"))?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(at("no signal handler"))?;
            let run = async {
                self.until_recorded(line).await;
                if timeout_at(Instant::now() + drain, until_drained(line)).await.is_err() {
                    tracing::warn!("records are still waiting for a backend; they stay in the outbox");
                }
            };
            tokio::select! {
                () = run => {}
                _ = end.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(())
        })
    }

    async fn until_recorded(&self, line: &Line) {
        let mut snapshots = line.snapshots.clone();
        let mut last_answer = (0, Phase::Starting);
        loop {
            let snapshot = std::sync::Arc::clone(&snapshots.borrow_and_update());
            let done = snapshot.pieces.last().map_or(0, |piece| piece.result_id).saturating_sub(line.results_before);
            if self.pieces.is_some_and(|pieces| done >= pieces) && self.world.is_finished() && snapshot.backlog_entries == 0 {
                return;
            }
            // The crew repairs while the stop is acknowledged and not yet released.
            if snapshot.phase == Phase::Acknowledged {
                self.world.repair();
            }
            if !snapshot.line_stop.armed {
                arm(line);
            }
            if self.auto_release {
                self.answer(line, &snapshot, &mut last_answer);
            }
            tokio::select! {
                _ = snapshots.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Answers a stop once per phase; a release that is refused (the cause still stands) is tried again with the next snapshot.
    fn answer(&self, line: &Line, snapshot: &Snapshot, last: &mut (u16, Phase)) {
        let Some(stop) = &snapshot.stop else { return };
        // Nobody walks to a belt that still moves; and a stop that the PLC has not seen would leave no trace there.
        if snapshot.plc.line_running {
            return;
        }
        let action = match snapshot.phase {
            Phase::Stopped if *last != (stop.seq, Phase::Stopped) => Action::Acknowledge {
                stop_seq: stop.seq,
                cause: format!("automatic acknowledgement of {}", stop.first),
                corrective_action: "simulated crew repaired the line".to_owned(),
            },
            Phase::Acknowledged => Action::Release { stop_seq: stop.seq },
            _ => return,
        };
        *last = (stop.seq, snapshot.phase);
        let by = Person { name: "auto-release".to_owned(), role: Role::Supervisor };
        if line.ask(Request { by, action }).is_err() {
            tracing::warn!("the judge was busy; the automatic answer is given again");
            *last = (0, Phase::Starting);
        }
    }
}

/// The demonstration shows a line whose stop an engineer has armed. Asked again with the next snapshot until it is.
fn arm(line: &Line) {
    let by = Person { name: "auto-arm".to_owned(), role: Role::Engineer };
    if line.ask(Request { by, action: Action::Arm }).is_err() {
        tracing::warn!("the judge was busy; the line stop is armed a little later");
    }
}

async fn until_drained(line: &Line) {
    let waits = || {
        line.deliveries.iter().any(|(_, delivery)| {
            let counts = delivery.lock().unwrap_or_else(std::sync::PoisonError::into_inner).counts;
            let kept = line.snapshots.borrow().pieces.last().map_or(0, |piece| piece.result_id);
            counts.waiting > 0 || counts.kept < kept
        })
    };
    while waits() {
        tokio::time::sleep(LOOK).await;
    }
}
