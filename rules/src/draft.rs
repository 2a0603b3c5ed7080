// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule being built: what the options said so far, and the checks that need them all.
//!
//! Must never let a rule through that can never match, or whose options contradict each other: its writer meant something
//! else.

use std::sync::Arc;

use crate::{
    Options,
    ast::{
        Base64, BufferTest, Content, Csum, FlowState, FlowTest, Flowbit, FlowbitOp, Number, Operand, PacketTest,
        PayloadTest, Proto, SpokenTest, Target, Threshold, TransactionTest, Transform, Value,
    },
    buffers::{Buffer, Ways},
    classification::Classification,
    country::Countries,
    dataset::DataSets,
    marks::{Flowint, FlowintOp, Xbit, XbitOp, XbitTrack},
    reputation::Reputations,
    tags::Tag,
};

/// A rule being built.
pub(crate) struct Draft<'a> {
    /// Who knows the countries of addresses.
    pub(crate) countries: Option<&'a Arc<Countries>>,
    /// What lists say of addresses.
    pub(crate) reputations: Option<&'a Reputations>,
    pub(crate) data: &'a DataSets,
    /// The rule file, as it was given.
    pub(crate) file: &'a str,
    pub(crate) classification: &'a Classification,
    pub(crate) proto: Proto,
    /// `=>`: the rule looks at both directions of a transaction.
    pub(crate) both_ways: bool,
    pub(crate) msg: Option<String>,
    pub(crate) sid: Option<u32>,
    pub(crate) rev: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) priority: Option<u32>,
    pub(crate) class: Option<Class>,
    pub(crate) references: Vec<(String, String)>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) target: Option<Target>,
    pub(crate) noalert: bool,
    pub(crate) alert: bool,
    pub(crate) flow: FlowTest,
    pub(crate) flow_state: Option<FlowState>,
    pub(crate) packet: Vec<PacketTest>,
    pub(crate) payload: Vec<Placed>,
    /// Where the next test goes; None: the payload.
    pub(crate) sticky: Option<At>,
    /// Whether the next test goes to what the last `base64_decode` decoded.
    pub(crate) decoded: bool,
    /// What is made of buffers before they are looked at; the first is nothing.
    pub(crate) chains: Vec<Vec<Transform>>,
    /// Names of the numbers that are taken out of bytes.
    pub(crate) variables: Vec<String>,
    /// Sticky keywords so far.
    pub(crate) stickies: usize,
    /// EVE names of the application protocols that the rule is about, and who said so.
    pub(crate) protocols: Option<(&'static [&'static str], String)>,
    pub(crate) spoken: Vec<SpokenTest>,
    pub(crate) transaction: Vec<TransactionTest>,
    pub(crate) layer_events: Vec<String>,
    /// `fast_pattern` of the contents, by position in `payload`; checked once all modifiers are known.
    pub(crate) fast: Vec<(usize, Fast)>,
    pub(crate) rawbytes: Vec<usize>,
    pub(crate) flowbits: Vec<Flowbit>,
    pub(crate) flowints: Vec<Flowint>,
    pub(crate) xbits: Vec<Xbit>,
    pub(crate) threshold: Option<Threshold>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) unlogged: bool,
    pub(crate) warnings: Vec<(&'static str, String)>,
}

/// A test, and where it looks.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) test: PayloadTest,
    /// None: the payload.
    pub(crate) at: Option<At>,
    /// It is about what the `base64_decode` before it decoded.
    pub(crate) decoded: bool,
}

/// A buffer that a rule looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) buffer: &'static Buffer,
    /// Tells mentions of a buffer with several instances from each other.
    pub(crate) instance: usize,
    /// What is made of it, by the number in [`Draft::chains`].
    pub(crate) chain: usize,
}

/// What a rule looks for, by where it looks.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) payload: Vec<PayloadTest>,
    /// In transactions.
    pub(crate) buffers: Vec<BufferTest>,
    /// In headers.
    pub(crate) headers: Vec<BufferTest>,
}

/// A classtype, looked up.
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) priority: u32,
}

