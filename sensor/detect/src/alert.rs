// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Alerts as EVE: what of an alert the rule fixes, what the packet and its flow do, and how both become one JSON object.
//!
//! The packet's part is written once by the worker, for all rules that match it; the rule's part once at load. Field names
//! and order are Suricata's (user guide, "EVE JSON Format", event type alert). Must never be built for a packet that
//! matches nothing.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use crate::engine::Engine;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_app::{Config as AppConfig, State};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Packet, PacketSource, Transport, linktype_name};
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
    names::{SCTP_CHUNKS, name_of},
};
use lagewarte_flow::{Direction, Flow, FlowRef, Stream, community_id, printable};
use lagewarte_rules::{
    Rule,
    ast::{Action, CaptureTo, Target, Threshold},
    thresholds::{RateFilter, Suppress},
};

use crate::{marks::Remembered, payload::Finds};

/// What alerts carry beyond the basics: YAML `outputs.eve-log` and `packet-alert-max`.
#[derive(Clone, Debug)]
pub struct Output {
    /// `types.alert.payload`: the packet's payload in base64.
    pub payload: bool,
    /// `types.alert.payload-printable`.
    pub payload_printable: bool,
    /// `types.alert.packet`: the frame in base64, with `packet_info`.
    pub packet: bool,
    /// `types.alert.metadata` (`rule.metadata`): the rule's metadata.
    pub metadata: bool,
    /// `types.alert.metadata.rule.raw`: the rule's text.
    pub rule_text: bool,
    /// `types.alert.metadata.rule.reference`: where the rule's references lead.
    pub references: bool,
    /// `types.alert.metadata.app-layer`: what the flow's transaction says.
    pub app_layer: bool,
    /// `types.alert.metadata.flow`: counters and ends of the flow.
    pub flow: bool,
    /// `eve-log.metadata`: flowbits and counters that rules set on the flow.
    pub flow_metadata: bool,
    /// `types.alert.payload-length`.
    pub payload_length: bool,
    /// Whether each rule's cost is counted; it slows everything down.
    pub profile: bool,
    /// `types.alert.verdict`.
    pub verdict: bool,
    /// `ethernet`: MAC addresses.
    pub ethernet: bool,
    /// `community-id` with its seed.
    pub community_id: Option<u16>,
    /// The interface, where packets come from one.
    pub in_iface: Option<String>,
    /// Whether packets come from a file: events then carry `pcap_cnt`.
    pub pcap_cnt: bool,
    /// `types.alert.tagged-packets`: packets that a rule's `tag` asks for are written.
    pub tagged_packets: bool,
    /// `action-order`: the order in which rules are looked at, by action.
    pub action_order: [Action; 4],
    /// `packet-alert-max`: most alerts of one packet. Threat: one packet that matches a whole set.
    pub packet_alert_max: u16,
    /// `detect.guess-applayer-tx`: alerts on a stream's bytes show the transaction, where there is only one.
    pub guess_transaction: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            payload: false,
            payload_printable: false,
            packet: false,
            metadata: true,
            rule_text: false,
            references: false,
            app_layer: true,
            flow: true,
            flow_metadata: true,
            payload_length: false,
            profile: false,
            verdict: false,
            ethernet: false,
            community_id: None,
            in_iface: None,
            pcap_cnt: true,
            tagged_packets: false,
            action_order: [Action::Pass, Action::Drop, Action::Reject, Action::Alert],
            packet_alert_max: 15,
            guess_transaction: false,
        }
    }
}

/// A match on its way to the ordered stage.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub(crate) info: Arc<Info>,
    pub(crate) context: Arc<Context>,
    /// The entry's place in the evaluation order.
    place: u32,
    about: About,
    kept: Option<Kept>,
    pub(crate) output: AlertLimits,
}

/// What a rule captured for its own alert.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The object `alert.context`; empty where there is none.
    context: String,
    /// The list `metadata.pktvars`; empty where there is none.
    packet: String,
}

