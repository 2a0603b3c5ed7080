// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One connection after another: Hello, Welcome, batches out, acknowledgements in.
//!
//! Must never send unfsynced records or go beyond the window. Limits: what is in flight is at most the window plus one
//! batch; a reply to Hello is waited for [`WELCOME_TIMEOUT`].

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use lagewarte_base::{clock::Clock, id::Epoch, time::Timestamp};
use lagewarte_event::{
    Ack, Batch, ClientFrame, Envelope, Gap, Hello, Message as _, ServerFrame, Welcome, client_frame, server_frame,
    uplink_client::UplinkClient,
};
use lagewarte_spool::{Chunk, Cursor, Spool};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{BATCH_BYTES, BATCH_EVENTS, ConnectError, EXPIRY_WARNING, Identity, MAX_WINDOW, Options, Shared, tls};

/// Longest wait for a Welcome. Threat: a server that accepts and says nothing.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest frame read from the server. Threat: a server filling the sensor's memory.
const MAX_SERVER_FRAME: usize = 64 << 10;
/// Pause between checks for new records where no commit announces them (an old epoch being read).
const POLL: Duration = Duration::from_millis(500);

pub(crate) struct Run {
    pub(crate) spool: Arc<Spool>,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stopped: watch::Receiver<bool>,
}

enum SessionError {
    Connect(ConnectError),
    Tls(rustls::Error),
    Server(tonic::Status),
    Ended,
    Protocol(&'static str),
    Spool(std::io::Error),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(e) => e.fmt(f),
            Self::Tls(e) => write!(f, "the sensor's identity cannot be used: {e}"),
            Self::Server(s) => f.write_str(&tls::chain(s)),
            Self::Ended => f.write_str("the aggregator ended the connection"),
            Self::Protocol(what) => write!(f, "the aggregator does not keep to the protocol: {what}"),
            Self::Spool(e) => write!(f, "the spool cannot be read: {e}"),
        }
    }
}

impl From<tonic::Status> for SessionError {
    fn from(s: tonic::Status) -> Self {
        Self::Server(s)
    }
}

impl Run {
    /// Connects and sends until it is stopped.
    pub(crate) async fn forever(self) {
        let mut stopped = self.stopped.clone();
        let grace = self.options.grace;
        let last_call = async move {
            let () = told(&mut stopped).await; // an error: the handle is gone, which is a stop too
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = self.connections() => {}
            () = last_call => {}
        }
    }

