// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The sensor's glue: command line, configuration, release profile and pseudonyms, and the way of an event to the spool.
//!
//! Must never let an event leave that has not passed [`release`]. Decides nothing about packets or rules: that is done in
//! the libraries below it.

pub mod cli;
pub mod compare;
pub mod config;
pub mod filestore;
pub mod health;
pub mod metrics;
pub mod pipeline;
pub mod release;
pub mod shadow;
pub mod shipper;
pub mod station;
pub mod tail;
pub mod telemetry;
pub mod wiring;
