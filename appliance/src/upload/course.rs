//! How delivery goes on after each outcome: how many parcels next, when, and which one is poison. Pure: no clock, no network.
//!
//! ```text
//! refused, many ──► the first half ──► … ──► one parcel ──refused──► quarantine
//!                        └─stored──► the poison is in the rest: half of that
//! too large ──► half, and grow again slowly       not let in, not understood ──► wait with an alarm
//! exists, many ──► halves ──► one ──► look it up ──► there: delivered
//! ```
//! Invariants: nothing is delivered but by an outcome that covers exactly this batch; nothing is quarantined but a single
//! parcel; a backend that refuses everything slows this down to one quarantine per longest pause instead of emptying the outbox.

use crate::upload::outcome::{Limits, Outcome};
use std::time::Duration;

/// This many quarantines in a row look like a backend that refuses everything.
const QUARANTINES_IN_A_ROW_MAX: u32 = 8;

/// From the so-manieth time on a person is told: a repository that needs a moment has had it, and the batch went twice.
const MISSING_ALARM: u32 = 4;

/// First pause before a capture job is asked about, doubled each time up to `JOB_PAUSE_MAX`.
const JOB_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause between two questions about a capture job.
const JOB_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The size of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Parcels.
    pub parcels: usize,
    /// Bytes of the body.
    pub bytes: usize,
}

/// How delivery goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// The batch is delivered.
    Deliver,
    /// The one parcel of the batch is refused for good.
    Quarantine(String),
    /// Ask about this job, after the pause.
    Ask(String, Duration),
    /// Ask about the same job again, after the pause.
    AskAgain(Duration),
    /// Ask whether the one event of the batch is there.
    LookUp,
    /// Make another batch at once.
    Again,
    /// In trouble: wait, then make another batch (or ask about the job again).
    Wait(Trouble),
}

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In the backend's words, or ours about it.
    pub words: String,
    /// True if it will not pass without a person.
    pub alarm: bool,
    /// Pause before the next try.
    pub pause: Duration,
    /// True if a job that was taken can still be asked about.
    pub keep_job: bool,
}

/// Where delivery stands.
#[derive(Debug)]
pub struct Course {
    batch_max: usize,
    pause_min: Duration,
    pause_max: Duration,
    limits: Limits,
    ceiling: usize,
    suspects: usize,
    failures: u32,
    asked: u32,
    quarantines_in_a_row: u32,
    bytes_accepted_max: usize,
    dice: u64,
}

impl Course {
    /// Batches of at most `batch_max`; pauses from `pause_min` to `pause_max`, jittered by `seed`.
    #[must_use]
    pub fn new(batch_max: usize, pause_min: Duration, pause_max: Duration, seed: u64) -> Self {
        let batch_max = batch_max.max(1);
        Self {
            batch_max,
            pause_min: pause_min.min(pause_max),
            pause_max,
            limits: Limits::default(),
            ceiling: batch_max,
            suspects: 0,
            failures: 0,
            asked: 0,
            quarantines_in_a_row: 0,
            bytes_accepted_max: 0,
            dice: seed,
        }
    }

    /// The backend announced these.
    pub fn announced(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many parcels the next batch may have.
    #[must_use]
    pub fn batch(&self) -> usize {
        let size = self.ceiling.min(self.limits.events.unwrap_or(usize::MAX));
        let size = if self.suspects > 0 { size.min(self.suspects / 2) } else { size };
        size.max(1)
    }

    /// How many events or grades it may have; a parcel may need several.
    #[must_use]
    pub fn items_max(&self) -> usize {
        self.limits.events.unwrap_or(usize::MAX)
    }

    /// True while a batch that was refused is taken apart.
    #[must_use]
    pub const fn is_searching(&self) -> bool {
        self.suspects > 0
    }

    /// How many bytes it may have.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.limits.bytes.unwrap_or(usize::MAX)
    }

    /// A pause after this quarantine, if there were too many in a row.
    pub fn quarantined(&mut self) -> Option<Duration> {
        self.suspects = 0;
        self.quarantines_in_a_row = self.quarantines_in_a_row.saturating_add(1);
        (self.quarantines_in_a_row >= QUARANTINES_IN_A_ROW_MAX).then_some(self.pause_max)
    }

