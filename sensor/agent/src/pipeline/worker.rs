// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What one worker does with a packet: decode, flow, application protocol, rules, what is written.
//!
//! Must never share anything with another worker but the rule set, which does not change.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lagewarte_app::{Apps, LayerEvents, Moment, State};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Packet, RawFrame, Transport};
use lagewarte_detect::{Candidate, Engine, Scratch, Turn};
use lagewarte_event::eve::Record;
use lagewarte_flow::{ChunkKind, Direction, FlowRef, FlowTable, Outcome};

use super::{
    Options, Totals,
    anomaly::Writer,
    batch::{Batch, Boundary, Deep},
    deal::MAX_DEPTH,
    ending::{Ending, Made},
    merge::{Item, Output, Swept},
};

/// One worker and the flows it owns.
pub(super) struct Worker {
    decoder: Decoder,
    table: FlowTable,
    apps: Apps,
    app_config: Arc<lagewarte_app::Config>,
    engine: Option<Arc<ArcSwap<Engine>>>,
    /// The rules of this batch.
    rules: Option<Arc<Engine>>,
    scratch: Scratch,
    anomalies: Writer,
    counters: lagewarte_decode::Counters,
    flow_dropped: u64,
    /// What flows that ended made, by their last packet and id.
    ended: Vec<(Timestamp, i64, Made)>,
    /// Whether ARP is written.
    arp: bool,
    candidates: Vec<Candidate>,
    anomaly_records: Vec<Record>,
    /// What was written of transactions.
    written: Vec<Record>,
    /// The packet itself, where a rule's tag asks for it.
    tagged: Option<Record>,
}

impl Worker {
    /// One of `workers`, with its share of the flow table's memory and its place among the others.
    pub(super) fn new(options: &Options, workers: usize, turn: Option<Turn>) -> Self {
        let mut flow = options.flow.clone();
        flow.stream.raw &= options.engine.is_some(); // without rules nobody looks
        let flow = Arc::new(flow);
        Self {
            decoder: options.decoder,
            anomalies: Writer::new(options.anomalies, options.pcap_cnt, &flow),
            table: FlowTable::new(flow, workers),
            apps: Apps::new(Arc::clone(&options.app), workers),
            app_config: Arc::clone(&options.app),
            engine: options.engine.clone(),
            rules: None,
            scratch: Scratch::in_turn(turn),
            counters: lagewarte_decode::Counters::default(),
            flow_dropped: 0,
            arp: options.app.types.as_ref().is_some_and(|t| t.iter().any(|n| n == "arp")),
            ended: Vec::new(),
            candidates: Vec::new(),
            anomaly_records: Vec::new(),
            written: Vec::new(),
            tagged: None,
        }
    }

    /// Works through a batch.
    pub(super) fn process(&mut self, batch: &Batch) -> Output {
        let mut out = Output::default();
        self.begin();
        for (raw, observed, deep) in batch.iter() {
            self.frame(raw, observed, deep, &mut out);
        }
        self.end(&batch.boundary, &mut out);
        out
    }

    /// Before the first frame of a batch: the rules by which all of it is looked at.
    pub(super) fn begin(&mut self) {
        self.rules = self.engine.as_ref().map(|e| e.load_full());
        let engine = self.rules.as_deref();
        self.apps.ask(engine.map(Engine::asked).unwrap_or_default());
        self.apps.ask_frames(engine.map(Engine::frames).unwrap_or_default());
        self.app_config = self.apps.config_handle(); // alerts show what was asked for
    }

    /// A frame, and what it made. `deep` is what is to be known of one that is not one plain packet.
    pub(super) fn frame(&mut self, raw: RawFrame<'_>, observed: Timestamp, deep: Option<&Deep>, out: &mut Output) {
        let rules = self.rules.take(); // put aside while the worker changes
        let engine = rules.as_deref();
        let mut p = match deep.and_then(|d| d.origin) {
            Some(origin) => self.decoder.rebuilt(raw, origin),
            None => self.decoder.decode(raw),
        };
        match deep {
            None => self.one(&p, observed, u8::MAX, engine, out),
            Some(deep) => self.nested(&mut p, observed, deep, 0, engine, out),
        }
        self.rules = rules;
    }

