// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `mqtt`: each message of a transaction under its kind.

use lagewarte_event::eve::JsonWriter;

use super::{
    Choices, Kept, Tx,
    message::{Body, Properties, Value, kind},
};

/// Topics that are written at most.
const MAX_LISTED: usize = 100;

/// A kind's name: lower-case in EVE, in any case in rules.
pub const fn kind_name(k: u8) -> Option<&'static str> {
    Some(match k {
        kind::CONNECT => "connect",
        kind::CONNACK => "connack",
        kind::PUBLISH => "publish",
        kind::PUBACK => "puback",
        kind::PUBREC => "pubrec",
        kind::PUBREL => "pubrel",
        kind::PUBCOMP => "pubcomp",
        kind::SUBSCRIBE => "subscribe",
        kind::SUBACK => "suback",
        kind::UNSUBSCRIBE => "unsubscribe",
        kind::UNSUBACK => "unsuback",
        kind::PINGREQ => "pingreq",
        kind::PINGRESP => "pingresp",
        kind::DISCONNECT => "disconnect",
        kind::AUTH => "auth",
        _ => return None,
    })
}

/// The member of an event or an alert.
pub fn write(tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    w.key("mqtt").open();
    for m in &tx.messages {
        let Some(name) = kind_name(m.kind) else { continue };
        w.key(name).open();
        w.key("qos").u64(m.qos().into()).key("retain").bool(m.flags & 1 != 0).key("dup").bool(m.flags & 8 != 0);
        match (m.skipped, m.body()) {
            (Some(n), _) => drop(w.key("truncated").bool(true).key("skipped_length").u64(n)),
            (None, Some(body)) => one(m, body, choices, w),
            (None, None) => {}
        }
        w.close();
    }
    w.close();
}

fn one(m: &Kept, body: Body<'_>, choices: &Choices, w: &mut JsonWriter) {
    match body {
        Body::Connect { protocol, version, flags, properties: p, client, will, user, password } => {
            w.key("protocol_string").bytes(protocol).key("protocol_version").u64(version.into());
            w.key("flags").open();
            for (name, bit) in
                [("username", 0x80), ("password", 0x40), ("will_retain", 0x20), ("will", 4), ("clean_session", 2)]
            {
                w.key(name).bool(flags & bit != 0);
            }
            w.close().key("client_id").bytes(client);
            if let Some(user) = user {
                w.key("username").bytes(user);
            }
            if let Some(password) = password.filter(|_| choices.passwords) {
                w.key("password").bytes(password);
            }
            if let Some((p, topic, message)) = will {
                w.key("will").open().key("topic").bytes(topic).key("message").bytes(message);
                properties(p, w);
                w.close();
            }
            properties(p, w);
        }
        Body::Connack { present, code, properties: p } => {
            w.key("session_present").bool(present).key("return_code").u64(code.into());
            properties(p, w);
        }
        Body::Publish { topic, id, properties: p, message } => {
            w.key("topic").bytes(topic);
            if let Some(id) = id {
                w.key("message_id").u64(id.into());
            }
            w.key("message").bytes(message);
            properties(p, w);
        }
        Body::Ack { id, code, properties: p } => {
            w.key("message_id").u64(id.into());
            if let Some(code) = code {
                w.key("reason_code").u64(code.into());
            }
            properties(p, w);
        }
        Body::Subscribe { id, properties: p, topics } => {
            w.key("message_id").u64(id.into()).key("topics").open_array();
            for (topic, options) in topics.take(MAX_LISTED) {
                w.open().key("topic").bytes(topic).key("qos").u64((options & 3).into()).close();
            }
            w.close_array();
            properties(p, w);
        }
        Body::Unsubscribe { id, properties: p, topics } => {
            w.key("message_id").u64(id.into()).key("topics").open_array();
            for (topic, _) in topics.take(MAX_LISTED) {
                w.bytes(topic);
            }
            w.close_array();
            properties(p, w);
        }
        Body::Granted { id, properties: p, codes } => {
            w.key("message_id").u64(id.into());
            if m.kind == kind::SUBACK || !codes.is_empty() {
                w.key(if m.kind == kind::SUBACK { "qos_granted" } else { "reason_codes" }).open_array();
                for c in codes.iter().take(MAX_LISTED) {
                    w.u64((*c).into());
                }
                w.close_array();
            }
            properties(p, w);
        }
        Body::End { code, properties: p } => {
            if let Some(code) = code {
                w.key("reason_code").u64(code.into());
            }
            properties(p, w);
        }
        Body::Ping => {}
    }
}

fn properties(p: Properties<'_>, w: &mut JsonWriter) {
    if p.is_empty() {
        return;
    }
    w.key("properties").open();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in p.take(MAX_LISTED) {
        match value {
            // A name of the user's may be anything: written where it is a text that was not there yet.
            Value::Pair(name, value) => {
                if let Ok(name) = std::str::from_utf8(name)
                    && !seen.contains(&name)
                {
                    seen.push(name);
                    w.key(name).bytes(value);
                }
            }
            _ if seen.contains(&name) => {}
            Value::Number(n) => {
                seen.push(name);
                w.key(name).u64(n.into());
            }
            Value::Bytes(b) => {
                seen.push(name);
                w.key(name).bytes(b);
            }
        }
    }
    w.close();
}
