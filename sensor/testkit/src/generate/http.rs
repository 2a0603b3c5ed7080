// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! An HTTP/1 exchange around the buffers that a rule looks into, and what those buffers hold in it.
//!
//! Must never answer with an exchange whose buffers were not read back from its own bytes: [`views`] is that reading,
//! written from the user guide's chapter on HTTP keywords.

use super::dialogue::{Buffers, Step};

/// Header fields that have a buffer of their own: buffer, field in a request, field in a response.
const FIELDS: &[(&str, &str, &str)] = &[
    ("http.host", "Host", ""),
    ("http.host.raw", "Host", ""),
    ("http.user_agent", "User-Agent", ""),
    ("http.accept", "Accept", ""),
    ("http.accept_lang", "Accept-Language", ""),
    ("http.accept_enc", "Accept-Encoding", ""),
    ("http.referer", "Referer", ""),
    ("http.content_type", "Content-Type", "Content-Type"),
    ("http.content_len", "Content-Length", "Content-Length"),
    ("http.connection", "Connection", "Connection"),
    ("http.cookie", "Cookie", "Set-Cookie"),
    ("http.server", "", "Server"),
    ("http.location", "", "Location"),
];

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
/// Sets a field to a value; whether it replaces one that is there.
type Setter<'s> = dyn FnMut(&[u8], Vec<u8>, bool) + 's;

/// Both messages. `variant` chooses between ways to put them together: whether there is a Host that nobody asked for
/// (1), whether a field's own buffer is stronger than the header block (2), where raw bytes go (4).
pub(crate) fn exchange(buffers: &Buffers, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    let get = |name: &str| buffers.get(name).cloned();
    let raw = get("");
    let head = get("http.start").or_else(|| raw.clone().filter(|r| to_server && like_request(r)));
    let line = get("http.request_line").or_else(|| head.as_ref().filter(|_| to_server).map(|h| first_line(h).to_vec()));
    let mut words = line.as_deref().unwrap_or_default().splitn(2, |b| *b == b' ');
    let from_line = words.next().map(<[u8]>::to_vec).filter(|w| !w.is_empty());
    let rest = words.next().unwrap_or_default();
    let cut = rest.windows(6).rposition(|w| w == b" HTTP/").unwrap_or(rest.len());
    let body = if to_server { get("http.request_body").or_else(|| get("file.data")) } else { None };
    let usual: &[u8] = if body.is_some() { b"POST" } else { b"GET" };
    let method = get("http.method").or(from_line).unwrap_or_else(|| usual.to_vec());
    let in_line = Some(rest[..cut].to_vec()).filter(|u| !u.is_empty());
    let uri = get("http.uri.raw").or_else(|| get("http.uri").map(|u| encoded(&u))).or(in_line);
    let in_line = rest.get(cut + 1..).map(<[u8]>::to_vec).filter(|p| p.starts_with(b"HTTP/"));
    let protocol = get("http.protocol").filter(|_| to_server).or(in_line).unwrap_or_else(|| b"HTTP/1.1".to_vec());
    let mut block = if to_server { head.map(|h| h[first_line(&h).len()..].to_vec()) } else { None };
    if block.is_none() {
        block = get("http.header").or_else(|| get("http.header.raw"));
    }
    let mut body = body;
    if let Some(raw) = raw.filter(|r| to_server && !like_request(r)) {
        if variant & 4 == 0 {
            block.get_or_insert_default().extend([b"\r\nX-Data: ", raw.as_slice()].concat());
        } else {
            body.get_or_insert_default().extend(raw);
        }
    }
    let mut request =
        [method.as_slice(), b" ", &uri.unwrap_or_else(|| b"/".to_vec()), b" ", &protocol, b"\r\n"].concat();
    let none = Buffers::new();
    let mine = if to_server { buffers } else { &none };
    let fields = fields(mine, true, block.as_deref().filter(|_| to_server), body.as_deref(), variant)?;
    write(&mut request, &fields, body.as_deref());
    let response = response(buffers, to_server, variant)?;
    Some(vec![Step { from_client: true, data: request }, Step { from_client: false, data: response }])
}

