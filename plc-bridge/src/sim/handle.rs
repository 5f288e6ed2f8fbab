//! The hand on the simulated PLC: it watches, and causes trouble.

use super::audit::Audit;
use super::bank::Bank;
use super::process::Disturbance;
use super::program::Program;
use super::server::Shared;
use super::{Observed, Pace, SimSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How the PLC is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Connections are closed, new ones end at once. The program runs on.
    Closed,
    /// Connections stay, answers come only when it is over. The program runs on.
    Silent,
    /// Connections are closed, new ones end at once, memory and program are lost. It comes back fresh, with zeros in every
    /// register.
    PowerLost,
}

/// Watches a simulated PLC and causes trouble. Every change is seen by the next scan.
#[derive(Debug, Clone)]
pub struct SimHandle {
    pub(super) shared: Arc<Shared>,
}

impl SimHandle {
    /// The line after its last scan.
    #[must_use]
    pub fn observe(&self) -> Observed {
        self.shared.seen.borrow().clone()
    }

    /// What clients have written.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.shared.plc().auditor.audit
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

    /// Waits for the end of the next scan; put a deadline around it.
    pub async fn next_scan(&self) {
        let mut seen = self.shared.seen.subscribe();
        if seen.changed().await.is_err() {
            // Nobody scans any more.
            std::future::pending().await
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
        if outage == Outage::PowerLost {
            self.lose_power();
        }
        self.shared.outage.send_replace(Some((outage, Instant::now() + duration)));
    }

    /// The PLC is there again, before its time.
    pub fn end_outage(&self) {
        self.shared.outage.send_replace(None);
    }

    fn lose_power(&self) {
        let settings: SimSettings = self.shared.settings.clone();
        let mut plc = self.shared.plc();
        plc.power += 1;
        plc.bank = Bank::default();
        plc.program = Program::new(settings);
        drop(plc);
        self.shared.seen.send_modify(|seen| {
            let fell = if seen.run_permit { Some(Instant::now().into_std()) } else { seen.permit_fell };
            *seen = Observed { permit_fell: fell, ..Observed::default() };
        });
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

    /// A person holds the belt, whatever the appliance permits; EStop says nothing of it.
    pub fn hold_belt(&self, held: bool) {
        self.shared.plc().program.faults.belt_held = held;
    }

    /// The belt goes back by `counts` at its pace, and then on. Only a paced belt does.
    pub fn back_up(&self, counts: u32) {
        self.shared.plc().program.faults.back_up = counts;
    }

    /// The belt moves differently from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.shared.plc().program.set_pace(pace);
    }

    /// The key at the PLC's panel that acknowledges a stop (LineStopAck).
    pub fn press_stop_ack(&self, pressed: bool) {
        self.shared.plc().program.desk.stop_ack = pressed;
    }

    /// SetOffline.
    pub fn set_offline(&self, offline: bool) {
        self.shared.plc().program.desk.offline = offline;
    }

    /// ForceRetain comes with the next piece.
    pub fn retain_next(&self) {
        self.shared.plc().program.desk.retain_next = true;
    }

    /// The PLC gives a command, once those before it are answered; `Observed::commands` tells what became of it.
    pub fn command(&self, code: u16, arg: u16) {
        self.shared.plc().program.desk.command(code, arg);
    }

    /// The PLC raises soft event `number` (0 to 7) until it is acknowledged.
    pub fn mark(&self, number: u8) {
        self.shared.plc().program.desk.mark(number);
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
