// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Who logs on: names out of the security blob of a session setup, NTLMSSP (MS-NLMP 2.2.1.3) or Kerberos (RFC 4120 5.5.1)
//! in SPNEGO (RFC 4178) or bare.
//!
//! Must never read a hash or a ticket's secret part, and never decide whether the logon succeeds.

use super::wire;
use crate::{
    ber::{Element, OCTETS, SEQUENCE},
    ordered::Ordered,
};

/// Parts of a Kerberos name that are kept. Threat: a name of thousands.
pub const MAX_PARTS: usize = 16;

/// What an NTLMSSP AUTHENTICATE message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ntlm {
    /// Domain or server.
    pub domain: Vec<u8>,
    /// User.
    pub user: Vec<u8>,
    /// The client's machine.
    pub host: Vec<u8>,
    /// The client's version, where it is told.
    pub version: Option<String>,
}

/// What a Kerberos AP-REQ says of its ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kerberos {
    /// Realm of the service.
    pub realm: Vec<u8>,
    /// Name of the service.
    pub snames: Vec<Vec<u8>>,
}

/// What a blob holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blob {
    /// An AUTHENTICATE message.
    Ntlm(Ntlm),
    /// An AUTHENTICATE message that is damaged.
    BadNtlm,
    /// A ticket.
    Kerberos(Kerberos),
    /// Something else.
    Other,
}

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// Reads a blob.
pub fn blob(data: &[u8]) -> Blob {
    // The signature stands nowhere else in a token, so that SPNEGO need not be right for it.
    if let Some(at) = data.windows(SIGNATURE.len()).position(|w| w == SIGNATURE) {
        let message = data.get(at..).unwrap_or_default();
        return match Ordered::little(message.get(8..).unwrap_or_default()).u32() {
            Some(3) => ntlm(message).map_or(Blob::BadNtlm, Blob::Ntlm),
            Some(1 | 2) => Blob::Other,
            _ => Blob::BadNtlm,
        };
    }
    kerberos(data).map_or(Blob::Other, Blob::Kerberos)
}

fn ntlm(message: &[u8]) -> Option<Ntlm> {
    let mut r = Ordered::little(message.get(12..)?);
    let field = |r: &mut Ordered<'_>| {
        let (len, _, from) = (usize::from(r.u16()?), r.u16()?, r.u32()? as usize);
        message.get(from..from.checked_add(len)?)
    };
    let _lm = r.take(8)?;
    let _nt = r.take(8)?;
    let (domain, user, host) = (field(&mut r)?, field(&mut r)?, field(&mut r)?);
    let _key = r.take(8)?;
    let flags = r.u32()?;
    let unicode = flags & 1 != 0;
    // Present where it is negotiated (MS-NLMP 2.2.2.10).
    let version = if flags & 0x0200_0000 != 0 {
        let (major, minor, build) = (r.u8()?, r.u8()?, r.u16()?);
        r.take(3)?;
        Some(format!("{major}.{minor} build {build} rev {}", r.u8()?))
    } else {
        None
    };
    let text = |b| wire::text(b, unicode);
    Some(Ntlm { domain: text(domain), user: text(user), host: text(host), version })
}

