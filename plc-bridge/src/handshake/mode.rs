//! What the PLC lets the appliance do, with the state numbers and method names of OPC 40100-1 (Machine Vision, Part 1).
//!
//! ```text
//!                       PrepareRecipe              StartContinuous
//!     ┌───────────────┐ ───────────► ┌───────────┐ ──────────────► ┌───────────────────────┐
//!     │ Initialized 5 │              │  Ready 6  │ ◄────────────── │ ContinuousExecution 8 │ ◄── start of the program
//!     └───────────────┘ ◄─────────── └───────────┘   Stop, Abort   └───────────────────────┘
//!         ▲   SelectModeAutomatic,     │       ▲                      │ StartSingleJob
//!         │   UnprepareRecipe          │       │ the one piece is     ▼
//!         │   (from all but Halted)    │       │ done · Stop · Abort ┌───────────────────┐
//!         │                            │       └──────────────────── │ SingleExecution 7 │
//!         │                            └───────────────────────────► └───────────────────┘
//!         │        Reset (Initialized or Ready, as     StartSingleJob
//!     ┌───┴──────┐ it was before)
//!     │ Halted 2 │ ◄── Halt (from all)
//!     └──────────┘
//! ```
//! A PLC that never gives a command finds ContinuousExecution, and `TriggerEnable` alone decides. Preoperational (1: no link or
//! no permit yet) and Error (3: the appliance itself is in trouble) are shown over these states and change none of them.
//!
//! Invariants: triggers are taken in ContinuousExecution and, once, in SingleExecution, and nowhere else; a command that
//! does not fit the state changes nothing.

use crate::jmap::State;
use station::piece::PieceId;

/// Commands that change the mode. The discriminant is the number in `Command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum ModeOrder {
    SelectModeAutomatic = 1,
    PrepareRecipe = 2,
    UnprepareRecipe = 3,
    StartSingleJob = 4,
    StartContinuous = 5,
    Halt = 6,
    Reset = 7,
    Stop = 8,
    Abort = 9,
}

impl ModeOrder {
    const ALL: [Self; 9] = [
        Self::SelectModeAutomatic,
        Self::PrepareRecipe,
        Self::UnprepareRecipe,
        Self::StartSingleJob,
        Self::StartContinuous,
        Self::Halt,
        Self::Reset,
        Self::Stop,
        Self::Abort,
    ];

    pub(super) fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|order| *order as u16 == code)
    }
}

/// The mode in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    Initialized,
    Ready,
    /// With the piece that was taken, once there is one.
    Single(Option<PieceId>),
    #[default]
    Continuous,
    Halted {
        /// The recipe was prepared when it was halted.
        prepared: bool,
    },
}

impl Mode {
    /// Does what is ordered, or answers false and changes nothing.
    pub(super) fn obey(&mut self, order: ModeOrder) -> bool {
        let next = match (order, *self) {
            (ModeOrder::Halt, Self::Halted { .. }) => *self,
            (ModeOrder::Halt, mode) => Self::Halted { prepared: mode != Self::Initialized },
            (ModeOrder::Reset, Self::Halted { prepared: true }) => Self::Ready,
            (ModeOrder::Reset, Self::Halted { prepared: false }) => Self::Initialized,
            (_, Self::Halted { .. }) => return false,
            (ModeOrder::SelectModeAutomatic | ModeOrder::UnprepareRecipe, _) => Self::Initialized,
            (ModeOrder::PrepareRecipe, Self::Initialized) => Self::Ready,
            (ModeOrder::Stop | ModeOrder::Abort, Self::Single(_) | Self::Continuous) => Self::Ready,
            (ModeOrder::PrepareRecipe | ModeOrder::Stop | ModeOrder::Abort | ModeOrder::Reset, mode) => mode,
            (ModeOrder::StartSingleJob, Self::Ready | Self::Continuous) => Self::Single(None),
            (ModeOrder::StartContinuous, Self::Ready | Self::Continuous | Self::Single(_)) => Self::Continuous,
            (ModeOrder::StartSingleJob | ModeOrder::StartContinuous, _) => return false,
        };
        *self = next;
        true
    }

    /// A trigger was taken.
    pub(super) const fn taken(&mut self, piece: PieceId) {
        if let Self::Single(None) = self {
            *self = Self::Single(Some(piece));
        }
    }

    /// A piece got its result.
    pub(super) fn done(&mut self, piece: PieceId) {
        if *self == Self::Single(Some(piece)) {
            *self = Self::Ready;
        }
    }

    /// Whether a trigger may be taken.
    pub(super) const fn takes(self) -> bool {
        matches!(self, Self::Continuous | Self::Single(None))
    }

    /// As shown while online and sound.
    pub(super) const fn state(self, trigger_enable: bool) -> State {
        match self {
            Self::Initialized => State::Initialized,
            Self::Single(_) => State::SingleExecution,
            Self::Continuous if trigger_enable => State::ContinuousExecution,
            Self::Ready | Self::Continuous => State::Ready,
            Self::Halted { .. } => State::Halted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs commands by their codes and names the states between them; a refused one is marked.
    fn walk(codes: &[u16]) -> Vec<String> {
        let mut mode = Mode::default();
        let step = |code: &u16| {
            let done = ModeOrder::from_code(*code).is_some_and(|order| mode.obey(order));
            format!("{}{:?}", if done { "" } else { "refused " }, mode.state(true))
        };
        codes.iter().map(step).collect()
    }

    #[test]
    fn the_sequence_of_the_companion_specification() {
        assert_eq!(walk(&[1, 2, 5, 8]), ["Initialized", "Ready", "ContinuousExecution", "Ready"]);
        assert_eq!(walk(&[1, 5, 4]), ["Initialized", "refused Initialized", "refused Initialized"]);
        assert_eq!(walk(&[6, 5, 8, 7, 5]), ["Halted", "refused Halted", "refused Halted", "Ready", "ContinuousExecution"]);
        assert_eq!(walk(&[3, 6, 7, 2]), ["Initialized", "Halted", "Initialized", "Ready"]);
        assert_eq!(walk(&[9, 4, 4, 5]), ["Ready", "SingleExecution", "refused SingleExecution", "ContinuousExecution"]);
    }

    #[test]
    fn a_single_job_takes_one_trigger_and_ends_with_its_result() {
        let mut mode = Mode::default();
        assert!(mode.obey(ModeOrder::StartSingleJob) && mode.takes());
        mode.taken(PieceId(7));
        assert!(!mode.takes());
        mode.done(PieceId(6));
        assert_eq!(mode.state(true), State::SingleExecution);
        mode.done(PieceId(7));
        assert_eq!(mode, Mode::Ready);
    }

    proptest! {
        #[test]
        fn triggers_are_taken_in_the_two_executing_states_only(steps in proptest::collection::vec((0..12_u16, 1..4_u32), 0..60)) {
            let mut mode = Mode::default();
            for (code, piece) in steps {
                let before = mode;
                match (ModeOrder::from_code(code), code) {
                    (Some(order), _) => {
                        let done = mode.obey(order);
                        prop_assert!(done || mode == before);
                        prop_assert!(done || !matches!(order, ModeOrder::Halt | ModeOrder::Reset));
                    }
                    (None, 10) if mode.takes() => mode.taken(PieceId(piece)),
                    (None, _) => mode.done(PieceId(piece)),
                }
                let executing = matches!(mode.state(true), State::ContinuousExecution | State::SingleExecution);
                prop_assert!(!mode.takes() || executing);
                prop_assert_eq!(mode.state(true) == State::ContinuousExecution, mode == Mode::Continuous);
            }
        }
    }
}
