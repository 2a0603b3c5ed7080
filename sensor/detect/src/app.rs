// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules on the application layer, compiled: which protocols they are about, and what they ask of a transaction.
//!
//! A rule's parts are looked at in the order in which a transaction completes them. Must never say that a rule cannot match
//! while bytes or events that it asks for may still come.

use std::{net::IpAddr, sync::Arc};

use lagewarte_app::{Buffer, DONE, Field, LayerEvent, LayerEvents, State, file::Asked, hooks};
use lagewarte_flow::{AppProto, Direction, Flow};
use lagewarte_rules::{
    ast::{BufferTest, Direction as HeaderDirection, Interval, Rule, TransactionTest, Which, Whose},
    buffers::{Buffer as RuleBuffer, Ways},
};

use crate::{
    engine::{Counters, Work},
    files::FileRule,
    payload::{Outcome, Program},
    transform::Chain,
};

/// Most instances of one buffer or number that are looked at. Threat: a message with thousands of names against thousands
/// of rules. Suricata looks at all; a message that has more is rare, and the cap is counted as `gave_up`.
pub const MAX_INSTANCES: usize = 1_024;

/// A set of application protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protocols(u64);

const _: () =
    assert!(AppProto::ALL.len() < 63, "Protocols holds 64 bits: one for each, for what is not known, for no flow");

impl Protocols {
    /// Whatever is spoken, and no flow at all.
    pub(crate) const ANY: Self = Self(u64::MAX);
    /// There is no flow that could speak.
    pub(crate) const NONE: Self = Self(1 << 63);

    pub(crate) const fn one(p: AppProto) -> Self {
        Self(1 << p as u64)
    }
    /// Whether one of these is among the others.
    pub(crate) const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
    /// Those of these EVE names; names that are not known are left out.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().filter_map(|n| AppProto::by_name(n)).fold(0, |set, p| set | 1 << p as u64))
    }
    pub(crate) const fn has(self, p: AppProto) -> bool {
        self.0 >> p as u64 & 1 == 1
    }
    /// Whether there are any beside these.
    pub(crate) fn others(self, than: impl Iterator<Item = AppProto>) -> bool {
        than.fold(self.0, |left, p| left & !(1 << p as u64)) != 0
    }
}

/// What a rule asks of the application layer.
#[derive(Clone, Debug)]
pub(crate) struct AppRule {
    /// The flow must speak one of these.
    protocols: Option<Protocols>,
    spoken: Box<[(Protocols, bool, Whose)]>,
    layer: LayerEvents,
    /// What it asks of a transaction; empty where it asks for none.
    pub(crate) parts: Box<[Part]>,
    /// Whether it alerts each time that a transaction has more.
    pub(crate) repeats: bool,
    /// What it asks of files: one of the parts.
    pub(crate) files: Option<Arc<FileRule>>,
}

/// One thing that a rule asks of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Buffer(Arc<BufferPart>),
    Number { field: Field, test: Interval },
    OneOf { field: Field, any: Vec<u64>, none: bool },
    Nth { field: Field, test: Interval, which: Which },
    Range { field: Field, test: Interval },
    Bits { field: Field, mask: u64, value: u64, negated: bool },
    Event { number: u8 },
    Hook { at: u8 },
    Files(Arc<FileRule>),
    Bounce,
}

/// What a rule asks of a buffer.
#[derive(Debug)]
pub(crate) struct BufferPart {
    buffer: Buffer,
    multi: bool,
    streaming: bool,
    /// Which way it goes, where the rule looks at both.
    way: Option<Direction>,
    /// Whether it also holds where there is no such buffer.
    absent: bool,
    chain: Option<Arc<Chain>>,
    program: Program,
}

impl BufferPart {
    fn new(b: &BufferTest, both_ways: bool) -> Option<Self> {
        Some(Self {
            buffer: Buffer::by_name(b.buffer.name)?,
            multi: b.buffer.multi,
            streaming: b.buffer.streaming,
            way: if both_ways { way(b.buffer) } else { None },
            absent: b.absent(),
            chain: Chain::new(&b.transforms),
            program: Program::new(&b.tests),
        })
    }

    /// Whether an instance holds what is asked; `whole`: nothing is added to it.
    fn holds(&self, at: Place<'_>, whole: bool, work: &mut Work, counters: &mut Counters) -> bool {
        if self.buffer == Buffer::DcerpcStubData {
            work.finds.order(at.state.number(at.place, Field::DcerpcOrder, at.direction, 0) == Some(1));
        }
        let most = if self.multi { MAX_INSTANCES } else { 1 };
        let mut any = false;
        for i in 0..most {
            let Some(bytes) = at.state.buffer(at.place, self.buffer, at.direction, i) else { break };
            any = true;
            let bytes = match &self.chain {
                Some(chain) => work.made.of((self.buffer, i), chain, bytes),
                None => bytes,
            };
            match self.program.run_buffer(bytes, whole, &mut work.finds) {
                Outcome::Match => return true,
                Outcome::NoMatch => {}
                Outcome::GaveUp => counters.gave_up += 1,
            }
        }
        !any && self.absent && whole
    }
}

