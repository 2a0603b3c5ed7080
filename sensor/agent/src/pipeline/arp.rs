// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `arp`: one event for each ARP message, where the configuration asks for them.
//!
//! Must never be on unasked: a network's ARP is noise to everyone but those who look for it.

use lagewarte_base::time::Timestamp;
use lagewarte_decode::Packet;
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};

/// Writes a packet's event.
pub(super) fn write(p: &Packet<'_>, in_iface: Option<&str>, pcap_cnt: bool, out: &mut Vec<Record>) {
    let Some(arp) = p.arp else { return };
    let mut w = JsonWriter::with_capacity(384);
    w.head(&Head {
        time: p.time,
        in_iface,
        pcap_cnt: pcap_cnt.then_some(p.index),
        event_type: "arp",
        vlans: p.vlans.as_slice(),
        pkt_src: Some(p.source.name()),
        ..Head::default()
    });
    w.key("arp").open().key("hw_type").string("ethernet").key("proto_type").string("ipv4");
    w.key("opcode").string(arp.opcode_name().unwrap_or("unknown"));
    for (mac, ip, (m, a)) in [("src_mac", "src_ip", arp.src), ("dest_mac", "dest_ip", arp.dst)] {
        w.key(mac).mac(m).key(ip).ip(a.into());
    }
    w.close().close();
    out.push(Record {
        class: Class::of("arp"),
        event_type: "arp",
        event: p.time,
        observed: Timestamp::default(),
        packet_index: p.index,
        vlan: p.vlans.outer(),
        src: Some(arp.src.1.into()),
        dest: Some(arp.dst.1.into()),
        ruleset: None,
        json: w.finish(),
    });
}
