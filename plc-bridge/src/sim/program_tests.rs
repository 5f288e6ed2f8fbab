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
        // Most of these tests have nobody who answers a command.
        let mut settings = SimSettings { pace: Pace::Lockstep, arms_line_stop: false, ..SimSettings::default() };
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

    /// The same for a paced belt: whatever comes meanwhile is passed.
    fn run_out_answering(&mut self, piece: u32) {
        while !self.plc.seen.passed_ids.contains(&piece) {
            self.status.trigger_ack = self.plc.control.trigger;
            self.scan();
            if self.plc.belt.iter().any(|on_belt| !on_belt.answered) && !self.status.results_valid {
                let waiting = self.plc.belt.iter().find(|on_belt| !on_belt.answered).map_or(0, |on_belt| on_belt.piece);
                self.answer(waiting, |status| status.pass = true);
            }
        }
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

#[test]
fn no_piece_comes_before_the_command_of_the_start_is_answered() {
    let mut bench = Bench::running(|settings| settings.arms_line_stop = true);
    bench.status.online = true;
    for _ in 0..100 {
        bench.scan();
    }
    assert_eq!((bench.plc.control.execute_command, bench.plc.control.command, bench.plc.seen.triggered), (true, 101, 0));
    (bench.status.ack_command, bench.status.command_completed) = (101, true);
    bench.scan();
    assert!(!bench.plc.control.execute_command);
    (bench.status.ack_command, bench.status.command_completed) = (0, false);
    assert_eq!(bench.next_piece(), 1);
    assert_eq!(bench.plc.seen.commands.last, Some((101, true)));
}

#[test]
fn a_belt_that_is_backed_up_brings_no_piece_twice() {
    let mut bench = Bench::running(|settings| settings.pace = Pace::Paced { pieces_per_minute: 6000.0 });
    assert_eq!(bench.next_piece(), 1);
    bench.answer(1, |status| status.pass = true);
    assert_eq!(bench.next_piece(), 2);
    let (encoder, triggered) = (bench.plc.seen.encoder, bench.plc.seen.triggered);
    // More than a pitch: the first piece, too, goes back in front of the camera.
    bench.plc.faults.back_up = 2500;
    while bench.plc.faults.back_up > 0 {
        bench.scan();
    }
    assert!(bench.plc.seen.encoder.wrapping_sub(encoder.wrapping_sub(2500)) < 300, "{} {encoder}", bench.plc.seen.encoder);
    assert_eq!((bench.plc.seen.on_belt, bench.plc.seen.rejected), (2, 0), "a piece behind the camera is not at the gate");
    bench.answer(2, |status| status.pass = true);
    assert_eq!(bench.plc.seen.triggered, triggered, "a piece was announced again");
    assert_eq!(bench.next_piece(), 3);
    bench.answer(3, |status| status.pass = true);
    for piece in 1..=2 {
        bench.run_out_answering(piece);
    }
    assert_eq!((bench.plc.seen.passed_ids[..2].to_vec(), bench.plc.seen.rejected), (vec![1, 2], 0));
}

#[test]
fn the_gate_takes_out_what_comes_within_its_dwell() {
    let mut bench = Bench::running(|settings| (settings.pieces, settings.gate_dwell) = (Some(3), 1500));
    for (piece, good) in [(1, false), (2, true), (3, true)] {
        assert_eq!(bench.next_piece(), piece);
        bench.answer(piece, |status| (status.pass, status.fail) = (good, !good));
    }
    bench.run_out(3);
    assert_eq!((bench.plc.seen.rejected_ids.to_vec(), bench.plc.seen.swept), (vec![1, 2], 1));
}

#[test]
fn a_reject_is_confirmed_where_the_sensor_is() {
    let mut bench = Bench::running(|settings| {
        one(settings);
        settings.confirm_after = 1500;
    });
    let piece = bench.next_piece();
    bench.answer(piece, |status| status.fail = true);
    bench.run_out(piece);
    bench.scan();
    assert!(!bench.plc.control.reject_confirm && !bench.plc.seen.finished, "between gate and sensor");
    for _ in 0..100 {
        bench.scan();
    }
    assert!(bench.plc.control.reject_confirm && bench.plc.seen.finished);
}

#[test]
fn data_may_be_latched_before_the_piece_comes() {
    let mut bench = Bench::running(|settings| settings.latch_first = true);
    for _ in 0..20 {
        bench.scan();
    }
    assert_eq!((bench.plc.control.set_user_data, bench.plc.control.trigger), (true, false), "it waits for SetUserDataAck");
    bench.status.set_user_data_ack = true;
    bench.scan();
    assert!(!bench.plc.control.set_user_data);
    bench.status.set_user_data_ack = false;
    assert_eq!(bench.next_piece(), 1);
    assert_eq!((bench.plc.control.serial.as_deref(), bench.plc.control.user_data[1]), (Some("SN00000001"), 1));
}

#[test]
fn the_speed_is_told_and_can_change() {
    let mut bench = Bench::running(|settings| settings.pace = Pace::Paced { pieces_per_minute: 120.0 });
    bench.scan();
    assert_eq!(bench.plc.control.line_speed, 120, "100 mm from piece to piece: 12 m/min");
    bench.plc.set_pace(Pace::Paced { pieces_per_minute: 60.0 });
    bench.scan();
    assert_eq!(bench.plc.control.line_speed, 60);
    bench.plc.faults.belt_held = true;
    bench.scan();
    assert_eq!((bench.plc.control.line_speed, bench.plc.control.line_running, bench.plc.control.estop), (0, false, false));
}
