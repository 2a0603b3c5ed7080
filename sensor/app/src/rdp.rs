// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! RDP's greeting (MS-RDPBCGR 2.2.1): who asks, what the server agrees to, and what the client says of itself. Where TLS is
//! agreed on, the flow goes on as TLS; what follows the greeting is not read.
//!
//! Must never keep more than [`MAX_CHANNELS`] channels, nor read a PDU beyond its own length.

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    names::name,
    protocol::{Cx, Input},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Most channels of a client that are kept (the protocol's own limit is 31).
pub const MAX_CHANNELS: usize = 32;

/// A flow's state.
pub type Rdp = Single<Greeting>;

/// What a flow remembers: by direction, whether its part of the greeting is over.
#[derive(Debug, Default)]
pub struct Greeting {
    over: [bool; 2],
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
            let protocol = match r.rest() {
                [2, _, 8, 0, a, b, c, d, ..] => Some(Ok(u32::from_le_bytes([*a, *b, *c, *d]))),
                [3, _, 8, 0, a, b, c, d, ..] => Some(Err(u32::from_le_bytes([*a, *b, *c, *d]))),
                _ => None,
            };
            Some(Message::InitialResponse { protocol })
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
        Some(())
    };
    let _ = more(&mut r, c);
    Some(())
}