impl Kept {
    /// Takes what the rule captured; what is the flow's goes to the flow. None where nothing is left.
    pub(crate) fn take(finds: &mut Finds, mut flow: Option<&mut FlowRef<'_>>) -> Option<Self> {
        let (mut context, mut packet) = (Vec::new(), Vec::new());
        let told = std::mem::take(&mut finds.told);
        for (to, name, held) in finds.captured.drain(..) {
            match (to, flow.as_deref_mut()) {
                (CaptureTo::Flow, Some(f)) => {
                    f.flow.vars.set(&name, &held);
                }
                (CaptureTo::Flow, None) => {}
                (CaptureTo::Packet, _) => packet.push((name, printable(&held))),
                (CaptureTo::Alert, _) => context.push((name, printable(&held))),
            }
        }
        if context.is_empty() && packet.is_empty() && told.is_empty() {
            return None;
        }
        let mut kept = Self::default();
        if !context.is_empty() || !told.is_empty() {
            let mut w = JsonWriter::new();
            w.open();
            context.iter().for_each(|(name, held)| {
                w.key(name).string(held);
            });
            // Of one key the last one counts: a search that began anew may have asked twice.
            for (n, (key, json)) in told.iter().enumerate() {
                if !told.iter().skip(n + 1).any(|(k, _)| k == key) {
                    w.key(key).raw(json);
                }
            }
            w.close();
            kept.context = w.finish();
        }
        if !packet.is_empty() {
            let mut w = JsonWriter::new();
            w.open_array();
            packet.iter().for_each(|(name, held)| {
                w.open().key(name).string(held).close();
            });
            w.close_array();
            kept.packet = w.finish();
        }
        Some(kept)
    }
}

/// What an alert is about, beside the packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) transaction: Option<Arc<TxPart>>,
    /// The object `frame`.
    pub(crate) frame: Option<Arc<str>>,
}

/// What a transaction adds to the alerts on it.
#[derive(Debug)]
pub(crate) struct TxPart {
    id: u64,
    /// Its protocol's members, without braces.
    members: String,
    /// The client that stands behind a proxy, where it is written instead of the packet's.
    client: Option<IpAddr>,
    /// Nothing says that the match is about it: it is the only one that there was.
    pub(crate) guessed: bool,
}

impl TxPart {
    /// Of a transaction that is not held any more.
    pub(crate) const fn gone(id: u64) -> Self {
        Self { id, members: String::new(), client: None, guessed: false }
    }
}

/// The part of [`Output`] that the ordered stage needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlertLimits {
    pub(crate) packet_alert_max: u16,
    metadata: bool,
    rule_text: bool,
    references: bool,
    verdict: bool,
}

/// Bytes of a stream that an alert shows (Suricata's `payload-buffer-size`).
pub(crate) const STREAM_BYTES: usize = 4096;

/// What a rule fixes of its alerts.
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) gid: u32,
    pub(crate) sid: u32,
    pub(crate) threshold: Option<Threshold>,
    pub(crate) suppress: Vec<Suppress>,
    pub(crate) rate: Option<RateFilter>,
    target: Option<Target>,
    pub(crate) action: Action,
    /// The hash of the set it is of.
    set: Arc<[u8; 32]>,
    /// `"gid":... "severity":n`, without braces.
    fixed: Box<str>,
    /// The metadata object; empty where there is none.
    metadata: Box<str>,
    /// The rule itself.
    text: Box<str>,
    /// The list of references; empty where there is none.
    references: Box<str>,
}

