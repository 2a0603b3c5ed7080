// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Telemetry in ClickHouse: tables, migrations, inserts that count once, and questions within a scope.
//!
//! One code path over HTTP for the embedded engine and for a server named by URL. Must never be asked without a
//! [`crate::scope::Scope`], and never insert what [`extract`] has not validated.

mod ask;
mod backup;
mod cap;
mod choose;
pub mod cluster;
pub mod columns;
mod extract;
mod fence;
mod insert;
mod isolate;
mod known;
mod limits;
mod members;
mod migrate;
mod query;
mod repair;
pub mod rollup;
mod rows;
mod traffic;

pub use cap::{Evicted, KEEP_DAYS, ORDER_OF_DELETION, TableSize};
pub use extract::{
    LATE_US, MAX_AHEAD_US, MAX_BEHIND_US, MAX_DEPTH, MAX_DETAIL, MAX_LISTS, MAX_NAME, Place, Poison, Reason, Resolver,
    extract, gap, is_public, quarantine,
};
pub use fence::{MAX_REPAIRS, PATIENCE, Repaired};
pub use insert::{Connection, DATABASE, Telemetry, TelemetryError};
pub use isolate::{Isolated, MAX_REFUSED, REFUSED};
pub use known::MAX_IDS;
pub use limits::{Limits, MAX_ROWS, Purpose};
pub use migrate::SCHEMA_VERSION;
pub use query::{
    AlertFilter, AlertGroup, AlertRow, Hop, HourReports, MAX_EPOCHS, MAX_MEASURED, SegmentInfo, SensorHealth,
};
pub use repair::{RollupCheck, Touched};
pub use rollup::Rollup;
pub use rows::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ID, Row, Rows, RowsError};
pub use traffic::{HourCount, SignatureCount};
