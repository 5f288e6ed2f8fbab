//! Who may come in: networks, and the door that asks them.
//!
//! Modbus TCP knows neither names nor keys, so the address is all there is to go by. The door is a guard against mistakes
//! and curiosity on the plant's network, not against somebody who can send from a foreign address.
//!
//! Invariants: without a list only this machine itself is let in; a refusal is told at most once per address and minute, so
//! that a scanner cannot fill the log; what is remembered is bounded.

use serde::{Deserialize, Serialize};
use station::units::{Micros, Timestamp};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// One address, or all addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// What is not a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotANetwork {
    /// The part before the `/`.
    #[error("`{0}` is no IP address; write for example 192.168.7.20 or 192.168.7.0/24")]
    Address(String),
    /// The part behind it.
    #[error("`{0}` has no usable prefix length; write for example /24 (0 to 32 for IPv4, 0 to 128 for IPv6)")]
    Prefix(String),
}

const fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Network {
    /// Whether `address` belongs to it. An IPv4 address in IPv6 dress counts as the IPv4 address that it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, width) = bits(self.address);
        let (theirs, their_width) = bits(address.to_canonical());
        let free = u32::from(width - self.prefix);
        // A shift by the whole width leaves nothing to compare.
        width == their_width && (ours ^ theirs).checked_shr(free).is_none_or(|differing| differing == 0)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: bits(address).1 }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let whole = address.trim().parse::<IpAddr>().map(Self::from).map_err(|_| NotANetwork::Address(text.to_owned()))?;
        let Some(prefix) = prefix else { return Ok(whole) };
        let prefix = prefix.trim().parse().ok().filter(|prefix| *prefix <= whole.prefix);
        prefix.map(|prefix| Self { prefix, ..whole }).ok_or_else(|| NotANetwork::Prefix(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.address).1 { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

/// Refusals remembered so that they are told once; one slot costs some 40 bytes. When it is full the oldest is forgotten:
/// one line more in the log, nothing else.
const TOLD_MAX: usize = 64;
/// How often one address is worth a line.
const TOLD_FOR: Micros = Micros::from_millis(60_000);

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NotListed,
    Full,
}

/// A refusal, and whether it is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Refusal,
    pub(super) tell: bool,
}

#[derive(Debug)]
pub(super) struct Door {
    allowed: Vec<Network>,
    clients_max: usize,
    told: VecDeque<(IpAddr, Timestamp)>,
}

impl Door {
    pub(super) const fn new(allowed: Vec<Network>, clients_max: usize) -> Self {
        Self { allowed, clients_max, told: VecDeque::new() }
    }

    /// Asks whether `address` may come in while `inside` others are.
    pub(super) fn ask(&mut self, address: IpAddr, inside: usize, now: Timestamp) -> Result<(), Refused> {
        let address = address.to_canonical();
        let listed = match self.allowed.as_slice() {
            [] => address.is_loopback(),
            networks => networks.iter().any(|network| network.contains(address)),
        };
        if listed && inside < self.clients_max {
            return Ok(());
        }
        self.told.retain(|(_, at)| now.since(*at) < TOLD_FOR);
        let tell = self.told.iter().all(|(known, _)| *known != address);
        if tell {
            if self.told.len() >= TOLD_MAX {
                self.told.pop_front();
            }
            self.told.push_back((address, now));
        }
        Err(Refused { why: if listed { Refusal::Full } else { Refusal::NotListed }, tell })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp { wall_micros: 0, mono_micros: secs * 1_000_000 }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix() {
        for (text, inside, outside) in [
            ("192.168.7.20", "192.168.7.20", "192.168.7.21"),
            ("192.168.7.0/24", "192.168.7.255", "192.168.8.0"),
            ("192.168.7.9/31", "192.168.7.8", "192.168.7.10"),
            ("10.0.0.0/8", "::ffff:10.9.8.7", "::10.9.8.7"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ] {
            assert!(network(text).contains(ip(inside)), "{text} {inside}");
            assert!(!network(text).contains(ip(outside)), "{text} {outside}");
            assert_eq!(network(text).to_string().parse::<Network>().unwrap(), network(text));
        }
        for wrong in ["", "plc1", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "::/129", "10.0.0.1/-1", "::ffff:10.0.0.1/128"] {
            let told = wrong.parse::<Network>().unwrap_err().to_string();
            assert!(told.contains(wrong) && told.contains("write for example"), "{told}");
        }
    }

    #[test]
    fn without_a_list_only_this_machine_comes_in() {
        let mut door = Door::new(Vec::new(), 2);
        assert_eq!(door.ask(ip("127.0.0.1"), 0, at(0)), Ok(()));
        assert_eq!(door.ask(ip("::ffff:127.0.0.9"), 1, at(0)), Ok(()));
        assert_eq!(door.ask(ip("::1"), 1, at(0)), Ok(()));
        assert_eq!(door.ask(ip("192.168.7.20"), 0, at(0)), Err(Refused { why: Refusal::NotListed, tell: true }));
        let mut door = Door::new(vec![network("192.168.7.0/24")], 2);
        assert_eq!(door.ask(ip("192.168.7.20"), 0, at(0)), Ok(()));
        assert_eq!(door.ask(ip("127.0.0.1"), 0, at(0)), Err(Refused { why: Refusal::NotListed, tell: true }));
        assert_eq!(door.ask(ip("192.168.7.20"), 2, at(0)), Err(Refused { why: Refusal::Full, tell: true }));
    }

    #[test]
    fn an_address_is_told_once_a_minute_and_a_scan_is_bounded() {
        let mut door = Door::new(Vec::new(), 1);
        let told = |door: &mut Door, text: &str, secs| door.ask(ip(text), 0, at(secs)).unwrap_err().tell;
        assert_eq!([0, 1, 59, 60, 61].map(|secs| told(&mut door, "10.0.0.1", secs)), [true, false, false, true, false]);
        assert!(told(&mut door, "10.0.0.2", 61));
        for host in 0..=255 {
            told(&mut door, &format!("10.1.0.{host}"), 62);
        }
        assert_eq!(door.told.len(), TOLD_MAX);
    }
}
