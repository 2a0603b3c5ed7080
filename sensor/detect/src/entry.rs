// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One way round of one rule, ready to run: header, flow, flowbits, contents; from cheap to dear.
//!
//! Must never test less than the rule asks for: groups and prefilter only ever narrow, the entry decides.

use std::{ops::Deref, sync::Arc};

use lagewarte_app::LayerEvents;
use lagewarte_decode::{Packet, PacketSource};
use lagewarte_flow::{AppProto, Direction, FlowRef};
use lagewarte_rules::{
    Rule,
    address::AddressSet,
    ast::{
        Action, Direction as HeaderDirection, FlowState, FlowTest, FlowbitOp, PacketTest, Pairs, PayloadTest, Proto,
    },
    port::PortSet,
    tags::Tag,
};

use crate::{
    alert::{Info, Output},
    app::AppRule,
    engine::{Counters, Work},
    frames::FrameRule,
    header,
    header_bytes::HeaderRule,
    inspect::{payload, ports},
    marks::{Marks, Names, Space},
    payload::{Outcome, Program},
    stream::{Looks, View},
    zones::Where,
};

/// One way round of one rule, ready to run. The position in [`crate::Engine`]'s list is the evaluation order.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) rule: Arc<Kept>,
    pub(crate) src: Arc<AddressSet>,
    pub(crate) src_port: Arc<PortSet>,
    pub(crate) dest: Arc<AddressSet>,
    pub(crate) dest_port: Arc<PortSet>,
    pub(crate) address_only: bool,
    pub(crate) app: Option<Arc<AppRule>>,
    pub(crate) frame: Option<Arc<FrameRule>>,
    program: Arc<Program>,
    headers: Arc<[HeaderRule]>,
    tests: Vec<Bits>,
    changes: Vec<Bits>,
    pub(crate) marks: Marks,
    pub(crate) info: Arc<Info>,
    pub(crate) scope: Scope,
    pub(crate) looks: Looks,
    /// It asks a data set that rules change.
    pub(crate) in_turn: bool,
    /// It does so of a header, which is looked at before transactions are.
    pub(crate) turn_first: bool,
}

/// What is left of a rule once it is compiled.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) action: Action,
    proto: Proto,
    pub(crate) direction: HeaderDirection,
    flow: FlowTest,
    packet: Box<[PacketTest]>,
    variables: u16,
    pub(crate) noalert: bool,
    pub(crate) bypass: bool,
    pub(crate) alert: bool,
    pub(crate) unlogged: bool,
    /// [`Rule::conditional`]
    pub(crate) conditional: bool,
    /// It names the protocols that the flow must speak.
    pub(crate) of_protocols: bool,
    pub(crate) tags: Box<[Tag]>,
}

/// An entry with the whole of its rule, as long as an engine is put together.
#[derive(Debug)]
pub(crate) struct Drafted {
    pub(crate) rule: Arc<Rule>,
    pub(crate) entry: Entry,
    /// Where its addresses let it match ([`crate::zones::Zones::divide`]).
    pub(crate) zones: Where,
}

impl Deref for Drafted {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

#[derive(Clone, Debug)]
struct Bits {
    op: FlowbitOp,
    bits: Vec<u32>,
}

/// What a rule asks and changes of what is remembered. Names get their numbers in the order of the rules.
pub(crate) struct Remembers {
    tests: Vec<Bits>,
    changes: Vec<Bits>,
    marks: Marks,
}

impl Remembers {
    pub(crate) fn new(rule: &Rule, names: &Names) -> Self {
        let bits = |tests: bool| -> Vec<Bits> {
            let reads = |op| matches!(op, FlowbitOp::Isset | FlowbitOp::Isnotset);
            let some = rule.flowbits.iter().filter(|f| reads(f.op) == tests);
            some.map(|f| Bits { op: f.op, bits: f.names.iter().map(|n| names.number(Space::Flowbit, n)).collect() })
                .collect()
        };
        Self { tests: bits(true), changes: bits(false), marks: Marks::new(rule, names) }
    }
}

/// What a pass or drop acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Packet,
    /// Address-only rules.
    Flow,
    /// TCP content rules without a packet keyword: the flow, where the packet belongs to a stream.
    Stream,
}

