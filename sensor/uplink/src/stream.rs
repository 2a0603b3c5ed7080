// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One of the two streams of a connection: a spool on its way, epoch by epoch, within its credit.
//!
//! Must never send unfsynced records or go beyond the credit, and never skip a number. Limits: one batch is gathered and
//! waits; what is in flight is bounded by the credit, and that by [`MAX_WINDOW`].

use std::{collections::VecDeque, io, sync::Arc};

use lagewarte_base::id::Epoch;
use lagewarte_event::{Batch, ClientFrame, Credit, Envelope, Gap, Message as _, Welcome, client_frame, pack};
use lagewarte_spool::{Chunk, Cursor, Spool};

use crate::{BATCH_BYTES, BATCH_EVENTS, MAX_WINDOW, Shared, session::SessionError};

/// A stream of the connection.
pub(crate) struct Stream {
    /// As in Hello: 0 urgent, 1 bulk.
    pub(crate) number: u32,
    pub(crate) spool: Arc<Spool>,
    phase: Phase,
}

enum Phase {
    Closed,
    Asked(Epoch),
    Open(Box<Open>),
}

struct Open {
    epoch: Epoch,
    /// None only while a read is under way.
    cursor: Option<Cursor>,
    flight: Flight,
    credit: Account,
    /// How much a batch gathers.
    batch_bytes: usize,
    dictionary: Option<u32>,
    ready: Option<Ready>,
    /// The epoch holds nothing more.
    end: bool,
}

/// A batch that is gathered and waits for credit, and for its turn.
struct Ready {
    frame: client_frame::Frame,
    sent: Sent,
    /// Events and gaps.
    pieces: u64,
    /// Bytes on the line.
    wire: u64,
    events: u64,
    gap_numbers: u64,
}

/// One sent batch.
struct Sent {
    up_to: u64,
    /// As the credit counts them.
    bytes: u64,
    oldest_us: Option<i64>,
}

/// What a stream could do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// There is nothing to send.
    Nothing,
    /// A batch waits for credit.
    Credit,
    /// A batch waits for its turn.
    Turn,
}

impl Stream {
    pub(crate) fn new(number: u32, spool: Arc<Spool>) -> Self {
        Self { number, spool, phase: Phase::Closed }
    }

    /// The epoch that a Hello should name, where one is due.
    pub(crate) fn hello_due(&mut self) -> Option<Epoch> {
        if !matches!(self.phase, Phase::Closed) || (self.number > 0 && self.empty()) {
            return None; // who never has bulk never opens its stream
        }
        let epoch = self.spool.epochs().into_iter().next()?;
        self.phase = Phase::Asked(epoch);
        Some(epoch)
    }

    /// Whether this Welcome is the answer to this stream's Hello.
    pub(crate) fn awaits(&self, w: &Welcome) -> bool {
        matches!(self.phase, Phase::Asked(e) if (e.counter, e.nonce) == (w.epoch, w.nonce))
    }

    /// Whether a Welcome is awaited.
    pub(crate) fn asked(&self) -> bool {
        matches!(self.phase, Phase::Asked(_))
    }

    pub(crate) async fn welcomed(&mut self, w: &Welcome) {
        let Phase::Asked(epoch) = self.phase else { return };
        self.acknowledge(epoch, w.up_to_seq).await;
        let credit = Account::new(w.credit_bytes, w.credit_events);
        // A quarter of the window: several batches are on their way, and the largest record fits beside one.
        let quarter = usize::try_from(credit.bytes / 4).unwrap_or(usize::MAX);
        self.phase = Phase::Open(Box::new(Open {
            epoch,
            cursor: Some(Cursor::new(epoch, w.up_to_seq)),
            flight: Flight::default(),
            credit,
            batch_bytes: BATCH_BYTES.min(quarter).max(1),
            dictionary: w.dictionary,
            ready: None,
            end: false,
        }));
    }

