//! What the PLC asks for: commands with their echo, `LineStopAck`, and soft events.
//!
//! ```text
//!  command                                                       soft event n (each of the eight alone)
//!
//!   ┌────────┐ ExecuteCommand=1, Command=c   ┌───────────┐       ┌──────┐ bit=1   ┌───────┐ answer   ┌──────────────┐
//!   │ idle   ├──────────────────────────────►│ executing │       │ idle ├────────►│ asked ├─────────►│ acknowledged │
//!   │ Ack=0  │                               │ Ack=c     │       │ Ack=0│         │ Ack=0 │ "done"   │ Ack=1        │
//!   └───▲────┘                               └─────┬─────┘       └──▲───┘         └───┬───┘          └───┬──────────┘
//!       │ Command≠c      ┌──────────────┐ at once, │                │     "refused"   │                  │
//!       └────────────────┤ done         │ answer,  │                │   ┌─────────────▼─┐                │
//!                        │ Completed or │ or all   │                └───┤ refused  Ack=0│◄─────────      │
//!                        │ Failed, Ack=c│◄─────────┘                    └───────────────┘ bit=0 ◄────────┘
//!                        └──────────────┘ pieces out
//! ```
//! A second command while one executes is answered `CommandFailed` with its own echo, and the first goes on. What stood in
//! the block when the appliance first looked is refused (a command) or not taken for an edge (`LineStopAck`): it may have been
//! done before a restart. A soft event that stood there is told again: a mark too many is better than a mark too few.
//!
//! Invariants: one raising of `ExecuteCommand` with one `Command` does one thing, however often the link is lost meanwhile;
//! `CommandCompleted` only after it is done; Completed and Failed never together; each request to the station has a number of
//! its own, and an answer is heard once.

use crate::jmap::Control;
use station::line::{Answer, PlcOrder, PlcRequest};

/// `Command` codes that are not orders for the mode.
pub(super) const DEQUEUE_RESULT: u16 = 10;
pub(super) const ACKNOWLEDGE_ERROR: u16 = 11;

/// The station's part of the command codes.
pub(super) fn order_of(code: u16, lot: u32) -> Option<PlcOrder> {
    Some(match code {
        100 => PlcOrder::NewLot(lot),
        101 => PlcOrder::ArmLineStop,
        102 => PlcOrder::DisarmLineStop,
        103 => PlcOrder::ResetCounters,
        104 => PlcOrder::GoldenCheck,
        _ => return None,
    })
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Until every piece in work has its result.
    Draining,
    /// Until the station has answered this request.
    Asked(u32),
    Completed,
    Failed,
}

impl Outcome {
    const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// What one look at the command registers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Do it, and say with `begin` how far it is.
    Do(u16),
    /// Refused: another one executes.
    Busy(u16),
    /// Refused: it stood there when the appliance first looked.
    Stale(u16),
}