impl Kind for Greeting {
    type Message = Message;
    const PROTO: AppProto = AppProto::Rdp;
    const EVENTS: &'static [&'static str] = &[];
    const NAME: &'static str = "rdp";

    fn read(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Read<Message> {
        let d = input.direction;
        let over = &mut self.over[d.index()]; // an index of two
        if *over {
            return Read::Skip(input.data.len());
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
            Message::InitialResponse { protocol: Some(Ok(chosen)) } if *chosen != 0 => cx.change(AppProto::Tls),
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
            Message::InitialResponse { protocol } => {
                w.key("event_type").string("initial_response");
                match protocol {
                    Some(Ok(chosen)) => {
                        let name = match chosen {
                            0 => "rdp",
                            1 => "ssl",
                            2 => "hybrid",
                            4 => "rds_tls",
                            8 => "hybrid_ex",
                            _ => "unknown",
                        };
                        w.key("protocol").string(name);
                    }
                    Some(Err(code)) => {
                        let why = match code {
                            1 => "ssl_required",
                            2 => "ssl_not_allowed",
                            3 => "ssl_cert_not_on_server",
                            4 => "inconsistent_flags",
                            5 => "hybrid_required",
                            6 => "ssl_with_user_auth_required",
                            _ => "unknown",
                        };
                        w.key("error_code").u64((*code).into()).key("reason").string(why);
                    }
                    None => {}
                }
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
        w.key(key).open_array();
        for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
            w.string(name);
        }
        w.close_array();
    }
}

fn client_object(c: &Client, w: &mut JsonWriter) {
    w.key("client").open();
    w.key("version").string(name(VERSIONS, c.version).unwrap_or("unknown"));
    w.key("desktop_width").u64(c.width.into()).key("desktop_height").u64(c.height.into());
    w.key("color_depth").u64(c.color_depth.into());
    w.key("keyboard_layout").string(&format!("{:08x}", c.keyboard_layout));
    w.key("build");
    match build_name(c.build) {
        Some(name) => w.string(name),
        None => w.string(&c.build.to_string()),
    };
    w.key("client_name").string(&c.name);
    if let Some(kind) = keyboard(c.keyboard_type) {
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
    w.close();
}

// MS-RDPBCGR 2.2.1.3.2, version.
const VERSIONS: &[(u32, &str)] = &[
    (0x0008_0001, "v4"),
    (0x0008_0004, "v5"),
    (0x0008_0005, "v10.0"),
    (0x0008_0006, "v10.1"),
    (0x0008_0007, "v10.2"),
    (0x0008_0008, "v10.3"),
    (0x0008_0009, "v10.4"),
    (0x0008_000a, "v10.5"),
    (0x0008_000b, "v10.6"),
    (0x0008_000c, "v10.7"),
];

fn keyboard(kind: u32) -> Option<&'static str> {
    name(KEYBOARDS, kind)
}
const KEYBOARDS: &[(u32, &str)] =
    &[(1, "xt"), (2, "ico"), (3, "at"), (4, "enhanced"), (5, "1050"), (6, "9140"), (7, "jp")];

fn build_name(build: u32) -> Option<&'static str> {
    name(BUILDS, build)
}
const BUILDS: &[(u32, &str)] = &[
    (2195, "Windows 2000"),
    (2600, "Windows XP"),
    (3790, "Windows Server 2003"),
    (6000, "Windows Vista"),
    (6001, "Windows Vista SP1"),
    (6002, "Windows Vista SP2"),
    (7600, "Windows 7"),
    (7601, "Windows 7 SP1"),
    (9200, "Windows 8"),
    (9600, "Windows 8.1"),
    (10240, "Windows 10"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    fn pdu(parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&[3, 0][..], &u16::try_from(body.len() + 4).unwrap().to_be_bytes(), &body].concat()
    }
    fn request() -> Vec<u8> {
        pdu(&[&[6, 0xe0, 0, 0, 0, 0, 0], b"Cookie: mstshash=A1\r\n", &[1, 0, 8, 0, 3, 0, 0, 0]])
    }
    fn connect() -> Vec<u8> {
        let wide = |t: &str, n: usize| {
            let mut out: Vec<u8> = t.encode_utf16().flat_map(u16::to_le_bytes).collect();
            out.resize(n, 0);
            out
        };
        let core = [
            &[4, 0, 8, 0, 0, 5, 0x20, 3, 1, 0xca, 3, 0xaa, 7, 4, 0, 0, 0x28, 0x0a, 0, 0][..],
            &wide("PC", 32),
            &[4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0],
            &[0; 64],
            &[1, 0xca, 1, 0, 0, 0, 0, 0, 16, 0, 7, 0, 5, 0],
            &wide("id-1", 64),
        ]
        .concat();
        let net = [&[1, 0, 0, 0][..], b"rdpdr\0\0\0", &[0; 4]].concat();
        let block = |kind: u16, b: &[u8]| {
            [&kind.to_le_bytes()[..], &u16::try_from(b.len() + 4).unwrap().to_le_bytes(), b].concat()
        };
        pdu(&[&[2, 0xf0, 0x80, 0x7f, 0x65], b"...Duca", &[0x80, 0xff], &block(0xc001, &core), &block(0xc003, &net)])
    }

    #[test]
    fn answers_say_what_was_chosen_or_why_nothing_was() {
        for (kind, number, want) in [
            (2, 0, r#""protocol":"rdp""#),
            (2, 1, r#""protocol":"ssl""#),
            (2, 2, r#""protocol":"hybrid""#),
            (2, 4, r#""protocol":"rds_tls""#),
            (2, 8, r#""protocol":"hybrid_ex""#),
            (2, 9, r#""protocol":"unknown""#),
            // MS-RDPBCGR 2.2.1.2.2.
            (3, 1, r#""error_code":1,"reason":"ssl_required""#),
            (3, 2, r#""error_code":2,"reason":"ssl_not_allowed""#),
            (3, 3, r#""error_code":3,"reason":"ssl_cert_not_on_server""#),
            (3, 4, r#""error_code":4,"reason":"inconsistent_flags""#),
            (3, 5, r#""error_code":5,"reason":"hybrid_required""#),
            (3, 6, r#""error_code":6,"reason":"ssl_with_user_auth_required""#),
            (3, 7, r#""error_code":7,"reason":"unknown""#),
        ] {
            let mut t = Talk::<Rdp>::new();
            t.say(ToClient, &pdu(&[&[14, 0xd0, 0, 0, 0x12, 0x34, 0, kind, 0, 8, 0, number, 0, 0, 0]]), false);
            assert_eq!(t.json(), [format!(r#"{{"rdp":{{"event_type":"initial_response",{want}}}}}"#)]);
        }
    }

    #[test]
    fn what_a_client_says_may_be_odd() {
        let with = |at: usize, bytes: &[u8]| {
            // From the core's first byte on.
            let mut wire = connect();
            let core = wire.windows(4).position(|w| w == b"Duca").unwrap() + 4 + 2 + 4;
            wire[core + at..core + at + bytes.len()].copy_from_slice(bytes);
            let mut t = Talk::<Rdp>::new();
            t.say(ToServer, &wire, false);
            t.json().concat()
        };
        for (at, bytes, want) in [
            (0, &[12, 0, 8, 0][..], r#""version":"v10.7""#),
            (0, &[9, 9, 9, 9], r#""version":"unknown""#),
            (16, &[0x65, 0x45, 0, 0], r#""build":"17765""#), // without a name
            (16, &[0xb1, 0x1d, 0, 0], r#""build":"Windows 7 SP1""#),
            (52, &[7, 0, 0, 0], r#""keyboard_type":"jp""#),
            (52, &[9, 0, 0, 0], r#""client_name":"PC","function_keys":12"#),
            (128, &[0, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":4"#),
            (128, &[1, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":8"#),
            (128, &[2, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":15"#),
            (128, &[3, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":16"#),
            (128, &[4, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":24"#),
        ] {
            let json = with(at, bytes);
            assert!(json.contains(want), "{json} lacks {want}");
        }
        // Flags of the first request (2.2.1.1.1), and one without a cookie's name.
        for (cookie, flags, want) in [
            (&b""[..], 3, r#""flags":["restricted_admin_mode_required","redirected_authentication_mode_required"]"#),
            (b"Cookie: mstshash=me\r\n", 8, r#""cookie":"me","flags":["correlation_info_present"]"#),
            (b"Cookie: other=me\r\n", 0, r#""event_type":"initial_request"}"#),
        ] {
            let mut t = Talk::<Rdp>::new();
            t.say(ToServer, &pdu(&[&[6, 0xe0, 0, 0, 0, 0, 0], cookie, &[1, flags, 8, 0, 3, 0, 0, 0]]), false);
            assert!(t.json()[0].contains(want), "{:?} lacks {want}", t.json());
        }
        // A frame shorter than its own header ends it; behind a gap nothing is read.
        let mut t = Talk::<Rdp>::new();
        t.say(ToServer, &[3, 0, 0, 5, 0, 0xe0], false);
        assert!(t.stopped && t.json().is_empty());
    }

    #[test]
    fn a_greeting_however_it_comes() {
        for size in [1, 7, 1000] {
            let mut t = Talk::<Rdp>::new();
            request().chunks(size).for_each(|p| t.say(ToServer, p, false));
            pdu(&[&[6, 0xd0, 0, 0, 0x12, 0x34, 0]]).chunks(size).for_each(|p| t.say(ToClient, p, false));
            connect().chunks(size).for_each(|p| t.say(ToServer, p, false));
            pdu(&[&[2, 0xf0, 0x80, 0x7f, 0x66, 1, 2]]).chunks(size).for_each(|p| t.say(ToClient, p, false));
            t.say(ToServer, b"anything that follows", false);
            assert_eq!(
                t.json(),
                [
                    r#"{"rdp":{"event_type":"initial_request","cookie":"A1"}}"#,
                    r#"{"rdp":{"event_type":"initial_response"}}"#,
                    concat!(
                        r#"{"rdp":{"event_type":"connect_request","client":{"version":"v5","desktop_width":1280,"desktop_height":800,"color_depth":16,"#,
                        r#""keyboard_layout":"00000407","build":"Windows XP","client_name":"PC","keyboard_type":"enhanced","function_keys":12,"product_id":1,"#,
                        r#""capabilities":["support_errinfo_pdf","support_statusinfo_pdu"],"id":"id-1"},"channels":["rdpdr"]}}"#
                    ),
                    r#"{"rdp":{"event_type":"connect_response"}}"#,
                ]
            );
        }
    }

    #[test]
    fn tls_is_what_follows_where_it_is_chosen() {
        let mut r = Rdp::default();
        let (config, mut memory) = (crate::Config::default(), crate::Memory { cap: 1 << 20, ..Default::default() });
        let mut cx = Cx::alone(&config, &mut memory, (1, 3389));
        let answer = pdu(&[&[14, 0xd0, 0, 0, 0, 0, 0, 2, 0, 8, 0, 1, 0, 0, 0]]);
        use crate::Protocol as _;
        r.data(Input { direction: ToClient, data: &answer, eof: false, datagram: false }, &mut cx);
        assert!(cx.change.is_some_and(|c| c.expected == AppProto::Tls));
    }

    #[test]
    fn every_truncation_is_no_client() {
        let wire = connect();
        let whole = message(ToServer, &wire[4..]).unwrap();
        for n in 4..wire.len() {
            assert!(message(ToServer, &wire[4..n]).is_none_or(|m| m != whole));
        }
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(request()), Just(connect()), prop::collection::vec(any::<u8>(), 0..60).prop_map(|b| pdu(&[&b])),
            prop::collection::vec(any::<u8>(), 0..40)]), 0..7), cut in 0usize..300) {
            hostile::<Rdp>(&pieces, cut, false);
        }
    }
}
