// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule says, resolved: variables expanded, numbers checked, nothing left to interpret at packet time.
//!
//! Must never hold a condition that the engine does not honour: the parser refuses those. Meanings follow the Suricata
//! user guide, chapter "Rules". Limits stand at [`crate::limits`].

mod file;
mod packet;
mod payload;
mod transaction;

use std::sync::Arc;

pub use file::*;
pub use packet::*;
pub use payload::*;
pub use transaction::*;

use crate::{
    address::AddressSet,
    buffers::Buffer,
    marks::{Flowint, Xbit, XbitTrack, rank},
    port::PortSet,
    tags::Tag,
    thresholds::{RateFilter, Suppress},
};

/// A rule that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// What a match does.
    pub action: Action,
    /// Which packets it looks at.
    pub proto: Proto,
    /// Source side of the header.
    pub src: Arc<AddressSet>,
    /// Source ports; apply to TCP and UDP only.
    pub src_port: Arc<PortSet>,
    /// `->`, `<>` or `=>`.
    pub direction: Direction,
    /// Destination side of the header.
    pub dest: Arc<AddressSet>,
    /// Destination ports; apply to TCP and UDP only.
    pub dest_port: Arc<PortSet>,
    /// Names and grades, shown in the alert.
    pub meta: Meta,
    /// The `flow` keyword.
    pub flow: FlowTest,
    /// Tests on the packet's headers, in the rule's order.
    pub packet: Vec<PacketTest>,
    /// Tests on the payload, in the rule's order (relative ones refer to the match before).
    pub payload: Vec<PayloadTest>,
    /// EVE names of the application protocols, one of which the flow must speak; None: any or none. Named by the header or
    /// by what the rule looks into.
    pub protocols: Option<&'static [&'static str]>,
    /// `app-layer-protocol`, in the rule's order.
    pub spoken: Vec<SpokenTest>,
    /// Tests on inspection buffers, each with what it looks for.
    pub buffers: Vec<BufferTest>,
    /// Tests on headers as bytes, each with what it looks for.
    pub headers: Vec<BufferTest>,
    /// Tests on a frame, each with what is made of it first; all are about one and the same frame.
    pub frames: Vec<BufferTest>,
    /// Numbers that its tests take out of bytes.
    pub variables: u16,
    /// Other tests on a transaction.
    pub transaction: Vec<TransactionTest>,
    /// `app-layer-event` on the flow's protocol as a whole: the event's name in lower case.
    pub layer_events: Vec<String>,
    /// `flowbits`, in the rule's order.
    pub flowbits: Vec<Flowbit>,
    /// `flowint`, in the rule's order.
    pub flowints: Vec<Flowint>,
    /// `xbits` and `hostbits`, in the rule's order.
    pub xbits: Vec<Xbit>,
    /// Matches act (flowbits, pass) but make no alert.
    pub noalert: bool,
    /// `bypass`: a match ends the inspection of its flow.
    pub bypass: bool,
    /// `alert` on a pass rule: the passed packet is reported (Suricata 8).
    pub alert: bool,
    /// `threshold` or `detection_filter`.
    pub threshold: Option<Threshold>,
    /// `suppress` lines of threshold.config that concern it.
    pub suppress: Vec<Suppress>,
    /// The `rate_filter` line of threshold.config that concerns it.
    pub rate: Option<RateFilter>,
    /// `tag`, in the rule's order.
    pub tags: Vec<Tag>,
    /// `config:logging disable, type tx, scope tx`: the transaction is not written.
    pub unlogged: bool,
    /// The rule's text, continuation lines joined, outer blanks removed.
    pub text: String,
}

/// File and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it was given.
    pub file: Arc<str>,
    /// First line of the rule, from 1.
    pub line: u32,
}

/// What a match does. A sensor that only listens reports drop and reject as alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Stop looking at this packet (or flow, where the match is on the flow), and report nothing of it.
    Pass,
    /// Would drop the packet inline.
    Drop,
    /// Would answer with a reset or an ICMP error inline.
    Reject,
    /// Report.
    Alert,
}

impl Action {
    /// The rule language's word; `rejectsrc`, `rejectdst` and `rejectboth` are all reject for a sensor that listens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Alert => "alert",
        }
    }
}

