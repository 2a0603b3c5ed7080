// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Payloads out of the committed captures, read in the simplest way: Ethernet, IPv4, TCP in order or UDP. A second opinion
//! on what the parsers get, so it uses nothing of the product.

use std::path::Path;

use lagewarte_flow::Direction;
use lagewarte_testkit::Capture;

/// One flow: what was sent, in order, piece by piece, and the client's port.
pub(crate) struct Stream {
    pub(crate) client_port: u16,
    pub(crate) server_port: u16,
    pub(crate) pieces: Vec<(Direction, Vec<u8>)>,
}

impl Stream {
    /// All that one side sent.
    pub(crate) fn side(&self, d: Direction) -> Vec<u8> {
        self.pieces.iter().filter(|(of, _)| *of == d).flat_map(|(_, p)| p.clone()).collect()
    }
}

/// The flows of a capture under rules/captures, in the order of their first payload; the lower port is the server's.
pub(crate) fn streams(name: &str) -> Vec<Stream> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/captures").join(name);
    let capture = Capture::read(&std::fs::read(&path).expect("a committed capture")).expect("a pcap file");
    let mut flows: Vec<(Stream, [Option<u32>; 2])> = Vec::new();
    for p in &capture.packets {
        let Some(ip) = p.data.get(14..).filter(|_| p.data[12..14] == [8, 0]) else { continue };
        let (header, total) = (usize::from(ip[0] & 15) * 4, usize::from(u16::from_be_bytes([ip[2], ip[3]])));
        let transport = &ip[header..total];
        let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        let (source, target) = (port(0), port(2));
        let direction = if source > target { Direction::ToServer } else { Direction::ToClient };
        let (client_port, server_port) = (source.max(target), source.min(target));
        let at = flows
            .iter()
            .position(|(s, _)| s.client_port == client_port && s.server_port == server_port)
            .unwrap_or_else(|| {
                flows.push((Stream { client_port, server_port, pieces: Vec::new() }, [None; 2]));
                flows.len() - 1
            });
        let (stream, next) = &mut flows[at];
        let payload = match ip[9] {
            17 => &transport[8..],
            6 => {
                let payload = &transport[usize::from(transport[12] >> 4) * 4..];
                let seq = u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]]);
                let syn = u32::from(transport[13] >> 1 & 1);
                let expected = next[direction.index()].get_or_insert(seq);
                if seq != *expected {
                    assert!(payload.is_empty() || seq.wrapping_sub(*expected) > 1 << 31, "{name}: a hole before {seq}");
                    continue;
                }
                *expected = seq.wrapping_add(payload.len() as u32 + syn);
                payload
            }
            _ => continue,
        };
        if !payload.is_empty() {
            stream.pieces.push((direction, payload.to_vec()));
        }
    }
    flows.into_iter().map(|(s, _)| s).filter(|s| !s.pieces.is_empty()).collect()
}
