//! What a capture thread waits for: triggers of the PLC, or, on a free-running line, the next picture that is due.
//!
//! Invariants: every picture that was due is a piece — one that could not be taken in time is announced like any other and
//! missed, never left out; a piece is announced to the judge before its picture is taken.

use crate::clock::Clock;
use crate::judge::Input;
use crate::meter::Meter;
use crate::pipeline::see::{Lane, Trigger, miss};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use station::Event;
use station::inspection::MissReason;
use station::piece::{Arrival, PieceId};
use station::units::EncoderCount;
use std::sync::Arc;
use std::time::Duration;

/// What paces a line.
pub struct Pace {
    triggers: Receiver<Trigger>,
    free: Option<FreeRun>,
}

/// A line without triggers.
struct FreeRun {
    period_micros: u64,
    due_micros: u64,
    next_piece: u32,
    acquisition: u16,
    meter: Arc<Meter>,
    /// The other cameras of a frame set: what is due for the first is due for all.
    others: Vec<Lane>,
}

impl Pace {
    /// One picture per trigger.
    #[must_use]
    pub const fn triggered(triggers: Receiver<Trigger>) -> Self {
        Self { triggers, free: None }
    }

    /// One picture every `period`, whose pieces are numbered from `first_piece` on; and one per trigger, should there be any.
    /// The line ends when nobody could trigger it any more.
    #[must_use]
    pub fn free(triggers: Receiver<Trigger>, period: Duration, first_piece: u32, clock: Clock, meter: Arc<Meter>) -> Self {
        let period_micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
        let due_micros = clock.mono_micros().saturating_add(period_micros);
        Self {
            triggers,
            free: Some(FreeRun { period_micros, due_micros, next_piece: first_piece.max(1), acquisition: 0, meter, others: Vec::new() }),
        }
    }

    /// The same, and the other cameras of its frame set take their pictures with it.
    #[must_use]
    pub fn with_others(mut self, others: Vec<Lane>) -> Self {
        if let Some(free) = &mut self.free {
            free.others = others;
        }
        self
    }

    /// Waits for the next picture that is to be taken; `None` if there will be none.
    pub fn next(&mut self, clock: Clock, judge: &Sender<Input>) -> Option<Trigger> {
        let Some(free) = &mut self.free else { return self.triggers.recv().ok() };
        loop {
            let wait = Duration::from_micros(free.due_micros.saturating_sub(clock.mono_micros()));
            match self.triggers.recv_timeout(wait) {
                Ok(trigger) => return Some(trigger),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let trigger = free.announce(judge);
            // Its successor is due already: a camera would have written over it.
            if clock.mono_micros() < free.due_micros {
                for lane in &free.others {
                    lane.ask(trigger, judge);
                }
                return Some(trigger);
            }
            miss(judge, None, trigger.piece, trigger.acquisition, MissReason::QueueFull);
        }
    }
}

impl FreeRun {
    fn announce(&mut self, judge: &Sender<Input>) -> Trigger {
        let (piece, at_micros) = (PieceId(self.next_piece), self.due_micros);
        self.next_piece = self.next_piece.checked_add(1).unwrap_or(1);
        self.acquisition = self.acquisition.checked_add(1).unwrap_or(1);
        self.due_micros = self.due_micros.saturating_add(self.period_micros);
        let acquisition = self.acquisition;
        let arrival = Arrival {
            piece,
            serial: None,
            lot: 0,
            encoder: EncoderCount(0),
            acquisition,
            golden: false,
            retain: false,
            user_data: Vec::new(),
        };
        self.meter.begin(piece, at_micros);
        if judge.try_send(Input::Event(Event::Arrived(arrival))).is_err() {
            tracing::error!(%piece, "the judge's queue is full; an event is lost");
        }
        Trigger { piece, acquisition, at_micros, retain: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::{bounded, unbounded};

    #[test]
    fn what_is_due_is_a_piece_whether_it_could_be_taken_or_not() {
        let (clock, meter) = (Clock::new(), Arc::new(Meter::default()));
        let (_open, triggers) = bounded(1);
        let (judge, told) = unbounded();
        let mut pace = Pace::free(triggers, Duration::from_millis(2), 41, clock, Arc::clone(&meter));
        // Nobody asks until many are due.
        while clock.mono_micros() < 20_000 {
            std::thread::yield_now();
        }
        let taken = pace.next(clock, &judge).unwrap();
        let events: Vec<Event> =
            told.try_iter().filter_map(|input| if let Input::Event(event) = input { Some(event) } else { None }).collect();
        let arrived: Vec<u32> =
            events.iter().filter_map(|event| if let Event::Arrived(arrival) = event { Some(arrival.piece.0) } else { None }).collect();
        let missed: Vec<u32> =
            events.iter().filter_map(|event| if let Event::Missed(miss) = event { Some(miss.piece.0) } else { None }).collect();
        assert!(missed.len() >= 8, "{missed:?}");
        assert_eq!(arrived.len(), missed.len() + 1);
        assert_eq!(arrived, (41..=taken.piece.0).collect::<Vec<_>>());
        assert_eq!(missed, (41..taken.piece.0).collect::<Vec<_>>());
        assert_eq!(meter.pieces().len(), arrived.len());
        assert_eq!(taken.at_micros % 2000, meter.pieces()[0].due % 2000, "due times keep the pace");
    }

    #[test]
    fn it_ends_when_nobody_could_trigger_it() {
        let (open, triggers) = bounded(1);
        let (judge, _told) = unbounded();
        let clock = Clock::new();
        let mut pace = Pace::free(triggers, Duration::from_secs(600), 1, clock, Arc::default());
        let asked = Trigger { piece: PieceId(9), acquisition: 3, at_micros: 0, retain: true };
        open.send(asked).unwrap();
        assert_eq!(pace.next(clock, &judge).map(|trigger| trigger.piece), Some(PieceId(9)), "a trigger is taken as well");
        drop(open);
        assert!(pace.next(clock, &judge).is_none());
    }
}
