// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The PDUs of DCE/RPC, connection-oriented and connectionless: pure bytes to what they say (C706, chapter 12; MS-RPCE 2.2).
//!
//! Must never look past a fragment's own length, and never take more than [`MAX_CONTEXTS`] from one.

use crate::{names::name, ordered::Ordered};

/// Length of the common header of a connection-oriented PDU (C706 12.6.3.1).
pub const HEAD: usize = 16;
/// Length of the header of a connectionless PDU (C706 12.5.2.2).
pub const DATAGRAM_HEAD: usize = 80;
/// Bytes of a response between the common header and its results.
pub const RESPONSE_HEAD: usize = 8;
/// Contexts that are taken from one bind; the number on the wire is one byte. Threat: each is kept for the connection.
pub const MAX_CONTEXTS: usize = 64;

/// Kinds of PDUs (C706 12.6.4.1, MS-RPCE 2.2.2.13), by number.
pub mod kind {
    #![expect(missing_docs, reason = "names of C706 and MS-RPCE")]
    pub const REQUEST: u8 = 0;
    pub const RESPONSE: u8 = 2;
    pub const FAULT: u8 = 3;
    pub const REJECT: u8 = 6;
    pub const BIND: u8 = 11;
    pub const BIND_ACK: u8 = 12;
    pub const BIND_NAK: u8 = 13;
    pub const ALTER_CONTEXT: u8 = 14;
    pub const ALTER_CONTEXT_RESP: u8 = 15;
}

/// A kind as EVE writes it.
pub fn kind_name(kind: u8) -> &'static str {
    name(KINDS, kind).unwrap_or("UNKNOWN")
}
const KINDS: &[(u8, &str)] = &[
    (0, "REQUEST"),
    (1, "PING"),
    (2, "RESPONSE"),
    (3, "FAULT"),
    (4, "WORKING"),
    (5, "NOCALL"),
    (6, "REJECT"),
    (7, "ACK"),
    (8, "CL_CANCEL"),
    (9, "FACK"),
    (10, "CANCEL_ACK"),
    (11, "BIND"),
    (12, "BINDACK"),
    (13, "BINDNAK"),
    (14, "ALTER_CONTEXT"),
    (15, "ALTER_CONTEXT_RESP"),
    (16, "AUTH3"),
    (17, "SHUTDOWN"),
    (18, "CO_CANCEL"),
    (19, "ORPHANED"),
    (20, "RTS"),
];

/// An interface's or object's name, in the order in which it is written.
pub type Uuid = [u8; 16];

/// A UUID as it is written: `8-4-4-4-12` hexadecimal digits.
pub fn written(uuid: &Uuid) -> String {
    let mut text = hex::encode(uuid);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

// In the byte order of the PDU: four, two and two bytes are numbers.
fn uuid(r: &mut Ordered<'_>) -> Option<Uuid> {
    let (a, b, c, rest) = (r.u32()?, r.u16()?, r.u16()?, r.array::<8>()?);
    let mut out = [0; 16];
    out[..4].copy_from_slice(&a.to_be_bytes()); // constant places in sixteen bytes
    out[4..6].copy_from_slice(&b.to_be_bytes());
    out[6..8].copy_from_slice(&c.to_be_bytes());
    out[8..].copy_from_slice(&rest);
    Some(out)
}

/// The common header of a connection-oriented PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Version and minor version.
    pub version: (u8, u8),
    /// What it is.
    pub kind: u8,
    /// It is the first fragment.
    pub first: bool,
    /// It is the last fragment.
    pub last: bool,
    /// Numbers have their lower byte first.
    pub little: bool,
    /// Bytes of the whole fragment.
    pub len: usize,
    /// Number of the call.
    pub call: u32,
}

/// Reads a header; None where fewer than [`HEAD`] bytes are there or they are none.
pub fn head(data: &[u8]) -> Option<Head> {
    let &[major, minor, kind, flags, drep, ..] = data else { return None };
    let mut r = Ordered::new(data.get(8..HEAD)?, drep & 0x10 != 0);
    let (len, _auth, call) = (usize::from(r.u16()?), r.u16()?, r.u32()?);
    (major == 5 && minor <= 1 && kind <= 20 && len >= HEAD).then_some(Head {
        version: (major, minor),
        kind,
        first: flags & 1 != 0,
        last: flags & 2 != 0,
        little: drep & 0x10 != 0,
        len,
        call,
    })
}

/// An interface that a client wants to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its number in this connection.
    pub id: u16,
    /// The interface.
    pub uuid: Uuid,
    /// Its version and minor version.
    pub version: (u16, u16),
}

/// What a PDU says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Bind or alter context: the interfaces wanted.
    Bind(Vec<Context>),
    /// Their acknowledgement: results and reasons, in the same order.
    Ack(Vec<(u16, u16)>),
    /// A request.
    Request {
        /// Which interface.
        context: u16,
        /// Which of its operations.
        opnum: u16,
        /// The operation's parameters, with the object before them where there is one and the verifier behind them, as
        /// Suricata takes them.
        stub: &'a [u8],
    },
    /// A response: what follows the common header. Suricata counts the eight bytes before the results among the stub data
    /// over TCP, and does not in a named pipe; so do we, by [`RESPONSE_HEAD`].
    Response {
        /// Hint, context and count, and the operation's results.
        rest: &'a [u8],
    },
    /// Anything else.
    Other,
}

