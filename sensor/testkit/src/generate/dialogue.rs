// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is said in a flow: the messages of both sides, and what a rule's buffers hold in them.

use std::collections::BTreeMap;

use super::{
    check, dns, http, mail,
    model::{Group, Model, Test},
    solve::{Goal, variants},
    tls, transform,
};

/// Buffers' bytes, by sticky name; the empty name is the payload.
pub(crate) type Buffers = BTreeMap<String, Vec<u8>>;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whose.
    pub from_client: bool,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// Bytes.
    Raw,
    /// HTTP/1.
    Http,
    /// DNS.
    Dns,
    /// TLS.
    Tls,
    /// SMTP.
    Smtp,
    /// FTP.
    Ftp,
    /// SSH.
    Ssh,
    /// SMB.
    Smb,
}

impl App {
    /// What a rule's header and buffers ask for.
    pub(crate) fn of(proto: &str, model: &Model) -> Result<Self, String> {
        let first = model.groups.iter().map(|g| g.buffer.as_str()).find(|b| !b.is_empty()).unwrap_or_default();
        Ok(match (proto, first.split('.').next().unwrap_or_default()) {
            ("http", _) | ("tcp" | "ip" | "tcp-pkt" | "tcp-stream", "http" | "file") => Self::Http,
            ("dns", _) | ("tcp" | "udp" | "ip", "dns") => Self::Dns,
            ("tls" | "ssl", _) | ("tcp" | "ip" | "tcp-pkt", "tls" | "ja3" | "ja3s") => Self::Tls,
            ("smtp", _) | ("tcp", "smtp") => Self::Smtp,
            ("ftp", _) | ("tcp", "ftp") => Self::Ftp,
            ("ssh", _) | ("tcp", "ssh") => Self::Ssh,
            ("smb", _) => Self::Smb,
            (_, "") => match proto {
                "tcp" | "udp" | "icmp" | "ip" | "tcp-pkt" | "tcp-stream" => Self::Raw,
                _ => return Err(format!("no dialogue of {proto} is made")),
            },
            (_, other) => return Err(format!("no dialogue for {other}.* over {proto} is made")),
        })
    }

    /// The server's port.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Raw => 4444,
            Self::Http => 80,
            Self::Dns => 53,
            Self::Tls => 443,
            Self::Smtp => 25,
            Self::Ftp => 21,
            Self::Ssh => 22,
            Self::Smb => 445,
        }
    }
}

/// The messages that put these bytes into these buffers, in one of several ways.
pub(crate) fn compose(
    app: App,
    buffers: &Buffers,
    model: &Model,
    to_server: bool,
    variant: usize,
) -> Option<Vec<Step>> {
    let raw = || Some(vec![Step { from_client: to_server, data: buffers.get("").cloned().unwrap_or_default() }]);
    match app {
        App::Raw => raw(),
        App::Http => http::exchange(buffers, to_server, variant),
        App::Dns => dns::exchange(buffers, model, to_server, variant),
        App::Tls => tls::exchange(buffers, model, to_server, variant),
        App::Smtp => mail::smtp(buffers, to_server, variant),
        App::Ftp => mail::ftp(buffers, to_server, variant),
        App::Ssh => mail::ssh(buffers, to_server),
        App::Smb => mail::smb(buffers, to_server, variant),
    }
}

/// What the buffers hold in these messages.
pub(crate) fn views(app: App, steps: &[Step], buffers: &Buffers, to_server: bool) -> Buffers {
    let mut out = match app {
        App::Http => http::views(steps, to_server),
        // What these dialogues hold is what was put in: their encoding keeps every byte.
        _ => buffers.clone(),
    };
    if app == App::Dns || app == App::Raw {
        let last = steps.iter().rfind(|s| s.from_client == to_server).map(|s| s.data.clone());
        out.insert(String::new(), last.unwrap_or_default());
    } else {
        let all = steps.iter().filter(|s| s.from_client == to_server).flat_map(|s| s.data.iter().copied()).collect();
        out.insert(String::new(), all);
    }
    out
}

