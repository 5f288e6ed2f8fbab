//! How often somebody may try a password.
//!
//! Invariants: an attempt is counted before the password is checked, so that attempts side by side count too; a success
//! forgives the name but not the address; what is remembered is bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Attempts are counted over this long.
const WINDOW: Duration = Duration::from_secs(300);

/// Attempts per name and window. At this rate a password of 12 characters outlives the machine, and a typo does not lock a shift out.
const PER_NAME: u32 = 8;

/// Attempts per address and window: several people share the touch screen.
const PER_ADDRESS: u32 = 40;

/// Remembered names and addresses. One costs about 100 bytes; when full, the oldest is forgotten.
const REMEMBERED_MAX: usize = 4096;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A name in lowercase.
    Name(String),
    /// Where it came from.
    Address(IpAddr),
    /// The set-up code.
    SetUp,
}

impl Key {
    /// The key of a name as typed.
    pub(crate) fn name(typed: &str) -> Self {
        Self::Name(typed.trim().chars().take(64).collect::<String>().to_lowercase())
    }

    fn limit(&self) -> u32 {
        match self {
            Self::Name(_) | Self::SetUp => PER_NAME,
            Self::Address(_) => PER_ADDRESS,
        }
    }
}

#[derive(Debug)]
struct Tries {
    since: Instant,
    count: u32,
}

/// The attempts of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    tries: Mutex<BTreeMap<Key, Tries>>,
}

impl Throttle {
    /// Counts one attempt under every key, or says how long to wait. A refused attempt is not counted.
    pub(crate) fn admit(&self, keys: &[Key], now: Instant) -> Result<(), Duration> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, tried| now.saturating_duration_since(tried.since) < WINDOW);
        let wait = keys
            .iter()
            .filter_map(|key| tries.get(key).filter(|tried| tried.count >= key.limit()))
            .map(|tried| WINDOW.saturating_sub(now.saturating_duration_since(tried.since)))
            .max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in keys {
            if tries.len() >= REMEMBERED_MAX
                && !tries.contains_key(key)
                && let Some(oldest) = tries.iter().min_by_key(|(_, tried)| tried.since).map(|(key, _)| key.clone())
            {
                tries.remove(&oldest);
            }
            tries.entry(key.clone()).or_insert(Tries { since: now, count: 0 }).count += 1;
        }
        Ok(())
    }

    /// Forgets the attempts under `key`.
    pub(crate) fn forgive(&self, key: &Key) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_name_is_limited_until_the_window_is_over_and_forgiven_by_success() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let keys = [Key::name("Anna "), Key::Address(Ipv4Addr::LOCALHOST.into())];
        for _ in 0..PER_NAME {
            assert_eq!(throttle.admit(&keys, start), Ok(()));
        }
        assert_eq!(throttle.admit(&keys, start + Duration::from_secs(100)), Err(Duration::from_secs(200)));
        assert_eq!(throttle.admit(&[Key::name("bert")], start), Ok(()), "another name is not held up");
        throttle.forgive(&Key::name("ANNA"));
        assert_eq!(throttle.admit(&keys, start), Ok(()));
        for _ in 1..PER_NAME {
            assert_eq!(throttle.admit(&keys, start), Ok(()));
        }
        assert!(throttle.admit(&keys, start).is_err());
        assert_eq!(throttle.admit(&keys, start + WINDOW), Ok(()));
    }

    #[test]
    fn an_address_is_limited_over_all_names_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let address = Key::Address(Ipv4Addr::LOCALHOST.into());
        for number in 0..PER_ADDRESS {
            assert_eq!(throttle.admit(&[Key::name(&number.to_string()), address.clone()], start), Ok(()));
        }
        assert!(throttle.admit(&[Key::name("yet another"), address], start).is_err());
        for number in 0..2 * REMEMBERED_MAX {
            throttle.admit(&[Key::name(&number.to_string())], start).unwrap();
        }
        assert!(throttle.tries.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