    /// What follows from `outcome` for what was sent.
    pub fn judge(&mut self, outcome: Outcome, sent: Sent) -> Move {
        let size = sent.parcels;
        match outcome {
            Outcome::Stored => {
                self.stored(sent);
                Move::Deliver
            }
            Outcome::Accepted(job) => {
                self.asked = 0;
                Move::Ask(job, JOB_PAUSE)
            }
            Outcome::Running => {
                self.asked = self.asked.saturating_add(1);
                Move::AskAgain(doubled(JOB_PAUSE, self.asked, JOB_PAUSE_MAX))
            }
            Outcome::JobUnknown => self.wait("the backend does not know the capture job".to_owned(), None, false, false),
            Outcome::Exists(_) if size <= 1 => Move::LookUp,
            Outcome::TooLarge(limits, words) if size <= 1 && self.should_have_fitted(sent.bytes, limits) => {
                let words = format!("one record of {} bytes is within what this backend takes, yet: {words}", sent.bytes);
                self.wait(words, None, true, false)
            }
            Outcome::Refused(words) | Outcome::TooLarge(_, words) if size <= 1 => Move::Quarantine(words),
            Outcome::Exists(_) | Outcome::Refused(_) => {
                self.suspects = size;
                Move::Again
            }
            Outcome::TooLarge(limits, _) => {
                self.limits = Limits { events: limits.events.or(self.limits.events), bytes: limits.bytes.or(self.limits.bytes) };
                self.ceiling = (size / 2).max(1);
                Move::Again
            }
            Outcome::Denied(words) => self.wait(words, None, true, false),
            Outcome::NotUnderstood(words) => self.wait(words, None, true, false),
            Outcome::Later(words, after) => self.wait(words, after, false, true),
        }
    }

    /// True if a body of this size is within the announced limit, or one as large was taken before: then it is not the
    /// record that is wrong.
    fn should_have_fitted(&self, bytes: usize, limits: Limits) -> bool {
        limits.bytes.or(self.limits.bytes).map_or(bytes <= self.bytes_accepted_max, |limit| bytes <= limit)
    }

    fn stored(&mut self, sent: Sent) {
        let size = sent.parcels;
        self.bytes_accepted_max = self.bytes_accepted_max.max(sent.bytes);
        self.failures = 0;
        self.quarantines_in_a_row = 0;
        self.suspects = self.suspects.saturating_sub(size);
        if size >= self.ceiling {
            self.ceiling = self.batch_max.min(self.ceiling + (self.ceiling / 8).max(1));
        }
    }

    /// The next pause: doubled with every failure in a row, then shortened at random by up to half, so that a hall full of
    /// stations does not come back in step. What the backend asks for is a lower bound.
    fn wait(&mut self, words: String, after: Option<Duration>, alarm: bool, keep_job: bool) -> Move {
        let full = doubled(self.pause_min, self.failures, self.pause_max);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let jittered = half + half.mul_f64(self.roll());
        let wanted = jittered.max(after.unwrap_or_default()).min(self.pause_max);
        // Whole microseconds, because that is what clocks here count.
        let pause = Duration::from_micros(u64::try_from(wanted.as_micros()).unwrap_or(u64::MAX));
        Move::Wait(Trouble { words, alarm, pause, keep_job })
    }

    /// What a job called stored is not there, for the so-manieth time in a row: the same job is asked once more, then the batch goes again.
    pub fn missing(&mut self, words: String, times: u32) -> Move {
        self.failures = self.failures.max(times - 1);
        self.wait(words, None, times >= MISSING_ALARM, !times.is_multiple_of(2))
    }

    /// A trouble of our own (the outbox): same pauses.
    pub fn own_trouble(&mut self, words: String) -> Move {
        self.wait(words, None, true, true)
    }

    /// A number in 0…1 (splitmix64).
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / f64::from(u32::MAX)
    }
}

fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    base.saturating_mul(1_u32.checked_shl(times.min(31)).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(parcels: usize) -> Sent {
        Sent { parcels, bytes: parcels * 1000 }
    }

    fn course(batch_max: usize) -> Course {
        Course::new(batch_max, Duration::from_secs(1), Duration::from_secs(300), 7)
    }

    /// A backend that refuses the parcels in `poison`; returns what was delivered, quarantined, and the requests it took.
    fn play(parcels: u32, poison: &[u32]) -> (Vec<u32>, Vec<u32>, u32) {
        let mut course = course(64);
        let (mut waiting, mut delivered, mut quarantined): (Vec<u32>, _, _) = ((0..parcels).collect(), Vec::new(), Vec::new());
        let mut requests = 0;
        while !waiting.is_empty() {
            let size = course.batch().min(waiting.len());
            let refused = waiting[..size].iter().any(|parcel| poison.contains(parcel));
            requests += 1;
            match course.judge(if refused { Outcome::Refused("no".to_owned()) } else { Outcome::Stored }, sent(size)) {
                Move::Deliver => delivered.extend(waiting.drain(..size)),
                Move::Quarantine(_) => {
                    quarantined.push(waiting.remove(0));
                    assert_eq!(course.quarantined(), None);
                }
                Move::Again => {}
                other => panic!("{other:?}"),
            }
        }
        (delivered, quarantined, requests)
    }

    #[test]
    fn halving_finds_exactly_the_poison() {
        for poison in [vec![], vec![0], vec![99], vec![41], vec![3, 4, 77], (10..17).collect()] {
            let (delivered, quarantined, _) = play(100, &poison);
            assert_eq!(quarantined, poison);
            assert_eq!(delivered.len(), 100 - poison.len());
        }
        let (_, _, requests) = play(64, &[41]);
        assert!(requests <= 15, "{requests} requests for one poison parcel in 64");
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_by_seed() {
        let pauses = |seed| {
            let mut course = Course::new(1, Duration::from_secs(1), Duration::from_secs(300), seed);
            let pause = |outcome| match course.judge(outcome, sent(1)) {
                Move::Wait(trouble) => trouble.pause.as_secs_f64(),
                other => panic!("{other:?}"),
            };
            std::iter::repeat_n(Outcome::Later("x".to_owned(), None), 12).map(pause).collect::<Vec<_>>()
        };
        for (index, pause) in pauses(1).into_iter().enumerate() {
            let full = f64::from(1_u32 << index).min(300.0);
            assert!((full / 2.0..=full).contains(&pause), "try {index}: {pause} s");
        }
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn what_the_backend_asks_for_is_waited_for_and_success_resets_the_pause() {
        let mut course = course(8);
        let asked = Outcome::Later("429".to_owned(), Some(Duration::from_secs(40)));
        assert!(matches!(course.judge(asked, sent(8)), Move::Wait(trouble) if trouble.pause == Duration::from_secs(40) && !trouble.alarm));
        let forever = Outcome::Later("429".to_owned(), Some(Duration::from_secs(90_000)));
        assert!(matches!(course.judge(forever, sent(8)), Move::Wait(trouble) if trouble.pause == Duration::from_secs(300)));
        assert_eq!(course.judge(Outcome::Stored, sent(8)), Move::Deliver);
        let later = Outcome::Later("503".to_owned(), None);
        assert!(matches!(course.judge(later, sent(8)), Move::Wait(trouble) if trouble.pause <= Duration::from_secs(1)));
    }

    #[test]
    fn nothing_is_quarantined_for_reasons_that_are_not_its_own() {
        for outcome in
            [Outcome::Denied("401".into()), Outcome::NotUnderstood("404".into()), Outcome::Later("500".into(), None), Outcome::JobUnknown]
        {
            let alarm = matches!(outcome, Outcome::Denied(_) | Outcome::NotUnderstood(_));
            assert!(matches!(course(8).judge(outcome, sent(1)), Move::Wait(trouble) if trouble.alarm == alarm));
        }
        assert_eq!(course(8).judge(Outcome::Exists("409".into()), sent(1)), Move::LookUp);
        assert_eq!(course(8).judge(Outcome::Exists("409".into()), sent(2)), Move::Again);
    }

    #[test]
    fn a_batch_that_is_too_large_is_halved_and_grows_back_slowly() {
        let mut course = course(64);
        course.announced(Limits { events: Some(40), bytes: None });
        assert_eq!(course.batch(), 40);
        assert_eq!(course.judge(Outcome::TooLarge(Limits::default(), "413".into()), sent(40)), Move::Again);
        assert_eq!(course.batch(), 20);
        assert_eq!(course.judge(Outcome::Stored, sent(20)), Move::Deliver);
        assert_eq!(course.batch(), 22);
    }

    #[test]
    fn a_single_record_is_too_large_only_if_it_can_be() {
        let refused = || Outcome::TooLarge(Limits::default(), "413".into());
        let mut fresh = course(8);
        assert_eq!(fresh.judge(refused(), sent(1)), Move::Quarantine("413".into()));
        assert_eq!(fresh.judge(Outcome::Stored, sent(4)), Move::Deliver);
        assert!(matches!(fresh.judge(refused(), sent(1)), Move::Wait(trouble) if trouble.alarm));
        fresh.announced(Limits { events: None, bytes: Some(999) });
        assert_eq!(fresh.judge(refused(), sent(1)), Move::Quarantine("413".into()));
    }

    #[test]
    fn a_backend_that_refuses_everything_is_slowed_down() {
        let mut course = course(1);
        let pauses: Vec<_> = (0..9).map(|_| course.quarantined()).collect();
        assert_eq!(pauses.iter().filter(|pause| pause.is_some()).count(), 2);
        course.judge(Outcome::Stored, sent(1));
        assert_eq!(course.quarantined(), None);
    }
}
