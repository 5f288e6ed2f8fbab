//! The plc thread: the bridge's reports become events for the judge and triggers for the camera.
//!
//! Invariant: a piece is announced to the judge before its picture is asked for; nothing here waits.

use crate::judge::Input;
use crate::meter::{Meter, Stage};
use crate::pipeline::see::{Lane, Trigger};
use crossbeam::channel::Sender;
use plc_bridge::BridgeReport;
use station::Event;
use std::sync::Arc;

/// What the bridge's reports lead to.
pub struct Reports {
    /// To the judging thread.
    pub judge: Sender<Input>,
    /// To the capture threads.
    pub lanes: Vec<Lane>,
    /// Where stages are timed.
    pub meter: Arc<Meter>,
    /// The time.
    pub clock: crate::clock::Clock,
}

impl Reports {
    /// Reports into these queues.
    #[must_use]
    pub fn new(judge: Sender<Input>, lanes: Vec<Lane>, meter: Arc<Meter>, clock: crate::clock::Clock) -> Self {
        Self { judge, lanes, meter, clock }
    }

    /// Takes one report.
    pub fn take(&self, report: BridgeReport) {
        match report {
            BridgeReport::Event(Event::Arrived(arrival)) => {
                let trigger = Trigger {
                    piece: arrival.piece,
                    acquisition: arrival.acquisition,
                    at_micros: self.clock.mono_micros(),
                    retain: arrival.retain,
                };
                if self.tell(Event::Arrived(arrival)) {
                    self.trigger(trigger);
                }
            }
            BridgeReport::Event(Event::Missed(miss)) => {
                tracing::error!(piece = %miss.piece, reason = %miss.reason, "piece not inspected");
                self.tell(Event::Missed(miss));
            }
            BridgeReport::Event(event) => {
                self.tell(event);
            }
            BridgeReport::Written { piece, micros } => {
                let now = self.clock.mono_micros();
                self.meter.note(Stage::PlcWrite, micros);
                self.meter.add(piece, |times| {
                    times.written = now;
                    self.meter.note(Stage::EndToEnd, now.saturating_sub(times.due));
                });
            }
            BridgeReport::Permitted { micros, .. } => self.meter.note(Stage::Permit, micros),
            BridgeReport::RoundTrip { .. } => {}
            BridgeReport::Listening(address) => tracing::info!(%address, "the Modbus server listens"),
        }
    }

    fn trigger(&self, trigger: Trigger) {
        self.meter.begin(trigger.piece, trigger.at_micros);
        for lane in &self.lanes {
            lane.ask(trigger, &self.judge);
        }
    }

    fn tell(&self, event: Event) -> bool {
        let told = self.judge.try_send(Input::Event(event)).is_ok();
        if !told {
            // Without a result the PLC rejects the piece: the gate opens only for a pass.
            tracing::error!("the judge's queue is full; an event is lost");
        }
        told
    }
}
