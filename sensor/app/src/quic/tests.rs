// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Headers, frames and Google's hello, built by hand after RFC 9000 and Google's own documents.

use super::{
    parser::{Frame, Next, PacketType, frames, packet},
    *,
};
use crate::single::testing::Talk;

use Direction::{ToClient, ToServer};

/// A long header of a version with this first byte, two ids of four bytes, and what follows.
fn long(first: u8, version: u32, rest: &[u8]) -> Vec<u8> {
    [&[first][..], &version.to_be_bytes(), &[4, 1, 1, 1, 1, 4, 2, 2, 2, 2], rest].concat()
}

#[test]
fn types_of_packets_depend_on_the_version() {
    let v2 = 0x6b33_43cf;
    // A token of no bytes where the type has one, and a length of two bytes.
    let initial: &[u8] = &[0, 2, 9, 9];
    for (first, version, rest, want, left) in [
        (0xc0, 1, initial, PacketType::Initial, 0),
        (0xd0, 1, &[2, 9, 9], PacketType::ZeroRtt, 0),
        (0xe0, 1, &[2, 9, 9, 0x40], PacketType::Handshake, 1),
        (0xf0, 1, &[7; 20], PacketType::Retry, 0),
        // RFC 9369, 3.2.
        (0xd0, v2, initial, PacketType::Initial, 0),
        (0xe0, v2, &[2, 9, 9], PacketType::ZeroRtt, 0),
        (0xf0, v2, &[2, 9, 9], PacketType::Handshake, 0),
        (0xc0, v2, &[7; 20], PacketType::Retry, 0),
        (0x80, 0, &[0, 0, 0, 1], PacketType::VersionNegotiation, 0),
    ] {
        let datagram = long(first, version, rest);
        let Next::Long(p, after) = packet(&datagram) else { panic!("{first:x} {version:x}: {:?}", packet(&datagram)) };
        assert_eq!(
            (p.kind, p.version, p.dcid, p.scid),
            (want, version, &[1; 4][..], &[2; 4][..]),
            "{first:x} {version:x}"
        );
        assert_eq!(after.len(), left, "{first:x} {version:x}");
        for n in 1..15 {
            assert_eq!(packet(&datagram[..n]), Next::Damaged, "{first:x} {version:x} cut at {n}");
        }
    }
    // A length or a token beyond the datagram.
    assert_eq!(packet(&long(0xe0, 1, &[3, 9, 9])), Next::Damaged);
    assert_eq!(packet(&long(0xc0, 1, &[0x40, 200, 9])), Next::Damaged);
    assert_eq!(packet(&[0x40, 1, 2, 3]), Next::Short);
}

#[test]
fn frames_are_read_in_order_up_to_what_is_none() {
    let read = |payload: &[u8]| {
        let mut all = Vec::new();
        let whole = frames(payload, |f| all.push(format!("{f:?}")));
        (all, whole)
    };
    let other = format!("{:?}", Frame::Other);
    let ack: &[u8] = &[2, 9, 1, 1, 0, 3, 4]; // one range more than the first
    let counted: &[u8] = &[3, 9, 1, 0, 0, 1, 2, 3]; // with three counts
    let close: &[u8] = &[0x1c, 1, 6, 2, b'n', b'o'];
    for (frame, want) in [
        (&[1][..], other.clone()),
        (ack, other.clone()),
        (counted, other.clone()),
        (close, other),
        (&[6, 0x40, 7, 2, b'h', b'i'], format!("{:?}", Frame::Crypto(7, b"hi"))),
    ] {
        assert_eq!(read(frame), (vec![want.clone()], true), "{frame:?}");
        assert_eq!(read(&[&[0, 0], frame, &[0]].concat()), (vec![want], true), "between padding");
        for n in 1..frame.len() {
            assert_eq!(read(&frame[..n]), (vec![], false), "{frame:?} cut at {n}");
        }
    }
    assert!(!read(&[1, 0x30]).1, "no frame of an Initial packet");
    assert_eq!(read(&[0; 2000]), (vec![], true));
    // Threat: nothing but pings.
    assert_eq!(read(&[1; 2000]).0.len(), parser::MAX_FRAMES);
}

