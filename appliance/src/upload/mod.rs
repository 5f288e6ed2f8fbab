//! Delivery of piece records and decisions to the backends: at least once on the wire, exactly once in the backend.
//!
//! ```text
//!            outbox.next ──► pack ──► offer ──► accepted ──► ask ──► stored ──► outbox.delivered
//!                              ▲                                │
//!                              └────────── course ◄─────────────┘ refused, too large, later, …
//! ```
//! Invariants: a parcel leaves the outbox only when the backend said that it is stored (or that it is there, looked up) or
//! refused it alone; one step makes at most one exchange per phase and never sleeps: pauses are returned, not taken.
//!
//! [`Uploader::step`] is called in a loop by whoever owns the thread.

pub mod context;
pub mod course;
pub mod decided;
pub mod epcis;
pub mod expiry;
pub mod grade;
pub mod http;
pub mod measure;
pub mod outcome;
mod pack;
pub mod person;
mod trace;
pub mod uri;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use context::{Context, Contexts};
pub use http::{ClientIdentity, Token, WireSettingsError};

use crate::outbox::{Outbox, OutboxError, Parcel, name_of};
use course::{Course, Move, Sent, Trouble};
use http::Wire;
use outcome::Outcome;
use pack::{Package, Protocol, Room};
use serde::Serialize;
use station::units::Timestamp;
use std::time::Duration;

/// A capture job that has not finished after this long is offered again; event ids make that harmless.
const JOB_PATIENCE: Duration = Duration::from_secs(300);

/// One question for so many batches: it costs nothing beside them, and a backend that stores nothing is found out within minutes.
pub const SAMPLE_EVERY: u32 = 20;

/// How a backend is reached.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// Address of the interface, for example `https://epcis.plant.local/v2`.
    pub address: String,
    /// Bearer token, if the backend wants one.
    pub token: Option<Token>,
    /// The plant's own certificate authorities in PEM; `None` for the public ones.
    pub roots_pem: Option<Vec<u8>>,
    /// Certificate and key for a backend that asks for them.
    pub client: Option<ClientIdentity>,
    /// Most parcels in one request; the backend may announce less.
    pub batch_max: usize,
    /// After so many batches of which a capture job says that they are stored, one event is asked for; 0: never.
    pub sample_every: u32,
    /// Longest time for one exchange.
    pub time_limit: Duration,
    /// First pause after a failure.
    pub pause_min: Duration,
    /// Longest pause after failures.
    pub pause_max: Duration,
    /// Seed of the jitter; different per station.
    pub seed: u64,
}

impl UploadSettings {
    /// The pauses of the specification (1 s … 5 min) and moderate batches.
    #[must_use]
    pub fn new(address: &str, seed: u64) -> Self {
        Self {
            address: address.to_owned(),
            token: None,
            roots_pem: None,
            client: None,
            batch_max: 100,
            sample_every: SAMPLE_EVERY,
            time_limit: Duration::from_secs(10),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(300),
            seed,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This many parcels are acknowledged. Call again at once.
    Delivered(usize),
    /// The parcel of this number was refused for good. Call again at once.
    Quarantined(u64),
    /// One exchange further. Call again at once.
    Again,
    /// Nothing waits. Call again when a parcel is added.
    Idle,
    /// Call again after this long, not before.
    Wait(Duration),
}

/// Where the upload to one backend stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UploadStatus {
    /// What is in the way; `None` if nothing is.
    pub trouble: Option<TroubleView>,
    /// When something was last acknowledged.
    pub delivered_at: Option<Timestamp>,
    /// Parcels in the next request.
    pub batch: usize,
}

/// What is in the way, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TroubleView {
    /// The backend's words, or ours about it.
    pub words: String,
    /// True if it will not pass without a person.
    pub alarm: bool,
    /// Since when.
    pub since: Timestamp,
    /// Tries in vain since then.
    pub tries: u32,
    /// Milliseconds from the last try to the next one.
    pub next_try_millis: u64,
}

/// Delivers the parcels of one outbox to one backend.
#[derive(Debug)]
pub struct Uploader {
    protocol: Box<dyn Protocol>,
    wire: Wire,
    contexts: Contexts,
    course: Course,
    discovered: bool,
    in_flight: Option<Flight>,
    not_before_micros: u64,
    status: UploadStatus,
    /// Piece records from this one on are live: they go before the backlog of an outage. `None`: there is no backlog.
    live_from: Option<u64>,
    /// The last batch was of live records.
    live: bool,
    samples: Samples,
    /// When the client certificate ends, if there is one that says so.
    certificate_ends: Option<jiff::Timestamp>,
}

/// Whether what jobs call stored is there.
#[derive(Debug)]
struct Samples {
    every: u32,
    /// Batches since the last one that was looked for.
    since: u32,
    /// Times in a row that an event was not there.
    missing: u32,
}

/// A package the backend has taken but not yet stored.
#[derive(Debug)]
struct Flight {
    package: Package,
    job: String,
    since: Timestamp,
}

