//! What was last read of each tag: what is worth telling, and how old it is.
//!
//! ```text
//!            differs by the dead band, other quality, other text, half of stale_after
//!  take ─────────────────────────────────────────────────────────────────────────────► told
//!    └───── else ─► kept, not told                    aged > stale_after, told once ──► told as Stale
//! ```
//! Invariants: what the station was last told of a tag that is still being read is never older than half of its
//! `stale_after` plus one sampling period, however quiet the value is; a reading that was sampled is never called stale
//! because it was not told.

use super::{Sample, TagSpec};
use station::reading::{Quality, Reading};
use station::units::{Micros, Timestamp};

/// How far a value may be trusted now, and how old it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    /// `Good` at sampling, but older than allowed: `Stale`. `Bad` stays `Bad`.
    pub quality: Quality,
    /// Time since it was sampled.
    pub age: Micros,
}

/// The quality and age at `now` of what was sampled at `sampled_at` with `quality` and may be `stale_after` old.
#[must_use]
pub const fn aged(quality: Quality, sampled_at: Timestamp, stale_after: Micros, now: Timestamp) -> Aged {
    let age = now.since(sampled_at);
    let quality = match quality {
        Quality::Good if age.0 > stale_after.0 => Quality::Stale,
        quality => quality,
    };
    Aged { quality, age }
}

/// The last reading of one tag.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kept {
    /// As it was sampled.
    last: Option<Reading>,
    /// As the station knows it.
    told: Option<Reading>,
}

impl Kept {
    /// Takes a new reading; gives it back if it is worth telling. Readings of a piece always are.
    pub fn take(&mut self, tag: &TagSpec, reading: Reading) -> Option<Reading> {
        let tell = tag.sample == Sample::WithTrigger || self.told.as_ref().is_none_or(|told| worth_telling(tag, told, &reading));
        if tell {
            self.told = Some(reading.clone());
        }
        self.last = Some(reading.clone());
        tell.then_some(reading)
    }

    /// The last reading as `Stale`, once, when it has become older than its tag allows. Readings of a piece do not age:
    /// they belong to its moment.
    pub fn expire(&mut self, tag: &TagSpec, now: Timestamp) -> Option<Reading> {
        let last = self.last.as_ref()?;
        if aged(last.quality, last.sampled_at, tag.stale_after, now).quality == Quality::Good { None } else { self.lose(tag) }
    }

    /// The last reading as `Stale`, once, because nobody can be asked for a newer one. Readings of a piece do not age.
    pub fn lose(&mut self, tag: &TagSpec) -> Option<Reading> {
        let last = self.last.as_mut().filter(|last| tag.sample != Sample::WithTrigger && last.quality == Quality::Good)?;
        last.quality = Quality::Stale;
        self.told = Some(last.clone());
        Some(last.clone())
    }

    /// The last reading and how it stands now; `None` if there never was one.
    #[must_use]
    pub fn look(&self, tag: &TagSpec, now: Timestamp) -> Option<(&Reading, Aged)> {
        let last = self.last.as_ref()?;
        Some((last, aged(last.quality, last.sampled_at, tag.stale_after, now)))
    }
}

