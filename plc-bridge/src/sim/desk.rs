//! The operator's side of the simulated PLC: commands to the appliance, keys and soft events, each raised until answered.
//!
//! ```text
//!            a command waits, Online=1, AckCommand=0                     AckCommand=c and Completed or Failed
//!   ┌──────┐ ──────────────────────────────────────────► ┌───────┐ ─────────────────────────────────────► ┌────────┐
//!   │ idle │      ExecuteCommand=1, Command=c             │ asked │ no answer for `command_timeout`: failed │ lowered│
//!   └──▲───┘                                              └───┬───┘ ─────────────────────────────────────► └───┬────┘
//!      │                                                      │ heartbeat lost: lowered, the command waits again  │
//!      └──────────────────────────────────────────────────────┴───────────── AckCommand=0, or too long ◄─────────┘
//! ```
//! Online, and not only a heartbeat: an appliance that beats may not have looked yet, and what stands in the block when it first
//! looks is refused, because it may have been done before.
//!
//! Invariants: one command at a time; a command that was answered is not given again; what was asked of an appliance that has
//! died since is asked anew.

use crate::jmap::{Control, Status};
use std::collections::VecDeque;
use std::time::Duration;
use tracing::{debug, info};

/// `ArmLineStop` among the commands of the map.
pub(super) const ARM_LINE_STOP: u16 = 101;
/// Commands that may wait; one costs 4 bytes. When it is full, the newest is dropped.
const WAITING_MAX: usize = 16;

/// What became of the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Commands {
    /// Answered with CommandCompleted.
    pub completed: u32,
    /// Answered with CommandFailed, or not at all.
    pub failed: u32,
    /// The last one that was answered, and whether it was done.
    pub last: Option<(u16, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Idle,
    Asked { code: u16, arg: u16, since: Duration },
    Lowered { since: Duration },
}

#[derive(Debug)]
pub(super) struct Desk {
    waiting: VecDeque<(u16, u16)>,
    asking: Asking,
    patience: Duration,
    soft_events: u8,
    pub(super) stop_ack: bool,
    pub(super) offline: bool,
    pub(super) retain_next: bool,
    pub(super) commands: Commands,
}

impl Desk {
    pub(super) fn new(arms: bool, patience: Duration) -> Self {
        let waiting = if arms { VecDeque::from([(ARM_LINE_STOP, 0)]) } else { VecDeque::new() };
        Self {
            waiting,
            asking: Asking::Idle,
            patience,
            soft_events: 0,
            stop_ack: false,
            offline: false,
            retain_next: false,
            commands: Commands::default(),
        }
    }

