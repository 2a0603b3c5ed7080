// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Several aggregators at once: leases of lanes, claims of sensors, and taking over from one that is lost.
//!
//! Any sensor may come to any aggregator (one DNS name, a load balancer). Its events go through one lane at a time: the
//! aggregator that it comes to claims it in the control plane. Where another has it, that one lets it go as soon as it is
//! neither connected there nor has anything on its way there, in memory or in the journal. Where the other one is lost, its lease gets no more beats:
//! after [`crate::Options::lease`], by its own clock, any aggregator shuts it out of the store, completes what it left
//! half-done, and frees its sensors (`Telemetry::fence`, `Telemetry::repair`, in this order).
//!
//! Why a process that was only paused cannot hurt when it wakes, wherever it was paused:
//! - before an insert, or while sending one: the engine looks for the fence in the statement itself and refuses, or has
//!   killed the statement.
//! - after the store answered: the rows are whole and durable, and the new owner of the sensor has found them by id. An
//!   acknowledgement is then true, whenever it is sent.
//! - its marks are of no use to anyone else; when its sensors come back to it, it forgets them first and compares by id.
//!
//! What one aggregator does for all (the picture, drafting warnings, the size cap) is done by the one with the oldest lease
//! that is held: [`Leases::leads`]. Two may do it for a beat, so it has to be harmless to do twice.
//!
//! So no insert is allowed by a clock: a lease that cannot be renewed because the control plane does not answer goes on.
//! Must never claim a sensor whose old marks are still in the journal. Limits: [`CLAIMS`] claims in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lagewarte_base::{clock::Clock, id::Uuid};
use lagewarte_store::{
    Scope,
    control::{
        Control, ControlError,
        lanes::{Claimed, Lease, LeaseState},
    },
    telemetry::Telemetry,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{journal::Journal, metrics::Metrics, session::Hub};

/// Most claims of one transaction. Threat: a fleet that comes back at once, each sensor a transaction of its own.
const CLAIMS: usize = 256;
/// Beats in the length of a lease.
const BEATS: u32 = 5;
/// Pause before a sensor that another aggregator has is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Why a sensor's events cannot go through here now.
#[derive(Debug)]
pub(crate) enum Unclaimed {
    /// The control plane does not answer.
    Register(ControlError),
    /// The journal cannot be written.
    Journal(std::io::Error),
    /// Another aggregator has the sensor; whether it is connected there.
    Elsewhere(bool),
}

struct Ask {
    lane: usize,
    sensor: Uuid,
    answer: oneshot::Sender<Result<Claimed, ControlError>>,
}

/// The leases of this process.
pub(crate) struct Leases {
    control: Control,
    telemetry: Telemetry,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    length: Duration,
    name: String,
    /// By lane.
    fences: Vec<i64>,
    owned: Mutex<HashSet<Uuid>>,
    asks: mpsc::Sender<Ask>,
    lost: watch::Sender<bool>,
    leads: watch::Sender<bool>,
}

/// What [`Leases::take`] needs.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) telemetry: Telemetry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) length: Duration,
    pub(crate) name: String,
    pub(crate) lost: watch::Sender<bool>,
}

/// The claims' queue, to be served by [`Leases::serve_claims`].
pub(crate) struct Asks(mpsc::Receiver<Ask>);

impl Leases {
    /// Takes a lease for each journal.
    pub(crate) async fn take(parts: Parts, journals: &[Journal]) -> Result<(Self, Asks), TakeError> {
        let (mut fences, mut owned) = (Vec::new(), HashSet::new());
        for journal in journals {
            let at_least = i64::try_from(journal.fence()).unwrap_or(i64::MAX);
            let now = parts.clock.now().micros();
            let taken = parts.control.take_lane(&journal.id(), journal.lane(), at_least, &parts.name, now).await?;
            if taken.behind {
                tracing::warn!("the control database is older than the journal: everything is compared with the store");
                journal.distrust();
            }
            journal.lead(taken.fence.unsigned_abs()).map_err(TakeError::Journal)?;
            fences.push(taken.fence);
            owned.extend(taken.sensors);
        }
        let (asks, queue) = mpsc::channel(CLAIMS);
        let Parts { control, telemetry, metrics, clock, length, name, lost } = parts;
        let owned = Mutex::new(owned);
        let (leads, _) = watch::channel(oldest_is_of(&fences, &control.open_lanes().await?));
        Ok((Self { control, telemetry, metrics, clock, length, name, fences, owned, asks, lost, leads }, Asks(queue)))
    }