/// What a packet and its flow say, shared by the packet's alerts.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) src: Option<IpAddr>,
    pub(crate) dest: Option<IpAddr>,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) flow_id: Option<i64>,
    /// Whether there is no packet: it is the moment of a flow's end.
    pub(crate) ended: bool,
    /// Which way the packet goes in its flow.
    side: Option<Direction>,
    vlan: Option<u16>,
    /// From `{` to the last shared field before `alert`.
    head: String,
    /// What follows `alert`, without the closing brace; begins with a comma where it is not empty.
    tail: String,
    /// What rules had set on the flow when all of them had been asked.
    remembered: OnceLock<Remembered>,
    /// Whether a pass rule took the packet.
    passed: OnceLock<bool>,
}

impl Context {
    // The head with another address of the client.
    fn head_of(&self, client: IpAddr) -> String {
        let (name, Some(had)) = (match self.side {
            Some(Direction::ToClient) => ("dest_ip", self.dest),
            _ => ("src_ip", self.src),
        }) else {
            return self.head.clone();
        };
        let member = |ip: IpAddr| {
            let mut w = JsonWriter::new();
            w.key(name).ip(ip);
            w.finish()
        };
        self.head.replacen(&member(had), &member(client), 1)
    }
}

impl Engine {
    /// All rules were asked: what they set on the flow belongs to the alerts, too, and whether one let the packet pass.
    pub(crate) fn remember(&self, context: &Context, flow: Option<&Flow>, passed: bool) {
        if let Some(flow) = flow.filter(|_| self.output.flow_metadata) {
            context.remembered.get_or_init(|| self.known.remembered(flow));
        }
        context.passed.get_or_init(|| passed);
    }

    /// Entropies that rules asked for go to the flow.
    pub(crate) fn measured(finds: &mut Finds, flow: Option<&mut Flow>) {
        match flow {
            Some(flow) => finds.entropies.drain(..).for_each(|(name, n)| {
                flow.vars.measure(name, n);
            }),
            None => finds.entropies.clear(),
        }
    }

    /// Adds what rules left on a flow (`eve-log.metadata`) to a record of it that no rule made.
    pub fn annotate(&self, record: &mut Record, flow: &Flow) {
        let nothing =
            flow.flowbits.iter().next().is_none() && flow.flowints.iter().next().is_none() && flow.vars.is_empty();
        if nothing || !self.output.flow_metadata || !record.json.ends_with('}') {
            return;
        }
        record.json.pop();
        self.known.remembered(flow).write(&mut record.json, "");
        record.json.push('}');
    }
}

impl Output {
    /// What alerts on a transaction show of it, seen from a packet that goes this way.
    pub(crate) fn transaction(&self, state: &State, place: usize, way: Direction, config: &AppConfig) -> TxPart {
        let mut w = JsonWriter::with_capacity(256);
        w.open();
        if self.app_layer {
            state.metadata(place, way, config, &mut w);
        }
        let xff = config.xff.alert.as_ref();
        let client = xff.and_then(|x| state.forwarded(place, x));
        let overwrite = xff.is_some_and(|x| x.overwrite);
        if let Some(ip) = client.filter(|_| !overwrite) {
            w.key("xff").ip(ip);
        }
        let id = state.core(place).map_or(0, |c| c.id);
        let members = w.finish().get(1..).unwrap_or_default().to_owned();
        TxPart { id, members, client: client.filter(|_| overwrite), guessed: false }
    }

    /// Writes the bytes that were looked at, in the forms that are wished for.
    pub(crate) fn bytes(&self, bytes: &[u8], w: &mut JsonWriter) {
        if self.payload {
            w.key("payload").string(&STANDARD.encode(bytes));
        }
        if self.payload_printable {
            w.key("payload_printable").string(&printable(bytes));
        }
    }