impl Drafted {
    /// The entries of a rule: one, or two where it goes both ways.
    pub(crate) fn of(
        mut rule: Arc<Rule>,
        remembers: Remembers,
        set: &Arc<[u8; 32]>,
        output: &Output,
    ) -> impl Iterator<Item = Self> + use<> {
        let info = Arc::new(Info::new(&rule, set, output));
        if let Some(rule) = Arc::get_mut(&mut rule) {
            // What alerts show of the rule is written by now.
            rule.text = String::new();
            let meta = &mut rule.meta;
            (meta.msg, meta.category, meta.classtype) = (String::new(), String::new(), None);
            (meta.links, meta.metadata) = (Vec::new(), Pairs::default());
        }
        let kept = Arc::new(Kept {
            action: rule.action,
            proto: rule.proto,
            direction: rule.direction,
            flow: rule.flow,
            packet: rule.packet.as_slice().into(),
            variables: rule.variables,
            noalert: rule.noalert,
            bypass: rule.bypass,
            alert: rule.alert,
            unlogged: rule.unlogged,
            conditional: rule.conditional(),
            of_protocols: rule.protocols.is_some(),
            tags: rule.tags.as_slice().into(),
        });
        let rule = &rule;
        let address_only = rule.address_only();
        let looks = Looks::of(rule);
        let scope = if address_only || rule.like_address_only() {
            Scope::Flow
        } else if looks.at_stream() {
            Scope::Stream
        } else {
            Scope::Packet
        };
        let dynamic = |t: &PayloadTest| matches!(t, PayloadTest::Lookup(l) if l.set.dynamic());
        let in_turn = rule.buffers.iter().chain(&rule.frames).flat_map(|b| &b.tests).any(dynamic);
        let turn_first = rule.headers.iter().flat_map(|b| &b.tests).any(dynamic);
        let forward = Entry {
            src: Arc::clone(&rule.src),
            src_port: Arc::clone(&rule.src_port),
            dest: Arc::clone(&rule.dest),
            dest_port: Arc::clone(&rule.dest_port),
            address_only,
            app: AppRule::new(rule).map(Arc::new),
            frame: FrameRule::new(rule).map(Arc::new),
            program: Arc::new(Program::new(&rule.payload)),
            headers: rule.headers.iter().filter_map(HeaderRule::new).collect(),
            tests: remembers.tests,
            changes: remembers.changes,
            marks: remembers.marks,
            info,
            scope,
            looks,
            in_turn,
            turn_first,
            rule: Arc::clone(&kept),
        };
        // `<>` is the rule twice, the second time the other way round; one between equal sides is `->`.
        let both =
            rule.direction == HeaderDirection::Both && (rule.src != rule.dest || rule.src_port != rule.dest_port);
        let backward = both.then(|| Entry {
            rule: kept,
            src: Arc::clone(&rule.dest),
            src_port: Arc::clone(&rule.dest_port),
            dest: Arc::clone(&rule.src),
            dest_port: Arc::clone(&rule.src_port),
            address_only,
            app: forward.app.clone(),
            frame: forward.frame.clone(),
            program: Arc::clone(&forward.program),
            headers: Arc::clone(&forward.headers),
            tests: forward.tests.clone(),
            changes: forward.changes.clone(),
            marks: forward.marks.clone(),
            info: Arc::clone(&forward.info),
            scope,
            looks,
            in_turn,
            turn_first,
        });
        [Some(forward), backward].into_iter().flatten().map({
            let rule = Arc::clone(rule);
            move |entry| Self { rule: Arc::clone(&rule), entry, zones: Where::ALL }
        })
    }

