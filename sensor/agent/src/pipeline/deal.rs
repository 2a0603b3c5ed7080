// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Deals packets to the workers that own them. Most frames go to one worker, unread but for their addresses. Of a frame
//! that holds packets in packets each packet belongs to the worker of its own address pair: the frame goes to each of
//! them, with a mask of the packets that are its own. Fragments are put together here, in the order of packets, and the
//! whole packet is dealt like a frame.
//!
//! Must never keep a packet, but for the fragments that [`Defrag`] holds under its caps.

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Origin, RawFrame, Route, owner};
use lagewarte_flow::defrag::{Config, Counters, Defrag};

use super::{batch::Deep, desk::Desk};

/// Most packets in one frame: a mask has a bit for each. `decoder.max-layers` is bounded by it.
pub const MAX_DEPTH: usize = 64;

pub(super) struct Dealer {
    decoder: Decoder,
    defrag: Defrag,
}

impl Dealer {
    pub(super) fn new(decoder: Decoder, defrag: Config) -> Self {
        Self { decoder, defrag: Defrag::new(defrag) }
    }
    pub(super) const fn counters(&self) -> Counters {
        self.defrag.counters()
    }

    /// Deals a frame; how many bytes that gave workers to look at.
    pub(super) fn frame(&mut self, raw: RawFrame<'_>, observed: Timestamp, desk: &mut impl Desk) -> usize {
        match self.decoder.route(raw.linktype, raw.data) {
            Route::Plain(hash) => {
                let to = (hash % desk.workers() as u64) as usize;
                desk.deal(to, raw, observed, None);
                raw.data.len()
            }
            Route::Deep => self.deep(raw, None, 0, observed, desk),
        }
    }

    /// Deals a frame, or a packet put together, whose first packet is the `first`th of the frame. Calls itself for what
    /// its last packet completes; each time takes headers off the decoder's limit.
    fn deep(
        &mut self,
        raw: RawFrame<'_>,
        origin: Option<Origin>,
        first: u8,
        observed: Timestamp,
        desk: &mut impl Desk,
    ) -> usize {
        let mut owners = [0; MAX_DEPTH];
        let mut p = match origin {
            Some(origin) => self.decoder.rebuilt(raw, origin),
            None => self.decoder.decode(raw),
        };
        let mut packets = 0;
        loop {
            owners[packets] = (owner(&p) % desk.workers() as u64) as usize; // packets < MAX_DEPTH, below
            packets += 1;
            match self.decoder.inner(&p).filter(|_| packets < MAX_DEPTH) {
                Some(inner) => p = inner,
                None => break,
            }
        }
        let done = self.defrag.packet(&p);
        let mut bytes = 0;
        if let Some(packet) = done.whole {
            let whole = [p.frame.get(..p.link_len).unwrap_or_default(), &packet].concat();
            // At most 65,575 bytes behind a link header.
            let frame = RawFrame { linktype: p.linktype, wire_len: whole.len() as u32, data: &whole, ..raw };
            let after = first.saturating_add(packets as u8); // at most MAX_DEPTH
            bytes += self.deep(frame, Some(Origin::of(&p)), after, observed, desk);
        }
        let owners = &owners[..packets]; // at most MAX_DEPTH
        for (i, &to) in owners.iter().enumerate() {
            if owners[..i].contains(&to) {
                continue; // has the frame already
            }
            let mask = owners.iter().enumerate().filter(|(_, o)| **o == to).fold(0, |mask, (i, _)| mask | 1 << i);
            let plain = packets == 1 && origin.is_none() && done.events.is_empty();
            let deep = (!plain).then(|| Box::new(Deep { origin, events: done.events, mask, first }));
            desk.deal(to, raw, observed, deep);
            bytes += raw.data.len();
        }
        bytes
    }
}