/// Which way the data of a buffer goes; None: either.
pub(crate) const fn way(b: &RuleBuffer) -> Option<Direction> {
    match b.ways {
        Ways::Both => None,
        Ways::ToServer => Some(Direction::ToServer),
        Ways::ToClient => Some(Direction::ToClient),
    }
}

/// A transaction, seen one way.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    pub(crate) state: &'s State,
    pub(crate) place: usize,
    pub(crate) direction: Direction,
}

/// What became of a rule on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Match,
    /// Not yet.
    Wait,
    Never,
}

impl AppRule {
    /// None where the rule asks for nothing of the kind.
    pub(crate) fn new(rule: &Rule) -> Option<Self> {
        if !rule.speaks() {
            return None;
        }
        let mut layer = LayerEvents::default();
        for name in &rule.layer_events {
            LayerEvent::ALL.iter().filter(|e| e.name().eq_ignore_ascii_case(name)).for_each(|e| layer.set(*e));
        }
        let buffers = {
            let both_ways = rule.direction == HeaderDirection::Transaction;
            rule.buffers.iter().filter_map(move |b| Some(Part::Buffer(Arc::new(BufferPart::new(b, both_ways)?))))
        };
        let tests = rule.transaction.iter().filter_map(|t| match t {
            TransactionTest::Number { field, test } => {
                Some(Part::Number { field: Field::by_name(field)?, test: *test })
            }
            TransactionTest::OneOf { field, any, none } => {
                Some(Part::OneOf { field: Field::by_name(field)?, any: any.clone(), none: *none })
            }
            TransactionTest::Nth { field, test, which } => {
                Some(Part::Nth { field: Field::by_name(field)?, test: *test, which: *which })
            }
            TransactionTest::Range { field, test } => Some(Part::Range { field: Field::by_name(field)?, test: *test }),
            TransactionTest::Bits { field, mask, value, negated } => {
                let field = Field::by_name(field)?;
                Some(Part::Bits { field, mask: *mask, value: *value, negated: *negated })
            }
            TransactionTest::Event { protocol, name } => {
                let names = State::events_of(AppProto::by_name(protocol)?)?;
                Some(Part::Event {
                    number: u8::try_from(names.iter().position(|n| n.eq_ignore_ascii_case(name))?).ok()?,
                })
            }
            TransactionTest::Hook { name, .. } => Some(Part::Hook { at: hooks::progress_at(name)? }),
            TransactionTest::Bounce => Some(Part::Bounce),
            TransactionTest::File(_) => None, // together, below
        });
        let files = FileRule::new(rule).map(Arc::new);
        let repeats = matches!(rule.transaction.as_slice(), [TransactionTest::Hook { repeats: true, .. }]);
        Some(Self {
            protocols: rule.protocols.map(Protocols::of),
            spoken: rule.spoken.iter().map(|s| (Protocols::of(s.protocols), s.negated, s.whose)).collect(),
            layer,
            parts: tests.chain(buffers).chain(files.clone().map(Part::Files)).collect(),
            repeats: repeats && rule.buffers.is_empty(),
            files,
        })
    }

    /// Notes what the application layer must do for it.
    pub(crate) fn asks(&self, asked: &mut Asked) {
        if let Some(f) = &self.files {
            f.asks(asked);
        }
        asked.magic |= self.parts.iter().any(|p| matches!(p, Part::Buffer(b) if b.buffer == Buffer::FileMagic));
    }

    /// Whether transactions of this protocol are its matter.
    pub(crate) fn concerns(&self, p: AppProto) -> bool {
        self.protocols.is_none_or(|set| set.has(p))
    }

    /// Whether it asks only what the flow speaks: it is then looked at once for each direction.
    pub(crate) fn protocol_only(&self) -> bool {
        !self.spoken.is_empty() && self.parts.is_empty() && self.layer.is_empty()
    }

    /// What the flow must speak one of.
    pub(crate) fn protocols(&self) -> Protocols {
        self.protocols.unwrap_or(Protocols::ANY)
    }

    /// Whether what the flow speaks is what the rule asks for, seen from a packet that goes this way.
    /// Of a transaction it is the protocol of that (`of`): the flow may have changed to another since.
    pub(crate) fn speaks(
        &self,
        flow: Option<&Flow>,
        of: Option<AppProto>,
        direction: Direction,
        events: LayerEvents,
    ) -> bool {
        if self.layer.iter().any(|e| !events.has(e)) {
            return false;
        }
        let Some(f) = flow else { return self.protocols.is_none() && self.spoken.is_empty() };
        if self.protocols.is_some_and(|set| !set.has(of.unwrap_or(f.app.spoken()))) {
            return false;
        }
        let [client, server] = f.app.sides;
        self.spoken.iter().all(|(set, negated, whose)| {
            let unknown = |p: AppProto| p == AppProto::Unknown;
            match whose {
                Whose::Either => {
                    !(unknown(client) && unknown(server)) && (set.has(client) || set.has(server)) != *negated
                }
                _ => {
                    let said = match whose {
                        Whose::Direction if direction == Direction::ToServer => client,
                        Whose::Direction => server,
                        Whose::ToServer => client,
                        Whose::ToClient => server,
                        Whose::Original => f.app.original,
                        Whose::Final | Whose::Either => f.app.proto,
                    };
                    !unknown(said) && set.has(said) != *negated
                }
            }
        })
    }

