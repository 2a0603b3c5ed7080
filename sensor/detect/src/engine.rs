// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The engine: a rule set compiled once, then only read. Many workers share it; each has its own [`Scratch`].
//!
//! For each packet: candidates from the groups, verified in evaluation order (so that a flowbit is set before it is read),
//! then Suricata's actions. Must never allocate on a packet that matches nothing, and never change once built: a reload
//! builds another and swaps the pointer.
//! Limits: [`MAX_CANDIDATES`], [`crate::MAX_STEPS`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use lagewarte_app::{Config as AppConfig, FlowApp, LayerEvents};
use lagewarte_decode::{Ip, Packet, PacketSource, Transport};
use lagewarte_flow::{AppProto, Direction, FlowRef};
use lagewarte_rules::{
    Rule, RuleSet,
    address::AddressSet,
    ast::{Action, Direction as HeaderDirection, FlowState, FlowbitOp, PacketTest, Proto},
    port::PortSet,
};

use crate::{
    address,
    alert::{Candidate, Context, Info, Output, TxPart},
    app::{AppRule, Verdict},
    group::{Class, Groups, Way},
    header,
    payload::{Outcome, Program},
    stream::{Looks, View},
    transactions::Tables,
};

/// Most matches of one packet that go on to the ordered stage. Threat: a rule set of which thousands match every packet.
pub const MAX_CANDIDATES: usize = 256;

/// A compiled rule set.
#[derive(Debug)]
pub struct Engine {
    entries: Vec<Entry>,
    groups: Groups,
    addresses: address::Index,
    /// Entries that ask for a decoder event: looked at for packets that could not be decoded.
    decoder: Vec<u32>,
    /// Entries that ask only what the flow speaks.
    protocol_only: Vec<u32>,
    /// Entries that ask for an event of the flow's protocol as a whole.
    layer: Vec<u32>,
    transactions: Tables,
    /// Tells one engine's marks in transactions from another's.
    id: u64,
    names: Arc<Names>,
    output: Arc<Output>,
    sha256: [u8; 32],
    most_patterns: usize,
}

/// One way round of one rule, ready to run. The position in [`Engine::entries`] is the evaluation order.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) rule: Arc<Rule>,
    pub(crate) src: Arc<AddressSet>,
    pub(crate) src_port: Arc<PortSet>,
    pub(crate) dest: Arc<AddressSet>,
    pub(crate) dest_port: Arc<PortSet>,
    pub(crate) address_only: bool,
    pub(crate) app: Option<Arc<AppRule>>,
    program: Arc<Program>,
    tests: Vec<Bits>,
    changes: Vec<Bits>,
    info: Arc<Info>,
    scope: Scope,
    pub(crate) looks: Looks,
}

#[derive(Clone, Debug)]
struct Bits {
    op: FlowbitOp,
    bits: Vec<u32>,
}

/// What a pass or drop acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Packet,
    /// Address-only rules.
    Flow,
    /// TCP content rules without a packet keyword: the flow, where the packet belongs to a stream.
    Stream,
}

/// Numbers of flowbit names, kept across reloads, since flows live on.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, u32>>);

impl Names {
    fn number(&self, name: &str) -> u32 {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(map.len()).unwrap_or(u32::MAX);
        *map.entry(name.to_owned()).or_insert(next)
    }
}

/// What a worker needs to inspect packets; keeps its allocations. Made by [`Engine::scratch`], good for any engine.
#[derive(Debug, Default)]
pub struct Scratch {
    found: Vec<u32>,
    seen: Vec<u32>,
    mark: u32,
    /// What happened so far.
    pub counters: Counters,
}

/// What a worker's inspection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets inspected.
    pub packets: u64,
    /// Candidates verified.
    pub verified: u64,
    /// Matches handed on.
    pub matches: u64,
    /// Matches dropped at [`MAX_CANDIDATES`].
    pub dropped: u64,
    /// Payload tests given up at [`crate::MAX_STEPS`].
    pub gave_up: u64,
    /// Transactions looked at.
    pub transactions: u64,
    /// Rules that could not wait for more of a transaction, since [`crate::MAX_WAITING`] do.
    pub crowded: u64,
    /// Flowbits not set since the flow holds no more.
    pub flowbits_full: u64,
}

