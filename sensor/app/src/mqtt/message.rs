// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Messages of MQTT 3.1, 3.1.1 and 5 (OASIS): bytes to values that borrow from them.
//!
//! Pure. Must never look outside a message, and never read a length of more than four bytes.

use lagewarte_base::reader::Reader;

/// Kinds of messages.
pub mod kind {
    #![expect(missing_docs, reason = "names of the standard, table 2-1")]
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// What a fixed header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Kind, flags, length of the header, of the rest.
    Is(u8, u8, usize, usize),
    /// More bytes are wanted.
    More,
    /// A length that is none.
    Bad,
}

/// Reads a fixed header.
pub fn head(data: &[u8]) -> Head {
    let Some((first, rest)) = data.split_first() else { return Head::More };
    let mut r = Reader::new(rest);
    match length(&mut r) {
        Some(len) => Head::Is(first >> 4, first & 15, data.len() - r.rest().len(), len),
        None if rest.len() < 4 && rest.iter().all(|b| b & 0x80 != 0) => Head::More,
        None => Head::Bad,
    }
}

// A number of one to four bytes, seven bits each.
fn length(r: &mut Reader<'_>) -> Option<usize> {
    let mut n = 0;
    for shift in [0, 7, 14, 21] {
        let b = r.u8()?;
        n |= usize::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn text<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let n = r.u16()?;
    r.take(n.into())
}

/// A will: its properties, topic, message.
pub type Will<'a> = (Properties<'a>, &'a [u8], &'a [u8]);

/// What a message says.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "names of the standard")]
pub enum Body<'a> {
    Connect {
        protocol: &'a [u8],
        version: u8,
        flags: u8,
        properties: Properties<'a>,
        client: &'a [u8],
        will: Option<Will<'a>>,
        user: Option<&'a [u8]>,
        password: Option<&'a [u8]>,
    },
    Connack {
        present: bool,
        code: u8,
        properties: Properties<'a>,
    },
    Publish {
        topic: &'a [u8],
        id: Option<u16>,
        properties: Properties<'a>,
        message: &'a [u8],
    },
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack {
        id: u16,
        code: Option<u8>,
        properties: Properties<'a>,
    },
    Subscribe {
        id: u16,
        properties: Properties<'a>,
        topics: Topics<'a>,
    },
    Unsubscribe {
        id: u16,
        properties: Properties<'a>,
        topics: Topics<'a>,
    },
    /// SUBACK, UNSUBACK.
    Granted {
        id: u16,
        properties: Properties<'a>,
        codes: &'a [u8],
    },
    /// DISCONNECT, AUTH.
    End {
        code: Option<u8>,
        properties: Properties<'a>,
    },
    Ping,
}

/// Topics that follow each other, each with its options where it is subscribed to.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    rest: &'a [u8],
    options: bool,
}

impl<'a> Iterator for Topics<'a> {
    type Item = (&'a [u8], u8);
    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Reader::new(self.rest);
        let topic = text(&mut r)?;
        let options = if self.options { r.u8()? } else { 0 };
        self.rest = r.rest();
        Some((topic, options))
    }
}

/// A property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u32),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A name of the user's, and its value.
    Pair(&'a [u8], &'a [u8]),
}

/// Properties of MQTT 5, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Iterator for Properties<'a> {
    type Item = (&'static str, Value<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Reader::new(self.0);
        let (name, form) = property(r.u8()?)?;
        let value = match form {
            Form::Byte => Value::Number(r.u8()?.into()),
            Form::Two => Value::Number(r.u16()?.into()),
            Form::Four => Value::Number(r.u32()?),
            Form::Var => Value::Number(u32::try_from(length(&mut r)?).ok()?),
            Form::Bytes => Value::Bytes(text(&mut r)?),
            Form::Pair => Value::Pair(text(&mut r)?, text(&mut r)?),
        };
        self.0 = r.rest();
        Some((name, value))
    }
}

