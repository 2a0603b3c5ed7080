// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What happens where a flow ends: the parser hears that nothing follows, rules look at what became complete by that, it
//! is written, and then the flow's own record.
//!
//! Must never depend on when the end was noticed: only on the flow, and on the packet that stands for the moment.

use lagewarte_app::{Apps, LayerEvents, Moment};
use lagewarte_decode::Packet;
use lagewarte_detect::{Candidate, Engine, Scratch};
use lagewarte_event::eve::Record;
use lagewarte_flow::{Direction, Ended, Flow, FlowRef, Reason};

/// What an ending flow makes, in its order.
#[derive(Debug)]
pub(super) enum Made {
    Record(Record),
    Candidate(Candidate),
}

/// The worker's parts that an ending flow needs.
pub(super) struct Ending<'w> {
    pub(super) apps: &'w mut Apps,
    pub(super) engine: Option<&'w Engine>,
    pub(super) scratch: &'w mut Scratch,
    /// Whose, and what.
    pub(super) out: &'w mut Vec<(lagewarte_base::time::Timestamp, i64, Made)>,
}

impl Ended for Ending<'_> {
    fn ending(&mut self, flow: &mut Flow, _why: Reason, index: u64) {
        let time = flow.last;
        // What nobody acknowledged is handed on now.
        super::worker::stream(self.apps, &mut FlowRef::at_end(flow, Direction::ToServer), time);
        let mut candidates = Vec::new();
        let config = self.apps.config_handle();
        if let Some(engine) = self.engine.filter(|_| flow.stream.is_some()) {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let ends = [(flow.client, flow.client_port), (flow.server, flow.server_port)];
                let (from, to) = (ends[direction.index()], ends[direction.reverse().index()]); // indices of two
                let p = Packet::at_end(index, time, from, to, flow.proto);
                let f = &mut FlowRef::at_end(flow, direction);
                let before = candidates.len();
                engine.inspect(&p, Some(f), LayerEvents::default(), self.scratch, &mut candidates);
                if let Some(app) = self.apps.get(f.flow) {
                    engine.name_transactions(f, app, &config, candidates.get_mut(before..).unwrap_or_default());
                }
            }
        }
        if flow.app.slot == 0 {
            self.out.extend(candidates.into_iter().map(|c| (time, flow.id, Made::Candidate(c))));
            return;
        }
        self.apps.finish(flow);
        let engine = self.engine.filter(|e| e.transactional());
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (Some(engine), Some(app)) = (engine, self.apps.get_mut(flow)) else { break };
            let ends = [(flow.client, flow.client_port), (flow.server, flow.server_port)];
            let (from, to) = (ends[direction.index()], ends[direction.reverse().index()]); // indices of two
            let p = Packet::at_end(index, time, from, to, flow.proto);
            let mut f = FlowRef::at_end(flow, direction);
            engine.inspect_transactions(&p, &mut f, app, &config, self.scratch, &mut candidates);
            engine.inspect_frames(&p, &mut f, app, &config, self.scratch, &mut candidates);
        }
        let mut records = Vec::new();
        let direction = Direction::ToServer;
        let (from, to) = ((flow.client, flow.client_port), (flow.server, flow.server_port));
        let packet = &Packet::at_end(index, time, from, to, flow.proto);
        let moment = Moment { packet, direction };
        self.apps.write(flow, &moment, engine.is_some(), &mut records);
        if let Some(e) = self.engine {
            records.iter_mut().for_each(|r| e.annotate(r, flow));
        }
        self.apps.forget(flow);
        let id = flow.id;
        self.out.extend(candidates.into_iter().map(|c| (time, id, Made::Candidate(c))));
        self.out.extend(records.into_iter().map(|r| (time, id, Made::Record(r))));
    }

    fn record(&mut self, mut record: Record, flow: &Flow) {
        if let Some(e) = self.engine {
            e.annotate(&mut record, flow);
        }
        self.out.push((flow.last, flow.id, Made::Record(record)));
    }
}
