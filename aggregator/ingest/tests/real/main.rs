// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Ingest with everything real: embedded ClickHouse, SQLite register, mutual TLS, the sensor's own spool and uplink.
//!
//! What was sent is counted by the senders and by the spool's audit reader; what is stored, by SQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers")]

mod crash;
mod foreign;
mod hostile;
mod identity;
mod several;
mod uplink;
mod world;

lagewarte_store::engine_in_tests!();
