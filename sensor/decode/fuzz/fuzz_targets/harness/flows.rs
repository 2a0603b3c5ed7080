// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any run of frames (gap in ms, length, bytes) through a small flow table: at most one record a packet, each valid JSON.
use std::sync::Arc;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_flow::{Config, FlowTable, Outcome};

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let config = Config { memcap: 16 << 10, community_id: Some(0), ethernet: true, ..Config::default() };
    let mut table = FlowTable::new(Arc::new(config), 1);
    let (mut out, mut now, mut index, mut rest) = (Vec::new(), 0i64, 0u64, input);
    while let Some((&[g, h, n, m], tail)) = rest.split_first_chunk() {
        let (data, tail) = tail.split_at(tail.len().min(u16::from_le_bytes([n, m]).into()));
        (rest, index, now) = (tail, index + 1, now + 1000 * i64::from(u16::from_le_bytes([g, h])));
        let time = Timestamp::from_micros(now);
        let frame = RawFrame { index, time, linktype: 1, wire_len: data.len() as u32, data };
        if let Outcome::Flow(mut f) =
            table.packet(&Decoder { checksums: false, ..Decoder::default() }.decode(frame), &mut out)
        {
            while f.next_chunk().is_some() {}
            f.release();
        }
    }
    table.finish(Timestamp::from_micros(now), index, &mut out);
    assert!(out.len() as u64 <= index);
    for record in &out {
        serde_json::from_str::<serde_json::Value>(&record.json).expect("a record is JSON");
    }
}
