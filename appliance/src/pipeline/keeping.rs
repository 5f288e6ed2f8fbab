//! How the store thread fares, for those who must not wait for it: a disk that hangs takes the store thread with it, so
//! somebody else has to raise the alarm.
//!
//! Invariant: looking never waits for the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records that have waited this long for the disk are an alarm. A healthy disk needs some milliseconds.
const LATE_MICROS: u64 = 1_500_000;

/// What the store thread last said of itself.
#[derive(Debug, Default)]
pub struct Keeping {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// When the oldest entry that is not yet durable was handed over.
    since: Option<u64>,
    /// Why the last try failed, if it did.
    trouble: Option<String>,
    /// True while the alarm is up.
    alarmed: bool,
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// For how long records have not become durable, in microseconds.
    pub micros: u64,
    /// What the disk said; empty if it says nothing at all.
    pub trouble: String,
}

impl Late {
    /// In words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let tenths = self.micros / 100_000;
        let why = if self.trouble.is_empty() { "the disk does not answer" } else { &self.trouble };
        format!("records have not become durable for {}.{} s: {why}", tenths / 10, tenths % 10)
    }
}

impl Keeping {
    /// The store thread begins to write entries, of which the oldest was handed over at `since` (microseconds of the clock).
    pub fn begins(&self, since: u64) {
        self.said().since = Some(since);
    }

    /// They could not be written.
    pub fn fails(&self, trouble: String) {
        self.said().trouble = Some(trouble);
    }

    /// They are durable.
    pub fn succeeds(&self) {
        let mut said = self.said();
        (said.since, said.trouble) = (None, None);
    }

    /// Who is late at `now`, if anybody is. A disk that refuses is an alarm at once, one that says nothing after a while.
    #[must_use]
    pub fn late(&self, now: u64) -> Option<Late> {
        let said = self.said();
        let micros = now.saturating_sub(said.since?);
        (micros >= LATE_MICROS || said.trouble.is_some()).then(|| Late { micros, trouble: said.trouble.clone().unwrap_or_default() })
    }

    /// Raises the alarm in the log, once, and tells when it is over.
    pub fn watch(&self, now: u64) {
        let late = self.late(now);
        let is_late = late.is_some();
        if std::mem::replace(&mut self.said().alarmed, is_late) == is_late {
            return;
        }
        match late {
            Some(late) => tracing::error!(waited_millis = late.micros / 1000, trouble = late.trouble, "records are not becoming durable"),
            None => tracing::warn!("records become durable again"),
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_refuses_is_told_at_once_and_a_silent_one_after_a_while() {
        let keeping = Keeping::default();
        assert_eq!(keeping.late(9_000_000), None, "nothing waits");
        keeping.begins(1_000_000);
        assert_eq!(keeping.late(2_400_000), None);
        let late = keeping.late(2_500_000).expect("late");
        assert_eq!(late.words(), "records have not become durable for 1.5 s: the disk does not answer");
        keeping.watch(2_500_000);
        assert!(keeping.said().alarmed);
        keeping.succeeds();
        keeping.watch(2_600_000);
        assert!(!keeping.said().alarmed);
        keeping.begins(3_000_000);
        keeping.fails("no room".to_owned());
        assert_eq!(keeping.late(3_000_001).map(|late| late.trouble), Some("no room".to_owned()));
    }
}
