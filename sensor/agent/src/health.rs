// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The sensor's word about itself: one `stats` event an interval, at the start and at the end.
//!
//! Three missed ones and the aggregator shows the sensor as blind. Must never hold an address or a name of the house.

use lagewarte_base::time::Timestamp;
use lagewarte_spool::{GapReason, Status as SpoolStatus};
use lagewarte_uplink::Status as UplinkStatus;
use serde_json::{Map, Value, json};

use crate::telemetry::Telemetry;

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct About {
    /// When it started.
    pub started: Timestamp,
    /// Seconds between health events.
    pub interval_s: u32,
    /// SHA-256 of the rule set, in hex; empty where no rules run.
    pub ruleset: String,
    /// Rules in force.
    pub rules_loaded: usize,
    /// Rules refused.
    pub rules_refused: usize,
}

fn by_reason(refused: &[u64; 5]) -> Map<String, Value> {
    GapReason::ALL
        .iter()
        .zip(refused)
        .filter(|(_, n)| **n > 0)
        .map(|(r, n)| (r.name().to_owned(), (*n).into()))
        .collect()
}

/// The health event at `now`.
pub fn event(
    now: Timestamp,
    about: &About,
    telemetry: &Telemetry,
    spool: &SpoolStatus,
    uplink: &UplinkStatus,
) -> String {
    let capture = telemetry.capture();
    let mut stats = match capture.stats {
        Some(Value::Object(stats)) => stats,
        _ => Map::new(),
    };
    stats.insert("uptime".into(), (now.since(about.started).max(0) / 1_000_000).into());
    stats.insert("capture".into(), json!({"kernel_packets": capture.packets, "kernel_drops": capture.drops}));
    let counted =
        |all: Vec<(&'static str, u64)>| all.into_iter().map(|(n, v)| (n.to_owned(), v.into())).collect::<Map<_, _>>();
    let dropped: Map<String, Value> =
        telemetry.dropped_by_reason().into_iter().map(|((s, r), n)| (format!("{s}.{r}"), n.into())).collect();
    stats.insert(
        "lagewarte".into(),
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "interval_s": about.interval_s,
            "ruleset": about.ruleset,
            "rules_loaded": about.rules_loaded,
            "rules_refused": about.rules_refused,
            "spool": {
                "state": spool.state.name(),
                "state_since_us": spool.state_since_us,
                "records": spool.records,
                "bytes": spool.bytes,
                "oldest_us": spool.oldest_us,
                "refused": by_reason(&spool.dropped),
            },
            "uplink": {
                "connections": uplink.connections,
                "errors": uplink.errors,
                "sent_events": uplink.sent_events,
                "sent_bytes": uplink.sent_bytes,
                "sent_wire_bytes": uplink.sent_wire_bytes,
                "gap_numbers": uplink.gap_numbers,
                "bulk_lag_us": uplink.bulk_lag_us,
            },
            "dropped": dropped,
            "produced": counted(telemetry.produced_by_class()),
            "lag_us": uplink.lag_us,
        }),
    );
    json!({"timestamp": now.eve(), "event_type": "stats", "stats": stats}).to_string()
}
