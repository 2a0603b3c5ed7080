// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any run of segments of one conversation (who, flags, numbers near where it is, length, urgent pointer) through a flow
//! table with small caps: chunks of a direction follow each other, the caps hold, nothing is left behind.
use std::sync::Arc;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{ChunkKind, Config, Ended, Exception, Flow, FlowTable, Outcome, Reason, Stream};

const CAP: usize = 24 << 10;

#[derive(Default)]
struct Seen {
    /// Where each direction is, and whether it is over.
    at: [(u64, bool); 2],
}

impl Seen {
    fn take(&mut self, stream: &mut Stream) {
        while let Some(c) = stream.next_chunk() {
            let (at, over) = &mut self.at[c.direction.index()];
            assert!(!*over, "nothing follows the end");
            assert_eq!(c.offset, *at, "chunks follow each other");
            *at += c.data.len() as u64;
            match c.kind {
                ChunkKind::Data => assert!(!c.data.is_empty()),
                ChunkKind::Gap(n) => {
                    assert!(n > 0 && c.data.is_empty());
                    *at += n;
                }
                ChunkKind::Depth | ChunkKind::End => *over = true,
            }
        }
    }
}

impl Ended for Seen {
    fn ending(&mut self, flow: &mut Flow, _: Reason, _: u64) {
        if let Some(s) = &mut flow.stream {
            self.take(s);
        }
        *self = Self::default(); // the next one is another conversation
    }
    fn record(&mut self, _: Record, _: &Flow) {}
}

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    let mut config = Config::default();
    config.pickup.midstream = choice & 1 != 0;
    config.pickup.async_oneside = choice & 2 != 0;
    config.stream.raw = choice & 4 != 0;
    config.stream.depth = if choice & 8 != 0 { 3000 } else { 0 };
    config.stream.reassembly_policy = if choice & 16 != 0 { Exception::Flow } else { Exception::Ignore };
    config.stream.reassembly_memcap = CAP as u64;
    let mut table = FlowTable::new(Arc::new(config), 1);
    let (mut seen, mut index, mut next) = (Seen::default(), 0u64, [1000u32, 4_294_967_000]);
    while let Some((&[control, flags, s, a, n, u], tail)) = rest.split_first_chunk() {
        rest = tail;
        index += 1;
        let me = usize::from(control & 1);
        // Around where the sides are, finer or coarser.
        let shift = (control >> 1) & 7;
        let seq = next[me].wrapping_add_signed(i32::from(s as i8) << shift);
        let ack = next[1 - me].wrapping_add_signed(i32::from(a as i8) << shift);
        let len = usize::from(n) << (control >> 6);
        let mut frame = vec![0u8; 40 + len];
        let total = (frame.len() as u16).to_be_bytes();
        frame[..10].copy_from_slice(&[0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 6]);
        let (from, to) = if me == 0 {
            ([10, 0, 0, 1, 10, 0, 0, 2], [4, 0, 0, 80])
        } else {
            ([10, 0, 0, 2, 10, 0, 0, 1], [0, 80, 4, 0])
        };
        frame[12..20].copy_from_slice(&from);
        frame[20..24].copy_from_slice(&to);
        frame[24..28].copy_from_slice(&seq.to_be_bytes());
        frame[28..32].copy_from_slice(&ack.to_be_bytes());
        frame[32..36].copy_from_slice(&[0x50, flags, 0x20, 0]);
        frame[39] = u;
        frame[40..].fill(index as u8);
        if flags & 4 == 0 {
            let end = seq.wrapping_add(len as u32 + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0));
            if end.wrapping_sub(next[me]) < 1 << 20 {
                next[me] = end;
            }
        }
        let raw = RawFrame {
            index,
            time: Timestamp::from_micros(index as i64 * 1000),
            linktype: 101,
            wire_len: frame.len() as u32,
            data: &frame,
        };
        let p = Decoder { checksums: false, ..Decoder::default() }.decode(raw);
        if let Outcome::Flow(mut f) = table.packet(&p, &mut seen) {
            let (direction, closing) = (f.direction, f.closing());
            if let Some(stream) = &mut f.flow.stream {
                seen.take(stream);
                if stream.raw_ready(direction, closing) {
                    for w in stream.raw_windows(direction) {
                        assert!(w.seen < w.data.len(), "a window shows something new");
                    }
                    stream.raw_done(direction);
                }
                assert!(stream.show(direction, 4096).len() <= 4096);
            }
            f.release();
        }
        assert!(table.stream_memory().counters().reassembly_peak <= CAP as u64);
    }
    table.finish(Timestamp::from_micros(index as i64 * 1000), index, &mut seen);
    let c = table.stream_memory().counters();
    assert_eq!((c.reassembly_memuse, c.active_sessions), (0, 0));
}