/// The forms of `fast_pattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fast {
    Whole,
    Only,
    Chop(usize, usize),
}

impl<'a> Draft<'a> {
    pub(crate) fn new(proto: Proto, options: &'a Options, file: &'a str) -> Self {
        Self {
            countries: options.countries.as_ref(),
            reputations: options.reputations.as_deref(),
            data: &options.data,
            file,
            classification: &options.classification,
            proto,
            both_ways: false,
            msg: None,
            sid: None,
            rev: None,
            gid: None,
            priority: None,
            class: None,
            references: Vec::new(),
            metadata: Vec::new(),
            target: None,
            noalert: false,
            alert: false,
            flow: FlowTest::default(),
            flow_state: None,
            packet: Vec::new(),
            payload: Vec::new(),
            sticky: None,
            decoded: false,
            chains: vec![Vec::new()],
            variables: Vec::new(),
            stickies: 0,
            protocols: None,
            spoken: Vec::new(),
            transaction: Vec::new(),
            layer_events: Vec::new(),
            fast: Vec::new(),
            rawbytes: Vec::new(),
            flowbits: Vec::new(),
            flowints: Vec::new(),
            xbits: Vec::new(),
            threshold: None,
            tags: Vec::new(),
            unlogged: false,
            warnings: Vec::new(),
        }
    }

    /// The content that a modifier changes: the nearest one before it.
    pub(crate) fn last_content(&mut self) -> Result<&mut Content, String> {
        self.payload
            .iter_mut()
            .rev()
            .find_map(|t| match &mut t.test {
                PayloadTest::Content(c) => Some(c),
                _ => None,
            })
            .ok_or_else(|| String::from("it must follow the `content` that it changes"))
    }

    /// Where the rule looks at present.
    pub(crate) const fn here(&self) -> Option<At> {
        self.sticky
    }

    /// Adds a test where the rule looks at present. A relative one stays with the match that it refers to.
    pub(crate) fn push(&mut self, test: PayloadTest) {
        let stays = test.relative() && !matches!(test, PayloadTest::Content(_)) && self.sticky.is_none();
        let before = self.payload.iter().rfind(|t| matches!(t.test, PayloadTest::Content(_) | PayloadTest::Pcre(_)));
        let at = if stays { before.and_then(|t| t.at) } else { self.here() };
        self.place_test(test, at);
    }

    /// Adds a test there.
    pub(crate) fn place_test(&mut self, test: PayloadTest, at: Option<At>) {
        self.payload.push(Placed { test, at, decoded: self.decoded });
    }

    /// Whether nothing is looked for yet in the sticky buffer that is open.
    pub(crate) fn nothing_in(&self, at: At) -> bool {
        !self.payload.iter().any(|t| t.at == Some(at))
    }