/// Which packets a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// `ip`: every IPv4 and IPv6 packet.
    Ip,
    /// `ipv4`, `ip4`.
    Ipv4,
    /// `ipv6`, `ip6`.
    Ipv6,
    /// `tcp`.
    Tcp,
    /// `tcp-pkt`: TCP, one packet at a time.
    TcpPkt,
    /// `tcp-stream`: TCP, the stream and no packet for itself.
    TcpStream,
    /// `udp`.
    Udp,
    /// `icmp`: ICMP and ICMPv6.
    Icmp,
    /// `icmpv4`.
    Icmpv4,
    /// `icmpv6`.
    Icmpv6,
    /// `pkthdr`: as `ip`, and a decoder event is looked for in packets that could not be decoded.
    Pkthdr,
    /// `igmp`.
    Igmp,
    /// `sctp`.
    Sctp,
    /// `ether`: Ethernet frames, whatever they carry.
    Ether,
    /// `arp`: ARP messages.
    Arp,
    /// An application protocol ([`Rule::protocols`]), over TCP or UDP.
    App,
}

/// `->`, `<>` or `=>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Source to destination as written.
    Forward,
    /// Either way round.
    Both,
    /// `=>`: from client to server, and of a transaction both what the client says and what the server answers.
    Transaction,
}

/// Names and grades of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Group; 1 where not given.
    pub gid: u32,
    /// Signature id, never 0.
    pub sid: u32,
    /// Revision; 0 where not given.
    pub rev: u32,
    /// Text of the alert, unescaped.
    pub msg: String,
    /// Short name of the class, as written.
    pub classtype: Option<String>,
    /// The class's description: `alert.category`; empty without a class.
    pub category: String,
    /// 1 is gravest: `priority`, else the class's, else 3: `alert.severity`.
    pub priority: u32,
    /// The references as addresses: what `reference.config` has for the system, and the id. An id that is a whole address is
    /// one; of a system that is not known the id alone stands.
    pub links: Vec<String>,
    /// Keys and values, as written.
    pub metadata: Pairs,
    /// Which side of the packet is attacked.
    pub target: Option<Target>,
}

/// Pairs of texts, all in one allocation: a large rule set has a quarter of a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    text: String,
    /// Where each text ends.
    ends: Vec<u32>,
}

impl Pairs {
    /// Appends one.
    pub fn push(&mut self, key: &str, value: &str) {
        for text in [key, value] {
            self.text.push_str(text);
            self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX)); // a rule is shorter
        }
    }
    /// Each (key, value), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |from: u32, to: u32| self.text.get(from as usize..to as usize).unwrap_or_default();
        let mut from = 0;
        self.ends.chunks_exact(2).filter_map(move |ends| {
            let &[key, value] = ends else { return None };
            let begin = std::mem::replace(&mut from, value);
            Some((text(begin, key), text(key, value)))
        })
    }
    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
    /// Gives back room that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// The `target` keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `src_ip`.
    Src,
    /// `dest_ip`.
    Dest,
}

/// The `flow` keyword, all of its occurrences together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowTest {
    /// Whether the keyword stands in the rule at all.
    pub present: bool,
    /// `to_server`, `from_client`.
    pub to_server: bool,
    /// `to_client`, `from_server`.
    pub to_client: bool,
    /// `established`, `not_established`, `stateless`, or nothing.
    pub state: FlowState,
    /// `no_frag`: the packet was not put together from fragments.
    pub no_frag: bool,
    /// `only_frag`: it was.
    pub only_frag: bool,
    /// `no_stream`: the packet's payload, never reassembled data.
    pub no_stream: bool,
    /// `only_stream`: reassembled data, never the packet's payload.
    pub only_stream: bool,
}

/// The state that `flow` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// Not asked for.
    #[default]
    Any,
    /// `stateless`: any state, but of a flow.
    Stateless,
    /// TCP: after the handshake; otherwise: packets seen both ways.
    Established,
    /// Before that.
    NotEstablished,
}

/// `app-layer-protocol`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokenTest {
    /// EVE names, one of which is meant; `failed` is one of them.
    pub protocols: &'static [&'static str],
    /// `!`
    pub negated: bool,
    /// Whose word counts.
    pub whose: Whose,
}

/// Whose word `app-layer-protocol` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The flow's, as far as the packet's direction knows it: the default.
    #[default]
    Direction,
    /// `final`: the flow's, once it is settled.
    Final,
    /// `either`: one of the two sides'.
    Either,
    /// `to_server`: the client's side.
    ToServer,
    /// `to_client`: the server's side.
    ToClient,
    /// `original`: what the flow spoke before it changed.
    Original,
}

/// One `flowbits` keyword.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flowbit {
    /// What it does.
    pub op: FlowbitOp,
    /// One name; several only with isset and isnotset (`a|b`).
    pub names: Vec<String>,
}

