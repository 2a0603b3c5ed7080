// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `enip`: request and response, each with what it carries. Vendors, devices, classes and services of CIP are written as
//! numbers: their names are registered, not specified.

use lagewarte_event::{
    eve::JsonWriter,
    names::{ENIP_COMMANDS, ENIP_STATUS, Names, name_of},
};

use super::{
    Tx,
    parser::{Content, Message, Segment, Service},
};

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    w.key("enip").open();
    for (key, m) in [("request", &tx.request), ("response", &tx.response)] {
        if let Some(m) = m {
            w.key(key).open();
            message(m, w);
            w.close();
        }
    }
    w.close();
}

fn named(key: &str, names: Names, n: u64, w: &mut JsonWriter) {
    w.key(key);
    match name_of(names, n) {
        Some(name) => w.string(name),
        None => w.string(&format!("unknown-{n}")),
    };
}

fn message(m: &Message, w: &mut JsonWriter) {
    let h = &m.header;
    named("command", ENIP_COMMANDS, h.command.into(), w);
    named("status", ENIP_STATUS, h.status.into(), w);
    if h.options != 0 {
        w.key("options").u64(h.options.into());
    }
    match &m.content {
        Content::Other => {}
        Content::Session(version, options) => {
            w.key("register_session").open();
            w.key("protocol_version").u64((*version).into()).key("options").u64((*options).into()).close();
        }
        Content::Services(s) => {
            w.key("list_services").open().key("protocol_version").u64(s.protocol_version.into());
            w.key("capabilities").u64(s.capabilities.into()).key("service_name").bytes(&s.name).close();
        }
        Content::Identity(i) => {
            w.key("identity").open().key("protocol_version").u64(i.protocol_version.into());
            w.key("revision").string(&format!("{}.{}", i.revision.0, i.revision.1));
            w.key("vendor_id").string(&format!("unknown-{}", i.vendor));
            w.key("device_type").string(&format!("unknown-{}", i.device));
            w.key("product_code").u64(i.product.into()).key("status").u64(i.status.into());
            w.key("serial").u64(i.serial.into()).key("product_name").bytes(&i.name);
            w.key("state").u64(i.state.into()).close();
        }
        Content::Cip(all) => {
            if let Some((outer, inner)) = all.split_first() {
                w.key("cip").open();
                service(outer, w);
                if !inner.is_empty() {
                    w.key("multiple").open_array();
                    for s in inner {
                        w.open();
                        service(s, w);
                        w.close();
                    }
                    w.close_array();
                }
                w.close();
            }
        }
    }
}

fn service(s: &Service, w: &mut JsonWriter) {
    w.key("service").string(&format!("unknown-{}", s.code));
    if s.response {
        w.key("status").string(&format!("unknown-{}", s.status));
        if !s.extended.is_empty() {
            let bytes: Vec<u8> = s.extended.iter().flat_map(|e| e.to_le_bytes()).collect();
            w.key("status_extended").string(&hex::encode(bytes));
        }
        return;
    }
    if s.path.is_empty() {
        return;
    }
    w.key("path").open_array();
    for p in &s.path {
        w.open().key("segment_type");
        match kind(*p) {
            Some(name) => w.string(name),
            None => w.string(&format!("unknown-{}", p.kind)),
        };
        w.key("value").u64(p.value.into()).close();
    }
    w.close_array();
    if let Some(class) = s.path.iter().rev().find(|p| p.is_class()) {
        w.key("class_name").string(&format!("unknown-{}", class.value));
    }
}

const fn kind(s: Segment) -> Option<&'static str> {
    Some(match s.kind & 0xfc {
        0x20 => "class",
        0x24 => "instance",
        0x28 => "member",
        0x2c => "connection_point",
        0x30 => "attribute",
        _ => return None,
    })
}
