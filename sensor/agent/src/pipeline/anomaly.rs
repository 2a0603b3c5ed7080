// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `anomaly` events: what is odd about a packet, its place in its stream, or its protocol.
//!
//! Must never write text from the network: events are names from closed lists.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_app::LayerEvents;
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Packet, linktype_name};
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};
use lagewarte_flow::{AppProto, Config, FlowRef};

/// Bytes of a packet shown where `packethdr` is on.
const HEADER_BYTES: usize = 32;

/// Which anomalies are written: YAML `eve-log.types.anomaly`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// `types.decode`.
    pub decode: bool,
    /// `types.stream`.
    pub stream: bool,
    /// `types.applayer`.
    pub applayer: bool,
    /// `packethdr`: the packet's first bytes beside a decode anomaly.
    pub packethdr: bool,
}

pub(super) struct Writer {
    choice: Anomalies,
    pcap_cnt: bool,
    flow: Arc<Config>,
}

impl Writer {
    pub(super) fn new(choice: Anomalies, pcap_cnt: bool, flow: &Arc<Config>) -> Self {
        Self { choice, pcap_cnt, flow: Arc::clone(flow) }
    }

    /// Writes a packet's anomalies. Costs two comparisons where there are none.
    pub(super) fn write(&self, p: &Packet<'_>, flow: Option<FlowRef<'_>>, layer: LayerEvents, out: &mut Vec<Record>) {
        let decode = self.choice.decode && !p.events.is_empty();
        let stream = self.choice.stream && flow.as_ref().is_some_and(|f| !f.events.is_empty());
        let applayer = self.choice.applayer && !layer.is_empty();
        if !decode && !stream && !applayer {
            return;
        }
        let mut flow = flow;
        if decode {
            for e in p.events.iter() {
                out.push(self.record(p, flow.as_mut(), "decode", e.name()));
            }
        }
        if stream {
            let events = flow.as_ref().map(|f| f.events).unwrap_or_default();
            for e in events.iter() {
                out.push(self.record(p, flow.as_mut(), "stream", e.name()));
            }
        }
        if applayer {
            for e in layer.iter() {
                out.push(self.record(p, flow.as_mut(), "applayer", e.name()));
            }
        }
    }

    fn record(&self, p: &Packet<'_>, flow: Option<&mut FlowRef<'_>>, kind: &str, event: &str) -> Record {
        let mut w = JsonWriter::with_capacity(384);
        let ports = p.ports();
        let (src, dest) = p.ip.map_or((None, None), |ip| (Some(ip.src), Some(ip.dst)));
        let mut head = Head {
            time: p.time,
            in_iface: self.flow.in_iface.as_deref(),
            pcap_cnt: (self.pcap_cnt && !p.never_sent()).then_some(p.index),
            event_type: "anomaly",
            vlans: p.vlans.as_slice(),
            src,
            src_port: ports.map(|(s, _)| s),
            dest,
            dest_port: ports.map(|(_, d)| d),
            proto: p.ip.map(|ip| ip.proto),
            icmp: p.icmp().map(|i| (i.kind, i.code)),
            pkt_src: Some(p.source.name()),
            ..Head::default()
        };
        let mut app_proto = None;
        match flow {
            Some(f) => {
                head.flow_id = Some(f.flow.id);
                head.parent_id = f.flow.parent_id();
                app_proto = Some(f.flow.app.proto);
                head.community_id = self.flow.community_id.map(|seed| f.flow.community_id(seed));
                w.head(&head);
            }
            None => {
                w.head(&head);
            }
        }
        if kind == "decode" && self.choice.packethdr {
            let shown = p.frame.get(..HEADER_BYTES).unwrap_or(p.frame);
            w.key("packet").string(&STANDARD.encode(shown));
            w.key("packet_info").open().key("linktype").u64(p.linktype.into());
            if let Some(name) = linktype_name(p.linktype) {
                w.key("linktype_name").string(name);
            }
            w.close();
        }
        w.key("anomaly").open();
        if kind == "applayer" {
            if let Some(name) = app_proto.filter(|p| p.known()).and_then(AppProto::name) {
                w.key("app_proto").string(name);
            }
            w.key("type").string(kind).key("event").string(event).key("layer").string("proto_detect");
        } else {
            w.key("type").string(kind).key("event").string(event);
        }
        w.close().close();
        Record {
            class: Class::Anomaly,
            event_type: "anomaly",
            event: p.time,
            observed: Timestamp::default(),
            packet_index: p.index,
            vlan: p.vlans.outer(),
            src,
            dest,
            ruleset: None,
            json: w.finish(),
        }
    }
}