    fn open(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            Phase::Closed | Phase::Asked(_) => None,
        }
    }

    fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.phase {
            Phase::Open(open) => Some(open),
            Phase::Closed | Phase::Asked(_) => None,
        }
    }

    /// Gathers a batch where none waits (at most about `most` bytes), and says what is wanted. `sent_us` is now.
    pub(crate) async fn prepare(&mut self, most: usize, sent_us: i64) -> io::Result<Wish> {
        let spool = Arc::clone(&self.spool);
        let Some(open) = self.open_mut() else { return Ok(Wish::Nothing) };
        if open.ready.is_none() {
            if open.end || open.credit.used_up() {
                return Ok(if open.end { Wish::Nothing } else { Wish::Credit });
            }
            let place = open.cursor.as_ref().map_or(0, Cursor::place);
            if open.epoch == spool.epoch() && place >= spool.committed() {
                return Ok(Wish::Nothing); // the usual case, without a thread for it
            }
            let Some(mut cursor) = open.cursor.take() else { return Err(io::Error::other("the cursor is lost")) };
            let (epoch, dictionary, bytes) = (open.epoch, open.dictionary, open.batch_bytes.min(most));
            let read = tokio::task::spawn_blocking(move || {
                let read = spool.read(&mut cursor, bytes, BATCH_EVENTS);
                let gathered = read.and_then(|chunk| {
                    let end = chunk.end;
                    let ready = (!chunk.is_empty()).then(|| ready(epoch, chunk, dictionary, sent_us)).transpose()?;
                    Ok((ready, end))
                });
                (cursor, gathered)
            });
            let (cursor, gathered) = read.await.map_err(io::Error::other)?;
            open.cursor = Some(cursor);
            (open.ready, open.end) = gathered?;
        }
        Ok(match &open.ready {
            None => Wish::Nothing,
            Some(r) if open.credit.covers(r.sent.bytes, r.pieces) => Wish::Turn,
            Some(_) => Wish::Credit,
        })
    }

    /// Takes the batch that waits for its turn: the frame, and its bytes on the line.
    pub(crate) fn take(&mut self, shared: &Shared) -> Option<(ClientFrame, u64)> {
        let open = self.open_mut()?;
        let ready = open.ready.take_if(|r| open.credit.covers(r.sent.bytes, r.pieces))?;
        open.credit.spend(ready.sent.bytes, ready.pieces);
        {
            let mut status = shared.status();
            status.sent_events += ready.events;
            status.sent_bytes += ready.sent.bytes;
            status.sent_wire_bytes += ready.wire;
            status.gap_numbers += ready.gap_numbers;
        }
        open.flight.push(ready.sent);
        Some((ClientFrame { frame: Some(ready.frame) }, ready.wire))
    }

    /// More credit; true where it is this stream's.
    pub(crate) fn credited(&mut self, c: &Credit) -> bool {
        let Some(open) = self.open_mut().filter(|o| (o.epoch.counter, o.epoch.nonce) == (c.epoch, c.nonce)) else {
            return false;
        };
        open.credit.grant(c.bytes, c.events);
        true
    }

    /// Everything up to `up_to` of this epoch is durable at the aggregator; true where it is this stream's.
    pub(crate) async fn acknowledged(&mut self, epoch: Epoch, up_to: u64) -> bool {
        let Some(open) = self.open_mut().filter(|o| o.epoch == epoch) else { return false };
        open.flight.acknowledged(up_to);
        self.acknowledge(epoch, up_to).await;
        true
    }

    /// Closes the epoch where it is finished and acknowledged; the next Hello opens the one behind it.
    pub(crate) async fn finish(&mut self) -> bool {
        let done = self.open().filter(|o| o.end && o.ready.is_none() && o.flight.waiting.is_empty()).map(|o| o.epoch);
        let Some(epoch) = done else { return false };
        self.acknowledge(epoch, u64::MAX).await; // nothing is left of a finished epoch
        self.phase = Phase::Closed;
        true
    }

    /// Whether this spool never held anything in this life, and nothing of earlier ones.
    fn empty(&self) -> bool {
        self.spool.committed() == 0 && self.spool.epochs() == [self.spool.epoch()]
    }

    /// Whether everything of this spool that is committed is acknowledged, as far as this stream can tell.
    pub(crate) fn drained(&self) -> bool {
        if matches!(self.phase, Phase::Closed) && self.empty() {
            return true;
        }
        self.open().is_some_and(|o| o.epoch == self.spool.epoch() && o.ready.is_none() && o.flight.waiting.is_empty())
    }

    /// Bytes in flight, and when the oldest of them was spooled.
    pub(crate) fn in_flight(&self) -> (u64, Option<i64>) {
        self.open().map_or((0, None), |o| (o.flight.bytes, o.flight.waiting.iter().find_map(|s| s.oldest_us)))
    }

    /// The connection is gone: the next begins with a Hello.
    pub(crate) fn lost(&mut self) {
        self.phase = Phase::Closed;
    }

    async fn acknowledge(&self, epoch: Epoch, up_to: u64) {
        let spool = Arc::clone(&self.spool);
        let _ = tokio::task::spawn_blocking(move || spool.acknowledge(epoch, up_to)).await; // it cannot fail, only log
    }
}