impl Counters {
    /// Adds another worker's counts.
    pub const fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.verified += other.verified;
        self.matches += other.matches;
        self.dropped += other.dropped;
        self.gave_up += other.gave_up;
        self.flowbits_full += other.flowbits_full;
        self.transactions += other.transactions;
        self.crowded += other.crowded;
    }
}

impl Engine {
    /// Compiles a rule set.
    ///
    /// # Errors
    /// A set too large for the matcher, in a sentence.
    pub fn new(set: RuleSet, output: Output) -> Result<Self, String> {
        Self::build(set, output, Arc::default())
    }

    /// Compiles the set that follows this one; flows keep their flowbits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn successor(&self, set: RuleSet, output: Output) -> Result<Self, String> {
        Self::build(set, output, Arc::clone(&self.names))
    }

    fn build(set: RuleSet, output: Output, names: Arc<Names>) -> Result<Self, String> {
        let mut rules: Vec<Arc<Rule>> = set.rules.into_iter().map(Arc::new).collect();
        rules.sort_by_key(|r| r.order()); // stable: the order of loading breaks ties
        let mut entries = Vec::with_capacity(rules.len());
        for rule in &rules {
            Entry::push(rule, &names, &mut entries);
        }
        let groups = Groups::new(&entries)?;
        let those = |test: &dyn Fn(&Entry) -> bool| -> Vec<u32> {
            entries.iter().enumerate().filter(|(_, e)| test(e)).filter_map(|(i, _)| u32::try_from(i).ok()).collect()
        };
        let decoder = those(&|e| e.rule.packet.iter().any(|t| matches!(t, PacketTest::DecodeEvent(_))));
        let protocol_only = those(&Entry::protocol_only);
        let layer = those(&|e| !e.rule.layer_events.is_empty());
        let transactions = Tables::new(&entries)?;
        let [a, b, c, d, e, f, g, h, ..] = set.sha256;
        Ok(Self {
            most_patterns: groups.most_patterns().max(transactions.most_patterns()),
            protocol_only,
            layer,
            transactions,
            id: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            addresses: address::Index::new(&entries),
            decoder,
            groups,
            entries,
            names,
            output: Arc::new(output),
            sha256: set.sha256,
        })
    }

    /// The hash of the rule set, as events carry it.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether there is no rule at all.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether any rule looks at transactions.
    pub fn transactional(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// Inspects a packet; what matches is appended to `out`, in evaluation order. `flow` is the packet's, already
    /// counting it; `events` what the packet showed to be odd about the flow's protocol. The result goes through
    /// [`crate::Ordered`], in the order of packets.
    pub fn inspect(
        &self,
        p: &Packet<'_>,
        mut flow: Option<&mut FlowRef<'_>>,
        events: LayerEvents,
        scratch: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) {
        scratch.counters.packets += 1;
        // Put aside while rules change the flow.
        let stream = flow.as_deref_mut().and_then(|f| f.flow.stream.take());
        let ready = flow.as_ref().zip(stream.as_deref()).filter(|(f, s)| s.raw_ready(f.direction, f.closing()));
        let view = View { stream: ready.map(|(f, s)| (s, f.direction)), added: flow.as_ref().is_some_and(|f| f.added) };
        let looked = view.stream.map(|(_, d)| d);
        if flow.as_ref().is_none_or(|f| !f.excepted && !f.flow.detect.settled) {
            self.look(p, flow.as_deref_mut(), view, events, scratch, out);
        }
        if let (Some(f), Some(mut s)) = (flow, stream) {
            if let Some(d) = looked {
                s.raw_done(d);
            }
            f.flow.stream = Some(s);
        }
    }

    fn look(
        &self,
        p: &Packet<'_>,
        mut flow: Option<&mut FlowRef<'_>>,
        view: View<'_>,
        events: LayerEvents,
        scratch: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) {
        scratch.found.clear();
        match p.ip {
            Some(ip) => {
                self.collect(p, ip.src, ip.dst, flow.as_deref_mut(), view, scratch);
                if !events.is_empty() {
                    scratch.found.extend_from_slice(&self.layer);
                }
            }
            None if p.events.is_empty() => return,
            None => scratch.found.extend_from_slice(&self.decoder),
        }
        if !scratch.found.is_empty() {
            scratch.found.sort_unstable();
            scratch.found.dedup();
            self.verify(p, flow, view, events, scratch, out);
        }
    }

    /// Inspects the transactions of a packet's flow, in the packet's direction. `app` is what the flow speaks.
    pub fn inspect_transactions(
        &self,
        p: &Packet<'_>,
        flow: &mut FlowRef<'_>,
        app: &mut FlowApp,
        config: &AppConfig,
        s: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) {
        let direction = flow.direction;
        let mut context: Option<Arc<Context>> = None;
        for state in app.states_mut() {
            let group = self.transactions.of(state.proto(), direction);
            for place in 0..state.len() {
                let Some(core) = state.core_mut(place) else { continue };
                if core.inspected(direction) {
                    continue;
                }
                let (revision, complete) = (core.revision(direction), core.progress(direction) == lagewarte_app::DONE);
                let marks = &mut core.marks[direction.index()]; // an index of two
                let Some(group) = group.filter(|_| !flow.flow.detect.settled) else {
                    marks.done |= complete;
                    continue;
                };
                if marks.engine != self.id {
                    *marks = lagewarte_app::Marks { engine: self.id, ..lagewarte_app::Marks::default() };
                }
                let seen = revision.wrapping_add(1).max(1);
                if marks.seen == seen {
                    continue;
                }
                let mut marks = std::mem::take(marks);
                s.counters.transactions += 1;
                s.found.clear();
                if s.seen.len() < self.most_patterns {
                    s.seen.resize(self.most_patterns, 0);
                }
                group.candidates(state, place, direction, &mut marks, (&mut s.seen, &mut s.mark), &mut s.found);
                let found = std::mem::take(&mut s.found);
                let mut part: Option<Arc<TxPart>> = None;
                for &i in &found {
                    let Some(entry) = self.entries.get(i as usize) else { continue };
                    let Some(rule) = entry.app.as_deref() else { continue };
                    s.counters.verified += 1;
                    let mut verdict = if entry.around(p, Some(flow), LayerEvents::default()) {
                        rule.inspect(state, place, direction, &mut s.counters)
                    } else {
                        Verdict::Never
                    };
                    // What it asks of the payload is asked of the packet in whose context the rest was found, and of
                    // the stream as far as it is held.
                    if verdict == Verdict::Match && !entry.in_payload(p, &mut s.counters) && !entry.in_parts(flow) {
                        verdict = if complete { Verdict::Never } else { Verdict::Wait };
                    }
                    if !group.note(&mut marks, i, verdict) {
                        s.counters.crowded += 1;
                    }
                    if verdict != Verdict::Match {
                        continue;
                    }
                    let made = part.get_or_insert_with(|| Arc::new(self.output.transaction(state, place, config)));
                    let made = Arc::clone(made);
                    if !self.fire(entry, p, flow, &mut context, Some(made), s, out) {
                        break;
                    }
                }
                s.found = found;
                marks.seen = seen;
                marks.done = complete;
                if complete {
                    marks.rules = Vec::new();
                }
                if let Some(core) = state.core_mut(place) {
                    core.marks[direction.index()] = marks;
                }
            }
        }
    }

    /// A rule matched on a transaction: it acts, and is reported. False where nothing after it is.
    #[expect(clippy::too_many_arguments, reason = "one match with what it is made of")]
    fn fire(
        &self,
        entry: &Entry,
        p: &Packet<'_>,
        flow: &mut FlowRef<'_>,
        context: &mut Option<Arc<Context>>,
        part: Option<Arc<TxPart>>,
        s: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) -> bool {
        let rule = &entry.rule;
        entry.change(flow, &mut s.counters);
        if rule.action != Action::Alert {
            flow.flow.detect.settled = true; // on a transaction, actions are on its flow
        }
        let reported = rule.action != Action::Pass || rule.alert;
        if reported && !rule.noalert {
            if out.len() >= MAX_CANDIDATES {
                s.counters.dropped += 1;
            } else {
                let stream = flow.flow.stream.take();
                let context =
                    context.get_or_insert_with(|| Arc::new(self.output.context(p, Some(flow), stream.as_deref())));
                flow.flow.stream = stream;
                out.push(Candidate::new(p, Arc::clone(&entry.info), Arc::clone(context), part, &self.output));
                s.counters.matches += 1;
                if rule.threshold.is_none() {
                    flow.flow.alerted = true;
                }
            }
        }
        rule.action != Action::Pass
    }

    fn collect(
        &self,
        p: &Packet<'_>,
        src: IpAddr,
        dest: IpAddr,
        flow: Option<&mut FlowRef<'_>>,
        view: View<'_>,
        s: &mut Scratch,
    ) {
        let class = match p.transport {
            Transport::Tcp(_) => Class::Tcp,
            Transport::Udp(_) => Class::Udp,
            Transport::Sctp { .. } => Class::Sctp,
            Transport::Icmpv4(_) => Class::Icmpv4,
            Transport::Icmpv6(_) => Class::Icmpv6,
            // A fragment belongs to its protocol's rules; those that ask for ports fail at verification.
            _ => match p.ip.map_or(0, |ip| ip.proto) {
                6 => Class::Tcp,
                17 => Class::Udp,
                132 => Class::Sctp,
                1 => Class::Icmpv4,
                58 => Class::Icmpv6,
                _ => Class::Other,
            },
        };
        let way = match flow.as_ref().map(|f| f.direction) {
            Some(Direction::ToServer) => Way::ToServer,
            Some(Direction::ToClient) => Way::ToClient,
            None => Way::None,
        };
        if s.seen.len() < self.most_patterns {
            s.seen.resize(self.most_patterns, 0);
        }
        if class == Class::Tcp {
            let of = self.groups.table(Class::TcpStream, way).of(ports(p));
            for group in of {
                for w in view.stream.iter().flat_map(|(stream, d)| stream.raw_windows(*d)) {
                    s.mark = next_mark(&mut s.seen, s.mark);
                    group.candidates(w.data, &mut s.seen, s.mark, &mut s.found);
                }
                if !view.added && !payload(p).is_empty() {
                    s.mark = next_mark(&mut s.seen, s.mark);
                    group.candidates(payload(p), &mut s.seen, s.mark, &mut s.found);
                }
            }
        }
        if p.never_sent() {
            return; // the moment of a flow's end: there is no packet to look at
        }
        if let Some(f) = flow.as_ref() {
            let side = f.direction.index();
            // Once for each direction, when it is known what it speaks.
            let (known, done) = (f.flow.app.sides[side] != AppProto::Unknown, f.flow.detect.protocol_done[side]);
            if known && !done {
                s.found.extend_from_slice(&self.protocol_only);
            }
        }
        for group in self.groups.table(class, way).of(ports(p)) {
            s.mark = next_mark(&mut s.seen, s.mark);
            group.candidates(payload(p), &mut s.seen, s.mark, &mut s.found);
        }
        let first = match flow {
            Some(f) => {
                let side = f.direction.index(); // of two
                f.flow.detect.protocol_done[side] |= f.flow.app.sides[side] != AppProto::Unknown;
                !std::mem::replace(&mut f.flow.detect.addresses_done[side], true)
            }
            None => true,
        };
        if first {
            self.addresses.candidates(src, dest, &mut s.found);
        }
    }

    fn verify(
        &self,
        p: &Packet<'_>,
        mut flow: Option<&mut FlowRef<'_>>,
        view: View<'_>,
        events: LayerEvents,
        s: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) {
        // As of the packet, and as of the stream.
        let mut contexts: [Option<Arc<Context>>; 2] = [None, None];
        let mut passed = false;
        let before = out.len();
        for &i in &s.found {
            let Some(entry) = self.entries.get(i as usize) else { continue };
            s.counters.verified += 1;
            let Some(in_stream) = entry.matches(p, flow.as_deref(), view, events, &mut s.counters) else { continue };
            let rule = &entry.rule;
            if let Some(f) = flow.as_deref_mut() {
                entry.change(f, &mut s.counters);
                let on_flow = match entry.scope {
                    Scope::Packet => false,
                    Scope::Flow => true,
                    Scope::Stream => in_stream || f.added,
                };
                if rule.action != Action::Alert && on_flow {
                    f.flow.detect.settled = true;
                }
            }
            let reported = match rule.action {
                Action::Pass => rule.alert,
                _ => true,
            };
            if reported && !rule.noalert && !passed {
                if out.len() - before == MAX_CANDIDATES {
                    s.counters.dropped += 1;
                } else {
                    let stream = view.stream.filter(|_| in_stream).map(|(s, _)| s);
                    let context = contexts[usize::from(in_stream)] // one of two
                        .get_or_insert_with(|| Arc::new(self.output.context(p, flow.as_deref_mut(), stream)));
                    out.push(Candidate::new(p, Arc::clone(&entry.info), Arc::clone(context), None, &self.output));
                    s.counters.matches += 1;
                    if rule.threshold.is_none()
                        && let Some(f) = flow.as_deref_mut()
                    {
                        f.flow.alerted = true;
                    }
                }
            }
            passed |= rule.action == Action::Pass;
        }
    }
}

