// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `rfb`: what is known is written, in the order of the conversation.

use lagewarte_event::eve::JsonWriter;

use super::Tx;

/// The member of an event or an alert.
pub(super) fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("rfb").open();
    for (name, version) in [("server_protocol_version", tx.versions[1]), ("client_protocol_version", tx.versions[0])] {
        if let Some((major, minor)) = version {
            w.key(name).open().key("major").bytes(&major).key("minor").bytes(&minor).close();
        }
    }
    if let Some(kind) = tx.security {
        w.key("authentication").open().key("security_type").u64(kind.into());
        if let [Some(challenge), response] = tx.vnc {
            w.key("vnc").open().key("challenge").string(&hex::encode(challenge));
            if let Some(response) = response {
                w.key("response").string(&hex::encode(response));
            }
            w.close();
        }
        if let Some(result) = tx.result {
            w.key("security_result");
            match result {
                0 => w.string("OK"),
                1 => w.string("FAIL"),
                2 => w.string("TOOMANY"),
                n => w.string(&format!("UNKNOWN ({n})")),
            };
        }
        w.close();
    }
    if let Some(reason) = &tx.reason {
        w.key("server_security_failure_reason").bytes(reason);
    }
    if let Some(shared) = tx.shared {
        w.key("screen_shared").bool(shared);
    }
    if let Some(s) = &tx.screen {
        let (p, [red, green, blue]) = (s.pixels, s.pixels.max);
        let [red_shift, green_shift, blue_shift] = p.shift;
        w.key("framebuffer").open().key("width").u64(s.size.0.into()).key("height").u64(s.size.1.into());
        w.key("name").bytes(&s.name);
        w.key("pixel_format").open().key("bits_per_pixel").u64(p.bits.into()).key("depth").u64(p.depth.into());
        w.key("big_endian").bool(p.big_endian).key("true_color").bool(p.true_color);
        for (name, n) in [("red_max", red), ("green_max", green), ("blue_max", blue)] {
            w.key(name).u64(n.into());
        }
        for (name, n) in [("red_shift", red_shift), ("green_shift", green_shift), ("blue_shift", blue_shift)] {
            w.key(name).u64(n.into());
        }
        w.close().close();
    }
    w.close();
}
