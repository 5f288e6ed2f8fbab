//! Errors, shown one at a time: `ErrorCode` and `ErrorCause`.
//!
//! ```text
//!    raise ──► [ critical … │ error … │ warning … ] ──► front is shown; nothing waits: 1 = alive and no error
//!                oldest first within a severity          ClearError 0→1 or AcknowledgeError: the next is shown
//!                                                        Reset: all are gone
//! ```
//! Invariants: each kind is in the queue at most once, so the queue is as short as the list of kinds; an error that has
//! healed by itself leaves the queue without anybody's doing, so that a PLC that never clears anything is not stuck with it.

use crate::jmap::error_code;
use station::line::Permit;
use station::policy::StopReason;

/// What can be wrong, from the PLC's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The camera is gone or repeats itself, and the line was stopped for it.
    Camera,
    /// The model fails, and the line was stopped for it.
    Model,
    /// Records do not become durable, and the line was stopped for it.
    Storage,
    /// A trigger came while not ready.
    TriggerMissed,
    /// A trigger carried the number of a piece that is still in use.
    PieceRepeated,
    /// `PrepareRecipe` named a recipe that is not in force.
    OtherRecipe,
    /// The command is unknown, does not fit the state, or the station refused it.
    CommandRefused,
    /// A command came while another was being done.
    CommandBusy,
    /// `LineStopAck` was refused: a person must acknowledge at the page or panel.
    StopAckRefused,
    /// A result found no room on offer.
    ResultsOverrun,
}

impl Trouble {
    const fn code(self) -> u16 {
        match self {
            Self::Camera => error_code::CAMERA,
            Self::Model => error_code::MODEL,
            Self::Storage => error_code::STORAGE,
            Self::TriggerMissed => error_code::TRIGGER_MISSED,
            Self::PieceRepeated => error_code::PIECE_REPEATED,
            Self::OtherRecipe => error_code::OTHER_RECIPE,
            Self::CommandRefused => error_code::COMMAND_REFUSED,
            Self::CommandBusy => error_code::COMMAND_BUSY,
            Self::StopAckRefused => error_code::STOP_ACK_REFUSED,
            Self::ResultsOverrun => error_code::RESULTS_OVERRUN,
        }
    }

    /// 1 critical, 2 error, 4 warning.
    const fn severity(self) -> u16 {
        self.code() >> 12
    }
}

/// Stops that are the appliance's own trouble.
const OWN_STOPS: [(StopReason, Trouble); 3] =
    [(StopReason::CameraStale, Trouble::Camera), (StopReason::ModelError, Trouble::Model), (StopReason::DiskExhausted, Trouble::Storage)];

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Errors(Vec<(Trouble, u16)>);

impl Errors {
    /// Something is wrong; `cause` is a command code or 0. What waits already keeps its place.
    pub(super) fn raise(&mut self, trouble: Trouble, cause: u16) {
        if let Some(waiting) = self.0.iter_mut().find(|(waiting, _)| *waiting == trouble) {
            waiting.1 = cause;
            return;
        }
        let at = self.0.iter().position(|(waiting, _)| waiting.severity() > trouble.severity()).unwrap_or(self.0.len());
        self.0.insert(at, (trouble, cause));
    }

    /// It is no longer wrong.
    pub(super) fn heal(&mut self, trouble: Trouble) {
        self.0.retain(|(waiting, _)| *waiting != trouble);
    }

    /// The one that is shown was understood.
    pub(super) fn acknowledge(&mut self) {
        if !self.0.is_empty() {
            self.0.remove(0);
        }
    }

    /// All were understood.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The permit changed: what the line is newly stopped for is raised, what it is no longer stopped for has healed.
    pub(super) fn follow(&mut self, before: &Permit, now: &Permit) {
        for (reason, trouble) in OWN_STOPS {
            match (before.reasons.contains(reason), now.reasons.contains(reason)) {
                (false, true) => self.raise(trouble, 0),
                (true, false) => self.heal(trouble),
                _ => {}
            }
        }
    }

    /// Whether it waits or is shown.
    pub(super) fn has(&self, trouble: Trouble) -> bool {
        self.0.iter().any(|(waiting, _)| *waiting == trouble)
    }

    /// Whether the appliance itself is in trouble.
    pub(super) fn is_critical(&self) -> bool {
        self.0.first().is_some_and(|(trouble, _)| trouble.severity() == 1)
    }

    /// `ErrorCode`, `ErrorCause` and the `Error` bit.
    pub(super) fn shown(&self) -> (u16, u16, bool) {
        self.0.first().map_or((error_code::NONE, 0, false), |(trouble, cause)| (trouble.code(), *cause, trouble.severity() <= 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Trouble; 10] = [
        Trouble::Camera,
        Trouble::Model,
        Trouble::Storage,
        Trouble::TriggerMissed,
        Trouble::PieceRepeated,
        Trouble::OtherRecipe,
        Trouble::CommandRefused,
        Trouble::CommandBusy,
        Trouble::StopAckRefused,
        Trouble::ResultsOverrun,
    ];

    #[test]
    fn codes_are_a_severity_a_component_and_a_nature_of_their_own() {
        for trouble in ALL {
            let [high, _] = trouble.code().to_be_bytes();
            assert!([1, 2, 4].contains(&(high >> 4)) && [1, 2, 4, 8].contains(&(high & 0xF)), "{trouble:?}");
            assert_eq!(ALL.iter().filter(|other| other.code() == trouble.code()).count(), 1, "{trouble:?}");
        }
    }

    #[test]
    fn the_gravest_is_shown_first_and_the_next_after_it() {
        let mut errors = Errors::default();
        assert_eq!(errors.shown(), (1, 0, false));
        errors.raise(Trouble::ResultsOverrun, 0);
        assert_eq!(errors.shown(), (error_code::RESULTS_OVERRUN, 0, false), "a warning is no error");
        errors.raise(Trouble::CommandRefused, 42);
        errors.raise(Trouble::TriggerMissed, 0);
        errors.raise(Trouble::Camera, 0);
        let mut shown = Vec::new();
        while errors.shown().0 != error_code::NONE {
            shown.push(errors.shown().0);
            errors.acknowledge();
        }
        let expected = [error_code::CAMERA, error_code::COMMAND_REFUSED, error_code::TRIGGER_MISSED, error_code::RESULTS_OVERRUN];
        assert_eq!(shown, expected);
    }

    proptest! {
        #[test]
        fn sorted_each_kind_once_and_nothing_is_lost(steps in proptest::collection::vec((0..4_u8, 0..ALL.len(), any::<u16>()), 0..60)) {
            let (mut errors, mut known) = (Errors::default(), Vec::new());
            for (what, which, cause) in steps {
                let trouble = ALL[which];
                match what {
                    0 | 1 => {
                        errors.raise(trouble, cause);
                        known.retain(|known| *known != trouble);
                        known.push(trouble);
                    }
                    2 => {
                        errors.heal(trouble);
                        known.retain(|known| *known != trouble);
                    }
                    _ => {
                        let shown = errors.0.first().map(|(trouble, _)| *trouble);
                        errors.acknowledge();
                        known.retain(|known| Some(*known) != shown);
                    }
                }
                prop_assert!(errors.0.is_sorted_by_key(|(trouble, _)| trouble.severity()));
                prop_assert_eq!(errors.0.len(), known.len());
                prop_assert!(known.iter().all(|known| errors.has(*known)));
                prop_assert_eq!(errors.shown().0 == error_code::NONE, known.is_empty());
            }
        }
    }
}
