// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One connection after another; over each, two streams: Hello, Welcome, batches out, acknowledgements and credit in.
//!
//! Urgent comes first at every turn; bulk takes what is left of credit, cap and hours. Must never send bulk while an urgent
//! batch could go. Limits: a reply to Hello is waited for [`WELCOME_TIMEOUT`]; one frame waits for the line.

use std::{fmt, sync::Arc, time::Duration};

use lagewarte_base::{clock::Clock, id::Epoch, time::Timestamp};
use lagewarte_event::{ClientFrame, Hello, ServerFrame, client_frame, pack, server_frame, uplink_client::UplinkClient};
use lagewarte_spool::Spool;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    BATCH_BYTES, ConnectError, EXPIRY_WARNING, Identity, Options, Shared,
    backoff::{self, Backoff},
    pace::Pace,
    stream::{Stream, Wish},
    tls,
};

/// Longest wait for a Welcome. Threat: a server that accepts and says nothing.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest frame read from the server. Threat: a server filling the sensor's memory.
const MAX_SERVER_FRAME: usize = 64 << 10;
/// Pause between checks for what nothing announces: an old epoch being read, the hours of bulk.
const POLL: Duration = Duration::from_millis(500);

pub(crate) struct Run {
    pub(crate) spools: Vec<Arc<Spool>>,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stopped: watch::Receiver<bool>,
}

