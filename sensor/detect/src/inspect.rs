// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the engine does with a packet: candidates from the groups, verified in evaluation order (so that a flowbit is set
//! before it is read), then Suricata's actions. Must never allocate on a packet that matches nothing.

use std::{net::IpAddr, sync::Arc};

use lagewarte_app::LayerEvents;
use lagewarte_decode::{Ip, Packet, Transport};
use lagewarte_flow::{AppProto, Direction, FlowRef};
use lagewarte_rules::ast::Action;

use crate::{
    alert::{About, Candidate, Context, Kept},
    engine::{Engine, MAX_CANDIDATES, Scratch},
    entry::Scope,
    gate::Key,
    group::{Class, Way},
    stream::View,
};

impl Engine {
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
        scratch.counters.pcre_limited += std::mem::take(&mut scratch.work.finds.limited);
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
                if !scratch.found.is_empty() {
                    let key = Key::new(p, (ip.proto, ip.src.is_ipv6()), flow.as_deref(), view);
                    scratch.found.retain(|i| self.gates.get(*i as usize).is_some_and(|g| g.lets(&key)));
                }
            }
            None => {
                scratch.found.extend_from_slice(&self.below_ip);
                if !p.events.is_empty() {
                    scratch.found.extend_from_slice(&self.decoder);
                }
            }
        }
        if !scratch.found.is_empty() {
            scratch.work.made_headers.clear();
            scratch.found.sort_unstable();
            scratch.found.dedup();
            self.verify(p, flow, view, events, scratch, out);
        }
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
            Transport::Sctp(_) => Class::Sctp,
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
        let spoken = flow.as_ref().map_or(AppProto::Unknown, |f| f.flow.app.spoken());
        let (ports, zone) = (ports(p), self.zones.of(src, dest));
        // Into what is encrypted rules do not look; others are asked all the same.
        let payload = if flow.as_ref().is_some_and(|f| f.sealed) { &[] } else { payload(p) };
        if class == Class::Tcp
            && let Some(table) = self.groups.table(Class::TcpStream, way, zone, spoken)
        {
            for w in view.stream.iter().flat_map(|(stream, d)| stream.raw_windows(*d)) {
                table.candidates(ports, w.data, w.seen, &mut s.seen, &mut s.found);
            }
            if !view.added && !payload.is_empty() {
                table.candidates(ports, payload, 0, &mut s.seen, &mut s.found);
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
        if let Some(table) = self.groups.table(class, way, zone, spoken) {
            table.candidates(ports, payload, 0, &mut s.seen, &mut s.found);
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
        let found = std::mem::take(&mut s.found);
        for &i in &found {
            let Some(entry) = self.entries.get(i as usize) else { continue };
            s.counters.verified += 1;
            if entry.turn_first {
                s.take_turn();
            }
            let watch = self.watch(i);
            let matched = entry.matches(p, flow.as_deref(), view, events, &mut s.work, &mut s.counters);
            let matched = matched.filter(|_| entry.marks.hold(p, &self.hosts, s));
            watch.stop(matched.is_some());
            let Some(in_stream) = matched else { continue };
            let rule = &entry.rule;
            entry.marks.mark(p, &self.hosts, s);
            if !passed && !rule.tags.is_empty() {
                self.tag(entry, p, flow.as_deref_mut(), s);
            }
            if let Some(f) = flow.as_deref_mut() {
                entry.change(f, &mut s.counters);
                let on_flow = match entry.scope {
                    Scope::Packet => false,
                    Scope::Flow => true,
                    Scope::Stream => in_stream || f.added,
                };
                if rule.bypass {
                    f.flow.bypass();
                }
                if rule.action != Action::Alert && on_flow {
                    f.flow.detect.settled = true;
                    f.flow.detect.passed |= rule.action == Action::Pass;
                }
            }
            let kept = Kept::take(&mut s.work.finds, flow.as_deref_mut());
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
                        .get_or_insert_with(|| {
                            Arc::new(self.output.context(p, flow.as_deref_mut(), stream))
                        });
                    let info = Arc::clone(&entry.info);
                    out.push(Candidate::new(p, i, info, Arc::clone(context), About::default(), kept, &self.output));
                    s.counters.matches += 1;
                    if !rule.conditional
                        && let Some(f) = flow.as_deref_mut()
                    {
                        f.flow.alerted = true;
                    }
                }
            }
            passed |= rule.action == Action::Pass;
        }
        s.found = found;
        Self::measured(&mut s.work.finds, flow.as_deref_mut().map(|f| &mut *f.flow));
        for c in contexts.iter().flatten() {
            self.remember(c, flow.as_deref().map(|f| &*f.flow), passed);
        }
    }
}

/// What rules inspect: the payload of a transport that is known; of others Suricata inspects none.
pub(crate) const fn payload<'a>(p: &Packet<'a>) -> &'a [u8] {
    match p.transport {
        Transport::None | Transport::Igmp(_) | Transport::Other => &[],
        _ => p.payload,
    }
}

/// The ports that rules compare. A transport too damaged to be read has port 0 on both sides, as Suricata has it; a
/// fragment has none.
pub(crate) const fn ports(p: &Packet<'_>) -> Option<(u16, u16)> {
    match (p.ports(), &p.ip) {
        (None, Some(Ip { proto: 6 | 17 | 132, fragment: None, .. })) => Some((0, 0)),
        (ports, _) => ports,
    }
}
