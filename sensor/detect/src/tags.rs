// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `tag`: packets that follow a match are recorded, those of its flow or those from and to a host, as EVE `packet` events.
//!
//! The packet that matched is not one of them; it is in the alert. Tags of hosts cross flows: where a rule asks for them,
//! every packet waits for its worker's turn. Must never hold more than [`MAX_HOST_TAGS`] hosts, nor more tags on a flow or a
//! host than [`MAX_TAGS`]; a rule that tags again begins anew.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Packet, linktype_name};
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};
use lagewarte_flow::{FlowRef, MAX_TAGS, Tagged, Tags};
use lagewarte_rules::tags::{Tag, TagOf, TagUntil};

use crate::{
    alert::Output,
    engine::{Engine, Scratch},
    entry::Entry,
    expiring::{Ends, Expiring},
};

/// Most hosts whose packets are recorded. Threat: a scan to millions of addresses against a rule that tags hosts.
pub const MAX_HOST_TAGS: usize = 1 << 14;

/// Hosts whose packets are recorded.
#[derive(Debug)]
pub(crate) struct TaggedHosts(Mutex<Expiring<IpAddr, Tags>>);

impl Ends for Tags {
    fn over(&self, _: Timestamp) -> bool {
        self.is_empty()
    }
}

impl TaggedHosts {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Expiring::new(most))))
    }

    fn table(&self) -> MutexGuard<'_, Expiring<IpAddr, Tags>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begun(t: &Tag, now: Timestamp) -> Tagged {
    match t.until {
        TagUntil::Packets(n) => Tagged::Packets(n),
        TagUntil::Bytes(n) => Tagged::Bytes(n),
        TagUntil::Seconds(n) => {
            Tagged::Until(Timestamp::from_micros(now.micros().saturating_add(i64::from(n) * 1_000_000)))
        }
    }
}

impl Engine {
    /// Whether this packet is one of those that an earlier match asked for, and the event that records it. To be asked
    /// before the packet is inspected; `flow` is the packet's.
    pub fn tagged(&self, p: &Packet<'_>, flow: Option<&mut FlowRef<'_>>, s: &mut Scratch) -> Option<Record> {
        if !self.tags {
            return None;
        }
        let bytes = u32::try_from(p.frame.len()).unwrap_or(u32::MAX);
        let (mut flow_id, mut parent_id) = (None, None);
        let mut recorded = false;
        if let Some(f) = flow {
            (flow_id, parent_id) = (Some(f.flow.id), f.flow.parent_id());
            recorded |= f.flow.tags.count(bytes, p.time);
        }
        if let Some(ip) = p.ip.filter(|_| self.host_tags) {
            s.take_turn();
            let mut table = self.tagged_hosts.table();
            for host in [Some(ip.src), Some(ip.dst).filter(|d| *d != ip.src)].into_iter().flatten() {
                if table.get(&host, p.time).is_some() {
                    recorded |= table.entry(host, p.time, Tags::default).count(bytes, p.time);
                }
            }
        }
        (recorded && self.output.tagged_packets).then(|| self.output.packet_record(p, flow_id, parent_id))
    }

    /// A rule matched on this packet: what its tags ask for begins with the next one.
    pub(crate) fn tag(&self, e: &Entry, p: &Packet<'_>, flow: Option<&mut FlowRef<'_>>, s: &mut Scratch) {
        let mut flow = flow;
        for (n, t) in e.rule.tags.iter().enumerate() {
            let key = (e.info.gid, e.info.sid, n as u8); // a rule has few
            let begun = begun(t, p.time);
            let host = match (t.of, p.ip) {
                (TagOf::Session, _) => {
                    if let Some(f) = flow.as_deref_mut() {
                        f.flow.tags.set(key, begun);
                    }
                    continue;
                }
                (_, None) => continue,
                (TagOf::Src, Some(ip)) => ip.src,
                (TagOf::Dst, Some(ip)) => ip.dst,
            };
            s.take_turn();
            self.tagged_hosts.table().entry(host, p.time, Tags::default).set(key, begun);
        }
    }
}

impl Output {
    fn packet_record(&self, p: &Packet<'_>, flow_id: Option<i64>, parent_id: Option<i64>) -> Record {
        let (src, dest) = p.ip.map_or((None, None), |ip| (Some(ip.src), Some(ip.dst)));
        let ports = p.ports();
        let mut w = JsonWriter::with_capacity(384 + p.frame.len() * 4 / 3);
        w.head(&Head {
            time: p.time,
            flow_id,
            parent_id,
            in_iface: self.in_iface.as_deref(),
            pcap_cnt: self.pcap_cnt.then_some(p.index),
            event_type: "packet",
            vlans: p.vlans.as_slice(),
            src,
            src_port: ports.map(|p| p.0),
            dest,
            dest_port: ports.map(|p| p.1),
            proto: p.ip.map(|ip| ip.proto),
            icmp: p.icmp().map(|i| (i.kind, i.code)),
            pkt_src: Some(p.source.name()),
            ..Head::default()
        });
        w.key("packet").string(&STANDARD.encode(p.frame));
        w.key("packet_info").open().key("linktype").u64(p.linktype.into());
        if let Some(name) = linktype_name(p.linktype) {
            w.key("linktype_name").string(name);
        }
        w.close().close();
        Record {
            class: Class::of("packet"),
            event_type: "packet",
            event: p.time,
            observed: p.time,
            packet_index: p.index,
            vlan: p.vlans.outer(),
            src,
            dest,
            ruleset: None,
            json: w.finish(),
        }
    }
}

const _: () = assert!(MAX_TAGS <= u8::MAX as usize);