pub(crate) enum SessionError {
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
        let mut streams = Vec::new();
        for (number, spool) in (0u32..).zip(&self.spools) {
            let wake = Arc::clone(&committed);
            spool.on_commit(move || wake.notify_one());
            streams.push(Stream::new(number, Arc::clone(spool)));
        }
        let mut pace = Pace::new(self.options.rate, Instant::now());
        let mut backoff = Backoff::new(self.options.backoff_min, self.options.backoff_max);
        while !*self.stopped.borrow() {
            self.warn_of_expiry();
            let mut progress = false;
            let ended = self.session(&mut streams, &mut pace, &committed, &mut progress).await;
            streams.iter_mut().for_each(Stream::lost);
            self.publish(&streams, false);
            let Err(error) = ended else { return };
            if progress {
                backoff.reset();
            }
            self.note(&error);
            let pushback = match &error {
                SessionError::Server(status) => backoff::pushback(status),
                _ => None,
            };
            let pause = backoff.pause(pushback, fastrand::f64());
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
    async fn session(
        &self,
        streams: &mut [Stream],
        pace: &mut Pace,
        committed: &Notify,
        progress: &mut bool,
    ) -> Result<(), SessionError> {
        let config = self.identity.tls().map_err(SessionError::Tls)?;
        let url = &self.identity.enrolment().uplink_url;
        let channel = tls::channel(url, config, self.options.proxy.as_ref()).await.map_err(SessionError::Connect)?;
        let mut client = UplinkClient::new(channel).max_decoding_message_size(MAX_SERVER_FRAME);
        let (frames, outgoing) = mpsc::channel(1);
        // The urgent Hello goes first: the server answers the call's headers only when it has seen who calls.
        let first = streams.first_mut().and_then(|s| Some((s.number, s.hello_due()?)));
        let (number, epoch) = first.ok_or(SessionError::Protocol("no epoch"))?;
        let _ = frames.try_send(self.hello(number, epoch)); // the channel is new and empty
        let opened = tokio::time::timeout(WELCOME_TIMEOUT, client.stream(ReceiverStream::new(outgoing))).await;
        let mut line = opened.map_err(|_| SessionError::Protocol("no answer"))??.into_inner();
        match self.carry(streams, pace, &frames, &mut line, committed, progress).await {
            // Where sending found the line closed, the server has said why.
            Err(SessionError::Ended) => {
                Err(line.message().await.err().map_or(SessionError::Ended, SessionError::Server))
            }
            other => other,
        }
    }

    fn hello(&self, stream: u32, epoch: Epoch) -> ClientFrame {
        ClientFrame {
            frame: Some(client_frame::Frame::Hello(Hello {
                epoch: epoch.counter,
                nonce: epoch.nonce,
                version: self.options.version.clone(),
                clock_us: self.clock.now().micros(),
                assignment: self.options.assignment.clone(),
                interval_s: self.options.interval_s,
                stream,
                credit: true,
                dictionaries: pack::offered(),
                acked: self.spools.get(stream as usize).map_or(0, |s| s.acknowledged(epoch)),
            })),
        }
    }

    /// Carries both streams until the line ends, or until it was stopped and all that may go has gone.
    async fn carry(
        &self,
        streams: &mut [Stream],
        pace: &mut Pace,
        frames: &mpsc::Sender<ClientFrame>,
        line: &mut Streaming<ServerFrame>,
        committed: &Notify,
        progress: &mut bool,
    ) -> Result<(), SessionError> {
        let mut stopped = self.stopped.clone();
        let mut welcomed = false;
        let mut waiting_since = Instant::now();
        loop {
            for stream in streams.iter_mut() {
                stream.finish().await;
            }
            // One Hello at a time: the second stream opens when the first is welcomed.
            let asked = streams.iter().any(Stream::asked);
            let hello = if asked { None } else { streams.iter_mut().find_map(|s| Some((s.number, s.hello_due()?))) };
            let turn = self.turn(streams, pace).await?;
            self.publish(streams, welcomed);
            let stopping = *stopped.borrow();
            if stopping && turn.idle && streams.iter().all(|s| s.drained() || self.held(s)) {
                return Ok(()); // all that is committed and may go is acknowledged
            }
            if asked {
                if waiting_since.elapsed() > WELCOME_TIMEOUT {
                    return Err(SessionError::Protocol("no Welcome"));
                }
            } else {
                waiting_since = Instant::now();
            }
            if let Some((number, epoch)) = hello {
                frames.send(self.hello(number, epoch)).await.map_err(|_| SessionError::Ended)?;
                continue;
            }
            tokio::select! {
                biased;
                frame = line.message() => {
                    let frame = frame?.and_then(|f| f.frame).ok_or(SessionError::Ended)?;
                    let welcome = matches!(frame, server_frame::Frame::Welcome(_));
                    self.frame(streams, frame, progress).await?;
                    if welcome && !std::mem::replace(&mut welcomed, true) {
                        let mut status = self.shared.status();
                        status.connections += 1;
                        status.last_error = None;
                    }
                }
                permit = frames.reserve(), if turn.next.is_some() => {
                    let permit = permit.map_err(|_| SessionError::Ended)?;
                    let taken = turn.next.and_then(|i| streams.get_mut(i)?.take(&self.shared));
                    if let Some((frame, wire)) = taken {
                        pace.spend(wire);
                        permit.send(frame);
                    }
                }
                () = committed.notified(), if turn.next.is_none() => {}
                () = told(&mut stopped), if !stopping => {}
                () = tokio::time::sleep(turn.wait.unwrap_or(POLL).min(POLL)) => {}
            }
        }
    }

    /// Whose batch goes next.
    async fn turn(&self, streams: &mut [Stream], pace: &mut Pace) -> Result<Turn, SessionError> {
        let now = self.clock.now();
        let mut turn = Turn { next: None, wait: None, idle: true };
        let mut short_of_credit = false;
        for (i, stream) in streams.iter_mut().enumerate() {
            if i > 0 && !self.options.bulk_hours.open(now) {
                continue;
            }
            match stream.prepare(pace.batch(BATCH_BYTES), now.micros()).await? {
                Wish::Nothing => {}
                Wish::Credit => (turn.idle, short_of_credit) = (false, true),
                Wish::Turn => {
                    turn.idle = false;
                    turn.wait = pace.wait(Instant::now());
                    turn.next = turn.wait.is_none().then_some(i);
                    break; // bulk does not overtake what is urgent, and waits for the cap behind it
                }
            }
        }
        let mut status = self.shared.status();
        status.waits_for_credit = short_of_credit && turn.next.is_none();
        status.waits_for_rate = turn.wait.is_some();
        Ok(turn)
    }

    /// Whether the hours hold this stream.
    fn held(&self, stream: &Stream) -> bool {
        stream.number > 0 && !self.options.bulk_hours.open(self.clock.now())
    }

    async fn frame(
        &self,
        streams: &mut [Stream],
        frame: server_frame::Frame,
        progress: &mut bool,
    ) -> Result<(), SessionError> {
        match frame {
            server_frame::Frame::Welcome(w) => {
                if w.credit_bytes == 0 || w.credit_events == 0 {
                    return Err(SessionError::Protocol(
                        "it grants no credit: it is older than this sensor, update it first",
                    ));
                }
                let stream = streams.iter_mut().find(|s| s.awaits(&w));
                stream.ok_or(SessionError::Protocol("a Welcome that nobody asked for"))?.welcomed(&w).await;
            }
            server_frame::Frame::Ack(ack) => {
                *progress = true;
                let epoch = Epoch { counter: ack.epoch, nonce: ack.nonce };
                for stream in streams.iter_mut() {
                    if stream.acknowledged(epoch, ack.up_to_seq).await {
                        break; // else a late one of an epoch that is done
                    }
                }
                if let Some(hook) = &self.options.on_ack {
                    (hook.0)(epoch, ack.up_to_seq);
                }
            }
            server_frame::Frame::Credit(credit) => {
                let _ = streams.iter_mut().any(|s| s.credited(&credit)); // else of an epoch that is done
            }
        }
        Ok(())
    }

    fn publish(&self, streams: &[Stream], connected: bool) {
        let mut in_flight = 0;
        for (stream, oldest) in streams.iter().zip(&self.shared.oldest_sent) {
            let (bytes, oldest_us) = stream.in_flight();
            in_flight += bytes;
            Shared::set_oldest(oldest, oldest_us);
        }
        let mut status = self.shared.status();
        status.in_flight_bytes = in_flight;
        status.connected = connected;
    }
}

/// What the streams want, after one look at each.
struct Turn {
    /// The stream whose batch may go now.
    next: Option<usize>,
    /// How long the cap holds everything.
    wait: Option<Duration>,
    /// Nobody has anything to send.
    idle: bool,
}

/// Waits for the stop; a vanished handle is a stop too.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|s| *s).await;
}
