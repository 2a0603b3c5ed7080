// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Telemetry in ClickHouse: tables, migrations, inserts that count once, and questions within a scope.
//!
//! One code path over HTTP for the embedded engine and for a server named by URL. Must never be asked without a
//! [`crate::scope::Scope`], and never insert what [`extract`] has not validated.

pub mod columns;
mod extract;
mod insert;
mod migrate;
mod query;
mod rows;

pub use extract::{
    LATE_US, MAX_AHEAD_US, MAX_BEHIND_US, MAX_DEPTH, MAX_DETAIL, MAX_LISTS, MAX_NAME, Place, Poison, Reason, Resolver,
    extract, gap, is_public, quarantine,
};
pub use insert::{Connection, DATABASE, Telemetry, TelemetryError};
pub use migrate::SCHEMA_VERSION;
pub use query::{
    AlertFilter, AlertGroup, AlertRow, Hop, HourCount, HourReports, MAX_ROWS, MAX_SECONDS, SegmentInfo, SensorHealth,
    SignatureCount,
};
pub use rows::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ID, Row, Rows, RowsError};
