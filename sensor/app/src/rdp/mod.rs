// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! RDP's greeting (MS-RDPBCGR 2.2.1): who asks, what the server agrees to, and what the client says of itself. Where TLS is
//! agreed on, the certificate that the server shows is read, and the flow stays RDP; what follows is not read. Or it goes on
//! as TLS, where that is wanted ([`Choices::tls`]).
//!
//! Must never keep more than [`MAX_CHANNELS`] channels, nor read a PDU or a record of TLS beyond its own length.

mod names;

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    names::name,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tls::{cert, hello::ServerHello, parser, session::is_13},
    tx::Events,
};

/// Most channels of a client that are kept (the protocol's own limit is 31).
pub const MAX_CHANNELS: usize = 32;

/// Choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Whether a flow that agreed to TLS goes on as TLS, with its events and rules. Suricata's stay RDP.
    pub tls: bool,
}

/// A flow's state.
pub type Rdp = Single<Greeting>;

/// What a flow remembers: by direction, whether its part of the greeting is over.
#[derive(Debug, Default)]
pub struct Greeting {
    over: [bool; 2],
    // The server agreed to TLS: what it says now are records of it.
    tls: bool,
}

/// A message of the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of the specification")]
pub enum Message {
    InitialRequest {
        cookie: Option<Vec<u8>>,
        flags: u8,
    },
    InitialResponse {
        /// What was chosen, or why nothing was.
        protocol: Option<Result<u32, u32>>,
        flags: u8,
    },
    TlsHandshake {
        /// Serials of the certificates.
        serials: Vec<String>,
    },
    ConnectRequest(Box<Client>),
    ConnectResponse,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of MS-RDPBCGR 2.2.1.3.2")]
pub struct Client {
    pub version: u32,
    pub width: u16,
    pub height: u16,
    pub color_depth: u16,
    pub keyboard_layout: u32,
    pub build: u32,
    pub name: String,
    pub keyboard_type: u32,
    pub function_keys: u32,
    pub product_id: Option<u16>,
    pub capabilities: Option<u16>,
    pub id: String,
    pub connection: Option<u8>,
    pub channels: Vec<Vec<u8>>,
}

// What a TPKT holds, and its length.
fn tpkt(data: &[u8]) -> Option<(&[u8], usize)> {
    match data {
        [3, 0, high, low, ..] => {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            Some((data.get(4..len.min(data.len())).unwrap_or_default(), len))
        }
        _ => None,
    }
}

fn le16(r: &mut Reader<'_>) -> Option<u16> {
    r.array().map(u16::from_le_bytes)
}
fn le32(r: &mut Reader<'_>) -> Option<u32> {
    r.array().map(u32::from_le_bytes)
}

// UTF-16 up to a zero.
fn wide(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).take_while(|u| *u != 0); // of two
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Reads a PDU that is complete, without its TPKT header. None where it is none of the greeting's.
pub fn message(d: Direction, pdu: &[u8]) -> Option<Message> {
    let mut r = Reader::new(pdu);
    let kind = {
        r.u8()?; // length of the X.224 header
        r.u8()?
    };
    match (d, kind) {
        (Direction::ToServer, 0xe0) => {
            r.take(5)?; // references and class
            let mut rest = r.rest();
            let mut cookie = None;
            if let Some(text) = rest.strip_prefix(b"Cookie: ") {
                let end = memchr::memchr(b'\r', text)?;
                let (line, tail) = text.split_at(end); // a place in it
                cookie = line.strip_prefix(b"mstshash=").map(<[u8]>::to_vec);
                rest = tail.strip_prefix(b"\r\n").unwrap_or_default();
            }
            let flags = match rest {
                [1, flags, 8, 0, ..] => *flags,
                _ => 0,
            };
            Some(Message::InitialRequest { cookie, flags })
        }
        (Direction::ToClient, 0xd0) => {
            r.take(5)?;
            let (protocol, flags) = match r.rest() {
                // Of flags that nobody defined, it is no answer (as Suricata reads it).
                [2, flags @ ..=0x1f, 8, 0, a, b, c, d, ..] => (Some(Ok(u32::from_le_bytes([*a, *b, *c, *d]))), *flags),
                [3, _, 8, 0, a, b, c, d, ..] => (Some(Err(u32::from_le_bytes([*a, *b, *c, *d]))), 0),
                _ => (None, 0),
            };
            Some(Message::InitialResponse { protocol, flags })
        }
        (Direction::ToServer, 0xf0) => client(r.rest()).map(|c| Message::ConnectRequest(Box::new(c))),
        // MCS Connect-Response behind the end-of-unit mark.
        (Direction::ToClient, 0xf0) => {
            r.rest().get(1..)?.starts_with(&[0x7f, 0x66]).then_some(Message::ConnectResponse)
        }
        _ => None,
    }
}

// What stands in MCS Connect-Initial: behind GCC's key the blocks of the client's data.
fn client(rest: &[u8]) -> Option<Client> {
    if !rest.get(1..)?.starts_with(&[0x7f, 0x65]) {
        return None;
    }
    let key = memchr::memmem::find(rest, b"Duca")?;
    let mut r = Reader::new(rest.get(key + 4..)?);
    if r.u8()? & 0x80 != 0 {
        r.u8()?; // a length of two bytes
    }
    let mut c = Client::default();
    while let (Some(kind), Some(len)) = (le16(&mut r), le16(&mut r)) {
        let Some(block) = usize::from(len).checked_sub(4).and_then(|n| r.take(n)) else { break };
        match kind {
            0xc001 => core(block, &mut c)?,
            0xc003 => {
                let mut b = Reader::new(block);
                le32(&mut b)?; // how many: the block's length says it too
                while let Some(name) = b.take(12).filter(|_| c.channels.len() < MAX_CHANNELS) {
                    let name = name.get(..8).unwrap_or_default();
                    c.channels.push(name.split(|b| *b == 0).next().unwrap_or_default().to_vec());
                }
            }
            _ => {}
        }
    }
    Some(c)
}

fn core(block: &[u8], c: &mut Client) -> Option<()> {
    let mut r = Reader::new(block);
    c.version = le32(&mut r)?;
    c.width = le16(&mut r)?;
    c.height = le16(&mut r)?;
    let depth = le16(&mut r)?;
    c.color_depth = match depth {
        0xca00 => 4,
        _ => 8,
    };
    le16(&mut r)?;
    c.keyboard_layout = le32(&mut r)?;
    c.build = le32(&mut r)?;
    c.name = wide(r.take(32)?);
    c.keyboard_type = le32(&mut r)?;
    le32(&mut r)?;
    c.function_keys = le32(&mut r)?;
    r.take(64)?; // name of the input method
    // From here on what is there is there.
    let more = |r: &mut Reader<'_>, c: &mut Client| -> Option<()> {
        match le16(r)? {
            0xca00 => c.color_depth = 4,
            0xca01 => c.color_depth = 8,
            0xca02 => c.color_depth = 15,
            0xca03 => c.color_depth = 16,
            0xca04 => c.color_depth = 24,
            _ => {}
        }
        c.product_id = Some(le16(r)?);
        le32(r)?;
        let high = le16(r)?;
        if matches!(high, 4 | 8 | 15 | 16 | 24) {
            c.color_depth = high;
        }
        le16(r)?;
        c.capabilities = Some(le16(r)?);
        c.id = wide(r.take(64)?);
        c.connection = Some(r.u8()?);
        Some(())
    };
    let _ = more(&mut r, c);
    Some(())
}

