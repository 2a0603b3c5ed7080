// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Ingest: sensors in, durable rows out, each event once. Also the CA and the enrolment of sensors.
//!
//! ```text
//! accept (TLS 1.3, certificate) → session (admit, check, extract) → lane (segment) → journal (fsync) → store → ack
//! ```
//! - Two listeners: `uplink` asks for a certificate of our CA, `enrolment` for a one-time token.
//! - A lane is leased in the control plane; the lease's number, the fence, is part of each segment's id, and the store
//!   refuses what a lost lease inserts. A sensor's events go through one lane at a time ([`leases`]).
//! - A segment is journaled, inserted under its own id as deduplication token, completed, and only then acknowledged.
//!   After a crash the unfinished segments are inserted again, unchanged, before anything new is taken.
//! - A numbered event is taken once: marks of completed segments say how far each epoch is durable. Where a journal was
//!   lost, the store is asked by id.
//!
//! Must never acknowledge what the store has not answered for, drop an event without a row that says why, or wait for one
//! sensor at the cost of another beyond the bounds in [`session`]. Limits: [`LANES`] lanes; see the constants of each module.

mod admission;
mod ca;
mod credit;
mod enrol;
mod foreign;
mod journal;
mod lane;
mod leases;
mod metrics;
mod register;
mod session;
mod tls;
mod waters;

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lagewarte_base::{
    clock::Clock,
    fs::{Fs, RealFs},
    token::EnrolmentToken,
};
use lagewarte_event::{MAX_BATCH_BYTES, enrolment_server::EnrolmentServer, uplink_server::UplinkServer};
use lagewarte_store::{
    control::{Control, ControlError},
    telemetry::Telemetry,
};
use prometheus::Registry;
use tokio::{
    net::TcpListener,
    sync::{Barrier, mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

pub use crate::{
    admission::{BURST, Budget},
    ca::{Ca, CaError, Issued, MAX_CSR},
    credit::{MIN_WINDOW_BYTES, WINDOW_EVENTS},
    foreign::{
        ANSWER_TIME, HEAD_BYTES, HEAD_TIME, MAX_BODY, MAX_DECODED, MAX_EVENTS, MAX_KEY, MAX_REQUESTS, ZSTD_WINDOW_LOG,
    },
    journal::JournalError,
    lane::MAX_SEGMENT,
    register::REFRESH,
    session::{MAX_GAPS, SENSOR_BYTES, TOTAL_BYTES, WINDOW_BYTES},
    tls::{HANDSHAKE, MAX_CONNECTIONS, MAX_HANDSHAKES, Peer},
};

/// Lanes of an aggregator. Two keep the engine busy; more would only make more, smaller inserts, and it takes some tens a
/// second. Fixed, because a journal belongs to its lane.
pub const LANES: u32 = 2;

/// A moment in a segment's life, for [`Options::observe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fsynced in the journal, not yet inserted.
    Journaled,
    /// The store has answered, not yet completed.
    Inserted,
    /// Completed, not yet acknowledged.
    Completed,
}

/// How ingest behaves.
#[derive(Clone)]
pub struct Options {
    /// Holds `ca/` and `journal/`.
    pub data_dir: PathBuf,
    /// Where sensors connect.
    pub uplink_listen: SocketAddr,
    /// DNS names and addresses in the server's certificate, for both listeners.
    pub names: Vec<String>,
    /// `https://host:port` that sensors are given; None: the first name and the bound port.
    pub uplink_url: Option<String>,
    /// Where sensors enrol.
    pub enrolment_listen: SocketAddr,
    /// `https://host:port` in tokens; None: the first name and the bound port.
    pub enrolment_url: Option<String>,
    /// A segment is closed this long after its first event. Default 100 ms.
    pub flush: Duration,
    /// Or at this many rows. Default 20,000.
    pub flush_rows: usize,
    /// Validity of a sensor's certificate, days. Default 90.
    pub certificate_days: u32,
    /// Bytes of all sensors that are held at most. Default [`TOTAL_BYTES`]; never less than one batch.
    pub total_bytes: usize,
    /// How long a second connection of an identity waits for the first to end before it is an alarm. Default 10 s.
    pub doubled_wait: Duration,
    /// How long an aggregator may give no sign of life until another takes over its lanes. Default 10 s.
    pub lease: Duration,
    /// This aggregator's name for people, in leases and audit. Default: the host's name.
    pub name: String,
    /// What each constituent may send a second.
    pub budget: Budget,
    /// Where foreign sensors send EVE over HTTPS; None: nowhere.
    pub foreign_listen: Option<SocketAddr>,
    /// Classes of events that are taken from foreign sensors. Default: alert and health.
    pub foreign_classes: Vec<String>,
    /// Called at each step of each segment. For tests that end the process at a chosen point; None otherwise.
    pub observe: Option<Arc<dyn Fn(Step) + Send + Sync>>,
}

impl Options {
    /// The defaults, listening on free ports of the loopback address.
    pub fn new(data_dir: PathBuf) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir,
            uplink_listen: loopback,
            names: vec!["localhost".into(), "127.0.0.1".into()],
            uplink_url: None,
            enrolment_listen: loopback,
            enrolment_url: None,
            flush: Duration::from_millis(100),
            flush_rows: 20_000,
            certificate_days: 90,
            total_bytes: TOTAL_BYTES,
            doubled_wait: Duration::from_secs(10),
            lease: Duration::from_secs(10),
            name: host_name(),
            budget: Budget::default(),
            foreign_listen: None,
            foreign_classes: vec!["alert".into(), "health".into()],
            observe: None,
        }
    }

    pub(crate) fn step(&self, step: Step) {
        if let Some(observe) = &self.observe {
            observe(step);
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "aggregator".into() } else { name.into() }
}

