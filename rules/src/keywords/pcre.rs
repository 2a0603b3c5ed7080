// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `pcre` and `pcrexform`: the letters and names around a pattern. The pattern itself is the matcher's to judge: see `vet` in
//! the engine, since this crate links no matcher. Suricata user guide, "pcre (Perl Compatible Regular Expressions)".

use super::{negation, quoted, wanted};
use crate::{
    ast::{Capture, CaptureTo, PayloadTest, Pcre},
    buffers::{self, Buffer},
    draft::{At, Draft},
    limits::MAX_PCRE,
};

/// Letters that stand for a buffer.
const LETTERS: &[(char, &str)] = &[
    ('U', "http.uri"),
    ('I', "http.uri.raw"),
    ('P', "http.request_body"),
    ('Q', "http.response_body"),
    ('H', "http.header"),
    ('D', "http.header.raw"),
    ('M', "http.method"),
    ('C', "http.cookie"),
    ('S', "http.stat_code"),
    ('Y', "http.stat_msg"),
    ('V', "http.user_agent"),
    ('W', "http.host"),
    ('Z', "http.host.raw"),
];

/// `pcre:!"/pattern/imsxAEGROB...,flow:name,pkt:name,alert:name"`
pub(crate) fn pcre(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (negated, v) = negation(wanted(value)?);
    let v = quoted(v).unwrap_or(v).trim();
    let (body, captures) = split_captures(v);
    let (mut p, letter) = match read(body) {
        Ok(read) => read,
        // What looks like names of captures may be the pattern's.
        Err(_) if !captures.is_empty() => return Err(read(v).err().unwrap_or_default()),
        Err(e) => return Err(e),
    };
    p.negated = negated;
    p.captures = captures;
    if p.captures.is_empty() {
        p.captures = named(&p.pattern);
    }
    if negated && !p.captures.is_empty() {
        return Err(String::from("a pattern that must not match captures nothing"));
    }
    let at = match letter {
        None => d.here(),
        Some((c, buffer)) => match d.here() {
            // `Q` is the body of a response as a file: both names are meant.
            Some(at) if at.buffer == buffer || (c, at.buffer.name) == ('Q', "file.data") => Some(at),
            Some(at) => {
                let (open, other) = (at.buffer.name, buffer.name);
                return Err(format!("the letter {c} is for {other}, and {open} is open: write `pkt_data` before it"));
            }
            None => Some(At { buffer, instance: 0, chain: 0 }),
        },
    };
    d.place_test(PayloadTest::Pcre(p), at);
    Ok(())
}

type Read = (Pcre, Option<(char, &'static Buffer)>);

// `/pattern/letters`
fn read(v: &str) -> Result<Read, String> {
    let rest = v.strip_prefix('/').ok_or("it wants \"/pattern/letters\": the first slash is missing")?;
    let end = last_slash(rest).ok_or("it wants \"/pattern/letters\": the second slash is missing")?;
    let (pattern, letters) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
    if pattern.is_empty() {
        return Err(String::from("the pattern is empty"));
    }
    if pattern.len() > MAX_PCRE {
        return Err(format!("the pattern has {} bytes; {MAX_PCRE} are the most", pattern.len()));
    }
    let mut p = Pcre { pattern: pattern.to_owned(), ..Pcre::default() };
    let mut letter = None;
    for c in letters.trim().chars() {
        match c {
            'i' => p.flags.caseless = true,
            'm' => p.flags.multi_line = true,
            's' => p.flags.dot_all = true,
            'x' => p.flags.extended = true,
            'A' => p.flags.anchored = true,
            'E' => p.flags.dollar_end = true,
            'G' => p.flags.ungreedy = true,
            'R' => p.relative = true,
            // Raw bytes: always. The limit of matching: the stock one, which is the only one here.
            'B' | 'O' => {}
            c => {
                let (_, name) = LETTERS.iter().find(|(l, _)| *l == c).ok_or_else(|| {
                    format!(
                        "{c:?} after the pattern is none of the letters i s m x A E G R B O and those of HTTP's buffers"
                    )
                })?;
                let (buffer, _) = buffers::find(name).ok_or_else(|| format!("{c}: {name} is not inspected"))?;
                if letter.replace((c, buffer)).is_some_and(|(had, _)| had != c) {
                    return Err(format!("{c}: a pattern looks into one buffer only"));
                }
            }
        }
    }
    Ok((p, letter))
}

// The last slash before which no backslash stands that is not itself escaped.
fn last_slash(text: &str) -> Option<usize> {
    let b = text.as_bytes();
    (0..b.len())
        .rev()
        .find(|&i| b.get(i) == Some(&b'/') && b.iter().take(i).rev().take_while(|c| **c == b'\\').count() % 2 == 0)
}

// Takes `, flow:name, pkt:name` off the end.
fn split_captures(text: &str) -> (&str, Vec<Capture>) {
    let mut body = text;
    let mut captures = Vec::new();
    while let Some((before, field)) = body.rsplit_once(',') {
        let Some(capture) = capture(field) else { break };
        captures.push(capture);
        body = before;
    }
    captures.reverse();
    for (c, group) in captures.iter_mut().zip(1..) {
        c.group = group;
    }
    (body.trim_end(), captures)
}

fn capture(field: &str) -> Option<Capture> {
    let (to, name) = field.trim().split_once(':')?;
    let to = match to {
        "flow" => CaptureTo::Flow,
        "pkt" => CaptureTo::Packet,
        "alert" => CaptureTo::Alert,
        _ => return None,
    };
    let fine = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | ')'));
    fine.then(|| Capture { to, name: name.to_owned(), group: 0 })
}

// The old way: names of groups, as (?P<flow_x>...) and (?P<pkt_x>...).
fn named(pattern: &str) -> Vec<Capture> {
    let mut out = Vec::new();
    let (mut group, mut class, mut escaped) = (0u16, false, false);
    for (at, c) in pattern.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => {
                let rest = pattern.get(at + 1..).unwrap_or_default();
                let name = ["?P<", "?<", "?'"].iter().find_map(|open| rest.strip_prefix(open));
                let name = name.filter(|n| !n.starts_with(['=', '!']));
                if rest.starts_with(['?', '*']) && name.is_none() {
                    continue; // a group that captures nothing
                }
                group = group.saturating_add(1);
                let Some((name, _)) = name.and_then(|n| n.split_once(['>', '\''])) else { continue };
                let (to, name) = match name.split_once('_') {
                    Some(("flow", name)) => (CaptureTo::Flow, name),
                    Some(("pkt", name)) => (CaptureTo::Packet, name),
                    _ => continue,
                };
                out.push(Capture { to, name: name.to_owned(), group });
            }
            _ => {}
        }
    }
    out
}
