// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `ssh`: both banners, and the fingerprints where they are known.

use lagewarte_event::eve::JsonWriter;

use super::Tx;

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("ssh").open();
    for (name, said) in ["client", "server"].iter().zip(&tx.said) {
        if said.banner.is_none() && said.hassh.is_none() {
            continue;
        }
        w.key(name).open();
        if let Some(b) = &said.banner {
            w.key("proto_version").bytes(&b.proto);
            if !b.software.is_empty() {
                w.key("software_version").bytes(&b.software);
            }
        }
        if let Some((text, hash)) = &said.hassh {
            w.key("hassh").open().key("hash").string(hash).key("string").bytes(text).close();
        }
        w.close();
    }
    w.close();
}
