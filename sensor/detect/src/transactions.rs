// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Inspection of transactions: for each protocol, direction and zone the rules that concern it, with one prefilter a buffer.
//!
//! A transaction is looked at when something of it changed since the last look, in the context of a packet that goes its
//! way. Each rule alerts once for a transaction. Must never allocate where no rule concerns the protocol, and never look
//! twice at what did not change. Limits: [`MAX_WAITING`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use lagewarte_app::{Buffer, Marks, State};
use lagewarte_flow::{AppProto, Direction};
use lagewarte_rules::{
    Rule,
    ast::{BufferTest, Content, Direction as HeaderDirection},
};
use rayon::prelude::*;

use crate::{
    app::{AppRule, Verdict, way},
    cache::Cache,
    entry::Drafted,
    matcher::Seen,
    prefilter::{Builder, Guard, Plan, Prefilter, SHORT, first, first_near},
    rarity,
    transform::{Chain, Made},
    zones::{ByZone, Where, Zone, Zones},
};

/// Most rules that wait for more of one direction of a transaction. Threat: a rule set of which thousands match a request
/// line and wait for a body, times thousands of transactions.
pub const MAX_WAITING: usize = 2_048;

/// The rule waits for more.
pub(crate) const WAITING: u8 = 0;
/// The rule is done with the transaction: it alerted, or it cannot match.
pub(crate) const FINISHED: u8 = 1;

/// The rule alerted, and may again with more.
const MET: u8 = 2;

/// The rules that concern transactions, by protocol, direction and zone.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    groups: Vec<[ByZone<Option<AppGroup>>; 2]>,
}

/// The rules of one protocol, direction and zone.
#[derive(Debug, Default)]
pub(crate) struct AppGroup {
    /// Rules without a pattern to look for in a buffer.
    always: Vec<u32>,
    buffers: Vec<BufferGroup>,
    /// Rules at a hook that they may meet again ([`crate::app::AppRule::repeats`]).
    repeats: Vec<u32>,
    /// Whether a buffer is scanned again as it grows, so that finished rules must be remembered.
    pub(crate) streaming: bool,
}

/// Where a rule's fast pattern is looked for.
#[derive(Clone, Debug, PartialEq)]
struct Looks {
    buffer: Buffer,
    multi: bool,
    streaming: bool,
    chain: Option<Arc<Chain>>,
}

/// Most buffers, each with what is made of it, that are searched beforehand for one protocol and direction: as many as
/// [`Marks::scanned`] has bits. Rules of further ones are looked at without. Threat: a set with a chain of its own for each rule.
const MAX_SEARCHED: usize = 128;

#[derive(Debug)]
struct BufferGroup {
    looks: Looks,
    patterns: Arc<Prefilter>,
}

/// A group that is being put together.
#[derive(Debug)]
struct Draft {
    always: Vec<u32>,
    repeats: Vec<u32>,
    buffers: Vec<(Looks, Plan)>,
}

impl Tables {
    pub(crate) fn new(entries: &[Drafted], zones: &Zones, prefilter: bool, cache: Option<&Cache>) -> Self {
        let numbered = entries.par_iter().enumerate().map(|(i, e)| (i as u32, e)); // Engine::build() refuses more
        let sought: Vec<Sought<'_>> = numbered.filter_map(|(i, e)| Sought::new(i, e, prefilter)).collect();
        let mut protocols = vec![AppProto::Unknown];
        protocols.extend(AppProto::ALL);
        let both = |p| {
            let those: Vec<&Sought<'_>> = sought.iter().filter(|s| s.app.concerns(p)).collect();
            [Direction::ToServer, Direction::ToClient].map(|d| zones.each(|zone| Draft::new(&those, d, zone)))
        };
        let drafts: Vec<[ByZone<Draft>; 2]> = protocols.into_par_iter().map(both).collect();
        // Protocols that carry each other's files have most of their sets in common.
        let plans = drafts.iter().flatten().flat_map(ByZone::iter).flat_map(|d| &d.buffers).map(|(_, plan)| plan);
        let distinct: Vec<&Plan> = plans.collect::<HashSet<_>>().into_iter().collect();
        let built: HashMap<&Plan, Arc<Prefilter>> =
            distinct.into_par_iter().filter_map(|plan| Some((plan, Arc::new(plan.build(cache)?)))).collect();
        Self { groups: drafts.iter().map(|both| both.each_ref().map(|d| d.map(|d| d.group(&built)))).collect() }
    }