/// Whether every group passes.
pub(crate) fn passes(model: &Model, views: &Buffers) -> bool {
    model.groups.iter().all(|g| group_passes(g, views))
}

/// Whether one group passes.
pub(crate) fn group_passes(group: &Group, views: &Buffers) -> bool {
    let Some(bytes) = views.get(&group.buffer) else { return false };
    transform::forward(&group.transforms, bytes).is_some_and(|b| check::passes(&b, &group.tests))
}

/// Bytes for each buffer that pass its groups, in several choices.
pub(crate) fn solutions(app: App, model: &Model, n: usize) -> Result<Vec<Buffers>, String> {
    let mut each: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for group in &model.groups {
        // Two groups on one buffer with different transforms: the first is laid out, the check sees whether the other passes.
        if each.iter().any(|(b, _)| *b == group.buffer) {
            continue;
        }
        let found: Vec<Vec<u8>> = variants(&goal(app, group), n)
            .iter()
            .filter_map(|bytes| transform::back(&group.transforms, bytes))
            .collect();
        if found.is_empty() {
            let name = if group.buffer.is_empty() { "payload" } else { &group.buffer };
            let kinds: Vec<&str> = group.transforms.iter().map(|t| t.split(':').next().unwrap_or_default()).collect();
            return Err(match group.buffer.as_str() {
                "ja3.hash" | "ja3s.hash" | "tls.cert_fingerprint" => format!("{name}: a hash cannot be turned round"),
                _ if kinds.iter().any(|k| k.starts_with("to_md5") || k.starts_with("to_sha")) => {
                    "a hash cannot be turned round".to_owned()
                }
                _ => format!("{name}: no bytes were found"),
            });
        }
        each.push((group.buffer.clone(), found));
    }
    Ok((0..n).map(|i| each.iter().map(|(name, all)| (name.clone(), all[i % all.len()].clone())).collect()).collect())
}

fn doubled(group: &Group) -> bool {
    group.tests.iter().any(|t| matches!(t, Test::Content(c) if !c.negated && c.bytes.windows(2).any(|w| w == b"//")))
}

fn goal<'g>(app: App, group: &'g Group) -> Goal<'g> {
    let text: &[u8] = b"aZ0-_";
    let (lead, between, filler): (&[u8], &[u8], &[u8]) = match group.buffer.as_str() {
        // Two slashes in a path become one; in a query they stay.
        "http.uri" | "http.uri.raw" if doubled(group) => (b"/?", b"", b"aZ0=&"),
        "http.uri" | "http.uri.raw" => (b"/", b"", b"aZ0=&"),
        // A name does not begin with a dot.
        "dns.query" if !group.transforms.iter().any(|t| t == "dotprefix") => (b"a", b"", text),
        "tls.cert_subject" | "tls.cert_issuer" => (b"CN=", b"", text),
        "http.header" | "http.header.raw" | "http.header_names" => (b"", b"\r\n", text),
        "http.start" | "http.request_line" => (b"GET /", b"", text),
        "http.content_len" => (b"", b"", b"123456789"),
        "http.stat_code" => (b"", b"", b"2345"),
        "" if app == App::Http => (b"", b"", text),
        "" => (b"", b"", b"a\0Z 0\n\xff\x01"),
        _ if group.transforms.iter().any(|t| t == "dotprefix") => (b".", b"", text),
        "http.request_body" | "http.response_body" | "file.data" => (b"", b"", b"aZ0 \n\0"),
        "tls.certs" => (b"", b"", b"\0aZ0"),
        _ => (b"", b"", text),
    };
    let sized = group.tests.iter().any(|t| matches!(t, Test::Size(_)));
    let whole = ["http.header", "http.header.raw", "http.header_names", "http.start", "http.uri"];
    let trimmed =
        group.buffer.starts_with("http.") && !group.buffer.ends_with("body") && !whole.contains(&group.buffer.as_str());
    Goal {
        tests: &group.tests,
        lead,
        between,
        filler,
        trimmed,
        least: usize::from(!(group.buffer.is_empty() && sized)),
    }
}