    /// Whether a number that the transaction is said to have is another for certain: asked before contents are searched for
    /// in the payload.
    pub(crate) fn has_other_number(&self, state: &State, place: usize, direction: Direction) -> bool {
        let other = |part: &Part| match part {
            Part::Number { field, test } => number(state, place, direction, (*field, *test)) == (false, true),
            _ => false,
        };
        self.parts.iter().any(other)
    }

    /// Looks at a transaction's parts, one of which may already have been found to match; which way, and whose flow it is.
    pub(crate) fn inspect(
        &self,
        state: &State,
        place: usize,
        (direction, client): (Direction, IpAddr),
        work: &mut Work,
        counters: &mut Counters,
    ) -> Verdict {
        let Some(core) = state.core(place) else { return Verdict::Never };
        let progress = core.progress(direction);
        let mut verdict = Verdict::Match;
        for part in &self.parts {
            let (holds, complete) = match part {
                Part::Hook { at } => (progress >= *at, progress == DONE),
                Part::Event { number } => (core.events.has(*number), progress == DONE),
                Part::Bounce => {
                    let complete = progress >= state.number_at(Field::FtpPortAddress, direction);
                    let named = state.number(place, Field::FtpPortAddress, direction, 0);
                    // PORT names addresses of IPv4 only.
                    let own = match client {
                        IpAddr::V4(ip) => Some(u64::from(u32::from(ip))),
                        IpAddr::V6(_) => None,
                    };
                    (complete && named.is_some_and(|n| Some(n) != own), complete)
                }
                Part::Files(rule) => {
                    let complete = progress == DONE;
                    (complete && rule.holds(state, place, direction), complete)
                }
                Part::Number { field, test } => number(state, place, direction, (*field, *test)),
                Part::OneOf { field, any, none } => {
                    let complete = progress >= state.number_at(*field, direction);
                    let mut there =
                        (0..MAX_INSTANCES).map_while(|i| state.number(place, *field, direction, i)).peekable();
                    let holds = complete && there.peek().is_some() && there.any(|n| any.contains(&n)) != *none;
                    (holds, complete)
                }
                Part::Nth { field, test, which } => {
                    let complete = progress >= state.number_at(*field, direction);
                    let all = || (0..MAX_INSTANCES).map_while(move |i| state.number(place, *field, direction, i));
                    let some = all().next().is_some();
                    let holds = complete
                        && match which {
                            Which::All => some && all().all(|n| test.matches(n)),
                            Which::AllOrAbsent => all().all(|n| test.matches(n)),
                            Which::OrAbsent => !some || all().any(|n| test.matches(n)),
                            Which::At(at) => {
                                let from_end = |at: &i32| all().count().checked_sub(at.unsigned_abs() as usize);
                                let at = if *at < 0 { from_end(at) } else { Some(at.unsigned_abs() as usize) };
                                at.and_then(|at| all().nth(at)).is_some_and(|n| test.matches(n))
                            }
                        };
                    (holds, complete)
                }
                Part::Range { field, test } => {
                    let complete = progress >= state.number_at(*field, direction);
                    let end = |i: usize| state.number(place, *field, direction, i);
                    let holds = complete
                        && (0..MAX_INSTANCES)
                            .map_while(|i| end(2 * i).zip(end(2 * i + 1)))
                            .any(|(first, last)| (first <= test.to && test.from <= last) != test.negated);
                    (holds, complete)
                }
                Part::Bits { field, mask, value, negated } => {
                    let complete = progress >= state.number_at(*field, direction);
                    let holds = complete
                        && (0..MAX_INSTANCES)
                            .map_while(|i| state.number(place, *field, direction, i))
                            .any(|n| (n & mask == *value) != *negated);
                    (holds, complete)
                }
                Part::Buffer(part) => {
                    let direction = part.way.unwrap_or(direction);
                    let complete = core.progress(direction) >= state.buffer_at(part.buffer, direction);
                    let at = Place { state, place, direction };
                    let holds = (complete || part.streaming) && part.holds(at, complete, work, counters);
                    (holds, complete)
                }
            };
            match (holds, complete) {
                (true, _) => {}
                (false, true) => return Verdict::Never,
                (false, false) => verdict = Verdict::Wait,
            }
        }
        verdict
    }
}

/// Whether a number of the transaction is as asked, and whether all of them are known.
fn number(state: &State, place: usize, direction: Direction, (field, test): (Field, Interval)) -> (bool, bool) {
    let complete = state.core(place).is_some_and(|c| c.progress(direction) >= state.number_at(field, direction));
    let mut all = (0..MAX_INSTANCES).map_while(|i| state.number(place, field, direction, i));
    (complete && all.any(|n| test.matches(n)), complete)
}
