//! Random PLCs, links and stations, with all invariants after every event.

use super::*;
use crate::jmap::RESULTS_MAX;
use proptest::prelude::*;

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    /// A look; now and then another piece has the same number, or the PLC has lost its memory.
    Look {
        raw: [u16; 2],
        piece: u32,
        moved: bool,
        command: u16,
    },
    Up,
    Down,
    Permit(bool, u32),
    Result(u32, u8, bool),
    Answer(u32, bool),
    Beat(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let command = prop_oneof![4 => Just(0_u16), 3 => 1..13_u16, 2 => 100..106_u16];
    let any_look = (any::<[u16; 2]>(), 0..12_u32, any::<bool>(), command.clone());
    // A well-behaved PLC: enabled, buffered, trigger, ack and commands at random.
    let good_look = (0..8_u16, 1..12_u32, proptest::bool::weighted(0.1), command);
    let step = prop_oneof![
        8 => any_look.prop_map(|(raw, piece, moved, command)| Step::Look { raw, piece, moved, command }),
        12 => good_look.prop_map(|(bits, piece, moved, command)| {
            Step::Look { raw: [0b101 | (bits & 1) << 1 | (bits & 2) << 2 | (bits & 4) << 2, 0], piece, moved, command }
        }),
        1 => Just(Step::Look { raw: [0, 0], piece: 0, moved: false, command: 0 }),
        1 => Just(Step::Up),
        1 => Just(Step::Down),
        2 => (any::<bool>(), prop_oneof![Just(0), 0..1_u32 << 14]).prop_map(|(run, reasons)| Step::Permit(run, reasons)),
        5 => (0..12_u32, 0..3_u8, proptest::bool::weighted(0.1)).prop_map(|(piece, verdict, moved)| Step::Result(piece, verdict, moved)),
        2 => (1..20_u32, any::<bool>()).prop_map(|(number, done)| Step::Answer(number, done)),
        1 => any::<u16>().prop_map(Step::Beat),
    ];
    proptest::collection::vec(step, 0..120)
}

fn encoder(piece: u32, moved: bool) -> u32 {
    piece * 100 + u32::from(moved)
}

/// The world as the test knows it, to hold the handshake against.
#[derive(Default)]
struct World {
    up: bool,
    permitted: bool,
    trigger: bool,
    /// Taken and without a result, with the encoder count, and whether the PLC still knows of it.
    owed: Vec<(u32, u32, bool)>,
    offered: Vec<u64>,
    /// Requests of the station that have no answer yet, oldest first.
    open: Vec<PlcRequest>,
    asked: u32,
}

fn check(line: &Handshake, world: &mut World) -> Result<(), TestCaseError> {
    let status = line.status();
    let one_hot = [status.pass, status.fail, status.no_verdict].iter().filter(|on| **on).count();
    prop_assert_eq!(one_hot, usize::from(status.results_valid));
    prop_assert_eq!(status.result_code != 0, status.results_valid);
    prop_assert_eq!(status.run_permit, world.up && world.permitted);
    prop_assert_eq!(status.trigger_ack, world.trigger);
    let executing = [State::SingleExecution as u16, State::ContinuousExecution as u16, State::Error as u16];
    let enabled = world.up && !world.trigger && line.seen.trigger_enable && !line.seen.set_offline && status.online;
    prop_assert!(!status.trigger_ready || (enabled && executing.contains(&status.state)), "ready in state {}", status.state);
    prop_assert_eq!(status.busy, !world.owed.is_empty());
    prop_assert!(!status.results_valid || world.up);
    prop_assert!(line.results.waiting() <= RESULTS_MAX);
    prop_assert!(!(status.command_completed && status.command_failed));
    prop_assert!(!status.command_completed || !status.command_executing || line.commands.outcome() == Some(Outcome::Completed));
    prop_assert_eq!(status.ack_command == 0, line.commands.outcome().is_none());
    prop_assert!((status.error_code == error_code::NONE) == (status.error_cause == 0 && !status.error && status.error_code >> 12 == 0));
    let asked = world.open.iter().any(|open| !matches!(open.order, PlcOrder::SoftEvent(_) | PlcOrder::AcknowledgeStop));
    prop_assert!(!asked || status.command_executing, "over before it was answered");
    prop_assert!(!status.command_executing || asked || status.busy, "nothing is left to wait for");
    prop_assert_eq!(status.soft_event_acks & !line.seen.soft_events, 0);
    if let Some(offer) = line.on_offer() {
        prop_assert_eq!(status.piece_seq_echo, offer.result.piece.0);
        prop_assert_eq!(status.encoder_echo, offer.result.encoder.0);
        if world.offered.last() != Some(&offer.number) {
            prop_assert!(world.offered.last().is_none_or(|last| *last < offer.number), "an older result came back");
            world.offered.push(offer.number);
        }
    }
    Ok(())
}

