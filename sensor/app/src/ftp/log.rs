// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! FTP as EVE writes it. Field names are Suricata's.

use lagewarte_event::eve::JsonWriter;

use super::{Mode, Tx};

/// The member of an event or alert.
pub(super) fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("ftp").open();
    if !tx.command.is_empty() {
        w.key("command").bytes(&tx.command);
        if !tx.data.is_empty() {
            w.key("command_data").bytes(&tx.data);
        }
    }
    if tx.command_truncated || !tx.command.is_empty() && !tx.data.is_empty() {
        w.key("command_truncated").bool(tx.command_truncated);
    }
    if !tx.replies.is_empty() || !tx.codes.is_empty() {
        w.key("reply").open_array();
        for r in &tx.replies {
            w.bytes(r);
        }
        w.close_array();
    }
    if !tx.codes.is_empty() {
        w.key("completion_code").open_array();
        for c in &tx.codes {
            w.bytes(c);
        }
        w.close_array();
    }
    if let Some(port) = tx.port {
        w.key("dynamic_port").u64(port.into());
    }
    if let Some(mode) = tx.mode {
        w.key("mode").string(mode.name());
    }
    w.key("reply_received").string(if tx.replied { "yes" } else { "no" });
    w.key("reply_truncated").bool(tx.reply_truncated);
    w.close();
}

impl Mode {
    /// EVE's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}