/// What a `flowbits` keyword does. Tests come before the rule matches, changes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowbitOp {
    /// Set it.
    Set,
    /// Clear it.
    Unset,
    /// Turn it round.
    Toggle,
    /// Any of them is set.
    Isset,
    /// Not all of them are set.
    Isnotset,
}

/// `threshold` or `detection_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// How matches are thinned.
    pub kind: ThresholdKind,
    /// Whose matches are counted together.
    pub track: Track,
    /// How many; for backoff: the first one that alerts.
    pub count: u32,
    /// The window, in seconds of packet time; for backoff: the multiplier.
    pub seconds: u32,
    /// `unique_on` of `detection_filter`: only ports that differ are counted.
    pub unique: Option<UniqueOn>,
}

/// Whose ports `unique_on` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UniqueOn {
    /// `src_port`
    SrcPort,
    /// `dst_port`
    DstPort,
}

/// How matches are thinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThresholdKind {
    /// At most `count` alerts in a window.
    Limit,
    /// Every `count`-th match in a window.
    Threshold,
    /// Once in a window, when `count` is reached.
    Both,
    /// `detection_filter`: every match after the first `count` of a window.
    DetectionFilter,
    /// Alerts at count, count times multiplier, and so on, over the flow's life (Suricata 8; track by_flow).
    Backoff,
}

/// Whose matches are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// `by_src`
    Src,
    /// `by_dst`
    Dst,
    /// `by_both`: source and destination.
    Both,
    /// `by_rule`
    Rule,
    /// `by_flow`
    Flow,
}

impl Rule {
    /// A rule on addresses and ports alone: no test but `ip_proto` and `iprep`, no flow state. Suricata looks at these once for each
    /// direction of a flow (user guide, "Rule Types and Categorization", ip_only).
    pub fn address_only(&self) -> bool {
        self.tests_nothing_but_addresses() && !self.src.negated && !self.dest.negated
    }

    /// As [`Self::address_only`], but with a negated address: looked at for every packet, acts on the flow (like_ip_only).
    pub fn like_address_only(&self) -> bool {
        self.tests_nothing_but_addresses() && (self.src.negated || self.dest.negated)
    }

    fn tests_nothing_but_addresses(&self) -> bool {
        self.payload.is_empty()
            && self.headers.is_empty()
            && self
                .packet
                .iter()
                .all(|t| matches!(t, PacketTest::IpProto(_) | PacketTest::L3Proto(_) | PacketTest::Reputation(_)))
            && !self.flow.present
            && self.proto != Proto::Ether
            && !self.speaks()
            && self.flowbits.iter().all(|f| f.op == FlowbitOp::Set)
            && self.flowints.iter().all(|f| f.op.changes())
    }

    /// Whether what comes before and after a match decides if it is reported.
    pub const fn conditional(&self) -> bool {
        self.threshold.is_some() || !self.suppress.is_empty() || self.rate.is_some()
    }

    /// Whether it asks anything of the application layer.
    pub fn speaks(&self) -> bool {
        self.protocols.is_some() || !self.spoken.is_empty() || !self.layer_events.is_empty() || self.transactional()
    }

    /// The frame that it looks into: it is then inspected once for each.
    pub fn frame(&self) -> Option<&'static Buffer> {
        self.frames.first().map(|f| f.buffer)
    }

    /// Whether it looks into transactions: it is then inspected once for each, not for each packet.
    pub fn transactional(&self) -> bool {
        !self.buffers.is_empty() || !self.transaction.is_empty()
    }

    /// Evaluation order: by action (pass, drop, reject, alert), by what the rule remembers (those that write before those
    /// that read: flowbits, flowints, marks on hosts, marks on pairs), by priority; the order of loading breaks ties (user
    /// guide, "Rule Processing").
    pub fn order(&self) -> (Action, [u8; 4], u32) {
        let changes = |op| matches!(op, FlowbitOp::Set | FlowbitOp::Unset | FlowbitOp::Toggle);
        let bits = &self.flowbits;
        let flowbits = rank(bits.iter().any(|f| changes(f.op)), bits.iter().any(|f| !changes(f.op)));
        let ints = &self.flowints;
        let flowints = rank(ints.iter().any(|f| f.op.changes()), ints.iter().any(|f| !f.op.changes()));
        let xbits = |pair: bool, write: bool| {
            self.xbits.iter().any(|x| (x.track == XbitTrack::Pair) == pair && x.op.changes() == write)
        };
        let [hosts, pairs] = [false, true].map(|pair| rank(xbits(pair, true), xbits(pair, false)));
        (self.action, [flowbits, flowints, hosts, pairs], self.meta.priority)
    }
}
