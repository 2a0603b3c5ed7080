// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One sensor's stream: admits it, checks each batch, turns it into rows, and answers when they are durable.
//!
//! Must never take an identity from a frame, a number out of turn, or more bytes than the bounds allow. Limits:
//! [`SENSOR_BYTES`], [`TOTAL_BYTES`], [`MAX_GAPS`], and the contract's sizes of a batch.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lagewarte_base::{
    clock::Clock,
    id::{Epoch, Uuid},
    time::Timestamp,
};
use lagewarte_event::{
    Ack, Batch, ClientFrame, Envelope, Gap, Hello, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Message as _, ServerFrame,
    Welcome, client_frame, pack, server_frame, uplink_server::Uplink,
};
use lagewarte_store::telemetry::{self, Telemetry};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Options,
    admission::Admission,
    credit::{self, Account},
    journal::Key,
    lane::{Fate, Item, Lane, Order, Present, Work, event_id},
    leases::{Leases, Unclaimed},
    metrics::Metrics,
    register::{Owners, Refusal, Register},
    tls::Peer,
};

/// Unacknowledged bytes that a sensor may have in one stream, at most (see [`crate::credit`]).
pub const WINDOW_BYTES: u64 = 4 << 20;
/// Bytes of one sensor that are held at most, over all its connections. Threat: one sensor, or one that reconnects in a
/// loop, using up the memory of all.
pub const SENSOR_BYTES: usize = WINDOW_BYTES as usize + MAX_BATCH_BYTES;
/// Streams of a connection: urgent and bulk.
const STREAMS: usize = 2;
/// Bytes of all sensors that are held at most. Threat: a database down for a night while thousands send.
pub const TOTAL_BYTES: usize = 256 << 20;
/// Most gaps in a batch. Threat: millions of tiny gaps, each a row.
pub const MAX_GAPS: usize = 10_000;
/// How often a stream's certificate and the register are looked at.
const GUARD: Duration = Duration::from_secs(1);
/// A doubled identity is noted in the register's audit at most this often. Threat: a loop of connections filling it.
const NOTE_EVERY_US: i64 = 10 * 60 * 1_000_000;

/// What all sessions share.
pub(crate) struct Hub {
    pub(crate) register: Arc<Register>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) total: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) telemetry: Telemetry,
    pub(crate) admission: Admission,
    sensors: Mutex<Sensors>,
    left: Notify,
}

#[derive(Default)]
struct Sensors {
    connected: HashSet<Uuid>,
    bytes: HashMap<Uuid, Arc<Semaphore>>,
    noted_us: HashMap<Uuid, i64>,
}

/// An identity in use; free again when dropped.
pub(crate) struct Claim {
    hub: Arc<Hub>,
    sensor: Uuid,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.hub.sensors().connected.remove(&self.sensor);
        self.hub.metrics.connections.dec();
        self.hub.left.notify_waiters();
    }
}

impl Hub {
    #[expect(clippy::too_many_arguments, reason = "called once, where everything is put together")]
    pub(crate) fn new(
        register: Arc<Register>,
        lanes: Vec<Lane>,
        telemetry: Telemetry,
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        stopping: watch::Receiver<bool>,
        leases: Arc<Leases>,
    ) -> Self {
        let admission = Admission::new(options.budget);
        let total = Arc::new(Semaphore::new(options.total_bytes.max(MAX_BATCH_BYTES)));
        Self {
            register,
            lanes,
            options,
            metrics,
            clock,
            total,
            stopping,
            leases,
            telemetry,
            admission,
            sensors: Mutex::default(),
            left: Notify::new(),
        }
    }

    fn sensors(&self) -> MutexGuard<'_, Sensors> {
        self.sensors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane_number(&self, sensor: Uuid) -> usize {
        // UUIDs are random: their low bits spread. `lanes` is never empty.
        (sensor.as_u128() % self.lanes.len() as u128) as usize
    }

    pub(crate) fn lane(&self, sensor: Uuid) -> &Lane {
        &self.lanes[self.lane_number(sensor)]
    }

