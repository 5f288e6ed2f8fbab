//! What is left of a request's body when it is answered: read to its end, or the connection is said to end.
//!
//! Most refusals are made without looking at the body (nobody is signed in, the role is too small, the body is too large).
//! The HTTP library then takes only what has arrived by that moment and hangs up on the rest, although the answer it sent
//! promises to go on: a peer whose body comes a moment later than its head finds its next request cut off.
//!
//! Invariant: an answer after which the connection ends says so (`Connection: close`, RFC 9112 §9.6), and only a peer that
//! sends more than [`REST_MAX`] bytes, or does not send them within [`REST_TIME`], loses its connection.

use axum::http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// So much of a refused body is thrown away to keep the connection: four times the largest body the page takes.
const REST_MAX: usize = 64 * 1024;

/// A peer has this long to send the rest of a body that nobody wants. The answer waits so long at most.
const REST_TIME: Duration = Duration::from_secs(1);

/// A body that is put back when whoever reads it stops before its end.
pub(crate) struct Lent {
    body: Option<Incoming>,
    desk: Desk,
}

/// Where a body lies that was not read to its end.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Option<Incoming>>>);

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.desk.0.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

/// Answers `request` with `service`, then sees to what is left of its body.
pub(crate) async fn settle<F, B, E>(request: Request<Incoming>, service: impl FnOnce(Request<Lent>) -> F) -> Result<Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    // Such a peer waits for a word before it sends its body: without one it never comes, and to ask for it would be a waste.
    let holds_back = parts.headers.contains_key(header::EXPECT);
    let desk = Desk::default();
    let lent = Lent { body: Some(body), desk: desk.clone() };
    let mut response = service(Request::from_parts(parts, lent)).await?;
    let left = desk.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let read = match left {
        Some(body) => body.is_end_stream() || (!holds_back && matches!(tokio::time::timeout(REST_TIME, drain(body)).await, Ok(true))),
        // Still lent out: somebody reads it beside the answer, and nobody can say how far.
        None => !has_body,
    };
    if !read {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Throws the rest of a body away; false if it is too long or broke off.
async fn drain(mut body: Incoming) -> bool {
    let mut rest = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        rest += frame.data_ref().map_or(0, Bytes::len);
        if rest > REST_MAX {
            return false;
        }
    }
    true
}
