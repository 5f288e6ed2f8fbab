//! A line that does not exist: numbers that move like real ones, and a board drawn from rectangles.

use jpeg_encoder::{ColorType, Encoder};
use serde_json::json;
use station::action::{Action, Request};
use station::inspection::PixelBox;
use station::line::{Counters, PlcLink};
use station::piece::PieceId;
use station::policy::{StopReason, StopReasons};
use station::reading::{Quality, Reading};
use station::record::ChartPoint;
use station::snapshot::{ChartView, DecisionsView, DefectView, LineStopView, Phase, PieceView, PlcView, PointView, Snapshot, StopView};
use station::units::Timestamp;
use station::verdict::Verdict;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
use web_ui::health::{LatencyView, Part, PartState, PicturesView, UploadView};
use web_ui::{Health, Picture, Pictures, Records};

const SIDE: u16 = 480;
const KEPT: usize = 60;
const CLASSES: [&str; 6] = ["open", "short", "mousebite", "spur", "copper", "pin_hole"];

/// Pictures and records of the last pieces.
#[derive(Default)]
pub struct Album {
    pages: Mutex<VecDeque<(u64, Picture, serde_json::Value)>>,
}

impl Album {
    fn find<T>(&self, wanted: impl Fn(u64) -> bool, take: impl Fn(&Picture, &serde_json::Value) -> T) -> Option<T> {
        let pages = self.pages.lock().expect("nobody panics with the album in hand");
        pages.iter().rev().find(|(id, ..)| wanted(*id)).map(|(_, picture, record)| take(picture, record))
    }
}

impl Pictures for Album {
    fn latest(&self) -> Option<Picture> {
        self.find(|_| true, |picture, _| picture.clone())
    }

    fn of(&self, result_id: u64) -> Option<Picture> {
        self.find(|id| id == result_id, |picture, _| picture.clone())
    }

    fn panel(&self) -> Option<Arc<[u8]>> {
        None
    }
}

impl Records for Album {
    fn piece(&self, result_id: u64) -> Option<serde_json::Value> {
        self.find(|id| id == result_id, |_, record| record.clone())
    }

    fn find(&self, serial: &str) -> Option<serde_json::Value> {
        let id = serial.strip_prefix("MU")?.parse().ok()?;
        self.piece(id)
    }
}

/// The line.
pub struct MadeUpLine {
    began: Instant,
    random: u64,
    calm: bool,
    result_id: u64,
    counters: Counters,
    pieces: VecDeque<Arc<PieceView>>,
    charts: [Vec<PointView>; 7],
    stop: Option<StopView>,
    last_stop: Option<StopView>,
    line_stop: LineStopView,
    phase: Phase,
    stops: u16,
    since_release: u64,
    album: Arc<Album>,
}

impl MadeUpLine {
    pub fn new(calm: bool) -> Self {
        let mut line = Self {
            began: Instant::now(),
            random: 7,
            calm: true,
            result_id: 0,
            counters: Counters::default(),
            pieces: VecDeque::new(),
            charts: Default::default(),
            stop: None,
            last_stop: None,
            line_stop: LineStopView::default(),
            phase: Phase::Running,
            stops: 0,
            since_release: 0,
            album: Arc::default(),
        };
        for _ in 0..45 {
            line.piece();
        }
        line.since_release = 0;
        line.calm = calm;
        line
    }

    pub fn album(&self) -> Arc<Album> {
        Arc::clone(&self.album)
    }

    /// One beat of the line.
    pub fn step(&mut self) {
        match self.phase {
            Phase::Running => self.piece(),
            Phase::Releasing => {
                self.last_stop = self.stop.take();
                self.phase = Phase::Running;
                self.since_release = 0;
            }
            _ => {}
        }
    }

