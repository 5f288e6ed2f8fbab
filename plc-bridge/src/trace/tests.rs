use super::*;
use proptest::prelude::*;

/// A line whose two sides are moved by hand, looked at every 2 ms.
#[derive(Default)]
struct Line {
    tracer: Tracer,
    control: Control,
    status: Status,
    now_millis: u64,
}

impl Line {
    fn look(&mut self, change: impl FnOnce(&mut Control, &mut Status)) -> Vec<What> {
        self.control.heartbeat = self.control.heartbeat.wrapping_add(1);
        self.status.heartbeat = self.status.heartbeat.wrapping_add(1);
        self.later(2, change)
    }

    fn later(&mut self, millis: u64, change: impl FnOnce(&mut Control, &mut Status)) -> Vec<What> {
        self.now_millis += millis;
        change(&mut self.control, &mut self.status);
        let at = Timestamp { wall_micros: 0, mono_micros: self.now_millis * 1000 };
        self.tracer.look(&self.control, &self.status, at).into_iter().map(|traced| traced.what).collect()
    }

    fn started() -> Self {
        let mut line = Self::default();
        assert_eq!(line.look(|_, _| {}), [What::Permit { run: false, reasons: vec![], stop_seq: 0 }]);
        line
    }

    fn trigger(&mut self, piece: u32) -> Vec<What> {
        self.look(|control, _| (control.trigger, control.piece_seq) = (true, piece))
    }

    fn ack(&mut self) -> Vec<What> {
        self.look(|_, status| {
            (status.trigger_ack, status.exposure_complete) = (true, false);
            status.acquisition_id += 1;
        })
    }

    fn release(&mut self) -> Vec<What> {
        let mut out = self.look(|control, _| control.trigger = false);
        out.extend(self.look(|_, status| status.trigger_ack = false));
        out
    }

    fn offer(&mut self, piece: u32) -> Vec<What> {
        self.look(|_, status| {
            (status.results_valid, status.piece_seq_echo, status.result_code, status.exposure_complete) = (true, piece, 1, true);
            status.inspection_id += 1;
            status.inspection_completed ^= true;
        })
    }

    fn take(&mut self) -> Vec<What> {
        let mut out = self.look(|control, _| control.results_ack = true);
        out.extend(self.look(|_, status| status.results_valid = false));
        out.extend(self.look(|control, _| control.results_ack = false));
        out
    }
}

fn millis(millis: u64) -> Option<Micros> {
    Some(Micros::from_millis(millis))
}

fn pieces(told: &[What]) -> Vec<PieceTrace> {
    told.iter().filter_map(|what| if let What::Piece(piece) = what { Some(*piece) } else { None }).collect()
}

fn anomalies(told: &[What]) -> Vec<Anomaly> {
    told.iter().filter_map(|what| if let What::Anomaly(anomaly) = what { Some(*anomaly) } else { None }).collect()
}

#[test]
fn one_piece_step_by_step() {
    let mut line = Line::started();
    let mut told = line.trigger(7);
    told.extend(line.ack());
    told.extend(line.release());
    told.extend(line.offer(7));
    told.extend(line.take());
    assert_eq!(anomalies(&told), []);
    let expected = PieceTrace {
        piece: 7,
        triggered_at: Timestamp { wall_micros: 0, mono_micros: 4000 },
        trigger_ack: millis(2),
        exposure_complete: millis(8),
        results_valid: millis(8),
        results_ack: millis(10),
        results_withdrawn: millis(12),
        result_code: 1,
        resolution: Micros::from_millis(2),
    };
    assert_eq!(pieces(&told), [expected]);
    let summary = line.tracer.summary();
    assert_eq!((summary.pieces, summary.complete, summary.anomalies.len()), (1, 1, 0));
    assert_eq!(summary.period.unwrap().max, Micros::from_millis(2));
}

#[test]
fn two_pieces_under_way_get_their_own_results() {
    let mut line = Line::started();
    let mut told = Vec::new();
    for piece in [7, 8] {
        told.extend(line.trigger(piece));
        told.extend(line.ack());
        told.extend(line.release());
    }
    for piece in [7, 8] {
        told.extend(line.offer(piece));
        told.extend(line.take());
    }
    assert_eq!(anomalies(&told), []);
    assert_eq!(
        pieces(&told).iter().map(|piece| (piece.piece, piece.results_valid)).collect::<Vec<_>>(),
        [(7, millis(16)), (8, millis(16))]
    );
}

#[test]
fn what_was_too_fast_to_see_is_left_out_and_is_no_anomaly() {
    let mut line = Line::started();
    // Trigger, ack and release between two looks, then the result and its acknowledgement.
    let mut told = line.trigger(7);
    told.extend(line.look(|control, status| {
        (control.trigger, status.acquisition_id) = (false, 1);
    }));
    told.extend(line.offer(7));
    told.extend(line.look(|_, status| status.results_valid = false));
    assert_eq!(anomalies(&told), []);
    let [piece] = pieces(&told).try_into().unwrap();
    assert_eq!((piece.trigger_ack, piece.results_ack, piece.results_withdrawn), (millis(2), None, millis(6)));
}

