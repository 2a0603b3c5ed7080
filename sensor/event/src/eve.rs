// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE JSON, written once and directly: a small streaming writer, the fields that all events share, and the record
//! that stages hand on.
//!
//! Must never build a tree of values, and never emit bytes that are not valid JSON in UTF-8, whatever the network
//! sent. Field names and order follow Suricata's EVE schema (user guide, section "EVE JSON Format"). Limits: the
//! writer is as large as what is written; callers bound their strings ([`crate::MAX_EVE_BYTES`] is checked by release).

use std::{fmt::Write as _, net::IpAddr};

use lagewarte_base::time::Timestamp;

use crate::Class;

/// One finished event on its way from a worker to the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What quotas and release profiles decide by.
    pub class: Class,
    /// EVE `event_type`.
    pub event_type: &'static str,
    /// Time of the packet that made the event.
    pub event: Timestamp,
    /// The sensor's clock when that packet was read; equal to `event` where a file is replayed.
    pub observed: Timestamp,
    /// Number of the packet that made the event, from 1; the order of events follows it.
    pub packet_index: u64,
    /// Outermost VLAN id, for the assignment to an owner.
    pub vlan: Option<u16>,
    /// Source address as in the JSON.
    pub src: Option<IpAddr>,
    /// Destination address as in the JSON.
    pub dest: Option<IpAddr>,
    /// SHA-256 of the rule set that made it, where a rule did.
    pub ruleset: Option<[u8; 32]>,
    /// The complete EVE object, without a newline.
    pub json: String,
}

/// Fields that every EVE event begins with, in Suricata's order. What is `None` or empty is left out.
#[derive(Clone, Debug, Default)]
pub struct Head<'a> {
    /// `timestamp`.
    pub time: Timestamp,
    /// `flow_id`, positive and below 2^53, so that JavaScript readers keep it exact.
    pub flow_id: Option<i64>,
    /// `parent_id`: `flow_id` of the flow that announced this one.
    pub parent_id: Option<i64>,
    /// `in_iface`, where packets come from an interface.
    pub in_iface: Option<&'a str>,
    /// `pcap_cnt`, where packets come from a file: the packet's number, from 1.
    pub pcap_cnt: Option<u64>,
    /// `event_type`.
    pub event_type: &'a str,
    /// `vlan`, outermost first.
    pub vlans: &'a [u16],
    /// `src_ip`.
    pub src: Option<IpAddr>,
    /// `src_port`; None for protocols without ports.
    pub src_port: Option<u16>,
    /// `dest_ip`.
    pub dest: Option<IpAddr>,
    /// `dest_port`.
    pub dest_port: Option<u16>,
    /// `proto` by its IP protocol number; named by [`JsonWriter::proto`].
    pub proto: Option<u8>,
    /// `icmp_type` and `icmp_code`.
    pub icmp: Option<(u8, u8)>,
    /// `response_icmp_type` and `response_icmp_code` (flow records only).
    pub response_icmp: Option<(u8, u8)>,
    /// `pkt_src`, e.g. `wire/pcap`; alerts and anomalies have it, flows do not.
    pub pkt_src: Option<&'a str>,
    /// `community_id`, where enabled.
    pub community_id: Option<&'a str>,
}

impl Record {
    /// Writes IPv6 addresses short (RFC 5952) that stand in members named `ip` or `..._ip`: YAML `ipv6-compress`.
    pub fn compress_ipv6(&mut self) {
        const MEMBER: &str = "ip\":\"";
        /// Eight groups of four digits.
        const FULL: usize = 39;
        let mut out = String::new();
        let mut rest = self.json.as_str();
        while let Some(at) = rest.find(MEMBER) {
            let (before, value) = rest.split_at(at + MEMBER.len());
            out.push_str(before);
            let full = value.get(..FULL).filter(|_| value.as_bytes().get(FULL) == Some(&b'"'));
            match full.and_then(|t| t.parse::<std::net::Ipv6Addr>().ok()) {
                Some(ip) => {
                    let _ = write!(out, "{ip}"); // writing into a String cannot fail
                    rest = value.get(FULL..).unwrap_or_default();
                }
                None => rest = value,
            }
        }
        if !out.is_empty() {
            out.push_str(rest);
            self.json = out;
        }
    }
}

/// Writes one JSON object from front to back.
///
/// Commas are placed by looking at the last byte, so that there is no state to get wrong; balancing the braces is the
/// caller's part and is checked by the tests of each event.
#[derive(Clone, Debug, Default)]
pub struct JsonWriter {
    out: String,
}

