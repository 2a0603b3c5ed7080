// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! ClickHouse (embedded engine or server) for telemetry; SQLite or PostgreSQL for the control plane.
//!
//! Must never answer a question without a [`Scope`], and never keep telemetry in the control plane. `unsafe` stands in
//! the engine's child only: loading its shared library has no safe form.

pub mod control;
pub mod engine;
pub mod scope;
pub mod telemetry;

pub use scope::Scope;