/// Why ingest cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The register.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A port.
    #[error("{what} cannot listen on {address}: {source}; stop what uses the port, or set {what}.listen")]
    Listen {
        /// Which listener: uplink, enrolment or foreign.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Metrics of these names are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// `names` is empty.
    #[error("uplink.names is empty: name the host as sensors reach it")]
    NoName,
}

/// Running ingest. Dropping it ends everything at once, as a crash would; [`Ingest::stop`] ends it gracefully.
pub struct Ingest {
    ca: Arc<Ca>,
    uplink: SocketAddr,
    enrolment: SocketAddr,
    foreign: Option<SocketAddr>,
    enrolment_url: String,
    stop: watch::Sender<bool>,
    lost: watch::Receiver<bool>,
    leases: Arc<leases::Leases>,
    servers: Vec<JoinHandle<()>>,
    lanes: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest")
            .field("uplink", &self.uplink)
            .field("enrolment", &self.enrolment)
            .finish_non_exhaustive()
    }
}

impl Ingest {
    /// Starts: takes the lanes, begins to replay what the journal holds unfinished, and listens. A store that does not
    /// answer yet is waited for in the background; sensors wait with it.
    ///
    /// # Errors
    /// [`StartError`], each with what to do.
    pub async fn start(
        options: Options,
        telemetry: Telemetry,
        control: Control,
        registry: &Registry,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let options = Arc::new(options);
        let name = options.names.first().ok_or(StartError::NoName)?.clone();
        let metrics = Arc::new(metrics::Metrics::new(registry)?);
        let ca = Arc::new(Ca::load_or_create(&options.data_dir.join("ca"), clock.now())?);
        let server = || ca.server(&options.names, clock.now());
        let mutual = tls::mutual(server()?, ca.root().clone())?;
        let server_only = tls::server_only(server()?)?;
        let register = Arc::new(register::Register::new(control).await?);
        let uplink = listen("uplink", options.uplink_listen).await?;
        let enrolment = listen("enrolment", options.enrolment_listen).await?;
        let address = |what, l: &TcpListener, asked: SocketAddr| {
            l.local_addr().map_err(|source| StartError::Listen { what, address: asked, source })
        };
        let (foreign, foreign_address) = match options.foreign_listen {
            Some(asked) => {
                let listener = listen("foreign", asked).await?;
                let address = address("foreign", &listener, asked)?;
                (Some((listener, tls::optional(server()?, ca.root().clone())?)), Some(address))
            }
            None => (None, None),
        };
        let uplink_address = address("uplink", &uplink, options.uplink_listen)?;
        let enrolment_address = address("enrolment", &enrolment, options.enrolment_listen)?;
        let url = |given: &Option<String>, port: u16| {
            let host = if name.contains(':') { format!("[{name}]") } else { name.clone() };
            given.clone().unwrap_or_else(|| format!("https://{host}:{port}"))
        };
        let uplink_url = url(&options.uplink_url, uplink_address.port());
        let enrolment_url = url(&options.enrolment_url, enrolment_address.port());

        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let (set_lost, lost) = watch::channel(false);
        let (mut journals, mut left) = (Vec::new(), Vec::new());
        for n in 0..LANES {
            let (journal, unfinished) = journal::Journal::open(Arc::clone(&fs), &options.data_dir.join("journal"), n)?;
            journals.push(journal);
            left.push(unfinished);
        }
        let parts = leases::Parts {
            control: register.control.clone(),
            telemetry: telemetry.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            length: options.lease,
            name: options.name.clone(),
            lost: set_lost.clone(),
        };
        let (leases, asks) = leases::Leases::take(parts, &journals).await.map_err(|e| match e {
            leases::TakeError::Control(e) => StartError::Control(e),
            leases::TakeError::Journal(source) => {
                JournalError::Io { dir: options.data_dir.join("journal"), source }.into()
            }
        })?;
        let leases = Arc::new(leases);
        let barrier = Arc::new(Barrier::new(LANES as usize));
        let waters = Arc::new(waters::Waters::new(telemetry.clone()));
        let (mut lanes, mut lane_tasks) = (Vec::new(), Vec::new());
        for (journal, unfinished) in journals.into_iter().zip(left) {
            let (options, metrics, barrier) = (Arc::clone(&options), Arc::clone(&metrics), Arc::clone(&barrier));
            let (telemetry, waters, lost) = (telemetry.clone(), Arc::clone(&waters), set_lost.clone());
            let (lane, task) =
                lane::Lane::start(journal, unfinished, telemetry, waters, options, metrics, barrier, lost);
            lanes.push(lane);
            lane_tasks.push(task);
        }

        let (stop, stopping) = watch::channel(false);
        let (to_uplink, uplinks) = mpsc::channel(64);
        let (to_enrolment, enrolments) = mpsc::channel(64);
        let mut others = vec![
            tokio::spawn(tls::accept(uplink, mutual, "uplink", tls::BOUNDS, Arc::clone(&metrics), to_uplink)),
            tokio::spawn(tls::accept(
                enrolment,
                server_only,
                "enrolment",
                tls::BOUNDS,
                Arc::clone(&metrics),
                to_enrolment,
            )),
        ];
        let fresh = Arc::clone(&register);
        others.push(tokio::spawn(async move { fresh.keep_fresh().await }));
        let enrol_service = enrol::EnrolService {
            ca: Arc::clone(&ca),
            register: Arc::clone(&register),
            options: Arc::clone(&options),
            uplink_url,
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        };
        let hub = session::Hub::new(
            register,
            lanes,
            telemetry,
            Arc::clone(&options),
            Arc::clone(&metrics),
            clock,
            stopping.clone(),
            Arc::clone(&leases),
        );
        let hub = Arc::new(hub);
        let claims = Arc::clone(&leases);
        others.push(tokio::spawn(async move { claims.serve_claims(asks).await }));
        others.push(tokio::spawn(Arc::clone(&leases).keep(Arc::clone(&hub))));
        // Nobody is served any more where the lease is lost; whoever runs this starts it anew.
        let (mut ends, ending) = (lost.clone(), stop.clone());
        others.push(tokio::spawn(async move {
            if ends.wait_for(|l| *l).await.is_ok() {
                let _ = ending.send(true); // nobody listens: all have ended
            }
        }));
        let uplink_service =
            UplinkServer::new(session::UplinkService(Arc::clone(&hub))).max_decoding_message_size(MAX_BATCH_BYTES);
        let enrol_service = EnrolmentServer::new(enrol_service).max_decoding_message_size(2 * MAX_CSR);
        let mut servers = Vec::new();
        if let Some((listener, tls)) = foreign {
            let (to_foreign, senders) = mpsc::channel(64);
            others.push(tokio::spawn(tls::accept(listener, tls, "foreign", tls::BOUNDS, metrics, to_foreign)));
            let classes = options.foreign_classes.clone();
            servers.push(tokio::spawn(foreign::serve(Arc::clone(&hub), classes, senders, stopping.clone())));
        }
        servers.extend([
            serve(server_builder().add_service(uplink_service), uplinks, stopping.clone()),
            serve(server_builder().add_service(enrol_service), enrolments, stopping),
        ]);
        Ok(Self {
            ca,
            uplink: uplink_address,
            enrolment: enrolment_address,
            foreign: foreign_address,
            enrolment_url,
            stop,
            lost,
            leases,
            servers,
            lanes: lane_tasks,
            others,
        })
    }

