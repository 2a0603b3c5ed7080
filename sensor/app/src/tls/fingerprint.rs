// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Fingerprints of hello messages: JA3 and JA3S (BSD-3, Salesforce), JA4 of TLS and QUIC clients (BSD-3, FoxIO; the
//! other methods of the JA4+ family have a licence of their own and are not here).
//!
//! Must never depend on anything but the hello, so that the same client gives the same value everywhere.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use super::hello::{ClientHello, ServerHello, is_grease};

/// Text and MD5 of JA3 or JA3S.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ja3 {
    /// The text that is hashed.
    pub string: String,
    /// Its MD5, 32 lower-case hexadecimal digits.
    pub hash: String,
}

impl Ja3 {
    fn new(string: String) -> Self {
        let hash = hex::encode(Md5::digest(string.as_bytes()));
        Self { string, hash }
    }
    /// Of a client: version, suites, extensions, groups, point formats.
    pub fn client(hello: &ClientHello) -> Self {
        let mut s = String::with_capacity(256);
        let _ = write!(s, "{},", hello.version); // writing into a String cannot fail
        list(&mut s, hello.ciphers.iter().copied());
        s.push(',');
        list(&mut s, hello.extensions.iter().map(|e| e.kind));
        s.push(',');
        list(&mut s, hello.groups.iter().copied());
        s.push(',');
        list(&mut s, hello.point_formats.iter().map(|&f| f.into()));
        Self::new(s)
    }
    /// Of a server: version, suite, extensions.
    pub fn server(hello: &ServerHello) -> Self {
        let mut s = String::with_capacity(64);
        let _ = write!(s, "{},{},", hello.legacy_version, hello.cipher); // as above
        list(&mut s, hello.extensions.iter().map(|e| e.kind));
        Self::new(s)
    }
}

fn list(s: &mut String, values: impl Iterator<Item = u16>) {
    for (i, v) in values.filter(|v| !is_grease(*v)).enumerate() {
        let _ = write!(s, "{}{v}", if i == 0 { "" } else { "-" }); // writing into a String cannot fail
    }
}

/// JA4 of a client: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub fn ja4(hello: &ClientHello, quic: bool) -> String {
    let mut ciphers: Vec<u16> = hello.ciphers.iter().copied().filter(|c| !is_grease(*c)).collect();
    let mut kinds: Vec<u16> = hello.extensions.iter().map(|e| e.kind).filter(|k| !is_grease(*k)).collect();
    let version = match hello.highest_version() {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    let mut out = format!(
        "{}{version}{}{:02}{:02}{}_",
        if quic { 'q' } else { 't' },
        if hello.sni.is_some() { 'd' } else { 'i' },
        ciphers.len().min(99),
        kinds.len().min(99),
        alpn(hello)
    );
    ciphers.sort_unstable();
    out += &short_hash(&hex_list(&ciphers));
    out.push('_');
    // The server's name and the protocols vary by destination; they are counted but not hashed.
    kinds.retain(|k| !matches!(k, 0 | 16));
    kinds.sort_unstable();
    let mut hashed = hex_list(&kinds);
    let signatures: Vec<u16> = hello.signature_algorithms.iter().copied().filter(|s| !is_grease(*s)).collect();
    if !signatures.is_empty() {
        hashed.push('_');
        hashed += &hex_list(&signatures);
    }
    out += &short_hash(&hashed);
    out
}

/// First and last character of the first protocol; of its hexadecimal form where one of them is no letter or digit.
fn alpn(hello: &ClientHello) -> String {
    let (first, last) = match hello.alpns.first().map(Vec::as_slice) {
        None | Some([]) => return "00".into(),
        Some([one]) => (one, one),
        Some([first, .., last]) => (first, last),
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        String::from_iter([char::from(*first), char::from(*last)])
    } else {
        format!("{:x}{:x}", first >> 4, last & 15)
    }
}

fn hex_list(values: &[u16]) -> String {
    let mut s = String::with_capacity(values.len() * 5);
    for (i, v) in values.iter().enumerate() {
        let _ = write!(s, "{}{v:04x}", if i == 0 { "" } else { "," }); // writing into a String cannot fail
    }
    s
}

fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".into();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(6).fold(String::with_capacity(12), |mut s, b| {
        let _ = write!(s, "{b:02x}"); // writing into a String cannot fail
        s
    })
}

#[cfg(test)]
mod tests {
    use super::{super::hello::Extension, *};

    fn hello(ciphers: &[u16], kinds: &[u16], signatures: &[u16], alpn: &[&[u8]]) -> ClientHello {
        ClientHello {
            version: 0x0303,
            ciphers: ciphers.to_vec(),
            extensions: kinds.iter().map(|&kind| Extension { kind, values: Vec::new() }).collect(),
            signature_algorithms: signatures.to_vec(),
            alpns: alpn.iter().map(|a| a.to_vec()).collect(),
            versions: vec![0x7a7a, 0x0304, 0x0303],
            sni: Some(b"example".to_vec()),
            ..ClientHello::default()
        }
    }

    /// The worked example of FoxIO's technical description of JA4.
    #[test]
    fn ja4_is_what_its_description_computes() {
        let h = hello(
            &[
                0x4a4a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            &[
                0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015,
            ],
            &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            &[b"h2", b"http/1.1"],
        );
        assert_eq!(ja4(&h, false), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(ja4(&h, true), "q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn ja4_of_little_is_of_full_length() {
        let empty = ClientHello { version: 0x0301, ..ClientHello::default() };
        assert_eq!(ja4(&empty, false), "t10i000000_000000000000_000000000000");
        for (protocol, want) in
            [(b"h".as_slice(), "hh"), (b"http/1.1", "h1"), (b"\xab\xcd", "ad"), (b"a\xff", "6f"), (b"", "00")]
        {
            let text = ja4(&hello(&[0x1301], &[16], &[], &[protocol]), false);
            assert_eq!(&text[8..10], want, "{protocol:?}");
        }
    }

    /// Salesforce's description: grease is left out, and what is missing stays an empty field.
    #[test]
    fn ja3_keeps_empty_fields() {
        let h = ClientHello { version: 769, ciphers: vec![4, 5, 10], ..ClientHello::default() };
        assert_eq!(Ja3::client(&h).string, "769,4-5-10,,,");
        let s = ServerHello { legacy_version: 769, cipher: 47, ..ServerHello::default() };
        assert_eq!(Ja3::server(&s), Ja3 { string: "769,47,".into(), hash: "18e962e106761869a61045bed0e81c2c".into() });
    }
}
