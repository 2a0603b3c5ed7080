// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What one worker does with a packet: decode, flow, application protocol, rules, anomalies.
//!
//! Must never share anything with another worker but the rule set, which does not change.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Packet, Transport};
use lagewarte_detect::{Candidate, Engine, Scratch};
use lagewarte_event::eve::Record;
use lagewarte_flow::{FlowRef, FlowTable, Outcome};

use super::{
    Options, Totals,
    anomaly::Writer,
    batch::{Batch, Deep},
    deal::MAX_DEPTH,
    merge::{Item, Output},
};

/// One worker and the flows it owns.
pub(super) struct Worker {
    decoder: Decoder,
    table: FlowTable,
    engine: Option<Arc<ArcSwap<Engine>>>,
    scratch: Scratch,
    anomalies: Writer,
    counters: lagewarte_decode::Counters,
    flow_dropped: u64,
    ended: Vec<Record>,
    candidates: Vec<Candidate>,
    anomaly_records: Vec<Record>,
}

impl Worker {
    /// One of `workers`, with its share of the flow table's memory.
    pub(super) fn new(options: &Options, workers: usize) -> Self {
        let flow = Arc::new(options.flow.clone());
        Self {
            decoder: options.decoder,
            anomalies: Writer::new(options.anomalies, options.pcap_cnt, &flow),
            table: FlowTable::new(flow, workers),
            engine: options.engine.clone(),
            scratch: Scratch::default(),
            counters: lagewarte_decode::Counters::default(),
            flow_dropped: 0,
            ended: Vec::new(),
            candidates: Vec::new(),
            anomaly_records: Vec::new(),
        }
    }

    /// Works through a batch, then looks for flows that are over.
    pub(super) fn process(&mut self, batch: &Batch) -> Output {
        let mut out = Output { sequence: batch.sequence, ..Output::default() };
        let engine = self.engine.as_ref().map(|e| e.load());
        for (raw, observed, deep) in batch.iter() {
            let mut p = match deep.and_then(|d| d.origin) {
                Some(origin) => self.decoder.rebuilt(raw, origin),
                None => self.decoder.decode(raw),
            };
            let engine = engine.as_ref().map(|e| &***e);
            match deep {
                None => self.one(&p, observed, u8::MAX, engine, &mut out),
                Some(deep) => self.nested(&mut p, observed, deep, 0, engine, &mut out),
            }
        }
        if let Some(now) = batch.now {
            if batch.end {
                self.table.finish(now, batch.index, &mut self.ended);
            } else {
                self.table.sweep(now, batch.index, &mut self.ended);
            }
            out.swept.extend(self.ended.drain(..).map(|mut r| {
                r.observed = now;
                r
            }));
        }
        if batch.end || batch.count {
            out.counts = Some(Box::new(self.counts()));
            out.report.clone_from(&batch.report);
        }
        out
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
        self.packet(p, engine);
        let at = (p.index, rank);
        // A flow that a packet ended comes before what the packet itself did.
        out.items.extend(self.ended.drain(..).map(|r| Item::record(at, r, observed)));
        out.items.extend(self.anomaly_records.drain(..).map(|r| Item::record(at, r, observed)));
        out.items.extend(self.candidates.drain(..).map(|c| Item::candidate(at, c, observed)));
    }

    fn packet(&mut self, p: &Packet<'_>, engine: Option<&Engine>) {
        self.counters.count(p);
        let mut flow = match self.table.packet(p, &mut self.ended) {
            Outcome::Flow(f) => Some(f),
            Outcome::NoFlow | Outcome::Full => None,
            Outcome::Drop => {
                self.flow_dropped += 1;
                return;
            }
        };
        let mismatch = flow.as_mut().is_some_and(|f| app(f, p));
        if let Some(engine) = engine {
            engine.inspect(p, flow.as_mut(), &mut self.scratch, &mut self.candidates);
        }
        if let Some(f) = &mut flow {
            while f.next_chunk().is_some() {} // nobody reads streams yet
            f.release();
        }
        self.anomalies.write(p, flow, mismatch, &mut self.anomaly_records);
    }

    fn counts(&self) -> Totals {
        Totals {
            decoder: self.counters.clone(),
            flow: self.table.counters(),
            detect: self.scratch.counters,
            flow_dropped: self.flow_dropped,
            ..Totals::default()
        }
    }
}

/// Looks for the flow's protocol; true where its two sides turn out to speak different ones.
fn app(f: &mut FlowRef<'_>, p: &Packet<'_>) -> bool {
    let carries = match p.transport {
        Transport::Tcp(_) => f.accepted,
        Transport::Udp(_) => true,
        _ => false, // an ICMP error carries no payload of the flow it quotes
    };
    if !carries || p.payload.is_empty() {
        return false;
    }
    let clash = |f: &FlowRef<'_>| {
        let [a, b] = f.flow.app.sides;
        a.known() && b.known() && a != b
    };
    let before = clash(f);
    lagewarte_app::inspect(f, p.payload);
    !before && clash(f)
}
