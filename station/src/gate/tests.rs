//! Belts: a physical line that knows where every piece lies, beside the tracker that is told only what a PLC tells.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const OFFSET: u32 = 2500;
const SLACK: u32 = 1000;

fn ends(end: impl FnOnce(&mut Vec<GateEnd>)) -> Vec<(u32, Fate)> {
    let mut ends = Vec::new();
    end(&mut ends);
    ends.into_iter().map(|end| (end.piece.0, end.fate)).collect()
}

fn at(count: u32) -> EncoderCount {
    EncoderCount(count)
}

/// A gate at which `pieces` were triggered at their counts and rejected at once.
fn rejecting(pieces: &[(u32, u32)]) -> Gate {
    let mut gate = Gate::new(OFFSET, SLACK);
    for (piece, count) in pieces {
        gate.moved(at(*count), &mut Vec::new());
        gate.arrived(PieceId(*piece), at(*count));
        gate.judged(PieceId(*piece), at(*count), false, &mut Vec::new());
    }
    gate
}

#[test]
fn a_late_verdict_does_not_shift_the_gate() {
    let mut gate = Gate::new(OFFSET, SLACK);
    for (piece, count) in [(1, 1000), (2, 2000), (3, 3000)] {
        gate.moved(at(count), &mut Vec::new());
        gate.arrived(PieceId(piece), at(count));
    }
    // 3 is judged first, then 1; 2 passes.
    for (piece, count, passes) in [(3, 3000, false), (1, 1000, false), (2, 2000, true)] {
        assert_eq!(ends(|ends| gate.judged(PieceId(piece), at(count), passes, ends)), []);
    }
    assert_eq!(gate.queue(), GateQueue { waiting: 2, next: Some(at(3500)) });
    assert_eq!(ends(|ends| assert!(gate.confirmed(ends))), [(1, Fate::Confirmed)], "the first on the belt, not the first judged");
    assert_eq!(gate.queue(), GateQueue { waiting: 1, next: Some(at(5500)) });
}

#[test]
fn a_piece_that_passed_before_its_verdict_was_rejected_by_default() {
    for confirmed in [true, false] {
        let mut gate = Gate::new(OFFSET, SLACK);
        gate.arrived(PieceId(1), at(1000));
        gate.moved(at(3400), &mut Vec::new());
        if confirmed {
            assert_eq!(ends(|ends| assert!(gate.confirmed(ends))), [], "nobody knows its verdict yet");
        }
        gate.moved(at(9000), &mut Vec::new());
        let fate = if confirmed { Fate::Confirmed } else { Fate::Late };
        assert_eq!(ends(|ends| gate.judged(PieceId(1), at(1000), false, ends)), [(1, fate)]);
        assert_eq!(gate.waiting(), 0);
    }
}

#[test]
fn a_confirmation_without_a_piece_belongs_to_nobody() {
    let mut gate = Gate::new(OFFSET, SLACK);
    assert!(!gate.confirmed(&mut Vec::new()));
    // This one has no verdict and lies far from the gate: it cannot have been rejected.
    gate.moved(at(1000), &mut Vec::new());
    gate.arrived(PieceId(1), at(1000));
    assert!(!gate.confirmed(&mut Vec::new()));
    assert_eq!(ends(|ends| gate.judged(PieceId(1), at(1000), false, ends)), []);
    assert_eq!(gate.waiting(), 1);
}

#[test]
fn a_belt_that_backs_up_gives_nothing_up_that_has_not_passed() {
    let mut gate = rejecting(&[(1, 1000), (2, 2000)]);
    assert_eq!(ends(|ends| gate.moved(at(4499), ends)), [], "within the slack");
    assert_eq!(ends(|ends| gate.moved(at(500), ends)), [], "back");
    assert_eq!(gate.queue(), GateQueue { waiting: 2, next: Some(at(3500)) });
    // A piece that was put on the belt while it stood further back lies behind both.
    gate.arrived(PieceId(3), at(500));
    gate.judged(PieceId(3), at(500), false, &mut Vec::new());
    assert_eq!(gate.queue().next, Some(at(3000)));
    assert_eq!(ends(|ends| gate.moved(at(4500), ends)), [(3, Fate::Unconfirmed), (1, Fate::Unconfirmed)]);
    assert_eq!(ends(|ends| gate.moved(at(5500), ends)), [(2, Fate::Unconfirmed)]);
}