    /// After the last frame of a batch: looks for flows that are over.
    pub(super) fn end(&mut self, boundary: &Boundary, out: &mut Output) {
        out.sequence = boundary.sequence;
        let rules = self.rules.take();
        if let Some(now) = boundary.now {
            if let Some(t) = &self.scratch.turn {
                t.sweep(boundary.index);
            }
            let Self { apps, scratch, ended, .. } = self;
            let mut ending = Ending { apps, engine: rules.as_deref(), scratch, out: ended };
            if boundary.end {
                self.table.finish(now, boundary.index, &mut ending);
            } else {
                self.table.sweep(now, boundary.index, &mut ending);
            }
            let at = (boundary.index, u8::MAX);
            out.swept.extend(self.ended.drain(..).map(|(last, flow, made)| Swept {
                last,
                flow,
                item: item(at, made, now),
            }));
        }
        if let Some(t) = &self.scratch.turn {
            t.end(boundary.index);
        }
        if boundary.end || boundary.count {
            out.counts = Some(Box::new(self.counts()));
            out.report.clone_from(&boundary.report);
        }
    }

    /// The packets of a frame that are this worker's, the innermost first: a rule that passes or drops what a tunnel
    /// carries has spoken before the tunnel is looked at. Calls itself as deep as the dispatcher went.
    fn nested(
        &mut self,
        p: &mut Packet<'_>,
        observed: Timestamp,
        deep: &Deep,
        at: usize,
        engine: Option<&Engine>,
        out: &mut Output,
    ) {
        match self.decoder.inner(p).filter(|_| at + 1 < MAX_DEPTH) {
            Some(mut inner) => self.nested(&mut inner, observed, deep, at + 1, engine, out),
            None => p.events.add(deep.events),
        }
        if deep.mask >> at & 1 == 1 {
            let around = deep.first.saturating_add(at as u8); // at < MAX_DEPTH
            self.one(p, observed, u8::MAX - around, engine, out);
        }
    }

    /// One packet, and what it made.
    fn one(&mut self, p: &Packet<'_>, observed: Timestamp, rank: u8, engine: Option<&Engine>, out: &mut Output) {
        if let Some(t) = &self.scratch.turn {
            t.begin(p.index, rank);
        }
        self.packet(p, engine);
        let at = (p.index, rank);
        // A flow that a packet ended comes before what the packet itself did.
        out.items.extend(self.ended.drain(..).map(|(_, _, made)| item(at, made, observed)));
        out.items.extend(self.anomaly_records.drain(..).map(|r| Item::record(at, r, observed)));
        out.items.extend(self.candidates.drain(..).map(|c| Item::candidate(at, c, observed)));
        out.items.extend(self.tagged.take().map(|r| Item::record(at, r, observed)));
        out.items.extend(self.written.drain(..).map(|r| Item::record(at, r, observed)));
    }

