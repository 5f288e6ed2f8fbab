//! Units as types, so that two numbers of different meaning cannot be swapped.
//!
//! Invariant: a `Timestamp` comes in with an event and is never read from a clock here.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// One instant, told twice: by the wall clock (for people and records) and by a clock that never steps (for every decision).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z. May step when the clock is set; nothing is decided by it.
    pub wall_micros: i64,
    /// Microseconds since the process's own start of time. Never steps; all deadlines and ages use it.
    pub mono_micros: u64,
}

impl Timestamp {
    /// Time passed since `earlier` by the clock that never steps; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.mono_micros.saturating_sub(earlier.mono_micros))
    }
}

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// From milliseconds, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }
}

/// A position of the conveyor in encoder counts. It wraps at 2³², so positions are compared by distance, never by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncoderCount(pub u32);

impl EncoderCount {
    /// The position `counts` further along the belt.
    #[must_use]
    pub const fn ahead(self, counts: u32) -> Self {
        Self(self.0.wrapping_add(counts))
    }

    /// How far `self` lies ahead of `other`, in counts; negative if behind. Both are less than half a turn apart.
    #[must_use]
    pub const fn beyond(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// True if `self` lies at or past `target`, where both are less than half a turn (2³¹ counts) apart.
    #[must_use]
    pub const fn has_passed(self, target: Self) -> bool {
        self.beyond(target) >= 0
    }
}

/// A SHA-256 digest (FIPS 180-4). Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several pieces of bytes, one after the other.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Reads 64 hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut out = [0_u8; 32];
        for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            if pair.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_positions_compare_across_the_wrap() {
        let target = EncoderCount(u32::MAX - 5).ahead(10);
        assert_eq!(target, EncoderCount(4));
        assert!(!EncoderCount(u32::MAX).has_passed(target));
        assert!(EncoderCount(4).has_passed(target));
        assert!(EncoderCount(90).has_passed(target));
    }

    #[test]
    fn digest_matches_fips_180_4_example_and_survives_text() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_hex("+a"), None);
        assert_eq!(Digest::of_parts(&[b"a", b"bc"]), digest);
    }
}
