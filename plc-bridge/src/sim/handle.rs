//! The hand on the simulated PLC: it watches, and causes trouble.

use super::audit::Audit;
use super::bank::Bank;
use super::process::Disturbance;
use super::program::Program;
use super::server::Shared;
use super::{Observed, SimSettings};
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