/// The next mark for patterns that were seen.
fn next_mark(seen: &mut [u32], mark: u32) -> u32 {
    mark.checked_add(1).unwrap_or_else(|| {
        seen.fill(0);
        1
    })
}

/// What rules inspect: the payload of a transport that is known; of others Suricata inspects none.
pub(crate) const fn payload<'a>(p: &Packet<'a>) -> &'a [u8] {
    match p.transport {
        Transport::None | Transport::Other => &[],
        _ => p.payload,
    }
}

/// The ports that rules compare. A transport too damaged to be read has port 0 on both sides, as Suricata has it; a
/// fragment has none.
const fn ports(p: &Packet<'_>) -> Option<(u16, u16)> {
    match (p.ports(), &p.ip) {
        (None, Some(Ip { proto: 6 | 17 | 132, fragment: None, .. })) => Some((0, 0)),
        (ports, _) => ports,
    }
}

impl Entry {
    fn push(rule: &Arc<Rule>, names: &Names, into: &mut Vec<Self>) {
        let bits = |tests: bool| -> Vec<Bits> {
            let reads = |op| matches!(op, FlowbitOp::Isset | FlowbitOp::Isnotset);
            let some = rule.flowbits.iter().filter(|f| reads(f.op) == tests);
            some.map(|f| Bits { op: f.op, bits: f.names.iter().map(|n| names.number(n)).collect() }).collect()
        };
        let address_only = rule.address_only();
        let looks = Looks::of(rule);
        let scope = if address_only || rule.like_address_only() {
            Scope::Flow
        } else if looks.at_stream() {
            Scope::Stream
        } else {
            Scope::Packet
        };
        let forward = Self {
            src: Arc::clone(&rule.src),
            src_port: Arc::clone(&rule.src_port),
            dest: Arc::clone(&rule.dest),
            dest_port: Arc::clone(&rule.dest_port),
            address_only,
            app: AppRule::new(rule).map(Arc::new),
            program: Arc::new(Program::new(&rule.payload)),
            tests: bits(true),
            changes: bits(false),
            info: Arc::new(Info::new(rule)),
            scope,
            looks,
            rule: Arc::clone(rule),
        };
        // `<>` is the rule twice, the second time the other way round; one between equal sides is `->`.
        let both =
            rule.direction == HeaderDirection::Both && (rule.src != rule.dest || rule.src_port != rule.dest_port);
        let backward = both.then(|| Self {
            rule: Arc::clone(rule),
            src: Arc::clone(&rule.dest),
            src_port: Arc::clone(&rule.dest_port),
            dest: Arc::clone(&rule.src),
            dest_port: Arc::clone(&rule.src_port),
            address_only,
            app: forward.app.clone(),
            program: Arc::clone(&forward.program),
            tests: forward.tests.clone(),
            changes: forward.changes.clone(),
            info: Arc::clone(&forward.info),
            scope,
            looks,
        });
        into.push(forward);
        into.extend(backward);
    }