    /// A decision of a person.
    pub fn take(&mut self, request: Request) {
        match request.action.clone() {
            Action::Stop { note } => self.halt(StopReason::Operator, format!("{}: {note}", request.by.name), 0),
            Action::Acknowledge { stop_seq, cause, .. } => {
                if let Some(stop) = self.stop.as_mut().filter(|stop| stop.seq == stop_seq) {
                    stop.acknowledged_by = Some(request.by.into());
                    stop.cause = cause;
                    self.phase = Phase::Acknowledged;
                }
            }
            Action::Release { stop_seq } => {
                if self.stop.as_ref().is_some_and(|stop| stop.seq == stop_seq) && self.phase == Phase::Acknowledged {
                    self.phase = Phase::Releasing;
                }
            }
            Action::Arm | Action::Disarm => {
                self.line_stop.armed = request.action == Action::Arm;
                (self.line_stop.by, self.line_stop.since) = (Some(request.by.into()), Some(self.now()));
            }
            // The made-up charts and pieces keep what they have.
            Action::ReviseLimits { .. } | Action::Decide { .. } | Action::TakeIn { .. } => {}
        }
    }

    fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp {
            wall_micros: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX),
            mono_micros: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// 0…1, the same row of numbers at every start.
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.random >> 33).unwrap_or(0)) / f64::from(1_u32 << 31)
    }

    fn noise(&mut self) -> f64 {
        (0..6).map(|_| self.chance()).sum::<f64>() - 3.0
    }

    fn piece(&mut self) {
        self.result_id += 1;
        self.since_release += 1;
        let id = self.result_id;
        let number = PieceId(u32::try_from(id).unwrap_or(1));
        let luck = self.chance();
        let verdict = if luck < 0.1 {
            Verdict::Reject
        } else if luck < 0.12 {
            Verdict::Hold
        } else {
            Verdict::Pass
        };
        let defects = if verdict == Verdict::Reject { self.defects() } else { Vec::new() };
        let reason = match verdict {
            Verdict::Pass => String::new(),
            Verdict::Reject => defects.iter().map(|one| one.class.clone()).collect::<Vec<_>>().join(", "),
            Verdict::Hold => "deadline".into(),
        };
        let view = PieceView {
            piece: number,
            serial: Some(format!("MU{id:06}")),
            result_id: id,
            at: self.now(),
            verdict,
            grade: if verdict == Verdict::Pass { "A".into() } else { "C".into() },
            reason,
            latency_micros: 24_000,
            frame: [u32::from(SIDE), u32::from(SIDE)],
            camera: None,
            defects,
            overruled: None,
        };
        self.count(verdict);
        self.keep(&view);
        self.pieces.push_back(Arc::new(view));
        if self.pieces.len() > 40 {
            self.pieces.pop_front();
        }
        self.plot(number);
    }

    fn count(&mut self, verdict: Verdict) {
        let counters = &mut self.counters;
        counters.inspected += 1;
        match verdict {
            Verdict::Pass => counters.pass += 1,
            Verdict::Reject => {
                counters.reject += 1;
                counters.reject_commanded += 1;
                counters.reject_confirmed += 1;
            }
            Verdict::Hold => {
                counters.hold += 1;
                counters.missed += 1;
            }
        }
    }

    fn defects(&mut self) -> Vec<DefectView> {
        (0..2)
            .map(|place| {
                let kind = if self.chance() < 0.5 { place } else { place + 3 };
                let (x, y) = (40 + 160 * i16::from(u8::from(self.chance() < 0.5)), 60 + 130 * place_of(place));
                let (x, y) = (f32::from(x), f32::from(y));
                let bounds = PixelBox { x1: x, y1: y, x2: x + 70.0, y2: y + 48.0 };
                DefectView { class: CLASSES[kind].into(), score: 0.93, bounds, camera: None }
            })
            .collect()
    }

    fn keep(&mut self, view: &PieceView) {
        let record = json!({
            "result_id": view.result_id,
            "arrival": { "piece": view.piece, "serial": view.serial, "lot": 4711 },
            "inspection": { "model": { "package": "made-up@0" } },
            "judgement": { "verdict": view.verdict },
            "readings": [{ "tag": "paste_height", "value": 120.4, "unit": "um", "quality": "good" }],
        });
        let picture = Picture { piece: view.piece, camera: None, jpeg: board(view.result_id, &view.defects), shrink: 1 };
        let mut pages = self.album.pages.lock().expect("nobody panics with the album in hand");
        pages.push_back((view.result_id, picture, record));
        if pages.len() > KEPT {
            pages.pop_front();
        }
    }

    fn plot(&mut self, piece: PieceId) {
        let shifted = !self.calm && self.since_release > 15;
        let settings = [
            (120.0, 2.5, 9.0),
            (0.09, 0.02, 0.07),
            (0.24, 0.04, 0.14),
            (246.0, 0.8, 2.6),
            (180.0, 0.5, 1.9),
            (220.0, 0.6, 1.6),
            (3.0, 0.04, 0.12),
        ];
        for (chart, (centre, sigma, reach)) in settings.into_iter().enumerate() {
            let index = u64::try_from(self.charts[chart].len()).unwrap_or(0) + 1;
            let shift = if shifted && chart == 0 { 3.6 * sigma } else { 0.0 };
            let value = (centre + shift + sigma * self.noise() * 0.7).max(0.0);
            let learned = chart != 3;
            let beyond = learned && value > centre + reach;
            let signals = if beyond { vec!["Nelson 1".to_owned()] } else { Vec::new() };
            let lines = |line: f64| learned.then_some(line);
            let point = ChartPoint {
                chart: u16::try_from(chart + 1).unwrap_or(1),
                index,
                value,
                range: None,
                centre: lines(centre),
                lcl: lines((centre - reach).max(0.0)),
                ucl: lines(centre + reach),
                signals,
            };
            self.charts[chart].push(PointView { piece, point });
            if beyond && chart == 0 && shifted {
                let detail = format!("paste_height: Nelson 1 ({value:.1} um)");
                self.halt(StopReason::SpcRule, detail, 1);
            }
        }
    }

    fn halt(&mut self, first: StopReason, detail: String, chart: u16) {
        if let Some(stop) = &mut self.stop {
            stop.reasons.insert(first);
            return;
        }
        self.stops += 1;
        let mut reasons = StopReasons::default();
        reasons.insert(first);
        self.phase = Phase::Stopped;
        self.stop = Some(StopView {
            seq: self.stops,
            first,
            detail,
            reasons,
            reaction: if chart > 0 {
                "Check the stencil and the squeegee pressure.\nMeasure three boards by hand.".into()
            } else {
                String::new()
            },
            piece: self.pieces.back().map(|view| view.piece),
            chart,
            since: self.now(),
            acknowledged_by: None,
            cause: String::new(),
            withheld: None,
        });
    }

    pub fn snapshot(&self) -> Snapshot {
        let at = self.now();
        let names = [
            ("paste_height", "individuals", "um"),
            ("reject_share", "reject_share", ""),
            ("defects", "defects_per_piece", ""),
            ("zone_3", "individuals", "Cel"),
            ("zone_1", "individuals", "Cel"),
            ("zone_2", "individuals", "Cel"),
            ("placement_force", "individuals", "N"),
        ];
        let charts = names.into_iter().zip(&self.charts).zip(1..).map(|(((name, kind, unit), points), id)| {
            let learning = if id == 4 { 12 } else { 0 };
            let points = points[points.len().saturating_sub(60)..].to_vec();
            Arc::new(ChartView { id, name: name.into(), kind: kind.into(), unit: unit.into(), learning, revision: 1, points })
        });
        let reading = |tag: &str, value: f64, unit: &str, quality| Reading {
            tag: tag.into(),
            value,
            unit: unit.into(),
            quality,
            sampled_at: at,
            text: None,
        };
        Snapshot {
            at,
            line: "Line 4 · AOI 1".into(),
            recipe: "bare-board 3".into(),
            model: "made-up@0".into(),
            phase: self.phase,
            run_permit: self.phase == Phase::Running,
            stop: self.stop.clone(),
            last_stop: self.last_stop.clone(),
            line_stop: self.line_stop.clone(),
            counters: self.counters,
            pieces: self.pieces.iter().cloned().collect(),
            charts: charts.collect(),
            readings: vec![
                reading("paste_height", self.charts[0].last().map_or(0.0, |view| view.point.value), "um", Quality::Good),
                reading("placement_force", 3.214, "N", Quality::Good),
                reading("zone_1", 151.2, "Cel", Quality::Good),
                reading("zone_2", 183.9, "Cel", Quality::Good),
                reading("zone_3", 246.1, "Cel", Quality::Stale),
            ],
            plc: PlcView { link: Some(PlcLink::Up), line_running: self.phase == Phase::Running, reject_queue: 2, ..PlcView::default() },
            backlog_entries: 3,
            kept: self.result_id + 40,
            decisions: DecisionsView { results: self.result_id, ..DecisionsView::default() },
            made_of: Default::default(),
        }
    }

    pub fn health(&self) -> Health {
        let good = |detail: &str| Part { state: PartState::Good, detail: detail.into() };
        let upload = |backend: &str, waiting, last_error: &str| UploadView {
            backend: backend.into(),
            kept: self.result_id,
            delivered: self.result_id - waiting,
            waiting,
            quarantined: 0,
            last_error: last_error.into(),
        };
        Health {
            simulated: true,
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_secs: self.began.elapsed().as_secs(),
            rss_mib: 182,
            camera: good("1.7 frames/s"),
            model: good("made-up@0"),
            disk: Part { state: PartState::Warning, detail: "11 GiB free, 3 days left".into() },
            uploads: vec![upload("trace", 0, ""), upload("grade", 4, "connection refused")],
            latency: LatencyView { p50_micros: 24_100, p99_micros: 41_800, max_micros: 66_000, budget_micros: 80_000 },
            pictures: PicturesView::default(),
        }
    }
}

