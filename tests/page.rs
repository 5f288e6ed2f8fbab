//! The page in a real browser before the real binary: sign in, see pieces pass, see the line stop, acknowledge with a
//! cause, release, and see it run again — on the touch screen's size, in both languages, and on a phone.
//!
//! The pictures it takes lie in `target/screenshots` afterwards.

#![expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]

use fantoccini::elements::Element;
use fantoccini::wd::TimeoutConfiguration;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use line_tests::binary::Running;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// An answer of the page on a machine that builds something else beside.
const SOON: Duration = Duration::from_secs(30);

/// Forty pieces, the step, and the points until a rule sees it, at one piece per second.
const UNTIL_STOP: Duration = Duration::from_secs(240);

/// The first start reads a model and makes a data folder.
const START: Duration = Duration::from_secs(120);

struct Demo {
    address: String,
    name: String,
    password: String,
    _running: Running,
}

fn demo(folder: &Path) -> Demo {
    let data = folder.join("data").display().to_string();
    let asked = ["demo", "--listen", "127.0.0.1:0", "--seed", "7", "--inject", "step:paste_height=8@40", "--data", &data];
    let running = Running::start(&asked);
    let address = running.wait_line("page: ", START);
    let person = running.wait_line("sign in: ", START);
    let (name, password) = person.split_once(" / ").unwrap();
    Demo { address, name: name.to_owned(), password: password.to_owned(), _running: running }
}

/// A browser whose page is `width` × `height` pixels large.
struct Browser {
    client: Client,
    shots: PathBuf,
    port: u16,
    session: String,
    _driver: Running,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    /// A driver that is killed leaves its browser behind, so the session is ended first, also when the test has failed.
    fn drop(&mut self) {
        let end = || -> std::io::Result<()> {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
            socket.set_read_timeout(Some(SOON))?;
            write!(socket, "DELETE /session/{} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", self.session)?;
            socket.read_exact(&mut [0])
        };
        if let Err(error) = end() {
            eprintln!("the browser could not be closed: {error}");
        }
    }
}

impl Browser {
    async fn open(width: u32, height: u32, touch: bool) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        let driver = Running::of(command);
        let port = driver.wait_line("ChromeDriver was started successfully on port ", SOON);
        let port = port.trim_end_matches('.').parse().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let folder = profile.path().display();
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 1, "touch": touch, "mobile": touch });
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en",
            &format!("--user-data-dir={folder}"),
        ];
        let options = json!({ "args": arguments, "mobileEmulation": { "deviceMetrics": metrics } });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities([("goog:chromeOptions".to_owned(), options)].into_iter().collect());
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        let timeouts = TimeoutConfiguration::new(Some(2 * SOON), Some(2 * SOON), None);
        client.update_timeouts(timeouts).await.unwrap();
        // The test program lies in `target/debug/deps`.
        let shots = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("screenshots");
        std::fs::create_dir_all(&shots).unwrap();
        let session = client.session_id().await.unwrap().unwrap();
        Self { client, shots, port, session, _driver: driver, _profile: profile }
    }

    /// The element, as soon as it is there.
    async fn see(&self, css: &str, within: Duration) -> Element {
        let found = self.client.wait().at_most(within).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("`{css}` did not appear within {within:?}: {error}"))
    }

    async fn press(&self, css: &str) {
        self.see(css, SOON).await.click().await.unwrap();
    }

    async fn write(&self, css: &str, text: &str) {
        self.see(css, SOON).await.send_keys(text).await.unwrap();
    }

    async fn text(&self, css: &str) -> String {
        self.see(css, SOON).await.text().await.unwrap()
    }

    async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Waits until an expression is true, looking ten times a second from inside the page.
    async fn until(&self, expression: &str, within: Duration) {
        let script = format!(
            "const done = arguments[1], end = performance.now() + arguments[0];\
             const look = () => {{ if ({expression}) done(true); else if (performance.now() > end) done(false); else setTimeout(look, 100); }}; look();"
        );
        let millis = u64::try_from(within.as_millis()).unwrap();
        let seen = self.client.execute_async(&script, vec![json!(millis)]).await.unwrap();
        assert_eq!(seen, json!(true), "not within {within:?}: {expression}");
    }

    /// The station's snapshot, as the page's own session may read it.
    async fn snapshot(&self) -> Value {
        let script = "const done = arguments[0]; fetch('/api/v1/snapshot').then((answer) => answer.json()).then(done);";
        self.client.execute_async(script, vec![]).await.unwrap()
    }

    async fn shoot(&self, name: &str) {
        std::fs::write(self.shots.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }

    async fn sign_in(&self, demo: &Demo) {
        self.write("#name", &demo.name).await;
        self.write("#password", &demo.password).await;
        self.press("#enter").await;
        self.see(".bar", SOON).await;
    }
}

fn inspected(snapshot: &Value) -> u64 {
    snapshot["counters"]["inspected"].as_u64().unwrap()
}