    /// Whether it is looked for in packets (and not in transactions).
    pub(crate) fn of_packets(&self) -> bool {
        self.app.as_ref().is_none_or(|a| a.parts.is_empty())
            && !self.protocol_only()
            && self.rule.layer_events.is_empty()
    }

    fn protocol_only(&self) -> bool {
        self.app.as_ref().is_some_and(|a| a.protocol_only())
            && self.rule.payload.is_empty()
            && self.rule.packet.is_empty()
    }

    // From cheap to dear; whether it matched in the stream.
    fn matches(
        &self,
        p: &Packet<'_>,
        flow: Option<&FlowRef<'_>>,
        view: View<'_>,
        events: LayerEvents,
        counters: &mut Counters,
    ) -> Option<bool> {
        if !self.around(p, flow, events) {
            return None;
        }
        if self.looks.at_stream() {
            match view.run(&self.program) {
                Outcome::Match => return Some(true),
                Outcome::GaveUp => counters.gave_up += 1,
                Outcome::NoMatch => {}
            }
            if self.looks == Looks::StreamOnly || self.looks == Looks::Stream && view.added {
                return None;
            }
        }
        self.in_payload(p, counters).then_some(false)
    }

    /// Everything but contents.
    fn around(&self, p: &Packet<'_>, flow: Option<&FlowRef<'_>>, events: LayerEvents) -> bool {
        self.header(p)
            && self.flow(p, flow)
            && self.speaks(flow, events)
            && self.rule.packet.iter().all(|t| header::holds(t, p, flow))
            && self.bits(flow)
    }

