// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The event on the wire: a protobuf envelope around one EVE JSON object, and the services that carry it.
//!
//! Must never re-encode the JSON: it is written once, by the stage that made the event. The contract is
//! `proto/lagewarte/v1/lagewarte.proto`; fields are only ever added, and fixtures of every version stay readable. Why it
//! is as it is: `docs/uplink.md`.

// `allow`, not `expect`: which of them occur depends on the feature `grpc`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated from the .proto, which is documented"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/lagewarte.v1.rs"));
}

pub mod eve;
pub mod fields;
pub mod names;
#[cfg(feature = "pack")]
pub mod pack;

pub use generated::*;
pub use prost::Message;

/// Largest EVE JSON object carried. Threat: one event (a huge certificate chain, a payload dump) starving the line.
pub const MAX_EVE_BYTES: usize = 256 << 10;
/// Largest batch, encoded. Threat: a sensor making the aggregator hold unbounded memory for one frame.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// Most envelopes in a batch. Threat: millions of empty events in one frame.
pub const MAX_BATCH_EVENTS: usize = 20_000;

impl Class {
    /// The class of an EVE event type; protocol records are the default, so that a new one never leaves as an alert.
    pub fn of(event_type: &str) -> Self {
        match event_type {
            "alert" => Self::Alert,
            "stats" => Self::Health,
            "flow" | "netflow" => Self::Flow,
            "anomaly" => Self::Anomaly,
            "fileinfo" => Self::File,
            _ => Self::Protocol,
        }
    }
    /// The name used in release profiles, quotas and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Alert => "alert",
            Self::Health => "health",
            Self::Flow => "flow",
            Self::Anomaly => "anomaly",
            Self::Protocol => "protocol",
            Self::File => "file",
        }
    }
}
