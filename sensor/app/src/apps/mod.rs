// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the flows of one worker speak: finds the protocol, feeds its parser, and holds the state until it is written.
//!
//! A flow knows only its place in here ([`lagewarte_flow::AppState::slot`]). Must never be shared between workers, and
//! never hold bytes of a flow that nobody will parse. Limits: [`HOLD`], [`MAX_CHANGES`], a memory cap for each protocol.

mod feed;
mod find;

use std::sync::Arc;

use lagewarte_base::time::Timestamp;
use lagewarte_flow::{AppProto, Direction, Flow, FlowRef};

use crate::{
    config::Config,
    expect::Expected,
    file::{Asked, store::Keep},
    frames::{Frames, Kinds, Piece, Sink},
    http2::hpack::Field,
    layer::LayerEvents,
    probe::Answer,
    protocol::{Cx, Input, Memory, Step},
    state::State,
};

/// Bytes of a direction after which its protocol is no longer looked for. Threat: a peer that sends its greeting byte by
/// byte.
pub const DETECT: usize = 256;
/// Bytes of each direction, the client's first, below which nothing is said of what a direction does not speak: Suricata
/// compares as many with what it knows (17 are `BASELINE-CONTROL ` of an HTTP client, 8 the first words of servers). Measured
/// on its version 7.0.10.
const TELLING: [usize; 2] = [17, 8];
/// Bytes of a direction that tells nothing after which the other one's silence is no longer waited for.
pub(crate) const SILENCE: usize = 100_000;
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
    /// Frames for rules that were not kept, or not whole, since there were too many, or too long ones.
    pub frames: u64,
    /// Bodies that were not decoded after many decompression bombs ([`crate::codec::MAX_BOMBS`]).
    pub undecoded: u64,
    /// Bytes charged at present.
    pub memuse: u64,
    /// Files that were stored.
    pub files_stored: u64,
    /// Files that were to be stored and could not be: gaps, no room, a disk that failed.
    pub files_not_stored: u64,
    /// Files of which the kind was not told, or not in full: it would have taken too much ([`crate::file::magic`]).
    pub magic_limited: u64,
    /// Files of which the kind was not told: the rules could not be followed.
    pub magic_failed: u64,
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
        self.frames += other.frames;
        self.memcap += other.memcap;
        self.undecoded += other.undecoded;
        self.memuse += other.memuse;
        self.files_stored += other.files_stored;
        self.files_not_stored += other.files_not_stored;
        self.magic_limited += other.magic_limited;
        self.magic_failed += other.magic_failed;
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
    /// Its frames that rules ask for and have not been looked at; None where there was none.
    pub frames: Option<Box<Frames>>,
    /// Offset, in its direction, of the first byte that no parser is done with.
    at: [u64; 2],
    held: [Vec<u8>; 2],
    needed: [usize; 2],
    /// Directions of which nothing follows.
    pub(crate) ended: [bool; 2],
    /// Bytes of each side that were looked at for its protocol.
    heard: [usize; 2],
    /// Sides whose beginning the other's parser got before it could be said that they do not speak the same.
    early: [bool; 2],
    /// Which side was heard first.
    first: Option<Direction>,
    changes: u8,
    /// Something of it changed since it was last written: there may be something to write, or to drop.
    pub news: bool,
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

    // Keeps the frames that a parser marked in a piece, and what the piece brings to those before. How many were lost.
    fn mark(&mut self, sink: Sink, piece: &Piece<'_>, memory: &mut [Memory]) -> u64 {
        if sink.is_empty() && self.frames.is_none() {
            return 0;
        }
        self.frames.get_or_insert_default().take(sink, piece, memory)
    }
    fn end_frames(&mut self, d: Direction, whole: bool) {
        if let Some(frames) = &mut self.frames {
            frames.end(d, whole);
        }
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
    /// What rules ask for.
    frames: Kinds,
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
            frames: Kinds::default(),
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
    /// From now on these frames are kept for rules.
    pub const fn ask_frames(&mut self, kinds: Kinds) {
        self.frames = kinds;
    }
    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let mut c = self.counters.clone();
        c.memuse = self.held.used + self.memory.iter().map(|m| m.used).sum::<u64>();
        c.memcap = self.memory.iter().map(|m| m.refused).sum();
        c.undecoded = self.memory.iter().map(|m| m.bombs.undecoded).sum();
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
        if let Some(app) = self.get_mut(f.flow) {
            app.news = true;
        }
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
        app.at[side] += app.held[side].len() as u64 + len;
        app.end_frames(direction, false);
        self.let_go(&mut app, side);
        app.needed[side] = 0;
        if f.flow.app.sides[side] == AppProto::Unknown {
            // A direction whose beginning is missing: its protocol is not looked for, the other's may tell.
            f.flow.app.decide(side, AppProto::Failed, true);
            if f.flow.app.sides == [AppProto::Failed; 2] {
                self.unknown(&mut app, f.flow, false, &mut events);
            }
        }
        if let Some(mut state) = app.state.take() {
            let mut cx = cx(&self.cfg, self.frames, &mut self.memory, f.flow, time);
            let step = state.gap(direction, len, &mut cx);
            app.state = Some(state);
            if step == Step::Error {
                self.give_up(&mut app, f.flow);
            }
        }
        self.put_changed(f.flow, app);
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
            let mut cx = cx(&self.cfg, self.frames, &mut self.memory, f.flow, time);
            let direction = f.direction;
            let step = state.data(Input { direction, data, eof: false, datagram: true }, &mut cx);
            let sink = cx.frames;
            let piece = Piece { direction, at: 0, data, consumed: data.len(), datagram: true };
            self.counters.frames += app.mark(sink, &piece, &mut self.memory);
            *Counters::slot(&mut self.counters.tx, proto, false) += state.total() - before;
            app.state = Some(state);
            if step == Step::Error {
                self.give_up(&mut app, f.flow);
            }
        }
        self.put_changed(f.flow, app);
        events
    }

    /// The flow ends: every transaction is finished. To be called after the last data, before the last look and writing.
    pub fn finish(&mut self, flow: &mut Flow) {
        flow.app.over = true;
        if let Some(app) = self.get_mut(flow) {
            app.states_mut().for_each(State::finish);
            app.end_frames(Direction::ToServer, false);
            app.end_frames(Direction::ToClient, false);
        }
    }

    /// Forgets a flow.
    pub fn forget(&mut self, flow: &mut Flow) {
        let Some(mut app) = self.take(flow) else { return };
        note(flow, &app);
        self.let_go(&mut app, 0);
        self.let_go(&mut app, 1);
        if let Some(frames) = &mut app.frames {
            frames.clean(true, &mut self.memory);
        }
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

    /// Puts it back without what nothing waits for; `inspecting`: whether detection looks at transactions at all,
    /// `files_wait`: whether there are files to be written with a later packet.
    pub(crate) fn clean(&mut self, flow: &mut Flow, mut app: Box<FlowApp>, inspecting: bool, files_wait: bool) {
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
        if let Some(frames) = &mut app.frames {
            frames.clean(self.frames.is_empty() || !inspecting, &mut self.memory);
        }
        let waits = app.frames.as_ref().is_some_and(|f| !f.is_empty());
        let idle = flow.app.over && !waits && app.states().all(State::is_empty);
        app.news = waits || files_wait;
        self.put(flow, app);
        if idle {
            self.forget(flow);
        }
    }

    // A flow's entry, out of the table while it is worked on.
    pub(crate) fn take(&mut self, flow: &Flow) -> Option<Box<FlowApp>> {
        self.slots.get_mut((flow.app.slot as usize).checked_sub(1)?)?.take()
    }

    pub(super) fn put_changed(&mut self, flow: &mut Flow, mut app: Box<FlowApp>) {
        app.news = true;
        self.put(flow, app);
    }

    fn put(&mut self, flow: &mut Flow, app: Box<FlowApp>) {
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
}

fn note(flow: &mut Flow, app: &FlowApp) {
    let total = flow.app.tx_past + app.states().map(State::total).sum::<u64>();
    flow.app.tx_count = (total > 0).then_some(total);
}

fn cx<'a>(cfg: &'a Config, asked: Kinds, memory: &'a mut [Memory], flow: &Flow, time: Timestamp) -> Cx<'a> {
    Cx {
        time,
        ports: (flow.client_port, flow.server_port),
        config: cfg,
        memory: &mut memory[flow.app.proto as usize], // a place for each variant
        change: None,
        encrypted: false,
        frames: Sink::new(asked),
    }
}
