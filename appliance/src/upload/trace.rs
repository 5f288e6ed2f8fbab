//! Traceability: piece records as GS1 EPCIS 2.0 events through the capture interface.
//!
//! Invariant: a capture asks for `rollback`, so that a job is stored wholly or not at all.

use crate::outbox::Parcel;
use crate::upload::context::Contexts;
use crate::upload::decided::events_of;
use crate::upload::epcis::Document;
use crate::upload::http::{NoAnswer, Reply, Wire};
use crate::upload::outcome::{self, Limits, Outcome};
use crate::upload::pack::{Package, Protocol, Room, fit};
use station::units::Timestamp;

/// What every request of the capture interface carries.
const GS1_HEADERS: [(&str, &str); 3] = [("accept", "application/json"), ("gs1-epcis-version", "2.0.0"), ("gs1-cbv-version", "2.0.0")];

/// The capture interface of an EPCIS 2.0 repository.
#[derive(Debug)]
pub(crate) struct Traceability;

impl Protocol for Traceability {
    fn discover(&self, wire: &Wire) -> Result<Limits, Outcome> {
        outcome::of_discovery(&wire.send("OPTIONS", "/capture", &GS1_HEADERS, None))
    }

    fn pack(&self, parcels: &[Parcel], contexts: &Contexts, now: Timestamp, room: Room) -> Package {
        let name = |event: &crate::upload::epcis::Event| event.event_id.clone();
        fit(
            parcels,
            room,
            |parcel| events_of(parcel, contexts),
            name,
            |parcels, events| {
                let made_at = parcels.first().and_then(|first| contexts.at(first.entry.number).time(0, now).ok());
                let last = || events.last().map(|event| event.event_time.clone()).unwrap_or_default();
                serde_json::to_vec(&Document::new(events, made_at.map_or_else(last, |(time, _)| time)))
            },
        )
    }

    fn offer(&self, wire: &Wire, package: &Package) -> Outcome {
        let mut headers = GS1_HEADERS.to_vec();
        headers.extend([("gs1-capture-error-behaviour", "rollback"), ("gs1-epc-format", "Never_Translates")]);
        let answer = wire.send("POST", "/capture", &headers, Some(&package.body));
        match outcome::of_batch(&answer) {
            Outcome::Accepted(location) => Outcome::Accepted(wire.resolve("/capture", &location)),
            other => other,
        }
    }

    fn ask(&self, wire: &Wire, job: &str) -> Outcome {
        outcome::of_job(&wire.send_to("GET", job, &GS1_HEADERS, None))
    }

    fn missing(&self, wire: &Wire, package: &Package) -> Option<String> {
        let name = package.names.last()?;
        let answer = wire.send("GET", &format!("/events/{name}"), &GS1_HEADERS, None);
        outcome::is_missing(&answer).then(|| name.clone())
    }

    fn look_up(&self, wire: &Wire, package: &Package) -> Outcome {
        let answer: Result<Reply, NoAnswer> = match package.names.last() {
            Some(name) => wire.send("GET", &format!("/events/{name}"), &GS1_HEADERS, None),
            None => Err(NoAnswer("nothing to look up".to_owned())),
        };
        outcome::of_lookup(&answer)
    }
}
