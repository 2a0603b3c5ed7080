// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! IKE, versions 1 and 2 (RFC 2408, 7296): each message's head, and of what is not encrypted the payloads that rules ask
//! for: chosen attributes, key exchange, nonce, vendor ids.
//!
//! Must never read an encrypted payload, nor more than [`MAX_PAYLOADS`] payloads of a message.

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Most payloads of a message that are read. Threat: a datagram of four-byte payloads.
pub const MAX_PAYLOADS: usize = 64;
/// Most attributes of a proposal.
const MAX_ATTRIBUTES: usize = 32;

/// A flow's state.
pub type Ike = Single<Messages>;

/// See the module.
#[derive(Debug, Default)]
pub struct Messages;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["malformed_data", "multiple_server_proposal"];
const MALFORMED: u8 = 0;
const MULTIPLE: u8 = 1;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The initiator's and the responder's number, in hex.
    pub spi: [String; 2],
    /// Major and minor version.
    pub version: (u8, u8),
    /// Kind of exchange.
    pub exchange: u8,
    /// Flags.
    pub flags: u8,
    /// Its number.
    pub id: u32,
    /// Kinds of its payloads.
    pub payloads: Vec<u8>,
    /// Attributes of the one transform that an SA payload holds; none where it offers several.
    pub attributes: Vec<(u16, u64)>,
    /// Proposals or transforms that an SA payload holds.
    pub offers: usize,
    /// Key exchange data.
    pub key: Vec<u8>,
    /// The nonce.
    pub nonce: Vec<u8>,
    /// Vendor ids, in hex.
    pub vendors: Vec<String>,
    damaged: bool,
}

/// Reads a datagram.
pub fn message(data: &[u8]) -> Option<Message> {
    let data = data.strip_prefix(&[0; 4]).filter(|d| d.len() >= 28).unwrap_or(data); // RFC 3948
    let mut r = Reader::new(data);
    let (initiator, responder) = (r.array::<8>()?, r.array::<8>()?);
    let [mut next, version, exchange, flags] = r.array()?;
    let (id, len) = (r.u32()?, r.u32()?);
    let mut body = r.sub((len as usize).checked_sub(28)?)?;
    let version = (version >> 4, version & 15);
    let mut m = Message {
        spi: [hex::encode(initiator), hex::encode(responder)],
        version,
        exchange,
        flags,
        id,
        ..Message::default()
    };
    let first = version.0 == 1;
    if first && flags & 1 != 0 {
        return Some(m); // encrypted
    }
    while next != 0 && m.payloads.len() < MAX_PAYLOADS {
        let kind = next;
        // Version 2's encrypted payload is the last.
        if !first && kind == 46 {
            m.payloads.push(kind);
            break;
        }
        let (Some(following), Some(_), Some(len)) = (body.u8(), body.u8(), body.u16()) else {
            m.damaged = true;
            break;
        };
        let Some(content) = usize::from(len).checked_sub(4).and_then(|n| body.take(n)) else {
            m.damaged = true;
            break;
        };
        m.payloads.push(kind);
        match (kind, first) {
            (1, true) => association(content, &mut m),
            (4, true) => m.key = content.to_vec(),
            // Group and two reserved bytes come first.
            (34, false) => m.key = content.get(4..).unwrap_or_default().to_vec(),
            (10, true) | (40, false) => m.nonce = content.to_vec(),
            (13, true) | (43, false) => m.vendors.push(hex::encode(content)),
            _ => {}
        }
        next = following;
    }
    Some(m)
}

// Version 1's SA payload: proposals of transforms of attributes.
fn association(content: &[u8], m: &mut Message) {
    let mut r = Reader::new(content);
    let (Some(_doi), Some(_situation)) = (r.u32(), r.u32()) else {
        m.damaged = true;
        return;
    };
    let mut last: Vec<(u16, u64)> = Vec::new();
    while let (Some(_), Some(_), Some(len)) = (r.u8(), r.u8(), r.u16()) {
        let Some(mut proposal) = usize::from(len).checked_sub(4).and_then(|n| r.sub(n)) else { break };
        let Some([_number, _protocol, spi, _transforms]) = proposal.array() else { break };
        if proposal.take(spi.into()).is_none() {
            break;
        }
        while let (Some(_), Some(_), Some(len)) = (proposal.u8(), proposal.u8(), proposal.u16()) {
            let Some(mut transform) = usize::from(len).checked_sub(4).and_then(|n| proposal.sub(n)) else { break };
            if transform.u32().is_none() || m.offers >= MAX_PAYLOADS {
                break;
            }
            m.offers += 1;
            last.clear();
            while let (Some(kind), Some(value)) = (transform.u16(), transform.u16()) {
                let value = match kind & 0x8000 {
                    0 => match transform.take(value.into()) {
                        Some(bytes) if bytes.len() <= 8 => bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
                        Some(_) => continue,
                        None => break,
                    },
                    _ => value.into(),
                };
                if last.len() < MAX_ATTRIBUTES {
                    last.push((kind & 0x7fff, value));
                }
            }
        }
    }
    if m.offers == 1 {
        m.attributes = last;
    }
}