    /// `stream` is the flow's, where the match was in it.
    pub(crate) fn context(&self, p: &Packet<'_>, flow: Option<&mut FlowRef<'_>>, stream: Option<&Stream>) -> Context {
        let side = flow.as_ref().map(|f| f.direction);
        let (src, dest) = p.ip.map_or((None, None), |ip| (Some(ip.src), Some(ip.dst)));
        let proto = p.ip.map(|ip| ip.proto);
        let ports = p.ports();
        let mut head = JsonWriter::with_capacity(384);
        let mut tail = JsonWriter::with_capacity(512);
        let mut made = None;
        let (mut flow_id, mut parent_id, mut community) = (None, None, None);
        tail.open();
        if let Some(m) = p.ether.filter(|_| self.ethernet) {
            tail.key("ether").open().key("src_mac").mac(m.src).key("dest_mac").mac(m.dst).close();
        }
        if let Some(root) = p.root {
            tail.key("tunnel").open();
            tail.key("src_ip").ip(root.src).key("src_port").u64(root.ports.0.into());
            tail.key("dest_ip").ip(root.dst).key("dest_port").u64(root.ports.1.into());
            tail.key("proto").proto(root.proto).key("depth").u64(p.depth.into());
            if self.pcap_cnt {
                tail.key("pcap_cnt").u64(p.index);
            }
            tail.key("pkt_src").string(PacketSource::Wire.name()).close();
        }
        if let Some(f) = flow {
            (flow_id, parent_id) = (Some(f.flow.id), f.flow.parent_id());
            if let Some(seed) = self.community_id {
                f.flow.community_id(seed);
            }
            f.flow.write_app(&mut tail);
            tail.key("direction").string(f.direction.name());
            if self.flow {
                tail.key("flow").open();
                f.flow.write_counts(&mut tail);
                tail.key("src_ip").ip(f.flow.client).key("dest_ip").ip(f.flow.server);
                if matches!(f.flow.proto, 6 | 17 | 132) {
                    tail.key("src_port").u64(f.flow.client_port.into());
                    tail.key("dest_port").u64(f.flow.server_port.into());
                }
                tail.close();
            }
            if let Some(seed) = self.community_id {
                community = Some(f.flow.community_id(seed).to_owned());
            }
        } else if let (Some(seed), Some(s), Some(d), Some(n)) = (self.community_id, src, dest, proto) {
            let pair = match p.icmp() {
                Some(i) => (i.kind.into(), i.code.into()),
                None => ports.unwrap_or_default(),
            };
            made = Some(community_id(seed, s, d, n, pair));
        }
        if self.payload || self.payload_printable || self.payload_length {
            let shown = stream.zip(side).map(|(s, d)| s.show(d, STREAM_BYTES));
            let bytes = shown.as_deref().unwrap_or(p.payload);
            self.bytes(bytes, &mut tail);
            if self.payload_length {
                tail.key("payload_length").u64(bytes.len() as u64);
            }
            tail.key("stream").u64(shown.is_some().into());
        }
        if self.packet && !p.never_sent() {
            tail.key("packet").string(&STANDARD.encode(p.frame));
            tail.key("packet_info").open().key("linktype").u64(p.linktype.into());
            if let Some(name) = linktype_name(p.linktype) {
                tail.key("linktype_name").string(name);
            }
            tail.close();
        }
        head.head(&Head {
            time: p.time,
            flow_id,
            parent_id,
            in_iface: self.in_iface.as_deref(),
            pcap_cnt: (self.pcap_cnt && !p.never_sent()).then_some(p.index),
            event_type: "alert",
            vlans: p.vlans.as_slice(),
            src,
            src_port: ports.map(|p| p.0),
            dest,
            dest_port: ports.map(|p| p.1),
            proto,
            icmp: p.icmp().map(|i| (i.kind, i.code)),
            response_icmp: None,
            pkt_src: Some(p.source.name()),
            community_id: community.as_deref().or(made.as_deref()),
        });
        below(p, &mut tail);
        let tail = tail.finish();
        Context {
            index: p.index,
            time: p.time,
            src,
            dest,
            ports: matches!(p.transport, Transport::Tcp(_) | Transport::Udp(_)).then_some(ports).flatten(),
            flow_id,
            ended: p.never_sent(),
            side,
            vlan: p.vlans.outer(),
            head: head.finish(),
            // Without the brace that opened it.
            tail: tail.get(1..).unwrap_or_default().to_owned(),
            remembered: OnceLock::new(),
            passed: OnceLock::new(),
        }
    }
}

