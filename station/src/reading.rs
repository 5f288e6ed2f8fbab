//! A value from the process, with the three things without which it is evidence of nothing: unit, quality, age.

use crate::units::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far a reading may be trusted (the three classes that OPC UA Part 8 also distinguishes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Fresh and plausible.
    Good,
    /// Once good, but older than its tag allows.
    Stale,
    /// Refused by the PLC, out of range, or not a number.
    Bad,
}

/// One sample of one tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The tag's name in the configuration.
    pub tag: Arc<str>,
    /// The value, in `unit`; finite if the quality is `Good`.
    pub value: f64,
    /// The unit as written in the configuration, for example `um` or `Cel`.
    pub unit: Arc<str>,
    /// The text of a tag that holds text, for example the code of a material roll; `value` is then 0 and means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Arc<str>>,
    /// How far it may be trusted.
    pub quality: Quality,
    /// When it was sampled.
    pub sampled_at: Timestamp,
}