    /// Whether the sensor's identity is in use here.
    pub(crate) fn has(&self, sensor: Uuid) -> bool {
        self.sensors().connected.contains(&sensor)
    }

    /// The sensor's identity, where nobody uses it and nothing of it is on its way here: neither what was taken in this
    /// life nor what an earlier one left in the journal.
    pub(crate) fn idle(self: &Arc<Self>, sensor: Uuid) -> Option<Claim> {
        if !self.lane(sensor).has_replayed() {
            return None;
        }
        let mut sensors = self.sensors();
        let held = sensors.bytes.get(&sensor).is_some_and(|b| b.available_permits() < SENSOR_BYTES);
        if held || !sensors.connected.insert(sensor) {
            return None;
        }
        self.metrics.connections.inc();
        Some(Claim { hub: Arc::clone(self), sensor })
    }

    pub(crate) async fn admit(&self, peer: &Peer) -> Result<(), Refusal> {
        match self.register.admit(peer, self.clock.now()) {
            // The snapshot may be older than an enrolment through another aggregator.
            Err(Refusal::Unknown | Refusal::Superseded) => {
                let _ = self.register.refresh().await; // an error leaves the snapshot, which says no
                self.register.admit(peer, self.clock.now())
            }
            other => other,
        }
    }

    /// Takes the identity. Where it is in use, waits a little: a sensor whose line broke comes back before its old
    /// connection is noticed to be dead. Then it is an alarm.
    pub(crate) async fn claim(self: &Arc<Self>, sensor: Uuid) -> Result<Claim, Status> {
        let claim = self.identity(sensor).await.map_err(|r| self.refuse(r))?;
        let lane = self.lane_number(sensor);
        let journal = self.lanes[lane].journal();
        match self.leases.claim(lane, journal, sensor, self.options.doubled_wait).await {
            Ok(()) => Ok(claim),
            Err(Unclaimed::Elsewhere(true)) => Err(self.refuse(self.doubled(sensor).await)),
            Err(Unclaimed::Elsewhere(false)) => Err(Status::unavailable(
                "another aggregator still has this sensor's events on their way; keep the events",
            )),
            Err(Unclaimed::Register(e)) => {
                tracing::error!(%sensor, error = %e, "a sensor could not be claimed; it has to wait");
                Err(Status::unavailable("the aggregator's control plane does not answer; keep the events"))
            }
            Err(Unclaimed::Journal(e)) => {
                tracing::error!(%sensor, error = %e, "the journal cannot be written; a sensor has to wait");
                Err(Status::unavailable("the aggregator's journal cannot be written; keep the events"))
            }
        }
    }

    async fn identity(self: &Arc<Self>, sensor: Uuid) -> Result<Claim, Refusal> {
        let taken = async {
            loop {
                let left = self.left.notified();
                if self.sensors().connected.insert(sensor) {
                    self.metrics.connections.inc();
                    return Claim { hub: Arc::clone(self), sensor };
                }
                left.await;
            }
        };
        if let Ok(claim) = tokio::time::timeout(self.options.doubled_wait, taken).await {
            return Ok(claim);
        }
        Err(self.doubled(sensor).await)
    }

    /// The alarm that an identity is used twice.
    async fn doubled(&self, sensor: Uuid) -> Refusal {
        self.metrics.doubled_identity.inc();
        tracing::error!(%sensor, "ALARM: a second connection with this sensor's identity was refused; its key may be copied");
        let now = self.clock.now().micros();
        let note = {
            let mut sensors = self.sensors();
            let last = sensors.noted_us.entry(sensor).or_insert(i64::MIN);
            let due = now.saturating_sub(*last) >= NOTE_EVERY_US;
            if due {
                *last = now;
            }
            due
        };
        if note {
            let what = "second simultaneous connection with this identity refused; its key may be copied";
            if let Err(e) = self.register.control.note(now, &format!("sensor:{sensor}"), what).await {
                tracing::error!(error = %e, "the alarm could not be noted in the register");
            }
        }
        Refusal::Doubled
    }

