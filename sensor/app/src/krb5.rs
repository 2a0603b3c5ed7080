// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Kerberos 5 (RFC 4120) over UDP and TCP: requests and answers for tickets, and errors, with the kinds of encryption that
//! were agreed on. Each message is a transaction of its own.
//!
//! Must never read a message longer than [`MAX_MESSAGE`], and never decrypt anything. Limits: [`MAX_PARTS`].

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    ber::{Element, Head, INTEGER, head},
    buffer::{Buffer, Field},
    config::Config,
    names::name,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Longest message over TCP. Threat: a length of 2 GiB announced.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// Parts of a name that are kept. Threat: a name of thousands.
pub const MAX_PARTS: usize = 16;

/// A flow's state.
pub type Krb5 = Single<Exchange>;

/// What a flow remembers: which request was the last.
#[derive(Debug, Default)]
pub struct Exchange {
    asked: Option<u8>,
}

/// Names of events, by number.
pub const EVENTS: &[&str] = &["malformed_data", "weak_encryption"];
const MALFORMED: u8 = 0;
const WEAK: u8 = 1;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its number: 10 is an AS-REQ; 0 where it could not be read.
    pub kind: u8,
    /// Whose ticket, in parts.
    pub client: Vec<Vec<u8>>,
    /// Where.
    pub realm: Vec<u8>,
    /// For which service, in parts.
    pub service: Vec<Vec<u8>>,
    /// How the answer is encrypted.
    pub encryption: Option<i64>,
    /// How the ticket is.
    pub ticket: Option<i64>,
    /// What went wrong, and with which request.
    pub error: Option<(i64, Option<u8>)>,
    /// It came in a datagram: the event goes its way. Over TCP it is written with the client's acknowledgement.
    pub datagram: bool,
}

/// Reads a message.
pub fn message(data: &[u8]) -> Option<Message> {
    let outer = Element::first(data)?;
    let kind = outer.tag & 0x1f;
    let body = Element::first(outer.content)?;
    let mut m = Message { kind, ..Message::default() };
    match kind {
        10 | 12 => {
            let body = body.field(4)?;
            m.client = body.field(1).map(principal).unwrap_or_default();
            m.realm = body.field(2)?.content.to_vec();
            m.service = body.field(3).map(principal).unwrap_or_default();
        }
        11 | 13 => {
            m.realm = body.field(3)?.content.to_vec();
            m.client = principal(body.field(4)?);
            let ticket = Element::first(body.field(5)?.content)?;
            m.service = principal(ticket.field(2)?);
            m.ticket = ticket.field(3).and_then(|e| e.field(0)).and_then(Element::number);
            m.encryption = body.field(6).and_then(|e| e.field(0)).and_then(Element::number);
        }
        30 => {
            m.error = Some((body.field(6)?.number()?, None));
            m.realm = body.field(7).map(|e| e.content.to_vec()).unwrap_or_default();
            m.client = body.field(8).map(principal).unwrap_or_default();
            m.service = body.field(10).map(principal).unwrap_or_default();
        }
        _ => {}
    }
    // What is written of a message must be the message's own word.
    let said = body.field(if matches!(kind, 10 | 12) { 2 } else { 1 }).filter(|e| e.tag == INTEGER)?;
    (said.number()? == i64::from(kind)).then_some(m)
}

fn principal(name: Element<'_>) -> Vec<Vec<u8>> {
    let parts = name.field(1).into_iter().flat_map(Element::elements);
    parts.take(MAX_PARTS).map(|e| e.content.to_vec()).collect()
}

/// Whether a kind of encryption is weak: everything but AES and Camellia.
pub const fn weak(kind: i64) -> bool {
    !matches!(kind, 17..=20 | 25 | 26)
}

