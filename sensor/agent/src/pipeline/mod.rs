// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The way of a packet: source → dispatcher → workers → ordered stage → sink. One way for files and for interfaces.
//!
//! - The dispatcher reads the source, puts fragments together, and hands each packet to the worker that owns its address
//!   pair, in batches; a worker that is alone looks at it where it was read. A frame with packets in packets goes to the
//!   owner of each.
//! - A worker owns its flows: it decodes, finds the flow, its protocol and the rules that match. No locks.
//! - The ordered stage takes the workers' output in the order of packets and thins alerts, so that any number of workers
//!   gives the same events in the same order.
//!
//! Bounds and their policies: a worker's queue holds [`QUEUE`] batches; when it is full a file waits, and a live line
//! sheds that worker's packets of this batch, counted as `queue_full`. The output queues wait. Conservation:
//! [`Totals::read`] = packets decoded + [`Totals::shed`] + [`Totals::unsupported`].
//!
//! Must never read the wall clock for a decision about packets; the tick of a live line is the one exception, made here.

mod anomaly;
mod arp;
mod batch;
mod deal;
mod desk;
mod ending;
mod merge;
mod paced;
mod stats;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{channel, sync_channel},
    },
    thread,
};

use arc_swap::ArcSwap;
use lagewarte_base::{clock::Clock, time::Timestamp};
use lagewarte_capture::{Error as CaptureError, Next, Source, Stats as CaptureStats};
use lagewarte_decode::{Decoder, RawFrame, supported};
use lagewarte_detect::{Engine, Turns};
use lagewarte_event::eve::Record;

pub use anomaly::Anomalies;
pub use deal::MAX_DEPTH;
pub use paced::{Paced, Played};
pub use stats::{record as stats_record, write as write_stats};

use batch::{Batch, Boundary};
use deal::Dealer;
use desk::{Alone, Desk, Queues, work};
use merge::{Merge, Output};
use worker::Worker;

/// Batches that wait for a worker at most. Threat: a worker pinned by one large flow, and memory growing behind it.
pub const QUEUE: usize = 16;

/// What the pipeline is to do.
#[derive(Clone)]
pub struct Options {
    /// Worker threads; one runs without threads at all.
    pub workers: usize,
    /// How to decode.
    pub decoder: Decoder,
    /// How to put fragments together.
    pub defrag: lagewarte_flow::defrag::Config,
    /// The flow table's choices.
    pub flow: lagewarte_flow::Config,
    /// The application layer's choices.
    pub app: Arc<lagewarte_app::Config>,
    /// Which anomalies are written.
    pub anomalies: Anomalies,
    /// Whether events carry `pcap_cnt`, the packet's number in the capture.
    pub pcap_cnt: bool,
    /// Whether IPv6 addresses are written short.
    pub compress_ipv6: bool,
    /// The rules, replaced as a whole; None inspects nothing.
    pub engine: Option<Arc<ArcSwap<Engine>>>,
    /// Set where packets come in real time: shed rather than wait, and tick.
    pub live: Option<LiveOptions>,
}

/// What only a live line has.
#[derive(Clone)]
pub struct LiveOptions {
    /// Tells the time of reading and of ticks.
    pub clock: Arc<dyn Clock>,
    /// Seconds between two [`Sink::totals`].
    pub interval_s: u32,
}

impl Options {
    /// For a capture file, with everything at its default and no rules.
    pub fn file() -> Self {
        Self {
            workers: 1,
            decoder: Decoder::default(),
            defrag: lagewarte_flow::defrag::Config::default(),
            flow: lagewarte_flow::Config::default(),
            app: Arc::default(),
            anomalies: Anomalies::default(),
            pcap_cnt: true,
            compress_ipv6: false,
            engine: None,
            live: None,
        }
    }
}

