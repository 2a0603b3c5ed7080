// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Messages as packets: a session with handshake and goodbye, datagrams, ICMP; and the header fields that a rule asks for.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use lagewarte_base::time::Timestamp;

use super::{dialogue::Step, model::Interval};
use crate::{Capture, Endpoint, Frame, builder};

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// With handshake.
    Tcp,
    /// One segment, without a session.
    Segment,
    /// Datagrams.
    Udp,
    /// ICMP.
    Icmp,
    /// Another IP protocol.
    Ip(u8),
}

/// A flow to be written.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What carries it.
    pub transport: Transport,
    /// Who begins.
    pub client: Endpoint,
    /// Who answers.
    pub server: Endpoint,
    /// What is said.
    pub(crate) steps: Vec<Step>,
    /// Whose packets carry the header fields.
    pub from_client: bool,
    /// Tests on headers: name, value.
    pub header: Vec<(String, String)>,
    /// Packets of both sides must have been seen before (`established`).
    pub answered: bool,
}

const MOST: usize = 1400;

/// Writes the flow behind what is in the capture.
pub(crate) fn write(capture: &mut Capture, flow: &Flow, at: Timestamp) {
    let first = capture.packets.len();
    match flow.transport {
        Transport::Tcp => session(capture, flow, at),
        Transport::Segment => {
            let flags = flags(flow).unwrap_or(24);
            let (src, dst) = flow.ends(flow.from_client);
            let data = flow.steps.first().map(|s| s.data.as_slice()).unwrap_or_default();
            let number = |names: [&str; 2]| flow.number(names[0]).or_else(|| flow.number(names[1]));
            let seq = number(["seq", "tcp.seq"]).and_then(|n| u32::try_from(n).ok()).unwrap_or(1000);
            let ack = number(["ack", "tcp.ack"]).and_then(|n| u32::try_from(n).ok());
            let ack = ack.unwrap_or(if flags & 16 != 0 { 77 } else { 0 });
            capture.push(at, builder::tcp(src, dst, flags, seq, ack, data));
        }
        Transport::Udp => {
            let mut now = at;
            let mut say = |from_client: bool, data: &[u8]| {
                let (src, dst) = flow.ends(from_client);
                capture.push(now, builder::udp(src, dst, data));
                now = Timestamp::from_micros(now.micros() + 1000);
            };
            let begins = flow.steps.first().map(|s| s.from_client);
            if flow.answered {
                say(true, &[0]);
                say(false, &[0]);
            } else if begins == Some(false) {
                say(true, &[0]);
            }
            for step in &flow.steps {
                say(step.from_client, &step.data);
            }
        }
        Transport::Icmp => {
            let number = |name: &str, usual: i64| flow.number(name).unwrap_or(usual);
            let (kind, code) = (number("itype", 8) as u8, number("icode", 0) as u8); // fields of one byte
            let rest = [(number("icmp_id", 7) as u16).to_be_bytes(), (number("icmp_seq", 1) as u16).to_be_bytes()];
            let (src, dst) = flow.ends(flow.from_client);
            let data = flow.steps.first().map(|s| s.data.as_slice()).unwrap_or_default();
            capture.push(at, builder::icmp(src.0, dst.0, kind, code, &rest.concat(), data));
        }
        Transport::Ip(proto) => {
            let (src, dst) = flow.ends(flow.from_client);
            let data = flow.steps.first().map(|s| s.data.as_slice()).unwrap_or_default();
            capture.push(at, builder::ip(src.0, dst.0, proto, data));
        }
    }
    let mine = flow.ends(flow.from_client).0.0;
    for packet in &mut capture.packets[first..] {
        patch(&mut packet.data, mine, flow);
        packet.wire_len = packet.data.len() as u32; // a frame is short
    }
}

fn session(capture: &mut Capture, flow: &Flow, at: Timestamp) {
    let mut s = builder::Session::open(capture, flow.client, flow.server, at);
    for step in &flow.steps {
        // An empty message is no message.
        for part in step.data.chunks(MOST) {
            if step.from_client {
                s.client(part);
            } else {
                s.server(part);
            }
        }
    }
    s.close();
}

fn flags(flow: &Flow) -> Option<u8> {
    let value = flow.value("flags").or_else(|| flow.value("tcp.flags"))?;
    let value = value.split(',').next()?.trim_start_matches(['+', '*']);
    if value.starts_with('!') {
        return Some(16);
    }
    let bit = |c: char| match c.to_ascii_uppercase() {
        'F' => 1,
        'S' => 2,
        'R' => 4,
        'P' => 8,
        'A' => 16,
        'U' => 32,
        'E' | '2' => 64,
        'C' | '1' => 128,
        _ => 0,
    };
    Some(value.chars().map(bit).fold(0, |a, b| a | b))
}

impl Flow {
    fn ends(&self, from_client: bool) -> (Endpoint, Endpoint) {
        if from_client { (self.client, self.server) } else { (self.server, self.client) }
    }
    fn value(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    // A number that passes the test of that name.
    fn number(&self, name: &str) -> Option<i64> {
        Interval::read(self.value(name)?)?.some()
    }
}

// Header fields of IPv4 packets sent by `mine`.
fn patch(frame: &mut Frame, mine: IpAddr, flow: &Flow) {
    let IpAddr::V4(mine) = mine else { return };
    if frame.get(12..14) != Some(&[8, 0]) || frame.get(26..30) != Some(&mine.octets()) {
        return;
    }
    if let Some(n) = flow.number("ttl") {
        frame[22] = n as u8; // one byte
    }
    if let Some(n) = flow.number("tos") {
        frame[15] = n as u8; // one byte
    }
    if let Some(n) = flow.number("id") {
        frame[18..20].copy_from_slice(&(n as u16).to_be_bytes()); // two bytes
    }
    if let Some(value) = flow.value("fragbits") {
        let bit = |c| match c {
            'M' => 0x20,
            'D' => 0x40,
            'R' => 0x80,
            _ => 0,
        };
        frame[20] = value.chars().map(bit).fold(0, |a: u8, b| a | b);
    }
    if let Some(n) = flow.number("window").or_else(|| flow.number("tcp.window"))
        && frame[23] == 6
    {
        let new = (n as u16).to_be_bytes(); // two bytes
        frame[48..50].copy_from_slice(&new);
        let len = (frame.len() as u16 - 34).to_be_bytes(); // a packet is shorter than 2^16
        frame[50..52].fill(0);
        let pseudo = [&frame[26..34], &[0, 6], len.as_slice()].concat();
        let sum = Sum16BitWords::new().add_slice(&pseudo).add_slice(&frame[34..]).ones_complement();
        frame[50..52].copy_from_slice(&sum.to_be().to_be_bytes());
    }
    frame[24..26].fill(0);
    let sum = Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement();
    frame[24..26].copy_from_slice(&sum.to_be().to_be_bytes());
}
