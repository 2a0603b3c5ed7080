// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Prometheus metrics of the sensor, `lagewarte_sensor_*`, on a listener of their own.
//!
//! Must never answer anything but `GET /metrics`, hold more than [`MAX_CONNECTIONS`] connections, or name an address.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use lagewarte_spool::{GapReason, State};

use crate::station::Snapshot;

/// Most connections at once. Threat: a scanner holding sockets of the gateway.
pub const MAX_CONNECTIONS: usize = 8;
/// Longest request read, bytes. Threat: an endless header.
pub const MAX_REQUEST: usize = 8 << 10;
/// Longest time for one request. Threat: a client that says nothing.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Writes a snapshot in Prometheus' text form.
///
/// # Errors
/// Where a metric's name or label is wrong: a mistake of ours.
pub fn text(s: &Snapshot) -> Result<Vec<u8>, prometheus::Error> {
    let registry = Registry::new();
    let counter = |name: &str, help: &str, labels: &[&str], values: &[(Vec<&str>, u64)]| {
        let vec = IntCounterVec::new(Opts::new(format!("lagewarte_sensor_{name}"), help), labels)?;
        for (label, value) in values {
            vec.get_metric_with_label_values(label)?.inc_by(*value);
        }
        registry.register(Box::new(vec))
    };
    let gauge = |name: &str, help: &str, labels: &[&str], values: &[(Vec<&str>, i64)]| {
        let vec = IntGaugeVec::new(Opts::new(format!("lagewarte_sensor_{name}"), help), labels)?;
        for (label, value) in values {
            vec.get_metric_with_label_values(label)?.set(*value);
        }
        registry.register(Box::new(vec))
    };
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let one = |n: u64| vec![(vec![], n)];
    let capture = s.telemetry.capture();
    counter("packets_total", "Packets that reached the sensor", &[], &one(capture.packets))?;
    counter(
        "kernel_drops_total",
        "Packets that the kernel dropped before the sensor saw them",
        &[],
        &one(capture.drops),
    )?;
    let decoded = decoder_counters(capture.stats.as_ref());
    let decoded: Vec<_> = decoded.iter().map(|(n, v)| (vec![n.as_str()], *v)).collect();
    counter("decoded_total", "Packets by what was decoded, and reasons why not", &["what"], &decoded)?;
    let class = |all: Vec<(&'static str, u64)>| all.into_iter().map(|(n, v)| (vec![n], v)).collect::<Vec<_>>();
    counter(
        "events_produced_total",
        "Events that came to the release door",
        &["class"],
        &class(s.telemetry.produced_by_class()),
    )?;
    counter("events_released_total", "Events in the spool", &["class"], &class(s.telemetry.released_by_class()))?;
    let dropped = s.telemetry.dropped_by_reason();
    let dropped: Vec<_> = dropped.iter().map(|((stage, reason), n)| (vec![*stage, *reason], *n)).collect();
    counter("dropped_total", "What was lost or withheld, and why", &["stage", "reason"], &dropped)?;
    counter(
        "release_log_errors_total",
        "Lines that the release log could not take",
        &[],
        &one(s.telemetry.release_log_errors()),
    )?;

    let states: Vec<_> = State::ALL.iter().map(|n| (vec![n.name()], i64::from(*n == s.spool.state))).collect();
    gauge("spool_state", "1 at the state of the spool", &["state"], &states)?;
    let entered: Vec<_> = State::ALL.iter().zip(s.spool.entered).map(|(state, n)| (vec![state.name()], n)).collect();
    counter("spool_state_entered_total", "How often the spool came into a state", &["state"], &entered)?;
    gauge(
        "spool_state_since_seconds",
        "Since when it is in its state, seconds since the epoch",
        &[],
        &[(vec![], s.spool.state_since_us / 1_000_000)],
    )?;
    let refused: Vec<_> = GapReason::ALL.iter().zip(s.spool.dropped).map(|(r, n)| (vec![r.name()], n)).collect();
    counter("spool_refused_total", "Records that the spool did not take, and why", &["reason"], &refused)?;
    gauge("spool_records", "Records not yet acknowledged", &[], &[(vec![], int(s.spool.records))])?;
    gauge("spool_bytes", "Bytes of the spool on disk", &[], &[(vec![], int(s.spool.bytes))])?;
    counter("spool_disk_errors_total", "Commits and deletions that failed", &[], &one(s.spool.disk_errors))?;
    gauge("uplink_connected", "1 while the aggregator answers", &[], &[(vec![], i64::from(s.uplink.connected))])?;
    gauge(
        "uplink_lag_us",
        "Age of the oldest alert or health event not yet acknowledged, microseconds",
        &[],
        &[(vec![], s.uplink.lag_us)],
    )?;
    gauge(
        "uplink_bulk_lag_us",
        "The same of everything but alerts and health, which may have to wait for its hours",
        &[],
        &[(vec![], s.uplink.bulk_lag_us)],
    )?;
    let waits = [("credit", s.uplink.waits_for_credit), ("rate", s.uplink.waits_for_rate)];
    let waits: Vec<_> = waits.iter().map(|(n, w)| (vec![*n], i64::from(*w))).collect();
    gauge("uplink_waits", "1 while a batch waits for the aggregator's credit, or for the cap", &["for"], &waits)?;
    counter("uplink_connections_total", "Connections that were welcomed", &[], &one(s.uplink.connections))?;
    counter("uplink_sent_bytes_total", "Bytes sent, before packing", &[], &one(s.uplink.sent_bytes))?;
    counter("uplink_sent_wire_bytes_total", "Bytes sent, packed, before TLS", &[], &one(s.uplink.sent_wire_bytes))?;
    counter("uplink_gap_numbers_total", "Numbers reported as gaps", &[], &one(s.uplink.gap_numbers))?;
    counter("uplink_errors_total", "Connections that failed or broke", &[], &one(s.uplink.errors))?;
    counter("uplink_sent_events_total", "Events sent; again sent ones count again", &[], &one(s.uplink.sent_events))?;
    gauge(
        "certificate_not_after_seconds",
        "When this sensor's certificate ends, seconds since the epoch",
        &[],
        &[(vec![], s.uplink.certificate_not_after.secs())],
    )?;
    if let Some((shadow, ring)) = s.telemetry.shadow() {
        let sides = ["ours", "theirs"].into_iter().enumerate();
        let alerts: Vec<_> = sides
            .flat_map(|(i, side)| {
                [
                    (vec![side, "matched"], shadow.matched),
                    (vec![side, "differing"], shadow.differing[i]),
                    (vec![side, "not-compared"], shadow.not_compared[i]),
                ]
            })
            .collect();
        let help = "Alerts compared with the engine beside this sensor, and what came of it";
        counter("shadow_alerts_total", help, &["side", "outcome"], &alerts)?;
        let help = "Pairs of alerts that met after the grace: matched, though one was counted as differing or not compared before";
        counter("shadow_late_total", help, &[], &one(shadow.late))?;
        let help = "1 while the engine beside this sensor writes nothing";
        gauge("shadow_theirs_silent", help, &[], &[(vec![], i64::from(shadow.silent))])?;
        let packets = [
            (vec!["written"], ring.written),
            (vec!["queue-full"], ring.queue_full),
            (vec!["disk"], ring.disk),
            (vec!["link-type"], ring.link_type),
        ];
        counter("shadow_ring_packets_total", "Packets for the ring, and why not in it", &["outcome"], &packets)?;
    }
    gauge("rules_loaded", "Rules in force", &[], &[(vec![], int(s.about.rules_loaded as u64))])?;
    gauge("rules_refused", "Rules refused", &[], &[(vec![], int(s.about.rules_refused as u64))])?;
    gauge("start_time_seconds", "When the process started", &[], &[(vec![], s.about.started.secs())])?;

    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out)?;
    Ok(out)
}

