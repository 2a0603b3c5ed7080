// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule asks, by buffer: its options with modifiers joined to their content.
//!
//! Must never leave an option out in silence: one that is not known here makes the rule one that no flow is made for.

use super::{
    byte::{self, ByteTest},
    pcre::Pcre,
    text::{Text, bytes, quoted},
};

/// Why no flow was made.
pub(crate) type Why = String;

/// A number, or the variable that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Num {
    /// As written.
    Is(i64),
    /// Of `byte_extract`.
    Var(String),
}

impl Num {
    /// Reads either.
    pub(crate) fn read(text: &str) -> Self {
        let text = text.trim();
        let number = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |h| i64::from_str_radix(h, 16).ok());
        number.map_or_else(|| Self::Var(text.to_owned()), Self::Is)
    }
}

/// `content` with its modifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// What.
    pub bytes: Vec<u8>,
    /// `!`
    pub negated: bool,
    /// `nocase`
    pub nocase: bool,
    /// `offset`
    pub offset: Option<Num>,
    /// `depth`
    pub depth: Option<Num>,
    /// `distance`
    pub distance: Option<Num>,
    /// `within`
    pub within: Option<Num>,
    /// `startswith`
    pub starts: bool,
    /// `endswith`
    pub ends: bool,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    /// Smallest.
    pub from: i64,
    /// Largest.
    pub to: i64,
    /// Outside instead.
    pub negated: bool,
}

impl Interval {
    /// Reads `n`, `!n`, `<n`, `>n`, `a<>b`; both ends of the last are excluded.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let is = |from, to| Some(Self { from, to, negated: false });
        if let Some((a, b)) = text.split_once("<>") {
            return is(a.parse::<i64>().ok()? + 1, b.parse::<i64>().ok()? - 1);
        }
        let number = |s: &str| s.parse::<i64>().ok();
        if let Some(n) = text.strip_prefix('!') {
            return number(n).map(|n| Self { from: n, to: n, negated: true });
        }
        if let Some(n) = text.strip_prefix(">=") {
            return is(number(n)?, i64::MAX);
        }
        if let Some(n) = text.strip_prefix("<=") {
            return is(0, number(n)?);
        }
        if let Some(n) = text.strip_prefix('>') {
            return is(number(n)?.checked_add(1)?, i64::MAX);
        }
        if let Some(n) = text.strip_prefix('<') {
            return is(0, number(n)? - 1);
        }
        if let Some((a, b)) = text.split_once('-') {
            return is(number(a)? + 1, number(b)? - 1);
        }
        number(&text).and_then(|n| is(n, n))
    }

    /// Whether `n` passes.
    pub(crate) const fn has(self, n: i64) -> bool {
        (self.from <= n && n <= self.to) != self.negated
    }

    /// A small number that passes.
    pub(crate) fn some(self) -> Option<i64> {
        [self.from.max(0), 0, 1, self.to.saturating_add(1)].into_iter().find(|n| *n >= 0 && self.has(*n))
    }
}

/// One test on a buffer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// `content`
    Content(Content),
    /// `pcre`
    Pcre(Pcre),
    /// `isdataat`: negated, relative, how far.
    Reach(bool, bool, Num),
    /// `byte_test`, `byte_jump`, `byte_extract`, `byte_math`
    Byte(ByteTest),
    /// `bsize`, `urilen`, `dsize`
    Size(Interval),
}

/// The tests on one buffer, in the rule's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// The buffer's sticky name; empty: the payload.
    pub buffer: String,
    /// Transforms, in order.
    pub transforms: Vec<String>,
    /// What is asked.
    pub tests: Vec<Test>,
}

/// A rule as far as a flow is made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// By buffer.
    pub groups: Vec<Group>,
    /// Words of `flow`.
    pub flow: Vec<String>,
    /// Tests on headers and the like: name, value.
    pub header: Vec<(String, String)>,
    /// `flowbits` that must be set: each entry is a list of which one will do.
    pub needs: Vec<Vec<String>>,
    /// `flowbits` that a match sets.
    pub sets: Vec<String>,
    /// It makes no alert.
    pub silent: bool,
    /// Flows that it takes until it alerts.
    pub times: u32,
}

