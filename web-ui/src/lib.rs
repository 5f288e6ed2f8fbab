//! Snapshot to page, tap to action: what people see of the station and what they decide, served over HTTP.

pub mod endpoint;
mod server;
