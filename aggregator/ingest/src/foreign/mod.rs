// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Foreign sensors: EVE from existing Suricata installations over HTTPS, `POST /v1/eve`, answered when it is durable.
//!
//! Who sends is said by a bearer token of kind `eve` or by a sensor's certificate; whose the events are, by the register. A
//! foreign event goes the way of our own: allow-list ([`release`]), extraction, quarantine, lane. It has no number, so its
//! id is made here: of its content, or, where the sender gives an `Idempotency-Key`, of key, whole body and position. The
//! store is asked for these ids first, one request of a sender after the other, so that what is sent again is stored once.
//!
//! Must never answer 200 for what is not durable, or take an owner from the sender. Limits: those of [`body`];
//! [`MAX_REQUESTS`], [`MAX_KEY`], [`HEAD_BYTES`], [`HEAD_TIME`], [`ANSWER_TIME`]; the budget of [`crate::admission`].

mod body;
mod release;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use lagewarte_base::{
    id::{ConstituentId, Epoch, EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_store::{
    Scope,
    control::{register::SensorState, tokens::TokenKind},
    telemetry,
};
use ring::digest;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tonic::transport::server::Connected as _;

use self::body::{BodyError, Sent};
pub use self::body::{MAX_BODY, MAX_DECODED, MAX_EVENTS, ZSTD_WINDOW_LOG};
use crate::{
    lane::{Fate, Item, Order, Work},
    register::Owners,
    session::Hub,
    tls::{Accepted, Peer},
};

/// Most requests whose bodies are held at once. Threat: many senders with the largest body each.
pub const MAX_REQUESTS: usize = 16;
/// Longest `Idempotency-Key`, bytes. Threat: a key that is a body.
pub const MAX_KEY: usize = 256;
/// Largest head of a request, bytes. Threat: endless headers.
pub const HEAD_BYTES: usize = 16 << 10;
/// Longest time for a head to arrive. Threat: one byte a minute.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// Longest time of an answer, the body's arrival included. Threat: a body that never ends, a store that hangs.
pub const ANSWER_TIME: Duration = Duration::from_secs(60);
/// What is said in `Retry-After` where nothing better is known, seconds.
const LATER: u64 = 5;
/// Label of the release profile in foreign events.
const PROFILE: &str = "foreign@1";

/// What the listener serves.
pub(crate) struct Foreign {
    hub: Arc<Hub>,
    classes: Vec<String>,
    requests: Arc<Semaphore>,
    /// One request of a sender after the other: a shipper with several workers is no copied identity.
    turns: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>,
}

/// Serves accepted connections until the end.
pub(crate) async fn serve(
    hub: Arc<Hub>,
    classes: Vec<String>,
    mut accepted: mpsc::Receiver<io::Result<Accepted>>,
    mut stopping: watch::Receiver<bool>,
) {
    let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
    let foreign = Arc::new(Foreign { hub, classes, requests, turns: Mutex::default() });
    let router = Router::new().route("/v1/eve", post(take)).with_state(foreign);
    loop {
        let next = tokio::select! {
            next = accepted.recv() => next,
            _ = stopping.wait_for(|s| *s) => return,
        };
        let Some(Ok(connection)) = next else { return };
        let router = router.clone().layer(Extension(connection.connect_info()));
        let mut ending = stopping.clone();
        tokio::spawn(async move {
            let service = TowerToHyperService::new(router);
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
            let served = http.serve_connection(TokioIo::new(connection), service);
            tokio::pin!(served);
            let ended = tokio::select! {
                ended = &mut served => ended,
                // The guard that it gives must not be held while the last answer is waited for.
                _ = async { ending.wait_for(|s| *s).await.map(drop) } => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(e) = ended {
                tracing::debug!(error = %e, "a foreign sender's connection");
            }
        });
    }
}

/// Why a request is not taken.
struct Refused {
    status: StatusCode,
    /// The label in metrics.
    reason: &'static str,
    why: String,
    after: Option<u64>,
}

fn refused(status: StatusCode, reason: &'static str, why: impl Into<String>) -> Refused {
    Refused { status, reason, why: why.into(), after: None }
}

/// Not now; nothing of it was taken, or all of it is recognised when it comes again.
fn later(reason: &'static str, why: impl Into<String>) -> Refused {
    Refused { status: StatusCode::SERVICE_UNAVAILABLE, reason, why: why.into(), after: Some(LATER) }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.why)).into_response();
        if let Some(seconds) = self.after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

async fn take(
    State(foreign): State<Arc<Foreign>>,
    Extension(peer): Extension<Option<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = tokio::time::timeout(ANSWER_TIME, foreign.take(peer, &headers, body)).await;
    let taken = taken.unwrap_or_else(|_| Err(later("slow", "not durable in time; send it again")));
    let metrics = &foreign.hub.metrics;
    match taken {
        Ok(count) => {
            metrics.foreign_requests.with_label_values(&["taken"]).inc();
            let text = format!(
                "{{\"received\":{},\"duplicate\":{},\"quarantined\":{},\"withheld\":{}}}\n",
                count.received, count.duplicate, count.quarantined, count.withheld
            );
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(refused) => {
            metrics.foreign_requests.with_label_values(&[refused.reason]).inc();
            tracing::info!(reason = refused.reason, status = refused.status.as_u16(), "a foreign sender was refused");
            refused.into_response()
        }
    }
}

#[derive(Default)]
struct Count {
    received: usize,
    duplicate: usize,
    quarantined: usize,
    withheld: usize,
}

impl Foreign {
    async fn take(&self, peer: Option<Peer>, headers: &HeaderMap, body: Body) -> Result<Count, Refused> {
        let hub = &self.hub;
        let sensor = self.sender(peer, headers).await?;
        let directory = hub.register.directory();
        let known = directory.sensors.get(&sensor).filter(|s| s.state != SensorState::Revoked);
        let unknown = || refused(StatusCode::FORBIDDEN, "unknown", "this sensor is not in the register; ask the CERT");
        let constituent = known.ok_or_else(unknown)?.constituent.clone();
        let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let encoding = text(header::CONTENT_ENCODING).to_owned();
        let key = match headers.get("idempotency-key") {
            None => None,
            Some(k) if k.is_empty() || k.len() > MAX_KEY => {
                let why = format!("Idempotency-Key has to have 1 to {MAX_KEY} bytes");
                return Err(refused(StatusCode::BAD_REQUEST, "key", why));
            }
            Some(k) => Some(k.as_bytes().to_vec()),
        };
        let full = || later("busy", "too many requests at once");
        let place = Arc::clone(&self.requests).acquire_owned().await.map_err(|_| full())?;
        let body = axum::body::to_bytes(body, MAX_BODY)
            .await
            .map_err(|_| refused(StatusCode::PAYLOAD_TOO_LARGE, "too-large", BodyError::TooLarge.to_string()))?;
        let classes = self.classes.clone();
        let (received, owner) = (hub.clock.now(), constituent.clone());
        let owners = Owners(directory);
        let read = tokio::task::spawn_blocking(move || {
            read(&encoding, &body, key.as_deref(), sensor, &owner, &classes, received, &owners)
        });
        let batch = read.await.map_err(|_| later("failed", "the body could not be read"))?.map_err(of_body)?;
        let Batch { mut items, ids, times, bytes, mut count } = batch;
        let events = items.len();
        if let Some(wait) = hub.admission.take(constituent.as_str(), events as u64, bytes as u64) {
            hub.metrics.throttled.with_label_values(&[constituent.as_str()]).inc();
            let mut refused = refused(StatusCode::TOO_MANY_REQUESTS, "budget", "over the budget of this constituent");
            refused.after = Some(wait.as_secs() + 1);
            return Err(refused);
        }
        if events == 0 {
            return Ok(count);
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|s, t| *s == sensor || Arc::strong_count(t) > 1);
            Arc::clone(turns.entry(sensor).or_default())
        };
        let turn = turn.lock_owned().await;
        let claim = hub.claim(sensor).await.map_err(|status| later("elsewhere", status.message()))?;
        hub.lane(sensor).replayed().await;
        let stored = hub.telemetry.existing_ids(&Scope::System, sensor, &constituent, &ids, times).await;
        let stored = stored.map_err(|e| {
            tracing::warn!(error = %e, "the store does not answer; a foreign sender has to come again");
            later("store", "the store does not answer")
        })?;
        let mut seen = HashSet::new();
        for (item, id) in items.iter_mut().zip(&ids) {
            item.present = stored.contains(id) || !seen.insert(*id);
            count.duplicate += usize::from(item.present);
        }
        let ends = || later("stopping", "the aggregator is stopping");
        let permits = hub.permits(sensor, bytes).await.map_err(|_| ends())?;
        let hub = Arc::clone(hub);
        // A task of its own, with identity, turn and place: where the sender does not wait, what it sends again is looked up
        // after the first is there.
        let waited = tokio::spawn(async move {
            hub.metrics.received.inc_by(events as u64);
            hub.metrics.in_flight.add(i64::try_from(events).unwrap_or(i64::MAX));
            let held = permits.first().map_or(0, tokio::sync::OwnedSemaphorePermit::num_permits);
            hub.metrics.in_flight_bytes.add(i64::try_from(held).unwrap_or(i64::MAX));
            let (tell, told) = oneshot::channel();
            let key = (sensor, Epoch { counter: 0, nonce: 0 });
            let work = Work { key, items, order: Order::ById(tell), permits };
            let durable = hub.lane(sensor).submit(work).await && told.await.is_ok();
            drop((claim, turn, place));
            durable
        });
        if waited.await.unwrap_or(false) { Ok(count) } else { Err(ends()) }
    }

    /// Who sends: by token, or by certificate.
    async fn sender(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<Uuid, Refused> {
        let hub = &self.hub;
        let now = hub.clock.now();
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|v| {
                let (scheme, token) = v.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            let wrong = || refused(StatusCode::UNAUTHORIZED, "token", "this token is not valid here");
            let token = token.ok_or_else(wrong)?;
            let found = hub.register.control.check_token(token, &[TokenKind::Eve], now.micros()).await;
            let found = found.map_err(|_| later("register", "the register does not answer"))?;
            return found.and_then(|t| t.sensor).ok_or_else(wrong);
        }
        let none = "send a token (Authorization: Bearer …) or a sensor's certificate";
        let peer = peer.ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "no-identity", none))?;
        hub.admit(&peer).await.map_err(|r| refused(StatusCode::FORBIDDEN, r.name(), r.text()))?;
        Ok(peer.sensor)
    }
}

fn of_body(e: BodyError) -> Refused {
    let (status, reason) = match e {
        BodyError::TooLarge | BodyError::TooMany => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        BodyError::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding"),
        BodyError::Damaged | BodyError::Array => (StatusCode::BAD_REQUEST, "damaged"),
    };
    refused(status, reason, e.to_string())
}

/// A body, read.
struct Batch {
    items: Vec<Item>,
    /// As many as items: nonce and number.
    ids: Vec<(u64, u64)>,
    /// Earliest and latest event.
    times: (Timestamp, Timestamp),
    bytes: usize,
    count: Count,
}

#[expect(clippy::too_many_arguments, reason = "one call, on a thread of its own")]
fn read(
    encoding: &str,
    body: &[u8],
    key: Option<&[u8]>,
    sensor: Uuid,
    constituent: &ConstituentId,
    classes: &[String],
    received: Timestamp,
    owners: &Owners,
) -> Result<Batch, BodyError> {
    let text = body::decode(encoding, body)?;
    let sent = body::split(&text)?;
    // With a key, the same bytes at the same place of the same body under the same key are the same event; without one,
    // the same content is.
    let of_body = key.map(|key| hash(&[b"key", key, b"\0", &text]));
    let mut batch = Batch {
        items: Vec::with_capacity(sent.len()),
        ids: Vec::with_capacity(sent.len()),
        times: (Timestamp::from_micros(i64::MAX), Timestamp::from_micros(0)),
        bytes: text.len().max(1),
        count: Count { received: sent.len(), ..Count::default() },
    };
    for (place, sent) in sent.into_iter().enumerate() {
        let Some(mut env) = envelope(sent, constituent, classes) else {
            batch.count.withheld += 1;
            continue;
        };
        let id = match of_body {
            Some((nonce, _)) => (nonce, place as u64 + 1),
            None => hash(&[b"eve", &env.eve]),
        };
        env.seq = id.1;
        let id_of = EventId { sensor, epoch: Epoch { counter: 0, nonce: id.0 }, seq: id.1 };
        let (fate, row) = match telemetry::extract(&id_of, &env, received, received, owners) {
            Ok(row) => (Fate::Stored, row),
            Err(poison) => {
                batch.count.quarantined += 1;
                let row = telemetry::quarantine(&id_of, &env, received, &poison);
                (Fate::Quarantined(poison.reason.as_str()), row)
            }
        };
        let event = Timestamp::from_micros(env.event_us.max(0));
        batch.times = (batch.times.0.min(event), batch.times.1.max(event));
        batch.ids.push(id);
        batch.items.push(Item { seq: id.1, last: id.1, fate, row, present: false });
    }
    Ok(batch)
}

/// The envelope of one thing sent; None where its class is not taken from foreign senders.
fn envelope(sent: Sent, constituent: &ConstituentId, classes: &[String]) -> Option<Envelope> {
    let mut env = Envelope {
        constituent: constituent.as_str().to_owned(),
        profile: PROFILE.to_owned(),
        // Told apart from any real time, and refused, where the event says none.
        event_us: -1,
        ..Envelope::default()
    };
    match sent {
        Sent::Other(bytes) => {
            env.eve = bytes;
            env.event_us = 0;
            env.class = Class::Health as i32; // for its time not to be what is found wrong with it
        }
        Sent::Event(event) => {
            let event_type = event.get("event_type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            let class = Class::of(&event_type);
            if !classes.iter().any(|c| c == class.name()) {
                return None;
            }
            let time = event.get("timestamp").and_then(serde_json::Value::as_str).and_then(Timestamp::parse_eve);
            env.event_us = time.map_or(-1, |t| t.micros());
            env.class = class as i32;
            env.event_type = event_type;
            env.eve = serde_json::Value::Object(release::members(event)).to_string().into_bytes();
        }
    }
    (env.observed_us, env.spooled_us) = (env.event_us.max(0), env.event_us.max(0));
    Some(env)
}

/// Two numbers of a SHA-256; the second is never 0.
fn hash(parts: &[&[u8]]) -> (u64, u64) {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|p| context.update(p));
    let digest = context.finish();
    let number = |at: usize| digest.as_ref().iter().skip(at).take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
    (number(0), number(8).max(1))
}
