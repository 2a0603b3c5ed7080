// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! IGMP versions 1 to 3 (RFC 1112, RFC 2236, RFC 9776) and RGMP (RFC 3488), which is IGMP's to a group of its own.
//!
//! Must never read the records of a report: type and version are all that is asked for.

use std::net::{IpAddr, Ipv4Addr};

use crate::{Packet, Transport};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Igmp<'a> {
    /// Its type.
    pub kind: u8,
    /// The version that has such a message; None of other types, and of RGMP.
    pub version: Option<u8>,
    /// Whether it is one of RGMP.
    pub rgmp: bool,
    /// All of it.
    pub message: &'a [u8],
}

/// Where RGMP's messages go (RFC 3488, 3).
const RGMP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 25));

/// Reads a message into its packet; one that is too short stays a packet of a protocol that is not known.
pub(crate) fn message<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let Some(&[kind, code, ..]) = data.first_chunk::<8>() else {
        p.transport = Transport::Other;
        p.payload = data;
        return;
    };
    let rgmp = kind >= 0xfc && p.ip.is_some_and(|ip| ip.dst == RGMP);
    // A query's version shows in its length, and in the time that version 2 gave it (RFC 9776, 7.1).
    let version = match kind {
        _ if rgmp => None,
        0x11 if data.len() >= 12 => Some(3),
        0x11 if code == 0 => Some(1),
        0x11 | 0x16 | 0x17 => Some(2),
        0x12 => Some(1),
        0x22 => Some(3),
        _ => None,
    };
    p.transport = Transport::Igmp(Igmp { kind, version, rgmp, message: data });
    p.payload = &[];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, RawFrame};

    // An IPv4 packet of IGMP to this host, with this message.
    fn frame(dst: [u8; 4], message: &[u8]) -> Vec<u8> {
        let total = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
        let ip = [&[0x45, 0][..], &total, &[0, 1, 0, 0, 1, 2, 0, 0, 192, 0, 2, 1], &dst].concat();
        [&[0xff; 6][..], &[2; 6], &[8, 0], &ip, message].concat()
    }
    fn decode(frame: &[u8]) -> Packet<'_> {
        let time = lagewarte_base::time::Timestamp::default();
        let wire_len = u32::try_from(frame.len()).unwrap();
        Decoder { checksums: false, ..Decoder::default() }.decode(RawFrame {
            index: 1,
            time,
            linktype: 1,
            wire_len,
            data: frame,
        })
    }

    #[test]
    fn the_version_shows_in_type_length_and_time() {
        const ALL: [u8; 4] = [224, 0, 0, 1];
        const ROUTERS: [u8; 4] = [224, 0, 0, 25];
        for (dst, kind, code, len, version, rgmp) in [
            (ALL, 0x11, 0, 8, Some(1), false),
            (ALL, 0x11, 100, 8, Some(2), false),
            (ALL, 0x11, 100, 12, Some(3), false),
            (ALL, 0x12, 0, 8, Some(1), false),
            (ALL, 0x16, 0, 8, Some(2), false),
            (ALL, 0x17, 0, 8, Some(2), false),
            (ALL, 0x22, 0, 16, Some(3), false),
            (ALL, 0x13, 0, 8, None, false),
            (ALL, 0xff, 0, 8, None, false),
            (ROUTERS, 0xff, 0, 8, None, true),
        ] {
            let mut message = vec![0; len];
            (message[0], message[1]) = (kind, code);
            let frame = frame(dst, &message);
            let p = decode(&frame);
            let igmp = Igmp { kind, version, rgmp, message: &message };
            assert_eq!((p.igmp(), p.payload), (Some(&igmp), &[][..]), "{kind:#x} of {len} bytes");
            let short = self::frame(dst, &message[..7]);
            assert!(decode(&short).igmp().is_none());
        }
    }
}