/// The status block is read second: it may know of a trigger, and even of its result, that the control block did not show.
#[test]
fn a_status_block_that_is_ahead_is_no_anomaly() {
    let mut line = Line::started();
    let mut told = Vec::new();
    for piece in [7, 8] {
        let ahead = line.look(|_, status| {
            (status.trigger_ack, status.results_valid, status.piece_seq_echo) = (true, true, piece);
            (status.acquisition_id, status.inspection_id) = (status.acquisition_id + 1, status.inspection_id + 1);
            status.inspection_completed ^= true;
        });
        told.extend(ahead);
        told.extend(line.trigger(piece));
        told.extend(line.release());
        told.extend(line.take());
    }
    assert_eq!(anomalies(&told), []);
    let seen: Vec<_> = pieces(&told).iter().map(|piece| (piece.piece, piece.trigger_ack, piece.results_valid)).collect();
    assert_eq!(seen, [(7, millis(0), millis(0)), (8, millis(0), millis(0))]);
}

/// A laptop that was busy for a while saw nothing of two pieces, and then only the results of the next.
#[test]
fn pieces_and_results_between_two_looks_are_no_anomaly() {
    let mut line = Line::started();
    let cycle = |line: &mut Line, piece| {
        let mut told = line.trigger(piece);
        told.extend(line.ack());
        told.extend(line.release());
        told
    };
    let mut told = cycle(&mut line, 7);
    told.extend(line.offer(7));
    told.extend(line.take());
    told.extend(cycle(&mut line, 8));
    // The result of 8 came and went, 9 and 10 were triggered; now the result of 9 is on offer.
    told.extend(line.look(|control, status| {
        control.piece_seq = 10;
        (status.acquisition_id, status.inspection_id) = (4, 3);
        (status.results_valid, status.piece_seq_echo) = (true, 9);
    }));
    told.extend(line.take());
    told.extend(line.offer(10));
    told.extend(line.take());
    assert_eq!(anomalies(&told), []);
    let seen: Vec<_> = pieces(&told).iter().map(|piece| (piece.piece, piece.results_withdrawn.is_some())).collect();
    assert_eq!(seen, [(7, true), (8, false), (10, true)]);
}

#[test]
fn a_trigger_that_is_not_held_is_told() {
    let mut line = Line::started();
    line.trigger(7);
    let told = line.look(|control, _| control.trigger = false);
    assert_eq!(anomalies(&told), [Anomaly::TriggerDropped { piece: 7 }]);
    let told = line.look(|_, status| status.counters[MISSED] = 1);
    assert_eq!(anomalies(&told), [Anomaly::TriggersMissed { count: 1 }]);
    assert_eq!(anomalies(&line.look(|_, status| status.counters[MISSED] = 0)), [], "counters may be reset");
}

#[test]
fn results_of_other_pieces_are_told() {
    let mut line = Line::started();
    let mut told = line.offer(3);
    told.extend(line.take());
    assert_eq!(anomalies(&told), [], "a piece from before the trace");
    for piece in [7, 8] {
        line.trigger(piece);
        line.ack();
        line.release();
    }
    assert_eq!(anomalies(&line.offer(8)), [Anomaly::UnexpectedEcho { echo: 8, expected: Some(7) }]);
    assert_eq!(pieces(&line.take())[0].piece, 8);
    let mut told = line.offer(99);
    told.extend(line.take());
    assert_eq!(anomalies(&told), [Anomaly::UnexpectedEcho { echo: 99, expected: Some(7) }]);
    assert_eq!(anomalies(&line.offer(7)), []);
    line.take();
    let mut told = line.offer(7);
    told.extend(line.take());
    assert_eq!(anomalies(&told), [Anomaly::UnexpectedEcho { echo: 7, expected: None }], "the same result twice");
}

#[test]
fn a_plc_that_numbers_nothing_gets_the_appliances_numbers() {
    let mut line = Line::started();
    line.trigger(0);
    line.ack();
    line.release();
    assert_eq!(anomalies(&line.offer(500_001)), []);
    assert_eq!(pieces(&line.take())[0].piece, 500_001);
}

#[test]
fn a_result_nobody_acknowledges_is_told_once() {
    let mut line = Line::started();
    line.trigger(7);
    line.ack();
    line.release();
    line.offer(7);
    let told: Vec<_> = (0..800).flat_map(|_| line.look(|_, _| {})).collect();
    assert_eq!(anomalies(&told), [Anomaly::ResultsNotAcked { piece: 7, waited: Micros::from_millis(1002) }]);
}

#[test]
fn a_heartbeat_that_stands_still_is_told_when_it_does_and_when_it_moves() {
    let mut line = Line::started();
    assert_eq!(line.later(250, |_, _| {}), []);
    let still = |side| Anomaly::HeartbeatStill { side };
    assert_eq!(anomalies(&line.later(1, |_, _| {})), [still(Side::Plc), still(Side::Vision)]);
    assert_eq!(line.later(100, |_, _| {}), []);
    let told = line.later(49, |control, _| control.heartbeat += 1);
    assert_eq!(anomalies(&told), [Anomaly::HeartbeatGap { side: Side::Plc, gap: Micros::from_millis(400) }]);
    assert_eq!(line.later(10, |control, _| control.heartbeat += 1), []);
}

