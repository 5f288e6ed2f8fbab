//! Which records have a serial: eight bytes of each, because a key of its own for every record costs ten times as much to write, and
//! all of them are read through in the time that a person takes for a breath.
//!
//! Invariant: a serial's record is always found; another one is found with it once in 2⁶⁴ pairs of serials (the eight bytes are the
//! first of their SHA-256).

use crate::store::codec::u64_at;
use station::units::Digest;

/// Bytes of a record.
const LEN: usize = 8;
/// Of a record without a serial.
const NONE: u64 = 0;

/// What stands for a serial; never that of a record without one.
#[must_use]
pub fn fingerprint(serial: Option<&str>) -> u64 {
    serial.map_or(NONE, |serial| u64_at(&Digest::of(serial.as_bytes()).0, 0).max(NONE + 1))
}

/// The bytes of a block that begins with record `first`; records that are not there have no serial.
#[must_use]
pub fn encode(first: u64, serials: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(serials.len() * LEN);
    for (result_id, fingerprint) in serials {
        let at = usize::try_from(result_id - first).unwrap_or(0) * LEN;
        out.resize(at.max(out.len()), 0);
        out.extend_from_slice(&fingerprint.to_le_bytes());
    }
    out
}

/// Adds the records of a block that have this fingerprint; `None` if the block was cut.
pub fn find(first: u64, bytes: &[u8], wanted: u64, mut found: impl FnMut(u64)) -> Option<()> {
    for (result_id, fingerprint) in (first..).zip(bytes.chunks_exact(LEN)) {
        if u64_at(fingerprint, 0) == wanted {
            found(result_id);
        }
    }
    bytes.len().is_multiple_of(LEN).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_found_where_they_are() {
        let [a, b, none] = [Some("A"), Some("B"), None].map(fingerprint);
        let bytes = encode(65, &[(65, a), (66, none), (70, b), (71, a)]);
        let all = |wanted| {
            let mut out = Vec::new();
            find(65, &bytes, wanted, |id| out.push(id)).map(|()| out)
        };
        assert_eq!((all(a), all(b), all(fingerprint(Some("C")))), (Some(vec![65, 71]), Some(vec![70]), Some(vec![])));
        assert!(find(65, &bytes[..bytes.len() - 1], a, |_| ()).is_none());
    }
}
