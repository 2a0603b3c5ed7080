// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! BitTorrent's distributed hash table over UDP (BEP 5): each question, answer and error.
//!
//! A message is a dictionary in bencode. What was read of a damaged one is kept, with an event. Must never follow nested
//! lists by calling itself: they are counted. Limits: [`MAX_TEXT`], [`MAX_LISTED`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Bytes of a text that are kept; the rest is cut. Threat: an id as long as a datagram.
pub const MAX_TEXT: usize = 512;
/// Most nodes or peers of an answer that are kept. Threat: a datagram of nothing but peers.
pub const MAX_LISTED: usize = 128;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["malformed_packet"];
const MALFORMED: u8 = 0;

/// A flow's state.
pub type BittorrentDht = Single<Messages>;

/// See the module.
#[derive(Debug, Default)]
pub struct Messages;

/// A node or a peer: where it is, and a node's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// A node's id; None of a peer.
    pub id: Option<[u8; 20]>,
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of BEP 5")]
pub struct Request {
    pub id: Vec<u8>,
    pub target: Option<Vec<u8>>,
    pub info_hash: Option<Vec<u8>>,
    pub token: Option<Vec<u8>>,
    pub implied_port: Option<u64>,
    pub port: Option<u16>,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of BEP 5 and BEP 32")]
pub struct Response {
    pub id: Vec<u8>,
    pub nodes: Vec<Peer>,
    pub nodes6: Vec<Peer>,
    pub values: Vec<Peer>,
    pub token: Option<Vec<u8>>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its number, by which an answer belongs to its question.
    pub transaction: Vec<u8>,
    /// Which program wrote it.
    pub version: Option<Vec<u8>>,
    /// What kind of question it is.
    pub query: Option<Vec<u8>>,
    /// The question.
    pub request: Option<Request>,
    /// The answer.
    pub response: Option<Response>,
    /// An error: number and text.
    pub error: Option<(u64, Vec<u8>)>,
}

/// A value in bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(i64),
    Text(&'a [u8]),
    /// What a list holds.
    List(&'a [u8]),
    /// What a dictionary holds.
    Dictionary(&'a [u8]),
}

// The number before `end`, and what follows it.
fn number(data: &[u8], end: u8) -> Option<(i64, &[u8])> {
    let at = data.iter().take(21).position(|b| *b == end)?;
    let (digits, rest) = data.split_at_checked(at)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest.get(1..)?))
}

fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = number(data, b':')?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

// The value at the beginning, and what follows it.
fn value(data: &[u8]) -> Option<(Value<'_>, &[u8])> {
    match *data.first()? {
        b'i' => number(data.get(1..)?, b'e').map(|(n, rest)| (Value::Number(n), rest)),
        b'0'..=b'9' => text(data).map(|(t, rest)| (Value::Text(t), rest)),
        kind @ (b'l' | b'd') => {
            // Its end: where as many have ended as have begun.
            let (mut rest, mut open) = (data.get(1..)?, 1u32);
            let inner = rest;
            while open > 0 {
                rest = match *rest.first()? {
                    b'e' => {
                        open -= 1;
                        rest.get(1..)?
                    }
                    b'l' | b'd' => {
                        open += 1;
                        rest.get(1..)?
                    }
                    b'i' => number(rest.get(1..)?, b'e')?.1,
                    _ => text(rest)?.1,
                };
            }
            let held = inner.get(..inner.len() - rest.len() - 1)?; // at least its own end was read
            Some((if kind == b'l' { Value::List(held) } else { Value::Dictionary(held) }, rest))
        }
        _ => None,
    }
}

/// Members of a dictionary, or elements of a list; ends at what cannot be read.
struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    fn pair(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let (key, rest) = text(self.rest)?;
        let (v, rest) = value(rest)?;
        self.rest = rest;
        Some((key, v))
    }
    fn next(&mut self) -> Option<Value<'a>> {
        let (v, rest) = value(self.rest)?;
        self.rest = rest;
        Some(v)
    }
}