fn response(buffers: &Buffers, to_server: bool, variant: usize) -> Option<Vec<u8>> {
    if to_server {
        return Some(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec());
    }
    let get = |name: &str| buffers.get(name).cloned();
    let head = get("http.start").or_else(|| get("").filter(|r| r.starts_with(b"HTTP/")));
    let line =
        get("http.response_line").or_else(|| head.as_ref().map(|h| first_line(h).to_vec())).unwrap_or_else(|| {
            let protocol = get("http.protocol").unwrap_or_else(|| b"HTTP/1.1".to_vec());
            let code = get("http.stat_code").unwrap_or_else(|| b"200".to_vec());
            [protocol.as_slice(), b" ", &code, b" ", &get("http.stat_msg").unwrap_or_else(|| b"OK".to_vec())].concat()
        });
    let mut block = head.map(|h| h[first_line(&h).len()..].to_vec());
    if block.is_none() {
        block = get("http.header").or_else(|| get("http.header.raw"));
    }
    let mut body = get("file.data").or_else(|| get("http.response_body"));
    if let Some(raw) = get("").filter(|r| !r.starts_with(b"HTTP/")) {
        if variant & 4 == 0 || body.is_some() {
            block.get_or_insert_default().extend([b"\r\nX-Data: ", raw.as_slice()].concat());
        } else {
            body = Some(raw);
        }
    }
    let mut out = [line.as_slice(), b"\r\n"].concat();
    let body = body.or_else(|| Some(b"ok".to_vec()));
    let fields = fields(buffers, false, block.as_deref(), body.as_deref(), variant)?;
    write(&mut out, &fields, body.as_deref());
    Some(out)
}

fn write(out: &mut Vec<u8>, fields: &Fields, body: Option<&[u8]>) {
    for (name, value) in fields {
        out.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    out.extend(b"\r\n");
    if let Some(body) = body {
        out.extend(body);
        let said = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(b"content-length"));
        let said = said.and_then(|(_, v)| std::str::from_utf8(v).ok()?.trim().parse::<usize>().ok());
        if let Some(more) = said.and_then(|n| n.checked_sub(body.len())).filter(|n| *n < 200_000) {
            out.extend(vec![b'a'; more]);
        }
    }
}

fn first_line(head: &[u8]) -> &[u8] {
    let end = head.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(head.len());
    &head[..end]
}

fn like_request(raw: &[u8]) -> bool {
    let word = raw.split(|b| *b == b' ').next().unwrap_or_default();
    raw.contains(&b' ') && (3..=10).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase)
}

fn encoded(uri: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for b in uri {
        if b.is_ascii_graphic() && !matches!(b, b'%' | b'#') {
            out.push(*b);
        } else {
            out.extend(format!("%{b:02X}").bytes());
        }
    }
    out
}

fn decoded(uri: &[u8]) -> Vec<u8> {
    let (mut out, mut i) = (Vec::new(), 0);
    while let Some(b) = uri.get(i) {
        let hex = |k: usize| uri.get(k).and_then(|b| char::from(*b).to_digit(16));
        if *b == b'%'
            && let (Some(a), Some(c)) = (hex(i + 1), hex(i + 2))
        {
            out.push((a * 16 + c) as u8); // two digits make a byte
            i += 3;
        } else {
            out.push(*b);
            i += 1;
        }
    }
    out
}

// Lines of a header block as fields; a line without a name gets one.
fn lines(block: &[u8]) -> Fields {
    let text = block.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    text.filter(|l| !l.is_empty())
        .map(|line| match line.iter().position(|b| *b == b':') {
            Some(0) => (b"X-A".to_vec(), trim(&line[1..])),
            Some(at) if line[..at].iter().all(|b| b.is_ascii_graphic()) => (line[..at].to_vec(), trim(&line[at + 1..])),
            _ => (b"X-A".to_vec(), trim(line)),
        })
        .collect()
}

fn trim(value: &[u8]) -> Vec<u8> {
    value.strip_prefix(b" ").unwrap_or(value).to_vec()
}