    /// Whether this aggregator does what one does for all, as of the last beat.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    fn owned(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a sensor for a lane, waiting up to `patience` for another aggregator to let it go. The caller holds the
    /// sensor's identity here.
    pub(crate) async fn claim(
        &self,
        lane: usize,
        journal: &Arc<Journal>,
        sensor: Uuid,
        patience: Duration,
    ) -> Result<(), Unclaimed> {
        if self.owned().contains(&sensor) {
            return Ok(());
        }
        // Before the claim: were it the other way round, a crash in between would leave old marks with a sensor that is
        // known to be ours.
        let forgetful = Arc::clone(journal);
        let forgotten = tokio::task::spawn_blocking(move || forgetful.forget(sensor)).await;
        forgotten.map_err(std::io::Error::other).and_then(|f| f).map_err(Unclaimed::Journal)?;
        let begun = Instant::now();
        loop {
            let (answer, answered) = oneshot::channel();
            let _ = self.asks.send(Ask { lane, sensor, answer }).await; // the end: no answer comes
            let stopping = || ControlError::Refused("the aggregator is stopping".into());
            match answered.await.unwrap_or_else(|_| Err(stopping())).map_err(Unclaimed::Register)? {
                Claimed::Yes => {
                    self.owned().insert(sensor);
                    return Ok(());
                }
                Claimed::Elsewhere { connected } if begun.elapsed() >= patience => {
                    return Err(Unclaimed::Elsewhere(connected));
                }
                Claimed::Elsewhere { .. } => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Answers claims for ever, many in one transaction.
    pub(crate) async fn serve_claims(&self, mut asks: Asks) {
        let mut some = Vec::new();
        while asks.0.recv_many(&mut some, CLAIMS).await > 0 {
            let mut by_lane: HashMap<usize, Vec<Ask>> = HashMap::new();
            for ask in some.drain(..) {
                by_lane.entry(ask.lane).or_default().push(ask);
            }
            for (lane, asks) in by_lane {
                let sensors: Vec<Uuid> = asks.iter().map(|a| a.sensor).collect();
                let Some(fence) = self.fences.get(lane) else { continue }; // lanes and leases are as many
                match self.control.claim_sensors(*fence, &sensors).await {
                    Ok(answers) => {
                        for (ask, claimed) in asks.into_iter().zip(answers) {
                            let _ = ask.answer.send(Ok(claimed)); // who asked has gone: the claim is harmless
                        }
                    }
                    Err(e) => {
                        let text = e.to_string();
                        for ask in asks {
                            let _ = ask.answer.send(Err(ControlError::Refused(text.clone()))); // as above
                        }
                    }
                }
            }
        }
    }

    /// Renews, lets go, watches the others, for ever; ends where the lease is lost.
    pub(crate) async fn keep(self: Arc<Self>, hub: Arc<Hub>) {
        let mut seen: HashMap<i64, (i64, Instant)> = HashMap::new();
        let busy: Arc<Mutex<HashSet<i64>>> = Arc::default();
        let mut last_error = String::new();
        loop {
            tokio::time::sleep(self.length / BEATS).await;
            match self.beat(&hub, &mut seen, &busy).await {
                Ok(true) => last_error.clear(),
                Ok(false) => {
                    tracing::error!("another aggregator has taken over this one's lanes; it must stop and start anew");
                    self.leads.send_replace(false);
                    let _ = self.lost.send(true); // nobody listens: ingest has ended
                    return;
                }
                Err(e) => {
                    self.metrics.lease_errors.inc();
                    let text = e.to_string();
                    if text != last_error {
                        tracing::error!(error = %text, "leases could not be renewed; ingest goes on until somebody takes over");
                        last_error = text;
                    }
                }
            }
        }
    }

    async fn beat(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        seen: &mut HashMap<i64, (i64, Instant)>,
        busy: &Arc<Mutex<HashSet<i64>>>,
    ) -> Result<bool, ControlError> {
        if !self.control.renew_lanes(&self.fences).await?.is_empty() {
            return Ok(false);
        }
        for fence in &self.fences {
            for sensor in self.control.wanted_sensors(*fence).await? {
                // The identity is held while the sensor is let go, so that it cannot come in between.
                match hub.idle(sensor) {
                    Some(_identity) => {
                        self.owned().remove(&sensor);
                        self.control.release_sensor(*fence, sensor).await?;
                        self.metrics.sensors_moved.with_label_values(&["away"]).inc();
                    }
                    None if hub.has(sensor) => self.control.keep_sensor(*fence, sensor).await?,
                    None => {} // something of it is on its way; the next beat looks again
                }
            }
        }
        let open = self.control.open_lanes().await?;
        self.leads.send_replace(oldest_is_of(&self.fences, &open));
        seen.retain(|fence, _| open.iter().any(|l| l.fence == *fence));
        for other in open.into_iter().filter(|l| !self.fences.contains(&l.fence)) {
            let now = Instant::now();
            let (beat, since) = seen.entry(other.fence).or_insert((other.beat, now));
            if *beat != other.beat {
                (*beat, *since) = (other.beat, now);
            }
            let free = busy.lock().unwrap_or_else(PoisonError::into_inner).insert(other.fence);
            if since.elapsed() < self.length || !free {
                if free {
                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&other.fence);
                }
                continue;
            }
            // Beside the beats: an insert that hangs may take its time to die.
            let (this, busy) = (Arc::clone(self), Arc::clone(busy));
            tokio::spawn(async move {
                if let Err(e) = this.take_over(&other).await {
                    this.metrics.lease_errors.inc();
                    tracing::error!(lane = other.fence, error = %e, "a lost aggregator's lane could not be taken over yet");
                }
                busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&other.fence);
            });
        }
        Ok(true)
    }

    async fn take_over(&self, other: &Lease) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let own = self.fences.first().copied().unwrap_or_default();
        if !self.control.begin_fencing(other, own).await? {
            return Ok(()); // it beat again, or another aggregator does it
        }
        tracing::warn!(
            aggregator = other.aggregator,
            lease = other.fence,
            "gives no sign of life; its lane is taken over"
        );
        let lane = format!("{}-{}", other.journal, other.lane);
        let below = other.fence.unsigned_abs() + 1;
        self.telemetry.fence(&lane, below).await?;
        let repaired = self.telemetry.repair(&Scope::System, &lane, below).await?;
        self.metrics.repaired_segments.inc_by(repaired.segments);
        self.control.end_fencing(other.fence, &format!("aggregator:{}", self.name), self.clock.now().micros()).await?;
        self.metrics.takeovers.inc();
        tracing::warn!(
            lease = other.fence,
            segments = repaired.segments,
            rows = repaired.rows,
            "taken over and repaired"
        );
        Ok(())
    }

    /// Ends the leases: everything is durable.
    pub(crate) async fn end(&self) {
        for fence in &self.fences {
            if let Err(e) = self.control.end_lane(*fence).await {
                tracing::warn!(error = %e, "a lease could not be ended; others wait until it runs out");
            }
        }
    }
}

/// Whether the oldest of the leases that are held is one of `fences`.
fn oldest_is_of(fences: &[i64], open: &[Lease]) -> bool {
    let held = open.iter().filter(|l| l.state == LeaseState::Held).map(|l| l.fence);
    held.min().is_some_and(|oldest| fences.contains(&oldest))
}

/// Why the leases could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// The control plane.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The journal.
    #[error("{0}")]
    Journal(std::io::Error),
}