#[tokio::test]
async fn a_person_sees_the_line_stop_and_lets_it_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo(folder.path());
    let browser = Browser::open(1280, 800, false).await;
    browser.client.goto(&demo.address).await.unwrap();

    browser.write("#name", &demo.name).await;
    browser.write("#password", "not the password").await;
    browser.press("#enter").await;
    browser.until("document.querySelector('.error').textContent.includes('wrong')", SOON).await;
    browser.client.refresh().await.unwrap();
    browser.sign_in(&demo).await;

    pieces_pass(&browser).await;
    let seq = the_line_stops(&browser).await;
    somebody_acknowledges(&browser).await;
    it_runs_again(&browser, &seq).await;
    a_phone_shows_it_too(&demo).await;

    browser.press("#sign-out").await;
    browser.see("#password", SOON).await;
    browser.client.refresh().await.unwrap();
    browser.see("#password", SOON).await;
}

async fn pieces_pass(browser: &Browser) {
    browser.see(".line .piece-chip[data-verdict='pass']", SOON).await;
    browser.until("document.querySelector('.frame figcaption strong').textContent.match(/\\d/)", SOON).await;
    assert_eq!(browser.text("#permit").await, "RUNNING");
    assert!(browser.see("#simulated", SOON).await.is_displayed().await.unwrap(), "a simulated line says so");
    let before = inspected(&browser.snapshot().await);
    browser.until(&format!("Number(document.querySelector('#count-inspected dd').textContent) > {before}"), SOON).await;
    let scrolls = "return document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth";
    assert_eq!(browser.ask(scrolls).await, json!(false), "everything is on the screen");
    browser.shoot("line").await;

    browser.press("#language").await;
    browser.until("document.querySelector('#permit')?.textContent === '运行'", SOON).await;
    browser.shoot("line-zh").await;
    browser.press("#language").await;
    browser.until("document.querySelector('#permit')?.textContent === 'RUNNING'", SOON).await;
}

async fn the_line_stops(browser: &Browser) -> Value {
    let snapshot = loop {
        browser.see("#stop", UNTIL_STOP).await;
        let snapshot = browser.snapshot().await;
        // On a machine that is busy with other things the line may stop for that first; a person deals with it and waits on.
        if !["plc_link", "deadline_misses"].contains(&snapshot["stop"]["first"].as_str().unwrap_or_default()) {
            break snapshot;
        }
        acknowledge(browser, "other", "a crowded machine").await;
        browser.press("#release:enabled").await;
        browser.until("document.querySelector('#line')", SOON).await;
    };
    assert_eq!((&snapshot["phase"], &snapshot["run_permit"]), (&json!("stopped"), &json!(false)));
    assert_eq!(browser.text("#stop-reason").await, "A control chart signals");
    assert!(browser.text(".stop-detail").await.contains("paste_height"));
    browser.see("#evidence-chart path.hit", SOON).await;
    browser.until("document.querySelector('.evidence .frame-empty')?.hidden", SOON).await;
    browser.shoot("stop").await;
    snapshot["stop"]["seq"].clone()
}

async fn somebody_acknowledges(browser: &Browser) {
    assert!(!browser.see("#release", SOON).await.is_enabled().await.unwrap(), "nobody releases before the acknowledgement");
    browser.press("#acknowledge").await;
    browser.until("document.querySelector('.acknowledge-form .error').textContent.includes('cause')", SOON).await;
    assert_eq!(browser.snapshot().await["phase"], "stopped", "not without a cause");

    acknowledge(browser, "machine", "squeegee worn").await;
    assert!(browser.text("#acknowledged").await.contains("squeegee worn"));
    let snapshot = browser.snapshot().await;
    assert_eq!((&snapshot["phase"], &snapshot["run_permit"]), (&json!("acknowledged"), &json!(false)));
    browser.shoot("acknowledged").await;
}

async fn acknowledge(browser: &Browser, cause: &str, text: &str) {
    browser.press(&format!(".choice input[value='{cause}']")).await;
    browser.write("#cause-text", text).await;
    browser.write("#corrective-action", "looked after").await;
    browser.press("#acknowledge").await;
    browser.until("document.querySelector('#acknowledged')?.hidden === false", SOON).await;
}

/// The shifted process may stop the line again soon; that it ran in between is in the snapshot.
async fn it_runs_again(browser: &Browser, seq: &Value) {
    let before = inspected(&browser.snapshot().await);
    browser.press("#release").await;
    let deadline = std::time::Instant::now() + SOON;
    let snapshot = loop {
        let snapshot = browser.snapshot().await;
        if snapshot["last_stop"]["seq"] == *seq && inspected(&snapshot) > before {
            break snapshot;
        }
        assert!(std::time::Instant::now() < deadline, "no piece was inspected after the release");
    };
    assert_eq!(snapshot["last_stop"]["cause"], "machine: squeegee worn");
    browser.shoot("released").await;
}

async fn a_phone_shows_it_too(demo: &Demo) {
    let phone = Browser::open(390, 844, true).await;
    phone.client.goto(&demo.address).await.unwrap();
    phone.sign_in(demo).await;
    phone.see("main.line, main.stop", SOON).await;
    let wide = "return document.documentElement.scrollWidth > innerWidth";
    assert_eq!(phone.ask(wide).await, json!(false), "nothing lies beside the screen");
    let small = "return [...document.querySelectorAll('button, input')].filter((one) => one.offsetParent)\
        .map((one) => (one.closest('label') ?? one).getBoundingClientRect()).filter((one) => one.height < 44).length";
    assert_eq!(phone.ask(small).await, json!(0), "a finger hits everything");
    phone.shoot("phone").await;
}