/// Names of attributes as rules write them (RFC 2409, appendix A), with their numbers.
pub const ATTRIBUTES: &[(&str, u16)] = &[
    ("alg_enc", 1),
    ("alg_hash", 2),
    ("alg_auth", 3),
    ("alg_dh", 4),
    ("sa_group_type", 5),
    ("sa_life_type", 11),
    ("sa_life_duration", 12),
    ("alg_prf", 13),
    ("sa_key_length", 14),
    ("sa_field_size", 15),
];

const fn payload_name(kind: u8, first: bool) -> Option<&'static str> {
    Some(match (kind, first) {
        (1, true) | (33, false) => "SecurityAssociation",
        (2, true) => "Proposal",
        (3, true) => "Transform",
        (4, true) | (34, false) => "KeyExchange",
        (5, true) => "Identification",
        (6, true) | (37, false) => "Certificate",
        (7, true) | (38, false) => "CertificateRequest",
        (8, true) => "Hash",
        (9, true) => "Signature",
        (10, true) | (40, false) => "Nonce",
        (11, true) | (41, false) => "Notification",
        (12, true) | (42, false) => "Delete",
        (13, true) | (43, false) => "VendorID",
        (20 | 130, true) => "NatDiscovery",
        (46, false) => "EncryptedAndAuthenticated",
        _ => return None,
    })
}

