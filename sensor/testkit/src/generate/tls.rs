// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A TLS handshake in clear: hello, certificate.
//!
//! The certificate is well-formed and unsigned: no sensor checks a signature.

use super::{
    dialogue::{Buffers, Step},
    model::Model,
};

/// The handshake; variant 1: the client's or server's raw bytes stand alone, 2: inside the certificate.
pub(crate) fn exchange(buffers: &Buffers, model: &Model, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    if buffers.keys().any(|k| k.starts_with("ja3.") || k.starts_with("ja3s.")) {
        return None;
    }
    let asked = model.header.iter().find(|(n, _)| matches!(n.as_str(), "tls.version" | "ssl_version" | "tls_version"));
    let version: [u8; 2] = match asked.map(|(_, v)| v.trim_matches('"').to_lowercase()).as_deref() {
        None | Some("1.2" | "tls1.2") => [3, 3],
        Some("1.1" | "tls1.1") => [3, 2],
        Some("1.0" | "tls1.0") => [3, 1],
        Some("sslv3") => [3, 0],
        _ => return None,
    };
    let hello = client_hello(buffers, version)?;
    let raw = buffers.get("").cloned();
    if let Some(raw) = raw.clone().filter(|_| variant == 1) {
        let mine = Step { from_client: to_server, data: raw };
        return Some(if to_server { vec![mine] } else { vec![Step { from_client: true, data: hello }, mine] });
    }
    let mut steps = vec![Step { from_client: true, data: hello }];
    let inside = if variant >= 2 && !to_server { raw.clone() } else { None };
    let answer = [
        record(22, version, &handshake(2, &server_hello(version))),
        record(22, version, &handshake(11, &chain(buffers, inside.as_deref())?)),
        record(22, version, &handshake(14, &[])),
    ];
    steps.push(Step { from_client: false, data: answer.concat() });
    let key = record(22, version, &handshake(16, &[b"\x41\x04".as_slice(), &[7; 64]].concat()));
    let rest = [key, record(20, version, &[1]), record(22, version, &[9; 40])].concat();
    steps.push(Step { from_client: true, data: rest });
    let last = [record(20, version, &[1]), record(22, version, &[8; 40])].concat();
    steps.push(Step { from_client: false, data: last });
    if let Some(raw) = raw.filter(|_| inside.is_none()) {
        steps.push(Step { from_client: to_server, data: raw });
    }
    Some(steps)
}

fn counted(bytes: &[u8], width: usize) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes(); // shorter than a record
    [&len[4 - width..], bytes].concat()
}

fn record(kind: u8, version: [u8; 2], body: &[u8]) -> Vec<u8> {
    body.chunks(16_000)
        .flat_map(|part| [[kind, version[0], version[1]].as_slice(), &counted(part, 2)].concat())
        .collect()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], counted(body, 3).as_slice()].concat()
}

fn client_hello(buffers: &Buffers, version: [u8; 2]) -> Option<Vec<u8>> {
    let mut extensions = Vec::new();
    let mut add =
        |kind: u16, body: &[u8]| extensions.extend([kind.to_be_bytes().as_slice(), &counted(body, 2)].concat());
    if let Some(name) = buffers.get("tls.sni") {
        if name.is_empty() || name.len() > 1000 {
            return None;
        }
        add(0, &counted(&[&[0], counted(name, 2).as_slice()].concat(), 2));
    }
    add(10, &[0, 4, 0, 29, 0, 23]);
    add(11, &[1, 0]);
    add(13, &[0, 4, 4, 3, 8, 4]);
    if let Some(alpn) = buffers.get("tls.alpn") {
        add(16, &counted(&counted(alpn, 1), 2));
    }
    let body = [
        version.as_slice(),
        &[0x5a; 32],
        &[0],
        &[0, 8, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x13, 0, 0x2f],
        &[1, 0],
        &counted(&extensions, 2),
    ];
    Some(record(22, [3, 1], &handshake(1, &body.concat())))
}

fn server_hello(version: [u8; 2]) -> Vec<u8> {
    [version.as_slice(), &[0xa5; 32], &[0], &[0xc0, 0x2f, 0], &[0, 5, 0xff, 1, 0, 1, 0]].concat()
}

fn chain(buffers: &Buffers, inside: Option<&[u8]>) -> Option<Vec<u8>> {
    Some(counted(&counted(&certificate(buffers, inside)?, 3), 3))
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = match len {
        0..=127 => vec![tag, len as u8],
        128..=255 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8], // shorter than 2^16
    };
    [head, body.to_vec()].concat()
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

fn certificate(buffers: &Buffers, inside: Option<&[u8]>) -> Option<Vec<u8>> {
    let get = |name: &str, usual: &[u8]| buffers.get(name).cloned().unwrap_or_else(|| usual.to_vec());
    let subject = name(&get("tls.cert_subject", b"CN=www.example.test"))?;
    let issuer = name(&get("tls.cert_issuer", b"C=DE, O=Example, CN=Example CA"))?;
    let serial = match buffers.get("tls.cert_serial") {
        None => vec![17],
        Some(text) => {
            let text = std::str::from_utf8(text).ok()?;
            text.split(':').map(|h| u8::from_str_radix(h, 16).ok().filter(|_| h.len() == 2)).collect::<Option<_>>()?
        }
    };
    let algorithm = sequence(&[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), der(5, &[])]);
    let key = sequence(&[
        sequence(&[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), der(5, &[])]),
        der(
            3,
            &[&[0], sequence(&[der(2, &[&[0], [0xb1; 64].as_slice()].concat()), der(2, &[1, 0, 1])]).as_slice()]
                .concat(),
        ),
    ]);
    // An extension of a private kind, whose content nobody reads.
    let blob = inside.or_else(|| buffers.get("tls.certs").map(Vec::as_slice)).unwrap_or(b"x");
    let extension = sequence(&[der(6, &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 99]), der(4, &der(4, blob))]);
    let body = sequence(&[
        der(0xa0, &der(2, &[2])),
        der(2, &serial),
        algorithm.clone(),
        issuer,
        sequence(&[der(0x17, b"250101000000Z"), der(0x17, b"350101000000Z")]),
        subject,
        key,
        der(0xa3, &sequence(&[extension])),
    ]);
    Some(sequence(&[body, algorithm, der(3, &[&[0], [0xc3; 64].as_slice()].concat())]))
}

/// Attributes of a name, as they are written in text, and their numbers.
const ATTRIBUTES: &[(&str, &[u8])] = &[
    ("CN", &[0x55, 4, 3]),
    ("SN", &[0x55, 4, 4]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1]),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]),
    ("emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
];

// A name out of its text ("C=DE, O=x, CN=y"). None where the text is not one that a name gives.
fn name(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts: Vec<(&[u8], String)> = Vec::new();
    for part in text.split(", ") {
        let known = part.split_once('=').and_then(|(k, v)| Some((ATTRIBUTES.iter().find(|(n, _)| *n == k)?.1, v)));
        match (known, parts.last_mut()) {
            (Some((oid, value)), _) => parts.push((oid, value.to_owned())),
            // A comma inside a value.
            (None, Some((_, last))) => last.extend([", ", part]),
            (None, None) => return None,
        }
    }
    let parts: Option<Vec<Vec<u8>>> = parts
        .into_iter()
        .map(|(oid, value)| {
            (!value.is_empty()).then(|| der(0x31, &sequence(&[der(6, oid), der(12, value.as_bytes())])))
        })
        .collect();
    Some(sequence(&parts?))
}
