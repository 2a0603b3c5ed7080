// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the beginning of each protocol looks like.
//!
//! Must never read past the data given, and must answer "perhaps" only while more bytes could change the answer: the
//! caller holds bytes for as long as that is said.

use lagewarte_base::reader::Reader;
use lagewarte_event::names::{ENIP_COMMANDS, ENIP_STATUS, name_of};
use lagewarte_flow::{AppProto, Direction};

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
    (b"RFB 003.", AppProto::Rfb),
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
    (b"RFB 003.", AppProto::Rfb),
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

fn starts_ignoring_case(data: &[u8], begin: &[u8], proto: AppProto) -> bool {
    // Commands of mail and file transfer may be written in any case; HTTP methods and banners may not.
    match data.get(..begin.len()) {
        Some(head) if matches!(proto, AppProto::Smtp | AppProto::Ftp | AppProto::Imap | AppProto::Pop3) => {
            head.eq_ignore_ascii_case(begin)
        }
        Some(head) => head == begin,
        None => false,
    }
}

fn contains_ignoring_case(data: &[u8], what: &[u8]) -> bool {
    data.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what))
}

/// `TAG CAPABILITY`, `TAG LOGIN`, ... (RFC 3501, 6): a short tag and a word that only IMAP has.
fn imap_command(d: &[u8]) -> bool {
    let Some(space) = d.iter().take(16).position(|&b| b == b' ') else { return false };
    let (tag, rest) = (&d[..space], &d[space + 1..]); // space is a position in d
    !tag.is_empty()
        && tag.iter().all(u8::is_ascii_alphanumeric)
        && [b"CAPABILITY".as_slice(), b"LOGIN ", b"AUTHENTICATE ", b"STARTTLS"]
            .iter()
            .any(|c| rest.get(..c.len()).is_some_and(|r| r.eq_ignore_ascii_case(c)))
}

fn tls(d: &[u8]) -> Answer {
    match d {
        // A record of SSL 3.0 to TLS 1.3 with a hello, or with an alert or a change of cipher where we came late.
        [0x16, 3, 0..=4, _, _, 1 | 2, ..] | [0x15, 3, 0..=4, 0, 2, ..] => Is(AppProto::Tls),
        // The old hello of SSL 2.0, still sent by scanners.
        [a, _, 1, 3, 0..=3, ..] | [a, _, 1, 0, 2, ..] if a & 0x80 != 0 => Is(AppProto::Tls),
        [0x16] | [0x16, 3] | [0x16, 3, 0..=4, ..] if d.len() < 6 => Perhaps,
        _ => No,
    }
}

fn smb(d: &[u8]) -> Answer {
    match d {
        [0, _, _, _, 0xfd..=0xff, b'S', b'M', b'B', ..] => Is(AppProto::Smb),
        // NetBIOS session request: two encoded names follow.
        [0x81, 0, 0, 0x44, 0x20, ..] => Is(AppProto::Smb),
        [0, _, _, _, 0xfd..=0xff, ..] | [0, ..] if d.len() < 5 || (d.len() < 8 && b"SMB".starts_with(&d[5..])) => {
            Perhaps
        }
        _ => No,
    }
}

fn rdp(d: &[u8]) -> Answer {
    match d {
        // TPKT version 3, X.224 connection request or confirm (MS-RDPBCGR 2.2.1.1).
        [3, 0, _, _, _, 0xe0 | 0xd0, ..] => Is(AppProto::Rdp),
        [3] | [3, 0, ..] if d.len() < 6 => Perhaps,
        _ => No,
    }
}

