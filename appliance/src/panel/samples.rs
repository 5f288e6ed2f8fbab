//! Snapshots for the tests: the states in which people see the panel.
use station::action::{Person, Role};
use station::line::{Counters, LinkFault, PlcLink};
use station::piece::PieceId;
use station::policy::{StopReason, StopReasons, Withheld};
use station::record::ChartPoint;
use station::snapshot::{ChartView, DecisionsView, LineStopView, Phase, PieceView, PlcView, PointView, Snapshot, StopView};
use station::units::Timestamp;
use station::verdict::Verdict;
use std::sync::Arc;

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp { wall_micros: 1_790_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000, mono_micros: seconds * 1_000_000 }
}

fn chart(id: u16, name: &str, drift: f64) -> Arc<ChartView> {
    let noise = [0.4, -0.9, 0.2, 1.1, -0.3, -1.2, 0.7, 0.1, -0.6, 0.9];
    let points = (0..60_u32).map(|index| {
        let late = f64::from(index.saturating_sub(50));
        let value = 120.0 + noise[index as usize % 10] + drift * late;
        let signals = if value > 123.0 { vec!["Nelson 1".to_owned()] } else { Vec::new() };
        let point = ChartPoint {
            chart: id,
            index: u64::from(index) + 1,
            value,
            range: None,
            centre: Some(120.0),
            lcl: Some(117.0),
            ucl: Some(123.0),
            signals,
        };
        PointView { piece: PieceId(1200 + index), point }
    });
    Arc::new(ChartView {
        id,
        name: name.into(),
        kind: "individuals".into(),
        unit: "um".into(),
        learning: 0,
        revision: 1,
        points: points.collect(),
    })
}

fn piece(number: u32, verdict: Verdict, grade: &str, reason: &str) -> Arc<PieceView> {
    Arc::new(PieceView {
        piece: PieceId(number),
        serial: Some(format!("SN{number:08}")),
        result_id: u64::from(number),
        at: at(590),
        verdict,
        grade: grade.into(),
        reason: reason.into(),
        latency_micros: 41_000,
        frame: [640, 640],
        camera: None,
        defects: Vec::new(),
        overruled: None,
    })
}

pub(super) fn running() -> Snapshot {
    Snapshot {
        at: at(600),
        line: "SMT-2 / AOI 1".into(),
        recipe: "pcb-demo".into(),
        model: "pcb@1.0.0".into(),
        phase: Phase::Running,
        run_permit: true,
        stop: None,
        last_stop: None,
        line_stop: LineStopView { armed: true, ..LineStopView::default() },
        counters: Counters { inspected: 1289, pass: 1251, reject: 29, hold: 9, ..Counters::default() },
        pieces: vec![
            piece(1285, Verdict::Pass, "A", ""),
            piece(1286, Verdict::Hold, "", "camera_lost"),
            piece(1287, Verdict::Pass, "B", ""),
            piece(1288, Verdict::Reject, "C", "mouse_bite 0.91"),
            piece(1289, Verdict::Pass, "A", ""),
        ],
        charts: vec![chart(1, "paste_height", 0.0), chart(2, "reject_share", 0.45)],
        readings: Vec::new(),
        plc: PlcView { link: Some(PlcLink::Up), line_running: true, ..PlcView::default() },
        backlog_entries: 0,
        kept: 1289,
        decisions: DecisionsView::default(),
        made_of: Default::default(),
    }
}

pub(super) fn stopped() -> Snapshot {
    let mut reasons = StopReasons::default();
    reasons.insert(StopReason::SpcRule);
    let stop = StopView {
        seq: 12,
        first: StopReason::SpcRule,
        detail: "reject_share: Nelson 1".into(),
        reasons,
        reaction: "clean the nozzle, then measure three boards by hand".into(),
        piece: Some(PieceId(1289)),
        chart: 2,
        since: at(360),
        acknowledged_by: None,
        cause: String::new(),
        withheld: None,
    };
    let mut pieces = running().pieces;
    pieces.push(piece(1290, Verdict::Reject, "D", "missing_hole 0.97, short 0.88, open_circuit 0.61"));
    let plc = PlcView { line_running: false, ..running().plc };
    Snapshot { phase: Phase::Stopped, run_permit: false, stop: Some(stop), pieces, plc, ..running() }
}

pub(super) fn acknowledged() -> Snapshot {
    let mut snapshot = Snapshot { phase: Phase::Acknowledged, ..stopped() };
    if let Some(stop) = &mut snapshot.stop {
        stop.acknowledged_by = Some(Person { name: "王芳 Wang".into(), role: Role::Operator }.into());
        stop.cause = "喷嘴堵塞, nozzle clogged".into();
    }
    snapshot
}

pub(super) fn inhibited() -> Snapshot {
    let mut snapshot = stopped();
    snapshot.plc.stop_inhibit = true;
    snapshot.plc.line_running = true;
    snapshot.run_permit = true;
    if let Some(stop) = &mut snapshot.stop {
        stop.withheld = Some(Withheld::KeySwitch);
    }
    snapshot
}

pub(super) fn starting() -> Snapshot {
    let plc = PlcView { link: None, line_running: false, ..running().plc };
    let mut charts = running().charts;
    charts[0] = Arc::new(ChartView { learning: 25, points: Vec::new(), ..charts[0].as_ref().clone() });
    let (pieces, counters) = (Vec::new(), Counters::default());
    Snapshot { phase: Phase::Starting, run_permit: false, plc, pieces, counters, charts, ..running() }
}

pub(super) fn plc_down() -> Snapshot {
    let mut snapshot = stopped();
    snapshot.plc.link = Some(PlcLink::Down(LinkFault::TimedOut));
    snapshot.plc.estop = true;
    if let Some(stop) = &mut snapshot.stop {
        stop.first = StopReason::PlcLink;
        stop.reasons.insert(StopReason::PlcLink);
        stop.detail = "no answer from 192.168.10.5:502 within 500 ms".into();
        stop.reaction = String::new();
        stop.chart = 0;
        stop.piece = None;
    }
    snapshot
}

/// Every sample with its name.
pub(super) fn all() -> Vec<(&'static str, Snapshot)> {
    let releasing = Snapshot { phase: Phase::Releasing, stop: stopped().stop, ..starting() };
    let mut ready = running();
    ready.plc.line_running = false;
    vec![
        ("running", running()),
        ("ready", ready),
        ("stopped", stopped()),
        ("acknowledged", acknowledged()),
        ("inhibited", inhibited()),
        ("starting", starting()),
        ("releasing", releasing),
        ("plc_down", plc_down()),
    ]
}