fn kept(text: &[u8]) -> Vec<u8> {
    text.get(..text.len().min(MAX_TEXT)).unwrap_or_default().to_vec()
}

fn peer(r: &mut Reader<'_>, id: Option<[u8; 20]>, v6: bool) -> Option<Peer> {
    let ip = if v6 { Ipv6Addr::from(r.array::<16>()?).into() } else { Ipv4Addr::from(r.array::<4>()?).into() };
    Some(Peer { id, ip, port: r.u16()? })
}

fn nodes(compact: &[u8], v6: bool) -> Vec<Peer> {
    let mut r = Reader::new(compact);
    std::iter::from_fn(|| {
        let id = r.array()?;
        peer(&mut r, Some(id), v6)
    })
    .take(MAX_LISTED)
    .collect()
}

fn request(held: &[u8]) -> (Request, bool) {
    let (mut a, mut all) = (Request::default(), Values { rest: held });
    let mut good = true;
    let mut id = None;
    while let Some((key, v)) = all.pair() {
        match (key, v) {
            (b"id", Value::Text(t)) => id = Some(kept(t)),
            (b"target", Value::Text(t)) => a.target = Some(kept(t)),
            (b"info_hash", Value::Text(t)) => a.info_hash = Some(kept(t)),
            (b"token", Value::Text(t)) => a.token = Some(kept(t)),
            (b"implied_port", Value::Number(n)) => a.implied_port = u64::try_from(n).ok(),
            (b"port", Value::Number(n)) => a.port = u16::try_from(n).ok(),
            (b"id" | b"target" | b"info_hash" | b"token" | b"implied_port" | b"port", _) => good = false,
            _ => {}
        }
    }
    good &= all.rest.is_empty() && id.is_some();
    a.id = id.unwrap_or_default();
    (a, good)
}

fn response(held: &[u8]) -> (Response, bool) {
    let (mut a, mut all) = (Response::default(), Values { rest: held });
    let mut good = true;
    let mut id = None;
    while let Some((key, v)) = all.pair() {
        match (key, v) {
            (b"id", Value::Text(t)) => id = Some(kept(t)),
            (b"token", Value::Text(t)) => a.token = Some(kept(t)),
            (b"nodes", Value::Text(t)) => a.nodes = nodes(t, false),
            (b"nodes6", Value::Text(t)) => a.nodes6 = nodes(t, true),
            (b"values", Value::List(l)) => {
                let mut list = Values { rest: l };
                while let Some(Value::Text(t)) = list.next() {
                    match peer(&mut Reader::new(t), None, t.len() == 18) {
                        Some(p) if a.values.len() < MAX_LISTED => a.values.push(p),
                        Some(_) => {}
                        None => good = false,
                    }
                }
                good &= list.rest.is_empty();
            }
            (b"id" | b"token" | b"nodes" | b"nodes6" | b"values", _) => good = false,
            _ => {}
        }
    }
    good &= all.rest.is_empty() && id.is_some();
    a.id = id.unwrap_or_default();
    (a, good)
}

/// Reads a datagram: what was understood, and whether that is all of it. None where it is no dictionary.
pub fn message(data: &[u8]) -> Option<(Message, bool)> {
    let mut all = Values { rest: data.strip_prefix(b"d")? };
    let (mut m, mut good) = (Message::default(), true);
    let (mut kind, mut numbered) = (None, false);
    while let Some((key, v)) = all.pair() {
        match (key, v) {
            (b"t", Value::Text(t)) => (m.transaction, numbered) = (kept(t), true),
            (b"v", Value::Text(t)) => m.version = Some(kept(t)),
            (b"q", Value::Text(t)) => m.query = Some(kept(t)),
            (b"y", Value::Text(t)) => kind = t.first().copied(),
            (b"a", Value::Dictionary(d)) => {
                let (a, fine) = request(d);
                (m.request, good) = (Some(a), good & fine);
            }
            (b"r", Value::Dictionary(d)) => {
                let (a, fine) = response(d);
                (m.response, good) = (Some(a), good & fine);
            }
            (b"e", Value::List(l)) => {
                let mut list = Values { rest: l };
                match (list.next(), list.next()) {
                    (Some(Value::Number(n)), Some(Value::Text(t))) => {
                        m.error = Some((u64::try_from(n).unwrap_or(0), kept(t)));
                    }
                    _ => good = false,
                }
            }
            (b"t" | b"v" | b"q" | b"y" | b"a" | b"r" | b"e", _) => good = false,
            _ => {}
        }
    }
    let whole = match kind {
        Some(b'q') => m.request.is_some() && m.query.is_some(),
        Some(b'r') => m.response.is_some(),
        Some(b'e') => m.error.is_some(),
        _ => false,
    };
    Some((m, good && numbered && whole && all.rest == b"e"))
}

