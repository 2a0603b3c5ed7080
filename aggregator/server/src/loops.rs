// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The loops beside the listeners: picture and warnings, mail, and a look at what metrics show.
//!
//! An error ends a step, never a loop: it is counted, logged once while it stays the same, and the next step goes on.

use std::{fmt::Display, sync::Arc, time::Duration};

use lagewarte_base::clock::{Clock as _, SystemClock};
use lagewarte_deliver::Mailer;
use lagewarte_picture::Picture;
use lagewarte_store::{
    Scope,
    control::Control,
    engine::Engine,
    telemetry::{Telemetry, TelemetryError},
};
use lagewarte_warn::{Step, Warner};
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;

/// Pause between two looks at the mail queue; a release wakes it at once.
const MAIL_PAUSE: Duration = Duration::from_millis(500);
/// Pause between two looks at deliveries and engine.
const WATCH_PAUSE: Duration = Duration::from_secs(5);

/// Pause between two looks at the store's size.
const STORE_PAUSE: Duration = Duration::from_secs(60);

/// What a loop carries: where it counts, and how it learns of the end.
#[derive(Clone)]
pub(crate) struct Beat {
    pub(crate) metrics: Metrics,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Beat {
    /// Waits for `pause`, or for `early`; true where the end has come.
    async fn pause(&mut self, pause: Duration, early: Option<&Notify>) -> bool {
        let woken = async {
            match early {
                Some(n) => n.notified().await,
                None => std::future::pending().await,
            }
        };
        let ended = async { self.stop.wait_for(|s| *s).await.map(drop) };
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = woken => false,
            _ = ended => true, // an error: the sender is gone, which is the end as well
        }
    }

    fn told<T, E: Display>(&self, name: &'static str, last: &mut Option<String>, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(v) => {
                if last.take().is_some() {
                    tracing::info!(what = name, "goes on");
                }
                self.metrics.last.with_label_values(&[name]).set(SystemClock.now().secs());
                Some(v)
            }
            Err(e) => {
                self.metrics.failures.with_label_values(&[name]).inc();
                let e = e.to_string();
                if last.as_ref() != Some(&e) {
                    tracing::error!(what = name, error = e, "cut short; tried again");
                    *last = Some(e);
                }
                None
            }
        }
    }
}

/// Picture, then warnings: a campaign is a draft in the same beat, and released where a policy fits. Of several
/// aggregators the one that `leads` does it: two that read at different moments would write levels to and fro.
pub(crate) async fn picture(
    mut beat: Beat,
    mut picture: Picture,
    warner: Warner,
    pause: Duration,
    mail: Arc<Notify>,
    leads: watch::Receiver<bool>,
) {
    let (mut last_picture, mut last_warn) = (None, None);
    loop {
        if !*leads.borrow() {
            picture.stand_by();
            if beat.pause(pause, None).await {
                return;
            }
            continue;
        }
        let ticked = picture.tick(SystemClock.now()).await;
        beat.told("picture", &mut last_picture, ticked);
        // Also where the picture failed: what is drafted already can still be released.
        let stepped = warner.step(SystemClock.now().micros()).await;
        if let Some(step) = beat.told("warn", &mut last_warn, stepped) {
            count(&beat.metrics, &step);
            if !step.released.is_empty() {
                mail.notify_one();
            }
        }
        if beat.pause(pause, None).await {
            return;
        }
    }
}

fn count(metrics: &Metrics, step: &Step) {
    let add = |what: &str, n: usize| metrics.warnings.with_label_values(&[what]).inc_by(n as u64);
    add("drafted", step.drafted.len());
    add("addressed", step.added.iter().map(|(_, who)| who.len()).sum());
    add("warned", step.released.iter().map(|(_, who)| who.len()).sum());
    for (warning, who) in &step.released {
        tracing::info!(%warning, constituents = who.len(), "released");
    }
}

/// The mail queue.
pub(crate) async fn mail(mut beat: Beat, mailer: Mailer, early: Arc<Notify>) {
    let mut last = None;
    while beat.told("mail", &mut last, mailer.recover().await).map(|n| beat.metrics.reclaimed.inc_by(n)).is_none() {
        if beat.pause(MAIL_PAUSE, None).await {
            return;
        }
    }
    loop {
        beat.told("mail", &mut last, mailer.step().await);
        if beat.pause(MAIL_PAUSE, Some(&early)).await {
            return;
        }
    }
}

/// Size of the telemetry store: kept below its cap by the aggregator that `leads`, and shown by each.
pub(crate) async fn store(mut beat: Beat, telemetry: Telemetry, cap: Option<u64>, leads: watch::Receiver<bool>) {
    let mut last = None;
    let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    loop {
        let cap = cap.filter(|_| *leads.borrow());
        let step = async {
            let done = telemetry.enforce_cap(&Scope::System, cap).await?;
            Ok::<_, TelemetryError>((done, telemetry.sizes(&Scope::System).await?))
        };
        let stepped = step.await;
        if let Some(((evicted, over), sizes)) = beat.told("store", &mut last, stepped) {
            for e in evicted {
                tracing::warn!(
                    table = e.table,
                    partition = e.partition,
                    rows = e.rows,
                    bytes = e.bytes,
                    "dropped by the size cap"
                );
                beat.metrics.evicted_rows.with_label_values(&[&e.table]).inc_by(e.rows);
                beat.metrics.evicted_bytes.with_label_values(&[&e.table]).inc_by(e.bytes);
            }
            beat.metrics.over_cap.set(gauge(over));
            for s in sizes {
                beat.metrics.store_bytes.with_label_values(&[&s.name]).set(gauge(s.bytes));
                beat.metrics.store_rows.with_label_values(&[&s.name]).set(gauge(s.rows));
                beat.metrics.store_oldest.with_label_values(&[&s.name]).set(s.oldest_us / 1_000_000);
            }
        }
        if beat.pause(STORE_PAUSE, None).await {
            return;
        }
    }
}

/// Deliveries and engine, for metrics.
pub(crate) async fn watch(mut beat: Beat, control: Control, engine: Option<Arc<Engine>>) {
    let mut last = None;
    loop {
        if let Some(counts) = beat.told("watch", &mut last, control.delivery_counts().await) {
            beat.metrics.deliveries.reset();
            for c in lagewarte_store::control::deliveries::Channel::ALL {
                for s in lagewarte_store::control::deliveries::DeliveryState::ALL {
                    let n = counts.iter().find(|(ch, st, _)| ch == c && st == s).map_or(0, |(.., n)| *n);
                    beat.metrics.deliveries.with_label_values(&[c.as_str(), s.as_str()]).set(n);
                }
            }
        }
        if let Some(engine) = &engine {
            beat.metrics.engine_restarts.set(i64::try_from(engine.restarts()).unwrap_or(i64::MAX));
        }
        if beat.pause(WATCH_PAUSE, None).await {
            return;
        }
    }
}
