// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! NTP (RFC 5905) over UDP: version, mode, stratum and reference of each packet.
//!
//! Must never read an extension field or a MAC: nobody asks for them.

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// A flow's state.
pub type Ntp = Single<Packets>;

/// See the module.
#[derive(Debug, Default)]
pub struct Packets;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Version.
    pub version: u8,
    /// Mode: 3 is a client's, 4 a server's.
    pub mode: u8,
    /// Stratum and reference; a control packet has none.
    pub clock: Option<(u8, [u8; 4])>,
}

/// Reads a packet.
pub fn packet(data: &[u8]) -> Option<Packet> {
    let mut r = Reader::new(data);
    let first = r.u8()?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    if mode >= 6 {
        return (data.len() >= 8).then_some(Packet { version, mode, clock: None });
    }
    let stratum = r.u8()?;
    r.take(10)?; // poll, precision, root delay, root dispersion
    let reference = r.array()?;
    r.take(32)?; // the four times
    Some(Packet { version, mode, clock: Some((stratum, reference)) })
}

impl Kind for Packets {
    type Message = Packet;
    const PROTO: AppProto = AppProto::Ntp;
    const EVENTS: &'static [&'static str] = &[];
    const NAME: &'static str = "ntp";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Packet> {
        match packet(input.data) {
            Some(p) => Read::Message(p, input.data.len(), Events::default()),
            None => Read::Error(None),
        }
    }
    fn held(_: &Packet) -> usize {
        0
    }
    fn buffer(p: &Packet, buffer: Buffer, _: Direction, index: usize) -> Option<&[u8]> {
        match (buffer, &p.clock) {
            (Buffer::NtpReferenceId, Some((_, reference))) if index == 0 => Some(reference),
            _ => None,
        }
    }
    fn number(p: &Packet, field: Field, index: usize) -> Option<u64> {
        match field {
            _ if index > 0 => None,
            Field::NtpVersion => Some(p.version.into()),
            Field::NtpMode => Some(p.mode.into()),
            Field::NtpStratum => p.clock.map(|(stratum, _)| stratum.into()),
            _ => None,
        }
    }
    fn log(p: &Packet, _: &Config, w: &mut JsonWriter) {
        w.key("version").u64(p.version.into()).key("mode").u64(p.mode.into());
        if let Some((stratum, [a, b, c, d])) = p.clock {
            w.key("stratum").u64(stratum.into());
            w.key("reference_id").string(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    #[test]
    fn a_packet_and_each_of_its_truncations() {
        let mut wire = [0u8; 48];
        (wire[0], wire[1]) = (0x24, 2);
        wire[12..16].copy_from_slice(b"LOCL");
        let p = Packet { version: 4, mode: 4, clock: Some((2, *b"LOCL")) };
        assert_eq!(packet(&wire), Some(p));
        assert!((0..48).all(|n| packet(&wire[..n]).is_none()));
        assert_eq!(packet(&[0x16, 2, 0, 1, 0, 0, 0, 0]), Some(Packet { version: 2, mode: 6, clock: None }));
        let mut t = Talk::<Ntp>::new();
        t.say(Direction::ToClient, &wire, true);
        assert_eq!(t.json(), [r#"{"ntp":{"version":4,"mode":4,"stratum":2,"reference_id":"4c:4f:43:4c"}}"#]);
        assert_eq!(t.number(0, Field::NtpMode, Direction::ToClient, 0), Some(4));
        assert_eq!(t.number(0, Field::NtpMode, Direction::ToServer, 0), None);
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..70)), 0..6)) {
            hostile::<Ntp>(&pieces, usize::MAX, true);
        }
    }
}
