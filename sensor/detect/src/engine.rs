// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The engine: a rule set compiled once, then only read. Many workers share it; each has its own [`Scratch`].
//!
//! What it does with packets is in [`crate::inspect`], with transactions in [`crate::inspect_tx`]. Must never change once
//! built: a reload builds another and swaps the pointer. Limits: [`MAX_CANDIDATES`], [`crate::MAX_STEPS`].

use std::sync::Arc;

use lagewarte_app::{Buffer, file::Asked, frames::Kinds};
use lagewarte_rules::{
    RuleSet,
    ast::{PacketTest, Proto},
    dataset::DataSets,
    tags::TagOf,
};
use rayon::prelude::*;

use crate::{
    address,
    alert::Output,
    cache::Cache,
    entry::{Drafted, Entry, Remembers},
    frames::FrameTables,
    gate::Gate,
    group::Groups,
    header_bytes::HeaderBytes,
    marks::{Hosts, Known, MAX_MARKS, Names},
    matcher::Seen,
    payload::Finds,
    profile::Counts,
    tags::{MAX_HOST_TAGS, TaggedHosts},
    transactions::Tables,
    transform::Made,
    turn::Turn,
    zones::Zones,
};

/// Most matches of one packet that go on to the ordered stage. Threat: a rule set of which thousands match every packet.
pub const MAX_CANDIDATES: usize = 256;

/// So many rules are made ready beside each other, then taken over in their order: all at once would hold twice the memory.
const AT_ONCE: usize = 1_024;

/// A compiled rule set.
#[derive(Debug)]
pub struct Engine {
    pub(crate) entries: Vec<Entry>,
    /// The cheapest tests of each entry.
    pub(crate) gates: Vec<Gate>,
    pub(crate) zones: Zones,
    pub(crate) groups: Groups,
    pub(crate) addresses: address::Index,
    /// Entries that ask for a decoder event: looked at for packets that could not be decoded.
    pub(crate) decoder: Vec<u32>,
    /// Entries on ARP and on Ethernet frames: looked at for packets without IP.
    pub(crate) below_ip: Vec<u32>,
    /// Entries that ask only what the flow speaks.
    pub(crate) protocol_only: Vec<u32>,
    /// Entries that ask for an event of the flow's protocol as a whole.
    pub(crate) layer: Vec<u32>,
    pub(crate) transactions: Tables,
    pub(crate) frames: FrameTables,
    /// Tells one engine's marks in transactions from another's.
    pub(crate) id: u64,
    names: Arc<Names>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) tagged_hosts: Arc<TaggedHosts>,
    /// Whether any rule tags, and whether any tags hosts.
    pub(crate) tags: bool,
    pub(crate) host_tags: bool,
    pub(crate) output: Arc<Output>,
    /// Names by their numbers, as of when the set was compiled.
    pub(crate) known: Known,
    /// What each entry costs, where that is asked for.
    pub(crate) profile: Option<Box<[Counts]>>,
    /// What rules ask of files.
    asked: Asked,
    data: DataSets,
    sha256: [u8; 32],
}

/// What a worker needs to inspect packets; keeps its allocations. Made by [`Engine::scratch`], good for any engine.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) found: Vec<u32>,
    pub(crate) seen: Seen,
    /// The worker's place among others; None where there are no others.
    pub turn: Option<Turn>,
    pub(crate) work: Work,
    /// What happened so far.
    pub counters: Counters,
}

/// What rules have found and made of what is looked at now.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) finds: Finds,
    /// Of the transaction's buffers.
    pub(crate) made: Made<(Buffer, usize)>,
    /// Of the packet's headers.
    pub(crate) made_headers: Made<(HeaderBytes, usize)>,
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
    /// Searches that ended at a limit of PCRE ([`crate::MATCH_LIMIT`], [`crate::DEPTH_LIMIT`]).
    pub pcre_limited: u64,
    /// Transactions looked at.
    pub transactions: u64,
    /// Looks at frames.
    pub frames: u64,
    /// Rules that could not wait for more of a transaction, since [`crate::MAX_WAITING`] do, and frames that were not looked
    /// at any more, since [`crate::MAX_FIRED`] had alerted.
    pub crowded: u64,
    /// Flowbits and counters not set since the flow holds no more.
    pub flowbits_full: u64,
    /// Marks on hosts that went before their time, since the table was full.
    pub marks_forgotten: u64,
    /// Times that a live line's worker did not wait for its turn to use them.
    pub out_of_turn: u64,
}

impl Counters {
    /// Adds another worker's counts.
    pub const fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.verified += other.verified;
        self.matches += other.matches;
        self.dropped += other.dropped;
        self.gave_up += other.gave_up;
        self.pcre_limited += other.pcre_limited;
        self.flowbits_full += other.flowbits_full;
        self.marks_forgotten += other.marks_forgotten;
        self.out_of_turn += other.out_of_turn;
        self.transactions += other.transactions;
        self.frames += other.frames;
        self.crowded += other.crowded;
    }
}

impl Scratch {
    /// For one of several workers.
    pub fn in_turn(turn: Option<Turn>) -> Self {
        Self { turn, ..Self::default() }
    }

    /// Waits until every packet before this one has been looked at.
    pub(crate) fn take_turn(&mut self) {
        if self.turn.as_ref().is_some_and(|t| !t.wait()) {
            self.counters.out_of_turn += 1;
        }
    }
}

