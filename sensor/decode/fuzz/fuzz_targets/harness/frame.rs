// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A link type, whether checksums are tested, and any bytes as a frame: the payload lies inside, and nothing panics.
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Counters, Decoder, RawFrame, Route, owner, supported};

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let [linktype, checksums, data @ ..] = input else { return };
    let linktype = u16::from(*linktype);
    let _ = supported(linktype);
    let frame = RawFrame { index: 1, time: Timestamp::from_micros(1), linktype, wire_len: data.len() as u32, data };
    let decoder = Decoder { checksums: *checksums & 1 == 1, ..Decoder::default() };
    let mut p = decoder.decode(frame);
    if let Route::Plain(hash) = decoder.route(linktype, data) {
        assert!(p.inner.is_none() && p.ip.is_none_or(|ip| ip.fragment.is_none() && hash == owner(&p)));
    }
    let mut packets = 0;
    loop {
        assert!(p.payload.is_empty() || data.as_ptr_range().contains(&p.payload.as_ptr()));
        assert!(p.payload.len() <= data.len());
        Counters::default().count(&p);
        packets += 1;
        match decoder.inner(&p) {
            Some(inner) => p = inner,
            None => break,
        }
    }
    assert!(packets <= decoder.max_layers.into());
}
