//! Parcels made ready for the wire, whatever the backend speaks.
//!
//! Invariants: a package keeps the order of the outbox and starts with its oldest parcel; it holds what fits, but never nothing
//! because of size (a single parcel that is too large is the backend's to refuse, in its words).

use crate::outbox::Parcel;
use crate::upload::context::{Contexts, MappingError};
use crate::upload::http::Wire;
use crate::upload::outcome::{Limits, Outcome};
use station::units::Timestamp;

/// One request's worth of parcels.
#[derive(Debug, Default)]
pub(crate) struct Package {
    /// The parcels in it.
    pub result_ids: Vec<u64>,
    /// The names at the backend of what is told of them; empty if the backend has no word for any of it.
    pub names: Vec<String>,
    /// The request's body.
    pub body: Vec<u8>,
    /// Why the first parcel can be told to no backend; the package is then empty.
    pub unspeakable: Option<String>,
}

/// How much goes into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes of the body.
    pub bytes: usize,
    /// Events or grades; a parcel may need several.
    pub items: usize,
}

/// How one kind of backend is spoken to. One exchange per call.
pub(crate) trait Protocol: Send + std::fmt::Debug {
    /// Limits, before the first batch and after every trouble.
    fn discover(&self, wire: &Wire) -> Result<Limits, Outcome>;
    /// Parcels to a request.
    fn pack(&self, parcels: &[Parcel], contexts: &Contexts, now: Timestamp, room: Room) -> Package;
    /// Sends a package.
    fn offer(&self, wire: &Wire, package: &Package) -> Outcome;
    /// Asks about a package that was taken but not yet stored.
    fn ask(&self, wire: &Wire, job: &str) -> Outcome;
    /// The name of something of a stored package that the backend plainly does not have; `None` if it has it, or does not say.
    fn missing(&self, _wire: &Wire, _package: &Package) -> Option<String> {
        None
    }
    /// Asks whether the one parcel of a package is there.
    fn look_up(&self, wire: &Wire, package: &Package) -> Outcome;
}

/// Describes parcels until one cannot be described, then takes half until the body fits.
pub(crate) fn fit<T>(
    parcels: &[Parcel],
    room: Room,
    describe: impl Fn(&Parcel) -> Result<Vec<T>, MappingError>,
    name: impl Fn(&T) -> String,
    write: impl Fn(&[Parcel], &[T]) -> Result<Vec<u8>, serde_json::Error>,
) -> Package {
    let unspeakable = |why: &dyn std::fmt::Display| Package { unspeakable: Some(why.to_string()), ..Package::default() };
    // How many items belong to the parcels up to each one.
    let (mut items, mut ends) = (Vec::with_capacity(parcels.len()), Vec::with_capacity(parcels.len()));
    for parcel in parcels {
        match describe(parcel) {
            Ok(described) if ends.is_empty() && described.len() > room.items => {
                let (needs, takes) = (described.len(), room.items);
                return unspeakable(&format_args!("it is {needs} events that belong together, and this backend takes {takes} at once"));
            }
            Ok(described) if !ends.is_empty() && items.len() + described.len() > room.items => break,
            Ok(described) => items.extend(described),
            Err(error) if ends.is_empty() => return unspeakable(&error),
            Err(_) => break,
        }
        ends.push(items.len());
    }
    let mut count = ends.len();
    loop {
        let (taken, items) = (&parcels[..count], &items[..count.checked_sub(1).map_or(0, |last| ends[last])]);
        let body = match write(taken, items) {
            Ok(body) => body,
            Err(error) if count <= 1 => return unspeakable(&error),
            Err(_) => Vec::new(),
        };
        if count <= 1 || (!body.is_empty() && body.len() <= room.bytes) {
            let result_ids = taken.iter().map(|parcel| parcel.result_id).collect();
            return Package { result_ids, names: items.iter().map(name).collect(), body, unspeakable: None };
        }
        count /= 2;
    }
}