/// Takes the events, in the order of packets.
pub trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    ///
    /// Only where going on is useless; the pipeline then stops in good order.
    fn record(&mut self, record: Record) -> anyhow::Result<()>;
    /// Takes the counts so far, on a live line at every interval.
    ///
    /// # Errors
    ///
    /// As [`Sink::record`].
    fn totals(&mut self, totals: &Totals, now: Timestamp) -> anyhow::Result<()> {
        let _ = (totals, now);
        Ok(())
    }
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Frames that the source gave.
    pub read: u64,
    /// Frames not handed to their worker, whose queue was full.
    pub shed: u64,
    /// Frames of a link type that cannot be decoded.
    pub unsupported: u64,
    /// The last such LINKTYPE; 0 where there was none.
    pub unsupported_linktype: u16,
    /// Time of the first frame.
    pub first: Option<Timestamp>,
    /// Time of the last frame.
    pub last: Option<Timestamp>,
    /// What the source counted.
    pub capture: CaptureStats,
    /// What the workers decoded.
    pub decoder: lagewarte_decode::Counters,
    /// What putting fragments together did.
    pub defrag: lagewarte_flow::defrag::Counters,
    /// What their flow tables did.
    pub flow: lagewarte_flow::Counters,
    /// What their flows spoke.
    pub app: lagewarte_app::Counters,
    /// What their sessions and streams did.
    pub tcp: lagewarte_flow::StreamCounters,
    /// What their inspection did.
    pub detect: lagewarte_detect::Counters,
    /// What the ordered stage did with alerts.
    pub ordered: lagewarte_detect::OrderedCounters,
    /// Packets that a full flow table kept from being looked at (`drop-packet`).
    pub flow_dropped: u64,
}

/// Runs a source to its end, or until `stop` is set.
///
/// # Errors
///
/// Where the source fails (what was read until then has gone to the sink), its link type is unknown, or the sink fails.
pub fn run(
    source: &mut (dyn Source + Send),
    options: &Options,
    sink: &mut dyn Sink,
    stop: &AtomicBool,
) -> anyhow::Result<Totals> {
    let workers = options.workers.max(1);
    let mut merge = Merge::new(workers, options.compress_ipv6);
    if workers == 1 {
        let mut alone = Alone::new(Worker::new(options, 1, None), &mut merge, sink, stop);
        let mut dispatcher = Dispatcher::new(source, options, stop);
        let counted = dispatcher.run(&mut alone);
        let capture = dispatcher.source.stats();
        alone.done()?;
        return finish(&merge, counted, capture);
    }
    thread::scope(|scope| {
        let (back, recycled) = channel();
        let mut inputs = Vec::with_capacity(workers);
        let mut outputs = Vec::with_capacity(workers);
        let turns = Turns::new(workers, options.live.is_some());
        for n in 0..workers {
            let (to_worker, input) = sync_channel::<Batch>(QUEUE);
            let (to_merge, output) = sync_channel::<Output>(QUEUE);
            inputs.push(to_worker);
            outputs.push(output);
            let back = back.clone();
            let worker = Worker::new(options, workers, turns.of(n));
            scope.spawn(move || work(worker, &input, &to_merge, &back));
        }
        drop(back);
        let mut queues = Queues::new(inputs, recycled, options.live.is_some());
        let mut dispatcher = Dispatcher::new(source, options, stop);
        let dispatching = scope.spawn(move || (dispatcher.run(&mut queues), dispatcher.source.stats()));
        let merged = merge.run(&outputs, sink);
        if merged.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        drop(outputs); // workers that still send find nobody and end
        let Ok((counted, capture)) = dispatching.join() else {
            anyhow::bail!("the thread that reads packets panicked")
        };
        merged?;
        finish(&merge, counted, capture)
    })
}

/// The totals of a run; the error of a source that failed.
fn finish(merge: &Merge, counted: Counted, capture: CaptureStats) -> anyhow::Result<Totals> {
    if let Some(e) = counted.failed {
        return Err(e.into());
    }
    let mut totals = merge.totals(counted.counts);
    totals.capture = capture;
    Ok(totals)
}

/// What the dispatcher counted, and why it ended early.
struct Counted {
    counts: Totals,
    failed: Option<CaptureError>,
}

