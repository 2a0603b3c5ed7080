// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SNMP versions 1 (RFC 1157), 2c (RFC 1901, RFC 3416) and 3 (RFC 3412, RFC 3414) over UDP: each message with what it asks for.
//!
//! Must never look into an encrypted message, and never keep a value. Limits: [`MAX_TEXT`], [`MAX_VARIABLES`].

use std::net::Ipv4Addr;

use lagewarte_event::{
    eve::JsonWriter,
    names::{SNMP_PDUS, name_of},
};
use lagewarte_flow::{AppProto, Direction};

use crate::{
    ber::{Element, INTEGER, OCTETS, SEQUENCE},
    buffer::{Buffer, Field},
    config::Config,
    names::name,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Bytes of a community or a user's name that are kept. Threat: a community as long as a datagram.
pub const MAX_TEXT: usize = 512;
/// Most variables of a message that are kept. Threat: a datagram of nothing but variables.
pub const MAX_VARIABLES: usize = 256;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["malformed_data", "unknown_security_model", "version_mismatch"];
const MALFORMED: u8 = 0;
const SECURITY_MODEL: u8 = 1;
const VERSION: u8 = 2;

/// The user-based security model (RFC 3414).
const USM: i64 = 3;

/// A flow's state.
pub type Snmp = Single<Messages>;

/// What a flow remembers: the version of its first message.
#[derive(Debug, Default)]
pub struct Messages {
    version: Option<u8>,
}

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pdu {
    /// Its number: 0 is GetRequest.
    pub kind: u8,
    /// Status of an error; 0 for none.
    pub error: i64,
    /// What is asked for or told, in dotted form.
    pub variables: Vec<String>,
    /// Of a trap of version 1: which, whose, from where.
    pub trap: Option<(i64, String, Ipv4Addr)>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Version: 1, 2 or 3.
    pub version: u8,
    /// Community, of versions 1 and 2.
    pub community: Option<Vec<u8>>,
    /// User, of version 3.
    pub usm: Option<Vec<u8>>,
    /// What it carries; None where it is encrypted or damaged.
    pub pdu: Option<Pdu>,
    /// It is encrypted.
    pub encrypted: bool,
    /// Another security model than the one by users.
    pub other_model: bool,
}

fn kept(text: &[u8]) -> Vec<u8> {
    text.get(..text.len().min(MAX_TEXT)).unwrap_or_default().to_vec()
}

/// Reads a message: what was understood, and whether that is all of it. None where there is no version that is known.
pub fn message(data: &[u8]) -> Option<(Message, bool)> {
    let mut parts = Element::first(data).filter(|e| e.tag == SEQUENCE)?.elements();
    let version = match parts.next().filter(|e| e.tag == INTEGER)?.number()? {
        0 => 1,
        1 => 2,
        3 => 3,
        _ => return None,
    };
    let mut m = Message { version, ..Message::default() };
    let whole = if version == 3 { secured(&mut m, parts) } else { plain(&mut m, parts) };
    Some((m, whole.is_some()))
}

fn plain<'a>(m: &mut Message, mut parts: impl Iterator<Item = Element<'a>>) -> Option<()> {
    m.community = Some(kept(parts.next().filter(|e| e.tag == OCTETS)?.content));
    m.pdu = Some(pdu(parts.next()?)?);
    Some(())
}

// Version 3: what all have in common, the security model's parameters, and the message itself.
fn secured<'a>(m: &mut Message, mut parts: impl Iterator<Item = Element<'a>>) -> Option<()> {
    let mut common = parts.next().filter(|e| e.tag == SEQUENCE)?.elements();
    let flags = common.nth(2).filter(|e| e.tag == OCTETS)?;
    let model = common.next()?.number()?;
    let parameters = parts.next().filter(|e| e.tag == OCTETS)?;
    m.other_model = model != USM;
    if model == USM {
        let usm = Element::first(parameters.content).filter(|e| e.tag == SEQUENCE)?;
        // The engine, its boots and its time stand before the user.
        m.usm = Some(kept(usm.elements().nth(3).filter(|e| e.tag == OCTETS)?.content));
    }
    m.encrypted = flags.content.first().is_some_and(|f| f & 2 != 0);
    let data = parts.next()?;
    if !m.encrypted {
        m.pdu = Some(pdu(data.elements().nth(2)?)?);
    }
    Some(())
}