    /// Something to ask of the appliance.
    pub(super) fn command(&mut self, code: u16, arg: u16) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((code, arg));
        }
    }

    /// Soft event `number`, 0 to 7.
    pub(super) fn mark(&mut self, number: u8) {
        self.soft_events |= 1_u8.checked_shl(u32::from(number)).unwrap_or(0);
    }

    /// True while something waits to be asked, or for its answer.
    pub(super) fn asks(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.asking, Asking::Asked { .. })
    }

    /// One scan: looks at the answers and sets what is asked. `alive`: the appliance's heartbeat moves.
    pub(super) fn scan(&mut self, status: &Status, control: &mut Control, alive: bool, elapsed: Duration) {
        self.asking = self.next(status, alive, elapsed);
        (control.execute_command, control.command, control.command_arg) = match self.asking {
            Asking::Asked { code, arg, .. } => (true, code, arg),
            Asking::Idle | Asking::Lowered { .. } => (false, 0, 0),
        };
        self.soft_events &= !status.soft_event_acks;
        control.soft_events = self.soft_events;
        control.line_stop_ack = self.stop_ack;
        control.set_offline = self.offline;
    }

    fn next(&mut self, status: &Status, alive: bool, elapsed: Duration) -> Asking {
        match self.asking {
            Asking::Idle if alive && (status.online || self.offline) && status.ack_command == 0 => match self.waiting.pop_front() {
                Some((code, arg)) => Asking::Asked { code, arg, since: Duration::ZERO },
                None => Asking::Idle,
            },
            Asking::Asked { code, arg, .. } if !alive => {
                self.waiting.push_front((code, arg));
                Asking::Lowered { since: Duration::ZERO }
            }
            Asking::Asked { code, arg, since } => {
                let answered = status.ack_command == code && (status.command_completed || status.command_failed);
                if answered || since >= self.patience {
                    self.answered(code, answered && status.command_completed);
                    Asking::Lowered { since: Duration::ZERO }
                } else {
                    Asking::Asked { code, arg, since: since.saturating_add(elapsed) }
                }
            }
            // An appliance whose station does not answer keeps its echo; the next command is tried nevertheless.
            Asking::Lowered { since } if status.ack_command == 0 || since >= self.patience => Asking::Idle,
            Asking::Lowered { since } => Asking::Lowered { since: since.saturating_add(elapsed) },
            Asking::Idle => Asking::Idle,
        }
    }

    fn answered(&mut self, code: u16, done: bool) {
        let count = if done { &mut self.commands.completed } else { &mut self.commands.failed };
        *count += 1;
        self.commands.last = Some((code, done));
        if done {
            debug!(command = code, "the appliance has done what the PLC asked");
        } else {
            info!(command = code, "the appliance did not do what the PLC asked; the PLC goes on without");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: Duration = Duration::from_millis(10);

    fn idle() -> Status {
        Status { online: true, ..Status::default() }
    }

    #[test]
    fn a_command_is_asked_once_and_waits_for_its_answer_and_its_withdrawal() {
        let (mut desk, mut control) = (Desk::new(true, Duration::from_secs(1)), Control::default());
        let mut status = idle();
        desk.scan(&status, &mut control, false, SCAN);
        assert!(!control.execute_command, "nobody is there to ask");
        desk.scan(&Status::default(), &mut control, true, SCAN);
        assert!(!control.execute_command, "it has not looked yet");
        desk.scan(&status, &mut control, true, SCAN);
        assert_eq!((control.execute_command, control.command), (true, 101));
        status.ack_command = 101;
        desk.scan(&status, &mut control, true, SCAN);
        assert!(control.execute_command, "echoed is not done");
        status.command_completed = true;
        desk.scan(&status, &mut control, true, SCAN);
        assert_eq!((control.execute_command, control.command, desk.asks()), (false, 0, false));
        desk.command(103, 0);
        desk.scan(&status, &mut control, true, SCAN);
        assert!(!control.execute_command, "the echo of the last one still stands");
        for _ in 0..2 {
            desk.scan(&idle(), &mut control, true, SCAN);
        }
        assert_eq!(control.command, 103);
        assert_eq!(desk.commands, Commands { completed: 1, failed: 0, last: Some((101, true)) });
    }

    #[test]
    fn no_answer_and_a_refusal_are_failures_and_the_line_goes_on() {
        let (mut desk, mut control) = (Desk::new(false, SCAN * 3), Control::default());
        desk.command(100, 7);
        for _ in 0..6 {
            desk.scan(&idle(), &mut control, true, SCAN);
        }
        assert_eq!((desk.commands.last, desk.asks()), (Some((100, false)), false));
        desk.command(103, 0);
        desk.scan(&idle(), &mut control, true, SCAN);
        desk.scan(&Status { ack_command: 103, command_failed: true, ..idle() }, &mut control, true, SCAN);
        assert_eq!(desk.commands, Commands { completed: 0, failed: 2, last: Some((103, false)) });
    }

    #[test]
    fn an_appliance_that_died_is_asked_anew() {
        let (mut desk, mut control) = (Desk::new(true, Duration::from_secs(1)), Control::default());
        desk.scan(&idle(), &mut control, true, SCAN);
        desk.scan(&idle(), &mut control, false, SCAN);
        assert!(!control.execute_command);
        for _ in 0..2 {
            desk.scan(&idle(), &mut control, true, SCAN);
        }
        assert_eq!((control.execute_command, control.command), (true, 101));
    }

    #[test]
    fn soft_events_stand_until_they_are_taken() {
        let (mut desk, mut control) = (Desk::new(false, SCAN), Control::default());
        desk.mark(3);
        desk.mark(9);
        desk.scan(&idle(), &mut control, true, SCAN);
        assert_eq!(control.soft_events, 0b1000);
        desk.scan(&Status { soft_event_acks: 0b1000, ..idle() }, &mut control, true, SCAN);
        assert_eq!(control.soft_events, 0);
    }
}
