// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Feeds a flow's parser: what is held until it can go on, what it leaves, and the change to another protocol.
//!
//! Must never hold more than [`HOLD`] bytes of a direction, and never go on with a parser that gave up.

use std::mem;

use lagewarte_base::time::Timestamp;
use lagewarte_flow::{AppProto, Direction, Flow, FlowRef};

use super::{Apps, Counters, FlowApp, HOLD, MAX_CHANGES, MAX_STEPS, SILENCE, cx};
use crate::{
    config::{Encrypted, Mode},
    frames::Piece,
    layer::LayerEvents,
    protocol::{Change, Input, Step},
    state::State,
};

impl Apps {
    pub(super) fn begin(&mut self, flow: &Flow, tcp: bool) -> Option<State> {
        let proto = flow.app.proto;
        *Counters::slot(&mut self.counters.flow, proto, tcp) += 1;
        let mut state = (self.cfg.mode(proto, tcp) == Mode::On).then(|| State::new(proto, !tcp)).flatten();
        if let Some(State::Tls(tls)) = &mut state {
            tls.from = flow.app.original;
        }
        state
    }

    pub(super) fn fed(
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
        // DNS in HTTP/2 is told by a request; a server that has said nothing until then is not asked any more.
        let told = app.state.as_ref().is_some_and(|s| s.proto() == AppProto::Doh2);
        if undecided && app.state.is_none() && self.announced(&mut app, f, time) {
            self.parse(&mut app, f, direction, data, eof, time, &mut events);
        } else if undecided && !told {
            self.detect(&mut app, f, direction, data, eof, &mut events);
        } else if app.state.is_none() {
            // Not recognised; the other side may tell yet what it is.
            let side = direction.index();
            app.ended[side] |= eof;
            let room = self.hold(&mut app, side, data);
            if !room || (app.held[side].len() > SILENCE && f.flow.app.sides[1 - side] == AppProto::Unknown) {
                self.unknown(&mut app, f.flow, true, &mut events);
            }
        } else {
            self.parse(&mut app, f, direction, data, eof, time, &mut events);
        }
        self.drain(&mut app, f, time, &mut events);
        let empty = app.state.is_none() && app.old.is_empty() && app.held.iter().all(Vec::is_empty);
        self.put_changed(f.flow, app);
        if empty && f.flow.app.over {
            self.forget(f.flow);
        }
        events
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
                let told = app.early[d.index()] || f.flow.app.sides[d.index()] != AppProto::Unknown;
                !held.is_empty() && !waits && told
            };
            let next = [first, first.reverse()].into_iter().find(|d| ready(app, f, *d));
            let Some(d) = next else { return };
            let eof = app.ended[d.index()];
            self.parse(app, f, d, &[], eof, time, events);
        }
    }

    // Nothing of this flow is parsed (any more).
    pub(super) fn stop(&mut self, app: &mut FlowApp, flow: &mut Flow) {
        flow.app.over = true;
        for d in [Direction::ToServer, Direction::ToClient] {
            app.end_frames(d, false);
            self.let_go(app, d.index());
        }
    }

    pub(super) fn give_up(&mut self, app: &mut FlowApp, flow: &mut Flow) {
        *Counters::slot(&mut self.counters.error, flow.app.proto, flow.proto == 6) += 1;
        app.states_mut().for_each(State::finish);
        self.stop(app, flow);
    }

    pub(super) fn hold(&mut self, app: &mut FlowApp, side: usize, data: &[u8]) -> bool {
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

    pub(super) fn let_go(&mut self, app: &mut FlowApp, side: usize) {
        let held = mem::take(&mut app.held[side]);
        self.held.used = self.held.used.saturating_sub(held.len() as u64);
    }

    /// Gives the parser what was held and what came, and keeps what it leaves.
    #[expect(clippy::too_many_arguments, reason = "one piece of data in its flow")]
    pub(super) fn parse(
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
            h.upgraded(&mem::take(&mut app.upgraded), &mut cx(&self.cfg, self.frames, &mut self.memory, f.flow, time));
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
            let mut cx = cx(&self.cfg, self.frames, &mut self.memory, f.flow, time);
            let step = state.data(Input { direction, data: left, eof, datagram: false }, &mut cx);
            (change, encrypted) = (cx.change, encrypted | cx.encrypted);
            let sink = cx.frames;
            let consumed = match step {
                Step::Ok(consumed) | Step::More { consumed, .. } => consumed.min(left.len()),
                Step::Error => left.len(),
            };
            let piece = Piece { direction, at: app.at[side], data: left, consumed, datagram: false };
            self.counters.frames += app.mark(sink, &piece, &mut self.memory);
            app.at[side] += consumed as u64;
            let needed = match step {
                Step::Ok(_) => 0,
                Step::More { needed, .. } => needed,
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
        if eof {
            app.end_frames(direction, true);
        }
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
        app.end_frames(Direction::ToServer, false);
        app.end_frames(Direction::ToClient, false);
        app.old.push(state);
        app.changes += 1;
        if app.changes >= MAX_CHANGES {
            self.stop(app, f.flow);
            return;
        }
        if f.flow.app.proto == AppProto::Http {
            // Line ends behind a head belong to nothing; they are not the first word of what follows.
            for (held, at) in app.held.iter_mut().zip(&mut app.at) {
                let ends = held.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                held.drain(..ends);
                *at += ends as u64;
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
        app.heard = [0; 2];
        app.early = [false; 2];
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
