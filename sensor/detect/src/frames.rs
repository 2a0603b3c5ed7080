// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules on frames: what each asks of a frame, the prefilter of each kind, and the look at those of a flow.
//!
//! A frame is looked at in the context of a packet that goes its way, or at the flow's end. A long one is looked at as it grows,
//! each time that it has doubled, by rules of which what they ask cannot be undone by what follows ([`Needs`]); by all others
//! once, when it has ended. So each rule alerts once for a frame at most, and whether it does depends on the frame's bytes
//! alone and not on how they came. Must never look at a frame that no rule asks for. Limits: [`MAX_FIRED`], those of
//! [`lagewarte_app::frames`].

use std::sync::Arc;

use lagewarte_app::{
    Config as AppConfig, FlowApp, LayerEvents,
    frames::{Frame, Kind, Kinds, Marks},
};
use lagewarte_decode::Packet;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction, FlowRef};
use lagewarte_rules::ast::{
    BufferTest, ByteExtract, ByteJump, ByteMath, ByteTest, JumpFrom, PayloadTest, Reading, Rule,
};

use crate::{
    alert::{About, Context, STREAM_BYTES, TxPart},
    cache::Cache,
    engine::{Counters, Engine, Scratch, Work},
    entry::Drafted,
    matcher::Seen,
    payload::{Outcome, Program},
    prefilter::{Builder, Guard, Prefilter, first},
    rarity,
    transform::Chain,
};

/// Most rules that alert on one frame; then it is not looked at any more, and counted as `crowded`. Threat: a frame that
/// grows byte by byte, against thousands of rules that match it.
pub const MAX_FIRED: usize = 1_024;

/// Bytes of a frame that has not ended before it is looked at: as of a stream (`stream.reassembly.toserver-chunk-size`).
const CHUNK: usize = 2_560;

/// How much of a frame must be there for a rule to judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    /// Some bytes: what it finds stays found.
    Some,
    /// All that will come: something must not be there, or is not known to stay found.
    All,
    /// The frame's own end: of one that was cut off it cannot judge.
    End,
}

/// What a rule asks of a frame.
#[derive(Debug)]
pub(crate) struct FrameRule {
    kind: Kind,
    parts: Box<[(Option<Arc<Chain>>, Program)]>,
    needs: Needs,
}

impl FrameRule {
    /// None where it asks for none.
    pub(crate) fn new(rule: &Rule) -> Option<Self> {
        let frame = rule.frame()?;
        let kind = Kind::by_name(AppProto::by_name(frame.protocols.first()?)?, frame.name)?;
        let parts = rule.frames.iter().map(|f| (Chain::new(&f.transforms), Program::new(&f.tests))).collect();
        let needs = rule.frames.iter().map(needs).max().unwrap_or(Needs::End);
        Some(Self { kind, parts, needs })
    }

    fn holds(&self, frame: &Frame, work: &mut Work, counters: &mut Counters) -> bool {
        self.parts.iter().all(|(chain, program)| {
            let made = chain.as_ref().map(|c| c.apply(frame.bytes()));
            let bytes = made.as_deref().unwrap_or(frame.bytes());
            match program.run_buffer(bytes, frame.complete(), &mut work.finds) {
                Outcome::Match => true,
                Outcome::NoMatch => false,
                Outcome::GaveUp => {
                    counters.gave_up += 1;
                    false
                }
            }
        })
    }
}

fn needs(f: &BufferTest) -> Needs {
    // Digits that are cut off are another number.
    let read = |r: &Reading| if r.digits.is_some() { Needs::All } else { Needs::Some };
    let of = |t: &PayloadTest| match t {
        PayloadTest::Content(c) if c.endswith => Needs::End,
        PayloadTest::Content(c) if c.negated => Needs::All,
        PayloadTest::Content(_) | PayloadTest::Isdataat { negated: false, .. } => Needs::Some,
        PayloadTest::ByteJump(j) if j.from == JumpFrom::End => Needs::End,
        PayloadTest::ByteTest(ByteTest { read: r, .. })
        | PayloadTest::ByteJump(ByteJump { read: r, .. })
        | PayloadTest::ByteExtract(ByteExtract { read: r, .. })
        | PayloadTest::ByteMath(ByteMath { read: r, .. }) => read(r),
        PayloadTest::Pcre(_) | PayloadTest::Asn1(_) | PayloadTest::Base64(_) => Needs::All,
        PayloadTest::Isdataat { .. }
        | PayloadTest::Bsize(_)
        | PayloadTest::Absent { .. }
        | PayloadTest::Lookup(_)
        | PayloadTest::Entropy(_) => Needs::End,
    };
    let made = if f.transforms.is_empty() { Needs::Some } else { Needs::End };
    f.tests.iter().map(of).max().unwrap_or(Needs::End).max(made)
}

