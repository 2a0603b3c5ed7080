// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames with right lengths and checksums, and whole TCP sessions, for what cannot be recorded.
//!
//! Must never build what a real stack would not send unless the caller breaks it on purpose afterwards.

use std::net::IpAddr;

use etherparse::{Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader, checksum::Sum16BitWords, ip_number};
use lagewarte_base::time::Timestamp;

use crate::Capture;

/// Bytes of an Ethernet frame.
pub type Frame = Vec<u8>;

/// Address and port of one side.
pub type Endpoint = (IpAddr, u16);

/// A TCP segment; `flags` as in the header's byte (FIN 1, SYN 2, RST 4, PSH 8, ACK 16).
pub fn tcp(src: Endpoint, dst: Endpoint, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Frame {
    let mut h = TcpHeader::new(src.1, dst.1, seq, 64_240);
    h.acknowledgment_number = ack;
    (h.fin, h.syn, h.rst, h.psh) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0, flags & 8 != 0);
    (h.ack, h.urg, h.ece, h.cwr) = (flags & 16 != 0, flags & 32 != 0, flags & 64 != 0, flags & 128 != 0);
    h.checksum = match (src.0, dst.0) {
        (IpAddr::V4(s), IpAddr::V4(d)) => h.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload),
        (IpAddr::V6(s), IpAddr::V6(d)) => h.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload),
        _ => mixed(),
    }
    .unwrap_or_else(|e| too_long(&e));
    ip(src.0, dst.0, ip_number::TCP.0, &[h.to_bytes().as_slice(), payload].concat())
}

/// A UDP datagram.
pub fn udp(src: Endpoint, dst: Endpoint, payload: &[u8]) -> Frame {
    let h = match (src.0, dst.0) {
        (IpAddr::V4(s), IpAddr::V4(d)) => UdpHeader::without_ipv4_checksum(src.1, dst.1, payload.len()).map(|mut h| {
            h.checksum = h.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload).unwrap_or_else(|e| too_long(&e));
            h
        }),
        (IpAddr::V6(s), IpAddr::V6(d)) => UdpHeader::without_ipv4_checksum(src.1, dst.1, payload.len()).map(|mut h| {
            h.checksum = h.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload).unwrap_or_else(|e| too_long(&e));
            h
        }),
        _ => mixed(),
    }
    .unwrap_or_else(|e| too_long(&e));
    ip(src.0, dst.0, ip_number::UDP.0, &[h.to_bytes().as_slice(), payload].concat())
}

/// An echo request or reply, in ICMP or ICMPv6 by the addresses.
pub fn icmp_echo(src: IpAddr, dst: IpAddr, request: bool, id: u16, seq: u16, payload: &[u8]) -> Frame {
    let kind = match (src.is_ipv4(), request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    icmp(src, dst, kind, 0, [id.to_be_bytes(), seq.to_be_bytes()].concat().as_slice(), payload)
}

/// "Destination unreachable" with `code`, sent by `src`, quoting the IP packet that the frame `about` carries.
pub fn icmp_unreachable(src: IpAddr, dst: IpAddr, code: u8, about: &[u8]) -> Frame {
    let quoted = about.get(14..).unwrap_or_default();
    let most = if src.is_ipv4() { 28 } else { 48 };
    icmp(src, dst, if src.is_ipv4() { 3 } else { 1 }, code, &[0; 4], &quoted[..quoted.len().min(most)])
}

/// An ARP request of an IPv4 address.
pub fn arp(sender: [u8; 4], target: [u8; 4]) -> Frame {
    let head = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
    [head.as_slice(), &sender, &[0; 6], &target].concat()
}

/// The same frame behind VLAN tags, outermost first (802.1ad outside, 802.1Q inside).
pub fn with_vlans(frame: &[u8], ids: &[u16]) -> Frame {
    let (macs, rest) = frame.split_at(frame.len().min(12));
    let mut out = macs.to_vec();
    for (i, id) in ids.iter().enumerate() {
        out.extend(if i + 1 < ids.len() { [0x88, 0xa8] } else { [0x81, 0x00] });
        out.extend((id & 0xfff).to_be_bytes());
    }
    out.extend_from_slice(rest);
    out
}

pub(crate) fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, rest: &[u8], payload: &[u8]) -> Frame {
    let mut body = [&[kind, code, 0, 0], rest, payload].concat();
    let mut sum = Sum16BitWords::new().add_slice(&body);
    if let (IpAddr::V6(s), IpAddr::V6(d)) = (src, dst) {
        let len = (body.len() as u32).to_be_bytes(); // a message is shorter than 2^16
        sum = sum.add_16bytes(s.octets()).add_16bytes(d.octets()).add_4bytes(len).add_2bytes([0, 58]);
    }
    let checksum = sum.ones_complement().to_be().to_be_bytes();
    body[2..4].copy_from_slice(&checksum);
    ip(src, dst, if src.is_ipv4() { 1 } else { 58 }, &body)
}