fn worth_telling(tag: &TagSpec, told: &Reading, reading: &Reading) -> bool {
    reading.quality != told.quality
        || reading.text != told.text
        || (reading.value - told.value).abs() >= tag.dead_band
        || reading.sampled_at.since(told.sampled_at) >= Micros(tag.stale_after.0 / 2)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use crate::jmap::Order;
    use proptest::prelude::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp { wall_micros: 0, mono_micros: millis * 1000 }
    }

    fn tag(dead_band: f64) -> TagSpec {
        TagSpec { dead_band, stale_after: Micros::from_millis(1000), ..TagSpec::new("t", 0, Kind::I16) }
    }

    fn reading(tag: &TagSpec, value: i16, millis: u64) -> Reading {
        tag.decode(&[value.cast_unsigned()], Order::default(), at(millis))
    }

    #[test]
    fn only_what_moved_is_told() {
        let tag = tag(5.0);
        let mut kept = Kept::default();
        let mut told = |value, millis| kept.take(&tag, reading(&tag, value, millis)).is_some();
        assert!(told(100, 0), "the first");
        assert!(!told(104, 10));
        assert!(!told(96, 20));
        assert!(told(105, 30), "the dead band counts from what was told");
        assert!(!told(101, 40));
        assert!(told(100, 50));
        assert!(!told(100, 549));
        assert!(told(100, 550), "half of stale_after has passed");
    }

    #[test]
    fn quality_and_text_are_always_told() {
        let tag = TagSpec { valid_max: 200.0, ..tag(1000.0) };
        let mut kept = Kept::default();
        let mut told = |value, millis| kept.take(&tag, reading(&tag, value, millis)).map(|reading| reading.quality);
        assert_eq!(told(100, 0), Some(Quality::Good));
        assert_eq!(told(201, 1), Some(Quality::Bad));
        assert_eq!(told(202, 2), None);
        assert_eq!(told(100, 3), Some(Quality::Good));
        let roll = TagSpec { dead_band: 1.0, ..TagSpec::new("roll", 0, Kind::Ascii { chars: 2 }) };
        let mut kept = Kept::default();
        let mut told = |word| kept.take(&roll, roll.decode(&[word], Order::default(), at(0))).is_some();
        assert_eq!([told(0x4141), told(0x4141), told(0x4142)], [true, false, true]);
    }

    #[test]
    fn a_value_grows_old_once() {
        let tag = tag(0.0);
        let mut kept = Kept::default();
        assert!(kept.expire(&tag, at(5000)).is_none(), "nothing was ever read");
        kept.take(&tag, reading(&tag, 7, 0));
        assert!(kept.expire(&tag, at(1000)).is_none());
        let stale = kept.expire(&tag, at(1001)).unwrap();
        assert_eq!((stale.quality, stale.value, stale.sampled_at), (Quality::Stale, 7.0, at(0)));
        assert!(kept.expire(&tag, at(2000)).is_none());
        assert_eq!(kept.look(&tag, at(2000)).unwrap().1, Aged { quality: Quality::Stale, age: Micros::from_millis(2000) });
        assert!(kept.take(&tag, reading(&tag, 7, 2001)).is_some(), "the same value again, but no longer stale");
        let with_trigger = TagSpec { sample: Sample::WithTrigger, ..tag };
        assert!(kept.expire(&with_trigger, at(9000)).is_none());
        assert!(kept.lose(&with_trigger).is_none());
    }

    #[test]
    fn what_can_no_longer_be_asked_for_is_stale_at_once() {
        let tag = tag(0.0);
        let mut kept = Kept::default();
        assert!(kept.lose(&tag).is_none(), "nothing was ever read");
        kept.take(&tag, reading(&tag, 7, 10));
        let stale = kept.lose(&tag).unwrap();
        assert_eq!((stale.quality, stale.value, stale.sampled_at), (Quality::Stale, 7.0, at(10)));
        assert!(kept.lose(&tag).is_none() && kept.expire(&tag, at(9000)).is_none(), "told once");
        kept.take(&tag, tag.refused(at(20)));
        assert!(kept.lose(&tag).is_none(), "bad stays bad");
    }

    #[test]
    fn age_spoils_good_only() {
        let tag = tag(0.0);
        let bad = tag.refused(at(0));
        let good = reading(&tag, 1, 0);
        let stale = Reading { quality: Quality::Stale, ..good.clone() };
        let quality = |reading: &Reading, millis| aged(reading.quality, reading.sampled_at, tag.stale_after, at(millis)).quality;
        assert_eq!([quality(&good, 1000), quality(&good, 1001)], [Quality::Good, Quality::Stale]);
        assert_eq!([quality(&bad, 0), quality(&bad, 9000)], [Quality::Bad; 2]);
        assert_eq!(quality(&stale, 0), Quality::Stale, "what was stale does not become fresh by itself");
    }

    proptest! {
        /// Whatever comes: what was told lies within the dead band of what was read, has its quality, and is young enough.
        #[test]
        fn what_was_told_stays_true(
            dead_band in 0.0..50.0_f64, samples in proptest::collection::vec((-100..100_i16, 1..400_u64), 1..60)
        ) {
            let tag = TagSpec { valid_min: -90.0, valid_max: 90.0, ..tag(dead_band) };
            let (mut kept, mut told, mut now, mut longest) = (Kept::default(), None, 0, 0);
            for (value, pause) in samples {
                now += pause;
                longest = longest.max(pause);
                let fresh = reading(&tag, value, now);
                if let Some(news) = kept.take(&tag, fresh.clone()) {
                    told = Some(news);
                }
                let told = told.as_ref().unwrap();
                prop_assert_eq!(told.quality, fresh.quality);
                prop_assert!(told == &fresh || (told.value - fresh.value).abs() < dead_band);
                prop_assert!(at(now).since(told.sampled_at) < Micros::from_millis(500 + longest));
            }
        }
    }
}
