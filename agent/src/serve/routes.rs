//! Routes: what can be asked, and what an answer means when there is nothing fresh to say.
use crate::export::{Format, dcgm};
use crate::publish::{Board, Published, describe};
use axum::Router;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use model::Snapshot;
use model::signal::SIGNALS;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};

/// Bytes of a request's body; nothing here needs one.
const BODY_MAX: usize = 1024;
/// From one sign of life on `/events` to the next.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Bytes of a question about placement.
const QUESTION_MAX: usize = 64 * 1024;

const INDEX: &str = "wattkeeper\n\n\
    /metrics                  Prometheus text 0.0.4 or OpenMetrics 1.0\n\
    /metrics/dcgm             NVIDIA GPUs under DCGM's names (?profile=dcgm-4.8 or dcgm-4.9)\n\
    /state                    the last snapshot as JSON\n\
    /events                   events as they are raised and cleared (server-sent events)\n\
    /incidents                events of one cause as one incident each, active ones first, as JSON\n\
    /energy                   energy by UTC day: accelerators, workloads, engines' tokens, as JSON\n\
    /signal                   every signal for autoscalers as JSON\n\
    /signal/<pool>/<signal>   one signal, for KEDA's metrics-api scaler (valueLocation: value)\n\
    /v1/interference          how each workload does beside its neighbours, as JSON\n\
    /v1/interference/predict  POST: how a workload and its neighbours would do, before it is placed\n\
    /healthz                  200 while the agent lives\n\
    /readyz                   200 while its data are fresh\n";

/// Every route over a board.
pub(super) fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/metrics", get(metrics))
        .route("/metrics/dcgm", get(metrics_dcgm))
        .route("/state", get(state))
        .route("/events", get(events))
        .route("/incidents", get(incidents))
        .route("/energy", get(energy))
        .route("/signal", get(signals))
        .route("/signal/{pool}/{signal}", get(signal))
        .route("/v1/interference", get(interference))
        .route("/v1/interference/predict", post(predict).layer(DefaultBodyLimit::max(QUESTION_MAX)))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(board)
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, axum_json(&json!({ "error": reason }))).into_response()
}

fn axum_json(value: &serde_json::Value) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n"))
}

/// The last snapshot, if it is fresh.
fn fresh(board: &Board) -> Result<Arc<Published>, Box<Response>> {
    match board.latest() {
        None => Err(Box::new(unavailable("no beat has ended yet"))),
        Some(published) if published.stale() => Err(Box::new(unavailable("the last beat is too old"))),
        Some(published) => Ok(published),
    }
}

async fn metrics(State(board): State<Arc<Board>>, headers: HeaderMap) -> Response {
    let Some(published) = board.latest() else { return unavailable("no beat has ended yet") };
    let format = Format::negotiate(text(&headers, &header::ACCEPT));
    let zipped = takes_gzip(&headers);
    page(published.metrics(format, zipped), format, zipped)
}

async fn metrics_dcgm(State(board): State<Arc<Board>>, uri: Uri, headers: HeaderMap) -> Response {
    let asked = uri.query().unwrap_or("").split('&').find_map(|pair| pair.strip_prefix("profile="));
    let profile = asked.map(dcgm::Profile::named);
    if profile == Some(None) {
        let text = json!({ "error": "there is no such profile", "profiles": dcgm::Profile::NAMES });
        return (StatusCode::BAD_REQUEST, axum_json(&text)).into_response();
    }
    let Some(published) = board.latest() else { return unavailable("no beat has ended yet") };
    let zipped = takes_gzip(&headers);
    page(published.dcgm(profile.flatten(), zipped), Format::Text, zipped)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    text(headers, &header::ACCEPT_ENCODING).split(',').any(|part| {
        let part = part.trim();
        part.starts_with("gzip") && !part.ends_with("q=0")
    })
}

fn page(page: Bytes, format: Format, zipped: bool) -> Response {
    let mut response =
        ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept, accept-encoding")], page)
            .into_response();
    if zipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    response
}

async fn state(State(board): State<Arc<Board>>) -> Response {
    match board.latest() {
        Some(published) => ([(header::CONTENT_TYPE, "application/json")], published.state()).into_response(),
        None => unavailable("no beat has ended yet"),
    }
}