#[test]
fn a_permit_comes_with_its_reasons() {
    let mut line = Line::started();
    assert_eq!(line.look(|_, status| status.run_permit = true), [What::Permit { run: true, reasons: vec![], stop_seq: 0 }]);
    let told = line.look(|_, status| (status.run_permit, status.stop_reason, status.stop_seq) = (false, 0b100_0000_0001, 1));
    assert_eq!(told, [What::Permit { run: false, reasons: vec!["consecutive_rejects", "plc_link"], stop_seq: 1 }]);
}

#[test]
fn what_was_under_way_when_the_link_was_lost_is_told_and_not_judged() {
    let mut line = Line::started();
    line.trigger(7);
    let told: Vec<_> = line.tracer.lose(Timestamp::default()).into_iter().map(|traced| traced.what).collect();
    assert_eq!(pieces(&told).iter().map(|piece| (piece.piece, piece.trigger_ack)).collect::<Vec<_>>(), [(7, None)]);
    line.control.trigger = false;
    assert_eq!(anomalies(&line.later(60_000, |_, _| {})), [], "nobody saw what happened in that minute");
    assert_eq!(anomalies(&line.offer(7)), []);
    assert_eq!((line.tracer.summary().pieces, line.tracer.summary().complete), (1, 0));
}

#[test]
fn lines_for_people_and_for_programs() {
    let at = Timestamp { wall_micros: 5, mono_micros: 1_234_567 };
    let piece = PieceTrace { piece: 7, trigger_ack: Some(Micros(2050)), resolution: Micros(2100), ..PieceTrace::default() };
    let traced = Traced { at, what: What::Piece(piece) };
    assert_eq!(traced.line().split_whitespace().collect::<Vec<_>>(), ["1.234", "7", "2.050", "-", "-", "-", "-", "0", "2.100"]);
    let json: serde_json::Value = serde_json::from_str(&traced.json()).unwrap();
    assert_eq!((&json["what"], &json["piece"], &json["trigger_ack"]), (&"piece".into(), &7.into(), &2050.into()));
    assert!(json["results_valid"].is_null() && json["at"]["mono_micros"] == 1_234_567);
    let anomaly = Traced { at, what: What::Anomaly(Anomaly::UnexpectedEcho { echo: 9, expected: Some(8) }) };
    let json: serde_json::Value = serde_json::from_str(&anomaly.json()).unwrap();
    assert_eq!((&json["what"], &json["anomaly"], &json["echo"]), (&"anomaly".into(), &"unexpected_echo".into(), &9.into()));
    assert!(anomaly.line().contains("a result for piece 9, but 8 was due"));
    assert!(Traced::header().lines().count() == 1);
}

proptest! {
    /// Whatever lies in the registers: times only grow along the exchange, no piece is told without its trigger, and the
    /// memory stays bounded.
    #[test]
    fn any_registers_are_followed(looks in proptest::collection::vec(
        (proptest::array::uniform4(0..4_u16), proptest::array::uniform4(0..4_u16), 0..400_u64), 1..200
    )) {
        let (mut line, mut triggers, mut unseen, mut told) = (Line::default(), 0, 0, Vec::new());
        let mut was: Option<(bool, u32)> = None;
        for (control, status, pause) in looks {
            told.extend(line.later(pause, |c, s| {
                (c.trigger, c.results_ack, c.piece_seq, c.heartbeat) = (control[0] > 1, control[1] > 1, control[2].into(), control[3]);
                (s.trigger_ack, s.results_valid, s.piece_seq_echo, s.exposure_complete) =
                    (status[0] > 1, status[1] > 1, status[2].into(), status[3] > 1);
                (s.acquisition_id, s.inspection_id, s.heartbeat) = (status[3], status[0], status[2]);
            }));
            let now = (line.control.trigger, line.control.piece_seq);
            let edge = was.is_some_and(|(trigger, piece)| now.0 && (!trigger || piece != now.1));
            triggers += usize::from(edge);
            unseen += usize::from(!now.0 && was.is_some_and(|(_, piece)| piece != now.1));
            was = Some(now);
        }
        told.extend(line.tracer.lose(Timestamp::default()).into_iter().map(|traced| traced.what));
        let pieces = pieces(&told);
        prop_assert!(pieces.len() >= triggers && pieces.len() <= triggers + unseen, "{} for {triggers} + {unseen}", pieces.len());
        for piece in pieces {
            let steps = [piece.results_valid, piece.results_ack, piece.results_withdrawn];
            prop_assert!(steps.iter().flatten().is_sorted(), "{:?}", piece);
            prop_assert!(piece.results_valid.is_some() || (piece.results_ack.is_none() && piece.results_withdrawn.is_none()));
        }
    }
}
