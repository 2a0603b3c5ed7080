// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the flows of one worker speak: finds the protocol, feeds its parser, and holds the state until it is written.
//!
//! A flow knows only its place in here ([`lagewarte_flow::AppState::slot`]). Must never be shared between workers, and
//! never hold bytes of a flow that nobody will parse. Limits: [`HOLD`], [`MAX_CHANGES`], a memory cap for each protocol.

use std::{mem, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_flow::{AppProto, Direction, Flow, FlowRef};

use crate::{
    config::{Config, Encrypted, Mode},
    expect::Expected,
    file::{Asked, store::Keep},
    http2::hpack::Field,
    layer::{LayerEvent, LayerEvents},
    probe::{Answer, Probe},
    protocol::{Change, Cx, Input, Memory, Step},
    state::State,
};

/// Bytes of a direction after which its protocol is no longer looked for. Threat: a peer that sends its greeting byte by
/// byte.
pub const DETECT: usize = 256;
/// Most bytes of a direction that are held, while the protocol is looked for or a parser waits for more. Threat: a peer
/// that announces a long message and never ends it.
pub const HOLD: usize = 256 << 10;
/// Most bytes held over all flows of a worker's share of this. Threat: many flows that each stop short.
pub const HOLD_ALL: u64 = 64 << 20;
/// Most changes of protocol of one flow. Threat: STARTTLS without end.
pub const MAX_CHANGES: u8 = 8;
/// Most steps of a parser over one piece of data. Invariant against a parser that consumes nothing; each step but the
/// last consumes a byte at least.
const MAX_STEPS: usize = 1 << 20;

/// What happened, by protocol; EVE `stats.app_layer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows that were found to speak each protocol, as (TCP, UDP), by [`AppProto`].
    pub flow: Vec<[u64; 2]>,
    /// Transactions.
    pub tx: Vec<[u64; 2]>,
    /// Flows given up by their parser.
    pub error: Vec<[u64; 2]>,
    /// Flows given up since too many bytes were held.
    pub held: u64,
    /// Charges refused by a memory cap.
    pub memcap: u64,
    /// Bytes charged at present.
    pub memuse: u64,
    /// Files that were stored.
    pub files_stored: u64,
    /// Files that were to be stored and could not be: gaps, no room, a disk that failed.
    pub files_not_stored: u64,
}

impl Counters {
    fn slot(list: &mut Vec<[u64; 2]>, proto: AppProto, tcp: bool) -> &mut u64 {
        if list.is_empty() {
            list.resize(AppProto::ALL.len() + 1, [0; 2]);
        }
        &mut list[proto as usize][usize::from(!tcp)] // a place for each variant, Unknown included
    }
    /// Adds another worker's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in
            [(&mut self.flow, &other.flow), (&mut self.tx, &other.tx), (&mut self.error, &other.error)]
        {
            mine.resize(mine.len().max(theirs.len()), [0; 2]);
            for (m, t) in mine.iter_mut().zip(theirs) {
                m[0] += t[0];
                m[1] += t[1];
            }
        }
        self.held += other.held;
        self.memcap += other.memcap;
        self.memuse += other.memuse;
        self.files_stored += other.files_stored;
        self.files_not_stored += other.files_not_stored;
    }
}

/// What one flow speaks.
#[derive(Debug, Default)]
pub struct FlowApp {
    /// What it speaks now, where that is parsed.
    pub state: Option<State>,
    /// What it spoke before; all transactions are finished and wait for detection and writing.
    pub old: Vec<State>,
    /// Which of its files are stored, as rules say.
    pub keep: Keep,
    held: [Vec<u8>; 2],
    needed: [usize; 2],
    ended: [bool; 2],
    /// Which side was heard first.
    first: Option<Direction>,
    changes: u8,
    /// The request with which HTTP/1 was left for HTTP/2.
    upgraded: Vec<Field>,
}

impl FlowApp {
    /// The states whose transactions are to be looked at, oldest first.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.old.iter().chain(&self.state)
    }
    /// The same, to be changed.
    pub fn states_mut(&mut self) -> impl Iterator<Item = &mut State> {
        self.old.iter_mut().chain(&mut self.state)
    }
}

