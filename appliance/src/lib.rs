//! The appliance: wires camera, model, PLC, judgement, ledger, upload, page and panel into one line.

pub mod backend;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod gauges;
pub mod grading;
pub mod host;
pub mod journal;
pub mod judge;
pub mod meter;
pub mod outbox;
pub mod packages;
pub mod panel;
pub mod pipeline;
pub mod realtime;
pub mod recall;
pub mod report;
pub mod store;
pub mod upload;