impl Kind for Messages {
    type Message = Message;
    const PROTO: AppProto = AppProto::BittorrentDht;
    const EVENTS: &'static [&'static str] = EVENTS;
    const NAME: &'static str = "bittorrent_dht";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Message> {
        match message(input.data) {
            Some((m, good)) => {
                let mut events = Events::default();
                if !good {
                    events.set(MALFORMED);
                }
                Read::Message(m, input.data.len(), events)
            }
            None => Read::Error(Some((Message::default(), MALFORMED))),
        }
    }
    fn held(m: &Message) -> usize {
        let text = |t: &Option<Vec<u8>>| t.as_ref().map_or(0, Vec::len);
        let list = |l: &Vec<Peer>| l.len() * size_of::<Peer>();
        m.transaction.len()
            + text(&m.version)
            + text(&m.query)
            + m.request.as_ref().map_or(0, |a| a.id.len() + text(&a.target) + text(&a.info_hash) + text(&a.token))
            + m.response
                .as_ref()
                .map_or(0, |a| a.id.len() + text(&a.token) + list(&a.nodes) + list(&a.nodes6) + list(&a.values))
            + m.error.as_ref().map_or(0, |(_, t)| t.len())
    }
    fn buffer(_: &Message, _: Buffer, _: Direction, _: usize) -> Option<&[u8]> {
        None
    }
    fn number(_: &Message, _: Field, _: usize) -> Option<u64> {
        None
    }
    fn written(m: &Message, _: &Config) -> (bool, bool) {
        (m.request.is_some() || m.response.is_some() || m.error.is_some(), true)
    }
    fn log(m: &Message, _: &Config, w: &mut JsonWriter) {
        let hex = |key: &str, t: &Option<Vec<u8>>, w: &mut JsonWriter| {
            if let Some(t) = t {
                w.key(key).string(&hex::encode(t));
            }
        };
        w.key("transaction_id").string(&hex::encode(&m.transaction));
        hex("client_version", &m.version, w);
        if let Some(q) = &m.query {
            w.key("request_type").bytes(q);
        }
        if let Some((n, t)) = &m.error {
            w.key("error").open().key("num").u64(*n).key("msg").bytes(t).close();
        }
        if let Some(a) = &m.request {
            w.key("request").open().key("id").string(&hex::encode(&a.id));
            hex("target", &a.target, w);
            hex("info_hash", &a.info_hash, w);
            hex("token", &a.token, w);
            for (key, n) in [("implied_port", a.implied_port), ("port", a.port.map(u64::from))] {
                if let Some(n) = n {
                    w.key(key).u64(n);
                }
            }
            w.close();
        }
        if let Some(a) = &m.response {
            w.key("response").open().key("id").string(&hex::encode(&a.id));
            for (key, list) in [("nodes", &a.nodes), ("nodes6", &a.nodes6), ("values", &a.values)] {
                if list.is_empty() {
                    continue;
                }
                w.key(key).open_array();
                for p in list {
                    w.open();
                    if let Some(id) = &p.id {
                        w.key("id").string(&hex::encode(id));
                    }
                    w.key("ip").ip(p.ip).key("port").u64(p.port.into()).close();
                }
                w.close_array();
            }
            hex("token", &a.token, w);
            w.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    // The examples of BEP 5.
    const GET_PEERS: &[u8] =
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
    const PEERS: &[u8] = b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";
    const ERROR: &[u8] = b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";

    #[test]
    fn the_examples_of_the_specification() {
        let mut t = Talk::<BittorrentDht>::new();
        t.say(ToServer, GET_PEERS, true);
        t.say(ToClient, PEERS, true);
        t.say(ToClient, ERROR, true);
        assert_eq!(
            t.json(),
            [
                concat!(
                    r#"{"bittorrent_dht":{"transaction_id":"6161","request_type":"get_peers","request":"#,
                    r#"{"id":"6162636465666768696a30313233343536373839","info_hash":"6d6e6f707172737475767778797a313233343536"}}}"#
                ),
                concat!(
                    r#"{"bittorrent_dht":{"transaction_id":"6161","response":{"id":"6162636465666768696a30313233343536373839","#,
                    r#""values":[{"ip":"97.120.106.101","port":11893},{"ip":"105.100.104.116","port":28269}],"token":"616f6575736e7468"}}}"#
                ),
                r#"{"bittorrent_dht":{"transaction_id":"6161","error":{"num":201,"msg":"A Generic Error Ocurred"}}}"#,
            ]
        );
        assert_eq!(t.events(), [""; 0]);
    }

    #[test]
    fn compact_nodes_have_an_id_an_address_and_a_port() {
        let compact = [&[7; 20][..], &[192, 0, 2, 1, 0x1a, 0xe1], &[8; 20], &[192, 0, 2]].concat();
        let [node] = &nodes(&compact, false)[..] else { panic!("one node is whole") };
        assert_eq!((node.id, node.ip, node.port), (Some([7; 20]), "192.0.2.1".parse().unwrap(), 6881));
    }

    #[test]
    fn what_is_damaged_is_kept_as_far_as_it_was_read_with_an_event() {
        for wire in [GET_PEERS, PEERS, ERROR] {
            assert!(message(wire).is_some_and(|(_, good)| good));
            assert!((1..wire.len()).all(|n| message(&wire[..n]).is_some_and(|(_, good)| !good)), "every truncation");
        }
        for odd in [
            &b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe"[..], // no number
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:xe", // no such kind
            b"d1:ade1:q4:ping1:t2:aa1:y1:qe",                          // no id
            b"d1:q4:ping1:t2:aa1:y1:qe",                               // no arguments
            b"d1:e3:201:t2:aa1:y1:ee",                                 // an error that is no list
        ] {
            let mut t = Talk::<BittorrentDht>::new();
            t.say(ToServer, odd, true);
            assert_eq!(t.events(), ["malformed_packet"], "{}", String::from_utf8_lossy(odd));
        }
        let (m, _) = message(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe").unwrap();
        assert_eq!((m.query, m.transaction), (Some(b"ping".to_vec()), vec![]));
    }

    #[test]
    fn caps_hold() {
        // Threat: an id as long as a datagram, and nothing but peers.
        let long = [&b"d1:ad2:id9000:"[..], &[b'a'; 9000], b"e1:q4:ping1:t2:aa1:y1:qe"].concat();
        assert!(message(&long).is_some_and(|(m, _)| m.request.is_some_and(|a| a.id.len() == MAX_TEXT)));
        let many = [&b"d1:rd2:id1:a6:valuesl"[..], &b"6:axje.u".repeat(1000), b"ee1:t1:a1:y1:re"].concat();
        assert!(
            message(&many).is_some_and(|(m, good)| good && m.response.is_some_and(|r| r.values.len() == MAX_LISTED))
        );
        // Threat: lists in lists.
        assert!(message(&[b"d1:a", &[b'l'; 60_000][..]].concat()).is_some_and(|(_, good)| !good));
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(GET_PEERS.to_vec()), Just(PEERS.to_vec()), Just(ERROR.to_vec()),
            "d[0-9:a-eilqrty]{0,60}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..70)]), 0..6), cut in 0usize..120) {
            hostile::<BittorrentDht>(&pieces, cut, true);
        }
    }
}
