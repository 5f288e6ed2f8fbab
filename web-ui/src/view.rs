//! What people and machines may look at.

use crate::auth::Looking;
use crate::page::Shared;
use crate::problem::Problem;
use crate::sources::Picture;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use station::snapshot::Phase;
use std::sync::Arc;

/// Longest serial that is looked up: JMAP carries 32 characters.
const SERIAL_CHARS_MAX: usize = 64;

/// Names the piece on a frame, so that the page can put the right boxes on it.
const PIECE: HeaderName = HeaderName::from_static("x-piece");
const SHRINK: HeaderName = HeaderName::from_static("x-shrink");
const CAMERA: HeaderName = HeaderName::from_static("x-camera");

/// `GET /snapshot`
pub(crate) async fn snapshot(_: Looking, State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = Arc::clone(&shared.sources.snapshots.borrow());
    Json(&*snapshot).into_response()
}

/// `GET /health`
pub(crate) async fn health(_: Looking, State(shared): State<Arc<Shared>>) -> Response {
    let health = Arc::clone(&shared.sources.health.borrow());
    Json(&*health).into_response()
}

/// `GET /frame.jpg`: the latest frame; 304 if the caller has it.
pub(crate) async fn latest_frame(_: Looking, State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Problem> {
    let pictures = Arc::clone(&shared.sources.pictures);
    let latest = shared.lookups.run(move || pictures.latest()).await?;
    let picture = latest.ok_or_else(|| Problem::not_found("frame yet"))?;
    Ok(jpeg(&picture, &headers))
}

/// `GET /pieces/{result_id}/frame.jpg`
pub(crate) async fn piece_frame(
    _: Looking,
    State(shared): State<Arc<Shared>>,
    result_id: Result<Path<u64>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(result_id) = result_id.map_err(|_| Problem::not_found("such piece"))?;
    let pictures = Arc::clone(&shared.sources.pictures);
    let found = shared.lookups.run(move || pictures.of(result_id).ok_or_else(|| pictures.gone(result_id))).await?;
    let picture = found.map_err(|why| match why {
        Some(why) => Problem::picture_gone(&why),
        None => Problem::not_found("frame of this piece (any more)"),
    })?;
    Ok(jpeg(&picture, &headers))
}

/// `GET /panel.png`
pub(crate) async fn panel(_: Looking, State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let pictures = Arc::clone(&shared.sources.pictures);
    let panel = shared.lookups.run(move || pictures.panel()).await?;
    let png = panel.ok_or_else(|| Problem::not_found("panel at this appliance"))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png.to_vec()).into_response())
}

/// `GET /pieces/{result_id}`
pub(crate) async fn piece(
    _: Looking,
    State(shared): State<Arc<Shared>>,
    result_id: Result<Path<u64>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Problem> {
    let Path(result_id) = result_id.map_err(|_| Problem::not_found("such piece"))?;
    let records = Arc::clone(&shared.sources.records);
    let record = shared.lookups.run(move || records.piece(result_id)).await?;
    record.map(|record| Json(record).into_response()).ok_or_else(|| Problem::not_found("record of this piece"))
}

/// What to search pieces by.
#[derive(Deserialize)]
pub(crate) struct Search {
    serial: Option<String>,
}

/// `GET /pieces?serial=`
pub(crate) async fn find_piece(
    _: Looking,
    State(shared): State<Arc<Shared>>,
    search: Result<Query<Search>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let serial = search.ok().and_then(|Query(search)| search.serial).unwrap_or_default();
    let serial = serial.trim().to_owned();
    if serial.is_empty() || serial.chars().count() > SERIAL_CHARS_MAX {
        return Err(Problem::invalid("serial", "a serial has 1 to 64 characters", "give it as `?serial=`"));
    }
    let records = Arc::clone(&shared.sources.records);
    let record = shared.lookups.run(move || records.find(&serial)).await?;
    record.map(|record| Json(record).into_response()).ok_or_else(|| Problem::not_found("piece with this serial"))
}

/// `GET /livez`: this server answers.
pub(crate) async fn live() -> &'static str {
    "live\n"
}

/// `GET /readyz`: the station has started; a stopped line is still ready to be looked at.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.sources.snapshots.borrow().phase == Phase::Starting {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

fn jpeg(picture: &Picture, asked: &HeaderMap) -> Response {
    // Of one piece each camera of a frame set has a picture.
    let camera = picture.camera.as_deref();
    let tag = camera.map_or_else(|| format!("\"{}\"", picture.piece), |camera| format!("\"{} {camera}\"", picture.piece));
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == tag.as_bytes());
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { picture.jpeg.to_vec().into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(PIECE, HeaderValue::from(picture.piece.0));
    headers.insert(SHRINK, HeaderValue::from(picture.shrink));
    if let Some(camera) = camera.and_then(|camera| HeaderValue::from_str(camera).ok()) {
        headers.insert(CAMERA, camera);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