    /// Notes that the rule is about one of these protocols.
    pub(crate) fn about(&mut self, protocols: &'static [&'static str], who: &str) -> Result<(), String> {
        match &self.protocols {
            None => self.protocols = Some((protocols, who.to_owned())),
            Some((had, _)) if protocols.iter().all(|p| had.contains(p)) => {
                self.protocols = Some((protocols, who.to_owned()));
            }
            Some((had, _)) if had.iter().all(|p| protocols.contains(p)) => {}
            // What both have in common, of the two lists the smaller: there is no third.
            Some((had, by)) => {
                return Err(format!(
                    "it belongs to {}, and {by} says {}: the rule could never match",
                    protocols.join(" or "),
                    had.join(" or ")
                ));
            }
        }
        Ok(())
    }

    /// A hook behind the rule's protocol: when it is looked at (user guide, "Firewall Mode Design", explicit rule hooks).
    pub(crate) fn hook(&mut self, name: &str) -> Result<(), String> {
        let of_flows = matches!(
            self.proto,
            Proto::Ip
                | Proto::Ipv4
                | Proto::Ipv6
                | Proto::Tcp
                | Proto::TcpPkt
                | Proto::Udp
                | Proto::Icmp
                | Proto::Icmpv4
                | Proto::Icmpv6
                | Proto::Sctp
        );
        let (to_server, complete) = match name {
            "flow_start" if of_flows => {
                self.packet.push(PacketTest::FlowStart);
                return Ok(());
            }
            "request_started" if self.proto == Proto::App => (true, false),
            "request_complete" if self.proto == Proto::App => (true, true),
            "response_started" if self.proto == Proto::App => (false, false),
            "response_complete" if self.proto == Proto::App => (false, true),
            "all" | "pre_flow" | "pre_stream" => {
                return Err(format!("the hook {name} is for a firewall; this sensor only listens"));
            }
            _ => {
                return Err(format!(
                    "the hook {name:?} is not told apart by this version: rules on packets of flows have flow_start, those on an application protocol request_started, request_complete, response_started, response_complete"
                ));
            }
        };
        let other = if to_server { self.flow.to_client } else { self.flow.to_server };
        if other {
            return Err(format!(
                "the hook {name} is of the other direction than the rule's flow: it could never match"
            ));
        }
        self.flow.present = true;
        (self.flow.to_server, self.flow.to_client) = (to_server, !to_server);
        self.transaction.push(TransactionTest::Hook { complete });
        Ok(())
    }

    /// What the rule looks for, by where it looks.
    pub(crate) fn places(&mut self) -> Places {
        let mut payload = Vec::new();
        let mut buffers: Vec<(At, Vec<PayloadTest>)> = Vec::new();
        for Placed { test, at, decoded } in std::mem::take(&mut self.payload) {
            let tests = match at {
                None => &mut payload,
                Some(at) => {
                    let i = buffers.iter().position(|(had, _)| *had == at).unwrap_or_else(|| {
                        buffers.push((at, Vec::new()));
                        buffers.len() - 1
                    });
                    &mut buffers[i].1 // found or pushed above
                }
            };
            match (decoded, tests.last_mut()) {
                (true, Some(PayloadTest::Base64(Base64 { tests, .. }))) => tests.push(test),
                _ => tests.push(test),
            }
        }
        let mut places = Places { payload, ..Places::default() };
        for (at, tests) in buffers {
            let transforms = self.chains.get(at.chain).cloned().unwrap_or_default();
            let test = BufferTest { buffer: at.buffer, transforms, tests };
            if at.buffer.protocols.is_empty() {
                places.headers.push(test);
            } else {
                places.buffers.push(test);
            }
        }
        places
    }

    /// Where in `payload` that content stands.
    pub(crate) fn last_content_at(&self) -> Option<usize> {
        self.payload.iter().rposition(|t| matches!(t.test, PayloadTest::Content(_)))
    }

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
            return Err((at.buffer.name, String::from("nothing is looked for in it: a content must follow")));
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
            self.about(b.protocols, "another buffer or the header").map_err(|e| (b.name, e))?;
            match (ways, b.ways) {
                (_, Ways::Both) => {}
                (Ways::Both, way) => ways = way,
                (had, way) if had == way => {}
                _ => {
                    let s = "it holds what goes the other way than the rest of the rule looks: it could never match";
                    return Err((b.name, s.to_owned()));
                }
            }
        }
        let app = !buffers.is_empty() || !self.transaction.is_empty();
        if app && !matches!(self.proto, Proto::App | Proto::Tcp | Proto::Udp | Proto::Ip | Proto::Ipv4 | Proto::Ipv6) {
            let name = buffers.first().map_or("app-layer-event", |b| b.name);
            return Err((name, String::from("the rule's protocol has no transactions: write the protocol's own name")));
        }
        let in_transactions = |t: &Placed| t.at.is_some_and(|at| !at.buffer.protocols.is_empty());
        if app && self.payload.iter().all(in_transactions) {
            self.flow.to_server |= ways == Ways::ToServer;
            self.flow.to_client |= ways == Ways::ToClient;
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
                return Err((b.name, s.to_owned()));
            }
            self.about(b.protocols, "another buffer or the header").map_err(|e| (b.name, e))?;
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
        | PayloadTest::Entropy(_) => {}
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