    async fn connections(&self) {
        let mut stopped = self.stopped.clone();
        let committed = Arc::new(Notify::new());
        let wake = Arc::clone(&committed);
        self.spool.on_commit(move || wake.notify_one());
        let mut ceiling = self.options.backoff_min;
        while !*self.stopped.borrow() {
            self.warn_of_expiry();
            let mut progress = false;
            let ended = self.session(&committed, &mut progress).await;
            {
                let mut status = self.shared.status();
                status.connected = false;
                status.in_flight_bytes = 0;
            }
            self.shared.set_oldest(None);
            let Err(error) = ended else { return };
            if progress {
                ceiling = self.options.backoff_min;
            }
            self.note(&error);
            // Full jitter: a whole fleet that lost its aggregator must not come back in step.
            let pause = ceiling.mul_f64(0.1 + 0.9 * fastrand::f64());
            ceiling = (ceiling * 2).min(self.options.backoff_max);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stopped) => {}
            }
        }
    }

    fn note(&self, error: &SessionError) {
        let text = error.to_string();
        let mut status = self.shared.status();
        status.errors += 1;
        if status.last_error.as_ref() != Some(&text) {
            tracing::warn!(error = %text, "no uplink; events wait in the spool");
        }
        status.last_error = Some(text);
    }

    fn warn_of_expiry(&self) {
        let left = self.identity.not_after().since(self.clock.now());
        let not_after = self.identity.not_after();
        if left < 0 {
            tracing::error!(%not_after, "this sensor's certificate has expired; enrol again with a new token");
        } else if left < Timestamp::from_micros(0).plus(EXPIRY_WARNING).micros() {
            tracing::warn!(%not_after, "this sensor's certificate ends soon; ask the CERT for a new token and enrol again");
        }
    }

    /// One connection. Ok where it was stopped.
    async fn session(&self, committed: &Notify, progress: &mut bool) -> Result<(), SessionError> {
        let config = self.identity.tls().map_err(SessionError::Tls)?;
        let channel =
            tls::channel(&self.identity.enrolment().uplink_url, config).await.map_err(SessionError::Connect)?;
        let mut client = UplinkClient::new(channel).max_decoding_message_size(MAX_SERVER_FRAME);
        let (frames, outgoing) = mpsc::channel(1);
        // The Hello goes first: the server answers the call's headers only when it has seen who calls.
        let mut line = None;
        let mut outgoing = Some(outgoing);
        let mut counted = false;
        loop {
            let epoch = self.spool.epochs().into_iter().next().ok_or(SessionError::Protocol("no epoch"))?;
            send(&frames, client_frame::Frame::Hello(self.hello(epoch))).await?;
            if let Some(outgoing) = outgoing.take() {
                let opened = tokio::time::timeout(WELCOME_TIMEOUT, client.stream(ReceiverStream::new(outgoing))).await;
                line = Some(opened.map_err(|_| SessionError::Protocol("no answer"))??.into_inner());
            }
            let Some(line) = line.as_mut() else { return Err(SessionError::Ended) };
            let welcome = welcome(line).await?;
            {
                let mut status = self.shared.status();
                status.connected = true;
                status.connections += u64::from(!counted);
                status.last_error = None;
                counted = true;
            }
            if self.epoch(epoch, &welcome, &frames, line, committed, progress).await? {
                return Ok(());
            }
        }
    }

    fn hello(&self, epoch: Epoch) -> Hello {
        Hello {
            epoch: epoch.counter,
            nonce: epoch.nonce,
            version: self.options.version.clone(),
            clock_us: self.clock.now().micros(),
            assignment: self.options.assignment.clone(),
            interval_s: self.options.interval_s,
        }
    }

    /// Sends one epoch. Ok(true) where the uplink was stopped, Ok(false) where the epoch is finished and acknowledged.
    async fn epoch(
        &self,
        epoch: Epoch,
        welcome: &Welcome,
        frames: &mpsc::Sender<ClientFrame>,
        line: &mut Streaming<ServerFrame>,
        committed: &Notify,
        progress: &mut bool,
    ) -> Result<bool, SessionError> {
        let window = welcome.window_bytes.clamp(1, MAX_WINDOW);
        self.acknowledge(epoch, welcome.up_to_seq).await;
        let mut cursor = Some(Cursor::new(epoch, welcome.up_to_seq));
        let mut flight = Flight::default();
        let mut end = false;
        let mut stopped = self.stopped.clone();
        loop {
            let mut idle = true;
            if flight.bytes < window && !end {
                let chunk = self.read(&mut cursor).await.map_err(SessionError::Spool)?;
                end = chunk.end;
                if !chunk.is_empty() {
                    idle = false;
                    let (batch, sent) = self.batch(epoch, chunk);
                    flight.push(sent);
                    if let Err(ended) = send(frames, client_frame::Frame::Batch(batch)).await {
                        return Err(line.message().await.err().map_or(ended, SessionError::Server)); // why it ended
                    }
                }
            }
            if end && flight.waiting.is_empty() {
                self.acknowledge(epoch, u64::MAX).await; // nothing is left of a finished epoch
                return Ok(false);
            }
            self.publish(&flight);
            let stopping = *stopped.borrow();
            if stopping && idle && flight.waiting.is_empty() && epoch == self.spool.epoch() {
                return Ok(true); // all that is committed is acknowledged
            }
            tokio::select! {
                biased;
                frame = line.message() => {
                    let ack = ack(frame?.ok_or(SessionError::Ended)?, epoch)?;
                    *progress = true;
                    flight.acknowledged(ack.up_to_seq);
                    self.acknowledge(epoch, ack.up_to_seq).await;
                }
                () = std::future::ready(()), if !idle => {}
                () = committed.notified() => {}
                () = told(&mut stopped), if !stopping => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn read(&self, cursor: &mut Option<Cursor>) -> std::io::Result<Chunk> {
        let spool = Arc::clone(&self.spool);
        let Some(mut moved) = cursor.take() else { return Err(std::io::Error::other("the cursor is lost")) };
        let read = tokio::task::spawn_blocking(move || {
            let chunk = spool.read(&mut moved, BATCH_BYTES, BATCH_EVENTS);
            (moved, chunk)
        });
        let (moved, chunk) = read.await.map_err(std::io::Error::other)?;
        *cursor = Some(moved);
        chunk
    }

    async fn acknowledge(&self, epoch: Epoch, up_to: u64) {
        let spool = Arc::clone(&self.spool);
        let _ = tokio::task::spawn_blocking(move || spool.acknowledge(epoch, up_to)).await; // it cannot fail, only log
    }

    fn batch(&self, epoch: Epoch, chunk: Chunk) -> (Batch, Sent) {
        let mut sent = Sent { up_to: chunk.up_to, bytes: 0, oldest_us: None };
        let mut events = Vec::with_capacity(chunk.records.len());
        let mut gaps: Vec<Gap> = chunk
            .gaps
            .into_iter()
            .map(|g| Gap { from_seq: *g.range.start(), to_seq: *g.range.end(), reason: g.reason.name().to_owned() })
            .collect();
        for record in chunk.records {
            sent.bytes += record.data.len() as u64;
            match Envelope::decode(record.data.as_slice()) {
                Ok(event) if event.seq == record.seq => {
                    sent.oldest_us.get_or_insert(event.spooled_us);
                    events.push(event);
                }
                // Its checksum is right, so that it was written like this: a fault of ours, told by its number.
                _ => {
                    tracing::error!(seq = record.seq, "a spooled record is not an envelope; reported as a gap");
                    gaps.push(Gap { from_seq: record.seq, to_seq: record.seq, reason: "corrupt".to_owned() });
                }
            }
        }
        let mut status = self.shared.status();
        status.sent_events += events.len() as u64;
        status.sent_bytes += sent.bytes;
        status.gap_numbers += gaps.iter().map(|g| g.to_seq - g.from_seq + 1).sum::<u64>();
        let sent_us = self.clock.now().micros();
        (Batch { epoch: epoch.counter, nonce: epoch.nonce, sent_us, events, gaps }, sent)
    }

    fn publish(&self, flight: &Flight) {
        self.shared.status().in_flight_bytes = flight.bytes;
        self.shared.set_oldest(flight.waiting.iter().find_map(|s| s.oldest_us));
    }
}

/// One sent batch.
struct Sent {
    up_to: u64,
    bytes: u64,
    oldest_us: Option<i64>,
}

/// What is sent and not acknowledged.
#[derive(Default)]
struct Flight {
    waiting: VecDeque<Sent>,
    bytes: u64,
    /// Highest acknowledgement heard: what is sent again over a new line may be acknowledged before it is sent.
    heard: u64,
}

impl Flight {
    fn push(&mut self, sent: Sent) {
        if sent.up_to <= self.heard {
            return;
        }
        self.bytes += sent.bytes;
        self.waiting.push_back(sent);
    }
    fn acknowledged(&mut self, up_to: u64) {
        self.heard = self.heard.max(up_to);
        while let Some(sent) = self.waiting.pop_front_if(|s| s.up_to <= up_to) {
            self.bytes -= sent.bytes;
        }
    }
}

async fn send(frames: &mpsc::Sender<ClientFrame>, frame: client_frame::Frame) -> Result<(), SessionError> {
    frames.send(ClientFrame { frame: Some(frame) }).await.map_err(|_| SessionError::Ended)
}

async fn welcome(line: &mut Streaming<ServerFrame>) -> Result<Welcome, SessionError> {
    loop {
        let frame = tokio::time::timeout(WELCOME_TIMEOUT, line.message())
            .await
            .map_err(|_| SessionError::Protocol("no Welcome"))??
            .ok_or(SessionError::Ended)?;
        match frame.frame {
            Some(server_frame::Frame::Welcome(w)) => return Ok(w),
            // A late acknowledgement of the epoch before.
            Some(server_frame::Frame::Ack(_)) => {}
            None => return Err(SessionError::Protocol("an empty frame")),
        }
    }
}

fn ack(frame: ServerFrame, epoch: Epoch) -> Result<Ack, SessionError> {
    match frame.frame {
        Some(server_frame::Frame::Ack(a)) if (a.epoch, a.nonce) == (epoch.counter, epoch.nonce) => Ok(a),
        Some(server_frame::Frame::Ack(_)) => Err(SessionError::Protocol("an Ack of another epoch")),
        _ => Err(SessionError::Protocol("no Ack where one is due")),
    }
}

/// Waits for the stop; a vanished handle is a stop too.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|s| *s).await;
}
