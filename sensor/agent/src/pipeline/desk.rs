// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How a frame comes from the dispatcher to its worker: through a queue to each of several, or straight to the only one,
//! which looks at it where it was read.
//!
//! Must never hold more than [`QUEUE`] batches for a worker.

use std::{
    mem,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError},
    },
};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::RawFrame;

#[cfg(doc)]
use super::QUEUE;
use super::{Batch, Boundary, Merge, Output, Sink, Worker, batch::Deep};

/// Where the dispatcher puts down what workers are to do.
pub(super) trait Desk {
    /// How many workers there are.
    fn workers(&self) -> usize;
    /// A frame for the worker `to`, which is below their number; `deep` where it is not one plain packet.
    fn deal(&mut self, to: usize, raw: RawFrame<'_>, observed: Timestamp, deep: Option<Box<Deep>>);
    /// The batch ends for all of them; how many frames of the capture were shed.
    fn end(&mut self, boundary: Boundary) -> u64;
}

/// Several workers, each with a thread and a queue of its own.
pub(super) struct Queues {
    inputs: Vec<SyncSender<Batch>>,
    batches: Vec<Batch>,
    recycled: Receiver<Batch>,
    /// Packets come in real time: shed rather than wait.
    live: bool,
}

impl Queues {
    pub(super) fn new(inputs: Vec<SyncSender<Batch>>, recycled: Receiver<Batch>, live: bool) -> Self {
        Self { batches: inputs.iter().map(|_| Batch::default()).collect(), inputs, recycled, live }
    }

    /// Hands a batch to a worker's queue. Gives back an empty one, or the batch itself where it was not taken.
    fn hand(&self, to: usize, batch: Batch) -> Result<Batch, Batch> {
        let Some(input) = self.inputs.get(to) else { return Err(batch) };
        // The last batch and one that carries a report must arrive; others may be shed on a live line.
        let refused = if self.live && !batch.boundary.end && !batch.boundary.count {
            match input.try_send(batch) {
                Ok(()) => None,
                Err(TrySendError::Full(b) | TrySendError::Disconnected(b)) => Some(b),
            }
        } else {
            input.send(batch).err().map(|e| e.0)
        };
        match refused {
            Some(batch) => Err(batch),
            None => Ok(self.recycled.try_recv().unwrap_or_default()),
        }
    }
}

impl Desk for Queues {
    fn workers(&self) -> usize {
        self.inputs.len()
    }

    fn deal(&mut self, to: usize, raw: RawFrame<'_>, observed: Timestamp, deep: Option<Box<Deep>>) {
        self.batches[to].push(raw, observed, deep); // `to` is below the number of workers
    }

    fn end(&mut self, boundary: Boundary) -> u64 {
        let Boundary { sequence, index, now, end, count, mut report } = boundary;
        let mut shed = 0;
        for to in 0..self.batches.len() {
            let mut batch = mem::take(&mut self.batches[to]); // below their number
            batch.boundary = Boundary { sequence, index, now, end, count, report: report.take() };
            let mut empty = self.hand(to, batch).unwrap_or_else(|refused| {
                shed += refused.read() as u64;
                refused
            });
            empty.clear();
            self.batches[to] = empty;
        }
        shed
    }
}

/// A worker's thread.
pub(super) fn work(mut worker: Worker, input: &Receiver<Batch>, output: &SyncSender<Output>, back: &Sender<Batch>) {
    while let Ok(batch) = input.recv() {
        let done = output.send(worker.process(&batch));
        let _ = back.send(batch); // nobody takes it back any more: it is dropped
        if done.is_err() {
            return; // the ordered stage has ended
        }
    }
}

/// The only worker, without a thread.
pub(super) struct Alone<'a> {
    worker: Worker,
    merge: &'a mut Merge,
    sink: &'a mut dyn Sink,
    stop: &'a AtomicBool,
    /// What the batch made so far; None before its first frame.
    out: Option<Output>,
    failed: Option<anyhow::Error>,
}

impl<'a> Alone<'a> {
    pub(super) fn new(worker: Worker, merge: &'a mut Merge, sink: &'a mut dyn Sink, stop: &'a AtomicBool) -> Self {
        Self { worker, merge, sink, stop, out: None, failed: None }
    }

    /// The first error of the sink.
    pub(super) fn done(self) -> anyhow::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }

    fn begun(worker: &mut Worker) -> Output {
        worker.begin();
        Output::default()
    }
}

impl Desk for Alone<'_> {
    fn workers(&self) -> usize {
        1
    }

    fn deal(&mut self, _: usize, raw: RawFrame<'_>, observed: Timestamp, deep: Option<Box<Deep>>) {
        let out = self.out.get_or_insert_with(|| Self::begun(&mut self.worker));
        self.worker.frame(raw, observed, deep.as_deref(), out);
    }

    fn end(&mut self, boundary: Boundary) -> u64 {
        let mut out = self.out.take().unwrap_or_else(|| Self::begun(&mut self.worker));
        self.worker.end(&boundary, &mut out);
        if let Err(e) = self.merge.take(0, out, self.sink) {
            self.failed.get_or_insert(e);
            self.stop.store(true, Ordering::Relaxed);
        }
        0
    }
}