struct Dispatcher<'s> {
    source: &'s mut (dyn Source + Send),
    live: Option<LiveOptions>,
    stop: &'s AtomicBool,
    dealer: Dealer,
    counts: Totals,
    /// Packets and bytes since the last boundary.
    held: (usize, usize),
    /// When the first of them was read, by the live line's clock.
    held_since: Timestamp,
    sequence: u64,
    next_tick: Timestamp,
}

/// Packets of one batch, over all workers. A constant: where batches end is part of what makes runs alike.
const BATCH_PACKETS: usize = 512;
/// Bytes of one batch, over all workers; a single larger frame still fits.
const BATCH_BYTES: usize = 1 << 20;
/// Longest time that a packet of a live line waits for its batch to fill, microseconds: a part of every event's delay.
const BATCH_US: i64 = 20_000;

impl<'s> Dispatcher<'s> {
    fn new(source: &'s mut (dyn Source + Send), options: &Options, stop: &'s AtomicBool) -> Self {
        let live = options.live.clone();
        let next_tick = live.as_ref().map_or_else(Timestamp::default, |l| tick_after(l, l.clock.now()));
        Self {
            source,
            live,
            stop,
            dealer: Dealer::new(options.decoder, options.defrag.clone()),
            counts: Totals::default(),
            held: (0, 0),
            held_since: Timestamp::default(),
            sequence: 0,
            next_tick,
        }
    }

    /// Reads to the end.
    fn run(&mut self, desk: &mut impl Desk) -> Counted {
        let failed = loop {
            if self.stop.load(Ordering::Relaxed) {
                break None;
            }
            match self.source.next() {
                Ok(Next::Frame(f)) => {
                    self.counts.read += 1;
                    if !supported(f.linktype) {
                        self.counts.unsupported += 1;
                        self.counts.unsupported_linktype = f.linktype;
                        continue;
                    }
                    let raw = RawFrame {
                        index: self.counts.read,
                        time: f.time,
                        linktype: f.linktype,
                        wire_len: f.wire_len,
                        data: f.data,
                    };
                    let observed = self.live.as_ref().map_or(f.time, |l| l.clock.now());
                    self.counts.first.get_or_insert(f.time);
                    self.counts.last = Some(f.time);
                    self.held.0 += 1;
                    self.held.1 += self.dealer.frame(raw, observed, desk);
                    if self.held.0 == 1 {
                        self.held_since = observed;
                    }
                    let waited = self.live.is_some() && observed.since(self.held_since) >= BATCH_US;
                    if waited || self.held.0 >= BATCH_PACKETS || self.held.1 >= BATCH_BYTES {
                        self.flush(desk, false);
                    }
                }
                Ok(Next::Idle) => self.flush(desk, false),
                Ok(Next::End) => break None,
                Err(e) => break Some(e),
            }
        };
        self.flush(desk, true);
        Counted { counts: std::mem::take(&mut self.counts), failed }
    }

    /// Ends the batch, with the same boundary for every worker.
    fn flush(&mut self, desk: &mut impl Desk, end: bool) {
        self.counts.defrag = self.dealer.counters();
        let mut now = self.counts.last;
        let mut report = None;
        if let Some(l) = &self.live {
            let clock = l.clock.now();
            // The line's own clock may run ahead of ours; flows end by whichever is later.
            now = Some(now.map_or(clock, |t| t.max(clock)));
            if clock >= self.next_tick {
                self.next_tick = tick_after(l, clock);
                let mut counts = self.counts.clone();
                counts.capture = self.source.stats();
                report = Some(Box::new((clock, counts)));
            }
        }
        self.sequence += 1;
        let (sequence, index, count) = (self.sequence, self.counts.read, report.is_some());
        self.counts.shed += desk.end(Boundary { sequence, index, now, end, count, report });
        self.held = (0, 0);
    }
}

fn tick_after(live: &LiveOptions, now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(i64::from(live.interval_s.max(1)) * 1_000_000))
}
