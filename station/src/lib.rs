//! The judgement of the line: a vocabulary, and one state machine that turns events into effects.
//!
//! A piece arrives (`piece`), is seen or missed (`inspection`), by one camera or by several that must all have seen it
//! (`frame_set`), together with what the process said (`reading`) it gets a
//! verdict (`verdict`) after the recipe (`recipe`, `rubric`); the verdict goes to the line (`line`), into the chain
//! (`record`), on its way to the reject
//! gate (`gate`) and onto the charts; when the process drifts, the policy (`policy`) stops the line until a person has
//! acknowledged and released it (`action`); what people decide about pieces later is a record of its own (`decision`);
//! people see a `snapshot`. All of it happens in `station`.
//!
//! There is no clock, no thread, no I/O and no log in this crate: the same events give the same effects, byte for byte.

pub mod action;
pub mod alarm;
pub mod charts;
pub mod decision;
pub mod frame_set;
pub mod gate;
pub mod inspection;
pub mod intake;
pub mod judge;
pub mod line;
pub mod memory;
pub mod piece;
pub mod policy;
pub mod reading;
pub mod recipe;
pub mod record;
pub mod rubric;
pub mod snapshot;
pub mod station;
mod tally;
pub mod units;
pub mod verdict;
mod view;

pub use memory::Memory;
pub use station::{Effect, Event, Past, Setup, Station};
