// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `stats`: the pipeline's counts under Suricata's names.
//!
//! Must never hide a loss: every packet that was read and not inspected stands in a counter here. Counters that
//! Suricata has and we do not are left out, rather than written as zero.

use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};
use lagewarte_flow::AppProto;

use super::Totals;

/// Writes the members of the `stats` object. The caller opens and closes it, and may add members of its own.
pub fn write(w: &mut JsonWriter, t: &Totals, uptime_s: u64) {
    w.key("uptime").u64(uptime_s);
    w.key("capture").open();
    w.key("kernel_packets").u64(t.capture.received).key("kernel_drops").u64(t.capture.dropped);
    w.key("filtered").u64(t.capture.filtered).key("unsupported_linktype").u64(t.unsupported);
    w.key("queue_full").u64(t.shed).key("read").u64(t.read);
    if let Some(d) = &t.capture.damage {
        w.key("damage").open().key("reason").string(d.reason).key("offset").u64(d.offset).close();
    }
    w.close();
    decoder(w, t);
    defrag(w, t);
    flow(w, t);
    app(w, t);
    w.key("file_store").open();
    w.key("stored").u64(t.app.files_stored).key("not_stored").u64(t.app.files_not_stored);
    w.key("magic_limited").u64(t.app.magic_limited).key("magic_failed").u64(t.app.magic_failed).close();
    w.key("detect").open();
    w.key("alert").u64(t.ordered.alert).key("alert_queue_overflow").u64(t.ordered.overflow + t.detect.dropped);
    w.key("alerts_suppressed").u64(t.ordered.suppressed);
    w.key("packets").u64(t.detect.packets).key("verified").u64(t.detect.verified).key("gave_up").u64(t.detect.gave_up);
    w.key("pcre_limited").u64(t.detect.pcre_limited);
    w.key("transactions").u64(t.detect.transactions).key("crowded").u64(t.detect.crowded);
    w.key("frames").u64(t.detect.frames);
    w.key("flowbits_full").u64(t.detect.flowbits_full).key("thresholds_forgotten").u64(t.ordered.forgotten);
    w.key("marks_forgotten").u64(t.detect.marks_forgotten).key("marks_out_of_turn").u64(t.detect.out_of_turn);
    w.close();
}

// As Suricata: a protocol over both transports stands twice, with the transport in its name.
fn app(w: &mut JsonWriter, t: &Totals) {
    const BOTH: [AppProto; 9] = [
        AppProto::Failed,
        AppProto::Dns,
        AppProto::Llmnr,
        AppProto::Dcerpc,
        AppProto::Krb5,
        AppProto::Ldap,
        AppProto::Sip,
        AppProto::Nfs,
        AppProto::Enip,
    ];
    w.key("app_layer").open();
    for (key, list) in [("flow", &t.app.flow), ("tx", &t.app.tx)] {
        w.key(key).open();
        counts(w, list, &BOTH);
        w.close();
    }
    w.key("error").open();
    counts(w, &t.app.error, &BOTH);
    w.close();
    w.key("memuse").u64(t.app.memuse).key("memcap").u64(t.app.memcap).key("held").u64(t.app.held);
    w.key("frames_lost").u64(t.app.frames).key("undecoded").u64(t.app.undecoded);
    w.close();
}

fn counts(w: &mut JsonWriter, list: &[[u64; 2]], both: &[AppProto]) {
    for p in AppProto::ALL {
        let (Some(n), Some(name)) = (list.get(*p as usize), p.name()) else { continue };
        for (n, transport) in n.iter().zip(["tcp", "udp"]).filter(|(n, _)| **n > 0) {
            if both.contains(p) {
                w.key(&format!("{name}_{transport}")).u64(*n);
            } else {
                w.key(name).u64(*n);
            }
        }
    }
}

fn decoder(w: &mut JsonWriter, t: &Totals) {
    w.key("decoder").open();
    for (name, n) in t.decoder.named() {
        w.key(name).u64(n);
    }
    w.key("avg_pkt_size").u64(t.decoder.bytes.checked_div(t.decoder.pkts).unwrap_or(0));
    // decoder.ipv4.trunc_pkt stands as event.ipv4.trunc_pkt; the list of events is ordered by layer.
    w.key("event").open();
    let mut layer = "";
    for (e, n) in t.decoder.events() {
        let name = e.name().strip_prefix("decoder.").unwrap_or(e.name());
        let (this, name) = name.split_once('.').unwrap_or(("", name));
        if this != layer {
            if !layer.is_empty() {
                w.close();
            }
            if !this.is_empty() {
                w.key(this).open();
            }
            layer = this;
        }
        w.key(name).u64(n);
    }
    if !layer.is_empty() {
        w.close();
    }
    w.close().close();
}