    /// Whether it is looked for in packets (and not in transactions or frames).
    pub(crate) fn of_packets(&self) -> bool {
        self.app.as_ref().is_none_or(|a| a.parts.is_empty())
            && self.frame.is_none()
            && !self.protocol_only()
            && self.rule.layer_events.is_empty()
    }

    pub(crate) fn protocol_only(&self) -> bool {
        self.app.as_ref().is_some_and(|a| a.protocol_only())
            && self.frame.is_none()
            && self.rule.payload.is_empty()
            && self.rule.packet.is_empty()
    }
}

impl Entry {
    // From cheap to dear; whether it matched in the stream.
    pub(crate) fn matches(
        &self,
        p: &Packet<'_>,
        flow: Option<&FlowRef<'_>>,
        view: View<'_>,
        events: LayerEvents,
        work: &mut Work,
        counters: &mut Counters,
    ) -> Option<bool> {
        if !self.around(p, flow, None, events, work) || !self.remembered(flow) {
            return None;
        }
        if self.looks.at_stream() {
            match view.run(&self.program, &mut work.finds) {
                Outcome::Match => return Some(true),
                Outcome::GaveUp => counters.gave_up += 1,
                Outcome::NoMatch => {}
            }
            if self.looks == Looks::StreamOnly || self.looks == Looks::Stream && view.added {
                return None;
            }
        }
        self.in_payload(p, work, counters).then_some(false)
    }

    /// Everything but contents of payload and transactions, and what rules remember. `of` is what the transaction is of
    /// that is looked at. Begins the rule.
    pub(crate) fn around(
        &self,
        p: &Packet<'_>,
        flow: Option<&FlowRef<'_>>,
        of: Option<AppProto>,
        events: LayerEvents,
        work: &mut Work,
    ) -> bool {
        self.header(p, flow)
            && self.flow(p, flow)
            && self.speaks(flow, of, events)
            && self.rule.packet.iter().all(|t| header::holds(t, p, flow))
            && self.in_headers(p, work)
    }

    /// What earlier matches left on the flow.
    pub(crate) fn remembered(&self, flow: Option<&FlowRef<'_>>) -> bool {
        self.bits(flow) && self.marks.counters_hold(flow.map(|f| &*f.flow))
    }

    fn in_headers(&self, p: &Packet<'_>, work: &mut Work) -> bool {
        work.finds.begin(self.rule.variables);
        self.headers.iter().all(|h| h.holds(p, work))
    }

    /// Whether packet or stream may hold what the rule asks of the payload: cheaper than to ask.
    pub(crate) fn may_be_in_payload(&self, p: &Packet<'_>, flow: &FlowRef<'_>) -> bool {
        let stream = flow.flow.stream.as_ref().filter(|_| self.looks.at_stream());
        self.program.may_pass(payload(p))
            || stream.is_some_and(|s| s.raw_parts(flow.direction).any(|part| self.program.may_pass(part)))
    }

    pub(crate) fn in_parts(&self, flow: &FlowRef<'_>, work: &mut Work) -> bool {
        let stream = flow.flow.stream.as_ref().filter(|_| self.looks.at_stream());
        stream.is_some_and(|s| {
            s.raw_parts(flow.direction).any(|part| self.program.run(part, &mut work.finds) == Outcome::Match)
        })
    }

    pub(crate) fn in_payload(&self, p: &Packet<'_>, work: &mut Work, counters: &mut Counters) -> bool {
        match self.program.run(payload(p), &mut work.finds) {
            Outcome::Match => true,
            Outcome::NoMatch => false,
            Outcome::GaveUp => {
                counters.gave_up += 1;
                false
            }
        }
    }

    fn speaks(&self, flow: Option<&FlowRef<'_>>, of: Option<AppProto>, events: LayerEvents) -> bool {
        let Some(app) = &self.app else { return true };
        let direction = flow.map_or(Direction::ToServer, |f| f.direction);
        app.speaks(flow.map(|f| &*f.flow), of, direction, events)
    }