/// Options that name or grade a rule, or choose its prefilter.
const NAMES: &[&str] = &[
    "msg",
    "sid",
    "rev",
    "gid",
    "classtype",
    "priority",
    "reference",
    "metadata",
    "target",
    "fast_pattern",
    "rawbytes",
    "prefilter",
    "requires",
    "tag",
    "logto",
];
const HEADER: &[&str] = &[
    "itype",
    "icode",
    "icmp_id",
    "icmp_seq",
    "ttl",
    "id",
    "tos",
    "flags",
    "tcp.flags",
    "fragbits",
    "seq",
    "tcp.seq",
    "ack",
    "tcp.ack",
    "window",
    "tcp.window",
    "ip_proto",
    "sameip",
    "stream_size",
    "tls.version",
    "tls_version",
    "dns.opcode",
    "ssl_version",
    "app-layer-protocol",
    "dns.rrtype",
    "dns.rcode",
    "ftpbounce",
    "app-layer-event",
];
/// Old names of buffers, that stand behind their content.
const LEGACY: &[(&str, &str)] = &[
    ("http_uri", "http.uri"),
    ("http_raw_uri", "http.uri.raw"),
    ("http_method", "http.method"),
    ("http_client_body", "http.request_body"),
    ("http_header", "http.header"),
    ("http_raw_header", "http.header.raw"),
    ("http_cookie", "http.cookie"),
    ("http_user_agent", "http.user_agent"),
    ("http_host", "http.host"),
    ("http_raw_host", "http.host.raw"),
    ("http_stat_code", "http.stat_code"),
    ("http_stat_msg", "http.stat_msg"),
    ("http_server_body", "http.response_body"),
];
const BUFFERS: &[&str] = &[
    "http.uri",
    "http.uri.raw",
    "http.method",
    "http.protocol",
    "http.request_line",
    "http.request_body",
    "http.header",
    "http.header.raw",
    "http.header_names",
    "http.host",
    "http.host.raw",
    "http.user_agent",
    "http.referer",
    "http.cookie",
    "http.accept",
    "http.accept_enc",
    "http.accept_lang",
    "http.connection",
    "http.content_type",
    "http.content_len",
    "http.start",
    "http.stat_code",
    "http.stat_msg",
    "http.response_line",
    "http.response_body",
    "http.location",
    "http.server",
    "http.request_header",
    "http.response_header",
    "file.data",
    "dns.query",
    "tls.sni",
    "tls.cert_subject",
    "tls.cert_issuer",
    "tls.cert_serial",
    "tls.cert_fingerprint",
    "tls.certs",
    "ja3.hash",
    "ja3.string",
    "ja3s.hash",
    "ja3s.string",
    "ssh.proto",
    "ssh.software",
    "file.name",
    "base64_data",
    "tls.alpn",
    "smtp.helo",
    "smtp.mail_from",
    "smtp.rcpt_to",
    "ftp.command",
    "ftp.command_data",
    "ftp.reply",
];
const TRANSFORMS: &[&str] = &[
    "dotprefix",
    "to_lowercase",
    "to_uppercase",
    "strip_whitespace",
    "compress_whitespace",
    "url_decode",
    "to_md5",
    "to_sha1",
    "to_sha256",
    "header_lowercase",
    "strip_pseudo_headers",
    "pcrexform",
    "xor",
    "from_base64",
];

fn sticky(name: &str) -> Option<String> {
    let name = match name {
        "file_data" => "file.data".to_owned(),
        "pkt_data" => String::new(),
        _ if LEGACY.iter().any(|(old, _)| *old == name) => return None,
        _ if BUFFERS.contains(&name) => name.to_owned(),
        _ => name.replacen('_', ".", 1),
    };
    (name.is_empty() || BUFFERS.contains(&name.as_str())).then_some(name)
}

fn letter(c: char) -> Option<&'static str> {
    Some(match c {
        'U' => "http.uri",
        'I' => "http.uri.raw",
        'P' => "http.request_body",
        'Q' => "http.response_body",
        'H' => "http.header",
        'D' => "http.header.raw",
        'M' => "http.method",
        'C' => "http.cookie",
        'S' => "http.stat_code",
        'Y' => "http.stat_msg",
        'V' => "http.user_agent",
        'W' => "http.host",
        'Z' => "http.host.raw",
        _ => return None,
    })
}

