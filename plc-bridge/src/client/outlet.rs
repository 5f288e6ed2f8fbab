//! What may be written to a PLC: the status block, and nothing else.
//!
//! Invariant: every write of this crate is built in `Outlet::request`; a write that reaches outside the block is refused
//! before a byte is sent. An appliance that judges pieces must not be able to change a set point.

use super::wire::write_request;
use crate::jmap::{STATUS_HEAD, STATUS_LEN};
use thiserror::Error;
use tokio_modbus::Request;

/// A write outside the status block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("refused to write {count} registers at offset {offset}: only the status block (128 registers from {base}) may be written")]
pub struct Forbidden {
    /// Start of the status block.
    pub base: u16,
    /// Where the write would have begun, from the start of the block.
    pub offset: u16,
    /// How many registers.
    pub count: usize,
}

/// The status block in the PLC's holding registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outlet {
    base: u16,
}

impl Outlet {
    pub(crate) const fn new(base: u16) -> Self {
        Self { base }
    }

    /// The write of `words` from `offset` on, with its absolute address.
    pub(crate) fn request(self, offset: u16, words: &[u16]) -> Result<(u16, Request<'_>), Forbidden> {
        let forbidden = Forbidden { base: self.base, offset, count: words.len() };
        let end = u16::try_from(words.len()).ok().and_then(|count| offset.checked_add(count)).ok_or(forbidden)?;
        // One request carries at most the head of the block, which is also what must stay one snapshot.
        if words.is_empty() || end > STATUS_LEN || words.len() > usize::from(STATUS_HEAD) {
            return Err(forbidden);
        }
        let address = self.base.checked_add(offset).ok_or(forbidden)?;
        self.base.checked_add(end - 1).ok_or(forbidden)?;
        Ok((address, write_request(address, words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_outside_the_block_is_ever_built(base: u16, offset: u16, count in 0..200_usize) {
            let words = vec![0xFFFF; count];
            if let Ok((address, _)) = Outlet::new(base).request(offset, &words) {
                let (from, to) = (u32::from(address), u32::from(address) + u32::try_from(count).unwrap());
                prop_assert!(count > 0 && from >= u32::from(base) && to <= u32::from(base) + 128 && to <= 0x1_0000);
            }
        }
    }

    #[test]
    fn the_head_may_be_written_and_its_neighbours_not() {
        let outlet = Outlet::new(1000);
        assert_eq!(outlet.request(0, &[0; 64]).unwrap().0, 1000);
        assert_eq!(outlet.request(64, &[0; 64]).unwrap().0, 1064);
        for (offset, count) in [(64, 65), (127, 2), (128, 1), (u16::MAX, 1), (0, 0), (0, 65)] {
            assert!(outlet.request(offset, &vec![0; count]).is_err(), "{offset} {count}");
        }
        assert!(Outlet::new(u16::MAX - 10).request(0, &[0; 64]).is_err(), "the block must not wrap around");
    }

    /// The client builds write requests in one line of one file. Every other way to write would have to name one of these.
    #[test]
    fn no_other_file_of_the_client_can_write() {
        let sources = [
            include_str!("mod.rs"),
            include_str!("../bridge/mod.rs"),
            include_str!("../bridge/middle.rs"),
            include_str!("outputs.rs"),
            include_str!("poll.rs"),
            include_str!("../watch.rs"),
            include_str!("../handshake.rs"),
        ];
        for source in sources {
            for word in ["Request::", "Writer", "write_request"] {
                assert!(!source.contains(word), "`{word}` found");
            }
        }
        let wire = include_str!("wire.rs");
        assert_eq!(wire.matches("Request::Write").count(), 1);
        assert!(!wire.contains("Request::ReadWrite") && !wire.contains("Request::Mask") && !wire.contains("Request::Custom"));
    }
}