fn pdu(e: Element<'_>) -> Option<Pdu> {
    let kind = e.tag.checked_sub(0xa0).filter(|k| *k <= 8)?;
    let mut parts = e.elements();
    let mut out = Pdu { kind, ..Pdu::default() };
    if kind == TRAP_1 {
        // Enterprise, agent, generic and specific trap, a time.
        let enterprise = oid(parts.next()?)?;
        let agent: [u8; 4] = parts.next()?.content.try_into().ok()?;
        out.trap = Some((parts.next()?.number()?, enterprise, agent.into()));
        parts.nth(1)?;
    } else {
        parts.next()?.number()?; // the request's number
        // Of GetBulk these two say how much is asked for.
        let first = parts.next()?.number()?;
        parts.next()?.number()?;
        out.error = if kind == GET_BULK { 0 } else { first };
    }
    let list = parts.next().filter(|e| e.tag == SEQUENCE)?;
    for binding in list.elements().take(MAX_VARIABLES) {
        out.variables.push(oid(Element::first(binding.content)?)?);
    }
    Some(out)
}

const TRAP_1: u8 = 4;
const GET_BULK: u8 = 5;

// An OBJECT IDENTIFIER in dotted form (X.690, 8.19).
fn oid(e: Element<'_>) -> Option<String> {
    use std::fmt::Write;
    if e.tag != 6 || e.content.len() > MAX_TEXT {
        return None;
    }
    let (mut text, mut number, mut first) = (String::new(), 0u64, true);
    for b in e.content {
        number = number.checked_mul(128)? | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        if std::mem::take(&mut first) {
            let root = (number / 40).min(2);
            let _ = write!(text, "{root}.{}", number - root * 40); // writing into a String cannot fail
        } else {
            let _ = write!(text, ".{number}");
        }
        number = 0;
    }
    Some(text)
}

impl Kind for Messages {
    type Message = Message;
    const PROTO: AppProto = AppProto::Snmp;
    const EVENTS: &'static [&'static str] = EVENTS;
    const NAME: &'static str = "snmp";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Message> {
        let Some((m, whole)) = message(input.data) else {
            return Read::Error(Some((Message::default(), MALFORMED)));
        };
        let mut events = Events::default();
        let expected = *self.version.get_or_insert(m.version);
        for (raised, event) in [(!whole, MALFORMED), (m.other_model, SECURITY_MODEL), (m.version != expected, VERSION)]
        {
            if raised {
                events.set(event);
            }
        }
        Read::Message(m, input.data.len(), events)
    }
    fn held(m: &Message) -> usize {
        let text = |t: &Option<Vec<u8>>| t.as_ref().map_or(0, Vec::len);
        let variables = m.pdu.iter().flat_map(|p| &p.variables).map(|v| v.len() + size_of::<String>());
        text(&m.community) + text(&m.usm) + variables.sum::<usize>()
    }
    fn buffer(m: &Message, buffer: Buffer, _: Direction, index: usize) -> Option<&[u8]> {
        match buffer {
            _ if index > 0 => None,
            Buffer::SnmpCommunity => m.community.as_deref(),
            Buffer::SnmpUsm => m.usm.as_deref(),
            _ => None,
        }
    }
    fn number(m: &Message, field: Field, index: usize) -> Option<u64> {
        match field {
            _ if index > 0 => None,
            Field::SnmpVersion => (m.version > 0).then_some(m.version.into()),
            Field::SnmpPduType => m.pdu.as_ref().map(|p| p.kind.into()),
            _ => None,
        }
    }
    fn written(m: &Message, _: &Config) -> (bool, bool) {
        (m.version > 0, true)
    }
    fn log(m: &Message, _: &Config, w: &mut JsonWriter) {
        w.key("version").u64(m.version.into());
        if m.encrypted {
            w.key("pdu_type").string("encrypted");
        }
        if let Some(p) = &m.pdu {
            w.key("pdu_type").string(name_of(SNMP_PDUS, p.kind.into()).unwrap_or("unknown"));
            if p.error != 0 {
                w.key("error").string(&error(p.error));
            }
            if let Some((which, whose, from)) = &p.trap {
                w.key("trap_type").string(&trap(*which)).key("trap_oid").string(whose);
                w.key("trap_address").ip((*from).into());
            }
            if !p.variables.is_empty() {
                w.key("vars").open_array();
                for v in &p.variables {
                    w.string(v);
                }
                w.close_array();
            }
        }
        for (key, text) in [("community", &m.community), ("usm", &m.usm)] {
            if let Some(t) = text {
                w.key(key).bytes(t);
            }
        }
    }
}

