// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Finds what a flow speaks, in the first bytes of each of its directions.
//!
//! Must never decide by the port alone, and never hold bytes of a direction that nothing could tell any more.

use lagewarte_base::time::Timestamp;
use lagewarte_flow::{AppProto, Direction, Flow, FlowRef};

use super::{Apps, Counters, DETECT, FlowApp, TELLING};
use crate::{
    config::Mode,
    layer::{LayerEvent, LayerEvents},
    probe::{Answer, Probe},
    state::State,
};

impl Apps {
    pub(super) fn probe(&self, flow: &Flow, direction: Direction, tcp: bool, data: &[u8]) -> Answer {
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

    /// What a direction speaks of a flow that is not parsed: its first piece of data tells, or it failed.
    pub(super) fn glance(&self, flow: &mut Flow, direction: Direction, data: &[u8], events: &mut LayerEvents) {
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

    /// Whether another flow announced this one: then it is what was announced, whatever it begins with.
    pub(super) fn announced(&mut self, app: &mut FlowApp, f: &mut FlowRef<'_>, time: Timestamp) -> bool {
        if f.flow.app.sides != [AppProto::Unknown; 2] || app.held.iter().any(|h| !h.is_empty()) {
            return false;
        }
        let Some((transfer, parent)) = self.expected.take(f.flow, time) else { return false };
        f.flow.parent = parent;
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
    pub(super) fn detect(
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
            self.unknown(app, f.flow, true, events);
            return;
        }
        app.heard[side] += data.len();
        if app.early[side] {
            self.not_told(app, f.flow, side, events); // its parser has its beginning
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
                app.at.swap(0, 1);
                app.needed.swap(0, 1);
                app.ended.swap(0, 1);
                app.heard.swap(0, 1);
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
                    Some(state) => {
                        app.state = Some(state);
                        self.other_side(app, f.flow, 1 - side);
                    }
                    None => self.stop(app, f.flow),
                }
            }
            Answer::Perhaps if !long => {}
            Answer::No | Answer::Perhaps => self.not_told(app, f.flow, side, events),
        }
    }

    // The few bytes that a side said before the other told what both speak: they are looked at again in its light, and are
    // its parser's in any case where no more of them could tell.
    fn other_side(&self, app: &mut FlowApp, flow: &mut Flow, side: usize) {
        if flow.app.sides[side] != AppProto::Unknown || app.held[side].is_empty() {
            return; // arrays of two
        }
        match self.probe(flow, Direction::of_side(side), true, &app.held[side]) {
            Answer::Is(proto) if proto == flow.app.proto => flow.app.decide(side, proto, true),
            Answer::Perhaps => {}
            _ => app.early[side] = true,
        }
    }

    // What a side says is nothing we know. Of a few bytes that is not said yet; where the other side is parsed they belong
    // to that all the same.
    fn not_told(&mut self, app: &mut FlowApp, flow: &mut Flow, side: usize, events: &mut LayerEvents) {
        let other = flow.app.sides[1 - side]; // arrays of two
        if app.heard[side] < TELLING[side] {
            app.early[side] = other.known();
            return;
        }
        flow.app.decide(side, AppProto::Failed, true);
        match other {
            AppProto::Unknown => {}
            AppProto::Failed => self.unknown(app, flow, false, events),
            _ => events.set(LayerEvent::DetectProtocolOnlyOneDirection),
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

    // Neither side tells; `silent`: one of them was not waited for any longer.
    pub(super) fn unknown(&mut self, app: &mut FlowApp, flow: &mut Flow, silent: bool, events: &mut LayerEvents) {
        for side in 0..2 {
            if flow.app.sides[side] == AppProto::Unknown {
                flow.app.decide(side, AppProto::Failed, true);
            }
        }
        if silent {
            events.set(LayerEvent::ProtoDetectionSkipped);
        }
        self.expected(flow, events);
        self.stop(app, flow);
    }
}
