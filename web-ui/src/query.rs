//! Questions to all records: a page at a time, a count, and the whole answer as a download.
//!
//! Invariants: questions wait for each other, downloads for each other, nobody else for either; a download is held up by
//! whoever reads it and holds nothing but its own slot, which it loses when nobody reads any more. What a parameter means is known
//! to whoever answers ([`crate::sources::Records`]); here it only comes off the address.

use crate::auth::Looking;
use crate::page::Shared;
use crate::problem::Problem;
use crate::sources::{Export, Objection, Records, Writing};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A question or a download waits this long for the one before it.
const WAIT: Duration = Duration::from_secs(10);
/// Pieces of a download on their way: 64 kB each.
const CHUNKS: usize = 4;
/// Bytes of one of them.
const CHUNK: usize = 64 * 1024;
/// Whoever downloads has this long to take the next piece.
const STALLED: Duration = Duration::from_secs(30);

/// The parameters of an address.
pub(crate) type Pairs = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

/// `GET /records`: everybody who is signed in.
pub(crate) async fn page(_: Looking, State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Problem> {
    let (records, pairs) = (Arc::clone(&shared.sources.records), read(pairs)?);
    answer(&shared, move || records.query(&pairs)).await
}

/// `GET /records/count`: everybody who is signed in.
pub(crate) async fn count(_: Looking, State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Problem> {
    let (records, pairs) = (Arc::clone(&shared.sources.records), read(pairs)?);
    answer(&shared, move || records.count(&pairs)).await
}

/// `GET /records.csv`: everybody who is signed in.
pub(crate) async fn csv(_: Looking, State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Problem> {
    download(&shared, Export::Csv, read(pairs)?).await
}

/// `GET /records.epcis.json`: everybody who is signed in.
pub(crate) async fn epcis(_: Looking, State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Problem> {
    download(&shared, Export::Epcis, read(pairs)?).await
}

/// The parameters as names and values.
pub(crate) fn read(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    let mend = "write it as ?name=value&name=value, with %20 for a space";
    pairs.map(|Query(pairs)| pairs).map_err(|_| Problem::invalid("parameters", "the parameters of the address cannot be read", mend))
}

async fn answer(shared: &Shared, ask: impl FnOnce() -> Result<serde_json::Value, Objection> + Send + 'static) -> Result<Response, Problem> {
    told(shared.questions.run_within(WAIT, ask).await?)
}

/// An answer, or why there is none.
pub(crate) fn told(answer: Result<serde_json::Value, Objection>) -> Result<Response, Problem> {
    answer.map(|answer| Json(answer).into_response()).map_err(problem)
}

async fn download(shared: &Shared, form: Export, pairs: Vec<(String, String)>) -> Result<Response, Problem> {
    let records: Arc<dyn Records> = Arc::clone(&shared.sources.records);
    let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let (told, tell) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let pool = shared.downloads.clone();
    // The slot is held until the last byte is out; whether there is an answer at all is told as soon as that is known.
    let work = async move {
        let written = pool.run_within(WAIT, move || match records.export(form, &pairs) {
            Ok(writing) => {
                if told.send(Ok(())).is_ok() {
                    write_out(writing, sender, runtime);
                }
            }
            Err(objection) => drop(told.send(Err(objection))),
        });
        written.await.err()
    };
    let busy = tokio::spawn(work);
    match tell.await {
        Ok(Ok(())) => {}
        Ok(Err(objection)) => return Err(problem(objection)),
        // It never began, and says why.
        Err(_) => return Err(busy.await.ok().flatten().unwrap_or_else(Problem::internal)),
    }
    let body = Body::from_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
    let (kind, disposition) = match form {
        Export::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"records.csv\""),
        Export::Epcis => ("application/ld+json", "attachment; filename=\"records.epcis.json\""),
    };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    Ok(response)
}

fn write_out(writing: Writing, sender: mpsc::Sender<io::Result<Bytes>>, runtime: tokio::runtime::Handle) {
    let mut pipe = io::BufWriter::with_capacity(CHUNK, Pipe { sender: sender.clone(), runtime });
    if let Err(error) = writing(&mut pipe).and_then(|()| pipe.flush()) {
        tracing::warn!(%error, "a download ended early");
        // Cut off instead of ended well, so that nobody takes a part for the whole.
        drop(sender.try_send(Err(error)));
    }
}

/// Bytes on their way to whoever downloads.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: tokio::runtime::Handle,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.sender.send_timeout(Ok(Bytes::copy_from_slice(bytes)), STALLED);
        self.runtime.block_on(sent).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn problem(objection: Objection) -> Problem {
    match objection {
        Objection::Wrong { parameter, error, mend } => Problem::parameter(parameter, error, mend),
        Objection::Unavailable(error) => Problem::busy("records_unavailable", error),
    }
}