// Status of an error (RFC 3416, 3), spelt as Suricata does.
fn error(n: i64) -> String {
    name(ERRORS, n).map_or_else(|| format!("ErrorStatus({n})"), str::to_owned)
}
const ERRORS: &[(i64, &str)] = &[
    (1, "TooBig"),
    (2, "NoSuchName"),
    (3, "BadValue"),
    (4, "ReadOnly"),
    (5, "GenErr"),
    (6, "NoAccess"),
    (7, "WrongType"),
    (8, "WrongLength"),
    (9, "WrongEncoding"),
    (10, "WrongValue"),
    (11, "NoCreation"),
    (12, "InconsistentValue"),
    (13, "ResourceUnavailable"),
    (14, "CommitFailed"),
    (15, "UndoFailed"),
    (16, "AuthorizationError"),
    (17, "NotWritable"),
    (18, "InconsistentName"),
];

// Generic traps of version 1 (RFC 1157, 4.1.6).
fn trap(n: i64) -> String {
    name(TRAPS, n).map_or_else(|| format!("TrapType({n})"), str::to_owned)
}
const TRAPS: &[(i64, &str)] = &[
    (0, "coldStart"),
    (1, "warmStart"),
    (2, "linkDown"),
    (3, "linkUp"),
    (4, "authenticationFailure"),
    (5, "egpNeighborLoss"),
    (6, "enterpriseSpecific"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), &content].concat()
    }
    // sysDescr.0 and an enterprise's number beyond one byte.
    fn bindings() -> Vec<u8> {
        let one = tlv(SEQUENCE, &[&[6, 8, 0x2b, 6, 1, 2, 1, 1, 1, 0], &[5, 0]]);
        let two = tlv(SEQUENCE, &[&[6, 8, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2], &[5, 0]]);
        tlv(SEQUENCE, &[&one, &two])
    }
    fn ask(version: u8, kind: u8, error: u8) -> Vec<u8> {
        let pdu = tlv(0xa0 | kind, &[&[2, 1, 9], &[2, 1, error], &[2, 1, 0], &bindings()]);
        tlv(SEQUENCE, &[&[2, 1, version], b"\x04\x06public", &pdu])
    }
    fn secured(flags: u8, model: u8) -> Vec<u8> {
        let common = tlv(SEQUENCE, &[&[2, 1, 1], &[2, 2, 5, 0], &[4, 1, flags], &[2, 1, model]]);
        let usm = tlv(SEQUENCE, &[b"\x04\x02en", &[2, 1, 1], &[2, 1, 2], b"\x04\x05alice", b"\x04\0", b"\x04\0"]);
        let pdu = tlv(0xa1, &[&[2, 1, 9], &[2, 1, 0], &[2, 1, 0], &bindings()]);
        let scoped = tlv(SEQUENCE, &[b"\x04\0", b"\x04\0", &pdu]);
        let data = if flags & 2 != 0 { tlv(OCTETS, &[&[0xaa; 30]]) } else { scoped };
        tlv(SEQUENCE, &[&[2, 1, 3], &common, &tlv(OCTETS, &[&usm]), &data])
    }
    fn trapped() -> Vec<u8> {
        let agent = [0x40, 4, 192, 0, 2, 1];
        let pdu = tlv(0xa4, &[&[6, 3, 0x2b, 6, 1], &agent, &[2, 1, 3], &[2, 1, 0], &[0x43, 1, 7], &bindings()]);
        tlv(SEQUENCE, &[&[2, 1, 0], b"\x04\x06public", &pdu])
    }

    #[test]
    fn messages_of_each_version() {
        const VARS: &str = r#""vars":["1.3.6.1.2.1.1.1.0","1.3.6.1.4.1.311.2"]"#;
        for (wire, want) in [
            (ask(0, 0, 0), format!(r#"{{"version":1,"pdu_type":"get_request",{VARS},"community":"public"}}"#)),
            (
                ask(1, 2, 5),
                format!(r#"{{"version":2,"pdu_type":"response","error":"GenErr",{VARS},"community":"public"}}"#),
            ),
            (ask(1, 5, 7), format!(r#"{{"version":2,"pdu_type":"get_bulk_request",{VARS},"community":"public"}}"#)),
            (secured(0, 3), format!(r#"{{"version":3,"pdu_type":"get_next_request",{VARS},"usm":"alice"}}"#)),
            (secured(3, 3), r#"{"version":3,"pdu_type":"encrypted","usm":"alice"}"#.to_owned()),
            (
                trapped(),
                format!(
                    r#"{{"version":1,"pdu_type":"trap_v1","trap_type":"linkUp","trap_oid":"1.3.6.1","trap_address":"192.0.2.1",{VARS},"community":"public"}}"#
                ),
            ),
        ] {
            let mut t = Talk::<Snmp>::new();
            t.say(ToServer, &wire, true);
            assert_eq!((t.json(), t.events()), (vec![format!(r#"{{"snmp":{want}}}"#)], vec![]));
        }
        let mut t = Talk::<Snmp>::new();
        t.say(ToServer, &secured(0, 3), true);
        assert_eq!(t.number(0, Field::SnmpVersion, ToServer, 0), Some(3));
        assert_eq!(t.number(0, Field::SnmpPduType, ToServer, 0), Some(1));
        assert_eq!(t.buffer(0, Buffer::SnmpUsm, ToServer, 0).as_deref(), Some("alice"));
        assert_eq!(t.buffer(0, Buffer::SnmpCommunity, ToServer, 0), None);
    }

    #[test]
    fn what_is_odd_is_an_event() {
        let mut t = Talk::<Snmp>::new();
        t.say(ToServer, &ask(0, 0, 0), true);
        t.say(ToClient, &ask(1, 2, 0), true);
        assert_eq!(t.events(), ["version_mismatch"]);
        let mut t = Talk::<Snmp>::new();
        t.say(ToServer, &secured(0, 9), true);
        assert_eq!(t.events(), ["unknown_security_model"]);
        for whole in [ask(0, 0, 0), secured(0, 3), trapped()] {
            for n in 1..whole.len() {
                let mut t = Talk::<Snmp>::new();
                t.say(ToServer, &whole[..n], true);
                assert_eq!(t.events(), ["malformed_data"], "{n}");
            }
        }
    }

    #[test]
    fn caps_hold() {
        // Threat: a community as long as a datagram, and nothing but variables.
        let pdu = tlv(0xa0, &[&[2, 1, 9], &[2, 1, 0], &[2, 1, 0], &tlv(SEQUENCE, &[&bindings()[4..].repeat(500)])]);
        let wire = tlv(SEQUENCE, &[&[2, 1, 1], &tlv(OCTETS, &[&[b'c'; 9000]]), &pdu]);
        let (m, whole) = message(&wire).unwrap();
        assert!(whole && m.community.is_some_and(|c| c.len() == MAX_TEXT));
        assert_eq!(m.pdu.unwrap().variables.len(), MAX_VARIABLES);
        assert_eq!(oid(Element { tag: 6, content: &[0xff; 40] }), None, "a number beyond 64 bits");
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(ask(1, 2, 0)), Just(secured(0, 3)), Just(trapped()),
            prop::collection::vec(any::<u8>(), 0..60).prop_map(|b| tlv(SEQUENCE, &[&[2, 1, 1], &[4, 0], &tlv(0xa0, &[&b])])),
            prop::collection::vec(any::<u8>(), 0..60)]), 0..6), cut in 0usize..150) {
            hostile::<Snmp>(&pieces, cut, true);
        }
    }
}