impl Uploader {
    /// To the capture interface of an EPCIS 2.0 repository.
    pub fn traceability(settings: &UploadSettings, contexts: Contexts) -> Result<Self, WireSettingsError> {
        Self::new(Box::new(trace::Traceability), settings, contexts)
    }

    /// To the grading backend.
    pub fn grading(settings: &UploadSettings, contexts: Contexts) -> Result<Self, WireSettingsError> {
        Self::new(Box::new(grade::Grading), settings, contexts)
    }

    fn new(protocol: Box<dyn Protocol>, settings: &UploadSettings, contexts: Contexts) -> Result<Self, WireSettingsError> {
        let (roots, client) = (settings.roots_pem.as_deref(), settings.client.as_ref());
        let wire = Wire::new(&settings.address, settings.token.as_ref(), roots, client, settings.time_limit)?;
        let course = Course::new(settings.batch_max, settings.pause_min, settings.pause_max, settings.seed);
        let status = UploadStatus { batch: course.batch(), ..UploadStatus::default() };
        Ok(Self {
            protocol,
            wire,
            contexts,
            course,
            discovered: false,
            in_flight: None,
            not_before_micros: 0,
            status,
            live_from: None,
            live: false,
            // The first batch after a start is looked for.
            samples: Samples { every: settings.sample_every, since: settings.sample_every, missing: 0 },
            certificate_ends: settings.client.as_ref().and_then(|client| expiry::not_after(&client.certificates_pem)),
        })
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> &UploadStatus {
        &self.status
    }

    /// What people must be told ahead of time: that the client certificate is about to end.
    #[must_use]
    pub fn notice(&self, now: Timestamp) -> Option<String> {
        self.certificate_ends.and_then(|ends| expiry::notice(ends, now.wall_micros))
    }

    /// Goes on by one exchange. Before the time it asked to be called it does nothing but say how long is left.
    pub fn step(&mut self, outbox: &dyn Outbox, now: Timestamp) -> Step {
        let left = self.not_before_micros.saturating_sub(now.mono_micros);
        if left > 0 {
            return Step::Wait(Duration::from_micros(left));
        }
        let step = self.advance(outbox, now).unwrap_or_else(|error| {
            let trouble = self.course.own_trouble(error.to_string());
            self.go_on(trouble, None, outbox, now).unwrap_or(Step::Wait(JOB_PATIENCE))
        });
        self.status.batch = self.course.batch();
        step
    }

    fn advance(&mut self, outbox: &dyn Outbox, now: Timestamp) -> Result<Step, OutboxError> {
        if let Some(flight) = self.in_flight.take() {
            let outcome = self.protocol.ask(&self.wire, &flight.job);
            if outcome == Outcome::Stored
                && let Some(next) = self.found_missing(&flight.package)
            {
                return self.go_on(next, Some(flight), outbox, now);
            }
            return self.settle(outcome, flight.package, Some((flight.job, flight.since)), outbox, now);
        }
        if !self.discovered {
            if outbox.next(1)?.is_empty() {
                return Ok(Step::Idle);
            }
            return match self.protocol.discover(&self.wire) {
                Ok(limits) => {
                    // Before the start, or while nothing was taken, a backlog may have grown.
                    self.live_from = Some(outbox.newest() + 1);
                    self.course.announced(limits);
                    self.discovered = true;
                    Ok(Step::Again)
                }
                Err(outcome) => self.settle(outcome, Package::default(), None, outbox, now),
            };
        }
        let parcels = self.due(outbox)?;
        let Some(oldest) = parcels.first() else { return Ok(Step::Idle) };
        let room = Room { bytes: self.course.bytes_max(), items: self.course.items_max() };
        let package = self.protocol.pack(&parcels, &self.contexts, now, room);
        if let Some(why) = &package.unspeakable {
            return self.quarantine(oldest.result_id, &format!("cannot be told to this backend: {why}"), outbox, now);
        }
        if package.names.is_empty() {
            // Nothing that this backend has a word for.
            return self.deliver(package.result_ids, outbox, now);
        }
        let outcome = self.protocol.offer(&self.wire, &package);
        self.settle(outcome, package, None, outbox, now)
    }

    /// A job says that it has stored everything. Now and then one event is asked for; what follows if it is not there: the job is asked
    /// once more, for a repository may need a moment, then the batch goes again, and after that with an alarm.
    fn found_missing(&mut self, package: &Package) -> Option<Move> {
        self.samples.since = self.samples.since.saturating_add(1);
        if self.samples.every == 0 || self.samples.since <= self.samples.every {
            return None;
        }
        let Some(missing) = self.protocol.missing(&self.wire, package) else {
            (self.samples.since, self.samples.missing) = (0, 0);
            return None;
        };
        self.samples.missing = self.samples.missing.saturating_add(1);
        let words = format!("a capture job says that it has stored everything, and {missing} is not there");
        Some(self.course.missing(words, self.samples.missing))
    }

    /// The next batch: what was recorded since the backend was last found to take records, then the backlog. While poison is
    /// looked for, the batches stay those of one of the two, so that halves are halves of the same.
    fn due(&mut self, outbox: &dyn Outbox) -> Result<Vec<Parcel>, OutboxError> {
        let size = self.course.batch();
        if let Some(from) = self.live_from.filter(|_| self.live || !self.course.is_searching()) {
            let parcels = outbox.next_from(from, size)?;
            self.live = !parcels.is_empty();
            if self.live {
                return Ok(parcels);
            }
        }
        self.live = false;
        outbox.next(size)
    }

    /// Draws the consequence of an outcome; `job` is the one that was asked about, and since when it runs.
    fn settle(
        &mut self,
        outcome: Outcome,
        package: Package,
        job: Option<(String, Timestamp)>,
        outbox: &dyn Outbox,
        now: Timestamp,
    ) -> Result<Step, OutboxError> {
        let sent = Sent { parcels: package.result_ids.len(), bytes: package.body.len() };
        let mut next = self.course.judge(outcome, sent);
        if next == Move::LookUp {
            let found = self.protocol.look_up(&self.wire, &package);
            next = self.course.judge(found, sent);
        }
        let flight = match (&next, job) {
            (Move::Ask(job, _), _) => Some(Flight { package, job: job.clone(), since: now }),
            (_, Some((job, since))) => Some(Flight { package, job, since }),
            (_, None) => Some(Flight { package, job: String::new(), since: now }),
        };
        self.go_on(next, flight, outbox, now)
    }

    fn go_on(&mut self, next: Move, flight: Option<Flight>, outbox: &dyn Outbox, now: Timestamp) -> Result<Step, OutboxError> {
        match next {
            Move::Deliver => self.deliver(flight.map(|flight| flight.package.result_ids).unwrap_or_default(), outbox, now),
            Move::Quarantine(words) => match flight.and_then(|flight| flight.package.result_ids.first().copied()) {
                Some(result_id) => self.quarantine(result_id, &words, outbox, now),
                None => Ok(Step::Again),
            },
            Move::Ask(_, pause) | Move::AskAgain(pause) => {
                self.in_flight = flight.filter(|flight| now.since(flight.since).0 < micros(JOB_PATIENCE));
                self.not_before_micros = now.mono_micros.saturating_add(micros(pause));
                Ok(Step::Wait(pause))
            }
            Move::LookUp | Move::Again => Ok(Step::Again),
            Move::Wait(trouble) => {
                let worth_asking = |flight: &Flight| !flight.job.is_empty() && now.since(flight.since).0 < micros(JOB_PATIENCE);
                self.in_flight = flight.filter(|flight| trouble.keep_job && worth_asking(flight));
                self.discovered = self.in_flight.is_some();
                Ok(self.hold_back(trouble, now))
            }
        }
    }

    fn deliver(&mut self, result_ids: Vec<u64>, outbox: &dyn Outbox, now: Timestamp) -> Result<Step, OutboxError> {
        outbox.delivered(&result_ids)?;
        if let Some(trouble) = self.status.trouble.take() {
            tracing::info!(backend = outbox.backend(), tries = trouble.tries, "the backend takes records again");
        }
        self.status.delivered_at = Some(now);
        Ok(Step::Delivered(result_ids.len()))
    }

    fn quarantine(&mut self, result_id: u64, words: &str, outbox: &dyn Outbox, now: Timestamp) -> Result<Step, OutboxError> {
        outbox.quarantine(result_id, words)?;
        self.status.trouble = None;
        tracing::error!(
            backend = outbox.backend(),
            parcel = name_of(result_id),
            words,
            "a record was refused for good and is kept in quarantine"
        );
        if let Some(pause) = self.course.quarantined() {
            let words = format!("the backend refuses one record after the other, last: {words}");
            self.hold_back(Trouble { words, alarm: true, pause, keep_job: false }, now);
        }
        Ok(Step::Quarantined(result_id))
    }

    fn hold_back(&mut self, trouble: Trouble, now: Timestamp) -> Step {
        let before = self.status.trouble.take();
        let changed = before.as_ref().is_none_or(|before| before.alarm != trouble.alarm);
        let next_try_millis = u64::try_from(trouble.pause.as_millis()).unwrap_or(u64::MAX);
        match (changed, trouble.alarm) {
            (true, true) => tracing::error!(words = %trouble.words, "a backend cannot be used until somebody helps"),
            (true, false) => tracing::warn!(words = %trouble.words, next_try_millis, "a backend takes no records; they wait"),
            (false, _) => tracing::debug!(words = %trouble.words, next_try_millis, "a backend still takes no records"),
        }
        self.not_before_micros = now.mono_micros.saturating_add(micros(trouble.pause));
        self.status.trouble = Some(TroubleView {
            words: trouble.words,
            alarm: trouble.alarm,
            since: before.as_ref().map_or(now, |before| before.since),
            tries: before.map_or(0, |before| before.tries).saturating_add(1),
            next_try_millis,
        });
        Step::Wait(trouble.pause)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