impl Greeting {
    // A record of the server's in TLS: the certificates in it, if any. A message cut by records is not put together.
    fn record(&mut self, data: &[u8]) -> Read<Message> {
        let [kind, major, _, a, b, ..] = *data else { return Read::More(5) };
        let len = u16::from_be_bytes([a, b]);
        if (kind, major) != (parser::HANDSHAKE, 3) || len > parser::MAX_RECORD {
            self.over = [true; 2]; // encrypted, or no TLS
            return Read::Skip(data.len());
        }
        let whole = 5 + usize::from(len);
        let Some(body) = data.get(5..whole) else { return Read::More(whole) };
        let mut r = Reader::new(body);
        while let Some([kind, a, b, c]) = r.array() {
            let Some(message) = r.take(u32::from_be_bytes([0, a, b, c]) as usize) else { break };
            match kind {
                parser::handshake::SERVER_HELLO => {
                    // Its certificates are encrypted.
                    self.over[1] |= ServerHello::parse(message).is_some_and(|h| is_13(h.version)); // of two
                }
                parser::handshake::CERTIFICATE => {
                    self.over = [true; 2];
                    let serials = cert::serials(message);
                    return Read::Message(Message::TlsHandshake { serials }, whole, Events::default());
                }
                _ => {}
            }
        }
        Read::Skip(whole)
    }
}

