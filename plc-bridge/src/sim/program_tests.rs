//! The PLC program scan by scan, with a status block written by hand.

use super::*;
use crate::sim::Shift;

const SCAN: Duration = Duration::from_millis(2);

/// A line without a wire: the test is the appliance.
struct Bench {
    bank: Bank,
    plc: Program,
    status: Status,
}

impl Bench {
    fn new(adjust: impl FnOnce(&mut SimSettings)) -> Self {
        let mut settings = SimSettings { pace: Pace::Lockstep, ..SimSettings::default() };
        adjust(&mut settings);
        Self { bank: Bank::default(), plc: Program::new(settings), status: Status::default() }
    }

    /// One scan with a beating heart.
    fn scan(&mut self) {
        self.status.heartbeat = self.status.heartbeat.wrapping_add(1);
        self.scan_frozen();
    }

    /// One scan with whatever the status block says.
    fn scan_frozen(&mut self) {
        self.bank.status[..64].copy_from_slice(&self.status.encode(Order::default()));
        self.plc.scan(&mut self.bank, SCAN);
    }

    /// A line that runs and is ready.
    fn running(adjust: impl FnOnce(&mut SimSettings)) -> Self {
        let mut bench = Self::new(adjust);
        bench.scan();
        bench.status.run_permit = true;
        bench.status.trigger_ready = true;
        bench
    }

    /// Takes the next trigger and acknowledges it.
    fn next_piece(&mut self) -> u32 {
        for _ in 0..100 {
            self.scan();
            if self.plc.control.trigger {
                self.status.trigger_ack = true;
                self.scan();
                self.status.trigger_ack = false;
                return self.plc.control.piece_seq;
            }
        }
        panic!("no trigger: {:?}", self.plc.seen);
    }

    fn answer(&mut self, piece: u32, put: impl FnOnce(&mut Status)) {
        self.status.results_valid = true;
        self.status.piece_seq_echo = piece;
        put(&mut self.status);
        self.scan();
        assert!(self.plc.control.results_ack);
        (self.status.results_valid, self.status.pass, self.status.fail, self.status.no_verdict) = (false, false, false, false);
    }

    /// Moves the belt until `piece` has left it.
    fn run_out(&mut self, piece: u32) {
        for _ in 0..10_000 {
            let seen = &self.plc.seen;
            if seen.passed_ids.contains(&piece) || seen.rejected_ids.contains(&piece) {
                return;
            }
            self.scan();
        }
        panic!("piece {piece} never reached the gate: {:?}", self.plc.seen);
    }
}

fn one(settings: &mut SimSettings) {
    settings.pieces = Some(1);
}

#[test]
fn a_fresh_plc_stands_and_shows_red() {
    let mut bench = Bench::new(one);
    bench.status.run_permit = true;
    bench.status.trigger_ready = true;
    for _ in 0..600 {
        bench.scan_frozen();
    }
    let seen = &bench.plc.seen;
    assert_eq!((seen.run_permit, seen.line_running, seen.encoder, seen.triggered), (false, false, 0, 0));
    assert!(seen.stack_light.red && !seen.stack_light.green);
    assert_eq!(bench.bank.control[2], 600, "its own heartbeat moves");
}

#[test]
fn only_a_valid_pass_of_its_own_number_lets_a_piece_through() {
    type Put = fn(&mut Status);
    let cases: [(&str, u32, Put, bool); 6] = [
        ("pass", 1, |status| status.pass = true, true),
        ("fail", 1, |status| status.fail = true, false),
        ("no verdict", 1, |status| status.no_verdict = true, false),
        ("nothing set", 1, |_| {}, false),
        ("pass and fail", 1, |status| (status.pass, status.fail) = (true, true), false),
        ("pass of another piece", 2, |status| status.pass = true, false),
    ];
    for (name, echo, put, passes) in cases {
        let mut bench = Bench::running(|settings| {
            one(settings);
            settings.result_timeout = SCAN * 5;
        });
        assert_eq!(bench.next_piece(), 1);
        bench.answer(echo, put);
        bench.run_out(1);
        assert_eq!((bench.plc.seen.passed, bench.plc.seen.rejected), (u32::from(passes), u32::from(!passes)), "{name}");
        bench.scan();
        assert_eq!(bench.plc.control.reject_confirm, !passes, "{name}");
    }
}

#[test]
fn pass_without_results_valid_is_nothing() {
    let mut bench = Bench::running(|settings| {
        one(settings);
        settings.result_timeout = SCAN * 5;
    });
    let piece = bench.next_piece();
    (bench.status.pass, bench.status.piece_seq_echo) = (true, piece);
    bench.run_out(piece);
    assert_eq!((bench.plc.seen.rejected_ids.to_vec(), bench.plc.seen.unanswered_at_gate), (vec![piece], 1));
}