/// What IGMP and SCTP say of themselves, which have no transactions; RGMP (RFC 3488) is IGMP's to a group of its own.
fn below(p: &Packet<'_>, w: &mut JsonWriter) {
    match &p.transport {
        Transport::Igmp(i) if i.rgmp => drop(w.key("rgmp").open().key("type").u64(i.kind.into()).close()),
        Transport::Igmp(i) => {
            w.key("igmp").open();
            if let Some(version) = i.version {
                w.key("version").u64(version.into());
            }
            w.key("type").u64(i.kind.into()).close();
        }
        Transport::Sctp(s) => {
            w.key("sctp").open().key("vtag").u64(s.vtag.into()).key("chunk_types").open_array();
            for c in s.chunks() {
                match name_of(SCTP_CHUNKS, c.kind.into()) {
                    Some(name) => w.string(name),
                    None => w.string(&format!("unknown-{}", c.kind)),
                };
            }
            w.close_array().key("chunk_cnt").u64(s.chunks().count() as u64);
            for (key, kind) in [("has_init", 1), ("has_init_ack", 2), ("has_data", 0), ("has_abort", 6)] {
                w.key(key).bool(s.chunks().any(|c| c.kind == kind));
            }
            w.close();
        }
        _ => {}
    }
}

impl Info {
    /// Of the rule's text and references only what alerts show.
    pub(crate) fn new(rule: &Rule, set: &Arc<[u8; 32]>, output: &Output) -> Self {
        let m = &rule.meta;
        let mut w = JsonWriter::with_capacity(256);
        w.open().key("gid").u64(m.gid.into());
        w.key("signature_id").u64(m.sid.into()).key("rev").u64(m.rev.into());
        w.key("signature").string(&m.msg).key("category").string(&m.category).key("severity").u64(m.priority.into());
        let mut metadata = JsonWriter::new();
        let mut keys: Vec<&str> = Vec::new();
        for (k, _) in m.metadata.iter() {
            if !keys.contains(&k) {
                keys.push(k);
            }
        }
        if !keys.is_empty() {
            metadata.open();
            for key in keys {
                metadata.key(key).open_array();
                for (_, v) in m.metadata.iter().filter(|(k, _)| *k == key) {
                    metadata.string(v);
                }
                metadata.close_array();
            }
            metadata.close();
        }
        let mut references = JsonWriter::new();
        if output.references && !m.links.is_empty() {
            references.open_array();
            m.links.iter().for_each(|l| {
                references.string(l);
            });
            references.close_array();
        }
        Self {
            references: references.finish().into_boxed_str(),
            gid: m.gid,
            sid: m.sid,
            threshold: rule.threshold,
            suppress: rule.suppress.clone(),
            rate: rule.rate,
            target: m.target,
            action: rule.action,
            set: Arc::clone(set),
            fixed: w.finish().get(1..).unwrap_or_default().into(), // without the brace
            metadata: metadata.finish().into_boxed_str(),
            text: if output.rule_text { rule.text.as_str().into() } else { Box::default() },
        }
    }
}

impl Candidate {
    pub(crate) fn new(
        p: &Packet<'_>,
        place: u32,
        info: Arc<Info>,
        context: Arc<Context>,
        about: About,
        kept: Option<Kept>,
        output: &Output,
    ) -> Self {
        debug_assert_eq!(p.index, context.index);
        let output = AlertLimits {
            packet_alert_max: output.packet_alert_max,
            metadata: output.metadata,
            rule_text: output.rule_text,
            references: output.references,
            verdict: output.verdict,
        };
        Self { info, context, place, about, kept, output }
    }

    /// The entry's place in the evaluation order.
    pub(crate) const fn place(&self) -> u32 {
        self.place
    }