    /// Room for a batch: of this sensor, then of all. What is larger than a batch of the wire takes the room of one.
    pub(crate) async fn permits(&self, sensor: Uuid, bytes: usize) -> Result<Vec<OwnedSemaphorePermit>, Status> {
        let own = {
            let mut sensors = self.sensors();
            let own = sensors.bytes.entry(sensor).or_insert_with(|| Arc::new(Semaphore::new(SENSOR_BYTES)));
            Arc::clone(own)
        };
        let n = u32::try_from(bytes.min(MAX_BATCH_BYTES)).unwrap_or(u32::MAX); // the decoder's limit is the same
        let stopping = |_| Status::unavailable("the aggregator is stopping");
        let own = own.acquire_many_owned(n).await.map_err(stopping)?;
        let all = Arc::clone(&self.total).acquire_many_owned(n).await.map_err(stopping)?;
        Ok(vec![own, all])
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        self.metrics.refused.with_label_values(&[refusal.name()]).inc();
        Status::permission_denied(refusal.text())
    }

    fn broke(&self, what: &'static str) -> Status {
        self.metrics.protocol_errors.with_label_values(&[what]).inc();
        Status::invalid_argument(what)
    }

    fn connected(&self) -> usize {
        self.sensors().connected.len()
    }

    /// Not now: when to come again, spread over the fleet by the sensor's (random) id, so that it does not come as one.
    fn later(&self, sensor: Uuid, why: &'static str) -> Status {
        let spread = self.connected() as u128 * u128::from(RETURN_MS) + 1;
        let pause = RETRY_MS + u64::try_from(sensor.as_u128() % spread).unwrap_or_default();
        let mut status = Status::unavailable(why);
        status.metadata_mut().insert("grpc-retry-pushback-ms", pause.into());
        status
    }
}

/// Shortest absence asked of a sensor when the aggregator stops or its store does not answer, milliseconds.
const RETRY_MS: u64 = 500;
/// Time given to each connected sensor to come back, milliseconds: a TLS handshake, a look into the register, a Hello.
const RETURN_MS: u64 = 3;

/// The uplink service.
pub(crate) struct UplinkService(pub(crate) Arc<Hub>);

type Outgoing = mpsc::Sender<Result<ServerFrame, Status>>;

#[tonic::async_trait]
impl Uplink for UplinkService {
    type StreamStream = ReceiverStream<Result<ServerFrame, Status>>;

