// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `ldap`: the request and its responses, each under the name of its operation. Passwords are not written.

use lagewarte_event::{
    eve::JsonWriter,
    names::{LDAP_CODES, LDAP_OPERATIONS, name_of},
};

use super::{Kept, Tx, op};
use crate::ber::{Element, Elements};

/// Elements of one list that are written at most.
const MAX_LISTED: usize = 256;

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("ldap").open();
    if let Some(m) = &tx.request {
        w.key("request").open();
        one(m, w);
        w.close();
    }
    if !tx.responses.is_empty() {
        w.key("responses").open_array();
        for m in &tx.responses {
            w.open();
            one(m, w);
            w.close();
        }
        w.close_array();
    }
    w.close();
}

fn one(m: &Kept, w: &mut JsonWriter) {
    w.key("message_id").u64(u64::try_from(m.id).unwrap_or(0));
    let Some(name) = name_of(LDAP_OPERATIONS, m.op.into()) else { return };
    w.key("operation").string(name);
    if matches!(m.op, op::UNBIND | op::REFERENCE) {
        return;
    }
    w.key(name).open();
    let part = |n: usize| Elements(&m.content).nth(n);
    let text = |key: &str, e: Option<Element<'_>>, w: &mut JsonWriter| {
        if let Some(t) = op::octets(e) {
            w.key(key).bytes(t);
        }
    };
    let number = |key: &str, e: Option<Element<'_>>, w: &mut JsonWriter| {
        if let Some(n) = e.and_then(Element::number).and_then(|n| u64::try_from(n).ok()) {
            w.key(key).u64(n);
        }
    };
    let truth = |e: Option<Element<'_>>| e.is_some_and(|e| e.content.first().is_some_and(|b| *b != 0));
    match m.op {
        0 => {
            number("version", part(0), w);
            text("name", part(1), w);
            if let Some(sasl) = part(2).filter(|e| e.tag == 0xa3) {
                w.key("sasl").open();
                text("mechanism", sasl.elements().next(), w);
                w.close();
            }
        }
        3 => {
            text("base_object", part(0), w);
            for (i, key) in ["scope", "deref_alias", "size_limit", "time_limit"].iter().enumerate() {
                number(key, part(i + 1), w);
            }
            w.key("types_only").bool(truth(part(5)));
            if let Some(list) = part(7) {
                w.key("attributes");
                texts(list.elements(), w);
            }
        }
        4 => {
            text("base_object", part(0), w);
            attributes("type", part(1), w);
        }
        6 => {
            text("object", part(0), w);
            w.key("changes").open_array();
            for change in part(1).into_iter().flat_map(Element::elements).take(MAX_LISTED) {
                let mut parts = change.elements();
                w.open().key("operation").string(match parts.next().and_then(Element::number) {
                    Some(0) => "add",
                    Some(1) => "delete",
                    Some(2) => "replace",
                    Some(3) => "increment",
                    _ => "unknown",
                });
                if let Some(what) = parts.next() {
                    text("modification_type", what.elements().next(), w);
                    if let Some(values) = what.elements().nth(1) {
                        w.key("modification_values");
                        texts(values.elements(), w);
                    }
                }
                w.close();
            }
            w.close_array();
        }
        8 => {
            text("entry", part(0), w);
            attributes("name", part(1), w);
        }
        10 => drop(w.key("dn").bytes(&m.content)),
        12 => {
            text("entry", part(0), w);
            text("new_rdn", part(1), w);
            w.key("delete_old_rdn").bool(truth(part(2)));
            if let Some(e) = part(3).filter(|e| e.tag == 0x80) {
                w.key("new_superior").bytes(e.content);
            }
        }
        14 => {
            text("entry", part(0), w);
            w.key("attribute_value_assertion").open();
            let said = part(1).into_iter().flat_map(Element::elements);
            for (key, e) in ["description", "value"].iter().zip(said) {
                text(key, Some(e), w);
            }
            w.close();
        }
        16 => {
            let whole = Element { tag: crate::ber::INTEGER, content: &m.content };
            number("message_id", Some(whole), w);
        }
        23 | 25 => {
            for (tag, key) in [(0x80, "name"), (0x81, "value")] {
                if let Some(e) = Elements(&m.content).find(|e| e.tag == tag) {
                    w.key(key).bytes(e.content);
                }
            }
        }
        _ => {
            if let Some(o) = op::outcome(m) {
                w.key("result_code");
                match name_of(LDAP_CODES, o.code) {
                    Some(name) => w.string(name),
                    None => w.string(&format!("unknown({})", o.code)),
                };
                w.key("matched_dn").bytes(o.matched).key("message").bytes(o.message);
            }
            for (tag, key) in [(0x8a, "name"), (0x8b, "value")] {
                if let Some(e) = Elements(&m.content).find(|e| e.tag == tag) {
                    w.key(key).bytes(e.content);
                }
            }
        }
    }
    w.close();
}

fn texts(list: Elements<'_>, w: &mut JsonWriter) {
    w.open_array();
    for e in list.take(MAX_LISTED) {
        w.bytes(e.content);
    }
    w.close_array();
}

fn attributes(key: &str, list: Option<Element<'_>>, w: &mut JsonWriter) {
    w.key("attributes").open_array();
    for (kind, values) in op::attributes(list).take(MAX_LISTED) {
        w.open().key(key).bytes(kind).key("values");
        texts(values, w);
        w.close();
    }
    w.close_array();
}