    fn header(&self, p: &Packet<'_>, flow: Option<&FlowRef<'_>>) -> bool {
        let Some(ip) = p.ip else {
            return match self.rule.proto {
                Proto::Pkthdr => true,
                Proto::Arp => p.arp.is_some(),
                Proto::Ether => p.ether.is_some(),
                _ => false,
            };
        };
        if self.rule.proto == Proto::Ether && p.ether.is_none() {
            return false;
        }
        let proto = proto_takes(self.rule.proto, ip.proto, ip.src.is_ipv6());
        // `=>` is about client and server, whoever sent the packet.
        let turned = self.rule.direction == HeaderDirection::Transaction
            && flow.is_some_and(|f| f.direction == Direction::ToClient);
        let (src, dest) = if turned { (ip.dst, ip.src) } else { (ip.src, ip.dst) };
        let ports = match ports(p).map(|(s, d)| if turned { (d, s) } else { (s, d) }) {
            Some((s, d)) => self.src_port.contains(s) && self.dest_port.contains(d),
            None => self.src_port.is_any() && self.dest_port.is_any(),
        };
        proto && ports && self.src.contains(src) && self.dest.contains(dest)
    }

    fn flow(&self, p: &Packet<'_>, flow: Option<&FlowRef<'_>>) -> bool {
        let test = &self.rule.flow;
        let rebuilt = p.source == PacketSource::Defrag;
        if (test.no_frag && rebuilt) || (test.only_frag && !rebuilt) {
            return false;
        }
        // A packet without a flow goes to the server, as Suricata has it; a state it has not.
        let direction = flow.map_or(Direction::ToServer, |f| f.direction);
        flow_fits(test, direction, flow.map(|f| f.established))
    }

    fn bits(&self, flow: Option<&FlowRef<'_>>) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let Some(f) = flow else { return false };
        self.tests.iter().all(|t| {
            // With several names one that fits is enough, either way.
            t.bits.iter().any(|b| f.flow.flowbits.has(*b) == (t.op == FlowbitOp::Isset))
        })
    }

    pub(crate) fn change(&self, f: &mut FlowRef<'_>, counters: &mut Counters) {
        self.marks.count(f.flow, counters);
        for c in &self.changes {
            for &bit in &c.bits {
                match c.op {
                    FlowbitOp::Set => {
                        f.flow.flowbits.set(bit);
                        counters.flowbits_full += u64::from(!f.flow.flowbits.has(bit));
                    }
                    FlowbitOp::Toggle => f.flow.flowbits.toggle(bit),
                    _ => f.flow.flowbits.unset(bit),
                }
            }
        }
    }
}

/// Whether rules of a protocol look at packets of an IP protocol and family.
pub(crate) const fn proto_takes(proto: Proto, ip: u8, v6: bool) -> bool {
    match proto {
        Proto::Ip | Proto::Pkthdr | Proto::Ether => true,
        Proto::Ipv4 => !v6,
        Proto::Ipv6 => v6,
        Proto::Tcp | Proto::TcpPkt | Proto::TcpStream => ip == 6,
        Proto::Udp => ip == 17,
        Proto::Icmp => matches!(ip, 1 | 58),
        Proto::Icmpv4 => ip == 1,
        Proto::Icmpv6 => ip == 58,
        Proto::Igmp => ip == 2,
        Proto::Sctp => ip == 132,
        Proto::App => matches!(ip, 6 | 17),
        Proto::Arp => false,
    }
}

/// Whether direction and state of a flow are what a rule asks for; no state where there is no flow.
pub(crate) fn flow_fits(test: &FlowTest, direction: Direction, established: Option<bool>) -> bool {
    (!test.to_server || direction == Direction::ToServer)
        && (!test.to_client || direction == Direction::ToClient)
        && match test.state {
            FlowState::Any => true,
            FlowState::Stateless => established.is_some(),
            FlowState::Established => established == Some(true),
            FlowState::NotEstablished => established == Some(false),
        }
}