impl Kind for Exchange {
    type Message = Message;
    const PROTO: AppProto = AppProto::Krb5;
    const EVENTS: &'static [&'static str] = EVENTS;
    const NAME: &'static str = "krb5";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Message> {
        let (head_len, len) = match input.data {
            _ if input.datagram => (0, input.data.len()),
            // The highest bit is reserved (RFC 4120, 7.2.2).
            [a, b, c, d, ..] => (4, u32::from_be_bytes([a & 0x7f, *b, *c, *d]) as usize),
            _ => return Read::More(4),
        };
        if len > MAX_MESSAGE {
            return Read::Error(Some((Message::default(), MALFORMED)));
        }
        let Some(bytes) = input.data.get(head_len..head_len + len) else { return Read::More(head_len + len) };
        let mut events = Events::default();
        let Some(mut m) = message(bytes) else {
            // A message of another kind, or none.
            if matches!(head(bytes), Head::Is(tag, ..) if matches!(tag & 0x1f, 14..=22)) {
                return Read::Skip(head_len + len);
            }
            events.set(MALFORMED);
            return Read::Message(Message::default(), head_len + len, events);
        };
        m.datagram = input.datagram;
        match (input.direction, &mut m.error) {
            (_, Some((_, failed))) => *failed = self.asked.take(),
            (Direction::ToServer, None) => self.asked = Some(m.kind),
            (Direction::ToClient, None) => self.asked = None,
        }
        // The ticket's own encryption is the service's choice, and the rule's to ask for.
        if m.encryption.is_some_and(weak) {
            events.set(WEAK);
        }
        Read::Message(m, head_len + len, events)
    }
    fn held(m: &Message) -> usize {
        let parts = m.client.iter().chain(&m.service).map(|p| p.len() + size_of::<Vec<u8>>());
        m.realm.len() + parts.sum::<usize>()
    }
    fn buffer(m: &Message, buffer: Buffer, _: Direction, index: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::Krb5Cname => m.client.get(index).map(Vec::as_slice),
            Buffer::Krb5Sname => m.service.get(index).map(Vec::as_slice),
            _ => None,
        }
    }
    fn number(m: &Message, field: Field, index: usize) -> Option<u64> {
        let signed = |n: i64| u64::from(u32::from_ne_bytes((n as i32).to_ne_bytes())); // as the wire has it
        match field {
            _ if index > 0 => None,
            Field::Krb5MsgType => (m.kind > 0).then_some(m.kind.into()),
            Field::Krb5ErrCode => m.error.map(|(code, _)| signed(code)),
            Field::Krb5TicketEncryption => m.ticket.map(signed),
            _ => None,
        }
    }
    fn written(m: &Message, _: &Config) -> (bool, bool) {
        (m.kind > 0, m.datagram)
    }
    fn log(m: &Message, _: &Config, w: &mut JsonWriter) {
        w.key("msg_type").string(kind_name(m.kind));
        if let Some((code, failed)) = m.error {
            w.key("failed_request").string(failed.map_or("UNKNOWN", kind_name));
            w.key("error_code");
            match error_name(code) {
                Some(name) => w.string(name),
                None => w.string(&code.to_string()),
            };
        }
        let text = |parts: &[Vec<u8>]| if parts.is_empty() { b"<empty>".to_vec() } else { parts.join(&b'/') };
        w.key("cname").bytes(&text(&m.client));
        w.key("realm").bytes(if m.realm.is_empty() { b"<empty>" } else { &m.realm });
        w.key("sname").bytes(&text(&m.service));
        w.key("encryption");
        encryption(m.encryption, w);
        w.key("weak_encryption").bool(m.encryption.is_some_and(weak));
        if m.ticket.is_some() {
            w.key("ticket_encryption");
            encryption(m.ticket, w);
            w.key("ticket_weak_encryption").bool(m.ticket.is_some_and(weak));
        }
    }
}

fn encryption(kind: Option<i64>, w: &mut JsonWriter) {
    match kind.map(|k| (k, encryption_name(k))) {
        None => w.string("<none>"),
        Some((_, Some(name))) => w.string(name),
        Some((k, None)) => w.string(&k.to_string()),
    };
}

const fn kind_name(kind: u8) -> &'static str {
    match kind {
        10 => "KRB_AS_REQ",
        11 => "KRB_AS_REP",
        12 => "KRB_TGS_REQ",
        13 => "KRB_TGS_REP",
        14 => "KRB_AP_REQ",
        15 => "KRB_AP_REP",
        30 => "KRB_ERROR",
        _ => "UNKNOWN",
    }
}

/// Names of encryption (IANA, "Kerberos Encryption Type Numbers").
pub fn encryption_name(kind: i64) -> Option<&'static str> {
    name(ENCRYPTIONS, kind)
}
const ENCRYPTIONS: &[(i64, &str)] = &[
    (1, "des-cbc-crc"),
    (2, "des-cbc-md4"),
    (3, "des-cbc-md5"),
    (5, "des3-cbc-md5"),
    (7, "des3-cbc-sha1"),
    (16, "des3-cbc-sha1-kd"),
    (17, "aes128-cts-hmac-sha1-96"),
    (18, "aes256-cts-hmac-sha1-96"),
    (19, "aes128-cts-hmac-sha256-128"),
    (20, "aes256-cts-hmac-sha384-192"),
    (23, "rc4-hmac"),
    (24, "rc4-hmac-exp"),
    (25, "camellia128-cts-cmac"),
    (26, "camellia256-cts-cmac"),
];

