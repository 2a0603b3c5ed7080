// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `websocket`. Payloads are not written: `websocket.payload` is for rules.

use lagewarte_event::eve::JsonWriter;

use super::{Tx, parser};

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("websocket").open().key("fin").bool(tx.head.fin);
    if let Some(mask) = tx.head.mask {
        w.key("mask").u64(mask.into());
    }
    w.key("opcode");
    match parser::opcode_name(tx.head.opcode) {
        Some(name) => w.string(name),
        None => w.string(&format!("unknown-{}", tx.head.opcode)),
    };
    w.close();
}