    /// Says which transaction it is about, where that is not said yet.
    pub(crate) fn name(&mut self, part: &Arc<TxPart>) {
        self.about.transaction.get_or_insert_with(|| Arc::clone(part));
    }

    /// Number of the packet that matched, from 1.
    pub fn packet_index(&self) -> u64 {
        self.context.index
    }

    /// Its place among the alerts of its packet, of which the first `packet-alert-max` are reported: as the rules are
    /// evaluated, and by transaction for each.
    pub fn order(&self) -> (u32, u64) {
        (self.place, self.about.transaction.as_ref().map_or(0, |t| t.id))
    }

    /// The rule's sid.
    pub fn sid(&self) -> u32 {
        self.info.sid
    }

    /// The alert, under the rule's action or what a rate filter made of it.
    pub(crate) fn record(&self, action: Action) -> Record {
        let (c, i) = (&*self.context, &*self.info);
        let mut w = JsonWriter::with_capacity(c.head.len() + i.fixed.len() + i.metadata.len() + c.tail.len() + 192);
        match self.about.transaction.as_ref().and_then(|t| t.client) {
            Some(client) => w.raw(&c.head_of(client)),
            None => w.raw(&c.head),
        };
        if let Some(t) = &self.about.transaction {
            w.key("tx_id").u64(t.id);
            if t.guessed {
                w.key("tx_guessed").bool(true);
            }
        }
        // A sensor that only listens stops nothing: a drop is allowed, a reject would have answered.
        let done = if action == Action::Reject { "blocked" } else { "allowed" };
        w.key("alert").open().key("action").string(done).raw(&i.fixed);
        if let Some(target) = i.target {
            let attacked = [c.src, c.dest];
            let ports = [c.ports.map(|p| p.0), c.ports.map(|p| p.1)];
            let order = if target == Target::Dest { [0, 1] } else { [1, 0] };
            for (name, side) in ["source", "target"].into_iter().zip(order) {
                w.key(name).open();
                if let Some(ip) = attacked[side] {
                    w.key("ip").ip(ip);
                }
                if let Some(port) = ports[side] {
                    w.key("port").u64(port.into());
                }
                w.close();
            }
        }
        if self.output.metadata && !i.metadata.is_empty() {
            w.key("metadata").raw(&i.metadata);
        }
        if self.output.references && !i.references.is_empty() {
            w.key("references").raw(&i.references);
        }
        if self.output.rule_text {
            w.key("rule").string(&i.text);
        }
        if let Some(k) = self.kept.as_ref().filter(|k| !k.context.is_empty()) {
            w.key("context").raw(&k.context);
        }
        w.close();
        let mut json = w.finish();
        if self.output.verdict {
            let passed = action == Action::Pass || c.passed.get().is_some_and(|p| *p);
            let verdict = if passed { "pass" } else { "alert" };
            json.push_str(",\"verdict\":{\"action\":\"");
            json.push_str(verdict);
            json.push_str("\"}");
        }
        if let Some(t) = self.about.transaction.as_ref().filter(|t| !t.members.is_empty()) {
            json.push(',');
            json.push_str(&t.members);
        }
        if let Some(frame) = &self.about.frame {
            json.push_str(",\"frame\":");
            json.push_str(frame);
        }
        if !c.tail.is_empty() {
            json.push(',');
            json.push_str(&c.tail);
        }
        let packet = self.kept.as_ref().map_or("", |k| &k.packet);
        match c.remembered.get() {
            Some(r) => r.write(&mut json, packet),
            None => Remembered::default().write(&mut json, packet),
        }
        json.push('}');
        Record {
            class: Class::Alert,
            event_type: "alert",
            event: c.time,
            observed: c.time,
            packet_index: c.index,
            vlan: c.vlan,
            src: c.src,
            dest: c.dest,
            ruleset: Some(*i.set),
            json,
        }
    }
}
