// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! ARP (RFC 826) for IPv4 over Ethernet: who asks for whom.
//!
//! Must never read addresses of other sizes: a message about another network or link is an event and nothing else.

use lagewarte_base::reader::Reader;

use crate::{Event, Packet};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// What is said: 1 asks, 2 answers.
    pub opcode: u16,
    /// Who says it.
    pub src: ([u8; 6], [u8; 4]),
    /// Who is meant.
    pub dst: ([u8; 6], [u8; 4]),
}

impl Arp {
    /// An opcode's name; None where it is not assigned.
    pub const fn opcode_name(self) -> Option<&'static str> {
        Some(match self.opcode {
            1 => "request",
            2 => "reply",
            3 => "request_reverse",
            4 => "reply_reverse",
            8 => "inarp_request",
            9 => "inarp_reply",
            10 => "arp_nak",
            _ => return None,
        })
    }
}

/// Reads a message into its packet.
pub(crate) fn message(p: &mut Packet<'_>, data: &[u8]) {
    let mut r = Reader::new(data);
    let (Some(hardware), Some(network), Some([hardware_size, network_size]), Some(opcode)) =
        (r.u16(), r.u16(), r.array(), r.u16())
    else {
        return p.events.set(Event::ArpPktTooSmall);
    };
    for (odd, event) in [
        (hardware != 1, Event::ArpUnsupportedHardware),
        (network != 0x0800, Event::ArpUnsupportedProtocol),
        (hardware_size != 6, Event::ArpInvalidHardwareSize),
        (network_size != 4, Event::ArpInvalidProtocolSize),
    ] {
        if odd {
            return p.events.set(event);
        }
    }
    let (Some(src_mac), Some(src_ip), Some(dst_mac), Some(dst_ip)) = (r.array(), r.array(), r.array(), r.array())
    else {
        return p.events.set(Event::ArpPktTooSmall);
    };
    let arp = Arp { opcode, src: (src_mac, src_ip), dst: (dst_mac, dst_ip) };
    if arp.opcode_name().is_none() {
        p.events.set(Event::ArpUnsupportedOpcode);
    }
    p.arp = Some(arp);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoder, RawFrame};

    fn decode(message: &[u8]) -> (Option<Arp>, Vec<Event>) {
        let frame = [&[0xff; 6][..], &[2; 6], &[8, 6], message].concat();
        let raw = RawFrame {
            index: 1,
            time: lagewarte_base::time::Timestamp::default(),
            linktype: 1,
            wire_len: u32::try_from(frame.len()).unwrap(),
            data: &frame,
        };
        let p = Decoder::default().decode(raw);
        (p.arp, p.events.iter().collect())
    }

    const WHO_HAS: [u8; 28] = [0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2];

    #[test]
    fn a_question_and_each_of_its_truncations() {
        let want = Arp { opcode: 1, src: ([2; 6], [192, 0, 2, 1]), dst: ([0; 6], [192, 0, 2, 2]) };
        assert_eq!(decode(&WHO_HAS), (Some(want), vec![]));
        assert_eq!(want.opcode_name(), Some("request"));
        for n in 0..WHO_HAS.len() {
            assert_eq!(decode(&WHO_HAS[..n]), (None, vec![Event::ArpPktTooSmall]), "{n} bytes");
        }
    }

    #[test]
    fn what_is_not_ipv4_over_ethernet_is_an_event() {
        for (at, value, event) in [
            (1, 6, Event::ArpUnsupportedHardware),
            (2, 9, Event::ArpUnsupportedProtocol),
            (4, 8, Event::ArpInvalidHardwareSize),
            (5, 16, Event::ArpInvalidProtocolSize),
        ] {
            let mut message = WHO_HAS;
            message[at] = value;
            assert_eq!(decode(&message), (None, vec![event]));
        }
        let mut message = WHO_HAS;
        message[7] = 77;
        let (arp, events) = decode(&message);
        assert!(arp.is_some() && events == [Event::ArpUnsupportedOpcode]);
    }

    proptest! {
        #[test]
        fn any_bytes(message: Vec<u8>) {
            let _ = decode(&message);
        }
    }
}
