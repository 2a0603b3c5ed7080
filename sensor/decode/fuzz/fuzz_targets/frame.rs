// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A link type, whether checksums are tested, and any bytes as a frame: the payload lies inside, and nothing panics.
#![no_main]
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Counters, Decoder, RawFrame, shard, supported};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [linktype, checksums, data @ ..] = input else { return };
    let linktype = u16::from(*linktype);
    let _ = (supported(linktype), shard(linktype, data));
    let frame = RawFrame { index: 1, time: Timestamp::from_micros(1), linktype, wire_len: data.len() as u32, data };
    let p = Decoder { checksums: *checksums & 1 == 1 }.decode(frame);
    assert!(p.payload.is_empty() || data.as_ptr_range().contains(&p.payload.as_ptr()));
    assert!(p.payload.len() <= data.len());
    Counters::default().count(&p);
});