async fn healthz(State(board): State<Arc<Board>>) -> Response {
    // A hung driver does not stop the beat; a beat that has stopped is a reason to be restarted.
    match board.latest() {
        Some(published) if published.dead() => unavailable("the beat has stopped"),
        _ => "ok\n".into_response(),
    }
}

async fn readyz(State(board): State<Arc<Board>>) -> Response {
    fresh(&board).map_or_else(|refusal| *refusal, |_| "ready\n".into_response())
}

async fn events(State(board): State<Arc<Board>>) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let changes = BroadcastStream::new(board.changes());
    let active = board.latest().map(|published| active(published.snapshot())).unwrap_or_default();
    let changes = changes.map(|change| match change {
        Ok(change) => Message::default().event("event").data(&*change),
        Err(_) => Message::default().event("lagged").data("changes were missed; read /state"),
    });
    let first =
        tokio_stream::iter(active.into_iter().map(|event| Message::default().event("event").data(event)));
    Sse::new(first.chain(changes).map(Ok)).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

async fn incidents(State(board): State<Arc<Board>>) -> Response {
    match board.latest() {
        Some(published) => axum_json(&crate::publish::incidents(published.snapshot())).into_response(),
        None => unavailable("no beat has ended yet"),
    }
}

async fn energy(State(board): State<Arc<Board>>) -> Response {
    match board.energy() {
        // Every part of it serialises.
        Some(book) => axum_json(&serde_json::to_value(&*book).unwrap_or_default()).into_response(),
        None => unavailable("no energy was counted yet"),
    }
}

async fn interference(State(board): State<Arc<Board>>) -> Response {
    match fresh(&board) {
        Ok(published) => axum_json(&super::interference::workloads(published.snapshot())).into_response(),
        Err(refusal) => *refusal,
    }
}

async fn predict(State(board): State<Arc<Board>>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(refusal) => {
            let text = json!({ "error": format!("the body is {QUESTION_MAX} bytes at most: {refusal}") });
            return (refusal.status(), axum_json(&text)).into_response();
        }
    };
    let published = match fresh(&board) {
        Ok(published) => published,
        Err(refusal) => return *refusal,
    };
    match super::interference::predict(published.snapshot(), &body) {
        Ok(answer) => axum_json(&answer).into_response(),
        Err(fault) => {
            let status = if fault.unknown() { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            (status, axum_json(&json!({ "error": fault.to_string() }))).into_response()
        }
    }
}

fn active(snapshot: &Snapshot) -> Vec<String> {
    snapshot.events.iter().filter(|event| event.active()).map(|event| describe(event, snapshot)).collect()
}

async fn signals(State(board): State<Arc<Board>>) -> Response {
    match fresh(&board) {
        Ok(published) => axum_json(&json!(published.snapshot().signals)).into_response(),
        Err(refusal) => *refusal,
    }
}

async fn signal(State(board): State<Arc<Board>>, Path((pool, name)): Path<(String, String)>) -> Response {
    let published = match fresh(&board) {
        Ok(published) => published,
        Err(refusal) => return *refusal,
    };
    let snapshot = published.snapshot();
    let found = snapshot.signals.iter().find(|signal| signal.pool == pool);
    if found.is_none() || !SIGNALS.iter().any(|(known, _)| *known == name) {
        let pools: Vec<_> = snapshot.signals.iter().map(|signal| &signal.pool).collect();
        let names: Vec<_> = SIGNALS.iter().map(|(known, _)| known).collect();
        let text =
            json!({ "error": format!("there is no signal {pool}/{name}"), "pools": pools, "signals": names });
        return (StatusCode::NOT_FOUND, axum_json(&text)).into_response();
    }
    match found.and_then(|signal| signal.values.get(&name)) {
        Some(value) => {
            let at_ms = snapshot.frame.at.wall_ms;
            axum_json(&json!({ "value": value, "pool": pool, "signal": name, "at_ms": at_ms, "rig": snapshot.node.rig })).into_response()
        }
        None => unavailable("what the signal is made of cannot be read now"),
    }
}