fn defrag(w: &mut JsonWriter, t: &Totals) {
    let d = &t.defrag;
    w.key("defrag").open();
    for (family, name) in ["ipv4", "ipv6"].into_iter().enumerate() {
        w.key(name).open();
        w.key("fragments").u64(d.fragments[family]).key("reassembled").u64(d.reassembled[family]); // two families
        w.close();
    }
    w.key("max_trackers_reached").u64(d.max_trackers_reached).key("max_frags_reached").u64(d.max_frags_reached);
    w.key("memcap_reached").u64(d.memcap_reached).key("tracker_hard_reuse").u64(d.hard_reuse);
    w.key("tracker_timeout").u64(d.timeout).key("overlaps").u64(d.overlaps).key("too_large").u64(d.too_large);
    w.key("ignored").u64(d.ignored).key("bad_checksum").u64(d.bad_checksum);
    w.key("memuse").u64(d.memuse).key("memuse_peak").u64(d.memuse_peak).close();
}

fn flow(w: &mut JsonWriter, t: &Totals) {
    let f = &t.flow;
    w.key("flow").open();
    w.key("memcap").u64(f.memcap).key("total").u64(f.total).key("active").u64(f.active);
    w.key("tcp").u64(f.tcp).key("udp").u64(f.udp).key("icmpv4").u64(f.icmpv4).key("icmpv6").u64(f.icmpv6);
    w.key("tcp_reuse").u64(f.tcp_reuse).key("evicted").u64(f.evicted).key("dropped").u64(t.flow_dropped);
    w.key("icmp_without_flow").u64(f.icmp_without_flow).key("memuse").u64(f.memuse);
    w.key("end").open().key("state").open();
    let [new, established, closed, bypassed] = f.end;
    w.key("new").u64(new).key("established").u64(established).key("closed").u64(closed);
    w.key("local_bypassed").u64(bypassed).close();
    w.key("timeout").u64(f.timeout).key("shutdown").u64(f.shutdown).close();
    w.close();
    let s = &t.tcp;
    w.key("tcp").open();
    for (name, n) in [
        ("syn", s.syn),
        ("synack", s.synack),
        ("rst", s.rst),
        ("urg", s.urg),
        ("urgent_oob_data", s.urgent_oob_data),
        ("active_sessions", s.active_sessions),
        ("sessions", s.sessions),
        ("ssn_memcap_drop", s.ssn_memcap_drop),
        ("invalid_checksum", s.invalid_checksum),
        ("midstream_pickups", s.midstream_pickups),
        ("midstream_exceptions", s.midstream_exceptions),
        ("segment_memcap_drop", s.segment_memcap_drop),
        ("stream_depth_reached", s.depth_reached),
        ("reassembly_gap", s.reassembly_gap),
        ("overlap", s.overlap),
        ("overlap_diff_data", s.overlap_diff_data),
        ("memuse", s.memuse),
        ("reassembly_memuse", s.reassembly_memuse),
        ("reassembly_peak", s.reassembly_peak),
    ] {
        w.key(name).u64(n);
    }
    w.close();
}

/// The `stats` event at the end of a capture file, on the capture's own time.
pub fn record(t: &Totals, in_iface: Option<&str>) -> Record {
    let last = t.last.unwrap_or_default();
    let uptime = u64::try_from(last.since(t.first.unwrap_or(last)) / 1_000_000).unwrap_or(0);
    let mut w = JsonWriter::with_capacity(2048);
    w.head(&Head { time: last, in_iface, event_type: "stats", ..Head::default() });
    w.key("stats").open();
    write(&mut w, t, uptime);
    w.close().close();
    Record {
        class: Class::Health,
        event_type: "stats",
        event: last,
        observed: last,
        packet_index: t.read,
        vlan: None,
        src: None,
        dest: None,
        ruleset: None,
        json: w.finish(),
    }
}