pub(crate) fn ip(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Frame {
    let len = u16::try_from(payload.len()).unwrap_or_else(|e| too_long(&e));
    let (ethertype, header) = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut h = Ipv4Header::new(len, 64, proto.into(), s.octets(), d.octets()).unwrap_or_else(|e| too_long(&e));
            h.header_checksum = h.calc_header_checksum();
            ([8, 0], h.to_bytes().to_vec())
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let h = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: len,
                next_header: proto.into(),
                hop_limit: 64,
                source: s.octets(),
                destination: d.octets(),
            };
            ([0x86, 0xdd], h.to_bytes().to_vec())
        }
        _ => mixed(),
    };
    let macs = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    [macs.as_slice(), &ethertype, &header, payload].concat()
}

#[expect(clippy::panic, reason = "a test's own mistake: it must show where it was made")]
fn mixed<T>() -> T {
    panic!("source and destination are of different IP versions")
}

#[expect(clippy::panic, reason = "a test's own mistake: it must show where it was made")]
fn too_long<T>(why: &dyn std::fmt::Display) -> T {
    panic!("the payload does not fit in a packet: {why}")
}

/// A TCP session being written into a capture: right numbers, one packet a millisecond.
pub struct Session<'c> {
    capture: &'c mut Capture,
    client: Endpoint,
    server: Endpoint,
    now: Timestamp,
    seq: [u32; 2],
}

impl<'c> Session<'c> {
    /// Begins with the handshake.
    pub fn open(capture: &'c mut Capture, client: Endpoint, server: Endpoint, at: Timestamp) -> Self {
        let mut s = Self { capture, client, server, now: at, seq: [1000, 900_000] };
        s.send(true, 2, &[]).send(false, 18, &[]).send(true, 16, &[]);
        s
    }
    /// Data from the client, acknowledged.
    pub fn client(&mut self, data: &[u8]) -> &mut Self {
        self.send(true, 24, data).send(false, 16, &[])
    }
    /// Data from the server, acknowledged.
    pub fn server(&mut self, data: &[u8]) -> &mut Self {
        self.send(false, 24, data).send(true, 16, &[])
    }
    /// The client says goodbye, the server too.
    pub fn close(&mut self) -> &mut Self {
        self.send(true, 17, &[]).send(false, 17, &[]).send(true, 16, &[])
    }
    /// The server resets.
    pub fn reset(&mut self) -> &mut Self {
        self.send(false, 20, &[])
    }
    /// Waits.
    pub fn wait(&mut self, micros: i64) -> &mut Self {
        self.now = Timestamp::from_micros(self.now.micros().saturating_add(micros));
        self
    }
    /// Time of the next packet.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, from_client: bool, flags: u8, data: &[u8]) -> &mut Self {
        let (src, dst, me) = if from_client { (self.client, self.server, 0) } else { (self.server, self.client, 1) };
        let ack = if flags & 16 != 0 { self.seq[1 - me] } else { 0 };
        let frame = tcp(src, dst, flags, self.seq[me], ack, data);
        self.seq[me] = self.seq[me].wrapping_add(data.len() as u32 + u32::from(flags & 3 != 0)); // a segment's length
        self.capture.push(self.now, frame);
        self.wait(1000)
    }
}