    fn packet(&mut self, p: &Packet<'_>, engine: Option<&Engine>) {
        self.counters.count(p);
        let Self { apps, scratch, ended, .. } = self;
        let mut ending = Ending { apps, engine, scratch, out: ended };
        let mut flow = match self.table.packet(p, &mut ending) {
            Outcome::Flow(f) => Some(f),
            Outcome::NoFlow | Outcome::Full => None,
            Outcome::Drop => {
                self.flow_dropped += 1;
                return;
            }
        };
        let layer = match &mut flow {
            Some(f) if !f.flow.bypassed() => feed(&mut self.apps, f, p),
            _ => LayerEvents::default(),
        };
        if let Some(engine) = engine {
            self.tagged = engine.tagged(p, flow.as_mut(), &mut self.scratch);
            engine.inspect(p, flow.as_mut(), layer, &mut self.scratch, &mut self.candidates);
            if let Some((f, app)) = flow.as_ref().and_then(|f| Some((f, self.apps.get(f.flow)?))) {
                engine.name_transactions(f, app, &self.app_config, &mut self.candidates);
            }
        }
        let rules = engine;
        if let Some(f) = flow.as_mut() {
            if f.flow.app.slot != 0 {
                let engine = engine.filter(|e| e.transactional());
                if let (Some(engine), Some(app)) = (engine, self.apps.get_mut(f.flow)) {
                    let config = &self.app_config;
                    engine.inspect_transactions(p, f, app, config, &mut self.scratch, &mut self.candidates);
                    engine.inspect_frames(p, f, app, config, &mut self.scratch, &mut self.candidates);
                    self.candidates.sort_by_key(Candidate::order); // they are this packet's
                }
                let moment = Moment { packet: p, direction: f.direction };
                self.apps.write(f.flow, &moment, engine.is_some(), &mut self.written);
                if let Some(e) = rules {
                    self.written.iter_mut().for_each(|r| e.annotate(r, f.flow)); // they are this packet's
                }
            }
            f.release();
        }
        if p.arp.is_some() && self.arp {
            let (iface, cnt) = (self.app_config.in_iface.as_deref(), self.app_config.pcap_cnt);
            super::arp::write(p, iface, cnt, &mut self.written);
        }
        self.anomalies.write(p, flow, layer, &mut self.anomaly_records);
    }

    fn counts(&self) -> Totals {
        Totals {
            decoder: self.counters.clone(),
            flow: self.table.counters(),
            app: self.apps.counters(),
            tcp: self.table.stream_memory().counters(),
            detect: self.scratch.counters,
            flow_dropped: self.flow_dropped,
            ..Totals::default()
        }
    }
}

fn item(at: (u64, u8), made: Made, observed: Timestamp) -> Item {
    match made {
        Made::Record(r) => Item::record(at, r, observed),
        Made::Candidate(c) => Item::candidate(at, c, observed),
    }
}

/// Gives the application layer what the packet brought it.
fn feed(apps: &mut Apps, f: &mut FlowRef<'_>, p: &Packet<'_>) -> LayerEvents {
    match p.transport {
        Transport::Tcp(_) => stream(apps, f, p.time),
        Transport::Udp(_) => apps.udp(f, p.payload, p.time),
        _ => LayerEvents::default(), // an ICMP error carries no payload of the flow it quotes
    }
}

/// Gives the application layer what became known of the flow's stream.
pub(super) fn stream(apps: &mut Apps, f: &mut FlowRef<'_>, time: Timestamp) -> LayerEvents {
    let mut events = LayerEvents::default();
    let mut heard = [false; 2];
    let answers =
        |apps: &Apps, f: &FlowRef<'_>| apps.get(f.flow).and_then(|a| a.state.as_ref()).is_some_and(State::answers);
    f.chunks(|f, chunk| {
        let direction = chunk.direction;
        let before = answers(apps, f); // what is said may end the protocol
        events.join(match chunk.kind {
            ChunkKind::Data => apps.tcp(f, direction, chunk.data, time),
            ChunkKind::Gap(len) => apps.tcp_gap(f, direction, len, time),
            ChunkKind::Depth => apps.tcp_depth(f, direction, time),
            ChunkKind::End => apps.tcp_end(f, direction, time),
        });
        heard[direction.index()] |= before || answers(apps, f); // an index of two
    });
    if f.flow.app.proto.known()
        && !f.flow.app.depth_set
        && let Some(depth) = apps.config().stream_depth(f.flow.app.proto)
        && let Some(s) = &mut f.flow.stream
    {
        f.flow.app.depth_set = true;
        for d in [Direction::ToServer, Direction::ToClient] {
            s.set_depth(d, depth);
        }
    }
    // One side of a protocol of questions and answers speaks: the other has said what it had to say, and rules look at it
    // without waiting for a whole chunk.
    if let Some(s) = &mut f.flow.stream {
        for d in [Direction::ToServer, Direction::ToClient].into_iter().filter(|d| heard[d.index()]) {
            s.trigger_raw(d.reverse());
        }
    }
    events
}
