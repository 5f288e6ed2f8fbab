//! A lost link in the log: once when it is lost, once when it is back, however many attempts lie between.

use super::peer::WireError;
use tracing::{debug, info, warn};

/// What the log was last told of one link.
#[derive(Debug)]
pub(super) struct Loss {
    who: String,
    told: bool,
}

impl Loss {
    pub(super) fn of(who: impl Into<String>) -> Self {
        Self { who: who.into(), told: false }
    }

    pub(super) fn tell(&mut self, error: &WireError) {
        let error = error as &dyn std::error::Error;
        if self.told {
            debug!(link = self.who, error, "still no PLC");
        } else {
            warn!(link = self.who, error, "lost the PLC");
        }
        self.told = true;
    }

    pub(super) fn over(&mut self) {
        if self.told {
            info!(link = self.who, "the PLC is back");
        }
        self.told = false;
    }
}
