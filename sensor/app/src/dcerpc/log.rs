// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `dcerpc`, and the parts of it that `smb.dcerpc` shares.

use lagewarte_event::eve::JsonWriter;

use super::{
    Tx,
    call::{Bound, Call},
    names,
    pdu::{kind, kind_name, written},
};

/// The member of an event or an alert.
pub fn write(tx: &Tx, w: &mut JsonWriter) {
    let c = &tx.call;
    w.key("dcerpc").open();
    match c.request {
        Some(kind::REQUEST) => {
            w.key("request").string("REQUEST");
            w.key("req").open().key("opnum").u64(c.opnum.into());
            w.key("frag_cnt").u64(c.fragments[0].into()).key("stub_data_size").u64(c.stub_size[0]).close();
        }
        Some(kind) => drop(w.key("request").string(kind_name(kind))),
        None => drop(w.key("request").string("REQUEST_LOST")),
    }
    interfaces(c, w);
    match c.response {
        Some(kind) => {
            w.key("response").string(kind_name(kind));
            if kind == kind::RESPONSE {
                w.key("res").open();
                w.key("frag_cnt").u64(c.fragments[1].into()).key("stub_data_size").u64(c.stub_size[1]).close();
            }
        }
        None => drop(w.key("response").string("UNREPLIED")),
    }
    match &tx.activity {
        Some(activity) => drop(w.key("activityuuid").string(&written(activity)).key("seqnum").u64(c.id.into())),
        None => drop(w.key("call_id").u64(c.id.into())),
    }
    w.key("rpc_version").string(&format!("{}.{}", c.version.0, c.version.1));
    w.close();
}

/// `interfaces`: those that a bind asks for, or the one that a request is for; nothing where none is known.
pub(crate) fn interfaces(call: &Call, w: &mut JsonWriter) {
    if call.interfaces.is_empty() {
        return;
    }
    w.key("interfaces").open_array();
    for b in &call.interfaces {
        interface(b, call.operation(), w);
    }
    w.close_array();
}

fn interface(b: &Bound, operation: Option<u16>, w: &mut JsonWriter) {
    w.open();
    w.key("uuid").string(&written(&b.context.uuid));
    w.key("version").string(&format!("{}.{}", b.context.version.0, b.context.version.1));
    if let Some((result, reason)) = b.ack {
        w.key("ack_result").u64(result.into()).key("ack_reason").u64(reason.into());
    }
    if let Some(service) = names::service(&b.context.uuid) {
        w.key("service").string(service.name);
        if let Some(procedure) = operation.and_then(|n| service.procedure(n)) {
            w.key("procedure").string(procedure);
        }
    }
    w.close();
}