/// A packet of version 46 with a hello of these tags.
fn google(tags: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let (mut index, mut values) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        values.extend_from_slice(value);
        index.extend_from_slice(*tag);
        index.extend(u32::try_from(values.len()).unwrap().to_le_bytes());
    }
    let count = u16::try_from(tags.len()).unwrap().to_le_bytes();
    let hello = [b"CHLO", &count[..], &[0, 0], &index, &values].concat();
    let length = u16::try_from(hello.len()).unwrap().to_be_bytes();
    // Ids of eight and no bytes, a number of four, a hash of twelve; a frame of stream 1 with its length.
    [&[0xc3][..], b"Q046", &[0x50], &[1; 8], &[0, 0, 0, 1], &[7; 12], &[0, 0xa0, 1], &length, &hello].concat()
}

#[test]
fn googles_hello_has_a_name_an_agent_and_a_fingerprint() {
    let datagram = google(&[(b"PAD\0", b"--"), (b"SNI\0", b"example.org"), (b"UAID", b"test")]);
    let mut t = Talk::<Quic>::new();
    t.say(ToServer, &datagram, true);
    let mut w = JsonWriter::new();
    w.open();
    t.state.log(t.state.txs().at(0).unwrap(), &t.config, &mut w);
    w.close();
    assert_eq!(
        w.as_str(),
        concat!(
            r#"{"quic":{"version":"Q046","sni":"example.org","ua":"test","#,
            r#""cyu":[{"hash":"bc252431df58411cd2ea00eba190964f","string":"46,PAD-SNI-UAID"}]}}"#
        )
    );
    assert!(t.events().is_empty());
    assert_eq!(t.buffer(0, Buffer::QuicSni, ToServer, 0).as_deref(), Some("example.org"));
    assert_eq!(t.buffer(0, Buffer::QuicUa, ToServer, 0).as_deref(), Some("test"));
    assert_eq!(t.buffer(0, Buffer::QuicSni, ToClient, 0), None);
    // What ends before it is a hello says a version and no more.
    for n in 30..datagram.len() - 20 {
        let mut t = Talk::<Quic>::new();
        t.say(ToServer, &datagram[..n], true);
        assert_eq!(t.buffer(0, Buffer::QuicSni, ToServer, 0), None, "cut at {n}");
    }
    // Frames that are no stream's, a message of another kind, ends that go back.
    for (at, byte) in [(30, 0x40), (35, b'R')] {
        let mut other = datagram.clone();
        other[at] = byte;
        let mut t = Talk::<Quic>::new();
        t.say(ToServer, &other, true);
        assert_eq!(t.buffer(0, Buffer::QuicSni, ToServer, 0), None, "{at}");
    }
    // Threat: tags without end.
    let many = google(&[(b"AAAA", &b""[..]); 200]);
    let mut t = Talk::<Quic>::new();
    t.say(ToServer, &many, true);
    let tags = t.state.txs().at(0).unwrap().message.cyu.clone().unwrap().string;
    assert_eq!(tags.matches("AAAA").count(), parser::MAX_TAGS);
    assert_eq!(t.memory.used, t.state.txs().charged() + t.state.charged());
}

#[test]
fn what_cannot_be_opened_or_read_is_an_event() {
    let mut t = Talk::<Quic>::new();
    t.say(ToServer, &long(0xc0, 1, &[&[0, 40][..], &[9; 40]].concat()), true);
    assert_eq!(t.events(), ["failed_decrypt"]);
    let mut t = Talk::<Quic>::new();
    t.say(ToServer, &[0xc0, 0, 0], true);
    assert_eq!(t.events(), ["error_on_header"]);
    // A server that asks the client to begin anew, and one that speaks other versions.
    let mut t = Talk::<Quic>::new();
    t.say(ToClient, &long(0xf0, 1, &[7; 20]), true);
    t.say(ToClient, &long(0x80, 0, &[0, 0, 0, 1]), true);
    assert_eq!((t.events().len(), t.state.txs().len()), (0, 2));
}