impl Engine {
    /// Compiles a rule set.
    ///
    /// # Errors
    /// A set too large for the matcher, in a sentence.
    pub fn new(set: RuleSet, output: Output) -> Result<Self, String> {
        Self::with(set, output, None, None)
    }

    /// Compiles a set, which follows `before` where there is one (flows keep their flowbits, hosts their marks), with what is
    /// known of it from the last time.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(set: RuleSet, output: Output, before: Option<&Self>, cache: Option<&Cache>) -> Result<Self, String> {
        let (names, hosts, tagged) = match before {
            Some(b) => (Arc::clone(&b.names), Arc::clone(&b.hosts), Arc::clone(&b.tagged_hosts)),
            None => (Arc::default(), Hosts::new(MAX_MARKS), TaggedHosts::new(MAX_HOST_TAGS)),
        };
        Self::build(set, output, names, hosts, tagged, true, cache)
    }

    /// Compiles a set of which every rule is verified on every packet and transaction: what groups and prefilter are held
    /// against.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn unfiltered(set: RuleSet, output: Output) -> Result<Self, String> {
        Self::build(set, output, Arc::default(), Hosts::new(MAX_MARKS), TaggedHosts::new(MAX_HOST_TAGS), false, None)
    }

    fn build(
        set: RuleSet,
        output: Output,
        names: Arc<Names>,
        hosts: Arc<Hosts>,
        tagged_hosts: Arc<TaggedHosts>,
        prefilter: bool,
        cache: Option<&Cache>,
    ) -> Result<Self, String> {
        let mut rules = set.rules;
        // Stable: the order of loading breaks ties.
        rules.sort_by_cached_key(|r| {
            let (action, bits, priority) = r.order();
            (output.action_order.iter().position(|a| *a == action), bits, priority)
        });
        let tags = |host: bool| rules.iter().flat_map(|r| &r.tags).any(|t| !host || t.of != TagOf::Session);
        let (tags, host_tags) = (tags(false), tags(true));
        let hash = Arc::new(set.sha256);
        let mut entries = Vec::with_capacity(rules.len());
        let mut rules = rules.into_iter();
        while rules.len() > 0 {
            let some = rules.by_ref().take(AT_ONCE).map(|r| (Remembers::new(&r, &names), r)).collect::<Vec<_>>();
            let made = some.into_par_iter().map(|(remembers, rule)| Drafted::of(rule, remembers, &hash, &output));
            entries.extend(made.collect::<Vec<_>>().into_iter().flatten());
        }
        u32::try_from(entries.len()).map_err(|_| String::from("too many rules"))?;
        let zones = if prefilter { Zones::divide(&mut entries) } else { Zones::default() };
        let groups = Groups::new(&entries, &zones, prefilter, cache);
        let those = |test: &dyn Fn(&Drafted) -> bool| -> Vec<u32> {
            entries.iter().enumerate().filter(|(_, e)| test(e)).filter_map(|(i, _)| u32::try_from(i).ok()).collect()
        };
        let decoder = those(&|e| e.rule.packet.iter().any(|t| matches!(t, PacketTest::DecodeEvent(_))));
        let protocol_only = those(&Drafted::protocol_only);
        let layer = those(&|e| !e.rule.layer_events.is_empty());
        let below_ip = those(&|e| matches!(e.rule.proto, Proto::Arp | Proto::Ether));
        let transactions = Tables::new(&entries, &zones, prefilter, cache);
        let frames = FrameTables::new(&entries, prefilter, cache);
        let gates = entries.iter().map(|e| if prefilter { Gate::new(e) } else { Gate::open(e) }).collect();
        let mut asked = Asked::default();
        entries.iter().filter_map(|e| e.app.as_deref()).for_each(|a| a.asks(&mut asked));
        if asked.magic {
            lagewarte_app::file::magic::prepare();
        }
        let [a, b, c, d, e, f, g, h, ..] = set.sha256;
        let addresses = address::Index::new(&entries);
        let entries: Vec<Entry> = entries.into_iter().map(|e| e.entry).collect();
        Ok(Self {
            protocol_only,
            layer,
            transactions,
            frames,
            id: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            addresses,
            decoder,
            below_ip,
            zones,
            groups,
            hosts,
            tagged_hosts,
            tags,
            host_tags,
            known: names.list(),
            profile: output.profile.then(|| entries.iter().map(|_| Counts::default()).collect()),
            gates,
            entries,
            names,
            output: Arc::new(output),
            asked,
            data: set.data,
            sha256: set.sha256,
        })
    }

    /// The hash of the rule set, as events carry it.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The data sets of its rules: a set of rules that follows it goes on with them.
    pub const fn data(&self) -> &DataSets {
        &self.data
    }

    /// What its rules ask of files.
    pub const fn asked(&self) -> Asked {
        self.asked
    }

    /// Which frames its rules look into.
    pub const fn frames(&self) -> Kinds {
        self.frames.kinds
    }

    /// Whether there is no rule at all.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether any rule looks at transactions, or at frames, of which alerts show the transaction.
    pub fn transactional(&self) -> bool {
        !(self.transactions.is_empty() && self.frames.kinds.is_empty())
    }
}