    /// Where the uplink listens.
    pub fn uplink_address(&self) -> SocketAddr {
        self.uplink
    }
    /// Where the enrolment listens.
    pub fn enrolment_address(&self) -> SocketAddr {
        self.enrolment
    }
    /// Where foreign sensors send, if anywhere.
    pub fn foreign_address(&self) -> Option<SocketAddr> {
        self.foreign
    }
    /// The token that carries `secret` to a sensor.
    pub fn enrolment_token(&self, secret: [u8; 32]) -> EnrolmentToken {
        EnrolmentToken { ca_sha256: self.ca.sha256(), secret, url: self.enrolment_url.clone() }
    }

    /// Whether this is the aggregator that does what one does for all of them: the one with the oldest lease. Changes with
    /// the leases; for a beat two may see it so.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leases.leads()
    }

    /// Comes back where another aggregator has taken over this one's lanes: it accepts nothing more, and has to be started
    /// anew.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|l| *l).await.is_err() {
            std::future::pending::<()>().await; // nobody is left who could say so
        }
    }

    /// Ends the connections, makes durable what was taken, writes the checkpoints. What the store does not take within
    /// `grace` stays in the journal.
    pub async fn stop(mut self, grace: Duration) {
        let _ = self.stop.send(true); // nobody listens: all have ended
        let servers = std::mem::take(&mut self.servers);
        let lanes = std::mem::take(&mut self.lanes);
        let aborts: Vec<_> = servers.iter().chain(&lanes).map(JoinHandle::abort_handle).collect();
        let lost = *self.lost.borrow();
        for accept in self.others.drain(..) {
            accept.abort();
        }
        let ended = async {
            for task in servers.into_iter().chain(lanes) {
                let _ = task.await; // a panic there was already reported
            }
        };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("ingest stops before the store has taken everything; the rest is in the journal");
            for abort in aborts {
                abort.abort();
            }
        } else if !lost {
            self.leases.end().await;
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        for task in self.servers.iter().chain(&self.lanes).chain(&self.others) {
            task.abort();
        }
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
}

fn server_builder() -> Server {
    Server::builder()
        // A dead line is noticed within the time that a second connection of the same identity waits.
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .max_concurrent_streams(4)
        // What HTTP/2 itself buffers of a sensor whose batches wait for room. Its own default is a megabyte for each of
        // thousands; credit is what holds a well-behaved sensor back.
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(256 << 10)
}

fn serve(
    router: tonic::transport::server::Router,
    incoming: mpsc::Receiver<io::Result<tls::Accepted>>,
    mut stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stop = async move {
            let _ = stopping.wait_for(|s| *s).await; // an error: ingest was dropped
        };
        if let Err(e) = router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop).await {
            tracing::error!(error = %e, "a listener ended");
        }
    })
}
