//! Slaves that do not answer, told apart from links that are gone.
//!
//! ```text
//!               no answer                    no answer again
//!   answering ────────────► silent: asked ─────────────────► silent: asked ever more seldom, up to the bound
//!       ▲                   when the wait                          │
//!       └─────────────────────────┴─────────────── answered ───────┘
//! ```
//! Pure. Invariants: a silent unit costs its neighbours one call time-out per wait, and the waits double up to the bound;
//! the first answer ends its silence.

use super::backoff::Backoff;
use std::collections::BTreeMap;
use std::time::Duration;

/// Behind a gateway or on a bus a silent unit is asked at least so often: with 200 ms per attempt it takes less than 1 % of
/// the time of the others.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(30);

/// The units behind one link that do not answer; `None` is the peer's own.
#[derive(Debug)]
pub(super) struct Units {
    first: Duration,
    most: Duration,
    seed: u64,
    silent: BTreeMap<Option<u8>, Silent>,
}

#[derive(Debug)]
struct Silent {
    backoff: Backoff,
    until_micros: u64,
}

impl Units {
    pub(super) const fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, seed, silent: BTreeMap::new() }
    }

    /// Until when the unit should be left alone, if it should.
    pub(super) fn held(&self, unit: Option<u8>, now_micros: u64) -> Option<u64> {
        self.silent.get(&unit).map(|silent| silent.until_micros).filter(|until| *until > now_micros)
    }

    /// It did not answer. True if it did until now.
    pub(super) fn silent(&mut self, unit: Option<u8>, now_micros: u64) -> bool {
        let seed = self.seed.wrapping_add(unit.map_or(0, u64::from) << 8);
        let first = !self.silent.contains_key(&unit);
        let backoff = Backoff::new(self.first, self.most, seed);
        let silent = self.silent.entry(unit).or_insert(Silent { backoff, until_micros: 0 });
        silent.until_micros = now_micros.saturating_add(micros(silent.backoff.next()));
        first
    }

    /// It answered. True if it had not before.
    pub(super) fn answered(&mut self, unit: Option<u8>) -> bool {
        !self.silent.is_empty() && self.silent.remove(&unit).is_some()
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_unit_is_asked_ever_more_seldom_and_recovers_at_once() {
        let mut units = Units::new(Duration::from_millis(100), Duration::from_secs(30), 1);
        assert_eq!(units.held(Some(3), 0), None);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..12 {
            assert_eq!(units.silent(Some(3), now), waits.is_empty());
            let until = units.held(Some(3), now).unwrap();
            waits.push(until - now);
            now = until;
            assert_eq!(units.held(Some(3), now), None, "it is asked again");
        }
        assert!(waits.windows(2).take(8).all(|pair| pair[1] > pair[0]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 30_000_000) && waits[11] >= 22_500_000, "{waits:?}");
        assert_eq!(units.held(None, 0), None, "the others are not held");
        assert!(units.answered(Some(3)) && !units.answered(Some(3)));
        units.silent(Some(3), now);
        assert!(units.held(Some(3), now).unwrap() - now <= 100_000);
    }
}
