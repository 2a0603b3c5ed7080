// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TFTP (RFC 1350): requests to read and to write. Data and acknowledgements belong to flows of their own ports and say
//! nothing that is written.
//!
//! Must never keep a name longer than [`MAX_NAME`].

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Longest name of a file that is kept; the rest is cut. Threat: a request as long as a datagram.
pub const MAX_NAME: usize = 1024;

/// A flow's state.
pub type Tftp = Single<Requests>;

/// See the module.
#[derive(Debug, Default)]
pub struct Requests;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it writes.
    pub write: bool,
    /// The file's name.
    pub file: Vec<u8>,
    /// `octet`, `netascii` or `mail`, in lower case.
    pub mode: Vec<u8>,
}

/// What a datagram is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request.
    Request(Request),
    /// Data, an acknowledgement, an error, an option's acknowledgement.
    Other,
    /// Nothing of TFTP.
    No,
}

/// Reads a datagram.
pub fn datagram(data: &[u8]) -> Parsed {
    let (write, rest) = match data {
        [0, 1, rest @ ..] => (false, rest),
        [0, 2, rest @ ..] => (true, rest),
        [0, 3..=6, _, _, ..] => return Parsed::Other,
        _ => return Parsed::No,
    };
    let mut parts = rest.split(|b| *b == 0);
    match (parts.next(), parts.next(), parts.next()) {
        // Both texts end with a zero.
        (Some(file), Some(mode), Some(_)) if !file.is_empty() && is_mode(mode) => Parsed::Request(Request {
            write,
            file: file.get(..file.len().min(MAX_NAME)).unwrap_or_default().to_vec(),
            mode: mode.to_ascii_lowercase(),
        }),
        _ => Parsed::No,
    }
}

fn is_mode(mode: &[u8]) -> bool {
    [&b"netascii"[..], b"octet", b"mail"].iter().any(|m| mode.eq_ignore_ascii_case(m))
}

impl Kind for Requests {
    type Message = Request;
    const PROTO: AppProto = AppProto::Tftp;
    const EVENTS: &'static [&'static str] = &[];
    const NAME: &'static str = "tftp";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Request> {
        match datagram(input.data) {
            Parsed::Request(r) => Read::Message(r, input.data.len(), Events::default()),
            Parsed::Other => Read::Skip(input.data.len()),
            Parsed::No => Read::Error(None),
        }
    }
    fn held(r: &Request) -> usize {
        r.file.len() + r.mode.len()
    }
    fn buffer(_: &Request, _: Buffer, _: Direction, _: usize) -> Option<&[u8]> {
        None
    }
    fn number(_: &Request, _: Field, _: usize) -> Option<u64> {
        None
    }
    fn log(r: &Request, _: &Config, w: &mut JsonWriter) {
        w.key("packet").string(if r.write { "write" } else { "read" });
        w.key("file").bytes(&r.file).key("mode").bytes(&r.mode);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    #[test]
    fn requests_and_each_of_their_truncations() {
        let wire = b"\0\x02rfc1350.txt\0OCTET\0";
        let mut t = Talk::<Tftp>::new();
        t.say(Direction::ToServer, wire, true);
        t.say(Direction::ToServer, b"\0\x03\0\x01data", true);
        assert_eq!(t.json(), [r#"{"tftp":{"packet":"write","file":"rfc1350.txt","mode":"octet"}}"#]);
        assert!((0..wire.len()).all(|n| !matches!(datagram(&wire[..n]), Parsed::Request(_))));
        assert_eq!(datagram(b"\0\x01name\0other\0"), Parsed::No);
        // Threat: a name as long as a datagram.
        let long = [&b"\0\x01"[..], &[b'a'; 9000], b"\0octet\0"].concat();
        assert!(matches!(datagram(&long), Parsed::Request(r) if r.file.len() == MAX_NAME));
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..70)), 0..6)) {
            hostile::<Tftp>(&pieces, usize::MAX, true);
        }
    }
}
