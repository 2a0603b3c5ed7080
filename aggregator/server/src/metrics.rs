// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `/metrics` for Prometheus on a listener of its own, and what the binary itself counts.
//!
//! Must never carry a constituent's name, an address or a token: labels are bounded sets.

use axum::{Router, http::header, response::IntoResponse as _, routing::get};
use lagewarte_store::{
    control::deliveries::{Channel, DeliveryState},
    telemetry::ORDER_OF_DELETION,
};
use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// What the binary itself counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Warnings drafted, constituents addressed, constituents warned.
    pub(crate) warnings: IntCounterVec,
    /// Steps of a loop that an error cut short.
    pub(crate) failures: IntCounterVec,
    /// When each loop last came through.
    pub(crate) last: IntGaugeVec,
    /// Deliveries by channel and state.
    pub(crate) deliveries: IntGaugeVec,
    /// Starts of the embedded engine after it died.
    pub(crate) engine_restarts: IntGauge,
    /// Mails whose claim was given back at the start.
    pub(crate) reclaimed: IntCounter,
    /// Size of the telemetry store by table.
    pub(crate) store_bytes: IntGaugeVec,
    /// Rows of the telemetry store by table.
    pub(crate) store_rows: IntGaugeVec,
    /// Start of each table's oldest partition.
    pub(crate) store_oldest: IntGaugeVec,
    /// Rows that the size cap dropped.
    pub(crate) evicted_rows: IntCounterVec,
    /// Bytes that the size cap freed.
    pub(crate) evicted_bytes: IntCounterVec,
    /// Bytes by which the store is too large with nothing left to drop.
    pub(crate) over_cap: IntGauge,
}

/// Loops that report.
pub(crate) const LOOPS: [&str; 5] = ["picture", "warn", "mail", "watch", "store"];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
            let c = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(c.clone()))?;
            Ok(c)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let g = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(g.clone()))?;
            Ok(g)
        };
        let engine_restarts =
            IntGauge::new("lagewarte_engine_restarts", "How often the embedded engine died and was started again")?;
        registry.register(Box::new(engine_restarts.clone()))?;
        let reclaimed = IntCounter::new(
            "lagewarte_mails_reclaimed_total",
            "Mails taken up again that were being sent when the aggregator ended",
        )?;
        registry.register(Box::new(reclaimed.clone()))?;
        let over_cap = IntGauge::new(
            "lagewarte_store_over_cap_bytes",
            "Bytes by which the telemetry store is larger than its cap with nothing left to drop",
        )?;
        registry.register(Box::new(over_cap.clone()))?;
        let build = gauges("lagewarte_build_info", "1; the version is the label", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let m = Self {
            warnings: counters(
                "lagewarte_warnings_total",
                "Warnings drafted; constituents addressed and warned",
                "what",
            )?,
            failures: counters(
                "lagewarte_loop_failures_total",
                "Steps that an error cut short; the next one goes on",
                "loop",
            )?,
            last: gauges(
                "lagewarte_loop_last_success_timestamp_seconds",
                "When the loop last came through",
                &["loop"],
            )?,
            deliveries: gauges("lagewarte_deliveries", "Deliveries by channel and state", &["channel", "state"])?,
            engine_restarts,
            reclaimed,
            store_bytes: gauges("lagewarte_store_bytes", "Bytes on disk of the telemetry store", &["table"])?,
            store_rows: gauges("lagewarte_store_rows", "Rows of the telemetry store", &["table"])?,
            store_oldest: gauges(
                "lagewarte_store_oldest_timestamp_seconds",
                "Start of the oldest partition of the table",
                &["table"],
            )?,
            evicted_rows: counters("lagewarte_store_evicted_rows_total", "Rows dropped by the size cap", "table")?,
            evicted_bytes: counters("lagewarte_store_evicted_bytes_total", "Bytes freed by the size cap", "table")?,
            over_cap,
        };
        // Present from the start, as 0: an alert rule on a missing series never fires.
        for l in LOOPS {
            m.failures.with_label_values(&[l]);
        }
        for what in ["drafted", "addressed", "warned"] {
            m.warnings.with_label_values(&[what]);
        }
        for table in ORDER_OF_DELETION {
            m.evicted_rows.with_label_values(&[table]);
            m.evicted_bytes.with_label_values(&[table]);
        }
        for c in Channel::ALL {
            for s in DeliveryState::ALL {
                m.deliveries.with_label_values(&[c.as_str(), s.as_str()]).set(0);
            }
        }
        Ok(m)
    }
}

/// The listener's routes.
pub(crate) fn router(registry: Registry) -> Router {
    Router::new().route(
        "/metrics",
        get(async move || {
            let mut out = Vec::new();
            let encoder = TextEncoder::new();
            match encoder.encode(&registry.gather(), &mut out) {
                Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], out).into_response(),
                Err(e) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
            }
        }),
    )
}
