// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the first bytes of one protocol look like, one function each.
//!
//! Must never read past the data given, and never say [`Perhaps`] where no further byte could change the answer.

use lagewarte_base::reader::Reader;
use lagewarte_event::names::{ENIP_COMMANDS, ENIP_STATUS, name_of};
use lagewarte_flow::{AppProto, Direction};

use super::Answer::{self, Is, No, Perhaps};

pub(super) fn starts_ignoring_case(data: &[u8], begin: &[u8], proto: AppProto) -> bool {
    // Commands of mail and file transfer may be written in any case; HTTP methods and banners may not.
    match data.get(..begin.len()) {
        Some(head) if matches!(proto, AppProto::Smtp | AppProto::Ftp | AppProto::Imap | AppProto::Pop3) => {
            head.eq_ignore_ascii_case(begin)
        }
        Some(head) => head == begin,
        None => false,
    }
}

pub(super) fn contains_ignoring_case(data: &[u8], what: &[u8]) -> bool {
    data.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what))
}

/// `TAG CAPABILITY`, `TAG LOGIN`, ... (RFC 3501, 6): a short tag and a word that only IMAP has.
pub(super) fn imap_command(d: &[u8]) -> bool {
    let Some(space) = d.iter().take(16).position(|&b| b == b' ') else { return false };
    let (tag, rest) = (&d[..space], &d[space + 1..]); // space is a position in d
    !tag.is_empty()
        && tag.iter().all(u8::is_ascii_alphanumeric)
        && [b"CAPABILITY".as_slice(), b"LOGIN ", b"AUTHENTICATE ", b"STARTTLS"]
            .iter()
            .any(|c| rest.get(..c.len()).is_some_and(|r| r.eq_ignore_ascii_case(c)))
}

pub(super) fn tls(d: &[u8]) -> Answer {
    match d {
        // A record of SSL 3.0 to TLS 1.3 with a hello, or with an alert or a change of cipher where we came late.
        [0x16, 3, 0..=4, _, _, 1 | 2, ..] | [0x15, 3, 0..=4, 0, 2, ..] => Is(AppProto::Tls),
        // The old hello of SSL 2.0, still sent by scanners.
        [a, _, 1, 3, 0..=3, ..] | [a, _, 1, 0, 2, ..] if a & 0x80 != 0 => Is(AppProto::Tls),
        [0x16] | [0x16, 3] | [0x16, 3, 0..=4, ..] if d.len() < 6 => Perhaps,
        _ => No,
    }
}

pub(super) fn smb(d: &[u8]) -> Answer {
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

pub(super) fn rdp(d: &[u8]) -> Answer {
    match d {
        // TPKT version 3, X.224 connection request or confirm (MS-RDPBCGR 2.2.1.1).
        [3, 0, _, _, _, 0xe0 | 0xd0, ..] => Is(AppProto::Rdp),
        [3] | [3, 0, ..] if d.len() < 6 => Perhaps,
        _ => No,
    }
}

pub(super) fn mqtt(d: &[u8]) -> Answer {
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

pub(super) fn ldap(d: &[u8]) -> Answer {
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

pub(super) fn pgsql(direction: Direction, d: &[u8]) -> Answer {
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

pub(super) fn enip(d: &[u8]) -> Answer {
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

pub(super) fn snmp(d: &[u8]) -> Answer {
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

pub(super) fn ike(d: &[u8]) -> Answer {
    let mut r = Reader::new(d);
    let (Some(_), Some(_), Some([_, version, _, _]), Some(_), Some(len)) =
        (r.u64(), r.u64(), r.array::<4>(), r.u32(), r.u32())
    else {
        return No;
    };
    if matches!(version, 0x10 | 0x20) && len as usize >= 28 && len as usize <= d.len() { Is(AppProto::Ike) } else { No }
}

pub(super) fn quic(d: &[u8]) -> Answer {
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
pub(super) fn dns_header(d: &[u8], whole: bool) -> Answer {
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
