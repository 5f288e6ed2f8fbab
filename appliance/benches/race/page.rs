//! Two people at the page: each signs in, follows the live stream, and looks at the newest picture four times a second, as the
//! page does.

use crate::Done;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As `PERIOD_MILLIS` of the page's `parts/frame.js`.
const PICTURE_INTERVAL: Duration = Duration::from_millis(250);
const PASSWORD: &str = "a long enough password for two";

/// Somebody who looks.
pub struct Viewer {
    stop: Arc<AtomicBool>,
    states: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Makes the first person, and signs in; the cookie.
pub fn enter(address: &str, code: &str) -> Done<String> {
    let body = format!(r#"{{"code":"{code}","name":"viewer","password":"{PASSWORD}"}}"#);
    let mut stream = TcpStream::connect(address)?;
    let request = format!(
        "POST /api/v1/setup HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cookie = answer.lines().find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie:").then(|| line[11..].trim().to_owned()));
    let cookie = cookie.ok_or_else(|| format!("no sign-in: {}", answer.lines().next().unwrap_or_default()))?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

impl Viewer {
    pub fn open(address: &str, cookie: &str) -> Done<Self> {
        let (stop, states) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&states));
        let (address, cookie) = (address.to_owned(), cookie.to_owned());
        let thread = std::thread::Builder::new().name("viewer".to_owned()).spawn(move || {
            if let Err(error) = look(&address, &cookie, &told, &counted)
                && !told.load(Ordering::Relaxed)
            {
                eprintln!("a viewer has left: {error}");
            }
        })?;
        Ok(Self { stop, states, thread: Some(thread) })
    }

    /// States seen.
    pub fn states(&self) -> u64 {
        self.states.load(Ordering::Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn look(address: &str, cookie: &str, stop: &AtomicBool, states: &AtomicU64) -> Done<()> {
    let connect = || -> Done<BufReader<TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        Ok(BufReader::new(stream))
    };
    let ask = |path: &str| format!("GET /api/v1{path} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\r\n");
    let (mut stream, mut pictures) = (connect()?, connect()?);
    stream.get_mut().write_all(ask("/stream").as_bytes())?;
    let mut line = Vec::new();
    let mut asked: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Err("the stream has ended".into());
        }
        if line.starts_with(b"data:") {
            states.fetch_add(1, Ordering::Relaxed);
            if asked.is_none_or(|asked| asked.elapsed() >= PICTURE_INTERVAL) {
                asked = Some(Instant::now());
                pictures.get_mut().write_all(ask("/frame.jpg").as_bytes())?;
                answer(&mut pictures)?;
            }
        }
    }
    Ok(())
}

/// Reads one answer to its end.
fn answer(from: &mut BufReader<TcpStream>) -> Done<()> {
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err("the page has closed the connection".into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    Ok(from.read_exact(&mut body)?)
}