/// What an answer was to, if it was a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Command(u16),
    StopAck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum SoftEvent {
    #[default]
    Idle,
    Asked(u32),
    Acknowledged,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Commands {
    /// What `AckCommand` echoes.
    echo: Option<(u16, Outcome)>,
    /// What goes on behind the echo of a command that was refused meanwhile.
    behind: Option<(u16, Outcome)>,
    stop_ack: Option<u32>,
    soft_events: [SoftEvent; 8],
    requests: u32,
}

impl Commands {
    /// One look at `ExecuteCommand` and `Command`; `first` if the appliance has never looked before.
    pub(super) fn look(&mut self, now: &Control, first: bool) -> Wish {
        if let Some((code, outcome)) = self.echo
            && outcome.is_over()
            && now.command != code
        {
            self.echo = self.behind.take();
        }
        // Executing, and cleared by the PLC already: the echo goes when the work is done.
        let wanted = if now.execute_command { now.command } else { 0 };
        match self.echo {
            _ if wanted == 0 => Wish::Nothing,
            None if first => {
                self.echo = Some((wanted, Outcome::Failed));
                Wish::Stale(wanted)
            }
            None => Wish::Do(wanted),
            Some((code, outcome)) if !outcome.is_over() && code != wanted => {
                self.behind = self.echo.replace((wanted, Outcome::Failed));
                Wish::Busy(wanted)
            }
            Some(_) => Wish::Nothing,
        }
    }

    /// The command was begun, or already is over.
    pub(super) const fn begin(&mut self, code: u16, outcome: Outcome) {
        self.echo = Some((code, outcome));
    }

    /// A number for a new request.
    pub(super) const fn request(&mut self, order: PlcOrder) -> PlcRequest {
        self.requests = self.requests.wrapping_add(1);
        PlcRequest { number: self.requests, order }
    }

    /// `LineStopAck` rose while the PLC could see what it acknowledges.
    pub(super) const fn acknowledge_stop(&mut self) -> PlcRequest {
        let request = self.request(PlcOrder::AcknowledgeStop);
        self.stop_ack = Some(request.number);
        request
    }

    /// One look at the soft events.
    pub(super) fn look_at_soft_events(&mut self, now: &Control, mut ask: impl FnMut(PlcRequest)) {
        for bit in 0..8_u8 {
            let (set, event) = (now.soft_events >> bit & 1 == 1, self.soft_events[usize::from(bit)]);
            self.soft_events[usize::from(bit)] = match event {
                SoftEvent::Idle if set => {
                    let request = self.request(PlcOrder::SoftEvent(bit));
                    ask(request);
                    SoftEvent::Asked(request.number)
                }
                SoftEvent::Acknowledged | SoftEvent::Refused if !set => SoftEvent::Idle,
                other => other,
            };
        }
    }

    /// The station answered. `soft_events` are the bits as the PLC shows them now.
    pub(super) fn answer(&mut self, answer: Answer, soft_events: u8) -> Option<Refusal> {
        if self.stop_ack == Some(answer.number) {
            self.stop_ack = None;
            return (!answer.done).then_some(Refusal::StopAck);
        }
        for (bit, event) in self.soft_events.iter_mut().enumerate() {
            if *event == SoftEvent::Asked(answer.number) {
                *event = match (soft_events >> bit & 1 == 1, answer.done) {
                    (true, true) => SoftEvent::Acknowledged,
                    (true, false) => SoftEvent::Refused,
                    (false, _) => SoftEvent::Idle,
                };
                return None;
            }
        }
        let code = self.finish(Outcome::Asked(answer.number), answer.done)?;
        (!answer.done).then_some(Refusal::Command(code))
    }

    /// No piece is in work.
    pub(super) fn drained(&mut self) {
        self.finish(Outcome::Draining, true);
    }

    fn finish(&mut self, waiting: Outcome, done: bool) -> Option<u16> {
        let over = if done { Outcome::Completed } else { Outcome::Failed };
        if let Some((code, outcome)) = self.echo.as_mut().filter(|(_, outcome)| *outcome == waiting) {
            *outcome = over;
            return Some(*code);
        }
        // The PLC looks at the echo of a later one; nobody waits for this outcome any more.
        self.behind.take_if(|(_, outcome)| *outcome == waiting).map(|(code, _)| code)
    }

    /// `AckCommand`: the echo goes when the PLC has cleared `Command` and the work is done.
    pub(super) fn ack(&self) -> u16 {
        self.echo.map_or(0, |(code, _)| code)
    }

    pub(super) fn is_executing(&self) -> bool {
        self.echo.iter().chain(&self.behind).any(|(_, outcome)| !outcome.is_over())
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.echo.map(|(_, outcome)| outcome)
    }

    /// While `DequeueResult` is echoed as done it counts as `ResultsAck`.
    pub(super) fn acknowledges_result(&self) -> bool {
        self.echo == Some((DEQUEUE_RESULT, Outcome::Completed))
    }

    /// `SoftEventAck`.
    pub(super) fn soft_event_acks(&self) -> u8 {
        let acked = |bit: &u8| self.soft_events[usize::from(*bit)] == SoftEvent::Acknowledged;
        (0..8_u8).filter(acked).fold(0, |bits, bit| bits | 1 << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asks(execute_command: bool, command: u16) -> Control {
        Control { execute_command, command, ..Control::default() }
    }

    /// Commands that ask the station, as the handshake would begin them.
    fn look(commands: &mut Commands, now: &Control) -> Wish {
        let wish = commands.look(now, false);
        if let Wish::Do(code) = wish {
            let request = commands.request(PlcOrder::ResetCounters);
            commands.begin(code, Outcome::Asked(request.number));
        }
        wish
    }

    #[test]
    fn the_echo_goes_when_the_plc_has_cleared_and_the_work_is_done() {
        let mut commands = Commands::default();
        assert_eq!(look(&mut commands, &asks(true, 103)), Wish::Do(103));
        assert_eq!(look(&mut commands, &asks(true, 103)), Wish::Nothing);
        assert_eq!((commands.ack(), commands.is_executing()), (103, true));
        look(&mut commands, &asks(false, 0));
        assert_eq!((commands.ack(), commands.is_executing()), (103, true), "cleared, and not done");
        assert_eq!(commands.answer(Answer { number: 1, done: true }, 0), None);
        assert_eq!((commands.ack(), commands.outcome()), (103, Some(Outcome::Completed)));
        look(&mut commands, &asks(false, 0));
        assert_eq!((commands.ack(), commands.outcome()), (0, None));
    }

    #[test]
    fn a_second_command_is_refused_and_the_first_goes_on() {
        let mut commands = Commands::default();
        look(&mut commands, &asks(true, 100));
        assert_eq!(look(&mut commands, &asks(true, 101)), Wish::Busy(101));
        assert_eq!((commands.ack(), commands.outcome(), commands.is_executing()), (101, Some(Outcome::Failed), true));
        look(&mut commands, &asks(false, 0));
        assert_eq!((commands.ack(), commands.is_executing()), (100, true), "the first is still being done");
        assert_eq!(commands.answer(Answer { number: 1, done: false }, 0), Some(Refusal::Command(100)));
        look(&mut commands, &asks(false, 0));
        assert_eq!((commands.ack(), commands.is_executing()), (0, false));
    }

    #[test]
    fn what_stood_there_at_the_first_look_is_not_done() {
        let mut commands = Commands::default();
        assert_eq!(commands.look(&asks(true, 102), true), Wish::Stale(102));
        assert_eq!(look(&mut commands, &asks(true, 102)), Wish::Nothing);
        look(&mut commands, &asks(false, 0));
        assert_eq!(look(&mut commands, &asks(true, 102)), Wish::Do(102));
    }

    #[test]
    fn a_soft_event_is_acknowledged_only_after_it_is_done() {
        let mut commands = Commands::default();
        let (mut asked, set) = (Vec::new(), Control { soft_events: 0b101, ..Control::default() });
        for _ in 0..3 {
            commands.look_at_soft_events(&set, |request| asked.push(request));
        }
        assert_eq!(asked.iter().map(|request| request.order).collect::<Vec<_>>(), [PlcOrder::SoftEvent(0), PlcOrder::SoftEvent(2)]);
        assert_eq!(commands.soft_event_acks(), 0);
        commands.answer(Answer { number: asked[1].number, done: true }, 0b101);
        commands.answer(Answer { number: asked[0].number, done: false }, 0b101);
        assert_eq!(commands.soft_event_acks(), 0b100);
        commands.look_at_soft_events(&Control::default(), |_| panic!("nothing to ask"));
        assert_eq!(commands.soft_event_acks(), 0);
    }

    proptest! {
        /// Any PLC, any answers, any order: one raising does one thing, and nothing is completed before it is answered.
        #[test]
        fn one_raising_does_one_thing(steps in proptest::collection::vec((0..5_u8, 0..3_u16, any::<bool>()), 0..80)) {
            let mut commands = Commands::default();
            let (mut begun, mut open, mut answered) = (0_u32, Vec::new(), Vec::new());
            // Begun and not yet cleared by the PLC since.
            let mut held: Option<u16> = None;
            for (what, code, bit) in steps {
                if what < 3 {
                    let shown = asks(bit, code);
                    if held.is_some_and(|held| held != code) {
                        held = None;
                    }
                    let before = commands.is_executing();
                    match look(&mut commands, &shown) {
                        Wish::Do(code) => {
                            prop_assert!(bit && !before && held != Some(code), "begun twice");
                            begun += 1;
                            open.push(begun);
                            held = Some(code);
                        }
                        Wish::Busy(code) => {
                            prop_assert!(bit && before);
                            prop_assert_eq!((commands.ack(), commands.outcome()), (code, Some(Outcome::Failed)));
                        }
                        Wish::Stale(_) => prop_assert!(false, "not the first look"),
                        Wish::Nothing => {}
                    }
                } else if let Some(number) = open.pop() {
                    commands.answer(Answer { number, done: bit }, 0);
                    commands.answer(Answer { number, done: !bit }, 0);
                    answered.push(bit);
                }
                prop_assert_eq!(commands.is_executing(), !open.is_empty());
                prop_assert!(open.len() <= 1);
                prop_assert!(commands.outcome() != Some(Outcome::Completed) || answered.last() == Some(&true));
            }
        }
    }
}