impl Kind for Greeting {
    type Message = Message;
    const PROTO: AppProto = AppProto::Rdp;
    const EVENTS: &'static [&'static str] = &[];
    const NAME: &'static str = "rdp";
    const NUMBERED: bool = true;

    fn read(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Read<Message> {
        let d = input.direction;
        let over = &mut self.over[d.index()]; // an index of two
        if *over {
            return Read::Skip(input.data.len());
        }
        if self.tls {
            return self.record(input.data);
        }
        if input.data.len() < 4 {
            return Read::More(4);
        }
        let Some((pdu, len)) = tpkt(input.data) else {
            // Fast-path, or encrypted: the greeting is over.
            *over = true;
            return Read::Skip(input.data.len());
        };
        if len < 7 {
            return Read::Error(None);
        }
        if input.data.len() < len {
            return Read::More(len);
        }
        let Some(m) = message(d, pdu) else { return Read::Skip(len) };
        match &m {
            Message::ConnectRequest(_) | Message::ConnectResponse => *over = true,
            // TLS, with or without a check of the user in it.
            Message::InitialResponse { protocol: Some(Ok(chosen)), .. } if *chosen != 0 => {
                if cx.config.rdp.tls {
                    cx.change(AppProto::Tls);
                }
                (self.tls, self.over[0]) = (true, true); // of two
            }
            _ => {}
        }
        Read::Message(m, len, Events::default())
    }
    fn gap(&mut self, d: Direction, _: u64) -> bool {
        std::mem::replace(&mut self.over[d.index()], true)
    }
    fn held(m: &Message) -> usize {
        match m {
            Message::InitialRequest { cookie, .. } => cookie.as_ref().map_or(0, Vec::len),
            Message::ConnectRequest(c) => {
                let channels = c.channels.iter().map(|n| n.len() + size_of::<Vec<u8>>());
                size_of::<Client>() + c.name.len() + c.id.len() + channels.sum::<usize>()
            }
            Message::TlsHandshake { serials } => serials.iter().map(|t| t.len() + size_of::<String>()).sum(),
            _ => 0,
        }
    }
    fn buffer(_: &Message, _: Buffer, _: Direction, _: usize) -> Option<&[u8]> {
        None
    }
    fn number(_: &Message, _: Field, _: usize) -> Option<u64> {
        None
    }
    fn written(_: &Message, _: &Config) -> (bool, bool) {
        (true, false)
    }
    fn log(m: &Message, _: &Config, w: &mut JsonWriter) {
        match m {
            Message::InitialRequest { cookie, flags } => {
                w.key("event_type").string("initial_request");
                if let Some(cookie) = cookie {
                    w.key("cookie").bytes(cookie);
                }
                named(
                    "flags",
                    &[
                        (1, "restricted_admin_mode_required"),
                        (2, "redirected_authentication_mode_required"),
                        (8, "correlation_info_present"),
                    ],
                    (*flags).into(),
                    w,
                );
            }
            Message::InitialResponse { protocol, flags } => {
                w.key("event_type").string("initial_response");
                if *flags != 0 {
                    array("server_supports", names::SUPPORTS, (*flags).into(), w);
                }
                match protocol {
                    Some(Ok(chosen)) => {
                        if let Some(name) = name(names::PROTOCOLS, *chosen) {
                            w.key("protocol").string(name);
                        }
                    }
                    Some(Err(code)) => {
                        if let Some(why) = name(names::REASONS, *code) {
                            w.key("error_code").u64((*code).into()).key("reason").string(why);
                        }
                    }
                    None => {}
                }
            }
            Message::TlsHandshake { serials } => {
                w.key("event_type").string("tls_handshake").key("x509_serials").open_array();
                for s in serials {
                    w.string(s);
                }
                w.close_array();
            }
            Message::ConnectRequest(c) => {
                w.key("event_type").string("connect_request");
                client_object(c, w);
                if !c.channels.is_empty() {
                    w.key("channels").open_array();
                    for name in &c.channels {
                        w.bytes(name);
                    }
                    w.close_array();
                }
            }
            Message::ConnectResponse => {
                w.key("event_type").string("connect_response");
            }
        }
    }
}

