// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DHCP (RFC 2131, 2132): each message with what it assigns, asks for and names.
//!
//! Must never keep more than [`MAX_OPTIONS`] options.

use std::net::{IpAddr, Ipv4Addr};

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

/// Most options of a message that are kept. Threat: a datagram of two-byte options.
pub const MAX_OPTIONS: usize = 128;

/// What is written: `outputs.eve-log.types.dhcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `extended`: every message with all that it says. Else acknowledgements alone, with no more than tells which address
    /// belongs to which hardware (Suricata user guide, "EVE JSON Format", DHCP).
    pub extended: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { extended: true }
    }
}

/// A flow's state.
pub type Dhcp = Single<Messages>;

/// See the module.
#[derive(Debug, Default)]
pub struct Messages;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["truncated_options"];
const TRUNCATED: u8 = 0;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// 1 from a client, 2 from a server.
    pub op: u8,
    /// Number of the exchange.
    pub id: u32,
    /// The client's address, the one assigned, the next server's, the relay's.
    pub addresses: [[u8; 4]; 4],
    /// The client's hardware address.
    pub mac: [u8; 6],
    options: Vec<(u8, Vec<u8>)>,
    truncated: bool,
}

impl Message {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(c, _)| *c == code).map(|(_, v)| v.as_slice())
    }
    fn seconds(&self, code: u8) -> Option<u64> {
        Reader::new(self.option(code)?).u32().map(u64::from)
    }
}

/// Reads a message.
pub fn message(data: &[u8]) -> Option<Message> {
    let mut r = Reader::new(data);
    let [op, _hardware, _len, _hops] = r.array()?;
    let id = r.u32()?;
    r.take(4)?; // seconds, flags
    let addresses = [r.array()?, r.array()?, r.array()?, r.array()?];
    let mac = r.array::<6>()?;
    r.take(10 + 64 + 128)?; // padding, server's name, boot file
    if r.u32()? != 0x6382_5363 || !matches!(op, 1 | 2) {
        return None;
    }
    let mut m = Message { op, id, addresses, mac, truncated: true, ..Message::default() };
    while let Some(code) = r.u8() {
        match code {
            0 => continue,
            255 => {
                m.truncated = false;
                break;
            }
            _ => {}
        }
        let Some(value) = r.u8().and_then(|n| r.take(n.into())) else { break };
        if m.options.len() < MAX_OPTIONS {
            m.options.push((code, value.to_vec()));
        }
    }
    Some(m)
}

fn kind_name(kind: u8) -> Option<&'static str> {
    name(KINDS, kind)
}
const KINDS: &[(u8, &str)] = &[
    (1, "discover"),
    (2, "offer"),
    (3, "request"),
    (4, "decline"),
    (5, "ack"),
    (6, "nak"),
    (7, "release"),
    (8, "inform"),
];

// Names of what a client asks for (option 55).
fn parameter(code: u8) -> Option<&'static str> {
    name(PARAMETERS, code)
}
const PARAMETERS: &[(u8, &str)] = &[
    (1, "subnet_mask"),
    (3, "router"),
    (6, "dns_server"),
    (15, "domain"),
    (35, "arp_timeout"),
    (42, "ntp_server"),
    (66, "tftp_server_name"),
    (150, "tftp_server_ip"),
];