fn ready(epoch: Epoch, chunk: Chunk, dictionary: Option<u32>, sent_us: i64) -> io::Result<Ready> {
    let up_to = chunk.up_to;
    let mut oldest_us = None;
    let mut events = Vec::with_capacity(chunk.records.len());
    let mut gaps: Vec<Gap> = chunk
        .gaps
        .into_iter()
        .map(|g| Gap { from_seq: *g.range.start(), to_seq: *g.range.end(), reason: g.reason.name().to_owned() })
        .collect();
    for record in chunk.records {
        match Envelope::decode(record.data.as_slice()) {
            Ok(event) if event.seq == record.seq => {
                oldest_us.get_or_insert(event.spooled_us);
                events.push(event);
            }
            // Its checksum is right, so that it was written like this: a fault of ours, told by its number.
            _ => {
                tracing::error!(seq = record.seq, "a spooled record is not an envelope; reported as a gap");
                gaps.push(Gap { from_seq: record.seq, to_seq: record.seq, reason: "corrupt".to_owned() });
            }
        }
    }
    let pieces = (events.len() + gaps.len()) as u64;
    let (count, gap_numbers) = (events.len() as u64, gaps.iter().map(|g| g.to_seq - g.from_seq + 1).sum());
    let batch = Batch { epoch: epoch.counter, nonce: epoch.nonce, sent_us, events, gaps };
    let bytes = batch.encoded_len() as u64;
    let (frame, wire) = match dictionary {
        None => (client_frame::Frame::Batch(batch), bytes),
        Some(id) => {
            let packed = pack::pack(&batch, id)?;
            let wire = packed.zstd.len() as u64;
            (client_frame::Frame::Packed(packed), wire)
        }
    };
    Ok(Ready { frame, sent: Sent { up_to, bytes, oldest_us }, pieces, wire, events: count, gap_numbers })
}

/// The sensor's side of the credit: totals, as the aggregator grants them.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    bytes: u64,
    events: u64,
    spent_bytes: u64,
    spent_events: u64,
}

impl Account {
    fn new(bytes: u64, events: u64) -> Self {
        Self { bytes: bytes.min(MAX_WINDOW), events, spent_bytes: 0, spent_events: 0 }
    }
    fn grant(&mut self, bytes: u64, events: u64) {
        // More than the largest window beyond what is spent is not believed.
        self.bytes = self.bytes.max(bytes.min(self.spent_bytes.saturating_add(MAX_WINDOW)));
        self.events = self.events.max(events);
    }
    fn used_up(&self) -> bool {
        self.spent_bytes >= self.bytes || self.spent_events >= self.events
    }
    fn covers(&self, bytes: u64, events: u64) -> bool {
        self.spent_bytes.saturating_add(bytes) <= self.bytes && self.spent_events.saturating_add(events) <= self.events
    }
    fn spend(&mut self, bytes: u64, events: u64) {
        self.spent_bytes += bytes; // within the grant: it covered them
        self.spent_events += events;
    }
}

/// What is sent and not acknowledged.
#[derive(Default)]
struct Flight {
    waiting: VecDeque<Sent>,
    bytes: u64,
    /// Highest acknowledgement heard: what is sent again over a new line may be acknowledged before it is sent.
    heard: u64,
}

impl Flight {
    fn push(&mut self, sent: Sent) {
        if sent.up_to <= self.heard {
            return;
        }
        self.bytes += sent.bytes;
        self.waiting.push_back(sent);
    }
    fn acknowledged(&mut self, up_to: u64) {
        self.heard = self.heard.max(up_to);
        while let Some(sent) = self.waiting.pop_front_if(|s| s.up_to <= up_to) {
            self.bytes -= sent.bytes;
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(e: io::Error) -> Self {
        Self::Spool(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_kept_to_the_byte_and_a_wild_grant_is_not_believed() {
        let mut a = Account::new(100, 3);
        assert!(a.covers(100, 3) && !a.covers(101, 1) && !a.covers(1, 4) && !a.used_up());
        a.spend(100, 1);
        assert!(a.used_up() && !a.covers(1, 1));
        a.grant(50, 1); // an old one, come late
        assert!(a.used_up());
        a.grant(150, 3);
        assert!(a.covers(50, 2) && !a.covers(51, 2));
        a.grant(u64::MAX, u64::MAX);
        assert_eq!(a.bytes, 100 + MAX_WINDOW);
        assert!(!a.covers(u64::MAX, 1));
        assert_eq!(Account::new(u64::MAX, 1).bytes, MAX_WINDOW);
    }

    #[test]
    fn what_is_acknowledged_before_it_is_sent_is_never_in_flight() {
        let mut f = Flight::default();
        let sent = |up_to| Sent { up_to, bytes: 10, oldest_us: Some(1) };
        f.acknowledged(20);
        f.push(sent(10));
        f.push(sent(30));
        assert_eq!((f.bytes, f.waiting.len()), (10, 1));
        f.acknowledged(30);
        assert_eq!((f.bytes, f.waiting.len()), (0, 0));
    }
}
