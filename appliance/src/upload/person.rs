//! A running station asked over its own web API, as a person: for commands that must go through it.
//!
//! Invariants: the password goes nowhere but to the station's sign-in, and stands in no text; a refusal is told in the station's words,
//! with what to do about it.

use super::http::{NoAnswer, Reply, Wire, WireSettingsError};
use serde_json::{Value, json};
use std::time::Duration;

/// A question to all records may wait for the one before it.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Why a station did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] WireSettingsError),
    /// Nobody answers.
    #[error("no station answers at {station}; give the address of its page with --station")]
    NoAnswer {
        /// Where.
        station: String,
        /// What was heard.
        #[source]
        source: NoAnswer,
    },
    /// It refuses, in its words.
    #[error("{0}")]
    Refused(String),
}

/// Somebody who is signed in.
#[derive(Debug)]
pub struct SignedIn {
    wire: Wire,
    station: String,
    cookie: String,
}

impl SignedIn {
    /// Signs in at the station whose page is at `station`.
    ///
    /// # Errors
    /// No station, or a wrong name or password.
    pub fn at(station: &str, name: &str, password: &str) -> Result<Self, PersonError> {
        let wire = Wire::new(station, None, None, None, TIME_LIMIT)?;
        let mut person = Self { wire, station: station.to_owned(), cookie: String::new() };
        let reply = person.send("POST", "/session", Some(&json!({"name": name, "password": password})))?;
        let set = reply.header("set-cookie").and_then(|set| set.split(';').next());
        person.cookie = set.unwrap_or_default().to_owned();
        Ok(person)
    }

    /// Asks for something below `/api/v1`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn get(&self, path: &str) -> Result<Value, PersonError> {
        Ok(serde_json::from_slice(&self.send("GET", path, None)?.body).unwrap_or_default())
    }

    /// Has something done. Gives back the status and what was answered.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), PersonError> {
        let reply = self.send("POST", path, Some(body))?;
        Ok((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, PersonError> {
        let body = body.map(|body| body.to_string().into_bytes());
        let headers = [("cookie", self.cookie.as_str())];
        let sent = self.wire.send(method, &format!("/api/v1{path}"), &headers, body.as_deref());
        let reply = sent.map_err(|source| PersonError::NoAnswer { station: self.station.clone(), source })?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        let said = text("error").map(|error| text("mend").map_or_else(|| error.clone(), |mend| format!("{error}; {mend}")));
        Err(PersonError::Refused(said.unwrap_or_else(|| reply.words())))
    }
}

impl Drop for SignedIn {
    fn drop(&mut self) {
        // A session that is left behind ends by itself.
        if !self.cookie.is_empty() {
            drop(self.send("DELETE", "/session", None));
        }
    }
}
