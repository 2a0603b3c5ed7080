// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transactions as EVE events: the shared head, then what the protocol writes; and anomalies of parsers.
//!
//! Must never write a transaction twice, and never one that is not as complete as its protocol wants.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Packet, PacketSource};
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};
use lagewarte_flow::{AppProto, Direction, Flow};

use crate::{
    apps::{Apps, Counters},
    config::Config,
    file::{File, FileState, magic::Trouble, store::Keep},
    state::State,
    xff::Xff,
};

/// The packet in whose context something is written; at a flow's end one that was never sent.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The packet.
    pub packet: &'a Packet<'a>,
    /// Which way it goes in its flow.
    pub direction: Direction,
}

impl Apps {
    /// Writes what is complete, and drops what nothing waits for any more, if anything changed. `inspecting`: whether
    /// detection looks at transactions at all.
    pub fn write(&mut self, flow: &mut Flow, moment: &Moment<'_>, inspecting: bool, out: &mut Vec<Record>) {
        if self.get(flow).is_none_or(|app| !app.news && !moment.packet.never_sent()) {
            return;
        }
        let Some(mut app) = self.take(flow) else { return };
        let (keep, ended) = (app.keep, app.ended);
        let mut files_wait = false;
        for state in app.states_mut() {
            for place in 0..state.len() {
                let (how, to) = ((&*self.cfg, keep, inspecting), (&mut self.counters, &mut *out));
                files_wait |= one(state, place, flow, (moment, ended), how, to);
            }
        }
        self.clean(flow, app, inspecting, files_wait);
    }
}

