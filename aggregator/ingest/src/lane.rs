// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A lane: collects the rows of its sensors into segments, journals each, inserts it, and says what is durable.
//!
//! Two tasks in a row. The *builder* drops what was already taken and closes a segment by time, rows or bytes; while an
//! insert runs it goes on collecting, so that a busy store gets larger segments, not more of them. The *inserter* first
//! replays what the journal holds unfinished, then takes one segment after the other, each until the store has answered.
//! Where the store says that the lane is shut out, another aggregator has it: the lane does nothing more.
//! Must never insert before the journal's fsync, acknowledge before the store's answer, or give up on a segment. Limits:
//! what waits is bounded by the permits of [`crate::session`]; one segment is built, one waits, one is inserted.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lagewarte_base::id::{Epoch, EventId, Uuid};
use lagewarte_store::{
    Scope,
    telemetry::{Isolated, REFUSED, Row, Rows, Telemetry, TelemetryError},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::{
    Options, Step,
    journal::{Journal, Key, Mark},
    metrics::Metrics,
    waters::{Unanswered, Waters},
};

/// A segment is closed at this many bytes of rows. Threat: a segment larger than the journal can read back.
pub const MAX_SEGMENT: usize = 24 << 20;
/// Batches waiting for a lane's builder.
const QUEUE: usize = 64;
/// How often completed segments are folded into the checkpoint. The store remembers its last 10,000 tokens; at a hundred
/// inserts a second a power cut brings back less than a hundredth of them.
const CHECKPOINT: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// After so many refusals of a segment's rows, one after the other, its refused rows are put aside.
const ISOLATE_AFTER: u32 = 3;

/// What becomes of a piece of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An event's row in its table.
    Stored,
    /// An event's row in quarantine, with the reason's word.
    Quarantined(&'static str),
    /// A gap's row, with the reason's word.
    Gap(&'static str),
}

/// A piece of a batch: one event or one gap.
pub(crate) struct Item {
    /// First number.
    pub(crate) seq: u64,
    /// Last number.
    pub(crate) last: u64,
    pub(crate) fate: Fate,
    pub(crate) row: Row,
    /// The store has it, although this journal does not know (comparison by id after a loss).
    pub(crate) present: bool,
}

/// A batch on its way through the lane.
pub(crate) struct Work {
    pub(crate) key: Key,
    pub(crate) items: Vec<Item>,
    /// How its events are told from those that came before.
    pub(crate) order: Order,
    /// Bytes it occupies; given back when it is durable.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

/// How a batch's events are told from those that came before.
pub(crate) enum Order {
    /// By numbers without a hole, up to this one: the mark of its epoch advances.
    Numbered(u64),
    /// By ids that whoever hands it over has looked up; who waits is told when it is durable.
    ById(oneshot::Sender<()>),
}

/// The tally of a segment, booked when it is durable.
#[derive(Default)]
struct Tally {
    stored: u64,
    duplicate: u64,
    quarantined: HashMap<&'static str, u64>,
    gaps: HashMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Quarantined(reason) => *self.quarantined.entry(reason).or_default() += 1,
            Fate::Stored | Fate::Gap(_) => self.stored += 1,
        }
    }
}

struct Segment {
    /// None where all of it was duplicates: nothing to insert, but something to answer.
    written: Option<(u64, Rows)>,
    advances: HashMap<Key, Mark>,
    tally: Tally,
    permits: Vec<OwnedSemaphorePermit>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// The lane as sessions see it.
pub(crate) struct Lane {
    work: mpsc::Sender<Work>,
    journal: Arc<Journal>,
    telemetry: Telemetry,
    waters: Arc<Waters>,
    progress: Arc<Progress>,
    ready: watch::Receiver<bool>,
}

/// What the store holds already of a batch's numbers.
#[derive(Default)]
pub(crate) struct Present {
    events: HashSet<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Present {
    /// Whether this event is stored.
    pub(crate) fn event(&self, seq: u64) -> bool {
        self.events.contains(&seq)
    }
    /// Whether this gap is stored, whole.
    pub(crate) fn gap(&self, first: u64, last: u64) -> bool {
        self.gaps.iter().any(|(from, to)| *from <= first && *to >= last)
    }
}

/// Who waits for which epoch.
#[derive(Default)]
struct Progress(Mutex<HashMap<Key, watch::Sender<u64>>>);

impl Progress {
    fn map(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn tell(&self, key: Key, up_to: u64) {
        let mut map = self.map();
        if let Some(sender) = map.get(&key) {
            sender.send_if_modified(|old| {
                up_to > *old && {
                    *old = up_to;
                    true
                }
            });
            if sender.receiver_count() == 0 {
                map.remove(&key);
            }
        }
    }
}

/// What a session is told at Hello.
pub(crate) struct Place {
    pub(crate) mark: Mark,
    pub(crate) durable: watch::Receiver<u64>,
}

impl Lane {
    /// Starts the lane's tasks. `barrier` opens when all lanes have replayed: a token must not grow old while another lane
    /// goes on. Gives the lane and a handle that ends after the senders are gone.
    #[expect(clippy::too_many_arguments, reason = "called once, where everything is put together")]
    pub(crate) fn start(
        journal: Journal,
        unfinished: Vec<u64>,
        telemetry: Telemetry,
        waters: Arc<Waters>,
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        barrier: Arc<tokio::sync::Barrier>,
        lost: watch::Sender<bool>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (work, incoming) = mpsc::channel(QUEUE);
        let (segments, written) = mpsc::channel(1);
        let (set_ready, ready) = watch::channel(false);
        let journal = Arc::new(journal);
        let progress = Arc::new(Progress::default());
        let builder = Builder {
            journal: Arc::clone(&journal),
            options: Arc::clone(&options),
            metrics: Arc::clone(&metrics),
            accepted: HashMap::new(),
            lane: journal.lane(),
        };
        let inserter = Inserter {
            journal: Arc::clone(&journal),
            telemetry: telemetry.clone(),
            options,
            metrics,
            progress: Arc::clone(&progress),
            lost,
        };
        let task = tokio::spawn(async move {
            inserter.replay(unfinished).await;
            barrier.wait().await;
            let _ = set_ready.send(true); // no session is waiting
            tokio::join!(builder.run(incoming, segments), inserter.run(written));
        });
        (Self { work, journal, telemetry, waters, progress, ready }, task)
    }

    /// Whether everything that the journal held unfinished at the start is durable.
    pub(crate) fn has_replayed(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until it has. Before, the store cannot tell what is on its way through this lane already.
    pub(crate) async fn replayed(&self) {
        let _ = self.ready.clone().wait_for(|r| *r).await; // an error: the lane is stopping; whoever submits is told so
    }

    /// Where an epoch stands, and how its progress is heard of. Waits while the lane replays.
    ///
    /// `acked`: what the sensor was told before, by this aggregator or another: it is durable, and may be gone from its spool.
    pub(crate) async fn hello(&self, key: Key, acked: u64) -> Result<Place, Unanswered> {
        self.replayed().await;
        let mut mark = self.journal.mark(key);
        if mark.is_none() || self.journal.suspect() {
            // Unknown here: a new epoch, or a journal that was lost. Only the store can tell.
            let stored = self.waters.of(key).await?;
            let up_to = mark.map_or(0, |m| m.up_to).max(acked);
            self.journal.learn(key, Mark { up_to, compare_to: stored });
            mark = self.journal.mark(key);
        }
        if mark.is_none_or(|m| m.up_to < acked) {
            self.journal.learn(key, Mark { up_to: acked, ..Mark::default() }); // another aggregator has told it
        }
        let durable = {
            let mut map = self.progress.map();
            map.entry(key).or_insert_with(|| watch::channel(0).0).subscribe()
        };
        // Read again after subscribing: what completed in between is in one or the other.
        let mark = self.journal.mark(key).or(mark).unwrap_or_default();
        Ok(Place { mark, durable })
    }

    /// What the store holds already of the numbers `from..=to`, for epochs of a lost journal.
    pub(crate) async fn present(&self, key: Key, from: u64, to: u64) -> Result<Present, TelemetryError> {
        let events = self.telemetry.existing(&Scope::System, key.0, key.1, from, to).await?.into_iter().collect();
        let gaps = self.telemetry.existing_gaps(&Scope::System, key.0, key.1, from, to).await?;
        Ok(Present { events, gaps })
    }

    /// The lane's journal.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Hands a batch over; waits where the lane is busy. False where it is stopping.
    pub(crate) async fn submit(&self, work: Work) -> bool {
        self.work.send(work).await.is_ok()
    }
}

struct Builder {
    journal: Arc<Journal>,
    options: Arc<Options>,
    metrics: Arc<Metrics>,
    /// Last number taken of each epoch, durable or on its way.
    accepted: HashMap<Key, u64>,
    lane: u32,
}

impl Builder {
    async fn run(mut self, mut incoming: mpsc::Receiver<Work>, segments: mpsc::Sender<Segment>) {
        while let Some(first) = incoming.recv().await {
            let (number, id) = self.journal.begin();
            let mut rows = Rows::new(&id, self.lane);
            let mut segment = Segment {
                written: None,
                advances: HashMap::new(),
                tally: Tally::default(),
                permits: Vec::new(),
                waiting: Vec::new(),
            };
            self.add(&mut rows, &mut segment, first);
            let pause = tokio::time::sleep(self.options.flush);
            tokio::pin!(pause);
            let mut due = false;
            let slot = loop {
                let full = rows.len() >= self.options.flush_rows as u64 || rows.size() >= MAX_SEGMENT;
                tokio::select! {
                    biased;
                    slot = segments.reserve(), if due || full => break slot,
                    more = incoming.recv(), if !full => match more {
                        Some(work) => self.add(&mut rows, &mut segment, work),
                        None => break segments.reserve().await,
                    },
                    () = &mut pause, if !due => due = true,
                }
            };
            let Ok(slot) = slot else { return }; // the inserter is gone: nothing can be made durable any more
            if !rows.is_empty() {
                let advances: Vec<_> = segment.advances.iter().map(|(k, m)| (*k, *m)).collect();
                rows = self.write(number, rows, advances).await;
                self.options.step(Step::Journaled);
                segment.written = Some((number, rows));
            }
            slot.send(segment);
        }
    }

    fn add(&mut self, rows: &mut Rows, segment: &mut Segment, work: Work) {
        segment.permits.extend(work.permits);
        let up_to = match work.order {
            Order::Numbered(up_to) => up_to,
            Order::ById(waiting) => {
                for item in work.items {
                    if item.present {
                        segment.tally.duplicate += 1;
                    } else {
                        segment.tally.count(item.fate);
                        rows.push(&item.row);
                    }
                }
                segment.waiting.push(waiting);
                return;
            }
        };
        let journal = &self.journal;
        let known = journal.mark(work.key).unwrap_or_default();
        let accepted = self.accepted.entry(work.key).or_insert(known.up_to);
        *accepted = known.up_to.max(*accepted);
        for item in work.items {
            if let Fate::Gap(reason) = item.fate {
                // A gap may have grown since it was first reported; only what is new of it counts.
                if item.last > *accepted {
                    let from = item.seq.max(*accepted + 1);
                    *segment.tally.gaps.entry(reason).or_default() += item.last - from + 1;
                    if !item.present {
                        rows.push(&item.row);
                    }
                    *accepted = item.last;
                }
            } else if item.seq <= *accepted || item.present {
                segment.tally.duplicate += 1;
                *accepted = item.seq.max(*accepted);
            } else {
                segment.tally.count(item.fate);
                rows.push(&item.row);
                *accepted = item.seq;
            }
        }
        let mark = segment.advances.entry(work.key).or_insert(Mark { up_to: 0, compare_to: known.compare_to });
        mark.up_to = mark.up_to.max(up_to);
        if self.accepted.len() > MAX_ACCEPTED {
            // Finished epochs of sensors that restarted: the journal's marks know them.
            let state: HashMap<Key, u64> = std::mem::take(&mut self.accepted);
            self.accepted = state.into_iter().filter(|(k, n)| journal.mark(*k).is_none_or(|m| m.up_to < *n)).collect();
        }
    }

    /// Writes until the disk takes it; meanwhile sensors wait.
    async fn write(&self, number: u64, rows: Rows, advances: Vec<(Key, Mark)>) -> Rows {
        let mut pause = RETRY_MIN;
        let content = Arc::new((rows, advances));
        loop {
            let (journal, shared) = (Arc::clone(&self.journal), Arc::clone(&content));
            let written = tokio::task::spawn_blocking(move || journal.write(number, &shared.0, &shared.1)).await;
            match written.map_err(io::Error::other).and_then(|w| w) {
                Ok(()) => break,
                Err(e) => {
                    self.metrics.journal_errors.inc();
                    tracing::error!(lane = self.lane, error = %e, "the journal cannot be written; sensors wait, nothing is lost");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
        match Arc::try_unwrap(content) {
            Ok((rows, _)) => rows,
            Err(shared) => shared.0.clone(), // the blocking task still drops its share
        }
    }
}

/// Most epochs in the builder's memory before finished ones are dropped. Threat: sensors that restart in a loop.
const MAX_ACCEPTED: usize = 20_000;

struct Inserter {
    journal: Arc<Journal>,
    telemetry: Telemetry,
    options: Arc<Options>,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
    /// Told where the lane was taken over by another aggregator.
    lost: watch::Sender<bool>,
}

impl Inserter {
    /// Inserts what an earlier life left unfinished: the same rows under the same token, before anything new.
    async fn replay(&self, unfinished: Vec<u64>) {
        for number in unfinished {
            let journal = Arc::clone(&self.journal);
            let read = tokio::task::spawn_blocking(move || journal.read(number)).await;
            match read.map_err(io::Error::other).and_then(|r| r) {
                Ok(Some(segment)) => {
                    tracing::info!(segment = segment.rows.segment(), rows = segment.rows.len(), "replaying");
                    if self.insert(&segment.rows).await.is_none() {
                        self.discard(segment.number, segment.rows.segment()).await;
                        continue;
                    }
                    self.metrics.replayed_segments.inc();
                    self.metrics.replayed_rows.inc_by(segment.rows.len());
                    self.complete(segment.number, segment.advances).await;
                }
                Ok(None) => {} // judged at open
                Err(e) => {
                    tracing::error!(number, error = %e, "a journal segment cannot be read; sensors send its events again")
                }
            }
        }
    }

    /// A segment of an earlier life that another aggregator has shut out, repaired and gone on from.
    async fn discard(&self, number: u64, segment: &str) {
        self.metrics.discarded_segments.inc();
        tracing::warn!(segment, "another aggregator took over what this journal held unfinished; it is not replayed");
        let journal = Arc::clone(&self.journal);
        let done = tokio::task::spawn_blocking(move || journal.discard(number)).await;
        if let Err(e) = done.map_err(io::Error::other).and_then(|d| d) {
            self.metrics.journal_errors.inc();
            tracing::error!(error = %e, "it could not be removed; it is refused again at the next start");
        }
    }

    async fn run(self, mut written: mpsc::Receiver<Segment>) {
        let stop = AtomicBool::new(false);
        let insert = async {
            while let Some(segment) = written.recv().await {
                self.one(segment).await;
            }
            stop.store(true, Ordering::Relaxed);
        };
        let checkpoints = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(CHECKPOINT).await;
                self.checkpoint().await;
            }
        };
        tokio::select! {
            () = insert => {}
            () = checkpoints => {}
        }
        self.checkpoint().await;
    }

    async fn one(&self, mut segment: Segment) {
        let advances: Vec<_> = segment.advances.into_iter().collect();
        if let Some((number, rows)) = segment.written {
            let Some(isolated) = self.insert(&rows).await else {
                // Of this life: the lease is lost. Nothing is acknowledged any more, whoever waits waits until the end.
                let _ = self.lost.send(true); // nobody listens: ingest has ended
                return std::future::pending().await;
            };
            let put_aside = isolated.refused + isolated.lost;
            segment.tally.stored = segment.tally.stored.saturating_sub(put_aside);
            *segment.tally.quarantined.entry(REFUSED).or_default() += put_aside;
            self.options.step(Step::Inserted);
            self.metrics.segments.inc();
            self.metrics.segment_rows.observe(rows.len() as f64);
            self.complete(number, advances.clone()).await;
            self.options.step(Step::Completed);
        }
        let t = &segment.tally;
        let events = t.stored + t.duplicate + t.quarantined.values().sum::<u64>();
        self.metrics.stored.inc_by(t.stored);
        self.metrics.duplicate.inc_by(t.duplicate);
        for (reason, n) in &t.quarantined {
            self.metrics.quarantined.with_label_values(&[reason]).inc_by(*n);
        }
        for (reason, n) in &t.gaps {
            self.metrics.gap_numbers.with_label_values(&[reason]).inc_by(*n);
        }
        self.metrics.in_flight.sub(i64::try_from(events).unwrap_or(i64::MAX));
        let bytes: usize = segment.permits.iter().map(OwnedSemaphorePermit::num_permits).sum();
        self.metrics.in_flight_bytes.sub(i64::try_from(bytes / 2).unwrap_or(i64::MAX)); // each byte has two permits
        drop(segment.permits);
        for waiting in segment.waiting {
            let _ = waiting.send(()); // who waited has gone; it asks again
        }
        for (key, _) in advances {
            // A segment of duplicates alone says only what is durable anyway.
            let durable = self.journal.mark(key).unwrap_or_default().up_to;
            self.progress.tell(key, durable);
        }
    }

    /// Until the store answers; the same rows, the same token. None where the lane is shut out; else what was put aside.
    async fn insert(&self, rows: &Rows) -> Option<Isolated> {
        let mut pause = RETRY_MIN;
        let mut last = String::new();
        let mut refusals = 0u32;
        loop {
            let timer = self.metrics.insert_seconds.start_timer();
            let inserted = if refusals < ISOLATE_AFTER {
                self.telemetry.insert_segment(rows).await.map(|_| Isolated::default())
            } else {
                self.telemetry.insert_isolating(rows).await.map(|(_, isolated)| isolated)
            };
            match inserted {
                Ok(isolated) => {
                    self.metrics.behind_rows.inc_by(isolated.behind);
                    timer.observe_duration();
                    self.metrics.store_up.set(1);
                    return Some(isolated);
                }
                Err(TelemetryError::Fenced { .. }) => {
                    timer.stop_and_discard();
                    return None;
                }
                Err(e) => {
                    refusals = if e.refuses_rows() { refusals.saturating_add(1) } else { 0 };
                    timer.stop_and_discard();
                    self.metrics.insert_errors.inc();
                    self.metrics.store_up.set(0);
                    let text = e.to_string();
                    if text != last {
                        tracing::error!(segment = rows.segment(), error = %text, "the store does not take the segment; it stays in the journal, sensors wait");
                        last = text;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn complete(&self, number: u64, advances: Vec<(Key, Mark)>) {
        let journal = Arc::clone(&self.journal);
        let done = tokio::task::spawn_blocking(move || journal.complete(number, &advances)).await;
        if let Err(e) = done.map_err(io::Error::other).and_then(|d| d) {
            self.metrics.journal_errors.inc();
            tracing::error!(error = %e, "a segment's completion could not be noted; after a crash it is inserted again and counts once");
        }
    }

    async fn checkpoint(&self) {
        let journal = Arc::clone(&self.journal);
        let done = tokio::task::spawn_blocking(move || journal.checkpoint()).await;
        if let Err(e) = done.map_err(io::Error::other).and_then(|d| d) {
            self.metrics.journal_errors.inc();
            tracing::error!(error = %e, "the journal's checkpoint could not be written; it is tried again");
        }
    }
}

/// The id of an event of this epoch.
pub(crate) fn event_id((sensor, epoch): (Uuid, Epoch), seq: u64) -> EventId {
    EventId { sensor, epoch, seq }
}