// The names of the bits that are set; nothing where none is.
fn named(key: &str, names: &[(u32, &str)], bits: u32, w: &mut JsonWriter) {
    if names.iter().any(|(bit, _)| bits & bit != 0) {
        array(key, names, bits, w);
    }
}

fn array(key: &str, names: &[(u32, &str)], bits: u32, w: &mut JsonWriter) {
    w.key(key).open_array();
    for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        w.string(name);
    }
    w.close_array();
}

fn client_object(c: &Client, w: &mut JsonWriter) {
    w.key("client").open();
    w.key("version").string(name(names::VERSIONS, c.version).unwrap_or("unknown"));
    w.key("desktop_width").u64(c.width.into()).key("desktop_height").u64(c.height.into());
    w.key("color_depth").u64(c.color_depth.into());
    w.key("keyboard_layout").string(name(names::LAYOUTS, c.keyboard_layout).unwrap_or("unknown"));
    w.key("build").string(name(names::BUILDS, c.build).unwrap_or("unknown"));
    w.key("client_name").string(&c.name);
    if let Some(kind) = name(names::KEYBOARDS, c.keyboard_type) {
        w.key("keyboard_type").string(kind);
    }
    w.key("function_keys").u64(c.function_keys.into());
    if let Some(id) = c.product_id {
        w.key("product_id").u64(id.into());
    }
    if let Some(bits) = c.capabilities {
        // MS-RDPBCGR 2.2.1.3.2, earlyCapabilityFlags; the first name as Suricata spells it.
        const NAMES: &[(u32, &str)] = &[
            (0x001, "support_errinfo_pdf"),
            (0x002, "want_32bpp_session"),
            (0x004, "support_statusinfo_pdu"),
            (0x008, "strong_asymmetric_keys"),
            (0x020, "valid_connection_type"),
            (0x040, "support_monitor_layout_pdu"),
            (0x080, "support_netchar_autodetect"),
            (0x100, "support_dynvc_gfx_protocol"),
            (0x200, "support_dynamic_time_zone"),
            (0x400, "support_heartbeat_pdu"),
        ];
        named("capabilities", NAMES, bits.into(), w);
    }
    if !c.id.is_empty() {
        w.key("id").string(&c.id);
    }
    if let Some(hint) = c.connection.and_then(|n| name(names::CONNECTIONS, n)) {
        w.key("connection_hint").string(hint);
    }
    w.close();
}

#[cfg(test)]
mod tests;