/// The table.
#[derive(Debug)]
pub struct Apps {
    pub(crate) cfg: Arc<Config>,
    slots: Vec<Option<Box<FlowApp>>>,
    free: Vec<u32>,
    memory: Vec<Memory>,
    held: Memory,
    expected: Expected,
    pub(crate) counters: Counters,
}

impl Apps {
    /// For one of `workers`, with its share of the memory caps.
    pub fn new(cfg: Arc<Config>, workers: usize) -> Self {
        let workers = workers.max(1) as u64;
        let caps = [AppProto::Unknown].iter().chain(AppProto::ALL);
        let mut memory = vec![Memory::default(); AppProto::ALL.len() + 1];
        for p in caps {
            memory[*p as usize].cap = cfg.of(*p).memcap / workers; // a place for each variant
        }
        Self {
            cfg,
            slots: Vec::new(),
            free: Vec::new(),
            memory,
            held: Memory { cap: HOLD_ALL / workers, ..Memory::default() },
            expected: Expected::default(),
            counters: Counters::default(),
        }
    }

    /// Choices.
    pub fn config(&self) -> &Config {
        &self.cfg
    }
    /// The same, to be kept while the table is changed.
    pub fn config_handle(&self) -> Arc<Config> {
        Arc::clone(&self.cfg)
    }
    /// From now on this is what rules ask of files.
    pub fn ask(&mut self, asked: Asked) {
        if self.cfg.files.asked != asked {
            Arc::make_mut(&mut self.cfg).files.asked = asked;
        }
    }
    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let mut c = self.counters.clone();
        c.memuse = self.held.used + self.memory.iter().map(|m| m.used).sum::<u64>();
        c.memcap = self.memory.iter().map(|m| m.refused).sum();
        c
    }

    /// What a flow speaks, where anything of it is held.
    pub fn get(&self, flow: &Flow) -> Option<&FlowApp> {
        self.slots.get((flow.app.slot as usize).checked_sub(1)?)?.as_deref()
    }
    /// The same, to be changed.
    pub fn get_mut(&mut self, flow: &Flow) -> Option<&mut FlowApp> {
        self.slots.get_mut((flow.app.slot as usize).checked_sub(1)?)?.as_deref_mut()
    }

    /// Takes the next bytes of a TCP direction. What is odd about the flow's protocol as a whole.
    pub fn tcp(&mut self, f: &mut FlowRef<'_>, direction: Direction, data: &[u8], time: Timestamp) -> LayerEvents {
        self.fed(f, direction, data, time, false)
    }

    /// A TCP direction ends: no byte follows.
    pub fn tcp_end(&mut self, f: &mut FlowRef<'_>, direction: Direction, time: Timestamp) -> LayerEvents {
        if f.flow.app.slot == 0 {
            return LayerEvents::default();
        }
        self.fed(f, direction, &[], time, true)
    }

    /// A TCP direction is not followed any further: it has reached its depth. What is open of its files is cut off there.
    pub fn tcp_depth(&mut self, f: &mut FlowRef<'_>, direction: Direction, time: Timestamp) -> LayerEvents {
        for state in self.get_mut(f.flow).into_iter().flat_map(FlowApp::states_mut) {
            for place in 0..state.len() {
                let news = state.files_mut(place).is_some_and(|all| all.finish(direction));
                if let Some(core) = state.core_mut(place).filter(|_| news) {
                    core.touch(direction);
                }
            }
        }
        self.tcp_end(f, direction, time)
    }

    /// So many bytes of a TCP direction were lost.
    pub fn tcp_gap(&mut self, f: &mut FlowRef<'_>, direction: Direction, len: u64, time: Timestamp) -> LayerEvents {
        let side = direction.index();
        let mut events = LayerEvents::default();
        if f.flow.app.over {
            return events;
        }
        let mut app = self.take(f.flow).unwrap_or_default();
        self.let_go(&mut app, side);
        app.needed[side] = 0;
        if f.flow.app.sides[side] == AppProto::Unknown {
            // A direction whose beginning is missing: its protocol is not looked for, the other's may tell.
            f.flow.app.decide(side, AppProto::Failed, true);
            if f.flow.app.sides == [AppProto::Failed; 2] {
                self.unknown(&mut app, f.flow, &mut events);
            }
        }
        if let Some(mut state) = app.state.take() {
            let mut cx = cx(&self.cfg, &mut self.memory, f.flow, time);
            let step = state.gap(direction, len, &mut cx);
            app.state = Some(state);
            if step == Step::Error {
                self.give_up(&mut app, f.flow);
            }
        }
        self.put(f.flow, app);
        events
    }

    /// Takes a UDP datagram.
    pub fn udp(&mut self, f: &mut FlowRef<'_>, data: &[u8], time: Timestamp) -> LayerEvents {
        let events = LayerEvents::default();
        if data.is_empty() {
            return events;
        }
        if f.flow.app.sides[f.direction.index()] == AppProto::Unknown {
            let proto = match self.probe(f.flow, f.direction, false, data) {
                Answer::Is(proto) => proto,
                Answer::Turned(proto) => {
                    // The first packet that we saw was an answer.
                    if f.flow.app.sides == [AppProto::Unknown; 2] {
                        f.turn();
                    }
                    proto
                }
                Answer::No | Answer::Perhaps => AppProto::Failed,
            };
            f.flow.app.decide(f.direction.index(), proto, false);
        }
        let proto = f.flow.app.proto;
        if !proto.known() || f.flow.app.over {
            return events;
        }
        let mut app = match self.take(f.flow) {
            Some(app) => app,
            None => match self.begin(f.flow, false) {
                Some(state) => Box::new(FlowApp { state: Some(state), ..FlowApp::default() }),
                None => {
                    f.flow.app.over = true;
                    return events;
                }
            },
        };
        if let Some(mut state) = app.state.take() {
            let before = state.total();
            let mut cx = cx(&self.cfg, &mut self.memory, f.flow, time);
            let direction = f.direction;
            let step = state.data(Input { direction, data, eof: false, datagram: true }, &mut cx);
            *Counters::slot(&mut self.counters.tx, proto, false) += state.total() - before;
            app.state = Some(state);
            if step == Step::Error {
                self.give_up(&mut app, f.flow);
            }
        }
        self.put(f.flow, app);
        events
    }

    /// The flow ends: every transaction is finished. To be called after the last data, before the last look and writing.
    pub fn finish(&mut self, flow: &mut Flow) {
        flow.app.over = true;
        if let Some(app) = self.get_mut(flow) {
            app.states_mut().for_each(State::finish);
        }
    }

    /// Forgets a flow.
    pub fn forget(&mut self, flow: &mut Flow) {
        let Some(mut app) = self.take(flow) else { return };
        note(flow, &app);
        self.let_go(&mut app, 0);
        self.let_go(&mut app, 1);
        for s in app.states_mut() {
            let charged = s.charged();
            self.release(s.proto(), charged);
        }
        self.free.push(flow.app.slot - 1); // take found it there
        flow.app.slot = 0;
    }

    fn release(&mut self, proto: AppProto, bytes: u64) {
        let m = &mut self.memory[proto as usize]; // a place for each variant
        m.used = m.used.saturating_sub(bytes);
    }

    /// Drops what nothing waits for; `inspecting`: whether detection looks at transactions at all.
    pub(crate) fn clean(&mut self, flow: &mut Flow, inspecting: bool) {
        let Some(mut app) = self.take(flow) else { return };
        for s in app.states_mut() {
            let freed = s.clean(inspecting);
            self.release(s.proto(), freed);
        }
        note(flow, &app);
        app.old.retain(|s| {
            let keep = !s.is_empty();
            if !keep {
                self.release(s.proto(), s.charged());
                flow.app.tx_past += s.total();
            }
            keep
        });
        let idle = flow.app.over && app.states().all(State::is_empty);
        self.put(flow, app);
        if idle {
            self.forget(flow);
        }
    }

    // A flow's entry, out of the table while it is worked on.
    pub(crate) fn take(&mut self, flow: &Flow) -> Option<Box<FlowApp>> {
        self.slots.get_mut((flow.app.slot as usize).checked_sub(1)?)?.take()
    }

    pub(crate) fn put(&mut self, flow: &mut Flow, app: Box<FlowApp>) {
        if flow.app.slot == 0 {
            let at = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                (self.slots.len() - 1) as u32 // as many as flows, which are fewer than 2^32
            });
            flow.app.slot = at + 1;
        }
        if let Some(slot) = self.slots.get_mut(flow.app.slot as usize - 1) {
            *slot = Some(app);
        }
    }

    fn probe(&self, flow: &Flow, direction: Direction, tcp: bool, data: &[u8]) -> Answer {
        let other = flow.app.sides[direction.reverse().index()];
        let ports = (flow.client_port, flow.server_port);
        let mut answer = Probe { tcp, direction, ports, other, data, config: &self.cfg }.run();
        // Behind a proxy's CONNECT or a STARTTLS the head of a record is enough, whatever stands in it.
        if answer == Answer::No && flow.app.original.known() && matches!(data, [0x16, 3, 0..=4, ..]) {
            answer = Answer::Is(AppProto::Tls);
        }
        match answer {
            Answer::Is(p) | Answer::Turned(p) if self.cfg.mode(p, tcp) == Mode::Off => Answer::No,
            other => other,
        }
    }

    fn begin(&mut self, flow: &Flow, tcp: bool) -> Option<State> {
        let proto = flow.app.proto;
        *Counters::slot(&mut self.counters.flow, proto, tcp) += 1;
        let mut state = (self.cfg.mode(proto, tcp) == Mode::On).then(|| State::new(proto, !tcp)).flatten();
        if let Some(State::Tls(tls)) = &mut state {
            tls.from = flow.app.original;
        }
        state
    }

    fn fed(
        &mut self,
        f: &mut FlowRef<'_>,
        direction: Direction,
        data: &[u8],
        time: Timestamp,
        eof: bool,
    ) -> LayerEvents {
        let mut events = LayerEvents::default();
        let undecided = f.flow.app.sides[direction.index()] == AppProto::Unknown;
        if f.flow.app.over {
            if undecided && !data.is_empty() {
                self.glance(f.flow, direction, data, &mut events);
            }
            return events;
        }
        let mut app = self.take(f.flow).unwrap_or_default();
        if !data.is_empty() {
            app.first.get_or_insert(direction);
        }
        if undecided && app.state.is_none() && self.announced(&mut app, f, time) {
            self.parse(&mut app, f, direction, data, eof, time, &mut events);
        } else if undecided {
            self.detect(&mut app, f, direction, data, eof, &mut events);
        } else if app.state.is_none() {
            // Not recognised; the other side may tell yet what it is.
            app.ended[direction.index()] |= eof;
            if !self.hold(&mut app, direction.index(), data) {
                self.unknown(&mut app, f.flow, &mut events);
            }
        } else {
            self.parse(&mut app, f, direction, data, eof, time, &mut events);
        }
        self.drain(&mut app, f, time, &mut events);
        let empty = app.state.is_none() && app.old.is_empty() && app.held.iter().all(Vec::is_empty);
        self.put(f.flow, app);
        if empty && f.flow.app.over {
            self.forget(f.flow);
        }
        events
    }

    /// What a direction speaks of a flow that is not parsed: its first piece of data tells, or it failed.
    fn glance(&self, flow: &mut Flow, direction: Direction, data: &[u8], events: &mut LayerEvents) {
        let side = direction.index();
        let (was, other) = (flow.app.proto, flow.app.sides[1 - side]);
        let proto = match self.probe(flow, direction, true, data) {
            Answer::Is(p) | Answer::Turned(p) => p,
            Answer::No | Answer::Perhaps => AppProto::Failed,
        };
        if proto.known() && other.known() && other != proto {
            events.set(LayerEvent::MismatchProtocolBothDirections);
        }
        flow.app.decide(side, proto, true);
        if was.known() {
            flow.app.proto = was;
        }
    }

    /// Feeds what was held while the protocol was looked for, the side that was heard first first.
    fn drain(&mut self, app: &mut FlowApp, f: &mut FlowRef<'_>, time: Timestamp, events: &mut LayerEvents) {
        // Each round either parses held bytes or ends; a change of protocol may bring another round.
        for _ in 0..=2 * MAX_CHANGES {
            if app.state.is_none() || f.flow.app.over {
                return;
            }
            let first = app.first.unwrap_or(Direction::ToServer);
            let ready = |app: &FlowApp, f: &FlowRef<'_>, d: Direction| {
                let held = &app.held[d.index()];
                let waits = app.needed[d.index()] > held.len();
                !held.is_empty() && !waits && f.flow.app.sides[d.index()] != AppProto::Unknown
            };
            let next = [first, first.reverse()].into_iter().find(|d| ready(app, f, *d));
            let Some(d) = next else { return };
            let eof = app.ended[d.index()];
            self.parse(app, f, d, &[], eof, time, events);
        }
    }

    /// Whether another flow announced this one: then it is what was announced, whatever it begins with.
    fn announced(&mut self, app: &mut FlowApp, f: &mut FlowRef<'_>, time: Timestamp) -> bool {
        if f.flow.app.sides != [AppProto::Unknown; 2] || app.held.iter().any(|h| !h.is_empty()) {
            return false;
        }
        let Some(transfer) = self.expected.take(f.flow, time) else { return false };
        let proto = AppProto::FtpData;
        for side in 0..2 {
            f.flow.app.decide(side, proto, true);
        }
        *Counters::slot(&mut self.counters.flow, proto, true) += 1;
        if self.cfg.mode(proto, true) == Mode::On {
            app.state = Some(State::transfer(transfer));
            *Counters::slot(&mut self.counters.tx, proto, true) += 1;
        }
        true
    }

    /// Looks for the protocol of a direction.
    fn detect(
        &mut self,
        app: &mut FlowApp,
        f: &mut FlowRef<'_>,
        direction: Direction,
        data: &[u8],
        eof: bool,
        events: &mut LayerEvents,
    ) {
        let mut side = direction.index();
        app.ended[side] |= eof;
        if !self.hold(app, side, data) {
            self.unknown(app, f.flow, events);
            return;
        }
        if app.held[side].is_empty() {
            return; // a side that said nothing is not judged by it
        }
        let long = app.held[side].len() >= DETECT || eof;
        let mut answer = self.probe(f.flow, direction, true, &app.held[side]);
        if f.guessed() && !matches!(answer, Answer::Is(_)) && app.state.is_none() {
            // Taken up in the middle: what one side cannot have said, the other may have.
            let flow = &f.flow;
            let turned = Probe {
                tcp: true,
                direction: direction.reverse(),
                ports: (flow.server_port, flow.client_port),
                other: flow.app.sides[1 - side],
                data: &app.held[side],
                config: &self.cfg,
            }
            .run();
            if turned == Answer::Perhaps && answer == Answer::No {
                answer = turned; // the other side's beginning, cut off
            }
            if let Answer::Is(p) = turned
                && self.cfg.mode(p, true) != Mode::Off
            {
                answer = turned;
                f.turn();
                app.held.swap(0, 1);
                app.needed.swap(0, 1);
                app.ended.swap(0, 1);
                app.first = app.first.map(Direction::reverse);
                side = 1 - side;
            }
        }
        let other = f.flow.app.sides[1 - side];
        match answer {
            Answer::Is(proto) | Answer::Turned(proto) => {
                if other.known() && other != proto {
                    events.set(LayerEvent::MismatchProtocolBothDirections);
                }
                if other == AppProto::Failed {
                    events.set(LayerEvent::DetectProtocolOnlyOneDirection);
                }
                let was = f.flow.app.proto;
                f.flow.app.decide(side, proto, true);
                if app.state.is_some() {
                    f.flow.app.proto = was; // what is being parsed stays
                    return;
                }
                self.expected(f.flow, events);
                // Of a flow that was taken up in its middle, what was heard first need not have come first.
                if !f.guessed() && State::begins(f.flow.app.proto).is_some_and(|d| app.first != Some(d)) {
                    events.set(LayerEvent::WrongDirectionFirstData);
                    self.stop(app, f.flow);
                    return;
                }
                match self.begin(f.flow, true) {
                    Some(state) => app.state = Some(state),
                    None => self.stop(app, f.flow),
                }
            }
            Answer::Perhaps if !long => {}
            Answer::No | Answer::Perhaps => {
                f.flow.app.decide(side, AppProto::Failed, true);
                match other {
                    AppProto::Unknown => {}
                    AppProto::Failed => self.unknown(app, f.flow, events),
                    _ => events.set(LayerEvent::DetectProtocolOnlyOneDirection),
                }
            }
        }
    }

    // A protocol that was announced and did not come.
    fn expected(&self, flow: &Flow, events: &mut LayerEvents) {
        let expected = flow.app.expected;
        if expected.known() && flow.app.proto != expected && flow.app.proto != AppProto::Unknown {
            events.set(LayerEvent::UnexpectedProtocol);
            if expected == AppProto::Tls {
                events.set(LayerEvent::NoTlsAfterStarttls);
            }
        }
    }

    // Neither side tells.
    fn unknown(&mut self, app: &mut FlowApp, flow: &mut Flow, events: &mut LayerEvents) {
        for side in 0..2 {
            if flow.app.sides[side] == AppProto::Unknown {
                flow.app.decide(side, AppProto::Failed, true);
            }
        }
        events.set(LayerEvent::ProtoDetectionSkipped);
        self.expected(flow, events);
        self.stop(app, flow);
    }

    // Nothing of this flow is parsed (any more).
    fn stop(&mut self, app: &mut FlowApp, flow: &mut Flow) {
        flow.app.over = true;
        self.let_go(app, 0);
        self.let_go(app, 1);
    }

    fn give_up(&mut self, app: &mut FlowApp, flow: &mut Flow) {
        *Counters::slot(&mut self.counters.error, flow.app.proto, flow.proto == 6) += 1;
        app.states_mut().for_each(State::finish);
        self.stop(app, flow);
    }

    fn hold(&mut self, app: &mut FlowApp, side: usize, data: &[u8]) -> bool {
        let held = &mut app.held[side]; // side is an index of two
        let all = self.held.used + data.len() as u64;
        if held.len() + data.len() > HOLD || all > self.held.cap {
            self.counters.held += 1;
            return false;
        }
        self.held.used = all;
        held.extend_from_slice(data);
        true
    }

    fn let_go(&mut self, app: &mut FlowApp, side: usize) {
        let held = mem::take(&mut app.held[side]);
        self.held.used = self.held.used.saturating_sub(held.len() as u64);
    }

    /// Gives the parser what was held and what came, and keeps what it leaves.
    #[expect(clippy::too_many_arguments, reason = "one piece of data in its flow")]
    fn parse(
        &mut self,
        app: &mut FlowApp,
        f: &mut FlowRef<'_>,
        direction: Direction,
        data: &[u8],
        eof: bool,
        time: Timestamp,
        events: &mut LayerEvents,
    ) {
        let side = direction.index();
        app.ended[side] |= eof;
        let Some(mut state) = app.state.take() else { return };
        let before = state.total();
        if let State::Http2(h) = &mut state
            && !app.upgraded.is_empty()
        {
            h.upgraded(&mem::take(&mut app.upgraded), &mut cx(&self.cfg, &mut self.memory, f.flow, time));
        }
        let mut joined = Vec::new();
        let mut left: &[u8] = data;
        if !app.held[side].is_empty() {
            if !self.hold(app, side, data) {
                app.state = Some(state);
                self.give_up(app, f.flow);
                return;
            }
            if app.held[side].len() < app.needed[side] && !eof {
                app.state = Some(state);
                return;
            }
            joined = mem::take(&mut app.held[side]);
            self.held.used = self.held.used.saturating_sub(joined.len() as u64);
            left = &joined;
        }
        app.needed[side] = 0;
        let (mut change, mut encrypted) = (None, false);
        let mut failed = true;
        for _ in 0..MAX_STEPS {
            let mut cx = cx(&self.cfg, &mut self.memory, f.flow, time);
            let step = state.data(Input { direction, data: left, eof, datagram: false }, &mut cx);
            (change, encrypted) = (cx.change, encrypted | cx.encrypted);
            let (consumed, needed) = match step {
                Step::Ok(n) => (n, 0),
                Step::More { consumed, needed } => (consumed, needed),
                Step::Error => break,
            };
            left = left.get(consumed..).unwrap_or_default();
            failed = false;
            if change.is_some() || left.is_empty() || needed > 0 {
                app.needed[side] = needed;
                break;
            }
            if consumed == 0 {
                failed = true; // neither done, nor waiting
                break;
            }
        }
        for a in state.announced() {
            self.expected.add(f.flow, a, time);
        }
        *Counters::slot(&mut self.counters.tx, f.flow.app.proto, true) += state.total() - before;
        let kept = failed || self.hold(app, side, left);
        drop(joined);
        self.renamed(f.flow, &state);
        app.state = Some(state);
        if failed || !kept {
            self.give_up(app, f.flow);
        } else if let Some(change) = change {
            self.changed(app, f, change, events);
        } else if encrypted && !f.flow.app.sealed && self.sealed(app, f.flow) {
            // Nothing is held any more.
        } else if eof && !app.held[side].is_empty() {
            self.let_go(app, side); // the parser was told that nothing follows and waits all the same
        }
    }

    /// The session is encrypted from here on. Whether it is parsed no more.
    fn sealed(&mut self, app: &mut FlowApp, flow: &mut Flow) -> bool {
        let handling = self.cfg.of(flow.app.proto).encrypted;
        flow.app.sealed = handling != Encrypted::Full;
        let over = handling == Encrypted::Bypass;
        if over {
            app.states_mut().for_each(State::finish);
            self.stop(app, flow);
        }
        over
    }

    /// A parser may find that what it reads has a name of its own (DNS in HTTP/2): flow and memory go over to that.
    fn renamed(&mut self, flow: &mut Flow, state: &State) {
        let (was, now) = (flow.app.proto, state.proto());
        if was == now {
            return;
        }
        let charged = state.charged();
        self.release(was, charged);
        self.memory[now as usize].used += charged; // a place for each variant
        for side in 0..2 {
            if flow.app.sides[side] == was {
                flow.app.decide(side, now, true);
            }
        }
        flow.app.proto = now;
    }

    fn changed(&mut self, app: &mut FlowApp, f: &mut FlowRef<'_>, change: Change, events: &mut LayerEvents) {
        let Some(mut state) = app.state.take() else { return };
        app.upgraded = match &state {
            State::Http1(h) if change.expected == AppProto::Http2 => h.upgraded(),
            _ => Vec::new(),
        };
        state.finish();
        app.old.push(state);
        app.changes += 1;
        if app.changes >= MAX_CHANGES {
            self.stop(app, f.flow);
            return;
        }
        if f.flow.app.proto == AppProto::Http {
            // Line ends behind a head belong to nothing; they are not the first word of what follows.
            for held in &mut app.held {
                let ends = held.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                held.drain(..ends);
                self.held.used = self.held.used.saturating_sub(ends as u64);
            }
        }
        let a = &mut f.flow.app;
        a.original = a.proto;
        a.expected = change.expected;
        a.proto = AppProto::Unknown;
        a.sides = [AppProto::Unknown; 2];
        app.first = None;
        app.needed = [0; 2];
        if change.expected == AppProto::Websocket {
            // Its frames begin with nothing of their own: both sides have agreed, and that is the sign.
            for side in 0..2 {
                f.flow.app.decide(side, AppProto::Websocket, true);
            }
            match self.begin(f.flow, true) {
                Some(state) => app.state = Some(state),
                None => self.stop(app, f.flow),
            }
            return;
        }
        for d in [Direction::ToServer, Direction::ToClient] {
            if !app.held[d.index()].is_empty() && f.flow.app.sides[d.index()] == AppProto::Unknown {
                app.first.get_or_insert(d);
                let eof = app.ended[d.index()];
                self.detect(app, f, d, &[], eof, events);
            }
        }
    }
}

fn note(flow: &mut Flow, app: &FlowApp) {
    let total = flow.app.tx_past + app.states().map(State::total).sum::<u64>();
    flow.app.tx_count = (total > 0).then_some(total);
}

fn cx<'a>(cfg: &'a Config, memory: &'a mut [Memory], flow: &Flow, time: Timestamp) -> Cx<'a> {
    Cx {
        time,
        ports: (flow.client_port, flow.server_port),
        config: cfg,
        memory: &mut memory[flow.app.proto as usize], // a place for each variant
        change: None,
        encrypted: false,
    }
}
