// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What one worker does with a packet: decode, flow, application protocol, rules, anomalies.
//!
//! Must never share anything with another worker but the rule set, which does not change.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lagewarte_decode::{Decoder, Packet, RawFrame, Transport};
use lagewarte_detect::{Candidate, Engine, Scratch};
use lagewarte_event::eve::Record;
use lagewarte_flow::{FlowRef, FlowTable, Outcome};

use super::{
    Options, Totals,
    anomaly::Writer,
    batch::Batch,
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
        for (raw, observed) in batch.iter() {
            self.packet(raw, engine.as_ref().map(|e| &***e));
            let index = raw.index;
            // A flow that a packet ended comes before what the packet itself did.
            out.items.extend(self.ended.drain(..).map(|r| Item::record(index, r, observed)));
            out.items.extend(self.anomaly_records.drain(..).map(|r| Item::record(index, r, observed)));
            out.items.extend(self.candidates.drain(..).map(|c| Item::candidate(index, c, observed)));
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

    fn packet(&mut self, raw: RawFrame<'_>, engine: Option<&Engine>) {
        let p = self.decoder.decode(raw);
        self.counters.count(&p);
        let mut flow = match self.table.packet(&p, &mut self.ended) {
            Outcome::Flow(f) => Some(f),
            Outcome::NoFlow | Outcome::Full => None,
            Outcome::Drop => {
                self.flow_dropped += 1;
                return;
            }
        };
        let mismatch = flow.as_mut().is_some_and(|f| app(f, &p));
        if let Some(engine) = engine {
            engine.inspect(&p, flow.as_mut(), &mut self.scratch, &mut self.candidates);
        }
        if let Some(f) = &mut flow {
            while f.next_chunk().is_some() {} // nobody reads streams yet
            f.release();
        }
        self.anomalies.write(&p, flow, mismatch, &mut self.anomaly_records);
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