/// `decoder.*` of the pipeline's stats, names joined with dots.
fn decoder_counters(stats: Option<&serde_json::Value>) -> Vec<(String, u64)> {
    fn collect(prefix: &str, value: &serde_json::Value, out: &mut Vec<(String, u64)>) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    collect(&path, value, out);
                }
            }
            value => out.extend(value.as_u64().filter(|n| *n > 0).map(|n| (prefix.to_owned(), n))),
        }
    }
    let mut out = Vec::new();
    if let Some(decoder) = stats.and_then(|s| s.get("decoder")) {
        collect("", decoder, &mut out);
    }
    out
}

/// Takes the listener, so that a busy port is an error at the start.
///
/// # Errors
/// A sentence with what to do.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|e| {
        anyhow!("cannot listen on {listen} for metrics: {e}. Another program (or another sensor) may hold the port: choose another one under lagewarte.metrics.listen, or leave the key out")
    })
}

/// Answers scrapes for ever.
pub async fn serve(listener: TcpListener, snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors: not in a tight loop
            continue;
        };
        let snapshot = Arc::clone(&snapshot);
        tokio::spawn(async move {
            if let Ok(Err(e)) = tokio::time::timeout(TIMEOUT, answer(stream, &*snapshot)).await {
                tracing::debug!(error = %e, "metrics request");
            }
            drop(slot);
        });
    }
}

async fn answer(mut stream: TcpStream, snapshot: &(dyn Fn() -> Snapshot + Send + Sync)) -> anyhow::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|w| w == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") || request.starts_with(b"GET /metrics?") {
        ("200 OK", text(&snapshot()).context("writing the metrics")?)
    } else {
        ("404 Not Found", b"GET /metrics\n".to_vec())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}
