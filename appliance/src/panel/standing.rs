//! Where the line stands, in the one sense that the panel tells.
//!
//! Invariant: "running" is said only while the permit is given; whatever contradicts itself is told as a stop.

use station::line::{LinkFault, PlcLink};
use station::snapshot::{Phase, Snapshot};

/// What the large word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing may move yet.
    Starting,
    /// Permit given, and the conveyor moves.
    Running,
    /// Permit given, the conveyor stands: that is the line's own doing.
    Ready,
    /// Stopped; nobody has acknowledged.
    Stopped,
    /// Stopped; somebody has acknowledged, nobody has released.
    Acknowledged,
    /// A stop is due, but a key switch keeps it from being commanded: the line may still move.
    Inhibited,
    /// Released, not yet durable.
    Releasing,
}

impl Standing {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        match snapshot.phase {
            Phase::Starting => Self::Starting,
            Phase::Releasing => Self::Releasing,
            Phase::Running if !snapshot.run_permit => Self::Stopped,
            Phase::Running if snapshot.plc.line_running => Self::Running,
            Phase::Running => Self::Ready,
            Phase::Stopped | Phase::Acknowledged
                if snapshot.run_permit || snapshot.stop.as_ref().is_some_and(|stop| stop.withheld.is_some()) =>
            {
                Self::Inhibited
            }
            Phase::Stopped => Self::Stopped,
            Phase::Acknowledged => Self::Acknowledged,
        }
    }

    /// True while the panel shows a stop and what to do about it.
    pub(super) fn is_stop(self) -> bool {
        matches!(self, Self::Stopped | Self::Acknowledged | Self::Inhibited)
    }
}

/// The link to the PLC as one of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Never heard of.
    Unknown,
    /// Usable.
    Up,
    /// Not usable, and why.
    Down(LinkFault),
}

impl Link {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        match snapshot.plc.link {
            None => Self::Unknown,
            Some(PlcLink::Up | PlcLink::Forgot | PlcLink::Feedback(_) | PlcLink::Asked(_)) => Self::Up,
            Some(PlcLink::Down(fault)) => Self::Down(fault),
        }
    }
}