#[test]
fn a_lost_link_ends_what_waits_and_what_is_judged_later() {
    let mut gate = rejecting(&[(1, 1000)]);
    gate.arrived(PieceId(2), at(2000));
    assert_eq!(ends(|ends| gate.lost(ends)), [(1, Fate::Lost)]);
    assert!(!gate.confirmed(&mut Vec::new()));
    assert_eq!(ends(|ends| gate.judged(PieceId(2), at(2000), false, ends)), [(2, Fate::Lost)]);
    assert_eq!(gate.queue(), GateQueue::default());
}

#[test]
fn a_line_without_an_encoder_ends_somewhere() {
    let pieces: Vec<_> = (1..=300).map(|piece| (piece, 0)).collect();
    let gate = rejecting(&pieces);
    assert_eq!(gate.waiting(), WAITING_MAX);
    assert_eq!(gate.queue(), GateQueue { waiting: 256, next: Some(at(OFFSET)) });
}

/// One stretch of a belt's life.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A piece under the camera; it will (not) pass, and its verdict comes after so many further steps.
    Piece { passes: bool, patience: usize },
    /// The belt moves by so many counts.
    Move(i32),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 0_usize..12).prop_map(|(passes, patience)| Step::Piece { passes, patience }),
        4 => (1_i32..900).prop_map(Step::Move),
        1 => (-1500_i32..0).prop_map(Step::Move),
    ]
}

/// A physical belt: positions do not wrap here, so the truth is easy to tell.
struct Belt {
    gate: Gate,
    start: u32,
    position: i64,
    /// The furthest position the tracker was ever told.
    told: i64,
    pieces: BTreeMap<u32, Physical>,
    ends: BTreeMap<u32, Fate>,
    commanded: usize,
    now: usize,
    confirms: bool,
}

#[derive(Debug, Clone, Copy)]
struct Physical {
    at: i64,
    passes: bool,
    judged_at: usize,
    judged: bool,
    gone: bool,
}

impl Belt {
    fn new(start: u32, confirms: bool) -> Self {
        let gate = Gate::new(OFFSET, SLACK);
        let (pieces, ends) = (BTreeMap::new(), BTreeMap::new());
        Self { gate, start, position: 0, told: i64::MIN, pieces, ends, commanded: 0, now: 0, confirms }
    }

    /// The count as the PLC tells it: 32 bits, from any beginning.
    fn count(&self, position: i64) -> EncoderCount {
        EncoderCount(u32::try_from((i64::from(self.start) + position).rem_euclid(1 << 32)).unwrap())
    }

    fn take(&mut self, ends: Vec<GateEnd>) {
        for GateEnd { piece, fate } in ends {
            let physical = self.pieces[&piece.0];
            assert!(self.ends.insert(piece.0, fate).is_none(), "piece {piece} ended twice");
            assert!(!physical.passes && physical.judged, "piece {piece} was not rejected");
            if matches!(fate, Fate::Unconfirmed | Fate::Late) {
                assert!(self.told >= physical.at + i64::from(OFFSET + SLACK), "piece {piece} was given up before it had passed");
            }
        }
    }

    /// Tells the count, as a trigger does.
    fn tell(&mut self) {
        self.told = self.told.max(self.position);
        let mut ends = Vec::new();
        self.gate.moved(self.count(self.position), &mut ends);
        self.take(ends);
    }