#[test]
fn a_heart_that_stops_stops_the_belt_and_clears_the_permit() {
    let mut bench = Bench::running(|settings| settings.pace = Pace::Paced { pieces_per_minute: 60.0 });
    for _ in 0..10 {
        bench.scan();
    }
    assert!(bench.plc.seen.line_running);
    for _ in 0..249 {
        bench.scan_frozen();
    }
    assert!(bench.plc.seen.line_running, "498 ms are not 500 ms");
    bench.scan_frozen();
    let encoder = bench.plc.seen.encoder;
    assert!(!bench.plc.seen.line_running && !bench.plc.seen.run_permit);
    assert_eq!(bench.bank.status[1] & 0x80, 0);
    for _ in 0..100 {
        bench.scan_frozen();
    }
    assert_eq!(bench.plc.seen.encoder, encoder);
}

#[test]
fn the_belt_moves_at_its_pace_and_waits_for_the_trigger_to_be_acknowledged() {
    let mut bench = Bench::running(|settings| settings.pace = Pace::Paced { pieces_per_minute: 600.0 });
    // Ten pieces a second at 1000 counts: 20 counts a scan.
    for _ in 0..10 {
        bench.scan();
    }
    assert!((199..=200).contains(&bench.plc.seen.encoder), "{}", bench.plc.seen.encoder);
    for _ in 0..500 {
        bench.scan();
    }
    assert_eq!((bench.plc.seen.triggered, bench.plc.seen.encoder), (1, 1999), "it stands before the second piece");
    assert_eq!((bench.plc.control.piece_seq, bench.plc.control.encoder_at_trigger), (1, 1000));
    assert_eq!(bench.plc.control.serial.as_deref(), Some("SN00000001"));
    bench.status.trigger_ack = true;
    bench.scan();
    for _ in 0..10 {
        bench.scan();
    }
    assert_eq!(bench.plc.seen.triggered, 1, "TriggerAck is still 1");
    bench.status.trigger_ack = false;
    bench.scan();
    assert_eq!(bench.plc.seen.triggered, 2);
}

#[test]
fn the_encoder_wraps_and_the_gate_does_not_care() {
    let mut bench = Bench::running(|settings| {
        settings.encoder_start = u32::MAX - 1500;
        settings.pieces = Some(3);
    });
    for expected in 1..=3 {
        let piece = bench.next_piece();
        assert_eq!(piece, expected);
        bench.answer(piece, |status| status.pass = true);
    }
    bench.run_out(3);
    assert_eq!((bench.plc.seen.passed, bench.plc.seen.rejected), (3, 0));
}

#[test]
fn maintenance_ends_what_has_begun_when_the_line_is_released() {
    let mut bench = Bench::running(|settings| {
        let drift = |from_piece| Disturbance { tag: "paste_height".into(), from_piece, shift: Shift::Drift(0.5) };
        settings.disturbances = vec![drift(1), drift(900)];
    });
    let piece = bench.next_piece();
    bench.answer(piece, |status| status.pass = true);
    (bench.status.run_permit, bench.status.stop_reason) = (false, 1 << 2);
    bench.scan();
    assert_eq!(bench.plc.faults.process.len(), 2);
    assert!(bench.plc.seen.stack_light.red);
    (bench.status.run_permit, bench.status.stop_reason) = (true, 0);
    bench.scan();
    assert_eq!(bench.plc.faults.process.iter().map(|one| one.from_piece).collect::<Vec<_>>(), [900]);
}

#[test]
fn an_emergency_stop_holds_the_belt_whatever_is_permitted() {
    let mut bench = Bench::running(|_| {});
    bench.plc.faults.estop = true;
    for _ in 0..10 {
        bench.scan();
    }
    assert_eq!((bench.plc.seen.triggered, bench.plc.seen.line_running, bench.plc.control.estop), (0, false, true));
    bench.plc.faults.estop = false;
    assert_eq!(bench.next_piece(), 1);
}

#[test]
fn a_jammed_gate_rejects_without_confirming() {
    let mut bench = Bench::running(|settings| settings.pieces = Some(2));
    bench.plc.faults.confirmations_lost = 1;
    for _ in 0..2 {
        let piece = bench.next_piece();
        bench.answer(piece, |status| status.fail = true);
    }
    bench.run_out(1);
    assert!(!bench.plc.control.reject_confirm);
    bench.run_out(2);
    bench.scan();
    assert!(bench.plc.control.reject_confirm);
    assert_eq!(bench.plc.seen.rejected, 2);
}

#[test]
fn the_tally_registers_say_what_is_seen() {
    let mut bench = Bench::running(one);
    let piece = bench.next_piece();
    bench.answer(piece, |status| status.pass = true);
    bench.run_out(piece);
    bench.scan();
    let shown: Vec<String> = crate::sim::TALLY.iter().filter_map(|field| field.show(&bench.bank.tally, Order::default())).collect();
    assert_eq!(shown, ["1", "1", "0", &bench.plc.seen.encoder.to_string(), "1", "0"]);
    assert!(bench.plc.seen.finished);
}
