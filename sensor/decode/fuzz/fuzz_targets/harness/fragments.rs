// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any run of frames (policy, gap in seconds, length, bytes) through tunnels and the fragment stage with tight caps: the
//! caps hold, and what is put together is a packet.
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Event, Origin, RawFrame};
use lagewarte_flow::defrag::{ByHost, Config, Defrag, Policy};

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let Some((&first, mut rest)) = input.split_first() else { return };
    let policies =
        [Policy::Bsd, Policy::BsdRight, Policy::Linux, Policy::Windows, Policy::Solaris, Policy::First, Policy::Last];
    let policy = ByHost::new(policies[usize::from(first) % policies.len()]);
    let cfg = Config { memcap: 200 << 10, trackers: 8, max_frags: 64, policy, ..Config::default() };
    let mut stage = Defrag::new(cfg);
    let decoder = Decoder { checksums: false, ..Decoder::default() };
    let mut secs = 0i64;
    while let Some((&[gap, n, m], tail)) = rest.split_first_chunk() {
        let (data, tail) = tail.split_at(tail.len().min(u16::from_le_bytes([n, m]).into()));
        (rest, secs) = (tail, secs + i64::from(gap));
        let time = Timestamp::from_parts(secs, 0);
        let raw = RawFrame { index: 1, time, linktype: 1, wire_len: data.len() as u32, data };
        let mut p = decoder.decode(raw);
        while let Some(inner) = decoder.inner(&p) {
            p = inner;
        }
        let mut origin = Origin::of(&p);
        origin.link_len = 0;
        let mut done = stage.packet(&p).whole;
        while let Some(whole) = done {
            assert!(whole.len() <= 65_575 + 40);
            let p = decoder.rebuilt(RawFrame { wire_len: whole.len() as u32, data: &whole, ..raw }, origin);
            assert!(
                p.ip.is_some() || p.events.has(Event::TooManyLayers),
                "a packet put together has an IP header: {p:?}"
            );
            origin = Origin::of(&p);
            origin.link_len = 0;
            done = stage.packet(&p).whole;
        }
        assert!(stage.active() <= 8);
    }
}