impl<'a> Properties<'a> {
    fn read(r: &mut Reader<'a>, version: u8) -> Option<Self> {
        if version < 5 {
            return Some(Self::default());
        }
        let n = length(r)?;
        r.take(n).map(Self)
    }
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Form {
    Byte,
    Two,
    Four,
    Var,
    Bytes,
    Pair,
}

// MQTT 5, table 2-4.
const fn property(id: u8) -> Option<(&'static str, Form)> {
    use Form::{Byte, Bytes, Four, Pair, Two, Var};
    Some(match id {
        1 => ("payload_format_indicator", Byte),
        2 => ("message_expiry_interval", Four),
        3 => ("content_type", Bytes),
        8 => ("response_topic", Bytes),
        9 => ("correlation_data", Bytes),
        11 => ("subscription_identifier", Var),
        17 => ("session_expiry_interval", Four),
        18 => ("assigned_client_identifier", Bytes),
        19 => ("server_keep_alive", Two),
        21 => ("authentication_method", Bytes),
        22 => ("authentication_data", Bytes),
        23 => ("request_problem_information", Byte),
        24 => ("will_delay_interval", Four),
        25 => ("request_response_information", Byte),
        26 => ("response_information", Bytes),
        28 => ("server_reference", Bytes),
        31 => ("reason_string", Bytes),
        33 => ("receive_maximum", Two),
        34 => ("topic_alias_maximum", Two),
        35 => ("topic_alias", Two),
        36 => ("maximum_qos", Byte),
        37 => ("retain_available", Byte),
        38 => ("", Pair),
        39 => ("maximum_packet_size", Four),
        40 => ("wildcard_subscription_available", Byte),
        41 => ("subscription_identifier_available", Byte),
        42 => ("shared_subscription_available", Byte),
        _ => return None,
    })
}

/// Reads what follows the fixed header. None where it is damaged.
pub fn body(kind: u8, flags: u8, version: u8, bytes: &[u8]) -> Option<Body<'_>> {
    let mut r = Reader::new(bytes);
    Some(match kind {
        kind::CONNECT => {
            let (protocol, version, flags) = (text(&mut r)?, r.u8()?, r.u8()?);
            r.u16()?; // seconds to keep alive
            let properties = Properties::read(&mut r, version)?;
            let client = text(&mut r)?;
            let will = match flags & 4 {
                0 => None,
                _ => Some((Properties::read(&mut r, version)?, text(&mut r)?, text(&mut r)?)),
            };
            let user = if flags & 0x80 != 0 { Some(text(&mut r)?) } else { None };
            let password = if flags & 0x40 != 0 { Some(text(&mut r)?) } else { None };
            Body::Connect { protocol, version, flags, properties, client, will, user, password }
        }
        kind::CONNACK => {
            let (present, code) = (r.u8()? & 1 == 1, r.u8()?);
            let properties = if r.is_empty() { Properties::default() } else { Properties::read(&mut r, version)? };
            Body::Connack { present, code, properties }
        }
        kind::PUBLISH => {
            let topic = text(&mut r)?;
            let id = if flags & 6 != 0 { Some(r.u16()?) } else { None };
            let properties = Properties::read(&mut r, version)?;
            Body::Publish { topic, id, properties, message: r.rest() }
        }
        kind::PUBACK..=kind::PUBCOMP => {
            let id = r.u16()?;
            // In version 5 nothing says that all is well (OASIS, 3.4.2.1).
            let code = r.u8().or((version >= 5).then_some(0));
            let properties = if r.is_empty() { Properties::default() } else { Properties::read(&mut r, version)? };
            Body::Ack { id, code, properties }
        }
        kind::SUBSCRIBE | kind::UNSUBSCRIBE => {
            let id = r.u16()?;
            let properties = Properties::read(&mut r, version)?;
            let topics = Topics { rest: r.rest(), options: kind == kind::SUBSCRIBE };
            match kind {
                kind::SUBSCRIBE => Body::Subscribe { id, properties, topics },
                _ => Body::Unsubscribe { id, properties, topics },
            }
        }
        kind::SUBACK | kind::UNSUBACK => {
            let id = r.u16()?;
            let properties = Properties::read(&mut r, version)?;
            Body::Granted { id, properties, codes: r.rest() }
        }
        kind::DISCONNECT | kind::AUTH => {
            let code = r.u8();
            let properties = if r.is_empty() { Properties::default() } else { Properties::read(&mut r, version)? };
            // Nothing at all says that all is well; a code without properties counts as nothing, as Suricata has it.
            let code = code.filter(|_| bytes.len() >= 2).or((version >= 5).then_some(0));
            Body::End { code, properties }
        }
        _ => Body::Ping,
    })
}