    async fn stream(&self, request: Request<Streaming<ClientFrame>>) -> Result<Response<Self::StreamStream>, Status> {
        let hub = Arc::clone(&self.0);
        let peer = request.extensions().get::<Option<Peer>>().cloned().flatten();
        let peer = peer.ok_or_else(|| hub.refuse(Refusal::NoIdentity))?;
        hub.admit(&peer).await.map_err(|r| hub.refuse(r))?;
        let claim = hub.claim(peer.sensor).await?;
        let (outgoing, answers) = mpsc::channel(16);
        tokio::spawn(async move {
            let hub = &claim.hub;
            let mut stopping = hub.stopping.clone();
            let session = Session { hub: Arc::clone(hub), sensor: peer.sensor, outgoing: outgoing.clone() };
            let ended = tokio::select! {
                ended = session.read(request.into_inner()) => ended,
                refusal = guard(hub, &peer) => Err(hub.refuse(refusal)),
                () = outgoing.closed() => Ok(()),
                _ = stopping.wait_for(|s| *s) => Err(hub.later(peer.sensor, "the aggregator is stopping")),
            };
            if let Err(status) = ended {
                tracing::info!(sensor = %peer.sensor, why = status.message(), "stream ended");
                // Not waited for long: a peer that reads nothing must not keep its identity.
                let _ = tokio::time::timeout(GUARD, outgoing.send(Err(status))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Ends when the peer may no longer send: its certificate ended, or the register changed.
async fn guard(hub: &Hub, peer: &Peer) -> Refusal {
    loop {
        tokio::time::sleep(GUARD).await;
        if let Err(refusal) = hub.register.admit(peer, hub.clock.now()) {
            return refusal;
        }
    }
}

struct Session {
    hub: Arc<Hub>,
    sensor: Uuid,
    outgoing: Outgoing,
}

/// The epoch that a session is in.
struct Current {
    key: Key,
    /// The next number.
    next: u64,
    /// Up to here numbers are compared with the store by id.
    compare_to: u64,
    durable: watch::Receiver<u64>,
    /// None where the sensor does not keep to credit: then the permits alone hold it back.
    account: Option<Arc<Account>>,
    answers: AbortOnDrop,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    async fn read(&self, mut incoming: Streaming<ClientFrame>) -> Result<(), Status> {
        let mut streams: [Option<Current>; STREAMS] = [const { None }; STREAMS];
        while let Some(frame) = incoming.message().await? {
            let batch = match frame.frame {
                Some(client_frame::Frame::Hello(hello)) => {
                    self.open(&mut streams, &hello).await?;
                    continue;
                }
                Some(client_frame::Frame::Batch(batch)) => batch,
                Some(client_frame::Frame::Packed(packed)) => pack::unpack(&packed).map_err(|w| self.hub.broke(w))?,
                None => return Err(self.hub.broke("empty-frame")),
            };
            let open = streams.iter().any(Option::is_some);
            let wanted = |c: &&mut Current| (batch.epoch, batch.nonce) == (c.key.1.counter, c.key.1.nonce);
            let current =
                streams.iter_mut().flatten().find(wanted).ok_or_else(|| {
                    self.hub.broke(if open { "batch-of-another-epoch" } else { "batch-before-hello" })
                })?;
            self.batch(current, batch).await?;
        }
        // Half-closed: what is on its way is still answered.
        for mut current in streams.into_iter().flatten() {
            let last = current.next - 1;
            let _ = current.durable.wait_for(|d| *d >= last).await; // an error: the lane is stopping
            drop(current.answers);
        }
        Ok(())
    }

    /// A Hello replaces the epoch of its stream.
    async fn open(&self, streams: &mut [Option<Current>; STREAMS], hello: &Hello) -> Result<(), Status> {
        let at = usize::try_from(hello.stream).unwrap_or(usize::MAX);
        let Some(slot) = streams.get_mut(at) else { return Err(self.hub.broke("unknown-stream")) };
        *slot = None; // its answers end before those of the next epoch begin
        let epoch = Epoch { counter: hello.epoch, nonce: hello.nonce };
        if streams.iter().flatten().any(|c| c.key.1 == epoch) {
            return Err(self.hub.broke("epoch-in-two-streams"));
        }
        let current = self.hello(hello).await?;
        if let Some(slot) = streams.get_mut(at) {
            *slot = Some(current);
        }
        Ok(())
    }

    async fn hello(&self, hello: &Hello) -> Result<Current, Status> {
        let key = (self.sensor, Epoch { counter: hello.epoch, nonce: hello.nonce });
        let place = self.hub.lane(self.sensor).hello(key, hello.acked).await.map_err(|e| {
            tracing::warn!(error = %e, "the store does not answer; a sensor has to wait");
            self.hub.later(self.sensor, "the aggregator's store does not answer; keep the events")
        })?;
        let up_to_seq = place.mark.up_to;
        let skew = hello.clock_us.saturating_sub(self.hub.clock.now().micros());
        tracing::info!(sensor = %self.sensor, epoch = hello.epoch, version = %clean(&hello.version),
            assignment = %clean(&hello.assignment), skew_us = skew, up_to_seq, "hello");
        let account =
            hello.credit.then(|| Arc::new(Account::new(credit::window(&self.hub.options, self.hub.connected()))));
        let (credit_bytes, credit_events) = account.as_ref().map_or((0, 0), |a| a.granted());
        let frame = server_frame::Frame::Welcome(Welcome {
            up_to_seq,
            window_bytes: WINDOW_BYTES,
            epoch: hello.epoch,
            nonce: hello.nonce,
            credit_bytes,
            credit_events,
            dictionary: pack::choose(&hello.dictionaries),
        });
        send(&self.outgoing, frame).await?;
        let answering = Answers {
            hub: Arc::clone(&self.hub),
            epoch: key.1,
            account: account.clone(),
            outgoing: self.outgoing.clone(),
        };
        let answers = tokio::spawn(answering.run(place.durable.clone(), up_to_seq));
        Ok(Current {
            key,
            next: up_to_seq.saturating_add(1),
            compare_to: place.mark.compare_to,
            durable: place.durable,
            account,
            answers: AbortOnDrop(answers),
        })
    }

    async fn batch(&self, current: &mut Current, batch: Batch) -> Result<(), Status> {
        let hub = &self.hub;
        hub.metrics.batches.inc();
        let received = hub.clock.now();
        let bytes = batch.encoded_len().max(1);
        let sent = Timestamp::from_micros(batch.sent_us);
        let pieces = tile(batch, current.next).map_err(|what| hub.broke(what))?;
        let Some(last) = pieces.last().map(Piece::last) else { return Ok(()) };
        if let Some(account) = &current.account {
            account.spend(last, bytes as u64, pieces.len() as u64).map_err(|what| hub.broke(what))?;
        }
        self.budget(&pieces).await;
        let permits = hub.permits(self.sensor, bytes).await?;
        let lane = hub.lane(self.sensor);
        let first = pieces.first().map_or(0, Piece::first);
        let mut present = Present::default();
        if first <= current.compare_to {
            let to = last.min(current.compare_to);
            let known = lane.present(current.key, first, to).await;
            present =
                known.map_err(|_| Status::unavailable("the aggregator's store does not answer; keep the events"))?;
        }
        let events = pieces.iter().filter(|p| matches!(p, Piece::Event(_))).count();
        let (key, owners) = (current.key, Owners(hub.register.directory()));
        let items = tokio::task::spawn_blocking(move || {
            pieces.into_iter().map(|p| item(key, p, sent, received, &owners, &present)).collect::<Vec<_>>()
        });
        let items = items.await.map_err(|_| Status::internal("a batch could not be read"))?;
        hub.metrics.received.inc_by(events as u64);
        hub.metrics.in_flight.add(i64::try_from(events).unwrap_or(i64::MAX));
        hub.metrics.in_flight_bytes.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        if !lane.submit(Work { key, items, order: Order::Numbered(last), permits }).await {
            return Err(Status::unavailable("the aggregator is stopping"));
        }
        current.next = last.saturating_add(1);
        let durable = *current.durable.borrow();
        if durable >= last {
            // It was durable before it came (sent twice over two connections): say so again, nothing else will.
            send(&self.outgoing, ack(key.1, durable)).await?;
            if let Some(credit) =
                current.account.as_ref().and_then(|a| a.repay(durable, credit::window(&hub.options, hub.connected())))
            {
                send(&self.outgoing, credit.frame(key.1)).await?;
            }
        }
        Ok(())
    }

    /// Waits until each constituent's budget has room for its part of a batch; meanwhile nothing more is read of the line.
    async fn budget(&self, pieces: &[Piece]) {
        let hub = &self.hub;
        let mut parts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for piece in pieces {
            let Piece::Event(event) = piece else { continue };
            let part = parts.entry(event.constituent.as_str()).or_default();
            *part = (part.0 + 1, part.1 + event.encoded_len() as u64);
        }
        let directory = hub.register.directory();
        for (constituent, (events, bytes)) in parts {
            // A name that this sensor may not use has no budget of its own: it could be anybody's.
            let own = constituent.parse().is_ok_and(|c| directory.may_speak(self.sensor, &c));
            let constituent = if own { constituent } else { "" };
            let mut waited = false;
            while let Some(wait) = hub.admission.take(constituent, events, bytes) {
                if !waited {
                    hub.metrics.throttled.with_label_values(&[constituent]).inc();
                    waited = true;
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// What tells a sensor how far one epoch is durable, and gives its credit back.
struct Answers {
    hub: Arc<Hub>,
    epoch: Epoch,
    account: Option<Arc<Account>>,
    outgoing: Outgoing,
}

impl Answers {
    /// Sends an Ack whenever more is durable, and the credit that comes free with it.
    async fn run(self, mut durable: watch::Receiver<u64>, mut told: u64) {
        loop {
            let now = *durable.borrow_and_update();
            if now > told {
                told = now;
                if send(&self.outgoing, ack(self.epoch, now)).await.is_err() {
                    return;
                }
                let window = credit::window(&self.hub.options, self.hub.connected());
                if let Some(credit) = self.account.as_ref().and_then(|a| a.repay(now, window))
                    && send(&self.outgoing, credit.frame(self.epoch)).await.is_err()
                {
                    return;
                }
            }
            if durable.changed().await.is_err() {
                return;
            }
        }
    }
}

fn ack(epoch: Epoch, up_to_seq: u64) -> server_frame::Frame {
    server_frame::Frame::Ack(Ack { epoch: epoch.counter, nonce: epoch.nonce, up_to_seq })
}

async fn send(outgoing: &Outgoing, frame: server_frame::Frame) -> Result<(), Status> {
    outgoing.send(Ok(ServerFrame { frame: Some(frame) })).await.map_err(|_| Status::cancelled("the sensor has gone"))
}

/// A sensor's own words in the log: short, and without control characters.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// A piece of a batch in the order of its numbers.
#[derive(Debug, PartialEq)]
enum Piece {
    Event(Box<Envelope>),
    Gap(Gap),
}

impl Piece {
    fn first(&self) -> u64 {
        match self {
            Self::Event(e) => e.seq,
            Self::Gap(g) => g.from_seq,
        }
    }
    fn last(&self) -> u64 {
        match self {
            Self::Event(e) => e.seq,
            Self::Gap(g) => g.to_seq,
        }
    }
}

/// Events and gaps as one unbroken row of numbers that begins at `next` or, where something is sent again, before it.
fn tile(batch: Batch, next: u64) -> Result<Vec<Piece>, &'static str> {
    if batch.events.len() > MAX_BATCH_EVENTS {
        return Err("too-many-events");
    }
    if batch.gaps.len() > MAX_GAPS {
        return Err("too-many-gaps");
    }
    let events = batch.events.into_iter().map(|e| Piece::Event(Box::new(e)));
    let mut pieces: Vec<Piece> = events.chain(batch.gaps.into_iter().map(Piece::Gap)).collect();
    pieces.sort_by_key(Piece::first);
    let Some(first) = pieces.first().map(Piece::first) else { return Ok(pieces) };
    if first == 0 || first > next {
        return Err("numbers-missing");
    }
    let mut expected = first;
    for piece in &pieces {
        if piece.first() != expected || piece.last() < piece.first() {
            return Err("numbers-out-of-order");
        }
        expected = piece.last().checked_add(1).ok_or("numbers-out-of-order")?;
    }
    Ok(pieces)
}

fn item(key: Key, piece: Piece, sent: Timestamp, received: Timestamp, owners: &Owners, present: &Present) -> Item {
    let (seq, last) = (piece.first(), piece.last());
    let id = event_id(key, seq);
    match piece {
        Piece::Event(event) => {
            let (fate, row) = match telemetry::extract(&id, &event, sent, received, owners) {
                Ok(row) => (Fate::Stored, row),
                Err(poison) => {
                    let row = telemetry::quarantine(&id, &event, received, &poison);
                    (Fate::Quarantined(poison.reason.as_str()), row)
                }
            };
            Item { seq, last, fate, row, present: present.event(seq) }
        }
        Piece::Gap(mut gap) => {
            let reason = gap_reason(&gap.reason);
            reason.clone_into(&mut gap.reason);
            Item {
                seq,
                last,
                fate: Fate::Gap(reason),
                row: telemetry::gap(&id, &gap, received),
                present: present.gap(seq, last),
            }
        }
    }
}

/// The reasons of the wire contract; anything else is `other`, so that a sensor cannot make labels.
fn gap_reason(word: &str) -> &'static str {
    ["crash", "quota", "disk", "size", "corrupt"].into_iter().find(|r| *r == word).unwrap_or("other")
}