    pub(crate) fn of(&self, p: AppProto, d: Direction, zone: Zone) -> Option<&AppGroup> {
        // Declared in the order of AppProto: Unknown, then the rest.
        self.groups.get(p as usize)?.get(d.index())?.of(zone)?.as_ref()
    }

    /// Whether there is a rule at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.iter().flatten().flat_map(ByZone::iter).all(Option::is_none)
    }
}

/// An entry that looks at transactions, whatever they are of.
struct Sought<'r> {
    entry: u32,
    zones: Where,
    rule: &'r Rule,
    app: &'r AppRule,
    first: Option<First<'r>>,
}

/// What is looked for first, and where.
struct First<'r> {
    content: &'r Content,
    /// One near the beginning that is looked for instead.
    near: Option<&'r Content>,
    /// None where there is no such buffer.
    looks: Option<Looks>,
    /// Which way that goes; None: either.
    way: Option<Direction>,
}

impl<'r> Sought<'r> {
    fn new(entry: u32, e: &'r Drafted, prefilter: bool) -> Option<Self> {
        let app = e.app.as_deref().filter(|a| !a.parts.is_empty())?;
        let first = fast_pattern(e).filter(|_| prefilter).map(|(test, content)| First::new(test, content));
        Some(Self { entry, zones: e.zones, rule: &e.rule, app, first })
    }
}

impl<'r> First<'r> {
    fn new(test: &'r BufferTest, content: &'r Content) -> Self {
        let looks = Buffer::by_name(test.buffer.name).map(|buffer| {
            let (multi, streaming) = (test.buffer.multi, test.buffer.streaming);
            // The files of a response begin with its body: one search serves both.
            let (buffer, multi) =
                if buffer == Buffer::HttpResponseBody { (Buffer::FileData, true) } else { (buffer, multi) };
            Looks { buffer, multi, streaming, chain: Chain::new(&test.transforms) }
        });
        Self { content, near: near(test, content), looks, way: way(test.buffer) }
    }
}

