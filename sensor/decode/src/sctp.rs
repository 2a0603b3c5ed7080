// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SCTP (RFC 9260): ports, verification tag, and the chunks of a packet.
//!
//! Must never put chunks together: each packet stands for itself. Limit: [`MAX_CHUNKS`].

use lagewarte_base::reader::Reader;

use crate::{Event, Packet, Transport};

/// Most chunks of a packet that are looked at. Threat: a packet of nothing but empty chunks against many rules.
pub const MAX_CHUNKS: usize = 512;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sctp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Verification tag.
    pub vtag: u32,
    /// The header and all chunks.
    pub packet: &'a [u8],
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Its type.
    pub kind: u8,
    /// What follows its length.
    pub value: &'a [u8],
}

/// The common header's length.
const HEADER: usize = 12;
/// Type of a chunk of user data, and the bytes before them: TSN, stream, number, payload protocol.
const DATA: (u8, usize) = (0, 12);

impl<'a> Sctp<'a> {
    /// The chunks, up to one that is damaged.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut r = Reader::new(self.packet.get(HEADER..).unwrap_or_default());
        std::iter::from_fn(move || {
            let [kind, _] = r.array()?;
            let len = usize::from(r.u16()?).checked_sub(4)?;
            let value = r.take(len)?;
            // Chunks begin at multiples of four; the last one need not be filled up.
            let fill = len.next_multiple_of(4) - len;
            r.take(fill.min(r.rest().len()))?;
            Some(Chunk { kind, value })
        })
        .take(MAX_CHUNKS)
    }
    /// The user data of each chunk that has some.
    pub fn user_data(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (kind, before) = DATA;
        self.chunks()
            .filter(move |c| c.kind == kind)
            .filter_map(move |c| c.value.get(before..))
            .filter(|d| !d.is_empty())
    }
}

/// Reads a packet; its payload is the user data of the first chunk that has some.
pub(crate) fn packet<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let mut r = Reader::new(data);
    let (Some(src_port), Some(dst_port), Some(vtag), Some(_)) = (r.u16(), r.u16(), r.u32(), r.u32()) else {
        return p.events.set(Event::SctpPktTooSmall);
    };
    let s = Sctp { src_port, dst_port, vtag, packet: data };
    p.transport = Transport::Sctp(s);
    p.payload = s.user_data().next().unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(chunks: &[u8]) -> Vec<u8> {
        [&[0, 7, 0, 9, 1, 2, 3, 4, 0, 0, 0, 0][..], chunks].concat()
    }
    fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len() + 4).unwrap().to_be_bytes();
        [&[kind, 3][..], &len, value, &vec![0; value.len().next_multiple_of(4) - value.len()]].concat()
    }
    fn sctp(packet: &[u8]) -> Sctp<'_> {
        Sctp { src_port: 7, dst_port: 9, vtag: 0x0102_0304, packet }
    }

    #[test]
    fn chunks_are_filled_up_to_four_bytes_and_end_at_a_damage() {
        let data = [&[0; 12][..], b"hello"].concat();
        let packet =
            of(&[chunk(0, &data), chunk(3, &[9; 12]), chunk(0, &[&[0; 12][..], b"x"].concat()), vec![1, 0]].concat());
        let s = sctp(&packet);
        assert_eq!(s.chunks().map(|c| (c.kind, c.value.len())).collect::<Vec<_>>(), [(0, 17), (3, 12), (0, 13)]);
        assert_eq!(s.user_data().collect::<Vec<_>>(), [&b"hello"[..], b"x"]);
        let unfilled = of(&[0, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'z']);
        assert_eq!(sctp(&unfilled).user_data().next(), Some(&b"z"[..]));
        let short = of(&[0, 3, 0, 3]); // a length that does not even hold its own header
        assert_eq!(sctp(&short).chunks().count(), 0);
    }

    /// Threat: a packet of nothing but empty chunks.
    #[test]
    fn the_number_of_chunks_is_bounded() {
        assert_eq!(sctp(&of(&chunk(9, b"").repeat(10_000))).chunks().count(), MAX_CHUNKS);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let packet = of(&bytes);
            prop_assert!(sctp(&packet).chunks().map(|c| c.value.len() + 4).sum::<usize>() <= bytes.len());
        }
    }
}
