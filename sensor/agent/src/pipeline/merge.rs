// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The ordered stage: the workers' output in the order of packets, alerts thinned as by a single worker.
//!
//! Must never hold more than one boundary's output of each worker beside what waits in the bounded queues.

use std::{collections::HashSet, sync::mpsc::Receiver};

use lagewarte_base::time::Timestamp;
use lagewarte_detect::{Candidate, Ordered};
use lagewarte_event::eve::Record;

use super::{Sink, Totals};

/// Most flows remembered for having alerted. Threat: alerts on more flows than the tables hold. A flow beyond it keeps
/// the `alerted` that its worker gave it, which does not know of rules with a threshold.
const MAX_ALERTED: usize = 1 << 16;

/// What a worker made of one batch.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) sequence: u64,
    /// In the order of packets.
    pub(super) items: Vec<Item>,
    /// What flows made that were found to be over at the boundary: each flow's things in their order.
    pub(super) swept: Vec<Swept>,
    pub(super) counts: Option<Box<Totals>>,
    pub(super) report: Option<Box<(Timestamp, Totals)>>,
}

/// One thing that a packet made.
#[derive(Debug)]
pub(super) struct Item {
    index: u64,
    /// Among the items of one frame: those of its innermost packet come first, as they do for a single worker.
    rank: u8,
    observed: Timestamp,
    what: What,
}

/// One thing that a flow made at its end; flows that end together are ordered by their last packet and their id.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) last: Timestamp,
    pub(super) flow: i64,
    pub(super) item: Item,
}

#[derive(Debug)]
enum What {
    Record(Record),
    Candidate(Candidate),
}

impl Item {
    pub(super) fn record((index, rank): (u64, u8), record: Record, observed: Timestamp) -> Self {
        Self { index, rank, observed, what: What::Record(record) }
    }
    pub(super) fn candidate((index, rank): (u64, u8), candidate: Candidate, observed: Timestamp) -> Self {
        Self { index, rank, observed, what: What::Candidate(candidate) }
    }
}

/// The ordered stage.
pub(super) struct Merge {
    ordered: Ordered,
    /// Whether IPv6 addresses are written short.
    compress_ipv6: bool,
    /// Flows with an alert, until their record comes: whether a threshold let an alert pass is known here only.
    alerted: HashSet<i64>,
    /// Output of each worker that lies beyond the boundary being merged.
    ahead: Vec<Option<Output>>,
    /// Latest counts of each worker.
    counts: Vec<Totals>,
}

impl Merge {
    /// For this many workers.
    pub(super) fn new(workers: usize, compress_ipv6: bool) -> Self {
        Self {
            compress_ipv6,
            ordered: Ordered::default(),
            alerted: HashSet::new(),
            ahead: (0..workers).map(|_| None).collect(),
            counts: vec![Totals::default(); workers],
        }
    }

    /// Merges until every worker has ended.
    pub(super) fn run(&mut self, outputs: &[Receiver<Output>], sink: &mut dyn Sink) -> anyhow::Result<()> {
        let mut sequence = 0;
        loop {
            sequence += 1;
            let mut round = Vec::with_capacity(outputs.len());
            let mut open = false;
            for (worker, output) in outputs.iter().enumerate() {
                let next = self.ahead[worker].take().or_else(|| output.recv().ok()); // one place for each worker
                match next {
                    // Its batch at this boundary was shed.
                    Some(later) if later.sequence > sequence => {
                        open = true;
                        self.ahead[worker] = Some(later);
                    }
                    Some(this) => {
                        open = true;
                        round.push((worker, this));
                    }
                    None => {}
                }
            }
            if !open {
                return Ok(());
            }
            self.round(round, sink)?;
        }
    }

    /// Takes the output of the only worker there is.
    pub(super) fn take(&mut self, worker: usize, output: Output, sink: &mut dyn Sink) -> anyhow::Result<()> {
        self.round(vec![(worker, output)], sink)
    }

    fn round(&mut self, round: Vec<(usize, Output)>, sink: &mut dyn Sink) -> anyhow::Result<()> {
        let (mut items, mut swept, mut report) = (Vec::new(), Vec::new(), None);
        for (worker, mut output) in round {
            if items.is_empty() {
                items = output.items;
            } else {
                items.append(&mut output.items);
            }
            swept.append(&mut output.swept);
            report = report.or(output.report);
            if let Some(counts) = output.counts {
                self.counts[worker] = *counts; // one place for each worker
            }
        }
        // A packet belongs to one worker, and each worker's items are in order: a stable sort by packet keeps the order
        // within a packet and merges what is sorted already.
        items.sort_by_key(|i| (i.index, i.rank));
        for item in items {
            self.pass(item, sink)?;
        }
        // Flows that ended together have no order of their own. A flow belongs to one worker: a stable sort keeps its order.
        swept.sort_by_key(|s| (s.last, s.flow));
        for s in swept {
            self.pass(s.item, sink)?;
        }
        if let Some(report) = report {
            let (now, counts) = *report;
            let totals = self.totals(counts);
            sink.totals(&totals, now)?;
        }
        Ok(())
    }

    fn pass(&mut self, item: Item, sink: &mut dyn Sink) -> anyhow::Result<()> {
        let mut r = match item.what {
            What::Record(mut r) => {
                self.settle(&mut r);
                r
            }
            What::Candidate(c) => {
                let Some(r) = self.ordered.admit(&c) else { return Ok(()) };
                if let Some(id) = flow_id(&r.json).filter(|_| self.alerted.len() < MAX_ALERTED) {
                    self.alerted.insert(id);
                }
                r
            }
        };
        r.observed = item.observed;
        if self.compress_ipv6 {
            r.compress_ipv6();
        }
        sink.record(r)
    }

    /// Says in a flow's record whether an alert was reported on it.
    fn settle(&mut self, r: &mut Record) {
        const NO: &str = "\"alerted\":false";
        if self.alerted.is_empty() || r.event_type != "flow" {
            return;
        }
        if flow_id(&r.json).is_some_and(|id| self.alerted.remove(&id))
            && let Some(at) = r.json.find(NO)
        {
            r.json.replace_range(at..at + NO.len(), "\"alerted\":true");
        }
    }

    /// The counts of all workers and of this stage, added to what the dispatcher counted.
    pub(super) fn totals(&self, dispatcher: Totals) -> Totals {
        let mut t = dispatcher;
        for c in &self.counts {
            t.decoder.add(&c.decoder);
            t.flow.add(&c.flow);
            t.tcp.add(&c.tcp);
            t.detect.add(&c.detect);
            t.app.add(&c.app);
            t.flow_dropped += c.flow_dropped;
        }
        t.ordered = self.ordered.counters;
        t
    }
}

/// The `flow_id` of an event of ours, which stands before anything that the network sent.
fn flow_id(json: &str) -> Option<i64> {
    let rest = &json[json.find("\"flow_id\":")? + 10..];
    rest[..rest.find(',')?].parse().ok()
}
