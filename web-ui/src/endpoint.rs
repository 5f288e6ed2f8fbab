//! A plain HTTP server for whoever answers requests without knowing about HTTP libraries (the embedded backend does).
//!
//! Invariants: a body larger than the limit never reaches the endpoint (413); each answer runs on the blocking pool, so
//! that one that is held back does not hold back others. An endpoint that panics costs its own answer (500), or the process
//! where panics abort.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A peer has this long to send its whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Method in capitals, for example `POST`.
    pub method: String,
    /// Path as sent (still percent-encoded), for example `/capture`.
    pub path: String,
    /// What follows the `?`, without it; empty if nothing does.
    pub query: String,
    /// Headers in the order of arrival, names in lowercase. A value that is not ASCII is left out.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, 200…599.
    pub status: u16,
    /// Headers besides the length, which is set by the server.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Whoever answers.
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request. May block; several run at the same time.
    fn answer(&self, ask: Ask) -> Answer;
}

/// Serves `endpoint` on `listener` until `stop`. Bodies larger than `body_limit` bytes are refused with 413.
/// The only error is a listener that cannot accept any more.
pub async fn serve(
    listener: TcpListener,
    endpoint: Arc<dyn Endpoint>,
    body_limit: usize,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new().fallback(answer).with_state(Desk { endpoint, body_limit });
    crate::server::serve(listener, router, stop).await
}

#[derive(Clone)]
struct Desk {
    endpoint: Arc<dyn Endpoint>,
    body_limit: usize,
}

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, desk.body_limit)).await {
        Ok(Ok(body)) => body.to_vec(),
        Ok(Err(error)) => return refuse_body(&error),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time").into_response(),
    };
    let headers =
        parts.headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    let ask = Ask {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
    };
    let endpoint = desk.endpoint;
    match tokio::task::spawn_blocking(move || endpoint.answer(ask)).await {
        Ok(answer) => respond(answer),
        Err(error) => {
            tracing::error!(%error, "the endpoint failed on a request");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Too large and broken off are different mistakes: the first has a mend, the second is the network's.
fn refuse_body(error: &axum::Error) -> Response {
    if is_too_large(error) {
        (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this server takes").into_response()
    } else {
        (StatusCode::BAD_REQUEST, "the body broke off").into_response()
    }
}

/// True if reading a body failed because it exceeds its limit.
pub(crate) fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        tracing::error!(status = answer.status, "the endpoint answered with a status that does not exist");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        match (HeaderName::try_from(&name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => tracing::error!(header = %name, "the endpoint answered with a header that cannot be sent"),
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Answers with what it was asked; `/held` waits until the test lets it go.
    struct Echo {
        entered: Mutex<Sender<()>>,
        gate: Mutex<Receiver<()>>,
    }

    impl Endpoint for Echo {
        fn answer(&self, ask: Ask) -> Answer {
            if ask.path == "/held" {
                self.entered.lock().unwrap().send(()).unwrap();
                self.gate.lock().unwrap().recv().unwrap();
            }
            assert_ne!(ask.path, "/panic", "asked to");
            let length = ask.headers.iter().find(|(name, _)| name == "x-mixed").map(|(_, value)| value.clone());
            let text = format!("{} {} {} {:?} {}", ask.method, ask.path, ask.query, length, ask.body.len());
            Answer { status: 201, headers: vec![("x-made".into(), "yes".into())], body: text.into_bytes() }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_while_another_answer_is_held_and_refuses_large_bodies() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (entered, was_entered) = channel();
        let (let_go, gate) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let echo = Arc::new(Echo { entered: Mutex::new(entered), gate: Mutex::new(gate) });
        let server = tokio::spawn(serve(listener, echo, 1000, async move {
            drop(stopped.await);
        }));
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let held = std::thread::spawn({
                let (agent, url) = (agent.clone(), format!("{base}/held"));
                move || agent.get(url).call().unwrap().status().as_u16()
            });
            was_entered.recv().unwrap();
            let mut answer = agent.post(format!("{base}/capture?a=1%20b")).header("X-Mixed", "v").send(&[7_u8; 1000][..]).unwrap();
            assert_eq!(answer.status().as_u16(), 201);
            assert_eq!(answer.headers()["x-made"], "yes");
            assert_eq!(answer.body_mut().read_to_string().unwrap(), "POST /capture a=1%20b Some(\"v\") 1000");
            assert_eq!(agent.post(format!("{base}/capture")).send(&[7_u8; 1001][..]).unwrap().status().as_u16(), 413);
            assert_eq!(agent.get(format!("{base}/panic")).call().unwrap().status().as_u16(), 500);
            let_go.send(()).unwrap();
            assert_eq!(held.join().unwrap(), 201);
        })
        .await
        .unwrap();
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