// RFC 4120, 7.5.9: those that are seen.
fn error_name(code: i64) -> Option<&'static str> {
    name(ERRORS, code)
}
const ERRORS: &[(i64, &str)] = &[
    (0, "KDC_ERR_NONE"),
    (1, "KDC_ERR_NAME_EXP"),
    (2, "KDC_ERR_SERVICE_EXP"),
    (3, "KDC_ERR_BAD_PVNO"),
    (4, "KDC_ERR_C_OLD_MAST_KVNO"),
    (5, "KDC_ERR_S_OLD_MAST_KVNO"),
    (6, "KDC_ERR_C_PRINCIPAL_UNKNOWN"),
    (7, "KDC_ERR_S_PRINCIPAL_UNKNOWN"),
    (8, "KDC_ERR_PRINCIPAL_NOT_UNIQUE"),
    (9, "KDC_ERR_NULL_KEY"),
    (10, "KDC_ERR_CANNOT_POSTDATE"),
    (11, "KDC_ERR_NEVER_VALID"),
    (12, "KDC_ERR_POLICY"),
    (13, "KDC_ERR_BADOPTION"),
    (14, "KDC_ERR_ETYPE_NOSUPP"),
    (15, "KDC_ERR_SUMTYPE_NOSUPP"),
    (16, "KDC_ERR_PADATA_TYPE_NOSUPP"),
    (17, "KDC_ERR_TRTYPE_NOSUPP"),
    (18, "KDC_ERR_CLIENT_REVOKED"),
    (19, "KDC_ERR_SERVICE_REVOKED"),
    (20, "KDC_ERR_TGT_REVOKED"),
    (21, "KDC_ERR_CLIENT_NOTYET"),
    (22, "KDC_ERR_SERVICE_NOTYET"),
    (23, "KDC_ERR_KEY_EXPIRED"),
    (24, "KDC_ERR_PREAUTH_FAILED"),
    (25, "KDC_ERR_PREAUTH_REQUIRED"),
    (26, "KDC_ERR_SERVER_NOMATCH"),
    (27, "KDC_ERR_MUST_USE_USER2USER"),
    (28, "KDC_ERR_PATH_NOT_ACCEPTED"),
    (29, "KDC_ERR_SVC_UNAVAILABLE"),
    (31, "KRB_AP_ERR_BAD_INTEGRITY"),
    (32, "KRB_AP_ERR_TKT_EXPIRED"),
    (33, "KRB_AP_ERR_TKT_NYV"),
    (34, "KRB_AP_ERR_REPEAT"),
    (35, "KRB_AP_ERR_NOT_US"),
    (36, "KRB_AP_ERR_BADMATCH"),
    (37, "KRB_AP_ERR_SKEW"),
    (38, "KRB_AP_ERR_BADADDR"),
    (39, "KRB_AP_ERR_BADVERSION"),
    (40, "KRB_AP_ERR_MSG_TYPE"),
    (41, "KRB_AP_ERR_MODIFIED"),
    (52, "KRB_ERR_RESPONSE_TOO_BIG"),
    (60, "KRB_ERR_GENERIC"),
    (61, "KRB_ERR_FIELD_TOOLONG"),
    (68, "KDC_ERR_WRONG_REALM"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        protocol::Protocol,
        single::testing::{Talk, hostile},
    };

    use Direction::{ToClient, ToServer};

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), &content].concat()
    }
    fn name(parts: &[&str]) -> Vec<u8> {
        let strings: Vec<Vec<u8>> = parts.iter().map(|p| tlv(0x1b, &[p.as_bytes()])).collect();
        let strings = tlv(0x30, &strings.iter().map(Vec::as_slice).collect::<Vec<_>>());
        tlv(0x30, &[&tlv(0xa0, &[&[2, 1, 1]]), &tlv(0xa1, &[&strings])])
    }
    fn as_req() -> Vec<u8> {
        let body = tlv(
            0x30,
            &[
                &tlv(0xa1, &[&name(&["test"])]),
                &tlv(0xa2, &[&tlv(0x1b, &[b"R.LOCAL"])]),
                &tlv(0xa3, &[&name(&["krbtgt", "R.LOCAL"])]),
            ],
        );
        tlv(0x6a, &[&tlv(0x30, &[&tlv(0xa1, &[&[2, 1, 5]]), &tlv(0xa2, &[&[2, 1, 10]]), &tlv(0xa4, &[&body])])])
    }
    fn error(code: u8) -> Vec<u8> {
        let parts = [
            tlv(0xa0, &[&[2, 1, 5]]),
            tlv(0xa1, &[&[2, 1, 30]]),
            tlv(0xa6, &[&[2, 1, code]]),
            tlv(0xaa, &[&name(&["s"])]),
        ];
        tlv(0x7e, &[&tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())])
    }
    fn as_rep(etype: u8, ticket: u8) -> Vec<u8> {
        let sealed = |t: u8| tlv(0x30, &[&tlv(0xa0, &[&[2, 1, t]])]);
        let inner = tlv(0x30, &[&tlv(0xa2, &[&name(&["s", "h"])]), &tlv(0xa3, &[&sealed(ticket)])]);
        let parts = [
            tlv(0xa1, &[&[2, 1, 11]]),
            tlv(0xa3, &[&tlv(0x1b, &[b"R"])]),
            tlv(0xa4, &[&name(&["c"])]),
            tlv(0xa5, &[&tlv(0x61, &[&inner])]),
            tlv(0xa6, &[&sealed(etype)]),
        ];
        tlv(0x6b, &[&tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())])
    }
    fn framed(m: &[u8]) -> Vec<u8> {
        [&u32::try_from(m.len()).unwrap().to_be_bytes(), m].concat()
    }

    #[test]
    fn an_exchange_over_tcp_however_it_comes() {
        for size in [1, 7, 1000] {
            let mut t = Talk::<Krb5>::new();
            framed(&as_req()).chunks(size).for_each(|p| t.say(ToServer, p, false));
            framed(&error(25)).chunks(size).for_each(|p| t.say(ToClient, p, false));
            framed(&as_rep(23, 18)).chunks(size).for_each(|p| t.say(ToClient, p, false));
            assert_eq!(
                t.json(),
                [
                    r#"{"krb5":{"msg_type":"KRB_AS_REQ","cname":"test","realm":"R.LOCAL","sname":"krbtgt/R.LOCAL","encryption":"<none>","weak_encryption":false}}"#,
                    r#"{"krb5":{"msg_type":"KRB_ERROR","failed_request":"KRB_AS_REQ","error_code":"KDC_ERR_PREAUTH_REQUIRED","cname":"<empty>","realm":"<empty>","sname":"s","encryption":"<none>","weak_encryption":false}}"#,
                    r#"{"krb5":{"msg_type":"KRB_AS_REP","cname":"c","realm":"R","sname":"s/h","encryption":"rc4-hmac","weak_encryption":true,"ticket_encryption":"aes256-cts-hmac-sha1-96","ticket_weak_encryption":false}}"#,
                ]
            );
            assert_eq!(t.buffer(0, Buffer::Krb5Sname, ToServer, 1).as_deref(), Some("R.LOCAL"));
            assert_eq!(t.number(1, Field::Krb5ErrCode, ToClient, 0), Some(25));
            assert_eq!(t.number(2, Field::Krb5TicketEncryption, ToClient, 0), Some(18));
            assert_eq!(t.events(), ["weak_encryption"]);
        }
    }

    /// As Suricata 7.0.10 writes them: the answer in a datagram from the server, over TCP with the client's acknowledgement.
    #[test]
    fn the_event_of_a_datagram_goes_its_way() {
        for (datagram, way) in [(true, Some(ToClient)), (false, None)] {
            let mut t = Talk::<Krb5>::new();
            let bytes = if datagram { error(25) } else { framed(&error(25)) };
            t.say(ToClient, &bytes, datagram);
            let tx = t.state.txs().at(0).expect("a message");
            assert_eq!(t.state.event_type(tx, &t.config), Some(("krb5", way)));
        }
    }

    #[test]
    fn what_is_damaged_is_an_event_and_a_truncation_is_no_message() {
        let wire = as_req();
        assert!((0..wire.len()).all(|n| message(&wire[..n]).is_none()));
        let mut t = Talk::<Krb5>::new();
        t.say(ToServer, &wire[..20], true);
        assert_eq!(t.events(), ["malformed_data"]);
        let mut t = Talk::<Krb5>::new();
        t.say(ToServer, &[0x7f, 0xff, 0xff, 0xff, 0x6a], false); // threat: a length of 2 GiB
        assert!(t.stopped && t.events() == ["malformed_data"]);
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(framed(&as_req())), Just(framed(&error(6))), Just(framed(&as_rep(1, 2))),
            prop::collection::vec(any::<u8>(), 0..70)]), 0..6), cut in 0usize..200, datagram: bool) {
            hostile::<Krb5>(&pieces, cut, datagram);
        }
    }
}
