//! Snapshot to page, tap to action: what people see of the station and what they decide, served over HTTP.
//!
//! [`Page`] is made once from its [`PageSettings`] and its [`Sources`], and [`serve`] runs it. The whole API is the table
//! in `routes`. What people see is always the latest [`station::snapshot::Snapshot`]; what they decide leaves through one
//! function that never waits. Nothing here can hold up the line: a slow browser misses snapshots, not the station.
//!
//! [`endpoint`] is the second, smaller server of the house: plain HTTP for the embedded backend.

mod actions;
mod assets;
mod auth;
mod decisions;
pub mod endpoint;
mod guard;
pub mod health;
mod intake;
mod leftover;
mod live;
mod metrics;
mod page;
mod problem;
mod query;
mod routes;
mod server;
mod sources;
mod view;

pub use auth::{HashError, Users, UsersError};
pub use health::Health;
pub use page::{Page, PageError, PageSettings, serve};
pub use sources::{Export, Objection, Picture, Pictures, Records, Refused, Sources, Writing};
