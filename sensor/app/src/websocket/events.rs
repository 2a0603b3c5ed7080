// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be odd about WebSocket: Suricata's app-layer events of `websocket`.

/// Names, by number.
pub const NAMES: &[&str] = &["skip_end_of_payload", "reassembly_limit_reached"];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A payload longer than is kept.
    SkipEndOfPayload,
    /// A message longer than is put together or inflated.
    ReassemblyLimitReached,
}