    fn in_parts(&self, flow: &FlowRef<'_>) -> bool {
        let stream = flow.flow.stream.as_ref().filter(|_| self.looks.at_stream());
        stream.is_some_and(|s| s.raw_parts(flow.direction).any(|part| self.program.run(part) == Outcome::Match))
    }

    fn in_payload(&self, p: &Packet<'_>, counters: &mut Counters) -> bool {
        match self.program.run(payload(p)) {
            Outcome::Match => true,
            Outcome::NoMatch => false,
            Outcome::GaveUp => {
                counters.gave_up += 1;
                false
            }
        }
    }

    fn speaks(&self, flow: Option<&FlowRef<'_>>, events: LayerEvents) -> bool {
        let Some(app) = &self.app else { return true };
        let direction = flow.map_or(Direction::ToServer, |f| f.direction);
        app.speaks(flow.map(|f| &*f.flow), direction, events)
    }

    fn header(&self, p: &Packet<'_>) -> bool {
        let Some(ip) = p.ip else { return self.rule.proto == Proto::Pkthdr };
        let proto = match self.rule.proto {
            Proto::Ip | Proto::Pkthdr => true,
            Proto::Ipv4 => ip.src.is_ipv4(),
            Proto::Ipv6 => ip.src.is_ipv6(),
            Proto::Tcp | Proto::TcpPkt | Proto::TcpStream => ip.proto == 6,
            Proto::Udp => ip.proto == 17,
            Proto::Icmp => matches!(ip.proto, 1 | 58),
            Proto::Icmpv4 => ip.proto == 1,
            Proto::Icmpv6 => ip.proto == 58,
            Proto::App => matches!(ip.proto, 6 | 17),
        };
        let ports = match ports(p) {
            Some((s, d)) => self.src_port.contains(s) && self.dest_port.contains(d),
            None => self.src_port.is_any() && self.dest_port.is_any(),
        };
        proto && ports && self.src.contains(ip.src) && self.dest.contains(ip.dst)
    }

    fn flow(&self, p: &Packet<'_>, flow: Option<&FlowRef<'_>>) -> bool {
        let test = &self.rule.flow;
        if !test.present {
            return true;
        }
        let rebuilt = p.source == PacketSource::Defrag;
        if (test.no_frag && rebuilt) || (test.only_frag && !rebuilt) {
            return false;
        }
        let established = flow.map(|f| f.established);
        // A packet without a flow goes to the server, as Suricata has it; a state it has not.
        let direction = flow.map_or(Direction::ToServer, |f| f.direction);
        (!test.to_server || direction == Direction::ToServer)
            && (!test.to_client || direction == Direction::ToClient)
            && match test.state {
                FlowState::Any => true,
                FlowState::Stateless => established.is_some(),
                FlowState::Established => established == Some(true),
                FlowState::NotEstablished => established == Some(false),
            }
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

    fn change(&self, f: &mut FlowRef<'_>, counters: &mut Counters) {
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
