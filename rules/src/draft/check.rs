// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The checks of a rule that need all its options at once.
//!
//! Must never let a rule through that can never match, or whose options contradict each other.

use super::{At, Draft, Fast, Placed};
use crate::{
    ast::{Csum, FlowbitOp, Number, Operand, PacketTest, PayloadTest, Proto, Value},
    buffers::{Buffer, Ways},
    keywords::file::said,
    marks::{FlowintOp, Xbit, XbitOp, XbitTrack},
};

impl Draft<'_> {
    /// Everything that needs all options at once. The keyword to blame and a sentence.
    pub(crate) fn check(&mut self) -> Result<(), (&'static str, String)> {
        self.check_fast_pattern()?;
        self.check_protocol()?;
        self.check_stream()?;
        self.check_dsize()?;
        self.check_sizes()?;
        self.check_decoded()?;
        self.check_flowbits()?;
        self.check_transaction()?;
        self.check_frame()?;
        self.check_marks()?;
        if matches!(self.payload.first(), Some(Placed { test: PayloadTest::Content(c), .. }) if c.relative()) {
            let s = "the first content has no match before it: distance and within count from the payload's start";
            self.warnings.push(("distance", s.to_owned()));
        }
        Ok(())
    }

    fn check_fast_pattern(&mut self) -> Result<(), (&'static str, String)> {
        let err = |s: String| Err(("fast_pattern", s));
        if self.fast.len() > 1 {
            return err(String::from("only one content of a rule can be the fast_pattern"));
        }
        let Some((at, form)) = self.fast.first().copied() else { return Ok(()) };
        let Some(Placed { test: PayloadTest::Content(c), decoded, .. }) = self.payload.get_mut(at) else {
            return Ok(());
        };
        let placed = c.relative() || c.offset.is_some() || c.depth.is_some() || c.startswith;
        if *decoded {
            return err(String::from(
                "what base64_decode decodes is not searched beforehand: give it to another content",
            ));
        }
        match form {
            Fast::Only if placed => {
                return err(String::from(
                    "fast_pattern:only looks anywhere; it cannot go with offset, depth, distance, within or startswith",
                ));
            }
            Fast::Only | Fast::Chop(..) if c.negated && (form == Fast::Only || placed) => {
                return err(String::from("a negated content with a position cannot be the fast_pattern"));
            }
            Fast::Whole if c.negated && placed => {
                return err(String::from("a negated content with a position cannot be the fast_pattern"));
            }
            Fast::Chop(offset, length) if offset.saturating_add(length) > c.bytes.len() || length == 0 => {
                return err(format!(
                    "fast_pattern:{offset},{length} reaches outside the content, which has {} bytes",
                    c.bytes.len()
                ));
            }
            _ => {}
        }
        c.fast_pattern = !c.negated;
        Ok(())
    }

    fn check_protocol(&self) -> Result<(), (&'static str, String)> {
        if self.packet.iter().any(|t| matches!(t, PacketTest::IpProto(_))) && self.proto != Proto::Ip {
            return Err(("ip_proto", String::from("it chooses the protocol itself: the rule's must be `ip`")));
        }
        for at in self.payload.iter().filter_map(|t| t.at) {
            let excluded = match at.buffer.name {
                "tcp.hdr" => !Needs::Tcp.possible(self.proto),
                "udp.hdr" => !Needs::Udp.possible(self.proto),
                "icmpv4.hdr" | "icmpv6.hdr" => !Needs::Icmp.possible(self.proto),
                "igmp.hdr" => !Needs::Igmp.possible(self.proto),
                "sctp.hdr" | "sctp.chunk_data" => !Needs::Sctp.possible(self.proto),
                "ip.src" | "ip.dst" => self.proto == Proto::Arp,
                "ipv4.hdr" => matches!(self.proto, Proto::Ipv6 | Proto::Icmpv6 | Proto::Arp),
                "ipv6.hdr" => matches!(self.proto, Proto::Ipv4 | Proto::Icmpv4 | Proto::Igmp | Proto::Arp),
                _ => false,
            };
            if excluded {
                let s = "it is a header that the rule's protocol excludes: the rule could never match";
                return Err((at.buffer.name, s.to_owned()));
            }
        }
        for t in &self.packet {
            let needs = match t {
                PacketTest::Flags(..)
                | PacketTest::Seq(_)
                | PacketTest::Ack(_)
                | PacketTest::Window(_)
                | PacketTest::TcpMss(_)
                | PacketTest::TcpWscale(_)
                | PacketTest::Csum(Csum::Tcpv4 | Csum::Tcpv6, _)
                | PacketTest::StreamSize(..)
                | PacketTest::StreamEvent(_) => Needs::Tcp,
                PacketTest::Itype(_)
                | PacketTest::Icode(_)
                | PacketTest::IcmpId(_)
                | PacketTest::Icmpv6Mtu(_)
                | PacketTest::Csum(Csum::Icmpv4 | Csum::Icmpv6, _)
                | PacketTest::IcmpSeq(_) => Needs::Icmp,
                PacketTest::IgmpType(_) | PacketTest::Csum(Csum::Igmp, _) => Needs::Igmp,
                PacketTest::SctpVtag(_) | PacketTest::SctpChunkType(_) | PacketTest::SctpChunkCount(_) => Needs::Sctp,
                PacketTest::Id(_)
                | PacketTest::Tos(..)
                | PacketTest::Fragbits(..)
                | PacketTest::Ipopts(_)
                | PacketTest::Csum(Csum::Ipv4, _)
                | PacketTest::Fragoffset(_) => Needs::Ipv4,
                _ => continue,
            };
            if !needs.possible(self.proto) {
                return Err((
                    t.keyword(),
                    format!("it looks at {}, which the rule's protocol excludes: it could never match", needs.what()),
                ));
            }
        }
        Ok(())
    }

    fn check_stream(&self) -> Result<(), (&'static str, String)> {
        let err = |s: &str| Err(("flow", s.to_owned()));
        let (asked, f) = (self.proto == Proto::TcpStream, &self.flow);
        if f.only_stream && matches!(self.proto, Proto::TcpPkt | Proto::Udp) {
            return err(
                "only_stream asks for the streams of TCP, which the rule's protocol excludes: it could never match",
            );
        }
        if f.only_stream && matches!(self.proto, Proto::Icmp | Proto::Icmpv4 | Proto::Icmpv6) {
            return err("only_stream asks for the streams of TCP, and ICMP has none: it could never match");
        }
        if asked && f.no_stream {
            return err("no_stream asks for packets, and tcp-stream for streams: it could never match");
        }
        if (asked || f.only_stream) && self.payload.is_empty() {
            return err("it asks for the stream and looks for nothing in it: add a content");
        }
        Ok(())
    }

    fn check_dsize(&self) -> Result<(), (&'static str, String)> {
        let longest = self.packet.iter().find_map(|t| match t {
            PacketTest::Dsize(Number::Eq(n) | Number::Le(n)) => Some(*n),
            PacketTest::Dsize(Number::Lt(n) | Number::Between(_, n)) => Some(n.saturating_sub(1)),
            _ => None,
        });
        let needed = self.payload.iter().filter(|t| t.at.is_none()).map(|t| match &t.test {
            PayloadTest::Content(c) if !c.negated && !c.relative() && !t.decoded => {
                let offset = c.offset.and_then(Value::number).and_then(|n| usize::try_from(n).ok());
                c.bytes.len() + offset.unwrap_or(0)
            }
            _ => 0,
        });
        match (longest, needed.max()) {
            (Some(longest), Some(needed)) if needed > longest as usize => Err((
                "dsize",
                format!(
                    "a payload of at most {longest} bytes cannot hold a content that needs {needed}: it could never match"
                ),
            )),
            _ => Ok(()),
        }
    }

    // `bsize` against the contents before it.
    fn check_sizes(&self) -> Result<(), (&'static str, String)> {
        for (i, t) in self.payload.iter().enumerate() {
            let PayloadTest::Bsize(size) = &t.test else { continue };
            let most = if size.negated { u64::MAX } else { size.to };
            let before = self.payload.iter().take(i).filter(|o| o.at == t.at && o.decoded == t.decoded);
            let longest = before.filter_map(|o| match &o.test {
                PayloadTest::Content(c) if !c.negated => Some(c.bytes.len()),
                _ => None,
            });
            if let Some(n) = longest.max().filter(|n| u64::try_from(*n).is_ok_and(|n| n > most)) {
                return Err(("bsize", format!("a content before it has {n} bytes: it could never match")));
            }
        }
        Ok(())
    }

    // What is decoded is looked at, and a variable is filled before it is used.
    fn check_decoded(&self) -> Result<(), (&'static str, String)> {
        for (i, t) in self.payload.iter().enumerate() {
            if matches!(t.test, PayloadTest::Base64(_)) && !self.payload.get(i + 1).is_some_and(|n| n.decoded) {
                return Err((
                    "base64_decode",
                    String::from("nothing is looked for in what it decodes: `base64_data` and a content must follow"),
                ));
            }
        }
        let rank = |at: Option<At>| match at {
            Some(at) if at.buffer.protocols.is_empty() => 0,
            Some(_) => 1,
            None => 2, // the payload comes last
        };
        let mention = |at: Option<At>| self.payload.iter().position(|t| t.at == at);
        for t in &self.payload {
            for variable in uses(&t.test) {
                let filled = self.payload.iter().find(|f| fills(&f.test) == Some(variable));
                let Some(f) = filled else { continue }; // a name that nothing fills was refused when it was read
                let before = f.at == t.at || (rank(f.at), mention(f.at)) < (rank(t.at), mention(t.at));
                if !before {
                    return Err((
                        t.test.keyword(),
                        String::from("it uses a variable that is filled where the rule looks later"),
                    ));
                }
            }
        }
        Ok(())
    }

    // Buffers and transaction tests: each is looked for, in one direction, of one protocol.
    fn check_transaction(&mut self) -> Result<(), (&'static str, String)> {
        if let Some(at) = self.sticky
            && self.nothing_in(at)
        {
            return Err((at.buffer.keyword(), String::from("nothing is looked for in it: a content must follow")));
        }
        if self.both_ways {
            return self.check_both_ways();
        }
        let mut ways = match (self.flow.to_server, self.flow.to_client) {
            (true, _) => Ways::ToServer,
            (_, true) => Ways::ToClient,
            _ => Ways::Both,
        };
        let buffers: Vec<&'static Buffer> =
            self.payload.iter().filter_map(|t| t.at.map(|a| a.buffer)).filter(|b| !b.protocols.is_empty()).collect();
        for b in &buffers {
            self.about(b.protocols, "another buffer or the header").map_err(|e| (b.keyword(), e))?;
            match (ways, b.ways) {
                (_, Ways::Both) => {}
                (Ways::Both, way) => ways = way,
                (had, way) if had == way => {}
                _ => {
                    let s = "it holds what goes the other way than the rest of the rule looks: it could never match";
                    return Err((b.keyword(), s.to_owned()));
                }
            }
        }
        let app = !buffers.is_empty() || !self.transaction.is_empty();
        if app && !matches!(self.proto, Proto::App | Proto::Tcp | Proto::Udp | Proto::Ip | Proto::Ipv4 | Proto::Ipv6) {
            let name = buffers.first().map_or("app-layer-event", |b| b.keyword());
            return Err((name, String::from("the rule's protocol has no transactions: write the protocol's own name")));
        }
        for t in &self.payload {
            if let (Some(At { buffer, chain: 0, .. }), PayloadTest::Content(c)) = (t.at, &t.test)
                && buffer.name == "file.magic"
            {
                said(&String::from_utf8_lossy(&c.bytes)).map_err(|e| (buffer.name, e))?;
            }
        }
        let in_transactions = |t: &Placed| t.at.is_some_and(|at| !at.buffer.protocols.is_empty());
        if app && self.payload.iter().all(in_transactions) {
            self.flow.to_server |= ways == Ways::ToServer;
            self.flow.to_client |= ways == Ways::ToClient;
        }
        Ok(())
    }

    // A frame is looked at by itself: whatever else a rule looks into is there at another moment.
    fn check_frame(&self) -> Result<(), (&'static str, String)> {
        let mut places = self.payload.iter().map(|t| t.at.map(|at| at.buffer));
        let Some(frame) = places.clone().flatten().find(|b| b.frame) else { return Ok(()) };
        let err = |s: &str| Err(("frame", s.to_owned()));
        if places.any(|b| b != Some(frame)) {
            return err(
                "a frame is looked at by itself: ask nothing of the payload, of other buffers or frames in this rule",
            );
        }
        if !(self.transaction.is_empty() && self.layer_events.is_empty()) {
            return err("a frame is no part of a transaction: ask for no number, event, file or hook in this rule");
        }
        if !self.packet.is_empty() {
            return err("a frame is no packet, and may lie in several: ask nothing of packets in this rule");
        }
        if self.payload.iter().any(|t| matches!(t.test, PayloadTest::Absent { .. })) {
            return err("only frames that are there are looked at: `absent` could never match");
        }
        if self.unlogged || self.xbits.iter().any(|x| x.track == XbitTrack::Tx) {
            return err("a frame is no transaction: nothing can be set on one, or asked of its marks, in this rule");
        }
        Ok(())
    }

    // `=>`: each thing that is looked for must be known to go one way.
    fn check_both_ways(&mut self) -> Result<(), (&'static str, String)> {
        let err = |s: &str| Err(("", s.to_owned()));
        if self.proto != Proto::App {
            return err("=> looks at both directions of a transaction: the header must name an application protocol");
        }
        if self.flow.to_server || self.flow.to_client {
            return err("=> looks at both directions, and the rule asks for one: write -> or leave that out");
        }
        if !self.packet.is_empty() || !self.transaction.is_empty() || self.payload.iter().any(|t| t.at.is_none()) {
            return err("a rule with => looks into buffers only: of the rest it is not known which way it goes");
        }
        let buffers: Vec<&'static Buffer> = self.payload.iter().filter_map(|t| t.at.map(|a| a.buffer)).collect();
        for b in &buffers {
            if b.ways == Ways::Both {
                let s = "it can go either way, and a rule with => must say which: this version has no word for that";
                return Err((b.keyword(), s.to_owned()));
            }
            self.about(b.protocols, "another buffer or the header").map_err(|e| (b.keyword(), e))?;
        }
        let some = |way: Ways| buffers.iter().any(|b| b.ways == way);
        if !(some(Ways::ToServer) && some(Ways::ToClient)) {
            return err("a rule with => looks for something in each direction; with one direction only write ->");
        }
        Ok(())
    }

    fn check_marks(&self) -> Result<(), (&'static str, String)> {
        let writes = self.payload.iter().find(|t| matches!(&t.test, PayloadTest::Lookup(l) if l.changes()));
        if let Some(writes) = writes
            && !(self.payload.iter().all(|t| t.at == writes.at) && self.transaction.is_empty() && self.xbits.is_empty())
        {
            let s = "set and unset act when their buffer is looked at, whatever the rest of the rule says: ask nothing else of \
                     other buffers, the payload or xbits in this rule";
            return Err(("dataset", s.to_owned()));
        }
        if writes.is_some_and(|w| w.at.is_some_and(|at| at.buffer.protocols.is_empty()))
            && !(self.flowbits.is_empty() && self.flowints.is_empty())
        {
            let s = "set and unset of a packet's header act before flowbits are asked: ask none in this rule";
            return Err(("dataset", s.to_owned()));
        }
        if self.unlogged && self.transaction.is_empty() && self.payload.iter().all(|t| t.at.is_none()) {
            let s = "it is about a transaction, and the rule looks into none: add a buffer of the protocol";
            return Err(("config", s.to_owned()));
        }
        if !self.tags.is_empty() && self.threshold.is_some() {
            let s =
                "packets would be tagged for alerts that the threshold keeps back; give the tag to a rule without one";
            return Err(("tag", s.to_owned()));
        }
        let ports = matches!(self.proto, Proto::Tcp | Proto::TcpPkt | Proto::TcpStream | Proto::Udp | Proto::App);
        if self.threshold.is_some_and(|t| t.unique.is_some()) && !ports {
            let s =
                "unique_on counts ports, and the rule's protocol has none: write tcp, udp or an application protocol";
            return Err(("detection_filter", s.to_owned()));
        }
        let never = |name: &str| format!("{name:?} is asked to be set and not set: it could never match");
        for f in self.flowints.iter().filter(|f| f.op == FlowintOp::Isset) {
            if self.flowints.iter().any(|g| g.op == FlowintOp::Isnotset && g.name == f.name) {
                return Err(("flowint", never(&f.name)));
            }
        }
        for x in &self.xbits {
            let same = |y: &&Xbit| y.op == XbitOp::Isnotset && y.name == x.name && y.track == x.track;
            if x.op == XbitOp::Isset && self.xbits.iter().any(|y| same(&y)) {
                return Err((x.keyword, never(&x.name)));
            }
            if x.track == XbitTrack::Tx && self.transaction.is_empty() && self.payload.iter().all(|t| t.at.is_none()) {
                return Err((
                    x.keyword,
                    String::from(
                        "track tx marks a transaction, and the rule looks into none: add a buffer of the protocol",
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_flowbits(&self) -> Result<(), (&'static str, String)> {
        for f in self.flowbits.iter().filter(|f| f.op == FlowbitOp::Isset) {
            let denied = |n: &String| self.flowbits.iter().any(|g| g.op == FlowbitOp::Isnotset && g.names.contains(n));
            if f.names.iter().all(denied) {
                return Err((
                    "flowbits",
                    format!("{:?} is asked to be set and not set: it could never match", f.names.join("|")),
                ));
            }
        }
        Ok(())
    }
}

/// What a test looks at.
#[derive(Clone, Copy)]
enum Needs {
    Tcp,
    Udp,
    Icmp,
    Igmp,
    Sctp,
    Ipv4,
}

impl Needs {
    /// Whether packets of a rule's protocol can have it.
    const fn possible(self, proto: Proto) -> bool {
        let any = matches!(proto, Proto::Ip | Proto::Ipv4 | Proto::Pkthdr);
        let any6 = any || matches!(proto, Proto::Ipv6);
        match self {
            Self::Tcp => any6 || matches!(proto, Proto::Tcp | Proto::TcpPkt | Proto::TcpStream | Proto::App),
            Self::Udp => any6 || matches!(proto, Proto::Udp | Proto::App),
            Self::Icmp => any6 || matches!(proto, Proto::Icmp | Proto::Icmpv4 | Proto::Icmpv6),
            Self::Igmp => any || matches!(proto, Proto::Igmp),
            Self::Sctp => any6 || matches!(proto, Proto::Sctp),
            Self::Ipv4 => !matches!(proto, Proto::Ipv6 | Proto::Icmpv6 | Proto::Arp | Proto::Ether),
        }
    }
    const fn what(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Icmp => "ICMP",
            Self::Igmp => "IGMP",
            Self::Sctp => "SCTP",
            Self::Ipv4 => "IPv4",
        }
    }
}

/// The variable that a test fills.
const fn fills(test: &PayloadTest) -> Option<u16> {
    match test {
        PayloadTest::ByteExtract(e) => Some(e.into),
        PayloadTest::ByteMath(m) => Some(m.into),
        _ => None,
    }
}

/// The variables that a test reads.
fn uses(test: &PayloadTest) -> Vec<u16> {
    let (mut values, mut operand) = (Vec::new(), None);
    match test {
        PayloadTest::Content(c) => values.extend([c.offset, c.depth, c.distance, c.within].into_iter().flatten()),
        PayloadTest::Isdataat { at, .. } => values.push(*at),
        PayloadTest::ByteTest(t) => {
            values.extend([t.read.bytes, t.read.offset]);
            operand = Some(t.against);
        }
        PayloadTest::ByteJump(t) => values.extend([t.read.bytes, t.read.offset]),
        PayloadTest::ByteExtract(t) => values.extend([t.read.bytes, t.read.offset]),
        PayloadTest::ByteMath(t) => {
            values.extend([t.read.bytes, t.read.offset]);
            operand = Some(t.rvalue);
        }
        PayloadTest::Base64(b) => values.extend(b.bytes.into_iter().chain([b.offset])),
        PayloadTest::Pcre(_)
        | PayloadTest::Bsize(_)
        | PayloadTest::Absent { .. }
        | PayloadTest::Lookup(_)
        | PayloadTest::Entropy(_)
        | PayloadTest::Asn1(_) => {}
    }
    let of_values = values.into_iter().filter_map(|v| match v {
        Value::Variable(n) => Some(n),
        Value::Number(_) => None,
    });
    let of_operand = operand.and_then(|o| match o {
        Operand::Variable(n) => Some(n),
        Operand::Number(_) => None,
    });
    of_values.chain(of_operand).collect()
}
