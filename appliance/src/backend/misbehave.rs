//! Misbehaviour on demand, so that the uploader can be tested against a backend that is slow, lying or broken.
//!
//! Invariant: nothing misbehaves unless the settings allow it and somebody asked for it.

use serde::{Deserialize, Serialize};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Misbehaviour {
    /// Hold the answer back this long, then do what was asked.
    Hold {
        /// Milliseconds.
        millis: u64,
    },
    /// Say 409 and keep nothing.
    Exists,
    /// Say 413 and keep nothing.
    TooLarge,
    /// Say this status (4xx or 5xx) and keep nothing.
    Fail {
        /// The status.
        status: u16,
    },
    /// Do what was asked, then say 500.
    Forget,
    /// Say 202, keep nothing, and know nothing of the job.
    Lie,
    /// Say 202, keep nothing, and say of the job that it has stored everything.
    Feign,
    /// Keep the first half of a document and fail the rest, whatever was promised.
    Partial,
    /// Say that the job still runs.
    Running,
    /// Refuse every event or grade that contains this text, until told otherwise. Does not count requests.
    Poison {
        /// The text; empty: refuse nothing any more.
        text: String,
    },
}

/// What is asked for through `POST /misbehave`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    /// How.
    #[serde(flatten)]
    pub how: Misbehaviour,
    /// For so many requests.
    #[serde(default = "one")]
    pub requests: u32,
}

fn one() -> u32 {
    1
}

/// What a request does, as far as misbehaviour is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Capture,
    AskJob,
    Grade,
}

/// The orders in force.
#[derive(Debug, Default)]
pub(super) struct Mischief {
    orders: Mutex<Vec<(Misbehaviour, u32)>>,
    poison: Mutex<String>,
    closing: Mutex<bool>,
    closed: Condvar,
}

impl Mischief {
    /// From now on, after the orders that were given before.
    pub(super) fn order(&self, how: Misbehaviour, requests: u32) {
        match how {
            Misbehaviour::Poison { text } => *self.poison.lock().unwrap_or_else(PoisonError::into_inner) = text,
            how if requests > 0 => self.orders.lock().unwrap_or_else(PoisonError::into_inner).push((how, requests)),
            _ => {}
        }
    }

    /// What this request is to suffer; used up by asking.
    pub(super) fn for_request(&self, request: Request) -> Option<Misbehaviour> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = |how: &Misbehaviour| match how {
            Misbehaviour::Partial | Misbehaviour::Lie | Misbehaviour::Feign => request == Request::Capture,
            Misbehaviour::Running => request == Request::AskJob,
            Misbehaviour::Exists | Misbehaviour::TooLarge => request != Request::AskJob,
            _ => true,
        };
        let index = orders.iter().position(|(how, _)| meant(how))?;
        let (how, left) = orders.get_mut(index)?;
        let how = how.clone();
        *left -= 1;
        if *left == 0 {
            orders.remove(index);
        }
        Some(how)
    }

    /// The text that is refused; empty if none is.
    pub(super) fn poison(&self) -> String {
        self.poison.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds the calling request (and no other) back, or until the backend closes.
    pub(super) fn hold(&self, millis: u64) {
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.closed.wait_timeout_while(closing, Duration::from_millis(millis), |closing| !*closing));
    }

    /// Lets every held request go.
    pub(super) fn close(&self) {
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closed.notify_all();
    }
}