/// Reads a whole fragment, of which `head` is the header; None where it is damaged.
pub fn body<'a>(head: &Head, data: &'a [u8]) -> Option<Body<'a>> {
    let whole = data.get(..head.len)?;
    let mut r = Ordered::new(whole.get(HEAD..)?, head.little);
    Some(match head.kind {
        kind::BIND | kind::ALTER_CONTEXT => {
            r.take(8)?; // sizes of fragments, association group
            let n = usize::from(r.u8()?);
            r.take(3)?;
            let mut list = Vec::new();
            for _ in 0..n.min(MAX_CONTEXTS) {
                let (id, syntaxes) = (r.u16()?, usize::from(r.u8()?));
                r.u8()?;
                let uuid = uuid(&mut r)?;
                let version = (r.u16()?, r.u16()?);
                r.take(20 * syntaxes)?;
                list.push(Context { id, uuid, version });
            }
            Body::Bind(list)
        }
        kind::BIND_ACK | kind::ALTER_CONTEXT_RESP => {
            r.take(8)?;
            let address = usize::from(r.u16()?);
            r.take(address)?;
            // The results begin at a multiple of four.
            let at = whole.len() - r.rest().len();
            r.take(at.next_multiple_of(4) - at)?;
            let n = usize::from(r.u8()?);
            r.take(3)?;
            let mut list = Vec::new();
            for _ in 0..n.min(MAX_CONTEXTS) {
                list.push((r.u16()?, r.u16()?));
                r.take(20)?;
            }
            Body::Ack(list)
        }
        kind::REQUEST => {
            r.u32()?;
            let (context, opnum) = (r.u16()?, r.u16()?);
            Body::Request { context, opnum, stub: r.rest() }
        }
        kind::RESPONSE => {
            let rest = r.rest();
            r.take(RESPONSE_HEAD)?;
            Body::Response { rest }
        }
        _ => Body::Other,
    })
}

/// A connectionless PDU (C706 12.5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What it is.
    pub kind: u8,
    /// It is a fragment, and the last one.
    pub last: bool,
    /// It is a fragment.
    pub fragment: bool,
    /// Numbers have their lower byte first.
    pub little: bool,
    /// The interface.
    pub interface: Uuid,
    /// Its version and minor version.
    pub version: (u16, u16),
    /// The activity that the call belongs to.
    pub activity: Uuid,
    /// Number of the call in it.
    pub sequence: u32,
    /// Which operation.
    pub opnum: u16,
    /// Parameters or results.
    pub stub: &'a [u8],
}

/// Reads a datagram; None where it is none.
pub fn datagram(data: &[u8]) -> Option<Datagram<'_>> {
    let &[4, kind, flags, _, drep, ..] = data else { return None };
    let mut r = Ordered::new(data.get(8..)?, drep & 0x10 != 0);
    let _object = uuid(&mut r)?;
    let (interface, activity) = (uuid(&mut r)?, uuid(&mut r)?);
    let _boot = r.u32()?;
    let version = r.u32()?;
    let (sequence, opnum) = (r.u32()?, r.u16()?);
    r.take(4)?; // hints
    let (len, _number) = (usize::from(r.u16()?), r.u16()?);
    r.take(2)?;
    let [low, high] = [version as u16, (version >> 16) as u16]; // the halves
    (kind <= 10).then_some(Datagram {
        kind,
        last: flags & 2 != 0,
        fragment: flags & 4 != 0,
        little: drep & 0x10 != 0,
        interface,
        version: (low, high),
        activity,
        sequence,
        opnum,
        stub: r.rest().get(..len).unwrap_or(r.rest()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bind(little: bool) -> Vec<u8> {
        // A bind to svcctl 2.0 with NDR, context 1; MS-SCMR 1.9 has the UUID.
        let n16 = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let n32 = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let syntax = |a, b, c, tail: [u8; 8]| [&n32(a)[..], &n16(b), &n16(c), &tail].concat();
        let mut v = vec![5, 0, kind::BIND, 3, if little { 0x10 } else { 0 }, 0, 0, 0];
        for part in [
            &n16(72)[..],
            &n16(0),
            &n32(9),
            &n16(4280),
            &n16(4280),
            &n32(0),
            &[1, 0, 0, 0],
            &n16(1),
            &[1, 0],
            &syntax(0x367a_bb81, 0x9844, 0x35f1, [0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3]),
            &n16(2),
            &n16(0),
            &syntax(0x8a88_5d04, 0x1ceb, 0x11c9, [0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60]),
            &n32(2),
        ] {
            v.extend_from_slice(part);
        }
        v
    }

    #[test]
    fn a_bind_in_both_orders_and_each_of_its_truncations() {
        for little in [true, false] {
            let wire = bind(little);
            let h = head(&wire).unwrap();
            assert_eq!((h.kind, h.len, h.call, h.first, h.last, h.little), (kind::BIND, 72, 9, true, true, little));
            let Some(Body::Bind(list)) = body(&h, &wire) else { panic!("no bind") };
            assert_eq!(list.len(), 1);
            assert_eq!((list[0].id, list[0].version), (1, (2, 0)));
            assert_eq!(written(&list[0].uuid), "367abb81-9844-35f1-ad32-98f038001003");
            for n in 0..wire.len() {
                assert!(n >= HEAD || head(&wire[..n]).is_none());
                assert_eq!(body(&h, &wire[..n]), None);
                // A length that cuts it off.
                let short = Head { len: n.max(HEAD), ..h };
                assert_eq!(body(&short, &wire), None);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>, kind in 0u8..21) {
            let h = Head { version: (5, 0), kind, first: true, last: true, little: true, len: data.len(), call: 0 };
            let _ = (head(&data), body(&h, &data), datagram(&data));
        }
    }
}