impl JsonWriter {
    /// An empty writer.
    pub const fn new() -> Self {
        Self { out: String::new() }
    }
    /// With room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes) }
    }
    /// What was written so far.
    pub fn as_str(&self) -> &str {
        &self.out
    }
    /// The finished text; the writer is empty afterwards.
    pub fn finish(self) -> String {
        self.out
    }
    /// Starts again, keeping the allocation.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    fn comma(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(',');
        }
    }
    /// `{`, as a value or an element.
    pub fn open(&mut self) -> &mut Self {
        self.comma();
        self.out.push('{');
        self
    }
    /// `}`.
    pub fn close(&mut self) -> &mut Self {
        self.out.push('}');
        self
    }
    /// `[`, as a value or an element.
    pub fn open_array(&mut self) -> &mut Self {
        self.comma();
        self.out.push('[');
        self
    }
    /// `]`.
    pub fn close_array(&mut self) -> &mut Self {
        self.out.push(']');
        self
    }
    /// `"key":`. Keys are written by us and need no escaping, but get it.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.comma();
        self.quoted(key);
        self.out.push(':');
        self
    }
    /// A string value.
    pub fn string(&mut self, s: &str) -> &mut Self {
        self.comma();
        self.quoted(s);
        self
    }
    /// Bytes from the network as a string value: as they are where they are UTF-8, else every byte that is not ASCII
    /// becomes `\xNN`, as Suricata writes them.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if let Ok(s) = std::str::from_utf8(bytes) {
            return self.string(s);
        }
        let mut text = String::with_capacity(bytes.len() + 16);
        for &b in bytes {
            if b.is_ascii() {
                text.push(char::from(b));
            } else {
                text.extend(['\\', 'x', digit(b >> 4), digit(b & 15)]);
            }
        }
        self.string(&text)
    }
    /// A whole number.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.comma();
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut n = n;
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default()); // digits are ASCII
        self
    }
    /// A whole number with a sign.
    pub fn i64(&mut self, n: i64) -> &mut Self {
        if let Ok(n) = u64::try_from(n) {
            return self.u64(n);
        }
        self.comma();
        let _ = write!(self.out, "{n}"); // writing into a String cannot fail
        self
    }
    /// A number that need not be whole, in the shortest form that is read as the same; `null` where it is not finite.
    pub fn f64(&mut self, n: f64) -> &mut Self {
        if !n.is_finite() {
            return self.raw("null");
        }
        self.comma();
        let _ = write!(self.out, "{n}"); // writing into a String cannot fail
        self
    }
    /// `true` or `false`.
    pub fn bool(&mut self, b: bool) -> &mut Self {
        self.comma();
        self.out.push_str(if b { "true" } else { "false" });
        self
    }
    /// A finished JSON value, verbatim. Only for what a writer of ours made.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.comma();
        self.out.push_str(json);
        self
    }
    /// An address as EVE writes it: IPv6 in full, eight groups of four digits.
    pub fn ip(&mut self, ip: IpAddr) -> &mut Self {
        self.comma();
        self.out.push('"');
        match ip {
            IpAddr::V4(v4) => {
                for (i, o) in v4.octets().into_iter().enumerate() {
                    if i > 0 {
                        self.out.push('.');
                    }
                    self.decimal8(o);
                }
            }
            IpAddr::V6(v6) => {
                for (i, o) in v6.octets().into_iter().enumerate() {
                    if i > 0 && i % 2 == 0 {
                        self.out.push(':');
                    }
                    self.hex(o);
                }
            }
        }
        self.out.push('"');
        self
    }
    /// A MAC address, `00:11:22:33:44:55`.
    pub fn mac(&mut self, mac: [u8; 6]) -> &mut Self {
        self.octets(&mac)
    }
    /// Writes bytes as pairs of hexadecimal digits with colons between them.
    pub fn octets(&mut self, bytes: &[u8]) -> &mut Self {
        self.comma();
        self.out.push('"');
        octets(&mut self.out, bytes, LOWER);
        self.out.push('"');
        self
    }
    /// A point in time, EVE's form.
    pub fn time(&mut self, t: Timestamp) -> &mut Self {
        self.comma();
        self.out.push('"');
        self.timestamp(t);
        self.out.push('"');
        self
    }
    /// An IP protocol as EVE names it: `TCP`, `UDP`, `ICMP`, `IPv6-ICMP`, ...; the number in three digits where
    /// there is no name.
    pub fn proto(&mut self, proto: u8) -> &mut Self {
        match proto_name(proto) {
            Some(name) => self.string(name),
            None => {
                let digits = [b'0' + proto / 100, b'0' + proto / 10 % 10, b'0' + proto % 10];
                self.comma();
                self.out.push('"');
                self.out.extend(digits.map(char::from));
                self.out.push('"');
                self
            }
        }
    }
    /// Opens the event's object and writes the shared fields; the caller goes on and closes it.
    pub fn head(&mut self, h: &Head<'_>) -> &mut Self {
        self.open().key("timestamp").time(h.time);
        if let Some(id) = h.flow_id {
            self.key("flow_id").i64(id);
        }
        if let Some(id) = h.parent_id {
            self.key("parent_id").i64(id);
        }
        if let Some(iface) = h.in_iface {
            self.key("in_iface").string(iface);
        }
        if let Some(n) = h.pcap_cnt {
            self.key("pcap_cnt").u64(n);
        }
        self.key("event_type").string(h.event_type);
        if !h.vlans.is_empty() {
            self.key("vlan").open_array();
            for &v in h.vlans {
                self.u64(v.into());
            }
            self.close_array();
        }
        if let Some(ip) = h.src {
            self.key("src_ip").ip(ip);
        }
        if let Some(port) = h.src_port {
            self.key("src_port").u64(port.into());
        }
        if let Some(ip) = h.dest {
            self.key("dest_ip").ip(ip);
        }
        if let Some(port) = h.dest_port {
            self.key("dest_port").u64(port.into());
        }
        if let Some(proto) = h.proto {
            self.key("proto").proto(proto);
        }
        if let Some(ip) = h.src {
            self.key("ip_v").u64(if ip.is_ipv4() { 4 } else { 6 });
        }
        if let Some((t, c)) = h.icmp {
            self.key("icmp_type").u64(t.into()).key("icmp_code").u64(c.into());
        }
        if let Some((t, c)) = h.response_icmp {
            self.key("response_icmp_type").u64(t.into()).key("response_icmp_code").u64(c.into());
        }
        if let Some(s) = h.pkt_src {
            self.key("pkt_src").string(s);
        }
        if let Some(s) = h.community_id {
            self.key("community_id").string(s);
        }
        self
    }

    fn quoted(&mut self, s: &str) {
        let odd = |b: u8| b < 0x20 || b == b'"' || b == b'\\' || b == 0x7f;
        self.out.reserve(s.len() + 3);
        self.out.push('"');
        // Most have nothing to escape, which is told for all of their bytes at once.
        if !s.bytes().fold(false, |any, b| any | odd(b)) {
            self.out.push_str(s);
            self.out.push('"');
            return;
        }
        let mut clean = 0;
        for (i, b) in s.bytes().enumerate() {
            if !odd(b) {
                continue;
            }
            self.out.push_str(&s[clean..i]); // i and clean stand at ASCII bytes: character boundaries
            clean = i + 1;
            match b {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                b'\n' => self.out.push_str("\\n"),
                b'\r' => self.out.push_str("\\r"),
                b'\t' => self.out.push_str("\\t"),
                0x08 => self.out.push_str("\\b"),
                0x0c => self.out.push_str("\\f"),
                _ => {
                    self.out.push_str("\\u00");
                    self.hex(b);
                }
            }
        }
        self.out.push_str(&s[clean..]);
        self.out.push('"');
    }
    fn hex(&mut self, b: u8) {
        pair(&mut self.out, b, LOWER);
    }
    fn decimal8(&mut self, n: u8) {
        if n >= 100 {
            self.out.push(char::from(b'0' + n / 100));
        }
        if n >= 10 {
            self.out.push(char::from(b'0' + n / 10 % 10));
        }
        self.out.push(char::from(b'0' + n % 10));
    }
    fn timestamp(&mut self, t: Timestamp) {
        let us = t.micros();
        // Years 1970 to 9999 are written here without a format description; the rest takes base's way, which clamps.
        if !(0..=253_402_300_799_999_999).contains(&us) {
            self.out.push_str(&t.eve());
            return;
        }
        let (secs, micros) = (us / 1_000_000, us % 1_000_000);
        let (days, rest) = (secs / 86_400, secs % 86_400);
        let (y, m, d) = civil(days);
        self.digits(y, 4);
        self.out.push('-');
        self.digits(m, 2);
        self.out.push('-');
        self.digits(d, 2);
        self.out.push('T');
        self.digits(rest / 3600, 2);
        self.out.push(':');
        self.digits(rest / 60 % 60, 2);
        self.out.push(':');
        self.digits(rest % 60, 2);
        self.out.push('.');
        self.digits(micros, 6);
        self.out.push_str("+0000");
    }
    fn digits(&mut self, n: i64, width: u32) {
        for p in (0..width).rev() {
            self.out.push(char::from(b'0' + (n / 10i64.pow(p) % 10) as u8));
        }
    }
}