fn fields(
    buffers: &Buffers,
    request: bool,
    block: Option<&[u8]>,
    body: Option<&[u8]>,
    variant: usize,
) -> Option<Fields> {
    let mut out: Fields = Vec::new();
    let is = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    let names = buffers.get("http.header_names").map(|n| lines_of_names(n)).unwrap_or_default();
    for name in names {
        out.push((name, Vec::new()));
    }
    let mut set = |name: &[u8], value: Vec<u8>, strong: bool| match out.iter_mut().find(|(n, _)| is(n, name)) {
        Some((_, v)) if v.is_empty() || strong => *v = value,
        Some(_) => {}
        None => out.push((name.to_vec(), value)),
    };
    let own = |set: &mut Setter<'_>, strong: bool| {
        for (buffer, in_request, in_response) in FIELDS {
            let name = if request { in_request } else { in_response };
            if let Some(value) = buffers.get(*buffer)
                && !name.is_empty()
            {
                set(name.as_bytes(), value.clone(), strong);
            }
        }
    };
    if variant & 2 == 0 {
        own(&mut set, false);
    }
    for (name, value) in block.map(lines).unwrap_or_default() {
        set(&name, value, variant & 2 != 0);
    }
    own(&mut set, false);
    if request && variant & 1 == 0 {
        set(b"Host", b"www.example.test".to_vec(), false);
    }
    if let Some(body) = body {
        let len = body.len().to_string().into_bytes();
        set(b"Content-Length", len, false);
    }
    for (name, value) in &mut out {
        if value.is_empty() {
            *value = if is(name, b"host") { b"www.example.test".to_vec() } else { b"a".to_vec() };
        }
        if value.contains(&b'\n') || name.is_empty() {
            return None;
        }
    }
    Some(out)
}

fn lines_of_names(names: &[u8]) -> Vec<Vec<u8>> {
    names
        .split(|b| matches!(b, b'\r' | b'\n'))
        .filter(|n| !n.is_empty() && n.iter().all(|b| b.is_ascii_graphic() && *b != b':'))
        .map(<[u8]>::to_vec)
        .collect()
}

/// The buffers of an exchange, as a rule of that direction sees them.
pub(crate) fn views(steps: &[Step], to_server: bool) -> Buffers {
    let mut out = Buffers::new();
    let Some(message) = steps.iter().rfind(|s| s.from_client == to_server).map(|s| s.data.as_slice()) else {
        return out;
    };
    out.insert(String::new(), message.to_vec());
    let end = message.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.len(), |p| p + 4);
    let (head, body) = message.split_at(end);
    let line = first_line(head);
    let mut words = line.split(|b| *b == b' ');
    let mut word = || words.next().unwrap_or_default().to_vec();
    let raw = head.get(line.len() + 2..).unwrap_or_default();
    let mut put = |name: &str, value: Vec<u8>| out.insert(name.to_owned(), value);
    put("http.start", head.to_vec());
    put("http.header.raw", raw.to_vec());
    if to_server {
        put("http.request_line", line.to_vec());
        put("http.method", word());
        let uri = word();
        put("http.uri", decoded(&uri));
        put("http.uri.raw", uri);
        put("http.protocol", word());
        put("http.request_body", body.to_vec());
    } else {
        put("http.response_line", line.to_vec());
        put("http.protocol", word());
        put("http.stat_code", word());
        put("http.stat_msg", words.collect::<Vec<_>>().join(b" ".as_slice()));
        put("http.response_body", body.to_vec());
    }
    put("file.data", body.to_vec());
    let (mut block, mut names) = (Vec::new(), b"\r\n".to_vec());
    for (name, value) in lines(raw) {
        names.extend([name.as_slice(), b"\r\n"].concat());
        if !name.eq_ignore_ascii_case(b"cookie") && !name.eq_ignore_ascii_case(b"set-cookie") {
            block.extend([name.as_slice(), b": ", &value, b"\r\n"].concat());
        }
        for (buffer, in_request, in_response) in FIELDS {
            let mine = if to_server { in_request } else { in_response };
            if name.eq_ignore_ascii_case(mine.as_bytes()) {
                let host = *buffer == "http.host";
                put(buffer, if host { value.to_ascii_lowercase() } else { value.clone() });
            }
        }
    }
    names.extend(b"\r\n");
    put("http.header", block);
    put("http.header_names", names);
    out
}
