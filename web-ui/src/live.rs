//! The live stream: server-sent events with the whole state, latest wins.
//!
//! Invariants: a state is encoded once, however many look at it, and at most [`RATE_PERIOD`] apart; a stream that cannot
//! keep up skips states; the number of streams is bounded; a stream ends with the session that opened it.

use crate::auth::{Looking, Use, token};
use crate::health::Health;
use crate::page::Shared;
use crate::problem::Problem;
use crate::sources::Sources;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use station::snapshot::Snapshot;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

/// Streams at one time. One costs a task and one state on its way (some 100 KiB); a further browser is told to try later.
pub(crate) const STREAMS_MAX: usize = 32;

/// Five states a second are more than an eye reads.
const RATE_PERIOD: Duration = Duration::from_millis(200);

/// When nothing changes, a beat this often tells the page that the connection lives and how old the snapshot is.
const BEAT_PERIOD: Duration = Duration::from_secs(1);

/// What streams send.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Snapshot and health as JSON; `None` while nobody looks.
    state: Option<Arc<str>>,
    /// When the snapshot last changed.
    changed: Instant,
    /// Nothing more will come.
    over: bool,
}

#[derive(Serialize)]
struct Whole<'a> {
    snapshot: &'a Snapshot,
    health: &'a Health,
}

impl Live {
    /// Before anything has changed.
    pub(crate) fn fresh() -> Self {
        Self { state: None, changed: Instant::now(), over: false }
    }

    /// Age of the snapshot.
    pub(crate) fn age(&self) -> Duration {
        self.changed.elapsed()
    }
}

fn state(sources: &Sources) -> Arc<str> {
    let (snapshot, health) = (Arc::clone(&sources.snapshots.borrow()), Arc::clone(&sources.health.borrow()));
    match serde_json::to_string(&Whole { snapshot: &snapshot, health: &health }) {
        Ok(text) => text.into(),
        Err(error) => {
            tracing::error!(%error, "a snapshot cannot be written as JSON; the page shows nothing new");
            "null".into()
        }
    }
}

/// Turns snapshots into states until `stop`, then ends every stream.
pub(crate) async fn encode(sources: &Sources, live: &watch::Sender<Live>, stop: impl Future<Output = ()>) {
    let mut sources = sources.clone();
    let mut stop = std::pin::pin!(stop);
    let mut changed = Instant::now();
    loop {
        tokio::select! {
            () = &mut stop => break,
            snapshot = next(&mut sources.snapshots) => if snapshot { changed = Instant::now() },
            _ = next(&mut sources.health) => {}
        }
        // What has changed in the meantime is in the same state.
        if sources.snapshots.has_changed().unwrap_or(false) {
            sources.snapshots.mark_unchanged();
            changed = Instant::now();
        }
        sources.health.mark_unchanged();
        let state = (live.receiver_count() > 0).then(|| state(&sources));
        live.send_replace(Live { state, changed, over: false });
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(RATE_PERIOD) => {}
        }
    }
    live.send_modify(|live| live.over = true);
}

/// Waits for a change. A source that has ended never changes again.
async fn next<T>(source: &mut watch::Receiver<T>) -> bool {
    if source.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    true
}

/// `GET /stream`
pub(crate) async fn stream(_: Looking, State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Problem> {
    let slot = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        tracing::warn!(streams = STREAMS_MAX, "a live stream was refused: too many are open");
        Problem::busy("too_many_streams", "too many pages are open")
    })?;
    let token = token(&headers).ok_or_else(Problem::not_signed_in)?.to_owned();
    let mut states = shared.live.subscribe();
    // The first event is made for this viewer alone; whatever changes from here on is in the next one.
    states.mark_changed();
    let viewer = Viewer { shared, token, states, ended: false, _slot: slot };
    let events = futures_util::stream::unfold(viewer, |mut viewer| async move {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

struct Viewer {
    shared: Arc<Shared>,
    token: String,
    states: watch::Receiver<Live>,
    ended: bool,
    _slot: OwnedSemaphorePermit,
}

impl Viewer {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let changed = tokio::time::timeout(BEAT_PERIOD, self.states.changed()).await;
        if self.shared.sessions.person(&self.token, Use::Look, Instant::now()).is_none() {
            self.ended = true;
            return Some(Event::default().event("signed_out").data("{}"));
        }
        let live = self.states.borrow_and_update().clone();
        if live.over || matches!(changed, Ok(Err(_))) {
            self.ended = true;
            return Some(Event::default().event("over").data("{}"));
        }
        let age_millis = live.age().as_millis();
        Some(if changed.is_ok() {
            let state = live.state.unwrap_or_else(|| state(&self.shared.sources));
            Event::default().event("state").data(format!(r#"{{"age_millis":{age_millis},"state":{state}}}"#))
        } else {
            Event::default().event("beat").data(format!(r#"{{"age_millis":{age_millis}}}"#))
        })
    }
}
