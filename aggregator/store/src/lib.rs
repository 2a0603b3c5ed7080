// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! ClickHouse (embedded engine or server) and the control plane (SQLite or PostgreSQL). Every query takes a Scope.

pub mod control;
pub mod scope;

pub use scope::Scope;
