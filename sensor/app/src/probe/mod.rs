// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which protocol the beginning of a direction belongs to: who is asked, where, and in which order.
//!
//! Must never read past the data given, and must answer "perhaps" only while more bytes could change the answer: the
//! caller holds bytes for as long as that is said.

use lagewarte_base::reader::Reader;
use lagewarte_flow::{AppProto, Direction};

mod content;

use self::content::{
    contains_ignoring_case, dns_header, enip, ike, imap_command, ldap, mqtt, pgsql, quic, rdp, smb, snmp,
    starts_ignoring_case, tls,
};
use crate::{config::Config, nfs};

/// What the data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Is(AppProto),
    /// It is this, and it is what the other side says: client and server were taken for each other.
    Turned(AppProto),
    /// More bytes may tell.
    Perhaps,
    No,
}

/// One look at the beginning of a direction.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    pub(crate) tcp: bool,
    pub(crate) direction: Direction,
    /// The client's port, the server's port.
    pub(crate) ports: (u16, u16),
    /// What the other direction was found to speak.
    pub(crate) other: AppProto,
    pub(crate) data: &'a [u8],
    /// Which ports are expected.
    pub(crate) config: &'a Config,
}

use Answer::{Is, No, Perhaps, Turned};

/// Texts that a client of a protocol begins with.
const CLIENT: &[(&[u8], AppProto)] = &[
    (b"PRI * HTTP/2.0\r\n", AppProto::Http2),
    (b"GET ", AppProto::Http),
    (b"POST ", AppProto::Http),
    (b"HEAD ", AppProto::Http),
    (b"PUT ", AppProto::Http),
    (b"DELETE ", AppProto::Http),
    (b"OPTIONS ", AppProto::Http),
    (b"TRACE ", AppProto::Http),
    (b"CONNECT ", AppProto::Http),
    (b"PATCH ", AppProto::Http),
    (b"PROPFIND ", AppProto::Http),
    (b"PROPPATCH ", AppProto::Http),
    (b"MKCOL ", AppProto::Http),
    (b"COPY ", AppProto::Http),
    (b"MOVE ", AppProto::Http),
    (b"LOCK ", AppProto::Http),
    (b"UNLOCK ", AppProto::Http),
    (b"REPORT ", AppProto::Http),
    (b"SEARCH ", AppProto::Http),
    (b"EHLO ", AppProto::Smtp),
    (b"EHLO\r\n", AppProto::Smtp),
    (b"EHLO\n", AppProto::Smtp),
    (b"HELO ", AppProto::Smtp),
    (b"HELO\r\n", AppProto::Smtp),
    (b"HELO\n", AppProto::Smtp),
    (b"AUTH TLS", AppProto::Ftp),
    (b"AUTH SSL", AppProto::Ftp),
    (b"USER ", AppProto::Ftp),
    (b"FEAT\r\n", AppProto::Ftp),
    (b"RFB 00", AppProto::Rfb),
    (b"SSH-", AppProto::Ssh),
];

/// Texts that a server of a protocol begins with.
const SERVER: &[(&[u8], AppProto)] = &[
    (b"HTTP/1.", AppProto::Http),
    (b"HTTP/0.9", AppProto::Http),
    (b"+OK", AppProto::Pop3),
    (b"-ERR", AppProto::Pop3),
    (b"* OK ", AppProto::Imap),
    (b"* BYE ", AppProto::Imap),
    (b"* PREAUTH ", AppProto::Imap),
    (b"RFB 00", AppProto::Rfb),
    (b"SSH-", AppProto::Ssh),
];

const SIP: &[&[u8]] = &[
    b"INVITE sip",
    b"REGISTER sip",
    b"OPTIONS sip",
    b"ACK sip",
    b"BYE sip",
    b"CANCEL sip",
    b"SUBSCRIBE sip",
    b"NOTIFY sip",
    b"MESSAGE sip",
    b"SIP/2.0 ",
];

