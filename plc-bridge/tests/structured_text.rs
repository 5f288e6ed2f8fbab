//! The PLC's half of the contract as it is given to people: the text is executed, and it keeps the contract.

mod st;

use plc_bridge::jmap::{CONTROL, Control, Kind, Order, STATUS, Status, function_block_st, symbols_st};
use st::{Plc, Value, words};

fn text() -> Plc {
    let mut plc = Plc::default();
    plc.load(&symbols_st(0, 1000));
    plc.load(&function_block_st(0, 1000));
    plc
}

fn kind(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn number(value: u32) -> Value {
    Value::Number(i128::from(value), (0, i128::from(u32::MAX)))
}

/// Different bits everywhere.
fn pattern(len: usize) -> Vec<u16> {
    (1..=len).map(|at| u16::try_from(at * 40_503 % 65_536).expect("16 bits")).collect()
}

#[test]
fn every_field_comes_out_of_its_registers() {
    let plc = text();
    let block = pattern(128);
    let mut reader = plc.fresh(&kind("FB_JMAP_READ_STATUS"));
    plc.call(&mut reader, &mut [("Words", words(&block))]);
    for field in STATUS {
        let value = reader.field("S").field(field.name);
        let shown = field.show(&block, Order::default()).expect("within the block");
        match value {
            Value::Bool(on) => assert_eq!(u8::from(*on).to_string(), shown, "{}", field.name),
            Value::Number(number, _) => assert_eq!(number.to_string(), shown, "{}", field.name),
            raw => assert_eq!(raw.words(), block[64..128], "{}", field.name),
        }
    }
}

#[test]
fn every_field_goes_into_its_registers() {
    let plc = text();
    for field in CONTROL {
        let mut control = plc.fresh(&kind("JMAP_CONTROL"));
        let Value::Struct(fields) = &mut control else { panic!("a structure") };
        let slot = fields.get_mut(field.name).expect("every field");
        let mut expected = vec![0; 96];
        let own = usize::from(field.register)..usize::from(field.register + field.width);
        if let Some(most) = field.most() {
            // Not the same in both words of a wide one.
            let value = if field.kind == Kind::U32 { 0x8001_7FFE } else { most };
            slot.set(if matches!(slot, Value::Bool(_)) { Value::Bool(true) } else { number(value) });
            expected[own].copy_from_slice(&field.registers(value, Order::default()).expect("it fits"));
        } else {
            slot.set(words(&pattern(own.len())));
            expected[own.clone()].copy_from_slice(&pattern(own.len()));
        }
        let mut writer = plc.fresh(&kind("FB_JMAP_WRITE_CONTROL"));
        let mut given = [("C", control), ("Words", words(&[0xFFFF; 96]))];
        plc.call(&mut writer, &mut given);
        let [_, (_, block)] = given;
        let mut block = block.words();
        // Registers without a name are left alone.
        block[28..32].fill(0);
        assert_eq!(block, expected, "{}", field.name);
    }
}

/// A PLC that runs the function block every 10 ms, and an appliance that is moved by hand.
struct Line {
    plc: Plc,
    block: Value,
    control: Control,
    status: Status,
    inputs: Vec<(&'static str, Value)>,
    beating: bool,
    encoder: u32,
}

const GATE: u32 = 3000;
const DWELL: u32 = 200;

impl Line {
    fn new(encoder: u32) -> Self {
        let plc = text();
        let block = plc.fresh(&kind("FB_JIDOKA"));
        let (control, status) = (Control::default(), Status { run_permit: true, heartbeat: 7, ..Status::default() });
        Self { plc, block, control, status, inputs: Vec::new(), beating: true, encoder }
    }

    /// Alive, and nothing unknown on the belt any more.
    fn running(encoder: u32) -> Self {
        let mut line = Self::new(encoder.wrapping_sub(GATE + DWELL));
        line.scan();
        line.status.run_permit = true;
        line.move_by(GATE + DWELL);
        assert!(line.out("RunPermit") && !line.out("Reject"));
        line
    }

    fn scan(&mut self) {
        self.plc.now_millis += 10;
        self.status.heartbeat = self.status.heartbeat.wrapping_add(u16::from(self.beating));
        let mut status = self.status.encode(Order::default()).to_vec();
        status.resize(128, 0);
        let blocks = [("Control", words(&self.control.encode(Order::default()))), ("Status", words(&status))];
        let fixed =
            [("Enable", Value::Bool(true)), ("Encoder", number(self.encoder)), ("GateOffset", number(GATE)), ("GateDwell", number(DWELL))];
        let mut given: Vec<_> = blocks.into_iter().chain(fixed).chain(self.inputs.iter().cloned()).collect();
        self.plc.call(&mut self.block, &mut given);
        self.control = Control::decode(&given[0].1.words(), Order::default());
        self.status = Status::decode(&given[1].1.words(), Order::default());
    }

    fn move_by(&mut self, counts: u32) {
        self.encoder = self.encoder.wrapping_add(counts);
        self.scan();
    }

    fn out(&self, name: &str) -> bool {
        self.block.field(name).bool()
    }

    fn count(&self, name: &str) -> i128 {
        self.block.field(name).number()
    }

    fn barrier(&mut self, covered: bool) {
        self.inputs.retain(|(name, _)| *name != "PieceAtCamera");
        self.inputs.push(("PieceAtCamera", Value::Bool(covered)));
        self.scan();
    }

    /// A piece comes, is announced and acknowledged. Its number and place.
    fn piece(&mut self) -> (u32, u32) {
        self.barrier(true);
        assert!(self.control.trigger, "the piece was not announced");
        self.status.trigger_ack = true;
        self.barrier(false);
        assert!(!self.control.trigger, "Trigger must go back after TriggerAck");
        self.status.trigger_ack = false;
        self.scan();
        (self.control.piece_seq, self.control.encoder_at_trigger)
    }

    fn result(&mut self, change: impl FnOnce(&mut Status)) {
        self.status.results_valid = true;
        (self.status.pass, self.status.fail, self.status.no_verdict) = (true, false, false);
        change(&mut self.status);
        self.scan();
        assert!(self.control.results_ack);
        self.status = Status { results_valid: false, pass: false, fail: false, no_verdict: false, ..self.status };
        self.scan();
        assert!(!self.control.results_ack);
    }
}

#[test]
fn no_permit_without_a_heartbeat_that_moves() {
    let mut line = Line { beating: false, ..Line::new(0) };
    for _ in 0..100 {
        line.scan();
        assert!(!line.out("RunPermit") && !line.status.run_permit, "the permit of a dead appliance was left in memory");
    }
    line.beating = true;
    line.scan();
    assert!(line.out("VisionAlive") && !line.out("RunPermit"), "it must be given anew");
    line.status.run_permit = true;
    line.scan();
    assert!(line.out("RunPermit"));
    line.beating = false;
    let scans = (1..=100).find(|_| {
        line.scan();
        !line.out("RunPermit")
    });
    assert_eq!(scans, Some(51), "500 ms after the first scan that saw no change");
    assert!(!line.status.run_permit && line.out("Reject"));
}

#[test]
fn the_plcs_own_heartbeat_moves_in_every_scan_and_wraps() {
    let mut line = Line::new(0);
    let Value::Instance(_, vars) = &mut line.block else { panic!("an instance") };
    let Some(Value::Struct(fields)) = vars.get_mut("C") else { panic!("the control block") };
    fields.get_mut("PlcHeartbeat").expect("a field").set(number(65_530));
    let seen: Vec<u16> = (0..8)
        .map(|_| {
            line.scan();
            line.control.heartbeat
        })
        .collect();
    assert_eq!(seen, [65_531, 65_532, 65_533, 65_534, 65_535, 0, 1, 2]);
}

#[test]
fn only_its_own_pass_lets_a_piece_through() {
    // What the appliance says, and whether the piece may pass; also across the wrap of the encoder.
    type Case = (fn(&mut Status, u32, u32), bool);
    let cases: [Case; 8] = [
        (|_, _, _| {}, true),
        (|status, _, _| (status.pass, status.fail) = (false, true), false),
        (|status, _, _| (status.pass, status.no_verdict) = (false, true), false),
        (|status, _, _| status.fail = true, false),
        (|status, _, _| status.pass = false, false),
        (|status, seq, _| status.piece_seq_echo = seq + 1, false),
        (|status, _, at| status.encoder_echo = at.wrapping_add(1), false),
        (|status, _, _| status.results_valid = false, false),
    ];
    for start in [10_000, u32::MAX - 1500] {
        for (index, (change, passes)) in cases.into_iter().enumerate() {
            let mut line = Line::running(start);
            let (seq, at) = line.piece();
            assert_eq!(at, start);
            line.move_by(1000);
            let mut status = Status { piece_seq_echo: seq, encoder_echo: at, pass: true, results_valid: true, ..line.status };
            change(&mut status, seq, at);
            if status.results_valid {
                line.result(|now| *now = status);
            }
            line.move_by(GATE - 1001);
            assert_eq!(line.count("Passed") + line.count("Rejected"), 0, "{index}: too early");
            line.move_by(1);
            assert_eq!((line.count("Passed"), line.count("Rejected")), (i128::from(passes), i128::from(!passes)), "case {index}");
            assert_eq!(line.out("Reject"), !passes, "case {index}");
            line.move_by(DWELL);
            assert!(!line.out("Reject"), "case {index}: the gate stays out");
        }
    }
}

#[test]
fn a_pass_counts_nothing_when_the_appliance_is_dead_at_the_gate() {
    let mut line = Line::running(10_000);
    let (seq, at) = line.piece();
    line.result(|status| (status.piece_seq_echo, status.encoder_echo) = (seq, at));
    line.beating = false;
    for _ in 0..60 {
        line.scan();
    }
    line.move_by(GATE);
    assert_eq!((line.count("Passed"), line.count("Rejected")), (0, 1));
}

#[test]
fn what_was_on_the_belt_at_power_up_and_what_was_not_announced_is_rejected() {
    let mut line = Line::new(500);
    line.scan();
    line.move_by(GATE + DWELL - 1);
    assert!(line.out("Reject"));
    line.move_by(1);
    assert!(!line.out("Reject"));
    // A second piece while the appliance has not yet acknowledged the first.
    line.barrier(true);
    line.barrier(false);
    line.move_by(10);
    line.barrier(true);
    assert_eq!((line.count("Unannounced"), line.control.piece_seq), (1, 1), "the number belongs to the trigger that stands");
    line.move_by(GATE);
    assert_eq!((line.count("Passed"), line.count("Rejected")), (0, 2));
}

#[test]
fn a_belt_that_backs_up_moves_nothing_through_the_gate() {
    let mut line = Line::running(10_000);
    line.piece();
    line.move_by(0_u32.wrapping_sub(5000));
    assert_eq!(line.count("Rejected"), 0);
    line.move_by(5000 + GATE);
    assert_eq!(line.count("Rejected"), 1);
}

#[test]
fn sixty_five_pieces_on_the_belt_and_none_slips_through() {
    let mut line = Line::running(10_000);
    for _ in 0..65 {
        line.piece();
        line.move_by(10);
    }
    assert!(line.out("Reject"), "a piece that is not remembered must not pass");
    line.move_by(GATE + DWELL);
    assert_eq!((line.count("Passed"), line.count("Rejected")), (0, 64));
}