/// Hexadecimal digits in lower case.
pub const LOWER: &[u8; 16] = b"0123456789abcdef";
/// Hexadecimal digits in upper case.
pub const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Writes bytes as pairs of hexadecimal digits with colons between them: `ab:cd:ef`.
pub fn octets(out: &mut String, bytes: &[u8], of: &[u8; 16]) {
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(':');
        }
        pair(out, *b, of);
    }
}

fn pair(out: &mut String, b: u8, of: &[u8; 16]) {
    out.push(char::from(of[usize::from(b >> 4)])); // a nibble is below 16
    out.push(char::from(of[usize::from(b & 15)]));
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0') // a nibble is below 16
}

/// Year, month and day of a count of days since 1970-01-01 (not negative), by the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// EVE's name of an IP protocol number (IANA's keyword as Suricata spells it), None where EVE writes the number.
pub const fn proto_name(proto: u8) -> Option<&'static str> {
    Some(match proto {
        0 => "HOPOPT",
        1 => "ICMP",
        2 => "IGMP",
        3 => "GGP",
        4 => "IP-in-IP",
        5 => "ST",
        6 => "TCP",
        8 => "EGP",
        17 => "UDP",
        33 => "DCCP",
        41 => "IPv6",
        43 => "IPv6-Route",
        44 => "IPv6-Frag",
        46 => "RSVP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        59 => "IPv6-NoNxt",
        60 => "IPv6-Opts",
        88 => "EIGRP",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        135 => "Mobility Header",
        136 => "UDPLite",
        137 => "MPLS-in-IP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(f: impl FnOnce(&mut JsonWriter)) -> serde_json::Value {
        let mut w = JsonWriter::new();
        w.open();
        f(&mut w);
        w.close();
        serde_json::from_str(w.as_str()).unwrap_or_else(|e| panic!("{e}: {}", w.as_str()))
    }

    #[test]
    fn commas_fall_between_members_and_elements_only() {
        let mut w = JsonWriter::new();
        w.open().key("a").u64(0).key("b").open_array().i64(-3).string("[").string("{").open().close().close_array();
        w.key("c").open().key("d:").bool(true).close().key("e").open_array().close_array().close();
        assert_eq!(w.finish(), r#"{"a":0,"b":[-3,"[","{",{}],"c":{"d:":true},"e":[]}"#);
    }

    #[test]
    fn addresses_and_protocols_are_written_as_eve_has_them() {
        let v = object(|w| {
            w.key("v4").ip([192, 0, 2, 100].into());
            w.key("v6").ip("fe80::1".parse().expect("literal"));
            w.key("mac").mac([0, 0x1b, 2, 3, 4, 0xff]);
            w.key("tcp").proto(6).key("none").proto(77);
        });
        assert_eq!(
            v,
            serde_json::json!({"v4": "192.0.2.100", "v6": "fe80:0000:0000:0000:0000:0000:0000:0001",
                "mac": "00:1b:02:03:04:ff", "tcp": "TCP", "none": "077"})
        );
    }

    #[test]
    fn bytes_that_are_no_text_keep_every_byte_readable() {
        let v = object(|w| {
            w.key("x").bytes(b"a\xff\n\"\\");
        });
        assert_eq!(v["x"], "a\\xff\n\"\\");
    }

    #[test]
    fn addresses_are_written_short_where_that_is_wanted() {
        let full = "fe80:0000:0000:0000:020c:29ff:fef3:cf38";
        let json = format!(
            r#"{{"src_ip":"{full}","dest_ip":"192.0.2.1","flow":{{"ip":"{full}"}},"x":"{full}","ip":"ip\":"}}"#
        );
        let mut r = Record {
            class: Class::Flow,
            event_type: "flow",
            event: Timestamp::default(),
            observed: Timestamp::default(),
            packet_index: 1,
            vlan: None,
            src: None,
            dest: None,
            ruleset: None,
            json,
        };
        r.compress_ipv6();
        let short = "fe80::20c:29ff:fef3:cf38";
        let want = format!(
            r#"{{"src_ip":"{short}","dest_ip":"192.0.2.1","flow":{{"ip":"{short}"}},"x":"{full}","ip":"ip\":"}}"#
        );
        assert_eq!(r.json, want);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(s: String) {
            let v = object(|w| { w.key(&s).string(&s); });
            prop_assert_eq!(v.get(&s).and_then(|x| x.as_str()), Some(s.as_str()));
        }
        #[test]
        fn any_bytes_are_valid_json(b: Vec<u8>) {
            let v = object(|w| { w.key("k").bytes(&b); });
            prop_assert!(v["k"].is_string());
        }
        #[test]
        fn any_number_comes_back(u: u64, i: i64) {
            let v = object(|w| { w.key("u").u64(u).key("i").i64(i); });
            prop_assert_eq!((v["u"].as_u64(), v["i"].as_i64()), (Some(u), Some(i)));
        }
        #[test]
        fn times_are_written_as_base_writes_them(us in prop_oneof![any::<i64>(), 0i64..253_402_300_800_000_000]) {
            let t = Timestamp::from_micros(us);
            let v = object(|w| { w.key("t").time(t); });
            prop_assert_eq!(v["t"].as_str().map(str::to_owned), Some(t.eve()));
        }
    }
}
