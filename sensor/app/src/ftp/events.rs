// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is odd about an FTP session, with Suricata's names.

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
pub enum Event {
    RequestCommandTooLong,
    ResponseCommandTooLong,
}

/// Names by number.
pub const NAMES: &[&str] = &["request_command_too_long", "response_command_too_long"];