impl Model {
    /// Reads a cut rule.
    pub(crate) fn read(text: &Text) -> Result<Self, Why> {
        let mut m = Self { times: 1, ..Self::default() };
        // Which buffer is looked into, with its transforms.
        let mut now = (String::new(), Vec::new());
        for (name, value) in &text.options {
            if let Some(buffer) = sticky(name) {
                now = (buffer, Vec::new());
                m.group(&now.0, &now.1);
                continue;
            }
            if let Some((_, buffer)) = LEGACY.iter().find(|(old, _)| old == name) {
                m.move_last(buffer)?;
                continue;
            }
            if TRANSFORMS.contains(&name.as_str()) {
                m.groups.retain(|g| !(g.buffer == now.0 && g.transforms == now.1 && g.tests.is_empty()));
                now.1.push(if value.is_empty() { name.clone() } else { format!("{name}:{value}") });
                m.group(&now.0, &now.1);
                continue;
            }
            let bad = || format!("{name}:{value} was not understood");
            let test = match name.as_str() {
                "content" | "uricontent" => {
                    let (negated, inner) = quoted(value);
                    let bytes = bytes(inner).filter(|b| !b.is_empty()).ok_or_else(bad)?;
                    Test::Content(Content { bytes, negated, ..Content::default() })
                }
                "pcre" => Test::Pcre(Pcre::read(value).ok_or_else(|| "pcre: not understood".to_owned())?),
                "isdataat" => {
                    let (negated, v) = value.strip_prefix('!').map_or((false, value.as_str()), |v| (true, v));
                    let mut parts = v.split(',').map(str::trim);
                    let at = Num::read(parts.next().unwrap_or_default());
                    Test::Reach(negated, parts.any(|p| p == "relative"), at)
                }
                "byte_test" | "byte_jump" | "byte_extract" | "byte_math" => {
                    Test::Byte(byte::read(name, value).ok_or_else(bad)?)
                }
                "bsize" => Test::Size(Interval::read(value).ok_or_else(bad)?),
                "dsize" => {
                    m.group("", &[]).tests.push(Test::Size(Interval::read(value).ok_or_else(bad)?));
                    m.header.push(("dsize".into(), value.clone()));
                    continue;
                }
                "urilen" => {
                    let (size, kind) = value.split_once(',').unwrap_or((value, ""));
                    let buffer = if kind.trim() == "raw" { "http.uri.raw" } else { "http.uri" };
                    let size = Interval::read(size).ok_or_else(bad)?;
                    m.group(buffer, &[]).tests.push(Test::Size(size));
                    continue;
                }
                "flow" => {
                    m.flow.extend(value.split(',').map(|w| w.trim().to_lowercase()));
                    continue;
                }
                "flowbits" => {
                    m.bits(value);
                    continue;
                }
                "noalert" => {
                    m.silent = true;
                    continue;
                }
                "threshold" | "detection_filter" => {
                    m.repeat(name, value);
                    continue;
                }
                n if NAMES.contains(&n) => continue,
                n if HEADER.contains(&n) => {
                    m.header.push((name.clone(), value.clone()));
                    continue;
                }
                _ if m.modify(name, value) => continue,
                _ => return Err(format!("{name}: no flow is made for it")),
            };
            let buffer = match &test {
                Test::Pcre(p) => p.letter.and_then(letter).unwrap_or(&now.0).to_owned(),
                _ if name == "uricontent" => "http.uri".to_owned(),
                _ => now.0.clone(),
            };
            let transforms = if buffer == now.0 { now.1.clone() } else { Vec::new() };
            m.last_was(&buffer, &transforms).tests.push(test);
        }
        m.groups.retain(|g| !g.tests.is_empty() || !g.buffer.is_empty());
        Ok(m)
    }

    // The group, made last so that a modifier finds its content there.
    fn last_was(&mut self, buffer: &str, transforms: &[String]) -> &mut Group {
        self.group(buffer, transforms);
        let at = self.groups.iter().position(|g| g.buffer == buffer && g.transforms == transforms).unwrap_or(0);
        let group = self.groups.remove(at);
        self.groups.push(group);
        let at = self.groups.len() - 1;
        &mut self.groups[at]
    }

    /// The group of a buffer; a new one where there is none.
    pub(crate) fn group(&mut self, buffer: &str, transforms: &[String]) -> &mut Group {
        let at = self.groups.iter().position(|g| g.buffer == buffer && g.transforms == transforms);
        let at = at.unwrap_or_else(|| {
            let (buffer, transforms) = (buffer.to_owned(), transforms.to_vec());
            self.groups.push(Group { buffer, transforms, tests: Vec::new() });
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }

    // An old modifier: the content before it belongs to `buffer`.
    fn move_last(&mut self, buffer: &str) -> Result<(), Why> {
        let test = self
            .groups
            .last_mut()
            .filter(|g| matches!(g.tests.last(), Some(Test::Content(_))))
            .and_then(|g| g.tests.pop())
            .ok_or_else(|| "a modifier without its content".to_owned())?;
        self.last_was(buffer, &[]).tests.push(test);
        Ok(())
    }

    fn modify(&mut self, name: &str, value: &str) -> bool {
        let last = self
            .groups
            .last_mut()
            .and_then(|g| g.tests.iter_mut().rev().find_map(|t| if let Test::Content(c) = t { Some(c) } else { None }));
        let Some(c) = last else { return false };
        let number = Some(Num::read(value));
        match name {
            "nocase" => c.nocase = true,
            "offset" => c.offset = number,
            "depth" => c.depth = number,
            "distance" => c.distance = number,
            "within" => c.within = number,
            "startswith" => c.starts = true,
            "endswith" => c.ends = true,
            _ => return false,
        }
        true
    }

    fn bits(&mut self, value: &str) {
        let (op, names) = value.split_once(',').unwrap_or((value, ""));
        let names: Vec<String> = names.split('|').map(|n| n.trim().to_owned()).collect();
        match op.trim() {
            "isset" => self.needs.push(names),
            "set" | "toggle" => self.sets.extend(names),
            "noalert" => self.silent = true,
            _ => {}
        }
    }

    fn repeat(&mut self, name: &str, value: &str) {
        let word =
            |key: &str| value.split(',').find_map(|p| p.trim().strip_prefix(key).map(str::trim).map(str::to_owned));
        let count = word("count").and_then(|c| c.parse::<u32>().ok()).unwrap_or(1);
        self.times = match (name, word("type").as_deref()) {
            ("detection_filter", _) => count + 1,
            (_, Some("threshold" | "both")) => count,
            _ => 1,
        };
    }
}
