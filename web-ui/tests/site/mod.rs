//! A page on a free port, with sources the test holds in its hand, and a client that keeps its cookie.

use serde_json::{Value, json};
use station::action::{Request, Role};
use station::line::{Counters, PlcLink};
use station::piece::PieceId;
use station::policy::{StopReason, StopReasons};
use station::snapshot::{DecisionsView, LineStopView, Phase, PlcView, Snapshot, StopView};
use station::units::Timestamp;
use std::cell::RefCell;
use std::io::BufReader;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{oneshot, watch};
use web_ui::health::{ClassView, LatencyView, Part, PartState, PicturesView, UploadView};
use web_ui::{Export, Health, Objection, Page, PageSettings, Picture, Pictures, Records, Refused, Sources, Writing};

/// Everybody's password.
pub const PASSWORD: &str = "seven grey boards";

/// A running page.
pub struct Site {
    pub address: SocketAddr,
    pub setup_code: Option<String>,
    pub sources: Sources,
    snapshots: watch::Sender<Arc<Snapshot>>,
    decisions: Arc<Mutex<Vec<Request>>>,
    refusal: Arc<Mutex<Option<Refused>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
    _health: watch::Sender<Arc<Health>>,
}

impl Site {
    /// With nobody in it.
    pub fn start() -> Self {
        Self::open(&[])
    }

    /// With an operator, a supervisor and an engineer.
    pub fn with_people() -> Self {
        Self::open(&[("operator", Role::Operator), ("supervisor", Role::Supervisor), ("engineer", Role::Engineer)])
    }

    fn open(people: &[(&str, Role)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (snapshots, latest) = watch::channel(Arc::new(snapshot_running()));
        let (health, latest_health) = watch::channel(Arc::new(some_health()));
        let decisions = Arc::new(Mutex::new(Vec::new()));
        let refusal: Arc<Mutex<Option<Refused>>> = Arc::default();
        let decide = {
            let (decisions, refusal) = (Arc::clone(&decisions), Arc::clone(&refusal));
            move |request| match *refusal.lock().unwrap() {
                Some(refused) => Err(refused),
                None => {
                    decisions.lock().unwrap().push(request);
                    Ok(())
                }
            }
        };
        let shelf = Arc::new(Shelf);
        let sources = Sources {
            snapshots: latest,
            health: latest_health,
            pictures: Arc::clone(&shelf) as _,
            records: shelf,
            decide: Arc::new(decide),
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let page = Page::new(PageSettings::new(address, folder.path().join("users.json")), sources.clone()).unwrap();
        for (name, role) in people {
            page.users().add(name, *role, PASSWORD).unwrap();
        }
        let setup_code = page.setup_code();
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(async move {
            web_ui::serve(page, listener, async move { drop(stopped.await) }).await.unwrap();
        });
        Self {
            address,
            setup_code,
            sources,
            snapshots,
            decisions,
            refusal,
            stop: Some(stop),
            serving: Some(serving),
            runtime,
            _folder: folder,
            _health: health,
        }
    }

    pub fn client(&self) -> Client {
        let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build();
        Client { base: format!("http://{}", self.address), agent: config.into(), cookie: RefCell::default() }
    }

    pub fn signed_in(&self, name: &str) -> Client {
        let client = self.client();
        client.sign_in(name);
        client
    }

    pub fn show(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// What was handed to the station.
    pub fn decisions(&self) -> Vec<Request> {
        self.decisions.lock().unwrap().clone()
    }

    /// From here on the station refuses.
    pub fn refuse(&self, refused: Refused) {
        *self.refusal.lock().unwrap() = Some(refused);
    }

    /// Stops the server and waits until it has ended.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.runtime.block_on(self.serving.take().unwrap()).unwrap();
    }
}

/// Speaks to a page and keeps its cookie.
pub struct Client {
    base: String,
    agent: ureq::Agent,
    cookie: RefCell<String>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u8>,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        if self.bytes.is_empty() { Value::Null } else { serde_json::from_slice(&self.bytes).unwrap() }
    }
}

impl Client {
    pub fn with_cookie(self, cookie: String) -> Self {
        self.cookie.replace(cookie);
        self
    }

    pub fn cookie(&self) -> String {
        self.cookie.borrow().clone()
    }

    pub fn sign_in(&self, name: &str) {
        let (status, body) = self.post("/api/v1/session", &json!({ "name": name, "password": PASSWORD }));
        assert_eq!(status, 201, "{body}");
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.send("GET", path, &[], None);
        (answer.status, answer.json())
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.send("POST", path, &[], Some(body));
        (answer.status, answer.json())
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        match body {
            Some(body) => {
                let mut headers = headers.to_vec();
                headers.push(("content-type", "application/json"));
                self.send_raw(method, path, &headers, body.to_string().as_bytes())
            }
            None => self.send_raw(method, path, headers, b""),
        }
    }