    fn step(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Piece { passes, patience } => {
                self.tell();
                let number = u32::try_from(self.pieces.len()).unwrap() + 1;
                let judged_at = self.now + patience;
                self.pieces.insert(number, Physical { at: self.position, passes, judged_at, judged: false, gone: false });
                self.gate.arrived(PieceId(number), self.count(self.position));
            }
            Step::Move(counts) => {
                let target = self.position + i64::from(counts);
                let direction = i64::from(counts.signum());
                while self.position != target {
                    // The gate's light barrier sees every count; the tracker hears of it every 200, as of slow triggers.
                    self.position += direction;
                    self.pass_gate();
                    if self.position % 200 == 0 {
                        self.tell();
                    }
                }
            }
        }
        self.judge();
        self.check();
    }

    /// A piece without a pass is pushed off when it comes to the gate, and the PLC says so.
    fn pass_gate(&mut self) {
        let here = self.position - i64::from(OFFSET);
        for number in self.pieces.keys().copied().collect::<Vec<_>>() {
            let physical = self.pieces.get_mut(&number).unwrap();
            let passes = physical.passes && physical.judged;
            if physical.at == here && !physical.gone && !passes {
                physical.gone = true;
                if self.confirms {
                    let mut ends = Vec::new();
                    assert!(self.gate.confirmed(&mut ends), "a reject at the gate that nobody follows");
                    self.take(ends);
                }
            }
        }
    }

    fn judge(&mut self) {
        for number in self.pieces.keys().copied().collect::<Vec<_>>() {
            let physical = self.pieces.get_mut(&number).unwrap();
            if physical.judged_at <= self.now && !physical.judged {
                physical.judged = true;
                let (passes, position) = (physical.passes, physical.at);
                self.commanded += usize::from(!passes);
                let mut ends = Vec::new();
                self.gate.judged(PieceId(number), self.count(position), passes, &mut ends);
                self.take(ends);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.commanded, self.ends.len() + self.gate.waiting(), "commanded = ended + waiting");
        let ahead = self.gate.belt.iter().zip(self.gate.belt.iter().skip(1)).all(|(a, b)| b.target.beyond(a.target) >= 0);
        assert!(ahead, "the order of the targets");
    }

    /// The belt runs until everything is past the gate, however far it had backed up, and every verdict has come.
    fn run_out(&mut self) {
        let last = self.pieces.values().map(|physical| physical.at).max().unwrap_or(0);
        let (past, steps) = (last + i64::from(OFFSET + SLACK) + 400, self.now + 30);
        while self.position < past || self.now < steps {
            self.step(Step::Move(400));
        }
        assert_eq!(self.gate.waiting(), 0, "nothing that passed is forgotten");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Belts that stop, back up, wrap and change their speed, verdicts in any order, some after the gate: with a PLC that
    /// confirms, every reject ends confirmed; with one that never does, every reject is given up, and none too early.
    #[test]
    fn every_reject_ends_once_and_as_it_was(
        start in prop_oneof![Just(0_u32), Just(u32::MAX - 3000), any::<u32>()],
        confirms in any::<bool>(),
        steps in prop::collection::vec(a_step(), 1..120),
    ) {
        let mut belt = Belt::new(start, confirms);
        for step in steps {
            belt.step(step);
        }
        belt.run_out();
        let rejected = belt.pieces.iter().filter(|(_, physical)| !physical.passes).map(|(number, _)| *number);
        prop_assert_eq!(rejected.collect::<Vec<_>>(), belt.ends.keys().copied().collect::<Vec<_>>());
        prop_assert!(belt.ends.values().all(|fate| (*fate == Fate::Confirmed) == confirms), "{:?}", belt.ends);
    }

    /// Whatever a broken encoder tells: nothing panics, and the count of what is followed reconciles.
    #[test]
    fn any_counts_reconcile(counts in prop::collection::vec((any::<u32>(), 0_u8..5, any::<bool>()), 1..400)) {
        let (mut gate, mut commanded, mut ended) = (Gate::new(OFFSET, SLACK), 0, 0);
        for (number, (count, what, passes)) in (1..).zip(counts) {
            let mut ends = Vec::new();
            match what {
                0 => gate.moved(at(count), &mut ends),
                1 => drop(gate.confirmed(&mut ends)),
                2 if passes && count % 16 == 0 => gate.lost(&mut ends),
                3 => gate.arrived(PieceId(number), at(count)),
                _ => {
                    commanded += usize::from(!passes);
                    gate.judged(PieceId(number), at(count), passes, &mut ends);
                }
            }
            ended += ends.len();
            prop_assert_eq!(commanded, ended + gate.waiting());
            prop_assert!(gate.waiting() <= WAITING_MAX);
            prop_assert_eq!(usize::from(gate.queue().waiting), gate.waiting());
        }
    }
}
