// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The uplink: sends what the spool holds to the aggregator over mutual TLS, frees what is acknowledged, enrols a sensor.
//!
//! One outbound connection (through a proxy where there is one), over it one stream for what is urgent and one for bulk.
//! For each epoch of their spools, oldest first: Hello, Welcome (where to go on, the first credit), then batches, packed
//! with a common dictionary, and acknowledgements and credit. A lost line is tried again with jittered exponential
//! back-off; the next Welcome says where to resume, so that nothing is lost and a doubled event is recognised. The whole
//! of it: `docs/uplink.md`.
//!
//! Must never: listen on a port, send what is not fsynced, delete what is not acknowledged, send beyond its credit, trust a
//! server that the enrolment did not name, or decide anything by the wall clock but pauses, the hours of bulk and the
//! `sent` time. Limits: the credit (at most [`MAX_WINDOW`] ahead of what is acknowledged) bounds what is in flight; a batch
//! is at most [`BATCH_BYTES`] plus one record.

mod backoff;
mod enrol;
mod identity;
mod pace;
mod proxy;
mod session;
mod stream;
mod tls;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lagewarte_base::{clock::Clock, id::Epoch, time::Timestamp};
use lagewarte_event::Class;
use lagewarte_spool::{Pair, Priority, Spool};
use tokio::{sync::watch, task::JoinHandle};

pub use crate::{
    enrol::{EnrolError, enrol, enrol_through},
    identity::{Enrolment, Identity, IdentityError},
    pace::{Hours, HoursError, MAX_HOURS},
    proxy::{Proxy, ProxyError},
    tls::ConnectError,
};

/// Most unacknowledged bytes of a stream, whatever the aggregator grants. Threat: an aggregator's mistake filling the sensor's memory.
pub const MAX_WINDOW: u64 = 64 << 20;
/// A batch is sent when it has gathered this much. Small enough for a slow line to show progress.
pub const BATCH_BYTES: usize = 512 << 10;
/// Most events of a batch.
pub const BATCH_EVENTS: usize = 2_000;
/// A certificate that ends sooner than this is warned about.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

/// The spool priority of an event class: what the quota decides by.
pub const fn priority(class: Class) -> Priority {
    match class {
        Class::Alert => Priority::Alert,
        Class::Health => Priority::Health,
        Class::Unspecified | Class::Flow | Class::Anomaly | Class::Protocol | Class::File => Priority::Bulk,
    }
}

/// What the uplink says in its Hello, and how patient it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Version of the sensor's software.
    pub version: String,
    /// `name@version` of the assignment in force.
    pub assignment: String,
    /// Seconds between health events: three missed ones are blind.
    pub interval_s: u32,
    /// The way out; None: straight.
    pub proxy: Option<Proxy>,
    /// Cap on what is sent, bytes a second; None: as fast as the line. Urgent batches are sent first.
    pub rate: Option<u64>,
    /// When bulk is sent; alerts and health always are. Default: always.
    pub bulk_hours: Hours,
    /// Called for each acknowledgement. For programs that measure; None otherwise.
    pub on_ack: Option<OnAck>,
    /// First pause after a lost line; doubles up to `backoff_max`, and each pause is a random part of it. Default 200 ms.
    pub backoff_min: Duration,
    /// Default 30 s.
    pub backoff_max: Duration,
    /// How long [`Uplink::stop`] waits for what is committed to be acknowledged. Default 3 s.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            assignment: String::new(),
            interval_s: 30,
            proxy: None,
            rate: None,
            bulk_hours: Hours::default(),
            on_ack: None,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            grace: Duration::from_secs(3),
        }
    }
}

/// What is called for each acknowledgement: everything of the epoch up to the number is durable. It must not block.
#[derive(Clone)]
pub struct OnAck(pub Arc<dyn Fn(Epoch, u64) + Send + Sync>);

impl std::fmt::Debug for OnAck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnAck")
    }
}

/// The spools that are sent: what is urgent, and bulk beside it.
#[derive(Clone, Debug)]
pub struct Spools(Vec<Arc<Spool>>);

impl From<Arc<Spool>> for Spools {
    fn from(only: Arc<Spool>) -> Self {
        Self(vec![only])
    }
}