impl Kind for Messages {
    type Message = Message;
    const PROTO: AppProto = AppProto::Ike;
    const EVENTS: &'static [&'static str] = EVENTS;
    const NAME: &'static str = "ike";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Message> {
        let Some(m) = message(input.data) else { return Read::Error(None) };
        let mut events = Events::default();
        if m.damaged {
            events.set(MALFORMED);
        }
        if input.direction == Direction::ToClient && m.offers > 1 {
            events.set(MULTIPLE);
        }
        Read::Message(m, input.data.len(), events)
    }
    fn held(m: &Message) -> usize {
        let vendors = m.vendors.iter().map(|v| v.len() + size_of::<String>());
        m.key.len() + m.nonce.len() + vendors.sum::<usize>() + m.payloads.len() + 16 * m.attributes.len() + 64
    }
    fn buffer(m: &Message, buffer: Buffer, d: Direction, index: usize) -> Option<&[u8]> {
        let [initiator, responder] = &m.spi;
        match (buffer, d) {
            (Buffer::IkeVendor, Direction::ToServer) => m.vendors.get(index).map(String::as_bytes),
            _ if index > 0 => None,
            (Buffer::IkeInitSpi, Direction::ToServer) => Some(initiator.as_bytes()),
            (Buffer::IkeRespSpi, Direction::ToClient) => Some(responder.as_bytes()),
            (Buffer::IkeKeyExchangePayload, _) => Some(m.key.as_slice()).filter(|k| !k.is_empty()),
            (Buffer::IkeNoncePayload, _) => Some(m.nonce.as_slice()).filter(|n| !n.is_empty()),
            _ => None,
        }
    }
    fn number(m: &Message, field: Field, index: usize) -> Option<u64> {
        match field {
            // The attribute's number above 48 bits of value.
            Field::IkeChosenSaAttribute => {
                m.attributes.get(index).map(|(kind, value)| u64::from(*kind) << 48 | (*value).min((1 << 48) - 1))
            }
            _ if index > 0 => None,
            Field::IkeExchtype => Some(m.exchange.into()),
            Field::IkeKeyExchangePayloadLength => Some(m.key.len() as u64).filter(|n| *n > 0),
            Field::IkeNoncePayloadLength => Some(m.nonce.len() as u64).filter(|n| *n > 0),
            _ => None,
        }
    }
    fn log(m: &Message, w: &mut JsonWriter) {
        let first = m.version.0 == 1;
        w.key("version_major").u64(m.version.0.into()).key("version_minor").u64(m.version.1.into());
        w.key("init_spi").string(&m.spi[0]).key("resp_spi").string(&m.spi[1]); // of two
        w.key("message_id").u64(m.id.into()).key("exchange_type").u64(m.exchange.into());
        for (kind, value) in &m.attributes {
            if let Some((name, _)) = ATTRIBUTES.iter().find(|(_, k)| k == kind) {
                w.key(&format!("{name}_raw")).u64(*value);
            }
        }
        w.key("payload").open_array();
        for kind in &m.payloads {
            match payload_name(*kind, first) {
                Some(name) => w.string(name),
                None => w.string(&format!("Unknown({kind})")),
            };
        }
        w.close_array();
        w.key(if first { "ikev1" } else { "ikev2" }).open();
        if first {
            w.key("encrypted_payloads").bool(m.flags & 1 != 0);
        }
        if !m.key.is_empty() {
            w.key("key_exchange_payload").string(&hex::encode(&m.key));
            w.key("key_exchange_payload_length").u64(m.key.len() as u64);
        }
        if !m.nonce.is_empty() {
            w.key("nonce_payload").string(&hex::encode(&m.nonce));
            w.key("nonce_payload_length").u64(m.nonce.len() as u64);
        }
        if !m.vendors.is_empty() {
            w.key("vendor_ids").open_array();
            for v in &m.vendors {
                w.string(v);
            }
            w.close_array();
        }
        w.close();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    fn payload(next: u8, content: &[u8]) -> Vec<u8> {
        [&[next, 0][..], &u16::try_from(content.len() + 4).unwrap().to_be_bytes(), content].concat()
    }
    fn wire(first: u8, version: u8, exchange: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(28 + body.len()).unwrap().to_be_bytes();
        [&[1; 8][..], &[2; 8], &[first, version, exchange, flags, 0, 0, 0, 0], &len, body].concat()
    }
    fn association(transforms: usize) -> Vec<u8> {
        // AES, SHA, a life of 86,400 seconds.
        let attributes = [0x80, 1, 0, 7, 0x80, 2, 0, 2, 0, 12, 0, 4, 0, 1, 0x51, 0x80];
        let transform = payload(0, &[&[1, 1, 0, 0][..], &attributes].concat());
        let proposal = payload(0, &[&[1, 1, 0, u8::try_from(transforms).unwrap()], transform.repeat(transforms).as_slice()].concat());
        [&[0, 0, 0, 1, 0, 0, 0, 1], proposal.as_slice()].concat()
    }
    fn main_mode(transforms: usize) -> Vec<u8> {
        let body =
            [payload(4, &association(transforms)), payload(10, b"keykey"), payload(13, b"nonce"), payload(0, &[0xab, 0xcd])];
        wire(1, 0x10, 2, 0, &body.concat())
    }

    #[test]
    fn an_exchange_of_version_1() {
        let mut t = Talk::<Ike>::new();
        t.say(ToServer, &main_mode(2), true);
        t.say(ToClient, &main_mode(1), true);
        t.say(ToServer, &wire(5, 0x10, 2, 1, b"encrypted"), true);
        let json = t.json();
        assert!(
            json[1].starts_with(concat!(
                r#"{"ike":{"version_major":1,"version_minor":0,"init_spi":"0101010101010101","resp_spi":"0202020202020202","message_id":0,"exchange_type":2,"#,
                r#""alg_enc_raw":7,"alg_hash_raw":2,"sa_life_duration_raw":86400,"payload":["SecurityAssociation","KeyExchange","Nonce","VendorID"]"#
            )),
            "{}",
            json[1]
        );
        assert!(!json[0].contains("alg_enc"), "several were offered: none is chosen");
        assert!(json[2].contains(r#""encrypted_payloads":true"#));
        assert_eq!(t.buffer(0, Buffer::IkeVendor, ToServer, 0).as_deref(), Some("abcd"));
        assert_eq!(t.buffer(0, Buffer::IkeInitSpi, ToServer, 0).as_deref(), Some("0101010101010101"));
        assert_eq!(t.buffer(1, Buffer::IkeNoncePayload, ToClient, 0).as_deref(), Some("nonce"));
        assert_eq!(t.number(1, Field::IkeChosenSaAttribute, ToClient, 2), Some(12 << 48 | 86_400));
        assert_eq!(t.number(1, Field::IkeKeyExchangePayloadLength, ToClient, 0), Some(6));
        assert!(t.events().is_empty());
    }

    #[test]
    fn version_2_ends_where_it_is_encrypted() {
        let body = [payload(40, &[0, 14, 0, 0, 9, 9]), payload(46, b"n"), payload(0, b"sealed")].concat();
        let m = message(&[&[0; 4][..], &wire(34, 0x20, 34, 8, &body)].concat()).unwrap();
        assert_eq!((m.payloads.as_slice(), m.key.as_slice(), m.nonce.as_slice()), (&[34, 40, 46][..], &[9, 9][..], &b"n"[..]));
    }

    #[test]
    fn what_is_damaged_is_an_event_and_a_truncation_is_no_message() {
        let whole = main_mode(1);
        assert!((0..whole.len()).all(|n| message(&whole[..n]).is_none()));
        let mut t = Talk::<Ike>::new();
        t.say(ToServer, &wire(13, 0x10, 2, 0, &[0, 0, 0, 99]), true);
        t.say(ToClient, &main_mode(2), true);
        assert_eq!(t.events(), ["malformed_data", "multiple_server_proposal"]);
        // Threat: a datagram of four-byte payloads.
        let many = message(&wire(13, 0x10, 2, 0, &payload(13, b"").repeat(1000))).unwrap();
        assert_eq!(many.payloads.len(), MAX_PAYLOADS);
    }

    proptest! {
        #[test]
        fn any_bytes(first: u8, version in prop::sample::select(vec![0x10u8, 0x20]), body: Vec<u8>, cut in 0usize..90) {
            hostile::<Ike>(&[(true, wire(first, version, 2, 0, &body)), (false, main_mode(1))], cut, true);
        }
    }
}
