// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What ingest counts, as Prometheus metrics `lagewarte_ingest_*`.
//!
//! The law: events_received = events_stored + events_duplicate + Σ events_quarantined{reason} + events_in_flight, at any
//! moment since the start (what a start replays from the journal is counted apart). Must never carry a label that a sensor
//! chooses.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

/// The counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) refused: IntCounterVec,
    pub(crate) handshakes_refused: IntCounterVec,
    pub(crate) doubled_identity: IntCounter,
    pub(crate) enrolments: IntCounterVec,
    pub(crate) batches: IntCounter,
    pub(crate) received: IntCounter,
    pub(crate) stored: IntCounter,
    pub(crate) duplicate: IntCounter,
    pub(crate) quarantined: IntCounterVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) in_flight_bytes: IntGauge,
    pub(crate) gap_numbers: IntCounterVec,
    pub(crate) protocol_errors: IntCounterVec,
    pub(crate) segments: IntCounter,
    pub(crate) replayed_segments: IntCounter,
    pub(crate) replayed_rows: IntCounter,
    pub(crate) discarded_segments: IntCounter,
    pub(crate) throttled: IntCounterVec,
    pub(crate) behind_rows: IntCounter,
    pub(crate) foreign_requests: IntCounterVec,
    pub(crate) takeovers: IntCounter,
    pub(crate) repaired_segments: IntCounter,
    pub(crate) sensors_moved: IntCounterVec,
    pub(crate) lease_errors: IntCounter,
    pub(crate) insert_errors: IntCounter,
    pub(crate) journal_errors: IntCounter,
    pub(crate) store_up: IntGauge,
    pub(crate) insert_seconds: Histogram,
    pub(crate) segment_rows: Histogram,
}

impl Metrics {
    /// Makes and registers them.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        fn keep<C: Collector + Clone + 'static>(
            r: &Registry,
            c: Result<C, prometheus::Error>,
        ) -> Result<C, prometheus::Error> {
            let c = c?;
            r.register(Box::new(c.clone()))?;
            Ok(c)
        }
        let opts = |name: &str, help: &str| Opts::new(format!("lagewarte_ingest_{name}"), help);
        let counter = |name, help| keep(registry, IntCounter::with_opts(opts(name, help)));
        let gauge = |name, help| keep(registry, IntGauge::with_opts(opts(name, help)));
        let by = |name, help, label: &str| keep(registry, IntCounterVec::new(opts(name, help), &[label]));
        let histogram = |name, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(format!("lagewarte_ingest_{name}"), help).buckets(buckets.to_vec());
            keep(registry, Histogram::with_opts(opts))
        };
        Ok(Self {
            connections: gauge("connections", "Sensors connected and admitted")?,
            refused: by("refused_total", "Streams refused, by reason", "reason")?,
            handshakes_refused: by("handshakes_refused_total", "TLS handshakes refused, by listener", "listener")?,
            doubled_identity: counter("doubled_identity_total", "Second connections of an identity in use: an alarm")?,
            enrolments: by("enrolments_total", "Enrolment calls, by outcome", "outcome")?,
            batches: counter("batches_total", "Batches received")?,
            received: counter("events_received_total", "Events received")?,
            stored: counter("events_stored_total", "Events durable in the store")?,
            duplicate: counter("events_duplicate_total", "Events received again and dropped")?,
            quarantined: by("events_quarantined_total", "Events durable in quarantine, by reason", "reason")?,
            in_flight: gauge("events_in_flight", "Events received, not yet durable")?,
            in_flight_bytes: gauge("in_flight_bytes", "Bytes of batches received, not yet durable")?,
            gap_numbers: by("gap_numbers_total", "Numbers that sensors reported as lost, by reason", "reason")?,
            protocol_errors: by("protocol_errors_total", "Streams ended for breaking the protocol, by what", "what")?,
            segments: counter("segments_total", "Segments completed")?,
            replayed_segments: counter(
                "replayed_segments_total",
                "Segments found unfinished at start and inserted again",
            )?,
            replayed_rows: counter("replayed_rows_total", "Rows of these")?,
            discarded_segments: counter(
                "discarded_segments_total",
                "Segments found unfinished at start whose lane another aggregator had taken over",
            )?,
            throttled: by(
                "throttled_total",
                "Batches that waited, or were refused, because a constituent was over its budget",
                "constituent",
            )?,
            behind_rows: counter(
                "behind_rows_total",
                "Rows stored that a rollup's view refused: the rollup lacks them",
            )?,
            foreign_requests: by("foreign_requests_total", "Requests of foreign sensors, by outcome", "outcome")?,
            takeovers: counter("takeovers_total", "Leases of other aggregators taken over")?,
            repaired_segments: counter("repaired_segments_total", "Half-done segments completed at a takeover")?,
            sensors_moved: by("sensors_moved_total", "Sensors that came from or went to another aggregator", "way")?,
            lease_errors: counter("lease_errors_total", "Renewals and takeovers that failed and are tried again")?,
            insert_errors: counter("insert_errors_total", "Inserts that failed and are tried again")?,
            journal_errors: counter("journal_errors_total", "Journal writes that failed and are tried again")?,
            store_up: gauge("store_up", "1 while inserts succeed")?,
            insert_seconds: histogram(
                "insert_seconds",
                "Insert of a segment, all tables, with fsync",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            )?,
            segment_rows: histogram(
                "segment_rows",
                "Rows of a segment",
                &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0],
            )?,
        })
    }
}