fn place_of(place: usize) -> i16 {
    i16::try_from(place).unwrap_or(0)
}

/// A board: traces and pads on green, and dark spots where the defects are.
fn board(seed: u64, defects: &[DefectView]) -> Arc<[u8]> {
    let side = usize::from(SIDE);
    let mut pixels = vec![0_u8; side * side * 3];
    let inside = |x: usize, y: usize, bounds: &PixelBox| {
        let (x, y) = (x as f32, y as f32);
        x > bounds.x1 + 14.0 && x < bounds.x2 - 14.0 && y > bounds.y1 + 10.0 && y < bounds.y2 - 10.0
    };
    for y in 0..side {
        for x in 0..side {
            let trace = (x % 96 < 22) || (y % 120 < 16) || ((x + 30) % 96 < 44 && (y + 40) % 120 < 46);
            let grain = u8::try_from((x * 7 + y * 13 + usize::try_from(seed).unwrap_or(0) * 5) % 11).unwrap_or(0);
            let mut colour = if trace { [196 + grain, 168 + grain, 92] } else { [26, 84 + grain, 58] };
            if defects.iter().any(|defect| inside(x, y, &defect.bounds)) {
                colour = if trace { [20, 60, 44] } else { [202, 172, 96] };
            }
            pixels[(y * side + x) * 3..][..3].copy_from_slice(&colour);
        }
    }
    let mut jpeg = Vec::new();
    if let Err(error) = Encoder::new(&mut jpeg, 85).encode(&pixels, SIDE, SIDE, ColorType::Rgb) {
        tracing::error!(%error, "a board could not be drawn");
    }
    jpeg.into()
}