// Whether files of the transaction wait for a later packet.
fn one(
    state: &mut State,
    place: usize,
    flow: &mut Flow,
    (m, ended): (&Moment<'_>, [bool; 2]),
    (cfg, keep, inspecting): (&Config, Keep, bool),
    (counters, out): (&mut Counters, &mut Vec<Record>),
) -> bool {
    let Some(core) = state.core(place) else { return false };
    let (to_server, to_client) = (Direction::ToServer, Direction::ToClient);
    let [at_server, at_client] = state.log_at();
    let complete = core.progress(to_server) >= at_server && core.progress(to_client) >= at_client;
    let odd = core.events != core.events_logged;
    let write = complete && !core.logged;
    if odd && cfg.anomalies {
        anomalies(state, place, flow, m, cfg, out);
    }
    let here = |f: &File| due(f, m, ended);
    if settle(state, place, here, (keep, inspecting), counters) {
        files(state, place, flow, (m, &here), cfg, (counters, out));
    }
    let waits = state.files(place).is_some_and(|all| all.iter().any(|f| f.state != FileState::Open && !f.logged));
    if let Some(core) = state.core_mut(place) {
        core.file_waits = waits;
    }
    if write
        && let Some((name, way)) = state.event_type(place, cfg)
        && written(state.proto(), name, cfg)
    {
        let way = way.unwrap_or(to_server);
        let mut w = JsonWriter::with_capacity(512);
        let client = Client::of(state, place, cfg.xff.http.as_ref().filter(|_| name == "http"));
        head(&mut w, flow, m, (name, way, client.instead()), cfg);
        client.beside(&mut w);
        state.log(place, cfg, &mut w);
        w.close();
        out.push(record(flow, m, name, way, w.finish()));
    }
    if (odd || write)
        && let Some(core) = state.core_mut(place)
    {
        core.events_logged = core.events;
        core.logged |= write;
    }
    waits
}

// HTTP/2 has a word of its own in the list, and the event type of HTTP.
fn written(proto: AppProto, name: &str, cfg: &Config) -> bool {
    cfg.writes(name) || name == "http" && proto == AppProto::Http2 && cfg.writes("http2")
}

// A file that has ended and was not written yet: it is in the context of a packet that goes its way, as in Suricata, or of
// the one with which its direction ended. Whether it is stored is settled by then.
fn due(f: &File, m: &Moment<'_>, ended: [bool; 2]) -> bool {
    let d = f.direction();
    let here = d == m.direction || ended[d.index()] || m.packet.never_sent(); // an index of two
    f.state != FileState::Open && !f.logged && !f.undecided() && here
}

// Stores files that have ended and of which rules have said what they have to say. Whether any is to be written.
fn settle(
    state: &mut State,
    place: usize,
    due: impl Fn(&File) -> bool,
    (of_flow, inspecting): (Keep, bool),
    counters: &mut Counters,
) -> bool {
    let Some(core) = state.core(place) else { return false };
    let of_tx = core.keep;
    let said = [Direction::ToServer, Direction::ToClient].map(|d| !inspecting || core.inspected(d));
    let Some(all) = state.files_mut(place) else { return false };
    for f in all.iter_mut().filter(|f| f.undecided() && f.state != FileState::Open) {
        let d = f.direction();
        if said[d.index()] {
            // An index of two.
            let (wanted, done) = f.settle(of_tx.has(d) || of_flow.has(d));
            counters.files_stored += u64::from(done);
            counters.files_not_stored += u64::from(wanted && !done);
        }
    }
    all.iter().any(due)
}

// Files that have ended and were not written yet.
fn files(
    state: &mut State,
    place: usize,
    flow: &mut Flow,
    (moment, due): (&Moment<'_>, &dyn Fn(&File) -> bool),
    cfg: &Config,
    (counters, out): (&mut Counters, &mut Vec<Record>),
) {
    if cfg.writes("fileinfo")
        && let (Some(all), Some(id)) = (state.files(place), state.core(place).map(|c| c.id))
    {
        for file in all.iter().filter(|f| due(f)) {
            let mut w = JsonWriter::with_capacity(768);
            let client = Client::of(state, place, cfg.xff.files.as_ref());
            head(&mut w, flow, moment, ("fileinfo", file.direction(), client.instead()), cfg);
            client.beside(&mut w);
            state.members(place, cfg, &mut w);
            if let Some(name) = state.proto().name() {
                w.key("app_proto").string(name);
            }
            w.key("fileinfo").open();
            file.log(id, &mut w);
            w.close().close();
            out.push(record(flow, moment, "fileinfo", file.direction(), w.finish()));
        }
    }
    if let Some(all) = state.files_mut(place) {
        for f in all.iter_mut().filter(|f| due(f)) {
            f.logged = true;
            let trouble = f.magic.trouble();
            counters.magic_limited += u64::from(trouble == Some(Trouble::Limited));
            counters.magic_failed += u64::from(trouble == Some(Trouble::Failed));
        }
    }
}

fn anomalies(state: &State, place: usize, flow: &mut Flow, moment: &Moment<'_>, cfg: &Config, out: &mut Vec<Record>) {
    let Some(core) = state.core(place) else { return };
    for event in core.events.iter().filter(|e| !core.events_logged.has(*e)) {
        let mut w = JsonWriter::with_capacity(384);
        head(&mut w, flow, moment, ("anomaly", moment.direction, None), cfg);
        w.key("tx_id").u64(core.id).key("anomaly").open();
        if let Some(name) = state.proto().name() {
            w.key("app_proto").string(name);
        }
        w.key("type").string("applayer");
        w.key("event").string(state.events().get(usize::from(event)).copied().unwrap_or_default());
        w.key("layer").string("proto_parser").close().close();
        out.push(record(flow, moment, "anomaly", moment.direction, w.finish()));
    }
}

// The client behind a proxy, and whether it stands instead of the packet's.
struct Client(Option<IpAddr>, bool);

impl Client {
    fn of(state: &State, place: usize, xff: Option<&Xff>) -> Self {
        Self(xff.and_then(|x| state.forwarded(place, x)), xff.is_some_and(|x| x.overwrite))
    }
    fn instead(&self) -> Option<IpAddr> {
        self.0.filter(|_| self.1)
    }
    fn beside(&self, w: &mut JsonWriter) {
        if let Some(ip) = self.0.filter(|_| !self.1) {
            w.key("xff").ip(ip);
        }
    }
}

fn head(
    w: &mut JsonWriter,
    f: &mut Flow,
    m: &Moment<'_>,
    (event_type, way, client): (&str, Direction, Option<IpAddr>),
    cfg: &Config,
) {
    if let Some(seed) = cfg.community_id {
        f.community_id(seed);
    }
    let ends = [(client.unwrap_or(f.client), f.client_port), (f.server, f.server_port)];
    let (src, dest) = (ends[way.index()], ends[way.reverse().index()]); // indices of two
    let community = cfg.community_id.map(|seed| f.community_id(seed).to_owned());
    w.head(&Head {
        time: m.packet.time,
        flow_id: Some(f.id),
        parent_id: f.parent_id(),
        in_iface: cfg.in_iface.as_deref(),
        pcap_cnt: (cfg.pcap_cnt && !m.packet.never_sent()).then_some(m.packet.index),
        event_type,
        vlans: f.vlans.as_slice(),
        src: Some(src.0),
        src_port: Some(src.1),
        dest: Some(dest.0),
        dest_port: Some(dest.1),
        proto: Some(f.proto),
        pkt_src: Some(m.packet.source.name()),
        community_id: community.as_deref(),
        ..Head::default()
    });
    if let Some(root) = m.packet.root {
        w.key("tunnel").open();
        w.key("src_ip").ip(root.src).key("src_port").u64(root.ports.0.into());
        w.key("dest_ip").ip(root.dst).key("dest_port").u64(root.ports.1.into());
        w.key("proto").proto(root.proto).key("depth").u64(m.packet.depth.into());
        if cfg.pcap_cnt {
            w.key("pcap_cnt").u64(m.packet.index);
        }
        w.key("pkt_src").string(PacketSource::Wire.name()).close();
    }
    if let Some((client, server)) = f.macs.filter(|_| cfg.ethernet) {
        let macs = [client, server];
        w.key("ether").open();
        w.key("src_mac").mac(macs[way.index()]).key("dest_mac").mac(macs[way.reverse().index()]).close();
    }
}

fn record(f: &Flow, m: &Moment<'_>, event_type: &'static str, way: Direction, json: String) -> Record {
    let ends = [f.client, f.server];
    Record {
        class: Class::of(event_type),
        event_type,
        event: m.packet.time,
        observed: Timestamp::default(),
        packet_index: m.packet.index,
        vlan: f.vlans.outer(),
        src: Some(ends[way.index()]),
        dest: Some(ends[way.reverse().index()]),
        ruleset: None,
        json,
    }
}