impl Draft {
    fn new(sought: &[&Sought<'_>], direction: Direction, zone: Zone) -> Self {
        let (mut always, mut repeats) = (Vec::new(), Vec::new());
        let mut sets: Vec<(Looks, Builder<'_>)> = Vec::new();
        for s in sought.iter().filter(|s| s.zones.has(zone)) {
            let (i, test) = (s.entry, &s.rule.flow);
            let turned = match direction {
                Direction::ToServer => test.to_client,
                Direction::ToClient => test.to_server,
            };
            if turned {
                continue;
            }
            if s.app.repeats {
                repeats.push(i);
            }
            // What goes the other way is not searched here: a rule with => is looked at where its pattern cannot be.
            let here = |f: &&First<'_>| s.rule.direction != HeaderDirection::Transaction || f.way == Some(direction);
            let Some(first) = s.first.as_ref().filter(here) else {
                always.push(i);
                continue;
            };
            let Some(looks) = &first.looks else { continue };
            let at = match sets.iter().position(|s| s.0 == *looks) {
                Some(at) => at,
                None if sets.len() == MAX_SEARCHED => {
                    always.push(i);
                    continue;
                }
                None => {
                    sets.push((looks.clone(), Builder::default()));
                    sets.len() - 1
                }
            };
            let set = &mut sets[at].1; // found or pushed above
            match first.near {
                Some(close) => set.add_near(close, Some(first.content), Vec::new(), i),
                None => set.add(first.content, Guard::None, i),
            }
        }
        Self { always, repeats, buffers: sets.into_iter().map(|(looks, set)| (looks, set.plan())).collect() }
    }

    // None where it holds no rule.
    fn group(&self, built: &HashMap<&Plan, Arc<Prefilter>>) -> Option<AppGroup> {
        let of = |(looks, plan): &(Looks, Plan)| {
            Some(BufferGroup { looks: looks.clone(), patterns: Arc::clone(built.get(plan)?) })
        };
        let buffers: Vec<BufferGroup> = self.buffers.iter().filter_map(of).collect();
        let streaming = buffers.iter().any(|b| b.looks.streaming);
        let empty = self.always.is_empty() && buffers.is_empty();
        (!empty).then(|| AppGroup { always: self.always.clone(), repeats: self.repeats.clone(), buffers, streaming })
    }
}

impl AppGroup {
    /// Collects the rules to look at: those never looked at on this transaction, those whose patterns occur in buffers that
    /// are complete now, and those that wait.
    pub(crate) fn candidates(
        &self,
        state: &State,
        place: usize,
        direction: Direction,
        marks: &mut Marks,
        (seen, made): (&mut Seen, &mut Made<(Buffer, usize)>),
        found: &mut Vec<u32>,
    ) {
        let Some(core) = state.core(place) else { return };
        let progress = core.progress(direction);
        if marks.seen == 0 {
            found.extend_from_slice(&self.always);
        }
        for (n, b) in self.buffers.iter().enumerate() {
            let looks = &b.looks;
            let complete = progress >= state.buffer_at(looks.buffer, direction);
            if marks.scanned >> n & 1 == 1 || !(complete || looks.streaming) {
                continue;
            }
            if complete {
                marks.scanned |= 1 << n; // fewer than 128, as new() holds
            }
            let most = if looks.multi { crate::app::MAX_INSTANCES } else { 1 };
            for i in 0..most {
                let Some(bytes) = state.buffer(place, looks.buffer, direction, i) else { break };
                let bytes = match &looks.chain {
                    Some(chain) => made.of((looks.buffer, i), chain, bytes),
                    None => bytes,
                };
                b.patterns.candidates(None, bytes, 0, seen, found);
            }
        }
        found.extend(marks.rules.iter().filter(|(_, s)| *s != FINISHED).map(|(i, _)| *i));
        found.sort_unstable();
        found.dedup();
        if self.streaming {
            found.retain(|i| !marks.rules.iter().any(|(n, s)| n == i && *s == FINISHED));
        }
    }

    /// Collects the rules that look again though nothing changed but that more bytes came.
    pub(crate) fn again(&self, marks: &Marks, found: &mut Vec<u32>) {
        let open = |i: &&u32| marks.rules.iter().any(|(n, s)| n == *i && *s != FINISHED);
        found.extend(self.repeats.iter().filter(open));
    }
    /// Whether a rule has alerted and may again.
    pub(crate) fn met(marks: &Marks, rule: u32) -> bool {
        marks.rules.contains(&(rule, MET))
    }
    /// Notes that it has. False where no more rules can.
    pub(crate) fn meet(marks: &mut Marks, rule: u32) -> bool {
        let room = marks.rules.len() < MAX_WAITING;
        match marks.rules.iter_mut().find(|(n, _)| *n == rule) {
            Some(had) => had.1 = MET,
            None if room => marks.rules.push((rule, MET)),
            None => return false,
        }
        true
    }
    /// Whether there are any that may.
    pub(crate) const fn repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// Notes what became of a rule. False where no more rules can wait.
    pub(crate) fn note(&self, marks: &mut Marks, rule: u32, verdict: Verdict) -> bool {
        let at = marks.rules.iter().position(|(n, _)| *n == rule);
        match (verdict, at) {
            (Verdict::Wait, Some(_)) => {}
            (Verdict::Wait, None) => {
                if marks.rules.len() >= MAX_WAITING {
                    return false;
                }
                marks.rules.push((rule, WAITING));
            }
            // Where buffers are scanned again, a rule that is done must be known.
            (_, Some(at)) if self.streaming => marks.rules[at].1 = FINISHED, // at is a position in it
            (_, None) if self.streaming && marks.rules.len() < MAX_WAITING => marks.rules.push((rule, FINISHED)),
            (_, Some(at)) => {
                marks.rules.swap_remove(at);
            }
            (_, None) => {}
        }
        true
    }
}

// Of a buffer that can be long, a content that lies near the beginning of what is shown of it: which is where the tests count
// from, too. A short one only where it is what would be looked for everywhere. What a response's body shows is not searched
// by itself.
fn near<'r>(test: &'r BufferTest, first: &Content) -> Option<&'r Content> {
    let long = test.buffer.streaming && test.buffer.name != Buffer::HttpResponseBody.name();
    first_near(&test.tests, None).filter(|c| long && (c.bytes.len() >= SHORT || std::ptr::eq(*c, first)))
}

/// Buffers that are alike in most transactions: what is looked for there is looked for last.
const ALIKE: [&str; 4] = ["http.method", "http.protocol", "http.stat_code", "http.stat_msg"];

// The content in a buffer that is looked for first, with what is asked of the buffer. Of a buffer that may be missing none
// must occur.
fn fast_pattern(e: &Drafted) -> Option<(&BufferTest, &Content)> {
    let tests = e.rule.buffers.iter().filter(|b| !b.absent()).flat_map(|b| b.tests.iter().map(move |t| (b, t)));
    first(tests, 0, |b: &BufferTest, c| if ALIKE.contains(&b.buffer.name) { 0 } else { rarity::of(&c.bytes) })
}
