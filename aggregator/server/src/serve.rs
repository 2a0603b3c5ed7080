// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `serve`: every room in its place, from the first check to the last flush.
//!
//! Order of the start: data directory → ports → telemetry store → schemas → control plane → ingest → picture, warnings →
//! mail → site. Order of the stop: nothing new comes in (site, ingest), what was taken becomes durable, the loops end,
//! the engine ends. Must never report itself ready before the store has answered.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use lagewarte_base::clock::{Clock, SystemClock};
use lagewarte_deliver::Mailer;
use lagewarte_ingest::{Budget, Ingest, Options};
use lagewarte_picture::Picture;
use lagewarte_store::control::Control;
use lagewarte_warn::Warner;
use lagewarte_web::{Limits, Site, SiteConfig, map::LandMap, router, serve as serve_http};
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::JoinSet,
};
use tracing_subscriber::EnvFilter;

use crate::{
    config::Config,
    loops::{self, Beat},
    metrics::{self, Metrics},
    start,
};

/// How long ingest may take to bring into the store what it has taken; the rest stays in its journal.
const INGEST_GRACE: Duration = Duration::from_secs(10);
/// How long the loops may take to end their step.
const LOOPS_GRACE: Duration = Duration::from_secs(10);

/// Comes back at SIGTERM or SIGINT.
pub(crate) async fn until_told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn serve(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("LAGEWARTE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Before anything slow, so that a stop during the start is a stop.
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let (stop, stopping) = watch::channel(false);

    start::data_dir(&config.data_dir)?;
    let map = match &config.site.map {
        Some(path) => {
            let read = std::fs::read(path).with_context(|| format!("site.map {} cannot be read", path.display()))?;
            Some(LandMap::from_geojson(&read).with_context(|| format!("site.map {}", path.display()))?)
        }
        None => None,
    };
    let http = start::listen("http.listen", config.http.listen).await?;
    let scrape = start::listen("metrics.listen", config.metrics.listen).await?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    let control = Control::open(&config.control_url()).await?;
    let links = start::links(config)?;
    let (telemetry, engine) = start::telemetry(config).await?;
    let engine = engine.map(Arc::new);
    control.one_at_a_time(telemetry.migrate()).await??;
    let options = Options {
        uplink_listen: config.uplink.listen,
        names: config.uplink.names.clone(),
        uplink_url: config.uplink.public_url.clone(),
        enrolment_listen: config.enrolment.listen,
        enrolment_url: Some(config.enrolment_url()),
        flush: Duration::from_millis(config.ingest.flush_ms),
        flush_rows: config.ingest.flush_rows,
        certificate_days: config.ingest.certificate_days,
        budget: Budget { events: config.ingest.constituent_events, bytes: config.ingest.constituent_bytes },
        foreign_listen: config.foreign.listen,
        foreign_classes: config.foreign.classes.clone(),
        ..Options::new(config.data_dir.clone())
    };
    let ingest = Ingest::start(options, telemetry.clone(), control.clone(), &registry, clock.clone()).await?;

    let mut loops = JoinSet::new();
    let beat = Beat { metrics: metrics.clone(), stop: stopping.clone() };
    let warner = Warner::new(control.clone(), links.clone(), config.warn.clone(), config.contact.clone());
    let picture = Picture::new(
        telemetry.clone(),
        control.clone(),
        config.picture.clone(),
        lagewarte_picture::Metrics::new(&registry)?,
    );
    let early = Arc::new(Notify::new());
    let pause = Duration::from_millis(config.picture.interval_ms);
    loops.spawn(loops::picture(beat.clone(), picture, warner, pause, early.clone(), ingest.leads()));
    loops.spawn(loops::watch(beat.clone(), control.clone(), engine.clone()));
    let cap = config.clickhouse.max_gib.map(|gib| gib.saturating_mul(1 << 30));
    loops.spawn(loops::store(beat.clone(), telemetry.clone(), cap, ingest.leads()));
    match &config.mail {
        Some(mail) => {
            let owner = config.data_dir.canonicalize()?.display().to_string();
            let contact = config.contact.clone();
            let mailer = Mailer::new(control.clone(), mail, links.clone(), contact, clock.clone(), &owner, &registry)?;
            loops.spawn(loops::mail(beat.clone(), mailer, early));
        }
        None => {
            tracing::warn!("no section mail in the configuration: warnings go by feed only, mails wait in the queue")
        }
    }

    let site = SiteConfig { cert: config.contact.clone(), map };
    let site = Site::new(control.clone(), telemetry.clone(), links, clock, site, &registry)?;
    let mut listeners = JoinSet::new();
    let ended = |mut stopping: watch::Receiver<bool>| async move {
        let _ = stopping.wait_for(|s| *s).await; // an error: the sender is gone, which is the end as well
    };
    listeners.spawn(serve_http(http, router(site), Limits::default(), ended(stopping.clone())));
    listeners.spawn(serve_http(scrape, metrics::router(registry), Limits::default(), ended(stopping)));
    tracing::info!(
        site = config.public_url(),
        uplink = %ingest.uplink_address(),
        enrolment = %ingest.enrolment_address(),
        metrics = %config.metrics.listen,
        clickhouse = if engine.is_some() { "embedded" } else { "server" },
        "ready"
    );

    let broken = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        // Another aggregator took over this one's lanes. What is started anew takes new ones.
        () = ingest.lost() => true,
        // None of them ends by itself: what ends has panicked.
        _ = loops.join_next() => true,
        _ = listeners.join_next() => true,
    };
    tracing::info!("stopping");
    let _ = stop.send(true); // whoever does not listen has ended
    while listeners.join_next().await.is_some() {}
    ingest.stop(INGEST_GRACE).await;
    let all = async { while loops.join_next().await.is_some() {} };
    if tokio::time::timeout(LOOPS_GRACE, all).await.is_err() {
        loops.shutdown().await;
    }
    drop(telemetry);
    start::stop_engine(engine.and_then(Arc::into_inner)).await;
    control.close().await;
    anyhow::ensure!(!broken, "a part of the aggregator ended unexpectedly; the log above says which");
    tracing::info!("stopped");
    Ok(())
}
