//! Who is signed in.
//!
//! Invariants: a token is 256 random bits and only its digest is kept; a session ends when nobody has touched it for the
//! idle time, and at the latest after its whole time; the number of sessions is bounded, the longest idle one goes first.

use station::action::Person;
use station::units::Digest;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Sessions at one time. One costs some 200 bytes; when all are taken, the one idle the longest is ended.
const SESSIONS_MAX: usize = 256;

#[derive(Debug)]
struct Session {
    person: Person,
    opened: Instant,
    touched: Instant,
}

/// Everybody who is signed in.
#[derive(Debug)]
pub(crate) struct Sessions {
    idle: Duration,
    whole: Duration,
    open: Mutex<BTreeMap<Digest, Session>>,
}

/// Does a request keep its session alive? Only what a person did counts, not what the page asks for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A person did something.
    Touch,
    /// The page refreshed itself.
    Look,
}

impl Sessions {
    pub(crate) fn new(idle: Duration, whole: Duration) -> Self {
        Self { idle, whole, open: Mutex::default() }
    }

    /// The longest time a session can last.
    pub(crate) fn whole(&self) -> Duration {
        self.whole
    }

    /// Opens a session and gives its token, 64 hexadecimal digits.
    pub(crate) fn open(&self, person: Person, now: Instant) -> Result<String, getrandom::Error> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret)?;
        let token = Digest(secret).to_string();
        let mut open = self.lock();
        open.retain(|_, session| self.is_alive(session, now));
        if open.len() >= SESSIONS_MAX
            && let Some(longest_idle) = open.iter().min_by_key(|(_, session)| session.touched).map(|(digest, _)| *digest)
        {
            open.remove(&longest_idle);
        }
        open.insert(Digest::of(token.as_bytes()), Session { person, opened: now, touched: now });
        Ok(token)
    }

    /// The person whose token this is.
    pub(crate) fn person(&self, token: &str, how: Use, now: Instant) -> Option<Person> {
        let digest = Digest::of(token.as_bytes());
        let mut open = self.lock();
        let session = open.get_mut(&digest)?;
        if !self.is_alive(session, now) {
            open.remove(&digest);
            return None;
        }
        if how == Use::Touch {
            session.touched = now;
        }
        Some(session.person.clone())
    }

    /// Ends a session and says whose it was.
    pub(crate) fn close(&self, token: &str) -> Option<Person> {
        self.lock().remove(&Digest::of(token.as_bytes())).map(|session| session.person)
    }

    fn is_alive(&self, session: &Session, now: Instant) -> bool {
        now.saturating_duration_since(session.touched) < self.idle && now.saturating_duration_since(session.opened) < self.whole
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use station::action::Role;

    fn anna() -> Person {
        Person { name: "anna".into(), role: Role::Operator }
    }

    #[test]
    fn a_session_ends_when_idle_when_old_and_when_closed() {
        let sessions = Sessions::new(Duration::from_secs(60), Duration::from_secs(200));
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let token = sessions.open(anna(), start).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(sessions.person(&token, Use::Touch, at(59)), Some(anna()));
        assert_eq!(sessions.person(&token, Use::Look, at(118)), Some(anna()));
        assert_eq!(sessions.person(&token, Use::Look, at(119)), None, "looking does not keep it alive");

        let token = sessions.open(anna(), start).unwrap();
        for secs in [50, 100, 150] {
            assert!(sessions.person(&token, Use::Touch, at(secs)).is_some());
        }
        assert_eq!(sessions.person(&token, Use::Touch, at(200)), None, "the whole time is over");

        let token = sessions.open(anna(), start).unwrap();
        assert_eq!(sessions.close(&token), Some(anna()));
        assert_eq!(sessions.person(&token, Use::Touch, start), None);
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_tokens_differ() {
        let sessions = Sessions::new(Duration::from_secs(60), Duration::from_secs(60));
        let start = Instant::now();
        let first = sessions.open(anna(), start).unwrap();
        let later = start + Duration::from_secs(1);
        let tokens: Vec<_> = (0..SESSIONS_MAX).map(|_| sessions.open(anna(), later).unwrap()).collect();
        assert_eq!(sessions.person(&first, Use::Look, later), None);
        assert!(tokens.iter().all(|token| sessions.person(token, Use::Look, later).is_some()));
    }
}
