//! The appliance: wires camera, model, PLC, judgement, ledger, upload, page and panel into one line.

pub mod backend;
pub mod config;
pub mod journal;
pub mod outbox;
pub mod panel;
pub mod store;
pub mod upload;