/// The rules on frames, by kind and direction.
#[derive(Debug, Default)]
pub(crate) struct FrameTables {
    groups: Vec<[Option<Group>; 2]>,
    pub(crate) kinds: Kinds,
}

/// The rules on one kind of frame that goes one way.
#[derive(Debug, Default)]
struct Group {
    /// Rules without a pattern to look for in the frame's own bytes.
    always: Vec<u32>,
    patterns: Option<Prefilter>,
    /// Whether any can judge a frame that has not ended.
    early: bool,
}

impl FrameTables {
    pub(crate) fn new(entries: &[Drafted], prefilter: bool, cache: Option<&Cache>) -> Self {
        let rules = || (0u32..).zip(entries).filter_map(|(i, e)| Some((i, e, e.frame.as_deref()?)));
        let mut kinds = Kinds::default();
        rules().for_each(|(_, _, rule)| kinds.set(rule.kind));
        if kinds.is_empty() {
            return Self::default();
        }
        let group = |kind: Kind, direction: Direction| {
            let (mut group, mut patterns, mut some) = (Group::default(), Builder::default(), false);
            for (i, e, rule) in rules().filter(|(.., rule)| rule.kind == kind) {
                let turned = match direction {
                    Direction::ToServer => e.rule.flow.to_client,
                    Direction::ToClient => e.rule.flow.to_server,
                };
                if turned {
                    continue;
                }
                some = true;
                group.early |= rule.needs == Needs::Some;
                let own = e.rule.frames.iter().filter(|f| f.transforms.is_empty());
                match first(own.flat_map(|f| &f.tests).map(|t| ((), t)), 0, |(), c| rarity::of(&c.bytes))
                    .filter(|_| prefilter)
                {
                    Some(((), content)) => patterns.add(content, Guard::None, i),
                    None => group.always.push(i),
                }
            }
            group.patterns = patterns.plan().build(cache);
            some.then_some(group)
        };
        let both = |kind: &Kind| [Direction::ToServer, Direction::ToClient].map(|d| group(*kind, d));
        Self { groups: Kind::ALL.iter().map(both).collect(), kinds }
    }

    fn of(&self, kind: Kind, d: Direction) -> Option<&Group> {
        self.groups.get(kind as usize)?.get(d.index())?.as_ref()
    }
}

impl Group {
    /// Whether there is something to look at.
    fn due(&self, frame: &Frame) -> bool {
        let (there, seen) = (frame.bytes().len(), frame.marks.seen);
        // Once more only where there is twice as much: so that a frame costs no more than twice its length.
        frame.ended() || self.early && there >= CHUNK && there / 2 >= seen
    }

    fn candidates(&self, bytes: &[u8], seen: &mut Seen, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.always);
        if let Some(p) = &self.patterns {
            p.candidates(None, bytes, 0, seen, found);
        }
        found.sort_unstable();
        found.dedup();
    }
}

impl Engine {
    /// Inspects the frames of a packet's flow that go its way. `app` is what the flow speaks.
    pub fn inspect_frames(
        &self,
        p: &Packet<'_>,
        flow: &mut FlowRef<'_>,
        app: &mut FlowApp,
        config: &AppConfig,
        s: &mut Scratch,
        out: &mut Vec<crate::Candidate>,
    ) {
        let Some(mut frames) = app.frames.take() else { return };
        let mut context: Option<Arc<Context>> = None;
        let direction = flow.direction;
        for frame in frames.towards(direction) {
            let group = self.frames.of(frame.kind, direction).filter(|_| !flow.flow.detect.settled);
            let Some(group) = group.filter(|_| !frame.marks.done) else {
                frame.marks.done |= frame.ended();
                continue;
            };
            if frame.marks.engine != self.id {
                frame.marks = Marks { engine: self.id, ..Marks::default() };
            }
            if group.due(frame) {
                self.frame(group, frame, (p, flow), (app, config), &mut context, (s, out));
            }
        }
        app.frames = Some(frames);
        Self::measured(&mut s.work.finds, Some(flow.flow));
        if let Some(c) = context {
            self.remember(&c, Some(flow.flow), flow.flow.detect.passed);
        }
        s.counters.pcre_limited += std::mem::take(&mut s.work.finds.limited);
    }

