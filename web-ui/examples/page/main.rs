//! The page in front of a made-up line, for looking at it: `cargo run -p web-ui --example page`.
//!
//! Nothing is inspected here. The line, its pictures and its numbers are invented, and the page says so.
//! `-- --set-up` starts without anybody, as on the very first run; `-- --calm` never stops.

mod made_up;

use made_up::MadeUpLine;
use station::action::Role;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use web_ui::{Page, PageSettings, Refused, Sources};

/// Decisions on their way to the made-up line.
const DECISIONS: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let folder = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;

    let mut line = MadeUpLine::new(asked("--calm"));
    let (snapshots, latest) = watch::channel(Arc::new(line.snapshot()));
    let (health, latest_health) = watch::channel(Arc::new(line.health()));
    let (decide, mut decisions) = mpsc::channel(DECISIONS);
    let album = line.album();
    let sources = Sources {
        snapshots: latest,
        health: latest_health,
        pictures: Arc::clone(&album) as _,
        records: album as _,
        decide: Arc::new(move |request| decide.try_send(request).map_err(|_| Refused::Busy)),
    };
    let page = Page::new(PageSettings::new(listener.local_addr()?, folder.path().join("users.json")), sources)?;
    let mut out = std::io::stdout();
    writeln!(out, "page: http://{}/", listener.local_addr()?)?;
    if asked("--set-up") {
        writeln!(out, "set-up code: {}", page.setup_code().unwrap_or_default())?;
    } else {
        page.users().add("supervisor", Role::Supervisor, "seven grey boards")?;
        page.users().add("engineer", Role::Engineer, "seven grey boards")?;
        writeln!(out, "sign in: supervisor / seven grey boards, or engineer with the same")?;
    }
    out.flush()?;

    let mut cycle = tokio::time::interval(Duration::from_millis(600));
    let moving = async move {
        loop {
            tokio::select! {
                _ = cycle.tick() => line.step(),
                Some(request) = decisions.recv() => line.take(request),
            }
            snapshots.send_replace(Arc::new(line.snapshot()));
            health.send_replace(Arc::new(line.health()));
        }
    };
    tokio::select! {
        served = web_ui::serve(page, listener, std::future::pending()) => served?,
        () = moving => {}
    }
    Ok(())
}
