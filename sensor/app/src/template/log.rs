// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The template's protocol as EVE writes it.

use lagewarte_event::eve::JsonWriter;

use super::Tx;

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("template").open().key("request").bytes(&tx.request).key("response").bytes(&tx.response).close();
}