    fn frame(
        &self,
        group: &Group,
        frame: &mut Frame,
        (p, flow): (&Packet<'_>, &mut FlowRef<'_>),
        (app, config): (&FlowApp, &AppConfig),
        context: &mut Option<Arc<Context>>,
        (s, out): (&mut Scratch, &mut Vec<crate::Candidate>),
    ) {
        s.counters.frames += 1;
        s.found.clear();
        group.candidates(frame.bytes(), &mut s.seen, &mut s.found);
        let found = std::mem::take(&mut s.found);
        let enough = if frame.complete() {
            Needs::End
        } else if frame.ended() {
            Needs::All
        } else {
            Needs::Some
        };
        let mut about: Option<About> = None;
        for &i in &found {
            let Some(entry) = self.entries.get(i as usize) else { continue };
            let Some(rule) = entry.frame.as_deref().filter(|r| r.needs <= enough) else { continue };
            if frame.marks.fired.contains(&i) {
                continue;
            }
            s.counters.verified += 1;
            let watch = self.watch(i);
            let mut matched =
                entry.around(p, Some(flow), Some(frame.kind.proto()), LayerEvents::default(), &mut s.work)
                    && entry.remembered(Some(flow));
            if matched && entry.in_turn {
                s.take_turn();
            }
            matched = matched && rule.holds(frame, &mut s.work, &mut s.counters) && entry.marks.hold(p, &self.hosts, s);
            watch.stop(matched);
            if !matched {
                continue;
            }
            frame.marks.fired.push(i);
            let about = about.get_or_insert_with(|| self.about(frame, flow.direction, app, config)).clone();
            let goes_on = self.fire((i, entry), p, flow, context, about, s, out);
            if !goes_on {
                break;
            }
            if frame.marks.fired.len() >= MAX_FIRED {
                s.counters.crowded += 1;
                frame.marks.done = true;
                break;
            }
        }
        s.found = found;
        frame.marks.seen = frame.bytes().len();
        frame.marks.done |= frame.ended();
    }

    /// What alerts on a frame show of it, and of its transaction where that is still there.
    fn about(&self, frame: &Frame, direction: Direction, app: &FlowApp, config: &AppConfig) -> About {
        let of = |tx: u64| {
            let states = app.states().filter(|s| s.proto() == frame.kind.proto());
            let mut places = states.flat_map(|s| (0..s.len()).map(move |n| (s, n)));
            let (state, place) = places.find(|(s, n)| s.core(*n).is_some_and(|c| c.id == tx))?;
            Some(self.output.transaction(state, place, direction, config))
        };
        let transaction = frame.tx.map(|tx| Arc::new(of(tx).unwrap_or_else(|| TxPart::gone(tx))));
        About { transaction, frame: Some(self.output.frame(frame, direction)) }
    }
}

impl crate::Output {
    /// The object `frame` of an alert.
    fn frame(&self, frame: &Frame, direction: Direction) -> Arc<str> {
        let mut w = JsonWriter::with_capacity(160);
        // Written otherwise than an alert's own direction.
        let way = if direction == Direction::ToServer { "toserver" } else { "toclient" };
        w.open().key("type").string(frame.kind.name()).key("id").u64(frame.id).key("direction").string(way);
        if let Some(offset) = frame.offset {
            w.key("stream_offset").u64(offset);
        }
        w.key("length").u64(frame.len.unwrap_or(frame.bytes().len() as u64)).key("complete").bool(frame.complete());
        if let Some(tx) = frame.tx {
            w.key("tx_id").u64(tx);
        }
        self.bytes(frame.bytes().get(..STREAM_BYTES).unwrap_or(frame.bytes()), &mut w);
        w.close();
        w.finish().into()
    }
}
