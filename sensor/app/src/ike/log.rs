// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `ike`: the message, what the responder chose, and in version 1 the keys and nonces of both sides so far. Version 2 is
//! written as Suricata 7.0.10 does.

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::Direction;

use super::{
    Choices, Talk, Tx, names,
    parser::{Attribute, Message},
};

/// The member of an event or an alert.
pub fn write(tx: &Tx, talk: &Talk, choices: Choices, w: &mut JsonWriter) {
    let m = &tx.message;
    w.key("ike").open();
    w.key("version_major").u64(m.version.0.into()).key("version_minor").u64(m.version.1.into());
    w.key("init_spi").bytes(&m.init_spi).key("resp_spi").bytes(&m.resp_spi);
    w.key("message_id").u64(m.id.into()).key("exchange_type").u64(m.exchange.into());
    if let Some(words) = names::exchange(m.exchange).filter(|_| choices.extended) {
        w.key("exchange_type_verbose").string(words);
    }
    match m.version.0 {
        // A message that proposes comes before the choice.
        1 if tx.direction == Direction::ToServer && !m.proposals.is_empty() => {}
        1 => attributes(&talk.chosen, w),
        _ if tx.direction == Direction::ToServer => {
            w.key("role").string("initiator");
        }
        _ => {
            w.key("role").string("responder");
            for a in &talk.algorithms.0 {
                w.key(names::key(a.class)).string(names::value(a));
            }
        }
    }
    if !m.payloads.is_empty() {
        w.key("payload").open_array();
        for p in &m.payloads {
            w.string(names::payload(*p));
        }
        w.close_array();
    }
    match m.version.0 {
        1 => version_1(tx, talk, w),
        _ => version_2(m, w),
    }
    w.close();
}

fn attributes(list: &[Attribute], w: &mut JsonWriter) {
    for (i, a) in list.iter().enumerate() {
        // An object has each member once.
        if list.iter().take(i).all(|b| b.class != a.class) {
            w.key(names::key(a.class)).string(names::value(a)).key(names::raw_key(a.class)).u64(a.value.into());
        }
    }
}

fn version_1(tx: &Tx, talk: &Talk, w: &mut JsonWriter) {
    let m = &tx.message;
    w.key("ikev1").open();
    if let Some(doi) = talk.doi {
        w.key("doi").u64(doi.into());
    }
    w.key("encrypted_payloads").bool(m.encrypted);
    if m.encrypted {
        w.close();
        return; // what the sides said stands in the messages in clear
    }
    for (name, side) in ["client", "server"].into_iter().zip(&talk.sides) {
        w.key(name).open();
        for (key, length, bytes) in [
            ("key_exchange_payload", "key_exchange_payload_length", &side.key),
            ("nonce_payload", "nonce_payload_length", &side.nonce),
        ] {
            if !bytes.is_empty() {
                w.key(key).string(&hex::encode(bytes)).key(length).u64(bytes.len() as u64);
            }
        }
        if name == "client" && tx.direction == Direction::ToServer && !m.proposals.is_empty() {
            w.key("proposals").open_array();
            for p in &m.proposals {
                w.open();
                attributes(p, w);
                w.close();
            }
            w.close_array();
        }
        w.close();
    }
    w.key("vendor_ids").open_array();
    for v in &m.vendors {
        w.bytes(v);
    }
    w.close_array().close();
}

fn version_2(m: &Message, w: &mut JsonWriter) {
    w.key("ikev2").open();
    w.key("errors").u64(m.notify.iter().filter(|n| **n < 16384).count() as u64);
    if !m.notify.is_empty() {
        w.key("notify").open_array();
        for n in &m.notify {
            match names::notify(*n) {
                Some(name) => w.string(name),
                None => w.string(&format!("UNKNOWN({n})")),
            };
        }
        w.close_array();
    }
    w.close();
}