/// What a look led to, held against what the world knows.
fn heed(world: &mut World, notices: &[Notice], at: u32) -> Result<(), TestCaseError> {
    let (arrived, missed) = (arrived(notices), missed(notices));
    for piece in &missed {
        let known = arrived.contains(piece) || world.owed.iter().any(|(owed, ..)| owed == piece);
        prop_assert!(known, "piece {} was missed and never announced", piece);
    }
    if notices.iter().any(|notice| matches!(notice, Notice::Forgotten(_))) {
        world.owed.iter_mut().for_each(|owed| owed.2 = false);
    }
    for piece in arrived {
        prop_assert!(!world.owed.iter().any(|(owed, _, known)| *known && *owed == piece), "piece {} is still owed", piece);
        let not_ready = |notice: &Notice| {
            *notice
                == Notice::Station(Event::Missed(Miss {
                    piece: PieceId(piece),
                    acquisition: 0,
                    reason: MissReason::NotReady,
                    camera: None,
                }))
        };
        if !notices.iter().any(not_ready) {
            prop_assert!(world.up, "taken without a link");
            world.owed.push((piece, at, true));
        }
    }
    for request in requests(notices) {
        prop_assert!(request.number > world.asked, "a number was used twice");
        world.asked = request.number;
        world.open.push(request);
    }
    Ok(())
}

fn take(line: &mut Handshake, world: &mut World, step: Step) -> Result<(), TestCaseError> {
    let (mut notices, mut at) = (Vec::new(), 0);
    match step {
        Step::Look { raw, piece, moved, command } => {
            at = encoder(piece, moved);
            let control = Control::decode(&raw, crate::jmap::Order::default());
            let control = Control { piece_seq: piece, encoder_at_trigger: at, command, ..control };
            world.trigger = control.trigger;
            line.observe(control, &mut notices);
        }
        Step::Up => {
            line.link_up(&mut notices);
            (world.up, world.permitted) = (true, false);
        }
        Step::Down => {
            line.link_down();
            (world.up, world.permitted) = (false, false);
        }
        Step::Permit(run, reasons) => {
            line.command(LineCommand::Permit(Permit { run, reasons: StopReasons(reasons), ..Permit::default() }));
            world.permitted = run && world.up;
        }
        Step::Result(piece, verdict, moved) => {
            let verdict = [Verdict::Pass, Verdict::Reject, Verdict::Hold][usize::from(verdict)];
            let LineCommand::Result(result) = result(piece, verdict) else { unreachable!() };
            let result = PieceResult { encoder: EncoderCount(encoder(piece, moved)), ..result };
            let settles = world.owed.iter().position(|owed| (owed.0, owed.1) == (piece, result.encoder.0));
            let known = settles.is_none_or(|at| world.owed.remove(at).2);
            let made = line.results.made();
            line.command(LineCommand::Result(result));
            prop_assert!(known || line.results.made() == made, "offered to a PLC that has forgotten it");
        }
        Step::Answer(number, done) => {
            line.command(LineCommand::Answer(Answer { number, done }));
            world.open.retain(|open| open.number != number);
        }
        Step::Beat(beat) => {
            line.command(LineCommand::Beat(beat));
            prop_assert_eq!(line.status().heartbeat, beat);
        }
    }
    heed(world, &notices, at)?;
    check(line, world)
}

proptest! {
    #[test]
    fn invariants_hold_after_every_event(steps in steps()) {
        let mut line = Handshake::new(Identity::default());
        let mut world = World::default();
        check(&line, &mut world)?;
        for step in steps {
            take(&mut line, &mut world, step)?;
        }
    }

    /// A PLC that keeps to the contract and looks whenever it likes gets every result once, in order.
    #[test]
    fn every_result_is_read_exactly_once_and_in_order(pauses in proptest::collection::vec(0..4_usize, 1..30)) {
        let mut line = running();
        let (mut waiting, mut read, mut ack) = (0_u32, Vec::new(), false);
        let mut next = 1_u32;
        for pause in pauses {
            if waiting < 8 {
                line.command(result(next, Verdict::Pass));
                next += 1;
                waiting += 1;
            }
            for _ in 0..pause {
                let status = line.status();
                if status.results_valid && !ack {
                    read.push(status.piece_seq_echo);
                    waiting -= 1;
                }
                ack = status.results_valid;
                look(&mut line, Control { results_ack: ack, ..enabled() });
            }
        }
        let expected: Vec<u32> = (1..).take(read.len()).collect();
        prop_assert_eq!(&read, &expected);
        prop_assert!(next - 1 - waiting == u32::try_from(read.len()).unwrap());
    }
}