impl Kind for Messages {
    type Message = Message;
    const PROTO: AppProto = AppProto::Dhcp;
    const EVENTS: &'static [&'static str] = EVENTS;
    const NAME: &'static str = "dhcp";

    fn read(&mut self, input: Input<'_>, _: &mut Cx<'_>) -> Read<Message> {
        let Some(m) = message(input.data) else { return Read::Error(None) };
        let mut events = Events::default();
        if m.truncated {
            events.set(TRUNCATED);
        }
        Read::Message(m, input.data.len(), events)
    }
    fn held(m: &Message) -> usize {
        m.options.iter().map(|(_, v)| v.len() + size_of::<(u8, Vec<u8>)>()).sum()
    }
    fn buffer(_: &Message, _: Buffer, _: Direction, _: usize) -> Option<&[u8]> {
        None
    }
    fn number(m: &Message, field: Field, index: usize) -> Option<u64> {
        match field {
            _ if index > 0 => None,
            Field::DhcpLeasetime => m.seconds(51),
            Field::DhcpRebindingTime => m.seconds(59),
            Field::DhcpRenewalTime => m.seconds(58),
            _ => None,
        }
    }
    fn written(m: &Message, config: &Config) -> (bool, bool) {
        (config.dhcp.extended || m.option(53) == Some(&[5]), true)
    }
    fn log(m: &Message, config: &Config, w: &mut JsonWriter) {
        let extended = config.dhcp.extended;
        w.key("type").string(if m.op == 1 { "request" } else { "reply" }).key("id").u64(m.id.into());
        w.key("client_mac").mac(m.mac);
        let ip = |a: [u8; 4]| IpAddr::V4(Ipv4Addr::from(a));
        let [client, assigned, next, relay] = m.addresses;
        w.key("assigned_ip").ip(ip(assigned));
        if extended {
            w.key("client_ip").ip(ip(client));
        }
        if m.op == 2 && extended {
            w.key("relay_ip").ip(ip(relay)).key("next_server_ip").ip(ip(next));
        }
        if let Some([kind]) = m.option(53) {
            w.key("dhcp_type");
            match kind_name(*kind) {
                Some(name) => w.string(name),
                None => w.string("unknown"),
            };
        }
        if !extended {
            return;
        }
        for (code, name) in [(51, "lease_time"), (59, "rebinding_time"), (58, "renewal_time")] {
            if let Some(n) = m.seconds(code) {
                w.key(name).u64(n);
            }
        }
        for (code, name) in [(12, "hostname"), (60, "vendor_class_identifier")] {
            if let Some(text) = m.option(code) {
                w.key(name).bytes(text);
            }
        }
        // Behind its type: an address, or whatever else tells a client apart (RFC 2132, 9.14).
        if let Some([_, id @ ..]) = m.option(61).filter(|v| v.len() > 1) {
            w.key("client_id").octets(id);
        }
        for (code, name) in [(50, "requested_ip"), (1, "subnet_mask")] {
            if let Some(a) = m.option(code).and_then(|v| v.first_chunk::<4>()) {
                w.key(name).ip(ip(*a));
            }
        }
        for (code, name) in [(3, "routers"), (6, "dns_servers")] {
            if let Some(v) = m.option(code) {
                w.key(name).open_array();
                for a in v.chunks_exact(4).filter_map(|c| c.first_chunk::<4>()) {
                    w.ip(ip(*a));
                }
                w.close_array();
            }
        }
        if let Some(v) = m.option(55) {
            w.key("params").open_array();
            for name in v.iter().filter_map(|c| parameter(*c)) {
                w.string(name);
            }
            w.close_array();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        protocol::Protocol,
        single::testing::{Talk, hostile},
    };

    fn wire(options: &[u8]) -> Vec<u8> {
        let mut out = vec![2, 1, 6, 0, 0, 0, 0, 9, 0, 0, 0, 0];
        for last in 1..5u8 {
            out.extend([192, 0, 2, last]);
        }
        out.extend([2, 0, 0, 0, 0, 7]);
        out.extend([0; 202]);
        out.extend([0x63, 0x82, 0x53, 0x63]);
        out.extend(options);
        out
    }
    const OPTIONS: &[u8] = b"\x35\x01\x05\x33\x04\0\0\x0e\x10\x0c\x02pc\x37\x02\x01\x06\x06\x04\xc0\0\x02\x35\xff";

    #[test]
    fn without_extended_acknowledgements_alone_say_which_address_is_whose() {
        let mut t = Talk::<Dhcp>::new();
        t.config.dhcp.extended = false;
        t.say(Direction::ToClient, &wire(OPTIONS), true);
        t.say(Direction::ToClient, &wire(b"\x35\x01\x02\xff"), true); // an offer
        let written = |tx| t.state.event_type(tx, &t.config).is_some();
        assert_eq!(t.state.txs().iter().map(written).collect::<Vec<_>>(), [true, false]);
        let all = r#"{"dhcp":{"type":"reply","id":9,"client_mac":"02:00:00:00:00:07","assigned_ip":"192.0.2.2","dhcp_type":"ack"}}"#;
        assert_eq!(t.json()[0], all);
    }

    #[test]
    fn a_message_and_each_of_its_truncations() {
        let bytes = wire(OPTIONS);
        let mut t = Talk::<Dhcp>::new();
        t.say(Direction::ToClient, &bytes, true);
        assert_eq!(
            t.json(),
            [concat!(
                r#"{"dhcp":{"type":"reply","id":9,"client_mac":"02:00:00:00:00:07","assigned_ip":"192.0.2.2","client_ip":"192.0.2.1","#,
                r#""relay_ip":"192.0.2.4","next_server_ip":"192.0.2.3","dhcp_type":"ack","lease_time":3600,"hostname":"pc","#,
                r#""dns_servers":["192.0.2.53"],"params":["subnet_mask","dns_server"]}}"#
            )]
        );
        assert_eq!(t.number(0, Field::DhcpLeasetime, Direction::ToClient, 0), Some(3600));
        assert!(t.events().is_empty());
        for n in 0..bytes.len() {
            assert_eq!(message(&bytes[..n]).is_some(), n >= 240);
            assert!(message(&bytes[..n]).is_none_or(|m| m.truncated));
        }
        // Threat: a datagram of two-byte options.
        assert_eq!(message(&wire(&[7, 0].repeat(5000))).map(|m| m.options.len()), Some(MAX_OPTIONS));
    }

    #[test]
    fn every_option_that_is_written() {
        let options = [
            &b"\x35\x01\x63\x3b\x04\0\0\x0b\xb8\x3a\x04\0\0\x07\x08\x3c\x06MSFT 5"[..],
            b"\x3d\x07\x01\x02\0\0\0\0\x09\x32\x04\xc0\0\x02\x07\x01\x04\xff\xff\xff\0",
            b"\x03\x09\xc0\0\x02\x01\xc0\0\x02\x02\x09\x37\x03\x03\xfe\x42\xff",
        ];
        let mut t = Talk::<Dhcp>::new();
        t.say(Direction::ToClient, &wire(&options.concat()), true);
        let json = t.json();
        assert!(
            json[0].ends_with(concat!(
                r#""dhcp_type":"unknown","rebinding_time":3000,"renewal_time":1800,"vendor_class_identifier":"MSFT 5","#,
                r#""client_id":"02:00:00:00:00:09","requested_ip":"192.0.2.7","subnet_mask":"255.255.255.0","#,
                // A router's address that is cut is none, a parameter without a name is left out.
                r#""routers":["192.0.2.1","192.0.2.2"],"params":["router","tftp_server_name"]}}"#
            )),
            "{json:?}"
        );
        assert_eq!(t.number(0, Field::DhcpRebindingTime, Direction::ToClient, 0), Some(3000));
        assert_eq!(t.number(0, Field::DhcpRenewalTime, Direction::ToClient, 0), Some(1800));
        assert_eq!(t.number(0, Field::DhcpLeasetime, Direction::ToClient, 0), None);
    }

    /// Of every type, without it; as Suricata writes it.
    #[test]
    fn a_clients_identifier_is_told_whatever_its_type() {
        for (value, want) in [
            (&b"\xff\x8f\x9a\0\x01"[..], Some("8f:9a:00:01")),
            (b"\0a0", Some("61:30")),
            (b"\x01\x02\0\0\0\0\x09", Some("02:00:00:00:00:09")),
            (b"\x01", None),
            (b"", None),
        ] {
            let option = [&[61, u8::try_from(value.len()).unwrap()][..], value, &[255]].concat();
            let mut t = Talk::<Dhcp>::new();
            t.say(Direction::ToServer, &wire(&option), true);
            let json: serde_json::Value = serde_json::from_str(&t.json()[0]).unwrap();
            assert_eq!(json["dhcp"]["client_id"].as_str(), want, "{value:?}");
        }
    }

    /// Those that Suricata names.
    #[test]
    fn parameters_have_suricatas_names() {
        let all: Vec<&str> = (0..=255).filter_map(parameter).collect();
        let want = [
            "subnet_mask",
            "router",
            "dns_server",
            "domain",
            "arp_timeout",
            "ntp_server",
            "tftp_server_name",
            "tftp_server_ip",
        ];
        assert_eq!(all, want);
    }

    proptest! {
        #[test]
        fn any_bytes(options: Vec<u8>, cut in 0usize..300) {
            hostile::<Dhcp>(&[(true, wire(&options))], cut, true);
        }
    }
}
