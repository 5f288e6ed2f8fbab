//! A line around the real thing, for the tests of what crosses crates: a recipe, a world that checks every invariant after
//! every event, and the running binary.

pub mod binary;
pub mod floor;
pub mod link;
pub mod loop_disk;
pub mod neighbours;
pub mod settings;
pub mod world;