impl Probe<'_> {
    pub(crate) fn run(&self) -> Answer {
        let d = self.data;
        if SIP.iter().any(|s| d.starts_with(s)) {
            return Is(AppProto::Sip);
        }
        if self.tcp { self.stream() } else { self.datagram() }
    }

    // Whether one of the ports is expected to speak this.
    fn on(&self, proto: AppProto) -> bool {
        let expects = |port| self.config.expects(proto, self.tcp, port);
        expects(self.ports.0) || expects(self.ports.1)
    }

    fn stream(&self) -> Answer {
        let answers = [
            self.http2_server(),
            self.text(),
            tls(self.data),
            smb(self.data),
            rdp(self.data),
            self.dcerpc(),
            mqtt(self.data),
            self.by_port(),
        ];
        let mut best = No;
        for a in answers {
            match a {
                Is(_) | Turned(_) => return a,
                Perhaps => best = Perhaps,
                No => {}
            }
        }
        best
    }

    // A server's preface (RFC 9113, 3.4): SETTINGS on stream 0. One that comes before the client has spoken has to be whole
    // and to say something.
    fn http2_server(&self) -> Answer {
        let first = self.other == AppProto::Unknown;
        if self.direction == Direction::ToServer || !(first || self.other == AppProto::Http2) {
            return No;
        }
        match self.data {
            [0, high, low, 4, 0 | 1, 0, 0, 0, 0, rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let known = |s: &[u8]| matches!(s, [0, 1..=6 | 8 | 9, ..]);
                match (len.is_multiple_of(6), first) {
                    (false, _) => No,
                    (true, false) => Is(AppProto::Http2),
                    (true, true) if len == 0 || !rest.chunks_exact(6).take(len / 6).all(known) => No,
                    (true, true) if rest.len() < len => Perhaps,
                    (true, true) => Is(AppProto::Http2),
                }
            }
            [0] | [0, _] | [0, _, _] if !first => Perhaps,
            [0, _, _, 4, ..] if self.data.len() < 9 => Perhaps,
            _ => No,
        }
    }

    fn text(&self) -> Answer {
        let d = self.data;
        let table = if self.direction == Direction::ToServer { CLIENT } else { SERVER };
        let mut best = No;
        for &(begin, proto) in table {
            if starts_ignoring_case(d, begin, proto) {
                // USER is the first word of FTP and of POP3: what the server said or its port decides.
                if begin == b"USER " && (self.other == AppProto::Pop3 || self.on(AppProto::Pop3)) {
                    return Is(AppProto::Pop3);
                }
                return Is(proto);
            }
            if d.len() < begin.len() && starts_ignoring_case(begin, d, proto) {
                best = Perhaps;
            }
        }
        if self.direction == Direction::ToServer {
            // QUIT is the last word of mail, file transfer and POP3; the port says whose.
            if d.get(..4).is_some_and(|w| w.eq_ignore_ascii_case(b"QUIT")) && self.on(AppProto::Smtp) {
                return Is(AppProto::Smtp);
            }
            return match (self.other, imap_command(d)) {
                (AppProto::Pop3, _)
                    if ["CAPA", "AUTH", "APOP", "STLS", "QUIT"].iter().any(|c| d.starts_with(c.as_bytes())) =>
                {
                    Is(AppProto::Pop3)
                }
                (_, true) => Is(AppProto::Imap),
                _ => best,
            };
        }
        if d.starts_with(b"220 ") || d.starts_with(b"220-") {
            let line = d.split(|&b| b == b'\n').next().unwrap_or(d);
            return if contains_ignoring_case(line, b"FTP") {
                Is(AppProto::Ftp)
            } else if contains_ignoring_case(line, b"SMTP") || self.on(AppProto::Smtp) || self.other == AppProto::Smtp {
                Is(AppProto::Smtp)
            } else if self.on(AppProto::Ftp) || self.other == AppProto::Ftp {
                Is(AppProto::Ftp)
            } else {
                No
            };
        }
        best
    }

    // A DNS message says itself whether it is a response.
    fn way(&self, proto: AppProto, message: &[u8]) -> Answer {
        let response = message.get(2).is_some_and(|b| b & 0x80 != 0);
        if response == (self.direction == Direction::ToClient) { Is(proto) } else { Turned(proto) }
    }

    fn dcerpc(&self) -> Answer {
        // Version 5.0 or 5.1, a known packet type, a fragment at least as long as its header (DCE 1.1: RPC, 12.6).
        match self.data {
            &[5, 0 | 1, kind, _, drep, _, _, _, len_a, len_b, ..] if kind <= 19 => {
                let len = if drep & 0x10 != 0 { [len_b, len_a] } else { [len_a, len_b] };
                if u16::from_be_bytes(len) >= 16 { Is(AppProto::Dcerpc) } else { No }
            }
            [5] | [5, 0 | 1, ..] if self.data.len() < 10 => Perhaps,
            _ => No,
        }
    }

    /// Protocols whose content alone is too weak to tell.
    fn by_port(&self) -> Answer {
        let d = self.data;
        if self.on(AppProto::Template) {
            let verb = if self.direction == Direction::ToServer { b"ask ".as_slice() } else { b"tell " };
            match d.get(..verb.len()) {
                Some(v) if v == verb => return Is(AppProto::Template),
                None if verb.starts_with(d) => return Perhaps,
                _ => {}
            }
        }
        for proto in [AppProto::Dns, AppProto::Llmnr] {
            if self.on(proto) {
                let mut r = Reader::new(d);
                let Some(len) = r.u16() else { return Perhaps };
                return match dns_header(r.rest(), false) {
                    _ if len < 12 => No,
                    Is(_) => self.way(proto, r.rest()),
                    other => other,
                };
            }
        }
        if self.on(AppProto::Ldap) {
            return ldap(d);
        }
        if self.on(AppProto::Krb5) {
            return match d {
                [0, _, _, _, 0x6a..=0x6f | 0x7e, ..] => Is(AppProto::Krb5),
                [] | [0] | [0, ..] if d.len() < 5 => Perhaps,
                _ => No,
            };
        }
        if self.on(AppProto::Pgsql) {
            return pgsql(self.direction, d);
        }
        if self.on(AppProto::Modbus) {
            // Protocol 0, a length that a frame may have, a function; only an answer has the bit of an exception.
            let up = self.direction == Direction::ToServer;
            return match d {
                [_, _, 0, 0, high, low, _, function, ..]
                    if *function & 0x7f != 0
                        && !(up && *function & 0x80 != 0)
                        && (2..=256).contains(&u16::from_be_bytes([*high, *low])) =>
                {
                    Is(AppProto::Modbus)
                }
                [_, _, 0, 0, ..] | [_, _, 0] | [_, _] | [_] if d.len() < 8 => Perhaps,
                _ => No,
            };
        }
        if self.on(AppProto::Nfs) {
            return match nfs::begins(d, self.direction) {
                Some(true) => Is(AppProto::Nfs),
                Some(false) => No,
                None => Perhaps,
            };
        }
        if self.on(AppProto::Enip) {
            return enip(d);
        }
        if self.on(AppProto::Dnp3) {
            // A link frame's two first bytes and a length that it may have (IEEE 1815, 9.2.4.1).
            return match d {
                [0x05, 0x64, 5..=255, ..] => Is(AppProto::Dnp3),
                [0x05, 0x64] | [0x05] => Perhaps,
                _ => No,
            };
        }
        // A server whose client was not heard: CONNACK.
        if self.direction == Direction::ToClient && self.on(AppProto::Mqtt) {
            match d {
                [0x20, 2, 0 | 1, code, ..] if *code <= 5 => return Is(AppProto::Mqtt),
                [0x20, 3..=127, 0 | 1, code, ..] if *code == 0 || *code >= 128 => return Is(AppProto::Mqtt),
                [0x20] | [0x20, ..] if d.len() < 4 => return Perhaps,
                _ => {}
            }
        }
        match d {
            [0xff, 0xfb..=0xfe, _, ..] if self.on(AppProto::Telnet) => Is(AppProto::Telnet),
            [0xff] | [0xff, 0xfb..=0xfe] if self.on(AppProto::Telnet) => Perhaps,
            _ => No,
        }
    }

    fn datagram(&self) -> Answer {
        let d = self.data;
        if let Is(proto) = quic(d) {
            return Is(proto);
        }
        if d.starts_with(b"d1:ad2:id20:") || d.starts_with(b"d1:rd2:id20:") {
            return Is(AppProto::BittorrentDht);
        }
        let dns = |proto| match dns_header(d, true) {
            Is(_) if proto == AppProto::Mdns => Is(proto), // answers come unasked
            Is(_) => self.way(proto, d),
            _ => No,
        };
        if self.on(AppProto::Dns) {
            dns(AppProto::Dns)
        } else if self.on(AppProto::Mdns) {
            dns(AppProto::Mdns)
        } else if self.on(AppProto::Llmnr) {
            dns(AppProto::Llmnr)
        } else if self.on(AppProto::Ntp) {
            // Version 1 to 4, mode 1 to 7, a whole header (RFC 5905, 7.3); control messages are shorter.
            match d.first() {
                Some(b)
                    if (1..=4).contains(&(b >> 3 & 7)) && b & 7 != 0 && d.len() >= if b & 7 >= 6 { 8 } else { 48 } =>
                {
                    Is(AppProto::Ntp)
                }
                _ => No,
            }
        } else if self.on(AppProto::Dhcp) {
            if d.get(236..240) == Some(&[0x63, 0x82, 0x53, 0x63]) { Is(AppProto::Dhcp) } else { No }
        } else if self.on(AppProto::Snmp) {
            snmp(d)
        } else if self.on(AppProto::Tftp) {
            match d {
                [0, 1..=5, ..] if d.len() >= 4 => Is(AppProto::Tftp),
                _ => No,
            }
        } else if self.on(AppProto::Ike) {
            ike(d.strip_prefix(&[0; 4]).unwrap_or(d)) // behind four zero bytes where NAT is traversed (RFC 3948)
        } else if self.on(AppProto::Krb5) {
            match d {
                [0x6a..=0x6f | 0x7e, _, ..] => Is(AppProto::Krb5),
                _ => No,
            }
        } else if self.on(AppProto::Ldap) {
            ldap(d)
        } else if self.on(AppProto::Nfs) {
            // A call and a reply say themselves what they are.
            match (nfs::call_or_reply(d, self.direction), nfs::call_or_reply(d, self.direction.reverse())) {
                (Some(true), _) => Is(AppProto::Nfs),
                (_, Some(true)) => Turned(AppProto::Nfs),
                _ => No,
            }
        } else if self.on(AppProto::Enip) {
            match enip(d) {
                Perhaps => No, // a datagram is whole
                answer => answer,
            }
        } else if d.len() >= 16 {
            self.dcerpc_datagram()
        } else {
            No
        }
    }

    fn dcerpc_datagram(&self) -> Answer {
        // Connectionless DCE/RPC: version 4, known type, an 80-byte header.
        match self.data {
            [4, kind, ..] if *kind <= 10 && self.data.len() >= 80 && self.on(AppProto::Dcerpc) => Is(AppProto::Dcerpc),
            _ => No,
        }
    }
}

#[cfg(test)]
mod tests;