impl From<&Pair> for Spools {
    fn from(pair: &Pair) -> Self {
        Self(vec![Arc::clone(pair.urgent()), Arc::clone(pair.bulk())])
    }
}

/// How the uplink stands, for metrics and stats events.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// A Welcome was received on the present connection.
    pub connected: bool,
    /// Connections that reached a Welcome since the start.
    pub connections: u64,
    /// Attempts that ended with an error since the start.
    pub errors: u64,
    /// The last of these, for people.
    pub last_error: Option<String>,
    /// Events sent since the start; again sent ones count again.
    pub sent_events: u64,
    /// Bytes of these, as batches before packing.
    pub sent_bytes: u64,
    /// Bytes of these on the line, before TLS.
    pub sent_wire_bytes: u64,
    /// Something waits for the aggregator's credit.
    pub waits_for_credit: bool,
    /// Something waits for the cap in bytes a second.
    pub waits_for_rate: bool,
    /// Gaps reported since the start, in numbers.
    pub gap_numbers: u64,
    /// Sent and not yet acknowledged, bytes.
    pub in_flight_bytes: u64,
    /// Age of the oldest urgent event not yet acknowledged, microseconds; 0 where nothing waits.
    pub lag_us: i64,
    /// The same of bulk, which may have to wait for its hours.
    pub bulk_lag_us: i64,
    /// When the sensor's certificate ends.
    pub certificate_not_after: Timestamp,
}

/// State shared between the task and its handle.
#[derive(Debug)]
pub(crate) struct Shared {
    status: Mutex<Status>,
    /// `spooled_us` of the oldest event in flight, by stream.
    pub(crate) oldest_sent: Vec<Mutex<Option<i64>>>,
}

impl Shared {
    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn set_oldest(oldest: &Mutex<Option<i64>>, us: Option<i64>) {
        *oldest.lock().unwrap_or_else(PoisonError::into_inner) = us;
    }
}

/// The running uplink. Dropping it ends the connection at once; [`Uplink::stop`] ends it gracefully.
pub struct Uplink {
    shared: Arc<Shared>,
    spools: Spools,
    clock: Arc<dyn Clock>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Uplink {
    /// Starts sending, on the present tokio runtime. Never fails: an unreachable aggregator is a status, not an error.
    pub fn start(spools: impl Into<Spools>, identity: Identity, options: Options, clock: Arc<dyn Clock>) -> Self {
        let spools = spools.into();
        let status = Status { certificate_not_after: identity.not_after(), ..Status::default() };
        let oldest_sent = spools.0.iter().map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared { status: Mutex::new(status), oldest_sent });
        let (stop, stopped) = watch::channel(false);
        let run = session::Run {
            spools: spools.0.clone(),
            identity,
            options,
            clock: Arc::clone(&clock),
            shared: Arc::clone(&shared),
            stopped,
        };
        Self { shared, spools, clock, stop, task: tokio::spawn(run.forever()) }
    }

    /// Whether a Welcome was received on the present connection.
    pub fn connected(&self) -> bool {
        self.shared.status().connected
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let mut status = self.shared.status().clone();
        let mut lags = self.spools.0.iter().zip(&self.shared.oldest_sent).map(|(spool, sent)| {
            let sent = *sent.lock().unwrap_or_else(PoisonError::into_inner);
            let spool = spool.status();
            let oldest = sent.or(spool.oldest_us.filter(|_| spool.records > 0));
            oldest.map_or(0, |us| self.clock.now().micros().saturating_sub(us).max(0))
        });
        (status.lag_us, status.bulk_lag_us) = (lags.next().unwrap_or(0), lags.next().unwrap_or(0));
        status
    }

    /// Sends what is committed and may go, waits for its acknowledgement at most [`Options::grace`], and ends the
    /// connection. What is not acknowledged by then stays in the spool for the next start.
    pub async fn stop(self) {
        let _ = self.stop.send(true); // no receiver: the task has already ended
        let _ = self.task.await; // a panic there was already reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alerts_have_the_priority_of_alerts() {
        for class in [Class::Unspecified, Class::Health, Class::Flow, Class::Anomaly, Class::Protocol, Class::File] {
            assert_ne!(priority(class), Priority::Alert, "{class:?}");
        }
        assert_eq!(priority(Class::Alert), Priority::Alert);
        assert_eq!(priority(Class::Health), Priority::Health);
    }
}
