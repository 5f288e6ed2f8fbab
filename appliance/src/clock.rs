//! The only clock of the appliance.
//!
//! Every decision uses the monotonic half of a `Timestamp`; the wall half is for people and records, and may step.

use station::rubric::scheme::Day;
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

/// Today by the wall clock, in the time zone of the machine.
#[must_use]
pub fn today() -> Day {
    day_of(Clock::new().now())
}

/// The day of an instant, in the time zone of the machine. A clock that is out of all bounds reads as the first day there is.
#[must_use]
pub fn day_of(at: Timestamp) -> Day {
    let instant = jiff::Timestamp::from_microsecond(at.wall_micros).unwrap_or_default();
    let date = instant.to_zoned(jiff::tz::TimeZone::system()).date();
    let parts = (u16::try_from(date.year()), u8::try_from(date.month()), u8::try_from(date.day()));
    let (Ok(year), Ok(month), Ok(day)) = parts else { return Day::FIRST };
    Day::new(year, month, day).unwrap_or(Day::FIRST)
}

/// Microseconds of CPU that the calling thread has had: what a piece of work costs, however busy the machine is.
#[must_use]
pub fn thread_cpu_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1000
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
