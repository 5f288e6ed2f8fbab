//! Waits between attempts, bounded and jittered.
//!
//! Invariants: no wait is longer than the bound; each is shortened by up to a quarter, so that two appliances do not knock
//! in step.

use std::time::Duration;

/// Doubling from `first` to `most`.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    dice: u64,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, next: first, dice: seed | 1 }
    }

    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = wait.saturating_mul(2).min(self.most);
        // Marsaglia's xorshift64: jitter needs no better dice.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let thousandths = u32::try_from(self.dice % 250).unwrap_or(0);
        wait - wait.saturating_mul(thousandths) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, most, 7);
        let waits: Vec<Duration> = (0..8).map(|_| backoff.next()).collect();
        for (wait, ideal) in waits.iter().zip([100, 200, 400, 800, 1600, 2000, 2000, 2000]) {
            let ideal = Duration::from_millis(ideal);
            assert!(*wait <= ideal && *wait >= ideal * 3 / 4, "{wait:?} for {ideal:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