fn kerberos(data: &[u8]) -> Option<Kerberos> {
    // [APPLICATION 0] { SPNEGO, [0] NegTokenInit { ..., [2] mechToken } } or [1] NegTokenResp { ..., [2] responseToken },
    // or the mechanism's token itself.
    let outer = Element::first(data)?;
    let init = match outer.tag {
        0x60 => outer.elements().find(|e| e.tag == 0xa0),
        0xa1 => Some(outer),
        _ => None,
    };
    let token = init.and_then(|e| Element::first(e.content)).filter(|e| e.tag == SEQUENCE);
    let token = token.and_then(|e| e.field(2)).filter(|e| e.tag == OCTETS);
    let token = token.map_or(Some(outer), |e| Element::first(e.content))?;
    // GSS-API (RFC 4121 4.1): [APPLICATION 0] { mechanism, 01 00, AP-REQ }.
    let inner = match token.tag {
        0x60 => {
            let at = token.content.windows(3).position(|w| w == [1, 0, 0x6e])?;
            Element::first(token.content.get(at + 2..)?)?
        }
        _ => token,
    };
    if inner.tag != 0x6e {
        return None;
    }
    let ticket = Element::first(inner.content)?.field(3).filter(|t| t.tag == 0x61)?;
    let ticket = Element::first(ticket.content)?;
    let cut = |e: Element<'_>| wire::text(e.content, false);
    let name = ticket.field(2)?.field(1)?;
    Some(Kerberos { realm: cut(ticket.field(1)?), snames: name.elements().take(MAX_PARTS).map(cut).collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn authenticate(domain: &str, user: &str, host: &str) -> Vec<u8> {
        let mut m = [SIGNATURE, &3u32.to_le_bytes(), &[0; 16]].concat();
        let (mut at, mut tail) = (72u32, Vec::new());
        for t in [domain, user, host] {
            let bytes: Vec<u8> = t.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let len = u16::try_from(bytes.len()).unwrap();
            m.extend([&len.to_le_bytes()[..], &len.to_le_bytes(), &at.to_le_bytes()].concat());
            at += u32::from(len);
            tail.extend(bytes);
        }
        m.extend([&[0; 8][..], &0x0200_0001u32.to_le_bytes(), &[10, 0, 0x61, 0x4a, 0, 0, 0, 15]].concat());
        [m, tail].concat()
    }

    #[test]
    fn names_of_ntlm_and_each_truncation() {
        let wire = [b"\x60\x50".to_vec(), authenticate("DOM", "jürgen", "PC")].concat();
        let want = Ntlm {
            domain: b"DOM".to_vec(),
            user: "jürgen".as_bytes().to_vec(),
            host: b"PC".to_vec(),
            version: Some("10.0 build 19041 rev 15".to_owned()),
        };
        assert_eq!(blob(&wire), Blob::Ntlm(want));
        for n in 10..wire.len() {
            assert_eq!(blob(&wire[..n]), Blob::BadNtlm, "cut at {n}");
        }
    }

    #[test]
    fn a_ticket_names_its_service() {
        let e = |tag: u8, parts: &[&[u8]]| {
            let content = parts.concat();
            [&[tag, 0x81, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
        };
        let name = e(
            0x30,
            &[&e(0xa0, &[&e(2, &[&[2]])]), &e(0xa1, &[&e(0x30, &[&e(0x1b, &[b"cifs"]), &e(0x1b, &[b"fs1"])])])],
        );
        let ticket = e(
            0x61,
            &[&e(0x30, &[&e(0xa0, &[&e(2, &[&[5]])]), &e(0xa1, &[&e(0x1b, &[b"EXAMPLE.ORG"])]), &e(0xa2, &[&name])])],
        );
        let req = e(0x6e, &[&e(0x30, &[&e(0xa0, &[&e(2, &[&[5]])]), &e(0xa3, &[&ticket])])]);
        let gss = e(0x60, &[&e(6, &[b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"]), &[1, 0], &req]);
        let spnego =
            e(0x60, &[&e(6, &[b"\x2b\x06\x01\x05\x05\x02"]), &e(0xa0, &[&e(0x30, &[&e(0xa2, &[&e(4, &[&gss])])])])]);
        let want = Kerberos { realm: b"EXAMPLE.ORG".to_vec(), snames: vec![b"cifs".to_vec(), b"fs1".to_vec()] };
        for wire in [spnego, gss, req] {
            assert_eq!(blob(&wire), Blob::Kerberos(want.clone()));
            assert!((0..wire.len()).all(|n| blob(&wire[..n]) == Blob::Other));
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>, signed: bool) {
            let data = if signed { [SIGNATURE, &3u32.to_le_bytes(), &data].concat() } else { data };
            let _ = blob(&data);
        }
    }
}