fn mqtt(d: &[u8]) -> Answer {
    if d.first() != Some(&0x10) {
        return No;
    }
    // CONNECT: a length of one to four bytes, then the protocol's name.
    let Some(rest) = d.get(1..).and_then(|r| Some(&r[r.iter().take(4).position(|b| b & 0x80 == 0)? + 1..])) else {
        return if d.len() < 5 { Perhaps } else { No };
    };
    match rest {
        [0, 4, b'M', b'Q', b'T', b'T', ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => Is(AppProto::Mqtt),
        _ if rest.len() < 8 && (b"\0\x04MQTT".starts_with(rest) || b"\0\x06MQIsdp".starts_with(rest)) => Perhaps,
        _ => No,
    }
}

fn ldap(d: &[u8]) -> Answer {
    // SEQUENCE, length in short or long form, INTEGER message id, an application tag (RFC 4511, 4.1.1).
    let mut r = Reader::new(d);
    match (r.u8(), r.u8()) {
        (Some(0x30), Some(len)) => {
            if len & 0x80 != 0 && r.take(usize::from(len & 0x7f)).is_none() {
                return Perhaps;
            }
            match (r.u8(), r.u8().and_then(|n| r.take(usize::from(n))), r.u8()) {
                (Some(2), Some(_), Some(0x42 | 0x4a | 0x50 | 0x60..=0x79)) => Is(AppProto::Ldap),
                (Some(2), None, _) | (Some(2), _, None) | (None, ..) => Perhaps,
                _ => No,
            }
        }
        (Some(0x30), None) | (None, _) => Perhaps,
        _ => No,
    }
}

fn pgsql(direction: Direction, d: &[u8]) -> Answer {
    match (direction, d) {
        // Length, then protocol 3.0, an SSL request or a cancel request.
        (Direction::ToServer, [0, 0, _, _, 0, 3, 0, 0, ..] | [0, 0, 0, _, 4, 0xd2, 0x16, 0x2e | 0x2f, ..]) => {
            Is(AppProto::Pgsql)
        }
        (Direction::ToServer, [0, ..]) if d.len() < 8 => Perhaps,
        (Direction::ToClient, [b'R' | b'E', 0, 0, ..] | [b'S' | b'N']) => Is(AppProto::Pgsql),
        _ => No,
    }
}

fn enip(d: &[u8]) -> Answer {
    // A command and a status that there are, and no options (CIP volume 2, 2-3).
    let mut r = Reader::new(d);
    let known = |names, n| name_of(names, n).is_some();
    match (r.u16_le(), r.u16_le(), r.u32(), r.u32_le(), r.u64(), r.u32()) {
        (Some(command), ..) if !known(ENIP_COMMANDS, command.into()) => No,
        (_, _, _, Some(status), ..) if !known(ENIP_STATUS, status.into()) => No,
        (.., Some(options)) => {
            if options == 0 {
                Is(AppProto::Enip)
            } else {
                No
            }
        }
        _ => Perhaps,
    }
}

fn snmp(d: &[u8]) -> Answer {
    // SEQUENCE, length, INTEGER version 0, 1 or 3.
    let mut r = Reader::new(d);
    if r.u8() != Some(0x30) {
        return No;
    }
    let Some(len) = r.u8() else { return No };
    if len & 0x80 != 0 && r.take(usize::from(len & 0x7f)).is_none() {
        return No;
    }
    if matches!(r.rest(), [2, 1, 0 | 1 | 3, ..]) { Is(AppProto::Snmp) } else { No }
}

fn ike(d: &[u8]) -> Answer {
    let mut r = Reader::new(d);
    let (Some(_), Some(_), Some([_, version, _, _]), Some(_), Some(len)) =
        (r.u64(), r.u64(), r.array::<4>(), r.u32(), r.u32())
    else {
        return No;
    };
    if matches!(version, 0x10 | 0x20) && len as usize >= 28 && len as usize <= d.len() { Is(AppProto::Ike) } else { No }
}

fn quic(d: &[u8]) -> Answer {
    let mut r = Reader::new(d);
    let (Some(first), Some(version)) = (r.u8(), r.u32()) else { return No };
    let known = version == 1
        || version == 0x6b33_43cf
        || version >> 8 == 0x00ff_0000
        || version >> 8 == 0x0051_3034
        || version >> 8 == 0x0051_3035;
    // A long header with the fixed bit, a known version, connection ids of 20 bytes at most (RFC 9000, 17.2). Google's
    // header has the lengths of both ids in that byte.
    let google = version >> 16 == 0x5130;
    if first & 0xc0 == 0xc0 && known && r.u8().is_some_and(|n| google || n <= 20) { Is(AppProto::Quic) } else { No }
}

// `whole`: the message ends where the data does.
fn dns_header(d: &[u8], whole: bool) -> Answer {
    let mut r = Reader::new(d);
    let (Some(_), Some(_), Some(questions), Some(answers), Some(authority), Some(additional)) =
        (r.u16(), r.u16(), r.u16(), r.u16(), r.u16(), r.u16())
    else {
        return if d.len() < 12 { Perhaps } else { No };
    };
    let few = questions <= 2048 && answers <= 1024 && authority <= 1024 && additional <= 1024;
    let some = (questions | answers | authority | additional) != 0;
    // The first question's name must be a name: labels of 63 bytes at most. How long it is, is the parser's matter.
    let named = questions == 0
        || loop {
            match r.u8() {
                Some(0) => break r.u32().is_some() || !whole,
                Some(n) if n < 64 => {
                    if r.take(n.into()).is_none() {
                        break !whole;
                    }
                }
                // A pointer ends a name; in a first question it can only point to itself or the header.
                Some(n) if n >= 0xc0 => break true,
                Some(_) => break false,
                None => break !whole,
            }
        };
    // An opcode that is not assigned and a reserved bit are events of the parser, and no reason to look away.
    if few && some && named { Is(AppProto::Dns) } else { No }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const C: Direction = Direction::ToServer;
    const S: Direction = Direction::ToClient;

    fn tcp(direction: Direction, port: u16, data: &[u8]) -> Answer {
        Probe { tcp: true, direction, ports: (40000, port), other: AppProto::Unknown, data, config: &Config::default() }
            .run()
    }
    fn udp(port: u16, data: &[u8]) -> Answer {
        Probe {
            tcp: false,
            direction: C,
            ports: (40000, port),
            other: AppProto::Unknown,
            data,
            config: &Config::default(),
        }
        .run()
    }

    #[test]
    fn beginnings_are_recognised_on_any_port() {
        for (direction, data, want) in [
            (C, b"GET / HTTP/1.1\r\n".as_slice(), AppProto::Http),
            (S, b"HTTP/1.1 200 OK\r\n", AppProto::Http),
            (C, b"PRI * HTTP/2.0\r\n\r\nSM", AppProto::Http2),
            (C, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", AppProto::Tls),
            (S, b"\x16\x03\x03\x00\x7a\x02\x00\x00", AppProto::Tls),
            (C, b"SSH-2.0-OpenSSH_9.2\r\n", AppProto::Ssh),
            (S, b"220 mail.example ESMTP Postfix\r\n", AppProto::Smtp),
            (C, b"ehlo client.example\r\n", AppProto::Smtp),
            (C, b"EHLO\n", AppProto::Smtp),
            (S, b"220 (vsFTPd 3.0.3)\r\n", AppProto::Ftp),
            (C, b"USER anonymous\r\n", AppProto::Ftp),
            (S, b"+OK Dovecot ready.\r\n", AppProto::Pop3),
            (S, b"* OK [CAPABILITY IMAP4rev1] ready\r\n", AppProto::Imap),
            (C, b"a001 LOGIN smith sesame\r\n", AppProto::Imap),
            (C, b"\x00\x00\x00\xa4\xffSMBr\x00", AppProto::Smb),
            (C, b"\x00\x00\x00\xa4\xfeSMB\x40\x00", AppProto::Smb),
            (C, b"\x03\x00\x00\x13\x0e\xe0\x00\x00", AppProto::Rdp),
            (C, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00", AppProto::Dcerpc),
            (C, b"\x10\x25\x00\x04MQTT\x04\x02", AppProto::Mqtt),
            (S, b"RFB 003.008\n", AppProto::Rfb),
            (C, b"INVITE sip:bob@example SIP/2.0\r\n", AppProto::Sip),
        ] {
            assert_eq!(tcp(direction, 7777, data), Is(want), "{:?}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn commands_and_greetings_are_told_by_the_port_or_the_other_side() {
        let told = |direction, port, other, data: &[u8]| {
            Probe { tcp: true, direction, ports: (40000, port), other, data, config: &Config::default() }.run()
        };
        let unknown = AppProto::Unknown;
        for (direction, port, other, data, want) in [
            (C, 110, unknown, b"USER me\r\n".as_slice(), Is(AppProto::Pop3)),
            (C, 7777, AppProto::Pop3, b"USER me\r\n", Is(AppProto::Pop3)),
            (C, 7777, AppProto::Pop3, b"CAPA\r\n", Is(AppProto::Pop3)),
            (C, 7777, unknown, b"CAPA\r\n", No),
            (C, 25, unknown, b"quit\r\n", Is(AppProto::Smtp)),
            (C, 7777, unknown, b"quit\r\n", No),
            (S, 25, unknown, b"220 ready\r\n", Is(AppProto::Smtp)),
            (S, 7777, AppProto::Smtp, b"220-ready\r\n", Is(AppProto::Smtp)),
            (S, 21, unknown, b"220 ready\r\n", Is(AppProto::Ftp)),
            (S, 7777, AppProto::Ftp, b"220 ready\r\n", Is(AppProto::Ftp)),
            (S, 7777, unknown, b"220 ready\r\n", No),
            (C, 7777, unknown, b"a1 STARTTLS\r\n", Is(AppProto::Imap)),
            (C, 7777, unknown, b"a-1 LOGIN me\r\n", No),
        ] {
            assert_eq!(told(direction, port, other, data), want, "{:?} on {port}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn what_is_weak_is_told_on_its_port_only() {
        let connack: &[u8] = &[0x20, 2, 0, 0];
        for (direction, port, data, want) in [
            (C, 389, b"\x30\x0c\x02\x01\x01\x60\x07".as_slice(), Is(AppProto::Ldap)),
            (C, 389, b"\x30\x84\x00\x00\x00\x10\x02\x01\x02\x63", Is(AppProto::Ldap)),
            (C, 389, b"\x30\x84\x00", Perhaps),
            (C, 389, b"\x30\x0c\x02\x01\x01\x20", No),
            (C, 389, b"\x30\x0c\x04\x01\x01", No),
            (C, 389, b"\x31", No),
            (C, 88, b"\0\0\x01\x10\x6a\x82", Is(AppProto::Krb5)),
            (C, 88, b"\0\0\x01", Perhaps),
            (C, 88, b"\0\0\x01\x10\x30\x82", No),
            (C, 5432, b"\0\0\0\x08\x04\xd2\x16\x2f", Is(AppProto::Pgsql)),
            (C, 5432, b"\0\0\0\x29\0\x03\0\0user", Is(AppProto::Pgsql)),
            (C, 5432, b"\0\0\0", Perhaps),
            (S, 5432, b"N", Is(AppProto::Pgsql)),
            (S, 5432, b"R\0\0\0\x08\0\0\0\0", Is(AppProto::Pgsql)),
            (S, 5432, b"hello", No),
            (C, 502, &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1], Is(AppProto::Modbus)),
            (S, 502, &[0, 1, 0, 0, 0, 3, 1, 0x83, 2], Is(AppProto::Modbus)),
            (C, 502, &[0, 1, 0, 0, 0, 3, 1, 0x83, 2], No), // an exception is an answer
            (C, 502, &[0, 1, 0, 0, 9, 6, 1, 3], No),       // too long
            (C, 502, &[0, 1, 0], Perhaps),
            (C, 502, &[9, 1, 7], No),
            (
                C,
                44818,
                &[0x65, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Is(AppProto::Enip),
            ),
            (C, 44818, &[0x65, 0, 4, 0], Perhaps),
            (C, 44818, &[0x65, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], No), // options
            (C, 44818, &[0x99, 0x99], No),
            (C, 44818, &[0x65, 0, 4, 0, 0, 0, 0, 0, 0x77, 0x77, 0, 0], No), // no such status
            (C, 20000, &[5, 0x64, 5, 0xc0], Is(AppProto::Dnp3)),
            (C, 20000, &[5, 0x64], Perhaps),
            (C, 20000, &[5, 0x64, 4], No),
            (S, 1883, connack, Is(AppProto::Mqtt)),
            (S, 1883, &[0x20, 3, 0, 0x87, 0], Is(AppProto::Mqtt)),
            (S, 1883, &connack[..3], Perhaps),
            (S, 1883, &[0x20, 2, 0, 6], No),
            (S, 7777, connack, No),
            (C, 23, &[0xff, 0xfb, 1], Is(AppProto::Telnet)),
            (C, 23, &[0xff, 0xfb], Perhaps),
            (C, 7777, &[0xff, 0xfb, 1], No),
            (C, 7777, &[0x81, 0, 0, 0x44, 0x20, 0x43], Is(AppProto::Smb)), // a session request
            (C, 7777, &[0x80, 0x2e, 1, 0, 2, 0, 0x15], Is(AppProto::Tls)), // SSL 2.0
            (C, 7777, &[5, 0, 11, 3, 0x10, 0, 0, 0, 15, 0], No),           // shorter than its header
            (C, 7777, &[0x10, 0x80], Perhaps),
            (C, 7777, &[0x10, 0x80, 0x80, 0x80, 0x80], No),
            (C, 7777, &[0x10, 0x0c, 0, 4, b'A'], No),
        ] {
            assert_eq!(tcp(direction, port, data), want, "{data:02x?} on {port}");
        }
    }

    #[test]
    fn datagrams_are_told_by_port_and_content() {
        let nfs_call: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 3, 0, 0, 0, 0];
        let nfs_reply: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let rpc = [&[4, 0][..], &[0; 78]].concat();
        let dhcp = [&[1, 1, 6, 0][..], &[0; 232], &[0x63, 0x82, 0x53, 0x63]].concat();
        let ike = [&[1; 16][..], &[1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 28]].concat();
        for (port, data, want) in [
            (161, b"\x30\x26\x02\x01\x01\x04\x06public".as_slice(), Is(AppProto::Snmp)),
            (161, b"\x30\x81\x90\x02\x01\x03", Is(AppProto::Snmp)),
            (161, b"\x30\x26\x02\x01\x02", No), // no version 3 is written so
            (161, b"\x30", No),
            (161, b"\x30\x84\x01", No),
            (161, b"get", No),
            (69, b"\0\x01a\0octet\0", Is(AppProto::Tftp)),
            (69, b"\0\x06a\0", No),
            (67, &dhcp, Is(AppProto::Dhcp)),
            (67, &dhcp[..239], No),
            (500, &ike, Is(AppProto::Ike)),
            (500, &ike[..20], No),
            (88, b"\x6a\x81", Is(AppProto::Krb5)),
            (88, b"\x60\x81", No),
            (389, b"\x30\x0c\x02\x01\x01\x63\x07", Is(AppProto::Ldap)),
            (2049, nfs_call, Is(AppProto::Nfs)),
            (2049, nfs_reply, Turned(AppProto::Nfs)),
            (2049, &nfs_call[..16], No),
            (44818, &[0x63, 0, 0, 0], No), // not whole
            (135, &rpc, Is(AppProto::Dcerpc)),
            (135, &rpc[..79], No),
            (7777, &rpc, No),
            (6881, b"d1:ad2:id20:", Is(AppProto::BittorrentDht)),
            (123, &[0x26, 2, 0, 1, 0, 0, 0, 0], Is(AppProto::Ntp)), // a control message is short
            (5355, b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", Is(AppProto::Llmnr)),
            (53, b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", Turned(AppProto::Dns)),
        ] {
            assert_eq!(udp(port, data), want, "{data:02x?} on {port}");
        }
    }

    /// A server may send its preface before the client's has come: then only that direction was recognised.
    #[test]
    fn a_server_that_speaks_http2_first_is_recognised() {
        let preface =
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\x01\0\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff\0\0\x04\x08\0\0\0\0\0";
        assert_eq!(tcp(S, 80, preface), Is(AppProto::Http2));
        assert_eq!((tcp(S, 80, &preface[..8]), tcp(S, 80, &preface[..20])), (Perhaps, Perhaps));
        let mut odd = *preface;
        odd[10] = 77; // no such setting
        assert_eq!((tcp(S, 80, &odd), tcp(S, 80, b"\0\0\0\x04\0\0\0\0\0")), (No, No));
    }

    #[test]
    fn weak_contents_need_their_port() {
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(query);
        assert_eq!((udp(53, query), udp(5353, query), udp(7777, query)), (Is(AppProto::Dns), Is(AppProto::Mdns), No));
        assert_eq!((tcp(C, 53, &framed), tcp(C, 7777, &framed)), (Is(AppProto::Dns), No));
        let mut ntp = [0; 48];
        ntp[0] = 0x23;
        assert_eq!((udp(123, &ntp), udp(124, &ntp), udp(123, &ntp[..47])), (Is(AppProto::Ntp), No, No));
        assert_eq!(udp(53, b"not dns at all"), No);
        assert_eq!(udp(443, b"\xc3\x00\x00\x00\x01\x08abcdefgh"), Is(AppProto::Quic));
    }

    #[test]
    fn a_beginning_sent_byte_by_byte_stays_possible_until_it_is_told() {
        for (direction, data) in [
            (C, b"GET /".as_slice()),
            (C, b"\x16\x03\x01\x02\x00\x01"),
            (C, b"\x00\x00\x00\xa4\xfeSMB"),
            (C, b"\x03\x00\x00\x13\x0e\xe0"),
            (C, b"\x10\x25\x00\x04MQTT"),
            (S, b"HTTP/1.1"),
        ] {
            for n in 0..data.len() {
                let answer = tcp(direction, 7777, &data[..n]);
                assert!(matches!(answer, Perhaps | Is(_)), "{n} of {data:?}: {answer:?}");
            }
            assert!(matches!(tcp(direction, 7777, data), Is(_)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data: Vec<u8>, tcp: bool, to_server: bool, port in prop::sample::select(
            vec![21u16, 25, 53, 67, 69, 88, 110, 123, 135, 143, 161, 389, 443, 445, 500, 4500, 5353, 5355, 5432, 9999]
        )) {
            let direction = if to_server { C } else { S };
            let _ = Probe { tcp, direction, ports: (1, port), other: AppProto::Unknown, data: &data, config: &Config::default() }.run();
        }
    }
}
