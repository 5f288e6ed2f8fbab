//! The latch of `Serial` and `UserData`: what the PLC attaches to its next piece.
//!
//! ```text
//!            SetUserData 0→1 (or another serial under a level that fell and rose between two looks)
//!    empty ─────────────────────────────────────────────────────────────────────────► latched ◄┐ the same: the newer
//!      ▲                                                                                 │  └──┘ one counts
//!      └────────────────────────────── any trigger edge takes it ◄───────────────────────┘
//! ```
//! Invariants: what was latched is used by exactly one trigger, also if that trigger is refused or missed; `SetUserDataAck`
//! follows `SetUserData` only after the latch, because both are done with the same look.

use crate::jmap::Control;

/// What one piece was given by the PLC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Latched {
    pub(super) serial: Option<String>,
    /// Without the zeros at its end.
    pub(super) words: Vec<u16>,
}

/// True if `now` asks to latch serial and user data anew: a rising edge, or another serial under a level that fell and rose
/// again between two polls. Whoever looks then must have read the whole block.
#[must_use]
pub fn is_new_user_data(before: &Control, now: &Control) -> bool {
    now.set_user_data && (!before.set_user_data || before.serial != now.serial)
}

impl Latched {
    /// Looks whether the PLC asks for a latch.
    pub(super) fn look(&mut self, before: &Control, now: &Control) {
        if is_new_user_data(before, now) {
            let used = now.user_data.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
            *self = Self { serial: now.serial.clone(), words: now.user_data[..used].to_vec() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the PLC does, a latch is what stood in the block when it was asked for, and is used once.
        #[test]
        fn a_latch_is_whole_and_used_once(steps in proptest::collection::vec((any::<bool>(), 0..3_u16, any::<bool>()), 0..60)) {
            let (mut latched, mut before, mut expected) = (Latched::default(), Control::default(), None);
            for (set, content, take) in steps {
                let mut now = Control { set_user_data: set, serial: (content > 0).then(|| format!("SN{content}")), ..Control::default() };
                now.user_data[usize::from(content)] = content;
                latched.look(&before, &now);
                if set && (!before.set_user_data || before.serial != now.serial) {
                    let words = if content == 0 { Vec::new() } else { now.user_data[..=usize::from(content)].to_vec() };
                    expected = Some(Latched { serial: now.serial.clone(), words });
                }
                prop_assert_eq!(&latched, &expected.clone().unwrap_or_default());
                if take {
                    drop(std::mem::take(&mut latched));
                    expected = None;
                }
                before = now;
            }
        }
    }
}