    pub fn send_raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookie.borrow().is_empty() {
            request = request.header("cookie", self.cookie.borrow().as_str());
        }
        let mut response = match (method, body) {
            ("GET" | "DELETE", b"") => self.agent.run(request.body(()).unwrap()),
            _ => self.agent.run(request.body(body).unwrap()),
        }
        .unwrap();
        if let Some(set) = response.headers().get("set-cookie") {
            self.cookie.replace(set.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        let bytes = response.body_mut().read_to_vec().unwrap();
        Answer { status: response.status().as_u16(), bytes, headers: response.headers().clone() }
    }

    /// A body that goes on.
    pub fn stream(&self, path: &str) -> BufReader<ureq::BodyReader<'static>> {
        let response = self.agent.get(format!("{}{path}", self.base)).header("cookie", self.cookie()).call().unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        BufReader::new(response.into_body().into_reader())
    }
}

/// One answer off a connection that stays open: its status and whether it announces the connection's end.
pub fn read_answer(reader: &mut impl std::io::BufRead) -> Option<(u16, bool)> {
    let (mut status, mut length, mut closes) = (None, 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("connection", value)) => closes = value == "close",
            _ => status = status.or_else(|| line.split(' ').nth(1)?.parse().ok()),
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    Some((status.unwrap(), closes))
}

/// The head of a `POST /stop` that announces a body of `length` bytes.
pub fn head_of_post(length: usize, more: &str) -> String {
    let kind = "content-type: application/json";
    format!("POST /api/v1/stop HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n{more}content-length: {length}\r\n\r\n")
}

struct Shelf;

impl Pictures for Shelf {
    fn latest(&self) -> Option<Picture> {
        self.of(9)
    }

    fn of(&self, result_id: u64) -> Option<Picture> {
        let piece = PieceId(u32::try_from(result_id).unwrap());
        (result_id < 10).then(|| Picture { piece, camera: None, jpeg: format!("jpeg of {result_id}").into_bytes().into(), shrink: 1 })
    }

    fn panel(&self) -> Option<Arc<[u8]>> {
        Some(b"png"[..].into())
    }
}

impl Records for Shelf {
    fn piece(&self, result_id: u64) -> Option<Value> {
        (result_id < 10).then(|| json!({ "result_id": result_id }))
    }

    fn find(&self, serial: &str) -> Option<Value> {
        serial.starts_with('A').then(|| json!({ "serial": serial }))
    }

    /// Lot 9 never ends.
    fn export(&self, _form: Export, pairs: &[(String, String)]) -> Result<Writing, Objection> {
        if !pairs.iter().any(|(name, value)| name == "lot" && value == "9") {
            return Err(Objection::Unavailable("there are no records here".to_owned()));
        }
        Ok(Box::new(|out| {
            loop {
                out.write_all(&[b'9'; 8192])?;
            }
        }))
    }
}

fn snapshot_running() -> Snapshot {
    Snapshot {
        at: Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros: 5_000_000 },
        line: "Line 4".into(),
        recipe: "bare-board".into(),
        model: "pcb@1".into(),
        phase: Phase::Running,
        run_permit: true,
        stop: None,
        last_stop: None,
        line_stop: LineStopView { armed: true, ..LineStopView::default() },
        counters: Counters { inspected: 9, pass: 8, reject: 1, ..Counters::default() },
        pieces: Vec::new(),
        charts: Vec::new(),
        readings: Vec::new(),
        plc: PlcView { link: Some(PlcLink::Up), line_running: true, ..PlcView::default() },
        backlog_entries: 0,
        kept: 12,
        decisions: DecisionsView::default(),
        made_of: Default::default(),
    }
}

/// A line that stopped because of a chart.
pub fn snapshot_stopped(seq: u16, phase: Phase) -> Snapshot {
    let running = snapshot_running();
    let mut reasons = StopReasons::default();
    reasons.insert(StopReason::SpcRule);
    let stop = StopView {
        seq,
        first: StopReason::SpcRule,
        detail: "paste_height: Nelson 1".into(),
        reasons,
        reaction: "Check the stencil.".into(),
        piece: Some(PieceId(9)),
        chart: 1,
        since: running.at,
        acknowledged_by: None,
        cause: String::new(),
        withheld: None,
    };
    Snapshot { phase, run_permit: false, stop: Some(stop), ..running }
}

fn some_health() -> Health {
    let part = |state| Part { state, detail: String::new() };
    let upload = UploadView { backend: "trace".into(), kept: 9, delivered: 7, waiting: 2, quarantined: 0, last_error: String::new() };
    Health {
        simulated: true,
        version: "0.1.0".into(),
        uptime_secs: 60,
        rss_mib: 100,
        camera: part(PartState::Good),
        model: part(PartState::Good),
        disk: part(PartState::Warning),
        uploads: vec![upload],
        latency: LatencyView { p50_micros: 20_000, p99_micros: 40_000, max_micros: 60_000, budget_micros: 80_000 },
        pictures: PicturesView {
            classes: vec![ClassView { class: "reject", count: 3, bytes: 3000 }],
            held_count: 1,
            held_bytes: 1000,
            bytes_max: 9000,
            removed: vec![("age", 2)],
            lost: 0,
        },
    }
}
