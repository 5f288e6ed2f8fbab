//! The only clock of the appliance.
//!
//! Every decision uses the monotonic half of a `Timestamp`; the wall half is for people and records, and may step.

use station::units::Timestamp;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A shared source of time, counted from its own start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// This instant, by both clocks.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp { wall_micros: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX), mono_micros: self.mono_micros() }
    }

    /// Microseconds since the start, by the clock that never steps.
    #[must_use]
    pub fn mono_micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The clock as the function that other crates take.
    #[must_use]
    pub fn as_fn(self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        Arc::new(move || self.now())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
