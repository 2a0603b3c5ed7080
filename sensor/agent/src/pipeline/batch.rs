// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames on their way to one worker: one buffer, no allocation a packet, reused.
//!
//! Must never be read by two threads at once; it is handed over whole.

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Events, Origin, RawFrame};

use super::Totals;

/// Frames for one worker, up to a boundary that all workers share.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Meta>,
    /// Frames of the capture whose outermost packet is for this worker.
    read: usize,
    /// What ends it.
    pub(super) boundary: Boundary,
}

/// Where a batch ends, the same for all workers.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// Its number, from 1.
    pub(super) sequence: u64,
    /// Number of the last packet before it, of whichever worker.
    pub(super) index: u64,
    /// Time at which flows are looked through: that of the last packet, on a live line the clock's.
    pub(super) now: Option<Timestamp>,
    /// Nothing follows.
    pub(super) end: bool,
    /// Workers are to send their counts.
    pub(super) count: bool,
    /// What the dispatcher counted, on its way to the ordered stage through one of the workers.
    pub(super) report: Option<Box<(Timestamp, Totals)>>,
}

/// What is to be known of a frame that is not one plain packet.
#[derive(Clone, Debug)]
pub(super) struct Deep {
    /// Set where it is a packet put together from fragments.
    pub(super) origin: Option<Origin>,
    /// Found on its innermost packet when fragments were put together.
    pub(super) events: Events,
    /// The packets in it that are this worker's, outermost in the lowest bit.
    pub(super) mask: u64,
    /// How many packets of the frame are around it.
    pub(super) first: u8,
}

#[derive(Clone, Debug)]
struct Meta {
    index: u64,
    time: Timestamp,
    observed: Timestamp,
    linktype: u16,
    wire_len: u32,
    at: usize,
    len: usize,
    deep: Option<Box<Deep>>,
}

impl Batch {
    pub(super) fn push(&mut self, f: RawFrame<'_>, observed: Timestamp, deep: Option<Box<Deep>>) {
        let RawFrame { index, time, linktype, wire_len, data } = f;
        self.read += usize::from(deep.as_ref().is_none_or(|d| d.first == 0 && d.mask & 1 == 1));
        let (at, len) = (self.bytes.len(), data.len());
        self.frames.push(Meta { index, time, observed, linktype, wire_len, at, len, deep });
        self.bytes.extend_from_slice(data);
    }
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.read = 0;
        self.boundary = Boundary::default();
    }
    /// Frames of the capture that it stands for: a frame that several workers have counts with its outermost packet's.
    pub(super) const fn read(&self) -> usize {
        self.read
    }
    /// The frames with the time at which each was read.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RawFrame<'_>, Timestamp, Option<&Deep>)> {
        self.frames.iter().map(|m| {
            let data = &self.bytes[m.at..m.at + m.len]; // push put them there
            (
                RawFrame { index: m.index, time: m.time, linktype: m.linktype, wire_len: m.wire_len, data },
                m.observed,
                m.deep.as_deref(),
            )
        })
    }
}
